//! The set of free page runs.
//!
//! Invariants:
//! - Runs never overlap and never touch: neighbours are one run. So a run of the set is as long as can be,
//!   and `by_start` and `by_count` hold the same runs.
//! - Nothing enters that is in already, and nothing leaves that is not in: either is answered as a
//!   [`Conflict`] and changes nothing.
//!
//! Each operation costs O(log n) for each run that it adds or removes.

use std::collections::{BTreeMap, BTreeSet};

use super::Conflict;
use crate::base::Extent;

/// How many lengths of runs are looked at for the next run behind a place: each costs two searches.
const LENGTHS_LOOKED_AT: usize = 8;

/// Free runs, found by place and by length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FreeExtents {
    /// First page to count.
    by_start: BTreeMap<u32, u32>,
    /// (count, first page): the best fit is the first element that is not too short.
    by_count: BTreeSet<(u32, u32)>,
    page_count: u32,
}

impl FreeExtents {
    /// Pages in all runs together.
    pub(crate) fn page_count(&self) -> u32 {
        self.page_count
    }

    /// Number of runs.
    pub(crate) fn run_count(&self) -> usize {
        self.by_start.len()
    }

    /// Whether there is no free page.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// All runs, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.by_start.iter().map(|(&first, &count)| Extent::new(first, count))
    }

    /// The longest run, the lowest among equals.
    pub(crate) fn largest_run(&self) -> Option<Extent> {
        let &(count, _) = self.by_count.last()?;
        self.best_fit(count)
    }

    /// The run that ends at `end`, which is the length of the file if its tail is asked for.
    pub(crate) fn tail_run(&self, end: u32) -> Option<Extent> {
        self.last_before(end).filter(|run| run.end() == end)
    }

    /// The run that holds `page`.
    pub(crate) fn containing(&self, page: u32) -> Option<Extent> {
        self.last_before(page + 1).filter(|run| run.end() > page)
    }

    /// Whether some page of `run` is free.
    pub(crate) fn overlaps(&self, run: Extent) -> bool {
        // Runs do not overlap, so the one that starts last also ends last.
        self.last_before(run.end()).is_some_and(|last| last.end() > run.first.0)
    }

    /// Adds a run, none of which is free yet.
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

    /// Adds many runs in any order. After a conflict, some of them are in.
    pub(crate) fn insert_all(&mut self, mut runs: Vec<Extent>) -> Result<(), Conflict> {
        runs.sort_unstable();
        // Neighbours are put together first: fewer and longer runs touch the trees.
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

    /// Takes `count` pages that follow each other out of the shortest run that has them, the lowest
    /// among equals.
    pub(crate) fn allocate_run(&mut self, count: u32) -> Option<Extent> {
        assert!(count > 0, "a run has pages");
        let holder = self.best_fit(count)?;
        Some(self.take_front(holder, count))
    }

    /// The same, but not out of the run that ends at `end`.
    pub(crate) fn allocate_run_before(&mut self, count: u32, end: u32) -> Option<Extent> {
        assert!(count > 0, "a run has pages");
        let mut holders = self.by_count.range((count, 0)..).map(|&(count, first)| Extent::new(first, count));
        let holder = holders.find(|run| run.end() != end)?;
        Some(self.take_front(holder, count))
    }

    /// Takes `count` pages that follow each other from the next run at or behind `from` that has them, but not out of
    /// the one that ends at `end`. It is the next among runs of the lengths that are looked at.
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

    /// Takes `count` pages in as few runs as there can be, ascending; nothing if there are not enough.
    pub(crate) fn allocate(&mut self, count: u32) -> Option<Vec<Extent>> {
        if count > self.page_count {
            return None;
        }
        let mut taken = Vec::new();
        let mut missing = count;
        while missing > 0 {
            // No single run is enough: the largest leaves the least to find. The last piece is a best fit.
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

    /// Takes the `count` lowest pages; nothing if there are not so many below `limit`.
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

    /// Takes `count` pages that follow each other below `limit`: the best fit.
    pub(crate) fn allocate_run_below(&mut self, count: u32, limit: u32) -> Option<Extent> {
        let holder = self.best_fit_below(count, limit)?;
        Some(self.take_front(holder, count))
    }

    /// Whether there are `count` free pages that follow each other below `limit`.
    pub(crate) fn has_run_below(&self, count: u32, limit: u32) -> bool {
        self.best_fit_below(count, limit).is_some()
    }

    /// The shortest run whose first `count` pages lie below `limit`. Looks at those that are long enough, and lie too
    /// high, one by one.
    fn best_fit_below(&self, count: u32, limit: u32) -> Option<Extent> {
        assert!(count > 0, "a run has pages");
        let ends_below = |first: u32| first < limit && count <= limit - first;
        let &(length, first) = self.by_count.range((count, 0)..).find(|&&(_, first)| ends_below(first))?;
        Some(Extent::new(first, length))
    }

    /// The lowest place for `count` pages that follow each other in a run that ends behind `from`, all below `limit`.
    pub(crate) fn lowest_place(&self, count: u32, from: u32, limit: u32) -> Option<Extent> {
        let from = self.containing(from).map_or(from, |run| run.first.0);
        let mut runs = self.by_start.range(from..limit.max(from));
        let (&first, _) = runs.find(|&(&first, &length)| length >= count && count <= limit - first)?;
        Some(Extent::new(first, count))
    }

    /// The run that starts last below `limit`.
    fn last_before(&self, limit: u32) -> Option<Extent> {
        let (&first, &count) = self.by_start.range(..limit).next_back()?;
        Some(Extent::new(first, count))
    }

    /// The shortest run of at least `count` pages, the lowest among equals.
    fn best_fit(&self, count: u32) -> Option<Extent> {
        let &(count, first) = self.by_count.range((count, 0)..).next()?;
        Some(Extent::new(first, count))
    }

    /// Takes the first `count` pages of `holder`, a run of the set.
    fn take_front(&mut self, holder: Extent, count: u32) -> Extent {
        self.remove(holder);
        if count < holder.count {
            self.add(Extent::new(holder.first.0 + count, holder.count - count));
        }
        Extent::new(holder.first.0, count)
    }

    /// Adds a run that touches no other.
    fn add(&mut self, run: Extent) {
        self.by_start.insert(run.first.0, run.count);
        self.by_count.insert((run.count, run.first.0));
        self.page_count += run.count;
    }

    /// Removes a whole run of the set.
    fn remove(&mut self, run: Extent) {
        let count = self.by_start.remove(&run.first.0);
        let was_there = self.by_count.remove(&(run.count, run.first.0));
        assert!(count == Some(run.count) && was_there, "both orders hold the same runs");
        self.page_count -= run.count;
    }
}

#[cfg(test)]
mod tests;
