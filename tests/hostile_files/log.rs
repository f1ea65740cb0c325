//! Damage of the redo log, by what docs/FORMAT.md says of it: fields of records, their order, their operations, and
//! where the ring lies. Records are stored again one after the other, with right checksums, so that replay goes on to
//! what is wrong.

use std::ops::Range;

use crate::layout::{Image, REDO_FIELDS, REDO_HEADER_LEN, number_at, put_number, varint, varints};
use crate::mutations::Mutation;

/// Where the log of a meta lies.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    slot: usize,
    first_byte: usize,
    length: usize,
    base: u64,
    start: u64,
    chain: u32,
    block: u64,
}

/// The fields of a ring in a meta, and how long they are.
const RING_FIELDS: [(&str, usize, usize); 5] = [
    ("log start", 88, 8),
    ("base of the ring", 96, 8),
    ("first page of the ring", 104, 4),
    ("pages of the ring", 108, 4),
    ("block", 112, 4),
];

const PUT: u8 = 6;
const OPCODES: [u8; 10] = [1, 2, 3, 4, 5, PUT, 7, 8, 9, 0xff];

impl Log {
    fn offset(&self, lsn: u64) -> usize {
        self.first_byte + (lsn.wrapping_sub(self.base) % self.length as u64) as usize
    }

    /// Where the record after one of `length` bytes at `lsn` begins.
    fn after(&self, lsn: u64, record: &[u8]) -> u64 {
        let unit = if record[25] & 1 != 0 { self.block } else { 8 };
        lsn.wrapping_add(record.len() as u64).wrapping_add(unit - 1) / unit * unit
    }
}

impl Image {
    /// The log of the meta in a slot, if it lies in the file.
    fn log(&self, slot: usize) -> Option<Log> {
        let meta = self.page(slot);
        let number = |at, length| number_at(meta, at, length);
        let (first, pages) = (number(104, 4) as usize, number(108, 4) as usize);
        let is_inside =
            !self.lists_pages(slot) && pages > 0 && first.checked_add(pages)? <= self.page_count();
        is_inside.then(|| Log {
            slot,
            first_byte: first * self.page_size,
            length: pages * self.page_size,
            base: number(96, 8),
            start: number(88, 8),
            chain: number(84, 4) as u32,
            block: number(112, 4).max(8),
        })
    }

    fn log_bytes(&self, log: &Log, lsn: u64, length: usize) -> Vec<u8> {
        (0..length as u64).map(|at| self.bytes[log.offset(lsn.wrapping_add(at))]).collect()
    }

    /// The records of a log, from its start to the first that is not right.
    fn redo_records(&self, log: &Log) -> Vec<Vec<u8>> {
        let (mut lsn, mut chain, mut records, mut room) = (log.start, log.chain, Vec::new(), log.length);
        while room >= REDO_HEADER_LEN {
            let length = number_at(&self.log_bytes(log, lsn, 8), 4, 4) as usize;
            if !(REDO_HEADER_LEN..=room).contains(&length) {
                break;
            }
            let record = self.log_bytes(log, lsn, length);
            if number_at(&record, 0, 4) as u32 != self.redo_checksum(log, chain, &record) {
                break;
            }
            chain = number_at(&record, 0, 4) as u32;
            let next = log.after(lsn, &record);
            room = room.saturating_sub(next.wrapping_sub(lsn) as usize);
            lsn = next;
            records.push(record);
        }
        records
    }

    fn redo_checksum(&self, log: &Log, chain: u32, record: &[u8]) -> u32 {
        let identity = &self.page(log.slot)[24..40];
        crc32fast::hash(&[identity, &chain.to_le_bytes(), &record[4..]].concat())
    }

