//! The format, as it is on the disk.
//!
//! The files in `tests/golden` are databases that must open and read right for ever: they are never made again. The
//! script that made the newest must still give the same bytes, so that no change of the format goes unnoticed. If one
//! is meant, raise the format version, keep the old files, and let `MAPLEAF_BLESS=1 cargo test --test suite golden::`
//! write the new one.
//!
//! `format-1.hex` is of the same script, without the table of numbers; `format-1-numbers.hex` has such tables as are in
//! dense leaves since version 2.
//!
//! Lines are an offset and 32 bytes; lines of zeros are left out, and the last line is the length.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{BOTH_MODES, assert_clean, scratch};
use mapleaf::{Db, Durability, Table, Verify, WriteMode};

const WORDS: Table<str, u64> = Table::new("words");
const LARGE: Table<u64, [u8]> = Table::new("large");
const LONG: Table<[u8], ()> = Table::new("long keys");
const GONE: Table<u64, u64> = Table::new("gone");
const PAIRS: Table<(String, i32), (bool, String)> = Table::new("pairs");
const NUMBERS: Table<u64, u64> = Table::new("numbers");
const MEMBERS: Table<(u32, u16), ()> = Table::new("pairs");

const LINE: usize = 32;

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-3.hex")
}

fn golden_file(name: &str) -> Vec<u8> {
    let path = golden_path().with_file_name(name).with_extension("hex");
    from_hex(&fs::read_to_string(path).unwrap())
}

/// Spread over all numbers.
fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The format versions of both meta pages.
fn versions(path: &Path) -> [u8; 2] {
    let file = fs::read(path).unwrap();
    [file[16], file[4096 + 16]]
}

/// 40 keys of 1500 bytes: branches, separators, common prefixes.
fn long_keys() -> impl Iterator<Item = Vec<u8>> {
    (0..40u8).map(|number| {
        let mut key = vec![0; 1500];
        key[700] = number / 7;
        key[1499] = number;
        key
    })
}

fn large_value() -> Vec<u8> {
    let mut value = vec![0; 10_000];
    value[0] = 1;
    value[9_999] = 2;
    value
}

/// Every kind of page except a free log's own, free space, retired pages, two metas.
fn build(path: &Path, mode: WriteMode) {
    let db = Db::options().write_mode(mode).open(path).unwrap();
    db.update(|tx| {
        let mut words = tx.table(&WORDS)?;
        for (word, count) in [("maple", 1), ("leaf", 2), ("", 3), ("mapleaf", 4)] {
            words.insert(word, count)?;
        }
        tx.table(&GONE)?.insert(1, 1)?;
        let mut numbers = tx.table(&NUMBERS)?;
        (0..300).try_for_each(|number| numbers.insert(spread(number), number).map(drop))?;
        tx.table(&PAIRS)?.insert(("below", -1), (true, "zero"))?;
        tx.table(&PAIRS)?.insert(("above", 1), (false, ""))?;
        Ok(())
    })
    .unwrap();
    db.update(|tx| {
        let mut long = tx.table(&LONG)?;
        long_keys().try_for_each(|key| long.insert(key, ()).map(drop))?;
        tx.table(&LARGE)?.insert(7, large_value())?;
        tx.table(&LARGE)?.insert(8, b"")?;
        Ok(())
    })
    .unwrap();
    let tx = db.write().unwrap();
    tx.table(&WORDS).unwrap().insert("leaf", 20).unwrap();
    assert!(tx.drop_table("gone").unwrap());
    tx.commit_with(Durability::Lazy).unwrap();
    db.update(|tx| tx.table(&WORDS)?.remove("maple")).unwrap();
    db.close().unwrap();
}

