//! Waiting for other writers: for oneself not at all, for others as long as was asked for.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::common::{assert_clean, scratch};
use mapleaf::{Db, Durability, Error, Table, WriteTxn};

const NUMBERS: Table<u64, u64> = Table::new("numbers");
/// Long enough for any machine, for what must end by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test in a thread, so that one that waits for itself fails.
#[track_caller]
fn ends(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match wait.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it waits for itself"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

type Call = fn(&Db) -> mapleaf::Result<()>;

/// Every call that would wait for the writer lock.
fn calls_that_wait() -> Vec<(&'static str, Call)> {
    vec![
        ("write", |db| db.write().map(drop)),
        ("write_timeout", |db| db.write_timeout(PATIENCE).map(drop)),
        ("write_timeout without end", |db| db.write_timeout(Duration::MAX).map(drop)),
        ("update", |db| db.update(|_| Ok(()))),
        ("try_update", |db| db.try_update(|_| Ok::<_, Error>(()))),
        ("update with a timeout", |db| db.update_options().timeout(PATIENCE).update(|_| Ok(()))),
        ("check", |db| db.check().map(drop)),
        ("check_options", |db| db.check_options().on_pages(|_, _| {}).check().map(drop)),
        ("compact", |db| db.compact().map(drop)),
        ("compaction", |db| db.compaction().try_for_each(|step| step.map(drop))),
        ("shrink", |db| db.shrink().map(drop)),
        ("wait_for_commit", |db| db.wait_for_commit(db.read()?.id(), None).map(drop)),
        ("watch", |db| db.watch().next().unwrap().map(drop)),
    ]
}

#[track_caller]
fn assert_all_are_refused(db: &Db, where_from: &str) {
    for (name, call) in calls_that_wait() {
        let refused = call(db).unwrap_err();
        assert!(matches!(refused, Error::WriteInProgress), "{name}, {where_from}: {refused}");
    }
    assert!(db.try_write().unwrap().is_none(), "{where_from}: what does not wait is not an error");
}

fn insert(tx: &WriteTxn, key: u64) {
    tx.table(&NUMBERS).unwrap().insert(key, key).unwrap();
}

#[test]
fn a_thread_that_would_wait_for_itself_gets_an_error() {
    ends(|| {
        let (_folder, path) = scratch();
        let db = Db::options().write_timeout(PATIENCE).open(&path).unwrap();
        let others = [
            ("by the same handle", &db),
            ("by a clone", &db.clone()),
            ("by another handle", &Db::open(&path).unwrap()),
        ];
        for (where_from, other) in others {
            let tx = db.write().unwrap();
            insert(&tx, 1);
            assert_all_are_refused(other, where_from);
            // The transaction is not harmed.
            insert(&tx, 2);
            tx.commit().unwrap();
            db.update(|tx| {
                insert(tx, 3);
                assert_all_are_refused(other, where_from);
                Ok(())
            })
            .unwrap();
            let mut has_asked = false;
            let check = db.check_options().on_pages(|_, _| {
                if !has_asked {
                    assert_all_are_refused(other, where_from);
                }
                has_asked = true;
            });
            assert!(check.check().unwrap().is_clean() && has_asked);
            // And after the end of each of these, it writes.
            other.update(|tx| tx.table(&NUMBERS)?.remove_range(..)).unwrap();
            db.write().unwrap().abort();
        }
        let _ = others;
    });
}

#[test]
fn in_memory_too() {
    ends(|| {
        let (db, other) = (Db::in_memory().unwrap(), Db::in_memory().unwrap());
        let tx = db.write().unwrap();
        assert_all_are_refused(&db.clone(), "in memory");
        // Another database is another matter.
        other.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
        assert!(other.check().unwrap().is_clean());
        tx.commit().unwrap();
    });
}

/// The errors of a transaction that ends by a panic or an error do not outlive it.
#[test]
fn after_a_panic_or_an_error_the_thread_writes_again() {
    ends(|| {
        let db = Db::in_memory().unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            db.update(|_| -> mapleaf::Result<()> { panic!("as it must") })
        }));
        assert!(panicked.is_err());
        db.update(|_| Err::<(), _>(Error::TransactionFailed)).unwrap_err();
        db.write().unwrap().commit_deferred().unwrap().wait().unwrap();
        db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    });
}

