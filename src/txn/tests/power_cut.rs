//! Power is cut at moments that matter, one by one. (All moments are in `src/sim/tests`.)

use super::fixture::{Engine, Entries, PAGE, clear, put};
use crate::format::meta::Meta;
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
fn torn_or_half_written_record_falls_back() {
    let engine = Engine::new();
    let first = Entries::from([(b"key".to_vec(), b"first".to_vec())]);
    let second = Entries::from([(b"key".to_vec(), b"second".to_vec())]);
    let one = engine.commit(&first, Durability::Durable).unwrap();
    let two = engine.commit(&second, Durability::Durable).unwrap();
    let calls = engine.log().events.clone();
    let (last_record, record) = record_writes(&calls).last().unwrap();
    assert_eq!(record.id, two);
    let mut disk = super::fixture::disk(&engine.start);
    calls[..=last_record].iter().for_each(|call| disk.apply(call));
    let (whole, Event::Store { offset, bytes }) = (disk.cache().to_vec(), &calls[last_record]) else {
        panic!("the meta is stored");
    };
    let mut before = super::fixture::disk(&engine.start);
    calls[..last_record].iter().for_each(|call| before.apply(call));
    for cut in (0..bytes.len()).step_by(64) {
        let mut image = before.cache().to_vec();
        let torn = *offset as usize..*offset as usize + cut.max(1);
        image[torn.clone()].copy_from_slice(&whole[torn]);
        let recovered = Engine::open(&image, 0).unwrap();
        assert_eq!(recovered.read().unwrap(), (one, first.clone()));
        recovered.assert_clean();
    }
}

