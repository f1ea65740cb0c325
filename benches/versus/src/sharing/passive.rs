//! What being a reader costs: a read transaction, and the memory of a process.

use anyhow::Result;

use super::process::{Process, Task, clocked};
use super::{Laboratory, mebibytes, median, median_ratio};
use crate::duration::duration;
use crate::engines::Opening;
use crate::measure::child::Child;

impl Laboratory {
    /// Beginning and ending a read transaction, in processor time and in instructions.
    pub(super) fn transactions(&mut self) -> Result<()> {
        const COUNT: u64 = 300_000;
        const COUNTED: usize = 100_000;
        let engines = self.engines.clone();
        let mut samples = vec![Vec::new(); engines.len()];
        let mut instructions = Vec::new();
        let mut stores = Vec::new();
        for &engine in &engines {
            let folder = self.common_database(engine)?;
            let child = Child::new("begin-and-end", engine, &folder, self.entries).count(COUNTED).warm();
            eprintln!("instructions of a read transaction: {}", engine.name());
            let counted = child.count_instructions(&self.folder.join("callgrind"))?;
            instructions.push(counted as f64 / COUNTED as f64);
            stores.push(engine.open(&folder, Opening::default())?);
        }
        for _ in 0..5 * self.rounds {
            for (store, samples) in stores.iter().zip(&mut samples) {
                // The processor's time: on a busy machine the other clock tells how long others had their turns.
                let answer = clocked(|| Ok(store.begin_and_end(COUNT)?.count))?;
                samples.push(answer.processor_nanoseconds as f64 / COUNT as f64);
            }
        }
        let sheet = self.sheet(
            "Beginning and ending a read transaction",
            &["", "processor time", "this / mapleaf", "instructions"],
        );
        for ((engine, of_engine), instructions) in engines.iter().zip(&samples).zip(instructions) {
            sheet.rows.push(vec![
                engine.name().to_owned(),
                duration(median(of_engine)),
                format!("{:.2}", median_ratio(of_engine, &samples[0])),
                format!("{instructions:.0}"),
            ]);
        }
        Ok(())
    }

    /// Memory of reader processes, each of which has read about everything.
    pub(super) fn memory(&mut self) -> Result<()> {
        let mut rows = Vec::new();
        for engine in self.engines.clone() {
            let folder = self.common_database(engine)?;
            for count in [1, 2, 4, 8] {
                let mut processes = self.processes(engine, &folder, count)?;
                for (number, process) in processes.iter_mut().enumerate() {
                    process.ask(Task::Lookups { milliseconds: self.milliseconds, seed: number as u64 })?;
                }
                let (mut private, mut shared) = (Vec::new(), Vec::new());
                for process in &mut processes {
                    let now = process.ask(Task::Look)?;
                    private.push(now.private_bytes as f64 - process.at_start.private_bytes as f64);
                    shared.push(now.shared_bytes as f64 - process.at_start.shared_bytes as f64);
                }
                processes.into_iter().try_for_each(Process::end)?;
                rows.push(vec![
                    format!("{count} processes"),
                    engine.name().to_owned(),
                    format!("{:.0} KiB", median(&private) / 1024.0),
                    mebibytes(median(&shared)),
                ]);
            }
        }
        let title = format!(
            "Memory since before opening, per reader process, {} entries read at random",
            self.entries
        );
        self.sheet(title, &["", "engine", "private", "shared"]).rows = rows;
        Ok(())
    }
}
