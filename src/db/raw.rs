//! Tables without types, for tools that examine databases with unknown contents.

use std::marker::PhantomData;

use crate::base::PageSet;
use crate::check::{PageCounts, PageUse, VerifyingSource, verify_tree};
use crate::db::read::{ReadTxn, TableRef};
use crate::db::write::{TableMut, WriteTxn, check_kind};
use crate::error::{Error, Result};
use crate::format::catalog::TableKind;
use crate::shm::watermarks::Snapshot;

impl ReadTxn {
    /// Opens a table of any types. Keys and values are the stored bytes. This is for tools that examine databases
    /// with unknown contents; [`ReadTxn::tables`] returns the names of the types.
    ///
    /// # Errors
    ///
    /// [`Error::TableNotFound`] if this snapshot does not contain the table; [`Error::TableKindMismatch`] if it is a
    /// multimap table, which [`ReadTxn::raw_multimap`] opens.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u16, str> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, "seven"))?;
    /// let rx = db.read()?;
    /// assert_eq!(rx.raw_table("hits")?.get(&[0, 7])?, Some(&b"seven"[..]));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn raw_table(&self, name: &str) -> Result<TableRef<'_, [u8], [u8]>> {
        let entry = self.table_entry(name)?;
        check_kind(name, entry.kind, TableKind::Table)?;
        let root = entry.root;
        Ok(TableRef { reader: &self.reader, root, types: PhantomData })
    }

    /// Returns how many pages of each kind a table has, and how much of them is in use. It reads and verifies all of
    /// the table's pages.
    ///
    /// # Errors
    ///
    /// [`Error::TableNotFound`]; [`Error::Corrupt`] with the first damage.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let pages = db.read()?.table_pages("hits")?;
    /// assert_eq!((pages.total, pages.leaves, pages.entries), (1, 1, 1));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn table_pages(&self, name: &str) -> Result<PageCounts> {
        self.table_pages_with(name, |_| {})
    }

    /// Counts as [`ReadTxn::table_pages`] does, and calls `each` with each page, in the order of the keys, a branch
    /// before its children. This gives the shape of the tree.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::table_pages`].
    ///
    /// ```
    /// # use mapleaf::{Db, PageRole, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| (0..1000).try_for_each(|key| tx.table(&HITS)?.insert(key, 0).map(drop)))?;
    /// let mut emptiest = u64::MAX;
    /// db.read()?.table_pages_with("hits", |page| {
    ///     if page.role == PageRole::Leaf {
    ///         emptiest = emptiest.min(page.used_bytes);
    ///     }
    /// })?;
    /// assert!(emptiest > 1000, "{emptiest}");
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn table_pages_with(&self, name: &str, mut each: impl FnMut(&PageUse<'_>)) -> Result<PageCounts> {
        let root = self.table_entry(name)?.root;
        let Snapshot { id, length_pages, .. } = self.reader.snapshot;
        let source = VerifyingSource { pages: self.reader.pages(), length_pages };
        verify_tree(&source, &root, id, &mut PageSet::new(length_pages)?, &mut |pages| {
            each(&PageUse::of_tree(pages, Some(name)));
        })
    }
}

impl WriteTxn {
    /// Opens an existing table of any types. Keys and values are bytes, and are stored unchanged. If they are not
    /// encodings of the table's types, a read with these types returns [`Error::Decode`].
    ///
    /// # Errors
    ///
    /// [`Error::TableNotFound`], [`Error::TableInUse`]; [`Error::TableKindMismatch`] for a multimap table.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const HITS: Table<u16, str> = Table::new("hits");
    /// let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     tx.create_table("hits", "u16", "str")?;
    ///     tx.raw_table("hits")?.insert(&[0, 7], b"seven")?;
    ///     Ok(())
    /// })?;
    /// assert_eq!(db.read()?.table(&HITS)?.get(7)?, Some("seven"));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn raw_table(&self, name: &str) -> Result<TableMut<'_, [u8], [u8]>> {
        let open = self.transaction.take_table(name)?;
        let open = open.ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?;
        let checked = check_kind(name, open.entry.kind, TableKind::Table);
        let table = TableMut { transaction: &self.transaction, open: Some(open), types: PhantomData };
        checked.map(|()| table)
    }

    /// Creates an empty table from the names of its types, as [`ReadTxn::tables`](crate::ReadTxn::tables) returns
    /// them. This is for tools that copy tables from elsewhere. The inserted bytes are not checked against the types;
    /// see [`WriteTxn::raw_table`].
    ///
    /// # Errors
    ///
    /// [`Error::TableExists`], [`Error::TableNameTooLong`].
    pub fn create_table(&self, name: &str, key_type: &str, value_type: &str) -> Result<()> {
        self.create_of_kind(name, TableKind::Table, key_type, value_type)
    }

    pub(super) fn create_of_kind(
        &self,
        name: &str,
        kind: TableKind,
        key_type: &str,
        value_type: &str,
    ) -> Result<()> {
        if let Some(open) = self.transaction.take_table(name)? {
            self.transaction.return_table(open);
            return Err(Error::TableExists { name: name.to_owned() });
        }
        let open = self.transaction.create_table(name, kind, key_type.to_owned(), value_type.to_owned())?;
        self.transaction.return_table(open);
        Ok(())
    }
}
