//! A run of a bulk load: entries in memory, in the order in which they came, and then in the order of their keys.
//!
//! Keys are sorted by words of 8 bytes. A word whose order is that of the bytes, with the number of key bytes that
//! are left there, makes most keys differ. Those that are still equal are sorted again by the word in which the first
//! difference lies. So sorting compares integers, and reads the keys themselves only where they begin alike, however
//! much that is.
//!
//! Invariants:
//! - Of equal keys the one that came first is first: an item ends with the entry's place, which rises.
//! - Two items that are equal except for their places, with fewer than [`LONGER`] bytes left, are of equal keys.

use std::ops::Range;

use crate::base::bytes::{get_u16, get_u32};
use crate::error::{Error, Result};
use crate::format::page::prefetch_range;

/// The lengths of key and value (u16, u32), which stand before them in an entry.
const LENGTHS_LEN: usize = 6;

const WORD_LEN: usize = 8;
/// Marks a key that goes on after the word.
const LONGER: u8 = WORD_LEN as u8 + 1;
/// An item: the word, then in 4 bits how many bytes of the key are left at its beginning ([`LONGER`] at most), then
/// the place of the entry.
const PLACE_BITS: u32 = 60;
/// At most this many keys that begin alike are compared one with the other.
const FEW: usize = 24;
/// How many entries ahead memory is prefetched.
const AHEAD: usize = 12;
/// The most bytes of an entry that are prefetched.
const PREFETCHED_LEN: usize = 512;

/// Entries to be sorted.
#[derive(Default)]
pub(super) struct SortBuffer {
    bytes: Vec<u8>,
    items: Vec<u128>,
    /// Whether the keys have ascended so far.
    is_ascending: bool,
    /// The place of the last entry.
    last: usize,
}

impl SortBuffer {
    /// Bytes of memory that an entry takes.
    pub(super) fn entry_len(key: &[u8], value: &[u8]) -> usize {
        LENGTHS_LEN + key.len() + value.len() + size_of::<u128>()
    }

    /// Bytes of memory that the entries take.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + self.items.len() * size_of::<u128>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the entries have come in order.
    pub(super) fn is_ascending(&self) -> bool {
        self.is_ascending
    }

    /// Adds an entry that a table could have.
    ///
    /// Returns [`Error::OutOfMemory`] if the system has no memory for it; then it adds nothing.
    #[inline]
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let length = LENGTHS_LEN + key.len() + value.len();
        let needed = (self.bytes.len() + length) as u64;
        self.bytes.try_reserve(length).map_err(|_| Error::OutOfMemory { bytes: needed })?;
        self.items.try_reserve(1).map_err(|_| Error::OutOfMemory { bytes: needed })?;
        let place = self.bytes.len();
        self.is_ascending = self.is_empty() || self.is_ascending && self.last_key() <= key;
        self.last = place;
        self.items.push(item_at(key, 0, place));
        self.bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// Forgets all entries, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// The key of the last entry that was added. There is one.
    pub(super) fn last_key(&self) -> &[u8] {
        self.key(self.last)
    }

    fn key(&self, place: usize) -> &[u8] {
        key_in(&self.bytes, place)
    }

    /// Sorts the entries by their keys.
    pub(super) fn sort(&mut self) {
        if self.is_ascending {
            return;
        }
        // What is still to be sorted, by words that begin at the key byte `start`.
        let mut pending = vec![(0..self.items.len(), 0)];
        while let Some((range, start)) = pending.pop() {
            let items = &mut self.items[range.clone()];
            items.sort_unstable();
            for group in alike(items) {
                let group_items = &mut items[group.clone()];
                if group.len() <= FEW {
                    sort_by_keys(&self.bytes, group_items, start + WORD_LEN);
                    continue;
                }
                let start = start + WORD_LEN;
                let start = start + common_len(&self.bytes, group_items, start);
                for item in group_items {
                    let place = place_of(*item);
                    *item = item_at(key_in(&self.bytes, place), start, place);
                }
                pending.push((range.start + group.start..range.start + group.end, start));
            }
        }
    }

