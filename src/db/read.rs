//! Read transactions and their tables.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

use crate::base::TransactionId;
use crate::db::Types;
use crate::db::iter::{
    EntrySource, OwnedRange, Range, Refusal, prefix_bounds, prefix_range_bounds, range_cursor,
};
use crate::db::table_info::TableInfo;
use crate::db::write::{check_kind, check_types};
use crate::error::{Error, Result};
use crate::format::catalog::{TableEntryView, TableKind};
use crate::format::tree_root::TreeRoot;
use crate::tree::{self, RangeCursor};
use crate::txn::prefetch::Prefetched;
use crate::txn::read::SnapshotReader;
use crate::types::{EncodeKey, Encoded, Key, KeyPrefix, KeyRange, Table, Value};

/// A read transaction: one snapshot of the whole database, which does not change while it is held.
///
/// It owns its snapshot, is bound to no thread, and is `Send` and `Sync`. It ends when it is dropped. Values that are
/// read through it are slices of the file's pages, in place.
///
/// ```
/// use mapleaf::{Db, Table};
/// const HITS: Table<u64, u64> = Table::new("hits");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
///
/// let before = db.read()?;
/// db.update(|tx| tx.table(&HITS)?.insert(7, 2))?;
/// assert_eq!(before.table(&HITS)?.get(7)?, Some(1), "a snapshot does not change");
/// assert_eq!(db.read()?.table(&HITS)?.get(7)?, Some(2));
/// # Ok::<(), mapleaf::Error>(())
/// ```
///
/// What it reads cannot outlive it:
///
/// ```compile_fail
/// # use mapleaf::{Db, Table};
/// # const NAMES: Table<u64, str> = Table::new("names");
/// # let db = Db::in_memory().unwrap();
/// let rx = db.read().unwrap();
/// let name = rx.table(&NAMES).unwrap().get(7).unwrap();
/// drop(rx);
/// println!("{name:?}"); // does not compile: `name` borrows from `rx`
/// ```
#[must_use = "a snapshot ends when it is dropped"]
pub struct ReadTxn {
    pub(super) reader: SnapshotReader,
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<ReadTxn>();
    is_send_and_sync::<crate::Db>();
};

impl fmt::Debug for ReadTxn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadTxn").field("snapshot", &self.id()).finish_non_exhaustive()
    }
}

impl ReadTxn {
    #[inline]
    pub(super) fn new(reader: SnapshotReader) -> ReadTxn {
        ReadTxn { reader }
    }

    pub(super) fn reader(&self) -> &SnapshotReader {
        &self.reader
    }

    /// Returns the id of the newest transaction that this snapshot contains.
    pub fn id(&self) -> TransactionId {
        self.reader.snapshot.id
    }

