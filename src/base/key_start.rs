//! The common beginning of many keys, prepared so that each key is put together in registers.
//!
//! A key that is put together in memory is stored in pieces and then moved as a whole, and a processor waits where it
//! loads what several earlier stores have written. That wait was half of a scan's time. Here a key is a few words of
//! eight bytes, each computed from one load, and no step depends on an index that only memory could take.

use crate::base::KeyBuf;
use crate::base::key_buf::{INLINE_LEN, INLINE_WORDS, copy_short};

/// Length of the part of a key after its beginning that is stored apart from the rest.
const HEAD_LEN: usize = 4;

type Words = [u64; INLINE_WORDS];

/// Bytes with which keys begin.
#[derive(Clone, Copy)]
pub(crate) struct KeyStart {
    /// How many there are; at most [`INLINE_LEN`].
    len: usize,
    /// The bytes, and zeros after them.
    words: Words,
    masks: &'static Masks,
}

/// Which bits of a key's words come from where, after a beginning of a certain length.
struct Masks {
    /// The word in which the head begins.
    head: Words,
    /// The word after it, to which a part of the head may belong.
    head_end: Words,
    /// The bytes after the head.
    rest: Words,
}

static MASKS: [Masks; INLINE_LEN + 1] = masks();

const fn masks() -> [Masks; INLINE_LEN + 1] {
    const NONE: Masks =
        Masks { head: [0; INLINE_WORDS], head_end: [0; INLINE_WORDS], rest: [0; INLINE_WORDS] };
    let mut masks = [NONE; INLINE_LEN + 1];
    let mut len = 0;
    while len <= INLINE_LEN {
        let mut byte = 0;
        while byte < 8 * INLINE_WORDS {
            let (word, bits) = (byte / 8, 0xff << (8 * (byte % 8)));
            if word == len / 8 {
                masks[len].head[word] |= bits;
            } else if word == len / 8 + 1 {
                masks[len].head_end[word] |= bits;
            }
            if byte >= len + HEAD_LEN {
                masks[len].rest[word] |= bits;
            }
            byte += 1;
        }
        len += 1;
    }
    masks
}

impl KeyStart {
    /// Prepares `start`; `None` if it is too long for keys without an allocation.
    #[inline]
    pub(crate) fn new(start: &[u8]) -> Option<KeyStart> {
        let masks = MASKS.get(start.len())?;
        let mut padded = [[0; 8]; INLINE_WORDS];
        copy_short(start, padded.as_flattened_mut().get_mut(..start.len())?);
        Some(KeyStart { len: start.len(), words: padded.map(u64::from_le_bytes), masks })
    }

    /// Puts a key of `len` bytes together: this beginning, the bytes of `head`, and those of `bytes` from `rest_at`
    /// on. `None` if the key is too long, or if too few bytes lie around its rest.
    #[inline(always)]
    pub(crate) fn join(
        &self,
        head: [u8; HEAD_LEN],
        bytes: &[u8],
        rest_at: usize,
        len: usize,
    ) -> Option<KeyBuf> {
        // Loaded from here, the bytes of the rest have the places in their words that they have in the key.
        let bytes = bytes.get(rest_at.checked_sub(self.len + HEAD_LEN)?..)?.as_chunks().0;
        let words = match len {
            0..=16 => self.words_with::<2>(head, bytes.first_chunk()?),
            17..=32 => self.words_with::<4>(head, bytes.first_chunk()?),
            33..=48 => self.words_with::<6>(head, bytes.first_chunk()?),
            49..=INLINE_LEN => self.words_with::<INLINE_WORDS>(head, bytes.first_chunk()?),
            _ => return None,
        };
        Some(KeyBuf::from_words(words, len))
    }

    #[inline(always)]
    fn words_with<const N: usize>(&self, head: [u8; HEAD_LEN], bytes: &[[u8; 8]; N]) -> Words {
        let (head, bits) = (u64::from(u32::from_le_bytes(head)), 8 * (self.len % 8));
        let (head, head_end) = (head << bits, head >> 1 >> (63 - bits));
        let mut words = [0; INLINE_WORDS];
        for (word, bytes) in bytes.iter().enumerate() {
            words[word] = self.words[word]
                | head & self.masks.head[word]
                | head_end & self.masks.head_end[word]
                | u64::from_le_bytes(*bytes) & self.masks.rest[word];
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_length_come_out_whole_wherever_their_parts_are_cut() {
        for len in 0..100usize {
            let whole: Vec<u8> = (1..=len as u8).collect();
            for cut in 0..=len.min(80) {
                let (prefix, suffix) = whole.split_at(cut);
                let mut head = [0xee; HEAD_LEN];
                let (in_head, rest) = suffix.split_at(suffix.len().min(HEAD_LEN));
                head[..in_head.len()].copy_from_slice(in_head);
                let page = [&[0xaa; 80][..], rest, &[0xbb; 72]].concat();
                let key = KeyStart::new(prefix).and_then(|start| start.join(head, &page, 80, len));
                assert_eq!(key.is_some(), len <= INLINE_LEN, "{len}, {cut}");
                assert!(key.is_none_or(|key| *key == *whole), "{len}, {cut}");
            }
        }
    }

    #[test]
    fn a_key_at_an_end_of_the_bytes_is_none_or_right() {
        let page: Vec<u8> = (0..80).collect();
        let start = KeyStart::new(b"0123456789").unwrap();
        for rest_at in 0..100 {
            for rest_len in 0..40 {
                let key = start.join(*b"abcd", &page, rest_at, 14 + rest_len);
                let expected =
                    page.get(rest_at..rest_at + rest_len).map(|rest| [b"0123456789abcd", rest].concat());
                assert!(key.is_none_or(|key| Some(key.to_vec()) == expected), "{rest_at}, {rest_len}");
            }
        }
    }
}
