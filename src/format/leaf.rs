//! The leaf: keys and values.
//!
//! A heap entry is the length of the value's part (u16), the rest of the key, and the value, or, if the slot says
//! that the value lies on overflow pages, a descriptor of 12 bytes: where the run is (u32), the value's
//! length (u64). Of a *dense* leaf ([`dense_leaf`]), whose entries have all one length, this file is the only way in.
//!
//! Invariants:
//! - I5: nothing read from an entry is used before it has been checked.
//! - An entry takes at most half a leaf ([`max_entry_len`]), so a leaf has room for any two.

use std::cmp::Ordering;
use std::ops::Range;

use crate::base::bytes::{are_equal, get_u16, get_u32, get_u64, put_u16, put_u32, put_u64};
use crate::base::{ChildRef, KeyBuf};
use crate::error::{Error, Result, corrupt};
use crate::format::dense_leaf::{self, Shape};
use crate::format::entry::Entry;
use crate::format::heads::{bytes_of_head, head_of};
use crate::format::node::{self, HEAD_LEN, Node, Slot, bad_offset};
use crate::format::node_tables::slots_start;
use crate::format::page::{self, field_u16};
use crate::sys::prefetch;

/// Length of the descriptor of a value on overflow pages.
pub(crate) const DESCRIPTOR_LEN: usize = 12;

/// So many bytes of an entry are asked for, at most: what follows in order comes by itself.
const MAX_PREFETCHED_BYTES: usize = 512;

/// A leaf, to be read.
pub(crate) type LeafView<'a> = Node<'a, false>;

/// A value as the leaf has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeafValue<'a> {
    Inline(&'a [u8]),
    Overflow { first: ChildRef, length: u64 },
}

/// A value to be put into a leaf.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    Inline(&'a [u8]),
    Zeroed(usize),
    Overflow {
        first: ChildRef,
        length: u64,
    },
    /// The descriptor of a value on overflow pages, as another leaf has it.
    Descriptor(&'a [u8]),
}

impl Payload<'_> {
    /// Bytes that it takes in the leaf.
    pub(crate) fn len(&self) -> usize {
        match self {
            Payload::Inline(bytes) | Payload::Descriptor(bytes) => bytes.len(),
            Payload::Zeroed(length) => *length,
            Payload::Overflow { .. } => DESCRIPTOR_LEN,
        }
    }

    /// Its length (u16) and itself, as they are in the leaf.
    pub(crate) fn to_entry(self) -> Vec<u8> {
        let mut entry = vec![0; LeafView::LEAD + self.len()];
        put_u16(&mut entry, 0, self.len() as u16);
        self.write(&mut entry[LeafView::LEAD..]);
        entry
    }

    /// Whether the value itself lies on overflow pages.
    pub(crate) fn is_overflow(&self) -> bool {
        matches!(self, Payload::Overflow { .. } | Payload::Descriptor(_))
    }

    /// Writes it to `place`, which has [`Payload::len`] bytes.
    pub(crate) fn write(&self, place: &mut [u8]) {
        match self {
            Payload::Inline(bytes) | Payload::Descriptor(bytes) => place.copy_from_slice(bytes),
            Payload::Zeroed(_) => place.fill(0),
            Payload::Overflow { first, length } => {
                put_u32(place, 0, first.0);
                put_u64(place, 4, *length);
            }
        }
    }
}

/// Bytes that an entry takes in a leaf, at most: as if the page's keys had no common prefix.
pub(crate) fn entry_len(key_len: usize, payload_len: usize) -> usize {
    LeafView::CELL + LeafView::LEAD + key_len.saturating_sub(HEAD_LEN) + payload_len
}

/// The most that an entry may take.
pub(crate) fn max_entry_len(page_size: usize) -> usize {
    node::capacity(page_size) / 2
}

/// Whether a value lies in the leaf itself.
pub(crate) fn is_inline(page_size: usize, key_len: usize, value_len: usize) -> bool {
    // An upper bound on its own first, so that the sum cannot overflow.
    value_len <= page_size && entry_len(key_len, value_len) <= max_entry_len(page_size)
}

