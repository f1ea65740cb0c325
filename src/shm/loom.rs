//! The code of this room under loom: every interleaving of a few threads, and every value that the language's memory
//! model lets a load see, within bounds. Run as docs/TESTING.md says.
//!
//! The world is one page for each snapshot, in one of a few places. A transaction stores its id in a place that the
//! interval rule (I2) says is free, and names the place as its catalog's root. A thread that may read a snapshot must
//! find its id there; and no thread may store while another reads ([`Watched`]). Beside the pages there is a ring of
//! a few log records: each transaction stores one, if there is room (L7). What a crash would lead to is read before
//! each barrier would end: by a syncer the records from the log start on, by a checkpointer the page of the
//! checkpointed snapshot as well.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64 as Counter, Ordering::Relaxed};

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::handles::HandleNumber;
use super::watermarks::{CommittedState, LogState, Snapshot};
use super::{SharedMemory, Step, WORD_COUNT};
use crate::base::{Lsn, PageNumber, TransactionId};
use crate::format::tree_root::TreeRoot;
use crate::shm::commit_info::SpaceState;
use crate::sys::SharedWords;
use crate::sys::atomic::Watched;

const PLACES: usize = 4;
/// Records that the log has room for.
const RECORDS: u64 = 4;
/// More preemptions than there are steps: every interleaving.
const EVERY: usize = 100;
const FIRST: TransactionId = TransactionId(1);

std::thread_local! {
    /// Loom runs all threads of a model in the thread of its test.
    static LEFT_OUT: Cell<Option<Step>> = const { Cell::new(None) };
}

pub(super) fn is_left_out(step: Step) -> bool {
    LEFT_OUT.get() == Some(step)
}

struct World {
    shared: SharedMemory,
    places: [Watched; PLACES],
    /// Positions in the log count records: the one at `lsn` is that of transaction `lsn + 2`.
    log: [Watched; RECORDS as usize],
    syncer_lock: Mutex<()>,
    /// Commits that ask for durability, a bit for each id.
    durable_ids: u64,
}

impl World {
    fn new(durable_ids: u64) -> World {
        let shared = SharedMemory::new(SharedWords::anonymous(WORD_COUNT).unwrap());
        shared.start_at(&state_at(FIRST, 0, LogState::default()), 0, FIRST.next());
        World {
            shared,
            places: [1, 0, 0, 0].map(Watched::new),
            log: [0; RECORDS as usize].map(Watched::new),
            syncer_lock: Mutex::new(()),
            durable_ids,
        }
    }

    fn is_durable_commit(&self, id: TransactionId) -> bool {
        self.durable_ids >> id.0 & 1 != 0
    }

    /// The page of a snapshot that is protected is there.
    fn read(&self, snapshot: &Snapshot) {
        let place = snapshot.catalog.page.0 as usize;
        assert_eq!(self.places[place].load(), snapshot.id.0, "a protected page has been used again");
    }

    fn record(&self, lsn: u64) -> &Watched {
        &self.log[(lsn % RECORDS) as usize]
    }

    /// The records of a part of the log that replay would need, or a sync stores again, are there.
    fn read_log(&self, from: Lsn, to: Lsn) {
        for lsn in from.0..to.0 {
            assert_eq!(self.record(lsn).load(), lsn + 2, "a record that is needed has been overwritten");
        }
    }

    /// A whole read transaction.
    fn read_once(&self, handle: HandleNumber) {
        let (slot, snapshot) = self.shared.begin_read(handle).unwrap();
        self.read(&snapshot);
        let durable = self.shared.durable();
        let is_early = |id: &TransactionId| self.is_durable_commit(*id) && *id > durable;
        let early = (1..=snapshot.id.0).map(TransactionId).find(is_early);
        assert_eq!(early, None, "visible before it is durable (I3)");
        self.read(&snapshot);
        self.shared.end_read(slot);
    }

    /// A sync, without its disk: `Database::sync_newest`.
    fn sync(&self) {
        let _turn = self.syncer_lock.lock().unwrap();
        let target = self.shared.take_target().unwrap();
        assert_whole(&target);
        let durable = target.log.sealed.max(self.shared.checkpointed());
        if target.log.sealed > self.shared.durable() {
            // A sync of a handle that has inherited these bytes reads and stores them.
            let from = self.shared.synced().max(self.shared.log_start());
            self.read_log(from, target.log.sealed_end);
        }
        self.read(&target.snapshot); // it may become visible
        self.shared.finish_sync(target.snapshot.id, durable, target.log.sealed_end);
    }

