//! What ends a command early, and the exit code that says so.

use std::fmt::Display;
use std::io;
use std::path::Path;

use mapleaf::{Db, Error, ReadTxn};

/// The command line or the input is wrong.
pub(crate) const WRONG_INPUT: u8 = 2;
/// The file cannot be used as a database.
const UNUSABLE_FILE: u8 = 3;
/// The system, or others who use the database, refused.
pub(crate) const REFUSED: u8 = 4;
/// As shells have it for SIGINT and SIGPIPE.
pub(crate) const INTERRUPTED: i32 = 130;
const NO_READER: u8 = 141;

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

/// Opens a database to look at it. Nobody is disturbed by that.
pub(crate) fn open_to_look(path: &Path) -> Result<Db, Failure> {
    Ok(Db::options().read_only(true).create(false).open(path)?)
}

/// Opens a database that is there, to change it.
pub(crate) fn open_to_change(path: &Path) -> Result<Db, Failure> {
    Ok(Db::options().create(false).open(path)?)
}

/// There is no such table. Says which of the others may have been meant.
pub(crate) fn no_table(name: &str, names: &[String]) -> Failure {
    let nearest = names.iter().map(|other| (distance(name, other), other)).min();
    let hint = match nearest {
        None => "the database has no tables".to_owned(),
        Some((distance, other)) if distance <= name.chars().count().max(3) / 2 => {
            format!("did you mean {other:?}?")
        }
        Some(_) => format!("there are {names:?}"),
    };
    wrong(format!("there is no table {name:?}: {hint}"))
}

/// The names of all tables.
pub(crate) fn table_names(rx: &ReadTxn) -> Result<Vec<String>, Failure> {
    Ok(rx.tables()?.into_iter().map(|table| table.name).collect())
}

/// How many characters must be inserted, removed or replaced to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, character) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(character != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}
