//! The engines behind one small trait. Its methods do whole batches, so that calling through it costs
//! nothing that could be measured.

#[cfg(feature = "fjall")]
mod fjall;
mod lmdb;
mod mapleaf;
mod mdbx;
mod peer;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sqlite")]
mod sqlite;
mod std_map;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::workload::{Digest, Keys, Values};

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    Mapleaf,
    Lmdb,
    /// LMDB with `MDB_WRITEMAP`.
    LmdbWritemap,
    Mdbx,
    Redb,
    #[cfg(feature = "rocksdb")]
    Rocksdb,
    #[cfg(feature = "fjall")]
    Fjall,
    #[cfg(feature = "sqlite")]
    Sqlite,
}

impl Engine {
    pub fn all() -> Vec<Engine> {
        Engine::value_variants().to_vec()
    }

    pub fn name(self) -> &'static str {
        match self {
            Engine::Mapleaf => "mapleaf",
            Engine::Lmdb => "lmdb",
            Engine::LmdbWritemap => "lmdb-writemap",
            Engine::Mdbx => "mdbx",
            Engine::Redb => "redb",
            #[cfg(feature = "rocksdb")]
            Engine::Rocksdb => "rocksdb",
            #[cfg(feature = "fjall")]
            Engine::Fjall => "fjall",
            #[cfg(feature = "sqlite")]
            Engine::Sqlite => "sqlite",
        }
    }

    /// Name, version and settings, for the report.
    pub fn description(self) -> String {
        match self {
            Engine::Mapleaf => mapleaf::description(),
            Engine::Lmdb => lmdb::description(false),
            Engine::LmdbWritemap => lmdb::description(true),
            Engine::Mdbx => mdbx::description(),
            Engine::Redb => redb::description(),
            #[cfg(feature = "rocksdb")]
            Engine::Rocksdb => rocksdb::description(),
            #[cfg(feature = "fjall")]
            Engine::Fjall => fjall::description(),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite => sqlite::description(),
        }
    }

    /// Whether it is one of the embedded key-value stores with copy-on-write trees, against which the bars are set.
    pub fn is_peer(self) -> bool {
        matches!(self, Engine::Lmdb | Engine::LmdbWritemap | Engine::Mdbx | Engine::Redb)
    }

    /// Whether several processes may have the database open at once.
    pub fn is_shared_by_processes(self) -> bool {
        match self {
            Engine::Mapleaf | Engine::Lmdb | Engine::LmdbWritemap | Engine::Mdbx => true,
            Engine::Redb => false,
            #[cfg(feature = "rocksdb")]
            Engine::Rocksdb => false,
            #[cfg(feature = "fjall")]
            Engine::Fjall => false,
            #[cfg(feature = "sqlite")]
            Engine::Sqlite => true,
        }
    }

    /// The file with the data, of a database in `folder`; the folder itself where there are many.
    pub fn file(self, folder: &Path) -> PathBuf {
        match self {
            Engine::Mapleaf => folder.join(mapleaf::FILE),
            Engine::Lmdb | Engine::LmdbWritemap => folder.join(lmdb::FILE),
            Engine::Mdbx => folder.join(mdbx::FILE),
            Engine::Redb => folder.join(redb::FILE),
            #[cfg(feature = "rocksdb")]
            Engine::Rocksdb => folder.to_owned(),
            #[cfg(feature = "fjall")]
            Engine::Fjall => folder.to_owned(),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite => folder.join(sqlite::FILE),
        }
    }

    /// Opens the database in `folder`; makes one if there is none.
    pub fn open(self, folder: &Path, opening: Opening) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(folder)?;
        let file = self.file(folder);
        Ok(match self {
            Engine::Mapleaf => Box::new(mapleaf::Mapleaf::open(&file, opening)?),
            Engine::Lmdb => Box::new(lmdb::Lmdb::open(folder, opening, false)?),
            Engine::LmdbWritemap => Box::new(lmdb::Lmdb::open(folder, opening, true)?),
            Engine::Mdbx => Box::new(mdbx::Mdbx::open(folder, opening)?),
            Engine::Redb => Box::new(redb::Redb::open(&file, opening)?),
            #[cfg(feature = "rocksdb")]
            Engine::Rocksdb => Box::new(rocksdb::RocksDb::open(folder, opening)?),
            #[cfg(feature = "fjall")]
            Engine::Fjall => Box::new(fjall::Fjall::open(folder, opening)?),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite => Box::new(sqlite::Sqlite::open(&file, opening)?),
        })
    }

    /// Bytes on the disk that the database in `folder` takes.
    pub fn size_on_disk(self, folder: &Path) -> Result<u64> {
        Ok(files(folder)?.iter().map(|(_, blocks)| blocks * 512).sum())
    }
}

