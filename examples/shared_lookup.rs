//! Many processes look entries up in one database, in the same physical pages, while another process writes.
//!
//! ```text
//! cargo run --release --example shared_lookup                             2 readers, 1 writer, 5 seconds
//! cargo run --release --example shared_lookup -- --readers 8 --no-writer
//! cargo run --release --example shared_lookup -- --from packages.tsv      each line of a file is an entry
//! ```
//!
//! It starts the readers itself: the same program, in processes of their own. At the end it prints how many lookups
//! each of them made in a second, and how much memory each takes. The pages of the database are in memory once,
//! however many processes have them mapped. The proportional share of each process shows this: a page that N
//! processes share counts 1/N for each.
//!
//! Each value that is read is checked: it must be complete, and not of a later transaction than the reader's
//! snapshot.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::str;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use indicatif::{HumanBytes, HumanCount};
use mapleaf::{Db, Table, TableRef, WriteTxn};

/// From an entry's number to the transaction that wrote it, a checksum of all of it, and its text. The numbers go
/// from 0 up without a gap.
const ENTRIES: Table<u64, (u64, u64, String)> = Table::new("entries");

/// A reader begins a new read transaction after this many lookups, so that it sees what was written meanwhile.
const LOOKUPS_PER_SNAPSHOT: u64 = 1000;

/// Entries that the writer replaces in each transaction.
const CHANGES_PER_COMMIT: u64 = 100;

/// The messages to the readers.
const BEGIN: &str = "begin";
const MEASURE: &str = "measure";

/// Lets many processes look entries up in one database, while another goes on writing.
#[derive(Parser)]
#[command(name = "shared_lookup")]
struct Arguments {
    /// The file that holds the entries; those of an earlier run are replaced
    #[arg(long, value_name = "FILE", default_value = "shared.mapleaf")]
    database: PathBuf,

    /// Make this many entries
    #[arg(long, value_name = "COUNT", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    entries: u64,

    /// Or take them from this text file: each line is one
    #[arg(long, value_name = "FILE", conflicts_with = "entries")]
    from: Option<PathBuf>,

    /// Processes that read
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    readers: u32,

    /// How long they read
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,

    /// Do not write meanwhile
    #[arg(long)]
    no_writer: bool,

    #[command(subcommand)]
    reader: Option<Hidden>,
}

