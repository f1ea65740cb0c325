//! Reading: tables that are not there yet, iterators that seek, prefixes with ranges, first elements as ends of ranges.
//!
//! What iterators return is compared with a model: a sorted vector, and two positions in it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::sync::Arc;

use crate::common::{Random, Replay, assert_clean, seeds};
use mapleaf::{Db, Error, Table};

const NUMBERS: Table<u64, u64> = Table::new("numbers");
const NAMES: Table<str, u64> = Table::new("names");
const PAIRS: Table<(u8, u8), u64> = Table::new("pairs");

// ---- tables that are not there yet ----

#[test]
fn a_table_that_is_not_there_yet_is_empty_by_choice() {
    let db = Db::in_memory().unwrap();
    let rx = Arc::new(db.read().unwrap());
    assert!(matches!(rx.table(&NAMES), Err(Error::TableNotFound { .. })));
    let names = rx.table_or_empty(&NAMES).unwrap();
    assert!(names.is_empty());
    assert_eq!(names.len(), 0);
    assert_eq!(names.get("ada").unwrap(), None);
    assert_eq!(names.get_many(["ada", "bob"]).unwrap(), [None, None]);
    assert!(!names.contains_key("ada").unwrap());
    assert_eq!((names.first().unwrap(), names.last().unwrap()), (None, None));
    assert_eq!((names.first_in("a"..).unwrap(), names.last_in(.."z").unwrap()), (None, None));
    let ranges = [names.iter(), names.range("a".."b"), names.prefix("a"), names.prefix_range("a", "b"..)];
    for mut range in ranges {
        assert!(range.next().is_none());
        range.seek("a");
        assert!(range.next_back().is_none() && range.next().is_none());
        range.seek_back("z");
        assert!(range.next_back().is_none());
    }
    assert_eq!(names.prefetch(..).unwrap().pages, 0);
    let owned = rx.owned_table_or_empty(&NAMES).unwrap();
    assert_eq!((owned.len(), owned.iter().count(), owned.get("ada").unwrap()), (0, 0, None));

    // Once a writer has come, it is the table itself, with its types; this snapshot does not change.
    db.update(|tx| tx.table(&NAMES)?.insert("ada", 1815)).unwrap();
    assert_eq!(rx.table_or_empty(&NAMES).unwrap().len(), 0);
    let rx = db.read().unwrap();
    assert_eq!(rx.table_or_empty(&NAMES).unwrap().get("ada").unwrap(), Some(1815));
    let wrong = rx.table_or_empty(&Table::<str, str>::new("names"));
    assert!(matches!(wrong, Err(Error::TableTypeMismatch { .. })));
    assert_eq!(rx.tables().unwrap().len(), 1, "reading creates nothing");
}

// ---- iterators that seek ----

/// An iterator over sorted keys.
struct Model<K> {
    keys: Vec<K>,
    /// The positions of the next entry from the front, and after the next from the back.
    front: usize,
    back: usize,
}

impl<K: Ord + Clone> Model<K> {
    fn next(&mut self) -> Option<K> {
        if self.front >= self.back {
            return None;
        }
        self.front += 1;
        Some(self.keys[self.front - 1].clone())
    }

    fn next_back(&mut self) -> Option<K> {
        if self.front >= self.back {
            return None;
        }
        self.back -= 1;
        Some(self.keys[self.back].clone())
    }

    fn seek(&mut self, key: &K) {
        self.front = self.keys.partition_point(|other| other < key);
    }

    fn seek_back(&mut self, key: &K) {
        self.back = self.keys.partition_point(|other| other <= key);
    }
}

