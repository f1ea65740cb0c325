//! A multimap table in a write transaction.

use std::fmt;

use crate::db::Types;
use crate::db::iter::{EntrySource, Refusal};
use crate::db::multimap::iter::{MultimapKeys, MultimapRange, Values};
use crate::db::multimap::read::MultimapRef;
use crate::error::{Error, Result};
use crate::format::multimap::PAIR;
use crate::txn::bulk::{BulkLoader, Pairs};
use crate::txn::open_table::OpenTable;
use crate::txn::write::Transaction;
use crate::types::{EncodeKey, EncodedPair, Key, KeyRange, PairRange, encode_pair, encode_pair_key};

/// A multimap table in a write transaction. Reads see what the transaction has written.
///
/// A pair that is too long ([`Error::PairTooLong`]) changes nothing, and the transaction goes on. Other errors are as
/// with [`TableMut`](crate::TableMut).
///
/// ```
/// use mapleaf::{Db, MultimapTable};
/// const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags"); // tag -> articles
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut tags = tx.multimap(&TAGS)?;
///     assert!(tags.insert("rust", 2)?);
///     assert!(!tags.insert("rust", 2)?, "it was there");
///     tags.insert("rust", 1)?;
///     assert!(tags.remove("rust", 2)?);
///     assert_eq!(tags.remove_all("rust")?, 1);
///     assert!(tags.is_empty());
///     Ok(())
/// })?;
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub struct MultimapMut<'tx, K: Key + ?Sized, V: Key + ?Sized> {
    pub(super) transaction: &'tx Transaction,
    /// `Some` until the struct is dropped.
    pub(super) open: Option<Box<OpenTable>>,
    pub(super) types: Types<K, V>,
}

impl<K: Key + ?Sized, V: Key + ?Sized> Drop for MultimapMut<'_, K, V> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.transaction.return_table(open);
        }
    }
}

impl<K: Key + ?Sized, V: Key + ?Sized> fmt::Debug for MultimapMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultimapMut").finish_non_exhaustive()
    }
}

