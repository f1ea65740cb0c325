//! The definition of a table: its name and its types.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A table's name, and the types of its keys and values.
///
/// It is only a definition, usually a `const`. [`WriteTxn::table`](crate::WriteTxn::table) and
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
pub struct Table<K: ?Sized, V: ?Sized> {
    name: Cow<'static, str>,
    // A function pointer makes the struct `Send` and `Sync` for all types: it neither owns nor borrows a key or
    // value.
    types: PhantomData<fn(&K, &V)>,
}

impl<K: ?Sized, V: ?Sized> Table<K, V> {
    /// Defines a table whose name is known at compile time.
    ///
    /// ```
    /// use mapleaf::Table;
    ///
    /// const HITS: Table<u64, u64> = Table::new("hits");
    /// assert_eq!(HITS.name(), "hits");
    /// ```
    pub const fn new(name: &'static str) -> Table<K, V> {
        Table { name: Cow::Borrowed(name), types: PhantomData }
    }

    /// Defines a table whose name is computed at run time.
    ///
    /// ```
    /// use mapleaf::Table;
    ///
    /// let year = 2026;
    /// let hits: Table<u64, u64> = Table::named(format!("hits-{year}"));
    /// assert_eq!(hits.name(), "hits-2026");
    /// assert_eq!(hits.to_string(), "hits-2026");
    /// ```
    pub fn named(name: impl Into<Cow<'static, str>>) -> Table<K, V> {
        Table { name: name.into(), types: PhantomData }
    }

    /// Returns the table's name, which `Display` also writes.
    pub fn name(&self) -> &str {
        &self.name
    }
}

// Derived, these would require the same of `K` and `V`.

impl<K: ?Sized, V: ?Sized> Clone for Table<K, V> {
    fn clone(&self) -> Table<K, V> {
        Table { name: self.name.clone(), types: PhantomData }
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.name).finish()
    }
}

/// Writes the table's name.
impl<K: ?Sized, V: ?Sized> fmt::Display for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}
