//! Incremental backups: what is restored is what a copy would have been, and what cannot be is refused.

use std::fs;
use std::path::Path;

use crate::common::entries::{ENTRIES, change, contents};
use crate::common::{Random, assert_clean};
use mapleaf::{Copied, Db, Durability, Error, ReadTxn, Table, TransactionId, restore};

const OTHERS: Table<u64, [u8]> = Table::new("others");

fn database(path: &Path, seed: u64) -> (Db, Random) {
    let db = Db::open(path).unwrap();
    let mut random = Random::new(seed);
    db.update(|tx| {
        change(tx, &mut random, 5000)?;
        tx.table(&OTHERS)?.insert(1, vec![7; 100_000])
    })
    .unwrap();
    (db, random)
}

fn increment(rx: &ReadTxn, since: TransactionId) -> (Vec<u8>, Copied) {
    let mut bytes = Vec::new();
    let increment = rx.copy().since(since).to_writer(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, increment.bytes);
    (bytes, increment)
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with("-lock")).collect();
    names.sort();
    names
}

/// Except for the meta's checksum and the identity.
fn same_bytes(a: &Path, b: &Path) -> bool {
    let (a, b) = (fs::read(a).unwrap(), fs::read(b).unwrap());
    assert_ne!(a[24..40], b[24..40], "they are two databases");
    a.len() == b.len() && a[40..] == b[40..] && a[12..24] == b[12..24]
}

/// A week: a full copy, and an increment each day; each day is restored from all before, and from the day before.
#[test]
fn what_is_restored_is_what_a_copy_would_have_been() {
    for (seed, page_size) in [(1, 4096), (2, 16384)] {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let db = Db::options().page_size(page_size).open(file("a.mapleaf")).unwrap();
        let mut random = Random::new(seed);
        db.update(|tx| change(tx, &mut random, 5000)).unwrap();
        let mut last = db.read().unwrap().id();
        db.read().unwrap().copy().to_path(file("day0")).unwrap();
        let mut week: Vec<Vec<u8>> = Vec::new();
        for day in 1..=6 {
            match day {
                2 => drop(db.compact().unwrap()),
                3 => db.update(|tx| tx.table(&ENTRIES)?.remove_range(1000..4500).map(drop)).unwrap(),
                4 => {} // nothing happens
                5 => db.update(|tx| tx.drop_table("others").map(drop)).unwrap(),
                _ => {}
            }
            if day != 4 {
                for _ in 0..5 {
                    db.update(|tx| change(tx, &mut random, 40)).unwrap();
                }
            }
            let rx = db.read().unwrap();
            let (bytes, increment) = increment(&rx, last);
            assert_eq!((increment.since, increment.transaction), (Some(last), rx.id()));
            assert!(increment.may_be_followed);
            assert_eq!(increment.pages == 0, day == 4);
            last = rx.id();
            week.push(bytes);
            if day != 3 {
                // The snapshot is older than what is written now, and its pages are wanted.
                db.update(|tx| change(tx, &mut random, 1)).unwrap();
            }
            let (copy, all, step) =
                (file(&format!("copy{day}")), file(&format!("all{day}")), file(&format!("day{day}")));
            rx.copy().to_path(&copy).unwrap();
            let restored = restore(file("day0"), week.iter().map(Vec::as_slice), &all).unwrap();
            assert_eq!((restored.transaction, restored.bytes), (rx.id(), fs::metadata(&copy).unwrap().len()));
            restore(file(&format!("day{}", day - 1)), [&week[day - 1][..]], &step).unwrap();
            assert!(same_bytes(&copy, &all) && same_bytes(&copy, &step), "day {day}");
            let expected = contents(&rx);
            drop(rx);
            let db = Db::options().create(false).open(&all).unwrap();
            assert_clean(&db);
            assert!(contents(&db.read().unwrap()) == expected);
            db.update(|tx| change(tx, &mut random, 300)).unwrap();
            assert_clean(&db);
        }
    }
}

