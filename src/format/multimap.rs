//! The entries in the tree of a multimap table.
//!
//! | key | value | entry |
//! |---|---|---|
//! | 00 | number of counters, 8 bytes | absent if there are no counters |
//! | 01, key | number of the key's values, 8 bytes | a counter |
//! | 02, key, value | nothing | a pair |
//!
//! Numbers are little-endian. The key is encoded as the first element of a tuple, so that no encoding is the beginning
//! of another; the value is encoded as a key. So the pairs of one key are adjacent, in the order of its values, and a
//! page stores the key once, as the prefix of its entries.
//!
//! Invariants:
//! - M1: a counter holds the number of its key's pairs.
//! - M2: the entry 00 holds the number of counters.
//! - M3: a key that has more than [`MAX_UNCOUNTED`] values gets a counter soon, and loses it with the commit after
//!   which it has no more than that. Readers do not rely on it: the pairs of a key without a counter are counted, leaf
//!   by leaf. So a salvaged table may lack counters.

use crate::base::bytes::{get_u64, put_u64};
use crate::error::{Error, Result, corrupt};

/// The key of the entry with the number of counters.
pub(crate) const COUNTER_COUNT: &[u8] = &[0];
/// The first byte of a counter's key.
pub(crate) const COUNTER: u8 = 1;
/// The first byte of a pair.
pub(crate) const PAIR: u8 = 2;

/// A key with more values than this has a counter.
pub(crate) const MAX_UNCOUNTED: u64 = 64;

/// Returns the key of an encoded key's counter.
pub(crate) fn counter_key(key: &[u8]) -> Vec<u8> {
    [&[COUNTER], key].concat()
}

/// Returns the bytes with which the pairs of an encoded key begin.
pub(crate) fn pair_prefix(key: &[u8]) -> Vec<u8> {
    [&[PAIR], key].concat()
}

/// Returns the smallest key after those that begin with `prefix`, which is the beginning of a pair or a counter.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff).unwrap_or_default();
    let mut end = prefix[..=last].to_vec();
    end[last] = end[last].wrapping_add(1); // the first byte is 1 or 2
    end
}

/// Returns a number as the value of an entry.
pub(crate) fn encode_count(count: u64) -> [u8; 8] {
    let mut bytes = [0; 8];
    put_u64(&mut bytes, 0, count);
    bytes
}

/// Reads the value of an entry that is a number.
pub(crate) fn decode_count(bytes: &[u8]) -> Result<u64> {
    match bytes.len() {
        8 => Ok(get_u64(bytes, 0)),
        length => {
            Err(corrupt(None, "counter of a multimap table", "8 bytes", format_args!("{length} bytes")))
        }
    }
}

/// Returns what follows the first byte of a pair: the key and the value.
#[inline]
pub(crate) fn pair_content(entry: &[u8]) -> Result<&[u8]> {
    match entry {
        [PAIR, content @ ..] => Ok(content),
        other => Err(not_a_pair(other)),
    }
}

#[cold]
fn not_a_pair(entry: &[u8]) -> Error {
    let found = entry.first().map_or("nothing".to_owned(), u8::to_string);
    corrupt(None, "first byte of a pair in a multimap table", PAIR, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_after_all_that_begin_with_it_and_before_all_others() {
        for (key, end) in
            [(&b"a"[..], &b"\x02b"[..]), (b"", b"\x03"), (b"a\xff", b"\x02b"), (b"\xff\xff", b"\x03")]
        {
            assert_eq!(end_of_prefix(&pair_prefix(key)), end);
        }
    }

    #[test]
    fn counts_have_eight_bytes() {
        assert_eq!(decode_count(&encode_count(1 << 40)).unwrap(), 1 << 40);
        assert!(decode_count(&[0; 7]).is_err());
        assert!(decode_count(&[]).is_err());
        assert!(pair_content(&[COUNTER, 7]).is_err());
        assert!(pair_content(&[]).is_err());
    }
}
