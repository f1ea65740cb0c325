//! Whether every page is used exactly once: part of `Db::check`.
//!
//! Invariants:
//! - Every page in `2..length_pages` that is not exactly one of reachable, retired, free, taken by the
//!   transaction in progress is reported, and nothing else is.

use super::Space;
use crate::base::Extent;
use crate::format::free_log::FIRST_PAGE;

/// What an extent of pages is used for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum PageUse {
    /// By the snapshot that is checked, its free-log pages included.
    Reachable,
    /// By the transaction in progress.
    Taken,
    Retired,
    Free,
}

/// An extent of pages that is not used exactly once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PartitionProblem {
    /// No use: the pages are lost.
    Missing { run: Extent },
    /// Two uses. A third one is reported again.
    Double { run: Extent, uses: (PageUse, PageUse) },
    /// The extent is not within `2..length_pages`, or has no page.
    Outside { run: Extent, page_use: PageUse },
}

impl Space {
    /// Reports each extent of pages that is not used exactly once. `reachable` is what the head reaches.
    pub(crate) fn verify_partition(&self, reachable: &[Extent], report: impl FnMut(PartitionProblem)) {
        let mut uses: Vec<(Extent, PageUse)> = Vec::new();
        uses.extend(reachable.iter().map(|&run| (run, PageUse::Reachable)));
        uses.extend(self.taken.iter().map(|run| (run, PageUse::Taken)));
        uses.extend(self.retired.iter().map(|retired| (retired.run, PageUse::Retired)));
        uses.extend(self.free.iter().map(|run| (run, PageUse::Free)));
        uses.sort_unstable();
        verify_uses(&uses, self.length_pages, report);
    }
}

/// Reports what is not used exactly once in `uses`, ascending.
fn verify_uses(uses: &[(Extent, PageUse)], length_pages: u32, mut report: impl FnMut(PartitionProblem)) {
    // All pages below `end` have been dealt with; the last of them is used for `last_use`.
    let mut end = FIRST_PAGE;
    let mut last_use = None;
    for &(run, page_use) in uses {
        // Extents come from anywhere: their end may not fit in 32 bits.
        let run_end = u64::from(run.first.0) + u64::from(run.count);
        if run.count == 0 || run.first.0 < FIRST_PAGE || run_end > u64::from(length_pages) {
            report(PartitionProblem::Outside { run, page_use });
            continue;
        }
        if run.first.0 > end {
            report(PartitionProblem::Missing { run: Extent::new(end, run.first.0 - end) });
        }
        if let Some(earlier) = last_use.filter(|_| run.first.0 < end) {
            let count = run.end().min(end) - run.first.0;
            let run = Extent::new(run.first.0, count);
            report(PartitionProblem::Double { run, uses: (earlier, page_use) });
        }
        if run.end() > end {
            end = run.end();
            last_use = Some(page_use);
        }
    }
    if end < length_pages {
        report(PartitionProblem::Missing { run: Extent::new(end, length_pages - end) });
    }
}

#[cfg(test)]
mod tests;
