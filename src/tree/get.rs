//! Point lookups: one key, or many interleaved.
//!
//! Invariant: a lookup visits exactly `depth` nodes.

use crate::base::ChildRef;
use crate::error::Result;
use crate::format::leaf::Candidate;
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

#[inline(always)]
fn value_in_leaf<'a>(nodes: impl Nodes<'a>, at: ChildRef, key: &[u8]) -> Result<Option<&'a [u8]>> {
    let Some(candidate) = leaf_at(nodes, at)?.candidate(key)? else { return Ok(None) };
    value_of(nodes, candidate, key)
}

#[inline(always)]
fn value_of<'a>(nodes: impl Nodes<'a>, candidate: Candidate<'a>, key: &[u8]) -> Result<Option<&'a [u8]>> {
    candidate.value(key)?.map(|value| resolve(nodes, value)).transpose()
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
            }
            // All at once: a processor waits at such a hint until it has found the page's address.
            at.iter().take(group.len()).for_each(|at| nodes.prefetch(*at));
        }
        let mut candidates = [None; INTERLEAVED];
        for ((at, key), candidate) in at.iter().zip(group).zip(&mut candidates) {
            *candidate = leaf_at(nodes, *at)?.candidate(key)?;
        }
        for (candidate, key) in candidates.iter().zip(group) {
            values.push(match candidate {
                Some(candidate) => value_of(nodes, *candidate, key)?,
                None => None,
            });
        }
    }
    Ok(values)
}
