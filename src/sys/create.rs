//! Creating a database file, whole or not at all.
//!
//! Invariants:
//! - Under its own name the file is never seen, by another process or after a crash, without its whole
//!   contents: they are written as `NAME-new`, made durable, and only then renamed.
//! - A file that has come to exist meanwhile is never replaced.
//! - `NAME-new` is written only under an exclusive lock, by one that has seen that it is still the file of
//!   that name and has no other: what a killed process left is used again, and never a finished database.

use super::gather;
use super::lock::with_suffix;
use super::platform;
use super::platform::status_of;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Creates the file `path` with `contents`, durably, name included. `ErrorKind::AlreadyExists` if there is such
/// a file, or if another creates it meanwhile.
pub(crate) fn create_file(path: &Path, contents: &[&[u8]]) -> io::Result<()> {
    create_file_with(path, |file| gather::write_all_at(file, 0, contents))
}

/// The same, with what `fill` stores in the file, which is empty at first.
pub(crate) fn create_file_with(path: &Path, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    if path.try_exists()? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let new_path = with_suffix(path, "-new");
    let file = open_locked(&new_path)?;
    let filled = file.set_len(0).and_then(|()| fill(&file)).and_then(|()| file.sync_all());
    let result = filled.and_then(|()| platform::rename_without_replacing(&new_path, path));
    if result.is_err() {
        // What is left behind if this fails is used again by the next attempt.
        let _ = fs::remove_file(&new_path);
    }
    result?;
    sync_folder_of(path)
}

/// Gives a complete and durable file its name, durably. `ErrorKind::AlreadyExists` if there is such a file.
pub(crate) fn give_name(from: &Path, path: &Path) -> io::Result<()> {
    platform::rename_without_replacing(from, path)?;
    sync_folder_of(path)
}

/// Opens or creates `new_path` and locks it.
fn open_locked(new_path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(new_path)?;
        fs2::FileExt::lock_exclusive(&file)?;
        // While we waited, another may have renamed it to the database, or removed it.
        match fs::metadata(new_path) {
            Ok(named) if (named.dev(), named.ino()) != identity_pair(&file)? => {}
            // A killed process has linked it to the database, and not yet removed this name.
            Ok(named) if named.nlink() > 1 => fs::remove_file(new_path)?,
            Ok(_) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn identity_pair(file: &File) -> io::Result<(u64, u64)> {
    let identity = status_of(file)?.identity;
    Ok((identity.device, identity.inode))
}

/// Makes the names in `path`'s folder durable.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    match File::open(folder)?.sync_all() {
        // Some file systems cannot sync a folder, and have no need to.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}
