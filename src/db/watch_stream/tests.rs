//! Streams of commits: no wake-up is lost, and the thread that serves them ends.

use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

use super::*;
use crate::db::Db;
use crate::error::Error;
use crate::txn::commit::Durability;
use crate::types::Table;

const NUMBERS: Table<u64, u64> = Table::new("numbers");

fn commit(db: &Db, number: u64) -> TransactionId {
    let tx = db.write().unwrap();
    tx.table(&NUMBERS).unwrap().insert(number, number).unwrap();
    tx.commit_with(Durability::Lazy).unwrap()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next item, for which this thread sleeps until it is woken.
fn next(stream: &mut WatchStream) -> Option<Result<TransactionId>> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(stream.next());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(item) => return item,
            Poll::Pending => thread::park(),
        }
    }
}

fn poll(stream: &mut WatchStream, waker: &Waker) -> Poll<Option<Result<TransactionId>>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(waker))
}

#[test]
fn a_stream_wakes_for_each_commit_of_another_handle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.mapleaf");
    let (db, other) = (Db::open(&path).unwrap(), Db::open(&path).unwrap());
    let mut stream = db.watch_from(TransactionId(0)).into_stream();
    let mut seen = next(&mut stream).unwrap().unwrap();
    let last = TransactionId(seen.get() + 200);
    // It stays open: closing would make the lazy commits durable, by a transaction more.
    let writer = thread::spawn(move || {
        (1..=200).for_each(|number| _ = commit(&other, number));
        other
    });
    while seen < last {
        let newest = next(&mut stream).unwrap().unwrap();
        assert!(newest > seen);
        assert!(db.read().unwrap().id() >= newest);
        seen = newest;
    }
    let _other = writer.join().unwrap();
    assert!(poll(&mut stream, Waker::noop()).is_pending());
}

#[test]
fn stopping_ends_a_stream_that_waits_and_one_that_does_not() {
    let db = Db::in_memory().unwrap();
    let (mut waits, mut does_not) = (db.watch().into_stream(), db.watch().into_stream());
    let stoppers = [waits.stopper(), does_not.stopper()];
    assert!(poll(&mut waits, Waker::noop()).is_pending());
    let waiting = thread::spawn(move || next(&mut waits).is_none());
    stoppers.iter().for_each(WatchStopper::stop);
    assert!(waiting.join().unwrap());
    commit(&db, 1);
    assert!(matches!(poll(&mut does_not, Waker::noop()), Poll::Ready(None)), "stopped is stopped");
    assert!(db.watch_from(TransactionId(0)).into_stream().ready_item().is_ready());
}

#[test]
fn a_failed_sync_is_an_item_of_streams_that_wait_and_of_new_ones() {
    let db = Db::in_memory().unwrap();
    let mut stream = db.watch().into_stream();
    assert!(poll(&mut stream, Waker::noop()).is_pending());
    let waiting = thread::spawn(move || next(&mut stream));
    db.handle.core.shared.poison();
    assert!(matches!(waiting.join().unwrap(), Some(Err(Error::Poisoned))));
    assert!(matches!(next(&mut db.watch().into_stream()), Some(Err(Error::Poisoned))));
}

#[test]
fn one_thread_serves_all_streams_and_ends_with_the_last() {
    let db = Db::in_memory().unwrap();
    let owners = || Arc::strong_count(&db.handle.core);
    let before = owners();
    let mut streams: Vec<_> = (0..100).map(|_| db.watch().into_stream()).collect();
    assert_eq!(owners(), before, "no stream has had to wait");
    for round in 0..3 {
        streams.iter_mut().for_each(|stream| assert!(poll(stream, Waker::noop()).is_pending()));
        assert_eq!(owners(), before + 1, "the thread");
        let id = commit(&db, round);
        streams.iter_mut().for_each(|stream| assert_eq!(next(stream).unwrap().unwrap(), id));
    }
    streams.truncate(1);
    assert_eq!(owners(), before + 1);
    streams.clear();
    assert_eq!(owners(), before, "the thread has ended");
    let mut stream = db.watch().into_stream();
    assert!(poll(&mut stream, Waker::noop()).is_pending());
    assert_eq!(owners(), before + 1, "another has begun");
}

/// Drops a stream when it is woken, as the last reference to a task does.
struct DropStream(Mutex<Option<WatchStream>>, Thread);

impl Wake for DropStream {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
        self.1.unpark();
    }
}

#[test]
fn a_waker_may_drop_the_last_stream() {
    let db = Db::in_memory().unwrap();
    let mut stream = db.watch().into_stream();
    let task = Arc::new(DropStream(Mutex::new(None), thread::current()));
    let waker = Waker::from(Arc::clone(&task));
    assert!(poll(&mut stream, &waker).is_pending());
    *task.0.lock().unwrap() = Some(stream);
    commit(&db, 1);
    while task.0.lock().unwrap().is_some() {
        thread::park();
    }
    let mut another = db.watch_from(TransactionId(0)).into_stream();
    assert!(next(&mut another).is_some());
}

#[test]
fn a_stream_keeps_the_database_open_and_a_stopper_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.mapleaf");
    let db = Db::open(&path).unwrap();
    let (mut stream, closed) = (db.watch().into_stream(), Arc::downgrade(&db.handle.core));
    let stopper = stream.stopper();
    drop(db);
    assert!(poll(&mut stream, Waker::noop()).is_pending());
    assert!(closed.upgrade().is_some());
    drop(stream);
    assert!(closed.upgrade().is_none());
    stopper.stop();
    assert!(stopper.is_stopped());
}
