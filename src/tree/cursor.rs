//! The range cursor: walks the entries between two bounds from both ends.
//!
//! The cursor owns references and indexes only, so that an iterator can hold it next to the snapshot that it
//! reads; each step is given the nodes anew. They must be the same tree each time: a write transaction must
//! not change the tree while a cursor is in use (it would see some entries twice or not at all, or
//! answer `Corrupt`, but do no harm).
//!
//! Invariants:
//! - `front` stands before the next entry to come from the front, `back` behind the next to come from the back. The
//!   range is used up when `front` is not before `back`, by comparing the indexes on their paths: so inverted
//!   bounds are an empty range like any other.
//! - Having answered `None` or an error, the cursor stays ended.
//! - I5: it goes through no more leaves than there are nodes, whatever these refer to.

use std::ops::Bound;

use crate::base::{ChildRef, KeyBuf};
use crate::error::Result;
use crate::format::leaf::LeafView;
use crate::tree::nodes::{LeafCount, Nodes, TreeTop, branch_at, leaf_at, resolve};

/// One node on the way down, and where in it the path goes on; in the leaf, the entry that the path stands before.
#[derive(Clone, Copy, Debug)]
struct Step {
    node: ChildRef,
    index: usize,
}

/// A way from the root (first) to a place in a leaf (last). Cut short only by an error, after which it is not used.
type Path = Vec<Step>;

/// A double-ended cursor over a range of keys.
#[derive(Clone, Debug)]
pub(crate) struct RangeCursor {
    top: TreeTop,
    lower: Bound<KeyBuf>,
    upper: Bound<KeyBuf>,
    front: Option<Path>,
    back: Option<Path>,
    /// Leaves that it has stepped to, from either end.
    leaves: LeafCount,
    has_ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Front,
    Back,
}

impl RangeCursor {
    /// A cursor over the keys between `lower` and `upper`. Reads nothing yet.
    pub(crate) fn new(top: impl Into<TreeTop>, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> RangeCursor {
        let top = top.into();
        RangeCursor {
            top,
            lower: lower.map(KeyBuf::from),
            upper: upper.map(KeyBuf::from),
            front: None,
            back: None,
            leaves: LeafCount::default(),
            has_ended: top.depth == 0,
        }
    }

    /// The next entry from the front.
    #[inline]
    pub(crate) fn next<'a>(&mut self, nodes: impl Nodes<'a>) -> Result<Option<(KeyBuf, &'a [u8])>> {
        if self.has_ended {
            return Ok(None);
        }
        let entry = self.step_front(nodes);
        self.has_ended = !matches!(entry, Ok(Some(_)));
        entry
    }

    /// The next entry from the back.
    #[inline]
    pub(crate) fn next_back<'a>(&mut self, nodes: impl Nodes<'a>) -> Result<Option<(KeyBuf, &'a [u8])>> {
        if self.has_ended {
            return Ok(None);
        }
        let entry = self.step_back(nodes);
        self.has_ended = !matches!(entry, Ok(Some(_)));
        entry
    }

    #[inline]
    fn step_front<'a>(&mut self, nodes: impl Nodes<'a>) -> Result<Option<(KeyBuf, &'a [u8])>> {
        if self.front.is_none() {
            self.front = Some(place(nodes, self.top, &self.lower, End::Front)?);
        }
        // An open end needs no comparing, so no descent, until the back is asked for.
        if self.back.is_none() && self.upper != Bound::Unbounded {
            self.back = Some(place(nodes, self.top, &self.upper, End::Back)?);
        }
        let Some(front) = &mut self.front else { return Ok(None) };
        let mut leaf = leaf_of(nodes, front)?;
        if front[front.len() - 1].index >= leaf.count() {
            if !to_next_leaf(nodes, front)? {
                return Ok(None);
            }
            self.leaves.add(nodes)?;
            leaf = leaf_of(nodes, front)?;
        }
        if self.back.as_ref().is_some_and(|back| !is_before(front, back)) {
            return Ok(None);
        }
        let last = front.len() - 1;
        let index = front[last].index;
        front[last].index += 1;
        let (key, value) = leaf.entry(index)?;
        Ok(Some((key, resolve(nodes, value)?)))
    }

    #[inline]
    fn step_back<'a>(&mut self, nodes: impl Nodes<'a>) -> Result<Option<(KeyBuf, &'a [u8])>> {
        if self.back.is_none() {
            self.back = Some(place(nodes, self.top, &self.upper, End::Back)?);
        }
        if self.front.is_none() && self.lower != Bound::Unbounded {
            self.front = Some(place(nodes, self.top, &self.lower, End::Front)?);
        }
        let Some(back) = &mut self.back else { return Ok(None) };
        let last = back.len() - 1;
        if back[last].index == 0 {
            if !to_previous_leaf(nodes, back)? {
                return Ok(None);
            }
            self.leaves.add(nodes)?;
        }
        if self.front.as_ref().is_some_and(|front| !is_before(front, back)) {
            return Ok(None);
        }
        back[last].index -= 1;
        let index = back[last].index;
        let (key, value) = leaf_of(nodes, back)?.entry(index)?;
        Ok(Some((key, resolve(nodes, value)?)))
    }
}

