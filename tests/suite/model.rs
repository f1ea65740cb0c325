//! Whole transactions against a model: tables are `BTreeMap`s, and the database must return what they return.
//!
//! `MAPLEAF_LONG=1` runs many more seeds; `MAPLEAF_SEED=N` runs one.
#![allow(clippy::big_endian_bytes, reason = "keys whose bytes order as the numbers do")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use crate::common::{Random, Replay, assert_clean, scratch, seeds};
use mapleaf::{
    Db, Durability, Error, PendingCommit, ReadTxn, Savepoint, Table, TableMut, TableRef, TransactionId,
    Verify, WriteMode, WriteTxn,
};

type Entries = BTreeMap<Vec<u8>, Arc<[u8]>>;
type State = BTreeMap<String, Entries>;
type BytesTable<'name> = Table<'name, [u8], [u8]>;

const NAMES: [&str; 5] = ["a", "b", "second", "a table with a longer name", ""];

fn table(name: &str) -> BytesTable<'_> {
    Table::new(name)
}

/// How one seed opens its database.
#[derive(Debug)]
struct Setup {
    page_size: usize,
    write_mode: WriteMode,
    dirty_memory: usize,
    verify: Verify,
}

impl Setup {
    fn choose(random: &mut Random) -> Setup {
        let page_size = 4096 << random.pick(&[0, 0, 0, 1, 2, 3, 4]);
        Setup {
            page_size,
            write_mode: *random.pick(&crate::common::BOTH_MODES),
            dirty_memory: *random.pick(&[0, page_size, 4 * page_size, 40 * page_size, 256 << 20]),
            verify: *random.pick(&[Verify::FirstTouch, Verify::FirstTouch, Verify::Always]),
        }
    }

    fn open(&self, path: &Path) -> Db {
        Db::options()
            .page_size(self.page_size)
            .write_mode(self.write_mode)
            .dirty_memory(self.dirty_memory)
            .verify(self.verify)
            .max_size(1 << 32)
            .open(path)
            .unwrap()
    }
}

fn some_key(random: &mut Random, page_size: usize) -> Vec<u8> {
    let limit = page_size / 2 - 64;
    let number = random.below(150) as u64;
    match random.below(12) {
        0 => Vec::new(),
        1 | 2 => number.to_be_bytes().to_vec(),
        3 => vec![*random.pick(b"ab\0\xff"); random.below(6)],
        // Long ones that differ only at their end.
        4 => [vec![b'x'; limit - 8], (number % 7).to_be_bytes().to_vec()].concat(),
        5 => [b"the same eight bytes and more/".to_vec(), number.to_string().into_bytes()].concat(),
        6 => vec![0xff; random.below(limit.min(300) + 1)],
        7 => random.clone().bytes(1 + number as usize % 40),
        _ => format!("key {number:04}").into_bytes(),
    }
}

fn some_value(random: &mut Random, page_size: usize) -> Vec<u8> {
    let length = match random.below(40) {
        0 | 1 => 0,
        2..=5 => page_size / 2 - 100 + random.below(200),
        6 => page_size - 100 + random.below(200),
        7 | 8 => random.below(5 * page_size),
        9 => page_size / 4 + random.below(page_size / 4),
        10 if random.one_in(3) => (256 << 10) - 2 + random.below(4),
        10 if random.one_in(3) => 300_000,
        _ => random.below(60),
    };
    random.bytes(length)
}

fn some_range(random: &mut Random, page_size: usize) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let mut bound = || match random.below(5) {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Included(some_key(random, page_size)),
        _ => Bound::Excluded(some_key(random, page_size)),
    };
    (bound(), bound())
}

/// `BTreeMap::range` panics where ours is empty.
pub(crate) fn is_within(key: &[u8], (lower, upper): &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    let above = match lower {
        Bound::Included(lower) => key >= &lower[..],
        Bound::Excluded(lower) => key > &lower[..],
        Bound::Unbounded => true,
    };
    let below = match upper {
        Bound::Included(upper) => key <= &upper[..],
        Bound::Excluded(upper) => key < &upper[..],
        Bound::Unbounded => true,
    };
    above && below
}

