//! How far to explore, and which rule to leave out.

/// How often each event may happen in one run of the protocol.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) commits: u8,
    pub(crate) power_losses: u8,
    /// Deaths of a writer, of a syncer, or of all processes together.
    pub(crate) kills: u8,
    /// Barriers that fail. With `kills`, also those whose callers die before they can report it.
    pub(crate) failed_syncs: u8,
    pub(crate) has_reader: bool,
    /// Whether a data page, like a record, may be torn by loss of power.
    pub(crate) torn_pages: bool,
    /// Whether syncs with two barriers happen beside those with one.
    pub(crate) two_barriers: bool,
}

/// A rule of docs/DURABILITY.md that is not kept, in one of the ways of not keeping it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeftOut {
    /// I1: a writer does not protect what readers read.
    ReadersProtected,
    /// I1: ... the visible snapshot.
    VisibleProtected,
    /// I1: ... the durable snapshot.
    DurableProtected,
    /// R1: ... the head that it builds on.
    HeadProtected,
    /// I1: ... the sync target.
    TargetProtected,
    /// R2: visible moves to a snapshot between target and head.
    VisibleOnlyToProtected,
    /// R3: the syncer makes the head visible without having protected it.
    HeadInProtectedWord,
    /// R4: the target of a dead syncer is forgotten.
    DeadTargetKept,
    /// R4: the record that a dead syncer has left is not stored again.
    DeadTargetStoredAgain,
    /// R5: the syncer clears the target before it sets durable and visible.
    TargetClearedLast,
    /// R5: the writer reads durable and visible before the target.
    TargetReadFirst,
    /// R5: the writer reads the readers before visible.
    ReadersReadLast,
    /// R6: a record lists the pages of its last commit only.
    ListSinceDurable,
    /// R6: a record lists pages too that died before it.
    ListOfLivePages,
    /// R7: recovery does not store again what it has chosen.
    StoredAgain,
    /// R7: recovery has no barrier.
    RecoveryBarrier,
    /// R8: after a death head goes back to visible.
    HeadKept,
    /// R9: a rejected record is not erased, and its id is used again.
    RejectedErased,
    /// R9: what reads as zeros is not erased again, though zeros may be in the cache only.
    ZerosErasedToo,
    /// R10: a newcomer takes for durable what its barriers do not write.
    InheritedStoredAgain,
    /// The record is stored over the last durable one.
    OtherSlot,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenOptions {
    pub(crate) bounds: Bounds,
    pub(crate) left_out: Option<LeftOut>,
}

impl OpenOptions {
    pub(crate) fn keeps(&self, rule: LeftOut) -> bool {
        self.left_out != Some(rule)
    }
}
