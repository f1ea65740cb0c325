//! A type by its name in the catalog.

use std::fmt;

use super::as_text::AsText;
use super::scalar::Scalar;
use super::shape::{self, Fields, Variant};

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Type {
    Scalar(Scalar),
    /// Of this many bytes.
    Array(usize),
    Str,
    Bytes,
    Option(Box<Type>),
    /// An integer other than 0.
    NonZero(Scalar),
    Tuple(Vec<Type>),
    /// An array of other elements than bytes: a tuple of one type.
    Repeated(Box<Type>, usize),
    Vec(Box<Type>),
    /// Keys in descending order.
    Reverse(Box<Type>),
    /// Text keys in which the case of ASCII letters is no difference.
    NoCase,
    /// Byte-string keys that are compared from their end.
    FromEnd,
    /// A time or an address.
    AsText(AsText),
    /// A struct of an application, with its name.
    Struct(String, Fields),
    /// An enum of an application, with its name.
    Enum(String, Vec<Variant>),
    /// A type that this program does not know, such as `serde`, or one of an application's own.
    Other,
}

/// The name in the catalog.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Scalar(scalar) => f.write_str(&scalar.name()),
            Type::Array(length) => write!(f, "[u8;{length}]"),
            Type::Str => f.write_str("str"),
            Type::Bytes => f.write_str("bytes"),
            Type::Option(inner) => write!(f, "option<{inner}>"),
            Type::NonZero(scalar) => write!(f, "nonzero<{}>", scalar.name()),
            Type::Repeated(element, length) => write!(f, "[{element};{length}]"),
            Type::Vec(element) => write!(f, "vec<{element}>"),
            Type::Reverse(inner) => write!(f, "reverse<{inner}>"),
            Type::NoCase => f.write_str("nocase"),
            Type::FromEnd => f.write_str("bytes_from_end"),
            Type::AsText(kind) => f.write_str(kind.name()),
            Type::Tuple(elements) => {
                let names: Vec<String> = elements.iter().map(Type::to_string).collect();
                write!(f, "({})", names.join(","))
            }
            Type::Struct(name, fields) => write!(f, "{name}{fields}"),
            Type::Enum(name, variants) => {
                let variants: Vec<String> = variants.iter().map(Variant::to_string).collect();
                write!(f, "{name}[{}]", variants.join(","))
            }
            Type::Other => f.write_str("a type that this program does not know"),
        }
    }
}

