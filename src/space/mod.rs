//! Free space: which pages of the file may be written next. Pure: it knows numbers only.
//!
//! Invariants:
//! - Every page in `2..length_pages` is exactly one of: free, taken by the transaction in progress, retired,
//!   or in use. [`partition::verify_partition`] checks that against what is reachable.
//! - R1: what is allocated was free, so no protected snapshot needs it (I2, the interval rule).
//! - What a transaction takes and retires is known until it ends: [`Space::delta`] is what the log needs,
//!   [`Space::commit`] keeps it, [`Space::abort`] takes it back.
//! - Below a ceiling ([`Space::set_ceiling`]) alone, and not by a longer file, a transaction finds pages that moves
//!   others down; so it leaves fewer pages in use at and behind the ceiling than it has found there.
//! - I5: a page that is not in the state that an operation needs is answered as an error, never ignored:
//!   births and page numbers come from the file.

pub(crate) mod free_extents;
pub(crate) mod load;
pub(crate) mod partition;
pub(crate) mod retired;
pub(crate) mod save;

use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::free_log::{Base, Delta, FIRST_PAGE, RetiredRun};

use free_extents::FreeExtents;
use retired::RetiredExtents;

/// Pages are taken all over the file only while a smaller part of it than this is free: no end of a file is cut that is
/// smaller.
const ROVING_DIVISOR: u32 = 8;

/// A run of pages that is not in the state that an operation needs. It becomes [`Error::Corrupt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Conflict {
    pub(crate) run: Extent,
    pub(crate) expected: &'static str,
    pub(crate) found: &'static str,
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Error {
        let Conflict { run, expected, found } = conflict;
        corrupt(
            Some(run.first.0),
            "use of pages",
            format_args!("{run} {expected}"),
            format_args!("them {found}"),
        )
    }
}

/// All free space of a file, and what the transaction in progress does to it.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    free: FreeExtents,
    retired: RetiredExtents,
    length_pages: u32,
    /// The length before the transaction in progress.
    length_pages_before: u32,
    /// Runs that the transaction in progress has allocated: they would be free again if it were aborted.
    taken: FreeExtents,
    /// Runs that it has retired. They stand in `retired` too.
    retiring: Vec<RetiredRun>,
    /// Where the pages end that it may take.
    ceiling: Option<u32>,
    /// Where the run ends that [`Space::allocate_next_run`] has last taken, in whatever transaction.
    next_run: u32,
}

impl Space {
    /// Free space of a file of `length_pages` pages, all of which are in use.
    pub(crate) fn new(length_pages: u32) -> Space {
        assert!((FIRST_PAGE..=PageNumber::LIMIT).contains(&length_pages), "a file has its record pages");
        Space {
            free: FreeExtents::default(),
            retired: RetiredExtents::default(),
            length_pages,
            length_pages_before: length_pages,
            taken: FreeExtents::default(),
            retiring: Vec::new(),
            ceiling: None,
            next_run: FIRST_PAGE,
        }
    }

    /// Length of the file, in pages.
    pub(crate) fn length_pages(&self) -> u32 {
        self.length_pages
    }

    /// What is free now.
    pub(crate) fn free(&self) -> &FreeExtents {
        &self.free
    }

    /// What is retired, the transaction in progress included.
    pub(crate) fn retired(&self) -> &RetiredExtents {
        &self.retired
    }

    /// Pages that the transaction in progress has taken.
    pub(crate) fn taken_pages(&self) -> u32 {
        self.taken.page_count()
    }

    /// Pages that the transaction in progress has retired: they will be free in time.
    pub(crate) fn retiring_pages(&self) -> u64 {
        self.retiring.iter().map(|retired| u64::from(retired.run.count)).sum()
    }

    /// From now on the transaction in progress takes only pages below `ceiling`, the lowest first.
    pub(crate) fn set_ceiling(&mut self, ceiling: u32) {
        self.ceiling = Some(ceiling);
    }

    /// Where the pages end that the transaction in progress may take, if not with the file.
    pub(crate) fn ceiling(&self) -> Option<u32> {
        self.ceiling
    }

