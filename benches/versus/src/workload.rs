//! The data and the proof that it was read: keys, values, and digests. All of it follows from numbers, so that every
//! engine gets the same and no file of test data is needed.

use std::ops::Range;
use std::slice::ChunksExact;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// What keys look like. All keys of a kind have the same length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// 24 random bytes, with values of 150.
    Random,
    /// Random numbers below 2^63, big-endian, with values of 8 bytes. Engines store them in the way that they have for
    /// numbers.
    Number,
    /// One of a thousand addresses of 60 bytes and 16 random digits, with values of 150 bytes.
    Prefixed,
    /// `user:00001234:profile:field07`, 16 fields for each user, with values of 150 bytes.
    Structured,
    /// 24 random bytes, with values of 100 KB to 1 MB.
    Large,
}

impl Kind {
    /// The keys with these numbers, in this order.
    pub fn keys(self, numbers: Range<u64>) -> KeyList {
        let mut bytes = Vec::new();
        numbers.for_each(|number| self.append_key(number, &mut bytes));
        KeyList { width: self.width(), bytes }
    }

    /// Bytes in a key.
    fn width(self) -> usize {
        let mut one = Vec::new();
        self.append_key(0, &mut one);
        one.len()
    }

    fn append_key(self, number: u64, bytes: &mut Vec<u8>) {
        let mut random = fastrand::Rng::with_seed(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        match self {
            Kind::Random | Kind::Large => {
                let mut key = [0; 24];
                random.fill(&mut key);
                bytes.extend_from_slice(&key);
            }
            Kind::Number => bytes.extend_from_slice(&(random.u64(..) >> 1).to_be_bytes()),
            Kind::Prefixed => {
                let (shelf, item) = (random.u32(..1000), random.u64(..));
                let key =
                    format!("https://www.example.org/library/collection/{shelf:03}/catalog/{item:016x}");
                bytes.extend_from_slice(key.as_bytes());
            }
            Kind::Structured => {
                let key = format!("user:{:08}:profile:field{:02}", number / 16, number % 16);
                bytes.extend_from_slice(key.as_bytes());
            }
        }
    }

    /// The values that belong to such keys, in their `version`.
    pub fn values(self, version: u64) -> Values {
        let length = match self {
            Kind::Random | Kind::Prefixed | Kind::Structured => Length::Fixed(150),
            Kind::Number => Length::Fixed(8),
            Kind::Large => Length::Large,
        };
        Values { version, length }
    }
}

/// Keys of one length, one after the other.
#[derive(Clone)]
pub struct KeyList {
    bytes: Vec<u8>,
    width: usize,
}

impl KeyList {
    /// Keys of `width` bytes, one after the other.
    pub fn new(bytes: Vec<u8>, width: usize) -> KeyList {
        KeyList { bytes, width }
    }

    pub fn all(&self) -> Keys<'_> {
        Keys { bytes: &self.bytes, width: self.width }
    }

    pub fn sorted(&self) -> KeyList {
        let mut keys: Vec<&[u8]> = self.all().iter().collect();
        keys.sort_unstable();
        KeyList { bytes: keys.concat(), width: self.width }
    }

    /// The same keys in another order, which is the same for everyone.
    pub fn shuffled(&self) -> KeyList {
        let mut keys: Vec<&[u8]> = self.all().iter().collect();
        fastrand::Rng::with_seed(7).shuffle(&mut keys);
        KeyList { bytes: keys.concat(), width: self.width }
    }

    /// Which of the keys are read or changed: the same for every engine, others with another seed.
    pub fn sample(&self, count: usize, seed: u64) -> KeyList {
        let mut random = fastrand::Rng::with_seed(seed);
        let keys = self.all();
        let mut bytes = Vec::with_capacity(count * self.width);
        (0..count).for_each(|_| bytes.extend_from_slice(keys.get(random.usize(..keys.len()))));
        KeyList { bytes, width: self.width }
    }
}

/// Keys of a [`KeyList`].
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl<'a> Keys<'a> {
    pub fn len(self) -> usize {
        self.bytes.len() / self.width
    }

    pub fn get(self, index: usize) -> &'a [u8] {
        &self.bytes[index * self.width..][..self.width]
    }

    pub fn iter(self) -> ChunksExact<'a, u8> {
        self.bytes.chunks_exact(self.width)
    }

    pub fn range(self, range: Range<usize>) -> Keys<'a> {
        Keys { bytes: &self.bytes[range.start * self.width..range.end * self.width], ..self }
    }

    /// The keys in pieces of `count`; the last may be shorter.
    pub fn chunks(self, count: usize) -> impl Iterator<Item = Keys<'a>> {
        let width = self.width;
        self.bytes.chunks(count * width).map(move |bytes| Keys { bytes, width })
    }
}

/// How the value of a key follows from the key.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    version: u64,
    length: Length,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Fixed(usize),
    /// Too long to be made while the clock runs.
    Piece(usize),
    /// 100 KB to 1 MB.
    Large,
}

/// Room to make a value in.
pub type Room = [u8; 256];

/// Large values are pieces of this, so that making them takes no time.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = vec![0; 3 << 20];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
});

impl Values {
    /// Values of `length` bytes.
    pub fn of_length(length: usize) -> Values {
        let made = if length <= size_of::<Room>() { Length::Fixed(length) } else { Length::Piece(length) };
        Values { version: 1, length: made }
    }

    /// The value of `key`. Cheap to make, because it is made while the clock runs.
    #[inline]
    pub fn of<'a>(self, key: &[u8], room: &'a mut Room) -> &'a [u8] {
        let mut word = self.version.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        for part in key.as_chunks::<8>().0 {
            word = word.rotate_left(23) ^ u64::from_le_bytes(*part);
        }
        let next = |word: u64| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(self.version);
        match self.length {
            Length::Fixed(length) => {
                let value = &mut room[..length];
                for piece in value.chunks_mut(8) {
                    word = next(word);
                    piece.copy_from_slice(&word.to_le_bytes()[..piece.len()]);
                }
                value
            }
            Length::Piece(length) => &LARGE[(next(word) >> 44) as usize..][..length],
            Length::Large => {
                let (length, from) =
                    ((next(word) >> 32) % 900_001 + 100_000, (next(next(word)) >> 32) % (2 << 20));
                &LARGE[from as usize..][..length as usize]
            }
        }
    }
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

    /// Of what two threads or processes read side by side.
    pub fn and(self, other: Digest) -> Digest {
        Digest {
            count: self.count + other.count,
            bytes: self.bytes + other.bytes,
            sum: self.sum ^ other.sum.rotate_left(1),
        }
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