/// The one entry of a leaf that may be that of a key: by its head it is, its rest has not been looked at.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    page: &'a [u8],
    prefix_len: usize,
    slot: [u8; 4],
    /// Of a dense leaf.
    shape: Option<Shape>,
}

impl<'a> Candidate<'a> {
    /// The value, if the entry is that of `key`, for which it was found.
    #[inline(always)]
    pub(crate) fn value(self, key: &[u8]) -> Result<Option<LeafValue<'a>>> {
        let slot = Slot::decode(self.slot);
        if self.prefix_len + slot.suffix_len != key.len() {
            return Ok(None);
        }
        let (_, prefix) = self.page.split_at(self.page.len() - self.prefix_len);
        let rest = key.get(self.prefix_len + HEAD_LEN..).unwrap_or(&[]);
        let lead = if self.shape.is_some() { 0 } else { LeafView::LEAD };
        let place = slot.offset + lead;
        let Some((found, payload)) =
            self.page.get(place..).and_then(|entry| entry.split_at_checked(rest.len()))
        else {
            return Err(bad_offset(self.page, slot));
        };
        if !are_equal(found, rest) || !key.get(..prefix.len()).is_some_and(|key| are_equal(key, prefix)) {
            return Ok(None);
        }
        let value_len = match self.shape {
            Some(shape) => shape.value_len(),
            None => field_u16(self.page, slot.offset),
        };
        match payload.get(..value_len) {
            Some(payload) if slot.is_overflow => descriptor(self.page, payload).map(Some),
            Some(payload) => Ok(Some(LeafValue::Inline(payload))),
            None => Err(bad_offset(self.page, slot)),
        }
    }
}

