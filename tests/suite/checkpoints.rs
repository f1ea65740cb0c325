//! Checkpoints and the redo log between processes: the process that makes checkpoints is killed or stopped, the log
//! goes around its ring under others, the disk is full when the ring is to grow, and a crash is read where nothing
//! can be written.
//!
//! Nothing here depends on how fast anything is. `MAPLEAF_LONG=1` kills thousands of times.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::common::format::ring_of;
use crate::common::mounted::Mounted;
use crate::common::process::{self, until};
use crate::common::{Random, assert_clean, child, child_task, is_long, scratch};
use mapleaf::{Db, Durability, Error, ReadTxn, Result, Table};

/// How often each writer has committed.
const COUNTS: Table<u64, u64> = Table::new("counts");
/// What each writer's commits leave: the one at `count` in place `count % PLACES`.
const PLACED: Table<(u64, u64), [u8]> = Table::new("placed");
const PLACES: u64 = 50;
const NUMBERS: Table<u64, u64> = Table::new("numbers");

const KIBIBYTE: u64 = 1 << 10;
/// Of the checkpoint's target, in the lock file: docs/SHARING.md, *The lock file*.
const CHECKPOINT_TARGET_AT: u64 = 848;
/// The byte that the syncer locks.
const SYNCER_LOCK_AT: u64 = (1 << 39) + 2;

fn lock_path(path: &Path) -> PathBuf {
    path.with_extension("mapleaf-lock")
}

fn value(writer: u64, count: u64) -> Vec<u8> {
    vec![(writer * 31 + count) as u8; (count * 37 % 900) as usize]
}

fn commit(db: &Db, writer: u64, count: u64, durability: Durability) -> Result<()> {
    let tx = db.write()?;
    tx.table(&COUNTS)?.insert(writer, count)?;
    tx.table(&PLACED)?.insert((writer, count % PLACES), value(writer, count))?;
    tx.commit_with(durability).map(drop)
}

/// The count of a writer, of which every commit is there as a whole.
#[track_caller]
fn count_of(rx: &ReadTxn, writer: u64) -> u64 {
    let Ok(counts) = rx.table(&COUNTS) else { return 0 };
    let count = counts.get(writer).unwrap().unwrap_or(0);
    let placed = rx.table(&PLACED).unwrap();
    for past in count.saturating_sub(PLACES - 1).max(1)..=count {
        assert_eq!(
            placed.get((writer, past % PLACES)).unwrap(),
            Some(&value(writer, past)[..]),
            "{writer}, {past}"
        );
    }
    count
}

fn put(db: &Db, key: u64, number: u64, durability: Durability) {
    let tx = db.write().unwrap();
    tx.table(&NUMBERS).unwrap().insert(key, number).unwrap();
    tx.commit_with(durability).unwrap();
}

fn get(db: &Db, key: u64) -> Option<u64> {
    db.read().unwrap().table(&NUMBERS).unwrap().get(key).unwrap()
}

/// The files as a kill of all processes would leave them now, in a folder of their own.
fn as_if_killed(path: &Path) -> (tempfile::TempDir, PathBuf) {
    let (folder, copy) = scratch();
    fs::copy(path, &copy).unwrap();
    (folder, copy)
}

// ---- processes ----

/// Another process that uses the database. What it does is the first word of its task, then come its number and the
/// path.
fn start(role: &str, number: u64, path: &Path) -> Child {
    let task = format!("{role} {number} {}", path.display());
    process::die_with_parent(&mut child(concat!(module_path!(), "::user"), task)).spawn().unwrap()
}

