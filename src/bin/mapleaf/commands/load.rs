//! `load`: what `dump`, `mdb_dump` or another program has written, into tables.
//!
//! All of it is one transaction, committed when the input has come to its end: after an error, or an interruption,
//! nothing was loaded (unless `--commit-every` asked for less). Entries are put in many at a time, so that input in any
//! order is sorted before it goes into the trees.

use std::fs::File;
use std::io::{BufReader, stdin};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mapleaf::{Db, WriteTxn};
use serde_json::Value;

use crate::exchange::format::{Format, Unsuitable};
use crate::exchange::input_lines::InputLines;
use crate::exchange::lmdb::{self, Header};
use crate::exchange::pairs::{PAIR_TYPES, join_pair};
use crate::human::{bytes, count, rate};
use crate::interrupt::on_interrupt;
use crate::notation::split_types;
use crate::outcome::{Answer, Failure, file_failure, wrong};
use crate::progress::Progress;
use crate::staging::create_file;
use crate::types::{Role, Type};

/// Entries are put into tables when they take so many bytes.
const RUN_BYTES: usize = 128 << 20;

/// What to do with an LMDB table in which a key has several values (DUPSORT).
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Duplicates {
    /// Load nothing.
    Refuse,
    /// Keep them all: a table of type (bytes,bytes) to (), whose keys are the pairs.
    Pairs,
    /// Keep the first value of each key.
    First,
    /// Keep the last value of each key.
    Last,
}

/// What to do if a table is there already.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Existing {
    /// Load nothing.
    Refuse,
    /// Put entries in; one with the same key is replaced.
    Merge,
    /// Remove all that was in it first.
    Replace,
}

/// Puts tables that were dumped as text into a database, which is created if it is not there: all or nothing.
#[derive(Args)]
#[command(after_help = "Examples:
  mdb_dump -a old.lmdb | mapleaf load app.mapleaf                    from LMDB (-n old.lmdb if it is a file)
  mdb_dump old.lmdb | mapleaf load --table users app.mapleaf         the main table of an LMDB file
  mapleaf dump --types app.mapleaf | mapleaf load other.mapleaf
  mapleaf load --table users --types str,str app.mapleaf users.tsv

Of several lines with the same key the last counts. Bytes from LMDB are stored as they are, whatever --types says.")]
pub(crate) struct Load {
    /// The database.
    file: PathBuf,
    /// What to read; without it, standard input.
    input: Option<PathBuf>,
    /// Without it, what the input begins with decides.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The table for entries of which the input does not say it. LMDB's main table is "main" without it.
    #[arg(long)]
    table: Option<String>,
    /// Types of the keys and values of new tables, if the input does not say them; otherwise bytes,bytes.
    #[arg(long, value_name = "KEY_TYPE,VALUE_TYPE")]
    types: Option<String>,
    /// In tab-separated lines: backslashes mean themselves.
    #[arg(long)]
    raw: bool,
    /// What to do with a table that is there already.
    #[arg(long, value_enum, default_value_t = Existing::Refuse)]
    existing: Existing,
    /// What to do with an LMDB table in which a key has several values (DUPSORT).
    #[arg(long, value_enum, default_value_t = Duplicates::Refuse)]
    duplicates: Duplicates,
    /// Entries whose key is too long for this database: half a page less 64 bytes.
    #[arg(long, value_enum, default_value_t = Unsuitable::Refuse)]
    unsuitable: Unsuitable,
    /// Commit whenever so many entries have been loaded: what was committed stays, whatever comes later.
    #[arg(long, value_name = "ENTRIES")]
    commit_every: Option<u64>,
    /// Bytes in a page, if the file is created.
    #[arg(long)]
    page_size: Option<usize>,
}

