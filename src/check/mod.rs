//! The whole database, verified: what [`Db::check`](crate::Db::check) does.
//!
//! Invariants checked: every page of the file is exactly one of record, reachable, retired or free; every checksum,
//! page number, kind and level; no page is newer than the page that refers to it; keys are in order in
//! and across pages; the counts of tables are right; the free log says what the writer believes.
//!
//! Invariants kept:
//! - No problem ends the check: what can still be read is. What lies below a damaged page cannot be told from lost
//!   pages: that is one problem, with the number of pages, not one for each.
//! - Whatever the file says, each of its pages is read once or twice, and memory is in proportion to the file's length:
//!   all trees share one set of pages seen, and only so many problems are kept ([`Problems`]).

mod page_use;
mod report;
mod unused;

pub use self::page_use::{PageRole, PageUse};
pub(crate) use self::report::Problems;
pub use self::report::{CheckReport, PageCounts};
pub(crate) use self::unused::unused_pages;
use self::unused::visit_unused;

use std::io;
use std::time::{Duration, Instant};

use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{Extent, PageNumber, PageSet, TransactionId};
use crate::error::{Corruption, Error, Result, corrupt};
use crate::format::catalog::{TableEntry, decode_name};
use crate::format::free_log::FIRST_PAGE;
use crate::format::leaf::LeafView;
use crate::format::meta::META_PAGES;
use crate::format::page::{PageHeader, PageKind};
use crate::shm::reader_table::ReaderSlot;
use crate::shm::watermarks::{CommittedState, Snapshot};
use crate::space::Space;
use crate::space::partition::PartitionProblem;
use crate::tree::nodes::resolve;
use crate::tree::pages::{PageSource, TreeRoot};
use crate::tree::walk::{VisitedPages, Visitor, walk};
use crate::txn::database::Database;
use crate::txn::file_locks::Wait;
use crate::txn::free_space::WriterFreeSpace;
use crate::txn::free_space::load_free_space;
use crate::txn::page_file::PageFile;
use crate::txn::writer_lock::WriterState;

/// Who has published a commit takes the syncer's turn at once. After so long without it he is not there any more.
const MAX_UNSYNCED: Duration = Duration::from_secs(1);

/// Who is told what each page is used for, as it is found, and what has been counted so far. In a sound file each page
/// is told of once. One that is damaged or lost is not told of, and one that has two uses is told of for each.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(&PageUse<'_>, &PageCounts);

/// Checks newest, while no transaction writes; or, of a handle that may not keep writers waiting, in a snapshot.
pub(crate) fn check(core: &Database, observer: Observer<'_>) -> Result<CheckReport> {
    core.check_not_forked()?;
    if core.settings.read_only {
        let (_reader, newest) = protected_newest(core)?;
        return check_newest(core, &newest, None, observer);
    }
    let seat = core.lock_writer(Wait::Forever)?;
    check_locked(core, &mut seat.expect("it waits for as long as it takes"), observer)
}

/// Ends a read transaction when it is dropped.
struct Reader<'a> {
    core: &'a Database,
    slot: ReaderSlot,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.core.shared.end_read(self.slot);
    }
}

