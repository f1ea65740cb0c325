//! Indexes the words of every text file under a directory, and finds where a word occurs.
//!
//! ```text
//! cargo run --release --example word_index                         index the current directory
//! cargo run --release --example word_index -- --find leaf page     where these words are
//! cargo run --release --example word_index -- --find 'leaf*'       all words that begin so
//! cargo run --release --example word_index -- --stats              statistics of the database
//! ```
//!
//! A second run reads only the files whose size or time of modification has changed, and removes files that are gone.
//!
//! What it shows of mapleaf: several tables changed together in one transaction, tuples as keys and values, a range
//! and a prefix of tuples, deferred commits, reading in place, and `get_many`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use mapleaf::{Db, Error, Range, ReadTxn, Table, TableMut, TableRef, WriteTxn};
use walkdir::{DirEntry, WalkDir};

/// From a file's path, below the indexed directory, to what the file was like when it was indexed: time of
/// modification, size, checksum, and its id, which a binary file does not have.
const FILES: Table<str, (i64, u64, u32, Option<u32>)> = Table::new("files");

/// From a file's id to its path. Postings contain ids, because there are many postings and paths are long.
const PATHS: Table<u32, str> = Table::new("paths");

/// From a word, a file's id and a line to how often the word occurs there. One word's postings are together.
const POSTINGS: Table<(String, u32, u32), u32> = Table::new("postings");

/// From a file's id to its words, one a line. They lead to the file's postings without a search.
const WORDS: Table<u32, str> = Table::new("words");

/// The directory that is indexed.
const SETTINGS: Table<str, str> = Table::new("settings");
const DIRECTORY: &str = "directory";

/// About this many bytes of text go into one transaction. If a long run is stopped, at most this much work is lost.
const BATCH_BYTES: u64 = 32 << 20;

/// Larger files are probably not texts, and need too much memory.
const LARGEST_FILE: u64 = 256 << 20;

/// Longer words, in bytes, are data.
const MAX_WORD: usize = 200;

/// For less than this, a progress bar is not worth showing.
const PROGRESS_FROM_BYTES: u64 = 8 << 20;

/// Indexes the words of the text files under a directory, and finds them again.
#[derive(Parser)]
#[command(name = "word_index")]
struct Arguments {
    /// The directory to index; hidden directories in it, and `target`, are left out
    #[arg(default_value = ".", conflicts_with_all = ["find", "stats"])]
    directory: PathBuf,

    /// The file that holds the index
    #[arg(long, value_name = "FILE", default_value = "app.mapleaf")]
    database: PathBuf,

    /// Print file, line, count and word for each of these; `leaf*` stands for all words that begin so
    #[arg(long, value_name = "WORD", num_args = 1.., conflicts_with = "stats")]
    find: Vec<String>,

    /// With --find: only in files that have all of the words
    #[arg(long, requires = "find")]
    all: bool,

