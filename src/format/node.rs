//! What leaves and branches have in common: heads, slots, heap and prefix, and the search.
//!
//! ```text
//! header | heads: n x u32 | children: (n+1) x u32, in a branch only | slots: n x (offset u16, length u16)
//!        | gap | heap, growing down | prefix shared by all keys of the page
//! ```
//!
//! A key is the page's prefix and a *suffix*. The first 4 bytes of the suffix, padded with zeros, are the key's
//! *head*: an integer whose order is the keys' order. The suffix's *rest* lies in the heap. The slot has the
//! length of the whole suffix; its top bit says that the value lies on overflow pages. (A dense leaf has no slots:
//! `format/dense_leaf.rs`.)
//!
//! Reading functions are `inline(always)` from here up to the lookup: a view then lives in registers. Left to the
//! compiler they were calls that passed views through memory, and a lookup in cached pages took twice as long.
//!
//! Invariants:
//! - I5: [`Node::new`] proves that header, tables, heap and prefix lie side by side within the page. Each place
//!   taken from a slot is checked where it is used.
//! - Keys ascend strictly in the order (head, rest, length): that is byte order, because a suffix which has no
//!   rest can equal another in its head only by the zeros that pad it.
//! - `heap_len` is the sum of the entries' sizes and of `dead`.
//! - An entry of no bytes has offset 0, so that every offset fits 16 bits in a page of 64 KiB.

use std::cmp::Ordering;
use std::ops::Range;

use crate::base::bytes::{are_equal, get_u16, put_u16, put_u32};
use crate::base::{ChildRef, KeyBuf};
use crate::error::{Error, Result, corrupt};
use crate::format::dense_leaf::{self, Shape};
use crate::format::entry::Entry;
pub(crate) use crate::format::heads::HEAD_LEN;
use crate::format::heads::{bytes_of_head, head_of, heads_below, heads_below_telling, padded_head};
pub(super) use crate::format::node_tables::Slot;
use crate::format::node_tables::{OVERFLOW_BIT, close_cells, open_cell, slots_start};
use crate::format::page::{self, HEADER_LEN, PageKind, field_u16};
use crate::sys::{LINE_BYTES, prefetch};

pub(super) const COUNT: usize = 18;
const PREFIX_LEN: usize = 20;
const HEAP_LEN: usize = 22;
const DEAD: usize = 24;
pub(super) const FLAGS: usize = 26;

/// Flag: some value of this leaf, or below this branch, may lie on overflow pages.
const HAS_OVERFLOW: u16 = 1;

/// As many entries with equal heads are asked for at once: about as many lines as a processor fetches together.
const MAX_PREFETCHED: usize = 16;

/// Bytes of a page that entries, separators and prefix share.
pub(crate) const fn capacity(page_size: usize) -> usize {
    page_size - HEADER_LEN
}

/// Where a key is in a page, or belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// How many keys of the page are less.
    pub(crate) index: usize,
    /// Whether the key at `index` is the one.
    pub(crate) found: bool,
}

/// A leaf or a branch, to be read. Made anew for each visit: that takes a few loads and one check.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a, const BRANCH: bool> {
    pub(super) page: &'a [u8],
    pub(super) prefix: &'a [u8],
    pub(super) heads: &'a [[u8; 4]],
    pub(super) children: &'a [[u8; 4]],
    pub(super) slots: &'a [[u8; 4]],
    /// Of a dense leaf, which has no slots.
    shape: Option<Shape>,
}

impl<'a, const BRANCH: bool> Node<'a, BRANCH> {
    /// Bytes of a heap entry ahead of the key's rest: a leaf's has the length of its value there.
    pub(super) const LEAD: usize = if BRANCH { 0 } else { 2 };

    /// Bytes that each key takes in the tables. (A branch has 4 more, for its first child.)
    pub(super) const CELL: usize = if BRANCH { 12 } else { 8 };

    const KIND: PageKind = if BRANCH { PageKind::Branch } else { PageKind::Leaf };

