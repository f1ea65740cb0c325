//! The one mapping that pages are read through: `PROT_READ`, `MAP_SHARED`, over a large reserved range.
//!
//! Invariants:
//! - The mapping is never moved, resized or replaced while the `Mapping` lives; the file grows beneath it.
//! - `mapped_length <= reserved_length`, and `mapped_length` bytes of the file exist, as long as no other program cuts
//!   the file. So one comparison ensures that no slice reaches beyond the reservation (I5) or the end of the file
//!   (SIGBUS).
//! - The bytes of a slice do not change while it lives: I1. What may change (metas) is read with `Storage::read`
//!   instead.
//! - The whole reservation stays one mapping to the kernel (see `mapping_hints`), so that one `msync`
//!   is one sync of the file (I4).
#![allow(unsafe_code)]

use super::address_space::{Reservation, Reserved, reserve};
use super::prefetch::{LINE_BYTES, prefetch_at};
use super::system::platform;
use memmap2::MmapOptions;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file in memory, for reading.
pub(crate) struct Mapping {
    /// The start of `memory`, kept apart so that `slice` inlines to a few instructions.
    start: NonNull<u8>,
    mapped_length: AtomicU64,
    pub(super) memory: Reserved,
}

// SAFETY: `start` points into `memory`, which this struct owns and which never moves; through it memory is only
// read, and what is read does not change (I1), so any thread may do it.
unsafe impl Send for Mapping {}
// SAFETY: as for Send; the length is atomic.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `file`, of which `length` bytes exist, over a range that `reservation` says: shorter if the system refuses,
    /// but never shorter than the file.
    pub(crate) fn new(file: &File, length: u64, reservation: impl Into<Reservation>) -> io::Result<Mapping> {
        let reservation = reservation.into();
        // Without a reservation one page is mapped, and nothing of it is known to exist.
        let length = if reservation == Reservation::Nothing { 0 } else { length };
        let memory = reserve(length, reservation.bytes_for(length), |bytes| {
            MmapOptions::new().len(bytes).map_raw_read_only(file)
        })?;
        Mapping::over(memory, length)
    }

    /// Over memory that has `length` bytes of a file, or what a handle sees of one.
    pub(super) fn over(memory: Reserved, length: u64) -> io::Result<Mapping> {
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

    /// A copy of `length` bytes of the mapping from `offset` on, whether or not the file has them; `None` if what is
    /// mapped ends before. The kernel copies them, so that it is no SIGBUS.
    pub(crate) fn copy_of(&self, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        if offset.checked_add(length as u64).is_none_or(|end| end > self.reserved_length()) {
            return Ok(None);
        }
        let file = platform::memory_file()?;
        // SAFETY: the range is within the mapping, which lives as long as `self`; only the kernel reads it, and returns
        // an error where there is nothing to be read.
        let copied = unsafe {
            libc::pwrite(file.as_raw_fd(), self.start.as_ptr().add(offset as usize).cast(), length, 0)
        };
        if usize::try_from(copied) != Ok(length) {
            return match io::Error::last_os_error() {
                error if copied < 0 && error.raw_os_error() != Some(libc::EFAULT) => Err(error),
                _ => Ok(None),
            };
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Some(bytes))
    }

    /// Prefetches `lines` cache lines from `offset` on, wherever that is: a hint.
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

    /// Notes that `length` bytes of the file exist. Only the storage that owns the file calls this, after the file has
    /// grown, or before it is cut.
    pub(super) fn set_mapped_length(&self, length: u64) {
        self.mapped_length.store(length.min(self.reserved_length()), Ordering::Release);
    }

    /// As [`Mapping::set_mapped_length`], but never lowers it.
    pub(super) fn raise_mapped_length(&self, length: u64) {
        self.mapped_length.fetch_max(length.min(self.reserved_length()), Ordering::AcqRel);
    }

    /// Makes `length` bytes from `offset` on durable, with those that share a page of the system with them: one
    /// `msync(MS_SYNC)`, which also flushes what `pwrite` has dirtied, provided that the file was opened for writing.
    /// All of them or none: see [`Mapping::check_covers`].
    pub(crate) fn flush(&self, offset: u64, length: u64) -> io::Result<()> {
        self.check_covers(offset.saturating_add(length))?;
        self.memory.flush_range(offset as usize, length as usize)
    }

    /// Returns an error if the mapping has fewer than `length` bytes: a sync of what it has would make a part durable,
    /// and report success.
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
