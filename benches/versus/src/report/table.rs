//! The table.

use comfy_table::{CellAlignment, Table, presets};

use super::{Column, Figures, Sheet, Summary};
use crate::compare::rows::{Bar, Unit};
use crate::duration::duration;

impl Sheet {
    pub fn print(&self, markdown: bool) {
        println!("{}; load average up to {:.1}; {} entries", self.machine, self.load, self.entries);
        for column in &self.columns {
            println!("- {}", column.description);
        }
        println!("{}", self.table(markdown));
        println!("Medians of the rounds, half the distance between the quartiles beside them.");
        self.notes.iter().for_each(|note| println!("{note}"));
    }

    /// All rows. Peers stand next to mapleaf, others after the bar, because they do not count for it.
    pub fn table(&self, markdown: bool) -> Table {
        let mut table = Table::new();
        table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
        let others = || self.columns.iter().filter(|column| !column.is_peer && column.name != "mapleaf");
        let counted: Vec<&Column> =
            self.columns.iter().filter(|column| column.is_peer || column.name == "mapleaf").collect();
        let mut header = vec![String::new()];
        header.extend(counted.iter().map(|column| column.name.clone()));
        header.extend(["to the best".into(), "bar".into(), "met".into()]);
        header.extend(others().map(|column| column.name.clone()));
        if others().next().is_some() {
            header.push("to the best of all".into());
        }
        table.set_header(header);
        for figures in &self.rows {
            let cell = |column: &Column| {
                let summary = figures.summary(&column.name);
                summary.map_or("-".into(), |summary| summary.display(figures.row.unit()))
            };
            let mut cells = vec![figures.row.name().to_owned()];
            cells.extend(counted.iter().copied().map(cell));
            cells.extend(figures.verdict(&self.columns));
            cells.extend(others().map(cell));
            if others().next().is_some() {
                let verdict = figures.against(self.columns.iter().filter(|column| column.name != "mapleaf"));
                cells.push(verdict.map_or("-".into(), |verdict| format!("{:.2}", verdict.ratio)));
            }
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

impl Figures {
    /// The ratio, the bar and whether it is met.
    fn verdict(&self, columns: &[Column]) -> [String; 3] {
        let verdict = self.against(columns.iter().filter(|column| column.is_peer));
        let bar = match self.row.bar() {
            Bar::Speed(bar) => format!("{bar:.1}"),
            Bar::Share(bar) => format!("at most {bar:.2}"),
            Bar::None => "-".into(),
        };
        let Some(verdict) = verdict else { return ["-".into(), bar, "-".into()] };
        let is_met = verdict.is_met.map_or("-", |is_met| if is_met { "yes" } else { "no" });
        [format!("{:.2}", verdict.ratio), bar, is_met.into()]
    }
}

impl Summary {
    fn display(&self, unit: Unit) -> String {
        match unit {
            Unit::Nanoseconds => format!("{} ±{:.0}%", duration(self.median), self.spread * 100.0),
            Unit::Bytes => format!("{:.1} MiB", self.median / f64::from(1 << 20)),
        }
    }
}
