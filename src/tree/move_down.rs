//! Moving pages away from the file's end. Nodes there are copied into frames, which get lower numbers when the tree
//! is sealed. Overflow extents are stored lower down at once.
//!
//! One call continues from a key, in key order, until its budget is spent. It reads branches, leaves that are to be
//! moved or may have values on overflow pages, and one more leaf for each lowest branch.
//!
//! Invariants:
//! - I1: pages are copied and retired, as by any change. No entry changes.
//! - I5: the key to continue from is always greater than the one before, and visited nodes are counted. A page with
//!   two references is retired twice, which free space finds.

use crate::base::{ChildRef, PageNumber};
use crate::error::{Result, corrupt};
use crate::format::branch::BranchView;
use crate::format::leaf::{self, LeafValue, LeafView};
use crate::format::node::{self, NodeView};
use crate::format::overflow;
use crate::tree::frames::FramesOverPages;
use crate::tree::nodes::{Nodes, finished, view, view_any_count};
use crate::tree::pages::PageSource;
use crate::tree::tree_mut::{Step, TreeMut};

/// Stores the value of the overflow extent at this page in another one, lower down. Returns `None` if there is no
/// space.
type StoreLower<'a> = dyn Fn(&[u8], PageNumber) -> Result<Option<PageNumber>> + 'a;

/// What to move, the budget, and what has been done.
pub(crate) struct Moving<'a> {
    /// This page and those after it are moved.
    pub(crate) ceiling: u32,
    /// Whether only values on overflow pages are moved, and the nodes that refer to them.
    pub(crate) values_only: bool,
    /// The budget: pages that may be allocated.
    pub(crate) budget: u32,
    /// Pages that have been allocated, without those for the frames of this tree.
    pub(crate) taken: u32,
    /// Nodes that may still be visited.
    pub(crate) visits: u32,
    /// Pages that have been moved, or will be when the tree is sealed.
    pub(crate) moved: u32,
    /// Pages of values for which there is no free extent lower down.
    pub(crate) without_run: u32,
    pub(crate) store_lower: &'a StoreLower<'a>,
}

impl Moving<'_> {
    fn is_high(&self, at: ChildRef) -> bool {
        !self.values_only && at.page().is_some_and(|page| page.0 >= self.ceiling)
    }
}

impl TreeMut {
    /// Moves pages that are too high, in key order from `from`. Returns the key to continue from if the budget is
    /// spent, and `None` at the end of the tree. The tree has no changes except those of earlier calls.
    pub(crate) fn move_down<S: PageSource>(
        &mut self,
        source: &S,
        from: &[u8],
        moving: &mut Moving<'_>,
    ) -> Result<Option<Vec<u8>>> {
        let nodes = FramesOverPages { source, frames: &self.frames };
        if self.top.depth == 0 || (moving.values_only && !node::has_overflow(nodes.node(self.top.node)?)) {
            return Ok(None);
        }
        let mut from = from.to_vec();
        loop {
            if self.is_spent(moving, 0) {
                return Ok(Some(from));
            }
            self.locate(source, &from)?;
            if self.top.depth == 1 {
                moving.visits -= 1;
                return Ok(if self.move_leaf(source, moving)? { None } else { Some(from) });
            }
            self.path.pop();
            if let Some(stopped_at) = self.move_children(source, &from, moving)? {
                return Ok(Some(stopped_at));
            }
            match self.key_behind_path(source)? {
                Some(next) if next > from => from = next,
                Some(_) => return Err(corrupt(None, "order of the separators", "ascending", "another")),
                None => return Ok(None),
            }
        }
    }

    /// Whether the budget does not allow `count` more pages and a path from the root.
    fn is_spent(&self, moving: &Moving<'_>, count: u32) -> bool {
        let frames = self.frames.page_count() as u32 + u32::from(self.top.depth);
        let needed = moving.taken.saturating_add(frames).saturating_add(count);
        moving.visits == 0 || (moving.moved > 0 && needed > moving.budget)
    }

