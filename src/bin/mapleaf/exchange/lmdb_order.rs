//! The orders in which LMDB compares keys, and the values of one key: the types that have the same order here.
//!
//! A dump has the bytes as LMDB stores them, and names the order in its header: `reversekey=1` and `reversedup=1`
//! compare from the end, `integerkey=1` and `integerdup=1` as unsigned integers of the machine, of 4 or 8 bytes.

use std::borrow::Cow;

use mapleaf::{EncodeKey, Key, KeyBytes};

/// What a header says about an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Order {
    #[default]
    Bytes,
    FromEnd,
    /// Their width is known from the first of them only.
    Integer,
}

/// A type whose keys are in the order that LMDB has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ordered {
    Bytes,
    FromEnd,
    U32,
    U64,
}

const NAMES: [(&str, Ordered); 4] = [
    ("bytes", Ordered::Bytes),
    ("bytes_from_end", Ordered::FromEnd),
    ("u32", Ordered::U32),
    ("u64", Ordered::U64),
];

impl Ordered {
    /// The type for an order and the first bytes that have it; of integers of which there is none, `u64`.
    pub(crate) fn of(order: Order, first: Option<&[u8]>) -> Result<Ordered, String> {
        match (order, first.map(<[u8]>::len)) {
            (Order::Bytes, _) => Ok(Ordered::Bytes),
            (Order::FromEnd, _) => Ok(Ordered::FromEnd),
            (Order::Integer, Some(4)) => Ok(Ordered::U32),
            (Order::Integer, Some(8) | None) => Ok(Ordered::U64),
            (Order::Integer, Some(length)) => Err(format!("an integer of {length} bytes, not 4 or 8")),
        }
    }

    fn of_name(name: &str) -> Option<Ordered> {
        NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, ordered)| ordered)
    }

    /// The key type of a table, if LMDB has its order under a flag. It has that of integers, too, but their bytes are
    /// others.
    pub(crate) fn of_keys(key_type: &str, as_integers: bool) -> Ordered {
        match Ordered::of_name(key_type) {
            Some(Ordered::U32 | Ordered::U64) if !as_integers => Ordered::Bytes,
            Some(ordered) => ordered,
            None => Ordered::Bytes,
        }
    }

    /// The type's name in the catalog.
    pub(crate) fn name(self) -> &'static str {
        NAMES.into_iter().find(|(_, ordered)| *ordered == self).map_or("", |(name, _)| name)
    }

    pub(crate) fn order(self) -> Order {
        match self {
            Ordered::Bytes => Order::Bytes,
            Ordered::FromEnd => Order::FromEnd,
            Ordered::U32 | Ordered::U64 => Order::Integer,
        }
    }

    fn is_reversed(self) -> bool {
        match self {
            Ordered::Bytes => false,
            Ordered::FromEnd => true,
            // Keys here are big-endian.
            Ordered::U32 | Ordered::U64 => cfg!(target_endian = "little"),
        }
    }

    fn size(self) -> Option<usize> {
        match self {
            Ordered::Bytes | Ordered::FromEnd => None,
            Ordered::U32 => Some(4),
            Ordered::U64 => Some(8),
        }
    }

    /// What is stored here for the bytes of LMDB.
    pub(crate) fn store(self, mut bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        if self.size().is_some_and(|size| size != bytes.len()) {
            return Err(format!("{} bytes where others are integers of type {}", bytes.len(), self.name()));
        }
        if self.is_reversed() {
            bytes.reverse();
        }
        Ok(bytes)
    }

    /// The bytes of LMDB for what is stored here.
    pub(crate) fn give(self, stored: &[u8]) -> Cow<'_, [u8]> {
        match self.is_reversed() {
            true => stored.iter().rev().copied().collect(),
            false => Cow::Borrowed(stored),
        }
    }
}

/// A table whose keys are the pairs of key and value of a table with duplicates (DUPSORT), and whose values are `()`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs {
    pub(crate) key: Ordered,
    pub(crate) value: Ordered,
}

/// Bytes and the rest of a key.
type Pair = (Vec<u8>, Vec<u8>);

impl Pairs {
    pub(crate) const VALUE_TYPE: &str = "()";

    pub(crate) fn of_types(key_type: &str, value_type: &str) -> Option<Pairs> {
        let (key, value) = key_type.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
        let pairs = Pairs { key: Ordered::of_name(key)?, value: Ordered::of_name(value)? };
        Some(pairs).filter(|_| value_type == Pairs::VALUE_TYPE)
    }

    pub(crate) fn key_type(self) -> String {
        format!("({},{})", self.key.name(), self.value.name())
    }

    /// The key that stands for a key and one of its values.
    pub(crate) fn join(self, key: Vec<u8>, value: Vec<u8>) -> Result<Vec<u8>, String> {
        let (key, value) = (self.key.store(key)?, self.value.store(value)?);
        Ok(match self.key.size() {
            Some(_) => [key, value].concat(),
            None => EncodeKey::<Pair>::encode_key(&(key, value)).to_vec(),
        })
    }

    /// The reverse of [`Pairs::join`]; `None` if `pair` is not such a key.
    pub(crate) fn split(self, pair: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let (key, value) = match self.key.size() {
            Some(size) => pair.split_at_checked(size).map(|(key, value)| (key.to_vec(), value.to_vec()))?,
            None => <Pair as Key>::decode(KeyBytes::from(pair)).ok()?,
        };
        let is_whole = self.value.size().is_none_or(|size| size == value.len());
        is_whole.then(|| (self.key.give(&key).into_owned(), self.value.give(&value).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split_as_they_were_joined() {
        let names = ["bytes", "bytes_from_end", "u32", "u64"];
        for (key_type, value_type) in names.iter().flat_map(|key| names.map(|value| (*key, value))) {
            let pairs = Pairs::of_types(&format!("({key_type},{value_type})"), "()").unwrap();
            assert_eq!(pairs.key_type(), format!("({key_type},{value_type})"));
            let sample = |name: &str| match name {
                "u32" => vec![1, 2, 3, 0],
                "u64" => vec![1, 2, 3, 4, 5, 6, 7, 0],
                _ => vec![0, 1, 0xff, 0],
            };
            let (key, value) = (sample(key_type), sample(value_type));
            let joined = pairs.join(key.clone(), value.clone()).unwrap();
            assert_eq!(pairs.split(&joined), Some((key, value)), "({key_type},{value_type})");
        }
        assert!(Pairs::of_types("(bytes,str)", "()").is_none());
        assert!(Pairs::of_types("(bytes,bytes)", "u8").is_none());
        let integers = Pairs::of_types("(u64,u32)", "()").unwrap();
        assert_eq!(integers.split(&[0; 11]), None);
        assert!(integers.join(vec![0; 4], vec![0; 4]).is_err());
    }
}
