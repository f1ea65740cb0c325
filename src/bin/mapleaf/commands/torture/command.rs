//! The command, and its three parts.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{kill, run, verify};

/// Commits and is killed, again and again, and verifies that every acknowledged commit is there.
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
    /// Verify that a database has every commit that was acknowledged, and nothing else
    Verify(verify::VerifyArguments),
    /// Start `run`, kill it and verify, again and again
    Kill(kill::KillArguments),
}

impl Torture {
    /// `own_arguments` are those with which this program runs this command.
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