    /// A checkpoint, without its disk: `Database::checkpoint_newest`. Only one thread makes checkpoints.
    fn checkpoint(&self) {
        let target = self.shared.take_checkpoint_target().unwrap();
        assert_whole(&target);
        let (before, slot) = (self.shared.checkpointed(), self.shared.checkpoint_slot());
        // Until the barrier over the meta has returned, a crash leads to the one or to the other.
        self.read(&target.snapshot);
        self.read(&self.shared.snapshot(before).expect("the ring is long enough"));
        self.read_log(self.shared.log_start(), target.log.end);
        if is_left_out(Step::CheckpointTargetLast) {
            self.shared.clear_checkpoint_target();
        }
        let turn = (!is_left_out(Step::LogStartInTurn)).then(|| self.syncer_lock.lock().unwrap());
        self.shared.finish_checkpoint(target.snapshot.id, 1 - slot, target.log.end);
        drop(turn);
        self.shared.clear_checkpoint_target();
        self.read(&target.snapshot);
    }
}

/// What a syncer or checkpointer loads of newest belongs together: its free space, its log, its pages.
fn assert_whole(state: &CommittedState) {
    let id = state.snapshot.id;
    let parts = [u64::from(state.space.free_pages), u64::from(state.log.chain), state.log.end.0 + 1];
    assert_eq!(parts, [id.0; 3], "parts of different transactions");
}

fn state_at(id: TransactionId, place: usize, log: LogState) -> CommittedState {
    let catalog = TreeRoot { page: PageNumber(place as u32), depth: 1, entries: id.0 };
    CommittedState {
        snapshot: Snapshot { id, length_pages: PLACES as u32, catalog },
        space: SpaceState { free_pages: id.0 as u32, ..SpaceState::default() },
        log: LogState { end: Lsn(id.0 - 1), chain: id.0 as u32, ..log },
    }
}

/// One writer after another. What it knows is what a writer loads from the free log.
struct Writer {
    /// The place of newest's page, and its birth.
    current: (usize, TransactionId),
    log: LogState,
    /// Births and deaths of what the other places hold; `None`: nothing.
    retired: [Option<(TransactionId, TransactionId)>; PLACES],
    used_again: u64,
}

impl Writer {
    fn new() -> Writer {
        Writer { current: (0, FIRST), log: LogState::default(), retired: [None; PLACES], used_again: 0 }
    }

    /// Commits, if there is a place, and room in the log. Returns whether there was.
    fn commit(&mut self, world: &World) -> bool {
        let id = world.shared.next_id();
        let lsn = id.0 - 2;
        if lsn >= world.shared.log_start().0 + RECORDS && !is_left_out(Step::RoomInLog) {
            return false;
        }
        let protected = world.shared.protected().unwrap();
        let is_needed = |&(birth, death)| protected.iter().any(|&r| birth <= r && r < death);
        let is_free =
            |&place: &usize| place != self.current.0 && !self.retired[place].as_ref().is_some_and(is_needed);
        // Used ones first: their reuse is what the model explores.
        let mut free: Vec<usize> = (0..PLACES).filter(is_free).collect();
        free.sort_by_key(|&place| self.retired[place].is_none());
        let Some(&place) = free.first() else { return false };
        self.used_again += u64::from(self.retired[place].is_some());
        world.places[place].store(id.0);
        self.retired[place] = None;
        self.retired[self.current.0] = Some((self.current.1, id));
        self.current = (place, id);
        world.record(lsn).store(id.0);
        let is_durable = world.is_durable_commit(id);
        if is_durable {
            (self.log.sealed, self.log.sealed_end) = (id, Lsn(id.0 - 1));
        }
        world.shared.advance_newest(&state_at(id, place, self.log), is_durable);
        true
    }
}

/// Explores `model` with at most `preemptions` of them. Prints the number of executions, and how often a place was
/// used again.
fn explore(left_out: Option<Step>, preemptions: usize, model: fn(&Counter)) {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    LEFT_OUT.set(left_out);
    let counters: std::sync::Arc<[Counter; 2]> = std::sync::Arc::default();
    let counted = std::sync::Arc::clone(&counters);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound(preemptions));
    builder.max_branches = 100_000;
    builder.check(move || {
        counted[0].fetch_add(1, Relaxed);
        model(&counted[1]);
    });
    let [executions, used_again] = [0, 1].map(|at| counters[at].load(Relaxed));
    eprintln!("{name}: {executions} executions, places used again {used_again} times");
    assert!(used_again > 0, "nothing was used again, so nothing was explored");
}

/// More preemptions, if they are asked for.
fn bound(preemptions: usize) -> usize {
    let more = std::env::var("MAPLEAF_PREEMPTIONS").ok().and_then(|text| text.parse().ok());
    more.unwrap_or(preemptions)
}

const READER: HandleNumber = HandleNumber(0);
const OTHER_READER: HandleNumber = HandleNumber(1);

