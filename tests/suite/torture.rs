//! Processes that write, read, sync, open and close one database, and are killed, stopped and started again at
//! random; some fork children that live on. Nothing acknowledged may be lost, nothing unfinished may be seen, no child
//! may keep what its parent had, and every page must be accounted for.
//!
//! `MAPLEAF_TORTURE_SECONDS=1800 cargo test --release --test suite torture:: -- --nocapture` runs it for half an hour;
//! without that it takes ten seconds, and four on each file system. `MAPLEAF_SEED=N` repeats the plan of a run: which
//! worker does what, and what happens to it. (When exactly it happens is the system's to say; so an error may need
//! several runs to come again.)
#![cfg(target_os = "linux")]

use std::fmt;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::mounted::Mounted;
use crate::common::process::{self, PATIENCE};
use crate::common::{BOTH_MODES, Random, Replay};
use mapleaf::{Db, Durability, PendingCommit, ReadTxn, Result, Table, TransactionId, WriteTxn};

/// Each writer counts its transactions here, from 1 on without gaps.
const COUNTS: Table<u64, u64> = Table::new("counts");
/// The sum of all counts, at 0.
const TOTAL: Table<u64, u64> = Table::new("total");
/// Entries of each writer, spread over the tree; each of its transactions writes all of them again.
const SPREAD: Table<u64, [u8]> = Table::new("spread");
/// An entry for each transaction, of which the oldest are removed now and then.
const LOG: Table<(u64, u64), [u8]> = Table::new("log");
/// A value of up to a megabyte for each writer.
const LARGE: Table<u64, [u8]> = Table::new("large");
/// Many entries at times, and none at others: the file grows and shrinks.
const BULK: Table<u64, [u8]> = Table::new("bulk");
/// What else must be so, for each writer: see the constants below.
const FACTS: Table<(u64, u64), u64> = Table::new("facts");

/// The first transaction that the log still has.
const LOG_FROM: u64 = 0;
/// The transaction that wrote the large value, and its length.
const LARGE_BY: u64 = 1;
const LARGE_LEN: u64 = 2;
/// How many bulk entries there are.
const BULK_LEN: u64 = 3;
/// The transaction that made the writer's own table, and how many entries it has. 0: it was dropped.
const OWN_BY: u64 = 4;
const OWN_LEN: u64 = 5;

const WRITERS: u64 = 6;
const SPREAD_KEYS: u64 = 24;

/// Bytes that follow from what they are for.
fn bytes_for(writer: u64, count: u64, place: u64, length: usize) -> Vec<u8> {
    Random::new(writer << 56 ^ count << 20 ^ place).bytes(length)
}

fn length_for(writer: u64, count: u64, place: u64, limit: usize) -> usize {
    Random::new(writer << 48 ^ count << 16 ^ place).below(limit)
}

fn spread_key(writer: u64, place: u64) -> u64 {
    Random::new(writer * 1000 + place).next()
}

fn spread_value(writer: u64, count: u64, place: u64) -> Vec<u8> {
    let mut bytes = count.to_le_bytes().to_vec();
    bytes.extend(bytes_for(writer, count, place, length_for(writer, count, place, 250)));
    bytes
}

fn log_value(writer: u64, count: u64) -> Vec<u8> {
    bytes_for(writer, count, 900, length_for(writer, count, 900, 120))
}

fn bulk_value(writer: u64, place: u64) -> Vec<u8> {
    bytes_for(writer, 0, place, 20 + (place % 90) as usize)
}

/// The type of the tables of the writers' own.
type OwnTable<'name> = Table<'name, u64, u64>;

/// The name of a table of the writer's own, which is there at times.
fn own_table(writer: u64) -> String {
    format!("own-{writer}")
}

// ---- what a writer does ----

