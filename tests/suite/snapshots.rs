//! Named snapshots: what they have stays, whatever is written, closed, killed, copied and cut; and what they keep comes
//! back when they are dropped.
//!
//! `MAPLEAF_LONG=1` runs many more seeds; `MAPLEAF_SEED=N` runs one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::common::process::{self, until};
use crate::common::{Random, Replay, assert_clean, child, child_task, scratch, seeds};
use crate::savepoints::{NAMES, NUMBERS, State, state_of, table};
use mapleaf::admin::PageRole;
use mapleaf::{Db, Durability, Error, MultimapTable, ReadTxn, Result, WriteTxn, restore, salvage};

fn read_at(db: &Db, name: &str) -> State {
    state_of(&db.read_at(name).unwrap())
}

fn names_of(db: &Db) -> Vec<String> {
    db.snapshots().unwrap().into_iter().map(|info| info.name).collect()
}

fn change(tx: &WriteTxn, state: &mut State, random: &mut Random) {
    let name = *random.pick(&NAMES);
    if random.one_in(40) {
        assert_eq!(tx.drop_table(name).unwrap(), state.remove(name).is_some());
        return;
    }
    let mut table = tx.table(&table(name)).unwrap();
    let entries = state.entry(name.to_owned()).or_default();
    let key = random.below(200) as u64;
    match random.below(30) {
        0 => assert_eq!(table.clear().unwrap(), std::mem::take(entries).len() as u64),
        1 => {
            table.remove_range(key..key + 50).unwrap();
            entries.retain(|other, _| !(key..key + 50).contains(other));
        }
        _ => {
            let length = if random.one_in(10) { random.below(20_000) } else { random.below(300) };
            let value = random.bytes(length);
            table.insert(key, &value[..]).unwrap();
            entries.insert(key, value);
        }
    }
}

/// Names against clones of the state that they were given to.
#[test]
fn names_have_what_was_there_when_they_were_given() {
    for seed in seeds(6, 300) {
        let _replay = Replay { test: "--test suite snapshots::names_have_what", seed };
        let (_folder, path) = scratch();
        let mut random = Random::new(seed);
        let page_size = 4096 << random.below(2);
        let dirty_memory = *random.pick(&[0, 256 << 20]);
        let open = || Db::options().page_size(page_size).dirty_memory(dirty_memory).open(&path).unwrap();
        let mut db = open();
        let (mut state, mut named) = (State::new(), BTreeMap::<String, State>::new());
        let mut readers: Vec<(ReadTxn, State)> = Vec::new();
        for _ in 0..250 {
            let name = format!("name {}", random.below(6));
            match random.below(16) {
                0 => match db.create_snapshot(&name) {
                    Ok(_) => assert!(named.insert(name, state.clone()).is_none()),
                    Err(Error::SnapshotExists { name }) => assert!(named.contains_key(&name)),
                    Err(error) => panic!("{error}"),
                },
                1 => assert_eq!(db.drop_snapshot(&name).unwrap(), named.remove(&name).is_some()),
                2 => match db.read_at(&name) {
                    Ok(rx) => {
                        assert_eq!(state_of(&rx), named[&name]);
                        readers.push((rx, named[&name].clone()));
                    }
                    Err(Error::SnapshotNotFound { .. }) => assert!(!named.contains_key(&name)),
                    Err(error) => panic!("{error}"),
                },
                3 => {
                    let mut tx = db.write().unwrap();
                    let mut changed = state.clone();
                    (0..random.below(4)).for_each(|_| change(&tx, &mut changed, &mut random));
                    let savepoint = tx.savepoint().unwrap();
                    let before = changed.clone();
                    match tx.restore_snapshot(&name) {
                        Ok(()) => changed.clone_from(&named[&name]),
                        Err(Error::SnapshotNotFound { .. }) => assert!(!named.contains_key(&name)),
                        Err(error) => panic!("{error}"),
                    }
                    (0..random.below(4)).for_each(|_| change(&tx, &mut changed, &mut random));
                    if random.one_in(3) {
                        tx.rollback_to(&savepoint).unwrap();
                        changed = before;
                    }
                    if !random.one_in(3) {
                        tx.commit().unwrap();
                        state = changed;
                    }
                }
                4 if random.one_in(3) => {
                    readers.clear();
                    drop(db);
                    db = open();
                }
                5 if random.one_in(4) => drop(db.compact().unwrap()),
                6 if random.one_in(3) => db.checkpoint().unwrap(),
                7 => drop(readers.pop()),
                _ => {
                    let tx = db.write().unwrap();
                    (0..1 + random.below(30)).for_each(|_| change(&tx, &mut state, &mut random));
                    let durability = if random.one_in(2) { Durability::Lazy } else { Durability::Durable };
                    tx.commit_with(durability).unwrap();
                }
            }
            if random.one_in(10) {
                assert!(names_of(&db).iter().eq(named.keys()), "{:?}", names_of(&db));
                named.iter().for_each(|(name, then)| assert!(read_at(&db, name) == *then, "{name}"));
                readers.iter().for_each(|(rx, then)| assert!(state_of(rx) == *then));
                assert_eq!(state_of(&db.read().unwrap()), state);
                assert_clean(&db);
            }
        }
    }
}

