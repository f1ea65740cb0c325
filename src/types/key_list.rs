//! Keys that are arrays and vectors of other keys than bytes.
//!
//! Encodings: an array is the tuple of its elements. In a vector each element follows a byte 01, and is
//! self-delimiting; unless the vector ends the key, its end is marked 00. So the order is that of the first element
//! that differs, and a vector sorts before those of which it is a prefix.

use std::borrow::Cow;

use super::element::array_of;
use super::{Element, EncodeKey, Encoded, Encoder, Key, KeyPosition, KeyPrefix, KeyReader, decode_error};
use crate::{Error, Result};

impl<K: Key + Element, const N: usize> Key for [K; N] {
    type Owned = [K::Owned; N];

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("[{};{N}]", K::type_name()))
    }

    fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<Self::Owned> {
        array_of(|index| K::read(reader, if index + 1 == N { place } else { KeyPosition::Inner }))
    }
}

impl<K: Key + Element, Q: EncodeKey<K>, const N: usize> EncodeKey<[K; N]> for [Q; N] {
    fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
        if let [elements @ .., last] = &self[..] {
            elements.iter().for_each(|element| element.encode_key_into(encoder, KeyPosition::Inner));
            last.encode_key_into(encoder, place);
        }
    }
}

impl<K: Key + Element> Key for Vec<K> {
    type Owned = Vec<K::Owned>;

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("vec<{}>", K::type_name()))
    }

    fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<Self::Owned> {
        let mut elements = Vec::new();
        while place == KeyPosition::Inner || reader.len() > 0 {
            match (reader.take(<Self as Key>::type_name)?, place) {
                ([1], _) => elements.push(K::read(reader, KeyPosition::Inner)?),
                ([0], KeyPosition::Inner) => break,
                ([other], _) => return Err(not_a_mark(<Self as Key>::type_name(), other)),
            }
        }
        Ok(elements)
    }
}

#[cold]
fn not_a_mark(type_name: Cow<'static, str>, found: u8) -> Error {
    decode_error(type_name, format!("expected a byte 1 before an element, or 0 at the end, found {found}"))
}

/// A slice, vector or array can be given for a vector.
macro_rules! encode_vector {
    ([$($generics:tt)*] $given:ty) => {
        impl<K: Key + Element, Q: EncodeKey<K>, $($generics)*> EncodeKey<Vec<K>> for $given {
            fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
                for element in self {
                    encoder.push(&[1]);
                    element.encode_key_into(encoder, KeyPosition::Inner);
                }
                if place == KeyPosition::Inner {
                    encoder.push(&[0]);
                }
            }
        }

        impl<K: Key + Element, Q: EncodeKey<K>, $($generics)*> KeyPrefix<Vec<K>> for $given {
            fn encode_prefix(&self) -> Encoded<'_> {
                EncodeKey::<Vec<K>>::encode_key(self)
            }
        }
    };
}

encode_vector!([] Vec<Q>);
encode_vector!([][Q]);
encode_vector!([const N: usize] [Q; N]);
