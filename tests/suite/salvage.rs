//! Rescuing damaged files. Each test knows, from the format and without the library, which page held what: so it knows
//! what must be rescued, and what must not appear.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::common::format::{Layout, Tree, layouts};
use crate::common::{Random, Replay, assert_clean, child, child_task, is_long, scratch, seeds};
use mapleaf::{
    Db, Durability, Error, SalvageOptions, SalvageReport, Table, TransactionId, salvage, salvage_with,
};

const WORDS: Table<str, str> = Table::new("words");
const NUMBERS: Table<u64, u64> = Table::new("numbers");
const BLOBS: Table<u64, [u8]> = Table::new("blobs");
const NOTES: Table<str, str> = Table::new("notes");
const CONFIG: Table<str, u64> = Table::new("config");
const EMPTY: Table<str, str> = Table::new("empty");

const PAGE_SIZE: usize = 4096;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;
type Contents = BTreeMap<String, Pairs>;

/// All pairs that were ever in each table.
type History = BTreeMap<String, BTreeSet<(Vec<u8>, Vec<u8>)>>;

/// A sound database, and what was ever in it.
struct Sample {
    file: Vec<u8>,
    /// States of the two meta pages, newest first.
    layouts: Vec<Layout>,
    ever: History,
}

impl Sample {
    fn newest(&self) -> &Layout {
        &self.layouts[0]
    }
}

fn word(number: u64) -> String {
    format!("word {:05} {}", number, "x".repeat(number as usize % 23))
}

/// Several tables, several commits that change and remove, and two small ones at the end, so that no record lists pages
/// of the large tables: damage of a listed page looks like a commit that was cut short.
fn build(path: &Path, page_size: usize) -> History {
    let mut ever = History::new();
    let db = Db::options().page_size(page_size).open(path).unwrap();
    let mut random = Random::new(5);
    for round in 0..5u64 {
        db.update(|tx| {
            let (mut words, mut numbers) = (tx.table(&WORDS)?, tx.table(&NUMBERS)?);
            let (mut blobs, mut notes) = (tx.table(&BLOBS)?, tx.table(&NOTES)?);
            tx.table(&EMPTY)?;
            for _ in 0..if round == 0 { 6000 } else { 200 } {
                let number = random.next() % 5000;
                words.insert(word(number).as_str(), format!("{number} of {round}").as_str())?;
                notes.insert(word(number / 7).as_str(), format!("note {number} of {round}").as_str())?;
                numbers.insert(number * 3, number << round)?;
            }
            for number in 0..40 {
                let length = random.below(4 * page_size);
                blobs.insert(random.next() % 100, random.bytes(length))?;
                words.remove(word(number * 100 + round).as_str())?;
                numbers.remove(300 * number + 3 * round)?;
            }
            numbers.remove_range(round * 900..round * 900 + 200)?;
            Ok(())
        })
        .unwrap();
        note_all(&db, &mut ever);
    }
    // Many small ones: the free log gets pages, and there are old copies of many pages.
    for round in 0..400u64 {
        let (key, value) = (word(random.next() % 5000), format!("late, {round}"));
        let tx = db.write().unwrap();
        tx.table(&WORDS).unwrap().insert(key.as_str(), value.as_str()).unwrap();
        tx.commit_with(Durability::Lazy).unwrap();
        ever.entry("words".into()).or_default().insert((key.into(), value.into()));
    }
    for round in 0..3 {
        db.update(|tx| tx.table(&CONFIG)?.insert("round", round)).unwrap();
        note_all(&db, &mut ever);
    }
    ever
}

fn note_all(db: &Db, ever: &mut History) {
    for (table, pairs) in contents(db) {
        ever.entry(table).or_default().extend(pairs);
    }
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let (_folder, path) = scratch();
        let ever = build(&path, PAGE_SIZE);
        let file = fs::read(&path).unwrap();
        let layouts = layouts(&file, PAGE_SIZE);
        assert_eq!(layouts.len(), 2);
        let newest = &layouts[0];
        for table in ["words", "numbers", "notes"] {
            assert!(newest.tables[table].branches.len() == 1 && newest.tables[table].leaves.len() > 5);
        }
        Sample { file, layouts, ever }
    })
}

/// The encoding of a `u64` as a key: big-endian.
fn key_of(number: u64) -> Vec<u8> {
    number.to_le_bytes().into_iter().rev().collect()
}

