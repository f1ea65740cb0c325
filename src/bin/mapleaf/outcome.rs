//! How a command ends: with an answer, or with a failure and its exit code.

use std::fmt::Display;
use std::io;

use mapleaf::Error;

use crate::exchange::foreign;

/// The command line or the input is wrong.
pub(crate) const WRONG_INPUT: u8 = 2;
/// The file cannot be used as a database.
pub(crate) const UNUSABLE_FILE: u8 = 3;
/// The system, or another process that uses the database, refused.
pub(crate) const REFUSED: u8 = 4;
/// As shells have it for SIGINT and SIGPIPE.
pub(crate) const INTERRUPTED: i32 = 130;
const NO_READER: u8 = 141;

/// How a command has ended, if not with an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    No,
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// One or more lines; empty if the process that read the output is gone.
    pub(crate) message: String,
}

/// The command line or the input is wrong.
pub(crate) fn wrong(message: impl Into<String>) -> Failure {
    Failure { code: WRONG_INPUT, message: message.into() }
}

/// The command has ended early, because it was asked to.
pub(crate) fn interrupted(effect: &str) -> Failure {
    Failure { code: INTERRUPTED as u8, message: format!("interrupted: {effect}") }
}

/// Something is wrong with a file that is no database.
pub(crate) fn file_failure(action: &str, path: impl Display) -> impl FnOnce(io::Error) -> Failure {
    let message = format!("cannot {action} {path}: ");
    move |error| Failure { code: REFUSED, message: message + &error.to_string() }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let code = match &error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => NO_READER,
            Error::NotADatabase { .. }
            | Error::MetaPagesLost { .. }
            | Error::Corrupt(_)
            | Error::Truncated { .. }
            | Error::NewerFormat { .. } => UNUSABLE_FILE,
            Error::TableNotFound { .. }
            | Error::TableExists { .. }
            | Error::TableNameTooLong { .. }
            | Error::SnapshotNotFound { .. }
            | Error::SnapshotExists { .. }
            | Error::SnapshotNameLength { .. }
            | Error::KeyTooLong { .. }
            | Error::PairTooLong { .. }
            | Error::TableKindMismatch { .. }
            | Error::KeyOutOfOrder { .. }
            | Error::ValueTooLarge { .. }
            | Error::InvalidOption { .. }
            | Error::WrongBase { .. }
            | Error::BadIncrement { .. }
            | Error::PageSizeMismatch { .. } => WRONG_INPUT,
            _ => REFUSED,
        };
        Failure { code, message: message_of(&error) }
    }
}

/// Returns the message for an error. Where the library's text names functions, this one names commands and options.
fn message_of(error: &Error) -> String {
    match error {
        Error::Corrupt(problem) => format!(
            "the file is damaged: {problem}; list all damage with `mapleaf check`, and restore a backup, or rescue \
             what can be read with `mapleaf salvage`"
        ),
        Error::NotADatabase { path, kind, found } => {
            let advice = foreign::what_to_do(*kind, &path.display().to_string(), "NEW_FILE");
            let advice = advice.unwrap_or_else(|| "use another path".to_owned());
            format!("{} is not a mapleaf database: {found}; {advice}", path.display())
        }
        Error::MetaPagesLost { path } => format!(
            "{} is a damaged mapleaf database: neither of its two meta pages is in order; restore a backup, or rescue \
             what can be read with `mapleaf salvage`",
            path.display()
        ),
        Error::Truncated { path, expected, found } => format!(
            "{} is truncated: expected {expected} bytes, found {found}; restore it from a backup, or rescue what is \
             left with `mapleaf salvage`",
            path.display()
        ),
        Error::Poisoned => {
            "an earlier sync failed, so what is on the disk is unknown; end all programs that have the \
                            database open; the next one recovers the last durable commit"
                .to_owned()
        }
        Error::PageSizeMismatch { requested, found } => format!(
            "the file has pages of {found} bytes, not of {requested}; leave --page-size out, or set it to {found}"
        ),
        Error::InvalidOption { problem } => {
            format!("invalid option: {}", problem.replace("page_size", "--page-size"))
        }
        Error::ReadOnly => "the database was opened read-only: this command does not write".to_owned(),
        Error::Full { max_size } => format!(
            "the database cannot grow beyond {max_size} bytes, the address space that this system reserves for it; \
             remove data"
        ),
        Error::TransactionFailed => {
            "an earlier change in the transaction failed; nothing was changed".to_owned()
        }
        Error::TableNotFound { name } => format!("there is no table {name:?}"),
        Error::TableExists { name } => {
            format!("there is already a table {name:?}; drop it with `mapleaf drop`, or choose another name")
        }
        Error::SnapshotNotFound { name } => {
            format!("there is no snapshot {name:?}; `mapleaf snapshots` lists them")
        }
        Error::TableInUse { name } => format!("table {name:?} is already open in this transaction"),
        other => other.to_string(),
    }
}

