//! Pages taken apart: all that a file has is found in its pages, and hostile pages are described, not believed.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::common::Random;
use mapleaf::admin::PageRole;
use mapleaf::admin::{Anatomy, Content, FieldValue, Inspector, LogEntry, StoredValue};
use mapleaf::{Db, Error, Table};

const NAMES: Table<str, [u8]> = Table::new("names");
const HITS: Table<u64, u64> = Table::new("hits");

/// Two tables, some large values, free and retired pages, and a log of free space on pages of its own.
fn world(folder: &Path, page_size: usize) -> PathBuf {
    let path = folder.join("a.mapleaf");
    let db = Db::options().page_size(page_size).open(&path).unwrap();
    let mut random = Random::new(1);
    db.update(|tx| {
        let mut names = tx.table(&NAMES)?;
        for key in 0..3000 {
            let length = if key % 500 == 0 { 40_000 + key } else { random.below(100) };
            names.insert(format!("some/prefix/{key}"), vec![key as u8; length])?;
        }
        (0..5000).try_for_each(|key| tx.table(&HITS)?.insert(key, key).map(drop))
    })
    .unwrap();
    // Until the log takes pages of its own.
    let mut rounds = 0;
    while page_size == 4096 && db.check().unwrap().counts().free_log < 2 || rounds < 10 {
        db.update(|tx| {
            (0..40).try_for_each(|_| tx.table(&HITS)?.insert(random.below(5000) as u64, rounds).map(drop))
        })
        .unwrap();
        rounds += 1;
        assert!(rounds < 2000);
    }
    path
}

fn number(page: &Anatomy, name: &str) -> u64 {
    match page.fields.iter().find(|field| field.name == name).map(|field| &field.value) {
        Some(FieldValue::Number(number)) => *number,
        other => panic!("{name}: {other:?}"),
    }
}

/// What the pages have by themselves is what a check says of them, and what the tables have.
#[test]
fn pages_have_what_the_database_has() {
    for page_size in [4096, 65536] {
        let folder = tempfile::tempdir().unwrap();
        let path = world(folder.path(), page_size);
        let db = Db::options().read_only(true).open(&path).unwrap();
        let inspector = Inspector::open(&path, None).unwrap();
        assert_eq!(inspector.page_size(), page_size);
        let mut entries = BTreeMap::new();
        let mut kinds = BTreeMap::new();
        let mut told = vec![0; inspector.page_count() as usize];
        let report = db.check_options().on_pages(|page_use, _| {
            (page_use.first..page_use.first + page_use.count).for_each(|page| told[page as usize] += 1);
            let page = inspector.page(page_use.first).unwrap();
            assert!(
                matches!(page_use.role, PageRole::Free | PageRole::Retired { .. })
                    || page.problems.is_empty()
            );
            let expected = match page_use.role {
                PageRole::Meta => "meta page",
                PageRole::Leaf => "leaf",
                PageRole::Branch { .. } => "branch",
                PageRole::Overflow => "overflow",
                PageRole::FreeLog => "free log",
                _ => return,
            };
            *kinds.entry(expected).or_insert(0) += 1;
            assert_eq!(page.kind, Some(expected));
            assert_eq!(page.stored_checksum, page.computed_checksum);
            if let Some(birth) = page_use.birth {
                assert_eq!(number(&page, "birth"), birth.get());
            }
            if let (Content::Leaf(leaf), None) = (&page.content, page_use.table) {
                let tables: Vec<_> =
                    leaf.tables.iter().map(|table| (&table.name[..], table.entries)).collect();
                assert_eq!(tables, [("hits", 5000), ("names", 3000)]);
            }
            if let (Content::Leaf(leaf), Some(_)) = (&page.content, page_use.table) {
                assert!(leaf.tables.is_empty());
            }
            if let (Content::Leaf(leaf), Some("names")) = (&page.content, page_use.table) {
                for entry in &leaf.entries {
                    let length = match &entry.value {
                        StoredValue::Inline(bytes) => {
                            assert!(page.bytes[entry.heap.clone()].ends_with(bytes));
                            bytes.len() as u64
                        }
                        StoredValue::Overflow { length, .. } => *length,
                        other => panic!("{other:?}"),
                    };
                    entries.insert(String::from_utf8(entry.key.clone()).unwrap(), length);
                }
            }
            if let Content::Overflow { pages, value_bytes } = page.content {
                assert_eq!((pages, value_bytes + 32), (page_use.count, page_use.used_bytes));
            }
        });
        let report = report.check().unwrap();
        assert!(report.is_clean(), "{report}");
        let total = report.counts().total as usize;
        assert!(
            told[..total].iter().all(|&times| times == 1) && told[total..].iter().all(|&times| times == 0)
        );
        assert!(kinds["leaf"] > 2 && kinds["overflow"] == 6 && kinds["meta page"] == 1, "{kinds:?}");
        assert!(page_size > 4096 || kinds["branch"] > 1 && kinds["free log"] > 0, "{kinds:?}");
        let rx = db.read().unwrap();
        let names = rx.table(&NAMES).unwrap();
        let expected = names.iter().map(|entry| {
            let (key, value) = entry.unwrap();
            (key.to_string(), value.len() as u64)
        });
        assert_eq!(entries, expected.collect());
    }
}

