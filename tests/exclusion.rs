//! Who shares a database, by whatever name, and who is kept from it.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use mapleaf::{Db, Error, Table};

const NUMBERS: Table<u64, u64> = Table::new("numbers");

fn count(db: &Db) -> u64 {
    db.view(|rx| Ok(rx.table(&NUMBERS)?.len())).unwrap()
}

#[test]
fn a_file_opens_several_times_in_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let handles: Vec<Db> = (0..4).map(|_| Db::open(&path).unwrap()).collect();
    let reader = Db::options().read_only(true).open(&path).unwrap();
    for (number, db) in handles.iter().enumerate() {
        db.update(|tx| tx.table(&NUMBERS)?.insert(number as u64, 1)).unwrap();
        assert!(handles.iter().chain([&reader]).all(|other| count(other) == number as u64 + 1));
    }
    let tx = handles[0].write().unwrap();
    assert!(handles[1].try_write().unwrap().is_none(), "one writes at a time");
    drop(tx);
    assert!(matches!(reader.write(), Err(Error::ReadOnly)));
    drop(handles);
    assert_eq!(count(&reader), 4, "the reader stays");
    assert!(reader.check().unwrap().is_clean());
}

#[test]
fn a_symbolic_link_is_the_same_database() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a.mapleaf"), folder.path().join("b.mapleaf"));
    let db = Db::open(&path).unwrap();
    symlink(&path, &link).unwrap();
    let other = Db::open(&link).unwrap();
    other.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    assert_eq!(count(&db), 1);
    assert!(!folder.path().join("b.mapleaf-lock").exists());
}

/// A hard link has a lock file of its own, in which nobody is; but presence is a lock on the data file.
#[test]
fn a_hard_link_is_refused_while_the_file_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a.mapleaf"), folder.path().join("b.mapleaf"));
    let db = Db::open(&path).unwrap();
    fs::hard_link(&path, &link).unwrap();
    let error = Db::open(&link).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    assert!(error.to_string().contains("b.mapleaf-lock"), "{error}");
    drop(db);
    Db::open(&link).unwrap();
}

#[test]
fn a_removed_lock_file_is_noticed_by_writers_and_newcomers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    fs::remove_file(folder.path().join("a.mapleaf-lock")).unwrap();
    assert!(matches!(Db::open(&path), Err(Error::Replaced { .. })), "the others are somewhere else");
    assert!(matches!(db.write(), Err(Error::Replaced { .. })));
    assert_eq!(count(&db), 1, "readers go on");
    drop(db);
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(2, 2)).unwrap();
    assert_eq!(count(&db), 2);
}

#[test]
fn a_data_file_that_was_replaced_is_noticed_by_writers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    fs::copy(&path, folder.path().join("copy")).unwrap();
    fs::rename(folder.path().join("copy"), &path).unwrap();
    assert!(matches!(db.write(), Err(Error::Replaced { .. })));
    assert_eq!(count(&db), 1, "readers go on with the old file");
    drop(db);
    assert_eq!(count(&Db::open(&path).unwrap()), 1);
}

/// Whoever may read the database and not write its lock file cannot be seen as a reader: so it is there alone.
#[test]
fn without_a_lock_file_to_write_a_reader_is_there_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lock) = (folder.path().join("a.mapleaf"), folder.path().join("a.mapleaf-lock"));
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o444)).unwrap();
    if fs::OpenOptions::new().write(true).open(&lock).is_ok() {
        println!("skipped: this user may write every file");
        return;
    }
    let read_only = || Db::options().read_only(true).open(&path);
    assert!(matches!(read_only(), Err(Error::InUse { .. })));
    drop(db);
    let readers = [read_only().unwrap(), read_only().unwrap()];
    assert!(readers.iter().all(|reader| count(reader) == 1));
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o644)).unwrap();
    let db = Db::open(&path).unwrap();
    assert!(db.try_write().unwrap().is_none(), "writers wait until such readers are gone");
    drop(readers);
    db.update(|tx| tx.table(&NUMBERS)?.insert(2, 2)).unwrap();
}
