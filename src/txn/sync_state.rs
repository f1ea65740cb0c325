//! What the barriers of a handle need besides the shared memory: where commits wait, and the syncer and
//! checkpointer locks among its threads.

use parking_lot::Mutex;

use crate::txn::file_locks::Turn;
use crate::txn::group_commit::GroupCommit;

/// Where commits wait for a sync, and the locks among the threads of the handle.
#[derive(Default)]
pub(crate) struct SyncState {
    pub(super) group: GroupCommit,
    syncer: Mutex<()>,
    checkpointer: Mutex<()>,
}

impl SyncState {
    /// Ends the helper thread, once what is pending is synced.
    pub(crate) fn close(&self) {
        self.group.close();
    }

    /// Wakes the helper thread.
    pub(crate) fn announce_work(&self) {
        self.group.announce_work();
    }

    pub(super) fn turn(&self, turn: Turn) -> &Mutex<()> {
        match turn {
            Turn::Syncer => &self.syncer,
            Turn::Checkpointer => &self.checkpointer,
        }
    }
}
