//! Readers, writers and waiters at the same time, and things that are dropped in every order.
//!
//! `MAPLEAF_LONG=1` makes everything ten times as long.

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{BOTH_MODES, Random, assert_clean, is_long, scratch};
use mapleaf::{Db, Durability, Error, MultimapTable, PendingCommit, ReadTxn, Table, TransactionId};

const NUMBERS: Table<u64, u64> = Table::new("numbers");

fn times(count: u64) -> u64 {
    if is_long() { count * 10 } else { count }
}

/// All entries of a snapshot are of one round, and all of them are there.
fn round_of(rx: &ReadTxn, count: u64) -> u64 {
    let numbers = rx.table(&NUMBERS).unwrap();
    assert_eq!(numbers.len(), count);
    let mut rounds = numbers.iter().map(|entry| entry.unwrap().1);
    let round = rounds.next().unwrap();
    assert!(rounds.all(|other| other == round), "a snapshot of two rounds");
    assert_eq!(numbers.get(count / 2).unwrap(), Some(round));
    assert!(numbers.get_many(0..count).unwrap().iter().all(|&other| other == Some(round)));
    round
}

/// What a transaction has changed, stored early, or not touched, read by threads while nothing is committed.
#[test]
fn threads_read_what_is_not_committed_yet() {
    const COUNT: u64 = 20_000;
    const UNTOUCHED: Table<u64, [u8]> = Table::new("untouched");
    const CHANGED: Table<u64, [u8]> = Table::new("changed");
    const TAGS: MultimapTable<u64, u64> = MultimapTable::new("tags");
    let value = |key: u64, length: usize| vec![key as u8; length];
    for dirty_memory in [0, 100_000, 256 << 20] {
        let (_folder, path) = scratch();
        let db = Db::options().dirty_memory(dirty_memory).open(&path).unwrap();
        db.update(|tx| {
            tx.table(&UNTOUCHED)?.insert_many((0..COUNT).map(|key| (key, value(key, 10))))?;
            tx.table(&NUMBERS)?.insert(1, 1)?;
            tx.table(&CHANGED)?.insert_many((0..COUNT).map(|key| (key, value(key, 30)))).map(drop)
        })
        .unwrap();
        let mut tx = db.write().unwrap();
        for key in (0..COUNT).step_by(7) {
            tx.table(&CHANGED).unwrap().insert(key, value(key, 31)).unwrap();
        }
        tx.table(&CHANGED).unwrap().insert(COUNT, value(1, 300_000)).unwrap();
        tx.table(&CHANGED).unwrap().insert(COUNT + 1, value(2, 30_000)).unwrap();
        tx.multimap(&TAGS).unwrap().insert_many((0..1000).map(|tag| (3, tag))).unwrap();
        tx.drop_table("numbers").unwrap();
        let view = tx.view().unwrap();
        assert!(matches!(view.table(&NUMBERS), Err(Error::TableNotFound { .. })));
        assert!(matches!(
            view.table(&Table::<u64, u64>::new("changed")),
            Err(Error::TableTypeMismatch { .. })
        ));
        assert!(matches!(view.table(&Table::<u64, u64>::new("tags")), Err(Error::TableKindMismatch { .. })));
        let names: Vec<_> =
            view.tables().unwrap().into_iter().map(|info| (info.name, info.entries)).collect();
        let expected = [("changed", COUNT + 2), ("tags", 1000), ("untouched", COUNT)];
        assert_eq!(names, expected.map(|(name, entries)| (name.to_owned(), entries)));
        thread::scope(|scope| {
            let (changed, tags) = (view.table(&CHANGED).unwrap(), view.multimap(&TAGS).unwrap());
            for part in changed.split_range(..COUNT, 4).unwrap() {
                scope.spawn(move || {
                    let untouched = view.table(&UNTOUCHED).unwrap();
                    for entry in changed.range(part) {
                        let (key, found) = entry.unwrap();
                        assert_eq!(found, value(key, if key % 7 == 0 { 31 } else { 30 }));
                        assert_eq!(untouched.get(key).unwrap(), Some(&value(key, 10)[..]));
                    }
                    assert_eq!(changed.get(COUNT).unwrap().unwrap().len(), 300_000);
                    assert_eq!(changed.get(COUNT + 1).unwrap().unwrap(), value(2, 30_000));
                    assert_eq!(changed.into_iter().count() as u64, COUNT + 2);
                    assert_eq!((tags.len_of(3).unwrap(), tags.get(3).count()), (1000, 1000));
                });
            }
        });
        // The transaction goes on.
        tx.table(&CHANGED).unwrap().remove(COUNT).unwrap();
        std::mem::forget(tx.table(&UNTOUCHED).unwrap());
        assert!(matches!(tx.view(), Err(Error::TableInUse { .. })));
        tx.abort();
        assert_eq!(db.read().unwrap().table(&CHANGED).unwrap().len(), COUNT);
        assert_clean(&db);
    }
}

