//! Locks, between descriptors of one process, as they are between processes.

use super::*;
use crate::sys::{
    LockFile, LockKind, lock_range, lock_whole, range_is_free, status_at, status_of, try_lock_range,
    try_lock_whole, unlock_range, unlock_whole,
};
use LockKind::{Exclusive, Shared};
use std::time::Duration;

fn two_handles(folder: &Path) -> (LockFile, LockFile) {
    let data_path = folder.join("data");
    (lock_file_of(&data_path), lock_file_of(&data_path))
}

#[test]
fn the_lock_file_lies_beside_the_data() {
    let folder = folder();
    let (first, second) = two_handles(folder.path());
    assert_eq!(first.path(), folder.path().join("data-lock"));
    assert!(first.path().exists());
    assert_eq!(status_of(first.file().unwrap()).unwrap(), status_at(second.path()).unwrap());
}

#[test]
fn whole_file_locks_of_two_handles_exclude_each_other() {
    let folder = folder();
    let (first, second) = two_handles(folder.path());
    assert!(try_lock_whole(first.file().unwrap(), Shared).unwrap());
    assert!(try_lock_whole(second.file().unwrap(), Shared).unwrap());
    assert!(!try_lock_whole(second.file().unwrap(), Exclusive).unwrap());
    unlock_whole(first.file().unwrap()).unwrap();
    assert!(try_lock_whole(second.file().unwrap(), Exclusive).unwrap());
    assert!(!try_lock_whole(first.file().unwrap(), Shared).unwrap());
    drop(second);
    assert!(try_lock_whole(first.file().unwrap(), Exclusive).unwrap(), "dropping the handle frees its lock");
}

#[test]
fn a_waiting_lock_is_granted_when_the_holder_goes() {
    let folder = folder();
    let (first, second) = two_handles(folder.path());
    lock_whole(first.file().unwrap()).unwrap();
    lock_range(first.file().unwrap(), Exclusive, 0..1).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            lock_whole(second.file().unwrap()).unwrap();
            lock_range(second.file().unwrap(), Shared, 0..1).unwrap();
        });
        std::thread::sleep(Duration::from_millis(30));
        assert!(!waiter.is_finished());
        drop(first);
        waiter.join().unwrap();
    });
}

#[test]
fn ranges_of_two_descriptors_conflict_where_they_overlap() {
    let folder = folder();
    let (first, second) = two_handles(folder.path());
    let (first, second) = (first.file().unwrap(), second.file().unwrap());
    assert!(try_lock_range(first, Exclusive, 10..20).unwrap());
    assert!(!try_lock_range(second, Shared, 19..30).unwrap());
    assert!(try_lock_range(second, Exclusive, 20..30).unwrap());
    assert!(!range_is_free(second, Shared, 0..11).unwrap());
    assert!(range_is_free(second, Exclusive, 0..10).unwrap());
    assert!(range_is_free(first, Exclusive, 10..20).unwrap(), "one's own lock does not count");
    unlock_range(first, 10..15).unwrap();
    assert!(try_lock_range(second, Shared, 10..15).unwrap());
    assert!(range_is_free(first, Shared, 10..15).unwrap());
    assert!(!range_is_free(first, Exclusive, 10..15).unwrap());
}

#[test]
fn empty_and_absurd_ranges_are_refused() {
    let folder = folder();
    let (first, _) = two_handles(folder.path());
    #[allow(clippy::reversed_empty_ranges)]
    for range in [5..5, 6..5, 0..u64::MAX] {
        assert!(try_lock_range(first.file().unwrap(), Exclusive, range).is_err());
    }
}

#[test]
fn locks_survive_closing_another_descriptor() {
    let folder = folder();
    let (first, second) = two_handles(folder.path());
    assert!(try_lock_whole(first.file().unwrap(), Exclusive).unwrap());
    assert!(try_lock_range(first.file().unwrap(), Exclusive, 3..4).unwrap());
    drop(std::fs::File::open(first.path()).unwrap());
    let (third, _) = two_handles(folder.path());
    assert!(try_lock_whole(third.file().unwrap(), Shared).is_ok_and(|taken| !taken));
    drop(third);
    assert!(!try_lock_whole(second.file().unwrap(), Shared).unwrap(), "the whole-file lock is still held");
    assert!(!range_is_free(second.file().unwrap(), Shared, 3..4).unwrap(), "the range is still held");
}
