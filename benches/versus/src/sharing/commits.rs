//! Durable commits of one entry each, from many threads and from many processes: group commit.

use anyhow::Result;

use super::process::{Process, Task};
use super::{Laboratory, median, median_ratio};
use crate::engines::Engine;

/// So many processes, with so many threads each.
const CROWDS: [(usize, u64); 7] = [(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (4, 1), (4, 4)];

#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    barriers_per_commit: Vec<f64>,
    processor_microseconds: Vec<f64>,
}

impl Laboratory {
    pub(super) fn commits(&mut self) -> Result<()> {
        let engines = self.engines.clone();
        let mut crowds: Vec<Vec<Rounds>> = Vec::new();
        crowds.resize_with(CROWDS.len(), || engines.iter().map(|_| Rounds::default()).collect());
        let mut started: Vec<Vec<Process>> = Vec::new();
        for &engine in &engines {
            let folder = self.common_database(engine)?;
            started.push(self.processes(engine, &folder, 4)?);
        }
        for round in 0..self.rounds {
            for (&(processes, threads), rounds) in CROWDS.iter().zip(&mut crowds) {
                for ((engine, processes), rounds) in
                    engines.iter().zip(started.iter_mut().map(|all| &mut all[..processes])).zip(rounds)
                {
                    eprintln!("commits: {}, {} processes, {threads} threads", engine.name(), processes.len());
                    self.commit_at_once(processes, threads, round, rounds)?;
                }
            }
        }
        started.into_iter().flatten().try_for_each(Process::end)?;
        let sheet = self.sheet(
            "Durable commits of one overwritten entry",
            &[
                "",
                "engine",
                "commits/s",
                "to 1 thread",
                "mapleaf / this",
                "barriers/commit",
                "processor/commit",
            ],
        );
        for (&(processes, threads), rounds) in CROWDS.iter().zip(&crowds) {
            for (position, (engine, arm)) in engines.iter().zip(rounds).enumerate() {
                sheet.rows.push(vec![
                    format!("{processes} × {threads} threads"),
                    engine.name().to_owned(),
                    format!("{:.0}", median(&arm.per_second)),
                    format!("{:.2}", median_ratio(&arm.per_second, &crowds[0][position].per_second)),
                    format!("{:.2}", median_ratio(&rounds[0].per_second, &arm.per_second)),
                    if *engine == Engine::Mapleaf {
                        format!("{:.3}", median(&arm.barriers_per_commit))
                    } else {
                        "-".into()
                    },
                    format!("{:.0} µs", median(&arm.processor_microseconds)),
                ]);
            }
        }
        Ok(())
    }

    fn commit_at_once(
        &self,
        processes: &mut [Process],
        threads: u64,
        round: u64,
        rounds: &mut Rounds,
    ) -> Result<()> {
        for (number, process) in processes.iter_mut().enumerate() {
            let seed = 1 + 10 * round + number as u64;
            process.tell(Task::Commits { threads, milliseconds: self.milliseconds, seed, is_lazy: false })?;
        }
        let (mut commits, mut per_second, mut barriers, mut nanoseconds) = (0, 0.0, 0, 0);
        for process in processes {
            let answer = process.answer()?;
            commits += answer.count;
            per_second += answer.per_second();
            barriers += answer.counts.barriers.unwrap_or(0);
            nanoseconds += answer.processor_nanoseconds;
        }
        rounds.per_second.push(per_second);
        rounds.barriers_per_commit.push(barriers as f64 / commits as f64);
        rounds.processor_microseconds.push(nanoseconds as f64 / 1e3 / commits as f64);
        Ok(())
    }
}