#[track_caller]
fn assert_reads_right(path: &Path, verify: Verify, version: u8) {
    let db = Db::options().verify(verify).open(path).unwrap();
    assert_clean(&db);
    let rx = db.read().unwrap();
    let words: Vec<(String, u64)> = rx
        .table(&WORDS)
        .unwrap()
        .iter()
        .map(|entry| entry.map(|(key, value)| (key.to_string(), value)).unwrap())
        .collect();
    assert_eq!(words, [(String::new(), 3), ("leaf".into(), 20), ("mapleaf".into(), 4)]);
    let large = rx.table(&LARGE).unwrap();
    assert_eq!(large.get(7).unwrap(), Some(&large_value()[..]));
    assert_eq!(large.get(8).unwrap(), Some(&b""[..]));
    let long = rx.table(&LONG).unwrap();
    assert!(long.iter().map(|entry| entry.unwrap().0.to_vec()).eq(long_keys()));
    let pairs = rx.table(&PAIRS).unwrap();
    assert_eq!(pairs.get(("below", -1)).unwrap(), Some((true, "zero")));
    assert_eq!(pairs.get(("above", 1)).unwrap(), Some((false, "")));
    let mut expected = Vec::new();
    if version > 1 {
        let numbers = rx.table(&NUMBERS).unwrap();
        assert!((0..300).all(|number| numbers.get(spread(number)).unwrap() == Some(number)));
        expected.push(("numbers", "u64", "u64", 300, 2));
    }
    let tables: Vec<(String, String, String, u64, u8)> = rx
        .tables()
        .unwrap()
        .into_iter()
        .map(|info| (info.name, info.key_type, info.value_type, info.entries, info.depth))
        .collect();
    expected.extend([
        ("large", "u64", "bytes", 2, 1),
        ("long keys", "bytes", "()", 40, 2),
        ("pairs", "(str,i32)", "(bool,str)", 2, 1),
        ("words", "str", "u64", 3, 1),
    ]);
    expected.sort_unstable();
    let found =
        tables.iter().map(|(name, key, value, entries, depth)| (&**name, &**key, &**value, *entries, *depth));
    assert!(found.eq(expected), "{tables:?}");
    assert!((5..=6).contains(&rx.id().get()), "a recovery adds one");
    drop(rx);
    // It can be written.
    db.update(|tx| tx.table(&WORDS)?.insert("more", 1)).unwrap();
    assert_clean(&db);
    drop(db);
    assert!(versions(path).contains(&3), "what was written is of this version");
}

/// The random identity of the file becomes zeros, in both metas, and so do the checksums that it is part of, and the
/// redo log, which is empty.
fn normalise(file: &mut [u8]) {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let ring = number(104) * 4096..(number(104) + number(108)) * 4096;
    file[ring].fill(0);
    for slot in [0, 4096] {
        let record = &mut file[slot..slot + 4096];
        assert!(record.starts_with(b"mapleaf\0"), "both slots hold a record");
        record[24..40].fill(0);
        record[84..88].fill(0);
        let length = u32::from_le_bytes(record[12..16].try_into().unwrap()) as usize;
        let sum = crc32fast::hash(&record[12..length]);
        record[8..12].copy_from_slice(&sum.to_le_bytes());
    }
}

