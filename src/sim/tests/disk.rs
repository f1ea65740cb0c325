//! The disk itself: which states it may be in after which calls.

use std::collections::BTreeSet;

use crate::sim::Random;
use crate::sim::disk::{Disk, Event, SECTOR};
use crate::sys::WriteMode;

fn disk(sectors: usize, write_mode: WriteMode) -> Disk {
    Disk::new(vec![0; sectors * SECTOR], write_mode)
}

fn store(disk: &mut Disk, sector: usize, count: usize, byte: u8) {
    let bytes = vec![byte; count * SECTOR];
    disk.apply(&Event::Store { offset: (sector * SECTOR) as u64, bytes: bytes.into() });
}

fn begin(disk: &mut Disk) {
    disk.apply(&Event::BarrierBegins { length: u64::MAX });
}

fn barrier(disk: &mut Disk) {
    begin(disk);
    disk.apply(&Event::BarrierEnds);
}

/// The first byte of each sector, in every state.
fn states(disk: &Disk) -> BTreeSet<Vec<u8>> {
    (0..disk.state_count())
        .map(|number| disk.state(number).chunks(SECTOR).map(|sector| sector[0]).collect())
        .collect()
}

fn sets(states: &[&[u8]]) -> BTreeSet<Vec<u8>> {
    states.iter().map(|state| state.to_vec()).collect()
}

#[test]
fn a_store_is_there_or_lost_or_torn_and_stores_come_in_any_order() {
    let mut disk = disk(2, WriteMode::Syscall);
    store(&mut disk, 0, 2, 1);
    assert_eq!(states(&disk), sets(&[&[0, 0], &[0, 1], &[1, 0], &[1, 1]]));
    store(&mut disk, 1, 1, 2);
    assert_eq!(states(&disk), sets(&[&[0, 0], &[0, 1], &[0, 2], &[1, 0], &[1, 1], &[1, 2]]));
    let samples: BTreeSet<Vec<u8>> = (0..200)
        .map(|seed| disk.sample(&mut Random::new(seed)).chunks(SECTOR).map(|sector| sector[0]).collect())
        .collect();
    assert_eq!(samples, states(&disk), "samples reach every state of a small disk");
}

#[test]
fn a_barrier_settles_what_was_stored_before_it_began_and_no_more() {
    let mut disk = disk(3, WriteMode::Syscall);
    store(&mut disk, 0, 1, 1);
    begin(&mut disk);
    store(&mut disk, 1, 1, 1);
    store(&mut disk, 0, 1, 2);
    disk.apply(&Event::BarrierEnds);
    assert_eq!(states(&disk), sets(&[&[1, 0, 0], &[1, 1, 0], &[2, 0, 0], &[2, 1, 0]]));
    barrier(&mut disk);
    assert_eq!(states(&disk), sets(&[&[2, 1, 0]]));
}

#[test]
fn a_barrier_settles_no_more_than_its_length() {
    let mut disk = disk(2, WriteMode::Syscall);
    store(&mut disk, 0, 2, 1);
    disk.apply(&Event::BarrierBegins { length: SECTOR as u64 });
    disk.apply(&Event::BarrierEnds);
    assert_eq!(states(&disk), sets(&[&[1, 0], &[1, 1]]));
}

#[test]
fn what_a_failed_barrier_covered_is_in_doubt_until_it_is_stored_again() {
    let mut disk = disk(1, WriteMode::Syscall);
    store(&mut disk, 0, 1, 1);
    begin(&mut disk);
    disk.apply(&Event::BarrierFails);
    barrier(&mut disk);
    assert_eq!(disk.cache()[0], 1);
    assert_eq!(states(&disk), sets(&[&[0], &[1]]), "a barrier that succeeds later writes nothing");
    store(&mut disk, 0, 1, 1);
    assert_eq!(states(&disk), sets(&[&[0], &[1]]));
    barrier(&mut disk);
    assert_eq!(states(&disk), sets(&[&[1]]), "stored again, the same bytes are written");
}

#[test]
fn a_length_is_in_doubt_until_it_is_synced_and_changes_come_in_order() {
    let lengths = |disk: &Disk| -> BTreeSet<usize> {
        (0..disk.state_count()).map(|number| disk.state(number).len() / SECTOR).collect()
    };
    let mut disk = disk(2, WriteMode::Syscall);
    disk.apply(&Event::Lengthened { to: 4 * SECTOR as u64 });
    assert_eq!(lengths(&disk), BTreeSet::from([2, 4]));
    store(&mut disk, 3, 1, 1);
    assert_eq!(states(&disk), sets(&[&[0, 0], &[0, 0, 0, 0], &[0, 0, 0, 1]]));
    disk.apply(&Event::LengthSynced);
    assert_eq!(
        states(&disk),
        sets(&[&[0, 0, 0, 0], &[0, 0, 0, 1]]),
        "the length is there, the bytes may not be"
    );
    barrier(&mut disk);
    disk.apply(&Event::Cut { to: SECTOR as u64 });
    assert_eq!(states(&disk), sets(&[&[0], &[0, 0, 0, 1]]));
    // What was behind the cut is not there again when the file is longer again.
    disk.apply(&Event::Lengthened { to: 4 * SECTOR as u64 });
    disk.apply(&Event::LengthSynced);
    assert_eq!(states(&disk), sets(&[&[0, 0, 0, 0]]));
}

#[test]
fn through_a_mapping_a_sector_may_be_written_in_the_middle_of_a_store() {
    let mut disk = disk(1, WriteMode::Mapped);
    store(&mut disk, 0, 1, 1);
    let images: BTreeSet<Vec<u8>> = (0..disk.state_count()).map(|number| disk.state(number)).collect();
    assert_eq!(images.len(), 3);
    let torn = images.iter().find(|image| image[0] == 1 && image[SECTOR - 1] == 0);
    assert!(torn.is_some(), "the first part new, the rest old");
    barrier(&mut disk);
    assert_eq!(states(&disk), sets(&[&[1]]));
}

#[test]
fn the_last_state_is_that_all_was_stored_however_many_there_are() {
    let mut disk = disk(100, WriteMode::Syscall);
    disk.apply(&Event::Lengthened { to: 200 * SECTOR as u64 });
    store(&mut disk, 0, 200, 1);
    assert_eq!(disk.state_count(), u64::MAX, "more than can be counted");
    assert_eq!(disk.state(u64::MAX - 1), disk.cache());
}
