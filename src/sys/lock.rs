//! The lock file, `NAME-lock`, beside the database file `NAME`.
//!
//! Invariants:
//! - Every lock belongs to an open file description, never to the process: opening and closing the file
//!   elsewhere in the process changes nothing, and two handles in one process exclude each other as two
//!   processes do.
//! - A lock is gone when its description is closed: by drop, or by the kernel when the process dies (I7).
//! - A forked child, and for a moment each program that is started, shares its parent's descriptions. So locks are
//!   given up by unlocking them, in the process that took them, and not by closing alone.
//! - The lock file is never removed, or two processes could hold locks on different files of that name.

use fs2::FileExt;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Whom a lock excludes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockKind {
    /// Those that want it exclusively.
    Shared,
    /// Everybody else.
    Exclusive,
}

/// The open lock file. Its locks are free when it is closed by the last process that has inherited it, or unlocked.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Opens the lock file of the database file `data_path`, and creates it if there is none.
    pub(crate) fn open(data_path: &Path) -> io::Result<LockFile> {
        let path = LockFile::path_for(data_path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        Ok(LockFile { file, path })
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
}

/// Locks a whole file, waiting until it is free.
pub(crate) fn lock_whole(file: &File) -> io::Result<()> {
    loop {
        match FileExt::lock_exclusive(file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Locks a whole file if that can be done at once; false if not.
pub(crate) fn try_lock_whole(file: &File, kind: LockKind) -> io::Result<bool> {
    let result = match kind {
        LockKind::Shared => FileExt::try_lock_shared(file),
        LockKind::Exclusive => FileExt::try_lock_exclusive(file),
    };
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Frees a whole-file lock.
pub(crate) fn unlock_whole(file: &File) -> io::Result<()> {
    FileExt::unlock(file)
}

/// `path` with `suffix` behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
