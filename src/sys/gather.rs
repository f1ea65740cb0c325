//! Storing many buffers with few system calls.
//!
//! But not with as few as can be: the system keeps what one call stores in one block of its cache (a large folio), up
//! to megabytes, if the file system can. Each page that is stored into such a block later costs a walk through all of
//! it, when it is stored and again when it is synced. So no call stores more than [`PIECE_BYTES`].
//!
//! Invariant: all of it is stored, or an error says otherwise; short writes and interruptions go on where
//! they left off.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;

/// The most buffers that one `pwritev` takes: the system's IOV_MAX, 1024 on all of them.
const BUFFERS_PER_CALL: usize = 1024;

/// A call stores up to the next multiple of this in the file, at most.
const PIECE_BYTES: usize = 64 << 10;

/// Stores `buffers` one behind the other from `offset` on.
pub(super) fn write_all_at(file: &File, mut offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    let mut room = PIECE_BYTES - (offset % PIECE_BYTES as u64) as usize;
    for buffer in buffers {
        let mut rest = *buffer;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(room));
            slices.push(IoSlice::new(now));
            room -= now.len();
            rest = later;
            if room == 0 || slices.len() == BUFFERS_PER_CALL {
                write_piece_at(file, &mut offset, &mut slices)?;
                slices.clear();
                room = PIECE_BYTES - (offset % PIECE_BYTES as u64) as usize;
            }
        }
    }
    write_piece_at(file, &mut offset, &mut slices)
}

/// Stores `slices` at `offset`, which moves behind them.
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

/// One `pwritev`: answers how many bytes it took.
fn write_some_at(file: &File, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    let count = slices.len() as libc::c_int;
    // SAFETY: IoSlice has the layout of iovec (std guarantees it); the slices borrow their buffers for
    // the whole call, which only reads them; `count` is at most BUFFERS_PER_CALL.
    let written = unsafe { libc::pwritev(file.as_raw_fd(), slices.as_ptr().cast(), count, offset) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}
