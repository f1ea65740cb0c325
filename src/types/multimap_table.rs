//! The definition of a multimap table: its name and its types.

use std::fmt;
use std::marker::PhantomData;

/// The name of a table whose keys have any number of values each, and the types of its keys and values.
///
/// The values of a key are a set: ordered, each of them once. They are ordered as their type is, so their type is a
/// [`Key`](crate::Key) too. One key can have a single value or millions; either takes no more space than the entries
/// of an ordinary table.
///
/// It is only a definition, usually a `const`. [`WriteTxn::multimap`](crate::WriteTxn::multimap) and
/// [`ReadTxn::multimap`](crate::ReadTxn::multimap) open the table itself. All tables of a database, of both kinds,
/// share one set of names.
///
/// ```
/// use mapleaf::{Db, MultimapTable};
///
/// const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags"); // tag -> articles
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut tags = tx.multimap(&TAGS)?;
///     tags.insert("storage", 7)?;
///     tags.insert("storage", 3)?;
///     tags.insert("rust", 7)?;
///     assert!(!tags.insert("rust", 7)?, "it was there");
///     Ok(())
/// })?;
///
/// let rx = db.read()?;
/// let tags = rx.multimap(&TAGS)?;
/// assert_eq!(tags.get("storage").collect::<Result<Vec<_>, _>>()?, [3, 7]);
/// assert_eq!(tags.len_of("rust")?, 1);
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub struct MultimapTable<'name, K: ?Sized, V: ?Sized> {
    name: &'name str,
    // A function pointer makes the struct `Send` and `Sync` for all types: it neither owns nor borrows a key or
    // value.
    types: PhantomData<fn(&K, &V)>,
}

impl<'name, K: ?Sized, V: ?Sized> MultimapTable<'name, K, V> {
    /// Defines a table. Its name may be computed at run time; the definition then borrows it.
    ///
    /// ```
    /// use mapleaf::MultimapTable;
    ///
    /// const TAGS: MultimapTable<u64, u64> = MultimapTable::new("tags");
    /// assert_eq!(TAGS.name(), "tags");
    ///
    /// let name = format!("{TAGS}-{}", 2026);
    /// let tags: MultimapTable<u64, u64> = MultimapTable::new(&name);
    /// assert_eq!(tags.to_string(), "tags-2026");
    /// ```
    pub const fn new(name: &'name str) -> MultimapTable<'name, K, V> {
        MultimapTable { name, types: PhantomData }
    }

    /// Returns the table's name, which `Display` also writes.
    pub const fn name(&self) -> &'name str {
        self.name
    }
}

// Derived, these would require the same of `K` and `V`.

impl<K: ?Sized, V: ?Sized> Clone for MultimapTable<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Copy for MultimapTable<'_, K, V> {}

impl<K: ?Sized, V: ?Sized> fmt::Debug for MultimapTable<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MultimapTable").field(&self.name).finish()
    }
}

/// Writes the table's name.
impl<K: ?Sized, V: ?Sized> fmt::Display for MultimapTable<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}
