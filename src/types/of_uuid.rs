//! `uuid::Uuid`: its 16 bytes, in the order in which they are written, as a key and as a value.

use std::borrow::Cow;

use uuid::Uuid;

use super::{Element, EncodeKey, EncodeValue, Encoder, Key, KeyPosition, KeyReader, Value, exactly};
use crate::Result;

const NAME: &str = "uuid";

impl Key for Uuid {
    type Owned = Uuid;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed(NAME)
    }

    #[inline]
    fn read(reader: &mut KeyReader<'_>, _place: KeyPosition) -> Result<Uuid> {
        reader.take(<Uuid as Key>::type_name).map(Uuid::from_bytes)
    }
}

impl EncodeKey<Uuid> for Uuid {
    #[inline]
    fn encode_key_into(&self, encoder: &mut Encoder, _place: KeyPosition) {
        encoder.push(self.as_bytes());
    }

    #[inline]
    fn as_key_bytes(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl Value for Uuid {
    type Ref<'a> = Uuid;
    type Owned = Uuid;
    const FIXED_SIZE: Option<usize> = Some(16);

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed(NAME)
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Uuid> {
        exactly(bytes, NAME).map(Uuid::from_bytes)
    }

    #[inline]
    fn into_owned(value: Uuid) -> Uuid {
        value
    }
}

impl EncodeValue<Uuid> for Uuid {
    #[inline]
    fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
        encoder.push(self.as_bytes());
        Ok(())
    }

    #[inline]
    fn as_value_bytes(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl Element for Uuid {}
