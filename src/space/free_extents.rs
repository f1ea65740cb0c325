//! The set of free extents.
//!
//! Invariants:
//! - Extents never overlap and never touch: adjacent ones are merged. So each extent is as long as possible.
//!   `by_start` and `by_count` hold the same extents.
//! - Adding a page that is in the set, or removing one that is not, returns a [`Conflict`] and changes nothing.
//!
//! Each operation costs O(log n) for each extent that it adds or removes.

use std::collections::{BTreeMap, BTreeSet};

use super::Conflict;
use crate::base::Extent;

/// How many lengths are tried for the next extent after a page. Each costs two searches.
const LENGTHS_LOOKED_AT: usize = 8;

/// Free extents, indexed by first page and by length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FreeExtents {
    /// First page to count.
    by_start: BTreeMap<u32, u32>,
    /// (count, first page): the best fit is the first element that is not too short.
    by_count: BTreeSet<(u32, u32)>,
    page_count: u32,
}

impl FreeExtents {
    /// Pages in all extents together.
    pub(crate) fn page_count(&self) -> u32 {
        self.page_count
    }

    /// Number of extents.
    pub(crate) fn run_count(&self) -> usize {
        self.by_start.len()
    }

    /// Whether there is no free page.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// All extents, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.by_start.iter().map(|(&first, &count)| Extent::new(first, count))
    }

    /// The longest extent, the lowest among equals.
    pub(crate) fn largest_run(&self) -> Option<Extent> {
        let &(count, _) = self.by_count.last()?;
        self.best_fit(count)
    }

    /// The extent that ends at `end`. For the tail of the file, `end` is the file's length.
    pub(crate) fn tail_run(&self, end: u32) -> Option<Extent> {
        self.last_before(end).filter(|run| run.end() == end)
    }

    /// The extent that holds `page`.
    pub(crate) fn containing(&self, page: u32) -> Option<Extent> {
        self.last_before(page + 1).filter(|run| run.end() > page)
    }

    /// Whether some page of `run` is free.
    pub(crate) fn overlaps(&self, run: Extent) -> bool {
        // Extents do not overlap, so the one that starts last also ends last.
        self.last_before(run.end()).is_some_and(|last| last.end() > run.first.0)
    }

    /// Adds an extent, none of which is free yet.
    pub(crate) fn insert(&mut self, run: Extent) -> Result<(), Conflict> {
        assert!(run.count > 0, "a run has pages");
        if self.overlaps(run) {
            return Err(Conflict { run, expected: "not free yet", found: "free already" });
        }
        let mut first = run.first.0;
        let mut end = run.end();
        if let Some(before) = self.tail_run(first) {
            self.remove(before);
            first = before.first.0;
        }
        if let Some(&count) = self.by_start.get(&end) {
            self.remove(Extent::new(end, count));
            end += count;
        }
        self.add(Extent::new(first, end - first));
        Ok(())
    }

    /// Adds many extents in any order. After a conflict, some of them have been added.
    pub(crate) fn insert_all(&mut self, mut runs: Vec<Extent>) -> Result<(), Conflict> {
        runs.sort_unstable();
        // Adjacent extents are merged first, so that fewer and longer ones touch the trees.
        runs.dedup_by(|next, previous| {
            let adjacent = previous.end() == next.first.0;
            if adjacent {
                previous.count += next.count;
            }
            adjacent
        });
        runs.into_iter().try_for_each(|run| self.insert(run))
    }

    /// Removes `run`, all of which must be free.
    pub(crate) fn take_exact(&mut self, run: Extent) -> Result<(), Conflict> {
        assert!(run.count > 0, "a run has pages");
        let Some(holder) = self.containing(run.first.0).filter(|holder| holder.end() >= run.end()) else {
            return Err(Conflict { run, expected: "free", found: "not free, or not all of it" });
        };
        self.remove(holder);
        if holder.first < run.first {
            self.add(Extent::new(holder.first.0, run.first.0 - holder.first.0));
        }
        if run.end() < holder.end() {
            self.add(Extent::new(run.end(), holder.end() - run.end()));
        }
        Ok(())
    }

    /// Takes `count` contiguous pages from the shortest extent that has them, the lowest among equals.
    pub(crate) fn allocate_run(&mut self, count: u32) -> Option<Extent> {
        assert!(count > 0, "a run has pages");
        let holder = self.best_fit(count)?;
        Some(self.take_front(holder, count))
    }

    /// Does the same, but not from the extent that ends at `end`.
    pub(crate) fn allocate_run_before(&mut self, count: u32, end: u32) -> Option<Extent> {
        assert!(count > 0, "a run has pages");
        let mut holders = self.by_count.range((count, 0)..).map(|&(count, first)| Extent::new(first, count));
        let holder = holders.find(|run| run.end() != end)?;
        Some(self.take_front(holder, count))
    }

    /// Takes `count` contiguous pages from the next extent at or after `from` that has them, but not from the one
    /// that ends at `end`. It is the next among extents of the lengths that are tried.
    pub(crate) fn allocate_run_behind(&mut self, from: u32, count: u32, end: u32) -> Option<Extent> {
        assert!(count > 0, "a run has pages");
        let mut next: Option<Extent> = None;
        let mut at_least = count;
        for _ in 0..LENGTHS_LOOKED_AT {
            let Some(&(length, _)) = self.by_count.range((at_least, 0)..).next() else { break };
            let mut firsts = self.by_count.range((length, from)..(length + 1, 0)).map(|&(_, first)| first);
            let first = firsts.find(|first| first + length != end);
            next = next.into_iter().chain(first.map(|first| Extent::new(first, length))).min();
            at_least = length + 1;
        }
        Some(self.take_front(next?, count))
    }

    /// Takes `count` pages in as few extents as possible, ascending. Takes nothing if there are not enough.
    pub(crate) fn allocate(&mut self, count: u32) -> Option<Vec<Extent>> {
        if count > self.page_count {
            return None;
        }
        let mut taken = Vec::new();
        let mut missing = count;
        while missing > 0 {
            // No single extent is enough: the largest leaves the least to find. The last piece is a best fit.
            let holder = self.best_fit(missing).or_else(|| self.largest_run());
            let holder = holder.expect("the pages that are missing have been counted");
            let run = self.take_front(holder, missing.min(holder.count));
            missing -= run.count;
            taken.push(run);
        }
        taken.sort_unstable();
        Some(taken)
    }

    /// Free pages below `limit`.
    pub(crate) fn pages_below(&self, limit: u32) -> u32 {
        self.by_start.range(..limit).map(|(&first, &count)| count.min(limit - first)).sum()
    }

    /// Takes the `count` lowest pages. Takes nothing if there are fewer below `limit`.
    pub(crate) fn allocate_lowest(&mut self, count: u32, limit: u32) -> Option<Vec<Extent>> {
        let mut holders = Vec::new();
        let mut missing = count;
        let mut runs = self.by_start.range(..limit);
        while missing > 0 {
            let (&first, &length) = runs.next()?;
            let taken = missing.min(length).min(limit - first);
            holders.push((Extent::new(first, length), taken));
            missing -= taken;
        }
        Some(holders.into_iter().map(|(holder, taken)| self.take_front(holder, taken)).collect())
    }

    /// Takes `count` contiguous pages below `limit`: the best fit.
    pub(crate) fn allocate_run_below(&mut self, count: u32, limit: u32) -> Option<Extent> {
        let holder = self.best_fit_below(count, limit)?;
        Some(self.take_front(holder, count))
    }

    /// Whether there are `count` contiguous free pages below `limit`.
    pub(crate) fn has_run_below(&self, count: u32, limit: u32) -> bool {
        self.best_fit_below(count, limit).is_some()
    }

    /// The shortest extent whose first `count` pages are below `limit`. Visits one by one those that are long enough
    /// but too high.
    fn best_fit_below(&self, count: u32, limit: u32) -> Option<Extent> {
        assert!(count > 0, "a run has pages");
        let ends_below = |first: u32| first < limit && count <= limit - first;
        let &(length, first) = self.by_count.range((count, 0)..).find(|&&(_, first)| ends_below(first))?;
        Some(Extent::new(first, length))
    }

    /// The lowest position of `count` contiguous pages in an extent that ends after `from`, all below `limit`.
    pub(crate) fn lowest_place(&self, count: u32, from: u32, limit: u32) -> Option<Extent> {
        let from = self.containing(from).map_or(from, |run| run.first.0);
        let mut runs = self.by_start.range(from..limit.max(from));
        let (&first, _) = runs.find(|&(&first, &length)| length >= count && count <= limit - first)?;
        Some(Extent::new(first, count))
    }

    /// The extent that starts last below `limit`.
    fn last_before(&self, limit: u32) -> Option<Extent> {
        let (&first, &count) = self.by_start.range(..limit).next_back()?;
        Some(Extent::new(first, count))
    }

    /// The shortest extent of at least `count` pages, the lowest among equals.
    fn best_fit(&self, count: u32) -> Option<Extent> {
        let &(count, first) = self.by_count.range((count, 0)..).next()?;
        Some(Extent::new(first, count))
    }

    /// Takes the first `count` pages of `holder`, an extent of the set.
    fn take_front(&mut self, holder: Extent, count: u32) -> Extent {
        self.remove(holder);
        if count < holder.count {
            self.add(Extent::new(holder.first.0 + count, holder.count - count));
        }
        Extent::new(holder.first.0, count)
    }

    /// Adds an extent that touches no other.
    fn add(&mut self, run: Extent) {
        self.by_start.insert(run.first.0, run.count);
        self.by_count.insert((run.count, run.first.0));
        self.page_count += run.count;
    }

    /// Removes a whole extent of the set.
    fn remove(&mut self, run: Extent) {
        let count = self.by_start.remove(&run.first.0);
        let was_there = self.by_count.remove(&(run.count, run.first.0));
        assert!(count == Some(run.count) && was_there, "both orders hold the same runs");
        self.page_count -= run.count;
    }
}

#[cfg(test)]
mod tests;
