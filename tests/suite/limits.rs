//! The limits that the README states.

use crate::common::process;
use crate::common::{assert_clean, child_task, run_child, scratch};
use mapleaf::inspect::Inspector;
use mapleaf::{Db, Error, Table};

const BYTES: Table<[u8], [u8]> = Table::new("bytes");
const NUMBERS: Table<u64, u64> = Table::new("numbers");

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
    assert_eq!(db.stats().unwrap().readers, 16384, "which needs no slot");
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

fn fill(db: &Db, count: u64) {
    db.update(|tx| {
        let mut numbers = tx.table(&NUMBERS)?;
        (0..count).try_for_each(|key| numbers.insert(key, key).map(drop))
    })
    .unwrap();
}

/// A handle with a small `max_size` beside one that has made the file longer: each thing that it cannot do says so, and
/// none says that the file is damaged.
#[test]
fn a_file_longer_than_the_handles_mapping_is_not_called_damaged() {
    let (folder, path) = scratch();
    let small = Db::options().max_size(1 << 20).open(&path).unwrap();
    let reader = Db::options().max_size(1 << 20).read_only(true).open(&path).unwrap();
    fill(&small, 1);
    let old = small.read().unwrap();
    let large = Db::open(&path).unwrap();
    fill(&large, 300_000);
    assert_clean(&large);
    let file_bytes = std::fs::metadata(&path).unwrap().len();
    #[track_caller]
    fn is_told<T>(result: mapleaf::Result<T>) {
        let error = result.err().expect("the mapping is too small");
        assert!(matches!(error, Error::MappingTooSmall { mapped: 1_048_576, .. }), "{error}");
        assert!(error.to_string().contains("open the database again, with a max_size of"), "{error}");
    }
    for db in [&small, &reader] {
        let rx = db.read().unwrap();
        let numbers = rx.table(&NUMBERS).and_then(|table| {
            // The last keys lie behind what is mapped, wherever the root is.
            is_told(table.get(299_999).map(drop));
            is_told(table.iter()?.try_for_each(|entry| entry.map(drop)));
            is_told(table.iter()?.rev().try_for_each(|entry| entry.map(drop)));
            is_told(table.get_many([299_999, 299_998]).map(drop));
            Ok(())
        });
        if numbers.is_err() {
            is_told(numbers);
        }
        is_told(db.check());
        is_told(rx.copy_to(folder.path().join("copy")));
        is_told(rx.copy_to_writer(&mut std::io::sink()));
        is_told(rx.compact_to(folder.path().join("compact")));
    }
    is_told(small.write().map(drop));
    is_told(small.update(|tx| tx.table(&NUMBERS)?.insert(1, 2)));
    assert_eq!(old.table(&NUMBERS).unwrap().get(0).unwrap(), Some(0), "an old snapshot is read on");
    assert_eq!(Inspector::open(&path, None).unwrap().page_count() as u64, file_bytes / 4096);
    drop((old, small, reader, large));
    // Opened again it has what it needs, whatever its limit: that is one for growth.
    let small = Db::options().max_size(1 << 20).open(&path).unwrap();
    assert_eq!(small.read().unwrap().table(&NUMBERS).unwrap().get(299_999).unwrap(), Some(299_999));
    assert_clean(&small);
    small.update(|tx| tx.table(&NUMBERS)?.insert(1, 2)).unwrap();
    let refused = small.update(|tx| tx.table(&BYTES)?.insert(b"large", vec![1; 4 << 20]));
    assert!(matches!(refused, Err(Error::Full { max_size: 1_048_576 })), "{refused:?}");
}

#[test]
fn a_thousand_databases_leave_addresses_to_the_program() {
    run_child(concat!(module_path!(), "::many_databases_child"), "");
}

#[test]
#[ignore = "run by a_thousand_databases_leave_addresses_to_the_program as another process"]
fn many_databases_child() {
    let Some(_) = child_task() else { return };
    process::limit(libc::RLIMIT_NOFILE, 16_384);
    let mut databases = Vec::new();
    for _ in 0..1000 {
        match Db::in_memory() {
            Ok(db) => databases.push(db),
            Err(error) => {
                assert!(error.to_string().contains("(ulimit -n)"), "{error}");
                println!("skipped: this user may not have as many files open");
                return;
            }
        }
    }
    assert!(Vec::<u8>::new().try_reserve_exact(1 << 30).is_ok(), "addresses are left");
    std::thread::spawn(|| ()).join().unwrap();
    for db in databases.iter().step_by(333) {
        db.update(|tx| tx.table(&BYTES)?.insert(b"key", vec![1; 20 << 20])).unwrap();
    }
    Db::options().max_size(8 << 40).in_memory().unwrap();
}

#[test]
fn little_address_space_is_named_as_what_it_is() {
    run_child(concat!(module_path!(), "::little_address_space_child"), "");
}

#[test]
#[ignore = "run by little_address_space_is_named_as_what_it_is as another process"]
fn little_address_space_child() {
    let Some(_) = child_task() else { return };
    let (folder, path) = scratch();
    let long = folder.path().join("long");
    fill(&Db::open(&long).unwrap(), 1);
    let file = std::fs::OpenOptions::new().write(true).open(&long).unwrap();
    file.set_len(8 << 30).unwrap();
    process::limit(libc::RLIMIT_AS, 4 << 30);
    let error = Db::open(&long).unwrap_err();
    assert!(
        error.to_string().contains("no more addresses") && error.to_string().contains("ulimit -v"),
        "{error}"
    );
    // These read by system calls.
    let inspector = Inspector::open(&long, None).unwrap();
    assert!(inspector.page(2).unwrap().problems.is_empty());
    // What is mapped is not what `max_size` says.
    let db = Db::open(&path).unwrap();
    let reserve = |bytes| db.update(|tx| tx.table(&BYTES)?.insert_reserve(b"large", bytes).map(drop));
    let error = [1 << 30, 2 << 30].map(reserve).into_iter().find_map(Result::err).expect("it has no room");
    assert!(matches!(error, Error::MappingTooSmall { .. } | Error::OutOfMemory { .. }), "{error}");
    assert!(error.to_string().contains("ulimit -v"), "{error}");
    assert_clean(&db);
    // A value that memory is refused for changes nothing, and the transaction goes on.
    db.update(|tx| {
        let mut bytes = tx.table(&BYTES)?;
        let refused = bytes.insert_reserve(b"large", 0xf000_0000);
        assert!(matches!(refused, Err(Error::OutOfMemory { bytes }) if bytes >= 0xf000_0000), "{refused:?}");
        bytes.insert(b"small", b"value")
    })
    .unwrap();
    assert_clean(&db);
}
