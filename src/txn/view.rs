//! A write transaction that any thread may read while it does not change.
//!
//! A transaction stays in its thread, because of its writer mark and its cells. What reading needs is in neither: the
//! trees with their frames, and the pages of the file. A view borrows these from the transaction, which it borrows
//! mutably.
//!
//! Why that is sound, with any number of threads:
//! - While the view exists no method of the transaction can run, so no frame, no tree and no page that only the
//!   transaction has changes. No table is open either, so all trees are in the transaction.
//! - The other pages are those of the snapshot that the transaction builds on. Newest is protected (I1), and stays
//!   newest while the transaction has the writer lock.
//! - The types in a view are shared by reference and have no cells, except for the bits of verified pages, which are
//!   atomics and are shared by all readers anyway. So the compiler finds that a view is `Send` and `Sync`.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::format::catalog::{TableEntryView, TableKind};
use crate::tree::{FramesOverPages, TreeMut, TreeTop};
use crate::txn::database::Database;
use crate::txn::open_table::OpenTable;
use crate::txn::page_file::PageFile;
use crate::txn::write::Transaction;

/// What a transaction reads.
#[derive(Clone, Copy)]
pub(crate) struct TransactionView<'a> {
    pub(crate) core: &'a Database,
    catalog: &'a TreeMut,
    tables: &'a BTreeMap<String, Option<Box<OpenTable>>>,
}

/// A tree of the transaction.
#[derive(Clone, Copy)]
pub(crate) struct TreeView<'a> {
    pub(crate) nodes: FramesOverPages<'a, PageFile>,
    pub(crate) top: TreeTop,
    pub(crate) entries: u64,
}

/// A table of the transaction.
pub(crate) struct TableView<'a> {
    pub(crate) tree: TreeView<'a>,
    pub(crate) kind: TableKind,
    pub(crate) type_names: [&'a str; 2],
}

impl Transaction {
    pub(crate) fn view(&mut self) -> Result<TransactionView<'_>> {
        self.check_usable()?;
        self.check_tables_are_back()?;
        self.settle_closed_tables()?;
        Ok(TransactionView {
            core: &self.handle.core,
            catalog: self.catalog.get_mut(),
            tables: self.tables.get_mut(),
        })
    }
}

impl<'a> TransactionView<'a> {
    /// The catalog.
    pub(crate) fn catalog(&self) -> TreeView<'a> {
        self.tree(self.catalog)
    }

    /// A table, as the transaction has changed it; `None` if there is none with this name.
    pub(crate) fn table(&self, name: &str) -> Result<Option<TableView<'a>>> {
        if let Some(Some(table)) = self.tables.get(name) {
            let (kind, type_names) = (table.entry.kind, table.entry.type_names());
            return Ok(Some(TableView { tree: self.tree(&table.tree), kind, type_names }));
        }
        let pages = &self.core.pages;
        let Some(entry) = self.catalog.get(pages, name.as_bytes())? else { return Ok(None) };
        let TableEntryView { root, kind, key_type, value_type } = TableEntryView::new(entry)?;
        let nodes = FramesOverPages::without_frames(pages);
        let tree = TreeView { nodes, top: (&root).into(), entries: root.entries };
        Ok(Some(TableView { tree, kind, type_names: [key_type, value_type] }))
    }

    fn tree(&self, tree: &'a TreeMut) -> TreeView<'a> {
        TreeView { nodes: tree.nodes(&self.core.pages), top: tree.top(), entries: tree.len() }
    }
}