fn fill(db: &Db, round: u64, durability: Durability) {
    let tx = db.write().unwrap();
    let mut numbers = tx.table(&NUMBERS).unwrap();
    for key in 0..300 {
        numbers.insert(key, vec![round as u8; 300]).unwrap();
    }
    drop(numbers);
    tx.commit_with(durability).unwrap();
}

#[track_caller]
fn assert_filled(rx: &ReadTxn, round: u64) {
    let numbers = rx.table(&NUMBERS).unwrap();
    assert_eq!(numbers.len(), 300);
    assert!(numbers.iter().all(|entry| entry.unwrap().1 == vec![round as u8; 300]), "{round}");
}

#[test]
fn what_a_name_keeps_is_not_used_again_and_comes_back() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    fill(&db, 1, Durability::Lazy);
    let first = db.create_snapshot("first").unwrap();
    fill(&db, 2, Durability::Durable);
    let second = db.create_snapshot("second").unwrap();
    assert!(first < second);
    for round in 3..60 {
        fill(&db, round, if round % 3 == 0 { Durability::Durable } else { Durability::Lazy });
        assert_filled(&db.read_at("first").unwrap(), 1);
        assert_filled(&db.read_at("second").unwrap(), 2);
    }
    let infos = db.snapshots().unwrap();
    assert_eq!(infos.iter().map(|info| info.transaction).collect::<Vec<_>>(), [first, second]);
    for info in &infos {
        assert!(
            info.own_pages >= 25 && info.own_pages <= info.pinned_pages && info.pinned_pages < 40,
            "{info:?}"
        );
        assert_eq!(info.pinned_bytes, u64::from(info.pinned_pages) * 4096);
    }
    db.checkpoint().unwrap();
    let stats = db.stats().unwrap();
    assert_eq!(stats.named_snapshots, 2);
    assert!(stats.named_snapshot_pages >= 50, "{stats:?}");
    // `check` counts them as needed, and knows them as retired.
    let mut needed = 0;
    let check = db.check_options().on_pages(|found, _| {
        needed +=
            if matches!(found.role, PageRole::Retired { is_needed: true, .. }) { found.count } else { 0 };
    });
    assert!(check.check().unwrap().is_clean());
    assert!(needed >= stats.named_snapshot_pages);

    // A reader of one keeps it until it ends, and its pages are not the reader's as long as the name lives.
    let rx = db.read_at("first").unwrap();
    assert_eq!(rx.id(), first);
    let pinned_by_reader = |db: &Db| {
        let readers = db.readers().unwrap();
        readers.iter().filter_map(|reader| reader.pinned_pages).max().unwrap_or(0)
    };
    assert_eq!(pinned_by_reader(&db), 0);
    assert!(db.drop_snapshot("first").unwrap());
    for round in 0..20 {
        fill(&db, round, Durability::Durable);
    }
    assert_filled(&rx, 1);
    assert!(pinned_by_reader(&db) >= 25);
    assert!(matches!(db.read_at("first"), Err(Error::SnapshotNotFound { .. })));
    drop(rx);
    assert!(db.drop_snapshot("second").unwrap());
    let length = |db: &Db| db.stats().unwrap().pages;
    let before = length(&db);
    fill(&db, 7, Durability::Durable);
    db.compact().unwrap();
    assert!(length(&db) < before / 2 + 32, "{} of {before} pages", length(&db));
    assert_eq!(db.stats().unwrap().named_snapshots, 0);
    assert_clean(&db);
}

