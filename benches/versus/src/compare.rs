//! The comparison: every row runs on every engine in turn, round by round, so that what disturbs the machine
//! disturbs all of them. After each row the digests must agree.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::engines::{Depth, Engine, Order, Store};
use crate::machine::Machine;
use crate::place::Place;
use crate::report::{Report, Row};
use crate::workload::{Digest, Key, keys, sample};

#[derive(clap::Args)]
pub struct Arguments {
    /// A tenth of the entries and fewer rounds: some seconds instead of some minutes.
    #[arg(long)]
    quick: bool,
    /// Entries in each database; 1 million by default.
    #[arg(long)]
    entries: Option<u64>,
    /// Rounds of each row that reads; those that write have about half as many.
    #[arg(long)]
    rounds: Option<usize>,
    /// Which engines; all of them by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    engines: Vec<Engine>,
    #[command(flatten)]
    place: Place,
}

/// How much of everything.
struct Amounts {
    entries: u64,
    read_rounds: usize,
    load_rounds: usize,
    write_rounds: usize,
    gets: usize,
    begins: u64,
    single_commits: usize,
    batches: usize,
    lazy_commits: usize,
}

const BATCH: usize = 1000;

impl Amounts {
    fn new(arguments: &Arguments) -> Amounts {
        let shrink = if arguments.quick { 10 } else { 1 };
        let read_rounds = arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 9 }).max(1);
        let write_rounds = read_rounds.div_ceil(2);
        Amounts {
            entries: arguments.entries.unwrap_or(1_000_000 / shrink).max(1),
            read_rounds,
            load_rounds: read_rounds.div_ceil(3),
            write_rounds,
            gets: 200_000 / shrink as usize,
            begins: 1_000_000 / shrink,
            single_commits: (1000 / shrink as usize).div_ceil(write_rounds),
            batches: (100 / shrink as usize).div_ceil(write_rounds),
            lazy_commits: 2000 / shrink as usize,
        }
    }
}

/// One engine's database in this run.
struct Contender {
    engine: Engine,
    folder: PathBuf,
    store: Option<Box<dyn Store>>,
}

impl Contender {
    fn store(&mut self) -> &mut dyn Store {
        self.store.as_mut().expect("a database is open between rows").as_mut()
    }

    fn reopen(&mut self) -> Result<()> {
        self.store = None;
        self.store = Some(self.engine.open(&self.folder)?);
        Ok(())
    }

    fn start_anew(&mut self) -> Result<()> {
        self.store = None;
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        self.reopen()
    }
}

struct Comparison {
    contenders: Vec<Contender>,
    progress: ProgressBar,
    rows: Vec<Row>,
}

/// The work of one round: counted in units of which the row says how long one takes.
struct Work<'a> {
    name: &'static str,
    rounds: usize,
    /// Puts the database into the state in which the round begins. Off the clock.
    prepare: &'a dyn Fn(&mut Contender) -> Result<()>,
    /// Does the work of a round; answers what it read, if it read.
    run: &'a dyn Fn(&mut dyn Store, usize) -> Result<Digest>,
    units: u64,
}

fn as_it_is(_: &mut Contender) -> Result<()> {
    Ok(())
}

impl Comparison {
    /// Runs a row: all engines in each round, another one first each time.
    fn row(&mut self, work: &Work<'_>) -> Result<()> {
        let count = self.contenders.len();
        let mut samples = vec![Vec::new(); count];
        for round in 0..work.rounds {
            let mut digests: Vec<(Engine, Digest)> = Vec::new();
            for turn in 0..count {
                let contender = &mut self.contenders[(round + turn) % count];
                let engine = contender.engine;
                self.progress.set_message(format!("{}: {}", work.name, engine.name()));
                (work.prepare)(contender)?;
                let start = Instant::now();
                let digest = (work.run)(contender.store(), round)
                    .with_context(|| format!("{}: {}", work.name, engine.name()))?;
                let elapsed = start.elapsed();
                samples[(round + turn) % count].push(elapsed.as_nanos() as f64 / work.units as f64);
                digests.push((engine, digest));
                self.progress.inc(1);
            }
            check_agreement(work.name, &digests)?;
        }
        self.rows.push(Row::timed(work.name, samples));
        Ok(())
    }

    /// Every byte of every database, compared between engines.
    fn check_contents(&mut self, when: &str) -> Result<()> {
        let mut digests = Vec::new();
        for contender in &mut self.contenders {
            let engine = contender.engine;
            self.progress.set_message(format!("comparing contents: {}", engine.name()));
            digests.push((engine, contender.store().scan(&Key::default(), u64::MAX, Depth::Whole)?));
        }
        check_agreement(when, &digests)
    }

    fn sizes(&mut self, name: &'static str) -> Result<()> {
        let size = |contender: &Contender| contender.engine.size_on_disk(&contender.folder);
        let sizes: Vec<u64> = self.contenders.iter().map(size).collect::<Result<_>>()?;
        self.rows.push(Row::sized(name, &sizes));
        Ok(())
    }
}

fn check_agreement(what: &str, digests: &[(Engine, Digest)]) -> Result<()> {
    let agree = digests.iter().all(|(_, digest)| *digest == digests[0].1);
    ensure!(agree, "{what}: the engines read different things: {digests:?}");
    Ok(())
}

pub fn compare(arguments: &Arguments) -> Result<()> {
    let amounts = Amounts::new(arguments);
    let folder = arguments.place.new_folder()?;
    let engines = if arguments.engines.is_empty() { Engine::ALL.to_vec() } else { arguments.engines.clone() };
    let contender =
        |&engine: &Engine| Contender { engine, folder: folder.path().join(engine.name()), store: None };
    let mut comparison = Comparison {
        contenders: engines.iter().map(contender).collect(),
        progress: progress_bar(&amounts, engines.len()),
        rows: Vec::new(),
    };
    let machine = Machine::new(folder.path(), &engines)?;
    run_rows(&mut comparison, &amounts)?;
    comparison.progress.finish_and_clear();
    let report = Report { machine, entries: amounts.entries, engines, rows: comparison.rows };
    report.print(arguments.place.markdown);
    arguments.place.write_json(&report)
}

