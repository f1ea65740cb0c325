//! macOS, and the other systems of Apple.
//!
//! It has not been run: there is no such machine among those that mapleaf is tested on. What it takes from the system:
//!
//! - Locks of open file descriptions, by the commands 90 to 92 of `fcntl`. The system has one list of locks for these
//!   and those of `flock`, in which the two conflict. So there is no `flock` here: a byte stands for the whole file.
//! - Sleeping on a word that processes share (`os_sync_wait_on_address`), from macOS 14.4 on; before that, short
//!   sleeps.
//! - `F_FULLFSYNC`, because neither `msync` nor `fsync` makes the disk empty its own cache. The standard library's
//!   `sync_all` and `sync_data` use it.
//! - `F_PREALLOCATE`, which allocates beyond the blocks that the file has.

#[path = "../portable/common.rs"]
mod common;
#[path = "../portable/folder.rs"]
pub(crate) mod folder;
pub(crate) mod futex;
#[path = "../portable/hints.rs"]
mod hints;
#[path = "../portable/futex.rs"]
#[allow(dead_code, reason = "no thread has to be woken from a short sleep")]
mod naps;
pub(crate) mod platform;
pub(crate) mod whole_lock;

pub(crate) use super::ofd_locks::Locks;

/// A range of addresses that is mapped.
pub(crate) use memmap2::MmapRaw as Memory;

use std::fs::File;

/// Frees all locks of the description, whichever descriptors of it there are.
pub(super) fn unlock_all(file: &File) {
    super::ofd::unlock_all(file);
}
