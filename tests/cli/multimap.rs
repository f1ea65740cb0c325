//! Multimap tables on the command line, and between LMDB's tables with duplicates and these.

use std::io::Write;
use std::process::Command;

use mapleaf::{Db, MultimapTable};

use crate::common::assert_clean;
use crate::exchange::{data, lmdb};
use crate::{answer, answer_to, refused, run, text};

const TAGS: MultimapTable<(String, String), u64> = MultimapTable::new("tags");

#[test]
fn pairs_are_put_shown_counted_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let put = |key: &str, value: &str| answer(at, &["put", "a.mapleaf", "tags", key, value]);
    answer(
        at,
        &["put", "--create", "(str,str),u64", "--multimap", "a.mapleaf", "tags", r#"["a","x"]"#, "30"],
    );
    put(r#"["a","x"]"#, "2");
    put(r#"["a","x"]"#, "2");
    put(r#"["a","xy"]"#, "1");
    put(r#"["b",""]"#, "4");
    assert!(answer(at, &["tables", "a.mapleaf"]).contains("(str,str) to u64, multimap tags\n"));
    assert!(answer(at, &["tables", "--json", "a.mapleaf"]).contains(r#""kind":"multimap""#));
    assert_eq!(answer(at, &["get", "a.mapleaf", "tags", r#"["a","x"]"#]), "2\n30\n");
    assert_eq!(run(at, &["get", "a.mapleaf", "tags", r#"["a",""]"#], b"").status.code(), Some(1));
    refused(at, &["get", "--raw", "a.mapleaf", "tags", r#"["a","x"]"#], b"", 2, "is a multimap table");
    refused(at, &["get", "a.mapleaf", "tags", "a"], b"", 2, "expected an array");
    let all = "[\"a\",\"x\"]\t2\n[\"a\",\"x\"]\t30\n[\"a\",\"xy\"]\t1\n[\"b\",\"\"]\t4\n";
    assert_eq!(answer(at, &["scan", "a.mapleaf", "tags"]), all);
    assert_eq!(
        answer(at, &["scan", "--reverse", "--limit", "1", "--json", "a.mapleaf", "tags"]),
        "{\"key\":[\"b\",\"\"],\"value\":4}\n"
    );
    assert_eq!(
        answer(at, &["scan", "--keys", "a.mapleaf", "tags"]),
        "[\"a\",\"x\"]\n[\"a\",\"xy\"]\n[\"b\",\"\"]\n"
    );
    for (options, pairs) in [
        (&[][..], 4),
        (&["--prefix", r#"["a"]"#], 3),
        (&["--prefix", r#"["a","x"]"#], 3),
        (&["--from", r#"["a","xy"]"#], 2),
        (&["--to", r#"["a","xy"]"#], 2),
        (&["--from", r#"["b"]"#], 1),
        (&["--to", r#"["b"]"#], 3),
    ] {
        let words = [options, &["a.mapleaf", "tags"]].concat();
        assert_eq!(answer(at, &[&["count"], &words[..]].concat()), format!("{pairs}\n"), "{options:?}");
        assert_eq!(answer(at, &[&["scan"], &words[..]].concat()).lines().count(), pairs, "{options:?}");
    }
    assert!(answer(at, &["stat", "--pages", "a.mapleaf"]).contains("tags"));
    answer(at, &["delete", "--value", "30", "a.mapleaf", "tags", r#"["a","x"]"#]);
    answer(at, &["delete", "--from", r#"["a","xy"]"#, "--to", r#"["b"]"#, "a.mapleaf", "tags"]);
    assert_eq!(answer(at, &["scan", "a.mapleaf", "tags"]), "[\"a\",\"x\"]\t2\n[\"b\",\"\"]\t4\n");
    answer(at, &["delete", "a.mapleaf", "tags", r#"["b",""]"#]);
    let db = Db::open(at.join("a.mapleaf")).unwrap();
    assert_clean(&db);
    let rx = db.read().unwrap();
    let tags = rx.multimap(&TAGS).unwrap();
    assert!(tags.iter().map(Result::unwrap).eq([(("a".to_owned(), "x".to_owned()), 2)]));
    answer(at, &["clear", "a.mapleaf", "tags"]);
    assert_eq!(answer(at, &["count", "a.mapleaf", "tags"]), "0\n");
    refused(
        at,
        &["put", "--create", "(str,str),u64", "a.mapleaf", "tags", r#"["a","x"]"#, "1"],
        b"",
        2,
        "multimap",
    );
}

/// Tables of several types, with many values of some keys.
fn fill(db: &Db) {
    db.update(|tx| {
        let words: MultimapTable<str, str> = MultimapTable::new("words");
        let mut words = tx.multimap(&words)?;
        for number in 0..300 {
            words.insert("many\0", format!("value \\ {number}"))?;
            words.insert(format!("key {number}"), "")?;
        }
        let numbers: MultimapTable<u64, u32> = MultimapTable::new("numbers");
        tx.multimap(&numbers)?.insert_many((0..1000).map(|number| (number % 7 * 1000, number as u32)))?;
        let ends: MultimapTable<mapleaf::BytesFromEnd, mapleaf::BytesFromEnd> = MultimapTable::new("ends");
        tx.multimap(&ends)?.insert_many(
            [("b.c", "2.x"), ("a.d", "1.y"), ("b.c", "3.a")].map(|(a, b)| (a.as_bytes(), b.as_bytes())),
        )?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn dumps_of_all_formats_are_loaded_into_multimap_tables() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fill(&Db::open(at.join("a.mapleaf")).unwrap());
    let json = answer(at, &["dump", "--format", "json", "a.mapleaf"]);
    for (name, format) in
        [("json", &["--format", "json"][..]), ("lmdb", &["--types"]), ("print", &["--types", "--print"])]
    {
        let dump = run(at, &[&["dump"], format, &["a.mapleaf"]].concat(), b"").stdout;
        answer_to(at, &["load", name], &dump);
        assert_eq!(answer(at, &["dump", "--format", "json", name]), json);
        assert_clean(&Db::open(at.join(name)).unwrap());
    }
    let lines = run(at, &["dump", "--format", "tsv", "a.mapleaf", "words"], b"").stdout;
    answer_to(at, &["load", "--table", "words", "--types", "str,str", "--multimap", "tsv"], &lines);
    assert_eq!(answer(at, &["scan", "tsv", "words"]), answer(at, &["scan", "a.mapleaf", "words"]));
    // Into a table that exists: of the other kind, or of its own.
    refused(
        at,
        &["load", "--existing", "merge", "--table", "words", "--types", "str,str", "tsv"],
        b"a\tb\n",
        2,
        "multimap",
    );
    answer_to(at, &["load", "--existing", "merge", "--table", "words", "tsv"], b"many\\x00\tone more\n");
    assert_eq!(answer(at, &["count", "tsv", "words"]), "601\n");
    answer_to(at, &["load", "--existing", "replace", "--table", "words", "tsv"], b"a\tb\na\tb\na\tc\n");
    assert_eq!(answer(at, &["scan", "tsv", "words"]), "a\tb\na\tc\n");
    // What does not fit.
    let long = format!("a\tb\n{}\t{}\n", "k".repeat(1000), "v".repeat(982));
    refused(
        at,
        &["load", "--table", "t", "--types", "str,str", "--multimap", "new"],
        long.as_bytes(),
        2,
        "a key and a value of 1985 bytes",
    );
    let wrong = "VERSION=3\nformat=bytevalue\ndatabase=t\ndupsort=1\nHEADER=END\n 07\n 07\nDATA=END\n";
    refused(at, &["load", "--types", "u64,u64", "new"], wrong.as_bytes(), 2, "not an encoding of u64");
    assert!(!at.join("new").exists());
}

#[test]
fn tables_with_duplicates_go_to_lmdb_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let db = Db::open(at.join("a.mapleaf")).unwrap();
    fill(&db);
    let header = answer(at, &["dump", "--integer-keys", "a.mapleaf", "numbers"]);
    for flag in ["duplicates=1", "dupsort=1", "dupfixed=1", "integerkey=1", "integerdup=1"] {
        assert!(header.lines().any(|line| line == flag), "{flag} in {header}");
    }
    if Command::new("mdb_dump").arg("-V").output().is_err() {
        writeln!(std::io::stderr(), "LMDB's tools are not installed: exchange with it was NOT tried")
            .unwrap();
        return;
    }
    for options in [&["--print"][..], &["--integer-keys"], &[]] {
        let dump = run(at, &[&["dump"], options, &["a.mapleaf"]].concat(), b"").stdout;
        let (there, here) = (format!("lmdb{}", options.concat()), format!("copy{}", options.concat()));
        lmdb(at, "mdb_load", &["-n", &there], &dump);
        let back = lmdb(at, "mdb_dump", &["-n", "-a", &there], b"");
        let bytes = data(
            &run(at, &[&["dump"], &options[..options.len().min(1)], &["a.mapleaf"]].concat(), b"").stdout,
        );
        if options != ["--print"] {
            assert_eq!(data(&back), bytes);
        }
        answer_to(at, &["load", &here], &back);
        assert_clean(&Db::open(at.join(&here)).unwrap());
        assert_eq!(answer(at, &["count", &here, "numbers"]), "1000\n");
        assert_eq!(answer(at, &["count", &here, "words"]), "600\n");
        let again =
            run(at, &[&["dump"], &options[options.len().min(1)..], &["--integer-keys", &here]].concat(), b"")
                .stdout;
        assert_eq!(data(&again), data(&back), "{options:?}");
        if options == ["--integer-keys"] {
            let tables = answer(at, &["tables", &here]);
            assert!(tables.contains("u64 to u32, multimap"), "{tables}");
            assert!(tables.contains("bytes_from_end to bytes_from_end, multimap"), "{tables}");
            assert_eq!(
                answer(at, &["scan", &here, "numbers"]),
                answer(at, &["scan", "a.mapleaf", "numbers"])
            );
        }
    }
    // What LMDB cannot hold.
    let words: MultimapTable<str, str> = MultimapTable::new("words");
    db.update(|tx| tx.multimap(&words)?.insert("long", "v".repeat(512))).unwrap();
    refused(at, &["dump", "a.mapleaf", "words"], b"", 2, "LMDB cannot hold 1 of the entries");
    let skipped = run(at, &["dump", "--unsuitable", "skip", "a.mapleaf", "words"], b"");
    assert!(text(&skipped.stderr).contains("1 entry left out"));
    lmdb(at, "mdb_load", &["-n", "skipped"], &skipped.stdout);
}
