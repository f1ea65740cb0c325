//! Words of memory that threads, or processes, share.
//!
//! Invariants:
//! - The words exist, zeroed at first, as long as the `SharedWords` lives; those of a file are allocated on the
//!   disk before they are handed out, so that no store meets a full disk (I6). The length of a file does not ensure
//!   that: it may have holes. So the first process to map it fills them, and each one that makes it longer allocates
//!   what it adds.
//! - The file may grow underneath its mapping. Words beyond its known length are not handed out.
//! - It is cut only by a handle that is closing, and while no other handle uses a mapping of it ([`SharedWords::cut`]):
//!   so no handle touches a word that is not in the file any more.
//! - Every process touches them as atomics only: a hostile process can change their values (I5), but cannot make
//!   touching them undefined.
#![allow(unsafe_code)]

use super::gather;
use super::signals::retry;
use super::size_limit::check_file_size;
use super::system::platform;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::slice;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};

const WORD_BYTES: usize = size_of::<AtomicU64>();
/// Bytes that one write takes where blocks cannot be allocated.
const PIECE_BYTES: u64 = 64 << 10;

/// An array of atomic words.
pub(crate) struct SharedWords {
    start: *const AtomicU64,
    /// Words that are known to exist.
    available: AtomicUsize,
    /// The words' file, if they are in one.
    file: Option<File>,
    memory: MmapRaw,
}

// SAFETY: `start` points into `memory`, which this struct owns, and the words are atomic.
unsafe impl Send for SharedWords {}
// SAFETY: as for Send.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// `count` words for the threads of this process. A page of them costs nothing until it is touched.
    pub(crate) fn anonymous(count: usize) -> io::Result<SharedWords> {
        let mut options = MmapOptions::new();
        if !cfg!(miri) {
            options.no_reserve_swap(); // which Miri does not know
        }
        let memory: MmapRaw = options.len(bytes_of(count)?).map_anon()?.into();
        Ok(SharedWords {
            start: memory.as_ptr().cast(),
            available: AtomicUsize::new(count),
            file: None,
            memory,
        })
    }

    /// The words of `file`, shared with every process that maps it: `count` of them at once, and up to `most` as it
    /// grows. `is_first`: no other process uses the words yet, nor begins to before this returns. The mapping keeps the
    /// file's description open in a forked child, so no lock may belong to that.
    pub(crate) fn of_file(file: File, count: usize, most: usize, is_first: bool) -> io::Result<SharedWords> {
        if is_first {
            fill_holes(&file, bytes_of(count)? as u64, bytes_of(most)? as u64)?;
        }
        let memory = MmapOptions::new().len(bytes_of(most)?).map_raw(&file)?;
        let start = memory.as_ptr().cast();
        let words = SharedWords { start, available: AtomicUsize::new(0), file: Some(file), memory };
        words.grow(count)?;
        Ok(words)
    }

    /// The words that are known to exist.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: that many words lie within `memory`, and within its file (`has` has tested it); it starts on a page,
        // lives as long as `self`, and may be read and written. It is touched as atomics only, for which every value is
        // valid (I5).
        unsafe { slice::from_raw_parts(self.start, self.available.load(Acquire)) }
    }

    /// Makes `count` words exist, if fewer do; new ones are zeros.
    pub(crate) fn grow(&self, count: usize) -> io::Result<()> {
        if self.has(count)? {
            return Ok(());
        }
        if let Some(file) = &self.file {
            let bytes = bytes_of(count)? as u64;
            check_file_size(bytes)?;
            platform::allocate(file, 0, bytes)?;
        }
        match self.has(count)? {
            true => Ok(()),
            false => Err(ErrorKind::OutOfMemory.into()),
        }
    }

    /// Whether the words that were known to exist still do. Called before they are touched where another handle may
    /// have cut them.
    pub(crate) fn are_there(&self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(true) };
        Ok(file.metadata()?.len() >= bytes_of(self.available.load(Acquire))? as u64)
    }

    /// Cuts off all words after the first `count`: they and their room on the disk are gone. The caller knows that no
    /// other handle will touch them before it has made the file longer again.
    pub(crate) fn cut(&self, count: usize) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        self.available.fetch_min(count, Release);
        file.set_len(bytes_of(count)? as u64)
    }

    /// Whether `count` words exist: another process may have made the file longer.
    pub(crate) fn has(&self, count: usize) -> io::Result<bool> {
        if let Some(file) = &self.file
            && self.available.load(Acquire) < count
        {
            let bytes = platform::status_of(file)?.length.min(self.memory.len() as u64) as usize;
            self.available.fetch_max(bytes / WORD_BYTES, Release);
        }
        Ok(self.available.load(Acquire) >= count)
    }
}

/// Allocates the blocks of a file that no handle has mapped, but no more than the first `most` bytes, and makes it
/// `length` bytes long if it is shorter. Where the file system cannot allocate, what is there is written again, and
/// zeros where nothing is: a block that has been written exists. Then all `most` bytes are written, because nothing can
/// be allocated in this way later, while others store.
fn fill_holes(file: &File, length: u64, most: u64) -> io::Result<()> {
    // What lies after the first `length` bytes is taken for words that exist.
    let length = platform::status_of(file)?.length.clamp(length, most);
    check_file_size(length)?;
    match platform::allocate(file, 0, length) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        result => return result,
    }
    let mut at = 0;
    while at < most {
        let mut piece = vec![0; PIECE_BYTES.min(most - at) as usize];
        let mut found = 0;
        while found < piece.len() {
            match retry(|| file.read_at(&mut piece[found..], at + found as u64))? {
                0 => break, // the file ends here
                count => found += count,
            }
        }
        gather::write_all_at(file, at, &[&piece])?;
        at += piece.len() as u64;
    }
    Ok(())
}

fn bytes_of(count: usize) -> io::Result<usize> {
    count.checked_mul(WORD_BYTES).ok_or_else(|| ErrorKind::InvalidInput.into())
}
