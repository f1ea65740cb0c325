//! Who is locked out: whatever link a database is opened by, and whatever its lock file allows.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use mapleaf::{Db, Error};

#[test]
fn a_symbolic_link_excludes_as_the_file_itself_does() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a.mapleaf"), folder.path().join("b.mapleaf"));
    let db = Db::open(&path).unwrap();
    symlink(&path, &link).unwrap();
    assert!(matches!(Db::open(&link), Err(Error::InUse { .. })));
    assert!(matches!(Db::options().read_only(true).open(&link), Err(Error::InUse { .. })));
    drop(db);
    let db = Db::open(&link).unwrap();
    assert!(matches!(Db::open(&path), Err(Error::InUse { .. })));
    drop(db);
}

/// Whoever may read the database and not write its lock file is locked out by a writer as anybody is.
#[test]
fn a_lock_file_that_may_not_be_written_excludes_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lock) = (folder.path().join("a.mapleaf"), folder.path().join("a.mapleaf-lock"));
    let db = Db::open(&path).unwrap();
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o444)).unwrap();
    assert!(matches!(Db::options().read_only(true).open(&path), Err(Error::InUse { .. })));
    drop(db);
    Db::options().read_only(true).open(&path).unwrap();
}
