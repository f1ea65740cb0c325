//! The calls that have a form of their own on Apple's systems.
#![allow(unsafe_code)]

pub(crate) use super::common::*;
pub(crate) use libc::flock as RangeLock;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// The commands for locks of open file descriptions, which have no names in `libc`.
pub(crate) const SET_OFD_LOCK: libc::c_int = 90;
pub(crate) const WAIT_FOR_OFD_LOCK: libc::c_int = 91;
pub(crate) const GET_OFD_LOCK: libc::c_int = 92;

/// Bytes that one of `st_blocks` means.
const BLOCK_BYTES: u64 = 512;

/// Allocates `from..to` on the disk, and makes the file `to` bytes long if it is shorter. `ErrorKind::Unsupported` if
/// the file has holes, which the system cannot fill, or the file system cannot allocate.
pub(crate) fn allocate(file: &File, from: u64, to: u64) -> io::Result<()> {
    if to <= from {
        return Ok(());
    }
    let found = file.metadata()?;
    let allocated = found.blocks() * BLOCK_BYTES;
    if allocated < found.len() {
        return Err(ErrorKind::Unsupported.into());
    }
    if allocated < to {
        let length = libc::off_t::try_from(to - allocated).map_err(|_| ErrorKind::FileTooLarge)?;
        let mut store = libc::fstore_t {
            fst_flags: libc::F_ALLOCATEALL,
            fst_posmode: libc::F_PEOFPOSMODE, // after the last block that the file has
            fst_offset: 0,
            fst_length: length,
            fst_bytesalloc: 0,
        };
        // SAFETY: the command takes a pointer to a fstore_t, which lives through the call.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &raw mut store) } == -1 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ENOTSUP | libc::EOPNOTSUPP | libc::EINVAL) => Err(ErrorKind::Unsupported.into()),
                _ => Err(error),
            };
        }
    }
    if found.len() < to { file.set_len(to) } else { Ok(()) }
}

/// A number that is new with each boot of the machine; zeros if the system does not report one.
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    let mut text = [0u8; 64];
    let mut length = text.len();
    // SAFETY: the name is a C string, and the call stores no more than `length` bytes in `text`; all live through it.
    let result = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            text.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    if result != 0 {
        return Ok([0; 16]);
    }
    let text = String::from_utf8_lossy(&text[..length.min(text.len())]);
    Ok(parse_uuid(text.trim_end_matches('\0')).unwrap_or_default())
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits = text.chars().filter(|&digit| digit != '-').collect::<String>();
    u128::from_str_radix(&digits, 16).ok().map(u128::to_le_bytes)
}
