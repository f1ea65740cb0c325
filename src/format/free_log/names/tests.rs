//! Round trips, and bytes that no writer encodes.

use proptest::prelude::*;

use super::*;
use crate::base::property::cases;
use crate::format::free_log::{Entry, entries};

fn names() -> impl Strategy<Value = NamesEntry> {
    let text = prop_oneof![Just("a".repeat(255)), "[a-zäö ]{1,20}"];
    let number = || prop_oneof![0u64..200, 0u64..1 << 50];
    let living = prop::collection::btree_map(text, (number(), number(), 2u32..1 << 20, 0u8..5), 0..20);
    let dropped = prop::collection::vec((number(), number(), number()), 0..5);
    (living, dropped, number()).prop_map(|(living, dropped, age)| {
        let living: Vec<NamedSnapshot> = living
            .into_iter()
            .map(|(name, (id, age, length_pages, depth))| NamedSnapshot {
                name,
                id: TransactionId(id + 1),
                created: TransactionId(id + age + 2),
                length_pages,
                catalog: TreeRoot {
                    page: PageNumber(if depth == 0 { 0 } else { FIRST_PAGE }),
                    depth: if length_pages > FIRST_PAGE { depth } else { 0 },
                    entries: age,
                },
            })
            .collect();
        let dropped: Vec<DroppedSnapshot> = dropped
            .into_iter()
            .map(|(id, age, life)| DroppedSnapshot {
                id: TransactionId(id + 1),
                created: TransactionId(id + age + 2),
                dropped: TransactionId(id + age + life + 3),
            })
            .collect();
        let created = living.iter().map(|named| named.created).max();
        let newest = dropped.iter().map(|dropped| dropped.dropped).max().max(created).unwrap_or_default();
        match age % 4 {
            0 if !living.is_empty() => NamesEntry::Given(living[0].clone()),
            1 if !living.is_empty() => NamesEntry::Dropped { id: newest, name: living[0].name.clone() },
            _ => NamesEntry::All { id: TransactionId(newest.0 + age), living, dropped },
        }
    })
}

fn decode(bytes: &[u8]) -> Result<Vec<Entry>> {
    entries(bytes).collect()
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_is_encoded_is_decoded(names in names()) {
        let bytes = encode_names(&names);
        prop_assert_eq!(decode(&bytes).unwrap(), vec![Entry::Names(names.clone())]);
        for end in 1..bytes.len() {
            prop_assert!(decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn changed_bytes_give_numbers_in_order_or_an_error(
        names in names(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encode_names(&names);
        let at = 1 + at.index(bytes.len() - 1);
        bytes[at] = byte;
        for entry in decode(&bytes).unwrap_or_default() {
            let (id, living, dropped) = match entry {
                Entry::Names(NamesEntry::All { id, living, dropped }) => (id, living, dropped),
                Entry::Names(NamesEntry::Given(named)) => (named.created, vec![named], Vec::new()),
                _ => continue,
            };
            prop_assert!(living.is_sorted_by(|a, b| a.name < b.name));
            for named in living {
                prop_assert!(named.id.0 > 0 && named.id < named.created && named.created <= id);
                let root = named.catalog;
                let is_inside = (FIRST_PAGE..named.length_pages).contains(&root.page.0);
                prop_assert!(root.depth == 0 || is_inside && root.depth <= MAX_DEPTH);
                prop_assert!((1..=MAX_SNAPSHOT_NAME_LEN).contains(&named.name.len()));
            }
            for dropped in dropped {
                let is_in_order = dropped.id < dropped.created && dropped.created < dropped.dropped;
                prop_assert!(dropped.id.0 > 0 && is_in_order && dropped.dropped <= id);
            }
        }
    }
}

#[test]
fn the_bytes_are_fixed() {
    let names = NamesEntry::All {
        id: TransactionId(300),
        living: vec![NamedSnapshot {
            name: "monday".to_owned(),
            id: TransactionId(7),
            created: TransactionId(9),
            length_pages: 100,
            catalog: TreeRoot { page: PageNumber(20), depth: 1, entries: 2 },
        }],
        dropped: vec![DroppedSnapshot {
            id: TransactionId(3),
            created: TransactionId(4),
            dropped: TransactionId(299),
        }],
    };
    let expected = [&[3, 0xac, 2, 1, 6][..], b"monday", &[0xa3, 2, 1, 100, 1, 20, 2], &[1, 1, 0xa6, 2, 0]];
    assert_eq!(encode_names(&names), expected.concat());
    let NamesEntry::All { living, .. } = names else { unreachable!() };
    let given = [&[4, 9, 6][..], b"monday", &[0, 1, 100, 1, 20, 2]].concat();
    assert_eq!(encode_names(&NamesEntry::Given(living[0].clone())), given);
    let dropped = NamesEntry::Dropped { id: TransactionId(12), name: "monday".to_owned() };
    assert_eq!(encode_names(&dropped), [&[5, 12, 6][..], b"monday"].concat());
}

#[test]
fn hostile_names_are_damage() {
    let named = |name: &str| NamedSnapshot {
        name: name.to_owned(),
        id: TransactionId(3),
        created: TransactionId(4),
        length_pages: 10,
        catalog: TreeRoot { page: PageNumber(9), depth: 1, entries: 1 },
    };
    let entry = |living: Vec<NamedSnapshot>| {
        encode_names(&NamesEntry::All { id: TransactionId(9), living, dropped: Vec::new() })
    };
    assert!(decode(&entry(vec![named("a"), named("b")])).is_ok());
    let outside = TreeRoot { page: PageNumber(10), depth: 1, entries: 1 };
    let deep = TreeRoot { page: PageNumber(9), depth: MAX_DEPTH + 1, entries: 1 };
    let wrong = [
        vec![named("b"), named("a")],
        vec![named("a"), named("a")],
        vec![named("")],
        vec![named(&"x".repeat(256))],
        vec![NamedSnapshot { catalog: outside, ..named("a") }],
        vec![NamedSnapshot { catalog: deep, ..named("a") }],
        vec![NamedSnapshot { length_pages: 1, ..named("a") }],
        vec![NamedSnapshot { id: TransactionId(0), ..named("a") }],
    ];
    for living in wrong {
        assert!(matches!(decode(&entry(living.clone())), Err(Error::Corrupt(_))), "{living:?}");
    }
    let mut not_text = entry(vec![named("a")]);
    let at = not_text.iter().position(|&byte| byte == b'a').unwrap();
    not_text[at] = 0xff;
    assert!(matches!(decode(&not_text), Err(Error::Corrupt(_))));
    // Counts that no memory is taken for.
    let mut many = vec![ALL_NAMES as u8, 9];
    push_varint(&mut many, u64::MAX);
    assert!(matches!(decode(&many), Err(Error::Corrupt(_))));
}
