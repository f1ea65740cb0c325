//! mapleaf under the explorer: nothing may be found.
//!
//! `MAPLEAF_LONG=1` takes many more seeds and states; `MAPLEAF_SIM_REPLAY` visits one state again.

use super::mixed::{Kind, Mixed};
use crate::sim::{Explorer, Fault};
use crate::sys::WriteMode;

fn is_long() -> bool {
    std::env::var_os("MAPLEAF_LONG").is_some()
}

fn explore(scenario: &Mixed, seeds: u64, states: u64) {
    let (seeds, states) = if is_long() { (seeds * 40, states * 5) } else { (seeds, states) };
    let explorer = Explorer::new().seeds(0..seeds).states(states).flipped_bits(true);
    let report = explorer.explore(scenario).unwrap();
    println!("{scenario:?}: {report}");
    assert!(report.states >= states || std::env::var_os("MAPLEAF_SIM_REPLAY").is_some());
}

#[test]
fn every_crash_state_of_a_few_small_commits() {
    for write_mode in [WriteMode::Syscall, WriteMode::Mapped] {
        let scenario = Mixed { write_mode, ..Mixed::new(Kind::Tiny) };
        let explorer = Explorer::new().states(1 << 20).every_recovery(is_long());
        let report = explorer.explore(&scenario).unwrap();
        println!("{scenario:?}: {report}");
    }
}

#[test]
fn small_commits_survive_power_cuts() {
    explore(&Mixed::new(Kind::Small), 4, 3_000);
}

#[test]
fn spilled_and_large_transactions_survive_power_cuts() {
    explore(&Mixed::new(Kind::Large), 3, 2_000);
}

#[test]
fn growth_and_truncation_survive_power_cuts() {
    explore(&Mixed::new(Kind::GrowAndShrink), 2, 1_500);
}

#[test]
fn commits_that_need_two_barriers_survive_power_cuts() {
    explore(&Mixed::new(Kind::Fragmented), 1, 500);
}

#[test]
fn a_long_row_of_commits_survives_power_cuts() {
    explore(&Mixed::new(Kind::Long), 1, 2_000);
}

#[test]
fn failing_calls_lose_nothing() {
    let explorer = Explorer::new().states(200).faults(&Fault::ALL);
    let report = explorer.explore(&Mixed::new(Kind::Small)).unwrap();
    println!("{report}");
}
