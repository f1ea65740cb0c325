//! Cursors: a place in a table that is moved, read, and, in a write transaction, changed.
//!
//! A cursor stands *on an entry*, as LMDB's does, or in one of the places that have none: before the first entry, after
//! the last, or where an entry was that it removed or did not find. std's unstable `btree_map::Cursor` stands in a gap
//! instead, between two entries. For a store the entry is the better place: what programs that come from LMDB do at a
//! cursor (read what is here, replace it, delete it and go on) names one entry, and a gap would need each of these
//! twice, for the entry before and the one after. What std's form adds is kept: removing leaves the cursor in the gap,
//! and [`CursorMut::insert_here`] inserts only what belongs beside the cursor.
//!
//! Invariants:
//! - A movement that returns an error has not moved the cursor.
//! - A [`CursorMut`] borrows its table, so every change while it lives is made through it. After a change it finds its
//!   place again by the key of its entry, from the root: no path outlives a change of the tree.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;

use crate::base::KeyBuf;
use crate::db::iter::{EntrySource, Refusal, decode_entry, decode_owned_entry};
use crate::db::read::TableRef;
use crate::db::write::TableMut;
use crate::db::{FoundEntry, Types};
use crate::error::{Error, Result, corrupt};
use crate::tree::nodes::TreeTop;
use crate::tree::{EntryCursor, Movement, Nodes};
use crate::txn::open_table::OpenTable;
use crate::txn::write::Transaction;
use crate::types::{EncodeKey, EncodeValue, Encoded, Key, KeyBound, Value, encode_end, encode_start};

/// A cursor that reads: [`TableRef::cursor`] makes it, and [`TableMut::cursor`].
///
/// It begins before the first entry. Each movement returns the entry to which it leads, on which the cursor then
/// stands, or `None` if there is no such entry.
///
/// A step costs 15 to 20 times as much as one of a [`Range`](crate::Range), which is made for long ways in one
/// direction: about as much as a lookup. A cursor is for ways that turn, jump and look back.
///
/// ```
/// use mapleaf::{Db, Table};
/// const PRICES: Table<u32, u64> = Table::new("prices"); // day -> price from that day on
///
/// let db = Db::in_memory()?;
/// db.update(|tx| tx.table(&PRICES)?.insert_many([(10, 500), (20, 600), (30, 550)]))?;
///
/// let rx = db.read()?;
/// let mut cursor = rx.table(&PRICES)?.cursor();
/// assert_eq!(cursor.seek(15)?, Some((20, 600)));
/// assert_eq!(cursor.previous()?, Some((10, 500)));
/// assert_eq!(cursor.previous()?, None, "it stands before the first entry now");
/// assert_eq!(cursor.next()?, Some((10, 500)));
/// assert_eq!(cursor.current()?, Some((10, 500)));
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[doc(alias = "MDB_cursor")]
pub struct Cursor<'a, K: ?Sized, V: ?Sized> {
    source: EntrySource<'a>,
    top: TreeTop,
    cursor: EntryCursor,
    types: Types<K, V>,
}

/// A cursor that reads and changes: [`TableMut::cursor_mut`] makes it.
///
/// It moves as a [`Cursor`] does, and sees its own changes. After a change, its next movement descends the tree from
/// the root; otherwise it steps.
///
/// ```
/// use mapleaf::{Db, Table};
/// const STOCK: Table<str, u64> = Table::new("stock");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut stock = tx.table(&STOCK)?;
///     stock.insert_many([("apples", 3), ("pears", 0), ("plums", 7)])?;
///     let mut cursor = stock.cursor_mut();
///     while let Some((_, count)) = cursor.next()? {
///         match count {
///             0 => cursor.remove()?, // the next step goes to the entry after it
///             _ => cursor.replace(count * 10)?,
///         };
///     }
///     assert_eq!((stock.len(), stock.get("plums")?), (2, Some(70)));
///     Ok(())
/// })?;
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[doc(alias = "MDB_cursor")]
pub struct CursorMut<'a, K: ?Sized, V: ?Sized> {
    transaction: &'a Transaction,
    open: &'a mut OpenTable,
    cursor: EntryCursor,
    types: Types<K, V>,
}

impl<K: ?Sized, V: ?Sized> Clone for Cursor<'_, K, V> {
    fn clone(&self) -> Self {
        Cursor { source: self.source, top: self.top, cursor: self.cursor.clone(), types: PhantomData }
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Cursor<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("key", &self.cursor.key()).finish_non_exhaustive()
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for CursorMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CursorMut").field("key", &self.cursor.key()).finish_non_exhaustive()
    }
}