/// Transaction `count` of a writer.
fn change(tx: &WriteTxn, writer: u64, count: u64, random: &mut Random) -> Result<()> {
    tx.table(&COUNTS)?.insert(writer, count)?;
    let mut total = tx.table(&TOTAL)?;
    let sum = total.get(0)?.unwrap_or(0);
    total.insert(0, sum + 1)?;
    let mut spread = tx.table(&SPREAD)?;
    for place in 0..SPREAD_KEYS {
        spread.insert(spread_key(writer, place), &spread_value(writer, count, place)[..])?;
    }
    let mut facts = tx.table(&FACTS)?;
    let mut log = tx.table(&LOG)?;
    log.insert((writer, count), &log_value(writer, count)[..])?;
    if random.one_in(16) {
        let from = count - random.below(count.min(300) as usize) as u64;
        let old = facts.get((writer, LOG_FROM))?.unwrap_or(1);
        if from > old {
            let removed = log.remove_range((writer, 0)..(writer, from))?;
            assert_eq!(removed, from - old, "the log of {writer} had no gaps");
            facts.insert((writer, LOG_FROM), from)?;
        }
    }
    if random.one_in(16) {
        let limit = *random.pick(&[10, 5_000, 50_000, 300_000, 1_200_000]);
        let length = random.below(limit);
        tx.table(&LARGE)?.insert(writer, &bytes_for(writer, count, 901, length)[..])?;
        facts.insert((writer, LARGE_BY), count)?;
        facts.insert((writer, LARGE_LEN), length as u64)?;
    }
    if random.one_in(20) {
        let mut bulk = tx.table(&BULK)?;
        let length = facts.get((writer, BULK_LEN))?.unwrap_or(0);
        let length = if random.one_in(2) || length > 20_000 {
            let keep = random.below(length as usize + 1) as u64 / 4;
            let first = writer << 32;
            assert_eq!(bulk.remove_range(first + keep..first + (1 << 32))?, length - keep);
            keep
        } else {
            let more = length + random.below(*random.clone().pick(&[100, 1000, 6000])) as u64;
            for place in length..more {
                bulk.insert(writer << 32 | place, &bulk_value(writer, place)[..])?;
            }
            more
        };
        facts.insert((writer, BULK_LEN), length)?;
    }
    if random.one_in(20) {
        let name = own_table(writer);
        let was_there = facts.get((writer, OWN_BY))?.unwrap_or(0) != 0;
        assert_eq!(tx.drop_table(&name)?, was_there, "{name}");
        let length = random.below(600) as u64;
        if random.one_in(3) {
            facts.insert((writer, OWN_BY), 0)?;
        } else {
            let mut own = tx.table(&OwnTable::new(&name))?;
            for place in 0..length {
                own.insert(place, count)?;
            }
            facts.insert((writer, OWN_BY), count)?;
            facts.insert((writer, OWN_LEN), length)?;
        }
    }
    Ok(())
}

/// How a writer commits.
#[derive(Clone, Copy, Debug)]
enum Style {
    Durable,
    Lazy,
    Deferred,
    Mixed,
}

/// Acknowledges: `ACK durable writer count`, once a commit is what it should be.
fn acknowledge(how: &str, writer: u64, count: u64) {
    println!("ACK {how} {writer} {count}");
}

fn write_forever(db: &Db, writer: u64, style: Style, random: &mut Random) -> Result<()> {
    let mut tickets: Vec<(u64, PendingCommit)> = Vec::new();
    loop {
        let tx = match random.below(4) {
            0 => db.try_write()?,
            1 => db.write_timeout(Duration::from_micros(random.below(20_000) as u64))?,
            _ => Some(db.write()?),
        };
        let Some(tx) = tx else { continue };
        let count = tx.table(&COUNTS)?.get(writer)?.unwrap_or(0) + 1;
        change(&tx, writer, count, random)?;
        if random.one_in(12) {
            tx.abort();
            continue;
        }
        let how = match style {
            Style::Mixed => *random.pick(&[Style::Durable, Style::Lazy, Style::Deferred]),
            style => style,
        };
        match how {
            Style::Durable => {
                tx.commit()?;
                acknowledge("durable", writer, count);
            }
            Style::Lazy => {
                tx.commit_with(Durability::Lazy)?;
                acknowledge("lazy", writer, count);
            }
            Style::Deferred | Style::Mixed => tickets.push((count, tx.commit_deferred()?)),
        }
        if tickets.len() > 300 || (!tickets.is_empty() && random.one_in(10)) {
            for (count, ticket) in tickets.drain(..) {
                ticket.wait()?;
                acknowledge("durable", writer, count);
            }
        }
        if !matches!(style, Style::Lazy) && random.one_in(200) {
            db.sync()?;
        }
        if random.one_in(8) {
            std::thread::sleep(Duration::from_micros(random.below(3000) as u64));
        }
    }
}

// ---- what must be so ----

