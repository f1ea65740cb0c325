//! Locks between handles, in all processes: to write, to sync, to open, and to show that a handle is present.
//!
//! Invariants:
//! - I7: every lock is held by the kernel, and is free once its process has died. It is never a POSIX lock of the
//!   process, which vanishes when any descriptor of the file is closed. Whole-file locks (`flock`) and
//!   open-file-description locks belong to descriptions that only this handle has opened and that no forked child
//!   keeps ([`Locks`]). In a child every function here fails or does nothing.
//! - Two files are one database. Each handle holds a lock on the data file (presence) and one on the lock file (the
//!   handle's byte). A newcomer tests both. So it notices handles that use its data file with another lock file, and
//!   handles that use its lock file with another data file, whichever of the two was removed or replaced.
//! - Writers queue. Each keeps one byte of the queue locked and waits until no byte before it is locked; the first
//!   one waits for the writer lock. So no writer passes one that waits, and a writer that gives up or dies delays no
//!   one. Tickets only order the queue; the lock on a ticket's byte marks a live waiter. Wrong tickets change the
//!   order, and nothing else.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::shm::SharedMemory;
use crate::shm::handles::{HandleNumber, MEMBERS};
use crate::sys::{self, FileIdentity, LockFile, LockKind, Locks, status_at, status_of};

// Bytes of the lock file, before those of the handles.
const OPEN: Range<u64> = 1 << 39..(1 << 39) + 1;
const SYNC: Range<u64> = (1 << 39) + 2..(1 << 39) + 3;
const CHECKPOINT: Range<u64> = (1 << 39) + 4..(1 << 39) + 5;
/// The queue of waiting writers, after the bytes of the handles. Its first byte is never locked.
const QUEUE: Range<u64> = 1 << 41..1 << 62;
const _: () = assert!(MEMBERS.end <= QUEUE.start);
/// A byte of the data file at an offset that no file system can store.
const PRESENCE: Range<u64> = (1 << 62) - 2..(1 << 62) - 1;
/// Another such byte. A reader that is not in the shared memory locks it while it holds writers off.
const UNSEEN: Range<u64> = (1 << 62) - 4..(1 << 62) - 3;

/// How long a handle's locks may be seen on only one of the two files before the handle is taken for one that uses
/// another pair of files. A handle that closes, or a process that dies, releases its two locks one after the other.
const MAX_FAREWELL: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    No,
    Until(Instant),
    Forever,
}

impl Wait {
    /// A wait of at most `timeout`; without one, without end.
    pub(crate) fn within(timeout: Option<Duration>) -> Wait {
        timeout.and_then(|timeout| Instant::now().checked_add(timeout)).map_or(Wait::Forever, Wait::Until)
    }

    pub(crate) fn is_over(self) -> bool {
        match self {
            Wait::No => true,
            Wait::Until(deadline) => Instant::now() >= deadline,
            Wait::Forever => false,
        }
    }

    /// The same, and no longer than `limit` from now on.
    pub(crate) fn at_most(self, limit: Duration) -> Wait {
        let latest = Instant::now() + limit;
        match self {
            Wait::No => Wait::No,
            Wait::Until(deadline) => Wait::Until(deadline.min(latest)),
            Wait::Forever => Wait::Until(latest),
        }
    }
}

/// What one handle does at a time, besides writing: each has a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    Syncer,
    Checkpointer,
}

impl Turn {
    fn byte(self) -> Range<u64> {
        match self {
            Turn::Syncer => SYNC,
            Turn::Checkpointer => CHECKPOINT,
        }
    }
}

/// The other handles that are open, as their locks on the two files show them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Others {
    /// No other handle is open.
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
    data: Locks,
    /// The device and inode numbers of the two files.
    lock_identity: FileIdentity,
    data_identity: FileIdentity,
    /// One more than what [`SharedMemory::queued`] was before this handle last found the queue empty; 0 if it never
    /// has.
    found_empty_at: AtomicU64,
}

impl FileLocks {
    /// Makes this handle present until it is dropped. The caller must hold the open lock.
    pub(crate) fn enter(lock: LockFile, data: Locks) -> io::Result<FileLocks> {
        data.lock(LockKind::Shared, PRESENCE)?;
        data.occupy()?;
        let lock_identity = status_of(lock.file()?)?.identity;
        let data_identity = status_of(data.file()?)?.identity;
        let found_empty_at = AtomicU64::new(0);
        Ok(FileLocks { lock, data, lock_identity, data_identity, found_empty_at })
    }

