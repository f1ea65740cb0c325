//! The place of one key in a table, occupied or vacant; changes of a value that depend on the old one; values changed
//! in place.
//!
//! [`TableMut::entry`] searches for the key, and each change through it searches again: the second time in pages that
//! are in the processor's cache. A tree's path would have to be kept valid through the caller's code otherwise.
//!
//! Invariant: an [`OccupiedEntry`] has an entry, and a [`VacantEntry`] has none, as long as it lives: it borrows the
//! table.

use std::fmt;

use crate::base::KeyBuf;
use crate::db::Types;
use crate::db::iter::decode_owned;
use crate::db::write::TableMut;
use crate::error::{Error, Result, corrupt};
use crate::txn::open_table::OpenTable;
use crate::txn::write::Transaction;
use crate::types::{EncodeKey, EncodeValue, Key, KeyBytes, Value};

/// The place of a key in a table: what [`TableMut::entry`] returns. It is like std's `btree_map::Entry`.
#[derive(Debug)]
pub enum Entry<'a, K: ?Sized, V: ?Sized> {
    /// There is an entry.
    Occupied(OccupiedEntry<'a, K, V>),
    /// There is none.
    Vacant(VacantEntry<'a, K, V>),
}

/// The place of a key that has an entry.
pub struct OccupiedEntry<'a, K: ?Sized, V: ?Sized> {
    place: Place<'a, K, V>,
}

/// The place of a key that has no entry.
pub struct VacantEntry<'a, K: ?Sized, V: ?Sized> {
    place: Place<'a, K, V>,
}

/// A key, and the table that it belongs to.
struct Place<'a, K: ?Sized, V: ?Sized> {
    transaction: &'a Transaction,
    open: &'a mut OpenTable,
    key: KeyBuf,
    types: Types<K, V>,
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for OccupiedEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OccupiedEntry").field("key", &self.place.key).finish_non_exhaustive()
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for VacantEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VacantEntry").field("key", &self.place.key).finish_non_exhaustive()
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> Place<'_, K, V> {
    fn key(&self) -> Result<K::Owned> {
        K::decode(KeyBytes::from(self.key.clone()))
    }

    fn insert(&mut self, value: impl EncodeValue<V>) -> Result<()> {
        self.transaction.insert(self.open, &self.key, &value.encode_value()?).map(drop)
    }
}

impl<'a, K: Key + ?Sized, V: Value + ?Sized> Entry<'a, K, V> {
    /// Returns the key.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if the key was given by something whose encoding is not of the table's type.
    pub fn key(&self) -> Result<K::Owned> {
        match self {
            Entry::Occupied(entry) => entry.key(),
            Entry::Vacant(entry) => entry.key(),
        }
    }

    /// Inserts `value` if there is no entry. Returns the entry's place, with the value that was there before or is now.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const LIMITS: Table<str, u64> = Table::new("limits");
    /// # let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut limits = tx.table(&LIMITS)?;
    ///     limits.insert("ada", 50)?;
    ///     assert_eq!(limits.entry("ada")?.or_insert(10)?.get()?, 50);
    ///     assert_eq!(limits.entry("bob")?.or_insert(10)?.get()?, 10);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn or_insert(self, value: impl EncodeValue<V>) -> Result<OccupiedEntry<'a, K, V>> {
        self.or_insert_with(|| value)
    }

    /// Inserts what `value` returns if there is no entry. Otherwise does not call `value`.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`].
    pub fn or_insert_with<W: EncodeValue<V>>(
        self,
        value: impl FnOnce() -> W,
    ) -> Result<OccupiedEntry<'a, K, V>> {
        match self {
            Entry::Occupied(entry) => Ok(entry),
            Entry::Vacant(entry) => entry.insert(value()),
        }
    }

    /// Inserts the default value if there is no entry: 0, an empty text, no elements.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`].
    pub fn or_default(self) -> Result<OccupiedEntry<'a, K, V>>
    where
        V::Owned: Default + EncodeValue<V>,
    {
        self.or_insert_with(V::Owned::default)
    }

    /// Replaces the value by what `change` makes of it, if there is an entry.
    ///
    /// # Errors
    ///
    /// Those of [`OccupiedEntry::update`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const COUNTS: Table<str, u64> = Table::new("counts");
    /// # let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut counts = tx.table(&COUNTS)?;
    ///     for word in ["leaf", "tree", "leaf"] {
    ///         counts.entry(word)?.and_modify(|count| count + 1)?.or_insert(1)?;
    ///     }
    ///     assert_eq!(counts.get("leaf")?, Some(2));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn and_modify<W: EncodeValue<V>>(self, change: impl FnOnce(V::Ref<'_>) -> W) -> Result<Self> {
        match self {
            Entry::Occupied(mut entry) => {
                entry.update(change)?;
                Ok(Entry::Occupied(entry))
            }
            vacant => Ok(vacant),
        }
    }

    /// Inserts `value`, replacing any existing one.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`].
    pub fn insert_entry(self, value: impl EncodeValue<V>) -> Result<OccupiedEntry<'a, K, V>> {
        match self {
            Entry::Occupied(mut entry) => entry.insert(value).map(|()| entry),
            Entry::Vacant(entry) => entry.insert(value),
        }
    }
}

