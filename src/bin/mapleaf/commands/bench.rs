//! `bench`: what this machine and this disk can do, in half a minute. Each figure is measured here and now; next to
//! them stands what the disk does without any database.

use std::fs::File;
use std::hint::black_box;
use std::io::{Write, stderr, stdout};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use mapleaf::{Db, Table, WriteMode};
use serde_json::{Value, json};

use crate::human::{bytes, count, parse_seconds, rate};
use crate::interrupt::on_interrupt;
use crate::outcome::{Answer, Failure, file_failure, wrong};
use crate::staging::StagingFolder;

const ENTRIES: Table<u64, [u8]> = Table::new("entries");
/// Threads that commit at the same time, in one of the measurements.
const WRITERS: u64 = 8;
/// What the disk alone is asked to make durable.
const PIECE_BYTES: usize = 4096;

/// Measures this machine and this disk: gets, and durable commits in both write modes, with the bytes and barriers that
/// each of them takes. Makes a database of its own in the folder, and removes it.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf bench /where/the/database/will/be
  mapleaf bench --entries 1000000 --value-size 1000 --seconds 5 /mnt/disk

All pages are in memory when they are read: this is no measure of a database that is larger than that. Each commit
replaces one entry, chosen at random. What else runs on the machine shows in the figures.")]
pub(crate) struct Bench {
    /// Where: the disk that is to be measured.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Entries in the table.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    entries: u64,
    /// Bytes in a value.
    #[arg(long, default_value_t = 100)]
    value_size: usize,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value = "2", value_parser = parse_seconds)]
    seconds: Duration,
    /// Print one line of JSON; times in seconds.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        if self.value_size > 1 << 20 {
            return Err(wrong("--value-size: a mebibyte at most"));
        }
        on_interrupt(": the database of the measurement is removed");
        let staging =
            StagingFolder::create(&self.folder.join(format!("mapleaf-bench-{}", std::process::id())))?;
        let measured = self.measure(&staging)?;
        drop(staging);
        let mut out = stdout().lock();
        if self.json {
            writeln!(out, "{}", self.json(&measured))?;
        } else {
            self.write_text(&mut out, &measured)?;
        }
        Ok(Answer::Done)
    }

    fn measure(&self, staging: &StagingFolder) -> Result<Measured, Failure> {
        say("the disk alone");
        let disk = self.disk_alone(&staging.file("disk"))?;
        let syscall = self.measure_mode(&staging.file("syscall"), "syscall", WriteMode::Syscall)?;
        let mapped = self.measure_mode(&staging.file("mapped"), "mapped", WriteMode::Mapped)?;
        say("");
        Ok(Measured { disk, modes: [syscall, mapped] })
    }

    /// How long a small write and `fdatasync` take, without a database.
    fn disk_alone(&self, path: &Path) -> Result<Times, Failure> {
        let failure = |action| file_failure(action, path.display());
        let file = File::create_new(path).map_err(failure("create"))?;
        // The blocks are there before, as those of a database are.
        file.write_all_at(&vec![0; PIECE_BYTES * 256], 0).map_err(failure("write"))?;
        file.sync_all().map_err(failure("sync"))?;
        let mut times = Times::new();
        let mut random = Random(1);
        let piece = [7; PIECE_BYTES];
        while times.total < self.seconds {
            let begun = Instant::now();
            file.write_all_at(&piece, random.below(256) * PIECE_BYTES as u64).map_err(failure("write"))?;
            file.sync_data().map_err(failure("sync"))?;
            times.add(begun.elapsed());
        }
        Ok(times)
    }

    fn measure_mode(&self, path: &Path, name: &'static str, mode: WriteMode) -> Result<Mode, Failure> {
        let db = Db::options().write_mode(mode).open(path)?;
        let value = vec![7; self.value_size];
        say(&format!("{name}: load"));
        let begun = Instant::now();
        let entries = (0..self.entries).map(|number| (key_of(number), &value[..]));
        db.update(|tx| tx.table(&ENTRIES)?.insert_many(entries))?;
        let load = begun.elapsed();
        say(&format!("{name}: gets"));
        let gets = self.gets(&db)?;
        say(&format!("{name}: commits"));
        let alone = self.commits(&db, 1)?;
        say(&format!("{name}: commits by {WRITERS} threads"));
        let together = self.commits(&db, WRITERS)?;
        Ok(Mode { name, load, gets, alone, together, file_bytes: db.stats()?.file_bytes })
    }

    /// Gets of random keys, in one snapshot, and the time that they took.
    fn gets(&self, db: &Db) -> Result<(u64, Duration), Failure> {
        let rx = db.read()?;
        let table = rx.table(&ENTRIES)?;
        let mut random = Random(2);
        let (mut gets, begun) = (0, Instant::now());
        loop {
            // The clock is asked seldom: it would be a part of what is measured.
            for _ in 0..1000 {
                black_box(table.get(key_of(random.below(self.entries)))?);
            }
            gets += 1000;
            let time = begun.elapsed();
            if time >= self.seconds {
                return Ok((gets, time));
            }
        }
    }

    /// Durable commits by `writers` threads, each of which replaces one entry.
    fn commits(&self, db: &Db, writers: u64) -> Result<Commits, Failure> {
        let before = db.stats()?;
        let begun = Instant::now();
        let deadline = begun + self.seconds;
        let mut times = Times::new();
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..writers).map(|seed| scope.spawn(move || self.commit_until(db, deadline, seed))).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(done) => done.map(|more| times.append(more)).map_err(Failure::from),
                Err(_) => Err(wrong("a thread of the measurement has panicked")),
            })
        })?;
        let (time, after) = (begun.elapsed(), db.stats()?);
        Ok(Commits {
            times,
            time,
            written_bytes: after.written_bytes - before.written_bytes,
            barriers: after.syncs - before.syncs,
        })
    }

    fn commit_until(&self, db: &Db, deadline: Instant, seed: u64) -> mapleaf::Result<Times> {
        let mut random = Random(seed);
        let mut value = vec![0; self.value_size];
        let mut times = Times::new();
        while Instant::now() < deadline {
            let begun = Instant::now();
            value.fill(random.below(256) as u8);
            let key = key_of(random.below(self.entries));
            db.update(|tx| tx.table(&ENTRIES)?.insert(key, &value[..]))?;
            times.add(begun.elapsed());
        }
        Ok(times)
    }

    fn write_text(&self, out: &mut impl Write, measured: &Measured) -> Result<(), Failure> {
        let Measured { disk, modes } = measured;
        writeln!(
            out,
            "{} entries with values of {} bytes, a file of {}; {:.1} s for each measurement",
            count(self.entries),
            self.value_size,
            bytes(modes[0].file_bytes),
            self.seconds.as_secs_f64()
        )?;
        let line = format!("write {} and fdatasync", bytes(PIECE_BYTES as u64));
        writeln!(out, "\nthe disk alone\n  {line:<28} {}", disk.describe(disk.total))?;
        for mode in modes {
            let Mode { name, load, gets, alone, together, .. } = mode;
            writeln!(out, "\nwrite mode {name}")?;
            let line = format!("{:>9} entries a second", count(rate(self.entries, *load)));
            writeln!(out, "  {:<28} {line}", "load, in one transaction")?;
            let each = gets.1.as_nanos() as f64 / gets.0 as f64;
            let line = format!("{:>9} a second, {each:.0} ns each", count(rate(gets.0, gets.1)));
            writeln!(out, "  {:<28} {line}", "get, at random, 1 thread")?;
            for (writers, commits) in [(1, alone), (WRITERS, together)] {
                let threads = if writers == 1 { "1 thread".to_owned() } else { format!("{writers} threads") };
                let line = commits.times.describe(commits.time);
                writeln!(out, "  {:<28} {line}", format!("durable commit, {threads}"))?;
                writeln!(
                    out,
                    "  {:<28} {:>9} and {:.2} barriers for each",
                    "",
                    bytes(commits.each(commits.written_bytes) as u64),
                    commits.each(commits.barriers)
                )?;
            }
        }
        Ok(())
    }

    fn json(&self, measured: &Measured) -> Value {
        let commits = |commits: &Commits| {
            let mut line = commits.times.json(commits.time);
            line["written_bytes_each"] = json!(commits.each(commits.written_bytes));
            line["barriers_each"] = json!(commits.each(commits.barriers));
            line
        };
        let modes = measured.modes.iter().map(|mode| {
            json!({
                "write_mode": mode.name, "load_seconds": mode.load.as_secs_f64(), "gets": mode.gets.0,
                "gets_seconds": mode.gets.1.as_secs_f64(), "commits": commits(&mode.alone),
                "commits_together": commits(&mode.together), "writers_together": WRITERS,
            })
        });
        json!({
            "entries": self.entries, "value_size": self.value_size, "disk": measured.disk.json(measured.disk.total),
            "modes": modes.collect::<Value>(),
        })
    }
}

