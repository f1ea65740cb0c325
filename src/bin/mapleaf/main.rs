//! `mapleaf`, the command-line program: reads, changes, checks, copies and repairs databases. docs/CLI.md is its
//! manual.
//!
//! A command is one file in `commands/`, two lines in `commands/mod.rs`, and a variant of [`Command`] here. All of them
//! keep to this:
//! - Results go to standard output, everything else to standard error; `--json` where the result is data.
//! - A command that only reads opens the database read-only: no writer waits for it, and no byte of the file changes.
//! - What a command writes is one transaction, or one file that gets its name when it is complete. So a command that is
//!   interrupted, at any point, has done all of it or nothing (except `load --commit-every`).
//! - Exit codes: see [`outcome`].

mod commands;
mod escape;
mod exchange;
mod human;
mod interrupt;
mod key_range;
mod notation;
mod open;
mod outcome;
mod page_view;
mod pairs;
mod pictures;
mod problems;
mod progress;
mod staging;
mod table_types;
mod types;
mod unused;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use outcome::{Answer, Failure};

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 the answer is no (no such key, problems found, something lost); 2 the command line or the input
is wrong; 3 the file cannot be used as a database; 4 the system, or another process that uses the database, refused;
130 interrupted; 141 the process that read the output is gone.";

/// Reads, changes, checks, copies and repairs mapleaf databases.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Stat(commands::Stat),
    Tables(commands::Tables),
    Get(commands::Get),
    Put(commands::Put),
    Delete(commands::Delete),
    Scan(commands::Scan),
    Count(commands::Count),
    Drop(commands::Drop),
    Rename(commands::Rename),
    Clear(commands::Clear),
    Check(commands::Check),
    Page(commands::Page),
    Map(commands::Map),
    Tree(commands::Tree),
    Salvage(commands::Salvage),
    Copy(commands::Copy),
    Backup(commands::Backup),
    Restore(commands::Restore),
    Compact(commands::Compact),
    Shrink(commands::Shrink),
    Readers(commands::Readers),
    Snapshots(commands::Snapshots),
    Watch(commands::Watch),
    Dump(commands::Dump),
    Load(commands::Load),
    Bench(commands::Bench),
    Torture(commands::Torture),
}

fn run(cli: &Cli) -> Result<Answer, Failure> {
    match &cli.command {
        Command::Stat(stat) => stat.run(),
        Command::Tables(tables) => tables.run(),
        Command::Get(get) => get.run(),
        Command::Put(put) => put.run(),
        Command::Delete(delete) => delete.run(),
        Command::Scan(scan) => scan.run(),
        Command::Count(count) => count.run(),
        Command::Drop(drop) => drop.run(),
        Command::Rename(rename) => rename.run(),
        Command::Clear(clear) => clear.run(),
        Command::Check(check) => check.run(),
        Command::Page(page) => page.run(),
        Command::Map(map) => map.run(),
        Command::Tree(tree) => tree.run(),
        Command::Salvage(salvage) => salvage.run(),
        Command::Copy(copy) => copy.run(),
        Command::Backup(backup) => backup.run(),
        Command::Restore(restore) => restore.run(),
        Command::Compact(compact) => compact.run(),
        Command::Shrink(shrink) => shrink.run(),
        Command::Readers(readers) => readers.run(),
        Command::Snapshots(snapshots) => snapshots.run(),
        Command::Watch(watch) => watch.run(),
        Command::Dump(dump) => dump.run(),
        Command::Load(load) => load.run(),
        Command::Bench(bench) => bench.run(),
        Command::Torture(_) => Ok(Answer::Done), // done before
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Torture(torture) = &cli.command {
        return torture.run(&["torture"]); // which has its own way to be interrupted
    }
    interrupt::end_on_interrupt();
    match run(&cli) {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("mapleaf: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}
