//! Removal of one entry, an outermost one, some of a leaf, a range, or all.
//!
//! At the tree's ends, entries are often removed one after the other, so a leaf there is not balanced: it stays until
//! it is empty, and then its parent loses it. A leaf that loses some of its entries at once is balanced once, or
//! dropped if nothing is left of it.
//!
//! A range is removed in two steps. The cut walks down the range's two edges: what lies wholly between is dropped,
//! subtree by subtree; the nodes on the edges lose children or entries and may be left too empty, a branch even
//! with a single child. Then the repair goes down each edge once more and balances those.
//!
//! Invariants:
//! - A key that is not there, or a range with no entry in it, changes nothing.
//! - Between cut and repair only nodes on the edges are unsound, and no node is without any child or entry. The
//!   repair goes from the root down, so that a node is balanced below sound ones.
//! - I5: no page is dropped twice by one call, so that a damaged file's pages, however they refer to each other, do
//!   not make the walk longer than the file.

use std::collections::HashSet;
use std::ops::{Bound, Range};
use std::slice;

use crate::base::{ChildRef, KeyBuf};
use crate::error::{Error, Result, corrupt};
use crate::format::branch::{self, BranchView};
use crate::format::leaf::{self, LeafValue, LeafView};
use crate::format::node::{self, NodeView};
use crate::format::page;
use crate::tree::cursor::End;
use crate::tree::frames::FramesOverPages;
use crate::tree::nodes::{Nodes, TreeTop, branch_at, leaf_at, resolve, view, view_any_count};
use crate::tree::pages::PageSource;
use crate::tree::tree_mut::{Step, TreeMut};

type Seen = HashSet<ChildRef>;

/// What a cut did to a node.
struct Cut {
    removed: u64,
    /// Nothing is left of the node: its parent is to drop it.
    is_empty: bool,
}

impl TreeMut {
    /// Removes the entry of `key`. Returns `true` if there was one.
    pub(crate) fn remove<S: PageSource>(&mut self, source: &S, key: &[u8]) -> Result<bool> {
        if self.top.depth == 0 {
            return Ok(false);
        }
        let place = self.locate(source, key)?;
        if !place.found {
            return Ok(false);
        }
        self.copy_path(source)?;
        let depth = self.path.len() - 1;
        let leaf = self.path[depth].node;
        self.release_value(source, leaf, place.index)?;
        leaf::remove(self.frames.get_mut(leaf)?, place.index..place.index + 1)?;
        self.count_removed(1)?;
        self.rebalance(source, depth)?;
        Ok(true)
    }

