//! The file storage, in both write modes.

use super::*;
use crate::sys::Storage;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

#[test]
fn what_is_stored_is_seen_at_once_everywhere() {
    for mode in BOTH_MODES {
        let folder = folder();
        let path = folder.path().join("data");
        let storage = storage_of(&path, 16384, mode);
        let reader = FileStorage::open(&path, Access::ReadOnly, mode, TEBIBYTE).unwrap();
        storage.write(4090, &[b"abc", b"", b"defghi"]).unwrap();
        assert_eq!(storage.mapping().slice(4090, 9), Some(&b"abcdefghi"[..]), "through the mapping");
        assert_eq!(reader.mapping().slice(4090, 9), Some(&b"abcdefghi"[..]), "through another mapping");
        let mut copy = [0; 9];
        std::fs::File::open(&path).unwrap().read_exact_at(&mut copy, 4090).unwrap();
        assert_eq!(&copy, b"abcdefghi", "by pread");
        storage.read(4090, &mut copy[..3]).unwrap();
        assert_eq!(&copy[..3], b"abc");
        storage.barrier(16384).unwrap();
    }
}

#[test]
fn more_bytes_than_one_call_stores() {
    for mode in BOTH_MODES {
        let folder = folder();
        let storage = storage_of(&folder.path().join("data"), 1 << 20, mode);
        let whole: Vec<u8> = (0..400_000u32).map(|i| (i * 7 + i / 251) as u8).collect();
        let (one, others) = whole.split_at(200_001);
        let mut buffers = vec![one];
        buffers.extend(others.chunks(4097));
        storage.write(65_000, &buffers).unwrap();
        assert_eq!(storage.mapping().slice(65_000, whole.len()), Some(&whole[..]));
        assert_eq!(storage.mapping().slice(64_999, 1), Some(&[0][..]));
        assert_eq!(storage.mapping().slice(465_000, 1), Some(&[0][..]));
    }
}

#[test]
fn more_buffers_than_one_call_takes() {
    for mode in BOTH_MODES {
        let folder = folder();
        let storage = storage_of(&folder.path().join("data"), 1 << 20, mode);
        let pieces: Vec<Vec<u8>> = (0..5000u32).map(|i| i.to_le_bytes()[..i as usize % 5].to_vec()).collect();
        let buffers: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let whole = pieces.concat();
        storage.write(100, &buffers).unwrap();
        assert_eq!(storage.mapping().slice(100, whole.len()), Some(&whole[..]));
        assert_eq!(storage.mapping().slice(100 + whole.len() as u64, 1), Some(&[0][..]));
    }
}

#[test]
fn growth_keeps_what_was_there_and_zeros_the_rest() {
    for mode in BOTH_MODES {
        for zero in [false, true] {
            let folder = folder();
            let storage = storage_of(&folder.path().join("data"), 4096, mode);
            storage.write(0, &[&[9; 4096]]).unwrap();
            let start = storage.mapping().slice(0, 1).unwrap().as_ptr();
            let new_length = 4096 + (5 << 19); // not a multiple of a piece of zeros
            storage.grow(4096, new_length, zero).unwrap();
            assert_eq!(storage.file_length().unwrap(), new_length);
            let bytes = storage.mapping().slice(0, new_length as usize).unwrap();
            assert_eq!(bytes.as_ptr(), start, "the mapping has not moved");
            assert!(bytes[..4096].iter().all(|&byte| byte == 9));
            assert!(bytes[4096..].iter().all(|&byte| byte == 0));
            assert!(fs2::FileExt::allocated_size(storage.file()).unwrap() >= new_length);
        }
    }
}

