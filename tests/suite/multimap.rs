//! Multimap tables against a model, a map of sets; and everything else that may happen to such a table.
//!
//! `MAPLEAF_LONG=1` runs many more seeds; `MAPLEAF_SEED=N` runs one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::ops::Bound;

use crate::common::{Random, Replay, assert_clean, child_task, process, run_child, scratch, seeds};
use mapleaf::{
    Db, Durability, EncodeKey, Error, Key, MultimapTable, Table, TableKind, admin, restore, salvage,
};

const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags");

type Model<K, V> = BTreeMap<K, BTreeSet<V>>;

/// A type of keys and of values, and how a test chooses one: often one that was chosen before.
trait Sample: Key<Owned = Self> + EncodeKey<Self> + Ord + Clone + Debug {
    fn choose(random: &mut Random) -> Self;
}

impl Sample for u64 {
    fn choose(random: &mut Random) -> u64 {
        random.below(200) as u64 * 0x0100_0001
    }
}

impl Sample for String {
    fn choose(random: &mut Random) -> String {
        match random.below(5) {
            0 => String::new(),
            1 => "a\0".repeat(random.below(4)),
            2 => "a".repeat(random.below(90)),
            _ => format!("{:03}", random.below(150)),
        }
    }
}

impl Sample for Vec<u8> {
    fn choose(random: &mut Random) -> Vec<u8> {
        match random.below(4) {
            0 => vec![*random.pick(&[0, 1, 0xff]); random.below(9)],
            1 => [vec![b'v'; 700], random.bytes(1)].concat(),
            2 => vec![0, 0xff, random.below(3) as u8],
            _ => random.below(300).to_le_bytes()[..2].to_vec(),
        }
    }
}

impl Sample for (String, u32) {
    fn choose(random: &mut Random) -> (String, u32) {
        (String::choose(random), random.below(20) as u32)
    }
}

impl Sample for () {
    fn choose(_: &mut Random) {}
}

fn len_of_model<K, V>(model: &Model<K, V>) -> u64 {
    model.values().map(|values| values.len() as u64).sum()
}

/// Collects an iterator from both ends, chosen at random at each step.
fn from_both_ends<T: Debug>(
    random: &mut Random,
    mut items: impl DoubleEndedIterator<Item = mapleaf::Result<T>>,
) -> Vec<T> {
    let (mut front, mut back) = (Vec::new(), Vec::new());
    let mut is_front = random.one_in(2);
    loop {
        if random.one_in(3) {
            is_front = !is_front;
        }
        let (item, end) = if is_front { (items.next(), &mut front) } else { (items.next_back(), &mut back) };
        let Some(item) = item else { break };
        end.push(item.unwrap());
    }
    assert!(items.next().is_none() && items.next_back().is_none(), "an end stays");
    front.extend(back.into_iter().rev());
    front
}

fn bounds<T>(random: &mut Random, mut choose: impl FnMut(&mut Random) -> T) -> (Bound<T>, Bound<T>) {
    let mut bound = |random: &mut Random| match random.below(4) {
        0 => Bound::Unbounded,
        1 => Bound::Excluded(choose(random)),
        _ => Bound::Included(choose(random)),
    };
    (bound(random), bound(random))
}

fn contains<T: Ord>((lower, upper): &(Bound<T>, Bound<T>), item: &T) -> bool {
    (match lower {
        Bound::Included(lower) => item >= lower,
        Bound::Excluded(lower) => item > lower,
        Bound::Unbounded => true,
    }) && match upper {
        Bound::Included(upper) => item <= upper,
        Bound::Excluded(upper) => item < upper,
        Bound::Unbounded => true,
    }
}

