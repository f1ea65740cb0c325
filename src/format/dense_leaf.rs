//! The dense leaf: entries of one length, without slots.
//!
//! ```text
//! header | heads: n x u32 | gap | cells, growing down: n x (rest of the key, value) | prefix
//! ```
//!
//! All suffixes have one length, all values another; both stand in the header, so where an entry lies is computed. Cell
//! `i` ends where cell `i - 1` begins, and cell 0 where the prefix begins: an entry behind all others moves none.
//! The header also has the last head: with the first, it says where between them a head is to be looked for.
//!
//! Which leaves are dense: those whose entries have one length, are short ([`MAX_ENTRY`]) and have their values in the
//! leaf. That is decided whenever a leaf is built ([`Shape::for_entries`]). An entry of another length is refused by a
//! dense leaf as one for which there is no room is, so that the leaf is built anew, with the slots that it needs then.
//! It is dense again at the earliest when it is built the next time, for lack of room: a table of mixed lengths goes
//! to and fro no more often than its leaves are built anyway.
//!
//! Invariants:
//! - I5: that heads, cells and prefix lie side by side within the page is proved by `Node::new`, as for any leaf.
//!   The last head in the header steers the search, which finds the right place whatever it says.
//! - `heap_len` is `n` times the cell's length, and no byte of it is dead.

use std::ops::Range;

use crate::base::bytes::{get_u16, get_u32, put_u16, put_u32};
use crate::base::{ChildRef, KeyBuf};
use crate::error::{Result, corrupt};
use crate::format::entry::Entry;
use crate::format::heads::{head_of, heads_below, padded_head};
use crate::format::leaf::{self, Candidate, LeafView, Payload};
use crate::format::node::{self, COUNT, FLAGS, HEAD_LEN, Position};
use crate::format::page::{self, HEADER_LEN, PageKind};
use crate::sys::prefetch;

const VALUE_LEN: usize = 22;
const SUFFIX_LEN: usize = 24;
const LAST_HEAD: usize = 28;

/// Flag: the leaf is dense.
const IS_DENSE: u16 = 2;

/// The longest entry, key and value together, for which a leaf is made dense. What a slot and a length take is little
/// of a longer one, and each entry put in moves those behind it.
const MAX_ENTRY: usize = 64;

/// How far from where it should be a head is looked for first. Of random keys two in three are within half the square
/// root of their number: 8 of 256.
const REACH: usize = 16;

/// What all entries of a dense leaf have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    suffix_len: u16,
    value_len: u16,
}

impl Shape {
    /// That of `page`, if it is a dense leaf.
    #[inline(always)]
    pub(crate) fn of(page: &[u8]) -> Option<Shape> {
        let is_dense = get_u16(page, FLAGS) & IS_DENSE != 0 && page[16] == PageKind::Leaf as u8;
        is_dense.then(|| Shape { suffix_len: get_u16(page, SUFFIX_LEN), value_len: get_u16(page, VALUE_LEN) })
    }

    /// That of a leaf of these entries with a prefix of `prefix_len`, if it is to be dense.
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

    /// Bytes of a key in its cell.
    #[inline(always)]
    pub(super) fn rest_len(self) -> usize {
        self.suffix_len().saturating_sub(HEAD_LEN)
    }

    /// Bytes that an entry takes beside its head.
    #[inline(always)]
    pub(super) fn cell_len(self) -> usize {
        self.rest_len() + self.value_len()
    }
}

