//! Write transactions and their tables.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

use crate::base::TransactionId;
use crate::db::Types;
use crate::db::iter::{
    EntrySource, Range, Refusal, decode_owned, decode_owned_entry, prefix_bounds, prefix_range_bounds,
    range_cursor,
};
use crate::db::table_info::TableInfo;
use crate::db::ticket::PendingCommit;
use crate::error::{Error, Result};
use crate::format::catalog::TableKind;
use crate::tree::End;
use crate::txn::commit::Durability;
use crate::txn::open_table::OpenTable;
use crate::txn::page_file::PageFile;
use crate::txn::write::Transaction;
use crate::txn::writer_mark::WriterMark;
use crate::types::{EncodeKey, EncodeValue, Encoded, Key, KeyPrefix, KeyRange, Table, Value};

/// A write transaction. It sees its own changes; no other transaction does until it commits.
///
/// A transaction that is dropped without a commit changes nothing.
///
/// ```
/// use mapleaf::{Db, Durability, Table};
/// const USERS: Table<str, [u8]> = Table::new("users");
///
/// let db = Db::in_memory()?;
/// let tx = db.write()?;
/// {
///     let mut users = tx.table(&USERS)?;
///     assert!(users.insert("ada", b"1815")?, "it was not there");
///     assert_eq!(users.replace("ada", b"1852")?, Some(b"1815".to_vec()));
///     assert!(!users.remove("bob")?);
///     assert_eq!(users.get("ada")?, Some(&b"1852"[..]), "it sees its own changes");
/// }
/// let id = tx.commit_with(Durability::Durable)?;
/// assert_eq!(db.read()?.id(), id);
/// # Ok::<(), mapleaf::Error>(())
/// ```
///
/// Its tables, and the values that they return, cannot outlive it:
///
/// ```compile_fail
/// # use mapleaf::{Db, Table};
/// # const USERS: Table<str, [u8]> = Table::new("users");
/// # let db = Db::in_memory().unwrap();
/// let tx = db.write().unwrap();
/// let users = tx.table(&USERS).unwrap();
/// tx.commit().unwrap(); // does not compile: `users` borrows from `tx`
/// drop(users);
/// ```
/// # Threads
///
/// A write transaction stays in the thread that began it: it is not `Send`. So a thread that waits for itself is told
/// so ([`Error::WriteInProgress`]) instead of waiting for ever. [`WriteTxn::suspend`] makes of it a
/// [`SuspendedTxn`](crate::SuspendedTxn), which can be sent to another thread and goes on there.
///
/// ```compile_fail
/// # let db = mapleaf::Db::in_memory().unwrap();
/// let tx = db.write().unwrap();
/// std::thread::spawn(move || tx.commit()); // does not compile: `WriteTxn` is not `Send`
/// ```
///
/// # Async functions
///
/// Do not hold a write transaction across an `.await`. Until the future is polled again, all other writers wait, in
/// all processes; if it is never polled again, or only by a thread that waits for the writer lock, they wait for ever.
/// Because a `WriteTxn` is not `Send`, neither is such a future, and `tokio::spawn` and other functions that run
/// futures on several threads refuse to compile it. Where a future stays in one thread (`block_on`, `LocalSet`), it
/// compiles, and another task of the thread that writes meanwhile gets [`Error::WriteInProgress`].
///
/// Run the whole transaction in one piece instead, in a thread that may wait:
/// `spawn_blocking(move || db.update(|tx| ..))`.
#[must_use = "a transaction that is dropped without a commit changes nothing"]
pub struct WriteTxn {
    /// First, so that it goes before the writer lock.
    pub(super) mark: WriterMark,
    pub(crate) transaction: Transaction,
}

