//! Values that are tuples.
//!
//! Encoding: the elements one after the other. An element that is neither of fixed size nor the last is
//! preceded by its length in bytes, a LEB128 variable-length integer. The last takes what is left.

use std::borrow::Cow;

use super::lists::for_tuples;
use super::{EncodeValue, Encoder, Value, decode_error, wrong_length};
use crate::Result;

/// One implementation per list of elements: value type, given type, index; the last one apart.
macro_rules! tuple_value {
    ($($value:ident $given:ident $index:tt,)* ; $last_value:ident $last_given:ident $last_index:tt) => {
        impl<$($value: Value,)* $last_value: Value> Value for ($($value,)* $last_value,) {
            type Ref<'a> = ($($value::Ref<'a>,)* $last_value::Ref<'a>,);
            type Owned = ($($value::Owned,)* $last_value::Owned,);
            const FIXED_SIZE: Option<usize> =
                sum_of_sizes(&[$($value::FIXED_SIZE,)* $last_value::FIXED_SIZE]);

            fn type_name() -> Cow<'static, str> {
                let names = [$($value::type_name(),)* $last_value::type_name()];
                Cow::Owned(format!("({})", names.join(",")))
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>> {
                #[allow(unused_mut, reason = "a tuple of one has nothing before its last element")]
                let mut rest = bytes;
                Ok(($($value::decode(take_element::<$value>(&mut rest)?)?,)* $last_value::decode(rest)?,))
            }

            #[inline]
            fn into_owned(value: Self::Ref<'_>) -> Self::Owned {
                ($($value::into_owned(value.$index),)* $last_value::into_owned(value.$last_index),)
            }
        }

        impl<$($value: Value,)* $last_value: Value,
             $($given: EncodeValue<$value>,)* $last_given: EncodeValue<$last_value>>
            EncodeValue<($($value,)* $last_value,)> for ($($given,)* $last_given,)
        {
            #[inline]
            fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
                $(push_element::<$value>(encoder, &self.$index)?;)*
                self.$last_index.encode_value_into(encoder)
            }
        }
    };
}

for_tuples!(tuple_value);

/// Returns the fixed size of a tuple, if all its elements have one.
pub(super) const fn sum_of_sizes(sizes: &[Option<usize>]) -> Option<usize> {
    let mut sum: usize = 0;
    let mut rest = sizes;
    while let [first, after @ ..] = rest {
        match first {
            Some(size) => sum += *size,
            None => return None,
        }
        rest = after;
    }
    Some(sum)
}

/// Appends an element that is not the last.
#[inline]
pub(super) fn push_element<V: Value>(encoder: &mut Encoder, value: &impl EncodeValue<V>) -> Result<()> {
    if V::FIXED_SIZE.is_some() {
        return value.encode_value_into(encoder);
    }
    let bytes = value.encode_value()?;
    push_length(encoder, bytes.len());
    encoder.push(&bytes);
    Ok(())
}

/// Takes the bytes of an element that is not the last off the front of `rest`.
#[inline]
pub(super) fn take_element<'a, V: Value>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = match V::FIXED_SIZE {
        Some(size) => size,
        None => take_length(rest).ok_or_else(|| decode_error(V::type_name(), "its length is malformed"))?,
    };
    match rest.split_at_checked(length) {
        Some((element, after)) => {
            *rest = after;
            Ok(element)
        }
        None => Err(wrong_length(V::type_name(), length, rest.len())),
    }
}

/// Appends a LEB128 integer: seven bits a byte, the low ones first, the high bit set in all but the last.
fn push_length(encoder: &mut Encoder, length: usize) {
    let mut left = length;
    while left >= 0x80 {
        encoder.push(&[left as u8 | 0x80]);
        left >>= 7;
    }
    encoder.push(&[left as u8]);
}

/// Takes a LEB128 integer, if there is one that could be a length and is written as short as it can be.
fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let mut length: u64 = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let overlong = byte == 0 && shift > 0;
            return if overlong { None } else { usize::try_from(length).ok() };
        }
    }
    None
}
