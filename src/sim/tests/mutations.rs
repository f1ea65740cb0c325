//! Mistakes made on purpose: the explorer must find each.

use super::cut::CutWhileSyncing;
use super::mixed::{Kind, Mixed};
use crate::base::mutation::{Mutation, set_mutation};
use crate::sim::{Explorer, Failure, Fault, Scenario};

/// Looks for a mistake where it can show. (Nothing would be lost by looking everywhere but time.)
fn look(mutation: Mutation) -> Option<Box<Failure>> {
    let explorer = Explorer::new().seeds(0..20).states(2_000).shrinks(false);
    match mutation {
        Mutation::FailedSyncRetried | Mutation::NotStoredAgain | Mutation::RecoveryBarrierSkipped => {
            explore(mutation, &explorer.states(200).faults(&[Fault::Barrier]), &Mixed::new(Kind::Small))
        }
        Mutation::CutTooEarly => explore(mutation, &explorer, &CutWhileSyncing),
        Mutation::FirstBarrierSkipped | Mutation::SpilledNotListed => {
            explore(mutation, &explorer, &Mixed::new(Kind::Large))
        }
        _ => explore(mutation, &explorer, &Mixed::new(Kind::Small)),
    }
}

fn explore<S: Scenario>(mutation: Mutation, explorer: &Explorer, scenario: &S) -> Option<Box<Failure>> {
    set_mutation(Some(mutation));
    let found = explorer.explore(scenario).err();
    set_mutation(None);
    found
}

#[test]
fn every_mistake_is_found() {
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        match look(mutation) {
            Some(failure) => {
                println!("{mutation:?}: {:?}, {} states", failure.kind(), failure.states_visited())
            }
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn the_scenario_of_one_mistake_holds_without_it() {
    let report = Explorer::new().seeds(0..2).states(1_000).explore(&CutWhileSyncing).unwrap();
    assert!(report.states > 1_000);
}
