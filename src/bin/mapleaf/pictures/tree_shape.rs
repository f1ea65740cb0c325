//! The shape of a tree: its levels, how full their pages are, and whether leaves follow each other.

use std::io::Write;

use mapleaf::TableInfo;
use mapleaf::admin::{PageRole, PageUse};
use serde_json::{Value, json};

use crate::human::count;
use crate::outcome::Failure;
use crate::pictures::svg::{Anchor, Color, INK, PALE_INK, Svg};

/// Classes of a histogram: each has ten percent of a page.
const CLASSES: usize = 10;
const BAR_CHARACTERS: u64 = 40;

/// The pages of one distance from the leaves.
#[derive(Default)]
struct Level {
    pages: u64,
    used_bytes: u64,
    /// How many of them are 0 to 10 % full, 10 to 20 % full, and so on.
    histogram: [u64; CLASSES],
}

pub(crate) struct TreeShape {
    table: String,
    entries: u64,
    page_size: u64,
    /// The leaves first.
    levels: Vec<Level>,
    large_values: u64,
    large_pages: u64,
    large_bytes: u64,
    /// Leaves that lie in the page after that of the leaf before them.
    neighbours: u64,
    last_leaf: Option<u32>,
}

impl TreeShape {
    /// Of a table whose pages are still to be [added](TreeShape::add).
    pub(crate) fn new(table: TableInfo, page_size: u64) -> TreeShape {
        TreeShape {
            table: table.name,
            entries: table.entries,
            page_size,
            levels: (0..table.depth).map(|_| Level::default()).collect(),
            large_values: 0,
            large_pages: 0,
            large_bytes: 0,
            neighbours: 0,
            last_leaf: None,
        }
    }

    pub(crate) fn add(&mut self, page: &PageUse<'_>) {
        let level = match page.role {
            PageRole::Leaf => {
                let is_neighbour = self.last_leaf.is_some_and(|last| last + 1 == page.first);
                self.neighbours += u64::from(is_neighbour);
                self.last_leaf = Some(page.first);
                0
            }
            PageRole::Branch { level } => usize::from(level),
            _ => {
                self.large_values += 1;
                self.large_pages += u64::from(page.count);
                self.large_bytes += page.used_bytes;
                return;
            }
        };
        let Some(level) = self.levels.get_mut(level) else { return };
        level.pages += 1;
        level.used_bytes += page.used_bytes;
        let class = (page.used_bytes * CLASSES as u64 / self.page_size) as usize;
        level.histogram[class.min(CLASSES - 1)] += 1;
    }

    /// How full `pages` are with `used_bytes`.
    fn percent(&self, used_bytes: u64, pages: u64) -> f64 {
        used_bytes as f64 * 100.0 / (pages * self.page_size).max(1) as f64
    }

    /// What the pages of a level lead to, each of them on average: entries, or the pages below.
    fn fan_out(&self, index: usize) -> f64 {
        let below = if index == 0 { self.entries } else { self.levels[index - 1].pages };
        below as f64 / self.levels[index].pages.max(1) as f64
    }

    fn summary(&self) -> String {
        format!("{} entries, depth {}", count(self.entries), self.levels.len())
    }

    /// How many of 100 steps from a leaf to the next go to the next page.
    fn in_a_row(&self) -> Option<f64> {
        let steps = self.levels.first()?.pages.saturating_sub(1);
        (steps > 0).then(|| self.neighbours as f64 * 100.0 / steps as f64)
    }

