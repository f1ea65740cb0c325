//! Cursors against a model (called by `model.rs` in its transactions), and what is promised of them in words.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use crate::common::{Random, assert_clean};
use mapleaf::{CursorMut, Db, Error, KeyBytes, Result, Table, TableMut, admin};

const NUMBERS: Table<u64, u64> = Table::new("numbers");

type Model = BTreeMap<Vec<u8>, Arc<[u8]>>;
type Entry = (Vec<u8>, Vec<u8>);

/// Where a cursor stands in a model.
#[derive(Clone, Debug)]
enum Place {
    Start,
    Entry(Vec<u8>),
    Gap(Vec<u8>),
    End,
}

impl Place {
    fn after(&self, model: &Model) -> Option<Vec<u8>> {
        match self {
            Place::Start => model.keys().next().cloned(),
            Place::Entry(key) | Place::Gap(key) => {
                model.range::<[u8], _>((Excluded(&key[..]), Unbounded)).next().map(|(key, _)| key.clone())
            }
            Place::End => None,
        }
    }

    fn before(&self, model: &Model) -> Option<Vec<u8>> {
        match self {
            Place::Start => None,
            Place::Entry(key) | Place::Gap(key) => model
                .range::<[u8], _>((Unbounded, Excluded(&key[..])))
                .next_back()
                .map(|(key, _)| key.clone()),
            Place::End => model.keys().next_back().cloned(),
        }
    }
}

fn owned(entry: Result<Option<(KeyBytes, &[u8])>>) -> Option<Entry> {
    entry.unwrap().map(|(key, value)| (key.to_vec(), value.to_vec()))
}

/// A movement, in the database and in the model.
macro_rules! go {
    ($cursor:expr, $place:expr, $model:expr, $random:expr, $key:expr) => {{
        let (cursor, place, model, key) = (&mut $cursor, &mut *$place, &*$model, $key);
        let first_from = |from: (_, _)| model.range::<[u8], _>(from).next().map(|(key, _)| key.clone());
        let last_to = |to: (_, _)| model.range::<[u8], _>(to).next_back().map(|(key, _)| key.clone());
        let (found, expected, beyond) = match $random.below(10) {
            0 => (owned(cursor.first()), model.keys().next().cloned(), Place::End),
            1 => (owned(cursor.last()), model.keys().next_back().cloned(), Place::Start),
            2 => (owned(cursor.seek(&key)), first_from((Included(&key[..]), Unbounded)), Place::End),
            3 => (owned(cursor.seek_after(&key)), first_from((Excluded(&key[..]), Unbounded)), Place::End),
            4 => (owned(cursor.seek_before(&key)), last_to((Unbounded, Excluded(&key[..]))), Place::Start),
            5 => {
                let expected = model.contains_key(&key).then(|| key.clone());
                (owned(cursor.seek_exact(&key)), expected, Place::Gap(key.clone()))
            }
            6 | 7 => (owned(cursor.next()), place.after(model), Place::End),
            _ => (owned(cursor.previous()), place.before(model), Place::Start),
        };
        assert_eq!(found.as_ref().map(|(key, _)| key), expected.as_ref());
        *place = expected.map_or(beyond, Place::Entry);
        let expected = match &*place {
            Place::Entry(key) => Some((key.clone(), model[key].to_vec())),
            _ => None,
        };
        assert_eq!(owned(cursor.current()), expected);
        assert!(found.is_none() || found == expected, "the value too");
    }};
}

/// Moves a cursor, and changes the table through it, in the database and in the model.
pub(crate) fn change(
    table: &mut TableMut<'_, [u8], [u8]>,
    model: &mut Model,
    random: &mut Random,
    mut some_entry: impl FnMut(&mut Random) -> Entry,
) {
    let place = &mut Place::Start;
    let mut reading = table.cursor();
    for _ in 0..random.below(20) {
        let (key, _) = some_entry(random);
        go!(reading, place, model, random, key);
    }
    *place = Place::Start;
    let mut cursor = table.cursor_mut();
    for _ in 0..random.below(60) {
        let (key, value) = some_entry(random);
        if random.one_in(2) {
            go!(cursor, place, model, random, key);
        } else {
            change_at(&mut cursor, place, model, random, (key, value));
        }
    }
}

