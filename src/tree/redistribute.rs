//! Redistribution: a full leaf gives its outermost entries to a sibling. They are copied unchanged, and nothing else
//! moves in either page except the slots that fill the gap. Most full leaves get space this way.
//!
//! Invariants:
//! - Nothing changes before it is known that both leaves have space and that the keys involved are in order. Other
//!   cases are left to `balance`, which takes all entries out.

use crate::error::{Result, corrupt};
use crate::format::leaf::{self, LeafView};
use crate::format::node::{self, Entry, NodeView};
use crate::format::page;
use crate::tree::items::Split;
use crate::tree::nodes::view_any_count;
use crate::tree::pages::PageSource;
use crate::tree::tree_mut::TreeMut;

/// A leaf's entries, and one more among them for which it has no space.
pub(super) struct FullLeaf<'a> {
    leaf: LeafView<'a>,
    /// Where the new entry belongs.
    index: usize,
    new: Entry<'a>,
    /// Bytes that all of them take, with the leaf's prefix.
    used: usize,
    capacity: usize,
}

/// How many entries go to a sibling, the new one among them or not, and what sets the two leaves apart then.
struct Shares {
    moved: usize,
    separator: Vec<u8>,
}

impl<'a> FullLeaf<'a> {
    fn new(page: &'a [u8], index: usize, new: Entry<'a>) -> Result<FullLeaf<'a>> {
        let leaf: LeafView<'a> = view_any_count(page, 0)?;
        let used = leaf::used_bytes(page) + leaf.growth(&new, 0);
        Ok(FullLeaf { leaf, index, new, used, capacity: node::capacity(page.len()) })
    }

    /// Whether the entries do not fit a page, even after a rebuild without dead bytes and with the best prefix.
    /// Returns `false` if the new key does not begin with the leaf's prefix, or if the leaf might become dense or
    /// cease to be.
    fn is_sure(&self) -> Result<bool> {
        if self.leaf.count() == 0 || !self.new.has_prefix(self.leaf.prefix()) {
            return Ok(false);
        }
        let is_alike = leaf::may_be_dense(&self.new) && leaf::is_alike(&self.new, &self.leaf.leaf_entry(0)?);
        if is_alike != self.leaf.is_dense() {
            return Ok(false);
        }
        if self.used <= self.capacity {
            return Ok(false);
        }
        let longer = self.leaf.common_len()?.saturating_sub(self.leaf.prefix().len());
        Ok(self.used > self.capacity + longer * self.len())
    }

    /// Prefetches the bytes that moving `bytes` bytes will read and write.
    fn prefetch(&self, page: &[u8], sibling: &[u8], bytes: usize, to_right: bool) {
        let heap = leaf::heap_range(page).start;
        page::prefetch_range(page, heap..heap + bytes);
        let heap = leaf::heap_range(sibling).start;
        page::prefetch_range(sibling, heap.saturating_sub(bytes)..heap);
        let count = self.leaf.count();
        let length = self.used / self.len();
        for at in 0..(bytes / length + 1 + self.len() / 8).min(count) {
            self.leaf.prefetch_whole_entry(if to_right { count - 1 - at } else { at }, length);
        }
    }

    fn len(&self) -> usize {
        self.leaf.count() + 1
    }

    fn entry(&self, at: usize) -> Result<Entry<'a>> {
        match at.checked_sub(self.index) {
            None => self.leaf.leaf_entry(at),
            Some(0) => Ok(self.new),
            Some(_) => self.leaf.leaf_entry(at - 1),
        }
    }

    /// The entry at `at` from one end on: the right one, if `to_right`.
    fn outermost(&self, at: usize, to_right: bool) -> Result<Entry<'a>> {
        self.entry(if to_right { self.len() - 1 - at } else { at })
    }

    /// How to share with a sibling so that both are about equally full: near there, where the separator is short.
    /// `None` if the sibling has no room for that as it is, or its prefix is another.
    fn shares(&self, sibling: &[u8], sibling_used: usize, to_right: bool) -> Result<Option<Shares>> {
        let around = self.len() / 8;
        let mut middle = self.len() - 1;
        let mut bytes = 0;
        // The outermost entries, and the bytes of those farther out.
        let mut outer = Vec::with_capacity(self.len());
        for moved in 0..self.len() {
            if self.used <= sibling_used + 2 * bytes {
                middle = middle.min(moved.max(1));
            }
            let entry = self.outermost(moved, to_right)?;
            outer.push((entry, bytes));
            bytes += self.leaf.growth(&entry, 0);
            if moved >= middle + around {
                break;
            }
        }
        let near = middle.saturating_sub(around).max(1)..outer.len();
        let fits = |moved: &usize| {
            let bytes = outer[*moved].1;
            self.used.saturating_sub(bytes) <= self.capacity && sibling_used + bytes <= self.capacity
        };
        let common_len = |moved: usize| outer[moved - 1].0.common_len(&outer[moved].0);
        let cut = near.filter(fits).min_by_key(|&moved| (common_len(moved), moved.abs_diff(middle)));
        let Some(moved) = cut else { return Ok(None) };

        let [nearest, farthest, kept] = [&outer[0].0, &outer[moved - 1].0, &outer[moved].0];
        let (left, right) = if to_right { (kept, farthest) } else { (farthest, kept) };
        if left.compare_keys(right).is_ge() {
            return Err(corrupt(
                None,
                "order of the keys of a page that is being changed",
                "ascending",
                "another",
            ));
        }
        let view: LeafView<'_> = view_any_count(sibling, 0)?;
        let place = view.search(&nearest.key())?;
        let is_in_order = !place.found && place.index == if to_right { 0 } else { view.count() };
        // If the farthest has the sibling's prefix all have it, as they lie between it and the sibling's keys.
        let has_room = || {
            let moved: Vec<Entry<'_>> = outer[..moved].iter().map(|(entry, _)| *entry).collect();
            view.has_room_for(&moved)
        };
        if !is_in_order || !farthest.has_prefix(view.prefix()) || !has_room() {
            return Ok(None);
        }
        let separator = right.key()[..common_len(moved) + 1].to_vec();
        Ok(Some(Shares { moved, separator }))
    }

    /// Copies the outermost entries to the sibling.
    fn give(&self, moved: usize, sibling: &mut [u8], to_right: bool) -> Result<()> {
        let (range, index) =
            if to_right { (self.len() - moved..self.len(), 0) } else { (0..moved, node::key_count(sibling)) };
        let entries: Vec<Entry<'a>> = range.map(|at| self.entry(at)).collect::<Result<_>>()?;
        if leaf::insert_entries(sibling, index, &entries)? {
            return Ok(());
        }
        Err(corrupt(None, "leaf that takes entries over", "room for what was counted", "none"))
    }
}

