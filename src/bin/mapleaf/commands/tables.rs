//! `tables`: which tables there are.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::escape::escape;
use crate::open::open_read_only;
use crate::outcome::{Answer, Failure};
use crate::table_types::{TableTypes, kind_name};

/// Lists the tables: entries, depth of the tree, types of keys and values, whether it is a multimap table, name.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf tables app.mapleaf
  mapleaf tables --json app.mapleaf | jq -r .table")]
pub(crate) struct Tables {
    /// The database.
    file: PathBuf,
    /// Print a line of JSON for each table.
    #[arg(long)]
    json: bool,
}

impl Tables {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let mut out = stdout().lock();
        for table in open_read_only(&self.file)?.read()?.tables()? {
            if self.json {
                let line = json!({
                    "table": table.name, "key_type": table.key_type, "value_type": table.value_type,
                    "kind": kind_name(table.kind), "entries": table.entries, "depth": table.depth,
                });
                writeln!(out, "{line}")?;
            } else {
                let types = escape(TableTypes::from(&table).to_string().as_bytes());
                let name = escape(table.name.as_bytes());
                writeln!(out, "{:>12} {:>2}  {types:<24} {name}", table.entries, table.depth)?;
            }
        }
        Ok(Answer::Done)
    }
}
