//! mapleaf beside its peers: the same work in one run, engines interleaved, results compared.
//!
//! `versus compare` is the comparison, `versus publish` puts its figures into the documents; `versus measure` counts
//! what clocks cannot show; `versus sharing` has many processes and threads use one database; `versus build` and
//! `versus run` do one piece of work each, for `measure` and for profilers.
#![deny(unsafe_code)]

mod compare;
mod duration;
mod engines;
mod machine;
mod marks;
mod matrix;
mod measure;
mod memory;
mod multimap;
mod place;
mod report;
mod run;
mod sharing;
mod workload;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all engines side by side on the same work and print a table.
    Compare(compare::Arguments),
    /// Put figures that `compare` has written into a document, with pictures.
    Publish(report::publish::Arguments),
    /// Run the peers side by side on keys and values of many shapes, and print the worst ratio of each work.
    Matrix(matrix::Arguments),
    /// Run multimap tables side by side with LMDB's tables with duplicates and redb's, and print tables.
    Multimap(multimap::Arguments),
    /// Count system calls, bytes, faults and instructions.
    Measure(measure::Arguments),
    /// Share a database among processes and threads: lookups, group commit, parked readers, memory.
    Sharing(sharing::Arguments),
    /// Be one of the processes that `sharing` starts: orders come as lines of JSON, answers go the same way.
    Serve(sharing::process::Arguments),
    /// Make a database.
    Build(run::BuildArguments),
    /// Do one piece of work on a database, and print what it took as JSON.
    Run(run::Arguments),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Publish(arguments) => report::publish::publish(&arguments),
        Command::Matrix(arguments) => matrix::matrix(&arguments),
        Command::Multimap(arguments) => multimap::multimap(&arguments),
        Command::Measure(arguments) => measure::measure(&arguments),
        Command::Sharing(arguments) => sharing::sharing(&arguments),
        Command::Serve(arguments) => sharing::process::serve(&arguments),
        Command::Build(arguments) => run::build(&arguments),
        Command::Run(arguments) => run::run(&arguments),
    }
}
