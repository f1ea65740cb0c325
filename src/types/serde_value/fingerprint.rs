//! A number that stands for all that a value says of itself to serde.
//!
//! Two values with the same fingerprint are the same for serde (except with a probability of 2^-64), in every format:
//! unlike bytes in a format without names, it tells a field that is left out from one that follows. What has no order
//! of its own must not count: a hash map that is read back iterates in another order. So elements of sequences and
//! entries of maps are added up; fields, and elements of tuples, count in their order. The width of a number does not
//! count, for an untagged enum may read a narrow number back into the first variant that holds it.

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::problem::Problem;

/// The fingerprint of `value`, in a format that `is_human_readable` or is not.
pub(super) fn fingerprint<T: Serialize + ?Sized>(value: &T, is_human_readable: bool) -> Result<u64, Problem> {
    value.serialize(Fingerprint { is_human_readable })
}

/// What kind of thing a number in a fingerprint is.
#[derive(Clone, Copy)]
enum Kind {
    Bool = 1,
    Integer,
    LongInteger,
    Float,
    Text,
    Bytes,
    None,
    Some,
    Unit,
    Variant,
    Sequence,
    Fields,
    Skipped,
}

#[derive(Clone, Copy)]
struct Fingerprint {
    is_human_readable: bool,
}

/// Adds a word to a hash: the two halves of a product, in which every bit of both counts.
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ 0x9e37_79b9_7f4a_7c15) * u128::from(word ^ 0xd6e8_feb8_6659_fd93);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn of(kind: Kind, word: u64) -> u64 {
    mix((kind as u64) << 56, word)
}

fn of_bytes(kind: Kind, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let hash =
        words.iter().fold(of(kind, bytes.len() as u64), |hash, word| mix(hash, u64::from_le_bytes(*word)));
    mix(hash, u64::from_le_bytes(last))
}

#[inline]
fn of_integer(bits: u128) -> u64 {
    match (bits >> 64) as u64 {
        0 => of(Kind::Integer, bits as u64),
        high => mix(of(Kind::LongInteger, bits as u64), high),
    }
}

macro_rules! integers {
    ($($serialize:ident $integer:ident)*) => {$(
        #[inline]
        fn $serialize(self, value: $integer) -> Result<u64, Problem> {
            // Signed ones are extended by their sign: a number has the same bits in each width.
            Ok(of_integer(value as u128))
        }
    )*};
}

impl Serializer for Fingerprint {
    type Ok = u64;
    type Error = Problem;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.is_human_readable
    }

    integers! {
        serialize_u8 u8
        serialize_u16 u16
        serialize_u32 u32
        serialize_u64 u64
        serialize_u128 u128
        serialize_i8 i8
        serialize_i16 i16
        serialize_i32 i32
        serialize_i64 i64
        serialize_i128 i128
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<u64, Problem> {
        Ok(of(Kind::Bool, u64::from(value)))
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<u64, Problem> {
        self.serialize_f64(f64::from(value))
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<u64, Problem> {
        Ok(of(Kind::Float, value.to_bits()))
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<u64, Problem> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<u64, Problem> {
        Ok(of_bytes(Kind::Text, value.as_bytes()))
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<u64, Problem> {
        Ok(of_bytes(Kind::Bytes, value))
    }

    #[inline]
    fn serialize_none(self) -> Result<u64, Problem> {
        Ok(of(Kind::None, 0))
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, Problem> {
        Ok(of(Kind::Some, value.serialize(self)?))
    }

    #[inline]
    fn serialize_unit(self) -> Result<u64, Problem> {
        Ok(of(Kind::Unit, 0))
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<u64, Problem> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<u64, Problem> {
        Ok(of(Kind::Variant, u64::from(index)))
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<u64, Problem> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<u64, Problem> {
        Ok(mix(of(Kind::Variant, u64::from(index)), value.serialize(self)?))
    }

    #[inline]
    fn serialize_seq(self, _length: Option<usize>) -> Result<Parts, Problem> {
        Ok(Parts::new(self, 0))
    }

    #[inline]
    fn serialize_tuple(self, _length: usize) -> Result<Parts, Problem> {
        Ok(Parts::new(self, of(Kind::Fields, 0)))
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<Parts, Problem> {
        self.serialize_tuple(length)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Parts, Problem> {
        Ok(Parts::new(self, of(Kind::Variant, u64::from(index))))
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Parts, Problem> {
        self.serialize_seq(length)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Parts, Problem> {
        self.serialize_tuple(length)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Parts, Problem> {
        Ok(Parts::new(self, of(Kind::Variant, u64::from(index))))
    }
}

/// What a value consists of, so far.
struct Parts {
    fingerprint: Fingerprint,
    hash: u64,
    /// The key of the entry whose value comes next.
    key: u64,
}

impl Parts {
    fn new(fingerprint: Fingerprint, hash: u64) -> Parts {
        Parts { fingerprint, hash, key: 0 }
    }
}

impl ser::SerializeSeq for Parts {
    type Ok = u64;
    type Error = Problem;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Problem> {
        self.hash = self.hash.wrapping_add(element.serialize(self.fingerprint)?);
        Ok(())
    }

    // Mixed once more, for the sum of sums must not be that of all their elements.
    #[inline]
    fn end(self) -> Result<u64, Problem> {
        Ok(of(Kind::Sequence, self.hash))
    }
}

impl ser::SerializeMap for Parts {
    type Ok = u64;
    type Error = Problem;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Problem> {
        self.key = key.serialize(self.fingerprint)?;
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Problem> {
        self.hash = self.hash.wrapping_add(mix(self.key, value.serialize(self.fingerprint)?));
        Ok(())
    }

    #[inline]
    fn end(self) -> Result<u64, Problem> {
        Ok(of(Kind::Sequence, self.hash))
    }
}

/// What counts in its order.
macro_rules! in_order {
    ($($trait:ident $method:ident ($($name:ident: $of:ty)?) {$($skip:tt)*})*) => {$(
        impl ser::$trait for Parts {
            type Ok = u64;
            type Error = Problem;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $of,)? part: &T) -> Result<(), Problem> {
                self.hash = mix(self.hash, part.serialize(self.fingerprint)?);
                Ok(())
            }

            $($skip)*

            #[inline]
            fn end(self) -> Result<u64, Problem> {
                Ok(self.hash)
            }
        }
    )*};
    (named: $($trait:ident)*) => {
        in_order! {$(
            $trait serialize_field (_name: &'static str) {
                #[inline]
                fn skip_field(&mut self, _name: &'static str) -> Result<(), Problem> {
                    self.hash = mix(self.hash, of(Kind::Skipped, 0));
                    Ok(())
                }
            }
        )*}
    };
}

in_order! {
    SerializeTuple serialize_element () {}
    SerializeTupleStruct serialize_field () {}
    SerializeTupleVariant serialize_field () {}
}
in_order!(named: SerializeStruct SerializeStructVariant);