#[inline]
fn leaf_of<'a>(nodes: impl Nodes<'a>, path: &Path) -> Result<LeafView<'a>> {
    leaf_at(nodes, path[path.len() - 1].node)
}

/// Whether `front` is before `back`; both start at the same root.
#[inline]
fn is_before(front: &Path, back: &Path) -> bool {
    front.iter().map(|step| step.index).lt(back.iter().map(|step| step.index))
}

/// Descends to `bound`: to the place before the first entry within a lower bound, or behind the last entry within
/// an upper one.
fn place<'a>(nodes: impl Nodes<'a>, top: TreeTop, bound: &Bound<KeyBuf>, end: End) -> Result<Path> {
    let mut path = Path::with_capacity(usize::from(top.depth));
    let (Bound::Included(key) | Bound::Excluded(key)) = bound else {
        extend_to(nodes, &mut path, top.node, top.depth - 1, end)?;
        return Ok(path);
    };
    let mut node = top.node;
    for level in (1..top.depth).rev() {
        let branch = branch_at(nodes, node, level)?;
        let index = branch.child_index(key)?;
        path.push(Step { node, index });
        node = branch.child(index)?;
    }
    let place = leaf_at(nodes, node)?.search(key)?;
    // A key that is in the leaf is behind the front if excluded, before the back if included.
    let is_passed = matches!(bound, Bound::Included(_)) == (end == End::Back);
    path.push(Step { node, index: place.index + usize::from(place.found && is_passed) });
    Ok(path)
}

/// Goes on with a path through `node`, which is of `level`, to the first or the last place of a leaf.
fn extend_to<'a>(
    nodes: impl Nodes<'a>,
    path: &mut Path,
    mut node: ChildRef,
    level: u8,
    end: End,
) -> Result<()> {
    for level in (1..=level).rev() {
        let branch = branch_at(nodes, node, level)?;
        let index = if end == End::Front { 0 } else { branch.count() };
        path.push(Step { node, index });
        node = branch.child(index)?;
    }
    let index = if end == End::Front { 0 } else { leaf_at(nodes, node)?.count() };
    path.push(Step { node, index });
    Ok(())
}

/// Moves from any place in a leaf to the beginning of the next leaf; `false` if there is none.
fn to_next_leaf<'a>(nodes: impl Nodes<'a>, path: &mut Path) -> Result<bool> {
    let depth = path.len();
    for turn in (0..depth - 1).rev() {
        let level = (depth - 1 - turn) as u8;
        let branch = branch_at(nodes, path[turn].node, level)?;
        if path[turn].index >= branch.count() {
            continue;
        }
        path[turn].index += 1;
        let index = path[turn].index;
        if level == 1 && index < branch.count() {
            nodes.prefetch_whole(branch.child(index + 1)?);
        }
        path.truncate(turn + 1);
        extend_to(nodes, path, branch.child(index)?, level - 1, End::Front)?;
        return Ok(true);
    }
    Ok(false)
}

/// Moves from any place in a leaf to the end of the leaf before; `false` if there is none.
fn to_previous_leaf<'a>(nodes: impl Nodes<'a>, path: &mut Path) -> Result<bool> {
    let depth = path.len();
    for turn in (0..depth - 1).rev() {
        let level = (depth - 1 - turn) as u8;
        if path[turn].index == 0 {
            continue;
        }
        path[turn].index -= 1;
        let index = path[turn].index;
        let branch = branch_at(nodes, path[turn].node, level)?;
        if level == 1 && index > 0 {
            nodes.prefetch_whole(branch.child(index - 1)?);
        }
        path.truncate(turn + 1);
        extend_to(nodes, path, branch.child(index)?, level - 1, End::Back)?;
        return Ok(true);
    }
    Ok(false)
}