/// All entries of all tables, encoded.
fn contents(db: &Db) -> Contents {
    let rx = db.read().unwrap();
    let mut contents = Contents::new();
    for info in rx.tables().unwrap() {
        let name = info.name.clone();
        let pairs: Pairs = match (&info.key_type[..], &info.value_type[..]) {
            ("str", "str") => {
                let table = rx.table(&Table::<str, str>::new(&name)).unwrap();
                table
                    .iter()
                    .map(|entry| entry.unwrap())
                    .map(|(k, v)| (k.as_bytes().to_vec(), v.into()))
                    .collect()
            }
            ("str", "u64") => {
                let table = rx.table(&Table::<str, u64>::new(&name)).unwrap();
                let pair = |(k, v): (mapleaf::KeyStr, u64)| (k.as_bytes().to_vec(), v.to_le_bytes().to_vec());
                table.iter().map(|entry| pair(entry.unwrap())).collect()
            }
            ("u64", "u64") => {
                let table = rx.table(&Table::<u64, u64>::new(&name)).unwrap();
                let pair = |(k, v): (u64, u64)| (key_of(k), v.to_le_bytes().to_vec());
                table.iter().map(|entry| pair(entry.unwrap())).collect()
            }
            ("u64", "bytes") => {
                let table = rx.table(&Table::<u64, [u8]>::new(&name)).unwrap();
                table.iter().map(|entry| entry.unwrap()).map(|(k, v)| (key_of(k), v.to_vec())).collect()
            }
            ("str", "bytes") => {
                let table = rx.table(&Table::<str, [u8]>::new(&name)).unwrap();
                let pair = |(k, v): (mapleaf::KeyStr, &[u8])| (k.as_bytes().to_vec(), v.to_vec());
                table.iter().map(|entry| pair(entry.unwrap())).collect()
            }
            ("bytes", "bytes") => {
                let table = rx.table(&Table::<[u8], [u8]>::new(&name)).unwrap();
                table.iter().map(|entry| entry.unwrap()).map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(pairs.len() as u64, info.entries);
        contents.insert(name, pairs);
    }
    contents
}

/// What was rescued.
struct Rescued {
    report: SalvageReport,
    contents: Contents,
}

/// Salvages `file`; it is not changed, nothing is left beside the new database, and that is clean.
#[track_caller]
fn rescue(file: &[u8]) -> Rescued {
    rescue_with(file, &SalvageOptions::default())
}

#[track_caller]
fn rescue_with(file: &[u8], options: &SalvageOptions) -> Rescued {
    let (folder, path) = scratch();
    fs::write(&path, file).unwrap();
    let new_path = folder.path().join("rescued.mapleaf");
    let report = salvage_with(&path, &new_path, options).unwrap();
    assert!(fs::read(&path).unwrap() == file, "the damaged file was changed");
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["data.mapleaf", "rescued.mapleaf"]);
    let db = Db::open(&new_path).unwrap();
    assert_clean(&db);
    assert_eq!(db.page_size(), report.page_size);
    let contents = contents(&db);
    for table in &report.tables {
        assert_eq!(contents[&table.name].len() as u64, table.entries, "{}", table.name);
    }
    assert!(!report.to_string().is_empty());
    Rescued { report, contents }
}

impl Rescued {
    fn is_extra(name: &str) -> bool {
        name.starts_with("lost+found/")
    }

    /// Whether the pair is in an extra table.
    fn is_in_lost_and_found(&self, key: &[u8], value: &[u8]) -> bool {
        let mut extra = self.contents.iter().filter(|(name, _)| Rescued::is_extra(name));
        extra.any(|(_, pairs)| pairs.get(key).is_some_and(|found| found == value))
    }

    /// Everything on good pages is there; in its own table if `is_strict`.
    #[track_caller]
    fn assert_has_all_on_good_pages(&self, layout: &Layout, damaged: &BTreeSet<u32>, is_strict: bool) {
        let is_good = |page: u32| !damaged.contains(&page);
        for (name, tree) in &layout.tables {
            let mut rescued = 0;
            for entry in &tree.entries {
                let run = entry.run.map_or(0..0, |(first, count)| first..first + count);
                if !is_good(entry.leaf) || !run.into_iter().all(is_good) {
                    continue;
                }
                let own = self.contents.get(name).and_then(|pairs| pairs.get(&entry.key));
                let is_there = own.is_some_and(|value| *value == entry.value)
                    || (!is_strict && self.is_in_lost_and_found(&entry.key, &entry.value));
                let key = entry.key.escape_ascii();
                assert!(is_there, "{name}: {key} of leaf {} is lost\n{}", entry.leaf, self.report);
                rescued += 1;
            }
            if is_strict {
                let found = self.contents.get(name).map_or(0, Pairs::len);
                assert_eq!(found, rescued, "{name} has what was not there\n{}", self.report);
            }
        }
        if is_strict {
            assert!(self.contents.keys().eq(layout.tables.keys()), "{:?}", self.contents.keys());
        }
    }

    /// Nothing is there that was not in this state.
    #[track_caller]
    fn assert_has_nothing_else(&self, layout: &Layout) {
        let pairs = |tree: &Tree| -> BTreeSet<(Vec<u8>, Vec<u8>)> {
            tree.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
        };
        let of_tables: BTreeMap<&String, _> =
            layout.tables.iter().map(|(name, tree)| (name, pairs(tree))).collect();
        for (name, found) in &self.contents {
            for pair in found.clone() {
                let was_there = match of_tables.get(name) {
                    Some(pairs) => pairs.contains(&pair),
                    None => Rescued::is_extra(name) && of_tables.values().any(|pairs| pairs.contains(&pair)),
                };
                assert!(was_there, "{name}: {} was not there\n{}", pair.0.escape_ascii(), self.report);
            }
        }
    }

    /// Nothing is there that was never in its table.
    #[track_caller]
    fn assert_has_nothing_that_never_was(&self, sample: &Sample) {
        for (name, found) in &self.contents {
            for pair in found.clone() {
                let was_ever = match sample.ever.get(name) {
                    Some(pairs) => pairs.contains(&pair),
                    None => {
                        Rescued::is_extra(name) && sample.ever.values().any(|pairs| pairs.contains(&pair))
                    }
                };
                assert!(was_ever, "{name}: {} was never there\n{}", pair.0.escape_ascii(), self.report);
            }
        }
    }

    /// The state that was taken.
    fn layout<'a>(&self, sample: &'a Sample) -> &'a Layout {
        let id = self.report.transaction.expect("the state is known");
        sample.layouts.iter().find(|layout| layout.id == id.get()).expect("one of the meta pages")
    }
}