/// Writing to standard output has failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { code: NO_READER, message: String::new() },
            _ => Failure { code: REFUSED, message: format!("cannot write to standard output: {error}") },
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        io::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mapleaf::{Corruption, FileKind};

    use super::*;

    /// Returns every error that a command can meet.
    fn errors() -> Vec<Error> {
        let (path, name) = (PathBuf::from("app.mapleaf"), "users".to_owned());
        let text = |text: &str| text.to_owned();
        let corruption =
            Corruption { page: Some(7), what: "checksum", expected: text("1"), found: text("2") };
        let foreign = |kind| Error::NotADatabase { path: path.clone(), kind, found: text("it has 7 bytes") };
        vec![
            Error::Io {
                action: "open",
                path: path.clone(),
                source: io::Error::from(io::ErrorKind::NotFound).into(),
            },
            Error::Corrupt(Box::new(corruption)),
            Error::Poisoned,
            foreign(FileKind::Unknown),
            foreign(FileKind::Database),
            foreign(FileKind::Increment),
            foreign(FileKind::Lmdb),
            foreign(FileKind::Sqlite),
            Error::MetaPagesLost { path: path.clone() },
            Error::NewerFormat { found: 9, supported: 2 },
            Error::PageSizeMismatch { requested: 4096, found: 8192 },
            Error::Truncated { path: path.clone(), expected: 8192, found: 4096 },
            Error::InvalidOption { problem: text("page_size is 5; it must be a power of two") },
            Error::InUse { path: path.clone() },
            Error::WrongBase { path: path.clone(), problem: text("it has been written to") },
            Error::BadIncrement { problem: text("it ends too early") },
            Error::ReadOnly,
            Error::ReadersFull { slots: 1 },
            Error::TooManyHandles { limit: 1 },
            Error::Forked,
            Error::Replaced { path, problem: "it was removed" },
            Error::Full { max_size: 1 },
            Error::TransactionFailed,
            Error::NoSuchSavepoint,
            Error::SavepointInChange,
            Error::TableNotFound { name: name.clone() },
            Error::TableExists { name: name.clone() },
            Error::TableInUse { name: name.clone() },
            Error::TableTypeMismatch { name, requested: text("u8 to u8"), found: text("str to str") },
            Error::TableNameTooLong { length: 9000, limit: 1024 },
            Error::SnapshotNotFound { name: text("before") },
            Error::SnapshotExists { name: text("before") },
            Error::SnapshotNameLength { length: 0, limit: 255 },
            Error::KeyTooLong { length: 9000, limit: 1984 },
            Error::ValueTooLarge { length: 9, limit: 8 },
            Error::Encode { type_name: text("u8"), problem: text("none") },
            Error::Decode { type_name: text("u8"), problem: text("none") },
        ]
    }

    #[test]
    fn messages_name_commands_and_options_not_functions() {
        for error in errors() {
            let message = Failure::from(error).message;
            let message =
                message.replace("NEW_FILE", "").replace("KEY_TYPE,VALUE_TYPE", "").replace("mdb_dump", "");
            let is_of_code = |word: &str| word.contains("()") || word.contains("::") || word.contains('_');
            assert!(!message.split(' ').any(is_of_code), "{message}");
        }
    }
}