#[test]
fn names_that_cannot_be_given_or_found_are_refused_and_the_transaction_goes_on() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    fill(&db, 1, Durability::Durable);
    let longest = "x".repeat(255);
    db.create_snapshot(&longest).unwrap();
    for name in [String::new(), "x".repeat(256)] {
        let length = name.len();
        let is_refused = |result: Result<()>| {
            assert!(
                matches!(result, Err(Error::SnapshotNameLength { length: found, limit: 255 }) if found == length)
            );
        };
        is_refused(db.create_snapshot(&name).map(drop));
        is_refused(db.drop_snapshot(&name).map(drop));
        is_refused(db.read_at(&name).map(drop));
        is_refused(db.write().unwrap().restore_snapshot(&name));
    }
    assert!(matches!(db.create_snapshot(&longest), Err(Error::SnapshotExists { .. })));
    assert!(!db.drop_snapshot("none").unwrap());
    assert!(matches!(db.read_at("none").map(drop), Err(Error::SnapshotNotFound { name }) if name == "none"));

    // Inside a write transaction of the same thread.
    let tx = db.write().unwrap();
    tx.table(&NUMBERS).unwrap().insert(1000, [1]).unwrap();
    assert!(matches!(db.create_snapshot("inner"), Err(Error::WriteInProgress)));
    assert!(matches!(db.drop_snapshot(&longest), Err(Error::WriteInProgress)));
    assert_eq!(names_of(&db), [&longest[..]]);
    assert_filled(&db.read_at(&longest).unwrap(), 1);
    assert!(matches!(tx.restore_snapshot("none"), Err(Error::SnapshotNotFound { .. })));
    let open = tx.table(&NUMBERS).unwrap();
    assert!(matches!(tx.restore_snapshot(&longest), Err(Error::TableInUse { name }) if name == "numbers"));
    drop(open);
    tx.commit().unwrap();
    assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().len(), 301);

    let reader = Db::options().read_only(true).open(&path).unwrap();
    assert!(matches!(reader.create_snapshot("two"), Err(Error::ReadOnly)));
    assert!(matches!(reader.drop_snapshot(&longest), Err(Error::ReadOnly)));
    assert_filled(&reader.read_at(&longest).unwrap(), 1);
    assert_eq!(names_of(&reader), [longest]);
}

#[test]
fn going_back_restores_tables_of_all_kinds_and_an_abort_undoes_it() {
    const TAGS: MultimapTable<u32, u64> = MultimapTable::new("tags");
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    let tx = db.write().unwrap();
    for value in 0..100 {
        tx.multimap(&TAGS).unwrap().insert(7, value).unwrap();
    }
    tx.table(&table("kept")).unwrap().insert(1, vec![1; 300_000]).unwrap();
    tx.table(&table("renamed")).unwrap().insert(2, [2]).unwrap();
    tx.table(&table("empty")).unwrap();
    tx.commit().unwrap();
    fill(&db, 1, Durability::Durable);
    db.create_snapshot("then").unwrap();
    let then = |db: &Db| {
        let rx = db.read().unwrap();
        assert_filled(&rx, 1);
        let names: Vec<String> = rx.tables().unwrap().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["empty", "kept", "numbers", "renamed", "tags"]);
        let tags = rx.multimap(&TAGS).unwrap();
        assert_eq!((tags.len().unwrap(), tags.len_of(7).unwrap()), (100, 100));
        assert_eq!(rx.table(&table("kept")).unwrap().get(1).unwrap().unwrap().len(), 300_000);
        assert_eq!(rx.table(&table("renamed")).unwrap().get(2).unwrap(), Some(&[2][..]));
        assert_clean(db);
    };
    then(&db);

    fill(&db, 2, Durability::Lazy);
    let tx = db.write().unwrap();
    tx.rename_table("renamed", "otherwise").unwrap();
    tx.multimap(&TAGS).unwrap().remove_all(7).unwrap();
    tx.drop_table("empty").unwrap();
    tx.table(&table("new")).unwrap().insert(3, [3]).unwrap();
    tx.commit().unwrap();
    let tx = db.write().unwrap();
    tx.restore_snapshot("then").unwrap();
    tx.abort();
    assert_filled(&db.read().unwrap(), 2);
    assert!(db.read().unwrap().table(&table("new")).is_ok());

    let base = db.read().unwrap();
    base.copy().to_path(path.with_extension("base")).unwrap();
    let written = db.stats().unwrap().written_bytes;
    db.update(|tx| tx.restore_snapshot("then")).unwrap();
    assert!(
        db.stats().unwrap().written_bytes - written < 300_000,
        "a table without changes is left as it is"
    );
    then(&db);

    // An increment since a transaction between the two has all of it.
    let mut increment = Vec::new();
    db.read().unwrap().copy().since(base.id()).to_writer(&mut increment).unwrap();
    let restored = path.with_extension("restored");
    restore(path.with_extension("base"), [&increment[..]], &restored).unwrap();
    then(&Db::open(&restored).unwrap());
    assert_eq!(names_of(&Db::open(&restored).unwrap()), Vec::<String>::new());

    drop((base, db));
    let db = Db::open(&path).unwrap();
    then(&db);
    assert_eq!(names_of(&db), ["then"]);
}

