//! Compaction in place: shorter files with the same entries, while others read and write, and stopped anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Random, assert_clean};
use mapleaf::{CompactionProgress, Db, Durability, Error, ReadTxn, Table, WriteTxn, admin};

const NAMES: [&str; 3] = ["a", "b", "c"];
const PAGE: u64 = 4096;

type Contents = BTreeMap<(usize, u64), Vec<u8>>;

fn table(index: usize) -> Table<'static, u64, [u8]> {
    Table::new(NAMES[index])
}

fn contents(rx: &ReadTxn) -> Contents {
    let mut contents = Contents::new();
    for index in 0..NAMES.len() {
        let Ok(table) = rx.table(&table(index)) else { continue };
        for entry in table.iter() {
            let (key, value) = entry.unwrap();
            contents.insert((index, key), value.to_vec());
        }
    }
    contents
}

/// Small values, some on overflow pages, a few of many pages.
fn value(random: &mut Random) -> Vec<u8> {
    let length = match random.next() % 100 {
        0 => 300_000,
        1..=3 => 40_000,
        4..=9 => 9_000,
        _ => random.next() % 400,
    };
    vec![random.next() as u8; length as usize]
}

fn change(tx: &WriteTxn, random: &mut Random, count: u64) -> mapleaf::Result<()> {
    for _ in 0..count {
        let mut table = tx.table(&table((random.next() % 3) as usize))?;
        let key = random.next() % 3000;
        match random.next() % 3 {
            0 => _ = table.remove(key)?,
            _ => _ = table.insert(key, value(random))?,
        }
    }
    Ok(())
}

fn insert(tx: &WriteTxn, random: &mut Random) -> mapleaf::Result<()> {
    let (index, key) = (random.next() % 3, random.next() % 3000);
    tx.table(&table(index as usize))?.insert(key, value(random)).map(drop)
}

/// A database of many commits, most of whose entries have been removed again.
fn worn(path: &Path, seed: u64) -> Db {
    let db = Db::open(path).unwrap();
    let mut random = Random::new(seed);
    for _ in 0..20 {
        db.update(|tx| change(tx, &mut random, 300)).unwrap();
    }
    let seed = random.next();
    let remains = |key: u64| (key ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62 == 0;
    db.update(|tx| {
        (0..3).try_for_each(|index| tx.table(&table(index))?.retain(|key, _| remains(key)).map(drop))
    })
    .unwrap();
    db
}

fn file_pages(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len() / PAGE
}

/// Pages that are in use, of those of the file.
fn pages_in_use(db: &Db) -> (u64, u64) {
    let report = db.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let counts = report.counts();
    (u64::from(counts.total - counts.free - counts.retired), u64::from(counts.total))
}

#[test]
fn file_gets_as_short_as_its_content() {
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mapleaf");
        let db = worn(&path, seed);
        let expected = contents(&db.read().unwrap());
        let before = file_pages(&path);
        let mut longest = before;
        let mut last = CompactionProgress::default();
        for progress in db.compaction().step_pages(64) {
            last = progress.unwrap();
            longest = longest.max(file_pages(&path));
        }
        assert!(last.is_done && last.moved_pages > 0, "{last:?}");
        assert_eq!((u64::from(last.pages_before), longest), (before, before), "it does not grow");
        let (used, total) = pages_in_use(&db);
        assert_eq!(total, file_pages(&path), "{last:?}");
        assert!(last.remaining_pages <= last.unmovable_pages, "{last:?}");
        // A value of 74 pages may find no better place.
        assert!(total < used + 200 && total < before / 2, "{used} of {total} in use, {before} before");
        assert!(contents(&db.read().unwrap()) == expected);
        // There is nothing left to do.
        let again = db.compact().unwrap();
        assert!(again.is_done && again.moved_pages <= 1 + u64::from(last.unmovable_pages), "{again:?}");
        drop(db);
        let db = Db::open(&path).unwrap();
        assert_clean(&db);
        assert!(contents(&db.read().unwrap()) == expected);
        db.update(|tx| change(tx, &mut Random::new(seed), 500)).unwrap();
        assert_clean(&db);
    }
}

