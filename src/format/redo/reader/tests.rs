//! Walks over rings that wrap, that have stale records of an earlier lap, and that were forged.

use super::*;
use crate::base::{PageNumber, TransactionId};
use crate::format::redo::operation::Operation;
use crate::format::redo::record::{RecordBuilder, without_changes};

const PAGE: usize = 4096;
const BLOCK: u64 = 4096;
const RING: Ring = Ring { first: PageNumber(3), pages: 4, base: Lsn(5 * 4 * 4096) };
const FILE_BYTES: usize = 8 * PAGE;
const IDENTITY: [u8; 16] = *b"identity of file";

/// The LSN and the bytes of each record.
type Records = Vec<(Lsn, Vec<u8>)>;

/// A file with a ring, and the end of the log in it.
struct Log {
    file: Vec<u8>,
    place: LogPlace,
    start: LogEnd,
    end: LogEnd,
    /// Those since the start.
    records: Records,
}

impl Log {
    /// An empty log that begins `bytes` bytes after the ring's base. The file has `fill` everywhere.
    fn new(bytes: u64, fill: u8) -> Log {
        let lsn = RING.base.plus(bytes);
        let start = LogEnd { identity: IDENTITY, lsn, chain: 77, last: TransactionId(9) };
        let place = LogPlace { ring: RING, page_size: PAGE, block: BLOCK, log_start: lsn };
        Log { file: vec![fill; FILE_BYTES], place, start, end: start, records: Vec::new() }
    }

    /// Stores bytes of the log without looking at them.
    fn store(&mut self, lsn: Lsn, mut bytes: &[u8]) {
        for range in RING.byte_ranges(lsn, lsn.plus(bytes.len() as u64), PAGE) {
            let (piece, rest) = bytes.split_at((range.end - range.start) as usize);
            self.file[range.start as usize..range.end as usize].copy_from_slice(piece);
            bytes = rest;
        }
    }

    /// Appends a record with a value of `value_len` bytes, if there is room.
    fn append(&mut self, value_len: usize, seals: bool) -> bool {
        let mut builder = RecordBuilder::new(RING.max_record_len(PAGE));
        builder.push("t", Operation::Put { key: b"key", value: &vec![self.records.len() as u8; value_len] });
        assert!(!builder.is_given_up());
        let (record, checksum) = builder.finish(&self.end, seals);
        self.append_bytes(record, checksum, seals)
    }

    /// Appends a record without changes, if there is room.
    fn append_without_changes(&mut self, seals: bool) -> bool {
        let (record, checksum) = without_changes(&self.end, seals);
        self.append_bytes(&record, checksum, seals)
    }

    fn append_bytes(&mut self, record: &[u8], checksum: u32, seals: bool) -> bool {
        let start = self.end;
        let has_room = RING.has_room(start.lsn.plus(record.len() as u64), self.place.log_start, PAGE, BLOCK);
        if has_room {
            self.store(start.lsn, record);
            self.end = start.after(record.len(), checksum, seals, BLOCK);
            self.records.push((start.lsn, record.to_vec()));
        }
        has_room
    }

    /// The beginning of the log moves up to its end.
    fn checkpoint(&mut self) {
        self.records.clear();
        self.start = self.end;
        self.place.log_start = self.end.lsn;
    }

    /// Reads all records and returns them with the end. No byte outside of the ring is read.
    fn read(&self) -> Result<(Records, LogEnd)> {
        let extent = RING.extent();
        let ring = extent.first.offset(PAGE)..PageNumber(extent.end()).offset(PAGE);
        let mut reader = LogReader::new(self.place, self.start, |offset, bytes: &mut [u8]| {
            assert!(ring.start <= offset && offset + bytes.len() as u64 <= ring.end);
            bytes.copy_from_slice(&self.file[offset as usize..][..bytes.len()]);
            Ok(())
        });
        let mut records = Vec::new();
        while let Some(record) = reader.next_record()? {
            record.operations().collect::<Result<Vec<_>>>()?;
            records.push((record.lsn(), record.bytes().to_vec()));
        }
        Ok((records, reader.end()))
    }

