//! The compacting copy: every table is written again, in the order of its keys.
//!
//! It is built as an ordinary database, which has room at its end and two meta pages in use. When that is closed, and
//! before it gets its name, the one meta page of a [`Plan`] replaces them, and the file is cut after its last page.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use crate::copy::lineage::new_identity;
use crate::copy::plan::Plan;
use crate::copy::{Copied, check_length};
use crate::error::{Error, Result};
use crate::format::catalog::{TableEntry, decode_name};
use crate::sys;
use crate::tree::RangeCursor;
use crate::txn::building::Building;
use crate::txn::commit::Durability;
use crate::txn::database::DbHandle;
use crate::txn::file_locks::Wait;
use crate::txn::read::SnapshotReader;
use crate::txn::write::Transaction;

/// Writes the tables of the snapshot to a new file.
pub(crate) fn compact_to_file(reader: &SnapshotReader, path: &Path) -> Result<Copied> {
    reader.check_not_forked()?;
    check_length(reader)?;
    let page_size = reader.pages().page_size;
    let length = u64::from(reader.snapshot.length_pages) * page_size as u64;
    let rights = reader.pages().rights()?;
    let (building, handle) = Building::begin(path, rights, page_size, length)?;
    write_tables(reader, &handle)?;
    let built = SnapshotReader::begin(&handle)?;
    let plan =
        Plan::of(built.pages(), &built.snapshot, reader.snapshot.id.max(built.snapshot.id), new_identity()?)?;
    drop((built, handle));
    complete(&plan, building.file()).map_err(|source| Error::io("complete", path, source))?;
    building.finish()?;
    Ok(Copied::of(&plan, false))
}

fn complete(plan: &Plan, file: &File) -> io::Result<()> {
    sys::set_length(file, plan.length())?;
    plan.store_around(file)
}

fn write_tables(reader: &SnapshotReader, handle: &Arc<DbHandle>) -> Result<()> {
    let transaction = Transaction::begin(handle, Wait::Forever)?.expect("Wait::Forever has no timeout");
    let mut tables = RangeCursor::new(&reader.snapshot.catalog, Bound::Unbounded, Bound::Unbounded);
    while let Some((name, entry)) = tables.next(reader)? {
        let entry = TableEntry::decode(entry)?;
        let name = decode_name(&name)?;
        let mut open = transaction.create_table(name, entry.kind, entry.key_type, entry.value_type)?;
        let mut entries = RangeCursor::new(&entry.root, Bound::Unbounded, Bound::Unbounded);
        while let Some((key, value)) = entries.next(reader)? {
            transaction.insert(&mut open, &key, value)?;
        }
        transaction.return_table(open);
    }
    transaction.commit(Durability::Durable)?;
    Ok(())
}
