//! Whether the file has the state that processes, all of which are gone, have left in shared memory.
//!
//! The lock file is never synced, and neither is newest: both are in the page cache, which outlives its processes.
//! But the page cache may be lost while the boot stays the same (the file system is mounted again, a volume is put
//! back), and leave of either file what happened to reach the disk. So a newest above the durable snapshot is
//! believed only if every page that it has, and the durable snapshot has not, is in the file.
//!
//! Invariants:
//! - The durable snapshot is on the disk, and no page of it is taken as long as no newer meta is durable. So only
//!   newer pages are examined.
//! - If the deltas of all commits since then are known, the pages must be exactly theirs, by their checksums.
//! - If not, because a commit was too large for its delta, the trees and the log are walked, down to pages that are
//!   as old as the durable snapshot. Each new page must have the birth of the transaction which the free log says has
//!   taken it last, and each old one must be a page of the durable snapshot: a page that never reached the disk shows
//!   what it held before, which verifies as well.

use std::collections::BTreeMap;

use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::free_log::{self, Chain, Entry};
use crate::format::meta::Meta;
use crate::shm::SharedMemory;
use crate::shm::commit_info::SpaceState;
use crate::shm::watermarks::{CommittedState, Snapshot};
use crate::space::Space;
use crate::tree::newer::{NewerPages, walk_newer};
use crate::txn::free_space::WriterFreeSpace;
use crate::txn::page_file::PageFile;
use crate::txn::unsynced_pages::unsynced_pages;

/// Whether the file has all pages of `newest`, and of what readers see, given that `durable` is on the disk.
pub(super) fn is_in_file(
    newest: &CommittedState,
    durable: &Meta,
    shared: &SharedMemory,
    pages: &PageFile,
) -> bool {
    let Some(visible) = shared.snapshot(shared.visible()) else { return false };
    if newest.snapshot.length_pages > pages.existing_pages() {
        return false;
    }
    let durable = state_of(durable);
    let is_there = |snapshot: &Snapshot, newest: Option<&CommittedState>| {
        if snapshot.id <= durable.snapshot.id {
            let known = shared.snapshot(durable.snapshot.id);
            return known == Some(durable.snapshot) && newest.is_none_or(|newest| *newest == durable);
        }
        match unsynced_pages(shared, snapshot.id, |id| shared.load_delta(id)).and_then(|fresh| fresh.units())
        {
            Some(units) => units.iter().all(|&(run, checksum)| {
                let found = pages.verify_unit(run.first, snapshot.length_pages);
                found.is_ok_and(|(header, count)| (count, header.checksum) == (run.count, checksum))
            }),
            None => find_newer_pages(pages, snapshot, newest, &durable).is_ok(),
        }
    };
    // Readers begin at what is visible, which is below newest while a durable commit is pending.
    is_there(&newest.snapshot, Some(newest)) && (visible.id == newest.snapshot.id || is_there(&visible, None))
}

/// Walks the pages of `snapshot` that are newer than the durable state, and those of the free log if it is the
/// `newest`. Returns an error if one of them is not there.
fn find_newer_pages(
    pages: &PageFile,
    snapshot: &Snapshot,
    newest: Option<&CommittedState>,
    durable: &CommittedState,
) -> Result<()> {
    let space = WriterFreeSpace::load(pages, durable)?.space;
    let mut found =
        NewPages { pages, snapshot, durable: durable.snapshot.id, space, births: BTreeMap::new() };
    walk_newer(pages, &snapshot.catalog, found.durable, &mut found)?;
    let Some(newest) = newest else { return Ok(()) };
    let read = |number| pages.page(number, snapshot.length_pages);
    let log = free_log::read_chain(newest.space.log_page, &newest.space.log_tail, read)?;
    Space::load(&log.bytes, snapshot.id)?;
    for &(number, birth) in &log.pages {
        match birth > found.durable {
            true => found.page(Extent { first: number, count: 1 })?,
            false => found.older_page(number)?,
        }
    }
    found.compare_with(&log)
}

/// The new pages that the walk has found.
struct NewPages<'a> {
    pages: &'a PageFile,
    snapshot: &'a Snapshot,
    durable: TransactionId,
    /// Free space as the durable transaction left it.
    space: Space,
    /// The births of new pages and overflow extents, by their first pages.
    births: BTreeMap<PageNumber, TransactionId>,
}

impl NewPages<'_> {
    /// Compares each birth with the transaction that has taken the page last, as the log says. What was taken before
    /// the log began again is not known.
    fn compare_with(&self, log: &Chain) -> Result<()> {
        let mut takers: BTreeMap<PageNumber, TransactionId> = BTreeMap::new();
        let mut first_known = None;
        for entry in free_log::entries(&log.bytes) {
            let Entry::Delta(delta) = entry? else { continue };
            first_known.get_or_insert(delta.id);
            if delta.id <= self.durable {
                continue;
            }
            for run in &delta.taken {
                let taken = self.births.range(run.first..PageNumber(run.end()));
                takers.extend(taken.map(|(&first, _)| (first, delta.id)));
            }
        }
        for (&first, &birth) in &self.births {
            let taker = takers.get(&first);
            let is_before_log = taker.is_none() && first_known.is_none_or(|first_known| birth < first_known);
            if taker != Some(&birth) && !is_before_log {
                let expected = format_args!("transaction {taker:?}, which has taken it");
                return Err(corrupt(Some(first.0), "birth of a page not durable yet", expected, birth));
            }
        }
        Ok(())
    }
}

impl NewerPages for NewPages<'_> {
    fn page(&mut self, run: Extent) -> Result<()> {
        let (header, count) = self.pages.verify_unit(run.first, self.snapshot.length_pages)?;
        if count != run.count || header.birth > self.snapshot.id {
            let expected = format_args!("{} pages, born in {} at the latest", run.count, self.snapshot.id);
            let found = format_args!("{count} pages, born in {}", header.birth);
            return Err(corrupt(Some(run.first.0), "page not durable yet", expected, found));
        }
        self.births.insert(run.first, header.birth);
        Ok(())
    }

    fn older_page(&mut self, number: PageNumber) -> Result<()> {
        let is_unused = self.space.free().containing(number.0).is_some()
            || self.space.retired().containing(number.0).is_some()
            || number.0 >= self.space.length_pages();
        if is_unused {
            let expected = format_args!("a page born after transaction {}", self.durable);
            return Err(corrupt(Some(number.0), "page not durable yet", expected, "what was there before"));
        }
        Ok(())
    }
}

/// The state that a meta describes.
pub(super) fn state_of(record: &Meta) -> CommittedState {
    CommittedState {
        snapshot: Snapshot { id: record.id, length_pages: record.length_pages, catalog: record.catalog },
        space: SpaceState {
            log_page: record.log_page,
            log_tail: record.log_tail.clone(),
            free_pages: record.free_pages,
            retired_pages: record.retired_pages,
        },
    }
}
