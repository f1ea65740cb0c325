//! Searches all pages of the file for those that no readable branch refers to.
//!
//! A large value cannot be mistaken for pages. It begins 32 bytes after the beginning of a page, so even if a
//! database file is stored as a value, none of its pages begins where one of this file does.
//!
//! Invariant: it takes 16 bytes of memory for each page that is found.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::base::{PageNumber, PageSet, TransactionId};
use crate::format::branch::BranchView;
use crate::format::catalog::TableEntryView;
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::meta::META_PAGES;
use crate::format::node::NodeView;
use crate::format::page::{self, PageKind};
use crate::format::tree_root::{MAX_DEPTH, TreeRoot};
use crate::salvage::source::Source;
use crate::tree::nodes::view;

/// A page of some tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stray {
    pub(super) number: u32,
    pub(super) level: u8,
    pub(super) birth: TransactionId,
}

/// The pages that were found.
#[derive(Default)]
pub(super) struct Scan {
    /// Leaves and branches, ascending by number.
    pub(super) strays: Vec<Stray>,
    /// Leaves whose entries are those of a catalog, and the branches above them: youngest first, then roots first.
    pub(super) catalogs: Vec<Stray>,
}

impl Scan {
    /// Finds all pages of trees up to transaction `newest` that are not in `seen`. Pages in `unused` are taken only
    /// as catalogs, which may have the names of tables.
    pub(super) fn of(
        source: &Source,
        seen: &PageSet,
        unused: Option<&PageSet>,
        newest: TransactionId,
    ) -> Scan {
        let mut scan = Scan::default();
        for number in (META_PAGES..source.page_count).map(PageNumber).filter(|&number| !seen.contains(number))
        {
            let Some(page) = source.tree_page_by_chance(number) else { continue };
            let stray = Stray { number: number.0, level: page::level(&page), birth: page::birth(&page) };
            if stray.birth > newest || stray.level > MAX_DEPTH || !is_sound(&page, stray.level) {
                continue;
            }
            if stray.level == 0 && is_catalog(&page, source.page_count) {
                scan.catalogs.push(stray);
            } else if stray.level == 0 && is_catalog(&page, PageNumber::LIMIT) {
                continue; // a catalog of trees in the lost end of the file, not a table
            } else if unused.is_none_or(|unused| !unused.contains(number)) {
                scan.strays.push(stray);
            }
        }
        scan.separate_catalog_branches(source);
        scan
    }

    pub(super) fn get(&self, number: u32) -> Option<&Stray> {
        let index = self.strays.binary_search_by_key(&number, |stray| stray.number).ok()?;
        self.strays.get(index)
    }

    /// Moves the branches of catalogs from `strays` to `catalogs`.
    fn separate_catalog_branches(&mut self, source: &Source) {
        let mut births: HashMap<u32, TransactionId> =
            self.catalogs.iter().map(|stray| (stray.number, stray.birth)).collect();
        let mut branches: Vec<Stray> = self.strays.iter().filter(|stray| stray.level > 0).copied().collect();
        branches.sort_by_key(|stray| stray.level);
        for branch in branches {
            let is_child = |child: &u32| births.get(child).is_some_and(|&birth| birth <= branch.birth);
            if !births.is_empty() && children(source, &branch).iter().any(is_child) {
                births.insert(branch.number, branch.birth);
                self.catalogs.push(branch);
            }
        }
        self.strays.retain(|stray| !births.contains_key(&stray.number));
        self.catalogs.sort_by_key(|stray| Reverse((stray.birth, stray.level)));
    }

    /// Returns the newest catalog that can be read, for a file without a good meta page. Returns `None` if there is
    /// none, or if a page of a tree is younger, because the newest catalog is then lost.
    pub(super) fn newest_catalog(&self) -> Option<(TreeRoot, TransactionId)> {
        let root = self.catalogs.first()?;
        let is_lost = self.strays.iter().any(|stray| stray.birth > root.birth);
        let page = PageNumber(root.number);
        (!is_lost).then_some((TreeRoot { page, depth: root.level + 1, entries: 0 }, root.birth))
    }
}

/// Returns the pages to which a branch refers, or none if it cannot be read.
pub(super) fn children(source: &Source, stray: &Stray) -> Vec<u32> {
    let Ok(page) = source.tree_page(PageNumber(stray.number)) else { return Vec::new() };
    let Ok(branch): Result<BranchView<'_>, _> = view(&page, stray.level) else { return Vec::new() };
    (0..branch.child_count()).filter_map(|index| Some(branch.child(index).ok()?.0)).collect()
}

/// Returns whether the page has the structure that its header says.
fn is_sound(page: &[u8], level: u8) -> bool {
    match page::kind(page) {
        Some(PageKind::Leaf) => view::<LeafView<'_>>(page, 0).is_ok(),
        Some(PageKind::Branch) => level > 0 && view::<BranchView<'_>>(page, level).is_ok(),
        _ => false,
    }
}

/// Returns whether all entries of a leaf can be those of a catalog, in a file of `page_count` pages.
fn is_catalog(page: &[u8], page_count: u32) -> bool {
    let Ok(leaf) = LeafView::new(page) else { return false };
    (0..leaf.count()).all(|index| match leaf.entry(index) {
        Ok((name, LeafValue::Inline(bytes))) => TableEntryView::by_chance(&name, bytes, page_count).is_some(),
        _ => false,
    })
}
