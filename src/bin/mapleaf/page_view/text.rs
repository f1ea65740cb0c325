//! A page taken apart, for people.

use std::io::{self, Write};
use std::ops::Range;

use mapleaf::admin::{Anatomy, Branch, Content, Leaf, LogEntry, StoredValue};

use super::kind::kind_of;
use crate::escape::escape;
use crate::human::{count, pages_text};
use crate::notation::Notation;
use crate::types::Role;

/// Keys and values are cut to this many characters.
const MAX_SHOWN: usize = 40;

pub(crate) struct PageText<'a> {
    pub(crate) page: &'a Anatomy,
    pub(crate) notation: &'a Notation,
}

impl PageText<'_> {
    /// What the page is, its checksum, and the fields of its header.
    pub(crate) fn write_head(&self, out: &mut impl Write, whose: Option<&str>) -> io::Result<()> {
        let page = self.page;
        let start = u64::from(page.number) * page.bytes.len() as u64;
        writeln!(
            out,
            "page {}, bytes {start} to {}: {}",
            page.number,
            start + page.bytes.len() as u64,
            kind_of(page)
        )?;
        if let Some(whose) = whose {
            writeln!(out, "used for  {whose}")?;
        }
        match (page.stored_checksum, page.computed_checksum) {
            (None, _) => {}
            (Some(stored), Some(computed)) if stored == computed => {
                writeln!(out, "checksum  {stored:08x}, right")?;
            }
            (Some(stored), Some(computed)) => {
                writeln!(
                    out,
                    "checksum  {stored:08x} is stored, {computed:08x} is that of the bytes: WRONG"
                )?;
            }
            (Some(stored), None) => writeln!(out, "checksum  {stored:08x}, of an impossible length: WRONG")?,
        }
        if !page.fields.is_empty() {
            writeln!(out, "\n offset  bytes  field")?;
        }
        for field in &page.fields {
            writeln!(out, "{:>7} {:>6}  {:<28} {}", field.offset, field.length, field.name, field.value)?;
        }
        Ok(())
    }

    /// What the header is followed by.
    pub(crate) fn write_content(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.page.content {
            Content::Meta { redo_log, listed, log, .. } => {
                if let Some(pages) = redo_log {
                    writeln!(out, "\nredo log: pages {}..{}", pages.start, pages.end)?;
                }
                if !listed.is_empty() {
                    writeln!(out, "\nlisted pages: {}", ranges(listed))?;
                }
                write_log(out, log)
            }
            Content::Leaf(leaf) => self.write_leaf(out, leaf),
            Content::Branch(branch) => self.write_branch(out, branch),
            Content::Overflow { pages, value_bytes } => {
                let pages = pages_text(u64::from(*pages));
                writeln!(out, "\nbegins a value of {} bytes, on {pages}", count(*value_bytes))
            }
            Content::FreeLog { starts_base, entries } => {
                if *starts_base {
                    writeln!(out, "\nthe log begins here")?;
                }
                match entries {
                    Ok(log) => write_log(out, log),
                    Err(problem) => writeln!(out, "\nwhere entries begin is not known: {problem}"),
                }
            }
            _ => Ok(()),
        }
    }

    fn write_prefix(&self, out: &mut impl Write, prefix: &[u8], gap: usize) -> io::Result<()> {
        let size = self.page.bytes.len();
        writeln!(out, "\ngap     {gap} bytes between tables and heap")?;
        let place = format!("bytes {} to {size}", size - prefix.len());
        match prefix.len() {
            0 => writeln!(out, "prefix  none"),
            length => writeln!(out, "prefix  {length} long, at {place}: {}", cut(&escape(prefix))),
        }
    }

    fn write_leaf(&self, out: &mut impl Write, leaf: &Leaf) -> io::Result<()> {
        self.write_prefix(out, &leaf.prefix, leaf.gap_bytes)?;
        writeln!(out, "\nentry  head  slot  heap         key and value")?;
        for (index, entry) in leaf.entries.iter().enumerate() {
            let heap = format!("{}..{}", entry.heap.start, entry.heap.end);
            let key = cut(&self.notation.text(&entry.key, Role::Key));
            let slot = entry.slot_at.map_or("none".to_owned(), |at| at.to_string());
            write!(out, "{index:>5} {:>5} {slot:>5}  {heap:<12} {key}\t", entry.head_at)?;
            match (&entry.value, leaf.tables.get(index)) {
                (_, Some(table)) => writeln!(
                    out,
                    "{} to {}: {} entries, depth {}, root page {}",
                    table.key_type, table.value_type, table.entries, table.depth, table.root
                )?,
                (StoredValue::Inline(value), None) => {
                    writeln!(out, "{}", cut(&self.notation.text(value, Role::Value)))?;
                }
                (StoredValue::Overflow { first, length }, None) => {
                    writeln!(out, "({} bytes, from page {first} on)", count(*length))?;
                }
                _ => writeln!(out)?,
            }
        }
        Ok(())
    }

    fn write_branch(&self, out: &mut impl Write, branch: &Branch) -> io::Result<()> {
        self.write_prefix(out, &branch.prefix, branch.gap_bytes)?;
        writeln!(out, "\nchild    at        page  keys from")?;
        for (index, child) in branch.children.iter().enumerate() {
            // A separator is cut where it separates: no whole key of the table's type, in general.
            let from = child.separator.as_deref().map_or("the first on".to_owned(), |key| cut(&escape(key)));
            writeln!(out, "{index:>5} {:>5} {:>11}  {from}", child.at, child.page)?;
        }
        Ok(())
    }

    /// All bytes, in rows of 16; rows that repeat the one before are left out.
    pub(crate) fn write_bytes(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out)?;
        let mut before: Option<&[u8]> = None;
        let mut is_skipping = false;
        for (index, row) in self.page.bytes.chunks(16).enumerate() {
            if before.replace(row) == Some(row) {
                if !is_skipping {
                    writeln!(out, "   *")?;
                }
                is_skipping = true;
                continue;
            }
            is_skipping = false;
            write!(out, "{:>7} ", index * 16)?;
            for (at, byte) in row.iter().enumerate() {
                write!(out, "{}{byte:02x}", if at == 8 { "  " } else { " " })?;
            }
            let text: String = row
                .iter()
                .map(|&byte| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '.' })
                .collect();
            writeln!(out, "  |{text}|")?;
        }
        Ok(())
    }

    pub(crate) fn write_problems(&self, out: &mut impl Write) -> io::Result<()> {
        if self.page.problems.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        self.page.problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))?;
        match self.page.problems.len() {
            1 => writeln!(out, "1 problem"),
            problems => writeln!(out, "{problems} problems"),
        }
    }
}

