//! Single pages of a file: what their bytes mean, field by field, and what is wrong with them.
//!
//! Invariants:
//! - It writes nothing, takes no lock and creates no file, so it does not disturb any process that uses the file.
//! - Bytes are read by system calls, page by page. A sector that cannot be read is an error of that page, not a
//!   signal.
//! - I5: the file may be damaged, or not be a database. No number in it is used before it was compared with the
//!   lengths at hand. The result takes memory in proportion to the page; for a page of the free log, also to the
//!   pages of the log before it.

mod anatomy;
mod fields;
mod log;
mod node;

pub use self::anatomy::{
    Anatomy, Branch, CatalogEntry, Child, Content, Field, FieldValue, Leaf, LeafEntry, LogEntry, StoredValue,
};

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::bytes::get_u32;
use crate::base::{Extent, PageNumber};
use crate::error::{Corruption, Error, Result};
use crate::format::meta::{MAGIC, META_PAGES, Meta, candidate_page_sizes};
use crate::format::page::{self, PageKind, is_page_size};
use crate::format::ring::Ring;
use crate::format::{free_log, overflow};
use crate::sys::{Access, FileStorage, Reservation, Storage, WriteMode};
use crate::txn::not_a_database::not_a_database;
use crate::txn::recover::read_metas;

/// How often a page is read before problems are reported: another process may be writing it.
const TRIES: u64 = 4;
/// A large value is read in pieces of this length to compute its checksum.
const PIECE_BYTES: usize = 1 << 20;

/// Reads single pages of a file, which may be damaged, in use, or both.
///
/// ```
/// use mapleaf::admin::{Content, Inspector};
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
    /// The rings of the redo log that the meta pages name.
    rings: Vec<Extent>,
}

impl Inspector {
    /// Opens a file for reading. `page_size`, in bytes, is needed only if both meta pages are lost.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::NotADatabase`] if the file does not say how large its pages are;
    /// [`Error::InvalidOption`] if `page_size` is not a valid page size; [`Error::NewerFormat`].
    pub fn open(path: impl AsRef<Path>, page_size: Option<usize>) -> Result<Inspector> {
        let path = path.as_ref();
        let io_error = |action| move |source| Error::io(action, path, source);
        if let Some(size) = page_size.filter(|&size| !is_page_size(size)) {
            let sizes: Vec<usize> = candidate_page_sizes().collect();
            return Err(Error::InvalidOption {
                problem: format!("page_size is {size}; it must be one of {sizes:?}"),
            });
        }
        let storage = FileStorage::open(path, Access::ReadOnly, WriteMode::Syscall, Reservation::Nothing)
            .map_err(io_error("open"))?;
        let length = storage.file_length().map_err(io_error("examine"))?;
        let metas = read_metas(&storage)?;
        let found = page_size.or_else(|| metas.first().map(|meta| meta.page_size));
        let rings = metas.iter().filter_map(|meta| meta.redo.ring).map(Ring::extent).collect();
        let page_size = found.or_else(|| declared_page_size(&storage)).ok_or_else(|| {
            let found = format!("it has {length} bytes, but no meta page that gives the page size");
            not_a_database(&storage, path, &found)
        })?;
        let pages = (length / page_size as u64).min(u64::from(PageNumber::LIMIT)) as u32;
        Ok(Inspector { storage, path: path.to_owned(), page_size, pages, rings })
    }

    /// Returns the page size, in bytes.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// Returns the number of whole pages in the file, which may be longer than its newest meta page says.
    pub fn page_count(&self) -> u32 {
        self.pages
    }

    /// Reads a page and returns its parts. It does not say whether the page is in use: a free page still has its old
    /// contents.
    ///
    /// While another process writes, a page may be read when it is half written. A page with problems is therefore
    /// read again a few times before they are reported.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if the file has no such page; [`Error::Io`]. Damage is not an error:
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
            self.take_meta(&mut page)?
        } else {
            self.take_page(&mut page)?
        }
        Ok(page)
    }

    fn take_meta(&self, page: &mut Anatomy) -> Result<()> {
        page.kind = Some("meta page");
        if page.bytes.iter().all(|&byte| byte == 0) {
            page.content = Content::Empty;
            return Ok(());
        }
        match Meta::decode(&page.bytes, page.number) {
            Ok(meta) => page.content = log::meta_content(&meta),
            Err(Error::Corrupt(problem)) => page.problems.push(*problem),
            Err(error) => return Err(error),
        }
        if page.bytes.starts_with(MAGIC) {
            page.fields = fields::of_meta(&page.bytes, get_u32(&page.bytes, 16));
            page.stored_checksum = Some(get_u32(&page.bytes, 8));
            page.computed_checksum = Meta::checksum_in(&page.bytes);
        }
        Ok(())
    }

    fn take_page(&self, page: &mut Anatomy) -> Result<()> {
        if self.rings.iter().any(|ring| ring.contains(PageNumber(page.number))) {
            (page.kind, page.content) = (Some("redo log"), Content::RedoLog);
            return Ok(());
        }
        let Some(kind) = page::kind(&page.bytes) else {
            // A page of zeros was never written. Anything else may be the middle of a large value.
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

    /// Computes the checksum of a page, or of the whole large value that begins in it, up to the end of the file.
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

    /// Returns the entries of the free log that begin in a page, which has `payload_len` bytes of the log.
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
        self.storage
            .read(first.offset(self.page_size), &mut bytes)
            .map_err(|source| Error::io("read", &self.path, source))?;
        Ok(bytes)
    }
}

/// Returns the page size in slot 0, even if the checksum of the slot is wrong.
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
