//! The disk begins to write long extents while the rest is stored.

use std::ops::Range;

use super::fixture::{Engine, put};
use crate::sim::disk::Event;
use crate::txn::commit::Durability;

/// Commits one entry. Returns what was stored, and what the disk was asked to begin with, each with its place in the
/// order of events.
fn commit(engine: &Engine, value: &[u8]) -> [Vec<(Range<u64>, usize)>; 2] {
    let before = engine.log().events.len();
    engine.log().write_backs.clear();
    let tx = engine.begin().unwrap();
    put(&tx, b"key", value).unwrap();
    tx.commit(Durability::Durable).unwrap();
    let mut log = engine.log();
    let stores = log.events.iter().enumerate().skip(before).filter_map(|(at, event)| match event {
        Event::Store { offset, bytes } => Some((*offset..*offset + bytes.len() as u64, at)),
        _ => None,
    });
    let stored = stores.collect();
    [stored, std::mem::take(&mut log.write_backs)]
}

#[test]
fn long_runs_are_begun_with_piece_by_piece_once_they_are_stored() {
    let engine = Engine::new();
    let [stored, begun] = commit(&engine, &vec![1; 4_000_000]);
    assert!(!stored.is_empty());
    assert_eq!(begun, [], "a short extent waits for its barrier");
    let [stored, begun] = commit(&engine, &vec![2; 5_000_000]);
    let bytes: u64 = begun.iter().map(|(range, _)| range.end - range.start).sum();
    assert!(bytes >= 5_000_000, "{bytes} bytes");
    for (range, events) in &begun {
        // The call comes right after the store of just these bytes.
        assert!(stored.contains(&(range.clone(), events - 1)), "{range:?} at {events} of {stored:?}");
    }
    let barrier = engine.log().events.iter().rposition(|event| matches!(event, Event::BarrierBegins { .. }));
    assert!(begun.iter().all(|(_, events)| *events <= barrier.unwrap()));
}