fn write_log(out: &mut impl Write, log: &[LogEntry]) -> io::Result<()> {
    for entry in log {
        match entry {
            LogEntry::Base { length_pages, free, retired } => {
                let retired: Vec<Range<u32>> = retired.iter().map(|(run, ..)| run.clone()).collect();
                writeln!(out, "\nbase: {length_pages} pages in the file")?;
                writeln!(out, "  free     {}\n  retired  {}", ranges(free), ranges(&retired))?;
            }
            LogEntry::Delta { transaction, length_pages, taken, retired } => {
                let retired: Vec<Range<u32>> = retired.iter().map(|(run, _)| run.clone()).collect();
                writeln!(out, "\ntransaction {transaction}: {length_pages} pages in the file")?;
                writeln!(out, "  taken    {}\n  retired  {}", ranges(taken), ranges(&retired))?;
            }
            LogEntry::Snapshots { transaction, named, .. } => {
                writeln!(out, "\nsnapshots after transaction {transaction}: {} with a name", named.len())?;
                for (name, snapshot) in named {
                    writeln!(out, "  {:<8} {}", snapshot, escape(name.as_bytes()))?;
                }
            }
            LogEntry::SnapshotNamed { transaction, name, snapshot } => {
                let name = escape(name.as_bytes());
                writeln!(out, "\ntransaction {transaction} names snapshot {snapshot}: {name}")?;
            }
            LogEntry::SnapshotDropped { transaction, name } => {
                writeln!(out, "\ntransaction {transaction} drops snapshot {}", escape(name.as_bytes()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// "2..5, 7, 9..20: 15 pages", of many the first.
fn ranges(ranges: &[Range<u32>]) -> String {
    const MOST: usize = 12;
    if ranges.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = ranges
        .iter()
        .take(MOST)
        .map(|range| match range.len() {
            1 => range.start.to_string(),
            _ => format!("{}..{}", range.start, range.end),
        })
        .collect();
    let pages: u64 = ranges.iter().map(|range| range.len() as u64).sum();
    let more =
        if ranges.len() > MOST { format!(" and {} more runs", ranges.len() - MOST) } else { String::new() };
    format!("{}{more}: {}", shown.join(", "), pages_text(pages))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}..", &text[..at]),
        None => text.to_owned(),
    }
}
