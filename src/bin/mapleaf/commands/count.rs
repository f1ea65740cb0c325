//! `count`: how many entries.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::admin;

use crate::key_range::RangeArgs;
use crate::notation::{Form, Notation};
use crate::open::{find_table, open_read_only};
use crate::outcome::{Answer, Failure};

/// Prints the number of entries: of a whole table at once, of a range by reading the headers of its leaves.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf count app.mapleaf users
  mapleaf count --from a --to b app.mapleaf users
  mapleaf count --estimate --from a --to b app.mapleaf users")]
pub(crate) struct Count {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    #[command(flatten)]
    range: RangeArgs,
    /// How keys are given.
    #[arg(long = "as", value_enum, default_value_t = Form::Typed)]
    form: Form,
    /// Estimates the number of entries in a range by a few dozen pages, whatever its length. It is usually within a
    /// tenth of the truth.
    #[arg(long)]
    estimate: bool,
}

impl Count {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_read_only(&self.file)?;
        let rx = db.read()?;
        let info = find_table(&rx, &self.table)?;
        let count = if self.range.is_all() {
            info.entries
        } else {
            let bounds = self.range.bounds(&Notation::new(self.form, &info))?;
            let table = admin::raw_table(&rx, &self.table)?;
            if self.estimate { table.estimate(bounds)? } else { table.count(bounds)? }
        };
        writeln!(stdout().lock(), "{count}")?;
        Ok(Answer::Done)
    }
}
