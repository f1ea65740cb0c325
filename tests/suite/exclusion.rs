//! Which processes share a database, by whatever name, and which are kept from it.
#![cfg(target_os = "linux")]

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::common::process::{is_root, make_pipe};
use crate::common::{BOTH_MODES, child, child_task, scratch};
use mapleaf::{Db, Error, Table, restore, salvage};

const NUMBERS: Table<u64, u64> = Table::new("numbers");

fn count(db: &Db) -> u64 {
    db.view(|rx| Ok(rx.table(&NUMBERS)?.len())).unwrap()
}

#[test]
fn a_file_opens_several_times_in_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let handles: Vec<Db> = (0..4).map(|_| Db::open(&path).unwrap()).collect();
    let reader = Db::options().read_only(true).open(&path).unwrap();
    for (number, db) in handles.iter().enumerate() {
        db.update(|tx| tx.table(&NUMBERS)?.insert(number as u64, 1)).unwrap();
        assert!(handles.iter().chain([&reader]).all(|other| count(other) == number as u64 + 1));
    }
    let tx = handles[0].write().unwrap();
    assert!(handles[1].try_write().unwrap().is_none(), "one writes at a time");
    drop(tx);
    assert!(matches!(reader.write(), Err(Error::ReadOnly)));
    drop(handles);
    assert_eq!(count(&reader), 4, "the reader stays");
    assert!(reader.check().unwrap().is_clean());
}

#[test]
fn a_symbolic_link_is_the_same_database() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a.mapleaf"), folder.path().join("b.mapleaf"));
    let db = Db::open(&path).unwrap();
    symlink(&path, &link).unwrap();
    let other = Db::open(&link).unwrap();
    other.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    assert_eq!(count(&db), 1);
    assert!(!folder.path().join("b.mapleaf-lock").exists());
}

/// A hard link has a lock file of its own, in which no handle is; but presence is a lock on the data file.
#[test]
fn a_hard_link_is_refused_while_the_file_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a.mapleaf"), folder.path().join("b.mapleaf"));
    let db = Db::open(&path).unwrap();
    fs::hard_link(&path, &link).unwrap();
    let error = Db::open(&link).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    assert!(error.to_string().contains("b.mapleaf-lock"), "{error}");
    drop(db);
    Db::open(&link).unwrap();
}

/// A transaction that begins right after another relies on that one's look at the names of the files. A durable commit
/// always looks.
#[track_caller]
fn assert_refuses_to_write(db: &Db) {
    let error = db.update(|tx| tx.table(&NUMBERS)?.insert(9, 9)).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
}

#[test]
fn a_removed_lock_file_is_noticed_by_writers_and_newcomers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    fs::remove_file(folder.path().join("a.mapleaf-lock")).unwrap();
    assert!(matches!(Db::open(&path), Err(Error::Replaced { .. })), "the others are somewhere else");
    assert_refuses_to_write(&db);
    assert_eq!(count(&db), 1, "readers go on");
    drop(db);
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(2, 2)).unwrap();
    assert_eq!(count(&db), 2);
}

#[test]
fn a_data_file_that_was_replaced_is_noticed_by_writers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    fs::copy(&path, folder.path().join("copy")).unwrap();
    fs::rename(folder.path().join("copy"), &path).unwrap();
    assert_refuses_to_write(&db);
    assert_eq!(count(&db), 1, "readers go on with the old file");
    drop(db);
    assert_eq!(count(&Db::open(&path).unwrap()), 1);
}

fn insert(tx: &mapleaf::WriteTxn, numbers: std::ops::Range<u64>, value: u64) {
    let mut table = tx.table(&NUMBERS).unwrap();
    numbers.for_each(|number| _ = table.insert(number, value).unwrap());
}

/// One handle has the old data file open, a newcomer would create another beside the same lock file: the old handle's
/// commits would then move the newcomer's newest back.
#[test]
fn a_removed_data_file_with_its_lock_file_kept_is_not_created_while_the_old_one_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let old = Db::open(&path).unwrap();
    for value in 0..5 {
        old.update(|tx| (0..500).try_for_each(|key| tx.table(&NUMBERS)?.insert(key, value).map(drop)))
            .unwrap();
    }
    let tx = old.write().unwrap();
    insert(&tx, 0..500, 1000);
    fs::remove_file(&path).unwrap();
    let error = Db::open(&path).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    assert!(!path.exists(), "nothing was created");
    let error = tx.commit().unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    assert_eq!(count(&old), 500, "readers go on with the old file");
    drop(old);

    let new = Db::open(&path).unwrap();
    new.update(|tx| (0..3000).try_for_each(|key| tx.table(&NUMBERS)?.insert(key, 1).map(drop))).unwrap();
    drop(new);
    let db = Db::open(&path).unwrap();
    assert_eq!(count(&db), 3000);
    assert!(db.check().unwrap().is_clean());
}

