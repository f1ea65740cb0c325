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

use std::ops::Bound;

use crate::base::{ChildRef, KeyBuf};
use crate::error::Result;
use crate::format::leaf::LeafView;
use crate::tree::nodes::{Nodes, TreeTop, branch_at, leaf_at, resolve};

/// One node on the way down, and where in it the path goes on; in the leaf, the entry that the path stands before.
#[derive(Clone, Copy, Debug)]
struct Step {
    node: ChildRef,
    index: usize,
}

/// A way from the root (first) to a place in a leaf (last).
type Path = Vec<Step>;

/// A double-ended cursor over a range of keys.
#[derive(Clone, Debug)]
pub(crate) struct RangeCursor {
    top: TreeTop,
    lower: Bound<KeyBuf>,
    upper: Bound<KeyBuf>,
    front: Option<Path>,
    back: Option<Path>,
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
        if back[last].index == 0 && !to_previous_leaf(nodes, back)? {
            return Ok(None);
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
    let key = match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    };
    let mut path = Path::with_capacity(usize::from(top.depth));
    let mut node = top.node;
    for level in (1..top.depth).rev() {
        let branch = branch_at(nodes, node, level)?;
        let index = match key {
            Some(key) => branch.child_index(key)?,
            None if end == End::Front => 0,
            None => branch.count(),
        };
        path.push(Step { node, index });
        node = branch.child(index)?;
    }
    let leaf = leaf_at(nodes, node)?;
    let index = match key {
        Some(key) => {
            let place = leaf.search(key)?;
            // A key that is in the leaf is behind the front if excluded, before the back if included.
            let is_passed = matches!(bound, Bound::Included(_)) == (end == End::Back);
            place.index + usize::from(place.found && is_passed)
        }
        None if end == End::Front => 0,
        None => leaf.count(),
    };
    path.push(Step { node, index });
    Ok(path)
}

/// Moves from any place in a leaf to the beginning of the next leaf; `false` if there is none.
fn to_next_leaf<'a>(nodes: impl Nodes<'a>, path: &mut Path) -> Result<bool> {
    let leaf = path.len() - 1;
    for turn in (0..leaf).rev() {
        let branch = branch_at(nodes, path[turn].node, (leaf - turn) as u8)?;
        if path[turn].index < branch.count() {
            path[turn].index += 1;
            if turn == leaf - 1 && path[turn].index < branch.count() {
                nodes.prefetch(branch.child(path[turn].index + 1)?);
            }
            let mut node = branch.child(path[turn].index)?;
            for below in turn + 1..leaf {
                path[below] = Step { node, index: 0 };
                node = branch_at(nodes, node, (leaf - below) as u8)?.child(0)?;
            }
            path[leaf] = Step { node, index: 0 };
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves from any place in a leaf to the end of the leaf before; `false` if there is none.
fn to_previous_leaf<'a>(nodes: impl Nodes<'a>, path: &mut Path) -> Result<bool> {
    let leaf = path.len() - 1;
    for turn in (0..leaf).rev() {
        if path[turn].index > 0 {
            path[turn].index -= 1;
            let branch = branch_at(nodes, path[turn].node, (leaf - turn) as u8)?;
            if turn == leaf - 1 && path[turn].index > 0 {
                nodes.prefetch(branch.child(path[turn].index - 1)?);
            }
            let mut node = branch.child(path[turn].index)?;
            for below in turn + 1..leaf {
                let branch = branch_at(nodes, node, (leaf - below) as u8)?;
                path[below] = Step { node, index: branch.count() };
                node = branch.child(branch.count())?;
            }
            path[leaf] = Step { node, index: leaf_at(nodes, node)?.count() };
            return Ok(true);
        }
    }
    Ok(false)
}
