//! What the system is asked to do ahead. Nothing depends on whether it does.
#![allow(unsafe_code)]

use crate::sys::signals::retry;
use memmap2::{Advice, MmapRaw};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

/// Begins to write to the disk what the page cache has for `length` bytes from `offset` on, and does not wait for it.
///
/// Without the flags that wait, the call does not collect errors of writes that have ended, so it takes none away from
/// the next sync. It returns an error if a write could not be begun, as a sync would.
pub(crate) fn start_write_back(file: &File, offset: u64, length: u64) -> io::Result<()> {
    sync_file_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE)
}

/// The same, and waits for it. What this returns as an error, the next sync through the same description may not tell
/// again. It makes nothing durable: the disk's own cache is not flushed.
pub(crate) fn write_back(file: &File, offset: u64, length: u64) -> io::Result<()> {
    const WRITE_AND_WAIT: libc::c_uint =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_file_range(file, offset, length, WRITE_AND_WAIT)
}

/// Where the system does not have the call, nothing is done, and that is no error.
fn sync_file_range(file: &File, offset: u64, length: u64, flags: libc::c_uint) -> io::Result<()> {
    let start = libc::off64_t::try_from(offset).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    let count = libc::off64_t::try_from(length).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    let done = retry(|| {
        // SAFETY: sync_file_range takes no pointer; the descriptor is open.
        match unsafe { libc::sync_file_range(file.as_raw_fd(), start, count, flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
    done.or_else(|error| match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EINVAL | libc::ESPIPE | libc::EPERM) => Ok(()),
        _ => Err(error),
    })
}

/// Enters a range of the mapping into the page table; `ErrorKind::Unsupported` before Linux 5.14.
pub(crate) fn populate(memory: &MmapRaw, offset: usize, length: usize) -> io::Result<()> {
    match retry(|| memory.advise_range(Advice::PopulateRead, offset, length)) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(ErrorKind::Unsupported.into()),
        result => result,
    }
}

/// Asks for transparent huge pages for the whole mapping, or forbids them.
pub(crate) fn set_huge_pages(memory: &MmapRaw, wanted: bool) -> io::Result<()> {
    match memory.advise(if wanted { Advice::HugePage } else { Advice::NoHugePage }) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(ErrorKind::Unsupported.into()),
        result => result,
    }
}
