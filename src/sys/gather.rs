//! Storing many buffers with few system calls.
//!
//! Invariant: all of it is stored, or an error says otherwise; short writes and interruptions go on where
//! they left off.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;

/// The most buffers that one `pwritev` takes: the system's IOV_MAX, 1024 on all of them.
const BUFFERS_PER_CALL: usize = 1024;

/// Stores `buffers` one behind the other from `offset` on.
pub(super) fn write_all_at(file: &File, mut offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
    for batch in buffers.chunks(BUFFERS_PER_CALL) {
        let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|buffer| IoSlice::new(buffer)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0); // steps over empty buffers in front
        while !rest.is_empty() {
            match write_some_at(file, offset, rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// One `pwritev`: answers how many bytes it took.
fn write_some_at(file: &File, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    let count = slices.len() as libc::c_int;
    // SAFETY: IoSlice has the layout of iovec (std guarantees it); the slices borrow their buffers for
    // the whole call, which only reads them; `count` is at most BUFFERS_PER_CALL.
    let written = unsafe { libc::pwritev(file.as_raw_fd(), slices.as_ptr().cast(), count, offset) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}
