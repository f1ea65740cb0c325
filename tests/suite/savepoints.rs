//! Savepoints and nested transactions: what goes back, what a kill leaves afterwards, and what is refused.
//!
//! The model (`model.rs`) has savepoints in large transactions; here are small ones, whose commits are in the redo log.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::common::{Random, Replay, assert_clean, child, child_task, scratch, seeds};
use mapleaf::{Db, Durability, Error, MultimapTable, ReadTxn, Result, Table, WriteTxn};

pub(crate) type Entries = BTreeMap<u64, Vec<u8>>;
pub(crate) type State = BTreeMap<String, Entries>;

pub(crate) const NAMES: [&str; 3] = ["one", "two", "three"];
pub(crate) const NUMBERS: Table<u64, [u8]> = Table::new("numbers");

pub(crate) fn table(name: &str) -> Table<'_, u64, [u8]> {
    Table::new(name)
}

pub(crate) fn state_of(rx: &ReadTxn) -> State {
    let entries = |name: &str| {
        let table = rx.table(&table(name)).unwrap();
        let entries = table.iter().map(|entry| entry.map(|(key, value)| (key, value.to_vec())));
        entries.collect::<Result<Entries>>().unwrap()
    };
    rx.tables().unwrap().into_iter().map(|info| (info.name.clone(), entries(&info.name))).collect()
}

fn change(tx: &WriteTxn, state: &mut State, random: &mut Random) {
    let name = *random.pick(&NAMES);
    let to = *random.pick(&NAMES);
    match random.below(16) {
        0 => {
            assert_eq!(tx.drop_table(name).unwrap(), state.remove(name).is_some());
            return;
        }
        1 if state.contains_key(name) && !state.contains_key(to) => {
            tx.rename_table(name, to).unwrap();
            let entries = state.remove(name).unwrap();
            state.insert(to.to_owned(), entries);
            return;
        }
        _ => {}
    }
    let mut table = tx.table(&table(name)).unwrap();
    let entries = state.entry(name.to_owned()).or_default();
    let key = random.below(60) as u64;
    let length = random.below(40);
    let value = random.bytes(length);
    match random.below(12) {
        0 => assert_eq!(table.clear().unwrap(), std::mem::take(entries).len() as u64),
        1 => {
            table.remove_range(key..key + 5).unwrap();
            entries.retain(|other, _| !(key..key + 5).contains(other));
        }
        2 => {
            table.retain(|other, _| other % 7 != key % 7).unwrap();
            entries.retain(|other, _| other % 7 != key % 7);
        }
        3 | 4 => assert_eq!(table.remove(key).unwrap(), entries.remove(&key).is_some()),
        5 | 6 => {
            table.insert_reserve(key, value.len()).unwrap().copy_from_slice(&value);
            entries.insert(key, value);
        }
        7 => {
            table.insert_many((key..key + 8).map(|key| (key, &value))).unwrap();
            entries.extend((key..key + 8).map(|key| (key, value.clone())));
        }
        _ => assert_eq!(table.insert(key, &value).unwrap(), entries.insert(key, value).is_none()),
    }
}

/// Changes, with savepoints that are gone back to, released or left, and nested transactions.
fn work(tx: &mut WriteTxn, state: &mut State, random: &mut Random, depth: usize) {
    let mut savepoints = Vec::new();
    for _ in 0..2 + random.below(10) {
        match random.below(10) {
            0 | 1 => savepoints.push((tx.savepoint().unwrap(), state.clone())),
            2 | 3 if !savepoints.is_empty() => {
                savepoints.truncate(1 + random.below(savepoints.len()));
                let (savepoint, then) = savepoints.last().unwrap();
                tx.rollback_to(savepoint).unwrap();
                state.clone_from(then);
            }
            4 if !savepoints.is_empty() => {
                savepoints.truncate(1 + random.below(savepoints.len()));
                tx.release(savepoints.pop().unwrap().0).unwrap();
            }
            5 if depth < 4 => {
                let mut inner = state.clone();
                let is_kept = random.one_in(2);
                let result = tx.nested(|tx| {
                    work(tx, &mut inner, random, depth + 1);
                    if is_kept { Ok(()) } else { Err(Error::TransactionFailed) }
                });
                assert_eq!(result.is_ok(), is_kept);
                if is_kept {
                    *state = inner;
                }
            }
            _ => change(tx, state, random),
        }
    }
}

