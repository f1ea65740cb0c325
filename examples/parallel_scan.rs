//! Scans a table by one thread, by several, and by rayon's, and compares.
//!
//! ```text
//! cargo run --release --example parallel_scan                          a million entries, two threads
//! cargo run --release --example parallel_scan -- --count 100000 --threads 8
//! ```
//!
//! What it shows of mapleaf: `TableRef::split`, which cuts a table into ranges of about equal size; read transactions
//! and their tables, which threads share; and `count`, `estimate` and `sample`, which use the shape of the tree too.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use mapleaf::{Db, Durability, Result, SplitRange, Table, TableRef};
use rayon::prelude::*;

/// From a number in random order to a record of 150 bytes.
const RECORDS: Table<u64, [u8]> = Table::new("records");

/// Parts for each thread of rayon: a thread that is done early takes over what is left.
const PARTS_PER_THREAD: usize = 8;

/// Scans a table by several threads.
#[derive(Parser)]
struct Arguments {
    /// How many entries the table has.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// How many threads scan it.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// How often each way is timed; the median counts.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

type Records<'tx> = TableRef<'tx, u64, [u8]>;

fn main() -> Result<()> {
    let Arguments { count, threads, rounds } = Arguments::parse();
    let folder = tempfile::tempdir().expect("a folder for the database");
    let db = Db::open(folder.path().join("records.mapleaf"))?;
    fill(&db, count)?;

    let rx = db.read()?;
    let records = rx.table(&RECORDS)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    let expected = by_one_thread(records)?;
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..rounds {
        let [one, scoped, rayon, counted] = &mut times;
        one.push(timed(expected, || by_one_thread(records))?);
        scoped.push(timed(expected, || by_threads(records, threads))?);
        rayon.push(timed(expected, || pool.install(|| by_rayon(records, threads)))?);
        counted.push(timed(count, || records.count(1..).map(|above_zero| above_zero + 1))?);
    }
    let ratio = |way: usize| {
        median(times[0].iter().zip(&times[way]).map(|(one, many)| one.as_secs_f64() / many.as_secs_f64()))
    };
    let milliseconds = |way: usize| 1000.0 * median(times[way].iter().map(Duration::as_secs_f64));
    println!("{count} entries");
    println!("one thread:        {:8.2} ms", milliseconds(0));
    println!("{threads} threads:         {:8.2} ms, {:.2} times as fast", milliseconds(1), ratio(1));
    println!("{threads} rayon threads:   {:8.2} ms, {:.2} times as fast", milliseconds(2), ratio(2));
    println!("count, one thread: {:8.2} ms, {:.2} times as fast as the scan", milliseconds(3), ratio(3));

    let start = Instant::now();
    let about = records.estimate(..u64::MAX / 3)?;
    println!("estimate of a third: {about}, in {:.1} us", start.elapsed().as_secs_f64() * 1e6);
    let start = Instant::now();
    let sample = records.sample(100, 17)?;
    println!("a sample of {}: {:.1} us for each", sample.len(), start.elapsed().as_secs_f64() * 1e4);
    Ok(())
}

fn fill(db: &Db, count: u64) -> Result<()> {
    let tx = db.write()?;
    let key = |number: u64| {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17).wrapping_mul(0xff51_afd7_ed55_8ccd)
    };
    tx.table(&RECORDS)?.insert_many((0..count).map(|number| (key(number), [number as u8; 150])))?;
    tx.commit_with(Durability::Lazy)?;
    Ok(())
}

/// What is computed of each part: its entries.
fn sum_of(records: Records<'_>, part: &SplitRange<u64>) -> Result<u64> {
    records.range(part).try_fold(0, |sum: u64, entry| {
        let (key, value) = entry?;
        Ok(sum.wrapping_add(key).wrapping_add(u64::from(value[0])))
    })
}

fn by_one_thread(records: Records<'_>) -> Result<u64> {
    records.split(1)?.iter().map(|part| sum_of(records, part)).sum()
}

fn by_threads(records: Records<'_>, threads: usize) -> Result<u64> {
    thread::scope(|scope| {
        let parts = records.split(threads)?;
        let threads: Vec<_> =
            parts.into_iter().map(|part| scope.spawn(move || sum_of(records, &part))).collect();
        let sums = threads.into_iter().map(|thread| thread.join().expect("the thread did not panic"));
        sums.reduce(|sum, part| Ok(sum?.wrapping_add(part?))).unwrap_or(Ok(0))
    })
}

fn by_rayon(records: Records<'_>, threads: usize) -> Result<u64> {
    let parts = records.split(PARTS_PER_THREAD * threads)?;
    parts
        .par_iter()
        .map(|part| sum_of(records, part))
        .try_reduce(|| 0, |sum, part| Ok(sum.wrapping_add(part)))
}

fn timed(expected: u64, work: impl FnOnce() -> Result<u64>) -> Result<Duration> {
    let start = Instant::now();
    let found = black_box(work()?);
    let time = start.elapsed();
    assert_eq!(found, expected, "every way finds the same");
    Ok(time)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
