//! Tables whose catalog entry is lost: their roots are found among the pages that no page refers to, and their names,
//! if possible, in older copies of the catalog.
//!
//! A root belongs to the table whose root it was in an older catalog; or to the table whose older root had some of
//! the same children, because a change of a few entries leaves most pages of a tree in place; or, if both are single
//! leaves, to the table that had some of the same entries.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::base::{PageNumber, PageSet, TransactionId};
use crate::error::Result;
use crate::format::catalog::TableEntry;
use crate::format::leaf::LeafView;
use crate::format::node::NodeView;
use crate::format::page;
use crate::format::tree_root::TreeRoot;
use crate::salvage::scan::{Scan, Stray, children};
use crate::salvage::source::Source;
use crate::salvage::state::{State, table_entry};
use crate::salvage::survey::Piece;
use crate::tree::nodes::view;

/// At most this many names of lost tables are collected.
const MAX_NAMES: usize = 10_000;

/// Adds the trees to which no page refers.
pub(super) fn add_lost_tables(state: &mut State<'_>, scan: &Scan, is_live_known: bool) -> Result<()> {
    let names = Names::of(state, scan);
    let has_parent = pages_with_parents(state.survey.source, scan)?;
    let mut roots: Vec<Stray> = Vec::new();
    for stray in scan.strays.iter().filter(|stray| !has_parent.contains(PageNumber(stray.number))) {
        if stray.level > 0 || names.of_root(state.survey.source, scan, stray).is_some() {
            roots.push(*stray);
        }
    }
    // The newest first: a page that is found again later belongs to an older version of the same tree.
    roots.sort_by_key(|stray| Reverse((stray.birth, stray.level)));
    for root in roots {
        if state.survey.seen.contains(PageNumber(root.number)) {
            continue;
        }
        let named = names.of_root(state.survey.source, scan, &root);
        let is_older_version = !is_live_known && named.is_some_and(|(name, _)| state.has(name));
        let place = TreeRoot { page: PageNumber(root.number), depth: root.level + 1, entries: 0 };
        let tree = state.survey.tree(&place, root.birth);
        if tree.is_outdated && !is_live_known {
            // Its leaves may belong to a newer version too, whose root is lost.
            for piece in &tree.pieces {
                if let Piece::Leaf(number) = piece {
                    state.survey.seen.remove(*number);
                }
            }
            continue;
        }
        if is_older_version || (tree.overlaps && !is_live_known) {
            continue;
        }
        match named {
            Some((name, entry)) if !state.has(name) => {
                let is_same = entry.root.page == place.page && entry.root.depth == place.depth;
                let expected = is_same.then_some(entry.root.entries);
                state.add(name.to_owned(), entry.clone(), expected, tree);
            }
            _ => state.add_unknown(tree),
        }
    }
    Ok(())
}

/// Returns the pages to which a branch refers that is not older than they are.
fn pages_with_parents(source: &Source, scan: &Scan) -> Result<PageSet> {
    let mut pages = PageSet::new(source.page_count)?;
    for branch in scan.strays.iter().filter(|stray| stray.level > 0) {
        for child in children(source, branch) {
            if scan.get(child).is_some_and(|stray| stray.birth <= branch.birth && stray.level < branch.level)
            {
                pages.insert(PageNumber(child));
            }
        }
    }
    Ok(pages)
}

/// What older copies of the catalog contain about missing tables.
struct Names {
    /// The newest entry of each name.
    entries: Vec<(String, TableEntry)>,
    /// Root to name. A page that is younger than the transaction was reused since.
    by_root: HashMap<u32, (usize, TransactionId)>,
    /// Child of a root to name, likewise.
    by_child: HashMap<u32, (usize, TransactionId)>,
    /// Entry of a table of a single leaf to name.
    by_entry: HashMap<u64, usize>,
}

impl Names {
    fn of(state: &State<'_>, scan: &Scan) -> Names {
        let source = state.survey.source;
        let (entries, by_child, by_entry) = (Vec::new(), HashMap::new(), HashMap::new());
        let mut names = Names { entries, by_root: HashMap::new(), by_child, by_entry };
        let mut known = HashMap::new();
        for stray in scan.catalogs.iter().filter(|stray| stray.level == 0) {
            let Ok(page) = source.tree_page(PageNumber(stray.number)) else { continue };
            let Ok(leaf) = LeafView::new(&page) else { continue };
            for index in 0..leaf.count() {
                let Ok((name, entry)) = table_entry(source, &leaf, index, stray.birth) else { continue };
                if state.has(&name) || known.len() >= MAX_NAMES {
                    continue;
                }
                let next = names.entries.len();
                let at = *known.entry(name.clone()).or_insert(next);
                if entry.root.depth > 0 {
                    names.by_root.entry(entry.root.page.0).or_insert((at, stray.birth));
                }
                if at == next {
                    names.note_content(source, &entry, stray, at);
                    names.entries.push((name, entry));
                }
            }
        }
        names
    }

    /// Adds the children or entries of the root of an older catalog's entry, if the root is still there.
    fn note_content(&mut self, source: &Source, entry: &TableEntry, catalog: &Stray, at: usize) {
        let TreeRoot { page: number, depth, .. } = entry.root;
        let Some(level) = depth.checked_sub(1) else { return };
        let Ok(page) = source.tree_page(number) else { return };
        if page::birth(&page) > catalog.birth || page::level(&page) != level {
            return; // the page was reused
        }
        let root = Stray { number: number.0, level, birth: page::birth(&page) };
        if level > 0 {
            for child in children(source, &root) {
                self.by_child.entry(child).or_insert((at, root.birth));
            }
        } else {
            for hash in entry_hashes(&page) {
                self.by_entry.entry(hash).or_insert(at);
            }
        }
    }

    /// Returns the name and the older entry of the table whose root this is.
    fn of_root(&self, source: &Source, scan: &Scan, root: &Stray) -> Option<(&str, &TableEntry)> {
        let is_old_child = |child: u32| {
            let &(at, newest) = self.by_child.get(&child)?;
            scan.get(child).is_some_and(|stray| stray.birth <= newest).then_some(at)
        };
        let by_content = || -> Option<usize> {
            let votes: Vec<usize> = if root.level > 0 {
                children(source, root).into_iter().filter_map(is_old_child).collect()
            } else {
                let page = source.tree_page(PageNumber(root.number)).ok()?;
                entry_hashes(&page).iter().filter_map(|hash| self.by_entry.get(hash)).copied().collect()
            };
            let kinds: HashSet<usize> = votes.iter().copied().collect();
            kinds
                .into_iter()
                .max_by_key(|&kind| (votes.iter().filter(|&&vote| vote == kind).count(), Reverse(kind)))
        };
        let by_place = self.by_root.get(&root.number).filter(|(_, newest)| root.birth <= *newest);
        let at = by_place.map(|&(at, _)| at).or_else(by_content)?;
        self.entries.get(at).map(|(name, entry)| (&name[..], entry))
    }
}

/// Returns a hash of each entry of a leaf, key and value.
fn entry_hashes(page: &[u8]) -> Vec<u64> {
    let Ok(leaf) = view::<LeafView<'_>>(page, 0) else { return Vec::new() };
    let hash = |index: usize| {
        let mut hasher = DefaultHasher::new();
        (&*leaf.key(index).ok()?, leaf.payload(index).ok()?).hash(&mut hasher);
        Some(hasher.finish())
    };
    (0..leaf.count()).filter_map(hash).collect()
}
