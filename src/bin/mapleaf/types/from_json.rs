//! From JSON, or a word of the command line, to the bytes that a table stores: the reverse of `to_json`.

use mapleaf::{EncodeKey, EncodeValue};
use serde_json::Value as Json;

use super::role::Role;
use super::scalar::Scalar;
use super::shape::Variant;
use super::stored_type::Type;
use crate::escape::{from_hex, unescape};

impl Type {
    /// A key or value that was given as JSON.
    pub(crate) fn encode(&self, value: &Json, role: Role) -> Result<Vec<u8>, String> {
        if let Some(digits) = field(value, "encoded").and_then(Json::as_str) {
            return from_hex(digits.as_bytes());
        }
        let mut bytes = Vec::new();
        self.push(value, role, true, &mut bytes)?;
        Ok(bytes)
    }

    /// A key or value that was given as a word: text and bytes as they are, all else as JSON (`char` with or without
    /// quotes).
    pub(crate) fn encode_word(&self, word: &[u8], role: Role) -> Result<Vec<u8>, String> {
        if let Some(only) = self.only_field() {
            return only.encode_word(word, role);
        }
        match self {
            Type::Bytes => Ok(word.to_vec()),
            Type::FromEnd => Ok(word.iter().rev().copied().collect()),
            Type::NoCase => Type::Str.encode_word(&word.to_ascii_lowercase(), role),
            Type::Str => match str::from_utf8(word) {
                Ok(_) => Ok(word.to_vec()),
                Err(error) => Err(format!("it is not UTF-8: {error}")),
            },
            _ => {
                let value = serde_json::from_slice(word)
                    .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(word).into_owned()));
                self.encode(&value, role)
            }
        }
    }

    /// The same of text in which [`crate::escape::escape`] has replaced what is not printable.
    pub(crate) fn encode_escaped(&self, text: &[u8], role: Role) -> Result<Vec<u8>, String> {
        if let Some(only) = self.only_field() {
            return only.encode_escaped(text, role);
        }
        match self {
            Type::Bytes | Type::Str | Type::NoCase | Type::FromEnd | Type::Scalar(Scalar::Char) => {
                self.encode_word(&unescape(text)?, role)
            }
            _ => self.encode_word(text, role),
        }
    }

    /// The bytes with which all keys begin whose first elements are those of the array `word`, if this is a tuple or a
    /// vector; if it is text or bytes, the bytes with which all keys begin that begin with `word` (or end with it, if
    /// they are compared from their end).
    pub(crate) fn encode_prefix(&self, word: &[u8]) -> Result<Vec<u8>, String> {
        if let Some(only) = self.only_field() {
            return only.encode_prefix(word);
        }
        match self {
            Type::Str | Type::Bytes => Ok(word.to_vec()),
            Type::NoCase | Type::FromEnd => self.encode_word(word, Role::Key),
            Type::Tuple(_) | Type::Struct(..) => {
                let elements = self.elements().unwrap_or_default();
                let values: Vec<Json> =
                    serde_json::from_slice(word).map_err(|_| self.expected("an array of first elements"))?;
                if values.len() > elements.len() {
                    return Err(format!("{} elements, the keys have {}", values.len(), elements.len()));
                }
                let mut bytes = Vec::new();
                for (index, (element, value)) in elements.iter().zip(&values).enumerate() {
                    element.push(value, Role::Key, index + 1 == elements.len(), &mut bytes)?;
                }
                Ok(bytes)
            }
            Type::Vec(element) => {
                let values: Vec<Json> =
                    serde_json::from_slice(word).map_err(|_| self.expected("an array of first elements"))?;
                let mut bytes = Vec::new();
                element.push_vector(&values, Role::Key, true, &mut bytes)?;
                Ok(bytes)
            }
            _ => Err("these keys have no prefixes: use --from and --to".to_owned()),
        }
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} for {self}")
    }

    fn push(&self, value: &Json, role: Role, is_last: bool, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Type::Scalar(scalar) => {
                out.extend(scalar.encode(value, role).ok_or_else(|| self.expected(scalar.form()))?);
            }
            Type::Array(_) => out.extend(self.bytes_of(value)?),
            Type::NoCase | Type::FromEnd if role == Role::Value => {
                return Err(format!("{self} is a type of keys only"));
            }
            Type::Str | Type::Bytes | Type::NoCase | Type::FromEnd => {
                push_bytes(&self.bytes_of(value)?, role, is_last, out);
            }
            Type::Reverse(inner) if role == Role::Value => inner.push(value, role, is_last, out)?,
            Type::Reverse(inner) => {
                let start = out.len();
                inner.push(value, role, false, out)?;
                out[start..].iter_mut().for_each(|byte| *byte = !*byte);
            }
            Type::Option(_) if value.is_null() => out.push(0),
            Type::Option(inner) => {
                let value = field(value, "some").ok_or_else(|| self.expected("null, or {\"some\": ..}"))?;
                out.push(1);
                inner.push(value, role, is_last, out)?;
            }
            Type::NonZero(scalar) => {
                let is_zero = value == 0 || value == "0";
                let bytes = scalar.encode(value, role).filter(|_| !is_zero);
                out.extend(bytes.ok_or_else(|| self.expected("an integer other than 0"))?);
            }
            Type::Tuple(elements) => {
                push_elements(elements.iter(), &array_of(value, elements.len())?, role, is_last, out)?;
            }
            Type::Struct(_, fields) => {
                push_elements(fields.types.iter(), &fields.values(value)?, role, is_last, out)?;
            }
            Type::Enum(_, variants) => {
                let (variant, values) = Variant::of(variants, value)?;
                out.push(variant.tag);
                push_elements(variant.fields.types.iter(), &values, role, is_last, out)?;
            }
            Type::Repeated(element, length) => {
                let elements = std::iter::repeat_n(&**element, *length);
                push_elements(elements, &array_of(value, *length)?, role, is_last, out)?;
            }
            Type::Vec(element) => {
                let values = value.as_array().ok_or_else(|| self.expected("an array"))?;
                element.push_vector(values, role, is_last, out)?;
            }
            Type::AsText(kind) => {
                let number = value.as_number().map(|number| number.to_string());
                let text = number.or_else(|| value.as_str().map(str::to_owned));
                let bytes = text.and_then(|text| kind.encode(&text, role));
                out.extend(bytes.ok_or_else(|| self.expected("text as it is shown"))?);
            }
            Type::Other => return Err(UNKNOWN_TYPE.to_owned()),
        }
        Ok(())
    }

    /// The bytes of text or of a byte string, in the order in which they are stored.
    fn bytes_of(&self, value: &Json) -> Result<Vec<u8>, String> {
        let text = || value.as_str().ok_or_else(|| self.expected("text"));
        let bytes = || bytes_of(value).ok_or_else(|| self.expected("text, or {\"hex\": ..}"))?;
        match self {
            Type::Str => Ok(text()?.as_bytes().to_vec()),
            Type::NoCase => Ok(text()?.to_ascii_lowercase().into_bytes()),
            Type::FromEnd => Ok(bytes()?.into_iter().rev().collect()),
            Type::Array(length) => match bytes()? {
                bytes if bytes.len() != *length => Err(format!("{} bytes, not {length}", bytes.len())),
                bytes => Ok(bytes),
            },
            _ => bytes(),
        }
    }

    /// Appends a vector of this.
    fn push_vector(
        &self,
        values: &[Json],
        role: Role,
        is_last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        for value in values {
            match role {
                Role::Value => self.push_delimited(value, out)?,
                Role::Key => {
                    out.push(1);
                    self.push(value, role, false, out)?;
                }
            }
        }
        if role == Role::Key && !is_last {
            out.push(0);
        }
        Ok(())
    }

    /// Appends an element of a value that something follows.
    fn push_delimited(&self, value: &Json, out: &mut Vec<u8>) -> Result<(), String> {
        let mut bytes = Vec::new();
        self.push(value, Role::Value, true, &mut bytes)?;
        if self.fixed_size().is_some() {
            out.extend(bytes);
            return Ok(());
        }
        // As an element of a tuple in which nothing comes after it.
        let encoded = EncodeValue::<(Vec<u8>, ())>::encode_value(&(bytes, ())).map(|bytes| bytes.to_vec());
        out.extend(encoded.map_err(|error| error.to_string())?);
        Ok(())
    }
}

