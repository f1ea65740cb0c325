//! `check`: all that is wrong with a database.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::open::open_read_only;
use crate::outcome::{Answer, Failure};
use crate::problems::problems_json;
use crate::progress::Progress;

/// Checks a database: every page, every checksum, order and count, and that each page has exactly one use. Prints all
/// problems, with page numbers; the exit code is 1 if there are any. No other process waits for it.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf check app.mapleaf
  mapleaf check --json app.mapleaf | jq .problems")]
pub(crate) struct Check {
    /// The database.
    file: PathBuf,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_read_only(&self.file)?;
        let progress = Progress::new(0, "pages");
        let report = db
            .check_options()
            .on_pages(|_, counts| {
                let reached = counts.leaves + counts.branches + counts.overflow;
                if reached.is_multiple_of(64) {
                    progress.set(reached.into());
                }
            })
            .check();
        progress.finish();
        let report = report?;
        let mut out = stdout().lock();
        if self.json {
            let counts = report.counts();
            let line = json!({
                "clean": report.is_clean(), "problems": problems_json(report.problems()),
                "more_problems": report.more_problems(), "tables": counts.tables, "entries": counts.entries,
                "pages": counts.total, "meta": counts.meta, "leaves": counts.leaves, "branches": counts.branches,
                "overflow": counts.overflow, "free_log": counts.free_log, "redo_log": counts.redo_log,
                "retired": counts.retired, "free": counts.free, "used_bytes": counts.used_bytes,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{report}")?;
        }
        Ok(if report.is_clean() { Answer::Done } else { Answer::No })
    }
}
