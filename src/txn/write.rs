//! A write transaction: private frames over newest's pages, until it commits or is dropped.
//!
//! Invariants:
//! - I1: nothing that any reader can see is written. What a transaction stores before its commit (spilled pages,
//!   large values) goes to pages that no protected snapshot needs, and only the transaction refers to them.
//! - One transaction at a time holds the writer lock. Dropping the transaction, also by a panic, releases it, with
//!   free space as it was, or unknown.
//! - Each open table's tree is with its `TableMut`; the others are here. So the same table is never open twice.
//! - After an operation that failed, or panicked, half-way only abort works. A single change of a tree or of free
//!   space runs in [`Transaction::guard`]; while it does, the transaction refuses all else. A change made of several,
//!   between which the caller's code runs and may use other tables, runs in [`Transaction::guard_whole`] as well.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::catalog::{MAX_NAME_LEN, TableEntry};
use crate::format::overflow;
use crate::format::page::{self, HEADER_LEN};
use crate::format::tree_root::TreeRoot;
use crate::shm::watermarks::Snapshot;
use crate::space::Space;
use crate::sys;
use crate::tree::pages::{RetiredPages, SealedPages};
use crate::tree::{NewValue, TreeMut};
use crate::txn::allocation::Numbers;
use crate::txn::database::{Database, DbHandle};
use crate::txn::file_locks::Wait;
use crate::txn::free_space::load_free_space;
use crate::txn::page_file::PageFile;
use crate::txn::reader_info::ReaderInfo;
use crate::txn::unsynced_pages::UnsyncedPages;
use crate::txn::writer_lock::WriterState;

/// Values from this length on are stored when they are inserted, straight from the caller's bytes.
const DIRECT_VALUE_LEN: usize = 256 << 10;
/// Changed pages that any transaction may hold by default, in bytes.
const MIN_DIRTY_MEMORY: usize = 64 << 20;
/// The same where the system does not say how much memory there is.
const DEFAULT_DIRTY_MEMORY: usize = 256 << 20;
/// Changed pages, in bytes, of a table whose entries were only appended, before they are stored: all but a few of
/// them will not change any more.
const APPENDED_BYTES: usize = 8 << 20;
/// The same once that has begun: so the memory that is used again and again stays in the processor's cache.
const NEXT_APPENDED_BYTES: usize = 1 << 20;
/// Transactions between two that reap dead readers, which costs a system call for each other handle.
const TRANSACTIONS_BETWEEN_BURIALS: u64 = 64;

/// A write transaction without types.
pub(crate) struct Transaction {
    pub(crate) handle: Arc<DbHandle>,
    pub(crate) id: TransactionId,
    /// The newest that it builds on.
    pub(crate) base: Snapshot,
    /// Present until the transaction ends.
    writer: RefCell<Option<Box<WriterState>>>,
    pub(crate) catalog: RefCell<TreeMut>,
    /// Every table that has been opened: with its tree, or without it while a `TableMut` has the tree.
    tables: RefCell<BTreeMap<String, Option<Box<OpenTable>>>>,
    /// Pages that it has stored before its commit and not dropped again, with their checksums.
    stored: RefCell<UnsyncedPages>,
    condition: Cell<Condition>,
    /// The length that the file is to have, in pages, if this transaction gives up free pages at its end.
    cut_to: Cell<Option<u32>>,
}

/// Whether a transaction can go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Usable,
    /// A change is under way; or one has panicked, and its state is unknown.
    Changing,
    /// A change has ended half-way with an error.
    Failed,
}

/// A change made of several ([`Transaction::guard_whole`]) that has not come to its end: dropped, it fails the
/// transaction.
struct Unfinished<'a>(&'a Transaction);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// A table in a write transaction.
pub(crate) struct OpenTable {
    pub(crate) name: String,
    pub(crate) tree: TreeMut,
    /// The table's entry in the catalog.
    pub(crate) entry: TableEntry,
    /// Whether pages were stored early because entries were only appended.
    is_stored_as_it_grows: bool,
}

impl OpenTable {
    fn new(name: &str, entry: TableEntry, transaction: TransactionId, page_size: usize) -> Box<OpenTable> {
        let tree = TreeMut::new(&entry.root, transaction, page_size);
        Box::new(OpenTable { name: name.to_owned(), tree, entry, is_stored_as_it_grows: false })
    }

