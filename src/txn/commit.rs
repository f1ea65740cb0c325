//! The commit: from frames in memory to a durable snapshot that readers see.
//!
//! The steps, and what a crash, a kill or an error at each leaves (docs/DURABILITY.md has the whole argument):
//!
//! 1. **Plan** the log: whether the transaction gets a record, is unlogged, or takes another ring. **Make room** for
//!    the record, if necessary by a checkpoint (L7).
//! 2. **Number** the frames of every changed table, then of the catalog, bottom-up and in key order. Note what that
//!    took from free space and what it retired.
//! 3. **Store** the pages, in few extents. Up to here only pages that no protected snapshot needs have been touched
//!    (I1, R1): whatever happens, the transaction never happened.
//! 4. **Append** the record to the log, if both files still have their names. From here on a death leaves an orphaned
//!    record, which the next writer, or recovery, completes (L2).
//! 5. **Publish**: newest advances over the record (R8). Now it has happened, for every later transaction; a lazy
//!    commit over durable ones is visible at once (R3).
//! 6. **Release the writer lock.** Other writers go on while this one waits.
//! 7. **Sync**, or wait for the thread that syncs: one barrier over the log ([`crate::txn::sync`]); a checkpoint, if
//!    the transaction is not in the log ([`crate::txn::checkpoint`]). An error here poisons the database (I6); what
//!    is on the disk decides at the next recovery. At last the names are compared once more: a commit to a file
//!    without a name is not acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{Lsn, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::meta::TAIL_LIMIT;
use crate::format::page;
use crate::format::redo::record::{HEADER_LEN, RecordBuilder};
use crate::format::ring::{MIN_BLOCKS, Ring};
use crate::shm::watermarks::{CommittedState, LogState, Snapshot};
use crate::space::Space;
use crate::space::save::{FreeLog, LogLimits};
use crate::tree::pages::SealedPages;
use crate::tree::{NewValue, TreeMut};
use crate::txn::allocation::{Numbers, scarce_pages};
use crate::txn::database::Database;
use crate::txn::file_locks::Wait;
use crate::txn::free_space::load_free_space;
use crate::txn::open_table::OpenTable;
use crate::txn::write::{Parts, Transaction, retire_all};

/// Bytes of the first ring of a file.
const FIRST_RING_BYTES: u64 = 64 << 10;
/// A ring gives way to one this many times as long; at once to the longest that the file may have, if the file is not
/// small: each change of the ring costs a checkpoint.
const RING_GROWTH: u64 = 4;
/// A checkpoint is due once it pins one page in this many of the file, beyond what readers pin. It is also due, before
/// the file grows for lack of what it pins, once that is [`scarce_pages`], and fewer are free than that, or than the
/// last transaction took.
const PINNED_DIVISOR: u32 = 4;
/// A ring is at most one part in this many of what is in use, but it may have this many bytes in any file.
const RING_DIVISOR: u64 = 4;
const MAX_SMALL_RING_BYTES: u64 = 1 << 20;
/// A ring is given up when it is more than this many times as long as that, because less is in use now.
const MOST_EXCESS: u64 = 2;

/// When a commit returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When the transaction, and all before it, survive loss of power.
    #[default]
    Durable,
    /// When the transaction is visible. It survives the end of the process, and becomes durable with the next durable
    /// commit, `sync`, checkpoint or close; loss of power before that may undo it, newest first. A bulk load, and a
    /// transaction that is too long for the redo log, are durable when the commit returns.
    Lazy,
}

