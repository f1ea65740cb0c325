//! `copy`: the state of one transaction, as another database.

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::human::bytes;
use crate::interrupt::on_interrupt;
use crate::open::{checkpoint_for_increments, open_read_only};
use crate::outcome::{Answer, Failure, wrong};
use crate::staging::create_file;

/// Copies a database while others write to it: the state of one transaction, verified and complete.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf copy app.mapleaf backup-$(date +%F).mapleaf
  mapleaf copy --compact app.mapleaf small.mapleaf     every table written again, in full pages
  mapleaf copy app.mapleaf - | ssh host 'cat > app.mapleaf && sync app.mapleaf'

The copy is another database, with an identity of its own. An existing file is never replaced.")]
pub(crate) struct Copy {
    /// The database.
    file: PathBuf,
    /// The new file; - for standard output.
    new_file: PathBuf,
    /// Write every table again: full pages, none free. Takes longer. Not to standard output.
    #[arg(long)]
    compact: bool,
}

impl Copy {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let is_stream = self.new_file == Path::new("-");
        if is_stream && self.compact {
            return Err(wrong("a compacting copy goes to a file: name one, and send that"));
        }
        if is_stream && stdout().is_terminal() {
            return Err(wrong(
                "a copy is not text for a terminal: redirect standard output to a file or a pipe",
            ));
        }
        on_interrupt(if is_stream { ": the copy is not complete" } else { ": there is no copy" });
        let db = open_read_only(&self.file)?;
        let rx = db.read()?;
        if !self.compact {
            checkpoint_for_increments(&db, &rx, &self.file)?;
        }
        let copied = if is_stream {
            rx.copy().to_writer(&mut stdout().lock()).map_err(|error| {
                let failure = Failure::from(error);
                Failure { message: format!("the copy is not complete: {}", failure.message), ..failure }
            })?
        } else if self.compact {
            create_file(&self.new_file, |place| rx.copy().compact().to_path(place))?
        } else {
            create_file(&self.new_file, |place| rx.copy().to_path(place))?
        };
        eprintln!("transaction {} copied: {}", copied.transaction, bytes(copied.bytes));
        Ok(Answer::Done)
    }
}
