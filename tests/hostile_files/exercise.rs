//! All that a program can do with a database, done to one that may be damaged. Each call returns a value or one of the
//! errors that are documented for it.
//!
//! What counts as a failure, besides a panic, is a violation of these:
//! - Reading ends: no iterator returns more entries than its pages have room for ([`room_for_entries`]).
//! - Of reading, only `Corrupt`, `Decode` and what concerns names and types of tables may come; of opening, `Corrupt`,
//!   `NotADatabase`, `MetaPagesLost`, `NewerFormat`, `Truncated`; of writing, `Full` and `TransactionFailed` too.
//!   Never `Io`.
//! - `Db::check` is right: where it finds nothing, nothing is `Corrupt`, and after a commit it still finds nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use mapleaf::{
    Db, Durability, Error, Key, ReadTxn, SalvageReport, Stats, Table, TableMut, TableRef, Value, Verify,
    WriteMode, WriteTxn,
};

use crate::common::Random;
use crate::corpus::options;

type Bytes<'name> = Table<'name, [u8], [u8]>;

/// At most this many tables are read.
const MAX_TABLES: usize = 3;

/// How many entries an iterator may return at most. An entry takes four bytes of its page at least: a key that is no
/// longer than a head, and no value, in a dense leaf. Each page is one leaf at most, except for the two in which the
/// ends of an iterator begin.
pub(crate) fn room_for_entries(stats: &Stats) -> u64 {
    (u64::from(stats.pages) + 2) * stats.page_size as u64 / 4
}

/// What is done: all of it depends on a seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) verify: Verify,
    /// When it is opened for the second time.
    pub(crate) verify_again: Verify,
    pub(crate) write_mode: WriteMode,
    pub(crate) reads_first: bool,
    /// Whether it is read first where nothing can be written: a log is replayed in memory.
    pub(crate) reads_for_itself: bool,
    pub(crate) dirty_memory: usize,
    pub(crate) seed: u64,
}

/// What came of it, counted.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) executions: u64,
    pub(crate) opened: u64,
    pub(crate) clean: u64,
    pub(crate) read_for_itself: u64,
    pub(crate) entries_read: u64,
    pub(crate) commits: u64,
    /// Salvages that ended with a database, those of them that rescued all of a sound one, and the entries of all.
    pub(crate) salvaged: u64,
    pub(crate) salvaged_whole: u64,
    pub(crate) entries_rescued: u64,
    /// How often each property was found not to hold, by `Corruption::what`; other errors by their advice.
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) most_memory: usize,
}

