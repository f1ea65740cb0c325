//! Deferred commits.

use std::sync::Arc;

use crate::base::TransactionId;
use crate::error::Result;
use crate::txn::database::DbHandle;

/// A deferred commit, which may not be durable yet. Made by
/// [`WriteTxn::commit_deferred`](crate::WriteTxn::commit_deferred). Dropping it does not undo the commit.
///
/// ```
/// # use mapleaf::{Db, Table};
/// # const HITS: Table<u64, u64> = Table::new("hits");
/// # let db = Db::in_memory()?;
/// let tx = db.write()?;
/// tx.table(&HITS)?.insert(7, 1)?;
/// let pending = tx.commit_deferred()?;
/// // Other work can be done here.
/// let id = pending.wait()?;
/// assert_eq!(db.stats()?.durable, id);
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the commit is not known to be durable before `wait` has returned"]
pub struct PendingCommit {
    handle: Arc<DbHandle>,
    id: TransactionId,
}

impl PendingCommit {
    pub(super) fn new(handle: Arc<DbHandle>, id: TransactionId) -> PendingCommit {
        PendingCommit { handle, id }
    }

    /// Returns the transaction's id.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// Returns whether the transaction is durable, without waiting.
    pub fn is_durable(&self) -> bool {
        self.handle.core.shared.durable() >= self.id
    }

    /// Waits until the transaction is durable and visible, and returns its id.
    ///
    /// # Errors
    ///
    /// If the sync failed, it is unknown whether the transaction will survive: [`Error::Io`](crate::Error::Io) or
    /// [`Error::Poisoned`](crate::Error::Poisoned).
    pub fn wait(self) -> Result<TransactionId> {
        self.handle.core.wait_durable(self.id)?;
        self.handle.core.pages.storage.acknowledged(self.id);
        Ok(self.id)
    }
}