/// The same with a file that takes the place of the old one, however it comes there.
#[test]
fn a_file_put_in_the_place_of_one_that_is_open_is_refused_until_that_is_closed() {
    type Change = fn(&Path, &Path);
    let rows: [(&str, Change); 3] = [
        ("another database", |folder, path| fs::rename(folder.join("other"), path).unwrap()),
        ("a backup", |folder, path| fs::rename(folder.join("backup"), path).unwrap()),
        ("moved away, and another moved in", |folder, path| {
            fs::rename(path, folder.join("away")).unwrap();
            fs::rename(folder.join("other"), path).unwrap();
        }),
    ];
    for (name, change) in rows {
        println!("{name}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mapleaf");
        let other = Db::open(folder.path().join("other")).unwrap();
        other.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
        drop(other);
        let old = Db::open(&path).unwrap();
        fs::copy(&path, folder.path().join("backup")).unwrap();
        let tx = old.write().unwrap();
        insert(&tx, 0..9, 9);
        change(folder.path(), &path);
        for read_only in [true, false] {
            let error = Db::options().read_only(read_only).open(&path).unwrap_err();
            assert!(matches!(error, Error::Replaced { .. }), "{error}");
        }
        assert!(matches!(tx.commit_with(mapleaf::Durability::Lazy), Err(Error::Replaced { .. })));
        assert!(matches!(old.sync(), Err(Error::Replaced { .. })));
        drop(old);
        let db = Db::open(&path).unwrap();
        db.update(|tx| tx.table(&NUMBERS)?.insert(2, 2)).unwrap();
        assert!(db.check().unwrap().is_clean());
    }
}

#[test]
fn a_commit_to_a_removed_folder_is_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let db = Db::open(inner.join("a.mapleaf")).unwrap();
    let tx = db.write().unwrap();
    insert(&tx, 0..9, 9);
    let deferred = tx.commit_deferred().unwrap();
    let tx = db.write().unwrap();
    insert(&tx, 0..9, 10);
    fs::remove_dir_all(&inner).unwrap();
    assert!(matches!(tx.commit(), Err(Error::Replaced { .. })));
    assert!(
        matches!(deferred.wait(), Err(Error::Replaced { .. })),
        "it may be durable, in a file without a name"
    );
    assert!(matches!(db.sync(), Err(Error::Replaced { .. })));
}

/// As of a container that has its own: while another handle is open the locks prove that both share the kernel.
#[test]
fn a_lock_file_of_another_boot_is_joined_while_it_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    let id = db.write().unwrap().commit_with(mapleaf::Durability::Lazy).unwrap();
    let lock = fs::OpenOptions::new().write(true).open(folder.path().join("a.mapleaf-lock")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&lock, &[7; 16], 8).unwrap();
    let other = Db::open(&path).unwrap();
    assert!(other.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap());
    assert_eq!(count(&db), 1);
    assert!(db.read().unwrap().id() > id);
}