/// Compares a [`mapleaf::Range`] or [`mapleaf::OwnedRange`] over `$all`, cut to a random range, with the model.
macro_rules! compare_with_model {
    ($random:expr, $all:expr, $any_key:expr, |$range:ident| $iterator:expr) => {{
        let bound = |random: &mut Random| match random.below(3) {
            0 => Unbounded,
            1 => Included($any_key(random)),
            _ => Excluded($any_key(random)),
        };
        let $range = (bound($random), bound($random));
        let keys: Vec<_> = $all.iter().filter(|key| contains(&$range, key)).cloned().collect();
        let mut model = Model { front: 0, back: keys.len(), keys };
        let mut iterator = $iterator;
        for step in 0..60 {
            let key = $any_key($random);
            match $random.below(6) {
                0 => {
                    iterator.seek(&key);
                    model.seek(&key);
                }
                1 if $random.one_in(2) => {
                    iterator.seek_back(&key);
                    model.seek_back(&key);
                }
                2 | 3 => {
                    let found = iterator.next().map(|entry| entry.unwrap().0);
                    assert_eq!(found, model.next(), "step {step} of {:?}", $range);
                }
                _ => {
                    let found = iterator.next_back().map(|entry| entry.unwrap().0);
                    assert_eq!(found, model.next_back(), "step {step} of {:?}", $range);
                }
            }
        }
    }};
}

fn contains<K: Ord>((start, end): &(Bound<K>, Bound<K>), key: &K) -> bool {
    let is_after_start = match start {
        Included(start) => key >= start,
        Excluded(start) => key > start,
        Unbounded => true,
    };
    is_after_start
        && match end {
            Included(end) => key <= end,
            Excluded(end) => key < end,
            Unbounded => true,
        }
}

#[test]
fn seeking_iterators_agree_with_a_model() {
    for seed in seeds(12, 400) {
        let _replay = Replay { test: "seeking_iterators_agree_with_a_model", seed };
        let mut random = Random::new(seed);
        let count = [3, 300, 20_000][random.below(3)];
        // Every second number, so that seeks meet keys and gaps.
        let numbers: Vec<u64> = (0..count).map(|number| number * 2 + 1).collect();
        let any_number = |random: &mut Random| random.below(2 * count as usize + 3) as u64;
        let mut names: Vec<String> = numbers.iter().map(|number| name_of(*number)).collect();
        names.sort();
        let any_name = |random: &mut Random| name_of(any_number(random));

        let db = Db::in_memory().unwrap();
        db.update(|tx| {
            tx.table(&NUMBERS)?.insert_many(numbers.iter().map(|number| (number, 0)))?;
            tx.table(&NAMES)?.insert_many(names.iter().map(|name| (name, 0)))
        })
        .unwrap();
        let rx = Arc::new(db.read().unwrap());
        let (table, text_table) = (rx.table(&NUMBERS).unwrap(), rx.table(&NAMES).unwrap());
        let owned = rx.owned_table(&NUMBERS).unwrap();
        for _ in 0..20 {
            compare_with_model!(&mut random, numbers, any_number, |range| table.range(range));
            compare_with_model!(&mut random, numbers, any_number, |range| owned.range(range));
            compare_with_model!(&mut random, names, any_name, |range| {
                StringKeys(text_table.range(range.clone()))
            });
        }
        // And over the changed pages of a transaction.
        let tx = db.write().unwrap();
        let mut table = tx.table(&NUMBERS).unwrap();
        let cut = any_number(&mut random);
        table.remove_range(cut..cut + 100).unwrap();
        let rest: Vec<u64> = numbers.iter().copied().filter(|key| !(cut..cut + 100).contains(key)).collect();
        for _ in 0..20 {
            compare_with_model!(&mut random, rest, any_number, |range| table.range(range));
        }
    }
}

/// Short and long keys, with common beginnings.
fn name_of(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:02x}/{}{number}", mixed >> 60, "long/".repeat((mixed >> 8) as usize % 20))
}

/// An iterator whose keys are `String`s, as those of the model.
struct StringKeys<'a>(mapleaf::Range<'a, str, u64>);

impl StringKeys<'_> {
    fn seek(&mut self, key: &String) {
        self.0.seek(key);
    }

    fn seek_back(&mut self, key: &String) {
        self.0.seek_back(key);
    }

    fn next(&mut self) -> Option<mapleaf::Result<(String, u64)>> {
        self.0.next().map(|entry| entry.map(|(key, value)| (key.to_string(), value)))
    }

    fn next_back(&mut self) -> Option<mapleaf::Result<(String, u64)>> {
        self.0.next_back().map(|entry| entry.map(|(key, value)| (key.to_string(), value)))
    }
}

// ---- prefixes with ranges, first elements as ends ----