impl<'a> LeafView<'a> {
    /// The entry that may be that of `key`, if there is one; its memory is asked for.
    #[inline(always)]
    pub(crate) fn candidate(self, key: &[u8]) -> Result<Option<Candidate<'a>>> {
        if self.shape().is_some() {
            return dense_leaf::candidate(self.page, key);
        }
        self.candidate_by_heads(key)
    }

    /// The same, with what a dense leaf does otherwise still to be asked for.
    #[inline(always)]
    pub(super) fn candidate_by_heads(self, key: &[u8]) -> Result<Option<Candidate<'a>>> {
        // Whether the key has the page's prefix is looked at last: that lies on a line of its own.
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
        let slot = match self.slots.get(index) {
            Some(&slot) => slot,
            None => self.slot(index)?.encode(),
        };
        self.prefetch_entry_at(Slot::decode(slot));
        self.prefetch_prefix();
        Ok(Some(Candidate { page: self.page, prefix_len: self.prefix.len(), slot, shape: self.shape() }))
    }

    /// Where the value at `slot` lies in the page.
    #[inline]
    fn value_range(&self, slot: Slot) -> Result<Range<usize>> {
        if let Some(shape) = self.shape() {
            let start = slot.offset + shape.rest_len();
            return Ok(start..start + shape.value_len());
        }
        let Some(&[l0, l1]) = self.page.get(slot.offset..).and_then(|entry| entry.first_chunk()) else {
            return Err(bad_offset(self.page, slot));
        };
        let start = slot.offset + Self::LEAD + slot.rest_len();
        Ok(start..start + usize::from(u16::from_le_bytes([l0, l1])))
    }

    #[inline]
    fn payload_at(&self, slot: Slot) -> Result<&'a [u8]> {
        self.page.get(self.value_range(slot)?).ok_or_else(|| bad_offset(self.page, slot))
    }

    /// The value at `index`.
    #[inline(always)]
    pub(crate) fn value(&self, index: usize) -> Result<LeafValue<'a>> {
        self.value_at(self.slot(index)?)
    }

    #[inline(always)]
    fn value_at(&self, slot: Slot) -> Result<LeafValue<'a>> {
        let payload = self.payload_at(slot)?;
        if slot.is_overflow { descriptor(self.page, payload) } else { Ok(LeafValue::Inline(payload)) }
    }

    /// What the leaf has for the value at `index`, as bytes, and whether it is a descriptor.
    pub(crate) fn payload(&self, index: usize) -> Result<(&'a [u8], bool)> {
        let slot = self.slot(index)?;
        Ok((self.payload_at(slot)?, slot.is_overflow))
    }

    /// Key and value at `index`.
    #[inline(always)]
    pub(crate) fn entry(&self, index: usize) -> Result<(KeyBuf, LeafValue<'a>)> {
        let slot = self.slot(index)?;
        Ok((self.key_at(index, slot)?, self.value_at(slot)?))
    }

    /// Key and value at `index`, if the key is short and the value lies in the leaf. `None` says nothing but that it is
    /// not so simple: ask [`LeafView::entry`] then.
    #[inline(always)]
    pub(crate) fn short_entry(&self, index: usize) -> Option<(KeyBuf, &'a [u8])> {
        let &head = self.heads.get(index)?;
        let &[o0, o1, k0, k1] = self.slots.get(index)?;
        // With the overflow bit it is longer than any page.
        let suffix_len = usize::from(u16::from_le_bytes([k0, k1]));
        let entry = self.page.get(usize::from(u16::from_le_bytes([o0, o1]))..)?;
        let (&value_len, entry) = entry.split_first_chunk()?;
        let (rest, entry) = entry.split_at_checked(suffix_len.saturating_sub(HEAD_LEN))?;
        let value = entry.get(..usize::from(u16::from_le_bytes(value_len)))?;
        let key = KeyBuf::short(self.prefix, bytes_of_head(head), suffix_len.min(HEAD_LEN), rest)?;
        Some((key, value))
    }

    /// The entry at `index`, to be put into another leaf.
    #[inline]
    pub(crate) fn leaf_entry(&self, index: usize) -> Result<Entry<'a>> {
        let slot = self.slot(index)?;
        self.entry_in(index, slot, slot.offset..self.value_range(slot)?.end)
    }

    /// How many bytes the keys of the first and the last entry have in common. There are entries.
    pub(crate) fn common_len(&self) -> Result<usize> {
        let last = self.count() - 1;
        let [first_head, last_head] = [0, last].map(|index| u32::from_le_bytes(self.heads[index]));
        if first_head == last_head {
            return Ok(self.leaf_entry(0)?.common_len(&self.leaf_entry(last)?));
        }
        let shortest = self.slot(0)?.suffix_len.min(self.slot(last)?.suffix_len);
        let common = (first_head ^ last_head).leading_zeros() as usize / 8;
        Ok(self.prefix.len() + common.min(shortest))
    }

    /// Asks for the entry at `index`, which has about `length` bytes.
    pub(crate) fn prefetch_whole_entry(&self, index: usize, length: usize) {
        if let Ok(slot) = self.slot(index) {
            page::prefetch_range(self.page, slot.offset..slot.offset + length);
        }
    }

    /// Asks for where the entry at `index` begins, if there is one.
    #[inline(always)]
    pub(crate) fn prefetch_index(&self, index: usize) {
        if let Some(slot) = self.slots.get(index) {
            prefetch(self.page, Slot::decode(*slot).offset);
        }
    }

    /// Asks for the entries in `range`, as far as there are any, each as if it had the average length: how long a value
    /// is will be known only when the entry's beginning is here. (In a dense leaf entries lie in order, and come by
    /// themselves.)
    #[inline(never)]
    pub(crate) fn prefetch_entries(&self, range: Range<usize>) {
        let end = range.end.min(self.slots.len());
        let Some(slots) = self.slots.get(range.start..end) else { return };
        let length = node::heap_len(self.page) as u32 / self.count().max(1) as u32;
        let length = (length as usize).min(MAX_PREFETCHED_BYTES);
        for slot in slots {
            let start = Slot::decode(*slot).offset;
            page::prefetch_range(self.page, start..start + length);
        }
    }

    /// Where the entry at `index` lies in the page.
    pub(crate) fn entry_range(&self, index: usize) -> Result<Range<usize>> {
        let slot = self.slot(index)?;
        Ok(slot.offset..self.value_range(slot)?.end)
    }

    /// Bytes that the leaf would get longer by `entry` if it were built anew, keeping its prefix but for `longer` bytes
    /// more. A dense one gets slots then if the entry has another length.
    pub(crate) fn growth(&self, entry: &Entry<'_>, longer: usize) -> usize {
        let (key_len, payload_len) = (entry.key_len(), entry.payload_len());
        let prefix_len = self.prefix().len() + longer;
        if self.is_dense_like(entry) {
            return dense_leaf::entry_len(key_len, payload_len, prefix_len);
        }
        let slots = if self.shape().is_some() { entry_len(0, 0) - HEAD_LEN } else { 0 };
        entry_len(key_len.saturating_sub(prefix_len), payload_len) + slots * self.count()
    }

    /// Whether the leaf is dense and the entry has the length that its entries have.
    fn is_dense_like(&self, entry: &Entry<'_>) -> bool {
        self.shape().is_some_and(|shape| {
            !entry.is_overflow
                && entry.payload_len() == shape.value_len()
                && entry.key_len() == self.prefix().len() + shape.suffix_len()
        })
    }

    /// Whether the leaf can take these entries over as it is; their keys have its prefix.
    pub(crate) fn has_room_for(&self, entries: &[Entry<'_>]) -> bool {
        let is_alike = self.shape().is_none() || entries.iter().all(|entry| self.is_dense_like(entry));
        is_alike
            && entries.iter().map(|entry| self.growth(entry, 0)).sum::<usize>()
                <= node::gap_len::<false>(self.page)
    }
}

