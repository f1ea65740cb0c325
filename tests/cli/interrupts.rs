//! Ctrl-C, and readers of the output that go away: nothing is lost, and nothing is left half done.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mapleaf::{Db, admin};

use crate::common::assert_clean;
use crate::{NAMES, answer, answer_to, files, mapleaf, refused, text, world};

#[test]
fn reader_of_the_output_may_go_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    db.update(|tx| (0..20_000).try_for_each(|key| tx.table(&NAMES)?.insert(format!("{key}"), "x").map(drop)))
        .unwrap();
    for (arguments, message) in [
        (&["scan", "a.mapleaf", "names"][..], ""),
        (&["dump", "a.mapleaf"], ""),
        (&["dump", "--format", "json", "a.mapleaf"], ""),
        (&["map", "--svg", "--pages-per-cell", "1", "a.mapleaf"], ""),
        (&["page", "--hex", "a.mapleaf", "2"], ""),
        (&["copy", "a.mapleaf", "-"], "the copy is not complete"),
    ] {
        // No process reads, from the beginning on: otherwise short output would be written before the reader goes away.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = mapleaf();
        command.current_dir(folder.path()).args(arguments).stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {error}");
        assert!(error.contains(message) && error.is_empty() == message.is_empty(), "{arguments:?}: {error}");
    }
    assert_eq!(files(folder.path()), ["a.mapleaf", "a.mapleaf-lock"]);
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = mapleaf();
    command.current_dir(folder).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the program has its own handler of Ctrl-C, which it installs before it does anything.
#[cfg(target_os = "linux")]
fn wait_for_handler(child: &Child) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "it does not set a handler");
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap_or("0").trim(), 16).unwrap();
        if caught & 1 << (2 - 1) != 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(not(target_os = "linux"))]
fn wait_for_handler(_child: &Child) {
    std::thread::sleep(Duration::from_millis(500));
}

/// Presses Ctrl-C; what was written to the program stays open meanwhile.
fn interrupt(mut child: Child) -> Output {
    let stdin = child.stdin.take();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    output
}

#[track_caller]
fn assert_interrupted(output: &Output, message: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!(error.contains(message), "{error}");
}

#[test]
fn interrupted_load_has_loaded_nothing() {
    let (folder, path) = world();
    let mut child = start(folder.path(), &["load", "--table", "more", "--types", "str,str", "a.mapleaf"]);
    let stdin = child.stdin.as_mut().unwrap();
    for key in 0..50_000 {
        writeln!(stdin, "{key}\tx").unwrap();
    }
    stdin.flush().unwrap();
    // It has read most of it: a pipe holds less. So it has its handler too.
    assert_interrupted(&interrupt(child), "interrupted: nothing was loaded");
    assert_eq!(answer(folder.path(), &["tables", "a.mapleaf"]).lines().count(), 3);
    assert_clean(&Db::open(&path).unwrap());
}

/// What has the name of a staging folder, and is none, is not touched.
#[test]
fn folder_of_a_user_is_not_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    drop(Db::open(at.join("a.mapleaf")).unwrap());
    let (theirs, staging) = (at.join("theirs"), at.join("b.mapleaf-staging"));
    for is_link in [false, true] {
        let precious = if is_link { theirs.join("new") } else { staging.join("new") };
        fs::create_dir(precious.parent().unwrap()).unwrap();
        fs::write(&precious, "precious").unwrap();
        if is_link {
            std::os::unix::fs::symlink(&theirs, &staging).unwrap();
        }
        refused(at, &["copy", "a.mapleaf", "b.mapleaf"], b"", 4, "b.mapleaf-staging");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert!(!at.join("b.mapleaf").exists());
        if !is_link {
            fs::remove_dir_all(&staging).unwrap();
        }
    }
}

/// A load into a new file that fails leaves none: so no other process may put anything into that file meanwhile.
#[test]
fn new_file_is_no_ones_until_all_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let arguments = ["load", "--table", "more", "--types", "str,str", "new.mapleaf"];
    let begin = || {
        let mut child = start(at, &arguments);
        // It has read most of it: a pipe holds less.
        let stdin = child.stdin.as_mut().unwrap();
        (0..50_000).for_each(|key| writeln!(stdin, "{key}\tx").unwrap());
        child
    };
    let mut failing = begin();
    assert_eq!(files(at), ["new.mapleaf-staging"]);
    refused(at, &arguments, b"a\tb\n", 4, "another process is creating new.mapleaf");
    failing.stdin.take().unwrap().write_all(b"no tab\n").unwrap();
    assert_eq!(failing.wait_with_output().unwrap().status.code(), Some(2));
    assert!(files(at).is_empty());
    assert_interrupted(&interrupt(begin()), "interrupted: nothing was loaded");
    assert!(files(at).is_empty());
    answer_to(at, &arguments, b"a\tb\n");
    assert_eq!(files(at), ["new.mapleaf"]);
    assert_eq!(answer(at, &["count", "new.mapleaf", "more"]), "1\n");
}

