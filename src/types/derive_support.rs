//! What implementations call that `mapleaf-derive` generates. It is public for them alone: nothing here is a promise.

use std::borrow::Cow;

use super::{EncodeValue, Encoded, Encoder, Value, decode_error, value_tuple, wrong_length};
use crate::{Error, Result};

/// Returns the fixed size of a struct, if all its fields have one.
pub const fn sum_of_sizes(sizes: &[Option<usize>]) -> Option<usize> {
    value_tuple::sum_of_sizes(sizes)
}

/// Appends a field that is not the last.
#[inline]
pub fn push_element<V: Value>(encoder: &mut Encoder, value: &impl EncodeValue<V>) -> Result<()> {
    value_tuple::push_element::<V>(encoder, value)
}

/// Takes the bytes of a field that is not the last off the front of `rest`.
#[inline]
pub fn take_element<'a, V: Value>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    value_tuple::take_element::<V>(rest)
}

/// Takes the tag of a variant off the front of `rest`.
#[inline]
pub fn take_tag(rest: &mut &[u8], type_name: fn() -> Cow<'static, str>) -> Result<u8> {
    let (&tag, after) = rest.split_first().ok_or_else(|| wrong_length(type_name(), 1, 0))?;
    *rest = after;
    Ok(tag)
}

/// Checks that a value without fields has no bytes.
#[inline]
pub fn expect_no_more(rest: &[u8], type_name: fn() -> Cow<'static, str>) -> Result<()> {
    match rest.len() {
        0 => Ok(()),
        extra => Err(decode_error(type_name(), format!("{extra} bytes too many"))),
    }
}

/// Builds the error for a tag that no variant has.
#[cold]
pub fn no_such_variant(type_name: Cow<'static, str>, tag: u8) -> Error {
    decode_error(type_name, format!("it has no variant with the tag {tag}"))
}

/// Returns what `encode` appends.
#[inline]
pub fn encoded(encode: impl FnOnce(&mut Encoder)) -> Encoded<'static> {
    let mut encoder = Encoder::new();
    encode(&mut encoder);
    encoder.finish()
}
