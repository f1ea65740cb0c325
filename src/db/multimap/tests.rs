//! Counters and pairs that no writer makes: they are values or `Error::Corrupt`, and the check finds them.

use crate::Db;
use crate::error::Error;
use crate::format::catalog::TableKind;
use crate::format::multimap::encode_count;
use crate::types::MultimapTable;

const TAGS: MultimapTable<str, u16> = MultimapTable::new("tags");

/// The stored key and value.
type Entry<'a> = (&'a [u8], &'a [u8]);

/// A database whose multimap table has these entries, as they are.
fn forged(entries: &[Entry<'_>]) -> Db {
    let db = Db::in_memory().unwrap();
    let tx = db.write().unwrap();
    let transaction = &tx.transaction;
    let mut table =
        transaction.create_table("tags", TableKind::Multimap, "str".into(), "u16".into()).unwrap();
    for (key, value) in entries {
        transaction.insert(&mut table, key, value).unwrap();
    }
    transaction.return_table(table);
    tx.commit().unwrap();
    db
}

/// Reads in all ways, and changes. Nothing may panic; only damage may be found.
#[track_caller]
fn use_all(db: &Db) {
    fn is_known<T>(result: Result<T, Error>) {
        if let Err(error) = result {
            assert!(matches!(error, Error::Corrupt(_) | Error::Decode { .. }), "{error}");
        }
    }
    let rx = db.read().unwrap();
    is_known(rx.tables());
    let tags = rx.multimap(&TAGS).unwrap();
    is_known(tags.len());
    for key in ["", "a", "b", "a\0"] {
        is_known(tags.len_of(key));
        is_known(tags.contains(key, 7));
        is_known(tags.get(key).collect::<Result<Vec<_>, _>>());
        is_known(tags.get(key).rev().collect::<Result<Vec<_>, _>>());
        is_known(tags.range_of_values(key, 3..).collect::<Result<Vec<_>, _>>());
    }
    is_known(tags.iter().collect::<Result<Vec<_>, _>>());
    is_known(tags.iter().rev().collect::<Result<Vec<_>, _>>());
    is_known(tags.range("a"..).collect::<Result<Vec<_>, _>>());
    is_known(tags.keys().collect::<Result<Vec<_>, _>>());
    is_known(tags.keys().rev().collect::<Result<Vec<_>, _>>());
    drop(rx);
    for change in [0, 1, 2, 3, 4] {
        let tx = db.write().unwrap();
        let mut tags = tx.multimap(&TAGS).unwrap();
        match change {
            0 => is_known((0..100).try_for_each(|value| tags.insert("new", value).map(drop))),
            1 => is_known(tags.insert("a", 9)),
            2 => is_known(tags.remove("a", 7)),
            3 => is_known(tags.remove_all("a")),
            _ => is_known(tags.clear()),
        }
        is_known(tags.len_of("a"));
        drop(tags);
        is_known(tx.commit());
    }
}

const COUNT: &[u8] = b"\x00";
const COUNTER_A: &[u8] = b"\x01a\0\0";

#[test]
fn forged_entries_are_found_and_do_no_harm() {
    let (one, two, many) = (&encode_count(1)[..], &encode_count(2)[..], &encode_count(u64::MAX)[..]);
    let pair: Entry<'_> = (b"\x02a\0\0\0\x07", b"");
    let cases: [(&str, &[Entry<'_>]); 14] = [
        ("a counter that lies", &[(COUNT, one), (COUNTER_A, two), pair]),
        ("a counter of nothing", &[(COUNT, one), (COUNTER_A, two)]),
        ("a counter beyond all numbers", &[(COUNT, one), (COUNTER_A, many), pair]),
        ("more counters than there are", &[(COUNT, two), (COUNTER_A, one), pair]),
        ("more counters than entries", &[(COUNT, many), (COUNTER_A, one), pair]),
        ("a counter that is not counted", &[(COUNTER_A, one), pair]),
        ("a number of counters that is zero", &[(COUNT, &encode_count(0)), pair]),
        ("a short counter", &[(COUNT, one), (COUNTER_A, b"\x01"), pair]),
        ("a long number of counters", &[(COUNT, b"123456789"), (COUNTER_A, one), pair]),
        ("a counter within another", &[(COUNT, two), (b"\x01a", one), (COUNTER_A, one), pair]),
        ("an empty key", &[(b"", b""), pair]),
        ("another first entry", &[(b"\x00\x00", b""), pair]),
        ("an entry after all pairs", &[pair, (b"\x03", b"")]),
        ("a counter of all keys", &[(COUNT, one), (b"\x01", two), pair]),
    ];
    for (name, entries) in cases {
        let db = forged(entries);
        let report = db.check().unwrap();
        assert!(!report.is_clean(), "{name}");
        assert!(
            report.problems().iter().all(|problem| problem.expected.contains("tags")),
            "{name}: {report}"
        );
        use_all(&db);
    }
}

#[test]
fn pairs_that_are_no_encodings_do_no_harm() {
    let bytes: [&[u8]; 8] = [
        b"\x02",
        b"\x02a",
        b"\x02a\0",
        b"\x02a\0\0",
        b"\x02a\0\0\x01",
        b"\x02a\0\0\x01\x02\x03",
        b"\x02\xff\xff\0\0\x01\x02",
        b"\x02a\0\xff\xff\0\x00\x01",
    ];
    for pair in bytes {
        use_all(&forged(&[(pair, b"")]));
        use_all(&forged(&[(pair, b"a value"), (b"\x02a\0\0\0\x07", b"another")]));
    }
}

/// What salvage does.
#[test]
fn recounting_makes_forged_counters_right() {
    let db = Db::in_memory().unwrap();
    db.update(|tx| {
        tx.multimap(&TAGS)?.insert_many((0..100).map(|value| ("many", value)))?;
        tx.multimap(&TAGS)?.insert("one", 1)
    })
    .unwrap();
    let tx = db.write().unwrap();
    let mut table = tx.transaction.take_table("tags").unwrap().unwrap();
    let entries: [Entry<'_>; 6] = [
        (b"\x00", &encode_count(77)),
        (b"\x00\x01", b""),
        (b"\x01many\0\0", &encode_count(3)),
        (b"\x01many\0\0beyond", b"not a number"),
        (b"\x01one\0\0", &encode_count(1)),
        (b"\xff", b""),
    ];
    for (key, value) in entries {
        tx.transaction.insert(&mut table, key, value).unwrap();
    }
    tx.transaction.return_table(table);
    tx.transaction.recount_values("tags").unwrap();
    tx.commit().unwrap();
    assert!(db.check().unwrap().is_clean());
    let rx = db.read().unwrap();
    let tags = rx.multimap(&TAGS).unwrap();
    let counts = (tags.len().unwrap(), tags.len_of("many").unwrap(), tags.len_of("one").unwrap());
    assert_eq!(counts, (101, 100, 1));
}

/// A pass over the counters that fails leaves a transaction that can only be aborted.
#[test]
fn a_counter_that_cannot_follow_fails_the_commit() {
    let db = forged(&[(COUNT, &encode_count(1)), (COUNTER_A, &encode_count(u64::MAX))]);
    let tx = db.write().unwrap();
    tx.multimap(&TAGS).unwrap().insert("a", 1).unwrap();
    assert!(matches!(tx.commit(), Err(Error::Corrupt(_))));
    let rx = db.read().unwrap();
    assert_eq!(rx.multimap(&TAGS).unwrap().get("a").count(), 0);
}
