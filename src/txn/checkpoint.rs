//! The checkpoint: makes the pages of newest durable, so that replay begins there and the log's older part is free.
//!
//! The steps; docs/DURABILITY.md says what a crash, a kill or an error at each leaves:
//!
//! 1. **Take the checkpointer lock.** Settle what a checkpointer that died has left: finish it, or erase its meta.
//! 2. **Declare newest the target**, and look again. Make the meta of it.
//! 3. **Store again** what this handle's barriers do not answer for (L3).
//! 4. **Barrier** over the pages and the file's length, through a description of its own (L12).
//! 5. **Take the syncer lock. Store the meta** in the slot that is not the newest durable one's; **barrier** over it.
//! 6. **Publish**: checkpointed, then the log start. It moves nothing else (L8): durable and visible are the syncer's.
//! 7. **Clear the target**, last.
//!
//! Invariants:
//! - Locks are taken in one order: the writer lock, the checkpointer lock, the syncer lock. A checkpoint never wants
//!   the writer lock, because a writer may wait for a checkpoint (L7).
//! - After an error of step 3, 4 or 5 the database is poisoned, and so it is after a panic there (L12).

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::TransactionId;
use crate::base::mutation::{Mutation, is_mutated};
use crate::error::{Error, Result, corrupt};
use crate::format::meta::{FORMAT_VERSION, FORMAT_VERSION_WITH_NAMES, Meta, RedoStart};
use crate::shm::watermarks::{CommittedState, LogState};
use crate::txn::database::Database;
use crate::txn::file_locks::Turn;
use crate::txn::redirty;

impl Database {
    /// Returns once a checkpoint is durable that is not older than `id`, and that frees the log up to `id`.
    pub(crate) fn checkpoint_through(&self, id: TransactionId) -> Result<()> {
        self.check_not_forked()?;
        self.pages.storage.about_to_be_held_up();
        let turn = self.take_turn(Turn::Checkpointer)?;
        if self.shared.is_poisoned() {
            return Err(Error::Poisoned);
        }
        let doubt = Doubt { database: self, is_in_doubt: Cell::new(false) };
        self.settle_left_checkpoint(&doubt)?;
        if self.shared.checkpointed() < id {
            self.checkpoint_newest(&doubt)?;
        }
        if self.shared.checkpointed() < id {
            // Newest never goes back: so a damaged word has named a transaction that there is not.
            let found = format_args!("{} as newest", self.shared.newest_id());
            return Err(corrupt(None, "lock file", format_args!("transaction {id}"), found));
        }
        drop(doubt); // before the lock is released
        drop(turn);
        Ok(())
    }

