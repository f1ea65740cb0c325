//! `backup`: what has changed since the last backup.

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::human::{bytes, count};
use crate::interrupt::on_interrupt;
use crate::open::{checkpoint_for_increments, open_read_only};
use crate::outcome::{Answer, Failure, wrong};
use crate::staging::create_file;

/// Writes what has changed since the last backup, while others go on writing. The first backup is a `copy`.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf copy app.mapleaf sunday.mapleaf
  mapleaf backup --since sunday.mapleaf app.mapleaf monday.increment
  mapleaf backup --since monday.increment app.mapleaf tuesday.increment
  mapleaf restore sunday.mapleaf monday.increment tuesday.increment restored.mapleaf
  mapleaf backup --since sunday.mapleaf app.mapleaf - | ssh host 'cat > monday.increment'")]
pub(crate) struct Backup {
    /// The backup that this one follows, a copy or an increment; or the number of its transaction.
    #[arg(long, value_name = "BACKUP")]
    since: PathBuf,
    /// The database.
    file: PathBuf,
    /// The new file; - for standard output.
    increment: PathBuf,
}

impl Backup {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let is_stream = self.increment == Path::new("-");
        if is_stream && stdout().is_terminal() {
            return Err(wrong(
                "an increment is not text for a terminal: redirect standard output to a file or a pipe",
            ));
        }
        let db = open_read_only(&self.file)?;
        let rx = db.read()?;
        checkpoint_for_increments(&db, &rx, &self.file)?;
        let number = self.since.to_str().and_then(|text| text.parse().ok());
        let since = match number {
            // A file that is called like a number is given as ./7.
            Some(number) => number,
            None => rx.transaction_of(&self.since)?,
        };
        on_interrupt(if is_stream { ": the increment is not complete" } else { ": there is no increment" });
        let made = match is_stream {
            true => rx.copy().since(since).to_writer(&mut stdout().lock())?,
            false => create_file(&self.increment, |place| rx.copy().since(since).to_path(place))?,
        };
        eprintln!(
            "transactions {} to {}: {} pages, {}",
            since,
            made.transaction,
            count(made.pages.into()),
            bytes(made.bytes)
        );
        if !made.may_be_followed {
            eprintln!(
                "transaction {} is not in a checkpoint: no other increment can follow this one",
                made.transaction
            );
        }
        Ok(Answer::Done)
    }
}
