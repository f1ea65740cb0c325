//! What a file is that is not a database, and what can be done with it.

/// What kind of file the first bytes of a file show, in [`Error::NotADatabase`](crate::Error::NotADatabase).
///
/// ```
/// use mapleaf::{Db, Error, FileKind};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("contacts.db");
/// std::fs::write(&path, b"SQLite format 3\0...").unwrap();
/// let error = Db::open(&path).unwrap_err();
/// assert!(matches!(error, Error::NotADatabase { kind: FileKind::Sqlite, .. }));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A mapleaf database.
    Database,
    /// An increment that mapleaf wrote ([`CopyOptions::since`](crate::CopyOptions::since)).
    Increment,
    /// The data file of an LMDB database.
    Lmdb,
    /// An SQLite database.
    Sqlite,
    /// Something else.
    Unknown,
}

/// Says what can be done with a file of `kind`. It never advises to remove a file, which may be all that is left of
/// something.
pub(super) fn what_to_do_with(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Increment => "pass it to restore(), with the copy that it follows",
        FileKind::Lmdb => {
            "use another path; `mdb_dump` writes its tables as text, which `mapleaf load` reads"
        }
        FileKind::Sqlite => {
            "use another path; `sqlite3` writes its tables as text, which `mapleaf load` reads"
        }
        FileKind::Database | FileKind::Unknown => "use another path",
    }
}
