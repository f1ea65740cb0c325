//! A read transaction: a protected snapshot, read in place.
//!
//! Invariants:
//! - I1: from `begin` to drop the snapshot's pages do not change. It stands in the reader table.
//! - I8: no lock and no system call, to begin, to read or to end.
//! - I5: every page number is compared with the snapshot's own length before it is followed, and the page's birth
//!   with the snapshot.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::{PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::meta::Identity;
use crate::format::page::{self, HEADER_LEN};
use crate::shm::reader_table::ReaderSlot;
use crate::shm::watermarks::Snapshot;
use crate::tree::pages::PageSource;
use crate::txn::database::DbHandle;
use crate::txn::page_file::PageFile;

pub(crate) struct SnapshotReader {
    handle: Arc<DbHandle>,
    slot: ReaderSlot,
    pub(crate) snapshot: Snapshot,
}

impl SnapshotReader {
    #[inline(always)]
    pub(crate) fn begin(handle: &Arc<DbHandle>) -> Result<SnapshotReader> {
        handle.core.check_not_forked()?;
        let (slot, snapshot) = handle.core.shared.begin_read(handle.core.handle)?;
        let reader = SnapshotReader { handle: Arc::clone(handle), slot, snapshot };
        reader.pages().check_layer(&snapshot)?;
        Ok(reader)
    }

    /// Begins to read the snapshot with this name.
    pub(crate) fn begin_named(handle: &Arc<DbHandle>, name: &str) -> Result<SnapshotReader> {
        let (slot, snapshot) = handle.core.begin_read_named(name)?;
        Ok(SnapshotReader::of_slot(handle, slot, snapshot))
    }

    /// Reads `snapshot`, which stands in `slot`.
    pub(super) fn of_slot(handle: &Arc<DbHandle>, slot: ReaderSlot, snapshot: Snapshot) -> SnapshotReader {
        SnapshotReader { handle: Arc::clone(handle), slot, snapshot }
    }

    /// Returns an error in a forked child: what the parent reads is protected only while the parent reads it.
    #[inline]
    pub(crate) fn check_not_forked(&self) -> Result<()> {
        self.handle.core.check_not_forked()
    }

    /// Returns `page`, unless it was born after the snapshot that leads to it: then it has been used again. That
    /// takes damage: if the newest meta's pages have rotted, recovery chooses an older meta, which is no longer
    /// protected.
    #[inline(always)]
    fn born_in_time<'a>(&self, number: PageNumber, page: &'a [u8]) -> Result<&'a [u8]> {
        match page.first_chunk::<HEADER_LEN>() {
            Some(header) if page::birth(header) <= self.snapshot.id => Ok(page),
            _ => Err(born_too_late(number, page, self.snapshot.id)),
        }
    }

    /// The identity of the database.
    pub(crate) fn identity(&self) -> Identity {
        self.handle.core.identity
    }

    /// Makes a checkpoint that is not older than the snapshot, unless there is one or the handle may not write. Returns
    /// whether there is one. Only then does the database have the snapshot's pages after loss of power: a replay of the
    /// log puts the same content into others.
    pub(crate) fn is_checkpointed(&self) -> bool {
        let core = &self.handle.core;
        let is_reached = || core.shared.checkpointed() >= self.snapshot.id;
        // What a handle that may not write has replayed, it has for itself alone.
        let is_private = core.is_read_only() && core.checkpoint_count.load(Relaxed) > 0;
        !is_private && is_reached()
            || (!core.is_read_only() && core.checkpoint_through(self.snapshot.id).is_ok() && is_reached())
    }

    pub(crate) fn pages(&self) -> &PageFile {
        &self.handle.core.pages
    }
}

#[cold]
fn born_too_late(number: PageNumber, page: &[u8], snapshot: TransactionId) -> Error {
    let expected = format_args!("transaction {snapshot} at most");
    corrupt(Some(number.0), "birth of a page", expected, page::birth(page))
}

impl Drop for SnapshotReader {
    #[inline]
    fn drop(&mut self) {
        // In a forked child the slot is the parent's.
        if !self.handle.core.fork.is_inherited() {
            self.handle.core.shared.end_read(self.slot);
        }
    }
}

impl PageSource for SnapshotReader {
    #[inline]
    fn page_size(&self) -> usize {
        self.handle.core.pages.page_size
    }

    fn page_count(&self) -> u32 {
        self.snapshot.length_pages
    }

    #[inline(always)]
    fn page(&self, number: PageNumber) -> Result<&[u8]> {
        self.born_in_time(number, self.handle.core.pages.page(number, self.snapshot.length_pages)?)
    }

    fn overflow(&self, first: PageNumber) -> Result<&[u8]> {
        self.born_in_time(first, self.handle.core.pages.overflow(first, self.snapshot.length_pages)?)
    }

    fn overflow_page_count(&self, first: PageNumber) -> Result<u32> {
        self.handle.core.pages.overflow_page_count(first, self.snapshot.length_pages)
    }

    #[inline(always)]
    fn prefetch(&self, number: PageNumber) {
        self.handle.core.pages.prefetch(number);
    }

    fn prefetch_whole(&self, number: PageNumber) {
        self.handle.core.pages.prefetch_whole(number);
    }

    fn peek(&self, number: PageNumber) -> &[u8] {
        self.handle.core.pages.peek(number)
    }
}
