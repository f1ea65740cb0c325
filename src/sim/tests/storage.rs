//! The simulated storage: what it writes down when calls fail, and what goes on meanwhile.

use std::sync::Arc;

use crate::sim::disk::{Disk, Event, SECTOR};
use crate::sim::storage::SimulatedStorage;
use crate::sim::{Fault, Random};
use crate::sys::{Storage, WriteMode};

const LENGTH: u64 = 8 * SECTOR as u64;

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
    assert_eq!(events, [Event::Lengthened { to }, Event::BarrierBegins { length }, Event::BarrierFails]);
    storage.barrier_with_length().unwrap();
    assert!(matches!(storage.log().lock().events[..], [.., Event::LengthSynced, Event::BarrierEnds]));
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
