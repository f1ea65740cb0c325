//! Waiting for commits of any process, in an iterator.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::base::TransactionId;
use crate::error::{Error, Result};
use crate::txn::database::{Database, DbHandle};
#[cfg(feature = "async")]
use crate::txn::notifier::WaitingTask;
use crate::txn::writer_mark;

/// An iterator over commits of any process. Each item is the id of the newest visible transaction, as soon as it is
/// newer than the previous item. The iterator sleeps in between, and ends only if a [`WatchStopper`] ends it. Made by
/// [`Db::watch`](crate::Db::watch) and [`Db::watch_from`](crate::Db::watch_from).
///
/// If commits come faster than items are taken, items skip to the newest. When
/// [`Db::wait_for_commit`](crate::Db::wait_for_commit) returns an error, that item and all later ones are errors.
///
/// With the feature `async`, [`Watch::into_stream`] turns it into a stream.
#[must_use = "iterators are lazy"]
pub struct Watch {
    pub(super) handle: Arc<DbHandle>,
    pub(super) after: TransactionId,
    pub(super) stop: Arc<Stop>,
}

/// What a [`Watch`], or its stream, shares with its stoppers.
#[derive(Default)]
pub(super) struct Stop {
    is_stopped: AtomicBool,
    /// Where a stream leaves the waker of its task.
    #[cfg(feature = "async")]
    pub(super) task: Arc<WaitingTask>,
}

impl Stop {
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }
}

impl Watch {
    pub(super) fn new(handle: &Arc<DbHandle>, after: TransactionId) -> Watch {
        Watch { handle: Arc::clone(handle), after, stop: Arc::default() }
    }

    /// Returns the next item, or `None` if there is none within `timeout`, or if the iterator has been stopped.
    ///
    /// # Errors
    ///
    /// Those of [`Db::wait_for_commit`](crate::Db::wait_for_commit).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<TransactionId>> {
        self.wait(Instant::now().checked_add(timeout))
    }

    /// Returns a handle by which another thread, or a signal handler's thread, ends this iterator.
    ///
    /// ```
    /// # use mapleaf::Db;
    /// let db = Db::in_memory()?;
    /// let commits = db.watch();
    /// let stopper = commits.stopper();
    /// let watcher = std::thread::spawn(move || {
    ///     for id in commits {
    ///         println!("transaction {}", id.expect("no sync has failed"));
    ///     }
    /// });
    /// stopper.stop(); // the loop ends
    /// watcher.join().unwrap();
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn stopper(&self) -> WatchStopper {
        WatchStopper::new(&self.handle, &self.stop)
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<Option<TransactionId>> {
        // Without a stopper, only a commit can end the wait.
        if deadline.is_none() && Arc::get_mut(&mut self.stop).is_some_and(|stop| !stop.is_stopped()) {
            check_may_come(&self.handle.core, self.after)?;
        }
        let stop = &self.stop;
        let newest = self.handle.core.wait_for_commit(self.after, deadline, || stop.is_stopped())?;
        self.after = newest.unwrap_or(self.after);
        Ok(newest)
    }
}

/// Returns an error if this thread is to wait for a commit after `after`, and prevents it by holding the writer lock:
/// meanwhile nothing becomes visible except what was committed before.
pub(super) fn check_may_come(core: &Database, after: TransactionId) -> Result<()> {
    match writer_mark::is_held(core.writer_lock_id()) && after >= core.shared.newest_id() {
        true => Err(Error::WriteInProgress),
        false => Ok(()),
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("after", &self.after.0).finish_non_exhaustive()
    }
}

impl Iterator for Watch {
    type Item = Result<TransactionId>;

    fn next(&mut self) -> Option<Result<TransactionId>> {
        self.wait(None).transpose()
    }
}

/// Ends a [`Watch`] from outside. Made by [`Watch::stopper`]. It does not keep the database open.
#[derive(Clone)]
pub struct WatchStopper {
    handle: Weak<DbHandle>,
    stop: Arc<Stop>,
}

impl WatchStopper {
    pub(super) fn new(handle: &Arc<DbHandle>, stop: &Arc<Stop>) -> WatchStopper {
        WatchStopper { handle: Arc::downgrade(handle), stop: Arc::clone(stop) }
    }

    /// Ends the iterator: a call that waits returns `None`, and so does every later one, even if there are newer
    /// commits. Returns at once, and may be called more than once.
    pub fn stop(&self) {
        self.stop.is_stopped.store(true, Ordering::SeqCst);
        #[cfg(feature = "async")]
        self.stop.task.wake();
        // Without the handle there is no iterator that could wait.
        if let Some(handle) = self.handle.upgrade() {
            handle.core.wake_waiting();
        }
    }

    /// Returns whether [`WatchStopper::stop`] has been called, on this handle or on a clone of it.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_stopped()
    }
}

impl fmt::Debug for WatchStopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchStopper").field("is_stopped", &self.is_stopped()).finish_non_exhaustive()
    }
}