/// After any step: what has been moved is whole, durable, and the rest can be done by another.
#[test]
fn compaction_is_stopped_at_any_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let mut db = worn(&path, 7);
    let expected = contents(&db.read().unwrap());
    let mut moved = 0;
    loop {
        let mut steps = db.compaction().step_pages(100).map(Result::unwrap);
        let progress = steps.find(|progress| progress.commits > 0 || progress.is_done).unwrap();
        drop(steps);
        assert_eq!(db.stats().unwrap().durable, db.stats().unwrap().newest);
        moved += progress.moved_pages;
        let length = file_pages(&path);
        drop(db);
        assert!(file_pages(&path) <= length);
        db = Db::open(&path).unwrap();
        assert_clean(&db);
        assert!(contents(&db.read().unwrap()) == expected);
        if progress.is_done {
            break;
        }
    }
    assert!(moved > 200, "{moved}");
    let (used, total) = pages_in_use(&db);
    assert!(total < used + 200, "{used} of {total}");
}

#[test]
fn readers_keep_what_they_see_and_the_file_is_cut_when_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = worn(&path, 3);
    let other = Db::open(&path).unwrap();
    let reader = other.read().unwrap();
    let expected = contents(&reader);
    let before = file_pages(&path);
    let progress = db.compact().unwrap();
    assert!(progress.is_done && progress.moved_pages > 0 && progress.pinned_pages > 0, "{progress:?}");
    assert_eq!(file_pages(&path), before, "the reader may look at the end");
    assert!(contents(&reader) == expected);
    assert_clean(&db);
    drop(reader);
    let progress = db.compact().unwrap();
    assert_eq!(progress.pinned_pages, 0, "{progress:?}");
    let (used, total) = pages_in_use(&db);
    assert!(total < used + 200 && file_pages(&path) == total, "{used} of {total}");
    assert!(contents(&db.read().unwrap()) == expected);
}

/// A file that may not get longer, filled up, with and without a reader that pins what is removed.
#[test]
fn file_that_has_all_it_may_have_is_compacted() {
    for seed in 20..26 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mapleaf");
        let db = Db::options().max_size(4 << 20).open(&path).unwrap();
        let mut random = Random::new(seed);
        let fill = |random: &mut Random| loop {
            match db.update(|tx| (0..20).try_for_each(|_| insert(tx, random))) {
                Ok(()) => {}
                Err(Error::Full { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        };
        fill(&mut random);
        let reader = (seed % 2 == 0).then(|| db.read().unwrap());
        let seen = reader.as_ref().map(contents);
        for _ in 0..20 {
            // Room for what removing takes there may be none.
            let remains = random.next();
            let removed = db.update(|tx| {
                let mut table = tx.table(&table((random.next() % 3) as usize))?;
                table.retain(|key, _| key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61 != remains % 8).map(drop)
            });
            assert!(matches!(removed, Ok(()) | Err(Error::Full { .. })), "{removed:?}");
        }
        let expected = contents(&db.read().unwrap());
        let progress = db.compact().unwrap();
        assert!(progress.is_done && u64::from(progress.pages) * PAGE <= 4 << 20, "{progress:?}");
        assert!(contents(&db.read().unwrap()) == expected);
        assert!(reader.as_ref().map(contents) == seen);
        assert_clean(&db);
        drop(reader);
        db.compact().unwrap();
        assert!(contents(&db.read().unwrap()) == expected);
        assert_clean(&db);
        fill(&mut random);
        assert_clean(&db);
    }
}

/// A snapshot that began during the compaction sees its end, if that is cut off later.
#[test]
fn file_is_cut_after_the_last_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = worn(&path, 4);
    let before = file_pages(&path);
    let mut readers: Vec<(ReadTxn, Contents)> = Vec::new();
    for progress in db.compaction() {
        progress.unwrap();
        let rx = db.read().unwrap();
        let expected = contents(&rx);
        readers.push((rx, expected));
    }
    assert_eq!(file_pages(&path), before);
    for (rx, expected) in readers.drain(..).rev() {
        assert!(contents(&rx) == expected);
    }
    db.compact().unwrap();
    assert!(file_pages(&path) < before * 2 / 3);
    assert_clean(&db);
}

#[test]
fn others_write_between_the_steps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = worn(&path, 5);
    let mut model = contents(&db.read().unwrap());
    let other = Db::open(&path).unwrap();
    let mut random = Random::new(1);
    let (mut steps, mut reader) = (0, None);
    for progress in db.compaction().step_pages(48) {
        let progress = progress.unwrap();
        steps += 1;
        assert!(steps < 2000, "{progress:?}");
        // Another's commit, a reader that stays for some steps, a lazy commit, and one that is undone.
        let tx = other.write().unwrap();
        for _ in 0..5 {
            let (index, key, value) =
                ((random.next() % 3) as usize, random.next() % 3000, value(&mut random));
            tx.table(&table(index)).unwrap().insert(key, &value[..]).unwrap();
            model.insert((index, key), value);
        }
        match steps % 3 {
            0 => drop(tx.commit_with(Durability::Lazy).unwrap()),
            _ => drop(tx.commit().unwrap()),
        }
        let tx = other.write().unwrap();
        change(&tx, &mut random, 5).unwrap();
        tx.abort();
        if steps % 4 == 0 {
            reader = Some(other.read().unwrap());
        }
        if let Some(rx) = &reader {
            rx.table(&table(0)).unwrap().iter().for_each(|entry| _ = entry.unwrap());
        }
    }
    drop(reader);
    assert!(steps > 10);
    assert!(contents(&db.read().unwrap()) == model);
    assert_clean(&db);
    assert_clean(&other);
}

