//! What mapping a file buys and costs against the other ways to read and write it, on the machine that this runs on.
//!
//! `io_paths run` measures, `io_paths publish` puts what it has written into docs/MMAP.md.
#![deny(unsafe_code)]

mod claims;
mod commit;
mod copies;
#[path = "../../versus/src/duration.rs"]
mod duration;
mod figures;
mod log;
#[allow(dead_code, reason = "benches/versus uses more of it")]
#[path = "../../versus/src/machine.rs"]
mod machine;
#[path = "../../versus/src/marks.rs"]
mod marks;
#[path = "../../versus/src/memory.rs"]
mod memory;
mod paging;
mod processes;
mod reads;
mod ring;
mod stores;
mod system;
mod work;

use std::fs::File;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::figures::{Report, Runner};
use crate::machine::Machine;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, and print tables.
    Run(RunArguments),
    /// Put figures that `run` has written into a document.
    Publish(PublishArguments),
    /// Be one of the processes that `run` starts.
    Process(processes::Arguments),
}

#[derive(clap::Args)]
struct RunArguments {
    /// What to measure; all of it by default.
    #[arg(value_enum)]
    what: Vec<What>,
    /// A file of 256 MiB and few rounds: about a minute.
    #[arg(long)]
    quick: bool,
    /// Rounds, of which the medians are printed.
    #[arg(long)]
    rounds: Option<usize>,
    /// The size of the file.
    #[arg(long)]
    mebibytes: Option<u64>,
    /// Where the files are made, in a new folder that is removed at the end; on a disk, not in memory.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Writes the figures to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum What {
    /// Reading, at random and in sequence, warm and cold.
    Reads,
    /// Writing, with small and large folios.
    Stores,
    /// Demand paging, pre-population, the processor's address cache.
    Paging,
    /// Memory of several processes, short memory, a file that is cut.
    Processes,
    /// Copying out.
    Copies,
    /// Commits as pages of a tree, and at the end of a log.
    Log,
    /// The system calls that a commit cannot do without.
    Commit,
}

#[derive(clap::Args)]
struct PublishArguments {
    /// What `run --json` has written.
    #[arg(long)]
    json: PathBuf,
    /// The document, with the marks `io_paths: begin`, `io_paths: end` and those of the claims.
    #[arg(long, default_value = "../../docs/MMAP.md")]
    document: PathBuf,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Publish(arguments) => publish(&arguments),
        Command::Process(arguments) => processes::be(&arguments),
    }
}

fn run(arguments: &RunArguments) -> Result<()> {
    machine::check_is_on_disk(&arguments.folder)?;
    let folder = tempfile::Builder::new().prefix("io-paths-").tempdir_in(&arguments.folder)?;
    let machine = Machine::new(folder.path())?;
    let load = || sysinfo::System::load_average().map_or(0.0, |load| load.one);
    let load_before = load();
    let mebibytes = arguments.mebibytes.unwrap_or(if arguments.quick { 256 } else { 1024 }).max(64);
    let bytes = mebibytes << 20;
    let shrink = if arguments.quick { 4 } else { 1 };
    let path = work::make_file(folder.path(), "data", bytes)?;
    let file = File::open(&path)?;
    let mut runner = Runner::new(arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 7 }).max(1));
    let wants = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    let (lookups, cold_lookups) = (100_000 / shrink, 4000 / shrink);
    if wants(What::Reads) {
        let reads = reads::Reads { file: &file, bytes, lookups, cold_lookups, cold_bytes: 64 << 20 };
        reads::run(&mut runner, reads)?;
    }
    if wants(What::Stores) {
        stores::run(&mut runner, folder.path())?;
    }
    if wants(What::Paging) {
        paging::run(&mut runner, &file, bytes)?;
    }
    if wants(What::Processes) {
        processes::run(&mut runner, folder.path(), &path, cold_lookups)?;
    }
    if wants(What::Copies) {
        copies::run(&mut runner, folder.path(), &file, bytes.min(256 << 20))?;
    }
    if wants(What::Log) {
        log::run(&mut runner, folder.path())?;
    }
    if wants(What::Commit) {
        commit::run(&mut runner, folder.path())?;
    }
    let report = runner.finish(machine, load_before.max(load()), mebibytes);
    println!("{}; load average up to {:.1}; a file of {mebibytes} MiB", report.machine, report.load);
    for section in &report.sections {
        println!("\n{}\n{}", section.title, section.table(false));
    }
    report.facts.iter().for_each(|fact| println!("{fact}"));
    println!("\n{}", claims::table(&report, false));
    arguments.json.as_deref().map_or(Ok(()), |file| report.write(file))
}

fn publish(arguments: &PublishArguments) -> Result<()> {
    use std::fmt::Write;
    let report = Report::read(&arguments.json)?;
    let mut text = String::new();
    writeln!(text, "{}; load average up to {:.1}.", report.machine, report.load)?;
    writeln!(
        text,
        "A file of {} MiB. Medians of the rounds; beside a time half the distance",
        report.mebibytes
    )?;
    writeln!(text, "between the quartiles.")?;
    for section in &report.sections {
        writeln!(text, "\n**{}**\n\n{}", section.title, section.table(true))?;
    }
    report.facts.iter().try_for_each(|fact| writeln!(text, "\n{fact}"))?;
    marks::replace(&arguments.document, "io_paths figures", &text)?;
    marks::replace(&arguments.document, "io_paths claims", &claims::table(&report, true).to_string())
}
