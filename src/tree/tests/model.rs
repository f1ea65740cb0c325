//! Random operations on a tree and on a `BTreeMap`, which must agree; every seal is verified by `Store`.

use std::ops::{Bound, Range};

use proptest::prelude::*;

use super::store::{Model, Pages, Store, assert_cursor_yields};
use crate::base::KeyBuf;
use crate::base::property::cases;
use crate::format::node::NodeView;
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, max_key_len};
use crate::tree::pages::TreeRoot;
use crate::tree::{End, NewValue, OpenLeaf, RangeCursor, TreeMut, get, get_many};

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>, usize),
    Reserve(Vec<u8>, usize),
    Remove(Vec<u8>),
    RemoveNth(u16),
    /// Some from the front or the back, one by one.
    Pop(bool, u16),
    /// Those of each leaf whose position in the order is not a multiple.
    Retain(usize),
    DeleteRange(Bound<Vec<u8>>, Bound<Vec<u8>>),
    Scan(Bound<Vec<u8>>, Bound<Vec<u8>>),
    GetMany(Vec<Vec<u8>>),
    Spill,
    Commit,
    Clear,
}

/// Keys of one kind, so that they meet often.
fn keys(page_size: usize) -> impl Strategy<Value = BoxedStrategy<Vec<u8>>> {
    let longest = max_key_len(page_size);
    let tiny = prop::collection::vec(prop::sample::select(vec![0u8, 1, 255]), 0..6).boxed();
    let numbers =
        (0u32..2000).prop_map(|number| (number * 70_001).swap_bytes().to_le_bytes().to_vec()).boxed();
    let shared = (0..longest - 20, prop::collection::vec(0u8..3, 0..7))
        .prop_map(|(len, tail)| [vec![b'p'; len / 97 * 97], tail].concat())
        .boxed();
    let equal_heads = (0u16..900)
        .prop_map(|number| [&[b'h'; 4][..], &[0; 9], &number.swap_bytes().to_le_bytes()].concat())
        .boxed();
    let long = (0u8..60, longest - 3..=longest).prop_map(|(byte, len)| vec![byte / 7 * 20; len]).boxed();
    let mixed = prop_oneof![tiny.clone(), shared.clone(), equal_heads.clone(), long.clone()].boxed();
    prop::sample::select(vec![tiny, numbers, shared, equal_heads, long, mixed])
}

fn value_lens(page_size: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0usize..40,
        3 => 100usize..300,
        2 => page_size / 8..page_size / 4,
        1 => page_size / 2 - 60..page_size / 2 + 60,
        1 => page_size..3 * page_size,
    ]
}

fn bounds(key: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        3 => key.clone().prop_map(Bound::Included),
        3 => key.prop_map(Bound::Excluded),
        1 => Just(Bound::Unbounded),
    ]
}

/// Lengths of values: of all kinds, or one, but for a few: leaves that are dense, and some that are for a while.
fn lens_of_values(page_size: usize) -> impl Strategy<Value = BoxedStrategy<usize>> {
    let any = value_lens(page_size).boxed();
    let one = |len: usize| prop_oneof![60 => Just(len), 1 => 0usize..90, 1 => Just(page_size)].boxed();
    prop::sample::select(vec![any, Just(0).boxed(), Just(8).boxed(), one(0), one(8), one(50)])
}

fn ops(page_size: usize, key: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Vec<Op>> {
    lens_of_values(page_size).prop_flat_map(move |lens| ops_with(key.clone(), lens))
}

fn ops_with(key: BoxedStrategy<Vec<u8>>, lens: BoxedStrategy<usize>) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        60 => (key.clone(), lens.clone()).prop_map(|(key, len)| Op::Insert(key, len)),
        4 => (key.clone(), lens).prop_map(|(key, len)| Op::Reserve(key, len)),
        8 => key.clone().prop_map(Op::Remove),
        25 => any::<u16>().prop_map(Op::RemoveNth),
        2 => (any::<bool>(), 0..120u16).prop_map(|(is_back, count)| Op::Pop(is_back, count)),
        1 => (1usize..9).prop_map(Op::Retain),
        3 => (bounds(key.clone()), bounds(key.clone())).prop_map(|(a, b)| Op::DeleteRange(a, b)),
        3 => (bounds(key.clone()), bounds(key.clone())).prop_map(|(a, b)| Op::Scan(a, b)),
        2 => prop::collection::vec(key, 0..40).prop_map(Op::GetMany),
        2 => Just(Op::Spill),
        3 => Just(Op::Commit),
        1 => prop::bool::weighted(0.2).prop_map(|clear| if clear { Op::Clear } else { Op::Commit }),
    ];
    prop::collection::vec(op, 1..if cfg!(miri) { 20 } else { 500 })
}

