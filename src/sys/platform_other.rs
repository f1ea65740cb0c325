//! What other Unix systems have in place of Linux's own calls.

use memmap2::MmapRaw;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::storage::{FileIdentity, FileStatus};

/// Allocates the file up to `to`, and makes it that long if it is shorter. Every failure is
/// `ErrorKind::Unsupported`: the reason that fs2 returns cannot be relied on, and the zeros that the caller then writes
/// either do the same or fail with the true one.
pub(super) fn allocate(file: &File, from: u64, to: u64) -> io::Result<()> {
    if to <= from {
        return Ok(());
    }
    fs2::FileExt::allocate(file, to).map_err(|_| ErrorKind::Unsupported.into())
}

/// Does nothing: the barrier begins writing.
pub(super) fn start_write_back(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Does nothing: the barrier writes.
pub(super) fn write_back(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Copies nothing in the kernel.
pub(super) fn copy_file_range(_: &File, _: u64, _: u64, _: &File) -> io::Result<u64> {
    Ok(0)
}

/// Which file is open, and how long it is.
pub(crate) fn status_of(file: &File) -> io::Result<FileStatus> {
    file.metadata().map(status_in)
}

/// Which file has the name `path` now, and how long it is.
pub(crate) fn status_at(path: &Path) -> io::Result<FileStatus> {
    fs::metadata(path).map(status_in)
}

fn status_in(metadata: fs::Metadata) -> FileStatus {
    let identity = FileIdentity { device: metadata.dev(), inode: metadata.ino() };
    FileStatus { identity, length: metadata.len() }
}

/// Returns 0, which is no file system's number on Linux.
pub(super) fn file_system_of(_: &File) -> io::Result<u64> {
    Ok(0)
}

/// A new file without a name, in the folder for temporary files.
pub(super) fn memory_file() -> io::Result<File> {
    let random = u128::from_le_bytes(random_bytes()?);
    let path = std::env::temp_dir().join(format!("mapleaf-{random:032x}"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Unsupported: the caller touches the pages instead.
pub(super) fn populate(_: &MmapRaw, _: usize, _: usize) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Unsupported: there are no huge pages for files.
pub(super) fn set_huge_pages(_: &MmapRaw, _: bool) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Returns zeros: the system has no such number.
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    Ok([0; 16])
}

/// Bytes that no process can guess.
pub(crate) fn random_bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Milliseconds by a clock that only goes forward, the same in all processes.
pub(crate) fn coarse_milliseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills in `time`; for this clock it does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}