impl Load {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        if self.unsuitable == Unsuitable::Keep {
            return Err(wrong("--unsuitable keep: this database cannot hold them"));
        }
        let types = self.types.as_deref().map(split_types).transpose()?;
        let mut lines = self.open_input()?;
        let format = match self.format {
            Some(format) => format,
            None => {
                guess(lines.beginning()?).ok_or_else(|| wrong("the input is empty: nothing was loaded"))?
            }
        };
        on_interrupt(match self.commit_every {
            None => ": nothing was loaded",
            Some(_) => ": what was committed stays",
        });
        // A new file has no name until all is in it: so nobody else puts anything into it that an error would remove.
        let loaded = match self.commit_every.is_none() && self.file.symlink_metadata().is_err() {
            true => create_file(&self.file, |place| self.load(place, format, &mut lines, types)),
            false => self.load(&self.file, format, &mut lines, types),
        };
        eprintln!("{}", loaded?);
        Ok(Answer::Done)
    }

    /// Loads all of the input. Answers what is to be said of it.
    fn load(
        &self,
        file: &Path,
        format: Format,
        lines: &mut InputLines,
        types: Option<(&str, &str)>,
    ) -> Result<String, Failure> {
        let mut options = Db::options();
        if let Some(size) = self.page_size.filter(|_| !file.exists()) {
            options = options.page_size(size);
        }
        let db = options.open(file)?;
        let mut sink = Sink::new(self, &db)?;
        let loaded = match format {
            Format::Lmdb => self.load_lmdb(lines, &mut sink, types),
            Format::Tsv => self.load_tsv(lines, &mut sink, types),
            Format::Json => self.load_json(lines, &mut sink, types),
        };
        let committed = sink.committed;
        loaded.and_then(|()| sink.finish(lines.bytes)).map_err(|failure| {
            let what_stays = match self.commit_every {
                None => "nothing was loaded".to_owned(),
                Some(_) => format!("{} entries before that stay loaded", count(committed)),
            };
            Failure { message: format!("{}; {what_stays}", failure.message), ..failure }
        })
    }

    fn open_input(&self) -> Result<InputLines, Failure> {
        match self.input.as_deref().filter(|path| *path != Path::new("-")) {
            None => Ok(InputLines::new(
                Box::new(BufReader::with_capacity(1 << 16, stdin())),
                "standard input".into(),
            )),
            Some(path) => {
                let file = File::open(path).map_err(file_failure("open", path.display()))?;
                Ok(InputLines::new(
                    Box::new(BufReader::with_capacity(1 << 16, file)),
                    path.display().to_string(),
                ))
            }
        }
    }

    fn load_lmdb(
        &self,
        lines: &mut InputLines,
        sink: &mut Sink<'_>,
        types: Option<(&str, &str)>,
    ) -> Result<(), Failure> {
        while let Some(header) = lmdb::read_header(lines)? {
            let name = header.name.clone().or_else(|| self.table.clone()).unwrap_or_else(|| "main".into());
            let named = header.types.as_deref().map(split_types).transpose();
            let named = named.map_err(|failure| lines.wrong(failure.message))?;
            self.look_at(&header, &name, lines)?;
            let keeps_pairs = header.has_duplicates && self.duplicates == Duplicates::Pairs;
            let types = if keeps_pairs { Some(PAIR_TYPES) } else { named.or(types) };
            sink.begin_table(&name, types)?;
            let mut previous: Option<Vec<u8>> = None;
            while let Some((key, value)) = lmdb::read_entry(lines, header.is_print)? {
                if keeps_pairs {
                    sink.push(join_pair(&key, &value), Vec::new(), lines)?;
                    continue;
                }
                let is_another = previous.as_ref() != Some(&key);
                if header.has_duplicates && self.duplicates == Duplicates::First {
                    previous = Some(key.clone());
                    if !is_another {
                        continue;
                    }
                }
                sink.push(key, value, lines)?;
            }
        }
        Ok(())
    }

    /// What the header says that mapleaf does not do in the same way.
    fn look_at(&self, header: &Header, name: &str, lines: &InputLines) -> Result<(), Failure> {
        if header.has_duplicates && self.duplicates == Duplicates::Refuse {
            return Err(lines.wrong(format!(
                "table {name:?} has several values for a key (DUPSORT): choose with --duplicates pairs, first or last"
            )));
        }
        if !header.other_order.is_empty() {
            eprintln!(
                "table {name:?} has {} in LMDB; here keys are in the order of bytes",
                header.other_order.join(", ")
            );
        }
        Ok(())
    }

    fn load_tsv(
        &self,
        lines: &mut InputLines,
        sink: &mut Sink<'_>,
        types: Option<(&str, &str)>,
    ) -> Result<(), Failure> {
        let table = self
            .table
            .as_deref()
            .ok_or_else(|| wrong("tab-separated lines do not say their table: --table"))?;
        let (key_type, value_type) = sink.begin_table(table, types)?;
        loop {
            let Some(line) = lines.next()? else { return Ok(()) };
            let entry = match line.iter().position(|&byte| byte == b'\t') {
                None => Err("no tabulator between key and value".to_owned()),
                Some(at) => {
                    let read = |of: &Type, text: &[u8], role| match self.raw {
                        true => of.encode_word(text, role),
                        false => of.encode_escaped(text, role),
                    };
                    read(&key_type, &line[..at], Role::Key)
                        .and_then(|key| Ok((key, read(&value_type, &line[at + 1..], Role::Value)?)))
                }
            };
            let (key, value) = entry.map_err(|problem| lines.wrong(problem))?;
            sink.push(key, value, lines)?;
        }
    }

    fn load_json(
        &self,
        lines: &mut InputLines,
        sink: &mut Sink<'_>,
        types: Option<(&str, &str)>,
    ) -> Result<(), Failure> {
        let mut current: Option<(String, Type, Type)> = None;
        loop {
            let Some(line) = lines.next()? else { return Ok(()) };
            let line: Value = serde_json::from_slice(line).map_err(|error| lines.wrong(error))?;
            let text = |name: &str| line.get(name).and_then(Value::as_str);
            let name = text("table").or(self.table.as_deref());
            let name = name.ok_or_else(|| lines.wrong("no \"table\", and no --table"))?;
            let header = text("key_type").zip(text("value_type"));
            let is_header = header.is_some() && line.get("key").is_none();
            let (_, key_type, value_type) = match &mut current {
                Some(table) if table.0 == name && !is_header => table,
                other => {
                    let (key_type, value_type) = sink.begin_table(name, header.or(types))?;
                    other.insert((name.to_owned(), key_type, value_type))
                }
            };
            if is_header {
                continue;
            }
            let part = |name: &str| line.get(name).ok_or_else(|| lines.wrong(format!("no {name:?}")));
            let key = key_type.encode(part("key")?, Role::Key).map_err(|problem| lines.wrong(problem))?;
            let value =
                value_type.encode(part("value")?, Role::Value).map_err(|problem| lines.wrong(problem))?;
            sink.push(key, value, lines)?;
        }
    }
}

