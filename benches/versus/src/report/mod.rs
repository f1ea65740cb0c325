//! The figures: kept as JSON, shown as a table and as a picture.

mod picture;
pub mod publish;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use statrs::statistics::{Data, OrderStatistics};

use crate::compare::rows::{Bar, Row, Unit};
use crate::machine::Machine;

/// What has been measured, one sheet for each number of entries.
#[derive(Serialize, Deserialize, Default)]
pub struct Report {
    pub sheets: Vec<Sheet>,
}

#[derive(Serialize, Deserialize)]
pub struct Sheet {
    pub machine: Machine,
    pub entries: u64,
    /// The greatest load average at the beginning and at the end of a run.
    pub load: f64,
    /// The engines; mapleaf is the first.
    pub columns: Vec<Column>,
    pub rows: Vec<Figures>,
    pub notes: Vec<String>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub description: String,
    /// Whether the bars are set against it.
    pub is_peer: bool,
}

/// For each engine what each round gave, smaller being better.
#[derive(Serialize, Deserialize)]
pub struct Figures {
    pub row: Row,
    pub samples: BTreeMap<String, Vec<f64>>,
}

/// What an engine's samples come to.
#[derive(Clone, Copy)]
pub struct Summary {
    pub median: f64,
    /// Half the distance between the quartiles, as a share of the median.
    pub spread: f64,
    /// How many times as much as mapleaf: the median over the rounds of the ratio within a round.
    pub to_mapleaf: f64,
}

/// What a row comes to.
pub struct Verdict {
    /// mapleaf against the best peer: how many times as fast, or for a size which share of it.
    pub ratio: f64,
    /// `None` without a bar.
    pub is_met: Option<bool>,
}

impl Report {
    pub fn read(file: &Path) -> Result<Report> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a report", file.display()))
    }

    /// Adds `sheet` to the report in `file`, or makes one. Rows that are there for the same number of entries are
    /// replaced, if they are from the same kind of machine.
    pub fn add_to(file: &Path, sheet: Sheet) -> Result<()> {
        let mut report = if file.exists() { Report::read(file)? } else { Report::default() };
        match report.sheets.iter_mut().find(|other| other.entries == sheet.entries) {
            Some(other) => other.take(sheet)?,
            None => report.sheets.push(sheet),
        }
        report.sheets.sort_by_key(|sheet| sheet.entries);
        let text = serde_json::to_string(&report)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }
}

impl Sheet {
    fn take(&mut self, newer: Sheet) -> Result<()> {
        ensure!(self.machine == newer.machine, "figures of {} are there: use another file", self.machine);
        self.load = self.load.max(newer.load);
        self.columns.retain(|column| newer.columns.iter().all(|other| other.name != column.name));
        self.columns.extend(newer.columns);
        self.columns.sort_by_key(|column| (column.name != "mapleaf", !column.is_peer));
        self.rows.retain(|figures| newer.rows.iter().all(|other| other.row != figures.row));
        self.rows.extend(newer.rows);
        self.rows.sort_by_key(|figures| figures.row);
        self.notes.extend(newer.notes);
        self.notes.sort_unstable();
        self.notes.dedup();
        Ok(())
    }
}

impl Figures {
    pub fn summary(&self, engine: &str) -> Option<Summary> {
        let samples = self.samples.get(engine)?;
        let mut data = Data::new(samples.clone());
        let (median, between) = (data.median(), data.upper_quartile() - data.lower_quartile());
        let to_mapleaf = self.samples.get("mapleaf").map_or(f64::NAN, |of_mapleaf| {
            Data::new(
                samples.iter().zip(of_mapleaf).map(|(sample, first)| sample / first).collect::<Vec<_>>(),
            )
            .median()
        });
        Some(Summary { median, spread: between / 2.0 / median, to_mapleaf })
    }

    /// mapleaf against the best of these engines.
    pub fn against<'a>(&self, columns: impl Iterator<Item = &'a Column>) -> Option<Verdict> {
        let ratios = columns.filter_map(|column| Some(self.summary(&column.name)?.to_mapleaf));
        let best = ratios.filter(|ratio| ratio.is_finite()).min_by(f64::total_cmp)?;
        let ratio = match self.row.unit() {
            Unit::Nanoseconds => best,
            Unit::Bytes => 1.0 / best,
        };
        // As it is shown: to two digits.
        let shown = (ratio * 100.0).round() / 100.0;
        let is_met = match self.row.bar() {
            Bar::Speed(bar) => Some(shown >= bar),
            Bar::Share(bar) => Some(shown <= bar),
            Bar::None => None,
        };
        Some(Verdict { ratio, is_met })
    }
}
