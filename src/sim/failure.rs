//! What an explorer found: the problem, and how to see it again.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::replay::Replay;

/// The kind of a problem.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The database could not be opened after a crash.
    CannotOpen,
    /// The database could be opened, but `check` found problems.
    Unclean,
    /// An acknowledged commit is gone.
    Lost,
    /// The recovered transaction was never committed.
    NotACommit,
    /// The recovered transaction has the id of a commit, but not the contents that the commit left.
    Differs,
    /// A new transaction gets the id of an older one whose meta page was stored.
    IdGivenTwice,
    /// A read transaction saw a durable commit before it was durable.
    VisibleTooEarly,
    /// A recovery that was interrupted and begun again found another transaction.
    RecoveryWavers,
    /// The workload's own check failed after a crash.
    Invariant,
    /// The workload's own check failed after all steps, without any crash: the steps or the check are wrong. Nothing
    /// was crashed then.
    FailsWithoutCrash,
    /// A step failed although no fault was injected.
    StepFailed,
    /// A step, a check or the library panicked.
    Panicked,
    /// The workload makes other calls when it runs again.
    NotDeterministic,
    /// A replay string, or a setting of the explorer, is not valid.
    Usage,
}

/// A problem, without the crash that led to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    pub(super) kind: ProblemKind,
    pub(super) text: String,
    /// Which commits of each step are in the recovered database; empty if none was opened.
    pub(super) commits: Vec<String>,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, text: impl fmt::Display) -> Problem {
        Problem { kind, text: text.to_string(), commits: Vec::new() }
    }

    pub(super) fn with_commits(self, commits: Vec<String>) -> Problem {
        Problem { commits, ..self }
    }

    /// Returns what `work` returns, or a problem if it panics.
    pub(super) fn or_panic<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(Problem::panic(&*payload)))
    }

    fn panic(payload: &(dyn Any + Send)) -> Problem {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Problem::new(ProblemKind::Panicked, text)
    }
}

/// What an explorer found wrong. `Display` and `Debug` show the problem, the steps, the crash, which commits are
/// there, and a command that visits the state again.
pub struct Failure {
    pub(super) problem: Problem,
    /// `None` if there is nothing to replay.
    pub(super) replay: Option<Replay>,
    /// The steps of the smallest script that still fails, one text each.
    pub(super) steps: Vec<String>,
    /// How many steps the script had before it was made smaller.
    pub(super) steps_before: usize,
    /// Where the crash was: the last calls before it.
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

    /// Returns the kind of the problem.
    pub fn kind(&self) -> ProblemKind {
        self.problem.kind
    }

    /// Returns a text that says what is wrong.
    pub fn problem(&self) -> &str {
        &self.problem.text
    }

    /// Returns the string with which [`Explorer::replay`](super::Explorer::replay) visits exactly this state again.
    pub fn replay(&self) -> Option<String> {
        self.replay.as_ref().map(Replay::to_string)
    }

    /// Returns the `Debug` texts of the steps of the smallest script that still fails.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// Returns how many states were visited until the problem was found.
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
        if !self.problem.commits.is_empty() {
            writeln!(f, "commits in the recovered database:")?;
            for line in &self.problem.commits {
                writeln!(f, "  {line}")?;
            }
        }
        for line in &self.circumstances {
            writeln!(f, "{line}")?;
        }
        if let Some(replay) = &self.replay {
            writeln!(f, "seed {}, replay string {replay}", replay.seed)?;
            write!(f, "to visit this state again: {}", replay.command())?;
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
