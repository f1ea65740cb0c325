//! Sizes and transaction ids of a database, and its unused pages.

use crate::check::{self, PageUse};
use crate::db::Db;
use crate::error::Result;

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
    /// Some may have become free since; [`Db::unused_pages`] counts them now.
    pub retired_pages: u32,
    /// Id of the newest transaction.
    pub newest: u64,
    /// Id of the newest transaction that readers see.
    pub visible: u64,
    /// Id of the newest durable transaction.
    pub durable: u64,
    /// Tables in the visible snapshot.
    pub tables: u64,
    /// Live read transactions, in all processes.
    pub readers: usize,
    /// Id of the oldest snapshot that a read transaction holds.
    pub oldest_reader: Option<u64>,
    /// Barriers (`msync`) that this handle has issued since it opened the database, including those of recovery.
    pub syncs: u64,
    /// Bytes of pages and meta pages that this handle has stored since it opened the file. The zeros by which the
    /// file grows do not count.
    pub written_bytes: u64,
}

impl Stats {
    pub(super) fn of(db: &Db) -> Result<Stats> {
        let core = &db.handle.core;
        core.check_not_forked()?;
        let mut readers = 0;
        let mut oldest_reader: Option<u64> = None;
        core.shared.read_snapshots(|id| {
            readers += 1;
            oldest_reader = Some(oldest_reader.map_or(id.0, |oldest| oldest.min(id.0)));
        })?;
        let tables = core.shared.visible_snapshot()?.catalog.entries; // a word: no reader slot is needed
        // Newest is read last, and is at least what the others were.
        let (durable, visible) = (core.shared.durable().0, core.shared.visible().0);
        let newest = core.shared.newest()?;
        Ok(Stats {
            page_size: core.pages.page_size,
            file_bytes: core.pages.storage.mapping().mapped_length(),
            pages: newest.snapshot.length_pages,
            free_pages: newest.space.free_pages,
            retired_pages: newest.space.retired_pages,
            newest: newest.snapshot.id.0,
            visible,
            durable,
            tables,
            readers,
            oldest_reader,
            syncs: core.pages.barrier_count(),
            written_bytes: core.pages.written_bytes(),
        })
    }
}

impl Db {
    /// Calls `each` with the pages that the newest transaction does not use: free pages, and retired pages with
    /// whether a snapshot needs them. It reads only the description of free space. The counts equal those of
    /// [`Db::check`].
    ///
    /// # Errors
    ///
    /// Those of [`Db::check`], and [`Error::Corrupt`](crate::Error::Corrupt) if the description of free space is
    /// damaged.
    ///
    /// ```
    /// use mapleaf::{Db, PageRole, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| (0..1000).try_for_each(|key| tx.table(&HITS)?.insert(key, 0).map(drop)))?;
    /// db.update(|tx| tx.table(&HITS)?.clear())?;
    /// let mut free = 0;
    /// db.unused_pages(|page| match page.role {
    ///     PageRole::Retired { is_needed: true, .. } => {}
    ///     _ => free += page.count,
    /// })?;
    /// assert_eq!(free, db.check()?.counts().free);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn unused_pages(&self, each: impl FnMut(&PageUse<'_>)) -> Result<()> {
        check::unused_pages(&self.handle.core, each)
    }
}
