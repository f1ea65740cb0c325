//! Bulk loads: the result is that of one insert after the other, whatever is loaded, in which order, in how many runs,
//! into what; and a load that failed leaves nothing.
//!
//! `MAPLEAF_LONG=1` runs many more seeds; `MAPLEAF_SEED=N` runs one.
#![allow(clippy::big_endian_bytes, reason = "keys whose bytes order as the numbers do")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::common::{Random, Replay, assert_clean, seeds};
use mapleaf::{Db, Error, ReadTxn, Table, admin};

const BYTES: Table<[u8], [u8]> = Table::new("bytes");
const NUMBERS: Table<u64, u64> = Table::new("numbers");

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the keys of one load look like.
fn some_key(kind: usize, random: &mut Random, page_size: usize) -> Vec<u8> {
    let limit = page_size / 2 - 64;
    let number = random.below(2000) as u64;
    match kind {
        0 => random.below(usize::MAX).to_be_bytes()[..1 + random.below(8)].to_vec(),
        1 => random.bytes(24),
        // Heads that are all equal, of keys that differ late.
        2 => [
            b"one and the same beginning of sixty bytes, which is no little/".to_vec(),
            number.to_string().into(),
        ]
        .concat(),
        // Keys that are beginnings of others, followed by the zeros with which heads are padded.
        3 => [vec![random.below(2) as u8; random.below(20)], vec![0; random.below(12)]].concat(),
        // As long as may be, alike up to the end.
        4 => [vec![b'x'; limit - 8], (number % 50).to_be_bytes().to_vec()].concat(),
        5 => vec![7; random.below(limit + 1)],
        6 => number.to_be_bytes().to_vec(),
        // A few, again and again.
        7 => vec![b'k'; random.below(3)],
        _ => some_key(random.below(8), random, page_size),
    }
}

fn some_value(random: &mut Random, page_size: usize) -> Vec<u8> {
    let length = match random.below(60) {
        0 | 1 => 0,
        2..4 => page_size / 2 - 100 + random.below(200),
        4 => page_size - 100 + random.below(200),
        5 => random.below(5 * page_size),
        6 if random.one_in(20) => (256 << 10) - 2 + random.below(4),
        _ => random.below(200),
    };
    random.bytes(length)
}

/// Entries as a caller might have them.
fn some_entries(random: &mut Random, page_size: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let kind = random.below(9);
    let count = *random.pick(&[0, 1, 30, 300, 3000]);
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> =
        (0..count).map(|_| (some_key(kind, random, page_size), some_value(random, page_size))).collect();
    match random.below(5) {
        0 => entries.sort(),
        1 => {
            entries.sort();
            entries.reverse();
        }
        2 => {
            // In order, except for a piece in the middle, and some at the end that come late.
            entries.sort();
            let third = entries.len() / 3;
            entries[third..2 * third].reverse();
            let late = random.below(4).min(entries.len());
            entries.rotate_left(late);
        }
        _ => {}
    }
    entries
}

#[track_caller]
fn assert_content(rx: &ReadTxn, expected: &Entries) {
    let table = rx.table(&BYTES).unwrap();
    assert_eq!(table.len(), expected.len() as u64);
    let mut found = table.iter();
    for (key, value) in expected {
        let (found_key, found_value) = found.next().unwrap().unwrap();
        assert!(&*found_key == key.as_slice() && found_value == value, "{key:?}, {found_key:?}");
        assert_eq!(table.get(key).unwrap(), Some(&value[..]));
    }
    assert!(found.next().is_none());
}