/// The counts of all writers, in a snapshot in which everything is as it must be.
#[track_caller]
fn verify(rx: &ReadTxn) -> Result<Vec<u64>> {
    let id = rx.id();
    let counts_table = rx.table(&COUNTS)?;
    let counts: Vec<u64> =
        (0..WRITERS).map(|writer| Ok(counts_table.get(writer)?.unwrap_or(0))).collect::<Result<_>>()?;
    assert_eq!(rx.table(&TOTAL)?.get(0)?.unwrap_or(0), counts.iter().sum::<u64>(), "total in {id}");
    let (spread, log, facts) = (rx.table(&SPREAD)?, rx.table(&LOG)?, rx.table(&FACTS)?);
    let written = counts.iter().filter(|&&count| count > 0).count() as u64;
    assert_eq!(spread.len(), written * SPREAD_KEYS, "spread entries in {id}");
    let mut bulk_entries = 0;
    for (writer, &count) in (0..WRITERS).zip(&counts) {
        let context = || format!("writer {writer} at {count}, in snapshot {id}");
        if count == 0 {
            continue;
        }
        for place in 0..SPREAD_KEYS {
            let value = spread.get(spread_key(writer, place))?;
            assert_eq!(value, Some(&spread_value(writer, count, place)[..]), "spread, {}", context());
        }
        let mut next = facts.get((writer, LOG_FROM))?.unwrap_or(1);
        for entry in log.range((writer, 0)..(writer + 1, 0)) {
            let (key, value) = entry?;
            assert_eq!(key, (writer, next), "log, {}", context());
            assert_eq!(value, log_value(writer, next), "log value, {}", context());
            next += 1;
        }
        assert_eq!(next, count + 1, "log, {}", context());
        let fact = |which| Ok::<u64, mapleaf::Error>(facts.get((writer, which))?.unwrap_or(0));
        let large = rx.table(&LARGE)?.get(writer)?;
        let large_by = fact(LARGE_BY)?;
        assert_eq!(large.is_some(), large_by != 0, "large, {}", context());
        if let Some(large) = large {
            let expected = bytes_for(writer, large_by, 901, fact(LARGE_LEN)? as usize);
            assert!(large == expected, "large of {large_by}, {}", context());
        }
        let mut place = 0;
        for entry in rx.table(&BULK)?.range(writer << 32..(writer + 1) << 32) {
            let (key, value) = entry?;
            assert_eq!(key, writer << 32 | place, "bulk, {}", context());
            assert!(value == bulk_value(writer, place), "bulk value, {}", context());
            place += 1;
        }
        assert_eq!(place, fact(BULK_LEN)?, "bulk, {}", context());
        bulk_entries += place;
        let own_by = fact(OWN_BY)?;
        match rx.table(&OwnTable::new(&own_table(writer))) {
            Ok(own) => {
                assert_ne!(own_by, 0, "own table, {}", context());
                let entries: Vec<(u64, u64)> = own.iter().collect::<Result<_>>()?;
                let expected: Vec<(u64, u64)> = (0..fact(OWN_LEN)?).map(|place| (place, own_by)).collect();
                assert!(entries == expected, "own table of {own_by}, {}", context());
            }
            Err(mapleaf::Error::TableNotFound { .. }) => assert_eq!(own_by, 0, "own table, {}", context()),
            Err(error) => return Err(error),
        }
    }
    assert_eq!(rx.table(&BULK)?.len(), bulk_entries, "bulk entries in {id}");
    Ok(counts)
}

/// A number that depends on every byte of a snapshot.
fn digest(rx: &ReadTxn) -> Result<u64> {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for entry in rx.table(&SPREAD)?.iter() {
        let (key, value) = entry?;
        add(&key.to_le_bytes());
        add(value);
    }
    for entry in rx.table(&LARGE)?.iter() {
        add(entry?.1);
    }
    for entry in rx.table(&LOG)?.iter() {
        add(entry?.1);
    }
    for entry in rx.table(&BULK)?.iter() {
        add(entry?.1);
    }
    Ok(digest)
}

fn check_rising(last: &mut Vec<u64>, counts: Vec<u64>) {
    let rises = last.iter().zip(&counts).all(|(before, now)| before <= now);
    assert!(last.is_empty() || rises, "from {last:?} to {counts:?}");
    *last = counts;
}

// ---- the workers ----

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Write,
    Sync,
    Read,
    /// Keeps snapshots for a while, and looks at them again.
    Park,
    /// Opens and closes.
    Open,
    Watch,
}

/// What the writers of a database do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Habit {
    Mixed,
    /// No process ever syncs: everything that is written lives in the page cache and the lock file.
    LazyOnly,
}

/// A worker's task.
struct Task<'a> {
    role: &'a str,
    habit: Habit,
    writers: Range<u64>,
    seed: u64,
    path: &'a Path,
}

impl fmt::Display for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Task { role, habit, writers, seed, path } = self;
        write!(f, "{role} {habit:?} {} {} {seed} {}", writers.start, writers.end, path.display())
    }
}

