//! The types that tables have, known at run time: from stored bytes to JSON. `encode` is the reverse.
//!
//! A key or value is in JSON what it is in Rust: a number, text, `true`, `null` for `()` and `None`, an array for a
//! tuple, a vector or an array, text for a time or an address (`of_std`). What JSON has no form for is an object of one
//! field: `{"some": x}` for `Some`, `{"hex": "00ff"}` for bytes that are not UTF-8 (and for floats that are no numbers:
//! their bits), `{"encoded": "00ff"}` for stored bytes that are no encoding of the type, or of a type that is not known
//! here, such as `serde`.

use std::fmt;

use serde_json::{Value, json};

use super::of_std::OfStd;
use crate::escape::{escape, push_hex, to_hex};

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Type {
    Int {
        size: usize,
        is_signed: bool,
    },
    Float {
        size: usize,
    },
    Bool,
    Char,
    Unit,
    Array(usize),
    Str,
    Bytes,
    Option(Box<Type>),
    NonZero(Box<Type>),
    Tuple(Vec<Type>),
    /// An array of other elements than bytes: a tuple of one type.
    Repeated(Box<Type>, usize),
    Vec(Box<Type>),
    OfStd(OfStd),
    Other,
}

/// Keys and values are encoded differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Key,
    Value,
}

/// As the catalog and `--types` have it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Int { size, is_signed } => write!(f, "{}{}", if *is_signed { "i" } else { "u" }, size * 8),
            Type::Float { size } => write!(f, "f{}", size * 8),
            Type::Bool => f.write_str("bool"),
            Type::Char => f.write_str("char"),
            Type::Unit => f.write_str("()"),
            Type::Array(length) => write!(f, "[u8;{length}]"),
            Type::Str => f.write_str("str"),
            Type::Bytes => f.write_str("bytes"),
            Type::Option(inner) => write!(f, "option<{inner}>"),
            Type::NonZero(inner) => write!(f, "nonzero<{inner}>"),
            Type::Repeated(element, length) => write!(f, "[{element};{length}]"),
            Type::Vec(element) => write!(f, "vec<{element}>"),
            Type::OfStd(kind) => f.write_str(kind.name()),
            Type::Tuple(elements) => {
                let names: Vec<String> = elements.iter().map(Type::to_string).collect();
                write!(f, "({})", names.join(","))
            }
            Type::Other => f.write_str("a type that is not known here"),
        }
    }
}