/// The same questions to a table of a read and of a write transaction.
macro_rules! compare {
    ($table:expr, $model:expr, $random:expr, $page_size:expr) => {{
        let (table, model, random, page_size) = (&$table, $model, $random, $page_size);
        let owned = |(key, value): (mapleaf::KeyBytes, &[u8])| (key.to_vec(), value.to_vec());
        let whole = |(key, value): (&Vec<u8>, &Arc<[u8]>)| (key.clone(), value.to_vec());
        assert_eq!(table.len(), model.len() as u64);
        assert_eq!(table.is_empty(), model.is_empty());
        assert_eq!(table.first().unwrap().map(owned), model.first_key_value().map(whole));
        assert_eq!(table.last().unwrap().map(owned), model.last_key_value().map(whole));
        let range = some_range(random, page_size);
        let expected: Vec<_> = model.iter().filter(|(key, _)| is_within(key, &range)).map(whole).collect();
        let found: Vec<_> = table.range(range.clone()).map(|entry| owned(entry.unwrap())).collect();
        assert!(found == expected, "range {range:?}");
        let mut found: Vec<_> = table.range(range.clone()).rev().map(|entry| owned(entry.unwrap())).collect();
        found.reverse();
        assert!(found == expected, "range {range:?} descending");
        let mut both_ends = table.range(range.clone());
        let (mut front, mut back) = (Vec::new(), Vec::new());
        loop {
            let Some(entry) = (if random.one_in(2) { both_ends.next() } else { None }) else {
                let Some(entry) = both_ends.next_back() else { break };
                back.push(owned(entry.unwrap()));
                continue;
            };
            front.push(owned(entry.unwrap()));
        }
        assert!(both_ends.next().is_none() && both_ends.next_back().is_none());
        front.extend(back.into_iter().rev());
        assert!(front == expected, "range {range:?} from both ends");
        assert_eq!(table.count(range.clone()).unwrap(), expected.len() as u64, "range {range:?}");
        let about = table.estimate(range.clone()).unwrap();
        assert!(about <= table.len() && (about == 0) == expected.is_empty(), "{about} in {range:?}");
        let n = random.below(model.len() + 3);
        assert_eq!(table.nth(n as u64).unwrap().map(owned), model.iter().nth(n).map(whole));
        let sample = table.sample(random.below(20), random.next()).unwrap();
        let is_entry = |(key, value): &(mapleaf::KeyBytes, &[u8])| model[&key[..]][..] == **value;
        assert!(sample.iter().all(is_entry), "a sample has entries of the table");
        let parts = table.split_range(range.clone(), random.below(9)).unwrap();
        let parts = parts.into_iter().flat_map(|part| table.range(part));
        let found: Vec<_> = parts.map(|entry| owned(entry.unwrap())).collect();
        assert!(found == expected, "parts of {range:?}");
        let prefix = &some_key(random, page_size)[..];
        let prefix = &prefix[..random.below(prefix.len().min(8) + 1)];
        let expected: Vec<_> = model.iter().filter(|(key, _)| key.starts_with(prefix)).map(whole).collect();
        let found: Vec<_> = table.prefix(prefix).map(|entry| owned(entry.unwrap())).collect();
        assert!(found == expected, "prefix {prefix:?}");
        let keys: Vec<Vec<u8>> = (0..random.below(40)).map(|_| some_key(random, page_size)).collect();
        let expected: Vec<_> = keys.iter().map(|key| model.get(key).map(|value| &value[..])).collect();
        assert_eq!(table.get_many(&keys).unwrap(), expected);
        for (key, expected) in keys.iter().zip(expected) {
            assert_eq!(table.get(key).unwrap(), expected);
            assert_eq!(table.contains_key(key).unwrap(), expected.is_some());
        }
    }};
}

fn compare_table(table: &TableRef<'_, [u8], [u8]>, model: &Entries, random: &mut Random, page_size: usize) {
    compare!(*table, model, random, page_size);
    assert_eq!(table.iter().count(), model.len());
}

fn compare_own_writes(
    table: &TableMut<'_, [u8], [u8]>,
    model: &Entries,
    random: &mut Random,
    page_size: usize,
) {
    compare!(*table, model, random, page_size);
}

