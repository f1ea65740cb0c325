//! Locks on byte ranges where there are none that belong to an open file description.
//!
//! Locks that belong to the process would be no replacement: they vanish when any descriptor of the file
//! is closed (I7). So each function returns `ErrorKind::Unsupported`.

use super::whole_lock::LockKind;
use std::fs::File;
use std::io;
use std::ops::Range;

/// Unsupported.
pub(crate) fn try_lock_range(_: &File, _: LockKind, _: Range<u64>) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unsupported.
pub(crate) fn lock_range(_: &File, _: LockKind, _: Range<u64>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unsupported.
pub(crate) fn unlock_range(_: &File, _: Range<u64>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unsupported.
pub(crate) fn range_is_free(_: &File, _: LockKind, _: Range<u64>) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
