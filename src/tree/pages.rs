//! The interfaces between the tree and its storage.

use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::Result;
pub(crate) use crate::format::tree_root::TreeRoot;

/// Finished pages, as the tree reads them: of a snapshot's file, or of a `Vec` in tests.
pub(crate) trait PageSource {
    /// Bytes in a page.
    fn page_size(&self) -> usize;

    /// How many pages there are, at most: a tree has no more.
    fn page_count(&self) -> u32;

    /// A leaf or branch page: exactly `page_size()` bytes whose checksum has been verified (according
    /// to the options). Its number is right; its content may be anything (I5).
    fn page(&self, number: PageNumber) -> Result<&[u8]>;

    /// A whole overflow extent, header included: kind, page count and length of the value have been checked
    /// against the slice, the checksum verified.
    fn overflow(&self, first: PageNumber) -> Result<&[u8]>;

    /// Returns the page count in the header of the overflow extent at `first`.
    fn overflow_page_count(&self, first: PageNumber) -> Result<u32>;

    /// Prefetches the head of a page, where a search begins, and its end, where the prefix is, into the processor's
    /// cache. It is a hint, without effect on results.
    fn prefetch(&self, number: PageNumber);

    /// Prefetches a whole page, which will be read from end to end.
    fn prefetch_whole(&self, number: PageNumber) {
        self.prefetch(number);
    }

    /// The bytes of a page, not verified, only to prefetch them; empty if the page is not at hand.
    fn peek(&self, _number: PageNumber) -> &[u8] {
        &[]
    }
}

/// The source of page numbers for a tree that is being sealed.
pub(crate) trait NumberSupply {
    /// The next number for a single page. Numbers come in ascending contiguous runs, as far as free space allows.
    fn page(&mut self) -> Result<PageNumber>;

    /// `count` contiguous numbers, for an overflow extent.
    fn run(&mut self, count: u32) -> Result<PageNumber>;
}

/// A page or overflow extent, complete with number, birth and checksum, ready to be stored.
pub(crate) struct SealedPages {
    pub(crate) first: PageNumber,
    /// A whole number of pages.
    pub(crate) bytes: Box<[u8]>,
}

/// Pages that a tree no longer uses: they were born in `birth` and die in this transaction.
/// (If `birth` is this transaction, they were spilled, and no other transaction has seen them.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RetiredPages {
    pub(crate) run: Extent,
    pub(crate) birth: TransactionId,
}
