//! The explorer: runs a workload, crashes it at every point, and checks what is left.
//!
//! The exploration of one script: the script runs once, from the beginning to the end, and its log of events is kept.
//! Then the log is applied to a [`Disk`], event by event. After each event the states that the disk may be in are
//! visited: all of them if they are few, otherwise samples ([`crate::sim::crash_states`]).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use super::crash_states::{Exploration, Found, POINTS_TOGETHER, Plan};
use super::disk::{Disk, Event};
use super::failure::{Failure, Problem, ProblemKind};
use super::history::FullHistory;
use super::random::Random;
use super::replay::{FaultyCall, REPLAY_VARIABLE, Replay, Segment};
use super::report::{Counters, Report};
use super::session::{Session, live};
use super::state_checker::StateChecker;
use super::storage::Fault;
use super::workload::Workload;
use crate::base::mutation::{current_mutation, set_mutation};

/// When a script has failed, at most this many smaller ones are tried.
const MAX_SMALLER_SCRIPTS: usize = 400;

/// Explores the crashes of a [`Workload`]. See [the module](crate::sim) for an example.
#[derive(Clone, Debug)]
pub struct Explorer {
    seeds: Range<u64>,
    states: u64,
    faults: Vec<Fault>,
    plan: Plan,
    threads: usize,
    shrinks: bool,
}

impl Default for Explorer {
    fn default() -> Explorer {
        Explorer::new()
    }
}

/// The steps of a workload that are run, and the call that fails.
#[derive(Clone, Debug)]
struct Script {
    seed: u64,
    /// The numbers of the steps that are kept; `None` for all.
    kept: Option<Vec<usize>>,
    fault: Option<FaultyCall>,
}

impl Explorer {
    /// Returns an explorer of one script, that of seed 0, and of 10,000 states.
    pub fn new() -> Explorer {
        Explorer {
            seeds: 0..1,
            states: 10_000,
            faults: Vec::new(),
            plan: Plan {
                recovery_depth: 2,
                every_recovery: false,
                recovery_faults: true,
                second_sessions: true,
                flipped_bits: false,
                lost_blocks: false,
            },
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            shrinks: true,
        }
    }

    /// Sets the seeds from which scripts are generated: one script for each.
    pub fn seeds(mut self, seeds: Range<u64>) -> Explorer {
        self.seeds = seeds;
        self
    }

    /// Sets about how many states are visited in each script. If there are fewer, all of them are, and the report
    /// says so. If `states` is less than four for each crash point, some points are left out.
    pub fn states(mut self, states: u64) -> Explorer {
        self.states = states;
        self
    }

    /// Sets how many crashes in recovery may follow a crash, each in the recovery from the one before. Default: 2.
    pub fn recovery_depth(mut self, depth: usize) -> Explorer {
        self.plan.recovery_depth = depth;
        self
    }

    /// Sets whether every recovery crashes, at each of its calls, instead of some at one. This is for small
    /// workloads. Default: `false`.
    pub fn every_recovery(mut self, every: bool) -> Explorer {
        self.plan.every_recovery = every;
        self
    }

    /// Sets whether calls fail in recoveries: one call in some recoveries or, with
    /// [`every_recovery`](Explorer::every_recovery), each call in each. Default: `true`.
    pub fn recovery_faults(mut self, faults: bool) -> Explorer {
        self.plan.recovery_faults = faults;
        self
    }

    /// Sets whether some recovered databases go on with the rest of the script, and crash again. Default: `true`.
    pub fn second_sessions(mut self, second_sessions: bool) -> Explorer {
        self.plan.second_sessions = second_sessions;
        self
    }

    /// Sets the faults that are injected besides crashes. For each fault, the script runs once for each call that the
    /// fault can hit. The step that it hits may fail, and so may the steps after it; what was acknowledged must still
    /// be there. If the workload makes no call that a fault can hit, [`explore`](Explorer::explore) returns an error.
    pub fn faults(mut self, faults: &[Fault]) -> Explorer {
        self.faults = faults.to_vec();
        self
    }

