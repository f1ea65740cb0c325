//! How many entries a range has: exactly, by the headers of its leaves, or about, by a few pages; and the entry with a
//! given rank.
//!
//! Branches hold no counts: a count in each of them would have to be changed by each insertion, up to the root. So a
//! rank is found by going from leaf to leaf. That reads of each leaf its header only.
//!
//! Invariants (I5): leaves are visited as [`Leaves`] does, each once. An estimate reads no more than a fixed number of
//! nodes for each level.

use std::ops::{Bound, Range};

use crate::base::{ChildRef, KeyBuf};
use crate::error::{Result, corrupt};
use crate::format::branch::BranchView;
use crate::format::leaf::LeafView;
use crate::format::node::NodeView;
use crate::tree::cursor::End;
use crate::tree::leaves::{Leaves, child_of};
use crate::tree::nodes::{Nodes, TreeTop, branch_at, leaf_at, resolve};

/// Both ends of a range of keys.
pub(crate) type Bounds<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

/// How many subtrees of a group of siblings are looked into for an estimate.
const MAX_PROBES: usize = 8;

/// The number of entries between two bounds.
pub(crate) fn count_range<'a>(
    nodes: impl Nodes<'a>,
    top: impl Into<TreeTop>,
    (lower, upper): Bounds<'_>,
) -> Result<u64> {
    let mut leaves = Leaves::new(nodes, top, (lower, upper), End::Front);
    let (mut entries, mut outside, mut last) = (0u64, 0u64, None);
    while let Some(at) = leaves.next()? {
        let leaf = leaf_at(nodes, at)?;
        if last.is_none() {
            outside += start_in(leaf, lower)? as u64;
        }
        entries += leaf.count() as u64;
        last = Some(leaf);
    }
    if let Some(leaf) = last {
        outside += (leaf.count() - end_in(leaf, upper)?) as u64;
    }
    Ok(entries.saturating_sub(outside)) // of bounds in the wrong order both may be outside
}

/// The indexes of the entries of a leaf that lie between two bounds.
pub(super) fn indexes_in(leaf: LeafView<'_>, (lower, upper): Bounds<'_>) -> Result<Range<usize>> {
    let start = start_in(leaf, lower)?;
    Ok(start..end_in(leaf, upper)?.max(start))
}

fn start_in(leaf: LeafView<'_>, lower: Bound<&[u8]>) -> Result<usize> {
    match lower {
        Bound::Unbounded => Ok(0),
        Bound::Included(key) => leaf.search(key).map(|place| place.index),
        Bound::Excluded(key) => leaf.search(key).map(|place| place.index + usize::from(place.found)),
    }
}

fn end_in(leaf: LeafView<'_>, upper: Bound<&[u8]>) -> Result<usize> {
    match upper {
        Bound::Unbounded => Ok(leaf.count()),
        Bound::Excluded(key) => leaf.search(key).map(|place| place.index),
        Bound::Included(key) => leaf.search(key).map(|place| place.index + usize::from(place.found)),
    }
}

/// The entry before which `rank` others are, in a tree of `entries`; `None` if it has no such entry.
pub(crate) fn entry_of_rank<'a>(
    nodes: impl Nodes<'a>,
    top: impl Into<TreeTop>,
    entries: u64,
    rank: u64,
) -> Result<Option<(KeyBuf, &'a [u8])>> {
    let Some(rank_from_back) = entries.checked_sub(rank).and_then(|after| after.checked_sub(1)) else {
        return Ok(None);
    };
    let (end, rank) = if rank <= rank_from_back { (End::Front, rank) } else { (End::Back, rank_from_back) };
    let mut left = rank;
    let mut leaves = Leaves::new(nodes, top, (Bound::Unbounded, Bound::Unbounded), end);
    while let Some(at) = leaves.next()? {
        let leaf = leaf_at(nodes, at)?;
        let count = leaf.count();
        if left < count as u64 {
            let index = if end == End::Front { left as usize } else { count - 1 - left as usize };
            return entry_at(nodes, leaf, index).map(Some);
        }
        left -= count as u64;
    }
    Err(corrupt(None, "entries in the tree", entries, entries.min(rank - left)))
}

