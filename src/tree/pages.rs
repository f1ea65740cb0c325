//! What the tree asks of those below and above it.

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

    /// A whole overflow run, header included: kind, page count and length of the value have been checked
    /// against the slice, the checksum verified.
    fn overflow(&self, first: PageNumber) -> Result<&[u8]>;

    /// How many pages the overflow run at `first` says that it has, by its header alone.
    fn overflow_page_count(&self, first: PageNumber) -> Result<u32>;

    /// Asks for the head of a page, where a search begins, and its end, where the prefix is, to be brought into the
    /// processor's cache soon. A hint: no effect on results.
    fn prefetch(&self, number: PageNumber);

    /// The same for all of a page, which is about to be read from end to end.
    fn prefetch_whole(&self, number: PageNumber) {
        self.prefetch(number);
    }
}

/// Where a tree that is being finished gets page numbers from.
pub(crate) trait NumberSupply {
    /// The next number for a single page. Numbers come in ascending contiguous runs, as far as free space allows.
    fn page(&mut self) -> Result<PageNumber>;

    /// `count` contiguous numbers, for an overflow run.
    fn run(&mut self, count: u32) -> Result<PageNumber>;
}

/// A page or overflow run, complete with number, birth and checksum, ready to be stored.
pub(crate) struct SealedPages {
    pub(crate) first: PageNumber,
    /// CRC-32 as in the header: the record's digest is made of these.
    pub(crate) checksum: u32,
    /// A whole number of pages.
    pub(crate) bytes: Box<[u8]>,
}

/// Pages that a tree no longer uses: they were born in `birth` and die in this transaction.
/// (If `birth` is this very transaction, they were spilled and nobody else has ever seen them.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RetiredPages {
    pub(crate) run: Extent,
    pub(crate) birth: TransactionId,
}
