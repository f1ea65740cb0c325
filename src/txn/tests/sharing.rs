//! Several handles of one file, each as in a process of its own, and what storage can do to them: a barrier that
//! takes a long time, and one that fails.

use std::cell::Cell;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::fixture::{Engine, Entries, PAGE, entries_of, options, put};
use crate::base::{PageNumber, TransactionId};
use crate::check::check;
use crate::error::{Error, Result};
use crate::format::free_log;
use crate::sim::Fault;
use crate::sim::disk::Event;
use crate::txn::commit::Durability;
use crate::txn::database::DbHandle;
use crate::txn::file_locks::{Turn, Wait};
use crate::txn::read::SnapshotReader;
use crate::txn::write::Transaction;

fn entry(key: &str, value: u8) -> Entries {
    [(key.as_bytes().to_vec(), vec![value; 50])].into()
}

fn publish(engine: &Engine, key: &str, durability: Durability) -> TransactionId {
    let tx = engine.begin().unwrap();
    put(&tx, key.as_bytes(), b"x").unwrap();
    tx.publish(durability).unwrap()
}

fn two() -> (tempfile::TempDir, Engine, Engine) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let (first, second) = (Engine::share(&path).unwrap(), Engine::share(&path).unwrap());
    (folder, first, second)
}

fn assert_poisoned<T>(result: Result<T>) {
    assert!(matches!(result, Err(Error::Poisoned)));
}

#[test]
fn nothing_durable_is_visible_to_others_before_its_barrier_returns() {
    let (_folder, first, second) = two();
    let old = first.commit(&entry("a", 1), Durability::Durable).unwrap();
    let durable = publish(&first, "b", Durability::Durable);
    assert_eq!(second.read().unwrap().0, old);
    let lazy = publish(&second, "c", Durability::Lazy);
    assert_eq!((first.read().unwrap().0, second.read().unwrap().0), (old, old), "it is over a durable one");

    let gate = Arc::clone(&first.log().barrier_gate);
    let closed = gate.lock();
    let begun = first.log().barriers_begun;
    std::thread::scope(|scope| {
        let syncs = scope.spawn(|| first.handle.core.wait_durable(durable).unwrap());
        while first.log().barriers_begun == begun {
            std::thread::yield_now();
        }
        // The barrier is under way. Writers go on, readers see what was there.
        let later = publish(&second, "d", Durability::Durable);
        let waits = scope.spawn(move || (second.handle.core.wait_visible(lazy).unwrap(), second));
        for _ in 0..1000 {
            assert_eq!(first.read().unwrap().0, old);
        }
        drop(closed);
        syncs.join().unwrap();
        assert!(first.read().unwrap().0 >= lazy, "the lazy one came with it");
        let ((), second) = waits.join().unwrap();
        assert!(second.read().unwrap().0 >= lazy);
        if second.handle.core.shared.durable() < later {
            assert!(first.read().unwrap().0 < later, "and not the one that is pending");
        }
        second.handle.core.wait_durable(later).unwrap();
        assert_eq!(first.read().unwrap().0, later);
        first.assert_clean();
        second.assert_clean();
    });
}

/// A reader that checks waits for a newest that another thread is making visible, and not for one that none is.
#[test]
fn check_does_not_wait_for_a_sync_that_nobody_does() {
    let (folder, first, second) = two();
    first.commit(&entry("a", 1), Durability::Durable).unwrap();
    let mut settings = options(0);
    settings.settings.read_only = true;
    settings.create = false;
    let handle = settings.open(&folder.path().join("a.mapleaf")).unwrap();
    let check = || check(&handle.core, &mut |_, _| {});
    let gate = Arc::clone(&first.log().barrier_gate);
    let closed = gate.lock();
    let begun = first.log().barriers_begun;
    let slow = publish(&first, "b", Durability::Durable);
    std::thread::scope(|scope| {
        let syncs = scope.spawn(|| first.handle.core.wait_durable(slow).unwrap());
        while first.log().barriers_begun == begun {
            std::thread::yield_now();
        }
        let checks = scope.spawn(check);
        std::thread::sleep(Duration::from_millis(1300));
        assert!(!checks.is_finished(), "a sync may take long");
        drop(closed);
        syncs.join().unwrap();
        assert!(checks.join().unwrap().unwrap().is_clean());
    });
    let left = publish(&second, "c", Durability::Durable); // and here it was killed, before it synced
    let result = check();
    assert!(
        matches!(&result, Err(Error::Io { source, .. }) if source.kind() == ErrorKind::TimedOut),
        "{result:?}"
    );
    first.handle.core.wait_durable(left).unwrap();
    assert!(check().unwrap().is_clean());
}

