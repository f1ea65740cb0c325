//! `load`: what `dump`, `mdb_dump` or another program has written, into tables.
//!
//! All of it is one transaction, committed when the input has come to its end: after an error, or an interruption,
//! nothing was loaded (unless `--commit-every` asked for less). Entries are put in many at a time, so that input in any
//! order is sorted before it goes into the trees.

use std::fs::File;
use std::io::{BufReader, stdin};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mapleaf::Db;
use serde_json::Value;

use crate::exchange::foreign;
use crate::exchange::format::{Format, Unsuitable};
use crate::exchange::input_lines::InputLines;
use crate::exchange::lmdb::{self, Header};
use crate::exchange::lmdb_order::{Ordered, Pairs};
use crate::exchange::loader::{Existing, LoadOptions, Loader};
use crate::human::{entries_text, parse_page_size};
use crate::interrupt::on_interrupt;
use crate::outcome::{Answer, Failure, file_failure, wrong};
use crate::staging::create_file;
use crate::table_types::TableTypes;
use crate::types::{Role, Type};

const INPUT_BUFFER_BYTES: usize = 1 << 16;

/// What to do with an LMDB table in which a key has several values (DUPSORT).
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Duplicates {
    /// Keep them all, in a multimap table.
    Multimap,
    /// Load nothing.
    Refuse,
    /// Keep them all, in an ordinary table to (), whose keys are the pairs: of type (bytes,bytes), or as LMDB orders
    /// them.
    Pairs,
    /// Keep the first value of each key.
    First,
    /// Keep the last value of each key.
    Last,
}

/// Puts tables that were dumped as text into a database, which is created if it does not exist: all or nothing.
#[derive(Args)]
#[command(after_help = "Examples:
  mdb_dump -a old.lmdb | mapleaf load app.mapleaf                    from LMDB (-n old.lmdb if it is a file)
  mdb_dump old.lmdb | mapleaf load --table users app.mapleaf         the main table of an LMDB file
  mapleaf dump --types app.mapleaf | mapleaf load other.mapleaf
  mapleaf load --table users --types str,str app.mapleaf users.tsv

Of several lines with the same key the last counts. Bytes from LMDB are stored as they are, whatever --types names,
except integer keys (INTEGERKEY), which become u32 or u64, and keys that are compared from their end (REVERSEKEY),
which become bytes_from_end.")]
pub(crate) struct Load {
    /// The database.
    file: PathBuf,
    /// What to read; without it, standard input.
    input: Option<PathBuf>,
    /// The format of the input [default: recognised by how the input begins].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The table, if the input does not name it. Without it, LMDB's main table is called "main".
    #[arg(long)]
    table: Option<String>,
    /// Types of keys and values of new tables, if the input does not name them [default: bytes,bytes].
    #[arg(long, value_name = "KEY_TYPE,VALUE_TYPE")]
    types: Option<TableTypes>,
    /// Of lines of text: create a new table as a multimap table, whose keys have any number of values.
    #[arg(long, requires = "types")]
    multimap: bool,
    /// In tab-separated lines: a backslash is a backslash, not an escape.
    #[arg(long)]
    raw: bool,
    /// What to do with a table that exists already.
    #[arg(long, value_enum, default_value_t = Existing::Refuse)]
    existing: Existing,
    /// What to do with an LMDB table in which a key has several values (DUPSORT).
    #[arg(long, value_enum, default_value_t = Duplicates::Multimap)]
    duplicates: Duplicates,
    /// Entries whose key is too long for this database: half a page less 64 bytes.
    #[arg(long, value_enum, default_value_t = Unsuitable::Refuse)]
    unsuitable: Unsuitable,
    /// Commit whenever this many entries have been loaded: what was committed stays, whatever happens later.
    #[arg(long, value_name = "ENTRIES")]
    commit_every: Option<u64>,
    /// Bytes in a page, if the file is created.
    #[arg(long, value_parser = parse_page_size)]
    page_size: Option<usize>,
}

