//! Lookups in several processes at once, with and without a writer in yet another.

use std::path::Path;

use anyhow::{Result, ensure};

use super::process::{Process, Task};
use super::{Laboratory, median, median_ratio};
use crate::engines::Engine;
use crate::workload::Digest;

/// What the writer does meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    None,
    Durable,
    Lazy,
}

impl Writer {
    fn name(self) -> &'static str {
        match self {
            Writer::None => "no writer",
            Writer::Durable => "durable commits",
            Writer::Lazy => "lazy commits",
        }
    }
}

/// One way to run, and what its rounds gave.
struct Arm {
    engine: Engine,
    readers: usize,
    writer: Writer,
    per_second: Vec<f64>,
    per_processor_second: Vec<f64>,
    commits_per_second: Vec<f64>,
}

impl Laboratory {
    pub(super) fn lookups(&mut self) -> Result<()> {
        let mut arms = Vec::new();
        for writer in [Writer::None, Writer::Durable, Writer::Lazy] {
            for readers in [1, 2, 4] {
                // The peers have no lazy commits with their default settings.
                let engines =
                    self.engines.iter().filter(|&&e| writer != Writer::Lazy || e == Engine::Mapleaf);
                arms.extend(engines.map(|&engine| Arm {
                    engine,
                    readers,
                    writer,
                    per_second: Vec::new(),
                    per_processor_second: Vec::new(),
                    commits_per_second: Vec::new(),
                }));
            }
        }
        self.check_that_all_read_the_same()?;
        for round in 0..self.rounds {
            for arm in &mut arms {
                eprintln!("lookups: {}, {} readers, {}", arm.engine.name(), arm.readers, arm.writer.name());
                self.run_arm(arm, round)?;
            }
        }
        let engines = self.engines.clone();
        let title = format!("Random lookups, {} entries", self.entries);
        let header = [
            "",
            "engine",
            "lookups/s",
            "to 1 process",
            "lookups/s of processor",
            "to 1 process",
            "mapleaf / this",
            "commits/s",
        ];
        let sheet = self.sheet(title, &header);
        let find = |engine, readers, writer| {
            arms.iter().find(|arm| (arm.engine, arm.readers, arm.writer) == (engine, readers, writer))
        };
        for arm in &arms {
            let one = find(arm.engine, 1, arm.writer).unwrap_or(arm);
            let first = find(engines[0], arm.readers, arm.writer).unwrap_or(arm);
            let commits = median(&arm.commits_per_second);
            sheet.rows.push(vec![
                format!("{} reading, {}", arm.readers, arm.writer.name()),
                arm.engine.name().to_owned(),
                format!("{:.0} k", median(&arm.per_second) / 1e3),
                format!("{:.2}", median_ratio(&arm.per_second, &one.per_second)),
                format!("{:.0} k", median(&arm.per_processor_second) / 1e3),
                format!("{:.2}", median_ratio(&arm.per_processor_second, &one.per_processor_second)),
                format!("{:.2}", median_ratio(&first.per_processor_second, &arm.per_processor_second)),
                if arm.writer == Writer::None { "-".into() } else { format!("{commits:.0}") },
            ]);
        }
        Ok(())
    }

    fn run_arm(&self, arm: &mut Arm, round: u64) -> Result<()> {
        let folder = self.common_database(arm.engine)?;
        let mut readers = self.processes(arm.engine, &folder, arm.readers)?;
        let mut writer = self.processes(arm.engine, &folder, usize::from(arm.writer != Writer::None))?;
        // Every page is touched before the clocks run.
        for reader in &mut readers {
            reader.ask(Task::CountedLookups { count: self.entries as usize / 2, seed: round })?;
        }
        if let Some(writer) = writer.first_mut() {
            let is_lazy = arm.writer == Writer::Lazy;
            writer.tell(Task::Commits {
                threads: 1,
                milliseconds: self.milliseconds,
                seed: 1 + round,
                is_lazy,
            })?;
        }
        for (number, reader) in readers.iter_mut().enumerate() {
            let seed = 100 * round + number as u64;
            reader.tell(Task::Lookups { milliseconds: self.milliseconds, seed })?;
        }
        let (mut per_second, mut per_processor_second) = (0.0, 0.0);
        for reader in &mut readers {
            let answer = reader.answer()?;
            per_second += answer.per_second();
            per_processor_second += answer.per_processor_second() / arm.readers as f64;
        }
        arm.per_second.push(per_second);
        arm.per_processor_second.push(per_processor_second);
        for writer in &mut writer {
            arm.commits_per_second.push(writer.answer()?.per_second());
        }
        readers.into_iter().chain(writer).try_for_each(Process::end)
    }

    pub(super) fn processes(&self, engine: Engine, folder: &Path, count: usize) -> Result<Vec<Process>> {
        (0..count).map(|_| Process::start(engine, folder, self.entries)).collect()
    }

    fn check_that_all_read_the_same(&self) -> Result<()> {
        let mut digests: Vec<Digest> = Vec::new();
        for &engine in &self.engines {
            let folder = self.common_database(engine)?;
            for mut process in self.processes(engine, &folder, 2)? {
                let count = self.entries as usize;
                digests.push(process.ask(Task::CountedLookups { count, seed: 1 })?.digest);
                process.end()?;
            }
        }
        ensure!(digests.iter().all(|digest| *digest == digests[0]), "not all read the same: {digests:?}");
        ensure!(digests[0].count == self.entries, "entries are missing");
        Ok(())
    }
}