const UNKNOWN_TYPE: &str = "this program does not know the type: give {\"encoded\": \"..\"}, or --as hex";

/// The elements of an array of `count`.
fn array_of(value: &Json, count: usize) -> Result<Vec<&Json>, String> {
    let values = value.as_array().filter(|values| values.len() == count);
    Ok(values.ok_or_else(|| format!("expected an array of {count} elements"))?.iter().collect())
}

/// Appends elements, one for each of `values`: those of a tuple, a struct, a variant or an array.
fn push_elements<'a>(
    elements: impl ExactSizeIterator<Item = &'a Type>,
    values: &[&Json],
    role: Role,
    is_last: bool,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let count = elements.len();
    for (index, (element, value)) in elements.zip(values).enumerate() {
        let is_last_element = index + 1 == count;
        match role {
            Role::Value if !is_last_element => element.push_delimited(value, out)?,
            _ => element.push(value, role, is_last && is_last_element, out)?,
        }
    }
    Ok(())
}

/// The field of an object that has no other.
fn field<'a>(value: &'a Json, name: &str) -> Option<&'a Json> {
    value.as_object().filter(|object| object.len() == 1)?.get(name)
}

fn bytes_of(value: &Json) -> Option<Result<Vec<u8>, String>> {
    match value.as_str() {
        Some(text) => Some(Ok(text.as_bytes().to_vec())),
        None => field(value, "hex").and_then(Json::as_str).map(|digits| from_hex(digits.as_bytes())),
    }
}