impl fmt::Debug for WriteTxn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteTxn").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl WriteTxn {
    pub(super) fn new(transaction: Transaction) -> WriteTxn {
        WriteTxn {
            mark: WriterMark::new(transaction.core().writer_lock_id(), transaction.core().fork),
            transaction,
        }
    }

    /// Returns the id that this transaction will have when it commits.
    pub fn id(&self) -> TransactionId {
        self.transaction.id
    }

    /// Opens a table, and creates it if there is none. Several tables can be open at once, each of them once.
    ///
    /// # Errors
    ///
    /// - [`Error::TableTypeMismatch`] if the table was created with other types.
    /// - [`Error::TableKindMismatch`] if it is a multimap table.
    /// - [`Error::TableInUse`] if it is already open in this transaction.
    /// - [`Error::TableNameTooLong`] if the name of a new table, or the names of its types together, have more than
    ///   1024 bytes.
    pub fn table<K: Key + ?Sized, V: Value + ?Sized>(
        &self,
        table: &Table<K, V>,
    ) -> Result<TableMut<'_, K, V>> {
        let name = table.name();
        let open = match self.transaction.take_table(name)? {
            Some(open) => open,
            None => {
                let (key_type, value_type) = (K::type_name().into_owned(), V::type_name().into_owned());
                self.transaction.create_table(name, TableKind::Table, key_type, value_type)?
            }
        };
        let checked = check_kind(name, open.entry.kind, TableKind::Table)
            .and_then(|()| check_types(name, [K::type_name(), V::type_name()], open.entry.type_names()));
        let table = TableMut { transaction: &self.transaction, open: Some(open), types: PhantomData };
        checked.map(|()| table)
    }

    /// Returns all tables, in the order of their names, as they are in this transaction. A table that is open at the
    /// moment has the count of entries and the depth that it had when the transaction began.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the catalog is damaged; [`Error::TransactionFailed`].
    pub fn tables(&self) -> Result<Vec<TableInfo>> {
        self.transaction.check_usable()?;
        let catalog = self.transaction.catalog.borrow();
        let nodes = catalog.nodes(&self.transaction.core().pages);
        let mut cursor = catalog.range(Bound::Unbounded, Bound::Unbounded);
        let mut tables = Vec::new();
        while let Some((name, entry)) = cursor.next(nodes)? {
            let mut info = TableInfo::decode(&name, entry, nodes)?;
            if let Some((entries, depth)) = self.transaction.size_of(&info.name)? {
                (info.entries, info.depth) = (entries, depth);
            }
            tables.push(info);
        }
        Ok(tables)
    }

    /// Removes a table with all its entries. Returns whether there was a table.
    ///
    /// # Errors
    ///
    /// [`Error::TableInUse`] if the table is open.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// db.update(|tx| {
    ///     assert!(tx.drop_table("hits")?);
    ///     assert!(!tx.drop_table("hits")?);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn drop_table(&self, name: &str) -> Result<bool> {
        self.transaction.drop_table(name)
    }

    /// Renames a table.
    ///
    /// # Errors
    ///
    /// [`Error::TableNotFound`], [`Error::TableExists`] if the new name is taken, [`Error::TableInUse`] if the table
    /// is open, [`Error::TableNameTooLong`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// db.update(|tx| tx.rename_table("hits", "visits"))?;
    /// assert_eq!(db.read()?.tables()?[0].name, "visits");
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn rename_table(&self, from: &str, to: &str) -> Result<()> {
        self.transaction.rename_table(from, to)
    }

    /// Commits durably: when this returns, the transaction and all earlier ones survive loss of power. Returns the
    /// transaction's id, or the id of the transaction before it if it changed nothing.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`], for instance if there is no space, and [`Error::Full`]: pages could not be stored. The
    ///   transaction has not happened, and the database remains usable.
    /// - [`Error::Io`] from the sync: it is unknown whether the transaction will survive. Later writes return
    ///   [`Error::Poisoned`] until the database is opened again.
    /// - [`Error::TransactionFailed`]: an earlier change in the transaction failed.
    pub fn commit(self) -> Result<TransactionId> {
        self.commit_with(Durability::Durable)
    }

    /// Commits with the given durability, and returns the transaction's id. See [`Durability`].
    ///
    /// # Errors
    ///
    /// Those of [`WriteTxn::commit`].
    ///
    /// ```
    /// # use mapleaf::{Db, Durability, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// let tx = db.write()?;
    /// tx.table(&HITS)?.insert(7, 1)?;
    /// let id = tx.commit_with(Durability::Lazy)?;
    /// assert_eq!(db.read()?.id(), id); // it is visible at once
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn commit_with(self, durability: Durability) -> Result<TransactionId> {
        // While it waits for the sync, the thread does not hold the writer lock.
        drop(self.mark);
        self.transaction.commit(durability)
    }

    /// Commits, and returns before the transaction is durable, so that the next one can begin meanwhile. The
    /// transaction becomes visible when it is durable: soon by itself, or at the latest when
    /// [`PendingCommit::wait`] returns. Consecutive deferred commits share barriers. Dropping the [`PendingCommit`]
    /// does not undo the commit.
    ///
    /// # Errors
    ///
    /// Those of [`WriteTxn::commit`], except those of the sync, which [`PendingCommit::wait`] returns.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// let db = Db::in_memory()?;
    /// let mut last = None;
    /// for hit in 0..100 {
    ///     let tx = db.write()?;
    ///     tx.table(&HITS)?.insert(hit, 1)?;
    ///     last = Some(tx.commit_deferred()?);
    /// }
    /// last.unwrap().wait()?; // the last one is durable, and so all of them are
    /// assert_eq!(db.read()?.table(&HITS)?.len(), 100);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn commit_deferred(self) -> Result<PendingCommit> {
        let handle = Arc::clone(&self.transaction.handle);
        handle.owner.start_helper()?;
        drop(self.mark);
        let id = self.transaction.publish(Durability::Durable)?;
        handle.core.sync.announce_work();
        handle.owner.checkpoint_if_due();
        Ok(PendingCommit::new(handle, id))
    }

    /// Discards all changes. Dropping the transaction does the same.
    pub fn abort(self) {}
}

