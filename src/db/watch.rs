//! Waiting for commits of any process.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::TransactionId;
use crate::error::Result;
use crate::txn::database::{Database, DbHandle};

/// Sleeps until a transaction newer than `after` is visible. Returns the newest, or `None` at `deadline`.
pub(super) fn wait_for_commit(core: &Database, after: u64, deadline: Option<Instant>) -> Result<Option<u64>> {
    Ok(core.wait_for_commit(TransactionId(after), deadline)?.map(|id| id.0))
}

/// An iterator over commits of any process. Each item is the id of the newest visible transaction, as soon as it is
/// newer than the previous item. The iterator sleeps in between, and never ends. Made by
/// [`Db::watch`](crate::Db::watch) and [`Db::watch_from`](crate::Db::watch_from).
///
/// If commits come faster than items are taken, items skip to the newest. When
/// [`Db::wait_for_commit`](crate::Db::wait_for_commit) returns an error, that item and all later ones are errors.
#[must_use = "iterators are lazy"]
pub struct Watch {
    handle: Arc<DbHandle>,
    after: u64,
}

impl Watch {
    pub(super) fn new(handle: &Arc<DbHandle>, after: u64) -> Watch {
        Watch { handle: Arc::clone(handle), after }
    }

    /// Returns the next item, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`Db::wait_for_commit`](crate::Db::wait_for_commit).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<u64>> {
        let newest = wait_for_commit(&self.handle.core, self.after, Instant::now().checked_add(timeout))?;
        self.after = newest.unwrap_or(self.after);
        Ok(newest)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("after", &self.after).finish_non_exhaustive()
    }
}

impl Iterator for Watch {
    type Item = Result<u64>;

    fn next(&mut self) -> Option<Result<u64>> {
        let newest = wait_for_commit(&self.handle.core, self.after, None).transpose()?;
        self.after = *newest.as_ref().unwrap_or(&self.after);
        Some(newest)
    }
}
