//! Checkpoints: when they are made, what they free, and what one leaves whose process has died.

use super::fixture::{Engine, Entries, PAGE, new_image, options, put_all};
use crate::base::TransactionId;
use crate::error::Error;
use crate::sim::disk::Event;
use crate::sim::{Fault, Random};
use crate::txn::commit::Durability;
use crate::txn::file_locks::Wait;
use crate::txn::write::Transaction;

/// Words of the lock file.
const LOG_START: usize = 105;
const CHECKPOINT_TARGET: usize = 106;
const POISON: usize = 160;

const RING_BYTES: u64 = 16 << 10;

fn entries(keys: std::ops::Range<u8>, length: usize, byte: u8) -> Entries {
    keys.map(|key| (vec![key], vec![byte; length])).collect()
}

/// What is left if power is lost now, and the disk has nothing that no barrier covers.
fn least_on_disk(engine: &Engine) -> Engine {
    let mut disk = super::fixture::disk(&engine.start);
    engine.log().events.iter().for_each(|event| disk.apply(event));
    Engine::open(disk.durable(), 256 << 20).unwrap()
}

fn two() -> (tempfile::TempDir, Engine, Engine) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let (first, second) = (Engine::share(&path).unwrap(), Engine::share(&path).unwrap());
    first.commit(&entries(0..40, 50, 1), Durability::Durable).unwrap();
    (folder, first, second)
}

/// What this handle has retired is free by now, but it had noted that a checkpoint was due.
#[test]
fn a_checkpoint_that_another_handle_has_made_is_not_waited_for() {
    let (_folder, first, second) = two();
    first.commit(&entries(0..200, 1500, 1), Durability::Durable).unwrap();
    first.checkpoint().unwrap();
    first.publish(&entries(0..200, 1500, 2), Durability::Durable).unwrap();
    assert!(first.handle.core.is_checkpoint_due());
    second.checkpoint().unwrap();
    let shared = &first.handle.core.shared;
    assert_eq!(shared.checkpointed(), shared.newest_id());
    assert!(!first.handle.core.is_checkpoint_due());
    let grows = entries(0..250, 2000, 9);
    first.commit(&grows, Durability::Durable).unwrap();
    assert!(second.read().unwrap().1 == grows);
    second.assert_clean();
}

#[test]
fn commits_without_room_in_the_ring_make_checkpoints() {
    let engine = Engine::open_with_log(&new_image(), RING_BYTES).unwrap();
    let mut state = entries(0..4, 10, 0);
    engine.commit(&state, Durability::Durable).unwrap();
    let (ring, shared) = (engine.redo().ring.unwrap(), &engine.handle.core.shared);
    assert_eq!(ring.length_bytes(PAGE), RING_BYTES);
    let mut checkpoints = std::collections::BTreeSet::new();
    for round in 0..60u8 {
        let changed = entries(round % 50..round % 50 + 3, 60, round);
        let durability = if round % 5 < 3 { Durability::Durable } else { Durability::Lazy };
        let id = engine.publish(&changed, durability).unwrap();
        state.extend(changed);
        checkpoints.insert(shared.checkpointed());
        assert!(engine.reopen().read().unwrap().1 == state, "after the death of the process");
        if durability == Durability::Durable {
            engine.handle.core.wait_durable(id).unwrap();
            assert!(least_on_disk(&engine).read().unwrap().1 == state, "after loss of power");
        }
        let log = engine.redo();
        assert_eq!(log.ring, Some(ring), "it is as long as it may be");
        assert!(ring.has_room(log.end, shared.log_start(), PAGE, engine.handle.core.block));
    }
    assert!(checkpoints.len() > 8, "{} checkpoints", checkpoints.len());
    engine.assert_clean();
}