    /// Print statistics of the database
    #[arg(long)]
    stats: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if !arguments.find.is_empty() {
        find(&arguments.database, &arguments.find, arguments.all)
    } else if arguments.stats {
        print_stats(&arguments.database)
    } else {
        index(&arguments.directory, &arguments.database)
    };
    match done {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("word_index: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether the reader of the output has closed it: `| head` is not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

// ---- indexing ----

fn index(directory: &Path, database: &Path) -> Result<ExitCode> {
    let started = Instant::now();
    let root = existing_directory(directory)?;
    let db = Db::open(database)?;
    claim_database(&db, database, &root)?;

    let found = find_files(&root, database)?;
    let mut plan = Plan::new(&db.read()?, found)?;
    let jobs = std::mem::take(&mut plan.jobs);
    let mut indexer = Indexer::new(&db, &root, plan)?;
    indexer.run(jobs)?;
    let tally = indexer.tally;
    tally.print(&root, &db, started)?;
    Ok(if tally.unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn existing_directory(directory: &Path) -> Result<PathBuf> {
    let root =
        directory.canonicalize().map_err(|error| anyhow!("cannot index {}: {error}", directory.display()))?;
    if !root.is_dir() {
        bail!("cannot index {}: it is not a directory", directory.display());
    }
    if root.to_str().is_none() {
        bail!("cannot index {}: its path is not UTF-8", directory.display());
    }
    Ok(root)
}

/// Makes the tables in a new database; in an old one, makes sure that they are there, and of this directory.
fn claim_database(db: &Db, database: &Path, root: &Path) -> Result<()> {
    let tx = db.write()?;
    if tx.tables()?.is_empty() {
        Tables::open(&tx)?;
        tx.table(&SETTINGS)?.insert(DIRECTORY, root.to_str().expect("it was checked to be UTF-8"))?;
        tx.commit()?;
        return Ok(());
    }
    drop(tx);
    let rx = db.read()?;
    let indexed = indexed_directory(&rx, database)?;
    if Path::new(indexed) != root {
        bail!(
            "{} is the index of {indexed}; give another --database to index {}",
            database.display(),
            root.display()
        );
    }
    Ok(())
}

fn indexed_directory<'tx>(rx: &'tx ReadTxn, database: &Path) -> Result<&'tx str> {
    let settings = match rx.table(&SETTINGS) {
        Err(Error::TableNotFound { .. }) => {
            bail!("{} is a database, but not a word index", database.display())
        }
        other => other?,
    };
    settings
        .get(DIRECTORY)?
        .ok_or_else(|| anyhow!("{} does not say what it is an index of", database.display()))
}

/// The properties by which a file counts as unchanged, without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    /// Nanoseconds since 1970.
    modified: i64,
    size: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> io::Result<Stamp> {
        let modified = match metadata.modified()?.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i64,
            Err(before) => -(before.duration().as_nanos() as i64),
        };
        Ok(Stamp { modified, size: metadata.len() })
    }
}

/// What is under the directory now.
#[derive(Default)]
struct FoundFiles {
    files: BTreeMap<String, Stamp>,
    /// Directories that could not be read. What the index has from there stays in it.
    unreadable: Vec<PathBuf>,
}

fn find_files(root: &Path, database: &Path) -> Result<FoundFiles> {
    let own_files = [database.canonicalize()?, lock_file_of(&database.canonicalize()?)];
    let mut found = FoundFiles::default();
    for entry in WalkDir::new(root).into_iter().filter_entry(is_wanted) {
        let (path, stamp) = match entry.and_then(|entry| Ok((entry.metadata()?, entry))) {
            Ok((metadata, entry))
                if metadata.is_file() && !own_files.iter().any(|own| own == entry.path()) =>
            {
                (entry.into_path(), Stamp::of(&metadata)?)
            }
            Ok(_) => continue,
            Err(error) => {
                eprintln!("word_index: left out: {error}");
                found.unreadable.extend(error.path().and_then(|path| below(root, path)).map(PathBuf::from));
                continue;
            }
        };
        match below(root, &path).and_then(Path::to_str) {
            Some(path) => drop(found.files.insert(path.to_owned(), stamp)),
            None => eprintln!("word_index: left out: {}: its name is not UTF-8", path.display()),
        }
    }
    Ok(found)
}

/// Leaves out hidden directories and `target`, except if one of them is the directory to index.
fn is_wanted(entry: &DirEntry) -> bool {
    let name = entry.file_name().as_encoded_bytes();
    entry.depth() == 0 || !entry.file_type().is_dir() || !(name.starts_with(b".") || name == b"target")
}

fn lock_file_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-lock");
    name.into()
}

fn below<'a>(root: &Path, path: &'a Path) -> Option<&'a Path> {
    path.strip_prefix(root).ok()
}