fn spoil(file: &mut [u8], page_size: usize, number: u32, random: &mut Random) {
    let page = &mut file[number as usize * page_size..][..page_size];
    match random.below(4) {
        0 => page.fill(0),
        1 => page[random.below(page_size)] ^= 1 << random.below(8),
        2 => page.copy_from_slice(&random.bytes(page_size)),
        _ => page[page_size / 2..].fill(0xff), // a store that was torn
    }
}

fn damaged(pages: &[u32]) -> (Vec<u8>, BTreeSet<u32>) {
    let mut file = sample().file.clone();
    for &number in pages {
        file[number as usize * PAGE_SIZE + 100] ^= 0x55;
    }
    (file, pages.iter().copied().collect())
}

#[test]
fn a_sound_file_is_rescued_as_it_is() {
    for page_size in [4096, 16384, 65536] {
        let (_folder, path) = scratch();
        build(&path, page_size);
        let file = fs::read(&path).unwrap();
        let layout = &layouts(&file, page_size)[0];
        let rescued = rescue(&file);
        rescued.assert_has_all_on_good_pages(layout, &BTreeSet::new(), true);
        assert!(rescued.report.is_complete(), "{}", rescued.report);
        assert_eq!(
            (rescued.report.page_size, rescued.report.transaction),
            (page_size, Some(TransactionId::new(layout.id)))
        );
        assert_eq!(rescued.report.problems(), []);
        let types = |name: &str| {
            let table = rescued.report.tables.iter().find(|table| table.name == name).unwrap();
            (table.key_type.clone(), table.value_type.clone(), table.lost())
        };
        assert_eq!(types("numbers"), ("u64".into(), "u64".into(), Some(0)));
        assert_eq!(types("empty"), ("str".into(), "str".into(), Some(0)));
        let text = rescued.report.to_string();
        assert!(text.contains("all of them") && text.contains("0 pages could not be read"), "{text}");
    }
}

#[test]
fn a_damaged_leaf_costs_its_own_entries() {
    let layout = sample().newest();
    for table in ["words", "numbers", "notes", "blobs"] {
        let tree = &layout.tables[table];
        let leaf = tree.leaves[tree.leaves.len() / 2];
        let (file, pages) = damaged(&[leaf]);
        let rescued = rescue(&file);
        rescued.assert_has_all_on_good_pages(layout, &pages, true);
        let report = &rescued.report;
        assert!(!report.is_complete());
        assert_eq!((report.damaged_pages, report.problems().len()), (1, 1));
        assert_eq!(report.problems()[0].page, Some(leaf));
        let found = report.tables.iter().find(|found| found.name == table).unwrap();
        let lost = tree.entries.iter().filter(|entry| entry.leaf == leaf).count() as u64;
        assert_eq!(found.lost(), Some(lost));
        assert!(report.to_string().contains(&format!("{lost} lost")), "{report}");
    }
}

#[test]
fn a_damaged_branch_costs_nothing() {
    let layout = sample().newest();
    for table in ["words", "numbers", "notes"] {
        let tree = &layout.tables[table];
        let (file, pages) = damaged(&[tree.branches[0].0]);
        let rescued = rescue(&file);
        rescued.assert_has_all_on_good_pages(layout, &pages, true);
        assert_eq!(rescued.report.orphans_attributed, tree.leaves.len() as u64);
        assert_eq!(rescued.report.has_free_log, Some(true));
        assert_eq!(rescued.report.orphans_unattributed + rescued.report.orphans_left_out, 0);
    }
}