impl Type {
    /// The type of a name in the catalog.
    pub(crate) fn of_name(name: &str) -> Type {
        match name {
            "str" => return Type::Str,
            "bytes" => return Type::Bytes,
            "nocase" => return Type::NoCase,
            "bytes_from_end" => return Type::FromEnd,
            _ => {}
        }
        if let Some(scalar) = Scalar::of_name(name) {
            return Type::Scalar(scalar);
        }
        if let Some(inner) = name.strip_prefix("option<").and_then(|rest| rest.strip_suffix('>')) {
            return Type::Option(Box::new(Type::of_name(inner)));
        }
        if let Some(inner) = name.strip_prefix("nonzero<").and_then(|rest| rest.strip_suffix('>')) {
            let integer = Scalar::of_name(inner).filter(|scalar| scalar.is_integer());
            return integer.map_or(Type::Other, Type::NonZero);
        }
        if let Some(element) = name.strip_prefix("vec<").and_then(|rest| rest.strip_suffix('>')) {
            return Type::Vec(Box::new(Type::of_name(element)));
        }
        if let Some(inner) = name.strip_prefix("reverse<").and_then(|rest| rest.strip_suffix('>')) {
            return Type::Reverse(Box::new(Type::of_name(inner)));
        }
        if let Some(array) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let parts =
                array.rsplit_once(';').and_then(|(element, length)| Some((element, length.parse().ok()?)));
            return parts.and_then(|(element, length)| Type::array(element, length)).unwrap_or(Type::Other);
        }
        if let Some(kind) = AsText::parse(name) {
            return Type::AsText(kind);
        }
        match name.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some(inner) => Type::Tuple(split_at_commas(inner).into_iter().map(Type::of_name).collect()),
            None => shape::parse(name).unwrap_or(Type::Other),
        }
    }

    /// The type of a name that a person wrote, with spaces perhaps: "(u64, str)". `None` if the type, or a part of it,
    /// is not known to this program.
    pub(crate) fn given(text: &str) -> Option<Type> {
        let name: String = text.chars().filter(|character| !character.is_whitespace()).collect();
        // A space inside a name would join two words.
        let is_split = text.split_whitespace().collect::<Vec<_>>().windows(2).any(|words| {
            let joins = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
            joins(words[0].chars().next_back()) && joins(words[1].chars().next())
        });
        Some(Type::of_name(&name)).filter(|given| !is_split && given.is_known())
    }

    fn array(element: &str, length: usize) -> Option<Type> {
        match Type::of_name(element) {
            _ if element == "u8" => Some(Type::Array(length)),
            // Any number of elements without bytes are there in a file of any size.
            element if element.fixed_size() == Some(0) => None,
            element => Some(Type::Repeated(Box::new(element), length)),
        }
    }

    pub(super) fn is_known(&self) -> bool {
        match self {
            Type::Other => false,
            Type::Option(inner) | Type::Repeated(inner, _) | Type::Vec(inner) | Type::Reverse(inner) => {
                inner.is_known()
            }
            Type::Tuple(elements) => elements.iter().all(Type::is_known),
            Type::Struct(_, fields) => fields.is_known(),
            Type::Enum(_, variants) => variants.iter().all(|variant| variant.fields.is_known()),
            Type::Scalar(_) | Type::NonZero(_) | Type::AsText(_) => true,
            Type::Array(_) | Type::Str | Type::Bytes | Type::NoCase | Type::FromEnd => true,
        }
    }

    /// The type of the only field of a struct whose field has no name, which is written as that field is.
    pub(super) fn only_field(&self) -> Option<&Type> {
        match self {
            Type::Struct(_, fields) => fields.only_type(),
            _ => None,
        }
    }

    /// Whether `word` is an array of the first elements of such keys.
    pub(crate) fn has_first_elements(&self, word: &str) -> bool {
        match self {
            Type::Tuple(_) => true,
            Type::Struct(..) => self.only_field().is_none() && word.trim_start().starts_with('['),
            _ => false,
        }
    }

    /// The types of the elements of keys of which the first ones can be given: those of a tuple or a struct.
    pub(super) fn elements(&self) -> Option<&[Type]> {
        match self {
            Type::Tuple(elements) => Some(elements),
            Type::Struct(_, fields) => Some(&fields.types),
            _ => None,
        }
    }

    /// How many bytes each value has as an element of a tuple, if that is the same for all.
    pub(crate) fn fixed_size(&self) -> Option<usize> {
        match self {
            Type::Scalar(scalar) => Some(scalar.size()),
            Type::Array(length) => Some(*length),
            Type::NonZero(scalar) => Some(scalar.size()),
            Type::Tuple(elements) => elements.iter().map(Type::fixed_size).sum(),
            Type::Struct(_, fields) => fields.types.iter().map(Type::fixed_size).sum(),
            Type::Enum(_, variants) => {
                variants.iter().all(|variant| variant.fields.types.is_empty()).then_some(1)
            }
            Type::Repeated(_, 0) => Some(0),
            Type::Repeated(element, length) => element.fixed_size()?.checked_mul(*length),
            Type::AsText(kind) => kind.fixed_size(),
            Type::Reverse(inner) => inner.fixed_size(),
            Type::Str | Type::Bytes | Type::Option(_) | Type::Vec(_) | Type::Other => None,
            Type::NoCase | Type::FromEnd => None,
        }
    }
}

/// Splits names at the commas between them; those inside a name, as in "(u64,str)", are part of it.
pub(crate) fn split_at_commas(names: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in names.char_indices() {
        match character {
            '(' | '<' | '[' | '{' => depth += 1,
            ')' | '>' | ']' | '}' => depth -= 1,
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
