//! The leaf: keys and values, in one of two layouts.
//!
//! A *slotted* leaf has entries of any length (`slotted.rs`); a *dense* one has short entries of one length and no
//! slots (`dense.rs`). Both implement the same functions. This file is the only one that asks which layout a page
//! has, and the only way to a leaf from outside.

mod value;

mod dense;
mod slotted;

use std::ops::Range;

use self::dense::{DenseLeaf, Shape};
use self::slotted::SlottedLeaf;
use crate::base::{ChildRef, KeyBuf, KeyStart};
use crate::error::Result;
use crate::format::node::{self, Entry, HEAD_LEN, NodeView, Position, overfull};
use crate::format::page::{self, HEADER_LEN, PageKind};

pub(crate) use self::dense::{is_alike, may_be_dense};
use self::value::Cell;
pub(crate) use self::value::{Candidate, LeafValue, Payload, check_lens, entry_len, is_inline};

/// A leaf of either layout, to be read.
#[derive(Clone, Copy)]
pub(crate) struct LeafView<'a> {
    page: &'a [u8],
    prefix: &'a [u8],
    heads: &'a [[u8; HEAD_LEN]],
    /// None in a dense leaf.
    slots: &'a [[u8; 4]],
    /// Of a dense leaf.
    shape: Option<Shape>,
}