/// A reader begins while lazy commits move visible on and reuse pages between them.
fn lazy_commits(used_again: &Counter) {
    let world = Arc::new(World::new(0));
    let reading = Arc::clone(&world);
    let reader = thread::spawn(move || reading.read_once(READER));
    let mut writer = Writer::new();
    for _ in 0..3 {
        writer.commit(&world);
    }
    reader.join().unwrap();
    used_again.fetch_add(writer.used_again, Relaxed);
}

/// The same with durable commits, each followed by its own sync.
fn durable_commits(used_again: &Counter) {
    let world = Arc::new(World::new(!0));
    let reading = Arc::clone(&world);
    let reader = thread::spawn(move || reading.read_once(READER));
    let mut writer = Writer::new();
    for _ in 0..2 {
        writer.commit(&world);
        world.sync();
    }
    writer.commit(&world);
    reader.join().unwrap();
    used_again.fetch_add(writer.used_again, Relaxed);
}

/// Readers of two handles claim slots, and one of them begins twice.
fn two_readers(used_again: &Counter) {
    let world = Arc::new(World::new(0));
    let readers = [(READER, 2), (OTHER_READER, 1)].map(|(handle, times)| {
        let reading = Arc::clone(&world);
        thread::spawn(move || (0..times).for_each(|_| reading.read_once(handle)))
    });
    let mut writer = Writer::new();
    for _ in 0..3 {
        writer.commit(&world);
    }
    for reader in readers {
        reader.join().unwrap();
    }
    used_again.fetch_add(writer.used_again, Relaxed);
}

/// A syncer works while others commit, lazily and durably.
fn syncer_beside_writer<const SYNCS: usize>(used_again: &Counter) {
    let world = Arc::new(World::new(0b10100)); // ids 2 and 4 are durable commits, 3 and 5 lazy
    let syncing = Arc::clone(&world);
    let syncer = thread::spawn(move || (0..SYNCS).for_each(|_| syncing.sync()));
    let mut writer = Writer::new();
    for _ in 0..4 {
        writer.commit(&world);
    }
    world.read_once(READER);
    syncer.join().unwrap();
    used_again.fetch_add(writer.used_again, Relaxed);
}

/// A reader beside a writer and a syncer.
fn reader_beside_both(used_again: &Counter) {
    let world = Arc::new(World::new(0b01100)); // ids 2 and 3 are durable commits, 4 is lazy
    let (reading, syncing) = (Arc::clone(&world), Arc::clone(&world));
    let reader = thread::spawn(move || reading.read_once(READER));
    let syncer = thread::spawn(move || syncing.sync());
    let mut writer = Writer::new();
    for _ in 0..3 {
        writer.commit(&world);
    }
    reader.join().unwrap();
    syncer.join().unwrap();
    used_again.fetch_add(writer.used_again, Relaxed);
}

/// A checkpointer works while others commit, lazily, until the log is full.
fn checkpointer_beside_writer(used_again: &Counter) {
    let world = Arc::new(World::new(0));
    let working = Arc::clone(&world);
    let checkpointer = thread::spawn(move || (0..2).for_each(|_| working.checkpoint()));
    let mut writer = Writer::new();
    for _ in 0..5 {
        writer.commit(&world);
    }
    checkpointer.join().unwrap();
    used_again.fetch_add(writer.used_again, Relaxed);
}

/// A syncer beside a checkpointer, which frees the log that the syncer reads, and a writer, which overwrites it.
fn syncer_beside_checkpointer(used_again: &Counter) {
    let world = Arc::new(World::new(!0));
    let mut writer = Writer::new();
    writer.commit(&world);
    writer.commit(&world);
    let (syncing, working) = (Arc::clone(&world), Arc::clone(&world));
    let syncer = thread::spawn(move || syncing.sync());
    let checkpointer = thread::spawn(move || working.checkpoint());
    for _ in 0..3 {
        writer.commit(&world);
    }
    syncer.join().unwrap();
    checkpointer.join().unwrap();
    world.sync();
    writer.commit(&world);
    used_again.fetch_add(writer.used_again, Relaxed);
}

/// A reader begins while the table becomes shorter; its last slot was in a block that is closed meanwhile. With
/// another reader in the other slot it opens the block again.
fn narrower_table<const IS_TAKEN: bool>(used_again: &Counter) {
    let world = Arc::new(World::new(0));
    let slots = [(); 2].map(|()| world.shared.begin_read(READER).unwrap().0);
    slots[IS_TAKEN as usize..].iter().for_each(|&slot| world.shared.end_read(slot));
    let writing = Arc::clone(&world);
    let writer = thread::spawn(move || {
        let mut writer = Writer::new();
        writer.commit(&writing); // the one before is checkpointed: nothing takes its page
        writing.shared.narrow_reader_table().unwrap(); // closes the block
        writing.shared.narrow_reader_table().unwrap(); // leaves it out of the scan
        for _ in 0..2 {
            writer.commit(&writing);
        }
        writer.used_again
    });
    world.read_once(READER);
    used_again.fetch_add(writer.join().unwrap(), Relaxed);
}

