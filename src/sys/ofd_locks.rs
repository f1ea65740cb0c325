//! The locks of a handle on a file, where the system has locks on ranges that belong to an open file description.

use super::flock::LockKind;
use super::fork::LockDescription;
use super::ofd;
use super::system::whole_lock;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

/// Locks on an open file. They are free when this is dropped; in a forked child each function returns an error.
#[derive(Debug)]
pub(crate) struct Locks {
    description: LockDescription,
}

impl Locks {
    /// What it means if a handle is seen on the data file and none on the lock file.
    pub(crate) const OCCUPIED: &str = "the handles that have the database open use another";

    /// `open` opens the file, which is at `path`, and keeps no other descriptor of that description.
    pub(crate) fn new(_path: &Path, open: impl FnOnce() -> io::Result<File>) -> io::Result<Locks> {
        Ok(Locks { description: LockDescription::new(open)? })
    }

    /// The open file, to be examined. Returns an error in a forked child.
    pub(crate) fn file(&self) -> io::Result<&File> {
        self.description.file()
    }

    /// Locks `range`. Returns `false` if another handle's lock excludes that.
    pub(crate) fn try_lock(&self, kind: LockKind, range: Range<u64>) -> io::Result<bool> {
        ofd::try_lock_range(self.file()?, kind, range)
    }

    /// Locks `range`, once it is free.
    pub(crate) fn lock(&self, kind: LockKind, range: Range<u64>) -> io::Result<()> {
        ofd::lock_range(self.file()?, kind, range)
    }

    /// Unlocks `range`.
    pub(crate) fn unlock(&self, range: Range<u64>) -> io::Result<()> {
        ofd::unlock_range(self.file()?, range)
    }

    /// Whether a lock of `kind` could be taken, without taking it. The locks of this handle do not count.
    pub(crate) fn is_free(&self, kind: LockKind, range: Range<u64>) -> io::Result<bool> {
        ofd::range_is_free(self.file()?, kind, range)
    }

    /// Locks the whole file exclusively, once it is free.
    pub(crate) fn lock_whole(&self) -> io::Result<()> {
        whole_lock::lock(self.file()?, LockKind::Exclusive)
    }

    /// Locks the whole file if that is possible at once. Returns `false` if not.
    pub(crate) fn try_lock_whole(&self, kind: LockKind) -> io::Result<bool> {
        whole_lock::try_lock(self.file()?, kind)
    }

    /// Frees the whole-file lock.
    pub(crate) fn unlock_whole(&self) -> io::Result<()> {
        whole_lock::unlock(self.file()?)
    }

    /// Shows handles that find this file by other names that it is in use. Locks on ranges show it already.
    #[expect(clippy::unused_self, reason = "the portable form has more to do")]
    pub(crate) fn occupy(&self) -> io::Result<()> {
        Ok(())
    }

    /// Returns the error: a handle that may not lock a range has no other way.
    #[expect(clippy::unused_self, reason = "the portable form has another way")]
    pub(crate) fn occupy_instead(&self, error: io::Error) -> io::Result<()> {
        Err(error)
    }

    /// Whether handles that have found this file by other names show that it is in use. Locks on ranges show it
    /// already.
    #[expect(clippy::unused_self, reason = "the portable form has more to do")]
    pub(crate) fn is_occupied(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Ends what [`Locks::occupy`] began.
    #[expect(clippy::unused_self, reason = "the portable form has more to do")]
    pub(crate) fn vacate(&self) -> io::Result<()> {
        Ok(())
    }
}
