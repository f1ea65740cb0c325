//! Files that grow to many MiB and shrink again, and files as a crash may leave them.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use common::{BOTH_MODES, assert_clean, child, child_task, is_long, scratch};
use mapleaf::{Db, Durability, Table, WriteMode};

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
    for entry in bytes.iter().unwrap() {
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
                2 => assert_eq!(db.update(|tx| tx.table(&BYTES)?.delete_range(..)).unwrap(), mebibytes * 61),
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
        for entry in rx.table(&BYTES).unwrap().iter().unwrap() {
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
        assert!(rx.table(&SMALL).unwrap().iter().unwrap().all(|entry| entry.unwrap().1 == round));
        drop(rx);
        other.update(|tx| tx.table(&BYTES)?.insert(5, vec![3; 10_000])).unwrap();
        assert_clean(&other);
        other.close().unwrap();
        fs::remove_file(&copy).unwrap();
        fs::remove_file(folder.path().join("copy.mapleaf-lock")).unwrap();
    }
    assert_clean(&db);
}

/// A backup is put in the place of a database whose last user was killed, and had made lazy commits over the same
/// durable one.
#[test]
fn a_restored_backup_is_not_taken_for_what_a_killed_process_left() {
    let (folder, path) = scratch();
    let backup = folder.path().join("backup");
    let mut user = child("backup_child", &path).stdout(Stdio::piped()).spawn().unwrap();
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
        let (_folder, path) = scratch();
        let db = open(&path, mode);
        fill(&db, 1);
        drop(db);
        // A crash after growth, before a record that speaks of it.
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
            let place = bytes.reserve(2, 17 << 20).unwrap();
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
