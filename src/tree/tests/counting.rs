//! Counts, estimates, ranks, samples and cuts, against a list of the keys.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::store::{Pages, Store};
use crate::base::SplitMix64;
use crate::format::page::MIN_PAGE_SIZE;
use crate::tree::pages::TreeRoot;
use crate::tree::{Bounds, NewValue, boundaries, count_range, entry_of_rank, estimate_range, sample};

/// Key lengths, maximal lengths of values, and numbers of entries: an empty tree, one leaf, two and three levels.
const SHAPES: [(usize, u64, usize); 6] =
    [(8, 90, 0), (8, 90, 1), (8, 90, 20), (8, 90, 3000), (1500, 90, 400), (8, 1700, 3000)];

fn tree((key_len, value_len, count): (usize, u64, usize)) -> (Pages, TreeRoot, Vec<Vec<u8>>) {
    let count = if cfg!(miri) { count.min(60) } else { count };
    let mut random = SplitMix64::new(key_len as u64);
    let mut store = Store::new(MIN_PAGE_SIZE);
    let mut keys = Vec::new();
    for _ in 0..count {
        let key = format!("{:0key_len$}", random.below(1_000_000)).into_bytes();
        store.tree.insert(&store.pages, &key, NewValue::Zeroed(random.below(value_len) as usize)).unwrap();
        keys.push(key);
    }
    keys.sort();
    keys.dedup();
    let root = store.commit();
    (store.pages, root, keys)
}

fn some_bound(random: &mut SplitMix64, keys: &[Vec<u8>]) -> Bound<Vec<u8>> {
    let mut key = || match keys.get(random.below(keys.len() as u64 + 1) as usize) {
        Some(key) if random.below(2) == 0 => key.clone(),
        Some(key) => [&key[..], b"+"].concat(),
        None => b"5".to_vec(),
    };
    let key = key();
    match random.below(5) {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Included(key),
        _ => Bound::Excluded(key),
    }
}

fn is_in(key: &[u8], (lower, upper): Bounds<'_>) -> bool {
    let is_above = match lower {
        Bound::Included(lower) => key >= lower,
        Bound::Excluded(lower) => key > lower,
        Bound::Unbounded => true,
    };
    is_above
        && match upper {
            Bound::Included(upper) => key <= upper,
            Bound::Excluded(upper) => key < upper,
            Bound::Unbounded => true,
        }
}

#[test]
fn counts_ranks_and_estimates_are_those_of_a_list() {
    let mut random = SplitMix64::new(5);
    for shape in SHAPES {
        let (pages, root, keys) = tree(shape);
        assert_eq!(
            count_range(&pages, &root, (Bound::Unbounded, Bound::Unbounded)).unwrap(),
            keys.len() as u64
        );
        for _ in 0..if cfg!(miri) { 5 } else { 200 } {
            let (lower, upper) = (some_bound(&mut random, &keys), some_bound(&mut random, &keys));
            let bounds = (lower.as_ref().map(|key| &key[..]), upper.as_ref().map(|key| &key[..]));
            let expected = keys.iter().filter(|key| is_in(key, bounds)).count() as u64;
            assert_eq!(count_range(&pages, &root, bounds).unwrap(), expected, "{bounds:?}");
            let about = estimate_range(&pages, &root, root.entries, bounds).unwrap();
            assert!(about <= root.entries);
            assert!(expected > 0 || about == 0, "{bounds:?}: {about}");
            // Pages of random keys: what lies between its ends is alike.
            assert!(about.abs_diff(expected) <= 20 + expected / 3, "{bounds:?}: {about}, not {expected}");
            let rank = random.below(keys.len() as u64 + 3);
            let found = entry_of_rank(&pages, &root, root.entries, rank).unwrap();
            assert_eq!(found.map(|(key, _)| key.to_vec()), keys.get(rank as usize).cloned());
        }
    }
}