    /// Moves the nodes of the path, which ends in a branch of level 1, and the leaves of that branch from the path's
    /// on. Returns the smallest key of the leaf at which the budget was spent.
    fn move_children<S: PageSource>(
        &mut self,
        source: &S,
        from: &[u8],
        moving: &mut Moving<'_>,
    ) -> Result<Option<Vec<u8>>> {
        let high = self.path.iter().filter(|step| moving.is_high(step.node)).count();
        if high > 0 {
            self.copy_path(source)?;
            moving.moved += high as u32;
        }
        let depth = self.path.len() - 1;
        let first = self.path[depth].index;
        let mut index = first;
        loop {
            let nodes = FramesOverPages { source, frames: &self.frames };
            let page = nodes.node(self.path[depth].node)?;
            let branch: BranchView<'_> = view_any_count(page, 1)?;
            if index == branch.child_count() {
                return Ok(None);
            }
            let leaf = branch.child(index)?;
            let least_key =
                || if index == first { Ok(from.to_vec()) } else { Ok(branch.key(index - 1)?.to_vec()) };
            if self.is_spent(moving, 0) {
                return least_key().map(Some);
            }
            moving.visits -= 1;
            if moving.is_high(leaf) || node::has_overflow(page) {
                let least_key = least_key()?;
                self.path[depth].index = index;
                self.path.push(Step { node: leaf, index: 0 });
                let is_done = self.move_leaf(source, moving)?;
                self.path.pop();
                if !is_done {
                    return Ok(Some(least_key));
                }
            }
            index += 1;
        }
    }

    /// Moves the leaf at the path's end if it is too high, and its values that are. Returns `false` if the budget was
    /// spent before all were moved.
    fn move_leaf<S: PageSource>(&mut self, source: &S, moving: &mut Moving<'_>) -> Result<bool> {
        let depth = self.path.len() - 1;
        if moving.is_high(self.path[depth].node) {
            self.copy_path(source)?;
            moving.moved += 1;
        }
        let nodes = FramesOverPages { source, frames: &self.frames };
        let page = nodes.node(self.path[depth].node)?;
        let count = view::<LeafView<'_>>(page, 0)?.count();
        if !node::has_overflow(page) {
            return Ok(true);
        }
        for index in 0..count {
            if !self.move_value(source, depth, index, moving)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Moves the overflow extent of an entry, if it has one that is too high or ends too high. Returns `false` if the
    /// budget is spent.
    fn move_value<S: PageSource>(
        &mut self,
        source: &S,
        depth: usize,
        index: usize,
        moving: &mut Moving<'_>,
    ) -> Result<bool> {
        let nodes = FramesOverPages { source, frames: &self.frames };
        let leaf: LeafView<'_> = view(nodes.node(self.path[depth].node)?, 0)?;
        let LeafValue::Overflow { first, length } = leaf.value(index)? else { return Ok(true) };
        let number = finished(first)?;
        let is_sound = length <= overflow::MAX_VALUE_LEN; // otherwise the read of the extent finds the damage
        let end = |count: u32| number.0.saturating_add(count);
        if is_sound && end(overflow::page_count(self.page_size, length)) <= moving.ceiling {
            return Ok(true);
        }
        let count = source.overflow_page_count(number)?;
        if self.is_spent(moving, count) {
            return Ok(false);
        }
        let run = source.overflow(number)?;
        let Some(lower) = (moving.store_lower)(overflow::value(run, length)?, number)? else {
            moving.without_run += count;
            return Ok(true);
        };
        self.copy_path(source)?;
        self.release_run(source, first)?;
        let leaf = self.frames.get_mut(self.path[depth].node)?;
        leaf::set_overflow_first(leaf, index, ChildRef::to_page(lower))?;
        moving.taken += count;
        moving.moved += count;
        Ok(true)
    }

    /// Returns the smallest key after everything below the path's last node, or `None` if there is none.
    fn key_behind_path<S: PageSource>(&self, source: &S) -> Result<Option<Vec<u8>>> {
        let nodes = FramesOverPages { source, frames: &self.frames };
        for depth in (0..self.path.len() - 1).rev() {
            let Step { node, index } = self.path[depth];
            let branch: BranchView<'_> = view_any_count(nodes.node(node)?, self.level_of(depth))?;
            if index < branch.count() {
                return Ok(Some(branch.key(index)?.to_vec()));
            }
        }
        Ok(None)
    }
}
