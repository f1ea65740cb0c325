//! Damage done with knowledge of the format: each step depends on its own seed and on the file as the steps before have
//! left it, and returns a description of what it did.
//!
//! Most steps correct the checksums that they have made wrong, so that the code after the checksums is reached.

use std::fmt::Write;

use crate::common::Random;
use crate::layout::{
    BRANCH, CATALOG_FIELDS, COMMON_FIELDS, DENSE_LEAF_FIELDS, FREE_LOG, FREE_LOG_FIELDS, Field, HEADER_LEN,
    Image, LEAF, META_FIELDS, NODE_FIELDS, OVERFLOW, OVERFLOW_FIELDS, number_at, put_number, varint, varints,
};

/// One step of damage to a file.
pub(crate) struct Mutation<'a> {
    pub(crate) image: &'a mut Image,
    pub(crate) random: Random,
    /// Sound files from which pages may be taken.
    donors: &'a [&'a Image],
    /// Whether checksums are made right again.
    pub(crate) seals: bool,
    words: String,
}

type Kind = fn(&mut Mutation<'_>) -> Option<()>;

/// Those that stand twice are taken twice as often.
const KINDS: [Kind; 30] = [
    |it| it.any_bytes(),
    |it| it.header_field(),
    |it| it.header_field(),
    |it| it.table_cell(),
    |it| it.table_cell(),
    |it| it.heap_entry(),
    |it| it.heap_entry(),
    |it| it.order_of_keys(),
    |it| it.catalog_entry(),
    |it| it.catalog_entry(),
    |it| it.meta_field(),
    |it| it.meta_field(),
    |it| it.meta_list(),
    |it| it.meta_tail(),
    |it| it.log_page(),
    |it| it.ring_field(),
    |it| it.ring_field(),
    |it| it.redo_bytes(),
    |it| it.redo_field(),
    |it| it.redo_order(),
    |it| it.redo_operation(),
    |it| it.redo_operation(),
    |it| it.swapped_pages(),
    |it| it.copied_page(),
    |it| it.child(),
    |it| it.child(),
    |it| it.ladder(),
    |it| it.wiped_range(),
    |it| it.other_length(),
    |it| it.foreign_page(),
];

/// Makes `pages` branches of `keys` separators, one above the other, each of which has the one before as all of its
/// children, and the first has `leaf`. Returns the topmost.
pub(crate) fn build_ladder(image: &mut Image, leaf: usize, pages: &[usize], keys: usize) -> usize {
    let mut below = leaf;
    for (step, &page) in pages.iter().enumerate() {
        let bytes = image.page_mut(page);
        bytes.fill(0);
        put_number(bytes, 4, 4, page as u64);
        put_number(bytes, 8, 8, 1);
        (bytes[16], bytes[17], bytes[18], bytes[26]) = (BRANCH, step as u8 + 1, keys as u8, 1);
        for index in 0..=keys {
            put_number(bytes, HEADER_LEN + 4 * keys + 4 * index, 4, below as u64);
        }
        for index in 0..keys {
            put_number(bytes, HEADER_LEN + 4 * index, 4, (index as u64 + 1) << 24);
            put_number(bytes, HEADER_LEN + 4 * (2 * keys + 1) + 4 * index + 2, 2, 4);
        }
        image.seal(page);
        below = page;
    }
    below
}

/// Does one step. Returns what it was.
pub(crate) fn mutate(image: &mut Image, donors: &[&Image], seed: u64) -> String {
    let mut random = Random::new(seed);
    let seals = !random.one_in(8);
    let mut mutation = Mutation { image, random, donors, seals, words: String::new() };
    // A file that has lost what a kind is about gets another kind.
    for _ in 0..20 {
        let kind = *mutation.random.pick(&KINDS);
        if mutation.image.page_count() >= 3 && kind(&mut mutation).is_some() {
            break;
        }
        mutation.words.clear();
    }
    mutation.words
}

impl Mutation<'_> {
    pub(crate) fn say(&mut self, words: std::fmt::Arguments<'_>) {
        let _ = self.words.write_fmt(words);
    }

    /// A page that is not a meta.
    fn any_page(&mut self) -> usize {
        2 + self.random.below(self.image.page_count() - 2)
    }

    fn page_of_kind(&mut self, kind: u8) -> Option<usize> {
        let pages = self.image.pages_of_kind(kind);
        (!pages.is_empty()).then(|| *self.random.pick(&pages))
    }

    fn seal(&mut self, page: usize) {
        if self.seals {
            self.image.seal(page);
        } else {
            self.say(format_args!(" (not sealed)"));
        }
    }

    /// A number that is likely to be at the edge of something, for a field of `length` bytes that has `old` now.
    pub(crate) fn number(&mut self, old: u64, length: usize) -> u64 {
        let (pages, page_size) = (self.image.page_count() as u64, self.image.page_size as u64);
        let most = u64::MAX >> (64 - 8 * length);
        let bits = 8 * length;
        let number = match self.random.below(14) {
            0 | 1 => self.random.below(5) as u64,
            2 => old.wrapping_add(1),
            3 => old.wrapping_sub(1),
            4 | 5 => old ^ 1 << self.random.below(bits),
            6 => most,
            7 => most / 2 + self.random.below(2) as u64,
            8 => pages.wrapping_sub(self.random.below(2) as u64),
            9 => page_size - *self.random.pick(&[0, 1, 4, 32, 33, 64]),
            10 => *self.random.pick(&[
                page_size / 2,
                page_size / 2 - 64,
                30,
                32,
                36,
                255,
                1 << 31,
                u64::MAX / 2,
            ]),
            11 | 12 => self.any_page() as u64,
            _ => self.random.next() >> self.random.below(64),
        };
        number & most
    }

    pub(crate) fn change_field(&mut self, page: usize, base: usize, (name, at, length): Field) -> Option<()> {
        let at = base + at;
        let old = number_at(self.image.page(page).get(..at + length)?, at, length);
        let new = self.number(old, length);
        put_number(self.image.page_mut(page), at, length, new);
        self.say(format_args!("page {page}: {name} at {at}: {old:#x} becomes {new:#x}"));
        Some(())
    }

    // ---- pages ----

    fn any_bytes(&mut self) -> Option<()> {
        let page = if self.random.one_in(8) { self.random.below(2) } else { self.any_page() };
        let reach = if self.random.one_in(2) { 200 } else { self.image.page_size };
        for _ in 0..1 + self.random.below(6) {
            let at = self.random.below(reach);
            let old = self.image.page(page)[at];
            let new = *self.random.pick(&[0, 1, 0x7f, 0x80, 0xff, old.wrapping_add(1), old ^ 0x10, old ^ 1]);
            self.image.page_mut(page)[at] = new;
            self.say(format_args!("page {page}: byte {at} is {new:#x}; "));
        }
        match page {
            0 | 1 if self.seals && self.image.meta_slots().contains(&page) => self.image.seal_meta(page),
            0 | 1 => {}
            _ => self.seal(page),
        }
        Some(())
    }

    fn header_field(&mut self) -> Option<()> {
        let kind = *self.random.pick(&[LEAF, LEAF, BRANCH, BRANCH, OVERFLOW, FREE_LOG]);
        let page = self.page_of_kind(kind)?;
        let own: &[Field] = match kind {
            OVERFLOW => &OVERFLOW_FIELDS,
            FREE_LOG => &FREE_LOG_FIELDS,
            _ if self.image.is_dense_leaf(page) => &DENSE_LEAF_FIELDS,
            _ => &NODE_FIELDS,
        };
        let fields = if self.random.one_in(3) { &COMMON_FIELDS } else { own };
        let field = *self.random.pick(fields);
        self.change_field(page, 0, field)?;
        self.seal(page);
        Some(())
    }

    fn node(&mut self) -> Option<(usize, usize)> {
        let kind = *self.random.pick(&[LEAF, BRANCH]);
        let page = self.page_of_kind(kind)?;
        let count = self.image.key_count(page);
        (count > 0).then_some((page, count))
    }

    fn table_cell(&mut self) -> Option<()> {
        let (page, count) = self.node()?;
        let index = self.random.below(count);
        let slot = self.image.slot_at(page, index);
        let field = match self.random.below(4) {
            0 => ("head", HEADER_LEN + 4 * index, 4),
            1 if self.image.kind(page) == BRANCH => ("child", self.image.child_at(page, index), 4),
            1 | 2 => ("slot's offset", slot, 2),
            _ => ("slot's length", slot + 2, 2),
        };
        self.change_field(page, 0, field)?;
        self.seal(page);
        Some(())
    }

    fn leaf_entry(&mut self, wants_overflow: bool) -> Option<(usize, crate::layout::Entry)> {
        for _ in 0..12 {
            let page = self.page_of_kind(LEAF)?;
            let count = self.image.key_count(page).max(1);
            let entry = self.image.entry(page, self.random.below(count));
            if let Some(entry) = entry.filter(|entry| entry.is_overflow == wants_overflow) {
                return Some((page, entry));
            }
        }
        None
    }

    fn heap_entry(&mut self) -> Option<()> {
        let wants_overflow = !self.random.one_in(3);
        let (page, entry) = self.leaf_entry(wants_overflow)?;
        let field = match self.random.below(3) {
            1 if wants_overflow => ("first page of a value", entry.value_at, 4),
            2 if wants_overflow => ("length of a value", entry.value_at + 4, 8),
            _ => ("length of a value's part", entry.heap_at, 2),
        };
        self.change_field(page, 0, field)?;
        self.seal(page);
        Some(())
    }

    /// Two keys change places, or two slots, or one stands twice.
    fn order_of_keys(&mut self) -> Option<()> {
        let (page, count) = self.node()?;
        let (one, other) = (self.random.below(count), self.random.below(count));
        let (head, slot) = (HEADER_LEN + 4 * one, self.image.slot_at(page, one));
        let (other_head, other_slot) = (HEADER_LEN + 4 * other, self.image.slot_at(page, other));
        let swaps = self.random.one_in(2);
        let (with_heads, with_slots) = match self.random.below(3) {
            0 => (true, true),
            1 => (true, false),
            _ => (false, true),
        };
        let bytes = self.image.page_mut(page);
        for (at, other_at, is_meant) in [(head, other_head, with_heads), (slot, other_slot, with_slots)] {
            for byte in (0..4).filter(|_| is_meant) {
                let before = bytes[at + byte];
                bytes[at + byte] = bytes[other_at + byte];
                if swaps {
                    bytes[other_at + byte] = before;
                }
            }
        }
        self.say(format_args!("page {page}: key {other} at {one}, swapped {swaps}, heads {with_heads}"));
        self.seal(page);
        Some(())
    }

    fn catalog_entry(&mut self) -> Option<()> {
        let leaves = self.image.catalog_leaves();
        if leaves.is_empty() {
            return None;
        }
        let page = *self.random.pick(&leaves);
        let count = self.image.key_count(page).max(1);
        let entry = self.image.entry(page, self.random.below(count))?;
        let field = *self.random.pick(&CATALOG_FIELDS);
        self.say(format_args!("catalog: "));
        self.change_field(page, entry.value_at, field)?;
        self.seal(page);
        Some(())
    }

    // ---- metas ----

    /// The newest meta's slot, now and then the other's.
    pub(crate) fn meta(&mut self) -> Option<usize> {
        let slots = self.image.meta_slots();
        let newest = self.image.newest_slot()?;
        Some(if self.random.one_in(4) { *self.random.pick(&slots) } else { newest })
    }

    fn meta_field(&mut self) -> Option<()> {
        let slot = self.meta()?;
        let field = *self.random.pick(&META_FIELDS);
        self.change_field(slot, 0, field)?;
        if self.seals {
            self.image.seal_meta(slot);
        }
        Some(())
    }

    fn meta_list(&mut self) -> Option<()> {
        let slot = self.meta().filter(|&slot| self.image.lists_pages(slot))?;
        let (mut runs, tail) = self.image.list_and_tail(slot)?;
        let (first, count) = (self.number(2, 4), self.number(1, 4));
        match self.random.below(4) {
            _ if runs.is_empty() => runs.push((first, count)),
            0 => runs.insert(self.random.below(runs.len() + 1), (first, count)),
            1 => drop(runs.remove(self.random.below(runs.len()))),
            2 => runs.rotate_left(1),
            _ => {
                let at = self.random.below(runs.len());
                runs[at] = if self.random.one_in(2) { (first, runs[at].1) } else { (runs[at].0, count) };
            }
        }
        self.say(format_args!("meta {slot}: it lists {runs:?}"));
        self.image.rewrite_meta(slot, &runs, &tail);
        self.image.renew_digest(slot);
        Some(())
    }

    /// One number in a row of varints becomes another.
    fn change_varint(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let numbers = varints(bytes);
        if numbers.is_empty() {
            return None;
        }
        let (old, range) = self.random.pick(&numbers).clone();
        let new = self.number(old, 8);
        let new = if self.random.one_in(2) { new & 0xff } else { new };
        self.say(format_args!("number {old} at {} of the free log becomes {new}", range.start));
        let mut changed = bytes.to_vec();
        match self.random.below(6) {
            0 => drop(changed.drain(range)),
            1 => drop(changed.splice(range.start..range.start, varint(new))),
            _ => drop(changed.splice(range, varint(new))),
        }
        Some(changed)
    }

    fn meta_tail(&mut self) -> Option<()> {
        let slot = self.meta()?;
        let (runs, tail) = self.image.list_and_tail(slot)?;
        self.say(format_args!("meta {slot}: "));
        let mut tail = self.change_varint(&tail)?;
        if self.random.one_in(10) {
            tail.resize(self.random.below(self.image.page_size), 1);
            self.say(format_args!(", and its tail has {} bytes", tail.len()));
        }
        self.image.rewrite_meta(slot, &runs, &tail);
        if self.seals {
            self.image.seal_meta(slot);
        }
        Some(())
    }

    fn log_page(&mut self) -> Option<()> {
        let page = self.page_of_kind(FREE_LOG)?;
        let room = self.image.page_size - HEADER_LEN;
        let length = (number_at(self.image.page(page), 24, 4) as usize).min(room);
        let payload = self.image.page(page)[HEADER_LEN..HEADER_LEN + length].to_vec();
        self.say(format_args!("page {page}: "));
        let mut payload = self.change_varint(&payload)?;
        payload.truncate(room);
        let bytes = self.image.page_mut(page);
        bytes[HEADER_LEN..HEADER_LEN + payload.len()].copy_from_slice(&payload);
        put_number(bytes, 24, 4, payload.len() as u64);
        self.seal(page);
        Some(())
    }

    // ---- whole pages ----

    /// Lets a page say that it is where it is.
    fn renumber(&mut self, page: usize) {
        if page >= 2 {
            put_number(self.image.page_mut(page), 4, 4, page as u64);
            self.seal(page);
        }
    }

    fn swapped_pages(&mut self) -> Option<()> {
        let (one, other) = (self.any_page(), self.any_page());
        let bytes = self.image.page(one).to_vec();
        self.image.bytes.copy_within(other * bytes.len()..(other + 1) * bytes.len(), one * bytes.len());
        self.image.page_mut(other).copy_from_slice(&bytes);
        self.say(format_args!("pages {one} and {other} swapped"));
        if !self.random.one_in(4) {
            self.renumber(one);
            self.renumber(other);
        }
        Some(())
    }

    fn copied_page(&mut self) -> Option<()> {
        let (from, to) = (self.any_page(), self.any_page());
        let page_size = self.image.page_size;
        self.image.bytes.copy_within(from * page_size..(from + 1) * page_size, to * page_size);
        self.say(format_args!("page {from} copied over {to}"));
        if !self.random.one_in(4) {
            self.renumber(to);
        }
        Some(())
    }

    /// A branch's child becomes another page: of the right level, or itself, or all children the same.
    fn child(&mut self) -> Option<()> {
        let page = self.page_of_kind(BRANCH)?;
        let count = self.image.key_count(page) + 1;
        let level = self.image.page(page)[17];
        let below: Vec<usize> = (2..self.image.page_count())
            .filter(|&other| {
                let other = self.image.page(other);
                (other[16] == LEAF || other[16] == BRANCH) && other[17] == level.wrapping_sub(1)
            })
            .collect();
        let child = match self.random.below(4) {
            0 => page,
            1 => self.any_page(),
            _ if below.is_empty() => return None,
            _ => *self.random.pick(&below),
        };
        let only = self.random.below(count);
        let all = self.random.one_in(3);
        for index in (0..count).filter(|&index| all || index == only) {
            let at = self.image.child_at(page, index);
            put_number(self.image.page_mut(page), at, 4, child as u64);
        }
        self.say(format_args!("page {page}: child {only} (all of {count}: {all}) is page {child}"));
        self.seal(page);
        Some(())
    }

    /// Many branches, one above the other, all of whose children are the same: few pages, and more ways through them
    /// than can be followed. A table's root, or the catalog's, is the topmost.
    fn ladder(&mut self) -> Option<()> {
        let leaf = self.page_of_kind(LEAF)?;
        let leaves = self.image.catalog_leaves();
        let is_catalog = self.random.one_in(3);
        let keys = 1 + self.random.below(20);
        let steps = 1 + self.random.below(40.min(self.image.page_count() - 2));
        let is_spared = |page: &usize| *page == leaf || leaves.contains(page);
        let pages: Vec<usize> =
            (2..self.image.page_count()).filter(|page| !is_spared(page)).take(steps).collect();
        let (level, below) = (pages.len() as u64, build_ladder(self.image, leaf, &pages, keys));
        self.say(format_args!("a ladder of {level} branches with {keys} keys up to page {below}"));
        if is_catalog {
            let slot = self.image.newest_slot()?;
            put_number(self.image.page_mut(slot), 52, 4, below as u64);
            put_number(self.image.page_mut(slot), 64, 1, level + 1);
            self.image.seal_meta(slot);
        } else if !leaves.is_empty() {
            let page = *self.random.pick(&leaves);
            let count = self.image.key_count(page).max(1);
            let at = self.image.entry(page, self.random.below(count))?.value_at;
            put_number(self.image.page_mut(page).get_mut(at..at + 16)?, 0, 4, below as u64);
            put_number(self.image.page_mut(page), at + 4, 1, level + 1);
            self.seal(page);
        }
        Some(())
    }

    fn wiped_range(&mut self) -> Option<()> {
        let page = self.random.below(self.image.page_count());
        let (start, length) = (self.random.below(self.image.page_size), 1 + self.random.below(3000));
        let fill = *self.random.pick(&[0, 0, 0xff, 0x20]);
        let start = page * self.image.page_size + if self.random.one_in(2) { 0 } else { start };
        let end = (start + length).min(self.image.bytes.len());
        self.image.bytes[start..end].fill(fill);
        self.say(format_args!("bytes {start}..{end} are {fill:#x}"));
        if page >= 2 {
            self.seal(page);
        }
        Some(())
    }

    fn other_length(&mut self) -> Option<()> {
        let (length, page_size) = (self.image.bytes.len(), self.image.page_size);
        let new = match self.random.below(5) {
            0 => self.random.below(length),
            1 => self.random.below(length / page_size) * page_size,
            2 => length - 1 - self.random.below(page_size),
            _ => length + 1 + self.random.below(5 * page_size),
        };
        let noise = self.random.bytes(new.saturating_sub(length));
        self.image.bytes.truncate(new);
        self.image.bytes.extend_from_slice(&noise);
        self.say(format_args!("the file has {new} bytes, not {length}"));
        Some(())
    }

    /// A page, or a meta, of another database.
    fn foreign_page(&mut self) -> Option<()> {
        let donors = self.donors;
        let donor = *self.random.pick(donors);
        let page_size = self.image.page_size.min(donor.page_size);
        let from = self.random.below(donor.page_count());
        let to = if from < 2 { from } else { self.any_page() };
        let bytes = donor.page(from)[..page_size].to_vec();
        self.image.page_mut(to)[..page_size].copy_from_slice(&bytes);
        self.say(format_args!("page {from} of another database as page {to}"));
        self.renumber(to);
        Some(())
    }
}
