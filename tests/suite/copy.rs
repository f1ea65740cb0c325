//! Copies of snapshots: complete, clean, of the right moment, and nothing left of those that fail.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::entries::{Contents, ENTRIES, change, contents};
use crate::common::{Random, assert_clean};
use mapleaf::{Copied, Db, Durability, Error, Table, TransactionId, WriteTxn};

const NAMES: Table<str, str> = Table::new("names");

/// Some changes, and the newest transaction's id in another table.
fn change_both(tx: &WriteTxn, random: &mut Random, count: u64) -> mapleaf::Result<()> {
    change(tx, random, count)?;
    tx.table(&NAMES)?.insert("newest", tx.id().to_string())?;
    Ok(())
}

/// Opens the copy, compares it, and writes to it, before and after it is closed.
#[track_caller]
fn assert_is_copy(path: &Path, expected: &Contents, id: TransactionId) {
    let db = Db::options().create(false).open(path).unwrap();
    assert_clean(&db);
    let rx = db.read().unwrap();
    assert_eq!(rx.id(), id);
    assert!(contents(&rx) == *expected, "other entries");
    assert_eq!(rx.table(&NAMES).unwrap().get("newest").unwrap(), Some(&*format!("{id}")));
    drop(rx);
    let stats = db.stats().unwrap();
    assert_eq!((stats.durable, stats.retired_pages), (id, 0));
    let mut random = Random::new(id.get());
    db.update(|tx| change_both(tx, &mut random, 100)).unwrap();
    assert_clean(&db);
    let after = contents(&db.read().unwrap());
    drop(db);
    let db = Db::options().read_only(true).open(path).unwrap();
    assert_clean(&db);
    assert!(contents(&db.read().unwrap()) == after);
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| !name.ends_with("-locks")); // of the portable form, as long as a database is open
    names.sort();
    names
}

fn identity(bytes: &[u8]) -> &[u8] {
    &bytes[24..40]
}

#[test]
fn snapshot_is_copied_while_writers_go_on() {
    for page_size in [4096, 16384] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mapleaf");
        let db = Db::options().page_size(page_size).open(&path).unwrap();
        let mut random = Random::new(7);
        for _ in 0..30 {
            db.update(|tx| change_both(tx, &mut random, 400)).unwrap();
        }
        let old = db.read().unwrap();
        let expected = contents(&old);
        // The snapshot's meta is overwritten, its free log begins again, and its pages are wanted.
        for _ in 0..60 {
            db.update(|tx| change_both(tx, &mut random, 400)).unwrap();
        }
        let stop = AtomicBool::new(false);
        let copies =
            [folder.path().join("file"), folder.path().join("stream"), folder.path().join("compact")];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random::new(8);
                while !stop.load(Ordering::Relaxed) {
                    let tx = db.write().unwrap();
                    change_both(&tx, &mut random, 50).unwrap();
                    tx.commit_with(Durability::Lazy).unwrap();
                }
            });
            old.copy().to_path(&copies[0]).unwrap();
            old.copy().to_writer(&mut fs::File::create(&copies[1]).unwrap()).unwrap();
            old.copy().compact().to_path(&copies[2]).unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        let (original, file) = (fs::read(&path).unwrap(), fs::read(&copies[0]).unwrap());
        let stream = fs::read(&copies[1]).unwrap();
        assert_ne!(identity(&original), identity(&file));
        assert_ne!(identity(&stream), identity(&file));
        assert!(file[page_size..2 * page_size].iter().all(|&byte| byte == 0), "slot 1 is empty");
        assert!(file[40..page_size] == stream[40..page_size] && file[page_size..] == stream[page_size..]);
        for copy in &copies {
            assert_is_copy(copy, &expected, old.id());
        }
        assert!(contents(&old) == expected);
        assert_clean(&db);
    }
}

#[test]
fn free_space_that_is_in_many_pieces_gets_pages_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(folder.path().join("a.mapleaf")).unwrap();
    db.update(|tx| {
        let mut table = tx.table(&ENTRIES)?;
        (0..6000).try_for_each(|key| table.insert(key, vec![1; 5000]).map(drop))
    })
    .unwrap();
    let rest: Vec<u64> = (0..6000).filter(|key| key % 2 == 0).collect();
    db.update(|tx| tx.table(&ENTRIES)?.retain(|key, _| key % 2 == 0)).unwrap();
    db.update(|tx| tx.table(&NAMES)?.insert("newest", tx.id().to_string())).unwrap();
    let rx = db.read().unwrap();
    let expected: Contents = rest.iter().map(|&key| (key, vec![1; 5000])).collect();
    let (copy, stream) = (folder.path().join("copy"), folder.path().join("stream"));
    rx.copy().to_path(&copy).unwrap();
    rx.copy().to_writer(&mut fs::File::create(&stream).unwrap()).unwrap();
    let report = Db::open(&copy).unwrap().check().unwrap();
    assert!(report.is_clean() && report.counts().free_log > 0, "{report}");
    assert_is_copy(&copy, &expected, rx.id());
    assert_is_copy(&stream, &expected, rx.id());
}

