//! Verifies the whole database: what [`Db::check`](crate::Db::check) does.
//!
//! Invariants checked: every page of the file is exactly one of meta, reachable, free log, redo log, retired or free;
//! every checksum, page number, kind and level is right; no page is newer than the page that refers to it; keys are
//! in order in and across pages; the counts of tables, and the counters of multimap tables, are right; the free log
//! matches the writer's free space in memory. Named snapshots are walked in the same way (`named.rs`).
//!
//! Invariants kept:
//! - No problem ends the check: it reads everything that can still be read. Pages below a damaged page cannot be told
//!   from lost pages; they are one problem that gives their number, not one problem for each.
//! - Whatever the file contains, each of its pages is read once or twice, and those of multimap tables as often as
//!   `counters.rs` says; and memory is in proportion to the file's length: all trees share one set of pages seen, and
//!   the number of problems kept is limited ([`Problems`]).

mod counters;
mod named;
mod page_use;
mod report;
mod unused;

use self::counters::verify_counters;
use self::named::verify_named;
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
use crate::format::catalog::{TableEntry, TableKind, decode_name};
use crate::format::free_log::FIRST_PAGE;
use crate::format::leaf::LeafView;
use crate::format::meta::META_PAGES;
use crate::format::node::NodeView;
use crate::format::page::{PageHeader, PageKind};
use crate::format::ring::Ring;
use crate::shm::reader_table::ReaderSlot;
use crate::shm::watermarks::{CommittedState, Snapshot};
use crate::space::Space;
use crate::space::partition::PartitionProblem;
use crate::tree::nodes::resolve;
use crate::tree::pages::{PageSource, TreeRoot};
use crate::tree::walk::{VisitedPages, Visitor, walk};
use crate::txn::database::Database;
use crate::txn::file_locks::{Turn, Wait};
use crate::txn::free_space::WriterFreeSpace;
use crate::txn::free_space::load_free_space;
use crate::txn::page_file::PageFile;
use crate::txn::writer_lock::WriterState;
use crate::txn::writer_mark::WriterMark;

/// A process that publishes a commit takes the syncer lock at once. If no process has it for this long, that process
/// is gone.
const MAX_UNSYNCED: Duration = Duration::from_secs(1);

/// Called with the use of each page when it is found, and with the counts so far. In a sound file it is called once
/// for each page. It is not called for a damaged or lost page, and called twice for a page that has two uses.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(&PageUse<'_>, &PageCounts);

/// Checks the newest transaction while holding the writer lock; for a read-only handle, which may not block writers,
/// in a protected snapshot.
pub(crate) fn check(core: &Database, observer: Observer<'_>) -> Result<CheckReport> {
    core.check_not_forked()?;
    if core.is_read_only() {
        let (_reader, newest) = protected_newest(core)?;
        return check_newest(core, &newest, None, observer);
    }
    let timeout = core.settings.write_timeout;
    let guard = core.lock_writer(Wait::within(timeout))?;
    let mut guard = guard.ok_or_else(|| core.write_timed_out(timeout))?;
    let _mark = WriterMark::new(core.writer_lock_id(), core.fork); // the observer is the caller's code
    check_locked(core, &mut guard, observer)
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

/// Returns the state of the newest transaction, and a reader that protects it: its trees, and the pages of its free
/// log, which are retired like any others when the log begins again. While a commit is being synced, the newest
/// transaction is not visible and cannot be read; this function then waits. If the process that should sync was
/// killed, the wait ends with an error, because only the next writer syncs that commit.
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
            return Err(Error::Poisoned); // the newest transaction never becomes visible
        }
        drop(reader);
        let is_syncing = match &core.locks {
            Some(locks) => locks.is_turn_taken(Turn::Syncer).map_err(core.pages.io_error("lock"))?,
            None => true,
        };
        match unsynced {
            Some((id, since)) if id == newest.snapshot.id && !is_syncing => {
                if since.elapsed() >= MAX_UNSYNCED {
                    let problem = "a commit is not synced, and the process that should sync it may have been killed: \
                                   commit once more, or open the database for writing and close it";
                    let source = io::Error::new(io::ErrorKind::TimedOut, problem);
                    return Err(core.pages.io_error("check")(source));
                }
            }
            _ => unsynced = Some((newest.snapshot.id, Instant::now())),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Checks while holding the writer lock. If the writer's free space is in memory, it is checked too.
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

/// Checks the pages that the newest transaction reaches, and that free space, on disk and in the writer's memory, is
/// all the rest.
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
    let mut seen = PageSet::new(snapshot.length_pages)?;
    check.report.counts.total = snapshot.length_pages;
    check.report.counts.meta = META_PAGES;
    if is_mutated(Mutation::CheckFindsNothing) {
        return Ok(check.report);
    }
    check.tables(&snapshot, &mut seen)?;
    check.free_space(newest, writer_space, &seen)?;
    Ok(check.report)
}