    /// Whether a checkpoint is due: half of the ring is in use, or the checkpoint pins a large part of the file. (This
    /// handle has noted that, and another may have made a checkpoint since: newest itself pins nothing.)
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        let has_many_pinned =
            self.has_many_pinned.load(Relaxed) && self.shared.checkpointed() < self.shared.newest_id();
        has_many_pinned || self.shared.newest_log().is_ok_and(|log| self.is_log_half_full(&log))
    }

    /// Writes ahead what a checkpoint will make durable, while commits go on, until the log needs the checkpoint or the
    /// database is closed. It holds no lock, and promises nothing.
    pub(crate) fn write_ahead_of_checkpoint(&self) {
        let is_urgent = || {
            self.shared.is_poisoned()
                || self.sync.group.is_closed()
                || self.shared.newest_log().map_or(true, |log| self.is_log_filled(&log, 3, 4))
        };
        self.pages.write_back_in_pieces(is_urgent);
    }

    /// Makes a checkpoint if transactions up to `id`, which are durable, have given up so much that only the
    /// checkpointed snapshot keeps: the file's end, or a large part of it.
    pub(crate) fn checkpoint_given_up(&self, id: TransactionId) -> Result<()> {
        let is_cut_off =
            self.shared.shrunk_in().is_some_and(|shrunk_in| shrunk_in > self.shared.checkpointed());
        match is_cut_off || self.has_retired_many.load(Relaxed) {
            true => self.checkpoint_through(id),
            false => Ok(()),
        }
    }

    /// Makes a checkpoint if `newest`, on which a transaction is going to build, is unlogged and not checkpointed (L9).
    pub(super) fn checkpoint_unlogged(&self, newest: TransactionId) -> Result<()> {
        let is_unlogged = self.shared.newest_log()?.unlogged == newest;
        match is_unlogged && newest > self.shared.checkpointed() && !is_mutated(Mutation::UnloggedForgotten) {
            true => self.checkpoint_through(newest),
            false => Ok(()),
        }
    }

    /// Makes a checkpoint of newest, if it has none: after it the log is empty.
    pub(crate) fn checkpoint_everything(&self) -> Result<()> {
        let newest = self.shared.newest()?;
        if newest.snapshot.id == self.shared.checkpointed() && newest.log.end == self.shared.log_start() {
            return Ok(());
        }
        self.checkpoint_through(newest.snapshot.id)?;
        self.wait_durable(newest.snapshot.id)
    }

    /// Step 1 (L1). A checkpointer that has died may have published its meta, or only stored it, which the disk may
    /// have by now, or have later.
    fn settle_left_checkpoint(&self, doubt: &Doubt<'_>) -> Result<()> {
        let Some(target) = self.shared.left_checkpoint_target() else { return Ok(()) };
        let slot = self.shared.checkpoint_slot();
        let turn = self.take_turn(Turn::Syncer)?;
        if is_mutated(Mutation::LeftMetaNotErased) {
        } else if target == self.shared.checkpointed() {
            if let Some(meta) = self.pages.read_meta(slot)?.filter(|meta| meta.id == target) {
                self.shared.finish_checkpoint(target, slot, meta.redo.log_start);
            }
        } else {
            doubt.is_in_doubt.set(true);
            self.pages.store_meta(1 - slot, &vec![0; self.pages.page_size])?;
            self.pages.barrier_over_slot(1 - slot)?;
            doubt.is_in_doubt.set(false);
        }
        drop(turn);
        self.shared.clear_checkpoint_target();
        Ok(())
    }

    /// Steps 2 to 7.
    fn checkpoint_newest(&self, doubt: &Doubt<'_>) -> Result<()> {
        let newest = self.shared.take_checkpoint_target()?;
        let id = newest.snapshot.id;
        let checked = self.reach(newest.snapshot.length_pages).and_then(|()| self.check_log(&newest));
        if let Err(error) = checked {
            self.shared.clear_checkpoint_target();
            return Err(error);
        }
        doubt.is_in_doubt.set(true);
        let checkpointed = self.shared.checkpointed();
        let mut slot = 1 - self.shared.checkpoint_slot();
        if is_mutated(Mutation::SlotNotChanged) {
            slot = 1 - slot;
        }
        if self.inherited > checkpointed && !is_mutated(Mutation::PagesNotStoredAgain) {
            let first_id = self.shared.first_id();
            redirty::pages_of(&self.pages, &newest, checkpointed, self.inherited, first_id)?;
        }
        let meta = self.meta_of(&newest).encode();
        if is_mutated(Mutation::MetaBeforePages) {
            self.pages.store_meta(slot, &meta)?;
        }
        if !is_mutated(Mutation::PagesNotSynced) {
            self.pages.checkpoint_barrier()?;
        }
        let turn = self.take_turn(Turn::Syncer)?;
        self.shared.set_slot_checksum(slot, Meta::checksum_of(&meta));
        self.pages.store_meta(slot, &meta)?;
        if !is_mutated(Mutation::MetaNotSynced) {
            self.pages.barrier_over_slot(slot)?;
        }
        self.shared.finish_checkpoint(id, slot, newest.log.end);
        self.checkpoint_count.fetch_add(1, Relaxed);
        drop(turn);
        self.has_many_pinned.store(false, Relaxed);
        self.has_retired_many.store(false, Relaxed);
        self.shared.clear_checkpoint_target();
        doubt.is_in_doubt.set(false);
        Ok(())
    }

    fn meta_of(&self, newest: &CommittedState) -> Meta {
        let LogState { ring, end, chain, .. } = newest.log;
        Meta {
            page_size: self.pages.page_size,
            identity: self.identity,
            id: newest.snapshot.id,
            length_pages: newest.snapshot.length_pages,
            free_pages: newest.space.free_pages,
            retired_pages: newest.space.retired_pages,
            catalog: newest.snapshot.catalog,
            log_page: newest.space.log_page,
            log_tail: newest.space.log_tail.clone(),
            redo: RedoStart { ring, log_start: end, chain, block: self.block as u32 },
            listed: Vec::new(),
            digest: 0,
            version: if newest.space.has_names { FORMAT_VERSION_WITH_NAMES } else { FORMAT_VERSION },
        }
    }
}

/// Poisons the database if it is dropped while it is not known what is on the disk.
struct Doubt<'a> {
    database: &'a Database,
    is_in_doubt: Cell<bool>,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if self.is_in_doubt.get() {
            self.database.shared.poison();
        }
    }
}