/// Whether the entry may stand in a dense leaf, among such as are like it.
pub(crate) fn may_be_dense(entry: &Entry<'_>) -> bool {
    !entry.is_overflow && entry.key_len() + entry.payload_len() <= MAX_ENTRY
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

impl<'a> LeafView<'a> {
    /// The cell at `index` of a dense leaf.
    #[inline(always)]
    pub(super) fn cell(&self, shape: Shape, index: usize) -> Option<&'a [u8]> {
        let end = (self.page.len() - self.prefix.len()).checked_sub(index * shape.cell_len())?;
        self.page.get(end.checked_sub(shape.cell_len())?..end)
    }

    /// Adds all entries to `entries`, to be put into other leaves, if this is a dense leaf; `false` if not.
    pub(crate) fn append_dense_entries(&self, entries: &mut Vec<Entry<'a>>) -> Result<bool> {
        let Some(shape) = self.shape() else { return Ok(false) };
        leaf::check_lens(self.page, self.prefix.len() + shape.suffix_len(), shape.value_len())?;
        let mut cells = self.page.get(node::heap_range(self.page)).unwrap_or(&[]);
        for &head in self.heads {
            let (before, heap) = cells.split_at(cells.len().saturating_sub(shape.cell_len()));
            cells = before;
            entries.push(Entry {
                prefix: self.prefix,
                head: padded_head(head, shape.suffix_len()),
                suffix_len: shape.suffix_len(),
                heap,
                lead: 0,
                is_overflow: false,
                child: ChildRef(0),
            });
        }
        Ok(true)
    }

    /// Key and value at `index`, if this is a dense leaf with keys of 4 to 8 bytes: the key's bytes, as many as the
    /// length says, and behind them anything. `None` says nothing but that it is not so simple.
    #[inline(always)]
    pub(crate) fn word_entry(&self, index: usize) -> Option<([u8; 8], usize, &'a [u8])> {
        let shape = self.shape()?;
        let prefix_len = self.prefix.len();
        let key_len = prefix_len + shape.suffix_len();
        if shape.suffix_len() < HEAD_LEN || key_len > 8 {
            return None;
        }
        let head = u32::from_le_bytes(*self.heads.get(index)?).swap_bytes();
        let start = self.page.len() - prefix_len - (index + 1) * shape.cell_len();
        let rest = u32::from_le_bytes(*self.page.get(start..)?.first_chunk()?);
        let value_at = start + shape.rest_len();
        let value = self.page.get(value_at..value_at + shape.value_len())?;
        // Bytes that stand before others are the lower ones. What was loaded beyond the key goes over the top, or stays
        // behind its end.
        let end = u64::from_le_bytes(*self.page.last_chunk()?);
        let prefix = end >> 1 >> (63 - 8 * prefix_len);
        let suffix = u64::from(head) | u64::from(rest) << 32;
        Some(((prefix | suffix << (8 * prefix_len)).to_le_bytes(), key_len, value))
    }

    /// As [`LeafView::short_entry`], in a dense leaf, of which that one knows nothing.
    #[inline(always)]
    pub(crate) fn short_dense_entry(&self, index: usize) -> Option<(KeyBuf, &'a [u8])> {
        let shape = self.shape()?;
        let &[b0, b1, b2, b3] = self.heads.get(index)?;
        let (rest, value) = self.cell(shape, index)?.split_at_checked(shape.rest_len())?;
        let head_len = shape.suffix_len().min(HEAD_LEN);
        Some((KeyBuf::short(self.prefix, [b3, b2, b1, b0], head_len, rest)?, value))
    }
}

/// Finds `key` in a dense leaf, or where it belongs. Not inline, and given no view, so that the search in other pages
/// is as short as if there were no such leaves.
#[inline(never)]
pub(super) fn search(page: &[u8], key: &[u8]) -> Result<Position> {
    LeafView::new(page)?.search_heads(key, |_| ())
}

/// The entry that may be that of `key`, in a dense leaf.
#[inline(never)]
pub(super) fn candidate<'a>(page: &'a [u8], key: &[u8]) -> Result<Option<Candidate<'a>>> {
    LeafView::new(page)?.candidate_by_heads(key)
}

/// How many of the heads are below `head`. Two binary searches at most, wherever that is.
#[inline(always)]
pub(super) fn heads_below_in(page: &[u8], heads: &[[u8; HEAD_LEN]], shape: Shape, head: u32) -> usize {
    let near = ask_for(page, heads, shape, head);
    let (low, high) = (near.start, near.end);
    let below = heads_below(&heads[near], head);
    if below == 0 {
        heads_below(&heads[..low], head)
    } else if below == high - low {
        high + heads_below(&heads[high..], head)
    } else {
        low + below
    }
}

/// Where `head` should be if the heads between the first and the last are spread evenly: a few indexes, of which heads
/// and cells are asked for at once, so that their memory is waited for together.
#[inline(always)]
pub(super) fn ask_for(page: &[u8], heads: &[[u8; HEAD_LEN]], shape: Shape, head: u32) -> Range<usize> {
    let count = heads.len();
    let first = heads.first().map_or(0, |&first| u32::from_le_bytes(first));
    let span = u64::from(get_u32(page, LAST_HEAD).saturating_sub(first));
    let above = u64::from(head.saturating_sub(first)).min(span);
    let guess = (above * count as u64 / (span + 1)) as usize;
    let near = guess.saturating_sub(REACH)..(guess + REACH).min(count);
    prefetch(page, HEADER_LEN + HEAD_LEN * near.start);
    prefetch(page, HEADER_LEN + HEAD_LEN * near.end);
    let cell = page.len().saturating_sub((guess + 1) * shape.cell_len());
    for line in [64, 0, -64] {
        prefetch(page, cell.saturating_add_signed(line));
    }
    near
}

// ---- changes, on a transaction's own copy ----

