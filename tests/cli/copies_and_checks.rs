//! Copies, checks, rescue, and commits that are watched.

use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mapleaf::Db;

use crate::common::{Random, assert_clean};
use crate::{NAMES, answer, mapleaf, refused, run, text, world};

#[test]
fn copies_and_checks_while_the_database_is_open() {
    let (folder, path) = world();
    let at = folder.path();
    let db = Db::open(&path).unwrap();
    let _rx = db.read().unwrap();
    let open = db.write().unwrap(); // no command waits for it
    answer(at, &["copy", "a.mapleaf", "b.mapleaf"]);
    answer(at, &["copy", "--compact", "a.mapleaf", "c.mapleaf"]);
    let stream = run(at, &["copy", "a.mapleaf", "-"], b"");
    fs::write(at.join("d.mapleaf"), &stream.stdout).unwrap();
    assert!(answer(at, &["check", "a.mapleaf"]).ends_with("0 problems\n"));
    let readers = answer(at, &["readers", "a.mapleaf"]);
    assert!(readers.contains(&format!("process {} reads transaction 2", std::process::id())), "{readers}");
    drop(open);
    let dump = answer(at, &["dump", "--format", "json", "a.mapleaf"]);
    for copy in ["b.mapleaf", "c.mapleaf", "d.mapleaf"] {
        assert_eq!(answer(at, &["dump", "--format", "json", copy]), dump);
        assert_clean(&Db::open(at.join(copy)).unwrap());
    }
    answer(at, &["readers", "--pins", "a.mapleaf"]);
}

/// What may be all that is left of a database is not called another file, and not to be removed.
#[test]
fn a_database_without_meta_pages_is_to_be_salvaged() {
    let (folder, path) = world();
    let at = folder.path();
    let mut bytes = fs::read(&path).unwrap();
    bytes[..8192].copy_from_slice(&Random::new(1).bytes(8192));
    fs::write(&path, &bytes).unwrap();
    let part = "a.mapleaf is a damaged mapleaf database: neither of its two meta pages is in order; restore a backup, \
                or rescue what can be read with `mapleaf salvage`";
    for arguments in
        [&["stat", "a.mapleaf"][..], &["check", "a.mapleaf"], &["put", "a.mapleaf", "names", "x", "y"]]
    {
        refused(at, arguments, b"", 3, part);
    }
    let salvaged = run(at, &["salvage", "a.mapleaf", "rescued"], b"");
    assert!(at.join("rescued").exists(), "{}", text(&salvaged.stderr));
    assert!(answer(at, &["tables", "rescued"]).contains("names"));
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn damage_is_found_and_what_is_left_is_rescued() {
    let (folder, path) = world();
    let at = folder.path();
    let mut bytes = fs::read(&path).unwrap();
    bytes[2 * 4096 + 100] ^= 1; // a leaf
    fs::write(&path, bytes).unwrap();
    let output = run(at, &["check", "a.mapleaf"], b"");
    let report = text(&output.stdout);
    let code = output.status.code();
    assert!((code == Some(1) && report.contains("page 2")) || code == Some(3), "{code:?} {report}");
    let output = run(at, &["salvage", "--json", "a.mapleaf", "rescued.mapleaf"], b"");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", text(&output.stderr));
    assert_clean(&Db::open(at.join("rescued.mapleaf")).unwrap());
    refused(at, &["salvage", "a.mapleaf", "rescued.mapleaf"], b"", 4, "rescued.mapleaf");
}

#[test]
fn commits_are_watched() {
    let (folder, path) = world();
    let mut child: Child = mapleaf()
        .args(["watch", "--count", "1", "--json"])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let db = Db::open(&path).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it has not seen a commit");
        db.update(|tx| tx.table(&NAMES)?.insert("new", "x")).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut line = String::new();
    child.stdout.take().unwrap().read_to_string(&mut line).unwrap();
    assert!(line.starts_with('{') && line.contains("\"entries\":7"), "{line}");
    let output = run(folder.path(), &["watch", "--timeout", "0.05", "a.mapleaf"], b"");
    assert_eq!(output.status.code(), Some(1));
}
