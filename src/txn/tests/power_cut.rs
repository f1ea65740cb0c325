//! Power is cut at every call of a history of transactions, and what the disk may then hold is recovered: every
//! commit that was acknowledged as durable must be there, the commits that are there must be a prefix, and
//! the database must be clean and go on.
//!
//! `MAPLEAF_LONG=1` takes many more samples; `MAPLEAF_SEED=N` runs one seed of each history.

#![allow(clippy::big_endian_bytes)] // keys that order as numbers do

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::crash::Disk;
use super::fixture::{Call, Engine, Entries, Fault, PAGE, Random, clear, entries_of, new_image, put, remove};
use crate::base::TransactionId;
use crate::format::record::Record;
use crate::txn::commit::Durability;
use crate::txn::core::{Core, Handle};
use crate::txn::read::SnapshotReader;
use crate::txn::turns::Patience;
use crate::txn::write::Transaction;

/// What happens to a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum History {
    /// Few entries, all kinds of commits.
    Small,
    /// Transactions that spill, values on overflow pages.
    Large,
    /// The file grows and is cut again.
    GrowAndShrink,
    /// More runs of new pages than a record can list: two barriers.
    Fragmented,
}

/// What was known when power was cut.
struct Life {
    before: Vec<u8>,
    calls: Vec<Call>,
    /// After so many calls this transaction had been acknowledged as durable.
    acknowledged: Vec<(usize, TransactionId)>,
    /// The state that each transaction left.
    states: BTreeMap<TransactionId, Entries>,
}

fn is_long() -> bool {
    std::env::var_os("MAPLEAF_LONG").is_some()
}

fn seeds(short: u64, long: u64) -> Vec<u64> {
    match std::env::var("MAPLEAF_SEED") {
        Ok(seed) => vec![seed.parse().expect("MAPLEAF_SEED is a number")],
        Err(_) => (0..if is_long() { long } else { short }).collect(),
    }
}

/// What transactions have left so far.
struct Known {
    states: BTreeMap<TransactionId, Entries>,
    head: TransactionId,
    /// Those that are to be durable before they are visible.
    want_durable: Vec<TransactionId>,
}

impl Known {
    fn assert_visible_is_durable(&self, core: &Core) {
        let (visible, durable) = (core.shared.visible(), core.shared.durable());
        let early = self.want_durable.iter().find(|&&id| id > durable && id <= visible);
        assert!(early.is_none(), "{early:?} is visible at {visible}, durable is {durable}");
    }
}

/// One transaction, up to the point where it has happened; whether it becomes durable is another matter.
fn publish(
    handle: &Arc<Handle>,
    known: &Mutex<Known>,
    history: History,
    durability: Durability,
    random: &mut Random,
) -> Option<TransactionId> {
    let tx = Transaction::begin(handle, Patience::Forever).unwrap().unwrap();
    let mut known = known.lock();
    let mut state = known.states[&known.head].clone();
    change(&tx, &mut state, history, random);
    if random.one_in(12) {
        return None; // aborted
    }
    let id = tx.publish(durability).unwrap();
    if id > known.head {
        known.states.insert(id, state);
        known.head = id;
        if durability == Durability::Durable {
            known.want_durable.push(id);
        }
    }
    Some(id)
}