    /// Stores records from the log start on, as far as there is room, and zeros after them. If they are to be
    /// `placed`, each gets the LSN at which it lies, its length, and an id one above that of the one before.
    fn store_records(&mut self, log: &Log, records: &[Vec<u8>], placed: bool, seals: bool) {
        let (mut lsn, mut chain, mut room) = (log.start, log.chain, log.length);
        let mut id = number_at(self.page(log.slot), 40, 8);
        for record in records {
            let mut record = record.clone();
            record.truncate(room);
            if record.len() < REDO_HEADER_LEN {
                break;
            }
            id = id.wrapping_add(1);
            if placed {
                let length = record.len() as u64;
                put_number(&mut record, 4, 4, length);
                put_number(&mut record, 8, 8, lsn);
                put_number(&mut record, 16, 8, id);
            }
            if seals {
                chain = self.redo_checksum(log, chain, &record);
                put_number(&mut record, 0, 4, u64::from(chain));
            }
            for (at, byte) in record.iter().enumerate() {
                let place = log.offset(lsn.wrapping_add(at as u64));
                self.bytes[place] = *byte;
            }
            let next = log.after(lsn, &record);
            room = room.saturating_sub(next.wrapping_sub(lsn) as usize);
            lsn = next;
        }
        for at in 0..room.min(REDO_HEADER_LEN) as u64 {
            let place = log.offset(lsn.wrapping_add(at));
            self.bytes[place] = 0;
        }
    }
}

/// Where the operations of a record lie in it, as far as they can be read.
fn operations(record: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), REDO_HEADER_LEN);
    while at < record.len() {
        let start = at;
        let fields = match record[at] {
            1 | 4 | 8 => 1,
            2 | PUT => 2,
            9 => 2,
            _ => 0,
        };
        at += 1 + usize::from(record[start] == 9);
        for _ in 0..fields {
            let Some((length, bytes)) = record.get(at..).and_then(|rest| varints(rest).first().cloned())
            else {
                return found;
            };
            at = at.saturating_add(bytes.end).saturating_add(length as usize);
        }
        if record[start] == 9 {
            at += record.get(at..).and_then(|rest| varints(rest).first().cloned()).map_or(1, |(_, b)| b.end);
        }
        if at > record.len() {
            return found;
        }
        found.push(start..at);
    }
    found
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

