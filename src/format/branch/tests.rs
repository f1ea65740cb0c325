//! Branches: what they hold, and what hostile ones are.

use super::*;
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE};

/// A branch whose child 0 is page 100, and whose child right of separator `i` is page `101 + i`.
fn branch_of(page_size: usize, separators: &[&[u8]]) -> Vec<u8> {
    let mut page = vec![0; page_size];
    init(&mut page, 1, b"", ChildRef(100));
    // From both ends to the middle, so that cells open everywhere.
    let (mut front, mut back) = (0, separators.len());
    while front < back {
        assert!(insert(&mut page, front, separators[front], ChildRef(101 + front as u32)).unwrap());
        front += 1;
        if front < back {
            back -= 1;
            assert!(insert(&mut page, front, separators[back], ChildRef(101 + back as u32)).unwrap());
        }
    }
    page
}

fn children(page: &[u8]) -> Vec<u32> {
    let view = BranchView::new(page).unwrap();
    (0..view.child_count()).map(|index| view.child(index).unwrap().0).collect()
}

const SEPARATORS: [&[u8]; 6] = [b"b", b"bb", b"bbbbbb", b"c", b"c\0", b"ca"];

#[test]
fn a_key_is_in_the_child_between_its_separators() {
    for page_size in [MIN_PAGE_SIZE, MAX_PAGE_SIZE] {
        let page = branch_of(page_size, &SEPARATORS);
        assert_eq!(children(&page), [100, 101, 102, 103, 104, 105, 106]);
        let view = BranchView::new(&page).unwrap();
        for key in [&b""[..], b"a", b"b", b"b\0", b"bb", b"bbbbb", b"bbbbbbb", b"c", b"c\0\0", b"ca", b"d"] {
            let expected = SEPARATORS.iter().filter(|separator| **separator <= key).count();
            assert_eq!(view.child_index(key).unwrap(), expected, "{key:?}");
        }
    }
}

#[test]
fn children_leave_with_their_separators() {
    for (range, kept_children, kept_separators) in [
        (0..2, &[102, 103, 104, 105, 106][..], &[2, 3, 4, 5][..]),
        (2..4, &[100, 101, 104, 105, 106], &[0, 3, 4, 5]),
        (5..7, &[100, 101, 102, 103, 104], &[0, 1, 2, 3]),
        (0..6, &[106], &[]),
        (1..7, &[100], &[]),
    ] {
        let mut page = branch_of(MIN_PAGE_SIZE, &SEPARATORS);
        remove_children(&mut page, range).unwrap();
        assert_eq!(children(&page), kept_children);
        let view = BranchView::new(&page).unwrap();
        let separators: Vec<_> = (0..view.count()).map(|index| view.key(index).unwrap()).collect();
        let expected: Vec<_> = kept_separators.iter().map(|&index| SEPARATORS[index]).collect();
        assert!(separators.iter().map(|key| &**key).eq(expected));
        assert_eq!(node::used_bytes::<true>(&page), 4 + view.count() * 12 + live_rests(&separators));
    }
}

fn live_rests(separators: &[crate::base::KeyBuf]) -> usize {
    separators.iter().map(|key| key.len().saturating_sub(4)).sum()
}

#[test]
fn a_branch_has_room_for_any_two_separators() {
    for page_size in [MIN_PAGE_SIZE, MAX_PAGE_SIZE] {
        let longest = page::max_key_len(page_size);
        branch_of(page_size, &[&vec![1; longest], &vec![2; longest]]);
    }
}
