//! Bad input gets a clear error, and nothing is lost.
//!
//! Of the errors' texts the words that help are asserted: what was expected, what was found, what to do.
//! Not tested: values of more than 4 GiB - 1 bytes (they would need as much memory); their limit is tested
//! where the tree is.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Random, assert_clean, child, child_task, scratch};
use mapleaf::{Db, Error, Table};

const NUMBERS: Table<u64, str> = Table::new("numbers");
const BYTES: Table<[u8], [u8]> = Table::new("bytes");

/// The error's text has each of these words.
#[track_caller]
fn assert_says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

/// Opening fails, the error says `words`, and neither the file nor its neighbours have changed.
#[track_caller]
fn refused(path: &Path, words: &[&str]) -> Error {
    let before = fs::read(path).ok();
    let error = Db::open(path).map(drop).unwrap_err();
    assert_says(&error, words);
    assert!(fs::read(path).ok() == before, "the file was changed");
    let read_only = Db::options().read_only(true).open(path).map(drop).unwrap_err();
    assert_says(&read_only, words);
    error
}

/// A database with something in it, closed.
fn sample(path: &Path, page_size: usize) -> Vec<u8> {
    let db = Db::options().page_size(page_size).open(path).unwrap();
    for round in 0..3 {
        db.update(|tx| {
            for number in 0..200u64 {
                tx.table(&NUMBERS)?.insert(number, format!("{number} in round {round}").as_str())?;
            }
            tx.table(&BYTES)?.insert(b"large", vec![round; 3 * page_size])?;
            Ok(())
        })
        .unwrap();
    }
    drop(db);
    fs::read(path).unwrap()
}

#[track_caller]
fn assert_is_sample(path: &Path) {
    let db = Db::open(path).unwrap();
    assert_clean(&db);
    let rx = db.read().unwrap();
    let numbers = rx.table(&NUMBERS).unwrap();
    assert_eq!(numbers.len(), 200);
    assert_eq!(numbers.get(7).unwrap(), Some("7 in round 2"));
}

#[test]
fn not_a_mapleaf_file() {
    let mut random = Random::new(1);
    let rows: [(&str, Vec<u8>); 9] = [
        ("one byte", vec![b'x']),
        ("text", b"Dear diary,\n".repeat(1000)),
        ("a line", b"hello\n".to_vec()),
        ("zeros", vec![0; 8192]),
        ("few zeros", vec![0; 100]),
        ("many zeros", vec![0; 1 << 20]),
        ("random", random.bytes(100_000)),
        ("few random", random.bytes(95)),
        ("another database", [&b"SQLite format 3\0"[..], &[0; 8000]].concat()),
    ];
    for (name, bytes) in rows {
        let (folder, path) = scratch();
        fs::write(&path, bytes).unwrap();
        let error = refused(&path, &["not a mapleaf database", "data.mapleaf", "another path"]);
        assert!(matches!(error, Error::NotADatabase { .. }), "{name}: {error}");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "{name}: no lock file beside a foreign file"
        );
    }
}

#[test]
fn an_empty_file() {
    let (_folder, path) = scratch();
    fs::write(&path, b"").unwrap();
    for options in [Db::options().read_only(true), Db::options().create(false)] {
        let error = options.open(&path).unwrap_err();
        assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
        assert!(error.to_string().contains("empty"), "{error}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }
}

/// As `touch` and `mktemp` leave one: it becomes a database, with its own mode, for whichever of several comes first.
#[cfg(unix)]
#[test]
fn an_empty_file_becomes_a_database() {
    const NUMBERS: Table<u64, u64> = Table::new("numbers");
    for round in 0..20 {
        let (folder, path) = scratch();
        fs::write(&path, b"").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        std::thread::scope(|scope| {
            for number in 0..3 {
                let path = &path;
                scope.spawn(move || {
                    let db = Db::open(path).unwrap();
                    db.update(|tx| tx.table(&NUMBERS)?.insert(number, round)).unwrap();
                });
            }
        });
        let db = Db::open(&path).unwrap();
        assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), 3);
        drop(db);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the database and its lock file");
    }
}

/// Changes the record in `slot`, and makes its checksum right again.
fn forge(file: &mut [u8], slot: usize, page_size: usize, change: impl FnOnce(&mut [u8])) {
    let record = &mut file[slot * page_size..(slot + 1) * page_size];
    change(record);
    let length = u32::from_le_bytes(record[12..16].try_into().unwrap()) as usize;
    let sum = crc32fast::hash(&record[12..length]);
    record[8..12].copy_from_slice(&sum.to_le_bytes());
}

