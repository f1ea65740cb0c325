//! Going back to a named snapshot: the tables become those of the snapshot, in a transaction.
//!
//! The tables are written again, entry by entry. The pages of the snapshot itself cannot become pages of newest again:
//! an increment since a transaction between the two would have none of them, because it finds what has changed by the
//! births of pages; and a page has one life, which the interval rule (I2) relies on. So the cost is proportional to the
//! tables that have changed. A table whose root is the same page as in the snapshot has not changed, because that page
//! is kept by the name and so is no other one by now: it is left as it is.
//!
//! The transaction is not in the redo log, as a bulk load is not. Everything is done by the changes that any
//! transaction makes, so an abort, or going back to a savepoint, undoes it.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::error::{Error, Result};
use crate::format::catalog::{TableEntry, decode_name};
use crate::format::tree_root::TreeRoot;
use crate::tree::RangeCursor;
use crate::txn::bulk::BulkLoader;
use crate::txn::open_table::OpenTable;
use crate::txn::read::SnapshotReader;
use crate::txn::write::Transaction;

impl Transaction {
    /// Makes the tables those of the named snapshot. All tables must be closed.
    pub(crate) fn restore_snapshot(&self, name: &str) -> Result<()> {
        self.check_usable()?;
        self.check_tables_are_back()?;
        let reader = SnapshotReader::begin_named(&self.handle, name)?;
        let tables = tables_of(&reader)?;
        self.guard_whole(|| {
            self.leave_unlogged();
            for name in self.table_names()? {
                if !self.is_unchanged(&name, tables.get(&name))? {
                    self.drop_table(&name)?;
                }
            }
            for (name, entry) in tables {
                if self.table_entry(&name)?.is_none() {
                    self.copy_table(&reader, &name, entry)?;
                }
            }
            Ok(())
        })
    }

    /// Whether a table is still what it was in the snapshot.
    fn is_unchanged(&self, name: &str, before: Option<&TableEntry>) -> Result<bool> {
        let is_changed_here =
            self.tables.borrow().get(name).and_then(Option::as_ref).is_some_and(|table| table.is_changed());
        Ok(!is_changed_here && before == self.table_entry(name)?.as_ref())
    }

    fn copy_table(&self, reader: &SnapshotReader, name: &str, entry: TableEntry) -> Result<()> {
        let TableEntry { root, kind, key_type, value_type } = entry;
        let mut table = self.create_table(name, kind, key_type, value_type)?;
        let copied = self.copy_entries(reader, &root, &mut table);
        self.return_table(table); // after an error as well: the transaction can go back to a savepoint
        copied
    }

    fn copy_entries(&self, reader: &SnapshotReader, root: &TreeRoot, table: &mut OpenTable) -> Result<()> {
        let mut load = BulkLoader::new(self, table)?;
        let mut entries = RangeCursor::new(root, Bound::Unbounded, Bound::Unbounded);
        while let Some((key, value)) = entries.next(reader)? {
            load.insert(&key, value)?;
        }
        load.finish().map(drop)
    }
}

fn tables_of(reader: &SnapshotReader) -> Result<BTreeMap<String, TableEntry>> {
    let mut tables = BTreeMap::new();
    let mut cursor = RangeCursor::new(&reader.snapshot.catalog, Bound::Unbounded, Bound::Unbounded);
    while let Some((name, entry)) = cursor.next(reader)? {
        tables.insert(decode_name(&name)?.to_owned(), TableEntry::decode(entry)?);
    }
    Ok::<_, Error>(tables)
}
