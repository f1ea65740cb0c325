//! `Db::check` reports everything that is wrong with a file, not only the first problem, and still ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::format::{Layout, layouts};
use crate::common::scratch;
use mapleaf::{CheckReport, Db, Table};

const PAGE_SIZE: usize = 4096;
const BLOBS: Table<u64, [u8]> = Table::new("blobs");
const CONFIG: Table<str, u64> = Table::new("zz config");

fn many(number: u64) -> String {
    format!("many {number:04} {}", "n".repeat(60))
}

/// A database with 200 tables, so that the catalog has several leaves, and what is in it. The last commits change
/// one small table only: what they have not written can be damaged without looking like a commit that was cut short.
fn build(path: &Path) -> (Vec<u8>, Layout) {
    let db = Db::open(path).unwrap();
    db.update(|tx| {
        for number in 0..200 {
            let mut table = tx.table(&Table::<u64, str>::new(&many(number)))?;
            for key in 0..if number % 20 == 0 { 2000 } else { 3 } {
                table.insert(key, format!("{key} of {number}").as_str())?;
            }
        }
        for key in 0..20 {
            tx.table(&BLOBS)?.insert(key, vec![key as u8; 10_000])?;
        }
        Ok(())
    })
    .unwrap();
    for round in 0..2 {
        db.update(|tx| tx.table(&CONFIG)?.insert("round", round)).unwrap();
    }
    drop(db);
    let file = fs::read(path).unwrap();
    let layout = layouts(&file, PAGE_SIZE).remove(0);
    assert!(layout.catalog.leaves.len() > 3);
    (file, layout)
}

fn check(path: &Path, file: &[u8]) -> CheckReport {
    fs::write(path, file).unwrap();
    let report = Db::options().read_only(true).open(path).unwrap().check().unwrap();
    // The first that may write comes to the same.
    let again = Db::open(path).unwrap().check().unwrap();
    assert_eq!(report.problems(), again.problems());
    report
}

fn name(number: u64) -> String {
    many(number)
}

fn flip(file: &mut [u8], page: u32, at: usize) {
    file[page as usize * PAGE_SIZE + at] ^= 0x55;
}

fn reseal(file: &mut [u8], page: u32) {
    let page = &mut file[page as usize * PAGE_SIZE..][..PAGE_SIZE];
    let sum = crc32fast::hash(&page[4..]);
    page[..4].copy_from_slice(&sum.to_le_bytes());
}

/// Pages and properties of the problems.
fn named(report: &CheckReport) -> BTreeSet<(u32, &str)> {
    report.problems().iter().filter_map(|problem| Some((problem.page?, problem.what))).collect()
}

#[test]
fn damage_in_many_places_is_all_named() {
    let (_folder, path) = scratch();
    let (sound, layout) = build(&path);
    assert!(check(&path, &sound).is_clean());
    let mut file = sound.clone();
    let mut expected = BTreeSet::new();
    let leaves = |number: u64| &layout.tables[&name(number)].leaves;
    for page in [leaves(0)[0], leaves(0)[3], leaves(40)[1], leaves(7)[0]] {
        flip(&mut file, page, 1000);
        expected.insert((page, "checksum"));
    }
    // A branch: what is below it is one problem.
    let tree = &layout.tables[&name(60)];
    flip(&mut file, tree.branches[0].0, 2000);
    expected.insert((tree.branches[0].0, "checksum"));
    expected.insert((*tree.leaves.iter().min().unwrap(), "use of pages"));
    // Large values: the first page of one, the last of another.
    let runs: Vec<(u32, u32)> = layout.tables["blobs"].entries.iter().filter_map(|entry| entry.run).collect();
    flip(&mut file, runs[2].0, 500);
    flip(&mut file, runs[9].0 + runs[9].1 - 1, 500);
    expected.extend([(runs[2].0, "checksum"), (runs[9].0, "checksum")]);
    // With right checksums: keys out of order, another last head, a page from the future, a wrong level, and in a leaf
    // with slots a wrong count of dead bytes.
    let [order, last_head, future, level] = [80, 100, 120, 140].map(|number| leaves(number)[2]);
    let at = order as usize * PAGE_SIZE + 32;
    file[at..at + 8].rotate_left(4);
    flip(&mut file, last_head, 28);
    let dead = layout.tables["blobs"].leaves[0];
    flip(&mut file, dead, 24);
    flip(&mut file, future, 12);
    flip(&mut file, level, 17);
    [order, last_head, future, level, dead].iter().for_each(|&page| reseal(&mut file, page));
    expected.extend([(order, "order of keys"), (dead, "bytes in the heap"), (future, "birth")]);
    expected.insert((last_head, "last head in the header"));
    expected.insert((level, "kind and level"));

    let report = check(&path, &file);
    let found = named(&report);
    assert_eq!(expected.difference(&found).collect::<Vec<_>>(), Vec::<&(u32, &str)>::new(), "{report}");
    // Beside these: counts of entries, in each table that lost some; the key that is outside of its range.
    assert!(found.difference(&expected).all(|(_, what)| *what == "range of keys"), "{report}");
    let counts = report.problems().iter().filter(|problem| problem.what == "entries in the tree").count();
    assert_eq!(counts, 5, "{report}");
    let text = report.to_string();
    assert!(text.contains(&format!("{} unaccounted pages", tree.leaves.len())), "{text}");
    assert!(text.contains(&format!("table {:?}", name(60))), "{text}");
    assert_eq!(report.more_problems(), 0);
}

