//! A disk that is really full: an error, nothing lost, no SIGBUS, and after space is made the same handle goes on.
//!
//! Small file systems are mounted (a tmpfs, and an ext4 in a file); where that is not permitted the test says
//! so and passes. The work is done by another process, so that a signal would be seen.
//! `MAPLEAF_LONG=1` goes through more steps.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;

use crate::common::mounted::Mounted;
use crate::common::process;
use crate::common::{BOTH_MODES, Random, assert_clean, child_task, is_long, run_child, scratch};
use mapleaf::{Db, Durability, Error, Table, TransactionId, WriteMode};

const BYTES: Table<u64, [u8]> = Table::new("bytes");

/// A small file system, unmounted with its value.
struct Disk {
    mounted: Mounted,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn mount(kind: &str, size_kibibytes: u64) -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("disk");
        let mounted = if kind == "tmpfs" {
            Mounted::new(kind, &format!("size={size_kibibytes}k"), Path::new("mapleaf-test"), at)?
        } else {
            let image = folder.path().join("image");
            File::create(&image).unwrap().set_len(size_kibibytes << 10).unwrap();
            let mut make = Command::new(format!("mkfs.{kind}"));
            if !make
                .args(["-q", "-F", "-m", "0"])
                .arg(&image)
                .output()
                .is_ok_and(|made| made.status.success())
            {
                println!("skipped: a small {kind} cannot be made here");
                return None;
            }
            Mounted::new(kind, "loop", &image, at)?
        };
        Some(Disk { mounted, _folder: folder })
    }
}

/// Takes all the space there is, and gives some of it back.
struct Filler {
    file: File,
    bytes: u64,
}

impl Filler {
    fn fill(folder: &Path) -> Filler {
        let mut file = OpenOptions::new().create(true).append(true).open(folder.join("filler")).unwrap();
        for piece in [64 << 10, 4 << 10, 512] {
            while file.write_all(&vec![1; piece]).and_then(|()| file.sync_all()).is_ok() {}
        }
        let bytes = file.metadata().unwrap().len();
        Filler { file, bytes }
    }

    fn give_back(&mut self, bytes: u64) -> bool {
        let enough = self.bytes > bytes;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.file.set_len(self.bytes).unwrap();
        self.file.sync_all().unwrap();
        enough
    }
}

fn is_no_space(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::StorageFull)
}

/// The key is in the value, and so is the round.
fn value(key: u64, round: u64, length: usize) -> Vec<u8> {
    vec![(key ^ round) as u8; length]
}

/// What every transaction leaves: `round` under key 0, and the entries of that round.
fn change(db: &Db, round: u64, random: &mut Random) -> mapleaf::Result<()> {
    let tx = db.write()?;
    let kind = random.below(5);
    {
        let mut bytes = tx.table(&BYTES)?;
        bytes.insert(0, round.to_le_bytes())?;
        match kind {
            0 => {
                bytes.insert(1000 + round, value(1000 + round, round, 260 << 10))?; // stored directly
            }
            1 => {
                // More than its memory: spilled.
                for step in 0..60 {
                    bytes.insert(round * 100 + step + (1 << 20), value(step, round, 900))?;
                }
            }
            _ => {
                for step in 0..1 + random.below(10) as u64 {
                    bytes.insert((round * 100 + step) | 1 << 30, value(step, round, 3000))?;
                }
            }
        }
    }
    match random.below(4) {
        0 => drop(tx.commit_with(Durability::Lazy)?),
        1 => drop(tx.commit_deferred()?.wait()?),
        _ => drop(tx.commit()?),
    }
    Ok(())
}

fn round_of(db: &Db) -> u64 {
    let rx = db.read().unwrap();
    let Ok(bytes) = rx.table(&BYTES) else { return 0 };
    for entry in bytes.iter() {
        let (_, value) = entry.unwrap();
        assert!(value.len() == 8 || value.windows(2).all(|pair| pair[0] == pair[1]), "a torn value");
    }
    u64::from_le_bytes(bytes.get(0).unwrap().unwrap().try_into().unwrap())
}

