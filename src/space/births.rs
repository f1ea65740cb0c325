//! Which transaction stored which page, as far as the free log says it.
//!
//! A page whose write failed may be clean in the page cache, and be dropped from it. Then the file shows what was in
//! its place before: often another page, of the same number and with a right checksum. Only its birth tells that it is
//! not the page that was stored (L3): each page that a snapshot uses was taken by one transaction, has its id as birth,
//! and is in that transaction's delta.
//!
//! The log begins again now and then. What was taken before its first delta has no exact birth here: it is older than
//! that, or not younger than the checkpoint that is asked about.

use std::collections::BTreeMap;

use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::free_log::{self, Delta, Entry};

/// The births of all pages in use that are younger than a checkpoint.
pub(crate) struct Births {
    checkpointed: TransactionId,
    /// The first transaction whose delta the log has.
    first: TransactionId,
    /// First page of an extent to its end and its birth.
    runs: BTreeMap<u32, (u32, TransactionId)>,
}

impl Births {
    /// Reads them from the whole log of transaction `newest`. Ids that are not `checkpointed` or older follow each
    /// other, except that a session begins with `first_of_session`: if any is missing, the log is not that of `newest`.
    pub(crate) fn read(
        log: &[u8],
        newest: TransactionId,
        checkpointed: TransactionId,
        first_of_session: TransactionId,
    ) -> Result<Births> {
        let mut deltas: Vec<Delta> = Vec::new();
        for entry in free_log::entries(log) {
            let Entry::Delta(delta) = entry? else { continue };
            let before = deltas.last().map(|last| last.id);
            let follows = before.is_none_or(|before| before.next() == delta.id);
            if !follows && delta.id > checkpointed && delta.id != first_of_session {
                return Err(missing(before.unwrap_or_default(), delta.id));
            }
            deltas.push(delta);
        }
        let (Some(first), Some(last)) = (deltas.first(), deltas.last()) else {
            return Err(missing(TransactionId::default(), newest));
        };
        if last.id != newest {
            return Err(missing(last.id, newest));
        }
        let mut births = Births { checkpointed, first: first.id, runs: BTreeMap::new() };
        for delta in deltas.iter().rev().take_while(|delta| delta.id > checkpointed) {
            delta.taken.iter().for_each(|&run| births.add(run, delta.id));
        }
        Ok(births)
    }

    /// Adds what is not there yet: younger transactions come first.
    fn add(&mut self, run: Extent, birth: TransactionId) {
        let mut at = run.first.0;
        while at < run.end() {
            let here = self.runs.range(..=at).next_back().map(|(_, &(end, _))| end);
            if let Some(end) = here.filter(|&end| end > at) {
                at = end;
                continue;
            }
            let next = self.runs.range(at..).next().map_or(run.end(), |(&first, _)| first.min(run.end()));
            self.runs.insert(at, (next, birth));
            at = next;
        }
    }

    /// Returns an error if the page in use that is found at `number` is not the one that was stored there.
    pub(crate) fn check(&self, number: PageNumber, found: TransactionId) -> Result<()> {
        let known = self.runs.range(..=number.0).next_back().map(|(_, &run)| run);
        let expected = known.filter(|&(end, _)| end > number.0).map(|(_, birth)| birth);
        let is_right = match expected {
            Some(birth) => found == birth,
            None => found <= self.checkpointed || found < self.first,
        };
        match (is_right, expected) {
            (true, _) => Ok(()),
            (false, Some(birth)) => {
                Err(corrupt(Some(number.0), "birth of a page not durable yet", birth, found))
            }
            (false, None) => {
                let expected = format_args!("before transaction {}", self.first);
                Err(corrupt(Some(number.0), "birth of a page not durable yet", expected, found))
            }
        }
    }
}

#[cold]
fn missing(before: TransactionId, next: TransactionId) -> crate::Error {
    let found = format_args!("none between {before} and {next}");
    corrupt(None, "free-space log", "a delta of each transaction", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::free_log::{Base, encode_base, encode_delta};

    const CHECKPOINTED: TransactionId = TransactionId(4);

    fn log(deltas: &[(u64, &[(u32, u32)])]) -> Vec<u8> {
        let mut bytes = encode_base(&Base { length_pages: 100, ..Base::default() });
        for &(id, taken) in deltas {
            let taken = taken.iter().map(|&(first, count)| Extent::new(first, count)).collect();
            let delta = Delta { id: TransactionId(id), length_pages: 100, taken, retired: Vec::new() };
            bytes.extend(encode_delta(&delta));
        }
        bytes
    }

    fn read(deltas: &[(u64, &[(u32, u32)])]) -> Result<Births> {
        let newest = TransactionId(deltas.last().map_or(0, |&(id, _)| id));
        Births::read(&log(deltas), newest, CHECKPOINTED, TransactionId(9))
    }

    #[test]
    fn a_page_has_the_birth_of_the_last_transaction_that_took_it() {
        let births = read(&[
            (3, &[(10, 5)]),
            (4, &[(20, 1)]),
            (5, &[(30, 10)]),
            (6, &[(10, 1), (33, 2)]),
            (7, &[(28, 4), (34, 10)]),
        ])
        .unwrap();
        let born = [(10, 6), (28, 7), (31, 7), (32, 5), (33, 6), (34, 7), (39, 7), (43, 7)];
        for (page, birth) in born {
            for found in 1..9 {
                let is_right = births.check(PageNumber(page), TransactionId(found)).is_ok();
                assert_eq!(is_right, found == birth, "page {page}, {found}");
            }
        }
        for older in [9, 11, 20, 27, 44] {
            for found in 1..9 {
                assert_eq!(births.check(PageNumber(older), TransactionId(found)).is_ok(), found <= 4);
            }
        }
    }

    #[test]
    fn what_was_taken_before_the_log_began_is_older_than_that() {
        let births = read(&[(7, &[(30, 10)]), (8, &[])]).unwrap();
        assert!(births.check(PageNumber(30), TransactionId(6)).is_err());
        assert!(births.check(PageNumber(20), TransactionId(6)).is_ok());
        assert!(births.check(PageNumber(20), TransactionId(7)).is_err());
    }

    #[test]
    fn a_log_that_lacks_a_transaction_is_refused() {
        for gap in [&[5_u64, 7][..], &[3, 6], &[5, 8]] {
            let deltas: Vec<(u64, &[(u32, u32)])> = gap.iter().map(|&id| (id, &[][..])).collect();
            assert!(read(&deltas).is_err(), "{gap:?}");
        }
        // Where a session began ids are left out; what is checkpointed does not matter.
        assert!(read(&[(5, &[]), (9, &[]), (10, &[])]).is_ok());
        assert!(read(&[(1, &[]), (3, &[]), (4, &[]), (5, &[])]).is_ok());
        // The log of an older transaction.
        let older = Births::read(&log(&[(5, &[])]), TransactionId(6), CHECKPOINTED, TransactionId(9));
        assert!(older.is_err());
        let empty = Births::read(&log(&[]), TransactionId(6), CHECKPOINTED, TransactionId(9));
        assert!(empty.is_err());
    }
}
