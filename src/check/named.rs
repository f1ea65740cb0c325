//! Verifies a named snapshot: its trees, and that no page of it can be used again.
//!
//! Invariant: whatever the file contains, each page is read once for each name, and those of multimap tables as often
//! as `counters.rs` says.

use std::ops::Bound;

use super::VerifyingSource;
use super::counters::verify_counters;
use crate::base::{PageNumber, PageSet};
use crate::error::{Corruption, Error, Result};
use crate::format::catalog::{TableEntry, TableKind};
use crate::format::free_log::FIRST_PAGE;
use crate::format::free_log::names::NamedSnapshot;
use crate::space::Space;
use crate::tree::RangeCursor;
use crate::tree::walk::{VisitedPages, Visitor, walk};

/// Calls `problem` for what is wrong with the snapshot. `newest` has the pages of the trees of newest.
pub(super) fn verify_named(
    source: VerifyingSource<'_>,
    named: &NamedSnapshot,
    space: &Space,
    newest: &PageSet,
    problem: &mut dyn FnMut(Corruption),
) -> Result<()> {
    let length_pages = source.length_pages.min(named.length_pages);
    let source = VerifyingSource { length_pages, ..source };
    let mut seen = PageSet::new(length_pages)?;
    let mut found = Found { problems: 0, problem };
    walk(&source, &named.catalog, named.id, &mut seen, &mut found)?;
    if let Err(error) = verify_tables(&source, named, &mut seen, &mut found) {
        match error {
            // The walk has reported what keeps the catalog from being read.
            Error::Corrupt(_) if found.problems > 0 => {}
            Error::Corrupt(problem) => found.problem(*problem),
            other => return Err(other),
        }
    }
    let is_kept = |page: u32| {
        let retired = space.retired().containing(page);
        newest.contains(PageNumber(page))
            || retired.is_some_and(|retired| (retired.birth..retired.death).contains(&named.id))
    };
    for page in seen.runs_from(PageNumber(FIRST_PAGE)).flat_map(|run| run.first.0..run.end()) {
        if !is_kept(page) {
            let expected = "in use, or retired and needed by the snapshot".to_owned();
            let found_use = "neither: it may be used again".to_owned();
            found.problem(Corruption { page: Some(page), what: "use of a page", expected, found: found_use });
            break; // one is enough
        }
    }
    Ok(())
}

fn verify_tables(
    source: &VerifyingSource<'_>,
    named: &NamedSnapshot,
    seen: &mut PageSet,
    found: &mut Found<'_>,
) -> Result<()> {
    let mut tables = RangeCursor::new(&named.catalog, Bound::Unbounded, Bound::Unbounded);
    while let Some((_, entry)) = tables.next(source)? {
        let entry = TableEntry::decode(entry)?;
        let problems_before = found.problems;
        walk(source, &entry.root, named.id, seen, found)?;
        if entry.kind == TableKind::Multimap && found.problems == problems_before {
            verify_counters(source, &entry.root, &mut |problem| found.problem(problem))?;
        }
    }
    Ok(())
}

/// Counts problems, and passes them on.
struct Found<'a> {
    problems: u64,
    problem: &'a mut dyn FnMut(Corruption),
}

impl Visitor for Found<'_> {
    fn visit(&mut self, _: &VisitedPages) {}

    fn problem(&mut self, problem: Corruption) {
        self.problems += 1;
        (self.problem)(problem);
    }
}
