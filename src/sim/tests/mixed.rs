//! Everything that a database can go through, as workloads: all kinds of commits, growth, shrinking, spilling, large
//! values, tables that come and go, readers that stay, commits during barriers.

use std::collections::BTreeMap;

use crate::db::{Db, OpenOptions, PendingCommit, ReadTxn, WriteTxn};
use crate::error::Result;
use crate::sim::{Context, History, Random, Workload};
use crate::sys::WriteMode;
use crate::txn::commit::Durability;
use crate::types::Table;

const NAMES: [&str; 3] = ["one", "two", "three"];

/// What a workload is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A few entries, a few commits: all crash states can be visited.
    Tiny,
    /// Few entries, all kinds of commits, others' commits during barriers.
    Small,
    /// Entries of one length, in dense leaves, now and then one of another.
    Numbers,
    /// Transactions that spill, values on overflow pages.
    Large,
    /// The file grows and is cut again.
    GrowAndShrink,
    /// Free pages in many short runs.
    Fragmented,
    /// Hundreds of small commits: the free log is rewritten, and its pages are used again.
    Long,
    /// Transactions that spill, and go back to savepoints.
    Savepoints,
}

#[derive(Clone, Debug)]
pub(super) struct Mixed {
    kind: Kind,
    page_size: usize,
    write_mode: WriteMode,
    log_size: u64,
    name: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Put { table: usize, key: usize, key_len: usize, stamp: u64, length: usize },
    Remove { table: usize, key: usize, key_len: usize },
    RemoveRange { table: usize, from: usize, to: usize },
    Clear { table: usize },
    Drop { table: usize },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    Durable,
    Lazy,
    Deferred,
    Aborted,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A transaction; the others are published while the next barrier is under way.
    Commit {
        changes: Vec<Change>,
        how: How,
        meanwhile: Vec<(Vec<Change>, Durability)>,
    },
    Sync,
    WaitForTickets,
    BeginReading,
    /// Immutable while visible: each reader reads its own state.
    ReadAgain,
    EndReading,
}

#[derive(Default)]
pub(super) struct Memory {
    readers: Vec<(ReadTxn, Model)>,
    tickets: Vec<PendingCommit>,
}

/// Tables, and their entries.
pub(super) type Model = BTreeMap<String, Entries>;
type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

fn key_of(key: usize, key_len: usize) -> Vec<u8> {
    let mut bytes = format!("{key:05}").into_bytes();
    bytes.resize(key_len.max(5), b'k');
    bytes
}

fn value_of(stamp: u64, length: usize) -> Vec<u8> {
    let mut bytes = stamp.to_le_bytes().repeat(length / 8 + 1);
    bytes.truncate(length);
    bytes
}

fn table_of(table: usize) -> Table<'static, [u8], [u8]> {
    Table::new(NAMES[table])
}

impl Change {
    fn make(&self, tx: &WriteTxn) -> Result<()> {
        match *self {
            Change::Put { table, key, key_len, stamp, length } => {
                let (mut table, key) = (tx.table(&table_of(table))?, key_of(key, key_len));
                let value = value_of(stamp, length);
                // The result is the same, whichever way.
                match stamp % 4 {
                    0 if stamp % 8 > 0 => drop(table.cursor_mut().insert(key, value)?),
                    0 => drop(table.entry(key)?.insert_entry(value)?),
                    1 => table.update(key, |_| Some(value))?,
                    2 => match table.get_mut(&key)? {
                        Some(old) if old.len() == value.len() => old.copy_from_slice(&value),
                        _ => drop(table.insert(key, value)?),
                    },
                    _ => drop(table.insert(key, value)?),
                }
            }
            Change::Remove { table, key, key_len } => {
                tx.table(&table_of(table))?.remove(key_of(key, key_len))?;
            }
            Change::RemoveRange { table, from, to } => {
                let (mut table, from_key, to_key) =
                    (tx.table(&table_of(table))?, key_of(from, 0), key_of(to, 0));
                let range = &from_key[..]..&to_key[..];
                match from % 3 {
                    0 => table.extract_if(range, |_, _| true).try_for_each(|entry| entry.map(drop))?,
                    1 => table.drain(range).take(2).try_for_each(|entry| entry.map(drop))?,
                    _ => drop(table.remove_range(range)?),
                }
            }
            Change::Clear { table } => {
                tx.table(&table_of(table))?.clear()?;
            }
            Change::Drop { table } => {
                tx.drop_table(NAMES[table])?;
            }
        }
        Ok(())
    }

