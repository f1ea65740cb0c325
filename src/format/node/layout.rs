//! The layout of a node with slots: what its header says, and where its tables, heap and prefix lie.
//!
//! ```text
//! header | heads: n x u32 | children: (n+1) x u32, in a branch only | slots: n x (offset u16, length u16)
//!        | gap | heap, growing down | prefix shared by all keys of the page
//! ```
//!
//! A key is the page's prefix and a *suffix*. The first 4 bytes of the suffix, padded with zeros, are the key's
//! *head*: an integer whose order is the keys' order. The *rest* of the suffix lies in the heap. The slot holds the
//! length of the whole suffix; its top bit says that the value lies on overflow pages. A dense leaf has the same
//! header and heads, but no slots (`format/leaf/dense.rs`).
//!
//! Invariants:
//! - Heads, children and slots lie side by side, and each table has as many cells as the count of keys implies.
//! - `heap_len` is the sum of the sizes of the entries and of `dead`.
//! - An entry of no bytes has offset 0, so every offset fits 16 bits in a page of 64 KiB.

use std::ops::Range;

use crate::base::bytes::{get_u16, put_u16};
use crate::error::{Error, corrupt};
use crate::format::node::heads::HEAD_LEN;
use crate::format::page::{self, HEADER_LEN, PageKind, field_u16};
use crate::sys::prefetch;

pub(crate) const COUNT: usize = 18;
pub(crate) const PREFIX_LEN: usize = 20;
pub(super) const HEAP_LEN: usize = 22;
pub(super) const DEAD: usize = 24;
pub(crate) const FLAGS: usize = 26;

/// Flag: some value of this leaf, or below this branch, may lie on overflow pages.
const HAS_OVERFLOW: u16 = 1;

/// In a slot's length: the value lies on overflow pages.
pub(super) const OVERFLOW_BIT: u16 = 1 << 15;

/// Bytes of a leaf's heap entry before the rest of the key: the length of the value's part.
pub(crate) const LEAF_LEAD: usize = 2;

/// Bytes of a heap entry before the rest of the key.
pub(crate) const fn lead_len<const BRANCH: bool>() -> usize {
    if BRANCH { 0 } else { LEAF_LEAD }
}

/// Bytes that each key takes in the tables. (A branch has 4 more, for its first child.)
pub(crate) const fn cell_len<const BRANCH: bool>() -> usize {
    if BRANCH { 12 } else { 8 }
}

/// The kind of a node's page.
pub(super) const fn kind<const BRANCH: bool>() -> PageKind {
    if BRANCH { PageKind::Branch } else { PageKind::Leaf }
}

/// Bytes of a page that entries, separators and prefix share.
pub(crate) const fn capacity(page_size: usize) -> usize {
    page_size - HEADER_LEN
}

/// Length of heads, children and slots of a page with `count` keys.
pub(crate) fn table_len<const BRANCH: bool>(count: usize) -> usize {
    cell_len::<BRANCH>() * count + if BRANCH { 4 } else { 0 }
}

/// Where the slots of a page with `count` keys begin.
pub(crate) fn slots_start<const BRANCH: bool>(count: usize) -> usize {
    HEADER_LEN + table_len::<BRANCH>(count) - 4 * count
}

/// A decoded slot.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) offset: usize,
    pub(crate) suffix_len: usize,
    pub(crate) is_overflow: bool,
}

impl Slot {
    #[inline(always)]
    pub(crate) fn decode(bytes: [u8; 4]) -> Slot {
        let word = u32::from_le_bytes(bytes);
        let length = (word >> 16) as u16;
        Slot {
            offset: usize::from(word as u16),
            suffix_len: usize::from(length & !OVERFLOW_BIT),
            is_overflow: length & OVERFLOW_BIT != 0,
        }
    }

    /// Encodes the slot that an entry of a dense leaf would have. (An entry of no bytes may begin beyond 16 bits, and
    /// gets offset 0.)
    #[inline(always)]
    pub(crate) fn encode(self) -> [u8; 4] {
        (self.offset as u16 as u32 | (self.suffix_len as u32) << 16).to_le_bytes()
    }

    /// The length of the suffix alone, for passes over many slots.
    #[inline]
    pub(crate) fn suffix_len_of(slot: [u8; 4]) -> u32 {
        u32::from_le_bytes(slot) >> 16 & u32::from(!OVERFLOW_BIT)
    }

    #[inline]
    pub(crate) fn rest_len(self) -> usize {
        self.suffix_len.saturating_sub(HEAD_LEN)
    }
}

// ---- fields of the header ----

/// How many keys the page says it has.
pub(crate) fn key_count(page: &[u8]) -> usize {
    field_u16(page, COUNT)
}

/// Whether some value of this leaf, or below this branch, may lie on overflow pages.
pub(crate) fn has_overflow(page: &[u8]) -> bool {
    get_u16(page, FLAGS) & HAS_OVERFLOW != 0
}

