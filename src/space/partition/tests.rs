//! The sweep against a count per page.

use proptest::prelude::*;

use super::*;
use crate::base::property::cases;

const LENGTH: u32 = 40;

fn problems_of(uses: &[(Extent, PageUse)]) -> Vec<PartitionProblem> {
    let mut problems = Vec::new();
    verify_uses(uses, LENGTH, |problem| problems.push(problem));
    problems
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn each_page_that_is_missing_or_double_is_reported(
        runs in prop::collection::vec((FIRST_PAGE..LENGTH, 1u32..8), 0..16),
    ) {
        let mut uses: Vec<(Extent, PageUse)> = runs
            .iter()
            .map(|&(first, count)| (Extent::new(first, count.min(LENGTH - first)), PageUse::Reachable))
            .collect();
        uses.sort_unstable();
        let mut counts = vec![0; LENGTH as usize];
        for (run, _) in &uses {
            (run.first.0..run.end()).for_each(|page| counts[page as usize] += 1);
        }
        let mut missing = vec![false; LENGTH as usize];
        let mut double = vec![false; LENGTH as usize];
        for problem in problems_of(&uses) {
            let (run, pages) = match problem {
                PartitionProblem::Missing { run } => (run, &mut missing),
                PartitionProblem::Double { run, .. } => (run, &mut double),
                PartitionProblem::Outside { run, .. } => panic!("{run} is inside"),
            };
            pages[run.first.0 as usize..run.end() as usize].fill(true);
        }
        for page in FIRST_PAGE as usize..LENGTH as usize {
            prop_assert_eq!((missing[page], double[page]), (counts[page] == 0, counts[page] > 1));
        }
    }
}

#[test]
fn runs_outside_the_file_are_reported_and_not_counted() {
    let outside = [Extent::new(0, 2), Extent::new(39, 2), Extent::new(u32::MAX, u32::MAX)];
    let mut uses: Vec<_> = outside.iter().map(|&run| (run, PageUse::Reachable)).collect();
    uses.insert(1, (Extent::new(2, 38), PageUse::Free));
    let expected = outside.map(|run| PartitionProblem::Outside { run, page_use: PageUse::Reachable });
    assert_eq!(problems_of(&uses), expected);
}
