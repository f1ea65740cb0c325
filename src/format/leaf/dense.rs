//! The dense leaf: entries of the same length, without slots.
//!
//! ```text
//! header | heads: n x u32 | gap | cells, growing down: n x (rest of the key, value) | prefix
//! ```
//!
//! All suffixes have one length and all values one; both lengths are in the header, so the place of an entry is
//! computed. Cell `i` ends where cell `i - 1` begins, and cell 0 where the prefix begins: an appended entry moves no
//! other. The header also has the last head: a search guesses the place of a head between the first and the last.
//!
//! A leaf becomes dense when it is built and its entries have the same lengths, are short ([`MAX_ENTRY_LEN`]), and
//! have their values in the leaf ([`Shape::for_entries`]). A dense leaf refuses an entry of another length as if it
//! had no room, so the leaf is rebuilt with slots. It becomes dense again at the earliest at its next rebuild, for
//! lack of room: in a table of mixed lengths, leaves change their layout no more often than they are rebuilt anyway.
//!
//! Invariants:
//! - I5: [`DenseLeaf::new`] checks that heads, cells and prefix lie side by side within the page. The last head in
//!   the header only steers the search, which finds the right place whatever its value is.
//! - `heap_len` is `n` times the cell's length, and no byte of it is dead.

use std::cmp::Ordering;
use std::ops::Range;

use super::value::{Candidate, Cell, LeafValue, Payload, check_lens};
use crate::base::bytes::{are_equal, get_u16, get_u32, put_u16, put_u32};
use crate::base::{ChildRef, KeyBuf};
use crate::error::{Result, corrupt};
use crate::format::node::{
    self, COUNT, Entry, FLAGS, HEAD_LEN, PREFIX_LEN, Position, Slot, bad_offset, bytes_of_head, head_of,
    heads_below, no_such_key, overfull, padded_head, position_beside_all, search_equal,
};
use crate::format::page::{self, HEADER_LEN, PageKind, field_u16};
use crate::sys::{LINE_BYTES, prefetch};

const VALUE_LEN: usize = 22;
const SUFFIX_LEN: usize = 24;
const LAST_HEAD: usize = 28;

/// Flag: the leaf is dense.
const IS_DENSE: u16 = 2;

/// The longest entry, key and value together, of a dense leaf. For a longer one, a slot and a length are a small
/// part, and each inserted entry moves those after it.
const MAX_ENTRY_LEN: usize = 64;

/// A head is first searched for within this distance of its guessed place. Two in three random keys are within half
/// the square root of their number: 8 of 256.
const REACH: usize = 16;

/// The lengths that all entries of a dense leaf have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    suffix_len: u16,
    value_len: u16,
}

impl Shape {
    /// The shape of `page`, if it is a dense leaf. Only the rest of `format/leaf/` asks.
    #[inline(always)]
    pub(super) fn of(page: &[u8]) -> Option<Shape> {
        let is_dense = get_u16(page, FLAGS) & IS_DENSE != 0 && page[16] == PageKind::Leaf as u8;
        is_dense.then(|| Shape::decode(page))
    }

    #[inline(always)]
    fn decode(page: &[u8]) -> Shape {
        Shape { suffix_len: get_u16(page, SUFFIX_LEN), value_len: get_u16(page, VALUE_LEN) }
    }