fn has_meta(file: &[u8], slot: usize, page_size: usize) -> bool {
    file[slot * page_size..].starts_with(b"mapleaf\0")
}

fn record_id(file: &[u8], slot: usize, page_size: usize) -> u64 {
    u64::from_le_bytes(file[slot * page_size + 40..slot * page_size + 48].try_into().unwrap())
}

#[test]
fn a_newer_format() {
    for page_size in [4096, 65536] {
        let (_folder, path) = scratch();
        let good = sample(&path, page_size);
        assert!(has_meta(&good, 0, page_size) && has_meta(&good, 1, page_size));
        let mut newer = good.clone();
        for slot in [0, 1] {
            forge(&mut newer, slot, page_size, |record| record[16..20].copy_from_slice(&7u32.to_le_bytes()));
        }
        fs::write(&path, &newer).unwrap();
        let error = refused(&path, &["format version 7", "up to 4", "newer mapleaf"]);
        assert!(matches!(error, Error::NewerFormat { found: 7, supported: 4 }));
        fs::write(&path, &good).unwrap();
        assert_is_sample(&path);
    }
}

#[test]
fn one_record_of_a_newer_format() {
    // A newer mapleaf has written the newest record: what this one can read is not the newest state.
    let (_folder, path) = scratch();
    let good = sample(&path, 4096);
    let newest = usize::from(record_id(&good, 1, 4096) > record_id(&good, 0, 4096));
    for slot in [newest, 1 - newest] {
        let mut newer = good.clone();
        forge(&mut newer, slot, 4096, |record| record[16..20].copy_from_slice(&5u32.to_le_bytes()));
        fs::write(&path, &newer).unwrap();
        let error = refused(&path, &["format version 5"]);
        assert!(matches!(error, Error::NewerFormat { found: 5, supported: 4 }), "slot {slot}: {error}");
    }
}

#[test]
fn a_file_cut_short() {
    let page_size = 4096;
    let (_folder, path) = scratch();
    let good = sample(&path, page_size);
    let whole_pages = good.len() / page_size;
    let mut lengths: Vec<usize> = (1..whole_pages).map(|pages| pages * page_size).collect();
    let record_length = u32::from_le_bytes(good[12..16].try_into().unwrap()) as usize;
    lengths.extend([1, 7, 8, 12, 95, 96, 97, record_length - 1, record_length, record_length + 1, 511, 512]);
    lengths.extend([4095, 4097, 8191, 8193, good.len() - 1, good.len() - 511, good.len() - page_size + 1]);
    for length in lengths {
        fs::write(&path, &good[..length]).unwrap();
        let error = refused(&path, &[]);
        if length >= 8 {
            assert!(matches!(error, Error::Truncated { .. }), "{length}: {error}");
            assert_says(&error, &["data.mapleaf", "truncated", &length.to_string(), "backup"]);
        }
    }
    fs::write(&path, &good).unwrap();
    assert_is_sample(&path);
}

#[test]
fn surplus_length_is_accepted() {
    for surplus in [1, 7, 511, 4095, 4096, 4097, 100_001, 3 << 20] {
        let (_folder, path) = scratch();
        let good = sample(&path, 4096);
        let mut longer = good.clone();
        longer.resize(good.len() + surplus, 0xcc);
        fs::write(&path, &longer).unwrap();
        assert_is_sample(&path);
        let db = Db::open(&path).unwrap();
        for round in 0..20 {
            db.update(|tx| tx.table(&BYTES)?.insert(b"more", vec![round; 50_000])).unwrap();
            assert_clean(&db);
        }
        drop(db);
        assert_is_sample(&path);
    }
}

#[test]
fn a_page_size_that_is_not_the_files() {
    let (_folder, path) = scratch();
    sample(&path, 8192);
    for requested in [4096, 16384, 65536] {
        let error = Db::options().page_size(requested).open(&path).unwrap_err();
        assert!(matches!(error, Error::PageSizeMismatch { found: 8192, .. }), "{error}");
        assert_says(&error, &[&requested.to_string(), "8192", "leave page_size out"]);
    }
    assert_eq!(Db::options().page_size(8192).open(&path).unwrap().page_size(), 8192);
    assert_is_sample(&path);
}

