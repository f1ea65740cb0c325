//! The mapping: bounds, reservation, hints.

use super::*;
use crate::sys::page_size::system_page_size;
use crate::sys::{Advice, Mapping, Storage, prefetch};

#[test]
fn no_slice_reaches_beyond_the_file() {
    let folder = folder();
    let storage = storage_of(&folder.path().join("data"), 10_000, WriteMode::Syscall);
    let mapping = storage.mapping();
    assert_eq!(mapping.reserved_length(), TEBIBYTE);
    assert_eq!(mapping.slice(0, 10_000).unwrap().len(), 10_000);
    assert_eq!(mapping.slice(10_000, 0), Some(&[][..]));
    for (offset, length) in
        [(0, 10_001), (9_999, 2), (10_000, 1), (TEBIBYTE, 1), (u64::MAX, 1), (0, usize::MAX)]
    {
        assert_eq!(mapping.slice(offset, length), None, "{offset} {length}");
    }
    assert_eq!(mapping.slice(u64::MAX, usize::MAX), None);
}

#[test]
fn a_reservation_that_is_refused_is_halved() {
    let folder = folder();
    let storage = storage_of(&folder.path().join("data"), 4096, WriteMode::Syscall);
    for absurd in [1 << 60, u64::MAX] {
        let mapping = Mapping::new(storage.file(), 4096, absurd).unwrap();
        assert!(mapping.reserved_length() < absurd);
        assert!(mapping.reserved_length() >= TEBIBYTE, "not smaller than need be");
        assert_eq!(mapping.slice(4095, 1), Some(&[0][..]));
    }
    for mode in BOTH_MODES {
        assert!(FileStorage::in_memory(mode, 1 << 60).is_ok());
    }
}

#[test]
fn a_reservation_is_never_smaller_than_the_file() {
    let folder = folder();
    let storage = storage_of(&folder.path().join("data"), 100_000, WriteMode::Syscall);
    let mapping = Mapping::new(storage.file(), 100_000, 0).unwrap();
    assert_eq!(mapping.reserved_length(), 100_000u64.next_multiple_of(system_page_size() as u64));
    assert_eq!(mapping.slice(99_999, 1), Some(&[0][..]));
    let error = Mapping::new(storage.file(), 1 << 60, 1 << 60).err().unwrap();
    assert_eq!(
        error.raw_os_error(),
        Some(libc::ENOMEM),
        "a file that cannot be mapped is the system's error"
    );
}

#[test]
fn hints_leave_one_mapping() {
    let folder = folder();
    let storage = storage_of(&folder.path().join("data"), 1 << 20, WriteMode::Syscall);
    let mapping = storage.mapping();
    mapping.populate(8192..16384).unwrap();
    for advice in [Advice::Random, Advice::Sequential, Advice::Normal] {
        mapping.advise(advice).unwrap();
    }
    for wanted in [true, false] {
        if let Err(error) = mapping.huge_pages(wanted) {
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        }
    }
    let start = mapping.slice(0, 1).unwrap().as_ptr() as u64;
    let line = format!("{start:x}-{:x} ", start + TEBIBYTE);
    assert!(std::fs::read_to_string("/proc/self/maps").unwrap().contains(&line), "one barrier, one sync");
}

#[test]
fn residency_is_counted_in_pages_of_the_system() {
    let folder = folder();
    let storage = storage_of(&folder.path().join("data"), 40 * system_page_size(), WriteMode::Syscall);
    let mapping = storage.mapping();
    mapping.populate(0..u64::MAX).unwrap();
    assert_eq!(mapping.resident_pages(0..u64::MAX).unwrap(), 40);
    let page = system_page_size() as u64;
    assert_eq!(mapping.resident_pages(page..page * 3).unwrap(), 2);
    assert_eq!(mapping.resident_pages(page - 1..page + 1).unwrap(), 2);
    assert_eq!(mapping.resident_pages(5..5).unwrap(), 0);
    assert_eq!(mapping.resident_pages(page * 40..page * 41).unwrap(), 0);
}

#[test]
fn a_file_that_is_not_in_memory_is_brought_there() {
    let storage = FileStorage::in_memory(WriteMode::Syscall, TEBIBYTE).unwrap();
    storage.file().set_len(64 * system_page_size() as u64).unwrap();
    let length = storage.refresh_length().unwrap();
    assert_eq!(storage.mapping().resident_pages(0..length).unwrap(), 0);
    storage.mapping().populate(0..length / 2).unwrap();
    let resident = storage.mapping().resident_pages(0..length).unwrap();
    assert!(if IS_LINUX { resident == 32 } else { resident >= 32 }, "{resident}"); // on a disk more is read ahead
}

#[test]
fn prefetching_beyond_the_end_does_nothing() {
    let bytes = [1u8; 100];
    for offset in [0, 99, 100, usize::MAX] {
        prefetch(&bytes, offset);
    }
    prefetch(&[], 0);
}
