//! Round trips, records that do not continue the log, forged ones, and the bytes of one.

use std::ops::Bound;

use super::*;
use crate::format::catalog::TableKind;

const BLOCK: u64 = 4096;
const MOST: usize = 1 << 20;
const END: LogEnd = LogEnd {
    identity: *b"identity of file",
    lsn: Lsn(0x0010_2030),
    chain: 0xabcd_1234,
    last: TransactionId(41),
};

fn builder() -> RecordBuilder {
    let mut builder = RecordBuilder::new(MOST);
    builder.push("fruit", Operation::Create { kind: TableKind::Table, key_type: "str", value_type: "u64" });
    builder.push("fruit", Operation::Put { key: b"apple", value: b"\x01\x00" });
    builder.push("fruit", Operation::Delete { key: b"pear" });
    let (lower, upper) = (Bound::Included(&b"a"[..]), Bound::Excluded(&b"c"[..]));
    builder.push("stock", Operation::RemoveRange { lower, upper, removed: 300 });
    builder.push("stock", Operation::Rename { to: "old" });
    builder
}

fn record() -> Vec<u8> {
    builder().finish(&END, true).0.to_vec()
}

/// Makes the checksum right.
fn forge(record: &mut [u8]) {
    let checksum = END.checksum(record);
    put_u32(record, 0, checksum);
}

#[test]
fn a_record_has_these_bytes() {
    let expected = [
        &[0x6b, 0x42, 0xd9, 0xe2][..],              // CRC-32
        &[84, 0, 0, 0],                             // length
        &[0x30, 0x20, 0x10, 0, 0, 0, 0, 0],         // LSN
        &[42, 0, 0, 0, 0, 0, 0, 0],                 // transaction
        &[1, 1, 0, 0],                              // changes, seals
        &[7, 0, 0, 0],                              // operations
        b"\x01\x05fruit\x02\x03str\x03u64",         // table, create
        b"\x06\x05apple\x02\x01\x00\x08\x04pear",   // put, delete
        b"\x01\x05stock\x09\x09\x01a\x01c\xac\x02", // table, remove a range
        b"\x04\x03old",                             // rename
    ]
    .concat();
    assert_eq!(record(), expected);
}

#[test]
fn a_record_round_trips() {
    let mut builder = builder();
    assert_eq!((builder.kind(), builder.is_empty()), (RecordKind::Changes, false));
    let length = builder.record_len();
    let (bytes, checksum) = builder.finish(&END, false);
    assert_eq!(bytes.len(), length);
    let followed = [bytes, b"what lies between records"].concat();
    let record = Record::decode(&followed, &END, MOST).unwrap().unwrap();
    assert_eq!(record.bytes(), bytes);
    assert_eq!((record.lsn(), record.checksum(), record.seals()), (END.lsn, checksum, false));
    let operations = record.operations().collect::<Result<Vec<_>>>().unwrap();
    let tables: Vec<&str> = operations.iter().map(|(table, _)| *table).collect();
    assert_eq!(tables, ["fruit", "fruit", "fruit", "stock", "stock"]);
    assert_eq!(operations[1].1, Operation::Put { key: b"apple", value: b"\x01\x00" });
    let after = END.after(bytes.len(), checksum, record.seals(), BLOCK);
    assert_eq!(after, LogEnd { lsn: Lsn(0x0010_2088), chain: checksum, last: TransactionId(42), ..END });
}

#[test]
fn records_without_changes_round_trip() {
    let mut builder = RecordBuilder::new(MOST);
    for seals in [false, true, true] {
        assert!(builder.is_empty() && builder.record_len() == HEADER_LEN);
        let (bytes, checksum) = builder.finish(&END, seals);
        assert_eq!((checksum, bytes[KIND_AT]), (get_u32(bytes, 0), NO_CHANGE));
        let record = Record::decode(bytes, &END, HEADER_LEN).unwrap().unwrap();
        assert_eq!((record.seals(), record.operations().count()), (seals, 0));
    }
}