/// An entry of the table of files.
#[derive(Clone, Copy)]
struct IndexedFile {
    stamp: Stamp,
    checksum: u32,
    /// `None` for a binary file.
    id: Option<u32>,
}

impl From<(i64, u64, u32, Option<u32>)> for IndexedFile {
    fn from((modified, size, checksum, id): (i64, u64, u32, Option<u32>)) -> IndexedFile {
        IndexedFile { stamp: Stamp { modified, size }, checksum, id }
    }
}

enum Job {
    Read { path: String, stamp: Stamp, before: Option<IndexedFile> },
    Drop { path: String, before: IndexedFile },
}

/// What to do so that the index matches the files.
struct Plan {
    jobs: Vec<Job>,
    tally: Tally,
}

impl Plan {
    fn new(rx: &ReadTxn, mut found: FoundFiles) -> Result<Plan> {
        let mut jobs = Vec::new();
        let mut tally = Tally { unreadable: found.unreadable.len() as u64, ..Tally::default() };
        for entry in rx.table(&FILES)?.iter() {
            let (path, before) = entry?;
            let before = IndexedFile::from(before);
            match found.files.remove(path.as_str()) {
                Some(stamp) if stamp == before.stamp => tally.unchanged(before),
                Some(stamp) => jobs.push(Job::Read { path: path.into(), stamp, before: Some(before) }),
                None if found
                    .unreadable
                    .iter()
                    .any(|hidden| Path::new(path.as_str()).starts_with(hidden)) =>
                {
                    tally.unchanged(before);
                }
                None => jobs.push(Job::Drop { path: path.into(), before }),
            }
        }
        let new = found.files.into_iter();
        jobs.extend(new.map(|(path, stamp)| Job::Read { path, stamp, before: None }));
        Ok(Plan { jobs, tally })
    }
}

#[derive(Clone, Copy, Default)]
struct Tally {
    new: u64,
    changed: u64,
    removed: u64,
    unchanged: u64,
    binary: u64,
    unreadable: u64,
    words: u64,
    bytes: u64,
}

impl Tally {
    fn unchanged(&mut self, file: IndexedFile) {
        self.unchanged += 1;
        self.binary += u64::from(file.id.is_none());
    }

    fn print(&self, root: &Path, db: &Db, started: Instant) -> Result<()> {
        let mut out = io::stdout().lock();
        let Tally { new, changed, removed, unchanged, binary, unreadable, .. } = self;
        write!(
            out,
            "{}: {new} new, {changed} changed, {removed} removed, {unchanged} unchanged",
            root.display()
        )?;
        write!(out, "; {binary} of them binary, not indexed")?;
        if *unreadable > 0 {
            write!(out, "; {unreadable} unreadable, left as they were")?;
        }
        let (words, bytes) = (HumanCount(self.words), HumanBytes(self.bytes));
        writeln!(out, "\n{words} words read ({bytes}) in {:.2} s", started.elapsed().as_secs_f64())?;
        let rx = db.read()?;
        let (files, postings) = (rx.table(&PATHS)?.len(), rx.table(&POSTINGS)?.len());
        writeln!(out, "the index has {} postings of {} files", HumanCount(postings), HumanCount(files))?;
        Ok(())
    }
}

/// The tables of the index, open in one transaction.
struct Tables<'tx> {
    files: TableMut<'tx, str, (i64, u64, u32, Option<u32>)>,
    paths: TableMut<'tx, u32, str>,
    postings: TableMut<'tx, (String, u32, u32), u32>,
    words: TableMut<'tx, u32, str>,
}