impl TreeMut {
    /// Inserts an entry at `index` of the leaf at `depth`, which has no space for it, by moving outermost entries to
    /// the emptier sibling. If that is not possible, changes nothing and returns `false`.
    pub(super) fn share_leaf<S: PageSource>(
        &mut self,
        source: &S,
        depth: usize,
        index: usize,
        new: Entry<'_>,
    ) -> Result<bool> {
        let here = self.path[depth].node;
        if !FullLeaf::new(self.frames.get(here)?, index, new)?.is_sure()? {
            return Ok(false);
        }
        let Some((left, sibling_used)) = self.roomy_sibling(source, depth)? else { return Ok(false) };
        let to_right = left == self.path[depth - 1].index;
        let pair = self.pair(source, depth, left)?;
        let sibling = pair[usize::from(to_right)];
        let [page, sibling_page] = self.frames.get_two_mut([here, sibling])?;
        let full = FullLeaf::new(page, index, new)?;
        full.prefetch(page, sibling_page, full.used.saturating_sub(sibling_used) / 2, to_right);
        let Some(Shares { moved, separator }) = full.shares(sibling_page, sibling_used, to_right)? else {
            return Ok(false);
        };
        full.give(moved, sibling_page, to_right)?;
        let count = full.leaf.count();
        let is_new_moved = if to_right { count - index < moved } else { index < moved };
        let moved = moved - usize::from(is_new_moved);
        let (moved, index) =
            if to_right { (count - moved..count, index) } else { (0..moved, index.saturating_sub(moved)) };
        leaf::remove_and_fill(page, moved)?;
        if !is_new_moved && !leaf::insert_entry(page, index, &new)? {
            self.build_anew(here, 0, index, &[new])?;
        }
        let new = vec![(separator, pair[1])];
        self.replace_children(source, depth - 1, left + 1, 1, new, Split::Even)?;
        Ok(true)
    }
}
