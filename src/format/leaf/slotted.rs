//! The leaf with slots: entries of any length.
//!
//! A heap entry is the length of the value's part (u16), the rest of the key, and the value, or, if the slot says so,
//! the descriptor of a value on overflow pages.
//!
//! Invariant: I5: nothing read from an entry is used before it has been checked.

use std::ops::Range;

use super::value::{Candidate, Cell, LeafValue, Payload, check_lens};
use crate::base::KeyBuf;
use crate::base::bytes::{get_u16, put_u16};
use crate::error::{Error, Result, corrupt};
use crate::format::node::{
    self, Entry, HEAD_LEN, LEAF_LEAD, Node, NodeView, Slot, bad_offset, head_of, slots_start,
};
use crate::format::page::{self, LINE_BYTES};

/// At most this many bytes of an entry are prefetched: the processor itself loads what follows in order.
const MAX_PREFETCHED_BYTES: usize = 512;

/// A leaf with slots, to be read.
pub(super) type SlottedLeaf<'a> = Node<'a, false>;

// ---- reading ----

impl<'a> SlottedLeaf<'a> {
    /// The entry that may have `key`, if there is one; its memory is prefetched.
    #[inline(always)]
    pub(super) fn candidate(self, key: &[u8]) -> Result<Option<Candidate<'a>>> {
        // The page's prefix is compared last, because it lies on a line of its own.
        let Some(suffix) = key.get(self.prefix.len()..) else { return Ok(None) };
        let head = head_of(suffix);
        let mut index = self.lower_bound(head);
        if self.heads.get(index) != Some(&head.to_le_bytes()) {
            return Ok(None);
        }
        if self.heads.get(index + 1) == Some(&head.to_le_bytes()) {
            let place = self.search_equal_heads(suffix, head, index)?;
            if !place.found {
                return Ok(None);
            }
            index = place.index;
        }
        let Some(&slot) = self.slots.get(index) else { return Ok(None) };
        self.prefetch_entry_at(Slot::decode(slot));
        self.prefetch_prefix();
        Ok(Some(Candidate { page: self.page, prefix_len: self.prefix.len(), slot, value_len: None }))
    }

    /// Where the value at `slot` lies in the page.
    #[inline]
    fn value_range(&self, slot: Slot) -> Result<Range<usize>> {
        let Some(&[l0, l1]) = self.page.get(slot.offset..).and_then(|entry| entry.first_chunk()) else {
            return Err(bad_offset(self.page, slot));
        };
        let start = slot.offset + LEAF_LEAD + slot.rest_len();
        Ok(start..start + usize::from(u16::from_le_bytes([l0, l1])))
    }

    #[inline]
    fn payload_at(&self, slot: Slot) -> Result<&'a [u8]> {
        self.page.get(self.value_range(slot)?).ok_or_else(|| bad_offset(self.page, slot))
    }

    #[inline(always)]
    fn value_at(&self, slot: Slot) -> Result<LeafValue<'a>> {
        LeafValue::decode(self.page, self.payload_at(slot)?, slot.is_overflow)
    }

    /// The value at `index`.
    #[inline(always)]
    pub(super) fn value(&self, index: usize) -> Result<LeafValue<'a>> {
        self.value_at(self.slot(index)?)
    }

    /// The bytes that the leaf has for the value at `index`, and whether they are a descriptor.
    #[inline(always)]
    pub(super) fn payload(&self, index: usize) -> Result<(&'a [u8], bool)> {
        let slot = self.slot(index)?;
        Ok((self.payload_at(slot)?, slot.is_overflow))
    }

    /// Key and value at `index`.
    #[inline(always)]
    pub(super) fn entry(&self, index: usize) -> Result<(KeyBuf, LeafValue<'a>)> {
        let slot = self.slot(index)?;
        Ok((self.key_at(index, slot)?, self.value_at(slot)?))
    }

    /// Where the entry at `index` lies, if there is one. With a value on overflow pages, the key is longer than any.
    #[inline(always)]
    pub(super) fn cell(&self, index: usize) -> Option<Cell> {
        let &[o0, o1, k0, k1] = self.slots.get(index)?;
        let offset = usize::from(u16::from_le_bytes([o0, o1]));
        let &value_len = self.page.get(offset..)?.first_chunk()?;
        Some(Cell {
            rest_at: offset + LEAF_LEAD,
            suffix_len: usize::from(u16::from_le_bytes([k0, k1])),
            value_len: usize::from(u16::from_le_bytes(value_len)),
        })
    }

    /// The entry at `index`, to be inserted into another leaf.
    #[inline]
    pub(super) fn leaf_entry(&self, index: usize) -> Result<Entry<'a>> {
        let slot = self.slot(index)?;
        self.entry_in(index, slot, slot.offset..self.value_range(slot)?.end)
    }

    /// Where the entry at `index` lies in the page.
    #[inline]
    pub(super) fn leaf_entry_range(&self, index: usize) -> Result<Range<usize>> {
        let slot = self.slot(index)?;
        Ok(slot.offset..self.value_range(slot)?.end)
    }
}

