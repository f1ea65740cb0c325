//! What recovery does when a database is opened: its calls, and the transaction that it finds.

use super::disk::Event;
use super::replay::FaultyCall;
use super::session::shared;
use super::storage::{Fault, Log};
use crate::base::TransactionId;
use crate::db::Db;

/// What recovery did.
pub(super) struct Recovery {
    pub(super) events: Vec<Event>,
    /// The newest transaction that it found in the file.
    pub(super) found: TransactionId,
    /// Newest at its end. It has the state of `found`, and is another transaction if there was something to replay.
    pub(super) newest: TransactionId,
    reads: usize,
    stores: usize,
    grows: usize,
}

impl Recovery {
    /// Returns what the recovery of `db` did, which has just been opened.
    pub(super) fn of(db: &Db, log: &mut Log) -> Recovery {
        let events = std::mem::take(&mut log.events);
        let newest = shared(db).newest_id();
        let found = found_in(&events).unwrap_or(newest);
        Recovery { events, found, newest, reads: log.reads, stores: log.stores, grows: log.grows }
    }

    /// Returns every call that can fail, with each fault that can hit it. `FlippedBit` is left out, because a bit
    /// that is flipped when it is read is like one that is flipped on the disk; `Cut` is, because recovery does not cut
    /// the file.
    pub(super) fn calls(&self) -> Vec<FaultyCall> {
        let is_barrier = |event: &&Event| matches!(event, Event::BarrierBegins { .. });
        let kinds = [
            (Fault::Read, self.reads),
            (Fault::Store, self.stores),
            (Fault::StoreNoSpace, self.stores),
            (Fault::Barrier, self.events.iter().filter(is_barrier).count()),
            (Fault::Grow, self.grows),
        ];
        kinds.into_iter().flat_map(|(fault, count)| (0..count).map(move |call| (fault, call))).collect()
    }
}

/// Returns the newest transaction that recovery has found, from the calls that it has made; `None` if it has not ended.
pub(super) fn found_in(recovery: &[Event]) -> Option<TransactionId> {
    recovery.iter().rev().find_map(|event| match event {
        Event::Acknowledged(id) => Some(*id),
        _ => None,
    })
}
