//! An owned key that needs no allocation while it is short.
//!
//! A leaf stores the common prefix of its keys once, so no page contains a whole key contiguously: keys are assembled
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
    /// Assembles a key from a prefix, the first `head_len` bytes of `head`, and a rest, which is empty unless
    /// `head_len` is the full length of `head`.
    #[inline]
    pub(crate) fn from_pieces(prefix: &[u8], head: [u8; 4], head_len: usize, rest: &[u8]) -> KeyBuf {
        KeyBuf::short(prefix, head, head_len, rest)
            .unwrap_or_else(|| KeyBuf::from(&[prefix, &head[..head_len], rest].concat()[..]))
    }

    /// Does the same for a key that fits inline with space for a whole head.
    #[inline(always)]
    pub(crate) fn short(prefix: &[u8], head: [u8; 4], head_len: usize, rest: &[u8]) -> Option<KeyBuf> {
        let mut bytes = [0; INLINE_LEN];
        copy_short(prefix, bytes.get_mut(..prefix.len())?);
        // The whole head is copied. Bytes that are not part of the key are after its end, or its rest overwrites
        // them.
        *bytes.get_mut(prefix.len()..)?.first_chunk_mut()? = head;
        let start = prefix.len() + head_len;
        copy_short(rest, bytes.get_mut(start..start + rest.len())?);
        Some(KeyBuf::Inline { len: (start + rest.len()) as u8, bytes })
    }
}

/// Copies a few bytes between slices of equal length. A call of the C library's copy would cost several times as
/// much.
#[inline(always)]
fn copy_short(from: &[u8], to: &mut [u8]) {
    let len = from.len();
    match len {
        0 => {}
        1..4 => {
            // The compiler would turn a loop into such a call.
            for at in [0, len / 2, len - 1] {
                if let (Some(from), Some(to)) = (from.get(at), to.get_mut(at)) {
                    *to = *from;
                }
            }
        }
        4..8 => copy_ends::<4>(from, to),
        8..16 => copy_ends::<8>(from, to),
        16..=32 => copy_ends::<16>(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first `N` bytes and the last `N`, which may overlap and together are the whole slice.
#[inline(always)]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<N>(), to.first_chunk_mut::<N>()) {
        *to = *from;
    }
    if let (Some(from), Some(to)) = (from.last_chunk::<N>(), to.last_chunk_mut::<N>()) {
        *to = *from;
    }
}

impl From<&[u8]> for KeyBuf {
    fn from(bytes: &[u8]) -> KeyBuf {
        let mut inline = [0; INLINE_LEN];
        match inline.get_mut(..bytes.len()) {
            Some(place) => {
                copy_short(bytes, place);
                KeyBuf::Inline { len: bytes.len() as u8, bytes: inline }
            }
            None => KeyBuf::Heap(bytes.into()),
        }
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
                let head_len = (len - cut).min(4);
                let mut head = [0xff; 4];
                head[..head_len].copy_from_slice(&whole[cut..cut + head_len]);
                let key = KeyBuf::from_pieces(&whole[..cut], head, head_len, &whole[cut + head_len..]);
                assert_eq!(*key, *whole);
            }
        }
    }
}
