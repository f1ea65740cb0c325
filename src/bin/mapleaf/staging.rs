//! Files that are written aside and get their name when they are complete and durable: a new file is whole, or there is
//! none.
//!
//! A file is written in a folder of its own, `NAME-staging`, beside its destination. Ctrl-C, whose handler runs in a
//! thread of its own while the command goes on, removes that folder; after that the command can create nothing in it.
//! The folder is created, and the file gets its name, while [`interrupt`](crate::interrupt)'s lock is held, which the
//! handler takes and keeps. So no file appears after the handler has reported that there is none.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use fs2::FileExt;

use crate::interrupt::{lock_removal, on_interrupt, remove_folder};
use crate::outcome::{Failure, REFUSED, file_failure};

/// What the names of all files in a staging folder begin with: a folder that has others is a user's.
const STAGED: &str = "mapleaf-staged-";

/// A folder for files that are not complete yet, open to its owner alone. It is removed when this is dropped, when the
/// command is interrupted, or, after a process that was killed, by the next one that stages the same file.
pub(crate) struct StagingFolder {
    folder: PathBuf,
    _lock: File,
}

impl StagingFolder {
    /// Creates the folder `DESTINATION-staging`. One process at a time can have it.
    pub(crate) fn create(destination: &Path) -> Result<StagingFolder, Failure> {
        let mut folder = destination.as_os_str().to_owned();
        folder.push("-staging");
        let folder = PathBuf::from(folder);
        let failure = |action| file_failure(action, folder.display());
        let mut removal = lock_removal();
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_is_left(&folder)?,
            other => other.map_err(failure("create"))?,
        }
        let lock = File::open(&folder).map_err(failure("open"))?;
        lock.try_lock_exclusive().map_err(|_| Failure {
            code: REFUSED,
            message: format!("another process is creating {}", destination.display()),
        })?;
        for entry in fs::read_dir(&folder).map_err(failure("list"))? {
            let removed = entry.and_then(|entry| fs::remove_file(entry.path()));
            removed.map_err(failure("empty"))?;
        }
        *removal = Some(folder.clone());
        Ok(StagingFolder { folder, _lock: lock })
    }

    /// The path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{STAGED}{name}"))
    }
}

/// An error if a folder was not left by a command that was killed: nothing in it is touched then.
fn check_is_left(folder: &Path) -> Result<(), Failure> {
    let failure = || file_failure("examine", folder.display());
    let found = folder.symlink_metadata().map_err(failure())?;
    let is_staged = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().as_encoded_bytes().starts_with(STAGED.as_bytes()))
    };
    let mut is_left = found.is_dir() && found.mode() & 0o077 == 0;
    if is_left {
        for entry in fs::read_dir(folder).map_err(failure())? {
            is_left &= is_staged(entry).map_err(failure())?;
        }
    }
    match is_left {
        true => Ok(()),
        false => Err(Failure {
            code: REFUSED,
            message: format!("{} is needed to write the file in, and is there already", folder.display()),
        }),
    }
}

impl Drop for StagingFolder {
    fn drop(&mut self) {
        let mut removal = lock_removal();
        remove_folder(&self.folder);
        *removal = None;
    }
}

/// A file on its way to its name.
struct StagedFile<'a> {
    folder: StagingFolder,
    destination: &'a Path,
}

impl StagedFile<'_> {
    /// Where the file is written.
    fn path(&self) -> PathBuf {
        self.folder.file("new")
    }

    /// Gives the file, which is complete and durable, its name, unless there is such a file by now.
    fn persist(self) -> Result<(), Failure> {
        let (staged, destination) = (self.path(), self.destination);
        let removal = lock_removal();
        let creating = || file_failure("create", destination.display());
        // What can fail comes before the file has its name.
        let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(creating())?;
        let moved = match fs::hard_link(&staged, destination) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Not every file system has links.
            Err(_) if !destination.exists() => fs::rename(&staged, destination),
            other => other,
        };
        moved.map_err(creating())?;
        parent.sync_all().inspect_err(|_| _ = fs::remove_file(destination)).map_err(creating())?;
        on_interrupt(format!("; {} is complete", destination.display()));
        drop(removal);
        Ok(())
    }
}

/// Creates a file: `write` writes it at the path that it is given, and the complete file becomes `destination`. An
/// existing file is never replaced.
pub(crate) fn create_file<T, E: Into<Failure>>(
    destination: &Path,
    write: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, Failure> {
    if destination.symlink_metadata().is_ok() {
        let message = format!("{} exists already: nothing was done", destination.display());
        return Err(Failure { code: REFUSED, message });
    }
    let staged = StagedFile { folder: StagingFolder::create(destination)?, destination };
    let written = write(&staged.path()).map_err(Into::into)?;
    staged.persist()?;
    Ok(written)
}
