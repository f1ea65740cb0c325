//! The matrix: every work on keys and values of many shapes, so that no engine is measured on one shape alone. What
//! counts is the worst shape of each work.
//!
//! In each cell of the matrix the engines take turns, round by round, another one first each time, and their digests
//! must agree. A ratio is the best peer's time to mapleaf's, the median of the rounds' ratios. Nothing waits for a
//! disk: commits are lazy. Rows of short works still vary where other processes run.

mod shape;

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;

use self::shape::{KeyKind, SHARED, Shape};
use crate::engines::{Depth, Engine, Opening, Order, Store, std_map};
use crate::place::KeyPosition;
use crate::workload::{Digest, KeyList};

#[derive(clap::Args)]
pub struct Arguments {
    /// Each length of keys with each of values once, with kinds of keys in turn, and fewer entries: some minutes.
    #[arg(long)]
    quick: bool,
    /// MiB of keys and values in a database: 32 by default, 4 with --quick. There are 300,000 entries at most.
    #[arg(long)]
    mebibytes: Option<usize>,
    /// Rounds; 5 by default, 3 with --quick.
    #[arg(long)]
    rounds: Option<usize>,
    #[arg(long, value_enum, value_delimiter = ',')]
    works: Vec<Work>,
    #[arg(long, value_enum, value_delimiter = ',')]
    kinds: Vec<KeyKind>,
    #[arg(long, value_delimiter = ',', default_values_t = [8, 16, 24, 40, 66], value_parser = key_len)]
    key_lengths: Vec<usize>,
    #[arg(long, value_delimiter = ',', default_values_t = [0, 8, 32, 100, 150, 500, 2000, 8000])]
    value_lengths: Vec<usize>,
    /// Prints every cell, not only the worst of each work.
    #[arg(long)]
    cells: bool,
    #[command(flatten)]
    place: KeyPosition,
}

fn key_len(text: &str) -> Result<usize, String> {
    let len = text.parse().map_err(|error| format!("{error}"))?;
    if len < 8 { Err("keys have 8 bytes at least".into()) } else { Ok(len) }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Work {
    InsertSorted,
    InsertRandom,
    BulkLoadSorted,
    BulkLoadRandom,
    FirstScan,
    Get,
    RangeOf1,
    RangeOf10,
    RangeOf100,
    RangeOf1000,
    Prefix,
    Scan,
    ScanBackward,
    RemoveHalf,
}

impl Work {
    fn is_load(self) -> bool {
        use Work::{BulkLoadRandom, BulkLoadSorted, InsertRandom, InsertSorted};
        matches!(self, InsertSorted | InsertRandom | BulkLoadSorted | BulkLoadRandom)
    }

    /// How often it runs in a round, of which the fastest counts: it is short, and other processes come between.
    fn repetitions(self) -> usize {
        if self.is_load() || matches!(self, Work::FirstScan | Work::RemoveHalf) { 1 } else { 5 }
    }

    fn suits(self, kind: KeyKind) -> bool {
        use Work::{Prefix, RangeOf1, RangeOf10, RangeOf100, RangeOf1000};
        match self {
            Prefix => kind == KeyKind::Shared,
            // Peers with numbers of their own are walked from the first only.
            RangeOf1 | RangeOf10 | RangeOf100 | RangeOf1000 => kind != KeyKind::Number,
            _ => true,
        }
    }
}

/// mapleaf, the peers that count, and the map of the standard library.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Competitor {
    Engine(Engine),
    StdMap,
}

const COMPETITORS: [Competitor; 5] = [
    Competitor::Engine(Engine::Mapleaf),
    Competitor::Engine(Engine::Lmdb),
    Competitor::Engine(Engine::Mdbx),
    Competitor::Engine(Engine::Redb),
    Competitor::StdMap,
];

impl Competitor {
    fn name(self) -> &'static str {
        match self {
            Competitor::Engine(engine) => engine.name(),
            Competitor::StdMap => "BTreeMap",
        }
    }

    /// An empty database in a new folder.
    fn open(self, place: &TempDir, shape: Shape) -> Result<(TempDir, Box<dyn Store>)> {
        let folder = tempfile::tempdir_in(place.path())?;
        let has_numbers = shape.kind == KeyKind::Number;
        let opening = Opening { is_lazy: true, has_numbers, ..Opening::default() };
        let store = match self {
            Competitor::Engine(engine) => engine.open(folder.path(), opening)?,
            Competitor::StdMap => std_map(),
        };
        Ok((folder, store))
    }
}