/// A process that may read the database and not write its lock file is not seen as a reader: so it is there alone.
#[test]
fn without_a_lock_file_to_write_a_reader_is_there_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lock) = (folder.path().join("a.mapleaf"), folder.path().join("a.mapleaf-lock"));
    let db = Db::open(&path).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    fs::set_permissions(&lock, Permissions::from_mode(0o444)).unwrap();
    if fs::OpenOptions::new().write(true).open(&lock).is_ok() {
        println!("skipped: this user may write every file");
        return;
    }
    let read_only = || Db::options().read_only(true).open(&path);
    assert!(matches!(read_only(), Err(Error::InUse { .. })));
    drop(db);
    let readers = [read_only().unwrap(), read_only().unwrap()];
    assert!(readers.iter().all(|reader| count(reader) == 1));
    fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
    let db = Db::open(&path).unwrap();
    assert!(db.try_write().unwrap().is_none(), "writers wait until such readers are gone");
    drop(readers);
    db.update(|tx| tx.table(&NUMBERS)?.insert(2, 2)).unwrap();
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn kind<T>(result: mapleaf::Result<T>) -> ErrorKind {
    match result {
        Err(Error::Io { source, .. }) => source.kind(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was done"),
    }
}

// ---- modes and owners ----

#[test]
fn what_lies_beside_a_database_or_is_made_from_it_has_its_mode() {
    for mode in [0o600, 0o640, 0o644, 0o660] {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let db = Db::options().mode(mode).open(file("a")).unwrap();
        // What the umask takes out of this, it takes out of it alone.
        let mode = mode_of(&file("a"));
        db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
        let rx = db.read().unwrap();
        rx.copy().to_path(file("copy")).unwrap();
        rx.copy().compact().to_path(file("compact")).unwrap();
        db.update(|tx| tx.table(&NUMBERS)?.insert(2, 1)).unwrap();
        db.read().unwrap().copy().since(rx.id()).to_path(file("increment")).unwrap();
        restore(file("copy"), [File::open(file("increment")).unwrap()], file("restored")).unwrap();
        drop((rx, db));
        drop(salvage(file("a"), file("salvaged")).unwrap());
        for name in ["a-lock", "copy", "compact", "increment", "restored", "salvaged"] {
            assert_eq!(mode_of(&file(name)), mode, "{name} of a database with mode {mode:o}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 7);
    }
}

#[test]
fn modes_that_are_none_for_a_database_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o400, 0o060, 0o755, 0o1600] {
        let opened = Db::options().mode(mode).open(folder.path().join("a"));
        assert!(matches!(opened, Err(Error::InvalidOption { .. })));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A wrong mode that a lock file has, from an earlier version or by `chmod` of the database, is put right.
#[test]
fn the_mode_of_a_lock_file_follows_that_of_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    drop(Db::open(&path).unwrap());
    for (mode, lock_mode, expected) in [
        (0o600, 0o644, 0o600),
        (0o600, 0o666, 0o600),
        (0o640, 0o644, 0o640),
        (0o660, 0o600, 0o660),
        (0o644, 0o600, 0o644),
        (0o644, 0o666, 0o666), // users that may read have been allowed to write it, to be seen
    ] {
        set_mode(&path, mode);
        set_mode(&beside(&path, "-lock"), lock_mode);
        drop(Db::open(&path).unwrap());
        let found = mode_of(&beside(&path, "-lock"));
        assert_eq!(found, expected, "{mode:o} with {lock_mode:o} became {found:o}");
    }
}

const SERVICE: u32 = 12_345;
const STRANGER: u32 = 12_346;

/// Runs `task` on the database at `path` in a process of another user that is in no other group than the given one;
/// returns what it says.
fn as_user(user: u32, group: u32, task: &str, path: &Path) -> String {
    let mut command = child(concat!(module_path!(), "::another_user"), path);
    let output = command.env("MAPLEAF_TASK", task).uid(user).gid(group).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|line| line.split_once("said: "));
    said.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).1.to_owned()
}

#[test]
#[ignore = "run by other tests of this file"]
fn another_user() {
    let Some(path) = child_task() else { return };
    let write = |path: &Path| {
        Db::open(path)?.update(|tx| {
            let mut numbers = tx.table(&NUMBERS)?;
            let count = numbers.len();
            numbers.insert(count, 1).map(drop)
        })
    };
    let read_only = || Db::options().read_only(true).open(&path);
    let result = match &*std::env::var("MAPLEAF_TASK").unwrap() {
        "write" => write(&path).map(|()| "written".to_owned()),
        "read" => read_only().map(|db| format!("{} entries", count(&db))),
        "read and stay" => read_only().map(|db| {
            println!("said: {} entries", count(&db));
            let _ = io::stdin().read(&mut [0]);
            "gone".to_owned()
        }),
        "copy" => read_only()
            .and_then(|db| db.read()?.copy().to_path(beside(&path, "-copy")))
            .map(|_| "copied".into()),
        "open lock file" => {
            let opened = [false, true].map(|write| {
                fs::OpenOptions::new().read(true).write(write).open(beside(&path, "-lock")).is_ok()
            });
            Ok(format!("{opened:?}"))
        }
        other => panic!("{other}"),
    };
    println!("said: {}", result.unwrap_or_else(|error| error.to_string()));
}

