//! Cuts a range of keys into parts of about equal size, for threads that each scan one.
//!
//! The cut goes down level by level, through all nodes of the range, until a level has several nodes for each part;
//! there it counts nodes. If the leaves are not that many, their entries are counted.
//!
//! Invariants:
//! - Boundaries ascend strictly and lie within the range, whatever the pages say. So the parts are disjoint, and
//!   together they are the range.
//! - I5: of each level, no more nodes are read than [`NODES_PER_PART`] for each part, and none has more nodes than
//!   the file.

use std::ops::Bound;

use crate::base::{ChildRef, KeyBuf};
use crate::error::Result;
use crate::format::node::NodeView;
use crate::tree::count::{Bounds, indexes_in};
use crate::tree::leaves::child_of;
use crate::tree::nodes::{LeafCount, Nodes, TreeTop, branch_at, leaf_at};

/// Nodes that a part consists of, at least, if nodes are counted: then one node more or less is an eighth of it.
const NODES_PER_PART: usize = 8;

/// A node, and the separator to its left; the first one has none.
struct Piece {
    start: Option<KeyBuf>,
    node: ChildRef,
}

/// Returns the keys, `parts - 1` at most, at which the range between two bounds is to be cut.
pub(crate) fn boundaries<'a>(
    nodes: impl Nodes<'a>,
    top: impl Into<TreeTop>,
    bounds: Bounds<'_>,
    parts: usize,
) -> Result<Vec<KeyBuf>> {
    let top = top.into();
    if top.depth == 0 || parts < 2 {
        return Ok(Vec::new());
    }
    let enough = parts.saturating_mul(NODES_PER_PART);
    let mut pieces = vec![Piece { start: None, node: top.node }];
    let mut level = top.depth - 1;
    while level > 0 && pieces.len() < enough {
        pieces = children(nodes, &pieces, level, bounds)?;
        level -= 1;
    }
    let cuts = if pieces.len() < enough {
        keys_in_leaves(nodes, &pieces, bounds, parts)?
    } else {
        let count = pieces.len();
        (1..parts).filter_map(|part| pieces[count * part / parts].start.take()).collect()
    };
    let mut boundaries: Vec<KeyBuf> = Vec::with_capacity(cuts.len());
    for key in cuts {
        if is_inside(&key, bounds) && boundaries.last().is_none_or(|last| **last < *key) {
            boundaries.push(key);
        }
    }
    Ok(boundaries)
}

/// The children of all `pieces`, which are of `level`, as far as they may hold keys between the bounds.
fn children<'a>(
    nodes: impl Nodes<'a>,
    pieces: &[Piece],
    level: u8,
    (lower, upper): Bounds<'_>,
) -> Result<Vec<Piece>> {
    let mut below = Vec::new();
    let mut counted = LeafCount::default();
    for (at, piece) in pieces.iter().enumerate() {
        let branch = branch_at(nodes, piece.node, level)?;
        let first = if at == 0 { child_of(branch, lower)?.unwrap_or(0) } else { 0 };
        let last = if at + 1 == pieces.len() { child_of(branch, upper)? } else { None };
        for index in first..=last.unwrap_or(branch.count()) {
            let start = match index.checked_sub(1) {
                Some(left) if index > first => Some(branch.key(left)?),
                _ => piece.start.clone(),
            };
            counted.add(nodes)?;
            below.push(Piece { start, node: branch.child(index)? });
        }
    }
    Ok(below)
}

/// The keys before which a whole number of parts of the entries are.
fn keys_in_leaves<'a>(
    nodes: impl Nodes<'a>,
    pieces: &[Piece],
    (lower, upper): Bounds<'_>,
    parts: usize,
) -> Result<Vec<KeyBuf>> {
    let mut leaves = Vec::with_capacity(pieces.len());
    let mut entries = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let leaf = leaf_at(nodes, piece.node)?;
        let lower = if at == 0 { lower } else { Bound::Unbounded };
        let upper = if at + 1 == pieces.len() { upper } else { Bound::Unbounded };
        let indexes = indexes_in(leaf, (lower, upper))?;
        entries += indexes.len();
        leaves.push((leaf, indexes));
    }
    let parts = parts.min(entries);
    let mut keys = Vec::new();
    let mut before = 0;
    let mut part = 1;
    for (leaf, indexes) in leaves {
        while part < parts {
            let rank = (entries as u128 * part as u128 / parts as u128) as usize;
            let Some(index) = indexes.clone().nth(rank - before) else { break };
            keys.push(leaf.key(index)?);
            part += 1;
        }
        before += indexes.len();
    }
    Ok(keys)
}

/// Whether a cut at `key` leaves something on both sides of it.
fn is_inside(key: &[u8], (lower, upper): Bounds<'_>) -> bool {
    let is_above = match lower {
        Bound::Included(lower) | Bound::Excluded(lower) => key > lower,
        Bound::Unbounded => true,
    };
    let is_below = match upper {
        Bound::Included(upper) => key <= upper,
        Bound::Excluded(upper) => key < upper,
        Bound::Unbounded => true,
    };
    is_above && is_below
}