#[test]
fn one_barrier_serves_those_who_wait_in_other_processes() {
    let (_folder, first, second) = two();
    first.commit(&entry("a", 1), Durability::Durable).unwrap();
    let ids: Vec<TransactionId> = [&first, &second, &first, &second]
        .iter()
        .map(|engine| publish(engine, "b", Durability::Durable))
        .collect();
    let before = (first.log().barriers(), second.log().barriers());
    first.handle.core.wait_durable(ids[3]).unwrap();
    ids.iter().for_each(|&id| second.handle.core.wait_durable(id).unwrap());
    assert_eq!(first.log().barriers(), before.0 + 1, "one for four commits, of which two were another's");
    assert_eq!(second.log().barriers(), before.1);
}

#[test]
fn a_failed_sync_poisons_all_processes_until_all_have_closed() {
    let (folder, first, second) = two();
    let durable = first.commit(&entry("a", 1), Durability::Durable).unwrap();
    let reader = SnapshotReader::begin(&second.handle).unwrap();
    let waits = publish(&second, "b", Durability::Durable);
    first.fail(Fault::Barrier, 0);
    assert!(matches!(first.commit(&entry("c", 3), Durability::Durable), Err(Error::Io { .. })));

    for engine in [&first, &second] {
        assert_poisoned(engine.begin());
        assert_poisoned(engine.handle.core.sync_everything());
        assert_poisoned(engine.handle.core.wait_durable(waits));
        assert_eq!(engine.read().unwrap(), (durable, entry("a", 1)), "readers go on");
    }
    assert_eq!(entries_of(&reader).unwrap(), entry("a", 1));
    // A handle that comes now joins the same state: all must close it.
    let path = folder.path().join("a.mapleaf");
    let third = Engine::share(&path).unwrap();
    assert_poisoned(third.begin());
    assert_eq!(third.read().unwrap().0, durable);
    let journal = second.keep_log();
    let barriers = journal.lock().barriers();
    drop((reader, first, second, third));
    assert_eq!(journal.lock().barriers(), barriers, "nothing is synced on closing");

    // The lock file is not believed: recovery chooses, and stores again, before anything else.
    let again = Engine::share(&path).unwrap();
    assert!(again.log().barriers() > 0);
    let (id, _) = again.read().unwrap();
    assert!(id >= durable);
    assert!(publish(&again, "d", Durability::Lazy) > waits, "ids go on above all that were seen");
    again.assert_clean();
}

/// The target of a syncer that died is a word like any other: the next syncer puts its own there.
#[test]
fn a_target_that_a_dead_syncer_left_is_replaced_by_another_process() {
    let (_folder, first, second) = two();
    first.commit(&entry("a", 1), Durability::Durable).unwrap();
    let id = publish(&first, "b", Durability::Durable);
    first.handle.core.shared.take_target().unwrap(); // and here it was killed, before its barrier
    let later = publish(&second, "c", Durability::Durable);
    assert!(second.handle.core.shared.protected().unwrap().contains(&id));
    second.handle.core.wait_durable(later).unwrap();
    assert_eq!(first.read().unwrap().0, later);
    assert!(!second.handle.core.shared.protected().unwrap().contains(&id));
    first.assert_clean();
}

