//! Breadth first through every state, and the shortest trace to a violation.
//!
//! States are told apart by 64 bits of hash. With 50 million states the chance that two that differ are taken for one
//! is below 1 in 10,000.

use std::collections::HashSet;
use std::fmt::Write;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::intern::Fast;
use crate::model::Model;
use crate::options::LeftOut;
use crate::state::{Checkpointer, Phase, State, Syncer, Writer};

/// A step that may come next: what it is called, and where it leads or what is wrong with it.
struct Step {
    name: String,
    outcome: Result<State, String>,
}

/// The steps from one state. They have names only if a trace is made.
pub(crate) struct Steps {
    steps: Vec<Step>,
    is_named: bool,
}

impl Steps {
    pub(crate) fn add(&mut self, next: State, name: impl FnOnce() -> String) {
        let name = if self.is_named { name() } else { String::new() };
        self.steps.push(Step { name, outcome: Ok(next) });
    }

    pub(crate) fn fail(&mut self, name: &str, problem: String) {
        self.steps.push(Step { name: name.into(), outcome: Err(problem) });
    }
}

/// What exploring has found.
pub(crate) enum Finding {
    Nothing {
        states: usize,
    },
    /// There were more states than were to be visited.
    Stopped {
        states: usize,
        depth: usize,
    },
    Violation {
        states: usize,
        problem: String,
        trace: String,
    },
}

/// The numbers of the steps that first led to each state.
#[derive(Default)]
struct Parents {
    parents: Vec<u32>,
    steps: Vec<u16>,
}

impl Parents {
    fn push(&mut self, parent: u32, step: usize) -> u32 {
        self.parents.push(parent);
        self.steps.push(u16::try_from(step).expect("fewer than 65,536 steps from a state"));
        (self.parents.len() - 1) as u32
    }
}

/// A hash is its own hash.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are hashed");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl Model {
    /// All steps from `state`.
    fn steps(&mut self, state: &State, is_named: bool) -> Vec<Step> {
        let mut steps = Steps { steps: Vec::new(), is_named };
        if state.phase == Phase::Open {
            self.open_steps(state, &mut steps);
        } else {
            self.recovery_steps(state, &mut steps);
        }
        if steps.steps.is_empty() && self.is_stuck(state) {
            steps.fail("nothing more can happen", format!("the writer waits for ever: {:?}", state.writer));
        }
        self.crash_steps(state, &mut steps);
        for step in &mut steps.steps {
            if let Ok(next) = &mut step.outcome {
                self.normalize(next);
                if let Some(problem) = self.violation(next) {
                    step.outcome = Err(problem);
                }
            }
        }
        steps.steps
    }

    fn open_steps(&mut self, state: &State, steps: &mut Steps) {
        let is_idle = state.writer == Writer::Idle
            && state.syncer == Syncer::Idle
            && state.checkpointer == Checkpointer::Idle;
        if state.is_poisoned && is_idle {
            let mut next = *state;
            self.close(&mut next);
            return steps.add(next, || "all close the poisoned database".into());
        }
        if !state.is_poisoned || state.writer != Writer::Idle {
            self.writer_steps(state, steps);
        }
        if !state.is_poisoned || state.syncer != Syncer::Idle {
            self.syncer_steps(state, steps);
        }
        let checkpoints = self.options.bounds.has_checkpoints || state.checkpointer != Checkpointer::Idle;
        if checkpoints && (!state.is_poisoned || state.checkpointer != Checkpointer::Idle) {
            self.checkpointer_steps(state, steps);
        }
        self.reader_steps(state, steps);
    }

    /// A writer that has a turn and no step, with checkpoints going on, waits for ever (L7).
    fn is_stuck(&self, state: &State) -> bool {
        let bounds = self.options.bounds;
        let is_writing = state.phase == Phase::Open && state.writer != Writer::Idle;
        is_writing && bounds.has_checkpoints && self.keeps(LeftOut::Room)
    }

    /// Visits every state, until there are no more, too many, or one is wrong.
    pub(crate) fn explore(&mut self, max_states: usize) -> Finding {
        let first = self.first_state();
        let mut seen: HashSet<u64, BuildHasherDefault<Itself>> = HashSet::default();
        seen.insert(fingerprint(&first));
        let mut parents = Parents::default();
        let mut level = vec![(parents.push(0, 0), first)];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next_level = Vec::new();
            for (number, state) in level {
                for (index, step) in self.steps(&state, false).into_iter().enumerate() {
                    match step.outcome {
                        Ok(next) => {
                            if seen.insert(fingerprint(&next)) {
                                next_level.push((parents.push(number, index), next));
                            }
                        }
                        Err(problem) => {
                            let trace = self.trace(&parents, number, index);
                            return Finding::Violation { states: seen.len(), problem, trace };
                        }
                    }
                }
                if seen.len() > max_states {
                    return Finding::Stopped { states: seen.len(), depth };
                }
            }
            level = next_level;
            depth += 1;
        }
        Finding::Nothing { states: seen.len() }
    }

    /// The steps to state `number`, and from there step `last`.
    fn trace(&mut self, parents: &Parents, mut number: u32, last: usize) -> String {
        let mut path = vec![last];
        while number != 0 {
            path.push(usize::from(parents.steps[number as usize]));
            number = parents.parents[number as usize];
        }
        let mut state = self.first_state();
        let mut text = String::new();
        for index in path.into_iter().rev() {
            let step = self.steps(&state, true).swap_remove(index);
            let _ = writeln!(text, "  {}", step.name);
            if let Ok(next) = step.outcome {
                state = next;
                if std::env::var_os("MAPLEAF_SHOW").is_some() {
                    let _ = writeln!(text, "        {}", self.show(&state));
                }
            }
        }
        text
    }
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = Fast::default();
    state.hash(&mut hasher);
    hasher.finish()
}
