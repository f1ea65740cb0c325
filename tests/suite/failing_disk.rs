//! A disk that fails to write, and a process that is killed before it can report that: the kernel takes the pages for
//! clean, and reports nothing to a process that opens the file later. What is then acknowledged as durable must be on
//! the disk all the same.
//!
//! The disk is an ext4 in a sparse file on a small tmpfs: while that is full, blocks cannot be written which the sparse
//! file has not. The test takes away those beneath pages that have been used before. (What was allocated and never
//! written, ext4 does not write properly any more after a failure: docs/DURABILITY.md, Limits.) Where the disk cannot
//! be mounted the test says so and passes.
#![cfg(target_os = "linux")]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::format::ring_of;
use crate::common::process::{die_with_parent, kill};
use crate::common::{assert_clean, child, child_task, scratch};
use mapleaf::{Db, Durability, Error, Table};

const BYTES: Table<u64, [u8]> = Table::new("bytes");
const ENTRIES: u64 = 1500;

/// A file system that fails to write while there is no room beneath it.
struct Disk {
    below: PathBuf,
    mounted: PathBuf,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let (below, mounted) = (folder.path().join("below"), folder.path().join("disk"));
        fs::create_dir(&below).unwrap();
        fs::create_dir(&mounted).unwrap();
        let mut tmpfs = Command::new("mount");
        let is_there = succeeds(tmpfs.args(["-t", "tmpfs", "-o", "size=32m", "mapleaf-test"]).arg(&below));
        let disk = Disk { below, mounted, _folder: folder };
        let is_there = is_there && {
            File::create(disk.image()).unwrap().set_len(128 << 20).unwrap();
            let mut make = Command::new("mkfs.ext4");
            // With a journal the file system would notice, and stop altogether.
            succeeds(make.args(["-q", "-F", "-O", "^has_journal"]).arg(disk.image())) && disk.mount()
        };
        if !is_there {
            println!("skipped: a failing disk cannot be mounted here");
        }
        is_there.then_some(disk)
    }

    fn image(&self) -> PathBuf {
        self.below.join("image")
    }

    fn mount(&self) -> bool {
        succeeds(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(&self.mounted))
    }

    /// Takes the blocks away that are beneath the file's redo log.
    fn take_log_away(&self, path: &Path) {
        let file = fs::read(path).unwrap();
        let number = |at: usize| u64::from(u32::from_le_bytes(file[at..at + 4].try_into().unwrap()));
        let id = |slot: usize| u64::from_le_bytes(file[slot + 40..slot + 48].try_into().unwrap());
        let newest = if id(0) > id(4096) { 0 } else { 4096 };
        let ring = number(newest + 104) * 4096..(number(newest + 104) + number(newest + 108)) * 4096;
        let output = Command::new("filefrag").args(["-b1", "-v"]).arg(path).output().unwrap();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            // Number, first and last byte in the file, first and last byte on the disk, length.
            let fields: Vec<u64> =
                line.split([' ', ':', '.']).filter_map(|field| field.parse().ok()).take(6).collect();
            let [_, at, _, on_disk, _, length] = fields[..] else { continue };
            let (from, to) = (at.max(ring.start), (at + length).min(ring.end));
            if from < to {
                let (offset, length) = ((on_disk + from - at).to_string(), (to - from).to_string());
                let mut punch = Command::new("fallocate");
                assert!(succeeds(punch.args(["-p", "-o", &offset, "-l", &length]).arg(self.image())));
            }
        }
    }

    /// Nothing more can be written, until the file that is returned is removed.
    fn fill(&self) -> PathBuf {
        let path = self.below.join("filler");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for piece in [64 << 10, 4 << 10] {
            while file.write_all(&vec![1; piece]).is_ok() {}
        }
        path
    }

    /// The page cache is empty afterwards: all there is comes from the disk.
    fn mount_again(&self) {
        assert!(succeeds(Command::new("umount").arg(&self.mounted)));
        assert!(self.mount());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for mounted in [&self.mounted, &self.below] {
            let _ = Command::new("umount").arg("-l").arg(mounted).status();
        }
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn insert_all(db: &Db, byte: u8, durability: Durability) {
    let tx = db.write().unwrap();
    let mut table = tx.table(&BYTES).unwrap();
    for key in 0..ENTRIES {
        table.insert(key, [byte; 1500]).unwrap();
    }
    drop(table);
    tx.commit_with(durability).unwrap();
}

#[track_caller]
fn assert_all(db: &Db, byte: u8) {
    let rx = db.read().unwrap();
    let table = rx.table(&BYTES).unwrap();
    for key in 0..ENTRIES {
        assert!(table.get(key).unwrap() == Some(&[byte; 1500][..]), "entry {key}");
    }
}

#[test]
fn what_the_kernel_has_told_another_program_is_stored_again() {
    let Some(disk) = Disk::new() else { return };
    let path = disk.mounted.join("data.mapleaf");
    let mut process = child(concat!(module_path!(), "::commits_lazily"), &path);
    let mut process = die_with_parent(&mut process).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().ends_with("committed")));

    disk.take_log_away(&path);
    let filler = disk.fill();
    let told = OpenOptions::new().write(true).open(&path).unwrap();
    told.sync_all().expect_err("the disk beneath is full");
    kill(&mut process);
    fs::remove_file(filler).unwrap();

    let db = Db::open(&path).unwrap();
    assert_all(&db, 2); // a killed process loses nothing
    db.sync().unwrap();
    db.close().unwrap();
    drop(told);
    disk.mount_again();
    fs::remove_file(lock_of(&path)).unwrap(); // after loss of power it is not believed

    let db = Db::open(&path).unwrap();
    assert_all(&db, 2);
}

