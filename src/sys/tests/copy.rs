//! Copying parts of the file to another: in the kernel, and without its help.

use super::*;
use crate::sys::system::platform;
use crate::sys::{Storage, copy};
use std::fs::File;

const LENGTH: usize = 3 << 20;

fn content() -> Vec<u8> {
    (0..LENGTH as u32 / 4).flat_map(u32::to_le_bytes).collect()
}

fn assert_is_there(path: &Path, from: usize, to: usize) {
    let found = std::fs::read(path).unwrap();
    assert!(found[from..to] == content()[from..to], "the part");
    assert!(found[..from].iter().all(|&byte| byte == 0) && found.len() == to, "and nothing else");
}

#[test]
fn both_ways_copy_the_same() {
    let folder = folder();
    let path = folder.path().join("data");
    let storage = storage_of(&path, LENGTH, WriteMode::Syscall);
    storage.write(0, &[&content()]).unwrap();
    let (from, to) = (8192, LENGTH - 4096);
    let length = (to - from) as u64;
    let target = |name: &str| (File::create(folder.path().join(name)).unwrap(), folder.path().join(name));
    let (file, copied) = target("kernel");
    let done = platform::copy_file_range(storage.file(), from as u64, length, &file).unwrap();
    if IS_LINUX {
        assert_eq!(done, length, "on one file system the kernel does all of it");
        assert_is_there(&copied, from, to);
    }
    let (file, copied) = target("mapped");
    copy::copy_mapped(storage.mapping(), from as u64, length, &file).unwrap();
    assert_is_there(&copied, from, to);
    // The kernel does not copy from memory to a disk everywhere.
    let memory = FileStorage::in_memory(WriteMode::Syscall, TEBIBYTE).unwrap();
    memory.grow(0, LENGTH as u64, false).unwrap();
    memory.write(0, &[&content()]).unwrap();
    let (file, copied) = target("memory");
    memory.copy_out(from as u64, length, &file).unwrap();
    assert_is_there(&copied, from, to);
}

#[test]
fn file_that_ends_too_early_is_an_error() {
    let folder = folder();
    let path = folder.path().join("data");
    let storage = storage_of(&path, LENGTH, WriteMode::Syscall);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(LENGTH as u64 / 2).unwrap();
    let file = File::create(folder.path().join("copy")).unwrap();
    assert!(storage.copy_out(0, LENGTH as u64, &file).is_err());
}
