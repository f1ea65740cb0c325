//! Making commits durable: one thread, of one process, syncs for all that wait (group commit).
//!
//! Invariants and rules (docs/DURABILITY.md):
//! - I4: a sync of a small commit is one meta stored and one barrier. If the pages that the meta should list are not
//!   known or do not fit, or the file has grown, there is a barrier before the meta too.
//! - I6: after a failed sync nothing is synced again: the database is poisoned. A panic in a sync is a failed one.
//! - R4: a target that a dead syncer has left stays protected until it is decided whether its meta counts.
//! - R5: the target is set before the meta is stored, and cleared last.
//! - R6: the meta lists the live pages of its snapshot born after the last durable meta.
//! - R11: if the file has grown since the durable meta, that barrier includes its length.
//! - R10: what was stored before this handle opened the file, and is not durable, is stored again before the barrier.
//! - The meta goes to the slot that does not hold the last durable one, and never has the id of that one. The slot
//!   changes together with the durable id, in one store.
//! - Within a handle one thread syncs ([`crate::txn::group_commit`]); among handles, the one that holds the syncer
//!   lock ([`crate::txn::file_locks::FileLocks`]), which is free once its process dies.

use std::cell::Cell;

use crate::base::TransactionId;
use crate::base::mutation::{Mutation, is_mutated};
use crate::error::{Error, Result};
use crate::format::meta::{Meta, list_capacity};
use crate::shm::watermarks::{CommittedState, Snapshot};
use crate::txn::database::Database;
use crate::txn::group_commit::Leader;
use crate::txn::recover::verify_listed;
use crate::txn::redirty;
use crate::txn::unsynced_pages::unsynced_pages;

impl Database {
    /// Returns once `id` is visible: if its commit asked for durability, once it is durable (I3).
    pub(crate) fn wait_visible(&self, id: TransactionId) -> Result<()> {
        self.sync_until(|core| core.shared.visible() >= id)
    }

    /// Returns once `id`, and all before it, are durable and visible, in a file that has its name.
    pub(crate) fn wait_durable(&self, id: TransactionId) -> Result<()> {
        self.sync_until(|core| core.shared.durable() >= id && core.shared.visible() >= id)?;
        self.check_names()
    }

    /// Makes every commit up to now durable.
    pub(crate) fn sync_everything(&self) -> Result<()> {
        let newest = self.shared.newest_id();
        self.wait_durable(newest)?;
        self.pages.storage.acknowledged(newest);
        Ok(())
    }

    /// Ensures, before another commit, that its descriptor overwrites none that visible may name. It has to wait only
    /// after hundreds of deferred commits that have not been synced.
    pub(crate) fn make_room_for_descriptor(&self) -> Result<()> {
        self.sync_until(|core| !core.shared.ring_is_full())
    }

    /// Syncs, or waits for the thread that syncs, until `is_reached`.
    fn sync_until(&self, is_reached: impl Fn(&Database) -> bool) -> Result<()> {
        self.check_not_forked()?; // the syncing thread may be one that was not forked
        loop {
            if is_reached(self) {
                return Ok(());
            }
            if self.shared.is_poisoned() {
                return Err(Error::Poisoned);
            }
            let is_done = || is_reached(self) || self.shared.is_poisoned();
            if let Some(leader) = self.sync.group.wait(is_done, || self.pages.storage.about_to_wait()) {
                self.sync_in_turn(leader, &is_reached)?;
            }
        }
    }

    /// Waits while another process syncs; then syncs, if that has not reached `is_reached`.
    fn sync_in_turn(&self, leader: Leader<'_>, is_reached: impl Fn(&Database) -> bool) -> Result<()> {
        let mut syncing = Syncing { core: self, leader, is_in_doubt: Cell::new(false) };
        if let Some(locks) = &self.locks {
            locks.lock_syncer().map_err(self.pages.io_error("lock"))?;
        }
        syncing.leader.begin();
        if is_reached(self) || self.shared.is_poisoned() {
            return Ok(());
        }
        self.sync_newest(&syncing.is_in_doubt)
    }

