//! One piece of work in a process of its own: for `measure`, `strace`, `valgrind` and `perf`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use indicatif::ProgressBar;
use procfs::process::Process;
use serde::{Deserialize, Serialize};

use crate::engines::{Depth, Engine, Opening, Order};
use crate::machine::{write_back, written_to_device};
use crate::memory::Limit;
use crate::workload::{Digest, KeyList, Keys, Kind};

#[derive(clap::Args, Clone)]
pub struct BuildArguments {
    #[arg(long, value_enum)]
    pub engine: Engine,
    /// The folder of the database. It must not exist.
    #[arg(long)]
    pub folder: PathBuf,
    #[arg(long, default_value_t = 1_000_000)]
    pub entries: u64,
    #[arg(long, value_enum, default_value = "random")]
    pub order: Order,
}

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(value_enum)]
    pub work: Work,
    #[arg(long, value_enum)]
    pub engine: Engine,
    /// The folder of a database made by `build`; for `load`, a folder that does not exist.
    #[arg(long)]
    pub folder: PathBuf,
    /// How many entries the database was built with.
    #[arg(long, default_value_t = 1_000_000)]
    pub entries: u64,
    /// How many times the work is done.
    #[arg(long, default_value_t = 1)]
    pub count: usize,
    /// So many threads do the commits, each its part of them.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Touches every page of the database before, off the clock.
    #[arg(long)]
    pub warm: bool,
    /// Works in this memory cgroup, with an engine that knows of this limit in bytes.
    #[arg(long, requires = "memory")]
    pub cgroup: Option<PathBuf>,
    #[arg(long)]
    pub memory: Option<u64>,
    /// Another seed reads and writes other keys.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Work {
    /// Opens the database, and no more.
    Open,
    /// Opens it and gets one key.
    OpenAndGet,
    /// `count` random gets in one transaction.
    Gets,
    /// The same, 16 at a time.
    GroupedGets,
    /// A read transaction with a get and a short scan, `count` times.
    ReadTransactions,
    /// `count` read transactions, begun and ended.
    BeginAndEnd,
    /// `count` durable commits of a new key each.
    NewKeys,
    /// The same, each timed.
    TimedCommits,
    /// `count` durable commits, each of an overwritten key.
    Overwrites,
    /// `count` lazy commits of a new key each.
    LazyCommits,
    /// Loads `count` entries in random order in one transaction.
    Load,
    /// The same, put by put.
    Puts,
    /// Loads `count` entries in the order of their keys.
    SortedLoad,
    /// `count` durable batches of 1000.
    Batches,
    /// `count` ranges of 10 entries, from random keys on, in one transaction.
    Ranges,
    /// `count` full scans.
    Scan,
    /// The same, downward.
    ScanBack,
    /// Scans the second tenth of the keys.
    Tenth,
}

/// What a piece of work took.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub struct Taken {
    pub nanoseconds: u64,
    /// Page faults that no disk was needed for, and those that waited for it.
    pub minor_faults: u64,
    pub major_faults: u64,
    /// Bytes that the process made the system read from the device.
    pub device_bytes: u64,
    pub digest: Digest,
    /// What `timed-commits` took.
    pub commits: Option<Commits>,
}

/// How long single commits took, in nanoseconds, and how much reached the disk for all of them.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub struct Commits {
    pub median: u64,
    /// 99 and 99.9 of 100 took no longer.
    pub percentile_99: u64,
    pub percentile_99_9: u64,
    pub longest: u64,
    /// Bytes that were written to the device from the first commit until the database was closed and all was written
    /// back. Whatever else writes to the device meanwhile counts as well.
    pub written_to_device: u64,
}

