//! The explorer itself: what it finds, how it says so, and what it refuses.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::mixed::{Kind, Mixed};
use crate::db::{Db, OpenOptions};
use crate::error::{Error, Result};
use crate::sim::{Context, Explorer, Fault, History, ProblemKind, Random, Report, Workload};
use crate::types::Table;

const NUMBERS: Table<u64, u64> = Table::new("numbers");

/// Two tables that are to agree, and do not after a crash if they are written in two transactions.
struct TwoTables {
    in_one: bool,
}

impl Workload for TwoTables {
    type Step = u64;
    type Memory = ();

    fn name(&self) -> &str {
        "two-tables"
    }

    fn script(&self, random: &mut Random) -> Vec<u64> {
        (0..6).map(|_| random.next()).collect()
    }

    fn run(&self, context: &Context, _: &mut (), step: &u64) -> Result<()> {
        let put = |key| context.db().update(|tx| tx.table(&NUMBERS)?.insert(key, *step).map(drop));
        if self.in_one {
            return context.db().update(|tx| {
                let mut numbers = tx.table(&NUMBERS)?;
                numbers.insert(1, *step)?;
                numbers.insert(2, *step).map(drop)
            });
        }
        put(1)?;
        put(2)
    }

    fn check(&self, db: &Db, history: &History<'_, u64>) -> Result<(), String> {
        let read = || -> Result<[Option<u64>; 2]> {
            match db.read()?.table(&NUMBERS) {
                Err(Error::TableNotFound { .. }) => Ok([None, None]),
                table => Ok([table.as_ref().unwrap().get(1)?, table.as_ref().unwrap().get(2)?]),
            }
        };
        let [one, two] = read().map_err(|error| error.to_string())?;
        // A step that has failed has committed nothing, and is among those that are kept.
        let last =
            history.outcomes().iter().rfind(|outcomes| outcomes.kept > 0).map(|outcomes| *outcomes.step);
        match one == two && (!self.in_one || one == last) {
            true => Ok(()),
            false => Err(format!("{one:?} and {two:?}, the last step kept is {last:?}")),
        }
    }
}