    /// Makes the file longer: the new pages are free. It stays longer if the transaction is aborted.
    pub(crate) fn grow(&mut self, new_length_pages: u32) {
        let grows = (self.length_pages..=PageNumber::LIMIT).contains(&new_length_pages);
        assert!(grows, "a file grows, up to its limit");
        let added = new_length_pages - self.length_pages;
        if added > 0 {
            let run = Extent::new(self.length_pages, added);
            self.free.insert(run).expect("nothing behind the end is free");
            self.length_pages = new_length_pages;
        }
    }

    /// The free run at the end of the file: what [`Space::shrink`] can cut off.
    pub(crate) fn free_tail(&self) -> Option<Extent> {
        self.free.tail_run(self.length_pages)
    }

    /// Makes the file shorter: the pages that go must be free.
    pub(crate) fn shrink(&mut self, new_length_pages: u32) -> Result<()> {
        let shrinks = (FIRST_PAGE..=self.length_pages).contains(&new_length_pages);
        assert!(shrinks, "a file shrinks, down to its record pages");
        if new_length_pages < self.length_pages {
            let cut = Extent::new(new_length_pages, self.length_pages - new_length_pages);
            self.free.take_exact(cut)?;
            self.length_pages = new_length_pages;
        }
        Ok(())
    }

    /// Takes `count` pages in as few runs as there can be, ascending. `None`, and nothing has changed, if
    /// fewer are free: then grow.
    pub(crate) fn allocate(&mut self, count: u32) -> Option<Vec<Extent>> {
        let runs = match self.ceiling {
            Some(ceiling) => self.free.allocate_lowest(count, ceiling)?,
            None => match self.allocate_before_tail(count) {
                Some(run) => vec![run],
                None => self.free.allocate(count)?,
            },
        };
        for &run in &runs {
            self.taken.insert(run).expect("what was free was not taken");
        }
        Some(runs)
    }

    /// Takes `count` pages that follow each other: the best fit. `None` if there is no such run.
    pub(crate) fn allocate_run(&mut self, count: u32) -> Option<Extent> {
        let run = match self.ceiling {
            Some(ceiling) => self.free.allocate_run_below(count, ceiling)?,
            None => self.allocate_before_tail(count).or_else(|| self.free.allocate_run(count))?,
        };
        self.taken.insert(run).expect("what was free was not taken");
        Some(run)
    }

    /// Takes `count` pages that follow each other, right behind those that it took the last time, or the next that
    /// there are, going round: so what is taken for one transaction after the other lies side by side. `None` if there
    /// are none, or if so much is free that the lowest places are better, for then the file's end may become free.
    pub(crate) fn allocate_next_run(&mut self, count: u32) -> Option<Extent> {
        let end = self.length_pages;
        if self.free.page_count() >= end / ROVING_DIVISOR {
            return None;
        }
        let behind = Extent::new(self.next_run, count);
        let run = if self.free.take_exact(behind).is_ok() {
            Some(behind)
        } else {
            let next = self.free.allocate_run_behind(self.next_run, count, end);
            let next = next.or_else(|| self.free.allocate_run_behind(FIRST_PAGE, count, end));
            next.or_else(|| self.free.allocate_run(count))
        }?;
        self.taken.insert(run).expect("what was free was not taken");
        self.next_run = run.end();
        Some(run)
    }

    /// Takes a run from anywhere but the end of the file. The free end comes last, though it may fit best: so what is
    /// left there moves away with time, and a file that is mostly free can be cut.
    fn allocate_before_tail(&mut self, count: u32) -> Option<Extent> {
        if count == 0 { None } else { self.free.allocate_run_before(count, self.length_pages) }
    }

    /// Gives back pages that this very transaction has taken.
    pub(crate) fn release(&mut self, run: Extent) -> Result<()> {
        self.verify_range(run)?;
        self.taken.take_exact(run)?;
        self.free.insert(run)?;
        Ok(())
    }

