//! How far to explore, and which rules of docs/DURABILITY.md to leave out.

/// What may happen in one run of the protocol, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) commits: u8,
    pub(crate) power_losses: u8,
    /// Deaths: of a process that writes, syncs or checkpoints, or does several of these, or of all.
    pub(crate) kills: u8,
    /// Moments at which the kernel fails to write pages and takes them for clean all the same.
    pub(crate) failed_writes: u8,
    /// Changes of the ring.
    pub(crate) growths: u8,
    /// Whether handles that store again what is older than their opening do so when no write has failed, too.
    pub(crate) has_newcomers: bool,
    pub(crate) has_reader: bool,
    /// Whether each word is read and stored in a step of its own, or the words of one decision in one step.
    pub(crate) every_word_alone: bool,
    pub(crate) has_checkpoints: bool,
    /// Pages of the ring: at most 3.
    pub(crate) ring_pages: u8,
    /// Records that fit a page of the ring: 1 or 2.
    pub(crate) records_per_page: u8,
    pub(crate) torn: Torn,
    pub(crate) lock_file: LockFile,
    pub(crate) has_lazy: bool,
    pub(crate) has_unlogged: bool,
    /// Commits that change nothing: a step of compaction, and `sync` over lazy commits.
    pub(crate) has_empty: bool,
    pub(crate) leaf: Leaf,
    /// Whether a transaction after a death or a recovery may also store the very bytes that the one with its number
    /// stored before.
    pub(crate) repeats: bool,
}

/// No faults, durable commits only, which replace the root and keep the leaf; checkpoints; a ring of three records.
pub(crate) fn commits(commits: u8) -> Bounds {
    Bounds {
        commits,
        power_losses: 0,
        kills: 0,
        failed_writes: 0,
        growths: 0,
        has_newcomers: false,
        has_reader: false,
        every_word_alone: false,
        has_checkpoints: true,
        ring_pages: 3,
        records_per_page: 1,
        torn: Torn::Pages,
        lock_file: LockFile::Discarded,
        has_lazy: false,
        has_unlogged: false,
        has_empty: false,
        leaf: Leaf::Kept,
        repeats: false,
    }
}

/// More of one thing.
impl Bounds {
    pub(crate) fn power_losses(self, power_losses: u8) -> Bounds {
        Bounds { power_losses, ..self }
    }

    pub(crate) fn kills(self, kills: u8) -> Bounds {
        Bounds { kills, ..self }
    }

    pub(crate) fn failed_writes(self, failed_writes: u8) -> Bounds {
        Bounds { failed_writes, ..self }
    }

    pub(crate) fn growths(self, growths: u8) -> Bounds {
        Bounds { growths, ..self }
    }

    pub(crate) fn ring(self, ring_pages: u8) -> Bounds {
        Bounds { ring_pages, ..self }
    }

    pub(crate) fn two_records_a_page(self) -> Bounds {
        Bounds { records_per_page: 2, ..self }
    }

    pub(crate) fn torn_sectors(self) -> Bounds {
        Bounds { torn: Torn::Sectors, ..self }
    }

    pub(crate) fn newcomers(self) -> Bounds {
        Bounds { has_newcomers: true, ..self }
    }

    pub(crate) fn reader(self) -> Bounds {
        Bounds { has_reader: true, ..self }
    }

    pub(crate) fn every_word(self) -> Bounds {
        Bounds { every_word_alone: true, ..self }
    }

    pub(crate) fn no_checkpoints(self) -> Bounds {
        Bounds { has_checkpoints: false, ..self }
    }

    pub(crate) fn believed_lock_file(self) -> Bounds {
        Bounds { lock_file: LockFile::Checked, ..self }
    }

    pub(crate) fn lazy(self) -> Bounds {
        Bounds { has_lazy: true, ..self }
    }

    pub(crate) fn unlogged(self) -> Bounds {
        Bounds { has_unlogged: true, ..self }
    }

    pub(crate) fn empty(self) -> Bounds {
        Bounds { has_empty: true, ..self }
    }

    pub(crate) fn either_leaf(self) -> Bounds {
        Bounds { leaf: Leaf::Either, ..self }
    }

    pub(crate) fn repeats(self) -> Bounds {
        Bounds { repeats: true, ..self }
    }
}

/// What a store that loss of power or a failed write interrupts leaves of a page of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Torn {
    /// Nothing that can be read: records that were durable before are gone with the new ones (L14).
    Pages,
    /// Each sector is old, new or, where the two differ, torn. Where they agree it stays as it was.
    Sectors,
}

/// What a handle that opens the database alone does with the lock file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockFile {
    /// L13: it is made again, and the file is recovered.
    Discarded,
    /// It is believed if nothing in the file contradicts it. It may be a copy from an earlier time.
    Checked,
}

/// Whether transactions replace the leaf along with the root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leaf {
    Kept,
    Either,
}