    fn apply(&self, model: &mut Model) {
        let mut entries = |table: usize, work: &dyn Fn(&mut Entries)| {
            work(model.entry(NAMES[table].into()).or_default());
        };
        match *self {
            Change::Put { table, key, key_len, stamp, length } => entries(table, &|entries| {
                entries.insert(key_of(key, key_len), value_of(stamp, length));
            }),
            Change::Remove { table, key, key_len } => entries(table, &|entries| {
                entries.remove(&key_of(key, key_len));
            }),
            Change::RemoveRange { table, from, to } => entries(table, &|entries| {
                entries.retain(|key, _| *key < key_of(from, 0) || *key >= key_of(to, 0));
            }),
            Change::Clear { table } => entries(table, &BTreeMap::clear),
            Change::Drop { table } => {
                model.remove(NAMES[table]);
            }
        }
    }
}

/// What a snapshot holds.
pub(super) fn read_all(rx: &ReadTxn) -> Result<Model> {
    let mut model = Model::new();
    for info in rx.tables()? {
        let table: Table<[u8], [u8]> =
            Table::new(NAMES[NAMES.iter().position(|name| *name == info.name).unwrap()]);
        let entries = rx.table(&table)?.iter().map(|entry| entry.map(|(k, v)| (k.to_vec(), v.to_vec())));
        model.insert(info.name.clone(), entries.collect::<Result<_>>()?);
    }
    Ok(model)
}

impl Mixed {
    pub(super) fn new(kind: Kind) -> Mixed {
        Mixed::stored(kind, 4096, WriteMode::Syscall)
    }

    /// The name says all of it, so that a replay string does.
    pub(super) fn stored(kind: Kind, page_size: usize, write_mode: WriteMode) -> Mixed {
        let kind_name = match kind {
            Kind::Tiny => "tiny",
            Kind::Small => "small",
            Kind::Numbers => "numbers",
            Kind::Large => "large",
            Kind::GrowAndShrink => "grow-and-shrink",
            Kind::Fragmented => "fragmented",
            Kind::Long => "long",
            Kind::Savepoints => "savepoints",
        };
        let name = format!("{kind_name}-{page_size}-{write_mode:?}").to_lowercase();
        // So small that the log gets around its ring.
        let log_size = match kind {
            Kind::Tiny => 16 << 10,
            Kind::Small | Kind::Savepoints => 32 << 10,
            Kind::Numbers | Kind::GrowAndShrink | Kind::Long => 64 << 10,
            // The ring is to grow.
            Kind::Large | Kind::Fragmented => 256 << 10,
        };
        let log_size = log_size.max(4 * page_size as u64);
        Mixed { kind, page_size, write_mode, log_size, name }
    }