impl Transaction {
    /// Commits, and returns once the transaction is visible: with [`Durability::Durable`], once it is durable.
    pub(crate) fn commit(self, durability: Durability) -> Result<TransactionId> {
        let handle = Arc::clone(&self.handle);
        let id = self.publish(durability)?;
        match durability {
            Durability::Durable if is_mutated(Mutation::CommitDoesNotWait) => {}
            Durability::Durable => {
                handle.core.wait_durable(id)?;
                if !is_mutated(Mutation::CutTooEarly) {
                    handle.core.checkpoint_given_up(id)?;
                }
                handle.core.cut_free_tail();
            }
            Durability::Lazy => handle.core.wait_visible(id)?,
        }
        if durability == Durability::Durable {
            handle.core.pages.storage.acknowledged(id);
        }
        handle.owner.checkpoint_if_due();
        Ok(id)
    }

    /// Steps 1 to 6. A transaction that changed nothing leaves no trace: its id is that of newest. But if it is to be
    /// durable, and newest is a lazy commit that no sync promises, it is one without changes that seals the log.
    pub(crate) fn publish(mut self, durability: Durability) -> Result<TransactionId> {
        self.check_usable()?;
        self.core().check_writable()?;
        self.check_tables_are_back()?;
        self.release_all_savepoints()?;
        self.complete_tables()?;
        let is_durable = durability == Durability::Durable;
        let parts = self.parts();
        if !parts.has_changes() && (!is_durable || parts.core.is_promised(&parts.core.shared.newest()?)) {
            return Ok(parts.base.id);
        }
        let id = parts.publish(is_durable)?;
        self.unlock_writer();
        Ok(id)
    }
}

impl Database {
    /// Ensures that a sync can promise newest: that its record seals the log (L14), or that it is checkpointed. Returns
    /// the transaction that does. Lazy commits are followed by one that changes nothing.
    pub(crate) fn seal_newest(&self) -> Result<TransactionId> {
        let newest = self.shared.newest()?;
        if self.is_promised(&newest) || self.is_read_only() {
            return Ok(newest.snapshot.id);
        }
        let mut writer = self.lock_writer(Wait::Forever)?.expect("it waits as long as it takes");
        self.check_writable()?;
        let newest = self.shared.newest()?;
        if self.is_promised(&newest) {
            return Ok(newest.snapshot.id);
        }
        if self.shared.may_have_orphan() {
            // The next transaction completes it. Until then nothing can be appended.
            self.checkpoint_through(newest.snapshot.id)?;
            return Ok(newest.snapshot.id);
        }
        self.check_files(&newest.snapshot)?;
        let id = self.shared.next_id();
        let parts = Parts {
            core: self,
            id,
            base: &newest.snapshot,
            state: &mut writer,
            catalog: &mut TreeMut::new(&newest.snapshot.catalog, id, self.pages.page_size),
            tables: &mut BTreeMap::new(),
            record: &mut RecordBuilder::new(HEADER_LEN),
            cut_to: None,
            drops_ring: false,
            changes_names: false,
        };
        let published = parts.publish(true);
        if published.is_err() {
            writer.log = None; // it may be half changed
        }
        published
    }

    /// Whether a sync can make newest durable.
    fn is_promised(&self, newest: &CommittedState) -> bool {
        let CommittedState { snapshot, log, .. } = newest;
        let promised =
            log.sealed.max(log.unlogged).max(self.shared.checkpointed()).max(self.shared.durable());
        promised >= snapshot.id
    }
}

/// How a transaction becomes part of the log.
enum LogPlan {
    /// It gets a record.
    Append(Ring),
    /// It is unlogged (L9). The log goes on in the same ring, if there is one.
    Unlogged,
    /// It is unlogged, and takes another ring of this many bytes.
    WishRing(u64),
    /// The same, when it has taken the ring (L4).
    NewRing(Ring),
    /// It is unlogged, and gives the ring up.
    DropRing,
}

