//! Tables without types, and the pages of tables: functions of [`admin`](crate::admin).

use std::marker::PhantomData;

use crate::base::PageSet;
use crate::check::{self, PageCounts, PageUse, VerifyingSource, verify_tree};
use crate::db::Db;
use crate::db::read::{ReadTxn, TableRef};
use crate::db::write::{TableMut, WriteTxn, check_kind};
use crate::error::{Error, Result};
use crate::format::catalog::TableKind;
use crate::shm::watermarks::Snapshot;

/// Opens a table of any types for reading. Keys and values are the stored bytes. [`ReadTxn::tables`] returns the names
/// of the types.
///
/// # Errors
///
/// [`Error::TableNotFound`] if the snapshot does not contain the table, [`Error::TableKindMismatch`] if it is a
/// multimap table.
///
/// ```
/// # use mapleaf::{Db, Table, admin};
/// # const HITS: Table<u16, str> = Table::new("hits");
/// # let db = Db::in_memory()?;
/// # db.update(|tx| tx.table(&HITS)?.insert(7, "seven"))?;
/// let rx = db.read()?;
/// assert_eq!(admin::raw_table(&rx, "hits")?.get(&[0, 7])?, Some(&b"seven"[..]));
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub fn raw_table<'tx>(rx: &'tx ReadTxn, name: &str) -> Result<TableRef<'tx, [u8], [u8]>> {
    let entry = rx.table_entry(name)?;
    check_kind(name, entry.kind, TableKind::Table)?;
    Ok(TableRef { reader: &rx.reader, root: entry.root, types: PhantomData })
}

/// Opens an existing table of any types for writing. Keys and values are bytes, and are stored unchanged. If they are
/// not encodings of the table's types, a read with these types returns [`Error::Decode`].
///
/// # Errors
///
/// [`Error::TableNotFound`], [`Error::TableInUse`]; [`Error::TableKindMismatch`] for a multimap table.
///
/// ```
/// # use mapleaf::{Db, Table, admin};
/// const HITS: Table<u16, str> = Table::new("hits");
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     admin::create_table(tx, "hits", "u16", "str")?;
///     admin::raw_table_mut(tx, "hits")?.insert(&[0, 7], b"seven")?;
///     Ok(())
/// })?;
/// assert_eq!(db.read()?.table(&HITS)?.get(7)?, Some("seven"));
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub fn raw_table_mut<'tx>(tx: &'tx WriteTxn, name: &str) -> Result<TableMut<'tx, [u8], [u8]>> {
    let open = tx.transaction.take_table(name)?;
    let open = open.ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?;
    let checked = check_kind(name, open.entry.kind, TableKind::Table);
    let table = TableMut { transaction: &tx.transaction, open: Some(open), types: PhantomData };
    checked.map(|()| table)
}

/// Creates an empty table from the names of its types, as [`ReadTxn::tables`] returns them: for tools that copy tables
/// from elsewhere. The inserted bytes are not checked against the types; see [`raw_table_mut`].
///
/// # Errors
///
/// [`Error::TableExists`], [`Error::TableNameTooLong`].
pub fn create_table(tx: &WriteTxn, name: &str, key_type: &str, value_type: &str) -> Result<()> {
    create_of_kind(tx, name, TableKind::Table, key_type, value_type)
}

pub(super) fn create_of_kind(
    tx: &WriteTxn,
    name: &str,
    kind: TableKind,
    key_type: &str,
    value_type: &str,
) -> Result<()> {
    if let Some(open) = tx.transaction.take_table(name)? {
        tx.transaction.return_table(open);
        return Err(Error::TableExists { name: name.to_owned() });
    }
    let open = tx.transaction.create_table(name, kind, key_type.to_owned(), value_type.to_owned())?;
    tx.transaction.return_table(open);
    Ok(())
}

/// Calls `each` with each page of a table, in the order of the keys, a branch before its children, and returns how many
/// pages of each kind the table has, and how much of them is in use. It reads and verifies all of the table's pages.
///
/// # Errors
///
/// [`Error::TableNotFound`]; [`Error::Corrupt`] with the first damage.
///
/// ```
/// # use mapleaf::{Db, Table, admin};
/// # const HITS: Table<u64, u64> = Table::new("hits");
/// # let db = Db::in_memory()?;
/// # db.update(|tx| (0..1000).try_for_each(|key| tx.table(&HITS)?.insert(key, 0).map(drop)))?;
/// let mut emptiest = u64::MAX;
/// let counts = admin::table_pages(&db.read()?, "hits", |page| {
///     if page.role == admin::PageRole::Leaf {
///         emptiest = emptiest.min(page.used_bytes);
///     }
/// })?;
/// assert!(emptiest > 1000, "{emptiest}");
/// assert_eq!((counts.total, counts.entries), (counts.leaves + counts.branches, 1000));
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub fn table_pages(rx: &ReadTxn, name: &str, mut each: impl FnMut(&PageUse<'_>)) -> Result<PageCounts> {
    let root = rx.table_entry(name)?.root;
    let Snapshot { id, length_pages, .. } = rx.reader.snapshot;
    let source = VerifyingSource { pages: rx.reader.pages(), length_pages };
    verify_tree(&source, &root, id, &mut PageSet::new(length_pages)?, &mut |pages| {
        each(&PageUse::of_tree(pages, Some(name)));
    })
}

/// Calls `each` with the pages that the newest transaction does not use: free pages, and retired pages with whether a
/// snapshot needs them. It reads only the description of free space. The counts equal those of [`Db::check`].
///
/// # Errors
///
/// Those of [`Db::check`], and [`Error::Corrupt`] if the description of free space is damaged.
///
/// ```
/// use mapleaf::admin::{self, PageRole};
/// use mapleaf::{Db, Table};
/// const HITS: Table<u64, u64> = Table::new("hits");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| (0..1000).try_for_each(|key| tx.table(&HITS)?.insert(key, 0).map(drop)))?;
/// db.update(|tx| tx.table(&HITS)?.clear())?;
/// let mut free = 0;
/// admin::unused_pages(&db, |page| match page.role {
///     PageRole::Retired { is_needed: true, .. } => {}
///     _ => free += page.count,
/// })?;
/// assert_eq!(free, db.check()?.counts().free);
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub fn unused_pages(db: &Db, each: impl FnMut(&PageUse<'_>)) -> Result<()> {
    check::unused_pages(&db.handle.core, each)
}