    /// Views `page`. Kind and level are for the caller to check, who knows which to expect.
    #[inline(always)]
    pub(crate) fn new(page: &'a [u8]) -> Result<Node<'a, BRANCH>> {
        let Some((header, body)) = page.split_first_chunk::<HEADER_LEN>() else {
            return Err(overfull(page, 0));
        };
        let (count, prefix_len) = (field_u16(header, COUNT), field_u16(header, PREFIX_LEN));
        let shape = if BRANCH { None } else { Shape::of(header) };
        let (table_len, heap_len) = match shape {
            None => (table_len::<BRANCH>(count), field_u16(header, HEAP_LEN)),
            Some(shape) => (HEAD_LEN * count, shape.cell_len() * count),
        };
        if table_len + heap_len + prefix_len > body.len() {
            return Err(overfull(page, table_len + heap_len + prefix_len));
        }
        let (cells, _) = body[..table_len].as_chunks::<4>();
        let (heads, cells) = cells.split_at(count);
        let (children, slots) = cells.split_at(if BRANCH { count + 1 } else { 0 });
        Ok(Node { page, prefix: &page[page.len() - prefix_len..], heads, children, slots, shape })
    }

    /// What all entries have in common, if this is a dense leaf.
    #[inline(always)]
    pub(crate) fn shape(&self) -> Option<Shape> {
        if BRANCH { None } else { self.shape }
    }

    /// Checks what the header says and no reading relies on.
    pub(crate) fn check_header(&self) -> Result<()> {
        if self.shape().is_some() { dense_leaf::check_last_head(self.page, self.heads) } else { Ok(()) }
    }

    /// Bytes of an entry ahead of the key's rest.
    #[inline(always)]
    fn lead(&self) -> usize {
        if self.shape().is_some() { 0 } else { Self::LEAD }
    }

    /// Whether `page` says that it is of this kind and of `level`.
    #[inline(always)]
    pub(crate) fn is_kind_and_level(page: &[u8], level: u8) -> bool {
        get_u16(page, 16) == u16::from_le_bytes([Self::KIND as u8, level])
    }

    /// How many keys the page has: a leaf's entries, a branch's separators.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.heads.len()
    }

    /// What all keys of the page begin with.
    pub(crate) fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    #[inline]
    pub(super) fn slot(&self, index: usize) -> Result<Slot> {
        match self.slots.get(index) {
            Some(&slot) => Ok(Slot::decode(slot)),
            None => self.computed_slot(index),
        }
    }

    /// What a slot at `index` would say if a dense leaf had any.
    #[inline(always)]
    fn computed_slot(&self, index: usize) -> Result<Slot> {
        let Some(shape) = self.shape().filter(|_| index < self.count()) else {
            return Err(self.no_such_key(index));
        };
        let offset = self.page.len() - self.prefix.len() - (index + 1) * shape.cell_len();
        Ok(Slot { offset, suffix_len: shape.suffix_len(), is_overflow: false })
    }