/// A folder in which every user may create files; `None` if this user is not root.
fn folder_for_all() -> Option<tempfile::TempDir> {
    if !is_root() {
        println!("skipped: only root can act as several users");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o777);
    Some(folder)
}

/// The folder holds nothing that belongs to another than `user`, or that another group may read.
#[track_caller]
fn assert_owned(folder: &Path, user: u32, mode: u32) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o777),
            (user, user, mode),
            "{}",
            path.display()
        );
    }
}

#[test]
fn root_that_looks_first_does_not_lock_the_owner_out() {
    let Some(folder) = folder_for_all() else { return };
    let path = folder.path().join("a");
    assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
    set_mode(&path, 0o600);
    let lock = beside(&path, "-lock");
    for read_only in [true, false] {
        fs::remove_file(&lock).unwrap();
        let db = Db::options().read_only(read_only).open(&path).unwrap();
        db.read().unwrap().copy().to_path(beside(&path, "-root's")).unwrap();
        db.read().unwrap().copy().compact().to_path(beside(&path, "-compact")).unwrap();
        drop(salvage(beside(&path, "-compact"), beside(&path, "-salvaged")).unwrap());
        drop(db);
        assert_owned(folder.path(), SERVICE, 0o600);
        assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
        assert_eq!(as_user(SERVICE, SERVICE, "write", &beside(&path, "-root's")), "written");
        for name in ["-root's", "-root's-lock", "-compact", "-salvaged"] {
            fs::remove_file(beside(&path, name)).unwrap();
        }
    }
    // One that an earlier version has left to root: root gives it back.
    chown(&lock, Some(0), Some(0)).unwrap();
    set_mode(&lock, 0o644);
    let refused = as_user(SERVICE, SERVICE, "write", &path);
    assert!(refused.contains("belongs to user 0, group 0, and its mode is 644"), "{refused}");
    drop(Db::open(&path).unwrap());
    assert_owned(folder.path(), SERVICE, 0o600);
    assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
}

/// A user that may read a lock file can hold a lock on it, and others wait for that lock.
#[test]
fn a_stranger_can_open_no_lock_file_of_a_database_that_is_closed_to_strangers() {
    let Some(folder) = folder_for_all() else { return };
    let path = folder.path().join("a");
    drop(Db::open(&path).unwrap());
    assert_eq!(as_user(STRANGER, STRANGER, "open lock file", &path), "[true, false]");
    set_mode(&path, 0o600);
    drop(Db::open(&path).unwrap());
    assert_eq!(as_user(STRANGER, STRANGER, "open lock file", &path), "[false, false]");
    fs::remove_file(beside(&path, "-lock")).unwrap();
    drop(Db::open(&path).unwrap());
    assert_eq!(as_user(STRANGER, STRANGER, "open lock file", &path), "[false, false]");
}

#[test]
fn a_user_who_may_only_read_leaves_no_lock_file_and_copies_for_those_who_may_read_alone() {
    let Some(folder) = folder_for_all() else { return };
    let path = folder.path().join("a");
    assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
    fs::remove_file(beside(&path, "-lock")).unwrap();
    assert_eq!(as_user(STRANGER, STRANGER, "read", &path), "1 entries");
    assert!(!beside(&path, "-lock").exists(), "the owner could not write it");
    assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
    // A member of the group: others may not read the copy, and the group may.
    set_mode(&path, 0o640);
    let copy = beside(&path, "-copy");
    assert_eq!(as_user(STRANGER, SERVICE, "copy", &path), "copied");
    let found = fs::metadata(&copy).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (STRANGER, SERVICE, 0o640));
    // A user that may read as one of the others, and whose group is another: the copy may not have what the group has.
    fs::remove_file(&copy).unwrap();
    set_mode(&path, 0o664);
    assert_eq!(as_user(STRANGER, STRANGER, "copy", &path), "copied");
    let found = fs::metadata(&copy).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (STRANGER, STRANGER, 0o644));
}

