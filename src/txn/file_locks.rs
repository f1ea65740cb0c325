//! Taking turns with other processes: who may write, who may sync, who may open; and being seen to be here.
//!
//! Invariants:
//! - I7: every turn is a lock of the kernel's, which is free when its process has died. Never a process-owned POSIX
//!   lock: those vanish when any descriptor of the file is closed. Whole-file locks (`flock`) and
//!   open-file-description locks belong to what this handle alone has opened, and no forked child keeps
//!   ([`LockDescription`]). In a child every function here is an error, or does nothing.
//! - Two files are one database: each handle has a lock on the data file (presence) and one on the lock file (its
//!   handle's byte). A newcomer looks for both: so it notices handles that use its data file with another lock file,
//!   and handles that use its lock file with another data file, whichever of the two was removed or replaced.
//! - Writers queue: each has a place, a byte that it keeps locked, and waits until no place before it is locked.
//!   The first waits for the writer lock. So nobody writes twice before one that waits, and one that gives up, or
//!   dies, is waited for no more. Tickets, which are plain numbers, say where places are: wrong ones make another
//!   order, and nothing worse.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::shm::SharedMemory;
use crate::shm::handles::MEMBERS;
use crate::sys::{
    self, FileIdentity, LockDescription, LockFile, LockKind, lock_range, lock_whole, range_is_free,
    status_at, status_of, try_lock_range, try_lock_whole, unlock_range, unlock_whole,
};

// Bytes of the lock file; below those of the handles.
const OPEN: Range<u64> = 1 << 39..(1 << 39) + 1;
const SYNC: Range<u64> = (1 << 39) + 2..(1 << 39) + 3;
/// The places of writers that wait, behind the bytes of the handles. Nobody locks the first byte.
const QUEUE: Range<u64> = 1 << 41..1 << 62;
const _: () = assert!(MEMBERS.end <= QUEUE.start);
/// A byte of the data file that no file system can hold.
const PRESENCE: Range<u64> = (1 << 62) - 2..(1 << 62) - 1;
/// Another one: who locks it holds writers off, and is not in the shared memory.
const UNSEEN: Range<u64> = (1 << 62) - 4..(1 << 62) - 3;

/// How long the locks of one handle may be seen on one of the two files alone before they are taken for those of a
/// handle that uses another pair of files. A handle that closes, or a process that dies, gives them up one after the
/// other.
const MAX_FAREWELL: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });

/// How long to wait for a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    No,
    Until(Instant),
    Forever,
}

impl Wait {
    pub(crate) fn is_over(self) -> bool {
        match self {
            Wait::No => true,
            Wait::Until(deadline) => Instant::now() >= deadline,
            Wait::Forever => false,
        }
    }

    /// The same, but for no longer than `limit` from now on.
    pub(crate) fn at_most(self, limit: Duration) -> Wait {
        let latest = Instant::now() + limit;
        match self {
            Wait::No => Wait::No,
            Wait::Until(deadline) => Wait::Until(deadline.min(latest)),
            Wait::Forever => Wait::Until(latest),
        }
    }
}

/// The other handles that are open, as their locks on the two files show them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Others {
    /// There are none.
    None,
    /// They use both files.
    UseBothFiles,
    /// They use this data file with another lock file.
    UseAnotherLockFile,
    /// They use this lock file with another data file.
    UseAnotherDataFile,
}

/// The locks of one handle.
#[derive(Debug)]
pub(crate) struct FileLocks {
    lock: LockFile,
    /// The data file.
    data: LockDescription,
    /// Which files these are.
    lock_identity: FileIdentity,
    data_identity: FileIdentity,
}

impl FileLocks {
    /// Makes this handle present; it is until this is dropped. The gate must be held.
    pub(crate) fn enter(lock: LockFile, data: LockDescription) -> io::Result<FileLocks> {
        lock_range(data.file()?, LockKind::Shared, PRESENCE)?;
        let lock_identity = status_of(lock.file()?)?.identity;
        let data_identity = status_of(data.file()?)?.identity;
        Ok(FileLocks { lock, data, lock_identity, data_identity })
    }