fn compare_snapshot(rx: &ReadTxn, state: &State, random: &mut Random, page_size: usize) {
    let found: BTreeMap<String, u64> =
        rx.tables().unwrap().into_iter().map(|info| (info.name, info.entries)).collect();
    let expected: BTreeMap<String, u64> =
        state.iter().map(|(name, entries)| (name.clone(), entries.len() as u64)).collect();
    assert_eq!(found, expected);
    for name in NAMES {
        match state.get(name) {
            Some(model) => compare_table(&rx.table(&table(name)).unwrap(), model, random, page_size),
            None => {
                let error = rx.table(&table(name)).unwrap_err();
                assert!(matches!(error, Error::TableNotFound { .. }), "{error}");
            }
        }
    }
}

/// One change of one table, in the database and in the model.
fn change(table: &mut TableMut<'_, [u8], [u8]>, model: &mut Entries, random: &mut Random, page_size: usize) {
    let key = some_key(random, page_size);
    if random.one_in(8) {
        let entry = |random: &mut Random| (some_key(random, page_size), some_value(random, page_size));
        return crate::cursors::change(table, model, random, entry);
    }
    if random.one_in(4) {
        let value = some_value(random, page_size);
        let range = some_range(random, page_size);
        return crate::entries::change(table, model, random, (key, value, range));
    }
    match random.below(40) {
        0..=13 => {
            let value = some_value(random, page_size);
            let is_new = table.insert(&key, &value).unwrap();
            assert_eq!(is_new, model.insert(key, value.into()).is_none());
        }
        14..=17 => {
            let value = some_value(random, page_size);
            let old = table.replace(&key, &value).unwrap();
            assert_eq!(old.as_deref(), model.insert(key, value.into()).as_deref());
        }
        18..=22 => assert_eq!(table.remove(&key).unwrap(), model.remove(&key).is_some()),
        23 | 24 => assert_eq!(table.take(&key).unwrap().as_deref(), model.remove(&key).as_deref()),
        25 | 26 => {
            let found = table.pop_first().unwrap().map(|(key, value)| (key.to_vec(), value));
            assert_eq!(found, model.pop_first().map(|(key, value)| (key, value.to_vec())));
        }
        27 | 28 => {
            let found = table.pop_last().unwrap().map(|(key, value)| (key.to_vec(), value));
            assert_eq!(found, model.pop_last().map(|(key, value)| (key, value.to_vec())));
        }
        29 => {
            let salt = random.next();
            let keep = |key: &[u8], value: &[u8]| {
                let sum = key.iter().map(|&byte| u64::from(byte)).sum::<u64>() + value.len() as u64;
                !(sum ^ salt).is_multiple_of(5)
            };
            let before = model.len();
            let removed = table.retain(|key, value| keep(&key, value)).unwrap();
            model.retain(|key, value| keep(key, value));
            assert_eq!(removed, (before - model.len()) as u64);
        }
        30 | 31 => {
            let range = some_range(random, page_size);
            let before = model.len();
            let removed = table.remove_range(range.clone()).unwrap();
            model.retain(|key, _| !is_within(key, &range));
            assert_eq!(removed, (before - model.len()) as u64, "{range:?}");
        }
        32 if random.one_in(6) => {
            assert_eq!(table.clear().unwrap(), model.len() as u64);
            model.clear();
        }
        33 | 34 => {
            let value = some_value(random, page_size);
            let place = table.insert_reserve(&key, value.len()).unwrap();
            assert!(place.iter().all(|&byte| byte == 0), "zeros are promised");
            place.copy_from_slice(&value);
            model.insert(key, value.into());
        }
        35 => {
            let limit = page_size / 2 - 64;
            let error = table.insert(&vec![7; limit + 1][..], &b"x"[..]).unwrap_err();
            assert!(matches!(error, Error::KeyTooLong { .. }), "{error}");
        }
        36 => {
            // A run of neighbours, ascending or descending: other splits than random ones.
            let count = 1 + random.below(80) as u64;
            let is_ascending = random.one_in(2);
            let value = random.bytes(20);
            for step in 0..count {
                let number = if is_ascending { step } else { count - step };
                let key = [&b"run "[..], &number.to_be_bytes()].concat();
                table.insert(&key, &value).unwrap();
                model.insert(key, value.clone().into());
            }
        }
        37 => {
            let count = random.below(100);
            let mut entry = |_| (some_key(random, page_size), some_value(random, page_size));
            let entries: Vec<(Vec<u8>, Vec<u8>)> = (0..count).map(&mut entry).collect();
            let before = model.len();
            let new = table.insert_many(entries.iter().map(|(key, value)| (key, value))).unwrap();
            model.extend(entries.into_iter().map(|(key, value)| (key, value.into())));
            assert_eq!(new, (model.len() - before) as u64);
        }
        _ => assert_eq!(table.get(&key).unwrap(), model.get(&key).map(|value| &value[..])),
    }
}

