//! `restore`: a copy and the increments that follow it, as a new database.

use std::fs::File;
use std::io::{BufReader, Read, stdin};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::human::bytes;
use crate::interrupt::on_interrupt;
use crate::outcome::{Answer, Failure, file_failure, wrong};
use crate::staging::create_file;

/// Makes a new database of a copy and the increments that follow it. The copy is only read.
#[derive(Args)]
#[command(override_usage = "mapleaf restore <COPY> <INCREMENT>... <NEW_FILE>")]
#[command(after_help = "Examples:
  mapleaf restore sunday.mapleaf monday.increment tuesday.increment restored.mapleaf
  ssh host 'cat monday.increment' | mapleaf restore sunday.mapleaf - restored.mapleaf

Every page of the new database is verified before it gets its name. A file that is there is never replaced.")]
pub(crate) struct Restore {
    /// The copy, or a database that was restored earlier; it must not have been written to.
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
        let restored = create_file(new_file, restore)?;
        eprintln!("transaction {} restored: {}", restored.transaction, bytes(restored.bytes));
        Ok(Answer::Done)
    }
}
