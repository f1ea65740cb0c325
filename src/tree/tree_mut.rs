//! A tree that a write transaction changes: its state, reads, and insertions.
//!
//! Copy on write: the first change of a page copies it into a frame and retires the page. Its parent, which then
//! refers to the frame, has been copied before. The changed nodes are thus connected from the root down.
//!
//! Invariants:
//! - I1: a page of the file is never changed. The tree writes only to its frames.
//! - A page is checked when it is copied (`check_before_change`); later changes rely on that.
//! - Between operations every node has at least one entry (leaf) or two children (branch), and every branch has
//!   the overflow flag if a child has it.
//! - Each page that was reachable from the root at first, or after a seal, and no longer is, is in `retired` exactly
//!   once (if the file is not damaged), with the birth in its header.
//!
//! **After an error** of a change (a page that cannot be read, or is damaged), the change may be incomplete: entries
//! may be missing, counts may be wrong. Nothing in the file has changed, so the transaction can be aborted by
//! dropping the tree; it must refuse everything else. Only `KeyTooLong` and `ValueTooLarge` are found before anything
//! is changed. A tree with a level ([`TreeMut::begin_level`]) can also go back to that.

use std::ops::Bound;

use crate::base::{ChildRef, Extent, PageNumber, SavepointId, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::branch::{self, BranchView};
use crate::format::leaf::{self, LeafValue, LeafView, Payload};
use crate::format::node::{self, Entry, NodeView, Position};
use crate::format::overflow::{self, MAX_VALUE_LEN};
use crate::format::page;
use crate::tree::cursor::RangeCursor;
use crate::tree::frames::{Frames, FramesOverPages};
use crate::tree::get::{get, get_many};
use crate::tree::items::Split;
use crate::tree::level::Level;
use crate::tree::nodes::{Nodes, TreeTop, finished, view, view_any_count};
use crate::tree::pages::{PageSource, RetiredPages, SealedPages, TreeRoot};

/// A value to be stored.
#[derive(Clone, Copy)]
pub(crate) enum NewValue<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A value on overflow pages, which the caller has written with this transaction as their birth.
    Stored { first: PageNumber, length: u64 },
    /// This number of zero bytes.
    Zeroed(usize),
    /// A value on overflow pages in a frame.
    InFrame { first: ChildRef, length: u64 },
}

impl NewValue<'_> {
    fn len(&self) -> u64 {
        match self {
            NewValue::Bytes(bytes) => bytes.len() as u64,
            NewValue::Stored { length, .. } | NewValue::InFrame { length, .. } => *length,
            NewValue::Zeroed(length) => *length as u64,
        }
    }
}

/// Returns what the leaf stores for `value`: the value itself, or the reference to its overflow extent.
fn payload(value: NewValue<'_>) -> Payload<'_> {
    match value {
        NewValue::Stored { first, length } => Payload::Overflow { first: ChildRef::to_page(first), length },
        NewValue::InFrame { first, length } => Payload::Overflow { first, length },
        NewValue::Bytes(bytes) => Payload::Inline(bytes),
        NewValue::Zeroed(length) => Payload::Zeroed(length),
    }
}

/// One node of a path, and the index in it where the path continues.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) node: ChildRef,
    pub(super) index: usize,
}

/// A tree that is being changed by a write transaction.
pub(crate) struct TreeMut {
    pub(super) top: TreeTop,
    pub(super) entries: u64,
    pub(super) frames: Frames,
    pub(super) retired: Vec<RetiredPages>,
    pub(super) transaction: TransactionId,
    pub(super) page_size: usize,
    /// The path to the key of the current operation, root first.
    pub(super) path: Vec<Step>,
    /// Whether `path` leads to the last leaf, through frames only, because the last operation inserted an entry there
    /// after all others. If the next entry belongs after that one, it needs no descent.
    pub(super) is_path_to_end: bool,
    /// Whether every change inserted an entry after all others. The next entry will then most likely change only the
    /// path to the last leaf.
    pub(super) is_only_appended: bool,
    /// Bytes that stay free in a leaf when the next one is begun after it.
    pub(super) room_left: usize,
    /// The states to go back to, oldest first, and the label of the newest.
    pub(super) levels: Vec<Level>,
    pub(super) level: SavepointId,
}

impl TreeMut {
    /// The tree of `root`, to be changed by `transaction`.
    pub(crate) fn new(root: &TreeRoot, transaction: TransactionId, page_size: usize) -> TreeMut {
        TreeMut {
            top: root.into(),
            entries: root.entries,
            frames: Frames::new(page_size),
            retired: Vec::new(),
            transaction,
            page_size,
            path: Vec::new(),
            is_path_to_end: false,
            is_only_appended: true,
            room_left: 0,
            levels: Vec::new(),
            level: SavepointId::NONE,
        }
    }

