//! `stat`: how large a database is, and what its pages are used for.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::{Db, Error, PageCounts, PageRole};
use serde_json::{Value, json};

use crate::escape::escape;
use crate::human::{bytes, count};
use crate::open::{entries_of_all_tables, open_read_only};
use crate::outcome::{Answer, Failure};

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
        let db = open_read_only(&self.file)?;
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
                "tables": stats.tables, "entries": entries_of_all_tables(&rx)?,
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
        writeln!(out, "tables     {}, with {} entries", stats.tables, count(entries_of_all_tables(&rx)?))?;
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
