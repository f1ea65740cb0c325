//! Values of any serde type, in two formats: a compact one, and MessagePack.
//!
//! Rule: a value that is inserted reads back the same, or its insertion is an error. A type does not show whether its
//! `Serialize` and `Deserialize` agree in a format, and values of one type can differ in this (a field that is left
//! out if it is empty). So each value is read back when it is encoded, and the fingerprints are compared.
//! docs/VALUES.md says what that costs.

mod compact_decode;
mod compact_encode;
mod fingerprint;
#[cfg(feature = "messagepack")]
mod message_pack;
mod problem;

use std::any;
use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::fingerprint::fingerprint;
use self::problem::Problem;
use super::{EncodeValue, Encoded, Encoder, Value, decode_error};
use crate::Error;

/// The maximum depth of nested values, so that reading them does not exhaust the stack.
const MAX_DEPTH: usize = 256;

/// Values of any type `T` that serde can serialize and deserialize, in a compact format: that of
/// [postcard](https://docs.rs/postcard), version 1.
///
/// A value is given as `Serde(value)` or `Serde(&value)`, and is returned as a `T`.
///
/// The format stores neither the names nor the number of fields, nor the types of values. `T` therefore cannot use
/// `#[serde(flatten)]`, `tag`, `untagged`, `skip_serializing_if` or a `serde_json::Value`. If `T` changes, reading
/// stored values returns [`Error::Decode`] or wrong values.
#[cfg_attr(feature = "messagepack", doc = "[`MessagePack`] is for types that do either.")]
#[cfg_attr(
    not(feature = "messagepack"),
    doc = "`MessagePack` (feature `messagepack`) is for types that do either."
)]
/// The table does not know `T`: its value type is stored as "serde", because Rust has no name for a type that would
/// stay the same from one compiler or version of a program to the next. docs/VALUES.md says which changes are safe.
///
/// Each value is read back when it is encoded. If it differs from the given value, [`Error::Encode`] is returned,
/// which names the likely attribute. No value is ever stored that reads back as another one.
///
/// Values can be nested 256 deep at most, and elements of sequences must take at least a byte (no `Vec<()>`).
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

/// Values of any type `T` that serde can serialize and deserialize, with the names of their fields, as
/// [MessagePack](https://msgpack.org).
///
/// A value is given as `MessagePack(value)` or `MessagePack(&value)`, and is returned as a `T`.
///
/// All of serde's attributes work, and `T` may change: fields may be added, if they have a `#[serde(default)]`,
/// removed and reordered, and numbers may become wider. docs/VALUES.md has the list. The encoding is larger than that
/// of [`Serde`]: about the size of JSON without quotes and spaces.
///
/// Each value is read back when it is encoded. If it differs from the given value, [`Error::Encode`] is returned.
/// This refuses what MessagePack cannot distinguish: `Some(None)` and `Some(())` from `None`, and a field that is
/// left out although its default is another value. It also refuses integers of 128 bits in a `flatten`ed field or in
/// an enum with `tag` or `untagged`, where serde does not support them. Values can be nested 256 deep at most.
///
/// ```
/// use mapleaf::{Db, MessagePack, Table};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// #[serde(tag = "event")]
/// enum Event {
///     Login { user: String },
///     Payment { cents: u64, details: serde_json::Value },
/// }
///
/// const EVENTS: Table<u64, MessagePack<Event>> = Table::new("events");
///
/// let payment = Event::Payment { cents: 1999, details: serde_json::json!({ "card": true }) };
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut events = tx.table(&EVENTS)?;
///     events.insert(1, MessagePack(Event::Login { user: "ada".into() }))?;
///     events.insert(2, MessagePack(&payment))?;
///     Ok(())
/// })?;
/// assert_eq!(db.read()?.table(&EVENTS)?.get(2)?, Some(payment));
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[cfg(feature = "messagepack")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessagePack<T>(
    /// The value.
    pub T,
);

/// One of the two formats.
trait Format {
    /// The name of its values' type in the catalog.
    const NAME: &'static str;
    const IS_HUMAN_READABLE: bool;

    /// Appends the encoding of `value`.
    fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), Problem>;

    /// Reads a value that all of `bytes` are.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem>;
}