/// Commits transactions, calls `each` after each with the state that it has left, and returns the last one.
fn run(db: &Db, seed: u64, mut each: impl FnMut(&State)) -> State {
    let mut random = Random::new(seed);
    let mut state = State::new();
    for _ in 0..25 {
        let mut tx = db.write().unwrap();
        work(&mut tx, &mut state, &mut random, 0);
        let durability = if random.one_in(3) { Durability::Durable } else { Durability::Lazy };
        tx.commit_with(durability).unwrap();
        each(&state);
    }
    state
}

#[test]
fn the_log_of_what_went_back_replays_to_the_state_that_was_committed() {
    let mut replayed = 0;
    for seed in seeds(12, 1000) {
        let _replay = Replay { test: "--test suite savepoints::the_log", seed };
        let (_folder, path) = scratch();
        let db = Db::options().dirty_memory(0).open(&path).unwrap();
        run(&db, seed, |state| {
            let (_folder, copy) = scratch();
            std::fs::copy(&path, &copy).unwrap(); // as a kill would leave it
            let stats = db.stats().unwrap();
            replayed += u64::from(stats.checkpointed < stats.newest);
            let recovered = Db::open(&copy).unwrap();
            assert_eq!(state_of(&recovered.read().unwrap()), *state);
            assert_clean(&recovered);
        });
        assert_clean(&db);
    }
    assert!(replayed > 100, "{replayed} states were in the log only");
}

const SEED_OF_KILLED: u64 = 7;

#[test]
#[ignore = "a process of other tests"]
fn killed() {
    let Some(path) = child_task() else { return };
    let db = Db::options().dirty_memory(0).open(path).unwrap();
    run(&db, SEED_OF_KILLED, |_| {});
    let mut tx = db.write().unwrap();
    let mut unfinished = state_of(&db.read().unwrap());
    work(&mut tx, &mut unfinished, &mut Random::new(1), 0);
    std::process::abort();
}

#[test]
fn a_killed_process_leaves_what_it_has_committed_after_going_back() {
    let (_folder, path) = scratch();
    assert!(!child(concat!(module_path!(), "::killed"), &path).status().unwrap().success());
    let expected = run(&Db::in_memory().unwrap(), SEED_OF_KILLED, |_| {});
    let db = Db::open(Path::new(&path)).unwrap();
    assert_eq!(state_of(&db.read().unwrap()), expected);
    assert_clean(&db);
}

fn five(tx: &WriteTxn) -> Result<()> {
    tx.table(&NUMBERS)?.insert_many((0..5).map(|key| (key, b"five"))).map(drop)
}

/// Savepoints that have ended, or are another transaction's, are refused. Nothing is lost, and the transaction goes on.
#[test]
fn a_savepoint_that_is_no_longer_there_is_refused() {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    let of_other = tx.savepoint().unwrap();
    tx.abort();

    let mut tx = db.write().unwrap();
    five(&tx).unwrap();
    let outer = tx.savepoint().unwrap();
    tx.table(&NUMBERS).unwrap().insert(5, b"outer").unwrap();
    let inner = tx.savepoint().unwrap();
    let released = tx.savepoint().unwrap();
    let within_released = tx.savepoint().unwrap();
    tx.release(released).unwrap();
    tx.table(&NUMBERS).unwrap().insert(6, b"inner").unwrap();
    let assert_refused = |tx: &mut WriteTxn, savepoint: &mapleaf::Savepoint, entries| {
        let error = tx.rollback_to(savepoint).unwrap_err();
        assert!(matches!(error, Error::NoSuchSavepoint), "{error}");
        assert_eq!(tx.table(&NUMBERS).unwrap().len(), entries);
    };
    assert_refused(&mut tx, &of_other, 7);
    assert_refused(&mut tx, &within_released, 7);
    tx.rollback_to(&inner).unwrap();
    tx.rollback_to(&outer).unwrap();
    assert_refused(&mut tx, &inner, 5);
    tx.rollback_to(&outer).unwrap(); // as often as you like
    assert!(matches!(tx.release(inner), Err(Error::NoSuchSavepoint)));
    tx.commit().unwrap();
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), 5);
    assert_clean(&db);
}

