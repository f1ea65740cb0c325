//! Where the transactions stand: newest, visible, durable, checkpointed, the targets, the poison flag.
//!
//! Invariants (the rules of docs/DURABILITY.md, which the protocol's model checks exhaustively):
//! - `durable`, `visible` and `checkpointed` are at most newest; each only rises while the database is open, and so do
//!   `synced` and the log start.
//! - A snapshot is visible only if every durable commit in it is durable (I3). Visible moves to newest or to the
//!   target of a finished sync, never to a snapshot between, because only those are protected (R2).
//! - The protected set is read in one order: target, hazard, the checkpoint's target, checkpointed, visible, newest, a
//!   fence, the readers (R5). The syncer clears its target last, after it has raised durable and visible; the
//!   checkpointer clears its own last, after `checkpointed`. Durable protects nothing: the log has what a durable
//!   commit has changed.
//! - A snapshot's descriptor is stored before newest names it and is kept while visible may name it. Ids take the
//!   places of the ring one after the other. None takes the place of what is visible, and the first one after a gap
//!   that recovery leaves in the ids does not have it either ([`first_id_after`]).
//!
//! All accesses are sequentially consistent, as the model assumes, except the stores of a descriptor's fields, which
//! are releases ([`super::commit_info`] says why that is enough). Loads cost the same as acquire loads on x86-64 and
//! AArch64.

use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

use super::commit_info::SpaceState;
use super::{DESCRIPTOR_LEN, LINE, RING_AT, RING_LEN, SharedMemory, Step, WATERMARKS_AT, is_left_out};
use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{Lsn, PageNumber, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::ring::Ring;
use crate::format::tree_root::TreeRoot;
use crate::sys::atomic::{AtomicU64, fence};
use crate::sys::{coarse_milliseconds, futex};

/// A state of the database, as a transaction left it: all that a reader needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: TransactionId,
    pub(crate) length_pages: u32,
    pub(crate) catalog: TreeRoot,
}

/// A state of the database, as a transaction left it: all that the next writer, and a checkpoint, need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CommittedState {
    pub(crate) snapshot: Snapshot,
    pub(crate) space: SpaceState,
    pub(crate) log: LogState,
}

/// Where the redo log stands, as a transaction left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LogState {
    /// `None` if the file has no ring: then every transaction is unlogged.
    pub(crate) ring: Option<Ring>,
    /// Where the next record begins.
    pub(crate) end: Lsn,
    /// The checksum of the newest record.
    pub(crate) chain: u32,
    /// The newest transaction that is not in the log, up to this one (L9).
    pub(crate) unlogged: TransactionId,
    /// The newest transaction whose record seals, up to this one (L14), and where the next record began after it.
    pub(crate) sealed: TransactionId,
    pub(crate) sealed_end: Lsn,
}

/// If a descriptor is not whole after this many loads, the shared memory is damaged.
pub(super) const MAX_SPINS: u32 = 1_000_000;
/// A sleeper checks again after this long at the latest.
const MAX_SLEEP: Duration = Duration::from_secs(1);

// Each word that is often written has two cache lines for itself: processors fetch lines in pairs. (Target and
// hazard, which only the syncer writes, share two.)
const NEWEST: usize = WATERMARKS_AT;
const VISIBLE: usize = WATERMARKS_AT + 2 * LINE;
/// The newest transaction whose log bytes a barrier has covered, or that a checkpoint has.
const DURABLE: usize = WATERMARKS_AT + 4 * LINE;
/// The transaction of the newest durable meta, times two, plus the meta's slot in the lowest bit.
const CHECKPOINTED: usize = WATERMARKS_AT + 5 * LINE;
/// Where replay would begin: where the log ended after the checkpointed transaction.
const LOG_START: usize = WATERMARKS_AT + 5 * LINE + 1;
/// The snapshot that a checkpoint in progress makes durable.
const CHECKPOINT_TARGET: usize = WATERMARKS_AT + 5 * LINE + 2;
/// When the newest checkpoint of this session was made, in the milliseconds of the system's clock, and how many there
/// were: for people.
const CHECKPOINTED_AT: usize = WATERMARKS_AT + 5 * LINE + 3;
const CHECKPOINTS: usize = WATERMARKS_AT + 5 * LINE + 4;
const TARGET: usize = WATERMARKS_AT + 6 * LINE;
/// Log bytes below this are durable.
const SYNCED: usize = WATERMARKS_AT + 6 * LINE + 1;
/// A newest that a syncer is about to make visible: protected meanwhile (R3).
const HAZARD: usize = WATERMARKS_AT + 7 * LINE;
/// The checksums of the metas that were last stored in slots 0 and 1.
const SLOT_CHECKSUMS: usize = WATERMARKS_AT + 10 * LINE + 2;
/// The newest transaction that is to be durable before it is visible.
const PENDING: usize = WATERMARKS_AT + 8 * LINE;
/// Ids begin here, above all that recovery has seen (L6).
const FIRST_ID: usize = WATERMARKS_AT + 10 * LINE;
/// The newest transaction that made the file shorter, until the file's end has been cut off; 0 if none.
const SHRUNK_IN: usize = WATERMARKS_AT + 10 * LINE + 1;
/// How often a handle has cut the file.
const CUTS: usize = WATERMARKS_AT + 10 * LINE + 5;
/// The newest transaction whose record a writer has begun to store. Above newest if that writer has died (L2).
const APPENDING: usize = WATERMARKS_AT + 10 * LINE + 4;
const POISON: usize = WATERMARKS_AT + 12 * LINE;
/// Rises, in 32 bits, whenever visible does: waiting processes sleep on it.
const CHANGES: usize = WATERMARKS_AT + 14 * LINE;
/// How many processes sleep.
const SLEEPERS: usize = WATERMARKS_AT + 14 * LINE + 1;
/// Tickets that waiting writers have taken.
const TICKETS: usize = WATERMARKS_AT + 15 * LINE;
/// How often a writer has taken its place in the queue.
const QUEUED: usize = WATERMARKS_AT + 15 * LINE + 1;

