//! Any Unix system, on nothing but `flock`, `mmap`, `msync`, `fsync` and `ftruncate`.

mod common;
pub(crate) mod folder;
pub(crate) mod futex;
mod hints;
mod locks;
pub(crate) mod platform;

pub(crate) use locks::Locks;

/// A range of addresses that is mapped.
pub(crate) use memmap2::MmapRaw as Memory;

use std::fs::File;

#[cfg(target_os = "openbsd")]
compile_error!("mapleaf cannot run on OpenBSD: a mapping there does not show what is written to its file");

/// Frees all locks of the description, whichever descriptors of it there are.
pub(crate) fn unlock_all(file: &File) {
    let _ = super::flock::unlock(file);
}
