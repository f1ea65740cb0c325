//! Compaction in place: pages move from the file's end to free space further down, and the end is cut off.
//!
//! First the ring of the redo log is given up: it is one long extent, which may lie anywhere. A later commit takes
//! another. Each step is an ordinary write transaction, and is checkpointed when it has been committed, since the
//! checkpointed snapshot pins what the step has replaced. It copies the pages that lie at or after the
//! *ceiling*, as any change copies pages. For the copies, for the paths to them from the roots, for the catalog and
//! for the free log it takes only pages below the ceiling ([`Space::set_ceiling`]). What it has replaced is free when
//! no protected snapshot needs it (I2), like all that is ever replaced. So the protocol stays the same, and a crash
//! between any two stores leaves what it leaves of other transactions. Between steps other writers go on.
//!
//! **The ceiling** is the least length that the file could have: high enough that what is in use fits below it,
//! around the pages there that snapshots pin, with some pages left for the next commits ([`Room::of`]). Each step
//! computes it again, since others write meanwhile; it never goes down within a pass.
//!
//! **Passes.** A pass goes through all trees once, in the order of tables and keys. The first moves only values on
//! overflow pages: they need extents of free pages, which single pages would break up. A value for which there is
//! none below the ceiling goes to the lowest extent that lies below the value itself. The second pass moves all that
//! lies after the ceiling. At the end of each pass the free end of the file is cut off.
//!
//! **It ends.** A step that commits moves at least one page, and each page that it moves to a lower number; all else
//! that it takes lies below the ceiling. So if no other process writes, pages in use after the ceiling become fewer,
//! or lower, with each step. Others may add some: but a pass visits at most twice as many nodes as the file had pages
//! when the pass began. After those two passes another one begins only if the last one has moved pages and left the
//! file shorter than it was before it. A length cannot fall for ever.
//!
//! **The file does not grow**: a transaction with a ceiling is refused a longer file (`Database::grow`). Others may
//! grow it.
//!
//! **What keeps the file long** is reported ([`CompactionProgress`]): retired pages that a snapshot pins, and values
//! on overflow pages for which there is no extent of free pages further down.

use std::ops::Bound;
use std::sync::Arc;

use crate::base::{Extent, PageNumber};
use crate::error::{Error, Result};
use crate::format::catalog::decode_name;
use crate::format::free_log::FIRST_PAGE;
use crate::format::overflow;
use crate::space::Space;
use crate::tree::move_down::Moving;
use crate::txn::commit::Durability;
use crate::txn::database::DbHandle;
use crate::txn::write::Transaction;

/// The most nodes that a step visits: a writer that waits for the lock waits for this many lookups.
const VISITS_IN_A_STEP: u32 = 20_000;
/// The most free pages that are left to commits: for the paths from the roots, the catalog and the log.
const SPARE_PAGES: u32 = 32;

/// The least that a table takes in the catalog, in bytes.
const MIN_ENTRY_LEN: u64 = 24;

/// How far a compaction has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct CompactionProgress {
    /// Whether it has come to its end.
    pub is_done: bool,
    /// Transactions that it has committed.
    pub commits: u64,
    /// Pages that it has moved.
    pub moved_pages: u64,
    /// Length of the file when it began, in pages.
    pub pages_before: u32,
    /// Length of the file as of the newest transaction, in pages. The file itself is cut when no snapshot is left
    /// that may still use its end.
    pub pages: u32,
    /// The length that the file could have now, in pages.
    pub target_pages: u32,
    /// Pages in use after that, which are still to be moved.
    pub remaining_pages: u32,
    /// Retired pages, anywhere in the file, that some snapshot still needs: those of readers, and the checkpointed one
    /// while commits are newer.
    pub pinned_pages: u32,
    /// Pages of large values after the target for which no extent of free pages was found further down.
    pub unmovable_pages: u32,
}

/// How far a pass has got.
#[derive(Clone, Debug)]
enum Cursor {
    /// In this table, at this key.
    Table(String, Vec<u8>),
    /// All tables are done; in the catalog, at this key.
    Catalog(Vec<u8>),
    /// Nothing is left but to cut off the end.
    End,
}

impl Cursor {
    fn start() -> Cursor {
        Cursor::Table(String::new(), Vec::new())
    }
}

/// A compaction that is under way.
pub(crate) struct Compactor {
    step_pages: u32,
    cursor: Cursor,
    passes: u64,
    /// Present once the first step has begun.
    pass: Option<Pass>,
    progress: CompactionProgress,
}

