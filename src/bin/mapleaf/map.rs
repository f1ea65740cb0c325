//! `map`: a picture of the file, one cell for so many pages, each in the color of what most of them are.

use std::io::{Write, stdout};
use std::path::PathBuf;

use anstyle::{AnsiColor, RgbColor, Style};
use clap::Args;
use mapleaf::inspect::{Content, Inspector};
use mapleaf::{Db, PageUse};
use serde_json::json;

use crate::Answer;
use crate::classes::{BEHIND, By, Class, Classes, FIRST_OWN, UNKNOWN};
use crate::failure::{Failure, open_to_look, table_names, wrong};
use crate::progress::{Progress, bytes, count};
use crate::svg::{Anchor, Color, INK, PALE_INK, Svg};
use crate::text::escape;

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
    /// Write an SVG picture.
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
        let picture = if self.raw { self.look_at_headers()? } else { self.look_at_use()? };
        // Colors are taken out where they are not wanted.
        let mut out = anstream::AutoStream::auto(stdout().lock());
        if self.json {
            picture.write_json(&mut out)?;
        } else if self.svg {
            out.write_all(picture.svg().as_bytes())?;
        } else {
            picture.write_terminal(&mut out)?;
        }
        out.flush()?;
        Ok(if picture.total(UNKNOWN) == 0 || self.raw { Answer::Done } else { Answer::No })
    }

    fn picture(&self, classes: Vec<Class>, pages: u32, page_size: usize) -> Picture {
        let (width, most) = if self.svg { (100, CELLS_IN_SVG) } else { (64, CELLS_IN_TERMINAL) };
        let per_cell = self.pages_per_cell.unwrap_or_else(|| pages.div_ceil(most).max(1).next_power_of_two());
        let mut picture = Picture {
            title: escape(self.file.file_name().unwrap_or_default().as_encoded_bytes()),
            by: self.by,
            classes,
            cells: Vec::new(),
            pages: 0,
            per_cell,
            width: self.width.unwrap_or(width),
            page_size,
        };
        picture.grow(pages, BEHIND);
        picture
    }

    /// What each page is used for, as a check finds it.
    fn look_at_use(&self) -> Result<Picture, Failure> {
        let db = open_to_look(&self.file).map_err(|failure| Failure {
            message: format!("{}; `map --raw` looks at the pages alone", failure.message),
            ..failure
        })?;
        let stats = db.stats()?;
        let classes = self.classes(&db)?;
        let file_pages = (stats.file_bytes / stats.page_size as u64) as u32;
        let mut picture = self.picture(classes.list.clone(), file_pages, stats.page_size);
        let progress = Progress::new(stats.pages.into(), "pages");
        let mut told = 0;
        let report = db.check_pages(|page: &PageUse<'_>| {
            told += u64::from(page.count);
            progress.set(told);
            picture.grow(page.first + page.count, BEHIND);
            picture.paint(page.first, page.count, BEHIND, classes.of(page));
        })?;
        progress.finish();
        picture.settle(report.counts().total);
        Ok(picture)
    }

    fn classes(&self, db: &Db) -> Result<Classes, Failure> {
        let rx = db.read()?;
        let tables = table_names(&rx)?;
        let snapshots = db.readers()?.iter().map(|reader| reader.snapshot).collect();
        Ok(Classes::new(self.by, tables, snapshots, rx.id(), db.stats()?.page_size))
    }

    /// What each page says of itself.
    fn look_at_headers(&self) -> Result<Picture, Failure> {
        let inspector = Inspector::open(&self.file, None)?;
        let pages = inspector.page_count();
        let classes = Classes::new(By::Kind, Vec::new(), Vec::new(), 0, inspector.page_size());
        let place =
            |letter: char| classes.list.iter().position(|class| class.letter == letter).unwrap_or(UNKNOWN);
        let mut picture = self.picture(classes.list.clone(), pages, inspector.page_size());
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
            picture.paint(next, length, BEHIND, class);
            next += length;
        }
        progress.finish();
        picture.classes[BEHIND].name = "zeros".to_owned();
        picture.classes[UNKNOWN].name = "nothing known, or damaged".to_owned();
        Ok(picture)
    }
}

