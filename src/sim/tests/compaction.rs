//! Compaction under the explorer: whatever a crash cuts short, the entries are those of the commits before.

use std::collections::BTreeMap;

use crate::db::{Db, OpenOptions};
use crate::error::Result;
use crate::sim::{Context, Explorer, History, Random, Workload};
use crate::txn::commit::Durability;
use crate::types::Table;

const ENTRIES: Table<u64, [u8]> = Table::new("entries");
const OTHERS: Table<u64, [u8]> = Table::new("others");
const KEYS: u64 = 700;

type Model = BTreeMap<u64, Vec<u8>>;

struct Compacting;

#[derive(Clone, Debug)]
enum Step {
    /// Fills the table: values in leaves, and on overflow pages.
    Fill {
        stamp: u64,
    },
    /// Removes all entries except each `keep_every`-th.
    Thin {
        keep_every: u64,
    },
    /// Steps of a compaction, of at most `pages` pages each, perhaps with another commit during one of their
    /// barriers.
    Compact {
        steps: usize,
        pages: u32,
        meanwhile: Option<u64>,
    },
    Shrink,
    Lazy {
        stamp: u64,
    },
}

fn value(stamp: u64, key: u64) -> Vec<u8> {
    let length = if key.is_multiple_of(25) { 9000 } else { 300 };
    (stamp ^ key).to_le_bytes().repeat(length / 8)
}

fn put(db: &Db, stamp: u64, durability: Durability) -> Result<()> {
    let tx = db.write()?;
    tx.table(&ENTRIES)?.insert(stamp % KEYS, value(stamp, stamp % KEYS))?;
    tx.commit_with(durability).map(drop)
}

impl Workload for Compacting {
    type Step = Step;
    type Memory = ();

    fn name(&self) -> &str {
        "compaction"
    }

    fn options(&self) -> OpenOptions {
        Db::options().max_size(64 << 20).log_size(128 << 10)
    }

    fn script(&self, random: &mut Random) -> Vec<Step> {
        let mut steps = Vec::new();
        for _ in 0..2 {
            steps.push(Step::Fill { stamp: random.next() });
            steps.push(Step::Thin { keep_every: 3 + random.next() % 4 });
            if random.one_in(2) {
                steps.push(Step::Lazy { stamp: random.next() });
            }
            let meanwhile = random.one_in(2).then(|| random.next());
            let pages = 32 + random.below(60) as u32;
            steps.push(Step::Compact { steps: 1 + random.below(6), pages, meanwhile });
            steps.push(Step::Shrink);
            steps.push(Step::Compact { steps: 100, pages, meanwhile: None });
        }
        steps
    }

    fn run(&self, context: &Context, _: &mut (), step: &Step) -> Result<()> {
        let db = context.db();
        match *step {
            Step::Fill { stamp } => db.update(|tx| {
                let mut entries = tx.table(&ENTRIES)?;
                tx.table(&OTHERS)?.insert(1, [1; 10])?;
                (0..KEYS).try_for_each(|key| entries.insert(key, value(stamp, key)).map(drop))
            }),
            Step::Thin { keep_every } => db.update(|tx| {
                tx.table(&ENTRIES)?.retain(|key, _| key % keep_every == 0)?;
                Ok(())
            }),
            Step::Compact { steps, pages, meanwhile } => {
                if let Some(stamp) = meanwhile {
                    context.during_next_barrier(move |db| {
                        // This work must not wait for the barrier in progress.
                        let Ok(tx) = db.write() else { return };
                        let Ok(mut entries) = tx.table(&ENTRIES) else { return };
                        let Ok(_) = entries.insert(stamp % KEYS, value(stamp, stamp % KEYS)) else { return };
                        drop(entries);
                        _ = tx.transaction.publish(Durability::Durable);
                    });
                }
                db.compaction().step_pages(pages).take(steps).try_for_each(|step| step.map(drop))
            }
            Step::Shrink => db.shrink().map(drop),
            Step::Lazy { stamp } => put(db, stamp, Durability::Lazy),
        }
    }

    fn check(&self, db: &Db, history: &History<'_, Step>) -> Result<(), String> {
        // Entries as the commits that are there have left them. A compaction's own change none; what was published
        // during its barrier is there or not: then the entry has either value.
        let mut models = vec![Model::new()];
        for outcomes in history.outcomes() {
            if outcomes.kept == 0 {
                continue;
            }
            match *outcomes.step {
                Step::Fill { stamp } => models.iter_mut().for_each(|model| {
                    model.extend((0..KEYS).map(|key| (key, value(stamp, key))));
                }),
                Step::Thin { keep_every } => models.iter_mut().for_each(|model| {
                    model.retain(|key, _| key % keep_every == 0);
                }),
                Step::Lazy { stamp } => models.iter_mut().for_each(|model| {
                    model.insert(stamp % KEYS, value(stamp, stamp % KEYS));
                }),
                Step::Compact { meanwhile: Some(stamp), .. } => {
                    let mut others = models.clone();
                    others.iter_mut().for_each(|model| {
                        model.insert(stamp % KEYS, value(stamp, stamp % KEYS));
                    });
                    models.extend(others);
                }
                Step::Compact { .. } | Step::Shrink => {}
            }
        }
        let found: Result<Model> = db.read().and_then(|rx| match rx.table(&ENTRIES) {
            Ok(table) => table.iter().map(|entry| entry.map(|(key, value)| (key, value.to_vec()))).collect(),
            Err(_) => Ok(Model::new()),
        });
        let found = found.map_err(|error| error.to_string())?;
        match models.contains(&found) {
            true => Ok(()),
            false => Err(format!("{} entries, which no sequence of commits has left", found.len())),
        }
    }
}

/// Without a crash: the steps do what they are for.
#[test]
fn the_scenario_moves_pages_and_cuts_the_file() {
    let workload = Compacting;
    let db = workload.options().in_memory().unwrap();
    let stamp = 5;
    db.update(|tx| {
        (0..KEYS).try_for_each(|key| tx.table(&ENTRIES)?.insert(key, value(stamp, key)).map(drop))
    })
    .unwrap();
    db.update(|tx| tx.table(&ENTRIES)?.retain(|key, _| key % 5 == 0).map(drop)).unwrap();
    let (before, overflow) = (db.stats().unwrap(), db.check().unwrap().counts().overflow);
    let steps: Vec<_> = db.compaction().step_pages(32).map(Result::unwrap).collect();
    let last = steps.last().unwrap();
    let after = db.stats().unwrap();
    assert!(
        last.commits >= 2 && last.moved_pages >= 10 && overflow >= 60,
        "{last:?}, {overflow} overflow pages"
    );
    assert!(after.file_bytes < before.file_bytes, "{before:?}, {after:?}");
    assert!(db.check().unwrap().is_clean());
}

#[test]
fn compaction_survives_power_cuts() {
    let is_long = std::env::var_os("MAPLEAF_LONG").is_some();
    let (seeds, states) = if is_long { (10, 20_000) } else { (2, 2_000) };
    let report = Explorer::new().seeds(0..seeds).states(states).explore(&Compacting).unwrap();
    println!("{report}");
    assert!(report.states >= states);
}