#[test]
fn an_estimate_is_exact_while_few_leaves_lie_between() {
    let (pages, root, keys) = tree(SHAPES[3]);
    for at in 0..keys.len() - 100 {
        let bounds = (Bound::Included(&keys[at][..]), Bound::Excluded(&keys[at + 100][..]));
        assert_eq!(estimate_range(&pages, &root, root.entries, bounds).unwrap(), 100);
    }
}

#[test]
fn cuts_are_disjoint_ordered_and_about_equal() {
    let mut random = SplitMix64::new(9);
    let mut depths = Vec::new();
    for shape in SHAPES {
        let (pages, root, keys) = tree(shape);
        depths.push(root.depth);
        for _ in 0..if cfg!(miri) { 5 } else { 100 } {
            let (lower, upper) = (some_bound(&mut random, &keys), some_bound(&mut random, &keys));
            let bounds = (lower.as_ref().map(|key| &key[..]), upper.as_ref().map(|key| &key[..]));
            let parts = [0, 1, 2, 3, 7, 100, 100_000, usize::MAX][random.below(8) as usize];
            let cuts = boundaries(&pages, &root, bounds, parts).unwrap();
            assert!(cuts.len() < parts.max(1) && cuts.is_sorted_by(|a, b| **a < **b));
            let mut sizes = vec![0usize; cuts.len() + 1];
            for key in keys.iter().filter(|key| is_in(key, bounds)) {
                sizes[cuts.partition_point(|cut| **cut <= key[..])] += 1;
            }
            let entries: usize = sizes.iter().sum();
            if entries > 0 && parts >= 1 {
                let fair = entries.div_ceil(parts);
                assert!(sizes.iter().all(|&size| size <= 3 * fair), "{parts} parts: {sizes:?}");
                assert!(entries < parts || sizes.len() == parts, "{parts} parts: {sizes:?}");
            }
        }
    }
    assert!(depths.starts_with(&[0, 1, 1]) && (cfg!(miri) || depths.contains(&3)), "{depths:?}");
}

/// Each key about as often as any other: chi-squared, whose expectation is the number of keys less one, is within six
/// standard deviations of it.
#[test]
#[cfg_attr(miri, ignore = "too many samples")]
fn samples_are_uniform_whichever_way_they_are_found() {
    for shape in SHAPES {
        let (pages, root, keys) = tree(shape);
        let small_samples = || (0..keys.len() as u64 * 2).map(|seed| (10, seed));
        let large_sample = || std::iter::once((keys.len() * 20, 7));
        let ways: [Box<dyn Iterator<Item = (usize, u64)>>; 2] =
            [Box::new(small_samples()), Box::new(large_sample())];
        for samples in ways {
            let mut times: BTreeMap<Vec<u8>, u64> = keys.iter().map(|key| (key.clone(), 0)).collect();
            for (count, seed) in samples {
                let found = sample(&pages, &root, root.entries, count, seed).unwrap();
                assert_eq!(found.len(), count);
                for (key, _) in found {
                    *times.get_mut(&key[..]).expect("a key of the tree") += 1;
                }
            }
            let chi_squared: f64 = times.values().map(|&times| (times as f64 - 20.0).powi(2) / 20.0).sum();
            let freedom = keys.len().saturating_sub(1) as f64;
            let spread = 6.0 * (2.0 * freedom).sqrt();
            assert!((chi_squared - freedom).abs() <= spread, "{chi_squared} of {freedom}, {shape:?}");
        }
    }
}

#[test]
fn a_wrong_count_of_entries_is_noticed() {
    let (pages, root, keys) = tree(SHAPES[3]);
    let entries = keys.len() as u64;
    assert!(entry_of_rank(&pages, &root, 3 * entries, entries + entries / 2).is_err());
    assert!(sample(&pages, &root, 3 * entries, 5000, 1).is_err());
    assert_eq!(sample(&pages, &root, 1, 5000, 1).unwrap().len(), 5000);
}