struct Pass {
    values_only: bool,
    ceiling: u32,
    length_before: u32,
    moved_before: u64,
    visits_left: u64,
}

/// What fits below which length.
#[derive(Clone, Copy)]
struct Room {
    length: u32,
    /// The least length that the file could have.
    target: u32,
    pinned: u32,
    /// Pages that commits of this compaction leave free, for the log.
    reserve: u32,
}

impl Room {
    /// The room when everything has been freed that can be.
    fn of(space: &Space, page_size: usize) -> Room {
        let (length, pinned) = (space.length_pages(), space.retired().page_count());
        let used = length - FIRST_PAGE - space.free().page_count() - pinned;
        // A small database commits little, and its file should be small.
        let spare = SPARE_PAGES.min(used);
        let reserve = spare + space.most_base_pages(page_size) as u32;
        // The pages that are not pinned can hold what is in use. This many of them are needed:
        let mut end = FIRST_PAGE.saturating_add(used).saturating_add(reserve);
        for retired in space.retired().iter() {
            if retired.run.first.0 >= end {
                break;
            }
            end = end.saturating_add(retired.run.count);
        }
        Room { length, target: end.min(length), pinned, reserve }
    }

    /// Pages in use at and after `ceiling`.
    fn used_behind(&self, space: &Space, ceiling: u32) -> u32 {
        let free = space.free().page_count() - space.free().pages_below(ceiling);
        let pinned = space.retired().iter().map(|retired| {
            let first = retired.run.first.0.max(ceiling);
            retired.run.end().saturating_sub(first)
        });
        (self.length - ceiling) - free - pinned.sum::<u32>()
    }
}

impl Compactor {
    pub(crate) fn new(step_pages: u32) -> Compactor {
        Compactor {
            step_pages: step_pages.max(SPARE_PAGES),
            cursor: Cursor::start(),
            passes: 0,
            pass: None,
            progress: CompactionProgress::default(),
        }
    }

    /// Runs one transaction, or none if it finds nothing to do where it searches.
    pub(crate) fn step(&mut self, handle: &Arc<DbHandle>) -> Result<CompactionProgress> {
        if self.progress.is_done {
            return Ok(self.progress);
        }
        if self.pass.is_none() {
            drop_ring(handle, 0)?; // and what earlier commits have replaced is free then
        }
        let transaction = Transaction::begin_within(handle, None)?;
        let (room, ceiling, budget) = transaction.with_space(|space| self.look(&transaction, space))?;
        let is_at_end = matches!(self.cursor, Cursor::End);
        if is_at_end || self.progress.remaining_pages == 0 || budget < SPARE_PAGES {
            drop(transaction);
            let is_cut = cut(handle)?;
            self.progress.commits += u64::from(is_cut);
            self.progress.pages = handle.core.shared.newest_snapshot()?.length_pages;
            self.end_pass(room);
            return Ok(self.progress);
        }
        set_ceiling(&transaction, ceiling)?;
        let moved = self.move_some(&transaction, ceiling, budget, room.reserve)?;
        if moved > 0 {
            match transaction.commit(Durability::Durable) {
                // Others have left less room than it seemed.
                Err(Error::Full { .. } | Error::MappingTooSmall { .. }) => self.cursor = Cursor::End,
                committed => {
                    handle.core.checkpoint_through(committed?)?;
                    self.progress.commits += 1;
                    self.progress.moved_pages += u64::from(moved);
                    self.progress.remaining_pages = self.progress.remaining_pages.saturating_sub(moved);
                }
            }
        }
        Ok(self.progress)
    }

    /// Finds the ceiling, and how many pages this step may take.
    fn look(&mut self, transaction: &Transaction, space: &mut Space) -> Result<(Room, u32, u32)> {
        let core = transaction.core();
        core.reap_dead_readers()?;
        space.reclaim(&core.shared.protected()?)?;
        let room = Room::of(space, core.pages.page_size);
        let moved_before = self.progress.moved_pages;
        let values_only = self.passes == 0;
        let pass = self.pass.get_or_insert_with(|| {
            let nodes = u64::from(room.length);
            // A table may have no page at all. But its entry takes room in the catalog, whatever the count says.
            let most_tables = nodes * core.pages.page_size as u64 / MIN_ENTRY_LEN;
            let tables = transaction.base.catalog.entries.min(most_tables);
            let visits_left = 2 * (nodes + tables);
            Pass { values_only, ceiling: 0, length_before: room.length, moved_before, visits_left }
        });
        pass.ceiling = pass.ceiling.max(room.target).min(room.length);
        let ceiling = pass.ceiling;
        let progress = &mut self.progress;
        if progress.pages_before == 0 {
            progress.pages_before = room.length;
        }
        (progress.pages, progress.target_pages, progress.pinned_pages) =
            (room.length, room.target, room.pinned);
        progress.remaining_pages = room.used_behind(space, ceiling);
        let budget =
            space.free().pages_below(ceiling).saturating_sub(room.reserve.saturating_sub(SPARE_PAGES));
        Ok((room, ceiling, budget.min(self.step_pages)))
    }