fn change_at(
    cursor: &mut CursorMut<'_, [u8], [u8]>,
    place: &mut Place,
    model: &mut Model,
    random: &mut Random,
    (key, value): Entry,
) {
    let current = match &*place {
        Place::Entry(key) => Some(key.clone()),
        _ => None,
    };
    match random.below(6) {
        0 => {
            assert_eq!(cursor.replace(&value).unwrap(), current.is_some());
            current.map(|key| model.insert(key, value.into()));
        }
        1 => {
            assert_eq!(cursor.remove().unwrap(), current.is_some());
            if let Some(key) = current {
                model.remove(&key);
                *place = Place::Gap(key);
            }
        }
        2 => {
            let taken = cursor.take().unwrap().map(|(key, value)| (key.to_vec(), value));
            let expected = current.map(|key| (key.clone(), model.remove(&key).unwrap().to_vec()));
            assert_eq!(taken, expected);
            if let Some((key, _)) = taken {
                *place = Place::Gap(key);
            }
        }
        3 => {
            assert_eq!(cursor.insert(&key, &value).unwrap(), !model.contains_key(&key));
            model.insert(key.clone(), value.into());
            *place = Place::Entry(key);
        }
        _ => {
            // Close by, mostly: a key that begins as the one here.
            let key = match &current {
                Some(current) if current.len() < 100 && random.one_in(2) => [&current[..], b"!"].concat(),
                _ => key,
            };
            let is_here = place.before(model).is_none_or(|before| before < key)
                && place.after(model).is_none_or(|after| key < after)
                && current.is_none_or(|current| current != key);
            match cursor.insert_here(&key, &value) {
                Ok(()) if is_here => {
                    model.insert(key.clone(), value.into());
                    *place = Place::Entry(key);
                }
                Err(Error::KeyOutOfOrder { .. }) if !is_here => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Entries of several leaves are replaced, removed and inserted in one walk.
#[test]
fn a_walk_that_changes_what_it_meets_meets_each_entry_once() {
    let db = Db::options().dirty_memory(0).in_memory().unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert_many((0..20_000).map(|key| (2 * key, key)))).unwrap();
    let tx = db.write().unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    let mut cursor = numbers.cursor_mut();
    let mut met = 0;
    while let Some((key, value)) = cursor.next().unwrap() {
        assert_eq!(key, 2 * value);
        met += 1;
        match value % 4 {
            0 => assert!(cursor.remove().unwrap()),
            1 => assert!(cursor.replace(value + 1_000_000).unwrap()),
            2 => cursor.insert_here(key + 1, 7).unwrap(),
            _ => {}
        }
    }
    assert_eq!(met, 20_000);
    assert_eq!(cursor.previous().unwrap(), Some((39_998, 19_999)));
    assert_eq!(numbers.len(), 20_000);
    assert_eq!(numbers.iter().filter(|entry| entry.as_ref().unwrap().1 == 7).count(), 5_001);
    assert_eq!(numbers.count(..1_000).unwrap(), 500);
    drop(numbers);
    tx.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn a_cursor_on_an_empty_table_finds_nothing_and_can_fill_it() {
    let db = Db::in_memory().unwrap();
    let rx = db.read().unwrap();
    let mut cursor = rx.table_or_empty(&NUMBERS).unwrap().cursor();
    assert_eq!(
        (cursor.next().unwrap(), cursor.previous().unwrap(), cursor.current().unwrap()),
        (None, None, None)
    );
    assert_eq!((cursor.seek(7).unwrap(), cursor.seek_exact(7).unwrap()), (None, None));
    let tx = db.write().unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    let mut cursor = numbers.cursor_mut();
    assert!(!cursor.replace(1).unwrap() && !cursor.remove().unwrap() && cursor.take().unwrap().is_none());
    cursor.last().unwrap();
    cursor.insert_here(5, 50).unwrap();
    assert_eq!(cursor.current().unwrap(), Some((5, 50)));
    assert!(cursor.remove().unwrap());
    assert_eq!((cursor.next().unwrap(), cursor.previous().unwrap()), (None, None));
}

/// A cursor that a step has not moved, because the entry there is not of the table's types.
#[test]
fn an_error_does_not_move_a_cursor() {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    tx.table(&NUMBERS).unwrap().insert_many([(1, 10), (2, 20), (3, 30)]).unwrap();
    admin::raw_table_mut(&tx, "numbers").unwrap().insert([0, 0, 0, 0, 0, 0, 0, 2], b"short").unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    let mut cursor = numbers.cursor_mut();
    assert_eq!(cursor.next().unwrap(), Some((1, 10)));
    for _ in 0..3 {
        assert!(matches!(cursor.next(), Err(Error::Decode { .. })));
        assert_eq!(cursor.current().unwrap(), Some((1, 10)));
    }
    assert_eq!(cursor.seek_after(2).unwrap(), Some((3, 30)));
    assert!(matches!(cursor.seek_exact(2), Err(Error::Decode { .. })));
    assert!(cursor.replace(31).unwrap());
    assert_eq!(numbers.get(3).unwrap(), Some(31));
}

#[test]
fn first_elements_of_tuples_lead_a_cursor() {
    const VISITS: Table<(String, u32), u64> = Table::new("visits");
    let db = Db::in_memory().unwrap();
    let keys = [("a", 1), ("b", 1), ("b", 2), ("c", 1)];
    db.update(|tx| tx.table(&VISITS)?.insert_many(keys.map(|key| (key, 1)))).unwrap();
    let rx = db.read().unwrap();
    let mut cursor = rx.table(&VISITS).unwrap().cursor();
    let key_of = |entry: Result<Option<((String, u32), u64)>>| entry.unwrap().map(|(key, _)| key);
    assert_eq!(key_of(cursor.seek(("b",))), Some(("b".into(), 1)));
    assert_eq!(key_of(cursor.seek_after(("b",))), Some(("c".into(), 1)));
    assert_eq!(key_of(cursor.seek_before(("b",))), Some(("a".into(), 1)));
}