#[test]
fn loads_leave_what_inserts_would() {
    for seed in seeds(60, 2000) {
        let _replay = Replay { test: "loads_leave_what_inserts_would", seed };
        let mut random = Random::new(seed);
        let page_size = 4096 << random.pick(&[0, 0, 0, 1, 4]);
        let dirty_memory = *random.pick(&[0, page_size, 40_000, 400_000, 64 << 20]);
        let db = Db::options().page_size(page_size).dirty_memory(dirty_memory).max_size(1 << 32);
        let db = db.in_memory().unwrap();
        let mut model = Entries::new();
        for _ in 0..1 + random.below(3) {
            let tx = db.write().unwrap();
            let mut table = tx.table(&BYTES).unwrap();
            let mut changed = model.clone();
            for _ in 0..1 + random.below(3) {
                let entries = some_entries(&mut random, page_size);
                let before = changed.len();
                let new = table.insert_many(entries.iter().map(|(key, value)| (key, value))).unwrap();
                changed.extend(entries);
                assert_eq!(new, (changed.len() - before) as u64);
                assert_eq!(table.len(), changed.len() as u64);
                for _ in 0..random.below(30) {
                    let key = some_key(8, &mut random, page_size);
                    if random.one_in(2) {
                        assert_eq!(table.remove(&key).unwrap(), changed.remove(&key).is_some());
                    } else {
                        let value = some_value(&mut random, page_size);
                        let is_new = table.insert(&key, &value).unwrap();
                        assert_eq!(is_new, changed.insert(key, value).is_none());
                    }
                }
            }
            drop(table);
            if random.one_in(4) {
                tx.abort();
            } else {
                tx.commit().unwrap();
                model = changed;
            }
            if !model.is_empty() {
                assert_content(&db.read().unwrap(), &model);
            }
            assert_clean(&db);
        }
    }
}

/// Entries of 150 bytes, about, whose keys are these numbers.
fn numbered(numbers: impl Iterator<Item = u64>) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    numbers.map(|number| (number.to_be_bytes().to_vec(), vec![number as u8; 150]))
}

fn shuffled(count: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..count).collect();
    let mut random = Random::new(count);
    (1..numbers.len()).for_each(|at| numbers.swap(at, random.below(at + 1)));
    numbers
}

/// A database in which `entries` were loaded at once, and how many leaves there are then.
fn loaded(entries: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> (Db, u64) {
    let db = Db::in_memory().unwrap();
    db.update(|tx| tx.table(&BYTES)?.insert_many(entries)).unwrap();
    let leaves = leaves_of(&db);
    (db, leaves)
}

fn leaves_of(db: &Db) -> u64 {
    u64::from(admin::table_pages(&db.read().unwrap(), "bytes", |_| {}).unwrap().leaves)
}

#[test]
fn one_run_fills_the_leaves_in_any_order() {
    const COUNT: u64 = 50_000;
    let (ascending, full) = loaded(numbered(0..COUNT));
    let (descending, roomy) = loaded(numbered((0..COUNT).rev()));
    let (shuffled, again) = loaded(numbered(shuffled(COUNT).into_iter()));
    for db in [&ascending, &descending, &shuffled] {
        assert_content(&db.read().unwrap(), &numbered(0..COUNT).collect());
        assert_clean(db);
    }
    // 24 entries of 164 bytes fit 4096; beside a sixteenth of the page that stays free, 22.
    assert!(full <= COUNT / 23, "{full} leaves");
    assert_eq!(again, roomy);
    assert!((COUNT / 23 + 1..=COUNT / 21).contains(&roomy), "{roomy} leaves");
}

#[test]
fn what_comes_behind_a_load_in_disorder_finds_room() {
    let multiples = |step: u64| numbered((0..1000).map(move |number| number * step));
    let load: Vec<_> = shuffled(20_000).into_iter().map(|number| number * 10).collect();
    let (db, leaves) = loaded(numbered(load.into_iter()));
    // One for each second leaf or so.
    db.update(|tx| {
        let mut table = tx.table(&BYTES)?;
        multiples(199).try_for_each(|(key, value)| table.insert(&key, &value).map(drop))
    })
    .unwrap();
    assert_eq!(leaves_of(&db), leaves);
    assert_clean(&db);
}

#[test]
fn numbers_come_in_any_order() {
    let db = Db::options().dirty_memory(1 << 20).in_memory().unwrap();
    let squares = |number: u64| (number, number * number);
    let new = db.update(|tx| {
        let mut table = tx.table(&NUMBERS)?;
        table.insert(17, 0)?;
        table.bulk_load(|load| {
            shuffled(100_000).into_iter().try_for_each(|number| load.insert(number, number * number))
        })
    });
    assert_eq!(new.unwrap(), 99_999);
    let rx = db.read().unwrap();
    let table = rx.table(&NUMBERS).unwrap();
    assert!(table.iter().map(Result::unwrap).eq((0..100_000).map(squares)));
    assert_clean(&db);
}

#[test]
fn what_is_refused_is_left_out_and_the_load_goes_on() {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    let new = tx.table(&BYTES).unwrap().bulk_load(|load| {
        load.insert(b"one", b"1")?;
        let error = load.insert(vec![0; 4096], b"too long").unwrap_err();
        assert!(matches!(error, Error::KeyTooLong { .. }), "{error}");
        load.insert(b"and", b"2")
    });
    assert_eq!(new.unwrap(), 2);
    tx.commit().unwrap();
    let rx = db.read().unwrap();
    assert_eq!(rx.table(&BYTES).unwrap().len(), 2);
}

#[derive(Debug)]
struct Stop;

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        panic!("{error}")
    }
}

