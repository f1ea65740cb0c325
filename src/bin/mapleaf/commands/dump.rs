//! `dump`: tables as text, for `load`, for LMDB's `mdb_load`, or for other programs.

use std::borrow::Cow;
use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::{ReadTxn, TableInfo, TableKind};
use serde_json::json;

use crate::escape::to_hex;
use crate::exchange::format::{Format, Unsuitable};
use crate::exchange::lmdb::{self, Header, MAX_KEY_LEN};
use crate::exchange::lmdb_order::{Order, Ordered, Pairs};
use crate::human::entries_text;
use crate::notation::{Form, Notation};
use crate::open::{find_table, open_read_only};
use crate::outcome::{Answer, Failure, wrong};
use crate::pairs::Entries;
use crate::progress::Progress;
use crate::table_types::kind_name;
use crate::types::{Role, Type};

/// At most this many of them are listed.
const MAX_NAMED: u64 = 20;

/// Writes tables as text to standard output: all of one snapshot, in the order of their keys. In LMDB's format, a
/// multimap table is one with duplicates (DUPSORT).
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf dump app.mapleaf > app.dump
  mapleaf dump --format json app.mapleaf users | jq .
  mapleaf dump app.mapleaf | mdb_load -n app.lmdb                   to LMDB
  mapleaf dump --unnamed app.mapleaf users | mdb_load -n app.lmdb   to the main table of an LMDB file")]
pub(crate) struct Dump {
    /// The database.
    file: PathBuf,
    /// The tables; all, if none is named.
    tables: Vec<String>,
    /// How entries are written.
    #[arg(long, value_enum, default_value_t = Format::Lmdb)]
    format: Format,
    /// In LMDB's format: printable bytes as they are, as `mdb_dump -p` does.
    #[arg(long)]
    print: bool,
    /// In LMDB's format: without the table's name, for LMDB's main table.
    #[arg(long)]
    unnamed: bool,
    /// In LMDB's format: name the types of the tables, for `mapleaf load` (`mdb_load` warns that it ignores them).
    #[arg(long)]
    types: bool,
    /// In LMDB's format: tables to () whose keys are pairs of bytes, bytes_from_end, u32 or u64, as tables with
    /// duplicates (DUPSORT).
    #[arg(long)]
    duplicates: bool,
    /// In LMDB's format: keys of type u32 and u64, and such values of multimap tables, as integers of this machine
    /// (INTEGERKEY, INTEGERDUP).
    #[arg(long)]
    integer_keys: bool,
    /// Entries that LMDB cannot hold: an empty key, or one of more than 511 bytes; a value of a multimap table of more
    /// than 511 bytes.
    #[arg(long, value_enum, default_value_t = Unsuitable::Refuse)]
    unsuitable: Unsuitable,
}

impl Dump {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_read_only(&self.file)?;
        let rx = db.read()?;
        let mut tables: Vec<TableInfo> = match &self.tables[..] {
            [] => rx.tables()?,
            names => names.iter().map(|name| find_table(&rx, name)).collect::<Result<_, _>>()?,
        };
        if tables.len() != 1 && (self.format == Format::Tsv || self.unnamed) {
            return Err(wrong(format!("this format holds one table, not {}: name one", tables.len())));
        }
        if self.format == Format::Lmdb {
            self.look_at_names(&mut tables)?;
            if self.unsuitable == Unsuitable::Refuse {
                self.refuse_unsuitable(&rx, &tables)?;
            }
        }
        let progress = Progress::new(tables.iter().map(|table| table.entries).sum(), "entries");
        let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
        let map_size = (db.stats()?.file_bytes.saturating_mul(4) + (16 << 20)).next_multiple_of(1 << 20);
        let (mut done, mut skipped) = (0, 0);
        for table in &tables {
            let mut writer = TableWriter { dump: self, table, out: &mut out };
            writer.begin(map_size)?;
            for entry in Entries::all(&rx, table)? {
                let (key, value) = entry?;
                skipped += u64::from(!writer.entry(&key, &value, skipped)?);
                done += 1;
                if done % 1024 == 0 {
                    progress.set(done);
                }
            }
            writer.end()?;
        }
        out.flush()?;
        progress.finish();
        if skipped > 0 {
            eprintln!("{} left out", entries_text(skipped));
        }
        Ok(Answer::Done)
    }

    /// The types of the pairs, if the table is written as one with duplicates.
    fn pairs(&self, table: &TableInfo) -> Option<Pairs> {
        Pairs::of_types(&table.key_type, &table.value_type).filter(|_| self.duplicates)
    }

    /// The type of keys that are not those of a table with duplicates.
    fn key_type(&self, table: &TableInfo) -> Ordered {
        Ordered::of_keys(&table.key_type, self.integer_keys)
    }

    /// The type of values, which are ordered in a multimap table.
    fn value_type(&self, table: &TableInfo) -> Ordered {
        match table.kind {
            TableKind::Multimap => Ordered::of_keys(&table.value_type, self.integer_keys),
            _ => Ordered::Bytes,
        }
    }

    /// Key and value as LMDB is to have them.
    fn pair<'a>(&self, table: &TableInfo, key: &'a [u8], value: &'a [u8]) -> (Cow<'a, [u8]>, Cow<'a, [u8]>) {
        match self.pairs(table).and_then(|pairs| pairs.split(key)) {
            Some((key, value)) => (Cow::Owned(key), Cow::Owned(value)),
            None => (self.key_type(table).give(key), self.value_type(table).give(value)),
        }
    }

    fn is_suitable(&self, table: &TableInfo, key: &[u8], value: &[u8]) -> bool {
        if self.pairs(table).is_none() && table.kind != TableKind::Multimap {
            return (1..=MAX_KEY_LEN).contains(&key.len());
        }
        // LMDB keeps duplicates as keys.
        let (key, value) = self.pair(table, key, value);
        (1..=MAX_KEY_LEN).contains(&key.len()) && value.len() <= MAX_KEY_LEN
    }

    /// Names of tables that LMDB, or its text format, cannot hold.
    fn look_at_names(&self, tables: &mut Vec<TableInfo>) -> Result<(), Failure> {
        if self.types
            && tables.iter().any(|table| (table.key_type.clone() + &table.value_type).contains('\n'))
        {
            return Err(wrong("a type's name has more than one line: dump without --types"));
        }
        let is_good = |name: &str| match self.unsuitable {
            _ if self.unnamed => true,
            Unsuitable::Keep => !name.contains('\n'), // which would be another line of the header
            _ => (1..=MAX_KEY_LEN).contains(&name.len()) && !name.contains(['\n', '\0']),
        };
        for table in tables.iter().filter(|table| !is_good(&table.name)) {
            let problem = format!("LMDB cannot hold a table named {:?}", table.name);
            if self.unsuitable != Unsuitable::Skip {
                return Err(wrong(problem));
            }
            eprintln!("{problem}: left out");
        }
        tables.retain(|table| is_good(&table.name));
        Ok(())
    }

    fn refuse_unsuitable(&self, rx: &ReadTxn, tables: &[TableInfo]) -> Result<(), Failure> {
        let mut count = 0;
        for table in tables {
            for entry in Entries::all(rx, table)? {
                let (key, value) = entry?;
                if !self.is_suitable(table, &key, &value) {
                    name_unsuitable(&table.name, &key, count);
                    count += 1;
                }
            }
        }
        match count {
            0 => Ok(()),
            _ => Err(wrong(format!(
                "LMDB cannot hold {count} of the entries; --unsuitable skip leaves them out"
            ))),
        }
    }
}

