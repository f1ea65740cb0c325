//! Writes the new database: under another name first, then checks it and gives it its own name.
//!
//! Invariants:
//! - The file gets its own name when it is complete, checked and durable.
//! - It takes memory for what a transaction holds before it spills, and for the largest value.

use std::path::Path;
use std::sync::Arc;

use crate::base::{PageNumber, PageSet};
use crate::check::{Problems, check};
use crate::error::{Error, Result, corrupt};
use crate::format::catalog::TableKind;
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::meta::Meta;
use crate::format::node::NodeView;
use crate::format::overflow;
use crate::format::page;
use crate::format::redo::reader::{LogPlace, LogReader};
use crate::salvage::orphans::{Step, in_order};
use crate::salvage::report::{LostEntries, SalvagedTable};
use crate::salvage::source::{Page, Source};
use crate::salvage::state::{Orphan, State, Table};
use crate::salvage::survey::note;
use crate::txn::building::Building;
use crate::txn::commit::Durability;
use crate::txn::database::DbHandle;
use crate::txn::file_locks::Wait;
use crate::txn::open_table::OpenTable;
use crate::txn::write::Transaction;

/// What was written, and what could not be read.
#[derive(Default)]
pub(super) struct Written {
    pub(super) tables: Vec<SalvagedTable>,
    pub(super) problems: Problems,
    pub(super) lost: LostEntries,
    /// Transactions of the redo log.
    pub(super) replayed: u64,
}

/// Writes everything in `state` to a new database at `path`.
pub(super) fn write(state: &mut State<'_>, path: &Path) -> Result<Written> {
    let source = state.survey.source;
    let length = u64::from(source.page_count) * source.page_size as u64;
    let (building, handle) = Building::begin(path, source.rights()?, source.page_size, length)?;
    let written = write_tables(state, &handle)?;
    let report = check(&handle.core, &mut |_, _| {})?;
    if let Some(problem) = report.problems().first() {
        return Err(Error::Corrupt(Box::new(problem.clone())));
    }
    drop(handle);
    building.finish()?;
    Ok(written)
}

fn write_tables(state: &mut State<'_>, handle: &Arc<DbHandle>) -> Result<Written> {
    let transaction = Transaction::begin(handle, Wait::Forever)?.expect("Wait::Forever has no timeout");
    let source = state.survey.source;
    let mut written = Written::default();
    let mut claimed = PageSet::new(source.page_count)?;
    for mut table in std::mem::take(&mut state.tables) {
        let (key_type, value_type) = (table.key_type.clone(), table.value_type.clone());
        let mut open = transaction.create_table(&table.name, table.kind, key_type, value_type)?;
        let mut writer =
            Writer { source, transaction: &transaction, claimed: &mut claimed, written: &mut written };
        writer.table(&mut table, &mut open)?;
        let entries = open.tree.len();
        transaction.return_table(open);
        written.tables.push(SalvagedTable::new(table, entries));
    }
    if let Some(meta) = &state.meta {
        written.replayed = replay(source, meta, &transaction, &mut written.problems)?;
    }
    count_again(&transaction, &mut written.tables)?;
    transaction.commit(Durability::Durable)?;
    Ok(written)
}

/// Counts the entries again, the values of the keys of multimap tables, and the tables: some may be lost, and the redo
/// log has changed them.
fn count_again(transaction: &Transaction, tables: &mut Vec<SalvagedTable>) -> Result<()> {
    let names = transaction.table_names()?;
    tables.retain(|table| names.contains(&table.name));
    for name in names {
        let Some(entry) = transaction.table_entry(&name)? else { continue };
        if entry.kind == TableKind::Multimap {
            transaction.recount_values(&name)?;
        }
        let entries = transaction.size_of(&name)?.map_or(entry.root.entries, |(entries, _)| entries);
        match tables.iter_mut().find(|table| table.name == name) {
            Some(table) => table.set_entries(entries),
            None => tables.push(SalvagedTable {
                name,
                key_type: entry.key_type,
                value_type: entry.value_type,
                entries,
                expected: Some(entries),
            }),
        }
    }
    Ok(())
}

