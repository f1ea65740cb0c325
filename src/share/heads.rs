//! Where the transactions stand: head, visible, durable, the sync target, the poison flag.
//!
//! Invariants (rules R1 to R8 of docs/DURABILITY.md; checked exhaustively by the protocol's model):
//! - `durable <= head`, `visible <= head`; each only rises while the database is open.
//! - A snapshot is visible only if every durable commit in it is durable (I3). Visible moves to the head or to
//!   the target of a finished sync, never to a snapshot between, for only those are protected (R2).
//! - The protected set is read in one order: target and hazard, durable, visible, a fence, the readers (R5).
//!   The syncer clears the target last, after it has raised durable and visible.
//! - A snapshot's descriptor is stored before head names it and is kept while visible may name it: the ring
//!   is longer than the distance of head from visible. Ids take its places one after the other; where recovery
//!   leaves a gap in the ids, it is one of whole rounds ([`first_id_after`]).
//!
//! All accesses are sequentially consistent: the model assumes it, and none but the reader's two loads
//! are on a hot path (where they cost the same as acquire loads on x86-64 and AArch64).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use super::{HEADS_AT, LINE, RING_AT, RING_LEN, Shared};
use crate::base::{PageNumber, TransactionId};
use crate::format::table_root::TreeRoot;

/// A state of the database, as a transaction left it: all that a reader must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: TransactionId,
    pub(crate) length_pages: u32,
    pub(crate) catalog: TreeRoot,
}

const HEAD: usize = HEADS_AT;
const VISIBLE: usize = HEADS_AT + LINE;
const DURABLE: usize = HEADS_AT + 2 * LINE;
const TARGET: usize = HEADS_AT + 3 * LINE;
/// The head that a syncer is about to make visible: protected meanwhile (R3).
const HAZARD: usize = HEADS_AT + 4 * LINE;
/// The newest transaction whose commit asked for durability.
const PENDING: usize = HEADS_AT + 5 * LINE;
const POISON: usize = HEADS_AT + 6 * LINE;

fn place_in_ring(id: TransactionId) -> usize {
    (id.0 % RING_LEN as u64) as usize
}

/// The first id for new transactions over `recovered`: above `greatest`, the greatest id seen in either record (R9),
/// and next to `recovered` in the ring of descriptors.
pub(crate) fn first_id_after(recovered: TransactionId, greatest: TransactionId) -> TransactionId {
    let lost = greatest.0 - recovered.0;
    TransactionId(recovered.0 + lost.next_multiple_of(RING_LEN as u64)).next()
}

impl Shared {
    fn id(&self, word: usize) -> TransactionId {
        TransactionId(self.word(word).load(SeqCst))
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.memory.words()[at]
    }

    /// Everything stands at `snapshot`, which recovery has made durable.
    pub(crate) fn start_at(&self, snapshot: &Snapshot) {
        self.store_descriptor(snapshot);
        for word in [DURABLE, VISIBLE, HEAD] {
            self.word(word).store(snapshot.id.0, SeqCst);
        }
    }

    pub(crate) fn head(&self) -> TransactionId {
        self.id(HEAD)
    }

    /// The snapshot that new readers start from.
    #[inline]
    pub(crate) fn visible(&self) -> TransactionId {
        self.id(VISIBLE)
    }

    pub(crate) fn durable(&self) -> TransactionId {
        self.id(DURABLE)
    }

    /// Whether some commit that asked for durability is not durable yet.
    pub(crate) fn has_pending(&self) -> bool {
        self.id(PENDING) > self.durable()
    }

    /// The newest transaction whose commit asked for durability.
    pub(crate) fn pending(&self) -> TransactionId {
        self.id(PENDING)
    }

    pub(crate) fn poison(&self) {
        self.word(POISON).store(1, SeqCst);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.word(POISON).load(SeqCst) != 0
    }

    // ---- the writer, holding the writer's seat ----

