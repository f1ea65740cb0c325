//! `clear`: all entries out of tables.

use std::path::PathBuf;

use clap::Args;
use mapleaf::{TableKind, admin};

use crate::human::entries_text;
use crate::interrupt::on_interrupt;
use crate::open::{find_table_to_change, open_existing};
use crate::outcome::{Answer, Failure};

/// Removes all entries of tables, in one durable transaction. The tables stay, with their types.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf clear app.mapleaf sessions
  mapleaf delete --prefix tmp/ app.mapleaf files     removes some entries")]
pub(crate) struct Clear {
    /// The database.
    file: PathBuf,
    /// The tables.
    #[arg(required = true)]
    tables: Vec<String>,
}

impl Clear {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        on_interrupt(": nothing was changed");
        let db = open_existing(&self.file)?;
        let tx = db.write()?;
        let mut cleared = Vec::new();
        for name in &self.tables {
            let removed = match find_table_to_change(&tx, name)?.kind {
                TableKind::Multimap => admin::raw_multimap_mut(&tx, name)?.clear()?,
                _ => admin::raw_table_mut(&tx, name)?.clear()?,
            };
            cleared.push(format!("table {name:?} cleared: {} removed", entries_text(removed)));
        }
        tx.commit()?;
        cleared.iter().for_each(|line| eprintln!("{line}"));
        Ok(Answer::Done)
    }
}
