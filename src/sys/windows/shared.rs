//! Words of memory that the threads of this process share.

use super::files::missing;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::atomic::AtomicU64;

/// An array of atomic words.
pub(crate) struct SharedWords {
    words: Box<[AtomicU64]>,
}

impl SharedWords {
    /// `count` words, which are zeros.
    pub(crate) fn anonymous(count: usize) -> io::Result<SharedWords> {
        let mut words = Vec::new();
        words.try_reserve_exact(count).map_err(|_| ErrorKind::OutOfMemory)?;
        words.resize_with(count, || AtomicU64::new(0));
        Ok(SharedWords { words: words.into() })
    }

    pub(crate) fn of_file(_: File, _: usize, _: usize, _: bool) -> io::Result<SharedWords> {
        missing()
    }

    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    /// Returns an error if there are not `count` words: there will not be more.
    pub(crate) fn grow(&self, count: usize) -> io::Result<()> {
        if self.words.len() >= count { Ok(()) } else { Err(ErrorKind::OutOfMemory.into()) }
    }

    #[expect(clippy::unused_self, reason = "those of a file may be cut")]
    pub(crate) fn are_there(&self) -> io::Result<bool> {
        Ok(true)
    }

    #[expect(clippy::unused_self, reason = "those of a file are cut")]
    pub(crate) fn cut(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn has(&self, count: usize) -> io::Result<bool> {
        Ok(self.words.len() >= count)
    }
}