    #[track_caller]
    fn assert_is_read(&self) {
        let (records, end) = self.read().unwrap();
        assert_eq!((&records, end), (&self.records, self.end));
    }
}

#[test]
fn a_log_is_read_from_every_place_of_the_ring() {
    let length = RING.length_bytes(PAGE);
    for bytes in (0..length).step_by(if cfg!(miri) { 4088 } else { 8 }) {
        for fill in [0, 0xff] {
            let mut log = Log::new(bytes, fill);
            log.assert_is_read();
            for (number, value_len) in [0, 1, 500, 4000, 7, 3000].into_iter().enumerate() {
                assert!(log.append(value_len, number == 1));
            }
            log.assert_is_read();
        }
    }
}

#[test]
fn a_full_ring_is_read_and_nothing_that_is_beyond_it() {
    // The block of the log start has space for a record before the log start.
    for bytes in (40..BLOCK).step_by(104) {
        let mut log = Log::new(bytes, 0);
        while log.append(100, false) {}
        while log.append_without_changes(false) {}
        assert!(log.records.len() > 80);
        log.assert_is_read();
        let (beyond, _) = without_changes(&log.end, false);
        log.store(log.end.lsn, &beyond);
        log.assert_is_read();
    }
}

#[test]
fn records_of_earlier_laps_do_not_continue_the_log() {
    let mut log = Log::new(0, 0);
    let mut state = 1u64;
    for _ in 0..if cfg!(miri) { 3 } else { 300 } {
        loop {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if !log.append((state >> 33) as usize % 1500, state >> 62 == 0) {
                break;
            }
            log.assert_is_read();
        }
        log.checkpoint();
        log.assert_is_read();
    }
    assert!(log.end.lsn.since(RING.base) > 2 * RING.length_bytes(PAGE), "it has gone round");
}

#[test]
fn the_log_ends_at_damage() {
    let mut log = Log::new(4 * BLOCK - 64, 0);
    for _ in 0..10 {
        assert!(log.append(40, false));
    }
    for number in 0..10 {
        let (lsn, record) = log.records[number].clone();
        for at in [0, 4, 8, 16, HEADER_LEN, record.len() - 1] {
            let mut damaged = record.clone();
            damaged[at] ^= 0x10;
            log.store(lsn, &damaged);
            let (records, end) = log.read().unwrap();
            assert_eq!(records, log.records[..number]);
            assert_eq!((end.lsn, end.last), (lsn, TransactionId(9 + number as u64)));
        }
        log.store(lsn, &record);
    }
    log.assert_is_read();
}

#[test]
fn a_record_without_changes_continues_the_log() {
    let mut log = Log::new(0, 0);
    assert!(log.append_without_changes(true));
    assert!(log.append(10, true));
    assert_eq!(log.records[1].0, RING.base.plus(BLOCK));
    log.assert_is_read();
}

#[test]
fn a_record_is_at_most_a_quarter_of_the_ring() {
    for (value_len, is_accepted) in [(BLOCK as usize - HEADER_LEN - 10, true), (BLOCK as usize, false)] {
        let mut log = Log::new(0, 0);
        let mut builder = RecordBuilder::new(usize::MAX);
        builder.push("t", Operation::Put { key: b"k", value: &vec![1; value_len] });
        let record = builder.finish(&log.end, false).0.to_vec();
        assert_eq!(record.len() as u64 <= BLOCK, is_accepted);
        log.store(log.end.lsn, &record);
        assert_eq!(log.read().unwrap().0.len(), usize::from(is_accepted));
    }
}

#[test]
fn an_error_of_reading_is_returned() {
    let log = Log::new(0, 0);
    let refused = |_, _: &mut [u8]| Err(Error::Poisoned);
    assert!(matches!(LogReader::new(log.place, log.start, refused).next_record(), Err(Error::Poisoned)));
}

#[test]
fn an_empty_log_costs_one_short_read() {
    let log = Log::new(0, 0);
    let mut lengths = Vec::new();
    let read = |_, bytes: &mut [u8]| {
        lengths.push(bytes.len());
        Ok(())
    };
    assert!(LogReader::new(log.place, log.start, read).next_record().unwrap().is_none());
    assert_eq!(lengths, [HEADER_LEN]);
}
