//! How rows are run: all engines in turn, round by round, another one first each time, so that what disturbs the
//! machine disturbs all of them. After each round the engines' digests of what they read must agree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use super::rows::Row;
use crate::engines::{Depth, Engine, Opening, Store};
use crate::workload::Digest;

/// One engine's database in this run.
pub struct Contender {
    pub engine: Engine,
    pub folder: PathBuf,
    opening: Opening,
    store: Option<Box<dyn Store>>,
}

impl Contender {
    pub fn new(engine: Engine, folder: &Path, opening: Opening) -> Contender {
        Contender { engine, folder: folder.join(engine.name()), opening, store: None }
    }

    /// The database, opened if it is not open.
    pub fn store(&mut self) -> Result<&dyn Store> {
        if self.store.is_none() {
            self.store = Some(self.engine.open(&self.folder, self.opening)?);
        }
        self.store.as_deref().context("it has just been opened")
    }

    pub fn close(&mut self) {
        self.store = None;
    }

    pub fn open_lazily(&mut self) -> Result<()> {
        self.close();
        let opening = Opening { is_lazy: true, ..self.opening };
        self.store = Some(self.engine.open(&self.folder, opening)?);
        Ok(())
    }

    /// An empty database.
    pub fn start_anew(&mut self) -> Result<()> {
        self.remove()?;
        self.store().map(|_| ())
    }

    pub fn remove(&mut self) -> Result<()> {
        self.close();
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        Ok(())
    }
}

/// One engine's turn in a round.
pub struct Turn<'a> {
    pub contender: &'a mut Contender,
    pub round: usize,
    pub is_last_round: bool,
    records: &'a mut Records,
    digests: &'a mut Vec<(&'static str, Engine, Digest)>,
}

impl Turn<'_> {
    /// Runs `work` with the clock on. It does `units` of something, and the row says how long one takes.
    pub fn time(
        &mut self,
        row: Row,
        units: usize,
        work: impl FnOnce(&dyn Store) -> Result<Digest>,
    ) -> Result<()> {
        let engine = self.contender.engine;
        let store = self.contender.store()?;
        let start = Instant::now();
        let digest = work(store).with_context(|| format!("{}: {}", row.name(), engine.name()))?;
        let nanoseconds = start.elapsed().as_nanos() as f64;
        self.record(row, nanoseconds / units as f64);
        self.agree(row.name(), digest);
        Ok(())
    }

    pub fn record(&mut self, row: Row, value: f64) {
        let of_row = self.records.samples.entry(row).or_default();
        of_row.entry(self.contender.engine.name().to_owned()).or_default().push(value);
    }

    /// The size of the database once it is closed, with all logs emptied into it that the engine empties then.
    pub fn record_size(&mut self, row: Row) -> Result<()> {
        self.contender.close();
        let size = self.contender.engine.size_on_disk(&self.contender.folder)?;
        self.record(row, size as f64);
        Ok(())
    }

    /// What this engine read has to be what the others read.
    pub fn agree(&mut self, what: &'static str, digest: Digest) {
        self.digests.push((what, self.contender.engine, digest));
    }

    /// Compares every byte of the database with the other engines'.
    pub fn compare_contents(&mut self) -> Result<()> {
        let digest = self.contender.store()?.scan(&[], usize::MAX, Depth::Whole)?;
        self.agree("the whole contents", digest);
        Ok(())
    }

    /// Says why a row has no figures.
    pub fn note(&mut self, note: String) {
        if !self.records.notes.contains(&note) {
            self.records.notes.push(note);
        }
    }
}

#[derive(Default)]
pub struct Records {
    /// For each row what each round gave, by engine; smaller is better.
    pub samples: BTreeMap<Row, BTreeMap<String, Vec<f64>>>,
    pub notes: Vec<String>,
}

type Work<'a> = Box<dyn Fn(&mut Turn<'_>) -> Result<()> + 'a>;

