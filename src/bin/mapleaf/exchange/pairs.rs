//! Tables with duplicates (LMDB's DUPSORT): kept as tables whose keys are the pairs.

/// The types of a table whose keys are the pairs of a table with duplicates.
pub(crate) const PAIR_TYPES: (&str, &str) = ("(bytes,bytes)", "()");

/// A key of two byte strings.
pub(crate) fn join_pair(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut pair = Vec::with_capacity(key.len() + value.len() + 2);
    for &byte in key {
        pair.push(byte);
        if byte == 0 {
            pair.push(0xff);
        }
    }
    pair.extend([0, 0]);
    pair.extend(value);
    pair
}

/// Takes a key of two byte strings apart: 00 FF in the first stands for 00, and 00 00 ends it.
pub(crate) fn split_pair(key: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut first = Vec::new();
    let mut rest = key;
    loop {
        rest = match rest {
            [0, 0, second @ ..] => return Some((first, second)),
            [0, 0xff, after @ ..] => {
                first.push(0);
                after
            }
            [0, ..] | [] => return None,
            [byte, after @ ..] => {
                first.push(*byte);
                after
            }
        };
    }
}
