//! Files that grow to many MiB and shrink again, and files as a crash may leave them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::mounted::Mounted;
use crate::common::{BOTH_MODES, assert_clean, child, child_task, is_long, scratch};
use mapleaf::{Db, Durability, Error, ReadTxn, Table, TransactionId, WriteMode};

const BYTES: Table<u64, [u8]> = Table::new("bytes");
const SMALL: Table<u64, u64> = Table::new("small");

fn open(path: &Path, mode: WriteMode) -> Db {
    Db::options().write_mode(mode).open(path).unwrap()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Puts `mebibytes` of values in, in several transactions.
fn fill(db: &Db, mebibytes: u64) {
    for part in 0..mebibytes {
        db.update(|tx| {
            let mut bytes = tx.table(&BYTES)?;
            for number in 0..20 {
                bytes.insert(part * 100 + number, vec![part as u8; 20_000])?; // on overflow pages
            }
            for number in 20..60 {
                bytes.insert(part * 100 + number, vec![part as u8; 1_500])?; // in leaves
            }
            bytes.insert(part * 100 + 60, vec![part as u8; 590_000])?; // stored directly
            Ok(())
        })
        .unwrap();
    }
}

fn assert_full(db: &Db, mebibytes: u64) {
    let rx = db.read().unwrap();
    let bytes = rx.table(&BYTES).unwrap();
    assert_eq!(bytes.len(), mebibytes * 61);
    for entry in bytes.iter() {
        let (key, value) = entry.unwrap();
        assert!(value.iter().all(|&byte| byte == (key / 100) as u8));
    }
}

/// Small commits, which move what lies at the end of the file to where there is room.
fn settle(db: &Db) {
    for round in 0..40 {
        db.update(|tx| tx.table(&SMALL)?.insert(1, round)).unwrap();
    }
}

#[test]
fn a_file_grows_and_shrinks_again_and_again() {
    let mebibytes = if is_long() { 200 } else { 20 };
    for mode in BOTH_MODES {
        let (_folder, path) = scratch();
        let mut db = open(&path, mode);
        for round in 0..4 {
            fill(&db, mebibytes);
            assert_clean(&db);
            assert_full(&db, mebibytes);
            assert!(length(&path) > mebibytes << 20);
            assert_eq!(db.stats().unwrap().file_bytes, length(&path));
            if round % 2 == 1 {
                drop(db);
                db = open(&path, mode);
                assert_full(&db, mebibytes);
            }
            match round {
                0 => assert_eq!(db.update(|tx| tx.table(&BYTES)?.clear()).unwrap(), mebibytes * 61),
                1 => assert!(db.update(|tx| tx.drop_table("bytes")).unwrap()),
                2 => assert_eq!(db.update(|tx| tx.table(&BYTES)?.remove_range(..)).unwrap(), mebibytes * 61),
                _ => assert_eq!(
                    db.update(|tx| tx.table(&BYTES)?.retain(|_, _| false)).unwrap(),
                    mebibytes * 61
                ),
            }
            settle(&db);
            assert_clean(&db);
            assert_eq!(db.stats().unwrap().file_bytes, length(&path));
            assert!(length(&path) < 4 << 20, "round {round}: {} bytes are left", length(&path));
            if round % 2 == 0 {
                drop(db);
                db = open(&path, mode);
                assert_clean(&db);
                assert_eq!(db.read().unwrap().table(&SMALL).unwrap().get(1).unwrap(), Some(39));
            }
        }
    }
}

#[test]
fn a_file_does_not_shrink_under_a_reader() {
    for mode in BOTH_MODES {
        let (_folder, path) = scratch();
        let db = open(&path, mode);
        fill(&db, 12);
        let rx = db.read().unwrap();
        db.update(|tx| tx.table(&BYTES)?.clear()).unwrap();
        settle(&db);
        assert!(length(&path) > 12 << 20);
        assert_eq!(rx.table(&BYTES).unwrap().len(), 12 * 61);
        for entry in rx.table(&BYTES).unwrap().iter() {
            let (key, value) = entry.unwrap();
            assert!(value.iter().all(|&byte| byte == (key / 100) as u8));
        }
        drop(rx);
        settle(&db);
        assert!(length(&path) < 4 << 20, "{} bytes are left", length(&path));
        assert_clean(&db);
        fill(&db, 12);
        assert_full(&db, 12);
        assert_clean(&db);
    }
}

#[test]
fn a_file_that_shrinks_lazily_is_cut_by_a_later_sync() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    fill(&db, 12);
    let lazily = |work: &dyn Fn(&mapleaf::WriteTxn)| {
        let tx = db.write().unwrap();
        work(&tx);
        tx.commit_with(Durability::Lazy).unwrap();
    };
    lazily(&|tx| assert_eq!(tx.table(&BYTES).unwrap().clear().unwrap(), 12 * 61));
    for round in 0..40 {
        lazily(&|tx| assert_eq!(tx.table(&SMALL).unwrap().insert(1, round).unwrap(), round == 0));
    }
    assert!(length(&path) > 12 << 20, "what is durable is still there");
    db.sync().unwrap();
    settle(&db);
    assert!(length(&path) < 4 << 20, "{} bytes are left", length(&path));
    assert_clean(&db);
}

