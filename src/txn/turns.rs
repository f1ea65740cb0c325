//! Taking turns with other processes: who may write, who may sync, who may open; and being seen to be here.
//!
//! Invariants:
//! - I7: every turn is a lock of the kernel's, which is free when its process has died. Never a process-owned POSIX
//!   lock: those vanish when any descriptor of the file is closed. Whole-file locks (`flock`) and
//!   open-file-description locks belong to what this handle alone has opened.
//! - Presence is a lock on the data file itself. So whoever finds no lock file, or another one than those who are
//!   here, notices that they are.
//! - Writers queue: the first in the queue waits for the writer lock, the others for the place of the first. So a
//!   process that has just written cannot go again before one that waits.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::share::members::MEMBERS_END;
use crate::sys::{
    FileIdentity, LockFile, LockKind, identity_at, identity_of, lock_range, lock_whole, range_is_free,
    try_lock_range, try_lock_whole, unlock_range, unlock_whole,
};

// Bytes of the lock file; below those of the members.
const GATE: Range<u64> = 1 << 39..(1 << 39) + 1;
const QUEUE: Range<u64> = (1 << 39) + 1..(1 << 39) + 2;
const SYNC: Range<u64> = (1 << 39) + 2..(1 << 39) + 3;
/// A byte of the data file that no file system can hold.
const PRESENCE: Range<u64> = (1 << 62) - 2..(1 << 62) - 1;

/// How long to wait for a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    None,
    Until(Instant),
    Forever,
}

impl Patience {
    pub(crate) fn is_over(self) -> bool {
        match self {
            Patience::None => true,
            Patience::Until(deadline) => Instant::now() >= deadline,
            Patience::Forever => false,
        }
    }
}

/// The locks of one handle.
#[derive(Debug)]
pub(crate) struct Turns {
    lock: LockFile,
    /// The data file, by the description that the storage uses.
    data: File,
    /// Which files these are.
    lock_identity: FileIdentity,
    data_identity: FileIdentity,
    owner_pid: u32,
}

impl Turns {
    /// Makes this handle present; it is until this is dropped. The gate must be held.
    pub(crate) fn enter(lock: LockFile, data: File) -> io::Result<Turns> {
        lock_range(&data, LockKind::Shared, PRESENCE)?;
        let (lock_identity, data_identity) = (identity_of(lock.file())?, identity_of(&data)?);
        Ok(Turns { lock, data, lock_identity, data_identity, owner_pid: std::process::id() })
    }

    /// Whether no other handle is present.
    pub(crate) fn is_alone(&self) -> io::Result<bool> {
        is_nobody_present(&self.data)
    }

    /// An error if the files that are locked here are not those that have their names now: whoever opens the database
    /// by these names does not see our locks.
    pub(crate) fn check_names(&self, data_path: &Path) -> Result<()> {
        for (path, own) in [(data_path, self.data_identity), (self.lock.path(), self.lock_identity)] {
            if identity_at(path).ok() != Some(own) {
                return Err(Error::Replaced {
                    path: path.to_owned(),
                    problem: "another file, or none, has its name",
                });
            }
        }
        Ok(())
    }

    pub(crate) fn lock_file(&self) -> &LockFile {
        &self.lock
    }

    /// Takes the writer's turn; false if patience came to its end.
    pub(crate) fn take_writer(&self, patience: Patience) -> io::Result<bool> {
        match patience {
            Patience::None => self.try_writer(),
            Patience::Forever => {
                lock_range(self.lock.file(), LockKind::Exclusive, QUEUE)?;
                let taken = lock_whole(&self.data);
                unlock_range(self.lock.file(), QUEUE)?;
                taken.map(|()| true)
            }
            Patience::Until(_) => {
                // The kernel has no lock with a deadline: ask again, soon at first.
                let mut nap = Duration::from_micros(100);
                while !try_lock_range(self.lock.file(), LockKind::Exclusive, QUEUE)? {
                    if !sleep(&mut nap, patience) {
                        return Ok(false);
                    }
                }
                let mut taken = self.try_writer();
                while matches!(taken, Ok(false)) && sleep(&mut nap, patience) {
                    taken = self.try_writer();
                }
                unlock_range(self.lock.file(), QUEUE)?;
                taken
            }
        }
    }

    fn try_writer(&self) -> io::Result<bool> {
        try_lock_whole(&self.data, LockKind::Exclusive)
    }

    /// Ends the writer's turn.
    pub(crate) fn release_writer(&self) {
        // It cannot fail for a lock that is held; if it did, closing the file would free it.
        let _ = unlock_whole(&self.data);
    }

    /// Takes the syncer's turn: waits while another process syncs.
    pub(crate) fn take_sync(&self) -> io::Result<()> {
        lock_range(self.lock.file(), LockKind::Exclusive, SYNC)
    }

    /// Ends the syncer's turn.
    pub(crate) fn release_sync(&self) {
        let _ = unlock_range(self.lock.file(), SYNC);
    }
}

impl Drop for Turns {
    /// Gives up all locks at once, though a forked child may have inherited the descriptions, and will close
    /// them later.
    /// In such a child this does nothing: they are the parent's.
    fn drop(&mut self) {
        if std::process::id() == self.owner_pid {
            // None of these can fail for what is locked; what is not locked stays so.
            let _ = unlock_range(self.lock.file(), 0..MEMBERS_END);
            let _ = unlock_range(&self.data, PRESENCE);
            let _ = unlock_whole(&self.data);
        }
    }
}

/// Takes the gate: one handle at a time is being opened. Free when the lock file is closed, or by [`open_gate`].
pub(crate) fn close_gate(lock: &LockFile) -> io::Result<()> {
    lock_range(lock.file(), LockKind::Exclusive, GATE)
}

pub(crate) fn open_gate(lock: &LockFile) -> io::Result<()> {
    unlock_range(lock.file(), GATE)
}

/// Whether no handle, but for one that uses the same description as `data`, is present.
pub(crate) fn is_nobody_present(data: &File) -> io::Result<bool> {
    range_is_free(data, LockKind::Exclusive, PRESENCE)
}

/// Keeps writers from writing, for a reader that cannot be seen by them. False if one is writing now.
pub(crate) fn try_hold_off_writers(data: &File) -> io::Result<bool> {
    try_lock_whole(data, LockKind::Shared)
}

/// Sleeps for `nap`, which doubles up to 10 ms; false if patience has come to its end.
fn sleep(nap: &mut Duration, patience: Patience) -> bool {
    if patience.is_over() {
        return false;
    }
    std::thread::sleep(*nap);
    *nap = (*nap * 2).min(Duration::from_millis(10));
    true
}