/// The keys that `range` contains, if it is over pairs or their first elements.
fn pairs_in(entries: mapleaf::Range<'_, (u8, u8), u64>) -> Vec<(u8, u8)> {
    entries.map(|entry| entry.unwrap().0).collect()
}

fn all_pairs() -> Vec<(u8, u8)> {
    let some = [0, 1, 7, 254, 255];
    some.into_iter().flat_map(|first| some.map(|second| (first, second))).collect()
}

fn table_of_pairs() -> Db {
    let db = Db::in_memory().unwrap();
    db.update(|tx| tx.table(&PAIRS)?.insert_many(all_pairs().into_iter().map(|pair| (pair, 0)))).unwrap();
    db
}

#[test]
fn first_elements_are_ends_of_ranges() {
    let db = table_of_pairs();
    let rx = db.read().unwrap();
    let pairs = rx.table(&PAIRS).unwrap();
    let bounds = |end: u8| [Included((end,)), Excluded((end,)), Unbounded];
    let ends = [0, 1, 6, 7, 254, 255];
    for (start, end) in ends.into_iter().flat_map(|start| ends.map(|end| (start, end))) {
        for (start, end) in bounds(start).into_iter().flat_map(|start| bounds(end).map(|end| (start, end))) {
            let expected: Vec<(u8, u8)> =
                all_pairs().into_iter().filter(|pair| contains(&(start, end), &(pair.0,))).collect();
            let range = (start, end);
            assert_eq!(pairs_in(pairs.range(range)), expected, "{range:?}");
            assert_eq!(pairs.first_in(range).unwrap().map(|entry| entry.0), expected.first().copied());
            assert_eq!(pairs.last_in(range).unwrap().map(|entry| entry.0), expected.last().copied());
            let tx = db.write().unwrap();
            let removed = tx.table(&PAIRS).unwrap().remove_range(range).unwrap();
            tx.abort();
            assert_eq!(removed, expected.len() as u64, "{range:?}");
        }
    }
    // In the other notations, and mixed with whole keys.
    assert_eq!(pairs.range((1,)..(254,)).count(), 10);
    assert_eq!(pairs.range((1,)..=(254,)).count(), 15);
    assert_eq!(pairs.range(..(1,)).count(), 5);
    let mixed = pairs.prefix_range((7,), (7, 7)..);
    assert_eq!(pairs_in(mixed), [(7, 7), (7, 254), (7, 255)]);
    let mut entries = pairs.iter();
    entries.seek((7,));
    entries.seek_back((7,));
    assert_eq!(pairs_in(entries), [(7, 0), (7, 1), (7, 7), (7, 254), (7, 255)]);
}

/// Texts with common beginnings, and with the bytes at which an encoding could go wrong.
fn texts() -> BTreeMap<Vec<u8>, u64> {
    let mut texts = BTreeMap::new();
    for head in [&b""[..], b"a", b"ab", b"ab\0", b"ab\xff", b"\xff", b"\xff\xff"] {
        for tail in [&b""[..], b"\0", b"\x01", b"b", b"\xff", b"\xff\xff"] {
            texts.insert([head, tail].concat(), texts.len() as u64);
        }
    }
    texts
}