/// A leaf as the layout that it has.
enum Layout<'a> {
    Slotted(SlottedLeaf<'a>),
    Dense(DenseLeaf<'a>),
}

use Layout::{Dense, Slotted};

impl<'a> NodeView<'a> for LeafView<'a> {
    const KIND: PageKind = PageKind::Leaf;

    #[inline(always)]
    fn new(page: &'a [u8]) -> Result<LeafView<'a>> {
        let Some(header) = page.first_chunk::<HEADER_LEN>() else { return Err(overfull(page, 0)) };
        if Shape::of(header).is_some() {
            let DenseLeaf { page, prefix, heads, shape } = DenseLeaf::new(page)?;
            return Ok(LeafView { page, prefix, heads, slots: &[], shape: Some(shape) });
        }
        let SlottedLeaf { page, prefix, heads, slots, .. } = SlottedLeaf::new(page)?;
        Ok(LeafView { page, prefix, heads, slots, shape: None })
    }

    #[inline(always)]
    fn count(&self) -> usize {
        self.heads.len()
    }

    #[inline(always)]
    fn key(&self, index: usize) -> Result<KeyBuf> {
        match self.layout() {
            Slotted(leaf) => leaf.key(index),
            Dense(leaf) => leaf.key(index),
        }
    }

    fn is_padded(&self, index: usize) -> Result<bool> {
        match self.layout() {
            Slotted(leaf) => leaf.is_padded(index),
            Dense(leaf) => leaf.is_padded(index),
        }
    }

    fn heap(&self) -> Range<usize> {
        heap_range(self.page)
    }

    fn dead_bytes(&self) -> usize {
        dead_bytes(self.page)
    }

    fn check_header(&self) -> Result<()> {
        match self.layout() {
            Slotted(_) => Ok(()),
            Dense(leaf) => leaf.check_last_head(),
        }
    }
}

impl<'a> LeafView<'a> {
    #[inline(always)]
    fn layout(&self) -> Layout<'a> {
        let LeafView { page, prefix, heads, .. } = *self;
        match self.shape {
            None => Slotted(self.as_slotted()),
            Some(shape) => Dense(DenseLeaf { page, prefix, heads, shape }),
        }
    }

    /// The leaf as one with slots, of which a dense leaf has none.
    #[inline(always)]
    fn as_slotted(&self) -> SlottedLeaf<'a> {
        let LeafView { page, prefix, heads, slots, .. } = *self;
        SlottedLeaf { page, prefix, heads, children: &[], slots }
    }

    /// Whether the leaf is dense.
    pub(crate) fn is_dense(&self) -> bool {
        self.shape.is_some()
    }

    /// The prefix of all keys of the page.
    #[inline]
    pub(crate) fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    /// Finds `key`, or where it belongs.
    #[inline(always)]
    pub(crate) fn search(&self, key: &[u8]) -> Result<Position> {
        self.search_notifying(key, |_| ())
    }

    /// As [`search`](LeafView::search). In a slotted leaf, calls `on_index` with the position of the key, or of the
    /// first key with the same head, as soon as that is known and before the memory of any entry is read.
    #[inline(always)]
    pub(crate) fn search_notifying(&self, key: &[u8], on_index: impl FnOnce(usize)) -> Result<Position> {
        match self.layout() {
            Slotted(leaf) => leaf.search_notifying(key, on_index),
            Dense(leaf) => dense::search(leaf.page, key),
        }
    }

    /// The entry that may have `key`, if there is one; its memory is prefetched.
    #[inline(always)]
    pub(crate) fn candidate(self, key: &[u8]) -> Result<Option<Candidate<'a>>> {
        match self.layout() {
            Slotted(leaf) => leaf.candidate(key),
            Dense(leaf) => dense::candidate(leaf.page, key),
        }
    }

    /// The value at `index`.
    #[inline(always)]
    pub(crate) fn value(&self, index: usize) -> Result<LeafValue<'a>> {
        match self.layout() {
            Slotted(leaf) => leaf.value(index),
            Dense(leaf) => leaf.value(index).map(LeafValue::Inline),
        }
    }

    /// The bytes that the leaf has for the value at `index`, and whether they are a descriptor.
    pub(crate) fn payload(&self, index: usize) -> Result<(&'a [u8], bool)> {
        match self.layout() {
            Slotted(leaf) => leaf.payload(index),
            Dense(leaf) => leaf.value(index).map(|value| (value, false)),
        }
    }

    /// Key and value at `index`.
    #[inline(always)]
    pub(crate) fn entry(&self, index: usize) -> Result<(KeyBuf, LeafValue<'a>)> {
        match self.layout() {
            Slotted(leaf) => leaf.entry(index),
            Dense(leaf) => leaf.entry(index),
        }
    }

    /// Key and value at `index`, if the key is short and the value lies in the leaf; `start` is the leaf's prefix.
    /// `None` in all other cases: [`LeafView::entry`] reads them.
    #[inline(always)]
    pub(crate) fn short_entry(&self, index: usize, start: &KeyStart) -> Option<(KeyBuf, &'a [u8])> {
        let &head = self.heads.get(index)?;
        let Cell { rest_at, suffix_len, value_len } = match self.layout() {
            Slotted(leaf) => leaf.cell(index)?,
            Dense(leaf) => leaf.cell(index)?,
        };
        let value_at = rest_at + suffix_len.saturating_sub(HEAD_LEN);
        let value = self.page.get(value_at..value_at + value_len)?;
        let key =
            start.join(node::bytes_of_head(head), self.page, rest_at, self.prefix.len() + suffix_len)?;
        Some((key, value))
    }

    /// The entry at `index`, to be inserted into another leaf.
    #[inline]
    pub(crate) fn leaf_entry(&self, index: usize) -> Result<Entry<'a>> {
        match self.layout() {
            Slotted(leaf) => leaf.leaf_entry(index),
            Dense(leaf) => leaf.leaf_entry(index),
        }
    }

    /// Adds all entries to `entries`, to be inserted into other leaves, if the leaf is dense; otherwise returns
    /// `false`.
    pub(crate) fn append_dense_entries(&self, entries: &mut Vec<Entry<'a>>) -> Result<bool> {
        match self.layout() {
            Slotted(_) => Ok(false),
            Dense(leaf) => leaf.append_entries_to(entries).map(|()| true),
        }
    }

    /// How many bytes the keys of the first and the last entry have in common. The leaf must have entries.
    pub(crate) fn common_len(&self) -> Result<usize> {
        let last = self.count() - 1;
        let [first_head, last_head] = [0, last].map(|index| u32::from_le_bytes(self.heads[index]));
        if first_head == last_head {
            return Ok(self.leaf_entry(0)?.common_len(&self.leaf_entry(last)?));
        }
        let shortest = self.suffix_len(0)?.min(self.suffix_len(last)?);
        let common = (first_head ^ last_head).leading_zeros() as usize / 8;
        Ok(self.prefix.len() + common.min(shortest))
    }

    fn suffix_len(&self, index: usize) -> Result<usize> {
        match self.layout() {
            Slotted(leaf) => leaf.slot(index).map(|slot| slot.suffix_len),
            Dense(leaf) => Ok(leaf.shape.suffix_len()),
        }
    }

    /// Where the entry at `index` lies in the page.
    pub(crate) fn entry_range(&self, index: usize) -> Result<Range<usize>> {
        match self.layout() {
            Slotted(leaf) => leaf.leaf_entry_range(index),
            Dense(leaf) => leaf.entry_range(index),
        }
    }

    /// Prefetches the entry at `index`, which has about `length` bytes.
    pub(crate) fn prefetch_whole_entry(&self, index: usize, length: usize) {
        let start = match self.layout() {
            Slotted(leaf) => leaf.slot(index).map(|slot| slot.offset),
            Dense(leaf) => leaf.entry_range(index).map(|range| range.start),
        };
        if let Ok(start) = start {
            page::prefetch_range(self.page, start..start + length);
        }
    }

    /// Prefetches the entries in `range` of a slotted leaf, as far as there are any. (The cells of a dense leaf lie in
    /// order, and a processor loads them by itself.)
    #[inline(always)]
    pub(crate) fn prefetch_entries(&self, range: Range<usize>) {
        slotted::prefetch_entries(self.page, self.slots, range);
    }

    /// How many cache lines of an entry [`LeafView::prefetch_entry`] should ask for.
    pub(crate) fn lines_of_an_entry(&self) -> usize {
        slotted::lines_of_an_entry(self.page, self.slots.len())
    }

    /// Prefetches `lines` cache lines of the entry at `index` of a slotted leaf, if there is one.
    #[inline(always)]
    pub(crate) fn prefetch_entry(&self, index: usize, lines: usize) {
        if let Some(slot) = self.slots.get(index) {
            page::prefetch_lines(self.page, node::Slot::decode(*slot).offset / page::LINE_BYTES, lines);
        }
    }

    /// Bytes by which the leaf would grow by `entry` if it were rebuilt with a prefix longer by `longer` bytes. A
    /// dense leaf gets slots if the entry has other lengths than its own.
    pub(crate) fn growth(&self, entry: &Entry<'_>, longer: usize) -> usize {
        let (key_len, payload_len) = (entry.key_len(), entry.payload_len());
        let prefix_len = self.prefix.len() + longer;
        let suffix_len = key_len.saturating_sub(prefix_len);
        match self.shape {
            Some(shape) if shape.fits(entry, self.prefix.len()) => {
                dense::entry_len(key_len, payload_len, prefix_len)
            }
            Some(_) => entry_len(suffix_len, payload_len) + (entry_len(0, 0) - HEAD_LEN) * self.count(),
            None => entry_len(suffix_len, payload_len),
        }
    }

    /// Whether the leaf has room for these entries without a rebuild; their keys have its prefix.
    pub(crate) fn has_room_for(&self, entries: &[Entry<'_>]) -> bool {
        let fits = |entry: &Entry<'_>| self.shape.is_none_or(|shape| shape.fits(entry, self.prefix.len()));
        entries.iter().all(fits)
            && entries.iter().map(|entry| self.growth(entry, 0)).sum::<usize>() <= gap_len(self.page)
    }
}

