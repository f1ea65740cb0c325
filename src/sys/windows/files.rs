//! What stands for files, their locks and their rights. None can be made.

use super::mapping::Mapping;
use crate::sys::storage::{FileIdentity, Storage};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The error of every function that would use a file.
pub(crate) fn missing<T>() -> io::Result<T> {
    let problem =
        "on Windows mapleaf has databases in memory only; docs/PLATFORMS.md says what files still need";
    Err(io::Error::new(ErrorKind::Unsupported, problem))
}

/// Which other locks a lock excludes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockKind {
    Shared,
    Exclusive,
}

#[derive(Debug)]
pub(crate) struct Locks(Infallible);

impl Locks {
    pub(crate) const OCCUPIED: &str = "";

    pub(crate) fn file(&self) -> io::Result<&File> {
        match self.0 {}
    }

    pub(crate) fn try_lock(&self, _: LockKind, _: Range<u64>) -> io::Result<bool> {
        match self.0 {}
    }

    pub(crate) fn lock(&self, _: LockKind, _: Range<u64>) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn unlock(&self, _: Range<u64>) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn is_free(&self, _: LockKind, _: Range<u64>) -> io::Result<bool> {
        match self.0 {}
    }

    pub(crate) fn lock_whole(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn try_lock_whole(&self, _: LockKind) -> io::Result<bool> {
        match self.0 {}
    }

    pub(crate) fn unlock_whole(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn occupy(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn occupy_instead(&self, _: io::Error) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn is_occupied(&self) -> io::Result<bool> {
        match self.0 {}
    }

    pub(crate) fn vacate(&self) -> io::Result<()> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct LockFile(Infallible);

impl LockFile {
    pub(crate) fn open(_: &Path, _: Rights) -> io::Result<LockFile> {
        missing()
    }

    pub(crate) fn open_or_create(_: &Path, _: Rights, _: &[u8]) -> io::Result<LockFile> {
        missing()
    }

    pub(crate) fn set_rights(&self, _: Rights) -> io::Result<()> {
        match self.0 {}
    }

    /// Where the lock file of `data_path` would be.
    pub(crate) fn path_for(data_path: &Path) -> PathBuf {
        let mut name = data_path.as_os_str().to_owned();
        name.push("-lock");
        name.into()
    }

    pub(crate) fn path(&self) -> &Path {
        match self.0 {}
    }

    pub(crate) fn locks(&self) -> &Locks {
        match self.0 {}
    }

    pub(crate) fn file(&self) -> io::Result<&File> {
        match self.0 {}
    }

    pub(crate) fn open_memory(&self) -> io::Result<File> {
        match self.0 {}
    }
}

/// A file as one handle sees it that may not write it.
pub(crate) struct NoPrivateStorage(Infallible);

impl Storage for NoPrivateStorage {
    fn mapping(&self) -> &Arc<Mapping> {
        match self.0 {}
    }

    fn write(&self, _: u64, _: &[&[u8]]) -> io::Result<()> {
        match self.0 {}
    }

    fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        match self.0 {}
    }

    fn barrier(&self, _: u64) -> io::Result<()> {
        match self.0 {}
    }

    fn barrier_with_length(&self) -> io::Result<()> {
        match self.0 {}
    }

    fn barrier_over(&self, _: u64, _: u64) -> io::Result<()> {
        match self.0 {}
    }

    fn checkpoint_barrier(&self) -> io::Result<()> {
        match self.0 {}
    }

    fn grow(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        match self.0 {}
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        match self.0 {}
    }

    fn file_length(&self) -> io::Result<u64> {
        match self.0 {}
    }

    fn refresh_length(&self) -> io::Result<u64> {
        match self.0 {}
    }

    fn identity(&self) -> FileIdentity {
        match self.0 {}
    }
}

/// Which users may use a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rights;

impl Rights {
    pub(crate) const fn new(_: u32) -> Rights {
        Rights
    }

    pub(crate) fn of(_: &File) -> io::Result<Rights> {
        missing()
    }

    #[expect(clippy::unused_self, reason = "rights have an owner")]
    pub(crate) fn is_own(&self) -> bool {
        true
    }
}

pub(crate) fn may_write(_: &Path) -> bool {
    false
}

/// A file that is being made.
pub(crate) struct StagedFile(Infallible);

impl StagedFile {
    pub(crate) fn begin(_: &Path, _: Rights) -> io::Result<StagedFile> {
        missing()
    }

    pub(crate) fn file(&self) -> &File {
        match self.0 {}
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        match self.0 {}
    }
}

pub(crate) fn create_file(_: &Path, _: Rights, _: &[&[u8]]) -> io::Result<()> {
    missing()
}

pub(crate) fn create_file_with(
    _: &Path,
    _: Rights,
    _: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    missing()
}

pub(crate) fn create_over_empty_file(_: &Path, _: Rights, _: &[&[u8]]) -> io::Result<()> {
    missing()
}

pub(crate) fn is_empty_file(_: &Path) -> io::Result<bool> {
    missing()
}

pub(crate) fn check_is_free(_: &Path) -> io::Result<()> {
    missing()
}

pub(crate) fn sync_name(_: &Path, _: &File) -> io::Result<()> {
    missing()
}

pub(crate) fn check_folder_of(_: &Path) -> io::Result<()> {
    missing()
}

pub(crate) fn resolve(_: &Path) -> io::Result<PathBuf> {
    missing()
}

pub(crate) fn reserve_space(_: &File, _: u64) -> io::Result<()> {
    missing()
}

pub(crate) fn set_length(_: &File, _: u64) -> io::Result<()> {
    missing()
}

pub(crate) fn store_at(_: &File, _: u64, _: &[u8]) -> io::Result<()> {
    missing()
}

pub(crate) fn read_at(_: &File, _: u64, _: &mut [u8]) -> io::Result<()> {
    missing()
}

pub(crate) fn copy_mapped(_: &Mapping, _: u64, _: u64, _: &File) -> io::Result<()> {
    missing()
}

/// Stores what is written to it consecutively, from the file's beginning.
pub(crate) struct FileWriter;

impl FileWriter {
    pub(crate) fn new(_: &File) -> FileWriter {
        FileWriter
    }
}

impl Write for FileWriter {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        missing()
    }

    fn flush(&mut self) -> io::Result<()> {
        missing()
    }
}

/// There are no forks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ForkMark;

impl ForkMark {
    pub(crate) fn new() -> io::Result<ForkMark> {
        Ok(ForkMark)
    }

    #[expect(clippy::unused_self, reason = "elsewhere it is asked")]
    pub(crate) fn is_inherited(&self) -> bool {
        false
    }
}
