//! The tables of a write transaction: opened, changed, created, dropped, renamed, given other types. Each change is one
//! of the redo log's operations, too.
//!
//! Invariants:
//! - Each open table's tree is with its `TableMut`; the others are in the transaction. So the same table is never open
//!   twice.
//! - L5: what a change has done is in the transaction's record as soon as it has succeeded, in the order of the
//!   changes. A value that the caller fills in or changes itself ([`Transaction::reserve`],
//!   [`Transaction::value_mut`]) is there before the next change of the table.

use std::ops::{Bound, Range};

use crate::base::KeyBuf;
use crate::error::{Error, Result};
use crate::format::catalog::{MAX_NAME_LEN, TableEntry, TableKind, decode_name};
use crate::format::redo::operation::Operation;
use crate::format::tree_root::TreeRoot;
use crate::tree::{End, NewValue};
use crate::txn::open_table::OpenTable;
use crate::txn::page_file::PageFile;
use crate::txn::write::Transaction;

impl Transaction {
    /// Takes a table out, for a `TableMut`; `None` if it is not there.
    pub(crate) fn take_table(&self, name: &str) -> Result<Option<Box<OpenTable>>> {
        self.check_usable()?;
        if let Some(place) = self.tables.borrow_mut().get_mut(name) {
            return match place.take() {
                Some(table) => Ok(Some(table)),
                None => Err(Error::TableInUse { name: name.to_owned() }),
            };
        }
        let Some(entry) = self.table_entry(name)? else { return Ok(None) };
        self.tables.borrow_mut().insert(name.to_owned(), None);
        Ok(Some(self.new_table(name, entry)))
    }

    fn new_table(&self, name: &str, entry: TableEntry) -> Box<OpenTable> {
        let page_size = self.core().pages.page_size;
        OpenTable::new(name, entry, self.id, page_size, self.newest_savepoint.get())
    }

    /// Creates an empty table, and takes it out.
    pub(crate) fn create_table(
        &self,
        name: &str,
        kind: TableKind,
        key_type: String,
        value_type: String,
    ) -> Result<Box<OpenTable>> {
        check_name_len(name.len().max(key_type.len() + value_type.len()))?;
        let entry = TableEntry { root: TreeRoot::default(), kind, key_type, value_type };
        self.put_entry(name, &entry)?;
        let TableEntry { key_type, value_type, .. } = &entry;
        self.log(name, Operation::Create { kind, key_type, value_type });
        self.tables.borrow_mut().insert(name.to_owned(), None);
        Ok(self.new_table(name, entry))
    }

    /// Takes a table back whose `TableMut` ends.
    pub(crate) fn return_table(&self, table: Box<OpenTable>) {
        self.tables.borrow_mut().insert(table.name.clone(), Some(table));
    }