/// Moves a cursor, unless the entry to which that leads cannot be read or decoded.
fn go<'a, K: Key + ?Sized, V: Value + ?Sized>(
    cursor: &mut EntryCursor,
    nodes: impl Nodes<'a>,
    top: TreeTop,
    movement: Movement<'_>,
) -> Result<Option<FoundEntry<'a, K, V>>> {
    let mut landing = cursor.find(nodes, top, movement)?;
    let entry = landing.take_entry().map(|(key, value)| decode_entry::<K, V>(key, value)).transpose()?;
    cursor.land(landing);
    Ok(entry)
}

/// The movement to the first key at `start` or after it. Beyond all keys there is nothing, as before all of them.
fn to_start<'k>(start: &'k Option<Bound<Encoded<'_>>>) -> Movement<'k> {
    match start {
        Some(start) => Movement::Seek(start.as_ref().map(|key| &**key)),
        None => Movement::End,
    }
}

impl<'a, K: Key + ?Sized, V: Value + ?Sized> Cursor<'a, K, V> {
    fn go(&mut self, movement: Movement<'_>) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        if let EntrySource::Refused(refusal) = self.source {
            return Err(refusal.into());
        }
        go::<K, V>(&mut self.cursor, self.source, self.top, movement)
    }

    /// Goes to the entry with the smallest key.
    ///
    /// # Errors
    ///
    /// Those of [`TableRef`], as for all movements. The cursor has then not moved.
    #[doc(alias = "MDB_FIRST")]
    pub fn first(&mut self) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        self.go(Movement::First)
    }

    /// Goes to the entry with the greatest key.
    ///
    /// # Errors
    ///
    /// Those of [`first`](Cursor::first).
    #[doc(alias = "MDB_LAST")]
    pub fn last(&mut self) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        self.go(Movement::Last)
    }

    /// Goes to the next entry. After the last one it stands after all entries, and remains there.
    ///
    /// # Errors
    ///
    /// Those of [`first`](Cursor::first).
    #[doc(alias = "MDB_NEXT")]
    #[allow(clippy::should_implement_trait, reason = "an iterator goes in one direction only")]
    pub fn next(&mut self) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        self.go(Movement::Next)
    }

    /// Goes to the entry before. Before the first one it stands before all entries, and remains there.
    ///
    /// # Errors
    ///
    /// Those of [`first`](Cursor::first).
    #[doc(alias = "MDB_PREV")]
    pub fn previous(&mut self) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        self.go(Movement::Previous)
    }

    /// Returns the entry on which the cursor stands, or `None` if it stands on none.
    ///
    /// # Errors
    ///
    /// Those of [`first`](Cursor::first).
    #[doc(alias = "MDB_GET_CURRENT")]
    pub fn current(&mut self) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        self.go(Movement::Stay)
    }

    /// Goes to the first entry whose key is `key` or greater. If keys are tuples, `key` may be the first elements of
    /// one. If there is no such entry, the cursor stands after all entries.
    ///
    /// # Errors
    ///
    /// Those of [`first`](Cursor::first).
    #[doc(alias = "MDB_SET_RANGE")]
    #[doc(alias = "lower_bound")]
    pub fn seek(&mut self, key: impl KeyBound<K>) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        self.go(to_start(&encode_start(Bound::Included(&key))))
    }

    /// Goes to the first entry whose key is greater than `key`. Otherwise as [`seek`](Cursor::seek).
    ///
    /// # Errors
    ///
    /// Those of [`first`](Cursor::first).
    #[doc(alias = "MDBX_SET_UPPERBOUND")]
    #[doc(alias = "upper_bound")]
    pub fn seek_after(&mut self, key: impl KeyBound<K>) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        self.go(to_start(&encode_start(Bound::Excluded(&key))))
    }

    /// Goes to the last entry whose key is less than `key`. If there is none, the cursor stands before all entries.
    ///
    /// # Errors
    ///
    /// Those of [`first`](Cursor::first).
    pub fn seek_before(&mut self, key: impl KeyBound<K>) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        self.go(Movement::SeekBack(encode_end(Bound::Excluded(&key)).as_ref().map(|key| &**key)))
    }

    /// Goes to the entry of `key`. If there is none, the cursor stands where it would be: [`next`](Cursor::next) is the
    /// entry after that place, and [`previous`](Cursor::previous) the one before.
    ///
    /// # Errors
    ///
    /// Those of [`first`](Cursor::first).
    #[doc(alias = "MDB_SET_KEY")]
    pub fn seek_exact(&mut self, key: impl EncodeKey<K>) -> Result<Option<(K::Owned, V::Ref<'a>)>> {
        self.go(Movement::Exact(&key.encode_key()))
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> CursorMut<'_, K, V> {
    fn go(&mut self, movement: Movement<'_>) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.transaction.check_usable()?;
        let tree = &self.open.tree;
        go::<K, V>(&mut self.cursor, tree.nodes(&self.transaction.core().pages), tree.top(), movement)
    }

    /// Goes to the entry with the smallest key.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::get`], as for all movements. The cursor has then not moved.
    #[doc(alias = "MDB_FIRST")]
    pub fn first(&mut self) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.go(Movement::First)
    }

    /// Goes to the entry with the greatest key.
    ///
    /// # Errors
    ///
    /// Those of [`first`](CursorMut::first).
    #[doc(alias = "MDB_LAST")]
    pub fn last(&mut self) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.go(Movement::Last)
    }

    /// Goes to the next entry. See [`Cursor::next`].
    ///
    /// # Errors
    ///
    /// Those of [`first`](CursorMut::first).
    #[doc(alias = "MDB_NEXT")]
    #[allow(clippy::should_implement_trait, reason = "an iterator goes in one direction only")]
    pub fn next(&mut self) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.go(Movement::Next)
    }

    /// Goes to the entry before. See [`Cursor::previous`].
    ///
    /// # Errors
    ///
    /// Those of [`first`](CursorMut::first).
    #[doc(alias = "MDB_PREV")]
    pub fn previous(&mut self) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.go(Movement::Previous)
    }

    /// Returns the entry on which the cursor stands, or `None` if it stands on none.
    ///
    /// # Errors
    ///
    /// Those of [`first`](CursorMut::first).
    #[doc(alias = "MDB_GET_CURRENT")]
    pub fn current(&mut self) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.go(Movement::Stay)
    }

    /// Goes to the first entry whose key is `key` or greater. See [`Cursor::seek`].
    ///
    /// # Errors
    ///
    /// Those of [`first`](CursorMut::first).
    #[doc(alias = "MDB_SET_RANGE")]
    pub fn seek(&mut self, key: impl KeyBound<K>) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.go(to_start(&encode_start(Bound::Included(&key))))
    }

    /// Goes to the first entry whose key is greater than `key`. See [`Cursor::seek_after`].
    ///
    /// # Errors
    ///
    /// Those of [`first`](CursorMut::first).
    pub fn seek_after(&mut self, key: impl KeyBound<K>) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.go(to_start(&encode_start(Bound::Excluded(&key))))
    }

    /// Goes to the last entry whose key is less than `key`. See [`Cursor::seek_before`].
    ///
    /// # Errors
    ///
    /// Those of [`first`](CursorMut::first).
    pub fn seek_before(&mut self, key: impl KeyBound<K>) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.go(Movement::SeekBack(encode_end(Bound::Excluded(&key)).as_ref().map(|key| &**key)))
    }

    /// Goes to the entry of `key`, or where it would be. See [`Cursor::seek_exact`].
    ///
    /// # Errors
    ///
    /// Those of [`first`](CursorMut::first).
    #[doc(alias = "MDB_SET_KEY")]
    pub fn seek_exact(&mut self, key: impl EncodeKey<K>) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.go(Movement::Exact(&key.encode_key()))
    }

    /// Replaces the value of the entry on which the cursor stands. Returns `false`, and changes nothing, if it stands
    /// on none.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`].
    #[doc(alias = "MDB_CURRENT")]
    pub fn replace(&mut self, value: impl EncodeValue<V>) -> Result<bool> {
        self.transaction.check_usable()?;
        let Some(key) = self.cursor.key().cloned() else { return Ok(false) };
        self.put(&key, value).map(|_| true)
    }

    /// Removes the entry on which the cursor stands. Returns `false` if it stands on none.
    ///
    /// The cursor then stands where the entry was: [`next`](CursorMut::next) goes to the entry after it, and
    /// [`previous`](CursorMut::previous) to the one before.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::remove`].
    #[doc(alias = "mdb_cursor_del")]
    pub fn remove(&mut self) -> Result<bool> {
        self.transaction.check_usable()?;
        let Some(key) = self.cursor.key().cloned() else { return Ok(false) };
        self.cursor.forget_path(); // also of a change that fails: it may have copied pages
        if !self.transaction.remove(self.open, &key)? {
            // What was found once is found again, unless keys are out of order.
            return Err(corrupt(None, "order of the keys", "keys that are found", "one that is not"));
        }
        self.cursor.forget_entry();
        Ok(true)
    }

    /// Removes the entry on which the cursor stands, as [`remove`](CursorMut::remove) does, and returns it.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::take`].
    pub fn take(&mut self) -> Result<Option<(K::Owned, V::Owned)>> {
        self.transaction.check_usable()?;
        let tree = &self.open.tree;
        let nodes = tree.nodes(&self.transaction.core().pages);
        let Some((key, value)) = self.cursor.find(nodes, tree.top(), Movement::Stay)?.take_entry() else {
            return Ok(None);
        };
        let entry = decode_owned_entry::<K, V>(key, value)?;
        self.remove()?;
        Ok(Some(entry))
    }

    /// Inserts an entry anywhere in the table, replacing any existing value, and goes to it. Returns `true` if the key
    /// was new.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`]. The cursor has then not moved.
    #[doc(alias = "mdb_cursor_put")]
    pub fn insert(&mut self, key: impl EncodeKey<K>, value: impl EncodeValue<V>) -> Result<bool> {
        let key = key.encode_key();
        let is_new = self.put(&key, value)?;
        self.cursor.stand_on(&key);
        Ok(is_new)
    }

    /// Inserts an entry beside the place where the cursor stands, and goes to it: its key must be greater than that of
    /// the entry before, less than that of the entry after, and, if the cursor stands on an entry, other than that
    /// one's.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`], and [`Error::KeyOutOfOrder`] if the key does not belong there. Then nothing has
    /// changed, and the cursor has not moved.
    ///
    /// ```
    /// use mapleaf::{Db, Error, Table};
    /// const LINES: Table<u64, str> = Table::new("lines");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut lines = tx.table(&LINES)?;
    ///     lines.insert_many([(10, "first"), (20, "second")])?;
    ///     let mut cursor = lines.cursor_mut();
    ///     cursor.seek(20)?;
    ///     cursor.insert_here(15, "between")?;
    ///     assert_eq!(cursor.next()?, Some((20, "second")));
    ///     let refused = cursor.insert_here(5, "not here");
    ///     assert!(matches!(refused, Err(Error::KeyOutOfOrder { .. })));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[doc(alias = "insert_before")]
    #[doc(alias = "insert_after")]
    pub fn insert_here(&mut self, key: impl EncodeKey<K>, value: impl EncodeValue<V>) -> Result<()> {
        self.transaction.check_usable()?;
        let key = key.encode_key();
        let before = self.key_at(Movement::Previous)?;
        let after = self.key_at(Movement::Next)?;
        let is_beside = before.is_none_or(|before| *before < *key)
            && after.is_none_or(|after| *key < *after)
            && self.cursor.key().is_none_or(|current| **current != *key);
        if !is_beside {
            return Err(Error::KeyOutOfOrder { place: "beside the cursor" });
        }
        self.put(&key, value)?;
        self.cursor.stand_on(&key);
        Ok(())
    }

    /// The key to which a movement would lead.
    fn key_at(&self, movement: Movement<'_>) -> Result<Option<KeyBuf>> {
        let tree = &self.open.tree;
        let nodes = tree.nodes(&self.transaction.core().pages);
        Ok(self.cursor.find(nodes, tree.top(), movement)?.take_entry().map(|(key, _)| key))
    }

    fn put(&mut self, key: &[u8], value: impl EncodeValue<V>) -> Result<bool> {
        let value = value.encode_value()?;
        self.cursor.forget_path(); // also of a change that fails
        self.transaction.insert(self.open, key, &value)
    }
}