/// The same questions to a table of a read and of a write transaction.
macro_rules! compare {
    ($table:expr, $model:expr, $random:expr, $K:ty, $V:ty) => {{
        let (table, model, random) = (&$table, $model, $random);
        let pairs = || {
            model
                .iter()
                .flat_map(|(key, values)| values.iter().map(move |value| (key.clone(), value.clone())))
        };
        assert_eq!(table.len().unwrap(), len_of_model(model));
        assert_eq!(table.is_empty(), model.is_empty());
        assert_eq!(table.first().unwrap(), pairs().next());
        assert_eq!(table.last().unwrap(), pairs().last());
        assert!(from_both_ends(random, table.iter()).into_iter().eq(pairs()));
        assert!(from_both_ends(random, table.keys()).iter().eq(model.keys()));
        let range = bounds(random, <$K>::choose);
        let within = pairs().filter(|(key, _)| contains(&range, key));
        assert!(from_both_ends(random, table.range(range.clone())).into_iter().eq(within), "{range:?}");
        let within = model.keys().filter(|key| contains(&range, *key));
        assert!(from_both_ends(random, table.keys_in(range.clone())).iter().eq(within), "{range:?}");
        let keys: Vec<$K> = (0..4).map(|_| <$K>::choose(random)).collect();
        let none = BTreeSet::new();
        let found = table.get_many(&keys).unwrap();
        for (key, found) in keys.iter().zip(found) {
            let values = model.get(key).unwrap_or(&none);
            assert!(found.iter().eq(values));
            assert!(from_both_ends(random, table.get(key)).iter().eq(values), "{key:?}");
            assert_eq!(table.len_of(key).unwrap(), values.len() as u64, "{key:?}");
            assert_eq!(table.contains_key(key).unwrap(), !values.is_empty());
            let value = <$V>::choose(random);
            assert_eq!(table.contains(key, &value).unwrap(), values.contains(&value));
            let range = bounds(random, <$V>::choose);
            let within = values.iter().filter(|value| contains(&range, *value));
            let found = from_both_ends(random, table.range_of_values(key, range.clone()));
            assert!(found.iter().eq(within), "{key:?} {range:?}");
        }
    }};
}

fn change<K: Sample, V: Sample>(
    tx: &mapleaf::WriteTxn,
    table: &MultimapTable<K, V>,
    model: &mut Model<K, V>,
    random: &mut Random,
) {
    let mut multimap = tx.multimap(table).unwrap();
    for _ in 0..random.below(60) {
        let (key, value) = (K::choose(random), V::choose(random));
        match random.below(40) {
            0 => {
                let expected = model.remove(&key).map_or(0, |values| values.len() as u64);
                assert_eq!(multimap.remove_all(&key).unwrap(), expected);
            }
            1 if random.one_in(4) => {
                assert_eq!(multimap.clear().unwrap(), len_of_model(model));
                model.clear();
            }
            2 | 3 => {
                // Many values of one key: over the number from which they are counted.
                let pairs: Vec<(K, V)> = (0..200).map(|_| (key.clone(), V::choose(random))).collect();
                let before = len_of_model(model);
                model.entry(key).or_default().extend(pairs.iter().map(|(_, value)| value.clone()));
                assert_eq!(multimap.insert_many(pairs).unwrap(), len_of_model(model) - before);
            }
            4..=16 => {
                let is_there = model.get_mut(&key).is_some_and(|values| values.remove(&value));
                model.retain(|_, values| !values.is_empty());
                assert_eq!(multimap.remove(&key, &value).unwrap(), is_there);
            }
            _ => {
                let is_new = model.entry(key.clone()).or_default().insert(value.clone());
                assert_eq!(multimap.insert(&key, &value).unwrap(), is_new);
            }
        }
    }
    if random.one_in(3) {
        compare!(multimap, &*model, random, K, V);
    }
}

