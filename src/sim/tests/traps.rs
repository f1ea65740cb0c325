//! Mistakes that stores of this kind have made, one test for each.

use super::mixed::{Kind, Mixed};
use crate::base::TransactionId;
use crate::format::meta::Meta;
use crate::format::page;
use crate::sim::disk::{Disk, Event};
use crate::sim::session::live;
use crate::sim::{Explorer, Random, Workload};

const KINDS: [Kind; 4] = [Kind::Small, Kind::Large, Kind::GrowAndShrink, Kind::Fragmented];

/// The calls to the storage in one session, and the length of the file at its beginning.
fn events_of(kind: Kind, seed: u64) -> (Vec<Event>, u64) {
    let workload = Mixed::new(kind);
    let options = workload.options();
    let image = options.open_settings().first_pages([1; 16]).unwrap();
    let length = image.len() as u64;
    let disk = Disk::new(image, options.open_settings().write_mode);
    let steps = workload.script(&mut Random::new(seed));
    (live(&workload, &disk, &steps, None).ok().unwrap().events, length)
}

fn record_in(event: &Event) -> Option<Meta> {
    match event {
        Event::Store { offset, bytes } if *offset < 2 * 4096 => Meta::decode(bytes, 0).ok(),
        _ => None,
    }
}

#[test]
fn the_scenarios_reach_what_they_are_for() {
    let (events, _) = events_of(Kind::GrowAndShrink, 0);
    assert!(events.iter().any(|event| matches!(event, Event::Cut { .. })));
    assert!(events.iter().any(|event| matches!(event, Event::Lengthened { .. })));
    // The first meta is recovery's, of a database without pages. A commit that grows the file lists nothing.
    let listed = |seed| {
        let (events, _) = events_of(Kind::Fragmented, seed);
        events.iter().filter_map(record_in).skip(1).map(|record| record.listed.len()).collect::<Vec<_>>()
    };
    let listed: Vec<usize> = (0..8).flat_map(listed).collect();
    assert!(listed.contains(&0), "two barriers: {listed:?}");
    assert!(listed.iter().any(|&count| count > 2), "several extents: {listed:?}");
    let (events, _) = events_of(Kind::Long, 0);
    let mut records = events.iter().filter_map(record_in);
    assert!(records.any(|record| record.log_page.0 != 0), "the free log goes to pages of its own");
}

#[test]
fn growth_is_durable_before_its_record() {
    for kind in KINDS {
        let (events, mut length) = events_of(kind, 7);
        let mut durable_length = length;
        // The births of what has been stored and is not durable, and how many of them the barrier under way covers.
        let (mut births, mut covered, mut covered_length) = (Vec::new(), 0, 0);
        let mut records = 0;
        for event in &events {
            if let Some(record) = record_in(event) {
                records += 1;
                assert!(u64::from(record.length_pages) * 4096 <= durable_length);
                let vouched = !record.listed.is_empty() || births.iter().all(|&birth| birth > record.id);
                assert!(vouched, "pages of {} are neither durable nor listed", record.id);
            }
            match event {
                Event::Lengthened { to } => length = *to,
                Event::LengthSynced => durable_length = covered_length,
                Event::Cut { to } => (length, durable_length) = (*to, *to),
                Event::BarrierBegins { .. } => (covered, covered_length) = (births.len(), length),
                Event::BarrierEnds => drop(births.drain(..covered)),
                Event::Store { offset, bytes } => {
                    assert!(offset + bytes.len() as u64 <= length, "a store after the end");
                    if *offset >= 2 * 4096 {
                        births.push(page::birth(&bytes[..4096]));
                    }
                }
                _ => {}
            }
        }
        assert!(records > 3);
    }
}

#[test]
fn no_two_records_with_one_transaction_id() {
    for kind in KINDS {
        let (events, _) = events_of(kind, 11);
        let ids: Vec<TransactionId> = events.iter().filter_map(record_in).map(|record| record.id).collect();
        // The first is recovery's: it stores again what it found.
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    }
}

#[test]
fn crash_during_recovery_twice() {
    let explorer = Explorer::new().every_recovery(true).recovery_depth(2).second_sessions(false);
    let report = explorer.explore(&Mixed::new(Kind::Tiny)).unwrap();
    assert!(report.recovery_states.iter().all(|&states| states > 500), "{report}");
}
