//! Visits the pages of a snapshot's trees that were born after some transaction, and no others.
//!
//! A page is replaced whenever a page below it is, so nothing below an older page is newer. The walk therefore reads
//! the new pages, and only the headers of the older pages that they refer to.
//!
//! Invariant (I5): each page is visited once at most, so the walk ends whatever the pages refer to.

use std::collections::HashSet;

use crate::base::{ChildRef, Extent, PageNumber, TransactionId};
use crate::error::Result;
use crate::format::branch::BranchView;
use crate::format::catalog::TableEntry;
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::node::NodeView;
use crate::format::overflow;
use crate::format::page;
use crate::tree::nodes::{finished, view};
use crate::tree::pages::{PageSource, TreeRoot};

/// Receives what the walk finds.
pub(crate) trait NewerPages {
    /// A page or an overflow extent that was born after the transaction.
    fn page(&mut self, run: Extent) -> Result<()>;

    /// A page, or the first page of an overflow extent, to which a new page refers and which is not newer than the
    /// transaction.
    fn older_page(&mut self, _number: PageNumber) -> Result<()> {
        Ok(())
    }
}

/// Visits the pages of `catalog`, and of the tables that its new leaves name, that were born after `than`. (A table
/// whose entry in the catalog is older has no newer page.)
pub(crate) fn walk_newer<S: PageSource>(
    source: &S,
    catalog: &TreeRoot,
    than: TransactionId,
    visitor: &mut impl NewerPages,
) -> Result<()> {
    let mut walk = Walk { source, than, visitor, seen: HashSet::new(), in_catalog: true, tables: Vec::new() };
    walk.tree(catalog)?;
    walk.in_catalog = false;
    std::mem::take(&mut walk.tables).iter().try_for_each(|table| walk.tree(table))
}

struct Walk<'a, S, V> {
    source: &'a S,
    than: TransactionId,
    visitor: &'a mut V,
    seen: HashSet<PageNumber>,
    /// Whether values are entries of the catalog.
    in_catalog: bool,
    /// The tables in new leaves of the catalog.
    tables: Vec<TreeRoot>,
}

impl<S: PageSource, V: NewerPages> Walk<'_, S, V> {
    fn tree(&mut self, root: &TreeRoot) -> Result<()> {
        match root.depth.checked_sub(1) {
            Some(level) => self.node(ChildRef(root.page.0), level),
            None => Ok(()),
        }
    }

    fn node(&mut self, at: ChildRef, level: u8) -> Result<()> {
        let number = finished(at)?;
        let page = self.source.page(number)?;
        if page::birth(page) <= self.than {
            return self.visitor.older_page(number);
        }
        if !self.seen.insert(number) {
            return Ok(());
        }
        self.visitor.page(Extent { first: number, count: 1 })?;
        if level > 0 {
            let branch: BranchView<'_> = view(page, level)?;
            return (0..branch.child_count())
                .try_for_each(|index| self.node(branch.child(index)?, level - 1));
        }
        let leaf: LeafView<'_> = view(page, 0)?;
        (0..leaf.count()).try_for_each(|index| match leaf.value(index)? {
            LeafValue::Inline(bytes) => self.value(bytes),
            LeafValue::Overflow { first, length } => self.overflow_run(first, length),
        })
    }

    fn overflow_run(&mut self, at: ChildRef, length: u64) -> Result<()> {
        let first = finished(at)?;
        let run = self.source.overflow(first)?;
        if page::birth(run) <= self.than {
            return self.visitor.older_page(first);
        }
        if !self.seen.insert(first) {
            return Ok(());
        }
        let count = overflow::checked_page_count(run, self.source.page_size())?;
        self.visitor.page(Extent { first, count })?;
        self.value(overflow::value(run, length)?)
    }

    fn value(&mut self, bytes: &[u8]) -> Result<()> {
        if self.in_catalog {
            self.tables.push(TableEntry::decode(bytes)?.root);
        }
        Ok(())
    }
}