#[test]
fn two_tables_without_branches_are_told_apart_by_their_types_or_not_at_all() {
    let layout = sample().newest();
    let branch = |table: &str| layout.tables[table].branches[0].0;
    let (file, pages) = damaged(&[branch("words"), branch("numbers")]);
    rescue(&file).assert_has_all_on_good_pages(layout, &pages, true);

    // Both from text to text, and even of the same keys.
    let (file, pages) = damaged(&[branch("words"), branch("notes")]);
    let rescued = rescue(&file);
    rescued.assert_has_all_on_good_pages(layout, &pages, false);
    rescued.assert_has_nothing_else(layout);
    assert!(rescued.contents["words"].is_empty() && rescued.contents["notes"].is_empty());
    assert!(rescued.contents.keys().filter(|name| Rescued::is_extra(name)).count() >= 2);
    let leaves = layout.tables["words"].leaves.len() + layout.tables["notes"].leaves.len();
    assert_eq!(rescued.report.orphans_unattributed, leaves as u64);
    assert!(rescued.report.to_string().contains("lost+found/1"));
}

#[test]
fn a_damaged_large_value_is_lost_by_name() {
    let layout = sample().newest();
    let tree = &layout.tables["blobs"];
    let runs: Vec<_> = tree.entries.iter().filter(|entry| entry.run.is_some()).collect();
    for (entry, at_end) in [(runs[0], false), (runs[runs.len() / 2], true)] {
        let (first, count) = entry.run.unwrap();
        let (file, pages) = damaged(&[if at_end { first + count - 1 } else { first }]);
        let rescued = rescue(&file);
        rescued.assert_has_all_on_good_pages(layout, &pages, true);
        let lost = rescued.report.lost_entries();
        assert_eq!(lost.len(), 1);
        assert_eq!((&lost[0].table[..], &lost[0].key[..]), ("blobs", &entry.key[..]));
        assert!(lost[0].problem.contains(&format!("page {first}")), "{}", lost[0].problem);
        assert!(!rescued.report.is_complete());
    }
}

#[test]
fn a_damaged_newest_catalog_costs_no_entry() {
    let sample = sample();
    let (file, pages) = damaged(&[sample.newest().catalog.root.unwrap()]);
    let rescued = rescue(&file);
    assert_eq!(rescued.report.transaction, Some(TransactionId::new(sample.newest().id)));
    rescued.assert_has_all_on_good_pages(sample.newest(), &pages, false);
}

/// What has been committed since the checkpoint is in the log only, as far as the trees' pages matter.
#[test]
fn transactions_of_the_log_are_made_again() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let expected = {
        db.update(|tx| {
            (0..500u64).try_for_each(|number| tx.table(&NUMBERS)?.insert(number, number).map(drop))
        })
        .unwrap();
        db.checkpoint().unwrap();
        db.update(|tx| tx.table(&NUMBERS)?.remove_range(100..200)).unwrap();
        db.update(|tx| tx.table(&CONFIG)?.insert("late", 1)).unwrap();
        let tx = db.write().unwrap();
        tx.table(&NUMBERS).unwrap().insert(7, 77).unwrap();
        tx.commit_with(Durability::Lazy).unwrap();
        contents(&db)
    };
    let rescued = rescue(&fs::read(&path).unwrap());
    assert_eq!(rescued.report.replayed_transactions, 3);
    assert!(rescued.report.to_string().contains("3 later transactions"), "{}", rescued.report);
    assert!(rescued.contents == expected);
}

#[test]
fn without_catalogs_tables_are_found_by_their_roots_and_named_by_older_copies() {
    let sample = sample();
    let catalogs: Vec<u32> = sample.layouts.iter().map(|layout| layout.catalog.root.unwrap()).collect();
    let (mut file, mut pages) = damaged(&catalogs);
    let rescued = rescue(&file);
    rescued.assert_has_all_on_good_pages(sample.newest(), &pages, false);
    rescued.assert_has_nothing_else(sample.newest());
    assert_eq!(rescued.report.has_free_log, Some(true));
    for number in 2..sample.newest().length_pages {
        let is_catalog = |file: &[u8]| {
            let page = &file[number as usize * PAGE_SIZE..][..PAGE_SIZE];
            page[16] == 1 && page.windows(7).any(|bytes| bytes == b"strbyte" || bytes == b"u64u64\0")
        };
        if is_catalog(&file) {
            spoil(&mut file, PAGE_SIZE, number, &mut Random::new(1));
            pages.insert(number);
        }
    }
    let rescued = rescue(&file);
    rescued.assert_has_all_on_good_pages(sample.newest(), &pages, false);
}