impl Parts<'_> {
    fn has_changes(&self) -> bool {
        let tables = self.tables.values().flatten();
        self.cut_to.is_some()
            || self.drops_ring
            || self.changes_names
            || self.catalog.is_changed_from(&self.base.catalog)
            || tables.into_iter().any(|table| table.is_changed())
    }

    /// Steps 1 to 5, and returns the transaction's id.
    pub(super) fn publish(mut self, is_durable: bool) -> Result<TransactionId> {
        let (core, id) = (self.core, self.id);
        core.make_room_for_descriptor()?;
        let log = core.shared.newest()?;
        core.check_log(&log)?;
        let log = log.log;
        let plan = self.plan_log(&log)?;
        let (snapshot, saved, plan) = self.store(plan, &log)?;
        let is_lazy = !is_durable && matches!(plan, LogPlan::Append(_));
        if !(is_lazy && core.has_checked_files(self.state)) {
            core.check_names()?;
        }
        self.check_before_publishing()?;
        let log = self.append(plan, &log, is_durable)?;
        self.advance_newest(snapshot, saved, log, is_durable || log.unlogged == id);
        Ok(id)
    }

    /// Publishes a transaction whose record is in the log already, as the orphan of a writer that has died (L2).
    pub(super) fn publish_orphan(mut self, log: LogState, is_durable: bool) -> Result<TransactionId> {
        let id = self.id;
        let (snapshot, saved, _) = self.store(LogPlan::Unlogged, &log)?;
        self.core.check_names()?;
        self.check_before_publishing()?;
        self.advance_newest(snapshot, saved, log, is_durable);
        Ok(id)
    }

    /// Publishes what recovery has replayed: a transaction that is not in the log, which begins again at `lsn` (L5). It
    /// gives the ring up if this handle wants none, or has longer blocks than the ring was made for.
    pub(super) fn publish_replayed(mut self, log: LogState, lsn: Lsn) -> Result<TransactionId> {
        let (core, id) = (self.core, self.id);
        let lsn = lsn.round_up(core.block);
        let fits = |ring: &Ring| ring.has_whole_blocks(core.pages.page_size, core.block);
        let kept = log.ring.filter(|ring| core.settings.log_size > 0 && fits(ring));
        if let (Some(ring), None) = (log.ring, kept) {
            self.retire_ring(ring)?;
        }
        let (snapshot, saved, _) = self.store(LogPlan::Unlogged, &log)?;
        self.core.check_names()?;
        self.check_before_publishing()?;
        let ring = kept.map(|ring| Ring { base: lsn, ..ring });
        let log = LogState { ring, end: lsn, unlogged: id, ..log };
        self.advance_newest(snapshot, saved, log, true);
        Ok(id)
    }

    fn space(&mut self) -> Result<&mut Space> {
        let Parts { core, base, state, .. } = self;
        Ok(&mut load_free_space(&core.pages, &core.shared, &mut state.log, base)?.space)
    }

    /// Step 1.
    fn plan_log(&mut self, log: &LogState) -> Result<LogPlan> {
        if self.changes_names {
            // Newest has been named: a ring retired now would count as a page that it needs.
            return Ok(LogPlan::Unlogged);
        }
        if let Some(ring) = log.ring
            && (self.drops_ring || self.is_ring_in_the_way(log, ring)?)
        {
            self.retire_ring(ring)?;
            return Ok(LogPlan::DropRing);
        }
        match self.wished_ring(log) {
            Some(length) => Ok(LogPlan::WishRing(length)),
            None => self.plan_record(log),
        }
    }

    /// Whether the end of the file could be given up if the ring were not there, or the ring is much longer than one
    /// that would be taken now.
    fn is_ring_in_the_way(&mut self, log: &LogState, ring: Ring) -> Result<bool> {
        let page_size = self.core.pages.page_size;
        let has_ceiling = self.cut_to.is_some();
        let space = self.space()?;
        if has_ceiling || space.ceiling().is_some() {
            return Ok(false);
        }
        let enough = pages_worth_cutting(space.length_pages(), page_size);
        if space.unused_end_pages(Some(ring.extent()), |_| false, enough) >= enough {
            return Ok(true);
        }
        Ok(ring.length_bytes(page_size) > MOST_EXCESS * self.longest_ring(log))
    }

    /// Plans a record in the ring that there is, if it fits, and makes room for it.
    fn plan_record(&mut self, log: &LogState) -> Result<LogPlan> {
        let Some(ring) = log.ring.filter(|_| !self.record.is_given_up()) else {
            return Ok(LogPlan::Unlogged);
        };
        let length = self.record.record_len();
        if !self.core.has_room_for_record(log, ring, length) && !is_mutated(Mutation::LogOverwritten) {
            self.core.checkpoint_through(self.base.id)?;
        }
        Ok(LogPlan::Append(ring))
    }

    /// The length of the ring that the log is to go on in, if it is to be another.
    fn wished_ring(&self, log: &LogState) -> Option<u64> {
        let page_size = self.core.pages.page_size as u64;
        let most = self.core.settings.log_size.min(self.longest_ring(log));
        if self.cut_to.is_some() {
            return None;
        }
        let now = log.ring.map_or(0, |ring| ring.length_bytes(self.core.pages.page_size));
        let is_too_short = self.record.is_given_up() || self.core.is_log_half_full(log);
        let wished = match now {
            0 => FIRST_RING_BYTES.max(MIN_BLOCKS * self.core.block).min(self.core.settings.log_size),
            _ if is_too_short => (now * RING_GROWTH).max(self.share_of_file(log)).min(most),
            _ => return None,
        };
        let unit = page_size.max(self.core.block);
        let wished = wished / unit * unit;
        (wished >= 2 * now && wished >= MIN_BLOCKS * self.core.block).then_some(wished)
    }

    /// The length of the longest ring for what is in use, in bytes.
    fn longest_ring(&self, log: &LogState) -> u64 {
        self.share_of_file(log).max(MAX_SMALL_RING_BYTES)
    }

    /// The part of what is in use that a ring may take in a file that is not small, in bytes.
    fn share_of_file(&self, log: &LogState) -> u64 {
        self.used_pages(log) * self.core.pages.page_size as u64 / RING_DIVISOR
    }

    /// Pages of newest that are in use, except those of the ring.
    fn used_pages(&self, log: &LogState) -> u64 {
        let ring_pages = log.ring.map_or(0, |ring| ring.pages);
        let unused =
            self.state.log.as_ref().map_or(0, |log| {
                log.space.free().page_count().saturating_add(log.space.retired().page_count())
            });
        u64::from(self.base.length_pages.saturating_sub(unused).saturating_sub(ring_pages))
    }

    /// Takes a ring of `length` bytes, filled with zeros, and retires the one before. Returns `None` if there is no
    /// space for it: then the log stays where it is.
    fn take_ring(&mut self, log: &LogState, length: u64) -> Result<Option<Ring>> {
        let core = self.core;
        let pages = (length / core.pages.page_size as u64) as u32;
        let space = self.space()?;
        if space.ceiling().is_some() {
            return Ok(None);
        }
        let Ok(extent) = core.allocate_ring(space, pages) else { return Ok(None) };
        let ring = Ring { first: extent.first, pages, base: log.end.round_up(core.block) };
        core.fill_ring(ring).or_else(|error| space.release(extent).and(Err(error)))?;
        if let Some(before) = log.ring {
            self.retire_ring(before)?;
        }
        Ok(Some(ring))
    }

    /// Retires a ring as if it had been born in the transaction before: no reader needs a ring, and the checkpointed
    /// snapshot needs it only until this transaction, which is unlogged, is checkpointed. No other begins before that
    /// (L9).
    fn retire_ring(&mut self, ring: Ring) -> Result<()> {
        let (birth, death) = (self.base.id, self.id);
        self.space()?.retire(ring.extent(), birth, death)
    }

    /// Steps 2 and 3.
    fn store(&mut self, plan: LogPlan, log: &LogState) -> Result<(Snapshot, FreeLog, LogPlan)> {
        let mut sealed = self.number()?;
        // After the trees' pages, which are to lie at the beginning of a new file.
        let plan = match plan {
            LogPlan::WishRing(length) => match self.take_ring(log, length)? {
                Some(ring) => LogPlan::NewRing(ring),
                None => self.plan_record(log)?,
            },
            plan => plan,
        };
        let saved = self.save_space(&mut sealed)?;
        self.core.pages.store(&mut sealed)?;
        let length_pages = self.space()?.length_pages();
        Ok((Snapshot { id: self.id, length_pages, catalog: self.catalog.root() }, saved, plan))
    }

    /// Gives the changed pages of all trees their numbers, and finishes them.
    fn number(&mut self) -> Result<Vec<SealedPages>> {
        let Parts { core, id, base, state, catalog, tables, .. } = self;
        let (core, id, pages) = (*core, *id, &core.pages);
        let log = load_free_space(&core.pages, &core.shared, &mut state.log, base)?;
        // A table that ends empty, as it began, may have stored pages meanwhile, and given them up again.
        for table in tables.values_mut().flatten() {
            retire_all(&mut log.space, table.tree.take_retired(), id)?;
        }
        let mut changed: Vec<&mut Box<OpenTable>> =
            tables.values_mut().flatten().filter(|table| table.is_changed()).collect();

        // Every entry that will change is inserted into the catalog once before anything is numbered, so that all
        // pages of this commit are known; the numbers then replace it in place.
        for table in &changed {
            catalog.insert(pages, table.name.as_bytes(), NewValue::Bytes(&table.entry.encode()))?;
        }
        retire_all(&mut log.space, catalog.take_retired(), id)?;

        let tables_count: usize = changed.iter().map(|table| table.tree.dirty_page_count()).sum();
        let mut numbers = Numbers::plan(core, &mut log.space, tables_count + catalog.dirty_page_count())?;
        let mut sealed: Vec<SealedPages> = Vec::new();
        for table in &mut changed {
            table.tree.seal(&mut numbers, &mut sealed)?;
            table.entry.root = table.tree.root();
            catalog.insert(pages, table.name.as_bytes(), NewValue::Bytes(&table.entry.encode()))?;
        }
        catalog.seal(&mut numbers, &mut sealed)?;
        numbers.finish()?;
        Ok(sealed)
    }

    /// Notes in the free log what the transaction has taken and retired. Adds the pages of that log to `sealed`.
    fn save_space(&mut self, sealed: &mut Vec<SealedPages>) -> Result<FreeLog> {
        let Parts { core, id, base, state, cut_to, .. } = self;
        let (core, page_size) = (*core, core.pages.page_size);
        let log = load_free_space(&core.pages, &core.shared, &mut state.log, base)?;
        match *cut_to {
            Some(length_pages) => log.space.shrink(length_pages)?,
            None => shrink(&mut log.space, page_size)?,
        }
        let limits = LogLimits { page_size, tail_len: TAIL_LIMIT };
        let mut saved =
            log.space.save(&log.log, *id, limits, |space, count| core.grow(space, count, count))?;
        for (first, mut bytes) in saved.pages.drain(..) {
            page::seal(&mut bytes, first, *id);
            sealed.push(SealedPages { first, bytes });
        }
        Ok(saved.log)
    }

    /// Before step 4, which is the first that others may see: no other program may have stored what a writer stores.
    fn check_before_publishing(&self) -> Result<()> {
        let (shared, base, id) = (&self.core.shared, self.base, self.id);
        if shared.newest_id() != base.id || shared.next_id() != id || shared.ring_is_full() {
            // This process holds the writer lock: so a program that does not take the locks has stored there.
            let expected =
                format_args!("transaction {} as newest, {id} as the next, with room for it", base.id);
            let found = format_args!(
                "{}, {}, and {} visible",
                shared.newest_id(),
                shared.next_id(),
                shared.visible()
            );
            return Err(corrupt(None, "lock file", expected, found));
        }
        Ok(())
    }

    /// Step 4. Returns where the log stands after it.
    fn append(&mut self, plan: LogPlan, log: &LogState, is_durable: bool) -> Result<LogState> {
        let (core, id) = (self.core, self.id);
        let ring = match plan {
            LogPlan::Unlogged | LogPlan::WishRing(_) => return Ok(log.with_unlogged(id)),
            LogPlan::DropRing => return Ok(LogState { ring: None, ..*log }.with_unlogged(id)),
            LogPlan::NewRing(ring) => return Ok(log.in_new_ring(ring, id)),
            LogPlan::Append(ring) => ring,
        };
        let end = log.end_after(self.base.id, core);
        let has_own_block = is_durable && !is_mutated(Mutation::DurableNotSealed);
        let (record, checksum) = self.record.finish(&end, has_own_block);
        core.shared.set_appending(id);
        if let Err(error) = core.store_record(ring, end.lsn, record) {
            // The transaction is refused: so it must not be completed as the orphan of a writer that has died.
            if core.store_record(ring, end.lsn, &[0; HEADER_LEN]).is_err() {
                core.shared.poison();
            }
            return Err(error);
        }
        Ok(log.after(&end.after(record.len(), checksum, has_own_block, core.block), is_durable))
    }

    /// Step 5. Nothing here can fail.
    fn advance_newest(self, snapshot: Snapshot, saved: FreeLog, redo: LogState, is_pending: bool) {
        let log = self.state.log.as_mut().expect("it was loaded to store the pages");
        let (taken_pages, retiring_pages) = (log.space.taken_pages(), log.space.retiring_pages());
        // The end of the file could be given up if the checkpointed snapshot did not need it.
        let enough = pages_worth_cutting(snapshot.length_pages, self.core.pages.page_size);
        let checkpointed = self.core.shared.checkpointed();
        let ring = redo.ring.map(Ring::extent);
        let is_end_pinned = log.space.unused_end_pages(ring, |death| death > checkpointed, enough) >= enough;
        // Beyond what readers pin: an older reader's pages count as its own.
        let pinned_before = u64::from(log.space.retired().pinned_by(checkpointed));
        let newest = CommittedState { snapshot, space: log.state_with(&saved), log: redo };
        log.committed(saved, self.id);
        let shared = &self.core.shared;
        let free_pages = newest.space.free_pages;
        let pinned = u32::try_from(pinned_before + retiring_pages).unwrap_or(u32::MAX);
        let scarce = scarce_pages(snapshot.length_pages);
        let many = (snapshot.length_pages / PINNED_DIVISOR).max(scarce);
        if pinned > many || pinned > scarce && free_pages < scarce.max(taken_pages) {
            self.core.has_many_pinned.store(true, Relaxed);
        }
        if retiring_pages > u64::from(many) || is_end_pinned {
            self.core.has_retired_many.store(true, Relaxed);
        }
        if snapshot.length_pages < self.base.length_pages {
            shared.set_shrunk_in(Some(self.id));
        }
        shared.advance_newest(&newest, is_pending);
    }
}

/// Gives up a large free end: the next meta will say that the file is shorter, and [`Database::cut_free_tail`] cuts it
/// when no reader can see its end any more. The thresholds are well above what growth leaves free, so that the file
/// does not grow and shrink in turn.
fn shrink(space: &mut Space, page_size: usize) -> Result<()> {
    match space.free_tail() {
        Some(tail) if tail.count >= pages_worth_cutting(space.length_pages(), page_size) => {
            space.shrink(tail.first.0)
        }
        _ => Ok(()),
    }
}

/// How many pages at the end of the file are given up once they are free: many, or most.
fn pages_worth_cutting(length_pages: u32, page_size: usize) -> u32 {
    let pages_in = |bytes: usize| (bytes / page_size) as u32;
    let many = pages_in(8 << 20).max(length_pages / 8);
    let most = pages_in(1 << 18).max(length_pages / 2);
    many.min(most)
}
