//! Commits of many pages all over the trees: in how many places they are stored, and how long the file gets for that.

use super::fixture::{Engine, Entries, PAGE, new_image};
use crate::sim::Random;
use crate::sim::disk::Event;
use crate::txn::commit::Durability;
use crate::txn::read::SnapshotReader;

/// Four of them are a leaf.
const VALUE_LEN: usize = 900;
const BATCH: usize = 300;
/// More than a batch changes.
const BATCH_PAGES: u32 = 400;
/// What growth adds to what is needed, at most.
const AHEAD_PAGES: u32 = (4 << 20) / PAGE as u32;

fn entry(key: usize, stamp: u64) -> (Vec<u8>, Vec<u8>) {
    ((key as u32).to_be_bytes().to_vec(), stamp.to_le_bytes().repeat(VALUE_LEN / 8))
}

/// A database, and batches that overwrite entries in it.
struct Batches {
    engine: Engine,
    entries: usize,
    random: Random,
}

impl Batches {
    fn new(entries: usize) -> Batches {
        let engine = Engine::new();
        let all: Entries = (0..entries).map(|key| entry(key, 0)).collect();
        engine.commit(&all, Durability::Durable).unwrap();
        Batches { engine, entries, random: Random::new(1) }
    }

    /// Commits `count` batches. Returns the pages that were stored, and in how many places.
    fn commit(&mut self, count: usize) -> (usize, usize) {
        let (mut pages, mut places) = (0, 0);
        for _ in 0..count {
            let stamp = self.random.next();
            let batch: Entries = (0..BATCH).map(|_| entry(self.random.below(self.entries), stamp)).collect();
            self.engine.log().events.clear();
            self.engine.commit(&batch, Durability::Durable).unwrap();
            for event in &self.engine.log().events {
                if let Event::Store { offset, bytes } = event
                    && *offset >= 2 * PAGE as u64
                {
                    pages += bytes.len() / PAGE;
                    places += 1;
                }
            }
        }
        (pages, places)
    }

    fn length_and_used(&self) -> (u32, u32) {
        length_and_used(&self.engine)
    }
}

/// Pages of the file, and how many of them the newest transaction uses.
fn length_and_used(engine: &Engine) -> (u32, u32) {
    let newest = engine.handle.core.shared.newest().unwrap();
    let length = newest.snapshot.length_pages;
    (length, length - newest.space.free_pages - newest.space.retired_pages)
}

#[test]
fn pages_of_large_commits_lie_together_and_the_file_comes_to_rest() {
    let mut batches = Batches::new(36_000);
    batches.commit(60);
    let (length, used) = batches.length_and_used();
    assert!((9000..9500).contains(&used), "{used} pages in use");
    // The file had at most this length when it last grew for this.
    let limit = (used + BATCH_PAGES) * 4 / 3 + BATCH_PAGES + AHEAD_PAGES;
    assert!(length <= limit, "{length} pages, {used} in use, at most {limit}");

    let (pages, places) = batches.commit(20);
    assert!(places * 2 < pages, "{pages} pages in {places} places");
    assert_eq!(batches.length_and_used().0, length, "the file has grown on");
    batches.engine.assert_clean();
}

#[test]
fn file_does_not_grow_for_contiguous_pages_while_a_reader_pins_as_many() {
    let mut batches = Batches::new(16_000);
    let reader = SnapshotReader::begin(&batches.engine.handle).unwrap();
    batches.commit(80);
    let (length, used) = batches.length_and_used();
    // What the reader sees, almost all of which has been replaced, and what the batches themselves need.
    let limit = 2 * used + 2 * BATCH_PAGES + AHEAD_PAGES;
    assert!(length <= limit, "{length} pages, {used} in use, at most {limit}");
    drop(reader);
    batches.commit(10);
    assert_eq!(batches.length_and_used().0, length);
}

#[test]
fn file_does_not_grow_for_contiguous_pages_of_a_transaction_that_spills() {
    let engine = Engine::open(&new_image(), 2 << 20).unwrap();
    let tx = engine.begin().unwrap();
    let mut random = Random::new(2);
    for _ in 0..36_000 {
        let (key, value) = entry(random.next() as u32 as usize, 1);
        super::fixture::put(&tx, &key, &value).unwrap();
    }
    tx.commit(Durability::Durable).unwrap();
    let (length, used) = length_and_used(&engine);
    // It grows for the ring as well.
    assert!(length <= used * 21 / 20 + 2 * AHEAD_PAGES, "{length} pages, {used} in use");
}
