//! A write transaction: private frames over newest's pages, until it commits or is dropped.
//!
//! Invariants:
//! - I1: nothing that any reader can see is written. What a transaction stores before its commit (spilled pages,
//!   large values) goes to pages that no protected snapshot needs, and only the transaction refers to them.
//! - One transaction at a time holds the writer lock. Dropping the transaction, also by a panic, releases it, with
//!   free space as it was, or unknown.
//! - Each open table's tree is with its `TableMut`; the others are here. So the same table is never open twice.
//! - After an operation that failed, or panicked, half-way only abort works, and going back to a savepoint. A single
//!   change of a tree or of free space runs in [`Transaction::guard`]; while it does, the transaction refuses all else.
//!   A change made of several, between which the caller's code runs and may use other tables, runs in
//!   [`Transaction::guard_whole`] as well.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{PageNumber, SavepointId, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::overflow;
use crate::format::page::{self, HEADER_LEN};
use crate::format::redo::record::RecordBuilder;
use crate::shm::watermarks::Snapshot;
use crate::space::Space;
use crate::sys;
use crate::tree::TreeMut;
use crate::tree::pages::{RetiredPages, SealedPages};
use crate::txn::allocation::Numbers;
use crate::txn::database::{Database, DbHandle, WriterGuard};
use crate::txn::file_locks::Wait;
use crate::txn::free_space::load_free_space;
use crate::txn::open_table::OpenTable;
use crate::txn::reader_info::ReaderInfo;
use crate::txn::redo_log::record_builder;
use crate::txn::savepoint_stack::SavepointStack;
use crate::txn::writer_lock::WriterState;

/// Values from this length on are stored when they are inserted, straight from the caller's bytes.
const DIRECT_VALUE_LEN: usize = 256 << 10;
/// Changed pages that any transaction may hold by default, in bytes.
const MIN_DIRTY_MEMORY: usize = 64 << 20;
/// The same where the system does not say how much memory there is.
const DEFAULT_DIRTY_MEMORY: usize = 256 << 20;
/// Transactions between two that reap dead readers, which costs a system call for each other handle.
const TRANSACTIONS_BETWEEN_BURIALS: u64 = 64;

/// A write transaction without types.
pub(crate) struct Transaction {
    pub(crate) handle: Arc<DbHandle>,
    pub(crate) id: TransactionId,
    /// The newest that it builds on.
    pub(crate) base: Snapshot,
    /// Present until the transaction ends.
    pub(super) writer: RefCell<Option<Box<WriterState>>>,
    pub(crate) catalog: RefCell<TreeMut>,
    /// Every table that has been opened: with its tree, or without it while a `TableMut` has the tree.
    pub(super) tables: RefCell<BTreeMap<String, Option<Box<OpenTable>>>>,
    /// What it has done so far, for the redo log.
    pub(super) record: RefCell<RecordBuilder>,
    pub(super) savepoints: RefCell<SavepointStack>,
    /// The newest of them.
    pub(super) newest_savepoint: Cell<SavepointId>,
    pub(super) condition: Cell<Condition>,
    /// Changes made of several that are under way.
    pub(super) whole_changes: Cell<u32>,
    /// The length that the file is to have, in pages, if this transaction gives up free pages at its end.
    cut_to: Cell<Option<u32>>,
    /// The ring of the redo log is given up: it is in the way.
    drops_ring: Cell<bool>,
    /// It changes names of snapshots, and nothing else.
    changes_names: Cell<bool>,
}

