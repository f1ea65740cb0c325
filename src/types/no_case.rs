//! Text keys without regard to case.
//!
//! Encoding: that of the text with its ASCII letters in lower case. So keys are equal exactly if they differ at most in
//! the case of ASCII letters, and what they were given as is not stored.
//!
//! Invariant: the text of a [`NoCase`] contains no ASCII letter in upper case.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use super::key_text::{push_bytes, read_bytes};
use super::{
    Element, EncodeKey, Encoded, Encoder, Key, KeyPosition, KeyPrefix, KeyReader, KeyStr, decode_error,
};
use crate::Result;

const NAME: &str = "nocase";

/// Text keys without regard to the case of ASCII letters: "Ada" and "ADA" are one key.
///
/// The key is stored, ordered and returned with its ASCII letters in lower case. Other letters are compared as they
/// are, as in SQLite's `NOCASE`: "É" and "é" are two keys. What the key was given as is not stored: keep it in the
/// value, or in the key beside it, `(NoCase, String)`, where all spellings can stand side by side.
///
/// Any text stands for such a key, and for the beginning of one.
///
/// ```
/// use mapleaf::{Db, NoCase, Table};
///
/// const USERS: Table<NoCase, str> = Table::new("users"); // name -> name as it was typed
///
/// let db = Db::in_memory()?;
/// db.update(|tx| tx.table(&USERS)?.insert("Ada", "Ada"))?;
///
/// let rx = db.read()?;
/// let users = rx.table(&USERS)?;
/// assert_eq!(users.get("ADA")?, Some("Ada"));
/// assert_eq!(users.prefix("AD").count(), 1);
/// let (name, _) = users.first()?.unwrap();
/// assert_eq!(name.as_str(), "ada");
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoCase(KeyStr);

impl NoCase {
    /// Makes a key of `text`, with its ASCII letters in lower case.
    ///
    /// ```
    /// use mapleaf::NoCase;
    ///
    /// assert_eq!(NoCase::new("Ada"), NoCase::new("ADA"));
    /// assert_eq!(NoCase::new("Ada").as_str(), "ada");
    /// ```
    pub fn new(text: &str) -> NoCase {
        NoCase(KeyStr::from(&*text.to_ascii_lowercase()))
    }

    /// Returns the text, with its ASCII letters in lower case.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl From<&str> for NoCase {
    fn from(text: &str) -> NoCase {
        NoCase::new(text)
    }
}

impl From<NoCase> for String {
    fn from(key: NoCase) -> String {
        key.0.into()
    }
}

impl Deref for NoCase {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for NoCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for NoCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Key for NoCase {
    type Owned = NoCase;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed(NAME)
    }

    fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<NoCase> {
        let bytes = read_bytes(reader, place, NAME)?;
        match str::from_utf8(&bytes) {
            Ok(text) if !bytes.iter().any(u8::is_ascii_uppercase) => Ok(NoCase(KeyStr::from(text))),
            Ok(_) => Err(decode_error(NAME, "it contains an ASCII letter in upper case")),
            Err(error) => Err(decode_error(NAME, error.to_string())),
        }
    }
}

/// Any text stands for a key.
macro_rules! encode_no_case {
    ($($text:ty)*) => {$(
        impl EncodeKey<NoCase> for $text {
            fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
                let start = encoder.len();
                push_bytes(encoder, self.as_bytes(), place);
                encoder.tail_mut(start).make_ascii_lowercase();
            }
        }

        impl KeyPrefix<NoCase> for $text {
            fn encode_prefix(&self) -> Encoded<'_> {
                EncodeKey::<NoCase>::encode_key(self)
            }
        }
    )*};
}

encode_no_case!(NoCase str String KeyStr);

impl Element for NoCase {}
