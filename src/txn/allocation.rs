//! Where page numbers come from: free space first, a longer file if that is not enough.
//!
//! Invariants:
//! - I6: a page number is given out only when its place in the file is reserved; a full disk is an error here.
//! - A transaction that frees space works in a full file: free pages below the reserve go only to transactions that
//!   give back as many.
//! - A longer file is durable before any meta that refers to it is stored: the first barrier of a checkpoint ensures
//!   that (L8). Growth itself waits for no disk.
//! - Pages that only the checkpointed snapshot needs are no reason for an error: there is another checkpoint first.
//! - R1: what is reclaimed is needed by no protected snapshot, newest included.

use crate::base::{Extent, PageNumber};
use crate::error::{Error, Result};
use crate::space::Space;
use crate::tree::pages::NumberSupply;
use crate::txn::database::Database;

/// Growth for a transaction that takes less than this is slow growth: the new part is filled with zeros at once, so
/// that the commits that will use it need not have the file system note, each time, that blocks are written now. A
/// transaction that takes more fills the new part itself: then the note costs less than writing that many bytes
/// twice.
const SLOW_GROWTH_BYTES: u64 = 256 << 10;
/// The file grows beyond what is needed by one part in this many of its length, so that a file that is filled grows
/// rarely, and one that is only changed stays small; by at least and at most this much.
const GROWTH_DIVISOR: u64 = 8;
const MIN_GROWTH_BYTES: u64 = 1 << 16;
const MAX_GROWTH_BYTES: u64 = 4 << 20;

/// The reserve, for transactions that take no more pages than they give back: so a database at its `max_size`, or on
/// a full disk, can be changed in place, and emptied. It is one part in this many of the file, up to this many pages,
/// for the paths of trees that such a transaction copies; and a smaller part for what the free log says of the pages
/// given back, 4 bytes for each extent.
const RESERVE_DIVISOR: u32 = 32;
const MAX_RESERVE_PAGES: u32 = 64;
const LOG_RESERVE_DIVISOR: u32 = 1024;

/// If a checkpoint pins more than one page in this many of the file, and this many at least, and few are free, another
/// one is due: before the file grows.
const SCARCE_DIVISOR: u32 = 16;
const MIN_PINNED_PAGES: u32 = 32;

/// A commit of at most this many pages is small: most likely one leaf and the pages above it.
const SMALL_COMMIT_PAGES: u32 = 8;
/// The file grows for the sake of contiguous pages until one part in this many of it is free.
const FREE_FOR_RUNS: u32 = 16;
/// The same for a commit that is not small: until one part in this many is not in use.
const UNUSED_FOR_RUNS: u32 = 4;
/// The same in a file that is shorter than this: its user sees that it grows, and its commits are short in any case.
const UNUSED_FOR_RUNS_IF_SMALL: u32 = 8;
const SMALL_FILE_BYTES: u64 = 16 << 20;

impl Database {
    /// Takes `count` pages, in as few extents as free space allows.
    pub(crate) fn allocate(&self, space: &mut Space, count: u32) -> Result<Vec<Extent>> {
        // Below a ceiling too few pages may be free though the file has enough: then `grow` refuses.
        let missing = |space: &Space| count.saturating_sub(space.free().page_count());
        self.reclaim_until(space, count, |space| space.allocate(count), missing)
    }

    /// Takes pages for a small commit, so that two writes store them: one page for its leaf, anywhere, and an extent
    /// for all pages above it.
    ///
    /// The pages above a leaf die soon: the upper ones with the next commit, the lowest with the next change below
    /// it. Their extent is whole again then, and fits the next commit. A leaf among them would live on and break it
    /// up for good. If shorter extents were taken while an extent waits for its last page, none would ever be whole.
    /// So many extents are needed, and the file grows for that, within bounds.
    ///
    /// Each extent is taken right after that of the commit before, if it is free there: then the extents of all
    /// commits that share a barrier lie in few places, which makes the barrier shorter.
    fn allocate_for_small_commit(&self, space: &mut Space, count: u32) -> Result<Vec<Extent>> {
        space.reclaim(&self.shared.protected()?)?;
        if self.check_reserve(space, count).is_err() {
            return self.allocate(space, count);
        }
        let may_grow = |space: &Space| {
            let free = space.free();
            let has_run = free.largest_run().is_some_and(|run| run.count >= count - 1);
            !has_run && free.page_count() < space.length_pages() / FREE_FOR_RUNS
        };
        if may_grow(space) && self.reclaim_before_growth(space).map(|()| may_grow(space))? {
            let free = space.free().page_count();
            self.grow_for_runs(space, count, count, (free, FREE_FOR_RUNS));
        }
        if space.free().page_count() < count || !self.leaves_reserve(space, count) {
            return self.allocate(space, count);
        }
        let mut runs = space.allocate(1).unwrap_or_default();
        match space.allocate_next_run(count - 1) {
            Some(run) => runs.push(run),
            None => runs.extend(space.allocate(count - 1).unwrap_or_default()),
        }
        Ok(runs)
    }

