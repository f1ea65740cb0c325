//! Incremental backups: `backup`, `restore`.

use std::fs::File;
use std::io::{BufReader, IsTerminal, Read, stdin, stdout};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::Answer;
use crate::failure::{Failure, file_failure, open_to_look, wrong};
use crate::interrupt::{making, on_interrupt};
use crate::progress::{bytes, count};

/// Writes what has changed since the last backup, while others go on writing. The first backup of all is a `copy`.
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
            return Err(wrong("an increment is nothing for a terminal: send it to a file or a pipe"));
        }
        let db = open_to_look(&self.file)?;
        let rx = db.read()?;
        let number = self.since.to_str().and_then(|text| text.parse::<u64>().ok());
        let since = match number {
            // A file that is called like a number is given as ./7.
            Some(number) => number,
            None => rx.transaction_of(&self.since)?,
        };
        on_interrupt(if is_stream { ": the increment is not complete" } else { ": there is no increment" });
        let made = match is_stream {
            true => rx.increment_to_writer(since, &mut stdout().lock())?,
            false => making(&self.increment, |place| rx.increment_to(since, place))?,
        };
        eprintln!(
            "transactions {} to {}: {} pages, {}",
            made.since,
            made.transaction,
            count(made.pages.into()),
            bytes(made.bytes)
        );
        if !made.may_be_followed {
            eprintln!(
                "transaction {} is not durable yet: no other increment can follow this one",
                made.transaction
            );
        }
        Ok(Answer::Done)
    }
}

/// Makes a new database of a copy and the increments that follow it. The copy is only read.
#[derive(Args)]
#[command(override_usage = "mapleaf restore <COPY> <INCREMENT>... <NEW_FILE>")]
#[command(after_help = "Examples:
  mapleaf restore sunday.mapleaf monday.increment tuesday.increment restored.mapleaf
  ssh host 'cat monday.increment' | mapleaf restore sunday.mapleaf - restored.mapleaf

Every page of the new database is verified before it gets its name. A file that is there is never replaced.")]
pub(crate) struct Restore {
    /// The copy, or an earlier restored one, to which nobody has written.
    copy: PathBuf,
    /// The increments, oldest first; - for standard input. Then the new file.
    #[arg(required = true, num_args = 2.., value_names = ["INCREMENTS", "NEW_FILE"])]
    files: Vec<PathBuf>,
}

impl Restore {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let Some((new_file, increments)) = self.files.split_last() else {
            return Err(wrong("name the increments, and the new file"));
        };
        let open = |path: &PathBuf| -> Result<Box<dyn Read>, Failure> {
            if path == Path::new("-") {
                return Ok(Box::new(stdin().lock()));
            }
            let file = File::open(path).map_err(file_failure("open", path.display()))?;
            Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
        };
        let increments: Vec<Box<dyn Read>> = increments.iter().map(open).collect::<Result<_, _>>()?;
        on_interrupt(": there is no new database");
        let restore = |place: &Path| mapleaf::restore(&self.copy, increments, place);
        let (transaction, length) = making(new_file, restore)?;
        eprintln!("transaction {transaction} restored: {}", bytes(length));
        Ok(Answer::Done)
    }
}
