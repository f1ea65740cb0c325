//! What Linux has of its own: space allocated ahead, files in memory.
//!
//! Calls that are younger than the oldest C library of Android are made by their numbers.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::sys::calls::before_call;
use crate::sys::signals::{retry, uninterrupted};
use crate::sys::storage::{FileIdentity, FileStatus};

pub(crate) use super::hints::{populate, set_huge_pages, start_write_back, write_back};

/// The commands for locks of open file descriptions, and what they take.
pub(crate) use libc::{
    F_OFD_GETLK as GET_OFD_LOCK, F_OFD_SETLK as SET_OFD_LOCK, F_OFD_SETLKW as WAIT_FOR_OFD_LOCK,
    flock64 as RangeLock,
};

pub(crate) use libc::{MAP_NORESERVE, pwritev64 as pwritev};

/// Whether a sync of the file makes durable what any process has stored through a mapping of it, and one of a mapping
/// what was stored by system calls, both down to the disk itself.
pub(crate) const SYNCS_ARE_ONE: bool = true;

/// Makes `faccessat` ask for the effective user. Android's knows the real one only.
#[cfg(not(target_os = "android"))]
pub(crate) use libc::AT_EACCESS as EFFECTIVE_USER;
#[cfg(target_os = "android")]
pub(crate) const EFFECTIVE_USER: libc::c_int = 0;