#[test]
fn a_savepoint_of_a_nested_transaction_ends_with_it() {
    let db = Db::in_memory().unwrap();
    let mut tx = db.write().unwrap();
    let savepoint = tx
        .nested(|tx| {
            five(tx)?;
            tx.savepoint()
        })
        .unwrap();
    assert!(matches!(tx.rollback_to(&savepoint), Err(Error::NoSuchSavepoint)));
    // Going back to one outside from within: the nested transaction is gone then, and cannot be kept.
    let outside = tx.savepoint().unwrap();
    let error = tx.nested(|tx| tx.rollback_to(&outside)).unwrap_err();
    assert!(matches!(error, Error::NoSuchSavepoint), "{error}");
    assert!(matches!(tx.table(&NUMBERS), Err(Error::TransactionFailed)));
    tx.rollback_to(&outside).unwrap();
    assert_eq!(tx.table(&NUMBERS).unwrap().len(), 5);
    tx.commit().unwrap();
}

#[test]
fn no_savepoint_can_be_made_in_the_middle_of_a_change() {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    five(&tx).unwrap();
    let mut table = tx.table(&NUMBERS).unwrap();
    let is_refused = || matches!(tx.savepoint(), Err(Error::SavepointInChange));
    table
        .bulk_load(|load| {
            load.insert(7, b"seven")?;
            assert!(is_refused());
            Ok::<_, Error>(())
        })
        .unwrap();
    table.retain(|_, _| is_refused()).unwrap();
    assert_eq!(table.len(), 6);
    let savepoint = tx.savepoint();
    assert!(savepoint.is_ok(), "{savepoint:?}");
}

#[test]
fn a_leaked_table_keeps_a_transaction_from_going_back() {
    let db = Db::in_memory().unwrap();
    let mut tx = db.write().unwrap();
    let savepoint = tx.savepoint().unwrap();
    std::mem::forget(tx.table(&NUMBERS).unwrap());
    let error = tx.rollback_to(&savepoint).unwrap_err();
    assert!(matches!(error, Error::TableInUse { .. }), "{error}");
    let error = tx.nested(|_| Err::<(), _>(Error::Poisoned)).unwrap_err();
    assert!(matches!(error, Error::Poisoned), "the error of the closure");
    assert!(matches!(tx.tables(), Err(Error::TransactionFailed)), "which could not be undone");
}

/// A bulk load that fails half-way.
fn load(tx: &WriteTxn) -> Result<u64> {
    tx.table(&NUMBERS)?.bulk_load(|load| {
        (0..50_000).try_for_each(|key| load.insert(key * 7919 % 50_000, b"loaded"))?;
        Err(Error::Poisoned)
    })
}

/// A change that has failed half-way, with an error or by a panic of the caller's, is undone with the rest.
#[test]
fn after_a_failed_change_a_transaction_goes_back_and_on() {
    let db = Db::in_memory().unwrap();
    let mut tx = db.write().unwrap();
    five(&tx).unwrap();
    let savepoint = tx.savepoint().unwrap();
    type Failing = fn(&WriteTxn) -> Result<u64>;
    let retain: Failing = |tx| {
        tx.table(&NUMBERS)?.retain(|key, _| match key {
            3 => std::panic::resume_unwind(Box::new("on purpose")),
            _ => false,
        })
    };
    let drop_and_load: Failing = |tx| {
        tx.drop_table("numbers")?;
        load(tx)
    };
    for failing in [load, retain, drop_and_load] {
        let result = catch_unwind(AssertUnwindSafe(|| failing(&tx)));
        assert!(!matches!(result, Ok(Ok(_))));
        assert!(matches!(tx.table(&NUMBERS), Err(Error::TransactionFailed)));
        tx.rollback_to(&savepoint).unwrap();
        assert_eq!(tx.table(&NUMBERS).unwrap().iter().count(), 5);
        // The same in a nested transaction.
        let result = catch_unwind(AssertUnwindSafe(|| tx.nested(|tx| failing(tx))));
        assert!(!matches!(result, Ok(Ok(_))));
        assert_eq!(tx.table(&NUMBERS).unwrap().len(), 5);
        // An error that the closure hides.
        let result = tx.nested(|tx| Ok::<_, Error>(load(tx).is_err()));
        assert!(matches!(result, Err(Error::TransactionFailed)));
        assert_eq!(tx.table(&NUMBERS).unwrap().len(), 5);
    }
    tx.commit().unwrap();
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), 5);
    assert_clean(&db);
}

