//! The range cursor: walks the entries between two bounds from both ends.
//!
//! The cursor owns references and indexes only, so that an iterator can hold it next to the snapshot that it reads;
//! each step gets the nodes again. They must be the same tree each time: a write transaction must not change the tree
//! while a cursor is in use (the cursor would see some entries twice or not at all, or return `Corrupt`, but do no
//! harm).
//!
//! An iterator that borrows from the snapshot keeps the leaf open from step to step ([`OpenLeaf`]). Most steps are
//! then two comparisons and the entry itself.
//!
//! Invariants:
//! - `front` is before the next entry from the front, `back` is after the next entry from the back. The range is
//!   exhausted when `front` is not before `back`, by the indexes on their paths. Inverted bounds are thus an empty
//!   range.
//! - A step that fails moves neither end. The next step, from either end, reads the same entry or page and fails in
//!   the same way. So unreadable entries are never skipped, and no error is followed by a false end. A step reads the
//!   other nodes that it needs before it moves its path; a step over an entry is undone.
//! - Having returned `None`, the cursor stays ended until an end is moved by [`RangeCursor::seek`].
//! - The open leaf is the leaf of the end that moved last. Its limit is as far as that end may go there while the
//!   other does not move. Any other move opens the leaf again.
//! - I5: from the leaves in which its ends begin, both ends together step to no more leaves than there are nodes,
//!   whatever these refer to. A seek begins the count again.

use std::ops::{Bound, Range};

use crate::base::bounds::{earlier_end, later_start};
use crate::base::{ApartKey, ChildRef, KeyBuf, KeyStart};
use crate::error::Result;
use crate::format::branch::BranchView;
use crate::format::leaf::LeafView;
use crate::format::node::NodeView;
use crate::format::page::{self, LINE_BYTES};
use crate::tree::nodes::{LeafCount, Nodes, TreeTop, branch_at, leaf_at, resolve};

/// One node on the way down, and where in it the path goes on; in the leaf, the entry that the path stands before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) node: ChildRef,
    pub(super) index: usize,
}

/// A way from the root to a place in a leaf.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// The branches, root first.
    above: Vec<Step>,
    pub(super) leaf: Step,
}

impl Path {
    /// The indexes that tell the order of two paths from the same root.
    fn indexes(&self) -> impl Iterator<Item = usize> {
        self.above.iter().chain([&self.leaf]).map(|step| step.index)
    }
}

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
    /// The bounds that the cursor was made with, once a seek has changed them.
    widest: Option<Box<(Bound<KeyBuf>, Bound<KeyBuf>)>>,
}

/// An end of a cursor's range.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum End {
    Front,
    Back,
}

/// The leaf that a cursor stands in, kept from one step to the next. At first, none.
#[derive(Clone, Copy, Default)]
pub(crate) struct OpenLeaf<'a>(Option<Stretch<'a>>);

/// A leaf, and how far one end of a range may go in it.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    leaf: LeafView<'a>,
    /// The leaf's prefix, if it is short and more than one step is to come.
    start: Option<KeyStart>,
    end: End,
    /// The front may take the entries before this one, the back those from this one on.
    limit: usize,
    /// The next leaf, of which each step prefetches a piece; empty while the cursor may end before it.
    ahead: &'a [u8],
    /// How many cache lines each step asks for: of the next leaf, or as an entry has on average.
    lines: usize,
}

impl Stretch<'_> {
    /// A step at `index` asks for a piece of the next leaf, so that all of it has been asked for when this one ends.
    /// While no next leaf is known, it asks for the entry that is a little ahead.
    #[inline(always)]
    fn prefetch_ahead_of(&self, index: usize) {
        let (steps, entry) = match self.end {
            End::Front => (index, Some(index + AHEAD)),
            End::Back => (self.leaf.count() - 1 - index, index.checked_sub(AHEAD)),
        };
        let line = steps * self.lines;
        if line * LINE_BYTES < self.ahead.len() {
            page::prefetch_lines(self.ahead, line, self.lines);
        } else if let (true, Some(entry)) = (self.ahead.is_empty(), entry) {
            self.leaf.prefetch_entry(entry, self.lines);
        }
    }
}

