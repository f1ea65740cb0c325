//! Calls that fail: what was refused has not happened, and others go on; after a failed sync none does.

#![allow(clippy::big_endian_bytes)] // keys that order as numbers do

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fixture::{Engine, Entries, PAGE, clear, disk, entries_of, new_image, put, put_all};
use crate::base::TransactionId;
use crate::error::Error;
use crate::shm::{SharedMemory, WORD_COUNT};
use crate::sim::disk::Event;
use crate::sim::{Fault, Random};
use crate::sys::{FileStorage, SharedWords, Storage, WriteMode};
use crate::txn::commit::Durability;
use crate::txn::page_file::{PageFile, Verify};
use crate::txn::read::SnapshotReader;
use crate::txn::recover::read_slots;

fn entries(count: u16, length: usize, byte: u8) -> Entries {
    (0..count).map(|number| (number.to_be_bytes().to_vec(), vec![byte; length])).collect()
}

fn assert_poisoned<T>(result: crate::error::Result<T>) {
    match result {
        Err(Error::Poisoned) => {}
        Err(other) => panic!("not Poisoned but {other}"),
        Ok(_) => panic!("not Poisoned but fine"),
    }
}

#[test]
fn failed_sync_is_never_retried() {
    let engine = Engine::new();
    let before = entries(50, 100, 1);
    let durable = engine.commit(&before, Durability::Durable).unwrap();
    let reader = SnapshotReader::begin(&engine.handle).unwrap();
    engine.fail(Fault::Barrier, 0);
    let error = engine.commit(&entries(50, 100, 2), Durability::Durable).unwrap_err();
    assert!(matches!(error, Error::Io { action: "sync", .. }), "{error}");

    let calls = engine.log().events.len();
    assert_poisoned(engine.begin());
    assert_poisoned(engine.handle.core.sync_everything());
    assert_poisoned(engine.handle.core.check_writable());
    // Readers go on, and see what was durable.
    assert_eq!(engine.read().unwrap(), (durable, before.clone()));
    assert_eq!(entries_of(&reader).unwrap(), before);
    assert_eq!(engine.log().events.len(), calls, "nothing is stored or synced any more");

    // The page cache has what was stored; the disk may have any part of it.
    let cache = engine.image();
    let (start, journal) = (engine.start.clone(), engine.keep_log());
    drop(reader);
    drop(engine);
    let journal = journal.lock();
    assert_eq!(journal.events.len(), calls, "nor when it is closed");
    let recovered = Engine::open(&cache, 0).unwrap();
    let found = recovered.read().unwrap().1;
    assert!(found == before || found == entries(50, 100, 2));
    recovered.commit(&entries(1, 1, 3), Durability::Durable).unwrap();
    recovered.assert_clean();
    let mut disk = disk(&start);
    journal.events.iter().for_each(|call| disk.apply(call));
    for seed in 0..200 {
        let recovered = Engine::open(&disk.sample(&mut Random::new(seed)), 0).unwrap();
        let (id, found) = recovered.read().unwrap();
        assert!(id >= durable && (found == before || found == entries(50, 100, 2)));
        recovered.assert_clean();
    }
}