#[test]
fn tables_in_the_rest_of_a_damaged_catalog_are_checked() {
    let (_folder, path) = scratch();
    let (sound, layout) = build(&path);
    let mut file = sound.clone();
    let (lost, before, behind) =
        (layout.catalog.leaves[1], layout.catalog.leaves[0], layout.catalog.leaves[2]);
    flip(&mut file, lost, 100);
    let table_of = |leaf: u32| {
        let entry = layout.catalog.entries.iter().find(|entry| entry.leaf == leaf).unwrap();
        &layout.tables[std::str::from_utf8(&entry.key).unwrap()]
    };
    let (first, other) = (table_of(before).leaves[0], table_of(behind).leaves[0]);
    flip(&mut file, first, 3000);
    flip(&mut file, other, 3000);
    let report = check(&path, &file);
    let found = named(&report);
    for page in [lost, first, other] {
        assert!(found.contains(&(page, "checksum")), "{page}: {report}");
    }
    assert_eq!(
        report.problems().iter().filter(|problem| problem.what == "use of pages").count(),
        1,
        "{report}"
    );
}

/// Changes the catalog's entry of a table.
fn forge_entry(file: &mut [u8], layout: &Layout, table: &str, change: impl FnOnce(&mut [u8])) {
    let entry = layout.catalog.entries.iter().find(|entry| entry.key == table.as_bytes()).unwrap();
    let page = &mut file[entry.leaf as usize * PAGE_SIZE..][..PAGE_SIZE];
    let at = page.windows(entry.value.len()).position(|bytes| bytes == entry.value).unwrap();
    change(&mut page[at..at + entry.value.len()]);
    reseal(file, entry.leaf);
}

#[test]
fn lost_pages_double_use_and_nonsense_in_the_catalog_are_named_each() {
    let (_folder, path) = scratch();
    let (sound, layout) = build(&path);
    let mut file = sound.clone();
    // A table forgets its only leaf; another takes a third one's.
    let [forgotten, taker, taken, nonsense] = [31, 32, 33, 34].map(name);
    let root = |table: &str| layout.tables[table].root.unwrap();
    forge_entry(&mut file, &layout, &forgotten, |entry| {
        entry[4] = 0;
        entry[8..16].fill(0);
    });
    forge_entry(&mut file, &layout, &taker, |entry| entry[..4].copy_from_slice(&root(&taken).to_le_bytes()));
    let report = check(&path, &file);
    let lost: Vec<u32> = report
        .problems()
        .iter()
        .filter(|problem| problem.found.contains("lost pages"))
        .filter_map(|problem| problem.page)
        .collect();
    let (a, b) = (root(&forgotten), root(&taker));
    assert!(lost == [a.min(b), a.max(b)] || (a.abs_diff(b) == 1 && lost == [a.min(b)]), "{report}");
    assert!(named(&report).contains(&(root(&taken), "references to a page")), "{report}");
    // With a page that cannot be read, what is lost is only counted.
    forge_entry(&mut file, &layout, &nonsense, |entry| entry[5] = 9);
    let report = check(&path, &file);
    let entry = layout.catalog.entries.iter().find(|entry| entry.key == nonsense.as_bytes()).unwrap();
    assert!(named(&report).contains(&(entry.leaf, "catalog entry")), "{report}");
    assert!(report.to_string().contains("3 unaccounted pages"), "{report}");
}

/// Each page is visited once, whatever the catalog says: so a file cannot make a check last long.
#[test]
fn trees_that_share_pages_are_walked_once() {
    let (_folder, path) = scratch();
    let (sound, layout) = build(&path);
    let before = check(&path, &sound);
    let mut file = sound.clone();
    let root = layout.tables[&name(0)].root.unwrap();
    let takers: Vec<u64> = (1..180).filter(|number| number % 20 != 0).collect();
    for &taker in &takers {
        forge_entry(&mut file, &layout, &name(taker), |entry| {
            entry[..4].copy_from_slice(&root.to_le_bytes());
            entry[4] = 2;
        });
    }
    let report = check(&path, &file);
    let shared = report.problems().iter().filter(|problem| problem.what == "references to a page");
    assert_eq!(shared.filter(|problem| problem.page == Some(root)).count(), takers.len(), "{report}");
    assert_eq!(report.counts().leaves, before.counts().leaves - takers.len() as u32, "theirs are lost");
}

#[test]
fn very_many_problems_are_counted() {
    const WIDE: Table<u64, [u8]> = Table::new("wide");
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    db.update(|tx| (0..2500).try_for_each(|key| tx.table(&WIDE)?.insert(key, vec![1; 1500]).map(drop)))
        .unwrap();
    for round in 0..2 {
        db.update(|tx| tx.table(&CONFIG)?.insert("round", round)).unwrap();
    }
    drop(db);
    let mut file = fs::read(&path).unwrap();
    let leaves = layouts(&file, PAGE_SIZE)[0].tables["wide"].leaves.clone();
    assert!(leaves.len() > 1100);
    for &leaf in &leaves {
        flip(&mut file, leaf, 2000);
    }
    let report = check(&path, &file);
    assert_eq!(report.problems().len(), 1000);
    assert_eq!(report.more_problems(), leaves.len() as u64 + 1 - 1000, "and the count of entries");
    let text = report.to_string();
    assert!(text.contains(&format!("and {} more\n", report.more_problems())), "{text}");
    assert!(text.ends_with(&format!("{} problems", leaves.len() + 1)));
    assert!(!report.is_clean());
}