/// How many cache lines are prefetched of an entry, as if it had the average length: the length of a value is known
/// only once the beginning of its entry has been loaded.
pub(super) fn lines_of_an_entry(page: &[u8], count: usize) -> usize {
    let length = (node::heap_len(page) as u32 / count.max(1) as u32) as usize;
    1 + length.min(MAX_PREFETCHED_BYTES).div_ceil(LINE_BYTES)
}

/// Prefetches those entries of `range` that exist. Takes no view, which would pass through memory.
#[inline(never)]
pub(super) fn prefetch_entries(page: &[u8], slots: &[[u8; 4]], range: Range<usize>) {
    let end = range.end.min(slots.len());
    let Some(in_range) = slots.get(range.start..end) else { return };
    let lines = lines_of_an_entry(page, slots.len());
    for slot in in_range {
        page::prefetch_lines(page, Slot::decode(*slot).offset / LINE_BYTES, lines);
    }
}

/// Prefetches what the insertion of an entry of `length` bytes writes: slots, and the bytes before the heap.
pub(super) fn prefetch_room(page: &[u8], length: usize) {
    let heap = node::heap_range(page).start;
    page::prefetch_range(page, heap.saturating_sub(length)..heap);
    let slots = slots_start::<false>(node::key_count(page));
    page::prefetch_range(page, slots..slots + 4 * node::key_count(page));
}

// ---- changes, on a transaction's own copy ----

/// Inserts an entry at `index`. Returns `false` and changes nothing if the key does not share the page's prefix or
/// there is no room.
pub(super) fn insert(page: &mut [u8], index: usize, key: &[u8], payload: Payload<'_>) -> Result<bool> {
    let is_overflow = payload.is_overflow();
    let Some(place) = node::insert_key::<false>(page, index, key, payload.len(), is_overflow)? else {
        return Ok(false);
    };
    put_u16(page, place.start - key_rest_and_lead(page, key), payload.len() as u16);
    payload.write(&mut page[place]);
    if is_overflow {
        node::set_has_overflow(page);
    }
    Ok(true)
}

/// Appends an entry whose key, with this `suffix`, is above all others. Returns `false` and changes nothing if there
/// is no room.
#[inline]
pub(super) fn append(page: &mut [u8], count: usize, suffix: &[u8], value: &[u8]) -> bool {
    let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
    let entry_len = LEAF_LEAD + rest.len() + value.len();
    let Some(start) =
        node::insert_cell::<false>(page, count, head_of(suffix), suffix.len(), entry_len, false)
    else {
        return false;
    };
    let entry = &mut page[start..start + entry_len];
    let (lead, entry) = entry.split_at_mut(LEAF_LEAD);
    let (rest_place, value_place) = entry.split_at_mut(rest.len());
    lead.copy_from_slice(&(value.len() as u16).to_le_bytes());
    rest_place.copy_from_slice(rest);
    value_place.copy_from_slice(value);
    true
}

/// Inserts an entry of another leaf at `index`. Returns `false` and changes nothing in the same cases as [`insert`].
pub(super) fn insert_entry(page: &mut [u8], index: usize, entry: &Entry<'_>) -> Result<bool> {
    let view = SlottedLeaf::new(page)?;
    if entry.lead != LEAF_LEAD || view.prefix != entry.prefix {
        return insert(page, index, &entry.key(), payload_of(entry));
    }
    let (head, len) = (entry.head, entry.heap.len());
    let start = node::insert_cell::<false>(page, index, head, entry.suffix_len, len, entry.is_overflow);
    let Some(start) = start else { return Ok(false) };
    page[start..start + len].copy_from_slice(entry.heap);
    if entry.is_overflow {
        node::set_has_overflow(page);
    }
    Ok(true)
}

/// The value of another leaf's entry, to be inserted.
pub(super) fn payload_of<'a>(entry: &Entry<'a>) -> Payload<'a> {
    let payload = entry.payload();
    if entry.is_overflow { Payload::Descriptor(payload) } else { Payload::Inline(payload) }
}

