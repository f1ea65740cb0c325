//! The contents of one or two nodes, taken out to be distributed to pages again.
//!
//! A branch's items are its children, each with the separator to its left as its key; the first child's key is empty.
//! The key of the first item in a page is not in that page but in the parent, as the separator. Leaves and branches
//! are thus cut, merged and balanced by the same code.
//!
//! Invariants:
//! - No item is longer than half a page, so one item (leaf) or three (branch) fit a page whatever they are, and
//!   cutting ends.
//! - The prefix of a page is chosen to make the page smallest. Therefore a part of what fits a page fits a page,
//!   and the bytes of a part grow with it: cuts are found by binary search. (A part can make a dense leaf where the
//!   whole cannot, and is smaller then by more.)
//! - Keys ascend strictly ([`Items::new`]) before anything is cut or built.
//! - Items borrow from pages, which are lifted out of their frames (`Frames::lift`) before anything is built there.

use std::ops::Range;

use crate::error::{Result, corrupt};
use crate::format::branch::{self, BranchView};
use crate::format::leaf::{self, LeafView};
use crate::format::node::{self, Entry, HEAD_LEN, NodeView};
use crate::tree::nodes::view_any_count;

/// Where to cut items that do not fit one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Split {
    /// Into halves, near a short separator.
    Even,
    /// As far right as possible: the tree grows at its right end.
    FillLeft,
    /// As far left as possible: the tree grows at its left end.
    FillRight,
}

/// What the keys and payloads of the items before one have in bytes, and how many of the last of these items are such
/// that a leaf of them is dense.
#[derive(Clone, Copy)]
struct Sums {
    keys: usize,
    payloads: usize,
    alike: usize,
}

/// Items of one level, in order.
pub(super) struct Items<'a> {
    page_size: usize,
    level: u8,
    has_overflow: bool,
    items: Vec<Entry<'a>>,
    /// One for each item, and one for all.
    sums: Vec<Sums>,
    /// Length of the shortest key.
    shortest: usize,
    /// Length of the longest key, and of the longest but one.
    longest: [usize; 2],
}

/// The items of a node.
pub(super) fn items_of(page: &[u8], level: u8) -> Result<Vec<Entry<'_>>> {
    // Capacity for new items, and for those of a sibling.
    let mut items = Vec::with_capacity(node::key_count(page) + 3);
    if level == 0 {
        let view: LeafView<'_> = view_any_count(page, 0)?;
        if view.append_dense_entries(&mut items)? {
            return Ok(items);
        }
        for index in 0..view.count() {
            let entry = view.leaf_entry(index)?;
            leaf::check_lens(page, entry.key_len(), entry.payload_len())?;
            items.push(entry);
        }
    } else {
        let view: BranchView<'_> = view_any_count(page, level)?;
        for index in 0..view.child_count() {
            let entry = view.branch_entry(index)?;
            leaf::check_lens(page, entry.key_len(), 0)?;
            items.push(entry);
        }
    }
    Ok(items)
}