impl<'a> Task<'a> {
    fn parse(text: &'a str) -> Task<'a> {
        let parts: Vec<&str> = text.splitn(6, ' ').collect();
        let number = |at: usize| parts[at].parse::<u64>().unwrap();
        Task {
            role: parts[0],
            habit: if parts[1] == "LazyOnly" { Habit::LazyOnly } else { Habit::Mixed },
            writers: number(2)..number(3),
            seed: number(4),
            path: Path::new(parts[5]),
        }
    }
}

#[test]
#[ignore = "a process of `torture`"]
fn worker() {
    let Some(task) = crate::common::child_task() else { return };
    std::thread::spawn(|| {
        // Its other end is closed when the parent is gone.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let text = task.to_str().unwrap();
    let task = Task::parse(text);
    let forks = Random::new(!task.seed);
    std::thread::spawn(|| fork_now_and_then(forks));
    if let Err(error) = work(&task, &mut Random::new(task.seed)) {
        panic!("{text}: {error} ({error:?})");
    }
}

/// As a server that forks workers while its threads are at work. Half of the processes never do, the others up to three
/// times.
fn fork_now_and_then(mut random: Random) {
    for _ in 0..random.below(2) * (1 + random.below(3)) {
        std::thread::sleep(Duration::from_micros(random.below(200_000) as u64));
        println!("CHILD {}", process::fork_idle_child());
    }
}

fn open(path: &Path, random: &mut Random) -> Result<Db> {
    let mut options = Db::options().create(false).write_mode(*random.pick(&BOTH_MODES));
    if random.one_in(4) {
        options = options.dirty_memory(1 << 18);
    }
    if random.one_in(8) {
        options = options.on_stale_reader(Duration::from_millis(20), |_| {});
    }
    options.open(path)
}

fn open_to_read(task: &Task<'_>, random: &mut Random) -> Result<Db> {
    // A handle that may write syncs when it is closed.
    if task.habit == Habit::LazyOnly || random.one_in(2) {
        Db::options().read_only(true).open(task.path)
    } else {
        open(task.path, random)
    }
}

fn work(task: &Task<'_>, random: &mut Random) -> Result<()> {
    let Task { role, habit, ref writers, path, .. } = *task;
    let mut last = Vec::new();
    match role {
        "Write" => {
            let db = open(path, random)?;
            println!("READY");
            let styles = match habit {
                Habit::Mixed => {
                    &[Style::Durable, Style::Lazy, Style::Deferred, Style::Mixed, Style::Mixed][..]
                }
                Habit::LazyOnly => &[Style::Lazy],
            };
            std::thread::scope(|scope| {
                for writer in writers.clone() {
                    let (db, style, mut random) =
                        (db.clone(), *random.pick(styles), Random::new(random.next()));
                    scope.spawn(move || {
                        if let Err(error) = write_forever(&db, writer, style, &mut random) {
                            eprintln!("writer {writer}: {error} ({error:?})");
                            std::process::exit(3);
                        }
                    });
                }
            });
            Ok(())
        }
        "Sync" => {
            let db = open(path, random)?;
            println!("READY");
            loop {
                db.sync()?;
                std::thread::sleep(Duration::from_micros(random.below(20_000) as u64));
            }
        }
        "Read" => {
            let db = open_to_read(task, random)?;
            println!("READY");
            loop {
                check_rising(&mut last, verify(&db.read()?)?);
                db.readers()?;
                std::thread::sleep(Duration::from_micros(random.below(10_000) as u64));
            }
        }
        "Park" => {
            let db = open_to_read(task, random)?;
            println!("READY");
            loop {
                let parked: Vec<ReadTxn> =
                    (0..1 + random.below(3)).map(|_| db.read()).collect::<Result<_>>()?;
                let before: Vec<u64> = parked.iter().map(digest).collect::<Result<_>>()?;
                let longest = *random.pick(&[10, 200, 2000]);
                std::thread::sleep(Duration::from_millis(random.below(longest) as u64));
                for (rx, before) in parked.iter().zip(before) {
                    verify(rx)?;
                    assert_eq!(digest(rx)?, before, "snapshot {} has changed", rx.id());
                }
            }
        }
        "Open" => loop {
            let db = open_to_read(task, random)?;
            check_rising(&mut last, verify(&db.read()?)?);
            if random.one_in(4) {
                db.close()?;
            }
        },
        "Watch" => {
            let db = open_to_read(task, random)?;
            println!("READY");
            let mut watch = db.watch();
            let mut newest = TransactionId::default();
            loop {
                if let Some(id) = watch.next_timeout(Duration::from_millis(random.below(300) as u64))? {
                    assert!(id > newest, "{id} after {newest}");
                    newest = id;
                    assert!(db.read()?.id() >= id);
                }
            }
        }
        other => panic!("no role {other}"),
    }
}

// ---- the parent ----

#[derive(Default)]
struct Acknowledged {
    durable: [AtomicU64; WRITERS as usize],
    /// Lazy ones too.
    any: [AtomicU64; WRITERS as usize],
    lines: AtomicU64,
    /// Not a commit: forked children of the workers.
    children: Mutex<Vec<process::Orphan>>,
}

impl Acknowledged {
    /// A line that a worker has printed.
    fn note(&self, line: &str) {
        if let Some((_, child)) = line.split_once("CHILD ") {
            self.children.lock().unwrap().push(process::Orphan(child.parse().unwrap()));
        }
        let mut words = line.split(' ').skip_while(|&word| word != "ACK").skip(1);
        let (Some(how), Some(writer), Some(count)) = (words.next(), words.next(), words.next()) else {
            return;
        };
        let (writer, count): (usize, u64) = (writer.parse().unwrap(), count.parse().unwrap());
        self.any[writer].fetch_max(count, SeqCst);
        if how == "durable" {
            self.durable[writer].fetch_max(count, SeqCst);
        }
        self.lines.fetch_add(1, SeqCst);
    }

    fn counts(of: &[AtomicU64; WRITERS as usize]) -> Vec<u64> {
        of.iter().map(|count| count.load(SeqCst)).collect()
    }
}

struct Worker {
    role: Role,
    writers: Range<u64>,
    child: Child,
    is_ready: Arc<AtomicU64>,
    listener: JoinHandle<()>,
    stopped_until: Option<Instant>,
}

impl Worker {
    /// Whether no process can ever wait for it, now that it has opened the database. (`Db::readers` takes the writer
    /// lock for a moment; so this does not hold for workers that call it.)
    fn never_locks(&self) -> bool {
        matches!(self.role, Role::Park | Role::Watch) && self.is_ready.load(SeqCst) == 1
    }
}

#[derive(Default)]
struct Summary {
    databases: u64,
    rounds: u64,
    kills: u64,
    kills_of_all: u64,
    lock_files_damaged: u64,
    stops: u64,
    acknowledged: u64,
    verified: u64,
    checks: u64,
    lazy_lost: u64,
    orphans: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { databases, rounds, kills, kills_of_all, lock_files_damaged, .. } = self;
        let Summary { stops, acknowledged, verified, checks, lazy_lost, orphans, .. } = self;
        write!(
            f,
            "{databases} databases, {rounds} rounds, {kills} kills, {kills_of_all} times all were killed, \
             {lock_files_damaged} lock files damaged (which cost {lazy_lost} lazy commits), {stops} stops, \
             {acknowledged} acknowledged commits, {verified} snapshots verified by the parent, {checks} checks, \
             {orphans} children that lived on"
        )
    }
}

struct Torture {
    random: Random,
    /// Where the databases are.
    place: PathBuf,
    /// Whether some of the workers act as another user than this process, which is root's then.
    has_two_users: bool,
    path: PathBuf,
    habit: Habit,
    /// Once in this many steps a worker is killed.
    steps_between_kills: usize,
    workers: Vec<Worker>,
    acknowledged: Arc<Acknowledged>,
    summary: Summary,
}

impl Torture {
    fn start(&mut self, role: Role, writers: Range<u64>) {
        let seed = self.random.next();
        let name = format!("{role:?}");
        let task = Task { role: &name, habit: self.habit, writers: writers.clone(), seed, path: &self.path };
        let mut command = crate::common::child(concat!(module_path!(), "::worker"), task.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if self.has_two_users && self.random.one_in(2) {
            command.uid(OTHER_USER).gid(OTHER_USER);
        }
        let mut child = process::die_with_parent(&mut command).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (acknowledged, is_ready) = (Arc::clone(&self.acknowledged), Arc::new(AtomicU64::new(0)));
        let ready = Arc::clone(&is_ready);
        let listener = std::thread::spawn(move || {
            for line in output.lines() {
                let line = line.unwrap();
                if line.ends_with("READY") {
                    ready.store(1, SeqCst);
                }
                acknowledged.note(&line);
            }
        });
        self.workers.push(Worker { role, writers, child, is_ready, listener, stopped_until: None });
    }

    fn start_all(&mut self) {
        // Each writer's number belongs to one process at a time.
        let mut next = 0;
        while next < WRITERS {
            let end = (next + 1 + self.random.below(3) as u64).min(WRITERS);
            self.start(Role::Write, next..end);
            next = end;
        }
        let others = [Role::Sync, Role::Read, Role::Read, Role::Park, Role::Park, Role::Open, Role::Watch];
        for role in others {
            let syncs = role == Role::Sync && self.habit == Habit::LazyOnly;
            if !self.random.one_in(3) && !syncs {
                self.start(role, 0..0);
            }
        }
    }

    /// Kills a worker, and reads the last of its output.
    fn kill(&mut self, at: usize) -> (Role, Range<u64>) {
        let mut worker = self.workers.swap_remove(at);
        process::kill(&mut worker.child);
        worker.listener.join().unwrap();
        self.summary.kills += 1;
        (worker.role, worker.writers)
    }

    fn kill_all(&mut self) {
        if self.random.one_in(2) {
            // At one time, as far as that can be.
            self.workers.iter().for_each(|worker| process::signal(worker.child.id(), libc::SIGKILL));
        }
        while !self.workers.is_empty() {
            self.kill(0);
        }
        self.summary.kills_of_all += 1;
    }

    /// Kills one that matters, at an instant that does: soon after it has acknowledged something, or just so.
    fn kill_one(&mut self) {
        if self.random.one_in(2) {
            let lines = self.acknowledged.lines.load(SeqCst);
            let deadline = Instant::now() + Duration::from_millis(20);
            while self.acknowledged.lines.load(SeqCst) == lines && Instant::now() < deadline {
                std::hint::spin_loop();
            }
            let pause = Duration::from_micros(self.random.below(3000) as u64);
            let until = Instant::now() + pause;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
        let at = self.random.below(self.workers.len());
        let (role, writers) = self.kill(at);
        self.start(role, writers);
    }

    /// Those that may hold a lock are stopped for a moment, since the others wait for them; readers for long.
    fn stop_one(&mut self) {
        let at = self.random.below(self.workers.len());
        let worker = &mut self.workers[at];
        let longest = if worker.never_locks() { 3000 } else { 100 };
        if worker.stopped_until.is_none() {
            process::signal(worker.child.id(), libc::SIGSTOP);
            worker.stopped_until =
                Some(Instant::now() + Duration::from_millis(self.random.below(longest) as u64));
            self.summary.stops += 1;
        }
    }

    /// Resumes the workers whose time has come; or all that the parent may have to wait for.
    fn go_on(&mut self, all: bool) {
        let now = Instant::now();
        for worker in &mut self.workers {
            let may_lock = !worker.never_locks();
            if worker.stopped_until.is_some_and(|until| until <= now || all && may_lock) {
                process::signal(worker.child.id(), libc::SIGCONT);
                worker.stopped_until = None;
            }
        }
    }

    /// Whatever was acknowledged before the snapshot was taken is in it.
    fn verify(&mut self, db: &Db) {
        let expected = Acknowledged::counts(&self.acknowledged.any);
        let counts = verify(&db.read().unwrap()).unwrap();
        let has_all = counts.iter().zip(&expected).all(|(count, expected)| count >= expected);
        assert!(has_all, "acknowledged were {expected:?}, there are {counts:?}");
        self.summary.verified += 1;
    }

    fn check(&mut self, db: &Db) {
        crate::common::assert_clean(db);
        self.summary.checks += 1;
    }

    fn round(&mut self) {
        let end = Instant::now() + Duration::from_millis(50 + self.random.below(700) as u64);
        // Sometimes the parent is there all the time, so that its handle sees it all.
        let keeps_open = self.habit == Habit::Mixed && self.random.one_in(3);
        self.go_on(true);
        let db = keeps_open.then(|| Db::open(&self.path).unwrap());
        while Instant::now() < end {
            self.go_on(false);
            match self.random.below(6) {
                0..3 if self.random.one_in(self.steps_between_kills) => self.kill_one(),
                3 => self.stop_one(),
                4 => {
                    if let Some(db) = &db {
                        self.verify(db);
                    }
                }
                _ => std::thread::sleep(Duration::from_micros(self.random.below(50_000) as u64)),
            }
        }
        self.go_on(true);
        if self.habit == Habit::Mixed && self.random.one_in(2) {
            let db = db.unwrap_or_else(|| Db::open(&self.path).unwrap());
            self.verify(&db);
            self.check(&db);
        } else {
            drop(db);
            self.go_on(true);
            self.kill_all();
            self.judge_what_is_left();
            self.start_all();
        }
        self.summary.rounds += 1;
    }

    /// All are dead, except for children that they had forked. Lazy commits are there too, unless the lock file is
    /// damaged now.
    fn judge_what_is_left(&mut self) {
        let lock = PathBuf::from(format!("{}-lock", self.path.display()));
        let damages = self.random.one_in(3);
        if damages {
            self.damage(&lock);
            self.summary.lock_files_damaged += 1;
        }
        let expected = if damages { &self.acknowledged.durable } else { &self.acknowledged.any };
        let expected = Acknowledged::counts(expected);
        let db = if self.random.one_in(3) {
            // First one that may not write, then one that may.
            let reader = open_alone(&Db::options().read_only(true), &self.path);
            verify(&reader.read().unwrap()).unwrap();
            let db = Db::open(&self.path).unwrap();
            assert_eq!(verify(&db.read().unwrap()).unwrap(), verify(&reader.read().unwrap()).unwrap());
            db
        } else {
            open_alone(&Db::options(), &self.path)
        };
        process::until("no child keeps a turn", || db.try_write().unwrap().is_some());
        process::until("no child keeps a reader", || db.readers().unwrap().is_empty());
        let counts = verify(&db.read().unwrap()).unwrap();
        let has_all = counts.iter().zip(&expected).all(|(count, expected)| count >= expected);
        assert!(has_all, "damaged: {damages}; acknowledged were {expected:?}, there are {counts:?}");
        self.check(&db);
        for (any, count) in self.acknowledged.any.iter().zip(&counts) {
            let lost = any.load(SeqCst).saturating_sub(*count);
            self.summary.lazy_lost += lost;
            any.fetch_min(*count, SeqCst);
        }
        let orphans = std::mem::take(&mut *self.acknowledged.children.lock().unwrap());
        self.summary.orphans += orphans.len() as u64;
    }

    /// The first word stays: without it the file is another program's, and is left alone.
    fn damage(&mut self, lock: &Path) {
        let mut bytes = std::fs::read(lock).unwrap();
        match self.random.below(4) {
            0 => return std::fs::remove_file(lock).unwrap(),
            1 => bytes.clear(),
            2 => {
                let noise = self.random.bytes(bytes.len());
                bytes[8..].copy_from_slice(&noise[8..]);
            }
            _ => {
                // Half of it, except for its identity, is noise: the words that name its database and mark it as
                // complete are destroyed too, as loss of power would invalidate them by the boot id.
                let from = 8 + self.random.below(bytes.len() / 2 - 8);
                let noise = self.random.bytes(bytes.len() / 2);
                bytes[from..from + noise.len()].copy_from_slice(&noise);
                bytes[8..24].fill(0x55);
            }
        }
        std::fs::write(lock, bytes).unwrap();
    }

    /// One database, from its creation to the end of some rounds.
    fn life(&mut self, page_size: usize, deadline: Instant) {
        let folder = tempfile::tempdir_in(&self.place).unwrap();
        self.path = folder.path().join("data.mapleaf");
        self.acknowledged = Arc::default();
        self.habit = *self.random.pick(&[Habit::Mixed, Habit::Mixed, Habit::LazyOnly]);
        self.steps_between_kills = *self.random.pick(&[1, 1, 3, 10]);
        let db = Db::options().page_size(page_size).open(&self.path).unwrap();
        db.update(|tx| {
            tx.table(&COUNTS)?;
            tx.table(&TOTAL)?;
            tx.table(&SPREAD)?;
            tx.table(&LOG)?;
            tx.table(&LARGE)?;
            tx.table(&BULK)?;
            tx.table(&FACTS)?;
            Ok(())
        })
        .unwrap();
        drop(db);
        if self.has_two_users {
            allow_all(folder.path(), 0o777);
            allow_all(&self.path, 0o666);
            drop(Db::open(&self.path).unwrap()); // so that the lock file follows
        }
        self.start_all();
        for _ in 0..5 + self.random.below(30) {
            self.round();
            BEATS.fetch_add(1, SeqCst);
            if Instant::now() >= deadline {
                break;
            }
        }
        self.kill_all();
        self.judge_what_is_left();
        self.summary.databases += 1;
        self.summary.acknowledged += self.acknowledged.lines.load(SeqCst);
    }
}

/// Opens a database that no process has open. A child that was being forked when its parent was killed lets go as soon
/// as it runs.
fn open_alone(options: &mapleaf::OpenOptions, path: &Path) -> Db {
    let mut opened = None;
    process::until("no child is taken for its parent", || match options.open(path) {
        Err(mapleaf::Error::Replaced { .. } | mapleaf::Error::InUse { .. }) => false,
        result => {
            opened = Some(result.unwrap());
            true
        }
    });
    opened.expect("it is open")
}

impl Drop for Torture {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            process::signal(worker.child.id(), libc::SIGKILL);
            let _ = worker.child.wait();
        }
    }
}

/// Rises with every round, which shows a worker that waits for ever.
static BEATS: AtomicU64 = AtomicU64::new(0);

/// If no round ends, says what all processes do, and gives up.
fn watch_for_standstill(seed: u64) {
    std::thread::spawn(move || {
        loop {
            let beats = BEATS.load(SeqCst);
            std::thread::sleep(PATIENCE);
            if BEATS.load(SeqCst) == beats {
                eprintln!(
                    "no round has ended for {PATIENCE:?}, with MAPLEAF_SEED={seed}; the locks of the system:"
                );
                eprintln!("{}", std::fs::read_to_string("/proc/locks").unwrap_or_default());
                describe_processes();
                if std::env::var_os("MAPLEAF_TORTURE_HOLD").is_some() {
                    std::thread::park(); // for a debugger
                }
                std::process::abort();
            }
        }
    });
}

/// Prints the state of every thread of this process and of its children.
fn describe_processes() {
    let own = std::process::id();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let stat = read("stat");
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<u32>().ok());
        let is_own = entry.file_name().to_str() == Some(&own.to_string());
        if parent != Some(own) && !is_own {
            continue;
        }
        let task = read("environ");
        let task = task.split('\0').find(|line| line.starts_with("MAPLEAF_CHILD")).unwrap_or("the parent");
        eprintln!("{task}");
        for thread in std::fs::read_dir(entry.path().join("task")).into_iter().flatten().flatten() {
            let read = |name: &str| std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let stat = read("stat");
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            let (state, ticks) = (fields.first(), fields.get(11..13));
            let (thread, wchan, call) = (thread.file_name(), read("wchan"), read("syscall"));
            eprintln!("  {thread:?} {state:?}, {ticks:?} ticks, in {wchan}, system call {}", call.trim_end());
        }
    }
}

