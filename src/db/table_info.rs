//! A table's name, types and size, as they are in the catalog.

use crate::error::Result;
use crate::format::catalog::{TableEntry, decode_name};

/// A table's name, types and size.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TableInfo {
    /// The table's name.
    pub name: String,
    /// The name of the key type, for instance "str" or "(u64,str)".
    pub key_type: String,
    /// The name of the value type.
    pub value_type: String,
    /// Entries in the table.
    pub entries: u64,
    /// Levels of the table's tree: 0 if it is empty, 1 for a single page.
    pub depth: u8,
}

impl TableInfo {
    pub(super) fn decode(name: &[u8], entry: &[u8]) -> Result<TableInfo> {
        let entry = TableEntry::decode(entry)?;
        Ok(TableInfo {
            name: decode_name(name)?.to_owned(),
            key_type: entry.key_type,
            value_type: entry.value_type,
            entries: entry.root.entries,
            depth: entry.root.depth,
        })
    }
}
