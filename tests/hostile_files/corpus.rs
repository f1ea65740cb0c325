//! The sound databases that are then damaged, made by a fixed script: only the identity in their metas is random.
//!
//! Each has a place of its own, and keeps it: the lock file that a killed process would have left names the inode, and
//! is believed only there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mapleaf::{Db, Durability, OpenOptions, Table};

use crate::common::Random;
use crate::layout::Image;

pub(crate) const MAX_SIZE: u64 = 64 << 20;

type Bytes<'name> = Table<'name, [u8], [u8]>;

/// A sound database.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) image: Image,
    /// The lock file, as it was while the database was open for the last time.
    pub(crate) lock: Vec<u8>,
    /// Some keys of its tables of bytes, and some that are in none.
    pub(crate) probes: Vec<Vec<u8>>,
}

pub(crate) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    name.into()
}

pub(crate) fn options() -> OpenOptions {
    Db::options().max_size(MAX_SIZE)
}

/// A script that fills a database. What it returns lives until the files have been read.
type Script = fn(&Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>>;

const SCRIPTS: [(&str, usize, Script); 17] = [
    ("new", 4096, |_| Ok(Vec::new())),
    ("emptied", 4096, emptied),
    ("typed", 4096, typed),
    ("prefixes", 4096, prefixes),
    ("deep", 4096, deep),
    ("deeper", 4096, deep_with_short_values),
    ("overflow", 4096, overflow),
    ("retired", 4096, retired),
    ("log pages", 4096, log_pages),
    ("lazy", 4096, lazy),
    ("shrunk", 4096, shrunk),
    ("tables", 4096, many_tables),
    ("dense", 4096, dense),
    ("named", 4096, named),
    ("mixed 8192", 8192, mixed),
    ("mixed 16384", 16384, mixed),
    ("mixed 65536", 65536, mixed),
];

/// How many of the first samples are small: the others are taken less often.
pub(crate) const SMALL_SAMPLES: usize = 14;

pub(crate) fn samples_count() -> usize {
    SCRIPTS.len()
}

pub(crate) fn samples(folder: &Path) -> Vec<Sample> {
    SCRIPTS.iter().map(|&(name, page_size, script)| sample(folder, name, page_size, script)).collect()
}

fn sample(folder: &Path, name: &'static str, page_size: usize, script: Script) -> Sample {
    let folder = folder.join(name.replace(' ', "-"));
    fs::create_dir(&folder).unwrap();
    let path = folder.join("data.mapleaf");
    let db = options().page_size(page_size).open(&path).unwrap();
    let readers = script(&db).unwrap();
    let report = db.check().unwrap();
    assert!(report.is_clean(), "{name}: {report}");
    let probes = probes(&db);
    // As if all processes that have it open were killed now.
    let image = Image { bytes: fs::read(&path).unwrap(), page_size };
    let lock = fs::read(lock_path(&path)).unwrap();
    drop((readers, db));
    Sample { name, path, image, lock, probes }
}

fn probes(db: &Db) -> Vec<Vec<u8>> {
    let rx = db.read().unwrap();
    let mut probes = vec![Vec::new(), vec![0], vec![0xff; 40], b"shared".to_vec(), vec![b'k'; 5000]];
    for info in rx.tables().unwrap().iter().filter(|info| info.key_type == "bytes").take(2) {
        let table = rx.table(&Bytes::new(&info.name)).unwrap();
        let step = table.len() as usize / 7 + 1;
        probes.extend(table.iter().step_by(step).map(|entry| entry.unwrap().0.to_vec()));
    }
    probes
}

fn put(
    db: &Db,
    name: &'static str,
    durability: Durability,
    entries: impl IntoIterator<Item = (Vec<u8>, usize)>,
) -> mapleaf::Result<()> {
    let tx = db.write()?;
    {
        let mut table = tx.table(&Bytes::new(name))?;
        for (key, length) in entries {
            let value = Random::new(length as u64).bytes(length);
            table.insert(key, value)?;
        }
    }
    tx.commit_with(durability).map(drop)
}

fn key(number: usize, length: usize) -> Vec<u8> {
    let mut key = format!("{number:05}").into_bytes();
    key.resize(length.max(5), b'a' + (number % 26) as u8);
    key
}

fn emptied(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    put(db, "a", Durability::Durable, (0..60).map(|n| (key(n, 20), 50)))?;
    put(db, "b", Durability::Durable, (0..10).map(|n| (key(n, 20), 5000)))?;
    db.update(|tx| tx.table(&Bytes::new("a"))?.clear())?;
    db.update(|tx| tx.drop_table("b"))?;
    Ok(Vec::new())
}

fn typed(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    db.update(|tx| {
        let mut numbers = tx.table(&Table::<u64, str>::new("numbers"))?;
        let mut pairs = tx.table(&Table::<(String, u64), (u32, String)>::new("pairs"))?;
        let mut options = tx.table(&Table::<Option<i32>, Option<bool>>::new("options"))?;
        let mut words = tx.table(&Table::<str, [u8]>::new("words"))?;
        for number in 0..150u64 {
            numbers.insert(number * 1000, format!("the number {number}").as_str())?;
            let name = format!("name{}", number % 7);
            pairs.insert((name.as_str(), number), (number as u32, "value"))?;
            options.insert(Some(number as i32 - 70), Some(number % 2 == 0))?;
            words.insert(format!("w\u{f6}rd {number}").as_str(), vec![1; number as usize])?;
        }
        options.insert(None::<i32>, None::<bool>)?;
        words.insert("large", vec![7; 9000])?;
        Ok(())
    })?;
    put(db, "bytes", Durability::Durable, (0..40).map(|n| (key(n, 9), n)))?;
    Ok(Vec::new())
}

fn prefixes(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    let keys = |n: usize| format!("shared/prefix/of/all/keys/{:03}/{n:06}", n / 40).into_bytes();
    put(db, "paths", Durability::Durable, (0..700).map(|n| (keys(n), n % 30)))?;
    // Keys whose heads are equal, and keys that end within their heads.
    let equal = |n: usize| [&b"same"[..], &vec![0; n % 5], format!("{n}").as_bytes()].concat();
    put(db, "heads", Durability::Durable, (0..300).map(|n| (equal(n), 10)))?;
    put(db, "short", Durability::Durable, (0..600usize).map(|n| (vec![(n >> 8) as u8, n as u8], 0)))?;
    Ok(Vec::new())
}

fn deep(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    // Two entries or so in a leaf, separators of the same length: levels of few children each.
    let long = |n: usize| [vec![b'x'; 1900], key(n, 30)].concat();
    put(db, "deep", Durability::Durable, (0..40).map(|n| (long(n * 7 % 40), 20)))?;
    let spread = |n: usize| [vec![b'0' + (n % 10) as u8; 900], key(n, 900)].concat();
    put(db, "spread", Durability::Durable, (0..30).map(|n| (spread(n), 100)))?;
    Ok(Vec::new())
}

fn deep_with_short_values(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    let long = |n: usize| [vec![b'x'; 1300], key(n, 600)].concat();
    for part in 0..4 {
        put(db, "deep", Durability::Durable, (0..24).map(|n| (long(n * 4 + part), 4)))?;
    }
    db.update(|tx| tx.table(&Bytes::new("deep"))?.remove_range(&long(30)[..]..&long(50)[..]))?;
    Ok(Vec::new())
}

fn overflow(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    let lengths = [3000, 4064, 4065, 12_000, 8160, 1, 20_000, 5000];
    for round in 0..3 {
        let entries = (0..16).map(|n| (key(n, 8), lengths[(n + round) % lengths.len()]));
        put(db, "large", Durability::Durable, entries)?;
    }
    put(db, "huge", Durability::Durable, [(b"huge".to_vec(), 270_000)])?;
    db.update(|tx| tx.table(&Bytes::new("huge"))?.clear())?;
    put(db, "few", Durability::Durable, (0..50).map(|n| (key(n, 8), 40 * n)))?;
    Ok(Vec::new())
}

fn retired(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    let mut readers = Vec::new();
    for round in 0..6 {
        put(db, "a", Durability::Durable, (0..200).step_by(round + 1).map(|n| (key(n, 30), 60 + round)))?;
        if round % 2 == 0 {
            readers.push(Arc::new(db.read()?));
        }
    }
    Ok(readers)
}

/// Snapshots with names, one of which was dropped.
fn named(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    for round in 0..5 {
        put(db, "a", Durability::Lazy, (0..120).step_by(round + 1).map(|n| (key(n, 30), 90 + round)))?;
        put(db, "b", Durability::Durable, (0..3).map(|n| (key(n, 20), 5000 + round)))?;
        db.create_snapshot(&format!("round {round}"))?;
    }
    db.drop_snapshot("round 1")?;
    put(db, "a", Durability::Durable, (0..120).map(|n| (key(n, 30), 70)))?;
    Ok(Vec::new())
}

fn log_pages(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    let mut random = Random::new(5);
    put(db, "a", Durability::Durable, (0..500).map(|n| (key(n, 100), 120)))?;
    let reader = Arc::new(db.read()?);
    // Deltas of many single pages each, until the log has moved to pages of its own.
    for _ in 0..24 {
        let entries: Vec<_> = (0..12).map(|_| (key(random.below(500), 100), 120 + random.below(9))).collect();
        put(db, "a", Durability::Lazy, entries)?;
    }
    db.sync()?;
    Ok(vec![reader])
}

fn lazy(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    put(db, "a", Durability::Durable, (0..150).map(|n| (key(n, 20), 80)))?;
    db.sync()?;
    for round in 0..5 {
        put(db, "a", Durability::Lazy, (0..10).map(|n| (key(n * 11 + round, 20), 90)))?;
    }
    put(db, "lazy", Durability::Lazy, (0..5).map(|n| (key(n, 20), 5000)))?;
    Ok(Vec::new())
}

fn shrunk(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    put(db, "a", Durability::Durable, (0..2000).map(|n| (key(n, 60), 400)))?;
    db.update(|tx| tx.table(&Bytes::new("a"))?.remove_range(&key(60, 60)[..]..))?;
    for round in 0..3 {
        put(db, "a", Durability::Durable, [(key(round, 60), 401)])?;
    }
    Ok(Vec::new())
}

fn many_tables(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    db.update(|tx| {
        for number in 0..90usize {
            let name = format!("table {number:03} {}", "n".repeat(number * 3 % 60));
            let mut table = tx.table(&Bytes::new(&name))?;
            for entry in 0..number % 4 {
                table.insert(key(entry, 10), vec![entry as u8; 30])?;
            }
        }
        Ok(())
    })?;
    Ok(Vec::new())
}

/// Leaves of entries of one length, some beside such as have slots.
fn dense(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    db.update(|tx| {
        let mut numbers = tx.table(&Table::<u64, u64>::new("numbers"))?;
        let mut members = tx.table(&Table::<(u32, u16), ()>::new("members"))?;
        for number in 0..1500u64 {
            numbers.insert(number.wrapping_mul(0x9E37_79B9_7F4A_7C15), number)?;
            members.insert((number as u32 / 9, number as u16), ())?;
        }
        Ok(())
    })?;
    put(db, "heads", Durability::Durable, (0..1200).map(|n| (key(n * 83 % 1201, 5)[1..].to_vec(), 0)))?;
    put(db, "a", Durability::Durable, (0..600).map(|n| (key(n, 12), if n % 211 == 7 { 30 } else { 12 })))?;
    put(db, "a", Durability::Lazy, [(key(7, 12), 12)])?;
    Ok(Vec::new())
}

fn mixed(db: &Db) -> mapleaf::Result<Vec<Arc<mapleaf::ReadTxn>>> {
    let page_size = db.page_size();
    let long = move |n: usize| key(n, page_size / 2 - 100);
    put(db, "deep", Durability::Durable, (0..7).map(|n| (long(n), 20)))?;
    put(db, "small", Durability::Durable, (0..page_size / 16).map(|n| (key(n, 12), 12)))?;
    put(db, "large", Durability::Durable, (0..3).map(|n| (key(n, 12), page_size * (n + 1) / 2)))?;
    put(db, "small", Durability::Lazy, [(key(7, 12), 50)])?;
    Ok(Vec::new())
}
