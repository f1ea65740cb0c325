//! `get`: the value of a key.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::{ReadTxn, TableKind, admin};

use crate::notation::{Form, Notation};
use crate::open::{find_table, open_read_only, read_at};
use crate::outcome::{Answer, Failure, wrong};
use crate::pairs::{before_value, range_of_key};
use crate::types::Role;

/// Prints the value of a key; of a multimap table all values, each in a line. The exit code is 1 if the table does not
/// have the key.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf get app.mapleaf users ada
  mapleaf get app.mapleaf visits '[\"home\",20260101]'
  mapleaf get --as hex app.mapleaf visits 686f6d65000001352e45
  mapleaf get --raw app.mapleaf pictures logo > logo.png")]
pub(crate) struct Get {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    /// The key.
    #[arg(allow_hyphen_values = true)]
    key: String,
    /// Read the snapshot with this name, not the newest state.
    #[arg(long, value_name = "NAME")]
    at: Option<String>,
    /// How the key is given and the value shown.
    #[arg(long = "as", value_enum, default_value_t = Form::Typed)]
    form: Form,
    /// Write the stored bytes as they are, without a line end.
    #[arg(long)]
    raw: bool,
    /// Print one line of JSON.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
}

impl Get {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_read_only(&self.file)?;
        let rx = read_at(&db, self.at.as_deref())?;
        let table = find_table(&rx, &self.table)?;
        let notation = Notation::new(self.form, &table);
        let key = notation.read(self.key.as_bytes(), Role::Key)?;
        if table.kind == TableKind::Multimap {
            return self.values(&rx, &notation, &key);
        }
        let Some(value) = admin::raw_table(&rx, &self.table)?.get(&key)? else {
            return Ok(self.no_key());
        };
        let mut out = stdout().lock();
        match (self.raw, self.json) {
            (true, _) => out.write_all(value)?,
            (_, true) => writeln!(out, "{}", notation.json(value, Role::Value))?,
            _ => writeln!(out, "{}", notation.text(value, Role::Value))?,
        }
        out.flush()?;
        Ok(Answer::Done)
    }

    /// Prints all values of a key of a multimap table.
    fn values(&self, rx: &ReadTxn, notation: &Notation, key: &[u8]) -> Result<Answer, Failure> {
        if self.raw {
            return Err(wrong(format!(
                "table {:?} is a multimap table: its values are lines, without --raw",
                self.table
            )));
        }
        let key = before_value(notation.key_type(), key)?;
        let mut out = BufWriter::new(stdout().lock());
        let mut is_there = false;
        for pair in admin::raw_multimap(rx, &self.table)?.pairs(range_of_key(&key)) {
            let pair = pair?;
            let value = &pair[key.len()..];
            match self.json {
                true => writeln!(out, "{}", notation.json(value, Role::Value))?,
                false => writeln!(out, "{}", notation.text(value, Role::Value))?,
            }
            is_there = true;
        }
        out.flush()?;
        Ok(if is_there { Answer::Done } else { self.no_key() })
    }

    fn no_key(&self) -> Answer {
        eprintln!("mapleaf: there is no key {:?} in {:?}", self.key, self.table);
        Answer::No
    }
}