#[test]
#[ignore = "a process of other tests"]
fn user() {
    let Some(task) = child_task() else { return };
    let mut words = task.to_str().unwrap().splitn(3, ' ');
    let (role, number) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    let path = Path::new(words.next().unwrap());
    match role {
        "checkpointer" => {
            let db = Db::open(path).unwrap();
            loop {
                // If there is nothing to do, there is something now.
                put(&db, number, 0, Durability::Lazy);
                db.checkpoint().unwrap();
            }
        }
        "writer" => {
            let db = Db::open(path).unwrap();
            let mut options = File::options();
            options.write(true).create(true).truncate(false);
            let acknowledged = options.open(acknowledged_path(path, number)).unwrap();
            let first = count_of(&db.read().unwrap(), number) + 1;
            for count in first.. {
                let is_durable = count % 3 != 0;
                let durability = if is_durable { Durability::Durable } else { Durability::Lazy };
                commit(&db, number, count, durability).unwrap();
                acknowledged.write_all_at(&count.to_le_bytes(), 0).unwrap();
            }
        }
        "reader" => {
            let db = Db::options().read_only(true).open(path).unwrap();
            let mut last = [0; WRITERS as usize];
            loop {
                let rx = db.read().unwrap();
                for writer in 0..WRITERS {
                    let count = count_of(&rx, writer);
                    assert!(count >= last[writer as usize], "a commit has been taken back");
                    last[writer as usize] = count;
                }
            }
        }
        "dies" => {
            let db = Db::open(path).unwrap();
            for count in 1..=number {
                commit(&db, 0, count, if count % 4 == 0 { Durability::Lazy } else { Durability::Durable })
                    .unwrap();
            }
            process::exit_at_once()
        }
        other => panic!("{other}"),
    }
}

const WRITERS: u64 = 2;

fn acknowledged_path(path: &Path, writer: u64) -> PathBuf {
    path.with_extension(format!("acknowledged-{writer}"))
}

fn acknowledged(path: &Path, writer: u64) -> u64 {
    let mut bytes = [0; 8];
    let file = File::open(acknowledged_path(path, writer));
    match file.and_then(|file| file.read_exact_at(&mut bytes, 0)) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => 0,
    }
}

/// Kills processes; none may have ended by itself.
fn kill_all(children: Vec<Child>) {
    for mut child in children {
        process::kill(&mut child);
    }
}

/// The process that makes checkpoints is killed at any moment, again and again, while others write and read.
#[test]
fn a_killed_checkpointer_harms_no_other() {
    let (_folder, path) = scratch();
    drop(Db::options().log_size(256 * KIBIBYTE).open(&path).unwrap());
    let (lives, kills) = if is_long() { (200, 25) } else { (2, 8) };
    let mut random = Random::new(lives);
    let mut made = 0;
    for life in 0..lives {
        let mut others: Vec<Child> = (0..WRITERS).map(|writer| start("writer", writer, &path)).collect();
        others.push(start("reader", 0, &path));
        let before: Vec<u64> = (0..WRITERS).map(|writer| acknowledged(&path, writer)).collect();
        until("all are at work", || {
            (0..WRITERS).all(|writer| acknowledged(&path, writer) > before[writer as usize])
        });
        let db = Db::open(&path).unwrap();
        for _ in 0..kills {
            let start_count = db.stats().unwrap().checkpoints;
            let mut checkpointer = start("checkpointer", 1000, &path);
            until("it makes checkpoints", || db.stats().unwrap().checkpoints > start_count + 2);
            std::thread::sleep(Duration::from_micros(random.below(5000) as u64));
            process::kill(&mut checkpointer);
            let counts: Vec<u64> = (0..WRITERS).map(|writer| acknowledged(&path, writer)).collect();
            until("the others go on", || {
                (0..WRITERS).all(|writer| acknowledged(&path, writer) > counts[writer as usize])
            });
            made += db.stats().unwrap().checkpoints - start_count;
        }
        assert_clean(&db);
        drop(db);
        kill_all(others);
        let db = Db::open(&path).unwrap();
        assert_clean(&db);
        for writer in 0..WRITERS {
            let (found, acknowledged) = (count_of(&db.read().unwrap(), writer), acknowledged(&path, writer));
            assert!(
                (acknowledged..=acknowledged + 1).contains(&found),
                "life {life}: {found} of {acknowledged}"
            );
        }
    }
    println!("{made} checkpoints in {} lives of checkpointers", lives * kills);
}

/// Whether some process holds the syncer lock.
fn is_syncer_locked(path: &Path) -> bool {
    let inode = fs::metadata(lock_path(path)).unwrap().ino();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks.lines().filter(|line| !line.contains("->")).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., file, first, _] = words[..] else { return false };
        file.rsplit(':').next() == Some(&inode.to_string()) && first == SYNCER_LOCK_AT.to_string()
    })
}