    /// Sets whether a bit is flipped in some states. The database must then refuse to open, return an error, or
    /// contain what some commit left. Default: `false`.
    pub fn flipped_bits(mut self, flipped_bits: bool) -> Explorer {
        self.plan.flipped_bits = flipped_bits;
        self
    }

    /// Sets whether in some states a block of 4096 bytes is lost as a whole if a store to it was not durable, as after
    /// a write that the loss of power interrupted. Default: `false`.
    pub fn lost_blocks(mut self, lost_blocks: bool) -> Explorer {
        self.plan.lost_blocks = lost_blocks;
        self
    }

    /// Sets how many threads explore. Default: one for each processor.
    pub fn threads(mut self, threads: usize) -> Explorer {
        self.threads = threads.max(1);
        self
    }

    /// Sets whether steps that a failure does not need are left out of its script. Default: `true`.
    pub fn shrinks(mut self, shrinks: bool) -> Explorer {
        self.shrinks = shrinks;
        self
    }

    /// Explores `workload`, and returns what was visited. If the environment variable `MAPLEAF_SIM_REPLAY` contains a
    /// replay string, only the state that it names is visited, and none of a workload with another name; the report
    /// says so ([`Report::is_replay`]).
    ///
    /// # Errors
    ///
    /// The first problem found, with the smallest script that shows it. [`ProblemKind::Usage`] if there is nothing to
    /// explore, or if one of the [`faults`](Explorer::faults) never hit a call.
    pub fn explore<S: Workload>(&self, workload: &S) -> Result<Report, Box<Failure>> {
        let Ok(text) = std::env::var(REPLAY_VARIABLE) else { return self.explore_all(workload) };
        self.explore_replayed(workload, &text)
    }

    /// Does what `explore` does if the variable contains `text`.
    pub(super) fn explore_replayed<S: Workload>(
        &self,
        workload: &S,
        text: &str,
    ) -> Result<Report, Box<Failure>> {
        let replay: Replay = text.parse().map_err(Failure::usage)?;
        let report = match replay.name == workload.name() {
            true => self.replay(workload, text)?,
            false => {
                // Standard error may be closed.
                let _ = writeln!(
                    std::io::stderr(),
                    "{REPLAY_VARIABLE} names a state of '{}': none of '{}' is visited",
                    replay.name,
                    workload.name()
                );
                Report::default()
            }
        };
        Ok(Report { is_replay: true, ..report })
    }

    /// Visits one state again: the one that [`Failure::replay`] names.
    ///
    /// # Errors
    ///
    /// [`ProblemKind::Usage`] if this workload has no such state; otherwise what is wrong with the state.
    pub fn replay<S: Workload>(&self, workload: &S, replay: &str) -> Result<Report, Box<Failure>> {
        let replay: Replay = replay.parse().map_err(Failure::usage)?;
        if replay.name != workload.name() {
            let text = format!("the replay string is for '{}', not for '{}'", replay.name, workload.name());
            return Err(Failure::usage(text));
        }
        let script = Script { seed: replay.seed, kept: replay.steps.clone(), fault: replay.fault };
        let counters = Counters::new(workload.name());
        self.exploration(workload, &script, &counters, Some(&replay.path))
            .map_err(|found| self.failure(workload, &script, found, &counters))?;
        Ok(counters.report())
    }

