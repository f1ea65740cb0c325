//! Encoded keys and values: a buffer that is inline while it is short, or a borrow of the caller's bytes.
//!
//! Invariant: an [`Encoder`] whose heap part is empty holds its bytes inline; otherwise all of them are on
//! the heap.

use std::fmt;
use std::ops::Deref;

/// The maximum length without an allocation, the same as in `KeyBuf`.
const INLINE_LEN: usize = 38;

/// The position of an element in a key.
///
/// Only implementations of [`Key`](crate::Key) and [`EncodeKey`](crate::EncodeKey) use it, and pass on the position
/// that they get. The last element of a key ends where the key ends. The encoding of any other element must mark its
/// own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPosition {
    /// Something may follow this element.
    Inner,
    /// The key ends with this element.
    Last,
}

/// Collects the bytes of one key or value.
///
/// Only implementations of [`EncodeKey`](crate::EncodeKey) and [`EncodeValue`](crate::EncodeValue) use it. Encodings
/// of up to 38 bytes need no allocation.
pub struct Encoder {
    len: usize,
    inline: [u8; INLINE_LEN],
    heap: Vec<u8>,
}

impl Encoder {
    #[inline]
    pub(crate) fn new() -> Encoder {
        Encoder { len: 0, inline: [0; INLINE_LEN], heap: Vec::new() }
    }

    /// Appends `bytes`.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if self.heap.is_empty() && end <= INLINE_LEN {
            self.inline[self.len..end].copy_from_slice(bytes);
            self.len = end;
        } else {
            self.push_to_heap(bytes);
        }
    }

    #[cold]
    fn push_to_heap(&mut self, bytes: &[u8]) {
        if self.heap.is_empty() {
            self.heap.reserve(self.len + bytes.len());
            self.heap.extend_from_slice(&self.inline[..self.len]);
        }
        self.heap.extend_from_slice(bytes);
    }

    /// Returns the number of collected bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        if self.heap.is_empty() { self.len } else { self.heap.len() }
    }

    /// Returns the collected bytes from the byte at `start` on, for a change in place.
    #[inline]
    pub(super) fn tail_mut(&mut self, start: usize) -> &mut [u8] {
        if self.heap.is_empty() { &mut self.inline[start..self.len] } else { &mut self.heap[start..] }
    }

    /// Returns the collected bytes.
    #[inline]
    pub(crate) fn finish(self) -> Encoded<'static> {
        if self.heap.is_empty() {
            Encoded(Bytes::Inline { len: self.len as u8, bytes: self.inline })
        } else {
            Encoded(Bytes::Heap(self.heap))
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = if self.heap.is_empty() { &self.inline[..self.len] } else { &self.heap[..] };
        f.debug_tuple("Encoder").field(&bytes).finish()
    }
}

/// The encoded bytes of one key or value. They are borrowed if they are the given bytes themselves (text, byte
/// strings), inline if they are short, and on the heap otherwise. It derefs to `[u8]`.
///
/// ```
/// use mapleaf::EncodeKey;
///
/// let bytes = EncodeKey::<u32>::encode_key(&7);
/// assert_eq!(*bytes, [0, 0, 0, 7]);
/// ```
#[derive(Clone)]
pub struct Encoded<'a>(Bytes<'a>);

#[derive(Clone)]
enum Bytes<'a> {
    Borrowed(&'a [u8]),
    Inline { len: u8, bytes: [u8; INLINE_LEN] },
    Heap(Vec<u8>),
}

impl<'a> Encoded<'a> {
    #[inline]
    pub(crate) fn borrowed(bytes: &'a [u8]) -> Encoded<'a> {
        Encoded(Bytes::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Encoded<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Encoded(Bytes::Heap(bytes))
    }
}

impl Deref for Encoded<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Encoded<'_> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoded").field(&&**self).finish()
    }
}
