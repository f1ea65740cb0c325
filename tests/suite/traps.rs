//! The traps that the peers have fallen into, each as a test of its name, as far as the public interface can show
//! them. Beside the code are: `a_torn_meta_falls_back_to_the_one_before_and_the_log`,
//! `growth_is_durable_before_its_meta`, `crash_during_recovery_twice`, `no_two_metas_with_one_transaction_id`,
//! `handle_after_failed_commit...`, `failed_sync_is_never_retried`,
//! `no_reader_sees_a_durable_commit_before_it_is_durable` and the power cuts (`src/txn/tests`). That iterators and
//! values cannot outlive their transaction is shown by the `compile_fail` examples of `ReadTxn` and `WriteTxn`.
//!
//! `MAPLEAF_LONG=1` runs more seeds, `MAPLEAF_SEED=N` one.

#![allow(clippy::big_endian_bytes, reason = "keys whose bytes order as the numbers do")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use crate::common::{BOTH_MODES, Random, Replay, assert_clean, child, child_task, scratch, seeds};
use mapleaf::{Db, Durability, Error, OwnedRange, Table, WriteMode, admin};

const NUMBERS: Table<u64, u64> = Table::new("numbers");
const BYTES: Table<[u8], [u8]> = Table::new("bytes");
const NAMES: Table<u64, str> = Table::new("names");
const VALUES: Table<u64, [u8]> = Table::new("values");
const FLAGS: Table<u64, bool> = Table::new("flags");

fn open(path: &Path, mode: WriteMode) -> Db {
    Db::options().write_mode(mode).open(path).unwrap()
}

/// Inserts `entries`, commits, and compares what is there, before and after reopening.
#[track_caller]
fn round_trip(page_size: usize, entries: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let (_folder, path) = scratch();
    let db = Db::options().page_size(page_size).open(&path).unwrap();
    for rounds in 0..2 {
        db.update(|tx| {
            let mut table = tx.table(&BYTES)?;
            for (key, value) in entries {
                assert_eq!(table.insert(key, value)?, rounds == 0);
            }
            Ok(())
        })
        .unwrap();
        assert_clean(&db);
    }
    drop(db);
    let db = Db::open(&path).unwrap();
    let rx = db.read().unwrap();
    let table = rx.table(&BYTES).unwrap();
    let found: BTreeMap<Vec<u8>, Vec<u8>> =
        table.iter().map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect();
    assert!(found == *entries);
    for (key, value) in entries {
        assert_eq!(table.get(key).unwrap(), Some(&value[..]));
    }
    drop(rx);
    // One by one they go again, in another order.
    let mut keys: Vec<&Vec<u8>> = entries.keys().collect();
    keys.sort_by_key(|key| crc32fast::hash(key));
    for half in keys.chunks(keys.len().div_ceil(3)) {
        db.update(|tx| {
            let mut table = tx.table(&BYTES)?;
            for key in half {
                assert!(table.remove(key)?);
            }
            Ok(())
        })
        .unwrap();
        assert_clean(&db);
    }
    assert!(db.read().unwrap().table(&BYTES).unwrap().is_empty());
}

#[test]
fn values_just_over_half_a_page() {
    for page_size in [4096, 16384] {
        for around in [page_size / 2, page_size / 4, page_size / 3, page_size, page_size * 2] {
            let lengths = (0..120).map(|step| around - 60 + step);
            round_trip(
                page_size,
                &lengths.map(|length| (length.to_be_bytes().to_vec(), vec![7; length])).collect(),
            );
        }
    }
}

#[test]
fn keys_of_maximum_length() {
    for page_size in [4096, 8192, 65536] {
        let limit = page_size / 2 - 64;
        for value_length in [0, 1, 100, page_size / 2, page_size] {
            let mut entries = BTreeMap::new();
            for number in 0..30u8 {
                // They differ at the end, at the start, in length.
                let mut last = vec![b'k'; limit];
                last[limit - 1] = number;
                let mut first = vec![b'k'; limit];
                first[0] = number;
                let shorter = vec![b'k'; limit - usize::from(number)];
                for key in [last, first, shorter] {
                    entries.insert(key, vec![number; value_length]);
                }
            }
            round_trip(page_size, &entries);
        }
    }
}

