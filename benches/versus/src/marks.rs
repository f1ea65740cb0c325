//! The parts of a document that a program writes, each between two marks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Puts `text` between the lines `<!-- name: begin -->` and `<!-- name: end -->` of `document`.
pub fn replace(document: &Path, name: &str, text: &str) -> Result<()> {
    let whole = fs::read_to_string(document).with_context(|| format!("reading {}", document.display()))?;
    let mark = |which| format!("<!-- {name}: {which} -->");
    let missing = |mark: &str| format!("{} has no line {mark}", document.display());
    let (begin, end) = (mark("begin"), mark("end"));
    let (before, rest) = whole.split_once(&begin).with_context(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).with_context(|| missing(&end))?;
    fs::write(document, format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim()))?;
    Ok(())
}
