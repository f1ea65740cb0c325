//! The picture: a line for each row, on it a dot for each engine where its figure is, mapleaf's being 1.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Sheet;

const WIDTH: u32 = 1000;
const ROW_HEIGHT: u32 = 22;
const MARGIN: u32 = 60;
const NAMES: i32 = 420;
const COLORS: [RGBColor; 8] = [
    RGBColor(20, 20, 20),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(120, 120, 120),
];

pub fn draw(sheet: &Sheet, file: &Path) -> Result<()> {
    let height = 2 * MARGIN + ROW_HEIGHT * sheet.rows.len() as u32;
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    draw_on(sheet, &area).and_then(|()| Ok(area.present()?)).map_err(|error| anyhow!("drawing: {error}"))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_on(sheet: &Sheet, area: &Area<'_>) -> std::result::Result<(), anyhow::Error> {
    background(sheet, area).and_then(|()| dots(sheet, area)).map_err(|error| anyhow!("{error}"))
}

/// How far a ratio is to the right. From a tenth to a hundred, in logarithms; what is beyond is drawn at the edge.
fn place(ratio: f64) -> i32 {
    let share = (ratio.clamp(0.1, 100.0).log10() + 1.0) / 3.0;
    NAMES + (share * f64::from(WIDTH as i32 - NAMES - 30)) as i32
}

fn line_of(index: usize) -> i32 {
    (MARGIN + ROW_HEIGHT * index as u32 + ROW_HEIGHT / 2) as i32
}

fn text(size: i32, horizontal: HPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(horizontal, VPos::Center))
}

fn background(sheet: &Sheet, area: &Area<'_>) -> Drawn {
    area.fill(&WHITE)?;
    let (top, bottom) = (MARGIN as i32, line_of(sheet.rows.len()));
    for (ratio, name) in [
        (0.1, "0.1"),
        (0.2, "0.2"),
        (0.5, "0.5"),
        (1.0, "1"),
        (2.0, "2"),
        (5.0, "5"),
        (10.0, "10"),
        (100.0, "100"),
    ] {
        let color = if ratio == 1.0 { BLACK } else { RGBColor(210, 210, 210) };
        area.draw(&PathElement::new(vec![(place(ratio), top), (place(ratio), bottom)], color))?;
        area.draw(&Text::new(name, (place(ratio), bottom + 12), text(13, HPos::Center)))?;
    }
    let title = format!("{} entries: time (or size) of each engine, mapleaf's being 1", sheet.entries);
    area.draw(&Text::new(title, (10, 16), text(15, HPos::Left)))?;
    let mut left = 10;
    for (column, color) in sheet.columns.iter().zip(COLORS) {
        area.draw(&Circle::new((left + 5, 40), 5, color.filled()))?;
        area.draw(&Text::new(column.name.clone(), (left + 15, 40), text(13, HPos::Left)))?;
        left += 40 + 8 * column.name.len() as i32;
    }
    Ok(())
}

fn dots(sheet: &Sheet, area: &Area<'_>) -> Drawn {
    for (index, figures) in sheet.rows.iter().enumerate() {
        let line = line_of(index);
        let style = text(13, HPos::Right);
        area.draw(&Text::new(figures.row.name(), (NAMES - 15, line), style))?;
        let across = vec![(NAMES, line), (WIDTH as i32 - 20, line)];
        area.draw(&PathElement::new(across, RGBColor(235, 235, 235)))?;
        for (column, color) in sheet.columns.iter().zip(COLORS) {
            if let Some(summary) = figures.summary(&column.name) {
                area.draw(&Circle::new((place(summary.to_mapleaf), line), 5, color.filled()))?;
            }
        }
    }
    Ok(())
}