#[derive(Subcommand)]
enum Hidden {
    /// Be one of the readers
    #[command(hide = true)]
    Reader { database: PathBuf, milliseconds: u64 },
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse()?;
    if !(0.001..=1e6).contains(&seconds) {
        bail!("it is not between 0.001 and 1000000");
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.reader {
        Some(Hidden::Reader { database, milliseconds }) => {
            read(database, Duration::from_millis(*milliseconds))
        }
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shared_lookup: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether the reader of the output has closed it: `| head` is not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

// ---- the first process: loads, starts the readers, writes ----

fn run(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let db = Db::open(&arguments.database)?;
    // The file may have several names; the system uses this one.
    let path = arguments.database.canonicalize().context("cannot find the database")?;
    let count = load(&db, arguments)?;
    let mut out = io::stdout();
    writeln!(
        out,
        "{} entries loaded into {} in {:.2} s\nfor {:.1?}: {} to look them up, {} to write\n",
        HumanCount(count),
        arguments.database.display(),
        started.elapsed().as_secs_f64(),
        arguments.seconds,
        processes(arguments.readers),
        processes(u32::from(!arguments.no_writer)),
    )?;
    // Without a writer it is closed here, because its mapping would share pages with the readers.
    let db = (!arguments.no_writer).then_some(db);

    let mut readers: Vec<Reader> = (1..=arguments.readers)
        .map(|number| Reader::start(number, &path, arguments))
        .collect::<Result<_>>()?;
    for reader in &mut readers {
        reader.answer()?; // it has opened the database
    }
    for reader in &mut readers {
        reader.tell(BEGIN)?;
    }
    let commits = db.as_ref().map(|db| write(db, count, arguments.seconds)).transpose()?;

    // Each measures its memory when all have finished reading, and stays until all have measured: if the others were
    // gone, shared pages would count as its own.
    let lookups = readers.iter_mut().map(Reader::answer).collect::<Result<Vec<_>>>()?;
    let mut memory = Vec::new();
    for reader in &mut readers {
        reader.tell(MEASURE)?;
        memory.push(Memory::from_numbers(&reader.answer()?));
    }
    let own_memory = Memory::of_this_process(&path);
    for reader in &mut readers {
        reader.end()?;
    }

    print_row(&mut out, "", "lookups/s", ["resident", "shared", "private", "its share", "other memory"])?;
    let mut lookups_together = 0;
    for ((reader, lookups), memory) in readers.iter().zip(&lookups).zip(&memory) {
        let &[count, nanoseconds] = &lookups[..] else {
            bail!("reader {} said something else", reader.number)
        };
        let per_second = per_second(count, Duration::from_nanos(nanoseconds));
        lookups_together += per_second;
        let name = format!("reader {} (process {})", reader.number, reader.child.id());
        print_row(&mut out, &name, &HumanCount(per_second).to_string(), Memory::columns(memory.as_ref()))?;
    }
    if let Some(commits) = commits {
        let name = format!("writer (process {})", process::id());
        print_row(&mut out, &name, "", Memory::columns(own_memory.as_ref()))?;
        memory.push(own_memory);
        writeln!(
            out,
            "\nthe writer has made {} durable commits a second, of {CHANGES_PER_COMMIT} entries each",
            HumanCount(per_second(commits, arguments.seconds))
        )?;
    } else {
        writeln!(out)?;
    }
    writeln!(
        out,
        "together {} lookups a second; each value was as it should be",
        HumanCount(lookups_together)
    )?;
    if let Some(memory) = memory.into_iter().collect::<Option<Vec<Memory>>>() {
        let of_all = |bytes: fn(&Memory) -> u64| HumanBytes(memory.iter().map(bytes).sum());
        writeln!(
            out,
            "the database in memory: {}; it would be {} if nothing were shared",
            of_all(|memory| memory.proportional),
            of_all(|memory| memory.shared + memory.private)
        )?;
    }
    Ok(())
}

fn processes(count: u32) -> String {
    match count {
        0 => "none".to_owned(),
        1 => "1 process".to_owned(),
        _ => format!("{count} processes"),
    }
}

fn per_second(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64()) as u64
}

fn print_row(out: &mut impl Write, name: &str, lookups: &str, columns: [impl ToString; 5]) -> io::Result<()> {
    let [resident, shared, private, proportional, other] = columns.map(|column| column.to_string());
    writeln!(
        out,
        "{name:25} {lookups:>11} {resident:>12} {shared:>12} {private:>12} {proportional:>12} {other:>13}"
    )
}

/// Replaces all entries, and returns how many there are.
fn load(db: &Db, arguments: &Arguments) -> Result<u64> {
    let tx = db.write()?;
    let mut entries = tx.table(&ENTRIES)?;
    entries.clear()?;
    match &arguments.from {
        None => {
            for number in 0..arguments.entries {
                let text =
                    format!("this is entry {number}, and there is nothing in it but these words about it");
                entries
                    .insert(number, (tx.id().get(), checksum(number, tx.id().get(), &text), text.as_str()))?;
            }
        }
        Some(file) => {
            let open = || format!("cannot read {}", file.display());
            let lines = BufReader::new(fs::File::open(file).with_context(open)?).split(b'\n');
            for (line, number) in lines.zip(0..) {
                let line = line.with_context(open)?;
                let text = str::from_utf8(&line).map_err(|error| {
                    anyhow!("line {} of {}: it is not UTF-8: {error}", number + 1, file.display())
                })?;
                entries.insert(number, (tx.id().get(), checksum(number, tx.id().get(), text), text))?;
            }
        }
    }
    let count = entries.len();
    if count == 0 {
        bail!("there is no line in the file");
    }
    drop(entries);
    tx.commit()?;
    Ok(count)
}

/// Replaces random entries, in one durable transaction after the other, and returns how many there were.
fn write(db: &Db, count: u64, time: Duration) -> Result<u64> {
    let deadline = Instant::now() + time;
    let mut random = Random::new();
    let mut commits = 0;
    while Instant::now() < deadline {
        db.update(|tx| (0..CHANGES_PER_COMMIT).try_for_each(|_| rewrite(tx, random.below(count))))?;
        commits += 1;
    }
    Ok(commits)
}

fn rewrite(tx: &WriteTxn, number: u64) -> mapleaf::Result<()> {
    let mut entries = tx.table(&ENTRIES)?;
    let Some(text) = entries.get(number)?.map(|(_, _, text)| text.to_owned()) else { return Ok(()) };
    entries.insert(number, (tx.id().get(), checksum(number, tx.id().get(), &text), text)).map(drop)
}

/// A reader, as the first process sees it. It replies to each message with a line of numbers.
struct Reader {
    number: u32,
    child: Child,
    /// The reader ends when this is closed, also if this process is killed.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Reader {
    fn start(number: u32, database: &Path, arguments: &Arguments) -> Result<Reader> {
        let mut child = Command::new(std::env::current_exe().context("cannot find this program")?)
            .arg("reader")
            .arg(database)
            .arg(arguments.seconds.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start reader {number}"))?;
        let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
        Ok(Reader { number, input: child.stdin.take(), child, output })
    }

    fn tell(&mut self, what: &str) -> Result<()> {
        let input = self.input.as_mut().expect("it is open until the end");
        writeln!(input, "{what}").map_err(|error| anyhow!("reader {} is gone: {error}", self.number))
    }

    fn answer(&mut self) -> Result<Vec<u64>> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("reader {} has ended early: {}", self.number, self.child.wait()?);
        }
        line.split_whitespace().map(|number| Ok(number.parse()?)).collect()
    }

    fn end(&mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(anyhow!("reader {} ended badly: {status}", self.number)) }
    }
}

