//! Point lookups: one key, or many interleaved.
//!
//! Invariant: a lookup visits exactly `depth` nodes.

use crate::base::ChildRef;
use crate::error::Result;
use crate::tree::nodes::{Nodes, TreeTop, branch_at, leaf_at, resolve};

/// How many descents go down together: enough to hide the memory's latency, few enough for the processor's
/// queue of outstanding misses.
const INTERLEAVED: usize = 16;

/// The value of `key`.
#[inline]
pub(crate) fn get<'a>(
    nodes: impl Nodes<'a>,
    top: impl Into<TreeTop>,
    key: &[u8],
) -> Result<Option<&'a [u8]>> {
    let top = top.into();
    if top.depth == 0 {
        return Ok(None);
    }
    let mut at = top.node;
    for level in (1..top.depth).rev() {
        let branch = branch_at(nodes, at, level)?;
        at = branch.child(branch.child_index(key)?)?;
        nodes.prefetch(at);
    }
    value_in_leaf(nodes, at, key)
}

#[inline]
fn value_in_leaf<'a>(nodes: impl Nodes<'a>, at: ChildRef, key: &[u8]) -> Result<Option<&'a [u8]>> {
    let leaf = leaf_at(nodes, at)?;
    let place = leaf.search(key)?;
    if !place.found {
        return Ok(None);
    }
    resolve(nodes, leaf.value(place.index)?).map(Some)
}

/// The values of `keys`, in their order. Descents go level by level together, each next node being prefetched
/// before any of them is searched.
pub(crate) fn get_many<'a>(
    nodes: impl Nodes<'a>,
    top: impl Into<TreeTop>,
    keys: &[&[u8]],
) -> Result<Vec<Option<&'a [u8]>>> {
    let top = top.into();
    if top.depth == 0 {
        return Ok(vec![None; keys.len()]);
    }
    let mut values = Vec::with_capacity(keys.len());
    for group in keys.chunks(INTERLEAVED) {
        let mut at = [top.node; INTERLEAVED];
        for level in (1..top.depth).rev() {
            for (at, key) in at.iter_mut().zip(group) {
                let branch = branch_at(nodes, *at, level)?;
                *at = branch.child(branch.child_index(key)?)?;
                nodes.prefetch(*at);
            }
        }
        for (at, key) in at.iter().zip(group) {
            leaf_at(nodes, *at)?.prefetch_entry(key);
        }
        for (at, key) in at.iter().zip(group) {
            values.push(value_in_leaf(nodes, *at, key)?);
        }
    }
    Ok(values)
}
