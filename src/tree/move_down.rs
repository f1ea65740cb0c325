//! Moving pages away from the file's end: what lies there is copied into frames, which get lower numbers when the tree
//! is sealed, and overflow runs are stored lower down at once.
//!
//! One call goes on from a key, in key order, as far as its budget reaches. It reads branches; leaves only if they are
//! to be moved, or may have values on overflow pages; and one leaf more for each lowest branch.
//!
//! Invariants:
//! - I1: pages are copied and retired, as by any change. No entry changes.
//! - I5: the key to go on from is always greater than the one before, and the nodes that are looked at are counted; a
//!   page that is referred to twice is retired twice, which free space finds.

use crate::base::{ChildRef, PageNumber};
use crate::error::{Result, corrupt};
use crate::format::branch::BranchView;
use crate::format::leaf::{self, LeafValue, LeafView};
use crate::format::node;
use crate::format::overflow;
use crate::tree::frames::FramesOverPages;
use crate::tree::nodes::{Nodes, finished, view, view_any_count};
use crate::tree::pages::PageSource;
use crate::tree::tree_mut::{Step, TreeMut};

/// Stores the value of the overflow run at this page in another one, lower down; `None` if there is no room for it.
type StoreLower<'a> = dyn Fn(&[u8], PageNumber) -> Result<Option<PageNumber>> + 'a;

/// What is to be moved, how much may be done, and what has been.
pub(crate) struct Moving<'a> {
    /// Pages at and behind this one are moved.
    pub(crate) ceiling: u32,
    /// Whether values on overflow pages alone are moved, and no nodes but those that refer to them.
    pub(crate) values_only: bool,
    /// Pages that may be taken.
    pub(crate) budget: u32,
    /// Pages that have been taken, those that the frames of this tree will take not counted.
    pub(crate) taken: u32,
    /// Nodes that may still be looked at.
    pub(crate) visits: u32,
    /// Pages that have been moved, or will be when the tree is sealed.
    pub(crate) moved: u32,
    /// Pages of values for which there is no run of free pages lower down.
    pub(crate) without_run: u32,
    pub(crate) store_lower: &'a StoreLower<'a>,
}

impl Moving<'_> {
    fn is_high(&self, at: ChildRef) -> bool {
        !self.values_only && at.page().is_some_and(|page| page.0 >= self.ceiling)
    }
}

impl TreeMut {
    /// Moves what lies too high, from `from` on. Answers the key to go on from when the budget is spent; `None` when
    /// the tree has no more. The tree has no changes but what earlier calls have moved.
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

    /// Whether nothing more is to be done that takes `count` pages besides a way from the root down.
    fn is_spent(&self, moving: &Moving<'_>, count: u32) -> bool {
        let frames = self.frames.page_count() as u32 + u32::from(self.top.depth);
        let needed = moving.taken.saturating_add(frames).saturating_add(count);
        moving.visits == 0 || (moving.moved > 0 && needed > moving.budget)
    }

    /// Moves the nodes of the path, which ends in a branch of level 1, and that one's leaves from the path's on.
    /// Answers the least key of the leaf at which the budget was spent.
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

    /// Moves the leaf at the path's end, if it is high, and its values that are. `false` if not all of them, because
    /// the budget was spent.
    fn move_leaf<S: PageSource>(&mut self, source: &S, moving: &mut Moving<'_>) -> Result<bool> {
        let depth = self.path.len() - 1;
        if moving.is_high(self.path[depth].node) {
            self.copy_path(source)?;
            moving.moved += 1;
        }
        let nodes = FramesOverPages { source, frames: &self.frames };
        let page = nodes.node(self.path[depth].node)?;
        let count = view::<false>(page, 0)?.count();
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

    /// Moves the overflow run of an entry, if it has one, and that is high or ends high. `false` if the budget is
    /// spent.
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
        let is_sound = length <= overflow::MAX_VALUE_LEN; // what is not is found when the run is read
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

    /// The least key behind all that lies below the last node of the path; `None` if there is nothing behind it.
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
