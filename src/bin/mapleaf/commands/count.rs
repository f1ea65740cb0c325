//! `count`: how many entries.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::{ReadTxn, TableInfo, TableKind, admin};

use crate::key_range::RangeArgs;
use crate::notation::{Form, Notation};
use crate::open::{find_table, open_read_only};
use crate::outcome::{Answer, Failure, wrong};
use crate::pairs::{Bounds, Entries};

/// Prints the number of entries, or of pairs of a key and a value: of a whole table at once, of a range by reading the
/// headers of its leaves.
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
            if info.kind == TableKind::Multimap {
                return self.count_pairs(&rx, &info, bounds);
            }
            let table = admin::raw_table(&rx, &self.table)?;
            if self.estimate { table.estimate(bounds)? } else { table.count(bounds)? }
        };
        writeln!(stdout().lock(), "{count}")?;
        Ok(Answer::Done)
    }

    fn count_pairs(&self, rx: &ReadTxn, table: &TableInfo, bounds: Bounds) -> Result<Answer, Failure> {
        if self.estimate {
            return Err(wrong("there are no estimates for a multimap table: leave --estimate out"));
        }
        let mut count = 0u64;
        for pair in Entries::of(rx, table, bounds)? {
            pair?;
            count += 1;
        }
        writeln!(stdout().lock(), "{count}")?;
        Ok(Answer::Done)
    }
}