#[test]
fn a_failed_sync_fails_all_who_wait_for_it() {
    let engine = Engine::new();
    engine.commit(&entries(5, 5, 0), Durability::Durable).unwrap();
    let seen = engine.read().unwrap();
    let first = engine.begin().unwrap();
    put(&first, b"a", b"deferred").unwrap();
    let first = first.publish(Durability::Durable).unwrap();
    let second = engine.begin().unwrap();
    put(&second, b"b", b"lazy, over a deferred one").unwrap();
    let second = second.publish(Durability::Lazy).unwrap();
    engine.fail(Fault::Barrier, 0);
    let failed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for id in [first, second, first, second] {
            let (engine, failed) = (&engine, &failed);
            scope.spawn(move || {
                assert!(engine.handle.core.wait_visible(id).is_err());
                failed.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(failed.into_inner(), 4);
    assert_eq!(engine.read().unwrap(), seen, "what is not durable has not become visible");
    assert_poisoned(engine.handle.core.wait_durable(first));
}

#[test]
fn a_failed_sync_ends_waiting_for_commits() {
    let engine = Engine::new();
    let seen = engine.commit(&entries(5, 5, 0), Durability::Durable).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| engine.handle.core.wait_for_commit(seen, None, || false));
        engine.fail(Fault::Barrier, 0);
        engine.commit(&entries(5, 5, 1), Durability::Durable).unwrap_err();
        assert_poisoned(waiting.join().unwrap());
    });
    let before = TransactionId(seen.0 - 1);
    assert_eq!(
        engine.handle.core.wait_for_commit(before, None, || false).unwrap(),
        Some(seen),
        "what is there is reported"
    );
}

#[test]
fn recovery_after_readers_takes_what_they_read_or_refuses() {
    let engine = Engine::new();
    for version in 0..3 {
        engine.commit(&entries(5, 5, version), Durability::Durable).unwrap();
    }
    let image = engine.image();
    let storage = FileStorage::in_memory(WriteMode::Syscall, 64 << 20).unwrap();
    storage.grow(0, image.len() as u64, false).unwrap();
    storage.write(0, &[&image]).unwrap();
    let pages = PageFile::new(Box::new(storage), PAGE, Path::new("(memory)"), Verify::FirstTouch).unwrap();
    let shared = SharedMemory::new(SharedWords::anonymous(WORD_COUNT).unwrap());
    let recover = |read_only, must_replay| {
        let Ok(slots) = read_slots(&*pages.storage) else { panic!("there is a meta") };
        slots.choose_state(&pages, None)?.begin(&pages, &shared, (read_only, must_replay))
    };
    recover(true, false).unwrap();
    let (newest, slot) = (shared.newest().unwrap(), shared.checkpoint_slot());
    assert!(shared.is_unrecovered());

    let record = pages.read_meta(slot).unwrap().unwrap().encode();
    pages.store_meta(slot, &[0; PAGE]).unwrap();
    assert!(matches!(recover(false, true), Err(Error::Corrupt(_))));
    assert_eq!((shared.newest().unwrap(), shared.is_unrecovered()), (newest.clone(), true));

    pages.store_meta(slot, &record).unwrap();
    // A handle that ends before it has published its replay leaves the rest to the next one.
    recover(false, true).unwrap();
    assert_eq!((shared.newest().unwrap(), shared.is_unrecovered()), (newest.clone(), true));
    recover(false, false).unwrap();
    assert_eq!((shared.newest().unwrap(), shared.is_unrecovered()), (newest, false));
}

#[test]
fn a_longer_file_whose_barrier_fails_poisons() {
    let engine = Engine::new();
    let durable = engine.commit(&entries(5, 5, 0), Durability::Durable).unwrap();
    engine.fail(Fault::Barrier, 0);
    let error = engine.commit(&entries(100, 2000, 1), Durability::Durable).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_poisoned(engine.begin());
    assert_eq!(engine.read().unwrap(), (durable, entries(5, 5, 0)));
}

/// Entries of all kinds: short, long, and with values that are stored directly.
fn big_entries(byte: u8) -> Entries {
    let mut all = entries(60, 300, byte);
    all.extend(
        entries(4, 2 * PAGE, byte).into_iter().map(|(key, value)| ([&key[..], b"long"].concat(), value)),
    );
    all.extend((0..6).map(|number| (vec![b'd', number], vec![byte; 256 << 10])));
    all
}

/// A transaction with all kinds of stores, and two rounds over the same keys. It is not in the log.
fn big_work(engine: &Engine, byte: u8) -> crate::error::Result<()> {
    let all = big_entries(byte);
    let tx = engine.begin()?;
    put_all(&tx, &all)?;
    put_all(&tx, &all)?;
    tx.commit(Durability::Lazy).map(drop)
}

