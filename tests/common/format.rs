//! Reads a database file as docs/FORMAT.md says, without the library: so tests know which page holds what.

use std::collections::BTreeMap;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Where the newest meta page of a file with pages of 4 KiB says that the ring of the redo log lies, in bytes.
pub(crate) fn ring_of(file: &[u8]) -> std::ops::Range<usize> {
    let metas = file.chunks(4096).take(2).filter(|page| page.starts_with(b"mapleaf\0"));
    let newest = metas.max_by_key(|meta| u64_at(meta, 40)).unwrap();
    let (first, pages) = (u32_at(newest, 104) as usize, u32_at(newest, 108) as usize);
    first * 4096..(first + pages) * 4096
}

pub(crate) const LEAF: u8 = 1;
pub(crate) const BRANCH: u8 = 2;

/// A value as a leaf has it.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Inline(Vec<u8>),
    /// First page and length in bytes.
    Overflow(u32, u64),
}

/// An entry of a table, and where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) leaf: u32,
    /// First page and number of pages.
    pub(crate) run: Option<(u32, u32)>,
}

/// A tree's pages and entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) root: Option<u32>,
    pub(crate) leaves: Vec<u32>,
    /// With their levels, parents first.
    pub(crate) branches: Vec<(u32, u8)>,
    pub(crate) entries: Vec<Entry>,
}

/// A state of the database.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) id: u64,
    pub(crate) page_size: usize,
    pub(crate) length_pages: u32,
    pub(crate) catalog: Tree,
    pub(crate) tables: BTreeMap<String, Tree>,
    /// Newest first.
    pub(crate) log_pages: Vec<u32>,
}

fn page(file: &[u8], page_size: usize, number: u32) -> &[u8] {
    &file[number as usize * page_size..][..page_size]
}

pub(crate) fn children(page: &[u8]) -> Vec<u32> {
    let count = u16_at(page, 18);
    (0..=count).map(|index| u32_at(page, 32 + 4 * count + 4 * index)).collect()
}

pub(crate) fn leaf_entries(page: &[u8]) -> Vec<(Vec<u8>, Value)> {
    let (count, prefix_len) = (u16_at(page, 18), u16_at(page, 20));
    let prefix = &page[page.len() - prefix_len..];
    if u16_at(page, 26) & 2 != 0 {
        return dense_leaf_entries(page, prefix);
    }
    let entry = |index: usize| {
        let mut head = page[32 + 4 * index..][..4].to_vec();
        head.reverse();
        let slot = 32 + 4 * count + 4 * index;
        let (offset, length) = (u16_at(page, slot), u16_at(page, slot + 2));
        let (suffix_len, is_overflow) = (length & 0x7fff, length & 0x8000 != 0);
        let value_len = u16_at(page, offset);
        let (rest, value) = page[offset + 2..][..suffix_len.saturating_sub(4) + value_len]
            .split_at(suffix_len.saturating_sub(4));
        let key = [prefix, &head[..suffix_len.min(4)], rest].concat();
        let value = match is_overflow {
            true => Value::Overflow(u32_at(value, 0), u64_at(value, 4)),
            false => Value::Inline(value.to_vec()),
        };
        (key, value)
    };
    (0..count).map(entry).collect()
}

fn dense_leaf_entries(page: &[u8], prefix: &[u8]) -> Vec<(Vec<u8>, Value)> {
    let (count, value_len, suffix_len) = (u16_at(page, 18), u16_at(page, 22), u16_at(page, 24));
    let rest_len = suffix_len.saturating_sub(4);
    let cell_len = rest_len + value_len;
    let entry = |index: usize| {
        let mut head = page[32 + 4 * index..][..4].to_vec();
        head.reverse();
        let cell = page.len() - prefix.len() - (index + 1) * cell_len;
        let (rest, value) = page[cell..cell + cell_len].split_at(rest_len);
        ([prefix, &head[..suffix_len.min(4)], rest].concat(), Value::Inline(value.to_vec()))
    };
    (0..count).map(entry).collect()
}

fn tree(file: &[u8], page_size: usize, root: u32, depth: u8) -> Tree {
    let mut tree = Tree { root: (depth > 0).then_some(root), ..Tree::default() };
    if depth > 0 {
        visit(file, page_size, root, depth - 1, &mut tree);
    }
    tree
}

fn visit(file: &[u8], page_size: usize, number: u32, level: u8, tree: &mut Tree) {
    let bytes = page(file, page_size, number);
    assert_eq!((u32_at(bytes, 4), bytes[17]), (number, level), "a sound file");
    if level > 0 {
        tree.branches.push((number, level));
        for child in children(bytes) {
            visit(file, page_size, child, level - 1, tree);
        }
        return;
    }
    tree.leaves.push(number);
    for (key, value) in leaf_entries(bytes) {
        let (value, run) = match value {
            Value::Inline(value) => (value, None),
            Value::Overflow(first, length) => {
                let start = first as usize * page_size + 32;
                let pages = (32 + length).div_ceil(page_size as u64) as u32;
                (file[start..start + length as usize].to_vec(), Some((first, pages)))
            }
        };
        tree.entries.push(Entry { key, value, leaf: number, run });
    }
}

/// The states that the meta pages of a sound file describe, newest first.
pub(crate) fn layouts(file: &[u8], page_size: usize) -> Vec<Layout> {
    let mut layouts: Vec<Layout> = (0..2)
        .map(|slot| page(file, page_size, slot))
        .filter(|record| record.starts_with(b"mapleaf\0"))
        .map(|record| layout(file, page_size, record))
        .collect();
    layouts.sort_by_key(|layout| std::cmp::Reverse(layout.id));
    layouts
}

fn layout(file: &[u8], page_size: usize, record: &[u8]) -> Layout {
    let catalog = tree(file, page_size, u32_at(record, 52), record[64]);
    let table = |entry: &Entry| {
        let name = String::from_utf8(entry.key.clone()).unwrap();
        (name, tree(file, page_size, u32_at(&entry.value, 0), entry.value[4]))
    };
    let tables = catalog.entries.iter().map(table).collect();
    let newest_log_page = Some(u32_at(record, 68)).filter(|&number| number != 0);
    let log_pages = std::iter::successors(newest_log_page, |&number| {
        Some(u32_at(page(file, page_size, number), 20)).filter(|&previous| previous != 0)
    });
    Layout {
        id: u64_at(record, 40),
        page_size,
        length_pages: u32_at(record, 48),
        catalog,
        tables,
        log_pages: log_pages.collect(),
    }
}
