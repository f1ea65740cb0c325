//! Recognises files by their first bytes.

use crate::error::FileKind;
use crate::format::{increment, meta};

const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
const LMDB_MAGIC: u32 = 0xbeef_c0de;
/// Where the magic number of LMDB stands: after the header of a page, whose length depends on the machine's words.
const LMDB_MAGIC_OFFSETS: [usize; 2] = [16, 12];

impl FileKind {
    /// Recognises a file by its first 20 bytes. More do no harm; fewer are of an unknown kind.
    ///
    /// ```
    /// use mapleaf::FileKind;
    ///
    /// assert_eq!(FileKind::of(b"SQLite format 3\0\x10\0\x01\x01"), FileKind::Sqlite);
    /// assert_eq!(FileKind::of(b"Dear diary,"), FileKind::Unknown);
    /// ```
    pub fn of(beginning: &[u8]) -> FileKind {
        if beginning.starts_with(meta::MAGIC) {
            FileKind::Database
        } else if beginning.starts_with(increment::MAGIC) {
            FileKind::Increment
        } else if beginning.starts_with(SQLITE_MAGIC) {
            FileKind::Sqlite
        } else if LMDB_MAGIC_OFFSETS.iter().any(|&offset| is_lmdb_magic(beginning, offset)) {
            FileKind::Lmdb
        } else {
            FileKind::Unknown
        }
    }
}

/// Returns whether the magic number stands at `offset`, in the byte order of any machine.
fn is_lmdb_magic(beginning: &[u8], offset: usize) -> bool {
    let bytes = beginning.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    bytes.is_some_and(|&bytes| {
        let number = u32::from_le_bytes(bytes);
        number == LMDB_MAGIC || number == LMDB_MAGIC.swap_bytes()
    })
}
