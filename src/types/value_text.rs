//! Values of text and bytes: stored as they are, and read in place.

use std::borrow::Cow;
use std::str;
use std::sync::Arc;

use super::lists::for_text_and_bytes;
use super::{EncodeValue, Encoder, KeyBytes, KeyStr, Value, decode_error, wrong_length};
use crate::Result;

/// `$value` is read as a `&$borrowed` by `$decode`, and kept as a `$owned`.
macro_rules! borrowed_values {
    ($([$($generics:tt)*] $value:ty: $name:literal, &$borrowed:ty, $owned:ty, $decode:path;)*) => {$(
        impl<$($generics)*> Value for $value {
            type Ref<'r> = &'r $borrowed;
            type Owned = $owned;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<&$borrowed> {
                $decode(bytes)
            }

            #[inline]
            fn into_owned(value: &$borrowed) -> $owned {
                value.to_owned().into()
            }
        }
    )*};
}

borrowed_values! {
    [] str: "str", &str, String, decode_text;
    [] String: "str", &str, String, decode_text;
    [] Box<str>: "str", &str, Box<str>, decode_text;
    [] Arc<str>: "str", &str, Arc<str>, decode_text;
    ['a] Cow<'a, str>: "str", &str, Cow<'a, str>, decode_text;
    [] [u8]: "bytes", &[u8], Vec<u8>, Ok;
    [] Vec<u8>: "bytes", &[u8], Vec<u8>, Ok;
    [] Box<[u8]>: "bytes", &[u8], Box<[u8]>, Ok;
    [] Arc<[u8]>: "bytes", &[u8], Arc<[u8]>, Ok;
    ['a] Cow<'a, [u8]>: "bytes", &[u8], Cow<'a, [u8]>, Ok;
}

#[inline]
fn decode_text(bytes: &[u8]) -> Result<&str> {
    str::from_utf8(bytes).map_err(|error| decode_error("str", error.to_string()))
}

/// Read in place, as all bytes are: a large array costs no copy, and a small one can be copied by `*`.
impl<const N: usize> Value for [u8; N] {
    type Ref<'a> = &'a [u8; N];
    type Owned = [u8; N];
    const FIXED_SIZE: Option<usize> = Some(N);

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("[u8;{N}]"))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<&[u8; N]> {
        bytes.try_into().map_err(|_| wrong_length(<Self as Value>::type_name(), N, bytes.len()))
    }

    #[inline]
    fn into_owned(value: &[u8; N]) -> [u8; N] {
        *value
    }
}

/// `$given` stands for `$value`; `$bytes` is its bytes, with `$name` for a reference to it.
macro_rules! encode_value {
    ([$($generics:tt)*] |$name:ident: $given:ty| $bytes:expr => $value:ty) => {
        impl<$($generics)*> EncodeValue<$value> for $given {
            #[inline]
            fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
                let $name = self;
                encoder.push($bytes);
                Ok(())
            }

            #[inline]
            fn as_value_bytes(&self) -> Option<&[u8]> {
                let $name = self;
                Some($bytes)
            }
        }
    };
}

for_text_and_bytes!(encode_value);
encode_value!([const N: usize] |bytes: [u8; N]| bytes => [u8; N]);