#[test]
fn empty_keys_and_values() {
    let empty_value = BTreeMap::from([(b"key".to_vec(), Vec::new()), (b"other".to_vec(), b"x".to_vec())]);
    let empty_key = BTreeMap::from([(Vec::new(), b"value".to_vec()), (vec![0], Vec::new())]);
    let both = BTreeMap::from([(Vec::new(), Vec::new())]);
    let many = (0..3000u16).map(|number| (number.to_be_bytes().to_vec(), Vec::new()));
    let zeros = (0..300).map(|length| (vec![0; length], Vec::new())).collect();
    for entries in [empty_value, empty_key, both, many.collect(), zeros] {
        round_trip(4096, &entries);
    }
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    const NOTHING: Table<(), ()> = Table::new("");
    db.update(|tx| tx.table(&NOTHING)?.insert((), ())).unwrap();
    assert_eq!(db.read().unwrap().table(&NOTHING).unwrap().get(()).unwrap(), Some(()));
    assert_clean(&db);
}

#[test]
fn page_of_equal_heads() {
    // What follows the page's common prefix begins with the same four bytes, or is shorter than they are.
    let rows: [Vec<Vec<u8>>; 4] = [
        (0..2000u32).map(|number| [&b"a"[..], b"same", &number.to_be_bytes()].concat()).collect(),
        (0..60).map(|length| [&b"x"[..], &vec![0; length]].concat()).collect(),
        (0..60).map(|length| [&b"x"[..], &vec![0xff; length]].concat()).collect(),
        (0..2000u32).map(|number| [&[0; 4][..], &number.to_le_bytes(), &[0; 3]].concat()).collect(),
    ];
    for keys in rows {
        let mut entries: BTreeMap<_, _> = keys.into_iter().map(|key| (key.clone(), key)).collect();
        // One key without it, so that the prefix of the page is short.
        entries.insert(b"b".to_vec(), Vec::new());
        entries.insert(Vec::new(), Vec::new());
        round_trip(4096, &entries);
    }
}

#[test]
fn table_emptied_and_refilled() {
    for mode in BOTH_MODES {
        let (_folder, path) = scratch();
        let db = open(&path, mode);
        let mut largest = 0;
        for round in 0..40u64 {
            let tx = db.write().unwrap();
            {
                let mut numbers = tx.table(&NUMBERS).unwrap();
                let before = numbers.len();
                assert_eq!(before, if round == 0 { 0 } else { 2000 });
                match round % 4 {
                    0 => assert_eq!(numbers.clear().unwrap(), before),
                    1 => assert_eq!(numbers.remove_range(..).unwrap(), before),
                    2 => assert_eq!(numbers.retain(|_, _| false).unwrap(), before),
                    _ => while numbers.pop_first().unwrap().is_some() {},
                }
                assert!(numbers.is_empty() && numbers.first().unwrap().is_none());
                for number in 0..2000 {
                    numbers.insert(number * 7 % 2000, round).unwrap();
                }
            }
            tx.commit().unwrap();
            assert_clean(&db);
            let stats = db.stats().unwrap();
            largest = largest.max(stats.file_bytes - stats.log_bytes);
            if round == 10 {
                largest = 0;
            }
        }
        assert!(largest < 1 << 20, "2000 small entries took {largest} bytes, without the redo log's ring");
        let rx = db.read().unwrap();
        assert!(rx.table(&NUMBERS).unwrap().iter().all(|entry| entry.unwrap().1 == 39));
    }
}

#[test]
fn transaction_bigger_than_memory() {
    for mode in BOTH_MODES {
        let (_folder, path) = scratch();
        let db = Db::options().write_mode(mode).dirty_memory(32 << 10).open(&path).unwrap();
        let fill = |value: u64| {
            let tx = db.write().unwrap();
            {
                let mut numbers = tx.table(&NUMBERS).unwrap();
                for number in 0..20_000u64 {
                    numbers.insert(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), value).unwrap();
                }
                assert_eq!(numbers.iter().count(), 20_000, "it reads what it has stored early");
            }
            tx
        };
        fill(1).commit().unwrap();
        assert_clean(&db);
        let size = db.stats().unwrap().file_bytes;
        assert!(size > 10 * (32 << 10));
        let rx = db.read().unwrap();
        fill(2).abort();
        assert_clean(&db);
        assert!(rx.table(&NUMBERS).unwrap().iter().all(|entry| entry.unwrap().1 == 1));
        fill(3).commit().unwrap();
        assert_clean(&db);
        assert!(rx.table(&NUMBERS).unwrap().iter().all(|entry| entry.unwrap().1 == 1));
        drop((rx, db));
        let db = open(&path, mode);
        assert_clean(&db);
        assert!(db.read().unwrap().table(&NUMBERS).unwrap().iter().all(|entry| entry.unwrap().1 == 3));
    }
}