/// Makes again the changes of the redo log after `meta`, as far as it can be read. Returns how many transactions these
/// are. What does not fit, because it concerns something that is lost, is left out.
fn replay(source: &Source, meta: &Meta, transaction: &Transaction, problems: &mut Problems) -> Result<u64> {
    let Some((place, start)) = LogPlace::of_meta(meta) else { return Ok(0) };
    let mut reader = LogReader::new(place, start, |offset, bytes: &mut [u8]| source.read_log(offset, bytes));
    let mut replayed = 0;
    loop {
        let record = match reader.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(replayed),
            Err(error) => {
                note(problems, error);
                return Ok(replayed);
            }
        };
        for operation in record.operations() {
            match operation.and_then(|(table, operation)| transaction.apply(table, operation)) {
                Err(error @ Error::Corrupt(_)) => note(problems, error),
                Err(Error::TableNotFound { .. } | Error::TableExists { .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        replayed += 1;
    }
}

struct Writer<'a> {
    source: &'a Source,
    transaction: &'a Transaction,
    /// Overflow pages to which an entry refers: each is used once, so that a hostile file cannot multiply a large
    /// value.
    claimed: &'a mut PageSet,
    written: &'a mut Written,
}

/// Ranges of keys that a younger leaf covers.
pub(super) type Spoken = Vec<(Vec<u8>, Vec<u8>)>;

impl Writer<'_> {
    fn table(&mut self, table: &mut Table, open: &mut OpenTable) -> Result<()> {
        for step in in_order(table) {
            match step {
                Step::Leaf(number) => self.leaf(number, &[], open)?,
                Step::Orphans(orphans) => self.orphans(orphans, open)?,
            }
        }
        Ok(())
    }

    /// Writes the leaves of one gap, youngest first.
    fn orphans(&mut self, orphans: Vec<Orphan>, open: &mut OpenTable) -> Result<()> {
        let mut spoken: Spoken = Vec::new();
        for orphan in orphans {
            self.leaf(PageNumber(orphan.number), &spoken, open)?;
            add_range(&mut spoken, orphan);
        }
        Ok(())
    }

    /// Writes the entries of a leaf, except those in the ranges of `spoken`. Only an error of writing is returned.
    fn leaf(
        &mut self,
        number: PageNumber,
        spoken: &[(Vec<u8>, Vec<u8>)],
        open: &mut OpenTable,
    ) -> Result<()> {
        let page: Page = match self.source.tree_page(number) {
            Ok(page) => page,
            Err(error) => {
                note(&mut self.written.problems, error); // it could be read before
                return Ok(());
            }
        };
        let leaf = match LeafView::new(&page) {
            Ok(leaf) => leaf,
            Err(error) => {
                note(&mut self.written.problems, error);
                return Ok(());
            }
        };
        for index in 0..leaf.count() {
            let key = match leaf.key(index) {
                Ok(key) => key,
                Err(error) => {
                    note(&mut self.written.problems, error);
                    continue;
                }
            };
            let after = spoken.partition_point(|(first, _)| first[..] <= *key);
            if after > 0 && *key <= spoken[after - 1].1[..] {
                continue;
            }
            match self.value(&leaf, &page, index) {
                Ok(Value::InPlace(value)) => self.insert(&key, value, open)?,
                Ok(Value::Apart(run, length)) => match overflow::value(&run, length) {
                    Ok(value) => self.insert(&key, value, open)?,
                    Err(error) => self.written.lost.push(&open.name, &key, error),
                },
                Err(error) => self.written.lost.push(&open.name, &key, error),
            }
        }
        Ok(())
    }

    fn insert(&mut self, key: &[u8], value: &[u8], open: &mut OpenTable) -> Result<()> {
        match self.transaction.insert(open, key, value) {
            Err(error @ (Error::KeyTooLong { .. } | Error::ValueTooLarge { .. })) => {
                self.written.lost.push(&open.name, key, error);
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    fn value<'p>(&mut self, leaf: &LeafView<'p>, page: &[u8], index: usize) -> Result<Value<'p>> {
        let (first, length) = match leaf.value(index)? {
            LeafValue::Inline(bytes) => return Ok(Value::InPlace(bytes)),
            LeafValue::Overflow { first, length } => (first, length),
        };
        let run = self.source.run_of_value(first, length)?;
        for number in run.first.0..run.end() {
            if !self.claimed.insert(PageNumber(number)) {
                return Err(corrupt(Some(number), "references to a page", 1, "2 or more"));
            }
        }
        let run = self.source.overflow_run(run, page::birth(page))?;
        Ok(Value::Apart(run, length))
    }
}

enum Value<'a> {
    InPlace(&'a [u8]),
    /// The bytes of an overflow extent, and the length of the value in it.
    Apart(Vec<u8>, u64),
}

/// Adds a range to `spoken`, which stays ascending and without overlaps.
pub(super) fn add_range(spoken: &mut Spoken, Orphan { first: mut lower, last: mut upper, .. }: Orphan) {
    let start = spoken.partition_point(|(_, last)| *last < lower);
    let end = spoken.partition_point(|(first, _)| *first <= upper);
    if start < end {
        lower = lower.min(spoken[start].0.clone());
        upper = upper.max(spoken[end - 1].1.clone());
    }
    spoken.splice(start..end, [(lower, upper)]);
}
