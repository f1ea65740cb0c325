//! What an explorer is to explore: a story told in steps, and what must hold however it is cut short.

use std::fmt::Debug;

use super::random::Random;
use super::storage::BarrierWork;
use crate::db::{Db, OpenOptions};
use crate::error::Result;

/// Something that happens to a database, in steps, and what must be true of it after any crash.
///
/// A workload must be deterministic: the same steps make the same calls. So it uses no clock, no threads and no
/// chance but that of [`Workload::script`]. The explorer finds out if it is not, and says so.
pub trait Workload: Sync {
    /// One step. Its `Debug` text stands in reports.
    type Step: Clone + Debug + Send + Sync;

    /// What lives from one step to the next and is gone after a crash: open read transactions, tickets of deferred
    /// commits, caches. `()` if there is nothing.
    type Memory: Default;

    /// The name by which reports and replay strings call it: letters, digits, `-` and `_`.
    fn name(&self) -> &str;

    /// How the database is opened. Only page size, write mode, `verify`, `max_size` and `dirty_memory` matter here.
    fn options(&self) -> OpenOptions {
        Db::options().max_size(64 << 20)
    }

    /// The steps, drawn by chance. The same numbers must give the same steps.
    fn script(&self, random: &mut Random) -> Vec<Self::Step>;

    /// Does one step. A database that is recovered after a crash may live on with the step that was cut short,
    /// which may then find its own work done. An error counts as a failure of the workload, but for these: any error of
    /// the step that an injected fault befalls; after that [`Error::Poisoned`](crate::Error::Poisoned), and if the disk
    /// is full, [`Error::Io`](crate::Error::Io).
    fn run(&self, context: &Context, memory: &mut Self::Memory, step: &Self::Step) -> Result<()>;

    /// Says what is wrong with a database that was recovered after a crash, if anything is.
    ///
    /// That it is whole, that every acknowledged commit is there, and that it is exactly what some commit had left has
    /// been proved before. Here stands what the application promises beyond that. [`History::kept`] names the
    /// steps whose commits are there.
    fn check(&self, db: &Db, history: &History<'_, Self::Step>) -> Result<(), String>;
}

/// Where a step happens.
#[derive(Debug)]
pub struct Context {
    pub(super) db: Db,
    pub(super) barrier_work: BarrierWork,
}

impl Context {
    /// The database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Has `work` done while the next barrier is under way: what other threads, or other processes, may be doing then.
    /// If none comes before the step ends, it is not done. It must not wait for that barrier itself, and panics if
    /// it does: of the ways to commit, only [`commit_deferred`](crate::WriteTxn::commit_deferred) does not.
    pub fn during_next_barrier(&self, work: impl FnOnce(&Db) + Send + 'static) {
        let db = self.db.clone();
        self.barrier_work.set(Box::new(move || work(&db)));
    }
}

/// What had happened before the crash, in one or more lives of the database.
#[derive(Debug)]
pub struct History<'a, Step> {
    pub(super) outcomes: Vec<StepOutcome<'a, Step>>,
}

/// A step that had begun, and what has become of it.
#[derive(Debug)]
pub struct StepOutcome<'a, Step> {
    /// The step.
    pub step: &'a Step,
    /// Transactions that it committed. (One that changes nothing is none.)
    pub commits: u64,
    /// How many of these are in the recovered database: the first so many.
    pub kept: u64,
    /// How many of these were acknowledged as durable, to whoever committed them: all of them are kept.
    pub acknowledged: u64,
    /// Whether it had ended without an error.
    pub ended: bool,
}

impl<Step> Clone for StepOutcome<'_, Step> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Step> Copy for StepOutcome<'_, Step> {}

impl<'a, Step> History<'a, Step> {
    /// Every step that had begun, in order.
    pub fn outcomes(&self) -> &[StepOutcome<'a, Step>] {
        &self.outcomes
    }

    /// The steps whose commits are all in the recovered database, in order: what it must be the sum of, together with
    /// what [`History::kept_in_part`] names. Steps that committed nothing are among them.
    pub fn kept(&self) -> impl Iterator<Item = &'a Step> + '_ {
        self.outcomes
            .iter()
            .filter(|outcomes| outcomes.kept == outcomes.commits)
            .map(|outcomes| outcomes.step)
    }

    /// Steps that made several commits, of which only the first `kept` are there: one in each life at most.
    pub fn kept_in_part(&self) -> impl Iterator<Item = &StepOutcome<'a, Step>> + '_ {
        self.outcomes.iter().filter(|outcomes| outcomes.kept > 0 && outcomes.kept < outcomes.commits)
    }
}