#[test]
fn file_cut_short_under_us() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let numbers: Vec<(u64, u64)> = (0..5000).map(|number| (number, 1)).collect();
    db.update(|tx| {
        let mut table = tx.table(&NUMBERS)?;
        numbers.iter().try_for_each(|&(key, value)| table.insert(key, value).map(drop))
    })
    .unwrap();
    let whole = fs::read(&path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for length in [whole.len() as u64 - 1, 5 * 4096, 8192, 100, 0] {
        file.set_len(length).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(11)); // lengths are compared every 10 milliseconds
        let error = db.write().unwrap_err();
        let Error::Truncated { expected, found, .. } = &error else { panic!("{error}") };
        assert_eq!((*expected, *found), (whole.len() as u64, length));
        assert!(matches!(db.try_write(), Err(Error::Truncated { .. })));
    }
    // The writer lock was released each time; when the bytes are back, writing goes on.
    fs::write(&path, &whole).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 2)).unwrap();
    assert_clean(&db);
    drop(db);
    assert_clean(&Db::open(&path).unwrap());
}

#[test]
fn parked_reader_pins_its_own_snapshot_only() {
    for durability in [Durability::Durable, Durability::Lazy] {
        let (_folder, path) = scratch();
        let db = Db::open(&path).unwrap();
        let commit = |round: u64| {
            let tx = db.write().unwrap();
            {
                let mut numbers = tx.table(&NUMBERS).unwrap();
                for number in 0..1000 {
                    numbers.insert(number, round).unwrap();
                }
            }
            tx.commit_with(durability).unwrap();
        };
        commit(0);
        db.sync().unwrap();
        let one_copy = db.check().unwrap().counts().leaves;
        let parked = db.read().unwrap();
        for round in 1..60 {
            commit(round); // until the ring of the log has its length
        }
        let settled = db.stats().unwrap().file_bytes;
        for round in 60..150 {
            commit(round);
        }
        let stats = db.stats().unwrap();
        // A ring of 1 MiB, and what the file grows by beyond it.
        let grown = stats.file_bytes - settled;
        assert!(grown < 3 << 20, "{durability:?}: 90 more commits, and {grown} bytes");
        assert!(
            stats.retired_pages < 4 * one_copy + 128, // and what the checkpoint pins
            "{} retired of {one_copy} a copy",
            stats.retired_pages
        );
        assert!(parked.table(&NUMBERS).unwrap().iter().all(|entry| entry.unwrap().1 == 0));
        assert_clean(&db);
        drop(parked);
        commit(150);
        db.checkpoint().unwrap();
        commit(151);
        db.checkpoint().unwrap();
        assert!(db.stats().unwrap().retired_pages < 3 * one_copy);
        assert_clean(&db);
    }
}

#[test]
fn free_pages_never_overlap_live_ones() {
    // Many snapshots at once, each of which must keep its state while pages are used again and again.
    for seed in seeds(3, 200) {
        let _replay = Replay { test: "--test suite traps::free_pages", seed };
        let mut random = Random::new(seed);
        let (_folder, path) = scratch();
        let mode = *random.pick(&BOTH_MODES);
        let mut db = open(&path, mode);
        let mut readers = Vec::new();
        let mut stamps: Vec<u64> = vec![0; 600];
        for round in 1..400u64 {
            let tx = db.write().unwrap();
            {
                let mut numbers = tx.table(&NUMBERS).unwrap();
                let mut changed = stamps.clone();
                for _ in 0..1 + random.below(40) {
                    let key = random.below(stamps.len());
                    numbers.insert(key as u64, round).unwrap();
                    changed[key] = round;
                }
                drop(numbers);
                match random.below(5) {
                    0 => tx.abort(),
                    1 => {
                        tx.commit_with(Durability::Lazy).unwrap();
                        stamps = changed;
                    }
                    _ => {
                        tx.commit().unwrap();
                        stamps = changed;
                    }
                }
            }
            if random.one_in(4) {
                readers.push((db.read().unwrap(), stamps.clone()));
            }
            if readers.len() > 12 {
                let (rx, stamps) = readers.swap_remove(random.below(12));
                let numbers = rx.table(&NUMBERS).unwrap();
                for (key, &stamp) in stamps.iter().enumerate() {
                    assert_eq!(numbers.get(key as u64).unwrap().unwrap_or(0), stamp);
                }
            }
            if random.one_in(20) {
                assert_clean(&db);
            }
            if random.one_in(60) {
                readers.clear();
                drop(db);
                db = open(&path, mode);
            }
        }
        assert_clean(&db);
    }
}