#[test]
fn increment_is_in_proportion_to_what_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (db, _) = database(&folder.path().join("a.mapleaf"), 3);
    let before = db.read().unwrap().id();
    db.update(|tx| tx.table(&ENTRIES)?.insert(2500, [1; 10]).map(drop)).unwrap();
    let rx = db.read().unwrap();
    let (_, increment) = increment(&rx, before);
    assert_eq!(increment.pages, 3, "a leaf, the root, a leaf of the catalog");
    let path = folder.path().join("increment");
    assert_eq!(rx.copy().since(before).to_path(&path).unwrap(), increment);
    assert_eq!(fs::metadata(&path).unwrap().len(), increment.bytes);
    assert_eq!(rx.transaction_of(&path).unwrap(), rx.id());
    // The name is taken.
    assert!(matches!(rx.copy().since(before).to_path(&path), Err(Error::Io { .. })));
    for since in [TransactionId::new(0), TransactionId::new(rx.id().get() + 1)] {
        assert!(matches!(
            rx.copy().since(since).to_writer(&mut Vec::new()),
            Err(Error::InvalidOption { .. })
        ));
    }
}

/// As `Db::compact` says.
#[test]
fn the_increment_after_a_compaction_has_what_it_moved() {
    let folder = tempfile::tempdir().unwrap();
    let (db, _) = database(&folder.path().join("live"), 5);
    db.update(|tx| tx.table(&ENTRIES)?.remove_range(..2000)).unwrap();
    let since = db.read().unwrap().id();
    let moved = db.compact().unwrap().moved_pages;
    assert!(moved > 10);
    db.update(|tx| tx.table(&ENTRIES)?.insert(4000, [1; 10])).unwrap();
    let (_, first) = increment(&db.read().unwrap(), since);
    assert!(u64::from(first.pages) >= moved, "{} pages, {moved} moved", first.pages);
    let since = db.read().unwrap().id();
    db.update(|tx| tx.table(&ENTRIES)?.insert(4000, [2; 10])).unwrap();
    let (_, next) = increment(&db.read().unwrap(), since);
    assert!(next.pages < 8, "{} pages", next.pages);
}

