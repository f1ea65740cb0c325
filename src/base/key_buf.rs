//! An owned key that needs no allocation while it is short.
//!
//! A leaf stores what its keys share once, so a whole key never lies contiguous in a page: it is put together
//! here. Values, which can be long, are always borrowed in place.

use std::fmt;
use std::ops::Deref;

const INLINE_LEN: usize = 38;

/// The bytes of one key, inline up to 38 bytes, on the heap beyond.
#[derive(Clone)]
pub(crate) enum KeyBuf {
    Inline { len: u8, bytes: [u8; INLINE_LEN] },
    Heap(Box<[u8]>),
}

impl KeyBuf {
    /// Puts a key together from its pieces.
    #[inline]
    pub(crate) fn from_parts(parts: [&[u8]; 3]) -> KeyBuf {
        let len = parts[0].len() + parts[1].len() + parts[2].len();
        if len > INLINE_LEN {
            return KeyBuf::Heap(parts.concat().into_boxed_slice());
        }
        let mut bytes = [0; INLINE_LEN];
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        KeyBuf::Inline { len: len as u8, bytes }
    }
}

impl From<&[u8]> for KeyBuf {
    fn from(bytes: &[u8]) -> KeyBuf {
        KeyBuf::from_parts([bytes, &[], &[]])
    }
}

impl Deref for KeyBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            KeyBuf::Inline { len, bytes } => &bytes[..usize::from(*len)],
            KeyBuf::Heap(bytes) => bytes,
        }
    }
}

impl PartialEq for KeyBuf {
    fn eq(&self, other: &KeyBuf) -> bool {
        **self == **other
    }
}

impl Eq for KeyBuf {}

impl fmt::Debug for KeyBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_every_length_come_out_whole() {
        for len in 0..100usize {
            let whole: Vec<u8> = (0..len as u8).collect();
            for cut in 0..=len {
                let middle = cut + (len - cut).min(4);
                let key = KeyBuf::from_parts([&whole[..cut], &whole[cut..middle], &whole[middle..]]);
                assert_eq!(*key, *whole);
            }
        }
    }
}