#[test]
fn iterators_cannot_outlive_their_transaction() {
    // What borrows is refused by the compiler (see above); what owns keeps the transaction, and the database, alive.
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    db.update(|tx| {
        let mut numbers = tx.table(&NUMBERS)?;
        (0..2000).try_for_each(|number| numbers.insert(number, number).map(drop))
    })
    .unwrap();
    let range: OwnedRange<u64, u64> =
        Arc::new(db.read().unwrap()).owned_table(&NUMBERS).unwrap().range(10..1990);
    for round in 0..20 {
        db.update(|tx| {
            let mut numbers = tx.table(&NUMBERS)?;
            (0..2000).try_for_each(|number| numbers.insert(number, round).map(drop))
        })
        .unwrap();
    }
    drop(db);
    assert!(range.map(Result::unwrap).eq((10..1990).map(|number| (number, number))));
    assert_clean(&Db::open(&path).unwrap());
}

/// A process that commits, prints that, and is killed.
fn kill_a_writer(path: &Path, mode: &str, commits: usize) -> Vec<(String, u64)> {
    let mut writer = child(concat!(module_path!(), "::killed_writer_child"), path)
        .env("MAPLEAF_MODE", mode)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((what, round)) = line.split_once(' ')
            && ["durable", "lazy", "begun"].contains(&what)
        {
            said.push((what.to_owned(), round.parse().unwrap()));
        }
        if said.len() >= commits {
            break;
        }
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    said
}

#[test]
fn what_a_killed_process_has_committed_is_there_and_nothing_is_torn() {
    // Its lazy commits too: the lock file knows the head, the system's page cache has the pages.
    for mode in ["syscall", "mapped"] {
        let (_folder, path) = scratch();
        let mut least = 0;
        for kill in 0..8 {
            let said = kill_a_writer(&path, mode, 3 + kill * 5);
            least = said.iter().map(|(_, round)| *round).max().unwrap_or(least).max(least);
            let db = Db::open(&path).unwrap();
            assert_clean(&db);
            let rx = db.read().unwrap();
            let Ok(numbers) = rx.table(&NUMBERS) else {
                assert_eq!(least, 0);
                continue;
            };
            let round = numbers.get(0).unwrap().unwrap();
            // It may have gone on after the last line that was read.
            assert!(round >= least, "{round} is there, {least} was committed");
            assert!(numbers.iter().all(|entry| entry.unwrap().1 == round), "all or nothing");
            assert_eq!(numbers.len(), 500);
            least = round;
        }
    }
}

#[test]
#[ignore = "run by what_a_killed_process_has_committed_is_there_and_nothing_is_torn"]
fn killed_writer_child() {
    let Some(path) = child_task() else { return };
    let is_mapped = std::env::var("MAPLEAF_MODE").is_ok_and(|mode| mode == "mapped");
    let db = open(&path, if is_mapped { WriteMode::Mapped } else { WriteMode::Syscall });
    let mut output = std::io::stdout();
    println!();
    let start = db.read().unwrap().table(&NUMBERS).map_or(0, |numbers| numbers.get(0).unwrap().unwrap());
    for round in start + 1.. {
        let tx = db.write().unwrap();
        {
            let mut numbers = tx.table(&NUMBERS).unwrap();
            for number in 0..500 {
                numbers.insert(number, round).unwrap();
            }
        }
        let is_durable = round % 3 == 0;
        tx.commit_with(if is_durable { Durability::Durable } else { Durability::Lazy }).unwrap();
        writeln!(output, "{} {round}", if is_durable { "durable" } else { "lazy" }).unwrap();
    }
}

