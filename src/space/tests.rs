//! A writer with readers, against one state per page; its log against both.

use proptest::prelude::*;

use super::partition::PartitionProblem;
use super::save::{FreeLog, LogLimits};
use super::*;
use crate::base::property::cases;
use crate::format::free_log;
use crate::format::page;

/// Small pages and a small tail, so that entries span pages and the log often begins anew.
const LIMITS: LogLimits = LogLimits { page_size: 128, tail_len: 60 };

const MAX_STEPS: usize = if cfg!(miri) { 10 } else { 250 };

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PageState {
    Free,
    Used { birth: TransactionId },
    Retired { birth: TransactionId, death: TransactionId },
}

/// What happens in one step of a simulation.
#[derive(Clone, Debug)]
enum Step {
    BeginReader,
    EndReader(usize),
    Transaction(Transaction),
}

#[derive(Clone, Debug)]
struct Transaction {
    allocate: u32,
    run: u32,
    /// Each used page whose number has these bits is replaced.
    retire_mask: u32,
    release_every: usize,
    cuts_tail: bool,
    is_aborted: bool,
    /// Whether the other process looks at its readers before it hears of this.
    follower_reclaims: bool,
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let numbers = (0u32..24, 0u32..6, 0u32..64, 1usize..5);
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.15), any::<bool>());
    (numbers, flags).prop_map(
        |((allocate, run, retire_mask, release_every), (cuts_tail, is_aborted, follower_reclaims))| {
            Transaction {
                allocate,
                run,
                retire_mask,
                release_every,
                cuts_tail,
                is_aborted,
                follower_reclaims,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::BeginReader),
        1 => (0usize..16).prop_map(Step::EndReader),
        4 => transaction().prop_map(Step::Transaction),
    ]
}

/// The writer, another process that follows it, and the truth.
struct Simulation {
    space: Space,
    follower: Space,
    log: FreeLog,
    disk: std::collections::HashMap<PageNumber, Box<[u8]>>,
    pages: Vec<PageState>,
    readers: Vec<TransactionId>,
    head: TransactionId,
}

impl Simulation {
    fn new() -> Simulation {
        let space = Space::new(4);
        let birth = TransactionId(1);
        Simulation {
            log: FreeLog::new(&space),
            follower: space.clone(),
            space,
            disk: Default::default(),
            pages: vec![PageState::Used { birth }; 4],
            readers: Vec::new(),
            head: birth,
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::BeginReader => self.readers.push(self.head),
            Step::EndReader(at) if self.readers.is_empty() || *at >= self.readers.len() => {}
            Step::EndReader(at) => drop(self.readers.remove(*at)),
            Step::Transaction(transaction) => {
                self.transact(transaction);
                self.compare_partition();
                self.compare_loaded();
            }
        }
    }

    fn protected(&self) -> Vec<TransactionId> {
        let mut protected = self.readers.clone();
        protected.push(self.head);
        protected.sort_unstable();
        protected
    }

    /// Brute force: the interval rule for each page.
    fn reclaim(&mut self) {
        let protected = self.protected();
        let mut freed = 0;
        for page in &mut self.pages {
            if let PageState::Retired { birth, death } = *page
                && !protected.iter().any(|&snapshot| birth <= snapshot && snapshot < death)
            {
                *page = PageState::Free;
                freed += 1;
            }
        }
        assert_eq!(self.space.reclaim(&protected).unwrap(), freed);
    }

