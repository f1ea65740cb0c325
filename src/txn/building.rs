//! A new database that is built under another name, and only then given its own.
//!
//! Invariants:
//! - Under its own name there is never a file that is not complete and durable. What a process that was killed leaves
//!   has the other name, `NAME-salvage` for instance (and `...-lock`), and is never overwritten.
//! - After an error nothing is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::sys::{self, LockFile, WriteMode};
use crate::txn::core::{Handle, Settings};
use crate::txn::open::OpenSettings;
use crate::txn::page_file::Verify;

/// Bytes of changed pages that are held in memory.
const DIRTY_MEMORY: usize = 64 << 20;

/// The database that is built, and removed again unless it is finished.
pub(crate) struct Building {
    building_path: PathBuf,
    path: PathBuf,
    is_finished: bool,
}

/// An error if there is a file at `path` already, or one that was left there under the other name.
pub(crate) fn check_is_free(path: &Path, suffix: &str) -> Result<()> {
    for path in [path, &path_while_building(path, suffix)] {
        if path.symlink_metadata().is_ok() {
            return Err(creating(path)(std::io::ErrorKind::AlreadyExists.into()));
        }
    }
    Ok(())
}

fn path_while_building(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn creating(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { action: "create", path: path.to_owned(), source }
}

impl Building {
    /// Creates an empty database that will be at `path` when it is finished. `length` is how long, in bytes, it may
    /// become; it can be more.
    pub(crate) fn begin(
        path: &Path,
        suffix: &str,
        page_size: usize,
        length: u64,
    ) -> Result<(Building, Arc<Handle>)> {
        check_is_free(path, suffix)?;
        let settings = OpenSettings {
            page_size: Some(page_size),
            create: true,
            write_mode: WriteMode::default(),
            verify: Verify::default(),
            settings: Settings {
                read_only: false,
                dirty_memory: Some(DIRTY_MEMORY),
                max_size: (1 << 40).max(length.saturating_mul(2)),
                syncs_in_background: false,
            },
        };
        let building_path = path_while_building(path, suffix);
        let core = settings.create_new(&building_path)?;
        let building = Building { building_path, path: path.to_owned(), is_finished: false };
        Ok((building, Arc::new(Handle::new(core))))
    }

    /// The file, under the name that it has meanwhile.
    pub(crate) fn building_path(&self) -> &Path {
        &self.building_path
    }

    /// Gives the database its name. It is complete and durable, and nobody has it open.
    pub(crate) fn finish(mut self) -> Result<()> {
        sys::give_name(&self.building_path, &self.path).map_err(creating(&self.path))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.building_path);
        }
        let _ = fs::remove_file(LockFile::path_for(&self.building_path));
    }
}