/// Inserts adjacent entries of another leaf at `index`. Returns `false` if not all of them were inserted.
pub(super) fn insert_entries(page: &mut [u8], index: usize, entries: &[Entry<'_>]) -> Result<bool> {
    for (offset, entry) in entries.iter().enumerate() {
        if !insert_entry(page, index + offset, entry)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The distance from the beginning of the entry with `key` to its value.
fn key_rest_and_lead(page: &[u8], key: &[u8]) -> usize {
    let prefix_len = page.len() - node::heap_range(page).end;
    LEAF_LEAD + (key.len() - prefix_len).saturating_sub(HEAD_LEN)
}

/// Removes the entries of `range`.
pub(super) fn remove(page: &mut [u8], range: Range<usize>) -> Result<()> {
    let view = SlottedLeaf::new(page)?;
    let mut entry_lens = 0;
    for index in range.clone() {
        entry_lens += view.leaf_entry_range(index)?.len();
    }
    node::remove_keys::<false>(page, range, entry_lens);
    Ok(())
}

/// Removes the entries of `range`. If the entry at the beginning of the heap is as long as a removed one, it moves to
/// that place: no bytes are dead then.
pub(super) fn remove_and_fill(page: &mut [u8], range: Range<usize>) -> Result<()> {
    for index in range.rev() {
        let hole = SlottedLeaf::new(page)?.leaf_entry_range(index)?;
        node::remove_keys::<false>(page, index..index + 1, hole.len());
        let heap = node::heap_range(page);
        let is_sound =
            heap.start <= hole.start && hole.end <= heap.end && hole.len() <= node::dead_bytes(page);
        if is_sound && (hole.start == heap.start || fill_hole(page, hole.clone(), heap.start)?) {
            node::shorten_heap(page, hole.len());
        }
    }
    Ok(())
}

/// Moves the entry that begins at `start` to `hole`, which lies after it, if it has the same length. Returns whether
/// it has.
fn fill_hole(page: &mut [u8], hole: Range<usize>, start: usize) -> Result<bool> {
    let view = SlottedLeaf::new(page)?;
    let Some(index) = view.slots.iter().position(|slot| usize::from(get_u16(slot, 0)) == start) else {
        return Ok(false);
    };
    let entry = view.leaf_entry_range(index)?;
    if entry.len() != hole.len() || entry.end > hole.start {
        return Ok(false);
    }
    let slot = slots_start::<false>(view.count()) + 4 * index;
    put_u16(page, slot, hole.start as u16);
    page.copy_within(entry, hole.start);
    Ok(true)
}

/// Checks what a change of the leaf relies on: entries lie within the heap and are not too long, sizes add up, and no
/// descriptor refers to a frame.
pub(super) fn check_before_change(page: &[u8]) -> Result<()> {
    let view = SlottedLeaf::new(page)?;
    let heap = node::heap_range(page);
    let mut live = 0;
    let mut has_overflow = false;
    for index in 0..view.count() {
        let slot = view.slot(index)?;
        let range = view.leaf_entry_range(index)?;
        if range.start < heap.start || range.end > heap.end {
            return Err(outside_of_heap(page, range.start));
        }
        check_lens(page, view.prefix().len() + slot.suffix_len, view.payload_at(slot)?.len())?;
        live += range.len();
        has_overflow |= slot.is_overflow;
    }
    if live + node::dead_bytes(page) != node::heap_len(page) {
        let found = live + node::dead_bytes(page);
        return Err(corrupt(Some(page::number(page).0), "bytes in the heap", node::heap_len(page), found));
    }
    if has_overflow { check_descriptors(&view) } else { Ok(()) }
}

/// Checks that the descriptors refer to pages, and that no other entry overlaps them: otherwise the change of a value
/// could turn a descriptor into a reference to a frame.
fn check_descriptors(view: &SlottedLeaf<'_>) -> Result<()> {
    let number = Some(page::number(view.page).0);
    if !node::has_overflow(view.page) {
        return Err(corrupt(number, "overflow flag", "set", "clear"));
    }
    let mut ranges = Vec::with_capacity(view.count());
    for index in 0..view.count() {
        ranges.push(view.leaf_entry_range(index)?);
        if let LeafValue::Overflow { first, .. } = view.value(index)?
            && first.is_frame()
        {
            return Err(corrupt(number, "page number of an overflow extent", "below 2^31", first.0));
        }
    }
    ranges.sort_unstable_by_key(|range| range.start);
    match ranges.windows(2).find(|pair| pair[0].end > pair[1].start) {
        Some(pair) => Err(corrupt(number, "place of an entry", pair[0].end, pair[1].start)),
        None => Ok(()),
    }
}

/// Where the inline value, or the descriptor, at `index` lies in the page: within the heap.
pub(super) fn payload_range(page: &[u8], index: usize) -> Result<Range<usize>> {
    let view = SlottedLeaf::new(page)?;
    let slot = view.slot(index)?;
    let range = view.value_range(slot)?;
    let heap = node::heap_range(page);
    if slot.offset < heap.start || range.end > heap.end {
        return Err(outside_of_heap(page, slot.offset));
    }
    Ok(range)
}

#[cold]
fn outside_of_heap(page: &[u8], offset: usize) -> Error {
    let heap = node::heap_range(page);
    let expected = format_args!("in the heap, {} to {}", heap.start, heap.end);
    corrupt(Some(page::number(page).0), "place of an entry", expected, offset)
}
