//! Storing into a file that is not the database: a copy of it that is being made.
//!
//! Nobody else knows the file yet, so nothing is promised of it until it has its name (see `create`).

use super::gather;
use super::mapping::Mapping;
use super::platform;
use std::fs::File;
use std::io::{self, ErrorKind};

/// Bytes that one write takes.
const PIECE_BYTES: u64 = 8 << 20;

/// Makes `file` `length` bytes long, and reserves the room where the file system can.
pub(crate) fn reserve_space(file: &File, length: u64) -> io::Result<()> {
    match platform::allocate(file, 0, length) {
        Err(error) if error.kind() != ErrorKind::Unsupported => Err(error),
        _ => file.set_len(length),
    }
}

/// Stores `bytes` from `offset` on.
pub(crate) fn store_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    gather::write_all_at(file, offset, &[bytes])
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
