//! Buffers that are to be stored consecutively: where they end, how they are cut where the file has its boundaries, and
//! how they get into memory.
#![allow(unsafe_code)]

use std::io::{self, ErrorKind};
use std::ptr;

/// Where `buffers` end when they are stored from `offset` on.
pub(super) fn end_of(offset: u64, buffers: &[&[u8]]) -> io::Result<u64> {
    let mut end = Some(offset);
    for buffer in buffers {
        end = end.and_then(|end| end.checked_add(buffer.len() as u64));
    }
    end.ok_or_else(|| ErrorKind::InvalidInput.into())
}

/// Copies `buffers` one after the other to `memory`, from `offset` on. `ErrorKind::InvalidInput`, and nothing is
/// copied, if they do not end within `length` bytes. A buffer may be a part of the memory: bytes may be stored over
/// themselves.
///
/// # Safety
///
/// `memory` must have `length` bytes that may be written, and no reference to those that are stored to may exist (I1).
// SAFETY: what the caller must ensure is above: it is the only one that knows the memory.
pub(super) unsafe fn copy_into(
    memory: *mut u8,
    length: u64,
    offset: u64,
    buffers: &[&[u8]],
) -> io::Result<()> {
    if end_of(offset, buffers)? > length {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut at = offset as usize;
    for buffer in buffers {
        // SAFETY: all buffers end within `length` bytes, as just compared; the rest is the caller's promise.
        unsafe { ptr::copy(buffer.as_ptr(), memory.add(at), buffer.len()) };
        at += buffer.len();
    }
    Ok(())
}

/// Cuts `buffers`, which are to be stored consecutively from `offset` on, at each multiple of `unit` bytes in the file.
/// Returns where each piece begins, and its parts.
pub(crate) fn pieces<'a>(
    mut offset: u64,
    buffers: &[&'a [u8]],
    unit: usize,
) -> impl Iterator<Item = (u64, Vec<&'a [u8]>)> {
    let (mut buffers, mut rest) = (buffers.iter(), &[][..]);
    std::iter::from_fn(move || {
        let (start, mut piece) = (offset, Vec::new());
        let mut room = unit - (offset % unit as u64) as usize;
        while room > 0 {
            if rest.is_empty() {
                match buffers.next() {
                    Some(buffer) => rest = buffer,
                    None => break,
                }
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            piece.push(now);
            room -= now.len();
            offset += now.len() as u64;
            rest = later;
        }
        (offset > start).then_some((start, piece))
    })
}