    /// Passes keys and values to `take`, in the order of the keys; of equal keys only the last one.
    pub(super) fn for_each<E>(&self, mut take: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        let prefetched = (self.bytes.len() / self.items.len().max(1)).min(PREFETCHED_LEN);
        for (index, item) in self.items.iter().enumerate() {
            if let Some(ahead) = self.items.get(index + AHEAD) {
                let place = place_of(*ahead);
                prefetch_range(&self.bytes, place..place + prefetched);
            }
            let place = place_of(*item);
            let key = self.key(place);
            let next = self.items.get(index + 1).filter(|next| are_alike(*item, **next));
            if next.is_some_and(|next| self.key(place_of(*next)) == key) {
                continue;
            }
            let value_len = get_u32(&self.bytes, place + 2) as usize;
            take(key, &self.bytes[place + LENGTHS_LEN + key.len()..][..value_len])?;
        }
        Ok(())
    }
}

#[inline]
fn key_in(bytes: &[u8], place: usize) -> &[u8] {
    &bytes[place + LENGTHS_LEN..][..usize::from(get_u16(bytes, place))]
}

/// The item of the key at `place`, by the word that begins at `start`.
#[inline]
fn item_at(key: &[u8], start: usize, place: usize) -> u128 {
    let rest = key.get(start..).unwrap_or(&[]);
    let word = match rest.first_chunk::<WORD_LEN>() {
        Some(word) => *word,
        None => {
            let mut word = [0; WORD_LEN];
            word[..rest.len()].copy_from_slice(rest);
            word
        }
    };
    let left = rest.len().min(usize::from(LONGER));
    let word = u64::from_le_bytes(word).swap_bytes();
    u128::from(word) << 64 | (left as u128) << PLACE_BITS | place as u128
}

#[inline]
fn place_of(item: u128) -> usize {
    (item as u64 & ((1 << PLACE_BITS) - 1)) as usize
}

/// How many bytes of the key were left where the word begins, [`LONGER`] at most.
fn left_of(item: u128) -> u8 {
    (item as u64 >> PLACE_BITS) as u8
}

/// Whether two items are equal except for their places.
#[inline]
fn are_alike(one: u128, other: u128) -> bool {
    one >> PLACE_BITS == other >> PLACE_BITS
}

/// The groups of sorted items that are equal except for their places, and whose keys go on.
fn alike(items: &[u128]) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    for group in items.chunk_by(|one, other| are_alike(*one, *other)) {
        let end = start + group.len();
        if group.len() > 1 && left_of(group[0]) == LONGER {
            groups.push(start..end);
        }
        start = end;
    }
    groups
}

/// Sorts items whose keys are equal before `start`.
fn sort_by_keys(bytes: &[u8], items: &mut [u128], start: usize) {
    let rest = |item: u128| key_in(bytes, place_of(item)).get(start..);
    items.sort_unstable_by(|&one, &other| {
        rest(one).cmp(&rest(other)).then_with(|| place_of(one).cmp(&place_of(other)))
    });
}

/// How many bytes the keys of `items` have in common from `start` on.
fn common_len(bytes: &[u8], items: &[u128], start: usize) -> usize {
    let rest = |item: u128| key_in(bytes, place_of(item)).get(start..).unwrap_or(&[]);
    let Some((&first, others)) = items.split_first() else { return 0 };
    let mut common = rest(first);
    for (index, &item) in others.iter().enumerate() {
        if let Some(&ahead) = others.get(index + AHEAD) {
            let place = place_of(ahead);
            prefetch_range(bytes, place..place + LENGTHS_LEN + start + common.len());
        }
        let key = rest(item);
        if !key.starts_with(common) {
            let equal = common.iter().zip(key).take_while(|(one, other)| one == other).count();
            common = &common[..equal];
        }
    }
    common.len()
}

#[cfg(test)]
#[path = "sorter_tests.rs"]
mod tests;