impl<'tx> Tables<'tx> {
    fn open(tx: &'tx WriteTxn) -> Result<Tables<'tx>> {
        Ok(Tables {
            files: tx.table(&FILES)?,
            paths: tx.table(&PATHS)?,
            postings: tx.table(&POSTINGS)?,
            words: tx.table(&WORDS)?,
        })
    }

    fn put_file(&mut self, path: &str, file: IndexedFile) -> Result<()> {
        let IndexedFile { stamp: Stamp { modified, size }, checksum, id } = file;
        self.files.insert(path, (modified, size, checksum, id))?;
        Ok(())
    }

    /// Inserts the words of a text, and returns how many there are.
    fn add_text(&mut self, id: u32, path: &str, text: &str) -> Result<u64> {
        let text = text.to_lowercase();
        let mut places: Vec<(&str, u32)> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            places.extend(words_of(line).map(|word| (word, number)));
        }
        // In the order of the keys, so that consecutive inserts go to the same pages.
        places.sort_unstable();
        for same in places.chunk_by(|one, other| one == other) {
            let (word, line) = same[0];
            self.postings.insert((word, id, line), same.len() as u32)?;
        }
        let count = places.len() as u64;
        let mut words: Vec<&str> = places.into_iter().map(|(word, _)| word).collect();
        words.dedup();
        self.words.insert(id, words.join("\n"))?;
        self.paths.insert(id, path)?;
        Ok(count)
    }

    /// Removes all that `add_text` inserted: each word's postings in this file are one range.
    fn remove_text(&mut self, id: u32) -> Result<()> {
        self.paths.remove(id)?;
        for word in self.words.take(id)?.unwrap_or_default().lines() {
            self.postings.remove_range((word, id, 0)..=(word, id, u32::MAX))?;
        }
        Ok(())
    }
}

/// Runs of letters, digits and underscores.
fn words_of(line: &str) -> impl Iterator<Item = &str> {
    line.split(|symbol| !is_word_symbol(symbol)).filter(|word| (1..=MAX_WORD).contains(&word.len()))
}

fn is_word_symbol(symbol: char) -> bool {
    symbol.is_alphanumeric() || symbol == '_'
}

struct Indexer<'a> {
    db: &'a Db,
    root: &'a Path,
    next_id: u32,
    tally: Tally,
    progress: ProgressBar,
}

impl<'a> Indexer<'a> {
    fn new(db: &'a Db, root: &'a Path, plan: Plan) -> Result<Indexer<'a>> {
        let last_id = db.read()?.table(&PATHS)?.last()?.map(|(id, _)| id);
        let next_id = last_id.map_or(0, |id| id + 1);
        Ok(Indexer { db, root, next_id, tally: plan.tally, progress: ProgressBar::hidden() })
    }

    /// Commits one transaction for each batch of files. The next batch is read while the one before is made durable;
    /// when the last is durable, all are.
    fn run(&mut self, jobs: Vec<Job>) -> Result<()> {
        self.progress = progress_bar(jobs.iter().map(Job::bytes).sum());
        let mut last_commit = None;
        let mut jobs = jobs.into_iter().peekable();
        while jobs.peek().is_some() {
            let tx = self.db.write()?;
            let mut tables = Tables::open(&tx)?;
            let mut bytes = 0;
            while bytes < BATCH_BYTES
                && let Some(job) = jobs.next()
            {
                bytes += job.bytes();
                self.progress.inc(job.bytes());
                self.do_job(&mut tables, job)?;
            }
            drop(tables);
            last_commit = Some(tx.commit_deferred()?);
        }
        last_commit.map(|ticket| ticket.wait()).transpose()?;
        self.progress.finish_and_clear();
        Ok(())
    }

    fn do_job(&mut self, tables: &mut Tables<'_>, job: Job) -> Result<()> {
        match job {
            Job::Drop { path, before } => {
                tables.files.remove(&path)?;
                before.id.map(|id| tables.remove_text(id)).transpose()?;
                self.tally.removed += 1;
            }
            Job::Read { path, stamp, before } => match self.read(&path, stamp) {
                Ok(content) => self.index_file(tables, &path, stamp, before, &content)?,
                Err(error) => {
                    self.progress.suspend(|| eprintln!("word_index: cannot read {path}: {error}"));
                    self.tally.unreadable += 1;
                }
            },
        }
        Ok(())
    }

    fn read(&self, path: &str, stamp: Stamp) -> Result<Vec<u8>> {
        if stamp.size > LARGEST_FILE {
            bail!("it is larger than {}", HumanBytes(LARGEST_FILE));
        }
        Ok(fs::read(self.root.join(path))?)
    }

    fn index_file(
        &mut self,
        tables: &mut Tables<'_>,
        path: &str,
        stamp: Stamp,
        before: Option<IndexedFile>,
        content: &[u8],
    ) -> Result<()> {
        let checksum = crc32fast::hash(content);
        self.tally.bytes += content.len() as u64;
        if let Some(before) =
            before.filter(|before| before.stamp.size == stamp.size && before.checksum == checksum)
        {
            // It was touched, but not changed.
            self.tally.unchanged(before);
            return tables.put_file(path, IndexedFile { stamp, ..before });
        }
        match before {
            Some(_) => self.tally.changed += 1,
            None => self.tally.new += 1,
        }
        let old_id = before.and_then(|before| before.id);
        old_id.map(|id| tables.remove_text(id)).transpose()?;
        let id = if content.contains(&0) {
            self.tally.binary += 1;
            None
        } else {
            let id = old_id.unwrap_or_else(|| self.new_id());
            self.tally.words += tables.add_text(id, path, &String::from_utf8_lossy(content))?;
            Some(id)
        };
        tables.put_file(path, IndexedFile { stamp, checksum, id })
    }

    fn new_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }
}