/// Sets the flag that some value of this leaf, or below this branch, may lie on overflow pages.
pub(crate) fn set_has_overflow(page: &mut [u8]) {
    let flags = get_u16(page, FLAGS);
    put_u16(page, FLAGS, flags | HAS_OVERFLOW);
}

/// Bytes of the heap, dead ones included.
pub(crate) fn heap_len(page: &[u8]) -> usize {
    field_u16(page, HEAP_LEN)
}

/// Dead bytes in the heap.
pub(crate) fn dead_bytes(page: &[u8]) -> usize {
    field_u16(page, DEAD)
}

/// Where the heap lies in the page. Empty if the header is damaged.
pub(crate) fn heap_range(page: &[u8]) -> Range<usize> {
    let end = page.len().saturating_sub(field_u16(page, PREFIX_LEN));
    end.saturating_sub(heap_len(page))..end
}

/// Bytes of the page, header not counted, that live entries and the prefix take.
pub(crate) fn used_bytes<const BRANCH: bool>(page: &[u8]) -> usize {
    let live = heap_len(page).saturating_sub(dead_bytes(page));
    table_len::<BRANCH>(key_count(page)) + live + field_u16(page, PREFIX_LEN)
}

/// Bytes between the tables and the heap: what entries can still take before the page has to be rebuilt.
pub(crate) fn gap_len<const BRANCH: bool>(page: &[u8]) -> usize {
    heap_range(page).start.saturating_sub(HEADER_LEN + table_len::<BRANCH>(key_count(page)))
}

/// Makes `page` an empty node with `prefix`.
pub(crate) fn init<const BRANCH: bool>(page: &mut [u8], level: u8, prefix: &[u8]) {
    page.fill(0);
    init_header::<BRANCH>(page, level, prefix);
}

/// Writes the header of an empty node, and the prefix.
pub(crate) fn init_header<const BRANCH: bool>(page: &mut [u8], level: u8, prefix: &[u8]) {
    page[..HEADER_LEN].fill(0);
    page::init(page, kind::<BRANCH>(), level);
    put_u16(page, PREFIX_LEN, prefix.len() as u16);
    let at = page.len() - prefix.len();
    page[at..].copy_from_slice(prefix);
}

// ---- cells of the tables ----

/// Makes room in the tables for a key at `index` (and, in a branch, for the child to its right).
pub(super) fn open_cell<const BRANCH: bool>(page: &mut [u8], count: usize, index: usize) {
    let heads = HEADER_LEN;
    let slots = slots_start::<BRANCH>(count);
    let slots_end = slots + 4 * count;
    let slot = slots + 4 * index;
    page.copy_within(slot..slots_end, slot + cell_len::<BRANCH>());
    if BRANCH {
        let child = heads + 4 * count + 4 * (index + 1);
        page.copy_within(child..slot, child + 8);
        page.copy_within(heads + 4 * index..child, heads + 4 * index + 4);
    } else {
        page.copy_within(heads + 4 * index..slot, heads + 4 * index + 4);
    }
}

/// The reverse of [`open_cell`], for several keys.
pub(super) fn close_cells<const BRANCH: bool>(page: &mut [u8], count: usize, range: Range<usize>) {
    let (heads, removed) = (HEADER_LEN, range.len());
    let slots = slots_start::<BRANCH>(count);
    let (slot, slot_end) = (slots + 4 * range.start, slots + 4 * range.end);
    let head = heads + 4 * range.start;
    if BRANCH {
        let children = heads + 4 * count;
        let (child, child_end) = (children + 4 * (range.start + 1), children + 4 * (range.end + 1));
        page.copy_within(heads + 4 * range.end..child, head);
        page.copy_within(child_end..slot, child - 4 * removed);
    } else {
        page.copy_within(heads + 4 * range.end..slot, head);
    }
    let slots_end = slots + 4 * count;
    page.copy_within(slot_end..slots_end, slot_end - cell_len::<BRANCH>() * removed);
}

// ---- prefetching ----

/// Prefetches what a search in a page of any kind looks at first: header, first heads, prefix.
#[inline]
pub(crate) fn prefetch_ends(page: &[u8]) {
    prefetch(page, 0);
    prefetch(page, 64);
    prefetch(page, page.len() - 1);
}

/// Prefetches a whole page: its entries lie in the order of their insertion, which no processor predicts.
pub(crate) fn prefetch_all(page: &[u8]) {
    page::prefetch_range(page, 0..page.len());
}

// ---- errors ----

#[cold]
pub(crate) fn bad_offset(page: &[u8], slot: Slot) -> Error {
    let number = Some(page::number(page).0);
    corrupt(number, "place of an entry", format_args!("within {} bytes", page.len()), slot.offset)
}

#[cold]
pub(crate) fn overfull(page: &[u8], found: usize) -> Error {
    let expected = format_args!("at most {} bytes", capacity(page.len()));
    corrupt(Some(page::number(page).0), "tables, heap and prefix", expected, found)
}
