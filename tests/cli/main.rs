//! The command-line program: output, exit codes, and what is left when something is wrong. Exchange with LMDB is
//! tested where its own tools are installed.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

mod backup;

mod copies_and_checks;
mod entry_commands;
mod exchange;
mod interrupts;
mod manual;
mod multimap;
mod pictures;
mod table_commands;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Its standard output, when all is well.
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
