//! How a command ends: with an answer, or with a failure and its exit code.

use std::fmt::Display;
use std::io;

use mapleaf::Error;

/// The command line or the input is wrong.
pub(crate) const WRONG_INPUT: u8 = 2;
/// The file cannot be used as a database.
const UNUSABLE_FILE: u8 = 3;
/// The system, or others who use the database, refused.
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
    /// One line, or some; empty if there is nobody to read it.
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
            | Error::Corrupt(_)
            | Error::Truncated { .. }
            | Error::NewerFormat { .. } => UNUSABLE_FILE,
            Error::TableNotFound { .. }
            | Error::TableExists { .. }
            | Error::TableNameTooLong { .. }
            | Error::KeyTooLong { .. }
            | Error::ValueTooLarge { .. }
            | Error::InvalidOption { .. }
            | Error::WrongBase { .. }
            | Error::BadIncrement { .. }
            | Error::PageSizeMismatch { .. } => WRONG_INPUT,
            _ => REFUSED,
        };
        let message = match error {
            Error::Corrupt(problem) => format!(
                "the file is damaged: {problem}; `mapleaf check` lists all damage, a backup restores it, `mapleaf \
                 salvage` rescues what can be read"
            ),
            other => other.to_string(),
        };
        Failure { code, message }
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
