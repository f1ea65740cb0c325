//! Replay makes of the records what the transactions made: the state before is the state after, whatever they did.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::fixture::{Engine, Entries, PAGE, TABLE, entries_of_table};
use crate::error::Error;
use crate::format::catalog::TableKind;
use crate::format::redo::operation::Operation;
use crate::format::redo::record::RecordBuilder;
use crate::format::ring::Ring;
use crate::shm::watermarks::LogState;
use crate::sim::Random;
use crate::tree::RangeCursor;
use crate::txn::bulk::BulkLoader;
use crate::txn::commit::Durability;
use crate::txn::read::SnapshotReader;
use crate::txn::write::Transaction;

/// All tables: their types and their entries.
type Tables = BTreeMap<String, (String, Entries)>;

fn tables_of(engine: &Engine) -> Tables {
    let reader = SnapshotReader::begin(&engine.handle).unwrap();
    let mut cursor = RangeCursor::new(&reader.snapshot.catalog, Bound::Unbounded, Bound::Unbounded);
    let mut tables = Tables::new();
    while let Some((name, entry)) = cursor.next(&reader).unwrap() {
        let (types, entries) = entries_of_table(&reader, entry).unwrap();
        tables.insert(String::from_utf8(name.to_vec()).unwrap(), (types, entries));
    }
    tables
}

const NAMES: [&str; 5] = ["apples", "b", "cherries in a long row", "dates", "é"];

fn key(random: &mut Random) -> Vec<u8> {
    let number = random.below(400) as u16;
    let mut key = number.to_be_bytes().to_vec();
    key.resize(2 + random.below(3) * 20, b'k');
    key
}

fn value(random: &mut Random) -> Vec<u8> {
    let lengths = [0, 1, 10, 100, 700, 1500, 5000, 14_000];
    vec![random.next() as u8; lengths[random.below(lengths.len())]]
}

/// Makes a random change of `tables`, and of the database.
fn change(tx: &Transaction, tables: &mut Tables, random: &mut Random) {
    let name = NAMES[random.below(NAMES.len())];
    if !tables.contains_key(name) {
        let types = format!("key{}", random.below(3));
        let table = tx.create_table(name, TableKind::Table, types.clone(), types.clone()).unwrap();
        tx.return_table(table);
        tables.insert(name.into(), (types, Entries::new()));
    }
    match random.below(30) {
        0 => {
            assert!(tx.drop_table(name).unwrap());
            tables.remove(name);
            return;
        }
        1 => {
            let to = NAMES[random.below(NAMES.len())];
            if !tables.contains_key(to) {
                tx.rename_table(name, to).unwrap();
                let table = tables.remove(name).unwrap();
                tables.insert(to.into(), table);
            }
            return;
        }
        2 => {
            let types = format!("key{}", random.below(3));
            tx.retype_table(name, &types, &types).unwrap();
            tables.get_mut(name).unwrap().0 = types;
            return;
        }
        _ => {}
    }
    let entries = &mut tables.get_mut(name).unwrap().1;
    let mut table = tx.take_table(name).unwrap().unwrap();
    match random.below(20) {
        0 => {
            tx.clear(&mut table).unwrap();
            entries.clear();
        }
        1..3 => {
            let (one, other) = (key(random), key(random));
            let (lower, upper) = (one.clone().min(other.clone()), one.max(other));
            let lower = match random.below(3) {
                0 => Bound::Unbounded,
                1 => Bound::Included(lower),
                _ => Bound::Excluded(lower),
            };
            let upper = match random.below(3) {
                0 => Bound::Included(upper),
                _ => Bound::Excluded(upper),
            };
            let within = |key: &[u8]| {
                let is_above = match &lower {
                    Bound::Unbounded => true,
                    Bound::Included(lower) => key >= &lower[..],
                    Bound::Excluded(lower) => key > &lower[..],
                };
                is_above
                    && match &upper {
                        Bound::Unbounded => true,
                        Bound::Included(upper) => key <= &upper[..],
                        Bound::Excluded(upper) => key < &upper[..],
                    }
            };
            let before = entries.len();
            entries.retain(|key, _| !within(key));
            let bound = |bound: &Bound<Vec<u8>>| bound.clone();
            let (lower, upper) = (bound(&lower), bound(&upper));
            let removed = tx
                .remove_range(&mut table, lower.as_ref().map(|k| &k[..]), upper.as_ref().map(|k| &k[..]))
                .unwrap();
            assert_eq!(removed as usize, before - entries.len());
        }
        3..6 => {
            let (key, value) = (key(random), value(random));
            let place = tx.reserve(&mut table, &key, value.len()).unwrap();
            if random.one_in(4) {
                entries.insert(key, vec![0; value.len()]); // the caller leaves it as it is
            } else {
                place.copy_from_slice(&value);
                entries.insert(key, value);
            }
        }
        6..8 => {
            let mut load = BulkLoader::new(tx, &mut table).unwrap();
            for _ in 0..random.below(40) {
                let (key, value) = (key(random), vec![random.next() as u8; random.below(50)]);
                load.insert(&key, &value).unwrap();
                entries.insert(key, value);
            }
            load.finish().unwrap();
        }
        8..13 => {
            let key = key(random);
            assert_eq!(tx.remove(&mut table, &key).unwrap(), entries.remove(&key).is_some());
        }
        _ => {
            let (key, value) = (key(random), value(random));
            assert_eq!(tx.insert(&mut table, &key, &value).unwrap(), !entries.contains_key(&key));
            entries.insert(key, value);
        }
    }
    tx.return_table(table);
}

