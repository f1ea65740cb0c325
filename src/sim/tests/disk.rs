//! The disk itself: which states it may be in after which calls.

use std::collections::BTreeSet;

use crate::sim::Random;
use crate::sim::disk::Description::{Checkpoint, Log};
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
    disk.apply(&Event::BarrierBegins { through: Log, range: 0..u64::MAX });
}

fn barrier(disk: &mut Disk) {
    begin(disk);
    disk.apply(&Event::BarrierEnds(Log));
}

fn barrier_with_length(disk: &mut Disk) {
    begin(disk);
    disk.apply(&Event::LengthSynced(Log));
    disk.apply(&Event::BarrierEnds(Log));
}

/// The byte of each sector in every state in which no sector is torn.
fn states(disk: &Disk) -> BTreeSet<Vec<u8>> {
    (0..disk.state_count()).filter_map(|number| whole_sectors(&disk.state(number))).collect()
}

fn whole_sectors(image: &[u8]) -> Option<Vec<u8>> {
    image
        .chunks(SECTOR)
        .map(|sector| sector.iter().all(|&byte| byte == sector[0]).then_some(sector[0]))
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
    let samples: BTreeSet<Vec<u8>> =
        (0..400).filter_map(|seed| whole_sectors(&disk.sample(&mut Random::new(seed)))).collect();
    assert_eq!(samples, states(&disk), "samples reach every state of a small disk");
}

#[test]
fn a_barrier_settles_what_was_stored_before_it_began_and_no_more() {
    let mut disk = disk(3, WriteMode::Syscall);
    store(&mut disk, 0, 1, 1);
    begin(&mut disk);
    store(&mut disk, 1, 1, 1);
    store(&mut disk, 0, 1, 2);
    disk.apply(&Event::BarrierEnds(Log));
    assert_eq!(states(&disk), sets(&[&[1, 0, 0], &[1, 1, 0], &[2, 0, 0], &[2, 1, 0]]));
    barrier(&mut disk);
    assert_eq!(states(&disk), sets(&[&[2, 1, 0]]));
}

/// Which of the four sectors of two blocks, the first and the last of each, are surely there after `count` were stored.
fn settled(disk: &Disk) -> [bool; 4] {
    let samples: Vec<Vec<u8>> = (0..60).map(|seed| disk.sample(&mut Random::new(seed))).collect();
    [0, 7, 8, 15].map(|sector| {
        samples.iter().all(|image| image[sector * SECTOR..][..SECTOR].iter().all(|&byte| byte == 1))
    })
}

#[test]
fn a_barrier_settles_the_blocks_of_its_range_and_no_more() {
    const BLOCK: u64 = 8 * SECTOR as u64;
    for (range, expected) in [
        (0..0, [false; 4]),
        (0..1, [true, true, false, false]),
        (BLOCK - 1..BLOCK, [true, true, false, false]),
        (BLOCK..BLOCK + 1, [false, false, true, true]),
        (BLOCK - 1..BLOCK + 1, [true; 4]),
        (0..u64::MAX, [true; 4]),
    ] {
        let mut disk = disk(16, WriteMode::Syscall);
        store(&mut disk, 0, 16, 1);
        disk.apply(&Event::BarrierBegins { through: Log, range: range.clone() });
        assert_eq!(settled(&disk), [false; 4]);
        disk.apply(&Event::BarrierEnds(Log));
        assert_eq!(settled(&disk), expected, "{range:?}");
    }
}

#[test]
fn two_barriers_in_flight_cover_each_what_was_stored_before_it_began() {
    for first_to_end in [Log, Checkpoint] {
        let mut disk = disk(1, WriteMode::Syscall);
        store(&mut disk, 0, 1, 1);
        disk.apply(&Event::BarrierBegins { through: Checkpoint, range: 0..u64::MAX });
        store(&mut disk, 0, 1, 2);
        disk.apply(&Event::BarrierBegins { through: Log, range: 0..u64::MAX });
        store(&mut disk, 0, 1, 3);
        disk.apply(&Event::BarrierEnds(first_to_end));
        let expected = if first_to_end == Log { sets(&[&[2], &[3]]) } else { sets(&[&[1], &[2], &[3]]) };
        assert_eq!(states(&disk), expected);
        disk.apply(&Event::BarrierEnds(first_to_end.other()));
        assert_eq!(states(&disk), sets(&[&[2], &[3]]));
    }
}

