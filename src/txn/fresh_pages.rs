//! The pages that a record must list: those reachable from the head that were born after the last durable
//! record (R6), with their checksums.
//!
//! Invariants:
//! - While `complete_since <= durable`, the units with a birth above `durable` are exactly the live pages
//!   of head that are newer than the durable record: each commit adds what it stored and takes out what it
//!   retired, in one step.
//! - Bounded: beyond [`PAGE_LIMIT`] pages the list is given up until a sync has covered this commit; such a
//!   sync takes two barriers, whose cost is then noise beside the data.

use std::collections::BTreeMap;

use crate::base::{PageNumber, PageRun, TransactionId};
use crate::format::record;

/// More pages than this between two durable records are synced with two barriers (16 MiB at 4 KiB).
/// Fewer in tests, so that small histories get there too.
const PAGE_LIMIT: u32 = if cfg!(test) { 300 } else { 4096 };

/// A page, or an overflow run: what has one checksum.
#[derive(Clone, Copy, Debug)]
struct Unit {
    count: u32,
    checksum: u32,
    birth: TransactionId,
}

#[derive(Default, Debug)]
pub(crate) struct FreshPages {
    units: BTreeMap<PageNumber, Unit>,
    page_count: u32,
    /// Commits up to this one may have pages that are not in `units`.
    complete_since: TransactionId,
}

impl FreshPages {
    /// Pages that transaction `birth` has stored.
    pub(crate) fn add(&mut self, run: PageRun, checksum: u32, birth: TransactionId) {
        self.page_count = self.page_count.saturating_add(run.count);
        if self.page_count > PAGE_LIMIT {
            self.give_up(birth);
        }
        if birth > self.complete_since {
            self.units.insert(run.first, Unit { count: run.count, checksum, birth });
        }
    }

    fn give_up(&mut self, through: TransactionId) {
        self.units.clear();
        self.page_count = 0;
        self.complete_since = through;
    }

    /// Pages that are no longer reachable. They die unit by unit, but several may be named as one run.
    pub(crate) fn remove(&mut self, run: PageRun) {
        while let Some((&first, unit)) = self.units.range(run.first..PageNumber(run.end())).next() {
            self.page_count -= unit.count;
            self.units.remove(&first);
        }
    }

    /// Adds what a transaction has stored, `newer`, once it has happened.
    pub(crate) fn absorb(&mut self, newer: FreshPages) {
        if newer.complete_since > self.complete_since {
            self.give_up(newer.complete_since);
        }
        for (first, unit) in newer.units {
            self.add(PageRun { first, count: unit.count }, unit.checksum, unit.birth);
        }
    }

    /// The record for `durable` is on the disk: what it covers need not be listed any more.
    pub(crate) fn forget_through(&mut self, durable: TransactionId) {
        self.units.retain(|_, unit| unit.birth > durable);
        self.page_count = self.units.values().map(|unit| unit.count).sum();
    }

    /// The list for a record that follows the durable one, and its digest; `None` if it is not known or does
    /// not fit in `capacity` runs.
    pub(crate) fn list_since(&self, durable: TransactionId, capacity: usize) -> Option<(Vec<PageRun>, u32)> {
        if self.complete_since > durable {
            return None;
        }
        let mut runs: Vec<PageRun> = Vec::new();
        let mut checksums = Vec::new();
        for (&first, unit) in self.units.iter().filter(|(_, unit)| unit.birth > durable) {
            checksums.push(unit.checksum);
            match runs.last_mut() {
                Some(last) if last.end() == first.0 => last.count += unit.count,
                _ => runs.push(PageRun { first, count: unit.count }),
            }
        }
        (runs.len() <= capacity).then(|| (runs, record::digest(checksums)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TransactionId = TransactionId(1);
    const TWO: TransactionId = TransactionId(2);

    #[test]
    fn lists_live_pages_since_the_durable_record_only() {
        let mut fresh = FreshPages::default();
        fresh.add(PageRun::new(10, 1), 100, ONE);
        fresh.add(PageRun::new(11, 3), 110, ONE);
        fresh.add(PageRun::new(20, 1), 200, TWO);
        fresh.add(PageRun::new(21, 1), 210, TWO);
        fresh.remove(PageRun::new(20, 1));
        let (runs, digest) = fresh.list_since(TransactionId(0), 9).unwrap();
        assert_eq!(runs, [PageRun::new(10, 4), PageRun::new(21, 1)]);
        assert_eq!(digest, record::digest([100, 110, 210]));
        assert_eq!(fresh.list_since(ONE, 9).unwrap().0, [PageRun::new(21, 1)]);
        assert!(fresh.list_since(TransactionId(0), 1).is_none(), "does not fit");
        fresh.forget_through(ONE);
        assert_eq!(fresh.list_since(ONE, 9).unwrap().0, [PageRun::new(21, 1)]);
    }

    #[test]
    fn what_a_transaction_stored_is_absorbed() {
        let mut fresh = FreshPages::default();
        fresh.add(PageRun::new(10, 1), 100, ONE);
        let mut newer = FreshPages::default();
        newer.add(PageRun::new(11, 1), 110, TWO);
        fresh.absorb(newer);
        assert_eq!(fresh.list_since(TransactionId(0), 9).unwrap().0, [PageRun::new(10, 2)]);
        let mut huge = FreshPages::default();
        huge.add(PageRun::new(100, PAGE_LIMIT + 1), 0, TransactionId(3));
        fresh.absorb(huge);
        assert!(fresh.list_since(TWO, usize::MAX).is_none());
        assert_eq!(fresh.list_since(TransactionId(3), 9).unwrap().0, []);
    }

    #[test]
    fn a_list_given_up_is_unknown_until_a_sync_covers_it() {
        let mut fresh = FreshPages::default();
        for page in 0..=PAGE_LIMIT {
            fresh.add(PageRun::new(2 + page, 1), 0, ONE);
        }
        assert!(fresh.list_since(TransactionId(0), usize::MAX).is_none());
        fresh.add(PageRun::new(2, 1), 7, TWO);
        assert!(fresh.list_since(TransactionId(0), usize::MAX).is_none());
        assert_eq!(fresh.list_since(ONE, 9).unwrap().0, [PageRun::new(2, 1)]);
    }
}
