//! The storage of a database: memory.
//!
//! Invariants: as those of every [`Storage`]. What has been stored has no other place, so barriers have nothing to do.
#![allow(unsafe_code)]

use super::files::{Locks, NoPrivateStorage, missing};
use super::mapping::Mapping;
use crate::sys::address_space::{Reservation, reserve};
use crate::sys::pieces::copy_into;
use crate::sys::storage::{Access, FileIdentity, Storage, WriteMode};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::memory::Memory;

pub(crate) struct FileStorage {
    mapping: Arc<Mapping>,
}

impl FileStorage {
    pub(crate) fn open(
        _: &Path,
        _: Access,
        _: WriteMode,
        _: impl Into<Reservation>,
    ) -> io::Result<FileStorage> {
        missing()
    }

    /// An empty storage in memory. It has no name, and is gone when the last handle is.
    pub(crate) fn in_memory(_: WriteMode, reservation: impl Into<Reservation>) -> io::Result<FileStorage> {
        let memory = reserve(0, reservation.into().bytes_for(0), Memory::reserve)?;
        Ok(FileStorage { mapping: Arc::new(Mapping::new(memory)) })
    }

    pub(crate) fn of_file(_: File, _: Access, _: impl Into<Reservation>) -> io::Result<FileStorage> {
        missing()
    }

    #[expect(clippy::unused_self, reason = "it has no file")]
    pub(crate) fn check_file_system(&self) -> io::Result<()> {
        missing()
    }

    #[expect(clippy::unused_self, reason = "it has no file")]
    pub(crate) fn file(&self) -> &File {
        unreachable!("no storage has a file")
    }

    #[expect(clippy::unused_self, reason = "it has no file")]
    pub(crate) fn open_for_locks(&self, _: &Path) -> io::Result<Locks> {
        missing()
    }

    #[expect(clippy::unused_self, reason = "it has no file")]
    pub(crate) fn open_for_checkpoints(&mut self, _: &Path) -> io::Result<()> {
        missing()
    }

    #[expect(clippy::unused_self, reason = "it has no file")]
    pub(crate) fn into_private(self, _: Locks, _: impl Into<Reservation>) -> io::Result<NoPrivateStorage> {
        missing()
    }

    #[expect(clippy::unused_self, reason = "it has no file")]
    pub(crate) fn hold(&mut self, _: Locks) {}
}

impl Storage for FileStorage {
    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    fn write(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
        // SAFETY: that much of the memory exists. No reference to the target exists (I1).
        unsafe {
            copy_into(self.mapping.memory().as_mut_ptr(), self.mapping.mapped_length(), offset, buffers)
        }
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
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.mapping.memory().commit(to as usize)?;
        self.mapping.raise_mapped_length(to);
        Ok(())
    }

    /// Memory that has been there stays: the engine counts what it uses by itself.
    fn truncate(&self, _to: u64) -> io::Result<()> {
        Ok(())
    }

    fn file_length(&self) -> io::Result<u64> {
        Ok(self.mapping.mapped_length())
    }

    fn refresh_length(&self) -> io::Result<u64> {
        self.file_length()
    }

    fn identity(&self) -> FileIdentity {
        FileIdentity { device: 0, inode: 0 }
    }
}
