//! Entries chosen at random, each exactly as likely as any other.
//!
//! There are two ways, and what the tree looks like decides between them, never chance.
//!
//! **Rejection** (Olken and Rotem, "Random sampling from B+ trees", VLDB 1989). A walk from the root takes at each node
//! a random number below the *maximal* fan-out of the node's level, goes to the child of that number, and begins again
//! if there is none. So every entry is found with the same probability, the product of one over each maximum, however
//! full the nodes on its way are. The maximum of a level with few nodes is found by reading them; below that, it is
//! what a page has room for. How often a walk begins again has no influence on where one ends, so that walks may also
//! be given up after any number of steps.
//!
//! **Ranks**. Random ranks are sorted, and found in one walk over the headers of all leaves. This takes less where a
//! table is small, the sample large, or the branches nearly empty.
//!
//! Invariant (I5): the walks of the first way together take a limited number of steps, whatever the pages hold; after
//! that the second way is gone.

use std::ops::Bound;

use crate::base::{ChildRef, KeyBuf, SplitMix64};
use crate::error::{Error, Result, corrupt};
use crate::format::node::NodeView;
use crate::format::page::HEADER_LEN;
use crate::tree::count::entry_at;
use crate::tree::cursor::End;
use crate::tree::leaves::Leaves;
use crate::tree::nodes::{Nodes, TreeTop, branch_at, leaf_at};

/// A level with at most this many nodes for each entry of the sample is read, to find its maximal fan-out.
const NODES_PER_ENTRY: usize = 4;
/// The same, whatever the sample.
const MAX_NODES_READ: usize = 256;
/// Bytes that an entry of a leaf takes at least: its head.
const MIN_ENTRY_LEN: usize = 4;
/// Bytes that a child and its separator take in a branch at least: head, number and slot.
const MIN_CHILD_LEN: usize = 12;

type Found<'a> = (KeyBuf, &'a [u8]);

/// Returns `count` entries of a tree of `entries`, in random order. The same one may be among them more than once.
pub(crate) fn sample<'a>(
    nodes: impl Nodes<'a>,
    top: impl Into<TreeTop>,
    entries: u64,
    count: usize,
    seed: u64,
) -> Result<Vec<Found<'a>>> {
    let top = top.into();
    if entries == 0 || count == 0 {
        return Ok(Vec::new());
    }
    let random = &mut SplitMix64::new(seed);
    if top.depth == 0 {
        return by_ranks(nodes, top, entries, count, random); // which finds that there are none
    }
    let fan_outs = max_fan_outs(nodes, top, count.saturating_mul(NODES_PER_ENTRY).min(MAX_NODES_READ))?;
    let ways: f64 = fan_outs.iter().map(|&fan_out| fan_out as f64).product();
    // How many walks it takes on average, and how many leaves there are, as far as one of them shows.
    let walks = count as f64 * ways / entries as f64;
    let leaves = entries as f64 / leaf_at(nodes, first_leaf(nodes, top)?)?.count() as f64;
    if walks <= leaves
        && let Some(found) = by_rejection(nodes, top, &fan_outs, count, 64.0 * walks + 1000.0, random)?
    {
        return Ok(found);
    }
    by_ranks(nodes, top, entries, count, random)
}

