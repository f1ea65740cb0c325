//! A node with slots, to be read: a branch, or a leaf that is not dense.
//!
//! Reading functions are `inline(always)` from here up to the lookup, so that a view stays in registers. When the
//! compiler decided, they were calls that passed views through memory, and a lookup in cached pages took twice as
//! long.
//!
//! Invariants:
//! - I5: [`Node::new`] checks that header, tables, heap and prefix lie side by side within the page. Each offset
//!   taken from a slot is checked where it is used.
//! - Keys ascend strictly in the order (head, rest, length). That is byte order: a suffix without a rest can have the
//!   same head as another only because of the zeros that pad it.

use std::cmp::Ordering;
use std::ops::Range;

use crate::base::bytes::{are_equal, get_u16};
use crate::base::{ChildRef, KeyBuf};
use crate::error::{Error, Result, corrupt};
use crate::format::node::entry::Entry;
use crate::format::node::heads::{
    HEAD_LEN, bytes_of_head, head_of, heads_below, heads_below_guessing, padded_head,
};
use crate::format::node::layout::{
    self, COUNT, HEAP_LEN, PREFIX_LEN, Slot, bad_offset, lead_len, overfull, table_len,
};
use crate::format::page::{self, HEADER_LEN, PageKind, field_u16};
use crate::sys::{LINE_BYTES, prefetch};

/// At most this many entries with equal heads are prefetched at once: about as many lines as a processor loads at the
/// same time.
const MAX_PREFETCHED: usize = 16;

/// Where a key is in a page, or belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// How many keys of the page are less.
    pub(crate) index: usize,
    /// Whether the key at `index` is the one.
    pub(crate) found: bool,
}

/// What a leaf of either layout and a branch have in common.
pub(crate) trait NodeView<'a>: Sized {
    const KIND: PageKind;

    /// Views `page`. The caller checks kind and level, because it knows which to expect.
    fn new(page: &'a [u8]) -> Result<Self>;

    /// How many keys the page has: a leaf's entries, a branch's separators.
    fn count(&self) -> usize;

    /// The whole key at `index`.
    fn key(&self, index: usize) -> Result<KeyBuf>;

    /// Whether the head at `index` is padded with zeros after the end of its suffix.
    fn is_padded(&self, index: usize) -> Result<bool>;

    /// Where the entries lie in the page.
    fn heap(&self) -> Range<usize>;

    /// How many bytes of the heap are dead.
    fn dead_bytes(&self) -> usize;

    /// Checks the fields of the header that no read relies on.
    fn check_header(&self) -> Result<()>;

    /// Whether the header of `page` has this kind and `level`.
    #[inline(always)]
    fn is_kind_and_level(page: &[u8], level: u8) -> bool {
        get_u16(page, 16) == u16::from_le_bytes([Self::KIND as u8, level])
    }
}

/// A branch, or a leaf with slots. It is made again for each visit: that takes a few loads and one check.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a, const BRANCH: bool> {
    pub(crate) page: &'a [u8],
    pub(crate) prefix: &'a [u8],
    pub(crate) heads: &'a [[u8; 4]],
    pub(crate) children: &'a [[u8; 4]],
    pub(crate) slots: &'a [[u8; 4]],
}

