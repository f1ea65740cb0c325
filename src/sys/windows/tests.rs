//! What there is on Windows, and what is said of the rest.

use crate::{Db, Error, Table, restore, salvage};
use std::io::ErrorKind;

const NUMBERS: Table<u64, str> = Table::new("numbers");

#[test]
fn a_database_in_memory_does_everything() {
    let db = Db::in_memory().unwrap();
    for round in 0..20u64 {
        let tx = db.write().unwrap();
        {
            let mut numbers = tx.table(&NUMBERS).unwrap();
            (0..2000).for_each(|number| _ = numbers.insert(number * 20 + round, "some text").unwrap());
        }
        tx.commit().unwrap();
    }
    let reader = db.read().unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.clear()).unwrap();
    assert_eq!(reader.table(&NUMBERS).unwrap().len(), 40_000);
    assert!(reader.table(&NUMBERS).unwrap().iter().unwrap().all(|entry| entry.unwrap().1 == "some text"));
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), 0);
    assert!(db.check().unwrap().is_clean());
}

#[test]
fn a_file_is_refused_with_what_is_missing() {
    let folder = std::env::temp_dir();
    let file = |name: &str| folder.join(name);
    let errors = [
        Db::open(file("a")).unwrap_err(),
        Db::options().read_only(true).open(file("a")).unwrap_err(),
        salvage(file("a"), file("b")).err().unwrap(),
        restore(file("a"), [&b""[..]], file("b")).err().unwrap(),
        Db::in_memory().unwrap().read().unwrap().copy().to_path(file("a")).err().unwrap(),
    ];
    for error in errors {
        let Error::Io { source, .. } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("on Windows mapleaf has databases in memory only"), "{error}");
    }
    assert!(!file("a").exists() && !file("b").exists());
}
