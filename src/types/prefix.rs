//! Prefixes of keys. Keys with the same prefix are adjacent.
//!
//! Invariant: an encoded prefix is a prefix of the encodings of exactly the keys that begin with the prefix.

use std::borrow::Cow;
use std::sync::Arc;

use super::lists::{for_pointers, for_text_and_bytes};
use super::{EncodeKey, Encoded, EncodedBound, Encoder, Key, KeyBound, KeyBytes, KeyPosition, KeyStr};

/// A value that can be given as a prefix of keys of type `K`.
///
/// - Keys that are text (`str`, `String`): any text. `"ad"` is the beginning of "ad", "ada" and "adam".
/// - Keys that are bytes (`[u8]`, `Vec<u8>`, `[u8; N]`): any bytes.
/// - Keys that are vectors: shorter vectors, arrays and slices.
/// - Keys that are tuples: shorter tuples. `("word",)` is a prefix of every `(String, u64, u64)` whose first element
///   is "word", and `("word", 7)` of those whose second element is also 7. Elements are whole: `("wo",)` does not
///   match "word".
///
/// ```
/// use mapleaf::{Db, Table};
///
/// const WORDS: Table<(String, u64), u64> = Table::new("words");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut words = tx.table(&WORDS)?;
///     words.insert(("map", 1), &10)?;
///     words.insert(("map", 2), &20)?;
///     words.insert(("maple", 1), &30)?;
///     Ok(())
/// })?;
///
/// let rx = db.read()?;
/// assert_eq!(rx.table(&WORDS)?.prefix(("map",)).count(), 2);
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the beginning of keys of type `{K}`",
    label = "not a prefix of keys of this table"
)]
pub trait KeyPrefix<K: Key + ?Sized> {
    /// Returns the bytes with which the encodings of these keys, and of no others, begin.
    fn encode_prefix(&self) -> Encoded<'_>;
}

/// A pointer to a prefix is a prefix too.
macro_rules! key_prefix_behind {
    ($pointer:ty, Q: $($bounds:tt)*) => {
        impl<K: Key + ?Sized, Q: KeyPrefix<K> + $($bounds)*> KeyPrefix<K> for $pointer {
            #[inline]
            fn encode_prefix(&self) -> Encoded<'_> {
                (**self).encode_prefix()
            }
        }
    };
}

for_pointers!(key_prefix_behind);

/// `$given` is a prefix of `$key`; `$bytes` is its bytes, with `$name` for a reference to it.
macro_rules! key_prefix {
    ([$($generics:tt)*] |$name:ident: $given:ty| $bytes:expr => $key:ty) => {
        impl<$($generics)*> KeyPrefix<$key> for $given {
            #[inline]
            fn encode_prefix(&self) -> Encoded<'_> {
                let $name = self;
                Encoded::borrowed($bytes)
            }
        }
    };
}

for_text_and_bytes!(key_prefix);
key_prefix!([const M: usize] |bytes: [u8]| bytes => [u8; M]);
key_prefix!([const M: usize] |bytes: Vec<u8>| bytes => [u8; M]);
key_prefix!([const M: usize] |bytes: KeyBytes| bytes => [u8; M]);
key_prefix!([const N: usize, const M: usize] |bytes: [u8; N]| bytes => [u8; M]);

/// Implements every proper prefix of a list of elements (key type, given type, index).
macro_rules! tuple_prefixes {
    ([$($prefix:tt)*] []) => {};
    ([] [$next:tt $($rest:tt)*]) => {
        tuple_prefixes!([$next] [$($rest)*]);
    };
    ([$($prefix:tt)+] [$next:tt $($rest:tt)*]) => {
        tuple_prefix!([$($prefix)+] [$next $($rest)*]);
        tuple_prefixes!([$($prefix)+ $next] [$($rest)*]);
    };
}

macro_rules! tuple_prefix {
    ([$(($key:ident $given:ident $index:tt))+] [$(($rest:ident $unused_given:ident $unused_index:tt))+]) => {
        impl<$($key: Key,)+ $($rest: Key,)+ $($given: EncodeKey<$key>,)+>
            KeyPrefix<($($key,)+ $($rest,)+)> for ($($given,)+)
        {
            fn encode_prefix(&self) -> Encoded<'_> {
                let mut encoder = Encoder::new();
                $(self.$index.encode_key_into(&mut encoder, KeyPosition::Inner);)+
                encoder.finish()
            }
        }

        impl<$($key: Key,)+ $($rest: Key,)+ $($given: EncodeKey<$key>,)+>
            KeyBound<($($key,)+ $($rest,)+)> for ($($given,)+)
        {
            fn encode_bound(&self) -> EncodedBound<'_> {
                EncodedBound::Prefix(KeyPrefix::<($($key,)+ $($rest,)+)>::encode_prefix(self))
            }

            fn encode_inner_bound(&self) -> Encoded<'_> {
                KeyPrefix::<($($key,)+ $($rest,)+)>::encode_prefix(self)
            }
        }
    };
}

/// Does the same for every prefix of a list.
macro_rules! every_tuple {
    ([$($before:tt)*]) => {};
    ([$($before:tt)*] $next:tt $($rest:tt)*) => {
        tuple_prefixes!([] [$($before)* $next]);
        every_tuple!([$($before)* $next] $($rest)*);
    };
}

every_tuple! {
    [] (A QA 0) (B QB 1) (C QC 2) (D QD 3) (E QE 4) (F QF 5) (G QG 6) (H QH 7) (I QI 8) (J QJ 9) (K QK 10) (L QL 11)
}