/// A lock file is mapped: its owner could cut it while others use it.
#[test]
fn a_lock_file_of_a_stranger_is_refused() {
    let Some(folder) = folder_for_all() else { return };
    let path = folder.path().join("a");
    for exists in [false, true] {
        if exists {
            assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
            fs::rename(beside(&path, "-lock"), folder.path().join("kept")).unwrap();
        }
        fs::write(beside(&path, "-lock"), "").unwrap();
        chown(beside(&path, "-lock"), Some(STRANGER), Some(STRANGER)).unwrap();
        set_mode(&beside(&path, "-lock"), 0o666);
        let refused = as_user(SERVICE, SERVICE, "write", &path);
        assert!(refused.contains("user 12346, which may not write the database"), "{refused}");
        assert!(kind(Db::open(&path)) == ErrorKind::PermissionDenied, "not by root either");
        assert_eq!(path.exists(), exists);
        assert_eq!(fs::metadata(beside(&path, "-lock")).unwrap().len(), 0);
        fs::remove_file(beside(&path, "-lock")).unwrap();
    }
    assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
    // Where the group writes, its members' lock files are as good as the owner's.
    set_mode(&path, 0o660);
    fs::remove_file(beside(&path, "-lock")).unwrap();
    assert_eq!(as_user(STRANGER, SERVICE, "write", &path), "written");
    let found = fs::metadata(beside(&path, "-lock")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (STRANGER, SERVICE, 0o660));
    assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
}

/// As in `/tmp`: every user may create files, and remove the own ones only.
#[test]
fn no_process_is_led_elsewhere_in_a_sticky_folder() {
    let Some(folder) = folder_for_all() else { return };
    set_mode(folder.path(), 0o1777);
    let path = folder.path().join("a");
    let elsewhere = tempfile::tempdir().unwrap();
    set_mode(elsewhere.path(), 0o777);
    for name in ["a", "a-lock"] {
        let link = folder.path().join(name);
        symlink(elsewhere.path().join("created"), &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(STRANGER), Some(STRANGER)).unwrap();
        let refused = as_user(SERVICE, SERVICE, "write", &path);
        assert!(refused.contains("symbolic link") || refused.contains("ermission denied"), "{refused}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        fs::remove_file(link).unwrap();
    }
    // The own link is followed. A lock file of the own is opened where the system refuses to open it for creation.
    assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
    drop(Db::open(&path).unwrap());
    assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
}

/// A folder in which files may be created, and which may not be listed: it cannot be synced either.
#[test]
fn a_folder_that_may_not_be_read_is_as_good() {
    if cfg!(mapleaf_portable) {
        return; // there a folder must be read to be synced
    }
    let Some(folder) = folder_for_all() else { return };
    chown(folder.path(), Some(SERVICE), Some(SERVICE)).unwrap();
    set_mode(folder.path(), 0o300);
    let path = folder.path().join("a");
    assert_eq!(as_user(SERVICE, SERVICE, "write", &path), "written");
    assert_eq!(as_user(SERVICE, SERVICE, "copy", &path), "copied");
    assert_eq!(as_user(SERVICE, SERVICE, "write", &beside(&path, "-copy")), "written");
}

// ---- readers that are not seen ----

#[track_caller]
fn assert_held_off(db: &Db) {
    assert!(db.try_write().unwrap().is_none());
    let readers = db.readers().unwrap();
    assert!(readers.len() == 1 && readers[0].holds_off_writers && readers[0].pid == 0, "{readers:?}");
    let error = db.write_timeout(Duration::from_millis(10)).unwrap_err();
    assert!(matches!(error, Error::HeldOff { .. }), "{error}");
    assert!(error.to_string().contains("-lock"), "{error}");
}

/// An increment that is not there yet.
struct Waiting {
    begun: Sender<()>,
    end: Receiver<()>,
}

impl Read for Waiting {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.begun.send(()).unwrap();
        self.end.recv().unwrap();
        Ok(0)
    }
}

/// A database that is restored from is read for as long as the increments take.
#[test]
fn writers_learn_that_a_process_holds_them_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let db = Db::open(file("a")).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    db.read().unwrap().copy().to_path(file("copy")).unwrap();
    let ((begun, has_begun), (end, is_to_end)) = (channel(), channel());
    std::thread::scope(|scope| {
        let end = end; // dropped by a panic in here, which ends the other thread
        let increment = Waiting { begun, end: is_to_end };
        let restoring = scope.spawn(|| restore(file("copy"), [increment], file("restored")));
        has_begun.recv().unwrap();
        let copy = Db::open(file("copy")).unwrap();
        assert_eq!(count(&copy), 1);
        assert_held_off(&copy);
        // For as long as that may take, with no deadline of the caller's.
        assert!(matches!(copy.update(|_| Ok(())), Err(Error::HeldOff { .. })));
        end.send(()).unwrap();
        assert!(matches!(restoring.join().unwrap(), Err(Error::BadIncrement { .. })));
        copy.update(|tx| tx.table(&NUMBERS)?.insert(2, 1)).unwrap();
        assert_eq!((count(&copy), copy.readers().unwrap().len()), (2, 0));
    });
}

