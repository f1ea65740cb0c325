//! The pages that a meta must list: those reachable from its snapshot that were born after the last durable meta
//! (R6), with their checksums.
//!
//! Invariants:
//! - Each commit adds what it stored and takes out what it retired: what is left is exactly the new pages that are
//!   still reachable.
//! - Bounded: beyond [`PAGE_LIMIT`] pages the list is given up. A sync then takes two barriers, whose cost is small
//!   beside that of the data; and recovery, which reads and stores again what is listed, has a bounded amount of work
//!   (I4).

use std::collections::BTreeMap;

use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{Extent, PageNumber, TransactionId};
use crate::format::meta;
use crate::shm::commit_info::CommitDelta;
use crate::shm::{RING_LEN, SharedMemory};

/// More pages than this between two durable metas are synced with two barriers (16 MiB at 4 KiB). Fewer in tests, so
/// that small histories get there too.
const PAGE_LIMIT: u32 = if cfg!(test) { 300 } else { 4096 };

/// Pages and overflow extents (*units*: each has one checksum), until there are too many.
#[derive(Default, Debug)]
pub(crate) struct UnsyncedPages {
    /// First page to length and checksum.
    units: BTreeMap<PageNumber, (u32, u32)>,
    page_count: u32,
    is_given_up: bool,
}

impl UnsyncedPages {
    /// Adds pages that have been stored.
    pub(crate) fn add(&mut self, run: Extent, checksum: u32) {
        self.page_count = self.page_count.saturating_add(run.count);
        if self.page_count > PAGE_LIMIT {
            self.is_given_up = true;
            self.units.clear();
        }
        if !self.is_given_up {
            self.units.insert(run.first, (run.count, checksum));
        }
    }

    /// Removes pages that are no longer reachable. They die unit by unit, but several may be named as one extent.
    pub(crate) fn remove(&mut self, run: Extent) {
        while let Some((&first, &(count, _))) = self.units.range(run.first..PageNumber(run.end())).next() {
            self.page_count -= count;
            self.units.remove(&first);
        }
    }

    /// All units, with their checksums, ascending; `None` if there are too many.
    pub(crate) fn units(&self) -> Option<Vec<(Extent, u32)>> {
        let units = self.units.iter().map(|(&first, &(count, checksum))| (Extent { first, count }, checksum));
        (!self.is_given_up).then(|| units.collect())
    }

    /// The list for a meta, and its digest; `None` if it is not known, or does not fit in `capacity` extents.
    pub(crate) fn list(&self, capacity: usize) -> Option<(Vec<Extent>, u32)> {
        let units = self.units()?;
        let mut runs: Vec<Extent> = Vec::new();
        for &(run, _) in &units {
            match runs.last_mut() {
                Some(last) if last.end() == run.first.0 => last.count += run.count,
                _ => runs.push(run),
            }
        }
        let digest = meta::digest(units.into_iter().map(|(_, checksum)| checksum));
        (runs.len() <= capacity).then_some((runs, digest))
    }
}

/// The pages of `newest` that were born after the durable transaction, from the deltas of all commits since then.
/// `None` if one of them is not known.
pub(crate) fn unsynced_pages(
    shared: &SharedMemory,
    newest: TransactionId,
    delta_of: impl Fn(TransactionId) -> Option<CommitDelta>,
) -> Option<UnsyncedPages> {
    let durable = shared.durable();
    let mut first = durable.next().max(shared.first_id());
    if is_mutated(Mutation::OnlyLastCommitListed) {
        first = newest;
    }
    if newest.0.saturating_sub(durable.0) > RING_LEN as u64 {
        return None;
    }
    let mut fresh = UnsyncedPages::default();
    for id in (first.0..=newest.0).map(TransactionId) {
        let delta = delta_of(id)?;
        if !is_mutated(Mutation::DeadPagesListed) {
            delta.retired.iter().for_each(|&run| fresh.remove(run));
        }
        delta.stored.iter().for_each(|&(run, checksum)| fresh.add(run, checksum));
    }
    Some(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_and_not_retired_is_listed() {
        let mut fresh = UnsyncedPages::default();
        fresh.add(Extent::new(10, 1), 100);
        fresh.add(Extent::new(11, 3), 110);
        fresh.add(Extent::new(20, 1), 200);
        fresh.add(Extent::new(21, 1), 210);
        fresh.remove(Extent::new(20, 1));
        fresh.remove(Extent::new(500, 9));
        let (runs, digest) = fresh.list(9).unwrap();
        assert_eq!(runs, [Extent::new(10, 4), Extent::new(21, 1)]);
        assert_eq!(digest, meta::digest([100, 110, 210]));
        assert!(fresh.list(1).is_none(), "does not fit");
        fresh.remove(Extent::new(10, 4));
        assert_eq!(fresh.list(9).unwrap().0, [Extent::new(21, 1)], "several units named as one extent");
    }

    #[test]
    fn too_many_pages_are_given_up() {
        let mut fresh = UnsyncedPages::default();
        fresh.add(Extent::new(2, PAGE_LIMIT), 0);
        assert!(fresh.list(1).is_some());
        fresh.add(Extent::new(2 + PAGE_LIMIT, 1), 0);
        assert!(fresh.list(usize::MAX).is_none());
        fresh.remove(Extent::new(2, PAGE_LIMIT));
        assert!(fresh.units().is_none());
    }
}