/// An empty `std::collections::BTreeMap` in memory.
pub fn std_map() -> Box<dyn Store> {
    Box::new(std_map::StdMap::default())
}

/// All files in `folder`, with the blocks of 512 bytes that they take.
pub fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        if metadata.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push((path, metadata.blocks()));
        }
    }
    Ok(found)
}

/// How a database is opened. The default is how most of its users would.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Opening {
    /// Commits need not be durable.
    pub is_lazy: bool,
    /// Its keys are numbers.
    pub has_numbers: bool,
    /// Its values are of 100 KB to 1 MB.
    pub has_large_values: bool,
    /// Bytes of memory that this process may use, where there is not enough for the whole database.
    pub memory: Option<u64>,
}

impl Opening {
    /// For engines that have a cache of their own: all of it, or half of the memory, the other half being for the
    /// system's cache and everything else.
    fn cache_bytes(self) -> usize {
        self.memory.map_or(4 << 30, |memory| memory as usize / 2)
    }
}

/// In which order a load meets its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Random,
    /// Above all keys that are there, and the engine is told, if it wants to know.
    Sorted,
}

/// An open database. Every write is durable when it returns, if the database was not opened to be lazy.
pub trait Store: Send + Sync {
    /// Puts all `keys` in, in one transaction, in the way that the engine has for many at once.
    fn load(&self, keys: Keys<'_>, values: Values, order: Order) -> Result<()>;

    /// Puts all `keys` in, in one transaction, each on its own.
    fn put_all(&self, keys: Keys<'_>, values: Values) -> Result<()>;

    /// Puts all `keys` in, which ascend, in one transaction, each on its own; the engine is told.
    fn append_all(&self, keys: Keys<'_>, values: Values) -> Result<()>;

    /// Puts each of `keys` in, in a transaction of its own.
    fn put_each(&self, keys: Keys<'_>, values: Values) -> Result<()>;

    /// Removes `keys`, all of which are there, in one transaction.
    fn remove_all(&self, keys: Keys<'_>) -> Result<()>;

    /// Reads each of `keys`, all in one transaction.
    fn get_each(&self, keys: Keys<'_>) -> Result<Digest>;

    /// Reads `keys`, 16 at a time if the engine can, else each on its own.
    fn get_in_groups(&self, keys: Keys<'_>) -> Result<Digest>;

    /// Reads each of `keys`, each in a transaction of its own.
    fn begin_and_get_each(&self, keys: Keys<'_>) -> Result<Digest>;

    /// Reads every byte of `keys`, again and again in one transaction, and hands what it read to `step`, for as long as
    /// that answers `true`.
    fn read_again(&self, keys: Keys<'_>, step: &mut dyn FnMut(Digest) -> Result<bool>) -> Result<()>;

    /// Begins and ends so many read transactions.
    fn begin_and_end(&self, count: u64) -> Result<Digest>;

    /// Reads `limit` entries upward from each of the keys `firsts`, all in one transaction.
    fn ranges(&self, firsts: Keys<'_>, limit: usize) -> Result<Digest>;

    /// Reads the entries whose keys begin with each of `prefixes`; there are `count` of each.
    fn prefixes(&self, prefixes: Keys<'_>, count: usize) -> Result<Digest>;

    /// Reads the entries upward from the key `first` on, `limit` of them at most. An empty key is before all others.
    fn scan(&self, first: &[u8], limit: usize, depth: Depth) -> Result<Digest>;

    /// Reads all entries downward.
    fn scan_back(&self) -> Result<Digest>;

    /// What the engine says of itself.
    fn counts(&self) -> Result<Counts>;
}

/// What an engine says of itself, if it does.
#[derive(Clone, Copy, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Barriers that this process has waited for.
    pub barriers: Option<u64>,
    /// Pages that only snapshots older than the newest may need.
    pub retired_pages: Option<u64>,
}

/// How much of each entry a scan looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Ends,
    Whole,
}

impl Depth {
    #[inline]
    pub fn take(self, digest: &mut Digest, key: &[u8], value: &[u8]) {
        match self {
            Depth::Ends => {
                digest.add(key);
                digest.add(value);
            }
            Depth::Whole => {
                digest.add_whole(key);
                digest.add_whole(value);
            }
        }
    }
}

/// The number that a key of 8 bytes is. The empty key, which is before all others, is 0.
#[inline]
fn number(key: &[u8]) -> u64 {
    key.try_into().map_or(0, u64::from_be_bytes)
}

/// The version of a dependency, which Cargo.toml pins.
fn pinned_version(package: &str) -> &'static str {
    const MANIFEST: &str = include_str!("../../Cargo.toml");
    let is_pinned = |line: &&str| line.starts_with(&format!("{package} = ")) && line.contains("\"=");
    let line = MANIFEST.lines().find(is_pinned);
    line.and_then(|line| line.split("\"=").nth(1)?.split('"').next()).unwrap_or("?")
}