/// The entry belongs to what was before the savepoint, and is in the log, though its value is filled in later.
#[test]
fn an_entry_that_is_filled_in_after_a_savepoint_survives_going_back_and_a_kill() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    db.update(|tx| five(tx)).unwrap(); // takes the ring
    let mut tx = db.write().unwrap();
    let mut table = tx.table(&NUMBERS).unwrap();
    let place = table.insert_reserve(9, 4).unwrap();
    let savepoint = tx.savepoint().unwrap();
    place.copy_from_slice(b"nine");
    table.remove(0).unwrap();
    drop(table);
    tx.rename_table("numbers", "renamed").unwrap();
    tx.rollback_to(&savepoint).unwrap();
    tx.table(&NUMBERS).unwrap().remove(1).unwrap();
    tx.commit().unwrap();
    let (_folder, copy) = scratch();
    std::fs::copy(&path, &copy).unwrap();
    assert!(db.stats().unwrap().checkpointed < db.stats().unwrap().newest);
    for db in [db, Db::open(&copy).unwrap()] {
        let rx = db.read().unwrap();
        let numbers = rx.table(&NUMBERS).unwrap();
        assert_eq!(numbers.get(9).unwrap(), Some(&b"nine"[..]));
        assert_eq!((numbers.len(), numbers.contains_key(0).unwrap()), (5, true));
        assert_clean(&db);
    }
}

#[test]
fn a_transaction_that_goes_back_to_its_beginning_changes_nothing() {
    let db = Db::options().dirty_memory(0).in_memory().unwrap();
    db.update(|tx| five(tx)).unwrap();
    let id = db.read().unwrap().id();
    let mut tx = db.write().unwrap();
    let savepoint = tx.savepoint().unwrap();
    tx.table(&NUMBERS).unwrap().insert_many((0..3000).map(|key| (key, b"x"))).unwrap();
    tx.rename_table("numbers", "others").unwrap();
    tx.rollback_to(&savepoint).unwrap();
    assert_eq!(tx.commit().unwrap(), id);
    assert_clean(&db);
}

#[test]
fn a_table_that_is_renamed_and_given_other_types_gets_its_own_back() {
    const DAYS: Table<u64, u32> = Table::new("days");
    let db = Db::in_memory().unwrap();
    let mut tx = db.write().unwrap();
    tx.table(&DAYS).unwrap().insert(1, 1).unwrap();
    let savepoint = tx.savepoint().unwrap();
    assert!(tx.retype_table(&Table::<u64, (u16, u16)>::new("days"), ("u64", "u32")).unwrap());
    tx.rename_table("days", "halves").unwrap();
    assert!(tx.retype_table(&Table::<u64, (u16, u8, u8)>::new("halves"), ("u64", "(u16,u16)")).unwrap());
    tx.table(&DAYS).unwrap().insert(2, 2).unwrap(); // another table
    tx.rollback_to(&savepoint).unwrap();
    assert_eq!(tx.tables().unwrap().len(), 1);
    assert_eq!(tx.table(&DAYS).unwrap().get(1).unwrap(), Some(1));
    tx.commit().unwrap();
    assert_eq!(db.read().unwrap().table(&DAYS).unwrap().len(), 1);
}