fn write_round(db: &Db, count: u64, round: u64, durability: Durability) {
    let tx = db.write().unwrap();
    {
        let mut numbers = tx.table(&NUMBERS).unwrap();
        for number in 0..count {
            numbers.insert(number, round).unwrap();
        }
    }
    tx.commit_with(durability).unwrap();
}

#[test]
fn timeouts_without_end_are_forever() {
    let db = Db::in_memory().unwrap();
    let tx = db.write_timeout(Duration::MAX).unwrap().expect("no other transaction is open");
    tx.table(&Table::<u64, u64>::new("t")).unwrap().insert(1, 1).unwrap();
    let id = tx.commit().unwrap();
    assert_eq!(db.wait_for_commit(TransactionId::new(id.get() - 1), Some(Duration::MAX)).unwrap(), Some(id));
    assert_eq!(db.watch().next_timeout(Duration::ZERO).unwrap(), None);
}

#[test]
fn readers_see_whole_transactions_while_pages_are_used_again() {
    const COUNT: u64 = 300;
    for mode in BOTH_MODES {
        let (_folder, path) = scratch();
        let db = Db::options().write_mode(mode).open(&path).unwrap();
        write_round(&db, COUNT, 0, Durability::Durable);
        let is_done = AtomicBool::new(false);
        let reads = AtomicU64::new(0);
        let rounds = times(1500);
        thread::scope(|scope| {
            for reader in 0..3 {
                let db = db.clone();
                let (is_done, reads) = (&is_done, &reads);
                scope.spawn(move || {
                    let mut held: Vec<(ReadTxn, u64)> = Vec::new();
                    let mut newest = 0;
                    let mut random = Random::new(reader);
                    while !is_done.load(Ordering::Relaxed) {
                        let rx = db.read().unwrap();
                        let round = round_of(&rx, COUNT);
                        assert!(round >= newest, "what was visible stays visible");
                        newest = round;
                        held.push((rx, round));
                        if held.len() > 4 {
                            // Parked ones still read what they read at first.
                            let (rx, round) = held.swap_remove(random.below(held.len()));
                            assert_eq!(round_of(&rx, COUNT), round);
                        }
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for round in 1..=rounds {
                let durability = if round % 50 == 0 { Durability::Durable } else { Durability::Lazy };
                write_round(&db, COUNT, round, durability);
            }
            is_done.store(true, Ordering::Relaxed);
        });
        assert!(reads.load(Ordering::Relaxed) > 10);
        assert_eq!(round_of(&db.read().unwrap(), COUNT), rounds);
        assert_clean(&db);
        // Pages have been used again: a round takes two pages at least.
        assert!(u64::from(db.stats().unwrap().pages) < rounds);
    }
}

#[test]
fn writers_take_turns_and_share_barriers() {
    const WRITERS: u64 = 8;
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let commits = times(60);
    db.update(|tx| tx.table(&NUMBERS).map(drop)).unwrap();
    let before = db.stats().unwrap();
    let start = Barrier::new(WRITERS as usize);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (db, start) = (db.clone(), &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..commits {
                    let tx = db.write().unwrap();
                    let count = {
                        let mut numbers = tx.table(&NUMBERS).unwrap();
                        let total = numbers.get(u64::MAX).unwrap().unwrap_or(0);
                        numbers.insert(u64::MAX, total + 1).unwrap();
                        let own = numbers.get(writer).unwrap().unwrap_or(0) + 1;
                        numbers.insert(writer, own).unwrap();
                        own
                    };
                    let id = tx.commit().unwrap();
                    // When it returns it is durable, and visible to each reader that begins now.
                    assert!(db.stats().unwrap().durable >= id);
                    let rx = db.read().unwrap();
                    assert!(rx.id() >= id);
                    assert_eq!(rx.table(&NUMBERS).unwrap().get(writer).unwrap(), Some(count));
                }
            });
        }
    });
    let after = db.stats().unwrap();
    let rx = db.read().unwrap();
    assert_eq!(
        rx.table(&NUMBERS).unwrap().get(u64::MAX).unwrap(),
        Some(WRITERS * commits),
        "each one isolated"
    );
    assert_eq!(after.newest.since(before.newest), WRITERS * commits);
    let barriers = after.syncs - before.syncs;
    println!("{} commits by {WRITERS} threads took {barriers} barriers", WRITERS * commits);
    assert!(barriers <= WRITERS * commits);
    drop(rx);
    assert_clean(&db);
}

