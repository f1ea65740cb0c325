//! The one error type. Every variant says what was expected, what was found, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A `Result` whose error is mapleaf's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
///
/// The text of each error (its `Display`) says what was expected, what was found and what can be
/// done. It is whole: what the system said is in it, so [`source`](std::error::Error::source) answers `None`. For a
/// decision in code there are the fields. Variants are grouped by when they occur.
///
/// ```
/// use mapleaf::{Db, Error};
///
/// let error = Db::open("/no/such/folder/app.mapleaf").unwrap_err();
/// assert!(matches!(error, Error::Io { .. }));
/// assert!(error.to_string().starts_with("cannot create /no/such/folder/app.mapleaf: "));
/// ```
#[non_exhaustive]
#[derive(Debug)]
pub enum Error {
    // ---- any time ----
    /// The operating system refused an operation on the file.
    Io {
        /// What was being done, for instance "open" or "write pages".
        action: &'static str,
        /// The file, if it has a name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes of the file are not what mapleaf wrote.
    Corrupt(Box<Corruption>),
    /// An earlier sync failed: what is on the disk is unknown until the database is opened again.
    Poisoned,

    // ---- opening ----
    /// The file does not begin as a mapleaf file does.
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// The file was written by a later version, in a format that this one does not know.
    NewerFormat {
        /// The file's format version.
        found: u32,
        /// The newest version that this library reads.
        supported: u32,
    },
    /// The file has pages of another size than `OpenOptions::page_size` asked for.
    PageSizeMismatch {
        /// The size asked for, in bytes.
        requested: usize,
        /// The file's own page size, in bytes.
        found: usize,
    },
    /// The file is shorter than its newest record says.
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the record speaks of.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// An option has a value that cannot be used.
    InvalidOption {
        /// Which option, and what is wrong with its value.
        problem: String,
    },
    /// Others have the database open, who would not see this reader: it may not write their lock file, or does without
    /// it (`salvage`).
    InUse {
        /// The file.
        path: PathBuf,
    },

    /// A process that reads the database without being seen keeps writers from writing: it may not write the lock file,
    /// or rescues or restores from the file.
    HeldOff {
        /// The file.
        path: PathBuf,
    },

    // ---- restoring ----
    /// An increment cannot be restored onto this copy, or an increment cannot follow it.
    WrongBase {
        /// The copy, or increment.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// Bytes that are to be an increment are none, or not all of it, or damaged.
    BadIncrement {
        /// What is wrong with them.
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
    /// As many handles have the database open as can be.
    TooManyHandles {
        /// How many that is.
        limit: usize,
    },
    /// The handle belongs to the parent of this forked process.
    Forked,
    /// The lock file, or the data file, is not the one that others have open: it was removed or replaced.
    Replaced {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The database cannot grow beyond `OpenOptions::max_size`.
    Full {
        /// The limit, in bytes.
        max_size: u64,
    },
    /// The file is longer, or would become longer, than what this handle has reserved addresses for.
    MappingTooSmall {
        /// The file.
        path: PathBuf,
        /// The length that it has or would have, in bytes.
        needed: u64,
        /// The length up to which this handle can see it, in bytes.
        mapped: u64,
    },
    /// The system refuses memory for a value, or for what has to be known of a file.
    OutOfMemory {
        /// How much was asked for, in bytes.
        bytes: u64,
    },
    /// An earlier operation of this transaction failed half-way; it can only be aborted.
    TransactionFailed,

    // ---- tables ----
    /// There is no table of that name.
    TableNotFound {
        /// The name.
        name: String,
    },
    /// A table of that name is there already.
    TableExists {
        /// The name.
        name: String,
    },
    /// The table is open already in this transaction.
    TableInUse {
        /// The name.
        name: String,
    },
    /// The table was created with other types.
    TableTypeMismatch {
        /// The table.
        name: String,
        /// Key and value type asked for.
        requested: String,
        /// Key and value type that the table was created with.
        found: String,
    },
    /// A table's name is too long, or the names of its two types together.
    TableNameTooLong {
        /// The length, in bytes.
        length: usize,
        /// The greatest length, in bytes.
        limit: usize,
    },

    // ---- keys and values ----
    /// The key is too long for the file's page size.
    KeyTooLong {
        /// Its encoded length, in bytes.
        length: usize,
        /// The greatest length, in bytes.
        limit: usize,
    },
    /// The value is too large.
    ValueTooLarge {
        /// Its encoded length, in bytes.
        length: u64,
        /// The greatest length, in bytes.
        limit: u64,
    },
    /// A value cannot be encoded: a serde value whose `Serialize` failed, or that would not read back as it is.
    Encode {
        /// The value's type.
        type_name: String,
        /// What the encoder said.
        problem: String,
    },
    /// Stored bytes are not a value of the table's type.
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
    /// Which property does not hold.
    pub what: &'static str,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

/// Makes an [`Error::Corrupt`]; kept out of the callers' hot code.
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

/// Which limit of the system an error means, where its own words do not say.
fn limit_met(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOMEM) => {
            "; the process has no more addresses, mappings or memory (ulimit -v, vm.max_map_count): \
             close other databases, or give a smaller max_size"
        }
        Some(libc::EMFILE) => "; the process has as many files open as it may (ulimit -n)",
        Some(libc::ENFILE) => "; the system has as many files open as it may (fs.file-max)",
        Some(libc::EAGAIN) => {
            "; the process can have no more threads, or no addresses for one (ulimit -u, ulimit -v)"
        }
        Some(libc::EFBIG) => {
            "; the process may not make a file that long (ulimit -f), or its file system cannot"
        }
        Some(libc::ENOLCK) => "; the system has no more locks, or none for this file system",
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
                    "the file is damaged: {corruption}; check() lists all damage, a backup restores it, \
                     salvage() rescues what can be read"
                )
            }
            Error::Poisoned => write!(
                f,
                "an earlier sync failed, so what is on the disk is unknown; \
                 close the database and open it again to recover the last durable commit"
            ),
            Error::NotADatabase { path, found } => write!(
                f,
                "{} is not a mapleaf database: {found}; \
                 give another path, or remove the file to create a database here",
                path.display()
            ),
            Error::NewerFormat { found, supported } => write!(
                f,
                "the file has format version {found}, this library reads up to {supported}; \
                 use a newer mapleaf"
            ),
            Error::PageSizeMismatch { requested, found } => write!(
                f,
                "a page size of {requested} bytes was asked for, but the file has pages of {found}; \
                 leave page_size out, or give {found}"
            ),
            Error::Truncated { path, expected, found } => write!(
                f,
                "{} has been cut short: its record speaks of {expected} bytes, there are {found}; \
                 restore it from a backup, or rescue what is left with salvage()",
                path.display()
            ),
            Error::InvalidOption { problem } => write!(f, "invalid option: {problem}"),
            Error::InUse { path } => write!(
                f,
                "{} is open elsewhere, and a reader that does not write {0}-lock is not seen there; \
                 allow it to write that file, or wait until nobody has the database open",
                path.display()
            ),
            Error::HeldOff { path } => write!(
                f,
                "a process reads {} that may not write {0}-lock, or rescues or restores from it, and nobody can write \
                 until that ends; end it, or let such readers write the lock file (chmod)",
                path.display()
            ),
            Error::WrongBase { path, problem } => write!(
                f,
                "{} is not what the increment was made for: {problem}; \
                 take the copy that it follows, or begin with a new copy",
                path.display()
            ),
            Error::BadIncrement { problem } => {
                write!(f, "the increment cannot be restored: {problem}; nothing was changed")
            }
            Error::ReadOnly => {
                write!(f, "the database was opened read-only; open it without read_only(true) to write")
            }
            Error::ReadersFull { slots } => {
                write!(f, "all {slots} reader slots are taken; end some read transactions first")
            }
            Error::TooManyHandles { limit } => write!(
                f,
                "{limit} handles have the database open, as many as can be; close some of them first"
            ),
            Error::Forked => write!(
                f,
                "this handle was opened before the process forked and belongs to the parent; \
                 open the database again in the child"
            ),
            Error::Replaced { path, problem } => write!(
                f,
                "{} was removed or replaced while the database was open ({problem}); \
                 close it everywhere, then open it again",
                path.display()
            ),
            Error::Full { max_size } => write!(
                f,
                "the database may not grow beyond its max_size of {max_size} bytes; \
                 open it with a larger one, or remove data"
            ),
            Error::MappingTooSmall { path, needed, mapped } => write!(
                f,
                "{} needs {needed} bytes of addresses, and this handle has reserved {mapped}; open the database again, \
                 with a max_size of {needed} or more; if the system refuses so many, raise the process's limit \
                 (ulimit -v) or close other databases",
                path.display()
            ),
            Error::OutOfMemory { bytes } => write!(
                f,
                "the system refuses {bytes} bytes of memory; use smaller values, or give the process more \
                 (ulimit -v, its control group's limit)"
            ),
            Error::TransactionFailed => write!(
                f,
                "an earlier operation of this transaction failed half-way; \
                 abort it and begin another"
            ),
            Error::TableNotFound { name } => {
                write!(f, "there is no table {name:?}; open it in a write transaction to create it")
            }
            Error::TableExists { name } => {
                write!(f, "there is a table {name:?} already; drop it first, or choose another name")
            }
            Error::TableInUse { name } => {
                write!(f, "table {name:?} is open already in this transaction; drop its handle first")
            }
            Error::TableTypeMismatch { name, requested, found } => write!(
                f,
                "table {name:?} was created as {found}, not as {requested}; open it with those types"
            ),
            Error::TableNameTooLong { length, limit } => {
                write!(f, "a table name of {length} bytes is too long: the limit is {limit}")
            }
            Error::KeyTooLong { length, limit } => write!(
                f,
                "a key of {length} bytes is too long: the limit is {limit} with this page size; \
                 shorten it, or create the file with larger pages"
            ),
            Error::ValueTooLarge { length, limit } => {
                write!(f, "a value of {length} bytes is too large: the limit is {limit}")
            }
            Error::Encode { type_name, problem } => {
                write!(f, "a value of type {type_name} cannot be stored: {problem}")
            }
            Error::Decode { type_name, problem } => write!(
                f,
                "stored bytes are not a {type_name}: {problem}; \
                 the table was written with another definition of that type"
            ),
        }
    }
}

/// `source` is always `None`: the text of an error has its cause in it already, and whoever prints a chain of errors
/// would print it twice.
impl std::error::Error for Error {}
