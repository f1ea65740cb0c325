//! From JSON, or a word of the command line, to the bytes that a table stores: the reverse of `decode`.

use serde_json::Value;

use super::decode::{Role, Type};
use crate::escape::{from_hex, unescape};

impl Type {
    /// A key or value that was given as JSON.
    pub(crate) fn encode(&self, value: &Value, role: Role) -> Result<Vec<u8>, String> {
        if let Some(digits) = field(value, "encoded").and_then(Value::as_str) {
            return from_hex(digits.as_bytes());
        }
        let mut bytes = Vec::new();
        self.push(value, role, true, &mut bytes)?;
        Ok(bytes)
    }

    /// A key or value that was given as a word: text and bytes as they are, all else as JSON (`char` with or without
    /// quotes).
    pub(crate) fn encode_word(&self, word: &[u8], role: Role) -> Result<Vec<u8>, String> {
        match self {
            Type::Bytes => Ok(word.to_vec()),
            Type::Str => match str::from_utf8(word) {
                Ok(_) => Ok(word.to_vec()),
                Err(error) => Err(format!("it is not UTF-8: {error}")),
            },
            _ => {
                let value = serde_json::from_slice(word)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(word).into_owned()));
                self.encode(&value, role)
            }
        }
    }

    /// The same of text in which [`crate::escape::escape`] has replaced what is not printable.
    pub(crate) fn encode_escaped(&self, text: &[u8], role: Role) -> Result<Vec<u8>, String> {
        match self {
            Type::Bytes | Type::Str | Type::Char => self.encode_word(&unescape(text)?, role),
            _ => self.encode_word(text, role),
        }
    }

    /// The bytes with which all keys begin whose first elements are those of the array `word`, if this is a tuple or a
    /// vector; if it is text or bytes, all that begin with `word`.
    pub(crate) fn encode_prefix(&self, word: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Type::Str | Type::Bytes => Ok(word.to_vec()),
            Type::Tuple(elements) => {
                let values: Vec<Value> =
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
                let values: Vec<Value> =
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

    fn push(&self, value: &Value, role: Role, is_last: bool, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Type::Unit if value.is_null() || value == "" => {}
            Type::Unit => return Err(self.expected("null")),
            Type::Bool => out.push(u8::from(value.as_bool().ok_or_else(|| self.expected("true or false"))?)),
            Type::Char => {
                let mut characters = value.as_str().unwrap_or_default().chars();
                let (Some(character), None) = (characters.next(), characters.next()) else {
                    return Err(self.expected("one character"));
                };
                push_unsigned(u128::from(u32::from(character)), 4, role, out);
            }
            Type::Int { size, is_signed } => {
                let bits =
                    int_bits(value, *size, *is_signed, role).ok_or_else(|| self.expected("an integer"))?;
                push_unsigned(bits, *size, role, out);
            }
            Type::Float { size } => {
                let bits = float_bits(value, *size).ok_or_else(|| self.expected("a number"))?;
                push_unsigned(ordered(bits, *size, role), *size, role, out);
            }
            Type::Array(length) => {
                let bytes = bytes_of(value).ok_or_else(|| self.expected("text, or {\"hex\": ..}"))??;
                if bytes.len() != *length {
                    return Err(format!("{} bytes, not {length}", bytes.len()));
                }
                out.extend(bytes);
            }
            Type::Str => {
                let text = value.as_str().ok_or_else(|| self.expected("text"))?;
                push_bytes(text.as_bytes(), role, is_last, out);
            }
            Type::Bytes => {
                let bytes = bytes_of(value).ok_or_else(|| self.expected("text, or {\"hex\": ..}"))??;
                push_bytes(&bytes, role, is_last, out);
            }
            Type::Option(_) if value.is_null() => out.push(0),
            Type::Option(inner) => {
                let value = field(value, "some").ok_or_else(|| self.expected("null, or {\"some\": ..}"))?;
                out.push(1);
                inner.push(value, role, is_last, out)?;
            }
            Type::NonZero(inner) => {
                let start = out.len();
                inner.push(value, role, is_last, out)?;
                if inner.to_json(&out[start..], role) == 0 || value == "0" {
                    return Err(self.expected("another number than 0"));
                }
            }
            Type::Tuple(elements) => push_elements(elements.iter(), value, role, is_last, out)?,
            Type::Repeated(element, length) => {
                push_elements(std::iter::repeat_n(&**element, *length), value, role, is_last, out)?;
            }
            Type::Vec(element) => {
                let values = value.as_array().ok_or_else(|| self.expected("an array"))?;
                element.push_vector(values, role, is_last, out)?;
            }
            Type::OfStd(kind) => {
                let text = match value {
                    Value::Number(number) => number.to_string(),
                    _ => value.as_str().unwrap_or_default().to_owned(),
                };
                out.extend(kind.encode(&text, role).ok_or_else(|| self.expected("text such as is shown"))?);
            }
            Type::Other => return Err("the type is not known here: give {\"encoded\": \"..\"}".to_owned()),
        }
        Ok(())
    }

    /// Appends a vector of this.
    fn push_vector(
        &self,
        values: &[Value],
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
    fn push_delimited(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        let mut bytes = Vec::new();
        self.push(value, Role::Value, true, &mut bytes)?;
        if self.fixed_size().is_none() {
            push_length(bytes.len(), out);
        }
        out.extend(bytes);
        Ok(())
    }
}

/// Appends the elements of a tuple or an array.
fn push_elements<'a>(
    elements: impl ExactSizeIterator<Item = &'a Type>,
    value: &Value,
    role: Role,
    is_last: bool,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let count = elements.len();
    let values = value.as_array().filter(|values| values.len() == count);
    let values = values.ok_or_else(|| format!("expected an array of {count} elements"))?;
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
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object().filter(|object| object.len() == 1)?.get(name)
}

