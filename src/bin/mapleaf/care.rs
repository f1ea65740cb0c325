//! Commands that keep databases safe: `check`, `salvage`, `copy`.

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use mapleaf::{Corruption, PageCounts, SalvageOptions};
use serde_json::{Value, json};

use crate::Answer;
use crate::failure::{Failure, open_to_look, wrong};
use crate::interrupt::{making, on_interrupt};
use crate::progress::{Progress, bytes};

/// Checks a database: every page, every checksum, order and count, and that each page has exactly one use. Prints all
/// that is wrong, with page numbers; the exit code is 1 then. Makes nobody wait.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf check app.mapleaf
  mapleaf check --json app.mapleaf | jq .problems")]
pub(crate) struct Check {
    /// The database.
    file: PathBuf,
    /// Answer with one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_to_look(&self.file)?;
        let progress = Progress::new(0, "pages");
        let report = db.check_with(|counts: &PageCounts| {
            let reached = counts.leaves + counts.branches + counts.overflow;
            if reached.is_multiple_of(64) {
                progress.set(reached.into());
            }
        });
        progress.finish();
        let report = report?;
        let mut out = stdout().lock();
        if self.json {
            let counts = report.counts();
            let line = json!({
                "clean": report.is_clean(), "problems": problems(report.problems()),
                "more_problems": report.more_problems(), "tables": counts.tables, "entries": counts.entries,
                "pages": counts.total, "leaves": counts.leaves, "branches": counts.branches,
                "overflow": counts.overflow, "free_log": counts.free_log, "retired": counts.retired,
                "free": counts.free, "used_bytes": counts.used_bytes,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{report}")?;
        }
        Ok(if report.is_clean() { Answer::Done } else { Answer::No })
    }
}

pub(crate) fn problems(problems: &[Corruption]) -> Value {
    let problem = |problem: &Corruption| {
        json!({
            "page": problem.page, "what": problem.what, "expected": problem.expected, "found": problem.found,
        })
    };
    problems.iter().map(problem).collect()
}

/// Rescues what can be read of a damaged database into a new one, and says what was lost; the exit code is 1 if
/// anything was. The damaged file is only read.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf salvage damaged.mapleaf rescued.mapleaf
  mapleaf salvage --page-size 16384 damaged.mapleaf rescued.mapleaf     if even the records are lost")]
pub(crate) struct Salvage {
    /// The damaged database.
    file: PathBuf,
    /// The new database.
    new_file: PathBuf,
    /// Bytes in a page of the damaged file, if it does not say any more.
    #[arg(long)]
    page_size: Option<usize>,
    /// Answer with one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Salvage {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        on_interrupt(": there is no new database");
        let mut options = SalvageOptions::default();
        if let Some(size) = self.page_size {
            options = options.page_size(size);
        }
        let report = making(&self.new_file, |place| mapleaf::salvage_with(&self.file, place, &options))?;
        let mut out = stdout().lock();
        if self.json {
            let tables: Vec<Value> = report.tables.iter().map(|table| {
                json!({ "table": table.name, "entries": table.entries, "expected": table.expected })
            }).collect();
            let line = json!({
                "complete": report.is_complete(), "tables": tables,
                "lost_values": report.lost_entries().len() as u64 + report.more_lost_entries(),
                "damaged_pages": report.damaged_pages, "problems": problems(report.problems()),
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{report}")?;
        }
        Ok(if report.is_complete() { Answer::Done } else { Answer::No })
    }
}

/// Copies a database while others write to it: the state of one transaction, verified and complete.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf copy app.mapleaf backup-$(date +%F).mapleaf
  mapleaf copy --compact app.mapleaf small.mapleaf     every table written anew, in the order of its keys
  mapleaf copy app.mapleaf - | ssh host 'cat > app.mapleaf && sync app.mapleaf'

The copy is another database, with an identity of its own. A file that is there is never replaced.")]
pub(crate) struct Copy {
    /// The database.
    file: PathBuf,
    /// The new file; - for standard output.
    new_file: PathBuf,
    /// Write every table anew: full pages, none free. Takes longer. Not to standard output.
    #[arg(long)]
    compact: bool,
}

impl Copy {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let is_stream = self.new_file == Path::new("-");
        if is_stream && self.compact {
            return Err(wrong("a compacting copy goes to a file: name one, and send that"));
        }
        if is_stream && stdout().is_terminal() {
            return Err(wrong("a copy is nothing for a terminal: send standard output to a file or a pipe"));
        }
        on_interrupt(if is_stream { ": the copy is not complete" } else { ": there is no copy" });
        let db = open_to_look(&self.file)?;
        let rx = db.read()?;
        let length = if is_stream {
            rx.copy_to_writer(&mut stdout().lock()).map_err(|error| {
                let failure = Failure::from(error);
                Failure { message: format!("the copy is not complete: {}", failure.message), ..failure }
            })?
        } else if self.compact {
            making(&self.new_file, |place| rx.compact_to(place))?
        } else {
            making(&self.new_file, |place| rx.copy_to(place))?
        };
        eprintln!("transaction {} copied: {}", rx.id(), bytes(length));
        Ok(Answer::Done)
    }
}
