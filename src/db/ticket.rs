//! Deferred commits, to be waited for.

use std::sync::Arc;

use crate::base::TransactionId;
use crate::error::Result;
use crate::txn::database::DbHandle;

/// A deferred commit, to be waited for.
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

    /// The transaction's id.
    pub fn id(&self) -> u64 {
        self.id.0
    }

    /// Whether the transaction is durable by now. Does not wait.
    pub fn is_durable(&self) -> bool {
        self.handle.core.shared.durable() >= self.id
    }

    /// Returns once the transaction is durable and visible; answers its id.
    ///
    /// # Errors
    ///
    /// If the sync failed, it is unknown whether the transaction will survive: [`Error::Io`] or [`Error::Poisoned`].
    pub fn wait(self) -> Result<u64> {
        self.handle.core.wait_durable(self.id)?;
        self.handle.core.pages.storage.acknowledged(self.id);
        Ok(self.id.0)
    }
}