    fn transact(&mut self, transaction: &Transaction) {
        self.reclaim();
        let id = self.head.next();
        let pages_before = self.pages.clone();
        let length_before = self.space.length_pages();
        let runs = self.allocate(transaction, id);
        for run in runs.iter().step_by(transaction.release_every) {
            self.space.release(*run).unwrap();
            self.pages[run.first.0 as usize..run.end() as usize].fill(PageState::Free);
        }
        self.retire(transaction.retire_mask, id);
        if transaction.cuts_tail
            && let Some(tail) = self.space.free_tail()
        {
            self.space.shrink(tail.first.0).unwrap();
            self.pages.truncate(tail.first.0 as usize);
        }
        let saved = self.space.save(&self.log, id, LIMITS, grow_by).unwrap();
        if transaction.is_aborted {
            self.space.abort().unwrap();
            self.pages = pages_before;
            assert!(self.space.length_pages() >= length_before);
            self.pages.resize(self.space.length_pages() as usize, PageState::Free);
            return;
        }
        self.note_saved(saved, id);
        self.follow(transaction, id);
        self.space.commit();
        self.head = id;
    }

    fn allocate(&mut self, transaction: &Transaction, id: TransactionId) -> Vec<Extent> {
        let mut runs = Vec::new();
        if transaction.run > 0 {
            let run = self.space.allocate_run(transaction.run).unwrap_or_else(|| {
                self.space.grow(self.space.length_pages() + transaction.run);
                self.space.allocate_run(transaction.run).expect("the tail is long enough")
            });
            runs.push(run);
        }
        let count = transaction.allocate;
        if self.space.free().page_count() < count {
            assert_eq!(self.space.allocate(count), None);
            self.space.grow(self.space.length_pages() + count);
        }
        runs.extend(self.space.allocate(count).unwrap());
        for &run in &runs {
            self.take(run, id);
        }
        runs
    }

    /// Allocated pages must be free: those of the test, and those of the log.
    fn take(&mut self, run: Extent, birth: TransactionId) {
        self.pages.resize(self.pages.len().max(self.space.length_pages() as usize), PageState::Free);
        let pages = &mut self.pages[run.first.0 as usize..run.end() as usize];
        assert!(pages.iter().all(|&page| page == PageState::Free), "{run} was not free");
        pages.fill(PageState::Used { birth });
    }

    fn retire(&mut self, mask: u32, id: TransactionId) {
        let is_log_page = |page| self.log.pages().iter().any(|&(number, _)| number.0 == page);
        for page in (FIRST_PAGE..self.pages.len() as u32).rev() {
            let PageState::Used { birth } = self.pages[page as usize] else { continue };
            if page & mask == mask && birth < id && !is_log_page(page) {
                self.space.retire(Extent::new(page, 1), birth, id).unwrap();
                self.pages[page as usize] = PageState::Retired { birth, death: id };
            }
        }
    }

    fn note_saved(&mut self, saved: save::SavedLog, id: TransactionId) {
        for &(number, birth) in self.log.pages() {
            if !saved.log.pages().contains(&(number, birth)) {
                self.pages[number.0 as usize] = PageState::Retired { birth, death: id };
            }
        }
        for (number, mut bytes) in saved.pages {
            self.take(Extent { first: number, count: 1 }, id);
            page::seal(&mut bytes, number, id);
            self.disk.insert(number, bytes);
        }
        assert!(saved.log.tail().len() <= LIMITS.tail_len);
        self.log = saved.log;
    }

    /// Another process hears of each commit, and reclaims at other times.
    fn follow(&mut self, transaction: &Transaction, id: TransactionId) {
        if transaction.follower_reclaims {
            self.follower.reclaim(&self.protected()).unwrap();
        }
        self.follower.apply(&self.space.delta(id)).unwrap();
    }

    fn compare_partition(&self) {
        for (number, page) in self.pages.iter().enumerate().skip(FIRST_PAGE as usize) {
            let number = number as u32;
            let retired = self.space.retired().containing(number);
            let life = retired.map(|retired| (retired.birth, retired.death));
            let is_free = self.space.free().containing(number).is_some();
            let expected = match *page {
                PageState::Free => (true, None),
                PageState::Used { .. } => (false, None),
                PageState::Retired { birth, death } => (false, Some((birth, death))),
            };
            assert_eq!((is_free, life), expected, "page {number}");
        }
        assert_eq!(self.pages.len(), self.space.length_pages() as usize);
        self.space.verify_partition(&self.used(), |problem| panic!("{problem:?}"));
    }

