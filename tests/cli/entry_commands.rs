//! Entries: shown, put, deleted, as the tables' types say; and what is said of wrong ones.

use std::fs;

use mapleaf::Db;

use crate::common::assert_clean;
use crate::{NAMES, VISITS, answer, answer_to, files, refused, world};

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
    // First elements of tuples are ends of ranges, and all options hold together.
    for (options, expected) in [
        (&["--from", r#"["house"]"#][..], "[\"house\",1]\n"),
        (&["--to", r#"["house"]"#], "[\"home\",1]\n[\"home\",2]\n"),
        (&["--prefix", r#"["home"]"#, "--from", r#"["home",2]"#], "[\"home\",2]\n"),
        (&["--prefix", r#"["home"]"#, "--to", r#"["home",2]"#], "[\"home\",1]\n"),
        (&["--prefix", r#"["home"]"#, "--from", r#"["house"]"#], ""),
        (&["--prefix", r#"["house"]"#, "--from", r#"["home"]"#, "--to", r#"["z"]"#], "[\"house\",1]\n"),
    ] {
        let scan = [&["scan", "--keys"], options, &["a.mapleaf", "visits"]].concat();
        assert_eq!(answer(at, &scan), expected, "{options:?}");
        let count = [&["count"], options, &["a.mapleaf", "visits"]].concat();
        assert_eq!(answer(at, &count), format!("{}\n", expected.lines().count()), "{options:?}");
    }
    refused(
        at,
        &["scan", "--from", "home", "a.mapleaf", "visits"],
        b"",
        2,
        "key \"home\": expected an array",
    );
    assert_eq!(answer(at, &["scan", "--prefix", "a", "--from", "b", "a.mapleaf", "names"]), "");
    assert_eq!(answer(at, &["scan", "a.mapleaf", "bytes"]), "\\x00\\xff\t\\\\x\\x00\n");
    assert_eq!(answer(at, &["count", "a.mapleaf", "visits"]), "3\n");
    assert_eq!(answer(at, &["count", "--to", r#"["home",2]"#, "a.mapleaf", "visits"]), "1\n");
    let estimate = ["count", "--estimate", "--to", r#"["home",2]"#, "a.mapleaf", "visits"];
    assert_eq!(answer(at, &estimate), "1\n", "exact in one leaf");
    let tables = answer(at, &["tables", "--json", "a.mapleaf"]);
    assert_eq!(tables.lines().count(), 3);
    assert!(tables.contains(r#""key_type":"(str,u32)""#), "{tables}");
    assert!(answer(at, &["stat", "--pages", "a.mapleaf"]).contains("visits"));
    let stat: serde_json::Value =
        serde_json::from_str(&answer(at, &["stat", "--json", "a.mapleaf"])).unwrap();
    assert_eq!((&stat["entries"], &stat["tables"]), (&6.into(), &3.into()));
}

/// Structs and enums of an application, keys in other orders, and types of other crates.
#[test]
fn types_are_known_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let types = "Visit{page: str, day: u32}, Visitor[0:Anonymous, 1:User{name: str, mail: option<str>}]";
    let user = r#"{"User":{"mail":null,"name":"ada"}}"#;
    answer(at, &["put", "--create", types, "a", "visits", r#"{"page":"home","day":2}"#, user]);
    answer(at, &["put", "a", "visits", r#"{"page":"home","day":1}"#, "Anonymous"]);
    answer(at, &["put", "a", "visits", r#"{"day":1,"page":"house"}"#, r#""Anonymous""#]);
    let home =
        format!("{{\"day\":1,\"page\":\"home\"}}\tAnonymous\n{{\"day\":2,\"page\":\"home\"}}\t{user}\n");
    assert_eq!(answer(at, &["scan", "--prefix", r#"["home"]"#, "a", "visits"]), home);
    assert_eq!(answer(at, &["scan", "--to", r#"["house"]"#, "a", "visits"]), home);
    assert_eq!(answer(at, &["count", "--from", r#"{"page":"home","day":2}"#, "a", "visits"]), "2\n");
    refused(at, &["get", "a", "visits", r#"{"page":"home"}"#], b"", 2, "an object of the fields page, day");
    refused(at, &["put", "a", "visits", r#"["x",1]"#, "None"], b"", 2, "an object of the fields page, day");
    answer(at, &["put", "--create", "Name(str),UserId(u64)", "a", "users", "7", "9"]);
    assert_eq!(answer(at, &["scan", "a", "users"]), "7\t9\n");

    answer(at, &["put", "--create", "(nocase,reverse<u64>),()", "a", "newest", r#"["Ada",1]"#, "null"]);
    answer(at, &["put", "a", "newest", r#"["ADA",2]"#, "null"]);
    assert_eq!(
        answer(at, &["scan", "--keys", "--prefix", r#"["aDa"]"#, "a", "newest"]),
        "[\"ada\",2]\n[\"ada\",1]\n"
    );
    let id = "01923456-789a-7bcd-8ef0-123456789abc";
    answer(
        at,
        &[
            "put",
            "--create",
            "uuid,(timestamp,date)",
            "a",
            "seen",
            id,
            r#"["1969-12-31T23:59:59.5Z","2026-02-28"]"#,
        ],
    );
    assert_eq!(
        answer(at, &["scan", "a", "seen"]),
        format!("{id}\t[\"1969-12-31T23:59:59.5Z\",\"2026-02-28\"]\n")
    );

    let dump = answer(at, &["dump", "--format", "json", "a"]);
    answer_to(at, &["load", "b"], dump.as_bytes());
    assert_eq!(answer(at, &["dump", "--format", "json", "b"]), dump);
    assert!(answer(at, &["tables", "b"]).contains("Visit{page:str,day:u32}"));
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
