//! Round trips, damaged bytes, and the bounds that the writer relies on.

use proptest::prelude::*;

use super::*;
use crate::base::property::cases;

const MAX_EXTENTS: usize = if cfg!(miri) { 5 } else { 50 };
const MAX_BYTES: usize = if cfg!(miri) { 300 } else { 1000 };

/// Distances and counts, mostly small, to be added up to runs that ascend.
fn runs(most: usize) -> impl Strategy<Value = Vec<Extent>> {
    let number = || prop_oneof![4 => 0u32..300, 1 => 0u32..2_000_000];
    prop::collection::vec((number(), number()), 0..most).prop_map(|pairs| {
        let mut end = FIRST_PAGE;
        let run = |(distance, less_one): (u32, u32)| {
            let run = Extent::new(end + distance, less_one + 1);
            end = run.end();
            run
        };
        pairs.into_iter().map(run).collect()
    })
}

fn lives() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let number = || prop_oneof![4 => 0u64..1000, 1 => 0u64..u64::MAX / 4];
    prop::collection::vec((number(), number()), MAX_EXTENTS)
}

const LENGTH: u32 = PageNumber::LIMIT;

fn base() -> impl Strategy<Value = Base> {
    (runs(MAX_EXTENTS), runs(MAX_EXTENTS), lives()).prop_map(|(free, retired, lives)| Base {
        length_pages: LENGTH,
        free,
        retired: retired
            .into_iter()
            .zip(lives)
            .map(|(run, (birth, age))| RetiredRun {
                run,
                birth: TransactionId(birth),
                death: TransactionId(birth + age + 1),
            })
            .collect(),
    })
}

fn delta() -> impl Strategy<Value = Delta> {
    (runs(MAX_EXTENTS), runs(MAX_EXTENTS), lives()).prop_map(|(taken, retired, lives)| {
        let id = TransactionId(lives.iter().map(|life| life.0).max().unwrap() + 1);
        let retired =
            retired.into_iter().zip(lives).map(|(run, life)| (run, TransactionId(life.0))).collect();
        Delta { id, length_pages: LENGTH, taken, retired }
    })
}

fn decode(log: &[u8]) -> Result<Vec<Entry>> {
    entries(log).collect()
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn entries_round_trip(base in base(), deltas in prop::collection::vec(delta(), 0..4)) {
        let mut log = encode_base(&base);
        deltas.iter().for_each(|delta| log.extend(encode_delta(delta)));
        let mut expected = vec![Entry::Base(base)];
        expected.extend(deltas.into_iter().map(Entry::Delta));
        prop_assert_eq!(decode(&log).unwrap(), expected);
    }

    #[test]
    fn a_cut_entry_is_corrupt(delta in delta(), base in base()) {
        for bytes in [encode_delta(&delta), encode_base(&base)] {
            for length in 1..bytes.len() {
                prop_assert!(matches!(decode(&bytes[..length]), Err(Error::Corrupt(_))));
            }
        }
    }

    #[test]
    fn damaged_entries_decode_or_are_corrupt(delta in delta(), base in base(), masks in any::<[u8; 4]>()) {
        let bytes = [encode_base(&base), encode_delta(&delta)].concat();
        for at in (0..bytes.len()).step_by(if cfg!(miri) { 7 } else { 1 }) {
            for mask in masks {
                let mut damaged = bytes.clone();
                damaged[at] ^= mask;
                decode_anything(&damaged);
            }
        }
    }

    #[test]
    fn any_bytes_decode_or_are_corrupt(bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..200)) {
        decode_anything(&bytes);
        let _ = read_page(&[bytes, vec![0; HEADER_LEN]].concat());
    }

    #[test]
    fn more_taken_runs_stay_within_the_bound(delta in delta(), more in runs(20)) {
        let before = encode_delta(&Delta { length_pages: LENGTH / 2, ..delta.clone() }).len();
        let mut longer = delta;
        let mut end = longer.taken.last().map_or(FIRST_PAGE, |last| last.end());
        // After the last one, and in every gap: each becomes a run of its own or makes one longer.
        let added = more.len();
        for run in &more {
            longer.taken.push(Extent::new(end + run.first.0 % 1000, run.count));
            end = longer.taken.last().unwrap().end();
        }
        let gap = longer.taken.windows(2).position(|pair| pair[0].end() + 2 < pair[1].first.0);
        let gap_count = usize::from(gap.is_some());
        if let Some(at) = gap {
            let run = Extent::new(longer.taken[at].end() + 1, 1);
            longer.taken.insert(at + 1, run);
        }
        prop_assert!(encode_delta(&longer).len() <= longest_delta_len(before, added + gap_count));
    }

    #[test]
    fn a_chain_of_pages_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..MAX_BYTES), spare in 0usize..3) {
        const PAGE_SIZE: usize = 128;
        let count = bytes.len().div_ceil(page_capacity(PAGE_SIZE)) + spare;
        let numbers: Vec<PageNumber> = (0..count as u32).map(|page| PageNumber(500 - page)).collect();
        let (birth, tail) = (TransactionId(7), b"the tail");
        let mut pages = write_chain(&bytes, &numbers, PageNumber(0), PAGE_SIZE);
        for (page, &number) in pages.iter_mut().zip(&numbers) {
            page::seal(page, number, birth);
            page::verify(page, number).unwrap();
        }
        let newest = numbers.last().copied().unwrap_or_default();
        let chain = read_chain(newest, tail, |number| Ok(&pages[500 - number.0 as usize])).unwrap();
        prop_assert_eq!(chain.bytes, [&bytes[..], tail].concat());
        let newest_first: Vec<_> = numbers.iter().rev().map(|&number| (number, birth)).collect();
        prop_assert_eq!(chain.pages, newest_first);
    }
}

