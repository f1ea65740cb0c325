//! Puts entries into tables: in one transaction, or in several of a given size.
//!
//! Entries are put in many at a time, so that input in any order is sorted before it goes into the trees.

use clap::ValueEnum;
use mapleaf::{Db, Error, WriteTxn, admin};

use crate::exchange::input_lines::InputLines;
use crate::human::{bytes, count, entries_text, rate};
use crate::outcome::{Failure, wrong};
use crate::pairs::before_value;
use crate::progress::Progress;
use crate::table_types::TableTypes;
use crate::types::{Role, Type};

/// Entries are collected until they take this many bytes, and then put into their table.
const RUN_BYTES: usize = 128 << 20;

/// What to do if a table exists already.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Existing {
    /// Load nothing.
    Refuse,
    /// Put entries in; one with the same key is replaced.
    Merge,
    /// Remove all that was in it first.
    Replace,
}

/// How entries are put into tables.
#[derive(Clone, Copy)]
pub(crate) struct LoadOptions {
    pub(crate) existing: Existing,
    /// Whether entries that do not fit are left out; else they end the load.
    pub(crate) skips_unsuitable: bool,
    /// Commits whenever this many entries have been loaded; else once, at the end.
    pub(crate) commit_every: Option<u64>,
}

/// Puts entries into the tables of a database.
pub(crate) struct Loader<'a> {
    options: LoadOptions,
    db: &'a Db,
    tx: Option<WriteTxn>,
    /// The table that is being loaded, and those that have been.
    tables: Vec<String>,
    /// The type of the keys, if the table is a multimap table.
    multimap_key: Option<Type>,
    run: Vec<(Vec<u8>, Vec<u8>)>,
    run_bytes: usize,
    max_key_len: usize,
    loaded: u64,
    skipped: u64,
    committed: u64,
    progress: Progress,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(db: &'a Db, options: LoadOptions) -> Result<Loader<'a>, Failure> {
        Ok(Loader {
            options,
            db,
            tx: Some(db.write()?),
            tables: Vec::new(),
            multimap_key: None,
            run: Vec::new(),
            run_bytes: 0,
            max_key_len: db.max_key_len(),
            loaded: 0,
            skipped: 0,
            committed: 0,
            progress: Progress::new(0, "entries"),
        })
    }

    fn tx(&self) -> Result<&WriteTxn, Failure> {
        self.tx.as_ref().ok_or_else(|| wrong("the transaction has ended"))
    }

    /// The entries that follow go into this table, which is created if it does not exist. Returns its types, and the
    /// role of its values.
    pub(crate) fn begin_table(
        &mut self,
        name: &str,
        types: Option<&TableTypes>,
    ) -> Result<(Type, Type, Role), Failure> {
        self.store_run()?;
        let known = self.tx()?.tables()?.into_iter().find(|table| table.name == name);
        let is_ours = self.tables.iter().any(|other| other == name);
        let types = match &known {
            Some(_) if !is_ours && self.options.existing == Existing::Refuse => {
                return Err(wrong(format!(
                    "there is already a table {name:?}; choose --existing merge or --existing replace"
                )));
            }
            Some(table) => {
                let found = TableTypes::from(table);
                if let Some(wanted) = types.filter(|wanted| **wanted != found) {
                    return Err(wrong(format!("table {name:?} is of {found}, the input of {wanted}")));
                }
                if !is_ours && self.options.existing == Existing::Replace {
                    match found.is_multimap {
                        true => admin::raw_multimap_mut(self.tx()?, name)?.clear()?,
                        false => admin::raw_table_mut(self.tx()?, name)?.clear()?,
                    };
                }
                found
            }
            None => {
                let types = types.cloned().unwrap_or_else(|| TableTypes::new("bytes", "bytes"));
                types.create(self.tx()?, name)?;
                types
            }
        };
        let key_type = Type::of_name(&types.key);
        self.multimap_key = types.is_multimap.then(|| key_type.clone());
        let value_role = if types.is_multimap { Role::Key } else { Role::Value };
        let types = (key_type, Type::of_name(&types.value), value_role);
        self.tables.retain(|other| other != name);
        self.tables.push(name.to_owned());
        Ok(types)
    }

    pub(crate) fn push(&mut self, key: Vec<u8>, value: Vec<u8>, lines: &InputLines) -> Result<(), Failure> {
        let (key, length, what) = match &self.multimap_key {
            None => {
                let length = key.len();
                (key, length, "a key")
            }
            Some(key_type) => {
                let key = before_value(key_type, &key).map_err(|failure| lines.wrong(failure.message))?;
                let length = 1 + key.len() + value.len();
                (key, length, "a key and a value")
            }
        };
        if length > self.max_key_len {
            let problem =
                format!("{what} of {length} bytes, more than the {} that it can have", self.max_key_len);
            if !self.options.skips_unsuitable {
                return Err(lines
                    .wrong(problem + " (larger pages hold longer ones; --unsuitable skip leaves it out)"));
            }
            eprintln!("line {}: {problem}: left out", lines.number());
            self.skipped += 1;
            return Ok(());
        }
        self.run_bytes += key.len() + value.len() + size_of::<(Vec<u8>, Vec<u8>)>();
        self.run.push((key, value));
        self.loaded += 1;
        if self.run_bytes >= RUN_BYTES {
            self.store_run()?;
        }
        if self.options.commit_every.is_some_and(|every| self.loaded - self.committed >= every) {
            self.store_run()?;
            if let Some(tx) = self.tx.take() {
                tx.commit()?;
            }
            self.committed = self.loaded;
            self.tx = Some(self.db.write()?);
        }
        if self.loaded.is_multiple_of(1024) {
            self.progress.set(self.loaded);
        }
        Ok(())
    }

    /// How many entries have been committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    /// Puts the entries so far into the table. Of equal keys the last one stays.
    fn store_run(&mut self) -> Result<(), Failure> {
        let run = std::mem::take(&mut self.run);
        self.run_bytes = 0;
        let Some(name) = self.tables.last() else { return Ok(()) };
        match self.multimap_key {
            Some(_) => {
                admin::raw_multimap_mut(self.tx()?, name)?.insert_many::<Error>(run.into_iter().map(Ok))?;
            }
            None => drop(admin::raw_table_mut(self.tx()?, name)?.insert_many(run)?),
        }
        Ok(())
    }

    /// Commits, durably. Returns a summary of what was loaded.
    pub(crate) fn finish(mut self, input_bytes: u64) -> Result<String, Failure> {
        self.store_run()?;
        if let Some(tx) = self.tx.take() {
            tx.commit()?;
        }
        let time = self.progress.finish();
        let skipped =
            if self.skipped > 0 { format!(", {} left out", count(self.skipped)) } else { String::new() };
        Ok(format!(
            "{}{skipped}, tables: {}, {} of text, in {:.1} s: {} entries a second",
            entries_text(self.loaded),
            self.tables.len(),
            bytes(input_bytes),
            time.as_secs_f64(),
            count(rate(self.loaded, time))
        ))
    }
}