    /// Which files the other handles use. The gate must be held, so that none comes by this lock file meanwhile.
    pub(crate) fn others(&self) -> io::Result<Others> {
        let mut others = Others::None;
        poll(Wait::Until(Instant::now() + MAX_FAREWELL), || {
            others = match (is_nobody_present(&self.data)?, is_lock_file_free(&self.lock)?) {
                (true, true) => Others::None,
                (false, false) => Others::UseBothFiles,
                (false, true) => Others::UseAnotherLockFile,
                (true, false) => Others::UseAnotherDataFile,
            };
            Ok(matches!(others, Others::None | Others::UseBothFiles))
        })?;
        Ok(others)
    }

    /// Returns `Error::Replaced` if one of the two files does not have its name any more: a handle that opens the
    /// database by these names uses another file, and does not see what this one does.
    pub(crate) fn check_names(&self, data_path: &Path) -> Result<()> {
        check_name(data_path, self.data_identity)?;
        self.check_lock_name()
    }

    /// The same, of the lock file alone.
    pub(crate) fn check_lock_name(&self) -> Result<()> {
        check_name(self.lock.path(), self.lock_identity)
    }

    /// Makes the data file's name durable.
    pub(crate) fn sync_name(&self, data_path: &Path) -> io::Result<()> {
        sys::sync_name(data_path, self.data.file()?)
    }

    pub(crate) fn lock_file(&self) -> &LockFile {
        &self.lock
    }

    /// Takes the writer's turn; false if patience came to its end.
    pub(crate) fn lock_writer(&self, shared: &SharedMemory, wait: Wait) -> io::Result<bool> {
        if range_is_free(self.lock.file()?, LockKind::Exclusive, QUEUE)? && self.try_lock_writer()? {
            return Ok(true);
        }
        if let Wait::No = wait {
            return Ok(false);
        }
        let place = place_of(shared.take_ticket());
        let taken = self.wait_at(place, wait);
        // It cannot fail for a lock that is held, nor for one that could not be had.
        let _ = unlock_range(self.lock.file()?, place..place + 1);
        taken
    }

    /// Waits in the queue, and then for the writer lock.
    fn wait_at(&self, place: u64, wait: Wait) -> io::Result<bool> {
        let file = self.lock.file()?;
        let lock = |kind, range: Range<u64>| match wait {
            Wait::Forever => lock_range(file, kind, range).map(|()| true),
            _ => poll(wait, || try_lock_range(file, kind, range.clone())),
        };
        if !lock(LockKind::Exclusive, place..place + 1)? {
            return Ok(false); // somebody looks just now whether this place is free
        }
        // As a rule the one before is the last of all who come before; then only one waiter wakes for each turn.
        for before in [place - 1..place, QUEUE.start..place] {
            if !lock(LockKind::Shared, before.clone())? {
                return Ok(false);
            }
            unlock_range(file, before)?;
        }
        match wait {
            Wait::Forever => lock_whole(self.data.file()?).map(|()| true),
            _ => poll(wait, || self.try_lock_writer()),
        }
    }

    /// Whether the writer with this ticket waits.
    #[cfg(test)]
    pub(crate) fn is_taken(&self, ticket: u64) -> bool {
        let place = place_of(ticket);
        !range_is_free(self.lock.file().unwrap(), LockKind::Exclusive, place..place + 1).unwrap()
    }

    /// Queues, and does nothing more.
    #[cfg(test)]
    pub(crate) fn take_place(&self, ticket: u64) -> io::Result<()> {
        let place = place_of(ticket);
        lock_range(self.lock.file()?, LockKind::Exclusive, place..place + 1)
    }

    fn try_lock_writer(&self) -> io::Result<bool> {
        try_lock_whole(self.data.file()?, LockKind::Exclusive)
    }

