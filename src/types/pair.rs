//! A key and a value of a multimap table as one key of its tree: after a byte of the table's own, the encodings of the
//! elements of a tuple.

use std::ops::Bound;

use super::key::decode_key;
use super::{EncodeKey, Encoded, Encoder, Key, KeyPosition, KeyRange, KeyReader, PairRange, decode_error};
use crate::Result;

/// A pair, encoded.
pub(crate) struct EncodedPair {
    /// The first byte, the key, the value.
    pub(crate) bytes: Encoded<'static>,
    /// The length of the key.
    pub(crate) key_len: usize,
}

/// Encodes a pair after the byte `first`.
#[inline]
pub(crate) fn encode_pair<K: Key + ?Sized, V: Key + ?Sized>(
    first: u8,
    key: &impl EncodeKey<K>,
    value: &impl EncodeKey<V>,
) -> EncodedPair {
    let mut encoder = Encoder::new();
    encoder.push(&[first]);
    key.encode_key_into(&mut encoder, KeyPosition::Inner);
    let key_len = encoder.len() - 1;
    value.encode_key_into(&mut encoder, KeyPosition::Last);
    EncodedPair { bytes: encoder.finish(), key_len }
}

/// Encodes the beginning of the pairs of a key.
#[inline]
pub(crate) fn encode_pair_key<K: Key + ?Sized>(first: u8, key: &impl EncodeKey<K>) -> Encoded<'static> {
    let mut encoder = Encoder::new();
    encoder.push(&[first]);
    key.encode_key_into(&mut encoder, KeyPosition::Inner);
    encoder.finish()
}

/// Decodes what follows the first byte of a pair.
#[inline]
pub(crate) fn decode_pair<K: Key + ?Sized, V: Key + ?Sized>(content: &[u8]) -> Result<(K::Owned, V::Owned)> {
    let (key, key_len) = decode_pair_key::<K>(content)?;
    Ok((key, decode_key::<V>(&content[key_len..])?))
}

/// Decodes the key of a pair. Returns its length, too.
#[inline]
pub(crate) fn decode_pair_key<K: Key + ?Sized>(content: &[u8]) -> Result<(K::Owned, usize)> {
    let mut reader = KeyReader::new(content);
    let key = K::read(&mut reader, KeyPosition::Inner)?;
    Ok((key, content.len() - reader.len()))
}

/// Decodes a value that follows `prefix`.
#[inline]
pub(crate) fn decode_pair_value<V: Key + ?Sized>(pair: &[u8], prefix_len: usize) -> Result<V::Owned> {
    match pair.get(prefix_len..) {
        Some(value) => decode_key::<V>(value),
        None => Err(decode_error(V::type_name(), "the entry ends before it")),
    }
}

/// Encodes a range of keys as bounds of pairs, which are from `first` on and before the byte after it.
pub(crate) fn encode_pair_range<K: Key + ?Sized>(
    first: u8,
    range: &impl PairRange<K>,
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let (lower, upper) = range.encode_inner_range();
    let pair = |key: Encoded<'_>| [&[first], &*key].concat();
    let after =
        |key: Encoded<'_>| super::bound::prefix_upper_bound(&pair(key)).unwrap_or_else(|| vec![first + 1]);
    let lower = match lower {
        Bound::Included(key) => pair(key),
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => vec![first],
    };
    let upper = match upper {
        Bound::Included(key) => after(key),
        Bound::Excluded(key) => pair(key),
        Bound::Unbounded => vec![first + 1],
    };
    (Bound::Included(lower), Bound::Excluded(upper))
}

/// Encodes a range of values of the pairs that begin with `prefix`.
pub(crate) fn encode_value_range<V: Key + ?Sized>(
    prefix: &[u8],
    range: &impl KeyRange<V>,
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let (lower, upper) = range.encode_range();
    let pair = |value: Encoded<'_>| [prefix, &*value].concat();
    let lower = match lower.map(pair) {
        Bound::Unbounded => Bound::Included(prefix.to_vec()),
        bound => bound,
    };
    let upper = match upper.map(pair) {
        Bound::Unbounded => {
            super::bound::prefix_upper_bound(prefix).map_or(Bound::Unbounded, Bound::Excluded)
        }
        bound => bound,
    };
    (lower, upper)
}