impl Job {
    fn bytes(&self) -> u64 {
        match self {
            Job::Read { stamp, .. } => stamp.size,
            Job::Drop { before, .. } => before.stamp.size,
        }
    }
}

/// A progress bar on standard error, if that is a terminal.
fn progress_bar(bytes: u64) -> ProgressBar {
    if bytes < PROGRESS_FROM_BYTES {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
    ProgressBar::new(bytes).with_style(style.expect("the template is right"))
}

// ---- finding ----

/// A word that was asked for, or the beginning of words.
struct Query {
    text: String,
    is_prefix: bool,
}

impl Query {
    fn parse(given: &str) -> Result<Query> {
        let lower = given.to_lowercase();
        let (text, is_prefix) = match lower.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (lower.as_str(), false),
        };
        if text.is_empty() || !text.chars().all(is_word_symbol) {
            bail!("{given:?} is not a word: words are letters, digits and underscores, and may end in *");
        }
        Ok(Query { text: text.to_owned(), is_prefix })
    }

    fn find(&self, postings: &TableRef<'_, (String, u32, u32), u32>) -> Result<Vec<Hit>> {
        let entries: Range<'_, _, _> = match self.is_prefix {
            true => postings.range((self.text.as_str(), 0, 0)..),
            false => postings.prefix((self.text.as_str(),)),
        };
        let mut hits = Vec::new();
        for entry in entries {
            let ((word, file_id, line), count) = entry?;
            if !word.starts_with(self.text.as_str()) {
                break;
            }
            hits.push(Hit { file_id, line, word, count });
        }
        Ok(hits)
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Hit {
    file_id: u32,
    line: u32,
    word: String,
    count: u32,
}

fn find(database: &Path, words: &[String], all: bool) -> Result<ExitCode> {
    let queries = words.iter().map(|word| Query::parse(word)).collect::<Result<Vec<Query>>>()?;
    let db = open_index(database)?;
    let rx = db.read()?;
    let root = indexed_directory(&rx, database)?;
    let postings = rx.table(&POSTINGS)?;

    let mut hits = Vec::new();
    let mut in_all: Option<BTreeSet<u32>> = None;
    for (query, word) in queries.iter().zip(words) {
        let found = query.find(&postings)?;
        let files: BTreeSet<u32> = found.iter().map(|hit| hit.file_id).collect();
        print_summary(word, &found, files.len());
        in_all = Some(in_all.map_or_else(|| files.clone(), |before| &before & &files));
        hits.extend(found);
    }
    let in_all = in_all.unwrap_or_default();
    if words.len() > 1 {
        eprintln!("all of them: in {}", counted(in_all.len() as u64, "file"));
    }
    if all {
        hits.retain(|hit| in_all.contains(&hit.file_id));
    }
    print_hits(&rx, Path::new(root), &hits)?;
    Ok(if hits.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn open_index(database: &Path) -> Result<Db> {
    match Db::options().read_only(true).open(database) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            bail!(
                "there is no {}: run without --find and --stats to index a directory first",
                database.display()
            )
        }
        other => Ok(other?),
    }
}

/// Prints on standard error, so that standard output has only the list.
fn print_summary(word: &str, hits: &[Hit], files: usize) {
    let times: u64 = hits.iter().map(|hit| u64::from(hit.count)).sum();
    let lines: BTreeSet<(u32, u32)> = hits.iter().map(|hit| (hit.file_id, hit.line)).collect();
    match times {
        0 => eprintln!("{word}: in no file"),
        _ => eprintln!(
            "{word}: {}, on {}, in {}",
            counted(times, "time"),
            counted(lines.len() as u64, "line"),
            counted(files as u64, "file")
        ),
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Prints by file, line and word: `path:line`, count and word, separated by tabs.
fn print_hits(rx: &ReadTxn, root: &Path, hits: &[Hit]) -> Result<()> {
    let ids: BTreeSet<u32> = hits.iter().map(|hit| hit.file_id).collect();
    let paths = rx.table(&PATHS)?.get_many(&ids)?;
    let paths: BTreeMap<u32, &str> =
        ids.into_iter().zip(paths).filter_map(|(id, path)| Some((id, path?))).collect();

    let mut rows: Vec<(&str, u32, &str, u32)> = Vec::with_capacity(hits.len());
    for hit in hits {
        let path = paths.get(&hit.file_id).ok_or_else(|| anyhow!("file {} has no path", hit.file_id))?;
        rows.push((path, hit.line, &hit.word, hit.count));
    }
    rows.sort_unstable();
    // Two queries can find the same word: `leaf` and `leaf*`.
    rows.dedup();

    let root = match std::env::current_dir() {
        Ok(current) if current == root => PathBuf::new(),
        _ => root.to_owned(),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    for (path, line, word, count) in rows {
        writeln!(out, "{}:{line}\t{count}\t{word}", root.join(path).display())?;
    }
    Ok(out.flush()?)
}

// ---- statistics ----

fn print_stats(database: &Path) -> Result<ExitCode> {
    let db = open_index(database)?;
    let rx = db.read()?;
    let stats = db.stats()?;
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "database     {}", database.display())?;
    writeln!(out, "index of     {}", indexed_directory(&rx, database)?)?;
    writeln!(out, "file         {} ({} bytes)", HumanBytes(stats.file_bytes), stats.file_bytes)?;
    writeln!(out, "pages        {} of {} bytes", HumanCount(stats.pages.into()), stats.page_size)?;
    writeln!(out, "             {} free, {} retired", stats.free_pages, stats.retired_pages)?;
    writeln!(out, "transaction  {} is the newest, {} is durable", stats.newest, stats.durable)?;
    writeln!(out, "readers      {}, this one included", stats.readers)?;
    writeln!(out, "barriers     {} since it was opened", stats.syncs)?;
    writeln!(out, "tables       {}", stats.tables)?;
    for table in rx.tables()? {
        let (name, entries) = (&table.name, HumanCount(table.entries).to_string());
        let types = format!("{} -> {}", table.key_type, table.value_type);
        writeln!(out, "  {name:<10} {entries:>12} entries, {} levels, {types}", table.depth)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
