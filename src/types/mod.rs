//! The typed layer: the Rust types of keys and values, and their bytes in the file.
//!
//! The encodings are part of the file format. Their invariants:
//!
//! - **Order**: for keys `a` and `b` of one type, `a < b` exactly if the bytes of `a` sort before the
//!   bytes of `b`. The tree compares bytes and nothing else.
//! - **Exactness**: decoding returns the value that was encoded, and every value has one encoding: bytes that can be
//!   decoded are the encoding of the resulting value. (`MessagePack` does not guarantee this.)
//! - **Distrust**: decoding arbitrary bytes returns a value or [`Error::Decode`](crate::Error::Decode). It does not
//!   panic, and uses no more memory than a small multiple of the given bytes.
//! - **Names**: two types of the same name have the same encoding. The names are stored with each table; tests
//!   fix them, as they fix the bytes of samples of every type.
//!
//! Keys and values differ in two ways. Keys are encoded so that their bytes sort as the keys do, and are returned
//! owned, because a page stores the common prefix of its keys only once. Values are encoded for cheap reading, and
//! are returned borrowed from the mapping.

mod address;
mod bound;
mod bytes_from_end;
#[cfg(feature = "derive")]
pub mod derive_support;
mod element;
mod encoded;
mod key;
mod key_bytes;
mod key_list;
mod key_scalar;
#[cfg(feature = "serde")]
mod key_serde;
mod key_str;
mod key_text;
mod key_tuple;
mod lists;
mod multimap_table;
mod no_case;
#[cfg(feature = "chrono")]
mod of_chrono;
#[cfg(feature = "jiff")]
mod of_jiff;
#[cfg(feature = "uuid")]
mod of_uuid;
mod pair;
mod prefix;
mod range;
mod represented;
mod reverse;
#[cfg(feature = "serde")]
mod serde_value;
mod table;
mod value;
mod value_list;
mod value_scalar;
mod value_text;
mod value_tuple;

#[cfg(test)]
mod tests;

pub use self::bound::{EncodedBound, KeyBound};
pub(crate) use self::bound::{encode_end, encode_start, end_of_prefix};
pub use self::bytes_from_end::BytesFromEnd;
pub use self::element::Element;
pub use self::encoded::{Encoded, Encoder, KeyPosition};
pub(crate) use self::key::decode_key;
pub use self::key::{EncodeKey, Key, KeyReader};
pub use self::key_bytes::KeyBytes;
pub use self::key_str::KeyStr;
pub use self::multimap_table::MultimapTable;
pub use self::no_case::NoCase;
pub(crate) use self::pair::{
    EncodedPair, decode_pair, decode_pair_key, decode_pair_value, encode_pair, encode_pair_key,
    encode_pair_range, encode_value_range,
};
pub use self::prefix::KeyPrefix;
pub use self::range::{KeyRange, PairRange};
#[cfg(feature = "messagepack")]
pub use self::serde_value::MessagePack;
#[cfg(feature = "serde")]
pub use self::serde_value::Serde;
pub use self::table::Table;
pub use self::value::{EncodeValue, Value};

use crate::Error;

/// Builds an [`Error::Decode`]. It is `#[cold]` to stay out of the callers' hot code.
#[cold]
fn decode_error(type_name: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Decode { type_name: type_name.into(), problem: problem.into() }
}

/// Builds the [`Error::Decode`] for a wrong number of bytes.
#[cold]
fn wrong_length(type_name: impl Into<String>, expected: usize, found: usize) -> Error {
    decode_error(type_name, format!("expected {expected} bytes, found {found}"))
}

/// Takes `bytes` for exactly the `N` bytes of a `type_name`.
#[inline]
fn exactly<const N: usize>(bytes: &[u8], type_name: &str) -> crate::Result<[u8; N]> {
    bytes.try_into().map_err(|_| wrong_length(type_name, N, bytes.len()))
}
