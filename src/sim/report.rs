//! What an explorer has visited, and the progress that it prints meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::storage::Fault;

/// How often a long exploration prints its progress.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// What an explorer visited without finding anything wrong.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Scripts that were run: one for each seed, and one more for each fault that was injected.
    pub scripts: u64,
    /// Of these, scripts with a fault.
    pub faults: u64,
    /// Points at which a crash was tried: one after each call of a script, at most.
    pub crash_points: u64,
    /// Of these, points at which every state that the disk could be in was visited.
    pub exhausted_points: u64,
    /// States in which the database was opened and checked, in all.
    pub states: u64,
    /// Of these states, those that differed from all before, in the disk's content or in what had to be there. The
    /// others were not opened again.
    pub distinct_states: u64,
    /// Of these states, those after a crash in recovery, and those after another crash in the recovery from that.
    pub recovery_states: [u64; 2],
    /// Of these states, those in which the process was killed and power did not fail.
    pub kills: u64,
    /// Of these kills, those after which the system dropped clean pages from the page cache.
    pub dropped: u64,
    /// Of these states, those with a flipped bit.
    pub flipped_bits: u64,
    /// Of these states, those with lost blocks.
    pub lost_blocks: u64,
    /// How often each fault hit a call, in a script or in a recovery.
    pub faults_met: BTreeMap<Fault, u64>,
    /// How often a recovered database went on with its script.
    pub second_sessions: u64,
    /// States that the disk could be in, summed over the crash points of the scripts (without those of recoveries and
    /// of second sessions).
    pub states_in_all: f64,
    /// How long the exploration took.
    pub elapsed: Duration,
    /// Whether the environment variable `MAPLEAF_SIM_REPLAY` limited the exploration to one state, of this workload
    /// or of another. The numbers then say nothing about this workload.
    pub is_replay: bool,
}

impl Report {
    /// Returns how many states were visited per second.
    pub fn states_per_second(&self) -> f64 {
        self.states as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { scripts, faults, crash_points, exhausted_points, states, distinct_states, .. } = self;
        let Report {
            recovery_states: [once, again],
            kills,
            dropped,
            flipped_bits,
            lost_blocks,
            second_sessions,
            ..
        } = self;
        writeln!(f, "{scripts} scripts ({faults} with a fault), {crash_points} crash points")?;
        writeln!(
            f,
            "{states} states visited of about {:.3e}, {distinct_states} of them distinct; every state at \
             {exhausted_points} of the points",
            self.states_in_all
        )?;
        writeln!(
            f,
            "{once} in recovery, {again} in recovery again, {kills} kills ({dropped} with pages dropped), \
             {flipped_bits} flipped bits, {lost_blocks} states with lost blocks, \
             {second_sessions} second sessions"
        )?;
        let met: Vec<String> =
            self.faults_met.iter().map(|(fault, times)| format!("{fault:?} {times}")).collect();
        writeln!(f, "calls hit by faults: {}", if met.is_empty() { "none".into() } else { met.join(", ") })?;
        write!(f, "{:.1} s, {:.0} states per second", self.elapsed.as_secs_f64(), self.states_per_second())
    }
}

/// Counts while several threads explore.
pub(super) struct Counters {
    pub(super) scripts: AtomicU64,
    pub(super) faults: AtomicU64,
    pub(super) crash_points: AtomicU64,
    pub(super) exhausted_points: AtomicU64,
    pub(super) states: AtomicU64,
    pub(super) distinct_states: AtomicU64,
    pub(super) recovery_states: [AtomicU64; 2],
    pub(super) kills: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) flipped_bits: AtomicU64,
    pub(super) lost_blocks: AtomicU64,
    pub(super) faults_met: Mutex<BTreeMap<Fault, u64>>,
    pub(super) second_sessions: AtomicU64,
    pub(super) states_in_all: Mutex<f64>,
    began: Instant,
    last_line: Mutex<Instant>,
    name: String,
}

impl Counters {
    pub(super) fn new(name: &str) -> Counters {
        Counters {
            scripts: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            crash_points: AtomicU64::new(0),
            exhausted_points: AtomicU64::new(0),
            states: AtomicU64::new(0),
            distinct_states: AtomicU64::new(0),
            recovery_states: [AtomicU64::new(0), AtomicU64::new(0)],
            kills: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            flipped_bits: AtomicU64::new(0),
            lost_blocks: AtomicU64::new(0),
            faults_met: Mutex::default(),
            second_sessions: AtomicU64::new(0),
            states_in_all: Mutex::new(0.0),
            began: Instant::now(),
            last_line: Mutex::new(Instant::now()),
            name: name.into(),
        }
    }

    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn met(&self, fault: Fault) {
        *self.faults_met.lock().entry(fault).or_default() += 1;
    }

    /// Counts a visited state. From time to time prints the progress on standard error: in one line if that is a
    /// terminal.
    pub(super) fn visited(&self) {
        let states = self.states.fetch_add(1, Relaxed) + 1;
        if !states.is_multiple_of(256) {
            return;
        }
        let Some(mut last) = self.last_line.try_lock() else { return };
        if last.elapsed() >= BETWEEN_LINES {
            *last = Instant::now();
            let (rate, scripts) =
                (states as f64 / self.began.elapsed().as_secs_f64(), self.scripts.load(Relaxed));
            let end = if std::io::stderr().is_terminal() { '\r' } else { '\n' };
            // Standard error may be closed.
            let _ = write!(
                std::io::stderr(),
                "{}: {states} states visited, {rate:.0} per second, script {scripts}{end}",
                self.name
            );
        }
    }

    pub(super) fn report(&self) -> Report {
        Report {
            scripts: self.scripts.load(Relaxed),
            faults: self.faults.load(Relaxed),
            crash_points: self.crash_points.load(Relaxed),
            exhausted_points: self.exhausted_points.load(Relaxed),
            states: self.states.load(Relaxed),
            distinct_states: self.distinct_states.load(Relaxed),
            recovery_states: [0, 1].map(|depth| self.recovery_states[depth].load(Relaxed)),
            kills: self.kills.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            flipped_bits: self.flipped_bits.load(Relaxed),
            lost_blocks: self.lost_blocks.load(Relaxed),
            faults_met: self.faults_met.lock().clone(),
            second_sessions: self.second_sessions.load(Relaxed),
            states_in_all: *self.states_in_all.lock(),
            elapsed: self.began.elapsed(),
            is_replay: false,
        }
    }
}