/// In a key in which other elements follow, text and bytes are delimited.
fn push_bytes(bytes: &[u8], role: Role, is_last: bool, out: &mut Vec<u8>) {
    match role {
        // As an element of a tuple in which nothing comes after it.
        Role::Key if !is_last => out.extend(&*EncodeKey::<(Vec<u8>, ())>::encode_key(&(bytes, ()))),
        _ => out.extend(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::fmt::Debug;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::num::NonZero;
    use std::time::{Duration, UNIX_EPOCH};

    use mapleaf::{BytesFromEnd, EncodeKey, EncodeValue, Key, NoCase, Value as StoredValue};
    use serde_json::{Value, json};

    use crate::types::{Role, Type};

    /// What the library stores for `given`, its own types' encodings, is what JSON means, in both directions.
    #[track_caller]
    fn agrees<T>(given: T, expected: Value)
    where
        T: Key + StoredValue + EncodeKey<T> + EncodeValue<T> + Debug,
    {
        let key_type = Type::of_name(&<T as Key>::type_name());
        let key = given.encode_key().to_vec();
        assert_eq!(key_type.to_json(&key, Role::Key), expected, "{given:?} as a key");
        assert_eq!(key_type.encode(&expected, Role::Key), Ok(key), "{given:?} as a key");
        let value = given.encode_value().unwrap().to_vec();
        assert_eq!(key_type.to_json(&value, Role::Value), expected, "{given:?} as a value");
        assert_eq!(key_type.encode(&expected, Role::Value), Ok(value), "{given:?} as a value");
    }

    #[test]
    fn encodings_are_those_of_the_library() {
        agrees(7u8, json!(7));
        agrees(u64::MAX, json!(u64::MAX));
        agrees(u128::MAX, json!(u128::MAX.to_string()));
        agrees(-1i8, json!(-1));
        agrees(i16::MIN, json!(i16::MIN));
        agrees(i64::MIN, json!(i64::MIN));
        agrees(i128::MIN, json!(i128::MIN.to_string()));
        agrees(0.1f32, json!(0.1));
        agrees(-1.5e300f64, json!(-1.5e300));
        agrees(f64::NAN, json!({ "hex": "7ff8000000000000" }));
        agrees(f32::NEG_INFINITY, json!({ "hex": "ff800000" }));
        agrees(true, json!(true));
        agrees('ß', json!("ß"));
        agrees((), json!(null));
        agrees([1u8, 0xff], json!({ "hex": "01ff" }));
        agrees("a\0b".to_owned(), json!("a\0b"));
        agrees(vec![0xffu8, 0], json!({ "hex": "ff00" }));
        agrees(Some(Some(7u32)), json!({ "some": { "some": 7 } }));
        agrees(None::<String>, json!(null));
        agrees(Reverse(7u16), json!(7));
        agrees(
            (Reverse("a\0".to_owned()), Reverse((Reverse(-1i8), vec![1u8])), 7u8),
            json!(["a\0", [-1, "\u{1}"], 7]),
        );
        agrees(vec![Reverse(Some(true)), Reverse(None)], json!([{ "some": true }, null]));
        agrees(usize::MAX, json!(usize::MAX));
        agrees(NonZero::<i32>::MIN, json!(i32::MIN));
        agrees(vec![1u16, 300], json!([1, 300]));
        agrees(vec![vec![], vec!["a\0".to_owned(), "b".to_owned()]], json!([[], ["a\0", "b"]]));
        agrees((vec![-1i8], vec![Some(true), None], 7u8), json!([[-1], [{ "some": true }, null], 7]));
        agrees(([1u64, 2], ["a".to_owned(), "b".to_owned()]), json!([[1, 2], ["a", "b"]]));
        agrees(Duration::new(7, 500), json!("7.0000005"));
        agrees((Duration::MAX, 1u8), json!(["18446744073709551615.999999999", 1]));
        agrees(UNIX_EPOCH - Duration::from_millis(1), json!("1969-12-31T23:59:59.999Z"));
        agrees(IpAddr::from([10, 0, 0, 1]), json!("10.0.0.1"));
        agrees((Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, 7u8), json!(["127.0.0.1", "::1", 7]));
        agrees((SocketAddr::from(([10, 0, 0, 1], 80)), 7u8), json!(["10.0.0.1:80", 7]));
        agrees(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), json!("127.0.0.1:1"));
        agrees(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 4), json!("[::1%4]:80"));
        agrees(SocketAddr::from((Ipv6Addr::LOCALHOST, 80)), json!("[::1]:80"));
        agrees(("a\0b".to_owned(), 7u32, "c".to_owned()), json!(["a\0b", 7, "c"]));
        agrees(
            ("x".repeat(300), (vec![0u8, 1], -1i32), Some("y".to_owned())),
            json!([
                "x".repeat(300), ["\0\u{1}", -1], { "some": "y" }
            ]),
        );
    }

    #[test]
    fn text_without_case_and_bytes_from_their_end() {
        let keys = Type::of_name("(nocase,bytes_from_end,reverse<nocase>)");
        let key =
            EncodeKey::<(NoCase, BytesFromEnd, Reverse<NoCase>)>::encode_key(&("A", b"ab\0", Reverse("B")))
                .to_vec();
        assert_eq!(keys.to_json(&key, Role::Key), json!(["a", "ab\0", "b"]));
        assert_eq!(keys.encode(&json!(["A", "ab\0", "B"]), Role::Key), Ok(key));
        assert_eq!(Type::NoCase.encode_word(b"Ada", Role::Key), Ok(b"ada".to_vec()));
        assert_eq!(Type::NoCase.to_json(b"Ada", Role::Key), json!({ "encoded": "416461" }));
        assert_eq!(Type::FromEnd.encode_word(b"org", Role::Key), Ok(b"gro".to_vec()));
        assert_eq!(Type::FromEnd.encode_prefix(b"org"), Ok(b"gro".to_vec()));
        assert_eq!(Type::FromEnd.to_text(b"gro", Role::Key), "org");
        assert!(Type::NoCase.encode(&json!("a"), Role::Value).is_err());
        assert_eq!(Type::FromEnd.to_json(b"a", Role::Value), json!({ "encoded": "61" }));
    }

    #[test]
    fn what_is_no_encoding_is_shown_as_it_is_stored() {
        let encoded = json!({ "encoded": "07" });
        assert_eq!(Type::of_name("u64").to_json(&[7], Role::Key), encoded);
        assert_eq!(Type::of_name("serde").to_json(&[7], Role::Value), encoded);
        assert_eq!(Type::of_name("u64").encode(&encoded, Role::Key), Ok(vec![7]));
        assert_eq!(Type::of_name("nonzero<u8>").to_json(&[0], Role::Key), json!({ "encoded": "00" }));
        assert_eq!(Type::of_name("[();4000000000]").to_json(&[], Role::Key), json!({ "encoded": "" }));
        assert_eq!(Type::of_name("[[u8;2];1]").to_json(b"ab", Role::Value), json!(["ab"]));
        assert_eq!(Type::of_name("vec<()>").to_json(&[1], Role::Value), json!({ "encoded": "01" }));
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 3, 0);
        let shown = Type::of_name("socketaddrv6").to_json(&address.encode_key(), Role::Key);
        assert!(shown.get("encoded").is_some(), "{shown}");
        assert!(Type::of_name("nonzero<i8>").encode(&json!(0), Role::Key).is_err());
        assert_eq!(Type::of_name("vec<u16>").encode_prefix(b"[1]"), Ok(vec![1, 0, 1]));
        assert!(Type::of_name("vec<u8>").encode(&json!([256]), Role::Key).is_err());
        assert!(Type::of_name("ipaddr").encode(&json!("10.0.0"), Role::Key).is_err());
        assert!(Type::of_name("u8").encode(&json!(256), Role::Key).is_err());
        assert!(Type::of_name("i8").encode(&json!(-129), Role::Key).is_err());
        assert!(Type::of_name("(u8,str)").encode(&json!([1]), Role::Key).is_err());
    }
}
