//! From the bytes that a table stores to JSON, or to a line of text: the reverse of `from_json`.
//!
//! A key or value is in JSON what it is in Rust: a number, text, `true`, `null` for `()` and `None`, an array for a
//! tuple, a vector or an array, text for a time, an address or a UUID (`as_text`). What JSON has no form for is an
//! object of one field: `{"some": x}` for `Some`, `{"hex": "00ff"}` for bytes that are not UTF-8 (and for floats that
//! are not numbers: their bits), `{"encoded": "00ff"}` for stored bytes that are not an encoding of the type, or of a
//! type that this program does not know, such as `serde`.

use mapleaf::{Key, KeyBytes, Value};
use serde_json::{Value as Json, json};

use super::as_text::take;
use super::role::Role;
use super::stored_type::Type;
use crate::escape::{escape, to_hex};

impl Type {
    /// Stored bytes as JSON.
    pub(crate) fn to_json(&self, bytes: &[u8], role: Role) -> Json {
        let mut rest = bytes;
        match self.read(&mut rest, role, true) {
            Some(value) if rest.is_empty() => value,
            _ => json!({ "encoded": to_hex(bytes) }),
        }
    }

    /// Stored bytes as one line of text.
    pub(crate) fn to_text(&self, bytes: &[u8], role: Role) -> String {
        if let Some(only) = self.only_field() {
            return only.to_text(bytes, role);
        }
        match self {
            Type::Str | Type::Bytes => escape(bytes),
            Type::FromEnd => escape(&bytes.iter().rev().copied().collect::<Vec<u8>>()),
            _ => match self.to_json(bytes, role) {
                Json::String(text) => escape(text.as_bytes()),
                value => value.to_string(),
            },
        }
    }

    /// Reads one value off the front of `rest`: all of it, for text and the like, if it `is_last`. `None` if that is
    /// not an encoding.
    pub(super) fn read(&self, rest: &mut &[u8], role: Role, is_last: bool) -> Option<Json> {
        match self {
            Type::Scalar(scalar) => scalar.to_json(take(rest, scalar.size())?, role),
            Type::Array(length) => take(rest, *length).map(bytes_to_json),
            Type::NoCase | Type::FromEnd if role == Role::Value => None,
            Type::Str | Type::Bytes | Type::NoCase | Type::FromEnd => {
                let mut bytes = match role {
                    Role::Key if !is_last => take_delimited(rest)?,
                    _ => std::mem::take(rest).to_vec(),
                };
                match self {
                    Type::NoCase if bytes.iter().any(u8::is_ascii_uppercase) => return None,
                    Type::FromEnd => bytes.reverse(),
                    _ => {}
                }
                match self {
                    Type::Str | Type::NoCase => String::from_utf8(bytes).ok().map(Json::String),
                    _ => Some(bytes_to_json(&bytes)),
                }
            }
            Type::Reverse(inner) => inner.read_reversed(rest, role, is_last),
            Type::Option(inner) => match take(rest, 1)? {
                [0] => Some(Json::Null),
                [1] => inner.read(rest, role, is_last).map(|value| json!({ "some": value })),
                _ => None,
            },
            Type::NonZero(scalar) => {
                let number = scalar.to_json(take(rest, scalar.size())?, role)?;
                Some(number).filter(|number| number != 0 && number != "0")
            }
            Type::Tuple(elements) => read_elements(elements.iter(), rest, role, is_last).map(Json::Array),
            Type::Struct(_, fields) => {
                read_elements(fields.types.iter(), rest, role, is_last).map(|values| fields.to_json(values))
            }
            Type::Enum(_, variants) => {
                let [tag] = take(rest, 1)? else { return None };
                let variant = variants.iter().find(|variant| variant.tag == *tag)?;
                let values = read_elements(variant.fields.types.iter(), rest, role, is_last)?;
                Some(variant.to_json(values))
            }
            Type::Repeated(element, length) => {
                let elements = std::iter::repeat_n(&**element, *length);
                read_elements(elements, rest, role, is_last).map(Json::Array)
            }
            Type::Vec(element) => element.read_vector(rest, role, is_last).map(Json::Array),
            Type::AsText(kind) => kind.read(rest, role).map(Json::String),
            Type::Other => None,
        }
    }

    /// Reads one of this in descending order.
    fn read_reversed(&self, rest: &mut &[u8], role: Role, is_last: bool) -> Option<Json> {
        if role == Role::Value {
            return self.read(rest, role, is_last);
        }
        // All that follows might be of it; if its size is fixed, no more than that is inverted.
        let limit = self.fixed_size().map_or(rest.len(), |size| size.min(rest.len()));
        let inverted: Vec<u8> = rest[..limit].iter().map(|byte| !byte).collect();
        let mut unread = &inverted[..];
        let value = self.read(&mut unread, role, false)?;
        *rest = &rest[limit - unread.len()..];
        Some(value)
    }

    /// Reads a vector of this.
    fn read_vector(&self, rest: &mut &[u8], role: Role, is_last: bool) -> Option<Vec<Json>> {
        let mut elements = Vec::new();
        if role == Role::Value {
            while !rest.is_empty() {
                elements.push(self.read_delimited(rest)?);
            }
            return Some(elements);
        }
        while !(is_last && rest.is_empty()) {
            match take(rest, 1)? {
                [1] => elements.push(self.read(rest, role, false)?),
                [0] if !is_last => break,
                _ => return None,
            }
        }
        Some(elements)
    }

    /// Reads an element of a value that something follows: its size is known, or its length comes first.
    fn read_delimited(&self, rest: &mut &[u8]) -> Option<Json> {
        let mut bytes = match self.fixed_size() {
            // A vector of elements without bytes would not come to an end.
            Some(0) | None => {
                // What comes after an element of any length is bytes, whatever they are.
                let (bytes, after) = <(Vec<u8>, Vec<u8>) as Value>::decode(rest).ok()?;
                *rest = after;
                bytes
            }
            Some(size) => take(rest, size)?,
        };
        self.read(&mut bytes, Role::Value, true).filter(|_| bytes.is_empty())
    }
}

/// Reads the elements of a tuple or an array.
fn read_elements<'a>(
    elements: impl ExactSizeIterator<Item = &'a Type>,
    rest: &mut &[u8],
    role: Role,
    is_last: bool,
) -> Option<Vec<Json>> {
    let count = elements.len();
    let read = |(index, element): (usize, &Type)| match (role, index + 1 == count) {
        (_, true) => element.read(rest, role, is_last),
        (Role::Key, false) => element.read(rest, role, false),
        (Role::Value, false) if element.fixed_size() == Some(0) => element.read(rest, role, false),
        (Role::Value, false) => element.read_delimited(rest),
    };
    elements.enumerate().map(read).collect()
}

/// Takes text or bytes that are not the last element of a key.
pub(super) fn take_delimited(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (taken, after) = <(Vec<u8>, Vec<u8>) as Key>::decode(KeyBytes::from(*rest)).ok()?;
    *rest = &rest[rest.len() - after.len()..];
    Some(taken.to_vec())
}

/// Text if it is UTF-8.
fn bytes_to_json(bytes: &[u8]) -> Json {
    match str::from_utf8(bytes) {
        Ok(text) => Json::String(text.to_owned()),
        Err(_) => json!({ "hex": to_hex(bytes) }),
    }
}
