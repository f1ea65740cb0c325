//! Copies of a snapshot, by a builder.

use std::io::Write;
use std::path::Path;

use crate::base::TransactionId;
use crate::copy::{self, Copied};
use crate::db::read::ReadTxn;
use crate::error::{Error, Result};

/// What is copied of a snapshot, and how. Made by [`ReadTxn::copy`].
///
/// ```
/// use mapleaf::{Db, Table};
/// const HITS: Table<u64, u64> = Table::new("hits");
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = |name| folder.path().join(name);
/// let db = Db::open(file("app.mapleaf"))?;
/// db.update(|tx| tx.table(&HITS)?.insert_many((0..10_000).map(|key| (key, 0))))?;
///
/// let sunday = db.read()?.copy().to_path(file("sunday.mapleaf"))?;
/// assert_eq!(Db::open(file("sunday.mapleaf"))?.read()?.table(&HITS)?.len(), 10_000);
///
/// // The changes since then: a leaf, the root, a leaf of the catalog.
/// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
/// let monday = db.read()?.copy().since(sunday.transaction).to_path(file("monday.increment"))?;
/// assert_eq!(monday.pages, 3);
///
/// // Without free room: two meta pages, a leaf of the table, a leaf of the catalog.
/// db.update(|tx| tx.table(&HITS)?.remove_range(100..))?;
/// let small = db.read()?.copy().compact().to_path(file("small.mapleaf"))?;
/// assert_eq!(small.bytes, 4 * 4096);
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is copied until `to_path` or `to_writer` is called"]
pub struct CopyOptions<'tx> {
    transaction: &'tx ReadTxn,
    is_compact: bool,
    since: Option<TransactionId>,
}

impl CopyOptions<'_> {
    /// Writes every table again in the order of its keys, instead of its pages as they are: pages are full and
    /// consecutive, and none is free. No increment can follow such a copy. It goes to a path only.
    pub fn compact(mut self) -> Self {
        self.is_compact = true;
        self
    }

    /// Makes an increment: only the pages that transactions after `id` wrote. With them, [`restore`](crate::restore)
    /// makes a copy of this snapshot from a copy of that transaction. It reads only those pages, and the headers of
    /// the pages that they refer to.
    ///
    /// `id` is the transaction of an earlier copy or increment, from 1 up to this snapshot's:
    /// [`Copied::transaction`], or [`ReadTxn::transaction_of`] for a file.
    pub fn since(mut self, id: TransactionId) -> Self {
        self.since = Some(id);
        self
    }

    /// Copies to a new file, while others continue to write.
    ///
    /// When this returns, the file is complete and durable under its name. Every page has been verified: damage is an
    /// error and is not copied. A copy is another database, with its own identity, and continues from this snapshot's
    /// transaction. A handle that may write makes a checkpoint first if this snapshot is in none: then increments can
    /// follow. The file ends with the last page that this snapshot uses, and free pages before it are not copied.
    /// Where possible, the kernel copies the data, or the file system shares its blocks.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`] if the file cannot be written, with [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) if
    ///   there is one. No part of the copy is left then, nor after the process is killed. (On file systems without
    ///   unnamed files, such as vfat and network file systems, a killed process leaves `PATH-new-` and 16 digits, to
    ///   be removed by hand.)
    /// - [`Error::Corrupt`] with the first damage in the snapshot.
    /// - [`Error::InvalidOption`] for an increment that is compact, or since 0 or a newer transaction than this
    ///   snapshot's.
    pub fn to_path(self, path: impl AsRef<Path>) -> Result<Copied> {
        let (reader, path) = (self.transaction.reader(), path.as_ref());
        match (self.checked_since()?, self.is_compact) {
            (Some(since), _) => copy::increment_to_file(reader, since, path),
            (None, true) => copy::compact_to_file(reader, path),
            (None, false) => copy::copy_to_file(reader, path),
        }
    }

    /// Copies as [`CopyOptions::to_path`] does, to a pipe, a socket or another writer. Free pages are written as
    /// zeros. The receiver has to make the copy durable: before that, a crash can lose parts of it unnoticed.
    /// [`restore`](crate::restore) refuses a truncated increment.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with the writer's error; [`Error::Corrupt`], before anything of a copy is written;
    /// [`Error::InvalidOption`] as above, and for a compacting copy, which is put together in a file.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let mut bytes = Vec::new();
    /// let copied = db.read()?.copy().to_writer(&mut bytes)?;
    /// assert_eq!(bytes.len() as u64, copied.bytes);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn to_writer(self, writer: &mut impl Write) -> Result<Copied> {
        let reader = self.transaction.reader();
        match (self.checked_since()?, self.is_compact) {
            (Some(since), _) => copy::increment_to_writer(reader, since, writer),
            (None, true) => Err(Error::InvalidOption {
                problem: "a compacting copy to a writer: it can be made to a path, and the file be sent"
                    .into(),
            }),
            (None, false) => copy::copy_to_writer(reader, writer),
        }
    }

    fn checked_since(&self) -> Result<Option<TransactionId>> {
        if self.is_compact && self.since.is_some() {
            let problem =
                "a copy that is compact and an increment: an increment has pages as they are".into();
            return Err(Error::InvalidOption { problem });
        }
        Ok(self.since)
    }
}

impl ReadTxn {
    /// Returns a builder of a copy of this snapshot: the whole database, a compact one, or the changes since an older
    /// copy; to a file or a writer. See [`CopyOptions`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.mapleaf"), folder.path().join("backup.mapleaf"));
    /// # let db = Db::open(&path)?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// db.read()?.copy().to_path(&backup)?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn copy(&self) -> CopyOptions<'_> {
        CopyOptions { transaction: self, is_compact: false, since: None }
    }

    /// Returns the transaction of a copy or an increment that was made of this database. An increment since that
    /// transaction can follow it. A copy must not be open anywhere.
    ///
    /// # Errors
    ///
    /// - [`Error::WrongBase`] if no increment can follow: the file is a copy of another database, or a compacting
    ///   copy, or it has been written to, or its transaction was in no checkpoint when it was copied.
    /// - [`Error::BadIncrement`] if the file is a damaged increment.
    /// - [`Error::InUse`] if the copy is open.
    /// - [`Error::NotADatabase`], [`Error::Io`].
    pub fn transaction_of(&self, path: impl AsRef<Path>) -> Result<TransactionId> {
        copy::transaction_of_backup(path.as_ref(), &self.reader.identity())
    }
}
