//! Bulk loads: insertions of many entries at once, in any order; and insertions of large values without a copy.

use std::fmt;

use crate::db::Types;
use crate::db::write::TableMut;
use crate::error::{Error, Result};
use crate::txn::bulk::BulkLoader;
use crate::types::{EncodeKey, EncodeValue, Key, Value};

/// Receives the entries of a bulk load. See [`TableMut::bulk_load`].
pub struct BulkLoad<'a, K: Key + ?Sized, V: Value + ?Sized> {
    loader: BulkLoader<'a>,
    types: Types<K, V>,
}

impl<K: Key + ?Sized, V: Value + ?Sized> fmt::Debug for BulkLoad<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkLoad").finish_non_exhaustive()
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> BulkLoad<'_, K, V> {
    /// Inserts an entry, replacing one with the same key that is in the table or was inserted before.
    ///
    /// # Errors
    ///
    /// After [`Error::KeyTooLong`], [`Error::ValueTooLarge`] or [`Error::Encode`], the load can go on without the
    /// entry. After any other error, which an earlier entry may have caused, the transaction can only be aborted.
    #[inline]
    pub fn insert(&mut self, key: impl EncodeKey<K>, value: impl EncodeValue<V>) -> Result<()> {
        let value = value.encode_value()?;
        self.loader.insert(&key.encode_key(), &value)
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> TableMut<'_, K, V> {
    /// Inserts all entries that `fill` gives to [`BulkLoad::insert`]. Returns the number of keys that were new.
    ///
    /// The result is that of an [`insert`](TableMut::insert) for each entry: of equal keys, the last one counts. For
    /// many entries this is several times as fast, and the table becomes smaller, because entries are sorted in
    /// memory before they are inserted. If the keys of the first MiB ascend, the entries after them are inserted as
    /// they come.
    ///
    /// In addition to the transaction's changed pages, a load uses at most half of
    /// [`OpenOptions::dirty_memory`](crate::OpenOptions::dirty_memory) (by default a sixteenth of the system's
    /// memory). Entries that do not fit are inserted in several sorted batches, so a load is faster if more of its
    /// entries fit.
    ///
    /// If keys ascend as they come, leaves after the table's last entry are filled completely. Otherwise a sixteenth
    /// of each leaf stays free, so that later insertions need not split it.
    ///
    /// # Errors
    ///
    /// Those of `fill`, and those of [`insert`](TableMut::insert). After an error, or a panic in `fill`, only some of
    /// the entries may be in the table. The transaction can then only be aborted, and every later call returns
    /// [`Error::TransactionFailed`].
    ///
    /// ```
    /// use mapleaf::{Db, Error, Table};
    /// const LENGTHS: Table<str, u32> = Table::new("lengths");
    ///
    /// #[derive(Debug)]
    /// enum LoadError {
    ///     Database(Error),
    ///     NoNumber(std::num::ParseIntError),
    /// }
    ///
    /// impl From<Error> for LoadError {
    ///     fn from(error: Error) -> LoadError {
    ///         LoadError::Database(error)
    ///     }
    /// }
    ///
    /// fn load(db: &Db, lines: &str) -> Result<u64, LoadError> {
    ///     let tx = db.write()?;
    ///     let new = tx.table(&LENGTHS)?.bulk_load(|load| {
    ///         for line in lines.lines() {
    ///             let (river, length) = line.split_once('\t').unwrap_or((line, ""));
    ///             load.insert(river, length.parse::<u32>().map_err(LoadError::NoNumber)?)?;
    ///         }
    ///         Ok::<(), LoadError>(())
    ///     })?;
    ///     tx.commit()?;
    ///     Ok(new)
    /// }
    ///
    /// let db = Db::in_memory()?;
    /// assert_eq!(load(&db, "Rhine\t1233\nElbe\t1094\nRhine\t1230\n").unwrap(), 2);
    /// assert_eq!(db.read()?.table(&LENGTHS)?.get("Rhine")?, Some(1230));
    /// assert!(matches!(load(&db, "Loire\t1006\nSeine\tlong\n"), Err(LoadError::NoNumber(_))));
    /// assert_eq!(db.read()?.table(&LENGTHS)?.get("Loire")?, None);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn bulk_load<E: From<Error>>(
        &mut self,
        fill: impl FnOnce(&mut BulkLoad<'_, K, V>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let open = self.open.as_mut().expect("the table is here until it is dropped");
        self.transaction.guard_whole(|| {
            let loader = BulkLoader::new(self.transaction, open)?;
            let mut load = BulkLoad { loader, types: self.types };
            fill(&mut load)?;
            Ok(load.loader.finish()?)
        })
    }

    /// Inserts all of `entries`, which come in any order. Returns the number of keys that were new. It is
    /// [`TableMut::bulk_load`] for a source of entries that cannot fail.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](TableMut::insert). After an error, the transaction can only be aborted.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const SQUARES: Table<u64, u64> = Table::new("squares");
    ///
    /// let db = Db::in_memory()?;
    /// let new = db.update(|tx| {
    ///     let mut squares = tx.table(&SQUARES)?;
    ///     squares.insert_many((0..100_000).rev().map(|number| (number, number * number)))
    /// })?;
    /// assert_eq!(new, 100_000);
    /// assert_eq!(db.read()?.table(&SQUARES)?.get(300)?, Some(90_000));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn insert_many<Q: EncodeKey<K>, W: EncodeValue<V>>(
        &mut self,
        entries: impl IntoIterator<Item = (Q, W)>,
    ) -> Result<u64> {
        self.bulk_load(|load| entries.into_iter().try_for_each(|(key, value)| load.insert(key, value)))
    }
}

impl<K: Key + ?Sized> TableMut<'_, K, [u8]> {
    /// Inserts an entry whose value is `length` zero bytes, replacing any existing value, and returns the value as a
    /// slice to write to. A large value thus needs no copy. The value is in memory until the transaction commits, or
    /// stores it because of [`OpenOptions::dirty_memory`](crate::OpenOptions::dirty_memory).
    ///
    /// The entry is in the table when this returns. A caller that fails or panics before it has filled the slice
    /// leaves zeros in the rest, and has to remove the entry or abort the transaction.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](TableMut::insert).
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const IMAGES: Table<str, [u8]> = Table::new("images");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut images = tx.table(&IMAGES)?;
    ///     let image = images.insert_reserve("gradient", 100_000)?;
    ///     for (at, byte) in image.iter_mut().enumerate() {
    ///         *byte = at as u8;
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!(db.read()?.table(&IMAGES)?.get("gradient")?.unwrap()[300], 44);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn insert_reserve(&mut self, key: impl EncodeKey<K>, length: usize) -> Result<&mut [u8]> {
        let key = key.encode_key();
        self.transaction.reserve(self.open_mut(), &key, length)
    }
}