    /// The first or the last entry.
    pub(crate) fn outermost<'a, S: PageSource>(
        &'a self,
        source: &'a S,
        end: End,
    ) -> Result<Option<(KeyBuf, &'a [u8])>> {
        if self.top.depth == 0 {
            return Ok(None);
        }
        let nodes = self.nodes(source);
        let mut node = self.top.node;
        for level in (1..self.top.depth).rev() {
            let branch = branch_at(nodes, node, level)?;
            node = branch.child(outermost_index(end, branch.child_count()))?;
        }
        let leaf = leaf_at(nodes, node)?;
        let (key, value) = leaf.entry(outermost_index(end, leaf.count()))?;
        Ok(Some((key, resolve(nodes, value)?)))
    }

    /// Removes the first or the last entry. The tree is not empty.
    pub(crate) fn remove_outermost<S: PageSource>(&mut self, source: &S, end: End) -> Result<()> {
        self.locate_outermost(source, end)?;
        self.copy_path(source)?;
        let index = self.path.last().map_or(0, |step| step.index);
        self.remove_in_leaf(source, slice::from_ref(&(index..index + 1)))?;
        self.drop_leaf_if_empty(source).map(|_| ())
    }

    /// Leaves the way to the first or the last entry in `path`.
    fn locate_outermost<S: PageSource>(&mut self, source: &S, end: End) -> Result<()> {
        self.path.clear();
        self.is_path_to_end = false;
        self.is_only_appended = false;
        let nodes = FramesOverPages { source, frames: &self.frames };
        let mut node = self.top.node;
        for level in (1..self.top.depth).rev() {
            let branch: BranchView<'_> = view_any_count(nodes.node(node)?, level)?;
            let index = outermost_index(end, branch.child_count());
            self.path.push(Step { node, index });
            node = branch.child(index)?;
        }
        let count = leaf_at(nodes, node)?.count();
        self.path.push(Step { node, index: outermost_index(end, count) });
        Ok(())
    }

    /// Removes the entries at the indexes in `doomed`, ascending and apart, of the leaf that has `first`, the first of
    /// them.
    pub(crate) fn remove_some<S: PageSource>(
        &mut self,
        source: &S,
        first: &[u8],
        doomed: &[Range<usize>],
    ) -> Result<()> {
        let place = self.locate(source, first)?;
        if !place.found || doomed.first().is_none_or(|range| range.start != place.index) {
            // A caller that goes on from there would come to the same entries again and again.
            return Err(corrupt(None, "order of the keys", "keys that are found", "one that is not"));
        }
        self.copy_path(source)?;
        self.remove_in_leaf(source, doomed)?;
        if self.drop_leaf_if_empty(source)? { Ok(()) } else { self.rebalance(source, self.path.len() - 1) }
    }

    /// Removes entries of the path's leaf, without balancing it.
    fn remove_in_leaf<S: PageSource>(&mut self, source: &S, doomed: &[Range<usize>]) -> Result<()> {
        let Some(&Step { node: leaf, .. }) = self.path.last() else { return Ok(()) };
        for range in doomed.iter().rev() {
            for index in range.clone() {
                self.release_value(source, leaf, index)?;
            }
            leaf::remove(self.frames.get_mut(leaf)?, range.clone())?;
        }
        self.count_removed(doomed.iter().map(|range| range.len() as u64).sum())
    }

    /// Takes the path's leaf out of the tree if it is empty. Returns whether it was.
    fn drop_leaf_if_empty<S: PageSource>(&mut self, source: &S) -> Result<bool> {
        let Some(&Step { node: leaf, .. }) = self.path.last() else { return Ok(false) };
        if node::key_count(self.frames.get(leaf)?) > 0 {
            return Ok(false);
        }
        let depth = self.path.len() - 1;
        if depth == 0 {
            self.shrink_root()?;
            return Ok(true);
        }
        let parent = self.path[depth - 1];
        if node::key_count(self.frames.get(parent.node)?) == 0 {
            // A damaged branch with a single child: the merge reports what is wrong.
            return self.rebalance(source, depth).map(|()| true);
        }
        branch::remove_children(self.frames.get_mut(parent.node)?, parent.index..parent.index + 1)?;
        self.frames.free(leaf)?;
        self.rebalance(source, depth - 1)?;
        Ok(true)
    }

    /// Removes all entries.
    pub(crate) fn clear<S: PageSource>(&mut self, source: &S) -> Result<()> {
        self.is_path_to_end = false;
        self.is_only_appended = true; // nothing is there that could change
        if self.top.depth > 0 {
            let level = self.top.depth - 1;
            self.drop_subtree(source, self.top.node, level, &mut Seen::new())?;
        }
        self.top = TreeTop { node: ChildRef(0), depth: 0 };
        self.entries = 0;
        Ok(())
    }

    /// Removes the entries between two bounds. Returns their number.
    pub(crate) fn remove_range<S: PageSource>(
        &mut self,
        source: &S,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<u64> {
        if (lower, upper) == (Bound::Unbounded, Bound::Unbounded) {
            let removed = self.entries;
            self.clear(source)?;
            return Ok(removed);
        }
        if self.range(lower, upper).next(self.nodes(source))?.is_none() {
            return Ok(0);
        }
        self.is_path_to_end = false;
        self.is_only_appended = false;
        let level = self.top.depth - 1;
        self.top.node = self.own(source, self.top.node, level)?;
        let cut = self.cut(source, self.top.node, level, (lower, upper), &mut Seen::new())?;
        self.count_removed(cut.removed)?;
        if cut.is_empty {
            self.frames.free(self.top.node)?;
            self.top = TreeTop { node: ChildRef(0), depth: 0 };
        }
        for edge in [lower, upper] {
            if let Some(key) = key_of(edge) {
                self.repair(source, key)?;
            }
        }
        Ok(cut.removed)
    }

    /// Takes what lies between the bounds out of a node, a frame, and out of all below.
    fn cut<S: PageSource>(
        &mut self,
        source: &S,
        node: ChildRef,
        level: u8,
        (lower, upper): (Bound<&[u8]>, Bound<&[u8]>),
        seen: &mut Seen,
    ) -> Result<Cut> {
        if level == 0 {
            return self.cut_leaf(source, node, lower, upper);
        }
        let branch: BranchView<'_> = view_any_count(self.frames.get(node)?, level)?;
        let child_count = branch.child_count();
        let first = key_of(lower).map_or(Ok(0), |key| branch.child_index(key))?;
        let last = key_of(upper).map_or(Ok(child_count - 1), |key| branch.child_index(key))?;
        if first > last {
            return Err(disordered(self.frames.get(node)?));
        }
        let mut removed = 0;
        let (mut dead_start, mut dead_end) = (first, last + 1);
        for index in first..=last {
            let below = (
                if index == first { lower } else { Bound::Unbounded },
                if index == last { upper } else { Bound::Unbounded },
            );
            let cut = self.cut_child(source, node, index, level - 1, below, seen)?;
            removed += cut.removed;
            if !cut.is_empty {
                // Only children on an edge can be left, so those that are not lie side by side.
                if index == first { dead_start += 1 } else { dead_end -= 1 }
            }
        }
        let is_empty = dead_end.saturating_sub(dead_start) == child_count;
        if !is_empty && dead_start < dead_end {
            branch::remove_children(self.frames.get_mut(node)?, dead_start..dead_end)?;
        }
        Ok(Cut { removed, is_empty })
    }

    /// Cuts a child of the frame `parent`; if nothing is left of it, it is gone, but still referred to.
    fn cut_child<S: PageSource>(
        &mut self,
        source: &S,
        parent: ChildRef,
        index: usize,
        level: u8,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        seen: &mut Seen,
    ) -> Result<Cut> {
        let branch: BranchView<'_> = view_any_count(self.frames.get(parent)?, level + 1)?;
        let child = branch.child(index)?;
        if bounds == (Bound::Unbounded, Bound::Unbounded) {
            let removed = self.drop_subtree(source, child, level, seen)?;
            return Ok(Cut { removed, is_empty: true });
        }
        let owned = self.own(source, child, level)?;
        branch::set_child(self.frames.get_mut(parent)?, index, owned);
        let cut = self.cut(source, owned, level, bounds, seen)?;
        if cut.is_empty {
            self.frames.free(owned)?;
        }
        Ok(cut)
    }

    fn cut_leaf<S: PageSource>(
        &mut self,
        source: &S,
        node: ChildRef,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<Cut> {
        let leaf: LeafView<'_> = view(self.frames.get(node)?, 0)?;
        let count = leaf.count();
        let start = match lower {
            Bound::Unbounded => 0,
            Bound::Included(key) => leaf.search(key)?.index,
            Bound::Excluded(key) => leaf.search(key).map(|place| place.index + usize::from(place.found))?,
        };
        let end = match upper {
            Bound::Unbounded => count,
            Bound::Excluded(key) => leaf.search(key)?.index,
            Bound::Included(key) => leaf.search(key).map(|place| place.index + usize::from(place.found))?,
        };
        if start > end {
            return Err(disordered(self.frames.get(node)?));
        }
        for index in start..end {
            self.release_value(source, node, index)?;
        }
        leaf::remove(self.frames.get_mut(node)?, start..end)?;
        Ok(Cut { removed: (end - start) as u64, is_empty: end - start == count })
    }

    /// Releases a node and all nodes below it. Returns the number of their entries.
    fn drop_subtree<S: PageSource>(
        &mut self,
        source: &S,
        node: ChildRef,
        level: u8,
        seen: &mut Seen,
    ) -> Result<u64> {
        let Some(number) = node.page() else {
            let buffer = self.frames.take(node)?;
            let removed = self.drop_children(source, node, &buffer, level, seen)?;
            self.frames.recycle(buffer);
            return Ok(removed);
        };
        if !seen.insert(node) {
            return Err(corrupt(Some(number.0), "references to a page", 1, "2 or more"));
        }
        let page = source.page(number)?;
        self.retire(number, 1, page);
        self.drop_children(source, node, page, level, seen)
    }

    fn drop_children<S: PageSource>(
        &mut self,
        source: &S,
        node: ChildRef,
        page: &[u8],
        level: u8,
        seen: &mut Seen,
    ) -> Result<u64> {
        let no_frames_below = |child: ChildRef| {
            let is_sound = node.is_frame() || !child.is_frame();
            is_sound.then_some(child).ok_or_else(|| {
                corrupt(Some(page::number(page).0), "page number of a child", "below 2^31", child.0)
            })
        };
        if level > 0 {
            let branch: BranchView<'_> = view_any_count(page, level)?;
            let mut removed = 0;
            for index in 0..branch.child_count() {
                let child = no_frames_below(branch.child(index)?)?;
                removed += self.drop_subtree(source, child, level - 1, seen)?;
            }
            return Ok(removed);
        }
        let leaf: LeafView<'_> = view(page, 0)?;
        if node::has_overflow(page) {
            for index in 0..leaf.count() {
                if let LeafValue::Overflow { first, .. } = leaf.value(index)? {
                    self.release_run(source, no_frames_below(first)?)?;
                }
            }
        }
        Ok(leaf.count() as u64)
    }

    /// Balances the nodes on the way to `key`, from the root down.
    fn repair<S: PageSource>(&mut self, source: &S, key: &[u8]) -> Result<()> {
        self.shrink_root()?;
        for level in (0..self.top.depth.saturating_sub(1)).rev() {
            // Balancing may have removed the root.
            if level + 1 >= self.top.depth {
                continue;
            }
            self.locate(source, key)?;
            let depth = usize::from(self.top.depth - 1 - level);
            if !self.path[depth].node.is_frame() {
                // A clean page has not been cut, nor has anything below it.
                break;
            }
            self.rebalance(source, depth)?;
        }
        Ok(())
    }
}

/// The first or the last of `count` indexes.
fn outermost_index(end: End, count: usize) -> usize {
    match end {
        End::Front => 0,
        End::Back => count - 1,
    }
}

fn key_of(bound: Bound<&[u8]>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

#[cold]
fn disordered(page: &[u8]) -> Error {
    corrupt(Some(page::number(page).0), "order of the keys", "ascending", "otherwise")
}