    /// Whether a reader that is not in the shared memory holds writers off.
    ///
    /// None comes while this handle is present: after it has taken its locks such a reader looks whether any handle is,
    /// and leaves. So if there is none now there will be none, except for that moment.
    pub(crate) fn is_held_off(&self) -> io::Result<bool> {
        Ok(!range_is_free(self.data.file()?, LockKind::Exclusive, UNSEEN)?)
    }

    /// Waits until no reader holds writers off unseen; false if patience came to its end.
    pub(crate) fn wait_while_held_off(&self, wait: Wait) -> io::Result<bool> {
        poll(wait, || self.is_held_off().map(|is_held_off| !is_held_off))
    }

    /// Ends the writer's turn.
    pub(crate) fn unlock_writer(&self) {
        // It cannot fail for a lock that is held; if it did, closing the file would free it.
        let _ = self.data.file().and_then(unlock_whole);
    }

    /// Takes the syncer's turn: waits while another process syncs.
    pub(crate) fn lock_syncer(&self) -> io::Result<()> {
        lock_range(self.lock.file()?, LockKind::Exclusive, SYNC)
    }

    /// Whether another handle has the syncer's turn.
    pub(crate) fn is_syncer_locked(&self) -> io::Result<bool> {
        Ok(!range_is_free(self.lock.file()?, LockKind::Exclusive, SYNC)?)
    }

    /// Ends the syncer's turn.
    pub(crate) fn unlock_syncer(&self) {
        let _ = self.lock.file().and_then(|file| unlock_range(file, SYNC));
    }
}

/// Takes the gate: one handle at a time is being opened. Free when the lock file is closed, or by [`unlock_open`].
pub(crate) fn lock_open(lock: &LockFile) -> io::Result<()> {
    lock_range(lock.file()?, LockKind::Exclusive, OPEN)
}

pub(crate) fn unlock_open(lock: &LockFile) -> io::Result<()> {
    unlock_range(lock.file()?, OPEN)
}

/// Whether no handle, except one that uses the same description as `lock`, is a handle.
fn is_lock_file_free(lock: &LockFile) -> io::Result<bool> {
    range_is_free(lock.file()?, LockKind::Exclusive, MEMBERS)
}

/// Whether handles are open that use this lock file. The gate must be held.
pub(crate) fn is_lock_file_in_use(lock: &LockFile) -> io::Result<bool> {
    poll(Wait::Until(Instant::now() + MAX_FAREWELL), || is_lock_file_free(lock)).map(|is_free| !is_free)
}

/// Whether no handle, except for one that uses the same description as `data`, is present.
pub(crate) fn is_nobody_present(data: &LockDescription) -> io::Result<bool> {
    range_is_free(data.file()?, LockKind::Exclusive, PRESENCE)
}

/// Keeps writers from writing, for a reader that is not in the shared memory. False if one is writing now.
pub(crate) fn try_hold_off_writers(data: &LockDescription) -> io::Result<bool> {
    // First: a writer that finds the whole file locked then knows by whom.
    lock_range(data.file()?, LockKind::Shared, UNSEEN)?;
    try_lock_whole(data.file()?, LockKind::Shared)
}

fn check_name(path: &Path, own: FileIdentity) -> Result<()> {
    match status_at(path) {
        Ok(found) if found.identity == own => Ok(()),
        _ => Err(Error::Replaced { path: path.to_owned(), problem: "another file, or none, has its name" }),
    }
}

/// Where in the queue the writer with this ticket waits.
fn place_of(ticket: u64) -> u64 {
    QUEUE.start + 1 + ticket % (QUEUE.end - QUEUE.start - 1)
}

/// Asks until the answer is true; false if patience comes to its end before. The kernel has no lock with a deadline: so
/// it is asked again and again, soon at first, and at least every millisecond, as others may wait behind this one.
fn poll(wait: Wait, mut ask: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let mut nap = Duration::from_micros(50);
    while !ask()? {
        if wait.is_over() {
            return Ok(false);
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(1));
    }
    Ok(true)
}