#[test]
fn a_longer_ring_is_taken_by_an_unlogged_transaction() {
    let engine = Engine::new();
    let mut state = entries(0..4, 10, 0);
    engine.commit(&state, Durability::Durable).unwrap();
    let shared = &engine.handle.core.shared;
    let mut lengths = Vec::new();
    for round in 0..250u16 {
        let before = engine.redo();
        let changed = entries((round % 200) as u8..(round % 200) as u8 + 30, 100, round as u8);
        let id = engine.publish(&changed, Durability::Lazy).unwrap();
        let old_state = state.clone();
        state.extend(changed);
        let log = engine.redo();
        if log.ring == before.ring {
            assert!(shared.visible() == id && log.end > before.end && log.unlogged == before.unlogged);
            continue;
        }
        lengths.push(log.ring.unwrap().length_bytes(PAGE) >> 10);
        assert_eq!((log.unlogged, log.end), (id, log.ring.unwrap().base));
        assert!(log.end >= before.end && log.end.0.is_multiple_of(engine.handle.core.block));
        assert!(shared.checkpointed() < id && shared.visible() < id, "it is pending");
        assert!(engine.reopen().read().unwrap().1 == old_state, "the log does not have it");
        engine.handle.core.wait_visible(id).unwrap();
        assert!(shared.checkpointed() >= id && shared.durable() >= id);
        assert!(least_on_disk(&engine).read().unwrap().1 == state);
        engine.assert_clean();
    }
    assert_eq!(lengths, [256, 1024]);
    assert!(engine.reopen().read().unwrap().1 == state);
    engine.assert_clean();
}

/// L9: no process may build on what a replay cannot reach.
#[test]
fn an_unlogged_transaction_is_checkpointed_before_another_begins() {
    let engine = Engine::new();
    engine.commit(&entries(0..4, 10, 0), Durability::Durable).unwrap();
    let shared = &engine.handle.core.shared;
    let large = Entries::from([(b"large".to_vec(), vec![7; 300 << 10])]);
    let unlogged = engine.publish(&large, Durability::Lazy).unwrap();
    assert!(engine.redo().unlogged == unlogged && shared.checkpointed() < unlogged);
    let tx = engine.begin().unwrap();
    assert_eq!(shared.checkpointed(), unlogged);
    drop(tx);
    let mut state = entries(0..4, 10, 0);
    state.extend(large);
    assert!(least_on_disk(&engine).read().unwrap().1 == state);
}

#[test]
fn a_lazy_commit_that_is_not_in_the_log_returns_when_it_is_checkpointed() {
    let engine = Engine::new();
    engine.commit(&entries(0..4, 10, 0), Durability::Durable).unwrap();
    let id = engine.commit(&entries(0..200, 3000, 1), Durability::Lazy).unwrap();
    assert!(engine.handle.core.shared.checkpointed() >= id);
    assert!(least_on_disk(&engine).read().unwrap().1 == entries(0..200, 3000, 1));
}

#[test]
fn a_sync_over_lazy_commits_appends_one_record_without_changes() {
    let engine = Engine::new();
    engine.commit(&entries(0..4, 10, 0), Durability::Durable).unwrap();
    let mut lazy = TransactionId(0);
    for round in 1..4 {
        lazy = engine.commit(&entries(0..4, 10, round), Durability::Lazy).unwrap();
    }
    let (core, before) = (&engine.handle.core, engine.log().events.len());
    let barriers = engine.log().barriers();
    core.sync_everything().unwrap();
    let lengths: Vec<usize> = engine.ring_stores(before).into_iter().map(|(_, length)| length).collect();
    assert_eq!(lengths, [32]);
    let newest = core.shared.newest_id();
    assert_eq!((newest, engine.redo().sealed, core.shared.durable()), (lazy.next(), newest, newest));
    assert_eq!(engine.log().barriers() - barriers, 1);
    assert_eq!(core.shared.synced(), engine.redo().end);
    assert!(least_on_disk(&engine).read().unwrap().1 == entries(0..4, 10, 3));
    engine.assert_clean();

    let events = engine.log().events.len();
    core.sync_everything().unwrap();
    assert_eq!(core.shared.newest_id(), newest);
    let stored = |event: &Event| matches!(event, Event::Store { .. } | Event::BarrierBegins { .. });
    assert!(!engine.log().events[events..].iter().any(stored), "there is nothing to sync");
}