impl Type {
    /// The type of a name in the catalog.
    pub(crate) fn parse(name: &str) -> Type {
        let number = |digits: &str| digits.parse::<usize>().ok().filter(|bits| bits.is_power_of_two());
        match name {
            "bool" => return Type::Bool,
            "char" => return Type::Char,
            "()" => return Type::Unit,
            "str" => return Type::Str,
            "bytes" => return Type::Bytes,
            "f32" | "f64" => return Type::Float { size: if name == "f32" { 4 } else { 8 } },
            _ => {}
        }
        if let Some(bits) =
            name.strip_prefix(['u', 'i']).and_then(number).filter(|bits| (8..=128).contains(bits))
        {
            return Type::Int { size: bits / 8, is_signed: name.starts_with('i') };
        }
        if let Some(inner) = name.strip_prefix("option<").and_then(|rest| rest.strip_suffix('>')) {
            return Type::Option(Box::new(Type::parse(inner)));
        }
        if let Some(inner) = name.strip_prefix("nonzero<").and_then(|rest| rest.strip_suffix('>')) {
            return match Type::parse(inner) {
                inner @ Type::Int { .. } => Type::NonZero(Box::new(inner)),
                _ => Type::Other,
            };
        }
        if let Some(element) = name.strip_prefix("vec<").and_then(|rest| rest.strip_suffix('>')) {
            return Type::Vec(Box::new(Type::parse(element)));
        }
        if let Some(array) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return array
                .rsplit_once(';')
                .and_then(|(element, length)| {
                    let length = length.parse().ok()?;
                    Type::array(Type::parse(element), length)
                })
                .unwrap_or(Type::Other);
        }
        if let Some(kind) = OfStd::parse(name) {
            return Type::OfStd(kind);
        }
        match name.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some(inner) => Type::Tuple(split(inner).into_iter().map(Type::parse).collect()),
            None => Type::Other,
        }
    }

    fn array(element: Type, length: usize) -> Option<Type> {
        match element {
            Type::Int { size: 1, is_signed: false } => Some(Type::Array(length)),
            // Any number of elements without bytes are there in a file of any size.
            element if element.fixed_size() == Some(0) => None,
            element => Some(Type::Repeated(Box::new(element), length)),
        }
    }

    /// How many bytes each value has as an element of a tuple, if that is the same for all.
    pub(crate) fn fixed_size(&self) -> Option<usize> {
        match self {
            Type::Int { size, .. } | Type::Float { size } => Some(*size),
            Type::Bool => Some(1),
            Type::Char => Some(4),
            Type::Unit => Some(0),
            Type::Array(length) => Some(*length),
            Type::NonZero(inner) => inner.fixed_size(),
            Type::Tuple(elements) => elements.iter().map(Type::fixed_size).sum(),
            Type::Repeated(_, 0) => Some(0),
            Type::Repeated(element, length) => element.fixed_size()?.checked_mul(*length),
            Type::OfStd(kind) => kind.fixed_size(),
            Type::Str | Type::Bytes | Type::Option(_) | Type::Vec(_) | Type::Other => None,
        }
    }

    /// Stored bytes as JSON.
    pub(crate) fn to_json(&self, bytes: &[u8], role: Role) -> Value {
        let mut rest = bytes;
        match self.read(&mut rest, role, true) {
            Some(value) if rest.is_empty() => value,
            _ => json!({ "encoded": to_hex(bytes) }),
        }
    }

    /// Stored bytes as one line of text.
    pub(crate) fn to_text(&self, bytes: &[u8], role: Role) -> String {
        match self {
            Type::Str | Type::Bytes => escape(bytes),
            _ => match self.to_json(bytes, role) {
                Value::String(text) => escape(text.as_bytes()),
                value => value.to_string(),
            },
        }
    }

    /// Reads one value off the front of `rest`: all of it, for text and the like, if it `is_last`. `None` if that is no
    /// encoding.
    fn read(&self, rest: &mut &[u8], role: Role, is_last: bool) -> Option<Value> {
        match self {
            Type::Unit => Some(Value::Null),
            Type::Bool => match take(rest, 1)? {
                [flag @ 0..=1] => Some(Value::Bool(*flag == 1)),
                _ => None,
            },
            Type::Char => {
                let scalar = u32::try_from(unsigned(take(rest, 4)?, role)).ok()?;
                char::from_u32(scalar).map(|character| Value::String(character.into()))
            }
            Type::Int { size, is_signed } => {
                Some(int(unsigned(take(rest, *size)?, role), *size, *is_signed, role))
            }
            Type::Float { size } => Some(float(unsigned(take(rest, *size)?, role) as u64, *size, role)),
            Type::Array(length) => take(rest, *length).map(bytes_to_json),
            Type::Str | Type::Bytes => {
                let bytes = match role {
                    Role::Key if !is_last => take_delimited(rest)?,
                    _ => std::mem::take(rest).to_vec(),
                };
                match self {
                    Type::Str => String::from_utf8(bytes).ok().map(Value::String),
                    _ => Some(bytes_to_json(&bytes)),
                }
            }
            Type::Option(inner) => match take(rest, 1)? {
                [0] => Some(Value::Null),
                [1] => inner.read(rest, role, is_last).map(|value| json!({ "some": value })),
                _ => None,
            },
            Type::NonZero(inner) => match inner.read(rest, role, is_last)? {
                zero if zero == 0 || zero == "0" => None,
                number => Some(number),
            },
            Type::Tuple(elements) => read_elements(elements.iter(), rest, role, is_last),
            Type::Repeated(element, length) => {
                read_elements(std::iter::repeat_n(&**element, *length), rest, role, is_last)
            }
            Type::Vec(element) => element.read_vector(rest, role, is_last).map(Value::Array),
            Type::OfStd(kind) => kind.read(rest, role).map(Value::String),
            Type::Other => None,
        }
    }

    /// Reads a vector of this.
    fn read_vector(&self, rest: &mut &[u8], role: Role, is_last: bool) -> Option<Vec<Value>> {
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
    fn read_delimited(&self, rest: &mut &[u8]) -> Option<Value> {
        let length = match self.fixed_size() {
            // A vector of these would not come to an end.
            Some(0) | None => take_length(rest)?,
            Some(size) => size,
        };
        let mut bytes = take(rest, length)?;
        self.read(&mut bytes, Role::Value, true).filter(|_| bytes.is_empty())
    }
}

