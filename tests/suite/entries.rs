//! Entries, extraction and values changed in place: against a model (called by `model.rs` in its transactions), and
//! what is promised of them in words.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::common::{Random, assert_clean, scratch};
use crate::model::is_within;
use mapleaf::{Db, Entry, Error, Table, TableMut, admin};

const NUMBERS: Table<u64, u64> = Table::new("numbers");
const BYTES: Table<u64, [u8]> = Table::new("bytes");

type Model = BTreeMap<Vec<u8>, Arc<[u8]>>;
type KeyBounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// One change through an entry, an extraction or a slice, in the database and in the model.
pub(crate) fn change(
    table: &mut TableMut<'_, [u8], [u8]>,
    model: &mut Model,
    random: &mut Random,
    (key, value, range): (Vec<u8>, Vec<u8>, KeyBounds),
) {
    match random.below(9) {
        0 => {
            let found = table.entry(&key).unwrap().or_insert(&value).unwrap();
            let expected = model.entry(key.clone()).or_insert_with(|| value.into());
            assert_eq!((found.get().unwrap(), &found.key().unwrap()[..]), (&expected[..], &key[..]));
        }
        1 => match (table.entry(&key).unwrap(), model.entry(key)) {
            (Entry::Occupied(found), btree_map::Entry::Occupied(expected)) => {
                assert_eq!(found.take().unwrap(), expected.remove()[..]);
            }
            (Entry::Vacant(found), btree_map::Entry::Vacant(expected)) => {
                assert_eq!(found.insert(&value).unwrap().into_ref().unwrap(), value);
                expected.insert(value.into());
            }
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        },
        2 => {
            let longer = |old: &[u8]| [old, b"and more"].concat();
            table.entry(&key).unwrap().and_modify(longer).unwrap().or_insert(&value).unwrap();
            model.entry(key).and_modify(|old| *old = longer(old).into()).or_insert_with(|| value.into());
        }
        3 => {
            let change = |old: Option<&[u8]>| match old {
                Some(old) if old.len().is_multiple_of(3) => None,
                Some(old) => Some(old.iter().rev().copied().collect()),
                None if value.len().is_multiple_of(5) => None,
                None => Some(value.clone()),
            };
            table.update(&key, change).unwrap();
            match change(model.get(&key).map(|old| &old[..])) {
                Some(new) => drop(model.insert(key, new.into())),
                None => drop(model.remove(&key)),
            }
        }
        4 | 5 => {
            // A key that is there, mostly.
            let key = model.range(key.clone()..).next().map_or(key, |(key, _)| key.clone());
            let found = table.get_mut(&key).unwrap();
            assert_eq!(found.as_deref(), model.get(&key).map(|value| &value[..]));
            if let (Some(found), Some(old)) = (found, model.get_mut(&key)) {
                let mut new = old.to_vec();
                new.iter_mut().step_by(1 + random.below(9)).for_each(|byte| *byte ^= 0x55);
                found.copy_from_slice(&new);
                *old = new.into();
            }
        }
        6 => {
            let is_greatest = model.last_key_value().is_none_or(|(last, _)| *last < key);
            match table.append(&key, &value) {
                Ok(()) if is_greatest => drop(model.insert(key, value.into())),
                Err(Error::KeyOutOfOrder { .. }) if !is_greatest => {}
                other => panic!("{other:?}"),
            }
        }
        7 => {
            let salt = random.next();
            let is_chosen =
                |key: &[u8]| !(key.iter().map(|&byte| u64::from(byte)).sum::<u64>() ^ salt).is_multiple_of(3);
            let most = random.below(2 * model.len() + 2);
            let found = table.extract_if(range.clone(), |key, _| is_chosen(key)).take(most);
            let found: Vec<_> = found.map(|entry| entry.unwrap()).collect();
            let chosen = model.iter().filter(|(key, _)| is_within(key, &range) && is_chosen(key));
            let expected: Vec<_> =
                chosen.take(most).map(|(key, value)| (key.clone(), value.to_vec())).collect();
            assert!(
                found.iter().map(|(key, value)| (key.to_vec(), value.clone())).eq(expected.iter().cloned())
            );
            expected.iter().for_each(|(key, _)| drop(model.remove(key)));
        }
        _ => {
            let most = random.below(2 * model.len() + 2);
            let found: Vec<_> = table.drain(range.clone()).take(most).map(|entry| entry.unwrap().0).collect();
            let all: Vec<_> = model.keys().filter(|key| is_within(key, &range)).cloned().collect();
            assert!(found.iter().map(|key| key.to_vec()).eq(all.iter().take(most).cloned()));
            all.iter().for_each(|key| drop(model.remove(key)));
        }
    }
}

fn filled(count: u64) -> Db {
    let db = Db::in_memory().unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert_many((0..count).map(|key| (key, key)))).unwrap();
    db
}

#[test]
fn an_extraction_that_is_dropped_half_way_has_removed_what_it_has_yielded() {
    for taken in [0, 1, 150, 151, 3000] {
        let db = filled(5000);
        let tx = db.write().unwrap();
        let mut numbers = tx.table(&NUMBERS).unwrap();
        let found = numbers.extract_if(1000..4000, |key, _| key % 2 == 0).take(taken).count();
        assert_eq!(numbers.len(), 5000 - found as u64);
        assert_eq!(numbers.get(1000).unwrap(), (found == 0).then_some(1000));
        let left = numbers.count(1000..4000).unwrap();
        assert_eq!(left, 3000 - found as u64);
        drop(numbers);
        tx.commit().unwrap();
        assert_clean(&db);
    }
}

