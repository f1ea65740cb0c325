//! The parts of a page, as [`Inspector::page`](super::Inspector::page) returns them.

use std::fmt;
use std::ops::Range;

use crate::base::TransactionId;
use crate::error::Corruption;

/// The parts of a page: see [`Inspector::page`](super::Inspector::page).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Anatomy {
    /// The page's number: its offset in the file divided by the page size.
    pub number: u32,
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// `record` (a meta page), `leaf`, `branch`, `overflow` or `free log`, by its number or its header; `None` if the
    /// header has no known kind.
    pub kind: Option<&'static str>,
    /// The fields of its header or, in a meta page, of its record, in order.
    pub fields: Vec<Field>,
    /// The checksum that is stored; `None` where there is no header.
    pub stored_checksum: Option<u32>,
    /// The checksum of the bytes in the file; for a large value, of all its pages. `None` if it is not known how many
    /// bytes the checksum covers.
    pub computed_checksum: Option<u32>,
    /// What follows the header.
    pub content: Content,
    /// All problems that can be found in the page alone.
    pub problems: Vec<Corruption>,
}

/// A field of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Field {
    /// Its offset in the page, in bytes.
    pub offset: usize,
    /// Its length, in bytes.
    pub length: usize,
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: FieldValue,
}

/// The value of a field.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FieldValue {
    /// A number.
    Number(u64),
    /// Bytes that are not a number, or whose digits matter, as those of a checksum.
    Bytes(Vec<u8>),
}

/// Prints numbers in decimal digits, bytes in hexadecimal ones.
impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldValue::Number(number) => number.fmt(f),
            FieldValue::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// What a page contains after its header.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Content {
    /// Zeros only: the page was never used or, for a meta page, was erased.
    Empty,
    /// Unknown: the middle of a large value has no header, and damage can look like anything.
    Unknown,
    /// The description of a checkpoint.
    Meta {
        /// The pages of the redo log, if the file has one.
        redo_log: Option<Range<u32>>,
        /// The pages that the commit stored, in formats 1 and 2, if the meta lists them.
        listed: Vec<Range<u32>>,
        /// The newest part of the log of free space.
        log: Vec<LogEntry>,
    },
    /// Entries of a table, or of the catalog.
    Leaf(Leaf),
    /// Keys that lead to other pages.
    Branch(Branch),
    /// The beginning of a large value.
    Overflow {
        /// How many pages the value takes.
        pages: u32,
        /// The length of the value, in bytes.
        value_bytes: u64,
    },
    /// A part of the redo log's ring.
    RedoLog,
    /// A part of the log of free space.
    FreeLog {
        /// Whether the log begins in this page.
        starts_base: bool,
        /// The entries that begin in this page, except one that ends in a later page. It is an error text if the
        /// pages of the log before this one cannot be read, because it is then not known where entries begin.
        entries: Result<Vec<LogEntry>, String>,
    },
}

/// A leaf.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Leaf {
    /// The prefix of all keys in the page.
    pub prefix: Vec<u8>,
    /// The entries, in the order of their keys.
    pub entries: Vec<LeafEntry>,
    /// The tables that the entries describe if this is a leaf of the catalog. Empty if an entry cannot be one of the
    /// catalog's.
    pub tables: Vec<CatalogEntry>,
    /// Bytes between the tables and the heap.
    pub gap_bytes: usize,
}

/// An entry of the catalog: a table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CatalogEntry {
    /// Its name.
    pub name: String,
    /// The root of its tree; it has no meaning if `depth` is 0.
    pub root: u32,
    /// The number of levels of its tree: 0 if it is empty.
    pub depth: u8,
    /// The number of its entries.
    pub entries: u64,
    /// The type of its keys.
    pub key_type: String,
    /// The type of its values.
    pub value_type: String,
}

/// An entry of a leaf.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LeafEntry {
    /// The offset in the page of its head: the first four bytes of the key after the prefix.
    pub head_at: usize,
    /// The offset of its slot, which refers to the rest of the entry. `None` in a dense leaf, which has no slots.
    pub slot_at: Option<usize>,
    /// The range of the rest of the key and of the value.
    pub heap: Range<usize>,
    /// The whole key, prefix included.
    pub key: Vec<u8>,
    /// The value, or the pages that contain it.
    pub value: StoredValue,
}

/// A value as a leaf stores it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoredValue {
    /// The value itself.
    Inline(Vec<u8>),
    /// A large value, on pages of its own.
    Overflow {
        /// The first of the pages.
        first: u32,
        /// The value's length, in bytes.
        length: u64,
    },
}

/// A branch.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Branch {
    /// The prefix of all separators in the page.
    pub prefix: Vec<u8>,
    /// The children, in the order of their keys.
    pub children: Vec<Child>,
    /// Bytes between the tables and the heap.
    pub gap_bytes: usize,
}

/// A child of a branch.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Child {
    /// The offset of its page number in the branch.
    pub at: usize,
    /// Its page number.
    pub page: u32,
    /// The separator to its left, prefix included: the child's keys are not less than that. `None` for the first
    /// child.
    pub separator: Option<Vec<u8>>,
}

/// An entry of the log of free space.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LogEntry {
    /// The whole state of free space.
    Base {
        /// The number of pages in the file.
        length_pages: u32,
        /// Free pages.
        free: Vec<Range<u32>>,
        /// Pages that no longer belong to the newest snapshot, with the transaction that wrote them and the one that
        /// stopped using them.
        retired: Vec<(Range<u32>, TransactionId, TransactionId)>,
    },
    /// The changes of one transaction.
    Delta {
        /// The transaction.
        transaction: TransactionId,
        /// The number of pages in the file after it.
        length_pages: u32,
        /// The free pages that it used.
        taken: Vec<Range<u32>>,
        /// The pages that it stopped using, with the transaction that wrote them.
        retired: Vec<(Range<u32>, TransactionId)>,
    },
    /// All named snapshots, as one transaction left them.
    Snapshots {
        /// The transaction.
        transaction: TransactionId,
        /// The names, with the newest transaction that each snapshot contains.
        named: Vec<(String, TransactionId)>,
        /// The snapshots whose names were dropped a short time ago, with the transaction that did that.
        dropped: Vec<(TransactionId, TransactionId)>,
    },
    /// One transaction has given a snapshot a name.
    SnapshotNamed {
        /// The transaction.
        transaction: TransactionId,
        /// The name.
        name: String,
        /// The newest transaction that the snapshot contains.
        snapshot: TransactionId,
    },
    /// One transaction has dropped a name.
    SnapshotDropped {
        /// The transaction.
        transaction: TransactionId,
        /// The name.
        name: String,
    },
}