#[test]
fn going_back_to_a_name_that_fails_for_lack_of_room_can_be_undone() {
    let (_folder, path) = scratch();
    let db = Db::options().max_size(1 << 20).dirty_memory(0).open(&path).unwrap();
    let filled = |byte: u8, count: u64| {
        db.update(|tx| {
            let mut table = tx.table(&NUMBERS)?;
            table.clear()?;
            (0..count).try_for_each(|key| table.insert(key, vec![byte; 1000]).map(drop))
        })
    };
    filled(1, 400).unwrap();
    db.create_snapshot("then").unwrap();
    filled(2, 200).unwrap();
    let before = state_of(&db.read().unwrap());

    let mut tx = db.write().unwrap();
    tx.table(&table("other")).unwrap().insert(1, [1]).unwrap();
    let savepoint = tx.savepoint().unwrap();
    let restored = tx.restore_snapshot("then");
    assert!(matches!(restored, Err(Error::Full { .. })), "{restored:?}");
    tx.rollback_to(&savepoint).unwrap();
    tx.table(&table("other")).unwrap().insert(2, [2]).unwrap();
    tx.commit().unwrap();
    let mut after = state_of(&db.read().unwrap());
    assert_eq!(after.remove("other").unwrap().len(), 2);
    assert_eq!(after, before);
    assert_clean(&db);
}

#[test]
fn copies_and_rescued_files_have_no_names_and_a_copy_of_a_name_has_its_content() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    fill(&db, 1, Durability::Durable);
    db.create_snapshot("one").unwrap();
    fill(&db, 2, Durability::Durable);
    let to = |name: &str| path.with_extension(name);
    db.read().unwrap().copy().to_path(to("newest")).unwrap();
    let rx = db.read_at("one").unwrap();
    rx.copy().to_path(to("named")).unwrap();
    rx.copy().compact().to_path(to("compact")).unwrap();
    // What has changed since the named snapshot, over the copy of it.
    let mut increment = Vec::new();
    db.read().unwrap().copy().since(rx.id()).to_writer(&mut increment).unwrap();
    restore(to("named"), [&increment[..]], to("restored")).unwrap();
    drop((rx, db));
    assert!(salvage(&path, to("salvaged")).unwrap().is_complete());
    for (name, round) in [("newest", 2), ("named", 1), ("compact", 1), ("restored", 2), ("salvaged", 2)] {
        let db = Db::open(to(name)).unwrap();
        assert_filled(&db.read().unwrap(), round);
        assert!(names_of(&db).is_empty(), "{name}");
        assert_clean(&db);
        // A copy is a database of its own, and can have names.
        db.create_snapshot("one").unwrap();
        fill(&db, 9, Durability::Durable);
        assert_filled(&db.read_at("one").unwrap(), round);
        assert_clean(&db);
    }
}

/// A file that becomes shorter after a name was given has all pages of the name.
#[test]
fn the_file_is_never_cut_below_what_a_name_needs() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    fill(&db, 1, Durability::Durable);
    let tx = db.write().unwrap();
    for key in 0..200 {
        tx.table(&table("large")).unwrap().insert(key, vec![1; 60_000]).unwrap();
    }
    tx.commit().unwrap();
    db.update(|tx| tx.drop_table("large")).unwrap();
    // The file is long, its end free: the name's snapshot is as long as that.
    db.create_snapshot("one").unwrap();
    let rx = db.read_at("one").unwrap();
    db.shrink().unwrap();
    fill(&db, 2, Durability::Durable);
    assert_filled(&rx, 1);
    drop(rx);
    db.compact().unwrap();
    fill(&db, 3, Durability::Durable);
    db.compact().unwrap();
    assert!(db.stats().unwrap().file_bytes < 4 << 20, "{:?}", db.stats().unwrap());
    assert_filled(&db.read_at("one").unwrap(), 1);
    assert_clean(&db);
    drop(db);
    let db = Db::open(&path).unwrap();
    assert_filled(&db.read_at("one").unwrap(), 1);
    assert_clean(&db);
}

