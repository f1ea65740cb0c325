//! A process that shares the database with others, and does what it is told: the two ends of the pipes to it.

use std::io::{BufRead, BufReader, Lines, StdinLock, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::engines::{Counts, Depth, Engine, Opening, Order, Store};
use crate::workload::{Digest, KeyList, Kind};

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(long, value_enum)]
    engine: Engine,
    /// The folder of a database made by `build`.
    #[arg(long)]
    folder: PathBuf,
    /// How many entries the database was built with.
    #[arg(long)]
    entries: u64,
}

/// What a process is told to do.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub enum Task {
    /// Random lookups, [`LOOKUPS_IN_TRANSACTION`] in each read transaction.
    Lookups {
        milliseconds: u64,
        seed: u64,
    },
    /// The same, but so many of them: what they read depends on nothing but the database.
    CountedLookups {
        count: usize,
        seed: u64,
    },
    /// Reads every entry once.
    Scan,
    /// Commits of one overwritten entry each, from so many threads.
    Commits {
        threads: u64,
        milliseconds: u64,
        seed: u64,
        is_lazy: bool,
    },
    /// Durable commits of so many overwritten entries each.
    Batches {
        commits: u64,
        entries: usize,
        seed: u64,
    },
    /// Reads every entry; then waits, with the read transaction open. Next is `Task::ReadAgain` or `Task::End`.
    Park,
    /// Reads every entry in the read transaction that is open.
    ReadAgain,
    /// Looks at its own memory, and at what the engine says of itself.
    Look,
    End,
}

/// What it took. What a task is not about is 0.
#[derive(Serialize, Deserialize, Clone, Copy, Default, Debug)]
pub struct Answer {
    pub count: u64,
    pub nanoseconds: u64,
    /// For how long a processor worked for this process.
    pub processor_nanoseconds: u64,
    pub digest: Digest,
    pub counts: Counts,
    pub private_bytes: u64,
    pub shared_bytes: u64,
}

impl Answer {
    pub fn per_second(&self) -> f64 {
        self.count as f64 * 1e9 / self.nanoseconds as f64
    }

    pub fn per_processor_second(&self) -> f64 {
        self.count as f64 * 1e9 / self.processor_nanoseconds as f64
    }
}

const LOOKUPS_IN_TRANSACTION: usize = 100;

/// Another process, as the one that has started it sees it.
pub struct Process {
    /// Its memory before it opened the database.
    pub at_start: Answer,
    child: Child,
    tasks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a process; it has opened the database when this returns.
    pub fn start(engine: Engine, folder: &Path, entries: u64) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--engine", engine.name(), "--entries", &entries.to_string()]);
        command.arg("--folder").arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let tasks = child.stdin.take().context("it has no input")?;
        let answers = BufReader::new(child.stdout.take().context("it has no output")?).lines();
        let mut process = Process { at_start: Answer::default(), child, tasks, answers };
        process.at_start = process.answer()?;
        Ok(process)
    }

    /// Tells the process what to do, and does not wait for it.
    pub fn tell(&mut self, task: Task) -> Result<()> {
        writeln!(self.tasks, "{}", serde_json::to_string(&task)?)?;
        Ok(())
    }

    /// Waits for what the process was told to do.
    pub fn answer(&mut self) -> Result<Answer> {
        let line = self.answers.next().context("the process has ended early")??;
        serde_json::from_str(&line).with_context(|| format!("not what was expected: {line}"))
    }

    pub fn ask(&mut self, task: Task) -> Result<Answer> {
        self.tell(task)?;
        self.answer()
    }

    /// Ends the process with SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub fn end(mut self) -> Result<()> {
        self.tell(Task::End)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the process failed: {status}");
        Ok(())
    }
}