#[test]
fn without_records_the_newest_catalog_is_found() {
    for page_size in [4096, 8192, 65536] {
        let (_folder, path) = scratch();
        build(&path, page_size);
        let mut file = fs::read(&path).unwrap();
        let layout = &layouts(&file, page_size)[0];
        file[..2 * page_size].fill(0xaa);
        for options in [SalvageOptions::default(), SalvageOptions::default().page_size(page_size)] {
            let rescued = rescue_with(&file, &options);
            rescued.assert_has_all_on_good_pages(layout, &BTreeSet::new(), true);
            let report = &rescued.report;
            assert_eq!((report.transaction, report.has_meta), (Some(TransactionId::new(layout.id)), false));
            assert!(!report.is_complete() && report.to_string().contains("no good meta page"), "{report}");
        }
    }
}

#[test]
fn without_records_and_a_branch_leaves_are_found_and_nothing_is_made_up() {
    let sample = sample();
    for table in ["words", "numbers", "notes"] {
        let (mut file, pages) = damaged(&[sample.newest().tables[table].branches[0].0]);
        file[..2 * PAGE_SIZE].fill(0);
        let rescued = rescue(&file);
        rescued.assert_has_all_on_good_pages(sample.newest(), &pages, false);
        rescued.assert_has_nothing_that_never_was(sample);
        assert_eq!(rescued.report.has_free_log, Some(false));
        for (name, tree) in &sample.newest().tables {
            if name != table {
                assert_eq!(rescued.contents[name].len(), tree.entries.len(), "{name} is untouched");
            }
        }
    }
}

/// Where it is not known which pages are in use, old copies of leaves are found too: the youngest leaf is believed for
/// all keys from its first to its last, what it has not was removed.
#[test]
fn old_copies_of_leaves_bring_nothing_back() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let mut random = Random::new(8);
    db.update(|tx| (0..3000).try_for_each(|n| tx.table(&WORDS)?.insert(word(n).as_str(), "first").map(drop)))
        .unwrap();
    for round in 0..300u64 {
        let tx = db.write().unwrap();
        let mut words = tx.table(&WORDS).unwrap();
        words.insert(word(random.next() % 3000).as_str(), format!("{round}").as_str()).unwrap();
        words.remove(word(random.next() % 3000).as_str()).unwrap();
        drop(words);
        tx.commit_with(Durability::Lazy).unwrap();
    }
    drop(db);
    let mut file = fs::read(&path).unwrap();
    let layout = layouts(&file, PAGE_SIZE).remove(0);
    let tree = &layout.tables["words"];
    let root = tree.branches[0].0;
    spoil(&mut file, PAGE_SIZE, root, &mut random);
    file[..2 * PAGE_SIZE].fill(0);
    let rescued = rescue(&file);
    assert!(
        rescued.report.orphans_attributed > tree.leaves.len() as u64,
        "there are old copies\n{}",
        rescued.report
    );
    let found = &rescued.contents["words"];
    for entry in &tree.entries {
        assert_eq!(found.get(&entry.key), Some(&entry.value), "{}", entry.key.escape_ascii());
    }
    let live: BTreeSet<&Vec<u8>> = tree.entries.iter().map(|entry| &entry.key).collect();
    let mut brought_back = 0;
    for key in found.keys().filter(|key| !live.contains(key)) {
        let is_within = |leaf: &u32| {
            let mut keys = tree.entries.iter().filter(|entry| entry.leaf == *leaf).map(|entry| &entry.key);
            let first = keys.next().unwrap();
            first <= key && key <= keys.next_back().unwrap_or(first)
        };
        assert!(!tree.leaves.iter().any(is_within), "{} was removed", key.escape_ascii());
        brought_back += 1;
    }
    assert!(brought_back <= 2 * tree.leaves.len(), "at most some between two leaves: {brought_back}");
}

#[test]
fn without_records_and_catalog_something_is_still_rescued() {
    let sample = sample();
    let (mut file, pages) = damaged(&[sample.newest().catalog.root.unwrap()]);
    file[..2 * PAGE_SIZE].fill(0);
    let rescued = rescue(&file);
    rescued.assert_has_all_on_good_pages(sample.newest(), &pages, false);
    rescued.assert_has_nothing_that_never_was(sample);
}

#[test]
fn a_damaged_free_log_matters_only_with_lost_branches() {
    let sample = sample();
    let layout = sample.newest();
    let mut file = sample.file.clone();
    assert!(!layout.log_pages.is_empty());
    let mut pages: BTreeSet<u32> = layout.log_pages.iter().copied().collect();
    for &number in &pages {
        spoil(&mut file, PAGE_SIZE, number, &mut Random::new(2));
    }
    rescue(&file).assert_has_all_on_good_pages(layout, &pages, true);
    let branch = layout.tables["numbers"].branches[0].0;
    spoil(&mut file, PAGE_SIZE, branch, &mut Random::new(2));
    pages.insert(branch);
    let rescued = rescue(&file);
    assert_eq!(rescued.report.has_free_log, Some(false));
    rescued.assert_has_all_on_good_pages(layout, &pages, false);
    rescued.assert_has_nothing_that_never_was(sample);
}