#[test]
fn a_durable_commit_without_changes_makes_the_lazy_ones_below_it_durable() {
    let engine = Engine::new();
    engine.commit(&entries(0..4, 10, 0), Durability::Durable).unwrap();
    let lazy = engine.commit(&entries(0..4, 10, 1), Durability::Lazy).unwrap();
    assert_eq!(engine.commit(&Entries::new(), Durability::Lazy).unwrap(), lazy, "it leaves no trace");
    let sealed = engine.commit(&Entries::new(), Durability::Durable).unwrap();
    assert_eq!((sealed, engine.handle.core.shared.durable()), (lazy.next(), sealed));
    assert!(least_on_disk(&engine).read().unwrap().1 == entries(0..4, 10, 1));
    assert_eq!(
        engine.commit(&Entries::new(), Durability::Durable).unwrap(),
        sealed,
        "there is nothing to sync"
    );
    engine.assert_clean();
}

#[test]
fn a_file_without_a_ring_is_checkpointed_by_each_commit() {
    let engine = Engine::open_with_log(&new_image(), 0).unwrap();
    for (round, durability) in [Durability::Durable, Durability::Lazy, Durability::Durable].iter().enumerate()
    {
        let state = entries(0..9, 100, round as u8);
        let id = engine.commit(&state, *durability).unwrap();
        assert_eq!((engine.redo().ring, engine.handle.core.shared.checkpointed()), (None, id));
        assert!(least_on_disk(&engine).read().unwrap().1 == state);
    }
    engine.assert_clean();
    // It gets a ring from a handle that wants one, and loses it to one that does not.
    let with_ring = engine.reopen();
    with_ring.commit(&entries(0..9, 100, 7), Durability::Durable).unwrap();
    with_ring.publish(&entries(0..9, 100, 8), Durability::Lazy).unwrap();
    assert!(with_ring.redo().ring.is_some());
    let without = Engine::open_with_log(&with_ring.image(), 0).unwrap();
    assert!(without.redo().ring.is_none());
    assert!(without.read().unwrap().1 == entries(0..9, 100, 8));
    without.assert_clean();
    without.commit(&entries(0..9, 100, 9), Durability::Durable).unwrap();
    without.assert_clean();
}

#[test]
fn a_ring_that_was_closed_is_given_up_by_a_handle_that_wants_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let (mut with, mut without) = (options(256 << 20), options(256 << 20));
    (with.settings.log_size, without.settings.log_size) = (1 << 20, 0);
    for round in 0..2 {
        for (options, has_ring) in [(&with, true), (&without, false)] {
            let handle = options.open(&path).unwrap();
            assert!(has_ring || handle.core.shared.newest_log().unwrap().ring.is_none());
            let tx = Transaction::begin(&handle, Wait::Forever).unwrap().expect("no deadline");
            put_all(&tx, &entries(0..9, 100, round)).unwrap();
            tx.commit(Durability::Durable).unwrap();
            assert_eq!(handle.core.shared.newest_log().unwrap().ring.is_some(), has_ring);
            let report = crate::check::check(&handle.core, &mut |_, _| {}).unwrap();
            assert!(report.is_clean(), "{report}");
        }
    }
}

/// L8: it moves nothing else. What waits for a sync waits on, and that needs no barrier any more.
#[test]
fn a_checkpoint_leaves_durable_and_visible_to_the_next_sync() {
    let engine = Engine::new();
    let old = engine.commit(&entries(0..4, 10, 0), Durability::Durable).unwrap();
    let id = engine.publish(&entries(0..4, 10, 1), Durability::Durable).unwrap();
    engine.checkpoint().unwrap();
    let shared = &engine.handle.core.shared;
    assert_eq!((shared.checkpointed(), shared.log_start()), (id, engine.redo().end));
    assert_eq!((shared.durable(), shared.visible()), (old, old));
    let barriers = engine.log().barriers();
    engine.handle.core.wait_durable(id).unwrap();
    assert_eq!((shared.durable(), shared.visible()), (id, id));
    assert_eq!(engine.log().barriers(), barriers);
}