/// So many pages of each class, in each cell.
struct Picture {
    title: String,
    by: By,
    classes: Vec<Class>,
    cells: Vec<Vec<u32>>,
    pages: u32,
    per_cell: u32,
    width: u32,
    page_size: usize,
}

impl Picture {
    /// Makes room for pages up to `pages`; new ones are of `class`.
    fn grow(&mut self, pages: u32, class: usize) {
        if pages <= self.pages {
            return;
        }
        let (first, count) = (self.pages, pages - self.pages);
        self.cells.resize(pages.div_ceil(self.per_cell) as usize, vec![0; self.classes.len()]);
        self.pages = pages;
        self.change(first, count, |cell, pages| cell[class] += pages);
    }

    /// Some pages are no longer of class `from`, but of class `to`.
    fn paint(&mut self, first: u32, count: u32, from: usize, to: usize) {
        self.change(first, count, |cell, pages| {
            // A page with two uses keeps the first: then there are less of them left than are told.
            let pages = pages.min(cell[from]);
            cell[from] -= pages;
            cell[to] += pages;
        });
    }

    fn change(&mut self, first: u32, count: u32, mut change: impl FnMut(&mut [u32], u32)) {
        let end = (first + count).min(self.pages);
        let mut next = first;
        while next < end {
            let cell = next / self.per_cell;
            let cell_end = (u64::from(cell) + 1) * u64::from(self.per_cell);
            let stop = u64::from(end).min(cell_end) as u32;
            change(&mut self.cells[cell as usize], stop - next);
            next = stop;
        }
    }

    /// What has not been told of is unknown, up to page `end`.
    fn settle(&mut self, end: u32) {
        let (per_cell, cells) = (self.per_cell, self.cells.len());
        for index in 0..cells {
            let first = index as u32 * per_cell;
            let inside = end.saturating_sub(first).min(per_cell);
            let cell = &mut self.cells[index];
            let told: u32 = cell.iter().sum::<u32>() - cell[BEHIND];
            let unknown = inside.saturating_sub(told).min(cell[BEHIND]);
            cell[BEHIND] -= unknown;
            cell[UNKNOWN] += unknown;
        }
    }

    /// What a cell is drawn as.
    fn class_of(&self, cell: &[u32]) -> &Class {
        let most = (0..cell.len()).rev().max_by_key(|&class| cell[class]).unwrap_or(UNKNOWN);
        &self.classes[if cell[UNKNOWN] > 0 { UNKNOWN } else { most }]
    }

    fn total(&self, class: usize) -> u64 {
        self.cells.iter().map(|cell| u64::from(cell[class])).sum()
    }

    /// The classes that there are, with the number of their pages.
    fn legend(&self) -> Vec<(&Class, u64)> {
        // First what the picture is about.
        let order = (FIRST_OWN..self.classes.len()).chain((0..FIRST_OWN).rev());
        order.map(|index| (&self.classes[index], self.total(index))).filter(|(_, pages)| *pages > 0).collect()
    }

    fn scale(&self) -> String {
        let cell = bytes(u64::from(self.per_cell) * self.page_size as u64);
        match self.per_cell {
            1 => format!("a cell is a page of {cell}"),
            pages => format!("a cell is {pages} pages, {cell}"),
        }
    }

    fn percent(&self, pages: u64) -> f64 {
        pages as f64 * 100.0 / f64::from(self.pages.max(1))
    }

    fn write_terminal(&self, out: &mut impl Write) -> Result<(), Failure> {
        let mut text = Vec::new();
        writeln!(text, "{}: {} pages; {}", self.title, count(self.pages.into()), self.scale())?;
        for (row, cells) in self.cells.chunks(self.width as usize).enumerate() {
            write!(text, "{:>10} ", row as u64 * u64::from(self.width) * u64::from(self.per_cell))?;
            for cell in cells {
                let class = self.class_of(cell);
                let style = style_of(class.color);
                write!(text, "{style}{}{style:#}", class.letter)?;
            }
            writeln!(text)?;
        }
        for (class, pages) in self.legend() {
            let (style, share) = (style_of(class.color), self.percent(pages));
            writeln!(
                text,
                "{style} {} {style:#} {:>12} pages {share:>5.1} %  {}",
                class.letter,
                count(pages),
                class.name
            )?;
        }
        Ok(out.write_all(&text)?)
    }

