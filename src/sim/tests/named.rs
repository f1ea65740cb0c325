//! Snapshots that get names, are gone back to, and are dropped: after any crash there are exactly the names that the
//! commits have left, and each has what was there when it was created.

use std::collections::BTreeMap;

use crate::db::{Db, OpenOptions, ReadTxn};
use crate::error::{Error, Result};
use crate::sim::{Context, Explorer, History, Random, Workload};
use crate::txn::commit::Durability;
use crate::types::Table;

const ENTRIES: Table<u16, [u8]> = Table::new("entries");

type Model = BTreeMap<u16, Vec<u8>>;

pub(super) struct Named;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Changes enough entries that pages are used again.
    Commit {
        puts: Vec<(u16, u8)>,
        durability: Durability,
    },
    Create(usize),
    Drop(usize),
    Restore(usize),
    ReadAll,
}

fn name(number: usize) -> String {
    format!("snapshot {number} {}", "n".repeat(number * 80))
}

fn value(stamp: u8) -> Vec<u8> {
    vec![stamp; 700]
}

fn read_all(rx: &ReadTxn) -> Result<Model> {
    rx.table_or_empty(&ENTRIES)?.iter().map(|entry| entry.map(|(key, value)| (key, value.to_vec()))).collect()
}

impl Workload for Named {
    type Step = Step;
    type Memory = ();

    fn name(&self) -> &str {
        "named"
    }

    fn options(&self) -> OpenOptions {
        Db::options().max_size(16 << 20).log_size(64 << 10)
    }

    fn script(&self, random: &mut Random) -> Vec<Step> {
        let mut step = |number: usize| match random.below(8) {
            0 | 1 => Step::Create(random.below(3)),
            2 => Step::Drop(random.below(3)),
            3 if number > 6 => Step::Restore(random.below(3)),
            4 => Step::ReadAll,
            _ => {
                let puts = (0..5 + random.below(20))
                    .map(|_| (random.below(40) as u16, random.below(256) as u8))
                    .collect();
                let durability = if random.one_in(3) { Durability::Lazy } else { Durability::Durable };
                Step::Commit { puts, durability }
            }
        };
        let mut steps: Vec<Step> = (0..24).map(&mut step).collect();
        let all = (0..40).map(|key| (key, 1)).collect();
        steps.insert(0, Step::Commit { puts: all, durability: Durability::Durable });
        steps
    }

    fn run(&self, context: &Context, (): &mut (), step: &Step) -> Result<()> {
        let db = context.db();
        match step {
            Step::Commit { puts, durability } => {
                let tx = db.write()?;
                for &(key, stamp) in puts {
                    tx.table(&ENTRIES)?.insert(key, value(stamp))?;
                }
                tx.commit_with(*durability).map(drop)
            }
            Step::Create(number) => match db.create_snapshot(&name(*number)) {
                Err(Error::SnapshotExists { .. }) => Ok(()),
                other => other.map(drop),
            },
            Step::Drop(number) => db.drop_snapshot(&name(*number)).map(drop),
            Step::Restore(number) => {
                let tx = db.write()?;
                match tx.restore_snapshot(&name(*number)) {
                    Err(Error::SnapshotNotFound { .. }) => Ok(()),
                    other => other.and_then(|()| tx.commit().map(drop)),
                }
            }
            Step::ReadAll => {
                db.snapshots()?.iter().try_for_each(|info| read_all(&db.read_at(&info.name)?).map(drop))
            }
        }
    }

    fn check(&self, db: &Db, history: &History<'_, Step>) -> Result<(), String> {
        let (mut now, mut names) = (Model::new(), BTreeMap::new());
        for outcome in history.outcomes().iter().filter(|outcome| outcome.kept > 0) {
            match outcome.step {
                Step::Commit { puts, .. } => {
                    now.extend(puts.iter().map(|&(key, stamp)| (key, value(stamp))));
                }
                Step::Create(number) => drop(names.insert(name(*number), now.clone())),
                Step::Drop(number) => drop(names.remove(&name(*number))),
                Step::Restore(number) => now.clone_from(&names[&name(*number)]),
                Step::ReadAll => {}
            }
        }
        let text = |error: Error| error.to_string();
        let found: Vec<String> = db.snapshots().map_err(text)?.into_iter().map(|info| info.name).collect();
        if !found.iter().eq(names.keys()) {
            return Err(format!("the names {found:?}, expected {:?}", names.keys()));
        }
        for (name, model) in &names {
            if db.read_at(name).and_then(|rx| read_all(&rx)).map_err(text)? != *model {
                return Err(format!("{name} is not what it was"));
            }
        }
        match db.read().and_then(|rx| read_all(&rx)).map_err(text)? == now {
            true => Ok(()),
            false => Err("other entries than the commits have left".to_owned()),
        }
    }
}

#[test]
fn no_crash_takes_a_named_snapshot_or_brings_one_back() {
    let is_long = std::env::var_os("MAPLEAF_LONG").is_some();
    let (seeds, states) = if is_long { (40, 20_000) } else { (3, 700) };
    let explorer = Explorer::new().seeds(0..seeds).states(states).lost_blocks(true).second_sessions(is_long);
    let report = explorer.explore(&Named).unwrap();
    println!("{report}");
    assert!(report.states >= states);
}
