//! Power is cut at moments that matter, one by one. (All moments are in `src/sim/tests`.)

use super::fixture::{Engine, Entries, PAGE, clear, put};
use crate::format::meta::{Meta, RedoStart};
use crate::sim::disk::Event;
use crate::sim::{Fault, Random};
use crate::txn::commit::Durability;

/// Where a meta was stored, and what it said. (An erased meta is none.)
fn record_writes(calls: &[Event]) -> impl Iterator<Item = (usize, Meta)> {
    calls.iter().enumerate().filter_map(|(at, call)| match call {
        Event::Store { offset, bytes } if *offset < 2 * PAGE as u64 => {
            Some((at, Meta::decode(bytes, 0).ok()?))
        }
        _ => None,
    })
}

#[test]
fn a_torn_meta_falls_back_to_the_one_before_and_the_log() {
    let engine = Engine::new();
    let first = Entries::from([(b"key".to_vec(), b"first".to_vec())]);
    let second = Entries::from([(b"key".to_vec(), b"second".to_vec())]);
    engine.commit(&first, Durability::Durable).unwrap();
    let two = engine.commit(&second, Durability::Durable).unwrap();
    engine.checkpoint().unwrap();
    let calls = engine.log().events.clone();
    let (last_record, record) = record_writes(&calls).last().unwrap();
    assert_eq!(record.id, two);
    let Event::Store { offset, bytes } = &calls[last_record] else { panic!("the meta is stored") };
    let mut before = super::fixture::disk(&engine.start);
    calls[..last_record].iter().for_each(|call| before.apply(call));
    for cut in (1..bytes.len()).step_by(31).chain([bytes.len()]) {
        let mut image = before.cache().to_vec();
        image[*offset as usize..][..cut].copy_from_slice(&bytes[..cut]);
        let recovered = Engine::open(&image, 0).unwrap();
        assert_eq!(recovered.read().unwrap().1, second, "cut at {cut}");
        recovered.assert_clean();
    }
}

/// Commits of which each record has a known place, and the states that they leave.
struct Logged {
    image: Vec<u8>,
    /// Where each record begins, and its length.
    records: Vec<(usize, usize)>,
    /// The state before the first record, and after each.
    states: Vec<Entries>,
}

/// Commits of which some seal: their records begin blocks, the others follow each other.
fn logged(count: u8) -> Logged {
    let engine = Engine::new();
    let mut state: Entries = (0..20).map(|key| (vec![key], vec![0; 90])).collect();
    engine.commit(&state, Durability::Durable).unwrap();
    let (mut records, mut states) = (Vec::new(), vec![state.clone()]);
    for round in 1..=count {
        let changed: Entries = (0..3).map(|at| (vec![round * 7 + at], vec![round; 70])).collect();
        let before = engine.log().events.len();
        let durability = if round % 3 == 0 { Durability::Durable } else { Durability::Lazy };
        engine.publish(&changed, durability).unwrap();
        records.extend(engine.ring_stores(before));
        state.extend(changed);
        states.push(state.clone());
    }
    assert_eq!(records.len(), usize::from(count), "one store for each record");
    Logged { image: engine.image(), records, states }
}

#[test]
fn a_log_that_is_torn_anywhere_is_replayed_to_its_longest_right_prefix() {
    let Logged { image, records, states } = logged(7);
    for (number, &(offset, length)) in records.iter().enumerate() {
        for cut in [0, 1, 4, 8, 16, 24, 25, 31, 32, 33, length / 2, length - 9, length - 1] {
            // Later records may have reached the disk as well.
            for keeps_others in [false, true] {
                let mut torn = image.clone();
                let end = if keeps_others { length } else { length.max(5 << 12) };
                let rest = &mut torn[offset..][..end][cut..];
                if rest[..length - cut].iter().all(|&byte| byte == 0) {
                    continue; // nothing is lost
                }
                rest.fill(0);
                let recovered = Engine::open(&torn, 0).unwrap();
                assert_eq!(recovered.read().unwrap().1, states[number], "record {number}, cut at {cut}");
                recovered.assert_clean();
            }
        }
    }
}

/// L5: the disk had a record before it had those ahead of it. Then the same commits are made again, up to it.
#[test]
fn a_record_that_recovery_has_not_found_never_comes_back() {
    let Logged { image, records, states } = logged(7);
    for lost in 0..records.len() - 1 {
        let mut torn = image.clone();
        let (offset, length) = records[lost];
        torn[offset..offset + length].fill(0);
        let mut opened = Engine::open(&torn, 0).unwrap();
        for again in lost..records.len() - 1 {
            assert_eq!(opened.read().unwrap().1, states[again]);
            let changed: Entries = (0..3)
                .map(|at| vec![(again as u8 + 1) * 7 + at])
                .map(|key| (key.clone(), states[again + 1][&key].clone()))
                .collect();
            let durability = if (again + 1) % 3 == 0 { Durability::Durable } else { Durability::Lazy };
            opened.publish(&changed, durability).unwrap();
            let crashed = opened.reopen();
            assert_eq!(crashed.read().unwrap().1, states[again + 1], "lost {lost}, again {again}");
            crashed.assert_clean();
            if again % 2 == 0 {
                opened = crashed;
            } else {
                opened.handle.core.sync_everything().unwrap();
            }
        }
    }
}

