//! The reader table: one cache line for each live read transaction, which says what snapshot it reads.
//!
//! Invariants:
//! - I8: beginning and ending a read transaction is a store to its own line and loads of shared words; no
//!   lock, no system call. A slot is claimed and published by one compare-and-swap.
//! - Slots belong to blocks, blocks to members: so it is always known whose slot it is, at whatever instruction its
//!   owner may have died. Only members claim slots in their blocks; a block is claimed when a member's own are full.
//! - A snapshot in a slot is protected if visible still was that snapshot after the slot was published.
//!   Otherwise the reader publishes again. (Publish, fence, look again, here; fence, scan, in
//!   [`Shared::protected`]: either the writer's scan sees the slot, or the reader sees visible move.
//!   Compare-and-swap and loads are sequentially consistent, so the fence is in them.)
//! - `USED` is raised before a slot in a block at or above it is published, and read after visible by the scan: for
//!   a slot that the scan leaves out the argument is the same.

use std::cell::Cell;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

use super::members::Member;
use super::{
    BLOCK_COUNT, BLOCK_LEN, BLOCKS_AT, HEADS_AT, LINE, READER_SLOTS, READERS_AT, Shared, Step, is_left_out,
};
use crate::base::TransactionId;
use crate::error::{Error, Result, corrupt};
use crate::share::heads::{LOOKS, Snapshot};
use crate::sys::atomic::AtomicU64;
use crate::sys::coarse_milliseconds;

/// How many blocks, from the first on, have ever been in use.
const USED: usize = HEADS_AT + 15 * LINE;
const FREE: u64 = 0;

#[cfg(not(all(test, loom)))]
thread_local! {
    /// The slot that this thread used last: most likely free again, and its line in this core's cache.
    static LAST_SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}
#[cfg(all(test, loom))]
loom::thread_local! {
    static LAST_SLOT: Cell<usize> = Cell::new(usize::MAX);
}

/// A claimed slot of the reader table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReaderSlot(usize);

/// A live reader, as its slot says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LiveReader {
    pub(crate) pid: u32,
    pub(crate) snapshot: TransactionId,
    /// When it began, by the system's coarse clock.
    pub(crate) since_milliseconds: u64,
}

impl Shared {
    #[inline]
    fn reader(&self, slot: usize) -> &AtomicU64 {
        self.word(READERS_AT + slot * LINE)
    }

    fn since(&self, slot: usize) -> &AtomicU64 {
        self.word(READERS_AT + slot * LINE + 1)
    }

    /// How many blocks have ever been in use. A block is there before it is counted: here it is only noticed, if
    /// another process has made the table longer. (If it is not there, somebody has cut the lock file.)
    fn used_blocks(&self) -> usize {
        let used = (self.word(USED).load(SeqCst) as usize).min(BLOCK_COUNT);
        let there = |used: &usize| *used == 0 || self.memory.has(end_of(*used - 1)).unwrap_or(false);
        (0..=used).rev().find(there).unwrap_or(0)
    }

    #[inline]
    fn owns(&self, member: Member, block: usize) -> bool {
        self.word(BLOCKS_AT + block).load(SeqCst) == member.owner_word()
    }

    /// Begins to read the newest visible snapshot. It stays protected until [`Shared::end_read`].
    #[inline]
    pub(crate) fn begin_read(&self, member: Member) -> Result<(ReaderSlot, Snapshot)> {
        let mut seen = self.visible();
        let slot = self.claim_slot(member, seen)?;
        self.since(slot).store(coarse_milliseconds(), Relaxed);
        for _ in 0..LOOKS {
            let now = if is_left_out(Step::LookAgain) { seen } else { self.visible() };
            if now == seen
                && let Some(snapshot) = self.snapshot(seen)
            {
                return Ok((ReaderSlot(slot), snapshot));
            }
            // Visible moved on between the two looks: a writer may have scanned before the slot was published.
            seen = now;
            self.reader(slot).store(seen.0, SeqCst);
        }
        self.reader(slot).store(FREE, SeqCst);
        Err(corrupt(None, "lock file", format_args!("a descriptor of snapshot {seen}"), "none"))
    }

