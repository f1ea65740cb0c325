//! The lock file, `NAME-lock`, beside the database file `NAME`.
//!
//! Invariants:
//! - Every lock belongs to an open file description, never to the process: opening and closing the file
//!   elsewhere in the process changes nothing, and two handles in one process exclude each other as two
//!   processes do.
//! - A lock is gone when its description is closed: by drop, or by the kernel when the process dies (I7).
//! - A forked child shares its parent's descriptions. It never gives the parent's locks up: drop unlocks in the
//!   process alone that took them, and only closes elsewhere.
//! - The lock file is never removed, or two processes could hold locks on different files of that name.

use super::file_storage::identity_of;
use super::range_lock::{lock_range, try_lock_range, unlock_range};
use super::storage::FileIdentity;
use fs2::FileExt;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whom a lock excludes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockKind {
    /// Those that want it exclusively.
    Shared,
    /// Everybody else.
    Exclusive,
}

/// The open lock file, and the lock on the whole of it, if one has been taken: dropping this frees it.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
    owner_pid: u32,
}

impl LockFile {
    /// Opens the lock file of the database file `data_path`, and creates it if there is none.
    pub(crate) fn open(data_path: &Path) -> io::Result<LockFile> {
        let path = LockFile::path_for(data_path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        Ok(LockFile { file, path, owner_pid: std::process::id() })
    }

    /// Where the lock file of `data_path` is.
    pub(crate) fn path_for(data_path: &Path) -> PathBuf {
        with_suffix(data_path, "-lock")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, to map and for ranges.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Which file has the name `path` now.
    pub(crate) fn identity_at(path: &Path) -> io::Result<FileIdentity> {
        let metadata = std::fs::metadata(path)?;
        Ok(FileIdentity { device: metadata.dev(), inode: metadata.ino() })
    }

    pub(crate) fn identity(&self) -> io::Result<FileIdentity> {
        identity_of(&self.file)
    }

    /// Locks the whole file, waiting until it is free. A lock held already is changed, but not
    /// atomically: others may come first, and if this fails the old lock may be lost.
    pub(crate) fn lock(&self, kind: LockKind) -> io::Result<()> {
        loop {
            let result = match kind {
                LockKind::Shared => FileExt::lock_shared(&self.file),
                LockKind::Exclusive => FileExt::lock_exclusive(&self.file),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Locks the whole file if that can be done at once; false if not. See [`LockFile::lock`] for
    /// what happens to a lock held already.
    pub(crate) fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        let result = match kind {
            LockKind::Shared => FileExt::try_lock_shared(&self.file),
            LockKind::Exclusive => FileExt::try_lock_exclusive(&self.file),
        };
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Frees the whole-file lock.
    pub(crate) fn unlock(&self) -> io::Result<()> {
        FileExt::unlock(&self.file)
    }
}

impl Drop for LockFile {
    /// Closing alone would not do: while another thread of this process starts a program, the description has a
    /// copy, until that program has begun; whoever opens the database again would be refused meanwhile.
    fn drop(&mut self) {
        if std::process::id() == self.owner_pid {
            // If this fails closing frees the lock.
            let _ = self.unlock();
        }
    }
}

/// A lock on a byte range, freed when this is dropped.
#[derive(Debug)]
pub(crate) struct RangeLock<'file> {
    file: &'file File,
    range: Range<u64>,
    owner_pid: u32,
}

impl<'file> RangeLock<'file> {
    /// Locks `range` of `file`, waiting until it is free.
    pub(crate) fn acquire(file: &'file File, kind: LockKind, range: Range<u64>) -> io::Result<Self> {
        lock_range(file, kind, range.clone())?;
        Ok(RangeLock { file, range, owner_pid: std::process::id() })
    }

    /// Locks `range` of `file` if nobody else holds it.
    pub(crate) fn try_acquire(
        file: &'file File,
        kind: LockKind,
        range: Range<u64>,
    ) -> io::Result<Option<Self>> {
        let taken = try_lock_range(file, kind, range.clone())?;
        Ok(taken.then(|| RangeLock { file, range, owner_pid: std::process::id() }))
    }
}

impl Drop for RangeLock<'_> {
    fn drop(&mut self) {
        if std::process::id() == self.owner_pid {
            // It cannot fail for a range that could be locked.
            let _ = unlock_range(self.file, self.range.clone());
        }
    }
}

/// `path` with `suffix` behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