#[test]
fn a_waiting_writer_gets_its_turn() {
    let db = Db::in_memory().unwrap();
    let first = db.write().unwrap();
    assert!(db.try_write().unwrap().is_none());
    thread::scope(|scope| {
        scope.spawn(|| assert!(db.write_timeout(Duration::from_millis(1)).unwrap().is_none()));
    });
    let waiter = {
        let db = db.clone();
        thread::spawn(move || {
            let tx = db.write().unwrap();
            assert_eq!(tx.table(&NUMBERS).unwrap().get(1).unwrap(), Some(1), "it builds on the first");
            tx.table(&NUMBERS).unwrap().insert(2, 2).unwrap();
            tx.commit().unwrap()
        })
    };
    first.table(&NUMBERS).unwrap().insert(1, 1).unwrap();
    let id = first.commit().unwrap();
    assert_eq!(waiter.join().unwrap().since(id), 1);
    assert!(db.write_timeout(Duration::ZERO).unwrap().is_some());
}

#[test]
fn deferred_commits_share_barriers_and_become_durable_by_themselves() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS).map(drop)).unwrap();
    let before = db.stats().unwrap();
    let count = times(1000);
    let mut tickets: Vec<PendingCommit> = Vec::new();
    for number in 0..count {
        let tx = db.write().unwrap();
        tx.table(&NUMBERS).unwrap().insert(number, number).unwrap();
        tickets.push(tx.commit_deferred().unwrap());
    }
    let ids: Vec<TransactionId> = tickets.iter().map(PendingCommit::id).collect();
    assert!(ids.windows(2).all(|pair| pair[1].since(pair[0]) == 1));
    // Waited for in any order, also by other threads.
    let last = tickets.pop().unwrap();
    thread::spawn(move || last.wait().unwrap()).join().unwrap();
    for ticket in tickets {
        assert!(ticket.is_durable(), "one that is durable has all before it durable");
        ticket.wait().unwrap();
    }
    let after = db.stats().unwrap();
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), count);
    println!("{count} deferred commits took {} barriers", after.syncs - before.syncs);
    assert!(after.syncs - before.syncs < count, "none of them shared a barrier");
    // A commit whose `PendingCommit` is dropped becomes durable too.
    let tx = db.write().unwrap();
    tx.table(&NUMBERS).unwrap().insert(count, 0).unwrap();
    let ticket = tx.commit_deferred().unwrap();
    while !ticket.is_durable() {
        thread::yield_now();
    }
    drop(ticket);
    assert_clean(&db);
}