/// The entry at `index` of a leaf.
pub(super) fn entry_at<'a>(
    nodes: impl Nodes<'a>,
    leaf: LeafView<'a>,
    index: usize,
) -> Result<(KeyBuf, &'a [u8])> {
    let (key, value) = leaf.entry(index)?;
    Ok((key, resolve(nodes, value)?))
}

/// About how many of a tree's `entries` lie between two bounds.
///
/// Both bounds are descended to. What lies between the two ways are groups of whole subtrees, beside each other below
/// one branch. Of each group [`MAX_PROBES`] subtrees at most are measured, and the others taken to be their average. So
/// the entries of leaves beside each other are exact while there are few of them.
pub(crate) fn estimate_range<'a>(
    nodes: impl Nodes<'a>,
    top: impl Into<TreeTop>,
    entries: u64,
    (lower, upper): Bounds<'_>,
) -> Result<u64> {
    let top = top.into();
    if top.depth == 0 || (lower, upper) == (Bound::Unbounded, Bound::Unbounded) {
        return Ok(if top.depth == 0 { 0 } else { entries });
    }
    let mut node = top.node;
    for level in (1..top.depth).rev() {
        let branch = branch_at(nodes, node, level)?;
        let first = child_of(branch, lower)?.unwrap_or(0);
        let last = child_of(branch, upper)?.unwrap_or(branch.count());
        if first > last {
            return Ok(0);
        }
        if first < last {
            let between = measure(nodes, branch, level, first + 1..last)?;
            let before = measure_edge(nodes, branch.child(first)?, level - 1, (lower, Bound::Unbounded))?;
            let after = measure_edge(nodes, branch.child(last)?, level - 1, (Bound::Unbounded, upper))?;
            return Ok(((before + between + after) as u64).min(entries));
        }
        node = branch.child(first)?;
    }
    Ok(indexes_in(leaf_at(nodes, node)?, (lower, upper))?.len() as u64)
}

/// About how many entries below `node` lie between two bounds, of which one is open.
fn measure_edge<'a>(
    nodes: impl Nodes<'a>,
    mut node: ChildRef,
    level: u8,
    (lower, upper): Bounds<'_>,
) -> Result<f64> {
    let mut sum = 0.0;
    for level in (1..=level).rev() {
        let branch = branch_at(nodes, node, level)?;
        let (whole, edge) = match (child_of(branch, lower)?, child_of(branch, upper)?) {
            (Some(first), _) => (first + 1..branch.child_count(), first),
            (None, Some(last)) => (0..last, last),
            // Nothing bounds it: the node is whole.
            (None, None) => (1..branch.child_count(), 0),
        };
        sum += measure(nodes, branch, level, whole)?;
        node = branch.child(edge)?;
    }
    Ok(sum + indexes_in(leaf_at(nodes, node)?, (lower, upper))?.len() as f64)
}

/// About how many entries are below the children of `branch` in `group`.
fn measure<'a>(nodes: impl Nodes<'a>, branch: BranchView<'a>, level: u8, group: Range<usize>) -> Result<f64> {
    let probes = group.len().min(MAX_PROBES);
    let mut sum = 0.0;
    for probe in 0..probes {
        let index = group.start + group.len() * (2 * probe + 1) / (2 * probes);
        sum += measure_subtree(nodes, branch.child(index)?, level - 1)?;
    }
    Ok(sum * group.len() as f64 / probes.max(1) as f64)
}

/// About how many entries are below `node`, if every subtree is like the one in the middle.
fn measure_subtree<'a>(nodes: impl Nodes<'a>, mut node: ChildRef, level: u8) -> Result<f64> {
    let mut subtrees = 1.0;
    for level in (1..=level).rev() {
        let branch = branch_at(nodes, node, level)?;
        subtrees *= branch.child_count() as f64;
        node = branch.child(branch.child_count() / 2)?;
    }
    Ok(subtrees * leaf_at(nodes, node)?.count() as f64)
}
