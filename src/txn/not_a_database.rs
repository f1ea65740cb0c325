//! The error for a file that cannot be opened because neither of its meta pages is in order.
//!
//! It says what the file is instead, if that can be recognised. Above all it tells a database that has lost its meta
//! pages, which `salvage` can rescue, from a file that never was one.

use std::path::Path;

use crate::base::PageNumber;
use crate::error::{Error, FileKind};
use crate::format::meta::{META_PAGES, candidate_page_sizes};
use crate::format::page::{self, HEADER_LEN, PageKind};
use crate::sys::Storage;

/// So many bytes tell the kind of a file.
const BEGINNING_LEN: u64 = 32;
/// Among this many pages of a database, one is in order, unless the damage is large. A file that is not a database is
/// refused after some milliseconds, however long it is.
const MAX_EXAMINED_PAGES: u32 = 1024;

/// Returns the error for a file in which no meta page is in order.
pub(crate) fn no_meta_page(storage: &dyn Storage, path: &Path) -> Error {
    let length = storage.file_length().unwrap_or(0);
    match kind_of(storage, length) {
        FileKind::Database => Error::MetaPagesLost { path: path.to_owned() },
        FileKind::Unknown if has_good_page(storage, length) => Error::MetaPagesLost { path: path.to_owned() },
        _ if length == 0 => not_a_database(storage, path, "it is empty"),
        _ => not_a_database(storage, path, &format!("it has {length} bytes, but no meta page of one")),
    }
}

/// Returns the error for a file that has no part of a database. `found` describes a file of an unknown kind.
pub(crate) fn not_a_database(storage: &dyn Storage, path: &Path, found: &str) -> Error {
    let kind = kind_of(storage, storage.file_length().unwrap_or(0));
    let found = match kind {
        FileKind::Increment => "it is an increment",
        FileKind::Lmdb => "it is the data file of an LMDB database",
        FileKind::Sqlite => "it is an SQLite database",
        FileKind::Database | FileKind::Unknown => found,
    };
    Error::NotADatabase { path: path.to_owned(), kind, found: found.to_owned() }
}

fn kind_of(storage: &dyn Storage, length: u64) -> FileKind {
    let mut beginning = [0; BEGINNING_LEN as usize];
    let beginning = &mut beginning[..length.min(BEGINNING_LEN) as usize];
    storage.read(0, beginning).map_or(FileKind::Unknown, |()| FileKind::of(beginning))
}

fn has_good_page(storage: &dyn Storage, length: u64) -> bool {
    candidate_page_sizes().any(|page_size| {
        let page_count = (length / page_size as u64).min(u64::from(MAX_EXAMINED_PAGES)) as u32;
        (META_PAGES..page_count).any(|number| is_good_page(storage, PageNumber(number), page_size))
    })
}

/// Returns whether there is a page at `number`, by its header, which is read first, and its checksum. Overflow pages
/// do not count: their checksum covers more than a page.
fn is_good_page(storage: &dyn Storage, number: PageNumber, page_size: usize) -> bool {
    let offset = number.offset(page_size);
    let mut header = [0; HEADER_LEN];
    let is_one = storage.read(offset, &mut header).is_ok()
        && page::number(&header) == number
        && page::kind(&header).is_some_and(|kind| kind != PageKind::Overflow);
    if !is_one {
        return false;
    }
    let mut bytes = vec![0; page_size];
    storage.read(offset, &mut bytes).is_ok() && page::verify(&bytes, number).is_ok()
}