    fn changes(&self, random: &mut Random) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut put = |table, key, key_len, length, random: &mut Random| {
            changes.push(Change::Put { table, key, key_len, stamp: random.next(), length });
        };
        match self.kind {
            Kind::Tiny => put(0, random.below(2), 0, 8 + random.below(30), random),
            Kind::Small | Kind::Long => {
                for _ in 0..1 + random.below(4) {
                    let (table, key) = (random.below(2), random.below(30));
                    put(table, key, 5 + key % 40, 8 * random.below(12), random);
                }
                self.destroy(&mut changes, random);
            }
            Kind::Numbers => {
                let most = if random.one_in(6) { 300 } else { 12 };
                (0..random.below(most)).for_each(|_| put(0, random.below(2000), 8, 8, random));
                if random.one_in(6) {
                    put(0, random.below(2000), 8, 9, random);
                }
                let (from, key) = (random.below(2000), random.below(2000));
                match random.below(8) {
                    0..=2 => changes.push(Change::Remove { table: 0, key, key_len: 8 }),
                    3 => changes.push(Change::RemoveRange { table: 0, from, to: from + random.below(400) }),
                    _ => {}
                }
            }
            Kind::Large | Kind::Savepoints => {
                for _ in 0..1 + random.below(12) {
                    let length = if random.one_in(4) { random.below(3 * self.page_size) } else { 200 };
                    put(random.below(3), random.below(25), 60, length, random);
                }
                if random.one_in(10) {
                    put(0, 99, 0, (256 << 10) + random.below(9), random); // stored at once, from where it is
                }
                self.destroy(&mut changes, random);
            }
            Kind::GrowAndShrink => match random.below(12) {
                0 => changes.push(Change::Clear { table: 0 }),
                1 => (0..2 + random.below(4)).for_each(|_| put(0, random.below(9), 0, 100 << 10, random)),
                _ => put(0, 20, 0, 8, random),
            },
            // Rarely all leaves at once: after that the free pages are in one piece again.
            Kind::Fragmented => match random.below(6) {
                0 => (0..1500).step_by(2).for_each(|key| put(0, key, 0, 960, random)),
                _ => (0..40).for_each(|_| put(0, random.below(1500), 0, 960, random)),
            },
        }
        // So that each transaction changes something.
        changes.push(Change::Put { table: 0, key: 77777, key_len: 0, stamp: random.next(), length: 8 });
        changes
    }

    fn destroy(&self, changes: &mut Vec<Change>, random: &mut Random) {
        let table = random.below(3);
        match random.below(24) {
            0..=6 => {
                let key = random.below(30);
                changes.push(Change::Remove { table, key, key_len: 5 + key % 40 });
            }
            7 | 8 => {
                changes.push(Change::RemoveRange { table, from: random.below(20), to: random.below(30) })
            }
            9 => changes.push(Change::Clear { table }),
            10 => changes.push(Change::Drop { table: 1 + random.below(2) }),
            _ => {}
        }
    }

    fn step(&self, random: &mut Random) -> Step {
        let how = match random.below(16) {
            0..=7 => How::Durable,
            8 | 9 => How::Lazy,
            10 | 11 => How::Deferred,
            12 if random.one_in(2) => How::Aborted,
            12 => return Step::Sync,
            13 => return Step::WaitForTickets,
            14 if random.one_in(2) => return Step::BeginReading,
            14 => return Step::EndReading,
            _ => return Step::ReadAgain,
        };
        let mut meanwhile = Vec::new();
        if random.one_in(3) && self.kind != Kind::Tiny {
            for _ in 0..1 + random.below(4) {
                let durability = if random.one_in(2) { Durability::Durable } else { Durability::Lazy };
                meanwhile.push((self.changes(random), durability));
            }
        }
        Step::Commit { changes: self.changes(random), how, meanwhile }
    }
}

impl Kind {
    fn begin(self, db: &Db, changes: &[Change]) -> Result<WriteTxn> {
        let mut tx = db.write()?;
        for (index, change) in changes.iter().enumerate() {
            if self != Kind::Savepoints {
                change.make(&tx)?;
                continue;
            }
            // All that is to come is done and undone before each change.
            let savepoint = tx.savepoint()?;
            changes[index..].iter().rev().try_for_each(|change| change.make(&tx))?;
            tx.rollback_to(&savepoint)?;
            tx.nested(|tx| change.make(tx))?;
            if index % 3 > 0 {
                tx.release(savepoint)?;
            }
        }
        Ok(tx)
    }
}

impl Workload for Mixed {
    type Step = Step;
    type Memory = Memory;

    fn name(&self) -> &str {
        &self.name
    }

