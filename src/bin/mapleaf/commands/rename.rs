//! `rename`: another name for a table.

use std::path::PathBuf;

use clap::Args;

use crate::interrupt::on_interrupt;
use crate::open::{find_table_to_change, open_existing};
use crate::outcome::{Answer, Failure};

/// Gives a table another name, durably. A table that has that name already is not replaced.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf rename app.mapleaf users people")]
pub(crate) struct Rename {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    /// Its new name.
    new_name: String,
}

impl Rename {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        on_interrupt(": nothing was changed");
        let db = open_existing(&self.file)?;
        let tx = db.write()?;
        find_table_to_change(&tx, &self.table)?;
        tx.rename_table(&self.table, &self.new_name)?;
        tx.commit()?;
        Ok(Answer::Done)
    }
}
