//! Reading the tree of a multimap table: its counters, and the numbers that they hold.
//!
//! Invariant (I5): a number comes from the file, so it is checked against what the tree can have, or is only a value.

use std::ops::Bound;

use crate::error::{Result, corrupt};
use crate::format::multimap::{COUNTER_COUNT, counter_key, decode_count, end_of_prefix, pair_prefix};
use crate::format::node::NodeView;
use crate::tree::count::count_range;
use crate::tree::get::get;
use crate::tree::nodes::{Nodes, TreeTop, branch_at, leaf_at};

/// Returns the number of counters, if there is an entry for it.
pub(crate) fn counter_count<'a>(nodes: impl Nodes<'a>, top: TreeTop) -> Result<Option<u64>> {
    get(nodes, top, COUNTER_COUNT)?.map(decode_count).transpose()
}

/// Returns the number of pairs in a tree of `entries`.
pub(crate) fn pair_count<'a>(nodes: impl Nodes<'a>, top: TreeTop, entries: u64) -> Result<u64> {
    let counters = counter_count(nodes, top)?;
    let others = counters.map_or(0, |counters| counters.saturating_add(1));
    entries.checked_sub(others).ok_or_else(|| {
        corrupt(
            None,
            "number of counters of a multimap table",
            format_args!("less than {entries}"),
            others - 1,
        )
    })
}

/// Returns the counter of an encoded key, if it has one.
pub(crate) fn counter<'a>(nodes: impl Nodes<'a>, top: TreeTop, key: &[u8]) -> Result<Option<u64>> {
    get(nodes, top, &counter_key(key))?.map(decode_count).transpose()
}

/// Counts the pairs that begin with `prefix`, if they end in the leaf in which they begin: by one descent.
fn count_in_one_leaf<'a>(
    nodes: impl Nodes<'a>,
    top: TreeTop,
    prefix: &[u8],
    end: &[u8],
) -> Result<Option<u64>> {
    if top.depth == 0 {
        return Ok(Some(0));
    }
    let mut at = top.node;
    for level in (1..top.depth).rev() {
        let branch = branch_at(nodes, at, level)?;
        at = branch.child(branch.child_index(prefix)?)?;
        nodes.prefetch(at);
    }
    let leaf = leaf_at(nodes, at)?;
    let (start, end) = (leaf.search(prefix)?.index, leaf.search(end)?.index);
    Ok((end < leaf.count()).then(|| end.saturating_sub(start) as u64))
}

/// Counts the pairs of an encoded key, leaf by leaf.
pub(crate) fn count_values<'a>(nodes: impl Nodes<'a>, top: TreeTop, key: &[u8]) -> Result<u64> {
    let prefix = pair_prefix(key);
    let end = end_of_prefix(&prefix);
    match count_in_one_leaf(nodes, top, &prefix, &end)? {
        Some(count) => Ok(count),
        None => count_range(nodes, top, (Bound::Included(&prefix), Bound::Excluded(&end))),
    }
}

/// Returns the number of an encoded key's values: its counter, or how many it has in the leaves.
pub(crate) fn value_count<'a>(nodes: impl Nodes<'a>, top: TreeTop, key: &[u8]) -> Result<u64> {
    match counter(nodes, top, key)? {
        Some(count) => Ok(count),
        None => count_values(nodes, top, key),
    }
}