/// Each store, and each growth, of a large transaction fails once.
fn handle_goes_on_after(fault: Fault) {
    let mut faults = 0;
    for after in 0.. {
        let engine = Engine::open(&new_image(), 8 * PAGE).unwrap();
        let before = entries(40, 100, 1);
        engine.commit(&before, Durability::Durable).unwrap();
        let reader = SnapshotReader::begin(&engine.handle).unwrap();
        engine.fail(fault, after);
        let result = big_work(&engine, 2);
        let met = engine.log().faults_met > 0;
        engine.log().fault = None;
        if !met {
            result.unwrap();
            break;
        }
        faults += 1;
        if engine.handle.core.shared.is_poisoned() {
            // In the checkpoint that the commit waits for. The older meta is whole, and so are its pages.
            assert!(result.is_err() && fault == Fault::Store);
            let again = engine.reopen();
            assert!(again.read().unwrap().1 == before);
            again.assert_clean();
            continue;
        }
        if result.is_ok() {
            assert_eq!(fault, Fault::Grow, "there was no room for another ring only");
            assert!(engine.read().unwrap().1 == big_entries(2));
            engine.assert_clean();
            continue;
        }
        // It has not happened.
        let id = reader.snapshot.id;
        assert!(engine.read().unwrap() == (id, before.clone()));
        engine.assert_clean();
        // Another transaction succeeds, on the same handle.
        big_work(&engine, 3).unwrap();
        let now = big_entries(3);
        assert!(engine.read().unwrap().1 == now);
        assert!(entries_of(&reader).unwrap() == before, "the old snapshot is as it was");
        engine.handle.core.sync_everything().unwrap();
        engine.assert_clean();
        let again = engine.reopen();
        assert!(again.read().unwrap().1 == engine.read().unwrap().1);
        again.assert_clean();
    }
    assert!(faults > 1, "{fault:?} was met {faults} times only");
}

#[test]
fn handle_after_failed_commit_goes_on_after_a_failed_store() {
    handle_goes_on_after(Fault::Store);
}

#[test]
fn handle_after_failed_commit_goes_on_after_a_lack_of_space() {
    handle_goes_on_after(Fault::Grow);
}

#[test]
fn a_large_value_that_cannot_be_stored_takes_no_pages_and_the_transaction_goes_on() {
    for fault in [Fault::Store, Fault::Grow] {
        let engine = Engine::new();
        engine.commit(&entries(5, 5, 0), Durability::Durable).unwrap();
        let tx = engine.begin().unwrap();
        put(&tx, b"before", b"it").unwrap();
        engine.fail(fault, 0);
        tx.store_value(&vec![1; 300 << 10]).unwrap_err();
        engine.log().fault = None;
        put(&tx, b"after", b"it").unwrap();
        tx.commit(Durability::Durable).unwrap();
        engine.assert_clean();
        assert_eq!(engine.read().unwrap().1.len(), 7);
    }
}

#[test]
fn a_meta_that_cannot_be_stored_poisons() {
    let engine = Engine::new();
    let durable = engine.commit(&entries(5, 5, 0), Durability::Durable).unwrap();
    let tx = engine.begin().unwrap();
    put(&tx, b"key", b"value").unwrap();
    tx.publish(Durability::Durable).unwrap();
    engine.fail(Fault::Store, 0);
    assert!(matches!(engine.checkpoint(), Err(Error::Io { .. })));
    assert_poisoned(engine.begin());
    assert_eq!(engine.read().unwrap().0, durable);
    // Half of the meta is in the file now. The log has what was committed since the one before.
    let recovered = engine.reopen();
    let mut expected = entries(5, 5, 0);
    expected.insert(b"key".to_vec(), b"value".to_vec());
    assert_eq!(recovered.read().unwrap().1, expected);
    recovered.assert_clean();
}

