//! Opening multimap tables.

use std::marker::PhantomData;

use crate::db::iter::EntrySource;
use crate::db::multimap::read::MultimapRef;
use crate::db::multimap::write::MultimapMut;
use crate::db::write::{check_kind, check_types};
use crate::db::{ReadTxn, WriteTxn};
use crate::error::{Error, Result};
use crate::format::catalog::TableKind;
use crate::format::tree_root::TreeRoot;
use crate::types::{Key, MultimapTable};

impl ReadTxn {
    /// Opens a multimap table for reading.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::table`]; [`Error::TableKindMismatch`] if the table is an ordinary one.
    pub fn multimap<K: Key + ?Sized, V: Key + ?Sized>(
        &self,
        table: &MultimapTable<K, V>,
    ) -> Result<MultimapRef<'_, K, V>> {
        let name = table.name();
        let entry = self.table_entry(name)?;
        check_kind(name, entry.kind, TableKind::Multimap)?;
        check_types(name, [K::type_name(), V::type_name()], [entry.key_type, entry.value_type])?;
        Ok(self.multimap_at(&entry.root))
    }

    /// Opens a multimap table for reading, or an empty one if this snapshot does not contain it.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::multimap`], except [`Error::TableNotFound`].
    ///
    /// ```
    /// use mapleaf::{Db, MultimapTable};
    /// const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags");
    ///
    /// let rx = Db::in_memory()?.read()?;
    /// assert!(rx.multimap(&TAGS).is_err());
    /// assert_eq!(rx.multimap_or_empty(&TAGS)?.get("rust").count(), 0);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn multimap_or_empty<K: Key + ?Sized, V: Key + ?Sized>(
        &self,
        table: &MultimapTable<K, V>,
    ) -> Result<MultimapRef<'_, K, V>> {
        match self.multimap(table) {
            Err(Error::TableNotFound { .. }) => Ok(self.multimap_at(&TreeRoot::default())),
            found => found,
        }
    }

    pub(super) fn multimap_at<K: Key + ?Sized, V: Key + ?Sized>(
        &self,
        root: &TreeRoot,
    ) -> MultimapRef<'_, K, V> {
        MultimapRef::new(EntrySource::Snapshot(self.reader()), root.into(), root.entries)
    }
}

impl WriteTxn {
    /// Opens a multimap table, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`WriteTxn::table`]; [`Error::TableKindMismatch`] if there is an ordinary table with this name.
    pub fn multimap<K: Key + ?Sized, V: Key + ?Sized>(
        &self,
        table: &MultimapTable<K, V>,
    ) -> Result<MultimapMut<'_, K, V>> {
        let name = table.name();
        let open = match self.transaction.take_table(name)? {
            Some(open) => open,
            None => {
                let (key_type, value_type) = (K::type_name().into_owned(), V::type_name().into_owned());
                self.transaction.create_table(name, TableKind::Multimap, key_type, value_type)?
            }
        };
        let checked = check_kind(name, open.entry.kind, TableKind::Multimap)
            .and_then(|()| check_types(name, [K::type_name(), V::type_name()], open.entry.type_names()));
        let table = MultimapMut { transaction: &self.transaction, open: Some(open), types: PhantomData };
        checked.map(|()| table)
    }
}