    /// The bytes of the suffix at `slot` beyond its head.
    #[inline(always)]
    pub(super) fn rest(&self, slot: Slot) -> Result<&'a [u8]> {
        let start = slot.offset + self.lead();
        self.page.get(start..start + slot.rest_len()).ok_or_else(|| bad_offset(self.page, slot))
    }

    /// The whole key at `index`.
    #[inline(always)]
    pub(crate) fn key(&self, index: usize) -> Result<KeyBuf> {
        self.key_at(index, self.slot(index)?)
    }

    /// The whole key at `index`, of which `slot` says where it lies.
    #[inline(always)]
    pub(super) fn key_at(&self, index: usize, slot: Slot) -> Result<KeyBuf> {
        let head_len = slot.suffix_len.min(HEAD_LEN);
        Ok(KeyBuf::from_pieces(self.prefix, bytes_of_head(self.heads[index]), head_len, self.rest(slot)?))
    }

    /// The entry at `index`, which takes `heap` there.
    #[inline]
    pub(super) fn entry_in(&self, index: usize, slot: Slot, heap: Range<usize>) -> Result<Entry<'a>> {
        Ok(Entry {
            prefix: self.prefix,
            head: padded_head(self.heads[index], slot.suffix_len),
            suffix_len: slot.suffix_len,
            heap: self.page.get(heap).ok_or_else(|| bad_offset(self.page, slot))?,
            lead: self.lead(),
            is_overflow: slot.is_overflow,
            child: ChildRef(0),
        })
    }

    /// Whether the head at `index` is padded with zeros beyond the end of its suffix.
    pub(crate) fn is_padded(&self, index: usize) -> Result<bool> {
        let suffix_len = self.slot(index)?.suffix_len;
        let [b0, b1, b2, b3] = self.heads[index];
        Ok([b3, b2, b1, b0].iter().skip(suffix_len).all(|&byte| byte == 0))
    }

    /// How many keys have a head that is below `head`.
    #[inline(always)]
    pub(super) fn lower_bound(&self, head: u32) -> usize {
        match self.shape() {
            // The child that a branch leads to lies on another line than the heads: both are waited for together.
            None => heads_below_telling(self.heads, head, |guess| {
                if BRANCH {
                    prefetch(self.page, HEADER_LEN + HEAD_LEN * (self.count() + guess));
                }
            }),
            Some(shape) => dense_leaf::heads_below_in(self.page, self.heads, shape, head),
        }
    }

    /// Asks for a leaf's entry, the lines behind its first one too: where the value ends is known only when that is
    /// here, so without this its reader would wait twice.
    #[inline(always)]
    pub(super) fn prefetch_entry_at(&self, slot: Slot) {
        prefetch(self.page, slot.offset);
        prefetch(self.page, slot.offset + LINE_BYTES);
        prefetch(self.page, slot.offset + 2 * LINE_BYTES);
    }

    /// Asks for the end of the page, where the prefix is.
    #[inline(always)]
    pub(super) fn prefetch_prefix(&self) {
        prefetch(self.page, self.page.len() - 1);
    }

    /// Finds `key`, or where it belongs.
    #[inline(always)]
    pub(crate) fn search(&self, key: &[u8]) -> Result<Position> {
        self.search_telling(key, |_| ())
    }

    /// The same. Unless this is a dense leaf, `tell` hears where the key is or belongs, keys with the same head aside,
    /// as soon as that is known: before the memory of any entry is waited for.
    #[inline(always)]
    pub(crate) fn search_telling(&self, key: &[u8], tell: impl FnOnce(usize)) -> Result<Position> {
        if self.shape().is_some() {
            return dense_leaf::search(self.page, key);
        }
        self.search_heads(key, tell)
    }

    /// The same, with what a dense leaf does otherwise still to be asked for.
    #[inline(always)]
    pub(super) fn search_heads(&self, key: &[u8], tell: impl FnOnce(usize)) -> Result<Position> {
        let Some(suffix) = self.suffix_of(key) else {
            let place = self.position_beside_all(key);
            tell(place.index);
            return Ok(place);
        };
        let head = head_of(suffix);
        let index = self.lower_bound(head);
        tell(index);
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

    /// What of `key` is behind the page's prefix, if it begins with that.
    #[inline(always)]
    pub(super) fn suffix_of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let (prefix, suffix) = key.split_at_checked(self.prefix.len())?;
        are_equal(prefix, self.prefix).then_some(suffix)
    }

    /// Where a key belongs that does not begin with the page's prefix.
    #[cold]
    fn position_beside_all(self, key: &[u8]) -> Position {
        Position { index: if key < self.prefix { 0 } else { self.count() }, found: false }
    }

    /// Goes on with the search among the keys from `first` on that have the same head.
    #[inline(never)]
    pub(super) fn search_equal_heads(self, suffix: &[u8], head: u32, first: usize) -> Result<Position> {
        let beyond = &self.heads[first..];
        let equal = match head.checked_add(1) {
            Some(next) => heads_below(beyond, next),
            None => beyond.len(),
        };
        // Otherwise each comparison would wait for the memory of its own.
        for index in (first..first + equal).take(MAX_PREFETCHED) {
            prefetch(self.page, self.slot(index)?.offset);
        }
        let (mut low, mut high) = (first, first + equal);
        while low < high {
            let middle = low.midpoint(high);
            match self.compare(suffix, middle)? {
                Ordering::Equal => return Ok(Position { index: middle, found: true }),
                Ordering::Less => high = middle,
                Ordering::Greater => low = middle + 1,
            }
        }
        Ok(Position { index: low, found: false })
    }

    /// Compares `suffix` to the key at `index`, which has the same head.
    #[inline]
    pub(super) fn compare(&self, suffix: &[u8], index: usize) -> Result<Ordering> {
        let slot = self.slot(index)?;
        let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
        Ok(rest.cmp(self.rest(slot)?).then(suffix.len().cmp(&slot.suffix_len)))
    }

    #[cold]
    fn no_such_key(self, index: usize) -> Error {
        let number = Some(page::number(self.page).0);
        corrupt(number, "entry index", format_args!("below {}", self.count()), index)
    }
}

