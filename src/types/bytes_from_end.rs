//! Byte-string keys that are compared from their end, as LMDB's `MDB_REVERSEKEY` compares them.
//!
//! Encoding: that of the bytes in reverse order.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

use super::key_text::{push_bytes, read_bytes};
use super::{Element, EncodeKey, Encoded, Encoder, Key, KeyBytes, KeyPosition, KeyPrefix, KeyReader};
use crate::Result;

const NAME: &str = "bytes_from_end";

/// Byte-string keys that are compared from their last byte to their first: LMDB's `MDB_REVERSEKEY`.
///
/// Keys with the same end are adjacent, so `prefix` takes the *end* of keys. Any bytes stand for such a key.
///
/// ```
/// use mapleaf::{BytesFromEnd, Db, Table};
///
/// const HOSTS: Table<BytesFromEnd, ()> = Table::new("hosts");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut hosts = tx.table(&HOSTS)?;
///     hosts.insert(b"www.example.org", ())?;
///     hosts.insert(b"example.com", ())?;
///     hosts.insert(b"example.org", ())?;
///     Ok(())
/// })?;
///
/// let rx = db.read()?;
/// let hosts = rx.table(&HOSTS)?;
/// assert_eq!(hosts.prefix(b".org").count(), 2);
/// let (first, ()) = hosts.first()?.unwrap();
/// assert_eq!(&*first, b"example.org");
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BytesFromEnd(KeyBytes);

impl BytesFromEnd {
    /// Returns the bytes, in their own order.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<&[u8]> for BytesFromEnd {
    fn from(bytes: &[u8]) -> BytesFromEnd {
        BytesFromEnd(KeyBytes::from(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for BytesFromEnd {
    fn from(bytes: &[u8; N]) -> BytesFromEnd {
        BytesFromEnd(KeyBytes::from(bytes))
    }
}

impl From<Vec<u8>> for BytesFromEnd {
    fn from(bytes: Vec<u8>) -> BytesFromEnd {
        BytesFromEnd(KeyBytes::from(bytes))
    }
}

impl From<BytesFromEnd> for Vec<u8> {
    fn from(key: BytesFromEnd) -> Vec<u8> {
        key.0.into()
    }
}

impl Deref for BytesFromEnd {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for BytesFromEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Ord for BytesFromEnd {
    fn cmp(&self, other: &BytesFromEnd) -> Ordering {
        self.iter().rev().cmp(other.iter().rev())
    }
}

impl PartialOrd for BytesFromEnd {
    fn partial_cmp(&self, other: &BytesFromEnd) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key for BytesFromEnd {
    type Owned = BytesFromEnd;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed(NAME)
    }

    fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<BytesFromEnd> {
        let mut bytes = read_bytes(reader, place, NAME)?.into_owned();
        bytes.reverse();
        Ok(BytesFromEnd::from(bytes))
    }
}

/// Any bytes stand for a key.
macro_rules! encode_from_end {
    ($([$($generics:tt)*] $bytes:ty;)*) => {$(
        impl<$($generics)*> EncodeKey<BytesFromEnd> for $bytes {
            fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
                let reversed: Vec<u8> = self.iter().rev().copied().collect();
                push_bytes(encoder, &reversed, place);
            }
        }

        impl<$($generics)*> KeyPrefix<BytesFromEnd> for $bytes {
            fn encode_prefix(&self) -> Encoded<'_> {
                EncodeKey::<BytesFromEnd>::encode_key(self)
            }
        }
    )*};
}

encode_from_end! {
    [] BytesFromEnd;
    [] [u8];
    [] Vec<u8>;
    [] KeyBytes;
    [const N: usize] [u8; N];
}

impl Element for BytesFromEnd {}