#[test]
fn a_barrier_that_fails_takes_from_the_other_one_what_both_cover() {
    let mut disk = disk(16, WriteMode::Syscall);
    store(&mut disk, 0, 16, 1);
    disk.apply(&Event::BarrierBegins { through: Checkpoint, range: 0..u64::MAX });
    disk.apply(&Event::BarrierBegins { through: Log, range: 0..1 });
    disk.apply(&Event::BarrierFails(Log));
    disk.apply(&Event::BarrierEnds(Checkpoint));
    assert_eq!(settled(&disk), [false, false, true, true]);
}

#[test]
fn a_length_is_synced_by_the_barrier_that_says_so() {
    let mut disk = disk(1, WriteMode::Syscall);
    disk.apply(&Event::BarrierBegins { through: Checkpoint, range: 0..u64::MAX });
    disk.apply(&Event::Lengthened { to: 2 * SECTOR as u64 });
    disk.apply(&Event::BarrierBegins { through: Log, range: 0..u64::MAX });
    disk.apply(&Event::LengthSynced(Checkpoint));
    assert_eq!(states(&disk), sets(&[&[0], &[0, 0]]), "it began before the file was longer");
    disk.apply(&Event::LengthSynced(Log));
    assert_eq!(states(&disk), sets(&[&[0, 0]]));
}

#[test]
fn a_block_with_a_store_in_doubt_may_be_lost_as_a_whole() {
    let mut disk = Disk::new(vec![1; 24 * SECTOR], WriteMode::Syscall);
    assert!(!disk.has_stores_in_doubt());
    store(&mut disk, 0, 24, 1);
    store(&mut disk, 9, 1, 2);
    assert!(disk.has_stores_in_doubt());
    let is_block = |image: &[u8], is_right: fn(usize, u8) -> bool| {
        let mut bytes = image[8 * SECTOR..16 * SECTOR].iter().enumerate();
        bytes.all(|(at, &byte)| is_right(at / SECTOR, byte))
    };
    let (mut zeros, mut others) = (0, 0);
    for seed in 0..50 {
        let image = disk.sample_with_lost_blocks(&mut Random::new(seed));
        assert!(image[..8 * SECTOR].iter().chain(&image[16 * SECTOR..]).all(|&byte| byte == 1));
        match is_block(&image, |_, byte| byte == 0) {
            true => zeros += 1,
            false => others += usize::from(!is_block(&image, |sector, byte| sector == 1 || byte == 1)),
        }
    }
    assert!(zeros > 10 && others > 10 && zeros + others == 50, "{zeros} {others}");
    barrier(&mut disk);
    assert!(!disk.has_stores_in_doubt(), "what is durable is not lost");
}

#[test]
fn lost_blocks_end_with_the_file() {
    let mut disk = disk(3, WriteMode::Syscall);
    store(&mut disk, 1, 1, 1);
    disk.apply(&Event::Lengthened { to: 20 * SECTOR as u64 });
    store(&mut disk, 18, 2, 1);
    let lengths: BTreeSet<usize> =
        (0..50).map(|seed| disk.sample_with_lost_blocks(&mut Random::new(seed)).len() / SECTOR).collect();
    assert_eq!(lengths, BTreeSet::from([3, 20]));
}

#[test]
fn what_a_failed_barrier_covered_is_in_doubt_until_it_is_stored_again() {
    let mut disk = disk(1, WriteMode::Syscall);
    store(&mut disk, 0, 1, 1);
    begin(&mut disk);
    disk.apply(&Event::BarrierFails(Log));
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
    begin(&mut disk);
    disk.apply(&Event::LengthSynced(Log));
    assert_eq!(
        states(&disk),
        sets(&[&[0, 0, 0, 0], &[0, 0, 0, 1]]),
        "the length is there, the bytes may not be"
    );
    disk.apply(&Event::BarrierEnds(Log));
    disk.apply(&Event::Cut { to: SECTOR as u64 });
    assert_eq!(states(&disk), sets(&[&[0], &[0, 0, 0, 1]]));
    // What was behind the cut is not there again when the file is longer again.
    disk.apply(&Event::Lengthened { to: 4 * SECTOR as u64 });
    barrier_with_length(&mut disk);
    assert_eq!(states(&disk), sets(&[&[0, 0, 0, 0]]));
    // What changes while the barrier is under way is not covered.
    disk.apply(&Event::Lengthened { to: 5 * SECTOR as u64 });
    begin(&mut disk);
    disk.apply(&Event::Lengthened { to: 6 * SECTOR as u64 });
    disk.apply(&Event::LengthSynced(Log));
    disk.apply(&Event::BarrierEnds(Log));
    assert_eq!(lengths(&disk), BTreeSet::from([5, 6]));
}

