//! Values that are arrays and vectors of other values than bytes.
//!
//! Encodings: an array is the tuple of its elements. A vector is its elements one after the other, each preceded by
//! its length in bytes, a LEB128 variable-length integer, unless all have the same size.

use std::borrow::Cow;

use super::element::array_of;
use super::value_tuple::{push_element, take_element};
use super::{Element, EncodeValue, Encoder, Value, decode_error};
use crate::Result;

impl<V: Value + Element, const N: usize> Value for [V; N] {
    type Ref<'a> = [V::Ref<'a>; N];
    type Owned = [V::Owned; N];
    const FIXED_SIZE: Option<usize> = match V::FIXED_SIZE {
        Some(size) => Some(size * N),
        None if N == 0 => Some(0),
        None => None,
    };

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("[{};{N}]", V::type_name()))
    }

    fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>> {
        let mut rest = bytes;
        let elements = array_of(|index| match index + 1 == N {
            true => V::decode(std::mem::take(&mut rest)),
            false => V::decode(take_element::<V>(&mut rest)?),
        })?;
        match rest.len() {
            0 => Ok(elements),
            extra => Err(decode_error(Self::type_name(), format!("{extra} bytes too many"))),
        }
    }

    fn into_owned(value: Self::Ref<'_>) -> Self::Owned {
        value.map(V::into_owned)
    }
}

impl<V: Value + Element, Q: EncodeValue<V>, const N: usize> EncodeValue<[V; N]> for [Q; N] {
    fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
        let [elements @ .., last] = &self[..] else { return Ok(()) };
        elements.iter().try_for_each(|element| push_element::<V>(encoder, element))?;
        last.encode_value_into(encoder)
    }
}

impl<V: Value + Element> Value for Vec<V> {
    type Ref<'a> = Vec<V::Ref<'a>>;
    type Owned = Vec<V::Owned>;

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("vec<{}>", V::type_name()))
    }

    fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>> {
        const { assert!(!matches!(V::FIXED_SIZE, Some(0)), "elements of a vector take a byte at least") };
        let mut rest = bytes;
        let mut elements = Vec::with_capacity(bytes.len() / V::FIXED_SIZE.unwrap_or(bytes.len().max(1)));
        while !rest.is_empty() {
            elements.push(V::decode(take_element::<V>(&mut rest)?)?);
        }
        Ok(elements)
    }

    fn into_owned(value: Self::Ref<'_>) -> Self::Owned {
        value.into_iter().map(V::into_owned).collect()
    }
}

/// A slice, vector or array can be given for a vector.
macro_rules! encode_vector {
    ([$($generics:tt)*] $given:ty) => {
        impl<V: Value + Element, Q: EncodeValue<V>, $($generics)*> EncodeValue<Vec<V>> for $given {
            fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
                const { assert!(!matches!(V::FIXED_SIZE, Some(0)), "elements of a vector take a byte at least") };
                self.iter().try_for_each(|element| push_element::<V>(encoder, element))
            }
        }
    };
}

encode_vector!([] Vec<Q>);
encode_vector!([][Q]);
encode_vector!([const N: usize] [Q; N]);
