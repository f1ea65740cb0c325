//! Pseudorandom numbers that depend on their seed only, in every version of the library: a seed that was printed once
//! remains valid.

use crate::base::SplitMix64;

/// A generator of pseudorandom numbers (splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014).
///
/// ```
/// use mapleaf::sim::Random;
///
/// let (mut one, mut other) = (Random::new(17), Random::new(17));
/// assert_eq!(one.next(), other.next());
/// assert!(one.below(6) < 6);
/// ```
#[derive(Clone, Debug)]
pub struct Random(SplitMix64);

impl Random {
    /// Returns the generator for `seed`.
    pub fn new(seed: u64) -> Random {
        Random(SplitMix64::new(seed))
    }

    /// Returns the next number. All are equally likely.
    #[allow(clippy::should_implement_trait, reason = "it never ends, so it is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// Returns a number from 0 to `limit - 1`, or 0 if `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit as u64).max(1)) as usize
    }

    /// Returns `true` once in `times` calls, on average.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
