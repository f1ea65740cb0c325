//! `scan`: entries in the order of their keys.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::KeyBytes;
use serde_json::json;

use crate::key_range::RangeArgs;
use crate::notation::{Form, Notation};
use crate::open::{find_table, open_read_only, read_at};
use crate::outcome::{Answer, Failure};
use crate::pairs::Entries;
use crate::types::Role;

/// Prints entries in the order of their keys: key, tab, value. Of a multimap table, each value is an entry.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf scan app.mapleaf users
  mapleaf scan --prefix a --limit 10 app.mapleaf users
  mapleaf scan --reverse --limit 1 app.mapleaf hits          the last entry
  mapleaf scan --prefix '[\"home\"]' --json app.mapleaf visits
  mapleaf scan --prefix '[\"home\"]' --from '[\"home\",20260102]' --limit 10 app.mapleaf visits")]
pub(crate) struct Scan {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    #[command(flatten)]
    range: RangeArgs,
    /// Read the snapshot with this name, not the newest state.
    #[arg(long, value_name = "NAME")]
    at: Option<String>,
    /// From the last key to the first.
    #[arg(long)]
    reverse: bool,
    /// At most this many entries.
    #[arg(long)]
    limit: Option<u64>,
    /// Without the values; each key once.
    #[arg(long)]
    keys: bool,
    /// How keys are given, and keys and values shown.
    #[arg(long = "as", value_enum, default_value_t = Form::Typed)]
    form: Form,
    /// Print lines of JSON.
    #[arg(long)]
    json: bool,
}

impl Scan {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_read_only(&self.file)?;
        let rx = read_at(&db, self.at.as_deref())?;
        let table = find_table(&rx, &self.table)?;
        let notation = Notation::new(self.form, &table);
        let mut range = Entries::of(&rx, &table, self.range.bounds(&notation)?)?;
        let mut last_key: Option<KeyBytes> = None;
        let mut out = BufWriter::new(stdout().lock());
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let entry = if self.reverse { range.next_back() } else { range.next() };
            let Some(entry) = entry else { break };
            let (key, value) = entry?;
            if self.keys && last_key.as_ref() == Some(&key) {
                continue;
            }
            match (self.json, self.keys) {
                (false, true) => writeln!(out, "{}", notation.text(&key, Role::Key))?,
                (false, false) => {
                    let (key, value) = (notation.text(&key, Role::Key), notation.text(&value, Role::Value));
                    writeln!(out, "{key}\t{value}")?;
                }
                (true, true) => writeln!(out, "{}", json!({ "key": notation.json(&key, Role::Key) }))?,
                (true, false) => {
                    let (key, value) = (notation.json(&key, Role::Key), notation.json(&value, Role::Value));
                    writeln!(out, "{}", json!({ "key": key, "value": value }))?;
                }
            }
            left -= 1;
            last_key = Some(key);
        }
        out.flush()?;
        Ok(Answer::Done)
    }
}
