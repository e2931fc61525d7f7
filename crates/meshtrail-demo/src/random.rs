//! A small random number generator (SplitMix64): the same seed gives the same numbers on every machine.

/// A seeded random number generator.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator with this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An independent generator for one part of the data, so that a change of one part does not affect the others.
    pub fn part_of(seed: u64, part: &str) -> Self {
        let mixed = part.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(mixed)
    }

    /// A number of the whole range.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of a product: without division, and as uniform as a 64-bit generator allows.
        let product = u128::from(self.any()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number from `low` to `high`, both inclusive.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// An index into a list of `length`.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// An index into a list of `length`, the first ones far more often than the last.
    pub fn skewed_index(&mut self, length: usize) -> usize {
        let least = [self.any(), self.any(), self.any()].into_iter().min().unwrap_or(0);
        usize::try_from((u128::from(least) * length as u128) >> 64).unwrap_or(0)
    }

    /// True with a probability of 1 in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `all`, uniformly.
    ///
    /// # Panics
    ///
    /// If `all` is empty.
    pub fn one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.index(all.len())]
    }

    /// One of `all`, the first ones far more often than the last.
    ///
    /// # Panics
    ///
    /// If `all` is empty.
    pub fn skewed<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.skewed_index(all.len())]
    }

    /// A size of about `middle`, over several orders of magnitude; integers only, so that rounding is the same everywhere.
    pub fn size(&mut self, middle: u64) -> u64 {
        let (shift, fine) = (self.below(7) + self.below(7), self.below(1024));
        let scaled = (u128::from(middle) * (1024 + u128::from(fine))) << shift;
        u64::try_from(scaled >> 17).unwrap_or(u64::MAX)
    }

    /// `digits` hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            text.push_str(&format!("{:016x}", self.any()));
        }
        text.truncate(digits);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_their_bounds_and_come_again_from_the_same_seed() {
        let draw = |seed| {
            let mut random = Random::part_of(seed, "test");
            (0..1000).map(|_| (random.between(3, 7), random.index(4), random.size(1000))).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|(number, place, _)| (3..=7).contains(number) && *place < 4));
        let (small, large) = (draw(4).iter().map(|row| row.2).min(), draw(4).iter().map(|row| row.2).max());
        assert!(small < Some(50) && large > Some(10_000), "{small:?} {large:?}");
    }
}