    /// The transaction has happened (R8): the next one builds on it. `wants_durable` is announced first, so
    /// that no one can see the new head and miss that it is pending.
    pub(crate) fn advance_head(&self, snapshot: &Snapshot, wants_durable: bool) {
        let overwrites = place_in_ring(snapshot.id) == place_in_ring(self.visible());
        assert!(!overwrites, "the ring of descriptors is full");
        self.store_descriptor(snapshot);
        if wants_durable {
            self.word(PENDING).store(snapshot.id.0, SeqCst);
        }
        self.word(HEAD).store(snapshot.id.0, SeqCst);
        if !self.has_pending() {
            self.word(VISIBLE).fetch_max(snapshot.id.0, SeqCst); // R3: nothing durable is pending up to here
        }
    }

    /// Whether another snapshot's descriptor would overwrite one that visible may still name.
    pub(crate) fn ring_is_full(&self) -> bool {
        place_in_ring(self.head().next()) == place_in_ring(self.visible())
    }

    /// The snapshots whose pages must stay, ascending: read in the order of R5.
    pub(crate) fn protected(&self) -> Vec<TransactionId> {
        let mut ids = vec![self.id(TARGET), self.id(HAZARD)];
        ids.push(self.durable());
        ids.push(self.visible());
        ids.push(self.head());
        std::sync::atomic::fence(SeqCst);
        self.live_readers(|reader| ids.push(reader));
        ids.retain(|id| id.0 != 0);
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    // ---- the syncer ----

    /// Declares `target` to be syncing, if it is still the head. A writer that starts from a later head
    /// reads the target after this store, so that it finds it protected.
    pub(crate) fn set_target(&self, target: TransactionId) -> bool {
        self.word(TARGET).store(target.0, SeqCst);
        self.head() == target
    }

    /// The barrier for `target` has returned: durable, then visible, then the target is cleared (R3, R5).
    pub(crate) fn finish_sync(&self, target: TransactionId) {
        self.word(DURABLE).store(target.0, SeqCst);
        let head = loop {
            let head = self.head();
            self.word(HAZARD).store(head.0, SeqCst);
            if self.head() == head {
                break head;
            }
        };
        // If a durable commit above the target is pending, it is above all that may become visible now (R2).
        let visible = if self.pending() > target { target } else { head };
        self.word(VISIBLE).fetch_max(visible.0, SeqCst);
        self.word(HAZARD).store(0, SeqCst);
        self.clear_target();
    }

    pub(crate) fn clear_target(&self) {
        self.word(TARGET).store(0, SeqCst);
    }

    // ---- descriptors ----

    fn descriptor(&self, id: TransactionId) -> &[AtomicU64] {
        let at = RING_AT + place_in_ring(id) * LINE;
        &self.memory.words()[at..at + LINE]
    }

    fn store_descriptor(&self, snapshot: &Snapshot) {
        let words = self.descriptor(snapshot.id);
        words[0].store(0, SeqCst); // whoever reads now sees that the words do not belong together
        words[1].store(u64::from(snapshot.length_pages), SeqCst);
        words[2].store(u64::from(snapshot.catalog.page.0) | u64::from(snapshot.catalog.depth) << 32, SeqCst);
        words[3].store(snapshot.catalog.entries, SeqCst);
        words[0].store(snapshot.id.0, SeqCst);
    }

    /// The descriptor of `id`, or `None` if the ring has gone round since visible named it.
    #[inline]
    pub(crate) fn snapshot(&self, id: TransactionId) -> Option<Snapshot> {
        let words = self.descriptor(id);
        let before = words[0].load(SeqCst);
        let length_pages = words[1].load(SeqCst) as u32;
        let root = words[2].load(SeqCst);
        let entries = words[3].load(SeqCst);
        let after = words[0].load(SeqCst);
        (before == id.0 && after == id.0).then(|| Snapshot {
            id,
            length_pages,
            catalog: TreeRoot { page: PageNumber(root as u32), depth: (root >> 32) as u8, entries },
        })
    }
}
