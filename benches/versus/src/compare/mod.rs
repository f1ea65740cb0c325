//! The comparison: which rows, on which engines, how much of everything.

mod acts;
pub mod rows;
pub mod stage;

use anyhow::Result;
use clap::ValueEnum;
use sysinfo::System;

use self::rows::Row;
use self::stage::Stage;
use crate::engines::Engine;
use crate::machine::Machine;
use crate::place::KeyPosition;
use crate::report::{Column, Figures, Report, Sheet};

#[derive(clap::Args)]
pub struct Arguments {
    /// A fifth of the entries and fewer rounds: a few minutes.
    #[arg(long)]
    quick: bool,
    /// Entries in each database; 1 million by default.
    #[arg(long)]
    count: Option<u64>,
    /// Rounds of each row that reads; those that write have about half as many, loads less.
    #[arg(long)]
    rounds: Option<usize>,
    /// Lookups in a round.
    #[arg(long)]
    gets: Option<usize>,
    /// Durable commits of one put in a round.
    #[arg(long)]
    commits: Option<usize>,
    /// Which rows; all of them by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Which engines; all that are built in by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    engines: Vec<Engine>,
    #[command(flatten)]
    place: KeyPosition,
}

/// How much of everything.
#[derive(Clone, Copy)]
struct Amounts {
    entries: u64,
    read_rounds: usize,
    write_rounds: usize,
    load_rounds: usize,
    gets: usize,
    begins: u64,
    commits: usize,
    batches: usize,
    lazy_commits: usize,
    large_values: u64,
    /// Lookups with short memory, each of which may wait for the disk.
    short_memory_gets: usize,
}

impl Amounts {
    fn new(arguments: &Arguments) -> Amounts {
        let shrink = if arguments.quick { 5 } else { 1 };
        let entries = arguments.count.unwrap_or(1_000_000 / shrink).max(1000);
        let shrink = shrink as usize;
        // A load of several million takes long enough not to depend on the moment.
        let most_load_rounds = if entries > 2_000_000 { 2 } else { 3 };
        let read_rounds = arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 7 }).max(1);
        Amounts {
            entries,
            read_rounds,
            write_rounds: read_rounds.div_ceil(2),
            load_rounds: read_rounds.div_ceil(3).min(most_load_rounds),
            gets: arguments.gets.unwrap_or(200_000 / shrink),
            begins: 500_000 / shrink as u64,
            commits: arguments.commits.unwrap_or(1000 / shrink).max(8),
            batches: (arguments.commits.unwrap_or(1000) / 10 / shrink).max(1),
            lazy_commits: arguments.commits.map_or(10_000 / shrink, |commits| 10 * commits),
            large_values: if arguments.quick { 50 } else { 200 },
            short_memory_gets: arguments.gets.unwrap_or(10_000 / shrink).min(10_000),
        }
    }
}

pub fn compare(arguments: &Arguments) -> Result<()> {
    let amounts = Amounts::new(arguments);
    let folder = arguments.place.new_folder()?;
    let or_all = |rows: &[Row]| if rows.is_empty() { Row::value_variants().to_vec() } else { rows.to_vec() };
    let engines = if arguments.engines.is_empty() { Engine::all() } else { arguments.engines.clone() };
    let machine = Machine::new(folder.path())?;
    let load = || System::load_average().map_or(0.0, |load| load.one);
    let load_before = load();
    let mut stage = Stage::new(engines.clone(), or_all(&arguments.rows), folder.path());
    acts::perform_all(&mut stage, amounts)?;
    stage.progress.finish_and_clear();

    let column = |&engine: &Engine| Column {
        name: engine.name().to_owned(),
        description: engine.description(),
        is_peer: engine.is_peer(),
    };
    let rows = stage.records.samples.into_iter().filter(|(row, _)| stage.wanted.contains(row));
    let sheet = Sheet {
        machine,
        entries: amounts.entries,
        load: load_before.max(load()),
        columns: engines.iter().map(column).collect(),
        rows: rows.map(|(row, samples)| Figures { row, samples }).collect(),
        notes: stage.records.notes,
    };
    sheet.print(arguments.place.markdown);
    match arguments.place.json() {
        Some(file) => Report::add_to(file, sheet),
        None => Ok(()),
    }
}
