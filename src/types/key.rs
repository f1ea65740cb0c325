//! The traits of keys, and the reader of encoded keys.
//!
//! Invariants: an encoding in [`KeyPosition::Inner`] is self-delimiting (no encoding of the type is a proper
//! prefix of another), so the bytes after it change neither its order nor how it is read;
//! an encoding in [`KeyPosition::Last`] need not be.

use std::borrow::Cow;
use std::sync::Arc;

use super::lists::for_pointers;
use super::{Encoded, Encoder, KeyBytes, KeyPosition, decode_error, wrong_length};
use crate::Result;

/// A type whose values are the keys of a table.
///
/// Keys are ordered as their type is. Implemented for
///
/// - text and bytes: `str`, `String`, `Box<str>`, `Arc<str>`, `Cow<str>`, `[u8]`, `Vec<u8>`, `Box<[u8]>`,
///   `Arc<[u8]>`, `Cow<[u8]>`, `[u8; N]`;
/// - all integers, their `NonZero`, `bool`, `char`, `()`, `f32` and `f64` (by [`total_cmp`](f64::total_cmp)). `usize`
///   and `isize` are stored as `u64` and `i64`, so that a file can be moved to any machine;
/// - `Duration`, `SystemTime`, and the addresses of `std::net`;
/// - with the features `uuid`, `chrono` and `jiff`: `Uuid`, and dates and times in UTC or without a zone;
/// - `Option` (`None` first), [`Reverse`](std::cmp::Reverse) (descending), tuples of one to twelve, `Vec<T>` and
///   `[T; N]` (ordered by the first element that differs), of all these that are sized (`String`, not `str`). See
///   [`Element`](crate::Element);
/// - text without regard to the case of ASCII letters, [`NoCase`](crate::NoCase), and bytes that are compared from
///   their end, [`BytesFromEnd`](crate::BytesFromEnd).
///
/// A function that *takes* a key (`get`, `insert`, `range` ...) accepts anything that stands for one: see
/// [`EncodeKey`]. A function that *returns* a key (iteration, `first`, `last`) returns a [`Key::Owned`]. It is owned
/// because pages store the common prefix of their keys only once, so the file contains no whole key to borrow.
///
/// ```
/// use mapleaf::{Db, Table};
///
/// // Visits of a page, by page and day.
/// const VISITS: Table<(String, u32), u64> = Table::new("visits");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut visits = tx.table(&VISITS)?;
///     visits.insert(("home", 20260101), &7)?;
///     visits.insert(("home", 20260102), &9)?;
///     visits.insert(("about", 20260101), &1)?;
///     Ok(())
/// })?;
///
/// let rx = db.read()?;
/// let visits = rx.table(&VISITS)?;
/// assert_eq!(visits.get(("home", 20260102))?, Some(9));
/// let ((page, day), count) = visits.first()?.unwrap();
/// assert_eq!((page.as_str(), day, count), ("about", 20260101, 1));
/// # Ok::<(), mapleaf::Error>(())
/// ```
///
/// # Implementing it
///
/// The feature `derive` has a macro of the same name: `#[derive(mapleaf::Key)]` makes a struct or an enum a key. By
/// hand, a type becomes a key by standing for one of the types above:
///
/// ```
/// use std::borrow::Cow;
/// use mapleaf::{EncodeKey, Encoder, Key, KeyReader, KeyPosition, Result};
///
/// #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
/// struct UserId(u64);
///
/// impl Key for UserId {
///     type Owned = UserId;
///
///     fn type_name() -> Cow<'static, str> {
///         <u64 as Key>::type_name()
///     }
///
///     fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<UserId> {
///         <u64 as Key>::read(reader, place).map(UserId)
///     }
/// }
///
/// impl EncodeKey<UserId> for UserId {
///     fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
///         EncodeKey::<u64>::encode_key_into(&self.0, encoder, place);
///     }
/// }
///
/// assert_eq!(UserId::decode((&[0, 0, 0, 0, 0, 0, 0, 7]).into())?, UserId(7));
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type of keys",
    label = "a table cannot have keys of this type",
    note = "keys are numbers, text, bytes, times, addresses, and tuples, options, vectors and arrays of these",
    note = "a struct or an enum of your own becomes a key by `#[derive(mapleaf::Key)]` (feature `derive`)"
)]
pub trait Key {
    /// A key as a table returns it, owned. For `str` it is [`KeyStr`](crate::KeyStr) and for `[u8]` it is
    /// [`KeyBytes`], neither of which allocates for a short key.
    type Owned;

    /// Returns the type's name, which is stored with a table when it is created and compared whenever it is opened.
    /// Types with the same encoding have the same name: `str` and `String` are both "str".
    fn type_name() -> Cow<'static, str>;

    /// Reads one key, or one element of a key, from the front of the unread bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`](crate::Error::Decode) if those are not an encoding of this type.
    fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<Self::Owned>;

    /// Decodes a whole key. An implementation that overrides this must return what [`Key::read`] returns for the same
    /// bytes with [`KeyPosition::Last`], which the library calls instead where that is faster.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`](crate::Error::Decode) if `bytes` are not exactly one encoding of this type.
    #[inline(always)]
    fn decode(bytes: KeyBytes) -> Result<Self::Owned> {
        decode_key::<Self>(&bytes)
    }
}

