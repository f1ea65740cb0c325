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
//! - It has the rights that the database has ([`Rights`]): a user who may not read the database can neither read it nor
//!   hold a lock on it, and no user is locked out of the own database. So it is made only by a process that may write
//!   the database, or whose user the database belongs to.
//! - Nothing but a regular file is opened, and a new one begins with its first bytes as soon as it has its name, also
//!   after loss of power. So a file that does not begin so is another program's, and is left as it is.

use super::create::{StagedFile, open_regular};
use super::gather;
use super::path::with_suffix;
use super::rights::Rights;
use fs2::FileExt;
use std::fs::File;
use std::io::{self, ErrorKind};
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

/// The open lock file. Its locks are free when it is closed by the last process that has inherited it, or unlocked.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Opens the lock file of the database file `data_path`, which has `rights`, or is to have them.
    /// `ErrorKind::NotFound` if there is none.
    pub(crate) fn open(data_path: &Path, rights: Rights) -> io::Result<LockFile> {
        let path = LockFile::path_for(data_path);
        let file = open_regular(&path).map_err(|error| explain(error, &path))?;
        rights.check_owner_of_lock_file(&file)?;
        Ok(LockFile { file, path })
    }

    /// The same; creates it if there is none, with these bytes.
    pub(crate) fn open_or_create(
        data_path: &Path,
        rights: Rights,
        first_bytes: &[u8],
    ) -> io::Result<LockFile> {
        loop {
            match LockFile::open(data_path, rights) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => return result,
            }
            match LockFile::create(LockFile::path_for(data_path), rights, first_bytes) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                result => return result,
            }
        }
    }

    fn create(path: PathBuf, rights: Rights, first_bytes: &[u8]) -> io::Result<LockFile> {
        let staged = StagedFile::begin(&path, rights.for_lock_file())?;
        gather::write_all_at(staged.file(), 0, &[first_bytes])?;
        Ok(LockFile { file: staged.finish_unsynced()?, path })
    }

    /// Sees to it that the lock file has the rights of the database beside which it lies, as far as this process may
    /// give them. An error if it belongs to a user who may not write the database.
    pub(crate) fn set_rights(&self, rights: Rights) -> io::Result<()> {
        rights.check_owner_of_lock_file(&self.file)?;
        rights.give_to_lock_file(&self.file)
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

/// Says why the lock file cannot be opened, where the system's own words do not.
fn explain(error: io::Error, path: &Path) -> io::Error {
    let problem = match (error.kind(), path.symlink_metadata()) {
        (ErrorKind::InvalidFilename, _) => {
            "with `-lock` at its end, the name is longer than the file system allows; give the database a shorter one"
                .into()
        }
        (ErrorKind::PermissionDenied, Ok(found)) => format!(
            "this process may not write it: it belongs to user {}, group {}, and its mode is {:03o}; let it belong to \
             those to whom the database belongs, or remove it while no process has the database open",
            found.uid(),
            found.gid(),
            found.mode() & 0o777
        ),
        _ => return error,
    };
    io::Error::new(error.kind(), problem)
}

/// Locks a whole file, waiting until it is free.
pub(crate) fn lock_whole(file: &File) -> io::Result<()> {
    loop {
        match FileExt::lock_exclusive(file) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
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
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Frees a whole-file lock.
pub(crate) fn unlock_whole(file: &File) -> io::Result<()> {
    FileExt::unlock(file)
}
