//! Named snapshots and several handles of one file: what a reader has found, and what a writer that was killed leaves.

use super::fixture::{Engine, Entries, entries_of};
use crate::base::TransactionId;
use crate::error::Error;
use crate::sim::Fault;
use crate::txn::commit::Durability;
use crate::txn::named::{create_snapshot, drop_snapshot};
use crate::txn::read::SnapshotReader;

fn entries(value: u8) -> Entries {
    (0..60u8).map(|key| (vec![key; 20], vec![value; 400])).collect()
}

/// Writes everything several times over, so that each page that is free is used again.
fn rewrite(engine: &Engine) {
    for value in 100..112 {
        engine.commit(&entries(value), Durability::Durable).unwrap();
        engine.checkpoint().unwrap();
    }
}

fn two() -> (tempfile::TempDir, Engine, Engine) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let (first, second) = (Engine::share(&path).unwrap(), Engine::share(&path).unwrap());
    (folder, first, second)
}

fn read_named(engine: &Engine, name: &str) -> Entries {
    entries_of(&SnapshotReader::begin_named(&engine.handle, name).unwrap()).unwrap()
}

/// A thread that stands between finding the name and reading.
#[test]
pub(super) fn a_name_dropped_under_a_reader_that_has_found_it_stays() {
    let (_folder, first, second) = two();
    first.commit(&entries(1), Durability::Durable).unwrap();
    create_snapshot(&first.handle, "one").unwrap();
    rewrite(&first);
    let core = &second.handle.core;
    let checkpoint = core.read_checkpoint().unwrap();
    assert!(drop_snapshot(&first.handle, "one").unwrap());
    rewrite(&first);
    let (slot, snapshot) = core.begin_found(checkpoint, "one").unwrap();
    rewrite(&first);
    let reader = SnapshotReader::of_slot(&second.handle, slot, snapshot);
    assert_eq!(entries_of(&reader).unwrap(), entries(1));
    drop(reader);
    assert!(matches!(
        SnapshotReader::begin_named(&second.handle, "one").err(),
        Some(Error::SnapshotNotFound { .. })
    ));
    let retired = |engine: &Engine| engine.handle.core.shared.newest().unwrap().space.retired_pages;
    rewrite(&first);
    let before = retired(&first);
    rewrite(&first);
    assert!(retired(&first) <= before, "nothing is kept any more");
    first.assert_clean();
}

#[test]
fn each_handle_knows_the_names_that_the_others_have_given() {
    let (_folder, first, second) = two();
    for round in 0..6u8 {
        let (one, other) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        one.commit(&entries(round), Durability::Lazy).unwrap();
        create_snapshot(&one.handle, &format!("round {round}")).unwrap();
        rewrite(other);
        for earlier in 0..=round {
            assert_eq!(read_named(other, &format!("round {earlier}")), entries(earlier), "{round}");
        }
        assert!(matches!(
            create_snapshot(&other.handle, &format!("round {round}")),
            Err(Error::SnapshotExists { .. })
        ));
        other.assert_clean();
        one.assert_clean();
    }
    assert!(drop_snapshot(&second.handle, "round 0").unwrap());
    assert!(!drop_snapshot(&first.handle, "round 0").unwrap());
    rewrite(&first);
    rewrite(&second);
    for round in 1..6 {
        assert_eq!(read_named(&first, &format!("round {round}")), entries(round));
    }
}

/// The first barrier of the checkpoint that the creation waits for fails: the name was published, and is not durable.
#[test]
fn a_name_that_was_not_checkpointed_never_was() {
    let engine = Engine::new();
    engine.commit(&entries(1), Durability::Durable).unwrap();
    engine.checkpoint().unwrap();
    engine.fail(Fault::Barrier, 0);
    assert!(create_snapshot(&engine.handle, "one").is_err());
    assert!(SnapshotReader::begin_named(&engine.handle, "one").is_err());
    let after = engine.reopen();
    assert!(SnapshotReader::begin_named(&after.handle, "one").is_err());
    assert_eq!(after.read().unwrap().1, entries(1));
    after.assert_clean();
}

/// Replay puts what was committed after the name into other pages than the name's.
#[test]
fn replay_takes_no_page_of_a_name() {
    let engine = Engine::new();
    engine.commit(&entries(1), Durability::Durable).unwrap();
    let id = create_snapshot(&engine.handle, "one").unwrap();
    assert!(id > TransactionId(1));
    let mut engine = engine;
    for value in 2..6 {
        for _ in 0..3 {
            engine.commit(&entries(value), Durability::Lazy).unwrap();
        }
        engine = engine.reopen();
        assert_eq!(engine.read().unwrap().1, entries(value));
        assert_eq!(read_named(&engine, "one"), entries(1));
        engine.assert_clean();
    }
}

/// A file that has names is of a format that a library without names refuses; one that has none is as before.
#[test]
fn the_format_says_whether_there_are_names() {
    let engine = Engine::new();
    let version = |engine: &Engine| {
        let core = &engine.handle.core;
        core.pages.read_meta(core.shared.checkpoint_slot()).unwrap().unwrap().version
    };
    engine.commit(&entries(1), Durability::Durable).unwrap();
    engine.checkpoint().unwrap();
    assert_eq!(version(&engine), 3);
    create_snapshot(&engine.handle, "one").unwrap();
    assert_eq!(version(&engine), 4);
    let engine = engine.reopen();
    rewrite(&engine);
    assert_eq!(version(&engine), 4);
    drop_snapshot(&engine.handle, "one").unwrap();
    rewrite(&engine);
    assert_eq!(version(&engine), 3, "the log has begun again, without names");
}

#[test]
fn damage_of_a_named_snapshot_is_found_with_its_name() {
    let engine = Engine::new();
    engine.commit(&entries(1), Durability::Durable).unwrap();
    create_snapshot(&engine.handle, "of monday").unwrap();
    rewrite(&engine);
    let reader = SnapshotReader::begin_named(&engine.handle, "of monday").unwrap();
    let at = reader.snapshot.catalog.page.offset(reader.pages().page_size) as usize + 100;
    drop(reader);
    let mut image = engine.image();
    image[at] ^= 1;
    let damaged = Engine::open(&image, 1 << 20).unwrap();
    let report = crate::check::check(&damaged.handle.core, &mut |_, _| {}).unwrap();
    assert!(!report.is_clean());
    let texts: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
    assert!(texts.iter().all(|text| text.contains("snapshot \"of monday\"")), "{texts:?}");
    assert_eq!(damaged.read().unwrap().1, entries(111));
}