/// Random transactions, with the process killed again and again, and recovery itself too.
fn random_transactions(seed: u64, log_size: u64) {
    let mut random = Random::new(seed);
    let mut engine = Engine::open_with_log(&super::fixture::new_image(), log_size).unwrap();
    let mut tables = Tables::new();
    let (mut logged, mut replayed) = (0, 0);
    for _ in 0..150 {
        let tx = engine.begin().unwrap();
        let mut changed = tables.clone();
        for _ in 0..1 + random.below(6) {
            change(&tx, &mut changed, &mut random);
        }
        if random.one_in(8) {
            drop(tx);
        } else {
            let id = tx.id;
            tx.commit(if random.one_in(3) { Durability::Durable } else { Durability::Lazy }).unwrap();
            tables = changed;
            logged += u32::from(engine.redo().unlogged < id);
        }
        assert!(tables_of(&engine) == tables, "seed {seed}");
        if !random.one_in(6) {
            continue;
        }
        replayed += u32::from(engine.handle.core.shared.log_start() < engine.redo().end);
        let image = engine.image();
        let recovered = Engine::open_with_log(&image, log_size).unwrap();
        assert!(tables_of(&recovered) == tables, "seed {seed}, recovered");
        recovered.assert_clean();
        let twice = Engine::open_with_log(&recovered.image(), log_size).unwrap();
        assert!(tables_of(&twice) == tables, "seed {seed}, recovered twice");
        twice.assert_clean();
        if random.one_in(2) {
            engine = if random.one_in(2) { recovered } else { twice };
        }
    }
    engine.assert_clean();
    assert!(logged > 50 && replayed > 5, "{logged} transactions are in the log, {replayed} replays");
}

#[test]
fn all_operations_are_replayed_to_what_they_were() {
    for seed in 0..4 {
        random_transactions(seed, 1 << 20);
    }
    random_transactions(4, 64 << 10);
}

/// Random transactions, and power is lost again and again, at any call since the last commit that was acknowledged.
/// What is found then is a state since that commit, and no later one comes back after it. Returns how often it was
/// later.
fn random_power_cuts(seed: u64, log_size: u64) -> u32 {
    let mut random = Random::new(seed);
    let mut engine = Engine::open_with_log(&super::fixture::new_image(), log_size).unwrap();
    // The states that may be found, oldest first, and the first call that may be lost.
    let mut states = vec![Tables::new()];
    let mut acknowledged = 0;
    let (mut cuts, mut lazy_found) = (0, 0);
    for _ in 0..250 {
        let tx = engine.begin().unwrap();
        let mut changed = states.last().unwrap().clone();
        for _ in 0..1 + random.below(3) {
            change(&tx, &mut changed, &mut random);
        }
        let is_durable = random.one_in(3);
        tx.commit(if is_durable { Durability::Durable } else { Durability::Lazy }).unwrap();
        states.push(changed);
        let shared = &engine.handle.core.shared;
        if !is_durable && random.one_in(12) {
            engine.handle.core.sync_everything().unwrap();
        } else if random.one_in(15) {
            engine.checkpoint().unwrap();
        }
        let (is_cut, is_during_it) = (random.one_in(4), random.one_in(2));
        if shared.durable().max(shared.checkpointed()) == shared.newest_id() && !(is_cut && is_during_it) {
            acknowledged = engine.log().events.len();
            states.drain(..states.len() - 1);
        }
        if !is_cut {
            continue;
        }
        cuts += 1;
        let mut disk = super::fixture::disk(&engine.start);
        let end = acknowledged + random.below(engine.log().events.len() - acknowledged + 1);
        engine.log().events[..end].iter().for_each(|event| disk.apply(event));
        let image = match disk.has_stores_in_doubt() && random.one_in(3) {
            true => disk.sample_with_lost_blocks(&mut random),
            false => disk.sample(&mut random),
        };
        let recovered = Engine::open_with_log(&image, log_size).unwrap();
        let found = tables_of(&recovered);
        recovered.assert_clean();
        assert!(states.contains(&found), "seed {seed}, cut {cuts}: none of {} states", states.len());
        lazy_found += u32::from(found != states[0]);
        (states, acknowledged) = (vec![found], recovered.log().events.len());
        engine = recovered;
    }
    assert!(cuts > 30);
    lazy_found
}

