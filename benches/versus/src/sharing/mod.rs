//! One database, many processes and threads: what sharing it gives and what it costs. Engines take turns in each round.

mod commits;
mod lookups;
mod parked;
mod passive;
pub mod process;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use statrs::statistics::{Data, OrderStatistics};

use crate::engines::{Engine, Order};
use crate::machine::Machine;
use crate::measure::child;
use crate::place::KeyPosition;
use crate::run::BuildArguments;

#[derive(clap::Args)]
pub struct Arguments {
    /// What to measure; all of it by default.
    #[arg(value_enum)]
    what: Vec<What>,
    /// Small databases and short rounds, to see that everything works.
    #[arg(long)]
    quick: bool,
    /// Rounds, of which the medians are printed.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// How long each piece of work goes on, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    milliseconds: u64,
    #[arg(long, value_enum, value_delimiter = ',', default_value = "mapleaf,lmdb")]
    engines: Vec<Engine>,
    #[command(flatten)]
    place: KeyPosition,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
enum What {
    /// Lookups in 1, 2 and 4 processes, with and without a writer in another.
    Lookups,
    /// Durable commits of one entry from many threads and processes.
    Commits,
    /// Beginning and ending a read transaction; needs valgrind.
    Transactions,
    /// What a parked reader costs, and what is left of it after its death.
    Parked,
    /// Memory of each additional reader process.
    Memory,
}

/// Figures of one kind, a row each.
#[derive(Serialize)]
struct Sheet {
    title: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

struct Laboratory {
    folder: PathBuf,
    engines: Vec<Engine>,
    entries: u64,
    parked_entries: u64,
    rounds: u64,
    milliseconds: u64,
    sheets: Vec<Sheet>,
}

pub fn sharing(arguments: &Arguments) -> Result<()> {
    let folder = arguments.place.new_folder()?;
    let shrink = if arguments.quick { 10 } else { 1 };
    let mut laboratory = Laboratory {
        folder: folder.path().to_owned(),
        engines: arguments.engines.clone(),
        entries: 500_000 / shrink,
        parked_entries: 200_000 / shrink,
        rounds: if arguments.quick { 1 } else { arguments.rounds.max(1) },
        milliseconds: arguments.milliseconds / shrink,
        sheets: Vec::new(),
    };
    let mut wanted = arguments.what.clone();
    if wanted.is_empty() {
        wanted.extend(What::value_variants());
    }
    for what in wanted {
        let before = laboratory.sheets.len();
        match what {
            What::Lookups => laboratory.lookups()?,
            What::Commits => laboratory.commits()?,
            What::Transactions => laboratory.transactions()?,
            What::Parked => laboratory.parked()?,
            What::Memory => laboratory.memory()?,
        }
        laboratory.sheets[before..].iter().for_each(|sheet| sheet.print(arguments.place.markdown));
    }
    println!("{}", Machine::new(&laboratory.folder)?);
    laboratory.engines.iter().for_each(|engine| println!("- {}", engine.description()));
    arguments.place.write_json(&laboratory.sheets)
}

impl Laboratory {
    /// A database of the engine's, made the first time that it is asked for.
    fn database(&self, engine: Engine, name: &str, entries: u64) -> Result<PathBuf> {
        let folder = self.folder.join(format!("{name}-{}", engine.name()));
        if !folder.exists() {
            child::build(&BuildArguments { engine, folder: folder.clone(), entries, order: Order::Random })?;
        }
        Ok(folder)
    }

    /// A database for all that changes no more than values.
    fn common_database(&self, engine: Engine) -> Result<PathBuf> {
        self.database(engine, "common", self.entries)
    }

    fn sheet(&mut self, title: impl Into<String>, header: &[&str]) -> &mut Sheet {
        let header = header.iter().map(|&cell| cell.to_owned()).collect();
        self.sheets.push(Sheet { title: title.into(), header, rows: Vec::new() });
        self.sheets.last_mut().expect("it has just been put there")
    }
}

impl Sheet {
    fn print(&self, markdown: bool) {
        let mut table = Table::new();
        table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
        table.set_header(&self.header);
        self.rows.iter().for_each(|row| {
            table.add_row(row);
        });
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{}\n\n{table}\n", self.title);
    }
}

fn median(values: &[f64]) -> f64 {
    Data::new(values.to_vec()).median()
}

/// The median of what each round has in `values` over what it has in `others`.
fn median_ratio(values: &[f64], others: &[f64]) -> f64 {
    median(&values.iter().zip(others).map(|(value, other)| value / other).collect::<Vec<f64>>())
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// The length of the file with the data.
fn file_bytes(engine: Engine, folder: &Path) -> Result<u64> {
    Ok(std::fs::metadata(engine.file(folder))?.len())
}