fn progress_bar(amounts: &Amounts, engines: usize) -> ProgressBar {
    let rounds = 2 * amounts.load_rounds + 6 * amounts.read_rounds + 4 * amounts.write_rounds;
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {msg}");
    ProgressBar::new((rounds * engines) as u64).with_style(style.expect("the template is well-formed"))
}

fn run_rows(comparison: &mut Comparison, amounts: &Amounts) -> Result<()> {
    let existing = keys(0..amounts.entries);
    let mut sorted = existing.clone();
    sorted.sort_unstable();

    let load = |keys, order| {
        move |store: &mut dyn Store, _: usize| store.load(keys, order, 0).map(|()| Digest::default())
    };
    comparison.row(&Work {
        name: "sorted load, one transaction",
        rounds: amounts.load_rounds,
        prepare: &Contender::start_anew,
        run: &load(&sorted, Order::Sorted),
        units: amounts.entries,
    })?;
    comparison.sizes("file size after the sorted load")?;
    comparison.row(&Work {
        name: "bulk load in random order, one transaction",
        rounds: amounts.load_rounds,
        prepare: &Contender::start_anew,
        run: &load(&existing, Order::Random),
        units: amounts.entries,
    })?;
    comparison.sizes("file size after the random load")?;
    comparison.check_contents("after the loads")?;

    read_rows(comparison, amounts, &existing)?;
    write_rows(comparison, amounts, &existing)?;
    comparison.check_contents("after all commits")?;
    comparison.sizes("file size at the end")
}

fn read_rows(comparison: &mut Comparison, amounts: &Amounts, existing: &[Key]) -> Result<()> {
    let scan = |store: &mut dyn Store, _: usize| store.scan(&Key::default(), u64::MAX, Depth::Ends);
    comparison.row(&Work {
        name: "first full scan after opening, warm page cache",
        rounds: amounts.read_rounds,
        prepare: &Contender::reopen,
        run: &scan,
        units: amounts.entries,
    })?;
    comparison.row(&Work {
        name: "full scan",
        rounds: amounts.read_rounds,
        prepare: &as_it_is,
        run: &scan,
        units: amounts.entries,
    })?;
    let samples: Vec<Vec<Key>> =
        (0..amounts.read_rounds).map(|round| sample(existing, amounts.gets, round as u64)).collect();
    let mut reading = |name, units, run: &dyn Fn(&mut dyn Store, usize) -> Result<Digest>| {
        comparison.row(&Work { name, rounds: amounts.read_rounds, prepare: &as_it_is, run, units })
    };
    let gets = amounts.gets as u64;
    reading("random get", gets, &|store, round| store.get_each(&samples[round]))?;
    reading("random get, 16 at a time", gets, &|store, round| store.get_in_groups(&samples[round]))?;
    reading("begin, random get, end", gets, &|store, round| store.begin_and_get_each(&samples[round]))?;
    reading("begin and end a read transaction", amounts.begins, &|store, _| {
        store.begin_and_end(amounts.begins)
    })
}

fn write_rows(comparison: &mut Comparison, amounts: &Amounts, existing: &[Key]) -> Result<()> {
    // Each round puts keys in that no other has put in.
    let fresh = |row: u64, round: usize, count: usize| {
        let first = (row + 1) * 1_000_000_000 + (round * count) as u64;
        keys(first..first + count as u64)
    };
    let mut writing = |name, units: usize, run: &dyn Fn(&mut dyn Store, usize) -> Result<()>| {
        comparison.row(&Work {
            name,
            rounds: amounts.write_rounds,
            prepare: &as_it_is,
            run: &|store, round| run(store, round).map(|()| Digest::default()),
            units: units as u64,
        })
    };
    let singles = amounts.single_commits;
    writing("single durable commit, new key", singles, &|store, round| {
        store.put_each(&fresh(0, round, singles), 1)
    })?;
    writing("single durable commit, overwrite", singles, &|store, round| {
        store.put_each(&sample(existing, singles, 1000 + round as u64), 2 + round as u64)
    })?;
    writing("durable batch of 1000 new keys", amounts.batches, &|store, round| {
        let keys = fresh(1, round, amounts.batches * BATCH);
        keys.chunks(BATCH).try_for_each(|batch| store.load(batch, Order::Random, 1))
    })?;
    lazy_row(comparison, amounts, &|round| fresh(2, round, amounts.lazy_commits))
}

/// The peers' nearest thing to a lazy commit needs other flags when the database is opened, so only those run that
/// have it at hand. The others get the same keys in, off the clock.
fn lazy_row(comparison: &mut Comparison, amounts: &Amounts, fresh: &dyn Fn(usize) -> Vec<Key>) -> Result<()> {
    let mut samples = vec![Vec::new(); comparison.contenders.len()];
    for round in 0..amounts.write_rounds {
        let keys = fresh(round);
        for (contender, samples) in comparison.contenders.iter_mut().zip(&mut samples) {
            let start = Instant::now();
            if contender.store().put_each_lazily(&keys, 1)? {
                samples.push(start.elapsed().as_nanos() as f64 / keys.len() as f64);
            } else {
                contender.store().load(&keys, Order::Random, 1)?;
            }
            comparison.progress.inc(1);
        }
    }
    comparison.rows.push(Row::timed("lazy commit, new key", samples));
    Ok(())
}
