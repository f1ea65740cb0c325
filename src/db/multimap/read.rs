//! A multimap table that is read.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;

use crate::base::{ChildRef, PageNumber};
use crate::db::Types;
use crate::db::iter::{EntrySource, Refusal};
use crate::db::multimap::iter::{MultimapKeys, MultimapRange, Values};
use crate::error::Result;
use crate::format::multimap::PAIR;
use crate::tree::multimap::{pair_count, value_count};
use crate::tree::{self, RangeCursor, TreeTop};
use crate::txn::database::Database;
use crate::txn::view::{TransactionView, TreeView};
use crate::types::{
    EncodeKey, Key, KeyRange, PairRange, encode_pair, encode_pair_key, encode_pair_range, encode_value_range,
};

/// A multimap table in a read transaction. It is `Copy`.
///
/// Errors are those of [`TableRef`](crate::TableRef).
///
/// ```
/// use mapleaf::{Db, MultimapTable};
/// const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags"); // tag -> articles
///
/// let db = Db::in_memory()?;
/// db.update(|tx| tx.multimap(&TAGS)?.insert_many([("rust", 2), ("rust", 1), ("storage", 2)]))?;
///
/// let rx = db.read()?;
/// let tags = rx.multimap(&TAGS)?;
/// assert!(tags.contains("rust", 2)?);
/// assert_eq!(tags.get("rust").next_back().transpose()?, Some(2));
/// assert_eq!((tags.len()?, tags.keys().count()), (3, 2));
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub struct MultimapRef<'tx, K: ?Sized, V: ?Sized> {
    source: EntrySource<'tx>,
    top: TreeTop,
    /// How many entries the tree has: pairs and counters.
    entries: u64,
    /// The database, if the table is read through a view of a write transaction.
    viewed: Option<&'tx Database>,
    types: Types<K, V>,
}

impl<K: ?Sized, V: ?Sized> Clone for MultimapRef<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Copy for MultimapRef<'_, K, V> {}

impl<K: ?Sized, V: ?Sized> fmt::Debug for MultimapRef<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultimapRef").finish_non_exhaustive()
    }
}

impl<'tx, K: Key + ?Sized, V: Key + ?Sized> MultimapRef<'tx, K, V> {
    pub(super) fn new(source: EntrySource<'tx>, top: TreeTop, entries: u64) -> MultimapRef<'tx, K, V> {
        MultimapRef { source, top, entries, viewed: None, types: PhantomData }
    }

    pub(in crate::db) fn of_view(view: TransactionView<'tx>, tree: TreeView<'tx>) -> MultimapRef<'tx, K, V> {
        let table = MultimapRef::new(EntrySource::Transaction(tree.nodes), tree.top, tree.entries);
        MultimapRef { viewed: Some(view.core), ..table }
    }