    /// The shape of a leaf of these entries with a prefix of `prefix_len` bytes, if it should be dense.
    fn for_entries(entries: &[Entry<'_>], prefix_len: usize) -> Option<Shape> {
        let first = entries.first().filter(|first| may_be_dense(first))?;
        let (key_len, value_len) = (first.key_len(), first.payload_len());
        entries
            .iter()
            .all(|entry| is_alike(first, entry))
            .then(|| Shape { suffix_len: (key_len - prefix_len) as u16, value_len: value_len as u16 })
    }

    #[inline(always)]
    pub(super) fn suffix_len(self) -> usize {
        usize::from(self.suffix_len)
    }

    #[inline(always)]
    pub(super) fn value_len(self) -> usize {
        usize::from(self.value_len)
    }

    /// Whether a leaf of this shape, with a prefix of `prefix_len` bytes, may have this entry.
    pub(super) fn fits(self, entry: &Entry<'_>, prefix_len: usize) -> bool {
        !entry.is_overflow
            && entry.payload_len() == self.value_len()
            && entry.key_len() == prefix_len + self.suffix_len()
    }

    /// Bytes of a key in its cell.
    #[inline(always)]
    pub(super) fn rest_len(self) -> usize {
        self.suffix_len().saturating_sub(HEAD_LEN)
    }

    /// Bytes that an entry takes besides its head.
    #[inline(always)]
    pub(super) fn cell_len(self) -> usize {
        self.rest_len() + self.value_len()
    }
}

/// Whether a dense leaf may have this entry, among others of the same lengths.
pub(crate) fn may_be_dense(entry: &Entry<'_>) -> bool {
    !entry.is_overflow && entry.key_len() + entry.payload_len() <= MAX_ENTRY_LEN
}

/// Whether two entries that may be in a dense leaf may be in the same one.
pub(crate) fn is_alike(one: &Entry<'_>, other: &Entry<'_>) -> bool {
    !other.is_overflow && one.key_len() == other.key_len() && one.payload_len() == other.payload_len()
}

/// Bytes that an entry takes in a dense leaf whose prefix has `prefix_len` bytes.
pub(crate) fn entry_len(key_len: usize, payload_len: usize, prefix_len: usize) -> usize {
    HEAD_LEN + key_len.saturating_sub(prefix_len + HEAD_LEN) + payload_len
}

// ---- reading ----

/// A dense leaf, to be read.
#[derive(Clone, Copy)]
pub(super) struct DenseLeaf<'a> {
    pub(super) page: &'a [u8],
    pub(super) prefix: &'a [u8],
    pub(super) heads: &'a [[u8; HEAD_LEN]],
    pub(super) shape: Shape,
}

impl<'a> DenseLeaf<'a> {
    /// Views a page whose header has the flag of a dense leaf.
    #[inline(always)]
    pub(super) fn new(page: &'a [u8]) -> Result<DenseLeaf<'a>> {
        let Some((header, body)) = page.split_first_chunk::<HEADER_LEN>() else {
            return Err(overfull(page, 0));
        };
        let shape = Shape::decode(header);
        let (count, prefix_len) = (field_u16(header, COUNT), field_u16(header, PREFIX_LEN));
        let (table_len, cells_len) = (HEAD_LEN * count, shape.cell_len() * count);
        if table_len + cells_len + prefix_len > body.len() {
            return Err(overfull(page, table_len + cells_len + prefix_len));
        }
        let (heads, _) = body[..table_len].as_chunks::<HEAD_LEN>();
        Ok(DenseLeaf { page, prefix: &page[page.len() - prefix_len..], heads, shape })
    }

    /// Where the cell at `index` begins, if the leaf has that many.
    #[inline(always)]
    fn cell_start(&self, index: usize) -> Result<usize> {
        if index >= self.heads.len() {
            return Err(no_such_key(self.page, self.heads.len(), index));
        }
        Ok(self.page.len() - self.prefix.len() - (index + 1) * self.shape.cell_len())
    }

    /// The slot that the entry at `index` would have.
    #[inline(always)]
    fn computed_slot(&self, index: usize) -> Result<Slot> {
        let offset = self.cell_start(index)?;
        Ok(Slot { offset, suffix_len: self.shape.suffix_len(), is_overflow: false })
    }

    /// The bytes of the suffix at `index` after its head.
    #[inline(always)]
    fn rest(&self, index: usize) -> Result<&'a [u8]> {
        let slot = self.computed_slot(index)?;
        let rest = self.page.get(slot.offset..slot.offset + self.shape.rest_len());
        rest.ok_or_else(|| bad_offset(self.page, slot))
    }

