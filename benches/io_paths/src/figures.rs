//! The figures: arms that do the same work in different ways, run in turn, and what their rounds gave.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use statrs::statistics::{Data, OrderStatistics};

use crate::duration::duration;
use crate::machine::Machine;

#[derive(Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    /// The greatest load average at the beginning and at the end.
    pub load: f64,
    pub mebibytes: u64,
    pub sections: Vec<Section>,
    /// What was seen rather than measured.
    pub facts: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub struct Section {
    pub name: String,
    pub title: String,
    pub arms: Vec<ArmFigures>,
}

#[derive(Serialize, Deserialize)]
pub struct ArmFigures {
    pub name: String,
    pub measures: Vec<Measure>,
}

/// What each round gave, in one respect.
#[derive(Serialize, Deserialize)]
pub struct Measure {
    pub name: String,
    pub unit: Unit,
    pub samples: Vec<f64>,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Nanoseconds,
    Bytes,
    Count,
}

/// What one round of one arm gave.
#[derive(Default)]
pub struct Taken {
    /// What was read, if the work is reading: all arms have to have read the same.
    pub digest: Option<u64>,
    pub values: Vec<(&'static str, Unit, f64)>,
}

impl Taken {
    pub fn of(digest: u64) -> Taken {
        Taken { digest: Some(digest), ..Taken::default() }
    }

    pub fn with(mut self, name: &'static str, unit: Unit, value: f64) -> Taken {
        self.values.push((name, unit, value));
        self
    }
}

/// One of the ways to do the work of a section. It gets the number of the round.
pub struct Arm<'a> {
    name: String,
    run: Box<dyn FnMut(usize) -> Result<Taken> + 'a>,
}

impl<'a> Arm<'a> {
    pub fn new(name: impl Into<String>, run: impl FnMut(usize) -> Result<Taken> + 'a) -> Arm<'a> {
        Arm { name: name.into(), run: Box::new(run) }
    }
}

/// Runs sections, and keeps what they give.
pub struct Runner {
    pub rounds: usize,
    pub sections: Vec<Section>,
    pub facts: Vec<String>,
    progress: ProgressBar,
}

impl Runner {
    pub fn new(rounds: usize) -> Runner {
        let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {msg}");
        let progress = ProgressBar::new(0).with_style(style.expect("the template is well-formed"));
        progress.enable_steady_tick(std::time::Duration::from_millis(500));
        Runner { rounds, sections: Vec::new(), facts: Vec::new(), progress }
    }

    /// Runs all arms in each round, another one first each time.
    pub fn section(&mut self, name: &str, title: &str, mut arms: Vec<Arm<'_>>) -> Result<()> {
        let count = arms.len();
        self.progress.inc_length((count * self.rounds) as u64);
        let mut figures: Vec<ArmFigures> =
            arms.iter().map(|arm| ArmFigures { name: arm.name.clone(), measures: Vec::new() }).collect();
        for round in 0..self.rounds {
            let mut digests = Vec::new();
            for turn in 0..count {
                let index = (round + turn) % count;
                self.progress.set_message(format!("{name}: {}", arms[index].name));
                let taken =
                    (arms[index].run)(round).with_context(|| format!("{name}: {}", arms[index].name))?;
                figures[index].add(&taken);
                digests.extend(taken.digest);
                self.progress.inc(1);
            }
            ensure!(
                digests.windows(2).all(|pair| pair[0] == pair[1]),
                "{name}: the arms read different things"
            );
        }
        self.sections.push(Section { name: name.to_owned(), title: title.to_owned(), arms: figures });
        Ok(())
    }

    pub fn finish(self, machine: Machine, load: f64, mebibytes: u64) -> Report {
        self.progress.finish_and_clear();
        Report { machine, load, mebibytes, sections: self.sections, facts: self.facts }
    }
}

impl ArmFigures {
    fn add(&mut self, taken: &Taken) {
        for &(name, unit, value) in &taken.values {
            match self.measures.iter_mut().find(|measure| measure.name == name) {
                Some(measure) => measure.samples.push(value),
                None => self.measures.push(Measure { name: name.to_owned(), unit, samples: vec![value] }),
            }
        }
    }

    fn measure(&self, name: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}

impl Measure {
    pub fn median(&self) -> f64 {
        Data::new(self.samples.clone()).median()
    }

    /// The median, and half the distance between the quartiles where it is a time.
    fn display(&self) -> String {
        let mut data = Data::new(self.samples.clone());
        let half = (data.upper_quartile() - data.lower_quartile()) / 2.0;
        match self.unit {
            Unit::Nanoseconds => format!("{} ±{:.0}%", self.shown(), half / self.median() * 100.0),
            Unit::Bytes | Unit::Count => self.shown(),
        }
    }

    /// The median alone.
    pub fn shown(&self) -> String {
        let median = self.median();
        match self.unit {
            Unit::Nanoseconds => duration(median),
            Unit::Bytes if median >= f64::from(1 << 20) => format!("{:.1} MiB", median / f64::from(1 << 20)),
            Unit::Bytes if median >= 1024.0 => format!("{:.1} KiB", median / 1024.0),
            Unit::Bytes => format!("{median:.0} B"),
            Unit::Count if median >= 100.0 || median == 0.0 => format!("{median:.0}"),
            Unit::Count => format!("{median:.3}"),
        }
    }

    /// How many times as much as `other`: the median over the rounds of the ratio within a round.
    pub fn ratio_to(&self, other: &Measure) -> f64 {
        self.ratios_to(other).median()
    }

    /// The quartiles of that ratio.
    pub fn quartiles_of_ratio_to(&self, other: &Measure) -> (f64, f64) {
        let mut ratios = self.ratios_to(other);
        (ratios.lower_quartile(), ratios.upper_quartile())
    }

    fn ratios_to(&self, other: &Measure) -> Data<Vec<f64>> {
        Data::new(self.samples.iter().zip(&other.samples).map(|(one, other)| one / other).collect())
    }
}

impl Section {
    /// Arms below each other, measures beside each other, and the ratio of the first measure to the first arm's.
    pub fn table(&self, markdown: bool) -> Table {
        let mut table = Table::new();
        table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
        let mut names: Vec<&str> = Vec::new();
        for measure in self.arms.iter().flat_map(|arm| &arm.measures) {
            if !names.contains(&measure.name.as_str()) {
                names.push(&measure.name);
            }
        }
        let mut header = vec![String::new()];
        header.extend(names.iter().map(|&name| name.to_owned()));
        header.insert(2.min(header.len()), "to the first".into());
        table.set_header(header);
        let first = self.arms.first().and_then(|arm| arm.measures.first());
        for arm in &self.arms {
            let mut cells = vec![arm.name.clone()];
            cells.extend(names.iter().map(|name| arm.measure(name).map_or("-".into(), Measure::display)));
            let ratio = arm.measures.first().zip(first).map(|(one, first)| one.ratio_to(first));
            let ratio = ratio.filter(|ratio| ratio.is_finite());
            cells.insert(2.min(cells.len()), ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")));
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

impl Report {
    pub fn read(file: &Path) -> Result<Report> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a report", file.display()))
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string(self)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// What an arm of a section gave in one respect.
    pub fn find(&self, section: &str, arm: &str, measure: &str) -> Option<&Measure> {
        let section = self.sections.iter().find(|of| of.name == section)?;
        section.arms.iter().find(|of| of.name == arm)?.measure(measure)
    }
}
