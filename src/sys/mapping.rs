//! The one mapping that pages are read through: `PROT_READ`, `MAP_SHARED`, over a large reserved range.
//!
//! Invariants:
//! - The mapping is never moved, resized or replaced while the `Mapping` lives; the file grows beneath it.
//! - `mapped_length <= reserved_length`, and `mapped_length` bytes of the file exist, as long as
//!   nobody cuts the file behind the library's back. So no slice reaches beyond the reservation (I5) or the
//!   end of the file (SIGBUS), with one comparison.
//! - Bytes behind a slice do not change while it lives: I1. What may change (records) is read with
//!   `Storage::read` instead.
//! - The whole reservation stays one mapping to the kernel (see `mapping_hints`), so that one `msync`
//!   is one sync of the file (I4).
#![allow(unsafe_code)]

use super::prefetch::{LINE_BYTES, prefetch_at};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

/// More than any system can reserve, and far from any overflow.
const MOST_RESERVED_BYTES: u64 = (isize::MAX / 2) as u64;

/// A file in memory, for reading.
pub(crate) struct Mapping {
    /// The start of `memory`, kept apart so that `slice` inlines to a few instructions.
    start: NonNull<u8>,
    mapped_length: AtomicU64,
    pub(super) memory: MmapRaw,
}

// SAFETY: `start` points into `memory`, which this struct owns and which never moves; through it memory is only
// read, and what is read does not change (I1), so any thread may do it.
unsafe impl Send for Mapping {}
// SAFETY: as for Send; the length is atomic.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `file`, of which `length` bytes exist, over a range of `reserve_bytes`: fewer, by halves, if
    /// the system refuses, but never less than the file.
    pub(crate) fn new(file: &File, length: u64, reserve_bytes: u64) -> io::Result<Mapping> {
        let memory =
            reserve(length, reserve_bytes, |bytes| MmapOptions::new().len(bytes).map_raw_read_only(file))?;
        let start = NonNull::new(memory.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, mapped_length: AtomicU64::new(length), memory })
    }

    /// `length` bytes of the file from `offset` on; `None` if they are not all within the file.
    #[inline]
    pub(crate) fn slice(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length as u64)?;
        if end > self.mapped_length.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: `end <= mapped_length <= reserved length`, so the range is in the mapping, which lives as long
        // as `self`, and in the file, so that touching it raises no SIGBUS; the offset fits a usize as it is
        // below the reserved length, which is one. The bytes do not change while visible (I1), and any
        // value of them is valid for u8 (I5).
        Some(unsafe { slice::from_raw_parts(self.start.as_ptr().add(offset as usize), length) })
    }

    /// Asks for `lines` cache lines from `offset` on, wherever that is: a hint.
    #[inline]
    pub(crate) fn prefetch(&self, offset: u64, lines: usize) {
        for line in 0..lines {
            prefetch_at(self.start.as_ptr().wrapping_add(offset as usize + line * LINE_BYTES));
        }
    }

    /// Bytes of the file that are known to exist.
    #[inline]
    pub(crate) fn mapped_length(&self) -> u64 {
        self.mapped_length.load(Ordering::Acquire)
    }

    /// Bytes of address space: the file cannot grow beyond this while it is open.
    pub(crate) fn reserved_length(&self) -> u64 {
        self.memory.len() as u64
    }

    /// Makes known that `length` bytes of the file exist. Only the storage that owns the file calls this,
    /// after the file has grown, or before it is cut.
    pub(super) fn set_mapped_length(&self, length: u64) {
        self.mapped_length.store(length.min(self.reserved_length()), Ordering::Release);
    }

    /// As [`Mapping::set_mapped_length`], but never lowers it.
    pub(super) fn raise_mapped_length(&self, length: u64) {
        self.mapped_length.fetch_max(length.min(self.reserved_length()), Ordering::AcqRel);
    }

    /// Makes the first `length` bytes durable: one `msync(MS_SYNC)`, which also flushes what `pwrite` has dirtied,
    /// provided that the file was opened for writing. All of them or none: see [`Mapping::check_covers`].
    pub(crate) fn flush(&self, length: u64) -> io::Result<()> {
        self.check_covers(length)?;
        self.memory.flush_range(0, length as usize)
    }

    /// An error if the mapping has fewer than `length` bytes: a sync of what it has would make a part durable, and say
    /// that it was all.
    pub(crate) fn check_covers(&self, length: u64) -> io::Result<()> {
        if length <= self.reserved_length() {
            return Ok(());
        }
        let problem = format!("a sync of {length} bytes, of which {} are mapped", self.reserved_length());
        Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
    }

    /// `range` cut to below `limit`, as offset and length.
    pub(super) fn clamp(&self, range: Range<u64>, limit: u64) -> (usize, usize) {
        let end = range.end.min(limit);
        let start = range.start.min(end);
        (start as usize, (end - start) as usize)
    }
}

/// Calls `map` with `reserve_bytes`, halved until the system agrees, and then once more, so that a process which has
/// little address space keeps some; but not below `length`. Both are rounded up to whole pages of the system.
pub(super) fn reserve(
    length: u64,
    reserve_bytes: u64,
    map: impl Fn(usize) -> io::Result<MmapRaw>,
) -> io::Result<MmapRaw> {
    let least = round_to_system_pages(length.max(1))?;
    let mut bytes = round_to_system_pages(reserve_bytes.min(MOST_RESERVED_BYTES))?.max(least);
    let mut is_refused = false;
    loop {
        match map(bytes) {
            Err(_) if bytes > least => {
                bytes = round_to_system_pages(bytes as u64 / 2)?.max(least);
                is_refused = true;
            }
            // Once more by half: what is left may be needed for anything else.
            Ok(memory) if is_refused && bytes > least => {
                drop(memory);
                return map(round_to_system_pages(bytes as u64 / 2)?.max(least));
            }
            result => return result,
        }
    }
}

fn round_to_system_pages(bytes: u64) -> io::Result<usize> {
    let rounded = bytes.checked_next_multiple_of(system_page_size() as u64);
    // Pointer arithmetic is defined for distances up to isize::MAX only.
    let fits = rounded.and_then(|bytes| isize::try_from(bytes).ok());
    fits.map(|bytes| bytes as usize).ok_or_else(|| {
        io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than this process's address space")
    })
}

/// The size of a page of the system, which is not the database's, in bytes.
pub(super) fn system_page_size() -> usize {
    // SAFETY: sysconf reads a constant; it has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("the system knows its page size")
}
