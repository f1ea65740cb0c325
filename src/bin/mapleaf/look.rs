//! Commands that say how a database stands: `stat`, `tables`, `readers`, `watch`.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use mapleaf::{Db, Error, PageCounts, PageRole};
use serde_json::{Value, json};

use crate::Answer;
use crate::failure::{Failure, open_to_change, open_to_look};
use crate::progress::{bytes, count};
use crate::text::escape;

/// Says how large a database is, what of it is free, and who reads it.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf stat app.mapleaf
  mapleaf stat --pages app.mapleaf     what each table takes; reads the whole file
  mapleaf stat --json app.mapleaf | jq .free_bytes")]
pub(crate) struct Stat {
    /// The database.
    file: PathBuf,
    /// Also count each table's pages, and say how full they are, and how many pages are kept for readers. Reads and
    /// verifies the whole file.
    #[arg(long)]
    pages: bool,
    /// Answer with one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Stat {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_to_look(&self.file)?;
        let stats = db.stats()?;
        let rx = db.read()?;
        let tables = rx.tables()?;
        let page = stats.page_size as u64;
        let (free, retired) = (u64::from(stats.free_pages) * page, u64::from(stats.retired_pages) * page);
        let parts = if self.pages { Some(Parts::of(&db)?) } else { None };
        let mut out = stdout().lock();
        if self.json {
            let mut answer = json!({
                "file_bytes": stats.file_bytes, "page_size": page, "pages": stats.pages,
                "free_pages": stats.free_pages, "free_bytes": free,
                "retired_pages": stats.retired_pages, "retired_bytes": retired,
                "tables": stats.tables, "entries": tables_entries(&rx)?,
                "head": stats.head, "visible": stats.visible, "durable": stats.durable,
                "readers": stats.readers, "oldest_reader": stats.oldest_reader,
            });
            if let Some(parts) = &parts {
                let tables = parts.tables.iter().map(|(name, pages)| pages_json(name, pages, page));
                answer["table_pages"] = tables.collect();
                answer["pinned_pages"] = parts.pinned.into();
            }
            writeln!(out, "{answer}")?;
            return Ok(Answer::Done);
        }
        writeln!(
            out,
            "file       {} ({} pages of {page} bytes)",
            bytes(stats.file_bytes),
            count(stats.pages.into())
        )?;
        writeln!(out, "free       {} ({} pages)", bytes(free), count(stats.free_pages.into()))?;
        writeln!(out, "retired    {} ({} pages)", bytes(retired), count(stats.retired_pages.into()))?;
        writeln!(out, "tables     {}, with {} entries", stats.tables, count(tables_entries(&rx)?))?;
        writeln!(out, "newest     transaction {}, durable {}", stats.head, stats.durable)?;
        match stats.oldest_reader {
            Some(oldest) => {
                writeln!(out, "readers    {}, the oldest at transaction {oldest}", stats.readers)?
            }
            None => writeln!(out, "readers    none")?,
        }
        if let Some(parts) = &parts {
            let pinned = u64::from(parts.pinned);
            writeln!(out, "pinned     {} ({} pages)", bytes(pinned * page), count(pinned))?;
            writeln!(
                out,
                "\n{:>12} {:>5} {:>9} {:>9} {:>9} {:>5}  table",
                "bytes", "depth", "leaves", "branches", "overflow", "full"
            )?;
            for table in &tables {
                let pages = parts.tables.get(&table.name).copied().unwrap_or_default();
                writeln!(
                    out,
                    "{:>12} {:>5} {:>9} {:>9} {:>9} {:>4}%  {}",
                    u64::from(pages.total) * page,
                    table.depth,
                    pages.leaves,
                    pages.branches,
                    pages.overflow,
                    fill(&pages, page),
                    escape(table.name.as_bytes())
                )?;
            }
        }
        Ok(Answer::Done)
    }
}

/// What the pages of the file are used for.
struct Parts {
    tables: BTreeMap<String, PageCounts>,
    /// Pages that the newest transaction does not use, and that are kept for readers.
    pinned: u32,
}