#[test]
fn a_table_that_is_forgotten_while_open_loses_nothing_silently() {
    let db = Db::in_memory().unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    let tx = db.write().unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    numbers.insert(2, 2).unwrap();
    std::mem::forget(numbers);
    let error = tx.commit().unwrap_err();
    assert!(matches!(error, Error::TableInUse { .. }), "{error}");
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), 1);
    db.update(|tx| tx.table(&NUMBERS)?.insert(3, 3)).unwrap();
    assert_clean(&db);
}

#[test]
fn tables_say_what_is_in_them_while_they_are_open() {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    numbers.insert(2, 2).unwrap();
    drop(numbers);
    assert_eq!(tx.tables().unwrap()[0].entries, 1);
    assert_eq!(tx.tables().unwrap()[0].name, "numbers");
    tx.table(&BYTES).unwrap().insert(b"key", b"value").unwrap();
    assert_eq!(tx.tables().unwrap().len(), 2);
    tx.rename_table("numbers", "renamed").unwrap();
    let tables: Vec<(String, u64)> =
        tx.tables().unwrap().into_iter().map(|info| (info.name, info.entries)).collect();
    assert_eq!(tables, [("bytes".to_owned(), 1), ("renamed".to_owned(), 1)]);
    let mut renamed = tx.table(&Table::<u64, u64>::new("renamed")).unwrap();
    (0..100_000).for_each(|number| assert_eq!(renamed.insert(number, number).unwrap(), number != 2));
    drop(renamed);
    let inside = tx.tables().unwrap()[1].clone();
    assert_eq!((inside.entries, inside.depth), (100_000, 2));
    tx.commit().unwrap();
    assert_eq!(db.read().unwrap().tables().unwrap()[1], inside);
    assert_clean(&db);
}

#[test]
fn a_panic_in_a_write_transaction_undoes_it() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.update(|tx| -> mapleaf::Result<()> {
            let mut numbers = tx.table(&NUMBERS)?;
            numbers.insert(1, 2)?;
            numbers.retain(|_, _| std::panic::resume_unwind(Box::new("as a caller's closure may")))?;
            Ok(())
        })
    }));
    assert!(result.is_err());
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().get(1).unwrap(), Some(1));
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 3)).unwrap();
    assert_clean(&db);
}

/// A table of 5000 entries, of which `retain` removes a thousand and more before it meets number 3000.
fn five_thousand() -> Db {
    let db = Db::in_memory().unwrap();
    db.update(|tx| {
        let mut names = tx.table(&NAMES)?;
        (0..5000).try_for_each(|number| names.insert(number, "x").map(drop))
    })
    .unwrap();
    db
}

/// The transaction can only be aborted, and then nothing has happened.
#[track_caller]
fn assert_failed(db: &Db, tx: mapleaf::WriteTxn, entries: u64) {
    for error in [
        tx.table(&NAMES).unwrap_err(),
        tx.tables().unwrap_err(),
        tx.drop_table("names").unwrap_err(),
        tx.commit().unwrap_err(),
    ] {
        assert!(matches!(error, Error::TransactionFailed), "{error}");
    }
    assert_eq!(db.read().unwrap().table(&NAMES).unwrap().len(), entries);
    assert_clean(db);
    db.update(|tx| tx.table(&NAMES)?.insert(1, "others go on")).unwrap();
}