    /// Makes newest durable. If it fails with `is_in_doubt` set, it is not known what is on the disk.
    ///
    /// An error that occurs before anything is stored concerns only this handle. It may have mapped less of the file
    /// than newest has; and newest may have moved there until the moment at which it became the target. Then the
    /// target is taken back, and a handle that has mapped enough syncs newest.
    pub(super) fn sync_newest(&self, is_in_doubt: &Cell<bool>) -> Result<()> {
        self.settle_left_target(is_in_doubt)?;
        is_in_doubt.set(false);
        if self.shared.durable() == self.shared.newest_id() {
            // Its syncer died before it made newest visible. There are never two metas with one id.
            self.shared.finish_sync(self.shared.durable(), self.shared.durable_slot());
            return Ok(());
        }
        let newest = self.shared.take_target()?;
        if let Err(error) = self.check_reach(newest.snapshot.length_pages) {
            self.shared.clear_target();
            return Err(error);
        }
        is_in_doubt.set(true);
        let (durable, mut slot) = (self.shared.durable(), 1 - self.shared.durable_slot());
        if is_mutated(Mutation::SlotNotChanged) {
            slot = 1 - slot;
        }
        let mut record = self.record_of(&newest);
        let delta_of = |id| self.sync.own_delta(id).or_else(|| self.shared.load_delta(id));
        let fresh = unsynced_pages(&self.shared, record.id, delta_of);
        if self.inherited > durable {
            redirty::pages_of(&self.pages, &newest, durable, self.inherited, fresh.as_ref())?; // R10
        }
        let capacity = list_capacity(self.pages.page_size, record.log_tail.len());
        match fresh.and_then(|fresh| fresh.list(capacity)) {
            _ if self.is_longer_than_durable(&newest.snapshot) => self.pages.barrier_with_length()?,
            Some(_) if is_mutated(Mutation::NothingListed) => {}
            Some((listed, digest)) => (record.listed, record.digest) = (listed, digest),
            None if is_mutated(Mutation::FirstBarrierSkipped) => {}
            None => self.pages.barrier(record.length_pages)?,
        }
        let encoded = record.encode();
        self.shared.set_slot_checksum(slot, Meta::checksum_of(&encoded));
        self.pages.store_record(slot, &encoded)?;
        if is_mutated(Mutation::DurableTooEarly) {
            self.shared.finish_sync(record.id, slot);
        }
        if !is_mutated(Mutation::BarrierSkipped) {
            self.pages.barrier(record.length_pages)?;
        }
        self.shared.finish_sync(record.id, slot);
        is_in_doubt.set(false);
        self.sync.forget_through(record.id);
        Ok(())
    }

    /// Whether the file's length may not be durable, as far as this snapshot needs it. The length that the durable
    /// snapshot needs is durable, and no process has cut the file below that since.
    fn is_longer_than_durable(&self, snapshot: &Snapshot) -> bool {
        let mut durable = self.shared.durable();
        if is_mutated(Mutation::OlderGrowthForgotten) {
            durable = TransactionId(snapshot.id.0 - 1);
        }
        let known = self.shared.snapshot(durable);
        let is_longer = known.is_none_or(|durable| snapshot.length_pages > durable.length_pages);
        is_longer && !is_mutated(Mutation::LengthNotSynced)
    }

    /// R4: settles what a dead syncer has left. If its meta is there, whole, it may be in the page cache only, and a
    /// sync that failed may have left it there. So it is stored again, with the pages that it lists, as in recovery.
    /// After the barrier it is durable.
    fn settle_left_target(&self, is_in_doubt: &Cell<bool>) -> Result<()> {
        let Some(target) = self.shared.left_target() else { return Ok(()) };
        let slot = 1 - self.shared.durable_slot();
        if target > self.shared.durable()
            && let Some(record) = self.pages.read_record(slot)?.filter(|record| record.id == target)
        {
            self.check_reach(record.length_pages)?;
            is_in_doubt.set(true);
            verify_listed(&self.pages, &record)?;
            redirty::record(&self.pages, slot, &record)?;
            self.pages.barrier(record.length_pages)?;
            self.shared.finish_sync(target, slot);
        }
        self.shared.clear_target();
        Ok(())
    }

    fn record_of(&self, newest: &CommittedState) -> Meta {
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
            listed: Vec::new(),
            digest: 0,
        }
    }

    /// The helper thread: syncs commits that were deferred, until the database is closed.
    pub(crate) fn sync_deferred_commits(&self) {
        // What is announced above newest belongs to a writer that was killed before newest advanced, or that is about
        // to advance it: there is nothing to sync yet.
        let pending = || self.shared.pending().min(self.shared.newest_id());
        // What this handle could not sync, though others may: the file is longer than it can see, for instance.
        // Trying again at once would fail at once, for ever, and closing would wait for it.
        let mut given_up = TransactionId(0);
        let has_work = |given_up: TransactionId| {
            pending() > self.shared.durable().max(given_up) && !self.shared.is_poisoned()
        };
        while self.sync.group.wait_for_work(|| has_work(given_up)) {
            let target = pending();
            // Every pending commit, and every writer, gets the error when it asks.
            if self.sync_until(|core| core.shared.durable() >= target).is_err() {
                given_up = target;
            }
        }
    }
}

/// A thread that syncs for its handle, and the syncer lock that it holds meanwhile.
struct Syncing<'a> {
    core: &'a Database,
    /// Something has been stored, or is being stored, and it is not known what is on the disk.
    is_in_doubt: Cell<bool>,
    /// Dropped when the syncer lock has been released.
    leader: Leader<'a>,
}

impl Drop for Syncing<'_> {
    /// Lets others sync; after an error, or a panic, none can any more.
    fn drop(&mut self) {
        if self.is_in_doubt.get() && is_mutated(Mutation::FailedSyncRetried) {
            self.core.shared.clear_target();
        } else if self.is_in_doubt.get() {
            self.core.shared.poison();
        }
        if let Some(locks) = &self.core.locks {
            locks.unlock_syncer();
        }
    }
}
