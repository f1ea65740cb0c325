//! For tools that examine databases with unknown contents: tables as bytes, the use of pages, the parts of a page.
//!
//! **No promise.** This module shows how a file is built. Unlike the rest of the crate, it may change with any
//! version. An application that knows its tables does not need it.

pub use crate::check::{PageRole, PageUse};
pub use crate::db::multimap::{
    RawMultimapMut, RawMultimapRef, create_multimap, raw_multimap, raw_multimap_mut,
};
pub use crate::db::raw::{create_table, raw_table, raw_table_mut, table_pages, unused_pages};
pub use crate::inspect::{
    Anatomy, Branch, CatalogEntry, Child, Content, Field, FieldValue, Inspector, Leaf, LeafEntry, LogEntry,
    StoredValue,
};