#[test]
fn who_syncs_for_another_syncs_as_far_as_the_other_has_made_the_file_longer() {
    let (_folder, first, second) = two();
    second.commit(&entry("a", 1), Durability::Durable).unwrap();
    let known = second.handle.core.pages.existing_pages();
    let tx = first.begin().unwrap();
    put(&tx, b"long", &vec![7; 600 << 10]).unwrap();
    let id = tx.publish(Durability::Durable).unwrap();
    let length_pages = second.handle.core.shared.newest().unwrap().snapshot.length_pages;
    assert!(
        length_pages > known && second.handle.core.pages.existing_pages() == known,
        "it has not asked yet"
    );
    second.handle.core.wait_durable(id).unwrap();
    let log = second.log();
    let ends = log.events.iter().filter_map(|event| match event {
        Event::BarrierBegins { range, .. } => Some(range.end),
        _ => None,
    });
    let end = ends.max().unwrap();
    assert!(end >= u64::from(length_pages) * PAGE as u64, "{end} of {length_pages} pages");
}

/// A handle with `max_size` bytes of addresses.
fn open_with(path: &std::path::Path, max_size: u64) -> Arc<DbHandle> {
    let mut options = options(1 << 20);
    options.settings.max_size = Some(max_size);
    options.settings.syncs_in_background = false;
    options.open(path).unwrap()
}

/// Newest may move beyond what a handle has mapped at any moment until it is the target.
#[test]
fn a_handle_that_has_mapped_less_than_the_head_leaves_it_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let [small, large] = [2 << 20, 64 << 20].map(|max_size| open_with(&path, max_size));
    let durable = small.core.shared.durable();
    let tx = Transaction::begin(&large, Wait::Forever).unwrap().expect("no deadline");
    put(&tx, b"key", &vec![1; 3 << 20]).unwrap();
    let id = tx.publish(Durability::Durable).unwrap();
    // It is not in the log: so first of all a checkpoint is necessary, which is none of its handle either.
    let in_doubt = Cell::default();
    assert_eq!(small.core.sync_newest(&in_doubt).unwrap(), Some(id));
    assert!(matches!(small.core.checkpoint_through(id), Err(Error::MappingTooSmall { .. })));
    assert!(!small.core.shared.is_poisoned() && small.core.shared.left_checkpoint_target().is_none());
    small.core.wait_durable(id).unwrap_err();
    assert_eq!(large.core.shared.durable(), durable, "what was not synced is not called durable");
    large.core.wait_durable(id).unwrap();
    assert_eq!(large.core.shared.durable(), id);
    // This one is in the log.
    let tx = Transaction::begin(&large, Wait::Forever).unwrap().expect("no deadline");
    put(&tx, b"short", b"value").unwrap();
    let short = tx.publish(Durability::Durable).unwrap();
    assert!(matches!(small.core.sync_newest(&in_doubt), Err(Error::MappingTooSmall { .. })));
    assert!(!in_doubt.get() && !small.core.shared.has_target());
    large.core.wait_durable(short).unwrap();
}

/// No process would sync what the larger handle has written, if it were killed: it has no helper thread here.
#[test]
fn a_handle_closes_though_it_cannot_sync_what_another_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let open = |max_size, syncs_in_background| {
        let mut options = options(1 << 20);
        options.settings.max_size = Some(max_size);
        options.settings.syncs_in_background = syncs_in_background;
        options.open(&path).unwrap()
    };
    let (small, large) = (open(2 << 20, true), open(64 << 20, false));
    let defer = |handle: &Arc<DbHandle>, value: &[u8]| {
        handle.owner.start_helper().unwrap();
        let tx = Transaction::begin(handle, Wait::Forever).unwrap().expect("no deadline");
        put(&tx, b"key", value).unwrap();
        tx.publish(Durability::Durable).unwrap();
        handle.core.sync.announce_work();
    };
    // So the helper thread gets the syncer lock when the file is too long for it.
    let locks = large.core.locks.as_ref().unwrap();
    locks.lock_turn(Turn::Syncer).unwrap();
    defer(&small, b"short");
    defer(&large, &vec![1; 3 << 20]);
    locks.unlock_turn(Turn::Syncer);
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(small);
        told.send(()).unwrap();
    });
    tells.recv_timeout(Duration::from_secs(60)).expect("closing ends");
}

