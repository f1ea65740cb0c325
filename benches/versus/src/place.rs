//! What `compare`, `measure` and `sharing` are told alike: where they work, and where their figures go.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use tempfile::TempDir;

use crate::machine::check_is_on_disk;

#[derive(clap::Args)]
pub struct KeyPosition {
    /// Where the databases are made, in a new folder that is removed at the end; on a disk, not in memory.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Writes the figures to this file as JSON. `compare` adds to what is there: other rows, and other numbers of
    /// entries.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Prints tables in Markdown.
    #[arg(long)]
    pub markdown: bool,
}

impl KeyPosition {
    /// A new folder to work in, which is gone when this is dropped.
    pub fn new_folder(&self) -> Result<TempDir> {
        check_is_on_disk(&self.folder)?;
        Ok(tempfile::Builder::new().prefix("versus-").tempdir_in(&self.folder)?)
    }

    /// The file for the figures.
    pub fn json(&self) -> Option<&Path> {
        self.json.as_deref()
    }

    /// Writes the figures to the file for them, if there is to be one.
    pub fn write_json(&self, figures: &impl Serialize) -> Result<()> {
        let Some(file) = &self.json else { return Ok(()) };
        let text = serde_json::to_string_pretty(figures)? + "\n";
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }
}
