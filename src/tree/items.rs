//! The contents of one or two nodes, taken out to be shared out among pages anew.
//!
//! A branch's items are its children, each with the separator to its left as its key; the first child's key is
//! empty, and whichever item comes first in a page has its key not in that page but, as the separator, in
//! the parent. So leaves and branches are cut, merged and balanced by the same code.
//!
//! Invariants:
//! - No item is longer than half a page, so one item (leaf) or three (branch) fit a page whatever they are, and
//!   cutting ends.
//! - The prefix of a page is chosen to make the page smallest. Therefore a part of what fits a page fits a page,
//!   and the bytes of a part grow with it: cuts are found by binary search.
//! - Keys ascend strictly ([`Items::check_order`]) before anything is cut or built.

use std::ops::Range;

use crate::base::ChildRef;
use crate::error::{Result, corrupt};
use crate::format::branch::{self, BranchView};
use crate::format::leaf::{self, LeafView, Payload};
use crate::format::node::{self, HEAD_LEN, NewEntry};
use crate::tree::nodes::view_any_count;

/// Where to cut what does not fit one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Split {
    /// Into halves, near a short separator.
    Even,
    /// As far right as can be: the tree grows at its right end.
    FillLeft,
    /// As far left as can be: the tree grows at its left end.
    FillRight,
}

#[derive(Clone)]
struct Item {
    key_start: usize,
    key_len: usize,
    payload_start: usize,
    payload_len: usize,
    is_overflow: bool,
}

/// Items of one level, in order.
#[derive(Clone)]
pub(super) struct Items {
    page_size: usize,
    level: u8,
    has_overflow: bool,
    items: Vec<Item>,
    bytes: Vec<u8>,
}

impl Items {
    /// The items of a node.
    pub(super) fn of_node(page: &[u8], level: u8) -> Result<Items> {
        let mut items = Items {
            page_size: page.len(),
            level,
            has_overflow: node::has_overflow(page),
            items: Vec::with_capacity(node::key_count(page) + 2),
            bytes: Vec::with_capacity(2 * page.len()),
        };
        if level == 0 {
            let view: LeafView<'_> = view_any_count(page, 0)?;
            for index in 0..view.count() {
                let key_start = items.bytes.len();
                let key_len = view.push_key(index, &mut items.bytes)?;
                let (payload, is_overflow) = view.payload(index)?;
                leaf::check_lens(page, key_len, payload.len())?;
                items.push(key_start, key_len, payload, is_overflow);
            }
        } else {
            let view: BranchView<'_> = view_any_count(page, level)?;
            for index in 0..view.child_count() {
                let key_start = items.bytes.len();
                let key_len = if index == 0 { 0 } else { view.push_key(index - 1, &mut items.bytes)? };
                leaf::check_lens(page, key_len, 0)?;
                items.push(key_start, key_len, &view.child(index)?.0.to_le_bytes(), false);
            }
        }
        Ok(items)
    }

    fn push(&mut self, key_start: usize, key_len: usize, payload: &[u8], is_overflow: bool) {
        let payload_start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.items.push(Item { key_start, key_len, payload_start, payload_len: payload.len(), is_overflow });
    }

    /// Puts a leaf's entry in at `index`.
    pub(super) fn insert(&mut self, index: usize, key: &[u8], payload: Payload<'_>) {
        let (key_start, key_len) = (self.bytes.len(), key.len());
        self.bytes.extend_from_slice(key);
        let payload_start = self.bytes.len();
        self.bytes.resize(payload_start + payload.len(), 0);
        payload.write(&mut self.bytes[payload_start..]);
        let (payload_len, is_overflow) = (payload.len(), payload.is_overflow());
        self.items.insert(index, Item { key_start, key_len, payload_start, payload_len, is_overflow });
        self.has_overflow |= is_overflow;
    }

    /// Puts a branch's child in at `index`, with the separator to its left.
    pub(super) fn insert_child(&mut self, index: usize, separator: &[u8], child: ChildRef) {
        self.insert(index, separator, Payload::Inline(&child.0.to_le_bytes()));
    }

