//! What clocks cannot show: system calls, bytes, page faults and instructions, each counted from outside while
//! `versus run` does one piece of work in a process of its own.

pub mod cache;
pub mod child;
mod trace;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;
use statrs::statistics::{Data, OrderStatistics};

use crate::duration::duration;
use crate::engines::{Engine, Order};
use crate::measure::child::Child;
use crate::place::KeyPosition;
use crate::run::{BuildArguments, Commits, Taken};

#[derive(clap::Args)]
pub struct Arguments {
    /// What to measure; all of it by default.
    #[arg(value_enum)]
    what: Vec<What>,
    /// Small databases and few rounds, to see that everything works.
    #[arg(long)]
    quick: bool,
    #[arg(long, value_enum, value_delimiter = ',', default_value = "mapleaf,lmdb")]
    engines: Vec<Engine>,
    #[command(flatten)]
    place: KeyPosition,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
enum What {
    /// System calls and bytes written per transaction; needs strace.
    Transactions,
    /// How long each of many durable commits takes, the longest too, and what reaches the disk for it. Other programs
    /// must not use the disk meanwhile.
    Commits,
    /// Page faults and time to open a file of 1 GiB.
    Open,
    /// Bytes read from the device by a scan over a tenth of a file of 1 GiB, from a cold page cache.
    Cold,
    /// Bytes read from the device to open that file after a kill in the middle of commits.
    Recovery,
    /// Instructions of random gets and of inserts; needs valgrind.
    Instructions,
}

#[derive(Serialize)]
struct Figure {
    what: String,
    engine: Engine,
    value: f64,
    unit: Unit,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Count,
    Bytes,
    Nanoseconds,
}

impl Figure {
    fn display(&self) -> String {
        match self.unit {
            Unit::Nanoseconds => duration(self.value),
            Unit::Bytes if self.value >= f64::from(1 << 24) => {
                format!("{:.1} MiB", self.value / f64::from(1 << 20))
            }
            Unit::Bytes => format!("{:.0} B", self.value),
            Unit::Count if self.value.fract() == 0.0 => format!("{:.0}", self.value),
            Unit::Count => format!("{:.2}", self.value),
        }
    }
}

struct Laboratory {
    folder: PathBuf,
    engines: Vec<Engine>,
    is_quick: bool,
    figures: Vec<Figure>,
}

pub fn measure(arguments: &Arguments) -> Result<()> {
    let folder = arguments.place.new_folder()?;
    let mut laboratory = Laboratory {
        folder: folder.path().to_owned(),
        engines: arguments.engines.clone(),
        is_quick: arguments.quick,
        figures: Vec::new(),
    };
    let mut wanted: BTreeSet<What> = arguments.what.iter().copied().collect();
    if wanted.is_empty() {
        wanted.extend(What::value_variants());
    }
    for what in wanted {
        match what {
            What::Transactions => laboratory.transactions()?,
            What::Commits => laboratory.commits()?,
            What::Open => laboratory.open()?,
            What::Cold => laboratory.cold()?,
            What::Recovery => laboratory.recovery()?,
            What::Instructions => laboratory.instructions()?,
        }
    }
    laboratory.print(arguments.place.markdown);
    arguments.place.write_json(&laboratory.figures)
}

impl Laboratory {
    fn note(&mut self, what: impl Into<String>, engine: Engine, value: f64, unit: Unit) {
        self.figures.push(Figure { what: what.into(), engine, value, unit });
    }

    fn million(&self) -> u64 {
        if self.is_quick { 100_000 } else { 1_000_000 }
    }

    /// Entries of a file of about 1 GiB.
    fn gibibyte(&self) -> u64 {
        if self.is_quick { 200_000 } else { 5_800_000 }
    }

    fn repetitions(&self) -> usize {
        if self.is_quick { 3 } else { 15 }
    }

    /// A database, made the first time that it is asked for.
    fn database(&self, engine: Engine, entries: u64, order: Order) -> Result<PathBuf> {
        let name = format!("{}-{entries}-{order:?}", engine.name());
        let folder = self.folder.join(name);
        if !folder.exists() {
            child::build(&BuildArguments { engine, folder: folder.clone(), entries, order })?;
        }
        Ok(folder)
    }

    fn child(&self, work: &'static str, engine: Engine, database: &Path, entries: u64) -> Child {
        Child::new(work, engine, database, entries)
    }