/// A value that tells where it comes from.
fn value_of(key: &[u8], len: usize, step: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + step + key.len()) as u8).collect()
}

fn as_slices(bounds: (&Bound<Vec<u8>>, &Bound<Vec<u8>>)) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    (bounds.0.clone(), bounds.1.clone())
}

fn is_inverted(lower: &Bound<Vec<u8>>, upper: &Bound<Vec<u8>>) -> bool {
    use Bound::{Excluded, Included};
    match (lower, upper) {
        (Included(low), Included(high)) => low > high,
        (Excluded(low) | Included(low), Excluded(high) | Included(high)) => low >= high,
        _ => false,
    }
}

/// The part of the model between two bounds, which may be inverted (`BTreeMap::range` would panic).
fn part(model: &Model, lower: &Bound<Vec<u8>>, upper: &Bound<Vec<u8>>) -> Model {
    if is_inverted(lower, upper) {
        return Model::new();
    }
    model.range(as_slices((lower, upper))).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn slice_of(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &key[..])
}

fn apply(store: &mut Store, model: &mut Model, step: usize, op: &Op) -> Option<TreeRoot> {
    let Store { pages, tree, .. } = store;
    match op {
        Op::Insert(key, len) => {
            let value = value_of(key, *len, step);
            let is_new = tree.insert(pages, key, NewValue::Bytes(&value)).unwrap();
            assert_eq!(is_new, model.insert(key.clone(), value.clone()).is_none());
            assert_eq!(tree.get(pages, key).unwrap(), Some(&value[..]));
        }
        Op::Reserve(key, len) => {
            let value = value_of(key, *len, step);
            let place = tree.reserve(pages, key, *len).unwrap();
            assert_eq!(place, vec![0; *len]);
            place.copy_from_slice(&value);
            model.insert(key.clone(), value);
        }
        Op::Remove(key) => {
            let dirty = tree.dirty_page_count();
            let was_there = tree.remove(pages, key).unwrap();
            assert_eq!(was_there, model.remove(key).is_some());
            assert!(was_there || tree.dirty_page_count() == dirty, "a missing key changes nothing");
        }
        Op::RemoveNth(nth) => {
            let nth = usize::from(*nth) % model.len().max(1);
            let key = model.keys().nth(nth).cloned()?;
            assert!(tree.remove(pages, &key).unwrap());
            model.remove(&key);
            assert_eq!(tree.get(pages, &key).unwrap(), None);
        }
        Op::Pop(is_back, count) => {
            let end = if *is_back { End::Back } else { End::Front };
            for _ in 0..*count {
                let expected = if *is_back { model.pop_last() } else { model.pop_first() };
                let found = tree.outermost(pages, end).unwrap();
                assert_eq!(found.map(|(key, value)| (key.to_vec(), value.to_vec())), expected);
                if expected.is_none() {
                    break;
                }
                tree.remove_outermost(pages, end).unwrap();
            }
        }
        Op::Retain(each) => {
            retain_each(tree, pages, *each);
            let mut position = 0..;
            model.retain(|_, _| position.next().is_some_and(|at: usize| at.is_multiple_of(*each)));
        }
        Op::DeleteRange(lower, upper) => {
            let doomed = part(model, lower, upper);
            let removed = tree.remove_range(pages, slice_of(lower), slice_of(upper)).unwrap();
            assert_eq!(removed, doomed.len() as u64);
            model.retain(|key, _| !doomed.contains_key(key));
        }
        Op::Scan(lower, upper) => {
            let cursor = tree.range(slice_of(lower), slice_of(upper));
            assert_cursor_yields(tree.nodes(pages), cursor.clone(), &part(model, lower, upper));
            assert_ends_meet(store, cursor, part(model, lower, upper), step);
        }
        Op::GetMany(keys) => {
            let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
            let expected: Vec<_> = keys.iter().map(|key| model.get(*key).map(|value| &value[..])).collect();
            assert_eq!(tree.get_many(pages, &keys).unwrap(), expected);
        }
        Op::Spill => drop(store.spill()),
        Op::Commit => return Some(store.commit()),
        Op::Clear => {
            tree.clear(pages).unwrap();
            model.clear();
        }
    }
    None
}

