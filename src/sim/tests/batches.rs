//! Batches of changes at random places, for which the file grows so that their pages lie together: whatever a crash
//! cuts short, the entries are those of the commits before.

use std::collections::BTreeMap;

use crate::db::{Db, OpenOptions, ReadTxn};
use crate::error::Result;
use crate::sim::{Context, Explorer, History, Random, Workload};
use crate::txn::commit::Durability;
use crate::types::Table;

const ENTRIES: Table<u64, [u8]> = Table::new("entries");
const KEYS: u64 = 1650;
/// A batch replaces `REPLACED` entries, and adds `ADDED`.
const REPLACED: u64 = 20;
const ADDED: u64 = 60;

/// The second part takes most of what the file has grown ahead.
const FILLED: [(u64, u64); 2] = [(0, 1200), (1200, KEYS)];

type Model = BTreeMap<u64, Vec<u8>>;

struct Batches;

#[derive(Clone, Debug)]
enum Step {
    Fill {
        from: u64,
        to: u64,
    },
    Batch {
        stamp: u64,
        durability: Durability,
    },
    /// A reader begins, and stays until the next one does.
    Park,
}

/// Ten to a leaf.
fn value(stamp: u64) -> Vec<u8> {
    stamp.to_le_bytes().repeat(45)
}

fn entries_of(stamp: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let mut random = Random::new(stamp);
    let keys =
        (0..REPLACED).map(move |_| random.next() % KEYS).chain((1..=ADDED).map(move |i| KEYS * stamp + i));
    keys.map(move |key| (key, value(stamp)))
}

fn run(db: &Db, step: &Step, reader: &mut Option<ReadTxn>) -> Result<()> {
    match *step {
        Step::Fill { from, to } => db.update(|tx| {
            let mut entries = tx.table(&ENTRIES)?;
            (from..to).try_for_each(|key| entries.insert(key, value(key)).map(drop))
        }),
        Step::Batch { stamp, durability } => {
            let tx = db.write()?;
            let mut entries = tx.table(&ENTRIES)?;
            if stamp.is_multiple_of(2) {
                entries.insert_many(entries_of(stamp))?;
            } else {
                entries_of(stamp).try_for_each(|(key, value)| entries.insert(key, value).map(drop))?;
            }
            drop(entries);
            tx.commit_with(durability).map(drop)
        }
        Step::Park => {
            *reader = Some(db.read()?);
            Ok(())
        }
    }
}

impl Workload for Batches {
    type Step = Step;
    type Memory = Option<ReadTxn>;

    fn name(&self) -> &str {
        "batches"
    }

    fn options(&self) -> OpenOptions {
        Db::options().max_size(64 << 20).log_size(256 << 10)
    }

    fn script(&self, random: &mut Random) -> Vec<Step> {
        let mut batch = || {
            let durability = if random.one_in(3) { Durability::Lazy } else { Durability::Durable };
            Step::Batch { stamp: 1 + random.next() % (1 << 32), durability }
        };
        let mut steps = FILLED.map(|(from, to)| Step::Fill { from, to }).to_vec();
        steps.insert(1, batch());
        steps.extend((0..6).map(|_| batch()));
        if random.one_in(2) {
            steps.insert(3 + random.below(5), Step::Park);
        }
        steps
    }

    fn run(&self, context: &Context, reader: &mut Option<ReadTxn>, step: &Step) -> Result<()> {
        run(context.db(), step, reader)
    }

    fn check(&self, db: &Db, history: &History<'_, Step>) -> Result<(), String> {
        let mut model = Model::new();
        for outcomes in history.outcomes().iter().filter(|outcomes| outcomes.kept > 0) {
            match *outcomes.step {
                Step::Fill { from, to } => model.extend((from..to).map(|key| (key, value(key)))),
                Step::Batch { stamp, .. } => model.extend(entries_of(stamp)),
                Step::Park => {}
            }
        }
        let found: Result<Model> = db.read().and_then(|rx| match rx.table(&ENTRIES) {
            Ok(table) => table.iter().map(|entry| entry.map(|(key, value)| (key, value.to_vec()))).collect(),
            Err(_) => Ok(Model::new()),
        });
        match found.map_err(|error| error.to_string())? == model {
            true => Ok(()),
            false => Err("other entries than the commits have left".to_owned()),
        }
    }
}

/// Without a crash: the steps do what they are for.
#[test]
fn the_scenario_grows_the_file_though_pages_are_free() {
    let db = Batches.options().in_memory().unwrap();
    let mut grown = 0;
    let [first, second] = FILLED.map(|(from, to)| Step::Fill { from, to });
    let mut batches = (1..40).map(|stamp| Step::Batch { stamp, durability: Durability::Durable });
    let steps = [first, batches.next().unwrap(), second].into_iter().chain(batches);
    for step in steps {
        let before = db.stats().unwrap();
        run(&db, &step, &mut None).unwrap();
        let after = db.stats().unwrap();
        let stored = (after.written_bytes - before.written_bytes) / after.page_size as u64;
        let unused = u64::from(before.free_pages + before.retired_pages);
        grown += usize::from(after.pages > before.pages && unused >= stored);
    }
    assert!(grown > 0, "it has grown only for want of pages");
}

#[test]
fn batches_survive_power_cuts() {
    let is_long = std::env::var_os("MAPLEAF_LONG").is_some();
    let (seeds, states) = if is_long { (10, 20_000) } else { (1, 1_000) };
    let report = Explorer::new().seeds(0..seeds).states(states).explore(&Batches).unwrap();
    println!("{report}");
    assert!(report.states >= states);
}