/// What the system holds of an open file is what a killed process leaves.
#[test]
fn a_copy_of_an_open_file_is_a_good_database() {
    let (folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let copy = folder.path().join("copy.mapleaf");
    for round in 0..60u64 {
        db.update(|tx| {
            let mut small = tx.table(&SMALL)?;
            (0..50).try_for_each(|number| small.insert(number, round).map(drop))?;
            if round % 20 == 0 {
                tx.table(&BYTES)?.insert(round, vec![1; 400_000])?;
            }
            if round % 20 == 10 {
                tx.table(&BYTES)?.clear()?;
            }
            Ok(())
        })
        .unwrap();
        // Begun, stored in part, and never committed.
        let unfinished = db.write().unwrap();
        unfinished.table(&SMALL).unwrap().insert(1, 1_000_000).unwrap();
        unfinished.table(&BYTES).unwrap().insert(9999, vec![2; 300_000]).unwrap();
        fs::copy(&path, &copy).unwrap();
        drop(unfinished);
        let other = Db::open(&copy).unwrap();
        assert_clean(&other);
        let rx = other.read().unwrap();
        assert!(rx.table(&SMALL).unwrap().iter().all(|entry| entry.unwrap().1 == round));
        drop(rx);
        other.update(|tx| tx.table(&BYTES)?.insert(5, vec![3; 10_000])).unwrap();
        assert_clean(&other);
        other.close().unwrap();
        fs::remove_file(&copy).unwrap();
        fs::remove_file(folder.path().join("copy.mapleaf-lock")).unwrap();
    }
    assert_clean(&db);
}

/// A backup replaces a database whose last user was killed after lazy commits over the same durable one.
#[test]
fn a_restored_backup_is_not_taken_for_what_a_killed_process_left() {
    let (folder, path) = scratch();
    let backup = folder.path().join("backup");
    let mut user =
        child(concat!(module_path!(), "::backup_child"), &path).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(user.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("ready")));
    user.kill().unwrap();
    user.wait().unwrap();
    fs::copy(&backup, &path).unwrap();
    let db = Db::open(&path).unwrap();
    assert_clean(&db);
    assert_full(&db, 1);
}

#[test]
#[ignore = "run by a_restored_backup_is_not_taken_for_what_a_killed_process_left"]
fn backup_child() {
    let Some(path) = child_task() else { return };
    let db = Db::open(&path).unwrap();
    fill(&db, 1);
    fs::copy(&path, path.with_file_name("backup")).unwrap();
    for round in 0..10 {
        let tx = db.write().unwrap();
        tx.table(&SMALL).unwrap().insert(round, round).unwrap();
        tx.table(&BYTES).unwrap().remove(round).unwrap();
        tx.commit_with(Durability::Lazy).unwrap();
    }
    println!("ready");
    loop {
        std::thread::park();
    }
}

#[test]
fn surplus_length_after_a_crash_is_accepted_and_cut_off() {
    for mode in BOTH_MODES {
        if cfg!(mapleaf_portable) && mode == WriteMode::Mapped {
            continue; // holes are refused there
        }
        let (_folder, path) = scratch();
        let db = open(&path, mode);
        fill(&db, 1);
        drop(db);
        // A crash after growth, before a meta that includes it.
        let before = length(&path);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(before + (30 << 20)).unwrap();
        let db = open(&path, mode);
        assert_clean(&db);
        assert_full(&db, 1);
        settle(&db);
        assert!(length(&path) < before + (1 << 20), "{} bytes, {before} before", length(&path));
        assert_clean(&db);
    }
}

