//! Power that fails beneath a whole file system: a real ext4 on a disk that logs each write and flush
//! (`common/block_log.rs`), and on it the example `torture`, which acknowledges commits. From the log disks are made
//! as they might be if the power had failed at a random moment; each is mounted, which replays its journal, and
//! `torture verify` must find all that was acknowledged by then.
//!
//! Such a disk has everything that was written before the last flush that had returned by then. Of what was written
//! since, it has all, nothing, or anything between: some writes, some blocks of 4 KiB, some sectors of 512 bytes.
//!
//! `MAPLEAF_POWER_LOSSES=100 cargo test --release --test power_loss -- --nocapture` makes a hundred of each
//! recording. It needs Linux, the right to mount, FUSE, loop devices and mkfs.ext4; without the variable nothing is
//! done.
#![cfg(all(target_os = "linux", target_endian = "little"))]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::block_log::{BlockLog, Entry, succeeds};
use common::example::example;
use common::{Random, Replay};

const DISK_BYTES: u64 = 64 << 20;

/// How `torture run` is started, and the options that the file system is mounted with. The first is of a new database.
const RECORDINGS: [(&str, &str); 5] = [
    ("--seconds 0.5 --durability mixed --workers 2", "data=ordered"),
    ("--seconds 4 --durability mixed --workers 2", "data=ordered"),
    ("--seconds 4 --durability durable --write-mode mapped", "data=ordered"),
    ("--seconds 4 --durability deferred --workers 3 --page-size 16384", "data=writeback"),
    ("--seconds 4 --durability mixed --write-mode mapped --workers 2", "data=writeback"),
];

/// Flushes that the disk of the control has not done though it said so.
const FLUSHES_NOT_DONE: usize = 3;

/// A mounted file system, unmounted with its value.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(image: &Path, options: &str, folder: &'a Path) -> Option<Mounted<'a>> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", &format!("loop,{options}")]).arg(image).arg(folder);
        succeeds(&mut mount).then_some(Mounted(folder))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if !succeeds(Command::new("umount").arg(self.0)) {
            let _ = Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
}

/// Where it all happens: in memory, if there is such a place.
struct KeyPosition {
    folder: tempfile::TempDir,
}