impl<'a> Items<'a> {
    /// `items` of `level`, for pages of `page_size`. Refuses them if their keys do not ascend: the page that they
    /// come from is damaged.
    pub(super) fn new(
        page_size: usize,
        level: u8,
        has_overflow: bool,
        items: Vec<Entry<'a>>,
    ) -> Result<Items<'a>> {
        let keyed = &items[usize::from(level > 0).min(items.len())..];
        if !keyed.windows(2).all(|pair| pair[0].compare_keys(&pair[1]).is_lt()) {
            let expected = "ascending";
            return Err(corrupt(
                None,
                "order of the keys of a page that is being changed",
                expected,
                "otherwise",
            ));
        }
        let shortest = keyed.iter().map(Entry::key_len).min().unwrap_or(0);
        let longest = longest_two(keyed);
        let mut sum = Sums { keys: 0, payloads: 0, alike: 0 };
        let mut sums = Vec::with_capacity(items.len() + 1);
        sums.push(sum);
        for (index, item) in items.iter().enumerate() {
            sum.keys += item.key_len();
            sum.payloads += item.payload_len();
            let goes_on = index > 0 && leaf::is_alike(&items[index - 1], item);
            sum.alike = usize::from(leaf::may_be_dense(item)) * (1 + if goes_on { sum.alike } else { 0 });
            sums.push(sum);
        }
        Ok(Items { page_size, level, has_overflow, items, sums, shortest, longest })
    }

    /// Returns these items together with `others`: those of the node to the right if `are_left`, otherwise of that to
    /// the left. `separator` separates them.
    pub(super) fn joined_with<'b>(
        &self,
        others: &[Entry<'b>],
        separator: &'b [u8],
        are_left: bool,
        has_overflow: bool,
    ) -> Result<Items<'b>>
    where
        'a: 'b,
    {
        let (left, right): (&[Entry<'b>], &[Entry<'b>]) =
            if are_left { (&self.items, others) } else { (others, &self.items) };
        let mut items = Vec::with_capacity(left.len() + right.len());
        items.extend_from_slice(left);
        items.extend_from_slice(right);
        if self.level > 0
            && let Some(first) = items.get_mut(left.len())
        {
            *first = first.with_separator(separator);
        }
        Items::new(self.page_size, self.level, self.has_overflow || has_overflow, items)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether everything fits one page.
    pub(super) fn fit_one_page(&self) -> bool {
        self.fits(0..self.len())
    }

    /// Bytes that the items of `range` take in a page of their own, header not counted.
    pub(super) fn used_bytes(&self, range: Range<usize>) -> usize {
        let keyed = self.keyed(range);
        let prefix_len = self.prefix_len(keyed.clone());
        let (from, to) = (self.sums[keyed.start], self.sums[keyed.end]);
        let rests = if prefix_len + HEAD_LEN <= self.shortest {
            to.keys - from.keys - keyed.len() * (prefix_len + HEAD_LEN)
        } else if self.longest[0] <= prefix_len + HEAD_LEN {
            0
        } else {
            let rest_len = |item: &Entry<'_>| item.key_len().saturating_sub(prefix_len + HEAD_LEN);
            self.items[keyed.clone()].iter().map(rest_len).sum()
        };
        let tables = if self.level > 0 {
            branch::table_len(keyed.len())
        } else if to.alike >= keyed.len() {
            keyed.len() * HEAD_LEN
        } else {
            keyed.len() * leaf::entry_len(0, 0)
        };
        prefix_len + rests + to.payloads - from.payloads + tables
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

    /// Returns the separator between the items before `cut` and those from it on.
    pub(super) fn separator(&self, cut: usize) -> Vec<u8> {
        self.items[cut].key()[..self.separator_len(cut)].to_vec()
    }

    fn separator_len(&self, cut: usize) -> usize {
        let item = &self.items[cut];
        if self.level > 0 { item.key_len() } else { self.items[cut - 1].common_len(item) + 1 }
    }

    /// Writes the items of `range` as a node into `page`.
    pub(super) fn build(&self, range: Range<usize>, page: &mut [u8]) -> Result<()> {
        let keyed = self.keyed(range.clone());
        let prefix_len = self.prefix_len(keyed.clone());
        let first = self.items[keyed].first().map(Entry::key);
        let prefix = first.as_deref().map_or(&[][..], |key| &key[..prefix_len]);
        if self.level == 0 {
            leaf::build(page, prefix, &self.items[range])?;
        } else {
            branch::build(page, self.level, prefix, &self.items[range])?;
        }
        if self.has_overflow {
            node::set_has_overflow(page);
        }
        Ok(())
    }

    /// Returns the items of `range` whose keys would be stored in the page.
    fn keyed(&self, range: Range<usize>) -> Range<usize> {
        if self.level == 0 { range } else { (range.start + 1).min(range.end)..range.end }
    }

    /// The prefix that makes a page of these keys smallest. A longer one would only cut into heads: each byte of
    /// prefix saves a byte in every key that reaches beyond its head, so at least two must.
    fn prefix_len(&self, keyed: Range<usize>) -> usize {
        let keyed = &self.items[keyed];
        let [first, .., last] = keyed else { return 0 };
        if self.longest[1] <= HEAD_LEN {
            return 0;
        }
        let common = first.common_len(last);
        if common + HEAD_LEN <= self.shortest {
            return common;
        }
        common.min(longest_two(keyed)[1].saturating_sub(HEAD_LEN))
    }

    /// Whether the items of `range` fit one page.
    pub(super) fn fits(&self, range: Range<usize>) -> bool {
        self.used_bytes(range) <= node::capacity(self.page_size)
    }

    /// Returns the first cut after `start`, if more than one page is needed.
    fn cut(&self, start: usize, split: Split) -> usize {
        // A branch has at least two children.
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
        near.min_by_key(|&cut| (self.separator_len(cut), cut.abs_diff(middle))).unwrap_or(middle)
    }
}

/// The lengths of the two longest keys.
fn longest_two(items: &[Entry<'_>]) -> [usize; 2] {
    items.iter().map(Entry::key_len).fold([0, 0], |[longest, second], key_len| {
        if key_len > longest { [key_len, longest] } else { [longest, second.max(key_len)] }
    })
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
