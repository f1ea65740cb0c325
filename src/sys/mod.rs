//! The operating system: mapping, file, locks, shared memory. All `unsafe` code of the crate is here.
//!
//! Layers above reach the database file through [`Storage`] alone, so that a simulated disk can take its
//! place. What differs between systems lies in whole files behind one name: `platform`, `folder`,
//! `range_lock` and `futex`.

mod address_space;
pub(crate) mod atomic;
pub(crate) mod calls;
mod copy;
mod create;
mod file_storage;
mod file_system;
mod fork;
mod gather;
mod lock;
mod mapping;
mod mapping_hints;
mod memory;
mod page_size;
mod path;
mod prefetch;
mod private_storage;
mod rights;
mod signals;
mod size_limit;
mod storage;
mod whole_lock;

#[cfg(not(all(test, loom)))]
mod shared;
#[cfg(all(test, loom))]
#[path = "shared_explored.rs"]
mod shared;

#[cfg(target_os = "linux")]
#[path = "folder_linux.rs"]
mod folder;
#[cfg(not(target_os = "linux"))]
#[path = "folder_other.rs"]
mod folder;

#[cfg(target_os = "linux")]
#[path = "platform_linux.rs"]
mod platform;
#[cfg(not(target_os = "linux"))]
#[path = "platform_other.rs"]
mod platform;

#[cfg(all(target_os = "linux", not(all(test, loom))))]
#[path = "futex_linux.rs"]
pub(crate) mod futex;
#[cfg(any(not(target_os = "linux"), all(test, loom)))]
#[path = "futex_other.rs"]
pub(crate) mod futex;

#[cfg(target_os = "linux")]
#[path = "range_lock_linux.rs"]
mod range_lock;
#[cfg(not(target_os = "linux"))]
#[path = "range_lock_other.rs"]
mod range_lock;

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
pub(crate) use fork::{ForkMark, LockDescription};
pub(crate) use gather::pieces;
pub(crate) use lock::LockFile;
pub(crate) use mapping::Mapping;
pub(crate) use mapping_hints::Advice;
pub(crate) use memory::{check_room, memory_bytes, zeroed};
pub(crate) use page_size::system_page_size;
pub(crate) use path::resolve;
pub(crate) use platform::{boot_id, coarse_milliseconds, random_bytes, status_at, status_of};
pub(crate) use prefetch::{LINE_BYTES, prefetch};
pub(crate) use range_lock::{lock_range, range_is_free, try_lock_range, unlock_range};
pub(crate) use rights::{Rights, may_write};
pub(crate) use shared::SharedWords;
pub use storage::WriteMode;
pub(crate) use storage::{FileIdentity, Storage};
pub(crate) use whole_lock::{LockKind, lock_whole, try_lock_whole, unlock_whole};