/// What an engine does in its turn, and which rows get figures from it.
pub struct Scene<'a> {
    rows: Vec<Row>,
    rounds: usize,
    /// Later scenes need it, even if nobody asked for its rows.
    is_preparation: bool,
    takes_part: fn(Engine) -> bool,
    work: Work<'a>,
}

impl<'a> Scene<'a> {
    pub fn new(rows: &[Row], rounds: usize, work: impl Fn(&mut Turn<'_>) -> Result<()> + 'a) -> Scene<'a> {
        Scene {
            rows: rows.to_vec(),
            rounds,
            is_preparation: false,
            takes_part: |_| true,
            work: Box::new(work),
        }
    }

    pub fn preparing(self) -> Scene<'a> {
        Scene { is_preparation: true, ..self }
    }

    pub fn with(self, takes_part: fn(Engine) -> bool) -> Scene<'a> {
        Scene { takes_part, ..self }
    }
}

/// Scenes that follow each other on the same databases, which begin empty.
pub struct Act<'a> {
    pub opening: Opening,
    pub scenes: Vec<Scene<'a>>,
}

pub struct Stage {
    pub engines: Vec<Engine>,
    pub wanted: Vec<Row>,
    pub folder: PathBuf,
    pub progress: ProgressBar,
    pub records: Records,
}

impl Stage {
    pub fn new(engines: Vec<Engine>, wanted: Vec<Row>, folder: &Path) -> Stage {
        let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {msg}");
        let progress = ProgressBar::new(0).with_style(style.expect("the template is well-formed"));
        progress.enable_steady_tick(std::time::Duration::from_millis(500));
        Stage { engines, wanted, folder: folder.to_owned(), progress, records: Records::default() }
    }

    /// Whether anybody wants any of these rows.
    pub fn wants(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| self.wanted.contains(row))
    }

    /// Runs what is wanted of an act, and removes its databases.
    pub fn perform(&mut self, act: Act<'_>) -> Result<()> {
        let engines = self.engines.clone();
        let contender = |&engine| Contender::new(engine, &self.folder, act.opening);
        let mut contenders: Vec<Contender> = engines.iter().map(contender).collect();
        if !act.scenes.iter().any(|scene| self.wants(&scene.rows)) {
            return Ok(());
        }
        let last = act.scenes.iter().rposition(|scene| self.wants(&scene.rows)).unwrap_or(0);
        for scene in &act.scenes[..=last] {
            if self.wants(&scene.rows) {
                self.run(scene, scene.rounds, &mut contenders)?;
            } else if scene.is_preparation {
                self.run(scene, 1, &mut contenders)?;
            }
        }
        contenders.iter_mut().try_for_each(Contender::remove)
    }

    fn run(&mut self, scene: &Scene<'_>, rounds: usize, contenders: &mut [Contender]) -> Result<()> {
        let count = contenders.len();
        let name = scene.rows.first().map_or("comparing contents", |row| row.name());
        self.progress.inc_length((rounds * count) as u64);
        for round in 0..rounds {
            let mut digests = Vec::new();
            for index in 0..count {
                let contender = &mut contenders[(round + index) % count];
                let engine = contender.engine;
                if (scene.takes_part)(engine) {
                    self.progress.set_message(format!("{name}: {}", engine.name()));
                    let is_last_round = round + 1 == rounds;
                    let (records, digests) = (&mut self.records, &mut digests);
                    let mut turn = Turn { contender, round, is_last_round, records, digests };
                    (scene.work)(&mut turn).with_context(|| format!("{name}: {}", engine.name()))?;
                }
                self.progress.inc(1);
            }
            check_agreement(&digests)?;
        }
        Ok(())
    }
}

fn check_agreement(digests: &[(&str, Engine, Digest)]) -> Result<()> {
    for (what, engine, digest) in digests {
        let first = digests.iter().find(|(of, ..)| of == what).map(|(_, engine, digest)| (engine, digest));
        let agrees = first.is_none_or(|(_, first)| first == digest);
        ensure!(agrees, "{what}: {} read {digest:?}, the first is {first:?}", engine.name());
    }
    Ok(())
}