#[test]
fn options_that_cannot_be() {
    let (folder, path) = scratch();
    for size in [0, 1, 512, 2048, 4095, 4097, 5000, 12288, 131_072, usize::MAX] {
        let error = Db::options().page_size(size).open(&path).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
        assert_says(&error, &["page_size", &size.to_string(), "power of two", "4096", "65536"]);
        assert!(matches!(Db::options().page_size(size).in_memory(), Err(Error::InvalidOption { .. })));
    }
    for size in [0, 4096, (1 << 20) - 1] {
        let error = Db::options().max_size(size).open(&path).unwrap_err();
        assert_says(&error, &["max_size", &size.to_string(), "1048576"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was created");
}

#[test]
fn a_key_too_long() {
    for page_size in [4096, 8192, 16384, 32768, 65536] {
        let db = Db::options().page_size(page_size).in_memory().unwrap();
        let limit = db.max_key_len();
        assert!(page_size > 4096 || limit >= 1978);
        let tx = db.write().unwrap();
        {
            let mut bytes = tx.table(&BYTES).unwrap();
            bytes.insert(b"before", b"1").unwrap();
            for (length, value_length) in [(limit + 1, 0), (limit * 3, 10), (limit + 1, 300_000)] {
                let key = vec![1; length];
                let value = vec![2; value_length];
                let error = bytes.insert(&key, &value).unwrap_err();
                assert!(matches!(error, Error::KeyTooLong { .. }), "{error}");
                assert_says(&error, &[&length.to_string(), &limit.to_string(), "larger pages"]);
                assert!(matches!(bytes.replace(&key, &value), Err(Error::KeyTooLong { .. })));
                assert!(matches!(bytes.insert_reserve(&key, 10), Err(Error::KeyTooLong { .. })));
                // A key that cannot be there is not there.
                assert_eq!(bytes.get(&key).unwrap(), None);
                assert!(!bytes.remove(&key).unwrap());
                assert_eq!(bytes.take(&key).unwrap(), None);
                assert_eq!(bytes.range(&key[..]..).count(), 1, "'before' is after it");
            }
            bytes.insert(vec![1; limit], b"fits").unwrap();
            bytes.insert(b"after", b"2").unwrap();
        }
        tx.commit().unwrap();
        assert_eq!(db.read().unwrap().table(&BYTES).unwrap().len(), 3);
        assert_clean(&db);
    }
}

#[test]
fn tables_opened_wrongly() {
    const AS_NUMBERS: Table<u64, u64> = Table::new("numbers");
    const AS_TEXT: Table<str, str> = Table::new("numbers");
    let (_folder, path) = scratch();
    sample(&path, 4096);
    let db = Db::open(&path).unwrap();
    let rx = db.read().unwrap();
    let tx = db.write().unwrap();
    for error in [rx.table(&AS_NUMBERS).map(drop).unwrap_err(), tx.table(&AS_NUMBERS).map(drop).unwrap_err()]
    {
        assert!(matches!(error, Error::TableTypeMismatch { .. }), "{error}");
        assert_says(&error, &["\"numbers\"", "u64 to u64", "u64 to str", "those types"]);
    }
    let error = tx.table(&AS_TEXT).map(drop).unwrap_err();
    assert_says(&error, &["str to str", "u64 to str"]);

    let error = rx.table(&Table::<u64, u64>::new("none")).map(drop).unwrap_err();
    assert!(matches!(error, Error::TableNotFound { .. }));
    assert_says(&error, &["\"none\"", "write transaction"]);
    {
        let mut numbers = tx.table(&NUMBERS).unwrap();
        let error = tx.table(&NUMBERS).map(drop).unwrap_err();
        assert!(matches!(error, Error::TableInUse { .. }));
        assert_says(&error, &["\"numbers\"", "already open", "drop"]);
        assert!(matches!(tx.drop_table("numbers"), Err(Error::TableInUse { .. })));
        assert!(matches!(tx.rename_table("numbers", "other"), Err(Error::TableInUse { .. })));
        assert!(matches!(tx.rename_table("bytes", "numbers"), Err(Error::TableExists { .. })));
        numbers.insert(1000, "still fine").unwrap();
    }
    let error = tx.rename_table("bytes", "numbers").unwrap_err();
    assert!(matches!(error, Error::TableExists { .. }));
    assert_says(&error, &["\"numbers\"", "already", "another name"]);
    assert!(matches!(tx.rename_table("none", "other"), Err(Error::TableNotFound { .. })));

    let long = "x".repeat(1025);
    for error in [
        tx.table(&Table::<u64, u64>::new(&long)).map(drop).unwrap_err(),
        tx.rename_table("bytes", &long).unwrap_err(),
    ] {
        assert!(matches!(error, Error::TableNameTooLong { length: 1025, limit: 1024 }), "{error}");
        assert_says(&error, &["1025", "1024"]);
    }
    let fits = "x".repeat(1024);
    tx.table(&Table::<u64, u64>::new(&fits)).unwrap().insert(1, 1).unwrap();
    tx.commit().unwrap();
    let rx = db.read().unwrap();
    assert_eq!(rx.table(&Table::<u64, u64>::new(&fits)).unwrap().get(1).unwrap(), Some(1));
    assert_eq!(rx.table(&NUMBERS).unwrap().get(1000).unwrap(), Some("still fine"));
    assert_clean(&db);
}

#[test]
fn writing_to_a_database_opened_read_only() {
    let (_folder, path) = scratch();
    let before = sample(&path, 4096);
    let db = Db::options().read_only(true).open(&path).unwrap();
    let error = db.write().unwrap_err();
    assert!(matches!(error, Error::ReadOnly));
    assert_says(&error, &["read-only", "read_only(true)"]);
    assert!(matches!(db.try_write(), Err(Error::ReadOnly)));
    assert!(matches!(db.sync(), Err(Error::ReadOnly)));
    assert!(matches!(db.update(|_| Ok(())), Err(Error::ReadOnly)));
    // Several may read.
    let other = Db::options().read_only(true).open(&path).unwrap();
    for db in [&db, &other] {
        assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().get(3).unwrap(), Some("3 in round 2"));
        assert_clean(db);
    }
    db.close().unwrap();
    drop(other);
    assert!(fs::read(&path).unwrap() == before, "reading changes nothing");
    assert_is_sample(&path);
}

#[test]
fn places_where_no_file_can_be() {
    let (folder, path) = scratch();
    let error = Db::open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Io { action: "open", .. }), "{error}");
    assert_says(&error, &["directory", folder.path().to_str().unwrap()]);

    let missing = folder.path().join("no such folder").join("data.mapleaf");
    let error = Db::open(&missing).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_says(&error, &["no such folder", "No such file or directory"]);

    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let error = Db::open(&path).unwrap_err();
    assert_says(&error, &["not a regular file", "data.mapleaf"]);
    fs::remove_file(&path).unwrap();

    let error = Db::options().create(false).open(&path).unwrap_err();
    assert_says(&error, &["data.mapleaf", "No such file or directory"]);
    let error = Db::options().read_only(true).open(&path).unwrap_err();
    assert_says(&error, &["data.mapleaf", "No such file or directory"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn no_permission() {
    // Root may do everything; another user's process says what others meet.
    let (folder, path) = scratch();
    let before = sample(&path, 4096);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    match fs::File::open(&path) {
        Err(_) => no_permission_child_work(&path),
        Ok(_) => {
            let binary = folder.path().join("tests");
            fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
            fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
            let output = Command::new("setpriv")
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(&binary)
                .args(["--exact", "bad_input::no_permission_child", "--ignored", "--nocapture"])
                .env("MAPLEAF_CHILD", &path)
                .output();
            match output {
                Err(error) => println!("skipped: no setpriv to become another user: {error}"),
                Ok(output) => {
                    let text = String::from_utf8_lossy(&output.stdout);
                    assert!(output.status.success() && text.contains("refused"), "{text} {output:?}");
                }
            }
        }
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(fs::read(&path).unwrap() == before);
    assert_is_sample(&path);
}

fn no_permission_child_work(path: &Path) {
    let error = Db::open(path).unwrap_err();
    assert!(matches!(error, Error::Io { action: "open", .. }), "{error}");
    assert_says(&error, &["Permission denied", "data.mapleaf"]);
    println!("refused: {error}");
}

#[test]
#[ignore = "run by no_permission as another process"]
fn no_permission_child() {
    if let Some(path) = child_task() {
        no_permission_child_work(&path);
    }
}

#[test]
fn starting_programs_meanwhile_does_not_keep_the_file_locked() {
    let (_folder, path) = scratch();
    sample(&path, 4096);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..150 {
                assert!(Command::new("true").status().unwrap().success());
            }
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
            drop(Db::open(&path).unwrap());
        }
    });
}

#[test]
fn the_lock_of_a_killed_process_is_gone() {
    let (_folder, path) = scratch();
    sample(&path, 4096);
    let mut holder = child(concat!(module_path!(), "::the_lock_of_a_killed_process_is_gone_child"), &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    let mut output = holder.stdout.take().unwrap();
    while !seen.ends_with(b"open\n") {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1, "the child has ended");
        seen.push(byte[0]);
    }
    let db = Db::open(&path).unwrap();
    assert!(db.try_write().unwrap().is_none(), "the child is writing");
    let timeout = std::time::Duration::from_millis(20);
    assert!(db.write_timeout(timeout).unwrap().is_none());
    holder.kill().unwrap();
    holder.wait().unwrap();
    db.write().unwrap().abort();
    drop(db);
    assert_is_sample(&path);
}

#[test]
#[ignore = "run by the_lock_of_a_killed_process_is_gone as another process"]
fn the_lock_of_a_killed_process_is_gone_child() {
    if let Some(path) = child_task() {
        let db = Db::open(path).unwrap();
        let tx = db.write().unwrap();
        tx.table(&NUMBERS).unwrap().clear().unwrap();
        println!("open");
        std::io::stdout().flush().unwrap();
        let _ = std::io::stdin().read(&mut [0]);
    }
}

#[test]
fn other_types_that_a_table_cannot_have() {
    const AS_BYTES: Table<[u8; 8], [u8]> = Table::new("numbers");
    const AS_NUMBERS: Table<u64, u64> = Table::new("numbers");
    let (_folder, path) = scratch();
    sample(&path, 4096);
    let db = Db::open(&path).unwrap();
    let before = db.stats().unwrap().newest;
    let retype = |from: (&str, &str)| db.update(|tx| tx.retype_table(&AS_BYTES, from));
    for from in [("u64", "u64"), ("str", "u64"), ("[u8;8]", "bytes"), ("", "")] {
        let error = retype(from).unwrap_err();
        assert!(matches!(error, Error::TableTypeMismatch { .. }), "{error}");
        assert_says(&error, &["\"numbers\"", "[u8;8] to bytes", "u64 to str"]);
    }
    let error = db.update(|tx| tx.retype_table(&AS_NUMBERS, ("u64", "str"))).unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error}");
    let in_use = db.update(|tx| {
        let _numbers = tx.table(&NUMBERS)?;
        tx.retype_table(&AS_BYTES, ("u64", "str"))
    });
    assert!(matches!(in_use, Err(Error::TableInUse { .. })));
    assert!(!db.update(|tx| tx.retype_table(&Table::<u8, u8>::new("none"), ("u64", "str"))).unwrap());
    assert!(!db.update(|tx| tx.retype_table(&NUMBERS, ("u32", "str"))).unwrap());
    assert_eq!(db.stats().unwrap().newest, before, "nothing was changed");
    assert_is_sample(&path);
    assert!(retype(("u64", "str")).unwrap());
    assert_eq!(
        db.read().unwrap().tables().unwrap().iter().filter(|table| table.key_type == "[u8;8]").count(),
        1
    );
    let error = db.update(|tx| tx.table(&NUMBERS).map(drop)).unwrap_err();
    assert_says(&error, &["u64 to str", "[u8;8] to bytes"]);
}

#[test]
fn a_transaction_that_changed_nothing_or_failed_leaves_no_trace() {
    let (_folder, path) = scratch();
    sample(&path, 4096);
    let db = Db::open(&path).unwrap();
    let before = db.stats().unwrap();
    let tx = db.write().unwrap();
    assert_eq!(tx.table(&NUMBERS).unwrap().get(1).unwrap(), Some("1 in round 2"));
    assert_eq!(tx.commit().unwrap(), before.newest);
    let failed = db.update(|tx| {
        tx.table(&NUMBERS)?.clear()?;
        tx.rename_table("none", "other")
    });
    assert!(matches!(failed, Err(Error::TableNotFound { .. })));
    assert_eq!(db.stats().unwrap().newest, before.newest);
    drop(db);
    assert_is_sample(&path);
}
