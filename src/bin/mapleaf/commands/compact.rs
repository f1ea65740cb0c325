//! `compact`: a shorter file, while others use it.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::{CompactionProgress, Db};
use serde_json::json;

use crate::human::{bytes, count};
use crate::interrupt::{is_asked_to_stop, stop_by_itself};
use crate::open::open_existing;
use crate::outcome::{Answer, Failure, interrupted};
use crate::progress::Progress;

/// Makes a database file shorter while others use it: moves pages from its end to free pages further down, in small
/// transactions, and cuts off the end. Ctrl-C ends it after the current transaction; what was moved stays.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf compact app.mapleaf
  mapleaf compact --step-pages 64 app.mapleaf     others wait for shorter times

It does not change how full the pages are. `mapleaf copy --compact` writes every table again, to another file.

The next `mapleaf backup --since` has all pages that it moved: compact just before a full copy is made.")]
pub(crate) struct Compact {
    /// The database.
    file: PathBuf,
    /// Pages that one transaction may take.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(32..))]
    step_pages: u32,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Compact {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_existing(&self.file)?;
        stop_by_itself();
        let mut last = CompactionProgress::default();
        let mut shown: Option<Progress> = None;
        for progress in db.compaction().step_pages(self.step_pages) {
            last = progress?;
            let total = last.moved_pages + u64::from(last.remaining_pages);
            shown.get_or_insert_with(|| Progress::new(total, "pages")).set(last.moved_pages);
            if is_asked_to_stop() {
                break;
            }
        }
        _ = shown.map(Progress::finish);
        if !last.is_done {
            db.shrink()?;
        }
        self.report(&db, &last)?;
        match last.is_done {
            true => Ok(Answer::Done),
            false => Err(interrupted("what was moved stays where it is")),
        }
    }

    fn report(&self, db: &Db, progress: &CompactionProgress) -> Result<(), Failure> {
        let size = db.page_size() as u64;
        let before = u64::from(progress.pages_before) * size;
        let file_bytes = db.stats()?.file_bytes;
        let mut out = stdout().lock();
        if self.json {
            let line = json!({
                "done": progress.is_done, "bytes_before": before, "file_bytes": file_bytes,
                "moved_pages": progress.moved_pages, "commits": progress.commits,
                "remaining_pages": progress.remaining_pages, "pinned_pages": progress.pinned_pages,
                "unmovable_pages": progress.unmovable_pages,
            });
            writeln!(out, "{line}")?;
            return Ok(());
        }
        writeln!(
            out,
            "{} pages moved in {} transactions: {} of {} left",
            count(progress.moved_pages),
            count(progress.commits),
            bytes(file_bytes),
            bytes(before)
        )?;
        if progress.pinned_pages > 0 {
            let pinned = count(progress.pinned_pages.into());
            writeln!(out, "{pinned} pages are kept by snapshots: `mapleaf readers` lists them")?;
        }
        if progress.unmovable_pages > 0 {
            let pages = count(progress.unmovable_pages.into());
            writeln!(
                out,
                "{pages} pages of large values find no room further down: `mapleaf copy --compact` moves them"
            )?;
        }
        Ok(())
    }
}
