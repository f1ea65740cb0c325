//! The savepoints of a write transaction, and what they keep beside trees and free space.

use crate::base::SavepointId;
use crate::format::redo::record::RecordPosition;
use crate::txn::open_table::OpenTable;

/// The savepoints that a transaction can go back to.
#[derive(Default)]
pub(super) struct SavepointStack {
    /// Oldest first.
    pub(super) live: Vec<LiveSavepoint>,
    /// Tables that were dropped, each with the newest savepoint that there was.
    pub(super) dropped: Vec<(SavepointId, Box<OpenTable>)>,
}

pub(super) struct LiveSavepoint {
    pub(super) id: SavepointId,
    /// How far the redo record was.
    pub(super) record: RecordPosition,
}
