//! The table, and the JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use statrs::statistics::{Data, OrderStatistics};

use crate::engines::Engine;
use crate::machine::Machine;

#[derive(Serialize)]
pub struct Report {
    pub machine: Machine,
    pub entries: u64,
    pub engines: Vec<Engine>,
    pub rows: Vec<Row>,
}

/// One row: for each engine what each round gave, smaller being better; empty for an engine that took no part.
#[derive(Serialize)]
pub struct Row {
    pub name: &'static str,
    pub unit: Unit,
    pub samples: Vec<Vec<f64>>,
    pub summaries: Vec<Option<Summary>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Nanoseconds,
    Bytes,
}

#[derive(Clone, Copy, Serialize)]
pub struct Summary {
    pub median: f64,
    pub lower_quartile: f64,
    pub upper_quartile: f64,
    /// How many times as much as the first engine: the median over the rounds of the ratio within a round.
    pub ratio_to_first: f64,
}

impl Row {
    pub fn timed(name: &'static str, samples: Vec<Vec<f64>>) -> Row {
        Row::new(name, Unit::Nanoseconds, samples)
    }

    pub fn sized(name: &'static str, sizes: &[u64]) -> Row {
        Row::new(name, Unit::Bytes, sizes.iter().map(|&size| vec![size as f64]).collect())
    }

    fn new(name: &'static str, unit: Unit, samples: Vec<Vec<f64>>) -> Row {
        let summaries = samples.iter().map(|of_engine| summarize(of_engine, &samples[0])).collect();
        Row { name, unit, samples, summaries }
    }
}

fn summarize(samples: &[f64], first: &[f64]) -> Option<Summary> {
    if samples.is_empty() {
        return None;
    }
    let mut data = Data::new(samples.to_vec());
    let ratios: Vec<f64> = samples.iter().zip(first).map(|(sample, first)| sample / first).collect();
    Some(Summary {
        median: data.median(),
        lower_quartile: data.lower_quartile(),
        upper_quartile: data.upper_quartile(),
        ratio_to_first: Data::new(ratios).median(),
    })
}

impl Report {
    pub fn print(&self, markdown: bool) {
        let machine = &self.machine;
        println!(
            "{} processors ({}), {} GiB, {}, {}; {} entries of 24 + 150 bytes",
            machine.processors,
            machine.processor,
            machine.memory_gib,
            machine.kernel,
            machine.file_system,
            self.entries
        );
        for engine in &machine.engines {
            println!("- {engine}");
        }
        println!("{}", self.table(markdown));
        println!("Medians of the rounds, half the distance between the quartiles beside them.");
    }

    fn table(&self, markdown: bool) -> Table {
        let mut table = Table::new();
        table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
        let (first, peers) = self.engines.split_first().expect("there is an engine");
        let mut header = vec![String::new()];
        header.extend(self.engines.iter().map(|engine| engine.name().to_owned()));
        header.extend(peers.iter().map(|peer| format!("{} / {}", peer.name(), first.name())));
        table.set_header(header);
        for row in &self.rows {
            let mut cells = vec![row.name.to_owned()];
            let cell = |summary: &Option<Summary>| summary.map_or("-".into(), |s| s.display(row.unit));
            cells.extend(row.summaries.iter().map(cell));
            let ratio = |summary: &Option<Summary>| {
                summary.map_or("-".into(), |summary| format!("{:.2}", summary.ratio_to_first))
            };
            cells.extend(row.summaries[1..].iter().map(ratio));
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

impl Summary {
    fn display(&self, unit: Unit) -> String {
        let spread = (self.upper_quartile - self.lower_quartile) / 2.0 / self.median * 100.0;
        match unit {
            Unit::Nanoseconds => format!("{} ±{spread:.0}%", duration(self.median)),
            Unit::Bytes => format!("{:.1} MiB", self.median / f64::from(1 << 20)),
        }
    }
}

/// A time in the unit that suits it, to three digits.
pub fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let digits = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}
