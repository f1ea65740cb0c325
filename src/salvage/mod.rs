//! Rescues what can be read of a damaged file into a new database: what [`salvage`] does.
//!
//! 1. **Open** the file for reading, and find the good meta pages and the page size (`source.rs`).
//! 2. **Survey** the state of the newest meta page: every table's leaves in key order, and the gaps that lost
//!    branches leave (`state.rs`, `survey.rs`). Without a meta page, survey the newest catalog among all pages.
//! 3. **Scan** all pages, if there are gaps, for leaves that no readable branch refers to (`scan.rs`). If a part of
//!    the catalog is lost, find the roots of its tables (`roots.rs`). Give each other leaf to its table, or to an
//!    extra one (`orphans.rs`).
//! 4. **Write** the new database, check it, and give it its name (`target.rs`).
//!
//! Invariants:
//! - The damaged file is never written, and no file is created beside it.
//! - What good pages reach takes precedence. What the free log lists as unused is never taken. The rest may be put
//!   into an extra table, but never into a table that it may not belong to.
//! - I5: whatever the bytes are, salvage ends. Time is in proportion to the file's length; so is memory, which is far
//!   smaller.

mod orphans;
mod report;
mod roots;
mod scan;
mod shape;
mod source;
mod state;
mod survey;
mod target;

pub use self::report::{LostEntry, SalvageReport, SalvagedTable};

use std::path::Path;

use crate::base::{PageNumber, PageSet};
use crate::error::{Error, Result};
use crate::format::meta::Meta;
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, is_page_size};
use crate::format::ring::Ring;
use crate::salvage::scan::Scan;
use crate::salvage::source::Source;
use crate::salvage::state::State;
use crate::sys;

/// Options for [`salvage_with`].
///
/// ```
/// let options = mapleaf::SalvageOptions::default().page_size(16384);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
pub struct SalvageOptions {
    page_size: Option<usize>,
}

impl SalvageOptions {
    /// Sets the page size of the damaged file, in bytes. By default it is read from a meta page; if both are lost, it
    /// is the size with which the most pages have the right checksum.
    pub fn page_size(mut self, bytes: usize) -> SalvageOptions {
        self.page_size = Some(bytes);
        self
    }
}

/// Rescues every entry that can be read from the damaged database at `path` into a new one at `new_path`, and reports
/// what was lost.
///
/// The new database has the same page size, tables of the same names and types, and the mode of the damaged file (if
/// the process runs as root, also its owner and group). It is complete, checked and durable when this returns; before
/// that, no file has its name. The damaged file is only read, and its lock file is not needed: it may be on a
/// read-only file system. No process may have it open; writers wait meanwhile. Memory is needed for the largest
/// value, for 64 MiB of changed pages, and for some bytes for each page.
///
/// What good pages reach is rescued as the newest checkpoint with a good meta page left it, and then the changes of
/// the redo log are made again, as far as it can be read. Entries below a lost branch are found by a search through
/// all pages. If it is not known to which table they belong, they are put into tables `lost+found/1` and so on, of
/// type `[u8]` to `[u8]`. If both meta pages or a part of the catalog are lost as well, tables are found by the
/// newest catalog that can be read, and by older copies of it. An entry whose large value is damaged is lost; the
/// report has its key.
///
/// # Errors
///
/// - [`Error::Io`] if the file cannot be opened, or the new one cannot be created: with
///   [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) if there is a file of that name.
/// - [`Error::InUse`] if another process or handle has the damaged database open.
/// - [`Error::NotADatabase`] if the file has no good meta page and no other good page; [`Error::NewerFormat`].
/// - Any error of writing a database. No new file is then left.
///
/// ```
/// use mapleaf::{Db, Table};
///
/// const CAPITALS: Table<str, str> = Table::new("capitals");
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let (path, new_path) = (folder.path().join("world.mapleaf"), folder.path().join("rescued.mapleaf"));
/// let db = Db::open(&path)?;
/// db.update(|tx| tx.table(&CAPITALS)?.insert("Japan", "Tokyo"))?;
/// drop(db);
/// // Both meta pages are overwritten. The file cannot be opened any more.
/// let mut bytes = std::fs::read(&path).unwrap();
/// bytes[..8192].fill(0xff);
/// std::fs::write(&path, bytes).unwrap();
/// assert!(Db::open(&path).is_err());
///
/// let report = mapleaf::salvage(&path, &new_path)?;
/// assert_eq!((&report.tables[0].name[..], report.tables[0].entries), ("capitals", 1));
/// println!("{report}");
/// let db = Db::open(&new_path)?;
/// assert_eq!(db.read()?.table(&CAPITALS)?.get("Japan")?, Some("Tokyo"));
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub fn salvage(path: impl AsRef<Path>, new_path: impl AsRef<Path>) -> Result<SalvageReport> {
    salvage_with(path, new_path, &SalvageOptions::default())
}