/// Whether `page` is a dense leaf.
pub(crate) fn is_dense(page: &[u8]) -> bool {
    Shape::of(page).is_some()
}

/// Where the entries lie in the page. Empty if the header is damaged.
pub(crate) fn heap_range(page: &[u8]) -> Range<usize> {
    match Shape::of(page) {
        None => node::heap_range(page),
        Some(shape) => dense::cells_range(page, shape),
    }
}

/// Dead bytes in the heap.
pub(crate) fn dead_bytes(page: &[u8]) -> usize {
    match Shape::of(page) {
        None => node::dead_bytes(page),
        Some(_) => 0,
    }
}

/// Bytes of the page, header not counted, that live entries and the prefix take.
pub(crate) fn used_bytes(page: &[u8]) -> usize {
    match Shape::of(page) {
        None => node::used_bytes::<false>(page),
        Some(shape) => dense::used_bytes(page, shape),
    }
}

/// Bytes that entries can still take before the page has to be rebuilt.
pub(crate) fn gap_len(page: &[u8]) -> usize {
    match Shape::of(page) {
        None => node::gap_len::<false>(page),
        Some(shape) => dense::gap_len(page, shape),
    }
}

// ---- changes, on a transaction's own copy ----

/// Makes `page` an empty slotted leaf whose keys begin with `prefix`.
#[cfg(test)]
pub(crate) fn init(page: &mut [u8], prefix: &[u8]) {
    node::init::<false>(page, 0, prefix);
}