/// What mapleaf's time is compared with, in one cell.
struct Cell {
    work: Work,
    shape: Shape,
    /// The best peer, and how many times as much time it takes.
    peer: (&'static str, f64),
    to_std_map: f64,
}

/// The data of one shape.
struct Data {
    shape: Shape,
    sorted: KeyList,
    shuffled: KeyList,
    /// Keys that are looked up, and those that ranges begin at: fewer, if ranges are long.
    sample: KeyList,
    firsts: [KeyList; 2],
    prefixes: KeyList,
    half: KeyList,
}

impl Data {
    fn new(shape: Shape, bytes: usize) -> Data {
        let count = (bytes / (shape.key_len + shape.value_len)).clamp(2000, 300_000);
        let keys = shape.keys(count);
        let shuffled = keys.shuffled();
        let half = shuffled.all().range(0..count / 2).iter().flatten().copied().collect();
        Data {
            shape,
            sorted: keys.sorted(),
            sample: keys.sample(count.min(50_000), 3),
            firsts: [keys.sample(5000, 4), keys.sample(200, 6)],
            prefixes: shape.prefixes(count, 3000),
            half: KeyList::new(half, shape.key_len),
            shuffled,
        }
    }

    /// Does a work, and returns what it read and how many nanoseconds it took.
    fn run(&self, work: Work, store: &dyn Store) -> Result<(Digest, f64)> {
        let (values, all) = (self.shape.values(), self.sorted.all().len());
        let [many, few] = &self.firsts;
        let start = Instant::now();
        let done = |result: Result<()>| result.map(|()| Digest::default());
        let digest = match work {
            Work::InsertSorted => done(store.append_all(self.sorted.all(), values)),
            Work::InsertRandom => done(store.put_all(self.shuffled.all(), values)),
            Work::BulkLoadSorted => done(store.load(self.sorted.all(), values, Order::Sorted)),
            Work::BulkLoadRandom => done(store.load(self.shuffled.all(), values, Order::Random)),
            Work::Get => store.get_each(self.sample.all()),
            Work::RangeOf1 => store.ranges(many.all(), 1),
            Work::RangeOf10 => store.ranges(many.all(), 10),
            Work::RangeOf100 => store.ranges(few.all(), 100),
            Work::RangeOf1000 => store.ranges(few.all(), 1000),
            Work::Prefix => store.prefixes(self.prefixes.all(), SHARED),
            Work::FirstScan | Work::Scan => store.scan(&[], all, Depth::Ends),
            Work::ScanBackward => store.scan_back(),
            Work::RemoveHalf => done(store.remove_all(self.half.all())),
        }?;
        Ok((digest, start.elapsed().as_nanos() as f64))
    }
}

/// The times of a work: for each round, one for each competitor.
type Rounds = Vec<[f64; COMPETITORS.len()]>;

pub fn matrix(arguments: &Arguments) -> Result<()> {
    let place = arguments.place.new_folder()?;
    let (mebibytes, rounds) = if arguments.quick { (4, 3) } else { (32, 5) };
    let bytes = arguments.mebibytes.unwrap_or(mebibytes) << 20;
    let rounds = arguments.rounds.unwrap_or(rounds);
    ensure!(bytes > 0 && rounds > 0, "there must be data, and a round");
    let shapes = shapes(arguments);
    let progress = ProgressBar::new(shapes.len() as u64)
        .with_style(ProgressStyle::with_template("{pos}/{len} {elapsed} {msg}")?);
    let mut cells = Vec::new();
    for shape in shapes {
        progress.set_message(shape.to_string());
        cells.extend(measure(&Data::new(shape, bytes), rounds, &arguments.works, &place)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    print(&cells, arguments);
    Ok(())
}

/// The shapes that are asked for.
fn shapes(arguments: &Arguments) -> Vec<Shape> {
    use KeyKind::{Ascending, Number, Random, Shared, Text};
    let is_asked_for = |kind: &KeyKind| arguments.kinds.is_empty() || arguments.kinds.contains(kind);
    let kinds: Vec<KeyKind> = [Random, Ascending, Shared, Text].into_iter().filter(is_asked_for).collect();
    let mut shapes = Vec::new();
    for (row, &key_len) in arguments.key_lengths.iter().enumerate() {
        for (column, &value_len) in arguments.value_lengths.iter().enumerate() {
            let one = kinds.get((row + column) % kinds.len().max(1)).copied();
            let chosen = if arguments.quick { one.as_slice() } else { &kinds };
            shapes.extend(chosen.iter().map(|&kind| Shape { kind, key_len, value_len }));
        }
    }
    let numbers = Shape { kind: Number, key_len: 8, value_len: 8 };
    shapes.extend(is_asked_for(&Number).then_some(numbers));
    shapes
}

/// All works that are asked for, on one shape.
fn measure(data: &Data, rounds: usize, works: &[Work], place: &TempDir) -> Result<Vec<Cell>> {
    let is_asked_for = |work: &Work| works.is_empty() || works.contains(work);
    let works = Work::value_variants().iter().copied();
    let works: Vec<Work> = works.filter(|work| work.suits(data.shape.kind)).collect();
    let mut times: Vec<Rounds> = vec![vec![[0.0; COMPETITORS.len()]; rounds]; works.len()];
    for round in 0..rounds {
        let turns = (0..COMPETITORS.len()).map(|turn| (turn + round) % COMPETITORS.len());
        let turns: Vec<usize> = turns.collect();
        let mut stores: Vec<Option<(TempDir, Box<dyn Store>)>> = Vec::new();
        stores.resize_with(COMPETITORS.len(), || None);
        for (work, times) in works.iter().zip(&mut times) {
            // What comes after the loads reads what the last load left.
            if !is_asked_for(work) && *work != Work::BulkLoadRandom {
                continue;
            }
            let mut digests = Vec::new();
            for &turn in &turns {
                if work.is_load() {
                    stores[turn] = None;
                    stores[turn] = Some(COMPETITORS[turn].open(place, data.shape)?);
                }
                let Some((_, store)) = &stores[turn] else { continue };
                let (digest, mut time) = data.run(*work, &**store)?;
                for _ in 1..work.repetitions() {
                    time = time.min(data.run(*work, &**store)?.1);
                }
                times[round][turn] = time;
                digests.push(digest);
            }
            let is_same = digests.windows(2).all(|pair| pair[0] == pair[1]);
            ensure!(is_same, "{work:?}, {}: the engines read different things: {digests:?}", data.shape);
        }
    }
    let cells = works.into_iter().zip(&times).filter(|(work, _)| is_asked_for(work));
    Ok(cells.map(|(work, rounds)| cell(work, data.shape, rounds)).collect())
}

fn cell(work: Work, shape: Shape, rounds: &Rounds) -> Cell {
    let ratio = |competitor: usize| {
        let ratios = rounds.iter().map(|times| times[competitor] / times[0]);
        median(ratios.collect())
    };
    let [_, peers @ .., std_map] = std::array::from_fn::<usize, { COMPETITORS.len() }, _>(|index| index);
    let peers = peers.map(|index| (COMPETITORS[index].name(), ratio(index)));
    let best = peers.into_iter().min_by(|one, other| one.1.total_cmp(&other.1));
    Cell { work, shape, peer: best.unwrap_or(("-", f64::NAN)), to_std_map: ratio(std_map) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(cells: &[Cell], arguments: &Arguments) {
    let preset =
        if arguments.place.markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED };
    if arguments.cells {
        for Cell { work, shape, peer: (name, ratio), to_std_map } in cells {
            println!("{work:?} {shape}: {ratio:.2} ({name}), BTreeMap {to_std_map:.2}");
        }
    }
    let mut table = Table::new();
    table.load_style(preset);
    table.set_header([
        "work",
        "cells",
        "below 1.0",
        "median",
        "worst",
        "its shape",
        "best peer",
        "median to BTreeMap",
        "worst to BTreeMap",
        "its shape",
    ]);
    for work in Work::value_variants() {
        let cells: Vec<&Cell> = cells.iter().filter(|cell| cell.work == *work).collect();
        let worst = |ratio: fn(&Cell) -> f64| {
            cells.iter().copied().min_by(|one, other| ratio(one).total_cmp(&ratio(other)))
        };
        let to_peer: fn(&Cell) -> f64 = |cell| cell.peer.1;
        let to_map: fn(&Cell) -> f64 = |cell| cell.to_std_map;
        let (Some(peer), Some(map)) = (worst(to_peer), worst(to_map)) else { continue };
        let middle = |ratio: fn(&Cell) -> f64| median(cells.iter().map(|cell| ratio(cell)).collect());
        table.add_row([
            format!("{work:?}"),
            cells.len().to_string(),
            cells.iter().filter(|cell| to_peer(cell) < 1.0).count().to_string(),
            format!("{:.2}", middle(to_peer)),
            format!("{:.2}", peer.peer.1),
            peer.shape.to_string(),
            peer.peer.0.to_owned(),
            format!("{:.2}", middle(to_map)),
            format!("{:.2}", map.to_std_map),
            map.shape.to_string(),
        ]);
    }
    for index in [1, 2, 3, 4, 7, 8] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    println!(
        "Ratios: how many times as fast mapleaf is. \"24+150\" are keys of 24 bytes with values of 150."
    );
}