/// Does what [`salvage`] does, with options.
///
/// # Errors
///
/// Those of [`salvage`]; [`Error::InvalidOption`] if the page size is not valid, [`Error::PageSizeMismatch`] if a
/// good meta page has another.
///
/// ```no_run
/// use mapleaf::SalvageOptions;
///
/// let options = SalvageOptions::default().page_size(8192);
/// let report = mapleaf::salvage_with("damaged.mapleaf", "rescued.mapleaf", &options)?;
/// println!("{report}");
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub fn salvage_with(
    path: impl AsRef<Path>,
    new_path: impl AsRef<Path>,
    options: &SalvageOptions,
) -> Result<SalvageReport> {
    if let Some(size) = options.page_size.filter(|&size| !is_page_size(size)) {
        return Err(Error::InvalidOption {
            problem: format!(
                "page_size is {size}; it must be a power of two from {MIN_PAGE_SIZE} to {MAX_PAGE_SIZE} bytes"
            ),
        });
    }
    let (source, metas) = Source::open(path.as_ref(), options.page_size)?;
    sys::check_is_free(new_path.as_ref()).map_err(|source| Error::io("create", new_path.as_ref(), source))?;
    let mut report =
        SalvageReport { page_size: source.page_size, pages: source.page_count, ..Default::default() };
    let mut state = match State::of_metas(&source, &metas)? {
        Some((state, meta)) => with_meta(state, &meta, &mut report)?,
        None => without_record(&source, &mut report)?.ok_or_else(|| source.nothing_found())?,
    };
    let written = target::write(&mut state, new_path.as_ref())?;
    report.damaged_pages = state.damaged;
    report.problems = state.problems;
    report.problems.append(written.problems, "writing");
    report.tables = written.tables;
    report.lost = written.lost;
    report.replayed_transactions = written.replayed;
    Ok(report)
}

/// Adds to the state of a meta page what belongs to it although no readable branch refers to it.
fn with_meta<'a>(mut state: State<'a>, meta: &Meta, report: &mut SalvageReport) -> Result<State<'a>> {
    report.has_meta = true;
    report.transaction = Some(meta.id);
    let has_gaps = state.tables.iter().any(|table| !table.tree.gaps.is_empty());
    if !has_gaps && !state.is_catalog_hidden {
        return Ok(state);
    }
    let source = state.survey.source;
    let unused = unused_pages(source, meta)?;
    report.has_free_log = Some(unused.is_some());
    let scan = Scan::of(source, &state.survey.seen, unused.as_ref(), meta.id);
    add_strays(&mut state, &scan, unused.is_some(), report)?;
    Ok(state)
}

/// Returns the state of the newest catalog that can be found, or `None` if the file has no page of any tree.
fn without_record<'a>(source: &'a Source, report: &mut SalvageReport) -> Result<Option<State<'a>>> {
    let mut state = State::unknown(source)?;
    let scan = Scan::of(source, &state.survey.seen, None, state.newest);
    if scan.strays.is_empty() && scan.catalogs.is_empty() {
        return Ok(None);
    }
    if let Some((catalog, id)) = scan.newest_catalog() {
        state = State::of_catalog(source, &catalog, id)?;
        report.transaction = Some(id);
    }
    let has_gaps = state.tables.iter().any(|table| !table.tree.gaps.is_empty());
    if has_gaps || state.is_catalog_hidden {
        report.has_free_log = Some(false);
        add_strays(&mut state, &scan, false, report)?;
    }
    Ok(Some(state))
}

fn add_strays(
    state: &mut State<'_>,
    scan: &Scan,
    is_live_known: bool,
    report: &mut SalvageReport,
) -> Result<()> {
    if state.is_catalog_hidden {
        roots::add_lost_tables(state, scan, is_live_known)?;
    }
    report.set_orphans(&orphans::adopt(state, scan, is_live_known));
    Ok(())
}

/// Returns the pages that are free or retired by the free log, or `None` if it cannot be read.
fn unused_pages(source: &Source, meta: &Meta) -> Result<Option<PageSet>> {
    let Ok(space) = source.space(meta) else { return Ok(None) };
    let mut unused = PageSet::new(source.page_count)?;
    let retired = space.retired().iter().map(|retired| retired.run);
    let ring = meta.redo.ring.map(Ring::extent);
    for run in space.free().iter().chain(retired).chain(ring).filter(|run| run.first >= PageNumber(2)) {
        unused.insert_run(run);
    }
    Ok(Some(unused))
}

#[cfg(test)]
mod tests;
