//! Newtypes for numbers that must not be confused.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The number of a page in the file: its offset divided by the page size.
///
/// Page numbers stay below 2^31, so that a child pointer of 32 bits can tag an
/// unnumbered page of a transaction (see [`ChildRef`]). That bounds a file at 8 TiB with
/// pages of 4 KiB and at 128 TiB with pages of 64 KiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct PageNumber(pub(crate) u32);

impl PageNumber {
    /// One more than the highest page number there can be.
    pub(crate) const LIMIT: u32 = 1 << 31;

    /// Where the page begins in the file, in bytes.
    #[inline]
    pub(crate) fn offset(self, page_size: usize) -> u64 {
        u64::from(self.0) * page_size as u64
    }
}

impl fmt::Display for PageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a transaction: 1 for the creation of the file, rising by one with each commit.
///
/// ```
/// use mapleaf::{Db, Table, TransactionId};
/// const HITS: Table<u64, u64> = Table::new("hits");
///
/// let db = Db::in_memory()?;
/// let before = db.read()?.id();
/// let tx = db.write()?;
/// tx.table(&HITS)?.insert(7, 1)?;
/// assert_eq!(tx.commit()?.get(), before.get() + 1);
/// assert_eq!("17".parse(), Ok(TransactionId::new(17)), "as text, for a name or an argument");
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TransactionId(pub(crate) u64);

impl TransactionId {
    /// Makes an id of a number that was kept elsewhere.
    pub const fn new(number: u64) -> TransactionId {
        TransactionId(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns how many transactions lie between `earlier` and this one, this one included; 0 if `earlier` is not
    /// earlier.
    pub const fn since(self, earlier: TransactionId) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The number of bits of an id in a file. No count reaches that far, and a word has space for other bits beside
    /// it.
    pub(crate) const BITS: u32 = 53;
    /// The greatest id that a file may hold. There is always a next one.
    pub(crate) const MAX: TransactionId = TransactionId((1 << TransactionId::BITS) - 1);

    /// The transaction after this one.
    pub(crate) fn next(self) -> TransactionId {
        TransactionId(self.0.saturating_add(1)) // of any number that a lock file may say
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TransactionId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<TransactionId, ParseIntError> {
        text.parse().map(TransactionId)
    }
}

/// The number of a savepoint: later ones have greater numbers, and no two of a process have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct SavepointId(pub(crate) u64);

impl SavepointId {
    /// Stands for no savepoint, and comes before all of them.
    pub(crate) const NONE: SavepointId = SavepointId(0);
}

/// A log sequence number: a position in the redo log, counted in bytes. It never goes back and never begins again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Lsn(pub(crate) u64);

impl Lsn {
    /// Positions in a file stay below this, so that no sum of one and a length overflows.
    pub(crate) const LIMIT: Lsn = Lsn(1 << 62);

    /// The position `bytes` bytes after this one.
    #[inline]
    pub(crate) fn plus(self, bytes: u64) -> Lsn {
        Lsn(self.0.saturating_add(bytes))
    }

    /// How many bytes `earlier` lies before this position; 0 if it does not.
    #[inline]
    pub(crate) fn since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The first position from this one on that is a multiple of `multiple`.
    #[inline]
    pub(crate) fn round_up(self, multiple: u64) -> Lsn {
        Lsn(self.0.saturating_add(multiple - 1)).round_down(multiple)
    }

    /// The last position up to this one that is a multiple of `multiple`.
    #[inline]
    pub(crate) fn round_down(self, multiple: u64) -> Lsn {
        Lsn(self.0 - self.0 % multiple)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `count` contiguous pages, from `first` on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Extent {
    pub(crate) first: PageNumber,
    pub(crate) count: u32,
}

impl Extent {
    pub(crate) fn new(first: u32, count: u32) -> Extent {
        Extent { first: PageNumber(first), count }
    }

    /// Whether the page is in the extent.
    pub(crate) fn contains(self, page: PageNumber) -> bool {
        self.first <= page && page.0 < self.end()
    }

    /// The first page number after the extent.
    pub(crate) fn end(self) -> u32 {
        self.first.0 + self.count
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end())
    }
}

/// Where a branch's child, or an overflow extent, is: a page of the file, or, with the top bit set, a *frame*
/// of the transaction that has no page number yet. No page of a file holds a reference to a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ChildRef(pub(crate) u32);

impl ChildRef {
    const FRAME: u32 = 1 << 31;

    /// The reference to a page of the file.
    #[inline]
    pub(crate) fn to_page(number: PageNumber) -> ChildRef {
        debug_assert!(number.0 < PageNumber::LIMIT);
        ChildRef(number.0)
    }

    /// The reference to the frame with this index.
    #[inline]
    pub(crate) fn to_frame(index: u32) -> ChildRef {
        debug_assert!(index < ChildRef::FRAME);
        ChildRef(index | ChildRef::FRAME)
    }

    /// Whether this refers to a frame.
    #[inline]
    pub(crate) fn is_frame(self) -> bool {
        self.0 & ChildRef::FRAME != 0
    }

    /// The page's number, unless this refers to a frame.
    #[inline]
    pub(crate) fn page(self) -> Option<PageNumber> {
        (!self.is_frame()).then_some(PageNumber(self.0))
    }

    /// The frame's index, if this refers to a frame.
    #[inline]
    pub(crate) fn frame(self) -> Option<u32> {
        self.is_frame().then_some(self.0 & !ChildRef::FRAME)
    }
}