/// Each of its barriers, and its store.
#[test]
fn a_failed_checkpoint_poisons_and_loses_nothing() {
    for (fault, after) in [(Fault::Barrier, 0), (Fault::Barrier, 1), (Fault::Store, 0)] {
        let engine = Engine::new();
        engine.commit(&entries(0..4, 10, 0), Durability::Durable).unwrap();
        let durable = engine.commit(&entries(0..4, 10, 1), Durability::Durable).unwrap();
        let waits = engine.publish(&entries(0..4, 10, 2), Durability::Durable).unwrap();
        let checkpointed = engine.handle.core.shared.checkpointed();
        engine.fail(fault, after);
        assert!(matches!(engine.checkpoint(), Err(Error::Io { .. })));
        assert!(matches!(engine.begin(), Err(Error::Poisoned)));
        assert!(matches!(engine.checkpoint(), Err(Error::Poisoned)));
        assert!(matches!(engine.handle.core.wait_durable(waits), Err(Error::Poisoned)));
        assert_eq!(engine.handle.core.shared.checkpointed(), checkpointed);
        assert_eq!(engine.read().unwrap(), (durable, entries(0..4, 10, 1)));
        assert!(engine.reopen().read().unwrap().1 == entries(0..4, 10, 2), "it is in the log");
        let mut disk = super::fixture::disk(&engine.start);
        engine.log().events.iter().for_each(|event| disk.apply(event));
        for seed in 0..30 {
            let image = disk.sample(&mut Random::new(seed));
            let recovered = Engine::open(&image, 256 << 20).unwrap();
            let found = recovered.read().unwrap().1;
            assert!(found == entries(0..4, 10, 1) || found == entries(0..4, 10, 2));
            recovered.assert_clean();
        }
    }
}

#[test]
fn a_panic_in_a_checkpoint_poisons() {
    let engine = Engine::new();
    engine.commit(&entries(0..4, 10, 0), Durability::Durable).unwrap();
    engine.publish(&entries(0..4, 10, 1), Durability::Lazy).unwrap();
    engine.panic_in_store(0);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.checkpoint())).is_err());
    assert!(matches!(engine.begin(), Err(Error::Poisoned)));
    assert!(engine.reopen().read().unwrap().1 == entries(0..4, 10, 1));
}

/// L1: the meta of a checkpointer that was killed before its last barrier returned may be on the disk, now or later.
/// What it refers to stays until the meta is known to be gone.
#[test]
pub(super) fn a_meta_that_a_dead_checkpointer_has_left_is_erased_before_its_pages_are_free() {
    let (_folder, first, second) = two();
    let target = first.publish(&entries(0..40, 50, 2), Durability::Lazy).unwrap();
    let (shared, pages) = (&second.handle.core.shared, &second.handle.core.pages);
    let slot = shared.checkpoint_slot();
    first.fail(Fault::Barrier, 1); // that over the meta,
    assert!(matches!(first.checkpoint(), Err(Error::Io { .. })));
    shared.scribble(POISON, 0); // and its process is killed before it knows
    assert_eq!(pages.read_meta(1 - slot).unwrap().unwrap().id, target);
    assert_eq!((shared.left_checkpoint_target(), shared.checkpoint_slot()), (Some(target), slot));

    // Others write, and take no page of it.
    for round in 3..9 {
        second.publish(&entries(0..40, 50, round), Durability::Lazy).unwrap();
        assert!(shared.protected().unwrap().contains(&target));
    }
    let before = second.log().events.len();
    second.checkpoint().unwrap();
    assert_eq!((shared.left_checkpoint_target(), shared.checkpointed()), (None, shared.newest_id()));
    assert!(!shared.protected().unwrap().contains(&target));
    // Zeros, and a barrier over them, come before anything else.
    let log = second.log();
    let mut events = log.events[before..].iter().filter(|event| !matches!(event, Event::Lengthened { .. }));
    let erased = ((1 - slot) * PAGE) as u64;
    assert!(matches!(events.next(), Some(Event::Store { offset, bytes })
        if *offset == erased && bytes.len() == PAGE && bytes.iter().all(|&byte| byte == 0)));
    assert!(matches!(events.next(), Some(Event::BarrierBegins { range, .. })
        if range.start <= erased && range.end >= erased + PAGE as u64));
    assert!(matches!(events.next(), Some(Event::BarrierEnds(_))));
    drop(log);
    second.assert_clean();
}

