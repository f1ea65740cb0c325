//! The whole database, verified: what [`Db::check`](crate::Db::check) does.
//!
//! Invariants checked: every page of the file is exactly one of record, reachable, retired or free; every checksum,
//! page number, kind and level; no page is newer than the page that refers to it; keys are in order in
//! and across pages; the counts of tables are right; the free log says what the writer believes.

use std::fmt;

use crate::base::{PageNumber, PageRun};
use crate::error::{Corruption, Error, Result, corrupt};
use crate::format::page::{PageHeader, PageKind};
use crate::format::table_root::TableEntry;
use crate::share::heads::{Head, Snapshot};
use crate::space::Space;
use crate::space::partition::PartitionProblem;
use crate::tree::pages::{PageSource, TreeRoot};
use crate::tree::walk::{VisitedPages, Visitor, walk};
use crate::tree::{RangeCursor, TreeTop};
use crate::txn::core::{Core, WriterState};
use crate::txn::log::WriterLog;
use crate::txn::page_file::PageFile;
use crate::txn::turns::Patience;
use crate::txn::write::load_log;

/// What [`Db::check`](crate::Db::check) found.
///
/// ```
/// let report = mapleaf::Db::in_memory()?.check()?;
/// assert!(report.is_clean());
/// println!("{report}");
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    problems: Vec<Corruption>,
    counts: PageCounts,
}

/// How the pages of a file are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct PageCounts {
    /// All pages of the file, as the newest transaction left it.
    pub total: u32,
    /// Leaves: entries.
    pub leaves: u32,
    /// Branches: keys that lead to leaves.
    pub branches: u32,
    /// Overflow pages: large values.
    pub overflow: u32,
    /// Pages of the free log.
    pub free_log: u32,
    /// Pages that some snapshot may still need.
    pub retired: u32,
    /// Free pages.
    pub free: u32,
    /// Tables.
    pub tables: u64,
    /// Entries in all tables.
    pub entries: u64,
    /// Bytes in use in leaves, branches and overflow pages.
    pub used_bytes: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> &[Corruption] {
        &self.problems
    }

    /// How the pages are used.
    pub fn counts(&self) -> &PageCounts {
        &self.counts
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PageCounts {
            total, leaves, branches, overflow, free_log, retired, free, tables, entries, ..
        } = self.counts;
        writeln!(f, "{tables} tables, {entries} entries")?;
        writeln!(
            f,
            "{total} pages: {leaves} leaves, {branches} branches, {overflow} overflow, {free_log} free log, \
             {retired} retired, {free} free"
        )?;
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        write!(f, "{} problems", self.problems.len())
    }
}

/// Checks the head, while no transaction writes.
pub(crate) fn check(core: &Core) -> Result<CheckReport> {
    if core.settings.read_only {
        return check_head(core, None);
    }
    let seat = core.take_seat(Patience::Forever)?;
    let mut state = seat.expect("it waits for as long as it takes");
    let report = check_seated(core, &mut state);
    core.give_seat_back(state);
    report
}

/// Checks, with the writer's turn. What the writer knows of free space is checked too, if he knows any.
fn check_seated(core: &Core, state: &mut WriterState) -> Result<CheckReport> {
    if state.log.is_none() {
        return check_head(core, None);
    }
    let head = core.shared.head()?;
    core.pages.storage.refresh_length().map_err(core.pages.io_error("examine"))?;
    let space = load_log(core, state, &head).map(|log| &log.space);
    check_head(core, space.ok())
}

/// Checks what the head reaches, and that free space, on disk and as the writer knows it, is all the rest.
fn check_head(core: &Core, writer_space: Option<&Space>) -> Result<CheckReport> {
    let head = core.shared.head()?;
    let snapshot = head.snapshot;
    let source = VerifyingSource { pages: &core.pages, length_pages: snapshot.length_pages };
    let mut check = Check { source, report: CheckReport::default(), reachable: Vec::new() };
    check.report.counts.total = snapshot.length_pages;
    check.tables(&snapshot)?;
    check.free_space(&head, writer_space)?;
    Ok(check.report)
}

struct Check<'a> {
    source: VerifyingSource<'a>,
    report: CheckReport,
    reachable: Vec<PageRun>,
}

