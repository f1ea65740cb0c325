//! `torture`: workers that commit and acknowledge; and a verification, after they were killed or the power was cut,
//! that every acknowledged commit is there. The example `torture` is a program of the same code, with nothing else.
//!
//! ```text
//! mapleaf torture run --database t.mapleaf         prints `ACK 1`, `ACK 2`... until killed
//! mapleaf torture verify --database t.mapleaf --acknowledged 2
//! mapleaf torture kill --database t.mapleaf --rounds 100      does both, by itself
//! ```
//!
//! Run on a machine, real or virtual, whose power is cut, it shows what the disk has then. docs/TESTING.md, *Pulling
//! the plug*, explains how.
//!
//! Exit codes: 0 all is well; 1 something acknowledged is lost, or something is wrong; 2 it could not be tried.

mod command;
mod content;
mod kill;
mod log;
mod run;
mod verify;
mod writing;

pub(crate) use command::Torture;