fn to_hex(file: &[u8]) -> String {
    let mut text = String::new();
    for (number, line) in file.chunks(LINE).enumerate().filter(|(_, line)| line.iter().any(|&byte| byte != 0))
    {
        write!(text, "{:06x} ", number * LINE).unwrap();
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    writeln!(text, "{:06x}", file.len()).unwrap();
    text
}

fn from_hex(text: &str) -> Vec<u8> {
    let last = text.lines().last().unwrap();
    let mut file = vec![0; usize::from_str_radix(last, 16).unwrap()];
    for (offset, bytes) in text.lines().filter_map(|line| line.split_once(' ')) {
        let offset = usize::from_str_radix(offset, 16).unwrap();
        for (at, digits) in bytes.as_bytes().chunks(2).enumerate() {
            file[offset + at] = u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
        }
    }
    file
}

fn built(mode: WriteMode) -> Vec<u8> {
    let (_folder, path) = scratch();
    build(&path, mode);
    let mut file = fs::read(&path).unwrap();
    normalise(&mut file);
    fs::write(&path, &file).unwrap();
    assert_reads_right(&path, Verify::Always, 3);
    file
}

#[test]
fn the_same_script_gives_the_same_bytes() {
    let expected = golden_path();
    if std::env::var_os("MAPLEAF_BLESS").is_some() {
        fs::create_dir_all(expected.parent().unwrap()).unwrap();
        fs::write(&expected, to_hex(&built(WriteMode::Syscall))).unwrap();
    }
    let expected = fs::read_to_string(expected).unwrap();
    for mode in BOTH_MODES {
        let found = to_hex(&built(mode));
        let difference = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
        if let Some((expected, found)) = difference {
            panic!("{mode:?}: the format has changed:\nexpected {expected}\nfound    {found}");
        }
        assert_eq!(expected.len(), found.len(), "{mode:?}");
    }
}

#[test]
fn the_golden_database_reads_right() {
    let (_folder, path) = scratch();
    for (version, name) in [(1, "format-1"), (2, "format-2"), (3, "format-3")] {
        let file = golden_file(name);
        for verify in [Verify::FirstTouch, Verify::Always, Verify::Never] {
            fs::write(&path, &file).unwrap();
            assert_eq!(versions(&path), [version; 2]);
            assert_reads_right(&path, verify, version);
        }
    }
    let file = golden_file("format-3");
    let read_only = {
        fs::write(&path, &file).unwrap();
        Db::options().read_only(true).open(&path).unwrap()
    };
    assert_clean(&read_only);
    assert_eq!(read_only.read().unwrap().table(&WORDS).unwrap().get("leaf").unwrap(), Some(20));
    assert!(fs::read(&path).unwrap() == file);
}

/// The leaves of an old table stay unchanged until an entry of theirs changes; those that are then built are dense.
#[test]
fn numbers_of_the_first_version_are_read_and_written() {
    let (_folder, path) = scratch();
    fs::write(&path, golden_file("format-1-numbers")).unwrap();
    assert_eq!(versions(&path), [1, 1]);
    let db = Db::open(&path).unwrap();
    let assert_holds = |added: u64| {
        assert_clean(&db);
        let rx = db.read().unwrap();
        let numbers = rx.table(&NUMBERS).unwrap();
        let mut expected: Vec<(u64, u64)> = (1..400 + added).map(|number| (spread(number), number)).collect();
        expected.sort_unstable();
        assert!(numbers.iter().map(Result::unwrap).eq(expected.iter().copied()));
        assert!(expected.iter().all(|(key, number)| numbers.get(key).unwrap() == Some(*number)));
        let members = rx.table(&MEMBERS).unwrap();
        assert_eq!(members.iter().filter(Result::is_ok).count(), 300);
        assert_eq!(members.prefix((7u32,)).count(), 9);
    };
    assert_holds(0);
    for added in [1, 2, 50, 1000] {
        db.update(|tx| {
            let mut numbers = tx.table(&NUMBERS)?;
            (400..400 + added).try_for_each(|number| numbers.insert(spread(number), number).map(drop))
        })
        .unwrap();
        assert_holds(added);
    }
    db.close().unwrap();
    assert!(versions(&path) == [3, 3]);
    let leaves = fs::read(&path).unwrap();
    let dense = leaves.chunks(4096).skip(2).filter(|page| page[16] == 1 && page[26] & 2 != 0);
    assert!(dense.count() > 3);
}

#[test]
fn each_changed_byte_of_the_golden_database_is_noticed_or_not_in_use() {
    let (_folder, path) = scratch();
    let file = from_hex(&fs::read_to_string(golden_path()).unwrap());
    let used: Vec<usize> = (8192..file.len()).filter(|&at| file[at] != 0).collect();
    let mut noticed = 0;
    for &at in used.iter().step_by(2) {
        let mut damaged = file.clone();
        damaged[at] ^= 0x20;
        fs::write(&path, &damaged).unwrap();
        let Ok(db) = Db::options().read_only(true).open(&path) else {
            noticed += 1; // a page that the newest record lists, and one that the older one needs
            continue;
        };
        let report = db.check();
        if !report.is_ok_and(|report| report.is_clean()) {
            noticed += 1;
            continue;
        }
        // A page that is free or retired, or an older record's state: what is read is right in any case.
        let rx = db.read().unwrap();
        if rx.id().get() == 5 {
            assert_eq!(rx.table(&WORDS).unwrap().get("leaf").unwrap(), Some(20));
        }
    }
    assert!(noticed > used.len() / 8, "{noticed} of {}", used.len().div_ceil(2));
}