fn work_on_a_full_disk(folder: &Path, mode: WriteMode, steps: u64, seed: u64) {
    let mut random = Random::new(seed);
    let path = folder.join("data.mapleaf");
    let open = || Db::options().write_mode(mode).dirty_memory(40 << 10).max_size(1 << 30).open(&path);
    let mut filler = Filler::fill(folder);
    // Not even room for an empty database.
    let error = open().unwrap_err();
    assert!(is_no_space(&error), "{error}");
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(!path.exists());
    while let Err(error) = open() {
        assert!(is_no_space(&error), "{error}");
        assert!(filler.give_back(4 << 10));
    }
    // Closing cuts the lock file. If free space is in pieces by now, ext4 needs a block more for the list of them than
    // the lock file had before: that is an error, and goes away with that block.
    let reopen = |filler: &mut Filler| {
        open().unwrap_or_else(|error| {
            assert!(is_no_space(&error), "{error}");
            filler.give_back(4 << 10);
            open().unwrap()
        })
    };
    let mut db = open().unwrap();
    let (mut round, mut refused) = (0, 0);
    for _ in 0..steps {
        match change(&db, round + 1, &mut random) {
            Ok(()) => round += 1,
            Err(error) => {
                assert!(is_no_space(&error), "{error}");
                refused += 1;
                assert_eq!(round_of(&db), round, "what was refused has not happened");
                assert_clean(&db);
                if random.one_in(8) {
                    drop(db);
                    db = reopen(&mut filler);
                    assert_eq!(round_of(&db), round);
                }
                if !filler.give_back((4 + random.below(100) as u64) << 10) {
                    break;
                }
            }
        }
        if random.one_in(10) {
            assert_eq!(round_of(&db), round);
            assert_clean(&db);
        }
    }
    assert!(refused > 5 && round > 5, "{refused} refused, {round} done");
    drop(db);
    let db = reopen(&mut filler);
    assert_eq!(round_of(&db), round);
    assert_clean(&db);
    println!("{mode:?}: {round} transactions, {refused} refused");
}

fn on_a_disk(kind: &str, size_kibibytes: u64) {
    for mode in ["syscall", "mapped"] {
        let Some(disk) = Disk::mount(kind, size_kibibytes) else { return };
        let probe = disk.mounted.path().join("probe");
        File::create(&probe).unwrap().write_all(&[1; 4096]).unwrap();
        fs::remove_file(probe).unwrap();
        run_child(
            concat!(module_path!(), "::full_disk_child"),
            format!("{mode}:{}", disk.mounted.path().display()),
        );
    }
}

#[test]
fn full_tmpfs() {
    on_a_disk("tmpfs", 6 << 10);
}

#[test]
fn full_ext4() {
    on_a_disk("ext4", 16 << 10);
}

#[test]
#[ignore = "run by full_tmpfs and full_ext4 as another process"]
fn full_disk_child() {
    let Some(task) = child_task() else { return };
    let (mode, folder) = task.to_str().unwrap().split_once(':').unwrap();
    let mode = if mode == "mapped" { WriteMode::Mapped } else { WriteMode::Syscall };
    let seed = std::env::var("MAPLEAF_SEED").map_or(0, |seed| seed.parse().unwrap());
    work_on_a_full_disk(Path::new(folder), mode, if is_long() { 2000 } else { 150 }, seed);
}

#[test]
fn a_file_may_not_grow_beyond_what_the_system_allows() {
    if cfg!(mapleaf_portable) {
        return; // there the lock file has all of its length at once, which is more than is allowed here
    }
    // RLIMIT_FSIZE, with its signal as it is by default, by which it would end the process, and ignored.
    let (_folder, path) = scratch();
    for (mode, trap) in
        [("syscall", ""), ("mapped", ""), ("syscall", "trap '' XFSZ;"), ("mapped", "trap '' XFSZ;")]
    {
        let child = crate::common::child(concat!(module_path!(), "::limited_child"), "");
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("{trap} ulimit -f 1000; exec \"$@\""))
            .arg("sh")
            .arg(child.get_program())
            .args(child.get_args())
            .env("MAPLEAF_CHILD", format!("{mode}:{}", path.display()))
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("refused"), "{text}");
        let db = Db::open(&path).unwrap();
        assert_clean(&db);
        assert!(db.read().unwrap().table(&BYTES).unwrap().len() > 10);
        drop(db);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
