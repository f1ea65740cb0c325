//! The simulated storage: what it writes down when calls fail, and what goes on meanwhile.

use std::sync::Arc;

use crate::sim::disk::{Description, Disk, Event, SECTOR};
use crate::sim::storage::SimulatedStorage;
use crate::sim::{Fault, Random};
use crate::sys::{Storage, WriteMode};

const BLOCK: u64 = 8 * SECTOR as u64;
const LENGTH: u64 = 2 * BLOCK;

fn storage() -> Arc<SimulatedStorage> {
    Arc::new(SimulatedStorage::new(&[0; LENGTH as usize], WriteMode::Syscall, 1 << 20).unwrap())
}

/// The first byte that some states of the disk have in a sector, after all that was done to `storage`.
fn bytes_on_disk(storage: &SimulatedStorage, sector: usize) -> Vec<u8> {
    let mut disk = Disk::new(vec![0; LENGTH as usize], WriteMode::Syscall);
    storage.log().lock().events.iter().for_each(|event| disk.apply(event));
    let sample = |seed| disk.sample(&mut Random::new(seed))[sector * SECTOR];
    let mut bytes: Vec<u8> = (0..60).map(sample).collect();
    bytes.sort_unstable();
    bytes.dedup();
    bytes
}

#[test]
fn others_store_while_a_barrier_fails_and_no_later_one_writes_that() {
    let storage = storage();
    storage.write(0, &[&[1; SECTOR]]).unwrap();
    let other = Arc::clone(&storage);
    storage.log().lock().meanwhile =
        Some(Box::new(move || other.write(SECTOR as u64, &[&[1; SECTOR]]).unwrap()));
    storage.log().lock().fault = Some((Fault::Barrier, 0));
    storage.barrier(LENGTH).unwrap_err();
    assert!(storage.log().lock().meanwhile.is_none(), "it has been done");
    storage.barrier(LENGTH).unwrap();
    storage.barrier(LENGTH).unwrap();
    assert_eq!([bytes_on_disk(&storage, 0), bytes_on_disk(&storage, 1)], [[0, 1], [0, 1]]);
}

#[test]
fn growth_whose_barrier_fails_leaves_everything_in_doubt() {
    let storage = storage();
    storage.write(0, &[&[1; SECTOR]]).unwrap();
    storage.grow(LENGTH, 2 * LENGTH, true).unwrap();
    storage.log().lock().fault = Some((Fault::Barrier, 0));
    storage.barrier_with_length().unwrap_err();
    storage.barrier(LENGTH).unwrap();
    assert_eq!(bytes_on_disk(&storage, 0), [0, 1]);
    let (to, length) = (2 * LENGTH, 2 * LENGTH);
    let events = storage.log().lock().events[1..4].to_vec();
    let (through, range) = (Description::Log, 0..length);
    let begins = Event::BarrierBegins { through, range };
    assert_eq!(events, [Event::Lengthened { to }, begins, Event::BarrierFails(through)]);
    storage.barrier_with_length().unwrap();
    assert!(matches!(storage.log().lock().events[..], [.., Event::LengthSynced(_), Event::BarrierEnds(_)]));
}

#[test]
fn each_description_is_told_once_of_a_failed_write() {
    type Barrier = fn(&SimulatedStorage) -> std::io::Result<()>;
    let log: Barrier = |storage| storage.barrier_over(0, 1);
    let checkpoint: Barrier = |storage| storage.checkpoint_barrier();
    for (one, other) in [(log, checkpoint), (checkpoint, log)] {
        let storage = storage();
        storage.write(0, &[&[1; SECTOR]]).unwrap();
        storage.log().lock().fault = Some((Fault::Barrier, 0));
        one(&storage).unwrap_err();
        one(&storage).unwrap();
        assert_eq!(bytes_on_disk(&storage, 0), [0, 1]);
        storage.write(0, &[&[2; SECTOR]]).unwrap();
        other(&storage).unwrap_err();
        other(&storage).unwrap();
        one(&storage).unwrap();
        assert_eq!(bytes_on_disk(&storage, 0), [0, 1, 2], "it has covered that as well");
        storage.write(0, &[&[2; SECTOR]]).unwrap();
        other(&storage).unwrap();
        assert_eq!(bytes_on_disk(&storage, 0), [2]);
        assert_eq!(storage.log().lock().faults_met, 1);
    }
}

#[test]
fn a_barrier_over_a_range_leaves_the_other_blocks_and_the_length_in_doubt() {
    let storage = storage();
    storage.write(0, &[&[1; 16 * SECTOR]]).unwrap();
    storage.grow(LENGTH, 2 * LENGTH, false).unwrap();
    storage.barrier_over(BLOCK + 5, 1).unwrap();
    assert_eq!([bytes_on_disk(&storage, 7), bytes_on_disk(&storage, 8)], [vec![0, 1], vec![1]]);
    let events = storage.log().lock().events[2..].to_vec();
    let (through, range) = (Description::Log, BLOCK + 5..BLOCK + 6);
    assert_eq!(events, [Event::BarrierBegins { through, range }, Event::BarrierEnds(through)]);
    storage.barrier_over(0, (1 << 20) + 1).unwrap_err();
    storage.barrier_over(u64::MAX, 1).unwrap_err();
    storage.checkpoint_barrier().unwrap();
    assert_eq!(bytes_on_disk(&storage, 7), [1]);
}

#[test]
fn the_log_is_synced_while_a_checkpoint_is() {
    let storage = storage();
    let other = Arc::clone(&storage);
    storage.log().lock().meanwhile = Some(Box::new(move || {
        other.write(0, &[&[1; SECTOR]]).unwrap();
        other.barrier_over(0, 1).unwrap();
        assert_eq!(bytes_on_disk(&other, 0), [1]);
    }));
    storage.checkpoint_barrier().unwrap();
    let through: Vec<Description> = storage
        .log()
        .lock()
        .events
        .iter()
        .filter_map(|event| match event {
            Event::BarrierBegins { through, .. } | Event::BarrierEnds(through) => Some(*through),
            _ => None,
        })
        .collect();
    let (log, checkpoint) = (Description::Log, Description::Checkpoint);
    assert_eq!(through, [checkpoint, log, log, checkpoint]);
}

#[test]
fn only_reading_a_record_flips_a_bit_and_once() {
    let storage = storage();
    storage.log().lock().fault = Some((Fault::FlippedBit, 0));
    let mut bytes = [0; 200];
    storage.read(0, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 200]);
    let record = [&crate::format::meta::MAGIC[..], &[0; 192]].concat();
    storage.write(0, &[&record]).unwrap();
    storage.read(0, &mut bytes).unwrap();
    let different = bytes.iter().zip(&record).filter(|(read, stored)| read != stored);
    assert_eq!(different.count(), 1);
    storage.read(0, &mut bytes).unwrap();
    assert_eq!(bytes[..], record);
}