    /// Takes pages for a commit that is not small, so that few writes store them.
    ///
    /// Each extent is a separate write to the disk, and costs as much as some ten more contiguous pages would.
    /// Changes of random keys leave free pages one by one. But if there are many, some lie side by side, and the
    /// longest extents are taken first: the more of the file is unused, the longer they are. So the file grows
    /// instead of taking what is scattered, until a part of it is unused. 1,450 pages in a tree of 55,000 lie in
    /// 1,150 places in a file without room, in 490 if a quarter is unused, and in 340 if a third is. 17 pages in a tree
    /// of 1,550 lie in 13.6 places without room, in 10 if an eighth is unused, and in 5 if a third is.
    ///
    /// The retired pages that a snapshot still needs count as unused: while a reader stays, the file grows by what it
    /// pins, and no longer for the sake of extents. The file does not grow either for a transaction that has stored
    /// pages early: that transaction changes some of them again, so its file would be long and have holes as well.
    fn allocate_for_large_commit(&self, space: &mut Space, count: u32) -> Result<Vec<Extent>> {
        space.reclaim(&self.shared.protected()?)?;
        let divisor = if self.is_small(space) { UNUSED_FOR_RUNS_IF_SMALL } else { UNUSED_FOR_RUNS };
        let unused = |space: &Space| space.free().page_count() + space.retired().page_count();
        let may_grow = |space: &Space| {
            let has_run = space.free().largest_run().is_some_and(|run| run.count >= count);
            let is_dense = unused(space) < space.length_pages() / divisor && space.taken_pages() == 0;
            !has_run && is_dense && self.check_reserve(space, count).is_ok()
        };
        if may_grow(space) && self.reclaim_before_growth(space).map(|()| may_grow(space))? {
            let tail = space.free_tail().map_or(0, |run| run.count);
            let unused = unused(space);
            self.grow_for_runs(space, count, count - tail, (unused, divisor));
        }
        self.allocate(space, count)
    }

    /// Takes `count` pages that follow each other.
    pub(crate) fn allocate_run(&self, space: &mut Space, count: u32) -> Result<Extent> {
        let missing = |space: &Space| count.saturating_sub(space.free_tail().map_or(0, |run| run.count));
        self.reclaim_until(space, count, |space| space.allocate_run(count), missing)
    }

    /// Takes `count` pages that follow each other for a ring. The file grows by what is missing and not ahead: a ring
    /// is taken once, and what it leaves free is enough for the commits after it. It is not worth a checkpoint either.
    pub(crate) fn allocate_ring(&self, space: &mut Space, count: u32) -> Result<Extent> {
        space.reclaim(&self.shared.protected()?)?;
        self.check_reserve(space, count)?;
        let has_run = space.free().largest_run().is_some_and(|run| run.count >= count);
        if !has_run || !self.leaves_reserve(space, count) {
            let tail = space.free_tail().map_or(0, |run| run.count);
            let for_run = if has_run { 0 } else { count - tail };
            let with_reserve = count.saturating_add(self.free_reserve(space));
            let missing = for_run.max(with_reserve.saturating_sub(space.free().page_count()));
            self.grow_with(space, count, missing, 0)?;
        }
        Ok(space.allocate_run(count).expect("the file has grown by what was missing"))
    }

    /// Makes room for `count` pages that the transaction's log takes besides what is usual, above the reserve.
    pub(crate) fn make_room_for_log(&self, space: &mut Space, count: u32) -> Result<()> {
        space.reclaim(&self.shared.protected()?)?;
        self.check_reserve(space, count)?;
        if self.leaves_reserve(space, count) {
            return Ok(());
        }
        self.reclaim_before_growth(space)?;
        let with_reserve = count.saturating_add(self.free_reserve(space));
        self.grow(space, count, with_reserve.saturating_sub(space.free().page_count()))
    }

