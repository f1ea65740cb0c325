//! Keys of fixed size, and `Option`.
//!
//! Encodings: integers big-endian, signed ones with the sign bit flipped, so that negative numbers come
//! first; floats as their bits, all of them flipped if negative, else the sign bit only, which is the order of
//! `total_cmp`; `bool` one byte, 0 or 1; `char` as its scalar value, a big-endian `u32`; `()` nothing;
//! `Option` one byte 0 for `None`, or one byte 1 and the value.
#![expect(clippy::big_endian_bytes, reason = "byte order is number order in big-endian only")]

use std::borrow::Cow;

use super::{EncodeKey, Encoder, Key, KeyPosition, KeyReader, decode_error};
use crate::Result;

macro_rules! integer_keys {
    ($($integer:ident)*) => {$(
        impl Key for $integer {
            type Owned = $integer;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($integer))
            }

            #[inline]
            fn read(reader: &mut KeyReader<'_>, _place: KeyPosition) -> Result<$integer> {
                let bytes = reader.take(<Self as Key>::type_name)?;
                Ok(<$integer>::from_be_bytes(bytes) ^ <$integer>::MIN)
            }
        }

        impl EncodeKey<$integer> for $integer {
            #[inline]
            fn encode_key_into(&self, encoder: &mut Encoder, _place: KeyPosition) {
                // MIN is 0 if unsigned, the sign bit alone if signed.
                encoder.push(&(*self ^ <$integer>::MIN).to_be_bytes());
            }
        }
    )*};
}

integer_keys!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

macro_rules! float_keys {
    ($($float:ident $bits:ident)*) => {$(
        impl Key for $float {
            type Owned = $float;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($float))
            }

            #[inline]
            fn read(reader: &mut KeyReader<'_>, _place: KeyPosition) -> Result<$float> {
                const SIGN: $bits = !($bits::MAX >> 1);
                let bits = $bits::from_be_bytes(reader.take(<Self as Key>::type_name)?);
                Ok($float::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN }))
            }
        }

        impl EncodeKey<$float> for $float {
            #[inline]
            fn encode_key_into(&self, encoder: &mut Encoder, _place: KeyPosition) {
                const SIGN: $bits = !($bits::MAX >> 1);
                let bits = self.to_bits();
                let ordered = if bits & SIGN == 0 { bits ^ SIGN } else { !bits };
                encoder.push(&ordered.to_be_bytes());
            }
        }
    )*};
}

float_keys!(f32 u32 f64 u64);

impl Key for bool {
    type Owned = bool;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("bool")
    }

    #[inline]
    fn read(reader: &mut KeyReader<'_>, _place: KeyPosition) -> Result<bool> {
        match reader.take(<Self as Key>::type_name)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(decode_error("bool", format!("expected a byte 0 or 1, found {other}"))),
        }
    }
}

impl EncodeKey<bool> for bool {
    #[inline]
    fn encode_key_into(&self, encoder: &mut Encoder, _place: KeyPosition) {
        encoder.push(&[u8::from(*self)]);
    }
}

impl Key for char {
    type Owned = char;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("char")
    }

    #[inline]
    fn read(reader: &mut KeyReader<'_>, _place: KeyPosition) -> Result<char> {
        let scalar = u32::from_be_bytes(reader.take(<Self as Key>::type_name)?);
        char::from_u32(scalar)
            .ok_or_else(|| decode_error("char", format!("{scalar:#x} is not a Unicode scalar value")))
    }
}

impl EncodeKey<char> for char {
    #[inline]
    fn encode_key_into(&self, encoder: &mut Encoder, _place: KeyPosition) {
        encoder.push(&u32::from(*self).to_be_bytes());
    }
}

impl Key for () {
    type Owned = ();

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("()")
    }

    #[inline]
    fn read(_reader: &mut KeyReader<'_>, _place: KeyPosition) -> Result<()> {
        Ok(())
    }
}

impl EncodeKey<()> for () {
    #[inline]
    fn encode_key_into(&self, _encoder: &mut Encoder, _place: KeyPosition) {}
}

impl<K: Key> Key for Option<K> {
    type Owned = Option<K::Owned>;

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("option<{}>", K::type_name()))
    }

    #[inline]
    fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<Self::Owned> {
        match reader.take(<Self as Key>::type_name)? {
            [0] => Ok(None),
            [1] => K::read(reader, place).map(Some),
            [other] => Err(decode_error(
                <Self as Key>::type_name(),
                format!("expected a byte 0 or 1 first, found {other}"),
            )),
        }
    }
}

impl<K: Key, Q: EncodeKey<K>> EncodeKey<Option<K>> for Option<Q> {
    #[inline]
    fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
        match self {
            None => encoder.push(&[0]),
            Some(key) => {
                encoder.push(&[1]);
                key.encode_key_into(encoder, place);
            }
        }
    }
}
