//! `mapleaf`: looks into databases, moves, checks and mends them. docs/CLI.md is its manual.
//!
//! What commands keep to:
//! - Answers go to standard output, everything else to standard error; `--json` where the answer is data.
//! - Looking at a database opens it read-only: it makes no writer wait, and changes no byte of the file.
//! - What a command writes is one transaction, or one file that gets its name when it is complete. So a command that is
//!   interrupted, at whatever point, has done all of it or nothing (but for `load --commit-every`).
//! - Exit codes: see [`failure`].

mod backup;
mod bench;
mod care;
mod classes;
mod compaction;
mod dump;
mod entries;
mod failure;
mod interrupt;
mod lines;
mod lmdb;
mod load;
mod look;
mod map;
mod page;
mod page_json;
mod page_text;
mod progress;
mod svg;
mod text;
mod torture;
mod tree;
mod types;
mod types_encode;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 the answer is no (no such key, problems found, something lost); 2 the command line or the input
is wrong; 3 the file cannot be used as a database; 4 the system, or others, refused; 130 interrupted; 141 whoever read
the output has gone.";

/// Looks into mapleaf databases, moves, checks and mends them.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Stat(look::Stat),
    Tables(look::Tables),
    Get(entries::Get),
    Put(entries::Put),
    Delete(entries::Delete),
    Scan(entries::Scan),
    Count(entries::Count),
    Check(care::Check),
    Page(page::Page),
    Map(map::Map),
    Tree(tree::Tree),
    Salvage(care::Salvage),
    Copy(care::Copy),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Compact(compaction::Compact),
    Shrink(compaction::Shrink),
    Readers(look::Readers),
    Watch(look::Watch),
    Dump(dump::Dump),
    Load(load::Load),
    Bench(bench::Bench),
    Torture(torture::Torture),
}

/// How a command has ended, if not with an error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Done,
    No,
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