#[test]
fn prefix_and_range_together_are_what_is_in_both() {
    const TEXTS: Table<[u8], u64> = Table::new("texts");
    const TUPLES: Table<(Vec<u8>, u8), u64> = Table::new("tuples");
    let texts = texts();
    let db = Db::in_memory().unwrap();
    db.update(|tx| {
        tx.table(&TEXTS)?.insert_many(&texts)?;
        let mut tuples = tx.table(&TUPLES)?;
        texts.keys().try_for_each(|text| {
            [0, 255].into_iter().try_for_each(|last| tuples.insert((text, last), 0).map(drop))
        })
    })
    .unwrap();
    let rx = db.read().unwrap();
    let tx = db.write().unwrap();
    let (read, written) = (rx.table(&TEXTS).unwrap(), tx.table(&TEXTS).unwrap());
    let owned = Arc::new(db.read().unwrap()).owned_table(&TEXTS).unwrap();
    let tuples = rx.table(&TUPLES).unwrap();
    let some: Vec<&Vec<u8>> = texts.keys().step_by(3).collect();
    for prefix in texts.keys() {
        for start in &some {
            for range in
                [(Included(*start), Unbounded), (Excluded(*start), Unbounded), (Unbounded, Excluded(*start))]
            {
                let is_in = |text: &&Vec<u8>| text.starts_with(prefix) && contains(&range, text);
                let expected: Vec<&Vec<u8>> = texts.keys().filter(is_in).collect();
                let bytes = |entry: mapleaf::Result<(mapleaf::KeyBytes, u64)>| entry.unwrap().0.to_vec();
                let found: [Vec<Vec<u8>>; 3] = [
                    read.prefix_range(prefix, range).map(bytes).collect(),
                    written.prefix_range(prefix, range).map(bytes).collect(),
                    owned.prefix_range(prefix, range).map(bytes).collect(),
                ];
                for found in found {
                    assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{prefix:?} in {range:?}");
                }
            }
        }
        // Elements are whole, and a page goes on after any key.
        let page = |after: u8| tuples.prefix_range((prefix,), (Excluded((prefix, after)), Unbounded));
        assert_eq!((page(0).count(), page(255).count()), (1, 0), "{prefix:?}");
    }
}

#[test]
fn removing_a_prefix_removes_what_begins_with_it() {
    const TEXTS: Table<[u8], u64> = Table::new("texts");
    let db = Db::in_memory().unwrap();
    for prefix in texts().keys() {
        let mut texts = texts();
        db.update(|tx| {
            let mut table = tx.table(&TEXTS)?;
            table.clear()?;
            table.insert_many(&texts)?;
            let before = texts.len();
            texts.retain(|text, _| !text.starts_with(prefix));
            assert_eq!(table.remove_prefix(prefix)?, (before - texts.len()) as u64, "{prefix:?}");
            assert_eq!(table.remove_prefix(prefix)?, 0);
            assert_eq!(
                keys(&table.iter().collect::<mapleaf::Result<Vec<_>>>()?),
                texts.keys().cloned().collect::<Vec<_>>()
            );
            Ok(())
        })
        .unwrap();
    }
    let pairs = table_of_pairs();
    pairs
        .update(|tx| {
            let mut table = tx.table(&PAIRS)?;
            assert_eq!((table.remove_prefix((255,))?, table.len()), (5, 20));
            assert_eq!((table.remove_prefix((0,))?, table.len()), (5, 15));
            Ok(())
        })
        .unwrap();
    assert_clean(&db);
    assert_clean(&pairs);
}

fn keys<V: Debug>(entries: &[(mapleaf::KeyBytes, V)]) -> Vec<Vec<u8>> {
    entries.iter().map(|(key, _)| key.to_vec()).collect()
}

/// That the greatest or smallest entry of a range is found at every place of a tree of several levels.
#[test]
fn the_first_and_the_last_entry_of_a_range() {
    let db = Db::in_memory().unwrap();
    const COUNT: u64 = 5000;
    db.update(|tx| tx.table(&NUMBERS)?.insert_many((0..COUNT).map(|number| (number * 10, number)))).unwrap();
    let rx = db.read().unwrap();
    let tx = db.write().unwrap();
    let (read, written) = (rx.table(&NUMBERS).unwrap(), tx.table(&NUMBERS).unwrap());
    for number in 0..COUNT {
        let (key, entry) = (number * 10, Some((number * 10, number)));
        assert_eq!(read.last_in(..=key).unwrap(), entry);
        assert_eq!(read.last_in(..=key + 9).unwrap(), entry);
        assert_eq!(read.first_in(key..).unwrap(), entry);
        let before = number.checked_sub(1).map(|before| (before * 10, before));
        assert_eq!(read.last_in(..key).unwrap(), before);
        assert_eq!(written.last_in(..key).unwrap(), before);
        assert_eq!(written.first_in(key..).unwrap(), entry);
        let after = (number + 1 < COUNT).then_some((key + 10, number + 1));
        assert_eq!(read.first_in(key + 1..).unwrap(), after);
        assert_eq!(read.first_in((Excluded(key), Unbounded)).unwrap(), after);
    }
}