    /// What one transaction asks of the system.
    fn transactions(&mut self) -> Result<()> {
        let entries = self.million();
        let count = if self.is_quick { 100 } else { 1000 };
        for engine in self.engines.clone() {
            let database = self.database(engine, entries, Order::Random)?;
            let works = [
                ("overwrites", "durable commit, overwrite"),
                ("new-keys", "durable commit, new key"),
                ("lazy-commits", "lazy commit"),
                ("read-transactions", "read transaction"),
            ];
            for (work, name) in works {
                if work == "lazy-commits" && engine != Engine::Mapleaf {
                    continue;
                }
                eprintln!("{name}: {}", engine.name());
                let child = self.child(work, engine, &database, entries).count(count).warm();
                let units = child.trace(&self.folder.join("trace"))?;
                ensure!(units.len() == count, "the trace shows {} of {count} transactions", units.len());
                self.note_units(name, engine, &units);
            }
        }
        Ok(())
    }

    /// Many durable commits of one put: engines interleaved, the median of each figure over the repetitions.
    fn commits(&mut self) -> Result<()> {
        let (entries, count) = if self.is_quick { (30_000, 2_000) } else { (300_000, 100_000) };
        let mut taken = vec![Vec::new(); self.engines.len()];
        for repetition in 0..self.repetitions().div_ceil(5) {
            for (&engine, taken) in self.engines.iter().zip(&mut taken) {
                eprintln!("durable commits: {} ({repetition})", engine.name());
                let database = self.folder.join(format!("{}-commits-{repetition}", engine.name()));
                let order = Order::Random;
                child::build(&BuildArguments { engine, folder: database.clone(), entries, order })?;
                let child = self.child("timed-commits", engine, &database, entries).count(count);
                taken.push(child.run()?.commits.context("the commits were not timed")?);
                std::fs::remove_dir_all(&database)?;
            }
        }
        for (engine, taken) in self.engines.clone().into_iter().zip(taken) {
            let of =
                |field: fn(&Commits) -> u64| median(taken.iter().map(|taken| field(taken) as f64).collect());
            let name = format!("{count} durable commits into {entries} entries");
            self.note(format!("{name}: median"), engine, of(|taken| taken.median), Unit::Nanoseconds);
            self.note(format!("{name}: 99 %"), engine, of(|taken| taken.percentile_99), Unit::Nanoseconds);
            self.note(
                format!("{name}: 99.9 %"),
                engine,
                of(|taken| taken.percentile_99_9),
                Unit::Nanoseconds,
            );
            self.note(format!("{name}: longest"), engine, of(|taken| taken.longest), Unit::Nanoseconds);
            let each = of(|taken| taken.written_to_device) / count as f64;
            self.note(format!("{name}: written to the device for each"), engine, each, Unit::Bytes);
        }
        Ok(())
    }

    fn note_units(&mut self, name: &str, engine: Engine, units: &[trace::Unit]) {
        let calls: BTreeSet<&String> = units.iter().flat_map(|unit| unit.calls.keys()).collect();
        let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let greatest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        for call in calls {
            let counts: Vec<f64> =
                units.iter().map(|unit| unit.calls.get(call).copied().unwrap_or(0) as f64).collect();
            self.note(format!("{name}: {call}, average"), engine, average(&counts), Unit::Count);
            self.note(format!("{name}: {call}, most"), engine, greatest(&counts), Unit::Count);
        }
        let all: Vec<f64> = units.iter().map(|unit| unit.calls.values().sum::<u64>() as f64).collect();
        self.note(format!("{name}: all system calls, average"), engine, average(&all), Unit::Count);
        let bytes: Vec<f64> = units.iter().map(|unit| unit.bytes_written as f64).collect();
        self.note(format!("{name}: bytes written, average"), engine, average(&bytes), Unit::Bytes);
        self.note(format!("{name}: bytes written, median"), engine, median(bytes.clone()), Unit::Bytes);
        self.note(format!("{name}: bytes written, most"), engine, greatest(&bytes), Unit::Bytes);
    }

    /// Opening a large file: engines interleaved, medians.
    fn open(&mut self) -> Result<()> {
        let entries = self.gibibyte();
        for (work, cold, name) in [
            ("open", false, "open, warm page cache"),
            ("open-and-get", false, "open and get, warm page cache"),
            ("open-and-get", true, "open and get, cold page cache"),
        ] {
            let mut taken = vec![Vec::new(); self.engines.len()];
            for repetition in 0..self.repetitions() {
                for (&engine, taken) in self.engines.iter().zip(&mut taken) {
                    eprintln!("{name}: {} ({repetition})", engine.name());
                    let database = self.database(engine, entries, Order::Random)?;
                    if cold {
                        cache::evict(&engine.file(&database))?;
                    }
                    let child = self.child(work, engine, &database, entries).seed(repetition as u64);
                    taken.push(child.run()?);
                }
            }
            for (engine, taken) in self.engines.clone().into_iter().zip(taken) {
                self.note_taken(name, engine, &taken);
            }
        }
        Ok(())
    }

