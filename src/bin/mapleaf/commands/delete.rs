//! `delete`: entries out of a table, by key or by range.

use std::path::PathBuf;

use clap::Args;
use mapleaf::admin;

use crate::human::entries_text;
use crate::interrupt::on_interrupt;
use crate::key_range::RangeArgs;
use crate::notation::{Form, Notation};
use crate::open::{find_table_to_change, open_existing};
use crate::outcome::{Answer, Failure, wrong};
use crate::types::Role;

/// Removes entries, by key or by range, in one durable transaction. The exit code is 1 if none of them was there.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf delete app.mapleaf users ada bob
  mapleaf delete --prefix tmp/ app.mapleaf files
  mapleaf delete --from 100 --to 200 app.mapleaf hits")]
pub(crate) struct Delete {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    /// The keys.
    #[arg(allow_hyphen_values = true)]
    keys: Vec<String>,
    #[command(flatten)]
    range: RangeArgs,
    /// How keys are given.
    #[arg(long = "as", value_enum, default_value_t = Form::Typed)]
    form: Form,
}

impl Delete {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        if self.keys.is_empty() == self.range.is_all() {
            return Err(wrong("give keys or a range (--from, --to, --prefix): one of the two"));
        }
        on_interrupt(": nothing was changed");
        let db = open_existing(&self.file)?;
        let tx = db.write()?;
        let notation = Notation::new(self.form, &find_table_to_change(&tx, &self.table)?);
        let mut table = admin::raw_table_mut(&tx, &self.table)?;
        let mut removed = 0;
        for key in &self.keys {
            removed += u64::from(table.remove(&notation.read(key.as_bytes(), Role::Key)?)?);
        }
        if self.keys.is_empty() {
            removed = table.remove_range(self.range.bounds(&notation)?)?;
        }
        drop(table);
        tx.commit()?;
        eprintln!("{} removed", entries_text(removed));
        Ok(if removed > 0 { Answer::Done } else { Answer::No })
    }
}
