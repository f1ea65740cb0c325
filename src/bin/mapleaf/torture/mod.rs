//! `torture`: workers that commit and say so; and a look, after they were killed or the power was cut, whether all that
//! they said is there. The example `torture` is a program with nothing else in it, of the same code.
//!
//! ```text
//! mapleaf torture run --database t.mapleaf         prints `ACK 1`, `ACK 2`... until killed
//! mapleaf torture verify --database t.mapleaf --acknowledged 2
//! mapleaf torture kill --database t.mapleaf --rounds 100      does both, by itself
//! ```
//!
//! Run on a machine, real or virtual, whose power is cut, it shows what the disk has then. docs/TESTING.md, *Pulling
//! the plug*, says how.
//!
//! Exit codes: 0 all is well; 1 something acknowledged is lost, or something is wrong; 2 it could not be tried.

mod content;
mod kill;
mod log;
mod run;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

/// Commits and is killed, again and again: is all there that was acknowledged?
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf torture kill --database /on/your/disk/t.mapleaf --rounds 1000
  mapleaf torture run --database t.mapleaf > log     until it is killed, or the power is cut
  mapleaf torture verify --database t.mapleaf --log log

The database is one of its own: it is created, and filled with numbers.
Exit codes: 0 all is well; 1 something is lost or wrong; 2 it could not be tried.")]
pub(crate) struct Torture {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Commit, and print `ACK n` (or `ACK worker n`) once commit n is durable
    Run(run::RunArguments),
    /// See that a database has all that was acknowledged, and nothing else
    Verify(verify::VerifyArguments),
    /// Start `run`, kill it, and see that all is there, again and again
    Kill(kill::KillArguments),
}

/// How to write; the same for `run` and `kill`.
#[derive(Args, Clone)]
struct Writing {
    /// The database; it is created if it is not there
    #[arg(long, value_name = "FILE")]
    database: PathBuf,

    /// Workers: threads, each with commits of its own, numbered from 1
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    workers: u64,

    /// What the content follows from; a new database gets one by chance
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// How to commit
    #[arg(long, value_enum, default_value_t = Durability::Durable)]
    durability: Durability,

    /// How to store pages
    #[arg(long, value_enum, default_value_t = WriteMode::Syscall)]
    write_mode: WriteMode,

    /// Bytes in a page of a new database
    #[arg(long, value_name = "BYTES")]
    page_size: Option<usize>,

    /// Bytes in a value of a new database, at most; 6 in 100 are larger [default: 200]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    value_size: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Durability {
    /// Each commit waits until it is durable
    Durable,
    /// No commit waits; every few commits a sync
    Lazy,
    /// Commits with tickets, which are waited for later
    Deferred,
    /// Each of these by turns, at random
    Mixed,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WriteMode {
    Syscall,
    Mapped,
}

/// The name of a value, as it is given as an argument.
fn argument_name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Torture {
    /// `own_arguments` are those by which this program is told to do this.
    pub(crate) fn run(&self, own_arguments: &[&str]) -> ExitCode {
        let done = match &self.command {
            Command::Run(arguments) => run::run(arguments).map(|()| ExitCode::SUCCESS),
            Command::Verify(arguments) => verify::run(arguments),
            Command::Kill(arguments) => kill::run(arguments, own_arguments),
        };
        done.unwrap_or_else(|error| {
            eprintln!("torture: {error:#}");
            ExitCode::from(2)
        })
    }
}

/// Tells what was found, and answers with the exit code for it.
fn conclude(found: &Result<String, verify::Wrong>) -> ExitCode {
    match found {
        Ok(good) => {
            println!("{good}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("torture: {wrong}");
            ExitCode::FAILURE
        }
    }
}
