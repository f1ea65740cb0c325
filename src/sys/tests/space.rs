//! The disk is full: an error, and nothing lost (I6).

use super::*;
use crate::sys::{Rights, Storage, create_file, gather};
use std::io::ErrorKind;

const OLD_BYTES: u64 = 64 << 10;
const NEW_BYTES: u64 = 128 << 10;

#[test]
fn growth_on_a_full_disk_fails_and_goes_on_when_there_is_space() {
    for mode in BOTH_MODES {
        for zero in [false, true] {
            let Some(disk) = TinyDisk::mount() else { return };
            let storage = storage_of(&disk.path("data"), OLD_BYTES as usize, mode);
            storage.write(0, &[b"before"]).unwrap();
            let filler = disk.fill();

            let error = storage.grow(OLD_BYTES, NEW_BYTES, zero).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
            assert_eq!(storage.file_length().unwrap(), OLD_BYTES);
            assert_eq!(storage.mapping().mapped_length(), OLD_BYTES);
            assert_eq!(storage.mapping().slice(OLD_BYTES, 1), None);
            assert_eq!(storage.mapping().slice(0, 6), Some(&b"before"[..]));

            std::fs::remove_file(filler).unwrap();
            storage.grow(OLD_BYTES, NEW_BYTES, zero).unwrap();
            storage.write(NEW_BYTES - 5, &[b"after"]).unwrap();
            storage.barrier(NEW_BYTES).unwrap();
            assert_eq!(storage.mapping().slice(NEW_BYTES - 5, 5), Some(&b"after"[..]));
        }
    }
}

#[test]
fn what_has_been_grown_can_be_stored_on_a_full_disk() {
    for mode in BOTH_MODES {
        let Some(disk) = TinyDisk::mount() else { return };
        let storage = storage_of(&disk.path("data"), 4096, mode);
        storage.grow(4096, NEW_BYTES, false).unwrap();
        disk.fill();
        let page = [7; 4096];
        for offset in (0..NEW_BYTES).step_by(4096) {
            storage.write(offset, &[&page]).unwrap();
        }
        let stored = storage.mapping().slice(0, NEW_BYTES as usize).unwrap();
        assert!(stored.iter().all(|&byte| byte == 7));
    }
}

#[test]
fn a_sparse_file_is_filled_or_refused_before_stores_through_a_mapping() {
    let Some(disk) = TinyDisk::mount() else { return };
    let path = disk.path("data");
    std::fs::File::create(&path).unwrap().set_len(NEW_BYTES).unwrap();
    let open = || FileStorage::open(&path, Access::ReadWrite, WriteMode::Mapped, TEBIBYTE);
    if !IS_LINUX {
        assert_eq!(open().err().unwrap().kind(), ErrorKind::Unsupported);
        return;
    }
    let filler = disk.fill();
    assert_eq!(open().err().unwrap().kind(), ErrorKind::StorageFull);
    std::fs::remove_file(filler).unwrap();
    let storage = open().unwrap();
    assert!(fs2::FileExt::allocated_size(storage.file()).unwrap() >= NEW_BYTES);
}

#[test]
fn a_short_write_is_continued_until_its_error() {
    let Some(disk) = TinyDisk::mount() else { return };
    let file = std::fs::File::create(disk.path("data")).unwrap();
    let page = [7; 4096];
    // After a hole, so that the room ends in the middle of what one call stores.
    let error = gather::write_all_at(&file, 4096, &[&page[..]; 100]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(file.metadata().unwrap().len(), 4096 + (256 << 10), "the calls took what there was room for");
}

#[test]
fn creation_on_a_full_disk_leaves_nothing() {
    let Some(disk) = TinyDisk::mount() else { return };
    let path = disk.path("data");
    let error = create_file(&path, Rights::default(), &[&[1; 1 << 20]]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    create_file(&path, Rights::default(), &[&[1; 4096]]).unwrap();
}
