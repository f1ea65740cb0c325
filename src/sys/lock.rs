//! The lock file, `NAME-lock`, beside the database file `NAME`.
//!
//! Invariants:
//! - Every lock belongs to an open file description, never to the process: opening and closing the file
//!   elsewhere in the process changes nothing, and two handles in one process exclude each other as two
//!   processes do.
//! - A lock is gone when its description is closed: by drop, or by the kernel when the process dies (I7).
//! - A description that has locks is a `LockDescription`: nothing is mapped through it, and no forked child keeps it.
//!   So a lock is also gone when its process has died and a child of it lives on.
//! - The lock file is never removed, or two processes could hold locks on different files of that name.
//! - It has the rights that the database has ([`Rights`]): a user who may not read the database can neither read it nor
//!   hold a lock on it, and no user is locked out of a database that belongs to that user. So it is made only by a
//!   process that may write the database, or whose user owns it.
//! - Only a regular file is opened, and a new one begins with its first bytes as soon as it has its name, also after
//!   loss of power. So a file that begins otherwise is another program's, and is not changed.

use super::calls::before_call;
use super::create::{StagedFile, open_regular};
use super::gather;
use super::path::with_suffix;
use super::rights::Rights;
use super::system::Locks;
use super::system::platform::status_of;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The open lock file. Its locks are free when it is closed or unlocked.
#[derive(Debug)]
pub(crate) struct LockFile {
    locks: Locks,
    path: PathBuf,
}

impl LockFile {
    /// Opens the lock file of the database file `data_path`, which has `rights`, or is to have them.
    /// `ErrorKind::NotFound` if there is none.
    pub(crate) fn open(data_path: &Path, rights: Rights) -> io::Result<LockFile> {
        before_call();
        let path = LockFile::path_for(data_path);
        let locks = Locks::new(data_path, || open_regular(&path)).map_err(|error| explain(error, &path))?;
        rights.check_owner_of_lock_file(locks.file()?)?;
        Ok(LockFile { locks, path })
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
            match LockFile::create(&LockFile::path_for(data_path), rights, first_bytes) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
    }

    fn create(path: &Path, rights: Rights, first_bytes: &[u8]) -> io::Result<()> {
        let staged = StagedFile::begin(path, rights.for_lock_file())?;
        gather::write_all_at(staged.file(), 0, &[first_bytes])?;
        staged.finish_unsynced()
    }

    /// Gives the lock file the rights of its database, as far as this process may. Returns an error if it belongs to a
    /// user that may not write the database.
    pub(crate) fn set_rights(&self, rights: Rights) -> io::Result<()> {
        rights.check_owner_of_lock_file(self.file()?)?;
        rights.give_to_lock_file(self.file()?)
    }

    /// Where the lock file of `data_path` is.
    pub(crate) fn path_for(data_path: &Path) -> PathBuf {
        with_suffix(data_path, "-lock")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is locked in it.
    pub(crate) fn locks(&self) -> &Locks {
        &self.locks
    }

    /// The open file, to be examined. Returns an error in a forked child.
    pub(crate) fn file(&self) -> io::Result<&File> {
        self.locks.file()
    }

    /// Opens the same file again, to be mapped. Returns `ErrorKind::NotFound` if its name is gone, or is now another
    /// file's.
    pub(crate) fn open_memory(&self) -> io::Result<File> {
        open_again(|| open_regular(&self.path), self.file()?)
    }
}

/// Opens again the file that is open as `file`. Returns `ErrorKind::NotFound` if `open` opens another one.
pub(super) fn open_again(open: impl FnOnce() -> io::Result<File>, file: &File) -> io::Result<File> {
    let opened = open()?;
    match status_of(&opened)?.identity == status_of(file)?.identity {
        true => Ok(opened),
        false => Err(ErrorKind::NotFound.into()),
    }
}

/// Explains why the lock file cannot be opened, where the system's own error does not.
fn explain(error: io::Error, path: &Path) -> io::Error {
    let problem = match (error.kind(), path.symlink_metadata()) {
        (ErrorKind::InvalidFilename, _) => {
            "with `-lock` at its end, the name is longer than the file system allows; give the database a shorter one"
                .into()
        }
        (ErrorKind::PermissionDenied, Ok(found)) => format!(
            "this process may not write it: it belongs to user {}, group {}, and its mode is {:03o}; give it the owner \
             and group of the database, or remove it while no process has the database open",
            found.uid(),
            found.gid(),
            found.mode() & 0o777
        ),
        _ => return error,
    };
    io::Error::new(error.kind(), problem)
}
