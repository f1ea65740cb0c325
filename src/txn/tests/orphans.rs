//! The record of a writer that was killed before it raised newest (L2): the next writer, or recovery, completes its
//! transaction.

use super::fixture::{Engine, Entries, PAGE, TABLE, put};
use crate::base::TransactionId;
use crate::error::Error;
use crate::format::redo::operation::Operation;
use crate::format::redo::record::RecordBuilder;
use crate::sim::Fault;
use crate::sim::disk::Event;
use crate::txn::commit::Durability;

fn entries(keys: std::ops::Range<u8>, length: usize, byte: u8) -> Entries {
    keys.map(|key| (vec![key], vec![byte; length])).collect()
}

/// An engine with a ring, and its entries.
fn engine() -> (Engine, Entries) {
    let engine = Engine::new();
    engine.commit(&entries(0..40, 50, 1), Durability::Durable).unwrap();
    (engine, entries(0..40, 50, 1))
}

/// Stores the first `length` bytes of the record of a transaction that makes `operations`, and no more.
fn leave_record(engine: &Engine, operations: &[Operation<'_>], seals: bool, length: usize) -> TransactionId {
    let core = &engine.handle.core;
    let newest = core.shared.newest().unwrap();
    let ring = newest.log.ring.unwrap();
    let mut builder = RecordBuilder::new(ring.max_record_len(PAGE));
    operations.iter().for_each(|&operation| builder.push(TABLE, operation));
    let end = newest.log.end_after(newest.snapshot.id, core);
    let (record, _) = builder.finish(&end, seals);
    let id = core.shared.next_id();
    core.shared.set_appending(id);
    core.store_record(ring, end.lsn, &record[..length.min(record.len())]).unwrap();
    id
}

fn leave_puts(engine: &Engine, changed: &Entries, seals: bool) -> TransactionId {
    let puts: Vec<Operation<'_>> = changed.iter().map(|(key, value)| Operation::Put { key, value }).collect();
    leave_record(engine, &puts, seals, usize::MAX)
}

#[test]
pub(super) fn the_next_writer_completes_the_transaction_first() {
    for seals in [false, true] {
        let (engine, mut state) = engine();
        let before = engine.read().unwrap();
        let id = leave_puts(&engine, &entries(30..60, 70, 2), seals);
        assert_eq!(engine.read().unwrap(), before, "it has not happened yet");
        state.extend(entries(30..60, 70, 2));
        let tx = engine.begin().unwrap();
        assert_eq!((tx.base.id, tx.id), (id, id.next()));
        // A durable one waits for its sync like any other.
        assert_eq!(engine.read().unwrap().0, if seals { before.0 } else { id });
        put(&tx, &[200], b"over it").unwrap();
        tx.commit(Durability::Durable).unwrap();
        state.insert(vec![200], b"over it".to_vec());
        assert!(engine.read().unwrap().1 == state);
        engine.assert_clean();
        assert!(engine.reopen().read().unwrap().1 == state, "its record has stayed in the log");
    }
}

#[test]
fn a_writer_of_another_process_completes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let [dies, other] = [(); 2].map(|()| Engine::share(&path).unwrap());
    let mut state = entries(0..40, 50, 1);
    dies.commit(&state, Durability::Durable).unwrap();
    leave_puts(&dies, &entries(30..60, 70, 2), true);
    other.commit(&entries(0..1, 5, 3), Durability::Durable).unwrap();
    state.extend(entries(30..60, 70, 2));
    state.extend(entries(0..1, 5, 3));
    assert!(other.read().unwrap().1 == state);
    other.assert_clean();
}

#[test]
fn recovery_completes_it() {
    let (engine, mut state) = engine();
    let id = leave_puts(&engine, &entries(30..60, 70, 2), false);
    state.extend(entries(30..60, 70, 2));
    let recovered = engine.reopen();
    assert!(recovered.read().unwrap().1 == state);
    assert!(recovered.handle.core.shared.newest_id() > id);
    recovered.assert_clean();
}

#[test]
fn a_record_that_is_not_whole_never_happened() {
    let (whole, _) = engine();
    let record_len = {
        let before = whole.log().events.len();
        leave_puts(&whole, &entries(30..60, 70, 2), true);
        whole.ring_stores(before)[0].1
    };
    for length in [0, 8, 31, 32, 100, record_len - 1] {
        let (engine, mut state) = engine();
        let puts = entries(30..60, 70, 2);
        let puts: Vec<Operation<'_>> =
            puts.iter().map(|(key, value)| Operation::Put { key, value }).collect();
        let id = leave_record(&engine, &puts, true, length);
        assert!(engine.reopen().read().unwrap().1 == state);
        // Its place and its id are the next one's.
        assert_eq!(engine.commit(&entries(7..9, 30, 3), Durability::Lazy).unwrap(), id);
        state.extend(entries(7..9, 30, 3));
        assert!(engine.read().unwrap().1 == state);
        engine.assert_clean();
        assert!(engine.reopen().read().unwrap().1 == state);
    }
}