#[test]
fn a_long_row_of_replayed_commits_leaves_room_for_new_ones() {
    let engine = Engine::new();
    engine.commit(&Entries::from([(b"key".to_vec(), vec![1])]), Durability::Durable).unwrap();
    let mut entries = Entries::new();
    for round in 0..250u16 {
        entries = Entries::from([(b"key".to_vec(), round.to_le_bytes().to_vec())]);
        engine.publish(&entries, Durability::Lazy).unwrap();
    }
    let newest = engine.handle.core.shared.newest_id();
    let recovered = engine.reopen();
    assert_eq!(recovered.read().unwrap().1, entries);
    let mut last = newest;
    for round in 0..600u16 {
        let entries = Entries::from([(b"key".to_vec(), round.to_le_bytes().to_vec())]);
        let id = recovered.publish(&entries, Durability::Durable).unwrap();
        assert!(id > last, "ids above every id seen");
        last = id;
        if round % 50 == 0 {
            assert!(recovered.read().unwrap().0 > newest);
        }
    }
    recovered.handle.core.sync_everything().unwrap();
    assert_eq!(
        recovered.read().unwrap(),
        (last, Entries::from([(b"key".to_vec(), 599u16.to_le_bytes().to_vec())]))
    );
    recovered.assert_clean();
}

#[test]
fn the_file_is_cut_only_when_the_checkpoint_is_as_short() {
    // A ring that does not change, at the beginning of the file.
    let engine = Engine::open_with_log(&super::fixture::new_image(), 64 << 10).unwrap();
    let small = |value: u8| Entries::from([(b"small".to_vec(), vec![value])]);
    engine.commit(&small(0), Durability::Durable).unwrap();
    let large: Entries = (0..9).map(|number| (vec![number], vec![number; 100 << 10])).collect();
    engine.commit(&large, Durability::Durable).unwrap();
    let tx = engine.begin().unwrap();
    clear(&tx).unwrap();
    put(&tx, b"small", &[0]).unwrap();
    tx.publish(Durability::Durable).unwrap();
    engine.checkpoint().unwrap();
    // The trees lie before the free space, so that nothing that is in use lies after that any more.
    engine.publish(&small(1), Durability::Durable).unwrap();
    let core = &engine.handle.core;
    core.wait_durable(core.shared.newest_id()).unwrap();
    let mut cuts = 0;
    for round in 2..40 {
        let before = engine.image().len();
        let shrunk_before = core.shared.newest().unwrap().snapshot.length_pages;
        engine.publish(&small(round), Durability::Lazy).unwrap();
        core.cut_free_tail(); // as another thread may, whose durable commit has just ended
        assert_eq!(engine.image().len(), before, "the checkpointed snapshot is longer than what is left");
        if core.shared.newest().unwrap().snapshot.length_pages < shrunk_before {
            cuts += 1;
            let mut disk = super::fixture::disk(&engine.start);
            engine.log().events.iter().for_each(|call| disk.apply(call));
            for seed in 0..20 {
                let recovered = Engine::open(&disk.sample(&mut Random::new(seed)), 0).unwrap();
                let found = recovered.read().unwrap().1;
                assert!((1..=round).any(|value| found == small(value)));
                recovered.assert_clean();
            }
            break;
        }
        engine.checkpoint().unwrap();
    }
    assert_eq!(cuts, 1, "the history never shrinks");
    engine.checkpoint().unwrap();
    core.wait_durable(core.shared.newest_id()).unwrap();
    let before = engine.image().len();
    core.cut_free_tail();
    assert!(engine.image().len() < before);
    engine.assert_clean();
}

/// Recovery with a log to replay: each of its stores and barriers fails once.
#[test]
fn a_call_that_fails_in_recovery_is_an_error_and_recovery_begins_again() {
    let Logged { image, states, .. } = logged(5);
    let expected = states.last().unwrap();
    for fault in [Fault::Barrier, Fault::Store] {
        let mut faults = 0;
        for after in 0.. {
            let (result, log) = Engine::open_with_fault(&image, 0, Some((fault, after)));
            if log.lock().faults_met == 0 {
                assert_eq!(result.unwrap().read().unwrap().1, *expected);
                break;
            }
            faults += 1;
            assert!(result.is_err(), "{fault:?} {after}");
            let mut disk = super::fixture::disk(&image);
            log.lock().events.iter().for_each(|event| disk.apply(event));
            let events = &log.lock().events;
            let failed = events.iter().position(|event| matches!(event, Event::BarrierFails(_)));
            let later = &events[failed.unwrap_or(events.len())..];
            assert!(
                !later.iter().any(|event| matches!(event, Event::BarrierEnds(_))),
                "synced after an error"
            );
            for seed in 0..10 {
                let again = Engine::open(&disk.sample(&mut Random::new(seed)), 0).unwrap();
                assert_eq!(again.read().unwrap().1, *expected);
                again.assert_clean();
            }
        }
        // Meta again; pages; meta.
        assert!(faults >= 3, "{fault:?} was met {faults} times");
    }
}

#[test]
fn a_page_that_was_born_after_its_snapshot_is_corrupt() {
    let engine = Engine::new();
    let old = Entries::from([(b"key".to_vec(), vec![1; 300])]);
    engine.commit(&old, Durability::Durable).unwrap();
    let slot = engine.handle.core.shared.checkpoint_slot();
    let meta = engine.handle.core.pages.read_meta(slot).unwrap().unwrap();
    for round in 2..20 {
        engine.commit(&Entries::from([(b"key".to_vec(), vec![round; 300])]), Durability::Durable).unwrap();
        engine.checkpoint().unwrap();
    }
    // The meta of then, without its log, over the pages of now: this is left when the newest meta has rotted.
    let mut image = engine.image();
    image[..2 * PAGE].fill(0);
    let meta = Meta { redo: RedoStart { ring: None, ..meta.redo }, ..meta }.encode();
    image[slot * PAGE..][..meta.len()].copy_from_slice(&meta);
    let recovered = Engine::open(&image, 0).unwrap();
    let error = recovered.read().unwrap_err().to_string();
    assert!(error.contains("birth"), "{error}");
}
