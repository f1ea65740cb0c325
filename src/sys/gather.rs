//! Storing many buffers with few system calls.
//!
//! Fewer calls would be possible, but not better: the system keeps what one call stores in one block of its cache (a
//! large folio), up to megabytes, if the file system can. Each page that is stored into such a block later costs a walk
//! through all of it, when it is stored and again when it is synced. So no call stores more than [`PIECE_BYTES`].
//!
//! Invariant: everything is stored, or an error is returned. Short writes and interrupted ones are continued.
#![allow(unsafe_code)]

use super::pieces::pieces;
use super::size_limit::check_store;
use super::system::platform;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;

/// The most buffers that one `pwritev` takes: the system's IOV_MAX, 1024 on all of them.
const BUFFERS_PER_CALL: usize = 1024;

/// A call stores up to the next multiple of this in the file, at most.
const PIECE_BYTES: usize = 64 << 10;

/// Stores `buffers` consecutively from `offset` on.
pub(super) fn write_all_at(file: &File, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
    let length: u64 = buffers.iter().map(|buffer| buffer.len() as u64).sum();
    check_store(offset.saturating_add(length))?;
    pieces(offset, buffers, PIECE_BYTES).try_for_each(|(mut at, piece)| {
        let mut slices: Vec<IoSlice<'_>> = piece.into_iter().map(IoSlice::new).collect();
        slices.chunks_mut(BUFFERS_PER_CALL).try_for_each(|slices| write_piece_at(file, &mut at, slices))
    })
}

/// Stores `slices` at `offset`, and moves `offset` to their end.
fn write_piece_at(file: &File, offset: &mut u64, mut rest: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !rest.is_empty() {
        match write_some_at(file, *offset, rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                *offset += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes one `pwritev`. Returns how many bytes it stored.
fn write_some_at(file: &File, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let offset = offset.try_into().map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    let count = slices.len() as libc::c_int;
    // SAFETY: IoSlice has the layout of iovec (std guarantees it); the slices borrow their buffers for
    // the whole call, which only reads them; `count` is at most BUFFERS_PER_CALL.
    let written = unsafe { platform::pwritev(file.as_raw_fd(), slices.as_ptr().cast(), count, offset) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}
