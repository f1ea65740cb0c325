//! The operating system: mapping, file, locks, shared memory. All `unsafe` code of the crate is here.
//!
//! Layers above reach the database file through [`Storage`] alone, so that a simulated disk can take its
//! place. What differs between systems is behind one name, `system`: `linux/`, which is also Android, `apple/`, and
//! `portable/` for other Unix systems. The last needs no more than `flock`, `mmap`, `msync`, `fsync` and `ftruncate`.
//! With `--cfg mapleaf_portable` any Unix system uses it: so it is tested on Linux.

mod address_space;
pub(crate) mod atomic;
pub(crate) mod calls;
#[cfg(unix)]
mod copy;
#[cfg(unix)]
mod create;
#[cfg(unix)]
mod file_storage;
#[cfg(unix)]
mod file_system;
#[cfg(unix)]
mod flock;
#[cfg(unix)]
mod fork;
mod gather;
#[cfg(unix)]
mod lock;
#[cfg(unix)]
mod mapping;
#[cfg(unix)]
mod mapping_hints;
mod memory;
#[cfg(unix)]
mod page_size;
#[cfg(unix)]
mod path;
mod prefetch;
#[cfg(unix)]
mod private_storage;
#[cfg(unix)]
mod rights;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod size_limit;
mod storage;

#[cfg(all(unix, not(all(test, loom))))]
mod shared;
#[cfg(all(test, loom))]
#[path = "shared_explored.rs"]
mod shared;

// What differs between systems. No other file chooses between them.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(mapleaf_portable)))]
#[path = "linux/mod.rs"]
mod system;
#[cfg(all(target_vendor = "apple", not(mapleaf_portable)))]
#[path = "apple/mod.rs"]
mod system;
#[cfg(any(mapleaf_portable, not(any(target_os = "linux", target_os = "android", target_vendor = "apple"))))]
#[path = "portable/mod.rs"]
mod system;

// Two systems have locks of open file descriptions.
#[cfg(all(any(target_os = "linux", target_os = "android", target_vendor = "apple"), not(mapleaf_portable)))]
mod ofd;
#[cfg(all(any(target_os = "linux", target_os = "android", target_vendor = "apple"), not(mapleaf_portable)))]
mod ofd_locks;

#[cfg(not(all(test, loom)))]
pub(crate) use system::futex;
#[cfg(all(test, loom))]
#[path = "portable/futex.rs"]
pub(crate) mod futex;

#[cfg(test)]
mod tests;

pub(crate) use address_space::Reservation;
pub(crate) use copy::{FileWriter, reserve_space, set_length, store_at};
pub(crate) use create::{
    StagedFile, check_is_free, create_file, create_file_with, create_over_empty_file, is_empty_file,
    sync_name,
};
pub(crate) use file_storage::{Access, FileStorage};
pub(crate) use file_system::check_folder_of;
pub(crate) use flock::LockKind;
pub(crate) use fork::ForkMark;
pub(crate) use gather::pieces;
pub(crate) use lock::LockFile;
pub(crate) use mapping::Mapping;
pub(crate) use mapping_hints::Advice;
pub(crate) use memory::{check_room, memory_bytes, zeroed};
pub(crate) use page_size::system_page_size;
pub(crate) use path::resolve;
pub(crate) use prefetch::{LINE_BYTES, prefetch};
pub(crate) use rights::{Rights, may_write};
pub(crate) use shared::SharedWords;
pub use storage::WriteMode;
pub(crate) use storage::{FileIdentity, Storage};
pub(crate) use system::Locks;
pub(crate) use system::platform::{boot_id, coarse_milliseconds, random_bytes, status_at, status_of};
