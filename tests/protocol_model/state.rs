//! A state of the whole system: disk, shared words, handles, and where writer, syncer, checkpointer and reader stand.
//!
//! Pages come first: data, the two meta slots, two areas that may be the ring, and one place that stands for the file's
//! length, with or without the second area.

use crate::disk::{ContentId, PlaceId, Tree};

pub(crate) const DATA_PAGES: usize = 8;
pub(crate) const SLOTS: usize = DATA_PAGES;
pub(crate) const RINGS: usize = SLOTS + 2;
pub(crate) const MAX_RING_PAGES: usize = 3;
pub(crate) const SECOND_RING: usize = RINGS + MAX_RING_PAGES;
pub(crate) const SECOND_RING_PAGES: usize = 2;
pub(crate) const LENGTH: usize = SECOND_RING + SECOND_RING_PAGES;
pub(crate) const PLACES: usize = LENGTH + 1;

/// The number of a transaction; 0 is none.
pub(crate) type Id = u8;
/// A log sequence number, counted in records.
pub(crate) type Lsn = u8;

/// The extent of pages that the log lies in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Ring {
    /// The first or the second of the two areas that may be a ring: 0 or 1.
    pub(crate) area: u8,
    /// The log sequence number of its first byte.
    pub(crate) base: Lsn,
}

/// What a transaction left: a root and a leaf, and how its record ends the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) id: Id,
    pub(crate) wants_durable: bool,
    pub(crate) is_logged: bool,
    pub(crate) root: u8,
    pub(crate) leaf: u8,
    pub(crate) root_content: ContentId,
    pub(crate) leaf_content: ContentId,
    pub(crate) root_birth: Id,
    pub(crate) leaf_birth: Id,
    pub(crate) tree: Tree,
    /// Where the next record begins.
    pub(crate) log_end: Lsn,
    /// The record of this transaction, by which the next one's checksum is seeded.
    pub(crate) chain: ContentId,
    /// The newest transaction up to this one whose record is the last of its page, and where that ends.
    pub(crate) sealed: Id,
    pub(crate) sealed_end: Lsn,
    /// The ring that the log's end lies in.
    pub(crate) ring: Ring,
}

impl Snapshot {
    pub(crate) fn pages(&self) -> [(u8, ContentId); 2] {
        [(self.root, self.root_content), (self.leaf, self.leaf_content)]
    }
}

pub(crate) type SnapshotId = u16;

/// Snapshots that anything may refer to yet, ascending.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Snapshots {
    count: u8,
    ids: [SnapshotId; 8],
}

impl Snapshots {
    pub(crate) fn as_slice(&self) -> &[SnapshotId] {
        &self.ids[..usize::from(self.count)]
    }

    pub(crate) fn push(&mut self, id: SnapshotId) {
        self.ids[usize::from(self.count)] = id;
        self.count += 1;
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(SnapshotId) -> bool) {
        let all = *self;
        *self = Snapshots::default();
        all.as_slice().iter().filter(|&&id| keep(id)).for_each(|&id| self.push(id));
    }
}

/// Whether the database is open, or how far its recovery is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    Open,
    Closed,
    /// A meta is chosen.
    Chosen {
        slot: u8,
    },
    /// It is stored again, the other slot erased; a barrier is in flight.
    StoredAgain {
        slot: u8,
    },
    /// Accepted records are replayed; a barrier is in flight.
    Replayed {
        slot: u8,
        snapshot: SnapshotId,
    },
    /// The checkpoint's record is stored; a barrier is in flight.
    MetaStored {
        slot: u8,
        snapshot: SnapshotId,
    },
}

/// What the lock file has, descriptors apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Words {
    pub(crate) newest: Id,
    pub(crate) visible: Id,
    pub(crate) durable: Id,
    /// Log bytes below this are durable.
    pub(crate) synced: Lsn,
    pub(crate) pending: Id,
    pub(crate) target: Id,
    pub(crate) hazard: Id,
    pub(crate) checkpointed: Id,
    /// The slot of the meta of `checkpointed`.
    pub(crate) slot: u8,
    pub(crate) checkpoint_target: Id,
    pub(crate) log_start: Lsn,
}

/// What an open file description knows of failed writes. Handles that differ in nothing else are not told apart: so
/// there may be any number of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Description {
    /// The kernel tells it of whatever fails from now on, and nothing that failed before concerns it.
    Sound,
    /// A write has failed since it was opened: the kernel tells its next barrier.
    WillBeTold,
    /// It was opened after a failed write of which the kernel has told others, and will not be told.
    Newcomer,
}