impl<'a, K: Key + ?Sized, V: Value + ?Sized> OccupiedEntry<'a, K, V> {
    /// Returns the key. See [`Entry::key`].
    ///
    /// # Errors
    ///
    /// Those of [`Entry::key`].
    pub fn key(&self) -> Result<K::Owned> {
        self.place.key()
    }

    fn bytes(&self) -> Result<&[u8]> {
        let Place { transaction, open, key, .. } = &self.place;
        transaction.check_usable()?;
        open.tree.get(&transaction.core().pages, key)?.ok_or_else(entry_is_gone)
    }

    /// Returns the value, borrowed in place.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::get`].
    pub fn get(&self) -> Result<V::Ref<'_>> {
        V::decode(self.bytes()?)
    }

    /// Returns the value, borrowed in place for as long as the table was borrowed.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::get`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table, TableMut};
    /// fn name_of<'a>(names: &'a mut TableMut<'_, u64, str>, id: u64) -> mapleaf::Result<&'a str> {
    ///     names.entry(id)?.or_insert("nobody")?.into_ref()
    /// }
    /// # const NAMES: Table<u64, str> = Table::new("names");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| Ok(assert_eq!(name_of(&mut tx.table(&NAMES)?, 7)?, "nobody")))?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn into_ref(self) -> Result<V::Ref<'a>> {
        let Place { transaction, open, key, .. } = self.place;
        let open: &'a OpenTable = open;
        transaction.check_usable()?;
        let value = open.tree.get(&transaction.core().pages, &key)?;
        V::decode(value.ok_or_else(entry_is_gone)?)
    }

    /// Replaces the value.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`].
    pub fn insert(&mut self, value: impl EncodeValue<V>) -> Result<()> {
        self.place.insert(value)
    }

    /// Replaces the value, and returns the old one.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::replace`].
    pub fn replace(&mut self, value: impl EncodeValue<V>) -> Result<V::Owned> {
        let old = decode_owned::<V>(self.bytes()?)?;
        self.place.insert(value)?;
        Ok(old)
    }

    /// Replaces the value by what `change` makes of it. A new value of the old one's length is stored in its place.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`], and [`Error::Decode`] of the old value, which then remains.
    pub fn update<W: EncodeValue<V>>(&mut self, change: impl FnOnce(V::Ref<'_>) -> W) -> Result<()> {
        let value = change(self.get()?);
        self.place.insert(value)
    }

    /// Removes the entry.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::remove`].
    pub fn remove(self) -> Result<()> {
        let Place { transaction, open, key, .. } = self.place;
        transaction.remove(open, &key).map(drop)
    }

    /// Removes the entry, and returns its value.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::take`].
    pub fn take(self) -> Result<V::Owned> {
        let value = decode_owned::<V>(self.bytes()?)?;
        self.remove()?;
        Ok(value)
    }
}

impl<'a, K: Key + ?Sized, V: Value + ?Sized> VacantEntry<'a, K, V> {
    /// Returns the key. See [`Entry::key`].
    ///
    /// # Errors
    ///
    /// Those of [`Entry::key`].
    pub fn key(&self) -> Result<K::Owned> {
        self.place.key()
    }

    /// Inserts an entry with `value`.
    ///
    /// # Errors
    ///
    /// Those of [`TableMut::insert`].
    pub fn insert(self, value: impl EncodeValue<V>) -> Result<OccupiedEntry<'a, K, V>> {
        let mut place = self.place;
        place.insert(value)?;
        Ok(OccupiedEntry { place })
    }
}

/// A search finds what the one before has found, unless the keys in a page are out of order.
#[cold]
fn entry_is_gone() -> Error {
    corrupt(None, "order of the keys", "keys that are found", "one that is not")
}

