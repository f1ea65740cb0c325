//! Hints to the system about the mapping's memory, and which of it is resident. All of this affects speed only.
//!
//! Invariant: what the kernel keeps as a property of the mapping (advice, huge pages) is set for the whole of
//! it, never for a part. A part with another property is a mapping of its own to the kernel, and `msync`
//! over several of them syncs the file once for each: a barrier would cost more than one flush (I4).
#![allow(unsafe_code)]

use super::mapping::Mapping;
use super::page_size::system_page_size;
use super::storage::Advice;
use super::system::platform;
use std::io;
use std::ops::Range;

/// Pages whose residency one `mincore` is asked for.
const PAGES_PER_QUESTION: usize = 1 << 16;

impl Mapping {
    /// Sets how the whole mapping is read ahead.
    pub(crate) fn advise(&self, advice: Advice) -> io::Result<()> {
        self.memory.advise(match advice {
            Advice::Normal => memmap2::Advice::Normal,
            Advice::Random => memmap2::Advice::Random,
            Advice::Sequential => memmap2::Advice::Sequential,
        })
    }

    /// Asks for large pages of memory for the whole mapping, or forbids them. `ErrorKind::Unsupported`
    /// where the system has none for files.
    pub(crate) fn huge_pages(&self, wanted: bool) -> io::Result<()> {
        platform::set_huge_pages(&self.memory, wanted)
    }

    /// Reads `range` from the disk and enters its pages into the page table, so that touching them
    /// costs no fault. Returns when that is done: give it pieces to be able to stop in between.
    pub(crate) fn populate(&self, range: Range<u64>) -> io::Result<()> {
        let (offset, length) = self.clamp(range, self.mapped_length());
        match platform::populate(&self.memory, offset, length) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.touch(offset, length);
                Ok(())
            }
            result => result,
        }
    }

    /// As [`Mapping::populate`]. Returns how many bytes were not in memory before.
    pub(crate) fn bring_in(&self, range: Range<u64>) -> io::Result<u64> {
        let resident = self.resident_pages(range.clone())?;
        self.populate(range.clone())?;
        let pages = (range.end - range.start).div_ceil(system_page_size() as u64);
        Ok(pages.saturating_sub(resident) * system_page_size() as u64)
    }

    /// Reads a byte of each page.
    fn touch(&self, offset: usize, length: usize) {
        let Some(bytes) = self.slice(offset as u64, length) else { return };
        for byte in bytes.iter().step_by(system_page_size()) {
            std::hint::black_box(*byte);
        }
    }

    /// How many of the system's pages of `range` are in memory. (On Linux, only to a process that owns the file or may
    /// write it; to others all pages look resident.)
    pub(crate) fn resident_pages(&self, range: Range<u64>) -> io::Result<u64> {
        let page_size = system_page_size();
        let (offset, length) = self.clamp(range, self.mapped_length());
        if length == 0 {
            return Ok(0);
        }
        let end = offset + length;
        let mut at = offset - offset % page_size;
        let mut states = vec![0u8; (end - at).div_ceil(page_size).min(PAGES_PER_QUESTION)];
        let mut resident = 0;
        while at < end {
            let pages = (end - at).div_ceil(page_size).min(PAGES_PER_QUESTION);
            // SAFETY: `at` is a multiple of the page size below the mapping's length, which `at + pages` pages do not
            // exceed, since the length is a multiple too; `states` has a byte for each page.
            let result = unsafe {
                libc::mincore(
                    self.memory.as_mut_ptr().add(at).cast(),
                    pages * page_size,
                    states.as_mut_ptr().cast(),
                )
            };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
            resident += states[..pages].iter().filter(|&&state| state & 1 != 0).count() as u64;
            at += pages * page_size;
        }
        Ok(resident)
    }
}
