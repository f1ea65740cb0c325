//! The library's only error type. The text of every variant says what was expected, what was found, and what to do.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod as_io;
mod file_kind;

pub use self::file_kind::FileKind;
use self::file_kind::what_to_do_with;

/// A `Result` whose error is mapleaf's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error that every fallible function of this crate returns.
///
/// `Display` gives a complete sentence: what was expected, what was found, and what to do. It includes the message of
/// an [`io::Error`], so [`source`](StdError::source) returns only what caused that error in turn. Code that decides
/// what to do next matches the variant and reads its fields. Variants are grouped by when they occur.
///
/// `Debug` writes the same sentence, followed by the sources if there are any: so a program whose `main` returns
/// [`Result`] ends with a text for its user.
///
/// An error can be cloned, and becomes an [`io::Error`] by [`From`].
///
/// ```
/// use mapleaf::{Db, Error};
///
/// let error = Db::open("/no/such/folder/app.mapleaf").unwrap_err();
/// assert!(matches!(error, Error::Io { .. }));
/// assert!(error.to_string().starts_with("cannot create /no/such/folder/app.mapleaf: "));
/// assert_eq!(format!("{error:?}"), error.to_string());
/// ```
#[non_exhaustive]
#[derive(Clone)]
pub enum Error {
    // ---- any time ----
    /// The operating system refused an operation on the file.
    Io {
        /// The operation, for instance "open" or "write pages".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error, or that of the reader or writer that the caller passed.
        source: Arc<io::Error>,
    },
    /// The bytes of the file are not what mapleaf wrote.
    Corrupt(Box<Corruption>),
    /// An earlier sync failed. What is on the disk is unknown, so no process can write until every process has closed
    /// the database and one opens it again.
    Poisoned,