/// Which snapshot needs a retired page is reported: none, or a reader's. (The checkpointed one needs none here: each
/// commit is followed by a checkpoint.)
#[test]
fn retired_pages_are_needed_while_a_reader_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(world(folder.path(), 4096)).unwrap();
    let needed = || {
        let mut needed = 0;
        let report = db.check_options().on_pages(|page, _| {
            if let PageRole::Retired { is_needed: true, death } = page.role {
                assert!(page.birth.unwrap() < death);
                needed += page.count;
            }
        });
        assert!(report.check().unwrap().is_clean());
        needed
    };
    assert_eq!(needed(), 0);
    let reader = db.read().unwrap();
    db.update(|tx| (0..5000).try_for_each(|key| tx.table(&HITS)?.insert(key, 1).map(drop))).unwrap();
    db.checkpoint().unwrap();
    let while_read = needed();
    assert!(while_read > 10, "{while_read}");
    assert_eq!(db.readers().unwrap()[0].pinned_pages, Some(while_read));
    drop(reader);
    assert_eq!(needed(), 0);
}

/// The log, as its pages and the record have it, ends in what is free now.
#[test]
fn log_of_free_space_is_told_from_record_and_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = world(folder.path(), 4096);
    let db = Db::options().read_only(true).open(&path).unwrap();
    let inspector = Inspector::open(&path, None).unwrap();
    let newest =
        (0..2).map(|slot| inspector.page(slot).unwrap()).max_by_key(|page| number(page, "transaction"));
    let newest = newest.unwrap();
    assert_eq!(number(&newest, "transaction"), db.stats().unwrap().durable.get());
    let mut transactions = Vec::new();
    let mut bases = 0;
    let mut take = |entries: &[LogEntry]| {
        for entry in entries.iter().rev() {
            match entry {
                LogEntry::Base { .. } => bases += 1,
                LogEntry::Delta { transaction, .. } => transactions.push(transaction.get()),
                other => panic!("{other:?}"),
            }
        }
    };
    let Content::Meta { log, .. } = &newest.content else { panic!("{newest:?}") };
    take(log);
    let mut next = number(&newest, "free log: newest page") as u32;
    while next != 0 {
        let page = inspector.page(next).unwrap();
        let Content::FreeLog { entries, starts_base } = &page.content else { panic!("{page:?}") };
        take(entries.as_ref().unwrap());
        next = number(&page, "page before it in the log") as u32;
        assert_eq!(*starts_base, next == 0);
    }
    assert_eq!(bases, 1);
    let newest = number(&newest, "transaction");
    let expected: Vec<u64> = (0..transactions.len() as u64).map(|index| newest - index).collect();
    assert!(transactions.len() > 1);
    assert_eq!(transactions, expected, "entries that span pages are missing, or counted twice");
}