    /// Moves pages, going on from where the last step stopped. Returns how many.
    fn move_some(
        &mut self,
        transaction: &Transaction,
        ceiling: u32,
        budget: u32,
        reserve: u32,
    ) -> Result<u32> {
        let pass = self.pass.as_mut().expect("the step has looked at free space");
        let visits = VISITS_IN_A_STEP.min(pass.visits_left.try_into().unwrap_or(u32::MAX));
        let store_lower = |value: &[u8], from| store_lower(transaction, value, from, (ceiling, reserve));
        let catalog_depth = u32::from(transaction.catalog.borrow().top().depth);
        // The path of the catalog, and what the log will say of all this.
        let taken = catalog_depth + 4 + budget / 100;
        let mut moving = Moving {
            ceiling,
            values_only: pass.values_only,
            budget,
            taken,
            visits,
            moved: 0,
            without_run: 0,
            store_lower: &store_lower,
        };
        let is_over = |moving: &Moving<'_>| moving.visits == 0 || moving.taken >= moving.budget;
        while !is_over(&moving) {
            let stopped = match &self.cursor {
                Cursor::Table(name, from) => {
                    let Some(next) = next_table(transaction, name)? else {
                        self.cursor = Cursor::Catalog(Vec::new());
                        continue;
                    };
                    let from = if next == *name { from.clone() } else { Vec::new() };
                    let stopped = transaction.move_table_down(&next, &from, &mut moving)?;
                    let is_stopped = stopped.is_some();
                    // The least name after this one.
                    self.cursor = match stopped {
                        Some(from) => Cursor::Table(next, from),
                        None => Cursor::Table(next + "\0", Vec::new()),
                    };
                    is_stopped
                }
                Cursor::Catalog(from) => {
                    let stopped = transaction.move_catalog_down(from, &mut moving)?;
                    let is_stopped = stopped.is_some();
                    self.cursor = stopped.map_or(Cursor::End, Cursor::Catalog);
                    is_stopped
                }
                Cursor::End => true,
            };
            moving.visits = moving.visits.saturating_sub(1);
            if stopped {
                break;
            }
        }
        pass.visits_left = pass.visits_left.saturating_sub(u64::from(visits - moving.visits));
        if pass.visits_left == 0 {
            self.cursor = Cursor::End;
        }
        self.progress.unmovable_pages += moving.without_run;
        Ok(moving.moved)
    }

    /// Ends a pass, once the end of the file is cut off, and decides whether another one begins.
    fn end_pass(&mut self, room: Room) {
        let Some(pass) = self.pass.take() else { return };
        let has_moved = self.progress.moved_pages > pass.moved_before;
        let is_shorter = self.progress.pages < pass.length_before;
        self.passes += 1;
        if (pass.values_only || (has_moved && is_shorter)) && self.progress.pages > room.target {
            self.cursor = Cursor::start();
            self.progress.unmovable_pages = 0;
        } else {
            self.progress.is_done = true;
        }
    }
}

fn set_ceiling(transaction: &Transaction, ceiling: u32) -> Result<()> {
    transaction.with_space(|space| {
        space.set_ceiling(ceiling);
        Ok(())
    })
}

/// Gives up the free pages at the end of the file, except some that the next commits will need. Returns whether there
/// were any. The file is cut as soon as no reader can see its end.
pub(crate) fn cut(handle: &Arc<DbHandle>) -> Result<bool> {
    let target = Transaction::begin_within(handle, None)?.with_space(|space| {
        space.reclaim(&handle.core.shared.protected()?)?;
        Ok(Room::of(space, handle.core.pages.page_size).target)
    })?;
    drop_ring(handle, target)?;
    let transaction = Transaction::begin_within(handle, None)?;
    let to = transaction.with_space(|space| {
        handle.core.reap_dead_readers()?;
        space.reclaim(&handle.core.shared.protected()?)?;
        let target = Room::of(space, handle.core.pages.page_size).target;
        let to = space.free_tail().map(|tail| tail.first.0.max(target));
        Ok(to.filter(|&to| to < space.length_pages()))
    })?;
    let Some(to) = to else {
        drop(transaction);
        handle.core.bury_dead_and_cut(); // it may have been given up before
        return Ok(false);
    };
    transaction.cut_to(to);
    transaction.commit(Durability::Durable)?;
    Ok(true)
}

