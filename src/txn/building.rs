//! A new database that is built without a name, and only then given its own.
//!
//! Invariants:
//! - A file under its own name is always complete and durable.
//! - No other process can open it before: it needs no lock file.
//! - After an error, or a kill, nothing is left (except where `sys::StagedFile` says otherwise).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::sys::{Rights, StagedFile, WriteMode};
use crate::txn::database::{DbHandle, Settings};
use crate::txn::open::OpenSettings;
use crate::txn::page_file::Verify;

/// Bytes of changed pages that are held in memory.
const DIRTY_MEMORY: usize = 64 << 20;

/// The database that is built; gone when this is dropped, unless it is finished.
pub(crate) struct Building {
    staged: StagedFile,
    path: PathBuf,
}

fn creating(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::io("create", path, source)
}

impl Building {
    /// Creates an empty database that will be at `path`, with these rights, when it is finished. It can become at
    /// least `length` bytes long.
    pub(crate) fn begin(
        path: &Path,
        rights: Rights,
        page_size: usize,
        length: u64,
    ) -> Result<(Building, Arc<DbHandle>)> {
        let settings = OpenSettings {
            page_size: Some(page_size),
            create: true,
            mode: None,
            write_mode: WriteMode::default(),
            verify: Verify::default(),
            any_file_system: false,
            settings: Settings {
                read_only: false,
                dirty_memory: Some(DIRTY_MEMORY),
                max_size: Some((1 << 40).max(length.saturating_mul(2))),
                log_size: 0,
                write_timeout: None,
                syncs_in_background: false,
            },
        };
        let staged = StagedFile::begin(path, rights).map_err(creating(path))?;
        let handle = settings.create_in(staged.file(), path)?;
        Ok((Building { staged, path: path.to_owned() }, handle))
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        self.staged.file()
    }

    /// Makes the file durable and gives it its name. The database is complete, and no longer open.
    pub(crate) fn finish(self) -> Result<()> {
        self.staged.finish().map_err(creating(&self.path))
    }
}