/// `None` if there is nothing: a program that should have written it may have failed.
fn guess(beginning: &[u8]) -> Option<Format> {
    match beginning {
        [] => None,
        [b'{', ..] => Some(Format::Json),
        _ if beginning.starts_with(b"VERSION=") => Some(Format::Lmdb),
        _ => Some(Format::Tsv),
    }
}

/// Where entries go.
struct Sink<'a> {
    load: &'a Load,
    db: &'a Db,
    tx: Option<WriteTxn>,
    /// The table that is being loaded, and those that have been.
    tables: Vec<String>,
    run: Vec<(Vec<u8>, Vec<u8>)>,
    run_bytes: usize,
    max_key_len: usize,
    loaded: u64,
    skipped: u64,
    committed: u64,
    progress: Progress,
}

impl<'a> Sink<'a> {
    fn new(load: &'a Load, db: &'a Db) -> Result<Sink<'a>, Failure> {
        Ok(Sink {
            load,
            db,
            tx: Some(db.write()?),
            tables: Vec::new(),
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

    /// What comes next goes into this table, which is created if it is not there. Answers its types.
    fn begin_table(&mut self, name: &str, types: Option<(&str, &str)>) -> Result<(Type, Type), Failure> {
        self.store_run()?;
        let known = self.tx()?.tables()?.into_iter().find(|table| table.name == name);
        let is_ours = self.tables.iter().any(|other| other == name);
        let (key_type, value_type) = match &known {
            Some(table) if !is_ours && self.load.existing == Existing::Refuse => {
                return Err(wrong(format!(
                    "there is a table {:?} already: choose with --existing merge or replace",
                    table.name
                )));
            }
            Some(table) => {
                if !is_ours && self.load.existing == Existing::Replace {
                    self.tx()?.raw_table(name)?.clear()?;
                }
                let found = (table.key_type.as_str(), table.value_type.as_str());
                if let Some(wanted) = types.filter(|wanted| *wanted != found) {
                    let (wanted, found) =
                        (format!("{} to {}", wanted.0, wanted.1), format!("{} to {}", found.0, found.1));
                    return Err(wrong(format!("table {name:?} is of type {found}, the input of {wanted}")));
                }
                found
            }
            None => {
                let types = types.unwrap_or(("bytes", "bytes"));
                self.tx()?.create_table(name, types.0, types.1)?;
                types
            }
        };
        let types = (Type::parse(key_type), Type::parse(value_type));
        self.tables.retain(|other| other != name);
        self.tables.push(name.to_owned());
        Ok(types)
    }

    fn push(&mut self, key: Vec<u8>, value: Vec<u8>, lines: &InputLines) -> Result<(), Failure> {
        if key.len() > self.max_key_len {
            let problem = format!("a key of {} bytes, {} at most can be", key.len(), self.max_key_len);
            if self.load.unsuitable == Unsuitable::Refuse {
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
        if self.load.commit_every.is_some_and(|every| self.loaded - self.committed >= every) {
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

    /// Puts the entries so far into the table. Of equal keys the last one stays.
    fn store_run(&mut self) -> Result<(), Failure> {
        let run = std::mem::take(&mut self.run);
        self.run_bytes = 0;
        let Some(name) = self.tables.last() else { return Ok(()) };
        self.tx()?.raw_table(name)?.insert_many(run)?;
        Ok(())
    }

    /// Makes all of it durable. Answers how much it was.
    fn finish(mut self, input_bytes: u64) -> Result<String, Failure> {
        self.store_run()?;
        if let Some(tx) = self.tx.take() {
            tx.commit()?;
        }
        let time = self.progress.finish();
        let skipped =
            if self.skipped > 0 { format!(", {} left out", count(self.skipped)) } else { String::new() };
        Ok(format!(
            "{} entries{skipped}, tables: {}, {} of text, in {:.1} s: {} entries a second",
            count(self.loaded),
            self.tables.len(),
            bytes(input_bytes),
            time.as_secs_f64(),
            count(rate(self.loaded, time))
        ))
    }
}