impl<'tx, K: Key + ?Sized, V: Value + ?Sized> TableRef<'tx, K, V> {
    /// Returns a cursor, which stands before the first entry.
    #[doc(alias = "mdb_cursor_open")]
    pub fn cursor(&self) -> Cursor<'tx, K, V> {
        let source = match self.reader.check_not_forked() {
            Ok(()) => EntrySource::Snapshot(self.reader),
            Err(_) => EntrySource::Refused(Refusal::Forked),
        };
        Cursor { source, top: (&self.root).into(), cursor: EntryCursor::new(), types: PhantomData }
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> TableMut<'_, K, V> {
    /// Returns a cursor that reads, and stands before the first entry.
    pub fn cursor(&self) -> Cursor<'_, K, V> {
        let tree = &self.open().tree;
        let source = match self.transaction.check_usable() {
            Ok(()) => EntrySource::Transaction(tree.nodes(self.pages())),
            Err(Error::Forked) => EntrySource::Refused(Refusal::Forked),
            Err(_) => EntrySource::Refused(Refusal::TransactionFailed),
        };
        Cursor { source, top: tree.top(), cursor: EntryCursor::new(), types: PhantomData }
    }

    /// Returns a cursor that reads and changes, and stands before the first entry.
    #[doc(alias = "mdb_cursor_open")]
    pub fn cursor_mut(&mut self) -> CursorMut<'_, K, V> {
        let (transaction, types) = (self.transaction, self.types);
        CursorMut { transaction, open: self.open_mut(), cursor: EntryCursor::new(), types }
    }
}
