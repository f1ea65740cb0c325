//! The limits that the README states.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::process;
use crate::common::{assert_clean, child_task, run_child, scratch};
use mapleaf::admin::Inspector;
use mapleaf::{AccessPattern, Db, Durability, Error, OpenOptions, Table, Verify, WriteMode};

const BYTES: Table<[u8], [u8]> = Table::new("bytes");
const NUMBERS: Table<u64, u64> = Table::new("numbers");
const VALUES: Table<u64, [u8]> = Table::new("values");

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
    let values = rx.table(&BYTES).unwrap().iter();
    let odd = values.filter(|entry| entry.as_ref().unwrap().1.as_ptr().addr() % 2 == 1).count();
    assert!(odd > 0, "if values were aligned, the documentation of `Value` could promise it");
}

#[test]
fn a_table_name_has_1024_bytes() {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    let create = |length: usize| tx.table(&Table::<u64, u64>::new(&"n".repeat(length))).map(drop);
    assert!(create(1024).is_ok());
    assert!(matches!(create(1025), Err(Error::TableNameTooLong { length: 1025, limit: 1024 })));
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
        let numbers = rx.table(&NUMBERS).map(|table| {
            // The last keys lie after what is mapped, wherever the root is.
            is_told(table.get(299_999).map(drop));
            is_told(table.iter().try_for_each(|entry| entry.map(drop)));
            is_told(table.iter().rev().try_for_each(|entry| entry.map(drop)));
            is_told(table.get_many([299_999, 299_998]).map(drop));
        });
        if numbers.is_err() {
            is_told(numbers);
        }
        is_told(db.check());
        is_told(rx.copy().to_path(folder.path().join("copy")));
        is_told(rx.copy().to_writer(&mut std::io::sink()));
        is_told(rx.copy().compact().to_path(folder.path().join("compact")));
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
    // Nor do copies of large values, and entries that wait to be sorted, end the process.
    let large = 64 << 20;
    db.update(|tx| tx.table(&BYTES)?.insert_reserve(b"large", large).map(drop)).unwrap();
    let used = std::fs::read_to_string("/proc/self/statm").unwrap();
    let used: u64 = used.split(' ').next().unwrap().parse().unwrap();
    process::limit(libc::RLIMIT_AS, used * 4096 + large as u64 / 2);
    db.update(|tx| {
        let mut bytes = tx.table(&BYTES)?;
        for refused in [bytes.take(b"large"), bytes.replace(b"large", b"")] {
            assert!(
                matches!(refused, Err(Error::OutOfMemory { .. })),
                "{:?}",
                refused.map(|old| old.is_some())
            );
        }
        assert_eq!(bytes.get(b"large")?.map(<[u8]>::len), Some(large));
        bytes.insert(b"after", b"value")
    })
    .unwrap();
    let mut owned = Arc::new(db.read().unwrap()).owned_table(&BYTES).unwrap().iter();
    assert_eq!(owned.next().unwrap().unwrap().1, b"value");
    assert!(matches!(owned.next(), Some(Err(Error::OutOfMemory { .. }))));
    let loaded = db.update(|tx| {
        let disorder = (0..1000u64).rev().map(|number| (number.to_string().into_bytes(), [7; 100_000]));
        tx.table(&BYTES)?.insert_many(disorder)
    });
    assert!(matches!(loaded, Err(Error::OutOfMemory { .. })), "{loaded:?}");
    assert_clean(&db);
}