    fn level_name(index: usize) -> &'static str {
        if index == 0 { "leaves" } else { "branches" }
    }

    pub(crate) fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        writeln!(out, "table {:?}: {}", self.table, self.summary())?;
        if self.levels.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nlevel              pages   full   each leads to")?;
        for (index, level) in self.levels.iter().enumerate().rev() {
            let what = if index == 0 { "entries" } else { "pages" };
            let (full, fan_out) = (self.percent(level.used_bytes, level.pages), self.fan_out(index));
            let name = TreeShape::level_name(index);
            let pages = count(level.pages);
            writeln!(out, "{index:>5} {name:<9} {pages:>8} {full:>5.1}%   {fan_out:.1} {what}")?;
        }
        if self.large_values > 0 {
            let full = self.percent(self.large_bytes, self.large_pages);
            let (pages, values) = (count(self.large_pages), count(self.large_values));
            writeln!(out, "      overflow  {pages:>8} {full:>5.1}%   {values} large values")?;
        }
        if let Some(share) = self.in_a_row() {
            writeln!(
                out,
                "\n{share:.1} % of the steps from a leaf to the next go to the next page of the file"
            )?;
        }
        let leaves = &self.levels[0];
        let most = leaves.histogram.iter().copied().max().unwrap_or(0).max(1);
        writeln!(out, "\nleaves, by how full they are")?;
        for (class, &pages) in leaves.histogram.iter().enumerate() {
            let bar = "\u{2588}".repeat((pages * BAR_CHARACTERS).div_ceil(most) as usize);
            writeln!(out, "{:>3} to {:>3} % {:>9}  {bar}", class * 10, class * 10 + 10, count(pages))?;
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> Value {
        let levels = self.levels.iter().enumerate().map(|(index, level)| {
            json!({
                "level": index, "pages": level.pages, "used_bytes": level.used_bytes,
                "histogram": level.histogram, "fan_out": self.fan_out(index),
            })
        });
        json!({
            "table": self.table, "entries": self.entries, "page_size": self.page_size,
            "levels": levels.collect::<Value>(), "large_values": self.large_values, "large_pages": self.large_pages,
            "large_bytes": self.large_bytes, "next_page_steps": self.neighbours,
        })
    }

    /// A row for each level, the root on top: as wide as it has pages (on a scale of powers), and filled as its pages
    /// are. Below, the histogram of the leaves.
    pub(crate) fn svg(&self) -> String {
        const WIDTH: f64 = 720.0;
        const WIDEST: f64 = 420.0;
        const BRANCH: Color = Color(0x1f, 0x5f, 0xa8);
        const LEAF: Color = Color(0x4c, 0x9f, 0x70);
        const EMPTY: Color = Color(0xdd, 0xe1, 0xe6);
        let mut svg = Svg::new();
        let title = format!("table {:?}", self.table);
        svg.text(16.0, 26.0, 16, Anchor::Start, INK, &title);
        let summary = format!("{}; a row is as wide as it has pages, on a logarithmic scale", self.summary());
        svg.text(16.0, 44.0, 12, Anchor::Start, PALE_INK, &summary);
        let mut y = 66.0;
        let most_pages = self.levels.iter().map(|level| level.pages).max().unwrap_or(1).max(2) as f64;
        for (index, level) in self.levels.iter().enumerate().rev() {
            let width = 24.0 + (WIDEST - 24.0) * (level.pages.max(1) as f64).ln() / most_pages.ln();
            let x = 16.0 + (WIDEST - width) / 2.0;
            let full = self.percent(level.used_bytes, level.pages);
            svg.rectangle(x, y, width, 26.0, EMPTY);
            let height = 26.0 * full / 100.0;
            let color = if index == 0 { LEAF } else { BRANCH };
            svg.rectangle(x, y + 26.0 - height, width, height, color);
            let name = if level.pages == 1 {
                ["leaf", "branch"][index.min(1)]
            } else {
                TreeShape::level_name(index)
            };
            let line = format!("{} {name}, {full:.0} % full", count(level.pages));
            svg.text(WIDEST + 36.0, y + 11.0, 12, Anchor::Start, INK, &line);
            let what = if index == 0 { "entries each" } else { "pages below each" };
            let line = format!("{:.1} {what}", self.fan_out(index));
            svg.text(WIDEST + 36.0, y + 25.0, 10, Anchor::Start, PALE_INK, &line);
            y += 44.0;
        }
        let mut notes = Vec::new();
        if self.large_values > 0 {
            notes.push(format!(
                "{} large values on {} pages",
                count(self.large_values),
                count(self.large_pages)
            ));
        }
        if let Some(share) = self.in_a_row() {
            notes
                .push(format!("{share:.0} % of the steps from leaf to leaf go to the next page of the file"));
        }
        for note in notes {
            svg.text(16.0, y + 8.0, 12, Anchor::Start, INK, &note);
            y += 20.0;
        }
        if let Some(leaves) = self.levels.first() {
            y = histogram(&mut svg, y + 24.0, leaves, LEAF);
        }
        svg.finish(WIDTH, y, &title)
    }
}

/// Draws how full the leaves are; returns where the drawing ends.
fn histogram(svg: &mut Svg, y: f64, leaves: &Level, color: Color) -> f64 {
    const HEIGHT: f64 = 120.0;
    const STEP: f64 = 66.0;
    svg.text(16.0, y, 13, Anchor::Start, INK, "leaves, by how full they are");
    let base = y + 34.0 + HEIGHT;
    let most = leaves.histogram.iter().copied().max().unwrap_or(0).max(1);
    for (class, &pages) in leaves.histogram.iter().enumerate() {
        let x = 24.0 + class as f64 * STEP;
        let height = pages as f64 * HEIGHT / most as f64;
        svg.rectangle(x, base - height, STEP - 8.0, height, color);
        let middle = x + (STEP - 8.0) / 2.0;
        if pages > 0 {
            svg.text(middle, base - height - 5.0, 10, Anchor::Middle, INK, &count(pages));
        }
        let label = format!("{} to {} %", class * 10, class * 10 + 10);
        svg.text(middle, base + 15.0, 10, Anchor::Middle, PALE_INK, &label);
    }
    svg.rectangle(20.0, base, CLASSES as f64 * STEP, 1.0, PALE_INK);
    base + 32.0
}
