//! Finds what has changed since a transaction: the pages born after it, and the older pages that these refer to.
//!
//! If a page is not younger than the transaction, neither is any page below it, because a page is replaced whenever
//! one below it is. Such a page is also where it was at that transaction: a page keeps its number and its bytes from
//! its birth until it is replaced (I1, I2). So the walk reads the younger pages, and only the headers of the older
//! pages that they refer to. The work is in proportion to the number of changed pages times the number of children of
//! a branch, not to the size of the database.
//!
//! Invariant (I5): each younger page is visited once at most, so the walk ends whatever the pages refer to.

use crate::base::{ChildRef, Extent, PageNumber, PageSet, TransactionId};
use crate::check::VerifyingSource;
use crate::error::{Result, corrupt};
use crate::format::branch::BranchView;
use crate::format::catalog::TableEntry;
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::node::NodeView;
use crate::format::overflow;
use crate::format::page;
use crate::format::tree_root::TreeRoot;
use crate::shm::watermarks::Snapshot;
use crate::tree::nodes::{resolve, view};
use crate::tree::pages::PageSource;

/// The pages that have changed.
pub(super) struct Changes {
    /// Younger pages, each verified.
    pub(super) young: PageSet,
    /// Older pages that younger ones refer to, with the checksums in their headers.
    pub(super) kept: Vec<(PageNumber, u32)>,
}

impl Changes {
    /// Finds what has changed in `snapshot` since transaction `since`.
    pub(super) fn find(
        source: VerifyingSource<'_>,
        snapshot: &Snapshot,
        since: TransactionId,
    ) -> Result<Changes> {
        let changes = Changes { young: PageSet::new(snapshot.length_pages)?, kept: Vec::new() };
        let mut walk = Walk { source, since, changes, in_catalog: true, roots: Vec::new() };
        walk.tree(&snapshot.catalog)?;
        walk.in_catalog = false;
        for root in std::mem::take(&mut walk.roots) {
            walk.tree(&root)?;
        }
        Ok(walk.changes)
    }
}

struct Walk<'a> {
    source: VerifyingSource<'a>,
    since: TransactionId,
    changes: Changes,
    in_catalog: bool,
    /// The roots of the tables in younger leaves of the catalog.
    roots: Vec<TreeRoot>,
}

impl Walk<'_> {
    fn tree(&mut self, root: &TreeRoot) -> Result<()> {
        match root.depth.checked_sub(1) {
            Some(level) => self.node(ChildRef(root.page.0), level),
            None => Ok(()),
        }
    }

    /// Returns the page's number if it is younger and was not visited before. Reads only its header.
    fn is_new(&mut self, at: ChildRef) -> Result<Option<PageNumber>> {
        let Some(number) = at.page() else {
            return Err(corrupt(None, "page number", format_args!("below {}", PageNumber::LIMIT), at.0));
        };
        let header = self.source.pages.header(number, self.source.length_pages)?;
        if page::birth(header) <= self.since {
            self.changes.kept.push((number, page::stored_checksum(header)));
            return Ok(None);
        }
        Ok(Some(number).filter(|&number| self.changes.young.insert(number)))
    }

    fn node(&mut self, at: ChildRef, level: u8) -> Result<()> {
        let Some(number) = self.is_new(at)? else { return Ok(()) };
        let source = self.source;
        let page = source.page(number)?;
        if level > 0 {
            let branch: BranchView<'_> = view(page, level)?;
            return (0..branch.child_count())
                .try_for_each(|index| self.node(branch.child(index)?, level - 1));
        }
        let leaf: LeafView<'_> = view(page, 0)?;
        (0..leaf.count()).try_for_each(|index| {
            let value = leaf.value(index)?;
            if let LeafValue::Overflow { first, .. } = value {
                self.overflow_run(first)?;
            }
            if self.in_catalog {
                self.roots.push(TableEntry::decode(resolve(&source, value)?)?.root);
            }
            Ok(())
        })
    }

    fn overflow_run(&mut self, at: ChildRef) -> Result<()> {
        let Some(first) = self.is_new(at)? else { return Ok(()) };
        let run = self.source.overflow(first)?;
        let count = overflow::checked_page_count(run, self.source.page_size())?;
        self.changes.young.insert_run(Extent { first, count });
        Ok(())
    }
}