    /// Whether most of its changed pages will not change any more, and are worth storing.
    fn has_finished_pages(&self) -> bool {
        let enough = if self.is_stored_as_it_grows { NEXT_APPENDED_BYTES } else { APPENDED_BYTES };
        self.tree.is_only_appended() && self.tree.dirty_bytes() > enough
    }

    /// Whether the table differs from its entry in the catalog.
    pub(crate) fn is_changed(&self) -> bool {
        self.tree.is_changed_from(&self.entry.root)
    }
}

/// A transaction taken apart, for its commit.
pub(crate) struct Parts<'a> {
    pub(crate) core: &'a Database,
    pub(crate) id: TransactionId,
    pub(crate) base: &'a Snapshot,
    pub(crate) state: &'a mut WriterState,
    pub(crate) catalog: &'a mut TreeMut,
    pub(crate) tables: &'a mut BTreeMap<String, Option<Box<OpenTable>>>,
    pub(crate) stored: &'a mut UnsyncedPages,
    pub(crate) cut_to: Option<u32>,
}

impl Transaction {
    /// Begins, once it holds the writer lock. Returns `None` if the wait is over first.
    pub(crate) fn begin(handle: &Arc<DbHandle>, wait: Wait) -> Result<Option<Transaction>> {
        let Some(transaction) = Transaction::begin_in_turn(handle, wait)? else { return Ok(None) };
        let old = transaction.reap_and_report_readers()?;
        if old.is_empty() {
            return Ok(Some(transaction));
        }
        // Readers are reported to the application while the writer lock is free, because its callback may write. The
        // second time nothing is reported: so however many readers become old meanwhile, this transaction comes to
        // write.
        drop(transaction);
        handle.core.report(&old);
        Transaction::begin_in_turn(handle, wait)
    }

    /// Begins as [`Transaction::begin`] does, with the timeout of the handle if there is none here. Returns an error if
    /// the wait is over.
    pub(crate) fn begin_within(handle: &Arc<DbHandle>, timeout: Option<Duration>) -> Result<Transaction> {
        let timeout = timeout.or(handle.core.settings.write_timeout);
        let transaction = Transaction::begin(handle, Wait::within(timeout))?;
        transaction.ok_or_else(|| handle.core.write_timed_out(timeout))
    }

    fn begin_in_turn(handle: &Arc<DbHandle>, wait: Wait) -> Result<Option<Transaction>> {
        handle.core.check_writable()?;
        let Some(writer) = handle.core.lock_writer(wait)? else { return Ok(None) };
        let core = &handle.core;
        let base = core.shared.newest_snapshot()?;
        let id = core.shared.next_id();
        let catalog = TreeMut::new(&base.catalog, id, core.pages.page_size);
        let transaction = Transaction {
            handle: Arc::clone(handle),
            id,
            base,
            writer: RefCell::new(Some(writer.into_state())),
            catalog: RefCell::new(catalog),
            tables: RefCell::default(),
            stored: RefCell::default(),
            condition: Cell::new(Condition::Usable),
            cut_to: Cell::new(None),
        };
        core.check_writable()?; // it may have been poisoned during the wait
        if !core.shared.ids_are_in_order() {
            return Err(corrupt(None, "lock file", "transaction ids in order", "another order"));
        }
        if id > TransactionId::MAX {
            // No database counts that far: the id that the file came with was forged.
            return Err(corrupt(None, "transaction id", format_args!("below {}", TransactionId::MAX), id));
        }
        core.check_files(&transaction.base)?;
        Ok(Some(transaction))
    }

    /// Every so often reaps dead readers, so that what they protect comes back by itself. Returns the readers that
    /// are to be reported to the application.
    fn reap_and_report_readers(&self) -> Result<Vec<ReaderInfo>> {
        let mut writer = self.writer.borrow_mut();
        let state = writer.as_mut().expect("the transaction has just begun");
        // Transactions are counted here: if takings of the lock were counted, those for other purposes could hit, or
        // miss, the multiples each time.
        state.transactions += 1;
        if state.transactions.is_multiple_of(TRANSACTIONS_BETWEEN_BURIALS) {
            self.core().reap_dead_readers()?;
            self.core().shared.narrow_reader_table()?;
        }
        self.core().new_old_readers(state)
    }