struct Measured {
    disk: Times,
    modes: [Mode; 2],
}

struct Mode {
    name: &'static str,
    load: Duration,
    gets: (u64, Duration),
    alone: Commits,
    together: Commits,
    file_bytes: u64,
}

struct Commits {
    times: Times,
    time: Duration,
    written_bytes: u64,
    barriers: u64,
}

impl Commits {
    fn each(&self, what: u64) -> f64 {
        what as f64 / self.times.list.len().max(1) as f64
    }
}

/// How long each of many took.
struct Times {
    list: Vec<Duration>,
    total: Duration,
}

impl Times {
    fn new() -> Times {
        Times { list: Vec::new(), total: Duration::ZERO }
    }

    fn add(&mut self, time: Duration) {
        self.list.push(time);
        self.total += time;
    }

    fn append(&mut self, other: Times) {
        self.list.extend(other.list);
        self.total += other.total;
    }

    /// The longest time of the fastest `of_thousand` of a thousand.
    fn quantile(&self, of_thousand: usize) -> Duration {
        let mut sorted = self.list.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get(last * of_thousand / 1000).copied().unwrap_or_default()
    }

    /// `time` is how long all of them took together.
    fn describe(&self, time: Duration) -> String {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        format!(
            "{:>9} a second; median {:.3} ms, 99 % within {:.3} ms",
            count(rate(self.list.len() as u64, time)),
            milliseconds(self.quantile(500)),
            milliseconds(self.quantile(990))
        )
    }

    fn json(&self, time: Duration) -> Value {
        json!({
            "count": self.list.len(), "seconds": time.as_secs_f64(),
            "median": self.quantile(500).as_secs_f64(), "quantile_99": self.quantile(990).as_secs_f64(),
        })
    }
}

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        key_of(self.0) % limit
    }
}

/// The key of entry `index`: neighbours lie far apart.
fn key_of(index: u64) -> u64 {
    let mut mixed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Shows what is being measured, on a terminal.
fn say(what: &str) {
    if std::io::IsTerminal::is_terminal(&stderr()) {
        eprint!("\r\x1b[K{what}");
    }
}