/// Lives on from `image`, whose state is `state`.
fn live(image: Vec<u8>, state: Entries, history: History, transactions: usize, random: &mut Random) -> Life {
    let dirty_memory = if history == History::Large { 2 * PAGE } else { 256 << 20 };
    let engine = Engine::open(&image, dirty_memory).unwrap();
    let core = &engine.handle.core;
    let (base, found) = engine.read().unwrap();
    assert!(found == state, "recovery has chosen the state that was said");
    let known = Arc::new(Mutex::new(Known {
        states: BTreeMap::from([(base, state)]),
        head: base,
        want_durable: Vec::new(),
    }));
    let mut acknowledged = vec![(engine.journal().calls.len(), base)];
    let mut readers: Vec<SnapshotReader> = Vec::new();
    for _ in 0..transactions {
        if random.one_in(3) {
            // While the next barrier is under way, others commit: their pages may be on the disk before its are.
            let (handle, known) = (Arc::downgrade(&engine.handle), Arc::clone(&known));
            let mut random = Random(random.next());
            engine.journal().meanwhile = Some(Box::new(move || {
                let handle = handle.upgrade().expect("somebody is syncing");
                for _ in 0..1 + random.below(4) {
                    let durability = if random.one_in(2) { Durability::Durable } else { Durability::Lazy };
                    publish(&handle, &known, history, durability, &mut random);
                }
            }));
        }
        let how = random.below(8);
        let durability = if matches!(how, 4 | 5) { Durability::Lazy } else { Durability::Durable };
        let Some(id) = publish(&engine.handle, &known, history, durability, random) else { continue };
        match how {
            0..=3 => {
                core.wait_durable(id).unwrap();
                acknowledged.push((engine.journal().calls.len(), id));
                core.cut_free_tail();
            }
            4 | 5 => core.wait_visible(id).unwrap(),
            _ => {} // deferred
        }
        if how > 3 && random.one_in(4) {
            let head = known.lock().head;
            core.sync_everything().unwrap();
            acknowledged.push((engine.journal().calls.len(), head));
        }
        known.lock().assert_visible_is_durable(core);
        match random.below(6) {
            0 => readers.push(SnapshotReader::begin(&engine.handle).unwrap()),
            1 => {
                // Immutable while visible: whoever still reads, reads its own state.
                for reader in readers.drain(..) {
                    let found = entries_of(&reader).unwrap();
                    assert!(found == known.lock().states[&reader.snapshot.id], "a snapshot has changed");
                }
            }
            _ => {}
        }
        readers.truncate(3);
    }
    drop(readers);
    engine.journal().meanwhile = None;
    engine.assert_clean();
    let calls = std::mem::take(&mut engine.journal().calls);
    let states = std::mem::take(&mut known.lock().states);
    Life { before: image, calls, acknowledged, states }
}

fn change(tx: &Transaction, state: &mut Entries, history: History, random: &mut Random) {
    fn insert(tx: &Transaction, state: &mut Entries, key: Vec<u8>, value: Vec<u8>) {
        put(tx, &key, &value).unwrap();
        state.insert(key, value);
    }
    let stamp = random.next().to_le_bytes().to_vec();
    match history {
        History::Small => {
            for _ in 0..1 + random.below(4) {
                insert(
                    tx,
                    state,
                    vec![random.below(30) as u8; 1 + random.below(40)],
                    stamp.repeat(random.below(12)),
                );
            }
            let doomed: Vec<Vec<u8>> = state.keys().filter(|_| random.one_in(9)).cloned().collect();
            for key in doomed {
                remove(tx, &key).unwrap();
                state.remove(&key);
            }
        }
        History::Large => {
            for _ in 0..1 + random.below(12) {
                let length = if random.one_in(4) { random.below(3 * PAGE) } else { 200 };
                insert(tx, state, vec![random.below(25) as u8; 60], stamp.repeat(length / 8));
            }
            if random.one_in(10) {
                insert(tx, state, b"direct".to_vec(), stamp.repeat((256 << 10) / 8 + random.below(9)));
            }
            if random.one_in(8) {
                clear(tx).unwrap();
                state.clear();
            }
        }
        History::GrowAndShrink => match random.below(12) {
            0 => {
                clear(tx).unwrap();
                state.clear();
            }
            1 => {
                for _ in 0..2 + random.below(4) {
                    insert(tx, state, vec![random.below(9) as u8; 9], stamp.repeat((100 << 10) / 8));
                }
            }
            _ => insert(tx, state, b"small".to_vec(), stamp),
        },
        History::Fragmented => {
            if state.is_empty() {
                for number in 0..1500u16 {
                    insert(tx, state, number.to_be_bytes().to_vec(), stamp.repeat(120));
                }
            } else if random.one_in(3) {
                for number in (0..1500u16).step_by(2) {
                    insert(tx, state, number.to_be_bytes().to_vec(), stamp.repeat(120));
                }
            } else {
                for _ in 0..40 {
                    insert(tx, state, (random.below(1500) as u16).to_be_bytes().to_vec(), stamp.repeat(120));
                }
            }
        }
    }
}

