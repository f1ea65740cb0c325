//! The shapes of keys and values, and keys of each.

use std::fmt;

use clap::ValueEnum;

use crate::workload::{KeyList, Values};

/// What keys are like, for any length from 8 bytes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum KeyKind {
    /// Random bytes.
    Random,
    /// Zeros, and a number that counts up.
    Ascending,
    /// Twenty keys in a row differ only in their last three bytes.
    Shared,
    /// Small letters.
    Text,
    /// Random numbers, as each engine has them: of 8 bytes, with values of 8.
    Number,
}

/// Keys with the same beginning, of [`KeyKind::Shared`].
pub const SHARED: usize = 20;
/// Bytes in which those differ.
const APART: usize = 3;

/// The shape of all entries of a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    pub kind: KeyKind,
    pub key_len: usize,
    pub value_len: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = format!("{:?}", self.kind).to_lowercase();
        write!(f, "{kind} {}+{}", self.key_len, self.value_len)
    }
}

impl Shape {
    /// The keys with the numbers below `count`, in the order of these.
    pub fn keys(self, count: usize) -> KeyList {
        let bytes = (0..count as u64).flat_map(|number| self.key(number)).collect();
        KeyList::new(bytes, self.key_len)
    }

    pub fn values(self) -> Values {
        Values::of_length(self.value_len)
    }

    /// The beginnings of some keys of [`KeyKind::Shared`], which are those of 20 keys each.
    pub fn prefixes(self, count: usize, wanted: usize) -> KeyList {
        let groups = (count / SHARED) as u64;
        let mut random = fastrand::Rng::with_seed(5);
        let prefix = |_| self.key(random.u64(..groups) * SHARED as u64)[..self.key_len - APART].to_vec();
        KeyList::new((0..wanted).flat_map(prefix).collect(), self.key_len - APART)
    }

    fn key(self, number: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        // A bijection of 32 bits, so that no two keys are equal.
        let scramble = |number: u64| (number as u32).wrapping_mul(0x9E37_79B1);
        match self.kind {
            KeyKind::Random => (0..self.key_len).map(|_| random.u8(..)).collect(),
            KeyKind::Ascending => [&vec![0; self.key_len - 8], &number.to_be_bytes()[..]].concat(),
            KeyKind::Shared => {
                let (group, item) = (scramble(number / SHARED as u64), number % SHARED as u64);
                let path = b"/collections/of/the/library/on/the/shelf/upstairs/books/".iter().cycle();
                let mut key = group.to_be_bytes().to_vec();
                key.extend(path.take(self.key_len - APART - key.len()));
                key.extend(format!("{item:0APART$}").into_bytes());
                key
            }
            KeyKind::Text => {
                let mut left = scramble(number);
                let mut letter = |_| {
                    let digit = left % 26;
                    left /= 26;
                    b'a' + digit as u8
                };
                let start: Vec<u8> = (0..7).map(&mut letter).collect();
                let rest = (start.len()..self.key_len).map(|_| random.u8(b'a'..=b'z'));
                start.iter().copied().chain(rest).collect()
            }
            KeyKind::Number => (random.u64(..) >> 1).to_be_bytes().to_vec(),
        }
    }
}
