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
#[cfg(unix)]
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
mod pieces;
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
#[cfg(all(
    unix,
    any(mapleaf_portable, not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))
))]
#[path = "portable/mod.rs"]
mod system;
#[cfg(windows)]
#[path = "windows/mod.rs"]
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

#[cfg(all(test, unix))]
mod tests;

pub(crate) use address_space::Reservation;
pub(crate) use memory::{check_room, memory_bytes, zeroed};
pub(crate) use pieces::pieces;
pub(crate) use prefetch::{LINE_BYTES, prefetch};
pub use storage::WriteMode;
pub(crate) use storage::{Access, Advice, FileIdentity, Storage};
pub(crate) use system::Locks;
pub(crate) use system::platform::{boot_id, coarse_milliseconds, random_bytes, status_at, status_of};

#[cfg(unix)]
pub(crate) use self::{
    copy::{FileWriter, read_at, reserve_space, set_length, store_at},
    create::{
        StagedFile, check_is_free, create_file, create_file_with, create_over_empty_file, is_empty_file,
        sync_name,
    },
    file_storage::FileStorage,
    file_system::check_folder_of,
    flock::LockKind,
    fork::ForkMark,
    lock::LockFile,
    mapping::Mapping,
    page_size::system_page_size,
    path::resolve,
    rights::{Rights, may_write},
    shared::SharedWords,
};

// On Windows no file can be opened yet; these stand for what lies in files of the same names here.
#[cfg(windows)]
use system::{files as copy, files as rights, mapping, platform as page_size};
#[cfg(windows)]
pub(crate) use system::{
    files::{
        FileWriter, ForkMark, LockFile, LockKind, Rights, StagedFile, check_folder_of, check_is_free,
        create_file, create_file_with, create_over_empty_file, is_empty_file, may_write, read_at,
        reserve_space, resolve, set_length, store_at, sync_name,
    },
    mapping::Mapping,
    platform::system_page_size,
    shared::SharedWords,
    storage::FileStorage,
};