#[test]
fn the_next_record_is_aligned_and_after_a_sealed_one_in_the_next_block() {
    for (end, next, next_block) in [(4096, 4096, 4096), (4097, 4104, 8192), (4104, 4104, 8192)] {
        assert_eq!(next_after(Lsn(end), false, BLOCK), Lsn(next));
        assert_eq!(next_after(Lsn(end), true, BLOCK), Lsn(next_block));
    }
}

#[test]
fn no_damaged_byte_is_accepted() {
    let good = record();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut damaged = good.clone();
            damaged[at] ^= 1 << bit;
            assert!(Record::decode(&damaged, &END, MOST).unwrap().is_none(), "bit {bit} of byte {at}");
        }
        assert!(Record::decode(&good[..at], &END, MOST).unwrap().is_none(), "cut at {at}");
    }
    assert!(Record::decode(&good, &END, good.len()).unwrap().is_some());
    assert!(Record::decode(&good, &END, good.len() - 1).unwrap().is_none(), "too long");
}

#[test]
fn a_record_continues_one_log_at_one_place_only() {
    let good = record();
    let mut identity = END.identity;
    identity[15] ^= 1;
    let others = [
        LogEnd { identity, ..END },
        LogEnd { chain: END.chain ^ 1, ..END },
        LogEnd { lsn: END.lsn.plus(1 << 20), ..END }, // another lap of the ring
        LogEnd { last: TransactionId(40), ..END },
        LogEnd { last: TransactionId(42), ..END },
    ];
    for other in others {
        assert!(Record::decode(&good, &other, MOST).unwrap().is_none(), "{other:?}");
    }
}

#[test]
fn ids_have_a_limit() {
    let end = LogEnd { last: TransactionId::MAX, ..END };
    let (record, _) = without_changes(&end, false);
    assert!(Record::decode(&record, &end, MOST).unwrap().is_none());
}

#[test]
fn forged_headers_end_the_log() {
    let good = record();
    let forged = |change: fn(&mut [u8])| {
        let mut bytes = good.clone();
        change(&mut bytes);
        forge(&mut bytes);
        Record::decode(&bytes, &END, MOST).map(|record| record.is_some())
    };
    assert!(forged(|_| {}).unwrap());
    assert!(!forged(|bytes| bytes[KIND_AT] = 0).unwrap());
    assert!(!forged(|bytes| bytes[KIND_AT] = 6).unwrap());
    assert!(!forged(|bytes| bytes[FLAGS_AT] = 2).unwrap());
    assert!(!forged(|bytes| bytes[RESERVED.start] = 1).unwrap());
    assert!(!forged(|bytes| bytes[RESERVED.end - 1] = 1).unwrap());
    assert!(!forged(|bytes| bytes[KIND_AT] = NO_CHANGE).unwrap(), "no change, with operations");
    assert!(!forged(|bytes| put_u64(bytes, LSN_AT, 0)).unwrap());
    assert!(!forged(|bytes| put_u64(bytes, ID_AT, 41)).unwrap());
    for kind in [PREPARE, DECIDE] {
        let (mut record, _) = without_changes(&END, false);
        record[KIND_AT] = kind;
        assert!(Record::decode(&record, &END, MOST).unwrap().is_none(), "the checksum is wrong");
        forge(&mut record);
        assert!(matches!(Record::decode(&record, &END, MOST), Err(Error::NewerFormat { .. })));
    }
    for length in [0, HEADER_LEN as u32 - 1, MOST as u32 + 1, u32::MAX] {
        let mut bytes = good.clone();
        put_u32(&mut bytes, LENGTH_AT, length);
        assert_eq!(Record::declared_len(bytes.first_chunk().unwrap(), &END, MOST), None);
    }
}

