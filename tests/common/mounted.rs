//! File systems that tests mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mount, undone with its value.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Mounts `source` in a new folder `at`. `None`, said on standard output, if it cannot be mounted here.
    pub(crate) fn new(kind: &str, options: &str, source: &Path, at: PathBuf) -> Option<Mounted> {
        fs::create_dir(&at).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", kind, "-o", options]).arg(source).arg(&at);
        let is_mounted = command.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("skipped: {kind} cannot be mounted here");
        }
        is_mounted.then_some(Mounted(at))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
