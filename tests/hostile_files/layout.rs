//! What docs/FORMAT.md says of the file's bytes, and no more than that: offsets, sizes, checksums.
//!
//! Written from that document, not from the library: that files which are changed here by the document, and sealed
//! again, are read as sound files shows that the document is right.

/// Length of a page's header.
pub(crate) const HEADER_LEN: usize = 32;
/// Length of a meta without its list and tail: in formats 1 and 2, and since format 3, which has no list.
const META_LENS: (usize, usize) = (96, 128);
/// Length of a redo record's header.
pub(crate) const REDO_HEADER_LEN: usize = 32;

pub(crate) const LEAF: u8 = 1;
pub(crate) const BRANCH: u8 = 2;
pub(crate) const OVERFLOW: u8 = 3;
pub(crate) const FREE_LOG: u8 = 4;

/// A field: its name, its offset, its length in bytes.
pub(crate) type Field = (&'static str, usize, usize);

pub(crate) const COMMON_FIELDS: [Field; 4] =
    [("page number", 4, 4), ("birth", 8, 8), ("kind", 16, 1), ("level", 17, 1)];
pub(crate) const NODE_FIELDS: [Field; 6] = [
    ("count", 18, 2),
    ("prefix length", 20, 2),
    ("heap length", 22, 2),
    ("dead bytes", 24, 2),
    ("flags", 26, 2),
    ("reserved", 28, 4),
];
pub(crate) const DENSE_LEAF_FIELDS: [Field; 6] = [
    ("count", 18, 2),
    ("prefix length", 20, 2),
    ("length of each value", 22, 2),
    ("length of each suffix", 24, 2),
    ("flags", 26, 2),
    ("last head", 28, 4),
];
pub(crate) const OVERFLOW_FIELDS: [Field; 3] =
    [("reserved", 18, 2), ("pages in the run", 20, 4), ("length of the value", 24, 8)];
pub(crate) const FREE_LOG_FIELDS: [Field; 4] =
    [("flags", 18, 2), ("page before", 20, 4), ("length of the payload", 24, 4), ("reserved", 28, 4)];
pub(crate) const CATALOG_FIELDS: [Field; 6] = [
    ("root page", 0, 4),
    ("depth", 4, 1),
    ("kind of table", 5, 1),
    ("length of the key type's name", 6, 2),
    ("entries", 8, 8),
    ("name of the key type", 16, 4),
];
pub(crate) const META_FIELDS: [Field; 20] = [
    ("magic", 0, 8),
    ("length", 12, 4),
    ("format version", 16, 4),
    ("page size", 20, 4),
    ("identity", 24, 8),
    ("transaction", 40, 8),
    ("length of the file", 48, 4),
    ("catalog root", 52, 4),
    ("catalog entries", 56, 8),
    ("catalog depth", 64, 1),
    ("newest log page", 68, 4),
    ("length of the tail", 72, 4),
    ("number of runs, or free pages", 76, 4),
    ("digest, or retired pages", 80, 4),
    ("free pages, or chain", 84, 4),
    ("log start", 88, 8),
    ("base of the ring", 96, 8),
    ("first page of the ring", 104, 4),
    ("pages of the ring", 108, 4),
    ("block", 112, 4),
];
/// Of a redo record.
pub(crate) const REDO_FIELDS: [Field; 7] = [
    ("length", 4, 4),
    ("LSN", 8, 8),
    ("transaction", 16, 8),
    ("kind", 24, 1),
    ("flags", 25, 1),
    ("reserved", 26, 2),
    ("number of operations", 28, 4),
];

/// A listed run: its first page, how many pages.
pub(crate) type Run = (u64, u64);

/// A little-endian integer of `length` bytes.
pub(crate) fn number_at(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

pub(crate) fn put_number(bytes: &mut [u8], at: usize, length: usize, number: u64) {
    bytes[at..at + length].copy_from_slice(&number.to_le_bytes()[..length]);
}

/// The numbers in a row of varints, each with the range of its bytes; up to the first that is none.
pub(crate) fn varints(bytes: &[u8]) -> Vec<(u64, std::ops::Range<usize>)> {
    let (mut found, mut start, mut number, mut shift) = (Vec::new(), 0, 0u64, 0);
    for (at, &byte) in bytes.iter().enumerate() {
        if shift > 63 {
            break;
        }
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            found.push((number, start..at + 1));
            (start, number, shift) = (at + 1, 0, 0);
        }
    }
    found
}

pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Where an entry of a leaf lies in its page.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// Of the two bytes that say how long the value's part is; in a dense leaf, of the cell.
    pub(crate) heap_at: usize,
    pub(crate) value_at: usize,
    pub(crate) is_overflow: bool,
}

/// The bytes of a database's file.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) page_size: usize,
}

impl Image {
    /// Whole pages.
    pub(crate) fn page_count(&self) -> usize {
        self.bytes.len() / self.page_size
    }