/// The maximal fan-out of each level, the root's first and the leaves' last, or a number that it does not exceed.
/// For this, levels of at most `read` nodes are read.
fn max_fan_outs<'a>(nodes: impl Nodes<'a>, top: TreeTop, read: usize) -> Result<Vec<u64>> {
    let mut fan_outs = Vec::with_capacity(usize::from(top.depth));
    let mut known = Some(vec![top.node]);
    for level in (0..top.depth).rev() {
        let Some(of_level) = &known else {
            let room = nodes.node(top.node)?.len() - HEADER_LEN;
            let most = if level == 0 { room / MIN_ENTRY_LEN } else { 1 + room / MIN_CHILD_LEN };
            fan_outs.push(most as u64);
            continue;
        };
        let (mut fan_out, mut below, mut child_count) = (0, Vec::new(), 0);
        for &node in of_level {
            if level == 0 {
                fan_out = fan_out.max(leaf_at(nodes, node)?.count());
                continue;
            }
            let branch = branch_at(nodes, node, level)?;
            fan_out = fan_out.max(branch.child_count());
            child_count += branch.child_count();
            if child_count <= read {
                below.extend(branch.children());
            }
        }
        fan_outs.push(fan_out as u64);
        known = (child_count <= read).then_some(below);
    }
    Ok(fan_outs)
}

fn first_leaf<'a>(nodes: impl Nodes<'a>, top: TreeTop) -> Result<ChildRef> {
    let mut node = top.node;
    for level in (1..top.depth).rev() {
        node = branch_at(nodes, node, level)?.child(0)?;
    }
    Ok(node)
}

/// Walks until `count` walks have ended at an entry; `None` if that takes more than `most` walks.
fn by_rejection<'a>(
    nodes: impl Nodes<'a>,
    top: TreeTop,
    fan_outs: &[u64],
    count: usize,
    most: f64,
    random: &mut SplitMix64,
) -> Result<Option<Vec<Found<'a>>>> {
    let mut found = with_room(count)?;
    let mut walks = 0.0;
    while found.len() < count {
        walks += 1.0;
        if walks > most {
            return Ok(None);
        }
        found.extend(random_walk(nodes, top, fan_outs, random)?);
    }
    Ok(Some(found))
}

/// One walk down; `None` if it has to begin again.
fn random_walk<'a>(
    nodes: impl Nodes<'a>,
    top: TreeTop,
    fan_outs: &[u64],
    random: &mut SplitMix64,
) -> Result<Option<Found<'a>>> {
    let mut node = top.node;
    for (level, &fan_out) in (0..top.depth).rev().zip(fan_outs) {
        let index = random.below(fan_out) as usize;
        if level == 0 {
            let leaf = leaf_at(nodes, node)?;
            return (index < leaf.count()).then(|| entry_at(nodes, leaf, index)).transpose();
        }
        let branch = branch_at(nodes, node, level)?;
        if index >= branch.child_count() {
            return Ok(None);
        }
        node = branch.child(index)?;
    }
    Ok(None)
}

/// Draws ranks, and finds their entries from the first leaf to the last.
fn by_ranks<'a>(
    nodes: impl Nodes<'a>,
    top: TreeTop,
    entries: u64,
    count: usize,
    random: &mut SplitMix64,
) -> Result<Vec<Found<'a>>> {
    let mut found: Vec<Found<'a>> = with_room(count)?;
    let mut ranks: Vec<u64> = with_room(count)?;
    ranks.extend((0..count).map(|_| random.below(entries)));
    ranks.sort_unstable();
    let mut leaves = Leaves::new(nodes, top, (Bound::Unbounded, Bound::Unbounded), End::Front);
    let mut before = 0;
    let mut left = ranks.into_iter().peekable();
    while left.peek().is_some() {
        let Some(at) = leaves.next()? else {
            return Err(corrupt(None, "entries in the tree", entries, before));
        };
        let leaf = leaf_at(nodes, at)?;
        while let Some(rank) = left.next_if(|rank| *rank - before < leaf.count() as u64) {
            found.push(entry_at(nodes, leaf, (rank - before) as usize)?);
        }
        before += leaf.count() as u64;
    }
    // As random in their order as the other way's (Fisher and Yates).
    for end in (1..found.len()).rev() {
        found.swap(end, random.below(end as u64 + 1) as usize);
    }
    Ok(found)
}

fn with_room<T>(count: usize) -> Result<Vec<T>> {
    let mut items = Vec::new();
    let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
    items.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { bytes })?;
    Ok(items)
}
