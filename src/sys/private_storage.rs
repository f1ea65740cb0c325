//! A file as one handle sees it that may not, or must not, write it: what the handle stores, it alone sees.
//!
//! A database that was opened read-only after a crash replays the log into this ([`crate::txn::open`]).
//!
//! Invariants:
//! - The file is not written. Its pages are mapped privately: a page that is stored to becomes a copy in memory. What
//!   the file is lengthened by is memory as well.
//! - No process changes the file meanwhile, because the caller holds writers off as long as the storage is open.
//! - As for every storage: no reference exists to bytes that are stored to (I1).
#![allow(unsafe_code)]

use super::address_space::{Reservation, reserve};
use super::mapping::Mapping;
use super::pieces::copy_into;
use super::storage::{FileIdentity, FileStatus, Storage};
use super::system::Locks;
use super::system::platform::{self, status_of};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

pub(crate) struct PrivateStorage {
    mapping: Arc<Mapping>,
    identity: FileIdentity,
    /// Keeps writers out as long as the file is open.
    _held: Locks,
    _file: File,
}

impl PrivateStorage {
    /// Over `file`, of which no other handle changes anything as long as `held` is locked.
    pub(crate) fn new(
        file: File,
        held: Locks,
        reservation: impl Into<Reservation>,
    ) -> io::Result<PrivateStorage> {
        let FileStatus { identity, length } = status_of(&file)?;
        let bytes = reservation.into().bytes_for(length);
        let memory = reserve(length, bytes, |bytes| {
            let mut options = MmapOptions::new();
            if !cfg!(miri) {
                options.no_reserve_swap(); // which Miri does not know
            }
            let memory: MmapRaw = options.len(bytes).map_anon()?.into();
            map_over(&memory, &file, length)?;
            Ok(memory)
        })?;
        let mapping = Arc::new(Mapping::over(memory, length)?);
        Ok(PrivateStorage { mapping, identity, _held: held, _file: file })
    }
}

/// Maps the file over the beginning of `memory`, privately.
fn map_over(memory: &MmapRaw, file: &File, length: u64) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | platform::MAP_NORESERVE;
    // SAFETY: `length` bytes from the start of `memory`, which is this function's caller's alone, are mapped again; no
    // reference to them exists yet. Bytes of the last page beyond the file's end are zeros, and may be stored to.
    let mapped = unsafe {
        libc::mmap(memory.as_mut_ptr().cast(), length as usize, protection, flags, file.as_raw_fd(), 0)
    };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Storage for PrivateStorage {
    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    fn write(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
        // SAFETY: the mapping is private, may be written, and has that length. No reference to the target exists (I1).
        unsafe { copy_into(self.mapping.memory.as_mut_ptr(), self.mapping.mapped_length(), offset, buffers) }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.mapping.slice(offset, buffer.len()).ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn barrier(&self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn barrier_with_length(&self) -> io::Result<()> {
        Ok(())
    }

    fn barrier_over(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn checkpoint_barrier(&self) -> io::Result<()> {
        Ok(())
    }

    fn grow(&self, _from: u64, to: u64, _zero: bool) -> io::Result<()> {
        if to > self.mapping.reserved_length() {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.mapping.raise_mapped_length(to);
        Ok(())
    }

    fn truncate(&self, _to: u64) -> io::Result<()> {
        Ok(()) // no process sees how long it is
    }

    fn file_length(&self) -> io::Result<u64> {
        Ok(self.mapping.mapped_length())
    }

    fn refresh_length(&self) -> io::Result<u64> {
        self.file_length()
    }

    fn refresh_length_at(&self, path: &Path) -> Option<u64> {
        let is_at_path = platform::status_at(path).is_ok_and(|found| found.identity == self.identity);
        is_at_path.then(|| self.mapping.mapped_length())
    }

    fn is_private(&self) -> bool {
        true
    }

    fn identity(&self) -> FileIdentity {
        self.identity
    }
}
