//! Reading a write transaction from many threads.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;

use crate::base::TransactionId;
use crate::db::Types;
use crate::db::iter::{EntrySource, Range, Refusal, prefix_bounds, prefix_range_bounds, range_cursor};
use crate::db::multimap::MultimapRef;
use crate::db::table_info::TableInfo;
use crate::db::write::{WriteTxn, check_kind, check_types};
use crate::error::{Error, Result};
use crate::format::catalog::TableKind;
use crate::tree::multimap::pair_count;
use crate::tree::{self, RangeCursor};
use crate::txn::view::{TableView, TransactionView, TreeView};
use crate::types::{EncodeKey, Encoded, Key, KeyPrefix, KeyRange, MultimapTable, Table, Value};

/// A write transaction as it stands, for reading by any number of threads. Made by [`WriteTxn::view`].
///
/// It is `Copy`, `Send` and `Sync`. The transaction cannot change while it is used.
///
/// ```
/// use mapleaf::{Db, Table};
/// const SIZES: Table<u64, u64> = Table::new("sizes");
///
/// let db = Db::in_memory()?;
/// let mut tx = db.write()?;
/// tx.table(&SIZES)?.insert_many((0..100_000).map(|file| (file, 2 * file)))?;
///
/// let view = tx.view()?;
/// let sizes = view.table(&SIZES)?;
/// let total: u64 = std::thread::scope(|scope| {
///     let sum = |part| sizes.range(part).try_fold(0, |sum, entry| Ok::<_, mapleaf::Error>(sum + entry?.1));
///     let threads: Vec<_> = sizes.split(4)?.into_iter().map(|part| scope.spawn(move || sum(part))).collect();
///     threads.into_iter().map(|thread| thread.join().unwrap()).sum::<mapleaf::Result<u64>>()
/// })?;
/// tx.table(&SIZES)?.insert(100_000, total)?; // the view is no longer used
/// tx.commit()?;
/// # Ok::<(), mapleaf::Error>(())
/// ```
///
/// Threads that read must not write: a write transaction that they begin would wait for this one.
///
/// ```compile_fail
/// # use mapleaf::{Db, Table};
/// # const SIZES: Table<u64, u64> = Table::new("sizes");
/// # let db = Db::in_memory().unwrap();
/// let mut tx = db.write().unwrap();
/// let view = tx.view().unwrap();
/// tx.table(&SIZES).unwrap().insert(1, 1).unwrap(); // does not compile: `tx` is borrowed by `view`
/// view.table(&SIZES).unwrap();
/// ```
#[derive(Clone, Copy)]
pub struct UncommittedView<'tx> {
    id: TransactionId,
    view: TransactionView<'tx>,
}

/// A table of a write transaction, for reading by any number of threads. Made by [`UncommittedView::table`].
///
/// It is `Copy`, `Send` and `Sync`. Its methods are those of [`TableRef`](crate::TableRef), and so are their errors.
pub struct UncommittedTable<'tx, K: ?Sized, V: ?Sized> {
    view: TransactionView<'tx>,
    pub(super) tree: TreeView<'tx>,
    types: Types<K, V>,
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<UncommittedView<'_>>();
    is_send_and_sync::<UncommittedTable<'_, str, str>>();
};

impl fmt::Debug for UncommittedView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UncommittedView").field("id", &self.id).finish_non_exhaustive()
    }
}

impl WriteTxn {
    /// Returns the transaction as it stands, for reading by many threads: with scoped threads, or a pool such as
    /// rayon's. No table can be open meanwhile, and nothing can change: the compiler refuses it.
    ///
    /// # Errors
    ///
    /// [`Error::TransactionFailed`]; [`Error::TableInUse`] if an open table was leaked (`mem::forget`); those of a
    /// change, if a multimap table has changed: its values are counted now.
    pub fn view(&mut self) -> Result<UncommittedView<'_>> {
        let id = self.transaction.id;
        Ok(UncommittedView { id, view: self.transaction.view()? })
    }
}

impl<'tx> UncommittedView<'tx> {
    /// Returns the id that the transaction will have when it commits.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// Opens a table for reading. It may be open as often as you like.
    ///
    /// # Errors
    ///
    /// [`Error::TableNotFound`], [`Error::TableTypeMismatch`], [`Error::TableKindMismatch`], [`Error::Forked`];
    /// [`Error::Corrupt`] if the catalog is damaged.
    pub fn table<K: Key + ?Sized, V: Value + ?Sized>(
        &self,
        table: &Table<K, V>,
    ) -> Result<UncommittedTable<'tx, K, V>> {
        let name = table.name();
        let found = self.find(name)?;
        check_kind(name, found.kind, TableKind::Table)?;
        check_types(name, [K::type_name(), V::type_name()], found.type_names)?;
        Ok(UncommittedTable { view: self.view, tree: found.tree, types: PhantomData })
    }

    /// Opens a multimap table for reading.
    ///
    /// # Errors
    ///
    /// Those of [`UncommittedView::table`].
    pub fn multimap<K: Key + ?Sized, V: Key + ?Sized>(
        &self,
        table: &MultimapTable<K, V>,
    ) -> Result<MultimapRef<'tx, K, V>> {
        let name = table.name();
        let found = self.find(name)?;
        check_kind(name, found.kind, TableKind::Multimap)?;
        check_types(name, [K::type_name(), V::type_name()], found.type_names)?;
        Ok(MultimapRef::of_view(self.view, found.tree))
    }

    fn find(&self, name: &str) -> Result<TableView<'tx>> {
        self.view.core.check_not_forked()?;
        self.view.table(name)?.ok_or_else(|| Error::TableNotFound { name: name.to_owned() })
    }

    /// Returns all tables, in the order of their names, as they are in the transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the catalog is damaged; [`Error::Forked`].
    pub fn tables(&self) -> Result<Vec<TableInfo>> {
        self.view.core.check_not_forked()?;
        let TreeView { nodes, top, .. } = self.view.catalog();
        let mut cursor = RangeCursor::new(top, Bound::Unbounded, Bound::Unbounded);
        let mut tables = Vec::new();
        while let Some((name, entry)) = cursor.next(nodes)? {
            let mut info = TableInfo::decode(&name, entry, nodes)?;
            if let Some(TableView { tree, kind, .. }) = self.view.table(&info.name)? {
                info.depth = tree.top.depth;
                info.entries = match kind {
                    TableKind::Table => tree.entries,
                    TableKind::Multimap => pair_count(tree.nodes, tree.top, tree.entries)?,
                };
            }
            tables.push(info);
        }
        Ok(tables)
    }
}

