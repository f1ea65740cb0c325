//! Leaves of both layouts against a sorted list, and hostile ones.

use super::value::DESCRIPTOR_LEN;
use super::*;
use crate::format::node::LEAF_LEAD;
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE};

fn leaf_of(page_size: usize, prefix: &[u8], keys: &[&[u8]]) -> Vec<u8> {
    let mut page = vec![0; page_size];
    init(&mut page, prefix);
    for key in keys {
        let place = LeafView::new(&page).unwrap().search(key).unwrap();
        assert!(!place.found);
        assert!(insert(&mut page, place.index, key, Payload::Inline(key)).unwrap(), "room for {key:?}");
    }
    page
}

fn assert_holds(page: &[u8], keys: &[&[u8]]) {
    let view = LeafView::new(page).unwrap();
    assert_eq!(view.count(), keys.len());
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(view.search(key).unwrap(), Position { index, found: true }, "{key:?}");
        let (found, value) = view.entry(index).unwrap();
        assert_eq!((&*found, value), (*key, LeafValue::Inline(key)));
    }
}

/// Keys in order, whose heads are equal in many ways: by padding, by shared first bytes.
const TRICKY: [&[u8]; 16] = [
    b"",
    b"\0",
    b"\0\0",
    b"\0\0\0\0",
    b"\0\0\0\0\0",
    b"\0\0\0\0\x01",
    b"a",
    b"a\0",
    b"a\0\0\0\0",
    b"aaaa",
    b"aaaaa",
    b"aaaaaaaaaaaaaaaaaaaab",
    b"aaaab",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\0",
    b"\xff\xff\xff\xff\xff",
];

#[test]
fn equal_heads_are_told_apart_whatever_the_order_of_insertion() {
    for page_size in [MIN_PAGE_SIZE, MAX_PAGE_SIZE] {
        for step in [1, 3, 5, 7] {
            let shuffled: Vec<&[u8]> = (0..TRICKY.len()).map(|i| TRICKY[i * step % TRICKY.len()]).collect();
            assert_holds(&leaf_of(page_size, b"", &shuffled), &TRICKY);
        }
    }
}

#[test]
fn keys_without_the_prefix_sort_before_or_after_all() {
    let page = leaf_of(MIN_PAGE_SIZE, b"user/", &[b"user/", b"user/1", b"user/2"]);
    assert_holds(&page, &[b"user/", b"user/1", b"user/2"]);
    let view = LeafView::new(&page).unwrap();
    for (key, index) in [(&b"use"[..], 0), (b"user.zzz", 0), (b"user0", 3), (b"v", 3), (b"", 0)] {
        assert_eq!(view.search(key).unwrap(), Position { index, found: false }, "{key:?}");
    }
    let mut page = page;
    assert!(!insert(&mut page, 3, b"v", Payload::Inline(b"")).unwrap(), "prefix is not shared");
}

#[test]
fn removed_entries_leave_dead_bytes_and_the_others() {
    let mut page = leaf_of(MIN_PAGE_SIZE, b"", &TRICKY);
    let heap = node::heap_len(&page);
    remove(&mut page, 3..6).unwrap();
    let kept: Vec<&[u8]> = [&TRICKY[..3], &TRICKY[6..]].concat();
    assert_holds(&page, &kept);
    // Length field, rest of the key, value: of keys with 4, 5 and 5 bytes.
    assert_eq!((node::heap_len(&page), node::dead_bytes(&page)), (heap, (2 + 4) + 2 * (2 + 1 + 5)));
    remove(&mut page, 0..kept.len()).unwrap();
    assert_eq!((node::heap_len(&page), node::key_count(&page)), (0, 0));
}

#[test]
fn a_leaf_has_room_for_any_two_entries() {
    for page_size in [MIN_PAGE_SIZE, MAX_PAGE_SIZE] {
        for key_len in [1, 5, 1000, page::max_key_len(page_size)] {
            let fits = (0..page_size).take_while(|&len| is_inline(page_size, key_len, len)).last();
            let payload_len = fits.unwrap_or(0).max(DESCRIPTOR_LEN);
            let mut page = vec![0; page_size];
            init(&mut page, b"");
            for (index, byte) in [b'a', b'b'].into_iter().enumerate() {
                let key = vec![byte; key_len];
                assert!(insert(&mut page, index, &key, Payload::Zeroed(payload_len)).unwrap());
            }
        }
    }
}

#[test]
fn overflow_descriptors_come_back_and_can_be_patched() {
    let mut page = leaf_of(MIN_PAGE_SIZE, b"", &[b"a", b"c"]);
    let payload = Payload::Overflow { first: ChildRef::to_frame(7), length: 1 << 31 };
    assert!(!node::has_overflow(&page));
    assert!(insert(&mut page, 1, b"b", payload).unwrap());
    assert!(node::has_overflow(&page));
    set_overflow_first(&mut page, 1, ChildRef(9)).unwrap();
    let view = LeafView::new(&page).unwrap();
    assert_eq!(view.value(1).unwrap(), LeafValue::Overflow { first: ChildRef(9), length: 1 << 31 });
}

