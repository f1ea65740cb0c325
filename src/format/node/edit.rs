//! Changes of a node with slots, on a transaction's own copy of the page.

use std::ops::Range;

use crate::base::bytes::{put_u16, put_u32};
use crate::error::Result;
use crate::format::node::entry::Entry;
use crate::format::node::heads::{HEAD_LEN, head_of};
use crate::format::node::layout::{
    COUNT, DEAD, HEAP_LEN, OVERFLOW_BIT, capacity, cell_len, close_cells, dead_bytes, heap_len, heap_range,
    init_header, key_count, lead_len, open_cell, overfull, slots_start, table_len,
};
use crate::format::node::view::{Node, NodeView};
use crate::format::page::HEADER_LEN;

/// Inserts a key at `index`: head, slot and rest of its suffix. Returns the range in the page for the other
/// `tail_len` bytes of the entry. Returns `None` and changes nothing if the key does not share the page's prefix or
/// there is no room. In a branch, the caller fills in the child to the right of the separator.
pub(crate) fn insert_key<const BRANCH: bool>(
    page: &mut [u8],
    index: usize,
    key: &[u8],
    tail_len: usize,
    is_overflow: bool,
) -> Result<Option<Range<usize>>> {
    let Some(suffix) = key.strip_prefix(Node::<BRANCH>::new(page)?.prefix) else {
        return Ok(None);
    };
    let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
    let lead = lead_len::<BRANCH>();
    let entry_len = lead + rest.len() + tail_len;
    let Some(start) =
        insert_cell::<BRANCH>(page, index, head_of(suffix), suffix.len(), entry_len, is_overflow)
    else {
        return Ok(None);
    };
    let tail = start + lead + rest.len();
    page[start + lead..tail].copy_from_slice(rest);
    Ok(Some(tail..tail + tail_len))
}

/// Inserts head and slot of an entry at `index`, and takes `entry_len` bytes for it at the beginning of the heap.
/// Returns where they begin. Returns `None` and changes nothing if there is no room.
#[inline]
pub(crate) fn insert_cell<const BRANCH: bool>(
    page: &mut [u8],
    index: usize,
    head: u32,
    suffix_len: usize,
    entry_len: usize,
    is_overflow: bool,
) -> Option<usize> {
    let count = key_count(page);
    let heap = heap_range(page);
    let table_end = HEADER_LEN + table_len::<BRANCH>(count);
    if table_end + cell_len::<BRANCH>() + entry_len > heap.start {
        return None;
    }
    open_cell::<BRANCH>(page, count, index);
    put_u16(page, COUNT, (count + 1) as u16);
    put_u16(page, HEAP_LEN, (heap.len() + entry_len) as u16);
    let start = heap.start - entry_len;
    put_u32(page, HEADER_LEN + 4 * index, head);
    let slot = slots_start::<BRANCH>(count + 1) + 4 * index;
    put_u16(page, slot, if entry_len == 0 { 0 } else { start as u16 });
    put_u16(page, slot + 2, suffix_len as u16 | if is_overflow { OVERFLOW_BIT } else { 0 });
    Some(start)
}

/// Replaces the key at `index` by one whose rest has the same length. Returns `false` and changes nothing if it has
/// another length or the key does not share the page's prefix.
pub(crate) fn replace_key<const BRANCH: bool>(page: &mut [u8], index: usize, key: &[u8]) -> Result<bool> {
    let view = Node::<BRANCH>::new(page)?;
    let Some(suffix) = key.strip_prefix(view.prefix) else { return Ok(false) };
    let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
    let old = view.slot(index)?;
    let at = old.offset + lead_len::<BRANCH>();
    let heap = heap_range(page);
    let is_in_heap = rest.is_empty() || (heap.start <= at && at + rest.len() <= heap.end);
    if old.rest_len() != rest.len() || !is_in_heap {
        return Ok(false);
    }
    let count = view.count();
    put_u32(page, HEADER_LEN + 4 * index, head_of(suffix));
    let overflow_bit = if old.is_overflow { OVERFLOW_BIT } else { 0 };
    put_u16(page, slots_start::<BRANCH>(count) + 4 * index + 2, suffix.len() as u16 | overflow_bit);
    if !rest.is_empty() {
        page[at..at + rest.len()].copy_from_slice(rest);
    }
    Ok(true)
}

