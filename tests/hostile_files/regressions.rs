//! What executions have found, each in a test of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mapleaf::{CheckReport, Db, Durability, Error, Table};

use crate::common::Random;
use crate::corpus::options;
use crate::exercise::room_for_entries;
use crate::layout::{BRANCH, Image, LEAF, number_at, put_number, varint, varints};
use crate::mutations::build_ladder;
use crate::overwrite;

const A: Table<[u8], [u8]> = Table::new("a");
const B: Table<[u8], [u8]> = Table::new("b");
const PAGE_SIZE: usize = 4096;

/// A database that `fill` fills and `damage` damages, opened.
fn damaged(
    fill: impl FnOnce(&Db) -> mapleaf::Result<()>,
    damage: impl FnOnce(&mut Image),
) -> (tempfile::TempDir, Db) {
    let (folder, path) = damaged_file(fill, damage);
    let db = options().open(&path).unwrap();
    (folder, db)
}

/// The same, not opened.
fn damaged_file(
    fill: impl FnOnce(&Db) -> mapleaf::Result<()>,
    damage: impl FnOnce(&mut Image),
) -> (tempfile::TempDir, PathBuf) {
    let folder = crate::scratch();
    let path = folder.path().join("data.mapleaf");
    let db = options().page_size(PAGE_SIZE).open(&path).unwrap();
    fill(&db).unwrap();
    db.close().unwrap();
    let mut image = Image { bytes: std::fs::read(&path).unwrap(), page_size: PAGE_SIZE };
    damage(&mut image);
    image.meta_slots().into_iter().for_each(|slot| image.seal_meta(slot));
    overwrite(&path, &image.bytes);
    std::fs::remove_file(crate::lock_path(&path)).unwrap();
    (folder, path)
}

fn fill(db: &Db) -> mapleaf::Result<()> {
    db.update(|tx| {
        let (mut a, mut b) = (tx.table(&A)?, tx.table(&B)?);
        for number in 0..400 {
            a.insert(format!("key {number:03}").as_bytes(), b"value")?;
            b.insert(format!("key {number:03}").as_bytes(), vec![b'v'; number % 90])?;
        }
        Ok(())
    })
}

/// The page and the place in it of a table's entry in the catalog, which is one leaf.
fn catalog_entry(image: &Image, index: usize) -> (usize, usize) {
    let leaf = image.catalog_leaves()[0];
    (leaf, image.entry(leaf, index).unwrap().value_at)
}

fn number_in(image: &Image, (page, at): (usize, usize), offset: usize, length: usize) -> u64 {
    number_at(image.page(page), at + offset, length)
}

fn set(image: &mut Image, (page, at): (usize, usize), offset: usize, length: usize, number: u64) {
    put_number(image.page_mut(page), at + offset, length, number);
    image.seal(page);
}

#[track_caller]
fn corrupt<T>(result: mapleaf::Result<T>, what: &str) {
    match result.map(drop) {
        Err(Error::Corrupt(found)) if found.what == what => {}
        other => panic!("{other:?} is not damage of {what}"),
    }
}

#[track_caller]
fn finds(report: &CheckReport, what: &str) {
    assert!(report.problems().iter().any(|problem| problem.what == what), "{report}");
}

/// Makes the newest meta's snapshot as long as the file, with free pages at its end.
fn make_longer(image: &mut Image) {
    let (slot, length) = (image.newest_slot().unwrap(), image.page_count() as u64);
    put_number(image.page_mut(slot), 48, 4, length);
    let (runs, mut tail) = image.list_and_tail(slot).unwrap();
    // The newest entry of the free log says how long the file is after it.
    let numbers = varints(&tail);
    let (mut at, mut newest) = (0, 0);
    while at < numbers.len() {
        let is_base = numbers[at].0 == 1;
        newest = if is_base { at + 1 } else { at + 2 };
        let (first_list, retired_len) = (at + 3, if is_base { 4 } else { 3 });
        let second_list = first_list + 1 + 2 * numbers[first_list].0 as usize;
        at = second_list + 1 + retired_len * numbers[second_list].0 as usize;
    }
    drop(tail.splice(numbers[newest].1.clone(), varint(length)));
    image.rewrite_meta(slot, &runs, &tail);
}

/// Trees would be stored over the log, and then the newest meta be none: so recovery would find the log again, for
/// ever.
#[test]
fn a_ring_over_pages_that_are_free_is_damage() {
    let (_folder, path) = damaged_file(fill, |image| {
        image.bytes.resize(image.bytes.len() + 30 * PAGE_SIZE, 0);
        make_longer(image);
        let (slot, length) = (image.newest_slot().unwrap(), image.page_count() as u64);
        put_number(image.page_mut(slot), 104, 4, length - 20);
    });
    for _ in 0..2 {
        corrupt(options().open(&path), "ring of the redo log");
        let db = options().read_only(true).open(&path).unwrap();
        assert_eq!(db.read().unwrap().table(&A).unwrap().len(), 400);
        finds(&db.check().unwrap(), "use of pages");
    }
}

