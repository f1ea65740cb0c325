//! The reader table: one cache line for each live read transaction, which says what snapshot it reads.
//!
//! Invariants:
//! - I8: beginning and ending a read transaction is a store to its own line and loads of shared words; no
//!   lock, no system call. A slot is claimed and published by one compare-and-swap.
//! - A snapshot in a slot is protected if visible still was that snapshot after the slot was published.
//!   Otherwise the reader publishes again. (Publish, fence, look again, here; fence, scan, in
//!   [`Shared::protected`]: either the writer's scan sees the slot, or the reader sees visible move.
//!   Compare-and-swap and loads are sequentially consistent, so the fence is in them.)
//! - `used` is raised before a slot at or above it is published, and read after visible by the scan: for
//!   a slot that the scan leaves out the argument is the same.

use std::cell::Cell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use super::{HEADS_AT, LINE, READER_SLOTS, READERS_AT, Shared};
use crate::base::TransactionId;
use crate::error::{Error, Result};
use crate::share::heads::Snapshot;

/// How many slots, from the first on, have ever been in use.
const USED: usize = HEADS_AT + 7 * LINE;
const FREE: u64 = 0;

thread_local! {
    /// The slot that this thread used last: most likely free again, and its line in this core's cache.
    static LAST_SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// A claimed slot of the reader table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReaderSlot(usize);

impl Shared {
    #[inline]
    fn reader(&self, slot: usize) -> &AtomicU64 {
        &self.memory.words()[READERS_AT + slot * LINE]
    }

    fn used_slots(&self) -> usize {
        (self.memory.words()[USED].load(SeqCst) as usize).min(READER_SLOTS)
    }

    /// Begins to read the newest visible snapshot. It stays protected until [`Shared::end_read`].
    #[inline]
    pub(crate) fn begin_read(&self) -> Result<(ReaderSlot, Snapshot)> {
        let mut seen = self.visible();
        let slot = self.claim_slot(seen)?;
        loop {
            let now = self.visible();
            if now == seen {
                if let Some(snapshot) = self.snapshot(seen) {
                    return Ok((ReaderSlot(slot), snapshot));
                }
            }
            // Visible moved on between the two looks: a writer may have scanned before the slot was published.
            seen = now;
            self.reader(slot).store(seen.0, SeqCst);
        }
    }

    /// The snapshot is no longer read through this slot.
    #[inline]
    pub(crate) fn end_read(&self, slot: ReaderSlot) {
        self.reader(slot.0).store(FREE, std::sync::atomic::Ordering::Release);
    }

    #[inline]
    fn claim_slot(&self, snapshot: TransactionId) -> Result<usize> {
        let last = LAST_SLOT.get();
        if last < self.used_slots() && self.try_claim(last, snapshot) {
            return Ok(last);
        }
        self.claim_any_slot(snapshot)
    }

    #[cold]
    fn claim_any_slot(&self, snapshot: TransactionId) -> Result<usize> {
        for slot in 0..READER_SLOTS {
            self.memory.words()[USED].fetch_max(slot as u64 + 1, SeqCst);
            if self.reader(slot).load(SeqCst) == FREE && self.try_claim(slot, snapshot) {
                LAST_SLOT.set(slot);
                return Ok(slot);
            }
        }
        Err(Error::ReadersFull { slots: READER_SLOTS })
    }

    #[inline]
    fn try_claim(&self, slot: usize, snapshot: TransactionId) -> bool {
        self.reader(slot).compare_exchange(FREE, snapshot.0, SeqCst, SeqCst).is_ok()
    }

    /// Calls `each` with the snapshot of every live reader.
    pub(crate) fn live_readers(&self, mut each: impl FnMut(TransactionId)) {
        for slot in 0..self.used_slots() {
            let snapshot = self.reader(slot).load(SeqCst);
            if snapshot != FREE {
                each(TransactionId(snapshot));
            }
        }
    }
}
