//! One entry of a node, borrowed from its page: what nodes are rebuilt from.
//!
//! Nothing is copied before the new page is written. The key stays in pieces, because most entries go to a page with
//! the same prefix: there head and heap bytes are copied unchanged.
//!
//! Invariants:
//! - The key is `prefix`, the head's bytes as far as `suffix_len` reaches, and the rest, which follows `lead` bytes
//!   in `heap`.

use std::cmp::Ordering;

use crate::base::{ChildRef, KeyBuf};
use crate::format::node::heads::HEAD_LEN;
use crate::format::node::layout::LEAF_LEAD;

/// An entry of a leaf; or a child of a branch, with the separator to its left.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) prefix: &'a [u8],
    pub(crate) head: u32,
    pub(crate) suffix_len: usize,
    /// In a leaf, the length of the payload, the key's rest and the payload; in a branch, the key's rest.
    pub(crate) heap: &'a [u8],
    pub(crate) lead: usize,
    pub(crate) is_overflow: bool,
    /// In a branch, the child.
    pub(crate) child: ChildRef,
}

impl<'a> Entry<'a> {
    /// A leaf's entry with `key`; `heap` is the length of the payload (u16), and the payload.
    pub(crate) fn of_leaf(key: &'a [u8], heap: &'a [u8], is_overflow: bool) -> Entry<'a> {
        Entry { prefix: key, head: 0, suffix_len: 0, heap, lead: LEAF_LEAD, is_overflow, child: ChildRef(0) }
    }

    /// A branch's child with `separator` to its left.
    pub(crate) fn of_branch(separator: &'a [u8], child: ChildRef) -> Entry<'a> {
        Entry { prefix: separator, head: 0, suffix_len: 0, heap: &[], lead: 0, is_overflow: false, child }
    }

    /// The same child with another separator. (The separator of a branch's first child is in the parent.)
    pub(crate) fn with_separator(self, separator: &'a [u8]) -> Entry<'a> {
        Entry::of_branch(separator, self.child)
    }

    /// Whether the value lies on overflow pages.
    pub(crate) fn is_overflow(&self) -> bool {
        self.is_overflow
    }

    /// Length of the whole key.
    #[inline]
    pub(crate) fn key_len(&self) -> usize {
        self.prefix.len() + self.suffix_len
    }

    /// Bytes of the value or its descriptor. 0 in a branch.
    #[inline]
    pub(crate) fn payload_len(&self) -> usize {
        self.heap.len() - self.lead - self.suffix_len.saturating_sub(HEAD_LEN)
    }

    /// The whole key.
    pub(crate) fn key(&self) -> KeyBuf {
        KeyBuf::from_pieces(self.prefix, self.head_bytes(), self.suffix_len.min(HEAD_LEN), self.rest())
    }

    /// Whether the key begins with `prefix`.
    pub(crate) fn has_prefix(&self, prefix: &[u8]) -> bool {
        self.key_len() >= prefix.len() && prefix.iter().enumerate().all(|(at, byte)| self.byte(at) == *byte)
    }

    /// The bytes of the suffix after its head.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.heap[self.lead..self.lead + self.suffix_len.saturating_sub(HEAD_LEN)]
    }

    /// The value or its descriptor.
    #[inline]
    pub(crate) fn payload(&self) -> &'a [u8] {
        &self.heap[self.heap.len() - self.payload_len()..]
    }

    /// Compares the keys.
    #[inline]
    pub(crate) fn compare_keys(&self, other: &Entry<'_>) -> Ordering {
        if !self.has_prefix_of(other) {
            return self.key().cmp(&*other.key());
        }
        let heads = self.head.cmp(&other.head);
        heads.then_with(|| self.rest().cmp(other.rest())).then(self.suffix_len.cmp(&other.suffix_len))
    }

    /// How many bytes the keys have in common at their beginning.
    #[inline]
    pub(crate) fn common_len(&self, other: &Entry<'_>) -> usize {
        if !self.has_prefix_of(other) {
            return self.common_len_apart(other);
        }
        let shortest = self.suffix_len.min(other.suffix_len);
        let differing = self.head ^ other.head;
        let common = if differing != 0 {
            differing.leading_zeros() as usize / 8
        } else {
            HEAD_LEN + common_len(self.rest(), other.rest())
        };
        self.prefix.len() + common.min(shortest)
    }

    /// [`Entry::common_len`] for entries of pages with different prefixes.
    fn common_len_apart(&self, other: &Entry<'_>) -> usize {
        let shortest = self.key_len().min(other.key_len());
        let mut common = common_len(self.prefix, other.prefix);
        while common < shortest && self.byte(common) == other.byte(common) {
            common += 1;
        }
        common
    }

    #[inline]
    fn has_prefix_of(&self, other: &Entry<'_>) -> bool {
        std::ptr::eq(self.prefix, other.prefix) || self.prefix == other.prefix
    }

    /// The head as bytes of the key, padded.
    #[inline]
    fn head_bytes(&self) -> [u8; HEAD_LEN] {
        let [b0, b1, b2, b3] = self.head.to_le_bytes();
        [b3, b2, b1, b0]
    }

    /// One byte of the key.
    fn byte(&self, at: usize) -> u8 {
        match at.checked_sub(self.prefix.len()) {
            None => self.prefix[at],
            Some(at) if at < HEAD_LEN => self.head_bytes()[at],
            Some(at) => self.heap[self.lead + at - HEAD_LEN],
        }
    }
}

/// How many bytes `left` and `right` have in common at their beginning.
fn common_len(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::leaf::{self, LeafView, Payload};
    use crate::format::node::NodeView;
    use crate::format::page::MIN_PAGE_SIZE;

    const KEYS: [&[u8]; 10] = [
        b"ab",
        b"ab\0",
        b"ab\0\0\0\0",
        b"ab\0\0\0\0\0",
        b"abc",
        b"abcdef",
        b"abcdefg",
        b"abcdefh",
        b"abcdefhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh",
        b"abd",
    ];

    fn page_of(prefix: &[u8]) -> Vec<u8> {
        let mut page = vec![0; MIN_PAGE_SIZE];
        leaf::init(&mut page, prefix);
        for (index, key) in KEYS.iter().enumerate() {
            assert!(leaf::insert(&mut page, index, key, Payload::Inline(&key[1..])).unwrap());
        }
        page
    }

    #[test]
    fn keys_compare_alike_wherever_their_prefixes_end() {
        let pages = [page_of(b""), page_of(b"a"), page_of(b"ab")];
        let pieces = |index: usize| {
            let in_pages =
                pages.iter().map(move |page| LeafView::new(page).unwrap().leaf_entry(index).unwrap());
            in_pages.chain([Entry::of_branch(KEYS[index], ChildRef(0))])
        };
        for (left, left_key) in KEYS.iter().enumerate() {
            for (right, right_key) in KEYS.iter().enumerate() {
                for (one, other) in pieces(left).flat_map(|one| pieces(right).map(move |other| (one, other)))
                {
                    assert_eq!((&*one.key(), one.key_len()), (*left_key, left_key.len()));
                    assert_eq!(one.compare_keys(&other), left_key.cmp(right_key));
                    assert_eq!(one.common_len(&other), common_len(left_key, right_key));
                }
            }
        }
    }
}
