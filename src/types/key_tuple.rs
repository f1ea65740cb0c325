//! Keys that are tuples: their elements' encodings, one after the other.
//!
//! All but the last element stand in `KeyPosition::Inner` and are self-delimiting, so the order is that of the
//! first element that differs. The last has the tuple's own position.

use std::borrow::Cow;

use super::lists::for_tuples;
use super::{EncodeKey, Encoder, Key, KeyPosition, KeyReader};
use crate::Result;

/// One implementation per list of elements: key type, given type, index; the last one apart.
macro_rules! tuple_key {
    ($($key:ident $given:ident $index:tt,)* ; $last_key:ident $last_given:ident $last_index:tt) => {
        impl<$($key: Key,)* $last_key: Key> Key for ($($key,)* $last_key,) {
            type Owned = ($($key::Owned,)* $last_key::Owned,);

            fn type_name() -> Cow<'static, str> {
                let names = [$($key::type_name(),)* $last_key::type_name()];
                Cow::Owned(format!("({})", names.join(",")))
            }

            #[inline]
            fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<Self::Owned> {
                Ok(($($key::read(reader, KeyPosition::Inner)?,)* $last_key::read(reader, place)?,))
            }
        }

        impl<$($key: Key,)* $last_key: Key, $($given: EncodeKey<$key>,)* $last_given: EncodeKey<$last_key>>
            EncodeKey<($($key,)* $last_key,)> for ($($given,)* $last_given,)
        {
            #[inline]
            fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
                $(self.$index.encode_key_into(encoder, KeyPosition::Inner);)*
                self.$last_index.encode_key_into(encoder, place);
            }
        }
    };
}

for_tuples!(tuple_key);
