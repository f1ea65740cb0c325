//! Reads the compact format, as `compact_encode` writes it.
//!
//! Invariants: every length is compared with the bytes that are left before anything is made of it, so hostile bytes
//! cost no more memory than a small multiple of their number; and what is in each other is so at most [`MAX_DEPTH`]
//! times, so they do not use up the stack.

use std::fmt::Display;
use std::str;

use serde::Deserialize;
use serde::de::value::U32Deserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Visitor};

use super::MAX_DEPTH;
use super::problem::Problem;

/// Reads a value that all of `bytes` are.
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Problem> {
    let mut decode = Decode { rest: bytes, depth_left: MAX_DEPTH };
    let value = T::deserialize(&mut decode)?;
    match decode.rest.len() {
        0 => Ok(value),
        extra => Err(problem(format_args!("{extra} bytes too many"))),
    }
}

struct Decode<'de> {
    rest: &'de [u8],
    depth_left: usize,
}

#[cold]
fn problem(text: impl Display) -> Problem {
    Problem(text.to_string())
}

#[cold]
fn too_short(expected: usize, found: usize) -> Problem {
    problem(format_args!("expected {expected} bytes more, found {found}"))
}

#[cold]
fn too_long(length: u64, left: usize) -> Problem {
    problem(format_args!(
        "a length of {length}, with {left} bytes left (elements that take no bytes cannot be counted)"
    ))
}

#[cold]
fn too_deep() -> Problem {
    problem(format_args!("more than {MAX_DEPTH} values in each other"))
}

#[cold]
fn not_a_flag(found: u8) -> Problem {
    problem(format_args!("expected a byte 0 or 1, found {found}"))
}

impl<'de> Decode<'de> {
    #[inline]
    fn take(&mut self, count: usize) -> Result<&'de [u8], Problem> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(too_short(count, self.rest.len())),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(too_short(N, self.rest.len()));
        };
        self.rest = rest;
        Ok(*taken)
    }

    /// Takes a varint of a number of at most `bits` bits.
    #[inline]
    fn varint(&mut self, bits: u32) -> Result<u64, Problem> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(bits).map(|number| number as u64),
        }
    }

    fn long_varint(&mut self, bits: u32) -> Result<u128, Problem> {
        let mut number = 0;
        for shift in (0..bits).step_by(7) {
            let [byte] = self.array()?;
            let part = u128::from(byte & 0x7f);
            if shift + 7 > bits && part >> (bits - shift) != 0 {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                // A last byte of zero would say nothing: the number has a shorter form.
                return if byte == 0 && shift > 0 {
                    Err(problem("a number is too long"))
                } else {
                    Ok(number)
                };
            }
        }
        Err(problem(format_args!("a number is too large for {bits} bits")))
    }

    /// Takes the number of elements of a value whose elements take at least a byte each.
    #[inline]
    fn length(&mut self) -> Result<usize, Problem> {
        let length = self.varint(64)?;
        if length > self.rest.len() as u64 {
            return Err(too_long(length, self.rest.len()));
        }
        Ok(length as usize)
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, Problem> {
        let length = self.length()?;
        str::from_utf8(self.take(length)?).map_err(problem)
    }

    /// Reads a nested value.
    #[inline]
    fn inside<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Problem>) -> Result<T, Problem> {
        let Some(left) = self.depth_left.checked_sub(1) else {
            return Err(too_deep());
        };
        self.depth_left = left;
        let value = read(self);
        self.depth_left = left + 1;
        value
    }

    #[inline]
    fn elements<V: Visitor<'de>>(&mut self, length: usize, visitor: V) -> Result<V::Value, Problem> {
        self.inside(|decode| visitor.visit_seq(Elements { decode, left: length }))
    }
}