#[test]
fn growth_never_cuts_and_stays_within_the_reservation() {
    let folder = folder();
    let path = folder.path().join("data");
    std::fs::write(&path, vec![1; 16384]).unwrap();
    let storage = FileStorage::open(&path, Access::ReadWrite, WriteMode::Syscall, 1 << 20).unwrap();
    storage.grow(0, 8192, false).unwrap();
    assert_eq!(storage.file_length().unwrap(), 16384);
    assert_eq!(storage.mapping().mapped_length(), 16384);
    let error = storage.grow(16384, (1 << 20) + 4096, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    assert_eq!(storage.file_length().unwrap(), 16384);
}

#[test]
fn cutting_takes_the_bytes_away_from_the_mapping_too() {
    for mode in BOTH_MODES {
        let folder = folder();
        let storage = storage_of(&folder.path().join("data"), 16384, mode);
        storage.truncate(4096).unwrap();
        assert_eq!(storage.file_length().unwrap(), 4096);
        assert_eq!(storage.mapping().slice(4096, 1), None);
        assert_eq!(storage.write(4095, &[b"ab"]).unwrap_err().kind(), ErrorKind::InvalidInput);
        storage.truncate(8192).unwrap();
        assert_eq!(storage.file_length().unwrap(), 4096, "truncate never makes a file longer");
        storage.grow(4096, 8192, false).unwrap();
        storage.write(8191, &[b"z"]).unwrap();
    }
}

#[test]
fn growth_by_another_handle_is_learned_by_asking() {
    let folder = folder();
    let path = folder.path().join("data");
    let writer = storage_of(&path, 4096, WriteMode::Syscall);
    let reader = FileStorage::open(&path, Access::ReadOnly, WriteMode::Syscall, TEBIBYTE).unwrap();
    writer.grow(4096, 8192, false).unwrap();
    assert_eq!(reader.mapping().slice(4096, 1), None);
    assert_eq!(reader.refresh_length().unwrap(), 8192);
    assert_eq!(reader.mapping().slice(4096, 1), Some(&[0][..]));
    assert_eq!(reader.identity(), writer.identity());
}

#[test]
fn a_read_only_storage_refuses_to_change_anything() {
    for mode in BOTH_MODES {
        let folder = folder();
        let path = folder.path().join("data");
        std::fs::write(&path, [5; 4096]).unwrap();
        let storage = FileStorage::open(&path, Access::ReadOnly, mode, TEBIBYTE).unwrap();
        let results: [io::Result<()>; 4] = [
            storage.write(0, &[b"x"]),
            storage.grow(4096, 8192, true),
            storage.truncate(0),
            storage.barrier(4096),
        ];
        for result in results {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        assert_eq!(storage.mapping().slice(0, 4096), Some(&[5; 4096][..]));
    }
}

#[test]
fn what_is_not_a_file_is_refused_with_its_reason() {
    let folder = folder();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let error = FileStorage::open(folder.path(), access, WriteMode::Syscall, TEBIBYTE).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::IsADirectory, "{error}");
    }
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = FileStorage::open(&pipe, Access::ReadOnly, WriteMode::Syscall, TEBIBYTE).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn memory_behaves_as_a_file() {
    for mode in BOTH_MODES {
        let storage = FileStorage::in_memory(mode, TEBIBYTE).unwrap();
        assert_eq!(storage.mapping().slice(0, 0), Some(&[][..]));
        assert_eq!(storage.mapping().slice(0, 1), None);
        storage.grow(0, 1 << 20, false).unwrap();
        storage.write(12345, &[b"abc"]).unwrap();
        storage.barrier(1 << 20).unwrap();
        assert_eq!(storage.mapping().slice(12345, 3), Some(&b"abc"[..]));
    }
}

/// A part would be durable, and success reported for all of it.
#[test]
fn a_barrier_for_more_than_is_mapped_is_refused_as_a_whole() {
    let folder = folder();
    let path = folder.path().join("data");
    std::fs::write(&path, [1; 4096]).unwrap();
    let storage = FileStorage::open(&path, Access::ReadWrite, WriteMode::Syscall, 1 << 20).unwrap();
    let mapped = storage.mapping().reserved_length();
    assert_eq!(storage.barrier(mapped + 1).unwrap_err().kind(), ErrorKind::InvalidInput);
    storage.barrier(mapped).unwrap();
}
