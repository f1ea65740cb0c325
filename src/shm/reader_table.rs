//! The reader table: one cache line for each live read transaction, with the handle and the snapshot that it reads.
//!
//! Invariants:
//! - I8: beginning and ending a read transaction is a store to its own line and loads of shared words; no lock, no
//!   system call.
//! - A slot is free, or names its handle and its snapshot in one word. So one compare-and-swap claims it, publishes
//!   the snapshot and names the handle. At whatever instruction a reader dies, its slot is its handle's or free, and
//!   any handle may claim a free slot.
//! - A snapshot in a slot is protected if visible still was that snapshot after the slot was published. Otherwise the
//!   reader publishes again. (Publish, fence, load again, here; fence, scan, in [`SharedMemory::protected`]: either
//!   the writer's scan sees the slot, or the reader sees visible move. Compare-and-swap and loads are sequentially
//!   consistent, so the fence is in them.)
//! - [`Bounds`]: a reader keeps a slot only if its block was open after the slot was published; a block is left out
//!   of the scan only if it was closed before all its slots were found free. So for a slot that the scan leaves out
//!   the argument is the same (docs/SHARING.md, *Readers*).

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

use super::handles::HandleNumber;
use super::{
    BLOCK_COUNT, BLOCK_LEN, HANDLE_COUNT, IS_SMALL, LINE, READER_SLOTS, READERS_AT, SharedMemory, Step,
    WATERMARKS_AT, is_left_out,
};
use crate::base::TransactionId;
use crate::error::{Error, Result, corrupt};
use crate::shm::watermarks::{MAX_SPINS, Snapshot};
use crate::sys::atomic::AtomicU64;
use crate::sys::coarse_milliseconds;

/// [`Bounds`], in a cache line that is hardly ever written.
const BOUNDS: usize = WATERMARKS_AT + 13 * LINE;
const FREE: u64 = 0;
/// Blocks that stay open above what is in use.
const SPARE_BLOCKS: usize = if IS_SMALL { 0 } else { 8 };

const _: () = assert!(HANDLE_COUNT < 1 << (64 - TransactionId::BITS), "a handle and an id fit into a word");

#[cfg(not(all(test, loom)))]
thread_local! {
    /// The slot that this thread used last: most likely free again, with its line in this core's cache. None at
    /// first.
    static LAST_SLOT: Cell<usize> = const { Cell::new(READER_SLOTS) };
}
#[cfg(all(test, loom))]
loom::thread_local! {
    static LAST_SLOT: Cell<usize> = Cell::new(READER_SLOTS);
}

/// A claimed slot of the reader table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReaderSlot(usize);

/// A live reader, as its slot shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LiveReader {
    pub(crate) pid: u32,
    pub(crate) snapshot: TransactionId,
    /// When it began, by the system's coarse clock.
    pub(crate) since_milliseconds: u64,
}

/// The word of a slot while `handle` reads `snapshot`.
#[inline]
fn slot_word(handle: HandleNumber, snapshot: TransactionId) -> u64 {
    (handle.0 as u64 + 1) << TransactionId::BITS | snapshot.0 & TransactionId::MAX.0
}

fn snapshot_in(word: u64) -> TransactionId {
    TransactionId(word & TransactionId::MAX.0)
}

/// Returns `None` if no reader has ever stored that word.
fn handle_in(word: u64) -> Option<HandleNumber> {
    let handle = (word >> TransactionId::BITS).checked_sub(1)? as usize;
    (handle < HANDLE_COUNT).then_some(HandleNumber(handle))
}

/// Which blocks of slots are in use, in one word, which changes by compare-and-swap only. Each bound is at least as
/// great as the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bounds {
    /// Blocks below this one are open: readers claim slots there. A reader that finds no other slot raises it; a
    /// thread that holds the writer lock lowers it.
    open: usize,
    /// Blocks below this one are scanned for readers.
    scanned: usize,
    /// Blocks below this one have been open at some time: a dead reader's slot is in one of them.
    ever: usize,
}

