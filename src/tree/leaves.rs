//! The leaves of a key range, in order from either end, by reference: none of them is read, only the branches above.
//!
//! Invariants (I5): levels fall by one with each step down, so a hostile page makes no endless descent; and no more
//! leaves are visited than there are nodes.

use std::ops::{Bound, Range};

use crate::base::ChildRef;
use crate::error::Result;
use crate::format::branch::BranchView;
use crate::tree::cursor::End;
use crate::tree::nodes::{LeafCount, Nodes, TreeTop, branch_at};

/// How many leaves ahead of the next one are prefetched into the processor's cache.
const AHEAD: usize = 12;

/// A walk over the leaves that may hold keys between two bounds.
pub(crate) struct Leaves<'a, 'k, N> {
    nodes: N,
    lower: Bound<&'k [u8]>,
    upper: Bound<&'k [u8]>,
    end: End,
    /// The root, before the first step.
    root: Option<TreeTop>,
    /// The branches on the way down to the next leaf, root first.
    above: Vec<Open<'a>>,
    count: LeafCount,
}

/// A branch, and which of its children are still to be visited.
struct Open<'a> {
    branch: BranchView<'a>,
    level: u8,
    left: Range<usize>,
    /// The children that may hold keys outside the bounds, if there are such.
    first_on_edge: Option<usize>,
    last_on_edge: Option<usize>,
}

impl<'a, 'k, N: Nodes<'a>> Leaves<'a, 'k, N> {
    /// The leaves of the tree at `top` from `end` on. Reads nothing yet.
    pub(crate) fn new(
        nodes: N,
        top: impl Into<TreeTop>,
        (lower, upper): (Bound<&'k [u8]>, Bound<&'k [u8]>),
        end: End,
    ) -> Leaves<'a, 'k, N> {
        let (root, above, count) = (Some(top.into()), Vec::new(), LeafCount::default());
        Leaves { nodes, lower, upper, end, root, above, count }
    }

    /// The next leaf; `None` after the last. After an error it is not to be used.
    pub(crate) fn next(&mut self) -> Result<Option<ChildRef>> {
        if let Some(TreeTop { node, depth }) = self.root.take() {
            match depth {
                0 => return Ok(None),
                1 => return self.count.add(self.nodes).map(|()| Some(node)),
                _ => self.open(node, depth - 1, true, true)?,
            }
        }
        while let Some(Open { branch, level, left, first_on_edge, last_on_edge }) = self.above.last_mut() {
            let index = match self.end {
                End::Front => left.next(),
                End::Back => left.next_back(),
            };
            let Some(index) = index else {
                self.above.pop();
                continue;
            };
            let (child, level) = (branch.child(index)?, *level);
            if level > 1 {
                let (is_first, is_last) = (*first_on_edge == Some(index), *last_on_edge == Some(index));
                self.open(child, level - 1, is_first, is_last)?;
                continue;
            }
            let ahead = match self.end {
                End::Front => left.clone().nth(AHEAD - 1),
                End::Back => left.clone().nth_back(AHEAD - 1),
            };
            if let Some(ahead) = ahead {
                self.nodes.prefetch(branch.child(ahead)?);
            }
            self.count.add(self.nodes)?;
            return Ok(Some(child));
        }
        Ok(None)
    }

    /// Goes down to a branch, which lies on one edge of the range, on both, or on none.
    fn open(&mut self, node: ChildRef, level: u8, is_first: bool, is_last: bool) -> Result<()> {
        let branch = branch_at(self.nodes, node, level)?;
        let first_on_edge = if is_first { child_of(branch, self.lower)? } else { None };
        let last_on_edge = if is_last { child_of(branch, self.upper)? } else { None };
        let left = first_on_edge.unwrap_or(0)..last_on_edge.map_or(branch.child_count(), |last| last + 1);
        if level == 1 {
            let mut soon = left.clone();
            for _ in 0..AHEAD {
                let index = match self.end {
                    End::Front => soon.next(),
                    End::Back => soon.next_back(),
                };
                let Some(index) = index else { break };
                self.nodes.prefetch(branch.child(index)?);
            }
        }
        self.above.push(Open { branch, level, left, first_on_edge, last_on_edge });
        Ok(())
    }
}

/// The index of the child in which `bound` lies.
pub(super) fn child_of(branch: BranchView<'_>, bound: Bound<&[u8]>) -> Result<Option<usize>> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => branch.child_index(key).map(Some),
        Bound::Unbounded => Ok(None),
    }
}
