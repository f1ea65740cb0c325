//! Errors as values: what they print, what they convert to, errors of a caller's own, and what is said of a file that
//! cannot be opened.

use std::error::Error as _;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::common::{Random, assert_clean, scratch};
use mapleaf::admin::Inspector;
use mapleaf::{Db, Error, FileKind, Table, admin, restore, salvage};

const NUMBERS: Table<u64, str> = Table::new("numbers");

// ---- what they print, and convert to ----

/// One error of each kind of place: opening, the system, a table, a key.
fn some_errors() -> Vec<Error> {
    let (_folder, path) = scratch();
    fs::write(&path, "text").unwrap();
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    let too_long =
        tx.table::<[u8], str>(&Table::new("bytes")).unwrap().insert(vec![7; 5000], "").unwrap_err();
    vec![
        Db::open(&path).unwrap_err(),
        Db::open("/no/such/folder/app.mapleaf").unwrap_err(),
        db.read().unwrap().table(&NUMBERS).unwrap_err(),
        tx.rename_table("none", "other").unwrap_err(),
        too_long,
    ]
}

#[test]
fn a_main_that_returns_an_error_prints_its_text() {
    for error in some_errors() {
        let printed = format!("{error:?}"); // what Rust's runtime prints of what `main` returns
        assert_eq!(printed, error.to_string());
        assert!(
            printed.contains("; ") || printed.contains("os error"),
            "it does not say what to do: {printed}"
        );
        assert!(!printed.contains('{'), "{printed}");
    }
}

#[derive(Debug)]
struct Unplugged;

impl fmt::Display for Unplugged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cable is unplugged")
    }
}

impl std::error::Error for Unplugged {}

/// An error of a writer, which has a cause.
#[derive(Debug)]
struct Disconnected(Unplugged);

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the backup server is gone")
    }
}

impl std::error::Error for Disconnected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

struct Server;

impl Write for Server {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::new(ErrorKind::ConnectionReset, Disconnected(Unplugged)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_sources_of_a_writers_error_are_printed_once_each() {
    let db = Db::in_memory().unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, "one")).unwrap();
    let error = db.read().unwrap().copy().to_writer(&mut Server).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the backup server is gone"), "{text}");
    assert_eq!(error.source().unwrap().to_string(), "the cable is unplugged");
    assert_eq!(format!("{error:?}"), format!("{text}\n  caused by: the cable is unplugged"));

    let copy = error.clone();
    drop(error);
    assert_eq!(copy.to_string(), text);
    let Error::Io { source, .. } = &copy else { panic!("{copy}") };
    assert!(source.get_ref().unwrap().is::<Disconnected>(), "a clone has the writer's own error");
    assert_eq!(io::Error::from(copy).kind(), ErrorKind::ConnectionReset);
}

#[test]
fn an_error_becomes_an_io_error_with_its_text_and_kind() {
    let kinds = [
        ErrorKind::InvalidData,
        ErrorKind::NotFound,
        ErrorKind::NotFound,
        ErrorKind::NotFound,
        ErrorKind::InvalidInput,
    ];
    for (error, kind) in some_errors().into_iter().zip(kinds) {
        let io_error = io::Error::from(error.clone());
        assert_eq!((io_error.kind(), io_error.to_string()), (kind, error.to_string()));
        let original: Error = io_error.downcast().unwrap();
        assert_eq!(original.to_string(), error.to_string());
    }
    fn read(db: &Db) -> io::Result<u64> {
        Ok(db.read()?.table(&NUMBERS)?.len())
    }
    assert_eq!(read(&Db::in_memory().unwrap()).unwrap_err().kind(), ErrorKind::NotFound);
}

// ---- errors of a caller's own ----

#[derive(Debug, PartialEq)]
enum Refusal {
    Database(String),
    Odd(u64),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Database(error.to_string())
    }
}