#[cold]
pub(super) fn bad_offset(page: &[u8], slot: Slot) -> Error {
    let number = Some(page::number(page).0);
    corrupt(number, "place of an entry", format_args!("within {} bytes", page.len()), slot.offset)
}

#[cold]
pub(super) fn overfull(page: &[u8], found: usize) -> Error {
    let expected = format_args!("at most {} bytes", capacity(page.len()));
    corrupt(Some(page::number(page).0), "tables, heap and prefix", expected, found)
}

/// Length of heads, children and slots of a page with `count` keys.
pub(super) fn table_len<const BRANCH: bool>(count: usize) -> usize {
    Node::<BRANCH>::CELL * count + if BRANCH { 4 } else { 0 }
}

/// Asks for what a search in a page, whatever it is, looks at first: header, first heads, prefix.
#[inline]
pub(crate) fn prefetch_ends(page: &[u8]) {
    prefetch(page, 0);
    prefetch(page, 64);
    prefetch(page, page.len() - 1);
}

/// Asks for all of a page: its entries lie in the order in which they came, which no processor foresees.
pub(crate) fn prefetch_all(page: &[u8]) {
    page::prefetch_range(page, 0..page.len());
}

// ---- fields that balance and checks look at ----

/// How many keys the page says it has.
pub(crate) fn key_count(page: &[u8]) -> usize {
    field_u16(page, COUNT)
}

/// Bytes of the heap, dead ones included.
pub(crate) fn heap_len(page: &[u8]) -> usize {
    match Shape::of(page) {
        None => field_u16(page, HEAP_LEN),
        Some(shape) => shape.cell_len() * key_count(page),
    }
}

/// Dead bytes in the heap.
pub(crate) fn dead_bytes(page: &[u8]) -> usize {
    if Shape::of(page).is_some() { 0 } else { field_u16(page, DEAD) }
}

/// Length of the tables.
fn tables_len<const BRANCH: bool>(page: &[u8]) -> usize {
    match Shape::of(page) {
        None => table_len::<BRANCH>(key_count(page)),
        Some(_) => HEAD_LEN * key_count(page),
    }
}

/// Bytes of the page, header not counted, that live entries and the prefix take.
pub(crate) fn used_bytes<const BRANCH: bool>(page: &[u8]) -> usize {
    let live = heap_len(page).saturating_sub(dead_bytes(page));
    tables_len::<BRANCH>(page) + live + field_u16(page, PREFIX_LEN)
}

/// Bytes between the tables and the heap: what entries can still take without the page being built anew.
pub(crate) fn gap_len<const BRANCH: bool>(page: &[u8]) -> usize {
    heap_range(page).start.saturating_sub(HEADER_LEN + tables_len::<BRANCH>(page))
}

/// Where the heap lies in the page. Empty if the header is nonsense.
pub(crate) fn heap_range(page: &[u8]) -> Range<usize> {
    let end = page.len().saturating_sub(field_u16(page, PREFIX_LEN));
    end.saturating_sub(heap_len(page))..end
}

/// Whether some value of this leaf, or below this branch, may lie on overflow pages.
pub(crate) fn has_overflow(page: &[u8]) -> bool {
    get_u16(page, FLAGS) & HAS_OVERFLOW != 0
}

/// Says that some value of this leaf, or below this branch, may lie on overflow pages.
pub(crate) fn set_has_overflow(page: &mut [u8]) {
    let flags = get_u16(page, FLAGS);
    put_u16(page, FLAGS, flags | HAS_OVERFLOW);
}

// ---- changes, on a transaction's own copy ----

/// Makes `page` an empty node with `prefix`.
pub(super) fn init<const BRANCH: bool>(page: &mut [u8], level: u8, prefix: &[u8]) {
    page.fill(0);
    init_header::<BRANCH>(page, level, prefix);
}