/// L6: the barrier over its meta has failed, its process is killed before it knows, and another one appends to the log.
/// Then all are killed: recovery finds that meta in the page cache. The disk may still have the older one only, whose
/// pages recovery's are free to use as soon as that cannot be chosen any more.
#[test]
pub(super) fn the_meta_of_a_checkpoint_that_failed_is_durable_before_recovery_replays() {
    let engine = Engine::new();
    let mut state = entries(0..40, 90, 1);
    engine.commit(&state, Durability::Durable).unwrap();
    engine.checkpoint().unwrap();
    for byte in 2..4 {
        state.extend(entries(0..40, 90, byte));
        engine.commit(&entries(0..40, 90, byte), Durability::Durable).unwrap();
    }
    engine.fail(Fault::Barrier, 1);
    assert!(matches!(engine.checkpoint(), Err(Error::Io { .. })));
    engine.handle.core.shared.scribble(POISON, 0);
    state.extend(entries(0..20, 90, 4));
    engine.commit(&entries(0..20, 90, 4), Durability::Durable).unwrap();

    let mut disk = super::fixture::disk(&engine.start);
    engine.log().events.iter().for_each(|event| disk.apply(event));
    assert!(disk.is_in_doubt(), "the meta may not be on the disk");
    let recovery = Engine::open(disk.cache(), 256 << 20).unwrap().log().events.clone();
    for power_lost_at in 0..=recovery.len() {
        for seed in 0..20 {
            let again = Engine::open(&disk.sample(&mut Random::new(seed)), 256 << 20).unwrap();
            assert_eq!(
                again.read().unwrap().1,
                state,
                "after {power_lost_at} calls of recovery, seed {seed}"
            );
            again.assert_clean();
        }
        recovery.get(power_lost_at).into_iter().for_each(|event| disk.apply(event));
    }
}

/// L1: its meta is durable, and one of the words says so already.
#[test]
fn a_checkpoint_that_a_dead_process_has_all_but_finished_is_finished() {
    let (_folder, first, second) = two();
    let shared = &second.handle.core.shared;
    let log_start = shared.log_start();
    let target = first.publish(&entries(0..40, 50, 2), Durability::Lazy).unwrap();
    first.checkpoint().unwrap();
    let slot = shared.checkpoint_slot();
    shared.scribble(LOG_START, log_start.0); // as if it were killed between the two words
    shared.scribble(CHECKPOINT_TARGET, target.0);

    let before = second.log().events.len();
    second.checkpoint().unwrap();
    assert_eq!(shared.log_start(), first.redo().end);
    assert_eq!((shared.left_checkpoint_target(), shared.checkpoint_slot()), (None, slot));
    let stores = |event: &Event| matches!(event, Event::Store { .. });
    assert!(!second.log().events[before..].iter().any(stores), "the meta stays");
    second.publish(&entries(0..40, 50, 3), Durability::Lazy).unwrap();
    second.checkpoint().unwrap();
    assert_eq!(shared.checkpoint_slot(), 1 - slot);
    second.assert_clean();
}

/// The same, killed after it has taken its target and before it has stored anything.
#[test]
fn a_target_that_a_dead_checkpointer_has_left_stays_protected() {
    let (_folder, first, second) = two();
    let target = first.publish(&entries(0..40, 50, 2), Durability::Lazy).unwrap();
    first.handle.core.shared.take_checkpoint_target().unwrap();
    for round in 3..9 {
        second.publish(&entries(0..40, 50, round), Durability::Lazy).unwrap();
    }
    let shared = &second.handle.core.shared;
    assert!(shared.protected().unwrap().contains(&target));
    second.checkpoint().unwrap();
    assert!(shared.left_checkpoint_target().is_none());
    second.assert_clean();
    assert!(first.read().unwrap().1 == entries(0..40, 50, 8));
}
