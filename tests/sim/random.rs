//! Random numbers that follow from a seed, the same on every machine.

/// A generator (SplitMix64): small, and one seed's stream has nothing of another's.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x5bd1_e995_9d1b_899d);
        random.next();
        random
    }

    /// A stream of its own for some part of the world: what one part draws does not move another's.
    pub fn fork(&mut self) -> Self {
        Random::new(self.next())
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `from` to `to`, both included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True in so many of a thousand cases.
    pub fn permille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }

    /// One of two.
    pub fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    /// Any of them; there is at least one.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// In any order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// A time that is mostly near `usual` and now and then much longer, as times are.
    pub fn about(&mut self, usual: u64) -> u64 {
        let time = self.between(usual / 2, usual + usual / 2);
        if self.permille(20) { time * self.between(2, 12) } else { time }
    }
}
