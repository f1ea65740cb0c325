//! Keys of text and bytes.
//!
//! Encodings: `[u8; N]` is its bytes. Text (as UTF-8, whose byte order is the order of `str`) and byte
//! strings are their bytes when they are last in a key. Elsewhere each byte 00 is written 00 FF and
//! the end is marked 00 00. This is the escaping of FoundationDB's tuple layer
//! (<https://github.com/apple/foundationdb/blob/main/design/tuple.md>), which ends with a single 00; here
//! the next element may begin with any byte, FF too, so the end takes a second 00. It sorts before 00 FF
//! and before every other byte, so a string sorts before those of which it is a prefix.

use std::borrow::Cow;
use std::sync::Arc;

use super::lists::for_text_and_bytes;
use super::{EncodeKey, Encoder, Key, KeyBytes, KeyPosition, KeyReader, KeyStr, decode_error};
use crate::Result;

impl Key for str {
    type Owned = KeyStr;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("str")
    }

    fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<KeyStr> {
        KeyStr::from_utf8(<[u8]>::read(reader, place)?)
    }

    #[inline]
    fn decode(bytes: KeyBytes) -> Result<KeyStr> {
        KeyStr::from_utf8(bytes)
    }
}

/// Text and bytes whose type is the same when they are given and when they are returned.
macro_rules! owned_keys {
    ($([$($generics:tt)*] $key:ty: $name:literal, $make:expr;)*) => {$(
        impl<$($generics)*> Key for $key {
            type Owned = $key;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<$key> {
                let bytes = read_bytes(reader, place, $name)?.into_owned();
                $make(bytes).map(<$key>::from)
            }
        }
    )*};
}

owned_keys! {
    [] String: "str", text;
    [] Box<str>: "str", text;
    [] Arc<str>: "str", text;
    ['a] Cow<'a, str>: "str", text;
    [] Vec<u8>: "bytes", Ok;
    [] Box<[u8]>: "bytes", Ok;
    [] Arc<[u8]>: "bytes", Ok;
    ['a] Cow<'a, [u8]>: "bytes", Ok;
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| decode_error("str", error.to_string()))
}

impl Key for [u8] {
    type Owned = KeyBytes;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("bytes")
    }

    fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<KeyBytes> {
        Ok(match read_bytes(reader, place, "bytes")? {
            Cow::Borrowed(bytes) => KeyBytes::from(bytes),
            Cow::Owned(bytes) => KeyBytes::from(bytes),
        })
    }

    #[inline]
    fn decode(bytes: KeyBytes) -> Result<KeyBytes> {
        Ok(bytes)
    }
}

impl<const N: usize> Key for [u8; N] {
    type Owned = [u8; N];

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("[u8;{N}]"))
    }

    #[inline]
    fn read(reader: &mut KeyReader<'_>, _place: KeyPosition) -> Result<[u8; N]> {
        reader.take(<Self as Key>::type_name)
    }
}

impl<const N: usize> EncodeKey<[u8; N]> for [u8; N] {
    #[inline]
    fn encode_key_into(&self, encoder: &mut Encoder, _place: KeyPosition) {
        encoder.push(self);
    }

    #[inline]
    fn as_key_bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

/// `$given` stands for `$key`; `$bytes` is its bytes, with `$name` for a reference to it.
macro_rules! encode_key {
    ([$($generics:tt)*] |$name:ident: $given:ty| $bytes:expr => $key:ty) => {
        impl<$($generics)*> EncodeKey<$key> for $given {
            #[inline]
            fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
                let $name = self;
                push_bytes(encoder, $bytes, place);
            }

            #[inline]
            fn as_key_bytes(&self) -> Option<&[u8]> {
                let $name = self;
                Some($bytes)
            }
        }
    };
}

for_text_and_bytes!(encode_key);

/// Appends text or bytes, escaped and ended unless they end the key.
#[inline]
pub(super) fn push_bytes(encoder: &mut Encoder, bytes: &[u8], place: KeyPosition) {
    match place {
        KeyPosition::Last => encoder.push(bytes),
        KeyPosition::Inner => {
            for (index, piece) in bytes.split(|&byte| byte == 0).enumerate() {
                if index > 0 {
                    encoder.push(&[0x00, 0xff]);
                }
                encoder.push(piece);
            }
            encoder.push(&[0x00, 0x00]);
        }
    }
}

/// Takes text or bytes, which end the key or are escaped and ended.
#[inline]
pub(super) fn read_bytes<'a>(
    reader: &mut KeyReader<'a>,
    place: KeyPosition,
    type_name: &str,
) -> Result<Cow<'a, [u8]>> {
    match place {
        KeyPosition::Last => Ok(reader.take_rest()),
        KeyPosition::Inner if reader.is_inverted() => read_escaped::<0xff>(reader, type_name).map(Cow::Owned),
        KeyPosition::Inner => read_escaped::<0>(reader, type_name).map(Cow::Owned),
    }
}

fn read_escaped<const MASK: u8>(reader: &mut KeyReader<'_>, type_name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match reader.take_piece::<MASK>(&mut bytes) {
            Some([0x00, 0x00]) => return Ok(bytes),
            Some([0x00, 0xff]) => bytes.push(0x00),
            _ => return Err(decode_error(type_name, "an element is not ended by two zero bytes")),
        }
    }
}
