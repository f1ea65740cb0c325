//! One record of the redo log: how it is collected, finished and read. Its layout is in the room's head.

use std::ops::Range;

use super::operation::{Operation, Operations, push_table, table_len};
use crate::base::bytes::{get_u32, get_u64, put_u32, put_u64};
use crate::base::checksum::checksum_of_parts;
use crate::base::{Lsn, TransactionId};
use crate::error::{Error, Result};
use crate::format::meta::{FORMAT_VERSION_WITH_NAMES, Identity};

pub(crate) const HEADER_LEN: usize = 32;

/// Records begin at multiples of this.
const ALIGNMENT: u64 = 8;

const LENGTH_AT: usize = 4;
const LSN_AT: usize = 8;
const ID_AT: usize = 16;
const KIND_AT: usize = 24;
const FLAGS_AT: usize = 25;
const RESERVED: Range<usize> = 26..28;
const COUNT_AT: usize = 28;

const CHANGES: u8 = 1;
const NO_CHANGE: u8 = 2;
const PREPARE: u8 = 3;
const DECIDE: u8 = 4;

const FLAG_SEALS: u8 = 1;

/// What a record says of its transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecordKind {
    /// It made the changes in the record.
    Changes,
    /// It changed nothing.
    NoChange,
}

impl RecordKind {
    fn to_byte(self) -> u8 {
        match self {
            RecordKind::Changes => CHANGES,
            RecordKind::NoChange => NO_CHANGE,
        }
    }
}

/// An end of the log: what the next record continues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogEnd {
    /// The file that the log belongs to.
    pub(crate) identity: Identity,
    /// Where the next record begins.
    pub(crate) lsn: Lsn,
    /// The checksum of the record before; 0 if there is none.
    pub(crate) chain: u32,
    /// The transaction before: the next record is of the one after it.
    pub(crate) last: TransactionId,
}

impl LogEnd {
    fn checksum(&self, record: &[u8]) -> u32 {
        checksum_of_parts([&self.identity[..], &self.chain.to_le_bytes(), &record[LENGTH_AT..]])
    }

    /// Fills in the header of `record`, whose body is complete. Returns the checksum, which is the chain after it.
    fn seal(&self, record: &mut [u8], kind: RecordKind, operation_count: u32, seals: bool) -> u32 {
        let length = record.len() as u32;
        put_u32(record, LENGTH_AT, length);
        put_u64(record, LSN_AT, self.lsn.0);
        put_u64(record, ID_AT, self.last.next().0);
        record[KIND_AT] = kind.to_byte();
        record[FLAGS_AT] = if seals { FLAG_SEALS } else { 0 };
        record[RESERVED].fill(0);
        put_u32(record, COUNT_AT, operation_count);
        let checksum = self.checksum(record);
        put_u32(record, 0, checksum);
        checksum
    }

    /// The end of the log after a record of `length` bytes with this checksum. `block` is in bytes.
    pub(crate) fn after(&self, length: usize, checksum: u32, seals: bool, block: u64) -> LogEnd {
        let end = self.lsn.plus(length as u64);
        let (lsn, last) = (next_after(end, seals, block), self.last.next());
        LogEnd { identity: self.identity, lsn, chain: checksum, last }
    }
}

/// Where the record after one that ends at `end` begins: in the next block, if that one seals (L14).
pub(crate) fn next_after(end: Lsn, seals: bool, block: u64) -> Lsn {
    end.round_up(if seals { block } else { ALIGNMENT })
}

