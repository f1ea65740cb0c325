//! Writes the compact format: version 1 of [postcard's](https://postcard.jamesmunns.com/wire-format).
//!
//! Encodings: `u8` and `i8` one byte; other integers a varint, signed ones zigzag first; floats little-endian; `bool`
//! and `Option` a byte 0 or 1 first; `char`, text and bytes a varint, their length in bytes, and then their bytes;
//! sequences and maps a varint, the number of elements, and then the elements; tuples and structs their elements
//! alone; an enum its variant's number as a varint, and then what is in the variant. A unit takes no bytes.
//!
//! The format says nothing of the type: a reader has to know which fields there are. So what a type leaves out of
//! itself from value to value cannot be written; it is an error here, with the attribute that caused it.

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::problem::Problem;

/// Appends `value`'s encoding to `out`.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Problem> {
    value.serialize(&mut Encode { out })
}

struct Encode<'a> {
    out: &'a mut Vec<u8>,
}

impl Encode<'_> {
    #[inline]
    fn varint(&mut self, number: u64) {
        let mut left = number;
        while left >= 0x80 {
            self.out.push(left as u8 | 0x80);
            left >>= 7;
        }
        self.out.push(left as u8);
    }

    fn long_varint(&mut self, number: u128) {
        let mut left = number;
        while left >= 0x80 {
            self.out.push(left as u8 | 0x80);
            left >>= 7;
        }
        self.out.push(left as u8);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }
}

/// Numbers near zero become small: 0, -1, 1, -2 ... are 0, 1, 2, 3 ...
#[inline]
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

/// The fields of a struct, or of a variant with fields.
struct Fields<'a, 'b> {
    encode: &'a mut Encode<'b>,
    /// The struct's name, or the variant's.
    of: &'static str,
}

impl<'a, 'b> Serializer for &'a mut Encode<'b> {
    type Ok = ();
    type Error = Problem;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Fields<'a, 'b>;
    type SerializeStructVariant = Fields<'a, 'b>;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Problem> {
        self.serialize_u8(u8::from(value))
    }

    #[inline]
    fn serialize_i8(self, value: i8) -> Result<(), Problem> {
        self.serialize_u8(value as u8)
    }

    #[inline]
    fn serialize_i16(self, value: i16) -> Result<(), Problem> {
        self.serialize_i64(i64::from(value))
    }

    #[inline]
    fn serialize_i32(self, value: i32) -> Result<(), Problem> {
        self.serialize_i64(i64::from(value))
    }

    #[inline]
    fn serialize_i64(self, value: i64) -> Result<(), Problem> {
        self.varint(zigzag(value));
        Ok(())
    }

    #[inline]
    fn serialize_i128(self, value: i128) -> Result<(), Problem> {
        self.long_varint((value << 1 ^ value >> 127) as u128);
        Ok(())
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<(), Problem> {
        self.out.push(value);
        Ok(())
    }

    #[inline]
    fn serialize_u16(self, value: u16) -> Result<(), Problem> {
        self.serialize_u64(u64::from(value))
    }

    #[inline]
    fn serialize_u32(self, value: u32) -> Result<(), Problem> {
        self.serialize_u64(u64::from(value))
    }

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<(), Problem> {
        self.varint(value);
        Ok(())
    }

    #[inline]
    fn serialize_u128(self, value: u128) -> Result<(), Problem> {
        self.long_varint(value);
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<(), Problem> {
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), Problem> {
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), Problem> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Problem> {
        self.serialize_bytes(value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Problem> {
        self.bytes(value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Problem> {
        self.serialize_u8(0)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Problem> {
        self.out.push(1);
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Problem> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Problem> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<(), Problem> {
        self.serialize_u32(index)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Problem> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), Problem> {
        self.varint(u64::from(index));
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Problem> {
        let Some(length) = length else {
            return Err(Problem("a sequence does not know its length before it is written".to_owned()));
        };
        self.varint(length as u64);
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _length: usize) -> Result<Self, Problem> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Self, Problem> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self, Problem> {
        self.varint(u64::from(index));
        Ok(self)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Self, Problem> {
        let Some(length) = length else {
            return Err(Problem(
                "`#[serde(flatten)]` needs the names of fields, which `Serde` does not write; store it as \
                 `MessagePack` (or it is a map that does not know its length before it is written)"
                    .to_owned(),
            ));
        };
        self.varint(length as u64);
        Ok(self)
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, _length: usize) -> Result<Fields<'a, 'b>, Problem> {
        Ok(Fields { encode: self, of: name })
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Fields<'a, 'b>, Problem> {
        self.varint(u64::from(index));
        Ok(Fields { encode: self, of: variant })
    }
}

/// The elements of what is written one after the other.
macro_rules! elements {
    ($($trait:ident $method:ident)*) => {$(
        impl ser::$trait for &mut Encode<'_> {
            type Ok = ();
            type Error = Problem;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Problem> {
                element.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<(), Problem> {
                Ok(())
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

impl ser::SerializeMap for &mut Encode<'_> {
    type Ok = ();
    type Error = Problem;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Problem> {
        key.serialize(&mut **self)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Problem> {
        value.serialize(&mut **self)
    }

    #[inline]
    fn end(self) -> Result<(), Problem> {
        Ok(())
    }
}

macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Fields<'_, '_> {
            type Ok = ();
            type Error = Problem;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _name: &'static str,
                field: &T,
            ) -> Result<(), Problem> {
                field.serialize(&mut *self.encode)
            }

            #[inline]
            fn skip_field(&mut self, name: &'static str) -> Result<(), Problem> {
                Err(left_out(self.of, name))
            }

            #[inline]
            fn end(self) -> Result<(), Problem> {
                Ok(())
            }
        }
    )*};
}

fields!(SerializeStruct SerializeStructVariant);

#[cold]
fn left_out(of: &str, field: &str) -> Problem {
    Problem(format!(
        "`#[serde(skip_serializing_if)]` leaves out the field `{field}` of `{of}`, and a reader of `Serde`, which does \
         not write the names of fields, would take the next field for it; store it as `MessagePack`, or write the \
         field always"
    ))
}
