//! What the syncs of a handle need besides the shared memory.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::base::TransactionId;
use crate::shm::RING_LEN;
use crate::shm::commit_info::CommitDelta;
use crate::txn::group_commit::GroupCommit;

/// Where commits wait for a sync, and the deltas of this handle's own newest commits.
#[derive(Default)]
pub(crate) struct SyncState {
    pub(super) group: GroupCommit,
    /// What this handle's own newest commits did: also those that are too large for the shared memory.
    own_deltas: Mutex<BTreeMap<TransactionId, CommitDelta>>,
}

impl SyncState {
    /// Remembers what a transaction of this handle did, once it has happened.
    pub(crate) fn remember(&self, id: TransactionId, delta: CommitDelta) {
        let mut deltas = self.own_deltas.lock();
        deltas.insert(id, delta);
        if deltas.len() > RING_LEN {
            deltas.pop_first();
        }
    }

    pub(super) fn own_delta(&self, id: TransactionId) -> Option<CommitDelta> {
        self.own_deltas.lock().get(&id).cloned()
    }

    pub(super) fn forget_through(&self, durable: TransactionId) {
        let mut deltas = self.own_deltas.lock();
        *deltas = deltas.split_off(&durable.next());
    }

    /// Ends the helper thread, once what is pending is synced.
    pub(crate) fn close(&self) {
        self.group.close();
    }

    /// Wakes the helper thread.
    pub(crate) fn announce_work(&self) {
        self.group.announce_work();
    }
}
