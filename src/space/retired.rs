//! Retired extents: replaced by some transaction, and perhaps still needed by a snapshot.
//!
//! Invariants:
//! - I2, the interval rule: an extent born in `b` and replaced in `d` is needed by snapshot `r` if and only if
//!   `b <= r < d`. [`RetiredExtents::reclaim`] returns exactly those extents that no protected snapshot needs.
//! - Extents never overlap.
//! - Every extent is named by the list that its `pinned_by` says: the bucket of the smallest protected
//!   snapshot that needed it when it was sorted, or `unsorted`. As long as that snapshot is protected,
//!   no caller has to look at the extent again: work is in proportion to what is freed or moved, not to
//!   what is pinned.
//!
//! A list may also name extents that are gone, or that stand in another list by now: `by_start` decides.

use std::collections::BTreeMap;

use super::Conflict;
use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{Extent, TransactionId};
use crate::format::free_log::RetiredRun;

/// Retired extents, grouped by the snapshot that pins them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetiredExtents {
    /// First page to the rest of the extent.
    by_start: BTreeMap<u32, Entry>,
    /// First pages of the extents that were retired since the last `reclaim`.
    unsorted: Vec<u32>,
    buckets: BTreeMap<TransactionId, Bucket>,
    page_count: u32,
    /// Extents that `reclaim` has ever looked at: tests prove by it that what is pinned costs nothing.
    #[cfg(test)]
    examined: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    count: u32,
    birth: TransactionId,
    death: TransactionId,
    /// The bucket that names the extent; none if it is not sorted yet.
    pinned_by: Option<TransactionId>,
}

/// What one snapshot pins, and no smaller one.
#[derive(Clone, Debug, Default)]
struct Bucket {
    starts: Vec<u32>,
    page_count: u32,
}

impl Entry {
    fn with_first(self, first: u32) -> RetiredRun {
        RetiredRun { run: Extent::new(first, self.count), birth: self.birth, death: self.death }
    }

    /// Whether a new extent with this life can become one with `self`.
    fn is_unsorted_with(&self, birth: TransactionId, death: TransactionId) -> bool {
        self.pinned_by.is_none() && self.birth == birth && self.death == death
    }
}

impl RetiredExtents {
    /// Pages in all extents together.
    pub(crate) fn page_count(&self) -> u32 {
        self.page_count
    }

    /// Number of extents.
    pub(crate) fn run_count(&self) -> usize {
        self.by_start.len()
    }