fn model_test<K: Sample, V: Sample>(seed: u64) {
    let _replay = Replay { test: "multimap::a_multimap_table_is_a_map_of_sets", seed };
    let mut random = Random::new(seed);
    let (_folder, path) = scratch();
    let dirty_memory = *random.pick(&[0, 1 << 14, 1 << 28]);
    let open = || Db::options().page_size(4096).dirty_memory(dirty_memory).open(&path).unwrap();
    let mut db = open();
    let table: MultimapTable<K, V> = MultimapTable::new("many");
    db.update(|tx| tx.multimap(&table).map(drop)).unwrap();
    let mut model = Model::new();
    for _ in 0..25 {
        let tx = db.write().unwrap();
        let mut next = model.clone();
        change(&tx, &table, &mut next, &mut random);
        if random.one_in(3) {
            change(&tx, &table, &mut next, &mut random); // opened again
        }
        if random.one_in(8) {
            drop(tx);
        } else {
            tx.commit_with(*random.pick(&[Durability::Durable, Durability::Lazy])).unwrap();
            model = next;
        }
        if random.one_in(6) {
            assert_clean(&db);
            drop(db);
            db = open();
        }
        let rx = db.read().unwrap();
        compare!(rx.multimap(&table).unwrap(), &model, &mut random, K, V);
    }
    assert_clean(&db);
    let info = &db.read().unwrap().tables().unwrap()[0];
    assert_eq!((info.kind, info.entries), (TableKind::Multimap, len_of_model(&model)));
}

#[test]
fn a_multimap_table_is_a_map_of_sets() {
    for seed in seeds(2, 100) {
        model_test::<u64, u64>(seed);
        model_test::<String, u64>(seed);
        model_test::<Vec<u8>, Vec<u8>>(seed);
        model_test::<(String, u32), String>(seed);
        model_test::<String, (String, u32)>(seed);
        model_test::<(), Vec<u8>>(seed);
    }
}

/// Asserts that a database has the pairs of the model, and that all that is counted is right.
#[track_caller]
fn assert_holds(db: &Db, model: &Model<String, u64>) {
    assert_clean(db);
    let rx = db.read().unwrap();
    let tags = rx.multimap(&TAGS).unwrap();
    let mut found: Model<String, u64> = Model::new();
    for pair in &tags {
        let (key, value) = pair.unwrap();
        found.entry(key.into()).or_default().insert(value);
    }
    assert!(found == *model, "other pairs");
    assert_eq!(tags.len().unwrap(), len_of_model(model));
    for (key, values) in model {
        assert_eq!(tags.len_of(key).unwrap(), values.len() as u64, "{key}");
    }
}

/// Keys with 1, 10, 100 and so on values.
fn fill(db: &Db) -> Model<String, u64> {
    let mut model = Model::new();
    for power in 0..5 {
        model.insert(format!("tag {power}"), (0..10u64.pow(power)).map(|value| value * 3).collect());
    }
    db.update(|tx| {
        let mut tags = tx.multimap(&TAGS)?;
        for (key, values) in &model {
            for value in values {
                tags.insert(key, *value)?;
            }
        }
        Ok(())
    })
    .unwrap();
    model
}

#[test]
fn counts_are_right_through_the_threshold_in_both_directions() {
    let db = Db::in_memory().unwrap();
    for step in [1, 7, 64, 65, 100] {
        let mut values = BTreeSet::new();
        let mut value = 0;
        let upwards = (0..260 / step).map(|_| true);
        for is_up in upwards.chain((0..260 / step).map(|_| false)) {
            db.update(|tx| {
                let mut tags = tx.multimap(&TAGS)?;
                for _ in 0..step {
                    if is_up {
                        assert!(tags.insert("key", value)?);
                        values.insert(value);
                        value += 1;
                    } else {
                        value -= 1;
                        assert!(tags.remove("key", value)?);
                        values.remove(&value);
                    }
                    assert_eq!(tags.len_of("key")?, values.len() as u64);
                    assert_eq!(tags.len()?, values.len() as u64 + u64::from(tags.contains_key("other")?));
                }
                tags.insert("other", 1)?;
                assert!(!tags.is_empty());
                Ok(())
            })
            .unwrap();
            assert_clean(&db);
            let rx = db.read().unwrap();
            assert_eq!(rx.multimap(&TAGS).unwrap().len_of("key").unwrap(), values.len() as u64);
        }
        assert!(values.is_empty());
    }
}

