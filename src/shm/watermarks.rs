//! Where the transactions stand: newest, visible, durable, the sync target, the poison flag.
//!
//! Invariants (rules R1 to R11 of docs/DURABILITY.md; the protocol's model checks them exhaustively):
//! - `durable <= newest`, `visible <= newest`; each only rises while the database is open.
//! - A snapshot is visible only if every durable commit in it is durable (I3). Visible moves to newest or to the
//!   target of a finished sync, never to a snapshot between, because only those are protected (R2).
//! - The protected set is read in one order: target and hazard, durable, visible, a fence, the readers (R5). The
//!   syncer clears the target last, after it has raised durable and visible.
//! - A snapshot's descriptor is stored before newest names it and is kept while visible may name it: the ring is
//!   longer than the distance from visible to newest. Ids take its places one after the other; where recovery leaves
//!   a gap in the ids, it is one of whole rounds ([`first_id_after`]).
//!
//! All accesses are sequentially consistent, as the model assumes, except the stores of a descriptor's fields, which
//! are releases ([`super::commit_info`] says why that is enough). Loads cost the same as acquire loads on x86-64 and
//! AArch64.

use std::sync::atomic::Ordering::{Release, SeqCst};
use std::time::{Duration, Instant};

use super::commit_info::{CommitDelta, EncodedDelta, SpaceState};
use super::{LINE, RING_AT, RING_LEN, SharedMemory, Step, WATERMARKS_AT, is_left_out};
use crate::base::checksum::checksum_of_parts;
use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{PageNumber, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::tree_root::TreeRoot;
use crate::sys::atomic::{AtomicU64, fence};
use crate::sys::futex;

/// A state of the database, as a transaction left it: all that a reader needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: TransactionId,
    pub(crate) length_pages: u32,
    pub(crate) catalog: TreeRoot,
}

/// A state of the database, as a transaction left it: all that the next writer, and the meta, need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CommittedState {
    pub(crate) snapshot: Snapshot,
    pub(crate) space: SpaceState,
}

impl CommittedState {
    /// The checksum of all its fields.
    fn checksum(&self) -> u32 {
        let Snapshot { id, length_pages, catalog } = self.snapshot;
        let SpaceState { log_page, log_tail, free_pages, retired_pages } = &self.space;
        let numbers = [id.0, u64::from(length_pages), u64::from(catalog.page.0), u64::from(catalog.depth)];
        let more =
            [catalog.entries, u64::from(log_page.0), u64::from(*free_pages), u64::from(*retired_pages)];
        let bytes: Vec<u8> = numbers.iter().chain(&more).flat_map(|number| number.to_le_bytes()).collect();
        checksum_of_parts([&bytes[..], log_tail])
    }
}

/// If a descriptor is not whole after this many loads, the shared memory is damaged.
pub(super) const MAX_SPINS: u32 = 1_000_000;
/// A sleeper checks again after this long at the latest.
const MAX_SLEEP: Duration = Duration::from_secs(1);

// Each word that is often written has two cache lines for itself: processors fetch lines in pairs. (Target and
// hazard, which only the syncer writes, share two.)
const NEWEST: usize = WATERMARKS_AT;
const VISIBLE: usize = WATERMARKS_AT + 2 * LINE;
/// The durable transaction, times two, plus the slot of its meta in the lowest bit.
const DURABLE: usize = WATERMARKS_AT + 4 * LINE;
const TARGET: usize = WATERMARKS_AT + 6 * LINE;
/// A newest that a syncer is about to make visible: protected meanwhile (R3).
const HAZARD: usize = WATERMARKS_AT + 7 * LINE;
/// The checksums of the metas that were last stored in slots 0 and 1.
const SLOT_CHECKSUMS: usize = WATERMARKS_AT + 10 * LINE + 2;
/// The newest transaction whose commit asked for durability.
const PENDING: usize = WATERMARKS_AT + 8 * LINE;
/// Ids begin here, above all that recovery has seen (R9).
const FIRST_ID: usize = WATERMARKS_AT + 10 * LINE;
/// The newest transaction that made the file shorter, until the file's end has been cut off; 0 if none.
const SHRUNK_IN: usize = WATERMARKS_AT + 10 * LINE + 1;
const POISON: usize = WATERMARKS_AT + 12 * LINE;
/// Rises, in 32 bits, whenever visible does: waiting processes sleep on it.
const CHANGES: usize = WATERMARKS_AT + 14 * LINE;
/// How many processes sleep.
const SLEEPERS: usize = WATERMARKS_AT + 14 * LINE + 1;
/// Tickets that waiting writers have taken.
const TICKETS: usize = WATERMARKS_AT + 15 * LINE;

#[inline]
fn place_in_ring(id: TransactionId) -> usize {
    (id.0 % RING_LEN as u64) as usize
}