#[test]
fn a_record_that_could_not_be_stored_has_not_happened_and_others_go_on() {
    let (engine, mut state) = engine();
    for after in 0.. {
        engine.checkpoint().unwrap();
        engine.fail(Fault::Store, after);
        let result = engine.publish(&entries(0..60, 40, 2), Durability::Durable);
        if result.is_ok() {
            assert!(after > 1, "the record is stored after the pages");
            break;
        }
        assert!(engine.read().unwrap().1 == state);
        assert!(engine.reopen().read().unwrap().1 == state);
        engine.commit(&entries(0..3, 30, after as u8), Durability::Lazy).unwrap();
        state.extend(entries(0..3, 30, after as u8));
        assert!(engine.read().unwrap().1 == state);
        assert!(engine.reopen().read().unwrap().1 == state);
        engine.assert_clean();
    }
}

#[test]
fn operations_that_do_not_fit_end_each_turn_with_an_error_and_the_record_stays() {
    let (engine, state) = engine();
    let wrong = [Operation::Put { key: b"a", value: b"b" }, Operation::Delete { key: b"none" }];
    leave_record(&engine, &wrong, false, usize::MAX);
    let image = engine.image();
    for _ in 0..2 {
        assert!(matches!(engine.begin(), Err(Error::Corrupt(_))));
        assert!(engine.image() == image);
        assert!(engine.read().unwrap().1 == state, "readers go on");
    }
    assert!(matches!(Engine::open(&image, 0), Err(Error::Corrupt(_))));
}

/// Nothing can be appended before it is completed: lazy commits below it become durable by a checkpoint.
#[test]
fn a_sync_below_an_orphan_makes_a_checkpoint() {
    let (engine, mut state) = engine();
    let lazy = engine.publish(&entries(0..5, 20, 2), Durability::Lazy).unwrap();
    state.extend(entries(0..5, 20, 2));
    let orphan = leave_puts(&engine, &entries(30..60, 70, 3), false);
    let core = &engine.handle.core;
    core.sync_everything().unwrap();
    assert_eq!((core.shared.newest_id(), core.shared.durable()), (lazy, lazy));
    assert!(engine.read().unwrap().1 == state);
    assert_eq!(engine.begin().unwrap().base.id, orphan);
    state.extend(entries(30..60, 70, 3));
    assert!(engine.read().unwrap().1 == state);
    engine.assert_clean();
}

/// L13: the last handle has left nothing but the record. The next one begins the log again, after it.
#[test]
fn a_file_with_an_orphan_does_not_count_as_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    for length in [usize::MAX, 40] {
        let engine = Engine::share(&path).unwrap();
        engine.commit(&entries(0..40, 50, 1), Durability::Durable).unwrap();
        let mut state = engine.read().unwrap().1;
        engine.checkpoint().unwrap();
        let orphan = entries(30..60, 70, 2);
        let puts: Vec<Operation<'_>> =
            orphan.iter().map(|(key, value)| Operation::Put { key, value }).collect();
        leave_record(&engine, &puts, true, length);
        let end = engine.redo().end;
        drop(engine);
        let next = Engine::share(&path).unwrap();
        assert!(next.redo().end > end, "the log begins again");
        if length == usize::MAX {
            state.extend(orphan);
        }
        assert!(next.read().unwrap().1 == state);
        next.assert_clean();
    }
}

/// A file that was closed is opened without a barrier, and goes on where its log ended.
#[test]
fn a_file_that_was_closed_is_not_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let engine = Engine::share(&path).unwrap();
    engine.commit(&entries(0..40, 50, 1), Durability::Durable).unwrap();
    engine.commit(&entries(0..4, 50, 2), Durability::Lazy).unwrap();
    drop(engine);
    let mut end = None;
    for _ in 0..3 {
        let engine = Engine::share(&path).unwrap();
        let is_told = |event: &Event| matches!(event, Event::Acknowledged(_));
        if cfg!(mapleaf_portable) {
            return; // the system does not say which boot it is: so a handle that is alone recovers
        }
        assert!(engine.log().events.iter().all(is_told), "nothing is stored: what is found is durable");
        assert!(end.is_none_or(|end| end == engine.redo().end));
        end = Some(engine.redo().end);
    }
}
