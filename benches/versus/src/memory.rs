//! A memory cgroup with a limit, for the rows in which memory is short. Version 2 of the interface, or version 1.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A cgroup of this process's own, gone when this is dropped. No process may be in it then.
pub struct Limit {
    folder: PathBuf,
}

impl Limit {
    /// A new cgroup, the processes in which get no more than `bytes` of memory, page cache included. The error says why
    /// there can be none: mostly because that takes root.
    pub fn new(bytes: u64) -> Result<Limit> {
        let name = format!("versus-{}", std::process::id());
        let unified = Path::new("/sys/fs/cgroup");
        let is_version_2 = fs::read_to_string(unified.join("cgroup.subtree_control"))
            .is_ok_and(|controllers| controllers.split_whitespace().any(|controller| controller == "memory"));
        let (parent, limit) = if is_version_2 {
            (unified.to_owned(), "memory.max")
        } else {
            (unified.join("memory"), "memory.limit_in_bytes")
        };
        let folder = parent.join(name);
        fs::create_dir(&folder).context("making a memory cgroup")?;
        let made = Limit { folder };
        fs::write(made.folder.join(limit), bytes.to_string()).context("limiting memory")?;
        let swap = made.folder.join("memory.swap.max");
        if swap.exists() {
            fs::write(swap, "0").context("limiting swap")?;
        }
        Ok(made)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts this process into the cgroup in `folder`.
    pub fn join(folder: &Path) -> Result<()> {
        let processes = folder.join("cgroup.procs");
        fs::write(&processes, std::process::id().to_string()).context("joining a memory cgroup")
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // Pages of files that are still there stay with the parent. Nothing can be done if it fails.
        drop(fs::remove_dir(&self.folder));
    }
}