#[test]
fn a_drain_that_is_dropped_removes_the_rest_of_its_range() {
    for taken in [0, 1, 700, 3000, 5000] {
        let db = filled(5000);
        let tx = db.write().unwrap();
        let mut numbers = tx.table(&NUMBERS).unwrap();
        let found: Vec<u64> = numbers.drain(1000..4000).take(taken).map(|entry| entry.unwrap().0).collect();
        assert!(found.iter().copied().eq((1000..4000).take(taken)));
        assert_eq!((numbers.len(), numbers.count(1000..4000).unwrap()), (2000, 0));
        drop(numbers);
        tx.commit().unwrap();
        assert_clean(&db);
    }
}

#[test]
fn a_predicate_that_panics_leaves_what_was_not_yielded() {
    let db = filled(5000);
    let tx = db.write().unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        numbers.extract_if(.., |key, _| if *key < 900 { true } else { panic!("at {key}") }).for_each(drop);
    }));
    assert!(panicked.is_err());
    assert_eq!((numbers.len(), numbers.first().unwrap()), (4100, Some((900, 900))));
    drop(numbers);
    tx.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn ranges_without_entries_extract_nothing() {
    let db = filled(100);
    let tx = db.write().unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    let reversed = (Bound::Included(50), Bound::Excluded(10));
    assert_eq!(numbers.drain(reversed).count(), 0);
    assert_eq!(numbers.extract_if(200.., |_, _| true).count(), 0);
    assert_eq!(numbers.count(reversed).unwrap() + numbers.estimate(reversed).unwrap(), 0);
    assert_eq!(numbers.split_range(reversed, 5).unwrap().len(), 1);
    assert_eq!(numbers.split(0).unwrap().len(), 1);
    assert_eq!(numbers.split(usize::MAX).unwrap().len(), 100);
    assert_eq!(numbers.len(), 100);
    numbers.clear().unwrap();
    assert_eq!(numbers.drain(..).count(), 0);
    assert_eq!((numbers.nth(0).unwrap(), numbers.sample(9, 1).unwrap().len()), (None, 0));
    assert_eq!(numbers.split(7).unwrap().len(), 1);
}

/// An entry that is not of the table's types: it stays, and is the error of each step.
#[test]
fn an_entry_that_cannot_be_decoded_stays_where_it_is() {
    let db = filled(1000);
    let tx = db.write().unwrap();
    admin::raw_table_mut(&tx, "numbers").unwrap().insert([0, 0, 0, 0, 0, 0, 1, 244], b"short").unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    let mut all = numbers.extract_if(.., |_, _| true);
    assert_eq!(all.by_ref().take(500).filter(Result::is_ok).count(), 500);
    for _ in 0..3 {
        assert!(matches!(all.next(), Some(Err(Error::Decode { .. }))));
    }
    drop(all);
    assert_eq!(numbers.len(), 500);
    assert!(matches!(numbers.update(500, |old| old), Err(Error::Decode { .. })));
    assert!(matches!(numbers.entry(500).unwrap().and_modify(|old| old), Err(Error::Decode { .. })));
    let kept: Result<(), Error> =
        numbers.try_update(501, |_| Err::<Option<u64>, _>(Error::TransactionFailed));
    assert!(kept.is_err() && numbers.get(501).unwrap() == Some(501), "nothing has changed");
    let mut drain = numbers.drain(..=600);
    assert!(matches!(drain.next(), Some(Err(Error::Decode { .. }))));
    drop(drain);
    assert_eq!(numbers.first().unwrap(), Some((601, 601)), "the rest is removed unread");
    drop(numbers);
    tx.commit().unwrap();
    assert_clean(&db);
}

/// A large value that is changed in place is in the transaction's own pages only.
#[test]
fn a_value_that_is_changed_in_place_stays_as_it_was_in_older_snapshots() {
    for length in [1, 40, 5_000, 300_000] {
        let (_folder, path) = scratch();
        let db = Db::open(&path).unwrap();
        db.update(|tx| tx.table(&BYTES)?.insert_many((0..50).map(|key| (key, vec![1; length])))).unwrap();
        let before = db.read().unwrap();
        let tx = db.write().unwrap();
        let mut bytes = tx.table(&BYTES).unwrap();
        assert!(bytes.get_mut(99).unwrap().is_none());
        bytes.get_mut(7).unwrap().unwrap().fill(2);
        bytes.get_mut(7).unwrap().unwrap()[0] = 3;
        bytes.get_mut(8).unwrap().unwrap()[0] = 4;
        drop(bytes);
        tx.commit().unwrap();
        let after = db.read().unwrap();
        let mut expected = vec![2; length];
        expected[0] = 3;
        assert!(after.table(&BYTES).unwrap().get(7).unwrap() == Some(&expected[..]));
        assert_eq!(after.table(&BYTES).unwrap().get(8).unwrap().unwrap()[0], 4);
        assert!(before.table(&BYTES).unwrap().get(7).unwrap() == Some(&vec![1; length][..]));
        drop((before, after));
        assert_clean(&db);
    }
}

#[test]
fn a_key_that_is_too_long_is_refused_by_an_entry_and_the_transaction_goes_on() {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    let mut table = tx.table(&Table::<[u8], u64>::new("t")).unwrap();
    let long = vec![7; 3000];
    let refused = |error: Error| assert!(matches!(error, Error::KeyTooLong { .. }), "{error}");
    refused(table.entry(&long).unwrap().or_insert(1).unwrap_err());
    refused(table.update(&long, |_| Some(1)).unwrap_err());
    refused(table.append(&long, 1).unwrap_err());
    table.entry(b"short").unwrap().or_default().unwrap();
    assert_eq!(table.len(), 1);
}
