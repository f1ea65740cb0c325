//! A multimap table whose keys get and lose counters: whatever a crash cuts short, the pairs are those of the commits
//! before, and the counters are right.

use std::collections::BTreeSet;

use crate::db::{Db, OpenOptions};
use crate::error::Result;
use crate::sim::{Context, Explorer, History, Random, Workload};
use crate::txn::commit::Durability;
use crate::types::MultimapTable;

const TAGS: MultimapTable<u16, u64> = MultimapTable::new("tags");

type Model = BTreeSet<(u16, u64)>;

struct Tags;

#[derive(Clone, Debug)]
struct Step {
    changes: Vec<Change>,
    durability: Durability,
}

#[derive(Clone, Debug)]
enum Change {
    /// Inserts values from `first` on.
    Insert {
        key: u16,
        first: u64,
        count: u64,
    },
    Remove {
        key: u16,
        first: u64,
        count: u64,
    },
    RemoveAll {
        key: u16,
    },
}

impl Change {
    fn make(&self, db: &crate::db::WriteTxn) -> Result<()> {
        let mut tags = db.multimap(&TAGS)?;
        match *self {
            Change::Insert { key, first, count } => {
                (first..first + count).try_for_each(|value| tags.insert(key, value).map(drop))
            }
            Change::Remove { key, first, count } => {
                (first..first + count).try_for_each(|value| tags.remove(key, value).map(drop))
            }
            Change::RemoveAll { key } => tags.remove_all(key).map(drop),
        }
    }

    fn apply(&self, model: &mut Model) {
        match *self {
            Change::Insert { key, first, count } => {
                model.extend((first..first + count).map(|value| (key, value)));
            }
            Change::Remove { key, first, count } => {
                model.retain(|pair| pair.0 != key || !(first..first + count).contains(&pair.1));
            }
            Change::RemoveAll { key } => model.retain(|pair| pair.0 != key),
        }
    }
}

impl Workload for Tags {
    type Step = Step;
    type Memory = ();

    fn name(&self) -> &str {
        "multimap"
    }

    fn options(&self) -> OpenOptions {
        Db::options().max_size(16 << 20).log_size(64 << 10)
    }

    fn script(&self, random: &mut Random) -> Vec<Step> {
        let mut change = || {
            let (key, first) = (random.below(3) as u16, random.below(100) as u64);
            match random.below(6) {
                0 => Change::RemoveAll { key },
                1 | 2 => Change::Remove { key, first, count: random.below(60) as u64 },
                _ => Change::Insert { key, first, count: random.below(80) as u64 },
            }
        };
        let mut changes: Vec<Vec<Change>> =
            (0..12).map(|step| (0..=step % 3).map(|_| change()).collect()).collect();
        changes
            .drain(..)
            .map(|changes| {
                let durability = if random.one_in(3) { Durability::Lazy } else { Durability::Durable };
                Step { changes, durability }
            })
            .collect()
    }

    fn run(&self, context: &Context, (): &mut (), step: &Step) -> Result<()> {
        let tx = context.db().write()?;
        step.changes.iter().try_for_each(|change| change.make(&tx))?;
        tx.commit_with(step.durability).map(drop)
    }

    fn check(&self, db: &Db, history: &History<'_, Step>) -> Result<(), String> {
        let mut model = Model::new();
        for outcomes in history.outcomes().iter().filter(|outcomes| outcomes.kept > 0) {
            outcomes.step.changes.iter().for_each(|change| change.apply(&mut model));
        }
        let text = |error: crate::Error| error.to_string();
        let rx = db.read().map_err(text)?;
        let tags = rx.multimap_or_empty(&TAGS).map_err(text)?;
        let found = tags.iter().collect::<Result<Model>>().map_err(text)?;
        if found != model || tags.len().map_err(text)? != model.len() as u64 {
            return Err("other pairs than the commits have left".to_owned());
        }
        for key in 0..3 {
            let count = model.iter().filter(|pair| pair.0 == key).count() as u64;
            if tags.len_of(key).map_err(text)? != count {
                return Err(format!("a counter of key {key} that is not {count}"));
            }
        }
        Ok(())
    }
}

#[test]
fn no_crash_parts_pairs_from_their_counters() {
    let is_long = std::env::var_os("MAPLEAF_LONG").is_some();
    let (seeds, states) = if is_long { (20, 20_000) } else { (2, 600) };
    let report = Explorer::new().seeds(0..seeds).states(states).explore(&Tags).unwrap();
    println!("{report}");
    assert!(report.states >= states);
}