/// After each of these `tx` can only be aborted, and then nothing has happened.
#[test]
fn a_load_that_is_broken_off_fails_its_transaction() {
    let db = Db::options().dirty_memory(100_000).max_size(8 << 20).in_memory().unwrap();
    db.update(|tx| tx.table(&BYTES)?.insert(b"before", b"")).unwrap();
    let before: Entries = [(b"before".to_vec(), Vec::new())].into();
    let assert_failed = |tx: mapleaf::WriteTxn| {
        let error = tx.table(&BYTES).unwrap_err();
        assert!(matches!(error, Error::TransactionFailed), "{error}");
        let error = tx.commit().unwrap_err();
        assert!(matches!(error, Error::TransactionFailed), "{error}");
        assert_content(&db.read().unwrap(), &before);
        assert_clean(&db);
    };
    // An error of the caller's: before anything was put in, and after some runs.
    for count in [0, 5000] {
        let tx = db.write().unwrap();
        let result = tx.table(&BYTES).unwrap().bulk_load(|load| {
            for (key, value) in numbered(shuffled(count).into_iter()) {
                load.insert(key, value)?;
            }
            Err(Stop)
        });
        assert!(matches!(result, Err(Stop)));
        assert_failed(tx);
    }
    let tx = db.write().unwrap();
    let mut table = tx.table(&BYTES).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        table.bulk_load(|load| {
            load.insert(b"key", b"value")?;
            if load.insert(b"other", b"value").is_ok() {
                panic!("as a bug would");
            }
            Ok::<(), Error>(())
        })
    }));
    assert!(panicked.is_err());
    drop(table);
    assert_failed(tx);
    // No room: whether the caller ends the load with that error, or goes on as if nothing had happened.
    for goes_on in [false, true] {
        let tx = db.write().unwrap();
        let result = tx.table(&BYTES).unwrap().bulk_load(|load| {
            for (key, value) in numbered(shuffled(100_000).into_iter()) {
                let inserted = load.insert(key, value);
                if !goes_on {
                    inserted?;
                }
            }
            Ok::<(), Error>(())
        });
        let error = result.unwrap_err();
        let expected = if goes_on {
            matches!(error, Error::TransactionFailed)
        } else {
            matches!(error, Error::Full { .. })
        };
        assert!(expected, "{error}");
        assert_failed(tx);
    }
    // Others go on.
    let tx = db.write().unwrap();
    let new = tx.table(&BYTES).unwrap().insert_many(numbered(0..100));
    assert_eq!(new.unwrap(), 100);
    tx.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn other_tables_can_be_used_meanwhile() {
    let db = Db::in_memory().unwrap();
    db.update(|tx| {
        let mut numbers = tx.table(&NUMBERS)?;
        tx.table(&BYTES)?.bulk_load(|load| {
            for (key, value) in numbered(shuffled(300).into_iter()) {
                numbers.insert(u64::from(value[0]), 1)?;
                load.insert(key, value)?;
            }
            Ok::<(), Error>(())
        })
    })
    .unwrap();
    let rx = db.read().unwrap();
    assert_eq!((rx.table(&BYTES).unwrap().len(), rx.table(&NUMBERS).unwrap().len()), (300, 256));
    assert_clean(&db);
}
