//! `watch`: commits as they happen.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::human::parse_seconds;
use crate::open::{entries_of_all_tables, open_read_only};
use crate::outcome::{Answer, Failure};

/// Prints a line for each commit, by any process, as it happens; several at once are one line.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf watch app.mapleaf
  mapleaf watch --count 1 --timeout 60 app.mapleaf || echo 'nothing for a minute'")]
pub(crate) struct Watch {
    /// The database.
    file: PathBuf,
    /// End after this many lines.
    #[arg(long)]
    count: Option<u64>,
    /// End when nothing has been committed for this many seconds, with exit code 1.
    #[arg(long, value_parser = parse_seconds)]
    timeout: Option<Duration>,
    /// Print lines of JSON.
    #[arg(long)]
    json: bool,
}

impl Watch {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_read_only(&self.file)?;
        let mut seen = db.read()?.id();
        let begun = Instant::now();
        let mut out = stdout().lock();
        let mut lines = 0;
        while self.count.is_none_or(|count| lines < count) {
            let Some(newest) = db.wait_for_commit(seen, self.timeout)? else { return Ok(Answer::No) };
            let (rx, after) = (db.read()?, begun.elapsed().as_secs_f64());
            let (entries, new) = (entries_of_all_tables(&rx)?, newest.since(seen));
            if self.json {
                let line =
                    json!({ "transaction": newest, "new": new, "entries": entries, "after_seconds": after });
                writeln!(out, "{line}")?;
            } else {
                writeln!(out, "{after:>9.3} s  transaction {newest} (+{new}), {entries} entries")?;
            }
            out.flush()?;
            (seen, lines) = (newest, lines + 1);
        }
        Ok(Answer::Done)
    }
}