/// Whether a transaction can go on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
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
        self.0.whole_changes.update(|count| count - 1);
        self.0.fail();
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
    pub(crate) record: &'a mut RecordBuilder,
    pub(crate) cut_to: Option<u32>,
    pub(crate) drops_ring: bool,
    pub(crate) changes_names: bool,
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

    /// Begins over a newest that replay can reach: if it is unlogged, it is checkpointed first (L9). If a writer has
    /// died, its transaction is completed first, provided that its record is whole (L2).
    fn begin_in_turn(handle: &Arc<DbHandle>, wait: Wait) -> Result<Option<Transaction>> {
        loop {
            let Some(transaction) = Transaction::begin_over_newest(handle, wait)? else { return Ok(None) };
            handle.core.checkpoint_unlogged(transaction.base.id)?;
            if !handle.core.shared.may_have_orphan() || is_mutated(Mutation::OrphanNotReplayed) {
                return Ok(Some(transaction));
            }
            if let Some(transaction) = transaction.complete_orphan()? {
                return Ok(Some(transaction));
            }
        }
    }

    /// Begins, whatever is at newest's log end.
    pub(super) fn begin_over_newest(handle: &Arc<DbHandle>, wait: Wait) -> Result<Option<Transaction>> {
        handle.core.check_writable()?;
        match handle.core.lock_writer(wait)? {
            Some(writer) => Transaction::begin_with(handle, writer.into_state()).map(Some),
            None => Ok(None),
        }
    }

    /// Begins with the writer's state, whose lock the caller has taken.
    pub(super) fn begin_with(handle: &Arc<DbHandle>, state: Box<WriterState>) -> Result<Transaction> {
        let core = &handle.core;
        let state = WriterGuard::new(core, state); // released if this fails
        let base = core.shared.newest_snapshot()?;
        let id = core.shared.next_id();
        let catalog = TreeMut::new(&base.catalog, id, core.pages.page_size);
        let transaction = Transaction {
            handle: Arc::clone(handle),
            id,
            base,
            writer: RefCell::new(Some(state.into_state())),
            catalog: RefCell::new(catalog),
            tables: RefCell::default(),
            record: RefCell::new(record_builder(&core.shared.newest_log()?, core.pages.page_size)),
            savepoints: RefCell::default(),
            newest_savepoint: Cell::new(SavepointId::NONE),
            condition: Cell::new(Condition::Usable),
            whole_changes: Cell::new(0),
            cut_to: Cell::new(None),
            drops_ring: Cell::new(false),
            changes_names: Cell::new(false),
        };
        core.check_writable()?; // it may have been poisoned during the wait
        if !core.shared.ids_are_in_order() {
            return Err(corrupt(None, "lock file", "transaction ids in order", "another order"));
        }
        if id > TransactionId::MAX {
            // No database counts that far: the id that the file came with was forged.
            return Err(corrupt(None, "transaction id", format_args!("below {}", TransactionId::MAX), id));
        }
        let mut writer = transaction.writer.borrow_mut();
        let state = writer.as_mut().expect("the transaction has just begun");
        core.check_files_now_and_then(state, &transaction.base)?;
        drop(writer);
        Ok(transaction)
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
        self.whole_changes.update(|count| count + 1);
        let unfinished = Unfinished(self);
        let done = change()?;
        std::mem::forget(unfinished);
        self.whole_changes.update(|count| count - 1);
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

    // ---- free space ----

    /// Notes that the commit will make the file `length_pages` long: what lies after that is free.
    pub(crate) fn cut_to(&self, length_pages: u32) {
        self.cut_to.set(Some(length_pages));
    }

    /// Notes that the commit will give up the ring of the redo log. A later commit takes another.
    pub(crate) fn drop_ring(&self) {
        self.drops_ring.set(true);
    }

    /// Notes that the transaction has changed names of snapshots in free space, and changes nothing else.
    pub(crate) fn change_names(&self) {
        self.changes_names.set(true);
    }

    /// Works on free space, which is loaded at first use.
    pub(crate) fn with_space<T>(&self, work: impl FnOnce(&mut Space) -> Result<T>) -> Result<T> {
        let mut writer = self.writer.borrow_mut();
        let state = writer.as_mut().expect("the transaction has not ended");
        // After an error nothing has changed, or the caller knows what has; after a panic the state is unknown.
        self.guard_unless(
            |_| true,
            || {
                let (pages, shared) = (&self.core().pages, &self.core().shared);
                let space = &mut load_free_space(pages, shared, &mut state.log, &self.base)?.space;
                if space.marked() < self.newest_savepoint.get() {
                    space.mark(self.newest_savepoint.get());
                }
                work(space)
            },
        )
    }

    /// Notes what a tree no longer uses: free at once if this transaction stored it, retired otherwise.
    pub(super) fn retire(&self, tree: &mut TreeMut) -> Result<()> {
        let retired = tree.take_retired();
        self.with_space(|space| retire_all(space, retired, self.id))
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
        let held = || table.tree.held_bytes() + self.held_bytes_of_closed_tables();
        if self.may_hold(own.saturating_mul(8)) || self.may_hold(held()) {
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
        let OpenTable { tree, is_stored_as_it_grows, .. } = table;
        let pages = &self.core().pages;
        self.with_space(|space| {
            self.guard(|| retire_all(space, tree.take_retired(), self.id))?;
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
            *is_stored_as_it_grows |= only_finished;
            tree.reuse(sealed);
            Ok(())
        })
    }

    fn held_bytes_of_closed_tables(&self) -> usize {
        self.tables.borrow().values().flatten().map(|table| table.tree.held_bytes()).sum()
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
                page::seal_parts(&mut header, &[value, &padding], run.first, self.id);
                if let Err(error) = self.core().pages.store_parts(run.first, &[&header, value, &padding]) {
                    self.guard(|| self.with_space(|space| space.release(run)))?;
                    return Err(error);
                }
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
            record: self.record.get_mut(),
            cut_to: self.cut_to.get(),
            drops_ring: self.drops_ring.get(),
            changes_names: self.changes_names.get(),
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
pub(crate) fn retire_all(space: &mut Space, retired: Vec<RetiredPages>, id: TransactionId) -> Result<()> {
    for RetiredPages { run, birth } in retired {
        if birth == id {
            space.release(run)?;
        } else {
            space.retire(run, birth, id)?;
        }
    }
    Ok(())
}

/// An eighth of the memory that this process can have. The system is asked once.
fn default_dirty_memory() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| match sys::memory_bytes() {
        Some(bytes) => usize::try_from(bytes / 8).unwrap_or(usize::MAX).max(MIN_DIRTY_MEMORY),
        None => DEFAULT_DIRTY_MEMORY,
    })
}