pub(super) fn init_header<const BRANCH: bool>(page: &mut [u8], level: u8, prefix: &[u8]) {
    page[..HEADER_LEN].fill(0);
    page::init(page, Node::<BRANCH>::KIND, level);
    put_u16(page, PREFIX_LEN, prefix.len() as u16);
    let at = page.len() - prefix.len();
    page[at..].copy_from_slice(prefix);
}

/// Puts a key in at `index`: its suffix's head, slot and rest. `None`, and nothing changed, if the key does not
/// share the page's prefix or there is no room; else the place in the page for `tail_len` more bytes of
/// the entry. A branch's child right of the separator is for the caller to fill in.
pub(super) fn insert_key<const BRANCH: bool>(
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
    let lead = Node::<BRANCH>::LEAD;
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

/// Puts head and slot of an entry in at `index`, and takes `entry_len` bytes for it at the heap's beginning: answers
/// where that is now. `None`, and nothing changed, if there is no room.
#[inline]
pub(super) fn insert_cell<const BRANCH: bool>(
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
    if table_end + Node::<BRANCH>::CELL + entry_len > heap.start {
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

/// Puts another key in the place of that at `index`, if its rest is as long. `false`, and nothing changed, if it is
/// not, or the key does not share the page's prefix.
pub(super) fn replace_key<const BRANCH: bool>(page: &mut [u8], index: usize, key: &[u8]) -> Result<bool> {
    let view = Node::<BRANCH>::new(page)?;
    let Some(suffix) = key.strip_prefix(view.prefix) else { return Ok(false) };
    let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
    let old = view.slot(index)?;
    let at = old.offset + Node::<BRANCH>::LEAD;
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

/// Takes the keys of `range` out; `entry_lens` is the sum of their sizes in the heap. From a branch, the children
/// right of the separators go too.
pub(super) fn remove_keys<const BRANCH: bool>(page: &mut [u8], range: Range<usize>, entry_lens: usize) {
    let count = key_count(page);
    debug_assert!(range.start <= range.end && range.end <= count);
    close_cells::<BRANCH>(page, count, range.clone());
    put_u16(page, COUNT, (count - range.len()) as u16);
    let dead = (dead_bytes(page) + entry_lens).min(heap_len(page));
    if range.len() == count {
        // Nothing lives in the heap any more.
        put_u16(page, HEAP_LEN, 0);
        put_u16(page, DEAD, 0);
    } else {
        put_u16(page, DEAD, dead as u16);
    }
}

/// Takes `dead` bytes, which have been counted as dead, off the heap's beginning.
pub(super) fn shorten_heap(page: &mut [u8], dead: usize) {
    let heap = heap_range(page);
    put_u16(page, HEAP_LEN, (heap.len() - dead) as u16);
    put_u16(page, DEAD, (dead_bytes(page) - dead) as u16);
    page[heap.start..heap.start + dead].fill(0);
}

/// Writes a whole node into `page`: heads, slots and heap of `entries`, whose keys all begin with `prefix`.
/// In a branch the children are for the caller to fill in.
pub(super) fn build<const BRANCH: bool>(
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
        let entry_len = Node::<BRANCH>::LEAD + rest_len + entry.payload_len();
        start = start
            .checked_sub(entry_len)
            .filter(|start| *start >= table_end)
            .ok_or_else(|| overfull(page, capacity(page.len()) + entry_len))?;
        let place = &mut page[start..start + entry_len];
        let head = if entry.prefix.len() == prefix.len() && entry.lead == Node::<BRANCH>::LEAD {
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
    // What the page held before stays nowhere. (A branch's children are behind the heads; they are filled in yet.)
    page[table_end..start].fill(0);
    put_u16(page, COUNT, entries.len() as u16);
    put_u16(page, HEAP_LEN, (heap_end - start) as u16);
    Ok(())
}

/// Writes an entry's bytes in the heap of a page whose prefix is longer or shorter. Answers the head.
fn move_prefix<const BRANCH: bool>(entry: &Entry<'_>, prefix_len: usize, place: &mut [u8]) -> u32 {
    let key = entry.key();
    let suffix = &key[prefix_len..];
    let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
    let payload = entry.payload();
    let lead = Node::<BRANCH>::LEAD;
    if !BRANCH {
        put_u16(place, 0, payload.len() as u16);
    }
    place[lead..lead + rest.len()].copy_from_slice(rest);
    place[lead + rest.len()..].copy_from_slice(payload);
    head_of(suffix)
}