impl Load {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        if self.unsuitable == Unsuitable::Keep {
            return Err(wrong("--unsuitable keep: this database cannot hold them"));
        }
        let types = self.types.clone();
        let types = types.map(|types| TableTypes { is_multimap: self.multimap, ..types });
        let types = types.as_ref();
        let mut lines = self.open_input()?;
        self.refuse_foreign(lines.beginning()?)?;
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
        // A new file has no name until it is complete: so no other process writes into a file that an error removes.
        let loaded = match self.commit_every.is_none() && self.file.symlink_metadata().is_err() {
            true => create_file(&self.file, |place| self.load(place, format, &mut lines, types)),
            false => self.load(&self.file, format, &mut lines, types),
        };
        eprintln!("{}", loaded?);
        Ok(Answer::Done)
    }

    /// Loads all of the input. Returns a summary.
    fn load(
        &self,
        file: &Path,
        format: Format,
        lines: &mut InputLines,
        types: Option<&TableTypes>,
    ) -> Result<String, Failure> {
        let mut options = Db::options();
        if let Some(size) = self.page_size.filter(|_| !file.exists()) {
            options = options.page_size(size);
        }
        let db = options.open(file)?;
        let options = LoadOptions {
            existing: self.existing,
            skips_unsuitable: self.unsuitable == Unsuitable::Skip,
            commit_every: self.commit_every,
        };
        let mut loader = Loader::new(&db, options)?;
        let loaded = match format {
            Format::Lmdb => self.load_lmdb(lines, &mut loader, types),
            Format::Tsv => self.load_tsv(lines, &mut loader, types),
            Format::Json => self.load_json(lines, &mut loader, types),
        };
        let committed = loader.committed();
        loaded.and_then(|()| loader.finish(lines.bytes)).map_err(|failure| {
            let what_stays = match self.commit_every {
                None => "nothing was loaded".to_owned(),
                Some(_) => format!("{} before that stay loaded", entries_text(committed)),
            };
            Failure { message: format!("{}; {what_stays}", failure.message), ..failure }
        })
    }

    /// The input's path; `None` for standard input.
    fn input_path(&self) -> Option<&Path> {
        self.input.as_deref().filter(|path| *path != Path::new("-"))
    }

    fn open_input(&self) -> Result<InputLines, Failure> {
        let Some(path) = self.input_path() else {
            let input = BufReader::with_capacity(INPUT_BUFFER_BYTES, stdin());
            return Ok(InputLines::new(Box::new(input), "standard input".to_owned()));
        };
        if path.is_dir() {
            let what = foreign::describe_folder(path, &self.file.display().to_string());
            let what = what.unwrap_or_else(|| "a folder, not a file".to_owned());
            return Err(wrong(format!("{} is {what}", path.display())));
        }
        let file = File::open(path).map_err(file_failure("open", path.display()))?;
        let input = BufReader::with_capacity(INPUT_BUFFER_BYTES, file);
        Ok(InputLines::new(Box::new(input), path.display().to_string()))
    }

    /// Refuses input that is not text, if it can be recognised.
    fn refuse_foreign(&self, beginning: &[u8]) -> Result<(), Failure> {
        let path = self.input_path().map(|path| path.display().to_string());
        let file = path.as_deref().unwrap_or("FILE");
        match foreign::describe(beginning, file, &self.file.display().to_string()) {
            Some(what) => Err(wrong(format!("{} is {what}", path.as_deref().unwrap_or("standard input")))),
            None => Ok(()),
        }
    }

    fn load_lmdb(
        &self,
        lines: &mut InputLines,
        loader: &mut Loader<'_>,
        types: Option<&TableTypes>,
    ) -> Result<(), Failure> {
        while let Some(header) = lmdb::read_header(lines)? {
            let name = header.name.clone().or_else(|| self.table.clone()).unwrap_or_else(|| "main".into());
            let named = header.types.as_deref().map(TableTypes::named).transpose();
            let named = named.map_err(|problem| lines.wrong(problem))?;
            self.check_header(&header, &name, lines)?;
            let mut next = lmdb::read_entry(lines, header.is_print)?;
            let ordered = |order, first: Option<&Vec<u8>>| {
                Ordered::of(order, first.map(Vec::as_slice)).map_err(|problem| lines.wrong(problem))
            };
            let key_type = ordered(header.key_order, next.as_ref().map(|(key, _)| key))?;
            let value_type = ordered(header.value_order, next.as_ref().map(|(_, value)| value))?;
            // `dump --duplicates --types` has written such a table of pairs.
            let was_pairs =
                named.as_ref().is_some_and(|types| Pairs::of_types(&types.key, &types.value).is_some());
            let keeps_pairs = header.has_duplicates
                && match self.duplicates {
                    Duplicates::Pairs => true,
                    Duplicates::Multimap => was_pairs,
                    _ => false,
                };
            let pairs = Pairs { key: key_type, value: value_type };
            let keeps_all = header.has_duplicates && !keeps_pairs && self.duplicates == Duplicates::Multimap;
            let given = named.as_ref().or(types);
            let (types, key_type) = match keeps_pairs {
                true => (Some(TableTypes::new(&pairs.key_type(), Pairs::VALUE_TYPE)), key_type),
                false => ordered_types(&name, given, key_type).map_err(|problem| lines.wrong(problem))?,
            };
            let (types, value_type) = match keeps_all {
                true => multimap_types(given, types, value_type),
                false => (types, Ordered::Bytes),
            };
            loader.begin_table(&name, types.as_ref())?;
            let mut previous: Option<Vec<u8>> = None;
            while let Some((key, value)) = next {
                let is_another = previous.as_ref() != Some(&key);
                let keeps_first = header.has_duplicates && self.duplicates == Duplicates::First;
                if keeps_first {
                    previous = Some(key.clone());
                }
                if keeps_pairs {
                    let pair = pairs.join(key, value).map_err(|problem| lines.wrong(problem))?;
                    loader.push(pair, Vec::new(), lines)?;
                } else if is_another || !keeps_first {
                    let key = key_type.store(key).map_err(|problem| lines.wrong(problem))?;
                    let value = value_type.store(value).map_err(|problem| lines.wrong(problem))?;
                    loader.push(key, value, lines)?;
                }
                next = lmdb::read_entry(lines, header.is_print)?;
            }
        }
        Ok(())
    }

    /// Refuses duplicates unless an option says what to keep.
    fn check_header(&self, header: &Header, name: &str, lines: &InputLines) -> Result<(), Failure> {
        if header.has_duplicates && self.duplicates == Duplicates::Refuse {
            return Err(lines.wrong(format!(
                "table {name:?} has several values for a key (DUPSORT): choose with --duplicates multimap, pairs, \
                 first or last"
            )));
        }
        Ok(())
    }

    fn load_tsv(
        &self,
        lines: &mut InputLines,
        loader: &mut Loader<'_>,
        types: Option<&TableTypes>,
    ) -> Result<(), Failure> {
        let table = self
            .table
            .as_deref()
            .ok_or_else(|| wrong("tab-separated lines do not name their table: --table does"))?;
        let (key_type, value_type, value_role) = loader.begin_table(table, types)?;
        loop {
            let Some(line) = lines.next()? else { return Ok(()) };
            let entry = match line.iter().position(|&byte| byte == b'\t') {
                None => Err("no tab between key and value".to_owned()),
                Some(at) => {
                    let read = |of: &Type, text: &[u8], role| match self.raw {
                        true => of.encode_word(text, role),
                        false => of.encode_escaped(text, role),
                    };
                    read(&key_type, &line[..at], Role::Key)
                        .and_then(|key| Ok((key, read(&value_type, &line[at + 1..], value_role)?)))
                }
            };
            let (key, value) = entry.map_err(|problem| lines.wrong(problem))?;
            loader.push(key, value, lines)?;
        }
    }

    fn load_json(
        &self,
        lines: &mut InputLines,
        loader: &mut Loader<'_>,
        types: Option<&TableTypes>,
    ) -> Result<(), Failure> {
        let mut current: Option<(String, (Type, Type, Role))> = None;
        loop {
            let Some(line) = lines.next()? else { return Ok(()) };
            let line: Value = serde_json::from_slice(line).map_err(|error| lines.wrong(error))?;
            let text = |name: &str| line.get(name).and_then(Value::as_str);
            let name = text("table").or(self.table.as_deref());
            let name = name.ok_or_else(|| lines.wrong("no \"table\", and no --table"))?;
            let header = text("key_type").zip(text("value_type"));
            let is_multimap = text("kind") == Some("multimap");
            let header = header.map(|(key, value)| TableTypes { is_multimap, ..TableTypes::new(key, value) });
            let is_header = header.is_some() && line.get("key").is_none();
            let (_, (key_type, value_type, value_role)) = match &mut current {
                Some(table) if table.0 == name && !is_header => table,
                other => {
                    let types = loader.begin_table(name, header.as_ref().or(types))?;
                    other.insert((name.to_owned(), types))
                }
            };
            if is_header {
                continue;
            }
            let part = |name: &str| line.get(name).ok_or_else(|| lines.wrong(format!("no {name:?}")));
            let key = key_type.encode(part("key")?, Role::Key).map_err(|problem| lines.wrong(problem))?;
            let value =
                value_type.encode(part("value")?, *value_role).map_err(|problem| lines.wrong(problem))?;
            loader.push(key, value, lines)?;
        }
    }
}

