//! Sealing: the changed part of a tree gets page numbers, bottom up and in key order.
//!
//! Numbers go first to the overflow extents, then to all leaves from left to right, then level by level up to the
//! root. Pages that a scan reads together are thus adjacent.
//!
//! Invariants:
//! - A page is sealed after everything it refers to has its number, so no sealed page refers to a frame.
//! - Afterwards there are no frames, or only those that the next entry after all others will change
//!   ([`TreeMut::seal_finished`]). If the supply of numbers fails in the middle, the tree can only be dropped.

use crate::base::ChildRef;
use crate::error::Result;
use crate::format::branch::{self, BranchView};
use crate::format::leaf::{self, LeafValue, LeafView};
use crate::format::node;
use crate::format::page;
use crate::tree::nodes::view;
use crate::tree::pages::{NumberSupply, SealedPages};
use crate::tree::tree_mut::TreeMut;

/// A frame that is a node, and its position in the tree.
struct Dirty {
    node: ChildRef,
    /// The parent's frame and the index in it; none for the root.
    parent: Option<(ChildRef, usize)>,
}

impl TreeMut {
    /// Gives page numbers to all frames and moves them to `out`, complete. The tree has no changes then and has
    /// its new [`TreeMut::root`]; it can be changed further.
    pub(crate) fn seal(&mut self, supply: &mut dyn NumberSupply, out: &mut Vec<SealedPages>) -> Result<()> {
        self.is_path_to_end = false;
        let levels = self.dirty_levels()?;
        self.seal_all_overflow_runs(&levels, supply, out)?;
        self.seal_nodes(&levels, supply, out)?;
        debug_assert_eq!(self.frames.page_count(), 0, "all frames hang from the root");
        Ok(())
    }

    /// Does the same, except for the nodes on the path to the last leaf. In a tree in which every entry was inserted
    /// after all others, only those will still change. Nothing else is a frame afterwards, not even the long values
    /// of the last leaf, which may be much larger than the path.
    pub(crate) fn seal_finished(
        &mut self,
        supply: &mut dyn NumberSupply,
        out: &mut Vec<SealedPages>,
    ) -> Result<()> {
        let mut levels = self.dirty_levels()?;
        self.seal_all_overflow_runs(&levels, supply, out)?;
        let mut last = self.top.node;
        for (level, dirty) in levels.iter_mut().enumerate().rev() {
            dirty.pop_if(|dirty| dirty.node == last);
            if level > 0 && last.is_frame() {
                let branch: BranchView<'_> = view(self.frames.get(last)?, level as u8)?;
                last = branch.child(branch.child_count() - 1)?;
            }
        }
        self.seal_nodes(&levels, supply, out)
    }

    /// All frames that are nodes, by level, from left to right.
    fn dirty_levels(&self) -> Result<Vec<Vec<Dirty>>> {
        let mut levels: Vec<Vec<Dirty>> = Vec::new();
        levels.resize_with(usize::from(self.top.depth), Vec::new);
        if self.top.depth > 0 && self.top.node.is_frame() {
            let root = Dirty { node: self.top.node, parent: None };
            self.collect_dirty(root, self.top.depth - 1, &mut levels)?;
        }
        Ok(levels)
    }

    fn seal_all_overflow_runs(
        &mut self,
        levels: &[Vec<Dirty>],
        supply: &mut dyn NumberSupply,
        out: &mut Vec<SealedPages>,
    ) -> Result<()> {
        out.reserve(self.frames.page_count());
        levels.iter().take(1).flatten().try_for_each(|leaf| self.seal_overflow_runs(leaf.node, supply, out))
    }

    fn seal_nodes(
        &mut self,
        levels: &[Vec<Dirty>],
        supply: &mut dyn NumberSupply,
        out: &mut Vec<SealedPages>,
    ) -> Result<()> {
        for dirty in levels.iter().flatten() {
            let number = supply.page()?;
            let sealed = ChildRef::to_page(number);
            match dirty.parent {
                Some((parent, index)) => branch::set_child(self.frames.get_mut(parent)?, index, sealed),
                None => self.top.node = sealed,
            }
            let mut bytes = self.frames.take(dirty.node)?;
            page::seal(&mut bytes, number, self.transaction);
            out.push(SealedPages { first: number, bytes });
        }
        Ok(())
    }

    /// Lists the frames at and below `dirty`, by level, from left to right.
    fn collect_dirty(&self, dirty: Dirty, level: u8, levels: &mut [Vec<Dirty>]) -> Result<()> {
        if level > 0 {
            let branch: BranchView<'_> = view(self.frames.get(dirty.node)?, level)?;
            for (index, node) in branch.children().enumerate() {
                if node.is_frame() {
                    let child = Dirty { node, parent: Some((dirty.node, index)) };
                    self.collect_dirty(child, level - 1, levels)?;
                }
            }
        }
        levels[usize::from(level)].push(dirty);
        Ok(())
    }

    fn seal_overflow_runs(
        &mut self,
        leaf: ChildRef,
        supply: &mut dyn NumberSupply,
        out: &mut Vec<SealedPages>,
    ) -> Result<()> {
        let page = self.frames.get(leaf)?;
        if !node::has_overflow(page) {
            return Ok(());
        }
        for index in 0..node::key_count(page) {
            let view: LeafView<'_> = view(self.frames.get(leaf)?, 0)?;
            let LeafValue::Overflow { first: run, .. } = view.value(index)? else { continue };
            if !run.is_frame() {
                continue;
            }
            let mut bytes = self.frames.take(run)?;
            let number = supply.run((bytes.len() / self.page_size) as u32)?;
            page::seal(&mut bytes, number, self.transaction);
            leaf::set_overflow_first(self.frames.get_mut(leaf)?, index, ChildRef::to_page(number))?;
            out.push(SealedPages { first: number, bytes });
        }
        Ok(())
    }
}