    /// Opens a table for reading.
    ///
    /// # Errors
    ///
    /// [`Error::TableNotFound`] if this snapshot does not contain the table, [`Error::TableTypeMismatch`] if it was
    /// created with other types, [`Error::TableKindMismatch`] if it is a multimap table, [`Error::Corrupt`] if the
    /// catalog is damaged.
    pub fn table<K: Key + ?Sized, V: Value + ?Sized>(
        &self,
        table: &Table<K, V>,
    ) -> Result<TableRef<'_, K, V>> {
        let root = self.table_root(table)?;
        Ok(TableRef { reader: &self.reader, root, types: PhantomData })
    }

    /// Opens a table for reading, or an empty one if this snapshot does not contain it: for a reader that may start
    /// before the first writer has created the table.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::table`], except [`Error::TableNotFound`].
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// let db = Db::in_memory()?;
    /// let rx = db.read()?;
    /// assert!(rx.table(&HITS).is_err());
    /// let hits = rx.table_or_empty(&HITS)?;
    /// assert_eq!((hits.len(), hits.get(7)?, hits.range(..10).count()), (0, None, 0));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn table_or_empty<K: Key + ?Sized, V: Value + ?Sized>(
        &self,
        table: &Table<K, V>,
    ) -> Result<TableRef<'_, K, V>> {
        let root = self.table_root_or_empty(table)?;
        Ok(TableRef { reader: &self.reader, root, types: PhantomData })
    }

    /// Opens a table that owns a reference to this transaction, and so borrows from nothing.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::table`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mapleaf::{Db, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// fn all_hits(db: &Db) -> mapleaf::Result<impl Iterator<Item = mapleaf::Result<(u64, u64)>> + 'static> {
    ///     Ok(Arc::new(db.read()?).owned_table(&HITS)?.iter())
    /// }
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let hits: Result<Vec<_>, _> = all_hits(&db)?.collect();
    /// assert_eq!(hits?, [(7, 1)]);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn owned_table<K: Key + ?Sized, V: Value + ?Sized>(
        self: &Arc<ReadTxn>,
        table: &Table<K, V>,
    ) -> Result<OwnedTable<K, V>> {
        let root = self.table_root(table)?;
        Ok(OwnedTable { transaction: Arc::clone(self), root, types: PhantomData })
    }

    /// Opens a table as [`ReadTxn::owned_table`] does, or an empty one if this snapshot does not contain it.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::table_or_empty`].
    pub fn owned_table_or_empty<K: Key + ?Sized, V: Value + ?Sized>(
        self: &Arc<ReadTxn>,
        table: &Table<K, V>,
    ) -> Result<OwnedTable<K, V>> {
        let root = self.table_root_or_empty(table)?;
        Ok(OwnedTable { transaction: Arc::clone(self), root, types: PhantomData })
    }

    fn table_root_or_empty<K: Key + ?Sized, V: Value + ?Sized>(
        &self,
        table: &Table<K, V>,
    ) -> Result<TreeRoot> {
        match self.table_root(table) {
            Err(Error::TableNotFound { .. }) => Ok(TreeRoot::default()),
            found => found,
        }
    }

    fn table_root<K: Key + ?Sized, V: Value + ?Sized>(&self, table: &Table<K, V>) -> Result<TreeRoot> {
        let name = table.name();
        let entry = self.table_entry(name)?;
        check_kind(name, entry.kind, TableKind::Table)?;
        check_types(name, [K::type_name(), V::type_name()], [entry.key_type, entry.value_type])?;
        Ok(entry.root)
    }

    pub(super) fn table_entry(&self, name: &str) -> Result<TableEntryView<'_>> {
        let entry = tree::get(&self.reader, &self.reader.snapshot.catalog, name.as_bytes())?;
        TableEntryView::new(entry.ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?)
    }

    /// Returns all tables of the snapshot, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the catalog is damaged.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, str> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, "x"))?;
    /// let tables = db.read()?.tables()?;
    /// assert_eq!((tables[0].name.as_str(), tables[0].value_type.as_str()), ("hits", "str"));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn tables(&self) -> Result<Vec<TableInfo>> {
        let mut cursor = RangeCursor::new(&self.reader.snapshot.catalog, Bound::Unbounded, Bound::Unbounded);
        let mut tables = Vec::new();
        while let Some((name, entry)) = cursor.next(&self.reader)? {
            tables.push(TableInfo::decode(&name, entry, &self.reader)?);
        }
        Ok(tables)
    }
}

/// A table in a read transaction. It is `Copy`.
///
/// A read returns [`Error::Corrupt`] if it meets a damaged page, [`Error::Decode`] if the stored bytes are not of the
/// table's types, and [`Error::Forked`] in a forked child.
///
/// ```
/// use mapleaf::{Db, Table};
/// const HITS: Table<str, u64> = Table::new("hits");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| tx.table(&HITS)?.insert_many([("ant", 1), ("bee", 2), ("cat", 3)]))?;
///
/// let rx = db.read()?;
/// let hits = rx.table(&HITS)?;
/// assert_eq!(hits.get("bee")?, Some(2));
/// assert_eq!(hits.range("b"..).count(), 2);
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub struct TableRef<'tx, K: ?Sized, V: ?Sized> {
    pub(super) reader: &'tx SnapshotReader,
    pub(super) root: TreeRoot,
    pub(super) types: Types<K, V>,
}

impl<K: ?Sized, V: ?Sized> Clone for TableRef<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Copy for TableRef<'_, K, V> {}

impl<K: ?Sized, V: ?Sized> fmt::Debug for TableRef<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRef").field("entries", &self.root.entries).finish_non_exhaustive()
    }
}