/// Two handles: one has made the file longer for a transaction that it then gives up, the other cuts the file again.
/// No transaction lies between, so free space is still as the first one knows it.
#[test]
fn what_another_handle_has_cut_off_is_not_used_again() {
    for mode in BOTH_MODES {
        let (_folder, path) = scratch();
        fill(&open(&path, mode), 1);
        for round in 0..8_u64 {
            // The file is longer than its content, so the next handle that closes cuts it.
            let surplus = length(&path) + (8 << 20);
            // Zeros that are written: not every system can fill holes ahead.
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(&vec![0; 8 << 20]).unwrap();
            drop(file);
            let [one, other] = [(); 2].map(|()| open(&path, mode));
            let put = |count: u64| {
                let tx = one.write().unwrap();
                let mut bytes = tx.table(&BYTES).unwrap();
                for number in 0..count {
                    bytes.insert(1000 + round * 10 + number, vec![round as u8; 300_000]).unwrap();
                }
                drop(bytes);
                tx
            };
            put(4).abort();
            drop(other);
            assert!(length(&path) < surplus);
            put(1).commit().unwrap();
            let found = length(&path);
            assert!(one.stats().unwrap().file_bytes <= found, "round {round}, {mode:?}");
            assert_clean(&one);
        }
    }
}

#[test]
fn one_value_of_many_mebibytes() {
    for mode in BOTH_MODES {
        let (_folder, path) = scratch();
        let db = open(&path, mode);
        let large = |seed: u8| -> Vec<u8> {
            (0..40 << 20).map(|at: u32| (at >> 8) as u8 ^ at as u8 ^ seed).collect()
        };
        let tx = db.write().unwrap();
        {
            let mut bytes = tx.table(&BYTES).unwrap();
            assert!(bytes.insert(1, large(1)).unwrap());
            assert!(!bytes.insert(1, large(2)).unwrap(), "replaced before it was committed");
            let place = bytes.insert_reserve(2, 17 << 20).unwrap();
            place.copy_from_slice(&large(3)[..17 << 20]);
            assert!(bytes.get(1).unwrap().unwrap() == large(2));
        }
        tx.commit().unwrap();
        assert_clean(&db);
        assert!(length(&path) < 150 << 20, "{} bytes", length(&path));
        drop(db);
        let db = open(&path, mode);
        let rx = db.read().unwrap();
        assert!(rx.table(&BYTES).unwrap().get(1).unwrap().unwrap() == large(2));
        assert!(rx.table(&BYTES).unwrap().get(2).unwrap().unwrap() == &large(3)[..17 << 20]);
        drop(rx);
        assert_clean(&db);
        assert!(db.update(|tx| tx.table(&BYTES)?.remove(1)).unwrap());
        settle(&db);
        assert_clean(&db);
    }
}

const LARGE_LEN: usize = 128 << 20;
const LARGE_COUNT: u64 = 52;
const SMALL_COUNT: u64 = 200;

/// A value in which each 4 KiB contain its number and where they belong.
fn fill_large(value: &mut [u8], number: u64) {
    for (at, block) in value.chunks_mut(4096).enumerate() {
        block.fill(number as u8);
        block[..8].copy_from_slice(&(number << 32 | at as u64).to_le_bytes());
    }
}

/// The database holds large values `numbers`, and the small entries of `rounds` rounds as round `newest` left them.
#[track_caller]
fn assert_large(rx: &ReadTxn, numbers: impl Iterator<Item = u64>, rounds: u64, newest: u64) {
    let (bytes, small) = (rx.table(&BYTES).unwrap(), rx.table(&SMALL).unwrap());
    let mut count = 0;
    for number in numbers {
        let value = bytes.get(number).unwrap().expect("it is there");
        assert_eq!(value.len(), LARGE_LEN);
        for (at, block) in value.chunks(4096).enumerate() {
            assert_eq!(block[..8], (number << 32 | at as u64).to_le_bytes());
            assert_eq!(block[4095], number as u8);
        }
        count += 1;
    }
    assert_eq!(bytes.len(), count);
    assert_eq!(small.len(), rounds * SMALL_COUNT);
    assert!(small.iter().all(|entry| entry.unwrap().1 == newest));
}