impl Findings {
    /// The damage is such that most of what can be wrong is met, and that much is left to be read and written.
    pub(crate) fn assert_reach(&self) {
        assert!(self.opened * 2 > self.executions && self.opened < self.executions, "{self}");
        assert!(self.clean * 10 > self.executions && self.clean < self.opened, "{self}");
        // A transaction in which `retain` or another change of several met damage is not committed.
        assert!(self.commits * 4 > self.executions * 3, "{self}");
        assert!(self.entries_read > 100 * self.executions, "{self}");
        assert!(self.salvaged * 12 > self.executions && self.salvaged_whole * 64 > self.executions, "{self}");
        assert!(self.errors.len() > 60, "{self}");
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Findings { executions, opened, clean, entries_read, commits, errors, most_memory, .. } = self;
        let read_for_itself = self.read_for_itself;
        let Findings { salvaged, salvaged_whole, entries_rescued, .. } = self;
        writeln!(
            f,
            "{executions} executions: {opened} could be opened, {clean} were sound; {read_for_itself} read where \
             nothing can be written; {entries_read} entries read, {commits} commits; {salvaged} salvaged, \
             {salvaged_whole} of them known to be sound, {entries_rescued} entries rescued; {most_memory} bytes of \
             memory at most; {} kinds of errors",
            errors.len()
        )?;
        errors.iter().try_for_each(|(what, times)| writeln!(f, "{times:>9} {what}"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Context {
    Opening,
    Reading,
    Writing,
}

pub(crate) struct Exercise<'a> {
    pub(crate) random: Random,
    pub(crate) probes: &'a [Vec<u8>],
    pub(crate) findings: &'a mut Findings,
    /// Whether `check` found nothing before anything was written.
    pub(crate) is_clean: bool,
    /// Whether a commit has met damage.
    pub(crate) has_failed_commit: bool,
}

/// Opens the file at `path`, which cannot be written there, and reads it.
pub(crate) fn read_for_itself(path: &Path, plan: &Plan, probes: &[Vec<u8>], findings: &mut Findings) {
    let random = Random::new(plan.seed);
    let mut exercise = Exercise { random, probes, findings, is_clean: false, has_failed_commit: false };
    let opened = options().verify(plan.verify).read_only(true).open(path);
    if let Some(db) = exercise.value(Context::Opening, opened) {
        exercise.findings.read_for_itself += 1;
        exercise.is_clean = exercise.check(&db);
        exercise.read(&db);
    }
}

/// Opens the file at `path`, reads it, writes to it, opens it again. What a salvage has `rescued` of it is compared.
pub(crate) fn exercise(
    path: &Path,
    plan: &Plan,
    probes: &[Vec<u8>],
    rescued: Option<&SalvageReport>,
    findings: &mut Findings,
) {
    findings.executions += 1;
    let random = Random::new(plan.seed);
    let mut exercise = Exercise { random, probes, findings, is_clean: false, has_failed_commit: false };
    if plan.reads_first {
        let opened = options().verify(plan.verify).read_only(true).open(path);
        if let Some(db) = exercise.value(Context::Opening, opened) {
            exercise.check(&db);
            exercise.read(&db);
        }
    }
    let opened =
        options().verify(plan.verify).write_mode(plan.write_mode).dirty_memory(plan.dirty_memory).open(path);
    let Some(db) = exercise.value(Context::Opening, opened) else { return };
    exercise.findings.opened += 1;
    exercise.is_clean = exercise.check(&db);
    exercise.findings.clean += u64::from(exercise.is_clean);
    if let Some(rescued) = rescued.filter(|_| exercise.is_clean) {
        exercise.compare(&db, rescued);
    }
    if exercise.random.one_in(2) {
        exercise.read(&db);
    }
    for _ in 0..2 {
        exercise.write(&db);
    }
    exercise.read(&db);
    exercise.still_clean(&db);
    let synced = db.close();
    exercise.value(Context::Writing, synced);
    let opened = options().verify(plan.verify_again).open(path);
    if let Some(db) = exercise.value(Context::Opening, opened) {
        exercise.still_clean(&db);
        if exercise.random.one_in(2) {
            exercise.write(&db);
            exercise.read(&db);
        }
    }
}

impl Exercise<'_> {
    /// The value, if there is one. An error must be one of those that are documented.
    #[track_caller]
    pub(crate) fn value<T>(&mut self, context: Context, result: Result<T, Error>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let is_due = match &error {
            Error::Corrupt(corruption) => {
                let whole = [corruption.what, &corruption.expected, &corruption.found];
                assert!(whole.iter().all(|text| !text.is_empty()), "{error:?}");
                // A database whose ids have come to their end is sound, and cannot be written to.
                let is_at_its_end = corruption.what == "transaction id";
                assert!(!self.is_clean || is_at_its_end, "check has found nothing, and then: {error}");
                true
            }
            Error::NotADatabase { .. }
            | Error::MetaPagesLost { .. }
            | Error::NewerFormat { .. }
            | Error::Truncated { .. } => context == Context::Opening,
            Error::TableNotFound { .. }
            | Error::TableTypeMismatch { .. }
            | Error::TableKindMismatch { .. }
            | Error::Decode { .. } => context != Context::Opening,
            Error::Full { .. } | Error::TransactionFailed | Error::TableExists { .. } => {
                context == Context::Writing
            }
            Error::KeyTooLong { .. } => context == Context::Writing,
            // A commit has met damaged pages in its sync: after that no handle commits any more.
            Error::Poisoned => context == Context::Writing && self.has_failed_commit,
            _ => false,
        };
        assert!(is_due, "{context:?} returns {error:?}");
        let name = match &error {
            Error::Corrupt(corruption) => corruption.what.to_owned(),
            other => advice_of(other),
        };
        *self.findings.errors.entry(name).or_default() += 1;
        None
    }

    fn check(&mut self, db: &Db) -> bool {
        let report = db.check();
        let Some(report) = self.value(Context::Reading, report) else { return false };
        for problem in report.problems() {
            *self.findings.errors.entry(format!("check: {}", problem.what)).or_default() += 1;
        }
        let _ = report.to_string();
        report.is_clean()
    }

    /// What was sound, and was written to without an error, is sound.
    fn still_clean(&mut self, db: &Db) {
        let was_clean = self.is_clean;
        let report = db.check();
        let Some(report) = self.value(Context::Reading, report) else { return };
        assert!(!was_clean || report.is_clean(), "check had found nothing, and now finds {report}");
    }

    /// A database that is sound is salvaged as a whole.
    fn compare(&mut self, db: &Db, rescued: &SalvageReport) {
        // Recovery adds a transaction of its own to those of the log, unless there was nothing to replay.
        let newest = db.stats().unwrap().newest;
        let last = rescued.transaction.map(|transaction| transaction.get() + rescued.replayed_transactions);
        if last.is_none_or(|last| last != newest.get() && last + 1 != newest.get()) {
            return;
        }
        assert!(rescued.is_complete(), "check finds nothing, and salvage {rescued}");
        // Those that the log has created come last.
        let mut rescued_names: Vec<_> =
            rescued.tables.iter().map(|table| (&table.name, table.entries)).collect();
        rescued_names.sort_unstable();
        let tables = db.read().unwrap().tables().unwrap();
        let names: Vec<_> = tables.iter().map(|table| (&table.name, table.entries)).collect();
        assert_eq!(rescued_names, names);
        self.findings.salvaged_whole += 1;
    }

    // ---- reading ----

    pub(crate) fn read(&mut self, db: &Db) {
        let stats = db.stats();
        let Some(stats) = self.value(Context::Reading, stats) else { return };
        assert!(stats.file_bytes >= u64::from(stats.pages) * stats.page_size as u64, "{stats:?}");
        let room = room_for_entries(&stats);
        self.read_snapshot(&Arc::new(db.read().unwrap()), room);
        let named = db.snapshots();
        for info in self.value(Context::Reading, named).unwrap_or_default().iter().take(3) {
            let rx = db.read_at(&info.name);
            if let Some(rx) = self.value(Context::Reading, rx) {
                self.read_snapshot(&Arc::new(rx), room);
            }
        }
    }

    fn read_snapshot(&mut self, rx: &Arc<ReadTxn>, room: u64) {
        let tables = rx.tables();
        let Some(tables) = self.value(Context::Reading, tables) else {
            return self.read_bytes(rx, "a", room);
        };
        assert!(tables.len() as u64 <= room, "{} tables", tables.len());
        let skipped = self.random.below(tables.len().max(1));
        for info in tables.iter().cycle().skip(skipped).take(tables.len().min(MAX_TABLES)) {
            let name = info.name.clone();
            match (&*info.key_type, &*info.value_type) {
                ("bytes", "bytes") => self.read_bytes(rx, &name, room),
                ("u64", "str") => {
                    let table = rx.table(&Table::<u64, str>::new(&name));
                    let Some(table) = self.value(Context::Reading, table) else { continue };
                    self.scan(table, room, |text| text.len());
                    for number in [0, 1000, 77_000, u64::MAX] {
                        let got = table.get(number).map(drop);
                        self.value(Context::Reading, got);
                    }
                    let got = table.get_many([3000, 5, 149_000]).map(drop);
                    self.value(Context::Reading, got);
                }
                ("u64", "u64") => {
                    let table = rx.table(&Table::<u64, u64>::new(&name));
                    let Some(table) = self.value(Context::Reading, table) else { continue };
                    self.scan(table, room, |number| usize::from(number as u8));
                    let got = table.get(0x9E37_79B9_7F4A_7C15).map(drop);
                    self.value(Context::Reading, got);
                }
                ("(u32,u16)", "()") => {
                    let table = rx.table(&Table::<(u32, u16), ()>::new(&name));
                    let Some(table) = self.value(Context::Reading, table) else { continue };
                    self.scan(table, room, |()| 1);
                    let some =
                        table.prefix((7u32,)).take(room as usize).try_for_each(|entry| entry.map(drop));
                    self.value(Context::Reading, some);
                }
                ("(str,u64)", "(u32,str)") => {
                    let table = rx.table(&Table::<(String, u64), (u32, String)>::new(&name));
                    let Some(table) = self.value(Context::Reading, table) else { continue };
                    self.scan(table, room, |(number, text)| number as usize + text.len());
                    let some =
                        table.prefix(("name3",)).take(room as usize).try_for_each(|entry| entry.map(drop));
                    self.value(Context::Reading, some);
                }
                ("option<i32>", "option<bool>") => {
                    let table = rx.table(&Table::<Option<i32>, Option<bool>>::new(&name));
                    let Some(table) = self.value(Context::Reading, table) else { continue };
                    self.scan(table, room, |value| usize::from(value.unwrap_or(false)));
                }
                ("str", "bytes") => {
                    let table = rx.table(&Table::<str, [u8]>::new(&name));
                    let Some(table) = self.value(Context::Reading, table) else { continue };
                    self.scan(table, room, touch);
                }
                _ => {
                    let table = rx.table(&Bytes::new(&name)).map(drop);
                    self.value(Context::Reading, table);
                }
            }
        }
    }

    /// From both ends, and from both at once. Each returns no more than there is room for.
    fn scan<'tx, K: Key + ?Sized, V: Value + ?Sized>(
        &mut self,
        table: TableRef<'tx, K, V>,
        room: u64,
        look: impl Fn(V::Ref<'tx>) -> usize,
    ) {
        let mut sum = 0;
        for way in 0..3 {
            let mut entries = table.iter();
            let mut count = 0u64;
            loop {
                let from_back = way == 1 || way == 2 && count % 3 == 1;
                let entry = if from_back { entries.next_back() } else { entries.next() };
                let Some(entry) = entry else { break };
                count += 1;
                assert!(count <= room + 1, "more than {room} entries");
                match self.value(Context::Reading, entry) {
                    Some((_, value)) => sum += look(value),
                    None => {
                        let again = if from_back { entries.next_back() } else { entries.next() };
                        assert!(again.is_some_and(|entry| entry.is_err()), "an error, and then the end");
                        break;
                    }
                }
            }
            self.findings.entries_read += count;
            if !self.random.one_in(2) {
                break;
            }
        }
        std::hint::black_box(sum);
        for end in [table.first().map(drop), table.last().map(drop)] {
            self.value(Context::Reading, end);
        }
        if self.random.one_in(4) {
            let prefetched = table.prefetch(..);
            if let Some(prefetched) = self.value(Context::Reading, prefetched) {
                assert!(prefetched.pages <= room * room, "{prefetched:?}");
            }
        }
    }

    fn read_bytes(&mut self, rx: &Arc<ReadTxn>, name: &str, room: u64) {
        let definition = Bytes::new(name);
        let table = rx.table(&definition);
        let Some(table) = self.value(Context::Reading, table) else { return };
        self.scan(table, room, touch);
        let probes = self.probes;
        for probe in probes {
            let got = table.get(probe).map(|value| value.map(touch));
            self.value(Context::Reading, got);
        }
        let got = table.get_many(probes).map(|values| values.into_iter().flatten().map(touch).sum::<usize>());
        self.value(Context::Reading, got);
        for _ in 0..2 {
            let (lower, upper) = (self.random.pick(probes), self.random.pick(probes));
            let count = whole(table.range(&lower[..]..=&upper[..]), room);
            assert!(count <= room + 1, "more than {room} entries in a range");
            let some =
                table.prefix(&lower[..lower.len() / 2]).rev().take(100).try_for_each(|entry| entry.map(drop));
            self.value(Context::Reading, some);
        }
        self.read_places(table, room);
        let lower = self.random.pick(probes);
        let has = table.contains_key(lower);
        self.value(Context::Reading, has);
        let prefetched = table.prefetch(&lower[..]..);
        self.value(Context::Reading, prefetched);
        let owned = rx.owned_table(&definition);
        if let Some(owned) = self.value(Context::Reading, owned) {
            for entry in owned.iter().take(50) {
                self.value(Context::Reading, entry);
            }
        }
    }

    // ---- writing ----

    fn write(&mut self, db: &Db) {
        let Some(mut tx) = self.value(Context::Writing, db.write()) else { return };
        let names = match self.value(Context::Writing, tx.tables()) {
            Some(tables) => {
                let of_bytes =
                    tables.into_iter().filter(|info| info.key_type == "bytes" && info.value_type == "bytes");
                of_bytes.map(|info| info.name).collect()
            }
            None => vec!["a".to_owned()],
        };
        let mut room = 4 * db.stats().map_or(1 << 20, |stats| stats.file_bytes / 8) + (1 << 16);
        let mut savepoint = None;
        for _ in 0..1 + self.random.below(3) {
            // Going back makes a transaction usable in which a change has met damage.
            match savepoint.take() {
                Some(made) if self.random.one_in(2) => {
                    if self.value(Context::Writing, tx.rollback_to(&made)).is_some() {
                        self.value(Context::Writing, tx.release(made));
                    }
                }
                None if self.random.one_in(2) => savepoint = self.value(Context::Writing, tx.savepoint()),
                made => savepoint = made,
            }
            let name = match names.len() {
                0 => "new".to_owned(),
                count => names[self.random.below(count)].clone(),
            };
            let Some(mut table) = self.value(Context::Writing, tx.table(&Bytes::new(&name))) else {
                continue;
            };
            for _ in 0..1 + self.random.below(8) {
                self.change(&mut table, &mut room);
            }
            drop(table);
            if self.random.one_in(6) {
                self.change_catalog(&tx, &name);
            }
        }
        let committed = match self.random.below(8) {
            0 => return tx.abort(),
            1 | 2 => tx.commit_with(Durability::Lazy),
            3 => tx.commit_deferred().and_then(|ticket| ticket.wait()),
            _ => tx.commit(),
        };
        self.has_failed_commit |= matches!(committed, Err(Error::Corrupt(_)));
        self.findings.commits += u64::from(self.value(Context::Writing, committed).is_some());
    }

    fn change(&mut self, table: &mut TableMut<'_, [u8], [u8]>, room: &mut u64) {
        let probes = self.probes;
        let key: Vec<u8> = match self.random.below(4) {
            0 => self.random.bytes(1 + *self.random.clone().pick(&[3, 10, 300, 1900])),
            _ => self.random.pick(probes).clone(),
        };
        let other = self.random.pick(probes);
        let length = *self.random.pick(&[0, 1, 10, 100, 900, 2000, 5000, 40_000]);
        let value = if self.random.one_in(200) { vec![1; 300_000] } else { vec![2; length] };
        let context = Context::Writing;
        match self.random.below(22) {
            17..=20 => self.change_places(table, (&key, &value), room),
            0..=3 => drop(self.value(context, table.insert(&key, &value))),
            4 => drop(self.value(context, table.replace(&key, &value))),
            5..=7 => drop(self.value(context, table.remove(&key))),
            8 => drop(self.value(context, table.take(&key))),
            9 => drop(self.value(context, table.pop_first())),
            10 => drop(self.value(context, table.pop_last())),
            11 => drop(self.value(context, table.remove_range(&key[..]..&other[..]))),
            12 => {
                let mut count = 0u64;
                let most = *room;
                let retained = table.retain(|key, _| {
                    count += 1;
                    assert!(count <= most, "retain is shown more than {most} entries");
                    key.last().is_none_or(|&byte| byte % 4 != 0)
                });
                self.value(context, retained);
            }
            13 => {
                let place = table.insert_reserve(&key, length).map(|place| {
                    assert_eq!(place.len(), length);
                    place.fill(9);
                });
                self.value(context, place);
            }
            14 if self.random.one_in(4) => drop(self.value(context, table.clear())),
            15 => {
                // Some anywhere, and many after all others.
                let behind = (0..200u16).map(|number| [&[0xFF; 8][..], &number.to_le_bytes()].concat());
                let value = &value[..value.len().min(900)];
                let loaded = table.insert_many(probes.iter().cloned().chain(behind).map(|key| (key, value)));
                self.value(context, loaded);
                *room += probes.len() as u64 + 200;
            }
            _ => {
                let got = table.get(&key).map(|value| value.map(touch));
                self.value(context, got);
                let got = table.get_many(probes).map(|values| values.len());
                self.value(context, got);
                let count = whole(table.range(&key[..]..), *room);
                assert!(count <= *room, "more than {room} entries");
            }
        }
        // What a transaction has put in is to be read too: a cursor inserts two entries.
        *room += 2;
    }

    fn change_catalog(&mut self, tx: &WriteTxn, name: &str) {
        let types = tx.tables().ok().and_then(|tables| tables.into_iter().find(|table| table.name == name));
        match self.random.below(5) {
            0 => drop(self.value(Context::Writing, tx.drop_table(name))),
            4 => {
                let from =
                    types.as_ref().map_or(("", ""), |types| (&types.key_type[..], &types.value_type[..]));
                let retyped = tx.retype_table(&Table::<[u8], [u8]>::new(name), from);
                _ = self.value(Context::Writing, retyped);
            }
            1 => drop(self.value(Context::Writing, tx.rename_table(name, "renamed"))),
            2 => drop(self.value(Context::Writing, tx.table(&Table::<u64, u64>::new("another")).map(drop))),
            _ => drop(self.value(Context::Writing, tx.tables())),
        }
    }
}

/// Touches each page of a value: one that is not there would end the process.
pub(crate) fn touch(value: &[u8]) -> usize {
    value.iter().step_by(512).chain(value.last()).map(|&byte| usize::from(byte)).sum()
}

/// The file has not grown beyond what it may.
pub(crate) fn assert_bounds(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    assert!(length <= crate::corpus::MAX_SIZE, "the file has {length} bytes");
}

/// How many entries can be read before the first error or the end, up to two more than `room`.
fn whole<T>(entries: impl Iterator<Item = mapleaf::Result<T>>, room: u64) -> u64 {
    entries.take(room as usize + 2).take_while(|entry| entry.is_ok()).count() as u64
}

/// The last part of an error's text, which says what to do: it is the same for all errors of one variant.
pub(crate) fn advice_of(error: &Error) -> String {
    let text = error.to_string();
    text.rsplit("; ").next().unwrap_or(&text).to_owned()
}
