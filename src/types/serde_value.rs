//! Values of any serde type, encoded by postcard.

use std::any;
use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{EncodeValue, Encoded, Encoder, Value, decode_error};
use crate::{Error, Result};

/// Values of any type `T` that serde can serialize and deserialize, encoded by [postcard](https://docs.rs/postcard).
///
/// A value is given as `Serde(value)` or `Serde(&value)`, and comes back as a `T`.
///
/// postcard's format says nothing of the type: it has neither the names nor the number of fields. Nor does
/// the table, whose value type is stored as "serde", because Rust has no name for a type that would
/// stay the same from one compiler or version of a program to the next. So a table that was written with
/// another `T` opens, and reading it gives [`Error::Decode`] or a wrong value. Give a table another name
/// when its type changes, or make `T` an enum with a variant per version.
///
/// If the file may be hostile, keep collections of zero-sized elements (`Vec<()>`) out of `T`: their
/// length costs no bytes, and serde builds them one by one.
///
/// ```
/// use mapleaf::{Db, Serde, Table};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// struct User {
///     born: u32,
///     tags: Vec<String>,
/// }
///
/// const USERS: Table<str, Serde<User>> = Table::new("users");
///
/// let ada = User { born: 1815, tags: vec!["mathematician".into()] };
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     tx.table(&USERS)?.insert("ada", Serde(&ada))?;
///     Ok(())
/// })?;
/// assert_eq!(db.read()?.table(&USERS)?.get("ada")?, Some(ada));
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serde<T>(
    /// The value.
    pub T,
);

impl<T: Serialize + DeserializeOwned> Value for Serde<T> {
    type Ref<'a> = T;
    type Owned = T;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("serde")
    }

    fn decode(bytes: &[u8]) -> Result<T> {
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, extra)) => {
                Err(decode_error(any::type_name::<T>(), format!("{} bytes too many", extra.len())))
            }
            Err(error) => Err(decode_error(any::type_name::<T>(), error.to_string())),
        }
    }

    fn into_owned(value: T) -> T {
        value
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(|error| Error::Encode {
        type_name: any::type_name::<T>().to_owned(),
        problem: error.to_string(),
    })
}

impl<T: Serialize + DeserializeOwned> EncodeValue<Serde<T>> for Serde<T> {
    fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
        encoder.push(&encode(&self.0)?);
        Ok(())
    }

    fn encode_value(&self) -> Result<Encoded<'_>> {
        encode(&self.0).map(Encoded::from)
    }
}

impl<T: Serialize + DeserializeOwned> EncodeValue<Serde<T>> for Serde<&T> {
    fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
        encoder.push(&encode(self.0)?);
        Ok(())
    }

    fn encode_value(&self) -> Result<Encoded<'_>> {
        encode(self.0).map(Encoded::from)
    }
}
