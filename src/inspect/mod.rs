//! One page at a time, taken apart: what its bytes mean, every field named, and what is wrong with them.
//!
//! Invariants:
//! - Nothing is written, no lock is taken, no file is created: others are not disturbed, whatever they do.
//! - Bytes are read by system calls, page by page: a sector that cannot be read is an error of that page, and no
//!   signal.
//! - I5: the file need not be sound, nor be a database. No number in it is used before it has been compared to the
//!   lengths at hand, and what a page is taken apart into takes memory in proportion to the page; of a free-log page,
//!   to the pages of the log before it.

mod anatomy;
mod fields;
mod log;
mod node;

pub use self::anatomy::{
    Anatomy, Branch, CatalogEntry, Child, Content, Field, FieldValue, Leaf, LeafEntry, LogEntry, StoredValue,
};

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::PageNumber;
use crate::base::bytes::get_u32;
use crate::error::{Corruption, Error, Result};
use crate::format::meta::{MAGIC, META_PAGES, Meta, candidate_page_sizes};
use crate::format::page::{self, PageKind, is_page_size};
use crate::format::{free_log, overflow};
use crate::sys::{Access, FileStorage, Reservation, Storage, WriteMode};
use crate::txn::recover::read_records;

/// How often a page is read before it is said to be damaged: somebody may be writing it.
const TRIES: u64 = 4;
/// A large value is read in pieces of so many bytes, for its checksum.
const PIECE_BYTES: usize = 1 << 20;

/// A file whose pages are looked at, one by one. It may be damaged, in use, or both.
///
/// ```
/// use mapleaf::inspect::{Content, Inspector};
/// use mapleaf::{Db, Table};
/// const HITS: Table<u64, u64> = Table::new("hits");
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.mapleaf");
/// let db = Db::open(&path)?;
/// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
///
/// let page = Inspector::open(&path, None)?.page(2)?;
/// assert!(page.problems.is_empty());
/// let Content::Leaf(leaf) = &page.content else { panic!("{page:?}") };
/// assert_eq!(leaf.entries[0].key, 7u64.to_be_bytes());
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub struct Inspector {
    storage: FileStorage,
    path: PathBuf,
    page_size: usize,
    pages: u32,
}

impl Inspector {
    /// Opens a file to read it. `page_size`, in bytes, is needed only if the file does not say it any more.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::NotADatabase`] if nothing says how large pages are; [`Error::InvalidOption`] if
    /// `page_size` is none; [`Error::NewerFormat`].
    pub fn open(path: impl AsRef<Path>, page_size: Option<usize>) -> Result<Inspector> {
        let path = path.as_ref();
        let io_error = |action| move |source| Error::Io { action, path: path.to_owned(), source };
        if let Some(size) = page_size.filter(|&size| !is_page_size(size)) {
            let sizes: Vec<usize> = candidate_page_sizes().collect();
            return Err(Error::InvalidOption { problem: format!("pages of {size} bytes: {sizes:?} can be") });
        }
        let storage = FileStorage::open(path, Access::ReadOnly, WriteMode::Syscall, Reservation::Nothing)
            .map_err(io_error("open"))?;
        let length = storage.file_length().map_err(io_error("examine"))?;
        let found = match page_size {
            Some(size) => Some(size),
            None => read_records(&storage)?.first().map(|record| record.page_size),
        };
        let page_size =
            found.or_else(|| declared_page_size(&storage)).ok_or_else(|| Error::NotADatabase {
                path: path.to_owned(),
                found: format!("it has {length} bytes, but no record that says how large its pages are"),
            })?;
        let pages = (length / page_size as u64).min(u64::from(PageNumber::LIMIT)) as u32;
        Ok(Inspector { storage, path: path.to_owned(), page_size, pages })
    }

    /// Bytes in a page.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// Whole pages that the file has. It may be longer than its newest record says.
    pub fn page_count(&self) -> u32 {
        self.pages
    }

    /// Takes a page apart. Whether it is in use nobody says here: a page that is free still has what it had.
    ///
    /// While others write, a page may be read when it is half written. Then it is read again, some times, before it is
    /// said to be damaged.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if the file has no such page; [`Error::Io`]. Damage is no error:
    /// [`Anatomy::problems`] has it.
    pub fn page(&self, number: u32) -> Result<Anatomy> {
        for tries in 1..TRIES {
            let page = self.page_once(number)?;
            if page.problems.is_empty() {
                return Ok(page);
            }
            std::thread::sleep(Duration::from_millis(tries));
        }
        self.page_once(number)
    }

    fn page_once(&self, number: u32) -> Result<Anatomy> {
        let mut page = Anatomy {
            number,
            bytes: self.read(PageNumber(number), 1)?,
            kind: None,
            fields: Vec::new(),
            stored_checksum: None,
            computed_checksum: None,
            content: Content::Unknown,
            problems: Vec::new(),
        };
        if number < META_PAGES {
            self.take_record(&mut page)?
        } else {
            self.take_page(&mut page)?
        }
        Ok(page)
    }

