//! Tables as text, and back; exchange with LMDB, where its own tools are installed.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use mapleaf::{Db, Table, admin};

use crate::common::Random;
use crate::{BYTES, NAMES, answer, answer_to, files, refused, run, text, world};

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
        "line 7: a key of 1985 bytes, more than the 1984",
    );
    let duplicates = "VERSION=3\nformat=print\ndatabase=d\ntype=btree\ndupsort=1\nHEADER=END\n \
                      a\n 1\n a\n 2\n b\\00\n 1\nDATA=END\n";
    refused(at, &["load", "--duplicates", "refuse", "new.mapleaf"], duplicates.as_bytes(), 2, "DUPSORT");
    refused(at, &["load", "--table", "t", "new.mapleaf"], b"a\tb\nc\n", 2, "line 2: no tab");
    let integers = ["load", "--table", "t", "--types", "u64,u64", "new.mapleaf"];
    refused(at, &integers, b"1\t2\nx\t2\n", 2, "line 2: expected an integer for u64");
    // The program that should have written it may have failed.
    refused(at, &["load", "--table", "t", "new.mapleaf"], b"", 2, "the input is empty");
    // Two names that are no text must not become one.
    let header = b"VERSION=3\nformat=bytevalue\ndatabase=\xff\ntype=btree\nHEADER=END\n 61\n 62\nDATA=END\n";
    refused(at, &["load", "new.mapleaf"], header, 2, "line 3: a header that is not UTF-8");
    assert_eq!(files(at), before);
    assert_eq!(answer(at, &["tables", "a.mapleaf"]).lines().count(), 3);
    // What is asked for is done.
    let kept = |choice: &str, file: &str| {
        answer_to(at, &["load", "--duplicates", choice, file], duplicates.as_bytes());
        answer(at, &["scan", file, "d"])
    };
    assert_eq!(kept("first", "first"), "a\t1\nb\\x00\t1\n");
    assert_eq!(kept("last", "last"), "a\t2\nb\\x00\t1\n");
    assert_eq!(kept("multimap", "all"), "a\t1\na\t2\nb\\x00\t1\n");
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

/// Lines of Debian's list of packages, if `MAPLEAF_PACKAGES` names a file of them.
const PACKAGES: Table<str, str> = Table::new("packages");