fn bytes_of(value: &Value) -> Option<Result<Vec<u8>, String>> {
    match value.as_str() {
        Some(text) => Some(Ok(text.as_bytes().to_vec())),
        None => field(value, "hex").and_then(Value::as_str).map(|digits| from_hex(digits.as_bytes())),
    }
}

fn push_unsigned(bits: u128, size: usize, role: Role, out: &mut Vec<u8>) {
    let bytes = &bits.to_le_bytes()[..size];
    match role {
        Role::Key => out.extend(bytes.iter().rev()),
        Role::Value => out.extend(bytes),
    }
}

/// Large numbers may be given as text.
fn int_bits(value: &Value, size: usize, is_signed: bool, role: Role) -> Option<u128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let all = u128::MAX >> (128 - size * 8);
    if !is_signed {
        return text.parse::<u128>().ok().filter(|&number| number <= all);
    }
    let number = text.parse::<i128>().ok()?;
    let greatest = (all >> 1) as i128;
    let sign = if role == Role::Key { 1u128 << (size * 8 - 1) } else { 0 };
    (-greatest - 1..=greatest).contains(&number).then_some((number as u128 & all) ^ sign)
}

fn float_bits(value: &Value, size: usize) -> Option<u64> {
    if let Some(digits) = field(value, "hex").and_then(Value::as_str) {
        return (digits.len() == size * 2).then(|| u64::from_str_radix(digits, 16).ok())?;
    }
    let text = value.as_number()?.to_string();
    match size {
        4 => text.parse::<f32>().ok().map(|number| u64::from(number.to_bits())),
        _ => text.parse::<f64>().ok().map(f64::to_bits),
    }
}

/// The bits of a float such that keys are in order.
fn ordered(bits: u64, size: usize, role: Role) -> u128 {
    let sign = 1u64 << (size * 8 - 1);
    let bits = match role {
        Role::Value => bits,
        Role::Key if bits & sign != 0 => bits ^ (sign | (sign - 1)),
        Role::Key => bits ^ sign,
    };
    u128::from(bits)
}

/// In a key, unless they are its end: 00 FF for 00, and 00 00 at the end.
fn push_bytes(bytes: &[u8], role: Role, is_last: bool, out: &mut Vec<u8>) {
    if role == Role::Value || is_last {
        return out.extend(bytes);
    }
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend([0, 0]);
}

fn push_length(length: usize, out: &mut Vec<u8>) {
    let mut left = length;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::num::NonZero;
    use std::time::{Duration, UNIX_EPOCH};

    use mapleaf::{EncodeKey, EncodeValue, Key, Value as StoredValue};
    use serde_json::{Value, json};

    use super::{Role, Type};

    /// What the library stores for `given`, its own types' encodings, is what JSON says, in both directions.
    #[track_caller]
    fn agrees<T>(given: T, expected: Value)
    where
        T: Key + StoredValue + EncodeKey<T> + EncodeValue<T> + Debug,
    {
        let key_type = Type::parse(&<T as Key>::type_name());
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
    fn what_is_no_encoding_is_shown_as_it_is_stored() {
        let encoded = json!({ "encoded": "07" });
        assert_eq!(Type::parse("u64").to_json(&[7], Role::Key), encoded);
        assert_eq!(Type::parse("serde").to_json(&[7], Role::Value), encoded);
        assert_eq!(Type::parse("u64").encode(&encoded, Role::Key), Ok(vec![7]));
        assert_eq!(Type::parse("nonzero<u8>").to_json(&[0], Role::Key), json!({ "encoded": "00" }));
        assert_eq!(Type::parse("[();4000000000]").to_json(&[], Role::Key), json!({ "encoded": "" }));
        assert_eq!(Type::parse("[[u8;2];1]").to_json(b"ab", Role::Value), json!(["ab"]));
        assert_eq!(Type::parse("vec<()>").to_json(&[1], Role::Value), json!({ "encoded": "01" }));
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 3, 0);
        let shown = Type::parse("socketaddrv6").to_json(&address.encode_key(), Role::Key);
        assert!(shown.get("encoded").is_some(), "{shown}");
        assert!(Type::parse("nonzero<i8>").encode(&json!(0), Role::Key).is_err());
        assert_eq!(Type::parse("vec<u16>").encode_prefix(b"[1]"), Ok(vec![1, 0, 1]));
        assert!(Type::parse("vec<u8>").encode(&json!([256]), Role::Key).is_err());
        assert!(Type::parse("ipaddr").encode(&json!("10.0.0"), Role::Key).is_err());
        assert!(Type::parse("u8").encode(&json!(256), Role::Key).is_err());
        assert!(Type::parse("i8").encode(&json!(-129), Role::Key).is_err());
        assert!(Type::parse("(u8,str)").encode(&json!([1]), Role::Key).is_err());
    }
}
