//! Tables: dropped, renamed, cleared, created.

use std::fs;

use mapleaf::Db;

use crate::common::assert_clean;
use crate::{NAMES, answer, answer_to, files, refused, world};

/// Names and numbers of entries.
fn tables(at: &std::path::Path) -> Vec<(String, u64)> {
    let db = Db::options().read_only(true).open(at.join("a.mapleaf")).unwrap();
    let tables = db.read().unwrap().tables().unwrap();
    tables.into_iter().map(|table| (table.name, table.entries)).collect()
}

#[test]
fn tables_are_dropped_renamed_and_cleared() {
    let (folder, path) = world();
    let at = folder.path();
    let table = |name: &str, entries| (name.to_owned(), entries);
    answer(at, &["clear", "a.mapleaf", "visits"]);
    assert_eq!(tables(at), [table("bytes", 1), table("names", 2), table("visits", 0)]);
    // The types stay.
    answer(at, &["put", "a.mapleaf", "visits", r#"["home",1]"#, "-1"]);
    answer(at, &["rename", "a.mapleaf", "names", "people"]);
    assert_eq!(tables(at), [table("bytes", 1), table("people", 2), table("visits", 1)]);
    assert_eq!(answer(at, &["get", "a.mapleaf", "people", "ada"]), "born\\t1815\n");
    answer(at, &["drop", "a.mapleaf", "bytes", "visits"]);
    assert_eq!(tables(at), [table("people", 2)]);
    assert_clean(&Db::open(&path).unwrap());
}

/// What is refused has changed nothing: neither table of two, if one of them is missing.
#[test]
fn tables_that_are_missing_or_in_the_way_are_named() {
    let (folder, path) = world();
    let at = folder.path();
    let before = tables(at);
    refused(at, &["drop", "a.mapleaf", "names", "visit"], b"", 2, "did you mean \"visits\"?");
    refused(at, &["clear", "a.mapleaf", "names", "visit"], b"", 2, "did you mean \"visits\"?");
    refused(at, &["rename", "a.mapleaf", "nams", "people"], b"", 2, "did you mean \"names\"?");
    refused(at, &["rename", "a.mapleaf", "names", "visits"], b"", 2, "already a table \"visits\"");
    refused(at, &["rename", "a.mapleaf", "names", &"x".repeat(5000)], b"", 2, "too long");
    refused(at, &["drop", "a.mapleaf"], b"", 2, "required");
    for command in
        [&["drop", "missing", "names"][..], &["clear", "missing", "names"], &["rename", "missing", "a", "b"]]
    {
        refused(at, command, b"", 4, "missing");
    }
    assert_eq!(tables(at), before);
    assert_clean(&Db::open(&path).unwrap());
}

/// Spaces where people put them; the catalog has the types' own names.
#[test]
fn types_of_new_tables_may_have_spaces() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let types = " ( str , u32 ) , option< [u8; 4] > ";
    answer(at, &["put", "--create", types, "a.mapleaf", "visits", r#"["home",1]"#, "null"]);
    answer_to(at, &["load", "--table", "more", "--types", "u64, str", "a.mapleaf"], b"7\tx\n");
    let db = Db::open(at.join("a.mapleaf")).unwrap();
    let found = db.read().unwrap().tables().unwrap();
    let types: Vec<(&str, &str)> =
        found.iter().map(|table| (table.key_type.as_str(), table.value_type.as_str())).collect();
    assert_eq!(types, [("u64", "str"), ("(str,u32)", "option<[u8;4]>")]);
    drop(db);
    // The table is there: the types must be its own.
    answer(at, &["put", "--create", "u64,str", "a.mapleaf", "more", "8", "y"]);
    refused(at, &["put", "--create", "str,str", "a.mapleaf", "more", "8", "y"], b"", 2, "of u64 to str");
    let before = files(at);
    for types in ["u64", "u64,str,str", "u63,str", "u 64,str", "(u64,String),str", "option<usize>,str", ""] {
        refused(at, &["put", "--create", types, "b.mapleaf", "t", "7", "x"], b"", 2, "--create");
    }
    // A wrong key or value leaves no new file either.
    refused(at, &["put", "--create", "u64,u8", "b.mapleaf", "t", "7", "256"], b"", 2, "an integer for u8");
    assert_eq!(files(at), before);
}

#[test]
fn put_into_what_is_missing_says_how_it_is_created() {
    let (folder, path) = world();
    let at = folder.path();
    let hint = "--create KEY_TYPE,VALUE_TYPE creates it";
    refused(at, &["put", "a.mapleaf", "nams", "ada", "x"], b"", 2, hint);
    refused(at, &["put", "a.mapleaf", "nams", "ada", "x"], b"", 2, "did you mean \"names\"?");
    refused(at, &["put", "missing", "names", "ada", "x"], b"", 4, hint);
    // The error for damage does not advise to create something.
    fs::write(at.join("text"), "no database").unwrap();
    let output = crate::run(at, &["put", "text", "names", "ada", "x"], b"");
    assert!(!crate::text(&output.stderr).contains("--create"));
    assert_eq!(Db::open(&path).unwrap().read().unwrap().table(&NAMES).unwrap().len(), 2);
}
