//! The live readers, how long they have read, and which pages that keeps from being used again.
//!
//! Invariant: pages are never taken from under a live reader, however old it is: its slices would change (I1). So a
//! reader that lags can only be reported.

use std::time::Duration;

use crate::error::Result;
use crate::shm::reader_table::LiveReader;
use crate::sys::coarse_milliseconds;
use crate::txn::database::Database;
use crate::txn::file_locks::{FileLocks, Wait};
use crate::txn::free_space::load_free_space;
use crate::txn::reader_info::{ReaderInfo, ReaderLimit};
use crate::txn::writer_lock::WriterState;

fn info(reader: &LiveReader, pinned_pages: Option<u32>) -> ReaderInfo {
    let age = coarse_milliseconds().saturating_sub(reader.since_milliseconds);
    ReaderInfo {
        pid: reader.pid,
        snapshot: reader.snapshot,
        age: Duration::from_millis(age),
        pinned_pages,
        holds_off_writers: false,
    }
}

impl Database {
    /// All live readers, oldest snapshot first.
    pub(crate) fn readers(&self) -> Result<Vec<ReaderInfo>> {
        self.check_not_forked()?;
        let mut readers = self.seen_readers()?;
        let is_held_off = self.locks.as_ref().map_or(Ok(false), FileLocks::is_held_off);
        if is_held_off.map_err(self.pages.io_error("lock"))? {
            // No transaction has been committed since it came.
            let snapshot = self.shared.visible();
            let (age, pinned_pages) = (Duration::ZERO, None);
            readers.push(ReaderInfo { pid: 0, snapshot, age, pinned_pages, holds_off_writers: true });
        }
        Ok(readers)
    }

    fn seen_readers(&self) -> Result<Vec<ReaderInfo>> {
        let seat = if self.is_read_only() { None } else { self.lock_writer(Wait::No)? };
        let Some(mut seat) = seat else {
            return Ok(sorted(self.shared.reader_list()?.iter().map(|reader| info(reader, None)).collect()));
        };
        self.reap_dead_readers()?;
        self.readers_with_pins(&mut seat, |_| true)
    }

    /// The readers that are `wanted`. The caller must hold the writer lock, between transactions.
    fn readers_with_pins(
        &self,
        state: &mut WriterState,
        wanted: impl Fn(&LiveReader) -> bool,
    ) -> Result<Vec<ReaderInfo>> {
        self.pages.storage.refresh_length().map_err(self.pages.io_error("examine"))?;
        let space =
            &mut load_free_space(&self.pages, &self.shared, &mut state.log, &self.shared.newest_snapshot()?)?
                .space;
        let protected = self.shared.protected()?;
        space.reclaim(&protected)?;
        let pins = |reader: &LiveReader| Some(space.pinned_by_reader(reader.snapshot, &protected));
        let readers = self.shared.reader_list()?;
        let wanted = readers.iter().filter(|reader| wanted(reader));
        Ok(sorted(wanted.map(|reader| info(reader, pins(reader))).collect()))
    }

    /// Readers that have become too old and have not been reported to the application; [`Database::report`] does
    /// that. Called at the beginning of a write transaction.
    pub(crate) fn new_old_readers(&self, state: &mut WriterState) -> Result<Vec<ReaderInfo>> {
        let Some(ReaderLimit { max_age, .. }) = self.reader_limit.get() else { return Ok(Vec::new()) };
        let mut old = self.shared.reader_list()?;
        old.retain(|reader| info(reader, None).age > *max_age);
        state.reported_readers.retain(|reported| old.contains(reported));
        old.retain(|reader| !state.reported_readers.contains(reader));
        if old.is_empty() {
            return Ok(Vec::new());
        }
        self.reap_dead_readers()?;
        let readers = self.readers_with_pins(state, |reader| old.contains(reader))?;
        state.reported_readers.extend(old);
        Ok(readers)
    }

    /// Calls the application's callback. The caller must not hold the writer lock: the callback may write.
    pub(crate) fn report(&self, old: &[ReaderInfo]) {
        if let Some(limit) = self.reader_limit.get() {
            old.iter().for_each(|reader| (limit.callback)(reader));
        }
    }
}

fn sorted(mut readers: Vec<ReaderInfo>) -> Vec<ReaderInfo> {
    readers.sort_by_key(|reader| (reader.snapshot, reader.pid));
    readers
}