/// Newest, and a reader that keeps it as it is: its trees, and the pages of its free log, which are retired like any
/// others when the log begins anew. While a commit is being synced newest is not visible, and nobody can read it;
/// then it waits. But not for ever: who was to sync may have been killed before, and then the next writer does it,
/// whenever he comes.
fn protected_newest(core: &Database) -> Result<(Reader<'_>, CommittedState)> {
    let mut unsynced: Option<(TransactionId, Instant)> = None;
    loop {
        let (slot, snapshot) = core.shared.begin_read(core.handle)?;
        let reader = Reader { core, slot };
        let newest = core.shared.newest()?;
        if newest.snapshot.id == snapshot.id {
            return Ok((reader, newest));
        }
        if core.shared.is_poisoned() {
            return Err(Error::Poisoned); // newest will never be visible
        }
        drop(reader);
        let is_syncing = match &core.locks {
            Some(locks) => locks.is_syncer_locked().map_err(core.pages.io_error("lock"))?,
            None => true,
        };
        match unsynced {
            Some((id, since)) if id == newest.snapshot.id && !is_syncing => {
                if since.elapsed() >= MAX_UNSYNCED {
                    let problem = "a commit is not synced, and who was to do it may have been killed; the next writer \
                                   does it, or whoever opens the database for writing and closes it";
                    let source = io::Error::new(io::ErrorKind::TimedOut, problem);
                    return Err(core.pages.io_error("check")(source));
                }
            }
            _ => unsynced = Some((newest.snapshot.id, Instant::now())),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Checks, with the writer's turn. What the writer knows of free space is checked too, if he knows any.
fn check_locked(core: &Database, state: &mut WriterState, observer: Observer<'_>) -> Result<CheckReport> {
    let newest = core.shared.newest()?;
    if state.log.is_none() {
        return check_newest(core, &newest, None, observer);
    }
    core.pages.storage.refresh_length().map_err(core.pages.io_error("examine"))?;
    let space =
        load_free_space(&core.pages, &core.shared, &mut state.log, &newest.snapshot).map(|log| &log.space);
    check_newest(core, &newest, space.ok(), observer)
}

/// Checks what newest reaches, and that free space, on disk and as the writer knows it, is all the rest.
fn check_newest(
    core: &Database,
    newest: &CommittedState,
    writer_space: Option<&Space>,
    observer: Observer<'_>,
) -> Result<CheckReport> {
    let snapshot = newest.snapshot;
    core.check_reach(snapshot.length_pages)?;
    core.pages.check_layer(&snapshot)?;
    let source = VerifyingSource { pages: &core.pages, length_pages: snapshot.length_pages };
    let mut check = Check {
        observer,
        source,
        newest: snapshot.id,
        protected: core.shared.protected()?,
        report: CheckReport::default(),
        place: String::new(),
        table: None,
        leaves: Vec::new(),
        log_pages: Vec::new(),
        is_some_hidden: false,
    };
    let mut seen = PageSet::new(snapshot.length_pages);
    check.report.counts.total = snapshot.length_pages;
    check.report.counts.records = META_PAGES;
    if is_mutated(Mutation::CheckFindsNothing) {
        return Ok(check.report);
    }
    check.tables(&snapshot, &mut seen)?;
    check.free_space(newest, writer_space, &seen)?;
    Ok(check.report)
}

/// Where problems of the catalog itself are.
const CATALOG: &str = "the catalog";

struct Check<'a> {
    observer: Observer<'a>,
    source: VerifyingSource<'a>,
    /// The transaction that newest is of: no page is younger.
    newest: TransactionId,
    /// Snapshots whose pages may not be used again, as it was when the check began.
    protected: Vec<TransactionId>,
    report: CheckReport,
    /// What is being checked: part of each problem's text.
    place: String,
    /// The table that is being checked, if it is one.
    table: Option<String>,
    /// The leaves of the catalog.
    leaves: Vec<PageNumber>,
    /// The pages of the free log.
    log_pages: Vec<Extent>,
    /// Whether there are damaged pages with others below them.
    is_some_hidden: bool,
}

impl Check<'_> {
    /// Walks the catalog and every table in it.
    fn tables(&mut self, snapshot: &Snapshot, seen: &mut PageSet) -> Result<()> {
        let source = self.source;
        self.place = CATALOG.into();
        walk(&source, &snapshot.catalog, self.newest, seen, self)?;
        for number in std::mem::take(&mut self.leaves) {
            let result = self.tables_of(number, seen);
            self.place = CATALOG.into();
            result.or_else(|error| self.note(error))?;
        }
        Ok(())
    }

    /// Walks the tables that a leaf of the catalog has.
    fn tables_of(&mut self, number: PageNumber, seen: &mut PageSet) -> Result<()> {
        let source = self.source;
        let leaf = LeafView::new(source.page(number)?)?;
        for index in 0..leaf.count() {
            self.place = CATALOG.into();
            self.table = None;
            match self.table(&leaf, index, number) {
                Ok(root) => walk(&source, &root, self.newest, seen, self)?,
                Err(error) => {
                    self.is_some_hidden = true;
                    self.note(error)?;
                }
            }
        }
        Ok(())
    }

    /// Reads an entry of the catalog: which tree comes next.
    fn table(&mut self, leaf: &LeafView<'_>, index: usize, number: PageNumber) -> Result<TreeRoot> {
        let at_leaf = |error| match error {
            Error::Corrupt(mut problem) => {
                problem.page = problem.page.or(Some(number.0));
                Error::Corrupt(problem)
            }
            other => other,
        };
        let source = self.source;
        let (name, value) = leaf.entry(index)?;
        let entry = TableEntry::decode(resolve(&source, value)?).map_err(at_leaf)?;
        let table = String::from_utf8_lossy(&name).into_owned();
        self.place = format!("table {table:?}");
        self.table = Some(table);
        if let Err(error) = decode_name(&name) {
            self.note(at_leaf(error))?;
        }
        self.report.counts.tables += 1;
        self.report.counts.entries = self.report.counts.entries.saturating_add(entry.root.entries);
        Ok(entry.root)
    }

    /// Notes damage; other errors end the check.
    fn note(&mut self, error: Error) -> Result<()> {
        match error {
            Error::Corrupt(problem) => {
                self.problem(*problem);
                Ok(())
            }
            other => Err(other),
        }
    }

    fn free_space(
        &mut self,
        newest: &CommittedState,
        writer_space: Option<&Space>,
        seen: &PageSet,
    ) -> Result<()> {
        self.place = "the free log".into();
        let records = Extent::new(0, META_PAGES);
        self.tell(&PageUse::of_none(records, PageRole::Meta, None));
        let source = self.source;
        let log = WriterFreeSpace::load_from(newest, |number| {
            self.log_pages.push(Extent { first: number, count: 1 });
            source.page(number)
        });
        let log = match log {
            Ok(log) => log,
            Err(error) => return self.note(error),
        };
        for &(page, birth) in log.log.pages() {
            if birth > self.newest {
                self.note(corrupt(Some(page.0), "birth", format_args!("at most {}", self.newest), birth))?;
            }
            let run = Extent { first: page, count: 1 };
            self.tell(&PageUse::of_none(run, PageRole::FreeLog, Some(birth.0)));
        }
        self.report.counts.free_log = self.log_pages.len() as u32;
        let Check { observer, report, protected, .. } = self;
        visit_unused(&log.space, protected, |page_use| {
            match page_use.role {
                PageRole::Retired { is_needed: true, .. } => report.counts.retired += page_use.count,
                _ => report.counts.free += page_use.count,
            }
            observer(page_use, &report.counts);
        });
        let mut reachable: Vec<Extent> = seen.runs_from(PageNumber(FIRST_PAGE)).collect();
        reachable.append(&mut self.log_pages);
        self.partition(&log.space, &reachable);
        if let Some(space) = writer_space {
            self.place = "free space in memory".into();
            self.partition(space, &reachable);
        }
        Ok(())
    }

    fn tell(&mut self, page_use: &PageUse<'_>) {
        (self.observer)(page_use, &self.report.counts);
    }

    fn partition(&mut self, space: &Space, reachable: &[Extent]) {
        let (mut hidden_pages, mut first_hidden) = (0, None);
        space.verify_partition(reachable, |problem| {
            let (run, expected, found) = match problem {
                PartitionProblem::Missing { run } if self.is_some_hidden => {
                    hidden_pages += run.count;
                    first_hidden = first_hidden.or(Some(run.first.0));
                    return;
                }
                PartitionProblem::Missing { run } => {
                    (run, "one use".to_owned(), "no use: lost pages".to_owned())
                }
                PartitionProblem::Double { run, uses } => (run, "one use".to_owned(), format!("{uses:?}")),
                PartitionProblem::Outside { run, page_use } => {
                    (run, format!("pages in 2..{}", space.length_pages()), format!("{page_use:?}"))
                }
            };
            let expected = format!("{expected} of {run}");
            self.problem(Corruption { page: Some(run.first.0), what: "use of pages", expected, found });
        });
        if hidden_pages > 0 {
            self.problem(Corruption {
                page: first_hidden,
                what: "use of pages",
                expected: "one use of each page".into(),
                found: format!(
                    "{hidden_pages} unaccounted pages, this one first: they lie below damaged ones, or are lost"
                ),
            });
        }
    }
}

impl Visitor for Check<'_> {
    fn visit(&mut self, pages: &VisitedPages) {
        self.report.counts.add(pages);
        (self.observer)(&PageUse::of_tree(pages, self.table.as_deref()), &self.report.counts);
        if pages.header.kind == PageKind::Leaf && self.place == CATALOG {
            self.leaves.push(pages.header.number);
        }
    }

    fn problem(&mut self, mut problem: Corruption) {
        problem.expected = format!("{} (in {})", problem.expected, self.place);
        self.report.problems.push(problem);
    }

    fn hidden(&mut self) {
        self.is_some_hidden = true;
    }
}