#[test]
fn a_reader_holds_writers_off_unless_it_may_write_the_lock_file() {
    let Some(folder) = folder_for_all() else { return };
    let path = folder.path().join("a");
    Db::open(&path).unwrap().update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    set_mode(&path, 0o644);
    for may_write in [false, true] {
        if may_write {
            set_mode(&beside(&path, "-lock"), 0o666);
        }
        let mut command = child(concat!(module_path!(), "::another_user"), &path);
        let command = command.env("MAPLEAF_TASK", "read and stay").uid(STRANGER).gid(STRANGER);
        let mut reader = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("said: 1 entries")));
        // In the portable form it may also have to create the folder of the locks, and may not.
        let is_refused = cfg!(mapleaf_portable);
        if is_refused {
            assert!(matches!(Db::open(&path), Err(Error::Replaced { .. })));
        } else {
            let db = Db::open(&path).unwrap();
            match may_write {
                false => assert_held_off(&db),
                true => db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1).map(drop)).unwrap(),
            }
        }
        drop(reader.stdin.take());
        assert!(reader.wait().unwrap().success());
        let db = Db::open(&path).unwrap();
        db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    }
}

// ---- names ----

#[test]
fn a_database_created_through_a_link_stays_the_one_when_the_link_is_switched() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for name in ["release-1", "release-2"] {
        fs::create_dir(file(name)).unwrap();
    }
    let point_to = |release: &str| {
        symlink(release, file("new")).unwrap();
        fs::rename(file("new"), file("current")).unwrap();
    };
    for _ in ["created", "there already"] {
        point_to("release-1");
        let db = Db::open(file("current/a")).unwrap();
        db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
        point_to("release-2");
        db.update(|tx| tx.table(&NUMBERS)?.insert(2, 2)).unwrap();
        assert_eq!(count(&db), 2);
    }
    assert_eq!(fs::read_dir(file("release-2")).unwrap().count(), 0);
}