impl Bounds {
    #[inline]
    fn of(word: u64) -> Bounds {
        let part = |shift: u32| (word >> shift) as usize & 0xffff;
        let open = part(0).min(BLOCK_COUNT);
        let scanned = part(16).clamp(open, BLOCK_COUNT);
        Bounds { open, scanned, ever: part(32).clamp(scanned, BLOCK_COUNT) }
    }

    fn word(self) -> u64 {
        self.open as u64 | (self.scanned as u64) << 16 | (self.ever as u64) << 32
    }

    /// The bounds with one more open block.
    fn wider(self) -> Bounds {
        let open = self.open + 1;
        Bounds { open, scanned: self.scanned.max(open), ever: self.ever.max(open) }
    }

    /// The bounds with as few blocks as `live` readers below block `end` need, and some to spare.
    fn narrower(self, live: usize, end: usize) -> Bounds {
        let open = self.open.min((live.div_ceil(BLOCK_LEN) + SPARE_BLOCKS).max(1));
        // What is closed now is left out by the next call: a reader may be claiming a slot there.
        let closed_before = if is_left_out(Step::CloseFirst) { open } else { self.open };
        Bounds { open, scanned: end.max(closed_before), ever: self.ever }
    }
}

impl SharedMemory {
    #[inline]
    fn reader(&self, slot: usize) -> &AtomicU64 {
        self.word(word_of(slot))
    }

    #[inline]
    fn since(&self, slot: usize) -> &AtomicU64 {
        self.word(word_of(slot) + 1)
    }

