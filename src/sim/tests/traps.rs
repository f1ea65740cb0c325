//! Mistakes that stores of this kind have made, one test for each.

use super::mixed::{Kind, Mixed};
use crate::base::{Lsn, TransactionId};
use crate::format::meta::Meta;
use crate::format::ring::Ring;
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

fn meta_in(event: &Event) -> Option<Meta> {
    match event {
        Event::Store { offset, bytes } if *offset < 2 * 4096 => Meta::decode(bytes, 0).ok(),
        _ => None,
    }
}

fn metas_of(kind: Kind, seed: u64) -> Vec<Meta> {
    events_of(kind, seed).0.iter().filter_map(meta_in).collect()
}

/// How often the log has gone around its ring, and how many rings there were.
fn laps_and_rings(metas: &[Meta]) -> (u64, usize) {
    let rings = || metas.iter().filter_map(|meta| Some((meta.redo.ring?, meta.redo.log_start)));
    let lap = |(ring, log_start): (Ring, Lsn)| log_start.since(ring.base) / ring.length_bytes(4096);
    let mut lengths: Vec<u32> = rings().map(|(ring, _)| ring.pages).collect();
    lengths.dedup();
    (rings().map(lap).max().unwrap_or(0), lengths.len())
}

#[test]
fn the_scenarios_reach_what_they_are_for() {
    let (events, _) = events_of(Kind::GrowAndShrink, 0);
    assert!(events.iter().any(|event| matches!(event, Event::Cut { .. })));
    assert!(events.iter().any(|event| matches!(event, Event::Lengthened { .. })));
    let metas = metas_of(Kind::Long, 0);
    assert!(metas.iter().any(|meta| meta.log_page.0 != 0), "the free log goes to pages of its own");
    assert!(laps_and_rings(&metas).0 > 3, "the log goes around its ring again and again");
    assert!(laps_and_rings(&metas_of(Kind::Small, 0)).0 > 0, "the log goes around its ring");
    assert!(laps_and_rings(&metas_of(Kind::Large, 0)).1 > 1, "the ring grows");
}

#[test]
fn growth_is_durable_before_its_meta() {
    for kind in KINDS {
        let (events, mut length) = events_of(kind, 7);
        let mut durable_length = length;
        let mut covered_length = [0; 2];
        let mut metas = 0;
        for event in &events {
            if let Some(meta) = meta_in(event) {
                metas += 1;
                assert!(u64::from(meta.length_pages) * 4096 <= durable_length);
            }
            match event {
                Event::Lengthened { to } => length = *to,
                Event::LengthSynced(through) => durable_length = covered_length[*through as usize],
                Event::Cut { to } => (length, durable_length) = (*to, *to),
                Event::BarrierBegins { through, .. } => covered_length[*through as usize] = length,
                Event::Store { offset, bytes } => {
                    assert!(offset + bytes.len() as u64 <= length, "a store after the end");
                }
                _ => {}
            }
        }
        assert!(metas > 3);
    }
}

#[test]
fn no_two_metas_with_one_transaction_id() {
    for kind in KINDS {
        let ids: Vec<TransactionId> = metas_of(kind, 11).into_iter().map(|meta| meta.id).collect();
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
