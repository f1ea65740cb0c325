//! Mistakes made on purpose: the explorer must find each.

use super::cut::CutWhileSyncing;
use super::mixed::{Kind, Mixed};
use super::named::Named;
use crate::base::mutation::{Mutation, set_mutation};
use crate::sim::{Explorer, Failure, Fault, ProblemKind, Workload};

/// The mistakes that only several handles can show. Tests of `txn::tests` find them (`mistakes.rs` there).
const OF_SEVERAL_HANDLES: [Mutation; 7] = [
    Mutation::NotStoredAgain,
    Mutation::RecoveryBarrierSkipped,
    Mutation::LogNotStoredAgain,
    Mutation::PagesNotStoredAgain,
    Mutation::LeftMetaNotErased,
    Mutation::OrphanNotReplayed,
    Mutation::DroppedNameForgotten,
];

/// Looks for a mistake where it can show. (Nothing would be lost by looking everywhere but time.)
fn look(mutation: Mutation) -> Option<Box<Failure>> {
    let explorer = Explorer::new().seeds(0..20).states(2_000).shrinks(false);
    match mutation {
        Mutation::FailedSyncRetried | Mutation::DurableTooEarly => {
            explore(mutation, &explorer.states(400).faults(&[Fault::Barrier]), &Mixed::new(Kind::Small))
        }
        Mutation::DurableNotSealed => {
            explore(mutation, &explorer.lost_blocks(true), &Mixed::new(Kind::Small))
        }
        Mutation::CutTooEarly => explore(mutation, &explorer, &CutWhileSyncing),
        Mutation::NamesNotProtected => explore(mutation, &explorer, &Named),
        Mutation::UnloggedForgotten | Mutation::UnloggedNotCheckpointed => {
            explore(mutation, &explorer, &Mixed::new(Kind::Large))
        }
        Mutation::CheckFindsNothing => {
            explore(mutation, &explorer.flipped_bits(true), &Mixed::new(Kind::Small))
        }
        _ => explore(mutation, &explorer, &Mixed::new(Kind::Small)),
    }
}

fn explore<S: Workload>(mutation: Mutation, explorer: &Explorer, workload: &S) -> Option<Box<Failure>> {
    set_mutation(Some(mutation));
    let found = explorer.explore(workload).err();
    set_mutation(None);
    found
}

/// Returns the kinds of problems as which the mistake may first be found.
fn expected(mutation: Mutation) -> &'static [ProblemKind] {
    match mutation {
        Mutation::VisibleTooEarly => &[ProblemKind::VisibleTooEarly],
        Mutation::IdUsedAgain => &[ProblemKind::IdGivenTwice],
        // A reader looks again at its snapshot, which has changed.
        Mutation::ReadersNotProtected | Mutation::TargetNotProtected => {
            &[ProblemKind::StepFailed, ProblemKind::Panicked]
        }
        Mutation::CheckFindsNothing => &[ProblemKind::Unclean],
        Mutation::NamesNotProtected => {
            // Most scripts find it before there is any crash: a name is read whose pages were used again.
            &[
                ProblemKind::FailsWithoutCrash,
                ProblemKind::StepFailed,
                ProblemKind::Unclean,
                ProblemKind::Invariant,
            ]
        }
        Mutation::CutTooEarly => &[ProblemKind::CannotOpen],
        // Or the checkpoint whose barrier failed is on the disk, its target is forgotten, and its pages are reused.
        Mutation::FailedSyncRetried => &[ProblemKind::Lost, ProblemKind::Unclean],
        // The pages of the older meta page, or its log, are not there any more.
        Mutation::OlderMetaChosen => &[ProblemKind::CannotOpen, ProblemKind::Lost, ProblemKind::Unclean],
        // A commit that was acknowledged is not there, or not trusted.
        Mutation::CommitDoesNotWait
        | Mutation::BarrierSkipped
        | Mutation::LogSyncedTooShort
        | Mutation::DurableTooEarly
        | Mutation::UnloggedNotCheckpointed
        | Mutation::LogOverwritten
        | Mutation::DurableNotSealed => &[ProblemKind::Lost, ProblemKind::NotACommit],
        // Also the explorer's own look at what each commit has left finds less.
        Mutation::LogNotReplayed => &[ProblemKind::Lost, ProblemKind::NotACommit, ProblemKind::Differs],
        // The log has a transaction that was built on one that it does not have.
        Mutation::UnloggedForgotten => {
            &[ProblemKind::NotACommit, ProblemKind::Lost, ProblemKind::CannotOpen, ProblemKind::Differs]
        }
        // A meta page is trusted whose pages are not there, or are others.
        Mutation::MetaBeforePages | Mutation::PagesNotSynced | Mutation::MetaChecksumNotCompared => {
            &[ProblemKind::Unclean, ProblemKind::Differs, ProblemKind::CannotOpen]
        }
        // Something was stored over what recovery needs.
        Mutation::SlotNotChanged
        | Mutation::MetaNotSynced
        | Mutation::DurableInPlaceOfCheckpointed
        | Mutation::CheckpointTargetNotProtected
        | Mutation::NewestNotProtected => &[ProblemKind::CannotOpen, ProblemKind::Lost, ProblemKind::Unclean],
        // The next transaction does not find its own tree any more.
        Mutation::FreedTooEarly => &[ProblemKind::StepFailed],
        Mutation::NotStoredAgain
        | Mutation::RecoveryBarrierSkipped
        | Mutation::LogNotStoredAgain
        | Mutation::PagesNotStoredAgain
        | Mutation::LeftMetaNotErased
        | Mutation::OrphanNotReplayed
        | Mutation::DroppedNameForgotten => &[],
    }
}

#[test]
fn every_mistake_is_found() {
    let mut wrong = Vec::new();
    for mutation in Mutation::ALL.into_iter().filter(|mutation| !OF_SEVERAL_HANDLES.contains(mutation)) {
        let failure = look(mutation);
        let kind = failure.as_ref().map(|failure| failure.kind());
        println!(
            "{mutation:?}: {kind:?}, {:?} states",
            failure.as_ref().map(|failure| failure.states_visited())
        );
        if !kind.is_some_and(|kind| expected(mutation).contains(&kind)) {
            wrong.push(format!("{mutation:?} is to be found as {:?}: {failure:?}", expected(mutation)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scenario_of_one_mistake_holds_without_it() {
    let report = Explorer::new().seeds(0..2).states(1_000).explore(&CutWhileSyncing).unwrap();
    assert!(report.states > 1_000);
}
