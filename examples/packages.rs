//! Loads a list of packages from standard input, and queries it.
//!
//! ```text
//! xz -dc packages.tsv.xz | cargo run --release --example packages -- load
//! cargo run --release --example packages -- get bash
//! cargo run --release --example packages -- prefix lib --limit 10 --reverse
//! cargo run --release --example packages -- range a b
//! cargo run --release --example packages -- section games
//! cargo run --release --example packages -- largest 10
//! ```
//!
//! Each line of the list is one package: name, version, section, installed size in KiB (empty if it is not
//! known), dependencies, description; separated by tabs.
//!
//! What it shows of mapleaf: secondary indexes that change with their table in one transaction, all or nothing;
//! exact, prefix and range queries in both directions; `get_many`; text read in place.

use std::io::{self, BufRead, BufWriter, ErrorKind, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use clap::{Parser, Subcommand};
use mapleaf::{Db, Error, ReadTxn, Table, TableMut, TableRef, WriteTxn};

/// Version, section, installed KiB, dependencies, description.
type Details = (String, String, Option<u64>, String, String);

/// From a package's name to its properties.
const PACKAGES: Table<str, Details> = Table::new("packages");

/// The index by section: section and name, both in the key.
const BY_SECTION: Table<(String, String), ()> = Table::new("packages by section");

/// The index by size: installed KiB and name.
const BY_SIZE: Table<(u64, String), ()> = Table::new("packages by size");

/// This many packages are looked up together.
const LOOKUPS: usize = 256;

/// Loads a list of packages, and queries it.
#[derive(Parser)]
#[command(name = "packages")]
struct Arguments {
    /// The file that holds the packages
    #[arg(long, global = true, value_name = "FILE", default_value = "packages.mapleaf")]
    database: PathBuf,

    /// From the last to the first
    #[arg(long, global = true)]
    reverse: bool,

    /// Print at most this many
    #[arg(long, global = true, value_name = "COUNT", default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read packages from standard input, replacing the old ones: all of them or, if a line is wrong, none
    Load,
    /// Print everything about one package
    Get { name: String },
    /// List the packages whose names begin with this
    Prefix { prefix: String },
    /// List the packages from one name up to, and without, another
    Range { from: String, to: String },
    /// List the packages of a section
    Section { section: String },
    /// List the sections, with the number of packages in each
    Sections,
    /// List the packages of the greatest installed size; with --reverse, of the smallest
    Largest { count: usize },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packages: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether the reader of the output has closed it: `| head` is not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Command::Load = arguments.command {
        return load(&arguments.database);
    }
    let db = open_to_ask(&arguments.database)?;
    let rx = db.read()?;
    let mut answer = Answer::new(&rx, arguments)?;
    match &arguments.command {
        Command::Load => unreachable!("it was done above"),
        Command::Get { name } => answer.print_one(name)?,
        Command::Prefix { prefix } => {
            let found = answer.packages.prefix(prefix).map(|entry| Ok(entry?.0.into()));
            answer.list(found)?;
        }
        Command::Range { from, to } => {
            let found = answer.packages.range(from.as_str()..to.as_str()).map(|entry| Ok(entry?.0.into()));
            answer.list(found)?;
        }
        Command::Section { section } => {
            let found = rx.table(&BY_SECTION)?.prefix((section,));
            answer.list(found.map(|entry| Ok(entry?.0.1)))?;
        }
        Command::Sections => answer.print_sections(&rx)?,
        Command::Largest { count } => {
            // The greatest come last in the index.
            let found = rx.table(&BY_SIZE)?.iter().rev();
            answer.limit = answer.limit.min(*count);
            answer.list(found.map(|entry| Ok(entry?.0.1)))?;
        }
    }
    answer.out.flush()?;
    if answer.printed == 0 && answer.limit > 0 {
        eprintln!("packages: nothing found");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

// ---- loading ----

fn load(database: &Path) -> Result<ExitCode> {
    let started = Instant::now();
    if io::stdin().is_terminal() {
        eprintln!("packages: reading packages from standard input, one a line");
    }
    let db = Db::open(database)?;
    let tx = db.write()?;
    let count = replace_all(&tx, io::stdin().lock())?;
    // No reader sees a change before this commit. If a line was wrong, there is no commit.
    tx.commit()?;
    let seconds = started.elapsed().as_secs_f64();
    writeln!(io::stdout(), "{count} packages loaded into {} in {seconds:.2} s", database.display())?;
    Ok(ExitCode::SUCCESS)
}

fn replace_all(tx: &WriteTxn, lines: impl BufRead) -> Result<u64> {
    let mut tables = Tables::open(tx)?;
    tables.clear()?;
    for (line, number) in lines.split(b'\n').zip(1..) {
        let line = line.map_err(|error| anyhow!("cannot read standard input: {error}"))?;
        let added = Package::parse(&line).and_then(|package| tables.add(&package));
        added.map_err(|error| anyhow!("line {number}: {error}; nothing has been loaded"))?;
    }
    match tables.packages.len() {
        0 => bail!("there is no package on standard input; nothing has been loaded"),
        count => Ok(count),
    }
}

/// The fields of one line.
struct Package<'line> {
    name: &'line str,
    version: &'line str,
    section: &'line str,
    installed: Option<u64>,
    depends: &'line str,
    description: &'line str,
}

impl<'line> Package<'line> {
    fn parse(line: &'line [u8]) -> Result<Package<'line>> {
        let line = str::from_utf8(line).map_err(|error| anyhow!("it is not UTF-8: {error}"))?;
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, section, installed, depends, description] = fields[..] else {
            bail!("expected 6 fields with tabs between them, found {}", fields.len());
        };
        if name.is_empty() {
            bail!("the package has no name");
        }
        let installed = match installed {
            "" => None,
            kib => Some(kib.parse().map_err(|_| anyhow!("{kib:?} is not a size in KiB"))?),
        };
        Ok(Package { name, version, section, installed, depends, description })
    }
}

/// The table and its indexes, open in one transaction.
struct Tables<'tx> {
    packages: TableMut<'tx, str, Details>,
    by_section: TableMut<'tx, (String, String), ()>,
    by_size: TableMut<'tx, (u64, String), ()>,
}

impl<'tx> Tables<'tx> {
    fn open(tx: &'tx WriteTxn) -> Result<Tables<'tx>> {
        Ok(Tables {
            packages: tx.table(&PACKAGES)?,
            by_section: tx.table(&BY_SECTION)?,
            by_size: tx.table(&BY_SIZE)?,
        })
    }

    fn clear(&mut self) -> Result<()> {
        self.packages.clear()?;
        self.by_section.clear()?;
        self.by_size.clear()?;
        Ok(())
    }

    fn add(&mut self, package: &Package<'_>) -> Result<()> {
        let Package { name, version, section, installed, depends, description } = *package;
        let is_new = self.packages.insert(name, (version, section, installed, depends, description))?;
        if !is_new {
            bail!("package {name} is on an earlier line already");
        }
        self.by_section.insert((section, name), ())?;
        if let Some(kib) = installed {
            self.by_size.insert((kib, name), ())?;
        }
        Ok(())
    }
}

// ---- asking ----

fn open_to_ask(database: &Path) -> Result<Db> {
    match Db::options().read_only(true).open(database) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            bail!("there is no {}: load packages into it first", database.display())
        }
        other => Ok(other?),
    }
}