#[test]
fn a_key_can_have_a_hundred_thousand_values() {
    const COUNT: u64 = 100_000;
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let new = db.update(|tx| {
        let mut tags = tx.multimap(&TAGS)?;
        tags.insert("before", 1)?;
        tags.insert("many\0", 1)?;
        tags.insert_many((0..COUNT).map(|number| ("many", number * 7919 % COUNT)))
    });
    assert_eq!(new.unwrap(), COUNT);
    let rx = db.read().unwrap();
    let tags = rx.multimap(&TAGS).unwrap();
    assert_eq!(tags.len_of("many").unwrap(), COUNT);
    assert_eq!(tags.len().unwrap(), COUNT + 2);
    assert!(tags.get("many").map(Result::unwrap).eq(0..COUNT));
    assert!(tags.get("many").rev().map(Result::unwrap).eq((0..COUNT).rev()));
    assert_eq!(tags.range_of_values("many", 500..600).count(), 100);
    assert!(tags.keys().map(Result::unwrap).eq(["before", "many", "many\0"]));
    assert!(tags.keys().rev().map(Result::unwrap).eq(["many\0", "many", "before"]));
    // Each value takes little more than its own bytes, whatever its key takes.
    let bytes = admin::table_pages(&rx, "tags", |_| {}).unwrap().total as u64 * 4096;
    assert!(bytes < COUNT * 8 * 3 / 2, "{bytes}");
    drop(rx);
    assert_clean(&db);
    assert_eq!(db.update(|tx| tx.multimap(&TAGS)?.remove_all("many")).unwrap(), COUNT);
    assert_clean(&db);
    assert_eq!(db.read().unwrap().tables().unwrap()[0].entries, 2);
}

#[test]
fn a_table_of_the_other_kind_is_refused_and_the_transaction_goes_on() {
    const WORDS: Table<str, u64> = Table::new("words");
    const TABLE_TAGS: Table<str, u64> = Table::new("tags");
    const MULTIMAP_WORDS: MultimapTable<str, u64> = MultimapTable::new("words");
    const OTHER_TYPES: MultimapTable<u64, u64> = MultimapTable::new("tags");
    let db = Db::in_memory().unwrap();
    let is_kind = |error: Error, is_multimap: bool| {
        assert!(
            matches!(error, Error::TableKindMismatch { is_multimap: found, .. } if found == is_multimap),
            "{error}"
        );
    };
    let tx = db.write().unwrap();
    tx.multimap(&TAGS).unwrap().insert("a", 1).unwrap();
    tx.table(&WORDS).unwrap().insert("a", 1).unwrap();
    is_kind(tx.table(&TABLE_TAGS).unwrap_err(), true);
    is_kind(tx.multimap(&MULTIMAP_WORDS).unwrap_err(), false);
    is_kind(admin::raw_table_mut(&tx, "tags").unwrap_err(), true);
    is_kind(admin::raw_multimap_mut(&tx, "words").unwrap_err(), false);
    assert!(matches!(tx.multimap(&OTHER_TYPES), Err(Error::TableTypeMismatch { .. })));
    assert!(matches!(admin::create_multimap(&tx, "words", "str", "u64"), Err(Error::TableExists { .. })));
    let tags = tx.multimap(&TAGS).unwrap();
    assert!(matches!(tx.multimap(&TAGS), Err(Error::TableInUse { .. })));
    drop(tags);
    tx.multimap(&TAGS).unwrap().insert("a", 2).unwrap();
    tx.commit().unwrap();
    let rx = db.read().unwrap();
    is_kind(rx.table(&TABLE_TAGS).unwrap_err(), true);
    is_kind(rx.table_or_empty(&TABLE_TAGS).unwrap_err(), true);
    is_kind(rx.multimap(&MULTIMAP_WORDS).unwrap_err(), false);
    is_kind(admin::raw_table(&rx, "tags").unwrap_err(), true);
    assert_eq!(rx.multimap(&TAGS).unwrap().len().unwrap(), 2);
    let kinds: Vec<_> =
        rx.tables().unwrap().into_iter().map(|table| (table.name, table.kind, table.entries)).collect();
    assert_eq!(kinds, [("tags".into(), TableKind::Multimap, 2), ("words".into(), TableKind::Table, 1)]);
}

