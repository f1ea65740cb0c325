//! `drop`: tables, out of a database.

use std::path::PathBuf;

use clap::Args;

use crate::human::entries_text;
use crate::interrupt::on_interrupt;
use crate::open::{find_table_to_change, open_existing};
use crate::outcome::{Answer, Failure};

/// Drops tables with all their entries, in one durable transaction.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf drop app.mapleaf drafts
  mapleaf clear app.mapleaf drafts     removes the entries, keeps the table

The file does not become shorter: its pages become free. `mapleaf compact` gives them back.")]
pub(crate) struct Drop {
    /// The database.
    file: PathBuf,
    /// The tables.
    #[arg(required = true)]
    tables: Vec<String>,
}

impl Drop {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        on_interrupt(": nothing was changed");
        let db = open_existing(&self.file)?;
        let tx = db.write()?;
        let mut dropped = Vec::new();
        for name in &self.tables {
            let table = find_table_to_change(&tx, name)?;
            tx.drop_table(name)?;
            dropped.push(format!("table {name:?} dropped, with {}", entries_text(table.entries)));
        }
        tx.commit()?;
        dropped.iter().for_each(|line| eprintln!("{line}"));
        Ok(Answer::Done)
    }
}