#[test]
fn deferred_lazy_and_durable_commits_of_many_threads() {
    for mode in BOTH_MODES {
        let (_folder, path) = scratch();
        let db = Db::options().write_mode(mode).open(&path).unwrap();
        let commits = times(120);
        thread::scope(|scope| {
            for writer in 0..4u64 {
                let db = db.clone();
                scope.spawn(move || {
                    let mut random = Random::new(writer);
                    let mut tickets = Vec::new();
                    for commit in 0..commits {
                        let tx = db.write().unwrap();
                        tx.table(&NUMBERS).unwrap().insert(writer, commit).unwrap();
                        let id = match random.below(4) {
                            0 => tx.commit().unwrap(),
                            1 => tx.commit_with(Durability::Lazy).unwrap(),
                            2 => {
                                let ticket = tx.commit_deferred().unwrap();
                                let id = ticket.id();
                                tickets.push(ticket);
                                id
                            }
                            _ => tx.commit_deferred().unwrap().wait().unwrap(),
                        };
                        let stats = db.stats().unwrap();
                        assert!(stats.newest >= id && stats.durable <= stats.newest);
                        if tickets.len() > 5 {
                            tickets.drain(..).for_each(|ticket| assert!(ticket.wait().unwrap() <= id));
                            assert!(
                                db.read().unwrap().table(&NUMBERS).unwrap().get(writer).unwrap().is_some()
                            );
                        }
                    }
                });
            }
            let db = db.clone();
            scope.spawn(move || {
                let mut seen = [0; 4];
                for _ in 0..commits {
                    let rx = db.read().unwrap();
                    if let Ok(numbers) = rx.table(&NUMBERS) {
                        for (writer, seen) in (0..).zip(&mut seen) {
                            let now = numbers.get(writer).unwrap().unwrap_or(0);
                            assert!(now >= *seen, "a commit has vanished");
                            *seen = now;
                        }
                    }
                    db.sync().unwrap();
                }
            });
        });
        assert_clean(&db);
        drop(db);
        let db = Db::open(&path).unwrap();
        let rx = db.read().unwrap();
        assert!((0..4).all(|writer| rx.table(&NUMBERS).unwrap().get(writer).unwrap() == Some(commits - 1)));
        drop(rx);
        assert_clean(&db);
    }
}

#[test]
fn five_thousand_read_transactions_at_once() {
    let db = Db::in_memory().unwrap();
    let mut readers = Vec::new();
    for number in 0..5000 {
        if number % 10 == 0 {
            write_round(&db, 20, number, Durability::Lazy);
        }
        readers.push((db.read().unwrap(), number / 10 * 10));
    }
    let stats = db.stats().unwrap();
    assert_eq!((stats.readers, stats.oldest_reader), (5000, Some(readers[0].0.id())));
    assert_clean(&db);
    // They end in another order than they began in.
    for step in 0..5000 {
        let at = (step * 2011) % readers.len();
        let (rx, round) = readers.swap_remove(at);
        assert_eq!(round_of(&rx, 20), round);
    }
    assert_eq!(db.stats().unwrap().readers, 0);
    write_round(&db, 20, 1, Durability::Durable);
    write_round(&db, 20, 2, Durability::Durable);
    assert!(db.stats().unwrap().retired_pages < 10);
    assert_clean(&db);
}

#[test]
fn too_many_read_transactions_are_an_error_and_each_end_makes_room() {
    let db = Db::in_memory().unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    let mut readers: Vec<ReadTxn> = (0..16384).map(|_| db.read().unwrap()).collect();
    let error = db.read().unwrap_err();
    assert!(matches!(error, Error::ReadersFull { slots: 16384 }));
    assert!(error.to_string().contains("end some read transactions"));
    // Writers do not need a slot.
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 2)).unwrap();
    drop(readers.swap_remove(7000));
    let rx = db.read().unwrap();
    assert_eq!(rx.table(&NUMBERS).unwrap().get(1).unwrap(), Some(2));
    assert_eq!(readers[0].table(&NUMBERS).unwrap().get(1).unwrap(), Some(1));
}