    // ---- opening ----
    /// The file is not a mapleaf database.
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What kind of file it is, as far as its first bytes show.
        kind: FileKind,
        /// What the file contains instead.
        found: String,
    },
    /// The file is a mapleaf database both of whose meta pages are lost: other pages of it are in order.
    MetaPagesLost {
        /// The file.
        path: PathBuf,
    },
    /// The file has a format version that this library does not know: a newer version of the library wrote it.
    NewerFormat {
        /// The file's format version.
        found: u32,
        /// The newest version that this library reads.
        supported: u32,
    },
    /// The file's page size differs from the one that `OpenOptions::page_size` requests.
    PageSizeMismatch {
        /// The requested size, in bytes.
        requested: usize,
        /// The file's own page size, in bytes.
        found: usize,
    },
    /// The file is shorter than its newest meta page says.
    Truncated {
        /// The file.
        path: PathBuf,
        /// The length that the meta page gives, in bytes.
        expected: u64,
        /// The file's length, in bytes.
        found: u64,
    },
    /// An option has an invalid value.
    InvalidOption {
        /// Which option, and what is wrong with its value.
        problem: String,
    },
    /// Other handles have the database open, and they could not see this reader: it has no permission to write the
    /// lock file, or does not use it (`salvage`, `restore`).
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A process that writers cannot see reads the database, so no process can write. It has no permission to write
    /// the lock file, or it runs `salvage` or `restore` on the file.
    HeldOff {
        /// The file.
        path: PathBuf,
    },

    // ---- restoring ----
    /// An increment does not fit this copy or increment.
    WrongBase {
        /// The copy or increment that the new increment was to follow.
        path: PathBuf,
        /// Why it does not fit.
        problem: String,
    },
    /// The input is not an increment, or a truncated or damaged one.
    BadIncrement {
        /// What is wrong with the input.
        problem: String,
    },

    // ---- transactions ----
    /// The database was opened read-only.
    ReadOnly,
    /// All reader slots are taken.
    ReadersFull {
        /// How many slots there are.
        slots: usize,
    },
    /// The database is already open the maximum number of times, in all processes.
    TooManyHandles {
        /// The maximum.
        limit: usize,
    },
    /// The handle was opened before this process was forked, and belongs to the parent process.
    Forked,
    /// The data file or the lock file was removed or replaced while handles had it open.
    Replaced {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A change needs more space than `OpenOptions::max_size` allows.
    Full {
        /// The limit, in bytes.
        max_size: u64,
    },
    /// The file is longer, or would become longer, than the address range that this handle has reserved.
    MappingTooSmall {
        /// The file.
        path: PathBuf,
        /// The file's length, or the length that it would have, in bytes.
        needed: u64,
        /// The length of the reserved address range, in bytes.
        mapped: u64,
    },
    /// The system refuses an allocation whose size a value or the file determines.
    OutOfMemory {
        /// The size of the allocation, in bytes.
        bytes: u64,
    },
    /// This thread already has a write transaction of the database open, and would wait for itself.
    WriteInProgress,
    /// Other write transactions did not end within the timeout.
    WriteTimedOut {
        /// The file.
        path: PathBuf,
        /// The timeout.
        timeout: Duration,
    },
    /// An earlier change in this transaction failed and was left incomplete. The transaction can only be aborted, or go
    /// back to a savepoint.
    TransactionFailed,
    /// The transaction has no such savepoint: it is another transaction's, it was released, or the transaction has gone
    /// back to an earlier one or released that.
    NoSuchSavepoint,
    /// A savepoint was asked for in the closure of a bulk load or of `retain`, which is in the middle of a change.
    SavepointInChange,

    // ---- tables ----
    /// There is no table with this name.
    TableNotFound {
        /// The name.
        name: String,
    },
    /// There is already a table with this name.
    TableExists {
        /// The name.
        name: String,
    },
    /// The table is already open in this transaction.
    TableInUse {
        /// The name.
        name: String,
    },
    /// The table was created with other types.
    TableTypeMismatch {
        /// The table's name.
        name: String,
        /// The requested key and value types.
        requested: String,
        /// The key and value types that the table was created with.
        found: String,
    },
    /// The table is of the other kind: a multimap table was opened as an ordinary one, or the reverse.
    TableKindMismatch {
        /// The table's name.
        name: String,
        /// Whether the table is a multimap table.
        is_multimap: bool,
    },
    /// The name of a table, or the names of its two types together, are too long.
    TableNameTooLong {
        /// The length, in bytes.
        length: usize,
        /// The maximum, in bytes.
        limit: usize,
    },

    // ---- named snapshots ----
    /// There is no snapshot with this name.
    SnapshotNotFound {
        /// The name.
        name: String,
    },
    /// There is already a snapshot with this name.
    SnapshotExists {
        /// The name.
        name: String,
    },
    /// The name of a snapshot is empty or too long.
    SnapshotNameLength {
        /// The length, in bytes.
        length: usize,
        /// The maximum, in bytes.
        limit: usize,
    },

    // ---- keys and values ----
    /// The key is too long for the file's page size.
    KeyTooLong {
        /// The key's encoded length, in bytes.
        length: usize,
        /// The maximum, in bytes.
        limit: usize,
    },
    /// A key and a value of a multimap table are too long together for the file's page size.
    PairTooLong {
        /// The encoded length of both, in bytes. The end of a key of text or bytes takes two bytes.
        length: usize,
        /// The maximum, in bytes.
        limit: usize,
    },
    /// The key does not belong where the call is to insert it.
    KeyOutOfOrder {
        /// Where that is.
        place: &'static str,
    },
    /// The value is too large.
    ValueTooLarge {
        /// The value's encoded length, in bytes.
        length: u64,
        /// The maximum, in bytes.
        limit: u64,
    },
    /// A serde value cannot be encoded: its `Serialize` failed, or the encoding would decode to a different value.
    Encode {
        /// The value's type.
        type_name: String,
        /// The encoder's message.
        problem: String,
    },
    /// Stored bytes are not a key or value of the table's type.
    Decode {
        /// The type.
        type_name: String,
        /// What is wrong with the bytes.
        problem: String,
    },
}

/// What is wrong with a page of the file, in [`Error::Corrupt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The page's number, if it is known.
    pub page: Option<u32>,
    /// The property that does not hold.
    pub what: &'static str,
    /// The expected value.
    pub expected: String,
    /// The value in the file.
    pub found: String,
}

impl Error {
    #[cold]
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io { action, path: path.into(), source: Arc::new(source) }
    }
}

/// Builds an [`Error::Corrupt`]. It is `#[cold]` to stay out of the callers' hot code.
#[cold]
pub(crate) fn corrupt(
    page: Option<u32>,
    what: &'static str,
    expected: impl fmt::Display,
    found: impl fmt::Display,
) -> Error {
    Error::Corrupt(Box::new(Corruption {
        page,
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    }))
}

