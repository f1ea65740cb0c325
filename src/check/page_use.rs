//! What pages are used for: told page by page, for pictures and figures of a file.

use crate::base::Extent;
use crate::format::page::PageKind;
use crate::tree::walk::VisitedPages;

/// What some pages that follow each other are used for: see [`Db::check_pages`](crate::Db::check_pages).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PageUse<'a> {
    /// The first of the pages.
    pub first: u32,
    /// How many they are: 1 for a node of a tree, as many as they are for a large value or a run of free pages.
    pub count: u32,
    /// What they are used for.
    pub role: PageRole,
    /// The table that they belong to; `None` for the catalog, and for what belongs to no tree.
    pub table: Option<&'a str>,
    /// The transaction that wrote them; `None` for records and free pages.
    pub birth: Option<u64>,
    /// Bytes in use, headers included, of pages of trees; 0 for others.
    pub used_bytes: u64,
}

/// What a page is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PageRole {
    /// It has room for a record: the first two pages.
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
    /// Not used by the newest transaction, but by snapshots: those from [`PageUse::birth`] up to, and without, `death`.
    Retired {
        /// The transaction that did without it.
        death: u64,
        /// Whether one of these snapshots is read just now, or is the durable one. If not, the page is as good as free:
        /// whoever writes next may use it.
        is_needed: bool,
    },
    /// Free.
    Free,
}

impl<'a> PageUse<'a> {
    /// Of pages that belong to no tree.
    pub(super) fn of_none(run: Extent, role: PageRole, birth: Option<u64>) -> PageUse<'a> {
        PageUse { first: run.first.0, count: run.count, role, table: None, birth, used_bytes: 0 }
    }

    /// Of pages that a walk through the tree of `table` has found.
    pub(crate) fn of_tree(pages: &VisitedPages, table: Option<&'a str>) -> PageUse<'a> {
        let role = match pages.header.kind {
            PageKind::Leaf => PageRole::Leaf,
            PageKind::Branch => PageRole::Branch { level: pages.header.level },
            PageKind::Overflow => PageRole::Overflow,
            PageKind::FreeLog => PageRole::FreeLog,
        };
        let birth = Some(pages.header.birth.0);
        PageUse { table, used_bytes: pages.used_bytes, ..PageUse::of_none(pages.run, role, birth) }
    }
}