#[test]
fn threads_write_and_read_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = worn(&path, 6);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(8);
            while !stop.load(Ordering::Relaxed) {
                db.update(|tx| change(tx, &mut random, 3)).unwrap();
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let rx = db.read().unwrap();
                let first = contents(&rx);
                assert!(contents(&rx) == first);
            }
        });
        for _ in 0..3 {
            assert!(db.compact().unwrap().is_done);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let expected = contents(&db.read().unwrap());
    db.compact().unwrap();
    assert!(contents(&db.read().unwrap()) == expected);
    let (used, total) = pages_in_use(&db);
    assert!(total < used + 300, "{used} of {total}");
}

/// Values of many pages, with holes between them that are too short for any: they cannot be moved, and are reported.
#[test]
fn values_for_which_there_is_no_room_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    for key in 0..60 {
        // One transaction each, so that they lie one after the other.
        db.update(|tx| tx.table(&table(0))?.insert(2 * key, vec![1; 400_000])).unwrap();
        db.update(|tx| tx.table(&table(0))?.insert(2 * key + 1, vec![2; 100_000])).unwrap();
    }
    db.update(|tx| tx.table(&table(0))?.retain(|key, _| key % 2 == 0)).unwrap();
    let expected = contents(&db.read().unwrap());
    let before = file_pages(&path);
    let progress = db.compact().unwrap();
    assert!(progress.is_done && progress.unmovable_pages >= 98, "{progress:?}");
    assert!(file_pages(&path) <= before);
    assert!(contents(&db.read().unwrap()) == expected);
    // Room for some of them.
    db.update(|tx| tx.table(&table(0))?.remove_range(0..20)).unwrap();
    let moved = db.compact().unwrap();
    assert!(moved.moved_pages >= 10 * 98 && moved.pages < progress.pages, "{moved:?}");
    let expected: Contents = expected.into_iter().filter(|((_, key), _)| *key >= 20).collect();
    assert!(contents(&db.read().unwrap()) == expected);
    assert_clean(&db);
}