    /// Returns an error unless the first `count` blocks exist. A block exists before it is open: this only notices
    /// that another process has made the table longer. A writer that cannot see a block must not go on without it,
    /// because it would take pages of readers there.
    fn check_blocks(&self, count: usize) -> Result<()> {
        let words = count.checked_sub(1).map_or(0, end_of);
        match self.memory.has(words).map_err(cannot_examine)? {
            true => Ok(()),
            false => Err(corrupt(None, "lock file", format_args!("{count} blocks of readers"), "fewer")),
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds::of(self.word(BOUNDS).load(SeqCst))
    }

    /// Begins to read the newest visible snapshot. It stays protected until [`SharedMemory::end_read`].
    #[inline(always)]
    pub(crate) fn begin_read(&self, handle: HandleNumber) -> Result<(ReaderSlot, Snapshot)> {
        let seen = self.visible();
        let slot = self.claim_slot(slot_word(handle, seen))?;
        self.since(slot).store(coarse_milliseconds(), Relaxed);
        let now = if is_left_out(Step::LookAgain) { seen } else { self.visible() };
        match self.snapshot(seen) {
            Some(snapshot) if now == seen => Ok((ReaderSlot(slot), snapshot)),
            _ => self.follow_visible(handle, slot),
        }
    }

    /// Visible moved on between the two loads: a writer may have scanned before the slot was published. So it is
    /// published again, until visible stands still.
    #[cold]
    fn follow_visible(&self, handle: HandleNumber, slot: usize) -> Result<(ReaderSlot, Snapshot)> {
        for _ in 0..MAX_SPINS {
            let seen = self.visible();
            self.reader(slot).store(slot_word(handle, seen), SeqCst);
            let now = if is_left_out(Step::LookAgain) { seen } else { self.visible() };
            if now == seen
                && let Some(snapshot) = self.snapshot(seen)
            {
                return Ok((ReaderSlot(slot), snapshot));
            }
        }
        self.reader(slot).store(FREE, SeqCst);
        let seen = self.visible();
        Err(corrupt(None, "lock file", format_args!("a descriptor of snapshot {seen}"), "none"))
    }

    /// Begins to read the checkpointed snapshot, in place of the visible one. Returns its id, and the slot of its meta.
    /// The argument is that of [`SharedMemory::begin_read`]: the writer's scan loads `checkpointed` before the slots.
    pub(crate) fn begin_read_checkpoint(
        &self,
        handle: HandleNumber,
    ) -> Result<(ReaderSlot, TransactionId, usize)> {
        let (slot, _) = self.begin_read(handle)?;
        for _ in 0..MAX_SPINS {
            let (seen, meta_slot) = self.checkpointed_with_slot();
            self.move_read(handle, slot, seen);
            if self.checkpointed() == seen {
                return Ok((slot, seen, meta_slot));
            }
        }
        self.end_read(slot);
        Err(corrupt(None, "lock file", "a checkpoint that stays", "others all the time"))
    }

    /// Reads `snapshot` through the slot, in place of the one before, in one store: a scan finds the one or the other.
    /// The one before must protect `snapshot`.
    pub(crate) fn move_read(&self, handle: HandleNumber, slot: ReaderSlot, snapshot: TransactionId) {
        self.reader(slot.0).store(slot_word(handle, snapshot), SeqCst);
    }

    /// Frees the slot: the snapshot is no longer read through it.
    #[inline]
    pub(crate) fn end_read(&self, slot: ReaderSlot) {
        // Release: all that was read through the slot was read before it is free.
        let order = if is_left_out(Step::EndAfterReading) { Relaxed } else { Release };
        self.reader(slot.0).store(FREE, order);
    }

    #[inline]
    fn claim_slot(&self, reader: u64) -> Result<usize> {
        let last = LAST_SLOT.with(Cell::get);
        // The thread's last slot may be in the longer table of another database.
        if let Some(word) = self.memory.words().get(word_of(last))
            && self.try_claim(last, word, reader)
        {
            return Ok(last);
        }
        let slot = self.claim_any_slot(reader)?;
        LAST_SLOT.with(|last| last.set(slot));
        Ok(slot)
    }

    /// Searches the open blocks, from the last slot on, and opens another one if all are full.
    #[cold]
    fn claim_any_slot(&self, reader: u64) -> Result<usize> {
        loop {
            let bounds = self.word(BOUNDS).load(SeqCst);
            let open = Bounds::of(bounds).open;
            self.check_blocks(open)?;
            let slots = open * BLOCK_LEN;
            let last = LAST_SLOT.with(Cell::get);
            let start = if last < slots { last } else { first_look(reader) % slots.max(1) };
            let mut search = (start..slots).chain(0..start);
            if let Some(slot) = search.find(|&slot| self.try_claim(slot, self.reader(slot), reader)) {
                return Ok(slot);
            }
            self.open_block(bounds)?;
        }
    }

    /// Opens another block, unless another reader has moved the bounds meanwhile.
    fn open_block(&self, before: u64) -> Result<()> {
        let bounds = Bounds::of(before);
        if bounds.open == BLOCK_COUNT {
            return Err(Error::ReadersFull { slots: READER_SLOTS });
        }
        self.memory.grow(end_of(bounds.open)).map_err(cannot_grow)?;
        // If that fails the caller searches what is open by now.
        let _ = self.word(BOUNDS).compare_exchange(before, bounds.wider().word(), SeqCst, SeqCst);
        Ok(())
    }

    #[inline]
    fn try_claim(&self, slot: usize, word: &AtomicU64, reader: u64) -> bool {
        if word.load(Relaxed) != FREE || word.compare_exchange(FREE, reader, SeqCst, SeqCst).is_err() {
            return false;
        }
        let is_open = slot / BLOCK_LEN < self.bounds().open;
        if !is_open && !is_left_out(Step::OpenAfterClaim) {
            word.store(FREE, SeqCst); // the scan may not see it
            return false;
        }
        true
    }

    /// Closes blocks that are hardly used, so that readers move to others, and leaves out of the scan those closed
    /// earlier that have no readers any more. The caller must hold the writer lock, so that no other thread lowers
    /// the bounds.
    pub(crate) fn narrow_reader_table(&self) -> Result<()> {
        let before = self.word(BOUNDS).load(SeqCst);
        let (mut live, mut end) = (0, 0);
        self.live_slots(Bounds::of(before).scanned, |slot, _| {
            (live, end) = (live + 1, slot / BLOCK_LEN + 1)
        })?;
        let after = Bounds::of(before).narrower(live, end).word();
        // If a reader has opened a block since, no block is closed until the next call.
        let _ = self.word(BOUNDS).compare_exchange(before, after, SeqCst, SeqCst);
        Ok(())
    }

    /// Frees the slots of a handle that is dead, or that has no more readers.
    pub(super) fn free_slots_of(&self, handle: HandleNumber) -> Result<()> {
        self.live_slots(self.bounds().ever, |slot, word| {
            if handle_in(word) == Some(handle) || is_left_out(Step::OwnSlotsOnly) {
                self.reader(slot).store(FREE, SeqCst);
            }
        })
    }

    /// Calls `each` with every slot in the first `blocks` that is not free, and its word.
    fn live_slots(&self, blocks: usize, mut each: impl FnMut(usize, u64)) -> Result<()> {
        self.check_blocks(blocks)?;
        for slot in 0..blocks * BLOCK_LEN {
            let word = self.reader(slot).load(SeqCst);
            if word != FREE {
                each(slot, word);
            }
        }
        Ok(())
    }

    fn live_readers(&self, each: impl FnMut(usize, u64)) -> Result<()> {
        self.live_slots(self.bounds().scanned, each)
    }

    /// Calls `each` with the snapshot of every live reader.
    pub(crate) fn read_snapshots(&self, mut each: impl FnMut(TransactionId)) -> Result<()> {
        self.live_readers(|_, word| each(snapshot_in(word)))
    }

    /// Every live reader, with what its slot says.
    pub(crate) fn reader_list(&self) -> Result<Vec<LiveReader>> {
        let mut readers = Vec::new();
        self.live_readers(|slot, word| {
            let pid = handle_in(word).map_or(0, |handle| self.pid(handle));
            let since_milliseconds = self.since(slot).load(Relaxed);
            readers.push(LiveReader { pid, snapshot: snapshot_in(word), since_milliseconds });
        })?;
        Ok(readers)
    }
}

/// Where a thread that has had no slot yet begins to search. Threads, of whatever process, begin in different places:
/// so each has a cache line of its own, until two of them meet in one.
fn first_look(reader: u64) -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    match IS_SMALL {
        true => 0, // each execution of an exploration is the same
        false => handle_in(reader).map_or(0, |handle| handle.0 * 4) + THREADS.fetch_add(1, Relaxed),
    }
}