    /// Which files the other handles use. The caller must hold the open lock, so that none joins by this lock file.
    pub(crate) fn others(&self) -> io::Result<Others> {
        let mut others = Others::None;
        poll(Wait::Until(Instant::now() + MAX_FAREWELL), || {
            others = match (self.is_alone_on_data()?, is_lock_file_free(&self.lock)?) {
                (true, true) => Others::None,
                (false, false) => Others::UseBothFiles,
                (false, true) => Others::UseAnotherLockFile,
                (true, false) => Others::UseAnotherDataFile,
            };
            Ok(matches!(others, Others::None | Others::UseBothFiles))
        })?;
        Ok(others)
    }

    /// Returns `Error::Replaced` if one of the two files no longer has its name: a handle that opens the database by
    /// these names uses another file, and does not see what this handle does.
    pub(crate) fn check_names(&self, data_path: &Path) -> Result<()> {
        check_name(data_path, self.data_identity)?;
        self.check_lock_name()
    }

    /// The same for the lock file alone.
    pub(crate) fn check_lock_name(&self) -> Result<()> {
        check_name(self.lock.path(), self.lock_identity)
    }

    pub(crate) fn data_identity(&self) -> FileIdentity {
        self.data_identity
    }

    /// Makes the data file's name durable.
    pub(crate) fn sync_name(&self, data_path: &Path) -> io::Result<()> {
        sys::sync_name(data_path, self.data.file()?)
    }

    /// Releases all locks that show others that this handle is here. Returns whether it was the last: then it holds
    /// the open lock until it is dropped, no handle that uses the lock file is alive, and none comes.
    ///
    /// The open lock is taken last, so that of handles that leave at the same time the last sees no other. If one finds
    /// the open lock held for a moment by another that is testing, neither may be the last. A handle that has released
    /// its byte but not yet its presence keeps another from being the last: a handle that came then would find it
    /// present, and take the memory for one that is in use. For the same reason this handle releases its presence
    /// before it tests, so that a kill after that leaves no presence beside closed memory.
    pub(crate) fn leave(&self, handle: HandleNumber) -> io::Result<bool> {
        let lock = self.lock.locks();
        lock.unlock(handle.byte())?;
        self.data.unlock(PRESENCE)?;
        self.data.vacate()?;
        Ok(lock.try_lock(LockKind::Exclusive, OPEN)?
            && is_lock_file_free(&self.lock)?
            && self.is_alone_on_data()?)
    }

    /// Whether no other handle shows that it uses the data file.
    fn is_alone_on_data(&self) -> io::Result<bool> {
        Ok(is_nobody_present(&self.data)? && !self.data.is_occupied()?)
    }

    pub(crate) fn lock_file(&self) -> &LockFile {
        &self.lock
    }

    /// Takes the writer lock. Returns `false` if the wait is over first.
    pub(crate) fn lock_writer(&self, shared: &SharedMemory, wait: Wait) -> io::Result<bool> {
        if self.is_queue_empty(shared)? && self.try_lock_writer()? {
            return Ok(true);
        }
        if let Wait::No = wait {
            return Ok(false);
        }
        let place = place_of(shared.take_ticket());
        let taken = self.wait_at(shared, place, wait);
        // Unlocking cannot fail, whether the lock is held or not.
        let _ = self.lock.locks().unlock(place..place + 1);
        taken
    }

    /// Whether no writer waits. A writer announces its place once it has locked it: so a queue that was found empty
    /// stays so until the next announcement, and the kernel need not be asked for each transaction.
    fn is_queue_empty(&self, shared: &SharedMemory) -> io::Result<bool> {
        let queued = shared.queued().wrapping_add(1);
        if self.found_empty_at.load(Relaxed) == queued {
            return Ok(true);
        }
        let is_empty = self.lock.locks().is_free(LockKind::Exclusive, QUEUE)?;
        if is_empty {
            self.found_empty_at.store(queued, Relaxed);
        }
        Ok(is_empty)
    }

    /// Waits in the queue, and then for the writer lock.
    fn wait_at(&self, shared: &SharedMemory, place: u64, wait: Wait) -> io::Result<bool> {
        let locks = self.lock.locks();
        let lock = |kind, range: Range<u64>| match wait {
            Wait::Forever => locks.lock(kind, range).map(|()| true),
            _ => poll(wait, || locks.try_lock(kind, range.clone())),
        };
        if !lock(LockKind::Exclusive, place..place + 1)? {
            return Ok(false); // another handle is testing this byte
        }
        shared.announce_queued();
        // The byte just before is usually that of the last writer ahead: so each release wakes only one waiter.
        for before in [place - 1..place, QUEUE.start..place] {
            if !lock(LockKind::Shared, before.clone())? {
                return Ok(false);
            }
            locks.unlock(before)?;
        }
        match wait {
            Wait::Forever => self.data.lock_whole().map(|()| true),
            _ => poll(wait, || self.try_lock_writer()),
        }
    }