/// The seconds that a run is to take, if they are given.
fn asked_seconds() -> Option<u64> {
    Some(std::env::var("MAPLEAF_TORTURE_SECONDS").ok()?.parse().expect("a number of seconds"))
}

fn run(place: &Path, has_two_users: bool, seconds: u64, test: &'static str) {
    let given =
        std::env::var("MAPLEAF_SEED").ok().map(|seed| seed.parse().expect("MAPLEAF_SEED is a number"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = given.unwrap_or(now.as_nanos() as u64 % 1_000_000_007);
    println!("MAPLEAF_SEED={seed}, {seconds} s");
    let _replay = Replay { test, seed };
    watch_for_standstill(seed);
    let (start, length) = (Instant::now(), Duration::from_secs(seconds));
    let mut torture = Torture {
        random: Random::new(seed),
        place: place.to_owned(),
        has_two_users,
        path: PathBuf::new(),
        habit: Habit::Mixed,
        steps_between_kills: 1,
        workers: Vec::new(),
        acknowledged: Arc::default(),
        summary: Summary::default(),
    };
    let page_sizes = [4096, 16384, 65536, 4096, 8192, 32768];
    for life in 0.. {
        // The short form sees several page sizes too.
        let most = if asked_seconds().is_some() { length } else { length / 4 * (life as u32 + 1) };
        torture.life(page_sizes[life % page_sizes.len()], start + most.min(length));
        println!("after {:?}: {}", start.elapsed(), torture.summary);
        if start.elapsed() >= length {
            break;
        }
    }
    assert!(torture.summary.acknowledged > 0 && torture.summary.kills > 0);
}

#[test]
fn torture() {
    run(&std::env::temp_dir(), false, asked_seconds().unwrap_or(10), "--test suite torture::");
}

/// A user that owns nothing.
const OTHER_USER: u32 = 12_345;

fn allow_all(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Calls `torture` with a folder on a file system of this kind, if it can be mounted; `None` if not.
fn on_file_system(kind: &str, torture: impl FnOnce(&Path)) -> Option<()> {
    let folder = tempfile::tempdir().unwrap();
    allow_all(folder.path(), 0o755);
    let inner = |name: &str| folder.path().join(name);
    let make = |program: &str, options: &[&str]| {
        std::fs::File::create(inner("image")).unwrap().set_len(1 << 30).unwrap();
        let made = Command::new(program).args(options).arg(inner("image")).output();
        if !made.is_ok_and(|output| output.status.success()) {
            println!("skipped: {program} is not there, or fails");
            return None;
        }
        Some(inner("image"))
    };
    let memory = || Mounted::new("tmpfs", "size=1g", Path::new("mapleaf-test"), inner("memory"));
    let mut below = None;
    let mounted = match kind {
        "tmpfs" => memory()?,
        "overlay" => {
            let disk = below.insert(memory()?);
            let [lower, upper, work] = ["lower", "upper", "work"].map(|name| disk.path().join(name));
            [&lower, &upper, &work].into_iter().for_each(|layer| std::fs::create_dir(layer).unwrap());
            let (lower, upper, work) = (lower.display(), upper.display(), work.display());
            let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
            Mounted::new(kind, &options, Path::new("overlay"), inner("merged"))?
        }
        "ext4" => Mounted::new(kind, "loop", &make("mkfs.ext4", &["-q", "-F"])?, inner("disk"))?,
        "vfat" => Mounted::new(kind, "loop,umask=000", &make("mkfs.vfat", &[])?, inner("disk"))?,
        other => panic!("no file system {other}"),
    };
    torture(mounted.path());
    Some(())
}

/// The users may both write the database: one of them is root, which owns it. `MAPLEAF_TORTURE_SECONDS` is for
/// each file system.
#[test]
fn torture_by_two_users_on_each_file_system() {
    if !process::is_root() {
        println!("skipped: only root can mount file systems and act as several users");
        return;
    }
    for kind in ["overlay", "tmpfs", "ext4", "vfat"] {
        println!("{kind}");
        let seconds = asked_seconds().unwrap_or(4);
        let test = "--test suite torture::torture_by_two_users";
        _ = on_file_system(kind, |place| run(place, true, seconds, test));
    }
}