impl<K: Key + ?Sized, V: Value + ?Sized> TableMut<'_, K, V> {
    /// Returns the place of `key`, to look at its entry and then insert, change or remove it.
    ///
    /// It searches once. Each change through it searches again, in pages that were just read. For a single change
    /// [`update`](TableMut::update) is shorter, and to insert whatever was there, [`insert`](TableMut::insert) searches
    /// only once.
    ///
    /// # Errors
    ///
    /// Those of [`get`](TableMut::get).
    ///
    /// ```
    /// use mapleaf::{Db, Entry, Table};
    /// const STOCK: Table<str, u64> = Table::new("stock");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut stock = tx.table(&STOCK)?;
    ///     stock.entry("apples")?.or_insert(3)?;
    ///     // Takes one, and removes the entry with the last one.
    ///     match stock.entry("apples")? {
    ///         Entry::Occupied(entry) if entry.get()? <= 1 => entry.remove()?,
    ///         Entry::Occupied(mut entry) => entry.update(|count| count - 1)?,
    ///         Entry::Vacant(_) => {}
    ///     }
    ///     assert_eq!(stock.get("apples")?, Some(2));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[doc(alias = "MDB_NOOVERWRITE")]
    pub fn entry(&mut self, key: impl EncodeKey<K>) -> Result<Entry<'_, K, V>> {
        self.transaction.check_usable()?;
        let key = KeyBuf::from(&*key.encode_key());
        let is_there = self.open().tree.get(self.pages(), &key)?.is_some();
        let (transaction, types) = (self.transaction, self.types);
        let place = Place { transaction, open: self.open_mut(), key, types };
        Ok(match is_there {
            true => Entry::Occupied(OccupiedEntry { place }),
            false => Entry::Vacant(VacantEntry { place }),
        })
    }

    /// Replaces the value of `key` by what `change` makes of it. `change` gets `None` if there is no entry; if it
    /// returns `None`, there is none afterwards.
    ///
    /// It searches twice: for the old value, and, in pages that were just read, to change it. A new value of the old
    /// one's length is stored in its place.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](TableMut::insert) and [`remove`](TableMut::remove). If the old value cannot be decoded
    /// ([`Error::Decode`]), it remains, and the transaction goes on.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const BALANCES: Table<str, u64> = Table::new("balances");
    /// # let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut balances = tx.table(&BALANCES)?;
    ///     balances.update("ada", |old| Some(old.unwrap_or(0) + 10))?;
    ///     balances.update("ada", |old| old.map(|balance| balance - 4))?;
    ///     assert_eq!(balances.get("ada")?, Some(6));
    ///     balances.update("ada", |old| old.filter(|balance| *balance > 6))?;
    ///     assert_eq!(balances.get("ada")?, None);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[doc(alias = "upsert")]
    #[doc(alias = "merge")]
    pub fn update<W: EncodeValue<V>>(
        &mut self,
        key: impl EncodeKey<K>,
        change: impl FnOnce(Option<V::Ref<'_>>) -> Option<W>,
    ) -> Result<()> {
        self.try_update(key, |old| Ok(change(old)))
    }

    /// Replaces the value of `key` as [`update`](TableMut::update) does, unless `change` returns an error, which may be
    /// of any type that mapleaf's [`Error`] converts to. Then nothing has changed, and the transaction goes on.
    ///
    /// # Errors
    ///
    /// Those of `change` and of [`update`](TableMut::update).
    pub fn try_update<W: EncodeValue<V>, E: From<Error>>(
        &mut self,
        key: impl EncodeKey<K>,
        change: impl FnOnce(Option<V::Ref<'_>>) -> Result<Option<W>, E>,
    ) -> Result<(), E> {
        self.transaction.check_usable()?;
        let key = key.encode_key();
        let old = self.open().tree.get(self.pages(), &key)?;
        let was_there = old.is_some();
        let new = change(old.map(V::decode).transpose()?)?;
        match new {
            Some(value) => {
                let value = value.encode_value()?;
                self.transaction.insert(self.open_mut(), &key, &value)?;
            }
            None if was_there => {
                self.transaction.remove(self.open_mut(), &key)?;
            }
            None => {}
        }
        Ok(())
    }

    /// Inserts an entry after all others. Where keys ascend this needs no search, as [`insert`](TableMut::insert) of
    /// such a key, and it notices one that does not.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](TableMut::insert), and [`Error::KeyOutOfOrder`] if the key is not greater than the last one.
    /// Then nothing has changed, and the transaction goes on.
    ///
    /// ```
    /// use mapleaf::{Db, Error, Table};
    /// const LOG: Table<u64, str> = Table::new("log");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut log = tx.table(&LOG)?;
    ///     log.append(1, "started")?;
    ///     log.append(2, "stopped")?;
    ///     assert!(matches!(log.append(2, "again"), Err(Error::KeyOutOfOrder { .. })));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[doc(alias = "MDB_APPEND")]
    pub fn append(&mut self, key: impl EncodeKey<K>, value: impl EncodeValue<V>) -> Result<()> {
        let value = value.encode_value()?;
        match self.transaction.append_only(self.open_mut(), &key.encode_key(), &value)? {
            true => Ok(()),
            false => Err(Error::KeyOutOfOrder { place: "after the table's last entry" }),
        }
    }
}

impl<K: Key + ?Sized> TableMut<'_, K, [u8]> {
    /// Returns the value of `key` as a slice to write to, or `None` if there is no entry. The value's length stays.
    ///
    /// Only what is written through the slice changes. A large value is copied once in a transaction, into memory, and
    /// not at all if the transaction has inserted it itself; it is in the redo log as a whole.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](TableMut::insert).
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const BITMAPS: Table<u64, [u8]> = Table::new("bitmaps");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&BITMAPS)?.insert(1, [0; 512]))?;
    /// db.update(|tx| {
    ///     if let Some(bitmap) = tx.table(&BITMAPS)?.get_mut(1)? {
    ///         bitmap[40] |= 1 << 3;
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!(db.read()?.table(&BITMAPS)?.get(1)?.unwrap()[40], 8);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn get_mut(&mut self, key: impl EncodeKey<K>) -> Result<Option<&mut [u8]>> {
        let key = key.encode_key();
        self.transaction.value_mut(self.open_mut(), &key)
    }
}
