//! The interval rule against brute force, and how much work it is.

use proptest::prelude::*;

use super::*;
use crate::base::property::cases;

fn retired(first: u32, count: u32, birth: u64, death: u64) -> RetiredRun {
    RetiredRun { run: Extent::new(first, count), birth: TransactionId(birth), death: TransactionId(death) }
}

fn ids(numbers: &[u64]) -> Vec<TransactionId> {
    numbers.iter().copied().map(TransactionId).collect()
}

/// The interval rule (I2), word for word.
fn is_needed(retired: &RetiredRun, protected: &[TransactionId]) -> bool {
    protected.iter().any(|&snapshot| retired.birth <= snapshot && snapshot < retired.death)
}

#[test]
fn parked_reader_pins_its_own_snapshot_only() {
    let mut runs = RetiredExtents::default();
    runs.retire(retired(10, 3, 4, 6)).unwrap();
    for death in 7..100 {
        let page = 10 * death as u32;
        runs.retire(retired(page, 1, death - 1, death)).unwrap();
        let freed = runs.reclaim(&ids(&[5, death]));
        assert_eq!(freed, [Extent::new(page, 1)], "born after snapshot 5: only the head's own is kept");
    }
    assert_eq!((runs.page_count(), runs.pinned_by(TransactionId(5))), (3, 3));
    assert_eq!(runs.reclaim(&ids(&[4, 100])), [], "born in 4: snapshot 4 needs it too");
    assert_eq!(runs.pinned_by(TransactionId(4)), 3);
    assert_eq!(runs.reclaim(&ids(&[3, 6])), [Extent::new(10, 3)], "replaced in 6: snapshot 6 does not");
    assert_eq!((runs.page_count(), runs.run_count()), (0, 0));
}

#[test]
fn work_is_in_proportion_to_what_is_freed() {
    const PINNED: u32 = if cfg!(miri) { 100 } else { 1_000_000 };
    let mut runs = RetiredExtents::default();
    for page in 0..PINNED {
        runs.retire(retired(2 + 2 * page, 1, 1, 11)).unwrap();
    }
    assert_eq!(runs.reclaim(&ids(&[10, 11])), []);
    assert_eq!(runs.examined(), u64::from(PINNED), "each is sorted once");

    let beyond = 3 * PINNED;
    const COMMITS: u64 = if cfg!(miri) { 20 } else { 1000 };
    for commit in 12..12 + COMMITS {
        let page = beyond + 2 * commit as u32;
        runs.retire(retired(page, 1, commit - 1, commit)).unwrap();
        assert_eq!(runs.reclaim(&ids(&[10, commit])).len(), 1);
    }
    let examined = runs.examined() - u64::from(PINNED);
    assert_eq!(examined, COMMITS, "a parked reader costs nothing per commit");

    assert_eq!(runs.reclaim(&ids(&[5000])).len(), PINNED as usize);
    assert_eq!(runs.page_count(), 0);
}

#[test]
fn retiring_twice_is_an_error_and_changes_nothing() {
    let mut runs = RetiredExtents::default();
    runs.retire(retired(10, 4, 1, 9)).unwrap();
    runs.reclaim(&ids(&[3]));
    for (first, count) in [(10, 4), (13, 1), (5, 6), (0, 100)] {
        assert!(runs.retire(retired(first, count, 2, 9)).is_err());
        assert_eq!(runs.page_count(), 4);
    }
    assert!(runs.take(Extent::new(9, 2)).is_err());
    assert!(runs.take(Extent::new(13, 2)).is_err());
}

#[test]
fn pages_taken_out_of_a_pinned_run_are_not_freed_with_the_rest() {
    let mut runs = RetiredExtents::default();
    runs.retire(retired(10, 10, 1, 9)).unwrap();
    runs.reclaim(&ids(&[3]));
    runs.take(Extent::new(13, 2)).unwrap();
    assert_eq!(runs.pinned_by(TransactionId(3)), 8);
    // The same pages again, with another life: the bucket's old mention of them must not count.
    runs.retire(retired(13, 2, 10, 11)).unwrap();
    assert_eq!(runs.reclaim(&ids(&[10])), [Extent::new(10, 3), Extent::new(15, 5)]);
    assert_eq!(runs.iter().collect::<Vec<_>>(), [retired(13, 2, 10, 11)]);
    assert_eq!(runs.pinned_by(TransactionId(10)), 2);
}

/// A step: what to do, a page or a snapshot, a number of pages, and how long the run has lived.
type Step = (u8, u32, u32, u64);

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn reclaim_frees_exactly_what_the_interval_rule_says(
        steps in prop::collection::vec((0u8..8, 0u32..150, 1u32..6, 1u64..12), 1..if cfg!(miri) { 30 } else { 300 }),
    ) {
        run_steps(&steps);
    }
}

/// One life per page, by brute force, does what the retired runs do.
fn run_steps(steps: &[Step]) {
    let mut runs = RetiredExtents::default();
    let mut pages: Vec<Option<(u64, u64)>> = vec![None; 160];
    let mut protected = ids(&[0]);
    let mut now = 1;
    for &(kind, number, count, age) in steps {
        let run = Extent::new(number, count);
        let slice = number as usize..run.end() as usize;
        match kind {
            0..=3 => {
                now += u64::from(kind == 0);
                let birth = now - age.min(now);
                let is_new = pages[slice.clone()].iter().all(Option::is_none);
                assert_eq!(runs.retire(retired(number, count, birth, now)).is_ok(), is_new);
                if is_new {
                    pages[slice].fill(Some((birth, now)));
                }
            }
            4 if runs.take(run).is_ok() => {
                let life = pages[number as usize];
                assert!(life.is_some() && pages[slice.clone()].iter().all(|&other| other == life));
                pages[slice].fill(None);
            }
            5 => protected.push(TransactionId(now)),
            6 => drop(protected.remove(number as usize % protected.len())),
            _ => {}
        }
        if kind >= 5 {
            protected.sort_unstable();
            protected.dedup();
            if protected.is_empty() {
                protected.push(TransactionId(now));
            }
            reclaim_and_compare(&mut runs, &mut pages, &protected);
        }
        let kept = pages.iter().flatten().count();
        assert_eq!(runs.page_count() as usize, kept);
        assert_eq!(runs.iter().map(|retired| retired.run.count as usize).sum::<usize>(), kept);
    }
}

fn reclaim_and_compare(
    runs: &mut RetiredExtents,
    pages: &mut [Option<(u64, u64)>],
    protected: &[TransactionId],
) {
    let mut freed: Vec<u32> = runs.reclaim(protected).iter().flat_map(|run| run.first.0..run.end()).collect();
    freed.sort_unstable();
    let mut expected = Vec::new();
    for (page, life) in pages.iter_mut().enumerate() {
        let Some((birth, death)) = *life else { continue };
        if !is_needed(&retired(page as u32, 1, birth, death), protected) {
            expected.push(page as u32);
            *life = None;
        }
    }
    assert_eq!(freed, expected);
    let pinned: u32 = protected.iter().map(|&snapshot| runs.pinned_by(snapshot)).sum();
    assert_eq!(pinned, runs.page_count(), "every run stands in the bucket of a protected snapshot");
    for kept in runs.iter() {
        let smallest = first_that_needs(protected, kept.birth, kept.death);
        assert!(smallest.is_some_and(|snapshot| runs.pinned_by(snapshot) > 0));
    }
}
