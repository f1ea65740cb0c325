//! Free space: which pages of the file may be written next. It handles numbers only, and reads and writes no page.
//!
//! Invariants:
//! - Every page in `2..length_pages` is exactly one of: free, taken by the transaction in progress, retired,
//!   or in use. [`partition::verify_partition`] checks that against what is reachable.
//! - R1: allocated pages were free, so no protected snapshot needs them (I2, the interval rule).
//! - The pages that a transaction takes and retires are known until it ends: [`Space::delta`] returns them for the
//!   log, [`Space::commit`] keeps the changes, [`Space::abort`] undoes them.
//! - A transaction that moves pages down takes only pages below a ceiling ([`Space::set_ceiling`]), and does not make
//!   the file longer. It therefore leaves fewer used pages at and after the ceiling than it found there.
//! - A transaction can go back to a *mark* ([`marks`]): what it has taken since is free again, what it has retired
//!   since is in use again. For that, pages taken before a mark and released after it stay taken until the mark goes.
//! - I5: an operation on a page that is not in the required state returns an error, because births and page numbers
//!   come from the file.

pub(crate) mod births;
pub(crate) mod free_extents;
pub(crate) mod load;
mod marks;
pub(crate) mod names;
pub(crate) mod partition;
pub(crate) mod retired;
pub(crate) mod save;

use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::free_log::names::NamesEntry;
use crate::format::free_log::{Base, Delta, FIRST_PAGE, RetiredRun};

use free_extents::FreeExtents;
use marks::Mark;
use names::Names;
use retired::RetiredExtents;

/// Pages are taken from the whole file only while a smaller part of it than this is free. A free end that is smaller
/// is never cut off.
const ROVING_DIVISOR: u32 = 8;

/// An extent of pages that is not in the state that an operation needs. It becomes [`Error::Corrupt`].
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

