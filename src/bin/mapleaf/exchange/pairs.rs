//! Tables with duplicates (LMDB's DUPSORT): kept as tables whose keys are the pairs of key and value.

use mapleaf::{EncodeKey, Key, KeyBytes};

/// The types of such a table.
pub(crate) const PAIR_TYPES: (&str, &str) = ("(bytes,bytes)", "()");

type Pair = (Vec<u8>, Vec<u8>);

/// The key that stands for a key and one of its values.
pub(crate) fn join_pair(key: Vec<u8>, value: Vec<u8>) -> Vec<u8> {
    EncodeKey::<Pair>::encode_key(&(key, value)).to_vec()
}

/// The reverse of [`join_pair`]; `None` if `pair` is not such a key.
pub(crate) fn split_pair(pair: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (key, value) = <Pair as Key>::decode(KeyBytes::from(pair)).ok()?;
    Some((key.to_vec(), &pair[pair.len() - value.len()..]))
}