    fn note_taken(&mut self, name: &str, engine: Engine, taken: &[Taken]) {
        let of = |field: fn(&Taken) -> u64| median(taken.iter().map(|taken| field(taken) as f64).collect());
        self.note(format!("{name}: time"), engine, of(|taken| taken.nanoseconds), Unit::Nanoseconds);
        self.note(format!("{name}: minor faults"), engine, of(|taken| taken.minor_faults), Unit::Count);
        self.note(format!("{name}: major faults"), engine, of(|taken| taken.major_faults), Unit::Count);
        self.note(format!("{name}: read from device"), engine, of(|taken| taken.device_bytes), Unit::Bytes);
    }

    /// A tenth of the key range of a large file, none of which is in memory.
    fn cold(&mut self) -> Result<()> {
        let entries = self.gibibyte();
        for order in [Order::Random, Order::Sorted] {
            let mut digests = Vec::new();
            for engine in self.engines.clone() {
                let name = format!("cold scan of a tenth, loaded in {order:?} order").to_lowercase();
                eprintln!("{name}: {}", engine.name());
                let database = self.database(engine, entries, order)?;
                let mut taken = Vec::new();
                for _ in 0..3 {
                    cache::evict(&engine.file(&database))?;
                    taken.push(self.child("tenth", engine, &database, entries).run()?);
                }
                digests.push(taken[0].digest);
                let size = engine.size_on_disk(&database)? as f64;
                self.note(format!("{name}: file size"), engine, size, Unit::Bytes);
                self.note_taken(&name, engine, &taken);
            }
            ensure!(digests.iter().all(|digest| *digest == digests[0]), "engines read different things");
        }
        Ok(())
    }

    /// Opening after a kill, beside opening after a clean end; the page cache is cold each time.
    fn recovery(&mut self) -> Result<()> {
        let entries = self.gibibyte();
        for engine in self.engines.clone() {
            let database = self.database(engine, entries, Order::Random)?;
            let file = engine.file(&database);
            let (mut after_end, mut after_kill) = (Vec::new(), Vec::new());
            for repetition in 0..self.repetitions().div_ceil(3) as u64 {
                eprintln!("recovery: {} ({repetition})", engine.name());
                let committing = |count| {
                    let seed = 1000 + repetition;
                    self.child("new-keys", engine, &database, entries).seed(seed).count(count)
                };
                committing(100_000).kill_after(Duration::from_millis(1500 + 37 * repetition))?;
                cache::evict(&file)?;
                after_kill.push(self.child("open", engine, &database, entries).run()?);
                // That opening recovered, but did not close; this one does both, after a commit.
                committing(1).run()?;
                cache::evict(&file)?;
                after_end.push(self.child("open", engine, &database, entries).run()?);
            }
            self.note_taken("open after a clean end, cold", engine, &after_end);
            self.note_taken("open after a kill, cold", engine, &after_kill);
            let most = after_kill.iter().map(|taken| taken.device_bytes).max().unwrap_or(0) as f64;
            self.note("open after a kill, cold: read from device, most", engine, most, Unit::Bytes);
        }
        Ok(())
    }

    fn instructions(&mut self) -> Result<()> {
        let entries = self.million();
        let count = if self.is_quick { 10_000 } else { 100_000 };
        for engine in self.engines.clone() {
            let database = self.database(engine, entries, Order::Random)?;
            for (work, name) in [("gets", "random get"), ("grouped-gets", "random get, 16 at a time")] {
                eprintln!("instructions, {name}: {}", engine.name());
                let child = self.child(work, engine, &database, entries).count(count).warm();
                let instructions = child.count_instructions(&self.folder.join("callgrind"))?;
                let each = instructions as f64 / count as f64;
                self.note(format!("instructions of a {name}"), engine, each, Unit::Count);
            }
            eprintln!("instructions, insert: {}", engine.name());
            let new = self.folder.join(format!("{}-inserts", engine.name()));
            let child = self.child("load", engine, &new, entries).count(count);
            let instructions = child.count_instructions(&self.folder.join("callgrind"))?;
            let each = instructions as f64 / count as f64;
            self.note(format!("instructions of one of {count} inserts"), engine, each, Unit::Count);
        }
        Ok(())
    }

    fn print(&self, markdown: bool) {
        let mut table = Table::new();
        table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
        let mut header = vec![String::new()];
        header.extend(self.engines.iter().map(|engine| engine.name().to_owned()));
        table.set_header(header);
        let mut seen = BTreeSet::new();
        for figure in self.figures.iter().filter(|figure| seen.insert(&figure.what)) {
            let mut cells = vec![figure.what.clone()];
            for &engine in &self.engines {
                let cell = self.figures.iter().find(|f| f.what == figure.what && f.engine == engine);
                cells.push(cell.map_or("-".into(), Figure::display));
            }
            table.add_row(cells);
        }
        println!("{table}");
    }
}

fn median(values: Vec<f64>) -> f64 {
    Data::new(values).median()
}