/// Savepoints, each with the state that it goes back to, and some that have ended.
#[derive(Default)]
struct Savepoints {
    live: Vec<(Savepoint, State)>,
    ended: Vec<Savepoint>,
}

impl Savepoints {
    fn step(&mut self, tx: &mut WriteTxn, state: &mut State, random: &mut Random) {
        let index = random.below(self.live.len().max(1));
        match random.below(8) {
            0..=2 => self.live.push((tx.savepoint().unwrap(), state.clone())),
            3..=5 if !self.live.is_empty() => {
                let (savepoint, then) = &self.live[index];
                tx.rollback_to(savepoint).unwrap();
                *state = then.clone();
                self.ended.extend(self.live.drain(index + 1..).map(|(savepoint, _)| savepoint));
            }
            6 if !self.live.is_empty() => {
                self.ended.extend(self.live.drain(index + 1..).map(|(savepoint, _)| savepoint));
                tx.release(self.live.remove(index).0).unwrap();
            }
            _ => {
                for savepoint in &self.ended {
                    assert!(matches!(tx.rollback_to(savepoint), Err(Error::NoSuchSavepoint)));
                }
            }
        }
    }
}

/// Runs `work` in a nested transaction that succeeds, fails, or panics.
fn work_nested(tx: &mut WriteTxn, state: &mut State, random: &mut Random, page_size: usize, depth: usize) {
    let end = random.below(5);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tx.nested(|tx| {
            let after = work_at(tx, state, random, page_size, depth + 1);
            match end {
                0 => std::panic::resume_unwind(Box::new("on purpose")),
                1 | 2 => Err(Error::TransactionFailed),
                _ => Ok(after),
            }
        })
    }));
    match unwound {
        Ok(Ok(after)) => *state = after,
        Ok(Err(error)) => assert!(matches!(error, Error::TransactionFailed) && (1..=2).contains(&end)),
        Err(panic) if end == 0 && panic.is::<&str>() => {}
        Err(other) => std::panic::resume_unwind(other),
    }
}

/// Fills one write transaction. Returns the state that it leaves if it commits.
fn work(tx: &mut WriteTxn, before: &State, random: &mut Random, page_size: usize) -> State {
    work_at(tx, before, random, page_size, 0)
}

fn work_at(tx: &mut WriteTxn, before: &State, random: &mut Random, page_size: usize, depth: usize) -> State {
    let mut state = before.clone();
    let mut savepoints = Savepoints::default();
    let has_savepoints = depth > 0 || random.one_in(3);
    for _ in 0..1 + random.below(if has_savepoints && depth == 0 { 8 } else { 4 }) {
        if has_savepoints {
            savepoints.step(tx, &mut state, random);
            if random.one_in(5) && depth < 4 {
                work_nested(tx, &mut state, random, page_size, depth);
            }
        }
        let name = *random.pick(&NAMES);
        match random.below(12) {
            0 => assert_eq!(tx.drop_table(name).unwrap(), state.remove(name).is_some()),
            1 => {
                let to = *random.pick(&NAMES);
                match tx.rename_table(name, to) {
                    Ok(()) => {
                        let entries = state.remove(name).expect("renamed what is there");
                        let replaced = state.insert(to.to_owned(), entries);
                        assert!(replaced.is_none());
                    }
                    Err(Error::TableNotFound { .. }) => assert!(!state.contains_key(name)),
                    Err(Error::TableExists { .. }) => assert!(state.contains_key(to) && name != to),
                    Err(other) => panic!("{other}"),
                }
            }
            2 => {
                // Two at once.
                let other = *random.pick(&NAMES);
                let mut first = tx.table(&table(name)).unwrap();
                let mut first_model = state.remove(name).unwrap_or_default();
                if name == other {
                    let error = tx.table(&table(other)).unwrap_err();
                    assert!(matches!(error, Error::TableInUse { .. }), "{error}");
                } else {
                    let mut second = tx.table(&table(other)).unwrap();
                    let mut second_model = state.remove(other).unwrap_or_default();
                    for _ in 0..random.below(12) {
                        if has_savepoints && random.one_in(4) {
                            // Both are open.
                            let mut state = state.clone();
                            state.insert(name.to_owned(), first_model.clone());
                            state.insert(other.to_owned(), second_model.clone());
                            savepoints.live.push((tx.savepoint().unwrap(), state));
                        }
                        change(&mut first, &mut first_model, random, page_size);
                        change(&mut second, &mut second_model, random, page_size);
                    }
                    compare_own_writes(&second, &second_model, random, page_size);
                    state.insert(other.to_owned(), second_model);
                }
                compare_own_writes(&first, &first_model, random, page_size);
                state.insert(name.to_owned(), first_model);
            }
            _ => {
                let mut table = tx.table(&table(name)).unwrap();
                let model = state.entry(name.to_owned()).or_default();
                for _ in 0..random.below(30) {
                    change(&mut table, model, random, page_size);
                }
                if random.one_in(3) {
                    compare_own_writes(&table, model, random, page_size);
                }
            }
        }
    }
    let found: BTreeSet<(String, u64)> =
        tx.tables().unwrap().into_iter().map(|info| (info.name, info.entries)).collect();
    let expected = state.iter().map(|(name, entries)| (name.clone(), entries.len() as u64)).collect();
    assert_eq!(found, expected);
    if random.one_in(4) {
        compare_view(tx, &state, random, page_size);
    }
    state
}

