//! `stat`: how large a database is, and what its pages are used for.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::admin::PageRole;
use mapleaf::{Db, Error, PageCounts, SnapshotInfo, Stats, TableInfo};
use serde_json::{Value, json};

use super::snapshots::{snapshot_json, snapshot_text};
use crate::escape::escape;
use crate::human::{bytes, count, pages_text};
use crate::open::open_read_only;
use crate::outcome::{Answer, Failure};
use crate::unused::UnusedCounts;

/// Shows how large a database is, what its pages are used for, and which processes read it.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf stat app.mapleaf
  mapleaf stat --pages app.mapleaf     what each table takes; reads the whole file
  mapleaf stat --json app.mapleaf | jq .free_bytes

In use are the pages of the newest transaction. Retired are those that only an older snapshot needs, of a reader
(pinned), with a name, or until the next checkpoint. Free are all others: the next commit may use them. Reserved is
what the file has after its last page, for commits to come. `check` and `map` count the same way. The log has what was
committed since the last checkpoint.")]
pub(crate) struct Stat {
    /// The database.
    file: PathBuf,
    /// Also count each table's pages, and show how full they are. Reads and verifies the whole file.
    #[arg(long)]
    pages: bool,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Stat {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_read_only(&self.file)?;
        let stats = db.stats()?;
        let rx = db.read()?;
        let unused = UnusedCounts::of(&db, &stats)?;
        let found = Found {
            in_use_pages: stats.pages.saturating_sub(unused.free + unused.retired),
            unused,
            reserved_bytes: stats.file_bytes.saturating_sub(u64::from(stats.pages) * stats.page_size as u64),
            tables: rx.tables()?,
            snapshots: db.snapshots()?,
            table_pages: if self.pages { Some(table_pages(&db)?) } else { None },
            stats,
        };
        let mut out = stdout().lock();
        if self.json {
            writeln!(out, "{}", found.json())?
        } else {
            found.write_text(&mut out)?
        }
        Ok(Answer::Done)
    }
}

/// All that is shown.
struct Found {
    stats: Stats,
    unused: UnusedCounts,
    in_use_pages: u32,
    reserved_bytes: u64,
    tables: Vec<TableInfo>,
    snapshots: Vec<SnapshotInfo>,
    table_pages: Option<TablePages>,
}

impl Found {
    fn page_bytes(&self, pages: u32) -> u64 {
        u64::from(pages) * self.stats.page_size as u64
    }

    fn entries(&self) -> u64 {
        self.tables.iter().map(|table| table.entries).sum()
    }

    fn json(&self) -> Value {
        let Found { stats, unused, .. } = self;
        let mut answer = json!({
            "file_bytes": stats.file_bytes, "page_size": stats.page_size, "pages": stats.pages,
            "in_use_pages": self.in_use_pages, "in_use_bytes": self.page_bytes(self.in_use_pages),
            "free_pages": unused.free, "free_bytes": self.page_bytes(unused.free),
            "retired_pages": unused.retired, "retired_bytes": self.page_bytes(unused.retired),
            "pinned_pages": unused.pinned, "named_pages": unused.named, "reserved_bytes": self.reserved_bytes,
            "tables": stats.tables, "entries": self.entries(),
            "newest": stats.newest, "visible": stats.visible, "durable": stats.durable,
            "log_bytes": stats.log_bytes, "log_used_bytes": stats.log_used_bytes,
            "log_unsynced_bytes": stats.log_unsynced_bytes, "checkpointed": stats.checkpointed,
            "checkpoints": stats.checkpoints,
            "checkpoint_age_seconds": stats.checkpoint_age.map(|age| age.as_secs_f64()),
            "readers": stats.readers, "oldest_reader": stats.oldest_reader,
            "snapshots": self.snapshots.iter().map(snapshot_json).collect::<Vec<Value>>(),
        });
        if let Some(table_pages) = &self.table_pages {
            let page = stats.page_size as u64;
            let tables = table_pages.iter().map(|(name, pages)| pages_json(name, pages, page));
            answer["table_pages"] = tables.collect();
        }
        answer
    }

    fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        let stats = &self.stats;
        let line = |pages: u32| format!("{} ({})", bytes(self.page_bytes(pages)), pages_text(pages.into()));
        let all = pages_text(stats.pages.into());
        writeln!(out, "file       {} ({all} of {} bytes)", bytes(stats.file_bytes), stats.page_size)?;
        writeln!(out, "in use     {}", line(self.in_use_pages))?;
        writeln!(out, "free       {}", line(self.unused.free))?;
        writeln!(out, "retired    {}", line(self.unused.retired))?;
        if self.unused.pinned > 0 {
            writeln!(out, "  pinned   {}, by readers", line(self.unused.pinned))?;
        }
        if self.unused.named > 0 {
            writeln!(out, "  named    {}, by named snapshots", line(self.unused.named))?;
        }
        writeln!(out, "reserved   {}", bytes(self.reserved_bytes))?;
        writeln!(out, "tables     {}, with {} entries", stats.tables, count(self.entries()))?;
        writeln!(out, "newest     transaction {}, durable {}", stats.newest, stats.durable)?;
        self.write_log(out)?;
        match stats.oldest_reader {
            Some(oldest) => {
                writeln!(out, "readers    {}, the oldest at transaction {oldest}", stats.readers)?;
            }
            None => writeln!(out, "readers    none")?,
        }
        for info in &self.snapshots {
            writeln!(out, "snapshot   {}", snapshot_text(info))?;
        }
        match &self.table_pages {
            Some(table_pages) => self.write_tables(out, table_pages),
            None => Ok(()),
        }
    }

    fn write_log(&self, out: &mut impl Write) -> Result<(), Failure> {
        let stats = &self.stats;
        write!(out, "log        ")?;
        match (stats.log_bytes, stats.log_unsynced_bytes) {
            (0, _) => writeln!(out, "none")?,
            (log, 0) => writeln!(out, "{}, {} in use", bytes(log), bytes(stats.log_used_bytes))?,
            (log, unsynced) => {
                let used = bytes(stats.log_used_bytes);
                writeln!(out, "{}, {used} in use, {} of it not durable", bytes(log), bytes(unsynced))?;
            }
        }
        write!(out, "checkpoint transaction {}", stats.checkpointed)?;
        match stats.checkpoint_age {
            Some(age) => {
                writeln!(out, ", {:.1} s ago; {} made", age.as_secs_f64(), count(stats.checkpoints))?
            }
            None => writeln!(out)?,
        }
        Ok(())
    }

    fn write_tables(&self, out: &mut impl Write, table_pages: &TablePages) -> Result<(), Failure> {
        writeln!(
            out,
            "\n{:>12} {:>5} {:>9} {:>9} {:>9} {:>5}  table",
            "bytes", "depth", "leaves", "branches", "overflow", "full"
        )?;
        for table in &self.tables {
            let pages = table_pages.get(&table.name).copied().unwrap_or_default();
            writeln!(
                out,
                "{:>12} {:>5} {:>9} {:>9} {:>9} {:>4}%  {}",
                self.page_bytes(pages.total),
                table.depth,
                pages.leaves,
                pages.branches,
                pages.overflow,
                fill(&pages, self.stats.page_size as u64),
                escape(table.name.as_bytes())
            )?;
        }
        Ok(())
    }
}

/// The pages of each table.
type TablePages = BTreeMap<String, PageCounts>;

/// Counts the pages of each table, and verifies them.
fn table_pages(db: &Db) -> Result<TablePages, Failure> {
    let mut tables = TablePages::new();
    for table in db.read()?.tables()? {
        tables.entry(table.name).or_default().entries = table.entries;
    }
    let report = db
        .check_options()
        .on_pages(|page, _| {
            let Some(pages) = page.table.and_then(|name| tables.get_mut(name)) else { return };
            match page.role {
                PageRole::Leaf => pages.leaves += page.count,
                PageRole::Branch { .. } => pages.branches += page.count,
                _ => pages.overflow += page.count,
            }
            pages.total += page.count;
            pages.used_bytes += page.used_bytes;
        })
        .check()?;
    match report.problems().first() {
        None => Ok(tables),
        Some(problem) => Err(Error::Corrupt(Box::new(problem.clone())).into()),
    }
}

fn fill(pages: &PageCounts, page_size: u64) -> u64 {
    (pages.used_bytes * 100).checked_div(u64::from(pages.total) * page_size).unwrap_or(0)
}

fn pages_json(name: &str, pages: &PageCounts, page_size: u64) -> Value {
    json!({
        "table": name, "pages": pages.total, "leaves": pages.leaves, "branches": pages.branches,
        "overflow": pages.overflow, "entries": pages.entries, "used_bytes": pages.used_bytes,
        "full_percent": fill(pages, page_size),
    })
}