    fn used(&self) -> Vec<Extent> {
        let is_used = |page: &u32| matches!(self.pages[*page as usize], PageState::Used { .. });
        (FIRST_PAGE..self.pages.len() as u32).filter(is_used).map(|page| Extent::new(page, 1)).collect()
    }

    /// What the log says, and what the other process knows, is what the writer knows.
    fn compare_loaded(&self) {
        let newest = self.log.newest_page();
        let chain = free_log::read_chain(newest, self.log.tail(), |number| {
            let bytes = &self.disk[&number][..];
            page::verify(bytes, number)?;
            Ok(bytes)
        });
        let chain = chain.unwrap();
        assert_eq!(FreeLog::from_chain(&chain, self.log.tail(), self.log.has_names()), self.log);
        let protected = self.protected();
        let mut writer = self.space.clone();
        writer.reclaim(&protected).unwrap();
        for other in [&Space::load(&chain.bytes, TransactionId(u64::MAX)).unwrap(), &self.follower] {
            let mut other = other.clone();
            if other.length_pages() < self.space.length_pages() {
                other.grow(self.space.length_pages()); // an aborted transaction has grown the file
            }
            other.verify_partition(&self.used(), |problem| panic!("{problem:?}"));
            other.reclaim(&protected).unwrap();
            assert_eq!(other.free(), writer.free());
            assert!(pages_of(&other).eq(pages_of(&writer)), "lives of retired pages");
        }
    }
}

fn grow_by(space: &mut Space, count: u32) -> Result<()> {
    space.grow(space.length_pages() + count);
    Ok(())
}

fn pages_of(space: &Space) -> impl Iterator<Item = RetiredRun> {
    let one_page = |retired: RetiredRun| {
        (retired.run.first.0..retired.run.end())
            .map(move |page| RetiredRun { run: Extent::new(page, 1), ..retired })
    };
    space.retired().iter().flat_map(one_page)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn free_pages_never_overlap_live_ones(steps in prop::collection::vec(step(), 1..MAX_STEPS)) {
        let mut simulation = Simulation::new();
        for step in &steps {
            simulation.run(step);
        }
    }
}

#[test]
fn many_transactions_keep_the_log_short() {
    let mut simulation = Simulation::new();
    let transaction = Transaction {
        allocate: 5,
        run: 2,
        retire_mask: 1,
        release_every: 3,
        cuts_tail: false,
        is_aborted: false,
        follower_reclaims: true,
    };
    for number in 0..if cfg!(miri) { 12 } else { 400u32 } {
        if number % 50 == 10 {
            simulation.run(&Step::BeginReader);
            simulation.run(&Step::EndReader(0));
        }
        let retire_mask = number % 4;
        simulation.run(&Step::Transaction(Transaction { retire_mask, ..transaction.clone() }));
        assert!(simulation.log.pages().len() < 60, "{} log pages", simulation.log.pages().len());
    }
}

#[test]
fn what_is_wrong_with_retired_pages_is_an_error() {
    let mut space = Space::new(100);
    let (old, new) = (TransactionId(3), TransactionId(7));
    space.grow(120);
    let taken = space.allocate(5).unwrap()[0];
    for (run, birth) in [
        (Extent::new(50, 1), new),
        (Extent::new(50, 1), TransactionId(u64::MAX)),
        (Extent::new(50, 0), old),
        (Extent::new(0, 3), old),
        (Extent::new(119, 2), old),
        (Extent::new(u32::MAX, u32::MAX), old),
        (Extent::new(110, 1), old),
        (taken, old),
    ] {
        assert!(matches!(space.retire(run, birth, new), Err(Error::Corrupt(_))), "{run:?}");
        assert!(run == taken || matches!(space.release(run), Err(Error::Corrupt(_))), "{run:?}");
    }
    space.retire(Extent::new(50, 2), old, new).unwrap();
    assert!(matches!(space.retire(Extent::new(51, 2), old, new), Err(Error::Corrupt(_))), "twice");
}