/// A rule of docs/DURABILITY.md that is not kept, in one of the ways of not keeping it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeftOut {
    // ---- who protects which snapshot ----
    /// A writer does not protect what readers read.
    ReadersProtected,
    /// ... the visible snapshot.
    VisibleProtected,
    /// ... the sync target.
    TargetProtected,
    /// R1: ... the newest snapshot, on which it builds.
    NewestProtected,
    /// L1: ... the checkpointed snapshot.
    CheckpointedProtected,
    /// L1: ... the checkpoint's target.
    CheckpointTargetProtected,
    /// L1: the writer reads `checkpointed` before the checkpoint's target.
    CheckpointTargetReadFirst,
    /// L1: the checkpointer does not read newest again after it has set its target.
    CheckpointLooksAgain,
    /// L1: the checkpointer clears its target before it sets `checkpointed`.
    CheckpointTargetClearedLast,
    /// L1: the target of a dead checkpointer is overwritten by the next one.
    DeadCheckpointKept,

    // ---- visible ----
    /// R2: visible moves to a snapshot between target and newest.
    VisibleOnlyToProtected,
    /// R3: the syncer makes newest visible without having protected it.
    HazardSet,
    /// R3: pending is raised after newest.
    PendingFirst,
    /// R5: the syncer clears the target before durable and visible are raised.
    TargetClearedLast,
    /// R5: the writer reads `checkpointed` and visible before the target.
    TargetReadFirst,
    /// R5: the writer reads the readers before visible.
    ReadersReadLast,
    /// R5: the syncer does not read newest again after it has set its target.
    SyncerLooksAgain,
    /// R5: the syncer's target is the newest record that is the last of its page, and not newest.
    TargetIsNewest,
    /// R8: after a death newest goes back to visible.
    NewestKept,

    // ---- records and the ring ----
    /// L2: newest is raised before the record is stored.
    RecordFirst,
    /// L2: the orphaned record, which a dead writer has left at newest's log end, is not looked for.
    OrphanReplayed,
    /// L2: ... it is erased with zeros and a barrier instead of being replayed.
    OrphanKept,
    /// L2: ... it is replayed, but its bytes are not stored again.
    OrphanStoredAgain,
    /// L4: a record does not carry its log sequence number.
    SequenceNumber,
    /// L4: the old ring is used for other things as soon as newest has a new one.
    OldRingProtected,
    /// L4: a new ring's pages have what they had before.
    NewRingZeros,
    /// L5: a record's checksum is not seeded with that of the record before it.
    Chain,
    /// L5: recovery goes on where the accepted records end.
    Jump,
    /// L5: recovery opens the database without a checkpoint.
    CheckpointBeforeAppending,
    /// L7: the ring's room is not looked at.
    Room,
    /// L7: a checkpoint makes room before it is durable.
    RoomByDurableCheckpoint,
    /// L7: the page that holds the log start is stored to.
    RoomInWholePages,
    /// L14: a record may follow a durable one in its page.
    OwnPage,
    /// L14: a sync raises durable to its target, though that is not the last record of its page.
    DurableSealed,

    // ---- barriers and failures ----
    /// L3: a newcomer takes for durable the log bytes that its barriers do not write.
    LogStoredAgain,
    /// L3: ... the tree pages.
    PagesStoredAgain,
    /// L3: ... what a transaction in progress stored while it opened the file.
    InheritedInProgress,
    /// L3: only a handle's first sync and first checkpoint store again.
    NotOnlyFirst,
    /// L3: a newcomer stores log bytes again from the synced position on, though the log start is above it.
    NotBelowLogStart,
    /// L3: the log start moves while a newcomer has read log bytes and not yet stored them.
    LogStartWaits,
    /// L12: a failed barrier is taken for a good one.
    Poison,
    /// L12: a handle has one open file description for both kinds of barriers.
    TwoDescriptions,
    /// L12: a process that has had its barrier does not look whether another has poisoned the database.
    PoisonLookedAt,

    // ---- checkpoints ----
    /// L8: no barrier before the record.
    BarrierBeforeRecord,
    /// L8: no barrier after it.
    BarrierAfterRecord,
    /// L8: the words are set before the record is durable.
    WordsLast,
    /// L8: the record goes over the one that is `checkpointed`'s.
    OtherSlot,
    /// L8: the log start moves in a step of its own, before `checkpointed`.
    WordsTogether,

    // ---- unlogged transactions ----
    /// L9: a sync over an unlogged transaction raises durable.
    UnloggedNeedsCheckpoint,
    /// L9: a writer begins on an unlogged transaction that is not checkpointed.
    UnloggedCheckpointedFirst,

    // ---- recovery and opening ----
    /// L6: the chosen meta is not stored again.
    MetaStoredAgain,
    /// L6: the other slot is not erased.
    OtherSlotErased,
    /// L6: ... where zeros are read already.
    ZerosErasedToo,
    /// L6: no barrier before the replay stores its pages.
    BarrierBeforeReplay,
    /// L13: the lock file is believed though the file has something newer.
    NothingNewerInTheFile,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenOptions {
    pub(crate) bounds: Bounds,
    pub(crate) left_out: &'static [LeftOut],
}

impl OpenOptions {
    pub(crate) fn keeps(&self, rule: LeftOut) -> bool {
        !self.left_out.contains(&rule)
    }
}
