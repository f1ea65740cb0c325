//! `put`: one entry into a table.

use std::io::{ErrorKind, Read, stdin};
use std::path::{Path, PathBuf};

use clap::Args;
use mapleaf::{Db, Error, TableInfo, TableKind, WriteTxn, admin};

use crate::interrupt::on_interrupt;
use crate::notation::{Form, Notation};
use crate::open::no_table;
use crate::outcome::{Answer, Failure, file_failure, wrong};
use crate::pairs::before_value;
use crate::staging::create_file;
use crate::table_types::TableTypes;
use crate::types::Role;

/// Puts an entry into a table, durably. It replaces an entry with the same key; in a multimap table it adds a value to
/// those of the key.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf put app.mapleaf users ada 'born 1815'
  mapleaf put app.mapleaf pictures logo < logo.png
  mapleaf put --create u64,str app.mapleaf names 7 ada     creates the table, and the file, if they do not exist
  mapleaf put --create str,u64 --multimap app.mapleaf tags rust 7")]
pub(crate) struct Put {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    /// The key.
    #[arg(allow_hyphen_values = true)]
    key: String,
    /// The value; without it, all of standard input, as the stored bytes.
    #[arg(allow_hyphen_values = true)]
    value: Option<String>,
    /// How key and value are given.
    #[arg(long = "as", value_enum, default_value_t = Form::Typed)]
    form: Form,
    /// Create the table, with keys and values of these types, if it does not exist; and the file.
    #[arg(long, value_name = "KEY_TYPE,VALUE_TYPE")]
    create: Option<TableTypes>,
    /// Create it as a multimap table, whose keys have any number of values.
    #[arg(long, requires = "create")]
    multimap: bool,
}

/// What is said of a table or file that does not exist.
const CREATE_HINT: &str = "--create KEY_TYPE,VALUE_TYPE creates it, for instance --create str,str";

impl Put {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        on_interrupt(": nothing was changed");
        // A new file has no name until the entry is in it: a wrong key or value leaves none.
        match self.create.is_some() && self.file.symlink_metadata().is_err() {
            true => create_file(&self.file, |staged| self.put_into(staged)),
            false => self.put_into(&self.file),
        }
    }

    fn put_into(&self, file: &Path) -> Result<Answer, Failure> {
        let db = self.open(file)?;
        let tx = db.write()?;
        let table = self.find_or_create_table(&tx)?;
        let notation = Notation::new(self.form, &table);
        let key = notation.read(self.key.as_bytes(), Role::Key)?;
        let value = match &self.value {
            Some(word) => notation.read(word.as_bytes(), Role::Value)?,
            None => {
                let mut bytes = Vec::new();
                stdin().lock().read_to_end(&mut bytes).map_err(file_failure("read", "standard input"))?;
                bytes
            }
        };
        match table.kind {
            TableKind::Multimap => {
                let key = before_value(notation.key_type(), &key)?;
                admin::raw_multimap_mut(&tx, &self.table)?.insert(&key, &value)?;
            }
            _ => drop(admin::raw_table_mut(&tx, &self.table)?.insert(&key, &value)?),
        }
        tx.commit()?;
        Ok(Answer::Done)
    }

    fn open(&self, file: &Path) -> Result<Db, Failure> {
        match Db::options().create(self.create.is_some()).open(file) {
            Err(error @ Error::Io { .. }) if is_not_found(&error) && self.create.is_none() => {
                let failure = Failure::from(error);
                Err(Failure { message: format!("{}; {CREATE_HINT}", failure.message), ..failure })
            }
            other => Ok(other?),
        }
    }

    fn find_or_create_table(&self, tx: &WriteTxn) -> Result<TableInfo, Failure> {
        let tables = tx.tables()?;
        let found = tables.iter().find(|table| table.name == self.table);
        let wanted = self.create.clone().map(|types| TableTypes { is_multimap: self.multimap, ..types });
        match (found, &wanted) {
            (Some(table), Some(wanted)) if TableTypes::from(table) != *wanted => Err(wrong(format!(
                "table {:?} exists, of {}, not of {wanted}: leave --create out",
                self.table,
                TableTypes::from(table)
            ))),
            (Some(table), _) => Ok(table.clone()),
            (None, Some(types)) => {
                types.create(tx, &self.table)?;
                let created = tx.tables()?.into_iter().find(|table| table.name == self.table);
                created.ok_or_else(|| wrong("the table was not created"))
            }
            (None, None) => {
                let names: Vec<String> = tables.into_iter().map(|table| table.name).collect();
                let failure = no_table(&self.table, &names);
                Err(Failure { message: format!("{}; {CREATE_HINT}", failure.message), ..failure })
            }
        }
    }
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}
