//! The branch: separators and children.
//!
//! Child `i` holds the keys `k` with `separator[i - 1] <= k < separator[i]`. A heap entry is only the rest of the
//! separator, and most have none. Separators are cut to the shortest that separates.
//!
//! Invariants:
//! - I5: nothing read from an entry is used before it has been checked.
//! - A branch with `n` separators has `n + 1` children; in a finished page `n` is at least 1.

use std::ops::Range;

use crate::base::ChildRef;
use crate::base::bytes::put_u32;
use crate::error::{Result, corrupt};
use crate::format::node::{self, Entry, HEAD_LEN, Node, NodeView, Slot};
use crate::format::page::{self, HEADER_LEN};

/// A branch, to be read.
pub(crate) type BranchView<'a> = Node<'a, true>;

impl<'a> BranchView<'a> {
    /// The index of the child that may hold `key`.
    #[inline(always)]
    pub(crate) fn child_index(&self, key: &[u8]) -> Result<usize> {
        let place = self.search(key)?;
        Ok(place.index + usize::from(place.found))
    }

    /// The reference to child `index`.
    #[inline(always)]
    pub(crate) fn child(&self, index: usize) -> Result<ChildRef> {
        match self.children.get(index) {
            Some(&bytes) => Ok(ChildRef(u32::from_le_bytes(bytes))),
            None => {
                let number = Some(page::number(self.page).0);
                Err(corrupt(number, "child index", format_args!("below {}", self.children.len()), index))
            }
        }
    }

    /// All children, in order.
    #[inline]
    pub(crate) fn children(&self) -> impl Iterator<Item = ChildRef> + 'a {
        self.children.iter().map(|&bytes| ChildRef(u32::from_le_bytes(bytes)))
    }

    /// How many children there are.
    #[inline]
    pub(crate) fn child_count(&self) -> usize {
        self.children.len()
    }

    /// Child `index` with the separator to its left (the first has none), to be inserted into another branch.
    pub(crate) fn branch_entry(&self, index: usize) -> Result<Entry<'a>> {
        let child = self.child(index)?;
        let Some(left) = index.checked_sub(1) else { return Ok(Entry::of_branch(&[], child)) };
        let slot = self.slot(left)?;
        Ok(Entry { child, ..self.entry_in(left, slot, slot.offset..slot.offset + slot.rest_len())? })
    }

    /// Where the rest of separator `index` lies in the page.
    pub(crate) fn entry_range(&self, index: usize) -> Result<Range<usize>> {
        let slot = self.slot(index)?;
        Ok(slot.offset..slot.offset + slot.rest_len())
    }
}

/// Bytes that `count` separators and their children take in the tables.
pub(crate) fn table_len(count: usize) -> usize {
    node::table_len::<true>(count)
}

/// Bytes of the page, header not counted, that live separators, children and the prefix take.
pub(crate) fn used_bytes(page: &[u8]) -> usize {
    node::used_bytes::<true>(page)
}

/// Bytes that separators can still take before the page has to be rebuilt.
pub(crate) fn gap_len(page: &[u8]) -> usize {
    node::gap_len::<true>(page)
}

/// Makes `page` a branch with one child and no separators; those inserted later begin with `prefix`.
pub(crate) fn init(page: &mut [u8], level: u8, prefix: &[u8], first_child: ChildRef) {
    node::init::<true>(page, level, prefix);
    put_u32(page, HEADER_LEN, first_child.0);
}

/// Writes a whole branch into `page`: `children` in order. Their separators begin with `prefix`, except the first,
/// which is not stored here.
pub(crate) fn build(page: &mut [u8], level: u8, prefix: &[u8], children: &[Entry<'_>]) -> Result<()> {
    node::build::<true>(page, level, prefix, children.get(1..).unwrap_or(&[]))?;
    for (index, entry) in children.iter().enumerate() {
        set_child(page, index, entry.child);
    }
    Ok(())
}

/// Inserts separator `index`, with `child` to its right. Returns `false` and changes nothing if it does not share the
/// page's prefix or there is no room.
pub(crate) fn insert(page: &mut [u8], index: usize, separator: &[u8], child: ChildRef) -> Result<bool> {
    if node::insert_key::<true>(page, index, separator, 0, false)?.is_none() {
        return Ok(false);
    }
    set_child(page, index + 1, child);
    Ok(true)
}

/// Replaces separator `index` by one that takes the same number of bytes. Returns `false` and changes nothing if it
/// takes another number.
pub(crate) fn replace_separator(page: &mut [u8], index: usize, separator: &[u8]) -> Result<bool> {
    node::replace_key::<true>(page, index, separator)
}

/// Replaces the reference to child `index`, which there must be.
pub(crate) fn set_child(page: &mut [u8], index: usize, child: ChildRef) {
    let count = node::key_count(page);
    debug_assert!(index <= count);
    put_u32(page, HEADER_LEN + 4 * count + 4 * index, child.0);
}

/// Removes the separators of `range`, each with the child to its right.
pub(crate) fn remove(page: &mut [u8], range: Range<usize>) -> Result<()> {
    let view = BranchView::new(page)?;
    let mut entry_lens = 0;
    for index in range.clone() {
        entry_lens += view.entry_range(index)?.len();
    }
    node::remove_keys::<true>(page, range, entry_lens);
    Ok(())
}

/// Removes the children of `range`, which must not be all, and their separators.
pub(crate) fn remove_children(page: &mut [u8], range: Range<usize>) -> Result<()> {
    if range.start > 0 {
        return remove(page, range.start - 1..range.end - 1);
    }
    let first_kept = BranchView::new(page)?.child(range.end)?;
    set_child(page, 0, first_kept);
    remove(page, 0..range.end)
}

/// Checks what a change of the branch relies on, before a page of the file becomes a transaction's own: separators
/// are not too long, sizes add up, and no child is a frame.
pub(crate) fn check_before_change(page: &[u8]) -> Result<()> {
    let view = BranchView::new(page)?;
    let number = Some(page::number(page).0);
    let longest = page::max_key_len(page.len()).saturating_sub(view.prefix().len());
    // Sums over all slots, and over all children, in 32 bits and without an early exit, so that the compiler adds
    // several at a time. No sum overflows: a page has less than 2^16 slots, each less than 2^16.
    let (mut live, mut greatest) = (0u32, 0u32);
    for &slot in view.slots {
        let suffix_len = Slot::suffix_len_of(slot);
        live += suffix_len.saturating_sub(HEAD_LEN as u32);
        greatest = greatest.max(suffix_len);
    }
    let (live, greatest) = (live as usize, greatest as usize);
    if greatest > longest {
        let expected = format_args!("at most {longest} after the prefix");
        return Err(corrupt(number, "length of a separator", expected, greatest));
    }
    if live + node::dead_bytes(page) != node::heap_len(page) {
        let found = live + node::dead_bytes(page);
        return Err(corrupt(number, "bytes in the heap", node::heap_len(page), found));
    }
    let bits = view.children().fold(0, |bits, child| bits | child.0);
    match ChildRef(bits).is_frame() {
        true => {
            Err(corrupt(number, "page number of a child", "below 2^31", format_args!("{bits:#x} in all")))
        }
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
