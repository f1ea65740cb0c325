//! Keys in descending order.
//!
//! Encoding: that of the key, self-delimiting also where it ends the whole key, and then with all bits inverted. Of two
//! different self-delimiting encodings neither is a prefix of the other, so inverting them turns their order around;
//! the bare bytes of "a" and "ab" would keep it. A value is encoded as it is without `Reverse`.

use std::borrow::Cow;
use std::cmp::Reverse;

use super::{Element, EncodeKey, EncodeValue, Encoder, Key, KeyPosition, KeyReader, Value};
use crate::Result;

/// Keys in descending order, alone or as elements of tuples, vectors and options.
///
/// ```
/// use std::cmp::Reverse;
/// use mapleaf::{Db, Table};
///
/// // Messages of a room, the newest first.
/// const MESSAGES: Table<(String, Reverse<u64>), str> = Table::new("messages");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut messages = tx.table(&MESSAGES)?;
///     messages.insert(("lobby", Reverse(1)), "hello")?;
///     messages.insert(("lobby", Reverse(2)), "bye")?;
///     Ok(())
/// })?;
/// let rx = db.read()?;
/// let newest = rx.table(&MESSAGES)?.prefix(("lobby",)).next().unwrap()?;
/// assert_eq!(newest, (("lobby".to_owned(), Reverse(2)), "bye"));
/// # Ok::<(), mapleaf::Error>(())
/// ```
impl<K: Key> Key for Reverse<K> {
    type Owned = Reverse<K::Owned>;

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("reverse<{}>", K::type_name()))
    }

    #[inline]
    fn read(reader: &mut KeyReader<'_>, _place: KeyPosition) -> Result<Self::Owned> {
        reader.invert();
        let key = K::read(reader, KeyPosition::Inner);
        reader.invert();
        key.map(Reverse)
    }
}

impl<K: Key, Q: EncodeKey<K>> EncodeKey<Reverse<K>> for Reverse<Q> {
    #[inline]
    fn encode_key_into(&self, encoder: &mut Encoder, _place: KeyPosition) {
        let start = encoder.len();
        self.0.encode_key_into(encoder, KeyPosition::Inner);
        encoder.tail_mut(start).iter_mut().for_each(|byte| *byte = !*byte);
    }
}

impl<V: Value> Value for Reverse<V> {
    type Ref<'a> = Reverse<V::Ref<'a>>;
    type Owned = Reverse<V::Owned>;
    const FIXED_SIZE: Option<usize> = V::FIXED_SIZE;

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("reverse<{}>", V::type_name()))
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self::Ref<'_>> {
        V::decode(bytes).map(Reverse)
    }

    #[inline]
    fn into_owned(value: Self::Ref<'_>) -> Self::Owned {
        Reverse(V::into_owned(value.0))
    }
}

impl<V: Value, Q: EncodeValue<V>> EncodeValue<Reverse<V>> for Reverse<Q> {
    #[inline]
    fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
        self.0.encode_value_into(encoder)
    }
}

impl<T> Element for Reverse<T> {}