#[test]
fn a_mistake_is_found_made_small_and_found_again() {
    let explorer = Explorer::new().states(500);
    explorer.explore(&TwoTables { in_one: true }).unwrap();
    let failure = explorer.explore(&TwoTables { in_one: false }).unwrap_err();
    assert_eq!(failure.kind(), ProblemKind::Invariant);
    assert_eq!(failure.steps().len(), 1, "one step is enough: {failure}");
    let replay = failure.replay().unwrap();
    let text = failure.to_string();
    for part in ["Invariant", "seed 0", &replay, "MAPLEAF_SIM_REPLAY=", "a_mistake_is_found", "after event"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let commits = "commits in the recovered database:\n  step 0: commit 1 is there, commit 2 is not there\n";
    assert!(text.contains(commits), "{text}");
    let again = explorer.replay(&TwoTables { in_one: false }, &replay).unwrap_err();
    assert_eq!((again.kind(), again.problem()), (failure.kind(), failure.problem()));
    assert_eq!(again.replay().unwrap(), replay, "the very same state");
    let mended = explorer.replay(&TwoTables { in_one: true }, &replay);
    // The mended workload has other calls: the state is there and good, or not there, which is said.
    assert!(mended.is_ok_and(|report| report.states > 0) || replay.contains(':'));
}

/// Step 5 stores to the place of step 4.
struct PlainBug;

impl Workload for PlainBug {
    type Step = u64;
    type Memory = ();

    fn name(&self) -> &str {
        "plain-bug"
    }

    fn script(&self, _: &mut Random) -> Vec<u64> {
        (0..6).collect()
    }

    fn run(&self, context: &Context, (): &mut (), step: &u64) -> Result<()> {
        context.db().update(|tx| tx.table(&NUMBERS)?.insert((*step).min(4), *step).map(drop))
    }

    fn check(&self, db: &Db, history: &History<'_, u64>) -> Result<(), String> {
        let last = history.kept().last().copied();
        let rx = db.read().unwrap();
        let found = rx.table_or_empty(&NUMBERS).unwrap().last().unwrap().map(|(key, _)| key);
        if found == last { Ok(()) } else { Err(format!("{found:?} is the last, not {last:?}")) }
    }
}

#[test]
fn a_plain_bug_is_not_told_as_a_power_failure() {
    let explorer = Explorer::new().states(200);
    let failure = explorer.explore(&PlainBug).unwrap_err();
    assert_eq!((failure.kind(), failure.states_visited()), (ProblemKind::FailsWithoutCrash, 0), "{failure}");
    assert_eq!(failure.steps(), ["5"], "one step is enough");
    assert!(failure.problem().contains("without any crash: Some(4) is the last, not Some(5)"), "{failure}");
    let again = explorer.replay(&PlainBug, &failure.replay().unwrap()).unwrap_err();
    assert_eq!((again.kind(), again.problem()), (failure.kind(), failure.problem()));
}

#[test]
fn what_is_wrong_with_a_replay_string_is_said() {
    let explorer = Explorer::new();
    let workload = TwoTables { in_one: true };
    for (replay, word) in [
        ("", "5"),
        ("other:0:-:-:L1.k", "other"),
        ("two-tables:zero:-:-:L1.k", "zero"),
        ("two-tables:0:99:-:L1.k", "99"),
        ("two-tables:0:-:Fire@0:L1.k", "Fire"),
        ("two-tables:0:-:Barrier@999:L1.k", "no such call"),
        ("two-tables:0:-:-:L99999.k", "events"),
        ("two-tables:0:-:-:L9.x999999999", "999999999"),
        ("two-tables:0:-:-:R1.k", "before the first crash"),
        ("two-tables:0:-:-:L9.x0/R99.k", "recovery has"),
    ] {
        let failure = explorer.replay(&workload, replay).unwrap_err();
        assert_eq!(failure.kind(), ProblemKind::Usage, "{replay}: {failure}");
        assert!(failure.problem().contains(word), "{replay}: {failure}");
    }
}

/// Does something else each time.
struct Forgetful(AtomicU64);

impl Workload for Forgetful {
    type Step = ();
    type Memory = ();

    fn name(&self) -> &str {
        "forgetful"
    }

    fn script(&self, _: &mut Random) -> Vec<()> {
        vec![(); 3]
    }

    fn run(&self, context: &Context, (): &mut (), (): &()) -> Result<()> {
        let number = self.0.fetch_add(1, Relaxed);
        context.db().update(|tx| tx.table(&NUMBERS)?.insert(1, number).map(drop))
    }

    fn check(&self, _: &Db, _: &History<'_, ()>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_scenario_that_is_not_deterministic_is_said_to_be_none() {
    let failure = Explorer::new().explore(&Forgetful(AtomicU64::new(0))).unwrap_err();
    assert_eq!(failure.kind(), ProblemKind::NotDeterministic);
    assert!(failure.problem().contains("step 0"), "{failure}");
}

/// Fails, or panics, without any crash.
struct Faulty {
    panics: bool,
}

impl Workload for Faulty {
    type Step = u64;
    type Memory = ();

    fn name(&self) -> &str {
        "faulty"
    }

    fn script(&self, _: &mut Random) -> Vec<u64> {
        (0..9).collect()
    }

    fn run(&self, _: &Context, (): &mut (), step: &u64) -> Result<()> {
        match *step {
            7 if self.panics => panic!("step seven"),
            7 => Err(Error::TransactionFailed),
            _ => Ok(()),
        }
    }

    fn check(&self, _: &Db, _: &History<'_, u64>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_step_that_fails_and_one_that_panics_are_failures() {
    let failure = Explorer::new().explore(&Faulty { panics: false }).unwrap_err();
    assert_eq!((failure.kind(), failure.steps()), (ProblemKind::StepFailed, &["7".to_string()][..]));
    let failure = Explorer::new().explore(&Faulty { panics: true }).unwrap_err();
    assert_eq!((failure.kind(), failure.problem()), (ProblemKind::Panicked, "step seven"));
}

#[test]
fn the_same_states_are_visited_each_time_and_by_any_number_of_threads() {
    let explore = |threads| {
        let explorer = Explorer::new().states(400).threads(threads).flipped_bits(true).lost_blocks(true);
        let report = explorer.explore(&Mixed::new(Kind::Small)).unwrap();
        let Report { states, distinct_states, recovery_states, kills, .. } = report;
        let Report { flipped_bits, lost_blocks, second_sessions, .. } = report;
        assert!(lost_blocks > 0);
        assert!(distinct_states > 0 && distinct_states < states, "{distinct_states} of {states}");
        (states, distinct_states, recovery_states, kills, flipped_bits, lost_blocks, second_sessions)
    };
    assert_eq!(explore(1), explore(1));
    assert_eq!(explore(1), explore(3));
}

/// Cannot do a step twice; so its second sessions fail.
struct OnlyOnce;

impl Workload for OnlyOnce {
    type Step = u64;
    type Memory = ();

    fn name(&self) -> &str {
        "only-once"
    }

    fn script(&self, _: &mut Random) -> Vec<u64> {
        (0..12).collect()
    }

    fn run(&self, context: &Context, (): &mut (), step: &u64) -> Result<()> {
        context.db().update(|tx| match tx.table(&NUMBERS)?.insert(*step, 0)? {
            true => Ok(()),
            false => Err(Error::TransactionFailed),
        })
    }

    fn check(&self, _: &Db, _: &History<'_, u64>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_second_life_that_fails_fails_again_when_it_is_replayed() {
    let explorer = Explorer::new().seeds(0..4).states(4_000);
    let failure = explorer.explore(&OnlyOnce).unwrap_err();
    assert_eq!(failure.kind(), ProblemKind::StepFailed, "{failure}");
    let again = explorer.replay(&OnlyOnce, &failure.replay().unwrap()).unwrap_err();
    assert_eq!((again.kind(), again.problem()), (failure.kind(), failure.problem()));
}

#[test]
fn an_exploration_of_nothing_is_refused() {
    let failure = Explorer::new().seeds(5..5).explore(&OnlyOnce).unwrap_err();
    assert_eq!(failure.kind(), ProblemKind::Usage, "{failure}");
}

#[test]
fn a_fault_befalls_opening_and_one_that_befalls_nothing_is_said() {
    let explorer = Explorer::new().states(50).threads(1).shrinks(false);
    let faults = [Fault::Read, Fault::FlippedBit, Fault::Store, Fault::Barrier];
    let report = explorer.clone().faults(&faults).explore(&TwoTables { in_one: true }).unwrap();
    for fault in faults {
        assert!(report.faults_met[&fault] > 0, "{fault:?}: {report}");
    }
    let failure =
        explorer.faults(&[Fault::Store, Fault::Cut]).explore(&TwoTables { in_one: true }).unwrap_err();
    assert_eq!(failure.kind(), ProblemKind::Usage, "{failure}");
    assert!(failure.problem().contains("Cut") && !failure.problem().contains("Store"), "{failure}");
}

/// Waits for its own barrier.
struct WaitsForItself;

impl Workload for WaitsForItself {
    type Step = u64;
    type Memory = ();

    fn name(&self) -> &str {
        "waits-for-itself"
    }

    fn script(&self, _: &mut Random) -> Vec<u64> {
        (0..3).collect()
    }

    fn run(&self, context: &Context, (): &mut (), step: &u64) -> Result<()> {
        let step = *step;
        context.during_next_barrier(move |db| {
            let _ = db.update(|tx| tx.table(&NUMBERS)?.insert(step, 1).map(drop));
        });
        context.db().update(|tx| tx.table(&NUMBERS)?.insert(step, 0).map(drop))
    }

    fn check(&self, _: &Db, _: &History<'_, u64>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn work_that_waits_for_the_barrier_that_it_is_done_in_panics() {
    let explorer = Explorer::new().threads(1).shrinks(false);
    let failure = explorer.explore(&WaitsForItself).unwrap_err();
    assert_eq!(failure.kind(), ProblemKind::Panicked, "{failure}");
    assert!(failure.problem().contains("waits for that barrier"), "{failure}");
}

/// After a step that has failed it fails for a reason of its own.
struct Sulks;

impl Workload for Sulks {
    type Step = u64;
    type Memory = bool;

    fn name(&self) -> &str {
        "sulks"
    }

    fn script(&self, _: &mut Random) -> Vec<u64> {
        (0..3).collect()
    }

    fn run(&self, context: &Context, has_failed: &mut bool, step: &u64) -> Result<()> {
        if *has_failed {
            return Err(Error::TransactionFailed);
        }
        let result = context.db().update(|tx| tx.table(&NUMBERS)?.insert(*step, 0).map(drop));
        *has_failed = result.is_err();
        result
    }

    fn check(&self, _: &Db, _: &History<'_, u64>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_fault_excuses_its_own_step_and_a_poisoned_database_no_more() {
    let explorer = Explorer::new().states(50).shrinks(false).faults(&[Fault::Store]);
    explorer.explore(&TwoTables { in_one: true }).unwrap();
    let failure = explorer.explore(&Sulks).unwrap_err();
    assert_eq!(failure.kind(), ProblemKind::StepFailed, "{failure}");
    let again = explorer.replay(&Sulks, &failure.replay().unwrap()).unwrap_err();
    assert_eq!(again.problem(), failure.problem());
}

/// Panics when its database is opened for the n-th time, wherever that is.
struct PanicsOnOpening {
    opened: AtomicU64,
    at: u64,
}

impl Workload for PanicsOnOpening {
    type Step = u64;
    type Memory = ();

    fn name(&self) -> &str {
        "panics-on-opening"
    }

    fn options(&self) -> OpenOptions {
        assert!(self.opened.fetch_add(1, Relaxed) != self.at, "opening {}", self.at);
        Db::options().max_size(64 << 20)
    }

    fn script(&self, _: &mut Random) -> Vec<u64> {
        (0..3).collect()
    }

    fn run(&self, context: &Context, (): &mut (), step: &u64) -> Result<()> {
        context.db().update(|tx| tx.table(&NUMBERS)?.insert(*step, 0).map(drop))
    }

    fn check(&self, _: &Db, _: &History<'_, u64>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_panic_while_opening_is_a_failure_with_a_replay_string() {
    for at in (0..12).chain([50, 100, 150, 200]) {
        let workload = PanicsOnOpening { opened: AtomicU64::new(0), at };
        let explorer = Explorer::new().states(100).threads(1).shrinks(false).flipped_bits(true);
        let failure = explorer.faults(&[Fault::Barrier]).explore(&workload).unwrap_err();
        assert_eq!(failure.kind(), ProblemKind::Panicked, "{at}: {failure}");
        assert_eq!(failure.problem(), format!("opening {at}"));
        assert!(failure.replay().is_some());
    }
}

#[test]
fn of_several_failures_the_earliest_is_told_by_any_number_of_threads() {
    let explorer = Explorer::new().states(500).shrinks(false);
    let failure = |threads| {
        explorer.clone().threads(threads).explore(&TwoTables { in_one: false }).unwrap_err().replay()
    };
    let first = failure(1);
    for threads in [2, 3, 5, 8, 2, 3, 5, 8] {
        assert_eq!(failure(threads), first);
    }
}

#[test]
fn a_replay_string_of_another_scenario_leaves_this_one_out() {
    let explorer = Explorer::new().states(500);
    let wrong = TwoTables { in_one: false };
    let replay = explorer.explore(&wrong).unwrap_err().replay().unwrap();
    assert!(explorer.explore_replayed(&wrong, &replay).is_err());
    let report = explorer.explore_replayed(&OnlyOnce, &replay).unwrap();
    assert!(report.is_replay && report.states == 0);
    assert!(
        explorer.explore_replayed(&TwoTables { in_one: true }, "two-tables:0:-:-:L5.k").unwrap().is_replay
    );
    assert_eq!(explorer.explore_replayed(&OnlyOnce, "nonsense").unwrap_err().kind(), ProblemKind::Usage);
}

#[test]
fn a_life_visits_about_as_many_states_as_it_may() {
    let explorer = Explorer::new().recovery_depth(0).threads(1).second_sessions(false);
    for budget in [20, 60, 1_000] {
        let report = explorer.clone().seeds(0..10).states(budget).explore(&Mixed::new(Kind::Small)).unwrap();
        let each = report.states / report.scripts;
        assert!(
            (budget / 2..=budget * 2).contains(&each),
            "{budget} in each of {}: {report}",
            report.scripts
        );
    }
}