#[test]
fn a_link_to_where_nothing_is_yet_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::create_dir(file("data")).unwrap();
    symlink("data/second", file("first")).unwrap();
    symlink("third", file("data/second")).unwrap();
    let db = Db::open(file("first")).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    assert_eq!(count(&Db::open(file("data/third")).unwrap()), 1, "one database");
    let mut names: Vec<_> =
        fs::read_dir(file("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names.retain(|name| name != "third-locks"); // of the portable form
    assert_eq!(names, ["second", "third", "third-lock"]);
    assert!(!file("first-lock").exists());
    symlink("loop", file("loop")).unwrap();
    assert!(Db::open(file("loop")).is_err());
    symlink("no/such/folder", file("lost")).unwrap();
    assert_eq!(kind(Db::open(file("lost"))), ErrorKind::NotFound);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left beside the links");
}

#[test]
fn a_name_that_leaves_no_room_for_the_lock_file_is_refused() {
    if cfg!(mapleaf_portable) {
        return; // other names are longer still there
    }
    let folder = tempfile::tempdir().unwrap();
    drop(Db::open(folder.path().join("n".repeat(250))).unwrap());
    for length in 251..=255 {
        let path = folder.path().join("n".repeat(length));
        let error = Db::open(&path).unwrap_err();
        assert!(error.to_string().contains("with `-lock` at its end"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is created");
    }
    // What has such a name is read: no process can write to it.
    let path = folder.path().join("n".repeat(255));
    fs::copy(folder.path().join("n".repeat(250)), &path).unwrap();
    let db = Db::options().read_only(true).open(&path).unwrap();
    assert!(db.check().unwrap().is_clean());
}

// ---- files of others ----

/// A file that has the name of one of mapleaf's files, and is none, is not changed.
#[test]
fn a_file_of_another_program_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let precious = "-----BEGIN PRIVATE KEY-----\nthe only copy of it\n";
    fs::write(file("victim"), precious).unwrap();
    drop(Db::open(file("database")).unwrap());
    let database = fs::read(file("database")).unwrap();
    type Put<'a> = &'a dyn Fn(&Path) -> io::Result<()>;
    let cases: [(&str, Put, &str); 7] = [
        ("text", &|lock| fs::write(lock, precious), "not a lock file of mapleaf"),
        ("a database", &|lock| fs::copy(file("database"), lock).map(drop), "not a lock file of mapleaf"),
        (
            "a few zeros, then text",
            &|lock| fs::write(lock, "\0\0\0\0\0\0\0\0text"),
            "not a lock file of mapleaf",
        ),
        ("a link", &|lock| symlink(file("victim"), lock), "symbolic link"),
        ("a link to nowhere", &|lock| symlink(file("nowhere"), lock), "symbolic link"),
        ("a folder", &|lock| fs::create_dir(lock), "directory"),
        ("a pipe", &|lock| make_pipe(&CString::new(lock.as_os_str().as_bytes())?), "regular file"),
    ];
    for (what, put, expected) in cases {
        let lock = file("a-lock");
        put(&lock).unwrap();
        let contents = || if what == "a pipe" { None } else { fs::read(&lock).ok() };
        let before = (lock.symlink_metadata().unwrap(), contents());
        let error = Db::open(file("a")).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("a-lock"), "{what}: {error}");
        assert!(!file("a").exists(), "{what}");
        fs::write(file("a"), &database).unwrap();
        for read_only in [false, true] {
            let error = Db::options().read_only(read_only).open(file("a")).unwrap_err().to_string();
            assert!(error.contains(expected), "{what}: {error}");
        }
        let after = lock.symlink_metadata().unwrap();
        assert_eq!(
            (after.len(), after.ino(), after.mode()),
            (before.0.len(), before.0.ino(), before.0.mode())
        );
        assert!(contents() == before.1, "{what}");
        fs::remove_file(file("a")).unwrap();
        if fs::remove_file(&lock).is_err() {
            fs::remove_dir(&lock).unwrap();
        }
    }
    assert_eq!(fs::read_to_string(file("victim")).unwrap(), precious);
    assert!(!file("nowhere").exists());
}

/// As the image of a disk: no block is allocated in it, and none is read.
#[test]
fn a_sparse_file_that_is_no_database_stays_sparse() {
    let (folder, path) = scratch();
    File::create(&path).unwrap().set_len(8 << 20).unwrap();
    for mode in BOTH_MODES {
        let error = Db::options().write_mode(mode).open(&path).unwrap_err();
        assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.len(), found.blocks()), (8 << 20, 0));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "there is no lock file either");
}

/// Names under which earlier versions made files.
#[test]
fn files_with_names_of_files_that_are_made_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let suffixes = ["-new", "-compact", "-salvage", "-compact-lock", "-salvage-lock", "-lock-new"];
    fs::write(file("victim"), "precious").unwrap();
    for (at, suffix) in suffixes.iter().enumerate() {
        for name in ["a", "copy", "small", "rescued"] {
            match at % 2 {
                0 => fs::write(file(&format!("{name}{suffix}")), "precious").unwrap(),
                _ => symlink(file("victim"), file(&format!("{name}{suffix}"))).unwrap(),
            }
        }
    }
    let db = Db::open(file("a")).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
    db.read().unwrap().copy().to_path(file("copy")).unwrap();
    db.read().unwrap().copy().compact().to_path(file("small")).unwrap();
    drop(db);
    drop(salvage(file("a"), file("rescued")).unwrap());
    for name in ["a", "copy", "small", "rescued"] {
        assert_eq!(count(&Db::open(file(name)).unwrap()), 1);
        for suffix in suffixes {
            assert_eq!(fs::read_to_string(file(&format!("{name}{suffix}"))).unwrap(), "precious");
        }
    }
}

/// Empty, or zeros alone: as a version before this one may have left it, and with nothing to lose.
#[test]
fn an_empty_lock_file_is_used() {
    let folder = tempfile::tempdir().unwrap();
    for length in [0, 5, 4096, 362_240] {
        let path = folder.path().join(length.to_string());
        fs::write(beside(&path, "-lock"), vec![0; length]).unwrap();
        let db = Db::open(&path).unwrap();
        db.update(|tx| tx.table(&NUMBERS)?.insert(1, 1)).unwrap();
        assert_eq!(count(&Db::open(&path).unwrap()), 1);
    }
}
