//! Shortening the file while others read and write.

use std::fmt;
use std::sync::Arc;

use crate::db::Db;
use crate::error::Result;
use crate::txn::compaction::{CompactionProgress, Compactor, cut};
use crate::txn::database::DbHandle;

/// The maximum of pages that a step moves, if [`Compaction::step_pages`] is not called.
const STEP_PAGES: u32 = 256;

impl Db {
    /// Makes the file as short as is possible without rewriting every table: moves pages from its end to free space
    /// further down, step by step, and truncates the file. Others can read and write meanwhile: each step is a
    /// separate write transaction of about 1 MiB. Returns what was done.
    ///
    /// The file becomes shorter when no snapshot needs its end: with the next commit, sync or close after the last
    /// reader that began before the compaction ended. The fill of pages does not change;
    /// [`CopyOptions::compact`](crate::CopyOptions::compact) makes a copy with full pages.
    ///
    /// A live file grows again by what its commits need. They need pages for the new state while the old one is not
    /// given up, and they store pages that lie together faster: so the file grows until an eighth of it is unused (a
    /// quarter if it is longer than 16 MiB), unless all commits are small.
    ///
    /// A page that moves is a new page. The next increment since an earlier transaction
    /// ([`CopyOptions::since`](crate::CopyOptions::since)) therefore has all pages that moved, and the branches
    /// above them; increments after that are small again. Compact just before a full copy is made.
    ///
    /// Pages that a named snapshot needs stay where they are. Moving what newer transactions share with it frees
    /// nothing before the name is [dropped](Db::drop_snapshot).
    ///
    /// # Errors
    ///
    /// Those of [`Db::write`] and of [`WriteTxn::commit`](crate::WriteTxn::commit). Earlier steps remain done.
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

    /// Returns an iterator that compacts as [`Db::compact`] does, one step for each item. An item is the progress so
    /// far. The iterator can be dropped after any step: pages that were moved stay where they are, and [`Db::shrink`]
    /// truncates the free end of the file.
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

    /// Returns free pages at the end of the file to the system, except some for the next commits. Returns `true` if
    /// there were any. It moves no pages. A commit that leaves much space free at the end does this by itself. The
    /// file is truncated when no snapshot needs its end.
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

/// An iterator over the steps of a compaction. Made by [`Db::compaction`].
#[must_use = "iterators are lazy: a page is moved only when the next step is taken"]
pub struct Compaction {
    handle: Arc<DbHandle>,
    compactor: Compactor,
    is_over: bool,
}

impl Compaction {
    /// Sets how many pages a step may move: 256 by default, 32 at least. (A large value is moved in one step,
    /// whatever its size.) Larger steps are faster; smaller ones make other writers wait for less time.
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
