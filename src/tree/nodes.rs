//! How reading code gets from a reference to a node, independent of where the nodes are.
//!
//! Invariants:
//! - I5: a node is viewed only if its kind and level are those that its parent says. Levels fall by one with each
//!   step down, so no content of pages makes a descent longer than the tree's depth.
//! - A node that has been viewed has at least one entry (a leaf) or two children (a branch).
//! - Damaged pages may refer to each other crosswise, so that the number of ways from the root to a leaf is
//!   exponential. A tree contains each leaf once, so code that goes from leaf to leaf counts them ([`LeafCount`]).

use crate::base::{ChildRef, PageNumber};
use crate::error::{Error, Result, corrupt};
use crate::format::branch::BranchView;
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::node::NodeView;
use crate::format::overflow;
use crate::format::page::{self, PageKind};
use crate::tree::pages::{PageSource, TreeRoot};

/// Nodes by reference: finished pages alone, or finished pages and a transaction's frames.
///
/// It is cheap to copy. The slices that it returns outlive it: the pages belong to a snapshot or transaction (`'a`).
pub(crate) trait Nodes<'a>: Copy {
    /// A leaf's or branch's bytes.
    fn node(self, at: ChildRef) -> Result<&'a [u8]>;

    /// A whole overflow extent, header included.
    fn overflow_run(self, at: ChildRef) -> Result<&'a [u8]>;

    /// How many nodes there are, at most.
    fn most_nodes(self) -> usize;

    /// Prefetches the head and the end of a node into the processor's cache.
    fn prefetch(self, at: ChildRef);

    /// The bytes of a node that will be read soon, to prefetch them piece by piece. They have not been verified, and
    /// there are none if finding them takes more than arithmetic.
    fn peek(self, at: ChildRef) -> &'a [u8];
}

/// Finished pages. A reference to a frame is damage here.
impl<'a, S: PageSource> Nodes<'a> for &'a S {
    #[inline(always)]
    fn node(self, at: ChildRef) -> Result<&'a [u8]> {
        self.page(finished(at)?)
    }

    fn overflow_run(self, at: ChildRef) -> Result<&'a [u8]> {
        self.overflow(finished(at)?)
    }

    fn most_nodes(self) -> usize {
        self.page_count() as usize
    }

    #[inline(always)]
    fn prefetch(self, at: ChildRef) {
        if let Some(number) = at.page() {
            PageSource::prefetch(self, number);
        }
    }

    fn peek(self, at: ChildRef) -> &'a [u8] {
        at.page().map_or(&[], |number| PageSource::peek(self, number))
    }
}

/// The page number that a finished page refers to.
#[inline(always)]
pub(super) fn finished(at: ChildRef) -> Result<PageNumber> {
    at.page().ok_or_else(|| not_finished(at))
}

#[cold]
fn not_finished(at: ChildRef) -> Error {
    corrupt(None, "page number", format_args!("below {}", PageNumber::LIMIT), at.0)
}

/// Where reading begins: the root, which in a write transaction may be a frame, and the tree's depth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TreeTop {
    /// The root node; meaningless while `depth` is 0.
    pub(crate) node: ChildRef,
    /// Levels: 0 empty, 1 a single leaf.
    pub(crate) depth: u8,
}

impl From<&TreeRoot> for TreeTop {
    fn from(root: &TreeRoot) -> TreeTop {
        // Not `to_page`: the number comes from the file, and may be out of range.
        TreeTop { node: ChildRef(root.page.0), depth: root.depth }
    }
}

/// Leaves that have been visited on one way through a tree.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct LeafCount(usize);

impl LeafCount {
    /// Whether there is any.
    pub(super) fn is_some(self) -> bool {
        self.0 > 0
    }

    /// Whether there are enough that each leaf is prefetched as a whole before it is reached.
    pub(super) fn is_many(self) -> bool {
        self.0 > 1
    }

    /// Counts a leaf. Returns an error if there are more leaves than nodes.
    pub(super) fn add<'a>(&mut self, nodes: impl Nodes<'a>) -> Result<()> {
        self.0 += 1;
        let most = nodes.most_nodes();
        if self.0 > most {
            return Err(corrupt(None, "leaves of a tree", format_args!("each once, {most} at most"), "more"));
        }
        Ok(())
    }
}

/// The leaf at `at`.
#[inline(always)]
pub(crate) fn leaf_at<'a>(nodes: impl Nodes<'a>, at: ChildRef) -> Result<LeafView<'a>> {
    view(nodes.node(at)?, 0)
}

/// The branch at `at`, which is of `level`.
#[inline(always)]
pub(super) fn branch_at<'a>(nodes: impl Nodes<'a>, at: ChildRef, level: u8) -> Result<BranchView<'a>> {
    view(nodes.node(at)?, level)
}

/// Views a finished page as the kind of node that its parent says it is.
#[inline(always)]
pub(crate) fn view<'a, V: NodeView<'a>>(page: &'a [u8], level: u8) -> Result<V> {
    let view: V = view_any_count(page, level)?;
    if view.count() == 0 {
        return Err(corrupt(Some(page::number(page).0), "keys in a page", "at least 1", 0));
    }
    Ok(view)
}

/// Like [`view`], for a node that may be in the middle of being emptied.
#[inline(always)]
pub(super) fn view_any_count<'a, V: NodeView<'a>>(page: &'a [u8], level: u8) -> Result<V> {
    if !V::is_kind_and_level(page, level) {
        return Err(wrong_kind_or_level(page, V::KIND, level));
    }
    V::new(page)
}

#[cold]
fn wrong_kind_or_level(page: &[u8], kind: PageKind, level: u8) -> Error {
    corrupt(
        Some(page::number(page).0),
        "kind and level",
        format_args!("kind {}, level {level}", kind as u8),
        format_args!("kind {}, level {}", page[16], page::level(page)),
    )
}

/// Returns the bytes of a value, from its overflow extent if it has one.
#[inline(always)]
pub(crate) fn resolve<'a>(nodes: impl Nodes<'a>, value: LeafValue<'a>) -> Result<&'a [u8]> {
    match value {
        LeafValue::Inline(bytes) => Ok(bytes),
        LeafValue::Overflow { first, length } => overflow::value(nodes.overflow_run(first)?, length),
    }
}