#[test]
fn no_single_byte_makes_a_read_panic() {
    let sound = leaf_of(MIN_PAGE_SIZE, b"", &TRICKY);
    let step = if cfg!(miri) { 13 } else { 1 };
    for at in (16..MIN_PAGE_SIZE).filter(|at| *at < 200 || *at > 3900).step_by(step) {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut page = sound.clone();
            page[at] = byte;
            let Ok(view) = LeafView::new(&page) else { continue };
            for index in 0..view.count().min(30) + 1 {
                let _ = (view.entry(index), view.entry_range(index), payload_mut(&mut page.clone(), index));
            }
            for key in TRICKY {
                let _ = view.search(key);
            }
            let mut changed = page.clone();
            let _ = insert(&mut changed, 0, b"", Payload::Zeroed(5));
            let _ = remove(&mut changed, 0..1);
        }
    }
}

#[test]
fn what_outermost_entries_leave_is_filled_by_entries_as_long() {
    let keys: Vec<Vec<u8>> = (0..20).map(|number| format!("entry {number:02}").into_bytes()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let shuffled: Vec<&[u8]> = (0..20).map(|index| keys[index * 7 % 20]).collect();
    for range in [0..4, 16..20, 7..11, 0..1, 0..20] {
        let mut page = leaf_of(MIN_PAGE_SIZE, b"ent", &shuffled);
        remove_and_fill(&mut page, range.clone()).unwrap();
        let kept: Vec<&[u8]> = [&keys[..range.start], &keys[range.end..]].concat();
        assert_holds(&page, &kept);
        assert_eq!(node::dead_bytes(&page), 0);
        assert_eq!(node::heap_len(&page), kept.len() * (LEAF_LEAD + 1 + 8), "a byte of rest, eight of value");
        check_before_change(&page).unwrap();
        let heap = node::heap_range(&page).start;
        let cleared = heap - range.len() * (LEAF_LEAD + 1 + 8)..heap;
        assert!(
            kept.is_empty() || page[cleared].iter().all(|byte| *byte == 0),
            "removed entries leave no bytes"
        );
    }
}

#[test]
fn a_place_that_no_entry_fits_stays_dead() {
    let keys: [&[u8]; 4] = [b"aaaa and more", b"bbbb", b"cccc and", b"dddd and much more"];
    let mut page = leaf_of(MIN_PAGE_SIZE, b"", &keys);
    remove_and_fill(&mut page, 1..2).unwrap();
    assert_holds(&page, &[keys[0], keys[2], keys[3]]);
    assert_eq!(node::dead_bytes(&page), LEAF_LEAD + 4);
    remove_and_fill(&mut page, 2..3).unwrap();
    assert_holds(&page, &[keys[0], keys[2]]);
    assert_eq!(node::dead_bytes(&page), LEAF_LEAD + 4, "the last that came lay at the beginning");
    check_before_change(&page).unwrap();
}

#[test]
fn append_takes_what_is_above_all_others_and_nothing_else() {
    for last in 0..TRICKY.len() {
        // With slots, and without: entries of one length are dense.
        for page in [leaf_of(MIN_PAGE_SIZE, b"", &TRICKY[..=last]), {
            let mut page = vec![0; MIN_PAGE_SIZE];
            let heap = Payload::Inline(b"").to_entry();
            build(&mut page, b"", &[Entry::of_leaf(TRICKY[last], &heap, false)]).unwrap();
            page
        }] {
            let is_dense = LeafView::new(&page).unwrap().is_dense();
            for key in TRICKY {
                let mut page = page.clone();
                let expected = key > TRICKY[last] && (!is_dense || key.len() == TRICKY[last].len());
                assert_eq!(append(&mut page, key, if is_dense { b"" } else { key }).unwrap(), expected);
                let view = LeafView::new(&page).unwrap();
                assert_eq!(
                    view.search(key).unwrap().found,
                    expected || key <= TRICKY[last] && !is_dense || key == TRICKY[last]
                );
            }
        }
    }
    let mut page = leaf_of(MIN_PAGE_SIZE, b"prefix", &[b"prefix5"]);
    for key in [b"prefix4", b"prefiw9", b"prefiy0"] {
        assert!(!append(&mut page, key, b"").unwrap(), "{key:?}");
    }
    let mut count = 1;
    while append(&mut page, format!("prefix6{count:05}").as_bytes(), &[7; 100]).unwrap() {
        count += 1;
    }
    assert_eq!(LeafView::new(&page).unwrap().count(), count);
    assert!(gap_len(&page) < entry_len(6, 100), "it stops when the page is full");
    check_before_change(&page).unwrap();
}
