//! What pages are used for, page by page: for maps and statistics of a file.

use crate::base::{Extent, TransactionId};
use crate::format::page::PageKind;
use crate::tree::walk::VisitedPages;

/// What some consecutive pages are used for: see [`Db::check_options`](crate::Db::check_options).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PageUse<'a> {
    /// The first of the pages.
    pub first: u32,
    /// The number of pages: 1 for a node of a tree, 1 or more for a large value or for free pages.
    pub count: u32,
    /// What they are used for.
    pub role: PageRole,
    /// The table that they belong to; `None` for the catalog and for pages of no tree.
    pub table: Option<&'a str>,
    /// The transaction that wrote them; `None` for meta pages and free pages.
    pub birth: Option<TransactionId>,
    /// Bytes in use, headers included; 0 for pages of no tree.
    pub used_bytes: u64,
}

/// What a page is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PageRole {
    /// A meta page: one of the first two pages.
    Meta,
    /// Entries of a table, or of the catalog.
    Leaf,
    /// Keys that lead to leaves.
    Branch {
        /// How far it is above the leaves: 1 if its children are leaves.
        level: u8,
    },
    /// A large value.
    Overflow,
    /// The log of free space.
    FreeLog,
    /// The redo log.
    RedoLog,
    /// Not used by the newest transaction, but by older snapshots: those from [`PageUse::birth`] up to `death`,
    /// exclusive.
    Retired {
        /// The transaction that stopped using it.
        death: TransactionId,
        /// Whether one of these snapshots is being read, or is the checkpointed one. If not, the next writer may
        /// reuse the page.
        is_needed: bool,
    },
    /// Free.
    Free,
}

impl<'a> PageUse<'a> {
    /// Returns the use of pages of no tree.
    pub(super) fn of_none(run: Extent, role: PageRole, birth: Option<TransactionId>) -> PageUse<'a> {
        PageUse { first: run.first.0, count: run.count, role, table: None, birth, used_bytes: 0 }
    }

    /// Returns the use of pages that a walk through the tree of `table` has found.
    pub(crate) fn of_tree(pages: &VisitedPages, table: Option<&'a str>) -> PageUse<'a> {
        let role = match pages.header.kind {
            PageKind::Leaf => PageRole::Leaf,
            PageKind::Branch => PageRole::Branch { level: pages.header.level },
            PageKind::Overflow => PageRole::Overflow,
            PageKind::FreeLog => PageRole::FreeLog,
        };
        let birth = Some(pages.header.birth);
        PageUse { table, used_bytes: pages.used_bytes, ..PageUse::of_none(pages.run, role, birth) }
    }
}