#[ignore = "run by a_file_may_not_grow_beyond_what_the_system_allows as another process"]
fn limited_child() {
    let Some(task) = child_task() else { return };
    let (mode, path) = task.to_str().unwrap().split_once(':').unwrap();
    let mode = if mode == "mapped" { WriteMode::Mapped } else { WriteMode::Syscall };
    let db = Db::options().write_mode(mode).open(path).unwrap();
    let mut count = 0;
    let error = loop {
        let result = db.update(|tx| tx.table(&BYTES)?.insert(count, vec![1; 3000]));
        match result {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
        assert!(count < 1000, "the limit is not met");
    };
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("(ulimit -f)"), "{error}");
    assert_clean(&db);
    assert_eq!(db.read().unwrap().table(&BYTES).unwrap().len(), count);
    // The same handle goes on within the limit.
    db.update(|tx| tx.table(&BYTES)?.insert(0, b"shorter")).unwrap();
    assert_clean(&db);
    // Whatever else is stored meets the limit as an error too, a handle with pages beyond a lower limit included.
    let folder = Path::new(path).parent().unwrap();
    let rx = db.read().unwrap();
    process::limit(libc::RLIMIT_FSIZE, 8192);
    let results = [
        ("increment", rx.copy().since(TransactionId::new(1)).to_path(folder.join("increment")).map(drop)),
        ("copy", rx.copy().to_path(folder.join("copy")).map(drop)),
        ("compact", rx.copy().compact().to_path(folder.join("compact")).map(drop)),
        ("new", Db::open(folder.join("new")).map(drop)),
        ("update", db.update(|tx| tx.table(&BYTES)?.insert(1, b"stored beyond the limit").map(drop))),
    ];
    for (name, result) in results {
        match result {
            Err(error) => assert!(error.to_string().contains("(ulimit -f)"), "{name}: {error}"),
            // Through a mapping the system lets what is there be stored.
            Ok(()) => assert!(name == "update" && mode == WriteMode::Mapped, "{name}"),
        }
        assert!(!folder.join(name).exists() || name == "new", "{name}");
    }
    println!("refused: {error}");
}

#[test]
fn max_size_is_an_error_and_deleting_makes_room() {
    for (mode, seed) in BOTH_MODES.into_iter().flat_map(|mode| (0..3).map(move |seed| (mode, seed))) {
        let mut random = Random::new(seed);
        let (_folder, path) = scratch();
        let max_size = (1 << 20) + 4096 * random.below(100) as u64;
        let db =
            Db::options().write_mode(mode).max_size(max_size).dirty_memory(64 << 10).open(&path).unwrap();
        for round in 0..4 {
            // Alternately small transactions and large ones, until the limit is met.
            let mut count = db.read().unwrap().table(&BYTES).map_or(0, |bytes| bytes.len());
            let error = loop {
                let many = if round % 2 == 0 { 1 } else { 1 + random.below(20) as u64 };
                let result = db.update(|tx| {
                    let mut bytes = tx.table(&BYTES)?;
                    (count..count + many).try_for_each(|key| bytes.insert(key, vec![round; 9000]).map(drop))
                });
                match result {
                    Ok(()) => count += many,
                    Err(error) => break error,
                }
                assert!(count < 1000, "the limit is not met");
            };
            let Error::Full { max_size: limit } = error else { panic!("{error}") };
            assert_eq!(limit, max_size);
            assert!(
                error.to_string().contains(&max_size.to_string()) && error.to_string().contains("larger one")
            );
            assert!(fs::metadata(&path).unwrap().len() <= max_size);
            assert_eq!(db.read().unwrap().table(&BYTES).unwrap().len(), count);
            assert_clean(&db);
            // The same handle goes on after deleting.
            let removed = db.update(|tx| tx.table(&BYTES)?.remove_range(count / 2..)).unwrap();
            assert_eq!(removed, count - count / 2);
            db.update(|tx| tx.table(&BYTES)?.insert(0, b"after")).unwrap();
            assert_clean(&db);
        }
        drop(db);
        // A larger limit lifts it.
        let db = Db::options().max_size(max_size * 4).open(&path).unwrap();
        db.update(|tx| tx.table(&BYTES)?.insert(5000, vec![1; 1 << 20])).unwrap();
        assert_clean(&db);
    }
}