/// A handle's options, by a name.
type Choice = (&'static str, fn(OpenOptions) -> OpenOptions);

/// The least `max_size`: a handle with it meets its limit.
const MIN_SIZE: u64 = 1 << 20;

const CHOICES: [Choice; 18] = [
    ("default", |options| options),
    ("pages of 4096 bytes", |options| options.page_size(4096)),
    ("pages of 65536 bytes", |options| options.page_size(65_536)),
    ("not created", |options| options.create(false)),
    ("read only", |options| options.read_only(true)),
    ("least max_size", |options| options.max_size(MIN_SIZE)),
    ("least max_size, mapped", |options| options.max_size(MIN_SIZE).write_mode(WriteMode::Mapped)),
    ("least max_size, read only", |options| options.max_size(MIN_SIZE).read_only(true)),
    ("large max_size", |options| options.max_size(4 << 40)),
    ("mapped", |options| options.write_mode(WriteMode::Mapped)),
    ("verified always", |options| options.verify(Verify::Always)),
    ("verified never", |options| options.verify(Verify::Never)),
    ("sequential", |options| options.access_pattern(AccessPattern::Sequential)),
    ("normal, huge pages", |options| options.access_pattern(AccessPattern::Normal).huge_pages(true)),
    ("little memory", |options| options.dirty_memory(1)),
    ("little memory, mapped", |options| options.dirty_memory(1).write_mode(WriteMode::Mapped)),
    ("mode 0600", |options| options.mode(0o600)),
    ("any file system", |options| options.any_file_system(true).on_stale_reader(Duration::ZERO, |_| {})),
];

fn opened(choice: Choice, path: &Path) -> mapleaf::Result<Db> {
    choice.1(Db::options()).open(path)
}

/// The result of a step of a handle; `None` if it has met its own limit, which only the handle with the least may.
#[track_caller]
fn unless_limited<T>((name, _): Choice, result: mapleaf::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::MappingTooSmall { .. } | Error::Full { max_size: MIN_SIZE })
            if name.contains("least max_size") =>
        {
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn value_of(key: u64) -> [u8; 3000] {
    [key as u8; 3000]
}

/// Writes `count` entries through a handle, after the `entries` that there are. A handle that may not write returns an
/// error.
fn add_entries(choice: Choice, db: &Db, entries: &mut u64, count: u64) {
    let changed = db.write().and_then(|tx| {
        let mut values = tx.table(&VALUES)?;
        (*entries..*entries + count).try_for_each(|key| values.insert(key, value_of(key)).map(drop))?;
        drop(values);
        tx.commit_with(Durability::Lazy)
    });
    if choice.0.contains("read only") {
        assert!(matches!(changed, Err(Error::ReadOnly)));
    } else if unless_limited(choice, changed).is_some() {
        *entries += count;
    }
}

/// All entries are there.
fn assert_entries(choice: Choice, db: &Db, entries: u64) {
    let rx = db.read().unwrap();
    for is_backward in [false, true] {
        let found = rx.table(&VALUES).and_then(|values| {
            let mut next = 0;
            let mut look = |entry: mapleaf::Result<(u64, &[u8])>| -> mapleaf::Result<()> {
                let (key, value) = entry?;
                let expected = if is_backward { entries - 1 - next } else { next };
                assert!(key == expected && value == value_of(expected), "{}: {key}", choice.0);
                next += 1;
                Ok(())
            };
            match is_backward {
                false => values.iter().try_for_each(&mut look)?,
                true => values.iter().rev().try_for_each(&mut look)?,
            }
            Ok(next)
        });
        if let Some(found) = unless_limited(choice, found) {
            assert_eq!(found, entries, "{}", choice.0);
        }
    }
}

fn assert_sound(choice: Choice, db: &Db, entries: u64) {
    assert_entries(choice, db, entries);
    if let Some(report) = unless_limited(choice, db.check()) {
        assert!(report.is_clean(), "{}: {report}", choice.0);
    }
}

/// One handle with one choice, and another with another: beside it, and after it.
fn open_with_two_choices(first: Choice, second: Choice) {
    // Nothing here depends on what a sync is worth: in memory they take no time.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("database");
    let page_bytes = match opened(first, &path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            assert!(first.0.contains("read only") || first.0 == "not created", "{}", first.0);
            4096
        }
        result => result.unwrap().stats().unwrap().page_size,
    };
    Db::open(&path).unwrap().update(|tx| tx.table(&VALUES).map(drop)).unwrap();
    let is_refused = second.0.starts_with("pages") && !second.0.contains(&page_bytes.to_string());
    let open_second = || match opened(second, &path) {
        Err(Error::PageSizeMismatch { found, .. }) if is_refused && found == page_bytes => None,
        result => Some(result.unwrap_or_else(|error| panic!("{}: {error}", second.0))),
    };
    let mut entries = 0;
    // At last the file is longer than the least size.
    for count in [3, 100] {
        let one = opened(first, &path).unwrap();
        add_entries(first, &one, &mut entries, count);
        let other = open_second();
        assert_eq!(other.is_none(), is_refused);
        let old = one.read().unwrap();
        for _ in 0..2 {
            for (choice, db) in [(first, Some(&one)), (second, other.as_ref())] {
                let Some(db) = db else { continue };
                add_entries(choice, db, &mut entries, count);
                assert_entries(first, &one, entries);
                other.iter().for_each(|other| assert_entries(second, other, entries));
            }
        }
        drop((old, one));
        other.iter().for_each(|other| {
            add_entries(second, other, &mut entries, count);
            assert_sound(second, other, entries);
        });
        drop(other);
        open_second().iter().for_each(|alone| assert_sound(second, alone, entries));
        assert_sound(first, &opened(first, &path).unwrap(), entries);
    }
    assert_clean(&Db::open(&path).unwrap());
}

/// The options of one handle do not affect another.
#[test]
fn handles_of_one_file_open_with_every_pair_of_options() {
    std::thread::scope(|scope| {
        for first in CHOICES {
            scope.spawn(move || {
                CHOICES.into_iter().for_each(|second| {
                    let told = std::panic::catch_unwind(|| open_with_two_choices(first, second));
                    assert!(told.is_ok(), "first {}, then {}", first.0, second.0);
                });
            });
        }
    });
}