/// Collects the operations of a transaction.
///
/// When they become too long for a record, or memory cannot be had, the builder gives up: the transaction is unlogged.
/// It can go back to an earlier position ([`RecordBuilder::truncate`]): a prefix of the operations is what the record
/// was then, and until the position is no longer needed a builder that gives up keeps the prefix
/// ([`RecordBuilder::keep_up_to`]).
#[derive(Debug)]
pub(crate) struct RecordBuilder {
    /// Space for the header, then the operations; empty until there is an operation, or the record is finished.
    bytes: Vec<u8>,
    limit: usize,
    operation_count: u32,
    /// Where in `bytes` the name of the last operation's table is.
    table: Range<usize>,
    /// How many of `bytes` stay when the builder gives up, because it may go back to a position there.
    kept_len: usize,
    is_given_up: bool,
}

/// How far a record was at some time.
#[derive(Clone, Debug)]
pub(crate) struct RecordPosition {
    len: usize,
    operation_count: u32,
    table: Range<usize>,
    is_given_up: bool,
}

impl RecordBuilder {
    /// A builder of a record that has at most `limit` bytes ([`Ring::max_record_len`]).
    ///
    /// [`Ring::max_record_len`]: crate::format::ring::Ring::max_record_len
    pub(crate) fn new(limit: usize) -> RecordBuilder {
        RecordBuilder {
            bytes: Vec::new(),
            limit: limit.min(u32::MAX as usize),
            operation_count: 0,
            table: 0..0,
            kept_len: 0,
            is_given_up: false,
        }
    }

    /// Adds an operation on `table`.
    #[inline]
    pub(crate) fn push(&mut self, table: &str, operation: Operation<'_>) {
        if self.is_given_up {
            return;
        }
        let is_other_table = self.is_empty() || self.bytes[self.table.clone()] != *table.as_bytes();
        let mut added = operation.encoded_len();
        if self.bytes.is_empty() {
            added += HEADER_LEN;
        }
        if is_other_table {
            added += table_len(table);
        }
        // `bytes` is not longer than the limit.
        if added > self.limit - self.bytes.len() || self.bytes.try_reserve(added).is_err() {
            self.give_up();
            return;
        }
        if self.bytes.is_empty() {
            self.bytes.resize(HEADER_LEN, 0);
        }
        if is_other_table {
            push_table(&mut self.bytes, table);
            self.table = self.bytes.len() - table.len()..self.bytes.len();
            self.operation_count += 1;
        }
        operation.encode(&mut self.bytes);
        self.operation_count += 1;
    }

    /// Makes the transaction an unlogged one, and frees the memory, except what a position needs.
    #[cold]
    pub(crate) fn give_up(&mut self) {
        self.bytes.truncate(self.kept_len);
        self.bytes.shrink_to_fit();
        (self.operation_count, self.table, self.is_given_up) = (0, 0..0, true);
    }

    /// How far the record is.
    pub(crate) fn position(&self) -> RecordPosition {
        RecordPosition {
            len: self.bytes.len(),
            operation_count: self.operation_count,
            table: self.table.clone(),
            is_given_up: self.is_given_up,
        }
    }

    /// From now on the record may go back to `position`, which it has passed or reached, and to those before it.
    /// `None`: to none.
    pub(crate) fn keep_up_to(&mut self, position: Option<&RecordPosition>) {
        self.kept_len = position.map_or(0, |position| position.len);
        if self.is_given_up {
            self.give_up();
        }
    }

    /// Goes back to a position that [`RecordBuilder::keep_up_to`] covers.
    pub(crate) fn truncate(&mut self, position: &RecordPosition) {
        self.bytes.truncate(position.len);
        self.operation_count = position.operation_count;
        self.table = position.table.clone();
        self.is_given_up = position.is_given_up;
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    /// Whether there is no operation: the transaction has changed nothing, or the builder has given up.
    pub(crate) fn is_empty(&self) -> bool {
        self.operation_count == 0
    }

    /// Which kind of record this becomes.
    pub(crate) fn kind(&self) -> RecordKind {
        if self.is_empty() { RecordKind::NoChange } else { RecordKind::Changes }
    }

    /// How many bytes the record has.
    pub(crate) fn record_len(&self) -> usize {
        self.bytes.len().max(HEADER_LEN)
    }

    /// Completes the record that continues the log at `end`. Returns its bytes, and its checksum.
    pub(crate) fn finish(&mut self, end: &LogEnd, seals: bool) -> (&[u8], u32) {
        let kind = self.kind();
        if self.bytes.is_empty() {
            self.bytes.resize(HEADER_LEN, 0);
        }
        let checksum = end.seal(&mut self.bytes, kind, self.operation_count, seals);
        (&self.bytes, checksum)
    }
}

/// A record whose header and checksum are right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    bytes: &'a [u8],
    seals: bool,
}