#[test]
fn a_pair_that_is_too_long_changes_nothing() {
    const BLOBS: MultimapTable<[u8], [u8]> = MultimapTable::new("blobs");
    let db = Db::in_memory().unwrap();
    let limit = db.max_key_len() - 1 - 2; // the first byte, and the end of the key
    db.update(|tx| {
        let mut blobs = tx.multimap(&BLOBS)?;
        assert!(blobs.insert(vec![b'k'; 1000], vec![b'v'; limit - 1000])?);
        let error = blobs.insert(vec![b'k'; 1000], vec![b'v'; limit - 999]).unwrap_err();
        assert!(matches!(error, Error::PairTooLong { length, limit } if length == limit + 1), "{error}");
        // Each zero of a key takes two bytes.
        assert!(blobs.insert(vec![0; 1000], vec![]).is_err());
        assert!(blobs.insert(vec![1; 1000], vec![0; limit - 1000])?);
        assert!(!blobs.contains(vec![1; 5000], b"")?);
        assert!(!blobs.remove(vec![1; 5000], b"")?);
        assert_eq!(blobs.remove_all(vec![1; 5000])?, 0);
        assert_eq!(blobs.get(vec![1; 5000]).count(), 0);
        assert_eq!((blobs.len()?, blobs.len_of(vec![2; 5000])?), (2, 0));
        Ok(())
    })
    .unwrap();
    assert_clean(&db);
    let load =
        db.update(|tx| tx.multimap(&BLOBS)?.insert_many([(vec![1], vec![2]), (vec![1; 5000], vec![])]));
    assert!(matches!(load, Err(Error::PairTooLong { length: 5002, .. })));
}

#[test]
fn tables_are_renamed_dropped_and_cleared_with_their_counters() {
    const LABELS: MultimapTable<str, u64> = MultimapTable::new("labels");
    let db = Db::in_memory().unwrap();
    db.update(|tx| {
        tx.multimap(&TAGS)?.insert_many((0..500).map(|value| ("a", value)))?;
        tx.rename_table("tags", "labels")?;
        tx.multimap(&LABELS)?.remove("a", 3)?;
        assert_eq!(tx.tables()?[0].entries, 499);
        Ok(())
    })
    .unwrap();
    assert_clean(&db);
    assert_eq!(db.read().unwrap().multimap(&LABELS).unwrap().len_of("a").unwrap(), 499);
    db.update(|tx| {
        let mut labels = tx.multimap(&LABELS)?;
        labels.insert_many((0..500).map(|value| ("b", value)))?;
        assert_eq!(labels.clear()?, 999);
        assert!(labels.is_empty());
        labels.insert("c", 1).map(drop)
    })
    .unwrap();
    assert_clean(&db);
    assert_eq!(db.read().unwrap().tables().unwrap()[0].entries, 1);
    db.update(|tx| {
        tx.multimap(&LABELS)?.insert_many((0..500).map(|value| ("b", value)))?;
        assert!(tx.drop_table("labels")?);
        tx.multimap(&LABELS)?.insert("d", 1)?;
        Ok(())
    })
    .unwrap();
    assert_clean(&db);
    assert!(db.read().unwrap().multimap(&LABELS).unwrap().iter().map(Result::unwrap).eq([("d".into(), 1)]));
}

#[test]
#[ignore = "a process of another test"]
fn fill_and_be_killed() {
    let Some(path) = child_task() else { return };
    let db = Db::options().log_size(4 << 20).open(path).unwrap();
    fill(&db);
    db.update(|tx| {
        let mut tags = tx.multimap(&TAGS)?;
        tags.remove_all("tag 3")?;
        tags.insert_many((0..300).map(|value| ("tag 0", value))).map(drop)
    })
    .unwrap();
    let tx = db.write().unwrap();
    tx.multimap(&TAGS).unwrap().insert("never committed", 1).unwrap();
    process::exit_at_once();
}

