//! The library's error as the standard library's.

use std::io;

use super::Error;

/// The result has the same text and the nearest [`io::ErrorKind`]. `get_ref` and `downcast_ref` return the original
/// error.
///
/// ```
/// use std::io;
///
/// fn names_of_tables(path: &str) -> io::Result<Vec<String>> {
///     let db = mapleaf::Db::options().create(false).open(path)?;
///     Ok(db.read()?.tables()?.into_iter().map(|table| table.name).collect())
/// }
///
/// let error = names_of_tables("/no/such/file.mapleaf").unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::NotFound);
/// assert!(error.get_ref().unwrap().is::<mapleaf::Error>());
/// ```
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(io_kind(&error), error)
    }
}

fn io_kind(error: &Error) -> io::ErrorKind {
    use io::ErrorKind;
    match error {
        Error::Io { source, .. } => source.kind(),
        Error::Corrupt(_)
        | Error::NotADatabase { .. }
        | Error::MetaPagesLost { .. }
        | Error::Truncated { .. }
        | Error::BadIncrement { .. }
        | Error::Decode { .. } => ErrorKind::InvalidData,
        Error::InvalidOption { .. }
        | Error::PageSizeMismatch { .. }
        | Error::WrongBase { .. }
        | Error::TableTypeMismatch { .. }
        | Error::TableKindMismatch { .. }
        | Error::TableNameTooLong { .. }
        | Error::SnapshotNameLength { .. }
        | Error::KeyTooLong { .. }
        | Error::PairTooLong { .. }
        | Error::KeyOutOfOrder { .. }
        | Error::ValueTooLarge { .. }
        | Error::NoSuchSavepoint
        | Error::SavepointInChange
        | Error::Encode { .. } => ErrorKind::InvalidInput,
        Error::NewerFormat { .. } => ErrorKind::Unsupported,
        Error::TableNotFound { .. } | Error::SnapshotNotFound { .. } => ErrorKind::NotFound,
        Error::TableExists { .. } | Error::SnapshotExists { .. } => ErrorKind::AlreadyExists,
        Error::InUse { .. }
        | Error::HeldOff { .. }
        | Error::ReadersFull { .. }
        | Error::TooManyHandles { .. }
        | Error::TableInUse { .. } => ErrorKind::ResourceBusy,
        Error::WriteInProgress => ErrorKind::Deadlock,
        Error::WriteTimedOut { .. } => ErrorKind::TimedOut,
        Error::ReadOnly => ErrorKind::PermissionDenied,
        Error::Full { .. } => ErrorKind::StorageFull,
        Error::OutOfMemory { .. } | Error::MappingTooSmall { .. } => ErrorKind::OutOfMemory,
        Error::Poisoned | Error::Forked | Error::Replaced { .. } | Error::TransactionFailed => {
            ErrorKind::Other
        }
    }
}