#[test]
fn what_is_found_after_loss_of_power_is_what_was_acknowledged_or_later() {
    let count = if std::env::var_os("MAPLEAF_LONG").is_some() { 300 } else { 6 };
    let later_found: u32 = (0..count)
        .map(|seed| random_power_cuts(seed, [16 << 10, 64 << 10, 1 << 20][seed as usize % 3]))
        .sum();
    assert!(later_found > 0, "lazy commits are never found");
}

/// As of a file from a system with shorter pages.
#[test]
fn a_ring_without_whole_blocks_is_given_up_by_recovery() {
    let changed: Entries = [(b"key".to_vec(), b"value".to_vec())].into();
    for pages in [3, 16] {
        let engine = Engine::new();
        engine.commit(&changed, Durability::Durable).unwrap();
        let log = engine.redo();
        let ring = Ring { pages, ..log.ring.unwrap() };
        let mut tx = engine.begin().unwrap();
        tx.parts().publish_replayed(LogState { ring: Some(ring), ..log }, log.end.plus(100_008)).unwrap();
        tx.unlock_writer();
        assert_eq!(engine.redo().ring.is_some(), pages == 16);
        engine.checkpoint().unwrap();
        engine.commit(&changed, Durability::Durable).unwrap();
        engine.checkpoint().unwrap();
        let reopened = engine.reopen();
        assert_eq!(reopened.read().unwrap().1, changed);
        assert!(reopened.redo().ring.is_some());
    }
}

/// The image of a database whose log ends with a record that has a right checksum, and these operations.
fn with_record(operations: &[(&str, Operation<'_>)]) -> Vec<u8> {
    let engine = Engine::new();
    engine.commit(&[(b"key".to_vec(), b"value".to_vec())].into(), Durability::Durable).unwrap();
    let core = &engine.handle.core;
    let newest = core.shared.newest().unwrap();
    let ring = newest.log.ring.unwrap();
    let mut builder = RecordBuilder::new(ring.max_record_len(PAGE));
    operations.iter().for_each(|&(table, operation)| builder.push(table, operation));
    let end = newest.log.end_after(newest.snapshot.id, core);
    let (record, _) = builder.finish(&end, true);
    core.store_record(ring, end.lsn, record).unwrap();
    engine.image()
}

#[test]
fn a_record_with_a_right_checksum_whose_operations_do_not_fit_is_corrupt() {
    let create = Operation::Create { kind: TableKind::Table, key_type: "k", value_type: "v" };
    let range =
        |removed| Operation::RemoveRange { lower: Bound::Included(b"a"), upper: Bound::Unbounded, removed };
    let long = "n".repeat(5000);
    let wrong: &[&[(&str, Operation<'_>)]] = &[
        &[(TABLE, create)],
        &[("none", Operation::Drop)],
        &[("none", Operation::Clear)],
        &[("none", Operation::Put { key: b"k", value: b"v" })],
        &[("none", Operation::Rename { to: "other" })],
        &[("new", create), (TABLE, Operation::Rename { to: "new" })],
        &[("none", Operation::Retype { key_type: "k", value_type: "v" })],
        &[(TABLE, Operation::Delete { key: b"none" })],
        &[(TABLE, Operation::Delete { key: b"key" }), (TABLE, Operation::Delete { key: b"key" })],
        &[(TABLE, range(0))],
        &[(TABLE, range(2))],
        &[(TABLE, Operation::Put { key: long.as_bytes(), value: b"v" })],
    ];
    for operations in wrong {
        let image = with_record(operations);
        let (result, log) = Engine::open_with_fault(&image, 256 << 20, None);
        assert!(matches!(result.err(), Some(Error::Corrupt(_))), "{operations:?}");
        // It stays as it is, for `salvage`, except the meta, which is stored again.
        let mut disk = super::fixture::disk(&image);
        log.lock().events.iter().for_each(|event| disk.apply(event));
        assert!(matches!(Engine::open(disk.cache(), 256 << 20).err(), Some(Error::Corrupt(_))));
    }
    let right = [
        (TABLE, range(1)),
        (TABLE, Operation::Put { key: b"k", value: b"v" }),
        ("new", create),
        ("new", Operation::Drop),
        (TABLE, Operation::Rename { to: "new" }),
        ("new", Operation::Rename { to: TABLE }),
    ];
    let recovered = Engine::open(&with_record(&right), 256 << 20).unwrap();
    assert_eq!(recovered.read().unwrap().1, [(b"k".to_vec(), b"v".to_vec())].into());
    recovered.assert_clean();
}