/// The place of problems in the catalog itself.
const CATALOG: &str = "the catalog";

struct Check<'a> {
    observer: Observer<'a>,
    source: VerifyingSource<'a>,
    /// The newest transaction: no page is younger.
    newest: TransactionId,
    /// The snapshots whose pages could not be reused when the check began.
    protected: Vec<TransactionId>,
    report: CheckReport,
    /// What is being checked; part of each problem's text.
    place: String,
    /// The table that is being checked; `None` for the catalog and the free log.
    table: Option<String>,
    /// The leaves of the catalog.
    leaves: Vec<PageNumber>,
    /// The pages of the free log.
    log_pages: Vec<Extent>,
    /// Whether a damaged page may have others below it.
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

    /// Walks the tables of one leaf of the catalog.
    fn tables_of(&mut self, number: PageNumber, seen: &mut PageSet) -> Result<()> {
        let source = self.source;
        let leaf = LeafView::new(source.page(number)?)?;
        for index in 0..leaf.count() {
            self.place = CATALOG.into();
            self.table = None;
            match self.table(&leaf, index, number) {
                Ok((root, kind)) => self.walk_table(&root, kind, seen)?,
                Err(error) => {
                    self.is_some_hidden = true;
                    self.note(error)?;
                }
            }
        }
        Ok(())
    }

    /// Walks a table, and verifies the counters of a multimap table if all of it can be read.
    fn walk_table(&mut self, root: &TreeRoot, kind: TableKind, seen: &mut PageSet) -> Result<()> {
        let source = self.source;
        let problems_before = self.report.problems.count();
        walk(&source, root, self.newest, seen, self)?;
        if kind == TableKind::Multimap && self.report.problems.count() == problems_before {
            verify_counters(&source, root, &mut |problem| self.problem(problem))
                .or_else(|error| self.note(error))?;
        }
        Ok(())
    }

    /// Reads an entry of the catalog, and returns the root of its table, and its kind.
    fn table(
        &mut self,
        leaf: &LeafView<'_>,
        index: usize,
        number: PageNumber,
    ) -> Result<(TreeRoot, TableKind)> {
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
        Ok((entry.root, entry.kind))
    }

    /// Adds damage to the report; other errors end the check.
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
        let metas = Extent::new(0, META_PAGES);
        self.tell(&PageUse::of_none(metas, PageRole::Meta, None));
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
            self.tell(&PageUse::of_none(run, PageRole::FreeLog, Some(birth)));
        }
        self.report.counts.free_log = self.log_pages.len() as u32;
        if let Some(ring) = newest.log.ring {
            self.tell(&PageUse::of_none(ring.extent(), PageRole::RedoLog, None));
            self.report.counts.redo_log = ring.pages;
        }
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
        reachable.extend(newest.log.ring.map(Ring::extent));
        self.partition(&log.space, &reachable);
        self.named_snapshots(&log.space, seen)?;
        if let Some(space) = writer_space {
            self.place = "free space in memory".into();
            self.partition(space, &reachable);
        }
        Ok(())
    }

    /// Verifies each named snapshot: a finding gives its name.
    fn named_snapshots(&mut self, space: &Space, seen: &PageSet) -> Result<()> {
        for named in space.names().living() {
            self.place = format!("snapshot {:?}", named.name);
            let source = self.source;
            verify_named(source, named, space, seen, &mut |problem| self.problem(problem))?;
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
                    "{hidden_pages} unaccounted pages from this one on: they are below damaged pages, or lost"
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

/// Verifies the whole tree of `root` in snapshot `newest`, and returns its page counts. `seen` is as for [`walk`];
/// `each` is called with each node and large value. The first problem is the error.
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

/// Counts pages, and keeps the first problem.
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

/// Pages whose checksums are compared at each access, whatever the options say.
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