#[inline]
fn place_in_ring(id: TransactionId) -> usize {
    (id.0 % RING_LEN as u64) as usize
}

/// The first id for new transactions over `recovered`: above `greatest`, the greatest id that recovery has seen. It has
/// another place in the ring of descriptors than `recovered`, which is visible until it is followed by a visible one.
pub(crate) fn first_id_after(recovered: TransactionId, greatest: TransactionId) -> TransactionId {
    let first = greatest.next();
    if place_in_ring(first) == place_in_ring(recovered) { first.next() } else { first }
}

impl SharedMemory {
    #[inline]
    fn id(&self, word: usize) -> TransactionId {
        TransactionId(self.word(word).load(SeqCst))
    }

    /// Sets everything to `newest`, whose meta in `slot` is durable. New transactions get ids from `first_id` on.
    pub(crate) fn start_at(&self, newest: &CommittedState, slot: usize, first_id: TransactionId) {
        self.store_state(newest, 0);
        let id = newest.snapshot.id;
        self.word(FIRST_ID).store(first_id.0, SeqCst);
        self.word(SYNCED).store(newest.log.end.0, SeqCst);
        self.word(DURABLE).store(id.0, SeqCst);
        self.store_checkpointed(id, slot, newest.log.end);
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
            Some(CommittedState {
                snapshot: self.snapshot(id)?,
                space: self.load_space(area, id)?,
                log: self.log_state(id)?,
            })
        })
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
        self.id(DURABLE)
    }

    /// The transaction of the newest durable meta.
    pub(crate) fn checkpointed(&self) -> TransactionId {
        TransactionId(self.word(CHECKPOINTED).load(SeqCst) >> 1)
    }

    /// The transaction of the newest durable meta, and its slot.
    pub(crate) fn checkpointed_with_slot(&self) -> (TransactionId, usize) {
        let word = self.word(CHECKPOINTED).load(SeqCst);
        (TransactionId(word >> 1), (word & 1) as usize)
    }

    /// The slot of the newest durable meta.
    pub(crate) fn checkpoint_slot(&self) -> usize {
        (self.word(CHECKPOINTED).load(SeqCst) & 1) as usize
    }

    /// Where replay would begin. No byte of the block that holds it, or of those above, is overwritten (L7).
    pub(crate) fn log_start(&self) -> Lsn {
        Lsn(self.word(LOG_START).load(SeqCst))
    }

    /// Log bytes below this are durable.
    pub(crate) fn synced(&self) -> Lsn {
        Lsn(self.word(SYNCED).load(SeqCst))
    }

    /// How many checkpoints handles have made since the first of those that are open was opened, and when the last one
    /// was, by [`coarse_milliseconds`].
    pub(crate) fn checkpoints(&self) -> (u64, u64) {
        (self.word(CHECKPOINTS).load(Relaxed), self.word(CHECKPOINTED_AT).load(Relaxed))
    }

    /// The checksum of the meta that was last stored in `slot`.
    pub(crate) fn slot_checksum(&self, slot: usize) -> u32 {
        self.word(SLOT_CHECKSUMS + slot).load(SeqCst) as u32
    }

    /// Notes that a meta with this checksum is about to be stored in `slot`.
    pub(crate) fn set_slot_checksum(&self, slot: usize, checksum: u32) {
        self.word(SLOT_CHECKSUMS + slot).store(u64::from(checksum), SeqCst);
    }

    /// Stores id and slot in one word: no process ever sees the one without the other. The log start follows.
    fn store_checkpointed(&self, id: TransactionId, slot: usize, log_start: Lsn) {
        self.word(CHECKPOINTED).store(id.0 << 1 | slot as u64, SeqCst);
        self.word(LOG_START).store(log_start.0, SeqCst);
    }

    /// Whether some commit that asked for durability is not durable yet.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending() > self.durable()
    }

    /// The newest transaction that is to be durable before it is visible.
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

    /// Announces that a writer has taken its place in the queue.
    pub(crate) fn announce_queued(&self) {
        self.word(QUEUED).fetch_add(1, SeqCst);
    }

    /// A number that changes with each [`SharedMemory::announce_queued`].
    pub(crate) fn queued(&self) -> u64 {
        self.word(QUEUED).load(SeqCst)
    }

    // ---- for the writer, which holds the writer lock ----

    /// The first id of this session: above all that recovery has seen.
    pub(crate) fn first_id(&self) -> TransactionId {
        self.id(FIRST_ID)
    }

    /// Whether users can have left these ids: what readers see and what is durable is not above newest, nothing is
    /// pending above the next id, and the next id does not take the place of what readers see, since there would
    /// never be room for it.
    pub(crate) fn ids_are_in_order(&self) -> bool {
        let (newest, first) = (self.newest_id(), self.first_id());
        let has_place = first <= newest || place_in_ring(first) != place_in_ring(self.visible());
        let has_visible = self.visible().0 != 0 && self.visible() <= newest;
        let is_pending_known = self.pending() <= newest || self.pending() == self.next_id();
        has_place
            && first <= TransactionId::MAX
            && has_visible
            && self.durable() <= newest
            && self.checkpointed() <= newest
            && self.id(TARGET) <= newest
            && self.id(CHECKPOINT_TARGET) <= newest
            && is_pending_known
    }

    /// The id of the transaction that follows newest.
    pub(crate) fn next_id(&self) -> TransactionId {
        self.newest_id().next().max(self.id(FIRST_ID))
    }

    /// Whether a writer may have stored the record that follows newest, and has not advanced newest.
    pub(crate) fn may_have_orphan(&self) -> bool {
        self.id(APPENDING) > self.newest_id()
    }

    /// Notes that the record of transaction `id` is about to be stored; the newest id, that none is.
    pub(crate) fn set_appending(&self, id: TransactionId) {
        self.word(APPENDING).store(id.0, SeqCst);
    }

    /// Advances newest: the transaction has happened (R8), and the next one builds on it. That it is pending is
    /// announced first, so that no thread can see the new newest and miss that.
    pub(crate) fn advance_newest(&self, newest: &CommittedState, is_pending: bool) {
        let id = newest.snapshot.id;
        let overwrites = place_in_ring(id) == place_in_ring(self.visible());
        assert!(!overwrites, "the ring of descriptors is full");
        let area = self.descriptor(self.newest_id())[4].load(SeqCst) as usize & 1;
        self.store_state(newest, 1 - area);
        if is_pending && !is_left_out(Step::PendingFirst) {
            self.word(PENDING).store(id.0, SeqCst);
        }
        self.word(NEWEST).store(id.0, SeqCst);
        if is_pending && is_left_out(Step::PendingFirst) {
            self.word(PENDING).store(id.0, SeqCst);
        }
        self.show(id);
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

    /// Announces that the file is about to be cut.
    pub(crate) fn announce_cut(&self) {
        self.word(CUTS).fetch_add(1, SeqCst);
    }

    /// A number that changes with each [`SharedMemory::announce_cut`].
    pub(crate) fn cuts(&self) -> u64 {
        self.word(CUTS).load(SeqCst)
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
        if !is_mutated(Mutation::CheckpointTargetNotProtected) {
            ids.push(self.id(CHECKPOINT_TARGET));
        }
        ids.push(match is_mutated(Mutation::DurableInPlaceOfCheckpointed) {
            true => self.durable(),
            false => self.checkpointed(),
        });
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

    /// Whether a syncer has died, or failed.
    pub(crate) fn has_target(&self) -> bool {
        self.id(TARGET).0 != 0
    }

    /// Declares newest to be syncing. A writer that starts from a later newest reads the target after this store, and
    /// finds it protected; so newest is read again after the store.
    pub(crate) fn take_target(&self) -> Result<CommittedState> {
        self.take_target_in(TARGET)
    }

    fn take_target_in(&self, word: usize) -> Result<CommittedState> {
        loop {
            let newest = self.newest()?;
            self.word(word).store(newest.snapshot.id.0, SeqCst);
            if self.newest_id() == newest.snapshot.id || is_left_out(Step::NewestAgain) {
                return Ok(newest);
            }
        }
    }

    /// Finishes the sync of `target`, whose barrier has returned: log bytes below `synced` are durable, and so are
    /// transactions up to `durable`. Then visible is raised, and the target is cleared (R3, R5).
    pub(crate) fn finish_sync(&self, target: TransactionId, durable: TransactionId, synced: Lsn) {
        if is_left_out(Step::TargetLast) {
            self.clear_target();
        }
        self.word(SYNCED).fetch_max(synced.0, SeqCst);
        self.word(DURABLE).fetch_max(durable.0, SeqCst);
        let newest = loop {
            let newest = self.newest_id();
            self.word(HAZARD).store(newest.0, SeqCst);
            if self.newest_id() == newest {
                break newest;
            }
        };
        // If a commit above the target is pending, it is above all that may become visible now (R2).
        let visible = if self.pending() > target { target } else { newest };
        self.raise_visible(visible);
        self.word(HAZARD).store(0, SeqCst);
        self.clear_target();
    }

    pub(crate) fn clear_target(&self) {
        self.word(TARGET).store(0, SeqCst);
    }

    // ---- for the checkpointer, which holds the checkpointer lock ----

    /// The target that a checkpointer which died has left.
    pub(crate) fn left_checkpoint_target(&self) -> Option<TransactionId> {
        Some(self.id(CHECKPOINT_TARGET)).filter(|id| id.0 != 0)
    }

    /// Declares newest to be what the checkpoint makes durable, in the way of [`SharedMemory::take_target`].
    pub(crate) fn take_checkpoint_target(&self) -> Result<CommittedState> {
        self.take_target_in(CHECKPOINT_TARGET)
    }

    /// Notes that the meta of `id` in `slot` is durable: replay would begin at `log_start`. The caller has the
    /// syncer lock as well (L3).
    pub(crate) fn finish_checkpoint(&self, id: TransactionId, slot: usize, log_start: Lsn) {
        self.store_checkpointed(id, slot, log_start);
        self.word(CHECKPOINTED_AT).store(coarse_milliseconds(), Relaxed);
        self.word(CHECKPOINTS).fetch_add(1, Relaxed);
    }

    pub(crate) fn clear_checkpoint_target(&self) {
        self.word(CHECKPOINT_TARGET).store(0, SeqCst);
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
        self.words(RING_AT + place_in_ring(id) * DESCRIPTOR_LEN, DESCRIPTOR_LEN)
    }

    fn store_state(&self, newest: &CommittedState, area: usize) {
        self.store_space(area, newest.snapshot.id, &newest.space);
        let Snapshot { id, length_pages, catalog } = newest.snapshot;
        let LogState { ring, end, chain, unlogged, sealed, sealed_end } = newest.log;
        let words = self.descriptor(id);
        words[0].store(0, SeqCst); // a thread that reads now sees that the words do not belong together
        words[1].store(u64::from(length_pages), Release);
        words[2].store(u64::from(catalog.page.0) | u64::from(catalog.depth) << 32, Release);
        words[3].store(catalog.entries, Release);
        words[4].store(area as u64, Release);
        words[8].store(end.0, Release);
        words[9].store(u64::from(chain), Release);
        words[10].store(unlogged.0, Release);
        words[11].store(sealed.0, Release);
        words[12].store(sealed_end.0, Release);
        words[13]
            .store(ring.map_or(0, |ring| u64::from(ring.first.0) | u64::from(ring.pages) << 32), Release);
        words[14].store(ring.map_or(0, |ring| ring.base.0), Release);
        words[0].store(id.0, SeqCst);
    }

    /// Where the log stands after transaction `id`. Returns `None` if its descriptor is not there any more.
    fn log_state(&self, id: TransactionId) -> Option<LogState> {
        let words = self.descriptor(id);
        let before = words[0].load(SeqCst);
        let extent = words[13].load(SeqCst);
        let ring = Ring {
            first: PageNumber(extent as u32),
            pages: (extent >> 32) as u32,
            base: Lsn(words[14].load(SeqCst)),
        };
        let log = LogState {
            ring: Some(ring).filter(|_| extent != 0),
            end: Lsn(words[8].load(SeqCst)),
            chain: words[9].load(SeqCst) as u32,
            unlogged: TransactionId(words[10].load(SeqCst)),
            sealed: TransactionId(words[11].load(SeqCst)),
            sealed_end: Lsn(words[12].load(SeqCst)),
        };
        let after = words[0].load(SeqCst);
        (before == id.0 && after == id.0).then_some(log)
    }

    /// Where the log stands after newest.
    pub(crate) fn newest_log(&self) -> Result<LogState> {
        self.read_newest(|id| self.log_state(id))
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
