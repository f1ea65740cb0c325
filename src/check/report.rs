//! The report of a check.
//!
//! Invariant: the descriptions of problems take limited memory, however many problems a file has.

use std::fmt;

use crate::error::Corruption;
use crate::format::page::PageKind;
use crate::tree::walk::VisitedPages;

/// This many problems are kept; the others are counted.
const MAX_PROBLEMS: usize = 1000;

/// The first problems, in the order in which they were found, and the number of the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Corruption>,
    more: u64,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Corruption) {
        if self.list.len() < MAX_PROBLEMS { self.list.push(problem) } else { self.more += 1 }
    }

    /// Adds the problems of `other`, each with `place` in its text.
    pub(crate) fn append(&mut self, other: Problems, place: &str) {
        for mut problem in other.list {
            problem.expected = format!("{} (in {place})", problem.expected);
            self.push(problem);
        }
        self.more += other.more;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn list(&self) -> &[Corruption] {
        &self.list
    }

    /// Returns how many problems are not in the list.
    pub(crate) fn more(&self) -> u64 {
        self.more
    }

    /// Returns how many problems there are.
    pub(crate) fn count(&self) -> u64 {
        self.list.len() as u64 + self.more
    }
}

/// Prints a line for each problem.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            writeln!(f, "{problem}")?;
        }
        if self.more > 0 {
            writeln!(f, "and {} more", self.more)?;
        }
        Ok(())
    }
}

/// What [`Db::check`](crate::Db::check) found.
///
/// ```
/// let report = mapleaf::Db::in_memory()?.check()?;
/// assert!(report.is_clean());
/// println!("{report}");
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "damage is in the report, not in the error"]
pub struct CheckReport {
    pub(super) problems: Problems,
    pub(super) counts: PageCounts,
}

/// How the pages of a file are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct PageCounts {
    /// All pages of the file, as the newest transaction left it.
    pub total: u32,
    /// Meta pages.
    pub meta: u32,
    /// Leaves, which contain entries.
    pub leaves: u32,
    /// Branches, whose keys lead to leaves.
    pub branches: u32,
    /// Overflow pages, which contain large values.
    pub overflow: u32,
    /// Pages of the free log.
    pub free_log: u32,
    /// Pages of the redo log.
    pub redo_log: u32,
    /// Pages that the newest transaction does not use, but the checkpointed snapshot or one that is being read does.
    pub retired: u32,
    /// Pages that no snapshot needs; the next commit may use them.
    pub free: u32,
    /// Tables.
    pub tables: u64,
    /// Entries in all tables.
    pub entries: u64,
    /// Bytes in use in leaves, branches and overflow pages.
    pub used_bytes: u64,
}

impl PageCounts {
    pub(super) fn add(&mut self, pages: &VisitedPages) {
        let count = match pages.header.kind {
            PageKind::Leaf => &mut self.leaves,
            PageKind::Branch => &mut self.branches,
            PageKind::Overflow => &mut self.overflow,
            PageKind::FreeLog => &mut self.free_log,
        };
        *count += pages.run.count;
        self.used_bytes += pages.used_bytes;
    }
}

impl CheckReport {
    /// Returns whether the check found no problem.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Returns the problems in the order in which they were found, the first 1000 at most.
    pub fn problems(&self) -> &[Corruption] {
        self.problems.list()
    }

    /// Returns how many problems there are besides those of [`CheckReport::problems`].
    pub fn more_problems(&self) -> u64 {
        self.problems.more()
    }

    /// Returns how the pages are used.
    pub fn counts(&self) -> &PageCounts {
        &self.counts
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PageCounts {
            total,
            meta,
            leaves,
            branches,
            overflow,
            free_log,
            redo_log,
            retired,
            free,
            tables,
            entries,
            ..
        } = self.counts;
        writeln!(f, "{tables} tables, {entries} entries")?;
        writeln!(
            f,
            "{total} pages: {meta} meta, {leaves} leaves, {branches} branches, {overflow} overflow, \
             {free_log} free log, {redo_log} redo log, {retired} retired, {free} free"
        )?;
        write!(f, "{}{} problems", self.problems, self.problems.count())
    }
}
