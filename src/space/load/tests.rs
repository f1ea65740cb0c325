//! Hostile and damaged logs. What a good one says is tested with the writer that makes it, in `space/tests.rs`.

use proptest::prelude::*;

use super::*;
use crate::base::property::cases;
use crate::error::Error;
use crate::format::free_log::{encode_base, encode_delta};

/// Any transaction may be the head.
const NEWEST: TransactionId = TransactionId(u64::MAX);

fn base() -> Base {
    let retired = |first, count, birth, death| RetiredRun {
        run: Extent::new(first, count),
        birth: TransactionId(birth),
        death: TransactionId(death),
    };
    Base {
        length_pages: 1000,
        free: vec![Extent::new(10, 5), Extent::new(300, 200)],
        retired: vec![retired(15, 5, 3, 9), retired(20, 4, 2, 8), retired(700, 300, 1, 9)],
    }
}

fn delta(id: u64, length_pages: u32, taken: &[Extent]) -> Delta {
    Delta { id: TransactionId(id), length_pages, taken: taken.to_vec(), retired: Vec::new() }
}

fn load(entries: &[Vec<u8>]) -> Result<Space> {
    Space::load(&entries.concat(), NEWEST)
}

/// Loads bytes of any origin: whatever is accepted keeps what a `Space` promises.
fn load_anything(log: &[u8]) {
    match Space::load(log, NEWEST) {
        Ok(mut space) => {
            space.verify_partition(&[], |problem| {
                let is_missing = matches!(problem, super::super::partition::PartitionProblem::Missing { .. });
                assert!(is_missing, "{problem:?}");
            });
            space.reclaim(&[TransactionId(5)]).unwrap();
        }
        Err(Error::Corrupt(_)) => {}
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_has_not_happened_is_not_in_a_log() {
    let log = [encode_base(&base()), encode_delta(&delta(10, 1000, &[]))].concat();
    assert!(Space::load(&log, TransactionId(10)).is_ok());
    assert!(Space::load(&log, TransactionId(9)).is_err(), "a delta of transaction 10");
    assert!(Space::load(&encode_base(&base()), TransactionId(9)).is_ok());
    assert!(Space::load(&encode_base(&base()), TransactionId(8)).is_err(), "a death in transaction 9");
}

#[test]
fn a_delta_takes_across_free_and_retired_runs() {
    let mut space =
        load(&[encode_base(&base()), encode_delta(&delta(10, 1000, &[Extent::new(12, 10)]))]).unwrap();
    assert_eq!(space.free().iter().next(), Some(Extent::new(10, 2)));
    assert_eq!(space.retired().iter().next().unwrap().run, Extent::new(22, 2));
    assert_eq!(space.retired().page_count(), 302);
    space.reclaim(&[TransactionId(9)]).unwrap();
    assert_eq!(space.free().page_count(), 504);
}

#[test]
fn a_delta_cuts_off_a_tail_that_still_looks_retired() {
    let log = [encode_base(&base()), encode_delta(&delta(10, 800, &[])), encode_delta(&delta(11, 900, &[]))];
    let space = load(&log).unwrap();
    assert_eq!(space.free_tail(), Some(Extent::new(800, 100)));
    assert_eq!(space.retired().iter().last().unwrap().run, Extent::new(700, 100));
    assert!(load(&[encode_base(&base()), encode_delta(&delta(10, 600, &[]))]).is_err(), "600..700 is in use");
}

#[test]
fn logs_that_no_writer_makes_are_corrupt() {
    let good = encode_base(&base());
    let take = |run| encode_delta(&delta(10, 1000, &[run]));
    let twice = Delta { retired: vec![(Extent::new(702, 1), TransactionId(4))], ..delta(10, 1000, &[]) };
    let free = Delta { retired: vec![(Extent::new(310, 1), TransactionId(4))], ..delta(10, 1000, &[]) };
    let both = Base { free: vec![Extent::new(17, 1)], ..base() };
    let later = encode_delta(&delta(10, 1000, &[]));
    for (what, log) in [
        ("nothing", vec![]),
        ("no base", vec![later.clone()]),
        ("two bases", vec![good.clone(), good.clone()]),
        ("a page that is in use is taken", vec![good.clone(), take(Extent::new(24, 1))]),
        ("a run that is partly in use is taken", vec![good.clone(), take(Extent::new(23, 2))]),
        (
            "the same page is taken twice",
            vec![good.clone(), take(Extent::new(10, 1)), take(Extent::new(10, 1))],
        ),
        ("a page is retired twice", vec![good.clone(), encode_delta(&twice)]),
        ("a free page is retired", vec![good.clone(), encode_delta(&free)]),
        ("a page is free and retired", vec![encode_base(&both)]),
        ("one transaction twice", vec![good.clone(), later.clone(), later]),
    ] {
        assert!(matches!(load(&log), Err(Error::Corrupt(_))), "{what}");
    }
}

#[test]
fn every_flip_and_truncation_loads_or_is_corrupt() {
    let shrink = Delta {
        retired: vec![(Extent::new(30, 2), TransactionId(4)), (Extent::new(40, 9), TransactionId(1))],
        ..delta(10, 900, &[Extent::new(12, 10), Extent::new(310, 40)])
    };
    let log =
        [encode_base(&base()), encode_delta(&shrink), encode_delta(&delta(12, 5000, &[Extent::new(950, 3)]))];
    let log = log.concat();
    Space::load(&log, NEWEST).unwrap();
    for length in 0..log.len() {
        load_anything(&log[..length]);
    }
    for at in 0..log.len() {
        // Under Miri one flip of each byte, and every bit's turn comes.
        let masks = if cfg!(miri) { vec![1 << (at % 8)] } else { (1..=255).collect() };
        for mask in masks {
            let mut damaged = log.clone();
            damaged[at] ^= mask;
            load_anything(&damaged);
        }
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_bytes_load_or_are_corrupt(bytes in prop::collection::vec(prop_oneof![0u8..8, any::<u8>()], 0..80)) {
        load_anything(&bytes);
        load_anything(&[encode_base(&base()), bytes].concat());
    }
}
