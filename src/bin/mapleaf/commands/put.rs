//! `put`: one entry into a table.

use std::io::{Read, stdin};
use std::path::PathBuf;

use clap::Args;

use crate::interrupt::on_interrupt;
use crate::notation::{Form, Notation, split_types};
use crate::open::{no_table, open_existing};
use crate::outcome::{Answer, Failure, file_failure};
use crate::types::Role;

/// Puts an entry into a table, in place of one with the same key, and makes that durable.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf put app.mapleaf users ada 'born 1815'
  mapleaf put app.mapleaf pictures logo < logo.png
  mapleaf put --create u64,str app.mapleaf names 7 ada     a new table, if need be, and a new file")]
pub(crate) struct Put {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    /// The key.
    #[arg(allow_hyphen_values = true)]
    key: String,
    /// The value; without it, standard input up to its end, as it is stored.
    #[arg(allow_hyphen_values = true)]
    value: Option<String>,
    /// How key and value are given.
    #[arg(long = "as", value_enum, default_value_t = Form::Typed)]
    form: Form,
    /// Create the table if it is not there, with these types of keys and values, and the file too.
    #[arg(long, value_name = "KEY_TYPE,VALUE_TYPE")]
    create: Option<String>,
}

impl Put {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        on_interrupt(": nothing was changed");
        let types = self.create.as_deref().map(split_types).transpose()?;
        let db = match types {
            Some(_) => mapleaf::Db::open(&self.file)?,
            None => open_existing(&self.file)?,
        };
        let tx = db.write()?;
        let mut tables = tx.tables()?;
        if let Some((key_type, value_type)) =
            types.filter(|_| tables.iter().all(|table| table.name != self.table))
        {
            tx.create_table(&self.table, key_type, value_type)?;
            tables = tx.tables()?;
        }
        let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
        let table = tables.iter().find(|table| table.name == self.table);
        let notation = Notation::new(self.form, table.ok_or_else(|| no_table(&self.table, &names))?);
        let key = notation.read(self.key.as_bytes(), Role::Key)?;
        let value = match &self.value {
            Some(word) => notation.read(word.as_bytes(), Role::Value)?,
            None => {
                let mut bytes = Vec::new();
                stdin().lock().read_to_end(&mut bytes).map_err(file_failure("read", "standard input"))?;
                bytes
            }
        };
        tx.raw_table(&self.table)?.insert(&key, &value)?;
        tx.commit()?;
        Ok(Answer::Done)
    }
}