impl<K: Key + ?Sized, V: Key + ?Sized> MultimapMut<'_, K, V> {
    pub(super) fn open(&self) -> &OpenTable {
        self.open.as_ref().expect("the table is here until it is dropped")
    }

    pub(super) fn open_mut(&mut self) -> &mut OpenTable {
        self.open.as_mut().expect("the table is here until it is dropped")
    }

    /// Returns the table as one that is read, until the next change.
    fn reader(&self) -> MultimapRef<'_, K, V> {
        match self.transaction.check_usable() {
            Ok(()) => {}
            Err(Error::Forked) => return MultimapRef::refused(Refusal::Forked),
            Err(_) => return MultimapRef::refused(Refusal::TransactionFailed),
        }
        let tree = &self.open().tree;
        let source = EntrySource::Transaction(tree.nodes(&self.transaction.core().pages));
        MultimapRef::new(source, tree.top(), tree.len())
    }

    // ---- reading ----

    /// Returns the values of `key`, in their order. See [`MultimapRef::get`](crate::MultimapRef::get).
    pub fn get(&self, key: impl EncodeKey<K>) -> Values<'_, V> {
        self.reader().get(key)
    }

    /// Returns the values of many keys, in the order of `keys`.
    pub fn get_many<Q: EncodeKey<K>>(&self, keys: impl IntoIterator<Item = Q>) -> Result<Vec<Vec<V::Owned>>> {
        self.reader().get_many(keys)
    }

    /// Returns the values of `key` that are in `range`, in their order.
    pub fn range_of_values(&self, key: impl EncodeKey<K>, range: impl KeyRange<V>) -> Values<'_, V> {
        self.reader().range_of_values(key, range)
    }

    /// Returns whether `value` is one of the values of `key`.
    pub fn contains(&self, key: impl EncodeKey<K>, value: impl EncodeKey<V>) -> Result<bool> {
        self.reader().contains(key, value)
    }

    /// Returns whether `key` has values.
    pub fn contains_key(&self, key: impl EncodeKey<K>) -> Result<bool> {
        self.reader().contains_key(key)
    }

    /// Returns the number of values of `key`. See [`MultimapRef::len_of`](crate::MultimapRef::len_of).
    pub fn len_of(&self, key: impl EncodeKey<K>) -> Result<u64> {
        self.transaction.check_usable()?;
        self.transaction.value_count(self.open(), &encode_pair_key::<K>(PAIR, &key)[1..])
    }

    /// Returns the number of pairs. This is one lookup.
    pub fn len(&self) -> Result<u64> {
        self.reader().len()
    }

    /// Returns whether the table has no pairs.
    pub fn is_empty(&self) -> bool {
        // Counters may be left until the commit removes them.
        self.iter().next().is_none()
    }

    /// Returns the first pair: the smallest value of the smallest key.
    pub fn first(&self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.reader().first()
    }

    /// Returns the last pair: the greatest value of the greatest key.
    pub fn last(&self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.reader().last()
    }

    /// Returns the pairs whose keys are in `range`. See [`MultimapRef::range`](crate::MultimapRef::range).
    pub fn range(&self, range: impl PairRange<K>) -> MultimapRange<'_, K, V> {
        self.reader().range(range)
    }

    /// Returns all pairs, in the order of keys and then values.
    pub fn iter(&self) -> MultimapRange<'_, K, V> {
        self.reader().iter()
    }

    /// Returns the keys, in their order, each of them once.
    pub fn keys(&self) -> MultimapKeys<'_, K> {
        self.reader().keys()
    }

    /// Returns the keys in `range`, in their order, each of them once.
    pub fn keys_in(&self, range: impl PairRange<K>) -> MultimapKeys<'_, K> {
        self.reader().keys_in(range)
    }

    // ---- writing ----

    /// Adds `value` to the values of `key`. Returns `true` if it is new there.
    ///
    /// # Errors
    ///
    /// [`Error::PairTooLong`] changes nothing, and neither does a lack of space that is noticed before the insertion
    /// begins. After any other error, the transaction can only be aborted.
    pub fn insert(&mut self, key: impl EncodeKey<K>, value: impl EncodeKey<V>) -> Result<bool> {
        let EncodedPair { bytes, key_len } = encode_pair::<K, V>(PAIR, &key, &value);
        self.transaction.insert_pair(self.open_mut(), &bytes, key_len).map_err(pair_error)
    }

    /// Removes `value` from the values of `key`. Returns `true` if it was there.
    pub fn remove(&mut self, key: impl EncodeKey<K>, value: impl EncodeKey<V>) -> Result<bool> {
        let EncodedPair { bytes, key_len } = encode_pair::<K, V>(PAIR, &key, &value);
        self.transaction.remove_pair(self.open_mut(), &bytes, key_len)
    }

    /// Removes all values of `key`, whole subtrees at a time. Returns their number.
    pub fn remove_all(&mut self, key: impl EncodeKey<K>) -> Result<u64> {
        let prefix = encode_pair_key::<K>(PAIR, &key);
        self.transaction.remove_pairs_of(self.open_mut(), &prefix[1..])
    }

    /// Removes all pairs. Returns their number.
    pub fn clear(&mut self) -> Result<u64> {
        self.transaction.clear_pairs(self.open_mut())
    }

    /// Inserts all of `pairs`, which come in any order. Returns how many are new. Sorted in memory first, they are
    /// inserted several times as fast as one by one: see [`TableMut::bulk_load`](crate::TableMut::bulk_load).
    ///
    /// # Errors
    ///
    /// Those of [`insert`](MultimapMut::insert). After an error, the transaction can only be aborted.
    ///
    /// ```
    /// use mapleaf::{Db, MultimapTable};
    /// const DIVISORS: MultimapTable<u64, u64> = MultimapTable::new("divisors");
    ///
    /// let db = Db::in_memory()?;
    /// let multiples = |divisor: u64| (1..=100 / divisor).map(move |factor| (divisor * factor, divisor));
    /// let pairs = (1..=100).flat_map(multiples);
    /// db.update(|tx| tx.multimap(&DIVISORS)?.insert_many(pairs))?;
    /// let rx = db.read()?;
    /// let divisors: Vec<u64> = rx.multimap(&DIVISORS)?.get(28).collect::<Result<_, _>>()?;
    /// assert_eq!(divisors, [1, 2, 4, 7, 14, 28]);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn insert_many<Q: EncodeKey<K>, W: EncodeKey<V>>(
        &mut self,
        pairs: impl IntoIterator<Item = (Q, W)>,
    ) -> Result<u64> {
        self.bulk_load(|load| pairs.into_iter().try_for_each(|(key, value)| load.insert(key, value)))
    }

    /// Inserts all pairs that `fill` gives to [`PairLoad::insert`]. Returns how many are new. It is
    /// [`MultimapMut::insert_many`] for a source of pairs that can fail.
    ///
    /// # Errors
    ///
    /// Those of `fill`, and those of [`insert`](MultimapMut::insert). After an error, the transaction can only be
    /// aborted.
    pub fn bulk_load<E: From<Error>>(
        &mut self,
        fill: impl FnOnce(&mut PairLoad<'_, K, V>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let types = self.types;
        load_pairs(self.transaction, self.open_mut(), |loader| {
            let mut load = PairLoad { loader, types };
            fill(&mut load)?;
            Ok(load.loader.finish().map(drop)?)
        })
    }
}

