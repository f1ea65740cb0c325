//! A database that is opened by a link is the same database.
#![cfg(unix)]

use std::os::unix::fs::symlink;

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
