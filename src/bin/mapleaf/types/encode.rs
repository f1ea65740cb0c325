//! From JSON, or a word of the command line, to the bytes that a table stores: the reverse of `types`.

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

    /// The bytes with which all keys begin whose first elements are those of the array `value`, if this is a tuple; if
    /// it is text or bytes, all that begin with `value`.
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
            Type::Tuple(elements) => push_tuple(elements, value, role, is_last, out)?,
            Type::Other => return Err("the type is not known here: give {\"encoded\": \"..\"}".to_owned()),
        }
        Ok(())
    }
}

fn push_tuple(
    elements: &[Type],
    value: &Value,
    role: Role,
    is_last: bool,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let values = value.as_array().filter(|values| values.len() == elements.len());
    let values = values.ok_or_else(|| format!("expected an array of {} elements", elements.len()))?;
    for (index, (element, value)) in elements.iter().zip(values).enumerate() {
        let is_last_element = index + 1 == elements.len();
        if role == Role::Key || is_last_element || element.fixed_size().is_some() {
            element.push(value, role, is_last && is_last_element, out)?;
            continue;
        }
        let mut bytes = Vec::new();
        element.push(value, role, true, &mut bytes)?;
        push_length(bytes.len(), out);
        out.extend(bytes);
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
        assert!(Type::parse("u8").encode(&json!(256), Role::Key).is_err());
        assert!(Type::parse("i8").encode(&json!(-129), Role::Key).is_err());
        assert!(Type::parse("(u8,str)").encode(&json!([1]), Role::Key).is_err());
    }
}