pub fn build(arguments: &BuildArguments) -> Result<()> {
    ensure!(!arguments.folder.exists(), "{} exists", arguments.folder.display());
    let progress = ProgressBar::new_spinner().with_message(format!("building {}", arguments.engine.name()));
    progress.enable_steady_tick(std::time::Duration::from_millis(200));
    let mut keys = Kind::Random.keys(0..arguments.entries);
    if arguments.order == Order::Sorted {
        keys = keys.sorted();
    }
    let store = arguments.engine.open(&arguments.folder, Opening::default())?;
    store.load(keys.all(), Kind::Random.values(0), arguments.order)?;
    progress.finish_and_clear();
    Ok(())
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let taken =
        take(arguments).with_context(|| format!("{:?} on {}", arguments.work, arguments.engine.name()))?;
    println!("{}", serde_json::to_string(&taken)?);
    Ok(())
}

fn take(arguments: &Arguments) -> Result<Taken> {
    let Arguments { engine, folder, count, memory, .. } = arguments;
    let list = keys_for(arguments);
    let chosen = list.all();
    let opening =
        Opening { is_lazy: arguments.work == Work::LazyCommits, memory: *memory, ..Opening::default() };
    if let Some(cgroup) = &arguments.cgroup {
        Limit::join(cgroup)?;
    }
    if matches!(arguments.work, Work::Open | Work::OpenAndGet) {
        return clocked(&mut || {
            let store = engine.open(folder, opening)?;
            let digest = store.get_each(chosen)?;
            std::mem::forget(store); // closing is not what is measured
            Ok(digest)
        });
    }
    if arguments.work == Work::TimedCommits {
        return time_commits(arguments, chosen);
    }
    let store = engine.open(folder, opening)?;
    if memory.is_some() {
        // What is in memory when the clock starts is what many lookups have left there.
        store.get_each(chosen.range(*count..chosen.len()))?;
    }
    if arguments.warm {
        store.scan(&[], usize::MAX, Depth::Ends)?;
        // What the first read or write of all has to set up is no part of the work either.
        store.get_each(chosen.range(0..chosen.len().min(1)))?;
        store.begin_and_end(1)?;
        if matches!(arguments.work, Work::NewKeys | Work::Overwrites | Work::LazyCommits) {
            store.put_each(chosen.range(0..1), Kind::Random.values(1))?;
        }
    }
    let values = Kind::Random.values(100 + arguments.seed);
    let done = || Ok(Digest::default());
    clocked(&mut || match arguments.work {
        Work::Open | Work::OpenAndGet | Work::TimedCommits => unreachable!("done above"),
        Work::Gets => store.get_each(chosen.range(0..*count)),
        Work::GroupedGets => store.get_in_groups(chosen),
        Work::Ranges => store.ranges(chosen, 10),
        Work::BeginAndEnd => store.begin_and_end(*count as u64),
        Work::ReadTransactions => {
            for key in chosen.chunks(1) {
                marked("read", || {
                    store.begin_and_get_each(key)?;
                    store.scan(key.get(0), 10, Depth::Ends)
                })?;
            }
            done()
        }
        Work::NewKeys | Work::Overwrites | Work::LazyCommits if arguments.threads > 1 => {
            std::thread::scope(|scope| {
                let parts = chosen.chunks(count.div_ceil(arguments.threads));
                let store = &store;
                let running: Vec<_> =
                    parts.map(|part| scope.spawn(move || store.put_each(part, values))).collect();
                let mut results = running.into_iter().map(|thread| thread.join().expect("it panicked"));
                results.try_for_each(|result| result).and_then(|()| done())
            })
        }
        Work::NewKeys | Work::Overwrites | Work::LazyCommits => {
            let mark = if opening.is_lazy { "lazy" } else { "durable" };
            chosen.chunks(1).try_for_each(|key| marked(mark, || store.put_each(key, values)))?;
            done()
        }
        Work::Load => store.load(chosen, values, Order::Random).and_then(|()| done()),
        Work::Puts => store.put_all(chosen, values).and_then(|()| done()),
        Work::SortedLoad => store.load(chosen, values, Order::Sorted).and_then(|()| done()),
        Work::Batches => {
            chosen.chunks(1000).try_for_each(|batch| store.load(batch, values, Order::Random))?;
            done()
        }
        Work::Scan => {
            (0..*count).try_fold(Digest::default(), |_, _| store.scan(&[], usize::MAX, Depth::Ends))
        }
        Work::ScanBack => (0..*count).try_fold(Digest::default(), |_, _| store.scan_back()),
        Work::Tenth => {
            // Keys are random, so a tenth of them begins with 26 to 51.
            store.scan(&[26], arguments.entries as usize / 10, Depth::Ends)
        }
    })
}

