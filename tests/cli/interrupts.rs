//! Ctrl-C, and readers of the output who go away: nothing is lost, and nothing is left half done.

use std::io::Write;
use std::process::{Command, Stdio};

use mapleaf::Db;

use crate::common::assert_clean;
use crate::{NAMES, answer, mapleaf, text, world};

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
