//! The command-line program's backups, and giving space back.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::assert_clean;
use mapleaf::{Db, Table};

const WORDS: Table<u64, str> = Table::new("words");

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mapleaf"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Standard output and standard error, when all is well.
#[track_caller]
fn answer(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = run(folder, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, error) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}: {error}", output.status);
    (out, error)
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], code: i32, part: &str) {
    let output = run(folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(message.contains(part), "{arguments:?}: {message}");
}

fn fill(db: &Db, keys: std::ops::Range<u64>, word: &str) {
    db.update(|tx| {
        let mut words = tx.table(&WORDS)?;
        keys.clone().try_for_each(|key| words.insert(key, word.repeat(20)).map(drop))
    })
    .unwrap();
}

fn words(path: &Path) -> Vec<(u64, String)> {
    let db = Db::options().create(false).open(path).unwrap();
    assert_clean(&db);
    let rx = db.read().unwrap();
    let table = rx.table(&WORDS).unwrap();
    table.iter().map(|entry| entry.map(|(key, word)| (key, word.to_owned())).unwrap()).collect()
}

#[test]
fn backups_of_some_nights_are_restored() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let path = at.join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    fill(&db, 0..5000, "first");
    answer(at, &["copy", "a.mapleaf", "sunday"]);
    fill(&db, 100..110, "second");
    let (_, told) = answer(at, &["backup", "--since", "sunday", "a.mapleaf", "monday"]);
    assert!(told.starts_with("transactions 2 to 3: "), "{told}");
    fill(&db, 4000..4010, "third");
    answer(at, &["backup", "--since", "monday", "a.mapleaf", "tuesday"]);
    answer(at, &["backup", "--since", "2", "a.mapleaf", "both"]);
    drop(db);
    assert!(fs::metadata(at.join("monday")).unwrap().len() < fs::metadata(&path).unwrap().len() / 20);
    let (_, told) = answer(at, &["restore", "sunday", "monday", "tuesday", "restored"]);
    assert!(told.starts_with("transaction 4 restored: "), "{told}");
    answer(at, &["restore", "sunday", "both", "other"]);
    assert_eq!(words(&at.join("restored")), words(&path));
    assert_eq!(words(&at.join("other")), words(&path));
    // Through pipes.
    let program = env!("CARGO_BIN_EXE_mapleaf");
    let line = format!("{program} backup --since sunday a.mapleaf - | {program} restore sunday - piped");
    assert!(Command::new("sh").args(["-c", &line]).current_dir(at).status().unwrap().success());
    assert_eq!(words(&at.join("piped")), words(&path));
}

#[test]
fn wrong_backups_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let db = Db::open(at.join("a.mapleaf")).unwrap();
    fill(&db, 0..100, "first");
    fill(&Db::open(at.join("b.mapleaf")).unwrap(), 0..100, "first");
    answer(at, &["copy", "a.mapleaf", "sunday"]);
    answer(at, &["copy", "b.mapleaf", "other"]);
    answer(at, &["copy", "--compact", "a.mapleaf", "compact"]);
    fill(&db, 0..10, "second");
    answer(at, &["backup", "--since", "sunday", "a.mapleaf", "monday"]);
    refused(at, &["backup", "--since", "other", "a.mapleaf", "new"], 2, "not a copy of this database");
    refused(at, &["backup", "--since", "compact", "a.mapleaf", "new"], 2, "not a copy of this database");
    refused(at, &["backup", "--since", "99", "a.mapleaf", "new"], 2, "transaction 99");
    refused(at, &["backup", "--since", "nothing", "a.mapleaf", "new"], 4, "nothing");
    refused(at, &["backup", "--since", "sunday", "a.mapleaf", "monday"], 4, "exists already");
    refused(at, &["restore", "other", "monday", "new"], 2, "another database");
    refused(at, &["restore", "sunday", "sunday", "new"], 2, "no increment");
    refused(at, &["restore", "sunday", "nothing", "new"], 4, "nothing");
    refused(at, &["restore", "sunday", "monday", "monday", "new"], 2, "begins with transaction");
    refused(at, &["restore", "sunday", "monday", "compact"], 4, "exists already");
    refused(at, &["restore", "sunday", "new"], 2, "required");
    let bytes = fs::read(at.join("monday")).unwrap();
    fs::write(at.join("cut"), &bytes[..bytes.len() - 10]).unwrap();
    refused(at, &["restore", "sunday", "cut", "new"], 2, "too early");
    assert!(!at.join("new").exists() && !at.join("new-staging").exists());
}

#[test]
fn space_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let path = at.join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    fill(&db, 0..30_000, "first");
    db.update(|tx| tx.table(&WORDS)?.retain(|key, _| key % 7 == 0 || key > 29_000).map(drop)).unwrap();
    let before = fs::metadata(&path).unwrap().len();
    // It is open elsewhere, which does not matter.
    let (out, _) = answer(at, &["compact", "--json", "a.mapleaf"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["done"], report["bytes_before"].as_u64()), (&true.into(), Some(before)), "{out}");
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(report["file_bytes"].as_u64(), Some(length));
    assert!(length < before * 2 / 3, "{length} of {before}");
    drop(db);
    let kept = (0..30_000u64).filter(|key| key % 7 == 0 || *key > 29_000).count();
    assert_eq!(words(&path).len(), kept);
    let (out, _) = answer(at, &["shrink", "a.mapleaf"]);
    assert!(out.contains("left"), "{out}");
    refused(at, &["compact", "--step-pages", "3", "a.mapleaf"], 2, "3");
    refused(at, &["compact", "nothing"], 4, "nothing");
}

/// Ctrl-C ends it after a step: the database is whole, and what was moved stays.
#[test]
fn compaction_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let path = at.join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    fill(&db, 0..60_000, "some words, and then some more");
    db.update(|tx| tx.table(&WORDS)?.retain(|key, _| key % 5 == 0).map(drop)).unwrap();
    let head = db.stats().unwrap().newest;
    let mut command = Command::new(env!("CARGO_BIN_EXE_mapleaf"));
    command.current_dir(at).args(["compact", "--step-pages", "32", "a.mapleaf"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while db.stats().unwrap().newest.since(head) < 3 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("pages moved"));
    drop(db);
    assert_eq!(words(&path).len(), 12_000);
}

/// Opening a pipe would wait for its other end.
#[test]
fn backup_since_a_pipe_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fill(&Db::open(at.join("a.mapleaf")).unwrap(), 0..10, "word");
    assert!(Command::new("mkfifo").arg(at.join("pipe")).status().unwrap().success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_mapleaf"));
    command.current_dir(at).args(["backup", "--since", "pipe", "a.mapleaf", "b"]).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it waits");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(4));
}
