//! `shrink`: free pages at the end, given back to the system.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;

use crate::human::bytes;
use crate::open::open_existing;
use crate::outcome::{Answer, Failure};

/// Gives free pages at the end of a database file back to the system, except some for the next commits.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf shrink app.mapleaf

It moves nothing; `mapleaf compact` does. The file is cut when no reader can see its end any more.")]
pub(crate) struct Shrink {
    /// The database.
    file: PathBuf,
}

impl Shrink {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_existing(&self.file)?;
        let before = db.stats()?.file_bytes;
        let has_given_up = db.shrink()?;
        let after = db.stats()?.file_bytes;
        let mut out = stdout().lock();
        if has_given_up && after == before {
            writeln!(out, "{} now, less when the readers of its end are gone", bytes(after))?;
        } else {
            writeln!(out, "{} of {} left", bytes(after), bytes(before))?;
        }
        Ok(Answer::Done)
    }
}