/// Starts a process that makes checkpoints, and stops it in the first part of one, while it holds the checkpointer lock
/// alone.
fn stopped_checkpointer(path: &Path) -> Child {
    let lock = File::open(lock_path(path)).unwrap();
    let checkpointer = start("checkpointer", 1000, path);
    until("it is stopped in a checkpoint", || {
        process::stop(&checkpointer);
        let mut target = [0; 8];
        lock.read_exact_at(&mut target, CHECKPOINT_TARGET_AT).unwrap();
        let is_there = target != [0; 8] && !is_syncer_locked(path);
        if !is_there {
            process::signal(checkpointer.id(), libc::SIGCONT);
        }
        is_there
    });
    checkpointer
}

/// A process is stopped in the middle of a checkpoint: others' commits go on, lazily and durably, until the log is
/// full. Then they wait for that checkpoint, until the process goes on or is killed.
fn others_go_on_until_the_log_is_full(then: impl FnOnce(Child) -> Option<Child>) {
    let (_folder, path) = scratch();
    let db = Db::options().log_size(64 * KIBIBYTE).open(&path).unwrap();
    commit(&db, 0, 1, Durability::Durable).unwrap();
    let log_bytes = db.stats().unwrap().log_bytes;
    assert_eq!(log_bytes, 64 * KIBIBYTE);
    let checkpointer = stopped_checkpointer(&path);
    let checkpointed = db.stats().unwrap().checkpointed;
    let (done, ends) = (AtomicU64::new(1), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(SeqCst) {
                let count = done.load(SeqCst) + 1;
                let durability = if count % 2 == 0 { Durability::Durable } else { Durability::Lazy };
                commit(&db, 0, count, durability).unwrap();
                done.store(count, SeqCst);
            }
        });
        // Durable commits are given whole blocks of the log.
        let is_full = || db.stats().unwrap().log_used_bytes + 2 * 4096 > log_bytes;
        until("the log is full", is_full);
        assert!(done.load(SeqCst) > 5, "they have gone on");
        assert_eq!(db.stats().unwrap().checkpointed, checkpointed, "without a checkpoint");
        let (before, last) = (as_if_killed(&path), done.load(SeqCst));
        let went_on = then(checkpointer);
        until("they go on", || done.load(SeqCst) > last + 100);
        ends.store(true, SeqCst);
        // What was acknowledged while the checkpoint stood still is in the log.
        assert!(count_of(&Db::open(&before.1).unwrap().read().unwrap(), 0) >= last);
        if let Some(mut child) = went_on {
            process::kill(&mut child);
        }
    });
    assert!(db.stats().unwrap().checkpointed > checkpointed);
    assert_clean(&db);
}

#[test]
fn a_stopped_checkpointer_that_goes_on_holds_others_up_only_when_the_log_is_full() {
    others_go_on_until_the_log_is_full(|checkpointer| {
        process::signal(checkpointer.id(), libc::SIGCONT);
        Some(checkpointer)
    });
}

#[test]
fn a_stopped_checkpointer_that_is_killed_holds_others_up_only_when_the_log_is_full() {
    others_go_on_until_the_log_is_full(|mut checkpointer| {
        process::kill(&mut checkpointer);
        None
    });
}

// ---- traps ----

/// What others have shipped: the log begins again, by a checkpoint of one process, while another one remembers where it
/// ended before.
#[test]
fn a_log_that_another_process_has_begun_again_meanwhile_loses_no_commit() {
    let (_folder, path) = scratch();
    let options = Db::options().log_size(64 * KIBIBYTE);
    let (one, other) = (options.open(&path).unwrap(), options.open(&path).unwrap());
    commit(&one, 0, 1, Durability::Durable).unwrap();
    let mut counts = [1, 0];
    for round in 0..30 {
        counts[0] += 1;
        commit(&one, 0, counts[0], Durability::Lazy).unwrap();
        // More than a lap of the ring, and checkpoints by either.
        for step in 0..round % 25 {
            counts[1] += 1;
            commit(&other, 1, counts[1], Durability::Durable).unwrap();
            if step == 3 {
                other.checkpoint().unwrap();
            }
        }
        if round % 4 == 1 {
            one.checkpoint().unwrap();
        }
        counts[0] += 1;
        commit(&one, 0, counts[0], Durability::Durable).unwrap();
        let (_folder, killed) = as_if_killed(&path);
        let db = Db::open(&killed).unwrap();
        assert_clean(&db);
        let rx = db.read().unwrap();
        assert_eq!([count_of(&rx, 0), count_of(&rx, 1)], counts, "round {round}");
    }
}

