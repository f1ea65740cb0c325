//! `readers`: which process reads which snapshot.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::open::{open_existing, open_read_only};
use crate::outcome::{Answer, Failure};

/// Lists the readers: process, snapshot, and for how long, the oldest snapshot first.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf readers app.mapleaf
  mapleaf readers --pins app.mapleaf     and how many pages each of them keeps")]
pub(crate) struct Readers {
    /// The database.
    file: PathBuf,
    /// Also count the pages that each reader keeps. Opens the database for writing, and, if no process is writing,
    /// takes the writer lock for a moment.
    #[arg(long)]
    pins: bool,
    /// Print a line of JSON for each reader.
    #[arg(long)]
    json: bool,
}

impl Readers {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = if self.pins { open_existing(&self.file)? } else { open_read_only(&self.file)? };
        let newest = db.stats()?.newest;
        let mut out = stdout().lock();
        for reader in db.readers()? {
            let behind = newest.since(reader.snapshot);
            let seconds = reader.age.as_secs_f64();
            if reader.holds_off_writers && !self.json {
                let text =
                    "a process that may not write the lock file, or rescues or restores, holds off writers";
                writeln!(out, "{text}; it reads transaction {}", reader.snapshot)?;
                continue;
            }
            if self.json {
                let line = json!({
                    "pid": reader.pid, "snapshot": reader.snapshot, "behind": behind, "seconds": seconds,
                    "pinned_pages": reader.pinned_pages, "holds_off_writers": reader.holds_off_writers,
                });
                writeln!(out, "{line}")?;
                continue;
            }
            write!(
                out,
                "process {} reads transaction {}, {behind} behind, for {seconds:.1} s",
                reader.pid, reader.snapshot
            )?;
            match reader.pinned_pages {
                Some(pages) => writeln!(out, "; it alone keeps {pages} pages")?,
                None => writeln!(out)?,
            }
        }
        Ok(Answer::Done)
    }
}
