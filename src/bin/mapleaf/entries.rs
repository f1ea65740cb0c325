//! Commands on entries: `get`, `put`, `delete`, `scan`, `count`.

use std::io::{BufWriter, Read, Write, stdin, stdout};
use std::ops::Bound;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mapleaf::{ReadTxn, TableInfo};
use serde_json::json;

use crate::Answer;
use crate::failure::{Failure, file_failure, no_table, open_to_change, open_to_look, table_names, wrong};
use crate::interrupt::on_interrupt;
use crate::text::{escape, from_hex, to_hex};
use crate::types::{Role, Type};

/// How keys and values are given and shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// As the table's types say: text, numbers, JSON for tuples.
    Typed,
    /// The stored bytes as text; what is not printable with backslashes (given: as it is).
    Text,
    /// The stored bytes as hexadecimal digits.
    Hex,
}

/// A table's types, and how they are written.
pub(crate) struct Notation {
    form: Form,
    key: Type,
    value: Type,
}

impl Notation {
    pub(crate) fn new(form: Form, table: &TableInfo) -> Notation {
        Notation { form, key: Type::parse(&table.key_type), value: Type::parse(&table.value_type) }
    }

    /// Of bytes whose types are not known.
    pub(crate) fn of_bytes(form: Form) -> Notation {
        Notation { form, key: Type::parse("bytes"), value: Type::parse("bytes") }
    }

    fn type_of(&self, role: Role) -> &Type {
        if role == Role::Key { &self.key } else { &self.value }
    }

    fn read(&self, word: &[u8], role: Role) -> Result<Vec<u8>, Failure> {
        let bytes = match self.form {
            Form::Typed => self.type_of(role).encode_word(word, role),
            Form::Text => Ok(word.to_vec()),
            Form::Hex => from_hex(word),
        };
        bytes.map_err(|problem| {
            let what = if role == Role::Key { "key" } else { "value" };
            wrong(format!("{what} {:?}: {problem}", String::from_utf8_lossy(word)))
        })
    }

    fn read_prefix(&self, word: &str) -> Result<Vec<u8>, Failure> {
        let bytes = match self.form {
            Form::Typed => self.key.encode_prefix(word.as_bytes()),
            Form::Text => Ok(word.as_bytes().to_vec()),
            Form::Hex => from_hex(word.as_bytes()),
        };
        bytes.map_err(|problem| wrong(format!("prefix {word:?}: {problem}")))
    }

    pub(crate) fn text(&self, bytes: &[u8], role: Role) -> String {
        match self.form {
            Form::Typed => self.type_of(role).to_text(bytes, role),
            Form::Text => escape(bytes),
            Form::Hex => to_hex(bytes),
        }
    }

    pub(crate) fn json(&self, bytes: &[u8], role: Role) -> serde_json::Value {
        match self.form {
            Form::Typed => self.type_of(role).to_json(bytes, role),
            Form::Text => escape(bytes).into(),
            Form::Hex => to_hex(bytes).into(),
        }
    }
}

/// What the catalog says of a table.
pub(crate) fn find_table(rx: &ReadTxn, name: &str) -> Result<TableInfo, Failure> {
    let found = rx.tables()?.into_iter().find(|table| table.name == name);
    match found {
        Some(table) => Ok(table),
        None => Err(no_table(name, &table_names(rx)?)),
    }
}

/// Which entries.
#[derive(Args)]
pub(crate) struct RangeArgs {
    /// Only keys from this one on.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only keys before this one.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only keys that begin with this; of tuples, the first elements as a JSON array.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["from", "to"])]
    prefix: Option<String>,
}

/// A range of stored keys.
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

impl RangeArgs {
    fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.prefix.is_none()
    }

    fn bounds(&self, notation: &Notation) -> Result<Bounds, Failure> {
        if let Some(prefix) = &self.prefix {
            let prefix = notation.read_prefix(prefix)?;
            return Ok((Bound::Included(prefix.clone()), behind_prefix(prefix)));
        }
        let bound = |word: &Option<String>, make: fn(Vec<u8>) -> Bound<Vec<u8>>| match word {
            Some(word) => notation.read(word.as_bytes(), Role::Key).map(make),
            None => Ok(Bound::Unbounded),
        };
        Ok((bound(&self.from, Bound::Included)?, bound(&self.to, Bound::Excluded)?))
    }
}

/// The end of the keys that begin with `prefix`.
fn behind_prefix(mut prefix: Vec<u8>) -> Bound<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < 0xff {
            prefix.push(last + 1);
            return Bound::Excluded(prefix);
        }
    }
    Bound::Unbounded
}

/// Prints the value of a key. The exit code is 1 if it is not there.
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
    /// How the key is given and the value shown.
    #[arg(long = "as", value_enum, default_value_t = Form::Typed)]
    form: Form,
    /// Write the stored bytes as they are, without a new line.
    #[arg(long)]
    raw: bool,
    /// Answer with one line of JSON.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
}

