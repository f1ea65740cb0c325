//! Creating a file, whole or not at all. Every file beside a database, or made from one, is created here.
//!
//! Invariants:
//! - Under its own name the file is never seen, by another process or after a crash, without its whole contents: it
//!   has no name while it is made ([`StagedFile`]), is made durable, and only then gets its name.
//! - Anything that has that name already is never replaced, nor followed if it is a link. There is one exception, with
//!   a function of its own: an empty regular file ([`create_over_empty_file`]) is replaced by one rename, so that a
//!   crash leaves either the empty file or the whole new one.
//! - No step that can fail comes after the file has its name, except the sync of its folder: if that fails the file
//!   is removed again. The folder is opened first.
//! - [`Rights`]: the file never has a wider mode than it ends with.
//!
//! A killed process leaves nothing: the kernel frees a file without a name. Where the file system has no such files
//! (vfat, network file systems) it is made under a random name, `NAME-new-` and 16 digits. A killed process leaves it
//! there; since it cannot be told from a user's file, it is never removed.

use super::calls::before_call;
use super::gather;
use super::path::folder_of;
use super::rights::Rights;
use super::signals::uninterrupted;
use super::system::folder::Folder;
use super::system::platform::random_bytes;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file that is being made: gone when this is dropped, unless it got its name before.
pub(crate) struct StagedFile {
    file: File,
    folder: Folder,
    /// The name that it is to have.
    name: OsString,
    /// The name that it has meanwhile, where it must have one.
    staged_name: Option<OsString>,
    rights: Rights,
    /// Whether it takes the place of an empty file.
    is_over_empty: bool,
}

impl StagedFile {
    /// Begins the file that is to be at `path`. `ErrorKind::AlreadyExists` if anything is there.
    pub(crate) fn begin(path: &Path, rights: Rights) -> io::Result<StagedFile> {
        before_call();
        check_is_free(path)?;
        StagedFile::begin_unchecked(path, rights)
    }

    fn begin_unchecked(path: &Path, rights: Rights) -> io::Result<StagedFile> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        let folder = Folder::open(folder_of(path))?;
        let (file, staged_name) = match folder.create_unnamed(rights.first_mode()) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let staged_name = random_name(&name)?;
                (folder.create(&staged_name, rights.first_mode())?, Some(staged_name))
            }
            other => (other?, None),
        };
        Ok(StagedFile { file, folder, name, staged_name, rights, is_over_empty: false })
    }

    /// The file, to be filled.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file, which is complete, its name, durably. `ErrorKind::AlreadyExists` if another file has it by now.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.give_name()?;
        before_call();
        let synced = self.folder.sync(&self.file);
        if synced.is_err() && self.folder.has(&self.name, &self.file) {
            let _ = self.folder.remove(&self.name);
        }
        synced
    }

    /// The same for a file whose name, but not its contents, may be lost with the power.
    pub(super) fn finish_unsynced(mut self) -> io::Result<()> {
        self.give_name()
    }

    fn give_name(&mut self) -> io::Result<()> {
        self.rights.give_to(&self.file)?;
        uninterrupted(|| self.file.sync_all())?;
        before_call();
        if self.is_over_empty && self.staged_name.is_none() {
            let staged_name = random_name(&self.name)?; // a file without a name can replace none
            self.folder.link(&self.file, &staged_name)?;
            self.staged_name = Some(staged_name);
        }
        match &self.staged_name {
            None => self.folder.link(&self.file, &self.name)?,
            Some(staged_name) if self.is_over_empty => self.folder.replace(staged_name, &self.name)?,
            Some(staged_name) => self.folder.rename(staged_name, &self.name)?,
        }
        self.staged_name = None;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if let Some(staged_name) = &self.staged_name {
            let _ = self.folder.remove(staged_name);
        }
    }
}

/// Creates the file `path` with `contents`, durably, name included. `ErrorKind::AlreadyExists` if there is such
/// a file, or if another creates it meanwhile.
pub(crate) fn create_file(path: &Path, rights: Rights, contents: &[&[u8]]) -> io::Result<()> {
    create_file_with(path, rights, |file| gather::write_all_at(file, 0, contents))
}

/// The same, with what `fill` stores in the file, which is empty at first.
pub(crate) fn create_file_with(
    path: &Path,
    rights: Rights,
    fill: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let staged = StagedFile::begin(path, rights)?;
    fill(staged.file())?;
    staged.finish()
}

/// Creates the file `path` in place of an empty regular file of that name. `ErrorKind::AlreadyExists` if the file there
/// is no longer empty, or another kind of file.
pub(crate) fn create_over_empty_file(path: &Path, rights: Rights, contents: &[&[u8]]) -> io::Result<()> {
    before_call();
    let mut staged = StagedFile::begin_unchecked(path, rights)?;
    staged.is_over_empty = true;
    gather::write_all_at(staged.file(), 0, contents)?;
    match is_empty_file(path)? {
        true => staged.finish(),
        false => Err(ErrorKind::AlreadyExists.into()),
    }
}

/// Whether `path` is a regular file without contents, and not a link.
pub(crate) fn is_empty_file(path: &Path) -> io::Result<bool> {
    let found = path.symlink_metadata()?;
    Ok(found.file_type().is_file() && found.len() == 0)
}

/// Returns a random name, which no other file has, for a file that is to be called `name`.
fn random_name(name: &OsStr) -> io::Result<OsString> {
    let mut random = name.to_owned();
    random.push(format!("-new-{:016x}", u64::from_le_bytes(random_bytes()?)));
    Ok(random)
}

/// Makes the name `path` of `file` durable.
pub(crate) fn sync_name(path: &Path, file: &File) -> io::Result<()> {
    Folder::open(folder_of(path))?.sync(file)
}

/// Returns `ErrorKind::AlreadyExists` if anything has the name `path`, even a link that leads nowhere.
pub(crate) fn check_is_free(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens the regular file `path` to read and write it. Nothing else is opened: not the target of a link, because
/// another user may have put the link there; not a device, because opening can change its state; not a pipe, because
/// opening would wait for its other end.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    check_regular(&path.symlink_metadata()?)?;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    check_regular(&file.metadata()?)?; // another may have taken its place
    Ok(file)
}

fn check_regular(found: &fs::Metadata) -> io::Result<()> {
    let kind = found.file_type();
    let problem = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_symlink() => "it is a symbolic link, which is not followed here",
        () if kind.is_dir() => "it is a directory, not a file",
        () => "it is not a regular file",
    };
    Err(io::Error::new(ErrorKind::InvalidInput, problem))
}
