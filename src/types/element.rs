//! The types that can be elements of vectors and arrays.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::Result;

#[cfg(feature = "messagepack")]
use super::MessagePack;
#[cfg(feature = "serde")]
use super::Serde;
use super::lists::for_tuples;

/// A type that can be the element `T` of a `Vec<T>` or `[T; N]` that is a key or a value.
///
/// All types of keys and values implement it, except `u8`: `Vec<u8>` and `[u8; N]` are byte strings, which are stored
/// and read in other ways. Your own type needs one line:
///
/// ```
/// # use std::borrow::Cow;
/// # use mapleaf::{EncodeValue, Encoder, Result, Value};
/// use mapleaf::{Db, Element, Table};
/// # #[derive(Clone, Copy, PartialEq, Debug)]
/// # struct Celsius(f32);
/// # impl Value for Celsius {
/// #     type Ref<'a> = Celsius;
/// #     type Owned = Celsius;
/// #     const FIXED_SIZE: Option<usize> = <f32 as Value>::FIXED_SIZE;
/// #     fn type_name() -> Cow<'static, str> { <f32 as Value>::type_name() }
/// #     fn decode(bytes: &[u8]) -> Result<Celsius> { <f32 as Value>::decode(bytes).map(Celsius) }
/// #     fn into_owned(value: Celsius) -> Celsius { value }
/// # }
/// # impl EncodeValue<Celsius> for Celsius {
/// #     fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
/// #         EncodeValue::<f32>::encode_value_into(&self.0, encoder)
/// #     }
/// # }
/// // Celsius is the example of `Value`.
/// impl Element for Celsius {}
///
/// const READINGS: Table<(String, u32), Vec<Celsius>> = Table::new("readings");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| tx.table(&READINGS)?.insert(("roof", 20260101), [Celsius(3.5), Celsius(-1.0)]))?;
/// let rx = db.read()?;
/// assert_eq!(rx.table(&READINGS)?.get(("roof", 20260101))?.unwrap()[1], Celsius(-1.0));
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an element of a stored vector or array",
    label = "vectors and arrays of this type cannot be stored",
    note = "if `{Self}` is a key or value of your own, `impl mapleaf::Element for {Self} {{}}` makes it one, as does \
            `#[derive(mapleaf::Element)]`"
)]
pub trait Element {}

macro_rules! elements {
    (@one [$($generics:tt)*] $element:ty) => {
        impl<$($generics)*> Element for $element {}
    };
    (@list $generics:tt $($element:ty),*) => {
        $(elements!(@one $generics $element);)*
    };
    ($($generics:tt $($element:ty),*;)*) => {
        $(elements!(@list $generics $($element),*);)*
    };
}

elements! {
    [] u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool, char, ();
    [] String, Box<str>, Arc<str>, Cow<'_, str>, Box<[u8]>, Arc<[u8]>, Cow<'_, [u8]>;
    [] Duration, SystemTime, Ipv4Addr, Ipv6Addr, IpAddr, SocketAddrV4, SocketAddrV6, SocketAddr;
    [] NonZero<u8>, NonZero<u16>, NonZero<u32>, NonZero<u64>, NonZero<u128>, NonZero<usize>;
    [] NonZero<i8>, NonZero<i16>, NonZero<i32>, NonZero<i64>, NonZero<i128>, NonZero<isize>;
    [T] Option<T>, Vec<T>;
    [T, const N: usize] [T; N];
}

#[cfg(feature = "serde")]
impl<T> Element for Serde<T> {}

#[cfg(feature = "messagepack")]
impl<T> Element for MessagePack<T> {}

macro_rules! tuple_element {
    ($($element:ident $given:ident $index:tt,)* ; $last:ident $last_given:ident $last_index:tt) => {
        impl<$($element,)* $last> Element for ($($element,)* $last,) {}
    };
}

for_tuples!(tuple_element);

/// Returns an array of the results of `element`, or the first error.
pub(super) fn array_of<T, const N: usize>(mut element: impl FnMut(usize) -> Result<T>) -> Result<[T; N]> {
    let mut failure = None;
    let elements: [Option<T>; N] = std::array::from_fn(|index| match failure {
        None => element(index).map_err(|error| failure = Some(error)).ok(),
        Some(_) => None,
    });
    match failure {
        None => Ok(elements.map(|element| element.expect("there is one, or there is a failure"))),
        Some(error) => Err(error),
    }
}