#[test]
fn wrong_base_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (db, mut random) = database(&file("a.mapleaf"), 4);
    // The same history, of another database.
    let (twin, _) = database(&file("twin.mapleaf"), 4);
    let rx = db.read().unwrap();
    assert_eq!(twin.read().unwrap().id(), rx.id());
    let since = rx.id();
    rx.copy().to_path(file("good")).unwrap();
    rx.copy().compact().to_path(file("compact")).unwrap();
    twin.read().unwrap().copy().to_path(file("twin")).unwrap();
    rx.copy().to_path(file("touched")).unwrap();
    Db::open(file("touched")).unwrap().update(|tx| tx.table(&OTHERS)?.insert(2, [1]).map(drop)).unwrap();
    db.update(|tx| change(tx, &mut random, 100)).unwrap();
    let rx = db.read().unwrap();
    rx.copy().to_path(file("newer")).unwrap();
    let (bytes, _) = increment(&rx, since);
    for name in ["compact", "twin", "touched", "newer"] {
        let before = fs::read(file(name)).unwrap();
        let error = restore(file(name), [&bytes[..]], file("result")).unwrap_err();
        assert!(matches!(error, Error::WrongBase { .. }), "{name}: {error}");
        assert!(fs::read(file(name)).unwrap() == before);
        assert_eq!(rx.transaction_of(file(name)).is_ok(), name == "newer", "{name}");
    }
    // Increments of one database, and one of them left out.
    db.update(|tx| change(tx, &mut random, 100)).unwrap();
    let (second, _) = increment(&db.read().unwrap(), rx.id());
    let error = restore(file("good"), [&second[..]], file("result")).unwrap_err();
    assert!(matches!(error, Error::WrongBase { .. }), "{error}");
    // A page of the base is another than it was, with a right checksum.
    let kept = u32::from_le_bytes(bytes[80..84].try_into().unwrap()) as usize;
    let mut other = fs::read(file("good")).unwrap();
    other[kept * 4096..kept * 4096 + 4].copy_from_slice(&[1, 2, 3, 4]);
    fs::write(file("other"), other).unwrap();
    let error = restore(file("other"), [&bytes[..]], file("result")).unwrap_err();
    assert!(matches!(error, Error::WrongBase { .. }), "{error}");
    // Another handle has it open.
    let open = Db::open(file("good")).unwrap();
    assert!(matches!(restore(file("good"), [&bytes[..]], file("result")), Err(Error::InUse { .. })));
    drop(open);
    fs::write(file("text"), "no database").unwrap();
    assert!(matches!(restore(file("text"), [&bytes[..]], file("result")), Err(Error::NotADatabase { .. })));
    assert!(!files(folder.path()).iter().any(|name| name.starts_with("result")));
    // The closed database itself, as it was.
    drop(rx);
    let id = db.read().unwrap().id();
    db.close().unwrap();
    fs::copy(file("a.mapleaf"), file("a.copied")).unwrap();
    let db = Db::open(file("a.mapleaf")).unwrap();
    db.update(|tx| change(tx, &mut random, 100)).unwrap();
    let (third, _) = increment(&db.read().unwrap(), id);
    // What becomes of a file with the database's own name is unknown: no increment is made to follow it.
    let result = db.read().unwrap().transaction_of(file("a.copied"));
    assert!(matches!(result, Err(Error::WrongBase { .. })), "{result:?}");
    restore(file("a.copied"), [&third[..]], file("result")).unwrap();
    let result = Db::open(file("result")).unwrap();
    assert_clean(&result);
    assert!(contents(&result.read().unwrap()) == contents(&db.read().unwrap()));
}

#[test]
fn damaged_increment_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (db, mut random) = database(&file("a.mapleaf"), 5);
    let rx = db.read().unwrap();
    rx.copy().to_path(file("copy")).unwrap();
    db.update(|tx| change(tx, &mut random, 5)).unwrap();
    let (bytes, _) = increment(&db.read().unwrap(), rx.id());
    let original = fs::read(file("copy")).unwrap();
    let names = files(folder.path());
    let refused = |bytes: &[u8], what: String| {
        match restore(file("copy"), [bytes], file("result")) {
            Err(Error::BadIncrement { .. } | Error::WrongBase { .. } | Error::Corrupt(_)) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(files(folder.path()), names, "{what}");
    };
    let lengths = [0, 1, 79, 80, 81, bytes.len() / 2, bytes.len() - 4, bytes.len() - 1];
    lengths.into_iter().for_each(|length| refused(&bytes[..length], format!("cut to {length}")));
    for _ in 0..60 {
        let mut flipped = bytes.clone();
        let at = random.next() as usize % bytes.len();
        flipped[at] ^= 1 << (random.next() % 8);
        refused(&flipped, format!("byte {at}"));
    }
    for at in (0..80).chain(bytes.len() - 4..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        refused(&flipped, format!("byte {at}"));
    }
    assert!(matches!(
        restore(file("copy"), Vec::<&[u8]>::new(), file("result")),
        Ok(restored) if restored.transaction == rx.id()
    ));
    assert!(fs::read(file("copy")).unwrap() == original);
}