/// An entry: its key, put together, and its value in place.
type Found<'a> = (KeyBuf, &'a [u8]);
/// How many entries are asked for at once, and ahead of each step: as many as a processor fetches together. They lie
/// in the order in which they came, which it does not foresee.
const AHEAD: usize = 10;

/// The entries that `end` comes to next, if it stands before the one at `index`.
#[inline(always)]
fn next_entries(end: End, index: usize) -> Range<usize> {
    match end {
        End::Front => index..index + AHEAD,
        End::Back => index.saturating_sub(AHEAD)..index,
    }
}

impl RangeCursor {
    /// A cursor over the keys between `lower` and `upper`. Reads nothing yet.
    #[inline]
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
            widest: None,
        }
    }

    /// Moves an end to `bound`, in either direction, within the bounds that the cursor was made with. Reads nothing.
    pub(crate) fn seek(&mut self, end: End, bound: Bound<&[u8]>) {
        let bound = bound.map(KeyBuf::from);
        let (lower, upper) =
            &**self.widest.get_or_insert_with(|| Box::new((self.lower.clone(), self.upper.clone())));
        match end {
            End::Front => (self.lower, self.front) = (later_start(bound, lower.clone()), None),
            End::Back => (self.upper, self.back) = (earlier_end(bound, upper.clone()), None),
        }
        self.leaves = LeafCount::default();
        self.has_ended = self.top.depth == 0;
    }

    /// The next entry from the front.
    pub(crate) fn next<'a>(&mut self, nodes: impl Nodes<'a>) -> Result<Option<Found<'a>>> {
        self.next_from(nodes, End::Front)
    }

    /// The next entry from the back.
    pub(crate) fn next_back<'a>(&mut self, nodes: impl Nodes<'a>) -> Result<Option<Found<'a>>> {
        self.next_from(nodes, End::Back)
    }

    fn next_from<'a>(&mut self, nodes: impl Nodes<'a>, end: End) -> Result<Option<Found<'a>>> {
        let Some(stretch) = self.open_stretch(nodes, end)? else { return Ok(None) };
        let step = match end {
            End::Front => self.front.as_mut(),
            End::Back => self.back.as_mut(),
        };
        let Some(Path { leaf: step, .. }) = step else { return Ok(None) };
        let index = step.index - usize::from(end == End::Back);
        step.index = index + usize::from(end == End::Front);
        self.other_entry(nodes, &stretch, index).map(|(key, value)| Some((key.into(), value)))
    }

    /// The next entry from the front; `open` is what the last step has left there.
    #[inline(always)]
    pub(crate) fn next_in<'a>(
        &mut self,
        nodes: impl Nodes<'a>,
        open: &mut OpenLeaf<'a>,
    ) -> Result<Option<Found<'a>>> {
        loop {
            if let Some(stretch @ Stretch { end: End::Front, .. }) = &open.0
                && let Some(Path { leaf: step, .. }) = &mut self.front
                && step.index < stretch.limit
            {
                let index = step.index;
                step.index += 1;
                stretch.prefetch_ahead_of(index);
                return self.entry(nodes, stretch, index).map(Some);
            }
            if !self.open_next(nodes, open, End::Front)? {
                return Ok(None);
            }
        }
    }

    /// The next entry from the back; `open` is what the last step has left there.
    #[inline(always)]
    pub(crate) fn next_back_in<'a>(
        &mut self,
        nodes: impl Nodes<'a>,
        open: &mut OpenLeaf<'a>,
    ) -> Result<Option<Found<'a>>> {
        loop {
            if let Some(stretch @ Stretch { end: End::Back, .. }) = &open.0
                && let Some(Path { leaf: step, .. }) = &mut self.back
                && step.index > stretch.limit
            {
                step.index -= 1;
                let index = step.index;
                stretch.prefetch_ahead_of(index);
                return self.entry(nodes, stretch, index).map(Some);
            }
            if !self.open_next(nodes, open, End::Back)? {
                return Ok(None);
            }
        }
    }

    /// The entry at `index`, over which the end of `stretch` has just stepped.
    #[inline(always)]
    fn entry<'a>(&mut self, nodes: impl Nodes<'a>, stretch: &Stretch<'a>, index: usize) -> Result<Found<'a>> {
        match stretch.start.as_ref().and_then(|start| stretch.leaf.short_entry(index, start)) {
            Some(entry) => Ok(entry),
            None => self.other_entry(nodes, stretch, index).map(|(key, value)| (key.into(), value)),
        }
    }

    /// The same in all cases: for long keys, values on overflow pages, damage, and the few entries at a page's end.
    /// The key comes as another type, so that this call does not make the compiler keep short keys in memory.
    #[inline(never)]
    fn other_entry<'a>(
        &mut self,
        nodes: impl Nodes<'a>,
        stretch: &Stretch<'a>,
        index: usize,
    ) -> Result<(ApartKey, &'a [u8])> {
        let entry = stretch
            .leaf
            .entry(index)
            .and_then(|(key, value)| Ok((ApartKey::from(key), resolve(nodes, value)?)));
        if entry.is_err() {
            self.step_back(stretch.end);
        }
        entry
    }

    /// Goes past all entries of the leaf that has the next entry from the front, as far as they are within the range.
    /// Returns the leaf and their indexes.
    pub(crate) fn next_leaf<'a>(
        &mut self,
        nodes: impl Nodes<'a>,
    ) -> Result<Option<(LeafView<'a>, Range<usize>)>> {
        let Some(Stretch { leaf, limit, .. }) = self.open_stretch(nodes, End::Front)? else {
            return Ok(None);
        };
        let Some(Path { leaf: step, .. }) = &mut self.front else { return Ok(None) };
        let start = std::mem::replace(&mut step.index, limit);
        Ok(Some((leaf, start..limit)))
    }

    /// The leaf in which the front stands, once it has stepped.
    pub(crate) fn front_leaf(&self) -> Option<ChildRef> {
        self.front.as_ref().map(|path| path.leaf.node)
    }

    /// Takes back the last step of `end`, which was over an entry: the next one comes to it again.
    #[cold]
    pub(crate) fn step_back(&mut self, end: End) {
        match (end, &mut self.front, &mut self.back) {
            (End::Front, Some(path), _) => path.leaf.index -= 1,
            (End::Back, _, Some(path)) => path.leaf.index += 1,
            _ => {}
        }
    }

    /// Opens the leaf in which `end` goes on; `false` if the range is used up.
    #[inline(never)]
    fn open_next<'a>(&mut self, nodes: impl Nodes<'a>, open: &mut OpenLeaf<'a>, end: End) -> Result<bool> {
        open.0 = None;
        open.0 = self.open_stretch(nodes, end)?;
        if let Some(stretch) = &mut open.0 {
            stretch.start = KeyStart::new(stretch.leaf.prefix());
        }
        Ok(open.0.is_some())
    }

    /// Moves `end` to the leaf that has its next entry; `None` if the range is used up.
    fn open_stretch<'a>(&mut self, nodes: impl Nodes<'a>, end: End) -> Result<Option<Stretch<'a>>> {
        if self.has_ended {
            return Ok(None);
        }
        let stretch = self.find_stretch(nodes, end)?;
        self.has_ended = stretch.is_none();
        Ok(stretch)
    }

    fn find_stretch<'a>(&mut self, nodes: impl Nodes<'a>, end: End) -> Result<Option<Stretch<'a>>> {
        let is_new = if end == End::Front { self.front.is_none() } else { self.back.is_none() };
        // An open end needs no comparing, so no descent, until it is asked for.
        if self.front.is_none() && (end == End::Front || self.lower != Bound::Unbounded) {
            self.front = Some(descend(nodes, self.top, &self.lower, End::Front, end)?);
        }
        if self.back.is_none() && (end == End::Back || self.upper != Bound::Unbounded) {
            self.back = Some(descend(nodes, self.top, &self.upper, End::Back, end)?);
        }
        let RangeCursor { lower, upper, front, back, leaves, .. } = self;
        let (path, other, bound) = match end {
            End::Front => (front, back, lower),
            End::Back => (back, front, upper),
        };
        let Some(path) = path else { return Ok(None) };
        // A descent to a key has asked for what lies there.
        let is_open = *bound == Bound::Unbounded;
        let mut leaf = leaf_at(nodes, path.leaf.node)?;
        let is_at_end = match end {
            End::Front => path.leaf.index >= leaf.count(),
            End::Back => path.leaf.index == 0,
        };
        if is_at_end {
            let has_next = match end {
                End::Front => to_next_leaf(nodes, path, leaves)?,
                End::Back => to_previous_leaf(nodes, path, leaves)?,
            };
            if !has_next {
                return Ok(None);
            }
            leaf = leaf_at(nodes, path.leaf.node)?;
        }
        let mut limit = if end == End::Front { leaf.count() } else { 0 };
        if let Some(other) = other {
            let is_before = match end {
                End::Front => path.indexes().lt(other.indexes()),
                End::Back => other.indexes().lt(path.indexes()),
            };
            if !is_before {
                return Ok(None);
            }
            if other.above.iter().map(|step| step.index).eq(path.above.iter().map(|step| step.index)) {
                limit = other.leaf.index;
            }
        }
        let ahead = if is_at_end && leaves.is_some() { leaf_beside(nodes, path, end)? } else { &[] };
        let lines = match ahead.len() / LINE_BYTES {
            0 => leaf.lines_of_an_entry(),
            lines => lines.div_ceil(leaf.count()),
        };
        if !leaves.is_many() && (is_at_end || (is_new && is_open)) {
            leaf.prefetch_entries(next_entries(end, path.leaf.index));
        }
        Ok(Some(Stretch { leaf, start: None, end, limit, ahead, lines }))
    }
}