#[test]
fn a_file_cut_short_or_with_garbage_behind_it() {
    let sample = sample();
    let layout = sample.newest();
    let whole = sample.file.len();
    for length in [whole / 2, whole / 3 + 1234, whole - 1, 8 * PAGE_SIZE] {
        let cut: BTreeSet<u32> = ((length / PAGE_SIZE) as u32..layout.length_pages).collect();
        let rescued = rescue(&sample.file[..length]);
        let layout = rescued.report.transaction.map_or(layout, |_| rescued.layout(sample));
        rescued.assert_has_all_on_good_pages(layout, &cut, false);
        rescued.assert_has_nothing_that_never_was(sample);
        assert!(Db::open(write_scratch(&sample.file[..length]).1).is_err(), "{length}: it cannot be opened");
    }
    for surplus in [1, 4095, 100_001] {
        let mut longer = sample.file.clone();
        longer.extend(Random::new(9).bytes(surplus));
        rescue(&longer).assert_has_all_on_good_pages(layout, &BTreeSet::new(), true);
    }
}

fn write_scratch(file: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = scratch();
    fs::write(&path, file).unwrap();
    (folder, path)
}

#[test]
fn random_damage() {
    let sample = sample();
    for seed in seeds(60, 3000) {
        let _replay = Replay { test: "--test suite salvage::random_damage", seed };
        let mut random = Random::new(seed);
        let mut file = sample.file.clone();
        let page_count = file.len() / PAGE_SIZE;
        let mut pages = BTreeSet::new();
        for _ in 0..1 + random.below(12) {
            let number = 2 + random.below(page_count - 2) as u32;
            if random.one_in(4) {
                let other = 2 + random.below(page_count - 2) as u32;
                let (from, to) = (number as usize * PAGE_SIZE, other as usize * PAGE_SIZE);
                file.copy_within(from..from + PAGE_SIZE, to); // a store that went astray
                pages.insert(other);
            } else {
                spoil(&mut file, PAGE_SIZE, number, &mut random);
                pages.insert(number);
            }
        }
        pages.retain(|&number| {
            let range = number as usize * PAGE_SIZE..(number as usize + 1) * PAGE_SIZE;
            file[range.clone()] != sample.file[range]
        });
        let loses_metas = random.one_in(3);
        if loses_metas {
            file[..2 * PAGE_SIZE].fill(0);
        }
        let rescued = rescue(&file);
        rescued.assert_has_nothing_that_never_was(sample);
        if !loses_metas {
            let layout = rescued.layout(sample);
            rescued.assert_has_all_on_good_pages(layout, &pages, false);
            if rescued.report.has_free_log != Some(false) {
                rescued.assert_has_nothing_else(layout);
            }
        } else {
            rescued.assert_has_all_on_good_pages(sample.newest(), &pages, false);
        }
    }
}

#[test]
fn each_page_in_turn() {
    let sample = sample();
    let (step, first) = if is_long() { (1, 2) } else { (5, 2 + sample.file.len() % 5) };
    for number in (first as u32..sample.newest().length_pages).step_by(step) {
        let (file, pages) = damaged(&[number]);
        let rescued = rescue(&file);
        let layout = rescued.layout(sample);
        assert_eq!(layout.id, sample.newest().id, "page {number}");
        let is_catalog = layout.catalog.leaves.contains(&number);
        rescued.assert_has_all_on_good_pages(layout, &pages, !is_catalog);
    }
}