/// Something that is open, and how it ends.
type Part = (&'static str, Box<dyn FnOnce()>);

/// Whatever outlives the handle keeps the database open and good; the last one closes it.
#[test]
fn dropped_in_every_order() {
    for order in 0..24 {
        let (_folder, path) = scratch();
        let db = Db::open(&path).unwrap();
        write_round(&db, 100, 1, Durability::Durable);
        let rx = Arc::new(db.read().unwrap());
        let range = rx.owned_table(&NUMBERS).unwrap().range(10..20);
        let tx = db.write().unwrap();
        tx.table(&NUMBERS).unwrap().insert(0, 77).unwrap();
        let ticket = tx.commit_deferred().unwrap();
        let open_tx = db.write().unwrap();
        open_tx.table(&NUMBERS).unwrap().insert(1, 99).unwrap();
        let mut parts: Vec<Part> = vec![
            ("handle", Box::new(move || drop(db))),
            (
                "range",
                Box::new(move || {
                    drop(rx);
                    assert!(range.map(Result::unwrap).eq((10..20).map(|number| (number, 1))));
                }),
            ),
            ("ticket", Box::new(move || assert!(ticket.wait().unwrap().get() > 1))),
            (
                "write transaction",
                Box::new(move || {
                    assert!(open_tx.commit_with(Durability::Lazy).unwrap().get() > 1);
                }),
            ),
        ];
        let mut digits = order;
        while !parts.is_empty() {
            let at = digits % parts.len();
            digits /= parts.len();
            let (_, end) = parts.remove(at);
            end();
        }
        let db = Db::open(&path).unwrap();
        let rx = db.read().unwrap();
        let numbers = rx.table(&NUMBERS).unwrap();
        assert_eq!(numbers.get(0).unwrap(), Some(77));
        assert_eq!(numbers.get(1).unwrap(), Some(99), "a lazy commit is durable when all is closed");
        assert_clean(&db);
    }
}

#[test]
fn transactions_move_between_threads() {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    tx.table(&NUMBERS).unwrap().insert(1, 1).unwrap();
    let tx = tx.suspend();
    thread::spawn(move || tx.resume().commit().unwrap()).join().unwrap();
    let rx = Arc::new(db.read().unwrap());
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let rx = Arc::clone(&rx);
            thread::spawn(move || rx.table(&NUMBERS).unwrap().get(1).unwrap())
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Some(1));
    }
}

/// No thread has the writer lock while the callback runs.
#[test]
fn a_callback_about_old_readers_may_write() {
    let db = Arc::new(std::sync::OnceLock::<Db>::new());
    let (calls, own) = (Arc::new(AtomicU64::new(0)), Arc::clone(&db));
    let counted = Arc::clone(&calls);
    let callback = move |reader: &mapleaf::ReaderInfo| {
        counted.fetch_add(1, Ordering::Relaxed);
        let db = own.get().unwrap();
        db.update(|tx| tx.table(&NUMBERS)?.insert(reader.snapshot.get(), 7)).unwrap();
    };
    db.set(Db::options().on_stale_reader(Duration::ZERO, callback).in_memory().unwrap()).unwrap();
    let db = db.get().unwrap();
    let mut readers = Vec::new();
    for number in 1..=5 {
        readers.push(db.read().unwrap());
        thread::sleep(Duration::from_millis(20)); // older than the coarse clock can tell
        let tx = db.write().unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), number);
        let told = readers.last().unwrap().id();
        assert_eq!(tx.table(&NUMBERS).unwrap().get(told.get()).unwrap(), Some(7), "it wrote before this one");
        tx.table(&NUMBERS).unwrap().insert(1000 + number, 0).unwrap();
        tx.commit().unwrap();
    }
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), 10);
    assert_clean(db);
}

