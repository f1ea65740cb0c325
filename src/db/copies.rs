//! Copies of a snapshot.

use std::io::Write;
use std::path::Path;

use crate::copy::{self, Increment};
use crate::db::read::ReadTxn;
use crate::error::Result;

impl ReadTxn {
    /// Copies this snapshot to a new file, while others go on writing. Answers the file's length, in bytes.
    ///
    /// The copy is a complete database, durable under its name when this returns, in which each page has been verified:
    /// damage is an error and is not copied. It is another database, with an identity of its own, and goes on from
    /// this snapshot's transaction. If that was durable, increments can be restored onto it
    /// ([`restore`](crate::restore)). Its file ends with the last page that this snapshot uses; free pages below that
    /// are not copied. The kernel does the copying where it can, and shares blocks on a file system that can.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`](crate::Error::Io) if the file cannot be written: with
    ///   [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) if there is one. Then nothing is left of the copy, nor is
    ///   after a kill. (On file systems that have no files without a name, vfat and network file systems among them,
    ///   a killed process leaves `PATH-new-` and 16 digits, to be removed by hand.)
    /// - [`Error::Corrupt`](crate::Error::Corrupt) for the first thing that is wrong with the snapshot.
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

    /// As [`ReadTxn::copy_to`], to a pipe, a socket, or whatever can be written. Free pages are zeros there. Whoever
    /// receives it makes it durable: until then a crash can lose parts of it that nobody would notice.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) with what the writer answered;
    /// [`Error::Corrupt`](crate::Error::Corrupt), before anything is written.
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

    /// As [`ReadTxn::copy_to`], but writes every table anew in the order of its keys: pages are full, follow each
    /// other, and none is free.
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
    /// assert_eq!(length, 4 * 4096); // two records, a leaf of the table, a leaf of the catalog
    /// assert_eq!(Db::open(&backup)?.read()?.table(&HITS)?.len(), 100);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn compact_to(&self, path: impl AsRef<Path>) -> Result<u64> {
        copy::compact_to_file(&self.reader, path.as_ref())
    }

    /// Writes what has changed since transaction `since` to a new file: the pages that were born after it. With
    /// [`restore`](crate::restore) they turn a copy of that transaction into one of this snapshot. Reads, of the whole
    /// database, those pages, and the headers of the pages that they refer to.
    ///
    /// `since` is the id of a snapshot that was copied, or of which an increment was made:
    /// [`ReadTxn::transaction_of`] tells that of a file, and that it is of this database.
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

    /// As [`ReadTxn::increment_to`], to a pipe, a socket, or whatever can be written.
    ///
    /// # Errors
    ///
    /// Those of [`ReadTxn::increment_to`], with what the writer answered. An increment that was cut short is refused
    /// when it is to be restored.
    pub fn increment_to_writer(&self, since: u64, writer: &mut impl Write) -> Result<Increment> {
        copy::increment_to_writer(&self.reader, since, writer)
    }

    /// The transaction of a copy, or of an increment, that was made of this database: an increment since that can
    /// follow it. A copy must not be open anywhere.
    ///
    /// # Errors
    ///
    /// [`Error::WrongBase`](crate::Error::WrongBase) if none can follow: it is a copy of another database, or a
    /// compacting one, it has been written to, or its transaction was not durable when it was made.
    /// [`Error::BadIncrement`](crate::Error::BadIncrement), [`Error::InUse`](crate::Error::InUse),
    /// [`Error::NotADatabase`](crate::Error::NotADatabase), [`Error::Io`](crate::Error::Io).
    pub fn transaction_of(&self, path: impl AsRef<Path>) -> Result<u64> {
        Ok(copy::transaction_of_backup(path.as_ref(), &self.reader.identity())?.0)
    }
}