    /// The whole key at `index`.
    #[inline(always)]
    pub(super) fn key(&self, index: usize) -> Result<KeyBuf> {
        let rest = self.rest(index)?;
        let head_len = self.shape.suffix_len().min(HEAD_LEN);
        Ok(KeyBuf::from_pieces(self.prefix, bytes_of_head(self.heads[index]), head_len, rest))
    }

    /// The value at `index`.
    #[inline(always)]
    pub(super) fn value(&self, index: usize) -> Result<&'a [u8]> {
        let slot = self.computed_slot(index)?;
        let start = slot.offset + self.shape.rest_len();
        self.page.get(start..start + self.shape.value_len()).ok_or_else(|| bad_offset(self.page, slot))
    }

    /// Key and value at `index`.
    #[inline(always)]
    pub(super) fn entry(&self, index: usize) -> Result<(KeyBuf, LeafValue<'a>)> {
        Ok((self.key(index)?, LeafValue::Inline(self.value(index)?)))
    }

    /// The entry at `index`, to be inserted into another leaf.
    #[inline]
    pub(super) fn leaf_entry(&self, index: usize) -> Result<Entry<'a>> {
        let slot = self.computed_slot(index)?;
        let heap = self.page.get(slot.offset..slot.offset + self.shape.cell_len());
        Ok(self.entry_with(self.heads[index], heap.ok_or_else(|| bad_offset(self.page, slot))?))
    }

    #[inline(always)]
    fn entry_with(&self, head: [u8; HEAD_LEN], heap: &'a [u8]) -> Entry<'a> {
        Entry {
            prefix: self.prefix,
            head: padded_head(head, self.shape.suffix_len()),
            suffix_len: self.shape.suffix_len(),
            heap,
            lead: 0,
            is_overflow: false,
            child: ChildRef(0),
        }
    }

    /// Where the entry at `index` lies in the page.
    #[inline]
    pub(super) fn entry_range(&self, index: usize) -> Result<Range<usize>> {
        let start = self.cell_start(index)?;
        Ok(start..start + self.shape.cell_len())
    }

    /// Whether the head at `index` is padded with zeros after the end of its suffix.
    pub(super) fn is_padded(&self, index: usize) -> Result<bool> {
        self.cell_start(index)?;
        Ok(bytes_of_head(self.heads[index]).iter().skip(self.shape.suffix_len()).all(|&byte| byte == 0))
    }

    /// Adds all entries to `entries`, to be inserted into other leaves.
    pub(super) fn append_entries_to(&self, entries: &mut Vec<Entry<'a>>) -> Result<()> {
        check_lens(self.page, self.prefix.len() + self.shape.suffix_len(), self.shape.value_len())?;
        let mut cells = self.page.get(cells_range(self.page, self.shape)).unwrap_or(&[]);
        for &head in self.heads {
            let (before, heap) = cells.split_at(cells.len().saturating_sub(self.shape.cell_len()));
            cells = before;
            entries.push(self.entry_with(head, heap));
        }
        Ok(())
    }

    /// Where the entry at `index` lies, if there is one.
    #[inline(always)]
    pub(super) fn cell(&self, index: usize) -> Option<Cell> {
        let shape = self.shape;
        let rest_at = self.cell_start(index).ok()?;
        Some(Cell { rest_at, suffix_len: shape.suffix_len(), value_len: shape.value_len() })
    }

    /// The part of `key` after the page's prefix, if it begins with that.
    #[inline(always)]
    pub(super) fn suffix_of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let (prefix, suffix) = key.split_at_checked(self.prefix.len())?;
        are_equal(prefix, self.prefix).then_some(suffix)
    }

    /// Compares `suffix` to the key at `index`, which has the same head.
    #[inline]
    pub(super) fn compare(&self, suffix: &[u8], index: usize) -> Result<Ordering> {
        let rest = suffix.get(HEAD_LEN..).unwrap_or(&[]);
        Ok(rest.cmp(self.rest(index)?).then(suffix.len().cmp(&self.shape.suffix_len())))
    }

    /// Continues a search among the keys from `first` on that have the same head.
    #[inline(never)]
    fn search_equal_heads(self, suffix: &[u8], head: u32, first: usize) -> Result<Position> {
        let entry_at = |index| self.cell_start(index);
        search_equal(self.page, self.heads, first, head, entry_at, |index| self.compare(suffix, index))
    }

    /// How many heads are below `head`. Takes two binary searches at most.
    #[inline(always)]
    fn lower_bound(&self, head: u32) -> usize {
        let near = self.prefetch_guess(head);
        let (low, high) = (near.start, near.end);
        let below = heads_below(&self.heads[near], head);
        if below == 0 {
            heads_below(&self.heads[..low], head)
        } else if below == high - low {
            high + heads_below(&self.heads[high..], head)
        } else {
            low + below
        }
    }

    /// Returns the few indexes near which `head` is, if the heads between the first and the last are spread evenly.
    /// Their heads and cells are prefetched together, so that a search waits only once.
    #[inline(always)]
    fn prefetch_guess(&self, head: u32) -> Range<usize> {
        let count = self.heads.len();
        let first = self.heads.first().map_or(0, |&first| u32::from_le_bytes(first));
        let span = u64::from(get_u32(self.page, LAST_HEAD).saturating_sub(first));
        let above = u64::from(head.saturating_sub(first)).min(span);
        let guess = (above * count as u64 / (span + 1)) as usize;
        let near = guess.saturating_sub(REACH)..(guess + REACH).min(count);
        prefetch(self.page, HEADER_LEN + HEAD_LEN * near.start);
        prefetch(self.page, HEADER_LEN + HEAD_LEN * near.end);
        let cell = self.page.len().saturating_sub((guess + 1) * self.shape.cell_len());
        for line in [64, 0, -64] {
            prefetch(self.page, cell.saturating_add_signed(line));
        }
        near
    }

    #[inline(always)]
    fn prefetch_entry_at(&self, offset: usize) {
        prefetch(self.page, offset);
        prefetch(self.page, offset + LINE_BYTES);
        prefetch(self.page, offset + 2 * LINE_BYTES);
    }

    /// Checks that the header has the last head.
    pub(super) fn check_last_head(&self) -> Result<()> {
        let found = get_u32(self.page, LAST_HEAD);
        match self.heads.last().map(|&bytes| u32::from_le_bytes(bytes)) {
            Some(last) if last != found => {
                let number = Some(page::number(self.page).0);
                Err(corrupt(
                    number,
                    "last head in the header",
                    format_args!("{last:#x}"),
                    format_args!("{found:#x}"),
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Finds `key` in a dense leaf, or where it belongs. Not inline, and takes no view, so that the search in other pages
/// is as short as if dense leaves did not exist.
#[inline(never)]
pub(super) fn search(page: &[u8], key: &[u8]) -> Result<Position> {
    let leaf = DenseLeaf::new(page)?;
    let Some(suffix) = leaf.suffix_of(key) else {
        return Ok(position_beside_all(leaf.prefix, leaf.heads.len(), key));
    };
    let head = head_of(suffix);
    let index = leaf.lower_bound(head);
    if leaf.heads.get(index) != Some(&head.to_le_bytes()) {
        return Ok(Position { index, found: false });
    }
    if leaf.heads.get(index + 1) == Some(&head.to_le_bytes()) {
        return leaf.search_equal_heads(suffix, head, index);
    }
    leaf.prefetch_entry_at(leaf.cell_start(index)?);
    let order = leaf.compare(suffix, index)?;
    Ok(Position { index: index + usize::from(order == Ordering::Greater), found: order == Ordering::Equal })
}

/// The entry of a dense leaf that may have `key`, if there is one; its memory is prefetched. Not inline, as
/// [`search`].
#[inline(never)]
pub(super) fn candidate<'a>(page: &'a [u8], key: &[u8]) -> Result<Option<Candidate<'a>>> {
    let leaf = DenseLeaf::new(page)?;
    let Some(suffix) = key.get(leaf.prefix.len()..) else { return Ok(None) };
    let head = head_of(suffix);
    let mut index = leaf.lower_bound(head);
    if leaf.heads.get(index) != Some(&head.to_le_bytes()) {
        return Ok(None);
    }
    if leaf.heads.get(index + 1) == Some(&head.to_le_bytes()) {
        let place = leaf.search_equal_heads(suffix, head, index)?;
        if !place.found {
            return Ok(None);
        }
        index = place.index;
    }
    let slot = leaf.computed_slot(index)?;
    leaf.prefetch_entry_at(slot.offset);
    prefetch(page, page.len() - 1);
    let value_len = Some(leaf.shape.value_len);
    Ok(Some(Candidate { page, prefix_len: leaf.prefix.len(), slot: slot.encode(), value_len }))
}

/// Where the value at `index` lies in the page.
pub(super) fn value_range(page: &[u8], index: usize) -> Result<Range<usize>> {
    let leaf = DenseLeaf::new(page)?;
    let cell = leaf.entry_range(index)?;
    Ok(cell.start + leaf.shape.rest_len()..cell.end)
}

// ---- sizes that the header implies ----

/// Where the cells lie in the page. Empty if the header is damaged.
pub(super) fn cells_range(page: &[u8], shape: Shape) -> Range<usize> {
    let end = page.len().saturating_sub(field_u16(page, PREFIX_LEN));
    end.saturating_sub(shape.cell_len() * node::key_count(page))..end
}

/// Bytes of the page, header not counted, that entries and the prefix take.
pub(super) fn used_bytes(page: &[u8], shape: Shape) -> usize {
    (HEAD_LEN + shape.cell_len()) * node::key_count(page) + field_u16(page, PREFIX_LEN)
}

/// Bytes between heads and cells.
pub(super) fn gap_len(page: &[u8], shape: Shape) -> usize {
    cells_range(page, shape).start.saturating_sub(HEADER_LEN + HEAD_LEN * node::key_count(page))
}

// ---- changes, on a transaction's own copy ----

/// Writes a whole leaf into `page`, if it should be dense. Returns `false` and changes nothing if not.
pub(super) fn build(page: &mut [u8], prefix: &[u8], entries: &[Entry<'_>]) -> Result<bool> {
    let Some(shape) = Shape::for_entries(entries, prefix.len()) else { return Ok(false) };
    let cells_end = page.len() - prefix.len();
    let cell_len = shape.cell_len();
    let table_end = HEADER_LEN + HEAD_LEN * entries.len();
    let Some(cells_start) =
        cells_end.checked_sub(cell_len * entries.len()).filter(|start| *start >= table_end)
    else {
        return Err(overfull(page, table_end + cell_len * entries.len() + prefix.len() - HEADER_LEN));
    };
    node::init_header::<false>(page, 0, prefix);
    fill(page, shape, prefix.len(), 0, entries);
    page[table_end..cells_start].fill(0); // nothing of the former content remains
    put_u16(page, COUNT, entries.len() as u16);
    put_u16(page, VALUE_LEN, shape.value_len);
    put_u16(page, SUFFIX_LEN, shape.suffix_len);
    put_u16(page, FLAGS, IS_DENSE);
    note_last_head(page);
    Ok(true)
}

/// Makes room for `added` entries at `index`; the caller fills in their heads and cells. Returns `false` and changes
/// nothing if there is no room.
fn open(page: &mut [u8], shape: Shape, index: usize, added: usize) -> bool {
    let (count, cell_len) = (node::key_count(page), shape.cell_len());
    if added * (HEAD_LEN + cell_len) > gap_len(page, shape) {
        return false;
    }
    let head = HEADER_LEN + HEAD_LEN * index;
    page.copy_within(head..HEADER_LEN + HEAD_LEN * count, head + HEAD_LEN * added);
    let cells = cells_range(page, shape);
    page.copy_within(cells.start..cells.end - index * cell_len, cells.start - added * cell_len);
    put_u16(page, COUNT, (count + added) as u16);
    true
}

/// Inserts an entry at `index`. Returns `false` and changes nothing if the key does not share the page's prefix, key
/// or value have another length than the others, or there is no room.
pub(super) fn insert(
    page: &mut [u8],
    shape: Shape,
    index: usize,
    key: &[u8],
    payload: Payload<'_>,
) -> Result<bool> {
    let view = DenseLeaf::new(page)?;
    debug_assert!(index <= view.heads.len());
    let Some(suffix) = key.strip_prefix(view.prefix) else { return Ok(false) };
    let is_alike =
        !payload.is_overflow() && suffix.len() == shape.suffix_len() && payload.len() == shape.value_len();
    if !is_alike || !open(page, shape, index, 1) {
        return Ok(false);
    }
    put_u32(page, HEADER_LEN + HEAD_LEN * index, head_of(suffix));
    let cells_end = cells_range(page, shape).end;
    let end = cells_end - index * shape.cell_len();
    let (rest, value) = page[end - shape.cell_len()..end].split_at_mut(shape.rest_len());
    rest.copy_from_slice(suffix.get(HEAD_LEN..).unwrap_or(&[]));
    payload.write(value);
    note_last_head(page);
    Ok(true)
}

/// Inserts adjacent entries of another leaf at `index`. Returns `false` and changes nothing in the same cases as
/// [`insert`].
pub(super) fn insert_entries(
    page: &mut [u8],
    shape: Shape,
    index: usize,
    entries: &[Entry<'_>],
) -> Result<bool> {
    let view = DenseLeaf::new(page)?;
    let prefix_len = view.prefix.len();
    let is_alike = |entry: &Entry<'_>| shape.fits(entry, prefix_len) && entry.has_prefix(view.prefix);
    if !entries.iter().all(is_alike) || !open(page, shape, index, entries.len()) {
        return Ok(false);
    }
    fill(page, shape, prefix_len, index, entries);
    note_last_head(page);
    Ok(true)
}

/// Writes heads and cells of `entries`, from `index` on.
fn fill(page: &mut [u8], shape: Shape, prefix_len: usize, index: usize, entries: &[Entry<'_>]) {
    let cell_len = shape.cell_len();
    let mut end = page.len() - prefix_len - index * cell_len;
    for (offset, entry) in entries.iter().enumerate() {
        let place = &mut page[end - cell_len..end];
        let head = if entry.prefix.len() == prefix_len {
            place.copy_from_slice(&entry.heap[entry.lead..]);
            entry.head
        } else {
            let key = entry.key();
            let suffix = &key[prefix_len..];
            let (rest, value) = place.split_at_mut(shape.rest_len());
            rest.copy_from_slice(suffix.get(HEAD_LEN..).unwrap_or(&[]));
            value.copy_from_slice(entry.payload());
            head_of(suffix)
        };
        put_u32(page, HEADER_LEN + HEAD_LEN * (index + offset), head);
        end -= cell_len;
    }
}

/// Removes the entries of `range`.
pub(super) fn remove(page: &mut [u8], shape: Shape, range: Range<usize>) {
    let (count, cell_len) = (node::key_count(page), shape.cell_len());
    debug_assert!(range.start <= range.end && range.end <= count);
    let head = |index: usize| HEADER_LEN + HEAD_LEN * index;
    page.copy_within(head(range.end)..head(count), head(range.start));
    let cells = cells_range(page, shape);
    page.copy_within(cells.start..cells.end - range.end * cell_len, cells.start + range.len() * cell_len);
    put_u16(page, COUNT, (count - range.len()) as u16);
    note_last_head(page);
}

/// Updates the header's copy of the last head.
fn note_last_head(page: &mut [u8]) {
    let last = node::key_count(page).checked_sub(1);
    let head = last.map_or(0, |last| get_u32(page, HEADER_LEN + HEAD_LEN * last));
    put_u32(page, LAST_HEAD, head);
}

/// Checks what a change of the leaf relies on and [`DenseLeaf::new`] has not checked.
pub(super) fn check_before_change(page: &[u8]) -> Result<()> {
    let leaf = DenseLeaf::new(page)?;
    check_lens(page, leaf.prefix.len() + leaf.shape.suffix_len(), leaf.shape.value_len())?;
    leaf.check_last_head()
}

#[cfg(test)]
mod tests;