/// Removes the keys of `range`; `entry_lens` is the sum of their sizes in the heap. A branch also loses the children
/// to the right of these separators.
pub(crate) fn remove_keys<const BRANCH: bool>(page: &mut [u8], range: Range<usize>, entry_lens: usize) {
    let count = key_count(page);
    debug_assert!(range.start <= range.end && range.end <= count);
    close_cells::<BRANCH>(page, count, range.clone());
    put_u16(page, COUNT, (count - range.len()) as u16);
    let dead = (dead_bytes(page) + entry_lens).min(heap_len(page));
    if range.len() == count {
        // The heap has no live entry left.
        put_u16(page, HEAP_LEN, 0);
        put_u16(page, DEAD, 0);
    } else {
        put_u16(page, DEAD, dead as u16);
    }
}

/// Cuts `dead` bytes, which were counted as dead, off the beginning of the heap.
pub(crate) fn shorten_heap(page: &mut [u8], dead: usize) {
    let heap = heap_range(page);
    put_u16(page, HEAP_LEN, (heap.len() - dead) as u16);
    put_u16(page, DEAD, (dead_bytes(page) - dead) as u16);
    page[heap.start..heap.start + dead].fill(0);
}

/// Writes a whole node into `page`: heads, slots and heap of `entries`, whose keys all begin with `prefix`. In a
/// branch, the caller fills in the children.
pub(crate) fn build<const BRANCH: bool>(
    page: &mut [u8],
    level: u8,
    prefix: &[u8],
    entries: &[Entry<'_>],
) -> Result<()> {
    init_header::<BRANCH>(page, level, prefix);
    let heap_end = page.len() - prefix.len();
    let slots = slots_start::<BRANCH>(entries.len());
    let table_end = slots + 4 * entries.len();
    let mut start = heap_end;
    for (index, entry) in entries.iter().enumerate() {
        let suffix_len = entry.key_len() - prefix.len();
        let rest_len = suffix_len.saturating_sub(HEAD_LEN);
        let entry_len = lead_len::<BRANCH>() + rest_len + entry.payload_len();
        start = start
            .checked_sub(entry_len)
            .filter(|start| *start >= table_end)
            .ok_or_else(|| overfull(page, capacity(page.len()) + entry_len))?;
        let place = &mut page[start..start + entry_len];
        let head = if entry.prefix.len() == prefix.len() && entry.lead == lead_len::<BRANCH>() {
            place.copy_from_slice(entry.heap);
            entry.head
        } else {
            move_prefix::<BRANCH>(entry, prefix.len(), place)
        };
        put_u32(page, HEADER_LEN + 4 * index, head);
        put_u16(page, slots + 4 * index, if entry_len == 0 { 0 } else { start as u16 });
        let overflow_bit = if entry.is_overflow { OVERFLOW_BIT } else { 0 };
        put_u16(page, slots + 4 * index + 2, suffix_len as u16 | overflow_bit);
    }
    // Nothing of the page's former content remains. (The caller overwrites a branch's children, after the heads.)
    page[table_end..start].fill(0);
    put_u16(page, COUNT, entries.len() as u16);
    put_u16(page, HEAP_LEN, (heap_end - start) as u16);
    Ok(())
}

/// Writes the heap bytes of an entry for a page whose prefix is longer or shorter. Returns the head.
fn move_prefix<const BRANCH: bool>(entry: &Entry<'_>, prefix_len: usize, place: &mut [u8]) -> u32 {
    let key = entry.key();
    let suffix = &key[prefix_len..];
    let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
    let payload = entry.payload();
    let lead = lead_len::<BRANCH>();
    if !BRANCH {
        put_u16(place, 0, payload.len() as u16);
    }
    place[lead..lead + rest.len()].copy_from_slice(rest);
    place[lead + rest.len()..].copy_from_slice(payload);
    head_of(suffix)
}
