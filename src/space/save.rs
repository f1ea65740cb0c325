//! Saving free space to its log: what a commit adds, and when the log begins again with a base.
//!
//! Invariants:
//! - Saving ends: pages for the log are counted before they are allocated ([`free_log::page_count`]), and a
//!   base does not change when they are. There is no loop in which saving changes what is saved.
//! - No stored log page is changed (I1): the log grows by new pages, or by a new tail in the new meta page. When the
//!   log begins again, its old pages are retired like any others.
//! - After a transaction with a ceiling, no page of the log is at or after the ceiling: otherwise the log begins
//!   again.
//! - Once there are no names of snapshots any more, the log begins again without them: so the file has its old format.
//! - The log's length is proportional to its content: it begins again, with a base, when it is more than twice as
//!   long as a base could be, plus some pages. A base thus costs each commit O(1) on average.

use super::Space;
use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::Result;
use crate::format::free_log::names::encode_names;
use crate::format::free_log::{self, Chain};

/// A base never pays off in a log of fewer pages.
const PAGES_WITHOUT_NEW_BASE: usize = 8;
/// About the maximum length of one extent in a base, in bytes.
const FREE_RUN_LEN: usize = 8;
const RETIRED_RUN_LEN: usize = 16;

/// The log on disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct FreeLog {
    /// Its pages with their births, oldest first.
    pages: Vec<(PageNumber, TransactionId)>,
    /// What lies in the meta.
    tail: Vec<u8>,
    /// Whether an entry has names of snapshots: then the file has the format that allows them.
    has_names: bool,
}

/// The limits of the file's format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLimits {
    pub(crate) page_size: usize,
    /// The longest tail that the meta page holds, in bytes.
    pub(crate) tail_len: usize,
}

/// What a commit has to store for its free space.
#[derive(Debug)]
pub(crate) struct SavedLog {
    /// The log after the transaction. Its tail and newest page go into the meta page.
    pub(crate) log: FreeLog,
    /// New log pages, still to be sealed with their number and the transaction's id, and stored.
    pub(crate) pages: Vec<(PageNumber, Box<[u8]>)>,
}

impl FreeLog {
    /// The log of a new file: a base, in the tail.
    pub(crate) fn new(space: &Space) -> FreeLog {
        FreeLog { pages: Vec::new(), tail: free_log::encode_base(&space.base()), has_names: false }
    }

    /// The log that has been read. `has_names`: an entry of it has names of snapshots.
    pub(crate) fn from_chain(chain: &Chain, tail: &[u8], has_names: bool) -> FreeLog {
        FreeLog { pages: chain.pages.iter().rev().copied().collect(), tail: tail.to_vec(), has_names }
    }

    /// Takes over pages, oldest first, and a tail that others have added. `has_names`: names are among what was added.
    pub(crate) fn append(&mut self, pages: Vec<(PageNumber, TransactionId)>, tail: &[u8], has_names: bool) {
        self.pages.extend(pages);
        self.tail = tail.to_vec();
        self.has_names |= has_names;
    }

    /// What lies in the meta.
    pub(crate) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Whether an entry has names of snapshots.
    pub(crate) fn has_names(&self) -> bool {
        self.has_names
    }

    /// The end of the chain, for the meta page; 0 if the log has no pages.
    pub(crate) fn newest_page(&self) -> PageNumber {
        self.pages.last().map_or(PageNumber(0), |&(number, _)| number)
    }

    /// Its pages with their births, oldest first.
    pub(crate) fn pages(&self) -> &[(PageNumber, TransactionId)] {
        &self.pages
    }

    fn is_outgrown(&self, space: &Space, page_size: usize) -> bool {
        self.pages.len() > 2 * space.most_base_pages(page_size) + PAGES_WITHOUT_NEW_BASE
    }

    /// Whether some of the log's pages are at or after the ceiling of the transaction in progress.
    fn is_too_high(&self, space: &Space) -> bool {
        let is_high = |ceiling: u32| self.pages.iter().any(|(number, _)| number.0 >= ceiling);
        space.ceiling.is_some_and(is_high)
    }
}

impl Space {
    /// The maximum number of pages of a base, and of the names after it.
    pub(crate) fn most_base_pages(&self, page_size: usize) -> usize {
        let runs = self.free.run_count() * FREE_RUN_LEN + self.retired.run_count() * RETIRED_RUN_LEN;
        (runs + self.names.max_len()).div_ceil(free_log::page_capacity(page_size))
    }

    /// Completes the transaction in progress with the changes for its log: takes pages for it and, when the log
    /// begins again, retires its old pages. It is a transaction's last step before [`Space::commit`]. `grow` is
    /// called when more free pages are needed; it calls [`Space::grow`] for at least that many.
    pub(crate) fn save(
        &mut self,
        log: &FreeLog,
        id: TransactionId,
        limits: LogLimits,
        grow: impl FnOnce(&mut Space, u32) -> Result<()>,
    ) -> Result<SavedLog> {
        let has_old_names = log.has_names && self.names.is_empty();
        let begins_anew = log.is_outgrown(self, limits.page_size) || log.is_too_high(self) || has_old_names;
        if begins_anew {
            for &(number, birth) in log.pages() {
                self.retire(Extent { first: number, count: 1 }, birth, id)?;
            }
        }
        let (mut pages, mut bytes, mut has_names) = match begins_anew {
            true => (Vec::new(), free_log::encode_base(&self.base()), false),
            false => (log.pages.clone(), log.tail.clone(), log.has_names),
        };
        for names in self.names_for_log(id, begins_anew) {
            bytes.extend(encode_names(&names));
            has_names = true;
        }
        let delta = free_log::encode_delta(&self.delta(id));
        if bytes.len() + delta.len() <= limits.tail_len {
            bytes.extend(delta);
            return Ok(SavedLog { log: FreeLog { pages, tail: bytes, has_names }, pages: Vec::new() });
        }
        let count = free_log::page_count(bytes.len(), delta.len(), limits.page_size);
        let numbers = self.allocate_for_log(count as u32, grow)?;
        bytes.extend(free_log::encode_delta(&self.delta(id)));
        let previous = pages.last().map_or(PageNumber(0), |&(number, _)| number);
        let stored = free_log::write_chain(&bytes, &numbers, previous, limits.page_size);
        pages.extend(numbers.iter().map(|&number| (number, id)));
        let log = FreeLog { pages, tail: Vec::new(), has_names };
        Ok(SavedLog { log, pages: numbers.into_iter().zip(stored).collect() })
    }

    fn allocate_for_log(
        &mut self,
        count: u32,
        grow: impl FnOnce(&mut Space, u32) -> Result<()>,
    ) -> Result<Vec<PageNumber>> {
        let has_pages = match self.ceiling {
            Some(ceiling) => self.free.pages_below(ceiling) >= count,
            None => self.free.page_count() >= count,
        };
        if !has_pages {
            grow(self, count)?;
        }
        let runs = self.allocate(count).expect("the file has grown by as many pages as were missing");
        Ok(runs.into_iter().flat_map(|run| run.first.0..run.end()).map(PageNumber).collect())
    }
}

#[cfg(test)]
mod tests;