#[test]
fn a_killed_process_leaves_pairs_and_counters_in_the_log() {
    let (_folder, path) = scratch();
    run_child(concat!(module_path!(), "::fill_and_be_killed"), &path);
    let mut model = fill(&Db::in_memory().unwrap());
    model.remove("tag 3");
    model.get_mut("tag 0").unwrap().extend(0..300);
    assert_holds(&Db::open(&path).unwrap(), &model);
}

#[test]
fn copies_increments_and_compaction_keep_pairs_and_counters() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let db = Db::open(file("live.mapleaf")).unwrap();
    let mut model = fill(&db);
    let rx = db.read().unwrap();
    rx.copy().to_path(file("copy")).unwrap();
    rx.copy().compact().to_path(file("compact")).unwrap();
    let since = rx.id();
    drop(rx);
    for name in ["copy", "compact"] {
        fs::copy(file(name), file("opened")).unwrap();
        assert_holds(&Db::open(file("opened")).unwrap(), &model);
        fs::remove_file(file("opened")).unwrap();
        let _ = fs::remove_file(file("opened-lock"));
    }
    db.update(|tx| {
        let mut tags = tx.multimap(&TAGS)?;
        model.get_mut("tag 2").unwrap().extend(1000..1200);
        tags.insert_many((1000..1200).map(|value| ("tag 2", value)))?;
        model.remove("tag 3");
        tags.remove_all("tag 3")
    })
    .unwrap();
    let mut increment = Vec::new();
    db.read().unwrap().copy().since(since).to_writer(&mut increment).unwrap();
    restore(file("copy"), [&increment[..]], file("restored")).unwrap();
    assert_holds(&Db::open(file("restored")).unwrap(), &model);
    db.compact().unwrap();
    assert_holds(&db, &model);
    drop(db);
    let report = salvage(file("live.mapleaf"), file("salvaged")).unwrap();
    assert_eq!((report.tables[0].entries, report.tables[0].lost()), (len_of_model(&model), Some(0)));
    assert_holds(&Db::open(file("salvaged")).unwrap(), &model);
}

/// Pages that are gone take pairs and counters with them. What is left is counted again.
#[test]
fn a_salvaged_table_has_no_counter_that_lies() {
    let (folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let model = fill(&db);
    drop(db);
    let sound = fs::read(&path).unwrap();
    let is_tree_page = |page: &&[u8]| matches!(page[16], 1 | 2);
    let pages: Vec<usize> =
        (2..sound.len() / 4096).filter(|&number| is_tree_page(&&sound[number * 4096..][..4096])).collect();
    assert!(pages.len() > 5);
    for page in pages {
        let mut damaged = sound.clone();
        damaged[page * 4096 + 100..][..500].fill(0xa5);
        fs::write(&path, damaged).unwrap();
        let new_path = folder.path().join(format!("salvaged {page}"));
        let report = salvage(&path, &new_path).unwrap();
        let db = Db::open(&new_path).unwrap();
        assert_clean(&db);
        let rx = db.read().unwrap();
        let tables = rx.tables().unwrap();
        for table in tables.iter().filter(|table| table.kind == TableKind::Multimap) {
            let tags = rx.multimap::<str, u64>(&MultimapTable::new(&table.name)).unwrap();
            let mut found = 0;
            for key in tags.keys() {
                let key = key.unwrap();
                let values: BTreeSet<u64> = tags.get(&key).map(Result::unwrap).collect();
                assert!(values.is_subset(&model[&key[..]]));
                assert_eq!(tags.len_of(&key).unwrap(), values.len() as u64);
                found += values.len() as u64;
            }
            assert_eq!(tags.len().unwrap(), found);
            assert_eq!(table.entries, found);
            assert!(
                report.tables.iter().any(|salvaged| salvaged.name == table.name && salvaged.entries == found)
            );
        }
        drop(rx);
        // The table goes on, with counters where they are due.
        db.update(|tx| tx.multimap(&TAGS)?.insert_many((0..500).map(|value| ("tag 3", value)))).unwrap();
        assert_clean(&db);
    }
}