impl<'tx, K: Key + ?Sized, V: Value + ?Sized> TableRef<'tx, K, V> {
    /// Returns the value of `key`, borrowed in place, or `None` if there is no entry.
    #[inline]
    pub fn get(&self, key: impl EncodeKey<K>) -> Result<Option<V::Ref<'tx>>> {
        self.reader.check_not_forked()?;
        tree::get(self.reader, &self.root, &key.encode_key())?.map(V::decode).transpose()
    }

    /// Returns the values of many keys, in the order of `keys`. Up to 16 lookups descend the tree together, so that
    /// their waits for memory overlap. On a large table this is several times as fast as repeated
    /// [`get`](TableRef::get)s.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<str, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert("ada", 1))?;
    /// let rx = db.read()?;
    /// assert_eq!(rx.table(&HITS)?.get_many(["ada", "bob"])?, [Some(1), None]);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn get_many<Q: EncodeKey<K>>(
        &self,
        keys: impl IntoIterator<Item = Q>,
    ) -> Result<Vec<Option<V::Ref<'tx>>>> {
        self.reader.check_not_forked()?;
        let keys: Vec<Q> = keys.into_iter().collect();
        let encoded: Vec<Encoded<'_>> = keys.iter().map(EncodeKey::encode_key).collect();
        let slices: Vec<&[u8]> = encoded.iter().map(|key| &**key).collect();
        let values = tree::get_many(self.reader, &self.root, &slices)?;
        values.into_iter().map(|value| value.map(V::decode).transpose()).collect()
    }

    /// Returns whether there is an entry for `key`.
    pub fn contains_key(&self, key: impl EncodeKey<K>) -> Result<bool> {
        self.reader.check_not_forked()?;
        Ok(tree::get(self.reader, &self.root, &key.encode_key())?.is_some())
    }

    /// Returns the entry with the smallest key.
    pub fn first(&self) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.iter().next().transpose()
    }

    /// Returns the entry with the greatest key.
    pub fn last(&self) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.iter().next_back().transpose()
    }

    /// Returns the entry with the smallest key in `range`. `first_in(key..)` is the entry of `key` or, if there is
    /// none, the next one.
    ///
    /// ```
    /// use std::ops::Bound;
    /// use mapleaf::{Db, Table};
    /// const PRICES: Table<u32, u64> = Table::new("prices"); // day -> price from that day on
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&PRICES)?.insert_many([(10, 500), (20, 600)]))?;
    ///
    /// let rx = db.read()?;
    /// let prices = rx.table(&PRICES)?;
    /// assert_eq!(prices.last_in(..=15)?, Some((10, 500)), "the price on day 15");
    /// assert_eq!(prices.last_in(..10)?, None);
    /// assert_eq!(prices.first_in(11..)?, Some((20, 600)), "the next change");
    /// assert_eq!(prices.first_in((Bound::Excluded(20), Bound::Unbounded))?, None);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[doc(alias = "lower_bound")]
    #[doc(alias = "ceiling")]
    #[doc(alias = "successor")]
    #[doc(alias = "get_greater_than")]
    #[doc(alias = "get_greater_than_or_equal_to")]
    #[doc(alias = "get_gt")]
    #[doc(alias = "MDB_SET_RANGE")]
    pub fn first_in(&self, range: impl KeyRange<K>) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.range(range).next().transpose()
    }

    /// Returns the entry with the greatest key in `range`. `last_in(..=key)` is the entry of `key` or, if there is
    /// none, the one before; `last_in(..key)` is the one before in any case. [`first_in`](TableRef::first_in) has an
    /// example.
    #[doc(alias = "upper_bound")]
    #[doc(alias = "floor")]
    #[doc(alias = "predecessor")]
    #[doc(alias = "last_before")]
    #[doc(alias = "get_lower_than")]
    #[doc(alias = "get_lower_than_or_equal_to")]
    #[doc(alias = "get_lt")]
    pub fn last_in(&self, range: impl KeyRange<K>) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.range(range).next_back().transpose()
    }

    /// Returns the entries whose keys are in `range`, in ascending order; `.rev()` reverses it. `range` is any range,
    /// such as `"a".."c"`, `..=7` or `..`, or a pair of bounds. A range whose start is greater than its end is empty.
    #[inline]
    pub fn range(&self, range: impl KeyRange<K>) -> Range<'tx, K, V> {
        self.over(range.encode_range())
    }

    /// Returns the entries whose keys begin with `prefix`: a text, bytes, or, if keys are tuples, leading elements.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const POSTINGS: Table<(String, u64), u64> = Table::new("postings");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&POSTINGS)?.insert(("leaf", 3), 9))?;
    /// let rx = db.read()?;
    /// let postings = rx.table(&POSTINGS)?;
    /// assert_eq!(postings.prefix(("leaf",)).count(), 1);
    /// assert_eq!(postings.prefix(("lea",)).count(), 0, "elements are whole");
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Range<'tx, K, V> {
        self.over(prefix_bounds(&prefix))
    }

    /// Returns the entries whose keys begin with `prefix` and are in `range`: for instance the next page of a list,
    /// after the last key of the page before.
    ///
    /// ```
    /// use std::ops::Bound;
    /// use mapleaf::{Db, Table};
    /// const FILES: Table<(String, String), u64> = Table::new("files"); // (owner, name) -> bytes
    ///
    /// fn page(db: &Db, owner: &str, after: Option<&str>) -> mapleaf::Result<Vec<String>> {
    ///     let start = after.map_or(Bound::Unbounded, |name| Bound::Excluded((owner, name)));
    ///     let rx = db.read()?;
    ///     let files = rx.table(&FILES)?.prefix_range((owner,), (start, Bound::Unbounded));
    ///     files.take(2).map(|entry| entry.map(|((_, name), _)| name)).collect()
    /// }
    ///
    /// let db = Db::in_memory()?;
    /// let keys = [("ada", "a"), ("ada", "b"), ("ada", "c"), ("bob", "a")];
    /// db.update(|tx| tx.table(&FILES)?.insert_many(keys.map(|key| (key, 1))))?;
    /// assert_eq!(page(&db, "ada", None)?, ["a", "b"]);
    /// assert_eq!(page(&db, "ada", Some("b"))?, ["c"]);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn prefix_range(&self, prefix: impl KeyPrefix<K>, range: impl KeyRange<K>) -> Range<'tx, K, V> {
        self.over(prefix_range_bounds(&prefix, &range))
    }

    /// Returns all entries, in ascending order.
    pub fn iter(&self) -> Range<'tx, K, V> {
        self.over((Bound::Unbounded, Bound::Unbounded))
    }

    #[inline]
    fn over(&self, bounds: (Bound<Encoded<'_>>, Bound<Encoded<'_>>)) -> Range<'tx, K, V> {
        if self.reader.check_not_forked().is_err() {
            return Range::refused(Refusal::Forked);
        }
        Range::new(EntrySource::Snapshot(self.reader), range_cursor(&self.root, bounds))
    }

    /// Returns the number of entries. It is stored, so this takes constant time.
    pub fn len(&self) -> u64 {
        self.root.entries
    }

    /// Returns whether the table has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the pages of the entries in `range` into memory, including overflow pages, so that later reads do not
    /// wait for the disk.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let rx = db.read()?;
    /// let prefetched = rx.table(&HITS)?.prefetch(..)?;
    /// assert_eq!(prefetched.pages, 1);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn prefetch(&self, range: impl KeyRange<K>) -> Result<Prefetched> {
        let (lower, upper) = range.encode_range();
        let bounds = (lower.as_ref().map(|key| &**key), upper.as_ref().map(|key| &**key));
        self.reader.prefetch(&self.root, bounds)
    }
}

