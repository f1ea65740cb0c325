//! Opens, writes, reads, shares, kills and recovers a database, and says so. Any failure is a panic.
//!
//! Without arguments it starts itself again as the processes that share the database.

use mapleaf::{Db, Durability, OpenOptions, Table, WriteMode};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NUMBERS: Table<u64, u64> = Table::new("numbers");
const BYTES: Table<u64, [u8]> = Table::new("bytes");
const MODES: [WriteMode; 2] = [WriteMode::Syscall, WriteMode::Mapped];
/// Commits of each process that shares the database.
const COMMITS: u64 = 20;

fn options(mode: WriteMode) -> OpenOptions {
    Db::options().max_size(256 << 20).write_mode(mode)
}

fn add_one(db: &Db, durability: Durability) {
    let tx = db.write().unwrap();
    {
        let mut numbers = tx.table(&NUMBERS).unwrap();
        let before = numbers.get(0).unwrap().unwrap_or(0);
        numbers.insert(0, before + 1).unwrap();
    }
    tx.commit_with(durability).unwrap();
}

fn count(db: &Db) -> u64 {
    db.read().unwrap().table(&NUMBERS).unwrap().get(0).unwrap().unwrap_or(0)
}

fn assert_clean(db: &Db) {
    let report = db.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// `SMOKE_RUNNER` names an emulator, if this program needs one.
fn child(task: &str, path: &Path) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut command = match std::env::var_os("SMOKE_RUNNER") {
        Some(runner) => Command::new(runner),
        None => Command::new(&own),
    };
    if command.get_program() != own {
        command.arg(own);
    }
    command.arg(task).arg(path).stdout(Stdio::piped()).spawn().unwrap()
}

/// What a process does that was started for `task`.
fn work(task: &str, path: &Path) {
    let db = options(WriteMode::Syscall).open(path).unwrap();
    match task {
        "count" => (0..COMMITS).for_each(|_| add_one(&db, Durability::Durable)),
        "be killed" => {
            let _reader = db.read().unwrap();
            add_one(&db, Durability::Lazy);
            println!("written");
            std::io::stdout().flush().unwrap();
            std::thread::sleep(Duration::from_secs(600));
        }
        other => panic!("no task {other}"),
    }
}

fn several_processes(path: &Path) {
    let db = options(WriteMode::Syscall).open(path).unwrap();
    add_one(&db, Durability::Durable);
    let before = count(&db);
    let watch = db.read().unwrap().id();
    let mut children: Vec<Child> = (0..3).map(|_| child("count", path)).collect();
    let woken_by = db.wait_for_commit(watch, Some(Duration::from_secs(60))).unwrap();
    assert!(woken_by > Some(watch), "another process has committed");
    (0..COMMITS).for_each(|_| add_one(&db, Durability::Durable));
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_eq!(count(&db), before + 4 * COMMITS, "no commit is lost, and none counts twice");
    assert_clean(&db);
}

fn a_killed_process(path: &Path) {
    let db = options(WriteMode::Syscall).open(path).unwrap();
    let before = count(&db);
    let mut killed = child("be killed", path);
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "written");
    assert_eq!(db.readers().unwrap().len(), 1);
    drop(db);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let db = options(WriteMode::Syscall).open(path).unwrap();
    assert_eq!(count(&db), before + 1, "what it committed lazily is there");
    assert!(db.readers().unwrap().is_empty());
    assert_clean(&db);
}

fn growth_and_reopening(path: &Path, mode: WriteMode) {
    let value = vec![7; 100_000];
    let db = options(mode).open(path).unwrap();
    for round in 0..10u64 {
        db.update(|tx| {
            (0..20).try_for_each(|key| tx.table(&BYTES)?.insert(round * 20 + key, &value[..]).map(drop))
        })
        .unwrap();
    }
    drop(db);
    let db = Db::options().read_only(true).max_size(256 << 20).open(path).unwrap();
    let rx = db.read().unwrap();
    assert_eq!(rx.table(&BYTES).unwrap().len(), 200);
    assert!(rx.table(&BYTES).unwrap().iter().unwrap().all(|entry| entry.unwrap().1 == value));
    drop((rx, db));
    let db = options(mode).open(path).unwrap();
    db.update(|tx| tx.table(&BYTES)?.clear()).unwrap();
    db.sync().unwrap();
    assert_clean(&db);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [task, path] = &arguments[..] {
        return work(task, Path::new(path));
    }
    let folder: PathBuf = std::env::temp_dir().join(format!("mapleaf-smoke-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("smoke.mapleaf");
    for mode in MODES {
        growth_and_reopening(&path, mode);
    }
    several_processes(&path);
    a_killed_process(&path);
    std::fs::remove_dir_all(&folder).unwrap();
    println!("growth, several processes, a killed process: as they should be");
}
