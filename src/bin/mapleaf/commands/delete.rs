//! `delete`: entries out of a table, by key or by range.

use std::path::PathBuf;

use clap::Args;
use mapleaf::{TableKind, WriteTxn, admin};

use crate::human::entries_text;
use crate::interrupt::on_interrupt;
use crate::key_range::RangeArgs;
use crate::notation::{Form, Notation};
use crate::open::{find_table_to_change, open_existing};
use crate::outcome::{Answer, Failure, wrong};
use crate::pairs::{before_value, remove_range};
use crate::types::Role;

/// Removes entries, by key or by range, in one durable transaction; of a multimap table all values of a key. The exit
/// code is 1 if none of them was there.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf delete app.mapleaf users ada bob
  mapleaf delete --prefix tmp/ app.mapleaf files
  mapleaf delete --from 100 --to 200 app.mapleaf hits
  mapleaf delete --value 7 app.mapleaf tags rust            one value of a key of a multimap table")]
pub(crate) struct Delete {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    /// The keys.
    #[arg(allow_hyphen_values = true)]
    keys: Vec<String>,
    /// Of a multimap table: only this value of the keys.
    #[arg(long, allow_hyphen_values = true)]
    value: Option<String>,
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
        if self.keys.is_empty() && self.value.is_some() {
            return Err(wrong("--value needs keys"));
        }
        on_interrupt(": nothing was changed");
        let db = open_existing(&self.file)?;
        let tx = db.write()?;
        let info = find_table_to_change(&tx, &self.table)?;
        let notation = Notation::new(self.form, &info);
        let removed = match info.kind {
            TableKind::Multimap => self.remove_pairs(&tx, &notation)?,
            _ => self.remove_entries(&tx, &notation)?,
        };
        tx.commit()?;
        eprintln!("{} removed", entries_text(removed));
        Ok(if removed > 0 { Answer::Done } else { Answer::No })
    }

    fn remove_entries(&self, tx: &WriteTxn, notation: &Notation) -> Result<u64, Failure> {
        if self.value.is_some() {
            return Err(wrong(format!("table {:?} is not a multimap table: leave --value out", self.table)));
        }
        let mut table = admin::raw_table_mut(tx, &self.table)?;
        if self.keys.is_empty() {
            return Ok(table.remove_range(self.range.bounds(notation)?)?);
        }
        let mut removed = 0;
        for key in &self.keys {
            removed += u64::from(table.remove(&notation.read(key.as_bytes(), Role::Key)?)?);
        }
        Ok(removed)
    }

    fn remove_pairs(&self, tx: &WriteTxn, notation: &Notation) -> Result<u64, Failure> {
        let mut table = admin::raw_multimap_mut(tx, &self.table)?;
        if self.keys.is_empty() {
            return remove_range(&mut table, notation.key_type(), self.range.bounds(notation)?);
        }
        let value =
            self.value.as_ref().map(|word| notation.read(word.as_bytes(), Role::Value)).transpose()?;
        let mut removed = 0;
        for key in &self.keys {
            let key = before_value(notation.key_type(), &notation.read(key.as_bytes(), Role::Key)?)?;
            removed += match &value {
                Some(value) => u64::from(table.remove(&key, value)?),
                None => table.remove_all(&key)?,
            };
        }
        Ok(removed)
    }
}
