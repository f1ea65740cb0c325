//! Making the file shorter while others read and write.

use std::fmt;
use std::sync::Arc;

use crate::db::Db;
use crate::error::Result;
use crate::txn::compaction::{CompactionProgress, Compactor, cut};
use crate::txn::database::DbHandle;

/// Pages that a step takes, at most, if not told otherwise.
const STEP_PAGES: u32 = 256;

impl Db {
    /// Makes the file as short as it can be without writing every table anew: moves pages from its end to free space
    /// further down, step by step, and cuts off the end. Others read and write meanwhile: each step is a write
    /// transaction of its own, of 1 MiB or so. Answers how far it came.
    ///
    /// The file gets shorter when no snapshot is left that may look at its end: after the last reader that began before
    /// the end, with the next commit, sync or close. How full pages are does not change; for that there is
    /// [`ReadTxn::compact_to`](crate::ReadTxn::compact_to).
    ///
    /// # Errors
    ///
    /// Those of [`Db::write`] and of [`WriteTxn::commit`](crate::WriteTxn::commit). What has been moved before stays
    /// where it is.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const HITS: Table<u64, [u8]> = Table::new("hits");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| (0..20_000).try_for_each(|key| tx.table(&HITS)?.insert(key, [7; 100]).map(drop)))?;
    /// db.update(|tx| tx.table(&HITS)?.remove_range(1_000..19_000))?;
    ///
    /// let before = db.stats()?.file_bytes;
    /// let progress = db.compact()?;
    /// assert!(progress.moved_pages > 0);
    /// assert!(db.stats()?.file_bytes < before / 4);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn compact(&self) -> Result<CompactionProgress> {
        let mut compaction = self.compaction();
        let mut progress = CompactionProgress::default();
        while let Some(step) = compaction.next().transpose()? {
            progress = step;
        }
        Ok(progress)
    }

    /// [`Db::compact`], step by step: each item is what has been done so far. It can be dropped after any of them: then
    /// what has been moved stays where it is, and [`Db::shrink`] cuts off what is free at the end.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, [u8]> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| (0..20_000).try_for_each(|key| tx.table(&HITS)?.insert(key, [7; 100]).map(drop)))?;
    /// # db.update(|tx| tx.table(&HITS)?.remove_range(1_000..19_000))?;
    /// for progress in db.compaction().step_pages(64) {
    ///     let progress = progress?;
    ///     println!("{} pages moved, {} to be moved", progress.moved_pages, progress.remaining_pages);
    ///     if progress.moved_pages > 200 {
    ///         break;
    ///     }
    /// }
    /// db.shrink()?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn compaction(&self) -> Compaction {
        Compaction { handle: Arc::clone(&self.handle), compactor: Compactor::new(STEP_PAGES), is_over: false }
    }

    /// Gives free pages at the end of the file back to the system, all but some for the next commits. Answers whether
    /// there were any. Moves nothing; what a commit leaves free at the end is given back without being asked if it is
    /// much. The file is cut when no snapshot is left that may look at its end.
    ///
    /// # Errors
    ///
    /// Those of [`Db::write`] and of [`WriteTxn::commit`](crate::WriteTxn::commit).
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, [u8]> = Table::new("hits");
    /// let db = Db::in_memory()?;
    /// db.update(|tx| (0..4_000).try_for_each(|key| tx.table(&HITS)?.insert(key, [7; 100]).map(drop)))?;
    /// db.update(|tx| tx.table(&HITS)?.remove_range(2_500..))?;
    ///
    /// let before = db.stats()?.file_bytes;
    /// assert!(db.shrink()?);
    /// assert!(db.stats()?.file_bytes < before);
    /// assert!(!db.shrink()?);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn shrink(&self) -> Result<bool> {
        cut(&self.handle)
    }
}

/// A compaction under way, from [`Db::compaction`]: an iterator over its steps.
#[must_use = "nothing is moved but by its steps"]
pub struct Compaction {
    handle: Arc<DbHandle>,
    compactor: Compactor,
    is_over: bool,
}

impl Compaction {
    /// How many pages a step may take: 256 if nothing is said, 32 at least. (A large value is moved in one step,
    /// however large it is.) More are faster; fewer make others wait for less time.
    pub fn step_pages(mut self, pages: u32) -> Compaction {
        self.compactor = Compactor::new(pages);
        self
    }
}

impl fmt::Debug for Compaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compaction").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl Iterator for Compaction {
    type Item = Result<CompactionProgress>;

    fn next(&mut self) -> Option<Result<CompactionProgress>> {
        if self.is_over {
            return None;
        }
        let step = self.compactor.step(&self.handle);
        self.is_over = step.as_ref().map_or(true, |progress| progress.is_done);
        Some(step)
    }
}
