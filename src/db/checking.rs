//! How a database is checked.

use crate::check::{self, CheckReport, PageCounts, PageUse};
use crate::db::Db;
use crate::error::Result;

type OnPages<'a> = Box<dyn FnMut(&PageUse<'_>, &PageCounts) + 'a>;

/// A check that shows what it finds on its way. Made by [`Db::check_options`].
///
/// ```
/// use mapleaf::admin::PageRole;
/// use mapleaf::{Db, Table};
/// const HITS: Table<u64, u64> = Table::new("hits");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| (0..1000).try_for_each(|key| tx.table(&HITS)?.insert(key, 0).map(drop)))?;
///
/// let (mut leaves, mut pages) = (0, 0);
/// let report = db
///     .check_options()
///     .on_pages(|found, so_far| {
///         pages += found.count;
///         leaves += u32::from(found.role == PageRole::Leaf && found.table == Some("hits"));
///         println!("{pages} of {} pages", so_far.total);
///     })
///     .check()?;
/// assert_eq!((leaves, pages), (report.counts().leaves - 1, report.counts().total)); // one leaf is the catalog's
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[must_use = "options do nothing until `check` is called"]
pub struct CheckOptions<'a> {
    db: &'a Db,
    on_pages: Option<OnPages<'a>>,
}

impl std::fmt::Debug for CheckOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckOptions").finish_non_exhaustive()
    }
}

impl<'a> CheckOptions<'a> {
    pub(super) fn new(db: &'a Db) -> CheckOptions<'a> {
        CheckOptions { db, on_pages: None }
    }

    /// Calls `each` with the use of each page, or extent of pages, when it is found, and with the counts so far, of
    /// which `total` is the file's: pages of trees in the order of their keys, then pages of free space. In a sound
    /// file it is called once for every page. It is not called for damaged or lost pages.
    pub fn on_pages(mut self, each: impl FnMut(&PageUse<'_>, &PageCounts) + 'a) -> Self {
        self.on_pages = Some(Box::new(each));
        self
    }

    /// Checks the database as [`Db::check`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Db::check`].
    pub fn check(self) -> Result<CheckReport> {
        let core = &self.db.handle.core;
        match self.on_pages {
            Some(mut on_pages) => check::check(core, &mut *on_pages),
            None => check::check(core, &mut |_, _| {}),
        }
    }
}