/// Runs one of LMDB's own tools.
pub(crate) fn lmdb(folder: &Path, name: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
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
pub(crate) fn data(dump: &[u8]) -> Vec<String> {
    let is_data = |line: &&str| line.starts_with([' ', 'D']) || line.starts_with("database=");
    text(dump).lines().filter(is_data).map(str::to_owned).collect()
}

#[test]
fn exchange_with_lmdb() {
    if Command::new("mdb_dump").arg("-V").output().is_err() {
        // Not by the macro: what that prints is shown of failing tests only.
        writeln!(std::io::stderr(), "LMDB's tools are not installed: exchange with it was NOT tried")
            .unwrap();
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
        admin::create_table(tx, "no entries", "u64", "str")?;
        if let Some(path) = std::env::var_os("MAPLEAF_PACKAGES") {
            let packages = std::fs::read_to_string(path).unwrap();
            let mut table = tx.table(&PACKAGES)?;
            for line in packages.lines() {
                let (name, rest) = line.split_once('\t').unwrap();
                table.insert(name, rest)?;
            }
            assert!(!table.is_empty());
        }
        Ok(())
    })
    .unwrap();
    for form in [&["--print"][..], &[]] {
        let dump = run(at, &[&["dump", "a.mapleaf"], form].concat(), b"").stdout;
        let name = format!("lmdb-{}", form.len());
        lmdb(at, "mdb_load", &["-n", &name], &dump);
        let advice = format!("mdb_dump -n -a {name} | mapleaf load new");
        refused(at, &["load", "new", &name], b"", 2, &advice);
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
    // Names that LMDB cannot hold.
    db.update(|tx| admin::create_table(tx, "two\nlines", "u64", "str")).unwrap();
    refused(at, &["dump", "a.mapleaf", "two\nlines"], b"", 2, r#"cannot hold a table named "two\nlines""#);
    refused(at, &["dump", "--unsuitable", "keep", "a.mapleaf", "two\nlines"], b"", 2, "two\\nlines");
    let skipped = run(at, &["dump", "--unsuitable", "skip", "a.mapleaf"], b"");
    assert!(text(&skipped.stderr).contains("left out") && data(&skipped.stdout) == data(&output.stdout));
    assert!(answer(at, &["tables", "a.mapleaf"]).contains("two\\nlines\n"));
    answer(at, &["dump", "--unnamed", "a.mapleaf", "two\nlines"]);
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

/// Tables of LMDB in the orders that it has: their keys sort here as they do there, and go back as they were.
#[test]
fn orders_of_lmdb() {
    let head = |name: &str, flags: &str| {
        format!("VERSION=3\nformat=bytevalue\ndatabase={name}\ntype=btree\n{flags}\nHEADER=END\n")
    };
    let (one, other) = ("0001000000000000", "0200000000000000"); // 256 and 2, little-endian
    let wide = format!("{} {other}\n 61\n {one}\n 62\nDATA=END\n", head("wide", "integerkey=1"));
    let narrow = format!("{} 02000000\n 61\n 00010000\n 62\nDATA=END\n", head("narrow", "integerkey=1"));
    let ends = format!("{} 622e63\n 31\n 612e64\n 32\nDATA=END\n", head("ends", "reversekey=1"));
    let dump = [&wide[..], &narrow, &ends].concat();
    let (folder, _) = world();
    let at = folder.path();
    answer_to(at, &["load", "orders"], dump.as_bytes());
    assert_eq!(answer(at, &["scan", "orders", "wide"]), "2\ta\n256\tb\n");
    assert_eq!(answer(at, &["get", "orders", "narrow", "256"]), "b\n");
    assert_eq!(answer(at, &["scan", "orders", "ends"]), "b.c\t1\na.d\t2\n");
    assert_eq!(answer(at, &["scan", "--prefix", ".d", "orders", "ends"]), "a.d\t2\n");
    let tables = answer(at, &["tables", "orders"]);
    for types in ["u64", "u32", "bytes_from_end"] {
        assert!(tables.contains(types), "{tables}");
    }
    let back = run(at, &["dump", "--integer-keys", "orders", "ends", "narrow", "wide"], b"").stdout;
    assert_eq!(data(&back), data([&ends[..], &narrow, &wide].concat().as_bytes()));
    assert_eq!(text(&back).matches("integerkey=1\n").count(), 2);
    assert_eq!(text(&back).matches("reversekey=1\n").count(), 1);
    // Without the option, integers are the bytes that have the order here.
    let bytes = answer(at, &["dump", "orders", "narrow"]);
    assert!(bytes.contains(" 00000100\n") && !bytes.contains("integerkey"), "{bytes}");
    let typed = run(at, &["dump", "--types", "orders"], b"").stdout;
    answer_to(at, &["load", "copy"], &typed);
    assert_eq!(
        answer(at, &["dump", "--format", "json", "copy"]),
        answer(at, &["dump", "--format", "json", "orders"])
    );

    // Types that are given.
    answer_to(at, &["load", "--types", "u64,str", "typed"], wide.as_bytes());
    assert_eq!(answer(at, &["scan", "typed", "wide"]), "2\ta\n256\tb\n");
    let raw = run(at, &["load", "--types", "bytes,bytes", "raw"], wide.as_bytes());
    assert!(text(&raw.stderr).contains("in another order"), "{}", text(&raw.stderr));
    assert_eq!(answer(at, &["scan", "--as", "hex", "raw", "wide"]), format!("{one}\t62\n{other}\t61\n"));
    refused(at, &["load", "--types", "i64,str", "new"], wide.as_bytes(), 2, "has keys of type u64 in LMDB");
    let mixed = format!("{} {other}\n 61\n 00010000\n 62\nDATA=END\n", head("mixed", "integerkey=1"));
    refused(
        at,
        &["load", "new"],
        mixed.as_bytes(),
        2,
        "line 10: 4 bytes where others are integers of type u64",
    );
    let odd = format!("{} 010203\n 61\nDATA=END\n", head("odd", "integerkey=1"));
    refused(at, &["load", "new"], odd.as_bytes(), 2, "an integer of 3 bytes, not 4 or 8");

    // The same of values of one key.
    let flags = "dupsort=1\ndupfixed=1\nintegerdup=1\nreversekey=1";
    let pairs = format!("{} 622e63\n {other}\n 622e63\n {one}\nDATA=END\n", head("pairs", flags));
    answer_to(at, &["load", "--duplicates", "pairs", "pairs"], pairs.as_bytes());
    assert_eq!(answer(at, &["scan", "pairs", "pairs"]), "[\"b.c\",2]\tnull\n[\"b.c\",256]\tnull\n");
    let back = run(at, &["dump", "--duplicates", "pairs"], b"").stdout;
    assert_eq!(data(&back), data(pairs.as_bytes()));
    assert!(flags.lines().all(|flag| text(&back).lines().any(|line| line == flag)), "{}", text(&back));

    if Command::new("mdb_dump").arg("-V").output().is_err() {
        writeln!(std::io::stderr(), "LMDB's tools are not installed: its orders were NOT tried").unwrap();
        return;
    }
    lmdb(at, "mdb_load", &["-n", "lmdb"], &[dump.as_bytes(), &back].concat());
    let there = lmdb(at, "mdb_dump", &["-n", "-a", "lmdb"], b"");
    answer_to(at, &["load", "--duplicates", "pairs", "from-lmdb"], &there);
    let here = run(at, &["dump", "--integer-keys", "--duplicates", "from-lmdb"], b"").stdout;
    assert_eq!(data(&here), data(&there));
}

/// Types that this program does not know go through a dump as their names.
#[test]
fn types_of_an_application_go_through_dumps() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let db = Db::open(at.join("a.mapleaf")).unwrap();
    db.update(|tx| {
        admin::create_table(tx, "users", "str", "serde")?;
        admin::raw_table_mut(tx, "users")?.insert(b"ada", b"\x07\xff").map(drop)
    })
    .unwrap();
    for form in [&["--types"][..], &["--format", "json"]] {
        let dump = run(at, &[&["dump"], form, &["a.mapleaf"]].concat(), b"");
        let copy = format!("copy-{}", form.len());
        answer_to(at, &["load", &copy], &dump.stdout);
        assert_eq!(answer(at, &["tables", &copy]), answer(at, &["tables", "a.mapleaf"]), "{form:?}");
        assert_eq!(answer(at, &["scan", &copy, "users"]), "ada\t{\"encoded\":\"07ff\"}\n");
    }
}

/// Files that are not text are named, with what reads them; nothing is created.
#[test]
fn input_that_is_not_text_is_recognised() {
    let (folder, path) = world();
    let at = folder.path();
    answer(at, &["copy", "a.mapleaf", "copy"]);
    Db::open(&path).unwrap().update(|tx| tx.table(&NAMES)?.insert("new", "x")).unwrap();
    answer(at, &["backup", "--since", "copy", "a.mapleaf", "increment"]);
    let mut lmdb_file = vec![0; 4096];
    lmdb_file[16..20].copy_from_slice(&0xbeef_c0de_u32.to_le_bytes());
    for (name, bytes) in [
        ("old.lmdb", &lmdb_file[..]),
        ("sqlite", b"SQLite format 3\0\x10\0"),
        ("packed.gz", b"\x1f\x8b\x08\0"),
        ("packed.xz", b"\xfd7zXZ\0\0\x04"),
        ("packed.zst", b"\x28\xb5\x2f\xfd\x24"),
    ] {
        std::fs::write(at.join(name), bytes).unwrap();
    }
    std::fs::create_dir(at.join("folder.lmdb")).unwrap();
    std::fs::write(at.join("folder.lmdb/data.mdb"), &lmdb_file).unwrap();
    std::fs::create_dir(at.join("empty")).unwrap();
    let before = files(at);
    for (name, part) in [
        (
            "old.lmdb",
            "is an LMDB database, not text; its named tables are loaded by: mdb_dump -n -a old.lmdb | mapleaf load new",
        ),
        ("folder.lmdb", "mdb_dump -a folder.lmdb | mapleaf load new"),
        ("sqlite", "an SQLite database"),
        ("copy", "mapleaf dump --types copy | mapleaf load new"),
        ("increment", "mapleaf restore COPY increment NEW_FILE"),
        ("packed.gz", "gzip -dc packed.gz | mapleaf load new"),
        ("packed.xz", "xz -dc packed.xz | mapleaf load new"),
        ("packed.zst", "zstd -dc packed.zst | mapleaf load new"),
        ("empty", "a folder, not a file"),
    ] {
        refused(at, &["load", "new", name], b"", 2, part);
        refused(at, &["load", "--table", "t", "--format", "tsv", "new", name], b"", 2, part);
    }
    refused(at, &["load", "new"], &lmdb_file, 2, "standard input is an LMDB database, not text");
    // Where a database is expected, they are named, too.
    for (name, part) in [
        (
            "old.lmdb",
            "old.lmdb is not a mapleaf database: it is the data file of an LMDB database; its named tables are \
                      loaded by: mdb_dump -n -a old.lmdb | mapleaf load NEW_FILE",
        ),
        (
            "sqlite",
            "it is an SQLite database; a query of two columns, key and value, is loaded by: sqlite3 -tabs",
        ),
        ("increment", "it is an increment; mapleaf restore COPY increment NEW_FILE makes a database of it"),
        ("packed.gz", "it has 4 bytes, but no meta page of one; use another path"),
    ] {
        for command in ["stat", "check", "dump", "shrink"] {
            refused(at, &[command, name], b"", 3, part);
        }
    }
    refused(at, &["put", "sqlite", "names", "ada", "1"], b"", 3, "it is an SQLite database");
    assert_eq!(files(at), before);
}
