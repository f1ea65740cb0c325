//! Values of a leaf: as they are read, as they are inserted, and how long an entry may be.
//!
//! A value lies in the leaf itself (*inline*) or on overflow pages. In the second case the leaf has a *descriptor* of
//! 12 bytes: the first page of the extent (u32) and the length of the value (u64).
//!
//! Invariant: an entry takes at most half a leaf ([`max_entry_len`]), so a leaf has room for any two.

use crate::base::ChildRef;
use crate::base::bytes::{are_equal, get_u32, get_u64, put_u16, put_u32, put_u64};
use crate::error::{Result, corrupt};
use crate::format::node::{self, HEAD_LEN, LEAF_LEAD, Slot, bad_offset};
use crate::format::page::{self, field_u16};

/// Length of the descriptor of a value on overflow pages.
pub(crate) const DESCRIPTOR_LEN: usize = 12;

/// A value as the leaf stores it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeafValue<'a> {
    Inline(&'a [u8]),
    Overflow { first: ChildRef, length: u64 },
}

impl<'a> LeafValue<'a> {
    /// Decodes the bytes that the leaf in `page` has for a value.
    #[inline(always)]
    pub(super) fn decode(page: &[u8], payload: &'a [u8], is_overflow: bool) -> Result<LeafValue<'a>> {
        if is_overflow { descriptor(page, payload) } else { Ok(LeafValue::Inline(payload)) }
    }
}

/// Decodes the descriptor of a value on overflow pages.
#[cold]
fn descriptor<'a>(page: &[u8], payload: &[u8]) -> Result<LeafValue<'a>> {
    if payload.len() != DESCRIPTOR_LEN {
        let number = Some(page::number(page).0);
        return Err(corrupt(number, "length of an overflow descriptor", DESCRIPTOR_LEN, payload.len()));
    }
    Ok(LeafValue::Overflow { first: ChildRef(get_u32(payload, 0)), length: get_u64(payload, 4) })
}

/// A value to be inserted into a leaf.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    Inline(&'a [u8]),
    Zeroed(usize),
    Overflow {
        first: ChildRef,
        length: u64,
    },
    /// The descriptor of a value on overflow pages, copied from another leaf.
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

    /// Its length (u16) and its bytes, as a leaf with slots stores them.
    pub(crate) fn to_entry(self) -> Vec<u8> {
        let mut entry = vec![0; LEAF_LEAD + self.len()];
        put_u16(&mut entry, 0, self.len() as u16);
        self.write(&mut entry[LEAF_LEAD..]);
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

/// Where an entry's key and inline value lie in the page; nothing of it has been checked.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    /// Where the bytes of the key after its head begin.
    pub(super) rest_at: usize,
    pub(super) suffix_len: usize,
    /// The value comes after the rest of the key.
    pub(super) value_len: usize,
}

/// The only entry of a leaf that may have a certain key: its head matches, its rest has not been read yet.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(super) page: &'a [u8],
    pub(super) prefix_len: usize,
    pub(super) slot: [u8; 4],
    /// The length of the value, if the header has it for all entries; otherwise the entry begins with it.
    pub(super) value_len: Option<u16>,
}

impl<'a> Candidate<'a> {
    /// Returns the value if the entry has `key`, which is the key that was searched for.
    #[inline(always)]
    pub(crate) fn value(self, key: &[u8]) -> Result<Option<LeafValue<'a>>> {
        let slot = Slot::decode(self.slot);
        if self.prefix_len + slot.suffix_len != key.len() {
            return Ok(None);
        }
        let (_, prefix) = self.page.split_at(self.page.len() - self.prefix_len);
        let rest = key.get(self.prefix_len + HEAD_LEN..).unwrap_or(&[]);
        let lead = if self.value_len.is_some() { 0 } else { LEAF_LEAD };
        let place = slot.offset + lead;
        let Some((found, payload)) =
            self.page.get(place..).and_then(|entry| entry.split_at_checked(rest.len()))
        else {
            return Err(bad_offset(self.page, slot));
        };
        if !are_equal(found, rest) || !key.get(..prefix.len()).is_some_and(|key| are_equal(key, prefix)) {
            return Ok(None);
        }
        let value_len = match self.value_len {
            Some(value_len) => usize::from(value_len),
            None => field_u16(self.page, slot.offset),
        };
        match payload.get(..value_len) {
            Some(payload) => LeafValue::decode(self.page, payload, slot.is_overflow).map(Some),
            None => Err(bad_offset(self.page, slot)),
        }
    }
}

/// Bytes that an entry takes in a leaf with slots, at most: as if the page's keys had no common prefix.
pub(crate) fn entry_len(key_len: usize, payload_len: usize) -> usize {
    node::cell_len::<false>() + LEAF_LEAD + key_len.saturating_sub(HEAD_LEN) + payload_len
}

/// The most bytes that an entry may take.
pub(crate) fn max_entry_len(page_size: usize) -> usize {
    node::capacity(page_size) / 2
}

/// Whether a value lies in the leaf itself.
pub(crate) fn is_inline(page_size: usize, key_len: usize, value_len: usize) -> bool {
    // An upper bound on its own first, so that the sum cannot overflow.
    value_len <= page_size && entry_len(key_len, value_len) <= max_entry_len(page_size)
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