#[test]
fn a_long_row_of_lost_lazy_commits_leaves_room_for_new_ones() {
    let engine = Engine::new();
    let durable = engine.commit(&Entries::from([(b"key".to_vec(), vec![1])]), Durability::Durable).unwrap();
    for round in 0..250u16 {
        let entries = Entries::from([(b"key".to_vec(), round.to_le_bytes().to_vec())]);
        engine.commit(&entries, Durability::Lazy).unwrap();
    }
    let newest = engine.handle.core.shared.newest_id();
    let before = engine.log().events.len();
    engine.handle.core.sync_everything().unwrap();
    // Power is lost during that sync: its meta is on the disk, the pages that it lists are not.
    let calls = engine.log().events.clone();
    let mut disk = super::fixture::disk(&engine.start);
    let durable_barrier =
        calls[..before].iter().rposition(|call| matches!(call, Event::BarrierEnds)).unwrap();
    calls[..=durable_barrier].iter().for_each(|call| disk.apply(call));
    let (record_at, record) = record_writes(&calls).last().unwrap();
    assert!(record.id == newest && record_at >= before);
    disk.apply(&calls[record_at]);
    disk.apply(&Event::BarrierBegins { length: u64::MAX });
    disk.apply(&Event::BarrierEnds);
    let image = disk.sample(&mut Random::new(0));
    let recovered = Engine::open(&image, 0).unwrap();
    assert_eq!(recovered.read().unwrap(), (durable, Entries::from([(b"key".to_vec(), vec![1])])));
    let mut last = newest;
    for round in 0..600u16 {
        let entries = Entries::from([(b"key".to_vec(), round.to_le_bytes().to_vec())]);
        let tx = recovered.begin().unwrap();
        super::fixture::put_all(&tx, &entries).unwrap();
        let id = tx.publish(Durability::Durable).unwrap();
        assert!(id > last, "ids above every id seen");
        last = id;
        if round % 50 == 0 {
            let (seen, _) = recovered.read().unwrap();
            assert!(seen == durable || seen > newest);
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
fn the_file_is_cut_only_when_the_durable_record_is_as_short() {
    let engine = Engine::new();
    let large: Entries = (0..9).map(|number| (vec![number], vec![number; 100 << 10])).collect();
    engine.commit(&large, Durability::Durable).unwrap();
    let tx = engine.begin().unwrap();
    clear(&tx).unwrap();
    put(&tx, b"small", &[0]).unwrap();
    tx.commit(Durability::Durable).unwrap();
    // It lies before the free space, so that nothing durable lies after that any more.
    let small = Entries::from([(b"small".to_vec(), vec![1])]);
    let durable = engine.commit(&small, Durability::Durable).unwrap();
    let core = &engine.handle.core;
    let mut cuts = 0;
    for round in 2..200 {
        let before = engine.image().len();
        let shrunk_before = core.shared.newest().unwrap().snapshot.length_pages;
        engine.commit(&Entries::from([(b"small".to_vec(), vec![round])]), Durability::Lazy).unwrap();
        core.cut_free_tail(); // as another thread may, whose durable commit has just ended
        assert_eq!(engine.image().len(), before, "the durable meta is longer than what is left");
        if core.shared.newest().unwrap().snapshot.length_pages < shrunk_before {
            cuts += 1;
            let mut disk = super::fixture::disk(&engine.start);
            engine.log().events.iter().for_each(|call| disk.apply(call));
            for seed in 0..20 {
                let recovered = Engine::open(&disk.sample(&mut Random::new(seed)), 0).unwrap();
                assert_eq!(recovered.read().unwrap(), (durable, small.clone()));
                recovered.assert_clean();
            }
            break;
        }
    }
    assert_eq!(cuts, 1, "the history never shrinks");
    core.sync_everything().unwrap();
    let before = engine.image().len();
    core.cut_free_tail();
    assert!(engine.image().len() < before);
    engine.assert_clean();
}

#[test]
fn a_barrier_that_fails_in_recovery_is_an_error_and_recovery_begins_anew() {
    let engine = Engine::new();
    for round in 0..5 {
        engine.commit(&Entries::from([(b"key".to_vec(), vec![round])]), Durability::Durable).unwrap();
    }
    let (image, expected) = (engine.image(), engine.read().unwrap().1);
    for fault in [Fault::Barrier, Fault::Store] {
        let (result, log) = Engine::open_with_fault(&image, 0, Some((fault, 0)));
        assert!(result.is_err());
        assert_eq!(log.lock().faults_met, 1);
        assert_eq!(log.lock().barriers(), 0, "nothing is synced after an error");
        let mut disk = super::fixture::disk(&image);
        log.lock().events.iter().for_each(|event| disk.apply(event));
        for seed in 0..20 {
            let again = Engine::open(&disk.sample(&mut Random::new(seed)), 0).unwrap();
            assert_eq!(again.read().unwrap().1, expected);
            again.assert_clean();
        }
    }
}

#[test]
fn a_page_that_was_born_after_its_snapshot_is_corrupt() {
    let engine = Engine::new();
    let old = Entries::from([(b"key".to_vec(), vec![1; 300])]);
    engine.commit(&old, Durability::Durable).unwrap();
    let before = engine.image();
    for round in 2..20 {
        engine.commit(&Entries::from([(b"key".to_vec(), vec![round; 300])]), Durability::Durable).unwrap();
    }
    // The metas of then, over the pages of now: this is left when the newest meta has rotted.
    let mut image = engine.image();
    image[..2 * PAGE].copy_from_slice(&before[..2 * PAGE]);
    let listed =
        Meta::decode(&image[PAGE..2 * PAGE], 1).or_else(|_| Meta::decode(&image[..PAGE], 0)).unwrap();
    let slot = if Meta::decode(&image[PAGE..2 * PAGE], 1).is_ok() { 1 } else { 0 };
    let unlisted = Meta { listed: Vec::new(), digest: 0, ..listed }.encode();
    image[slot * PAGE..][..PAGE].fill(0);
    image[slot * PAGE..][..unlisted.len()].copy_from_slice(&unlisted);
    let recovered = Engine::open(&image, 0).unwrap();
    let error = recovered.read().unwrap_err().to_string();
    assert!(error.contains("birth"), "{error}");
}
