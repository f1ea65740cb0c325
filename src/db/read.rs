//! Reading: transactions and tables.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

use crate::db::Types;
use crate::db::iter::{EntrySource, OwnedRange, Range, prefix_bounds, range_cursor};
use crate::db::write::{TableInfo, check_types};
use crate::error::{Error, Result};
use crate::format::catalog::TableEntryView;
use crate::format::tree_root::TreeRoot;
use crate::tree::{self, RangeCursor};
use crate::txn::prefetch::Prefetched;
use crate::txn::read::SnapshotReader;
use crate::types::{EncodeKey, Encoded, Key, KeyPrefix, KeyRange, Table, Value};

/// A read transaction: one snapshot of the whole database, which does not change while it is held.
///
/// It owns its snapshot, is bound to no thread, and can be shared: `Send` and `Sync`. It ends when it is
/// dropped. Values read through it are slices of the file's pages, in place.
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

    /// The transaction whose state this is.
    pub fn id(&self) -> u64 {
        self.reader.snapshot.id.0
    }

    /// Opens a table.
    ///
    /// # Errors
    ///
    /// [`Error::TableNotFound`] if it is not in this snapshot, [`Error::TableTypeMismatch`] if it was
    /// created with other types.
    pub fn table<K: Key + ?Sized, V: Value + ?Sized>(
        &self,
        table: &Table<K, V>,
    ) -> Result<TableRef<'_, K, V>> {
        let root = self.table_root(table)?;
        Ok(TableRef { reader: &self.reader, root, types: PhantomData })
    }

    /// Opens a table that keeps this transaction alive.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mapleaf::{Db, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// fn all_hits(db: &Db) -> mapleaf::Result<impl Iterator<Item = mapleaf::Result<(u64, u64)>> + 'static> {
    ///     Arc::new(db.read()?).owned_table(&HITS)?.iter()
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

    fn table_root<K: Key + ?Sized, V: Value + ?Sized>(&self, table: &Table<K, V>) -> Result<TreeRoot> {
        let name = table.name();
        let entry = self.table_entry(name)?;
        check_types::<K, V>(name, entry.key_type, entry.value_type)?;
        Ok(entry.root)
    }

    pub(super) fn table_entry(&self, name: &str) -> Result<TableEntryView<'_>> {
        let entry = tree::get(&self.reader, &self.reader.snapshot.catalog, name.as_bytes())?;
        TableEntryView::new(entry.ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?)
    }

    /// All tables, by name.
    pub fn tables(&self) -> Result<Vec<TableInfo>> {
        let mut cursor = RangeCursor::new(&self.reader.snapshot.catalog, Bound::Unbounded, Bound::Unbounded);
        let mut tables = Vec::new();
        while let Some((name, entry)) = cursor.next(&self.reader)? {
            tables.push(TableInfo::decode(&name, entry)?);
        }
        Ok(tables)
    }
}

/// A table in a read transaction. Cheap to copy.
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
    /// The value of `key`, in place.
    #[inline]
    pub fn get(&self, key: impl EncodeKey<K>) -> Result<Option<V::Ref<'tx>>> {
        self.reader.check_not_forked()?;
        tree::get(self.reader, &self.root, &key.encode_key())?.map(V::decode).transpose()
    }

    /// The values of many keys, in the order of the keys. Up to 16 lookups go down the tree together, so that the
    /// processor waits for memory once for all of them: on a large table several times as fast as as many
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

    /// Whether there is an entry for `key`.
    pub fn contains_key(&self, key: impl EncodeKey<K>) -> Result<bool> {
        self.reader.check_not_forked()?;
        Ok(tree::get(self.reader, &self.root, &key.encode_key())?.is_some())
    }

    /// The entry with the smallest key.
    pub fn first(&self) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.iter()?.next().transpose()
    }

    /// The entry with the greatest key.
    pub fn last(&self) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.iter()?.next_back().transpose()
    }

    /// The entries whose keys are in `range`, ascending; `.rev()` for descending. Anything range-like will do:
    /// `"a".."c"`, `..=7`, `..`, a pair of bounds. A range whose start lies behind its end is empty.
    #[inline]
    pub fn range(&self, range: impl KeyRange<K>) -> Result<Range<'tx, K, V>> {
        self.over(range.encode_range())
    }

    /// The entries whose keys begin with `prefix`: with some text or bytes, or in a table with tuples for keys
    /// with its leading elements.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const POSTINGS: Table<(String, u64), u64> = Table::new("postings");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&POSTINGS)?.insert(("leaf", 3), 9))?;
    /// let rx = db.read()?;
    /// let postings = rx.table(&POSTINGS)?;
    /// assert_eq!(postings.prefix(("leaf",))?.count(), 1);
    /// assert_eq!(postings.prefix(("lea",))?.count(), 0, "elements are whole");
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Result<Range<'tx, K, V>> {
        self.over(prefix_bounds(&prefix))
    }

    /// All entries, ascending.
    pub fn iter(&self) -> Result<Range<'tx, K, V>> {
        self.over((Bound::Unbounded, Bound::Unbounded))
    }

    #[inline]
    fn over(&self, bounds: (Bound<Encoded<'_>>, Bound<Encoded<'_>>)) -> Result<Range<'tx, K, V>> {
        self.reader.check_not_forked()?;
        Ok(Range::new(EntrySource::Snapshot(self.reader), range_cursor(&self.root, bounds)))
    }

    /// How many entries there are. Costs nothing: the count is kept.
    pub fn len(&self) -> u64 {
        self.root.entries
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Brings the pages of the entries in `range` into memory, so that reading them will wait for no disk. Values on
    /// overflow pages are brought in too.
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

/// A table that keeps its read transaction alive: it borrows from nothing. What it answers is owned.
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
    /// The same table, borrowed: with all that [`TableRef`] can do.
    pub fn as_ref(&self) -> TableRef<'_, K, V> {
        TableRef { reader: self.transaction.reader(), root: self.root, types: PhantomData }
    }

    /// A copy of the value of `key`.
    pub fn get(&self, key: impl EncodeKey<K>) -> Result<Option<V::Owned>> {
        Ok(self.as_ref().get(key)?.map(V::into_owned))
    }

    /// The entries whose keys are in `range`, by an iterator that keeps the transaction alive.
    pub fn range(&self, range: impl KeyRange<K>) -> Result<OwnedRange<K, V>> {
        Ok(OwnedRange::new(Arc::clone(&self.transaction), range_cursor(&self.root, range.encode_range())))
    }

    /// The entries whose keys begin with `prefix`, by an iterator that keeps the transaction alive.
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Result<OwnedRange<K, V>> {
        Ok(OwnedRange::new(Arc::clone(&self.transaction), range_cursor(&self.root, prefix_bounds(&prefix))))
    }

    /// All entries, by an iterator that keeps the transaction alive.
    pub fn iter(&self) -> Result<OwnedRange<K, V>> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        Ok(OwnedRange::new(Arc::clone(&self.transaction), range_cursor(&self.root, all)))
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.root.entries
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
