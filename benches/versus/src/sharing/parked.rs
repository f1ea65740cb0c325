//! A reader that stays in its snapshot while all is overwritten, and is then killed.

use anyhow::{Context, Result, ensure};

use super::process::{Process, Task};
use super::{Laboratory, file_bytes, mebibytes};
use crate::engines::Engine;
use crate::workload::{Digest, Kind, Room};

/// What the parked reader has to see, for all time: every entry as it was loaded.
fn as_loaded(entries: u64) -> Digest {
    let mut digest = Digest::default();
    let mut room: Room = [0; _];
    for key in Kind::Random.keys(0..entries).all().iter() {
        digest.add_whole(Kind::Random.values(0).of(key, &mut room));
    }
    digest
}

impl Laboratory {
    pub(super) fn parked(&mut self) -> Result<()> {
        let entries = self.parked_entries;
        let title = format!(
            "{entries} entries, then {} random overwrites in 200 durable commits, with and without a parked reader",
            2 * entries
        );
        let mut columns: Vec<Vec<(String, String)>> = Vec::new();
        for engine in self.engines.clone() {
            let mut column = Vec::new();
            self.overwrite(engine, false, &mut column)?;
            self.overwrite(engine, true, &mut column)?;
            columns.push(column);
        }
        let mut header = vec![""];
        header.extend(self.engines.clone().iter().map(|engine| engine.name()));
        let sheet = self.sheet(title, &header);
        for (row, (name, _)) in columns[0].iter().enumerate() {
            let mut cells = vec![name.clone()];
            cells.extend(columns.iter().map(|column| column[row].1.clone()));
            sheet.rows.push(cells);
        }
        Ok(())
    }

    fn overwrite(&self, engine: Engine, is_parked: bool, column: &mut Vec<(String, String)>) -> Result<()> {
        eprintln!("parked reader: {}, {is_parked}", engine.name());
        let entries = self.parked_entries;
        let name = if is_parked { "parked" } else { "free" };
        let folder = self.database(engine, name, entries)?;
        let (commits, batch) = (200, entries as usize / 100);
        let loaded = file_bytes(engine, &folder)?;
        let mut note = |what: &str, value: String| {
            let reader = if is_parked { "parked reader" } else { "no reader" };
            column.push((format!("{reader}: {what}"), value));
        };
        let grown = |to: u64| {
            format!("{} ({:+.1} %)", mebibytes(to as f64), (to as f64 / loaded as f64 - 1.0) * 100.0)
        };
        let retired = |pages: Option<u64>| pages.map_or("-".into(), |pages| pages.to_string());

        note("file after the load", mebibytes(loaded as f64));
        let mut reader = None;
        if is_parked {
            let mut process = Process::start(engine, &folder, entries)?;
            let digest = process.ask(Task::Park)?.digest;
            ensure!(digest == as_loaded(entries), "the reader finds other values than were loaded");
            reader = Some(process);
        }
        let mut writer = Process::start(engine, &folder, entries)?;
        let mut write = |commits, seed| -> Result<(u64, Option<u64>)> {
            let answer = writer.ask(Task::Batches { commits, entries: batch, seed })?;
            Ok((file_bytes(engine, &folder)?, answer.counts.retired_pages))
        };
        let (after, pages) = write(commits, 1)?;
        note("file after the overwrites", grown(after));
        note("retired pages", retired(pages));
        if let Some(mut reader) = reader {
            let digest = reader.ask(Task::ReadAgain)?.digest;
            ensure!(digest == as_loaded(entries), "the parked reader's values have changed");
            note("the reader's old values", format!("all {} right", digest.count));
            reader.kill()?;
            for (number, name) in ["first", "second", "third"].into_iter().enumerate() {
                let (bytes, pages) = write(1, 2 + number as u64)?;
                note(&format!("killed; file after the {name} commit since"), grown(bytes));
                note(&format!("retired pages after the {name} commit since"), retired(pages));
            }
            let (bytes, pages) = write(commits, 9)?;
            note("file after 200 more commits", grown(bytes));
            note("retired pages then", retired(pages));
        }
        writer.end()?;
        let left = engine.size_on_disk(&folder).context("looking at the file at the end")?;
        note("file when closed, on the disk", mebibytes(left as f64));
        Ok(())
    }
}
