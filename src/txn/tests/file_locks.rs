//! The order in which threads and handles write; checked by counts and order, never by time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::fixture::{Engine, entries_of, put};
use crate::txn::commit::Durability;
use crate::txn::database::DbHandle;
use crate::txn::file_locks::Wait;
use crate::txn::read::SnapshotReader;
use crate::txn::write::Transaction;

/// How long each waits: some for ever, some with a distant deadline; one gives up.
const WAITERS: [&str; 8] = ["far", "ever", "short", "ever", "far", "ever", "far", "ever"];

fn wait(name: &str) -> Wait {
    match name {
        "ever" => Wait::Forever,
        "far" => Wait::Until(Instant::now() + Duration::from_secs(600)),
        _ => Wait::Until(Instant::now() + Duration::from_millis(300)),
    }
}

/// One thread writes, and others come, one after the other: each when `is_waiting` shows that the one before waits.
/// Then the first ends. Those that have not given up meanwhile must get the lock in the order in which they came.
fn assert_first_come_first_served(
    writes: &Engine,
    handles: &[Arc<DbHandle>],
    is_waiting: impl Fn(usize, usize) -> bool,
) {
    let (order, given_up) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    writes.commit(&[(b"ring".to_vec(), vec![])].into(), Durability::Durable).unwrap();
    let first = writes.begin().unwrap();
    thread::scope(|scope| {
        for (number, name) in WAITERS.into_iter().enumerate() {
            let (handle, order, given_up) = (&handles[number % handles.len()], &order, &given_up);
            scope.spawn(move || match Transaction::begin(handle, wait(name)).unwrap() {
                Some(tx) => {
                    order.lock().push(number);
                    put(&tx, &[number as u8], b"x").unwrap();
                    tx.publish(Durability::Lazy).unwrap();
                }
                None => _ = given_up.fetch_add(1, SeqCst),
            });
            while !is_waiting(number, given_up.load(SeqCst)) {
                thread::yield_now();
            }
        }
        while given_up.load(SeqCst) == 0 {
            thread::yield_now(); // so that those after it are first in the queue
        }
        first.publish(Durability::Lazy).unwrap();
    });
    assert_eq!(order.into_inner(), [0, 1, 3, 4, 5, 6, 7]);
    let reader = SnapshotReader::begin(&writes.handle).unwrap();
    assert_eq!(entries_of(&reader).unwrap().len(), 8);
    drop(reader);
    writes.assert_clean();
}

#[test]
fn threads_of_a_handle_write_in_the_order_in_which_they_came() {
    let engine = Engine::new();
    let writer_lock = &engine.handle.core.writer_lock;
    let is_waiting = |number: usize, given_up: usize| writer_lock.queue_len() + given_up > number;
    assert_first_come_first_served(&engine, &[Arc::clone(&engine.handle)], is_waiting);
}

#[test]
fn handles_write_in_the_order_in_which_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let writes = Engine::share(&path).unwrap();
    let engines: Vec<Engine> = WAITERS.iter().map(|_| Engine::share(&path).unwrap()).collect();
    let handles: Vec<Arc<DbHandle>> = engines.iter().map(|engine| Arc::clone(&engine.handle)).collect();
    let locks = writes.handle.core.locks.as_ref().unwrap();
    let is_waiting = |number: usize, given_up: usize| given_up > 0 || locks.is_taken(number as u64);
    assert_first_come_first_served(&writes, &handles, is_waiting);
}

/// A writer that does not wait never goes before those that do, even while the writer lock is free.
#[test]
fn trying_does_not_overtake_those_who_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let [waits, tries] = [(); 2].map(|()| Engine::share(&path).unwrap());
    let locks = waits.handle.core.locks.as_ref().unwrap();
    locks.take_place(7).unwrap(); // and here it is suspended
    assert!(Transaction::begin(&tries.handle, Wait::No).unwrap().is_none());
    let soon = Wait::Until(Instant::now() + Duration::from_millis(20));
    assert!(
        Transaction::begin(&tries.handle, soon).unwrap().is_some(),
        "its ticket says that it came before"
    );
    for _ in 0..7 {
        tries.handle.core.shared.take_ticket();
    }
    assert!(Transaction::begin(&tries.handle, wait("short")).unwrap().is_none());
    drop(waits); // as if it were killed
    assert!(Transaction::begin(&tries.handle, Wait::No).unwrap().is_some());
}
