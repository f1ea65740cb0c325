//! The data and the proof that it was read: keys, values, and digests. All of it follows from numbers, so that every
//! engine gets the same and no file of test data is needed.

use serde::{Deserialize, Serialize};

pub const KEY_LEN: usize = 24;
pub const VALUE_LEN: usize = 150;

pub type Key = [u8; KEY_LEN];

/// The number-th key: 24 random bytes.
pub fn key(number: u64) -> Key {
    let mut random = fastrand::Rng::with_seed(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut key = [0; KEY_LEN];
    random.fill(&mut key);
    key
}

pub fn keys(numbers: std::ops::Range<u64>) -> Vec<Key> {
    numbers.map(key).collect()
}

/// The value of `key` in its `version`. Cheap to make, because it is made while the clock runs.
#[inline]
pub fn value(key: &Key, version: u64) -> [u8; VALUE_LEN] {
    let mut word = version.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    for part in key.as_chunks::<8>().0 {
        word = word.rotate_left(23) ^ u64::from_le_bytes(*part);
    }
    let mut value = [0; VALUE_LEN];
    for piece in value.chunks_mut(8) {
        word = word.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(version);
        piece.copy_from_slice(&word.to_le_bytes()[..piece.len()]);
    }
    value
}

/// Which of `keys` are read or changed: the same for every engine, others in every round.
pub fn sample(keys: &[Key], count: usize, seed: u64) -> Vec<Key> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| keys[random.usize(..keys.len())]).collect()
}

/// What was read, boiled down. The same work gives the same digest, whoever does it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Digest {
    pub count: u64,
    pub bytes: u64,
    pub sum: u64,
}

impl Digest {
    /// Takes the ends of `bytes` in: enough to bring its cache lines in, too little to outweigh the engine.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let end = |word: Option<&[u8; 8]>| word.map_or(1, |word| u64::from_le_bytes(*word));
        let word = end(bytes.first_chunk()) ^ end(bytes.last_chunk()).rotate_left(1);
        self.mix(bytes.len(), word);
    }

    /// Takes every byte in: for the comparison of whole databases, off the clock.
    pub fn add_whole(&mut self, bytes: &[u8]) {
        self.mix(bytes.len(), u64::from(crc32fast::hash(bytes)));
    }

    #[inline]
    fn mix(&mut self, length: usize, word: u64) {
        self.count += 1;
        self.bytes += length as u64;
        self.sum = self.sum.rotate_left(5).wrapping_add(word);
    }
}
