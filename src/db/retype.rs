//! Other names for the types of a table, after a type was renamed or moved.

use crate::db::raw::raw_table_mut;
use crate::db::write::{WriteTxn, check_kind, check_types};
use crate::error::Result;
use crate::format::catalog::TableKind;
use crate::types::{Key, Table, Value};

impl WriteTxn {
    /// Gives a table the types of `table` instead of those with the names `from`, of keys and of values. Returns
    /// whether it has done so: `false` if there is no such table, or if it has the new types already. So a program can
    /// call it whenever it starts.
    ///
    /// The stored bytes stay as they are. This is for types that have another name now and the same encoding: a type
    /// that was renamed, or a number that became a type of the program's own. Every entry is decoded as the new types
    /// first, which takes as long as reading the table, and nothing changes if one cannot be. That an entry can be
    /// decoded does not prove that it means the same: a `u32` is also an `i32`.
    ///
    /// If the encodings differ, read the old entries and insert them into a new table:
    /// [`rename_table`](WriteTxn::rename_table) the old one before, and [`drop_table`](WriteTxn::drop_table) it after.
    ///
    /// # Errors
    ///
    /// - [`Error::TableTypeMismatch`](crate::Error::TableTypeMismatch) if the table's types are neither those of `from`
    ///   nor those of `table`.
    /// - [`Error::TableKindMismatch`](crate::Error::TableKindMismatch) if it is a multimap table.
    /// - [`Error::Decode`](crate::Error::Decode) if an entry is not one of the new types.
    /// - [`Error::TableInUse`](crate::Error::TableInUse) if the table is open.
    /// - [`Error::TableNameTooLong`](crate::Error::TableNameTooLong) if the new names of the types are too long.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// use std::time::Duration;
    ///
    /// const OLD: Table<str, (u64, u32)> = Table::new("timeouts"); // seconds, nanoseconds
    /// const TIMEOUTS: Table<str, Duration> = Table::new("timeouts"); // has the same encoding
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&OLD)?.insert("read", (5, 0)))?;
    ///
    /// assert!(db.read()?.table(&TIMEOUTS).is_err());
    /// assert!(db.update(|tx| tx.retype_table(&TIMEOUTS, ("str", "(u64,u32)")))?);
    /// assert_eq!(db.read()?.table(&TIMEOUTS)?.get("read")?, Some(Duration::from_secs(5)));
    /// assert!(!db.update(|tx| tx.retype_table(&TIMEOUTS, ("str", "(u64,u32)")))?);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn retype_table<K: Key + ?Sized, V: Value + ?Sized>(
        &self,
        table: &Table<K, V>,
        from: (&str, &str),
    ) -> Result<bool> {
        let name = table.name();
        let Some(open) = self.transaction.take_table(name)? else { return Ok(false) };
        let kind = open.entry.kind;
        let found = (open.entry.key_type.clone(), open.entry.value_type.clone());
        self.transaction.return_table(open);
        check_kind(name, kind, TableKind::Table)?;
        let checked = check_types(name, [K::type_name(), V::type_name()], [&found.0, &found.1]);
        if (&found.0[..], &found.1[..]) != from || checked.is_ok() {
            return checked.map(|()| false);
        }
        for entry in raw_table_mut(self, name)?.iter() {
            let (key, value) = entry?;
            K::decode(key)?;
            V::decode(value)?;
        }
        self.transaction.retype_table(name, &K::type_name(), &V::type_name())?;
        Ok(true)
    }
}
