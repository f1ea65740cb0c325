//! mapleaf under the explorer: nothing may be found.
//!
//! `MAPLEAF_LONG=1` takes many more seeds and states: more than ten million. `MAPLEAF_SIM_REPLAY` visits one state
//! again.

use super::mixed::{Kind, Mixed};
use crate::sim::{Explorer, Fault};
use crate::sys::WriteMode::{Mapped, Syscall};

fn is_long() -> bool {
    std::env::var_os("MAPLEAF_LONG").is_some()
}

/// `seeds` scripts of each kind of storage, and `states` crash states of each, about.
fn explore(kind: Kind, seeds: u64, states: u64) {
    let (seeds, states) = if is_long() { (seeds * 15, states * 10) } else { (seeds, states) };
    let is_large = matches!(kind, Kind::Fragmented | Kind::GrowAndShrink | Kind::Long);
    let storages = [(4096, Syscall), (4096, Mapped), (16384, Syscall)];
    // Large histories take their time: in the short form they are told once, and end with their first crash.
    let storages = if is_large && !is_long() { &storages[..1] } else { &storages[..] };
    for &(page_size, write_mode) in storages {
        let scenario = Mixed { page_size, write_mode, ..Mixed::new(kind) };
        let explorer = Explorer::new().seeds(0..seeds).states(states).flipped_bits(true);
        let report = explorer.second_lives(kind == Kind::Small || is_long()).explore(&scenario).unwrap();
        println!("{scenario:?}: {report}\n");
        assert!(report.states >= states);
    }
}

#[test]
fn every_crash_state_of_a_few_small_commits() {
    for write_mode in [Syscall, Mapped] {
        let scenario = Mixed { write_mode, ..Mixed::new(Kind::Tiny) };
        let explorer = Explorer::new()
            .seeds(0..if is_long() { 3 } else { 2 })
            .states(1 << 20)
            .every_recovery(true)
            .second_lives(is_long());
        let explorer = explorer.recovery_depth(if is_long() { 2 } else { 1 });
        let report = explorer.explore(&scenario).unwrap();
        println!("{scenario:?}: {report}\n");
        assert_eq!(report.exhausted_points, report.crash_points, "all there are");
    }
}

#[test]
fn small_commits_survive_power_cuts() {
    explore(Kind::Small, 2, 1_500);
}

#[test]
fn spilled_and_large_transactions_survive_power_cuts() {
    explore(Kind::Large, 1, 1_000);
}

#[test]
fn growth_and_truncation_survive_power_cuts() {
    explore(Kind::GrowAndShrink, 1, 1_000);
}

#[test]
fn commits_that_need_two_barriers_survive_power_cuts() {
    explore(Kind::Fragmented, 1, 40);
}

#[test]
fn a_long_row_of_commits_survives_power_cuts() {
    explore(Kind::Long, 1, 1_000);
}

#[test]
fn failing_calls_lose_nothing() {
    let (seeds, states) = if is_long() { (5, 100) } else { (1, 30) };
    let kinds = if is_long() { &[Kind::Small, Kind::Large][..] } else { &[Kind::Small] };
    for &kind in kinds {
        let explorer =
            Explorer::new().seeds(0..seeds).states(states).faults(&Fault::ALL).second_lives(is_long());
        let report = explorer.explore(&Mixed::new(kind)).unwrap();
        println!("{kind:?}: {report}\n");
        assert!(report.faults > 50);
    }
}