/// Memory of this process that is no file's, in bytes; 0 where the system does not say.
fn anonymous_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

/// Beyond 2^32 bytes and 2^20 pages, with readers of old snapshots. In the long form only: it takes 7 GiB of disk.
#[test]
fn a_file_of_many_gibibytes() {
    if !is_long() {
        return;
    }
    for mode in BOTH_MODES {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("data.mapleaf");
        let db = open(&path, mode);
        let mut value = vec![0; LARGE_LEN];
        let mut most_memory = 0;
        let mut readers = Vec::new();
        for number in 0..LARGE_COUNT {
            fill_large(&mut value, number);
            db.update(|tx| {
                tx.table(&BYTES)?.insert(number, &value)?;
                let mut small = tx.table(&SMALL)?;
                let spread = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (0..(number + 1) * SMALL_COUNT).try_for_each(|at| small.insert(spread(at), number).map(drop))
            })
            .unwrap();
            if number % 20 == 5 {
                readers.push((db.read().unwrap(), number));
            }
            most_memory = most_memory.max(anonymous_memory());
        }
        let (peak, pages) = (length(&path), db.stats().unwrap().pages);
        assert!(peak > 6 << 30 && pages > 1 << 20);
        assert!(most_memory < 3 * LARGE_LEN as u64, "{most_memory} bytes of memory");
        assert_clean(&db);
        for (rx, number) in &readers {
            assert_large(rx, 0..number + 1, number + 1, *number);
        }
        drop(readers);
        drop(db);

        let db = open(&path, mode);
        let rx = db.read().unwrap();
        assert_eq!(db.update(|tx| tx.table(&BYTES)?.retain(|number, _| number % 4 == 1)).unwrap(), 39);
        change_small(&db);
        assert_large(&rx, 0..LARGE_COUNT, LARGE_COUNT, LARGE_COUNT - 1);
        assert_large(&db.read().unwrap(), (1..LARGE_COUNT).step_by(4), LARGE_COUNT, 7);
        assert_eq!(length(&path), peak, "the reader's values are where they were");
        assert_clean(&db);
        drop(rx);
        db.update(|tx| tx.table(&BYTES)?.clear()).unwrap();
        db.update(|tx| tx.table(&SMALL)?.clear()).unwrap();
        settle(&db);
        assert_clean(&db);
        let left = length(&path);
        assert!(left < 4 << 20, "{left} bytes are left");
        println!(
            "{mode:?}: {peak} bytes, {pages} pages; {most_memory} bytes of memory; {left} bytes are left"
        );
    }
}

/// Changes every small entry, so that its pages move.
fn change_small(db: &Db) {
    for round in 0..8 {
        let changed = db.update(|tx| {
            let mut small = tx.table(&SMALL)?;
            let keys: Vec<u64> =
                small.iter().map(|entry| entry.map(|(key, _)| key)).collect::<Result<_, _>>()?;
            keys.iter().try_for_each(|key| small.insert(*key, round).map(drop))?;
            Ok(keys.len() as u64)
        });
        assert_eq!(changed.unwrap(), LARGE_COUNT * SMALL_COUNT);
    }
}

/// overlayfs, with a database in the lower layer: the disk that both layers are on, and the two as one.
fn overlay(folder: &Path) -> Option<(Mounted, Mounted)> {
    let disk = Mounted::new("tmpfs", "size=64m", Path::new("mapleaf-test"), folder.join("disk"))?;
    let layer = |name: &str| disk.path().join(name);
    for name in ["lower", "upper", "work"] {
        fs::create_dir(layer(name)).unwrap();
    }
    let db = Db::open(layer("lower/a")).unwrap();
    (0..4).for_each(|_| _ = stamp(&db, 10));
    drop(db);
    fs::remove_file(layer("lower/a-lock")).unwrap();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        layer("lower").display(),
        layer("upper").display(),
        layer("work").display()
    );
    let merged = Mounted::new("overlay", &options, Path::new("overlay"), layer("merged"))?;
    Some((disk, merged))
}

