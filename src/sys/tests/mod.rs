//! Tests against the real system.

mod barriers;
mod copy;
mod create;
mod lock;
mod mapping;
mod shared;
mod space;
mod storage;

use super::{Access, FileStorage, LockFile, Rights, WriteMode};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A large part of the address space, as the default of `OpenOptions::max_size` is.
const TEBIBYTE: u64 = 1 << 40;
/// Whether the calls are used that Linux has of its own.
const IS_LINUX: bool = cfg!(all(target_os = "linux", not(mapleaf_portable)));
const BOTH_MODES: [WriteMode; 2] = [WriteMode::Syscall, WriteMode::Mapped];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A file of `bytes` zeros, all allocated, opened for writing.
fn storage_of(path: &Path, bytes: usize, mode: WriteMode) -> FileStorage {
    std::fs::write(path, vec![0; bytes]).unwrap();
    FileStorage::open(path, Access::ReadWrite, mode, TEBIBYTE).unwrap()
}

fn lock_file_of(data_path: &Path) -> LockFile {
    LockFile::open_or_create(data_path, Rights::default(), &[]).unwrap()
}

/// A file system in memory of 256 KiB, which is easily filled.
struct TinyDisk {
    folder: tempfile::TempDir,
}

impl TinyDisk {
    /// `None`, and a note in the test's output, where mounting is not permitted.
    fn mount() -> Option<TinyDisk> {
        let folder = folder();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "mapleaf-test"])
            .arg(folder.path())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            println!("skipped: a tmpfs cannot be mounted here");
        }
        mounted.then_some(TinyDisk { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Leaves no free space; removing the returned file makes it free again.
    fn fill(&self) -> PathBuf {
        let path = self.path("filler");
        let error = std::fs::write(&path, vec![1; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        path
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}