#[test]
fn a_barrier_does_not_make_a_length_durable() {
    let mut disk = disk(2, WriteMode::Syscall);
    disk.apply(&Event::Cut { to: SECTOR as u64 });
    barrier(&mut disk);
    assert_eq!(states(&disk), sets(&[&[0], &[0, 0]]));
    disk.apply(&Event::Lengthened { to: 3 * SECTOR as u64 });
    store(&mut disk, 2, 1, 1);
    barrier(&mut disk);
    assert_eq!(states(&disk), sets(&[&[0], &[0, 0], &[0, 0, 0], &[0, 0, 1]]));
    barrier_with_length(&mut disk);
    assert_eq!(states(&disk), sets(&[&[0, 0, 1]]));
}

#[test]
fn a_cut_takes_nothing_away_that_was_stored_after_it() {
    let mut disk = disk(3, WriteMode::Syscall);
    disk.apply(&Event::Cut { to: SECTOR as u64 });
    disk.apply(&Event::Lengthened { to: 4 * SECTOR as u64 });
    store(&mut disk, 2, 2, 1);
    barrier(&mut disk);
    // A caller that does not know of the failure does the same again.
    store(&mut disk, 2, 2, 1);
    barrier_with_length(&mut disk);
    assert_eq!(states(&disk), sets(&[&[0, 0, 1, 1]]));
}

#[test]
fn what_is_stored_while_a_barrier_fails_is_in_doubt_too() {
    let mut disk = disk(2, WriteMode::Syscall);
    begin(&mut disk);
    store(&mut disk, 0, 1, 1);
    disk.apply(&Event::BarrierFails(Log));
    store(&mut disk, 1, 1, 1);
    barrier(&mut disk);
    assert_eq!(states(&disk), sets(&[&[0, 1], &[1, 1]]));
}

#[test]
fn clean_pages_may_be_dropped_and_read_again_from_the_disk() {
    let mut disk = disk(24, WriteMode::Syscall);
    store(&mut disk, 0, 16, 1);
    begin(&mut disk);
    disk.apply(&Event::BarrierFails(Log));
    assert!(disk.has_clean_doubts());
    store(&mut disk, 8, 1, 2); // one sector makes its page dirty
    store(&mut disk, 16, 1, 1);
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let dropped = disk.with_dropped_pages(&mut Random::new(seed));
        let byte = |sector: usize| dropped.cache()[sector * SECTOR + SECTOR / 2];
        assert_eq!([byte(8), byte(9), byte(16)], [2, 1, 1], "dirty pages are kept");
        seen.insert([byte(0), byte(1)]);
        if byte(0) == 0 {
            let on_disk: BTreeSet<u8> =
                (0..50).map(|seed| dropped.sample(&mut Random::new(seed))[0]).collect();
            assert_eq!(on_disk, BTreeSet::from([dropped.cache()[0]]), "what was read again is what is there");
        }
    }
    assert!(seen.is_superset(&BTreeSet::from([[0, 0], [0, 1], [1, 0], [1, 1]])), "{seen:?}");
    barrier(&mut disk);
    assert!(disk.has_clean_doubts(), "no barrier changes that");
}

#[test]
fn a_sector_may_be_torn_at_any_byte_in_both_write_modes() {
    for write_mode in [WriteMode::Syscall, WriteMode::Mapped] {
        let (mut cuts, mut heads) = (BTreeSet::new(), BTreeSet::new());
        let mut disk = disk(100, write_mode);
        for sector in 0..100 {
            store(&mut disk, sector, 1, 1);
        }
        for seed in 0..200 {
            for sector in disk.sample(&mut Random::new(seed)).chunks(SECTOR) {
                if whole_sectors(sector).is_none() {
                    cuts.insert(sector.windows(2).position(|pair| pair[0] != pair[1]).unwrap());
                    heads.insert(sector[0]);
                }
            }
        }
        assert!(cuts.len() > 50 && cuts.iter().any(|cut| cut % 2 == 0), "{cuts:?}");
        assert_eq!(heads, BTreeSet::from([0, 1]), "the first part is new, or the rest");
        barrier(&mut disk);
        assert_eq!(states(&disk).len(), 1);
    }
}

#[test]
fn the_last_state_is_that_all_was_stored_however_many_there_are() {
    let mut disk = disk(100, WriteMode::Syscall);
    disk.apply(&Event::Lengthened { to: 200 * SECTOR as u64 });
    store(&mut disk, 0, 200, 1);
    assert_eq!(disk.state_count(), u64::MAX, "more than can be counted");
    assert_eq!(disk.state(u64::MAX - 1), disk.cache());
}
