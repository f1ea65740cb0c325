//! Mistakes that tests can switch on in the engine, to prove that they find them. In other builds there are none, and
//! the compiler leaves no trace of them.

/// A mistake in the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(dead_code, reason = "constructed by tests, and by code that only the simulation needs")]
pub(crate) enum Mutation {
    /// A durable commit returns without waiting for a sync.
    CommitDoesNotWait,
    /// A sync of the log has no barrier.
    BarrierSkipped,
    /// A sync covers a block less of the log than it promises.
    LogSyncedTooShort,
    /// A transaction counts as durable before the barrier over its record.
    DurableTooEarly,
    /// Log bytes that were stored before the handle was opened are not stored again (L3).
    LogNotStoredAgain,
    /// The same for pages, by a checkpoint (L3).
    PagesNotStoredAgain,
    /// A transaction builds on one that is neither in the log nor checkpointed (L9).
    UnloggedForgotten,
    /// A sync raises durable over a transaction that is neither logged nor checkpointed (L9).
    UnloggedNotCheckpointed,
    /// A record is stored over log bytes that a replay may need (L7).
    LogOverwritten,
    /// The record of a writer that died before newest advanced is overwritten (L2).
    OrphanNotReplayed,
    /// The record of a durable commit shares its block with the next one (L14).
    DurableNotSealed,
    /// A checkpoint stores its meta before the barrier over the pages (L8).
    MetaBeforePages,
    /// A checkpoint has no barrier over the pages (L8).
    PagesNotSynced,
    /// A checkpoint counts before the barrier over its meta (L8).
    MetaNotSynced,
    /// The meta page overwrites the last durable one.
    SlotNotChanged,
    /// The meta that a dead checkpointer has left is not erased (L1).
    LeftMetaNotErased,
    /// The end of the file is cut off though a protected snapshot has pages there.
    CutTooEarly,
    /// A failed sync is forgotten, and the next one believed.
    FailedSyncRetried,
    /// The durable snapshot is protected in place of the checkpointed one (L1).
    DurableInPlaceOfCheckpointed,
    /// The target of the checkpoint in progress is not protected (L1).
    CheckpointTargetNotProtected,
    /// The target of the sync in progress is not protected (R5).
    TargetNotProtected,
    /// The newest snapshot is not protected (R1).
    NewestNotProtected,
    /// Readers are not protected (I1).
    ReadersNotProtected,
    /// Named snapshots are not protected.
    NamesNotProtected,
    /// A snapshot whose name was dropped is not protected any more, though a thread may be about to read it.
    DroppedNameForgotten,
    /// A retired page is free one snapshot too early (I2).
    FreedTooEarly,
    /// A durable commit is visible before it is durable (I3).
    VisibleTooEarly,
    /// Meta pages are believed without their own checksum.
    MetaChecksumNotCompared,
    /// Recovery takes the older meta page though the newer is good.
    OlderMetaChosen,
    /// Recovery does not store again the meta that it found (L6).
    NotStoredAgain,
    /// Recovery runs no barrier before it replays (L6).
    RecoveryBarrierSkipped,
    /// Recovery does not replay the log.
    LogNotReplayed,
    /// A new transaction gets an id that a record may have had.
    IdUsedAgain,
    /// The check finds nothing, whatever there is.
    CheckFindsNothing,
}

#[cfg(test)]
impl Mutation {
    pub(crate) const ALL: [Mutation; 34] = [
        Mutation::CommitDoesNotWait,
        Mutation::BarrierSkipped,
        Mutation::LogSyncedTooShort,
        Mutation::DurableTooEarly,
        Mutation::LogNotStoredAgain,
        Mutation::PagesNotStoredAgain,
        Mutation::UnloggedForgotten,
        Mutation::UnloggedNotCheckpointed,
        Mutation::LogOverwritten,
        Mutation::OrphanNotReplayed,
        Mutation::DurableNotSealed,
        Mutation::MetaBeforePages,
        Mutation::PagesNotSynced,
        Mutation::MetaNotSynced,
        Mutation::SlotNotChanged,
        Mutation::LeftMetaNotErased,
        Mutation::CutTooEarly,
        Mutation::FailedSyncRetried,
        Mutation::DurableInPlaceOfCheckpointed,
        Mutation::CheckpointTargetNotProtected,
        Mutation::TargetNotProtected,
        Mutation::NewestNotProtected,
        Mutation::ReadersNotProtected,
        Mutation::NamesNotProtected,
        Mutation::DroppedNameForgotten,
        Mutation::FreedTooEarly,
        Mutation::VisibleTooEarly,
        Mutation::MetaChecksumNotCompared,
        Mutation::OlderMetaChosen,
        Mutation::NotStoredAgain,
        Mutation::RecoveryBarrierSkipped,
        Mutation::LogNotReplayed,
        Mutation::IdUsedAgain,
        Mutation::CheckFindsNothing,
    ];
}

#[allow(unused_imports, reason = "tests use all of it")]
pub(crate) use switch::*;

#[cfg(test)]
mod switch {
    use super::Mutation;
    use std::cell::Cell;

    std::thread_local! {
        /// Of one thread: tests run beside each other.
        static CURRENT: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Whether this thread is to make the mistake.
    pub(crate) fn is_mutated(mutation: Mutation) -> bool {
        CURRENT.get() == Some(mutation)
    }

    /// Makes this thread make the mistake from now on, or none.
    pub(crate) fn set_mutation(mutation: Option<Mutation>) {
        CURRENT.set(mutation);
    }

    pub(crate) fn current_mutation() -> Option<Mutation> {
        CURRENT.get()
    }
}

#[cfg(not(test))]
mod switch {
    use super::Mutation;

    pub(crate) const fn is_mutated(_: Mutation) -> bool {
        false
    }

    pub(crate) const fn set_mutation(_: Option<Mutation>) {}

    pub(crate) const fn current_mutation() -> Option<Mutation> {
        None
    }
}
