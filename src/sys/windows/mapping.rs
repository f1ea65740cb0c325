//! The memory that pages are read through.
//!
//! Invariants:
//! - It is never moved while the `Mapping` lives; what exists of it grows.
//! - `mapped_length` bytes exist, and never fewer: so one comparison ensures that no slice reaches beyond them (I5).
//! - The bytes of a slice do not change while it lives: I1.
#![allow(unsafe_code)]

use crate::sys::address_space::Reserved;
use crate::sys::prefetch::{LINE_BYTES, prefetch_at};
use crate::sys::storage::Advice;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

/// A storage's memory, for reading.
pub(crate) struct Mapping {
    mapped_length: AtomicU64,
    memory: Reserved,
}

impl Mapping {
    pub(super) fn new(memory: Reserved) -> Mapping {
        Mapping { mapped_length: AtomicU64::new(0), memory }
    }

    pub(super) fn memory(&self) -> &Reserved {
        &self.memory
    }

    /// `length` bytes from `offset` on; `None` if they do not all exist.
    #[inline]
    pub(crate) fn slice(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length as u64)?;
        if end > self.mapped_length() {
            return None;
        }
        // SAFETY: `end <= mapped_length`, so the range exists, in memory that lives as long as `self`. The bytes do not
        // change while visible (I1), and any value of them is valid for u8 (I5).
        Some(unsafe { slice::from_raw_parts(self.memory.as_mut_ptr().add(offset as usize), length) })
    }

    /// Prefetches `lines` cache lines from `offset` on, wherever that is: a hint.
    #[inline]
    pub(crate) fn prefetch(&self, offset: u64, lines: usize) {
        for line in 0..lines {
            prefetch_at(self.memory.as_mut_ptr().wrapping_add(offset as usize + line * LINE_BYTES));
        }
    }

    /// Bytes that are known to exist.
    #[inline]
    pub(crate) fn mapped_length(&self) -> u64 {
        self.mapped_length.load(Ordering::Acquire)
    }

    /// Bytes of address space: the storage cannot grow beyond this.
    pub(crate) fn reserved_length(&self) -> u64 {
        self.memory.len() as u64
    }

    /// Returns an error if there are fewer than `length` addresses.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check_covers(&self, length: u64) -> io::Result<()> {
        if length <= self.reserved_length() { Ok(()) } else { Err(ErrorKind::InvalidInput.into()) }
    }

    pub(super) fn raise_mapped_length(&self, length: u64) {
        self.mapped_length.fetch_max(length, Ordering::AcqRel);
    }

    /// Does nothing: memory is not read ahead.
    #[expect(clippy::unused_self, reason = "a file would be advised")]
    pub(crate) fn advise(&self, _: Advice) -> io::Result<()> {
        Ok(())
    }

    /// Unsupported.
    #[expect(clippy::unused_self, reason = "a file would have some")]
    pub(crate) fn huge_pages(&self, _: bool) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Does nothing: what exists is in memory. Returns how many bytes were not.
    #[expect(clippy::unused_self, reason = "a file would be read")]
    pub(crate) fn bring_in(&self, _: Range<u64>) -> io::Result<u64> {
        Ok(0)
    }
}