/// Makes the checksum of a page right again.
fn reseal(file: &mut [u8], number: u32) {
    let page = &mut file[number as usize * PAGE_SIZE..][..PAGE_SIZE];
    let sum = crc32fast::hash(&page[4..]);
    page[..4].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn forged_pages_are_no_panic_and_no_endless_loop() {
    let sample = sample();
    for seed in seeds(60, 3000) {
        let _replay = Replay { test: "--test suite salvage::forged_pages", seed };
        let mut random = Random::new(seed);
        let mut file = sample.file.clone();
        let page_count = file.len() / PAGE_SIZE;
        let mut targets: Vec<u32> =
            sample.newest().tables.values().flat_map(|tree| tree.branches.iter().map(|it| it.0)).collect();
        targets.extend(sample.newest().catalog.root);
        for _ in 0..1 + random.below(6) {
            let number = if random.one_in(2) {
                *random.pick(&targets)
            } else {
                2 + random.below(page_count - 2) as u32
            };
            for _ in 0..1 + random.below(4) {
                let reach = if random.one_in(2) { 200 } else { PAGE_SIZE };
                let at = number as usize * PAGE_SIZE + random.below(reach);
                file[at] = *random.pick(&[0, 1, 2, 0x7f, 0x80, 0xff, file[at].wrapping_add(1)]);
            }
            reseal(&mut file, number);
        }
        if random.one_in(3) {
            file[..2 * PAGE_SIZE].fill(0);
        }
        let (folder, path) = write_scratch(&file);
        let new_path = folder.path().join("rescued");
        drop(salvage(&path, &new_path).unwrap());
        assert_clean(&Db::open(&new_path).unwrap());
    }
}

#[test]
fn deep_trees() {
    // Long keys make branches small, and the tree high.
    const LONG: Table<str, [u8]> = Table::new("long");
    let (_folder, path) = scratch();
    let key = |number: u64| format!("{:04}{}{}", number / 4, "k".repeat(700), number % 4);
    let db = Db::open(&path).unwrap();
    let mut random = Random::new(3);
    for round in 0..4 {
        db.update(|tx| {
            let mut long = tx.table(&LONG)?;
            for _ in 0..800 {
                long.insert(key(random.next() % 1500).as_str(), vec![round; 1200])?;
            }
            Ok(())
        })
        .unwrap();
    }
    for round in 0..2 {
        db.update(|tx| tx.table(&CONFIG)?.insert("round", round)).unwrap();
    }
    drop(db);
    let sound = fs::read(&path).unwrap();
    let layout = &layouts(&sound, PAGE_SIZE)[0];
    let branches = &layout.tables["long"].branches;
    assert!(branches[0].1 >= 3, "four levels");
    for level in 1..=branches[0].1 {
        let mut file = sound.clone();
        let of_level: Vec<u32> = branches.iter().filter(|it| it.1 == level).map(|it| it.0).collect();
        let pages: BTreeSet<u32> = of_level.iter().copied().step_by(2).collect();
        for &number in &pages {
            spoil(&mut file, PAGE_SIZE, number, &mut random);
        }
        let rescued = rescue(&file);
        rescued.assert_has_all_on_good_pages(layout, &pages, true);
        assert!(rescued.report.orphans_attributed > 0);
    }
}

#[test]
fn what_must_not_be_overwritten_is_refused() {
    let (folder, path) = write_scratch(&sample().file);
    let exists = |error: Error| match error {
        Error::Io { source, .. } => assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists),
        other => panic!("{other}"),
    };
    exists(salvage(&path, &path).unwrap_err());
    let other = folder.path().join("other");
    fs::write(&other, "precious").unwrap();
    exists(salvage(&path, &other).unwrap_err());
    assert_eq!(fs::read(&other).unwrap(), b"precious");
    for name in ["link", "link to nothing"] {
        let link = folder.path().join(name);
        let target = if name == "link" { path.clone() } else { folder.path().join("nothing") };
        std::os::unix::fs::symlink(target, &link).unwrap();
        exists(salvage(&path, &link).unwrap_err());
    }
    let new_path = folder.path().join("new");
    let missing = salvage(folder.path().join("missing"), &new_path).unwrap_err();
    assert!(matches!(missing, Error::Io { action: "open", .. }), "{missing}");
    let options = SalvageOptions::default().page_size(5000);
    assert!(matches!(salvage_with(&path, &new_path, &options), Err(Error::InvalidOption { .. })));
    assert!(fs::read(&path).unwrap() == sample().file);
}

#[test]
fn what_is_no_database_is_refused() {
    let mut random = Random::new(1);
    for bytes in [Vec::new(), b"text\n".repeat(5000), vec![0; 100_000], random.bytes(300_000)] {
        let (folder, path) = write_scratch(&bytes);
        let error = salvage(&path, folder.path().join("new")).unwrap_err();
        assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    // Of another page size than was asked for.
    let (folder, path) = write_scratch(&sample().file);
    let options = SalvageOptions::default().page_size(8192);
    let error = salvage_with(&path, folder.path().join("new"), &options).unwrap_err();
    assert!(matches!(error, Error::PageSizeMismatch { requested: 8192, found: 4096 }), "{error}");
    let mut without_records = sample().file.clone();
    without_records[..2 * PAGE_SIZE].fill(0);
    fs::write(&path, &without_records).unwrap();
    let error = salvage_with(&path, folder.path().join("new"), &options).unwrap_err();
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let mut newer = sample().file.clone();
    newer[16] = 7;
    let length = u32::from_le_bytes(newer[12..16].try_into().unwrap()) as usize;
    let sum = crc32fast::hash(&newer[12..length]);
    newer[8..12].copy_from_slice(&sum.to_le_bytes());
    let (folder, path) = write_scratch(&newer);
    let error = salvage(&path, folder.path().join("new")).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found: 7, .. }), "{error}");
}

