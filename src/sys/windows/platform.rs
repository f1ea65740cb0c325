//! The calls that have a form of their own on Windows.
#![allow(unsafe_code)]

use super::files::missing;
use crate::sys::storage::FileStatus;
use std::fs::File;
use std::io;
use std::path::Path;

#[link(name = "kernel32")]
// SAFETY: this is the system's declaration of this function.
unsafe extern "system" {
    fn GetTickCount64() -> u64;
}

#[link(name = "advapi32")]
// SAFETY: as above.
unsafe extern "system" {
    /// `RtlGenRandom`.
    #[link_name = "SystemFunction036"]
    fn generate_random(buffer: *mut u8, length: u32) -> u8;
}

/// Which file is open, and how long it is.
pub(crate) fn status_of(_: &File) -> io::Result<FileStatus> {
    missing()
}

/// Which file has the name `path` now, and how long it is.
pub(crate) fn status_at(_: &Path) -> io::Result<FileStatus> {
    missing()
}

/// Returns zeros: the system has no such number.
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    Ok([0; 16])
}

/// Bytes that no process can guess.
pub(crate) fn random_bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    // SAFETY: the buffer is COUNT bytes long and lives through the call.
    match unsafe { generate_random(bytes.as_mut_ptr(), COUNT as u32) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(bytes),
    }
}

/// Milliseconds by a clock that only goes forward, the same in all processes.
pub(crate) fn coarse_milliseconds() -> u64 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { GetTickCount64() }
}

/// The size of a page of the system, in bytes: the same on each machine for which Rust knows Windows.
pub(crate) fn system_page_size() -> usize {
    4096
}
