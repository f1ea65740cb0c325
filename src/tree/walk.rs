//! Visits every page of a tree and verifies all that the tree's other code relies on.
//!
//! The source verifies checksums; this verifies what the pages mean: kind and level, order of keys in a page and
//! against the separators above it, layout of the heap, births, flags, counts. A problem is reported, and the
//! walk goes on with what can still be read.
//!
//! Invariant (I5): each page is visited, and its checksum computed, once at most, by all walks that share a set of
//! pages together. So they end in a time proportional to the file's length, whatever the pages refer to.

use crate::base::{ChildRef, Extent, PageNumber, PageSet, TransactionId};
use crate::error::{Corruption, Error, Result, corrupt};
use crate::format::branch::{self, BranchView};
use crate::format::leaf::{self, LeafValue, LeafView};
use crate::format::node::{self, NodeView};
use crate::format::overflow;
use crate::format::page::{self, PageHeader, PageKind};
use crate::tree::node_check::{KeyBounds, check_node};
use crate::tree::nodes::view;
use crate::tree::pages::{PageSource, TreeRoot};

/// One node or one overflow extent of the tree.
pub(crate) struct VisitedPages {
    pub(crate) run: Extent,
    pub(crate) header: PageHeader,
    /// Bytes that are in use, headers included.
    pub(crate) used_bytes: u64,
}

/// Receives what the walk finds.
pub(crate) trait Visitor {
    /// These pages belong to the tree.
    fn visit(&mut self, pages: &VisitedPages);

    /// Something is wrong.
    fn problem(&mut self, problem: Corruption);

    /// The tree's pages here are unknown, because the page that refers to them is damaged.
    fn hidden(&mut self) {}
}

/// Visits all pages of the tree of `root`, as transaction `newest` left it. Damage goes to the visitor; other errors
/// end the walk. The pages that the tree refers to, damaged or not, are added to `seen`; what is in there already
/// belongs to something else.
pub(crate) fn walk<S: PageSource>(
    source: &S,
    root: &TreeRoot,
    newest: TransactionId,
    seen: &mut PageSet,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    let mut walk = Walk { source, visitor, seen, entries: 0 };
    if root.depth > 0 {
        let bounds = Bounds { lower: None, upper: None, newest, may_overflow: true };
        walk.node(ChildRef(root.page.0), root.depth - 1, &bounds)?;
    }
    if walk.entries != root.entries {
        let result = Err(corrupt(None, "entries in the tree", root.entries, walk.entries));
        walk.report(result)?;
    }
    Ok(())
}

struct Walk<'a, S> {
    source: &'a S,
    visitor: &'a mut dyn Visitor,
    seen: &'a mut PageSet,
    entries: u64,
}

/// What a node's parent says about it.
struct Bounds {
    lower: Option<Vec<u8>>,
    upper: Option<Vec<u8>>,
    /// The birth of the page that refers to this one. No page below may be newer.
    newest: TransactionId,
    may_overflow: bool,
}

impl Bounds {
    fn keys(&self) -> KeyBounds<'_> {
        KeyBounds { lower: self.lower.as_deref(), upper: self.upper.as_deref() }
    }
}