/// A file at its limit: a name is refused or given, and can always be dropped.
#[test]
fn in_a_full_file_names_can_be_dropped() {
    let (_folder, path) = scratch();
    let db = Db::options().max_size(1 << 20).open(&path).unwrap();
    fill(&db, 1, Durability::Durable);
    let mut given = Vec::new();
    let mut round = 0;
    loop {
        let name = format!("{} {}", given.len(), "n".repeat(200));
        match db.create_snapshot(&name) {
            Ok(_) => given.push(name),
            Err(Error::Full { .. }) => break,
            Err(error) => panic!("{error}"),
        }
        round += 1;
        let tx = db.write().unwrap();
        for key in 0..20 {
            if tx.table(&NUMBERS).unwrap().insert(round * 7 % 200 + key, vec![round as u8; 300]).is_err() {
                break;
            }
        }
        drop(tx.commit());
        assert!(round < 1000, "the file becomes full");
    }
    assert_clean(&db);
    assert!(given.len() > 3);
    for name in given {
        assert!(db.drop_snapshot(&name).unwrap());
    }
    db.checkpoint().unwrap();
    fill(&db, 2, Durability::Durable);
    assert_filled(&db.read().unwrap(), 2);
    assert_clean(&db);
}

// ---- processes ----

#[test]
#[ignore = "a process of other tests"]
fn user() {
    let Some(task) = child_task() else { return };
    let (role, path) = task.to_str().unwrap().split_once(' ').unwrap();
    let db = Db::open(path).unwrap();
    match role {
        "dies" => {
            fill(&db, 1, Durability::Lazy);
            db.create_snapshot("one").unwrap();
            fill(&db, 2, Durability::Lazy);
            process::exit_at_once()
        }
        "churns" => loop {
            for round in 0..5 {
                let name = format!("round {round}");
                // A creation that was cut short by a kill may be completed by this transaction.
                db.drop_snapshot(&name).unwrap();
                fill(&db, round, Durability::Durable);
                db.create_snapshot(&name).unwrap();
                fill(&db, 99, Durability::Lazy);
            }
        },
        other => panic!("{other}"),
    }
}

fn start(role: &str, path: &Path) -> std::process::Child {
    let task = format!("{role} {}", path.display());
    process::die_with_parent(&mut child(concat!(module_path!(), "::user"), task)).spawn().unwrap()
}

#[test]
fn a_name_survives_the_end_of_its_process_and_is_there_for_others() {
    let (_folder, path) = scratch();
    assert!(start("dies", &path).wait().unwrap().success());
    // The log has records: a read-only handle that is alone replays them for itself.
    let reader = Db::options().read_only(true).open(&path).unwrap();
    assert_filled(&reader.read_at("one").unwrap(), 1);
    assert_filled(&reader.read().unwrap(), 2);
    assert_eq!(names_of(&reader), ["one"]);
    assert_clean(&reader);
    drop(reader);
    let db = Db::open(&path).unwrap();
    assert_filled(&db.read_at("one").unwrap(), 1);
    assert_filled(&db.read().unwrap(), 2);
    for round in 3..20 {
        fill(&db, round, Durability::Lazy);
    }
    let reader = Db::options().read_only(true).open(&path).unwrap();
    assert_filled(&reader.read_at("one").unwrap(), 1);
    assert_clean(&reader);
    assert_clean(&db);
}

/// One process creates and drops names without end and is killed at any moment, another begins to read them.
#[test]
fn readers_of_names_that_come_and_go_see_whole_snapshots() {
    let (_folder, path) = scratch();
    let db = Db::open(&path).unwrap();
    fill(&db, 50, Durability::Durable);
    db.create_snapshot("kept").unwrap();
    let kills = if crate::common::is_long() { 200 } else { 5 };
    let mut random = Random::new(kills);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let reader = Db::options().read_only(true).open(&path).unwrap();
            let mut found = 0u64;
            while !stop.load(SeqCst) {
                for round in 0..5 {
                    match reader.read_at(&format!("round {round}")) {
                        Ok(rx) => {
                            assert_filled(&rx, round);
                            found += 1;
                        }
                        Err(Error::SnapshotNotFound { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                assert_filled(&reader.read_at("kept").unwrap(), 50);
            }
            found
        });
        for _ in 0..kills {
            let mut other = start("churns", &path);
            let before = db.stats().unwrap().checkpoints;
            until("it makes names", || db.stats().unwrap().checkpoints > before + 6);
            std::thread::sleep(std::time::Duration::from_micros(random.below(5000) as u64));
            process::kill(&mut other);
            assert_clean(&db);
            for info in db.snapshots().unwrap().iter().filter(|info| info.name != "kept") {
                let round = info.name.strip_prefix("round ").unwrap().parse().unwrap();
                assert_filled(&db.read_at(&info.name).unwrap(), round);
            }
        }
        stop.store(true, SeqCst);
        assert!(reading.join().unwrap() > 0);
    });
    drop(db);
    let db = Db::open(&path).unwrap();
    assert_filled(&db.read_at("kept").unwrap(), 50);
    assert_clean(&db);
}