/// Commits each of `keys` on its own, and closes the database.
fn time_commits(arguments: &Arguments, keys: Keys<'_>) -> Result<Taken> {
    let values = Kind::Random.values(100 + arguments.seed);
    let store = arguments.engine.open(&arguments.folder, Opening::default())?;
    store.scan(&[], usize::MAX, Depth::Ends)?;
    write_back(&arguments.folder)?;
    let written_before = written_to_device(&arguments.folder)?;
    let mut each = Vec::with_capacity(keys.len());
    let mut taken = clocked(&mut || {
        for key in keys.chunks(1) {
            let start = Instant::now();
            store.put_each(key, values)?;
            each.push(start.elapsed().as_nanos() as u64);
        }
        Ok(Digest::default())
    })?;
    drop(store);
    write_back(&arguments.folder)?;
    let written_to_device = written_to_device(&arguments.folder)? - written_before;
    each.sort_unstable();
    let at = |part: f64| each[((each.len() as f64 * part) as usize).min(each.len() - 1)];
    taken.commits = Some(Commits {
        median: at(0.5),
        percentile_99: at(0.99),
        percentile_99_9: at(0.999),
        longest: at(1.0),
        written_to_device,
    });
    Ok(taken)
}

/// The keys that the work is about; behind them those that it is warmed up with, if memory is short.
fn keys_for(arguments: &Arguments) -> KeyList {
    let Arguments { entries, count, seed, .. } = *arguments;
    let new = |count: usize| {
        let first = (1000 + seed) * 1_000_000_000;
        Kind::Random.keys(first..first + count as u64)
    };
    let old = |count| Kind::Random.keys(0..entries).sample(count, seed);
    match arguments.work {
        Work::Open | Work::Scan | Work::ScanBack | Work::Tenth | Work::BeginAndEnd => Kind::Random.keys(0..0),
        Work::OpenAndGet => old(1),
        Work::Gets => old(count + arguments.memory.map_or(0, lookups_that_fill)),
        Work::GroupedGets | Work::Ranges | Work::ReadTransactions | Work::Overwrites => old(count),
        Work::NewKeys | Work::TimedCommits | Work::LazyCommits | Work::Load | Work::Puts => new(count),
        Work::SortedLoad => new(count).sorted(),
        Work::Batches => new(1000 * count),
    }
}

/// After so many lookups the page cache has filled `memory`: each one more reads a page, for which another goes.
fn lookups_that_fill(memory: u64) -> usize {
    2 * (memory / 4096) as usize
}

/// The name by which `callgrind` is told to count this work alone.
pub const COUNTED: &str = "*counted_work*";

#[inline(never)]
fn counted_work(work: &mut dyn FnMut() -> Result<Digest>) -> Result<Digest> {
    std::hint::black_box(work())
}

fn clocked(work: &mut dyn FnMut() -> Result<Digest>) -> Result<Taken> {
    let process = Process::myself()?;
    let (faults, bytes) = (process.stat()?, process.io()?.read_bytes);
    let start = Instant::now();
    let digest = counted_work(work)?;
    let nanoseconds = start.elapsed().as_nanos() as u64;
    let (faults_after, bytes_after) = (process.stat()?, process.io()?.read_bytes);
    Ok(Taken {
        nanoseconds,
        minor_faults: faults_after.minflt - faults.minflt,
        major_faults: faults_after.majflt - faults.majflt,
        device_bytes: bytes_after - bytes,
        digest,
        commits: None,
    })
}

/// Marks where `work` begins and ends, for whoever reads the trace of system calls: asks for files that
/// are not there, which does nothing and is easy to find.
fn marked<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mark = |end: &str| drop(std::fs::metadata(format!("{MARK}-{end}-{name}")));
    mark("begin");
    let result = work();
    mark("end");
    result
}

/// What the marks in a trace begin with.
pub const MARK: &str = "/versus-mark";
