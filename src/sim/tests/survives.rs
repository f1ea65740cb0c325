//! mapleaf under the explorer: nothing may be found.
//!
//! `MAPLEAF_LONG=1` takes many more seeds and states: more than ten million. `MAPLEAF_SCRIPTS=N` runs N scripts of
//! each kind of storage, so that a part reaches all of them in the time that there is. `MAPLEAF_SIM_REPLAY` visits
//! one state again.

use super::mixed::{Kind, Mixed};
use crate::sim::{Explorer, Fault, Workload};
use crate::sys::WriteMode::{Mapped, Syscall};

fn is_long() -> bool {
    std::env::var_os("MAPLEAF_LONG").is_some()
}

/// How many scripts of each kind of storage are run: `seeds`, if nothing else is asked for.
fn scripts(seeds: u64) -> u64 {
    let asked = std::env::var("MAPLEAF_SCRIPTS").ok();
    asked.map_or(seeds, |text| text.parse().expect("MAPLEAF_SCRIPTS is a number"))
}

/// `seeds` scripts of each kind of storage, and `states` crash states of each, about.
fn explore(kind: Kind, seeds: u64, states: u64) {
    let (seeds, states) = match (is_long(), kind) {
        (true, _) => (seeds * 20, states * 10),
        // Cheap enough to make up for the few states of large workloads.
        (false, Kind::Small) => (seeds, states * 2),
        (false, _) => (seeds, states),
    };
    let seeds = scripts(seeds);
    let is_large = matches!(kind, Kind::Fragmented | Kind::GrowAndShrink | Kind::Long);
    let storages = [(4096, Syscall), (4096, Mapped), (16384, Syscall), (16384, Mapped), (65536, Syscall)];
    // Large workloads take long: in the short form they run once, and end with their first crash.
    let storages = match (is_long(), is_large) {
        (true, _) => &storages[..],
        (false, true) => &storages[..1],
        (false, false) => &storages[..3],
    };
    for (number, &(page_size, write_mode)) in (0..).zip(storages) {
        let workload = Mixed::stored(kind, page_size, write_mode);
        // Each has scripts of its own.
        let seeds = number * seeds..(number + 1) * seeds;
        let explorer = Explorer::new().seeds(seeds).states(states).flipped_bits(true).lost_blocks(true);
        let report = explorer.second_sessions(kind == Kind::Small || is_long()).explore(&workload).unwrap();
        println!("{}: {report}\n", workload.name());
        assert!(report.is_replay || report.states >= states && report.lost_blocks > 0);
    }
}

#[test]
fn every_crash_state_of_a_few_small_commits() {
    let write_modes = if is_long() { &[Syscall, Mapped][..] } else { &[Syscall] };
    for &write_mode in write_modes {
        let workload = Mixed::stored(Kind::Tiny, 4096, write_mode);
        let explorer = Explorer::new()
            .seeds(0..if is_long() { 3 } else { 2 })
            .states(1 << 20)
            .every_recovery(true)
            .second_sessions(is_long());
        let explorer = explorer.recovery_depth(if is_long() { 2 } else { 1 });
        let report = explorer.explore(&workload).unwrap();
        println!("{}: {report}\n", workload.name());
        assert_eq!(report.exhausted_points, report.crash_points, "every state was visited");
    }
}

#[test]
fn small_commits_survive_power_cuts() {
    explore(Kind::Small, 2, 1_500);
}

#[test]
fn entries_of_one_length_survive_power_cuts() {
    explore(Kind::Numbers, 1, 1_000);
}

#[test]
fn transactions_that_go_back_to_savepoints_survive_power_cuts() {
    explore(Kind::Savepoints, 1, 1_000);
}

#[test]
fn spilled_and_large_transactions_survive_power_cuts() {
    explore(Kind::Large, 1, 1_000);
}

#[test]
fn growth_and_truncation_survive_power_cuts() {
    explore(Kind::GrowAndShrink, 2, 1_000);
}

#[test]
fn fragmented_files_survive_power_cuts() {
    explore(Kind::Fragmented, 1, 40);
}

#[test]
fn a_long_row_of_commits_survives_power_cuts() {
    explore(Kind::Long, 1, 1_000);
}

/// Each call of `seeds` scripts that one of `faults` can hit fails once.
fn explore_faults(kind: Kind, faults: &[Fault], seeds: u64, states: u64) {
    let storages = [(4096, Syscall), (4096, Mapped), (16384, Syscall)];
    let storages = if is_long() { &storages[..] } else { &storages[..1] };
    let seeds = scripts(seeds);
    for (number, &(page_size, write_mode)) in (0..).zip(storages) {
        let workload = Mixed::stored(kind, page_size, write_mode);
        let seeds = number * seeds..(number + 1) * seeds;
        let explorer = Explorer::new().seeds(seeds).states(states).faults(faults).second_sessions(is_long());
        let report = explorer.explore(&workload).unwrap();
        println!("{}: {report}\n", workload.name());
        assert!(report.is_replay || report.faults >= faults.len() as u64);
        assert!(report.is_replay || report.dropped > 0);
    }
}

/// What can fail in a workload whose file is never cut.
const BUT_CUTS: [Fault; 6] =
    [Fault::Store, Fault::StoreNoSpace, Fault::Barrier, Fault::Grow, Fault::Read, Fault::FlippedBit];

#[test]
fn failing_calls_lose_nothing() {
    let (seeds, states) = if is_long() { (5, 500) } else { (1, 100) };
    explore_faults(Kind::Small, &BUT_CUTS, seeds, states);
}

#[test]
fn failing_calls_of_transactions_that_go_back_lose_nothing() {
    let (seeds, states) = if is_long() { (3, 300) } else { (1, 400) };
    let faults = if is_long() { &BUT_CUTS[..] } else { &[Fault::Grow] };
    explore_faults(Kind::Savepoints, faults, seeds, states);
}

#[test]
fn failing_calls_of_large_transactions_lose_nothing() {
    let (seeds, states) = if is_long() { (3, 300) } else { (1, 60) };
    let faults = if is_long() { &BUT_CUTS[..] } else { &[Fault::Barrier, Fault::Grow] };
    explore_faults(Kind::Large, faults, seeds, states);
}

#[test]
fn failing_growth_and_cuts_lose_nothing() {
    let (seeds, states) = if is_long() { (5, 500) } else { (1, 50) };
    explore_faults(Kind::GrowAndShrink, &[Fault::Barrier, Fault::Grow, Fault::Cut], seeds, states);
}