impl<'a, const BRANCH: bool> NodeView<'a> for Node<'a, BRANCH> {
    const KIND: PageKind = layout::kind::<BRANCH>();

    #[inline(always)]
    fn new(page: &'a [u8]) -> Result<Node<'a, BRANCH>> {
        let Some((header, body)) = page.split_first_chunk::<HEADER_LEN>() else {
            return Err(overfull(page, 0));
        };
        let (count, prefix_len) = (field_u16(header, COUNT), field_u16(header, PREFIX_LEN));
        let (table_len, heap_len) = (table_len::<BRANCH>(count), field_u16(header, HEAP_LEN));
        if table_len + heap_len + prefix_len > body.len() {
            return Err(overfull(page, table_len + heap_len + prefix_len));
        }
        let (cells, _) = body[..table_len].as_chunks::<4>();
        let (heads, cells) = cells.split_at(count);
        let (children, slots) = cells.split_at(if BRANCH { count + 1 } else { 0 });
        Ok(Node { page, prefix: &page[page.len() - prefix_len..], heads, children, slots })
    }

    #[inline(always)]
    fn count(&self) -> usize {
        self.heads.len()
    }

    #[inline(always)]
    fn key(&self, index: usize) -> Result<KeyBuf> {
        self.key_at(index, self.slot(index)?)
    }

    fn is_padded(&self, index: usize) -> Result<bool> {
        let suffix_len = self.slot(index)?.suffix_len;
        Ok(bytes_of_head(self.heads[index]).iter().skip(suffix_len).all(|&byte| byte == 0))
    }

    fn heap(&self) -> Range<usize> {
        layout::heap_range(self.page)
    }

    fn dead_bytes(&self) -> usize {
        layout::dead_bytes(self.page)
    }

    fn check_header(&self) -> Result<()> {
        Ok(())
    }
}

impl<'a, const BRANCH: bool> Node<'a, BRANCH> {
    /// The prefix of all keys of the page.
    #[inline]
    pub(crate) fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    #[inline]
    pub(crate) fn slot(&self, index: usize) -> Result<Slot> {
        match self.slots.get(index) {
            Some(&slot) => Ok(Slot::decode(slot)),
            None => Err(no_such_key(self.page, self.heads.len(), index)),
        }
    }

    /// The bytes of the suffix at `slot` after its head.
    #[inline(always)]
    fn rest(&self, slot: Slot) -> Result<&'a [u8]> {
        let start = slot.offset + lead_len::<BRANCH>();
        self.page.get(start..start + slot.rest_len()).ok_or_else(|| bad_offset(self.page, slot))
    }

    /// The whole key at `index`, whose slot is `slot`.
    #[inline(always)]
    pub(crate) fn key_at(&self, index: usize, slot: Slot) -> Result<KeyBuf> {
        let head_len = slot.suffix_len.min(HEAD_LEN);
        Ok(KeyBuf::from_pieces(self.prefix, bytes_of_head(self.heads[index]), head_len, self.rest(slot)?))
    }

    /// The entry at `index`, which takes `heap` there.
    #[inline]
    pub(crate) fn entry_in(&self, index: usize, slot: Slot, heap: Range<usize>) -> Result<Entry<'a>> {
        Ok(Entry {
            prefix: self.prefix,
            head: padded_head(self.heads[index], slot.suffix_len),
            suffix_len: slot.suffix_len,
            heap: self.page.get(heap).ok_or_else(|| bad_offset(self.page, slot))?,
            lead: lead_len::<BRANCH>(),
            is_overflow: slot.is_overflow,
            child: ChildRef(0),
        })
    }

    /// How many keys have a head that is below `head`.
    #[inline(always)]
    pub(crate) fn lower_bound(&self, head: u32) -> usize {
        // The child that a branch leads to lies on another line than the heads: both are loaded at the same time.
        heads_below_guessing(self.heads, head, |guess| {
            if BRANCH {
                prefetch(self.page, HEADER_LEN + HEAD_LEN * (self.heads.len() + guess));
            }
        })
    }

    /// Prefetches a leaf's entry, including the two lines after its first: the end of the value is known only once
    /// the entry has been loaded, so without this its reader would wait twice.
    #[inline(always)]
    pub(crate) fn prefetch_entry_at(&self, slot: Slot) {
        prefetch(self.page, slot.offset);
        prefetch(self.page, slot.offset + LINE_BYTES);
        prefetch(self.page, slot.offset + 2 * LINE_BYTES);
    }

    /// Prefetches the end of the page, where the prefix is.
    #[inline(always)]
    pub(crate) fn prefetch_prefix(&self) {
        prefetch(self.page, self.page.len() - 1);
    }

    /// Finds `key`, or where it belongs.
    #[inline(always)]
    pub(crate) fn search(&self, key: &[u8]) -> Result<Position> {
        self.search_notifying(key, |_| ())
    }

    /// As [`search`](Node::search). Calls `on_index` with the position of the key, or of the first key with the same
    /// head, as soon as that is known and before the memory of any entry is read.
    #[inline(always)]
    pub(crate) fn search_notifying(&self, key: &[u8], on_index: impl FnOnce(usize)) -> Result<Position> {
        let Some(suffix) = self.suffix_of(key) else {
            let place = position_beside_all(self.prefix, self.heads.len(), key);
            on_index(place.index);
            return Ok(place);
        };
        let head = head_of(suffix);
        let index = self.lower_bound(head);
        on_index(index);
        if self.heads.get(index) != Some(&head.to_le_bytes()) {
            return Ok(Position { index, found: false });
        }
        if BRANCH || self.heads.get(index + 1) == Some(&head.to_le_bytes()) {
            return self.search_equal_heads(suffix, head, index);
        }
        self.prefetch_entry_at(self.slot(index)?);
        let order = self.compare(suffix, index)?;
        Ok(Position {
            index: index + usize::from(order == Ordering::Greater),
            found: order == Ordering::Equal,
        })
    }

    /// The part of `key` after the page's prefix, if it begins with that.
    #[inline(always)]
    pub(crate) fn suffix_of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let (prefix, suffix) = key.split_at_checked(self.prefix.len())?;
        are_equal(prefix, self.prefix).then_some(suffix)
    }

    /// Continues the search among the keys from `first` on that have the same head.
    #[inline(never)]
    pub(crate) fn search_equal_heads(self, suffix: &[u8], head: u32, first: usize) -> Result<Position> {
        let entry_at = |index| Ok(self.slot(index)?.offset);
        search_equal(self.page, self.heads, first, head, entry_at, |index| self.compare(suffix, index))
    }

    /// Compares `suffix` to the key at `index`, which has the same head.
    #[inline]
    pub(crate) fn compare(&self, suffix: &[u8], index: usize) -> Result<Ordering> {
        let slot = self.slot(index)?;
        let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
        Ok(rest.cmp(self.rest(slot)?).then(suffix.len().cmp(&slot.suffix_len)))
    }
}

