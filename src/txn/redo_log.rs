//! The redo log in its ring: where records are stored, read, and stored again.
//!
//! Invariants (docs/DURABILITY.md):
//! - L2: a record is stored before newest advances over it. That a writer begins to store one is noted first. So the
//!   next writer, if that one has died, finds the *orphaned* record, and completes its transaction.
//! - L7: a record is stored only where it overwrites nothing from the block of the log start on.
//! - Log bytes below newest's log end do not change until the log start has passed them, and the log start moves in
//!   under the syncer lock only. So a syncer may store them again (L3).

use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{Lsn, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::meta::META_PAGES;
use crate::format::redo::reader::{LogPlace, LogReader};
use crate::format::redo::record::{LogEnd, Record, RecordBuilder};
use crate::format::ring::Ring;
use crate::shm::watermarks::{CommittedState, LogState};
use crate::txn::database::Database;
use crate::txn::page_file::PageFile;

/// Bytes that are stored again, or filled with zeros, in one piece.
const PIECE_BYTES: u64 = 1 << 20;

impl LogState {
    /// The log after a transaction that is not in it, and to which `self` was the state before.
    pub(super) fn with_unlogged(self, id: TransactionId) -> LogState {
        LogState { unlogged: id, ..self }
    }

    /// The log after a record, which ends at `end`. `is_promised`: a sync may call the transaction durable (L14).
    pub(super) fn after(self, end: &LogEnd, is_promised: bool) -> LogState {
        let mut log = LogState { end: end.lsn, chain: end.chain, ..self };
        if is_promised {
            (log.sealed, log.sealed_end) = (end.last, end.lsn);
        }
        log
    }

    /// A log in `ring` that begins there, after a transaction that is not in the log.
    pub(super) fn in_new_ring(self, ring: Ring, id: TransactionId) -> LogState {
        LogState { ring: Some(ring), end: ring.base, ..self }.with_unlogged(id)
    }

    /// What the next record continues, if this is the state after transaction `last`.
    pub(super) fn end_after(&self, last: TransactionId, database: &Database) -> LogEnd {
        LogEnd { identity: database.identity, lsn: self.end, chain: self.chain, last }
    }
}

impl Database {
    /// Whether a record of `length` bytes can be stored at the end of `log`, over bytes that no replay needs (L7).
    pub(super) fn has_room_for_record(&self, log: &LogState, ring: Ring, length: usize) -> bool {
        // Below the ring's base the log lies in the ring before it.
        let log_start = self.shared.log_start().max(ring.base);
        ring.has_room(log.end.plus(length as u64), log_start, self.pages.page_size, self.block)
    }

    /// Whether so much of the ring is in use that a checkpoint is due.
    pub(super) fn is_log_half_full(&self, log: &LogState) -> bool {
        self.is_log_filled(log, 1, 2)
    }

    /// Whether more than `part` of `parts` of the ring is in use.
    pub(super) fn is_log_filled(&self, log: &LogState, part: u64, parts: u64) -> bool {
        let Some(ring) = log.ring.filter(|_| !is_mutated(Mutation::LogOverwritten)) else { return false };
        let log_start = self.shared.log_start().max(ring.base);
        log.end.since(log_start) > ring.length_bytes(self.pages.page_size) / parts * part
    }

    /// Stores a record at `lsn`. There is room for it.
    pub(super) fn store_record(&self, ring: Ring, lsn: Lsn, record: &[u8]) -> Result<()> {
        let to = lsn.plus(record.len() as u64);
        let mut rest = record;
        for range in ring.byte_ranges(lsn, to, self.pages.page_size) {
            let (piece, after) = rest.split_at((range.end - range.start) as usize);
            self.pages.write("write the log to", range.start, &[piece])?;
            rest = after;
        }
        Ok(())
    }

    /// Stores log bytes again, over themselves, so that the next barrier of this handle writes them (L3).
    pub(super) fn store_log_again(&self, ring: Ring, from: Lsn, to: Lsn) -> Result<()> {
        for range in ring.byte_ranges(from, to, self.pages.page_size) {
            let mut at = range.start;
            while at < range.end {
                let mut piece = vec![0; PIECE_BYTES.min(range.end - at) as usize];
                self.pages.storage.read(at, &mut piece).map_err(self.pages.io_error("read the log of"))?;
                self.pages.write("write the log to", at, &[&piece])?;
                at += piece.len() as u64;
            }
        }
        Ok(())
    }

    /// Returns an error unless the log has every record up to the last one that seals: the page cache may have dropped
    /// bytes whose write has failed. The caller has the syncer lock, so that the checkpoint stays the newest (L3).
    pub(super) fn check_records(&self, newest: &CommittedState) -> Result<()> {
        let meta = self.pages.read_meta(self.shared.checkpoint_slot())?;
        let begin = meta.as_ref().and_then(LogPlace::of_meta);
        let LogState { sealed, sealed_end, .. } = newest.log;
        let mut found = Lsn(0);
        if let Some((place, start)) = begin {
            let mut reader = log_reader(&self.pages, place, start);
            while reader.end().last < sealed && reader.next_record()?.is_some() {}
            found = reader.end().lsn;
        }
        match found == sealed_end {
            true => Ok(()),
            false => Err(corrupt(None, "redo log", format_args!("records up to {sealed_end}"), found)),
        }
    }

    /// Fills a ring with zeros, so that no bytes in it continue the log.
    pub(super) fn fill_ring(&self, ring: Ring) -> Result<()> {
        let start = ring.first.offset(self.pages.page_size);
        let end = start + ring.length_bytes(self.pages.page_size);
        let zeros = vec![0; PIECE_BYTES.min(end - start) as usize];
        let mut at = start;
        while at < end {
            let piece = &zeros[..zeros.len().min((end - at) as usize)];
            self.pages.write("write the log to", at, &[piece])?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Calls `each` with the record at the end of newest's log, if there is one that continues it (L2).
    pub(super) fn with_orphan<T>(
        &self,
        newest: &CommittedState,
        each: impl FnOnce(&Record<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(ring) = newest.log.ring else { return Ok(None) };
        let log_start = self.shared.log_start().max(ring.base);
        let place = LogPlace { ring, page_size: self.pages.page_size, block: self.block, log_start };
        let end = newest.log.end_after(newest.snapshot.id, self);
        let mut reader = log_reader(&self.pages, place, end);
        reader.next_record()?.map(|record| each(&record)).transpose()
    }

    /// Returns an error unless the lock file's words about the log can be right: a writer stores where they say.
    pub(super) fn check_log(&self, newest: &CommittedState) -> Result<()> {
        let Some(ring) = newest.log.ring.filter(|_| !is_mutated(Mutation::LogOverwritten)) else {
            return Ok(());
        };
        let length = ring.length_bytes(self.pages.page_size);
        let (start, end) = (self.shared.log_start(), newest.log.end);
        let is_in_file = ring.first.0 >= META_PAGES
            && ring.first.0.checked_add(ring.pages).is_some_and(|end| end <= newest.snapshot.length_pages);
        let is_in_ring = ring.has_whole_blocks(self.pages.page_size, self.block)
            && ring.base.0.is_multiple_of(self.block)
            && ring.base <= end
            && start <= end
            && end.since(start.max(ring.base)) <= length;
        match is_in_file && is_in_ring && end <= Lsn::LIMIT {
            true => Ok(()),
            false => {
                Err(corrupt(None, "lock file", "a log within its ring", format_args!("{:?}", newest.log)))
            }
        }
    }
}

/// Reads the log of a file from `start` on.
pub(super) fn log_reader(
    pages: &PageFile,
    place: LogPlace,
    start: LogEnd,
) -> LogReader<impl FnMut(u64, &mut [u8]) -> Result<()>> {
    LogReader::new(place, start, move |offset, bytes: &mut [u8]| {
        pages.storage.read(offset, bytes).map_err(pages.io_error("read the log of"))
    })
}

/// The length of the longest record that a transaction over `log` may have; 0 if there is no ring.
pub(super) fn max_record_len(log: &LogState, page_size: usize) -> usize {
    log.ring.map_or(0, |ring| ring.max_record_len(page_size))
}

/// A builder for a transaction over `log`: one that has given up, if there is no ring.
pub(super) fn record_builder(log: &LogState, page_size: usize) -> RecordBuilder {
    let limit = max_record_len(log, page_size);
    let mut builder = RecordBuilder::new(limit);
    if limit == 0 {
        builder.give_up();
    }
    builder
}
