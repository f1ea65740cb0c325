//! Looks at every page of the file, for those that no readable branch refers to.
//!
//! A large value cannot be taken for pages: it begins 32 bytes behind the beginning of a page, so that a database
//! file stored as a value has none of its pages at the beginning of one of ours.
//!
//! Invariant: memory is in proportion to the number of pages that are found, 16 bytes for each.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::base::{PageNumber, PageSet, TransactionId};
use crate::format::branch::BranchView;
use crate::format::catalog::TableEntryView;
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::meta::META_PAGES;
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

/// What is found.
#[derive(Default)]
pub(super) struct Scan {
    /// Leaves and branches, ascending by number.
    pub(super) strays: Vec<Stray>,
    /// Leaves whose entries are those of a catalog, and the branches above them: youngest first, roots before the rest.
    pub(super) catalogs: Vec<Stray>,
}

impl Scan {
    /// All tree pages up to `newest` that are not in `seen`. Those that are in `unused` count only as catalogs: they
    /// are known to be of no use but to tell names.
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
                continue; // of trees in the end that the file has lost: no table's entries
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

    /// Takes the branches of catalogs out of the other pages.
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

    /// Where the newest catalog stands that can be read: for a file without a record. `None` if there is none, or if
    /// some tree is younger than it: then the newest catalog is lost.
    pub(super) fn newest_catalog(&self) -> Option<(TreeRoot, TransactionId)> {
        let root = self.catalogs.first()?;
        let is_lost = self.strays.iter().any(|stray| stray.birth > root.birth);
        let page = PageNumber(root.number);
        (!is_lost).then_some((TreeRoot { page, depth: root.level + 1, entries: 0 }, root.birth))
    }
}

/// The pages that a branch refers to; none if it cannot be read.
pub(super) fn children(source: &Source, stray: &Stray) -> Vec<u32> {
    let Ok(page) = source.tree_page(PageNumber(stray.number)) else { return Vec::new() };
    let Ok(branch): Result<BranchView<'_>, _> = view(&page, stray.level) else { return Vec::new() };
    (0..branch.child_count()).filter_map(|index| Some(branch.child(index).ok()?.0)).collect()
}

/// Whether the page is what its header says.
fn is_sound(page: &[u8], level: u8) -> bool {
    match page::kind(page) {
        Some(PageKind::Leaf) => view::<false>(page, 0).is_ok(),
        Some(PageKind::Branch) => level > 0 && view::<true>(page, level).is_ok(),
        _ => false,
    }
}

/// Whether all entries of a leaf can be those of a catalog, in a file of `page_count` pages.
fn is_catalog(page: &[u8], page_count: u32) -> bool {
    let Ok(leaf) = LeafView::new(page) else { return false };
    (0..leaf.count()).all(|index| match leaf.entry(index) {
        Ok((name, LeafValue::Inline(bytes))) => TableEntryView::by_chance(&name, bytes, page_count).is_some(),
        _ => false,
    })
}
