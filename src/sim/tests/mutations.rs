//! Mistakes made on purpose: the explorer must find each.

use super::cut::CutWhileSyncing;
use super::mixed::{Kind, Mixed};
use crate::base::mutation::{Mutation, set_mutation};
use crate::sim::{Explorer, Failure, Fault, ProblemKind, Workload};

/// Looks for a mistake where it can show. (Nothing would be lost by looking everywhere but time.)
fn look(mutation: Mutation) -> Option<Box<Failure>> {
    let explorer = Explorer::new().seeds(0..20).states(2_000).shrinks(false);
    match mutation {
        Mutation::FailedSyncRetried | Mutation::NotStoredAgain | Mutation::RecoveryBarrierSkipped => {
            explore(mutation, &explorer.states(400).faults(&[Fault::Barrier]), &Mixed::new(Kind::Small))
        }
        Mutation::CutTooEarly => explore(mutation, &explorer, &CutWhileSyncing),
        Mutation::FirstBarrierSkipped | Mutation::SpilledNotListed => {
            explore(mutation, &explorer, &Mixed::new(Kind::Large))
        }
        Mutation::RejectedNotErased => explore(mutation, &explorer.states(20_000), &Mixed::new(Kind::Small)),
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
        Mutation::IdUsedAgain | Mutation::ZerosNotStoredOverZeros => &[ProblemKind::IdGivenTwice],
        // A meta page that an earlier recovery rejected comes back.
        Mutation::RejectedNotErased => &[ProblemKind::NotACommit],
        // A reader looks again at its snapshot, which has changed.
        Mutation::ReadersNotProtected => &[ProblemKind::StepFailed],
        Mutation::CheckFindsNothing => &[ProblemKind::Unclean],
        Mutation::LengthNotSynced | Mutation::OlderGrowthForgotten | Mutation::CutTooEarly => {
            &[ProblemKind::CannotOpen]
        }
        // Or the meta page whose barrier failed is on the disk, its target is forgotten, and its pages are reused.
        Mutation::FailedSyncRetried => &[ProblemKind::Lost, ProblemKind::Unclean],
        // A commit that was acknowledged is not there, or not trusted.
        Mutation::CommitDoesNotWait
        | Mutation::BarrierSkipped
        | Mutation::DeadPagesListed
        | Mutation::OlderRecordChosen
        | Mutation::NotStoredAgain
        | Mutation::RecoveryBarrierSkipped
        | Mutation::RecoveryFailureIgnored => &[ProblemKind::Lost],
        // A meta page is trusted whose pages are not there, or are others.
        Mutation::FirstBarrierSkipped
        | Mutation::NothingListed
        | Mutation::OnlyLastCommitListed
        | Mutation::SpilledNotListed
        | Mutation::ListedNotVerified
        | Mutation::DigestNotCompared
        | Mutation::RecordChecksumNotCompared => &[ProblemKind::Unclean, ProblemKind::Differs],
        // Something was stored over what recovery needs.
        Mutation::SlotNotChanged
        | Mutation::DurableNotProtected
        | Mutation::DurableTooEarly
        | Mutation::TargetNotProtected
        | Mutation::NewestNotProtected
        | Mutation::FreedTooEarly => &[ProblemKind::CannotOpen, ProblemKind::Lost, ProblemKind::Unclean],
    }
}

#[test]
fn every_mistake_is_found() {
    let mut wrong = Vec::new();
    for mutation in Mutation::ALL {
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

/// Seen only if a call fails in recovery, and the next process takes what is in the cache for what is on the disk.
#[test]
fn mistakes_in_recovery_are_found_where_it_fails() {
    for mutation in [Mutation::ZerosNotStoredOverZeros, Mutation::RecoveryFailureIgnored] {
        assert!(look(mutation).is_some(), "{mutation:?}");
        let explorer = Explorer::new().seeds(0..4).states(2_000).shrinks(false).recovery_faults(false);
        let found = explore(mutation, &explorer, &Mixed::new(Kind::Small));
        assert!(found.is_none(), "{mutation:?} is found without, too: {found:?}");
    }
}

#[test]
fn the_scenario_of_one_mistake_holds_without_it() {
    let report = Explorer::new().seeds(0..2).states(1_000).explore(&CutWhileSyncing).unwrap();
    assert!(report.states > 1_000);
}