fn put_all(db: &Db, byte: u8, durability: Durability) {
    let tx = db.write().unwrap();
    let mut table = tx.table(&BYTES).unwrap();
    (0..100).for_each(|key| _ = table.insert(key, [byte; 100]).unwrap());
    table.insert(100, [byte; 9000]).unwrap();
    drop(table);
    tx.commit_with(durability).unwrap();
}

#[track_caller]
fn assert_put(db: &Db, byte: u8) {
    let rx = db.read().unwrap();
    let table = rx.table(&BYTES).unwrap();
    assert!((0..100).all(|key| table.get(key).unwrap() == Some(&[byte; 100][..])));
    assert!(table.get(100).unwrap() == Some(&[byte; 9000][..]));
    assert_clean(db);
}

/// A database with 19 commits of [`put_all`], each checkpointed, and its file.
fn checkpointed(path: &Path) -> (Db, Vec<u8>) {
    let db = Db::open(path).unwrap();
    for byte in 1..20 {
        put_all(&db, byte, Durability::Durable);
        db.checkpoint().unwrap();
    }
    (db, fs::read(path).unwrap())
}

/// The pages that a commit has stored, and what was in their places before: pages of the same numbers, each with a
/// right checksum.
fn replaced_pages(before: &[u8], after: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let number = |page: &[u8]| u32::from_le_bytes(page[4..8].try_into().unwrap()) as usize;
    let is_page = |page: &[u8], at: usize| number(page) == at && (1..=4).contains(&page[16]);
    let pages = before.chunks(4096).zip(after.chunks(4096)).enumerate();
    pages
        .filter(|(at, (old, new))| old != new && is_page(old, *at) && is_page(new, *at))
        .map(|(at, (old, _))| (at, old.to_vec()))
        .collect()
}

/// A page whose write has failed may be dropped from the page cache: then the file shows what was there before, which
/// may be a page as well. A handle that stores again what others have stored must not take that for a page of the
/// checkpoint.
#[test]
fn a_page_that_the_cache_has_dropped_is_not_taken_for_an_older_one() {
    for victim in 0.. {
        let (_folder, path) = scratch();
        let (first, before) = checkpointed(&path);
        put_all(&first, 20, Durability::Durable);
        let replaced = replaced_pages(&before, &fs::read(&path).unwrap());
        let Some((at, old)) = replaced.get(victim) else {
            assert!(victim > 3, "{victim} pages were replaced by the commit");
            break;
        };
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(old, *at as u64 * 4096).unwrap();

        let second = Db::open(&path).unwrap();
        let error = second.checkpoint().expect_err("a page of newest is lost");
        assert!(matches!(error, Error::Corrupt { .. }), "page {at}: {error}");
        let error = first.write().expect_err("what is on the disk is in doubt");
        assert!(matches!(error, Error::Poisoned), "page {at}: {error}");
        drop((first, second));

        // The log has what the page had.
        assert_put(&Db::open(&path).unwrap(), 20);
    }
}

/// The same of the redo log: a sync must not promise what the log has not.
#[test]
fn log_bytes_that_the_cache_has_dropped_are_not_promised() {
    let mut tried = 0;
    for victim in 0.. {
        let (_folder, path) = scratch();
        let (first, before) = checkpointed(&path);
        put_all(&first, 20, Durability::Lazy);
        let after = fs::read(&path).unwrap();
        let pages = |at: usize| (&before[at * 4096..(at + 1) * 4096], &after[at * 4096..(at + 1) * 4096]);
        let is_changed = |at: &usize| pages(*at).0 != pages(*at).1;
        let ring = ring_of(&before);
        let Some(at) = (ring.start / 4096..ring.end / 4096).filter(is_changed).nth(victim) else { break };
        tried += 1;
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(pages(at).0, at as u64 * 4096).unwrap();

        let second = Db::open(&path).unwrap();
        let error = second.sync().expect_err("a part of the log is lost");
        assert!(matches!(error, Error::Corrupt { .. }), "page {at}: {error}");
        drop((first, second));
        assert_put(&Db::open(&path).unwrap(), 19); // as after loss of power
    }
    assert!(tried > 1, "{tried} pages of log");
}

fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    name.into()
}

#[test]
#[ignore = "a process of other tests"]
fn commits_lazily() {
    let Some(path) = child_task() else { return };
    let db = Db::open(path).unwrap();
    // Three times, so that there are free pages for the next time which have been written before.
    (0..3).for_each(|_| insert_all(&db, 1, Durability::Durable));
    // One by one, so that they are in the log; then the ring is long enough, and nothing is checkpointed at the end.
    let insert_each = |byte: u8| {
        for key in 0..ENTRIES {
            let tx = db.write().unwrap();
            tx.table(&BYTES).unwrap().insert(key, [byte; 1500]).unwrap();
            tx.commit_with(Durability::Lazy).unwrap();
        }
    };
    insert_each(1);
    db.checkpoint().unwrap();
    insert_each(2);
    println!("committed");
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::park();
    }
}
