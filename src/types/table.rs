//! The definition of a table: its name and its types.

use std::fmt;
use std::marker::PhantomData;

/// A table's name, and the types of its keys and values.
///
/// It is only a definition, usually a `const`, and `Copy`. [`WriteTxn::table`](crate::WriteTxn::table) and
/// [`ReadTxn::table`](crate::ReadTxn::table) open the table itself. Opening it with other types than it was created
/// with returns [`Error::TableTypeMismatch`](crate::Error::TableTypeMismatch).
///
/// ```
/// use mapleaf::{Db, Table};
///
/// const USERS: Table<str, [u8]> = Table::new("users");
///
/// let db = Db::in_memory()?;
/// let tx = db.write()?;
/// tx.table(&USERS)?.insert("ada", b"1815")?;
/// tx.commit()?;
///
/// assert_eq!(db.read()?.table(&USERS)?.get("ada")?, Some(&b"1815"[..]));
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub struct Table<'name, K: ?Sized, V: ?Sized> {
    name: &'name str,
    // A function pointer makes the struct `Send` and `Sync` for all types: it neither owns nor borrows a key or
    // value.
    types: PhantomData<fn(&K, &V)>,
}

impl<'name, K: ?Sized, V: ?Sized> Table<'name, K, V> {
    /// Defines a table. Its name may be computed at run time; the definition then borrows it.
    ///
    /// ```
    /// use mapleaf::Table;
    ///
    /// const HITS: Table<u64, u64> = Table::new("hits");
    /// assert_eq!(HITS.name(), "hits");
    ///
    /// let name = format!("{HITS}-{}", 2026);
    /// let hits: Table<u64, u64> = Table::new(&name);
    /// assert_eq!(hits.to_string(), "hits-2026");
    /// ```
    pub const fn new(name: &'name str) -> Table<'name, K, V> {
        Table { name, types: PhantomData }
    }

    /// Returns the table's name, which `Display` also writes.
    pub const fn name(&self) -> &'name str {
        self.name
    }
}

// Derived, these would require the same of `K` and `V`.

impl<K: ?Sized, V: ?Sized> Clone for Table<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Copy for Table<'_, K, V> {}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Table<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.name).finish()
    }
}

/// Writes the table's name.
impl<K: ?Sized, V: ?Sized> fmt::Display for Table<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}