/// Where a key belongs that does not begin with the page's prefix.
#[cold]
pub(crate) fn position_beside_all(prefix: &[u8], count: usize, key: &[u8]) -> Position {
    Position { index: if key < prefix { 0 } else { count }, found: false }
}

/// Searches among the keys from `first` on whose head is `head`. `entry_at` returns where an entry begins, `compare`
/// compares the key that is searched for with the one at an index.
#[inline(always)]
pub(crate) fn search_equal(
    page: &[u8],
    heads: &[[u8; HEAD_LEN]],
    first: usize,
    head: u32,
    entry_at: impl Fn(usize) -> Result<usize>,
    compare: impl Fn(usize) -> Result<Ordering>,
) -> Result<Position> {
    let beyond = &heads[first..];
    let equal = match head.checked_add(1) {
        Some(next) => heads_below(beyond, next),
        None => beyond.len(),
    };
    // Otherwise each comparison would wait for memory of its own.
    for index in (first..first + equal).take(MAX_PREFETCHED) {
        prefetch(page, entry_at(index)?);
    }
    let (mut low, mut high) = (first, first + equal);
    while low < high {
        let middle = low.midpoint(high);
        match compare(middle)? {
            Ordering::Equal => return Ok(Position { index: middle, found: true }),
            Ordering::Less => high = middle,
            Ordering::Greater => low = middle + 1,
        }
    }
    Ok(Position { index: low, found: false })
}

#[cold]
pub(crate) fn no_such_key(page: &[u8], count: usize, index: usize) -> Error {
    corrupt(Some(page::number(page).0), "entry index", format_args!("below {count}"), index)
}
