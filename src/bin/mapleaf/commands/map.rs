//! `map`: a picture of the file, in cells of one or more pages, each in the color of what most of its pages are.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use mapleaf::Db;
use mapleaf::admin::Content;

use crate::escape::escape;
use crate::human::parse_page_size;
use crate::open::{open_pages, open_read_only, table_names};
use crate::outcome::{Answer, Failure, wrong};
use crate::pictures::file_map::{FileMap, Layout};
use crate::pictures::page_classes::{By, Class, Classes, RESERVED, UNKNOWN};
use crate::progress::Progress;
use crate::unused::KeptSnapshots;

/// Cells in a picture, at most, unless asked for more.
const CELLS_IN_TERMINAL: u32 = 64 * 40;
const CELLS_IN_SVG: u32 = 100 * 60;

/// Draws the pages of the file, one or more in a cell, in the color of what they are. Reads and verifies the whole
/// file; no other process waits for it.
#[derive(Args)]
#[command(after_help = "Examples:
  mapleaf map app.mapleaf
  mapleaf map --by table app.mapleaf
  mapleaf map --by age --svg app.mapleaf > age.svg
  mapleaf map --by fill --pages-per-cell 1 app.mapleaf | less -R
  mapleaf map --raw --page-size 4096 damaged.mapleaf     if even the meta pages are lost
  mapleaf map --json app.mapleaf | jq '.classes'

A cell of several pages has the color of what most of them are; a cell with a page that is damaged or lost always has
that color. Without colors (NO_COLOR, or in a file) the letters remain.")]
pub(crate) struct Map {
    /// The database.
    file: PathBuf,
    /// What the colors mean.
    #[arg(long, value_enum, default_value_t = By::Kind)]
    by: By,
    /// Cells in a row [default: 64; in SVG 100].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    width: Option<u32>,
    /// Pages in a cell [default: as many as make a picture of a few thousand cells].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pages_per_cell: Option<u32>,
    /// Write an SVG map.
    #[arg(long, conflicts_with = "json")]
    svg: bool,
    /// Only read the headers of the pages: for a file that cannot be opened any more. Which pages are in use is not
    /// known then. Only --by kind.
    #[arg(long)]
    raw: bool,
    /// With --raw: bytes in a page, if no meta page has it any more.
    #[arg(long, requires = "raw", value_parser = parse_page_size)]
    page_size: Option<usize>,
    /// Print one line of JSON: classes, and the number of pages in each, for the file and for each cell.
    #[arg(long)]
    json: bool,
}

impl Map {
    pub(crate) fn run(&self) -> Result<Answer, Failure> {
        if self.raw && self.by != By::Kind {
            return Err(wrong("--raw: only --by kind"));
        }
        let map = if self.raw { self.map_headers()? } else { self.map_use()? };
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
    fn map_use(&self) -> Result<FileMap, Failure> {
        let db = open_read_only(&self.file).map_err(|failure| Failure {
            message: format!("{}; `mapleaf map --raw` reads the pages alone", failure.message),
            ..failure
        })?;
        let stats = db.stats()?;
        let classes = self.classes(&db)?;
        let file_pages = (stats.file_bytes / stats.page_size as u64) as u32;
        let mut map = self.file_map(classes.list.clone(), file_pages, stats.page_size);
        let progress = Progress::new(stats.pages.into(), "pages");
        let mut reached = 0;
        let report = db
            .check_options()
            .on_pages(|page, _| {
                reached += u64::from(page.count);
                progress.set(reached);
                map.grow(page.first + page.count, RESERVED);
                map.paint(page.first, page.count, RESERVED, classes.of(page));
            })
            .check()?;
        progress.finish();
        map.settle(report.counts().total);
        Ok(map)
    }

    fn classes(&self, db: &Db) -> Result<Classes, Failure> {
        let rx = db.read()?;
        let mut classes = Classes::new(self.by, table_names(&rx)?, db.page_size());
        classes.snapshots = KeptSnapshots::of(db)?;
        classes.newest = rx.id();
        Ok(classes)
    }

    /// What each page is by its own header.
    fn map_headers(&self) -> Result<FileMap, Failure> {
        let inspector = open_pages(&self.file, self.page_size)?;
        let pages = inspector.page_count();
        let classes = Classes::new(By::Kind, Vec::new(), inspector.page_size());
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
                Content::Meta { .. } => (place('M'), 1),
                Content::RedoLog => (place('W'), 1),
                Content::Leaf(leaf) if !leaf.tables.is_empty() => (place('C'), 1),
                Content::Leaf(_) => (place('l'), 1),
                Content::Branch(_) => (place('b'), 1),
                Content::Overflow { pages, .. } => (place('o'), *pages),
                Content::FreeLog { .. } => (place('F'), 1),
                Content::Empty => (RESERVED, 1),
                _ => (UNKNOWN, 1),
            };
            let length = length.clamp(1, pages - next);
            map.paint(next, length, RESERVED, class);
            next += length;
        }
        progress.finish();
        map.rename(RESERVED, "zeros");
        map.rename(UNKNOWN, "nothing known, or damaged");
        Ok(map)
    }
}
