//! An open folder: a name in it means a file of this folder, whatever happens to the folder's own path.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::platform::{status, status_of};
use crate::sys::signals::{retry, uninterrupted};

pub(crate) struct Folder {
    /// Opened as a place only (`O_PATH`), for which the right to read the folder is not needed.
    place: File,
    /// To be synced. `None` without the right to read the folder.
    readable: Option<File>,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        let open = |flags| OpenOptions::new().read(true).custom_flags(flags | libc::O_DIRECTORY).open(path);
        let place = open(libc::O_PATH)?;
        let readable =
            match open_at(place.as_raw_fd(), OsStr::new("."), libc::O_RDONLY | libc::O_DIRECTORY, 0) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
                other => Some(other?),
            };
        Ok(Folder { place, readable })
    }

    /// An open file by which the file system can be identified.
    pub(crate) fn place(&self) -> &File {
        &self.place
    }

    /// A new file without a name, gone when it is closed unless [`Folder::link`] gives it one. The system takes the
    /// bits of the umask out of `mode`. `ErrorKind::Unsupported` where the file system has no such files, or the
    /// system no way to name them.
    pub(crate) fn create_unnamed(&self, mode: u32) -> io::Result<File> {
        match open_at(self.place.as_raw_fd(), OsStr::new("."), libc::O_TMPFILE | libc::O_RDWR, mode) {
            Ok(file) if path_of(&file).exists() => Ok(file),
            Ok(_) => Err(ErrorKind::Unsupported.into()), // no /proc
            // A kernel that does not know the flag takes the call for one that opens the folder to write.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) =>
            {
                Err(ErrorKind::Unsupported.into())
            }
            Err(error) => Err(error),
        }
    }

    /// A new file with a name that no file has.
    pub(crate) fn create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        open_at(self.place.as_raw_fd(), name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, mode)
    }

    /// Gives a file of [`Folder::create_unnamed`] a name; `ErrorKind::AlreadyExists` if a file has it.
    pub(crate) fn link(&self, file: &File, name: &OsStr) -> io::Result<()> {
        let source = CString::new(path_of(file).as_os_str().as_bytes())?;
        let name = CString::new(name.as_bytes())?;
        // SAFETY: both names are C strings that live through the call; the folder is open.
        let result = unsafe {
            libc::linkat(
                libc::AT_FDCWD,
                source.as_ptr(),
                self.place.as_raw_fd(),
                name.as_ptr(),
                libc::AT_SYMLINK_FOLLOW,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Renames a file within the folder; `ErrorKind::AlreadyExists` if a file has the name `to`.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let (old, new) = (CString::new(from.as_bytes())?, CString::new(to.as_bytes())?);
        let folder = self.place.as_raw_fd();
        // SAFETY: both names are C strings that live through the call; the folder is open.
        let result = unsafe {
            libc::syscall(
                libc::SYS_renameat2,
                folder,
                old.as_ptr(),
                folder,
                new.as_ptr(),
                libc::RENAME_NOREPLACE,
            )
        };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // The file system does not know the flag.
            Some(libc::EINVAL | libc::ENOSYS) => {}
            _ => return Err(error),
        }
        // SAFETY: as above.
        if unsafe { libc::linkat(folder, old.as_ptr(), folder, new.as_ptr(), 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The file has its name. The other one, if it stays, belongs to no database and does no harm.
        let _ = self.remove(from);
        Ok(())
    }

    /// Renames a file within the folder; a file that has the name `to` is replaced.
    pub(crate) fn replace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let (old, new) = (CString::new(from.as_bytes())?, CString::new(to.as_bytes())?);
        let folder = self.place.as_raw_fd();
        // SAFETY: both names are C strings that live through the call; the folder is open.
        match unsafe { libc::renameat(folder, old.as_ptr(), folder, new.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        let name = CString::new(name.as_bytes())?;
        // SAFETY: the name is a C string that lives through the call; the folder is open.
        match unsafe { libc::unlinkat(self.place.as_raw_fd(), name.as_ptr(), 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Whether `name` is a name of this open file.
    pub(crate) fn has(&self, name: &OsStr, file: &File) -> bool {
        let found = CString::new(name.as_bytes())
            .map_err(io::Error::from)
            .and_then(|name| status(self.place.as_raw_fd(), &name, libc::AT_SYMLINK_NOFOLLOW));
        matches!((found, status_of(file)), (Ok(found), Ok(own)) if found.identity == own.identity)
    }

    /// Makes the names in the folder durable. `file` is one that lies in it.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        let Some(folder) = &self.readable else {
            // A process that may not read the folder may not sync it either, but may sync its file system.
            return uninterrupted(|| {
                // SAFETY: syncfs takes no pointer; the descriptor is open.
                match unsafe { libc::syncfs(file.as_raw_fd()) } {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        };
        match uninterrupted(|| folder.sync_all()) {
            // Some file systems cannot sync a folder, and have no need to.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }
}

/// The path by which the system knows an open file of this process.
fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn open_at(folder: RawFd, name: &OsStr, flags: libc::c_int, mode: u32) -> io::Result<File> {
    let name = CString::new(name.as_bytes())?;
    retry(|| {
        // SAFETY: the name is a C string that lives through the call; the folder is open.
        match unsafe { libc::openat(folder, name.as_ptr(), flags | libc::O_CLOEXEC, mode) } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: the descriptor has just been made, and nothing else owns it.
            descriptor => Ok(unsafe { File::from_raw_fd(descriptor) }),
        }
    })
}