    pub(crate) fn core(&self) -> &Database {
        &self.handle.core
    }

    /// Runs a change. After one that fails, or panics, half-way the transaction can only be aborted.
    pub(crate) fn guard<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        self.guard_unless(|_| false, change)
    }

    /// The same, except for errors that occur before anything has changed.
    pub(crate) fn guard_unless<T>(
        &self,
        is_refusal: impl FnOnce(&Error) -> bool,
        change: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let before = self.condition.replace(Condition::Changing);
        let result = change();
        // A part of the change may have failed and been repaired by its caller: but not for the transaction.
        let is_good =
            self.condition.get() == Condition::Changing && result.as_ref().err().is_none_or(is_refusal);
        self.condition.set(if is_good { before } else { Condition::Failed });
        result
    }

    /// Runs a change that is made of several, with the caller's code between them. If it does not end, because of an
    /// error or a panic, some of its parts may have been made: then the transaction can only be aborted.
    pub(crate) fn guard_whole<T, E>(&self, change: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let unfinished = Unfinished(self);
        let done = change()?;
        std::mem::forget(unfinished);
        Ok(done)
    }

    /// From now on only abort works. A panic in a change is more than that, and stays known.
    pub(crate) fn fail(&self) {
        if self.condition.get() == Condition::Usable {
            self.condition.set(Condition::Failed);
        }
    }

    pub(crate) fn check_usable(&self) -> Result<()> {
        self.core().check_not_forked()?;
        match self.condition.get() {
            Condition::Usable => Ok(()),
            Condition::Changing | Condition::Failed => Err(Error::TransactionFailed),
        }
    }

    // ---- tables ----

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
        Ok(Some(OpenTable::new(name, entry, self.id, self.core().pages.page_size)))
    }

    /// Creates an empty table, and takes it out.
    pub(crate) fn create_table(
        &self,
        name: &str,
        key_type: String,
        value_type: String,
    ) -> Result<Box<OpenTable>> {
        let length = name.len().max(key_type.len() + value_type.len());
        if length > MAX_NAME_LEN {
            return Err(Error::TableNameTooLong { length, limit: MAX_NAME_LEN });
        }
        let entry = TableEntry { root: TreeRoot::default(), key_type, value_type };
        self.put_entry(name, &entry)?;
        self.tables.borrow_mut().insert(name.to_owned(), None);
        Ok(OpenTable::new(name, entry, self.id, self.core().pages.page_size))
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

    /// How many entries and levels a table has, if it has been opened here and is not open now.
    pub(crate) fn size_of(&self, name: &str) -> Option<(u64, u8)> {
        let tables = self.tables.borrow();
        tables.get(name)?.as_ref().map(|table| (table.tree.len(), table.tree.top().depth))
    }

    fn put_entry(&self, name: &str, entry: &TableEntry) -> Result<()> {
        let bytes = entry.encode();
        let mut catalog = self.catalog.borrow_mut();
        self.guard(|| catalog.insert(&self.core().pages, name.as_bytes(), NewValue::Bytes(&bytes)))?;
        Ok(())
    }

    /// Removes a table and all that is in it. Returns whether it was there.
    pub(crate) fn drop_table(&self, name: &str) -> Result<bool> {
        let Some(table) = self.take_table(name)? else { return Ok(false) };
        let mut tree = table.tree;
        self.guard(|| {
            tree.clear(&self.core().pages)?;
            self.catalog.borrow_mut().remove(&self.core().pages, name.as_bytes())?;
            self.retire(tree)
        })?;
        // A table created later under its name is another.
        self.tables.borrow_mut().remove(name);
        Ok(true)
    }

    /// Gives a table another name.
    pub(crate) fn rename_table(&self, from: &str, to: &str) -> Result<()> {
        if to.len() > MAX_NAME_LEN {
            return Err(Error::TableNameTooLong { length: to.len(), limit: MAX_NAME_LEN });
        }
        let Some(mut table) = self.take_table(from)? else {
            return Err(Error::TableNotFound { name: from.to_owned() });
        };
        let is_taken = self.table_entry(to).map(|entry| entry.is_some());
        if from == to || !matches!(is_taken, Ok(false)) {
            self.return_table(table);
            is_taken?;
            return if from == to { Ok(()) } else { Err(Error::TableExists { name: to.to_owned() }) };
        }
        self.guard(|| {
            self.put_entry(to, &table.entry)?;
            self.catalog.borrow_mut().remove(&self.core().pages, from.as_bytes())
        })?;
        self.tables.borrow_mut().remove(from);
        table.name = to.to_owned();
        self.return_table(table);
        Ok(())
    }

    // ---- changing a table ----

    /// Runs a change of a table's tree. If it fails the transaction can only be aborted, except for what was refused
    /// before anything had changed.
    pub(crate) fn change<'a, T>(
        &'a self,
        table: &'a mut OpenTable,
        change: impl FnOnce(&'a mut OpenTable, &'a PageFile) -> Result<T>,
    ) -> Result<T> {
        self.check_usable()?;
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
        if self.is_stored_directly(value.len()) {
            table.tree.check_key(key)?;
            // This spills now if it must: if that failed after the next line, the value's pages would be lost.
            self.change(table, |_, _| Ok(()))?;
            let first = self.store_value(value)?;
            let length = value.len() as u64;
            let stored = self.change(table, |table, pages| {
                table.tree.insert(pages, key, NewValue::Stored { first, length })
            });
            return self.guard(|| stored); // what is stored and not in the tree would be lost
        }
        self.change(table, |table, pages| table.tree.insert(pages, key, NewValue::Bytes(value)))
    }

    // ---- free space ----

    /// Notes that the commit will make the file `length_pages` long: what lies after that is free.
    pub(crate) fn cut_to(&self, length_pages: u32) {
        self.cut_to.set(Some(length_pages));
    }

    /// Works on free space, which is loaded at first use.
    pub(crate) fn with_space<T>(&self, work: impl FnOnce(&mut Space) -> Result<T>) -> Result<T> {
        let mut writer = self.writer.borrow_mut();
        let state = writer.as_mut().expect("the transaction has not ended");
        // After an error nothing has changed, or the caller knows what has; after a panic the state is unknown.
        self.guard_unless(
            |_| true,
            || {
                work(
                    &mut load_free_space(
                        &self.core().pages,
                        &self.core().shared,
                        &mut state.log,
                        &self.base,
                    )?
                    .space,
                )
            },
        )
    }

    /// Notes what a tree no longer uses: free at once if this transaction stored it, retired otherwise.
    fn retire(&self, mut tree: TreeMut) -> Result<()> {
        let retired = tree.take_retired();
        self.with_space(|space| retire_all(space, &mut self.stored.borrow_mut(), retired, self.id))
    }

    /// Called before a table is changed: stores its frames early if too many are held, or if most of them are
    /// finished.
    pub(crate) fn spill_if_needed(&self, table: &mut OpenTable) -> Result<()> {
        if table.has_finished_pages() {
            let spilled = self.spill(table, true);
            if spilled.is_ok() || self.check_usable().is_err() {
                return spilled;
            }
            // There is no room, which the commit will report, unless later changes make it smaller.
            table.tree.expect_changes();
        }
        let own = table.tree.dirty_bytes();
        // A table with few frames is left alone, even if others hold many: it would spill at every step.
        if self.may_hold(own.saturating_mul(8)) || self.may_hold(own + self.dirty_bytes_of_closed_tables()) {
            return Ok(());
        }
        self.spill(table, false)
    }

    /// Whether the transaction may have this many bytes of changes in memory.
    pub(crate) fn may_hold(&self, bytes: usize) -> bool {
        match self.core().settings.dirty_memory {
            Some(budget) => bytes <= budget,
            None => bytes <= MIN_DIRTY_MEMORY || bytes <= default_dirty_memory(),
        }
    }

    /// Stores the frames of a table: all, or only those that will not change any more, after which others will
    /// follow.
    fn spill(&self, table: &mut OpenTable, only_finished: bool) -> Result<()> {
        let mut stored = self.stored.borrow_mut();
        let OpenTable { tree, is_stored_as_it_grows, .. } = table;
        let pages = &self.core().pages;
        self.with_space(|space| {
            self.guard(|| retire_all(space, &mut stored, tree.take_retired(), self.id))?;
            let mut numbers = Numbers::plan(self.core(), space, tree.dirty_page_count())?;
            let mut sealed: Vec<SealedPages> = Vec::new();
            self.guard(|| {
                if only_finished {
                    tree.seal_finished(&mut numbers, &mut sealed)?;
                    numbers.finish()?;
                    return pages.store_ahead(&mut sealed);
                }
                tree.seal(&mut numbers, &mut sealed)?;
                numbers.finish()?;
                pages.store(&mut sealed)
            })?;
            add_all(&mut stored, &sealed, pages.page_size);
            *is_stored_as_it_grows |= only_finished;
            tree.reuse(sealed);
            Ok(())
        })
    }

    fn dirty_bytes_of_closed_tables(&self) -> usize {
        self.tables.borrow().values().flatten().map(|table| table.tree.dirty_bytes()).sum()
    }

    /// Stores a large value at once. Returns the first page of its overflow extent.
    pub(crate) fn store_value(&self, value: &[u8]) -> Result<PageNumber> {
        let page_size = self.core().pages.page_size;
        let count = overflow::page_count(page_size, value.len() as u64);
        let padding = vec![0u8; count as usize * page_size - HEADER_LEN - value.len()];
        let mut header = overflow::new_header(page_size, value.len() as u64);
        // If it fails the transaction may go on without the value.
        self.guard_unless(
            |_| true,
            || {
                let run = self.with_space(|space| self.core().allocate_run(space, count))?;
                let checksum = page::seal_parts(&mut header, &[value, &padding], run.first, self.id);
                if let Err(error) = self.core().pages.store_parts(run.first, &[&header, value, &padding]) {
                    self.guard(|| self.with_space(|space| space.release(run)))?;
                    return Err(error);
                }
                self.stored.borrow_mut().add(run, checksum);
                Ok(run.first)
            },
        )
    }

    /// Whether a value is to be stored with [`Transaction::store_value`] when it is inserted.
    pub(crate) fn is_stored_directly(&self, value_len: usize) -> bool {
        value_len >= DIRECT_VALUE_LEN && value_len as u64 <= u64::from(u32::MAX)
    }

    // ---- the end ----

    /// What the commit works on. The writer lock stays with the transaction until the commit has succeeded.
    pub(crate) fn parts(&mut self) -> Parts<'_> {
        Parts {
            core: &self.handle.core,
            id: self.id,
            base: &self.base,
            state: self.writer.get_mut().as_mut().expect("the transaction has not ended"),
            catalog: self.catalog.get_mut(),
            tables: self.tables.get_mut(),
            stored: self.stored.get_mut(),
            cut_to: self.cut_to.get(),
        }
    }

    /// Releases the writer lock: the transaction has ended.
    pub(crate) fn unlock_writer(&mut self) {
        if let Some(state) = self.writer.get_mut().take() {
            self.handle.core.unlock_writer(state);
        }
    }
}