/// Allocates `from..to` on the disk, and makes the file `to` bytes long if it is shorter.
/// `ErrorKind::Unsupported` if the file system cannot.
///
/// Not `fs2::FileExt::allocate`, which calls `posix_fallocate` for `0..to`. That function returns its error
/// and leaves errno alone, so on a full disk fs2 returns the error that came last ("No such file", when tried). It
/// visits every page of the old part: 1.8 s to grow a file of 1 GiB on tmpfs by 1 MiB, against 0.2 ms here. And where
/// the file system cannot allocate, glibc writes a byte into every block of the old part, into pages that readers see
/// (I1).
pub(crate) fn allocate(file: &File, from: u64, to: u64) -> io::Result<()> {
    if to <= from {
        return Ok(());
    }
    let start = libc::off64_t::try_from(from).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    let length = libc::off64_t::try_from(to - from).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    // Before Linux 6.11 tmpfs gives up at each signal, and takes back what it has allocated: repeated under the signals
    // of a timer, the call would come to no end.
    uninterrupted(|| {
        // SAFETY: fallocate takes no pointer; the descriptor is open.
        match unsafe { libc::fallocate64(file.as_raw_fd(), 0, start, length) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })
}

/// Copies `length` bytes from `offset` on to the same place in another file, in the kernel, which shares the blocks if
/// the file system can. Returns how many bytes were copied: fewer where the kernel or the file systems cannot.
///
/// `sendfile` and `splice` to a pipe or a socket are not used: they pass on the page cache's own pages, and a slow
/// reader would get what these contain when it reads, not what they contained when they were sent.
pub(crate) fn copy_file_range(from: &File, offset: u64, length: u64, to: &File) -> io::Result<u64> {
    let end = offset.checked_add(length).ok_or(ErrorKind::InvalidInput)?;
    let mut at = offset;
    while at < end {
        let mut source = libc::off64_t::try_from(at).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        let mut target = source;
        let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(1 << 30);
        let copied = retry(|| {
            // SAFETY: both descriptors are open, and both offsets live through the call, which changes them.
            let copied = unsafe {
                libc::syscall(
                    libc::SYS_copy_file_range,
                    from.as_raw_fd(),
                    &raw mut source,
                    to.as_raw_fd(),
                    &raw mut target,
                    count,
                    0,
                )
            };
            u64::try_from(copied).map_err(|_| io::Error::last_os_error())
        });
        match copied {
            Ok(0) => break,
            Ok(copied) => at += copied,
            Err(error) => match error.raw_os_error() {
                // Other kinds of file, other file systems, an old kernel, a sandbox that does not know the call.
                Some(libc::EXDEV | libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EPERM) => break,
                _ => return Err(error),
            },
        }
    }
    Ok(at - offset)
}

/// Which file is open, and how long it is.
pub(crate) fn status_of(file: &File) -> io::Result<FileStatus> {
    match status(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH) {
        Err(error) if is_unknown_call(&error) => file.metadata().map(status_in),
        result => result,
    }
}

/// Which file has the name `path` now, and how long it is.
pub(crate) fn status_at(path: &Path) -> io::Result<FileStatus> {
    match status(libc::AT_FDCWD, &CString::new(path.as_os_str().as_bytes())?, 0) {
        Err(error) if is_unknown_call(&error) => fs::metadata(path).map(status_in),
        result => result,
    }
}

/// Asks for no times, which `stat` and `fstat` always do. Where file times are multigrain (Linux 6.13) the next store
/// after a time was read must get another one: it then dirties the inode, which took a fifth of a small `pwritev` on
/// ext4.
pub(crate) fn status(folder: libc::c_int, path: &CStr, flags: libc::c_int) -> io::Result<FileStatus> {
    before_call();
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let wanted = libc::STATX_INO | libc::STATX_SIZE;
    // A file system in user space may let a signal end even this.
    retry(|| {
        // SAFETY: the path is a C string, and `found` has room for the result; both live through the call.
        match unsafe {
            libc::syscall(libc::SYS_statx, folder, path.as_ptr(), flags, wanted, found.as_mut_ptr())
        } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })?;
    // SAFETY: it is made of integers, for which the zeros it began with are values too (I5).
    let found = unsafe { found.assume_init() };
    let device = libc::makedev(found.stx_dev_major, found.stx_dev_minor);
    Ok(FileStatus { identity: FileIdentity { device, inode: found.stx_ino }, length: found.stx_size })
}

/// Before Linux 4.11, and in sandboxes that are older, there is no `statx`.
fn is_unknown_call(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

fn status_in(metadata: fs::Metadata) -> FileStatus {
    let identity = FileIdentity { device: metadata.dev(), inode: metadata.ino() };
    FileStatus { identity, length: metadata.len() }
}

/// The number of the file system that `file` is on.
pub(crate) fn file_system_of(file: &File) -> io::Result<u64> {
    let mut found = MaybeUninit::<libc::statfs>::uninit();
    retry(|| {
        // SAFETY: the descriptor is open, and `found` has room for the result.
        match unsafe { libc::fstatfs(file.as_raw_fd(), found.as_mut_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })?;
    // SAFETY: the call has filled it in. The number has 32 bits; where the field is longer, its sign may be in the
    // rest.
    Ok(unsafe { found.assume_init() }.f_type as u64 & 0xffff_ffff)
}

/// Returns `None`: the file system is told by its number.
pub(crate) fn remote_file_system(_: &File) -> io::Result<Option<String>> {
    Ok(None)
}

/// A new file that lives in memory.
pub(crate) fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a C string that lives through the call.
    let made = unsafe { libc::syscall(libc::SYS_memfd_create, c"mapleaf".as_ptr(), libc::MFD_CLOEXEC) };
    let descriptor = made as RawFd;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been made, and nothing else owns it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// A number that is new with each boot of the machine; zeros if the system never reports one. (If it fails to report it
/// this time, for want of a descriptor, that is an error: with zeros, what was written under the true number would not
/// be believed.)
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) => Ok(parse_uuid(&text).unwrap_or_default()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            Ok([0; 16])
        }
        Err(error) => Err(error),
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u32> =
        text.trim().chars().filter(|&c| c != '-').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |sum, d| sum * 16 + *d as u8)).collect();
    bytes.try_into().ok()
}

/// Bytes that no process can guess.
pub(crate) fn random_bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    const { assert!(COUNT <= 256, "getrandom returns up to 256 bytes in one piece") };
    let mut bytes = [0; COUNT];
    retry(|| {
        // SAFETY: the buffer is COUNT bytes long and lives through the call.
        let count = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), COUNT, 0) };
        if count == COUNT as libc::c_long { Ok(()) } else { Err(io::Error::last_os_error()) }
    })
    .or_else(|_| io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes))?;
    Ok(bytes)
}

/// Milliseconds by a clock that only goes forward, the same in all processes. It lags by a few, and is read without a
/// system call.
#[inline]
pub(crate) fn coarse_milliseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills in `time`; for this clock it does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}