#[test]
fn compacting_copy_is_full_and_has_nothing_free() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(folder.path().join("a.mapleaf")).unwrap();
    let mut random = Random::new(5);
    for _ in 0..100 {
        db.update(|tx| change_both(tx, &mut random, 200)).unwrap();
    }
    let rx = db.read().unwrap();
    let expected = contents(&rx);
    let path = folder.path().join("compact");
    let copied = rx.copy().compact().to_path(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), copied.bytes);
    let (before, after) = (db.check().unwrap(), Db::open(&path).unwrap().check().unwrap());
    let (before, after) = (before.counts(), after.counts());
    assert_eq!((after.free, after.retired, after.free_log), (0, 0, 0));
    assert!(after.leaves < before.leaves * 9 / 10, "{before:?} {after:?}");
    assert_is_copy(&path, &expected, rx.id());
    assert_eq!(files(folder.path()), ["a.mapleaf", "a.mapleaf-lock", "compact", "compact-lock"]);
}

#[test]
fn empty_database_and_one_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::in_memory().unwrap();
    let (empty, compact, full) =
        (folder.path().join("empty"), folder.path().join("compact"), folder.path().join("full"));
    assert_eq!(db.read().unwrap().copy().to_path(&empty).unwrap().bytes, 2 * 4096);
    assert_eq!(db.read().unwrap().copy().compact().to_path(&compact).unwrap().bytes, 2 * 4096);
    for path in [&empty, &compact] {
        let copy = Db::options().create(false).open(path).unwrap();
        assert_clean(&copy);
        copy.update(|tx| tx.table(&NAMES)?.insert("a", "b")).unwrap();
        assert_clean(&copy);
    }
    let mut random = Random::new(1);
    db.update(|tx| change_both(tx, &mut random, 2000)).unwrap();
    let rx = db.read().unwrap();
    rx.copy().to_path(&full).unwrap();
    assert_is_copy(&full, &contents(&rx), rx.id());
}

#[test]
fn file_that_exists_is_refused_and_what_fails_leaves_nothing() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    let mut random = Random::new(2);
    db.update(|tx| change_both(tx, &mut random, 5000)).unwrap();
    let rx = db.read().unwrap();
    let taken = folder.path().join("taken");
    fs::write(&taken, "mine").unwrap();
    let kind = |result: mapleaf::Result<Copied>| match result {
        Err(Error::Io { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(rx.copy().to_path(&taken)), ErrorKind::AlreadyExists);
    assert_eq!(kind(rx.copy().compact().to_path(&taken)), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    let nowhere = folder.path().join("no/such/folder");
    assert_eq!(kind(rx.copy().to_path(&nowhere)), ErrorKind::NotFound);
    assert_eq!(kind(rx.copy().compact().to_path(&nowhere)), ErrorKind::NotFound);
    assert_eq!(kind(rx.copy().to_writer(&mut Full(100_000))), ErrorKind::BrokenPipe);
    assert_eq!(files(folder.path()), ["a.mapleaf", "a.mapleaf-lock", "taken"]);
}

/// A page rots after this handle has verified it.
#[test]
fn damage_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    let mut random = Random::new(4);
    db.update(|tx| change_both(tx, &mut random, 5000)).unwrap();
    let rx = db.read().unwrap();
    contents(&rx);
    let page = 40;
    let at = page * 4096 + 100;
    let byte = fs::read(&path).unwrap()[at];
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[byte ^ 1], at as u64).unwrap();
    let copy = folder.path().join("copy");
    match rx.copy().to_path(&copy) {
        // It may be one of an overflow run, which is verified as a whole: 13 pages at most.
        Err(Error::Corrupt(problem)) => {
            assert!((page as u32 - 12..=page as u32).contains(&problem.page.unwrap()))
        }
        other => panic!("{other:?}"),
    }
    let mut written = Vec::new();
    assert!(matches!(rx.copy().to_writer(&mut written), Err(Error::Corrupt(_))));
    assert!(written.is_empty());
    assert_eq!(files(folder.path()), ["a.mapleaf", "a.mapleaf-lock"]);
}

/// What has been committed is durable in the copy, though it is not in the original.
#[test]
fn lazy_commits_are_copied() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(folder.path().join("a.mapleaf")).unwrap();
    let mut random = Random::new(6);
    let tx = db.write().unwrap();
    change_both(&tx, &mut random, 3000).unwrap();
    let id = tx.commit_with(Durability::Lazy).unwrap();
    let rx = db.read().unwrap();
    rx.copy().to_path(folder.path().join("copy")).unwrap();
    assert_is_copy(&folder.path().join("copy"), &contents(&rx), id);
}

