//! Multimap tables without types, for tools. A pair is the encoding of a tuple of its key and its value.

use std::fmt;
use std::marker::PhantomData;

use crate::db::multimap::iter::Values;
use crate::db::multimap::read::MultimapRef;
use crate::db::multimap::write::{MultimapMut, load_pairs, pair_error};
use crate::db::raw::create_of_kind;
use crate::db::write::check_kind;
use crate::db::{ReadTxn, WriteTxn};
use crate::error::{Error, Result};
use crate::format::catalog::TableKind;
use crate::format::multimap::PAIR;
use crate::types::KeyRange;

/// All pairs as the values of one key, which takes no bytes.
type JoinedPairs<'tx> = MultimapRef<'tx, (), [u8]>;

/// A multimap table of any types in a read transaction. Made by [`admin::raw_multimap`](crate::admin::raw_multimap).
pub struct RawMultimapRef<'tx> {
    pairs: JoinedPairs<'tx>,
}

impl fmt::Debug for RawMultimapRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMultimapRef").finish_non_exhaustive()
    }
}

impl<'tx> RawMultimapRef<'tx> {
    /// Returns the pairs whose stored bytes are in `range`. Each is what a tuple of its key and its value is as a key.
    pub fn pairs(&self, range: impl KeyRange<[u8]>) -> Values<'tx, [u8]> {
        self.pairs.range_of_values((), range)
    }

    /// Returns the number of values of the key that is stored as `key`, as the first element of a tuple.
    pub fn len_of(&self, key: &[u8]) -> Result<u64> {
        self.pairs.len_of_stored(key)
    }

    /// Returns the number of pairs.
    pub fn len(&self) -> Result<u64> {
        self.pairs.len()
    }

    /// Returns whether the table has no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// A multimap table of any types in a write transaction. Made by
/// [`admin::raw_multimap_mut`](crate::admin::raw_multimap_mut).
///
/// Keys and values are bytes, and are stored unchanged: a key as the first element of a tuple is stored, a value as a
/// key. If they are not, a read with the table's types returns [`Error::Decode`], and if one key is the beginning of
/// another, numbers of values may be wrong.
pub struct RawMultimapMut<'tx> {
    pairs: MultimapMut<'tx, (), [u8]>,
}

impl fmt::Debug for RawMultimapMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMultimapMut").finish_non_exhaustive()
    }
}

impl RawMultimapMut<'_> {
    /// Returns the pairs whose stored bytes are in `range`, as [`RawMultimapRef::pairs`] does.
    pub fn pairs(&self, range: impl KeyRange<[u8]>) -> Values<'_, [u8]> {
        self.pairs.range_of_values((), range)
    }

    /// Inserts a pair. Returns `true` if it is new.
    ///
    /// # Errors
    ///
    /// Those of [`MultimapMut::insert`](crate::MultimapMut::insert).
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        let transaction = self.pairs.transaction;
        transaction.insert_pair(self.pairs.open_mut(), &joined(key, value), key.len()).map_err(pair_error)
    }

    /// Removes a pair. Returns `true` if it was there.
    pub fn remove(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        let transaction = self.pairs.transaction;
        transaction.remove_pair(self.pairs.open_mut(), &joined(key, value), key.len())
    }

    /// Removes all pairs of a key. Returns their number.
    pub fn remove_all(&mut self, key: &[u8]) -> Result<u64> {
        self.pairs.transaction.remove_pairs_of(self.pairs.open_mut(), key)
    }

    /// Inserts all of `pairs`, which come in any order. Returns how many are new.
    ///
    /// # Errors
    ///
    /// Those of [`MultimapMut::insert_many`](crate::MultimapMut::insert_many), and the errors among `pairs`.
    pub fn insert_many<E: From<Error>>(
        &mut self,
        pairs: impl IntoIterator<Item = Result<(Vec<u8>, Vec<u8>), E>>,
    ) -> Result<u64, E> {
        load_pairs(self.pairs.transaction, self.pairs.open_mut(), |mut loader| {
            for pair in pairs {
                let (key, value) = pair?;
                loader.insert_pair(&joined(&key, &value), key.len()).map_err(pair_error)?;
            }
            Ok(loader.finish().map(drop)?)
        })
    }

    /// Removes all pairs. Returns their number.
    pub fn clear(&mut self) -> Result<u64> {
        self.pairs.clear()
    }
}

fn joined(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&[PAIR], key, value].concat()
}

/// Opens a multimap table of any types, for tools that examine databases with unknown contents.
///
/// # Errors
///
/// [`Error::TableNotFound`], [`Error::TableKindMismatch`].
///
/// ```
/// # use mapleaf::{Db, MultimapTable, admin};
/// # const TAGS: MultimapTable<str, u16> = MultimapTable::new("tags");
/// # let db = Db::in_memory()?;
/// # db.update(|tx| tx.multimap(&TAGS)?.insert("a", 7))?;
/// let rx = db.read()?;
/// let pair = admin::raw_multimap(&rx, "tags")?.pairs(..).next().transpose()?;
/// assert_eq!(pair.unwrap(), b"a\0\0\0\x07", "the end of the text is marked");
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub fn raw_multimap<'tx>(rx: &'tx ReadTxn, name: &str) -> Result<RawMultimapRef<'tx>> {
    let entry = rx.table_entry(name)?;
    check_kind(name, entry.kind, TableKind::Multimap)?;
    Ok(RawMultimapRef { pairs: rx.multimap_at(&entry.root) })
}

/// Opens an existing multimap table of any types.
///
/// # Errors
///
/// [`Error::TableNotFound`], [`Error::TableKindMismatch`], [`Error::TableInUse`].
///
/// ```
/// # use mapleaf::{Db, MultimapTable, admin};
/// const TAGS: MultimapTable<str, u16> = MultimapTable::new("tags");
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     admin::create_multimap(tx, "tags", "str", "u16")?;
///     admin::raw_multimap_mut(tx, "tags")?.insert(b"a\0\0", &[0, 7])
/// })?;
/// assert!(db.read()?.multimap(&TAGS)?.contains("a", 7)?);
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub fn raw_multimap_mut<'tx>(tx: &'tx WriteTxn, name: &str) -> Result<RawMultimapMut<'tx>> {
    let open = tx.transaction.take_table(name)?;
    let open = open.ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?;
    let checked = check_kind(name, open.entry.kind, TableKind::Multimap);
    let pairs = MultimapMut { transaction: &tx.transaction, open: Some(open), types: PhantomData };
    checked.map(|()| RawMultimapMut { pairs })
}

/// Creates an empty multimap table from the names of its types, as [`create_table`](crate::admin::create_table) creates
/// an ordinary one.
///
/// # Errors
///
/// [`Error::TableExists`], [`Error::TableNameTooLong`].
pub fn create_multimap(tx: &WriteTxn, name: &str, key_type: &str, value_type: &str) -> Result<()> {
    create_of_kind(tx, name, TableKind::Multimap, key_type, value_type)
}