    pub(crate) fn page(&self, number: usize) -> &[u8] {
        &self.bytes[number * self.page_size..(number + 1) * self.page_size]
    }

    pub(crate) fn page_mut(&mut self, number: usize) -> &mut [u8] {
        &mut self.bytes[number * self.page_size..(number + 1) * self.page_size]
    }

    pub(crate) fn kind(&self, number: usize) -> u8 {
        self.page(number)[16]
    }

    /// Whether a page is a leaf whose entries have no slots.
    pub(crate) fn is_dense_leaf(&self, number: usize) -> bool {
        self.kind(number) == LEAF && self.page(number)[26] & 2 != 0
    }

    /// Where an entry of a dense leaf begins and where its value does, as far as there is room for that many.
    fn cell(&self, leaf: usize, index: usize) -> Option<(usize, usize, usize)> {
        let page = self.page(leaf);
        let length = |at| number_at(page, at, 2) as usize;
        let (rest_len, value_len) = (length(24).saturating_sub(4), length(22));
        let end = page.len().checked_sub(length(20) + index * (rest_len + value_len))?;
        let value_at = end.checked_sub(value_len)?;
        Some((value_at.checked_sub(rest_len)?, value_at, end))
    }

    /// How many pages the checksum of a page is over: more than one in an overflow run.
    pub(crate) fn unit_len(&self, number: usize) -> usize {
        let said =
            if self.kind(number) == OVERFLOW { number_at(self.page(number), 20, 4) as usize } else { 1 };
        said.clamp(1, self.page_count() - number)
    }

    fn unit(&self, number: usize) -> &[u8] {
        &self.bytes[number * self.page_size..(number + self.unit_len(number)) * self.page_size]
    }

    /// Makes the checksum of a page, or of the run that it begins, right.
    pub(crate) fn seal(&mut self, number: usize) {
        let sum = crc32fast::hash(&self.unit(number)[4..]);
        put_number(self.page_mut(number), 0, 4, u64::from(sum));
    }

    /// Keys of a node, as far as there is room for that many.
    pub(crate) fn key_count(&self, number: usize) -> usize {
        let cell = match self.kind(number) {
            BRANCH => 12,
            _ if self.is_dense_leaf(number) => 4,
            _ => 8,
        };
        let said = number_at(self.page(number), 18, 2) as usize;
        said.min((self.page_size - HEADER_LEN - 4) / cell)
    }

    /// Where a child of a branch stands in its page.
    pub(crate) fn child_at(&self, branch: usize, index: usize) -> usize {
        HEADER_LEN + 4 * self.key_count(branch) + 4 * index
    }

    /// Where the slot of a key stands in its page; in a dense leaf, its cell.
    pub(crate) fn slot_at(&self, node: usize, index: usize) -> usize {
        if self.is_dense_leaf(node) {
            return self.cell(node, index).map_or(HEADER_LEN, |cell| cell.0.min(self.page_size - 4));
        }
        let count = self.key_count(node);
        let children = if self.kind(node) == BRANCH { count + 1 } else { 0 };
        HEADER_LEN + 4 * count + 4 * children + 4 * index
    }

    /// An entry of a leaf, if it lies in its page.
    pub(crate) fn entry(&self, leaf: usize, index: usize) -> Option<Entry> {
        let page = self.page(leaf);
        if self.is_dense_leaf(leaf) {
            let (heap_at, value_at, _) = self.cell(leaf, index)?;
            let is_inside = heap_at >= HEADER_LEN && value_at + 2 <= page.len();
            return is_inside.then_some(Entry { heap_at, value_at, is_overflow: false });
        }
        let slot = self.slot_at(leaf, index);
        let (heap_at, length) = (number_at(page, slot, 2) as usize, number_at(page, slot + 2, 2) as usize);
        let rest = (length & 0x7fff).saturating_sub(4);
        let value_len = number_at(page.get(heap_at..heap_at + 2)?, 0, 2) as usize;
        let value_at = heap_at + 2 + rest;
        let is_inside = value_at + value_len <= page.len();
        is_inside.then_some(Entry { heap_at, value_at, is_overflow: length & 0x8000 != 0 })
    }

    // ---- metas ----

    /// The slots in which there is a meta.
    pub(crate) fn meta_slots(&self) -> Vec<usize> {
        let has_meta = |&slot: &usize| slot < self.page_count() && self.page(slot).starts_with(b"mapleaf\0");
        [0, 1].into_iter().filter(has_meta).collect()
    }

    /// The slot with the newer meta.
    pub(crate) fn newest_slot(&self) -> Option<usize> {
        self.meta_slots().into_iter().max_by_key(|&slot| number_at(self.page(slot), 40, 8))
    }

    /// Whether a meta is of a format that lists pages, and has no redo log.
    pub(crate) fn lists_pages(&self, slot: usize) -> bool {
        number_at(self.page(slot), 16, 4) < 3
    }

