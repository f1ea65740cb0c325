//! Damaged pages, with checksums not looked at: everything answers a value or `Corrupt`.

use std::ops::Bound;

use super::store::{Found, NEWEST, Pages, Store};
use crate::base::{PageNumber, PageSet, TransactionId};
use crate::error::Error;
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE};
use crate::tree::pages::TreeRoot;
use crate::tree::{
    EntryCursor, Movement, NewValue, OpenLeaf, RangeCursor, TreeMut, boundaries, count_range, entry_of_rank,
    estimate_range, get, get_many, sample, walk,
};

/// A small random generator (xorshift64*): the tests are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }
}

fn keys() -> Vec<Vec<u8>> {
    let count = if cfg!(miri) { 60 } else { 600 };
    (0..count).map(|number| format!("{:04}{}", number, "x".repeat(number * 37 % 300)).into_bytes()).collect()
}

fn sound_tree(page_size: usize) -> (Pages, TreeRoot) {
    let mut store = Store::new(page_size);
    for (number, key) in keys().iter().enumerate() {
        let len = if number % 40 == 0 { page_size + 1 } else { number % 200 };
        store.tree.insert(&store.pages, key, NewValue::Zeroed(len)).unwrap();
    }
    let root = store.commit();
    (store.pages, root)
}

/// A tree of entries of one length, but for one: its leaves are dense, but for one or two.
fn dense_tree(page_size: usize) -> (Pages, TreeRoot) {
    let mut store = Store::new(page_size);
    for number in 0..if cfg!(miri) { 300 } else { 6000u64 } {
        let key =
            [&b"0"[..], &number.wrapping_mul(0x9E37_79B9_7F4A_7C15).swap_bytes().to_le_bytes()[..4]].concat();
        let len = if number == 77 { 9 } else { 8 };
        store.tree.insert(&store.pages, &key, NewValue::Zeroed(len)).unwrap();
    }
    let root = store.commit();
    assert!(store.pages.bytes.chunks(page_size).any(|page| page[16] == 1 && page[26] == 2));
    (store.pages, root)
}

fn value_or_corrupt<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Corrupt(_)) => None,
        Err(other) => panic!("neither a value nor Corrupt: {other:?}"),
    }
}

fn read_everything(pages: &Pages, root: &TreeRoot) {
    let keys = keys();
    for key in &keys {
        value_or_corrupt(get(pages, root, key));
    }
    let slices: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    value_or_corrupt(get_many(pages, root, &slices));
    let mut cursors = [
        RangeCursor::new(root, Bound::Unbounded, Bound::Unbounded),
        RangeCursor::new(root, Bound::Included(&keys[7]), Bound::Excluded(&keys[keys.len() - 9])),
    ];
    for cursor in &mut cursors {
        let mut open = OpenLeaf::default();
        // Pages that refer to each other crosswise make a range long, but each step is bounded.
        for _ in 0..if cfg!(miri) { 50 } else { 5000 } {
            let front = value_or_corrupt(cursor.next_in(pages, &mut open)).flatten().is_some();
            let back = value_or_corrupt(cursor.next_back_in(pages, &mut open)).flatten().is_some();
            if !front && !back {
                break;
            }
        }
        let (mut cursor, mut open) =
            (RangeCursor::new(root, Bound::Unbounded, Bound::Unbounded), OpenLeaf::default());
        for _ in 0..if cfg!(miri) { 50 } else { 5000 } {
            if value_or_corrupt(cursor.next_in(pages, &mut open)).flatten().is_none() {
                break;
            }
        }
    }
    let bounds = (Bound::Included(&keys[7][..]), Bound::Excluded(&keys[keys.len() - 9][..]));
    value_or_corrupt(count_range(pages, root, bounds));
    value_or_corrupt(estimate_range(pages, root, root.entries, bounds));
    value_or_corrupt(entry_of_rank(pages, root, root.entries, root.entries / 2));
    for count in [1, 30] {
        value_or_corrupt(sample(pages, root, root.entries, count, 3));
        value_or_corrupt(boundaries(pages, root, bounds, count * 2));
    }
    let mut cursor = EntryCursor::new();
    for movement in [Movement::Next, Movement::Stay, Movement::Exact(&keys[9]), Movement::Previous] {
        // A walk in one direction ends, whatever the pages say.
        while let Some(mut landing) = value_or_corrupt(cursor.find(pages, root.into(), movement)) {
            let found = landing.take_entry();
            cursor.land(landing);
            if found.is_none() || !matches!(movement, Movement::Next | Movement::Previous) {
                break;
            }
        }
    }
    value_or_corrupt(walk(
        pages,
        root,
        NEWEST,
        &mut PageSet::new(pages.count()).unwrap(),
        &mut Found::default(),
    ));
}