    fn options(&self) -> OpenOptions {
        let spills = matches!(self.kind, Kind::Large | Kind::Savepoints);
        let dirty_memory = if spills { 2 * self.page_size } else { 256 << 20 };
        let options = Db::options().max_size(64 << 20).page_size(self.page_size);
        options.write_mode(self.write_mode).dirty_memory(dirty_memory).log_size(self.log_size)
    }

    fn script(&self, random: &mut Random) -> Vec<Step> {
        let count = match self.kind {
            Kind::Tiny => 3,
            Kind::Small => 30,
            Kind::Numbers => 16,
            Kind::Large | Kind::Savepoints => 14,
            Kind::GrowAndShrink => 60,
            Kind::Fragmented => 9,
            Kind::Long => 400,
        };
        let mut steps: Vec<Step> = (0..count).map(|_| self.step(random)).collect();
        let (keys, key_len, length) = match self.kind {
            Kind::Fragmented => (0..1500, 0, 960),
            Kind::Numbers => (400..1600, 8, 8),
            // The ring is taken by the first commit, where it is not in the way of cuts.
            Kind::GrowAndShrink => (0..1, 0, 8),
            _ => (0..0, 0, 0),
        };
        if !keys.is_empty() {
            let changes = keys.map(|key| Change::Put { table: 0, key, key_len, stamp: 1, length }).collect();
            steps.insert(0, Step::Commit { changes, how: How::Durable, meanwhile: Vec::new() });
        }
        steps
    }

    fn run(&self, context: &Context, memory: &mut Memory, step: &Step) -> Result<()> {
        match step {
            Step::Commit { changes, how, meanwhile } => {
                let (kind, meanwhile) = (self.kind, meanwhile.clone());
                if !meanwhile.is_empty() {
                    context.during_next_barrier(move |db| {
                        for (changes, durability) in &meanwhile {
                            // This work must not wait for the barrier in progress.
                            let Ok(tx) = kind.begin(db, changes) else { return };
                            let Ok(_) = tx.transaction.publish(*durability) else { return };
                        }
                    });
                }
                let tx = self.kind.begin(context.db(), changes)?;
                match how {
                    How::Durable => drop(tx.commit()?),
                    How::Lazy => drop(tx.commit_with(Durability::Lazy)?),
                    How::Deferred => memory.tickets.push(tx.commit_deferred()?),
                    How::Aborted => tx.abort(),
                }
                // What commits during a barrier have left is visible, and so protected.
                drop(read_all(&context.db().read()?)?);
            }
            Step::Sync => context.db().sync()?,
            Step::WaitForTickets => {
                memory.tickets.drain(..).try_for_each(|ticket| ticket.wait().map(drop))?;
            }
            Step::BeginReading => {
                let rx = context.db().read()?;
                let model = read_all(&rx)?;
                memory.readers.push((rx, model));
            }
            Step::ReadAgain => {
                for (rx, model) in &memory.readers {
                    assert!(read_all(rx)? == *model, "a snapshot has changed");
                }
            }
            Step::EndReading => drop(memory.readers.pop()),
        }
        Ok(())
    }

    fn check(&self, db: &Db, history: &History<'_, Step>) -> Result<(), String> {
        let mut expected = Model::new();
        for outcomes in history.outcomes() {
            let Step::Commit { changes, how, meanwhile } = outcomes.step else { continue };
            let own = (*how != How::Aborted).then_some(changes);
            let commits = own.into_iter().chain(meanwhile.iter().map(|(changes, _)| changes));
            for change in commits.take(outcomes.kept as usize).flatten() {
                change.apply(&mut expected);
            }
        }
        let found = db.read().and_then(|rx| read_all(&rx)).map_err(|error| error.to_string())?;
        if found != expected {
            let text =
                |model: &Model| model.iter().map(|(k, v)| format!("{k}: {}", v.len())).collect::<Vec<_>>();
            return Err(format!("found {:?}, expected {:?}", text(&found), text(&expected)));
        }
        Ok(())
    }
}