    fn meta_len(&self, slot: usize) -> usize {
        if self.lists_pages(slot) { META_LENS.0 } else { META_LENS.1 }
    }

    /// Length, number of listed runs, length of the tail: as the meta says, if that fits a page.
    pub(crate) fn meta_parts(&self, slot: usize) -> Option<(usize, usize, usize)> {
        let meta = self.page(slot);
        let number = |at| number_at(meta, at, 4) as usize;
        let runs = if self.lists_pages(slot) { number(76) } else { 0 };
        let (length, tail) = (number(12), number(72));
        let fits = length <= meta.len() && self.meta_len(slot) + 8 * runs + tail == length;
        fits.then_some((length, runs, tail))
    }

    /// Makes a meta's checksum right.
    pub(crate) fn seal_meta(&mut self, slot: usize) {
        let meta = self.page_mut(slot);
        let length = (number_at(meta, 12, 4) as usize).clamp(12, meta.len());
        let sum = crc32fast::hash(&meta[12..length]);
        put_number(meta, 8, 4, u64::from(sum));
    }

    /// Replaces list and tail of a meta, whose length follows. What does not fit its page is left out.
    pub(crate) fn rewrite_meta(&mut self, slot: usize, runs: &[Run], tail: &[u8]) {
        let lists_pages = self.lists_pages(slot);
        let mut at = self.meta_len(slot);
        let room = self.page_size - at;
        let tail = &tail[..tail.len().min(room)];
        let runs = &runs[..if lists_pages { runs.len().min((room - tail.len()) / 8) } else { 0 }];
        let meta = self.page_mut(slot);
        for &(first, count) in runs {
            put_number(meta, at, 4, first);
            put_number(meta, at + 4, 4, count);
            at += 8;
        }
        meta[at..at + tail.len()].copy_from_slice(tail);
        put_number(meta, 12, 4, (at + tail.len()) as u64);
        put_number(meta, 72, 4, tail.len() as u64);
        if lists_pages {
            put_number(meta, 76, 4, runs.len() as u64);
        }
    }

    /// The listed runs and the tail of a meta.
    pub(crate) fn list_and_tail(&self, slot: usize) -> Option<(Vec<Run>, Vec<u8>)> {
        let (length, runs, tail) = self.meta_parts(slot)?;
        let (meta, list_at) = (self.page(slot), META_LENS.0);
        let run =
            |index| (number_at(meta, list_at + 8 * index, 4), number_at(meta, list_at + 4 + 8 * index, 4));
        Some(((0..runs).map(run).collect(), meta[length - tail..length].to_vec()))
    }

    /// Makes a meta that lists pages list nothing, as if there had been a barrier before it.
    pub(crate) fn forget_list(&mut self, slot: usize) {
        if let Some((_, tail)) = self.list_and_tail(slot).filter(|_| self.lists_pages(slot)) {
            self.rewrite_meta(slot, &[], &tail);
            put_number(self.page_mut(slot), 80, 4, 0);
            self.seal_meta(slot);
        }
    }

    /// Makes the digest of the listed pages what their checksums are now.
    pub(crate) fn renew_digest(&mut self, slot: usize) {
        let Some((runs, _)) = self.list_and_tail(slot).filter(|_| self.lists_pages(slot)) else { return };
        let mut hasher = crc32fast::Hasher::new();
        for (first, count) in runs {
            let mut next = first as usize;
            while next < (first + count) as usize && next < self.page_count() {
                hasher.update(&self.page(next)[..4]);
                next += self.unit_len(next);
            }
        }
        let digest = hasher.finalize();
        put_number(self.page_mut(slot), 80, 4, u64::from(digest));
        self.seal_meta(slot);
    }

    /// Sound pages of a kind, those that nothing refers to any more included.
    pub(crate) fn pages_of_kind(&self, kind: u8) -> Vec<usize> {
        (2..self.page_count()).filter(|&number| self.kind(number) == kind).collect()
    }

    /// The leaves of the newest meta's catalog, at most two levels below its root.
    pub(crate) fn catalog_leaves(&self) -> Vec<usize> {
        let Some(slot) = self.newest_slot() else { return Vec::new() };
        let meta = self.page(slot);
        let root = number_at(meta, 52, 4) as usize;
        let mut pages = if meta[64] > 0 { vec![root] } else { Vec::new() };
        for _ in 0..3 {
            pages.retain(|&page| (2..self.page_count()).contains(&page));
            pages = pages
                .into_iter()
                .flat_map(|page| match self.kind(page) {
                    BRANCH => (0..=self.key_count(page))
                        .map(|index| number_at(self.page(page), self.child_at(page, index), 4) as usize)
                        .collect(),
                    _ => vec![page],
                })
                .take(200)
                .collect();
        }
        pages.retain(|&page| (2..self.page_count()).contains(&page) && self.kind(page) == LEAF);
        pages
    }
}
