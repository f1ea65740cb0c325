//! The command-line program: answers, exit codes, and what is left behind when something is wrong. Exchange with LMDB
//! is tried where its own tools are installed.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Random, assert_clean};
use mapleaf::{Db, Table};

const NAMES: Table<str, str> = Table::new("names");
const VISITS: Table<(String, u32), i64> = Table::new("visits");
const BYTES: Table<[u8], [u8]> = Table::new("bytes");

fn mapleaf() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mapleaf"))
}

/// Runs it in `folder`, with `input` to read.
fn run(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = mapleaf();
    command.current_dir(folder).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it has read all.
    let writer = std::thread::spawn(move || _ = stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it answers, when all is well.
#[track_caller]
fn answer(folder: &Path, arguments: &[&str]) -> String {
    answer_to(folder, arguments, b"")
}

#[track_caller]
fn answer_to(folder: &Path, arguments: &[&str], input: &[u8]) -> String {
    let output = run(folder, arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// The exit code is `code`, the message has `part`, and standard output is empty.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], input: &[u8], code: i32, part: &str) {
    let output = run(folder, arguments, input);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(message.contains(part), "{arguments:?}: {message}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
}

fn world() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    db.update(|tx| {
        tx.table(&NAMES)?.insert("ada", "born\t1815")?;
        tx.table(&NAMES)?.insert("bob", "")?;
        let mut visits = tx.table(&VISITS)?;
        visits.insert(("home", 1), 7)?;
        visits.insert(("home", 2), -7)?;
        visits.insert(("house", 1), 0)?;
        tx.table(&BYTES)?.insert([0, 0xff], b"\\x\0")?;
        Ok(())
    })
    .unwrap();
    (folder, path)
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn entries_are_shown_as_their_types_say() {
    let (folder, _) = world();
    let at = folder.path();
    assert_eq!(answer(at, &["get", "a.mapleaf", "names", "ada"]), "born\\t1815\n");
    assert_eq!(answer(at, &["get", "--raw", "a.mapleaf", "names", "ada"]), "born\t1815");
    assert_eq!(answer(at, &["get", "--json", "a.mapleaf", "names", "bob"]), "\"\"\n");
    assert_eq!(answer(at, &["get", "a.mapleaf", "visits", r#"["home",2]"#]), "-7\n");
    assert_eq!(answer(at, &["get", "--as", "hex", "a.mapleaf", "bytes", "00ff"]), "5c7800\n");
    assert_eq!(
        answer(at, &["scan", "a.mapleaf", "visits"]),
        "[\"home\",1]\t7\n[\"home\",2]\t-7\n[\"house\",1]\t0\n"
    );
    assert_eq!(
        answer(at, &["scan", "--prefix", r#"["home"]"#, "--reverse", "--keys", "a.mapleaf", "visits"]),
        "[\"home\",2]\n[\"home\",1]\n"
    );
    assert_eq!(
        answer(at, &["scan", "--from", r#"["home",2]"#, "--limit", "1", "--json", "a.mapleaf", "visits"]),
        "{\"key\":[\"home\",2],\"value\":-7}\n"
    );
    assert_eq!(answer(at, &["scan", "a.mapleaf", "bytes"]), "\\x00\\xff\t\\\\x\\x00\n");
    assert_eq!(answer(at, &["count", "a.mapleaf", "visits"]), "3\n");
    assert_eq!(answer(at, &["count", "--to", r#"["home",2]"#, "a.mapleaf", "visits"]), "1\n");
    let tables = answer(at, &["tables", "--json", "a.mapleaf"]);
    assert_eq!(tables.lines().count(), 3);
    assert!(tables.contains(r#""key_type":"(str,u32)""#), "{tables}");
    assert!(answer(at, &["stat", "--pages", "a.mapleaf"]).contains("visits"));
    let stat: serde_json::Value =
        serde_json::from_str(&answer(at, &["stat", "--json", "a.mapleaf"])).unwrap();
    assert_eq!((&stat["entries"], &stat["tables"]), (&6.into(), &3.into()));
}

#[test]
fn entries_are_put_and_deleted() {
    let (folder, path) = world();
    let at = folder.path();
    answer(at, &["put", "a.mapleaf", "names", "-x", "-y"]);
    answer_to(at, &["put", "a.mapleaf", "names", "large"], &[b'z'; 300_000]);
    answer(at, &["put", "a.mapleaf", "visits", r#"["x",9]"#, "-9"]);
    answer(at, &["put", "--create", "u64,(str,u8)", "new.mapleaf", "t", "7", r#"["a",1]"#]);
    assert_eq!(answer(at, &["scan", "new.mapleaf", "t"]), "7\t[\"a\",1]\n");
    answer(at, &["delete", "a.mapleaf", "names", "ada", "nobody"]);
    refused(at, &["delete", "a.mapleaf", "names", "nobody"], b"", 1, "0 entries");
    answer(at, &["delete", "--prefix", r#"["home"]"#, "a.mapleaf", "visits"]);
    let db = Db::open(&path).unwrap();
    let rx = db.read().unwrap();
    let names = rx.table(&NAMES).unwrap();
    assert_eq!((names.get("-x").unwrap(), names.get("ada").unwrap(), names.len()), (Some("-y"), None, 3));
    assert_eq!(names.get("large").unwrap().map(str::len), Some(300_000));
    assert_eq!(
        (rx.table(&VISITS).unwrap().len(), rx.table(&VISITS).unwrap().get(("x", 9)).unwrap()),
        (2, Some(-9))
    );
    assert_clean(&db);
    refused(at, &["delete", "a.mapleaf", "names"], b"", 2, "one of the two");
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_left_behind() {
    let (folder, _) = world();
    let at = folder.path();
    fs::write(at.join("text"), "no database").unwrap();
    let before = files(at);
    refused(at, &["get", "a.mapleaf", "nams", "ada"], b"", 2, "did you mean \"names\"?");
    refused(at, &["get", "a.mapleaf", "names", "eve"], b"", 1, "no key \"eve\"");
    refused(at, &["get", "a.mapleaf", "visits", "home"], b"", 2, "array of 2");
    refused(at, &["get", "--as", "hex", "a.mapleaf", "names", "6g"], b"", 2, "'g' is not");
    refused(at, &["put", "a.mapleaf", "visits", r#"["x",-1]"#, "7"], b"", 2, "an integer");
    refused(at, &["put", "--create", "u63,str", "b.mapleaf", "t", "7", "x"], b"", 2, "u63");
    for command in ["stat", "tables", "check", "readers", "dump"] {
        refused(at, &[command, "text"], b"", 3, "text");
        refused(at, &[command, "missing"], b"", 4, "missing");
    }
    refused(at, &["copy", "a.mapleaf", "text"], b"", 4, "text");
    refused(at, &["copy", "--compact", "a.mapleaf", "text"], b"", 4, "text");
    refused(at, &["copy", "--compact", "a.mapleaf", "-"], b"", 2, "to a file");
    refused(at, &["load", "new.mapleaf", "missing"], b"", 4, "missing");
    assert_eq!(files(at), before);
    assert_eq!(fs::read(at.join("text")).unwrap(), b"no database");
}

#[test]
fn copies_and_checks_while_the_database_is_open() {
    let (folder, path) = world();
    let at = folder.path();
    let db = Db::open(&path).unwrap();
    let _rx = db.read().unwrap();
    let open = db.write().unwrap(); // nobody waits for it
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

#[test]
fn reader_of_the_output_may_go_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let db = Db::open(&path).unwrap();
    db.update(|tx| (0..20_000).try_for_each(|key| tx.table(&NAMES)?.insert(format!("{key}"), "x").map(drop)))
        .unwrap();
    for (arguments, message) in
        [(&["scan", "a.mapleaf", "names"][..], ""), (&["copy", "a.mapleaf", "-"], "the copy is not complete")]
    {
        let mut command = mapleaf();
        command.current_dir(folder.path()).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141));
        let error = text(&output.stderr);
        assert!(error.contains(message) && error.is_empty() == message.is_empty(), "{error}");
    }
}

#[test]
fn interrupted_load_has_loaded_nothing() {
    let (folder, path) = world();
    let mut command = mapleaf();
    command.args(["load", "--table", "more", "--types", "str,str"]).arg(&path);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for key in 0..50_000 {
        writeln!(stdin, "{key}\tx").unwrap();
    }
    stdin.flush().unwrap();
    // It has read most of it: a pipe holds less. So it has its handler too.
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stderr).contains("interrupted: nothing was loaded"), "{}", text(&output.stderr));
    drop(stdin);
    assert_eq!(answer(folder.path(), &["tables", "a.mapleaf"]).lines().count(), 3);
    assert_clean(&Db::open(&path).unwrap());
}

/// Tables of all kinds, through each format and back.
#[test]
fn dumps_are_loaded_again() {
    let (folder, _) = world();
    let at = folder.path();
    let original = answer(at, &["dump", "--format", "json", "a.mapleaf"]);
    let forms: [&[&str]; 3] = [&["--format", "json"], &["--types"], &["--types", "--print"]];
    for (index, form) in forms.iter().enumerate() {
        let dump = run(at, &[&["dump"], *form, &["a.mapleaf"]].concat(), b"");
        let copy = format!("copy-{index}");
        answer_to(at, &["load", &copy], &dump.stdout);
        assert_eq!(answer(at, &["dump", "--format", "json", &copy]), original, "{form:?}");
    }
    for (table, types) in [("names", "str,str"), ("visits", "(str,u32),i64"), ("bytes", "bytes,bytes")] {
        let dump = run(at, &["dump", "--format", "tsv", "a.mapleaf", table], b"");
        answer_to(at, &["load", "--table", table, "--types", types, "tsv"], &dump.stdout);
    }
    assert_eq!(answer(at, &["dump", "--format", "json", "tsv"]), original);
    refused(at, &["load", "tsv"], original.as_bytes(), 2, "--existing");
    answer_to(at, &["load", "--existing", "replace", "tsv"], original.as_bytes());
    assert_eq!(answer(at, &["dump", "--format", "json", "tsv"]), original);
}

#[test]
fn malformed_lines_are_named_and_nothing_is_loaded() {
    let (folder, _) = world();
    let at = folder.path();
    let before = files(at);
    let head = "VERSION=3\nformat=bytevalue\ndatabase=t\ntype=btree\nHEADER=END\n";
    let load = |input: &str, part: &str| {
        refused(at, &["load", "new.mapleaf"], input.as_bytes(), 2, part);
        refused(at, &["load", "a.mapleaf"], input.as_bytes(), 2, part);
    };
    load(&format!("{head} 61\n 62\n 6\n"), "line 8: 1 hexadecimal digits, an odd number");
    load(&format!("{head} 61\n 6x\n"), "line 7: 'x' is not a hexadecimal digit; nothing was loaded");
    load(&format!("{head} 61\n 62\n"), "line 7: the input ends before DATA=END");
    load(&format!("{head} 61\nDATA=END\n"), "line 7: DATA=END where a value should be");
    load(&format!("{head}61\n"), "line 6: neither a space");
    load("VERSION=2\n", "line 1: \"VERSION=2\"");
    load("VERSION=3\ntype=recno\n", "line 2");
    load("VERSION=3\nformat=bytevalue\n", "the input ends within a header");
    load(&format!("{head} 61\n 62\nDATA=END\nrest\n"), "line 9");
    load(
        "{\"table\":\"t\",\"key_type\":\"u8\",\"value_type\":\"u8\"}\n{\"table\":\"t\",\"key\":256,\"value\":1}\n",
        "line 2",
    );
    load("{\"table\":\"t\",\"key\":\"a\"}\n", "line 1: no \"value\"");
    load(
        &format!("{head} {}\n 62\nDATA=END\n", "61".repeat(1985)),
        "line 7: a key of 1985 bytes, 1984 at most",
    );
    let duplicates = "VERSION=3\nformat=print\ndatabase=d\ntype=btree\ndupsort=1\nHEADER=END\n \
                      a\n 1\n a\n 2\n b\\00\n 1\nDATA=END\n";
    load(duplicates, "DUPSORT");
    refused(at, &["load", "--table", "t", "new.mapleaf"], b"a\tb\nc\n", 2, "line 2: no tabulator");
    assert_eq!(files(at), before);
    assert_eq!(answer(at, &["tables", "a.mapleaf"]).lines().count(), 3);
    // What is asked for is done.
    let kept = |choice: &str, file: &str| {
        answer_to(at, &["load", "--duplicates", choice, file], duplicates.as_bytes());
        answer(at, &["scan", file, "d"])
    };
    assert_eq!(kept("first", "first"), "a\t1\nb\\x00\t1\n");
    assert_eq!(kept("last", "last"), "a\t2\nb\\x00\t1\n");
    assert_eq!(
        kept("pairs", "pairs"),
        "[\"a\",\"1\"]\tnull\n[\"a\",\"2\"]\tnull\n[\"b\\u0000\",\"1\"]\tnull\n"
    );
    let dump = answer(at, &["dump", "--duplicates", "--print", "pairs"]);
    assert!(dump.contains("dupsort=1") && dump.ends_with(" a\n 1\n a\n 2\n b\\00\n 1\nDATA=END\n"), "{dump}");
    let long = format!("{head} {}\n 62\n 61\n 62\nDATA=END\n", "61".repeat(1985));
    answer_to(at, &["load", "--unsuitable", "skip", "skipped"], long.as_bytes());
    assert_eq!(answer(at, &["scan", "skipped", "t"]), "a\tb\n");
    let output = run(at, &["load", "--commit-every", "2", "--table", "t", "some"], b"a\t1\nb\t2\nc\t3\nd\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("line 4") && text(&output.stderr).contains("2 entries"));
    assert_eq!(answer(at, &["count", "some", "t"]), "2\n");
}

/// Runs one of LMDB's own tools.
fn lmdb(folder: &Path, name: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(name);
    command.current_dir(folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    _ = writer.join().unwrap();
    assert!(output.status.success(), "{name} {arguments:?}");
    output.stdout
}

/// Lines of data: what there is in a dump besides sizes.
fn data(dump: &[u8]) -> Vec<String> {
    let is_data = |line: &&str| line.starts_with([' ', 'D']) || line.starts_with("database=");
    text(dump).lines().filter(is_data).map(str::to_owned).collect()
}

#[test]
fn exchange_with_lmdb() {
    if Command::new("mdb_dump").arg("-V").output().is_err() {
        eprintln!("LMDB's tools are not installed: skipped");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let db = Db::open(at.join("a.mapleaf")).unwrap();
    let mut random = Random::new(1);
    db.update(|tx| {
        let mut bytes = tx.table(&BYTES)?;
        for length in (1..=511).chain([1, 2, 3, 511, 511]) {
            let key: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            let value: Vec<u8> = (0..random.next() % 6000).map(|_| random.next() as u8).collect();
            bytes.insert(&key, if length % 7 == 0 { b"" } else { &value[..] })?;
        }
        tx.table(&NAMES)?.insert("back\\slash", "a\nb\\41")?;
        tx.table(&NAMES)?.insert("empty", "")?;
        Ok(())
    })
    .unwrap();
    for form in [&["--print"][..], &[]] {
        let dump = run(at, &[&["dump", "a.mapleaf"], form].concat(), b"").stdout;
        let name = format!("lmdb-{}", form.len());
        lmdb(at, "mdb_load", &["-n", &name], &dump);
        // As hexadecimal digits: `mdb_dump -p` of LMDB 0.9.24 does not mark backslashes.
        let there = lmdb(at, "mdb_dump", &["-n", "-a", &name], b"");
        let copy = format!("copy-{}", form.len());
        answer_to(at, &["load", &copy], &there);
        let back = run(at, &["dump", &copy], b"").stdout;
        assert!(data(&back) == data(&there), "{form:?}: loaded from LMDB");
        assert!(data(&back) == data(&run(at, &["dump", "a.mapleaf"], b"").stdout), "{form:?}: round trip");
    }
    // Keys that LMDB cannot hold.
    db.update(|tx| tx.table(&BYTES)?.insert([7; 512], b"x")).unwrap();
    db.update(|tx| tx.table(&BYTES)?.insert(b"", b"x")).unwrap();
    refused(at, &["dump", "a.mapleaf"], b"", 2, "a key of 512 bytes");
    let output = run(at, &["dump", "--unsuitable", "skip", "a.mapleaf"], b"");
    assert!(text(&output.stderr).contains("2 entries left out"));
    lmdb(at, "mdb_load", &["-n", "third"], &output.stdout);
    assert!(data(&lmdb(at, "mdb_dump", &["-n", "-a", "third"], b"")) == data(&output.stdout));
    // Duplicates, and the main table.
    let pairs = "VERSION=3\nformat=print\ndatabase=d\ntype=btree\nmapsize=1048576\ndupsort=1\nHEADER=END\n \
                 a\n 1\n a\n 2\n b\n 1\nDATA=END\n";
    lmdb(at, "mdb_load", &["-n", "fourth"], pairs.as_bytes());
    let there = lmdb(at, "mdb_dump", &["-n", "-a", "fourth"], b"");
    answer_to(at, &["load", "--duplicates", "pairs", "pairs"], &there);
    let back = run(at, &["dump", "--duplicates", "pairs"], b"").stdout;
    lmdb(at, "mdb_load", &["-n", "fifth"], &back);
    assert!(data(&lmdb(at, "mdb_dump", &["-n", "-a", "fifth"], b"")) == data(&there));
    let unnamed = run(at, &["dump", "--unnamed", "a.mapleaf", "names"], b"").stdout;
    lmdb(at, "mdb_load", &["-n", "sixth"], &unnamed);
    let there = lmdb(at, "mdb_dump", &["-n", "sixth"], b"");
    answer_to(at, &["load", "--table", "names", "--types", "str,str", "main"], &there);
    assert_eq!(answer(at, &["scan", "main", "names"]), answer(at, &["scan", "a.mapleaf", "names"]));
}