/// Writes a whole leaf into `page`: `entries` in order, whose keys all begin with `prefix`. It is dense if it can be.
pub(crate) fn build(page: &mut [u8], prefix: &[u8], entries: &[Entry<'_>]) -> Result<()> {
    if dense::build(page, prefix, entries)? {
        return Ok(());
    }
    node::build::<false>(page, 0, prefix, entries)
}

/// Prefetches what the insertion of an entry of `length` bytes writes.
pub(crate) fn prefetch_room(page: &[u8], length: usize) {
    // In a dense leaf the search has read it, or what is next to it.
    if !is_dense(page) {
        slotted::prefetch_room(page, length);
    }
}

/// Inserts an entry at `index`. Returns `false` and changes nothing if the leaf has to be rebuilt for it: the key
/// does not share the page's prefix, there is no room, or the leaf is dense and the entry has other lengths.
pub(crate) fn insert(page: &mut [u8], index: usize, key: &[u8], payload: Payload<'_>) -> Result<bool> {
    match Shape::of(page) {
        None => slotted::insert(page, index, key, payload),
        Some(shape) => dense::insert(page, shape, index, key, payload),
    }
}

/// Appends an entry. Returns `false` and changes nothing if its key is not above all others, or in the same cases as
/// [`insert`].
#[inline]
pub(crate) fn append(page: &mut [u8], key: &[u8], value: &[u8]) -> Result<bool> {
    let view = LeafView::new(page)?;
    let count = view.count();
    let Some(suffix) = view.as_slotted().suffix_of(key) else { return Ok(false) };
    let head = node::head_of(suffix);
    let Some(last) = view.heads.last().map(|&last| u32::from_le_bytes(last)) else { return Ok(false) };
    if head < last {
        return Ok(false);
    }
    match view.layout() {
        Slotted(leaf) => {
            let is_above = head > last || leaf.compare(suffix, count - 1)?.is_gt();
            Ok(is_above && slotted::append(page, count, suffix, value))
        }
        Dense(leaf) => {
            let (is_above, shape) = (head > last || leaf.compare(suffix, count - 1)?.is_gt(), leaf.shape);
            Ok(is_above && dense::insert(page, shape, count, key, Payload::Inline(value))?)
        }
    }
}

/// Inserts an entry of another leaf at `index`. Returns `false` and changes nothing in the same cases as [`insert`].
pub(crate) fn insert_entry(page: &mut [u8], index: usize, entry: &Entry<'_>) -> Result<bool> {
    match Shape::of(page) {
        None => slotted::insert_entry(page, index, entry),
        Some(shape) => dense::insert(page, shape, index, &entry.key(), slotted::payload_of(entry)),
    }
}

/// Inserts adjacent entries of another leaf at `index`. Returns `false` in the same cases as [`insert`], if not all
/// of them were inserted.
pub(crate) fn insert_entries(page: &mut [u8], index: usize, entries: &[Entry<'_>]) -> Result<bool> {
    match Shape::of(page) {
        None => slotted::insert_entries(page, index, entries),
        Some(shape) => dense::insert_entries(page, shape, index, entries),
    }
}

/// Removes the entries of `range`.
pub(crate) fn remove(page: &mut [u8], range: Range<usize>) -> Result<()> {
    match Shape::of(page) {
        None => slotted::remove(page, range),
        Some(shape) => {
            dense::remove(page, shape, range);
            Ok(())
        }
    }
}

/// Removes the entries of `range`, so that few bytes are dead: see [`slotted::remove_and_fill`].
pub(crate) fn remove_and_fill(page: &mut [u8], range: Range<usize>) -> Result<()> {
    match Shape::of(page) {
        None => slotted::remove_and_fill(page, range),
        Some(shape) => {
            dense::remove(page, shape, range);
            Ok(())
        }
    }
}

/// Checks what a change of the leaf relies on, before a page of the file becomes a transaction's own.
pub(crate) fn check_before_change(page: &[u8]) -> Result<()> {
    match Shape::of(page) {
        None => slotted::check_before_change(page),
        Some(_) => dense::check_before_change(page),
    }
}

/// The bytes of the inline value, or of the descriptor, at `index`.
pub(crate) fn payload_mut(page: &mut [u8], index: usize) -> Result<&mut [u8]> {
    let range = match Shape::of(page) {
        None => slotted::payload_range(page, index)?,
        Some(_) => dense::value_range(page, index)?,
    };
    Ok(&mut page[range])
}

/// Writes the first page of an overflow extent into the descriptor at `index`, once it is known.
pub(crate) fn set_overflow_first(page: &mut [u8], index: usize, first: ChildRef) -> Result<()> {
    let descriptor = payload_mut(page, index)?;
    if let Some(place) = descriptor.first_chunk_mut::<4>() {
        *place = first.0.to_le_bytes();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