/// Copies, increments and what is restored, onto a disk that has no room for them: nothing is left there, and the
/// database is not affected.
#[test]
fn copies_onto_a_full_disk_leave_nothing() {
    for kind in ["tmpfs", "ext4"] {
        let Some(disk) = Disk::mount(kind, 4096) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mapleaf");
        let db = Db::open(&path).unwrap();
        db.update(|tx| tx.table(&BYTES)?.insert(1, [1]).map(drop)).unwrap();
        let base = folder.path().join("base");
        db.read().unwrap().copy().to_path(&base).unwrap();
        db.update(|tx| {
            let mut bytes = tx.table(&BYTES)?;
            (0..2000).try_for_each(|key| bytes.insert(key, vec![key as u8; 5000]).map(drop))
        })
        .unwrap();
        let rx = db.read().unwrap();
        let increment = folder.path().join("increment");
        rx.copy().since(TransactionId::new(2)).to_path(&increment).unwrap();
        let target = disk.mounted.path().join("copy");
        let before = fs::read_dir(disk.mounted.path()).unwrap().count();
        let results = [
            rx.copy().to_path(&target).map(drop),
            rx.copy().compact().to_path(&target).map(drop),
            rx.copy().since(TransactionId::new(2)).to_path(&target).map(drop),
            mapleaf::restore(&base, [File::open(&increment).unwrap()], &target).map(drop),
        ];
        for (index, result) in results.into_iter().enumerate() {
            assert!(result.as_ref().is_err_and(is_no_space), "{kind}, {index}: {result:?}");
        }
        assert_eq!(fs::read_dir(disk.mounted.path()).unwrap().count(), before, "{kind}");
        // The same, where there is room.
        mapleaf::restore(&base, [File::open(&increment).unwrap()], folder.path().join("good")).unwrap();
        assert_clean(&Db::open(folder.path().join("good")).unwrap());
        assert_clean(&db);
    }
}

#[test]
fn an_ascending_load_that_has_no_room_yet_can_still_be_cut_down() {
    let (_folder, path) = scratch();
    let db = Db::options().max_size(10 << 20).open(path).unwrap();
    let table: Table<u64, [u8]> = Table::new("table");
    let load = |numbers: std::ops::Range<u64>, kept: u64| {
        let tx = db.write()?;
        let mut entries = tx.table(&table)?;
        for number in numbers {
            entries.insert(number, [1; 900])?;
        }
        entries.remove_range(kept..)?;
        drop(entries);
        tx.commit()
    };
    load(0..4000, 4000).unwrap();
    load(4000..14_000, 5000).unwrap();
    assert_eq!(db.read().unwrap().table(&table).unwrap().len(), 5000);
    assert!(matches!(load(5000..14_000, 14_000), Err(Error::Full { .. })));
    assert_clean(&db);
}

/// A store into a hole on a full disk would end the process. On ext2 files cannot be allocated ahead.
#[test]
fn the_lock_file_has_no_holes() {
    for kind in ["ext2", "ext4"] {
        let Some(disk) = Disk::mount(kind, 8 << 10) else { return };
        let path = disk.mounted.path().join("database");
        let lock = path.with_file_name("database-lock");
        run_child(concat!(module_path!(), "::killed_with_readers_child"), &path);
        let bytes = fs::metadata(&lock).unwrap().len();
        assert!(bytes > 500_000, "the reader table was made longer: {bytes}");
        // Unchanged; with its first page, which marks it as being in order, and holes; with holes after what a new one
        // has.
        for kept in [bytes, 4096, 400_000] {
            let file = OpenOptions::new().write(true).open(&lock).unwrap();
            file.set_len(kept).unwrap();
            file.set_len(bytes).unwrap();
            let filler = Filler::fill(disk.mounted.path());
            run_child(concat!(module_path!(), "::lock_file_child"), &path);
            drop(filler);
            fs::remove_file(disk.mounted.path().join("filler")).unwrap();
        }
        let db = Db::open(&path).unwrap();
        db.update(|tx| tx.table(&BYTES)?.insert(2, b"two")).unwrap();
        assert_clean(&db);
    }
}

/// More than fit a new lock file, beside which no other handle is open any more.
fn begin_many_readers(db: &Db) -> Vec<mapleaf::ReadTxn> {
    (0..10_000).map_while(|_| db.read().ok()).collect()
}

#[test]
#[ignore = "run by the_lock_file_has_no_holes"]
fn killed_with_readers_child() {
    let Some(path) = child_task() else { return };
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&BYTES)?.insert(1, b"one")).unwrap();
    assert_eq!(begin_many_readers(&db).len(), 10_000);
    process::exit_at_once();
}

