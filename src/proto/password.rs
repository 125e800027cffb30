//! Session passwords: 16 bytes that follow from the session's id alone.
//!
//! Any server of an ensemble can check them, so they are wire format and no secret: Java's
//! `Random`, seeded with the id XOR 0xB3415C00.

use super::ids::SessionId;

/// A session's password.
pub type Password = [u8; 16];

/// What a refused client is sent.
pub const NO_PASSWORD: Password = [0; 16];

/// The password of session `id`.
pub fn generate(id: SessionId) -> Password {
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = (id.0 as u64 ^ 0xb341_5c00 ^ MULTIPLIER) & MASK;
    let mut password = NO_PASSWORD;
    for word in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xb) & MASK;
        word.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    password
}

/// Whether `password` is that of session `id`. A session of id 0 has none.
pub fn check(id: SessionId, password: &[u8]) -> bool {
    id != SessionId::NONE && password == generate(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_javas() {
        let id = SessionId(0x100_0017_a6e6_0000);
        let expected = 0x38fb_41a4_6578_012c_d6cc_e749_b6c3_a4b8_u128.to_be_bytes();
        assert_eq!(generate(id), expected);
        assert!(check(id, &expected));
        assert!(!check(SessionId::NONE, &generate(SessionId::NONE)));
    }
}