#[test]
fn a_forged_count_is_corrupt() {
    for count in [0, 6, 8, u32::MAX] {
        let mut bytes = record();
        put_u32(&mut bytes, COUNT_AT, count);
        forge(&mut bytes);
        let record = Record::decode(&bytes, &END, MOST).unwrap().unwrap();
        let error = record.operations().collect::<Result<Vec<_>>>().unwrap_err();
        assert!(error.to_string().contains("LSN 1056816"), "{error}");
    }
}

#[test]
fn a_builder_gives_up_at_the_limit() {
    let fill = |limit: usize| {
        let mut builder = RecordBuilder::new(limit);
        builder.push("t", Operation::Put { key: b"a", value: &[1; 100] });
        builder.push("t", Operation::Delete { key: b"a" });
        builder
    };
    let length = fill(MOST).record_len();
    assert!(!fill(length).is_given_up());
    for limit in 0..length {
        let mut builder = fill(limit);
        assert!(builder.is_given_up() && builder.is_empty());
        assert_eq!(builder.bytes.capacity(), 0, "the memory is free");
        builder.push("t", Operation::Clear);
        assert!(builder.is_empty(), "it stays so");
    }
}

/// A small generator of numbers (xorshift), with a fixed seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn records_with_forged_bodies_are_read_or_corrupt() {
    let good = record();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..if cfg!(miri) { 50 } else { 20_000 } {
        let mut bytes = good.clone();
        for _ in 0..=numbers.below(3) {
            let at = HEADER_LEN + numbers.below(bytes.len() - HEADER_LEN);
            match numbers.below(3) {
                0 => bytes[at] = numbers.below(256) as u8,
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, numbers.below(12) as u8),
            }
            if bytes.len() <= HEADER_LEN + 1 {
                break;
            }
        }
        let length = bytes.len() as u32;
        put_u32(&mut bytes, LENGTH_AT, length);
        put_u32(&mut bytes, COUNT_AT, numbers.below(9) as u32);
        forge(&mut bytes);
        let record = Record::decode(&bytes, &END, MOST).unwrap().unwrap();
        match record.operations().collect::<Result<Vec<_>>>() {
            Ok(_) => read += 1,
            Err(error) => {
                assert!(matches!(error, Error::Corrupt(_)), "{error}");
                refused += 1;
            }
        }
    }
    assert!(read > 0 && refused > 0);
}

#[test]
fn a_builder_goes_back_to_a_position_even_after_it_has_given_up() {
    let put = |builder: &mut RecordBuilder, table: &str, length: usize| {
        builder.push(table, Operation::Put { key: b"key", value: &vec![7; length] });
    };
    let finished = |mut builder: RecordBuilder| builder.finish(&END, true).0.to_vec();
    let mut expected = RecordBuilder::new(1000);
    put(&mut expected, "a", 100);
    let mut builder = RecordBuilder::new(1000);
    let empty = builder.position();
    put(&mut builder, "a", 100);
    let outer = builder.position();
    put(&mut builder, "b", 100);
    let inner = builder.position();
    // The table of the last operation goes back too: the next operation on "a" needs no name.
    builder.keep_up_to(Some(&inner));
    builder.truncate(&outer);
    put(&mut builder, "a", 50);
    put(&mut expected, "a", 50);
    builder.keep_up_to(Some(&outer));
    put(&mut builder, "b", 5000);
    assert!(builder.is_given_up() && builder.is_empty());
    let given_up = builder.position();
    put(&mut builder, "b", 1);
    builder.truncate(&given_up);
    assert!(builder.is_given_up());
    builder.truncate(&outer);
    assert!(!builder.is_given_up() && !builder.is_empty());
    put(&mut builder, "a", 50);
    assert_eq!(finished(builder), finished(expected));

    let mut builder = RecordBuilder::new(1000);
    put(&mut builder, "b", 5000);
    assert_eq!(builder.bytes.capacity(), 0, "no position needs memory");
    builder.truncate(&empty);
    assert_eq!(builder.kind(), RecordKind::NoChange);
}