impl<S: PageSource> Walk<'_, S> {
    /// Turns damage into a report.
    fn report(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(Error::Corrupt(problem)) => self.visitor.problem(*problem),
            other => return other,
        }
        Ok(())
    }

    fn problem(&mut self, page: &[u8], what: &'static str, expected: String, found: String) {
        self.visitor.problem(Corruption { page: Some(page::number(page).0), what, expected, found });
    }

    /// Visits a node and all below.
    fn node(&mut self, at: ChildRef, level: u8, bounds: &Bounds) -> Result<()> {
        let number = match self.first_visit(at, 1) {
            Ok(number) => number,
            Err(error) => return self.report(Err(error)),
        };
        let result = self.readable_node(number, level, bounds);
        if result.is_err() {
            self.visitor.hidden();
        }
        self.report(result)
    }

    /// An error is damage that keeps the rest of this node from being read.
    fn readable_node(&mut self, number: PageNumber, level: u8, bounds: &Bounds) -> Result<()> {
        let page = self.source.page(number)?;
        if page::number(page) != number {
            return Err(corrupt(Some(number.0), "page number", number, page::number(page)));
        }
        self.check_birth(page, bounds.newest);
        if node::has_overflow(page) && !bounds.may_overflow {
            self.problem(page, "overflow flag of the page above", "set".into(), "clear".into());
        }
        if level == 0 { self.leaf(page, bounds) } else { self.branch(page, level, bounds) }
    }

    fn leaf(&mut self, page: &[u8], bounds: &Bounds) -> Result<()> {
        let leaf: LeafView<'_> = view(page, 0)?;
        self.visit(page, PageKind::Leaf, 1, leaf::used_bytes(page));
        self.entries += leaf.count() as u64;
        let entries = (0..leaf.count()).map(|index| leaf.entry_range(index)).collect();
        check_node(page, &leaf, entries, bounds.keys(), &mut |problem| self.visitor.problem(problem))?;
        for index in 0..leaf.count() {
            let result = match leaf.value(index) {
                Ok(LeafValue::Inline(_)) => Ok(()),
                Ok(LeafValue::Overflow { first, length }) => self.overflow_run(page, first, length),
                Err(error) => {
                    self.visitor.hidden();
                    Err(error)
                }
            };
            self.report(result)?;
        }
        Ok(())
    }

    fn branch(&mut self, page: &[u8], level: u8, bounds: &Bounds) -> Result<()> {
        let branch: BranchView<'_> = view(page, level)?;
        self.visit(page, PageKind::Branch, 1, branch::used_bytes(page));
        let entries = (0..branch.count()).map(|index| branch.entry_range(index)).collect();
        check_node(page, &branch, entries, bounds.keys(), &mut |problem| self.visitor.problem(problem))?;
        let separator = |index: usize| branch.key(index).ok().map(|key| key.to_vec());
        for index in 0..branch.child_count() {
            let below = Bounds {
                lower: index.checked_sub(1).map_or_else(|| bounds.lower.clone(), separator),
                upper: if index < branch.count() { separator(index) } else { bounds.upper.clone() },
                newest: page::birth(page),
                may_overflow: node::has_overflow(page),
            };
            self.node(branch.child(index)?, level - 1, &below)?;
        }
        Ok(())
    }

    fn overflow_run(&mut self, leaf: &[u8], first: ChildRef, length: u64) -> Result<()> {
        if !node::has_overflow(leaf) {
            self.problem(leaf, "overflow flag", "set".into(), "clear".into());
        }
        let page_size = self.source.page_size();
        if length > overflow::MAX_VALUE_LEN {
            self.visitor.hidden();
            let expected = format_args!("at most {}", overflow::MAX_VALUE_LEN);
            return Err(corrupt(Some(page::number(leaf).0), "length of a value", expected, length));
        }
        let count = overflow::page_count(page_size, length);
        let number = self.first_visit(first, count)?;
        // The header is checked first, so that a wrong one causes no checksums of pages that the leaf does not refer
        // to.
        let found = self.source.overflow_page_count(number)?;
        if found != count {
            return Err(corrupt(Some(number.0), "pages of an overflow run", count, found));
        }
        let run = self.source.overflow(number)?;
        overflow::verify_run(run, page_size)?;
        overflow::value(run, length)?;
        self.check_birth(run, page::birth(leaf));
        self.visit(run, PageKind::Overflow, count, length as usize);
        Ok(())
    }

    /// Checks that the file has these pages, and that none of them belongs to something else; remembers them.
    fn first_visit(&mut self, at: ChildRef, count: u32) -> Result<PageNumber> {
        let length_pages = self.seen.length_pages();
        let first = at.page().filter(|first| first.0 < length_pages && count <= length_pages - first.0);
        let Some(first) = first else {
            self.visitor.hidden();
            let found = format_args!("{count} from {}", at.0);
            return Err(corrupt(None, "page reference", format_args!("pages below {length_pages}"), found));
        };
        for number in first.0..first.0 + count {
            if !self.seen.insert(PageNumber(number)) {
                return Err(corrupt(Some(number), "references to a page", 1, "2 or more"));
            }
        }
        Ok(first)
    }

    fn visit(&mut self, page: &[u8], kind: PageKind, pages: u32, used: usize) {
        let header = PageHeader {
            checksum: page::stored_checksum(page),
            number: page::number(page),
            birth: page::birth(page),
            kind,
            level: page::level(page),
        };
        let run = Extent { first: header.number, count: pages };
        let used_bytes = (page::HEADER_LEN + used) as u64;
        self.visitor.visit(&VisitedPages { run, header, used_bytes });
    }

    fn check_birth(&mut self, page: &[u8], newest: TransactionId) {
        if page::birth(page) > newest {
            self.problem(page, "birth", format!("at most {newest}"), page::birth(page).to_string());
        }
    }
}