fn change_everything(pages: &Pages, root: &TreeRoot, random: &mut Random) {
    let keys = keys();
    let mut tree = TreeMut::new(root, TransactionId(9), pages.page_size);
    for _ in 0..if cfg!(miri) { 6 } else { 40 } {
        let key = &keys[random.below(keys.len())];
        let done = match random.below(5) {
            0 => value_or_corrupt(tree.remove(pages, key)).is_some(),
            1 if random.below(2) == 0 => value_or_corrupt(tree.value_mut(pages, key)).is_some(),
            1 => value_or_corrupt(tree.reserve(pages, key, random.below(3000))).is_some(),
            2 => {
                let (lower, upper) =
                    (Bound::Included(&key[..]), Bound::Excluded(&keys[random.below(keys.len())][..]));
                random.below(4) > 0 || value_or_corrupt(tree.remove_range(pages, lower, upper)).is_some()
            }
            _ => value_or_corrupt(tree.insert(pages, key, NewValue::Zeroed(random.below(500)))).is_some(),
        };
        // An operation that failed half-way leaves a tree that is to be dropped; still nothing may panic.
        if !done && random.below(2) == 0 {
            break;
        }
    }
    let _ = value_or_corrupt(tree.clear(pages));
}

fn damage(pages: &mut Pages, random: &mut Random) {
    let page = 1 + random.below(pages.count() as usize - 1);
    for _ in 0..1 + random.below(3) {
        // Headers and tables are what matters most.
        let reach = if random.below(3) == 0 { pages.page_size } else { 16 + random.below(200) };
        let at = page * pages.page_size + random.below(reach);
        pages.bytes[at] = match random.below(4) {
            0 => 0,
            1 => 0xff,
            2 => pages.bytes[at] ^ (1 << random.below(8)),
            _ => random.below(256) as u8,
        };
    }
}

#[test]
fn damaged_bytes_are_a_value_or_corrupt() {
    let trees: [fn(usize) -> (Pages, TreeRoot); 2] = [sound_tree, dense_tree];
    for (page_size, tree) in
        [MIN_PAGE_SIZE, MAX_PAGE_SIZE].into_iter().flat_map(|size| trees.map(|tree| (size, tree)))
    {
        let (sound, root) = tree(page_size);
        let mut random = Random(0x5EED ^ page_size as u64);
        let rounds = if cfg!(miri) { 2 } else { 3_000_000 / page_size };
        for _ in 0..rounds {
            let mut pages = sound.clone();
            damage(&mut pages, &mut random);
            read_everything(&pages, &root);
            change_everything(&pages, &root, &mut random);
        }
    }
}

/// Heads of keys that are shorter than a head, with something behind them: in the order of the heads these keys ascend,
/// in their own they do not.
#[test]
fn short_keys_with_nonsense_behind_them_are_a_value_or_corrupt() {
    let mut random = Random(21);
    for is_dense in [true, false] {
        let mut store = Store::new(MIN_PAGE_SIZE);
        let count = if cfg!(miri) { 40 } else { 3000u16 };
        for key in (0..count).map(|number| number.wrapping_mul(40_503).to_le_bytes()) {
            let len = if is_dense { 8 } else { usize::from(key[0] % 40) };
            store.tree.insert(&store.pages, &key, NewValue::Zeroed(len)).unwrap();
        }
        let root = store.commit();
        let mut pages = store.pages;
        for page in pages.bytes.chunks_mut(MIN_PAGE_SIZE).filter(|page| page[16] == 1) {
            assert_eq!(page[26] == 2, is_dense);
            let count = usize::from(u16::from_le_bytes([page[18], page[19]]));
            for (index, head) in page[32..].chunks_mut(4).take(count).enumerate() {
                head[..2].copy_from_slice(&(index as u16).to_le_bytes());
                head[2..].fill(7);
            }
        }
        let mut tree = TreeMut::new(&root, TransactionId(9), MIN_PAGE_SIZE);
        for _ in 0..if cfg!(miri) { 30 } else { 2000 } {
            let key = (random.below(1 << 16) as u16).to_le_bytes();
            value_or_corrupt(tree.insert(&pages, &key, NewValue::Zeroed(8)));
            value_or_corrupt(tree.remove(&pages, &(random.below(1 << 16) as u16).to_le_bytes()));
        }
    }
}

