//! `map`: a picture of the file, one cell for so many pages, each in the color of what most of them are.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::inspect::{Content, Inspector};
use mapleaf::{Db, PageUse};

use crate::escape::escape;
use crate::open::{open_read_only, table_names};
use crate::outcome::{Answer, Failure, wrong};
use crate::pictures::file_map::{FileMap, Layout};
use crate::pictures::page_classes::{BEHIND, By, Class, Classes, UNKNOWN};
use crate::progress::Progress;

/// Cells in a picture, at most, unless asked for more.
const CELLS_IN_TERMINAL: u32 = 64 * 40;
const CELLS_IN_SVG: u32 = 100 * 60;

/// Draws the file: one cell for so many pages, in the color of what they are. Reads and verifies all of it, as a
/// reader, and makes nobody wait.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf map app.mapleaf
  mapleaf map --by table app.mapleaf
  mapleaf map --by age --svg app.mapleaf > age.svg
  mapleaf map --by fill --pages-per-cell 1 app.mapleaf | less -R
  mapleaf map --json app.mapleaf | jq '.classes'

A cell that stands for several pages has the color of what most of them are; one with a page that is damaged or lost
always says so. Without colors (NO_COLOR, or into a file), the letters say it.")]
pub(crate) struct Map {
    /// The database.
    file: PathBuf,
    /// What the colors say.
    #[arg(long, value_enum, default_value_t = By::Kind)]
    by: By,
    /// Cells in a row [default: 64; in SVG 100].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    width: Option<u32>,
    /// Pages in a cell; without it, as many as make a picture of a few thousand cells.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pages_per_cell: Option<u32>,
    /// Write an SVG map.
    #[arg(long, conflicts_with = "json")]
    svg: bool,
    /// By what the headers of pages say of themselves alone: for a file that cannot be opened any more. Which pages are
    /// in use is not known then. Only --by kind.
    #[arg(long)]
    raw: bool,
    /// Answer with one line of JSON: classes, and the number of pages in each, for the file and for each cell.
    #[arg(long)]
    json: bool,
}

impl Map {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        if self.raw && self.by != By::Kind {
            return Err(wrong("--raw: only --by kind"));
        }
        let map = if self.raw { self.look_at_headers()? } else { self.look_at_use()? };
        // Colors are taken out where they are not wanted.
        let mut out = anstream::AutoStream::auto(stdout().lock());
        if self.json {
            map.write_json(&mut out)?;
        } else if self.svg {
            out.write_all(map.svg().as_bytes())?;
        } else {
            map.write_terminal(&mut out)?;
        }
        out.flush()?;
        Ok(if map.total(UNKNOWN) == 0 || self.raw { Answer::Done } else { Answer::No })
    }

    fn file_map(&self, classes: Vec<Class>, pages: u32, page_size: usize) -> FileMap {
        let (width, most) = if self.svg { (100, CELLS_IN_SVG) } else { (64, CELLS_IN_TERMINAL) };
        let per_cell = self.pages_per_cell.unwrap_or_else(|| pages.div_ceil(most).max(1).next_power_of_two());
        let title = escape(self.file.file_name().unwrap_or_default().as_encoded_bytes());
        let layout = Layout { width: self.width.unwrap_or(width), per_cell };
        FileMap::new(title, self.by, classes, pages, page_size, layout)
    }

    /// What each page is used for, as a check finds it.
    fn look_at_use(&self) -> Result<FileMap, Failure> {
        let db = open_read_only(&self.file).map_err(|failure| Failure {
            message: format!("{}; `map --raw` looks at the pages alone", failure.message),
            ..failure
        })?;
        let stats = db.stats()?;
        let classes = self.classes(&db)?;
        let file_pages = (stats.file_bytes / stats.page_size as u64) as u32;
        let mut map = self.file_map(classes.list.clone(), file_pages, stats.page_size);
        let progress = Progress::new(stats.pages.into(), "pages");
        let mut told = 0;
        let report = db.check_pages(|page: &PageUse<'_>| {
            told += u64::from(page.count);
            progress.set(told);
            map.grow(page.first + page.count, BEHIND);
            map.paint(page.first, page.count, BEHIND, classes.of(page));
        })?;
        progress.finish();
        map.settle(report.counts().total);
        Ok(map)
    }

    fn classes(&self, db: &Db) -> Result<Classes, Failure> {
        let rx = db.read()?;
        let tables = table_names(&rx)?;
        let snapshots = db.readers()?.iter().map(|reader| reader.snapshot).collect();
        Ok(Classes::new(self.by, tables, snapshots, rx.id(), db.stats()?.page_size))
    }

    /// What each page says of itself.
    fn look_at_headers(&self) -> Result<FileMap, Failure> {
        let inspector = Inspector::open(&self.file, None)?;
        let pages = inspector.page_count();
        let classes = Classes::new(By::Kind, Vec::new(), Vec::new(), 0, inspector.page_size());
        let place =
            |letter: char| classes.list.iter().position(|class| class.letter == letter).unwrap_or(UNKNOWN);
        let mut map = self.file_map(classes.list.clone(), pages, inspector.page_size());
        let progress = Progress::new(pages.into(), "pages");
        let mut next = 0;
        while next < pages {
            progress.set(next.into());
            let page = inspector.page(next)?;
            let (class, length) = match &page.content {
                _ if !page.problems.is_empty() => (UNKNOWN, 1),
                Content::Record { .. } => (place('R'), 1),
                Content::Leaf(leaf) if !leaf.tables.is_empty() => (place('C'), 1),
                Content::Leaf(_) => (place('l'), 1),
                Content::Branch(_) => (place('b'), 1),
                Content::Overflow { pages, .. } => (place('o'), *pages),
                Content::FreeLog { .. } => (place('F'), 1),
                Content::Empty => (BEHIND, 1),
                _ => (UNKNOWN, 1),
            };
            let length = length.clamp(1, pages - next);
            map.paint(next, length, BEHIND, class);
            next += length;
        }
        progress.finish();
        map.rename(BEHIND, "zeros");
        map.rename(UNKNOWN, "nothing known, or damaged");
        Ok(map)
    }
}