    /// Frees what no snapshot needs any more. If that is not enough, frees what dead readers needed; if that is not
    /// enough either, makes the file longer by what is missing.
    fn reclaim_until<T>(
        &self,
        space: &mut Space,
        count: u32,
        allocate: impl Fn(&mut Space) -> Option<T>,
        missing: impl Fn(&Space) -> u32,
    ) -> Result<T> {
        let allocate_above_reserve = |space: &mut Space| {
            space.reclaim(&self.shared.protected()?)?;
            self.check_reserve(space, count)?;
            Ok::<_, Error>(if self.leaves_reserve(space, count) { allocate(space) } else { None })
        };
        if let Ok(Some(allocated)) = allocate_above_reserve(space) {
            return Ok(allocated);
        }
        self.reclaim_before_growth(space)?;
        if let Some(allocated) = allocate_above_reserve(space)? {
            return Ok(allocated);
        }
        let with_reserve = count.saturating_add(self.free_reserve(space));
        let missing = missing(space).max(with_reserve.saturating_sub(space.free().page_count()));
        let Err(error) = self.grow(space, count, missing) else {
            return Ok(allocate(space).expect("the file has grown by what was missing"));
        };
        // What only the checkpointed snapshot needs is free after another checkpoint.
        let newest = self.shared.newest_id();
        if self.shared.checkpointed() == newest {
            return Err(error);
        }
        self.checkpoint_through(newest)?;
        allocate_above_reserve(space)?.ok_or(error)
    }

    /// Frees what no snapshot needs any more, what dead readers needed included: before the file grows. If the last
    /// checkpoint pins many pages, makes another first, in a file that is small: its user sees that it grows, and the
    /// wait is short.
    fn reclaim_before_growth(&self, space: &mut Space) -> Result<()> {
        self.reap_dead_readers()?;
        space.reclaim(&self.shared.protected()?)?;
        // What a dead reader pinned as well counts as the checkpoint's by now.
        let checkpointed = self.shared.checkpointed();
        let pins_many = space.retired().pinned_by(checkpointed) > scarce_pages(space.length_pages());
        if pins_many && self.is_small(space) && checkpointed < self.shared.newest_id() {
            self.checkpoint_through(checkpointed.next())?;
            space.reclaim(&self.shared.protected()?)?;
        }
        Ok(())
    }

    fn is_small(&self, space: &Space) -> bool {
        u64::from(space.length_pages()) * (self.pages.page_size as u64) < SMALL_FILE_BYTES
    }

    /// Returns an error if after `count` more pages less of `max_size` than the reserve would be left to others.
    fn check_reserve(&self, space: &Space, count: u32) -> Result<()> {
        let limit = self.limit_pages();
        let room = limit.saturating_sub(space.length_pages()).saturating_add(space.free().page_count());
        match room >= count.saturating_add(reserve_of(limit)) || gives_back(space, count) {
            true => Ok(()),
            false => Err(self.limit_met(space.length_pages().saturating_add(count))),
        }
    }

    /// Whether the file has free pages for others after `count` have been taken. If not it grows first: on a full
    /// disk growth is refused, and the free pages stay for transactions that give back more.
    fn leaves_reserve(&self, space: &Space, count: u32) -> bool {
        space.free().page_count() >= count.saturating_add(self.free_reserve(space))
            || gives_back(space, count)
            || space.ceiling().is_some()
    }

    /// Free pages that the file keeps as a reserve.
    fn free_reserve(&self, space: &Space) -> u32 {
        reserve_of(space.length_pages().min(self.limit_pages()))
    }

    /// `max_size`, or what the format allows, in bytes.
    fn max_size(&self) -> u64 {
        let of_format = u64::from(PageNumber::LIMIT) * self.pages.page_size as u64;
        self.settings.max_size.map_or(of_format, |max_size| max_size.min(of_format))
    }

    fn limit_pages(&self) -> u32 {
        let limit = self.max_size() / self.pages.page_size as u64;
        limit.min(u64::from(self.pages.limit_pages())) as u32
    }

    /// The error for the limit that keeps the file from having `length_pages` pages.
    fn limit_met(&self, length_pages: u32) -> Error {
        let max_size = self.max_size();
        match self.pages.storage.mapping().reserved_length() < max_size {
            true => self.pages.mapping_too_small(length_pages),
            false => Error::Full { max_size },
        }
    }

    /// Makes the file longer by at least `missing` pages, for a transaction that is about to take `count`.
    pub(crate) fn grow(&self, space: &mut Space, count: u32, missing: u32) -> Result<()> {
        let length = u64::from(space.length_pages()) * self.pages.page_size as u64;
        let ahead = (length / GROWTH_DIVISOR).clamp(MIN_GROWTH_BYTES, MAX_GROWTH_BYTES);
        self.grow_with(space, count, missing, ahead)
    }