    /// The snapshot is no longer read through this slot.
    #[inline]
    pub(crate) fn end_read(&self, slot: ReaderSlot) {
        // Release: all that was read through the slot was read before it is free.
        let order = if is_left_out(Step::EndAfterReading) { Relaxed } else { Release };
        self.reader(slot.0).store(FREE, order);
    }

    #[inline]
    fn claim_slot(&self, member: Member, snapshot: TransactionId) -> Result<usize> {
        let last = LAST_SLOT.with(Cell::get);
        // A block that this member owns is there.
        if last < READER_SLOTS && self.owns(member, last / BLOCK_LEN) && self.try_claim(last, snapshot) {
            return Ok(last);
        }
        let slot = self.claim_any_slot(member, snapshot)?;
        LAST_SLOT.with(|last| last.set(slot));
        Ok(slot)
    }

    /// Searches the member's blocks, from the one behind the last on, and then for a block that is free.
    #[cold]
    fn claim_any_slot(&self, member: Member, snapshot: TransactionId) -> Result<usize> {
        let used = self.used_blocks();
        let start = LAST_SLOT.with(Cell::get) / BLOCK_LEN;
        let start = if start < used { start } else { 0 };
        let own = (start..used).chain(0..start).filter(|&block| self.owns(member, block));
        if let Some(slot) = own.flat_map(slots_of).find(|&slot| self.try_claim(slot, snapshot)) {
            return Ok(slot);
        }
        for block in 0..BLOCK_COUNT {
            let owner = self.word(BLOCKS_AT + block);
            if owner.load(SeqCst) != FREE {
                continue;
            }
            self.memory.grow(end_of(block)).map_err(cannot_grow)?;
            self.word(USED).fetch_max(block as u64 + 1, SeqCst);
            if owner.compare_exchange(FREE, member.owner_word(), SeqCst, SeqCst).is_ok() {
                // Another thread of this member may already be claiming slots here.
                if let Some(slot) = slots_of(block).find(|&slot| self.try_claim(slot, snapshot)) {
                    return Ok(slot);
                }
            }
        }
        Err(Error::ReadersFull { slots: READER_SLOTS })
    }

    #[inline]
    fn try_claim(&self, slot: usize, snapshot: TransactionId) -> bool {
        let reader = self.reader(slot);
        reader.load(Relaxed) == FREE && reader.compare_exchange(FREE, snapshot.0, SeqCst, SeqCst).is_ok()
    }

    /// Frees a block whose owner is dead.
    pub(super) fn clear_block(&self, block: usize) {
        // A block that is not there has no slots to free.
        let slots = if self.memory.has(end_of(block)).unwrap_or(false) { slots_of(block) } else { 0..0 };
        for slot in slots {
            self.reader(slot).store(FREE, SeqCst);
        }
        self.word(BLOCKS_AT + block).store(FREE, SeqCst);
    }

    /// Calls `each` with the slot and the snapshot of every live reader.
    pub(crate) fn live_readers(&self, mut each: impl FnMut(usize, TransactionId)) {
        for block in 0..self.used_blocks() {
            if self.word(BLOCKS_AT + block).load(SeqCst) == FREE {
                continue;
            }
            for slot in slots_of(block) {
                let snapshot = self.reader(slot).load(SeqCst);
                if snapshot != FREE {
                    each(slot, TransactionId(snapshot));
                }
            }
        }
    }

    /// Every live reader, with what is known of it.
    pub(crate) fn reader_list(&self) -> Vec<LiveReader> {
        let mut readers = Vec::new();
        self.live_readers(|slot, snapshot| {
            let owner = self.word(BLOCKS_AT + slot / BLOCK_LEN).load(SeqCst) as usize;
            let pid =
                if (1..=super::MEMBER_COUNT).contains(&owner) { self.pid(Member(owner - 1)) } else { 0 };
            let since_milliseconds = self.since(slot).load(Relaxed);
            readers.push(LiveReader { pid, snapshot, since_milliseconds });
        });
        readers
    }
}

/// Where a block ends in the shared memory.
fn end_of(block: usize) -> usize {
    READERS_AT + (block + 1) * BLOCK_LEN * LINE
}

#[cold]
fn cannot_grow(source: std::io::Error) -> Error {
    Error::Io { action: "make the reader table longer in", path: "the lock file".into(), source }
}

fn slots_of(block: usize) -> std::ops::Range<usize> {
    block * BLOCK_LEN..(block + 1) * BLOCK_LEN
}