impl Drop for Transaction {
    /// A transaction that has not been committed never happened.
    fn drop(&mut self) {
        if let Some(state) = self.writer.get_mut().as_mut() {
            // If the changes cannot be undone, free space is loaded again from the log when it is needed.
            let may_be_halfway = self.condition.get() == Condition::Changing || std::thread::panicking();
            if may_be_halfway || state.log.as_mut().is_some_and(|log| log.space.abort().is_err()) {
                state.log = None;
            }
        }
        self.unlock_writer();
    }
}

/// Pages that were born in this transaction are free at once: no other transaction has ever seen them.
pub(crate) fn retire_all(
    space: &mut Space,
    stored: &mut UnsyncedPages,
    retired: Vec<RetiredPages>,
    id: TransactionId,
) -> Result<()> {
    for RetiredPages { run, birth } in retired {
        if birth == id {
            stored.remove(run);
            space.release(run)?;
        } else {
            space.retire(run, birth, id)?;
        }
    }
    Ok(())
}

/// Notes pages that are stored.
pub(crate) fn add_all(stored: &mut UnsyncedPages, sealed: &[SealedPages], page_size: usize) {
    for pages in sealed {
        let count = (pages.bytes.len() / page_size) as u32;
        stored.add(Extent { first: pages.first, count }, pages.checksum);
    }
}

/// An eighth of the memory that this process can have. The system is asked once.
fn default_dirty_memory() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| match sys::memory_bytes() {
        Some(bytes) => usize::try_from(bytes / 8).unwrap_or(usize::MAX).max(MIN_DIRTY_MEMORY),
        None => DEFAULT_DIRTY_MEMORY,
    })
}
