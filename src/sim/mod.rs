//! Crash testing: a simulated disk, and an explorer that cuts power at every moment of a workload (feature `sim`).
//!
//! A [`Workload`] is a story in steps, and a check. The [`Explorer`] draws scripts of steps from seeds and runs
//! them on a database whose file lies on a simulated disk. That disk promises what a real one does and no more:
//! what a barrier has covered is there once it has returned. Everything stored since may be there, lost or torn,
//! sector by sector (512 bytes) and within a sector, in any order; a change of length may be there or not; and after a
//! failed sync what it covered is clean in the page cache but perhaps not on the disk, as Linux has it, and may be
//! dropped from the cache and read again from the disk.
//!
//! Behind every call of the script's life the explorer visits the states that the disk may then be in: all of
//! them if they are few, otherwise samples. In each, the database is opened again and must be
//!
//! - whole: [`Db::check`](crate::Db::check) finds nothing;
//! - not too old: every commit that was acknowledged as durable is there;
//! - exactly what one of the commits had left, so that what is there is a prefix of what was committed;
//! - right in the eyes of the workload: [`Workload::check`].
//!
//! Some crash again in the middle of recovery, and in the recovery from that; in some recoveries a call fails; some
//! live on and crash later. [`Fault`]s make calls fail in lives, too. A failure names seed, crash and steps, after
//! leaving out every step that is not needed for it, with a command that leads to the very same state.
//!
//! ```
//! use mapleaf::sim::{Explorer, Random, Workload, Context, History};
//! use mapleaf::{Db, Error, Result, Table};
//!
//! const ACCOUNTS: Table<u64, i64> = Table::new("accounts");
//!
//! /// Money moves between four accounts, and never comes from nowhere.
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
//!                 accounts => accounts?.iter()?.map(|entry| Ok(entry?.1)).sum(),
//!             }
//!         };
//!         match sum() {
//!             Ok(0) => Ok(()),
//!             Ok(sum) => Err(format!("{sum} came from nowhere, after {} transfers", history.kept().count())),
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
//! `examples/crash_my_app.rs` is a program with a mistake that the explorer finds. What is not simulated: several
//! processes over one file (killed processes leave a lock file; here there is none, so lazy commits may be gone after
//! a kill as after a loss of power), and threads: a workload runs in one, and has others' work done by
//! [`Context::during_next_barrier`].

mod crash_states;
pub(crate) mod disk;
mod explore;
mod failure;
mod history;
mod random;
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