/// The first id for new transactions over `recovered`: above `greatest`, the greatest id seen in either meta (R9),
/// and next to `recovered` in the ring of descriptors.
pub(crate) fn first_id_after(recovered: TransactionId, greatest: TransactionId) -> TransactionId {
    let lost = greatest.0 - recovered.0;
    TransactionId(recovered.0 + lost.next_multiple_of(RING_LEN as u64)).next()
}

impl SharedMemory {
    #[inline]
    fn id(&self, word: usize) -> TransactionId {
        TransactionId(self.word(word).load(SeqCst))
    }

    /// Sets everything to `newest`, whose meta in `slot` is durable. New transactions get ids from `first_id` on.
    pub(crate) fn start_at(&self, newest: &CommittedState, slot: usize, first_id: TransactionId) {
        self.store_state(newest, 0, None);
        let id = newest.snapshot.id;
        self.word(FIRST_ID).store(first_id.0, SeqCst);
        self.store_durable(id, slot);
        self.word(VISIBLE).store(id.0, SeqCst);
        self.word(NEWEST).store(id.0, SeqCst);
    }

    pub(crate) fn newest_id(&self) -> TransactionId {
        self.id(NEWEST)
    }

    /// The whole state of newest: for the writer, which keeps newest from moving, and for other threads as soon as
    /// they load it fast enough.
    pub(crate) fn newest(&self) -> Result<CommittedState> {
        self.read_newest(|id| {
            let area = self.descriptor(id)[4].load(SeqCst) as usize & 1;
            Some(CommittedState { snapshot: self.snapshot(id)?, space: self.load_space(area, id)? })
        })
    }

    /// The newest that processes have left, all of which are gone, if its descriptor and its area belong together.
    /// They lie in different pages of the lock file, each of which reaches the disk by itself: so a lost page cache
    /// may leave parts of different times.
    pub(crate) fn head_as_left(&self) -> Option<CommittedState> {
        let id = self.newest_id();
        let words = self.descriptor(id);
        let area = words[4].load(SeqCst) as usize & 1;
        let newest = CommittedState { snapshot: self.snapshot(id)?, space: self.load_space(area, id)? };
        (words[5].load(SeqCst) == u64::from(newest.checksum())).then_some(newest)
    }

    /// The snapshot of newest, without its free space.
    pub(crate) fn newest_snapshot(&self) -> Result<Snapshot> {
        self.read_newest(|id| self.snapshot(id))
    }

    fn read_newest<T>(&self, look: impl Fn(TransactionId) -> Option<T>) -> Result<T> {
        for _ in 0..MAX_SPINS {
            if let Some(found) = look(self.newest_id()) {
                return Ok(found);
            }
            std::hint::spin_loop();
        }
        Err(corrupt(None, "lock file", "a descriptor of newest", "none"))
    }

    /// The snapshot that readers see, for its numbers: nothing protects its pages.
    pub(crate) fn visible_snapshot(&self) -> Result<Snapshot> {
        for _ in 0..MAX_SPINS {
            if let Some(found) = self.snapshot(self.visible()) {
                return Ok(found);
            }
            std::hint::spin_loop();
        }
        Err(corrupt(None, "lock file", "a descriptor of the visible snapshot", "none"))
    }

    /// The snapshot that new readers start from.
    #[inline]
    pub(crate) fn visible(&self) -> TransactionId {
        self.id(VISIBLE)
    }

    pub(crate) fn durable(&self) -> TransactionId {
        TransactionId(self.word(DURABLE).load(SeqCst) >> 1)
    }

    /// The slot of the durable meta.
    pub(crate) fn durable_slot(&self) -> usize {
        (self.word(DURABLE).load(SeqCst) & 1) as usize
    }

    /// The checksum of the meta that was last stored in `slot`.
    pub(crate) fn slot_checksum(&self, slot: usize) -> u32 {
        self.word(SLOT_CHECKSUMS + slot).load(SeqCst) as u32
    }

    /// Notes that a meta with this checksum is about to be stored in `slot`.
    pub(crate) fn set_slot_checksum(&self, slot: usize, checksum: u32) {
        self.word(SLOT_CHECKSUMS + slot).store(u64::from(checksum), SeqCst);
    }

    /// Stores both in one word: no process ever sees the one without the other.
    fn store_durable(&self, id: TransactionId, slot: usize) {
        self.word(DURABLE).store(id.0 << 1 | slot as u64, SeqCst);
    }

