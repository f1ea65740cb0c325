//! Storing into a file that is not the database: a copy of it that is being made.
//!
//! No other process knows the file yet, so nothing is promised of it until it has its name (see `create`).

use super::gather;
use super::mapping::Mapping;
use super::size_limit::check_file_size;
use super::system::platform;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;

/// Bytes that one write takes.
const PIECE_BYTES: u64 = 8 << 20;

/// Makes `file` `length` bytes long, and reserves the room where the file system can.
pub(crate) fn reserve_space(file: &File, length: u64) -> io::Result<()> {
    check_file_size(length)?;
    match platform::allocate(file, 0, length) {
        Err(error) if error.kind() != ErrorKind::Unsupported => Err(error),
        _ => file.set_len(length),
    }
}

/// Makes `file` `length` bytes long.
pub(crate) fn set_length(file: &File, length: u64) -> io::Result<()> {
    check_file_size(length)?;
    file.set_len(length)
}

/// Stores `bytes` from `offset` on.
pub(crate) fn store_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    check_file_size(offset.saturating_add(bytes.len() as u64))?;
    gather::write_all_at(file, offset, &[bytes])
}

/// Reads exactly as many bytes as `bytes` has, from `offset` on.
pub(crate) fn read_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    file.read_exact_at(bytes, offset)
}

/// Stores what is written to it consecutively, from the file's beginning.
pub(crate) struct FileWriter<'a> {
    file: &'a File,
    at: u64,
}

impl FileWriter<'_> {
    pub(crate) fn new(file: &File) -> FileWriter<'_> {
        FileWriter { file, at: 0 }
    }
}

impl Write for FileWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        store_at(self.file, self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Stores a part of the mapping at the same place in `to`.
pub(super) fn copy_mapped(mapping: &Mapping, offset: u64, length: u64, to: &File) -> io::Result<()> {
    let end = offset.checked_add(length).ok_or(ErrorKind::InvalidInput)?;
    let mut at = offset;
    while at < end {
        let piece = (end - at).min(PIECE_BYTES);
        let bytes = mapping.slice(at, piece as usize).ok_or(ErrorKind::UnexpectedEof)?;
        store_at(to, at, bytes)?;
        at += piece;
    }
    Ok(())
}
