//! `versus publish`: the tables between two marks of a document, and the pictures beside it.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Report, Sheet, picture};
use crate::marks;

#[derive(clap::Args)]
pub struct Arguments {
    /// What `compare --json` has written.
    #[arg(long)]
    json: PathBuf,
    /// The document, with a line `<!-- versus: begin -->` and another with `end`.
    #[arg(long, default_value = "../../docs/BENCHMARKS.md")]
    document: PathBuf,
    /// The folder of the pictures, which must be below that of the document.
    #[arg(long, default_value = "../../docs/pictures")]
    pictures: PathBuf,
}

pub fn publish(arguments: &Arguments) -> Result<()> {
    let report = Report::read(&arguments.json)?;
    fs::create_dir_all(&arguments.pictures)?;
    let mut text = String::new();
    for sheet in &report.sheets {
        let picture = arguments.pictures.join(format!("versus-{}.svg", sheet.entries));
        picture::draw(sheet, &picture)?;
        section(&mut text, sheet, &link(&picture, &arguments.document)?)?;
    }
    marks::replace(&arguments.document, "versus", &text)
}

/// The path to `picture` from the folder of `document`.
fn link(picture: &Path, document: &Path) -> Result<String> {
    let folder = document.canonicalize()?;
    let folder = folder.parent().context("a document is in a folder")?.to_owned();
    let picture = picture.canonicalize()?;
    let link = picture.strip_prefix(folder).context("the pictures are not below the document's folder")?;
    Ok(link.display().to_string())
}

fn section(text: &mut String, sheet: &Sheet, picture: &str) -> Result<()> {
    let entries = match sheet.entries {
        entries if entries % 1_000_000 == 0 => format!("{} M", entries / 1_000_000),
        entries => entries.to_string(),
    };
    writeln!(text, "### {entries} entries\n\n{}; load average up to {:.1}.\n", sheet.machine, sheet.load)?;
    for column in &sheet.columns {
        writeln!(text, "- **{}**: {}", column.name, column.description)?;
    }
    writeln!(text, "\n{}\n\n![{entries} entries]({picture})\n", sheet.table(true))?;
    sheet.notes.iter().try_for_each(|note| writeln!(text, "{note}\n"))?;
    Ok(())
}