    /// Makes the file longer by at least `missing` pages for the sake of contiguous ones, and at best until one part
    /// in `divisor` of it is unused, of which `unused` pages are there. If it cannot grow, shorter extents will do.
    fn grow_for_runs(&self, space: &mut Space, count: u32, missing: u32, (unused, divisor): (u32, u32)) {
        let lacking = u64::from(space.length_pages()).saturating_sub(u64::from(unused) * u64::from(divisor));
        let wished = (lacking / u64::from(divisor - 1)).saturating_sub(u64::from(missing));
        let ahead = (wished * self.pages.page_size as u64).min(MAX_GROWTH_BYTES);
        let _ = self.grow_with(space, count, missing, ahead);
    }

    /// Makes the file longer by `missing` pages, and by `ahead` bytes more if there is room for them.
    fn grow_with(&self, space: &mut Space, count: u32, missing: u32, ahead: u64) -> Result<()> {
        let page_size = self.pages.page_size as u64;
        let from = u64::from(space.length_pages()) * page_size;
        let needed = from + u64::from(missing) * page_size;
        let limit = u64::from(self.limit_pages()) * page_size;
        // A transaction that makes room at the file's end does not make the file longer.
        if space.ceiling().is_some() {
            return Err(Error::Full { max_size: from });
        }
        if needed > limit {
            return Err(self.limit_met(space.length_pages().saturating_add(missing)));
        }
        let wished = (needed + ahead).next_multiple_of(page_size).min(limit);
        let taken = u64::from(space.taken_pages()) + u64::from(count);
        let is_slow = taken * page_size < SLOW_GROWTH_BYTES;
        let storage = &self.pages.storage;
        let grown = storage.grow(from, wished, is_slow).map(|()| wished).or_else(|error| {
            // An almost full disk may have room for what is needed, if not for more.
            if wished == needed { Err(error) } else { storage.grow(from, needed, is_slow).map(|()| needed) }
        });
        let length = grown.map_err(self.pages.io_error("make room in"))?;
        space.grow((length / page_size) as u32);
        Ok(())
    }
}

/// How many pages a checkpoint may pin in a file of `length_pages` pages before it is worth another one that the file
/// does not grow.
pub(super) fn scarce_pages(length_pages: u32) -> u32 {
    (length_pages / SCARCE_DIVISOR).max(MIN_PINNED_PAGES)
}

/// The reserve of a file of `length_pages` pages, in pages.
fn reserve_of(length_pages: u32) -> u32 {
    (length_pages / RESERVE_DIVISOR).min(MAX_RESERVE_PAGES) + length_pages / LOG_RESERVE_DIVISOR
}

/// Whether the transaction in progress, once it has taken `count` more pages, has taken no more than it gives back.
fn gives_back(space: &Space, count: u32) -> bool {
    u64::from(space.taken_pages()) + u64::from(count) <= space.retiring_pages()
}

/// Numbers for the pages of one commit, or of one spill: planned in one piece, so that they are contiguous as
/// far as free space allows.
pub(crate) struct Numbers<'a> {
    core: &'a Database,
    space: &'a mut Space,
    /// What is left of the plan, first extent last.
    runs: Vec<Extent>,
}

impl<'a> Numbers<'a> {
    pub(crate) fn plan(core: &'a Database, space: &'a mut Space, count: usize) -> Result<Numbers<'a>> {
        let count = u32::try_from(count).map_err(|_| Error::Full { max_size: core.max_size() })?;
        let mut runs = match count {
            0 => Vec::new(),
            _ if space.ceiling().is_some() => core.allocate(space, count)?,
            1 => core.allocate(space, count)?,
            2..=SMALL_COMMIT_PAGES => core.allocate_for_small_commit(space, count)?,
            _ => core.allocate_for_large_commit(space, count)?,
        };
        runs.reverse();
        Ok(Numbers { core, space, runs })
    }

    /// Gives back what was planned and not used.
    pub(crate) fn finish(self) -> Result<()> {
        self.runs.into_iter().try_for_each(|run| self.space.release(run))
    }

    fn take(&mut self, count: u32) -> Option<PageNumber> {
        let run = self.runs.last_mut().filter(|run| run.count >= count)?;
        let first = run.first;
        *run = Extent::new(first.0 + count, run.count - count);
        if run.count == 0 {
            self.runs.pop();
        }
        Some(first)
    }
}

impl NumberSupply for Numbers<'_> {
    fn page(&mut self) -> Result<PageNumber> {
        self.run(1)
    }

    fn run(&mut self, count: u32) -> Result<PageNumber> {
        match self.take(count) {
            Some(first) => Ok(first),
            None => Ok(self.core.allocate_run(self.space, count)?.first),
        }
    }
}