/// Gives each of `count` entries the transaction's id for a value.
fn stamp(db: &Db, count: u64) -> TransactionId {
    db.update(|tx| {
        let mut small = tx.table(&SMALL)?;
        (0..count).try_for_each(|key| small.insert(key, tx.id().get()).map(drop))?;
        Ok(tx.id())
    })
    .unwrap()
}

#[track_caller]
fn assert_stamped(rx: &ReadTxn) {
    let small = rx.table(&SMALL).unwrap();
    assert!(small.len() >= 10);
    let stamp = small.first().unwrap().unwrap().1;
    assert!(rx.id().get() - stamp <= 2, "a recovery adds a transaction");
    small.iter().for_each(|entry| assert_eq!(entry.unwrap().1, stamp));
}

#[test]
fn a_reader_on_overlayfs_is_told_when_its_file_is_another_one() {
    if cfg!(mapleaf_portable) {
        return; // there it is not asked what file system it is
    }
    let folder = tempfile::tempdir().unwrap();
    let Some((_disk, merged)) = overlay(folder.path()) else { return };
    let path = merged.path().join("a");
    let open_to_read = || Db::options().read_only(true).open(&path).unwrap();
    let before = open_to_read();
    let old = before.read().unwrap();
    assert_stamped(&old);
    let db = Db::open(&path).unwrap();
    assert_stamped(&before.read().unwrap()); // nothing has been written yet
    let after = open_to_read();
    for count in [10, 10, 100_000] {
        let id = stamp(&db, count);
        // Small, and then longer than the file in the lower layer.
        let error = before.read().expect_err("it has the lower layer's file");
        assert!(matches!(error, Error::Replaced { .. }), "{error}");
        assert!(
            error.to_string().contains("overlayfs") && error.to_string().contains("open it again"),
            "{error}"
        );
        assert!(matches!(before.check(), Err(Error::Replaced { .. })));
        assert_stamped(&old);
        for reader in [&after, &open_to_read()] {
            let rx = reader.read().unwrap();
            assert_eq!(rx.id(), id);
            assert_stamped(&rx);
            assert_clean(reader);
        }
    }
    drop((before, old, after, db));
    // A file that is in the upper layer already is the one that writers write.
    let before = open_to_read();
    let db = Db::open(&path).unwrap();
    for count in [100_000, 200_000] {
        let id = stamp(&db, count);
        let rx = before.read().unwrap();
        assert_eq!(rx.id(), id);
        assert_stamped(&rx);
    }
    assert_clean(&db);
}

#[test]
fn a_database_on_vfat_works() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.vfat").arg(&image).output();
    if !made.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no mkfs.vfat here");
        return;
    }
    let Some(disk) = Mounted::new("vfat", "loop", &image, folder.path().join("disk")) else { return };
    let path = disk.path().join("a.mapleaf");
    for mode in BOTH_MODES {
        let db = open(&path, mode);
        let reader = Db::options().read_only(true).open(&path).unwrap();
        for count in [10, 50_000, 20] {
            stamp(&db, count);
            assert_eq!(reader.read().unwrap().id(), db.read().unwrap().id());
            assert_clean(&reader);
        }
        reader.read().unwrap().copy().to_path(disk.path().join("copy")).unwrap();
        assert_clean(&Db::open(disk.path().join("copy")).unwrap());
        fs::remove_file(disk.path().join("copy")).unwrap();
        drop((reader, db));
        assert_clean(&open(&path, mode));
    }
}

#[test]
fn a_database_of_one_entry_is_small_once_closed() {
    for mode in BOTH_MODES {
        let (folder, path) = scratch();
        let db = open(&path, mode);
        db.update(|tx| tx.table(&SMALL)?.insert(0, 0)).unwrap();
        db.compact().unwrap();
        db.shrink().unwrap();
        db.close().unwrap();
        let files = fs::read_dir(folder.path()).unwrap();
        let on_disk: u64 = files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum();
        assert!(on_disk < 40 << 10, "{on_disk} bytes");
        // What is committed next finds room, and the file is short again when that is asked for.
        let db = open(&path, mode);
        settle(&db);
        db.compact().unwrap();
        db.shrink().unwrap();
        assert_clean(&db);
        assert!(length(&path) < 100 << 10, "{}", length(&path));
        assert_eq!(db.read().unwrap().table(&SMALL).unwrap().len(), 2);
    }
}
