//! What a page is taken apart into.

use std::fmt;
use std::ops::Range;

use crate::error::Corruption;

/// A page, taken apart: see [`Inspector::page`](super::Inspector::page).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Anatomy {
    /// The page's place in the file: its offset divided by the page size.
    pub number: u32,
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// `record`, `leaf`, `branch`, `overflow` or `free log`, as its place or its header says; `None` if it says nothing
    /// that is known.
    pub kind: Option<&'static str>,
    /// The fields of its header, or of its record, in their order.
    pub fields: Vec<Field>,
    /// The checksum that is stored; `None` where there is no header.
    pub stored_checksum: Option<u32>,
    /// The checksum of the bytes that are there: of a large value, of all its pages. `None` if the length that it goes
    /// over is not known.
    pub computed_checksum: Option<u32>,
    /// What the header is followed by.
    pub content: Content,
    /// All that is wrong, as far as the page tells by itself.
    pub problems: Vec<Corruption>,
}

/// A field of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Field {
    /// Where it is in the page, in bytes.
    pub offset: usize,
    /// How many bytes it has.
    pub length: usize,
    /// What it is.
    pub name: &'static str,
    /// What it has.
    pub value: FieldValue,
}

/// What a field has.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FieldValue {
    /// A number.
    Number(u64),
    /// Bytes that are no number, or of which the digits matter: checksums.
    Bytes(Vec<u8>),
}

/// Numbers in decimal digits, bytes in hexadecimal ones.
impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldValue::Number(number) => number.fmt(f),
            FieldValue::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// What a page has behind its header.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Content {
    /// Nothing but zeros: never used, or, of a record's page, erased.
    Empty,
    /// What cannot be told: the middle of a large value has no header, and damage can look like anything.
    Unknown,
    /// A record.
    Meta {
        /// The pages that this commit stored, if the record vouches for them.
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
        /// Pages that it takes.
        pages: u32,
        /// Its length.
        value_bytes: u64,
    },
    /// A part of the log of free space.
    FreeLog {
        /// Whether the log begins in this page.
        starts_base: bool,
        /// What begins in this page. An entry that ends in a later page is not among them. An error if the pages of the
        /// log before this one cannot be read: where entries begin is not known then.
        entries: Result<Vec<LogEntry>, String>,
    },
}

/// A leaf.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Leaf {
    /// What all keys of the page begin with.
    pub prefix: Vec<u8>,
    /// The entries, in the order of their keys.
    pub entries: Vec<LeafEntry>,
    /// What the entries say if this is a leaf of the catalog: a table each. Empty if some entry cannot be one of the
    /// catalog's.
    pub tables: Vec<CatalogEntry>,
    /// Bytes between the tables and the heap.
    pub gap_bytes: usize,
}

/// What the catalog says of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CatalogEntry {
    /// Its name.
    pub name: String,
    /// The root of its tree; meaningless while `depth` is 0.
    pub root: u32,
    /// Levels of its tree: 0 if it is empty.
    pub depth: u8,
    /// Its entries.
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
    /// Where its head is in the page: the first four bytes of the key behind the prefix.
    pub head_at: usize,
    /// Where its slot is, which says where the rest is. `None` in a dense leaf, where that is computed.
    pub slot_at: Option<usize>,
    /// Where the rest of the key and the value are.
    pub heap: Range<usize>,
    /// The whole key, prefix included.
    pub key: Vec<u8>,
    /// The value, or where it is.
    pub value: StoredValue,
}

/// A value as a leaf has it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoredValue {
    /// The value itself.
    Inline(Vec<u8>),
    /// It lies on pages of its own.
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
    /// What all separators of the page begin with.
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
    /// Where its number is in the page.
    pub at: usize,
    /// Its page.
    pub page: u32,
    /// The separator to its left, prefix included: its keys are at least that. `None` for the first.
    pub separator: Option<Vec<u8>>,
}

/// An entry of the log of free space.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LogEntry {
    /// The whole state of free space.
    Base {
        /// Pages that the file has.
        length_pages: u32,
        /// Free pages.
        free: Vec<Range<u32>>,
        /// Pages that no longer belong to the newest snapshot: which, the transaction that wrote them, and the one that
        /// did without them.
        retired: Vec<(Range<u32>, u64, u64)>,
    },
    /// What one transaction changed.
    Delta {
        /// The transaction.
        transaction: u64,
        /// Pages that the file has after it.
        length_pages: u32,
        /// Pages that it used.
        taken: Vec<Range<u32>>,
        /// Pages that it did without, and the transaction that wrote them.
        retired: Vec<(Range<u32>, u64)>,
    },
}
