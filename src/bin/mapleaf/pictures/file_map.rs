//! The pages of a file, many in a cell, as text, JSON or SVG.

use std::io::Write;

use anstyle::{AnsiColor, RgbColor, Style};
use serde_json::json;

use crate::human::{bytes, count};
use crate::outcome::Failure;
use crate::pictures::page_classes::{By, Class, FIRST_OWN, RESERVED, UNKNOWN};
use crate::pictures::svg::{Anchor, Color, INK, PALE_INK, Svg};

/// How large a picture is.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Cells in a row.
    pub(crate) width: u32,
    /// Pages in a cell.
    pub(crate) per_cell: u32,
}

/// How many pages of each class there are in each cell.
pub(crate) struct FileMap {
    title: String,
    by: By,
    classes: Vec<Class>,
    cells: Vec<Vec<u32>>,
    pages: u32,
    per_cell: u32,
    width: u32,
    page_size: usize,
}

impl FileMap {
    /// A map of `pages` pages, all of them reserved until [`FileMap::paint`] gives them another class.
    pub(crate) fn new(
        title: String,
        by: By,
        classes: Vec<Class>,
        pages: u32,
        page_size: usize,
        layout: Layout,
    ) -> FileMap {
        let Layout { width, per_cell } = layout;
        let mut map = FileMap { title, by, classes, cells: Vec::new(), pages: 0, per_cell, width, page_size };
        map.grow(pages, RESERVED);
        map
    }

    /// Gives a class another name.
    pub(crate) fn rename(&mut self, class: usize, name: &str) {
        self.classes[class].name = name.to_owned();
    }

    /// Makes room for pages up to `pages`; new ones are of `class`.
    pub(crate) fn grow(&mut self, pages: u32, class: usize) {
        if pages <= self.pages {
            return;
        }
        let (first, count) = (self.pages, pages - self.pages);
        self.cells.resize(pages.div_ceil(self.per_cell) as usize, vec![0; self.classes.len()]);
        self.pages = pages;
        self.change(first, count, |cell, pages| cell[class] += pages);
    }

    /// Some pages are no longer of class `from`, but of class `to`.
    pub(crate) fn paint(&mut self, first: u32, count: u32, from: usize, to: usize) {
        self.change(first, count, |cell, pages| {
            // A page with two uses keeps the first, so fewer pages may be left than are painted.
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

    /// Pages below `end` that were not painted are unknown.
    pub(crate) fn settle(&mut self, end: u32) {
        let (per_cell, cells) = (self.per_cell, self.cells.len());
        for index in 0..cells {
            let first = index as u32 * per_cell;
            let inside = end.saturating_sub(first).min(per_cell);
            let cell = &mut self.cells[index];
            let painted: u32 = cell.iter().sum::<u32>() - cell[RESERVED];
            let unknown = inside.saturating_sub(painted).min(cell[RESERVED]);
            cell[RESERVED] -= unknown;
            cell[UNKNOWN] += unknown;
        }
    }

    /// What a cell is drawn as.
    fn class_of(&self, cell: &[u32]) -> &Class {
        let most = (0..cell.len()).rev().max_by_key(|&class| cell[class]).unwrap_or(UNKNOWN);
        &self.classes[if cell[UNKNOWN] > 0 { UNKNOWN } else { most }]
    }

    pub(crate) fn total(&self, class: usize) -> u64 {
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

    pub(crate) fn write_terminal(&self, out: &mut impl Write) -> Result<(), Failure> {
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

    pub(crate) fn write_json(&self, out: &mut impl Write) -> Result<(), Failure> {
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

    pub(crate) fn svg(&self) -> String {
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

/// A letter on its color, in black or white, whichever has more contrast.
fn style_of(Color(red, green, blue): Color) -> Style {
    let brightness = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    let ink = if brightness > 140_000 { AnsiColor::Black } else { AnsiColor::BrightWhite };
    Style::new().fg_color(Some(ink.into())).bg_color(Some(RgbColor(red, green, blue).into()))
}