/// The right checksums, over a table's name that is no text: `check` would find it.
#[test]
fn name_that_is_no_text_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (db, _) = database(&file("a.mapleaf"), 8);
    let rx = db.read().unwrap();
    rx.copy().to_path(file("copy")).unwrap();
    db.update(|tx| tx.table(&OTHERS)?.insert(2, [1]).map(drop)).unwrap();
    let (mut bytes, _) = increment(&db.read().unwrap(), rx.id());
    restore(file("copy"), [&bytes[..]], file("good")).unwrap();
    // The catalog's only leaf has "othe" among the heads of its keys, the last byte first.
    let at = bytes.windows(4).position(|window| window == b"ehto").unwrap();
    bytes[at + 3] = 0xff;
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut page = 80 + 8 * number(68) + 8;
    let (mut left, root) = (number(page - 4), number(52));
    while number(page + 4) != root {
        (page, left) = (page + 4096, left - 1);
        if left == 0 {
            (page, left) = (page + 8, number(page + 4));
        }
    }
    assert!((page..page + 4096).contains(&at));
    let sum = crc32fast::hash(&bytes[page + 4..page + 4096]);
    bytes[page..page + 4].copy_from_slice(&sum.to_le_bytes());
    let end = bytes.len() - 4;
    let sum = crc32fast::hash(&bytes[80..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    let result = restore(file("copy"), [&bytes[..]], file("result"));
    assert!(
        matches!(&result, Err(Error::Corrupt(problem)) if problem.what == "name of a table"),
        "{result:?}"
    );
    assert!(!file("result").exists());
}

/// Loss of power may undo what is in no checkpoint, and its id be given again: nothing can be restored onto it.
#[test]
fn what_is_not_checkpointed_is_no_base() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (db, mut random) = database(&file("a.mapleaf"), 6);
    let since = db.read().unwrap().id();
    db.read().unwrap().copy().to_path(file("base")).unwrap();
    let tx = db.write().unwrap();
    change(&tx, &mut random, 10).unwrap();
    let id = tx.commit_with(Durability::Lazy).unwrap();
    // A handle that may write would make a checkpoint first.
    let looking = Db::options().read_only(true).open(file("a.mapleaf")).unwrap();
    let rx = looking.read().unwrap();
    assert_eq!(rx.id(), id);
    rx.copy().to_path(file("lazy")).unwrap();
    let (lazy, report) = increment(&rx, since);
    assert!(!report.may_be_followed);
    fs::write(file("lazy.increment"), &lazy).unwrap();
    restore(file("base"), [&lazy[..]], file("restored")).unwrap();
    db.update(|tx| change(tx, &mut random, 10)).unwrap();
    let rx = db.read().unwrap();
    let (next, report) = increment(&rx, id);
    assert!(report.may_be_followed);
    for name in ["lazy", "lazy.increment", "restored"] {
        assert!(matches!(rx.transaction_of(file(name)), Err(Error::WrongBase { .. })), "{name}");
    }
    for name in ["lazy", "restored"] {
        let result = restore(file(name), [&next[..]], file("result"));
        assert!(matches!(result, Err(Error::WrongBase { .. })), "{name}: {result:?}");
    }
    // Since what was checkpointed, all is well.
    let (all, _) = increment(&rx, since);
    restore(file("base"), [&all[..]], file("result")).unwrap();
    assert!(contents(&Db::open(file("result")).unwrap().read().unwrap()) == contents(&rx));
}

/// Increments of a snapshot while others write.
#[test]
fn increments_while_writers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (db, mut random) = database(&file("a.mapleaf"), 7);
    let first = db.read().unwrap();
    first.copy().to_path(file("base")).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..150 {
                db.update(|tx| change(tx, &mut random, 20)).unwrap();
            }
        });
        let mut round = 0;
        while !writer.is_finished() || round < 3 {
            let rx = db.read().unwrap();
            let (bytes, increment) = increment(&rx, first.id());
            let path = file(&format!("round{round}"));
            assert_eq!(
                restore(file("base"), [&bytes[..]], &path).unwrap().transaction,
                increment.transaction
            );
            let restored = Db::open(&path).unwrap();
            assert!(contents(&restored.read().unwrap()) == contents(&rx));
            assert_clean(&restored);
            drop(restored);
            fs::remove_file(path).unwrap();
            round += 1;
        }
    });
}