/// The process itself.
pub fn serve(arguments: &Arguments) -> Result<()> {
    let keys = Kind::Random.keys(0..arguments.entries);
    let mut orders = Orders { lines: std::io::stdin().lock().lines() };
    let at_start = memory()?;
    let open = |is_lazy| arguments.engine.open(&arguments.folder, Opening { is_lazy, ..Opening::default() });
    let store = open(false)?;
    orders.answer(&at_start)?;
    while let Some(task) = orders.next()? {
        let answer = match task {
            Task::Lookups { milliseconds, seed } => lookups(&*store, &keys, milliseconds, seed)?,
            Task::CountedLookups { count, seed } => {
                let (keys, mut digest) = (keys.sample(count, seed), Digest::default());
                let answer = clocked(|| {
                    digest = store.get_each(keys.all())?;
                    Ok(digest.count)
                })?;
                Answer { digest, ..answer }
            }
            Task::Scan => {
                let digest = store.scan(&[], usize::MAX, Depth::Ends)?;
                Answer { count: digest.count, digest, ..Answer::default() }
            }
            Task::Commits { threads, milliseconds, seed, is_lazy } => {
                let lazy = if is_lazy { Some(open(true)?) } else { None };
                let store = lazy.as_ref().unwrap_or(&store);
                commits(&**store, &keys, threads, Duration::from_millis(milliseconds), seed)?
            }
            Task::Batches { commits, entries, seed } => batches(&*store, &keys, commits, entries, seed)?,
            Task::Park => {
                store.read_again(keys.all(), &mut |digest| {
                    orders.answer(&Answer { count: digest.count, digest, ..Answer::default() })?;
                    Ok(matches!(orders.next()?, Some(Task::ReadAgain)))
                })?;
                return Ok(());
            }
            Task::ReadAgain => bail!("no read transaction is open"),
            Task::Look => Answer { counts: store.counts()?, ..memory()? },
            Task::End => return Ok(()),
        };
        orders.answer(&answer)?;
    }
    Ok(())
}

/// The other ends of the pipes.
struct Orders<'a> {
    lines: Lines<StdinLock<'a>>,
}

impl Orders<'_> {
    fn next(&mut self) -> Result<Option<Task>> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        Ok(Some(serde_json::from_str(&line?)?))
    }

    fn answer(&self, answer: &Answer) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(answer)?)?;
        Ok(out.flush()?)
    }
}

/// Runs `work`, which counts something, with both clocks on.
pub fn clocked(work: impl FnOnce() -> Result<u64>) -> Result<Answer> {
    let processor_time = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let (start, processor_start) = (Instant::now(), processor_time());
    let count = work()?;
    let nanoseconds = start.elapsed().as_nanos() as u64;
    let processor_nanoseconds = processor_time() - processor_start;
    Ok(Answer { count, nanoseconds, processor_nanoseconds, ..Answer::default() })
}

fn lookups(store: &dyn Store, keys: &KeyList, milliseconds: u64, seed: u64) -> Result<Answer> {
    let mut random = fastrand::Rng::with_seed(seed);
    let deadline = Instant::now() + Duration::from_millis(milliseconds);
    clocked(|| {
        let mut count = 0;
        while Instant::now() < deadline {
            let chosen = keys.sample(LOOKUPS_IN_TRANSACTION, random.u64(..));
            let found = store.get_each(chosen.all())?.count;
            ensure!(
                found == LOOKUPS_IN_TRANSACTION as u64,
                "{found} of {LOOKUPS_IN_TRANSACTION} keys are there"
            );
            count += found;
        }
        Ok(count)
    })
}

/// Every commit waits until it is durable, or visible if `store` is lazy. The counts are those of these commits.
fn commits(store: &dyn Store, keys: &KeyList, threads: u64, time: Duration, seed: u64) -> Result<Answer> {
    let before = store.counts()?;
    let deadline = Instant::now() + time;
    let of_thread = |thread: u64| -> Result<u64> {
        let mut random = fastrand::Rng::with_seed(seed * 1000 + thread);
        let mut count = 0;
        while Instant::now() < deadline {
            let index = random.usize(..keys.all().len());
            store.put_each(keys.all().range(index..index + 1), Kind::Random.values(seed))?;
            count += 1;
        }
        Ok(count)
    };
    let mut answer = clocked(|| {
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || of_thread(thread))).collect();
            running.into_iter().map(|thread| thread.join().expect("the thread panicked")).sum()
        })
    })?;
    let barriers = store.counts()?.barriers.zip(before.barriers).map(|(after, before)| after - before);
    answer.counts = Counts { barriers, ..store.counts()? };
    Ok(answer)
}

fn batches(store: &dyn Store, keys: &KeyList, commits: u64, entries: usize, seed: u64) -> Result<Answer> {
    let mut answer = clocked(|| {
        for commit in 0..commits {
            let seed = seed * 1_000_000 + commit;
            store.load(keys.sample(entries, seed).all(), Kind::Random.values(seed), Order::Random)?;
        }
        Ok(commits)
    })?;
    answer.counts = store.counts()?;
    Ok(answer)
}

/// The memory of this process, as the system sees it.
fn memory() -> Result<Answer> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            .map(|kibibytes| kibibytes << 10)
    };
    let sum = |names: [&str; 2]| names.into_iter().map(bytes).sum::<Option<u64>>();
    Ok(Answer {
        private_bytes: sum(["Private_Clean", "Private_Dirty"])
            .context("smaps_rollup names no private memory")?,
        shared_bytes: sum(["Shared_Clean", "Shared_Dirty"]).context("smaps_rollup names no shared memory")?,
        ..Answer::default()
    })
}