/// What is not committed yet, as two other threads read it at the same time.
fn compare_view(tx: &mut WriteTxn, state: &State, random: &mut Random, page_size: usize) {
    let view = tx.view().unwrap();
    let found: BTreeMap<String, u64> =
        view.tables().unwrap().into_iter().map(|info| (info.name, info.entries)).collect();
    assert!(state.iter().map(|(name, entries)| (name.clone(), entries.len() as u64)).eq(found));
    let compare = |mut random: Random| {
        for name in NAMES {
            match state.get(name) {
                Some(model) => {
                    let table = view.table(&table(name)).unwrap();
                    compare!(table, model, &mut random, page_size);
                    let parts = table.split(3).unwrap();
                    let found: usize = parts.into_iter().map(|part| table.range(part).count()).sum();
                    assert_eq!((found, table.count(..).unwrap()), (model.len(), model.len() as u64));
                }
                None => {
                    let error = view.table(&table(name)).unwrap_err();
                    assert!(matches!(error, Error::TableNotFound { .. }), "{error}");
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for seed in [random.next(), random.next()] {
            scope.spawn(move || compare(Random::new(seed)));
        }
    });
}

/// The database, and every state of it that a reader may still see, by transaction.
struct Run {
    random: Random,
    setup: Setup,
    db: Db,
    states: BTreeMap<TransactionId, Arc<State>>,
    head: TransactionId,
    readers: Vec<ReadTxn>,
    tickets: Vec<PendingCommit>,
}

impl Run {
    fn transaction(&mut self) {
        let mut tx = self.db.write().unwrap();
        let before = Arc::clone(&self.states[&self.head]);
        let expected_id = tx.id();
        let after = work(&mut tx, &before, &mut self.random, self.setup.page_size);
        let id = match self.random.below(10) {
            0 => {
                tx.abort();
                return;
            }
            1 => {
                drop(tx);
                return;
            }
            2..=4 => tx.commit().unwrap(),
            5..=7 => tx.commit_with(Durability::Lazy).unwrap(),
            _ => {
                let ticket = tx.commit_deferred().unwrap();
                let id = ticket.id();
                self.tickets.push(ticket);
                id
            }
        };
        assert!(id == expected_id || (id == self.head && after == *before), "an empty commit has no id");
        self.states.insert(id, Arc::new(after));
        self.head = id;
    }

    fn compare(&mut self, rx: &ReadTxn) {
        let state = Arc::clone(&self.states[&rx.id()]);
        compare_snapshot(rx, &state, &mut self.random, self.setup.page_size);
    }

    fn read(&mut self) {
        match self.random.below(6) {
            0 | 1 if self.readers.len() < 8 => {
                let rx = self.db.read().unwrap();
                self.compare(&rx);
                self.readers.push(rx);
            }
            2 if !self.readers.is_empty() => {
                let at = self.random.below(self.readers.len());
                let rx = self.readers.swap_remove(at);
                self.compare(&rx);
            }
            3 if !self.readers.is_empty() => {
                let at = self.random.below(self.readers.len());
                let rx = self.readers.swap_remove(at);
                self.compare(&rx);
                self.readers.push(rx);
            }
            4 if !self.tickets.is_empty() => {
                let at = self.random.below(self.tickets.len());
                let ticket = self.tickets.swap_remove(at);
                let id = ticket.wait().unwrap();
                assert!(self.db.read().unwrap().id() >= id);
            }
            5 if self.random.one_in(3) => self.sync(),
            _ => {}
        }
        let needed = self.readers.iter().map(ReadTxn::id).min().unwrap_or(TransactionId::new(u64::MAX));
        let needed = needed.min(self.db.stats().unwrap().visible);
        self.states.retain(|&id, _| id >= needed);
    }

    /// A kill of the process loses nothing: recovery replays the log of what the file has.
    fn compare_as_if_killed(&mut self, path: &Path) {
        // What is too long for the log is there when its commit has returned.
        self.tickets.drain(..).for_each(|ticket| _ = ticket.wait().unwrap());
        let (_folder, copy) = scratch();
        std::fs::copy(path, &copy).unwrap();
        let db = self.setup.open(&copy);
        let state = Arc::clone(&self.states[&self.head]);
        compare_snapshot(&db.read().unwrap(), &state, &mut self.random, self.setup.page_size);
        assert_clean(&db);
    }

    /// A sync seals lazy commits by a transaction of its own, which changes nothing.
    fn sync(&mut self) {
        self.db.sync().unwrap();
        let id = self.db.read().unwrap().id();
        assert!(id >= self.head && id.since(self.head) <= 1, "{id} after {}", self.head);
        let state = Arc::clone(&self.states[&self.head]);
        self.states.insert(id, state);
        self.head = id;
    }

    fn reopen(self, path: &Path) -> Run {
        let Run { mut random, setup, db, states, head, readers, tickets } = self;
        // What still lives when the handle goes keeps the database open, and readable.
        drop(db);
        for rx in readers {
            compare_snapshot(&rx, &states[&rx.id()], &mut random, setup.page_size);
        }
        drop(tickets);
        let setup = Setup { page_size: setup.page_size, ..Setup::choose(&mut random) };
        let db = setup.open(path);
        assert_clean(&db);
        let rx = db.read().unwrap();
        assert!(rx.id() >= head && rx.id().since(head) <= 1, "closing may seal lazy commits, as a sync does");
        compare_snapshot(&rx, &states[&head], &mut random, setup.page_size);
        let states = BTreeMap::from([(rx.id(), Arc::clone(&states[&head]))]);
        let head = rx.id();
        drop(rx);
        Run { random, setup, db, states, head, readers: Vec::new(), tickets: Vec::new() }
    }
}

fn run(seed: u64, transactions: usize) {
    let _replay = Replay { test: "--test suite model::", seed };
    let mut random = Random::new(seed);
    let setup = Setup::choose(&mut random);
    let (_folder, path) = scratch();
    let db = setup.open(&path);
    let head = db.read().unwrap().id();
    let states = BTreeMap::from([(head, Arc::default())]);
    let mut run = Run { random, setup, db, states, head, readers: Vec::new(), tickets: Vec::new() };
    for _ in 0..transactions {
        run.transaction();
        run.read();
        match run.random.below(24) {
            0 => run = run.reopen(&path),
            1 | 2 => assert_clean(&run.db),
            3..=5 => run.compare_as_if_killed(&path),
            _ => {}
        }
    }
    run = run.reopen(&path);
    assert_clean(&run.db);
}

#[test]
fn transactions_against_a_model() {
    for seed in seeds(10, 2000) {
        run(seed, 60);
    }
}

#[test]
fn in_memory_against_a_model() {
    for seed in seeds(4, 300) {
        let _replay = Replay { test: "--test suite model::", seed };
        let mut random = Random::new(seed);
        let page_size = 4096 << random.below(5);
        let db = Db::options().page_size(page_size).dirty_memory(0).max_size(1 << 32).in_memory().unwrap();
        let mut state = State::new();
        for _ in 0..30 {
            let mut tx = db.write().unwrap();
            state = work(&mut tx, &state, &mut random, page_size);
            tx.commit().unwrap();
            compare_snapshot(&db.read().unwrap(), &state, &mut random, page_size);
        }
        assert_clean(&db);
    }
}