/// Returns an error if a table is opened as one of another kind.
pub(super) fn check_kind(name: &str, found: TableKind, requested: TableKind) -> Result<()> {
    if found == requested {
        return Ok(());
    }
    Err(Error::TableKindMismatch { name: name.to_owned(), is_multimap: found == TableKind::Multimap })
}

/// Returns an error if a table is opened with other types of keys and values than it was created with.
pub(super) fn check_types(name: &str, requested: [Cow<'_, str>; 2], found: [&str; 2]) -> Result<()> {
    if requested == found {
        return Ok(());
    }
    Err(Error::TableTypeMismatch {
        name: name.to_owned(),
        requested: requested.join(" to "),
        found: found.join(" to "),
    })
}

/// A table in a write transaction. Reads see what the transaction has written.
///
/// Some errors change nothing, and the transaction goes on: [`Error::KeyTooLong`], [`Error::ValueTooLarge`],
/// [`Error::OutOfMemory`], [`Error::Encode`], and [`Error::Decode`] of an old value. Any other error of a change (no
/// space, damage), or a panic in one, may leave the change incomplete. Every later call then returns
/// [`Error::TransactionFailed`], and the transaction can only be aborted, or go back to a savepoint
/// ([`WriteTxn::rollback_to`]).
///
/// ```
/// use mapleaf::{Db, Table};
/// const HITS: Table<str, u64> = Table::new("hits");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut hits = tx.table(&HITS)?;
///     hits.insert("home", 1)?;
///     let seen = hits.get("home")?.unwrap_or(0);
///     hits.insert("home", seen + 1)?;
///     Ok(())
/// })?;
/// assert_eq!(db.read()?.table(&HITS)?.get("home")?, Some(2));
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub struct TableMut<'tx, K: Key + ?Sized, V: Value + ?Sized> {
    pub(super) transaction: &'tx Transaction,
    /// `Some` until the struct is dropped.
    pub(super) open: Option<Box<OpenTable>>,
    pub(super) types: Types<K, V>,
}

impl<K: Key + ?Sized, V: Value + ?Sized> Drop for TableMut<'_, K, V> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.transaction.return_table(open);
        }
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> fmt::Debug for TableMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableMut").field("entries", &self.len()).finish_non_exhaustive()
    }
}