    fn explore_all<S: Workload>(&self, workload: &S) -> Result<Report, Box<Failure>> {
        let is_in_name = |character: char| character.is_alphanumeric() || "-_".contains(character);
        if self.seeds.is_empty() || !workload.name().chars().all(is_in_name) {
            let (seeds, name) = (&self.seeds, workload.name());
            return Err(Failure::usage(format_args!(
                "nothing to explore: seeds {seeds:?}, workload '{name}'"
            )));
        }
        let counters = Counters::new(workload.name());
        let fail = |script: &Script, found| {
            let (script, found) = match self.shrinks {
                true => self.shrink(workload, script.clone(), found),
                false => (script.clone(), found),
            };
            self.failure(workload, &script, found, &counters)
        };
        for seed in self.seeds.clone() {
            let script = Script { seed, kept: None, fault: None };
            self.exploration(workload, &script, &counters, None).map_err(|found| fail(&script, found))?;
            for &fault in &self.faults {
                for call in 0.. {
                    let script = Script { seed, kept: None, fault: Some((fault, call)) };
                    match self.exploration(workload, &script, &counters, None) {
                        Ok(Explored::FaultNotMet) => break,
                        Ok(Explored::All) => Counters::add(&counters.faults),
                        Err(found) => return Err(fail(&script, found)),
                    }
                }
            }
        }
        let report = counters.report();
        let unmet = self.faults.iter().filter(|&fault| !report.faults_met.contains_key(fault));
        let unmet: Vec<String> = unmet.map(|fault| format!("{fault:?}")).collect();
        if !unmet.is_empty() {
            let text = format!(
                "no call of '{1}' can be hit by {0}: leave it out of the faults",
                unmet.join(", "),
                workload.name()
            );
            return Err(Failure::usage(text));
        }
        Ok(report)
    }

    /// Runs a script and visits its crash states: those that the plan chooses, or the one that `guide` leads to.
    fn exploration<S: Workload>(
        &self,
        workload: &S,
        script: &Script,
        counters: &Counters,
        guide: Option<&[Segment]>,
    ) -> Result<Explored, Found> {
        let steps = script.steps(workload).map_err(|text| Problem::new(ProblemKind::Usage, text))?;
        let options = Problem::or_panic(|| Ok(workload.options()))?;
        let image = options.open_settings().first_pages(*b"simulated file  ");
        let image = image.map_err(|error| Problem::new(ProblemKind::Usage, error))?;
        let start = Disk::new(image, options.open_settings().write_mode);
        let session = live(workload, &start, &steps, script.fault)?;
        match script.fault {
            Some((fault, _)) if session.faults_met > 0 => counters.met(fault),
            Some(_) if guide.is_none() => return Ok(Explored::FaultNotMet),
            Some(_) => {
                return Err(Problem::new(ProblemKind::Usage, "the script has no such call to fail").into());
            }
            None => {}
        }
        check_determinism(&session, &live(workload, &start, &steps, script.fault)?)?;
        Counters::add(&counters.scripts);
        let full_history = FullHistory::of(workload, &start, &session, &steps, None)?;
        // Each thread has its own.
        let exploration = || Exploration {
            workload,
            seed: script.seed,
            plan: &self.plan,
            counters,
            guide,
            visited: RefCell::default(),
        };
        if script.fault.is_none() && guide.is_none_or(<[Segment]>::is_empty) {
            let (mut disk, mut expected) = (start.clone(), full_history.beginning());
            for event in &session.events {
                disk.apply(event);
                expected = expected.after(event);
            }
            StateChecker { workload }.check_without_crash(&disk, &full_history, expected)?;
        }
        if guide.is_some() {
            let visited = exploration().session(&session, &start, &full_history, self.states, &[], |_| true);
            return visited.map(|()| Explored::All);
        }
        self.on_threads(|is_mine| {
            exploration().session(&session, &start, &full_history, self.states, &[], is_mine)
        })?;
        Ok(Explored::All)
    }

