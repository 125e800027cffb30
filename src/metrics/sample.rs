//! A metric as it is read: its name, its kind, what it means, and its value at one moment.

/// What sort of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What is the case now.
    Gauge,
    /// What has happened so often.
    Counter,
    /// Count, sum, smallest, largest and mean of what was measured.
    Basic,
    /// The same, and percentiles.
    Advanced,
}

/// A metric's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A gauge or a counter.
    Integer(i64),
    /// A gauge that Java has as a double.
    Decimal(f64),
    /// A summary.
    Digest(Digest),
}

/// A summary at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// How many values there were.
    pub count: u64,
    /// What they amount to.
    pub sum: u64,
    /// The smallest, 0 before the first.
    pub min: u64,
    /// The largest, 0 before the first.
    pub max: u64,
    /// The 50th, 95th, 99th and 99.9th percentile, if they are kept.
    pub percentiles: Option<[u64; 4]>,
}

impl Digest {
    /// The mean, 0 before the first.
    pub fn avg(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// Both together; percentiles cannot be added, and are left out.
    pub fn and(self, other: Self) -> Self {
        let min = match (self.count, other.count) {
            (0, _) => other.min,
            (_, 0) => self.min,
            _ => self.min.min(other.min),
        };
        Digest {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min,
            max: self.max.max(other.max),
            percentiles: None,
        }
    }
}

/// One metric, or one member of a set of metrics, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its name, without prefix.
    pub name: &'static str,
    /// Which member of a set it is: the first component of a path, as it is.
    pub key: Option<String>,
    /// What sort of number it is.
    pub kind: Kind,
    /// What it means.
    pub help: &'static str,
    /// Its value.
    pub value: Value,
}

/// Something that is listed with all the others.
pub(super) trait Metric {
    /// One that has counted nothing; `seed` is for hashes.
    fn new(seed: u64) -> Self;
    /// Appends what it shows now.
    fn sample(&self, name: &'static str, help: &'static str, to: &mut Vec<Sample>);
    /// What `srst` does to it. What is recorded at this very moment may be lost in part.
    fn reset(&self);
}