#[test]
fn a_cut_that_fails_is_tried_again_and_loses_nothing() {
    // A ring that does not change, at the beginning of the file.
    let engine = Engine::open_with_log(&new_image(), 64 << 10).unwrap();
    engine.commit(&entries(1, 1, 0), Durability::Durable).unwrap();
    engine.commit(&entries(9, 100 << 10, 1), Durability::Durable).unwrap();
    let full = engine.image().len();
    let tx = engine.begin().unwrap();
    clear(&tx).unwrap();
    tx.commit(Durability::Durable).unwrap();
    engine.fail(Fault::Cut, 0);
    for round in 0..40 {
        engine.commit(&entries(1, 1, round), Durability::Durable).unwrap();
        engine.assert_clean();
    }
    assert_eq!(engine.log().faults_met, 1);
    assert!(engine.image().len() < full / 2, "{} of {full}", engine.image().len());
    assert!(engine.log().events.iter().any(|call| matches!(call, Event::Cut { .. })));
}

#[test]
fn no_reader_sees_a_durable_commit_before_it_is_durable() {
    let engine = Engine::new();
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) == 0 {
                    let reader = SnapshotReader::begin(&engine.handle).unwrap();
                    let core = &engine.handle.core;
                    // All commits here are durable ones, so what is seen is durable by then.
                    assert!(core.shared.durable() >= reader.snapshot.id);
                }
            });
        }
        for round in 0..300u16 {
            let tx = engine.begin().unwrap();
            put(&tx, b"key", &round.to_le_bytes()).unwrap();
            match round % 3 {
                0 => drop(tx.publish(Durability::Durable).unwrap()),
                _ => drop(tx.commit(Durability::Durable).unwrap()),
            }
        }
        done.store(1, Ordering::Relaxed);
    });
    // And one step at a time: published, not visible; synced, visible.
    let (before, _) = engine.read().unwrap();
    let tx = engine.begin().unwrap();
    put(&tx, b"key", b"last").unwrap();
    let id = tx.publish(Durability::Durable).unwrap();
    let lazy = engine.begin().unwrap();
    put(&lazy, b"key", b"lazy").unwrap();
    let lazy = lazy.publish(Durability::Lazy).unwrap();
    assert_eq!(engine.read().unwrap().0, before, "a lazy commit over a pending durable one waits for it");
    engine.handle.core.wait_visible(lazy).unwrap();
    assert!(engine.handle.core.shared.durable() >= id);
    assert_eq!(engine.read().unwrap().0, lazy);
}

#[test]
fn one_barrier_for_a_small_durable_commit_and_none_for_a_lazy_one() {
    let engine = Engine::new();
    engine.commit(&entries(500, 100, 0), Durability::Durable).unwrap();
    let small = Entries::from([(b"key".to_vec(), b"value".to_vec())]);
    for (durability, barriers) in [(Durability::Durable, 1), (Durability::Lazy, 0)] {
        let mut counted = 0;
        for round in 0..20 {
            let calls_before = engine.log().events.len();
            let changed = Entries::from([(b"key".to_vec(), vec![round])]);
            engine.commit(if round == 0 { &small } else { &changed }, durability).unwrap();
            let journal = engine.log();
            let calls = &journal.events[calls_before..];
            let count = |wanted: fn(&Event) -> bool| calls.iter().filter(|call| wanted(call)).count();
            let is_other = |call: &Event| match call {
                Event::Lengthened { .. } => true,
                Event::Store { offset, .. } => *offset < 2 * PAGE as u64, // a checkpoint
                _ => false,
            };
            if count(is_other) > 0 {
                continue;
            }
            counted += 1;
            assert_eq!(count(|call| matches!(call, Event::BarrierEnds(_))), barriers, "{durability:?}");
            // Leaf, the pages above it, and the record.
            let stored = count(|call| matches!(call, Event::Store { .. }));
            assert!(stored <= 3, "{durability:?}: {stored} stores");
        }
        assert!(counted > 10, "{durability:?}: {counted}");
    }
}