impl Drop for Reader {
    /// After an error the other readers are not needed any more.
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- a reader ----

fn read(database: &Path, time: Duration) -> Result<()> {
    let db = Db::options().read_only(true).open(database)?;
    let mut orders = io::stdin().lines();
    let mut is_told = |order: &str| orders.next().is_some_and(|line| line.is_ok_and(|line| line == order));
    let mut out = io::stdout();
    writeln!(out)?;
    if !is_told(BEGIN) {
        return Ok(()); // the first process has failed, or is gone
    }

    let (started, mut random, mut lookups) = (Instant::now(), Random::new(), 0);
    while started.elapsed() < time {
        let rx = db.read()?;
        let entries = rx.table(&ENTRIES)?;
        for _ in 0..LOOKUPS_PER_SNAPSHOT {
            check(&entries, random.below(entries.len()), rx.id().get())?;
        }
        lookups += LOOKUPS_PER_SNAPSHOT;
    }
    writeln!(out, "{lookups} {}", started.elapsed().as_nanos())?;

    if is_told(MEASURE) {
        let numbers = Memory::of_this_process(database).map(|memory| memory.to_numbers());
        writeln!(out, "{}", numbers.unwrap_or_default())?;
        is_told(""); // stays until its input ends
    }
    Ok(())
}

fn check(entries: &TableRef<'_, u64, (u64, u64, String)>, number: u64, snapshot: u64) -> Result<()> {
    let Some((transaction, sum, text)) = entries.get(number)? else {
        bail!("entry {number} is not there in snapshot {snapshot}");
    };
    if transaction > snapshot {
        bail!("entry {number} in snapshot {snapshot} is from transaction {transaction}");
    }
    if sum != checksum(number, transaction, text) {
        bail!("entry {number} in snapshot {snapshot} is not as it was written");
    }
    Ok(())
}

/// A checksum of number, transaction and text: fast, not cryptographic.
fn checksum(number: u64, transaction: u64, text: &str) -> u64 {
    let mix = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let begin = mix(mix(text.len() as u64, number), transaction);
    text.as_bytes().chunks(8).fold(begin, |sum, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(sum, u64::from_le_bytes(word))
    })
}

/// Numbers that are random enough to be looked up (SplitMix64).
struct Random(u64);

impl Random {
    /// Each process has its own.
    fn new() -> Random {
        Random(u64::from(process::id()) << 32)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % limit
    }
}

// ---- memory ----

/// The physical memory of a process, in bytes: pages of the database, and the rest.
#[derive(Default)]
struct Memory {
    /// Pages that other processes have mapped too.
    shared: u64,
    private: u64,
    /// Each page divided by the number of processes that have it mapped.
    proportional: u64,
    /// What belongs to this process alone: heap, stacks.
    other_private: u64,
}

impl Memory {
    /// Reads it from the kernel; `None` without `/proc`.
    fn of_this_process(database: &Path) -> Option<Memory> {
        let database = database.to_str()?;
        let mut memory = Memory::default();
        let mut is_database = false;
        for line in fs::read_to_string("/proc/self/smaps").ok()?.lines() {
            // Each mapping has a line with its addresses and its file, and then one for each property, "Pss: 12 kB".
            let (name, rest) = line.split_once(char::is_whitespace)?;
            let Some(property) = name.strip_suffix(':') else {
                is_database = rest.strip_suffix(database).is_some_and(|before| before.ends_with(' '));
                continue;
            };
            let bytes = || rest.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024);
            match (property, is_database) {
                ("Shared_Clean" | "Shared_Dirty", true) => memory.shared += bytes()?,
                ("Private_Clean" | "Private_Dirty", true) => memory.private += bytes()?,
                ("Pss", true) => memory.proportional += bytes()?,
                ("Private_Clean" | "Private_Dirty", false) => memory.other_private += bytes()?,
                _ => {}
            }
        }
        Some(memory)
    }

    fn to_numbers(&self) -> String {
        format!("{} {} {} {}", self.shared, self.private, self.proportional, self.other_private)
    }

    fn from_numbers(numbers: &[u64]) -> Option<Memory> {
        let &[shared, private, proportional, other_private] = numbers else { return None };
        Some(Memory { shared, private, proportional, other_private })
    }

    fn columns(memory: Option<&Memory>) -> [String; 5] {
        let Some(memory) = memory else { return ["-"; 5].map(str::to_owned) };
        let Memory { shared, private, proportional, other_private } = *memory;
        [shared + private, shared, private, proportional, other_private]
            .map(|bytes| HumanBytes(bytes).to_string())
    }
}