#[test]
#[ignore = "run by the_lock_file_has_no_holes"]
fn lock_file_child() {
    let Some(path) = child_task() else { return };
    let value = |db: &Db| db.view(|rx| Ok(rx.table(&BYTES)?.get(1)?.map(<[u8]>::to_vec))).unwrap();
    match Db::open(&path) {
        Ok(db) => {
            assert_eq!(value(&db).unwrap(), b"one");
            drop(begin_many_readers(&db));
            for round in 0..300 {
                match db.update(|tx| tx.table(&BYTES)?.insert(1, b"one").map(drop)) {
                    Err(Error::Io { source, .. }) if source.kind() == ErrorKind::StorageFull => {}
                    other => other.unwrap_or_else(|error| panic!("round {round}: {error}")),
                }
            }
        }
        Err(Error::Io { source, .. }) => assert_eq!(source.kind(), ErrorKind::StorageFull),
        Err(other) => panic!("{other}"),
    }
    assert_eq!(value(&Db::options().read_only(true).open(&path).unwrap()).unwrap(), b"one");
}

#[test]
fn a_database_without_a_lock_file_is_read_on_a_full_disk() {
    let Some(disk) = Disk::mount("ext4", 8 << 10) else { return };
    let path = disk.mounted.path().join("database");
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&BYTES)?.insert(1, b"one")).unwrap();
    drop(db);
    let lock = path.with_file_name("database-lock");
    for is_there in [false, true] {
        match is_there {
            true => OpenOptions::new().write(true).open(&lock).unwrap().set_len(0).unwrap(),
            false => fs::remove_file(&lock).unwrap(),
        }
        let filler = Filler::fill(disk.mounted.path());
        match Db::open(&path) {
            Err(Error::Io { source, .. }) => assert_eq!(source.kind(), ErrorKind::StorageFull),
            other => panic!("{other:?}"),
        }
        let db = Db::options().read_only(true).open(&path).unwrap();
        assert_eq!(db.read().unwrap().table(&BYTES).unwrap().get(1).unwrap(), Some(&b"one"[..]));
        drop(filler);
        fs::remove_file(disk.mounted.path().join("filler")).unwrap();
        if cfg!(mapleaf_portable) {
            assert!(matches!(Db::open(&path), Err(Error::Replaced { .. })), "that reader keeps writers out");
            drop(db);
            Db::open(&path).unwrap().update(|tx| tx.table(&BYTES)?.insert(2, b"two")).unwrap();
            continue;
        }
        let writer = Db::open(&path).unwrap();
        assert!(writer.try_write().unwrap().is_none(), "that reader is not seen, and holds writers off");
        drop(db);
        writer.update(|tx| tx.table(&BYTES)?.insert(2, b"two")).unwrap();
        assert_clean(&writer);
    }
}

/// What frees space works on a full disk, in one piece, however the file was filled.
#[test]
fn a_full_disk_can_be_made_free_by_deleting() {
    for (kind, mode) in ["tmpfs", "ext4"].into_iter().flat_map(|kind| BOTH_MODES.map(|mode| (kind, mode))) {
        for (seed, is_random) in [(1, true), (2, false)] {
            let Some(disk) = Disk::mount(kind, 5 << 10) else { continue };
            let mut random = Random::new(seed);
            let db = Db::options().write_mode(mode).open(disk.mounted.path().join("data")).unwrap();
            let mut next = 0u64;
            // Ever less, until there is no room for a single entry.
            for many in [300, 30, 3, 1] {
                loop {
                    let tx = db.write().unwrap();
                    let mut change = || {
                        let mut bytes = tx.table(&BYTES)?;
                        (0..many).try_for_each(|at| {
                            let key = next + at;
                            let key = if is_random { key.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { key };
                            bytes.insert(key, value(key, 0, random.below(600))).map(drop)
                        })
                    };
                    match change().and_then(|()| tx.commit_with(Durability::Lazy).map(drop)) {
                        Ok(()) => next += many,
                        Err(error) => break assert!(is_no_space(&error), "{error}"),
                    }
                }
            }
            let middle = if is_random { u64::MAX / 2 } else { next / 2 };
            let removed = db.update(|tx| tx.table(&BYTES)?.remove_range(..middle)).unwrap();
            assert!(removed > next / 3, "{removed} of {next}");
            assert_clean(&db);
            db.update(|tx| {
                let mut bytes = tx.table(&BYTES)?;
                (0..100).try_for_each(|key| bytes.insert(key, value(key, 0, 500)).map(drop))
            })
            .unwrap();
            assert_clean(&db);
            let insert = |key| {
                let tx = db.write()?;
                tx.table(&BYTES)?.insert(key, value(0, 0, 3000))?;
                tx.commit_with(Durability::Lazy)
            };
            assert!((next..next + 5000).any(|key| insert(key).is_err()), "it is full again");
            db.update(|tx| tx.table(&BYTES)?.clear()).unwrap();
            assert_clean(&db);
        }
    }
}