#[test]
fn a_retain_that_does_not_come_to_its_end_fails_its_transaction() {
    // A panic in the closure: after some batches, and before anything was removed.
    for panics_at in [3000, 0] {
        let db = five_thousand();
        let tx = db.write().unwrap();
        let mut names = tx.table(&NAMES).unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            names.retain(|number, _| match number == panics_at {
                true => std::panic::resume_unwind(Box::new("in the predicate")),
                false => false,
            })
        }));
        assert!(caught.is_err());
        assert!(matches!(names.get(4000), Err(Error::TransactionFailed)));
        assert!(matches!(names.take(1), Err(Error::TransactionFailed)));
        assert!(matches!(names.replace(1, "y"), Err(Error::TransactionFailed)));
        assert!(matches!(names.pop_first(), Err(Error::TransactionFailed)));
        drop(names);
        assert_failed(&db, tx, 5000);
    }
    // A value that is no text: an error in the middle.
    let db = five_thousand();
    db.update(|tx| admin::raw_table_mut(tx, "names")?.insert(3000u64.to_be_bytes(), b"\xff")).unwrap();
    let tx = db.write().unwrap();
    let error = tx.table(&NAMES).unwrap().retain(|_, _| false).unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error}");
    assert_failed(&db, tx, 5000);
    // A change of another table that the closure makes, and whose panic it catches.
    let db = five_thousand();
    let tx = db.write().unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    numbers.insert(1, 1).unwrap();
    let result = tx.table(&NAMES).unwrap().retain(|_, _| {
        let inner = std::panic::AssertUnwindSafe(|| {
            numbers.retain(|_, _| std::panic::resume_unwind(Box::new("in the other predicate")))
        });
        std::panic::catch_unwind(inner).is_err()
    });
    assert!(matches!(result, Err(Error::TransactionFailed)));
    drop(numbers);
    assert_failed(&db, tx, 5000);
}

#[test]
fn what_cannot_be_decoded_stays_and_the_transaction_goes_on() {
    let db = Db::in_memory().unwrap();
    let by_key = |tx: &mapleaf::WriteTxn, key: &[u8]| {
        admin::raw_table_mut(tx, "names")?.get(key).map(|value| value.is_some())
    };
    for (key, value) in [(&b"no u64"[..], &b"text"[..]), (&[0; 8], b"\xff no text")] {
        db.update(|tx| {
            tx.drop_table("names")?;
            admin::create_table(tx, "names", "u64", "str")?;
            admin::raw_table_mut(tx, "names")?.insert(key, value).map(drop)
        })
        .unwrap();
        let tx = db.write().unwrap();
        let mut names = tx.table(&NAMES).unwrap();
        assert!(matches!(names.pop_first(), Err(Error::Decode { .. })));
        assert!(matches!(names.pop_last(), Err(Error::Decode { .. })));
        if key.len() == 8 {
            assert!(matches!(names.take(0), Err(Error::Decode { .. })));
            assert!(matches!(names.replace(0, "another"), Err(Error::Decode { .. })));
        }
        assert_eq!(names.len(), 1);
        names.insert(7, "seven").unwrap();
        assert!(matches!(names.pop_last(), Ok(Some((7, _))) | Err(Error::Decode { .. })));
        drop(names);
        assert!(by_key(&tx, key).unwrap());
        tx.commit().unwrap();
        assert_eq!(admin::raw_table(&db.read().unwrap(), "names").unwrap().get(key).unwrap(), Some(value));
        // Without its types it can be taken out.
        db.update(|tx| admin::raw_table_mut(tx, "names")?.take(key)).unwrap();
        assert_clean(&db);
    }
}

type Way<'a> = Box<dyn Fn() -> mapleaf::Result<Entries<'a>> + 'a>;
type Entries<'a> = Box<dyn DoubleEndedIterator<Item = mapleaf::Result<()>> + 'a>;

fn without_entries<'a, T>(
    entries: impl DoubleEndedIterator<Item = mapleaf::Result<T>> + 'a,
) -> mapleaf::Result<Entries<'a>> {
    Ok(Box::new(entries.map(|entry| entry.map(drop))))
}

/// Reads from both ends, `first` of them first, up to an error; meets it there again and again, and from the other end
/// too. Returns how many entries there are before and after it, and its text.
#[track_caller]
fn read_to_error(mut entries: Entries<'_>, backward_first: bool) -> (usize, usize, String) {
    let mut found = [0, 0];
    let mut errors = Vec::new();
    for backward in [backward_first, !backward_first] {
        for _ in 0..5 {
            let error = loop {
                match if backward { entries.next_back() } else { entries.next() } {
                    Some(Ok(())) => found[usize::from(backward)] += 1,
                    Some(Err(error)) => break error,
                    None => panic!("the end after {found:?} entries and {errors:?}"),
                }
            };
            errors.push(error.to_string());
        }
        // The other end has not moved, and this one does not because it does.
        assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    }
    (found[0], found[1], errors.swap_remove(0))
}

