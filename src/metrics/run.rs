//! A run of equal values on its way to a summary.

use super::summary::Advanced;

/// Counts values of which many in a row are equal, and hands each run over at once.
#[derive(Debug)]
pub struct Run<'a> {
    to: &'a Advanced,
    value: u64,
    count: u64,
}

impl<'a> Run<'a> {
    /// On the way to that summary.
    pub fn new(to: &'a Advanced) -> Self {
        Run { to, value: 0, count: 0 }
    }

    /// A value, in the metric's unit.
    #[inline]
    pub fn record(&mut self, value: u64) {
        if value != self.value {
            self.hand_over();
            self.value = value;
        }
        self.count += 1;
    }

    fn hand_over(&mut self) {
        self.to.record_many(self.value, std::mem::take(&mut self.count));
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Metric;
    use super::*;

    #[test]
    fn every_value_arrives() {
        let summary = Advanced::new(0);
        let mut run = Run::new(&summary);
        [0, 0, 5, 5, 5, 0, 7].iter().for_each(|value| run.record(*value));
        drop(run);
        let digest = summary.digest();
        assert_eq!((digest.count, digest.sum, digest.max), (7, 22, 7));
    }
}
