//! Making commits durable: one thread, of one process, syncs the log for all that wait (group commit).
//!
//! The steps; docs/DURABILITY.md says what a crash, a kill or an error at each leaves:
//!
//! 1. **Take the syncer lock**: no other thread or handle syncs.
//! 2. **Declare newest the target**, and look again (R5).
//! 3. If the target has a transaction above `checkpointed` that is not in the log, nothing is raised: a **checkpoint**
//!    comes first, without the lock (L9).
//! 4. **Store again** log bytes that this handle's barriers do not answer for (L3).
//! 5. **Barrier** over the log, from what is durable already to the end of the newest sealed record (L14).
//! 6. **Raise** synced and durable, then visible (R2, R3), and clear the target, last.
//!
//! Invariants:
//! - I4: a sync is one barrier over the log's new bytes. It stores nothing.
//! - I6, L12: after a failed sync nothing is synced again: the database is poisoned. A panic in a sync is a failed one.
//! - Within a handle one thread syncs ([`crate::txn::group_commit`]).

use std::cell::Cell;

use crate::base::TransactionId;
use crate::base::mutation::{Mutation, is_mutated};
use crate::error::{Error, Result, corrupt};
use crate::shm::watermarks::CommittedState;
use crate::txn::database::Database;
use crate::txn::file_locks::Turn;
use crate::txn::group_commit::Leader;
use crate::txn::turns::TurnGuard;

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
        let newest = self.seal_newest()?;
        self.wait_durable(newest)?;
        self.pages.storage.acknowledged(newest);
        self.checkpoint_given_up(newest)
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
            let leader = self.sync.group.wait(is_done, || self.pages.storage.about_to_wait());
            let Some(leader) = leader else { continue };
            match self.sync_in_turn(leader, &is_reached)? {
                Some(unlogged) => self.checkpoint_through(unlogged)?,
                // A sync raises all that a thread may wait for. Another one would do no more.
                None if !is_done() => {
                    let (newest, durable) = (self.shared.newest_id(), self.shared.durable());
                    let found = format_args!("{durable}, in a sync of {newest}");
                    return Err(corrupt(None, "lock file", "a later durable transaction", found));
                }
                None => {}
            }
        }
    }

    /// Waits while another process syncs; then syncs, if that has not reached `is_reached`. Returns the transaction
    /// that a checkpoint must have before a sync can raise anything, if there is one.
    fn sync_in_turn(
        &self,
        leader: Leader<'_>,
        is_reached: impl Fn(&Database) -> bool,
    ) -> Result<Option<TransactionId>> {
        let mut syncing = Syncing {
            database: self,
            is_in_doubt: Cell::new(false),
            _turn: self.take_turn(Turn::Syncer)?,
            leader,
        };
        syncing.leader.begin();
        if is_reached(self) || self.shared.is_poisoned() {
            return Ok(None);
        }
        self.sync_newest(&syncing.is_in_doubt)
    }

    /// Steps 2 to 6. If it fails with `is_in_doubt` set, it is not known what is on the disk.
    ///
    /// A handle with a smaller `max_size` may have mapped less of the file than newest has. Then it stores nothing,
    /// takes the target back, and returns an error that concerns only itself. A handle that has mapped enough syncs
    /// newest.
    pub(super) fn sync_newest(&self, is_in_doubt: &Cell<bool>) -> Result<Option<TransactionId>> {
        let newest = self.shared.take_target()?;
        let (log, checkpointed) = (&newest.log, self.shared.checkpointed());
        if log.unlogged > checkpointed && !is_mutated(Mutation::UnloggedNotCheckpointed) {
            self.shared.clear_target();
            return Ok(Some(log.unlogged));
        }
        if let Err(error) = self.reach(newest.snapshot.length_pages) {
            self.shared.clear_target();
            return Err(error);
        }
        let durable = match is_mutated(Mutation::UnloggedNotCheckpointed) {
            true => newest.snapshot.id,
            false => log.sealed.max(checkpointed),
        };
        if log.sealed > checkpointed && log.sealed > self.shared.durable() {
            is_in_doubt.set(true);
            if is_mutated(Mutation::DurableTooEarly) {
                self.shared.finish_sync(newest.snapshot.id, durable, log.sealed_end);
            }
            self.sync_log(&newest)?;
        }
        self.shared.finish_sync(newest.snapshot.id, durable, log.sealed_end);
        is_in_doubt.set(false);
        Ok(None)
    }

    /// Steps 4 and 5.
    fn sync_log(&self, newest: &CommittedState) -> Result<()> {
        let Some(ring) = newest.log.ring else { return Ok(()) };
        let from = self.shared.synced().max(self.shared.log_start()).max(ring.base);
        let to = newest.log.sealed_end;
        self.check_log(newest)?;
        if from > to || to > newest.log.end {
            let found = format_args!("{from} to {to}, of {}", newest.log.end);
            return Err(corrupt(None, "lock file", "log bytes to sync", found));
        }
        if self.inherited > self.shared.durable() && !is_mutated(Mutation::LogNotStoredAgain) {
            self.check_records(newest)?;
            self.store_log_again(ring, from, to)?;
        }
        let to = match is_mutated(Mutation::LogSyncedTooShort) {
            true => from.max(crate::base::Lsn(to.0 - self.block)),
            false => to,
        };
        for range in ring.byte_ranges(from, to, self.pages.page_size) {
            if !is_mutated(Mutation::BarrierSkipped) {
                self.pages.barrier_over(range.start, range.end - range.start)?;
            }
        }
        Ok(())
    }

    /// The helper thread: syncs commits that were deferred, until the database is closed.
    pub(crate) fn sync_deferred_commits(&self) {
        // What is announced above newest belongs to a writer that was killed before newest advanced, or that is about
        // to advance it: there is nothing to sync yet. What is pending up to newest is sealed, or not in the log. A
        // lazy commit after that is neither: no sync promises it.
        let pending = || {
            let promised =
                self.shared.newest_log().map_or(TransactionId(0), |log| log.sealed.max(log.unlogged));
            self.shared.pending().min(promised)
        };
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

/// A thread that syncs for its handle, with the syncer lock held.
struct Syncing<'a> {
    database: &'a Database,
    /// It is not known what is on the disk.
    is_in_doubt: Cell<bool>,
    /// Given back before other threads are woken.
    _turn: TurnGuard<'a>,
    leader: Leader<'a>,
}

impl Drop for Syncing<'_> {
    /// Lets others sync; after an error, or a panic, none can any more.
    fn drop(&mut self) {
        if self.is_in_doubt.get() && is_mutated(Mutation::FailedSyncRetried) {
            self.database.shared.clear_target();
        } else if self.is_in_doubt.get() {
            self.database.shared.poison();
        }
    }
}