/// Thirty branches, one above the other, each of which has the one below as all of its children.
fn ladder_at(image: &mut Image, entry: Option<usize>) {
    let leaf = if entry.is_some() { image.pages_of_kind(LEAF)[0] } else { image.catalog_leaves()[0] };
    // Room for it: the file is made longer.
    image.bytes.resize(image.bytes.len() + 30 * PAGE_SIZE, 0);
    let length = image.page_count();
    let pages: Vec<usize> = (length - 30..length).collect();
    let top = build_ladder(image, leaf, &pages, 10);
    make_longer(image);
    let slot = image.newest_slot().unwrap();
    match entry {
        Some(index) => {
            let place = catalog_entry(image, index);
            set(image, place, 0, 4, top as u64);
            set(image, place, 4, 1, 31);
        }
        None => {
            put_number(image.page_mut(slot), 52, 4, top as u64);
            put_number(image.page_mut(slot), 64, 1, 31);
        }
    }
}

#[test]
fn more_ways_through_a_tree_than_can_be_followed_are_not_followed() {
    let start = Instant::now();
    let (_folder, db) = damaged(fill, |image| ladder_at(image, Some(0)));
    let rx = db.read().unwrap();
    let table = rx.table(&A).unwrap();
    for ways in [
        table.iter().collect::<Result<Vec<_>, _>>().map(drop),
        table.iter().rev().collect::<Result<Vec<_>, _>>().map(drop),
        table.range(&b"\x01"[..]..).collect::<Result<Vec<_>, _>>().map(drop),
        table.prefetch(..).map(drop),
    ] {
        corrupt(ways, "leaves of a tree");
    }
    let tx = db.write().unwrap();
    {
        let mut table = tx.table(&A).unwrap();
        corrupt(table.iter().collect::<Result<Vec<_>, _>>(), "leaves of a tree");
        corrupt(table.retain(|_, _| true), "leaves of a tree");
    }
    tx.abort(); // a change that was left half-way
    let tx = db.write().unwrap();
    corrupt(tx.table(&A).unwrap().clear(), "references to a page");
    tx.abort();
    finds(&db.check().unwrap(), "references to a page");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn more_ways_through_the_catalog_than_can_be_followed_are_not_followed() {
    let start = Instant::now();
    let (_folder, db) = damaged(fill, |image| ladder_at(image, None));
    corrupt(db.read().unwrap().tables(), "leaves of a tree");
    corrupt(db.write().unwrap().tables(), "leaves of a tree");
    finds(&db.check().unwrap(), "references to a page");
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// The leaf is as full of entries as a leaf can be, and both ends of the iterator begin in it.
#[test]
fn an_iterator_from_both_ends_returns_no_more_than_there_is_room_for() {
    let fill = |db: &Db| {
        db.update(|tx| {
            let mut a = tx.table(&A)?;
            (0..1015u32).try_for_each(|number| a.insert(number.to_le_bytes(), b"").map(drop))
        })
    };
    let (_folder, db) = damaged(fill, |image| ladder_at(image, Some(0)));
    let rx = db.read().unwrap();
    let mut entries = rx.table(&A).unwrap().iter();
    let mut count = 0;
    let error = loop {
        let entry = if count % 2 == 0 { entries.next() } else { entries.next_back() };
        match entry.expect("the way has no end of its own") {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    corrupt::<()>(Err(error), "leaves of a tree");
    let stats = db.stats().unwrap();
    let leaves = u64::from(stats.pages) + 2;
    assert_eq!(count, leaves * 1015, "each of that many leaves as a whole");
    assert!(count <= room_for_entries(&stats), "{count} entries");
}

/// Many leaves below one branch.
fn fill_short(db: &Db) -> mapleaf::Result<()> {
    db.update(|tx| {
        let mut a = tx.table(&A)?;
        (0..6000u32).try_for_each(|number| a.insert([(number >> 8) as u8, number as u8], b"").map(drop))
    })
}

fn root_of_a(image: &Image) -> usize {
    number_in(image, catalog_entry(image, 0), 0, 4) as usize
}

/// Each child of the root of table "a" becomes the one that is `turn` further on.
fn turn_children(image: &mut Image, turn: usize) {
    let root = root_of_a(image);
    assert_eq!(image.kind(root), BRANCH);
    let count = image.key_count(root) + 1;
    let places: Vec<usize> = (0..count).map(|index| image.child_at(root, index)).collect();
    let children: Vec<u64> = places.iter().map(|&at| number_at(image.page(root), at, 4)).collect();
    for (index, at) in places.into_iter().enumerate() {
        put_number(image.page_mut(root), at, 4, children[(index + turn) % count]);
    }
    image.seal(root);
}

/// Leaves change places below their branch: after the last key of a batch of 1024, which is in the leaf whose place the
/// first leaf has taken, a search begins again with the first.
#[test]
fn retain_ends_where_keys_are_not_where_a_search_looks() {
    let (_folder, db) = damaged(fill_short, |image| {
        let root = root_of_a(image);
        let first = number_at(image.page(root), image.child_at(root, 0), 4) as usize;
        turn_children(image, image.key_count(root) + 1 - 1023 / image.key_count(first));
    });
    let tx = db.write().unwrap();
    corrupt(tx.table(&A).unwrap().retain(|_, _| false), "order of the keys");
    assert!(matches!(tx.commit(), Err(Error::TransactionFailed)));
}

/// Where separators are in disorder, a search may go another way once a leaf is split, and not find what has just been
/// put in. Its place must not be another entry's.
#[test]
fn reserve_never_returns_another_entrys_place() {
    let mut refused = 0;
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let (_folder, db) = damaged(fill_short, |image| {
            let root = root_of_a(image);
            let count = image.key_count(root);
            for left in 0..count {
                let right = random.below(count);
                let (left, right) = (32 + 4 * left, 32 + 4 * right);
                let heads = [number_at(image.page(root), left, 4), number_at(image.page(root), right, 4)];
                put_number(image.page_mut(root), left, 4, heads[1]);
                put_number(image.page_mut(root), right, 4, heads[0]);
            }
            image.seal(root);
        });
        let mut tx = db.write().unwrap();
        for _ in 0..150 {
            let key = [random.below(24) as u8, random.below(256) as u8, 0];
            let reserved = match tx.table(&A).unwrap().insert_reserve(key, 1500) {
                Ok(place) => Ok((place.len(), place.iter().max() == Some(&0))),
                Err(error) => Err(error),
            };
            match reserved {
                Ok(place) => assert_eq!(place, (1500, true), "{key:?}"),
                Err(Error::Corrupt(damage)) => {
                    refused += usize::from(damage.found == "one that is not");
                    drop(tx);
                    tx = db.write().unwrap();
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn check_counts_more_entries_than_can_be() {
    let (_folder, db) = damaged(fill, |image| {
        for index in [0, 1] {
            let place = catalog_entry(image, index);
            set(image, place, 8, 8, u64::MAX);
        }
    });
    let report = db.check().unwrap();
    finds(&report, "entries in the tree");
    assert_eq!(report.counts().entries, u64::MAX);
}

#[test]
fn check_visits_pages_that_two_tables_share_once() {
    let (_folder, db) = damaged(fill, |image| {
        let (from, to) = (catalog_entry(image, 0), catalog_entry(image, 1));
        let root = number_in(image, from, 0, 4);
        set(image, to, 0, 4, root);
    });
    let report = db.check().unwrap();
    finds(&report, "references to a page");
    assert!(report.counts().leaves < report.counts().total, "{report}");
}

#[test]
fn check_finds_a_root_that_is_younger_than_the_head() {
    for is_catalog in [false, true] {
        let (_folder, db) = damaged(fill, |image| {
            let place = catalog_entry(image, 0);
            let root = if is_catalog { place.0 } else { number_in(image, place, 0, 4) as usize };
            put_number(image.page_mut(root), 8, 8, 1000);
            image.seal(root);
        });
        finds(&db.check().unwrap(), "birth");
    }
}

#[test]
fn a_table_name_that_is_none_is_damage() {
    for (first, is_text) in [(0xff, false), (b'c', true)] {
        let (_folder, db) = damaged(fill, |image| {
            let leaf = image.catalog_leaves()[0];
            // The name "b" is in its head alone, of which the last byte in the file is the first in the name.
            assert_eq!(image.page(leaf)[36..40], [0, 0, 0, b'b']);
            image.page_mut(leaf)[39] = first;
            image.page_mut(leaf)[31] = first; // the leaf is dense: its header has the last head too
            image.seal(leaf);
        });
        let tables = db.read().unwrap().tables();
        if is_text {
            assert_eq!(tables.unwrap()[1].name, "c");
            assert!(db.check().unwrap().is_clean());
        } else {
            corrupt(tables, "name of a table");
            corrupt(db.write().unwrap().tables(), "name of a table");
            finds(&db.check().unwrap(), "name of a table");
        }
    }
}

/// Damage where the new name would stand: the table that was to be renamed is still there to be used.
#[test]
fn a_rename_that_meets_damage_gives_its_table_back() {
    let many_tables = |db: &Db| {
        db.update(|tx| {
            for number in 0..200 {
                tx.table(&Table::<[u8], [u8]>::new(&format!("table {number:03}")))?
                    .insert(b"key", b"value")?;
            }
            Ok(())
        })
    };
    let (_folder, db) = damaged(many_tables, |image| {
        let leaves = image.catalog_leaves();
        assert!(leaves.len() > 1);
        let last = *leaves.last().unwrap();
        put_number(image.page_mut(last), 18, 2, 0xffff);
        image.seal(last);
    });
    let tx = db.write().unwrap();
    corrupt(tx.rename_table("table 000", "zzz"), "tables, heap and prefix");
    let first = Table::<[u8], [u8]>::new("table 000");
    assert_eq!(tx.table(&first).unwrap().get(b"key").unwrap(), Some(&b"value"[..]));
    tx.table(&first).unwrap().insert(b"more", b"value").unwrap();
    tx.commit().unwrap();
}

/// Words of the lock file, by their places in bytes: docs/SHARING.md, *The lock file*.
const NEWEST_AT: usize = 512;
const VISIBLE_AT: usize = 640;
const DURABLE_AT: usize = 768;
/// It is there twice as large, with its slot in the lowest bit.
const CHECKPOINTED_AT: usize = 832;
const PENDING_AT: usize = 1024;
const FIRST_ID_AT: usize = 1152;
/// Log start, checkpoint's target, target, synced, hazard, shrunk-in, appending, poison, bounds of the reader table,
/// tickets.
const OTHER_WORDS: [usize; 10] = [840, 848, 896, 904, 960, 1160, 1184, 1280, 1344, 1472];

fn insert(db: &Db, key: &[u8], durability: Durability) {
    let tx = db.write().unwrap();
    tx.table(&A).unwrap().insert(key, b"value").unwrap();
    tx.commit_with(durability).unwrap();
}

/// A database whose newest two transactions are lazy ones, with its lock file, as a kill leaves them, and the newest
/// id.
fn killed(path: &std::path::Path) -> (Vec<u8>, Vec<u8>, u64) {
    let db = options().open(path).unwrap();
    let first = db.stats().unwrap().newest.get() + 1;
    fill(&db).unwrap();
    insert(&db, b"durable", Durability::Durable);
    db.sync().unwrap();
    insert(&db, b"lazy", Durability::Lazy);
    insert(&db, b"later", Durability::Lazy);
    let left = (std::fs::read(path).unwrap(), std::fs::read(crate::lock_path(path)).unwrap());
    let stats = db.stats().unwrap();
    let number = |at| number_at(&left.1, at, 8);
    assert_eq!(
        (stats.newest.get(), stats.visible.get(), first),
        (number(NEWEST_AT), number(VISIBLE_AT), number(FIRST_ID_AT))
    );
    assert_eq!(
        (stats.durable.get(), stats.checkpointed.get()),
        (number(DURABLE_AT), number(CHECKPOINTED_AT) >> 1)
    );
    let newest = stats.newest.get();
    assert_eq!((number(PENDING_AT), stats.durable.get()), (newest - 2, newest - 2));
    (left.0, left.1, newest)
}

/// Each of these could lose commits, make writers or checks wait for ever, or give ids twice, if it were believed
/// (L13).
#[test]
fn a_word_of_a_lock_file_that_no_process_has_open_is_not_believed() {
    let folder = crate::scratch();
    let path = folder.path().join("data.mapleaf");
    let (data, lock, newest) = killed(&path);
    let named = [NEWEST_AT, VISIBLE_AT, DURABLE_AT, CHECKPOINTED_AT, PENDING_AT, FIRST_ID_AT];
    for at in named.into_iter().chain(OTHER_WORDS) {
        let old = number_at(&lock, at, 8);
        for wrong in [0, 1, old + 1, old + 2, old.wrapping_sub(1), old + 256, old | 1 << 62, u64::MAX] {
            let mut lock = lock.clone();
            put_number(&mut lock, at, 8, wrong);
            overwrite(&crate::lock_path(&path), &lock);
            overwrite(&path, &data);
            let db = options().read_only(wrong % 2 == 1).open(&path).unwrap();
            assert!(db.check().unwrap().is_clean(), "{wrong} at {at}");
            let rx = db.read().unwrap();
            assert_eq!((rx.id().get(), rx.table(&A).unwrap().len()), (newest + 1, 403), "{wrong} at {at}");
            drop((rx, db));
            let db = options().open(&path).unwrap();
            insert(&db, b"after", Durability::Durable);
            assert_eq!(db.stats().unwrap().newest.get(), newest + 2, "{wrong} at {at}");
        }
    }
}