    /// A table each of whose reads is an error.
    #[cold]
    pub(super) fn refused(refusal: Refusal) -> MultimapRef<'tx, K, V> {
        // A tree with a root, so that a node is asked for, which gives the error.
        let top = TreeTop { node: ChildRef::to_page(PageNumber(0)), depth: 1 };
        MultimapRef::new(EntrySource::Refused(refusal), top, 0)
    }

    /// The table, unless nothing may be read any more.
    #[inline]
    fn usable(&self) -> MultimapRef<'tx, K, V> {
        match self.source {
            EntrySource::Snapshot(reader) if reader.check_not_forked().is_err() => {
                MultimapRef::refused(Refusal::Forked)
            }
            _ if self.viewed.is_some_and(|core| core.check_not_forked().is_err()) => {
                MultimapRef::refused(Refusal::Forked)
            }
            _ => *self,
        }
    }

    /// Returns the values of `key`, in their order; none if it has no values. `.rev()` reverses them.
    #[inline]
    pub fn get(&self, key: impl EncodeKey<K>) -> Values<'tx, V> {
        let prefix = encode_pair_key::<K>(PAIR, &key);
        let MultimapRef { source, top, .. } = self.usable();
        Values::all(source, top, &prefix)
    }

    /// Returns the values of many keys, in the order of `keys`.
    ///
    /// ```
    /// # use mapleaf::{Db, MultimapTable};
    /// # const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.multimap(&TAGS)?.insert_many([("rust", 2), ("rust", 1)]))?;
    /// let rx = db.read()?;
    /// assert_eq!(rx.multimap(&TAGS)?.get_many(["rust", "unknown"])?, [vec![1, 2], vec![]]);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn get_many<Q: EncodeKey<K>>(&self, keys: impl IntoIterator<Item = Q>) -> Result<Vec<Vec<V::Owned>>> {
        keys.into_iter().map(|key| self.get(key).collect()).collect()
    }

    /// Returns the values of `key` that are in `range`, in their order.
    ///
    /// ```
    /// # use mapleaf::{Db, MultimapTable};
    /// # const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.multimap(&TAGS)?.insert_many((0..100).map(|article| ("rust", article))))?;
    /// let rx = db.read()?;
    /// let mut found = rx.multimap(&TAGS)?.range_of_values("rust", 50..);
    /// assert_eq!((found.next().transpose()?, found.count()), (Some(50), 49));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[inline]
    pub fn range_of_values(&self, key: impl EncodeKey<K>, range: impl KeyRange<V>) -> Values<'tx, V> {
        let prefix = encode_pair_key::<K>(PAIR, &key);
        let MultimapRef { source, top, .. } = self.usable();
        Values::new(source, cursor(top, encode_value_range(&prefix, &range)), &prefix)
    }

    /// Returns whether `value` is one of the values of `key`. This is a single lookup, however many values there are.
    #[inline]
    pub fn contains(&self, key: impl EncodeKey<K>, value: impl EncodeKey<V>) -> Result<bool> {
        let MultimapRef { source, top, .. } = self.usable();
        let pair = encode_pair::<K, V>(PAIR, &key, &value);
        Ok(tree::get(source, top, &pair.bytes)?.is_some())
    }

    /// Returns whether `key` has values.
    pub fn contains_key(&self, key: impl EncodeKey<K>) -> Result<bool> {
        let prefix = encode_pair_key::<K>(PAIR, &key);
        let MultimapRef { source, top, .. } = self.usable();
        let mut cursor = cursor(top, encode_value_range::<[u8]>(&prefix, &..));
        Ok(cursor.next(source)?.is_some())
    }

    /// Returns the number of values of `key`. If there are many, it is stored, and this is one lookup. Of a key with
    /// about 64 values or fewer, and in a salvaged table, it is not: this is then two lookups if the values are in one
    /// page, and otherwise goes over the headers of the pages with the values.
    pub fn len_of(&self, key: impl EncodeKey<K>) -> Result<u64> {
        self.len_of_stored(&encode_pair_key::<K>(PAIR, &key)[1..])
    }

    pub(super) fn len_of_stored(&self, key: &[u8]) -> Result<u64> {
        let MultimapRef { source, top, .. } = self.usable();
        value_count(source, top, key)
    }

    /// Returns the number of pairs. This is one lookup.
    pub fn len(&self) -> Result<u64> {
        let MultimapRef { source, top, entries, .. } = self.usable();
        pair_count(source, top, entries)
    }

    /// Returns whether the table has no pairs.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Returns the first pair: the smallest value of the smallest key.
    pub fn first(&self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.iter().next().transpose()
    }

    /// Returns the last pair: the greatest value of the greatest key.
    pub fn last(&self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.iter().next_back().transpose()
    }

    /// Returns the pairs whose keys are in `range`, in the order of keys and then values; `.rev()` reverses it. See
    /// [`TableRef::range`](crate::TableRef::range).
    ///
    /// ```
    /// # use mapleaf::{Db, MultimapTable};
    /// # const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags");
    /// # let db = Db::in_memory()?;
    /// db.update(|tx| tx.multimap(&TAGS)?.insert_many([("rust", 2), ("rust", 1), ("storage", 2)]))?;
    /// let rx = db.read()?;
    /// let tags = rx.multimap(&TAGS)?;
    /// assert_eq!(tags.range("s"..).count(), 1);
    /// assert_eq!(tags.range(..="rust").next_back().transpose()?, Some(("rust".into(), 2)));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn range(&self, range: impl PairRange<K>) -> MultimapRange<'tx, K, V> {
        let MultimapRef { source, top, .. } = self.usable();
        MultimapRange::new(source, cursor(top, encode_pair_range(PAIR, &range)))
    }

    /// Returns all pairs, in the order of keys and then values.
    pub fn iter(&self) -> MultimapRange<'tx, K, V> {
        self.range(..)
    }

    /// Returns the keys, in their order, each of them once.
    ///
    /// ```
    /// # use mapleaf::{Db, MultimapTable};
    /// # const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.multimap(&TAGS)?.insert_many([("rust", 2), ("rust", 1), ("storage", 2)]))?;
    /// let rx = db.read()?;
    /// let tags = rx.multimap(&TAGS)?;
    /// for tag in tags.keys() {
    ///     let tag = tag?;
    ///     println!("{tag}: {}", tags.len_of(&tag)?);
    /// }
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn keys(&self) -> MultimapKeys<'tx, K> {
        self.keys_in(..)
    }

    /// Returns the keys in `range`, in their order, each of them once.
    pub fn keys_in(&self, range: impl PairRange<K>) -> MultimapKeys<'tx, K> {
        let MultimapRef { source, top, .. } = self.usable();
        MultimapKeys::new(source, cursor(top, encode_pair_range(PAIR, &range)))
    }
}

impl<'tx, K: Key + ?Sized, V: Key + ?Sized> IntoIterator for &MultimapRef<'tx, K, V> {
    type Item = Result<(K::Owned, V::Owned)>;
    type IntoIter = MultimapRange<'tx, K, V>;

    fn into_iter(self) -> MultimapRange<'tx, K, V> {
        self.iter()
    }
}

fn cursor(top: TreeTop, (lower, upper): (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> RangeCursor {
    RangeCursor::new(top, lower.as_ref().map(|key| &key[..]), upper.as_ref().map(|key| &key[..]))
}