/// Where a slot is in the shared memory.
#[inline]
fn word_of(slot: usize) -> usize {
    READERS_AT + slot * LINE
}

/// Where a block ends in the shared memory.
fn end_of(block: usize) -> usize {
    word_of((block + 1) * BLOCK_LEN)
}

#[cold]
fn cannot_examine(source: std::io::Error) -> Error {
    Error::io("look for the reader table in", "the lock file", source)
}

#[cold]
fn cannot_grow(source: std::io::Error) -> Error {
    Error::io("make the reader table longer in", "the lock file", source)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::PageNumber;
    use crate::format::tree_root::TreeRoot;
    use crate::shm::WORD_COUNT;
    use crate::shm::commit_info::SpaceState;
    use crate::shm::watermarks::{CommittedState, LogState};
    use crate::sys::SharedWords;

    const OWN: HandleNumber = HandleNumber(0);
    const OTHER: HandleNumber = HandleNumber(1023);

    fn shared(id: u64) -> SharedMemory {
        let shared = SharedMemory::new(SharedWords::anonymous(WORD_COUNT).unwrap());
        let catalog = TreeRoot { page: PageNumber(0), depth: 0, entries: 0 };
        let snapshot = Snapshot { id: TransactionId(id), length_pages: 2, catalog };
        let (space, log) = (SpaceState::default(), LogState::default());
        shared.start_at(&CommittedState { snapshot, space, log }, 0, TransactionId(id + 1));
        shared
    }

    fn begin(shared: &SharedMemory, handle: HandleNumber) -> ReaderSlot {
        shared.begin_read(handle).unwrap().0
    }

    fn bounds(shared: &SharedMemory) -> (usize, usize, usize) {
        let Bounds { open, scanned, ever } = shared.bounds();
        (open, scanned, ever)
    }

    fn live(shared: &SharedMemory) -> usize {
        shared.reader_list().unwrap().len()
    }

    #[test]
    fn a_table_that_was_full_becomes_short_again() {
        let shared = shared(5);
        let slots: Vec<ReaderSlot> = (0..READER_SLOTS).map(|_| begin(&shared, OWN)).collect();
        assert_eq!(live(&shared), READER_SLOTS);
        assert!(matches!(shared.begin_read(OTHER), Err(Error::ReadersFull { .. })));
        let (last, others) = slots.split_last().unwrap();
        others.iter().for_each(|&slot| shared.end_read(slot));
        shared.narrow_reader_table().unwrap();
        assert_eq!(bounds(&shared), (9, 1024, 1024), "closed first");
        shared.narrow_reader_table().unwrap();
        assert_eq!(bounds(&shared), (9, 1024, 1024), "one still reads far above");
        let next = begin(&shared, OWN);
        assert!(next.0 < 9 * BLOCK_LEN, "a reader that begins now comes down");
        shared.end_read(*last);
        shared.narrow_reader_table().unwrap();
        assert_eq!(bounds(&shared), (9, 9, 1024));
        shared.end_read(next);
        shared.narrow_reader_table().unwrap();
        shared.narrow_reader_table().unwrap();
        assert_eq!(bounds(&shared), (8, 8, 1024));
        assert!(slots.iter().all(|slot| shared.reader(slot.0).load(SeqCst) == FREE));
    }

    #[test]
    fn what_a_dead_member_held_is_free_wherever_it_died() {
        let shared = shared(5);
        let slots: Vec<ReaderSlot> = (0..100).map(|at| begin(&shared, [OWN, OTHER][at % 2])).collect();
        // In a block that has been closed and left out since it looked for a slot there; and before it noticed.
        shared.word(BOUNDS).store(Bounds { open: 7, scanned: 7, ever: 9 }.word(), SeqCst);
        shared.reader(8 * BLOCK_LEN).store(slot_word(OTHER, TransactionId(5)), SeqCst);
        assert_eq!(live(&shared), 100, "it is not scanned");
        shared.free_slots_of(OTHER).unwrap();
        assert_eq!(shared.reader(8 * BLOCK_LEN).load(SeqCst), FREE);
        assert_eq!(live(&shared), 50);
        slots.iter().step_by(2).for_each(|&slot| shared.end_read(slot));
        assert_eq!(live(&shared), 0);
    }

    #[test]
    fn a_word_holds_the_greatest_id_and_the_greatest_member() {
        let shared = shared(TransactionId::MAX.0);
        begin(&shared, OTHER);
        let mut found = Vec::new();
        shared.live_readers(|_, word| found.push((handle_in(word), snapshot_in(word)))).unwrap();
        assert_eq!(found, [(Some(OTHER), TransactionId::MAX)]);
    }

    #[test]
    fn noise_in_the_table_is_an_answer_or_an_error() {
        let shared = shared(5);
        for noise in [u64::MAX, 1 << 63, 0xffff, 0xffff_0000, 7 << 32] {
            shared.word(BOUNDS).store(noise, SeqCst);
            shared.reader(3).store(noise, SeqCst);
            if let Ok((slot, _)) = shared.begin_read(OWN) {
                shared.end_read(slot);
            }
            shared.narrow_reader_table().unwrap();
            shared.free_slots_of(OWN).unwrap();
            assert!(live(&shared) <= 1);
        }
    }
}