/// A table that owns a reference to its read transaction, and so borrows from nothing. It returns owned values. Made
/// by [`ReadTxn::owned_table`]. Errors are those of [`TableRef`].
pub struct OwnedTable<K: ?Sized, V: ?Sized> {
    transaction: Arc<ReadTxn>,
    root: TreeRoot,
    types: Types<K, V>,
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for OwnedTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedTable").field("entries", &self.root.entries).finish_non_exhaustive()
    }
}

impl<K: ?Sized, V: ?Sized> Clone for OwnedTable<K, V> {
    fn clone(&self) -> Self {
        OwnedTable { transaction: Arc::clone(&self.transaction), root: self.root, types: PhantomData }
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> OwnedTable<K, V> {
    /// Returns the same table as a [`TableRef`], which borrows and has more methods.
    pub fn as_ref(&self) -> TableRef<'_, K, V> {
        TableRef { reader: self.transaction.reader(), root: self.root, types: PhantomData }
    }

    /// Returns a copy of the value of `key`, or `None` if there is no entry.
    pub fn get(&self, key: impl EncodeKey<K>) -> Result<Option<V::Owned>> {
        Ok(self.as_ref().get(key)?.map(V::into_owned))
    }

    /// Returns the entries whose keys are in `range`, in an iterator that keeps the transaction alive.
    pub fn range(&self, range: impl KeyRange<K>) -> OwnedRange<K, V> {
        OwnedRange::new(Arc::clone(&self.transaction), range_cursor(&self.root, range.encode_range()))
    }

    /// Returns the entries whose keys begin with `prefix`, in an iterator that keeps the transaction alive.
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> OwnedRange<K, V> {
        OwnedRange::new(Arc::clone(&self.transaction), range_cursor(&self.root, prefix_bounds(&prefix)))
    }

    /// Returns the entries whose keys begin with `prefix` and are in `range`, in an iterator that keeps the transaction
    /// alive. See [`TableRef::prefix_range`].
    pub fn prefix_range(&self, prefix: impl KeyPrefix<K>, range: impl KeyRange<K>) -> OwnedRange<K, V> {
        let bounds = prefix_range_bounds(&prefix, &range);
        OwnedRange::new(Arc::clone(&self.transaction), range_cursor(&self.root, bounds))
    }

    /// Returns all entries, in an iterator that keeps the transaction alive.
    pub fn iter(&self) -> OwnedRange<K, V> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        OwnedRange::new(Arc::clone(&self.transaction), range_cursor(&self.root, all))
    }

    /// Returns the number of entries.
    pub fn len(&self) -> u64 {
        self.root.entries
    }

    /// Returns whether the table has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
