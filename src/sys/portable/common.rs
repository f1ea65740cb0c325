//! What all Unix systems except Linux have in place of its own calls.
#![allow(unsafe_code)]

use crate::sys::calls::before_call;
use crate::sys::storage::{FileIdentity, FileStatus};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

pub(crate) use super::hints::{populate, set_huge_pages, start_write_back, write_back};
pub(crate) use libc::{AT_EACCESS as EFFECTIVE_USER, pwritev};

/// Memory is reserved as it is touched, where the system can be asked for that.
pub(crate) const MAP_NORESERVE: libc::c_int = if cfg!(target_vendor = "apple") { 0x40 } else { 0 };

/// Whether a sync of the file makes durable what any process has stored through a mapping of it, and one of a mapping
/// what was stored by system calls, both down to the disk itself. POSIX promises none of this.
pub(crate) const SYNCS_ARE_ONE: bool = false;

/// Copies nothing in the kernel.
pub(crate) fn copy_file_range(_: &File, _: u64, _: u64, _: &File) -> io::Result<u64> {
    Ok(0)
}

/// Which file is open, and how long it is.
pub(crate) fn status_of(file: &File) -> io::Result<FileStatus> {
    before_call();
    file.metadata().map(status_in)
}

/// Which file has the name `path` now, and how long it is.
pub(crate) fn status_at(path: &Path) -> io::Result<FileStatus> {
    before_call();
    fs::metadata(path).map(status_in)
}

fn status_in(metadata: fs::Metadata) -> FileStatus {
    let identity = FileIdentity { device: metadata.dev(), inode: metadata.ino() };
    FileStatus { identity, length: metadata.len() }
}

/// Returns 0, which is no file system's number on Linux.
pub(crate) fn file_system_of(_: &File) -> io::Result<u64> {
    Ok(0)
}

/// The name of the file's system if that is not one of this machine's own, where that can be asked.
#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
pub(crate) fn remote_file_system(file: &File) -> io::Result<Option<String>> {
    use std::os::fd::AsRawFd;
    let mut found = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open, and `found` has room for the result.
    if unsafe { libc::fstatfs(file.as_raw_fd(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is made of integers and arrays of them, for which the zeros that it began with are values too.
    let found = unsafe { found.assume_init() };
    let is_local = found.f_flags as u64 & libc::MNT_LOCAL as u64 != 0;
    let name = found.f_fstypename.iter().map(|&byte| byte as u8 as char).take_while(|&letter| letter != '\0');
    Ok((!is_local).then(|| name.collect()))
}

#[cfg(not(any(target_vendor = "apple", target_os = "freebsd")))]
pub(crate) fn remote_file_system(_: &File) -> io::Result<Option<String>> {
    Ok(None)
}

/// A new file without a name, in the folder for temporary files.
pub(crate) fn memory_file() -> io::Result<File> {
    let random = u128::from_le_bytes(random_bytes()?);
    let path = std::env::temp_dir().join(format!("mapleaf-{random:032x}"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
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