/// A handle that only reads does not take the writer lock, and is not confused by what others write meanwhile.
#[test]
fn read_only_check_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    let mut random = Random::new(9);
    db.update(|tx| change_both(tx, &mut random, 5000)).unwrap();
    let looking = Db::options().read_only(true).open(&path).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let tx = db.write().unwrap();
                change_both(&tx, &mut random, 20).unwrap();
                tx.commit_with(Durability::Lazy).unwrap();
            }
        });
        for _ in 0..60 {
            let report = looking.check().unwrap();
            if !report.is_clean() {
                stop.store(true, Ordering::Relaxed);
                panic!("{report}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Reads slowly, while writers want the pages again, what is written to the other end; the copy must be the snapshot's.
fn copy_through(
    db: &Db,
    make_pair: impl FnOnce() -> (Box<dyn Write + Send>, Box<dyn io::Read + Send>),
    path: &Path,
) {
    let rx = db.read().unwrap();
    let (id, expected) = (rx.id(), contents(&rx));
    let (mut writer, mut reader) = make_pair();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(3);
            while !stop.load(Ordering::Relaxed) {
                db.update(|tx| change_both(tx, &mut random, 50)).unwrap();
            }
        });
        let receiver = scope.spawn(|| {
            let (mut bytes, mut piece) = (Vec::new(), vec![0; 50_000]);
            loop {
                match reader.read(&mut piece).unwrap() {
                    0 => return bytes,
                    length => bytes.extend_from_slice(&piece[..length]),
                }
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        let copied = rx.copy().to_writer(&mut writer).unwrap();
        // The snapshot is not protected any more, though much of it waits in the pipe.
        drop(rx);
        drop(writer);
        let bytes = receiver.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(bytes.len() as u64, copied.bytes);
        fs::write(path, bytes).unwrap();
    });
    assert_is_copy(path, &expected, id);
}

#[cfg(unix)]
#[test]
fn copies_to_a_pipe_and_to_a_socket_while_writers_commit() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(folder.path().join("a.mapleaf")).unwrap();
    let mut random = Random::new(11);
    db.update(|tx| change_both(tx, &mut random, 8000)).unwrap();
    let pipe = || {
        let (reader, writer) = io::pipe().unwrap();
        (Box::new(writer) as Box<dyn Write + Send>, Box::new(reader) as Box<dyn io::Read + Send>)
    };
    copy_through(&db, pipe, &folder.path().join("pipe"));
    let socket = || {
        let (writer, reader) = std::os::unix::net::UnixStream::pair().unwrap();
        (Box::new(writer) as Box<dyn Write + Send>, Box::new(reader) as Box<dyn io::Read + Send>)
    };
    copy_through(&db, socket, &folder.path().join("socket"));
    let tcp = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let writer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (
            Box::new(writer) as Box<dyn Write + Send>,
            Box::new(listener.accept().unwrap().0) as Box<dyn io::Read + Send>,
        )
    };
    copy_through(&db, tcp, &folder.path().join("tcp"));
}

#[cfg(target_os = "linux")]
#[test]
fn failing_targets_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(folder.path().join("a.mapleaf")).unwrap();
    let mut random = Random::new(12);
    db.update(|tx| change_both(tx, &mut random, 4000)).unwrap();
    let rx = db.read().unwrap();
    let expected = contents(&rx);
    let kind = |result: mapleaf::Result<Copied>| match result {
        Err(Error::Io { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    };
    let mut full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(kind(rx.copy().to_writer(&mut full)), ErrorKind::StorageFull);
    // The reader has gone after some bytes.
    let (mut reader, mut writer) = io::pipe().unwrap();
    let gone = std::thread::spawn(move || io::Read::read_exact(&mut reader, &mut [0; 100_000]).unwrap());
    assert_eq!(kind(rx.copy().to_writer(&mut writer)), ErrorKind::BrokenPipe);
    gone.join().unwrap();
    assert!(contents(&rx) == expected);
    assert_clean(&db);
}

/// Another program cuts the file: an error, and no copy of what is left.
#[test]
fn file_that_has_been_cut_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    let mut random = Random::new(13);
    db.update(|tx| change_both(tx, &mut random, 4000)).unwrap();
    let rx = db.read().unwrap();
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(length / 2).unwrap();
    let copy = folder.path().join("copy");
    let is_cut = |result: mapleaf::Result<Copied>| matches!(result, Err(Error::Truncated { .. }));
    assert!(is_cut(rx.copy().to_path(&copy)));
    assert!(is_cut(rx.copy().to_writer(&mut Vec::new())));
    assert!(is_cut(rx.copy().since(TransactionId::new(1)).to_writer(&mut Vec::new())));
    file.set_len(length).unwrap();
    // The cut part is zeros by now.
    assert!(matches!(rx.copy().to_path(&copy), Err(Error::Corrupt(_))));
    assert_eq!(files(folder.path()), ["a.mapleaf", "a.mapleaf-lock"]);
}