#[test]
fn a_panic_in_a_transaction_gives_the_turn_back() {
    type Panics = fn(&Db);
    let in_a_closure: Panics = |db| {
        let _: mapleaf::Result<()> = db.update(|tx| {
            tx.table(&NUMBERS)?.insert(1, 1)?;
            panic!("injected")
        });
    };
    let in_retain: Panics = |db| {
        let tx = db.write().unwrap();
        let mut numbers = tx.table(&NUMBERS).unwrap();
        numbers.insert(2, 2).unwrap();
        let _ = numbers.retain(|number, _| if number == 50 { panic!("injected") } else { false });
    };
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    write_round(&db, 100, 1, Durability::Durable);
    let other = Db::open(&path).unwrap();
    for panics in [in_a_closure, in_retain] {
        let clone = db.clone();
        assert!(thread::spawn(move || panics(&clone)).join().is_err());
        for db in [&db, &other] {
            assert!(db.try_write().unwrap().is_some());
            assert_eq!(round_of(&db.read().unwrap(), 100), 1, "it never happened");
            assert_clean(db);
        }
    }
    write_round(&other, 100, 2, Durability::Durable);
    write_round(&db, 100, 3, Durability::Durable);
    assert_eq!(round_of(&other.read().unwrap(), 100), 3);
    assert_clean(&db);
}

#[test]
fn a_panic_in_the_callback_about_old_readers_leaves_the_turn_free() {
    let callback = |_: &mapleaf::ReaderInfo| panic!("injected");
    let db = Db::options().on_stale_reader(Duration::ZERO, callback).in_memory().unwrap();
    let _rx = db.read().unwrap();
    thread::sleep(Duration::from_millis(20));
    let clone = db.clone();
    assert!(thread::spawn(move || drop(clone.write())).join().is_err());
    write_round(&db, 10, 1, Durability::Durable);
}

#[test]
fn nothing_is_missed_between_reading_and_watching() {
    let db = Db::in_memory().unwrap();
    write_round(&db, 10, 1, Durability::Lazy);
    let read = db.read().unwrap().id();
    write_round(&db, 10, 2, Durability::Lazy);
    write_round(&db, 10, 3, Durability::Lazy);
    let newest = db.read().unwrap().id();
    assert_eq!(db.watch().next_timeout(Duration::ZERO).unwrap(), None, "it begins now");
    let mut watch = db.watch_from(read);
    assert_eq!(watch.next_timeout(Duration::ZERO).unwrap(), Some(newest));
    assert_eq!(watch.next_timeout(Duration::ZERO).unwrap(), None);
    assert_eq!(db.watch_from(TransactionId::new(0)).next().unwrap().unwrap(), newest);
    // From what will only be there later.
    let mut later = db.watch_from(TransactionId::new(newest.get() + 1));
    write_round(&db, 10, 4, Durability::Lazy);
    assert_eq!(later.next_timeout(Duration::ZERO).unwrap(), None);
    write_round(&db, 10, 5, Durability::Lazy);
    assert_eq!(later.next().unwrap().unwrap().since(newest), 2);
}

#[test]
fn a_watch_can_be_stopped_while_it_waits() {
    let db = Db::in_memory().unwrap();
    for times in 0..20 {
        let mut watch = db.watch();
        let stopper = watch.stopper();
        let (seen, clone) = (Barrier::new(2), db.clone());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let first = watch.next();
                seen.wait();
                (first, watch.next(), watch.next_timeout(Duration::MAX))
            });
            write_round(&clone, 10, times, Durability::Lazy);
            seen.wait();
            assert!(!stopper.is_stopped());
            stopper.clone().stop();
            let (first, waited, later) = waiting.join().unwrap();
            assert_eq!(first.unwrap().unwrap(), clone.read().unwrap().id());
            assert!(waited.is_none());
            assert_eq!(later.unwrap(), None);
        });
        assert!(stopper.is_stopped());
    }
}

#[test]
fn a_stopped_watch_stays_stopped_and_others_go_on() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let (mut stopped, mut other) = (db.watch(), db.watch());
    let stopper = stopped.stopper();
    stopper.stop();
    write_round(&db, 10, 1, Durability::Lazy);
    assert!(stopped.next().is_none(), "though there is a commit");
    assert!(other.next().is_some());
    // A stopper does not keep the database open.
    drop((db, stopped, other));
    std::fs::rename(&path, path.with_extension("moved")).unwrap();
    Db::options().create(false).open(path.with_extension("moved")).unwrap();
    stopper.stop();
}
