//! The handles that have the database open, in all processes.
//!
//! Invariants:
//! - I7: a handle is alive exactly as long as its byte of the lock file is locked. The kernel releases the lock when
//!   the process dies, in whatever PID namespace; process ids are shown to people and decide nothing.
//! - A process that clears up after a handle holds that byte meanwhile. So a handle is cleared up once at a time, and
//!   no newcomer takes its place before that is done. (Within a handle only one thread does so at a time: the one
//!   that holds the writer lock, or that opens the handle. Threads of one handle do not exclude each other here.)

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::SeqCst;

use super::{HANDLE_COUNT, HANDLES_AT, LINE, SharedMemory};
use crate::error::{Error, Result};
use crate::sys::{LockKind, Locks};

/// Where the bytes of the handles begin in the lock file. Locks may lie far beyond a file's end.
const HANDLE_BYTES: u64 = 1 << 40;
/// The bytes of all handles.
pub(crate) const MEMBERS: Range<u64> = HANDLE_BYTES..HANDLE_BYTES + HANDLE_COUNT as u64;

/// A handle's place among the handles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HandleNumber(pub(super) usize);

impl HandleNumber {
    pub(crate) fn byte(self) -> Range<u64> {
        let at = HANDLE_BYTES + self.0 as u64;
        at..at + 1
    }
}

impl SharedMemory {
    /// Takes a place among the handles. It is kept until `lock_file` is closed, whose description no other handle may
    /// use.
    pub(crate) fn join(&self, lock_file: &Locks) -> Result<HandleNumber> {
        for handle in (0..HANDLE_COUNT).map(HandleNumber) {
            if lock_file.try_lock(LockKind::Exclusive, handle.byte()).map_err(cannot_lock)? {
                self.clear_up(handle)?;
                self.word(HANDLES_AT + handle.0 * LINE).store(u64::from(std::process::id()), SeqCst);
                return Ok(handle);
            }
        }
        Err(Error::TooManyHandles { limit: HANDLE_COUNT })
    }

    /// The only handle of a database that is not shared.
    pub(crate) fn join_alone(&self) -> HandleNumber {
        self.word(HANDLES_AT).store(u64::from(std::process::id()), SeqCst);
        HandleNumber(0)
    }

    /// The process id that a handle has stored.
    pub(crate) fn pid(&self, handle: HandleNumber) -> u32 {
        self.word(HANDLES_AT + handle.0 * LINE).load(SeqCst) as u32
    }

    /// Clears up after handles that died: their snapshots are no longer protected. This costs a system call for each
    /// other handle.
    pub(crate) fn reap_dead_readers(&self, own: HandleNumber, lock_file: &Locks) -> Result<()> {
        let others =
            (0..HANDLE_COUNT).map(HandleNumber).filter(|&handle| handle != own && self.pid(handle) != 0);
        for handle in others {
            if lock_file.try_lock(LockKind::Exclusive, handle.byte()).map_err(cannot_lock)? {
                let cleared = self.clear_up(handle);
                lock_file.unlock(handle.byte()).map_err(cannot_lock)?;
                cleared?;
            }
        }
        Ok(())
    }

    /// Clears up after a handle that is closed: its place is free when its lock file is closed.
    pub(crate) fn leave(&self, handle: HandleNumber) {
        // If this fails, the next handle that takes the place frees the slots.
        let _ = self.clear_up(handle);
    }

    /// Frees what is left of a handle that is dead, or whose place has just been taken.
    fn clear_up(&self, handle: HandleNumber) -> Result<()> {
        self.free_slots_of(handle)?;
        self.word(HANDLES_AT + handle.0 * LINE).store(0, SeqCst);
        Ok(())
    }
}

fn cannot_lock(source: io::Error) -> Error {
    Error::io("lock", "the lock file", source)
}