#[inline]
fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Returns the error for a type that needs the stored value's type, with the attribute that causes it.
#[cold]
fn not_self_describing(visitor: &dyn Expected) -> Problem {
    let expected = visitor.to_string();
    let cause = match expected.strip_prefix("internally tagged enum ") {
        Some(name) => format!("`#[serde(tag = ..)]` of `{name}`"),
        None if expected == "variant identifier" => "`#[serde(tag = .., content = ..)]`".to_owned(),
        None if expected == "any value" => "`#[serde(untagged)]` or `#[serde(flatten)]`".to_owned(),
        None if expected == "any valid JSON value" => "a `serde_json::Value`".to_owned(),
        None => {
            format!("what expects {expected} (as `tag`, `untagged`, `flatten` and `serde_json::Value` do)")
        }
    };
    problem(format_args!(
        "{cause} needs the types of stored values, which `Serde` does not store; use `MessagePack` instead"
    ))
}

macro_rules! integers {
    ($($deserialize:ident $visit:ident $integer:ident $decode:expr;)*) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            let number = self.varint($integer::BITS)?;
            visitor.$visit($decode(number) as $integer)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Decode<'de> {
    type Error = Problem;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        Err(not_self_describing(&visitor))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        Err(not_self_describing(&visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        Err(not_self_describing(&visitor))
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.array()? {
            [flag @ 0..=1] => visitor.visit_bool(flag == 1),
            [other] => Err(not_a_flag(other)),
        }
    }

    #[inline]
    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.array().and_then(|byte| visitor.visit_i8(i8::from_le_bytes(byte)))
    }

    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.array().and_then(|[byte]| visitor.visit_u8(byte))
    }

    integers! {
        deserialize_u16 visit_u16 u16 u64::from;
        deserialize_u32 visit_u32 u32 u64::from;
        deserialize_u64 visit_u64 u64 u64::from;
        deserialize_i16 visit_i16 i16 unzigzag;
        deserialize_i32 visit_i32 i32 unzigzag;
        deserialize_i64 visit_i64 i64 unzigzag;
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.long_varint(128).and_then(|number| visitor.visit_u128(number))
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let number = self.long_varint(128)?;
        visitor.visit_i128((number >> 1) as i128 ^ -((number & 1) as i128))
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.array().and_then(|bytes| visitor.visit_f32(f32::from_le_bytes(bytes)))
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.array().and_then(|bytes| visitor.visit_f64(f64::from_le_bytes(bytes)))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let text = self.text()?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => visitor.visit_char(character),
            _ => Err(problem(format_args!("expected one character, found {text:?}"))),
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.text().and_then(|text| visitor.visit_borrowed_str(text))
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let length = self.length()?;
        self.take(length).and_then(|bytes| visitor.visit_borrowed_bytes(bytes))
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.array()? {
            [0] => visitor.visit_none(),
            [1] => self.inside(|decode| visitor.visit_some(decode)),
            [other] => Err(not_a_flag(other)),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.inside(|decode| visitor.visit_newtype_struct(decode))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let length = self.length()?;
        self.elements(length, visitor)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Problem> {
        self.elements(length, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.elements(length, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let length = self.length()?;
        self.inside(|decode| visitor.visit_map(Elements { decode, left: length }))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.elements(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.inside(|decode| visitor.visit_enum(decode))
    }
}

/// The elements that are left of a sequence, or the entries of a map.
struct Elements<'a, 'de> {
    decode: &'a mut Decode<'de>,
    left: usize,
}

impl<'de> Elements<'_, 'de> {
    #[inline]
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        match self.left.checked_sub(1) {
            None => Ok(None),
            Some(left) => {
                self.left = left;
                seed.deserialize(&mut *self.decode).map(Some)
            }
        }
    }
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Problem;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for Elements<'_, 'de> {
    type Error = Problem;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        self.next(seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        seed.deserialize(&mut *self.decode)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::EnumAccess<'de> for &mut Decode<'de> {
    type Error = Problem;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Problem> {
        let index = self.varint(32)? as u32;
        let index: U32Deserializer<Problem> = index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Decode<'de> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Problem> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Problem> {
        self.elements(length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.elements(fields.len(), visitor)
    }
}
