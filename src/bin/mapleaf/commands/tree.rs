//! `tree`: the shape of a table's tree. Its levels, how full their pages are, and whether leaves follow each other.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::admin;

use crate::open::{find_table, open_read_only};
use crate::outcome::{Answer, Failure};
use crate::pictures::tree_shape::TreeShape;
use crate::progress::Progress;

/// Shows the shape of a table's tree: its levels, how full their pages are, and whether leaves follow each other in the
/// file. Reads and verifies all of it, as a reader.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf tree app.mapleaf users
  mapleaf tree --svg app.mapleaf users > users.svg
  mapleaf tree --json app.mapleaf users | jq .levels")]
pub(crate) struct Tree {
    /// The database.
    file: PathBuf,
    /// The table.
    table: String,
    /// Write an SVG picture.
    #[arg(long, conflicts_with = "json")]
    svg: bool,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Tree {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        let db = open_read_only(&self.file)?;
        let rx = db.read()?;
        let table = find_table(&rx, &self.table)?;
        let mut shape = TreeShape::new(table, db.stats()?.page_size as u64);
        let progress = Progress::new(0, "pages");
        let mut reached = 0;
        admin::table_pages(&rx, &self.table, |page| {
            reached += 1;
            progress.set(reached);
            shape.add(page);
        })?;
        progress.finish();
        let mut out = BufWriter::new(stdout().lock());
        if self.json {
            writeln!(out, "{}", shape.json())?;
        } else if self.svg {
            out.write_all(shape.svg().as_bytes())?;
        } else {
            shape.write_text(&mut out)?;
        }
        out.flush()?;
        Ok(Answer::Done)
    }
}
