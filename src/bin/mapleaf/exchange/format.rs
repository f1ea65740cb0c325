//! Forms of text, and what to do about entries that the other side cannot hold.

use clap::ValueEnum;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The text format of LMDB's `mdb_dump` and `mdb_load`.
    Lmdb,
    /// Key, tabulator, value; one table.
    Tsv,
    /// Lines of JSON, with the tables' types.
    Json,
}

/// What to do about entries that the other side cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unsuitable {
    /// Name them, and do nothing.
    Refuse,
    /// Name them, and leave them out.
    Skip,
    /// Write them all the same (`dump` only).
    Keep,
}