#[test]
fn a_database_that_is_open_is_refused() {
    let (folder, path) = write_scratch(&sample().file);
    let new_path = folder.path().join("new");
    let db = Db::open(&path).unwrap();
    assert!(matches!(salvage(&path, &new_path), Err(Error::InUse { .. })));
    let tx = db.write().unwrap();
    assert!(matches!(salvage(&path, &new_path), Err(Error::InUse { .. })));
    drop((tx, db));
    // A lock file full of nonsense does not matter.
    fs::write(folder.path().join("data.mapleaf-lock"), vec![0xff; 100_000]).unwrap();
    drop(salvage(&path, &new_path).unwrap());
    assert!(fs::read(folder.path().join("data.mapleaf-lock")).unwrap() == vec![0xff; 100_000]);
}

#[test]
fn a_file_that_may_only_be_read() {
    let (folder, path) = write_scratch(&sample().file);
    let sources = folder.path().join("sources");
    fs::create_dir(&sources).unwrap();
    fs::rename(&path, sources.join("data")).unwrap();
    let binary = folder.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    for (path, mode) in [
        (sources.join("data"), 0o444),
        (sources.clone(), 0o555),
        (folder.path().to_owned(), 0o777),
        (binary.clone(), 0o755),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    // Root may write anywhere: another user's process says what others meet.
    let mut child = match fs::OpenOptions::new().append(true).open(sources.join("data")) {
        Err(_) => child(concat!(module_path!(), "::a_file_that_may_only_be_read_child"), folder.path()),
        Ok(_) => {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
            command.args([
                "--exact",
                "salvage::a_file_that_may_only_be_read_child",
                "--ignored",
                "--nocapture",
            ]);
            command.env("MAPLEAF_CHILD", folder.path());
            command
        }
    };
    match child.output() {
        Err(error) => println!("skipped: no setpriv to become another user: {error}"),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("entries rescued"), "{text} {output:?}");
        }
    }
    fs::set_permissions(&sources, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
#[ignore = "run by a_file_that_may_only_be_read as another process"]
fn a_file_that_may_only_be_read_child() {
    let Some(folder) = child_task() else { return };
    let report = salvage(folder.join("sources/data"), folder.join("new")).unwrap();
    assert!(report.is_complete(), "{report}");
    println!("{report}");
}

/// How much is rescued when one page in a hundred is damaged, anywhere except in the meta pages; and when these are
/// too. `MAPLEAF_SALVAGE=FILE` says it of a database of your own, which must be sound and closed.
#[test]
fn one_page_in_a_hundred() {
    let file = match std::env::var_os("MAPLEAF_SALVAGE") {
        Some(path) => fs::read(path).unwrap(),
        None => sample().file.clone(),
    };
    let page_size = crate::common::format::u32_at(&file, 20) as usize;
    let layout = &layouts(&file, page_size)[0];
    let total: usize = layout.tables.values().map(|tree| tree.entries.len()).sum();
    let page_count = file.len() / page_size;
    for seed in seeds(4, 20) {
        let _replay = Replay { test: "--test suite salvage::one_page_in_a_hundred", seed };
        let mut random = Random::new(seed);
        let mut damaged_file = file.clone();
        let mut pages = BTreeSet::new();
        while pages.len() < page_count.div_ceil(100) {
            let number = 2 + random.below(page_count - 2) as u32;
            if pages.insert(number) {
                damaged_file[number as usize * page_size + random.below(page_size)] ^= 1;
            }
        }
        let is_good = |page: u32| !pages.contains(&page);
        let mut entries = layout.tables.values().flat_map(|tree| &tree.entries).collect::<Vec<_>>();
        entries.retain(|entry| {
            let run = entry.run.map_or(0..0, |(first, count)| first..first + count);
            is_good(entry.leaf) && run.into_iter().all(is_good)
        });
        for loses_metas in [false, true] {
            if loses_metas {
                damaged_file[..2 * page_size].fill(0);
            }
            let (folder, path) = write_scratch(&damaged_file);
            let start = std::time::Instant::now();
            let report = salvage(&path, folder.path().join("new")).unwrap();
            let time = start.elapsed();
            let is_extra = |name: &str| Rescued::is_extra(name);
            let rescued: u64 = report.tables.iter().map(|table| table.entries).sum();
            let extra: u64 = report.tables.iter().filter(|it| is_extra(&it.name)).map(|it| it.entries).sum();
            println!(
                "seed {seed}, {}: {} of {page_count} pages damaged; {} of {total} entries on good pages; \
                 {rescued} rescued, {extra} of them into lost+found, {} of {} leaves attributed, in {time:?}",
                if loses_metas { "no meta page" } else { "good meta page" },
                pages.len(),
                entries.len(),
                report.orphans_attributed,
                report.orphans_attributed + report.orphans_unattributed,
            );
            assert!(rescued >= entries.len() as u64, "{report}");
        }
    }
}
