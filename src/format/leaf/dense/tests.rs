//! Dense leaves: what they hold, and what hostile ones are.

use super::*;
use crate::base::KeyStart;
use crate::format::leaf::{self, LeafView};
use crate::format::node::NodeView;
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE};

/// A leaf of the entries, built at once.
fn built(page_size: usize, prefix: &[u8], entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let heaps: Vec<Vec<u8>> = entries.iter().map(|(_, value)| Payload::Inline(value).to_entry()).collect();
    let entries: Vec<Entry<'_>> =
        entries.iter().zip(&heaps).map(|((key, _), heap)| Entry::of_leaf(key, heap, false)).collect();
    let mut page = vec![0xAA; page_size];
    leaf::build(&mut page, prefix, &entries).unwrap();
    page
}

/// `count` entries with keys of `key_len` that begin with a `p`, spread unevenly.
fn entries(count: u32, key_len: usize, value_len: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entry = |number: u32| {
        let mut key = vec![b'p'; key_len];
        let digits = (number * number * 7).swap_bytes().to_le_bytes();
        let from = key_len.saturating_sub(4).max(1);
        let width = key_len - from;
        key[from..].copy_from_slice(&digits[4 - width..]);
        (key, vec![number as u8; value_len])
    };
    (0..count).map(entry).collect()
}

#[track_caller]
fn assert_holds(page: &[u8], entries: &[(Vec<u8>, Vec<u8>)]) {
    let view = LeafView::new(page).unwrap();
    assert_eq!(view.count(), entries.len());
    view.check_header().unwrap();
    for (index, (key, value)) in entries.iter().enumerate() {
        assert_eq!(view.search(key).unwrap(), Position { index, found: true }, "{key:?}");
        let (found, in_place) = view.entry(index).unwrap();
        assert_eq!((&*found, in_place), (&key[..], LeafValue::Inline(value)));
        // The first may be too near to the page's end.
        match view.short_entry(index, &KeyStart::new(view.prefix()).unwrap()) {
            Some((found, in_place)) => assert_eq!((&*found, in_place), (&key[..], &value[..])),
            None => assert!(index < 16 || key.len() + value.len() < 8, "{index}"),
        }
        assert_eq!(&*view.leaf_entry(index).unwrap().key(), &key[..]);
    }
    let live: usize = (0..entries.len()).map(|index| view.entry_range(index).unwrap().len()).sum();
    assert_eq!((leaf::heap_range(page).len(), leaf::dead_bytes(page)), (live, 0));
    assert_eq!(leaf::used_bytes(page), 4 * entries.len() + live + view.prefix().len());
}

#[test]
fn entries_come_back_whatever_their_lengths() {
    for page_size in [MIN_PAGE_SIZE, MAX_PAGE_SIZE] {
        for key_len in [2, 3, 4, 5, 7, 8, 9, 12, 30] {
            for value_len in [0, 1, 3, 8, 30] {
                let count = if key_len < 4 { 5 } else { 60 };
                let entries = entries(count, key_len, value_len);
                for prefix in [&b""[..], b"p"] {
                    let page = built(page_size, prefix, &entries);
                    assert!(Shape::of(&page).is_some());
                    assert_holds(&page, &entries);
                }
            }
        }
    }
}

#[test]
fn keys_are_found_wherever_the_header_says_that_they_are() {
    let entries = entries(220, 8, 4);
    let mut page = built(MIN_PAGE_SIZE, b"", &entries);
    for last_head in [0, 1, 0x7070_7070, 0x7070_7071, u32::MAX] {
        put_u32(&mut page, LAST_HEAD, last_head);
        let view = LeafView::new(&page).unwrap();
        for (index, (key, _)) in entries.iter().enumerate() {
            assert_eq!(view.search(key).unwrap(), Position { index, found: true });
            let after = [&key[..7], &[key[7] ^ 1]].concat();
            let expected = entries.partition_point(|(key, _)| *key < after);
            let found = entries.get(expected).is_some_and(|(key, _)| *key == after);
            assert_eq!(view.search(&after).unwrap(), Position { index: expected, found });
        }
        for (key, index) in [(&b""[..], 0), (b"o", 0), (b"pp", 0), (b"q", 220), (&[0xff; 9], 220)] {
            assert_eq!(view.search(key).unwrap(), Position { index, found: false }, "{key:?}");
        }
        assert_eq!(view.check_header().is_err(), last_head != get_u32(&page, HEADER_LEN + 4 * 219));
    }
}

#[test]
fn entries_are_put_in_and_taken_out_anywhere() {
    for value_len in [0, 8] {
        let all = entries(150, 9, value_len);
        for step in [1, 7, 149] {
            let mut page = built(MIN_PAGE_SIZE, b"pppp", &all[..1]);
            let mut held = vec![all[0].clone()];
            for entry in (1..150).map(|number| &all[number * step % 150]).filter(|entry| **entry != all[0]) {
                let place = LeafView::new(&page).unwrap().search(&entry.0).unwrap();
                assert!(leaf::insert(&mut page, place.index, &entry.0, Payload::Inline(&entry.1)).unwrap());
                held.insert(place.index, entry.clone());
            }
            assert!(held == all[..] || step == 149 && held.is_sorted());
            assert_holds(&page, &held);
            for range in [140..held.len(), 0..3, 50..50, 20..90, 0..1] {
                leaf::remove(&mut page, range.clone()).unwrap();
                held.drain(range);
                assert_holds(&page, &held);
            }
            leaf::remove(&mut page, 0..held.len()).unwrap();
            assert_eq!((node::key_count(&page), leaf::heap_range(&page).len()), (0, 0));
            assert!(leaf::insert(&mut page, 0, &all[3].0, Payload::Zeroed(value_len)).unwrap());
        }
    }
}