impl Life {
    /// Recovers from `image`, which power left after `calls` calls. Answers the state that was found.
    fn recover(&self, image: &[u8], calls: usize) -> (Entries, Engine) {
        let engine = Engine::open(image, 256 << 20).unwrap();
        let (id, found) = engine.read().unwrap();
        let durable = self.acknowledged.iter().rev().find(|(at, _)| *at <= calls).map(|(_, id)| *id);
        assert!(durable.is_none_or(|durable| id >= durable), "lost: {durable:?} was durable, found {id}");
        let state = self.states.get(&id).expect("what is found is a transaction that was committed");
        assert!(found == *state, "transaction {id} is not what it was");
        engine.assert_clean();
        (found, engine)
    }

    /// Cuts power after each call, `samples` times or, if there are few calls, more often.
    fn explore(&self, samples: usize, depth: usize, history: History, random: &mut Random) -> usize {
        let mut disk = Disk::new(&self.before);
        let mut recovered = 0;
        let per_call = samples.div_ceil(self.calls.len());
        let mut explore_now = |disk: &Disk, calls: usize, random: &mut Random| {
            for _ in 0..per_call {
                let image = disk.image(random);
                let (found, engine) = self.recover(&image, calls);
                recovered += 1;
                if random.one_in(3) {
                    self.go_on(engine, found, &image, random);
                } else if depth > 0 && random.one_in(per_call * self.calls.len() / 3 + 1) {
                    drop(engine);
                    let next = live(image, found, history, 5, random);
                    recovered += next.explore(samples / 4 + 1, depth - 1, history, random);
                }
            }
        };
        explore_now(&disk, 0, random);
        for (done, call) in self.calls.iter().enumerate() {
            disk.apply(call);
            if samples >= self.calls.len() || random.below(self.calls.len()) < samples {
                explore_now(&disk, done + 1, random);
            }
        }
        recovered
    }

    /// After recovery: power is cut in the middle of recovery, twice; and another commit is made and found again.
    fn go_on(&self, engine: Engine, mut state: Entries, image: &[u8], random: &mut Random) {
        let (id, _) = engine.read().unwrap();
        let calls = std::mem::take(&mut engine.journal().calls);
        let mut disk = Disk::new(image);
        for call in &calls[..random.below(calls.len() + 1)] {
            disk.apply(call);
        }
        let second = disk.image(random);
        let interrupted = Engine::open(&second, 256 << 20).unwrap();
        assert_eq!(interrupted.read().unwrap(), (id, state.clone()), "recovery cut short");
        interrupted.assert_clean();

        let mut disk = Disk::new(image);
        calls.iter().for_each(|call| disk.apply(call));
        let seen = [0, PAGE].into_iter().filter_map(|at| Record::decode(&image[at..at + PAGE], 0).ok());
        let greatest = seen.map(|record| record.id).max().unwrap();
        let recovered = disk.image(random);
        for at in [0, PAGE] {
            let record = Record::decode(&recovered[at..at + PAGE], 0);
            assert!(
                record.is_err() || record.is_ok_and(|record| record.id <= id),
                "a rejected record is erased"
            );
        }
        let (key, value) = (b"after recovery".to_vec(), random.next().to_le_bytes().to_vec());
        let next =
            engine.commit(&Entries::from([(key.clone(), value.clone())]), Durability::Durable).unwrap();
        assert!(next > greatest, "no two records with one transaction id: {next} after {greatest}");
        state.insert(key, value);
        engine.assert_clean();
        engine.journal().calls.iter().for_each(|call| disk.apply(call));
        let third = Engine::open(&disk.image(random), 256 << 20).unwrap();
        assert_eq!(third.read().unwrap(), (next, state), "a commit after recovery");
        third.assert_clean();
    }
}

