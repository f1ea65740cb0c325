//! What commit `n` of a worker changes, and what is there after it.
//!
//! Both follow from the seed, the worker and `n` alone. So the content after commit `n` is known without that of any
//! commit before: going back from `n`, what is met first of an entry is the last that happened to it.

use std::collections::BTreeMap;

use mapleaf::{Db, Result, Table, WriteTxn};

/// What the content follows from: see [`Plan`].
pub(crate) const SETTINGS: Table<str, u64> = Table::new("settings");
/// From a worker to the number of its last commit.
pub(crate) const NUMBERS: Table<u64, u64> = Table::new("numbers");
/// The entries of all workers, by worker and slot.
pub(crate) const ENTRIES: Table<(u64, u64), [u8]> = Table::new("entries");

/// A worker's entries have keys below this; so a database does not grow for ever.
pub(crate) const SLOTS: u64 = 1000;

/// The name of a worker's own table, which is dropped now and then, and filled again.
pub(crate) fn refilled_table(worker: u64) -> String {
    format!("refilled-{worker}")
}

/// The type of the workers' own tables.
pub(crate) type Refilled<'name> = Table<'name, u64, [u8]>;

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    /// Begins where all of the seeds together lead.
    pub(crate) fn new(seeds: &[u64]) -> Random {
        let mut random = Random(0);
        for seed in seeds {
            random.0 ^= seed;
            random.0 = random.next();
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.next() % limit }
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length as usize + 8);
        while (bytes.len() as u64) < length {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(length as usize);
        bytes
    }
}

/// One of the changes of a commit.
enum Change {
    Insert {
        slot: u64,
        length: u64,
    },
    Remove {
        slot: u64,
    },
    RemoveRange {
        from: u64,
        to: u64,
    },
    /// Drop the worker's own table, and create it again if it is to have entries.
    Refill {
        entries: u64,
    },
}

/// A value, by the commit that wrote it.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    pub(crate) number: u64,
    pub(crate) length: u64,
}

/// All that a worker has after some commit.
pub(crate) struct Content {
    /// By slot.
    pub(crate) entries: BTreeMap<u64, Written>,
    /// The commit that filled the worker's own table, and with how many entries. Without entries there is no table.
    pub(crate) refilled: (u64, u64),
}

/// What the content follows from, besides worker and number. It is in the database before the first commit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Bytes in a value, as a rule at most.
    pub(crate) value_size: u64,
}

impl Plan {
    /// The plan that the database has; `None` if it has none yet.
    pub(crate) fn of(db: &Db) -> Result<Option<Plan>> {
        let rx = db.read()?;
        let settings = rx.table_or_empty(&SETTINGS)?;
        let (seed, value_size) = (settings.get("seed")?, settings.get("value size")?);
        Ok(seed.zip(value_size).map(|(seed, value_size)| Plan { seed, value_size }))
    }

    /// Gives the database this plan, unless it has one: the plan that it has then.
    pub(crate) fn settle(self, db: &Db) -> Result<Plan> {
        if let Some(plan) = Plan::of(db)? {
            return Ok(plan);
        }
        db.update(|tx| {
            let mut settings = tx.table(&SETTINGS)?;
            // Another process may have been faster.
            if settings.is_empty() {
                settings.insert("seed", self.seed)?;
                settings.insert("value size", self.value_size)?;
            }
            Ok(())
        })?;
        Ok(Plan::of(db)?.unwrap_or(self))
    }

    fn changes(&self, worker: u64, number: u64) -> Vec<Change> {
        let mut random = Random::new(&[self.seed, worker, number]);
        let mut changes = Vec::new();
        for _ in 0..=random.below(8) {
            let slot = random.below(SLOTS);
            if random.one_in(4) {
                changes.push(Change::Remove { slot });
                continue;
            }
            let limit = match random.below(100) {
                0 => 300_000,
                1..=5 => 6_000,
                _ => self.value_size + 1,
            };
            changes.push(Change::Insert { slot, length: random.below(limit) });
        }
        if random.one_in(64) {
            let from = random.below(SLOTS);
            changes.push(Change::RemoveRange { from, to: SLOTS.min(from + random.below(SLOTS / 4)) });
        }
        if random.one_in(64) {
            let limit = if random.one_in(3) { 5_000 } else { 300 };
            changes.push(Change::Refill { entries: if random.one_in(4) { 0 } else { random.below(limit) } });
        }
        changes
    }

    /// The bytes of an entry that commit `written.number` wrote.
    pub(crate) fn value(&self, worker: u64, slot: u64, written: Written) -> Vec<u8> {
        Random::new(&[self.seed, worker, written.number, slot]).bytes(written.length)
    }

    /// The bytes of an entry of the worker's own table, which commit `number` filled.
    pub(crate) fn refilled_value(&self, worker: u64, number: u64, place: u64) -> Vec<u8> {
        let mut random = Random::new(&[self.seed, worker, number, SLOTS + place]);
        let length = random.below(60);
        random.bytes(length)
    }

    /// Does all that commit `number` of the worker is to do. The caller commits.
    pub(crate) fn apply(&self, tx: &WriteTxn, worker: u64, number: u64) -> Result<()> {
        let mut entries = tx.table(&ENTRIES)?;
        for change in self.changes(worker, number) {
            match change {
                Change::Insert { slot, length } => {
                    let value = self.value(worker, slot, Written { number, length });
                    entries.insert((worker, slot), &value[..])?;
                }
                Change::Remove { slot } => {
                    entries.remove((worker, slot))?;
                }
                Change::RemoveRange { from, to } => {
                    entries.remove_range((worker, from)..(worker, to))?;
                }
                Change::Refill { entries: count } => {
                    let name = refilled_table(worker);
                    tx.drop_table(&name)?;
                    if count > 0 {
                        let mut refilled = tx.table(&Refilled::new(&name))?;
                        for place in 0..count {
                            refilled.insert(place, &self.refilled_value(worker, number, place)[..])?;
                        }
                    }
                }
            }
        }
        tx.table(&NUMBERS)?.insert(worker, number)?;
        Ok(())
    }

    /// All that the worker has after commit `number`; nothing after commit 0.
    pub(crate) fn content(&self, worker: u64, number: u64) -> Content {
        // `None`: not met yet. `Some(None)`: removed.
        let mut met: Vec<Option<Option<Written>>> = vec![None; SLOTS as usize];
        let mut refilled = None;
        for number in (1..=number).rev() {
            for change in self.changes(worker, number).into_iter().rev() {
                match change {
                    Change::Insert { slot, length } => {
                        met[slot as usize].get_or_insert(Some(Written { number, length }));
                    }
                    Change::Remove { slot } => {
                        met[slot as usize].get_or_insert(None);
                    }
                    Change::RemoveRange { from, to } => {
                        for slot in &mut met[from as usize..to as usize] {
                            slot.get_or_insert(None);
                        }
                    }
                    Change::Refill { entries } => {
                        refilled.get_or_insert((number, entries));
                    }
                }
            }
            if refilled.is_some() && met.iter().all(Option::is_some) {
                break;
            }
        }
        let entries = (0..).zip(met).filter_map(|(slot, met)| Some((slot, met.flatten()?))).collect();
        Content { entries, refilled: refilled.unwrap_or((0, 0)) }
    }
}