/// A free log of many pages at the end of the file moves with the rest.
/// Commits of one, of ten, and of two hundred random entries each: the last need more room than compaction leaves.
#[test]
fn a_small_file_stays_small_after_compaction() {
    const ENTRIES: u64 = 8000;
    for batch in [1, 10, 200] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live.mapleaf");
        let db = Db::open(&path).unwrap();
        let mut random = Random::new(batch);
        let mut write = |count: u64, each: u64| {
            for _ in 0..count {
                let tx = db.write().unwrap();
                for _ in 0..each {
                    tx.table(&table(0)).unwrap().insert(random.next() % ENTRIES, &[7; 900][..]).unwrap();
                }
                tx.commit().unwrap();
            }
        };
        write(40, 500);
        db.compact().unwrap();
        let compacted = file_pages(&path);
        write(60, batch);
        let (in_use, _) = pages_in_use(&db);
        // A commit stores at most a page for each entry, and some above them. What it replaces is needed until it is
        // checkpointed, for which commits wait before such a file grows. Besides that a part of the file is unused, so
        // that commits find pages that lie together. Some large ones go on until a checkpoint is due, and is made.
        let needed = in_use + 2 * (batch + 30);
        let before_checkpoint = if batch == 200 { 5 * batch } else { 0 };
        let limit = needed + needed / 7 + before_checkpoint;
        let after = file_pages(&path);
        assert!(after <= limit, "{after} pages after {compacted}, {in_use} in use, batches of {batch}");
        assert_clean(&db);
    }
}

#[test]
fn free_log_moves_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    db.update(|tx| {
        let mut table = tx.table(&table(0))?;
        (0..6000).try_for_each(|key| table.insert(key, vec![1; 5000]).map(drop))
    })
    .unwrap();
    // Free space in many pieces, each of them in the log's base.
    for step in 0..40 {
        db.update(|tx| tx.table(&table(0))?.retain(|key, _| key % 41 != step)).unwrap();
    }
    assert!(db.check().unwrap().counts().free_log > 3);
    let expected = contents(&db.read().unwrap());
    let before = file_pages(&path);
    let progress = db.compact().unwrap();
    assert!(progress.remaining_pages <= 2, "{progress:?}");
    let (used, total) = pages_in_use(&db);
    assert!(total < used + 60 && total < before / 10, "{used} of {total}, {before} before");
    assert!(contents(&db.read().unwrap()) == expected);
}

/// More tables than the file has pages, most of them empty.
#[test]
fn tables_without_number() {
    let db = Db::in_memory().unwrap();
    let name = |index: u64| format!("{index:05}");
    db.update(|tx| {
        for index in 0..5000 {
            admin::create_table(tx, &name(index), "str", "bytes")?;
        }
        for index in (0..5000).step_by(50) {
            let mut table = admin::raw_table_mut(tx, &name(index))?;
            (0..20).try_for_each(|key| table.insert(name(key).as_bytes(), &[1; 300][..]).map(drop))?;
        }
        Ok(())
    })
    .unwrap();
    db.update(|tx| {
        (0..4900).step_by(50).try_for_each(|index| admin::raw_table_mut(tx, &name(index))?.clear().map(drop))
    })
    .unwrap();
    let progress = db.compact().unwrap();
    let (used, total) = pages_in_use(&db);
    assert!(
        progress.is_done && progress.remaining_pages == 0 && total < used + 50,
        "{progress:?}, {used} of {total}"
    );
    assert_eq!(admin::raw_table(&db.read().unwrap(), &name(4950)).unwrap().len(), 20);
    assert_eq!(db.read().unwrap().tables().unwrap().len(), 5000);
}

#[test]
fn small_and_empty_databases() {
    let folder = tempfile::tempdir().unwrap();
    for count in [0, 1, 100] {
        let path = folder.path().join(format!("{count}.mapleaf"));
        let db = Db::open(&path).unwrap();
        db.update(|tx| (0..count).try_for_each(|key| tx.table(&table(0))?.insert(key, [1; 100]).map(drop)))
            .unwrap();
        let progress = db.compact().unwrap();
        assert!(progress.is_done, "{progress:?}");
        assert!(!db.shrink().unwrap());
        assert_clean(&db);
        assert_eq!(db.read().unwrap().tables().unwrap().len() as u64, count.min(1));
    }
    let read_only = Db::options().read_only(true).open(folder.path().join("1.mapleaf")).unwrap();
    assert!(matches!(read_only.compact(), Err(Error::ReadOnly)));
    assert!(matches!(read_only.shrink(), Err(Error::ReadOnly)));
}
