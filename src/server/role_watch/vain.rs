//! Leaderships to which no quorum came: the others hear this server in elections, and do not reach its
//! quorum port.
//!
//! They would elect it over and over, each time for nothing and for initLimit. So when that has
//! happened a few times this server says nothing in elections for a while: to the others it is as if
//! it were gone, which no promise depends on, and they elect another if they can. Whoever dials the
//! leader is this server then, and that way may be open.

use std::collections::BTreeSet;

use crate::proto::Sid;
use crate::status::MemberStatus;

/// After so many of them in a row it stands back.
const PATIENCE: u32 = 3;

/// How many there were.
#[derive(Debug, Default)]
pub(super) struct Vain {
    /// In a row.
    count: u32,
    /// When the present leadership began, in milliseconds.
    since_ms: u64,
    /// Who came to it so far.
    came: BTreeSet<Sid>,
}

/// A leadership was in vain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InVain {
    /// The how manieth in a row.
    pub count: u32,
    /// Who came to it.
    pub came: BTreeSet<Sid>,
    /// For how long to stand back from elections, in milliseconds, if it is time to.
    pub stand_back_ms: Option<u64>,
}

impl Vain {
    /// A leadership begins.
    pub(super) fn begins(&mut self, now_ms: u64) {
        self.since_ms = now_ms;
        self.came.clear();
    }

    /// A leader that has come so far.
    pub(super) fn goes_on(&mut self, status: &MemberStatus) {
        self.came.extend(status.learners.iter().filter_map(|learner| Some(learner.peer?.0)));
    }

    /// There is a leader, this server or another, and it is not in vain.
    pub(super) fn serves(&mut self) {
        self.count = 0;
    }

    /// The leadership has ended without having served. `is_quorum` says whether so many are enough,
    /// and `init_ms` is initLimit: one that did not last so long has ended for another reason.
    pub(super) fn ends(
        &mut self,
        now_ms: u64,
        init_ms: u64,
        is_quorum: impl Fn(&BTreeSet<Sid>) -> bool,
    ) -> Option<InVain> {
        let came = std::mem::take(&mut self.came);
        if now_ms.saturating_sub(self.since_ms) < init_ms || is_quorum(&came) {
            return None;
        }
        self.count += 1;
        // Who has elected it last may seek it for another initLimit before it looks again.
        let stand_back_ms = (self.count >= PATIENCE).then(|| init_ms.saturating_mul(2));
        Some(InVain { count: self.count, came, stand_back_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT_MS: u64 = 1_000;

    /// A leadership of that length to which these came, of whom one and another are enough.
    fn leadership(vain: &mut Vain, ms: u64, came: &[i64]) -> Option<InVain> {
        vain.begins(5_000);
        vain.came.extend(came.iter().copied().map(Sid));
        vain.ends(5_000 + ms, INIT_MS, |came| !came.is_empty())
    }

    fn in_vain(count: u32, stand_back_ms: Option<u64>) -> Option<InVain> {
        Some(InVain { count, came: BTreeSet::new(), stand_back_ms })
    }

    #[test]
    fn who_leads_in_vain_again_and_again_stands_back() {
        let mut vain = Vain::default();
        assert_eq!(leadership(&mut vain, 1_000, &[]), in_vain(1, None));
        assert_eq!(leadership(&mut vain, 1_000, &[]), in_vain(2, None));
        assert_eq!(leadership(&mut vain, 1_000, &[]), in_vain(3, Some(2_000)));
        assert_eq!(leadership(&mut vain, 1_000, &[]), in_vain(4, Some(2_000)));
        vain.serves();
        assert_eq!(leadership(&mut vain, 1_000, &[]), in_vain(1, None));
    }

    /// It was not elected in vain, or lost its leadership otherwise.
    #[test]
    fn a_leadership_to_which_a_quorum_came_or_that_was_short_does_not_count() {
        let mut vain = Vain::default();
        for _ in 0..5 {
            assert_eq!(leadership(&mut vain, 1_000, &[2]), None);
            assert_eq!(leadership(&mut vain, 999, &[]), None);
        }
        assert_eq!(leadership(&mut vain, 1_000, &[]), in_vain(1, None));
    }
}