#[test]
fn an_error_of_ones_own_undoes_the_transaction() {
    let db = Db::in_memory().unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(0, "zero")).unwrap();
    let before = db.read().unwrap().id();
    let refused = db.try_update(|tx| {
        let mut numbers = tx.table(&NUMBERS)?;
        numbers.insert(1, "one")?;
        if numbers.len() % 2 == 0 { Err(Refusal::Odd(1)) } else { Ok(()) }
    });
    assert_eq!(refused, Err(Refusal::Odd(1)));
    assert_eq!(db.read().unwrap().id(), before);
    let value = db.try_update(|tx| Ok::<_, Refusal>(tx.table(&NUMBERS)?.insert(1, "one")?));
    assert_eq!(value, Ok(true));

    let odd = db.try_view(|rx| match rx.table(&NUMBERS)?.len() {
        2 => Err(Refusal::Odd(2)),
        other => Ok(other),
    });
    assert_eq!(odd, Err(Refusal::Odd(2)));
    // An error of the library comes in the caller's type.
    const NONE: Table<u64, u64> = Table::new("none");
    let missing = db.try_view(|rx| Ok::<_, Refusal>(rx.table(&NONE)?.len())).unwrap_err();
    assert!(matches!(missing, Refusal::Database(text) if text.contains("no table")));
    let poisoned = Db::options().in_memory().unwrap();
    let text = poisoned.try_update(|_| Err::<(), Box<dyn std::error::Error>>("enough".into())).unwrap_err();
    assert_eq!(text.to_string(), "enough");
}

#[test]
fn a_retain_that_ends_with_an_error_of_ones_own_cannot_be_committed() {
    let db = Db::in_memory().unwrap();
    let entries = (0..5000u64).map(|number| (number, "x"));
    db.update(|tx| tx.table(&NUMBERS)?.insert_many(entries)).unwrap();
    let tx = db.write().unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    // The first batches are removed before the error comes.
    let refused = numbers.try_retain(|number, _| match number {
        4000 => Err(Refusal::Odd(number)),
        _ => Ok(false),
    });
    assert_eq!(refused, Err(Refusal::Odd(4000)));
    assert!(matches!(numbers.get(1), Err(Error::TransactionFailed)));
    // Each step of an iterator returns the error, and none says that there are no more entries.
    let mut entries = numbers.iter();
    for _ in 0..2 {
        assert!(matches!(entries.next(), Some(Err(Error::TransactionFailed))));
        assert!(matches!(entries.next_back(), Some(Err(Error::TransactionFailed))));
    }
    assert!(matches!(numbers.range(8..8).next(), Some(Err(Error::TransactionFailed))));
    drop(numbers);
    assert!(matches!(tx.commit(), Err(Error::TransactionFailed)));
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), 5000);

    let kept = db.try_update(|tx| tx.table(&NUMBERS)?.try_retain(|number, _| Ok::<_, Refusal>(number < 10)));
    assert_eq!(kept, Ok(4990));
    assert_clean(&db);
}

// ---- files that cannot be opened ----

/// The first page of an LMDB database, as a 64-bit or a 32-bit machine has it, with little-endian numbers.
fn lmdb(word_len: usize) -> Vec<u8> {
    let mut bytes = vec![0; 8192];
    bytes[word_len + 8..][..4].copy_from_slice(&0xbeef_c0de_u32.to_le_bytes());
    bytes
}

fn sqlite() -> Vec<u8> {
    [&b"SQLite format 3\0\x10\0\x01\x01"[..], &[0; 8000]].concat()
}

/// A database whose two meta pages are noise.
fn without_meta_pages(folder: &Path, page_size: usize) -> Vec<u8> {
    let path = folder.join("whole");
    let db = Db::options().page_size(page_size).open(&path).unwrap();
    db.update(|tx| (0..2000).try_for_each(|number| tx.table(&NUMBERS)?.insert(number, "x").map(drop)))
        .unwrap();
    drop(db);
    let mut bytes = fs::read(&path).unwrap();
    let noise = Random::new(page_size as u64).bytes(2 * page_size);
    bytes[..2 * page_size].copy_from_slice(&noise);
    bytes
}

fn increment() -> Vec<u8> {
    let db = Db::in_memory().unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, "one")).unwrap();
    let since = db.read().unwrap().id();
    db.update(|tx| tx.table(&NUMBERS)?.insert(2, "two")).unwrap();
    let mut bytes = Vec::new();
    db.read().unwrap().copy().since(since).to_writer(&mut bytes).unwrap();
    bytes
}

