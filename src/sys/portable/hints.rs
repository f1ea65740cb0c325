//! What the system is asked to do ahead: nothing. It would not have to do it.

use memmap2::MmapRaw;
use std::fs::File;
use std::io::{self, ErrorKind};

/// Does nothing: the barrier begins writing.
pub(crate) fn start_write_back(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Does nothing: the barrier writes.
pub(crate) fn write_back(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Unsupported: the caller touches the pages instead.
pub(crate) fn populate(_: &MmapRaw, _: usize, _: usize) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Unsupported: there are no huge pages for files.
pub(crate) fn set_huge_pages(_: &MmapRaw, _: bool) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
