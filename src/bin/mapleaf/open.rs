//! Opens databases, and finds tables in them.

use std::path::Path;

use mapleaf::admin::Inspector;
use mapleaf::{Db, Error, FileKind, ReadTxn, TableInfo, WriteTxn};

use crate::outcome::{Failure, UNUSABLE_FILE, wrong};

/// Opens a database for reading. No other process waits for that.
pub(crate) fn open_read_only(path: &Path) -> Result<Db, Failure> {
    Ok(Db::options().read_only(true).create(false).open(path)?)
}

/// Begins to read the newest state, or the snapshot with this name.
pub(crate) fn read_at(db: &Db, name: Option<&str>) -> Result<ReadTxn, Failure> {
    Ok(match name {
        Some(name) => db.read_at(name)?,
        None => db.read()?,
    })
}

/// Opens an existing database for writing.
pub(crate) fn open_existing(path: &Path) -> Result<Db, Failure> {
    Ok(Db::options().create(false).open(path)?)
}

/// Has a checkpoint made if the snapshot is newer than the last one: only then can increments follow what is copied.
/// That needs a handle that may write. Where it cannot be had the copy is as good, and no increment follows it.
pub(crate) fn checkpoint_for_increments(db: &Db, rx: &ReadTxn, path: &Path) -> Result<(), Failure> {
    if db.stats()?.checkpointed < rx.id()
        && let Ok(writer) = open_existing(path)
        && let Err(error) = writer.checkpoint()
    {
        eprintln!("mapleaf: no increment can follow this: {}", error);
    }
    Ok(())
}

/// Opens any file to read its pages. `page_size` is their size in bytes, if no meta page has it any more.
pub(crate) fn open_pages(path: &Path, page_size: Option<usize>) -> Result<Inspector, Failure> {
    Inspector::open(path, page_size).map_err(|error| match error {
        Error::NotADatabase { path, kind: FileKind::Unknown, found } => Failure {
            code: UNUSABLE_FILE,
            message: format!(
                "{} is not a mapleaf database, or its meta pages are lost: {found}; give the size of its pages with \
                 --page-size",
                path.display()
            ),
        },
        other => other.into(),
    })
}

/// The catalog's entry of a table.
pub(crate) fn find_table(rx: &ReadTxn, name: &str) -> Result<TableInfo, Failure> {
    find_in(rx.tables()?, name)
}

/// The same in a transaction that is to change the table.
pub(crate) fn find_table_to_change(tx: &WriteTxn, name: &str) -> Result<TableInfo, Failure> {
    find_in(tx.tables()?, name)
}

fn find_in(tables: Vec<TableInfo>, name: &str) -> Result<TableInfo, Failure> {
    match tables.iter().find(|table| table.name == name) {
        Some(table) => Ok(table.clone()),
        None => {
            let names: Vec<String> = tables.into_iter().map(|table| table.name).collect();
            Err(no_table(name, &names))
        }
    }
}

/// A failure that says that a table does not exist, with the table that may have been meant.
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

/// How many entries all tables have together.
pub(crate) fn entries_of_all_tables(rx: &ReadTxn) -> Result<u64, Failure> {
    Ok(rx.tables()?.iter().map(|table| table.entries).sum())
}
