//! Files that are not what a command expects: recognised by how they begin, so that the command can say what they are
//! and what reads them.

use std::path::Path;

use mapleaf::FileKind;

/// Recognises a file that `load` cannot read by its first bytes: what it is, and what to do with it. `file` is a name
/// for it in a command; `database` is the database that was to be loaded.
pub(crate) fn describe(beginning: &[u8], file: &str, database: &str) -> Option<String> {
    let kind = FileKind::of(beginning);
    if let Some(advice) = what_to_do(kind, file, database) {
        let what = match kind {
            FileKind::Lmdb => "an LMDB database",
            FileKind::Sqlite => "an SQLite database",
            FileKind::Increment => "an increment",
            _ => "a mapleaf database",
        };
        return Some(format!("{what}, not text; {advice}"));
    }
    let compressed =
        [(&b"\x1f\x8b"[..], "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2")];
    let (_, program) = compressed.into_iter().find(|(magic, _)| beginning.starts_with(magic))?;
    Some(format!("compressed; it is loaded by: {program} -dc {file} | mapleaf load {database}"))
}

/// What to do with a file of this kind instead of opening or loading it, if it is a known one.
pub(crate) fn what_to_do(kind: FileKind, file: &str, database: &str) -> Option<String> {
    match kind {
        FileKind::Lmdb => Some(how_to_load_lmdb("-n ", file, database)),
        FileKind::Sqlite => Some(format!(
            "a query of two columns, key and value, is loaded by: sqlite3 -tabs {file} 'SELECT ..' | mapleaf load \
             --table NAME --types KEY_TYPE,VALUE_TYPE {database}"
        )),
        FileKind::Increment => Some(format!(
            "mapleaf restore COPY {file} NEW_FILE makes a database of it and the copy that it follows"
        )),
        FileKind::Database => {
            Some(format!("its tables are loaded by: mapleaf dump --types {file} | mapleaf load {database}"))
        }
        _ => None,
    }
}

/// The same as [`describe`] of a folder: an LMDB database is one, unless it was created as a file.
pub(crate) fn describe_folder(folder: &Path, database: &str) -> Option<String> {
    let advice = || how_to_load_lmdb("", &folder.display().to_string(), database);
    folder.join("data.mdb").is_file().then(|| format!("an LMDB database, not text; {}", advice()))
}

fn how_to_load_lmdb(option: &str, file: &str, database: &str) -> String {
    format!(
        "its named tables are loaded by: mdb_dump {option}-a {file} | mapleaf load {database}, and its main table by: \
         mdb_dump {option}{file} | mapleaf load --table NAME {database}"
    )
}
