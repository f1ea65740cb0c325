//! The cost of increments and compaction, in bytes, pages and transactions: the table *Increments and
//! compaction* of docs/BENCHMARKS.md. `cargo bench --bench compaction` prints it.

use std::fs;
use std::path::Path;

use mapleaf::{Db, Table};
use tempfile::TempDir;

const ENTRIES: Table<u64, [u8]> = Table::new("entries");
const COUNT: u64 = 200_000;
const LOADS: u64 = 10;
const CHANGED: u64 = COUNT / 100;
const PAGE_BYTES: u64 = 4096;

/// The number-th of keys in random order (the last step of splitmix64).
fn key(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn put(db: &Db, keys: &[u64], filling: u8) -> mapleaf::Result<()> {
    db.update(|tx| {
        let mut entries = tx.table(&ENTRIES)?;
        keys.iter().try_for_each(|&key| entries.insert(key, [filling; 150]).map(drop))
    })
}

fn bytes_in_use(db: &Db) -> mapleaf::Result<u64> {
    let report = db.check()?;
    let counts = report.counts();
    Ok(u64::from(counts.total - counts.free - counts.retired) * PAGE_BYTES)
}

fn bytes_of(path: &Path) -> anyhow::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

/// Changes entries, and prints the size of an increment with the changes.
fn increment(db: &Db, folder: &TempDir, name: &str, changed: &[u64]) -> mapleaf::Result<()> {
    let since = db.read()?.id();
    put(db, changed, 8)?;
    let increment = db.read()?.copy().since(since).to_path(folder.path().join(name))?;
    println!("{name} entries changed: {increment:?}");
    Ok(())
}

/// Removes entries, and prints what compaction does then.
fn compaction(db: &Db, path: &Path, name: &str, remains: impl Fn(u64) -> bool) -> anyhow::Result<()> {
    db.update(|tx| tx.table(&ENTRIES)?.retain(|key, _| remains(key)).map(drop))?;
    let (before, stored) = (bytes_of(path)?, db.stats()?.written_bytes);
    let progress = db.compact()?;
    let stored = db.stats()?.written_bytes - stored;
    let (after, in_use) = (bytes_of(path)?, bytes_in_use(db)?);
    println!(
        "two thirds removed, {name}: {before} bytes before, {after} after, {in_use} in use, {stored} stored"
    );
    println!("    {progress:?}");
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("data.mapleaf");
    let db = Db::open(&path)?;
    let keys: Vec<u64> = (0..COUNT).map(key).collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    keys.chunks((COUNT / LOADS) as usize).try_for_each(|piece| put(&db, piece, 7))?;
    let full = db.read()?.copy().to_path(folder.path().join("full"))?.bytes;
    println!("copy: {full} bytes, {} of them in use", bytes_in_use(&db)?);
    increment(&db, &folder, "scattered", &keys[..CHANGED as usize])?;
    increment(&db, &folder, "neighbouring", &sorted[keys.len() / 2..][..CHANGED as usize])?;

    compaction(&db, &path, "scattered", |key| key % 3 == 0)?;
    put(&db, &keys, 9)?;
    let bound = sorted[keys.len() * 2 / 3];
    compaction(&db, &path, "all below a key", |key| key > bound)
}
