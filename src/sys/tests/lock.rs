//! Locks, between descriptors of one process, as they are between processes.

use super::*;
use crate::sys::{LockFile, LockKind, status_at, status_of};
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
    assert!(first.locks().try_lock_whole(Shared).unwrap());
    assert!(second.locks().try_lock_whole(Shared).unwrap());
    second.locks().unlock_whole().unwrap();
    assert!(!second.locks().try_lock_whole(Exclusive).unwrap());
    first.locks().unlock_whole().unwrap();
    assert!(second.locks().try_lock_whole(Exclusive).unwrap());
    assert!(!first.locks().try_lock_whole(Shared).unwrap());
    drop(second);
    assert!(first.locks().try_lock_whole(Exclusive).unwrap(), "dropping the handle frees its lock");
}

#[test]
fn a_waiting_lock_is_granted_when_the_holder_goes() {
    let folder = folder();
    let (first, second) = two_handles(folder.path());
    first.locks().lock_whole().unwrap();
    first.locks().lock(Exclusive, 0..1).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            second.locks().lock_whole().unwrap();
            second.locks().lock(Shared, 0..1).unwrap();
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
    let (first, second) = (first.locks(), second.locks());
    assert!(first.try_lock(Exclusive, 10..20).unwrap());
    assert!(!second.try_lock(Shared, 19..30).unwrap());
    assert!(second.try_lock(Exclusive, 20..30).unwrap());
    assert!(!second.is_free(Shared, 0..11).unwrap());
    assert!(second.is_free(Exclusive, 0..10).unwrap());
    assert!(first.is_free(Exclusive, 10..20).unwrap(), "one's own lock does not count");
    first.unlock(10..20).unwrap();
    assert!(second.try_lock(Shared, 10..15).unwrap());
    assert!(first.is_free(Shared, 10..15).unwrap());
    assert!(!first.is_free(Exclusive, 10..15).unwrap());
    assert!(first.try_lock(Shared, 10..15).unwrap(), "two may share it");
    assert!(first.try_lock(Shared, 12..18).unwrap(), "also in part");
    second.unlock(0..100).unwrap();
    assert!(!second.try_lock(Exclusive, 10..11).unwrap());
}

#[test]
fn empty_and_absurd_ranges_are_refused() {
    let folder = folder();
    let (first, _) = two_handles(folder.path());
    #[allow(clippy::reversed_empty_ranges)]
    for range in [5..5, 6..5, 0..u64::MAX] {
        assert!(first.locks().try_lock(Exclusive, range).is_err());
    }
}

#[test]
fn locks_survive_closing_another_descriptor() {
    let folder = folder();
    let (first, second) = two_handles(folder.path());
    assert!(first.locks().try_lock_whole(Exclusive).unwrap());
    assert!(first.locks().try_lock(Exclusive, 3..4).unwrap());
    drop(std::fs::File::open(first.path()).unwrap());
    let (third, _) = two_handles(folder.path());
    assert!(third.locks().try_lock_whole(Shared).is_ok_and(|taken| !taken));
    drop(third);
    assert!(!second.locks().try_lock_whole(Shared).unwrap(), "the whole-file lock is still held");
    assert!(!second.locks().is_free(Shared, 3..4).unwrap(), "the range is still held");
}