/// What is decoded from any bytes ascends, does not overlap, lies in the file, and is no longer than the bytes.
fn decode_anything(bytes: &[u8]) {
    let in_order = |runs: Vec<Extent>, length_pages: u32| {
        assert!(runs.len() <= bytes.len() / 2);
        let mut end = FIRST_PAGE;
        for run in runs {
            assert!(run.count > 0 && run.first.0 >= end && run.end() <= length_pages);
            end = run.end();
        }
    };
    for entry in entries(bytes) {
        match entry {
            Ok(Entry::Base(base)) => {
                assert!(base.retired.iter().all(|retired| retired.birth < retired.death));
                in_order(base.retired.iter().map(|retired| retired.run).collect(), base.length_pages);
                in_order(base.free, base.length_pages);
            }
            Ok(Entry::Delta(delta)) => {
                assert!(delta.retired.iter().all(|&(_, birth)| birth < delta.id));
                in_order(delta.retired.iter().map(|&(run, _)| run).collect(), delta.length_pages);
                in_order(delta.taken, delta.length_pages);
            }
            Ok(Entry::Names(_)) => {}
            Err(error) => assert!(matches!(error, Error::Corrupt(_))),
        }
    }
}

#[test]
fn a_hostile_count_allocates_nothing() {
    let mut bytes = Vec::new();
    for number in [DELTA, 9, 100, u64::MAX] {
        push_varint(&mut bytes, number);
    }
    assert!(matches!(decode(&bytes), Err(Error::Corrupt(_))));
    assert_eq!(entries(&bytes).count(), 1, "after an error there is nothing more");
}

#[test]
fn damaged_log_pages_are_corrupt() {
    let mut good = vec![0; 256];
    write_page(&mut good, &LogPage { previous: PageNumber(3), begins_base: false, payload: b"payload" });
    assert_eq!(read_page(&good).unwrap().payload, b"payload");
    let damage = |at: usize, value: u8| {
        let mut page = good.clone();
        page[at] = value;
        page
    };
    assert!(read_page(&damage(16, 1)).is_err(), "another kind");
    assert!(read_page(&damage(FLAGS_AT, 1)).is_err(), "a base with a page before it");
    assert!(read_page(&damage(FLAGS_AT + 1, 1)).is_err(), "unknown flag");
    assert!(read_page(&damage(PREVIOUS_AT, 0)).is_err(), "no page before it and no base");
    assert!(read_page(&damage(LENGTH_AT, 225)).is_err(), "longer than the page");
    assert!(read_page(&damage(LENGTH_AT + 3, 255)).is_err(), "much longer");
    assert!(read_page(&damage(RESERVED_AT, 1)).is_err(), "reserved");
}

#[test]
fn a_chain_that_runs_in_a_circle_is_corrupt() {
    let mut pages = vec![vec![0; 256]; 2];
    for (at, page) in pages.iter_mut().enumerate() {
        let previous = PageNumber(6 - at as u32);
        write_page(page, &LogPage { previous, begins_base: false, payload: b"x" });
    }
    let read = |number: PageNumber| Ok(&pages[number.0 as usize - 5][..]);
    assert!(matches!(read_chain(PageNumber(5), b"", read), Err(Error::Corrupt(_))));
}
