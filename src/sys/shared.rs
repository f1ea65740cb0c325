//! Words of memory that threads, or processes, share.
//!
//! Invariants:
//! - The words exist, zeroed at first, as long as the `SharedWords` lives; those of a file are allocated on the
//!   disk before they are mapped, so that no store meets a full disk (I6).
//! - They are touched as atomics only, by everybody: a hostile process can change their values (I5), never
//!   make touching them undefined.
#![allow(unsafe_code)]

use super::platform;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::slice;
use std::sync::atomic::AtomicU64;

/// An array of atomic words.
pub(crate) struct SharedWords {
    start: *const AtomicU64,
    count: usize,
    /// Owns the memory; unmaps it when dropped.
    _memory: MmapRaw,
}

// SAFETY: `start` points into `memory`, which this struct owns, and the words are atomic.
unsafe impl Send for SharedWords {}
// SAFETY: as for Send.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// `count` words for the threads of this process. A page of them costs nothing until it is touched.
    pub(crate) fn anonymous(count: usize) -> io::Result<SharedWords> {
        let memory = MmapOptions::new().len(bytes_of(count)?).no_reserve_swap().map_anon()?;
        Ok(SharedWords::over(memory.into(), count))
    }

    /// The first `count` words of `file`, shared with every process that maps it. A file that is shorter is
    /// extended with zeros, and all of it allocated; it must never be cut afterwards. The first to map
    /// a file does so under a lock, since a file system that cannot allocate gets zeros written.
    pub(crate) fn of_file(file: &File, count: usize) -> io::Result<SharedWords> {
        let bytes = bytes_of(count)?;
        match platform::allocate(file, 0, bytes as u64) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => extend(file, bytes as u64)?,
            result => result?,
        }
        let memory = MmapOptions::new().len(bytes).map_raw(file)?;
        Ok(SharedWords::over(memory, count))
    }

    fn over(memory: MmapRaw, count: usize) -> SharedWords {
        assert!(memory.len() / size_of::<AtomicU64>() >= count, "the memory holds the words");
        SharedWords { start: memory.as_ptr().cast(), count, _memory: memory }
    }

    /// The words.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `memory` is at least `count` words long (asserted when made), starts on a page, lives as long as
        // `self`, and may be read and written; its file has been extended over all of it. Everybody
        // touches it as atomics, for which every value is valid (I5).
        unsafe { slice::from_raw_parts(self.start, self.count) }
    }
}

fn bytes_of(count: usize) -> io::Result<usize> {
    count.checked_mul(size_of::<AtomicU64>()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Writes zeros behind the file's end, up to `length`.
fn extend(file: &File, length: u64) -> io::Result<()> {
    let end = file.metadata()?.len();
    let zeros = vec![0; length.saturating_sub(end) as usize];
    super::gather::write_all_at(file, end, &[&zeros])
}