/// What it has announced is not there to be synced, and the lazy commit below it is promised by no sync.
#[test]
fn a_handle_closes_though_a_writer_has_died_that_had_announced_a_durable_commit() {
    const PENDING: usize = 128;
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(1 << 20);
    options.settings.syncs_in_background = true;
    let handle = options.open(&folder.path().join("db")).unwrap();
    handle.owner.start_helper().unwrap();
    for durability in [Durability::Durable, Durability::Lazy] {
        let tx = Transaction::begin(&handle, Wait::Forever).unwrap().expect("no deadline");
        put(&tx, b"key", b"value").unwrap();
        tx.commit(durability).unwrap();
    }
    handle.core.shared.scribble(PENDING, handle.core.shared.next_id().0);
    let barriers = handle.core.pages.barrier_count();
    handle.core.sync.announce_work();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(handle.core.pages.barrier_count(), barriers);
    assert!(!handle.core.shared.is_poisoned());
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(handle);
        told.send(()).unwrap();
    });
    tells.recv_timeout(Duration::from_secs(60)).expect("closing ends");
}

/// The log begins again, and the page that was its newest for a handle that has not written since is taken for it
/// again.
#[test]
fn a_writer_notices_that_the_newest_page_of_the_log_it_knows_is_another_by_now() {
    let (_folder, first, second) = two();
    // A file of few pages, so that each is soon used for everything.
    let commit = |engine: &Engine, round: u32| {
        engine.commit(&entry(&format!("{}", round % 7), round as u8), Durability::Lazy).unwrap();
        if round.is_multiple_of(100) {
            engine.handle.core.sync_everything().unwrap();
        }
    };
    let log = |engine: &Engine| {
        let (core, newest) = (&engine.handle.core, engine.handle.core.shared.newest().unwrap());
        let read = |number| core.pages.page(number, newest.snapshot.length_pages);
        free_log::read_chain(newest.space.log_page, &[], read).unwrap().pages
    };
    let mut round = 0;
    while log(&first).is_empty() {
        commit(&first, round);
        round += 1;
    }
    let (known, birth) = log(&first)[0];
    let is_another = |log: Vec<(PageNumber, TransactionId)>| {
        log.into_iter().any(|(number, found)| number == known && found != birth)
    };
    while !is_another(log(&second)) {
        commit(&second, round);
        round += 1;
        assert!(round < 100_000, "the page is not taken again for the log");
    }
    commit(&first, round);
    first.assert_clean();
    second.assert_clean();
}

/// Whatever any word of the lock file is: an error, or a wrong result. No panic, and no wait without end.
#[test]
fn a_lock_file_that_is_scribbled_on_while_it_is_in_use_makes_errors() {
    const HEAD_WORDS: std::ops::Range<usize> = 64..192;
    let descriptor = |id: u64| (0..16).map(move |word| 192 + (id % 256) as usize * 16 + word);
    let areas = || (4288..4300).chain(4816..4828);
    let words = |id: u64| HEAD_WORDS.chain(descriptor(id)).chain(descriptor(id - 1)).chain(areas());
    let image = Engine::new().image();
    for count in 0.. {
        let mut is_done = false;
        for value in [0, 1, 0x8000_0000_0000_0003, u64::MAX, 0xffff_fff0_0000_0fff] {
            let engine = Engine::open(&image, 256 << 20).unwrap();
            engine.commit(&entry("a", 1), Durability::Durable).unwrap();
            let lazy = engine.commit(&entry("b", 2), Durability::Lazy).unwrap();
            let Some(word) = words(lazy.0).nth(count) else {
                is_done = true;
                break;
            };
            engine.handle.core.shared.scribble(word, value);
            let _ = engine.read();
            let _ = engine.commit(&entry("c", 3), Durability::Durable);
            let _ = engine.handle.core.sync_everything();
            let _ = engine.commit(&entry("d", 4), Durability::Lazy);
            let _ = engine.read();
            let _ = engine.handle.core.readers();
        }
        if is_done {
            break;
        }
    }
}
