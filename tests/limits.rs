//! The limits that the README states.

use mapleaf::{Db, Error, Table};

const BYTES: Table<[u8], [u8]> = Table::new("bytes");

#[test]
fn a_key_has_half_a_page_less_64_bytes() {
    for (page_size, limit) in [(4096, 1984), (65536, 32704)] {
        let db = Db::options().page_size(page_size).in_memory().unwrap();
        let tx = db.write().unwrap();
        let mut bytes = tx.table(&BYTES).unwrap();
        assert!(bytes.insert(vec![7; limit], b"").unwrap());
        let refused = bytes.insert(vec![7; limit + 1], b"");
        assert!(matches!(refused, Err(Error::KeyTooLong { length, limit: stated })
            if length == limit + 1 && stated == limit));
        assert_eq!(bytes.len(), 1);
    }
}

#[test]
fn values_lie_at_any_address() {
    let db = Db::in_memory().unwrap();
    db.update(|tx| {
        let mut bytes = tx.table(&BYTES)?;
        (1..40u8).try_for_each(|length| bytes.insert([length], vec![length; length.into()]).map(drop))
    })
    .unwrap();
    let rx = db.read().unwrap();
    let values = rx.table(&BYTES).unwrap().iter().unwrap();
    let odd = values.filter(|entry| entry.as_ref().unwrap().1.as_ptr().addr() % 2 == 1).count();
    assert!(odd > 0, "if values were aligned, the documentation of `Value` could promise it");
}

#[test]
fn a_table_name_has_1024_bytes() {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    let named = |length: usize| Table::<u64, u64>::named("n".repeat(length));
    assert!(tx.table(&named(1024)).is_ok());
    assert!(matches!(tx.table(&named(1025)), Err(Error::TableNameTooLong { length: 1025, limit: 1024 })));
}

#[test]
fn there_are_16384_readers_and_one_writer() {
    let db = Db::in_memory().unwrap();
    let readers: Vec<_> = (0..16384).map(|_| db.read().unwrap()).collect();
    assert!(matches!(db.read(), Err(Error::ReadersFull { slots: 16384 })));
    let tx = db.write().unwrap();
    assert!(db.try_write().unwrap().is_none());
    drop((readers, tx));
    assert!(db.read().is_ok());
    assert!(db.try_write().unwrap().is_some());
}

#[test]
fn max_size_is_a_mebibyte_at_least_and_an_error_when_it_is_reached() {
    assert!(matches!(Db::options().max_size((1 << 20) - 1).in_memory(), Err(Error::InvalidOption { .. })));
    let folder = tempfile::tempdir().unwrap();
    let db = Db::options().max_size(1 << 20).open(folder.path().join("a.mapleaf")).unwrap();
    let fill = |bytes: usize| db.update(|tx| tx.table(&BYTES)?.insert(b"key", vec![1; bytes]));
    assert!(fill(100_000).is_ok());
    assert!(matches!(fill(2 << 20), Err(Error::Full { max_size: 1_048_576 })));
    assert_eq!(db.view(|rx| Ok(rx.table(&BYTES)?.get(b"key")?.map(<[u8]>::len))).unwrap(), Some(100_000));
    assert!(fill(100).is_ok(), "the handle goes on");
    assert!(db.check().unwrap().is_clean());
}

#[test]
fn the_file_grows_and_shrinks_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let length = || std::fs::metadata(&path).unwrap().len();
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&BYTES)?.insert(b"key", vec![1; 50 << 20])).unwrap();
    assert!(length() > 50 << 20);
    db.update(|tx| tx.table(&BYTES)?.remove(b"key")).unwrap();
    // The end is given up by a commit that finds it free. A page that was put there moves down when it is next written.
    for value in 0..20 {
        db.update(|tx| tx.table(&BYTES)?.insert(b"key", [value])).unwrap();
    }
    assert!(length() < 1 << 20, "the file has {} bytes", length());
    assert!(db.check().unwrap().is_clean());
}
