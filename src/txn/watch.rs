//! Waiting for commits of any process.
//!
//! A waiting thread sleeps on a word of the shared memory that changes whenever visible does
//! ([`SharedMemory::sleep_until`]). To stop one thread, its stop is noted first; then the word is changed and all
//! sleepers are woken, and those that have nothing to do go back to sleep. So a stop is never missed, and costs the
//! other sleepers one look.
//!
//! [`SharedMemory::sleep_until`]: crate::shm::SharedMemory::sleep_until

#[cfg(feature = "async")]
use std::sync::Arc;
#[cfg(feature = "async")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::base::TransactionId;
use crate::error::{Error, Result};
use crate::txn::database::Database;
#[cfg(feature = "async")]
use crate::txn::database::DbHandle;
#[cfg(feature = "async")]
use crate::txn::notifier::WaitingTask;

impl Database {
    /// Sleeps until a transaction newer than `after` is visible. Returns the newest, or `None` at `deadline` or once
    /// `is_stopped`. A thread that makes `is_stopped` true calls [`Database::wake_waiting`] after that.
    pub(crate) fn wait_for_commit(
        &self,
        after: TransactionId,
        deadline: Option<Instant>,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Option<TransactionId>> {
        self.check_not_forked()?;
        let shared = &self.shared;
        let is_over = || shared.visible() > after || shared.is_poisoned() || is_stopped();
        shared.sleep_until(is_over, deadline);
        if is_stopped() { Ok(None) } else { self.commit_after(after) }
    }

    /// Returns the newest visible transaction if it is newer than `after`. After a failed sync there will be none as
    /// long as any handle has the database open, so that is an error.
    pub(crate) fn commit_after(&self, after: TransactionId) -> Result<Option<TransactionId>> {
        self.check_not_forked()?;
        match self.shared.visible() {
            newest if newest > after => Ok(Some(newest)),
            _ if self.shared.is_poisoned() => Err(Error::Poisoned),
            _ => Ok(None),
        }
    }

    /// Makes every thread that waits for a commit, in any process, test whether its wait is over.
    pub(crate) fn wake_waiting(&self) {
        // The shared memory of a forked child is its parent's; and no thread of the child waits.
        if !self.fork.is_inherited() {
            self.shared.wake_sleepers();
        }
    }
}

#[cfg(feature = "async")]
impl DbHandle {
    /// From now on the task is woken after each commit, and after a failed sync.
    pub(crate) fn add_waiting_task(&self, task: &Arc<WaitingTask>) -> Result<()> {
        let (core, notifier) = (Arc::clone(&self.core), Arc::clone(&self.owner.notifier));
        let run = move |is_stopped: &AtomicBool| {
            let mut seen = core.shared.visible();
            loop {
                // A task that was listed before this line is woken by it, or will see what this thread has seen.
                notifier.wake_all();
                match core.wait_for_commit(seen, None, || is_stopped.load(Ordering::SeqCst)) {
                    Ok(Some(newest)) => seen = newest,
                    Ok(None) => return,
                    Err(_) => return notifier.wake_all(),
                }
            }
        };
        self.owner.notifier.add(task, run).map_err(self.core.pages.io_error("start the watching thread of"))
    }

    /// Ends [`DbHandle::add_waiting_task`].
    pub(crate) fn remove_waiting_task(&self, task: &Arc<WaitingTask>) {
        // In a forked child another thread of the parent may have held the notifier's lock, and the notifier's thread
        // was not forked.
        if !self.core.fork.is_inherited() {
            self.owner.notifier.remove(task, || self.core.wake_waiting());
        }
    }
}