    /// Notes that transaction `death`, in progress, replaces `run`, which was born in `birth` before it.
    pub(crate) fn retire(&mut self, run: Extent, birth: TransactionId, death: TransactionId) -> Result<()> {
        let same = self.retiring.last().is_none_or(|last| last.death == death);
        assert!(same, "one transaction is in progress at a time");
        let retired = RetiredRun { run, birth, death };
        self.add_retired(retired)?;
        self.retiring.push(retired);
        Ok(())
    }

    /// Adds a retired run, which must have been in use, after checks: all of it is from the file.
    fn add_retired(&mut self, retired: RetiredRun) -> Result<()> {
        let RetiredRun { run, birth, death } = retired;
        self.verify_range(run)?;
        if birth >= death {
            let expected = format_args!("before transaction {death}");
            return Err(corrupt(Some(run.first.0), "birth of a retired run", expected, birth));
        }
        for (runs, found) in [(&self.free, "free"), (&self.taken, "taken")] {
            if runs.overlaps(run) {
                return Err(Conflict { run, expected: "in use", found }.into());
            }
        }
        self.retired.retire(retired)?;
        Ok(())
    }

    /// Whether `run`, from the file, has pages, all of them within it. Only then has it an end in 32 bits.
    fn verify_range(&self, run: Extent) -> Result<()> {
        let first = u64::from(run.first.0);
        let end = first + u64::from(run.count);
        if run.count == 0 || first < u64::from(FIRST_PAGE) || end > u64::from(self.length_pages) {
            let expected = format_args!("pages in {FIRST_PAGE}..{}", self.length_pages);
            return Err(corrupt(Some(run.first.0), "run of pages", expected, format_args!("{first}..{end}")));
        }
        Ok(())
    }

    /// Frees what none of the `protected` snapshots, ascending, needs. Answers the number of pages.
    pub(crate) fn reclaim(&mut self, protected: &[TransactionId]) -> Result<u32> {
        let freed = self.retired.reclaim(protected);
        let pages = freed.iter().map(|run| run.count).sum();
        self.free.insert_all(freed)?;
        Ok(pages)
    }

    /// What the transaction in progress has changed so far. It costs as much as the transaction did.
    pub(crate) fn delta(&self, id: TransactionId) -> Delta {
        let mut runs = self.retiring.clone();
        runs.sort_unstable();
        let mut retired: Vec<(Extent, TransactionId)> = Vec::new();
        for RetiredRun { run, birth, death } in runs {
            assert_eq!(death, id, "runs die in the transaction in progress");
            match retired.last_mut() {
                Some((last, last_birth)) if last.end() == run.first.0 && *last_birth == birth => {
                    last.count += run.count;
                }
                _ => retired.push((run, birth)),
            }
        }
        Delta { id, length_pages: self.length_pages, taken: self.taken.iter().collect(), retired }
    }

    /// The state before the transaction in progress, to be followed by its delta: allocating and growing
    /// for the log itself leaves it valid.
    pub(crate) fn base(&self) -> Base {
        let mut free = self.free.clone();
        for run in self.taken.iter() {
            free.insert(run).expect("what is taken is not free");
        }
        let death = self.retiring.last().map(|retired| retired.death);
        let is_older = |retired: &RetiredRun| death.is_none_or(|death| retired.death < death);
        Base {
            length_pages: self.length_pages,
            free: free.iter().collect(),
            retired: self.retired.iter().filter(is_older).collect(),
        }
    }

    /// Ends the transaction in progress: it has happened.
    pub(crate) fn commit(&mut self) {
        self.length_pages_before = self.length_pages;
        self.taken = FreeExtents::default();
        self.retiring.clear();
        self.ceiling = None;
    }

    /// Ends the transaction in progress: it never happened. What it has taken is free again, what it has
    /// retired is in use again, what it has cut off is back. Growth stays.
    pub(crate) fn abort(&mut self) -> Result<()> {
        let taken = std::mem::take(&mut self.taken);
        self.free.insert_all(taken.iter().collect())?;
        for retired in std::mem::take(&mut self.retiring) {
            self.retired.take(retired.run)?;
        }
        if self.length_pages < self.length_pages_before {
            self.grow(self.length_pages_before);
        }
        self.length_pages_before = self.length_pages;
        self.ceiling = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
