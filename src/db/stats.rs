//! Sizes and transaction ids of a database, and its unused pages.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::base::{Lsn, TransactionId};
use crate::db::Db;
use crate::error::Result;
use crate::sys::coarse_milliseconds;

/// Sizes and transaction ids of a database, as [`Db::stats`] found them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Size of a page, in bytes.
    pub page_size: usize,
    /// Length of the file, in bytes, including free pages and space reserved for growth.
    pub file_bytes: u64,
    /// Pages in the file, as of the newest transaction.
    pub pages: u32,
    /// Free pages, as the newest transaction counted them.
    pub free_pages: u32,
    /// Pages that the newest transaction does not use but a snapshot may, as the newest transaction counted them.
    /// Some may have become free since; [`admin::unused_pages`](crate::admin::unused_pages) counts them now.
    pub retired_pages: u32,
    /// Id of the newest transaction.
    pub newest: TransactionId,
    /// Id of the newest transaction that readers see.
    pub visible: TransactionId,
    /// Id of the newest durable transaction.
    pub durable: TransactionId,
    /// Id of the transaction of the last checkpoint: after a crash, replay of the redo log begins there.
    pub checkpointed: TransactionId,
    /// Length of the redo log's ring, in bytes; 0 if the file has none.
    pub log_bytes: u64,
    /// Bytes in the redo log since the last checkpoint: what replay would read. At half of `log_bytes` a checkpoint is
    /// due.
    pub log_used_bytes: u64,
    /// Bytes at the redo log's end, of lazy and waiting commits, that are not durable yet.
    pub log_unsynced_bytes: u64,
    /// Checkpoints that all handles have made since the database was opened, by the first of those that are open.
    pub checkpoints: u64,
    /// Those of them that this handle has made.
    pub own_checkpoints: u64,
    /// How long ago the last one of `checkpoints` was made; `None` if there was none.
    pub checkpoint_age: Option<Duration>,
    /// Tables in the visible snapshot.
    pub tables: u64,
    /// Named snapshots, as of the last checkpoint. [`Db::snapshots`] returns them one by one.
    pub named_snapshots: usize,
    /// Those of the retired pages that named snapshots need, as of the last checkpoint.
    pub named_snapshot_pages: u32,
    /// Live read transactions, in all processes.
    pub readers: usize,
    /// Id of the oldest snapshot that a read transaction holds.
    pub oldest_reader: Option<TransactionId>,
    /// Barriers (`msync` or `fdatasync`) that this handle has issued since it opened the database, including those of
    /// recovery and of checkpoints.
    pub syncs: u64,
    /// Bytes of pages, meta pages and redo records that this handle has stored since it opened the file. The zeros by
    /// which the file grows do not count.
    pub written_bytes: u64,
}

impl Stats {
    pub(super) fn of(db: &Db) -> Result<Stats> {
        let core = &db.handle.core;
        core.check_not_forked()?;
        let mut readers = 0;
        let mut oldest_reader: Option<TransactionId> = None;
        core.shared.read_snapshots(|id| {
            readers += 1;
            oldest_reader = Some(oldest_reader.map_or(id, |oldest| oldest.min(id)));
        })?;
        let tables = core.shared.visible_snapshot()?.catalog.entries; // a word: no reader slot is needed
        // Newest is read last, and is at least what the others were.
        let (durable, visible) = (core.shared.durable(), core.shared.visible());
        let (checkpointed, log_start) = (core.shared.checkpointed(), core.shared.log_start());
        let synced = core.shared.synced();
        let (checkpoints, milliseconds) = core.shared.checkpoints();
        let newest = core.shared.newest()?;
        // Below the ring's base the log lies in the ring before it, which is checkpointed.
        let log_above = |from: Lsn| {
            newest
                .log
                .ring
                .map_or(0, |ring| newest.log.end.0.saturating_sub(from.max(log_start).max(ring.base).0))
        };
        // A file without names costs no look at its free space.
        let (named_snapshots, named_snapshot_pages) = match newest.space.has_names {
            true => core.counts_of_names()?,
            false => (0, 0),
        };
        Ok(Stats {
            page_size: core.pages.page_size,
            file_bytes: core.pages.storage.mapping().mapped_length(),
            pages: newest.snapshot.length_pages,
            free_pages: newest.space.free_pages,
            retired_pages: newest.space.retired_pages,
            newest: newest.snapshot.id,
            visible,
            durable,
            checkpointed,
            log_bytes: newest.log.ring.map_or(0, |ring| ring.length_bytes(core.pages.page_size)),
            log_used_bytes: log_above(log_start),
            log_unsynced_bytes: log_above(synced),
            checkpoints,
            own_checkpoints: core.checkpoint_count.load(Relaxed),
            checkpoint_age: (checkpoints > 0)
                .then(|| Duration::from_millis(coarse_milliseconds().saturating_sub(milliseconds))),
            tables,
            named_snapshots,
            named_snapshot_pages,
            readers,
            oldest_reader,
            syncs: core.pages.barrier_count(),
            written_bytes: core.pages.written_bytes(),
        })
    }
}