#[test]
fn what_an_interrupted_load_has_committed_stays() {
    let (folder, path) = world();
    let arguments = ["load", "--commit-every", "100", "--table", "more", "--types", "u64,str", "a.mapleaf"];
    let mut child = start(folder.path(), &arguments);
    let stdin = child.stdin.as_mut().unwrap();
    (0..250).for_each(|key| writeln!(stdin, "{key}\tx").unwrap());
    stdin.flush().unwrap();
    let db = Db::open(&path).unwrap();
    let loaded = || admin::raw_table(&db.read().unwrap(), "more").map_or(0, |table| table.len());
    let deadline = Instant::now() + Duration::from_secs(60);
    while loaded() < 200 {
        assert!(Instant::now() < deadline, "{}", loaded());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_interrupted(&interrupt(child), "interrupted: what was committed stays");
    assert_eq!(loaded(), 200);
    assert_clean(&db);
}

/// One waits for its input, the others for the writer lock.
#[test]
fn interrupted_changes_have_changed_nothing() {
    let (folder, path) = world();
    let at = folder.path();
    let before = answer(at, &["dump", "a.mapleaf"]);
    let mut child = start(at, &["put", "a.mapleaf", "names", "key"]);
    child.stdin.as_mut().unwrap().write_all(&[b'x'; 100_000]).unwrap(); // it reads: a pipe holds less
    assert_interrupted(&interrupt(child), "interrupted: nothing was changed");
    let db = Db::open(&path).unwrap();
    let writer = db.write().unwrap();
    for arguments in [
        &["put", "a.mapleaf", "names", "key", "value"][..],
        &["delete", "a.mapleaf", "names", "ada"],
        &["delete", "--prefix", "", "a.mapleaf", "names"],
        &["load", "--table", "names", "--existing", "replace", "a.mapleaf"],
    ] {
        let child = start(at, arguments);
        wait_for_handler(&child);
        std::thread::sleep(Duration::from_millis(50));
        assert_interrupted(&interrupt(child), "interrupted");
    }
    drop(writer);
    assert_eq!(answer(at, &["dump", "a.mapleaf"]), before);
    db.update(|tx| tx.table(&NAMES)?.insert("key", "value")).unwrap(); // others go on
    assert_clean(&db);
}

/// A file is made, whole, or nothing is left of it: at whatever moment Ctrl-C comes.
#[test]
fn interrupted_copies_and_rescues_leave_nothing() {
    const ENTRIES: u64 = 8000;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let db = Db::open(at.join("a.mapleaf")).unwrap();
    let value = "x".repeat(900);
    db.update(|tx| {
        let mut names = tx.table(&NAMES)?;
        (0..ENTRIES).try_for_each(|key| names.insert(format!("{key}"), &value[..]).map(drop))
    })
    .unwrap();
    drop(db);
    let before = files(at);
    for command in [&["copy"][..], &["copy", "--compact"], &["salvage"]] {
        let (mut interrupted, mut done) = (0, 0);
        let mut delay = Duration::ZERO;
        // A busy machine may finish it before the signal comes: then from the shortest delay again.
        for _ in 0..100 {
            if done >= 1 && interrupted > 2 {
                break;
            }
            let child = start(at, &[command, &["a.mapleaf", "b.mapleaf"]].concat());
            wait_for_handler(&child);
            std::thread::sleep(delay);
            let output = interrupt(child);
            let (code, error) = (output.status.code(), text(&output.stderr));
            let is_whole = code == Some(0) || error.contains("b.mapleaf is complete");
            assert!(is_whole || code == Some(130), "{command:?}: {error}");
            if is_whole {
                let copy = Db::open(at.join("b.mapleaf")).unwrap();
                assert_eq!(copy.read().unwrap().table(&NAMES).unwrap().len(), ENTRIES);
                drop(copy);
                for name in ["b.mapleaf", "b.mapleaf-lock"] {
                    fs::remove_file(at.join(name)).unwrap();
                }
            }
            done += u32::from(code == Some(0));
            interrupted += u32::from(code == Some(130));
            assert_eq!(files(at), before, "{command:?} after {delay:?}");
            delay = if code == Some(0) { Duration::ZERO } else { delay * 2 + Duration::from_millis(1) };
        }
        assert!(interrupted > 2, "{command:?}: it was always done before it could be interrupted");
        assert!(done > 0, "{command:?}: it was never done");
    }
    assert_clean(&Db::open(at.join("a.mapleaf")).unwrap());
}

#[test]
fn interrupted_measurement_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for delay in [0, 20, 150, 700] {
        let child = start(at, &["bench", "--seconds", "0.2", "--entries", "1000"]);
        wait_for_handler(&child);
        std::thread::sleep(Duration::from_millis(delay));
        assert_interrupted(&interrupt(child), "interrupted");
        assert_eq!(files(at), Vec::<String>::new(), "after {delay} ms");
    }
}
