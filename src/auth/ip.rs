//! The ip scheme's ids: an address, or the first bits of one.

use std::net::{IpAddr, Ipv6Addr};

/// The address as Java prints it: an IPv6 address in full, each group without leading zeros; an
/// IPv4 address that came over an IPv6 socket as the IPv4 address it is.
pub(super) fn text(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => v6.segments().map(|group| format!("{group:x}")).join(":"),
    }
}

/// Whether an ACL entry may have this id: an address, optionally `/` and a number of bits
/// (F-10).
pub(super) fn is_valid_id(id: &[u8]) -> bool {
    Network::parse(id).is_some()
}

/// Whether the address `identity` lies in the network of an ACL's `id` (C-195). Addresses of
/// different families never match.
pub(super) fn matches(id: &[u8], identity: &[u8]) -> bool {
    let (Some(network), Some(address)) = (Network::parse(id), Address::parse(identity)) else {
        return false;
    };
    let shift = network.address.width - network.bits;
    address.width == network.address.width
        && (address.number ^ network.address.number).checked_shr(shift).unwrap_or(0) == 0
}

struct Network {
    address: Address,
    bits: u32,
}

impl Network {
    fn parse(id: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(id).ok()?;
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(java_int(bits)?)),
            None => (text, None),
        };
        let address = Address::parse(address.as_bytes())?;
        let bits = bits.unwrap_or(address.width);
        (bits <= address.width).then_some(Network { address, bits })
    }
}

/// An address as a number of `width` bits, 32 or 128.
struct Address {
    number: u128,
    width: u32,
}

impl Address {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if text.contains(':') {
            // The form with an IPv4 address at the end is not known to Java's provider.
            let v6: Ipv6Addr = if text.contains('.') { None } else { text.parse().ok() }?;
            return Some(Address { number: v6.to_bits(), width: 128 });
        }
        let mut number = 0;
        let mut count = 0;
        for part in text.split('.') {
            let byte = u8::try_from(java_int(part)?).ok()?;
            number = number << 8 | u128::from(byte);
            count += 1;
            if count > 4 {
                return None;
            }
        }
        (count == 4).then_some(Address { number, width: 32 })
    }
}

/// A number as `Integer.parseInt` reads it, if it is not negative: digits, a sign before them,
/// leading zeros.
fn java_int(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_java_does() {
        let shown = |address: &str| text(address.parse().expect("an address"));
        assert_eq!(shown("127.0.0.1"), "127.0.0.1");
        assert_eq!(shown("::1"), "0:0:0:0:0:0:0:1");
        assert_eq!(shown("FE80::0a0b:1"), "fe80:0:0:0:0:0:a0b:1");
        assert_eq!(shown("::ffff:10.1.2.3"), "10.1.2.3");
    }

    /// F-10
    #[test]
    fn valid_ids() {
        for id in ["1.2.3.4", "1.2.3.4/0", "1.2.3.4/32", "fe80::1", "::1/128", "::/0", "1.2.3.4/08"]
        {
            assert!(is_valid_id(id.as_bytes()), "{id}");
        }
        for id in [
            "",
            "/",
            "127.1",
            "localhost",
            "1.2.3.4/",
            "1.2.3.4/8/8",
            "1.2.3.4/-1",
            "1.2.3.4/33",
            "::1/129",
            "1.2.3.256",
            "1.2.3.4.5",
            "1.2.3.",
            "1:2:3",
            ":::",
            "fe80::1%eth0",
            "::ffff:1.2.3.4",
            "1.2.3.4/99999999999",
            "1.2.3.4/+",
        ] {
            assert!(!is_valid_id(id.as_bytes()), "{id}");
        }
        assert!(!is_valid_id(b"\xff"));
    }

    /// C-195
    #[test]
    fn the_first_bits_decide() {
        let cases = [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.0.0/16", "10.1.255.1", true),
            ("10.1.0.0/16", "10.2.0.1", false),
            ("10.1.0.0/15", "10.0.7.7", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "0:0:0:0:0:0:0:1", false),
            ("::/0", "1.2.3.4", false),
            ("::/0", "fe80:0:0:0:0:0:0:1", true),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("fe80::/10", "febf:0:0:0:0:0:0:1", true),
            ("fe80::/10", "fec0:0:0:0:0:0:0:1", false),
            ("nonsense", "1.2.3.4", false),
            ("1.2.3.4", "nonsense", false),
        ];
        for (id, address, expected) in cases {
            assert_eq!(matches(id.as_bytes(), address.as_bytes()), expected, "{id} {address}");
        }
    }
}