    /// Whether the writer with this ticket waits in the queue.
    #[cfg(test)]
    pub(crate) fn is_taken(&self, ticket: u64) -> bool {
        let place = place_of(ticket);
        !self.lock.locks().is_free(LockKind::Exclusive, place..place + 1).unwrap()
    }

    /// Locks the ticket's byte and returns.
    #[cfg(test)]
    pub(crate) fn take_place(&self, ticket: u64) -> io::Result<()> {
        let place = place_of(ticket);
        self.lock.locks().lock(LockKind::Exclusive, place..place + 1)
    }

    fn try_lock_writer(&self) -> io::Result<bool> {
        self.data.try_lock_whole(LockKind::Exclusive)
    }

    /// Whether a reader that is not in the shared memory holds writers off.
    ///
    /// While this handle is present no such reader stays: after taking its locks it tests whether a handle is
    /// present, and leaves if one is. So if there is no such reader now, none appears later except for that moment.
    pub(crate) fn is_held_off(&self) -> io::Result<bool> {
        Ok(!self.data.is_free(LockKind::Exclusive, UNSEEN)?)
    }

    /// Waits until no reader outside the shared memory holds writers off. Returns `false` if the wait is over first.
    pub(crate) fn wait_while_held_off(&self, wait: Wait) -> io::Result<bool> {
        poll(wait, || self.is_held_off().map(|is_held_off| !is_held_off))
    }

    /// Releases the writer lock.
    pub(crate) fn unlock_writer(&self) {
        // Unlocking cannot fail for a lock that is held; if it did, closing the file would release it.
        let _ = self.data.unlock_whole();
    }

    /// Takes the lock of a turn. Waits while another handle has it. Threads of one handle must not do this at the
    /// same time: the lock belongs to the handle.
    pub(crate) fn lock_turn(&self, turn: Turn) -> io::Result<()> {
        self.lock.locks().lock(LockKind::Exclusive, turn.byte())
    }

    /// Whether another handle has the lock of this turn.
    pub(crate) fn is_turn_taken(&self, turn: Turn) -> io::Result<bool> {
        Ok(!self.lock.locks().is_free(LockKind::Exclusive, turn.byte())?)
    }

    pub(crate) fn unlock_turn(&self, turn: Turn) {
        // Unlocking cannot fail for a lock that is held; if it did, closing the file would release it.
        let _ = self.lock.locks().unlock(turn.byte());
    }
}

/// Takes the open lock: one handle at a time is being opened. Closing the lock file or [`unlock_open`] releases it.
pub(crate) fn lock_open(lock: &LockFile) -> io::Result<()> {
    lock.locks().lock(LockKind::Exclusive, OPEN)
}

pub(crate) fn unlock_open(lock: &LockFile) -> io::Result<()> {
    lock.locks().unlock(OPEN)
}

/// Whether no handle uses the lock file, except one with the same description as `lock`.
fn is_lock_file_free(lock: &LockFile) -> io::Result<bool> {
    lock.locks().is_free(LockKind::Exclusive, MEMBERS)
}

/// Whether handles are open that use this lock file. The caller must hold the open lock.
pub(crate) fn is_lock_file_in_use(lock: &LockFile) -> io::Result<bool> {
    poll(Wait::Until(Instant::now() + MAX_FAREWELL), || is_lock_file_free(lock)).map(|is_free| !is_free)
}

/// Whether no handle is present on the data file, except one with the same description as `data`.
pub(crate) fn is_nobody_present(data: &Locks) -> io::Result<bool> {
    data.is_free(LockKind::Exclusive, PRESENCE)
}

/// Holds writers off, for a reader that is not in the shared memory. Returns `false` if a handle is writing now.
pub(crate) fn try_hold_off_writers(data: &Locks) -> io::Result<bool> {
    // This lock comes first: a writer that then finds the whole file locked knows why.
    let held = data.lock(LockKind::Shared, UNSEEN).and_then(|()| data.try_lock_whole(LockKind::Shared));
    held.or_else(|error| data.occupy_instead(error).map(|()| true))
}

fn check_name(path: &Path, own: FileIdentity) -> Result<()> {
    match status_at(path) {
        Ok(found) if found.identity == own => Ok(()),
        _ => Err(Error::Replaced { path: path.to_owned(), problem: "another file, or none, has its name" }),
    }
}

/// The byte of the queue that the writer with this ticket locks.
fn place_of(ticket: u64) -> u64 {
    QUEUE.start + 1 + ticket % (QUEUE.end - QUEUE.start - 1)
}

/// Repeats `ask` until it returns `true`. Returns `false` if the wait is over first. The kernel has no lock with a
/// deadline: so `ask` is repeated with growing pauses, of at most a millisecond, as others may wait after this one.
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
