//! What an explorer explores: a workload in steps, and what must hold after a crash at any point of it.

use std::fmt::Debug;

use super::random::Random;
use super::storage::BarrierWork;
use crate::db::{Db, OpenOptions};
use crate::error::Result;

/// Steps that use a database, and what must be true of the database after any crash.
///
/// A workload must be deterministic: the same steps make the same calls. So it uses no clock and no threads, and no
/// random numbers except those that [`Workload::script`] gets. The explorer reports a workload that is not
/// deterministic as [`ProblemKind::NotDeterministic`](super::ProblemKind::NotDeterministic).
pub trait Workload: Sync {
    /// One step. Failures show its `Debug` text.
    type Step: Clone + Debug + Send + Sync;

    /// What is kept in memory from one step to the next, and lost in a crash: open read transactions, pending
    /// commits, caches. `()` if there is nothing.
    type Memory: Default;

    /// Returns the name that reports and replay strings use: letters, digits, `-` and `_`.
    fn name(&self) -> &str;

    /// Returns how the database is opened. The simulation uses page size, write mode, `verify`, `max_size` and
    /// `dirty_memory`, and no other option.
    fn options(&self) -> OpenOptions {
        Db::options().max_size(64 << 20)
    }

    /// Generates the steps. The same random numbers must give the same steps.
    fn script(&self, random: &mut Random) -> Vec<Self::Step>;

    /// Does one step.
    ///
    /// After a crash the script may go on with the step that was interrupted: the step then runs again, and may find
    /// its own work done.
    ///
    /// An error is a failure of the workload, with these exceptions: any error of the step that an injected fault
    /// hits; in the steps after it [`Error::Poisoned`](crate::Error::Poisoned), and, if the disk is full,
    /// [`Error::Io`](crate::Error::Io).
    fn run(&self, context: &Context, memory: &mut Self::Memory, step: &Self::Step) -> Result<()>;

    /// Checks a database that was recovered after a crash, and returns an error text that says what is wrong with it.
    ///
    /// The explorer has already checked that the database is sound, that every acknowledged commit is there, and that
    /// the contents are exactly what some commit left. This function checks what the application guarantees beyond
    /// that. [`History::kept`] has the steps whose commits are there.
    fn check(&self, db: &Db, history: &History<'_, Self::Step>) -> Result<(), String>;
}

/// What a step works on.
#[derive(Debug)]
pub struct Context {
    pub(super) db: Db,
    pub(super) barrier_work: BarrierWork,
}

impl Context {
    /// Returns the database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Does `work` during the next barrier, as another thread or process might. If the step ends without a barrier,
    /// `work` is dropped.
    ///
    /// `work` must not wait for that barrier: of the ways to commit, only
    /// [`commit_deferred`](crate::WriteTxn::commit_deferred) does not wait. If that has to make room in the redo log
    /// first, or if the barrier makes room for another transaction, `work` ends there, and its transaction is aborted.
    ///
    /// # Panics
    ///
    /// The barrier panics if `work` waits for it.
    pub fn during_next_barrier(&self, work: impl FnOnce(&Db) + Send + 'static) {
        let db = self.db.clone();
        self.barrier_work.set(Box::new(move || work(&db)));
    }
}

/// What happened before the crash, in one or more sessions: from opening the database to a crash.
#[derive(Debug)]
pub struct History<'a, Step> {
    pub(super) outcomes: Vec<StepOutcome<'a, Step>>,
}

/// A step that had begun before the crash, and what the crash left of it.
#[derive(Debug)]
pub struct StepOutcome<'a, Step> {
    /// The step.
    pub step: &'a Step,
    /// How many transactions the step commits. A transaction that changes nothing does not count.
    pub commits: u64,
    /// How many of these are in the recovered database. They are the first ones.
    pub kept: u64,
    /// How many of these were acknowledged as durable before the crash. All of them are kept.
    pub acknowledged: u64,
    /// Whether the step ended without an error before the crash.
    pub ended: bool,
}

impl<Step> Clone for StepOutcome<'_, Step> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Step> Copy for StepOutcome<'_, Step> {}

impl<'a, Step> History<'a, Step> {
    /// Returns every step that had begun, in order.
    pub fn outcomes(&self) -> &[StepOutcome<'a, Step>] {
        &self.outcomes
    }

    /// Returns the steps whose commits are all in the recovered database, in order. Steps that commit nothing are
    /// included. Together with [`History::kept_in_part`] they are what the database contains.
    pub fn kept(&self) -> impl Iterator<Item = &'a Step> + '_ {
        self.outcomes
            .iter()
            .filter(|outcomes| outcomes.kept == outcomes.commits)
            .map(|outcomes| outcomes.step)
    }

    /// Returns the steps of which some commits are in the recovered database and some are not: at most one in each
    /// session.
    pub fn kept_in_part(&self) -> impl Iterator<Item = &StepOutcome<'a, Step>> + '_ {
        self.outcomes.iter().filter(|outcomes| outcomes.kept > 0 && outcomes.kept < outcomes.commits)
    }
}