impl<'a> Record<'a> {
    /// Returns the length that a record's header declares, if it may be that of the record that continues the log at
    /// `end` and has at most `most_bytes` bytes. Its checksum has not been compared.
    pub(crate) fn declared_len(header: &[u8; HEADER_LEN], end: &LogEnd, most_bytes: usize) -> Option<usize> {
        let length = get_u32(header, LENGTH_AT) as usize;
        let id = TransactionId(get_u64(header, ID_AT));
        let is_next =
            get_u64(header, LSN_AT) == end.lsn.0 && id == end.last.next() && id <= TransactionId::MAX;
        (is_next && (HEADER_LEN..=most_bytes).contains(&length)).then_some(length)
    }

    /// Reads the record that `bytes` begin with. `None` if they do not begin with the record that continues the log at
    /// `end` and has at most `most_bytes` bytes: the log ends there. [`Error::NewerFormat`] if the record is right, and
    /// of a kind that is reserved.
    pub(crate) fn decode(bytes: &'a [u8], end: &LogEnd, most_bytes: usize) -> Result<Option<Record<'a>>> {
        let length = bytes.first_chunk().and_then(|header| Record::declared_len(header, end, most_bytes));
        let Some(bytes) = length.and_then(|length| bytes.get(..length)) else { return Ok(None) };
        if get_u32(bytes, 0) != end.checksum(bytes) {
            return Ok(None);
        }
        let kind = match bytes[KIND_AT] {
            CHANGES => RecordKind::Changes,
            NO_CHANGE => RecordKind::NoChange,
            PREPARE | DECIDE => {
                return Err(Error::NewerFormat {
                    found: FORMAT_VERSION_WITH_NAMES + 1,
                    supported: FORMAT_VERSION_WITH_NAMES,
                });
            }
            _ => return Ok(None),
        };
        let has_body = bytes.len() > HEADER_LEN || get_u32(bytes, COUNT_AT) != 0;
        let is_right = bytes[FLAGS_AT] <= FLAG_SEALS
            && bytes[RESERVED].iter().all(|&byte| byte == 0)
            && (kind == RecordKind::Changes || !has_body);
        let seals = bytes[FLAGS_AT] == FLAG_SEALS;
        Ok(is_right.then_some(Record { bytes, seals }))
    }

    /// Its checksum, which is the chain after it.
    pub(crate) fn checksum(&self) -> u32 {
        get_u32(self.bytes, 0)
    }

    pub(crate) fn lsn(&self) -> Lsn {
        Lsn(get_u64(self.bytes, LSN_AT))
    }

    /// Whether the next record begins in the next block (L14).
    pub(crate) fn seals(&self) -> bool {
        self.seals
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The operations, in the order in which they were made.
    pub(crate) fn operations(&self) -> Operations<'a> {
        Operations::new(&self.bytes[HEADER_LEN..], get_u32(self.bytes, COUNT_AT), self.lsn())
    }
}

/// A record without changes.
#[cfg(test)]
pub(super) fn without_changes(end: &LogEnd, seals: bool) -> ([u8; HEADER_LEN], u32) {
    let mut builder = RecordBuilder::new(HEADER_LEN);
    let (bytes, checksum) = builder.finish(end, seals);
    (bytes.try_into().expect("a header and nothing more"), checksum)
}

#[cfg(test)]
mod tests;
