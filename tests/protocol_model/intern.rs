//! Numbers in place of values: equal values have equal numbers.
//!
//! A state of the model holds numbers of pages, snapshots and histories. That keeps a state near 150 bytes, `Copy`
//! and cheap to compare, so tens of millions of states fit into memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// All values of one kind that have come up, each with a number.
pub(crate) struct Interner<T> {
    all: Vec<T>,
    numbers: HashMap<T, u16, FastHash>,
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub(crate) fn new() -> Interner<T> {
        Interner { all: Vec::new(), numbers: HashMap::default() }
    }

    pub(crate) fn number(&mut self, value: T) -> u16 {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        let number = u16::try_from(self.all.len()).expect("fewer than 65,536 values of a kind");
        self.all.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    pub(crate) fn get(&self, number: u16) -> &T {
        &self.all[usize::from(number)]
    }
}

/// A hasher for small keys and for states: one multiplication for each word.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fast(u64);

pub(crate) type FastHash = BuildHasherDefault<Fast>;

impl Fast {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
        self.0 = (product as u64).rotate_left(23) ^ (product >> 64) as u64 ^ word.rotate_left(41);
    }
}

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        let mut hash = self.0;
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ hash >> 33
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
}