    /// Appends the items of the node to the right, which is set apart by `separator`.
    pub(super) fn append(&mut self, separator: &[u8], right: &Items) {
        self.has_overflow |= right.has_overflow;
        for (index, item) in right.items.iter().enumerate() {
            let key = if index == 0 && self.level > 0 { separator } else { right.key_of(item) };
            let key_start = self.bytes.len();
            self.bytes.extend_from_slice(key);
            self.push(key_start, key.len(), right.payload_of(item), item.is_overflow);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn has_overflow(&self) -> bool {
        self.has_overflow
    }

    /// Refuses items whose keys do not ascend: the page that they come from is damaged.
    pub(super) fn check_order(&self) -> Result<()> {
        let keyed = &self.items[usize::from(self.level > 0).min(self.items.len())..];
        if keyed.windows(2).all(|pair| self.key_of(&pair[0]) < self.key_of(&pair[1])) {
            return Ok(());
        }
        Err(corrupt(None, "order of the keys of a page that is being changed", "ascending", "otherwise"))
    }

    /// Whether everything fits one page.
    pub(super) fn fit_one_page(&self) -> bool {
        self.fits(0..self.len())
    }

    /// Bytes that the items of `range` take in a page of their own, header not counted.
    pub(super) fn used_bytes(&self, range: Range<usize>) -> usize {
        let keyed = self.keyed(range.clone());
        let prefix_len = self.prefix_len(keyed);
        let rest_len = |item: &Item| item.key_len.saturating_sub(prefix_len + HEAD_LEN);
        let rests: usize = keyed.iter().map(rest_len).sum();
        if self.level == 0 {
            let payloads: usize = keyed.iter().map(|item| item.payload_len).sum();
            prefix_len + rests + payloads + keyed.len() * leaf::entry_len(0, 0)
        } else {
            prefix_len + rests + branch::table_len(keyed.len())
        }
    }

    /// Where to cut: the index of the first item of each page but the first.
    pub(super) fn cuts(&self, split: Split) -> Vec<usize> {
        let mut cuts = Vec::new();
        let mut start = 0;
        while !self.fits(start..self.len()) {
            start = self.cut(start, split);
            cuts.push(start);
        }
        cuts
    }

    /// What separates the items before `cut` from those behind.
    pub(super) fn separator(&self, cut: usize) -> &[u8] {
        let key = self.key(cut);
        if self.level > 0 { key } else { &key[..common_len(self.key(cut - 1), key) + 1] }
    }

    /// Writes the items of `range` as a node into `page`.
    pub(super) fn build(&self, range: Range<usize>, page: &mut [u8]) -> Result<()> {
        let keyed = self.keyed(range.clone());
        let prefix = match keyed.first() {
            Some(first) => &self.key_of(first)[..self.prefix_len(keyed)],
            None => &[],
        };
        let entries = keyed.iter().map(|item| NewEntry {
            key: self.key_of(item),
            payload: if self.level == 0 { self.payload_of(item) } else { &[] },
            is_overflow: item.is_overflow,
        });
        if self.level == 0 {
            leaf::build(page, prefix, entries)?;
        } else {
            let children = self.items[range].iter().map(|item| self.child_of(item));
            branch::build(page, self.level, prefix, entries, children)?;
        }
        if self.has_overflow {
            node::set_has_overflow(page);
        }
        Ok(())
    }

    fn key(&self, index: usize) -> &[u8] {
        self.key_of(&self.items[index])
    }

    fn key_of(&self, item: &Item) -> &[u8] {
        &self.bytes[item.key_start..item.key_start + item.key_len]
    }

    fn payload_of(&self, item: &Item) -> &[u8] {
        &self.bytes[item.payload_start..item.payload_start + item.payload_len]
    }

    fn child_of(&self, item: &Item) -> ChildRef {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.payload_of(item));
        ChildRef(u32::from_le_bytes(bytes))
    }

    /// Those items of `range` whose keys would stand in the page.
    fn keyed(&self, range: Range<usize>) -> &[Item] {
        let items = &self.items[range];
        if self.level == 0 { items } else { items.get(1..).unwrap_or(&[]) }
    }

    /// The prefix that makes a page of these keys smallest. A longer one would only cut into heads: each byte of
    /// prefix saves a byte in every key that reaches beyond its head, so at least two must.
    fn prefix_len(&self, keyed: &[Item]) -> usize {
        let (Some(first), Some(last)) = (keyed.first(), keyed.last()) else { return 0 };
        let (mut longest, mut second) = (0, 0);
        for item in keyed {
            if item.key_len > longest {
                (longest, second) = (item.key_len, longest);
            } else {
                second = second.max(item.key_len);
            }
        }
        common_len(self.key_of(first), self.key_of(last)).min(second.saturating_sub(HEAD_LEN))
    }

    fn fits(&self, range: Range<usize>) -> bool {
        self.used_bytes(range) <= node::capacity(self.page_size)
    }

    /// The first cut behind `start`, where more than one page begins.
    fn cut(&self, start: usize, split: Split) -> usize {
        // A branch has two children at least.
        let least = if self.level == 0 { 1 } else { 2 };
        let end = self.len();
        let (first, last) = (start + least, end - least);
        let rightmost = first_where(first + 1..last + 1, |cut| !self.fits(start..cut)) - 1;
        if !self.fits(rightmost..end) {
            return rightmost;
        }
        let leftmost = first_where(first..rightmost, |cut| self.fits(cut..end));
        match split {
            Split::FillLeft => rightmost,
            Split::FillRight => leftmost,
            Split::Even => self.even_cut(start, leftmost, rightmost),
        }
    }

    /// The cut with the shortest separator among those near the middle.
    fn even_cut(&self, start: usize, leftmost: usize, rightmost: usize) -> usize {
        let end = self.len();
        let is_beyond = |cut: usize| self.used_bytes(start..cut) >= self.used_bytes(cut..end);
        let middle = first_where(leftmost..rightmost, is_beyond);
        let around = (end - start) / 16;
        let near = leftmost.max(middle.saturating_sub(around))..=rightmost.min(middle + around);
        near.min_by_key(|&cut| (self.separator(cut).len(), cut.abs_diff(middle))).unwrap_or(middle)
    }
}

/// The first of `range` where `holds`, which goes on to hold from there; the range's end if nowhere.
fn first_where(range: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end.max(range.start));
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// How many bytes `left` and `right` have in common at their beginning.
fn common_len(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}
