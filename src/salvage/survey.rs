//! Walks the trees of a damaged file, and finds which leaves can be read, and where leaves are missing between them.
//!
//! Invariants:
//! - I5: all walks together visit each page once, and levels fall with each step, so the walks end.
//! - A page that is younger than the page that refers to it was reused since: it does not belong to this tree.
//! - Consecutive gaps are one. So a tree has at most one more gap than it has leaves.

use crate::base::{ChildRef, PageNumber, PageSet, TransactionId};
use crate::check::Problems;
use crate::error::{Corruption, Error, Result, corrupt};
use crate::format::branch::BranchView;
use crate::format::leaf::LeafView;
use crate::format::node::NodeView;
use crate::format::page;
use crate::format::tree_root::TreeRoot;
use crate::salvage::source::Source;
use crate::tree::nodes::view;

/// What is known of a tree.
#[derive(Default)]
pub(super) struct Tree {
    /// In key order.
    pub(super) pieces: Vec<Piece>,
    /// In key order as well.
    pub(super) gaps: Vec<Gap>,
    /// Entries in the leaves that can be read.
    pub(super) entries: u64,
    /// Whether a part of it belongs to a tree that was walked before.
    pub(super) overlaps: bool,
    /// Whether pages of it were reused since: then the tree itself is not in use.
    pub(super) is_outdated: bool,
    /// What is wrong with it.
    pub(super) problems: Problems,
    /// Pages that could not be read.
    pub(super) damaged: u64,
}

pub(super) enum Piece {
    Leaf(PageNumber),
    /// Its index in the list of gaps.
    Gap(usize),
}

/// A lost branch: pages below it may be there, but it is not known which.
#[derive(Clone)]
pub(super) struct Gap {
    /// All keys below are at least this.
    pub(super) lower: Option<Vec<u8>>,
    /// All keys below are less than this.
    pub(super) upper: Option<Vec<u8>>,
    /// All pages below are at most as young as this.
    pub(super) newest: TransactionId,
}

impl Tree {
    fn add_gap(&mut self, gap: Gap) {
        match (self.pieces.last(), self.gaps.last_mut()) {
            (Some(Piece::Gap(_)), Some(last)) => {
                last.upper = gap.upper;
                last.newest = last.newest.max(gap.newest);
            }
            _ => {
                self.pieces.push(Piece::Gap(self.gaps.len()));
                self.gaps.push(gap);
            }
        }
    }
}

/// The pages of the file that were visited so far.
pub(super) struct Survey<'a> {
    pub(super) source: &'a Source,
    /// Pages that some tree refers to, damaged or not.
    pub(super) seen: PageSet,
}

impl<'a> Survey<'a> {
    pub(super) fn new(source: &'a Source) -> Result<Survey<'a>> {
        Ok(Survey { source, seen: PageSet::new(source.page_count)? })
    }

    /// Walks the tree of `root`, which was written by `newest` or before.
    pub(super) fn tree(&mut self, root: &TreeRoot, newest: TransactionId) -> Tree {
        let mut tree = Tree::default();
        if root.depth > 0 {
            let all = Gap { lower: None, upper: None, newest };
            self.node(ChildRef(root.page.0), root.depth - 1, &all, &mut tree);
        }
        tree
    }

    /// Walks a node and all below it. `range` has the bounds that its parent gives.
    fn node(&mut self, at: ChildRef, level: u8, range: &Gap, tree: &mut Tree) {
        let number = PageNumber(at.0);
        if self.seen.contains(number) {
            tree.overlaps = true;
            note(&mut tree.problems, corrupt(Some(at.0), "references to a page", 1, "2 or more"));
            return;
        }
        self.seen.insert(number);
        if let Err(error) = self.readable_node(number, level, range, tree) {
            tree.damaged += 1;
            note(&mut tree.problems, error);
            if level > 0 {
                tree.add_gap(range.clone());
            }
        }
    }

    fn readable_node(&mut self, number: PageNumber, level: u8, range: &Gap, tree: &mut Tree) -> Result<()> {
        let page = self.source.tree_page(number)?;
        let birth = page::birth(&page);
        if birth > range.newest {
            self.seen.remove(number); // it belongs to another tree
            tree.is_outdated = true;
            return Err(corrupt(Some(number.0), "birth", format_args!("at most {}", range.newest), birth));
        }
        if level == 0 {
            let leaf: LeafView<'_> = view(&page, 0)?;
            tree.entries += leaf.count() as u64;
            tree.pieces.push(Piece::Leaf(number));
            return Ok(());
        }
        let branch: BranchView<'_> = view(&page, level)?;
        let separator = |index: usize| branch.key(index).ok().map(|key| key.to_vec());
        for index in 0..branch.child_count() {
            let lower = usize::checked_sub(index, 1).map_or_else(|| range.lower.clone(), separator);
            let upper = if index < branch.count() { separator(index) } else { range.upper.clone() };
            let below = Gap { lower, upper, newest: birth };
            self.node(branch.child(index)?, level - 1, &below, tree);
        }
        Ok(())
    }
}

/// Adds an error to the problems, as a text if it is not damage.
pub(super) fn note(problems: &mut Problems, error: Error) {
    problems.push(match error {
        Error::Corrupt(problem) => *problem,
        other => {
            Corruption { page: None, what: "reading", expected: "no error".into(), found: other.to_string() }
        }
    });
}
