//! The scheme `ensemble`: clients say which ensemble they mean, so that a wrong address is noticed.
//!
//! It is a question, no proof: whoever says nothing is not asked, and nobody becomes anybody by
//! it. A client that means another ensemble is cut off without an answer, because an error would
//! make it give up altogether, and so it tries its next address.

use std::fmt;

/// The names an ensemble has (`ensembleAuthName`).
#[derive(Clone, PartialEq, Eq)]
pub struct EnsembleNames(Box<[Box<[u8]>]>);

/// What became of a name that a client gave. Apache counts each kind: `ensemble_auth_skip`,
/// `ensemble_auth_success`, `ensemble_auth_fail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// None was given, or there is none to compare it with.
    Nothing,
    /// It is one of ours.
    OurName,
    /// It is another ensemble's.
    OtherName,
}

impl EnsembleNames {
    /// An ensemble of these names; with none of them every name is right.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        EnsembleNames(names.into_iter().map(|name| name.as_bytes().into()).collect())
    }

    /// Judges what a client said. Bytes that are no UTF-8 are in no name.
    pub(super) fn judge(&self, said: Option<&[u8]>) -> Heard {
        let said = said.unwrap_or_default();
        if said.is_empty() || self.0.is_empty() {
            Heard::Nothing
        } else if self.0.iter().any(|name| **name == *said) {
            Heard::OurName
        } else {
            Heard::OtherName
        }
    }
}

impl fmt::Debug for EnsembleNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|name| String::from_utf8_lossy(name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_ours_or_another_ensembles() {
        let names = EnsembleNames::new(["prod", "stage"]);
        assert_eq!(names.judge(Some(b"prod")), Heard::OurName);
        assert_eq!(names.judge(Some(b"stage")), Heard::OurName);
        for said in [&b"test"[..], b"PROD", b"prod ", b"prod,stage", b"\xff"] {
            assert_eq!(names.judge(Some(said)), Heard::OtherName);
        }
        assert_eq!(names.judge(None), Heard::Nothing);
        assert_eq!(names.judge(Some(b"")), Heard::Nothing);
        assert_eq!(EnsembleNames::new([]).judge(Some(b"test")), Heard::Nothing);
    }
}