fn name_unsuitable(table: &str, key: &[u8], count: u64) {
    match count {
        0..MAX_NAMED => {
            let shown = to_hex(&key[..key.len().min(24)]);
            let more = if key.len() > 24 { ".." } else { "" };
            eprintln!(
                "table {table:?}: a key of {} bytes, not of 1 to {MAX_KEY_LEN}: {shown}{more}",
                key.len()
            );
        }
        MAX_NAMED => eprintln!("and more"),
        _ => {}
    }
}

struct TableWriter<'a, W> {
    dump: &'a Dump,
    table: &'a TableInfo,
    out: &'a mut W,
}

impl<W: Write> TableWriter<'_, W> {
    fn begin(&mut self, map_size: u64) -> Result<(), Failure> {
        let TableInfo { name, key_type, value_type, .. } = self.table;
        match self.dump.format {
            Format::Tsv => {}
            Format::Json => {
                let mut line = json!({ "table": name, "key_type": key_type, "value_type": value_type });
                if self.table.kind == TableKind::Multimap {
                    line["kind"] = kind_name(self.table.kind).into();
                }
                writeln!(self.out, "{line}")?;
            }
            Format::Lmdb => {
                let pairs = self.dump.pairs(self.table);
                let header = Header {
                    name: (!self.dump.unnamed).then(|| name.clone()),
                    is_print: self.dump.print,
                    has_duplicates: pairs.is_some() || self.table.kind == TableKind::Multimap,
                    has_fixed_values: self.has_fixed_values(pairs),
                    key_order: pairs.map_or(self.dump.key_type(self.table), |pairs| pairs.key).order(),
                    value_order: pairs.map_or(self.dump.value_type(self.table), |pairs| pairs.value).order(),
                    types: self.dump.types.then(|| format!("{key_type},{value_type}")),
                };
                lmdb::write_header(self.out, &header, map_size)?;
            }
        }
        Ok(())
    }

    /// Whether LMDB can know that all values of a key have one length (DUPFIXED).
    fn has_fixed_values(&self, pairs: Option<Pairs>) -> bool {
        match (pairs, self.table.kind) {
            (Some(pairs), _) => pairs.value.order() == Order::Integer,
            (None, TableKind::Multimap) => {
                Type::of_name(&self.table.value_type).fixed_size().is_some_and(|size| size > 0)
            }
            _ => false,
        }
    }

    /// Writes an entry. Returns whether the other side can hold it.
    fn entry(&mut self, key: &[u8], value: &[u8], skipped: u64) -> Result<bool, Failure> {
        let notation = || Notation::new(Form::Typed, self.table);
        match self.dump.format {
            Format::Tsv => {
                let notation = notation();
                let (key, value) = (notation.text(key, Role::Key), notation.text(value, Role::Value));
                writeln!(self.out, "{key}\t{value}")?;
            }
            Format::Json => {
                let notation = notation();
                let (key, value) = (notation.json(key, Role::Key), notation.json(value, Role::Value));
                writeln!(self.out, "{}", json!({ "table": self.table.name, "key": key, "value": value }))?;
            }
            Format::Lmdb => {
                let keeps = self.dump.unsuitable == Unsuitable::Keep;
                if !keeps && !self.dump.is_suitable(self.table, key, value) {
                    name_unsuitable(&self.table.name, key, skipped);
                    return Ok(false);
                }
                let (key, value) = self.dump.pair(self.table, key, value);
                lmdb::write_entry(self.out, self.dump.print, &key, &value)?;
            }
        }
        Ok(true)
    }

    fn end(&mut self) -> Result<(), Failure> {
        if self.dump.format == Format::Lmdb {
            lmdb::write_end(self.out)?;
        }
        Ok(())
    }
}