/// Where the value lies whose descriptor in `page` is `payload`.
#[cold]
fn descriptor<'a>(page: &[u8], payload: &[u8]) -> Result<LeafValue<'a>> {
    if payload.len() != DESCRIPTOR_LEN {
        let number = Some(page::number(page).0);
        return Err(corrupt(number, "length of an overflow descriptor", DESCRIPTOR_LEN, payload.len()));
    }
    Ok(LeafValue::Overflow { first: ChildRef(get_u32(payload, 0)), length: get_u64(payload, 4) })
}

/// Makes `page` an empty leaf whose keys begin with `prefix`.
#[cfg(test)]
pub(crate) fn init(page: &mut [u8], prefix: &[u8]) {
    node::init::<false>(page, 0, prefix);
}

/// Writes a whole leaf into `page`: `entries` in order, whose keys all begin with `prefix`. It is dense if it can be.
pub(crate) fn build(page: &mut [u8], prefix: &[u8], entries: &[Entry<'_>]) -> Result<()> {
    if dense_leaf::build(page, prefix, entries)? {
        return Ok(());
    }
    node::build::<false>(page, 0, prefix, entries)
}

/// Asks for what is written where an entry of `length` bytes is put in: slots, and the room ahead of the heap.
pub(crate) fn prefetch_room(page: &[u8], length: usize) {
    if Shape::of(page).is_some() {
        return; // what is written there has been read, or is near
    }
    let heap = node::heap_range(page).start;
    page::prefetch_range(page, heap.saturating_sub(length)..heap);
    let slots = slots_start::<false>(node::key_count(page));
    page::prefetch_range(page, slots..slots + 4 * node::key_count(page));
}

/// Puts an entry in at `index`. `false`, and nothing changed, if the leaf has to be built anew for it: the key does
/// not share the page's prefix, or there is no room, or the leaf is dense and the entry has another length.
pub(crate) fn insert(page: &mut [u8], index: usize, key: &[u8], payload: Payload<'_>) -> Result<bool> {
    if let Some(shape) = Shape::of(page) {
        return dense_leaf::insert(page, shape, index, key, payload);
    }
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

/// Puts an entry in behind all others. `false`, and nothing changed, if the key is not above all others, or as with
/// [`insert`].
#[inline]
pub(crate) fn append(page: &mut [u8], key: &[u8], value: &[u8]) -> Result<bool> {
    let view = LeafView::new(page)?;
    let count = view.count();
    let Some(suffix) = view.suffix_of(key) else { return Ok(false) };
    let head = head_of(suffix);
    let Some(last) = view.heads.last().map(|&last| u32::from_le_bytes(last)) else { return Ok(false) };
    if head < last || head == last && view.compare(suffix, count - 1)? != Ordering::Greater {
        return Ok(false);
    }
    if let Some(shape) = view.shape() {
        return dense_leaf::insert(page, shape, count, key, Payload::Inline(value));
    }
    let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
    let entry_len = LeafView::LEAD + rest.len() + value.len();
    let Some(start) = node::insert_cell::<false>(page, count, head, suffix.len(), entry_len, false) else {
        return Ok(false);
    };
    let entry = &mut page[start..start + entry_len];
    let (lead, entry) = entry.split_at_mut(LeafView::LEAD);
    let (rest_place, value_place) = entry.split_at_mut(rest.len());
    lead.copy_from_slice(&(value.len() as u16).to_le_bytes());
    rest_place.copy_from_slice(rest);
    value_place.copy_from_slice(value);
    Ok(true)
}

/// Puts an entry of another leaf in at `index`. `false`, and nothing changed, as with [`insert`].
pub(crate) fn insert_entry(page: &mut [u8], index: usize, entry: &Entry<'_>) -> Result<bool> {
    let view = LeafView::new(page)?;
    if view.shape().is_none() && entry.lead == LeafView::LEAD && view.prefix == entry.prefix {
        let (head, len) = (entry.head, entry.heap.len());
        let start = node::insert_cell::<false>(page, index, head, entry.suffix_len, len, entry.is_overflow);
        let Some(start) = start else { return Ok(false) };
        page[start..start + len].copy_from_slice(entry.heap);
        if entry.is_overflow {
            node::set_has_overflow(page);
        }
        return Ok(true);
    }
    let payload = entry.payload();
    let payload = if entry.is_overflow { Payload::Descriptor(payload) } else { Payload::Inline(payload) };
    insert(page, index, &entry.key(), payload)
}

/// Puts entries of another leaf, side by side, in at `index`. `false`, as with [`insert`], if not all have got in.
pub(crate) fn insert_entries(page: &mut [u8], index: usize, entries: &[Entry<'_>]) -> Result<bool> {
    if let Some(shape) = Shape::of(page) {
        return dense_leaf::insert_entries(page, shape, index, entries);
    }
    for (offset, entry) in entries.iter().enumerate() {
        if !insert_entry(page, index + offset, entry)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How far the value of `key` lies behind the beginning of its entry.
fn key_rest_and_lead(page: &[u8], key: &[u8]) -> usize {
    let prefix_len = page.len() - node::heap_range(page).end;
    LeafView::LEAD + (key.len() - prefix_len).saturating_sub(HEAD_LEN)
}

/// Takes the entries of `range` out.
pub(crate) fn remove(page: &mut [u8], range: Range<usize>) -> Result<()> {
    if let Some(shape) = Shape::of(page) {
        dense_leaf::remove(page, shape, range);
        return Ok(());
    }
    let view = LeafView::new(page)?;
    let mut entry_lens = 0;
    for index in range.clone() {
        entry_lens += view.entry_range(index)?.len();
    }
    node::remove_keys::<false>(page, range, entry_lens);
    Ok(())
}

/// Takes the entries of `range` out. Where one leaves as much room as the entry takes that lies at the heap's
/// beginning, that one is moved there: no bytes are dead then.
pub(crate) fn remove_and_fill(page: &mut [u8], range: Range<usize>) -> Result<()> {
    if Shape::of(page).is_some() {
        return remove(page, range);
    }
    for index in range.rev() {
        let hole = LeafView::new(page)?.entry_range(index)?;
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

/// Moves the entry that begins at `start` to `hole`, which lies behind it, if it is as long. Answers whether it is.
fn fill_hole(page: &mut [u8], hole: Range<usize>, start: usize) -> Result<bool> {
    let view = LeafView::new(page)?;
    let Some(index) = view.slots.iter().position(|slot| usize::from(get_u16(slot, 0)) == start) else {
        return Ok(false);
    };
    let entry = view.entry_range(index)?;
    if entry.len() != hole.len() || entry.end > hole.start {
        return Ok(false);
    }
    let slot = slots_start::<false>(view.count()) + 4 * index;
    put_u16(page, slot, hole.start as u16);
    page.copy_within(entry, hole.start);
    Ok(true)
}

/// Checks all that changes of a leaf rely on, before a page of the file becomes a transaction's own: entries
/// within the heap and as long as they may be, sizes adding up, no reference to a frame.
pub(crate) fn check_before_change(page: &[u8]) -> Result<()> {
    let view = LeafView::new(page)?;
    if let Some(shape) = view.shape() {
        return dense_leaf::check_before_change(&view, shape);
    }
    let heap = node::heap_range(page);
    let mut live = 0;
    let mut has_overflow = false;
    for index in 0..view.count() {
        let slot = view.slot(index)?;
        let range = view.entry_range(index)?;
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

/// Checks that the descriptors refer to pages, and that no other entry lies over them: a value that is changed
/// must not turn a descriptor into a reference to a frame.
fn check_descriptors(view: &LeafView<'_>) -> Result<()> {
    let number = Some(page::number(view.page).0);
    if !node::has_overflow(view.page) {
        return Err(corrupt(number, "overflow flag", "set", "clear"));
    }
    let mut ranges = Vec::with_capacity(view.count());
    for index in 0..view.count() {
        ranges.push(view.entry_range(index)?);
        if let LeafValue::Overflow { first, .. } = view.value(index)?
            && first.is_frame()
        {
            return Err(corrupt(number, "page number of an overflow run", "below 2^31", first.0));
        }
    }
    ranges.sort_unstable_by_key(|range| range.start);
    match ranges.windows(2).find(|pair| pair[0].end > pair[1].start) {
        Some(pair) => Err(corrupt(number, "place of an entry", pair[0].end, pair[1].start)),
        None => Ok(()),
    }
}

/// Checks that an entry with a key and a payload of these lengths may be in a leaf like `page`.
pub(crate) fn check_lens(page: &[u8], key_len: usize, payload_len: usize) -> Result<()> {
    let number = Some(page::number(page).0);
    if key_len > page::max_key_len(page.len()) {
        let expected = format_args!("at most {}", page::max_key_len(page.len()));
        return Err(corrupt(number, "length of a key", expected, key_len));
    }
    if entry_len(key_len, payload_len) > max_entry_len(page.len()) {
        let expected = format_args!("at most {}", max_entry_len(page.len()));
        return Err(corrupt(number, "length of an entry", expected, entry_len(key_len, payload_len)));
    }
    Ok(())
}

/// The bytes of the inline value, or of the descriptor, at `index`.
pub(crate) fn payload_mut(page: &mut [u8], index: usize) -> Result<&mut [u8]> {
    let view = LeafView::new(page)?;
    let slot = view.slot(index)?;
    let range = view.value_range(slot)?;
    let heap = node::heap_range(page);
    if slot.offset < heap.start || range.end > heap.end {
        return Err(outside_of_heap(page, slot.offset));
    }
    Ok(&mut page[range])
}

/// Says where the overflow run of the value at `index` is, now that it has a place.
pub(crate) fn set_overflow_first(page: &mut [u8], index: usize, first: ChildRef) -> Result<()> {
    let descriptor = payload_mut(page, index)?;
    if let Some(place) = descriptor.first_chunk_mut::<4>() {
        *place = first.0.to_le_bytes();
    }
    Ok(())
}

#[cold]
fn outside_of_heap(page: &[u8], offset: usize) -> Error {
    let heap = node::heap_range(page);
    let expected = format_args!("in the heap, {} to {}", heap.start, heap.end);
    corrupt(Some(page::number(page).0), "place of an entry", expected, offset)
}

#[cfg(test)]
#[path = "leaf_tests.rs"]
mod tests;
