//! A byte-string key that a table returns.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::base::KeyBuf;

/// A key of type `[u8]` as a table returns it: owned, and without an allocation up to 71 bytes.
///
/// It derefs to `[u8]`, and compares, hashes and prints as `[u8]` does.
///
/// ```
/// use mapleaf::KeyBytes;
///
/// let key = KeyBytes::from(b"ada");
/// assert_eq!(key, b"ada");
/// assert!(key.starts_with(b"a"));
/// assert_eq!(Vec::from(key), [97, 100, 97]);
/// ```
#[derive(Clone)]
pub struct KeyBytes(KeyBuf);

impl KeyBytes {
    /// Returns the bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as the tree's own kind of buffer.
    #[inline]
    pub(super) fn into_buf(self) -> KeyBuf {
        self.0
    }
}

impl From<KeyBuf> for KeyBytes {
    #[inline]
    fn from(bytes: KeyBuf) -> KeyBytes {
        KeyBytes(bytes)
    }
}

impl From<&[u8]> for KeyBytes {
    fn from(bytes: &[u8]) -> KeyBytes {
        KeyBytes(KeyBuf::from(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for KeyBytes {
    fn from(bytes: &[u8; N]) -> KeyBytes {
        KeyBytes::from(&bytes[..])
    }
}

impl From<Vec<u8>> for KeyBytes {
    fn from(bytes: Vec<u8>) -> KeyBytes {
        KeyBytes(KeyBuf::Heap(bytes.into_boxed_slice()))
    }
}

impl From<KeyBytes> for Vec<u8> {
    fn from(key: KeyBytes) -> Vec<u8> {
        match key.0 {
            KeyBuf::Heap(bytes) => bytes.into_vec(),
            short => short.to_vec(),
        }
    }
}

impl Deref for KeyBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for KeyBytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for KeyBytes {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Hash for KeyBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().fmt(f)
    }
}

impl Eq for KeyBytes {}

impl PartialEq for KeyBytes {
    #[inline]
    fn eq(&self, other: &KeyBytes) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Ord for KeyBytes {
    #[inline]
    fn cmp(&self, other: &KeyBytes) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for KeyBytes {
    #[inline]
    fn partial_cmp(&self, other: &KeyBytes) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

macro_rules! compare_with {
    ($([$($generics:tt)*] $other:ty;)*) => {$(
        impl<$($generics)*> PartialEq<$other> for KeyBytes {
            #[inline]
            fn eq(&self, other: &$other) -> bool {
                self.as_bytes() == &other[..]
            }
        }

        impl<$($generics)*> PartialEq<KeyBytes> for $other {
            #[inline]
            fn eq(&self, other: &KeyBytes) -> bool {
                &self[..] == other.as_bytes()
            }
        }

        impl<$($generics)*> PartialOrd<$other> for KeyBytes {
            #[inline]
            fn partial_cmp(&self, other: &$other) -> Option<Ordering> {
                self.as_bytes().partial_cmp(&other[..])
            }
        }

        impl<$($generics)*> PartialOrd<KeyBytes> for $other {
            #[inline]
            fn partial_cmp(&self, other: &KeyBytes) -> Option<Ordering> {
                self[..].partial_cmp(other.as_bytes())
            }
        }
    )*};
}

compare_with! {
    [] [u8];
    [] &[u8];
    [] Vec<u8>;
    [const N: usize] [u8; N];
    [const N: usize] &[u8; N];
}