struct Compact;

impl Format for Compact {
    const NAME: &'static str = "serde";
    const IS_HUMAN_READABLE: bool = false;

    fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), Problem> {
        compact_encode::encode(value, out)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
        compact_decode::decode(bytes)
    }
}

#[cfg(feature = "messagepack")]
struct Named;

#[cfg(feature = "messagepack")]
impl Format for Named {
    const NAME: &'static str = "messagepack";
    // See `message_pack`.
    const IS_HUMAN_READABLE: bool = true;

    fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), Problem> {
        message_pack::encode(value, out)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
        message_pack::decode(bytes)
    }
}

/// The encoding of `value`, if it reads back the same.
fn encode<F: Format, T: Serialize + DeserializeOwned>(value: &T) -> crate::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(128);
    match encode_checked::<F, T>(value, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(Problem(problem)) => Err(Error::Encode { type_name: any::type_name::<T>().to_owned(), problem }),
    }
}

fn encode_checked<F: Format, T: Serialize + DeserializeOwned>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), Problem> {
    F::encode(value, bytes)?;
    let back: T = F::decode(bytes).map_err(does_not_read_back)?;
    if fingerprint(value, F::IS_HUMAN_READABLE)? != fingerprint(&back, F::IS_HUMAN_READABLE)? {
        return Err(reads_back_otherwise::<F>());
    }
    Ok(())
}

#[cold]
fn does_not_read_back(Problem(problem): Problem) -> Problem {
    Problem(format!("its `Deserialize` cannot read what its `Serialize` writes: {problem}"))
}

#[cold]
fn reads_back_otherwise<F: Format>() -> Problem {
    let suspects = match F::IS_HUMAN_READABLE {
        true => {
            "`Some(None)` or `Some(())`, which are written as `None` is; a `skip_serializing_if` whose field has \
             another `default`; variants of an `untagged` enum that look alike"
        }
        false => "a field or variant that is left out in one direction only (`skip`, `skip_serializing`)",
    };
    Problem(format!(
        "what its `Serialize` writes, its `Deserialize` reads back as another value. Look for {suspects}; or a \
         `serialize_with` that `deserialize_with` does not match"
    ))
}

/// Values of a wrapper, in a format.
macro_rules! serde_values {
    ($wrapper:ident, $format:ty) => {
        impl<T: Serialize + DeserializeOwned> Value for $wrapper<T> {
            type Ref<'a> = T;
            type Owned = T;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed(<$format>::NAME)
            }

            fn decode(bytes: &[u8]) -> crate::Result<T> {
                <$format>::decode(bytes).map_err(|Problem(problem)| decode_error(any::type_name::<T>(), problem))
            }

            fn into_owned(value: T) -> T {
                value
            }
        }

        serde_values!(@given $wrapper, $format, T, |wrapper| &wrapper.0);
        serde_values!(@given $wrapper, $format, &T, |wrapper| wrapper.0);
    };
    (@given $wrapper:ident, $format:ty, $given:ty, |$name:ident| $value:expr) => {
        impl<T: Serialize + DeserializeOwned> EncodeValue<$wrapper<T>> for $wrapper<$given> {
            fn encode_value_into(&self, encoder: &mut Encoder) -> crate::Result<()> {
                encoder.push(&self.encode_value()?);
                Ok(())
            }

            fn encode_value(&self) -> crate::Result<Encoded<'_>> {
                let $name = self;
                encode::<$format, T>($value).map(Encoded::from)
            }
        }
    };
}

serde_values!(Serde, Compact);
#[cfg(feature = "messagepack")]
serde_values!(MessagePack, Named);