    /// All extents, ascending by page.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RetiredRun> + '_ {
        self.by_start.iter().map(|(&first, entry)| entry.with_first(first))
    }

    /// Pages that `snapshot` pins and no smaller protected one does, as of the last `reclaim`.
    pub(crate) fn pinned_by(&self, snapshot: TransactionId) -> u32 {
        self.buckets.get(&snapshot).map_or(0, |bucket| bucket.page_count)
    }

    /// Extents that `reclaim` has looked at so far.
    #[cfg(test)]
    pub(crate) fn examined(&self) -> u64 {
        self.examined
    }

    /// The retired extent that holds `page`.
    pub(crate) fn containing(&self, page: u32) -> Option<RetiredRun> {
        self.last_before(page + 1).filter(|retired| retired.run.end() > page)
    }

    /// Adds `run`, born in `birth` and replaced in `death`. The caller has checked that birth < death.
    pub(crate) fn retire(&mut self, retired: RetiredRun) -> Result<(), Conflict> {
        let RetiredRun { run, birth, death } = retired;
        assert!(run.count > 0 && birth < death, "a run has pages and a life");
        // The neighbours, in one search: the last that begins up to where the extent ends, and the one before that.
        let mut neighbours = self.by_start.range(..=run.end()).rev().map(|(&first, &entry)| (first, entry));
        let mut before = neighbours.next();
        let after = before.filter(|&(first, _)| first == run.end());
        if after.is_some() {
            before = neighbours.next();
        }
        if before.is_some_and(|(first, entry)| first + entry.count > run.first.0) {
            return Err(Conflict { run, expected: "not retired yet", found: "retired already" });
        }
        self.page_count += run.count;
        let mut count = run.count;
        if let Some((first, after)) = after
            && after.is_unsorted_with(birth, death)
        {
            self.by_start.remove(&first);
            count += after.count;
        }
        if let Some((first, before)) = before
            && first + before.count == run.first.0
            && before.is_unsorted_with(birth, death)
        {
            self.by_start.insert(first, Entry { count: before.count + count, ..before });
            return Ok(());
        }
        self.by_start.insert(run.first.0, Entry { count, birth, death, pinned_by: None });
        self.unsorted.push(run.first.0);
        Ok(())
    }

    /// Removes and returns the extents that none of the `protected` snapshots, ascending, needs.
    pub(crate) fn reclaim(&mut self, protected: &[TransactionId]) -> Vec<Extent> {
        assert!(protected.is_sorted(), "protected snapshots ascend");
        let is_gone = |snapshot: &&TransactionId| protected.binary_search(snapshot).is_err();
        let gone: Vec<TransactionId> = self.buckets.keys().filter(is_gone).copied().collect();
        let mut freed = Vec::new();
        let unsorted = std::mem::take(&mut self.unsorted);
        self.sort(None, unsorted, protected, &mut freed);
        for snapshot in gone {
            let bucket = self.buckets.remove(&snapshot).expect("its key has just been read");
            self.sort(Some(snapshot), bucket.starts, protected, &mut freed);
        }
        freed
    }

    /// Gives each extent of a dissolved list to the smallest protected snapshot that needs it, or to `freed`.
    fn sort(
        &mut self,
        list: Option<TransactionId>,
        starts: Vec<u32>,
        protected: &[TransactionId],
        freed: &mut Vec<Extent>,
    ) {
        #[cfg(test)]
        {
            self.examined += starts.len() as u64;
        }
        for first in starts {
            let Some(entry) = self.by_start.get_mut(&first) else { continue };
            if entry.pinned_by != list {
                continue;
            }
            if let Some(snapshot) = first_that_needs(protected, entry.birth, entry.death) {
                entry.pinned_by = Some(snapshot);
                let bucket = self.buckets.entry(snapshot).or_default();
                bucket.starts.push(first);
                bucket.page_count += entry.count;
            } else {
                freed.push(Extent::new(first, entry.count));
                self.page_count -= entry.count;
                self.by_start.remove(&first);
            }
        }
    }

    /// Removes `run`, which must lie within one retired extent, whichever snapshot pins it.
    pub(crate) fn take(&mut self, run: Extent) -> Result<(), Conflict> {
        assert!(run.count > 0, "a run has pages");
        let holder = self.last_before(run.end()).map(|retired| retired.run);
        let Some(holder) = holder.filter(|holder| holder.first <= run.first && run.end() <= holder.end())
        else {
            return Err(Conflict { run, expected: "retired", found: "not retired as one run" });
        };
        let entry = self.by_start.remove(&holder.first.0).expect("it has just been found");
        if holder.first < run.first {
            let count = run.first.0 - holder.first.0;
            self.by_start.insert(holder.first.0, Entry { count, ..entry });
        }
        if run.end() < holder.end() {
            let count = holder.end() - run.end();
            self.by_start.insert(run.end(), Entry { count, ..entry });
            self.list(entry.pinned_by).push(run.end());
        }
        self.page_count -= run.count;
        if let Some(bucket) = entry.pinned_by.and_then(|snapshot| self.buckets.get_mut(&snapshot)) {
            bucket.page_count -= run.count;
        }
        Ok(())
    }

    /// The list that names the extents with this `pinned_by`.
    fn list(&mut self, pinned_by: Option<TransactionId>) -> &mut Vec<u32> {
        match pinned_by {
            Some(snapshot) => &mut self.buckets.entry(snapshot).or_default().starts,
            None => &mut self.unsorted,
        }
    }

    /// The extent that starts last below `limit`. Extents do not overlap, so it also ends last.
    fn last_before(&self, limit: u32) -> Option<RetiredRun> {
        let (&first, entry) = self.by_start.range(..limit).next_back()?;
        Some(entry.with_first(first))
    }
}

/// The smallest of the `protected` snapshots, ascending, that needs an extent: I2, the interval rule.
fn first_that_needs(
    protected: &[TransactionId],
    birth: TransactionId,
    death: TransactionId,
) -> Option<TransactionId> {
    let at = protected.partition_point(|&snapshot| snapshot < birth);
    let death = if is_mutated(Mutation::FreedTooEarly) { TransactionId(death.0 - 1) } else { death };
    protected.get(at).copied().filter(|&snapshot| snapshot < death)
}

#[cfg(test)]
mod tests;