/// The snapshot from which replay begins stays whole, though commits after it are durable and have replaced all of it.
#[test]
fn the_snapshot_that_replay_begins_from_stays_however_many_durable_commits_follow() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let fill = |number: u64| {
        let tx = db.write().unwrap();
        for key in 0..500 {
            tx.table(&NUMBERS).unwrap().insert(key, number).unwrap();
        }
        tx.commit().unwrap();
    };
    fill(1);
    db.checkpoint().unwrap();
    let checkpointed = db.stats().unwrap().checkpointed;
    let mut round = 1;
    // Up to just before the next checkpoint.
    while db.stats().unwrap().log_used_bytes * 3 < db.stats().unwrap().log_bytes {
        round += 1;
        fill(round);
        if db.stats().unwrap().checkpointed != checkpointed {
            break;
        }
        let mut bytes = fs::read(&path).unwrap();
        let ring = ring_of(&bytes);
        // The log is lost, by a disk that has not kept its promise: the checkpoint is there as it was.
        bytes[ring].fill(0);
        let (_folder, killed) = scratch();
        fs::write(&killed, &bytes).unwrap();
        let lost = Db::open(&killed).unwrap();
        assert_clean(&lost);
        assert!((0..500).all(|key| get(&lost, key) == Some(1)), "after {round} commits");
    }
    assert!(round > 2, "{round}");
}

/// A log with records is kept by whatever opens the file and comes not far: a reader, a handle that cannot go on.
#[test]
fn a_live_log_is_not_deleted_at_start() {
    let (_folder, path) = scratch();
    assert!(start("dies", 21, &path).wait().unwrap().success());
    for _ in 0..3 {
        // Its mapping is shorter than the file.
        let refused = Db::options().max_size(64 * KIBIBYTE).open(&path);
        assert!(refused.is_err(), "the file is longer");
        drop(mapleaf::admin::Inspector::open(&path, None).unwrap());
    }
    let db = Db::open(&path).unwrap();
    assert_eq!(count_of(&db.read().unwrap(), 0), 21, "lazy commits too: no power was lost");
    assert_clean(&db);
}

// ---- read-only media ----

