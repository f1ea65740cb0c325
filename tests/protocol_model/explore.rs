//! Breadth first through every state, and the shortest trace to a violation.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::fmt::Write;
use std::hash::{Hash, Hasher};

use crate::disk::{Content, ContentId, Contents};
use crate::options::OpenOptions;
use crate::state::{DATA_PAGES, Phase, State};

pub(crate) struct Model {
    pub(crate) options: OpenOptions,
    pub(crate) contents: Contents,
}

/// A step that may come next: what it is called, and where it leads or what is wrong with it.
pub(crate) struct Step {
    name: &'static str,
    detail: u8,
    outcome: Result<State, String>,
}

#[derive(Default)]
pub(crate) struct Steps(Vec<Step>);

impl Steps {
    pub(crate) fn add(&mut self, name: &'static str, detail: u8, next: State) {
        self.0.push(Step { name, detail, outcome: Ok(next) });
    }

    pub(crate) fn fail(&mut self, name: &'static str, detail: u8, problem: String) {
        self.0.push(Step { name, detail, outcome: Err(problem) });
    }
}

/// What exploring has found.
#[derive(Debug)]
pub(crate) enum Finding {
    Nothing { states: usize },
    Violation { problem: String, trace: String },
}

impl Model {
    pub(crate) fn new(options: OpenOptions) -> Model {
        Model { options, contents: Contents::new() }
    }

    /// All steps from `state`.
    fn steps(&mut self, state: &State) -> Vec<Step> {
        let mut steps = Steps::default();
        if state.phase == Phase::Open {
            self.writer_steps(state, &mut steps);
            self.syncer_steps(state, &mut steps);
            self.reader_steps(state, &mut steps);
        } else {
            self.recovery_steps(state, &mut steps);
        }
        self.crash_steps(state, &mut steps);
        for step in &mut steps.0 {
            if let Ok(next) = &mut step.outcome {
                next.forget_the_old();
                if let Some(problem) = next.violation() {
                    step.outcome = Err(problem);
                }
            }
        }
        steps.0
    }

    /// Visits every state, until there are no more or one is wrong.
    pub(crate) fn explore(&mut self) -> Finding {
        let first = State::new(&mut self.contents);
        let mut numbers = HashMap::from([(fingerprint(&first), 0u32)]);
        // For each state, by number: the state before it, and which of its steps led here.
        let mut parents: Vec<(u32, u16)> = vec![(0, 0)];
        let mut level = vec![(0u32, first)];
        while !level.is_empty() {
            let mut next_level = Vec::new();
            for (number, state) in level {
                for (index, step) in self.steps(&state).into_iter().enumerate() {
                    let next = match step.outcome {
                        Ok(next) => next,
                        Err(problem) => {
                            let trace = self.trace(&parents, number, index);
                            return Finding::Violation { problem, trace };
                        }
                    };
                    if let Entry::Vacant(entry) = numbers.entry(fingerprint(&next)) {
                        let next_number = parents.len() as u32;
                        entry.insert(next_number);
                        parents.push((number, index as u16));
                        next_level.push((next_number, next));
                    }
                }
            }
            level = next_level;
        }
        Finding::Nothing { states: parents.len() }
    }

    /// The steps to state `number`, and from there step `last`.
    fn trace(&mut self, parents: &[(u32, u16)], mut number: u32, last: usize) -> String {
        let mut path = vec![last];
        while number != 0 {
            let (parent, index) = parents[number as usize];
            path.push(usize::from(index));
            number = parent;
        }
        let mut state = State::new(&mut self.contents);
        let mut text = String::new();
        for index in path.into_iter().rev() {
            let step = self.steps(&state).swap_remove(index);
            let _ = writeln!(text, "{} {}", step.name, step.detail);
            if let Ok(next) = step.outcome {
                state = next;
                let _ = writeln!(text, "        {}", self.show(&state));
            }
        }
        text
    }

    fn show(&self, state: &State) -> String {
        let mut text = String::new();
        for (index, place) in state.places.iter().enumerate() {
            let name = if index < DATA_PAGES { "page" } else { "slot" };
            let number = if index < DATA_PAGES { index } else { index - DATA_PAGES };
            let _ = write!(text, "{name} {number}: {}", self.name(place.cache));
            let on_disk: Vec<String> = place.disk_differs().into_iter().map(|id| self.name(id)).collect();
            if !on_disk.is_empty() {
                let _ = write!(text, " (disk: {})", on_disk.join(" or "));
            }
            text.push_str(", ");
        }
        let State {
            head,
            visible,
            durable,
            durable_slot,
            pending,
            target,
            hazard,
            dead_targets,
            inherited,
            ..
        } = state;
        let _ = write!(
            text,
            "head {head}, visible {visible}, durable {durable} in slot {durable_slot}, pending {pending}, \
             target {target}, hazard {hazard}, dead targets {dead_targets:b}, inherited {inherited}, acknowledged {}, \
             {:?}",
            state.acknowledged, state.reader
        );
        text
    }

    fn name(&self, id: ContentId) -> String {
        match self.contents.get(id) {
            Content::Zeros => "-".into(),
            Content::Torn => "torn".into(),
            Content::Leaf { birth, version } => format!("leaf {birth}.{version}"),
            Content::Root { birth, version, leaf } => format!("root {birth}.{version} to {leaf}"),
            Content::Record { id, root, listed } => {
                let pages: Vec<u8> = listed.iter().map(|&(page, _)| page).collect();
                format!("record {id} at {root} lists {pages:?}")
            }
        }
    }
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