/// Verifies the whole tree of `root` in a snapshot, `newest`, and answers how many pages of which kind it has. `seen`
/// is as for [`walk`]; `each` is told of each node and large value. The first thing that is wrong is the error.
pub(crate) fn verify_tree(
    source: &VerifyingSource<'_>,
    root: &TreeRoot,
    newest: TransactionId,
    seen: &mut PageSet,
    each: &mut dyn FnMut(&VisitedPages),
) -> Result<PageCounts> {
    let mut strict = Strict { counts: PageCounts::default(), problem: None, each };
    walk(source, root, newest, seen, &mut strict)?;
    strict.counts.entries = root.entries;
    match strict.problem {
        None => Ok(strict.counts),
        Some(problem) => Err(Error::Corrupt(Box::new(problem))),
    }
}

/// Counts pages, and remembers the first problem.
struct Strict<'a> {
    counts: PageCounts,
    problem: Option<Corruption>,
    each: &'a mut dyn FnMut(&VisitedPages),
}

impl Visitor for Strict<'_> {
    fn visit(&mut self, pages: &VisitedPages) {
        (self.each)(pages);
        self.counts.add(pages);
        self.counts.total += pages.run.count;
    }

    fn problem(&mut self, problem: Corruption) {
        self.problem.get_or_insert(problem);
    }
}

/// Pages whose checksums are compared each time, whatever the options say.
#[derive(Clone, Copy)]
pub(crate) struct VerifyingSource<'a> {
    pub(crate) pages: &'a PageFile,
    pub(crate) length_pages: u32,
}

impl PageSource for VerifyingSource<'_> {
    fn page_size(&self) -> usize {
        self.pages.page_size
    }

    fn page_count(&self) -> u32 {
        self.length_pages
    }

    fn page(&self, number: PageNumber) -> Result<&[u8]> {
        let (PageHeader { kind, .. }, _) = self.pages.verify_unit(number, self.length_pages)?;
        if kind == PageKind::Overflow {
            return Err(corrupt(Some(number.0), "page kind", "leaf, branch or free log", "overflow"));
        }
        self.pages.page(number, self.length_pages)
    }

    fn overflow(&self, first: PageNumber) -> Result<&[u8]> {
        self.pages.verify_unit(first, self.length_pages)?;
        self.pages.overflow(first, self.length_pages)
    }

    fn overflow_page_count(&self, first: PageNumber) -> Result<u32> {
        self.pages.overflow_page_count(first, self.length_pages)
    }

    fn prefetch(&self, _: PageNumber) {}
}