fn explore(history: History, transactions: usize, samples: usize, seed_count: u64) {
    let mut recovered = 0;
    for seed in seeds(seed_count, seed_count * 50) {
        println!("{history:?}: MAPLEAF_SEED={seed}");
        let mut random = Random(seed);
        let life = live(new_image(), Entries::new(), history, transactions, &mut random);
        recovered += life.explore(samples, 2, history, &mut random);
    }
    println!("{history:?}: {recovered} images recovered");
}

#[test]
fn small_commits_survive_power_cuts() {
    explore(History::Small, 25, 500, 4);
}

#[test]
fn spilled_and_large_transactions_survive_power_cuts() {
    explore(History::Large, 12, 250, 3);
}

#[test]
fn growth_and_truncation_survive_power_cuts() {
    explore(History::GrowAndShrink, 60, 150, 2);
}

#[test]
fn commits_that_need_two_barriers_survive_power_cuts() {
    explore(History::Fragmented, 8, 80, 1);
}

#[test]
fn the_histories_reach_what_they_are_for() {
    let mut random = Random(1);
    let life = live(new_image(), Entries::new(), History::GrowAndShrink, 80, &mut random);
    assert!(life.calls.iter().any(|call| matches!(call, Call::Truncate { .. })));
    assert!(life.calls.iter().any(|call| matches!(call, Call::Grow { .. })));
    let life = live(new_image(), Entries::new(), History::Fragmented, 12, &mut random);
    // The first record is recovery's, of a database without pages.
    let mut records = record_writes(&life.calls).skip(1);
    assert!(records.any(|(_, record)| record.listed.is_empty()), "two barriers");
    let longest = record_writes(&life.calls).map(|(_, record)| record.listed.len()).max();
    assert!(longest > Some(2), "several runs: {longest:?}");
}

/// Where a record was stored, and what it said. (An erased record is none.)
fn record_writes(calls: &[Call]) -> impl Iterator<Item = (usize, Record)> {
    calls.iter().enumerate().filter_map(|(at, call)| match call {
        Call::Write { offset, bytes } if *offset < 2 * PAGE as u64 => {
            Some((at, Record::decode(bytes, 0).ok()?))
        }
        _ => None,
    })
}

#[test]
fn torn_or_half_written_record_falls_back() {
    let engine = Engine::new();
    let first = Entries::from([(b"key".to_vec(), b"first".to_vec())]);
    let second = Entries::from([(b"key".to_vec(), b"second".to_vec())]);
    let one = engine.commit(&first, Durability::Durable).unwrap();
    let two = engine.commit(&second, Durability::Durable).unwrap();
    let calls = engine.journal().calls.clone();
    let (last_record, record) = record_writes(&calls).last().unwrap();
    assert_eq!(record.id, two);
    let mut disk = Disk::new(&engine.start);
    calls[..=last_record].iter().for_each(|call| disk.apply(call));
    let images = disk.images_of_half_written_store();
    assert!(images.len() > 1);
    for image in images {
        let recovered = Engine::open(&image, 0).unwrap();
        assert_eq!(recovered.read().unwrap(), (one, first.clone()));
        recovered.assert_clean();
    }
}