/// All free space of a file, and the changes of the transaction in progress.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    free: FreeExtents,
    retired: RetiredExtents,
    length_pages: u32,
    /// The length before the transaction in progress.
    length_pages_before: u32,
    /// Extents that the transaction in progress has allocated: they would be free again if it were aborted.
    taken: FreeExtents,
    /// Extents that the transaction in progress has retired. They are also in `retired`.
    retiring: Vec<RetiredRun>,
    /// What the transaction in progress can go back to, oldest first.
    marks: Vec<Mark>,
    names: Names,
    /// The names before the transaction in progress, if it has changed them.
    names_before: Option<Box<Names>>,
    /// What it has done to them.
    name_changes: Vec<NamesEntry>,
    /// The end of the pages that the transaction in progress may take.
    ceiling: Option<u32>,
    /// The end of the extent that [`Space::allocate_next_run`] took last, in any transaction.
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
            marks: Vec::new(),
            names: Names::default(),
            names_before: None,
            name_changes: Vec::new(),
            ceiling: None,
            next_run: FIRST_PAGE,
        }
    }

    /// Length of the file, in pages.
    pub(crate) fn length_pages(&self) -> u32 {
        self.length_pages
    }

    /// The free pages.
    pub(crate) fn free(&self) -> &FreeExtents {
        &self.free
    }

    /// The retired pages, including those of the transaction in progress.
    pub(crate) fn retired(&self) -> &RetiredExtents {
        &self.retired
    }

    /// Pages that the transaction in progress has taken.
    pub(crate) fn taken_pages(&self) -> u32 {
        self.taken.page_count()
    }

    /// Pages that the transaction in progress has retired.
    pub(crate) fn retiring_pages(&self) -> u64 {
        self.retiring.iter().map(|retired| u64::from(retired.run.count)).sum()
    }

    /// Makes the transaction in progress take only pages below `ceiling`, the lowest first.
    pub(crate) fn set_ceiling(&mut self, ceiling: u32) {
        self.ceiling = Some(ceiling);
    }

    /// The end of the pages that the transaction in progress may take, if it is not the file's end.
    pub(crate) fn ceiling(&self) -> Option<u32> {
        self.ceiling
    }

    /// Makes the file longer. The new pages are free. An abort does not undo this.
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

    /// The free extent at the end of the file: what [`Space::shrink`] can cut off.
    pub(crate) fn free_tail(&self) -> Option<Extent> {
        self.free.tail_run(self.length_pages)
    }

    /// Counts pages at the end of the file that are free or retired by a transaction that `is_over`, from the last one
    /// down to one that is neither. The pages of `ring` may lie between, and do not count. Stops at `enough`.
    pub(crate) fn unused_end_pages(
        &self,
        ring: Option<Extent>,
        is_over: impl Fn(TransactionId) -> bool,
        enough: u32,
    ) -> u32 {
        let (mut end, mut pages) = (self.length_pages, 0);
        while pages < enough && end > FIRST_PAGE {
            let last = end - 1;
            let retired = || self.retired.containing(last).filter(|retired| is_over(retired.death));
            if let Some(run) = self.free.containing(last).or_else(|| retired().map(|retired| retired.run)) {
                pages += end - run.first.0;
                end = run.first.0;
            } else if let Some(ring) = ring.filter(|ring| ring.contains(PageNumber(last))) {
                end = ring.first.0;
            } else {
                break;
            }
        }
        pages
    }

    /// Makes the file shorter. The pages that are cut off must be free.
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

    /// Takes `count` pages in as few extents as possible, ascending. If fewer are free, changes nothing and returns
    /// `None`; the caller then grows the file.
    pub(crate) fn allocate(&mut self, count: u32) -> Option<Vec<Extent>> {
        let runs = match self.ceiling {
            Some(ceiling) => self.free.allocate_lowest(count, ceiling)?,
            None => match self.allocate_before_tail(count) {
                Some(run) => vec![run],
                None => self.free.allocate(count)?,
            },
        };
        runs.iter().for_each(|&run| self.note_taken(run));
        Some(runs)
    }

    /// Takes `count` contiguous pages: the best fit. Returns `None` if there is no such extent.
    pub(crate) fn allocate_run(&mut self, count: u32) -> Option<Extent> {
        let run = match self.ceiling {
            Some(ceiling) => self.free.allocate_run_below(count, ceiling)?,
            None => self.allocate_before_tail(count).or_else(|| self.free.allocate_run(count))?,
        };
        self.note_taken(run);
        Some(run)
    }

    /// Takes `count` contiguous pages, directly after those that it took the last time, or the next after them,
    /// wrapping at the file's end. Pages of consecutive transactions are thus adjacent. Returns `None` if there are
    /// none, or if so much is free that the lowest pages are better because the file's end may then become free.
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
        self.note_taken(run);
        self.next_run = run.end();
        Some(run)
    }

    /// Takes an extent, and uses the free end of the file last, even if it fits best. The used pages near the end
    /// thus disappear with time, and a file that is mostly free can be cut.
    fn allocate_before_tail(&mut self, count: u32) -> Option<Extent> {
        if count == 0 { None } else { self.free.allocate_run_before(count, self.length_pages) }
    }

    fn note_taken(&mut self, run: Extent) {
        self.taken.insert(run).expect("what was free was not taken");
        if let Some(mark) = self.marks.last_mut() {
            mark.note_taken(run);
        }
    }

    /// Frees pages that the transaction in progress has taken: now, or when the mark goes that needs them.
    pub(crate) fn release(&mut self, run: Extent) -> Result<()> {
        self.verify_range(run)?;
        if self.is_kept_for_mark(run)? {
            return Ok(());
        }
        self.taken.take_exact(run)?;
        self.free.insert(run)?;
        Ok(())
    }

    /// Retires `run`, which was born in `birth` and which the transaction in progress, `death`, replaces.
    pub(crate) fn retire(&mut self, run: Extent, birth: TransactionId, death: TransactionId) -> Result<()> {
        let same = self.retiring.last().is_none_or(|last| last.death == death);
        assert!(same, "one transaction is in progress at a time");
        let retired = RetiredRun { run, birth, death };
        self.add_retired(retired)?;
        self.retiring.push(retired);
        Ok(())
    }

    /// Adds a retired extent, which must have been in use, after checks: all of it is from the file.
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

    /// Frees retired pages that none of the `protected` snapshots, ascending, needs, and no named one. Returns their
    /// number.
    pub(crate) fn reclaim(&mut self, protected: &[TransactionId]) -> Result<u32> {
        let freed = if self.names.is_empty() {
            self.retired.reclaim(protected)
        } else {
            self.forget_dropped_names(protected);
            self.retired.reclaim(&self.protected_with_names(protected))
        };
        let pages = freed.iter().map(|run| run.count).sum();
        self.free.insert_all(freed)?;
        Ok(pages)
    }

    /// Returns the changes of the transaction in progress so far, in time proportional to their number.
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

    /// Returns the state before the transaction in progress, which its delta follows. It remains valid when pages for
    /// the log itself are allocated.
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

    /// Ends the transaction in progress and keeps its changes.
    pub(crate) fn commit(&mut self) {
        self.length_pages_before = self.length_pages;
        self.taken = FreeExtents::default();
        self.retiring.clear();
        self.marks.clear();
        self.names_before = None;
        self.name_changes.clear();
        self.ceiling = None;
    }

    /// Ends the transaction in progress and undoes its changes: pages that it took are free again, pages that it
    /// retired are in use again, pages that it cut off are back, and so are the names. Growth remains.
    pub(crate) fn abort(&mut self) -> Result<()> {
        self.marks.clear();
        self.abort_names();
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
