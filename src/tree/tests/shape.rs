//! The shape that trees get: how full pages are, how few are touched.

use crate::format::leaf::LeafView;
use crate::format::node::NodeView;
use std::ops::Bound;

use super::store::{Found, Model, Store, walk_all};
use crate::base::PageNumber;
use crate::error::Error;
use crate::format::page::{MIN_PAGE_SIZE, max_key_len};
use crate::tree::NewValue;
use crate::tree::pages::TreeRoot;

const COUNT: u64 = if cfg!(miri) { 90 } else { 20_000 };

/// A permutation of 64-bit numbers (splitmix64), for keys in random order.
fn scrambled(number: u64) -> u64 {
    let mut x = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn key_24(number: u64) -> Vec<u8> {
    format!("key-{number:020}").into_bytes()
}

fn loaded(page_size: usize, numbers: impl Iterator<Item = u64>) -> (Store, TreeRoot) {
    let mut store = Store::new(page_size);
    for number in numbers {
        let value = NewValue::Bytes(&[number as u8; 150]);
        store.tree.insert(&store.pages, &key_24(number), value).unwrap();
    }
    let root = store.commit();
    (store, root)
}

fn fill_factor(found: &Found, page_size: usize) -> f64 {
    found.leaf_used_bytes as f64 / (found.leaves * page_size) as f64
}

#[test]
fn ascending_and_descending_loads_fill_pages() {
    let (store, root) = loaded(MIN_PAGE_SIZE, 0..COUNT);
    let ascending = fill_factor(&walk_all(&store.pages, &root), MIN_PAGE_SIZE);
    let (store, root) = loaded(MIN_PAGE_SIZE, (0..COUNT).rev());
    let descending = fill_factor(&walk_all(&store.pages, &root), MIN_PAGE_SIZE);
    println!("fill factor: ascending {ascending:.3}, descending {descending:.3}");
    assert!(ascending > 0.9 && descending > 0.9, "{ascending} {descending}");
}

#[test]
fn appending_goes_on_rightly_whatever_comes_between() {
    let mut store = Store::new(MIN_PAGE_SIZE);
    let mut model = Model::new();
    let all = (Bound::Unbounded, Bound::Unbounded);
    for number in 0..COUNT.min(3000) {
        let length = if number % 13 == 0 { 2 * MIN_PAGE_SIZE } else { number as usize % 7 * 40 };
        let (key, value) = (key_24(10 * number), vec![number as u8; length]);
        store.tree.insert(&store.pages, &key, NewValue::Bytes(&value)).unwrap();
        model.insert(key.clone(), value.clone());
        match number % 97 {
            10 => {
                store.tree.remove(&store.pages, &key).unwrap();
                model.remove(&key);
            }
            20 => {
                store.commit();
            }
            30 => {
                let from = key_24(10 * number.saturating_sub(60));
                store.tree.remove_range(&store.pages, Bound::Included(&from), Bound::Unbounded).unwrap();
                model.split_off(&from);
            }
            40 => {
                let between = key_24(10 * number - 5);
                store.tree.insert(&store.pages, &between, NewValue::Bytes(b"between")).unwrap();
                model.insert(between, b"between".to_vec());
            }
            50 => {
                // The key that was put in last, again, with a longer value.
                let longer = [value, vec![1; 300]].concat();
                store.tree.insert(&store.pages, &key, NewValue::Bytes(&longer)).unwrap();
                model.insert(key, longer);
            }
            21..=29 | 70 | 80 => store.spill_finished(),
            60 if number % 5 == 0 => {
                store.tree.remove_range(&store.pages, all.0, all.1).unwrap();
                model.clear();
            }
            _ => {}
        }
        if number % 97 > 90 {
            store.assert_sees(&model);
        }
    }
    let root = store.commit();
    store.assert_sees(&model);
    walk_all(&store.pages, &root);
}

#[test]
fn random_load_fills_pages_to_four_fifths() {
    let (store, root) = loaded(MIN_PAGE_SIZE, (0..COUNT).map(scrambled));
    let fill = fill_factor(&walk_all(&store.pages, &root), MIN_PAGE_SIZE);
    println!("fill factor: random {fill:.3}");
    assert!(cfg!(miri) || fill > 0.8, "{fill}");
}

#[test]
fn leaves_of_a_load_lie_in_order_side_by_side() {
    let (store, root) = loaded(MIN_PAGE_SIZE, (0..COUNT).map(scrambled));
    let found = walk_all(&store.pages, &root);
    // The walk meets leaves in key order, but a map sorts them: so look at the leaves' first keys instead.
    let first_keys: Vec<_> = (1..=found.leaves as u32)
        .map(|number| {
            let page = crate::tree::pages::PageSource::page(&store.pages, PageNumber(number)).unwrap();
            LeafView::new(page).unwrap().key(0).unwrap().to_vec()
        })
        .collect();
    assert!(first_keys.is_sorted());
}

#[test]
fn removing_all_but_a_few_gives_pages_back() {
    let (mut store, _) = loaded(MIN_PAGE_SIZE, 0..COUNT);
    for number in (0..COUNT).filter(|number| number % 50 != 0) {
        assert!(store.tree.remove(&store.pages, &key_24(number)).unwrap());
    }
    let root = store.commit();
    let found = walk_all(&store.pages, &root);
    let fill = fill_factor(&found, MIN_PAGE_SIZE);
    println!("fill factor: thinned out {fill:.3}");
    assert!(cfg!(miri) || fill > 0.25, "{fill}");
    for number in (0..COUNT).step_by(50) {
        assert!(store.tree.remove(&store.pages, &key_24(number)).unwrap());
    }
    assert_eq!(store.commit(), TreeRoot::default());
}

#[test]
fn a_small_change_copies_one_path() {
    let (mut store, root) = loaded(MIN_PAGE_SIZE, 0..COUNT);
    assert!(!store.tree.remove(&store.pages, b"not there").unwrap());
    assert_eq!(store.tree.dirty_page_count(), 0);
    store.tree.insert(&store.pages, &key_24(COUNT / 2), NewValue::Bytes(&[1; 150])).unwrap();
    assert_eq!(store.tree.dirty_page_count(), usize::from(root.depth));
    assert_eq!(store.tree.take_retired().len(), usize::from(root.depth));
}

#[test]
fn deleting_a_wide_range_changes_only_its_edges() {
    let (mut store, root) = loaded(MIN_PAGE_SIZE, 0..COUNT);
    let (lower, upper) = (key_24(COUNT / 10), key_24(COUNT - COUNT / 10));
    let removed =
        store.tree.remove_range(&store.pages, Bound::Included(&lower), Bound::Excluded(&upper)).unwrap();
    assert_eq!(removed, COUNT - COUNT / 5);
    assert!(store.tree.dirty_page_count() <= 4 * usize::from(root.depth));
    store.commit();
    assert_eq!(store.tree.len(), COUNT / 5);
}

#[test]
fn stored_values_are_read_and_retired_like_others() {
    let mut store = Store::new(MIN_PAGE_SIZE);
    let value = vec![7; 3 * MIN_PAGE_SIZE];
    store.tree.insert(&store.pages, b"own", NewValue::Bytes(&value)).unwrap();
    let root = store.commit();
    // The run that was just stored serves as one that a caller has written.
    let first = PageNumber(1);
    let mut tree =
        crate::tree::TreeMut::new(&TreeRoot::default(), crate::base::TransactionId(2), MIN_PAGE_SIZE);
    let stored = NewValue::Stored { first, length: value.len() as u64 };
    assert!(tree.insert(&store.pages, b"given", stored).unwrap());
    assert_eq!(tree.get(&store.pages, b"given").unwrap(), Some(&value[..]));
    assert!(!tree.insert(&store.pages, b"given", NewValue::Bytes(b"short")).unwrap());
    let retired = tree.take_retired();
    assert_eq!((retired.len(), retired[0].run.first, retired[0].run.count), (1, first, 4));
    assert_eq!(crate::tree::get(&store.pages, &root, b"own").unwrap(), Some(&value[..]));
}

#[test]
fn limits_are_errors_that_change_nothing() {
    let mut store = Store::new(MIN_PAGE_SIZE);
    let longest = vec![1; max_key_len(MIN_PAGE_SIZE)];
    let too_long = vec![1; longest.len() + 1];
    let result = store.tree.insert(&store.pages, &too_long, NewValue::Bytes(b""));
    assert!(matches!(result, Err(Error::KeyTooLong { .. })));
    let huge = NewValue::Stored { first: PageNumber(1), length: 1 << 32 };
    assert!(matches!(store.tree.insert(&store.pages, b"", huge), Err(Error::ValueTooLarge { .. })));
    assert!(store.tree.insert(&store.pages, &longest, NewValue::Bytes(b"")).unwrap());
    store.assert_sees(&Model::from([(longest, Vec::new())]));
}