/// Gives up the ring of the redo log, if it lies at or after `end`. Makes a checkpoint in any case.
fn drop_ring(handle: &Arc<DbHandle>, end: u32) -> Result<()> {
    let transaction = Transaction::begin_within(handle, None)?;
    match handle.core.shared.newest_log()?.ring {
        Some(ring) if ring.extent().end() > end => {
            transaction.drop_ring();
            transaction.commit(Durability::Durable)?;
        }
        _ => drop(transaction),
    }
    handle.core.checkpoint_through(handle.core.shared.newest_id())
}

/// Stores a value below the ceiling, if there is an extent of free pages for it, and `reserve` more pages are left.
/// If not, stores it in the lowest place below the one that it has, `from`.
fn store_lower(
    transaction: &Transaction,
    value: &[u8],
    from: PageNumber,
    (ceiling, reserve): (u32, u32),
) -> Result<Option<PageNumber>> {
    let count = overflow::page_count(transaction.core().pages.page_size, value.len() as u64);
    let limit = transaction.with_space(|space| {
        let free = space.free();
        let has_pages = free.pages_below(ceiling) >= count.saturating_add(reserve);
        if has_pages && free.has_run_below(count, ceiling) {
            return Ok(Some(ceiling));
        }
        Ok(free.lowest_place(count, ceiling, from.0).map(Extent::end))
    })?;
    let Some(limit) = limit else { return Ok(None) };
    set_ceiling(transaction, limit)?;
    let stored = transaction.store_value(value)?;
    set_ceiling(transaction, ceiling)?;
    Ok(Some(stored))
}

/// The first table whose name is `name` or comes after it.
fn next_table(transaction: &Transaction, name: &str) -> Result<Option<String>> {
    let catalog = transaction.catalog.borrow();
    let nodes = catalog.nodes(&transaction.core().pages);
    let mut tables = catalog.range(Bound::Included(name.as_bytes()), Bound::Unbounded);
    match tables.next(nodes)? {
        Some((name, _)) => Ok(Some(decode_name(&name)?.to_owned())),
        None => Ok(None),
    }
}

impl Transaction {
    fn move_table_down(&self, name: &str, from: &[u8], moving: &mut Moving<'_>) -> Result<Option<Vec<u8>>> {
        let Some(mut table) = self.take_table(name)? else { return Ok(None) };
        let stopped = self.guard(|| table.tree.move_down(&self.core().pages, from, moving));
        moving.taken += table.tree.dirty_page_count() as u32;
        self.return_table(table);
        stopped
    }

    fn move_catalog_down(&self, from: &[u8], moving: &mut Moving<'_>) -> Result<Option<Vec<u8>>> {
        let mut catalog = self.catalog.borrow_mut();
        self.guard(|| catalog.move_down(&self.core().pages, from, moving))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TransactionId;

    #[test]
    fn room_is_made_around_what_snapshots_pin() {
        let mut space = Space::new(FIRST_PAGE);
        space.grow(1000);
        space.allocate(998).unwrap();
        // In use: 2..12 and 900..910. Pinned below that and within: 12..112, and 800..810 far after.
        for (first, end) in [(112, 800), (810, 900), (910, 1000)] {
            space.release(Extent::new(first, end - first)).unwrap();
        }
        space.commit();
        for (first, count) in [(12, 100), (800, 10)] {
            space.retire(Extent::new(first, count), TransactionId(2), TransactionId(3)).unwrap();
        }
        space.commit();
        let room = Room::of(&space, 4096);
        assert_eq!((room.length, room.pinned), (1000, 110));
        assert_eq!(room.target, FIRST_PAGE + 20 + room.reserve + 100);
        assert_eq!(
            [112, 805, 900, 905, 910].map(|ceiling| room.used_behind(&space, ceiling)),
            [10, 10, 10, 5, 0]
        );
        // It is no longer than it is, whatever is pinned.
        space.retire(Extent::new(2, 10), TransactionId(2), TransactionId(4)).unwrap();
        space.commit();
        space.shrink(910).unwrap();
        assert!(Room::of(&space, 4096).target <= 910);
    }
}
