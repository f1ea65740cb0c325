//! Input that is not text: recognised by how it begins, so that `load` can say what it is and what reads it.

use std::path::Path;

/// Recognises a file that `load` cannot read by its first bytes: what it is, and what to do with it. `file` is a name
/// for it in a command; `database` is the database that was to be loaded.
pub(crate) fn describe(beginning: &[u8], file: &str, database: &str) -> Option<String> {
    if is_lmdb(beginning) {
        return Some(describe_lmdb("-n ", file, database));
    }
    if beginning.starts_with(b"SQLite format 3\0") {
        return Some(format!(
            "an SQLite database, not text; a query of two columns, key and value, is loaded by: sqlite3 -tabs {file} \
             'SELECT ..' | mapleaf load --table NAME --types KEY_TYPE,VALUE_TYPE {database}"
        ));
    }
    if beginning.starts_with(b"mapleafi") {
        return Some(format!(
            "an increment, not text: mapleaf restore COPY {file} NEW_FILE makes a database of it and the copy that it \
             follows"
        ));
    }
    if beginning.starts_with(b"mapleaf\0") {
        return Some(format!(
            "a mapleaf database, not text; its tables are loaded by: mapleaf dump --types {file} | mapleaf load \
             {database}"
        ));
    }
    let compressed =
        [(&b"\x1f\x8b"[..], "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2")];
    let (_, program) = compressed.into_iter().find(|(magic, _)| beginning.starts_with(magic))?;
    Some(format!("compressed; it is loaded by: {program} -dc {file} | mapleaf load {database}"))
}

/// The same of a folder: an LMDB database is one, unless it was created as a file.
pub(crate) fn describe_folder(folder: &Path, database: &str) -> Option<String> {
    folder.join("data.mdb").is_file().then(|| describe_lmdb("", &folder.display().to_string(), database))
}

fn describe_lmdb(option: &str, file: &str, database: &str) -> String {
    format!(
        "an LMDB database, not text; its named tables are loaded by: mdb_dump {option}-a {file} | mapleaf load \
         {database}, and its main table by: mdb_dump {option}{file} | mapleaf load --table NAME {database}"
    )
}

/// LMDB's first page has a header, as long as the machine's words make it, and then a magic number, in the machine's
/// order of bytes.
fn is_lmdb(beginning: &[u8]) -> bool {
    const MAGIC: u32 = 0xbeef_c0de;
    let is_magic_at = |at: usize| {
        let bytes = beginning.get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.is_some_and(|&bytes| {
            let number = u32::from_le_bytes(bytes);
            [MAGIC, MAGIC.swap_bytes()].contains(&number)
        })
    };
    is_magic_at(16) || is_magic_at(12)
}