/// Descends to `bound`: to the position before the first entry within a lower bound, or after the last entry within
/// an upper one. The entries there are prefetched if the cursor is `going` from that end.
pub(super) fn descend<'a>(
    nodes: impl Nodes<'a>,
    top: TreeTop,
    bound: &Bound<KeyBuf>,
    end: End,
    going: End,
) -> Result<Path> {
    let mut above = Vec::with_capacity(usize::from(top.depth - 1));
    let (Bound::Included(key) | Bound::Excluded(key)) = bound else {
        let leaf = extend_to(nodes, &mut above, top.node, top.depth - 1, end)?;
        return Ok(Path { above, leaf });
    };
    let mut node = top.node;
    for level in (1..top.depth).rev() {
        let branch = branch_at(nodes, node, level)?;
        let index = branch.child_index(key)?;
        above.push(Step { node, index });
        node = branch.child(index)?;
        nodes.prefetch(node);
        if level == 1 && end == going {
            prefetch_beside(nodes, branch, index, end)?;
        }
    }
    let leaf = leaf_at(nodes, node)?;
    // Before whole keys are compared, which waits for the memory of one entry.
    let place = leaf.search_notifying(key, |index| {
        if end == going {
            leaf.prefetch_entries(next_entries(end, index));
        }
    })?;
    // A key in the leaf is passed by the front if excluded, and by the back if included.
    let is_passed = matches!(bound, Bound::Included(_)) == (end == End::Back);
    let index = place.index + usize::from(place.found && is_passed);
    Ok(Path { above, leaf: Step { node, index } })
}

