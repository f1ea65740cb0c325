//! Multimap tables: many values for each key. mapleaf, LMDB with `MDB_DUPSORT` and with `MDB_DUPFIXED`, and redb's
//! multimap tables, on the same pairs of numbers.
//!
//! The engines take turns, round by round, another one first each time, and what they find must agree. A ratio is the
//! best peer's time to mapleaf's, the median of the rounds' ratios. Commits are lazy: no disk is measured.

mod lmdb;
mod stores;

use std::time::Instant;

use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, Table, presets};

use self::stores::{Contender, Store};
use crate::duration::duration;
use crate::place::KeyPosition;

#[derive(clap::Args)]
pub struct Arguments {
    /// Pairs of a key and a value.
    #[arg(long, default_value_t = 1_000_000)]
    pairs: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One of them on its own, to profile it.
    #[arg(long, value_enum)]
    engine: Option<Contender>,
    /// How many values each key has.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1000, 100_000])]
    values: Vec<usize>,
    #[command(flatten)]
    place: KeyPosition,
}

/// A key and a value.
pub type Pair = (u64, u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Row {
    Insert,
    Load,
    Contains,
    Walk,
    Count,
    Remove,
    InsertedBytes,
    LoadedBytes,
}

const ROWS: [(Row, &str); 8] = [
    (Row::Insert, "insert, in any order, a pair"),
    (Row::InsertedBytes, "size after the insertions, bytes a pair"),
    (Row::Load, "load all at once, a pair"),
    (Row::LoadedBytes, "size after the load, bytes a pair"),
    (Row::Contains, "is a pair there"),
    (Row::Walk, "walk the values of a key, a value"),
    (Row::Count, "count the values of a key"),
    (Row::Remove, "remove half, in any order, a pair"),
];

/// The figures of one row: for each round, one for each contender that has it.
type Figures = Vec<[Option<f64>; Contender::ALL.len()]>;

/// The data of one shape.
struct Data {
    shuffled: Vec<Pair>,
    /// Half of them are there.
    asked: Vec<Pair>,
    /// Keys whose values are walked, and keys whose values are counted.
    keys: Vec<u64>,
    counted: Vec<u64>,
    half: Vec<Pair>,
}

impl Data {
    fn new(pairs: usize, values: usize) -> Data {
        let mut random = fastrand::Rng::with_seed(values as u64);
        let keys: Vec<u64> = (0..pairs.div_ceil(values)).map(|_| random.u64(..)).collect();
        let mut shuffled: Vec<Pair> = keys
            .iter()
            .flat_map(|key| (0..values).map(|_| (*key, random.u64(..))).collect::<Vec<_>>())
            .collect();
        random.shuffle(&mut shuffled);
        let there = shuffled.iter().take(100_000).copied();
        let mut asked: Vec<Pair> = there.flat_map(|(key, value)| [(key, value), (key, value ^ 1)]).collect();
        random.shuffle(&mut asked);
        let walked = (1_000_000 / values).clamp(1, 100_000);
        let mut sample = |count: usize| (0..count).map(|_| keys[random.usize(..keys.len())]).collect();
        let (walked, counted) = (sample(walked), sample(100_000));
        let mut half = shuffled[..pairs / 2].to_vec();
        random.shuffle(&mut half);
        Data { shuffled, asked, keys: walked, counted, half }
    }

    /// Does the work of all rows on one contender. Returns what it has found.
    fn run(&self, contender: Contender, place: &Arguments, took: &mut impl FnMut(Row, f64)) -> Result<u64> {
        let pairs = self.shuffled.len() as f64;
        let mut digest = 0u64;
        let folder = place.place.new_folder()?;
        let mut clock = |row, count: f64, work: &mut dyn FnMut() -> Result<Option<u64>>| -> Result<()> {
            let start = Instant::now();
            if let Some(found) = work()? {
                took(row, start.elapsed().as_nanos() as f64 / count);
                digest = digest.wrapping_add(found);
            }
            Ok(())
        };
        let done = |()| Some(0);
        let store = contender.open(&folder.path().join("inserted"))?;
        clock(Row::Insert, pairs, &mut || store.insert(&self.shuffled).map(done))?;
        let inserted = store.bytes()?;
        drop(store);
        let store = contender.open(&folder.path().join("loaded"))?;
        clock(Row::Load, pairs, &mut || store.load(&self.shuffled).map(done))?;
        let loaded = store.bytes()?;
        self.read(&*store, &mut clock)?;
        clock(Row::Remove, self.half.len() as f64, &mut || store.remove(&self.half).map(done))?;
        let left = store.walk(&self.keys)?.1;
        took(Row::InsertedBytes, inserted as f64 / pairs);
        took(Row::LoadedBytes, loaded as f64 / pairs);
        Ok(digest.wrapping_add(left))
    }

    fn read(&self, store: &dyn Store, clock: &mut Clock<'_>) -> Result<()> {
        let walked = store.walk(&self.keys)?; // with the clock off: the engine before has left the caches to others
        clock(Row::Walk, walked.0 as f64, &mut || Ok(Some(store.walk(&self.keys)?.1)))?;
        if let Some(there) = store.contains(&self.asked)? {
            ensure!(there == self.asked.len() as u64 / 2, "{there} pairs are there");
            clock(Row::Contains, self.asked.len() as f64, &mut || {
                store.contains(&self.asked).map(|_| Some(0))
            })?;
        }
        clock(Row::Count, self.counted.len() as f64, &mut || store.count(&self.counted).map(Some))
    }
}

/// Runs a work with the clock on, which counts as this many operations.
type Clock<'a> = dyn FnMut(Row, f64, &mut dyn FnMut() -> Result<Option<u64>>) -> Result<()> + 'a;

pub fn multimap(arguments: &Arguments) -> Result<()> {
    for &values in &arguments.values {
        let data = Data::new(arguments.pairs, values);
        let mut figures: Vec<Figures> = vec![Figures::new(); ROWS.len()];
        for round in 0..arguments.rounds {
            let mut digests = Vec::new();
            figures.iter_mut().for_each(|row| row.push([None; Contender::ALL.len()]));
            for turn in 0..Contender::ALL.len() {
                let index = (turn + round) % Contender::ALL.len();
                if arguments.engine.is_some_and(|engine| engine != Contender::ALL[index]) {
                    continue;
                }
                digests.push(data.run(Contender::ALL[index], arguments, &mut |row, figure| {
                    let at = ROWS.iter().position(|(known, _)| *known == row).unwrap_or_default();
                    figures[at][round][index] = Some(figure);
                })?);
            }
            ensure!(digests.iter().all(|digest| *digest == digests[0]), "the engines have found other pairs");
        }
        println!(
            "\n{} pairs, {values} values for each key\n\n{}",
            arguments.pairs,
            table(arguments, &figures)
        );
    }
    Ok(())
}

fn table(arguments: &Arguments, figures: &[Figures]) -> Table {
    let mut table = Table::new();
    let preset =
        if arguments.place.markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED };
    table.load_style(preset);
    let names = Contender::ALL.map(Contender::name);
    table.set_header(["", names[0], names[1], names[2], names[3], "to the best"]);
    for ((row, name), rounds) in ROWS.iter().zip(figures) {
        let is_size = matches!(row, Row::InsertedBytes | Row::LoadedBytes);
        let cells = (0..Contender::ALL.len()).map(|index| {
            let figure = median(rounds.iter().filter_map(|round| round[index]).collect());
            figure.map_or(
                "–".to_owned(),
                |figure| if is_size { format!("{figure:.1}") } else { duration(figure) },
            )
        });
        let ratios = rounds.iter().filter_map(|round| {
            let best = round[1..].iter().flatten().copied().reduce(f64::min)?;
            Some(if is_size { round[0]? / best } else { best / round[0]? })
        });
        let ratio = median(ratios.collect()).map_or(String::new(), |ratio| format!("{ratio:.2}"));
        table.add_row(std::iter::once((*name).to_owned()).chain(cells).chain([ratio]));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
