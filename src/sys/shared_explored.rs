//! Shared words for an exploration (`--cfg loom`): as [`super::SharedWords`], in memory that loom watches.

use super::atomic::AtomicU64;
use std::fs::File;
use std::io;

pub(crate) struct SharedWords(Vec<AtomicU64>);

impl SharedWords {
    pub(crate) fn anonymous(count: usize) -> io::Result<SharedWords> {
        Ok(SharedWords((0..count).map(|_| AtomicU64::new(0)).collect()))
    }

    pub(crate) fn of_file(_: File, _: usize, _: usize, _: bool) -> io::Result<SharedWords> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn words(&self) -> &[AtomicU64] {
        &self.0
    }

    pub(crate) fn grow(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn are_there(&self) -> io::Result<bool> {
        Ok(true)
    }

    pub(crate) fn cut(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn has(&self, count: usize) -> io::Result<bool> {
        Ok(self.0.len() >= count)
    }
}
