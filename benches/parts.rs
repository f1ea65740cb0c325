//! Benchmarks of single operations, to see what a change does to them. benches/versus compares mapleaf with its
//! peers.
//!
//! All except the durable commit run on a database in memory, so that they do not depend on a disk.

#![allow(missing_docs)] // the macros make functions without documentation

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mapleaf::{Db, Durability, Table};

const ENTRIES: Table<[u8], [u8]> = Table::new("entries");
const COUNT: u64 = 100_000;
const VALUE: [u8; 150] = [7; 150];

type Key = [u8; 24];

/// The number-th of keys in random order (splitmix64).
fn key(number: u64) -> Key {
    let mut word = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut key = Key::default();
    for part in key.chunks_mut(8) {
        word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = word;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        part.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    key
}

/// The keys to look up, in a cycle.
fn some_keys() -> impl Iterator<Item = Key> {
    (0..COUNT).map(|number| key(number * 7919 % COUNT)).collect::<Vec<Key>>().into_iter().cycle()
}

fn fill(db: &Db, count: u64) {
    let tx = db.write().unwrap();
    let mut entries = tx.table(&ENTRIES).unwrap();
    for number in 0..count {
        entries.insert(&key(number)[..], &VALUE[..]).unwrap();
    }
    drop(entries);
    tx.commit().unwrap();
}

fn filled() -> Db {
    let db = Db::in_memory().unwrap();
    fill(&db, COUNT);
    db
}

fn reading(criterion: &mut Criterion) {
    let db = filled();
    let mut group = criterion.benchmark_group("read");
    group.bench_function("begin and end", |bencher| bencher.iter(|| black_box(db.read().unwrap())));
    group.bench_function("begin, open table, end", |bencher| {
        bencher.iter(|| black_box(db.read().unwrap().table(&ENTRIES).unwrap().len()));
    });
    let rx = db.read().unwrap();
    let entries = rx.table(&ENTRIES).unwrap();
    let mut keys = some_keys();
    group.bench_function("get", |bencher| {
        bencher.iter(|| entries.get(&keys.next().unwrap()[..]).unwrap().unwrap().len());
    });
    group.bench_function("get, absent", |bencher| {
        bencher.iter(|| entries.get(&key(COUNT + u64::from(keys.next().unwrap()[0]))[..]).unwrap());
    });
    group.bench_function("range of 10", |bencher| {
        bencher.iter(|| entries.range(&keys.next().unwrap()[..]..).take(10).count());
    });
    group.throughput(Throughput::Elements(16));
    group.bench_function("get_many of 16", |bencher| {
        bencher.iter(|| {
            let wanted: [Key; 16] = std::array::from_fn(|_| keys.next().unwrap());
            entries.get_many(wanted.iter().map(|key| &key[..])).unwrap().len()
        });
    });
    group.throughput(Throughput::Elements(COUNT));
    group.bench_function("scan", |bencher| {
        bencher.iter(|| entries.iter().map(|entry| entry.unwrap().1.len()).sum::<usize>());
    });
    group.bench_function("scan backward", |bencher| {
        bencher.iter(|| entries.iter().rev().map(|entry| entry.unwrap().1.len()).sum::<usize>());
    });
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write");
    group.sample_size(10).throughput(Throughput::Elements(COUNT));
    group.bench_function("load in random order", |bencher| {
        bencher.iter_batched(
            || Db::in_memory().unwrap(),
            |db| {
                fill(&db, COUNT);
                db
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();

    let mut group = criterion.benchmark_group("commit");
    let mut commit = |name: &str, db: &Db, durability: Durability| {
        let mut keys = some_keys();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let tx = db.write().unwrap();
                tx.table(&ENTRIES).unwrap().insert(&keys.next().unwrap()[..], &VALUE[..]).unwrap();
                tx.commit_with(durability).unwrap()
            });
        });
    };
    commit("in memory", &filled(), Durability::Durable);
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(folder.path().join("parts.mapleaf")).unwrap();
    fill(&db, COUNT);
    commit("lazy, on disk", &db, Durability::Lazy);
    commit("durable, on disk", &db, Durability::Durable);
    group.finish();
}

criterion_group!(parts, reading, writing);
criterion_main!(parts);
