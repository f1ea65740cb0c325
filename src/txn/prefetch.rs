//! Bringing pages into memory ahead of their use.

use std::ops::Bound;

use crate::base::{Extent, PageNumber};
use crate::error::Result;
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::node::NodeView;
use crate::format::tree_root::TreeRoot;
use crate::tree::pages::PageSource;
use crate::tree::{End, Leaves};
use crate::txn::read::SnapshotReader;

/// What [`TableRef::prefetch`](crate::TableRef::prefetch) did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Prefetched {
    /// Pages of the file that hold the range: leaves, and overflow pages of large values.
    pub pages: u64,
    /// How many of them were not in memory before.
    pub pages_read: u64,
}

impl SnapshotReader {
    /// Brings in the leaves between the bounds, and the overflow pages of their values.
    pub(crate) fn prefetch(
        &self,
        root: &TreeRoot,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<Prefetched> {
        let mut leaves = Vec::new();
        let mut walk = Leaves::new(self, root, bounds, End::Front);
        while let Some(leaf) = walk.next()? {
            // A reference to a frame is damage, which reading will report.
            leaf.page().into_iter().for_each(|first| push(&mut leaves, Extent { first, count: 1 }));
        }
        let mut prefetched = Prefetched::default();
        for run in leaves {
            self.bring_in(run, &mut prefetched)?;
            for number in run.first.0..run.end() {
                for value in self.overflow_runs_of(PageNumber(number))? {
                    self.bring_in(value, &mut prefetched)?;
                }
            }
        }
        Ok(prefetched)
    }

    fn bring_in(&self, run: Extent, prefetched: &mut Prefetched) -> Result<()> {
        prefetched.pages += u64::from(run.count);
        prefetched.pages_read += self.pages().bring_in(run, self.snapshot.length_pages)?;
        Ok(())
    }

    fn overflow_runs_of(&self, leaf: PageNumber) -> Result<Vec<Extent>> {
        let leaf = LeafView::new(self.page(leaf)?)?;
        let mut runs = Vec::new();
        for index in 0..leaf.count() {
            if let LeafValue::Overflow { first, .. } = leaf.value(index)?
                && let Some(first) = first.page()
            {
                let count = self.pages().overflow_page_count(first, self.snapshot.length_pages)?;
                push(&mut runs, Extent { first, count });
            }
        }
        Ok(runs)
    }
}

/// Appends `run`, or lengthens the last extent if they are neighbours.
fn push(runs: &mut Vec<Extent>, run: Extent) {
    match runs.last_mut() {
        Some(last) if last.end() == run.first.0 => last.count += run.count,
        _ => runs.push(run),
    }
}
