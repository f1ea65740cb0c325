//! `salvage`: what can be read of a damaged database, in a new one.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::SalvageOptions;
use serde_json::{Value, json};

use crate::human::parse_page_size;
use crate::interrupt::on_interrupt;
use crate::outcome::{Answer, Failure};
use crate::problems::problems_json;
use crate::staging::create_file;

/// Rescues what can be read of a damaged database into a new one, and lists what was lost; the exit code is 1 if
/// anything was. The damaged file is only read.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf salvage damaged.mapleaf rescued.mapleaf
  mapleaf salvage --page-size 16384 damaged.mapleaf rescued.mapleaf     if even the meta pages are lost")]
pub(crate) struct Salvage {
    /// The damaged database.
    file: PathBuf,
    /// The new database.
    new_file: PathBuf,
    /// Bytes in a page of the damaged file, if no meta page has it any more.
    #[arg(long, value_parser = parse_page_size)]
    page_size: Option<usize>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Salvage {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        on_interrupt(": there is no new database");
        let mut options = SalvageOptions::default();
        if let Some(size) = self.page_size {
            options = options.page_size(size);
        }
        let report = create_file(&self.new_file, |place| mapleaf::salvage_with(&self.file, place, &options))?;
        let mut out = stdout().lock();
        if self.json {
            let tables: Vec<Value> = report.tables.iter().map(|table| {
                json!({ "table": table.name, "entries": table.entries, "expected": table.expected })
            }).collect();
            let line = json!({
                "complete": report.is_complete(), "tables": tables,
                "lost_values": report.lost_entries().len() as u64 + report.more_lost_entries(),
                "damaged_pages": report.damaged_pages, "problems": problems_json(report.problems()),
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{report}")?;
        }
        Ok(if report.is_complete() { Answer::Done } else { Answer::No })
    }
}
