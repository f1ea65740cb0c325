//! A barrier fails, and the processes that get the error are killed before they can pass it on. The kernel marks the
//! pages clean, whether they are on the disk or not, and reports nothing to a process that opens the file later: so
//! that one stores again what was stored before it came (docs/DURABILITY.md, L3). Also a sync that panics.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::fixture::{Engine, Entries, PAGE, put};
use crate::error::Error;
use crate::sim::Fault;
use crate::sim::disk::{Description, Event};
use crate::txn::commit::Durability;

/// A shared file, and what its disk has.
struct Failing {
    _folder: tempfile::TempDir,
    path: PathBuf,
    disk: Vec<u8>,
}

impl Failing {
    /// A file with a first durable commit, as the first handle has it open.
    fn new() -> (Failing, Engine) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mapleaf");
        let engine = Engine::share(&path).unwrap();
        let disk = engine.image();
        let failing = Failing { _folder: folder, path, disk };
        engine.commit(&entries(0..200, 100, 1), Durability::Durable).unwrap();
        (failing, engine)
    }

    /// Brings to the disk what `engine` has made durable. What it has stored since is in the cache only, which holds
    /// it as clean: it is never written, unless it is stored again.
    fn write_what_is_synced(&mut self, engine: &Engine) {
        let (mut stored, mut begun) = (Vec::new(), [const { (0, 0..0) }; 2]);
        for event in engine.log().events.drain(..) {
            match event {
                Event::Store { offset, bytes } => stored.push((offset as usize, bytes)),
                Event::BarrierBegins { through, range } => {
                    let pages = range.start as usize / PAGE..(range.end as usize).div_ceil(PAGE);
                    begun[through as usize] = (stored.len(), pages);
                }
                Event::BarrierEnds(through) => {
                    let (covered, pages) = &begun[through as usize];
                    for (offset, bytes) in &stored[..*covered] {
                        let start = (pages.start * PAGE).max(*offset);
                        let end = pages.end.saturating_mul(PAGE).min(offset + bytes.len());
                        if start < end {
                            self.disk[start..end].copy_from_slice(&bytes[start - offset..end - offset]);
                        }
                    }
                }
                Event::Lengthened { to } => self.disk.resize(self.disk.len().max(to as usize), 0),
                Event::Cut { .. } => panic!("nothing is cut here"),
                _ => {}
            }
        }
    }

    /// Power is lost, and everything in the cache with it.
    #[track_caller]
    fn assert_disk_has(&self, expected: &Entries) {
        let recovered = Engine::open(&self.disk, 256 << 20).unwrap();
        assert!(recovered.read().unwrap().1 == *expected, "what was acknowledged as durable is lost");
        recovered.assert_clean();
    }
}

fn entries(numbers: std::ops::Range<u16>, length: usize, byte: u8) -> Entries {
    numbers.map(|number| (number.to_be_bytes().to_vec(), vec![byte; length])).collect()
}

/// A durable commit of `engine` whose barrier fails, and whose process is killed at once.
fn sync_and_die(engine: &Engine) {
    engine.fail(Fault::Barrier, 0);
    engine.handle.core.sync_newest(&Cell::default()).unwrap_err();
    assert!(!engine.handle.core.shared.is_poisoned());
}

/// Two durable commits and a lazy one, all small, whose log bytes no barrier covers.
fn publish_small(engine: &Engine) -> Entries {
    let mut all = entries(0..200, 100, 1);
    for (number, durability) in
        [(3, Durability::Durable), (9, Durability::Lazy), (150, Durability::Durable)].into_iter()
    {
        let new = entries(number..number + 20, 90, number as u8);
        engine.publish(&new, durability).unwrap();
        all.extend(new);
    }
    all
}

#[test]
pub(super) fn log_bytes_that_a_failed_sync_has_lost_are_stored_again_by_a_newcomer() {
    let (mut failing, first) = Failing::new();
    let expected = publish_small(&first);
    let id = first.handle.core.shared.newest_id();
    sync_and_die(&first);
    failing.write_what_is_synced(&first);

    let newcomer = Engine::share(&failing.path).unwrap();
    newcomer.handle.core.wait_durable(id).unwrap();
    failing.write_what_is_synced(&newcomer);
    failing.assert_disk_has(&expected);
}

/// The first one that the newcomer appends is one of them.
#[test]
fn log_bytes_are_stored_again_below_those_that_the_newcomer_appends() {
    let (mut failing, first) = Failing::new();
    let mut expected = publish_small(&first);
    sync_and_die(&first);
    failing.write_what_is_synced(&first);

    let newcomer = Engine::share(&failing.path).unwrap();
    newcomer.commit(&entries(900..901, 10, 9), Durability::Durable).unwrap();
    failing.write_what_is_synced(&newcomer);
    expected.extend(entries(900..901, 10, 9));
    failing.assert_disk_has(&expected);
}