    /// A `TableMut` that was leaked (`mem::forget`) has its changes with it: they cannot be committed.
    pub(crate) fn check_tables_are_back(&self) -> Result<()> {
        match self.tables.borrow().iter().find(|(_, table)| table.is_none()) {
            Some((name, _)) => Err(Error::TableInUse { name: name.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn table_entry(&self, name: &str) -> Result<Option<TableEntry>> {
        let catalog = self.catalog.borrow();
        catalog.get(&self.core().pages, name.as_bytes())?.map(TableEntry::decode).transpose()
    }

    /// The names of all tables, ascending.
    pub(crate) fn table_names(&self) -> Result<Vec<String>> {
        let catalog = self.catalog.borrow();
        let nodes = catalog.nodes(&self.core().pages);
        let mut cursor = catalog.range(Bound::Unbounded, Bound::Unbounded);
        let mut names = Vec::new();
        while let Some((name, _)) = cursor.next(nodes)? {
            names.push(decode_name(&name)?.to_owned());
        }
        Ok(names)
    }

    /// How many entries and levels a table has, if it has been opened here and is not open now.
    pub(crate) fn size_of(&self, name: &str) -> Result<Option<(u64, u8)>> {
        let tables = self.tables.borrow();
        let Some(table) = tables.get(name).and_then(Option::as_ref) else { return Ok(None) };
        let entries = match table.entry.kind {
            TableKind::Table => table.tree.len(),
            TableKind::Multimap => self.pair_count(table)?,
        };
        Ok(Some((entries, table.tree.top().depth)))
    }

    fn put_entry(&self, name: &str, entry: &TableEntry) -> Result<()> {
        let bytes = entry.encode();
        let mut catalog = self.catalog.borrow_mut();
        self.keep_tree_for_savepoint(&mut catalog);
        self.guard(|| catalog.insert(&self.core().pages, name.as_bytes(), NewValue::Bytes(&bytes)))?;
        Ok(())
    }

    fn remove_entry(&self, name: &str) -> Result<bool> {
        let mut catalog = self.catalog.borrow_mut();
        self.keep_tree_for_savepoint(&mut catalog);
        self.guard(|| catalog.remove(&self.core().pages, name.as_bytes()))
    }

    /// Removes a table and all that is in it. Returns whether it was there.
    pub(crate) fn drop_table(&self, name: &str) -> Result<bool> {
        let Some(mut table) = self.take_table(name)? else { return Ok(false) };
        self.keep_for_savepoint(&mut table);
        let dropped = self.guard(|| {
            table.tree.clear(&self.core().pages)?;
            self.remove_entry(name)?;
            self.retire(&mut table.tree)
        });
        // A table created later under its name is another.
        self.tables.borrow_mut().remove(name);
        self.keep_dropped(table);
        dropped?;
        self.log(name, Operation::Drop);
        Ok(true)
    }

    /// Gives a table another name.
    pub(crate) fn rename_table(&self, from: &str, to: &str) -> Result<()> {
        check_name_len(to.len())?;
        let Some(mut table) = self.take_table(from)? else {
            return Err(Error::TableNotFound { name: from.to_owned() });
        };
        self.keep_for_savepoint(&mut table);
        let logged = self.log_reserved(&mut table);
        let is_taken = self.table_entry(to).map(|entry| entry.is_some());
        if from == to || logged.is_err() || !matches!(is_taken, Ok(false)) {
            self.return_table(table);
            logged.and(is_taken)?;
            return if from == to { Ok(()) } else { Err(Error::TableExists { name: to.to_owned() }) };
        }
        let renamed = self.guard(|| {
            self.put_entry(to, &table.entry)?;
            self.remove_entry(from)
        });
        if renamed.is_ok() {
            self.log(from, Operation::Rename { to });
            self.tables.borrow_mut().remove(from);
            table.name = to.to_owned();
        }
        self.return_table(table);
        renamed.map(drop)
    }

    /// Gives a table types with other names; its entries stay as they are.
    pub(crate) fn retype_table(&self, name: &str, key_type: &str, value_type: &str) -> Result<()> {
        check_name_len(key_type.len() + value_type.len())?;
        let Some(mut table) = self.take_table(name)? else {
            return Err(Error::TableNotFound { name: name.to_owned() });
        };
        self.keep_for_savepoint(&mut table);
        (table.entry.key_type, table.entry.value_type) = (key_type.to_owned(), value_type.to_owned());
        let stored = self.put_entry(name, &table.entry);
        self.return_table(table);
        stored?;
        self.log(name, Operation::Retype { key_type, value_type });
        Ok(())
    }

    /// Runs a change of a table's tree. If it fails the transaction can only be aborted, except for what was refused
    /// before anything had changed.
    pub(crate) fn change<'a, T>(
        &'a self,
        table: &'a mut OpenTable,
        change: impl FnOnce(&'a mut OpenTable, &'a PageFile) -> Result<T>,
    ) -> Result<T> {
        self.check_usable()?;
        self.keep_for_savepoint(table);
        self.log_reserved(table)?;
        self.spill_if_needed(table)?;
        let is_refusal = |error: &Error| {
            matches!(
                error,
                Error::KeyTooLong { .. } | Error::ValueTooLarge { .. } | Error::OutOfMemory { .. }
            )
        };
        self.guard_unless(is_refusal, || change(table, &self.core().pages))
    }

    /// Inserts an entry, replacing any existing value. Returns `true` if the key is new.
    pub(crate) fn insert(&self, table: &mut OpenTable, key: &[u8], value: &[u8]) -> Result<bool> {
        let is_new = match self.is_stored_directly(value.len()) {
            true => self.insert_large(table, key, value)?,
            false => {
                self.change(table, |table, pages| table.tree.insert(pages, key, NewValue::Bytes(value)))?
            }
        };
        self.log(&table.name, Operation::Put { key, value });
        Ok(is_new)
    }

    /// Inserts an entry whose value is stored at once.
    fn insert_large(&self, table: &mut OpenTable, key: &[u8], value: &[u8]) -> Result<bool> {
        table.tree.check_key(key)?;
        // This spills now if it must: if that failed after the next line, the value's pages would be lost.
        self.change(table, |_, _| Ok(()))?;
        let first = self.store_value(value)?;
        let length = value.len() as u64;
        let stored = self
            .change(table, |table, pages| table.tree.insert(pages, key, NewValue::Stored { first, length }));
        self.guard(|| stored) // what is stored and not in the tree would be lost
    }

    /// Inserts an entry at the table's end, without anything else that an insertion may need. Returns `false`, and
    /// changes nothing, if that is not enough.
    #[inline]
    pub(crate) fn append(&self, table: &mut OpenTable, key: &[u8], value: &[u8]) -> Result<bool> {
        let is_appended = table.reserved.is_none() && table.tree.append(key, value)?;
        if is_appended {
            self.log(&table.name, Operation::Put { key, value });
        }
        Ok(is_appended)
    }

    /// Inserts an entry after all others. Returns `false`, and changes nothing, if its key is not greater than theirs.
    pub(crate) fn append_only(&self, table: &mut OpenTable, key: &[u8], value: &[u8]) -> Result<bool> {
        self.check_usable()?;
        table.tree.check_limits(key, &NewValue::Bytes(value))?;
        self.keep_for_savepoint(table);
        if self.append(table, key, value)? {
            return Ok(true);
        }
        let last = table.tree.outermost(&self.core().pages, End::Back)?;
        if last.is_some_and(|(last, _)| *last >= *key) {
            return Ok(false);
        }
        self.insert(table, key, value)
    }

    /// Returns the value of `key`, for the caller to change in place, if there is one.
    pub(crate) fn value_mut<'a>(
        &'a self,
        table: &'a mut OpenTable,
        key: &[u8],
    ) -> Result<Option<&'a mut [u8]>> {
        self.change(table, |OpenTable { tree, reserved, .. }, pages| {
            let value = tree.value_mut(pages, key)?;
            *reserved = value.is_some().then(|| key.to_vec());
            Ok(value)
        })
    }

    /// Inserts an entry whose value is `length` zeros, for the caller to fill in.
    pub(crate) fn reserve<'a>(
        &'a self,
        table: &'a mut OpenTable,
        key: &[u8],
        length: usize,
    ) -> Result<&'a mut [u8]> {
        self.change(table, |table, pages| {
            table.reserved = Some(key.to_vec());
            table.tree.reserve(pages, key, length)
        })
    }

    /// Removes an entry. Returns whether there was one.
    pub(crate) fn remove(&self, table: &mut OpenTable, key: &[u8]) -> Result<bool> {
        let is_removed = self.change(table, |table, pages| table.tree.remove(pages, key))?;
        if is_removed {
            self.log(&table.name, Operation::Delete { key });
        }
        Ok(is_removed)
    }

    /// Removes the first or the last entry, whose key is `key`.
    pub(crate) fn remove_outermost(&self, table: &mut OpenTable, end: End, key: &[u8]) -> Result<()> {
        self.change(table, |table, pages| table.tree.remove_outermost(pages, end))?;
        self.log(&table.name, Operation::Delete { key });
        Ok(())
    }

    /// Removes ranges of entries of one leaf; `keys` are the first and the last key of each.
    pub(crate) fn remove_some(
        &self,
        table: &mut OpenTable,
        ranges: &[Range<usize>],
        keys: &[(KeyBuf, KeyBuf)],
    ) -> Result<()> {
        let Some((first, _)) = keys.first() else { return Ok(()) };
        self.change(table, |table, pages| table.tree.remove_some(pages, first, ranges))?;
        for (range, (first, last)) in ranges.iter().zip(keys) {
            let removed = range.len() as u64;
            let operation = match removed {
                1 => Operation::Delete { key: first },
                _ => {
                    let (lower, upper) = (Bound::Included(&first[..]), Bound::Included(&last[..]));
                    Operation::RemoveRange { lower, upper, removed }
                }
            };
            self.log(&table.name, operation);
        }
        Ok(())
    }

    /// Removes the entries between two bounds. Returns their number.
    pub(crate) fn remove_range(
        &self,
        table: &mut OpenTable,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<u64> {
        let removed = self.change(table, |table, pages| table.tree.remove_range(pages, lower, upper))?;
        if removed > 0 {
            self.log(&table.name, Operation::RemoveRange { lower, upper, removed });
        }
        Ok(removed)
    }

    /// Removes all entries. Returns their number.
    pub(crate) fn clear(&self, table: &mut OpenTable) -> Result<u64> {
        let entries = table.tree.len();
        self.change(table, |table, pages| table.tree.clear(pages))?;
        self.log(&table.name, Operation::Clear);
        Ok(entries)
    }

    #[inline]
    fn log(&self, table: &str, operation: Operation<'_>) {
        self.record.borrow_mut().push(table, operation);
    }

    /// Logs the entry whose value the caller has filled in by now.
    fn log_reserved(&self, table: &mut OpenTable) -> Result<()> {
        let Some(key) = table.reserved.take() else { return Ok(()) };
        if let Some(value) = table.tree.get(&self.core().pages, &key)? {
            self.log(&table.name, Operation::Put { key: &key, value });
        }
        Ok(())
    }

    /// Completes the changes of all tables, which are back, before the commit: their counters, and the entries whose
    /// values the caller has filled in.
    pub(crate) fn complete_tables(&self) -> Result<()> {
        self.settle_closed_tables()?;
        self.tables.borrow_mut().values_mut().flatten().try_for_each(|table| self.log_reserved(table))
    }

    /// Settles the counters of all tables that are not open.
    pub(super) fn settle_closed_tables(&self) -> Result<()> {
        let is_unsettled = |table: &OpenTable| !table.value_counts.is_empty();
        let names: Vec<String> = {
            let tables = self.tables.borrow();
            tables
                .values()
                .flatten()
                .filter(|table| is_unsettled(table))
                .map(|table| table.name.clone())
                .collect()
        };
        for name in names {
            let Some(mut table) = self.take_table(&name)? else { continue };
            let settled = self.settle_value_counts(&mut table);
            self.return_table(table);
            settled?;
        }
        Ok(())
    }

    /// Makes the transaction one that is not in the log: its commit waits for a checkpoint.
    pub(crate) fn leave_unlogged(&self) {
        self.record.borrow_mut().give_up();
    }
}

/// Checks the length of a name, or of the names of a table's types together.
fn check_name_len(length: usize) -> Result<()> {
    match length {
        0..=MAX_NAME_LEN => Ok(()),
        _ => Err(Error::TableNameTooLong { length, limit: MAX_NAME_LEN }),
    }
}