/// The types of a table whose keys are ordered in LMDB as those of `ordered` are here, and the type by which its keys
/// are stored. If types with other keys are given, the bytes are stored as they are.
fn ordered_types(
    name: &str,
    given: Option<&TableTypes>,
    ordered: Ordered,
) -> Result<(Option<TableTypes>, Ordered), String> {
    let key_type = ordered.name();
    match (given, ordered) {
        (_, Ordered::Bytes) => Ok((given.cloned(), ordered)),
        (None, _) => Ok((Some(TableTypes::new(key_type, "bytes")), ordered)),
        (Some(given), _) if given.key == key_type => Ok((Some(given.clone()), ordered)),
        (Some(given), Ordered::U32 | Ordered::U64) if given.key != "bytes" => Err(format!(
            "table {name:?} has keys of type {key_type} in LMDB (INTEGERKEY), not {}; keys of type bytes would be \
             stored as they are",
            given.key
        )),
        (Some(given), _) => {
            eprintln!(
                "table {name:?} has keys of type {key_type} in LMDB; as {} they are stored as they are, in another \
                 order",
                given.key
            );
            Ok((Some(given.clone()), Ordered::Bytes))
        }
    }
}

/// The types of a multimap table whose values are ordered in LMDB as those of `ordered` are here, and the type by which
/// its values are stored. `types` are those of the keys, if any are given or known.
fn multimap_types(
    given: Option<&TableTypes>,
    types: Option<TableTypes>,
    ordered: Ordered,
) -> (Option<TableTypes>, Ordered) {
    let types = types.unwrap_or_else(|| TableTypes::new("bytes", "bytes"));
    let value = given.map_or(ordered.name(), |given| &given.value).to_owned();
    let ordered = if value == ordered.name() { ordered } else { Ordered::Bytes };
    (Some(TableTypes { value, ..types }.multimap()), ordered)
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