/// Reads the elements of a tuple or an array.
fn read_elements<'a>(
    elements: impl ExactSizeIterator<Item = &'a Type>,
    rest: &mut &[u8],
    role: Role,
    is_last: bool,
) -> Option<Value> {
    let count = elements.len();
    let read = |(index, element): (usize, &Type)| match (role, index + 1 == count) {
        (_, true) => element.read(rest, role, is_last),
        (Role::Key, false) => element.read(rest, role, false),
        (Role::Value, false) if element.fixed_size() == Some(0) => element.read(rest, role, false),
        (Role::Value, false) => element.read_delimited(rest),
    };
    elements.enumerate().map(read).collect::<Option<Vec<Value>>>().map(Value::Array)
}

/// Splits the names of a tuple's elements, which may be tuples.
fn split(names: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in names.char_indices() {
        match character {
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&names[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&names[start..]);
    parts
}

pub(super) fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

/// Keys have the most significant byte first, values last.
fn unsigned(bytes: &[u8], role: Role) -> u128 {
    let add = |number: u128, &byte: &u8| number << 8 | u128::from(byte);
    match role {
        Role::Key => bytes.iter().fold(0, add),
        Role::Value => bytes.iter().rev().fold(0, add),
    }
}

fn int(bits: u128, size: usize, is_signed: bool, role: Role) -> Value {
    if !is_signed {
        return u64::try_from(bits).map_or_else(|_| Value::String(bits.to_string()), Value::from);
    }
    let sign = 1u128 << (size * 8 - 1);
    let bits = if role == Role::Key { bits ^ sign } else { bits };
    // The sign, spread over all the bits above.
    let number = (bits ^ sign).wrapping_sub(sign) as i128;
    i64::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::from)
}

fn float(bits: u64, size: usize, role: Role) -> Value {
    let sign = 1u64 << (size * 8 - 1);
    let all = sign | (sign - 1);
    let bits = match role {
        Role::Value => bits,
        Role::Key if bits & sign != 0 => bits ^ sign,
        Role::Key => bits ^ all,
    };
    // The shortest decimal that is this very number is another one for the same number in 32 and in 64 bits.
    let text = match size {
        4 => f32::from_bits(bits as u32).to_string(),
        _ => f64::from_bits(bits).to_string(),
    };
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    let number = number.and_then(serde_json::Number::from_f64).map(Value::Number);
    number.unwrap_or_else(|| {
        let mut digits = String::new();
        (0..size).rev().for_each(|byte| push_hex(&mut digits, (bits >> (byte * 8)) as u8));
        json!({ "hex": digits })
    })
}

/// Text if it is UTF-8.
fn bytes_to_json(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => json!({ "hex": to_hex(bytes) }),
    }
}

/// Takes bytes up to 00 00, in which 00 FF stands for 00.
fn take_delimited(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match take(rest, 1)? {
            [0] => match take(rest, 1)? {
                [0] => return Some(bytes),
                [0xff] => bytes.push(0),
                _ => return None,
            },
            [byte] => bytes.push(*byte),
            _ => return None,
        }
    }
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let mut length: u64 = 0;
    for shift in (0..63).step_by(7) {
        let &byte = take(rest, 1)?.first()?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(length).ok();
        }
    }
    None
}
