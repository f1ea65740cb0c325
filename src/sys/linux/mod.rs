//! Linux, Android included.

pub(crate) mod folder;
pub(crate) mod futex;
#[cfg(not(target_os = "android"))]
mod hints;
#[cfg(target_os = "android")]
#[path = "../portable/hints.rs"]
mod hints;
pub(crate) mod platform;

/// Locks on whole files are those of `flock`, which the system keeps apart from those on ranges.
pub(super) use super::flock as whole_lock;
pub(crate) use super::ofd_locks::Locks;

/// A range of addresses that is mapped.
pub(crate) use memmap2::MmapRaw as Memory;

use std::fs::File;

/// Frees all locks of the description, whichever descriptors of it there are.
pub(super) fn unlock_all(file: &File) {
    super::ofd::unlock_all(file);
    let _ = super::flock::unlock(file);
}
