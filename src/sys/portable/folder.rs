//! A folder, by its path: what other Unix systems have in place of Linux's own calls.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::platform::{status_at, status_of};

pub(crate) struct Folder {
    path: PathBuf,
    /// To be synced: without the right to read the folder nothing can be created durably.
    readable: File,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        Ok(Folder { path: path.to_owned(), readable: File::open(path)? })
    }

    /// There are no files without names.
    pub(crate) fn create_unnamed(&self, _: u32) -> io::Result<File> {
        Err(ErrorKind::Unsupported.into())
    }

    /// A new file with a name that no file has. The system takes the bits of the umask out of `mode`.
    pub(crate) fn create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(self.path.join(name))
    }

    /// An open file by which the file system can be identified.
    pub(crate) fn place(&self) -> &File {
        &self.readable
    }

    pub(crate) fn link(&self, _: &File, _: &OsStr) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Renames a file within the folder; `ErrorKind::AlreadyExists` if a file has the name `to`.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::hard_link(self.path.join(from), self.path.join(to))?;
        // The file has its name. The other one, if it stays, belongs to no database and does no harm.
        let _ = self.remove(from);
        Ok(())
    }

    pub(crate) fn replace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// Whether `name` is a name of this open file.
    pub(crate) fn has(&self, name: &OsStr, file: &File) -> bool {
        let found = status_at(&self.path.join(name));
        matches!((found, status_of(file)), (Ok(found), Ok(own)) if found.identity == own.identity)
    }

    /// Makes the names in the folder durable.
    pub(crate) fn sync(&self, _: &File) -> io::Result<()> {
        match self.readable.sync_all() {
            // Some file systems cannot sync a folder, and have no need to.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }
}