#[test]
fn growth_is_durable_before_its_record() {
    let mut random = Random(7);
    for history in [History::Small, History::Large, History::GrowAndShrink, History::Fragmented] {
        let life = live(new_image(), Entries::new(), history, 12, &mut random);
        let mut length = life.before.len() as u64;
        // The births of what has been stored and is not durable, and how many of them the barrier under way covers.
        let (mut births, mut covered) = (Vec::new(), 0);
        let mut records = 0;
        for call in &life.calls {
            match call {
                Call::Grow { to, .. } => length = length.max(*to),
                Call::Truncate { to } => length = *to,
                Call::BarrierBegins => covered = births.len(),
                Call::Barrier => drop(births.drain(..covered)),
                Call::Write { offset, bytes } => {
                    assert!(offset + bytes.len() as u64 <= length, "a store behind the end");
                    if *offset >= 2 * PAGE as u64 {
                        births.push(crate::format::page::birth(&bytes[..PAGE]));
                    } else if let Ok(record) = Record::decode(bytes, 0) {
                        records += 1;
                        assert!(u64::from(record.length_pages) * PAGE as u64 <= length);
                        let vouched =
                            !record.listed.is_empty() || births.iter().all(|&birth| birth > record.id);
                        assert!(vouched, "pages of {} are neither durable nor listed", record.id);
                    }
                }
            }
        }
        assert!(records > 5);
    }
}

#[test]
fn no_two_records_with_one_transaction_id() {
    let mut random = Random(11);
    for history in [History::Small, History::GrowAndShrink] {
        let life = live(new_image(), Entries::new(), history, 25, &mut random);
        let ids: Vec<TransactionId> = record_writes(&life.calls).map(|(_, record)| record.id).collect();
        // The first is recovery's: it stores again what it found.
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    }
}

#[test]
fn a_long_row_of_lost_lazy_commits_leaves_room_for_new_ones() {
    let engine = Engine::new();
    let durable = engine.commit(&Entries::from([(b"key".to_vec(), vec![1])]), Durability::Durable).unwrap();
    for round in 0..250u16 {
        let entries = Entries::from([(b"key".to_vec(), round.to_le_bytes().to_vec())]);
        engine.commit(&entries, Durability::Lazy).unwrap();
    }
    let head = engine.handle.core.shared.head_id();
    let before = engine.journal().calls.len();
    engine.handle.core.sync_everything().unwrap();
    // Power goes during that sync: its record is on the disk, the pages that it lists are not.
    let calls = engine.journal().calls.clone();
    let mut disk = Disk::new(&engine.start);
    let durable_barrier = calls[..before].iter().rposition(|call| matches!(call, Call::Barrier)).unwrap();
    calls[..=durable_barrier].iter().for_each(|call| disk.apply(call));
    let (record_at, record) = record_writes(&calls).last().unwrap();
    assert!(record.id == head && record_at >= before);
    disk.apply(&calls[record_at]);
    disk.apply(&Call::BarrierBegins);
    disk.apply(&Call::Barrier);
    let image = disk.image(&mut Random(0));
    let recovered = Engine::open(&image, 0).unwrap();
    assert_eq!(recovered.read().unwrap(), (durable, Entries::from([(b"key".to_vec(), vec![1])])));
    let mut last = head;
    for round in 0..600u16 {
        let entries = Entries::from([(b"key".to_vec(), round.to_le_bytes().to_vec())]);
        let tx = recovered.begin().unwrap();
        super::fixture::put_all(&tx, &entries).unwrap();
        let id = tx.publish(Durability::Durable).unwrap();
        assert!(id > last, "ids above every id seen");
        last = id;
        if round % 50 == 0 {
            let (seen, _) = recovered.read().unwrap();
            assert!(seen == durable || seen > head);
        }
    }
    recovered.handle.core.sync_everything().unwrap();
    assert_eq!(
        recovered.read().unwrap(),
        (last, Entries::from([(b"key".to_vec(), 599u16.to_le_bytes().to_vec())]))
    );
    recovered.assert_clean();
}

