//! The traits of values.

use std::borrow::Cow;
use std::sync::Arc;

use super::lists::for_pointers;
use super::{Encoded, Encoder};
use crate::Result;

/// A type that a table's values can have.
///
/// Implemented for all types that can be keys (see [`Key`](crate::Key)), except `NoCase` and `BytesFromEnd`, and, with
/// the features `serde` and `messagepack`, `Serde<T>` and `MessagePack<T>` for any serde type.
///
/// Reading is zero-copy: text and bytes, also inside tuples, are borrowed from the file's mapping for as long as the
/// transaction lives. (A `Vec<T>` is read into a vector of its elements' [`Value::Ref`].) A borrowed value is a
/// [`Value::Ref`]; an owned one, which `replace` returns for instance, is a [`Value::Owned`].
///
/// The bytes of a value are not aligned. To read numbers from a value of `[u8]`, copy them (`f32::from_le_bytes`), or
/// use types that need no alignment.
///
/// ```
/// use mapleaf::{Db, Table};
///
/// // Year of birth and name.
/// const PEOPLE: Table<u64, (u32, String)> = Table::new("people");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     tx.table(&PEOPLE)?.insert(&1, (1815, "Ada Lovelace"))?;
///     Ok(())
/// })?;
///
/// let rx = db.read()?;
/// let (born, name): (u32, &str) = rx.table(&PEOPLE)?.get(&1)?.unwrap();
/// assert_eq!((born, name), (1815, "Ada Lovelace"));
/// # Ok::<(), mapleaf::Error>(())
/// ```
///
/// # Implementing it
///
/// The feature `derive` has a macro of the same name: `#[derive(mapleaf::Value)]` makes a struct or an enum a value. By
/// hand, a type becomes a value by standing for one of the types above, or by its own encoding:
///
/// ```
/// use std::borrow::Cow;
/// use mapleaf::{EncodeValue, Encoder, Result, Value};
///
/// #[derive(Clone, Copy, PartialEq, Debug)]
/// struct Celsius(f32);
///
/// impl Value for Celsius {
///     type Ref<'a> = Celsius;
///     type Owned = Celsius;
///     const FIXED_SIZE: Option<usize> = <f32 as Value>::FIXED_SIZE;
///
///     fn type_name() -> Cow<'static, str> {
///         <f32 as Value>::type_name()
///     }
///
///     fn decode(bytes: &[u8]) -> Result<Celsius> {
///         <f32 as Value>::decode(bytes).map(Celsius)
///     }
///
///     fn into_owned(value: Celsius) -> Celsius {
///         value
///     }
/// }
///
/// impl EncodeValue<Celsius> for Celsius {
///     fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
///         EncodeValue::<f32>::encode_value_into(&self.0, encoder)
///     }
/// }
///
/// assert_eq!(Celsius::decode(&Celsius(36.6).encode_value()?)?, Celsius(36.6));
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type of values",
    label = "a table cannot have values of this type",
    note = "a type with serde's `Serialize` and `Deserialize` is stored as `Serde<{Self}>` or `MessagePack<{Self}>`, \
            with the feature of that name",
    note = "a struct or an enum of your own becomes a value by `#[derive(mapleaf::Value)]` (feature `derive`)"
)]
pub trait Value {
    /// A value as a read returns it, borrowed from the file where that saves a copy: `&str` for `str` and `String`,
    /// `&[u8]` for `[u8]` and `Vec<u8>`, the number itself for a number.
    type Ref<'a>;

    /// An owned value: `String` for `str`, `Vec<u8>` for `[u8]`, the number itself for a number.
    type Owned;

    /// The length of every encoding, in bytes, if it is the same for all. In a tuple such a value is stored without
    /// its length.
    const FIXED_SIZE: Option<usize> = None;

    /// Returns the type's name, which is stored with a table when it is created and compared whenever it is opened.
    /// Types with the same encoding have the same name: `str` and `String` are both "str".
    fn type_name() -> Cow<'static, str>;

    /// Decodes a whole value.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`](crate::Error::Decode) if `bytes` are not an encoding of this type.
    fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>>;

    /// Copies a borrowed value.
    fn into_owned(value: Self::Ref<'_>) -> Self::Owned;
}

/// A value that can be given as a value of type `V`.
///
/// That is the value itself, a reference to it, or an equivalent, as for keys ([`EncodeKey`](crate::EncodeKey)):
/// `b"1815"` or a `Vec<u8>` for `[u8]`, `"text"` or a `String` for `str`, `(1815, "Ada")` for `(u32, String)`. Number
/// literals take the type of the table's values. `None` needs its type, as in `None::<&str>`.
///
/// ```
/// use mapleaf::{Db, Table};
///
/// const BLOBS: Table<str, [u8]> = Table::new("blobs");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut blobs = tx.table(&BLOBS)?;
///     blobs.insert("array", b"1815")?;
///     blobs.insert("slice", &[1, 2, 3][..])?;
///     blobs.insert("vector", vec![1, 2, 3])?;
///     Ok(())
/// })?;
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand for a value of type `{V}`",
    label = "not a value of this table"
)]
pub trait EncodeValue<V: Value + ?Sized> {
    /// Appends the value's encoding.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`](crate::Error::Encode) if the value has none; of the library's own types only `Serde` and
    /// `MessagePack` can fail.
    fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()>;

    /// Returns the encoding if `self` already contains it, so that nothing is copied.
    #[inline]
    fn as_value_bytes(&self) -> Option<&[u8]> {
        None
    }

    /// Returns the whole encoding, without an allocation if it is short or `self` contains it.
    ///
    /// # Errors
    ///
    /// Those of [`encode_value_into`](EncodeValue::encode_value_into).
    #[inline]
    fn encode_value(&self) -> Result<Encoded<'_>> {
        match self.as_value_bytes() {
            Some(bytes) => Ok(Encoded::borrowed(bytes)),
            None => {
                let mut encoder = Encoder::new();
                self.encode_value_into(&mut encoder)?;
                Ok(encoder.finish())
            }
        }
    }
}

/// A pointer stands for the same values as its referent.
macro_rules! encode_value_behind {
    ($pointer:ty, Q: $($bounds:tt)*) => {
        impl<V: Value + ?Sized, Q: EncodeValue<V> + $($bounds)*> EncodeValue<V> for $pointer {
            #[inline]
            fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
                (**self).encode_value_into(encoder)
            }

            #[inline]
            fn as_value_bytes(&self) -> Option<&[u8]> {
                (**self).as_value_bytes()
            }

            #[inline]
            fn encode_value(&self) -> Result<Encoded<'_>> {
                (**self).encode_value()
            }
        }
    };
}

for_pointers!(encode_value_behind);
