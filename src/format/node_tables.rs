//! The tables of a node, heads, children and slots: what a slot says, and how they make room for keys.
//!
//! Invariant: the tables lie side by side, each as long as the count of keys says that the caller gives.

use std::ops::Range;

use crate::format::node::{HEAD_LEN, Node, table_len};
use crate::format::page::HEADER_LEN;

/// In a slot's length: the value lies on overflow pages.
pub(super) const OVERFLOW_BIT: u16 = 1 << 15;

/// What a slot says.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) offset: usize,
    pub(super) suffix_len: usize,
    pub(super) is_overflow: bool,
}

impl Slot {
    #[inline(always)]
    pub(super) fn decode(bytes: [u8; 4]) -> Slot {
        let word = u32::from_le_bytes(bytes);
        let length = (word >> 16) as u16;
        Slot {
            offset: usize::from(word as u16),
            suffix_len: usize::from(length & !OVERFLOW_BIT),
            is_overflow: length & OVERFLOW_BIT != 0,
        }
    }

    /// The same bytes again, for a slot that a dense leaf would have. (An entry of no bytes may begin beyond 16 bits,
    /// and is at 0 then: see [`node`](super::node).)
    #[inline(always)]
    pub(super) fn encode(self) -> [u8; 4] {
        (self.offset as u16 as u32 | (self.suffix_len as u32) << 16).to_le_bytes()
    }

    /// The length of the suffix alone, for passes over many slots.
    #[inline]
    pub(super) fn suffix_len_of(slot: [u8; 4]) -> u32 {
        u32::from_le_bytes(slot) >> 16 & u32::from(!OVERFLOW_BIT)
    }

    pub(super) fn rest_len(self) -> usize {
        self.suffix_len.saturating_sub(HEAD_LEN)
    }
}

/// Where the slots of a page with `count` keys begin.
pub(crate) fn slots_start<const BRANCH: bool>(count: usize) -> usize {
    HEADER_LEN + table_len::<BRANCH>(count) - 4 * count
}

/// Makes room in the tables for a key at `index` (and, in a branch, for the child to its right).
pub(super) fn open_cell<const BRANCH: bool>(page: &mut [u8], count: usize, index: usize) {
    let heads = HEADER_LEN;
    let slots = slots_start::<BRANCH>(count);
    let slots_end = slots + 4 * count;
    let slot = slots + 4 * index;
    page.copy_within(slot..slots_end, slot + Node::<BRANCH>::CELL);
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
    page.copy_within(slot_end..slots_end, slot_end - Node::<BRANCH>::CELL * removed);
}