/// Removes all entries whose position in the order is not a multiple, leaf by leaf.
fn retain_each(tree: &mut TreeMut, pages: &Pages, each: usize) {
    let (mut after, mut position) = (Bound::Unbounded, 0);
    loop {
        let mut cursor = tree.range(after.as_ref().map(|key: &KeyBuf| &**key), Bound::Unbounded);
        let Some((leaf, indexes)) = cursor.next_leaf(tree.nodes(pages)).unwrap() else { return };
        let last = leaf.key(indexes.end - 1).unwrap();
        let is_doomed = |index: &usize| !(position + index - indexes.start).is_multiple_of(each);
        let doomed: Vec<usize> = indexes.clone().filter(is_doomed).collect();
        if let Some(first) = doomed.first() {
            let first = leaf.key(*first).unwrap();
            let ranges: Vec<Range<usize>> = doomed
                .chunk_by(|one, next| one + 1 == *next)
                .map(|run| run[0]..run[run.len() - 1] + 1)
                .collect();
            tree.remove_some(pages, &first, &ranges).unwrap();
        }
        position += indexes.len();
        after = Bound::Excluded(last);
    }
}

/// Takes entries from both ends in turns; all come once.
fn assert_ends_meet(store: &Store, mut cursor: RangeCursor, mut expected: Model, seed: usize) {
    let nodes = store.tree.nodes(&store.pages);
    let mut depth = seed;
    let (keeps_open, mut open) = (seed.is_multiple_of(2), OpenLeaf::default());
    loop {
        depth = depth.wrapping_mul(25_214_903_917).wrapping_add(11);
        let from_front = depth & (1 << 20) == 0;
        let found = match (from_front, keeps_open) {
            (true, false) => cursor.next(nodes),
            (false, false) => cursor.next_back(nodes),
            (true, true) => cursor.next_in(nodes, &mut open),
            (false, true) => cursor.next_back_in(nodes, &mut open),
        }
        .unwrap();
        let wanted = if from_front { expected.pop_first() } else { expected.pop_last() };
        assert_eq!(found.map(|(key, value)| (key.to_vec(), value.to_vec())), wanted);
        if expected.is_empty() {
            assert!(cursor.next(nodes).unwrap().is_none() && cursor.next_back(nodes).unwrap().is_none());
            return;
        }
    }
}

fn run(page_size: usize, ops: &[Op]) {
    let mut store = Store::new(page_size);
    let mut model = Model::new();
    let mut committed: Vec<(TreeRoot, Model)> = Vec::new();
    for (step, op) in ops.iter().enumerate() {
        if let Some(root) = apply(&mut store, &mut model, step, op) {
            committed.push((root, model.clone()));
        }
        if step % 64 == 0 {
            store.assert_sees(&model);
        }
    }
    store.assert_sees(&model);
    committed.push((store.commit(), model));
    for (root, model) in committed.iter().rev().take(5) {
        let cursor = RangeCursor::new(root, Bound::Unbounded, Bound::Unbounded);
        assert_cursor_yields(&store.pages, cursor, model);
        for (key, value) in model.iter().step_by(7) {
            assert_eq!(get(&store.pages, root, key).unwrap(), Some(&value[..]));
        }
        let keys: Vec<&[u8]> = model.keys().map(|key| &key[..]).collect();
        let values = get_many(&store.pages, root, &keys).unwrap();
        assert!(values.into_iter().eq(model.values().map(|value| Some(&value[..]))));
    }
}

fn config(count: u32) -> ProptestConfig {
    ProptestConfig { max_shrink_iters: 300, ..cases(count) }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn small_pages_agree_with_the_model(ops in keys(MIN_PAGE_SIZE).prop_flat_map(|key| ops(MIN_PAGE_SIZE, key))) {
        run(MIN_PAGE_SIZE, &ops);
    }
}

proptest! {
    #![proptest_config(config(30))]

    #[test]
    #[cfg_attr(miri, ignore = "takes too long there")]
    fn large_pages_agree_with_the_model(ops in keys(MAX_PAGE_SIZE).prop_flat_map(|key| ops(MAX_PAGE_SIZE, key))) {
        run(MAX_PAGE_SIZE, &ops);
    }
}