    fn take_record(&self, page: &mut Anatomy) -> Result<()> {
        page.kind = Some("record");
        if page.bytes.iter().all(|&byte| byte == 0) {
            page.content = Content::Empty;
            return Ok(());
        }
        match Meta::decode(&page.bytes, page.number) {
            Ok(record) => page.content = log::record_content(&record),
            Err(Error::Corrupt(problem)) => page.problems.push(*problem),
            Err(error) => return Err(error),
        }
        if page.bytes.starts_with(MAGIC) {
            page.fields = fields::of_record(&page.bytes);
            page.stored_checksum = Some(get_u32(&page.bytes, 8));
            page.computed_checksum = Meta::checksum_in(&page.bytes);
        }
        Ok(())
    }

    fn take_page(&self, page: &mut Anatomy) -> Result<()> {
        let Some(kind) = page::kind(&page.bytes) else {
            // Zeros were never written; anything else may be the middle of a large value.
            let is_empty = page.bytes.iter().all(|&byte| byte == 0);
            page.content = if is_empty { Content::Empty } else { Content::Unknown };
            return Ok(());
        };
        page.kind = Some(fields::kind_name(kind));
        page.fields = fields::of_page(&page.bytes, kind);
        page.stored_checksum = Some(page::stored_checksum(&page.bytes));
        page.computed_checksum = Some(self.computed_checksum(page, kind)?);
        if page.stored_checksum != page.computed_checksum {
            let text = |sum: Option<u32>| sum.map(|sum| format!("{sum:08x}")).unwrap_or_default();
            page.problem("checksum", text(page.stored_checksum), text(page.computed_checksum));
        }
        if page::number(&page.bytes) != PageNumber(page.number) {
            page.problem("page number", page.number.to_string(), page::number(&page.bytes).to_string());
        }
        let bytes = std::mem::take(&mut page.bytes);
        let mut problems = Vec::new();
        let content = match kind {
            PageKind::Leaf => node::leaf(&bytes, self.pages, &mut problems),
            PageKind::Branch => node::branch(&bytes, &mut problems),
            PageKind::Overflow => overflow::checked_page_count(&bytes, self.page_size)
                .map(|pages| Content::Overflow { pages, value_bytes: overflow::value_len(&bytes) }),
            PageKind::FreeLog => free_log::read_page(&bytes).map(|log_page| Content::FreeLog {
                starts_base: log_page.begins_base,
                entries: self.log_entries(&bytes, log_page.payload.len()).map_err(|error| error.to_string()),
            }),
        };
        page.bytes = bytes;
        page.problems.append(&mut problems);
        match content {
            Ok(content) => page.content = content,
            Err(Error::Corrupt(problem)) => page.problems.push(*problem),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Of a page, or of the whole large value that begins in it, as far as the file goes.
    fn computed_checksum(&self, page: &Anatomy, kind: PageKind) -> Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&page.bytes[4..]);
        let count = match kind {
            PageKind::Overflow => overflow::checked_page_count(&page.bytes, self.page_size).unwrap_or(1),
            _ => 1,
        };
        let end = self.pages.min(page.number.saturating_add(count));
        let step = (PIECE_BYTES / self.page_size) as u32;
        let mut next = page.number + 1;
        while next < end {
            let pages = step.min(end - next);
            hasher.update(&self.read(PageNumber(next), pages)?);
            next += pages;
        }
        Ok(hasher.finalize())
    }

    /// The entries of the free log that begin in a page with `payload_len` bytes of it.
    fn log_entries(&self, bytes: &[u8], payload_len: usize) -> Result<Vec<LogEntry>> {
        let newest = page::number(bytes);
        let chain = free_log::read_chain(newest, &[], |number| {
            let bytes = if number == newest { bytes.to_vec() } else { self.read(number, 1)? };
            page::verify(&bytes, number)?;
            Ok(bytes)
        })?;
        Ok(log::entries_from(&chain.bytes, chain.bytes.len() - payload_len))
    }

    fn read(&self, first: PageNumber, count: u32) -> Result<Vec<u8>> {
        if first.0 >= self.pages || count > self.pages - first.0 {
            let problem = format!("page {first}: the file has pages 0 to {}", i64::from(self.pages) - 1);
            return Err(Error::InvalidOption { problem });
        }
        let mut bytes = vec![0; count as usize * self.page_size];
        self.storage.read(first.offset(self.page_size), &mut bytes).map_err(|source| Error::Io {
            action: "read",
            path: self.path.clone(),
            source,
        })?;
        Ok(bytes)
    }
}

/// What slot 0 says, though its checksum be wrong.
fn declared_page_size(storage: &FileStorage) -> Option<usize> {
    let mut beginning = [0; 24];
    storage.read(0, &mut beginning).ok()?;
    let size = get_u32(&beginning, 20) as usize;
    (beginning.starts_with(MAGIC) && is_page_size(size)).then_some(size)
}

impl Anatomy {
    fn problem(&mut self, what: &'static str, expected: String, found: String) {
        self.problems.push(Corruption { page: Some(self.number), what, expected, found });
    }
}
