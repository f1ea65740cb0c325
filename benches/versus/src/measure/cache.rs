//! The page cache.

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{Advice, fadvise};

/// Takes the files of a folder out of the page cache. Nobody may have them mapped.
pub fn evict_all(folder: &Path) -> Result<()> {
    crate::engines::files(folder)?.iter().try_for_each(|(file, _)| evict(file))
}

/// Takes a file out of the page cache. Nobody may have it mapped.
pub fn evict(file: &Path) -> Result<()> {
    let file = File::open(file)?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(())
}