/// Whatever a page holds, it is described, and what is damaged is said to be.
#[test]
fn hostile_pages_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let path = world(folder.path(), 4096);
    let good = fs::read(&path).unwrap();
    let pages = good.len() / 4096;
    let mut random = Random::new(crate::common::seeds(1, 1)[0]);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let inspector = Inspector::open(&path, None).unwrap();
    let rounds = 600;
    let mut undamaged = 0;
    for round in 0..rounds {
        let number = random.below(pages);
        let original = &good[number * 4096..][..4096];
        let mut bytes = original.to_vec();
        for _ in 0..=random.below(4) {
            // Most of what is believed lies in the header and the tables.
            let at = if random.one_in(2) { random.below(40) } else { random.below(4096) };
            bytes[at] = random.next() as u8;
        }
        if round % 2 == 0 && number >= 2 {
            // With the right checksum the content itself is what lies.
            let sum = crc32fast::hash(&bytes[4..]);
            bytes[..4].copy_from_slice(&sum.to_le_bytes());
        }
        file.write_all_at(&bytes, number as u64 * 4096).unwrap();
        let page = inspector.page(number as u32).unwrap();
        undamaged += u32::from(page.problems.is_empty());
        assert_eq!(page.bytes, bytes);
        assert!(format!("{page:?}").len() < 40 * good.len());
        file.write_all_at(original, number as u64 * 4096).unwrap();
    }
    assert!(undamaged < rounds * 4 / 5, "{undamaged} pages seem to be whole");
}

#[test]
fn a_flipped_bit_is_named_and_the_rest_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = world(folder.path(), 4096);
    let inspector = Inspector::open(&path, None).unwrap();
    let is_leaf = |page: &Anatomy| matches!(&page.content, Content::Leaf(leaf) if leaf.entries.len() > 20);
    let leaf = (2..inspector.page_count()).map(|page| inspector.page(page).unwrap()).find(is_leaf).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[leaf.number as usize * 4096 + 4090] ^= 1;
    fs::write(&path, bytes).unwrap();
    let damaged = inspector.page(leaf.number).unwrap();
    assert_eq!(damaged.problems.len(), 1, "{:?}", damaged.problems);
    assert_eq!((damaged.problems[0].what, damaged.problems[0].page), ("checksum", Some(leaf.number)));
    assert_ne!(damaged.stored_checksum, damaged.computed_checksum);
    let (Content::Leaf(before), Content::Leaf(after)) = (&leaf.content, &damaged.content) else { panic!() };
    assert_eq!(before.entries.len(), after.entries.len());
}

#[test]
fn what_is_no_database_or_no_page_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = world(folder.path(), 8192);
    let inspector = Inspector::open(&path, None).unwrap();
    let beyond = inspector.page(inspector.page_count());
    assert!(matches!(beyond, Err(Error::InvalidOption { .. })), "{beyond:?}");
    assert!(matches!(Inspector::open(&path, Some(5000)), Err(Error::InvalidOption { .. })));
    let text = folder.path().join("text");
    fs::write(&text, "no database ".repeat(1000)).unwrap();
    assert!(matches!(Inspector::open(&text, None), Err(Error::NotADatabase { .. })));
    let page = Inspector::open(&text, Some(4096)).unwrap().page(2);
    assert!(
        matches!(page, Err(Error::InvalidOption { .. })),
        "12000 bytes are two pages and a piece: {page:?}"
    );
    assert_eq!(Inspector::open(&text, Some(4096)).unwrap().page(1).unwrap().kind, Some("meta page"));
    assert!(matches!(Inspector::open(folder.path().join("none"), None), Err(Error::Io { .. })));
    // Both meta pages damaged: the page size is still what slot 0 says.
    let mut bytes = fs::read(&path).unwrap();
    bytes[60] ^= 1;
    bytes[8192 + 60] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(Inspector::open(&path, None).unwrap().page_size(), 8192);
    let page = Inspector::open(&path, None).unwrap().page(0).unwrap();
    assert_eq!(page.problems[0].what, "meta checksum");
    assert!(!page.fields.is_empty());
}