impl<K: ?Sized, V: ?Sized> Clone for UncommittedTable<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Copy for UncommittedTable<'_, K, V> {}

impl<K: ?Sized, V: ?Sized> fmt::Debug for UncommittedTable<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UncommittedTable").field("entries", &self.tree.entries).finish_non_exhaustive()
    }
}

impl<'tx, K: Key + ?Sized, V: Value + ?Sized> UncommittedTable<'tx, K, V> {
    pub(super) fn check(&self) -> Result<()> {
        self.view.core.check_not_forked()
    }

    /// Returns the value of `key`, borrowed in place, or `None` if there is no entry.
    #[inline]
    pub fn get(&self, key: impl EncodeKey<K>) -> Result<Option<V::Ref<'tx>>> {
        self.check()?;
        tree::get(self.tree.nodes, self.tree.top, &key.encode_key())?.map(V::decode).transpose()
    }

    /// Returns the values of many keys, in the order of `keys`. See [`TableRef::get_many`](crate::TableRef::get_many).
    pub fn get_many<Q: EncodeKey<K>>(
        &self,
        keys: impl IntoIterator<Item = Q>,
    ) -> Result<Vec<Option<V::Ref<'tx>>>> {
        self.check()?;
        let keys: Vec<Q> = keys.into_iter().collect();
        let encoded: Vec<Encoded<'_>> = keys.iter().map(EncodeKey::encode_key).collect();
        let slices: Vec<&[u8]> = encoded.iter().map(|key| &**key).collect();
        let values = tree::get_many(self.tree.nodes, self.tree.top, &slices)?;
        values.into_iter().map(|value| value.map(V::decode).transpose()).collect()
    }

    /// Returns whether there is an entry for `key`.
    pub fn contains_key(&self, key: impl EncodeKey<K>) -> Result<bool> {
        self.check()?;
        Ok(tree::get(self.tree.nodes, self.tree.top, &key.encode_key())?.is_some())
    }

    /// Returns the entry with the smallest key.
    pub fn first(&self) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.iter().next().transpose()
    }

    /// Returns the entry with the greatest key.
    pub fn last(&self) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.iter().next_back().transpose()
    }

    /// Returns the entry with the smallest key in `range`. See [`TableRef::first_in`](crate::TableRef::first_in).
    pub fn first_in(&self, range: impl KeyRange<K>) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.range(range).next().transpose()
    }

    /// Returns the entry with the greatest key in `range`. See [`TableRef::last_in`](crate::TableRef::last_in).
    pub fn last_in(&self, range: impl KeyRange<K>) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.range(range).next_back().transpose()
    }

    /// Returns the entries whose keys are in `range`. See [`TableRef::range`](crate::TableRef::range).
    pub fn range(&self, range: impl KeyRange<K>) -> Range<'tx, K, V> {
        self.over(range.encode_range())
    }

    /// Returns the entries whose keys begin with `prefix`. See [`TableRef::prefix`](crate::TableRef::prefix).
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Range<'tx, K, V> {
        self.over(prefix_bounds(&prefix))
    }

    /// Returns the entries whose keys begin with `prefix` and are in `range`. See
    /// [`TableRef::prefix_range`](crate::TableRef::prefix_range).
    pub fn prefix_range(&self, prefix: impl KeyPrefix<K>, range: impl KeyRange<K>) -> Range<'tx, K, V> {
        self.over(prefix_range_bounds(&prefix, &range))
    }

    /// Returns all entries, in ascending order.
    pub fn iter(&self) -> Range<'tx, K, V> {
        self.over((Bound::Unbounded, Bound::Unbounded))
    }

    fn over(&self, bounds: (Bound<Encoded<'_>>, Bound<Encoded<'_>>)) -> Range<'tx, K, V> {
        match self.check() {
            Ok(()) => {
                Range::new(EntrySource::Transaction(self.tree.nodes), range_cursor(self.tree.top, bounds))
            }
            Err(_) => Range::refused(Refusal::Forked),
        }
    }

    /// Returns the number of entries. It is stored, so this takes constant time.
    pub fn len(&self) -> u64 {
        self.tree.entries
    }

    /// Returns whether the table has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All entries, as `iter` returns them.
impl<'tx, K: Key + ?Sized, V: Value + ?Sized> IntoIterator for &UncommittedTable<'tx, K, V> {
    type Item = Result<(K::Owned, V::Ref<'tx>)>;
    type IntoIter = Range<'tx, K, V>;

    fn into_iter(self) -> Range<'tx, K, V> {
        self.iter()
    }
}