/// A file that a crash has left is read where nothing can be written: every acknowledged commit is there, and no byte
/// of the file changes.
#[test]
fn after_a_crash_read_only_media_show_every_acknowledged_commit() {
    for has_lock_file in [true, false] {
        let (folder, path) = scratch();
        assert!(start("dies", 30, &path).wait().unwrap().success());
        if !has_lock_file {
            fs::remove_file(lock_path(&path)).unwrap();
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let at = elsewhere.path().join("read-only");
        let Some(view) = Mounted::new("none", "bind,ro", folder.path(), at) else { return };
        let bytes = fs::read(&path).unwrap();
        let seen = view.path().join("data.mapleaf");
        assert!(matches!(Db::open(&seen), Err(Error::Io { .. })), "nothing can be written there");
        let readers = [(); 2].map(|()| Db::options().read_only(true).open(&seen).unwrap());
        for db in &readers {
            assert_eq!(count_of(&db.read().unwrap(), 0), 30);
            assert_clean(db);
            assert!(matches!(db.update(|_| Ok(())), Err(Error::ReadOnly)));
            // What one reader has replayed for itself is no base of increments.
            let copy = elsewhere.path().join("copy");
            db.read().unwrap().copy().to_path(&copy).unwrap();
            assert_eq!(count_of(&Db::open(&copy).unwrap().read().unwrap(), 0), 30);
            fs::remove_file(&copy).unwrap();
        }
        assert!(fs::read(&path).unwrap() == bytes, "a reader has changed the file");
        // A handle that may write waits for them, since it is to replace pages that they read.
        assert!(matches!(Db::open(&path), Err(Error::HeldOff { .. })), "it is said why");
        for db in &readers {
            assert_eq!(count_of(&db.read().unwrap(), 0), 30, "still the same");
        }
        drop(readers);
        let db = Db::open(&path).unwrap();
        assert_eq!(count_of(&db.read().unwrap(), 0), 30);
        commit(&db, 0, 31, Durability::Durable).unwrap();
        assert_eq!(count_of(&db.read().unwrap(), 0), 31);
        assert_clean(&db);
    }
}

// ---- boots ----

/// What a lock file of an earlier boot says of the last checkpoint is not believed: the machine may have lost power
/// since, and the log begins again above all that was ever stored in it (L5).
#[test]
fn a_lock_file_that_was_closed_in_an_earlier_boot_is_not_believed() {
    const BOOT_AT: u64 = 8;
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    put(&db, 1, 1, Durability::Durable);
    put(&db, 1, 2, Durability::Durable);
    let newest = db.stats().unwrap().newest.get();
    db.close().unwrap();
    let (data, lock) = (fs::read(&path).unwrap(), fs::read(lock_path(&path)).unwrap());
    for (boot, expected) in [(0, newest), (1, newest + 1)] {
        fs::write(&path, &data).unwrap();
        fs::write(lock_path(&path), &lock).unwrap();
        let words = File::options().read(true).write(true).open(lock_path(&path)).unwrap();
        let mut byte = [0];
        words.read_exact_at(&mut byte, BOOT_AT).unwrap();
        words.write_all_at(&[byte[0] ^ boot], BOOT_AT).unwrap();
        let db = Db::open(&path).unwrap();
        assert_eq!(db.stats().unwrap().newest.get(), expected, "it recovers, or begins from what is closed");
        assert_eq!(get(&db, 1), Some(2));
        drop(db);
    }
}

// ---- full disks ----

fn is_no_space(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
}

/// A file on `disk` that takes all the space there is.
fn fill_disk(disk: &Path) -> PathBuf {
    let filler = disk.join("filler");
    let mut file = File::create(&filler).unwrap();
    for piece in [64 << 10, 4 << 10] {
        while std::io::Write::write_all(&mut file, &vec![1; piece]).is_ok() {}
    }
    filler
}

fn small_disk() -> Option<(tempfile::TempDir, Mounted)> {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("disk");
    let disk = Mounted::new("tmpfs", "size=40m", Path::new("mapleaf-test"), at)?;
    Some((folder, disk))
}

/// At each growth of the ring the disk is full: the log stays as short as it is, commits go on in the space that the
/// file has, and nothing is lost. When there is space again, it grows.
#[test]
fn a_full_disk_at_each_growth_of_the_ring_leaves_a_short_log_and_all_commits() {
    let Some((_folder, disk)) = small_disk() else { return };
    let path = disk.path().join("data.mapleaf");
    let db = Db::open(&path).unwrap();
    let (mut count, mut growths) = (0, Vec::new());
    let mut commit_some = |times: u64| {
        for _ in 0..times {
            match commit(&db, 0, count + 1, Durability::Durable) {
                Ok(()) => count += 1,
                Err(error) => assert!(is_no_space(&error), "{error}"),
            }
        }
        count
    };
    while db.stats().unwrap().log_bytes < 1024 * KIBIBYTE {
        let before = db.stats().unwrap().log_bytes;
        let filler = fill_disk(disk.path());
        // Some laps of the ring: growth would have been due at half of one.
        let count = commit_some(3 * before / 4096);
        let stats = db.stats().unwrap();
        assert!(stats.log_bytes <= before, "no space to grow");
        assert_eq!(count_of(&db.read().unwrap(), 0), count);
        assert_clean(&db);
        let (_folder, killed) = as_if_killed(&path);
        assert_eq!(
            count_of(&Db::open(&killed).unwrap().read().unwrap(), 0),
            count,
            "as a kill would leave it"
        );
        fs::remove_file(filler).unwrap();
        let mut steps = 0;
        while db.stats().unwrap().log_bytes <= before {
            commit_some(1);
            steps += 1;
            assert!(steps < 1000, "there is space for a longer ring than {before}: {growths:?}");
        }
        growths.push(db.stats().unwrap().log_bytes);
    }
    assert!(growths.len() >= 2, "{growths:?}");
    let count = commit_some(1);
    db.close().unwrap();
    let db = Db::open(&path).unwrap();
    assert_eq!(count_of(&db.read().unwrap(), 0), count);
    assert_clean(&db);
    println!("rings of {growths:?} bytes, {count} commits");
}

/// Replay takes pages. If the disk is full, opening is an error, or works: nothing is lost, and reading works.
#[test]
fn a_full_disk_at_recovery_loses_nothing() {
    let Some((_folder, disk)) = small_disk() else { return };
    let path = disk.path().join("data.mapleaf");
    assert!(start("dies", 40, &path).wait().unwrap().success());
    // The file has no room for what replay takes: it ends where the newest meta says.
    let filler = fill_disk(disk.path());
    for _ in 0..3 {
        match Db::open(&path) {
            Ok(db) => assert_eq!(count_of(&db.read().unwrap(), 0), 40),
            Err(error) => assert!(is_no_space(&error), "{error}"),
        }
        match Db::options().read_only(true).open(&path) {
            Ok(db) => assert_eq!(count_of(&db.read().unwrap(), 0), 40),
            Err(error) => assert!(is_no_space(&error), "{error}"),
        }
    }
    fs::remove_file(filler).unwrap();
    let db = Db::open(&path).unwrap();
    assert_eq!(count_of(&db.read().unwrap(), 0), 40);
    assert_clean(&db);
}

/// Each way to change a table, alone in its transaction, and what the log makes of it.
#[test]
fn each_way_to_change_a_table_is_replayed() {
    type Change = fn(&mut mapleaf::TableMut<'_, u64, [u8]>) -> Result<()>;
    const ENTRIES: Table<u64, [u8]> = Table::new("entries");
    let changes: [(&str, Change); 25] = [
        ("insert", |table| table.insert(5000, [1; 9]).map(drop)),
        ("replace", |table| table.replace(4, [2; 700]).map(drop)),
        ("insert_many", |table| table.insert_many((0..30).map(|key| (key * 7, [3; 5]))).map(drop)),
        ("insert_reserve", |table| table.insert_reserve(9, 40).map(|place| place.fill(4))),
        ("entry", |table| table.entry(5000)?.or_insert([5; 40]).map(drop)),
        ("entry, modified", |table| table.entry(5)?.and_modify(|old| old.repeat(2)).map(drop)),
        ("entry, removed", |table| match table.entry(6)? {
            mapleaf::Entry::Occupied(entry) => entry.remove(),
            mapleaf::Entry::Vacant(_) => Ok(()),
        }),
        ("update", |table| table.update(5, |old| old.map(|old| [old, b"more"].concat()))),
        ("get_mut", |table| table.get_mut(11).map(|value| value.unwrap()[3] ^= 1)),
        ("append", |table| table.append(5000, [6; 8])),
        ("extract_if, half-way", |table| {
            table.extract_if(100.., |key, _| key % 3 > 0).take(400).try_for_each(|entry| entry.map(drop))
        }),
        ("drain, half-way", |table| table.drain(100..900).take(300).try_for_each(|entry| entry.map(drop))),
        ("cursor, replacing", |table| {
            let mut cursor = table.cursor_mut();
            cursor.seek(700)?;
            while cursor.next()?.is_some_and(|(key, _)| key < 800) {
                cursor.replace([7; 20])?;
            }
            Ok(())
        }),
        ("cursor, removing", |table| {
            let mut cursor = table.cursor_mut();
            cursor.seek(600)?;
            for _ in 0..200 {
                cursor.remove()?;
                cursor.previous()?;
            }
            Ok(())
        }),
        ("cursor, inserting", |table| table.cursor_mut().insert(7000, [8; 5]).map(drop)),
        ("remove", |table| table.remove(8).map(drop)),
        ("take", |table| table.take(10).map(drop)),
        ("pop_first", |table| (0..70).try_for_each(|_| table.pop_first().map(drop))),
        ("pop_last", |table| (0..70).try_for_each(|_| table.pop_last().map(drop))),
        ("retain, one in fifty goes", |table| table.retain(|key, _| key % 50 != 0).map(drop)),
        ("retain, half go in runs", |table| table.retain(|key, _| key / 5 % 2 == 0).map(drop)),
        ("retain, whole leaves go", |table| table.retain(|key, _| !(300..900).contains(&key)).map(drop)),
        ("remove_range", |table| table.remove_range(40..=160).map(drop)),
        ("remove_range, to the end", |table| table.remove_range(1000..).map(drop)),
        ("clear", |table| table.clear().map(drop)),
    ];
    let all = |db: &Db| -> Vec<(u64, Vec<u8>)> {
        let rx = db.read().unwrap();
        let entries = rx.table(&ENTRIES).unwrap();
        entries.iter().map(|entry| entry.map(|(key, value)| (key, value.to_vec())).unwrap()).collect()
    };
    for (name, change) in changes {
        let (_folder, path) = scratch();
        let db = Db::open(&path).unwrap();
        db.update(|tx| tx.table(&ENTRIES)?.insert_many((0..1200).map(|key| (key, [key as u8; 30])))).unwrap();
        db.checkpoint().unwrap();
        let before = all(&db);
        db.update(|tx| change(&mut tx.table(&ENTRIES)?)).unwrap();
        assert!(all(&db) != before, "{name} changes something");
        assert!(db.stats().unwrap().log_used_bytes > 0, "{name} is in the log");
        let (_other_folder, other) = as_if_killed(&path);
        let replayed = Db::open(&other).unwrap();
        assert!(all(&replayed) == all(&db), "{name}");
        assert_clean(&replayed);
    }
}

/// A table that was given other types, in a transaction that also changes it, and another whose types stay.
#[test]
fn a_table_given_other_types_is_replayed() {
    const OLD: Table<u64, (u64, u32)> = Table::new("timeouts");
    const NEW: Table<u64, Duration> = Table::new("timeouts");
    for is_changed_too in [false, true] {
        let (_folder, path) = scratch();
        let db = Db::open(&path).unwrap();
        db.update(|tx| tx.table(&OLD)?.insert_many((0..500).map(|key| (key, (key, 7))))).unwrap();
        put(&db, 1, 2, Durability::Durable);
        db.checkpoint().unwrap();
        let changed = db.update(|tx| {
            if is_changed_too {
                tx.table(&OLD)?.insert(1000, (1, 2))?;
            }
            let is_new = tx.retype_table(&NEW, ("u64", "(u64,u32)"))?;
            tx.table(&NEW)?.insert(1, Duration::from_millis(5))?;
            Ok(is_new)
        });
        assert!(changed.unwrap());
        assert!(db.stats().unwrap().log_used_bytes > 0, "it is in the log");
        let (_other_folder, other) = as_if_killed(&path);
        drop(db);
        for path in [&path, &other] {
            let db = Db::open(path).unwrap();
            let rx = db.read().unwrap();
            assert!(
                matches!(rx.table(&OLD), Err(Error::TableTypeMismatch { .. })),
                "the old names are refused"
            );
            let table = rx.table(&NEW).unwrap();
            assert_eq!(table.get(0).unwrap(), Some(Duration::new(0, 7)));
            assert_eq!(table.get(1).unwrap(), Some(Duration::from_millis(5)));
            assert_eq!(table.get(1000).unwrap(), is_changed_too.then(|| Duration::new(1, 2)));
            assert_eq!(get(&db, 1), Some(2));
            drop(rx);
            assert!(!db.update(|tx| tx.retype_table(&NEW, ("u64", "(u64,u32)"))).unwrap(), "it is done");
            assert_clean(&db);
        }
    }
}

/// After a checkpoint, pages that only the one before it had are used again. So if the newest meta page is damaged,
/// what the older one names is a mixture, each page of which has a right checksum.
#[test]
fn an_older_meta_page_whose_pages_are_used_again_is_not_believed() {
    const ENTRIES: Table<u64, [u8]> = Table::new("entries");
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let mut random = Random::new(7);
    db.update(|tx| tx.table(&ENTRIES)?.insert_many((0..20_000).map(|key| (key * 9, [0; 100])))).unwrap();
    // New keys, so that the number of entries shows what was replayed onto what.
    let mut write = |commits: u64| {
        for _ in 0..commits {
            let key = random.next() % 180_000;
            db.update(|tx| tx.table(&ENTRIES)?.insert(key, [1; 100]).map(drop)).unwrap();
        }
    };
    let all = |db: &Db| -> Vec<u64> {
        db.read().unwrap().table(&ENTRIES).unwrap().iter().map(|entry| entry.unwrap().0).collect()
    };
    write(100); // the ring grows
    let mut refused = 0;
    for _ in 0..10 {
        db.checkpoint().unwrap();
        write(12);
        db.checkpoint().unwrap();
        write(12);
        let expected = all(&db);
        for slot in 0..2 {
            let (_other_folder, other) = as_if_killed(&path);
            let file = File::options().read(true).write(true).open(&other).unwrap();
            let at = slot * 4096 + 40;
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 16], at).unwrap();
            match Db::open(&other) {
                Ok(db) => {
                    assert!(all(&db) == expected);
                    assert_clean(&db);
                }
                Err(Error::Corrupt { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(
        (1..=10).contains(&refused),
        "{refused}: only what has lost its newest meta page, and not always"
    );
}