/// Returns the key that `bytes` encode.
#[inline]
pub(crate) fn decode_key<K: Key + ?Sized>(bytes: &[u8]) -> Result<K::Owned> {
    let mut reader = KeyReader::new(bytes);
    let key = K::read(&mut reader, KeyPosition::Last)?;
    match reader.len() {
        0 => Ok(key),
        extra => Err(decode_error(K::type_name(), format!("{extra} bytes too many"))),
    }
}

/// A value that can be given as a key of type `K`.
///
/// That is the key itself, a reference to it, or an equivalent: any text for text (`&str`, `String`,
/// [`KeyStr`](crate::KeyStr), ...), any bytes for bytes (`[u8]`, `Vec<u8>`, `[u8; N]`, [`KeyBytes`], ...), and a
/// `Box`, `Arc` or `Cow` of these. In tuples, vectors, arrays and `Option`, this holds for each element: `("word",
/// 5)` is a key for `(String, u64)`. Integer literals take the type of the table's keys. `None` needs its type, as in
/// `None::<&str>`.
///
/// ```
/// use mapleaf::{Db, Table};
///
/// const NAMES: Table<u64, str> = Table::new("names");
/// const NUMBERS: Table<str, u64> = Table::new("numbers");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     tx.table(&NAMES)?.insert(7, "ada")?;
///     tx.table(&NUMBERS)?.insert(String::from("ada"), 7)?;
///     Ok(())
/// })?;
///
/// let rx = db.read()?;
/// assert_eq!(rx.table(&NAMES)?.get(&7)?, Some("ada"));
/// assert_eq!(rx.table(&NUMBERS)?.get("ada")?, Some(7));
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand for a key of type `{K}`",
    label = "not a key of this table"
)]
pub trait EncodeKey<K: Key + ?Sized> {
    /// Appends the key's encoding. In [`KeyPosition::Inner`] it has to be self-delimiting.
    fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition);

    /// Returns the encoding in [`KeyPosition::Last`] if `self` already contains it, so that nothing is copied.
    #[inline]
    fn as_key_bytes(&self) -> Option<&[u8]> {
        None
    }

    /// Returns the whole key's encoding, without an allocation if it is short or `self` contains it.
    #[inline]
    fn encode_key(&self) -> Encoded<'_> {
        match self.as_key_bytes() {
            Some(bytes) => Encoded::borrowed(bytes),
            None => {
                let mut encoder = Encoder::new();
                self.encode_key_into(&mut encoder, KeyPosition::Last);
                encoder.finish()
            }
        }
    }
}

/// A pointer stands for the same keys as its referent.
macro_rules! encode_key_behind {
    ($pointer:ty, Q: $($bounds:tt)*) => {
        impl<K: Key + ?Sized, Q: EncodeKey<K> + $($bounds)*> EncodeKey<K> for $pointer {
            #[inline]
            fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
                (**self).encode_key_into(encoder, place);
            }

            #[inline]
            fn as_key_bytes(&self) -> Option<&[u8]> {
                (**self).as_key_bytes()
            }
        }
    };
}

for_pointers!(encode_key_behind);

/// The unread bytes of an encoded key.
///
/// Only implementations of [`Key`] use it, and pass it on to the types of their elements.
#[derive(Debug)]
pub struct KeyReader<'a> {
    rest: &'a [u8],
    /// What each byte was changed with by exclusive or: FF within an odd number of `Reverse`, else 0.
    mask: u8,
}

impl<'a> KeyReader<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> KeyReader<'a> {
        KeyReader { rest: bytes, mask: 0 }
    }

    /// Inverts all bytes that are read from here on, until it is called again.
    #[inline]
    pub(super) fn invert(&mut self) {
        self.mask = !self.mask;
    }

    /// Takes the next `N` bytes, which are a `type_name`.
    #[inline]
    pub(super) fn take<const N: usize>(
        &mut self,
        type_name: impl FnOnce() -> Cow<'static, str>,
    ) -> Result<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(if self.mask == 0 { *bytes } else { bytes.map(|byte| !byte) })
            }
            None => Err(wrong_length(type_name(), N, self.rest.len())),
        }
    }

    /// Returns the number of unread bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Takes all unread bytes.
    #[inline]
    pub(super) fn take_rest(&mut self) -> Cow<'a, [u8]> {
        let rest = std::mem::take(&mut self.rest);
        match self.mask {
            0 => Cow::Borrowed(rest),
            mask => rest.iter().map(|byte| byte ^ mask).collect(),
        }
    }

    /// Returns whether the bytes are within an odd number of `Reverse`.
    #[inline]
    pub(super) fn is_inverted(&self) -> bool {
        self.mask != 0
    }

    /// Takes the bytes up to the next byte 00, which must exist, and the two bytes from there on. `MASK` is FF if the
    /// reader is inverted, else 0; it is a constant so that reading other keys is not slower.
    #[inline]
    pub(super) fn take_piece<const MASK: u8>(&mut self, piece: &mut Vec<u8>) -> Option<[u8; 2]> {
        let rest = self.rest;
        let zero = rest.iter().position(|&byte| byte == MASK)?;
        let (before, [first, second, after @ ..]) = rest.split_at(zero) else { return None };
        let start = piece.len();
        piece.extend_from_slice(before);
        if MASK != 0 {
            piece[start..].iter_mut().for_each(|byte| *byte ^= MASK);
        }
        self.rest = after;
        Some([first ^ MASK, second ^ MASK])
    }
}