/// Every function that opens a file refuses it, changes nothing, leaves nothing beside it, and says `words`.
#[track_caller]
fn refused_everywhere(bytes: &[u8], words: &[&str], is_expected: fn(&Error) -> bool) {
    let (folder, path) = scratch();
    fs::write(&path, bytes).unwrap();
    let names = || fs::read_dir(folder.path()).unwrap().count();
    let before = names();
    let opened = [
        Db::open(&path).map(drop),
        Db::options().read_only(true).open(&path).map(drop),
        Db::options().create(false).open(&path).map(drop),
        restore(&path, [&increment()[..]], folder.path().join("restored")).map(drop),
    ];
    for error in opened.map(Result::unwrap_err) {
        let text = error.to_string();
        assert!(is_expected(&error), "{text}");
        for word in words {
            assert!(text.contains(word), "{text:?} does not say {word:?}");
        }
        assert!(!text.contains("remove"), "what may be all that is left is not to be removed: {text}");
    }
    assert!(fs::read(&path).unwrap() == bytes, "the file was changed");
    assert_eq!(names(), before, "something was left beside the file");
}

#[test]
fn a_database_without_meta_pages_is_not_called_another_file() {
    for page_size in [4096, 16384, 65536] {
        let folder = tempfile::tempdir().unwrap();
        let bytes = without_meta_pages(folder.path(), page_size);
        let is_lost = |error: &Error| matches!(error, Error::MetaPagesLost { .. });
        refused_everywhere(&bytes, &["damaged", "meta page", "salvage", "backup"], is_lost);
        // And that is what helps.
        let path = folder.path().join("damaged");
        fs::write(&path, bytes).unwrap();
        let report = salvage(&path, folder.path().join("rescued")).unwrap();
        assert_eq!(report.damaged_pages, 0, "{report}");
        let rescued = Db::open(folder.path().join("rescued")).unwrap();
        assert_eq!(rescued.view(|rx| Ok(admin::raw_table(rx, &rx.tables()?[0].name)?.len())).unwrap(), 2000);
    }
}

/// One that says of itself that it is a database, too.
#[test]
fn meta_pages_with_wrong_checksums_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.mapleaf");
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, "one")).unwrap();
    drop(db);
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    bytes[4096 + 40] ^= 1;
    let is_lost = |error: &Error| matches!(error, Error::MetaPagesLost { .. });
    refused_everywhere(&bytes, &["damaged", "meta page", "salvage"], is_lost);
}

#[test]
fn files_of_other_programs_are_named() {
    refused_everywhere(&increment(), &["is an increment", "restore", "copy"], |error| {
        matches!(error, Error::NotADatabase { kind: FileKind::Increment, .. })
    });
    for word_len in [8, 4] {
        refused_everywhere(&lmdb(word_len), &["LMDB", "mdb_dump", "mapleaf load"], |error| {
            matches!(error, Error::NotADatabase { kind: FileKind::Lmdb, .. })
        });
    }
    refused_everywhere(&sqlite(), &["SQLite", "sqlite3", "mapleaf load"], |error| {
        matches!(error, Error::NotADatabase { kind: FileKind::Sqlite, .. })
    });
    refused_everywhere(&b"Dear diary,\n".repeat(1000), &["no meta page", "another path"], |error| {
        matches!(error, Error::NotADatabase { kind: FileKind::Unknown, .. })
    });
    // `salvage` and the inspector name them, too.
    let files = [(increment(), FileKind::Increment), (lmdb(8), FileKind::Lmdb), (sqlite(), FileKind::Sqlite)];
    for (bytes, kind) in files {
        let (folder, path) = scratch();
        fs::write(&path, bytes).unwrap();
        let salvaged = salvage(&path, folder.path().join("new")).map(drop);
        let inspected = Inspector::open(&path, None).map(drop);
        for error in [salvaged, inspected].map(Result::unwrap_err) {
            assert!(matches!(&error, Error::NotADatabase { kind: found, .. } if *found == kind), "{error}");
        }
    }
}
