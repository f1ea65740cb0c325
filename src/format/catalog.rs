//! The entries of the catalog: the key is the name of a table, the value its root and types.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | root page |
//! | 4 | 1 | depth: 0 empty, 1 a single leaf |
//! | 5 | 1 | kind: 1 a table, 2 a multimap table (`multimap.rs`) |
//! | 6 | 2 | length of the key type's name, in bytes |
//! | 8 | 8 | entries |
//! | 16 | | key type's name, then value type's name (UTF-8) |

use crate::base::PageNumber;
use crate::base::bytes::{get_u16, get_u32, get_u64, put_u16, put_u32, put_u64};
use crate::error::{Result, corrupt};
use crate::format::meta::META_PAGES;
use crate::format::tree_root::{MAX_DEPTH, TreeRoot};

const FIXED_LEN: usize = 16;
const TABLE: u8 = 1;
const MULTIMAP: u8 = 2;

/// The longest name of a table, and the longest pair of type names, in bytes.
pub(crate) const MAX_NAME_LEN: usize = 1024;

/// A table's name, from the catalog's key.
pub(crate) fn decode_name(key: &[u8]) -> Result<&str> {
    let wrong = |found: String| corrupt(None, "name of a table", "UTF-8, at most 1024 bytes", found);
    if key.len() > MAX_NAME_LEN {
        return Err(wrong(format!("{} bytes", key.len())));
    }
    std::str::from_utf8(key).map_err(|error| wrong(error.to_string()))
}

/// How many values a key of a table can have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TableKind {
    /// One: the table is opened with a [`Table`](crate::Table).
    Table,
    /// Any number: the table is opened with a [`MultimapTable`](crate::MultimapTable).
    Multimap,
}

impl TableKind {
    fn decode(byte: u8) -> Option<TableKind> {
        match byte {
            TABLE => Some(TableKind::Table),
            MULTIMAP => Some(TableKind::Multimap),
            _ => None,
        }
    }
}

/// The catalog's entry for a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TableEntry {
    pub(crate) root: TreeRoot,
    pub(crate) kind: TableKind,
    pub(crate) key_type: String,
    pub(crate) value_type: String,
}

impl TableEntry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; FIXED_LEN];
        put_u32(&mut bytes, 0, self.root.page.0);
        bytes[4] = self.root.depth;
        bytes[5] = match self.kind {
            TableKind::Table => TABLE,
            TableKind::Multimap => MULTIMAP,
        };
        put_u16(&mut bytes, 6, self.key_type.len() as u16);
        put_u64(&mut bytes, 8, self.root.entries);
        bytes.extend_from_slice(self.key_type.as_bytes());
        bytes.extend_from_slice(self.value_type.as_bytes());
        bytes
    }

    /// The names of the key type and the value type.
    pub(crate) fn type_names(&self) -> [&str; 2] {
        [&self.key_type, &self.value_type]
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<TableEntry> {
        let TableEntryView { root, kind, key_type, value_type } = TableEntryView::new(bytes)?;
        Ok(TableEntry { root, kind, key_type: key_type.to_owned(), value_type: value_type.to_owned() })
    }
}

/// A [`TableEntry`] borrowed from the catalog's page.
#[derive(Clone, Copy)]
pub(crate) struct TableEntryView<'a> {
    pub(crate) root: TreeRoot,
    pub(crate) kind: TableKind,
    pub(crate) key_type: &'a str,
    pub(crate) value_type: &'a str,
}

impl<'a> TableEntryView<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<TableEntryView<'a>> {
        let wrong = |found: String| corrupt(None, "catalog entry", "root, kind and type names", found);
        if bytes.len() < FIXED_LEN {
            return Err(wrong(format!("{} bytes", bytes.len())));
        }
        let kind = TableKind::decode(bytes[5]).ok_or_else(|| wrong(format!("kind {}", bytes[5])))?;
        let names = &bytes[FIXED_LEN..];
        let (key_type, value_type) = names
            .split_at_checked(usize::from(get_u16(bytes, 6)))
            .ok_or_else(|| wrong(format!("type names of {} bytes", names.len())))?;
        let text =
            |name| std::str::from_utf8(name).map_err(|_| wrong("type names that are not UTF-8".into()));
        let page = PageNumber(get_u32(bytes, 0));
        if page.0 >= PageNumber::LIMIT {
            return Err(wrong(format!("root page {page}")));
        }
        Ok(TableEntryView {
            root: TreeRoot { page, depth: bytes[4], entries: get_u64(bytes, 8) },
            kind,
            key_type: text(key_type)?,
            value_type: text(value_type)?,
        })
    }

    /// Reads what may be an entry of the catalog or anything else, in a file of `page_count` pages; `None` if it
    /// cannot be one.
    pub(crate) fn by_chance(name: &[u8], bytes: &'a [u8], page_count: u32) -> Option<TableEntryView<'a>> {
        let entry = TableEntryView::new(bytes).ok().filter(|_| decode_name(name).is_ok())?;
        let TreeRoot { page, depth, entries } = entry.root;
        let is_place = depth == 0 || (META_PAGES..page_count).contains(&page.0);
        let is_tree = depth <= MAX_DEPTH && (depth == 0) == (entries == 0);
        let is_type_name =
            |name: &str| !name.is_empty() && name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        (is_place && is_tree && is_type_name(entry.key_type) && is_type_name(entry.value_type))
            .then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_text() {
        assert_eq!(decode_name("n\u{e4}me".as_bytes()).unwrap(), "n\u{e4}me");
        assert!(decode_name(&[b'a'; MAX_NAME_LEN]).is_ok());
        assert!(decode_name(&[b'a'; MAX_NAME_LEN + 1]).is_err());
        assert!(decode_name(&[b'a', 0xff]).is_err());
    }

    #[test]
    fn round_trip_and_every_cut_is_a_value_or_corrupt() {
        let entry = TableEntry {
            root: TreeRoot { page: PageNumber(7), depth: 3, entries: 1 << 40 },
            kind: TableKind::Multimap,
            key_type: "(str,u64)".into(),
            value_type: "bytes".into(),
        };
        let bytes = entry.encode();
        assert_eq!(TableEntry::decode(&bytes).unwrap(), entry);
        for cut in 0..bytes.len() {
            assert!(TableEntry::decode(&bytes[..cut]).map_or(true, |found| found != entry));
        }
    }
}
