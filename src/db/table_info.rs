//! A table's name, types and size, as they are in the catalog.

use crate::error::Result;
use crate::format::catalog::{TableEntry, TableKind, decode_name};
use crate::tree::Nodes;
use crate::tree::multimap::pair_count;

/// A table's name, types and size.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TableInfo {
    /// The table's name.
    pub name: String,
    /// Whether its keys have one value each, or any number.
    pub kind: TableKind,
    /// The name of the key type, for instance "str" or "(u64,str)".
    pub key_type: String,
    /// The name of the value type.
    pub value_type: String,
    /// Entries in the table; in a multimap table, pairs of a key and a value.
    pub entries: u64,
    /// Levels of the table's tree: 0 if it is empty, 1 for a single page.
    pub depth: u8,
}

impl TableInfo {
    /// Reads an entry of the catalog, and how many pairs a multimap table has.
    pub(super) fn decode<'a>(name: &[u8], entry: &[u8], nodes: impl Nodes<'a>) -> Result<TableInfo> {
        let entry = TableEntry::decode(entry)?;
        let entries = match entry.kind {
            TableKind::Table => entry.root.entries,
            TableKind::Multimap => pair_count(nodes, (&entry.root).into(), entry.root.entries)?,
        };
        Ok(TableInfo {
            name: decode_name(name)?.to_owned(),
            kind: entry.kind,
            key_type: entry.key_type,
            value_type: entry.value_type,
            entries,
            depth: entry.root.depth,
        })
    }
}
