//! Locks on byte ranges that belong to an open file description.
//!
//! Invariant (I7): such a lock is gone when the last descriptor of that description is closed, which the kernel
//! does when a process dies, and for no other reason: closing another descriptor of the same file does
//! not drop it. (POSIX locks, which belong to the process, would be dropped.)
#![allow(unsafe_code)]

use super::calls::before_call;
use super::signals::retry;
use super::whole_lock::LockKind;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// Locks `range`. Returns `false` if another description holds it.
pub(crate) fn try_lock_range(file: &File, kind: LockKind, range: Range<u64>) -> io::Result<bool> {
    match control(file, libc::F_OFD_SETLK, lock_type(kind), range) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Locks `range`, once it is free.
pub(crate) fn lock_range(file: &File, kind: LockKind, range: Range<u64>) -> io::Result<()> {
    control(file, libc::F_OFD_SETLKW, lock_type(kind), range).map(drop)
}

/// Unlocks `range`.
pub(crate) fn unlock_range(file: &File, range: Range<u64>) -> io::Result<()> {
    control(file, libc::F_OFD_SETLK, libc::F_UNLCK, range).map(drop)
}

/// Whether a lock of `kind` could be taken, without taking it. The locks of `file`'s own description do not count.
pub(crate) fn range_is_free(file: &File, kind: LockKind, range: Range<u64>) -> io::Result<bool> {
    let found = control(file, libc::F_OFD_GETLK, lock_type(kind), range)?;
    Ok(i32::from(found.l_type) == libc::F_UNLCK)
}

fn lock_type(kind: LockKind) -> libc::c_int {
    match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    }
}

fn control(
    file: &File,
    command: libc::c_int,
    lock_type: libc::c_int,
    range: Range<u64>,
) -> io::Result<libc::flock> {
    before_call();
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("cannot lock bytes {range:?}"));
    // A length of zero would mean "to the end of the file, wherever that is".
    let length = range.end.checked_sub(range.start).filter(|&length| length > 0).ok_or_else(invalid)?;
    // SAFETY: flock is a struct of integers, for which zeros are valid (and l_pid must be zero here).
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = lock_type as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = range.start.try_into().map_err(|_| invalid())?;
    lock.l_len = length.try_into().map_err(|_| invalid())?;
    retry(|| {
        // SAFETY: the three commands take a pointer to a flock, which lives through the call.
        match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    })?;
    Ok(lock)
}