    /// Returns the tree's root. The tree must have no changes since it was created or sealed.
    pub(crate) fn root(&self) -> TreeRoot {
        assert!(!self.is_dirty(), "a tree with changes is sealed before its root is asked for");
        if self.top.depth == 0 {
            return TreeRoot::default();
        }
        TreeRoot { page: PageNumber(self.top.node.0), depth: self.top.depth, entries: self.entries }
    }

    /// Whether there is anything to seal.
    pub(crate) fn is_dirty(&self) -> bool {
        self.frames.page_count() > 0
    }

    /// Whether the tree's root is not `root`, or will not be after it is sealed.
    pub(crate) fn is_changed_from(&self, root: &TreeRoot) -> bool {
        self.is_dirty() || self.root() != *root
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> u64 {
        self.entries
    }

    /// Pages that sealing will store.
    pub(crate) fn dirty_page_count(&self) -> usize {
        self.frames.page_count()
    }

    /// Bytes that sealing will store: the memory that the changes take.
    pub(crate) fn dirty_bytes(&self) -> usize {
        self.frames.page_count() * self.page_size
    }

    /// Whether entries were inserted after all others, and nothing else was changed.
    pub(crate) fn is_only_appended(&self) -> bool {
        self.is_only_appended
    }

    /// Marks the whole tree as one that later changes may touch.
    pub(crate) fn expect_changes(&mut self) {
        self.is_only_appended = false;
    }

    /// Sets how many bytes a leaf keeps free when another is begun after it, for later entries in between.
    pub(crate) fn leave_room(&mut self, bytes: usize) {
        self.room_left = bytes;
    }

    /// Takes pages that are stored as memory for frames to come, as far as that is needed.
    pub(crate) fn reuse(&mut self, stored: Vec<SealedPages>) {
        stored.into_iter().for_each(|pages| self.frames.recycle(pages.bytes));
    }

    /// The pages that the tree has stopped using since the last call, except those from before the newest level.
    pub(crate) fn take_retired(&mut self) -> Vec<RetiredPages> {
        match self.levels.last() {
            None => std::mem::take(&mut self.retired),
            Some(level) => self.retired.split_off(level.retired_count),
        }
    }

    // ---- reading ----

    /// The nodes as this tree sees them, for a [`RangeCursor`] made by [`TreeMut::range`].
    #[inline]
    pub(crate) fn nodes<'a, S: PageSource>(&'a self, source: &'a S) -> FramesOverPages<'a, S> {
        FramesOverPages { source, frames: &self.frames }
    }

    /// Where reading begins.
    pub(crate) fn top(&self) -> TreeTop {
        self.top
    }

    /// The value of `key`.
    pub(crate) fn get<'a, S: PageSource>(&'a self, source: &'a S, key: &[u8]) -> Result<Option<&'a [u8]>> {
        get(self.nodes(source), self.top, key)
    }

    /// The values of `keys`, in their order.
    pub(crate) fn get_many<'a, S: PageSource>(
        &'a self,
        source: &'a S,
        keys: &[&[u8]],
    ) -> Result<Vec<Option<&'a [u8]>>> {
        get_many(self.nodes(source), self.top, keys)
    }

    /// A cursor over a range; to be used with [`TreeMut::nodes`], and not beyond the next change.
    pub(crate) fn range(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> RangeCursor {
        RangeCursor::new(self.top, lower, upper)
    }

    // ---- insertion ----

    /// Inserts an entry, replacing any existing value. Returns `true` if the key was new.
    pub(crate) fn insert<S: PageSource>(
        &mut self,
        source: &S,
        key: &[u8],
        value: NewValue<'_>,
    ) -> Result<bool> {
        self.check_limits(key, &value)?;
        let value = self.with_frame(key, value)?;
        if self.top.depth == 0 {
            self.create_root(key, value)?;
            return Ok(true);
        }
        if let NewValue::Bytes(value) = value
            && self.append(key, value)?
        {
            return Ok(true);
        }
        let was_only_appended = self.is_only_appended;
        let place = match self.position_at_end(key)? {
            Some(place) => place,
            None => {
                let length = leaf::entry_len(key.len(), (value.len() as usize).min(self.page_size));
                let place = self.locate_with_room(source, key, length)?;
                self.copy_path(source)?;
                place
            }
        };
        let (depth, leaf) = self.leaf_of_path();
        if place.found && self.replace_in_place(source, leaf, place.index, key, value)? {
            return Ok(false);
        }
        let mut split = Split::Even;
        let was_path_to_end = std::mem::take(&mut self.is_path_to_end);
        if place.found {
            leaf::remove(self.frames.get_mut(leaf)?, place.index..place.index + 1)?;
        } else {
            split = if was_path_to_end { Split::FillLeft } else { self.split_for_growth()? };
            self.entries = self.entries.wrapping_add(1);
        }
        self.is_only_appended = was_only_appended && split == Split::FillLeft;
        let payload = payload(value);
        if payload.is_overflow() {
            self.flag_path()?;
        }
        let entry_len = leaf::entry_len(key.len(), payload.len());
        let is_full = split == Split::FillLeft && !self.has_room_at_end(leaf, entry_len)?;
        if is_full || !leaf::insert(self.frames.get_mut(leaf)?, place.index, key, payload)? {
            let heap = payload.to_entry();
            let entry = Entry::of_leaf(key, &heap, payload.is_overflow());
            self.insert_items(source, depth, place.index, &[entry], split)?;
        } else if place.found {
            self.rebalance(source, depth)?;
        } else {
            self.is_path_to_end = split == Split::FillLeft;
        }
        Ok(!place.found)
    }

    /// Inserts an entry after all others, if it belongs there, the path leads there, and the leaf has space, so that
    /// no page is added. Otherwise changes nothing and returns `false`. The caller has checked the key's length.
    #[inline]
    pub(crate) fn append(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        if !self.is_path_to_end || !leaf::is_inline(self.page_size, key.len(), value.len()) {
            return Ok(false);
        }
        let (_, leaf) = self.leaf_of_path();
        if !self.has_room_at_end(leaf, leaf::entry_len(key.len(), value.len()))? {
            return Ok(false);
        }
        let is_in = leaf::append(self.frames.get_mut(leaf)?, key, value)?;
        self.entries = self.entries.wrapping_add(u64::from(is_in));
        Ok(is_in)
    }

    /// Whether the last leaf has space for `length` bytes in addition to those that stay free.
    fn has_room_at_end(&self, leaf: ChildRef, length: usize) -> Result<bool> {
        Ok(self.room_left == 0 || leaf::gap_len(self.frames.get(leaf)?) >= length + self.room_left)
    }

    /// Inserts an entry with a value of `length` zero bytes, replacing any existing value, and returns the value for
    /// the caller to fill.
    pub(crate) fn reserve<S: PageSource>(
        &mut self,
        source: &S,
        key: &[u8],
        length: usize,
    ) -> Result<&mut [u8]> {
        self.insert(source, key, NewValue::Zeroed(length))?;
        let place = self.locate(source, key)?;
        let (_, leaf) = self.leaf_of_path();
        let view: LeafView<'_> = view(self.frames.get(leaf)?, 0)?;
        let value = match view.value(place.index)? {
            LeafValue::Inline(_) => leaf::payload_mut(self.frames.get_mut(leaf)?, place.index)?,
            LeafValue::Overflow { first, .. } => overflow::value_mut(self.frames.get_mut(first)?),
        };
        // If keys are out of order, this may be another entry's value.
        if !place.found || value.len() != length {
            return Err(corrupt(None, "order of the keys", "keys that are found", "one that is not"));
        }
        Ok(value)
    }

    /// The value of `key`, to be changed in place, if there is one. Its length stays.
    pub(crate) fn value_mut<S: PageSource>(&mut self, source: &S, key: &[u8]) -> Result<Option<&mut [u8]>> {
        if self.top.depth == 0 {
            return Ok(None);
        }
        let place = self.locate(source, key)?;
        if !place.found {
            return Ok(None);
        }
        self.copy_path(source)?;
        let (_, leaf) = self.leaf_of_path();
        let view: LeafView<'_> = view(self.frames.get(leaf)?, 0)?;
        let run = match view.value(place.index)? {
            LeafValue::Inline(_) => {
                return leaf::payload_mut(self.frames.get_mut(leaf)?, place.index).map(Some);
            }
            LeafValue::Overflow { first, .. } if first.is_frame() => first,
            LeafValue::Overflow { first, length } => {
                self.own_run(source, leaf, place.index, first, length)?
            }
        };
        self.frames.get_mut(run).map(|run| Some(overflow::value_mut(run)))
    }

    /// Copies the overflow extent of an entry into a frame, and retires it.
    fn own_run<S: PageSource>(
        &mut self,
        source: &S,
        leaf: ChildRef,
        index: usize,
        first: ChildRef,
        length: u64,
    ) -> Result<ChildRef> {
        let old = overflow::value(source.overflow(finished(first)?)?, length)?;
        let mut run = overflow::new_run(self.page_size, length)?;
        overflow::value_mut(&mut run).copy_from_slice(old);
        self.release_run(source, first)?;
        let first = self.frames.add(run);
        let value = payload(NewValue::InFrame { first, length });
        value.write(leaf::payload_mut(self.frames.get_mut(leaf)?, index)?);
        self.flag_path()?; // of a damaged page the flag may be missing
        Ok(first)
    }

    /// Whether a key is short enough.
    pub(crate) fn check_key(&self, key: &[u8]) -> Result<()> {
        let limit = page::max_key_len(self.page_size);
        if key.len() > limit {
            return Err(Error::KeyTooLong { length: key.len(), limit });
        }
        Ok(())
    }

    /// Whether a tree can hold the entry.
    pub(crate) fn check_limits(&self, key: &[u8], value: &NewValue<'_>) -> Result<()> {
        self.check_key(key)?;
        if value.len() > MAX_VALUE_LEN {
            return Err(Error::ValueTooLarge { length: value.len(), limit: MAX_VALUE_LEN });
        }
        Ok(())
    }

    /// Creates the first leaf of an empty tree.
    fn create_root(&mut self, key: &[u8], value: NewValue<'_>) -> Result<()> {
        let payload = payload(value);
        let node = self.frames.add_node();
        let page = self.frames.get_mut(node)?;
        let heap = payload.to_entry();
        leaf::build(page, &[], &[Entry::of_leaf(key, &heap, payload.is_overflow())])?;
        if payload.is_overflow() {
            node::set_has_overflow(page);
        }
        self.top = TreeTop { node, depth: 1 };
        self.entries = 1;
        Ok(())
    }

    /// Moves a value that is too long for a leaf to a separate frame. If there is no memory for it, nothing has
    /// changed.
    fn with_frame<'v>(&mut self, key: &[u8], value: NewValue<'v>) -> Result<NewValue<'v>> {
        let length = value.len();
        let is_inline = leaf::is_inline(self.page_size, key.len(), length as usize);
        match value {
            NewValue::Bytes(_) | NewValue::Zeroed(_) if !is_inline => {
                let mut run = overflow::new_run(self.page_size, length)?;
                if let NewValue::Bytes(bytes) = value {
                    overflow::value_mut(&mut run).copy_from_slice(bytes);
                }
                Ok(NewValue::InFrame { first: self.frames.add(run), length })
            }
            _ => Ok(value),
        }
    }

    /// Releases the old value, and overwrites it with the new one if both take the same number of bytes in the leaf.
    fn replace_in_place<S: PageSource>(
        &mut self,
        source: &S,
        leaf: ChildRef,
        index: usize,
        key: &[u8],
        value: NewValue<'_>,
    ) -> Result<bool> {
        self.release_value(source, leaf, index)?;
        let view: LeafView<'_> = view(self.frames.get(leaf)?, 0)?;
        let (old, was_overflow) = view.payload(index)?;
        let old_len = old.len();
        let is_stored = matches!(value, NewValue::Stored { .. });
        let is_overflow = is_stored || !leaf::is_inline(self.page_size, key.len(), value.len() as usize);
        if was_overflow != is_overflow || (!is_overflow && old_len as u64 != value.len()) {
            return Ok(false);
        }
        let payload = payload(value);
        payload.write(leaf::payload_mut(self.frames.get_mut(leaf)?, index)?);
        Ok(true)
    }

    // ---- the path ----

    /// Returns the position of a key after all others, if the path leads there.
    fn position_at_end(&mut self, key: &[u8]) -> Result<Option<Position>> {
        if !self.is_path_to_end {
            return Ok(None);
        }
        let (depth, leaf) = self.leaf_of_path();
        let leaf: LeafView<'_> = view(self.frames.get(leaf)?, 0)?;
        let place = leaf.search(key)?;
        if place.found || place.index < leaf.count() {
            return Ok(None);
        }
        self.path[depth].index = place.index;
        Ok(Some(place))
    }

    /// Descends to `key` without changing anything, and leaves the way in `path`. The tree is not empty.
    pub(super) fn locate<S: PageSource>(&mut self, source: &S, key: &[u8]) -> Result<Position> {
        self.locate_with_room(source, key, 0)
    }

    /// Does the same, and prefetches the bytes that the insertion of an entry of `length` bytes will write.
    fn locate_with_room<S: PageSource>(&mut self, source: &S, key: &[u8], length: usize) -> Result<Position> {
        let nodes = FramesOverPages { source, frames: &self.frames };
        self.path.clear();
        self.is_path_to_end = false;
        self.is_only_appended = false;
        let mut node = self.top.node;
        for level in (1..self.top.depth).rev() {
            let branch: BranchView<'_> = view_any_count(nodes.node(node)?, level)?;
            let index = branch.child_index(key)?;
            self.path.push(Step { node, index });
            node = branch.child(index)?;
            nodes.prefetch(node);
        }
        let page = nodes.node(node)?;
        let leaf: LeafView<'_> = view(page, 0)?;
        if length > 0 {
            leaf::prefetch_room(page, length);
        }
        let place = leaf.search(key)?;
        self.path.push(Step { node, index: place.index });
        Ok(place)
    }

    /// Makes all nodes on the path the transaction's own.
    pub(super) fn copy_path<S: PageSource>(&mut self, source: &S) -> Result<()> {
        for depth in 0..self.path.len() {
            let node = self.path[depth].node;
            if node.is_frame() {
                continue;
            }
            let owned = self.own(source, node, self.level_of(depth))?;
            self.path[depth].node = owned;
            match depth.checked_sub(1) {
                None => self.top.node = owned,
                Some(above) => {
                    let parent = self.path[above];
                    branch::set_child(self.frames.get_mut(parent.node)?, parent.index, owned);
                }
            }
        }
        Ok(())
    }

    /// The frame of a node: itself, or a copy of the page, which is checked and retired.
    pub(super) fn own<S: PageSource>(&mut self, source: &S, node: ChildRef, level: u8) -> Result<ChildRef> {
        let Some(number) = node.page() else { return Ok(node) };
        source.prefetch_whole(number); // all of it is checked, entry by entry, and then copied
        let page = source.page(number)?;
        if level == 0 {
            view::<LeafView<'_>>(page, 0)?;
            leaf::check_before_change(page)?;
        } else {
            view::<BranchView<'_>>(page, level)?;
            branch::check_before_change(page)?;
        }
        self.retire(number, 1, page);
        Ok(self.frames.add_copy(page))
    }

    /// The level of the node at this depth of the path.
    pub(super) fn level_of(&self, depth: usize) -> u8 {
        self.top.depth - 1 - depth as u8
    }

    fn leaf_of_path(&self) -> (usize, ChildRef) {
        let depth = self.path.len() - 1;
        (depth, self.path[depth].node)
    }

    /// How to split if the path's leaf has no space for a new entry. At the tree's ends, full pages stay full.
    fn split_for_growth(&self) -> Result<Split> {
        if self.path.iter().all(|step| step.index == 0) {
            // A single entry in a single leaf is at both ends; either will do.
            return Ok(Split::FillRight);
        }
        for step in &self.path {
            if step.index < node::key_count(self.frames.get(step.node)?) {
                return Ok(Split::Even);
            }
        }
        Ok(Split::FillLeft)
    }

    /// Marks all nodes of the path as having a value on overflow pages below.
    fn flag_path(&mut self) -> Result<()> {
        for step in &self.path {
            node::set_has_overflow(self.frames.get_mut(step.node)?);
        }
        Ok(())
    }

    // ---- release ----

    pub(super) fn retire(&mut self, first: PageNumber, count: u32, header: &[u8]) {
        self.retired.push(RetiredPages { run: Extent { first, count }, birth: page::birth(header) });
    }

    /// Releases the overflow extent of an entry, if it has one. The caller removes the entry itself.
    pub(super) fn release_value<S: PageSource>(
        &mut self,
        source: &S,
        leaf: ChildRef,
        index: usize,
    ) -> Result<()> {
        let view: LeafView<'_> = view(self.frames.get(leaf)?, 0)?;
        match view.value(index)? {
            LeafValue::Inline(_) => Ok(()),
            LeafValue::Overflow { first, .. } => self.release_run(source, first),
        }
    }

    pub(super) fn release_run<S: PageSource>(&mut self, source: &S, first: ChildRef) -> Result<()> {
        if first.is_frame() {
            return self.frames.free(first);
        }
        let number = finished(first)?;
        let run = source.overflow(number)?;
        self.retire(number, (run.len() / self.page_size) as u32, run);
        Ok(())
    }

    /// Takes `removed` off the count of entries.
    pub(super) fn count_removed(&mut self, removed: u64) -> Result<()> {
        match self.entries.checked_sub(removed) {
            Some(entries) => self.entries = entries,
            None => {
                let expected = format_args!("at most {}", self.entries);
                return Err(corrupt(
                    None,
                    "entries in the tree",
                    expected,
                    format_args!("{removed} and more"),
                ));
            }
        }
        Ok(())
    }
}