struct Answer<'tx> {
    packages: TableRef<'tx, str, Details>,
    out: BufWriter<StdoutLock<'static>>,
    reverse: bool,
    limit: usize,
    printed: usize,
}

impl<'tx> Answer<'tx> {
    fn new(rx: &'tx ReadTxn, arguments: &Arguments) -> Result<Answer<'tx>> {
        let packages = match rx.table(&PACKAGES) {
            Err(Error::TableNotFound { .. }) => {
                bail!("there are no packages in {}: load some first", arguments.database.display())
            }
            other => other?,
        };
        let out = BufWriter::new(io::stdout().lock());
        Ok(Answer { packages, out, reverse: arguments.reverse, limit: arguments.limit, printed: 0 })
    }

    /// Prints everything about one package.
    fn print_one(&mut self, name: &str) -> Result<()> {
        let Some((version, section, installed, depends, description)) = self.packages.get(name)? else {
            return Ok(());
        };
        self.printed += 1;
        let out = &mut self.out;
        writeln!(out, "name         {name}")?;
        writeln!(out, "version      {version}")?;
        writeln!(out, "section      {section}")?;
        writeln!(out, "installed    {} KiB", size_or_dash(installed))?;
        writeln!(out, "depends      {depends}")?;
        writeln!(out, "description  {description}")?;
        Ok(())
    }

    /// Prints one line for each of the packages.
    fn list(&mut self, names: impl DoubleEndedIterator<Item = Result<String>>) -> Result<()> {
        match self.reverse {
            true => self.list_in_order(names.rev().take(self.limit)),
            false => self.list_in_order(names.take(self.limit)),
        }
    }

    fn list_in_order(&mut self, mut names: impl Iterator<Item = Result<String>>) -> Result<()> {
        loop {
            let some: Vec<String> = names.by_ref().take(LOOKUPS).collect::<Result<_>>()?;
            if some.is_empty() {
                return Ok(());
            }
            for (name, details) in some.iter().zip(self.packages.get_many(&some)?) {
                let details = details.ok_or_else(|| anyhow!("{name} is in an index and nowhere else"))?;
                let (version, section, installed, _, description) = details;
                let size = size_or_dash(installed);
                writeln!(self.out, "{name}\t{version}\t{section}\t{size}\t{description}")?;
                self.printed += 1;
            }
        }
    }

    /// Prints each section with its number of packages, in one pass over the index.
    fn print_sections(&mut self, rx: &ReadTxn) -> Result<()> {
        let mut sections: Vec<(String, u64)> = Vec::new();
        for entry in rx.table(&BY_SECTION)?.iter() {
            let ((section, _), ()) = entry?;
            match sections.last_mut() {
                Some((last, count)) if *last == section => *count += 1,
                _ => sections.push((section, 1)),
            }
        }
        if self.reverse {
            sections.reverse();
        }
        for (section, count) in sections.into_iter().take(self.limit) {
            writeln!(self.out, "{section}\t{count}")?;
            self.printed += 1;
        }
        Ok(())
    }
}

fn size_or_dash(installed: Option<u64>) -> String {
    installed.map_or_else(|| "-".to_owned(), |kib| kib.to_string())
}
