//! Types whose values all have the same number of bytes, and one form in JSON. To add one: a line in [`scalars!`], and
//! an implementation of [`JsonScalar`].

use std::borrow::Cow;

use mapleaf::{EncodeKey, EncodeValue, Key, KeyBytes, Value};
use serde_json::{Number, Value as Json, json};

use super::role::Role;

/// A type of the library, and its form in JSON.
trait JsonScalar:
    Key<Owned = Self> + for<'a> Value<Ref<'a> = Self> + EncodeKey<Self> + EncodeValue<Self> + Sized
{
    /// What is given as JSON, in words.
    const FORM: &'static str;

    fn to_json(self) -> Json;

    fn from_json(value: &Json) -> Option<Self>;
}

/// Declares [`Scalar`], with a variant for each of the library's types.
macro_rules! scalars {
    ($($variant:ident $type:ty,)*) => {
        /// One of the library's types of fixed size.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Scalar { $($variant,)* }

        impl Scalar {
            const ALL: &'static [Scalar] = &[$(Scalar::$variant,)*];

            /// The type's name in the catalog.
            pub(super) fn name(self) -> Cow<'static, str> {
                match self { $(Scalar::$variant => <$type as Value>::type_name(),)* }
            }

            /// How many bytes each encoding has, as a key and as a value.
            pub(super) fn size(self) -> usize {
                let size = match self { $(Scalar::$variant => <$type as Value>::FIXED_SIZE,)* };
                size.unwrap_or(0)
            }

            /// What is given as JSON, in words.
            pub(super) fn form(self) -> &'static str {
                match self { $(Scalar::$variant => <$type as JsonScalar>::FORM,)* }
            }

            /// The stored bytes of one value; `None` if they are not an encoding of it.
            pub(super) fn to_json(self, bytes: &[u8], role: Role) -> Option<Json> {
                match self { $(Scalar::$variant => decode::<$type>(bytes, role).map(JsonScalar::to_json),)* }
            }

            /// What is stored for `value`; `None` if it is not of this type.
            pub(super) fn encode(self, value: &Json, role: Role) -> Option<Vec<u8>> {
                match self { $(Scalar::$variant => encode(&<$type>::from_json(value)?, role),)* }
            }
        }
    };
}

scalars! {
    U8 u8,
    U16 u16,
    U32 u32,
    U64 u64,
    U128 u128,
    I8 i8,
    I16 i16,
    I32 i32,
    I64 i64,
    I128 i128,
    F32 f32,
    F64 f64,
    Bool bool,
    Char char,
    Unit (),
}

impl Scalar {
    pub(super) fn is_integer(self) -> bool {
        self.form() == <u8 as JsonScalar>::FORM
    }

    pub(super) fn of_name(name: &str) -> Option<Scalar> {
        Scalar::ALL.iter().copied().find(|scalar| scalar.name() == name)
    }
}

fn decode<T: JsonScalar>(bytes: &[u8], role: Role) -> Option<T> {
    let decoded = match role {
        Role::Key => <T as Key>::decode(KeyBytes::from(bytes)),
        Role::Value => <T as Value>::decode(bytes),
    };
    decoded.ok()
}

fn encode<T: JsonScalar>(value: &T, role: Role) -> Option<Vec<u8>> {
    match role {
        Role::Key => Some(EncodeKey::<T>::encode_key(value).to_vec()),
        Role::Value => EncodeValue::<T>::encode_value(value).ok().map(|bytes| bytes.to_vec()),
    }
}

/// An integer that JSON's readers may not hold is a string of its digits. Any integer may be given as such a string.
macro_rules! integers {
    ($($type:ty, $widest:ty;)*) => {$(
        impl JsonScalar for $type {
            const FORM: &'static str = "an integer";

            fn to_json(self) -> Json {
                <$widest>::try_from(self).map_or_else(|_| Json::String(self.to_string()), Json::from)
            }

            fn from_json(value: &Json) -> Option<$type> {
                match value {
                    Json::String(text) => text.parse().ok(),
                    Json::Number(number) => number.to_string().parse().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

integers! {
    u8, u64;
    u16, u64;
    u32, u64;
    u64, u64;
    u128, u64;
    i8, i64;
    i16, i64;
    i32, i64;
    i64, i64;
    i128, i64;
}

/// A float that is not a number of JSON (NaN, the infinities) is the hexadecimal digits of its bits.
macro_rules! floats {
    ($($type:ty, $bits:ty;)*) => {$(
        impl JsonScalar for $type {
            const FORM: &'static str = "a number";

            fn to_json(self) -> Json {
                // The shortest decimal of an f32 is not that of the same number as an f64: 0.1 stays 0.1.
                let number = self.to_string().parse().ok().and_then(Number::from_f64);
                let bits = || json!({ "hex": format!("{:0width$x}", self.to_bits(), width = size_of::<$type>() * 2) });
                number.map_or_else(bits, Json::Number)
            }

            fn from_json(value: &Json) -> Option<$type> {
                if let Some(digits) = value.get("hex").and_then(Json::as_str) {
                    let bits = <$bits>::from_str_radix(digits, 16).ok();
                    return bits.filter(|_| digits.len() == size_of::<$type>() * 2).map(<$type>::from_bits);
                }
                value.as_number()?.to_string().parse().ok()
            }
        }
    )*};
}

floats! {
    f32, u32;
    f64, u64;
}

impl JsonScalar for bool {
    const FORM: &'static str = "true or false";

    fn to_json(self) -> Json {
        Json::Bool(self)
    }

    fn from_json(value: &Json) -> Option<bool> {
        value.as_bool()
    }
}

impl JsonScalar for char {
    const FORM: &'static str = "one character";

    fn to_json(self) -> Json {
        Json::String(self.into())
    }

    fn from_json(value: &Json) -> Option<char> {
        let mut characters = value.as_str()?.chars();
        characters.next().filter(|_| characters.next().is_none())
    }
}

impl JsonScalar for () {
    const FORM: &'static str = "null";

    fn to_json(self) -> Json {
        Json::Null
    }

    fn from_json(value: &Json) -> Option<()> {
        (value.is_null() || value == "").then_some(())
    }
}