#[test]
fn the_file_is_cut_only_when_the_durable_record_is_as_short() {
    let engine = Engine::new();
    let large: Entries = (0..9).map(|number| (vec![number], vec![number; 100 << 10])).collect();
    engine.commit(&large, Durability::Durable).unwrap();
    let tx = engine.begin().unwrap();
    clear(&tx).unwrap();
    put(&tx, b"small", &[0]).unwrap();
    tx.commit(Durability::Durable).unwrap();
    // It goes before the free space, so that nothing durable lies behind it any more.
    let small = Entries::from([(b"small".to_vec(), vec![1])]);
    let durable = engine.commit(&small, Durability::Durable).unwrap();
    let core = &engine.handle.core;
    let mut cuts = 0;
    for round in 2..200 {
        let before = engine.image().len();
        let shrunk_before = core.shared.head().unwrap().snapshot.length_pages;
        engine.commit(&Entries::from([(b"small".to_vec(), vec![round])]), Durability::Lazy).unwrap();
        core.cut_free_tail(); // as another thread may, whose durable commit has just ended
        assert_eq!(engine.image().len(), before, "the durable record is longer than what is left");
        if core.shared.head().unwrap().snapshot.length_pages < shrunk_before {
            cuts += 1;
            let mut disk = Disk::new(&engine.start);
            engine.journal().calls.iter().for_each(|call| disk.apply(call));
            for seed in 0..20 {
                let recovered = Engine::open(&disk.image(&mut Random(seed)), 0).unwrap();
                assert_eq!(recovered.read().unwrap(), (durable, small.clone()));
                recovered.assert_clean();
            }
            break;
        }
    }
    assert_eq!(cuts, 1, "the history never shrinks");
    core.sync_everything().unwrap();
    let before = engine.image().len();
    core.cut_free_tail();
    assert!(engine.image().len() < before);
    engine.assert_clean();
}

#[test]
fn crash_during_recovery_twice() {
    let mut random = Random(3);
    let life = live(new_image(), Entries::new(), History::Small, 20, &mut random);
    let mut disk = Disk::new(&life.before);
    for (done, call) in life.calls.iter().enumerate() {
        disk.apply(call);
        let image = disk.image(&mut random);
        let (expected, engine) = life.recover(&image, done + 1);
        let id = engine.read().unwrap().0;
        let calls = std::mem::take(&mut engine.journal().calls);
        for first in 0..=calls.len() {
            let mut disk = Disk::new(&image);
            calls[..first].iter().for_each(|call| disk.apply(call));
            let second_image = disk.image(&mut random);
            let second = Engine::open(&second_image, 0).unwrap();
            assert_eq!(second.read().unwrap(), (id, expected.clone()));
            let calls = std::mem::take(&mut second.journal().calls);
            let mut disk = Disk::new(&second_image);
            calls[..random.below(calls.len() + 1)].iter().for_each(|call| disk.apply(call));
            let third = Engine::open(&disk.image(&mut random), 0).unwrap();
            assert_eq!(third.read().unwrap(), (id, expected.clone()));
            third.assert_clean();
        }
    }
}

#[test]
fn a_barrier_that_fails_in_recovery_is_an_error_and_recovery_begins_anew() {
    let mut random = Random(5);
    let life = live(new_image(), Entries::new(), History::Small, 10, &mut random);
    let mut disk = Disk::new(&life.before);
    life.calls.iter().for_each(|call| disk.apply(call));
    let image = disk.image(&mut random);
    let (expected, _) = life.recover(&image, life.calls.len());
    for fault in [Fault::Barrier, Fault::Write] {
        let (result, journal) = Engine::open_with_fault(&image, 0, Some((fault, 0)));
        assert!(result.is_err());
        assert_eq!(journal.lock().faults_met, 1);
        assert_eq!(journal.lock().barriers(), 0, "nothing is synced after an error");
        let mut disk = Disk::new(&image);
        journal.lock().calls.iter().for_each(|call| disk.apply(call));
        let again = Engine::open(&disk.image(&mut random), 0).unwrap();
        assert_eq!(again.read().unwrap().1, expected);
        again.assert_clean();
    }
}