impl Mutation<'_> {
    /// A log that has records, now and then also one that has none.
    fn log_and_records(&mut self) -> Option<(Log, Vec<Vec<u8>>)> {
        let slot = self.meta()?;
        let log = self.image.log(slot)?;
        let records = self.image.redo_records(&log);
        (!records.is_empty() || self.random.one_in(8)).then_some((log, records))
    }

    /// The ring lies elsewhere, or has another length, or the log begins elsewhere: often with its records, where there
    /// is room for them.
    pub(crate) fn ring_field(&mut self) -> Option<()> {
        let slot = self.meta().filter(|&slot| !self.image.lists_pages(slot))?;
        let records = self.image.log(slot).map(|log| self.image.redo_records(&log)).unwrap_or_default();
        let field = *self.random.pick(&RING_FIELDS);
        self.change_field(slot, 0, field)?;
        if self.random.one_in(2)
            && let Some(log) = self.image.log(slot)
        {
            self.say(format_args!(", with {} records", records.len()));
            self.image.store_records(&log, &records, true, true);
        }
        if self.seals {
            self.image.seal_meta(slot);
        }
        Some(())
    }

    /// Bytes of the log change, at its records or anywhere in the ring.
    pub(crate) fn redo_bytes(&mut self) -> Option<()> {
        let (log, records) = self.log_and_records()?;
        let used: usize = records.iter().map(Vec::len).sum();
        for _ in 0..1 + self.random.below(4) {
            let reach = if self.random.one_in(3) { log.length } else { used.max(64).min(log.length) };
            let at = log.offset(log.start.wrapping_add(self.random.below(reach) as u64));
            let flipped = self.image.bytes[at] ^ (1 << self.random.below(8));
            self.image.bytes[at] = flipped;
            self.say(format_args!("log: byte {at} is {flipped:#x}; "));
        }
        Some(())
    }

    /// A field of a record's header.
    pub(crate) fn redo_field(&mut self) -> Option<()> {
        let (log, mut records) = self.log_and_records()?;
        let which = self.random.below(records.len().max(1));
        let (name, at, length) = *self.random.pick(&REDO_FIELDS);
        let old = number_at(records.get(which)?, at, length);
        let new = self.number(old, length);
        put_number(&mut records[which], at, length, new);
        self.say(format_args!("record {which} of the log: {name} {old:#x} becomes {new:#x}"));
        self.image.store_records(&log, &records, false, self.seals);
        Some(())
    }

    /// Records change places, are left out, or are there twice; or an old one comes after the last.
    pub(crate) fn redo_order(&mut self) -> Option<()> {
        let (log, mut records) = self.log_and_records()?;
        let (one, other) = (self.random.below(records.len().max(1)), self.random.below(records.len().max(1)));
        let copy = records.get(one)?.clone();
        let how = self.random.below(4);
        match how {
            0 => records.swap(one, other),
            1 => drop(records.remove(one)),
            2 => records.insert(other, copy),
            _ => records.push(copy),
        }
        let placed = !self.random.one_in(3);
        self.say(format_args!("log: records {one} and {other}, way {how}, placed {placed}"));
        self.image.store_records(&log, &records, placed, self.seals);
        Some(())
    }

    /// An operation changes: its opcode, a length in it, a byte; or it is left out, or there is another one.
    pub(crate) fn redo_operation(&mut self) -> Option<()> {
        let (log, mut records) = self.log_and_records()?;
        if records.is_empty() {
            let mut header = vec![0; REDO_HEADER_LEN];
            header[24] = 1;
            records.push(header);
        }
        let which = self.random.below(records.len());
        let places = operations(&records[which]);
        let mut record = records[which].clone();
        let place =
            if places.is_empty() { record.len()..record.len() } else { self.random.pick(&places).clone() };
        let mut count = number_at(&record, 28, 4);
        let how = self.random.below(6);
        match how {
            0 if !place.is_empty() => record[place.start] = *self.random.pick(&OPCODES),
            1 if place.len() > 1 => {
                let (old, bytes) = varints(&record[place.start + 1..place.end]).first()?.clone();
                let (from, to) = (place.start + 1 + bytes.start, place.start + 1 + bytes.end);
                let new = self.number(old, 8);
                drop(record.splice(from..to, varint(new)));
            }
            2 if place.len() > 1 => {
                let at = place.start + self.random.below(place.len());
                record[at] = record[at].wrapping_add(1 + self.random.below(255) as u8);
            }
            3 if !place.is_empty() => {
                drop(record.drain(place.clone()));
                count = count.wrapping_sub(1);
            }
            _ => {
                let added = self.operation();
                drop(record.splice(place.end..place.end, added));
                count += 1;
            }
        }
        if !self.random.one_in(4) {
            put_number(&mut record, 28, 4, count & 0xffff_ffff);
        }
        self.say(format_args!("record {which} of the log: way {how} of changing the operation at {place:?}"));
        records[which] = record;
        self.image.store_records(&log, &records, true, self.seals);
        Some(())
    }

    /// An operation that may fit no table, or no limit.
    fn operation(&mut self) -> Vec<u8> {
        let names = ["a", "bytes", "numbers", "lazy", "large", "nowhere", "", "table 007 nnn"];
        let name = self.random.pick(&names).as_bytes();
        let long = *self.random.pick(&[0, 1, 8, 100, 1000, 2031, 2032, 5000, 9000, 40_000]);
        let (key, value) = (self.random.below(3), self.random.bytes(long));
        let key = match key {
            0 => value.clone(),
            1 => b"00003aaaaaaaaa".to_vec(),
            _ => self.random.bytes(8),
        };
        let opcode = *self.random.pick(&OPCODES);
        let fields: Vec<u8> = match opcode {
            1 | 4 => with_length(name),
            2 => [
                with_length(b"bytes"),
                with_length(self.random.pick::<&[u8]>(&[&b"bytes"[..], b"u64", b"\xff"])),
            ]
            .concat(),
            PUT => [with_length(&key), with_length(&value)].concat(),
            8 => with_length(&key),
            9 => {
                let bounds = self.random.below(16) as u8;
                let removed = self.random.next() >> self.random.below(64);
                [vec![bounds], with_length(&key), with_length(b"00009"), varint(removed)].concat()
            }
            _ => Vec::new(),
        };
        let table = if self.random.one_in(2) { [vec![1], with_length(name)].concat() } else { Vec::new() };
        [table, vec![opcode], fields].concat()
    }
}