/// What a dead handle has left is freed while a reader of another handle begins.
fn burial(used_again: &Counter) {
    let world = Arc::new(World::new(0));
    world.shared.begin_read(READER).unwrap(); // and here the reader dies
    let reading = Arc::clone(&world);
    let reader = thread::spawn(move || (0..2).for_each(|_| reading.read_once(OTHER_READER)));
    let mut writer = Writer::new();
    writer.commit(&world);
    world.shared.free_slots_of(READER).unwrap();
    for _ in 0..2 {
        writer.commit(&world);
    }
    reader.join().unwrap();
    let mut left = 0;
    world.shared.read_snapshots(|_| left += 1).unwrap();
    assert!(left == 0 || is_left_out(Step::OwnSlotsOnly), "a slot is lost");
    used_again.fetch_add(writer.used_again, Relaxed);
}

#[test]
fn reader_begins_beside_lazy_commits() {
    explore(None, EVERY, lazy_commits);
}

#[test]
fn reader_begins_beside_durable_commits() {
    explore(None, EVERY, durable_commits);
}

#[test]
fn two_readers_begin_beside_commits() {
    explore(None, 2, two_readers);
}

#[test]
fn syncer_works_beside_a_writer() {
    explore(None, 3, syncer_beside_writer::<2>);
}

#[test]
fn checkpointer_works_beside_a_writer() {
    explore(None, 3, checkpointer_beside_writer);
}

#[test]
fn syncer_works_beside_a_checkpointer() {
    explore(None, 2, syncer_beside_checkpointer);
}

#[test]
fn reader_begins_beside_writer_and_syncer() {
    explore(None, 2, reader_beside_both);
}

#[test]
fn reader_begins_beside_a_table_that_becomes_shorter() {
    explore(None, EVERY, narrower_table::<false>);
}

#[test]
fn reader_opens_a_block_beside_a_table_that_becomes_shorter() {
    explore(None, EVERY, narrower_table::<true>);
}

#[test]
fn reader_begins_beside_a_burial() {
    explore(None, EVERY, burial);
}

// ---- with a step left out the exploration must find a violation ----

#[test]
#[should_panic(expected = "protected page")]
fn without_the_second_look_a_page_is_lost() {
    explore(Some(Step::LookAgain), 2, lazy_commits);
}

#[test]
#[should_panic(expected = "protected page")]
fn without_the_second_look_a_page_is_lost_to_durable_commits() {
    explore(Some(Step::LookAgain), 2, durable_commits);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn readers_scanned_before_visible_lose_a_page() {
    explore(Some(Step::ReadersLast), 3, reader_beside_both);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_read_that_ends_unordered_races_with_the_next_store() {
    explore(Some(Step::EndAfterReading), 2, lazy_commits);
}

#[test]
#[should_panic(expected = "protected page")]
fn target_of_a_newest_that_moved_loses_a_page() {
    explore(Some(Step::NewestAgain), 3, syncer_beside_writer::<2>);
}

#[test]
#[should_panic(expected = "protected page")]
fn a_target_cleared_early_loses_a_page() {
    explore(Some(Step::TargetLast), 3, syncer_beside_writer::<1>);
}

#[test]
#[should_panic(expected = "protected page")]
fn a_checkpoints_target_of_a_newest_that_moved_loses_a_page() {
    explore(Some(Step::NewestAgain), 3, checkpointer_beside_writer);
}

#[test]
#[should_panic(expected = "protected page")]
fn a_checkpoints_target_cleared_early_loses_a_page() {
    explore(Some(Step::CheckpointTargetLast), 3, checkpointer_beside_writer);
}

#[test]
#[should_panic(expected = "has been overwritten")]
fn a_log_that_is_longer_than_its_ring_is_overwritten() {
    explore(Some(Step::RoomInLog), 2, syncer_beside_checkpointer);
}

#[test]
#[should_panic(expected = "reading from cell")]
fn a_log_start_that_moves_during_a_sync_loses_records() {
    explore(Some(Step::LogStartInTurn), 3, syncer_beside_checkpointer);
}

#[test]
#[should_panic(expected = "visible before it is durable")]
fn pending_announced_late_shows_a_commit_early() {
    explore(Some(Step::PendingFirst), 3, reader_beside_both);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_slot_kept_in_a_closed_block_loses_a_page() {
    explore(Some(Step::OpenAfterClaim), 3, narrower_table::<false>);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_block_left_out_before_it_was_closed_loses_a_page() {
    explore(Some(Step::CloseFirst), 3, narrower_table::<false>);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_burial_of_all_members_loses_a_page() {
    explore(Some(Step::OwnSlotsOnly), 3, burial);
}