    fn write_json(&self, out: &mut impl Write) -> Result<(), Failure> {
        let classes = self.classes.iter().enumerate();
        let classes: Vec<_> = classes
            .map(|(index, class)| json!({ "name": class.name, "letter": class.letter, "pages": self.total(index) }))
            .collect();
        let answer = json!({
            "pages": self.pages, "page_size": self.page_size, "pages_per_cell": self.per_cell,
            "classes": classes, "cells": self.cells,
        });
        Ok(writeln!(out, "{answer}")?)
    }

    fn svg(&self) -> String {
        const SIDE: usize = 8;
        const STEP: usize = 9;
        const LEFT: usize = 76;
        const TOP: usize = 54;
        let mut svg = Svg::new();
        let what = match self.by {
            By::Kind => "what its pages are",
            By::Table => "whose its pages are",
            By::Age => "which transaction wrote its pages",
            By::Fill => "how full its pages are",
        };
        let title = format!("{}: {what}", self.title);
        svg.text(12.0, 24.0, 16, Anchor::Start, INK, &title);
        let subtitle = format!("{} pages; {}", count(self.pages.into()), self.scale());
        svg.text(12.0, 42.0, 12, Anchor::Start, PALE_INK, &subtitle);
        let width = self.width as usize;
        let mut places = vec![Vec::new(); self.classes.len()];
        for (index, cell) in self.cells.iter().enumerate() {
            let class = self.class_of(cell);
            let class = self.classes.iter().position(|other| other == class).unwrap_or(UNKNOWN);
            places[class].push((LEFT + index % width * STEP, TOP + index / width * STEP));
        }
        for (corners, class) in places.iter().zip(&self.classes).filter(|(corners, _)| !corners.is_empty()) {
            svg.squares(corners, SIDE, class.color);
        }
        let rows = self.cells.len().div_ceil(width);
        for row in (0..rows).step_by(if rows > 12 { 10 } else { 1 }) {
            let page = row as u64 * u64::from(self.width) * u64::from(self.per_cell);
            let y = (TOP + row * STEP + SIDE) as f64;
            svg.text(LEFT as f64 - 6.0, y, 10, Anchor::End, PALE_INK, &count(page));
        }
        let columns = self.cells.len().min(width);
        let x = (LEFT + columns * STEP + 20) as f64;
        let legend = self.legend();
        for (index, (class, pages)) in legend.iter().enumerate() {
            let y = (TOP + index * 34) as f64;
            svg.rectangle(x, y, 14.0, 14.0, class.color);
            svg.text(x + 22.0, y + 11.0, 12, Anchor::Start, INK, &class.name);
            let share = format!("{} pages, {:.1} %", count(*pages), self.percent(*pages));
            svg.text(x + 22.0, y + 25.0, 10, Anchor::Start, PALE_INK, &share);
        }
        let height = (rows * STEP).max(legend.len() * 34) + TOP + 14;
        let longest = legend.iter().map(|(class, _)| class.name.chars().count()).max().unwrap_or(0);
        let least = 24.0 + title.chars().count() as f64 * 9.0;
        svg.finish((x + 40.0 + 7.0 * longest.max(16) as f64).max(least), height as f64, &title)
    }
}

/// The letter stands on its color, in whichever of black and white can be read there.
fn style_of(Color(red, green, blue): Color) -> Style {
    let brightness = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    let ink = if brightness > 140_000 { AnsiColor::Black } else { AnsiColor::BrightWhite };
    Style::new().fg_color(Some(ink.into())).bg_color(Some(RgbColor(red, green, blue).into()))
}