    /// Visits crash points in several threads, each of which has its own. Returns the failure at the earliest point:
    /// when a thread finds one, the others go on up to that point.
    fn on_threads(
        &self,
        visit: impl Fn(&dyn Fn(usize) -> bool) -> Result<(), Found> + Sync,
    ) -> Result<(), Found> {
        let threads = self.threads;
        let (least, found) = (AtomicUsize::new(usize::MAX), Mutex::new(BTreeMap::new()));
        let mutation = current_mutation();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (visit, least, found) = (&visit, &least, &found);
                scope.spawn(move || {
                    set_mutation(mutation);
                    let is_mine = |point: usize| {
                        point / POINTS_TOGETHER % threads == thread && point < least.load(Relaxed)
                    };
                    if let Err(failed) = visit(&is_mine) {
                        let point = failed.path.first().map_or(0, |segment| segment.point);
                        least.fetch_min(point, Relaxed);
                        found.lock().insert(point, failed);
                    }
                });
            }
        });
        found.into_inner().into_values().next().map_or(Ok(()), Err)
    }

    /// Leaves out steps as long as the rest still fails in the same way.
    fn shrink<S: Workload>(&self, workload: &S, script: Script, found: Found) -> (Script, Found) {
        if matches!(found.problem.kind, ProblemKind::NotDeterministic | ProblemKind::Usage) {
            return (script, found);
        }
        let Ok(all) = script.steps(workload) else { return (script, found) };
        let mut kept: Vec<usize> = script.kept.clone().unwrap_or_else(|| (0..all.len()).collect());
        let mut best = found;
        let explorer = Explorer { states: self.states.min(2_000), ..self.clone() };
        let mut piece = kept.len().div_ceil(2);
        let mut tries = 0;
        while piece > 0 {
            let mut at = 0;
            while at < kept.len() && tries < MAX_SMALLER_SCRIPTS {
                tries += 1;
                let mut fewer = kept.clone();
                fewer.drain(at..(at + piece).min(kept.len()));
                let smaller = Script { kept: Some(fewer.clone()), ..script.clone() };
                let counters = Counters::new(workload.name());
                match explorer.exploration(workload, &smaller, &counters, None) {
                    Err(found) if found.problem.kind == best.problem.kind => (kept, best) = (fewer, found),
                    _ => at += piece,
                }
            }
            piece /= 2;
        }
        let script = Script { kept: Some(kept), ..script };
        // A failure with one crash is easier to understand than one with three.
        let simple = explorer.recovery_depth(0).second_sessions(false);
        match simple.exploration(workload, &script, &Counters::new(workload.name()), None) {
            Err(found) if found.problem.kind == best.problem.kind => (script, found),
            _ => (script, best),
        }
    }

    fn failure<S: Workload>(
        &self,
        workload: &S,
        script: &Script,
        found: Found,
        counters: &Counters,
    ) -> Box<Failure> {
        let mut failure = Box::new(Failure::of(found.problem));
        if failure.problem.kind == ProblemKind::Usage {
            return failure;
        }
        let steps = script.steps(workload).unwrap_or_default();
        failure.steps = steps.iter().map(|step| format!("{step:?}")).collect();
        failure.steps_before = workload.script(&mut Random::new(script.seed)).len();
        failure.circumstances = found.circumstances;
        failure.states_visited = counters.report().states;
        failure.replay = Some(Replay {
            name: workload.name().into(),
            seed: script.seed,
            steps: script.kept.clone(),
            fault: script.fault,
            path: found.path,
        });
        failure
    }
}

/// How an exploration ended that found nothing wrong.
enum Explored {
    All,
    /// The script does not make the call that was to fail.
    FaultNotMet,
}

impl Script {
    fn steps<S: Workload>(&self, workload: &S) -> Result<Vec<S::Step>, String> {
        let all = workload.script(&mut Random::new(self.seed));
        let Some(kept) = &self.kept else { return Ok(all) };
        let step = |&number: &usize| {
            let step = all.get(number).cloned();
            step.ok_or_else(|| {
                format!("there is no step {number}: the script of seed {} has {} steps", self.seed, all.len())
            })
        };
        kept.iter().map(step).collect()
    }
}

/// Returns an error if two runs of the same script did not make the same calls.
fn check_determinism(one: &Session, other: &Session) -> Result<(), Problem> {
    let differs = one.events.iter().zip(&other.events).position(|(one, other)| one != other);
    let at = match differs {
        Some(at) => at,
        None if one.events.len() != other.events.len() => one.events.len().min(other.events.len()),
        None => return Ok(()),
    };
    let text = |session: &Session| session.events.get(at).map_or("the end".into(), Event::to_string);
    let step = one.events[..at].iter().filter(|event| matches!(event, Event::StepBegins)).count();
    Err(Problem::new(
        ProblemKind::NotDeterministic,
        format_args!(
            "the same script makes other calls when it runs again: event {at}, in step {}, is '{}' in the first run \
             and '{}' in the second",
            step.saturating_sub(1),
            text(one),
            text(other)
        ),
    ))
}
