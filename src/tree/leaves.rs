//! The leaves of a key range, by number and without reading them: what reading ahead needs.
//!
//! Invariants (I5): levels fall by one with each step, so a hostile page makes no endless descent; and no more leaves
//! are visited than there are nodes.

use std::ops::Bound;

use crate::base::ChildRef;
use crate::error::Result;
use crate::tree::nodes::{LeafCount, Nodes, TreeTop, branch_at};

/// Calls `visit` for each leaf that may hold keys between `lower` and `upper`, in key order. Reads branches only.
pub(crate) fn leaves_in_range<'a>(
    nodes: impl Nodes<'a>,
    top: impl Into<TreeTop>,
    lower: Bound<&[u8]>,
    upper: Bound<&[u8]>,
    visit: &mut impl FnMut(ChildRef) -> Result<()>,
) -> Result<()> {
    let top = top.into();
    let mut leaves = LeafCount::default();
    let visit = &mut |leaf| {
        leaves.add(nodes)?;
        visit(leaf)
    };
    match top.depth {
        0 => Ok(()),
        depth => descend(nodes, top.node, depth - 1, (lower, upper), visit),
    }
}

fn descend<'a>(
    nodes: impl Nodes<'a>,
    at: ChildRef,
    level: u8,
    (lower, upper): (Bound<&[u8]>, Bound<&[u8]>),
    visit: &mut impl FnMut(ChildRef) -> Result<()>,
) -> Result<()> {
    if level == 0 {
        return visit(at);
    }
    let branch = branch_at(nodes, at, level)?;
    let child_of = |bound: Bound<&[u8]>, unbounded: usize| match bound {
        Bound::Included(key) | Bound::Excluded(key) => branch.child_index(key),
        Bound::Unbounded => Ok(unbounded),
    };
    let (first, last) = (child_of(lower, 0)?, child_of(upper, branch.child_count() - 1)?);
    for index in first..=last {
        // Only the children at the edges can lie partly outside.
        let lower = if index == first { lower } else { Bound::Unbounded };
        let upper = if index == last { upper } else { Bound::Unbounded };
        descend(nodes, branch.child(index)?, level - 1, (lower, upper), visit)?;
    }
    Ok(())
}
