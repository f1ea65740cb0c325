//! Seeing the others: who reads what, and when somebody commits.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::TransactionId;
use crate::error::Result;
use crate::txn::database::{Database, DbHandle};

/// Sleeps until a transaction newer than `after` is visible; answers the newest, or `None` at `deadline`.
pub(super) fn wait_for_commit(core: &Database, after: u64, deadline: Option<Instant>) -> Result<Option<u64>> {
    Ok(core.wait_for_commit(TransactionId(after), deadline)?.map(|id| id.0))
}

/// An iterator over commits, in whatever process they are made: each item is the newest visible transaction, once there
/// is one that the last item did not have yet. It sleeps meanwhile, and never ends. Made by
/// [`Db::watch`](crate::Db::watch) and [`Db::watch_from`](crate::Db::watch_from).
///
/// Commits that come faster than the items are taken are not told one by one: an item is the newest. An item is
/// an error where [`Db::wait_for_commit`](crate::Db::wait_for_commit) has one; so is each after it.
#[must_use = "iterators are lazy"]
pub struct Watch {
    handle: Arc<DbHandle>,
    after: u64,
}

impl Watch {
    pub(super) fn new(handle: &Arc<DbHandle>, after: u64) -> Watch {
        Watch { handle: Arc::clone(handle), after }
    }

    /// The next item, if there is one within `timeout`; `None` if not.
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
