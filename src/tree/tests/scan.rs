//! Scans from both ends, over all kinds of leaves, through a leaf that is kept open.

use std::collections::VecDeque;
use std::ops::Bound;

use super::store::{Model, Store};
use crate::base::PageNumber;
use crate::error::{Error, corrupt};
use crate::format::page::MIN_PAGE_SIZE;
use crate::tree::pages::{PageSource, TreeRoot};
use crate::tree::{End, Leaves, NewValue, Nodes, OpenLeaf, RangeCursor};

/// The length of the value with a number.
type ValueLen = fn(usize) -> usize;

/// Lengths of keys and values: dense leaves with keys of one word and of several, leaves with slots, keys that need an
/// allocation, values on overflow pages among others.
const SHAPES: [(usize, ValueLen); 7] = [
    (8, |_| 8),
    (24, |_| 0),
    (8, |_| 100),
    (24, |number| number % 150),
    (40, |number| number % 60),
    (66, |_| 32),
    (12, |number| if number % 50 == 0 { 5000 } else { 20 }),
];

fn key(number: usize, len: usize) -> Vec<u8> {
    // Runs of 100 with a common beginning, so that prefixes have several lengths.
    let mut key = format!("{:04}", number / 100).into_bytes();
    key.resize(len - 4, b'-');
    key.extend_from_slice(format!("{:04}", number % 100).as_bytes());
    key
}

/// A tree of which a part is finished pages and a part frames, and what is in it.
fn half_spilled(key_len: usize, value_len: ValueLen) -> (Store, Model) {
    let count = if cfg!(miri) { 200 } else { 3000 };
    let (mut store, mut model) = (Store::new(MIN_PAGE_SIZE), Model::new());
    let mut insert = |store: &mut Store, number: usize| {
        let (key, value) = (key(number, key_len), vec![number as u8; value_len(number)]);
        store.tree.insert(&store.pages, &key, NewValue::Bytes(&value)).unwrap();
        model.insert(key, value);
    };
    (0..count).filter(|number| number % 3 > 0).for_each(|number| insert(&mut store, number));
    store.spill();
    (0..count).filter(|number| number % 300 < 100).for_each(|number| insert(&mut store, number));
    (store, model)
}

fn random(state: &mut u64, limit: usize) -> usize {
    *state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
    (*state >> 33) as usize % limit
}

type Left<'a> = VecDeque<(&'a [u8], &'a [u8])>;

/// Takes `count` entries from one end of both. Returns whether there were as many.
fn take<'a>(
    nodes: impl Nodes<'a>,
    (cursor, open): (&mut RangeCursor, &mut OpenLeaf<'a>),
    left: &mut Left<'_>,
    end: End,
    count: usize,
) -> bool {
    (0..count).all(|_| {
        let (found, expected) = match end {
            End::Front => (cursor.next_in(nodes, open).unwrap(), left.pop_front()),
            End::Back => (cursor.next_back_in(nodes, open).unwrap(), left.pop_back()),
        };
        assert_eq!(found.as_ref().map(|(key, value)| (&**key, *value)), expected);
        found.is_some()
    })
}

#[test]
fn two_ends_meet_wherever_they_turn() {
    for (shape, (key_len, value_len)) in SHAPES.into_iter().enumerate() {
        let (store, model) = half_spilled(key_len, value_len);
        let nodes = store.tree.nodes(&store.pages);
        let mut state = shape as u64;
        for longest in [1, 3, 40, 1000] {
            let mut left: Left<'_> = model.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            let mut cursor = store.tree.range(Bound::Unbounded, Bound::Unbounded);
            let mut open = OpenLeaf::default();
            let mut is_more = true;
            while is_more {
                let end = if random(&mut state, 2) == 0 { End::Front } else { End::Back };
                let count = 1 + random(&mut state, longest);
                is_more = take(nodes, (&mut cursor, &mut open), &mut left, end, count);
            }
            assert!(left.is_empty());
        }
    }
}

