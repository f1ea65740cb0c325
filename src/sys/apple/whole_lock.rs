//! Locks on whole files: a byte that no other lock uses stands for the file.

use crate::sys::flock::LockKind;
use crate::sys::ofd::{lock_range, try_lock_range, unlock_range};
use std::fs::File;
use std::io;
use std::ops::Range;

const WHOLE: Range<u64> = (1 << 62) - 6..(1 << 62) - 5;

/// Locks a whole file, once it is free.
pub(crate) fn lock(file: &File, kind: LockKind) -> io::Result<()> {
    lock_range(file, kind, WHOLE)
}

/// Locks a whole file if that is possible at once. Returns `false` if not.
pub(crate) fn try_lock(file: &File, kind: LockKind) -> io::Result<bool> {
    try_lock_range(file, kind, WHOLE)
}

/// Frees a whole-file lock.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    unlock_range(file, WHOLE)
}