impl<'tx, K: Key + ?Sized, V: Value + ?Sized> TableMut<'tx, K, V> {
    pub(super) fn open(&self) -> &OpenTable {
        self.open.as_ref().expect("the table is here until it is dropped")
    }

    pub(super) fn pages(&self) -> &'tx PageFile {
        &self.transaction.core().pages
    }

    pub(super) fn open_mut(&mut self) -> &mut OpenTable {
        self.open.as_mut().expect("the table is here until it is dropped")
    }

    // ---- reading ----

    /// Returns the value of `key`, borrowed in place, or `None` if there is no entry.
    #[inline]
    pub fn get(&self, key: impl EncodeKey<K>) -> Result<Option<V::Ref<'_>>> {
        self.transaction.check_usable()?;
        self.open().tree.get(self.pages(), &key.encode_key())?.map(V::decode).transpose()
    }

    /// Returns the values of many keys, in the order of `keys`. See
    /// [`TableRef::get_many`](crate::TableRef::get_many).
    pub fn get_many<Q: EncodeKey<K>>(
        &self,
        keys: impl IntoIterator<Item = Q>,
    ) -> Result<Vec<Option<V::Ref<'_>>>> {
        self.transaction.check_usable()?;
        let keys: Vec<Q> = keys.into_iter().collect();
        let encoded: Vec<Encoded<'_>> = keys.iter().map(EncodeKey::encode_key).collect();
        let slices: Vec<&[u8]> = encoded.iter().map(|key| &**key).collect();
        let values = self.open().tree.get_many(self.pages(), &slices)?;
        values.into_iter().map(|value| value.map(V::decode).transpose()).collect()
    }

    /// Returns whether there is an entry for `key`.
    pub fn contains_key(&self, key: impl EncodeKey<K>) -> Result<bool> {
        self.transaction.check_usable()?;
        Ok(self.open().tree.get(self.pages(), &key.encode_key())?.is_some())
    }

    /// Returns the entry with the smallest key.
    pub fn first(&self) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.iter().next().transpose()
    }

    /// Returns the entry with the greatest key.
    pub fn last(&self) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.iter().next_back().transpose()
    }

    /// Returns the entry with the smallest key in `range`. See [`TableRef::first_in`](crate::TableRef::first_in).
    pub fn first_in(&self, range: impl KeyRange<K>) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.range(range).next().transpose()
    }

    /// Returns the entry with the greatest key in `range`. See [`TableRef::last_in`](crate::TableRef::last_in).
    pub fn last_in(&self, range: impl KeyRange<K>) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.range(range).next_back().transpose()
    }

    /// Returns the entries whose keys are in `range`. See [`TableRef::range`](crate::TableRef::range).
    pub fn range(&self, range: impl KeyRange<K>) -> Range<'_, K, V> {
        self.over(range.encode_range())
    }

    /// Returns the entries whose keys begin with `prefix`. See [`TableRef::prefix`](crate::TableRef::prefix).
    pub fn prefix(&self, prefix: impl KeyPrefix<K>) -> Range<'_, K, V> {
        self.over(prefix_bounds(&prefix))
    }

    /// Returns the entries whose keys begin with `prefix` and are in `range`. See
    /// [`TableRef::prefix_range`](crate::TableRef::prefix_range).
    pub fn prefix_range(&self, prefix: impl KeyPrefix<K>, range: impl KeyRange<K>) -> Range<'_, K, V> {
        self.over(prefix_range_bounds(&prefix, &range))
    }

    /// Returns all entries, in ascending order.
    pub fn iter(&self) -> Range<'_, K, V> {
        self.over((Bound::Unbounded, Bound::Unbounded))
    }

    fn over(&self, bounds: (Bound<Encoded<'_>>, Bound<Encoded<'_>>)) -> Range<'_, K, V> {
        match self.transaction.check_usable() {
            Ok(()) => {}
            Err(Error::Forked) => return Range::refused(Refusal::Forked),
            Err(_) => return Range::refused(Refusal::TransactionFailed),
        }
        let tree = &self.open().tree;
        let source = EntrySource::Transaction(tree.nodes(self.pages()));
        Range::new(source, range_cursor(tree.top(), bounds))
    }

    /// Returns the number of entries. It is stored, so this takes constant time.
    pub fn len(&self) -> u64 {
        self.open().tree.len()
    }

    /// Returns whether the table has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // ---- writing ----

    /// Inserts an entry, replacing any existing value. Returns `true` if the key was new.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`] and [`Error::ValueTooLarge`] change nothing, and neither does a lack of space that is
    /// noticed before the insertion begins. After any other error, the transaction can only be aborted.
    pub fn insert(&mut self, key: impl EncodeKey<K>, value: impl EncodeValue<V>) -> Result<bool> {
        let value = value.encode_value()?;
        self.insert_bytes(&key.encode_key(), &value)
    }

    fn insert_bytes(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.transaction.insert(self.open_mut(), key, value)
    }

    /// Inserts an entry, and returns the value that it replaces, if any.
    ///
    /// # Errors
    /// Those of [`insert`](TableMut::insert). If the old value cannot be decoded ([`Error::Decode`]), it remains, and
    /// the transaction goes on.
    pub fn replace(
        &mut self,
        key: impl EncodeKey<K>,
        value: impl EncodeValue<V>,
    ) -> Result<Option<V::Owned>> {
        let (key, value) = (key.encode_key(), value.encode_value()?);
        let old = self.owned_value(&key)?;
        self.insert_bytes(&key, &value)?;
        Ok(old)
    }

    fn owned_value(&self, key: &[u8]) -> Result<Option<V::Owned>> {
        self.transaction.check_usable()?;
        let value = self.open().tree.get(self.pages(), key)?;
        value.map(decode_owned::<V>).transpose()
    }

    /// Removes the entry of `key`. Returns `true` if there was one.
    pub fn remove(&mut self, key: impl EncodeKey<K>) -> Result<bool> {
        let key = key.encode_key();
        self.transaction.remove(self.open_mut(), &key)
    }

    /// Removes the entry of `key`, and returns its value, if there was one.
    ///
    /// # Errors
    ///
    /// If the value cannot be decoded ([`Error::Decode`]), the entry remains, and the transaction goes on.
    pub fn take(&mut self, key: impl EncodeKey<K>) -> Result<Option<V::Owned>> {
        let key = key.encode_key();
        let old = self.owned_value(&key)?;
        if old.is_some() {
            self.transaction.remove(self.open_mut(), &key)?;
        }
        Ok(old)
    }

    /// Removes and returns the entry with the smallest key.
    ///
    /// # Errors
    ///
    /// If the entry cannot be decoded ([`Error::Decode`]), it remains, and the transaction goes on. A
    /// [raw table](crate::admin::raw_table_mut) can remove it.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const QUEUE: Table<u64, str> = Table::new("queue");
    /// # let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut queue = tx.table(&QUEUE)?;
    ///     queue.insert(1, "first")?;
    ///     queue.insert(2, "second")?;
    ///     assert_eq!(queue.pop_first()?, Some((1, "first".to_string())));
    ///     assert_eq!(queue.pop_last()?, Some((2, "second".to_string())));
    ///     assert_eq!(queue.pop_last()?, None);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn pop_first(&mut self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.pop(End::Front)
    }

    /// Removes and returns the entry with the greatest key.
    ///
    /// # Errors
    ///
    /// Those of [`pop_first`](TableMut::pop_first).
    pub fn pop_last(&mut self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.pop(End::Back)
    }

    fn pop(&mut self, end: End) -> Result<Option<(K::Owned, V::Owned)>> {
        self.transaction.check_usable()?;
        let Some((key, value)) = self.open().tree.outermost(self.pages(), end)? else { return Ok(None) };
        let entry = decode_owned_entry::<K, V>(key.clone(), value)?;
        self.transaction.remove_outermost(self.open_mut(), end, &key)?;
        Ok(Some(entry))
    }
}