/// Asks for the leaf beside child `index`, in which half of all short ranges go on.
fn prefetch_beside<'a>(nodes: impl Nodes<'a>, branch: BranchView<'_>, index: usize, end: End) -> Result<()> {
    let beside = match end {
        End::Front => (index < branch.count()).then_some(index + 1),
        End::Back => index.checked_sub(1),
    };
    beside.map_or(Ok(()), |index| branch.child(index).map(|at| nodes.prefetch(at)))
}

/// The leaf that comes after that of `path`, as bytes to be prefetched; empty if it is not below the same branch.
fn leaf_beside<'a>(nodes: impl Nodes<'a>, path: &Path, end: End) -> Result<&'a [u8]> {
    let Some(&Step { node, index }) = path.above.last() else { return Ok(&[]) };
    let branch = branch_at(nodes, node, 1)?;
    let beside = match end {
        End::Front => (index < branch.count()).then_some(index + 1),
        End::Back => index.checked_sub(1),
    };
    beside.map_or(Ok(&[]), |index| branch.child(index).map(|at| nodes.peek(at)))
}

/// Goes on with the branches of a path through `node`, which is of `level`, to the first or the last place of a leaf.
fn extend_to<'a>(
    nodes: impl Nodes<'a>,
    above: &mut Vec<Step>,
    mut node: ChildRef,
    level: u8,
    end: End,
) -> Result<Step> {
    for level in (1..=level).rev() {
        let branch = branch_at(nodes, node, level)?;
        let index = if end == End::Front { 0 } else { branch.count() };
        above.push(Step { node, index });
        node = branch.child(index)?;
    }
    let index = if end == End::Front { 0 } else { leaf_at(nodes, node)?.count() };
    Ok(Step { node, index })
}