/// Names the system limit that caused `source`, where the system's own message does not.
fn limit_met(source: &io::Error) -> &'static str {
    if cfg!(windows) {
        return ""; // its numbers are others
    }
    match source.raw_os_error() {
        Some(libc::ENOMEM) => {
            "; the process has no more addresses, mappings or memory (ulimit -v, vm.max_map_count): \
             close other databases, or set a smaller max_size"
        }
        Some(libc::EMFILE) => "; the process has reached its limit of open files (ulimit -n)",
        Some(libc::ENFILE) => "; the system has reached its limit of open files (fs.file-max)",
        Some(libc::EAGAIN) => {
            "; the process has reached its limit of threads or of addresses (ulimit -u, ulimit -v)"
        }
        Some(libc::EFBIG) => "; the file exceeds the limit of the process (ulimit -f) or of the file system",
        Some(libc::ENOLCK) => "; the system has no more file locks, or the file system does not support them",
        _ => "",
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(page) = self.page {
            write!(f, "page {page}: ")?;
        }
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}{}", path.display(), limit_met(source))
            }
            Error::Corrupt(corruption) => {
                write!(
                    f,
                    "the file is damaged: {corruption}; list all damage with check(), and restore a backup, or \
                     rescue what can be read with salvage()"
                )
            }
            Error::Poisoned => write!(
                f,
                "an earlier sync failed, so what is on the disk is unknown; close the database in all processes, \
                 then open it again to recover the last durable commit"
            ),
            Error::NotADatabase { path, kind, found } => {
                write!(f, "{} is not a mapleaf database: {found}; {}", path.display(), what_to_do_with(*kind))
            }
            Error::MetaPagesLost { path } => write!(
                f,
                "{} is a damaged mapleaf database: neither of its two meta pages is in order; \
                 restore a backup, or rescue what can be read with salvage()",
                path.display()
            ),
            Error::NewerFormat { found, supported } => write!(
                f,
                "the file has format version {found}, and this library reads versions up to {supported}; \
                 use a newer mapleaf"
            ),
            Error::PageSizeMismatch { requested, found } => write!(
                f,
                "the file has pages of {found} bytes, not of {requested} as requested; \
                 leave page_size out, or set it to {found}"
            ),
            Error::Truncated { path, expected, found } => write!(
                f,
                "{} is truncated: expected {expected} bytes, found {found}; \
                 restore it from a backup, or rescue what is left with salvage()",
                path.display()
            ),
            Error::InvalidOption { problem } => write!(f, "invalid option: {problem}"),
            Error::InUse { path } => write!(
                f,
                "{} is open elsewhere, and other handles cannot see a reader that does not write {0}-lock; \
                 give this process permission to write that file, or close the database elsewhere",
                path.display()
            ),
            Error::HeldOff { path } => write!(
                f,
                "writing has to wait for a process that reads {} without writing {0}-lock, or salvages or restores \
                 from it; end that process, or give such readers permission to write the lock file (chmod)",
                path.display()
            ),
            Error::WrongBase { path, problem } => write!(
                f,
                "the increment does not fit {}: {problem}; use the copy that it follows, or make a new copy",
                path.display()
            ),
            Error::BadIncrement { problem } => {
                write!(f, "the increment cannot be restored: {problem}; nothing was changed; make it again")
            }
            Error::ReadOnly => {
                write!(f, "the database was opened read-only; open it without read_only(true) to write")
            }
            Error::ReadersFull { slots } => {
                write!(f, "all {slots} reader slots are in use; end some read transactions first")
            }
            Error::TooManyHandles { limit } => write!(
                f,
                "the database is already open {limit} times, the maximum; close some of its handles first"
            ),
            Error::Forked => write!(
                f,
                "this handle was opened before the process was forked, and belongs to the parent process; \
                 open the database again in the child"
            ),
            Error::Replaced { path, problem } => write!(
                f,
                "{} was removed or replaced while the database was open ({problem}); \
                 close the database in all processes, then open it again",
                path.display()
            ),
            Error::Full { max_size } => write!(
                f,
                "the database needs more than its max_size of {max_size} bytes; \
                 open it with a larger one, or remove data"
            ),
            Error::MappingTooSmall { path, needed, mapped } => write!(
                f,
                "{} needs {needed} bytes of addresses, but this handle has reserved {mapped}; \
                 open the database again, with a max_size of {needed} or more; if the system refuses that, \
                 raise the process's limit (ulimit -v) or close other databases",
                path.display()
            ),
            Error::OutOfMemory { bytes } => write!(
                f,
                "the system refuses {bytes} bytes of memory; use smaller values, or raise the process's limit \
                 (ulimit -v, or the limit of its control group)"
            ),
            Error::WriteInProgress => write!(
                f,
                "this thread already has a write transaction of this database open, and would wait for itself; \
                 commit or abort that one first, or do everything in it"
            ),
            Error::WriteTimedOut { path, timeout } => write!(
                f,
                "another write transaction of {} was still open after {timeout:?}; \
                 try again later, or wait for longer (write_timeout)",
                path.display()
            ),
            Error::TransactionFailed => write!(
                f,
                "an earlier change in this transaction failed and was left incomplete; \
                 abort the transaction and begin another, or go back to a savepoint"
            ),
            Error::NoSuchSavepoint => write!(
                f,
                "the transaction has no such savepoint: it belongs to another transaction, was released, or is later \
                 than one that was released or gone back to; make a savepoint again"
            ),
            Error::SavepointInChange => write!(
                f,
                "a savepoint cannot be made in the closure of a bulk load or of `retain`; make it before that"
            ),
            Error::TableNotFound { name } => {
                write!(f, "there is no table {name:?}; check its name, or create it in a write transaction")
            }
            Error::TableExists { name } => {
                write!(f, "there is already a table {name:?}; drop it first, or choose another name")
            }
            Error::TableInUse { name } => {
                write!(
                    f,
                    "table {name:?} is already open in this transaction; drop the open `TableMut` first"
                )
            }
            Error::TableTypeMismatch { name, requested, found } => write!(
                f,
                "table {name:?} was created as {found}, not as {requested}; open it with those types"
            ),
            Error::TableKindMismatch { name, is_multimap: true } => write!(
                f,
                "table {name:?} is a multimap table and was opened as an ordinary one; open it with a MultimapTable"
            ),
            Error::TableKindMismatch { name, is_multimap: false } => write!(
                f,
                "table {name:?} is an ordinary table and was opened as a multimap table; open it with a Table"
            ),
            Error::TableNameTooLong { length, limit } => {
                write!(
                    f,
                    "the name of a table, or of its types, is too long: it has {length} bytes, the limit is \
                     {limit}; shorten it"
                )
            }
            Error::SnapshotNotFound { name } => {
                write!(f, "there is no snapshot {name:?}; list the names with snapshots()")
            }
            Error::SnapshotExists { name } => {
                write!(f, "there is already a snapshot {name:?}; drop it first, or choose another name")
            }
            Error::SnapshotNameLength { length, limit } => {
                write!(f, "the name of a snapshot has {length} bytes; choose one of 1 to {limit} bytes")
            }
            Error::KeyTooLong { length, limit } => write!(
                f,
                "a key of {length} bytes is too long: the limit is {limit} with this page size; \
                 shorten it, or create the database with larger pages"
            ),
            Error::PairTooLong { length, limit } => write!(
                f,
                "a key and a value of a multimap table have {length} bytes together: the limit is {limit} with this \
                 page size; shorten them, or create the database with larger pages"
            ),
            Error::KeyOutOfOrder { place } => write!(f, "the key does not belong {place}; use `insert`"),
            Error::ValueTooLarge { length, limit } => {
                write!(f, "a value of {length} bytes is too large: the limit is {limit}; store it in parts")
            }
            Error::Encode { type_name, problem } => {
                write!(f, "a value of type {type_name} cannot be stored: {problem}")
            }
            Error::Decode { type_name, problem } => write!(
                f,
                "stored bytes are not a {type_name}: {problem}; \
                 read the table with the definition of that type with which it was written"
            ),
        }
    }
}

/// Writes the same text as `Display`, and then the sources.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let sources = std::iter::successors(self.source(), |&error| error.source());
        sources.into_iter().try_for_each(|source| write!(f, "\n  caused by: {source}"))
    }
}

impl StdError for Error {
    /// Returns what caused the [`io::Error`] in [`Error::Io`], which happens with a caller's own reader or writer. The
    /// text of the `io::Error` itself is already in the text of this error.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Io { source, .. } => source.source(),
            _ => None,
        }
    }
}