#[test]
fn a_seek_goes_anywhere_and_never_past_the_other_end() {
    for (shape, (key_len, value_len)) in SHAPES.into_iter().enumerate() {
        let (store, model) = half_spilled(key_len, value_len);
        let nodes = store.tree.nodes(&store.pages);
        let mut state = shape as u64;
        let keys: Vec<&Vec<u8>> = model.keys().collect();
        let mut cursor = store.tree.range(Bound::Unbounded, Bound::Unbounded);
        for _ in 0..20 {
            let (one, other) = (random(&mut state, keys.len()), random(&mut state, keys.len()));
            let (first, last) = (keys[one.min(other)], keys[one.max(other)]);
            cursor.seek(End::Front, Bound::Included(first));
            cursor.seek(End::Back, Bound::Excluded(last));
            let mut open = OpenLeaf::default();
            let mut left: Left<'_> = model
                .range::<[u8], _>((Bound::Included(&first[..]), Bound::Excluded(&last[..])))
                .map(|(key, value)| (&key[..], &value[..]))
                .collect();
            let (front, back) = (random(&mut state, 200), random(&mut state, 200));
            take(nodes, (&mut cursor, &mut open), &mut left, End::Back, back);
            take(nodes, (&mut cursor, &mut open), &mut left, End::Front, front);
            take(nodes, (&mut cursor, &mut open), &mut left, End::Back, usize::MAX);
        }
    }
}

/// Finished pages, one of which cannot be read.
struct Damaged<'a>(&'a Store, PageNumber);

impl PageSource for Damaged<'_> {
    fn page_size(&self) -> usize {
        self.0.pages.page_size()
    }

    fn page_count(&self) -> u32 {
        self.0.pages.page_count()
    }

    fn page(&self, number: PageNumber) -> Result<&[u8], Error> {
        if number == self.1 {
            return Err(corrupt(Some(number.0), "checksum", "right", "wrong"));
        }
        self.0.pages.page(number)
    }

    fn overflow(&self, first: PageNumber) -> Result<&[u8], Error> {
        self.0.pages.overflow(first)
    }

    fn overflow_page_count(&self, first: PageNumber) -> Result<u32, Error> {
        self.0.pages.overflow_page_count(first)
    }

    fn prefetch(&self, _: PageNumber) {}
}

fn leaf_of(store: &Store, root: &TreeRoot, key: &[u8]) -> PageNumber {
    let bounds = (Bound::Included(key), Bound::Included(key));
    let mut leaves = Leaves::new(&store.pages, root, bounds, End::Front);
    let leaf = leaves.next().unwrap().expect("a leaf");
    assert!(leaves.next().unwrap().is_none());
    leaf.page().unwrap()
}

#[test]
fn an_unreadable_leaf_stops_both_ends_before_it_and_both_stay() {
    for (key_len, value_len) in SHAPES {
        let (mut store, model) = half_spilled(key_len, value_len);
        let root = store.commit();
        let keys: Vec<&Vec<u8>> = model.keys().collect();
        let bad = leaf_of(&store, &root, keys[keys.len() / 2]);
        let pages = Damaged(&store, bad);
        let in_bad = |key: &[u8]| leaf_of(&store, &root, key) == bad;
        let before = keys.iter().take_while(|key| !in_bad(key)).count();
        let after = keys.iter().rev().take_while(|key| !in_bad(key)).count();
        assert!(before > 0 && after > 0 && before + after < keys.len());

        let mut cursor = RangeCursor::new(&root, Bound::Unbounded, Bound::Unbounded);
        let mut open = OpenLeaf::default();
        for key in &keys[..before] {
            assert_eq!(*cursor.next_in(&pages, &mut open).unwrap().unwrap().0, key[..]);
        }
        for _ in 0..3 {
            assert!(matches!(cursor.next_in(&pages, &mut open), Err(Error::Corrupt(_))));
        }
        for key in keys[keys.len() - after..].iter().rev() {
            assert_eq!(*cursor.next_back_in(&pages, &mut open).unwrap().unwrap().0, key[..]);
        }
        for _ in 0..3 {
            assert!(matches!(cursor.next_back_in(&pages, &mut open), Err(Error::Corrupt(_))));
            assert!(matches!(cursor.next_in(&pages, &mut open), Err(Error::Corrupt(_))));
        }
    }
}