/// Writes a whole leaf into `page`, if it is to be dense. `false`, and nothing changed, if not.
pub(super) fn build(page: &mut [u8], prefix: &[u8], entries: &[Entry<'_>]) -> Result<bool> {
    let Some(shape) = Shape::for_entries(entries, prefix.len()) else { return Ok(false) };
    let cells_end = page.len() - prefix.len();
    let cell_len = shape.cell_len();
    let table_end = HEADER_LEN + HEAD_LEN * entries.len();
    let Some(cells_start) =
        cells_end.checked_sub(cell_len * entries.len()).filter(|start| *start >= table_end)
    else {
        return Err(node::overfull(page, table_end + cell_len * entries.len() + prefix.len() - HEADER_LEN));
    };
    node::init_header::<false>(page, 0, prefix);
    fill(page, shape, prefix.len(), 0, entries);
    page[table_end..cells_start].fill(0); // what the page held before stays nowhere
    put_u16(page, COUNT, entries.len() as u16);
    put_u16(page, VALUE_LEN, shape.value_len);
    put_u16(page, SUFFIX_LEN, shape.suffix_len);
    put_u16(page, FLAGS, IS_DENSE);
    note_last_head(page);
    Ok(true)
}

/// Makes room for `added` entries at `index`; the heads and cells there are for the caller to fill in. `false`, and
/// nothing changed, if there is none.
fn open(page: &mut [u8], shape: Shape, index: usize, added: usize) -> bool {
    let (count, cell_len) = (node::key_count(page), shape.cell_len());
    if added * (HEAD_LEN + cell_len) > node::gap_len::<false>(page) {
        return false;
    }
    let head = HEADER_LEN + HEAD_LEN * index;
    page.copy_within(head..HEADER_LEN + HEAD_LEN * count, head + HEAD_LEN * added);
    let cells = node::heap_range(page);
    page.copy_within(cells.start..cells.end - index * cell_len, cells.start - added * cell_len);
    put_u16(page, COUNT, (count + added) as u16);
    true
}

/// Puts an entry in at `index`. `false`, and nothing changed, if the key does not share the page's prefix, key or value
/// have another length than the others, or there is no room.
pub(super) fn insert(
    page: &mut [u8],
    shape: Shape,
    index: usize,
    key: &[u8],
    payload: Payload<'_>,
) -> Result<bool> {
    let view = LeafView::new(page)?;
    debug_assert!(index <= view.count());
    let Some(suffix) = key.strip_prefix(view.prefix) else { return Ok(false) };
    let is_alike =
        !payload.is_overflow() && suffix.len() == shape.suffix_len() && payload.len() == shape.value_len();
    if !is_alike || !open(page, shape, index, 1) {
        return Ok(false);
    }
    put_u32(page, HEADER_LEN + HEAD_LEN * index, head_of(suffix));
    let cells_end = node::heap_range(page).end;
    let end = cells_end - index * shape.cell_len();
    let (rest, value) = page[end - shape.cell_len()..end].split_at_mut(shape.rest_len());
    rest.copy_from_slice(suffix.get(HEAD_LEN..).unwrap_or(&[]));
    payload.write(value);
    note_last_head(page);
    Ok(true)
}

/// Puts entries of another leaf, side by side, in at `index`. `false`, and nothing changed, as with [`insert`].
pub(super) fn insert_entries(
    page: &mut [u8],
    shape: Shape,
    index: usize,
    entries: &[Entry<'_>],
) -> Result<bool> {
    let view = LeafView::new(page)?;
    let prefix_len = view.prefix.len();
    let is_alike = |entry: &Entry<'_>| {
        let lens = (entry.key_len(), entry.payload_len());
        !entry.is_overflow
            && lens == (prefix_len + shape.suffix_len(), shape.value_len())
            && entry.has_prefix(view.prefix)
    };
    if !entries.iter().all(is_alike) || !open(page, shape, index, entries.len()) {
        return Ok(false);
    }
    fill(page, shape, prefix_len, index, entries);
    note_last_head(page);
    Ok(true)
}

/// Writes the heads and cells of entries from `index` on.
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

/// Takes the entries of `range` out.
pub(super) fn remove(page: &mut [u8], shape: Shape, range: Range<usize>) {
    let (count, cell_len) = (node::key_count(page), shape.cell_len());
    debug_assert!(range.start <= range.end && range.end <= count);
    let head = |index: usize| HEADER_LEN + HEAD_LEN * index;
    page.copy_within(head(range.end)..head(count), head(range.start));
    let cells = node::heap_range(page);
    page.copy_within(cells.start..cells.end - range.end * cell_len, cells.start + range.len() * cell_len);
    put_u16(page, COUNT, (count - range.len()) as u16);
    note_last_head(page);
}

/// Lets the header have the last head.
fn note_last_head(page: &mut [u8]) {
    let last = node::key_count(page).checked_sub(1);
    let head = last.map_or(0, |last| get_u32(page, HEADER_LEN + HEAD_LEN * last));
    put_u32(page, LAST_HEAD, head);
}

/// Checks what a change of the leaf relies on and [`Node::new`] has not proved.
///
/// [`Node::new`]: node::Node::new
pub(super) fn check_before_change(view: &LeafView<'_>, shape: Shape) -> Result<()> {
    leaf::check_lens(view.page, view.prefix.len() + shape.suffix_len(), shape.value_len())?;
    check_last_head(view.page, view.heads)
}

/// Checks that the header of a dense leaf has the last head.
pub(super) fn check_last_head(page: &[u8], heads: &[[u8; HEAD_LEN]]) -> Result<()> {
    let found = get_u32(page, LAST_HEAD);
    match heads.last().map(|&bytes| u32::from_le_bytes(bytes)) {
        Some(last) if last != found => {
            let number = Some(page::number(page).0);
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

#[cfg(test)]
#[path = "dense_leaf_tests.rs"]
mod tests;