#[test]
fn swapped_pages_are_a_value_or_corrupt() {
    let (sound, root) = sound_tree(MIN_PAGE_SIZE);
    let mut random = Random(77);
    for _ in 0..if cfg!(miri) { 2 } else { 200 } {
        let mut pages = sound.clone();
        let [from, to] = [(); 2].map(|()| (1 + random.below(pages.count() as usize - 1)) * MIN_PAGE_SIZE);
        pages.bytes.copy_within(from..from + MIN_PAGE_SIZE, to);
        read_everything(&pages, &root);
        change_everything(&pages, &root, &mut random);
    }
}

#[test]
fn a_nonsense_root_is_a_value_or_corrupt() {
    let (pages, root) = sound_tree(MIN_PAGE_SIZE);
    let mut random = Random(3);
    let (depths, places) = ([0, 1, 2, 3, 4, 32, 255], [root.page.0, 1 << 31, 0, 1, pages.count(), u32::MAX]);
    let (depths, places) = if cfg!(miri) { (&depths[..3], &places[..2]) } else { (&depths[..], &places[..]) };
    for &depth in depths {
        for &page in places {
            for entries in [0, u64::MAX] {
                let root = TreeRoot { page: PageNumber(page), depth, entries };
                assert!(depth == 0 || TreeMut::new(&root, TransactionId(9), MIN_PAGE_SIZE).root() == root);
                value_or_corrupt(get(&pages, &root, b"0007"));
                value_or_corrupt(walk(
                    &pages,
                    &root,
                    NEWEST,
                    &mut PageSet::new(pages.count()).unwrap(),
                    &mut Found::default(),
                ));
                change_everything(&pages, &root, &mut random);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "the tree has too few pages there")]
fn the_walk_notices_and_goes_on() {
    let (sound, root) = sound_tree(MIN_PAGE_SIZE);
    let mut pages = sound.clone();
    // Two leaves that say they are something else, and one whose dead bytes are wrong.
    for (page, at) in [(35, 16), (40, 17), (50, 24)] {
        pages.bytes[page * MIN_PAGE_SIZE + at] ^= 3;
    }
    let mut found = Found::default();
    walk(&pages, &root, NEWEST, &mut PageSet::new(pages.count()).unwrap(), &mut found).unwrap();
    let named: Vec<_> = found.problems.iter().filter_map(|problem| problem.page).collect();
    assert_eq!(named, [35, 40, 50], "{:?}", found.problems);
    assert_eq!(found.problems.len(), 4, "and the count of entries: {:?}", found.problems);
}

#[test]
fn a_large_value_that_says_it_has_more_pages_is_not_read() {
    let mut store = Store::new(MIN_PAGE_SIZE);
    for number in 0..3u8 {
        store.tree.insert(&store.pages, &[number], NewValue::Zeroed(MIN_PAGE_SIZE)).unwrap();
    }
    let root = store.commit();
    let mut pages = store.pages;
    let mut forged = 0;
    for page in pages.bytes.chunks_mut(MIN_PAGE_SIZE).filter(|page| page[16] == 3) {
        page[20..24].copy_from_slice(&5u32.to_le_bytes());
        page[24..32].copy_from_slice(&(4 * MIN_PAGE_SIZE as u64).to_le_bytes());
        forged += 1;
    }
    assert_eq!(forged, 3);
    let mut found = Found::default();
    let mut seen = PageSet::new(pages.count()).unwrap();
    walk(&pages, &root, NEWEST, &mut seen, &mut found).unwrap();
    let whats: Vec<_> = found.problems.iter().map(|problem| problem.what).collect();
    assert_eq!(whats, ["pages of an overflow run"; 3], "whatever the slice has: {:?}", found.problems);
    // What the leaf refers to is accounted for.
    assert_eq!(seen.runs_from(PageNumber(1)).map(|run| run.count).sum::<u32>(), pages.count() - 1);
}
