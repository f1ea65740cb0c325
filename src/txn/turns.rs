//! The syncer lock and the checkpointer lock: among the threads of a handle, and among handles.
//!
//! Locks are taken in one order: writer, checkpointer, syncer. So no two threads wait for each other.

use parking_lot::MutexGuard;

use crate::error::Result;
use crate::txn::database::Database;
use crate::txn::file_locks::{FileLocks, Turn};

/// A lock that the thread holds until this is dropped.
pub(super) struct TurnGuard<'a> {
    turn: Turn,
    locks: Option<&'a FileLocks>,
    /// Released after the lock among handles.
    _thread: MutexGuard<'a, ()>,
}

impl Database {
    /// Takes a lock: among the threads of the handle, then among handles.
    pub(super) fn take_turn(&self, turn: Turn) -> Result<TurnGuard<'_>> {
        let mutex = self.sync.turn(turn);
        let thread = mutex.try_lock().unwrap_or_else(|| {
            self.pages.storage.about_to_wait();
            mutex.lock()
        });
        if let Some(Err(error)) = self.locks.as_ref().map(|locks| locks.lock_turn(turn)) {
            self.check_names()?; // a lock may need the folder of the files
            return Err(self.pages.io_error("lock")(error));
        }
        Ok(TurnGuard { turn, locks: self.locks.as_ref(), _thread: thread })
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        if let Some(locks) = self.locks {
            locks.unlock_turn(self.turn);
        }
    }
}
