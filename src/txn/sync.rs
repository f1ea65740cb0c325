//! Making commits durable: one thread syncs for all that wait (group commit).
//!
//! Invariants and rules (docs/DURABILITY.md):
//! - I4: a sync of a small commit is one record stored and one barrier. If the pages that the record should
//!   list are not known or do not fit, there is a barrier before the record too.
//! - I6: after a failed sync nothing is synced again: the database is poisoned.
//! - R5: the target is set before the record is stored, and cleared last.
//! - R6: the record lists the live pages of its snapshot born after the last durable record.
//! - The record goes to the slot that does not hold the last durable one. `durable_slot` changes only after the
//!   barrier, by the one thread that syncs.

use parking_lot::{Condvar, Mutex};

use crate::base::{PageRun, TransactionId};
use crate::error::{Error, Result};
use crate::format::record::{Record, list_capacity};
use crate::txn::core::Core;

/// Where committers wait and one of them syncs.
pub(crate) struct SyncDesk {
    state: Mutex<SyncState>,
    finished: Condvar,
}

struct SyncState {
    /// Some thread is syncing now.
    is_syncing: bool,
    durable_slot: usize,
    /// The helper thread is to end.
    is_closed: bool,
}

impl SyncDesk {
    pub(crate) fn new(durable_slot: usize) -> SyncDesk {
        let state = SyncState { is_syncing: false, durable_slot, is_closed: false };
        SyncDesk { state: Mutex::new(state), finished: Condvar::new() }
    }

    /// Ends the helper thread, once what is pending is synced.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.finished.notify_all();
    }

    /// Wakes the helper thread.
    pub(crate) fn ring(&self) {
        drop(self.state.lock()); // whoever is about to wait has looked before, or waits by now
        self.finished.notify_all();
    }
}

impl Core {
    /// Returns once `id` is visible: if its commit asked for durability, once it is durable (I3).
    pub(crate) fn wait_visible(&self, id: TransactionId) -> Result<()> {
        self.sync_until(|core| core.shared.visible() >= id)
    }

    /// Returns once `id`, and all before it, are durable and visible.
    pub(crate) fn wait_durable(&self, id: TransactionId) -> Result<()> {
        self.sync_until(|core| core.shared.durable() >= id && core.shared.visible() >= id)
    }

    /// Makes every commit up to now durable.
    pub(crate) fn sync_everything(&self) -> Result<()> {
        self.wait_durable(self.shared.head())
    }

    /// Before another commit: sees to it that its descriptor overwrites none that visible may name. Only after
    /// hundreds of deferred commits that nobody has synced is there anything to wait for.
    pub(crate) fn make_room_for_descriptor(&self) -> Result<()> {
        self.sync_until(|core| !core.shared.ring_is_full())
    }

    /// Syncs, or waits for whoever syncs, until `is_reached`.
    fn sync_until(&self, is_reached: impl Fn(&Core) -> bool) -> Result<()> {
        let mut state = self.sync.state.lock();
        loop {
            if is_reached(self) {
                return Ok(());
            }
            if self.shared.is_poisoned() {
                return Err(Error::Poisoned);
            }
            if state.is_syncing {
                self.sync.finished.wait(&mut state);
                continue;
            }
            state.is_syncing = true;
            let slot = 1 - state.durable_slot;
            drop(state);
            let result = self.sync_head(slot);
            state = self.sync.state.lock();
            state.is_syncing = false;
            match &result {
                Ok(()) => state.durable_slot = slot,
                Err(_) => self.shared.poison(),
            }
            self.sync.finished.notify_all();
            result?;
        }
    }

    /// Makes the head durable, with its record in `slot`.
    fn sync_head(&self, slot: usize) -> Result<()> {
        let (mut record, list) = self.take_target();
        match list {
            Some((listed, digest)) => (record.listed, record.digest) = (listed, digest),
            None => self.pages.barrier()?,
        }
        self.pages.store_record(slot, &record.encode())?;
        self.pages.barrier()?;
        self.shared.finish_sync(record.id);
        Ok(())
    }

    /// Declares the head to be the target, and answers its record and, if it is known and fits, the list of its
    /// new pages with their digest.
    fn take_target(&self) -> (Record, Option<(Vec<PageRun>, u32)>) {
        let mut head = self.head.lock();
        let is_head = self.shared.set_target(head.snapshot.id);
        assert!(is_head, "the head moves only under its lock");
        let durable = self.shared.durable();
        head.fresh.forget_through(durable);
        let page_size = self.pages.page_size;
        let record = Record {
            page_size,
            identity: self.identity,
            id: head.snapshot.id,
            length_pages: head.snapshot.length_pages,
            free_pages: head.free_pages,
            retired_pages: head.retired_pages,
            catalog: head.snapshot.catalog,
            log_page: head.log.page,
            log_tail: head.log.tail.clone(),
            listed: Vec::new(),
            digest: 0,
        };
        let capacity = list_capacity(page_size, record.log_tail.len());
        let list = head.fresh.list_since(durable, capacity);
        (record, list)
    }

    /// The helper thread: syncs commits that were deferred, until the database is closed.
    pub(crate) fn sync_deferred_commits(&self) {
        loop {
            {
                let mut state = self.sync.state.lock();
                while !self.shared.has_pending() || self.shared.is_poisoned() || state.is_syncing {
                    if state.is_closed {
                        return;
                    }
                    self.sync.finished.wait(&mut state);
                }
            }
            let pending = self.shared.pending();
            // An error has poisoned the database: every ticket and every writer will be told.
            let _ = self.sync_until(|core| core.shared.durable() >= pending);
        }
    }
}