/// How much of a failed write is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Failure {
    None,
    /// The kernel has told no process: it tells those, too, that open the file now.
    Untold,
    /// It has told a process. Newcomers inherit: transactions up to `inherited` may have stored bytes before these
    /// opened the file.
    StepOutcome {
        inherited: Id,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Writer {
    Idle,
    /// Has read `words_read` of the words; `protected` has a bit for each snapshot.
    Scanning {
        words_read: u8,
        protected: u32,
    },
    /// Without `LeftOut::OrphanKept`: has stored zeros over the record that a dead writer has left.
    Erasing,
    Stored(SnapshotId),
    /// The record is stored.
    Recorded(SnapshotId),
    /// Pending is set, newest is about to be.
    Announced(SnapshotId),
    /// Without `LeftOut::RecordFirst`: newest is set, the record is not stored yet.
    RecordMissing(SnapshotId),
    NewestSet(Id),
    /// No durable commit is pending: is about to raise visible.
    MayShow(Id),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Syncer {
    Idle,
    NewestRead(Id),
    TargetSet(Id),
    /// Has read log bytes that it is about to store again; `copy` is a number of such.
    BytesRead {
        target: Id,
        copy: u16,
    },
    Barrier(Id),
    /// The barrier has failed; the database is about to be poisoned.
    StepOutcome,
    BarrierDone(Id),
    DurableSet(Id),
    NewestReadAgain {
        target: Id,
        newest: Id,
    },
    HazardSet {
        target: Id,
        newest: Id,
    },
    NewestConfirmed {
        target: Id,
        newest: Id,
    },
    VisibleKnown {
        target: Id,
        visible: Id,
    },
    VisibleSet(Id),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Checkpointer {
    Idle,
    /// A writer has the checkpointer's turn, for a barrier of its own.
    Lent,
    /// Zeros are stored over the slot of a dead checkpointer's target; a barrier is in flight.
    Erasing,
    NewestRead(Id),
    TargetSet(Id),
    FirstBarrier(Id),
    LastBarrier(Id),
    StepOutcome,
    BarriersDone(Id),
    /// Without `LeftOut::WordsTogether`: log start is set, and `checkpointed` is not.
    LogStartSet(Id),
    WordsSet(Id),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Reader {
    None,
    /// Has read visible.
    Looked(Id),
    /// Has written it into its slot.
    Published(Id),
    /// Has seen visible unchanged.
    Reading(Id),
}

/// A transaction whose record is in the log, and whose writer died before newest was raised: it may be found, or not.
pub(crate) type Unpublished = (Id, u16);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) places: [PlaceId; PLACES],
    pub(crate) snapshots: Snapshots,
    pub(crate) unpublished: [Unpublished; 3],
    pub(crate) phase: Phase,
    pub(crate) words: Words,
    pub(crate) writer: Writer,
    pub(crate) syncer: Syncer,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) reader: Reader,
    /// Of the handles that sync and checkpoint, and of the process that recovers.
    pub(crate) log_description: Description,
    pub(crate) checkpoint_description: Description,
    pub(crate) failure: Failure,
    /// The pages of the area that is not the ring are in use for something else.
    pub(crate) is_other_area_used: bool,
    /// Told of a failed write, a process has stored the poison word; those at work have not looked yet.
    pub(crate) is_poisoned: bool,
    /// A copy of the lock file, by number; 0: none.
    pub(crate) lock_file_copy: u16,
    /// How often a writer has died, or recovery has opened the database: 3 is many.
    pub(crate) life: u8,
    /// The newest durable commit that a caller was told of, or that a reader could see.
    pub(crate) acknowledged: Id,
    /// After deaths without loss of power: recovery must find this transaction.
    pub(crate) kept: Id,
    pub(crate) commits: u8,
    pub(crate) power_losses: u8,
    pub(crate) kills: u8,
    pub(crate) failed_writes: u8,
    pub(crate) growths: u8,
}

pub(crate) fn bit(id: Id) -> u32 {
    if id == 0 { 0 } else { 1 << id }
}

impl State {
    /// The snapshots that syncer, checkpointer, reader and words name.
    pub(crate) fn named(&self) -> u32 {
        let words = self.words;
        let mut named = bit(words.target) | bit(words.hazard) | bit(words.checkpoint_target);
        if let Writer::Scanning { protected, .. } = self.writer {
            named |= protected;
        }
        named |= match self.syncer {
            Syncer::Idle | Syncer::StepOutcome => 0,
            Syncer::NewestRead(id)
            | Syncer::TargetSet(id)
            | Syncer::BytesRead { target: id, .. }
            | Syncer::Barrier(id)
            | Syncer::BarrierDone(id)
            | Syncer::DurableSet(id)
            | Syncer::VisibleSet(id) => bit(id),
            Syncer::NewestReadAgain { target, newest: other }
            | Syncer::HazardSet { target, newest: other }
            | Syncer::NewestConfirmed { target, newest: other }
            | Syncer::VisibleKnown { target, visible: other } => bit(target) | bit(other),
        };
        named |= match self.checkpointer {
            Checkpointer::Idle | Checkpointer::Lent | Checkpointer::Erasing | Checkpointer::StepOutcome => 0,
            Checkpointer::NewestRead(id)
            | Checkpointer::TargetSet(id)
            | Checkpointer::FirstBarrier(id)
            | Checkpointer::LastBarrier(id)
            | Checkpointer::BarriersDone(id)
            | Checkpointer::LogStartSet(id)
            | Checkpointer::WordsSet(id) => bit(id),
        };
        match self.reader {
            Reader::None => named,
            Reader::Looked(id) | Reader::Published(id) | Reader::Reading(id) => named | bit(id),
        }
    }

    /// The snapshot of a transaction that is not newest yet.
    pub(crate) fn unfinished(&self) -> Option<SnapshotId> {
        match self.writer {
            Writer::Stored(id) | Writer::Recorded(id) | Writer::Announced(id) | Writer::RecordMissing(id) => {
                Some(id)
            }
            _ => None,
        }
    }
}
