//! A text key that a table returns.
//!
//! Invariant: the bytes are UTF-8; [`KeyStr::from_utf8`] checked them. The type of the inline buffer does not express
//! this, so without `unsafe` a `str` requires another check of at most 71 bytes. Comparison needs no `str`: the order
//! of text is the order of its UTF-8.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str;

use super::{KeyBytes, decode_error};
use crate::Result;
use crate::base::KeyBuf;

/// A key of type `str` as a table returns it: owned, and without an allocation up to 71 bytes.
///
/// It derefs to `str`, and compares, hashes and prints as `str` does.
///
/// ```
/// use mapleaf::KeyStr;
///
/// let key = KeyStr::from("ada");
/// assert_eq!(key, "ada");
/// assert!(key < "bob");
/// assert_eq!(key.to_uppercase(), "ADA");
/// assert_eq!(format!("{key} {key:?}"), r#"ada "ada""#);
/// let owned: String = key.into();
/// assert_eq!(owned, "ada");
/// ```
#[derive(Clone)]
pub struct KeyStr(Text);

#[derive(Clone)]
enum Text {
    /// UTF-8, always a `KeyBuf::Inline`.
    Short(KeyBuf),
    Long(Box<str>),
}

impl KeyStr {
    /// Converts bytes to text.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`](crate::Error::Decode) if they are not UTF-8.
    #[inline]
    pub(super) fn from_utf8(bytes: KeyBytes) -> Result<KeyStr> {
        match bytes.into_buf() {
            KeyBuf::Heap(bytes) => match String::from_utf8(bytes.into_vec()) {
                Ok(text) => Ok(KeyStr::from(text)),
                Err(error) => Err(decode_error("str", error.to_string())),
            },
            short => match str::from_utf8(&short) {
                Ok(_) => Ok(KeyStr(Text::Short(short))),
                Err(error) => Err(decode_error("str", error.to_string())),
            },
        }
    }

    /// Returns the text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // Checked when it was made, so the default is never taken.
            Text::Short(bytes) => str::from_utf8(bytes).unwrap_or_default(),
            Text::Long(text) => text,
        }
    }

    /// Returns the text as UTF-8, at a little less cost than [`as_str`](KeyStr::as_str).
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Short(bytes) => bytes,
            Text::Long(text) => text.as_bytes(),
        }
    }
}

impl From<&str> for KeyStr {
    fn from(text: &str) -> KeyStr {
        match KeyBuf::from(text.as_bytes()) {
            KeyBuf::Heap(_) => KeyStr(Text::Long(text.into())),
            short => KeyStr(Text::Short(short)),
        }
    }
}

impl From<String> for KeyStr {
    fn from(text: String) -> KeyStr {
        KeyStr(Text::Long(text.into_boxed_str()))
    }
}

impl From<KeyStr> for String {
    fn from(key: KeyStr) -> String {
        match key.0 {
            Text::Long(text) => text.into_string(),
            Text::Short(_) => key.as_str().to_owned(),
        }
    }
}

impl Deref for KeyStr {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for KeyStr {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for KeyStr {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Borrow<str> for KeyStr {
    fn borrow(&self) -> &str {
        self
    }
}

impl Hash for KeyStr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // `Borrow<str>` promises the hash of the `str`, which is not that of its bytes.
        self.as_str().hash(state);
    }
}

impl fmt::Display for KeyStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for KeyStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Eq for KeyStr {}

impl PartialEq for KeyStr {
    #[inline]
    fn eq(&self, other: &KeyStr) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Ord for KeyStr {
    #[inline]
    fn cmp(&self, other: &KeyStr) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for KeyStr {
    #[inline]
    fn partial_cmp(&self, other: &KeyStr) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

macro_rules! compare_with {
    ($($other:ty)*) => {$(
        impl PartialEq<$other> for KeyStr {
            #[inline]
            fn eq(&self, other: &$other) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl PartialEq<KeyStr> for $other {
            #[inline]
            fn eq(&self, other: &KeyStr) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl PartialOrd<$other> for KeyStr {
            #[inline]
            fn partial_cmp(&self, other: &$other) -> Option<Ordering> {
                self.as_bytes().partial_cmp(other.as_bytes())
            }
        }

        impl PartialOrd<KeyStr> for $other {
            #[inline]
            fn partial_cmp(&self, other: &KeyStr) -> Option<Ordering> {
                self.as_bytes().partial_cmp(other.as_bytes())
            }
        }
    )*};
}

compare_with!(str &str String Cow<'_, str>);
