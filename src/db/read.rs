//! Reading: transactions and tables.

use std::fmt;
use std::io::Write;
use std::marker::PhantomData;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use crate::base::PageSet;
use crate::check::{PageCounts, VerifyingSource, verify_tree};
use crate::copy;
use crate::db::Types;
use crate::db::iter::{EntrySource, OwnedRange, Range, prefix_bounds, range_cursor};
use crate::db::write::{TableInfo, check_types};
use crate::error::{Error, Result};
use crate::format::table_root::{TableEntryView, TreeRoot};
use crate::tree::{self, RangeCursor};
use crate::txn::read::SnapshotReader;
use crate::txn::warm::Warmed;
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
    reader: SnapshotReader,
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

    pub(super) fn catalog_entries(&self) -> u64 {
        self.reader.snapshot.catalog.entries
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

    fn table_entry(&self, name: &str) -> Result<TableEntryView<'_>> {
        let entry = tree::get(&self.reader, &self.reader.snapshot.catalog, name.as_bytes())?;
        TableEntryView::new(entry.ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?)
    }

    /// Opens a table whatever its types are: keys and values are the bytes that are stored. For tools that look at
    /// databases of which they know nothing; [`ReadTxn::tables`] says what the bytes mean.
    ///
    /// # Errors
    ///
    /// [`Error::TableNotFound`] if it is not in this snapshot.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u16, str> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, "seven"))?;
    /// let rx = db.read()?;
    /// assert_eq!(rx.raw_table("hits")?.get(&[0, 7])?, Some(&b"seven"[..]));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn raw_table(&self, name: &str) -> Result<TableRef<'_, [u8], [u8]>> {
        let root = self.table_entry(name)?.root;
        Ok(TableRef { reader: &self.reader, root, types: PhantomData })
    }

    /// How many pages of which kind a table has, and how much of them is in use. Reads and verifies all of them.
    ///
    /// # Errors
    ///
    /// [`Error::TableNotFound`]; [`Error::Corrupt`] for the first thing that is wrong.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let pages = db.read()?.table_pages("hits")?;
    /// assert_eq!((pages.total, pages.leaves, pages.entries), (1, 1, 1));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn table_pages(&self, name: &str) -> Result<PageCounts> {
        let root = self.table_entry(name)?.root;
        let length_pages = self.reader.snapshot.length_pages;
        let source = VerifyingSource { pages: self.reader.pages(), length_pages };
        verify_tree(&source, &root, self.reader.snapshot.id, &mut PageSet::new(length_pages))
    }

    /// Copies this snapshot to a new file, while others go on writing. Answers the file's length, in bytes.
    ///
    /// The copy is a complete database, durable under its name when this returns, in which each page has been verified:
    /// damage is an error and is not copied. It is another database, with an identity of its own, and goes on from
    /// this snapshot's transaction. Its file ends with the last page that this snapshot uses; free pages below that
    /// are not copied. The kernel does the copying where it can, and shares blocks on a file system that can.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`] if the file cannot be written: with [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) if there is
    ///   one. Then nothing is left of the copy; of one that was killed, `PATH-new` is, which the next one uses.
    /// - [`Error::Corrupt`] for the first thing that is wrong with the snapshot.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.mapleaf"), folder.path().join("backup.mapleaf"));
    /// let db = Db::open(&path)?;
    /// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    ///
    /// db.read()?.copy_to(&backup)?;
    /// let copy = Db::open(&backup)?;
    /// assert_eq!(copy.read()?.table(&HITS)?.get(7)?, Some(1));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn copy_to(&self, path: impl AsRef<Path>) -> Result<u64> {
        copy::copy_to_file(&self.reader, path.as_ref())
    }

    /// As [`ReadTxn::copy_to`], to a pipe, a socket, or whatever can be written. Free pages are zeros there. Whoever
    /// receives it makes it durable: until then a crash can lose parts of it that nobody would notice.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with what the writer answered; [`Error::Corrupt`], before anything is written.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let mut bytes = Vec::new();
    /// let length = db.read()?.copy_to_writer(&mut bytes)?;
    /// assert_eq!(bytes.len() as u64, length);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn copy_to_writer(&self, writer: &mut impl Write) -> Result<u64> {
        copy::copy_to_writer(&self.reader, writer)
    }

    /// As [`ReadTxn::copy_to`], but writes every table anew in the order of its keys: pages are full, follow each
    /// other, and none is free.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::copy_to`]. What a compacting copy leaves that was killed is `PATH-compact` (and
    /// `PATH-compact-lock`), which the next one refuses to overwrite.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.mapleaf"), folder.path().join("small.mapleaf"));
    /// let db = Db::open(&path)?;
    /// db.update(|tx| (0..10_000).try_for_each(|key| tx.table(&HITS)?.insert(key, 0).map(drop)))?;
    /// db.update(|tx| tx.table(&HITS)?.delete_range(100..))?;
    ///
    /// let length = db.read()?.compact_to(&backup)?;
    /// assert_eq!(length, 4 * 4096); // two records, a leaf of the table, a leaf of the catalog
    /// assert_eq!(Db::open(&backup)?.read()?.table(&HITS)?.len(), 100);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn compact_to(&self, path: impl AsRef<Path>) -> Result<u64> {
        copy::compact_to_file(&self.reader, path.as_ref())
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
    reader: &'tx SnapshotReader,
    root: TreeRoot,
    types: Types<K, V>,
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
    pub fn first(&self) -> Result<Option<(K::Out, V::Ref<'tx>)>> {
        self.iter()?.next().transpose()
    }

    /// The entry with the greatest key.
    pub fn last(&self) -> Result<Option<(K::Out, V::Ref<'tx>)>> {
        self.iter()?.next_back().transpose()
    }

    /// The entries whose keys are in `range`, ascending; `.rev()` for descending. Anything range-like will do:
    /// `"a".."c"`, `..=7`, `..`, a pair of bounds. A range whose start lies behind its end is empty.
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
    /// let warmed = rx.table(&HITS)?.warm(..)?;
    /// assert_eq!(warmed.pages, 1);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn warm(&self, range: impl KeyRange<K>) -> Result<Warmed> {
        let (lower, upper) = range.encode_range();
        let bounds = (lower.as_ref().map(|key| &**key), upper.as_ref().map(|key| &**key));
        self.reader.warm(&self.root, bounds)
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
