//! The page cache.

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{Advice, fadvise};

/// Takes a file out of the page cache. Nobody may have it mapped.
pub fn evict(file: &Path) -> Result<()> {
    let file = File::open(file)?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(())
}