/// All ways to read a table from both ends stop at the same entry.
#[track_caller]
fn assert_all_stop<K, V>(path: &Path, table: &Table<K, V>, expected: Option<(usize, usize)>, words: &str)
where
    K: mapleaf::Key<Owned = u64> + ?Sized + 'static,
    V: mapleaf::Value + ?Sized + 'static,
    u64: mapleaf::EncodeKey<K>,
{
    let db = Db::open(path).unwrap();
    let rx = Arc::new(db.read().unwrap());
    let (snapshot, owned) = (rx.table(table).unwrap(), rx.owned_table(table).unwrap());
    let raw = admin::raw_table(&rx, table.name()).unwrap();
    let tx = db.write().unwrap();
    let changed = tx.table(table).unwrap();
    let mut ways: Vec<Way<'_>> = vec![
        Box::new(|| without_entries(snapshot.iter())),
        Box::new(|| without_entries(snapshot.range(0..=999))),
        Box::new(|| without_entries(snapshot.iter().clone())),
        Box::new(|| without_entries(owned.iter())),
        Box::new(|| without_entries(owned.range(0..1000))),
        Box::new(|| without_entries(changed.iter())),
        Box::new(|| without_entries(changed.range(..1000))),
    ];
    if words == "damaged" {
        ways.push(Box::new(|| without_entries(raw.iter())));
        ways.push(Box::new(|| without_entries(raw.prefix(&[0][..]))));
    }
    let mut before = expected;
    for way in &ways {
        for backward_first in [false, true] {
            let (front, back, error) = read_to_error(way().unwrap(), backward_first);
            assert!(error.contains(words), "{error}");
            assert_eq!((front, back), *before.get_or_insert((front, back)));
            assert!(front > 0 && back > 0);
        }
    }
    // What uses all of it up ends with the error.
    let (front, back) = before.unwrap();
    let (borrowed, changed) = (|| snapshot.iter(), || changed.iter());
    let owned = || owned.iter();
    assert_eq!([borrowed().count(), changed().count(), owned().count()], [front + 1; 3]);
    let counts = [borrowed().rev().count(), changed().rev().count(), owned().rev().count()];
    assert_eq!(counts, [back + 1; 3]);
    assert!(borrowed().last().unwrap().is_err() && owned().last().unwrap().is_err());
    assert!(owned().filter_map(Result::ok).count() == front);
}

#[test]
fn an_error_does_not_move_an_iterator() {
    let (_folder, path) = scratch();
    let large = b"<a large value>".repeat(400); // on overflow pages
    let db = Db::open(&path).unwrap();
    db.update(|tx| {
        let (mut values, mut flags) = (tx.table(&VALUES)?, tx.table(&FLAGS)?);
        let mut names = tx.table(&NAMES)?;
        for key in 0..1000 {
            values.insert(key, if key == 100 { &large[..] } else { b"small" })?;
            names.insert(key, if key == 500 { "<a name>" } else { "of another" })?;
            flags.insert(key, key % 3 == 0)?;
        }
        Ok(())
    })
    .unwrap();
    drop(db);
    let sound = fs::read(&path).unwrap();
    let damage = |what: &[u8]| {
        let mut file = sound.clone();
        let at = file.windows(what.len()).position(|bytes| bytes == what).unwrap();
        file[at] ^= 1;
        fs::write(&path, file).unwrap();
    };
    // A damaged value, of its leaf all else is sound; a damaged leaf.
    damage(b"<a large value>");
    assert_all_stop(&path, &VALUES, Some((100, 899)), "damaged");
    damage(b"<a name>");
    assert_all_stop(&path, &NAMES, None, "damaged");
    // Bytes that are no value of the table's type: in an ordinary leaf, and in one whose entries are all of one length.
    fs::write(&path, &sound).unwrap();
    let db = Db::open(&path).unwrap();
    db.update(|tx| {
        admin::raw_table_mut(tx, "names")?.insert(100u64.to_be_bytes(), b"\xff")?;
        admin::raw_table_mut(tx, "flags")?.insert(100u64.to_be_bytes(), [2])
    })
    .unwrap();
    drop(db);
    assert_all_stop(&path, &NAMES, Some((100, 899)), "not a str");
    assert_all_stop(&path, &FLAGS, Some((100, 899)), "not a bool");
}