impl Get {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_to_look(&self.file)?;
        let rx = db.read()?;
        let notation = Notation::new(self.form, &find_table(&rx, &self.table)?);
        let key = notation.read(self.key.as_bytes(), Role::Key)?;
        let Some(value) = rx.raw_table(&self.table)?.get(&key)? else {
            eprintln!("mapleaf: there is no key {:?} in {:?}", self.key, self.table);
            return Ok(Answer::No);
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
}

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
            None => open_to_change(&self.file)?,
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

/// Splits "u64,str" where the first type ends.
pub(crate) fn split_types(types: &str) -> Result<(&str, &str), Failure> {
    let mut depth = 0;
    for (at, character) in types.char_indices() {
        match character {
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth -= 1,
            ',' if depth == 0 => {
                let (key_type, value_type) = (&types[..at], &types[at + 1..]);
                for name in [key_type, value_type] {
                    if Type::parse(name) == Type::Other {
                        return Err(wrong(format!(
                            "{name:?} is no type of mapleaf's; examples: str, bytes, u64, (u64,str)"
                        )));
                    }
                }
                return Ok((key_type, value_type));
            }
            _ => {}
        }
    }
    Err(wrong(format!("{types:?} are not two types with a comma between them, as in u64,str")))
}

/// Removes entries, by key or by range, in one durable transaction. The exit code is 1 if none of them was there.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf delete app.mapleaf users ada bob
  mapleaf delete --prefix tmp/ app.mapleaf files
  mapleaf delete --from 100 --to 200 app.mapleaf hits")]
pub(crate) struct Delete {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    /// The keys.
    #[arg(allow_hyphen_values = true)]
    keys: Vec<String>,
    #[command(flatten)]
    range: RangeArgs,
    /// How keys are given.
    #[arg(long = "as", value_enum, default_value_t = Form::Typed)]
    form: Form,
}

impl Delete {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        if self.keys.is_empty() == self.range.is_all() {
            return Err(wrong("delete wants keys, or a range (--from, --to, --prefix): one of the two"));
        }
        on_interrupt(": nothing was changed");
        let db = open_to_change(&self.file)?;
        let tx = db.write()?;
        let rx = db.read()?;
        let notation = Notation::new(self.form, &find_table(&rx, &self.table)?);
        let mut table = tx.raw_table(&self.table)?;
        let mut removed = 0;
        for key in &self.keys {
            removed += u64::from(table.remove(&notation.read(key.as_bytes(), Role::Key)?)?);
        }
        if self.keys.is_empty() {
            removed = table.delete_range(self.range.bounds(&notation)?)?;
        }
        drop(table);
        tx.commit()?;
        eprintln!("{removed} entries removed");
        Ok(if removed > 0 { Answer::Done } else { Answer::No })
    }
}

/// Prints entries in the order of their keys: key, tabulator, value.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf scan app.mapleaf users
  mapleaf scan --prefix a --limit 10 app.mapleaf users
  mapleaf scan --reverse --limit 1 app.mapleaf hits          the last entry
  mapleaf scan --prefix '[\"home\"]' --json app.mapleaf visits")]
pub(crate) struct Scan {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    #[command(flatten)]
    range: RangeArgs,
    /// From the greatest key to the least.
    #[arg(long)]
    reverse: bool,
    /// So many entries at most.
    #[arg(long)]
    limit: Option<u64>,
    /// Without the values.
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
        let db = open_to_look(&self.file)?;
        let rx = db.read()?;
        let notation = Notation::new(self.form, &find_table(&rx, &self.table)?);
        let mut range = rx.raw_table(&self.table)?.range(self.range.bounds(&notation)?)?;
        let mut out = BufWriter::new(stdout().lock());
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let entry = if self.reverse { range.next_back() } else { range.next() };
            let Some(entry) = entry else { break };
            let (key, value) = entry?;
            match (self.json, self.keys) {
                (false, true) => writeln!(out, "{}", notation.text(&key, Role::Key))?,
                (false, false) => {
                    let (key, value) = (notation.text(&key, Role::Key), notation.text(value, Role::Value));
                    writeln!(out, "{key}\t{value}")?;
                }
                (true, true) => writeln!(out, "{}", json!({ "key": notation.json(&key, Role::Key) }))?,
                (true, false) => {
                    let (key, value) = (notation.json(&key, Role::Key), notation.json(value, Role::Value));
                    writeln!(out, "{}", json!({ "key": key, "value": value }))?;
                }
            }
            left -= 1;
        }
        out.flush()?;
        Ok(Answer::Done)
    }
}

/// Prints the number of entries: of a whole table at once, of a range by reading it.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf count app.mapleaf users
  mapleaf count --from a --to b app.mapleaf users")]
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
}

impl Count {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_to_look(&self.file)?;
        let rx = db.read()?;
        let info = find_table(&rx, &self.table)?;
        let count = if self.range.is_all() {
            info.entries
        } else {
            let bounds = self.range.bounds(&Notation::new(self.form, &info))?;
            let mut count = 0;
            for entry in rx.raw_table(&self.table)?.range(bounds)? {
                entry?;
                count += 1;
            }
            count
        };
        writeln!(stdout().lock(), "{count}")?;
        Ok(Answer::Done)
    }
}
