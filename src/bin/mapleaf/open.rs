//! Opens databases, and finds tables in them.

use std::path::Path;

use mapleaf::{Db, ReadTxn, TableInfo};

use crate::outcome::{Failure, wrong};

/// Opens a database to look at it. Nobody is disturbed by that.
pub(crate) fn open_read_only(path: &Path) -> Result<Db, Failure> {
    Ok(Db::options().read_only(true).create(false).open(path)?)
}

/// Opens a database that is there, to change it.
pub(crate) fn open_existing(path: &Path) -> Result<Db, Failure> {
    Ok(Db::options().create(false).open(path)?)
}

/// What the catalog says of a table.
pub(crate) fn find_table(rx: &ReadTxn, name: &str) -> Result<TableInfo, Failure> {
    let found = rx.tables()?.into_iter().find(|table| table.name == name);
    match found {
        Some(table) => Ok(table),
        None => Err(no_table(name, &table_names(rx)?)),
    }
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

/// How many entries all tables have together.
pub(crate) fn entries_of_all_tables(rx: &ReadTxn) -> Result<u64, Failure> {
    Ok(rx.tables()?.iter().map(|table| table.entries).sum())
}