impl Parts {
    fn of(db: &Db) -> Result<Parts, Failure> {
        let mut parts = Parts { tables: BTreeMap::new(), pinned: 0 };
        for table in db.read()?.tables()? {
            let pages = parts.tables.entry(table.name).or_default();
            pages.entries = table.entries;
        }
        let report = db.check_pages(|page| {
            if matches!(page.role, PageRole::Retired { is_needed: true, .. }) {
                parts.pinned += page.count;
            }
            let Some(pages) = page.table.and_then(|name| parts.tables.get_mut(name)) else { return };
            match page.role {
                PageRole::Leaf => pages.leaves += page.count,
                PageRole::Branch { .. } => pages.branches += page.count,
                _ => pages.overflow += page.count,
            }
            pages.total += page.count;
            pages.used_bytes += page.used_bytes;
        })?;
        match report.problems().first() {
            None => Ok(parts),
            Some(problem) => Err(Error::Corrupt(Box::new(problem.clone())).into()),
        }
    }
}

fn tables_entries(rx: &mapleaf::ReadTxn) -> Result<u64, Failure> {
    Ok(rx.tables()?.iter().map(|table| table.entries).sum())
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

/// Lists the tables: entries, depth of the tree, types of keys and values, name.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf tables app.mapleaf
  mapleaf tables --json app.mapleaf | jq -r .table")]
pub(crate) struct Tables {
    /// The database.
    file: PathBuf,
    /// Answer with a line of JSON for each table.
    #[arg(long)]
    json: bool,
}

impl Tables {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let mut out = stdout().lock();
        for table in open_to_look(&self.file)?.read()?.tables()? {
            if self.json {
                let line = json!({
                    "table": table.name, "key_type": table.key_type, "value_type": table.value_type,
                    "entries": table.entries, "depth": table.depth,
                });
                writeln!(out, "{line}")?;
            } else {
                let types = escape(format!("{} to {}", table.key_type, table.value_type).as_bytes());
                let name = escape(table.name.as_bytes());
                writeln!(out, "{:>12} {:>2}  {types:<24} {name}", table.entries, table.depth)?;
            }
        }
        Ok(Answer::Done)
    }
}

/// Lists who reads which snapshot, the oldest first.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf readers app.mapleaf
  mapleaf readers --pins app.mapleaf     and what each of them keeps from being used again")]
pub(crate) struct Readers {
    /// The database.
    file: PathBuf,
    /// Also count the pages that each reader keeps. Opens the database for writing, and, if nobody writes just now, has
    /// the writer's turn for a moment.
    #[arg(long)]
    pins: bool,
    /// Answer with a line of JSON for each reader.
    #[arg(long)]
    json: bool,
}

impl Readers {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = if self.pins { open_to_change(&self.file)? } else { open_to_look(&self.file)? };
        let head = db.stats()?.head;
        let mut out = stdout().lock();
        for reader in db.readers()? {
            let behind = head.saturating_sub(reader.snapshot);
            let seconds = reader.age.as_secs_f64();
            if self.json {
                let line = json!({
                    "pid": reader.pid, "snapshot": reader.snapshot, "behind": behind, "seconds": seconds,
                    "pinned_pages": reader.pinned_pages,
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

/// Prints a line for each commit as it happens, by whatever process; several at once are one line.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf watch app.mapleaf
  mapleaf watch --count 1 --timeout 60 app.mapleaf || echo 'nothing for a minute'")]
pub(crate) struct Watch {
    /// The database.
    file: PathBuf,
    /// End after so many lines.
    #[arg(long)]
    count: Option<u64>,
    /// End when nothing has been committed for so many seconds; the exit code is 1 then.
    #[arg(long, value_parser = seconds)]
    timeout: Option<Duration>,
    /// Print lines of JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Watch {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_to_look(&self.file)?;
        let mut seen = db.read()?.id();
        let begun = Instant::now();
        let mut out = stdout().lock();
        let mut lines = 0;
        while self.count.is_none_or(|count| lines < count) {
            let Some(newest) = db.wait_for_commit(seen, self.timeout)? else { return Ok(Answer::No) };
            let (rx, after) = (db.read()?, begun.elapsed().as_secs_f64());
            let (entries, new) = (tables_entries(&rx)?, newest - seen);
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