    /// Whether some commit that asked for durability is not durable yet.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending() > self.durable()
    }

    /// The newest transaction whose commit asked for durability.
    pub(crate) fn pending(&self) -> TransactionId {
        self.id(PENDING)
    }

    pub(crate) fn poison(&self) {
        self.word(POISON).store(1, SeqCst);
        self.wake_sleepers();
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.word(POISON).load(SeqCst) != 0
    }

    /// A ticket for a writer that has to wait: it only orders the queue.
    pub(crate) fn take_ticket(&self) -> u64 {
        self.word(TICKETS).fetch_add(1, SeqCst)
    }

    // ---- for the writer, which holds the writer lock ----

    /// The first id of this session: above all that recovery has seen.
    pub(crate) fn first_id(&self) -> TransactionId {
        self.id(FIRST_ID)
    }

    /// Whether users can have left these ids: what readers see and what is durable is not above newest, nothing is
    /// pending above the next id, and the next id takes the next place in the ring. If it took the place of what
    /// readers see, there would never be room for it; if its meta were taken for durable already, it would never be
    /// stored.
    pub(crate) fn ids_are_in_order(&self) -> bool {
        let (newest, first) = (self.newest_id(), self.first_id());
        let is_next_in_ring = first <= newest || place_in_ring(first) == place_in_ring(newest.next());
        let has_visible = self.visible().0 != 0 && self.visible() <= newest;
        let is_pending_known = self.pending() <= newest || self.pending() == self.next_id();
        is_next_in_ring
            && first <= TransactionId::MAX
            && has_visible
            && self.durable() <= newest
            && self.id(TARGET) <= newest
            && is_pending_known
    }

    /// The id of the transaction that follows newest.
    pub(crate) fn next_id(&self) -> TransactionId {
        self.newest_id().next().max(self.id(FIRST_ID))
    }

    /// Advances newest: the transaction has happened (R8), and the next one builds on it. `wants_durable` is
    /// announced first, so that no thread can see the new newest and miss that it is pending.
    pub(crate) fn advance_newest(
        &self,
        newest: &CommittedState,
        delta: Option<&CommitDelta>,
        wants_durable: bool,
    ) {
        let id = newest.snapshot.id;
        let overwrites = place_in_ring(id) == place_in_ring(self.visible());
        assert!(!overwrites, "the ring of descriptors is full");
        let area = self.descriptor(self.newest_id())[4].load(SeqCst) as usize & 1;
        let delta = delta.and_then(CommitDelta::encode);
        self.store_state(newest, 1 - area, delta.as_ref());
        self.store_delta(id, delta.as_ref());
        if wants_durable && !is_left_out(Step::PendingFirst) {
            self.word(PENDING).store(id.0, SeqCst);
        }
        self.word(NEWEST).store(id.0, SeqCst);
        if wants_durable && is_left_out(Step::PendingFirst) {
            self.word(PENDING).store(id.0, SeqCst);
        }
        self.show(id);
    }

    /// Completes what a killed writer or syncer may have left undone: makes visible what is durable, and newest if
    /// nothing durable is pending up to it. For a handle that is alone.
    pub(crate) fn resume(&self) {
        self.raise_visible(self.durable());
        self.show(self.newest_id());
    }

    /// Makes newest, which no other thread moves meanwhile, visible, if nothing durable is pending up to it (R3). For
    /// the writer that has moved it.
    fn show(&self, newest: TransactionId) {
        if !self.has_pending() || is_mutated(Mutation::VisibleTooEarly) {
            self.raise_visible(newest);
        }
    }

    /// Whether another snapshot's descriptor would overwrite one that visible may still name.
    pub(crate) fn ring_is_full(&self) -> bool {
        place_in_ring(self.next_id()) == place_in_ring(self.visible())
    }

    /// The newest transaction that made the file shorter, if its end has not been cut off yet.
    pub(crate) fn shrunk_in(&self) -> Option<TransactionId> {
        Some(self.id(SHRUNK_IN)).filter(|id| id.0 != 0)
    }

    pub(crate) fn set_shrunk_in(&self, id: Option<TransactionId>) {
        self.word(SHRUNK_IN).store(id.map_or(0, |id| id.0), SeqCst);
    }

    /// The snapshots whose pages must stay, ascending: read in the order of R5.
    pub(crate) fn protected(&self) -> Result<Vec<TransactionId>> {
        let mut ids = Vec::new();
        if is_left_out(Step::ReadersLast) {
            self.read_snapshots(|reader| ids.push(reader))?;
        }
        if !is_mutated(Mutation::TargetNotProtected) {
            ids.push(self.id(TARGET));
        }
        ids.push(self.id(HAZARD));
        if !is_mutated(Mutation::DurableNotProtected) {
            ids.push(self.durable());
        }
        ids.push(self.visible());
        if !is_mutated(Mutation::NewestNotProtected) {
            ids.push(self.newest_id());
        }
        fence(SeqCst);
        if !is_left_out(Step::ReadersLast) && !is_mutated(Mutation::ReadersNotProtected) {
            self.read_snapshots(|reader| ids.push(reader))?;
        }
        ids.retain(|id| id.0 != 0);
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    // ---- for the syncer, which holds the syncer lock ----

    /// The target that a dead syncer has left.
    pub(crate) fn left_target(&self) -> Option<TransactionId> {
        Some(self.id(TARGET)).filter(|id| id.0 != 0)
    }

    /// Declares newest to be syncing. A writer that starts from a later newest reads the target after this store, and
    /// finds it protected; so newest is read again after the store.
    pub(crate) fn take_target(&self) -> Result<CommittedState> {
        loop {
            let newest = self.newest()?;
            self.word(TARGET).store(newest.snapshot.id.0, SeqCst);
            if self.newest_id() == newest.snapshot.id || is_left_out(Step::NewestAgain) {
                return Ok(newest);
            }
        }
    }

    /// Finishes the sync of `target`, whose meta is in `slot` and whose barrier has returned: durable, then visible,
    /// then the target is cleared (R3, R5).
    pub(crate) fn finish_sync(&self, target: TransactionId, slot: usize) {
        if is_left_out(Step::TargetLast) {
            self.clear_target();
        }
        self.store_durable(target, slot);
        let newest = loop {
            let newest = self.newest_id();
            self.word(HAZARD).store(newest.0, SeqCst);
            if self.newest_id() == newest {
                break newest;
            }
        };
        // If a durable commit above the target is pending, it is above all that may become visible now (R2).
        let visible = if self.pending() > target { target } else { newest };
        self.raise_visible(visible);
        self.word(HAZARD).store(0, SeqCst);
        self.clear_target();
    }

    pub(crate) fn clear_target(&self) {
        self.word(TARGET).store(0, SeqCst);
    }

    // ---- waiting for visible to move ----

    fn raise_visible(&self, id: TransactionId) {
        if self.word(VISIBLE).fetch_max(id.0, SeqCst) < id.0 {
            self.wake_sleepers();
        }
    }

    /// Makes every sleeper test whether its wait is over.
    pub(crate) fn wake_sleepers(&self) {
        self.word(CHANGES).fetch_add(1, SeqCst);
        if self.word(SLEEPERS).load(SeqCst) != 0 {
            futex::wake_all(self.word(CHANGES));
        }
    }

    /// Sleeps until `is_reached`, or until `deadline`. Returns `false` at the deadline. A process that is killed
    /// between moving visible and waking leaves sleepers asleep: so each checks by itself now and then.
    pub(crate) fn sleep_until(&self, is_reached: impl Fn() -> bool, deadline: Option<Instant>) -> bool {
        self.word(SLEEPERS).fetch_add(1, SeqCst);
        let reached = loop {
            let changes = self.word(CHANGES).load(SeqCst) as u32;
            if is_reached() {
                break true;
            }
            let left =
                deadline.map_or(MAX_SLEEP, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break false;
            }
            futex::wait(self.word(CHANGES), changes, left.min(MAX_SLEEP));
        };
        self.word(SLEEPERS).fetch_sub(1, SeqCst);
        reached
    }

    // ---- descriptors ----

    #[inline]
    pub(super) fn descriptor(&self, id: TransactionId) -> &[AtomicU64] {
        self.words(RING_AT + place_in_ring(id) * LINE, LINE)
    }

    fn store_state(&self, newest: &CommittedState, area: usize, delta: Option<&EncodedDelta>) {
        self.store_space(area, newest.snapshot.id, &newest.space);
        let Snapshot { id, length_pages, catalog } = newest.snapshot;
        let words = self.descriptor(id);
        words[0].store(0, SeqCst); // a thread that reads now sees that the words do not belong together
        words[1].store(u64::from(length_pages), Release);
        words[2].store(u64::from(catalog.page.0) | u64::from(catalog.depth) << 32, Release);
        words[3].store(catalog.entries, Release);
        words[4].store(area as u64, Release);
        words[5].store(u64::from(newest.checksum()), Release);
        words[6].store(delta.map_or(0, EncodedDelta::checksum), Release);
        words[0].store(id.0, SeqCst);
    }

    /// The descriptor of `id`. Returns `None` if the ring has gone round since visible named it.
    #[inline]
    pub(crate) fn snapshot(&self, id: TransactionId) -> Option<Snapshot> {
        let words = self.descriptor(id);
        let before = words[0].load(SeqCst);
        let length_pages = words[1].load(SeqCst) as u32;
        let root = words[2].load(SeqCst);
        let entries = words[3].load(SeqCst);
        let after = words[0].load(SeqCst);
        let catalog = TreeRoot { page: PageNumber(root as u32), depth: (root >> 32) as u8, entries };
        let is_whole = before == id.0 && after == id.0;
        is_whole.then_some(Snapshot { id, length_pages, catalog })
    }
}