impl Check<'_> {
    /// Walks the catalog and every table in it.
    fn tables(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.walk("the catalog", &snapshot.catalog)?;
        let top = TreeTop::from(&snapshot.catalog);
        let mut cursor = RangeCursor::new(top, std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
        loop {
            let source = self.source;
            let entry = match cursor.next(&source) {
                Ok(None) => return Ok(()),
                Ok(Some((name, entry))) => TableEntry::decode(entry)
                    .map(|entry| (String::from_utf8_lossy(&name).into_owned(), entry)),
                Err(error) => Err(error),
            };
            match entry {
                Ok((name, entry)) => {
                    self.report.counts.tables += 1;
                    self.report.counts.entries += entry.root.entries;
                    self.walk(&format!("table {name:?}"), &entry.root)?;
                }
                Err(error) => self.note("the catalog", error)?,
            }
        }
    }

    fn walk(&mut self, tree: &str, root: &TreeRoot) -> Result<()> {
        let source = self.source;
        let known = self.report.problems.len();
        walk(&source, root, self)?;
        for problem in &mut self.report.problems[known..] {
            problem.expected = format!("{} (in {tree})", problem.expected);
        }
        Ok(())
    }

    /// Notes damage; other errors end the check.
    fn note(&mut self, place: &str, error: Error) -> Result<()> {
        match error {
            Error::Corrupt(mut problem) => {
                problem.expected = format!("{} (in {place})", problem.expected);
                self.report.problems.push(*problem);
                Ok(())
            }
            other => Err(other),
        }
    }

    fn free_space(&mut self, head: &Head, writer_space: Option<&Space>) -> Result<()> {
        let log = match WriterLog::load(self.source.pages, head) {
            Ok(log) => log,
            Err(error) => return self.note("the free log", error),
        };
        for &(first, _) in log.log.pages() {
            let run = PageRun { first, count: 1 };
            if let Err(error) = self.source.page(first) {
                self.note("the free log", error)?;
            }
            self.reachable.push(run);
            self.report.counts.free_log += 1;
        }
        self.report.counts.retired = log.space.retired().page_count();
        self.report.counts.free = log.space.free().page_count();
        self.partition("the free log", &log.space);
        if let Some(space) = writer_space {
            self.partition("free space in memory", space);
        }
        Ok(())
    }

    fn partition(&mut self, place: &str, space: &Space) {
        let problems = &mut self.report.problems;
        space.verify_partition(&self.reachable, |problem| {
            let (run, expected, found) = match problem {
                PartitionProblem::Missing { run } => {
                    (run, "one use".to_owned(), "no use: lost pages".to_owned())
                }
                PartitionProblem::Double { run, uses } => (run, "one use".to_owned(), format!("{uses:?}")),
                PartitionProblem::Outside { run, page_use } => {
                    (run, format!("pages in 2..{}", space.length_pages()), format!("{page_use:?}"))
                }
            };
            problems.push(Corruption {
                page: Some(run.first.0),
                what: "use of pages",
                expected: format!("{expected} of {run} (in {place})"),
                found,
            });
        });
    }
}

impl Visitor for Check<'_> {
    fn visit(&mut self, pages: &VisitedPages) {
        let counts = &mut self.report.counts;
        let count = match pages.header.kind {
            PageKind::Leaf => &mut counts.leaves,
            PageKind::Branch => &mut counts.branches,
            PageKind::Overflow => &mut counts.overflow,
            PageKind::FreeLog => &mut counts.free_log,
        };
        *count += pages.run.count;
        counts.used_bytes += pages.used_bytes;
        self.reachable.push(pages.run);
    }

    fn problem(&mut self, problem: Corruption) {
        self.report.problems.push(problem);
    }
}

/// Pages whose checksums are compared each time, whatever the options say.
#[derive(Clone, Copy)]
struct VerifyingSource<'a> {
    pages: &'a PageFile,
    length_pages: u32,
}

impl PageSource for VerifyingSource<'_> {
    fn page_size(&self) -> usize {
        self.pages.page_size
    }

    fn page(&self, number: PageNumber) -> Result<&[u8]> {
        let (PageHeader { kind, .. }, _) = self.pages.verify_unit(number, self.length_pages)?;
        if kind == PageKind::Overflow {
            return Err(corrupt(Some(number.0), "page kind", "leaf, branch or free log", "overflow"));
        }
        self.pages.page(number, self.length_pages)
    }

    fn overflow(&self, first: PageNumber) -> Result<&[u8]> {
        self.pages.verify_unit(first, self.length_pages)?;
        self.pages.overflow(first, self.length_pages)
    }

    fn prefetch(&self, _: PageNumber) {}
}
