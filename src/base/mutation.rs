//! Mistakes that tests can switch on in the engine, to prove that they find them. In other builds there are none, and
//! the compiler leaves no trace of them.

/// A mistake in the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(dead_code, reason = "constructed by tests, and by code that only the simulation needs")]
pub(crate) enum Mutation {
    /// A durable commit returns without waiting for a sync.
    CommitDoesNotWait,
    /// A durable commit returns without its barrier.
    BarrierSkipped,
    /// A meta page that lists nothing is stored without a barrier for the pages of its snapshot.
    FirstBarrierSkipped,
    /// A meta page lists no pages though no barrier has covered them.
    NothingListed,
    /// A meta page lists only what the last commit has stored (R6).
    OnlyLastCommitListed,
    /// A meta page lists pages, too, that have died since the last one (R6).
    DeadPagesListed,
    /// What was stored before the commit, spilled, is not listed.
    SpilledNotListed,
    /// The meta page overwrites the last durable one.
    SlotNotChanged,
    /// A meta page refers to a longer file before the length is durable.
    LengthNotSynced,
    /// The length is made durable only if the newest commit made the file longer.
    OlderGrowthForgotten,
    /// The end of the file is cut off though a protected snapshot has pages there.
    CutTooEarly,
    /// A failed sync is forgotten, and the next one believed.
    FailedSyncRetried,
    /// The newest durable snapshot is not protected (I1).
    DurableNotProtected,
    /// The target of the sync in flight is not protected (R5).
    TargetNotProtected,
    /// The newest snapshot is not protected (R1).
    NewestNotProtected,
    /// Readers are not protected (I1).
    ReadersNotProtected,
    /// A retired page is free one snapshot too early (I2).
    FreedTooEarly,
    /// A snapshot counts as durable when its meta page is stored, before the barrier.
    DurableTooEarly,
    /// A durable commit is visible before it is durable (I3).
    VisibleTooEarly,
    /// Recovery believes a meta page without looking at the pages that it lists.
    ListedNotVerified,
    /// Recovery does not compare the digest of the listed pages.
    DigestNotCompared,
    /// Meta pages are believed without their own checksum.
    RecordChecksumNotCompared,
    /// Recovery takes the older meta page though the newer is good.
    OlderRecordChosen,
    /// Recovery leaves a rejected meta page where it is (R9).
    RejectedNotErased,
    /// Recovery does not store again what it found (R7).
    NotStoredAgain,
    /// Recovery runs no barrier.
    RecoveryBarrierSkipped,
    /// A new transaction gets the id of a rejected meta page (R9).
    IdUsedAgain,
    /// Recovery does not erase a rejected meta page where it reads zeros already (R9).
    ZerosNotStoredOverZeros,
    /// Recovery goes on though its barrier has failed.
    RecoveryFailureIgnored,
    /// The check finds nothing, whatever there is.
    CheckFindsNothing,
}

#[cfg(test)]
impl Mutation {
    pub(crate) const ALL: [Mutation; 30] = [
        Mutation::CommitDoesNotWait,
        Mutation::BarrierSkipped,
        Mutation::FirstBarrierSkipped,
        Mutation::NothingListed,
        Mutation::OnlyLastCommitListed,
        Mutation::DeadPagesListed,
        Mutation::SpilledNotListed,
        Mutation::SlotNotChanged,
        Mutation::LengthNotSynced,
        Mutation::OlderGrowthForgotten,
        Mutation::CutTooEarly,
        Mutation::FailedSyncRetried,
        Mutation::DurableNotProtected,
        Mutation::TargetNotProtected,
        Mutation::NewestNotProtected,
        Mutation::ReadersNotProtected,
        Mutation::FreedTooEarly,
        Mutation::DurableTooEarly,
        Mutation::VisibleTooEarly,
        Mutation::ListedNotVerified,
        Mutation::DigestNotCompared,
        Mutation::RecordChecksumNotCompared,
        Mutation::OlderRecordChosen,
        Mutation::RejectedNotErased,
        Mutation::NotStoredAgain,
        Mutation::RecoveryBarrierSkipped,
        Mutation::IdUsedAgain,
        Mutation::ZerosNotStoredOverZeros,
        Mutation::RecoveryFailureIgnored,
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
