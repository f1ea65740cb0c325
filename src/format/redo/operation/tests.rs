//! Round trips, and bodies that no writer encodes.

use super::*;

/// One of each kind, and their edges.
const SAMPLES: [Operation<'static>; 16] = [
    Operation::Create { kind: TableKind::Multimap, key_type: "str", value_type: "u64" },
    Operation::Create { kind: TableKind::Table, key_type: "(str,u64)", value_type: "bytes" },
    Operation::Put { key: b"", value: b"" },
    Operation::Put { key: b"key", value: &[7; 300] },
    Operation::Delete { key: b"key" },
    Operation::RemoveRange { lower: Bound::Unbounded, upper: Bound::Unbounded, removed: 0 },
    Operation::RemoveRange { lower: Bound::Included(b"a"), upper: Bound::Excluded(b"b"), removed: 1 },
    Operation::RemoveRange { lower: Bound::Excluded(b""), upper: Bound::Included(b""), removed: u64::MAX },
    Operation::RemoveRange { lower: Bound::Unbounded, upper: Bound::Included(b"b"), removed: 200 },
    Operation::RemoveRange { lower: Bound::Excluded(b"b"), upper: Bound::Unbounded, removed: 3 },
    Operation::Clear,
    Operation::Rename { to: "n\u{e4}me" },
    Operation::Rename { to: "" },
    Operation::Retype { key_type: "UserId(u64)", value_type: "bytes" },
    Operation::Retype { key_type: "", value_type: "" },
    Operation::Drop,
];

fn encoded(operations: &[(&str, Operation<'_>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (table, operation) in operations {
        push_table(&mut bytes, table);
        operation.encode(&mut bytes);
    }
    bytes
}

fn read(body: &[u8], count: u32) -> Result<Vec<(&str, Operation<'_>)>> {
    Operations::new(body, count, Lsn(4096)).collect()
}

#[track_caller]
fn assert_wrong(body: &[u8], count: u32) {
    let error = read(body, count).unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)) && error.to_string().contains("LSN 4096"), "{error}");
    let errors = Operations::new(body, count, Lsn(4096)).filter(Result::is_err);
    assert_eq!(errors.count(), 1, "after an error there is nothing more");
}

#[test]
fn operations_round_trip_and_have_the_length_that_they_say() {
    for operation in SAMPLES {
        let mut bytes = Vec::new();
        push_table(&mut bytes, "table");
        assert_eq!(bytes.len(), table_len("table"));
        operation.encode(&mut bytes);
        assert_eq!(bytes.len(), table_len("table") + operation.encoded_len());
        assert_eq!(read(&bytes, 2).unwrap(), [("table", operation)]);
    }
    let all: Vec<_> = SAMPLES.iter().map(|&operation| ("t", operation)).collect();
    assert_eq!(read(&encoded(&all), 2 * SAMPLES.len() as u32).unwrap(), all);
    assert_eq!(read(&[], 0).unwrap(), []);
}

#[test]
fn a_table_concerns_what_follows_it_also_after_it_was_renamed() {
    let mut bytes = encoded(&[("a", Operation::Rename { to: "b" })]);
    Operation::Create { kind: TableKind::Table, key_type: "u8", value_type: "u8" }.encode(&mut bytes);
    push_table(&mut bytes, "b");
    Operation::Clear.encode(&mut bytes);
    let tables: Vec<_> = read(&bytes, 5).unwrap().into_iter().map(|(table, _)| table).collect();
    assert_eq!(tables, ["a", "a", "b"]);
}

#[test]
fn the_count_is_exact() {
    let bytes = encoded(&[("a", Operation::Clear), ("b", Operation::Drop)]);
    assert!(read(&bytes, 4).is_ok());
    for count in [0, 1, 2, 3, 5, u32::MAX] {
        assert_wrong(&bytes, count);
    }
}

#[test]
fn a_cut_body_is_corrupt() {
    for operation in SAMPLES {
        let bytes = encoded(&[("table", operation)]);
        (0..bytes.len()).for_each(|length| assert_wrong(&bytes[..length], 2));
    }
}

#[test]
fn what_no_writer_encodes_is_corrupt() {
    let after_table = |body: &[u8]| [&[TABLE, 1, b't'], body].concat();
    assert_wrong(&[CLEAR], 1); // no table
    for opcode in [0, 7, 10, 255] {
        assert_wrong(&after_table(&[opcode, 0, 0, 0, 0, 0]), 2);
    }
    let no_text = [TABLE, 2, b'a', 0xff, CLEAR];
    assert_wrong(&no_text, 2);
    assert_wrong(&after_table(&[RENAME, 1, 0xff]), 2);
    assert_wrong(&after_table(&[CREATE, 1, 0xff, 1, b'u']), 2);
    assert_wrong(&after_table(&[CREATE, 1, b'u', 1, 0xff]), 2);
    // Two bounds with both bits, a further bit, and a key without a bound.
    for kinds in [3, 3 << 2, 1 << 4, 1 << 7] {
        assert_wrong(&after_table(&[REMOVE_RANGE, kinds, 0, 0, 0]), 2);
    }
    assert_wrong(&after_table(&[REMOVE_RANGE, INCLUDED << 2, 1, b'a', 1, b'b', 0]), 2);
    assert_wrong(&after_table(&[REMOVE_RANGE, INCLUDED, 1, b'a', 1, b'b', 0]), 2);
    let inverted = [REMOVE_RANGE, INCLUDED | EXCLUDED << 2, 1, b'b', 1, b'a', 0];
    assert_wrong(&after_table(&inverted), 2);
    // Lengths beyond the record, and beyond 64 bits.
    for length in [&[5][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff; 9], &[0xff; 11]] {
        assert_wrong(&after_table(&[&[DELETE], length, b"key"].concat()), 2);
    }
}

#[test]
fn names_have_a_length_limit() {
    let name = |length: usize| "n".repeat(length);
    for (length, is_right) in [(MAX_NAME_LEN, true), (MAX_NAME_LEN + 1, false)] {
        let name = name(length);
        let types = Operation::Create { kind: TableKind::Table, key_type: &name[1..], value_type: "v" };
        for (table, operation) in
            [(&name[..], Operation::Clear), ("t", Operation::Rename { to: &name }), ("t", types)]
        {
            let bytes = encoded(&[(table, operation)]);
            match is_right {
                true => assert_eq!(read(&bytes, 2).unwrap(), [(table, operation)]),
                false => assert_wrong(&bytes, 2),
            }
        }
    }
}
