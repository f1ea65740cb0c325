//! An owned key that needs no allocation while it is short.
//!
//! A leaf stores the common prefix of its keys once, so no page contains a whole key contiguously: keys are assembled
//! here. Values, which can be long, are always borrowed in place.

use std::fmt;
use std::num::NonZero;
use std::ops::Deref;

/// Length of the longest key without an allocation: with its length it takes whole words. A key on the heap costs a
/// scan more than all the rest of an entry.
pub(super) const INLINE_LEN: usize = 71;
/// Words of eight bytes that have room for it.
pub(super) const INLINE_WORDS: usize = INLINE_LEN.div_ceil(8);

/// The bytes of one key, inline up to 71 bytes, on the heap beyond.
#[derive(Clone)]
pub(crate) enum KeyBuf {
    Inline(InlineKey),
    Heap(Box<[u8]>),
}

/// A short key. The bytes come first, as whole words; the length, which is never zero, distinguishes it from a key on
/// the heap.
#[derive(Clone)]
#[repr(C)]
pub(crate) struct InlineKey {
    bytes: [u8; INLINE_LEN],
    len_plus_one: NonZero<u8>,
}

const _: () = assert!(size_of::<KeyBuf>() == INLINE_LEN + 1);

impl InlineKey {
    /// The first `len` of `bytes`.
    #[inline(always)]
    fn new(bytes: [u8; INLINE_LEN], len: usize) -> InlineKey {
        let len_plus_one = NonZero::<u8>::MIN.saturating_add(len as u8);
        InlineKey { bytes, len_plus_one }
    }

    #[inline(always)]
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len_plus_one.get()) - 1]
    }
}

impl KeyBuf {
    /// Assembles a key from a prefix, the first `head_len` bytes of `head`, and a rest, which is empty unless
    /// `head_len` is the full length of `head`.
    #[inline]
    pub(crate) fn from_pieces(prefix: &[u8], head: [u8; 4], head_len: usize, rest: &[u8]) -> KeyBuf {
        KeyBuf::short(prefix, head, head_len, rest)
            .unwrap_or_else(|| KeyBuf::Heap([prefix, &head[..head_len], rest].concat().into_boxed_slice()))
    }

    /// Does the same for a key that fits inline with space for a whole head.
    #[inline(always)]
    fn short(prefix: &[u8], head: [u8; 4], head_len: usize, rest: &[u8]) -> Option<KeyBuf> {
        let mut bytes = [0; INLINE_LEN];
        copy_short(prefix, bytes.get_mut(..prefix.len())?);
        // The whole head is copied. Bytes that are not part of the key are after its end, or its rest overwrites
        // them.
        *bytes.get_mut(prefix.len()..)?.first_chunk_mut()? = head;
        let start = prefix.len() + head_len;
        copy_short(rest, bytes.get_mut(start..start + rest.len())?);
        Some(KeyBuf::Inline(InlineKey::new(bytes, start + rest.len())))
    }

    /// The key of `len` bytes, [`INLINE_LEN`] at most, that these words begin with, the first byte lowest.
    #[inline(always)]
    pub(super) fn from_words(words: [u64; INLINE_WORDS], len: usize) -> KeyBuf {
        // Each at a fixed place, so that the compiler keeps the words in registers.
        let mut bytes = [0; INLINE_LEN];
        let (whole, last) = bytes.split_at_mut(INLINE_LEN / 8 * 8);
        for (place, word) in whole.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        last.copy_from_slice(&words[INLINE_WORDS - 1].to_le_bytes()[..INLINE_LEN % 8]);
        KeyBuf::Inline(InlineKey::new(bytes, len))
    }
}

/// Copies a few bytes between slices of equal length. A call of the C library's copy would cost several times as
/// much.
#[inline(always)]
pub(super) fn copy_short(from: &[u8], to: &mut [u8]) {
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

/// A key in another layout than that of [`KeyBuf`]: the one becomes the other only word by word.
pub(crate) enum ApartKey {
    Words([u64; INLINE_WORDS], usize),
    Heap(Box<[u8]>),
}

impl From<KeyBuf> for ApartKey {
    fn from(key: KeyBuf) -> ApartKey {
        match key {
            KeyBuf::Inline(key) => {
                let bytes = key.as_bytes();
                let mut padded = [[0; 8]; INLINE_WORDS];
                padded.as_flattened_mut()[..bytes.len()].copy_from_slice(bytes);
                ApartKey::Words(padded.map(u64::from_le_bytes), bytes.len())
            }
            KeyBuf::Heap(bytes) => ApartKey::Heap(bytes),
        }
    }
}

impl From<ApartKey> for KeyBuf {
    #[inline(always)]
    fn from(key: ApartKey) -> KeyBuf {
        match key {
            ApartKey::Words(words, len) => KeyBuf::from_words(words, len),
            ApartKey::Heap(bytes) => KeyBuf::Heap(bytes),
        }
    }
}

impl From<&[u8]> for KeyBuf {
    fn from(bytes: &[u8]) -> KeyBuf {
        let mut inline = [0; INLINE_LEN];
        match inline.get_mut(..bytes.len()) {
            Some(place) => {
                copy_short(bytes, place);
                KeyBuf::Inline(InlineKey::new(inline, bytes.len()))
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
            KeyBuf::Inline(key) => key.as_bytes(),
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
