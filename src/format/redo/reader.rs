//! Reads the records of a ring, from the log start on, until one is not right.

use super::record::{HEADER_LEN, LogEnd, Record};
use crate::base::Lsn;
use crate::error::{Error, Result};
use crate::format::meta::{Meta, RedoStart};
use crate::format::ring::Ring;

/// At most this many bytes are read ahead, in one call.
const MAX_READ_AHEAD: usize = 64 << 10;
/// By how much the next read is longer than the last one. The first reads a header only: often there is no record.
const READ_AHEAD_FACTOR: usize = 16;

/// Where a log lies, and where it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogPlace {
    pub(crate) ring: Ring,
    pub(crate) page_size: usize,
    /// In bytes.
    pub(crate) block: u64,
    /// The log start of the newest durable checkpoint, which bounds how far the log goes (L7).
    pub(crate) log_start: Lsn,
}

impl LogPlace {
    /// Where the log of the checkpoint that `meta` describes begins. `None` if the file has no ring.
    pub(crate) fn of_meta(meta: &Meta) -> Option<(LogPlace, LogEnd)> {
        let RedoStart { ring, log_start, chain, block } = meta.redo;
        let place = LogPlace { ring: ring?, page_size: meta.page_size, block: u64::from(block), log_start };
        let start = LogEnd { identity: meta.identity, lsn: log_start, chain, last: meta.id };
        Some((place, start))
    }
}

/// Walks the log, with one record or [`MAX_READ_AHEAD`] bytes of it in memory, whichever is more.
pub(crate) struct LogReader<R> {
    place: LogPlace,
    /// No record goes beyond this.
    limit: Lsn,
    end: LogEnd,
    /// The bytes of the log from `loaded_from` on.
    loaded: Vec<u8>,
    loaded_from: Lsn,
    read_ahead: usize,
    read: R,
}

impl<R: FnMut(u64, &mut [u8]) -> Result<()>> LogReader<R> {
    /// Begins with the record that continues the log at `start`, which is not below the log start. `read` reads bytes
    /// of the file, from an offset on.
    pub(crate) fn new(place: LogPlace, start: LogEnd, read: R) -> LogReader<R> {
        LogReader {
            place,
            limit: place.ring.limit(place.log_start, place.page_size, place.block),
            end: start,
            loaded: Vec::new(),
            loaded_from: start.lsn,
            read_ahead: HEADER_LEN,
            read,
        }
    }

    /// Returns the next record. `None` where the log ends: before the first record that is not right.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record<'_>>> {
        let start = self.end;
        let most = self.place.ring.max_record_len(self.place.page_size);
        let most = self.limit.since(start.lsn).min(most as u64) as usize;
        let header = self.load(HEADER_LEN)?.first_chunk();
        let Some(length) = header.and_then(|header| Record::declared_len(header, &start, most)) else {
            return Ok(None);
        };
        self.load(length)?;
        let at = start.lsn.since(self.loaded_from) as usize;
        let record = Record::decode(&self.loaded[at..], &start, most)?;
        if let Some(record) = record {
            self.end = start.after(length, record.checksum(), record.seals(), self.place.block);
        }
        Ok(record)
    }

    /// The end of the log after the last record that was returned.
    pub(crate) fn end(&self) -> LogEnd {
        self.end
    }

    /// Returns at least `length` bytes of the log from its end on, or those below the limit.
    fn load(&mut self, length: usize) -> Result<&[u8]> {
        let from = self.end.lsn;
        let at = from.since(self.loaded_from);
        if at + length as u64 <= self.loaded.len() as u64 {
            return Ok(&self.loaded[at as usize..]);
        }
        let wanted = length.max(self.read_ahead) as u64;
        self.read_ahead = (self.read_ahead * READ_AHEAD_FACTOR).min(MAX_READ_AHEAD);
        let to = from.plus(wanted).min(self.limit);
        let length = to.since(from) as usize;
        self.loaded.clear();
        let refused = |_| Error::OutOfMemory { bytes: length as u64 };
        self.loaded.try_reserve_exact(length).map_err(refused)?;
        self.loaded.resize(length, 0);
        let mut done = 0;
        for range in self.place.ring.byte_ranges(from, to, self.place.page_size) {
            let piece = (range.end - range.start) as usize;
            (self.read)(range.start, &mut self.loaded[done..done + piece])?;
            done += piece;
        }
        self.loaded_from = from;
        Ok(&self.loaded)
    }
}

#[cfg(test)]
mod tests;
