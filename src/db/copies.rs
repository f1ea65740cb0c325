//! Copies of a snapshot.

use std::io::Write;
use std::path::Path;

use crate::copy::{self, Increment};
use crate::db::read::ReadTxn;
use crate::error::Result;

impl ReadTxn {
    /// Copies this snapshot to a new file, while others continue to write. Returns the new file's length, in bytes.
    ///
    /// When this returns, the copy is a complete and durable database under its name. Every page has been verified:
    /// damage is an error and is not copied. The copy is another database, with its own identity, and continues from
    /// this snapshot's transaction. A handle that may write makes a checkpoint first if this snapshot is in none: then
    /// increments can be restored onto the copy ([`restore`](crate::restore)). The file ends with the last page that
    /// this snapshot uses, and free pages before it are not copied. Where possible, the kernel copies the data, or the
    /// file system shares its blocks.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`](crate::Error::Io) if the file cannot be written, with
    ///   [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) if there is one. No part of the copy is left then, nor
    ///   after the process is killed. (On file systems without unnamed files, such as vfat and network file systems,
    ///   a killed process leaves `PATH-new-` and 16 digits, to be removed by hand.)
    /// - [`Error::Corrupt`](crate::Error::Corrupt) with the first damage in the snapshot.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.mapleaf"), folder.path().join("backup.mapleaf"));
    /// let db = Db::open(&path)?;
    /// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    ///
    /// db.read()?.copy_to(&backup)?;
    /// let copy = Db::open(&backup)?;
    /// assert_eq!(copy.read()?.table(&HITS)?.get(7)?, Some(1));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn copy_to(&self, path: impl AsRef<Path>) -> Result<u64> {
        copy::copy_to_file(&self.reader, path.as_ref())
    }

    /// Copies this snapshot as [`ReadTxn::copy_to`] does, to a pipe, a socket or another writer. Free pages are
    /// written as zeros. The receiver has to make the copy durable: before that, a crash can lose parts of it
    /// unnoticed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) with the writer's error; [`Error::Corrupt`](crate::Error::Corrupt), before
    /// anything is written.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let mut bytes = Vec::new();
    /// let length = db.read()?.copy_to_writer(&mut bytes)?;
    /// assert_eq!(bytes.len() as u64, length);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn copy_to_writer(&self, writer: &mut impl Write) -> Result<u64> {
        copy::copy_to_writer(&self.reader, writer)
    }

    /// Copies this snapshot as [`ReadTxn::copy_to`] does, but writes every table again in the order of its keys:
    /// pages are full and consecutive, and none is free.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::copy_to`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.mapleaf"), folder.path().join("small.mapleaf"));
    /// let db = Db::open(&path)?;
    /// db.update(|tx| (0..10_000).try_for_each(|key| tx.table(&HITS)?.insert(key, 0).map(drop)))?;
    /// db.update(|tx| tx.table(&HITS)?.remove_range(100..))?;
    ///
    /// let length = db.read()?.compact_to(&backup)?;
    /// assert_eq!(length, 4 * 4096); // two meta pages, a leaf of the table, a leaf of the catalog
    /// assert_eq!(Db::open(&backup)?.read()?.table(&HITS)?.len(), 100);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn compact_to(&self, path: impl AsRef<Path>) -> Result<u64> {
        copy::compact_to_file(&self.reader, path.as_ref())
    }

    /// Writes the changes since transaction `since` to a new file: the pages that later transactions wrote. With
    /// them, [`restore`](crate::restore) makes a copy of this snapshot from a copy of that transaction. It reads only
    /// those pages, and the headers of the pages that they refer to.
    ///
    /// `since` is the id of a snapshot of which a copy or an increment was made. [`ReadTxn::transaction_of`] returns
    /// it for a file, and checks that the file belongs to this database.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::copy_to`]; [`Error::InvalidOption`](crate::Error::InvalidOption) if `since` is 0, or newer
    /// than this snapshot.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let file = |name| folder.path().join(name);
    /// let db = Db::open(file("app.mapleaf"))?;
    /// db.update(|tx| (0..10_000).try_for_each(|key| tx.table(&HITS)?.insert(key, 0).map(drop)))?;
    /// db.read()?.copy_to(file("sunday.mapleaf"))?;
    ///
    /// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let rx = db.read()?;
    /// let since = rx.transaction_of(file("sunday.mapleaf"))?;
    /// let increment = rx.increment_to(since, file("monday.increment"))?;
    /// assert_eq!(increment.pages, 3); // a leaf, the root, a leaf of the catalog
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn increment_to(&self, since: u64, path: impl AsRef<Path>) -> Result<Increment> {
        copy::increment_to_file(&self.reader, since, path.as_ref())
    }

    /// Writes an increment as [`ReadTxn::increment_to`] does, to a pipe, a socket or another writer.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::increment_to`], and [`Error::Io`](crate::Error::Io) with the writer's error.
    /// [`restore`](crate::restore) refuses a truncated increment.
    pub fn increment_to_writer(&self, since: u64, writer: &mut impl Write) -> Result<Increment> {
        copy::increment_to_writer(&self.reader, since, writer)
    }

    /// Returns the transaction of a copy or an increment that was made of this database. An increment since that
    /// transaction can follow it. A copy must not be open anywhere.
    ///
    /// # Errors
    ///
    /// - [`Error::WrongBase`](crate::Error::WrongBase) if no increment can follow: the file is a copy of another
    ///   database, or a compacting copy, or it has been written to, or its transaction was in no checkpoint when
    ///   it was copied.
    /// - [`Error::BadIncrement`](crate::Error::BadIncrement) if the file is a damaged increment.
    /// - [`Error::InUse`](crate::Error::InUse) if the copy is open.
    /// - [`Error::NotADatabase`](crate::Error::NotADatabase), [`Error::Io`](crate::Error::Io).
    pub fn transaction_of(&self, path: impl AsRef<Path>) -> Result<u64> {
        Ok(copy::transaction_of_backup(path.as_ref(), &self.reader.identity())?.0)
    }
}