#[test]
fn only_a_free_tail_is_cut_off() {
    let mut space = Space::new(10);
    space.grow(20);
    assert_eq!(space.free_tail(), Some(Extent::new(10, 10)));
    assert!(space.shrink(9).is_err());
    space.shrink(15).unwrap();
    assert_eq!((space.length_pages(), space.free_tail()), (15, Some(Extent::new(10, 5))));
    let mut problems = Vec::new();
    space.verify_partition(&[Extent::new(2, 8)], |problem| problems.push(problem));
    assert_eq!(problems, Vec::<PartitionProblem>::new());
}

#[test]
fn abort_brings_a_tail_back_that_was_cut_off() {
    let mut space = Space::new(10);
    space.grow(20);
    space.commit();
    space.shrink(12).unwrap();
    space.allocate(2).unwrap();
    space.abort().unwrap();
    assert_eq!((space.length_pages(), space.free_tail()), (20, Some(Extent::new(10, 10))));
}

/// Moves would lead nowhere if what is moved could come to lie at or behind the ceiling again.
#[test]
fn with_a_ceiling_only_pages_below_it_are_taken_the_lowest_first() {
    let scattered = || {
        let mut space = Space::new(2);
        space.grow(100);
        space.allocate(98).unwrap();
        // Free: 10, 20..24, 30, 60..64, and the end.
        for (first, count) in [(10, 1), (20, 4), (30, 1), (60, 4), (90, 10)] {
            space.release(Extent::new(first, count)).unwrap();
        }
        space.commit();
        space.set_ceiling(50);
        space
    };
    let mut space = scattered();
    let runs = [Extent::new(10, 1), Extent::new(20, 4)];
    assert_eq!(space.allocate(5).as_deref(), Some(&runs[..]));
    assert_eq!(space.allocate(2), None, "only page 30 is left");
    assert_eq!(space.allocate_run(1), Some(Extent::new(30, 1)));
    assert_eq!(space.allocate_run(1), None);
    // It holds for one transaction, whichever way that ends.
    let (mut committed, mut aborted) = (space.clone(), space);
    committed.commit();
    assert!(committed.allocate(1).is_some_and(|runs| runs[0].first.0 >= 60));
    aborted.abort().unwrap();
    assert!(aborted.ceiling().is_none() && aborted.allocate_run(10).is_some());
    assert_eq!(scattered().allocate_run(5), None, "no such run below the ceiling");
    assert_eq!(scattered().allocate_run(2), Some(Extent::new(20, 2)));
}

#[test]
fn runs_for_one_transaction_after_the_other_lie_side_by_side() {
    let mut space = Space::new(FIRST_PAGE);
    space.grow(200);
    space.free.take_exact(Extent::new(2, 198)).unwrap();
    for free in [Extent::new(5, 3), Extent::new(20, 10), Extent::new(190, 10)] {
        space.free.insert(free).unwrap();
    }
    let next = |space: &mut Space| {
        let run = space.allocate_next_run(3);
        space.commit();
        run.map(|run| run.first.0)
    };
    assert_eq!([(); 4].map(|()| next(&mut space)), [5, 20, 23, 26].map(Some));
    // One page is left there. What is free by now further up is not gone back for before what lies behind.
    space.free.insert(Extent::new(5, 3)).unwrap();
    space.free.insert(Extent::new(40, 3)).unwrap();
    assert_eq!([(); 2].map(|()| next(&mut space)), [40, 5].map(Some));
    // The file's end comes last, but is gone on with once it was needed.
    assert_eq!(next(&mut space), Some(190));
    space.free.insert(Extent::new(5, 3)).unwrap();
    assert_eq!([(); 4].map(|()| next(&mut space)), [Some(193), Some(196), Some(5), None]);

    // Where much is free, the end may come to be cut: the caller takes the lowest places.
    space.free.insert(Extent::new(100, 50)).unwrap();
    assert_eq!(next(&mut space), None);
}
