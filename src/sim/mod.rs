//! Crash testing: a simulated disk, and an explorer that cuts the power at every point of a workload (feature `sim`).
//!
//! A [`Workload`] consists of steps and of a check. The [`Explorer`] generates scripts of steps from seeds and runs
//! each on a database whose file is on a simulated disk. That disk guarantees what a real one guarantees, and no
//! more:
//!
//! - What a barrier covers is on the disk once the barrier has returned.
//! - Each sector (512 bytes) that was stored since may be there, lost or torn, independently of the others.
//! - With [`Explorer::lost_blocks`], the whole block of 4096 bytes that such a store went to may be lost.
//! - A change of the file's length may be there or not.
//! - After a failed sync, the pages that it covered are clean in the page cache, as on Linux, but perhaps not on the
//!   disk. The system may drop such a page from the cache and read the old one from the disk.
//!
//! After every call that a script makes, the explorer visits the states that the disk may then be in: all of them if
//! they are few, otherwise samples. In each state it opens the database, which must be
//!
//! - sound: [`Db::check`](crate::Db::check) finds nothing;
//! - new enough: every commit that was acknowledged as durable is there;
//! - exactly what one of the commits left: what is there is a prefix of what was committed;
//! - correct for the workload: [`Workload::check`] returns `Ok`.
//!
//! States that are the same, in the disk's content and in what is expected of it, are opened once; the report says how
//! many were distinct. Before the first crash the check runs on what the whole script has left, so that a plain mistake
//! is not taken for one that only crashes show ([`ProblemKind::FailsWithoutCrash`]).
//!
//! Some states crash again in the middle of recovery, and in the recovery after that. In some recoveries a call
//! fails. Some recovered databases go on with the script and crash later. [`Explorer::faults`] also makes calls of
//! the script fail. A failure is reported with the fewest steps that show it, and with a command that visits the same
//! state again.
//!
//! ```
//! use mapleaf::sim::{Explorer, Random, Workload, Context, History};
//! use mapleaf::{Db, Error, Result, Table};
//!
//! const ACCOUNTS: Table<u64, i64> = Table::new("accounts");
//!
//! /// Money moves between four accounts; the sum of the balances stays 0.
//! struct Ledger;
//!
//! impl Workload for Ledger {
//!     type Step = (u64, u64, i64);
//!     type Memory = ();
//!
//!     fn name(&self) -> &str {
//!         "ledger"
//!     }
//!
//!     fn script(&self, random: &mut Random) -> Vec<(u64, u64, i64)> {
//!         let mut any = || random.below(4) as u64;
//!         (0..5).map(|_| (any(), any(), 1 + any() as i64)).collect()
//!     }
//!
//!     fn run(&self, context: &Context, _: &mut (), &(from, to, amount): &(u64, u64, i64)) -> Result<()> {
//!         context.db().update(|tx| {
//!             let mut accounts = tx.table(&ACCOUNTS)?;
//!             let balance = accounts.get(from)?.unwrap_or(0);
//!             accounts.insert(from, balance - amount)?;
//!             let balance = accounts.get(to)?.unwrap_or(0);
//!             accounts.insert(to, balance + amount)?;
//!             Ok(())
//!         })
//!     }
//!
//!     fn check(&self, db: &Db, history: &History<'_, (u64, u64, i64)>) -> Result<(), String> {
//!         let sum = || -> Result<i64> {
//!             let rx = db.read()?;
//!             match rx.table(&ACCOUNTS) {
//!                 Err(Error::TableNotFound { .. }) => Ok(0),
//!                 accounts => accounts?.iter().map(|entry| Ok(entry?.1)).sum(),
//!             }
//!         };
//!         match sum() {
//!             Ok(0) => Ok(()),
//!             Ok(sum) => Err(format!("the balances sum to {sum} after {} transfers", history.kept().count())),
//!             Err(error) => Err(error.to_string()),
//!         }
//!     }
//! }
//!
//! // In an ordinary #[test]:
//! let report = Explorer::new().seeds(0..2).states(300).explore(&Ledger).unwrap();
//! assert!(report.states > 300);
//! ```
//!
//! `examples/crash_my_app.rs` is a program with a mistake that the explorer finds.
//!
//! Two things are not simulated. A database has one process, and no lock file that would survive a kill: a kill may
//! lose lazy commits, as a loss of power does. A workload runs in one thread; [`Context::during_next_barrier`] does
//! what other threads would do meanwhile.

mod crash_states;
pub(crate) mod disk;
mod explore;
mod failure;
mod history;
mod random;
mod recovery;
mod replay;
mod report;
mod session;
mod state_checker;
pub(crate) mod storage;
mod workload;

#[cfg(test)]
mod tests;

pub use explore::Explorer;
pub use failure::{Failure, ProblemKind};
pub use random::Random;
pub use report::Report;
pub use storage::Fault;
pub use workload::{Context, History, StepOutcome, Workload};
