//! A sync fails, and the processes that get the error are killed before they can pass it on. The kernel marks the
//! pages clean, whether they are on the disk or not, and reports nothing to a process that opens the file later
//! (docs/DURABILITY.md, R4 and R10). Also a sync that panics.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::fixture::{Engine, Entries, PAGE, put, put_all};
use crate::error::Error;
use crate::sim::Fault;
use crate::sim::disk::Event;
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
        let (mut stored, mut covered) = (Vec::new(), 0);
        for event in engine.log().events.drain(..) {
            match event {
                Event::Store { offset, bytes } => stored.push((offset as usize, bytes)),
                Event::BarrierBegins { .. } => covered = stored.len(),
                Event::BarrierEnds => {
                    for (offset, bytes) in stored.drain(..covered) {
                        self.disk[offset..offset + bytes.len()].copy_from_slice(&bytes);
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

/// Many commits, small and large, that leave all kinds of pages.
fn commit_much(engine: &Engine, durability: Durability, rounds: u8) -> Entries {
    let mut all = entries(0..200, 100, 1);
    for round in 0..rounds {
        let numbers = (0..90).map(|number| (number * 67 + u16::from(round) * 13) % 4000);
        let mut new: Entries =
            numbers.map(|number| (number.to_be_bytes().to_vec(), vec![round; 700])).collect();
        new.insert(vec![b'l', round], vec![round; 3 * PAGE]);
        let tx = engine.begin().unwrap();
        put_all(&tx, &new).unwrap();
        tx.publish(durability).unwrap();
        all.extend(new);
    }
    all
}

/// R4: the meta of the sync that failed is in the cache, whole, with all its pages.
#[test]
fn what_a_failed_sync_has_lost_is_stored_again_before_its_target_is_believed() {
    let (mut failing, first) = Failing::new();
    for _ in 0..3 {
        commit_much(&first, Durability::Durable, 1); // until there are free pages for as much again
        first.handle.core.sync_everything().unwrap();
    }
    let expected = commit_much(&first, Durability::Durable, 1);
    let id = first.handle.core.shared.newest_id();
    sync_and_die(&first);
    failing.write_what_is_synced(&first);

    let newcomer = Engine::share(&failing.path).unwrap();
    let record = newcomer.handle.core.pages.read_record(1 - newcomer.handle.core.shared.durable_slot());
    let record = record.unwrap().unwrap();
    assert_eq!(record.id, id, "the meta is there to be believed");
    assert!(!record.listed.is_empty(), "with pages that are lost");
    newcomer.handle.core.wait_durable(id).unwrap();
    failing.write_what_is_synced(&newcomer);
    failing.assert_disk_has(&expected);
}

/// R10: no sync of commits failed, so no target is left; but the sync of another program failed, and pages are lost.
fn newcomer_stores_again(rounds: u8, are_known: bool) {
    let (mut failing, first) = Failing::new();
    let mut expected = commit_much(&first, Durability::Lazy, rounds);
    let tx = first.begin().unwrap(); // a transaction that has stored some of its pages when the sync fails
    let large = vec![7; 1 << 20]; // with its header, more than one piece
    put(&tx, b"early", &large).unwrap();
    failing.write_what_is_synced(&first);

    let newcomer = Engine::share(&failing.path).unwrap();
    put(&tx, b"late", b"value").unwrap();
    tx.publish(Durability::Lazy).unwrap();
    let shared = &newcomer.handle.core.shared;
    let fresh =
        crate::txn::unsynced_pages::unsynced_pages(shared, shared.newest_id(), |id| shared.load_delta(id));
    assert_eq!(fresh.and_then(|fresh| fresh.units()).is_some(), are_known);
    assert!(are_known || shared.newest().unwrap().space.log_page.0 != 0, "a page of the log is new too");
    // The rest of that transaction was stored after the newcomer had opened the file: its barrier answers for it.
    first.log().events.extend([Event::BarrierBegins { length: u64::MAX }, Event::BarrierEnds]);
    failing.write_what_is_synced(&first);
    newcomer.commit(&entries(900..901, 10, 9), Durability::Durable).unwrap();
    failing.write_what_is_synced(&newcomer);
    expected.extend(entries(900..901, 10, 9));
    expected.extend([(b"early".to_vec(), large), (b"late".to_vec(), b"value".to_vec())]);
    failing.assert_disk_has(&expected);
    newcomer.assert_clean();
}

#[test]
fn a_newcomer_stores_again_the_pages_that_the_deltas_name() {
    newcomer_stores_again(1, true);
}

#[test]
fn a_newcomer_stores_again_the_pages_that_it_finds_in_trees_and_log() {
    newcomer_stores_again(80, false);
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

#[test]
fn pages_that_are_lost_from_the_cache_too_poison() {
    for rounds in [1, 20] {
        let (failing, first) = Failing::new();
        commit_much(&first, Durability::Lazy, rounds);
        let newcomer = Engine::share(&failing.path).unwrap();
        let catalog = first.handle.core.shared.newest().unwrap().snapshot.catalog.page;
        let core = &newcomer.handle.core;
        core.pages.storage.write(catalog.offset(PAGE), &[&[0; PAGE]]).unwrap();
        assert!(matches!(core.sync_everything(), Err(Error::Corrupt(_))));
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
