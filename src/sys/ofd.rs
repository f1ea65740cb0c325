//! Locks on byte ranges that belong to an open file description.
//!
//! Invariant (I7): such a lock is gone when the last descriptor of that description is closed, which the kernel
//! does when a process dies, and for no other reason: closing another descriptor of the same file does
//! not drop it. (POSIX locks, which belong to the process, would be dropped.)
#![allow(unsafe_code)]

use super::calls::before_call;
use super::flock::LockKind;
use super::signals::retry;
use super::system::platform::{GET_OFD_LOCK, RangeLock, SET_OFD_LOCK, WAIT_FOR_OFD_LOCK};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// The type of a range that is not locked.
const UNLOCKED: libc::c_short = libc::F_UNLCK as libc::c_short;

/// Locks `range`. Returns `false` if another description holds it.
pub(crate) fn try_lock_range(file: &File, kind: LockKind, range: Range<u64>) -> io::Result<bool> {
    match control(file, SET_OFD_LOCK, lock_type(kind), range) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Locks `range`, once it is free.
pub(crate) fn lock_range(file: &File, kind: LockKind, range: Range<u64>) -> io::Result<()> {
    control(file, WAIT_FOR_OFD_LOCK, lock_type(kind), range).map(drop)
}

/// Unlocks `range`.
pub(crate) fn unlock_range(file: &File, range: Range<u64>) -> io::Result<()> {
    control(file, SET_OFD_LOCK, UNLOCKED, range).map(drop)
}

/// Whether a lock of `kind` could be taken, without taking it. The locks of `file`'s own description do not count.
pub(crate) fn range_is_free(file: &File, kind: LockKind, range: Range<u64>) -> io::Result<bool> {
    let found = control(file, GET_OFD_LOCK, lock_type(kind), range)?;
    Ok(found.l_type == UNLOCKED)
}

/// Frees all locks of the description.
pub(crate) fn unlock_all(file: &File) {
    // It cannot fail for what is locked; what is not locked stays so.
    let _ = unlock_range(file, 0..i64::MAX as u64);
}

fn lock_type(kind: LockKind) -> libc::c_short {
    match kind {
        LockKind::Shared => libc::F_RDLCK as libc::c_short,
        LockKind::Exclusive => libc::F_WRLCK as libc::c_short,
    }
}

fn control(
    file: &File,
    command: libc::c_int,
    lock_type: libc::c_short,
    range: Range<u64>,
) -> io::Result<RangeLock> {
    before_call();
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("cannot lock bytes {range:?}"));
    // A length of zero would mean "to the end of the file, wherever that is".
    let length = range.end.checked_sub(range.start).filter(|&length| length > 0).ok_or_else(invalid)?;
    // SAFETY: flock is a struct of integers, for which zeros are valid (and l_pid must be zero here).
    let mut lock: RangeLock = unsafe { std::mem::zeroed() };
    lock.l_type = lock_type;
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