impl KeyPosition {
    fn new() -> KeyPosition {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        for name in ["log", "mounted"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        KeyPosition { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An empty file system.
    fn empty_disk(&self) -> Option<Vec<u8>> {
        let image = self.path("empty");
        File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
        succeeds(Command::new("mkfs.ext4").arg("-q").arg(&image)).then(|| fs::read(&image).unwrap())
    }

    /// Runs `torture run` on a disk. Returns everything that happened to the disk.
    fn record(&self, empty: &[u8], arguments: &str, options: &str) -> Option<Vec<Entry>> {
        let disk = BlockLog::mount(&self.path("log"), empty.to_vec())?;
        let mounted_at = self.path("mounted");
        let mounted = Mounted::new(&disk.disk(), options, &mounted_at)?;
        let mut run = Command::new(example("torture"));
        run.args(["run", "--database"]).arg(mounted_at.join("database")).args(arguments.split(' '));
        let output = File::options().write(true).open(disk.output()).unwrap();
        assert!(run.stdout(output).status().unwrap().success());
        drop(run); // it has the output open
        drop(mounted);
        Some(disk.finish())
    }

    /// Cuts the power at random moments. Returns what was wrong then.
    fn cut(&self, empty: &[u8], log: &[Entry], cuts: &Cuts, random: &mut Random) -> Vec<String> {
        let mut moments: Vec<usize> = (0..cuts.count).map(|_| random.below(log.len() + 1)).collect();
        moments.sort_unstable();
        let (mut disk, mut flushed) = (empty.to_vec(), 0);
        let (mut acknowledged, mut read) = (Vec::new(), 0);
        let mut wrong = Vec::new();
        for moment in moments {
            let mut flushes = (flushed..moment).rev().filter(|&at| matches!(log[at], Entry::Flush));
            let last_flush = flushes.nth(cuts.flushes_not_done).unwrap_or(flushed);
            for entry in &log[flushed..last_flush] {
                if let Entry::Write { at, bytes } = entry {
                    disk[*at..at + bytes.len()].copy_from_slice(bytes);
                }
            }
            for entry in &log[read..moment] {
                if let Entry::Output(bytes) = entry {
                    acknowledged.extend_from_slice(bytes);
                }
            }
            (flushed, read) = (last_flush, moment);
            let mut image = disk.clone();
            let way = write_some(&mut image, &log[flushed..moment], random);
            fs::write(self.path("image"), &image).unwrap();
            fs::write(self.path("acknowledged"), &acknowledged).unwrap();
            if let Err(what) = self.verify(random.one_in(2)) {
                wrong.push(format!("at {moment} of {}, {way}: {what}", log.len()));
                if cuts.flushes_not_done == 0 {
                    let kept = std::env::temp_dir().join("mapleaf-power-loss.image");
                    println!("{}; kept as {}", wrong[wrong.len() - 1], kept.display());
                    fs::write(kept, image).unwrap();
                }
            }
        }
        wrong
    }

    /// Mounts the image, and runs `torture verify` on it. After a real loss the system has booted again, and the lock
    /// file is not believed; here it is the same boot, so in half of the cases there is no lock file.
    fn verify(&self, has_lock_file: bool) -> Result<(), String> {
        let mounted_at = self.path("mounted");
        let Some(_mounted) = Mounted::new(&self.path("image"), "rw", &mounted_at) else {
            return Err("the file system cannot be mounted".to_owned());
        };
        if !has_lock_file {
            let _ = fs::remove_file(mounted_at.join("database-lock")); // there may be none yet
        }
        let mut verify = Command::new(example("torture"));
        verify.args(["verify", "--database"]).arg(mounted_at.join("database"));
        let said = verify.arg("--log").arg(self.path("acknowledged")).output().unwrap();
        if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
    }
}

/// How often the power is cut.
struct Cuts {
    count: usize,
    /// So many of the last flushes the disk has not done, though it said so.
    flushes_not_done: usize,
}

/// Stores some of what was not flushed, and says in which way it was chosen.
fn write_some(image: &mut [u8], pending: &[Entry], random: &mut Random) -> &'static str {
    let ways = ["all", "nothing", "whole writes", "blocks", "blocks", "sectors"];
    let way = *random.pick(&ways);
    for entry in pending {
        let Entry::Write { at, bytes } = entry else { continue };
        let unit = match way {
            "blocks" => 4096,
            "sectors" => 512,
            _ => bytes.len(),
        };
        for (number, piece) in bytes.chunks(unit).enumerate() {
            if way == "all" || (way != "nothing" && random.one_in(2)) {
                let at = at + number * unit;
                image[at..at + piece.len()].copy_from_slice(piece);
            }
        }
    }
    way
}

#[test]
fn what_was_acknowledged_survives_losses_of_power() {
    let Ok(count) = std::env::var("MAPLEAF_POWER_LOSSES") else {
        println!("skipped: MAPLEAF_POWER_LOSSES does not say how many");
        return;
    };
    let count = count.parse().expect("MAPLEAF_POWER_LOSSES is a number");
    let seed = common::seeds(1, 1)[0];
    let _replay = Replay { test: "what_was_acknowledged_survives_losses_of_power", seed };
    let mut random = Random::new(seed);
    let place = KeyPosition::new();
    let empty = place.empty_disk().expect("mkfs.ext4 makes a file system");
    for (number, (arguments, options)) in RECORDINGS.into_iter().enumerate() {
        let log = place.record(&empty, arguments, options).expect("FUSE and loop devices can be mounted");
        let count_of = |is: fn(&Entry) -> bool| log.iter().filter(|entry| is(entry)).count();
        println!(
            "{arguments} ({options}): {} writes, {} flushes, {} times something was acknowledged",
            count_of(|entry| matches!(entry, Entry::Write { .. })),
            count_of(|entry| matches!(entry, Entry::Flush)),
            count_of(|entry| matches!(entry, Entry::Output(_))),
        );
        let wrong = place.cut(&empty, &log, &Cuts { count, flushes_not_done: 0 }, &mut random);
        assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
        println!("power cut {count} times: all there each time");
        if number == 0 {
            // A disk that lies must be noticed, or this test would notice nothing.
            let cuts = Cuts { count: 40, flushes_not_done: FLUSHES_NOT_DONE };
            let wrong = place.cut(&empty, &log, &cuts, &mut random);
            println!("with {FLUSHES_NOT_DONE} flushes not done, of 40 times: {} wrong", wrong.len());
            assert!(!wrong.is_empty(), "nothing of it was noticed");
        }
    }
}