/// Commits that came before can still become visible: to wait for one of them is not to wait for oneself.
#[test]
fn a_commit_that_is_under_way_can_be_waited_for_while_writing() {
    ends(|| {
        let (_folder, path) = scratch();
        let db = Db::open(&path).unwrap();
        let before = db.read().unwrap().id();
        let tx = db.write().unwrap();
        insert(&tx, 1);
        let pending = tx.commit_deferred().unwrap();
        let tx = db.write().unwrap();
        assert_eq!(db.wait_for_commit(before, None).unwrap(), Some(pending.id()));
        pending.wait().unwrap();
        db.sync().unwrap();
        // A wait that another thread may end is not one for oneself.
        let mut watch = db.watch();
        let stopper = watch.stopper();
        let stopping = thread::spawn(move || stopper.stop());
        assert!(watch.next().is_none());
        stopping.join().unwrap();
        assert!(watch.next().is_none(), "it stays stopped when its stopper is gone");
        tx.commit().unwrap();
    });
}

#[test]
fn a_transaction_that_went_to_another_thread_is_waited_for() {
    ends(|| {
        let (_folder, path) = scratch();
        let db = Db::open(&path).unwrap();
        let tx = db.write().unwrap();
        insert(&tx, 1);
        let suspended = tx.suspend();
        assert!(db.try_write().unwrap().is_none(), "it still holds the lock");
        assert!(db.write_timeout(Duration::from_millis(1)).unwrap().is_none(), "and is not of this thread");
        let other = db.clone();
        let (resumed, wait) = mpsc::channel();
        let thread = thread::spawn(move || {
            let tx = suspended.resume();
            assert!(matches!(other.write(), Err(Error::WriteInProgress)), "now it is of this one");
            resumed.send(()).unwrap();
            insert(&tx, 2);
            tx.commit().unwrap()
        });
        wait.recv().unwrap();
        let tx = db.write().unwrap(); // after the commit of the other thread
        assert_eq!(tx.table(&NUMBERS).unwrap().len(), 2);
        assert_eq!(tx.id().since(thread.join().unwrap()), 1);
        // A transaction that is never resumed has not happened.
        insert(&tx, 3);
        drop(tx.suspend());
        assert_eq!(db.view(|rx| Ok(rx.table(&NUMBERS)?.len())).unwrap(), 2);
        assert_clean(&db);
    });
}

#[test]
fn a_timeout_of_the_options_ends_every_wait() {
    ends(|| {
        let (_folder, path) = scratch();
        let timeout = Duration::from_millis(20);
        let db = Db::options().write_timeout(timeout).open(&path).unwrap();
        let holder = Db::open(&path).unwrap();
        let tx = holder.write().unwrap();
        insert(&tx, 1);
        let calls = calls_that_wait();
        let waits_for_writers = |name: &str| !name.contains("timeout") && !name.starts_with("wa");
        thread::scope(|scope| {
            for (name, call) in calls.iter().filter(|(name, _)| waits_for_writers(name)) {
                let error = scope.spawn(|| call(&db)).join().unwrap().unwrap_err();
                let Error::WriteTimedOut { path: found, timeout: after } = &error else {
                    panic!("{name}: {error}")
                };
                assert_eq!((found, after), (&path.canonicalize().unwrap(), &timeout));
                assert!(error.to_string().contains("20ms"), "{error}");
            }
            // The timeout of a call counts more.
            let longer = scope.spawn(|| {
                db.update_options().timeout(PATIENCE).update(|tx| tx.table(&NUMBERS)?.insert(2, 2))
            });
            let shorter = scope.spawn(|| {
                let none = holder.update_options().timeout(timeout).update(|_| Ok(()));
                assert!(matches!(none, Err(Error::WriteTimedOut { .. })));
            });
            shorter.join().unwrap();
            tx.commit().unwrap();
            assert!(longer.join().unwrap().unwrap());
        });
        assert_eq!(db.view(|rx| Ok(rx.table(&NUMBERS)?.len())).unwrap(), 2);
    });
}

#[test]
fn an_update_is_as_durable_as_was_asked_for() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    let syncs = || db.stats().unwrap().syncs;
    let before = syncs();
    let lazily = db.update_options().durability(Durability::Lazy);
    for key in 0..10 {
        lazily.update(|tx| tx.table(&NUMBERS)?.insert(key, 2)).unwrap();
    }
    let refused = lazily.try_update(|tx| {
        insert(tx, 11);
        Err::<(), Box<dyn std::error::Error>>("no".into())
    });
    assert_eq!(refused.unwrap_err().to_string(), "no");
    assert_eq!(syncs(), before);
    assert_eq!(db.view(|rx| Ok(rx.table(&NUMBERS)?.len())).unwrap(), 10);
    db.update_options().update(|tx| tx.table(&NUMBERS)?.insert(1, 3)).unwrap();
    assert!(syncs() > before);
}
