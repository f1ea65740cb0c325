//! Values of fixed size, and `Option`.
//!
//! Encodings: integers and floats little-endian; `bool` one byte, 0 or 1; `char` as its scalar value, a
//! little-endian `u32`; `()` nothing; `Option` one byte 0 for `None`, or one byte 1 and the value.

use std::borrow::Cow;

use super::{EncodeValue, Encoder, Value, decode_error, exactly};
use crate::Result;

macro_rules! number_values {
    ($($number:ident)*) => {$(
        impl Value for $number {
            type Ref<'a> = $number;
            type Owned = $number;
            const FIXED_SIZE: Option<usize> = Some(size_of::<$number>());

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($number))
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<$number> {
                exactly(bytes, stringify!($number)).map($number::from_le_bytes)
            }

            #[inline]
            fn into_owned(value: $number) -> $number {
                value
            }
        }

        impl EncodeValue<$number> for $number {
            #[inline]
            fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
                encoder.push(&self.to_le_bytes());
                Ok(())
            }
        }
    )*};
}

number_values!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64);

impl Value for bool {
    type Ref<'a> = bool;
    type Owned = bool;
    const FIXED_SIZE: Option<usize> = Some(1);

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("bool")
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<bool> {
        match exactly(bytes, "bool")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(decode_error("bool", format!("expected a byte 0 or 1, found {other}"))),
        }
    }

    #[inline]
    fn into_owned(value: bool) -> bool {
        value
    }
}

impl EncodeValue<bool> for bool {
    #[inline]
    fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
        encoder.push(&[u8::from(*self)]);
        Ok(())
    }
}

impl Value for char {
    type Ref<'a> = char;
    type Owned = char;
    const FIXED_SIZE: Option<usize> = Some(4);

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("char")
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<char> {
        let scalar = u32::from_le_bytes(exactly(bytes, "char")?);
        char::from_u32(scalar)
            .ok_or_else(|| decode_error("char", format!("{scalar:#x} is not a Unicode scalar value")))
    }

    #[inline]
    fn into_owned(value: char) -> char {
        value
    }
}

impl EncodeValue<char> for char {
    #[inline]
    fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
        encoder.push(&u32::from(*self).to_le_bytes());
        Ok(())
    }
}

impl Value for () {
    type Ref<'a> = ();
    type Owned = ();
    const FIXED_SIZE: Option<usize> = Some(0);

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("()")
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<()> {
        exactly(bytes, "()").map(|[]: [u8; 0]| ())
    }

    #[inline]
    fn into_owned(_value: ()) {}
}

impl EncodeValue<()> for () {
    #[inline]
    fn encode_value_into(&self, _encoder: &mut Encoder) -> Result<()> {
        Ok(())
    }
}

impl<V: Value> Value for Option<V> {
    type Ref<'a> = Option<V::Ref<'a>>;
    type Owned = Option<V::Owned>;

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("option<{}>", V::type_name()))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>> {
        match bytes {
            [0] => Ok(None),
            [1, value @ ..] => V::decode(value).map(Some),
            _ => Err(decode_error(Self::type_name(), "expected one byte 0, or a byte 1 and the value")),
        }
    }

    #[inline]
    fn into_owned(value: Self::Ref<'_>) -> Self::Owned {
        value.map(V::into_owned)
    }
}

impl<V: Value, Q: EncodeValue<V>> EncodeValue<Option<V>> for Option<Q> {
    #[inline]
    fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
        match self {
            None => {
                encoder.push(&[0]);
                Ok(())
            }
            Some(value) => {
                encoder.push(&[1]);
                value.encode_value_into(encoder)
            }
        }
    }
}
