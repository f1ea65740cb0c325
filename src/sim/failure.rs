//! What an explorer found: the problem, and how to come back to it.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::replay::Replay;

/// What kind of thing is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The database could not be opened after a crash.
    CannotOpen,
    /// It opened, but `check` found problems.
    Unclean,
    /// An acknowledged commit is gone.
    Lost,
    /// What was found is not what any commit had left.
    NotACommit,
    /// What was found is called as some commit is, but is not what that had left.
    Differs,
    /// A new transaction gets an id that another one had, of which there was a record.
    IdGivenTwice,
    /// A read transaction saw a durable commit before it was durable.
    VisibleTooEarly,
    /// Recovery, cut short and begun anew, found something else.
    RecoveryWavers,
    /// The workload's own check failed.
    Invariant,
    /// A step failed though nothing had been injected.
    StepFailed,
    /// Something panicked.
    Panicked,
    /// The workload does not do the same when it is run again.
    NotDeterministic,
    /// A replay string, or a setting of the explorer, makes no sense.
    Usage,
}

/// A problem, without its circumstances.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    pub(super) kind: ProblemKind,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, text: impl fmt::Display) -> Problem {
        Problem { kind, text: text.to_string() }
    }

    /// What `work` says, or that it has panicked.
    pub(super) fn or_panic<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(Problem::panic(&*payload)))
    }

    fn panic(payload: &(dyn Any + Send)) -> Problem {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Problem::new(ProblemKind::Panicked, text)
    }
}

/// What an explorer found wrong: `Display` and `Debug` tell all that is needed to see it again.
pub struct Failure {
    pub(super) problem: Problem,
    /// `None` if there is nothing to be replayed.
    pub(super) replay: Option<Replay>,
    /// The steps of the smallest script that still fails, one text each.
    pub(super) steps: Vec<String>,
    /// How many steps the script had before it was made smaller.
    pub(super) steps_before: usize,
    /// Where the crash was: the calls around it.
    pub(super) circumstances: Vec<String>,
    pub(super) states_visited: u64,
}

impl Failure {
    pub(super) fn usage(text: impl fmt::Display) -> Box<Failure> {
        Box::new(Failure::of(Problem::new(ProblemKind::Usage, text)))
    }

    pub(super) fn of(problem: Problem) -> Failure {
        Failure {
            problem,
            replay: None,
            steps: Vec::new(),
            steps_before: 0,
            circumstances: Vec::new(),
            states_visited: 0,
        }
    }

    /// What kind of thing is wrong.
    pub fn kind(&self) -> ProblemKind {
        self.problem.kind
    }

    /// What is wrong, in words.
    pub fn problem(&self) -> &str {
        &self.problem.text
    }

    /// The string that leads [`Explorer::replay`](super::Explorer::replay) back to exactly this state.
    pub fn replay(&self) -> Option<String> {
        self.replay.as_ref().map(Replay::to_string)
    }

    /// The steps of the smallest script that still fails, as `Debug` texts.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// How many states had been visited when it was found.
    pub fn states_visited(&self) -> u64 {
        self.states_visited
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}: {}", self.problem.kind, self.problem.text)?;
        if !self.steps.is_empty() {
            writeln!(f, "after these steps ({} of {}):", self.steps.len(), self.steps_before)?;
            for (number, step) in self.steps.iter().enumerate() {
                writeln!(f, "  {number}: {step}")?;
            }
        }
        for line in &self.circumstances {
            writeln!(f, "{line}")?;
        }
        if let Some(replay) = &self.replay {
            writeln!(f, "seed {}, replay string {replay}", replay.seed)?;
            write!(f, "again: {}", replay.command())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for Failure {}