/// The pages of trees and of the free log, by the newcomer's checkpoint.
fn newcomer_stores_pages_again(rounds: u8) {
    let (mut failing, first) = Failing::new();
    let mut expected = entries(0..200, 100, 1);
    for round in 0..rounds {
        // Small enough for the log, and all over the tree.
        let numbers = (0..20).map(|number| (number * 67 + u16::from(round) * 13) % 4000);
        let new: Entries = numbers.map(|number| (number.to_be_bytes().to_vec(), vec![round; 400])).collect();
        first.publish(&new, Durability::Lazy).unwrap();
        expected.extend(new);
    }
    let tx = first.begin().unwrap(); // a transaction that has stored some of its pages when the sync fails
    let large = vec![7; 1 << 20]; // with its header, more than one piece
    put(&tx, b"early", &large).unwrap();
    failing.write_what_is_synced(&first);

    let newcomer = Engine::share(&failing.path).unwrap();
    put(&tx, b"late", b"value").unwrap();
    tx.publish(Durability::Lazy).unwrap();
    // The rest of that transaction was stored after the newcomer had opened the file: its barrier answers for it.
    let (through, range) = (Description::Checkpoint, 0..u64::MAX);
    first.log().events.extend([Event::BarrierBegins { through, range }, Event::BarrierEnds(through)]);
    failing.write_what_is_synced(&first);
    newcomer.commit(&entries(900..901, 10, 9), Durability::Durable).unwrap();
    failing.write_what_is_synced(&newcomer);
    expected.extend(entries(900..901, 10, 9));
    expected.extend([(b"early".to_vec(), large), (b"late".to_vec(), b"value".to_vec())]);
    failing.assert_disk_has(&expected);
    newcomer.assert_clean();
}

#[test]
pub(super) fn a_newcomers_checkpoint_stores_again_the_pages_that_are_not_checkpointed() {
    newcomer_stores_pages_again(3);
}

#[test]
fn a_newcomers_checkpoint_stores_again_the_pages_of_many_commits() {
    newcomer_stores_pages_again(200);
}

/// Its handle is alone then, or has come when there was nothing to inherit.
#[test]
fn what_is_durable_or_stored_since_is_not_stored_again() {
    let (failing, first) = Failing::new();
    let stores = |engine: &Engine| {
        let log = engine.log();
        log.events.iter().filter(|event| matches!(event, Event::Store { .. })).count()
    };
    let newcomer = Engine::share(&failing.path).unwrap();
    newcomer.commit(&entries(0..1, 10, 2), Durability::Durable).unwrap();
    let (before, own) = (stores(&newcomer), stores(&first));
    first.commit(&entries(0..1, 10, 3), Durability::Lazy).unwrap();
    first.commit(&entries(0..1, 10, 4), Durability::Lazy).unwrap();
    newcomer.handle.core.sync_everything().unwrap();
    assert_eq!(stores(&newcomer) - before, 1, "the record");
    assert!(stores(&first) > own);
}

/// A page is in the trees, and is not what was stored there.
#[test]
fn pages_that_are_lost_from_the_cache_too_poison() {
    for rounds in [1, 20] {
        let (failing, first) = Failing::new();
        for round in 0..rounds {
            first.publish(&entries(round..round + 20, 90, 2), Durability::Lazy).unwrap();
        }
        let newcomer = Engine::share(&failing.path).unwrap();
        let catalog = first.handle.core.shared.newest().unwrap().snapshot.catalog.page;
        let core = &newcomer.handle.core;
        core.pages.storage.write(catalog.offset(PAGE) + PAGE as u64 / 2, &[&[0xee; 8]]).unwrap();
        assert!(matches!(newcomer.checkpoint(), Err(Error::Corrupt(_))));
        assert!(matches!(first.begin(), Err(Error::Poisoned)));
    }
}

#[test]
fn a_panic_in_a_sync_poisons_and_wakes_all_who_wait() {
    let engine = Engine::new();
    let seen = engine.commit(&entries(0..5, 5, 0), Durability::Durable).unwrap();
    let tx = engine.begin().unwrap();
    put(&tx, b"a", b"deferred").unwrap();
    let id = tx.publish(Durability::Durable).unwrap();
    let (under_way, panics) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
    let ((says_begun, begun), (tells, told)) = (under_way, panics);
    engine.log().meanwhile = Some(Box::new(move || {
        says_begun.send(()).unwrap();
        told.recv().unwrap();
        panic!("injected: a panic in a sync");
    }));
    std::thread::scope(|scope| {
        let syncs =
            scope.spawn(|| catch_unwind(AssertUnwindSafe(|| engine.handle.core.wait_durable(id))).is_err());
        begun.recv().unwrap();
        let waits: Vec<_> = (0..3).map(|_| scope.spawn(|| engine.handle.core.wait_durable(id))).collect();
        tells.send(()).unwrap();
        assert!(syncs.join().unwrap(), "the panic goes on to the thread that began the sync");
        for waiting in waits {
            assert!(matches!(waiting.join().unwrap(), Err(Error::Poisoned)));
        }
    });
    assert!(matches!(engine.begin(), Err(Error::Poisoned)));
    assert_eq!(engine.read().unwrap().0, seen);
}