impl<'a, K: Key + ?Sized, V: Key + ?Sized> IntoIterator for &'a MultimapMut<'_, K, V> {
    type Item = Result<(K::Owned, V::Owned)>;
    type IntoIter = MultimapRange<'a, K, V>;

    fn into_iter(self) -> MultimapRange<'a, K, V> {
        self.iter()
    }
}

/// Receives the pairs of a bulk load. See [`MultimapMut::bulk_load`].
pub struct PairLoad<'a, K: Key + ?Sized, V: Key + ?Sized> {
    loader: BulkLoader<'a, Pairs>,
    types: Types<K, V>,
}

/// Runs a bulk load, which `fill` finishes. Returns how many pairs are new.
pub(super) fn load_pairs<E: From<Error>>(
    transaction: &Transaction,
    open: &mut OpenTable,
    fill: impl FnOnce(BulkLoader<'_, Pairs>) -> Result<(), E>,
) -> Result<u64, E> {
    transaction.check_usable()?;
    let before = transaction.pair_count(open)?;
    transaction.guard_whole(|| {
        fill(BulkLoader::of_pairs(transaction, open)?)?;
        Ok(transaction.pair_count(open)?.saturating_sub(before))
    })
}

impl<K: Key + ?Sized, V: Key + ?Sized> fmt::Debug for PairLoad<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairLoad").finish_non_exhaustive()
    }
}

impl<K: Key + ?Sized, V: Key + ?Sized> PairLoad<'_, K, V> {
    /// Inserts a pair, which may be in the table already.
    ///
    /// # Errors
    ///
    /// After [`Error::PairTooLong`], the load can go on without the pair. After any other error, which an earlier pair
    /// may have caused, the transaction can only be aborted.
    #[inline]
    pub fn insert(&mut self, key: impl EncodeKey<K>, value: impl EncodeKey<V>) -> Result<()> {
        let EncodedPair { bytes, key_len } = encode_pair::<K, V>(PAIR, &key, &value);
        self.loader.insert_pair(&bytes, key_len).map_err(pair_error)
    }
}

/// The error of a pair, in which the tree sees a key.
#[cold]
pub(super) fn pair_error(error: Error) -> Error {
    match error {
        // The first byte is the table's own.
        Error::KeyTooLong { length, limit } => Error::PairTooLong { length: length - 1, limit: limit - 1 },
        other => other,
    }
}