/// The numbers of values of a multimap table's keys are added up in memory: they go back with the pairs.
#[test]
fn the_values_of_a_multimap_table_are_counted_right_after_going_back() {
    const TAGS: MultimapTable<u64, u64> = MultimapTable::new("tags");
    for seed in seeds(10, 500) {
        let _replay = Replay { test: "--test suite savepoints::the_values", seed };
        let mut random = Random::new(seed);
        let (_folder, path) = scratch();
        let db = Db::open(&path).unwrap();
        let mut model: BTreeSet<(u64, u64)> = BTreeSet::new();
        for _ in 0..4 {
            let mut tx = db.write().unwrap();
            let mut savepoints = Vec::new();
            for _ in 0..12 {
                let mut tags = tx.multimap(&TAGS).unwrap();
                for _ in 0..random.below(4) {
                    let (key, first) = (random.below(4) as u64, random.below(150) as u64);
                    let values = first..first + random.below(100) as u64;
                    match random.below(5) {
                        0 => {
                            tags.remove_all(key).unwrap();
                            model.retain(|(other, _)| *other != key);
                        }
                        1 => values.for_each(|value| {
                            assert_eq!(tags.remove(key, value).unwrap(), model.remove(&(key, value)));
                        }),
                        2 => {
                            tags.insert_many(values.clone().map(|value| (key, value))).unwrap();
                            model.extend(values.map(|value| (key, value)));
                        }
                        _ => values.for_each(|value| {
                            assert_eq!(tags.insert(key, value).unwrap(), model.insert((key, value)));
                        }),
                    }
                    if random.one_in(4) {
                        savepoints.push((tx.savepoint().unwrap(), model.clone())); // it is open
                    }
                }
                for key in 0..4 {
                    let expected = model.range((key, 0)..(key + 1, 0)).count() as u64;
                    assert_eq!(tags.len_of(key).unwrap(), expected);
                }
                drop(tags);
                match random.below(4) {
                    0 => savepoints.push((tx.savepoint().unwrap(), model.clone())),
                    1 if !savepoints.is_empty() => {
                        savepoints.truncate(1 + random.below(savepoints.len()));
                        let (savepoint, then) = savepoints.last().unwrap();
                        tx.rollback_to(savepoint).unwrap();
                        model.clone_from(then);
                    }
                    2 if !savepoints.is_empty() => tx.release(savepoints.pop().unwrap().0).unwrap(),
                    _ => {}
                }
            }
            tx.commit_with(Durability::Lazy).unwrap();
            assert_clean(&db); // which counts the values
            let (_folder, copy) = scratch();
            std::fs::copy(&path, &copy).unwrap();
            let recovered = Db::open(&copy).unwrap();
            assert_clean(&recovered);
            let rx = recovered.read().unwrap();
            let pairs: Result<BTreeSet<(u64, u64)>> = rx.multimap(&TAGS).unwrap().iter().collect();
            assert_eq!(pairs.unwrap(), model);
        }
    }
}

/// Depth has no limit, and neither has the number of savepoints.
#[test]
fn many_savepoints_one_in_another() {
    let db = Db::options().dirty_memory(0).in_memory().unwrap();
    let mut tx = db.write().unwrap();
    let mut savepoints = Vec::new();
    for key in 0..1000 {
        savepoints.push(tx.savepoint().unwrap());
        tx.table(&NUMBERS).unwrap().insert(key, key.to_le_bytes().repeat(20)).unwrap();
    }
    tx.release(savepoints.remove(900)).unwrap();
    tx.rollback_to(&savepoints[500]).unwrap();
    assert_eq!(tx.table(&NUMBERS).unwrap().len(), 500);
    fn nest(tx: &mut WriteTxn, depth: u64) -> Result<()> {
        tx.table(&NUMBERS)?.insert(500 + depth, b"nested")?;
        match depth {
            100 => Ok(()),
            _ => tx.nested(|tx| nest(tx, depth + 1)),
        }
    }
    nest(&mut tx, 0).unwrap();
    tx.commit().unwrap();
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), 601);
    assert_clean(&db);
}