#[test]
fn entries_of_another_length_are_refused() {
    let all = entries(20, 8, 8);
    let sound = built(MIN_PAGE_SIZE, b"p", &all);
    let overflow = Payload::Overflow { first: ChildRef(7), length: 9000 };
    let cases: [(&[u8], Payload<'_>); 6] = [
        (b"pzzzzzzz", Payload::Inline(b"seven b")),
        (b"pzzzzzzz", Payload::Zeroed(9)),
        (b"pzzzzzz", Payload::Zeroed(8)),
        (b"pzzzzzzzz", Payload::Zeroed(8)),
        (b"zzzzzzzz", Payload::Zeroed(8)),
        (b"pzzzzzzz", overflow),
    ];
    for (key, payload) in cases {
        let mut page = sound.clone();
        assert!(!leaf::insert(&mut page, 20, key, payload).unwrap(), "{key:?}");
        assert!(page == sound);
    }
    // Descriptors have one length too, and stay beside slots.
    let mut page = vec![0; MIN_PAGE_SIZE];
    let heap = overflow.to_entry();
    leaf::build(&mut page, b"", &[Entry::of_leaf(b"key", &heap, true)]).unwrap();
    assert!(Shape::of(&page).is_none());
    let long = entries(3, 40, MAX_ENTRY_LEN - 39);
    assert!(Shape::of(&built(MIN_PAGE_SIZE, b"", &long)).is_none());
}

#[test]
fn a_leaf_is_full_when_heads_and_cells_meet() {
    let sizes = [(MIN_PAGE_SIZE, 254), (MAX_PAGE_SIZE, 4094)];
    // Miri takes its time over each byte that is moved.
    for &(page_size, most) in if cfg!(miri) { &sizes[..1] } else { &sizes[..] } {
        let all: Vec<(Vec<u8>, Vec<u8>)> = (0..most as u64 + 1)
            .map(|number| (number.swap_bytes().to_le_bytes().to_vec(), vec![1; 8]))
            .collect();
        let mut page = built(page_size, b"", &all[..1]);
        for (index, (key, value)) in all.iter().enumerate().skip(1) {
            let has_room = leaf::insert(&mut page, index, key, Payload::Inline(value)).unwrap();
            assert_eq!(has_room, index < most);
        }
        assert_holds(&page, &all[..most]);
        assert!(leaf::gap_len(&page) < 16);
    }
}

#[test]
fn several_entries_of_another_leaf_are_taken_over() {
    let all = entries(100, 8, 8);
    for prefix in [&b""[..], b"pppp"] {
        let from = built(MIN_PAGE_SIZE, b"p", &all);
        let from = LeafView::new(&from).unwrap();
        let moved: Vec<Entry<'_>> = (30..60).map(|index| from.leaf_entry(index).unwrap()).collect();
        let mut page = built(MIN_PAGE_SIZE, prefix, &[&all[..30], &all[60..]].concat());
        assert!(LeafView::new(&page).unwrap().has_room_for(&moved));
        assert!(leaf::insert_entries(&mut page, 30, &moved).unwrap());
        assert_holds(&page, &all);
        let full = built(MIN_PAGE_SIZE, b"pppp", &entries(330, 8, 8));
        assert!(!LeafView::new(&full).unwrap().has_room_for(&moved));
        assert!(!leaf::insert_entries(&mut full.clone(), 330, &moved).unwrap());
    }
}

#[test]
fn no_single_byte_makes_a_read_panic() {
    let all = entries(200, 8, 8);
    let sound = built(MIN_PAGE_SIZE, b"p", &all);
    let step = if cfg!(miri) { 17 } else { 1 };
    for at in (16..MIN_PAGE_SIZE).filter(|at| *at < 100 || *at > 4000).step_by(step) {
        for byte in [0, 1, 2, 0x7f, 0xff] {
            let mut page = sound.clone();
            page[at] = byte;
            let Ok(view) = LeafView::new(&page) else { continue };
            for index in 0..view.count().min(30) + 1 {
                let _ = (view.entry(index), view.entry_range(index));
                let _ = KeyStart::new(view.prefix()).map(|start| view.short_entry(index, &start));
                let _ = leaf::payload_mut(&mut page.clone(), index);
            }
            for (key, _) in all.iter().step_by(9) {
                let _ = view.search(key);
            }
            let _ = (leaf::check_before_change(&page), view.check_header());
            let mut changed = page.clone();
            let _ = leaf::insert(&mut changed, 0, &all[0].0, Payload::Zeroed(8));
            let _ = leaf::remove(&mut changed, 0..1);
        }
    }
}
