//! The set of free runs against one boolean per page.

use proptest::prelude::*;

use super::*;
use crate::base::property::cases;

const PAGES: u32 = 200;
const MAX_STEPS: usize = if cfg!(miri) { 20 } else { 400 };

/// Runs of free pages, by brute force.
fn runs_of(pages: &[bool]) -> Vec<Extent> {
    let mut runs: Vec<Extent> = Vec::new();
    for page in (0..pages.len() as u32).filter(|&page| pages[page as usize]) {
        match runs.last_mut() {
            Some(last) if last.end() == page => last.count += 1,
            _ => runs.push(Extent::new(page, 1)),
        }
    }
    runs
}

fn slice_of(pages: &mut [bool], run: Extent) -> &mut [bool] {
    &mut pages[run.first.0 as usize..run.end() as usize]
}

/// The length of the best fit and its lowest place.
fn best_fit_of(runs: &[Extent], count: u32) -> Option<Extent> {
    let holder = runs.iter().filter(|run| run.count >= count).min_by_key(|run| (run.count, run.first))?;
    Some(Extent::new(holder.first.0, count))
}

/// The fewest runs that hold `count` pages.
fn fewest_runs(runs: &[Extent], count: u32) -> usize {
    let mut counts: Vec<u32> = runs.iter().map(|run| run.count).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0;
    1 + counts.iter().take_while(|&&pages| (sum += pages, sum < count).1).count()
}

fn free_runs_of(pages: &[bool]) -> FreeExtents {
    let mut free = FreeExtents::default();
    free.insert_all(runs_of(pages)).unwrap();
    free
}

fn step(free: &mut FreeExtents, pages: &mut [bool], kind: u8, run: Extent) {
    let runs = runs_of(pages);
    match kind {
        0 | 1 => {
            let overlaps = slice_of(pages, run).contains(&true);
            assert_eq!(free.insert(run).is_err(), overlaps);
            if !overlaps {
                slice_of(pages, run).fill(true);
            }
        }
        2 => {
            let all_free = !slice_of(pages, run).contains(&false);
            assert_eq!(free.take_exact(run).is_ok(), all_free);
            if all_free {
                slice_of(pages, run).fill(false);
            }
        }
        3 => {
            let taken = free.allocate_run(run.count);
            assert_eq!(taken, best_fit_of(&runs, run.count), "the best fit, the lowest among equals");
            if let Some(taken) = taken {
                slice_of(pages, taken).fill(false);
            }
        }
        4 => {
            let total: u32 = runs.iter().map(|run| run.count).sum();
            let Some(taken) = free.allocate(run.count) else {
                return assert!(total < run.count);
            };
            assert!(taken.is_sorted());
            assert_eq!(taken.iter().map(|run| run.count).sum::<u32>(), run.count);
            assert_eq!(taken.len(), fewest_runs(&runs, run.count));
            for taken in taken {
                assert!(slice_of(pages, taken).iter().all(|&is_free| is_free));
                slice_of(pages, taken).fill(false);
            }
        }
        5 => {
            let end = runs.last().map_or(0, |last| last.end());
            let others: Vec<Extent> = runs.iter().copied().filter(|run| run.end() != end).collect();
            let taken = free.allocate_run_before(run.count, end);
            assert_eq!(taken, best_fit_of(&others, run.count), "the best fit before the last run");
            if let Some(taken) = taken {
                slice_of(pages, taken).fill(false);
            }
        }
        6 => {
            let end = runs.last().map_or(0, |last| last.end());
            let from = run.first.0;
            let has_room = |free: &&Extent| free.count >= run.count;
            let next = {
                let behind =
                    runs.iter().filter(has_room).filter(|free| free.first.0 >= from && free.end() != end);
                let mut lengths: Vec<u32> = runs.iter().filter(has_room).map(|free| free.count).collect();
                lengths.sort_unstable();
                lengths.dedup();
                lengths.truncate(LENGTHS_LOOKED_AT);
                behind.filter(|free| lengths.contains(&free.count)).min()
            };
            let expected = next.map(|free| Extent::new(free.first.0, run.count));
            let taken = free.allocate_run_behind(from, run.count, end);
            assert_eq!(taken, expected, "the next that is not the last");
            if let Some(taken) = taken {
                slice_of(pages, taken).fill(false);
            }
        }
        _ => {
            let end = run.end();
            let tail = runs.iter().copied().find(|run| run.end() == end);
            assert_eq!(free.tail_run(end), tail);
            if let Some(tail) = tail {
                free.take_exact(tail).unwrap();
                slice_of(pages, tail).fill(false);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn operations_agree_with_one_boolean_per_page(
        steps in prop::collection::vec((0u8..8, 0..PAGES, 1u32..24), 1..MAX_STEPS),
    ) {
        let mut pages = vec![false; PAGES as usize + 24];
        let mut free = FreeExtents::default();
        for (kind, first, count) in steps {
            step(&mut free, &mut pages, kind, Extent::new(first, count));
            let runs = runs_of(&pages);
            prop_assert_eq!(free.iter().collect::<Vec<_>>(), &runs[..]);
            prop_assert_eq!(free.run_count(), runs.len());
            prop_assert_eq!(free.page_count(), runs.iter().map(|run| run.count).sum::<u32>());
            let longest = runs.iter().map(|run| run.count).max();
            prop_assert_eq!(free.largest_run(), longest.and_then(|count| best_fit_of(&runs, count)));
            prop_assert_eq!(&free, &free_runs_of(&pages), "both orders hold the same runs");
        }
    }
}

#[test]
fn neighbours_become_one_run() {
    let mut free = FreeExtents::default();
    free.insert(Extent::new(10, 5)).unwrap();
    free.insert(Extent::new(20, 5)).unwrap();
    assert_eq!(free.run_count(), 2);
    free.insert(Extent::new(15, 5)).unwrap();
    assert_eq!(free.iter().collect::<Vec<_>>(), [Extent::new(10, 15)]);
}

#[test]
fn freeing_twice_is_an_error_and_changes_nothing() {
    let mut free = FreeExtents::default();
    free.insert_all(vec![Extent::new(30, 4), Extent::new(10, 4), Extent::new(14, 1)]).unwrap();
    let before = free.clone();
    for overlapping in [(10, 5), (8, 3), (14, 2), (11, 1), (5, 100), (33, 1)] {
        let run = Extent::new(overlapping.0, overlapping.1);
        assert_eq!(free.insert(run).unwrap_err().run, run);
        assert_eq!(free, before);
    }
    assert!(free.insert_all(vec![Extent::new(50, 2), Extent::new(51, 2)]).is_err(), "with each other");
}

#[test]
fn too_few_pages_change_nothing() {
    let mut free = FreeExtents::default();
    free.insert_all(vec![Extent::new(10, 3), Extent::new(20, 3)]).unwrap();
    let before = free.clone();
    assert_eq!(free.allocate(7), None);
    assert_eq!(free.allocate_run(4), None);
    assert!(free.take_exact(Extent::new(12, 2)).is_err(), "not all of it is free");
    assert_eq!(free, before);
    assert_eq!(free.allocate(0), Some(Vec::new()));
    assert_eq!(free.allocate(4), Some(vec![Extent::new(10, 3), Extent::new(20, 1)]));
}
