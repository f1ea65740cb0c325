//! The report of a salvage.

use std::fmt;

use crate::base::TransactionId;
use crate::check::Problems;
use crate::error::{Corruption, Error};
use crate::salvage::orphans::Adopted;
use crate::salvage::state::Table;

/// This many lost entries are listed; the others are counted.
const MAX_NAMED: usize = 1000;

/// What [`salvage`](crate::salvage()) rescued, and what was lost. `Display` prints it for people.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "what was lost is in the report, not in the error"]
pub struct SalvageReport {
    /// The page size of both files, in bytes.
    pub page_size: usize,
    /// The number of whole pages in the damaged file.
    pub pages: u32,
    /// The transaction whose state was rescued, from its meta page or its catalog. `None` if neither was found.
    pub transaction: Option<TransactionId>,
    /// Whether a meta page was good. Without one, the catalog was searched for in all pages.
    pub has_meta: bool,
    /// Whether the free log could be read, so that it was known which pages are in use. `None` if it was not needed.
    /// If it is `Some(false)`, entries that were rescued from leaves without a branch may be old: replaced or removed
    /// before.
    pub has_free_log: Option<bool>,
    /// The number of transactions of the redo log whose changes were made again, after all else was rescued.
    pub replayed_transactions: u64,
    /// The tables of the new database.
    pub tables: Vec<SalvagedTable>,
    /// The number of leaves and branches that could not be read.
    pub damaged_pages: u64,
    /// The number of leaves without a branch that were given to their tables.
    pub orphans_attributed: u64,
    /// The number of leaves without a branch whose table is not known. Their entries are in tables `lost+found/1` and
    /// so on.
    pub orphans_unattributed: u64,
    /// The number of leaves without a branch that were left out, because they are probably old copies.
    pub orphans_left_out: u64,
    pub(super) problems: Problems,
    pub(super) lost: LostEntries,
}

/// A table of the new database.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SalvagedTable {
    /// Its name, or `lost+found/` and a number if its name is not known.
    pub name: String,
    /// The name of its keys' type.
    pub key_type: String,
    /// The name of its values' type.
    pub value_type: String,
    /// The number of entries that were rescued.
    pub entries: u64,
    /// The number of entries that the damaged database had, if that is known.
    pub expected: Option<u64>,
}

/// An entry whose value is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LostEntry {
    /// The name of the table.
    pub table: String,
    /// The key, encoded.
    pub key: Vec<u8>,
    /// Why the value could not be read.
    pub problem: String,
}

/// Entries whose key was found, but not their value.
#[derive(Clone, Debug, Default)]
pub(super) struct LostEntries {
    list: Vec<LostEntry>,
    more: u64,
}

impl LostEntries {
    pub(super) fn push(&mut self, table: &str, key: &[u8], error: Error) {
        if self.list.len() == MAX_NAMED {
            self.more += 1;
            return;
        }
        let problem = match error {
            Error::Corrupt(problem) => problem.to_string(),
            other => other.to_string(),
        };
        self.list.push(LostEntry { table: table.to_owned(), key: key.to_vec(), problem });
    }
}

impl SalvagedTable {
    pub(super) fn new(table: Table, entries: u64) -> SalvagedTable {
        let Table { name, key_type, value_type, expected, .. } = table;
        SalvagedTable { name, key_type, value_type, entries, expected }
    }

    /// The table has this many entries, after as many were lost as before.
    pub(super) fn set_entries(&mut self, entries: u64) {
        self.expected = self.lost().map(|lost| entries + lost);
        self.entries = entries;
    }

    /// Returns how many entries were lost, if that is known.
    pub fn lost(&self) -> Option<u64> {
        self.expected.map(|expected| expected.saturating_sub(self.entries))
    }
}

impl SalvageReport {
    pub(super) fn set_orphans(&mut self, adopted: &Adopted) {
        self.orphans_attributed = adopted.attributed;
        self.orphans_unattributed = adopted.unattributed;
        self.orphans_left_out = adopted.left_out;
    }

    /// Returns whether everything was rescued, each entry in its own table.
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty()
            && self.lost.list.is_empty()
            && self.has_meta
            && self.orphans_unattributed == 0
            && self.tables.iter().all(|table| table.expected == Some(table.entries))
    }

    /// Returns the problems of the damaged file that salvage met, the first 1000 at most.
    pub fn problems(&self) -> &[Corruption] {
        self.problems.list()
    }

    /// Returns how many problems there are besides those of [`SalvageReport::problems`].
    pub fn more_problems(&self) -> u64 {
        self.problems.more()
    }

    /// Returns the entries whose key was found, but whose value is lost, the first 1000 at most.
    pub fn lost_entries(&self) -> &[LostEntry] {
        &self.lost.list
    }

    /// Returns how many lost entries there are besides those of [`SalvageReport::lost_entries`].
    pub fn more_lost_entries(&self) -> u64 {
        self.lost.more
    }
}

impl fmt::Display for SalvagedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {:?} ({} to {}): ", self.name, self.key_type, self.value_type)?;
        match (self.expected, self.lost()) {
            (Some(expected), Some(0)) => write!(f, "{expected} entries, all of them"),
            (Some(expected), Some(lost)) => {
                write!(f, "{} of {expected} entries, {lost} lost", self.entries)
            }
            _ => write!(f, "{} entries; it is not known how many there were", self.entries),
        }
    }
}

impl fmt::Display for LostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {:?}, key {}: {}", self.table, self.key.escape_ascii(), self.problem)
    }
}

impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.has_meta, self.transaction) {
            (true, Some(id)) => writeln!(f, "state of transaction {id}")?,
            (_, Some(id)) => {
                writeln!(f, "no good meta page; state of the newest catalog, of transaction {id}")?
            }
            (_, None) => writeln!(
                f,
                "no good meta page, and no newest catalog: tables put together from what is left"
            )?,
        }
        for table in &self.tables {
            writeln!(f, "{table}")?;
        }
        if self.replayed_transactions > 0 {
            writeln!(f, "and {} later transactions, from the redo log", self.replayed_transactions)?;
        }
        if self.orphans_attributed + self.orphans_unattributed + self.orphans_left_out > 0 {
            writeln!(
                f,
                "leaves without a branch: {} given to their tables, {} put into lost+found tables, {} left out",
                self.orphans_attributed, self.orphans_unattributed, self.orphans_left_out
            )?;
        }
        if self.has_free_log == Some(false) {
            writeln!(
                f,
                "it is not known which pages were in use: entries of these may have been replaced or removed before"
            )?;
        }
        write!(f, "{}", self.problems)?;
        for entry in &self.lost.list {
            writeln!(f, "lost: {entry}")?;
        }
        if self.lost.more > 0 {
            writeln!(f, "and {} more", self.lost.more)?;
        }
        let rescued: u64 = self.tables.iter().map(|table| table.entries).sum();
        write!(f, "{rescued} entries rescued; {} pages could not be read", self.damaged_pages)
    }
}