/// Moves from any place in a leaf to the beginning of the next leaf, and counts it; `false` if there is none. A
/// cursor that has gone from leaf to leaf before will do it again, so the leaf after the next is asked for; a short
/// range is over before that.
pub(super) fn to_next_leaf<'a>(
    nodes: impl Nodes<'a>,
    path: &mut Path,
    leaves: &mut LeafCount,
) -> Result<bool> {
    for depth in (0..path.above.len()).rev() {
        let level = (path.above.len() - depth) as u8;
        let Step { node, index } = path.above[depth];
        let branch = branch_at(nodes, node, level)?;
        if index >= branch.count() {
            continue;
        }
        let index = index + 1;
        move_to_child(nodes, path, depth, (branch, index), leaves, End::Front)?;
        return Ok(true);
    }
    Ok(false)
}

/// Moves from any place in a leaf to the end of the leaf before, likewise.
pub(super) fn to_previous_leaf<'a>(
    nodes: impl Nodes<'a>,
    path: &mut Path,
    leaves: &mut LeafCount,
) -> Result<bool> {
    for depth in (0..path.above.len()).rev() {
        let level = (path.above.len() - depth) as u8;
        let Step { node, index } = path.above[depth];
        if index == 0 {
            continue;
        }
        let index = index - 1;
        let branch = branch_at(nodes, node, level)?;
        move_to_child(nodes, path, depth, (branch, index), leaves, End::Back)?;
        return Ok(true);
    }
    Ok(false)
}

/// Moves a path to the first or the last place below a child of its branch at `depth`. Counts the leaf. If that
/// fails, nothing has moved.
fn move_to_child<'a>(
    nodes: impl Nodes<'a>,
    path: &mut Path,
    depth: usize,
    (branch, index): (BranchView<'a>, usize),
    leaves: &mut LeafCount,
    end: End,
) -> Result<()> {
    let mut counted = *leaves;
    counted.add(nodes)?;
    let level = (path.above.len() - depth) as u8;
    let mut below = Vec::new(); // takes no memory for a leaf beside this one
    let leaf = extend_to(nodes, &mut below, branch.child(index)?, level - 1, end)?;
    path.above[depth].index = index;
    path.above.truncate(depth + 1);
    path.above.append(&mut below);
    path.leaf = leaf;
    *leaves = counted;
    Ok(())
}
