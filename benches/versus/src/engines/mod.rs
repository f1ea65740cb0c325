//! The engines behind one small trait. Its methods do whole batches, so that calling through it costs
//! nothing that could be measured.

mod lmdb;
mod mapleaf;
mod redb;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::workload::{Digest, Key};

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Mapleaf,
    Lmdb,
    Redb,
}

impl Engine {
    pub const ALL: [Engine; 3] = [Engine::Mapleaf, Engine::Lmdb, Engine::Redb];

    pub fn name(self) -> &'static str {
        match self {
            Engine::Mapleaf => "mapleaf",
            Engine::Lmdb => "lmdb",
            Engine::Redb => "redb",
        }
    }

    /// Name, version and settings, for the report.
    pub fn description(self) -> String {
        match self {
            Engine::Mapleaf => mapleaf::description(),
            Engine::Lmdb => lmdb::description(),
            Engine::Redb => redb::description(),
        }
    }

    /// The file with the data, of a database in `folder`.
    pub fn file(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Engine::Mapleaf => mapleaf::FILE,
            Engine::Lmdb => lmdb::FILE,
            Engine::Redb => redb::FILE,
        })
    }

    /// Opens the database in `folder`; makes one if there is none.
    pub fn open(self, folder: &Path) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(folder)?;
        Ok(match self {
            Engine::Mapleaf => Box::new(mapleaf::Mapleaf::open(&self.file(folder))?),
            Engine::Lmdb => Box::new(lmdb::Lmdb::open(folder)?),
            Engine::Redb => Box::new(redb::Redb::open(&self.file(folder))?),
        })
    }

    /// Bytes on the disk that the database in `folder` takes.
    pub fn size_on_disk(self, folder: &Path) -> Result<u64> {
        Ok(std::fs::metadata(self.file(folder))?.blocks() * 512)
    }
}

/// In which order a load meets its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Random,
    /// The engine is told, if it wants to know.
    Sorted,
}

/// An open database. Every write is durable when it returns.
pub trait Store: Send + Sync {
    /// Puts all `keys` in, in one transaction.
    fn load(&self, keys: &[Key], order: Order, version: u64) -> Result<()>;

    /// Puts each of `keys` in, in a transaction of its own.
    fn put_each(&self, keys: &[Key], version: u64) -> Result<()>;

    /// Puts each of `keys` in, in a transaction of its own that need not be durable. `false` if the engine has
    /// nothing of that kind with its default settings.
    fn put_each_lazily(&self, _keys: &[Key], _version: u64) -> Result<bool> {
        Ok(false)
    }

    /// Reads each of `keys`, all in one transaction.
    fn get_each(&self, keys: &[Key]) -> Result<Digest>;

    /// Reads `keys`, 16 at a time if the engine can, else each on its own.
    fn get_in_groups(&self, keys: &[Key]) -> Result<Digest> {
        self.get_each(keys)
    }

    /// Reads each of `keys`, each in a transaction of its own.
    fn begin_and_get_each(&self, keys: &[Key]) -> Result<Digest>;

    /// Reads every byte of `keys`, again and again in one transaction, and hands what it read to `step`, for as long as
    /// that answers `true`.
    fn read_again(&self, keys: &[Key], step: &mut dyn FnMut(Digest) -> Result<bool>) -> Result<()>;

    /// What the engine says of itself.
    fn counts(&self) -> Result<Counts> {
        Ok(Counts::default())
    }

    /// Begins and ends so many read transactions.
    fn begin_and_end(&self, count: u64) -> Result<Digest>;

    /// Reads the entries from the key `first` on, `limit` of them at most.
    fn scan(&self, first: &Key, limit: u64, depth: Depth) -> Result<Digest>;
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

/// The version of a dependency, which Cargo.toml pins.
fn pinned_version(package: &str) -> &'static str {
    const MANIFEST: &str = include_str!("../../Cargo.toml");
    let line = MANIFEST.lines().find(|line| line.starts_with(&format!("{package} = ")));
    line.and_then(|line| line.split('"').nth(1)).map_or("?", |version| version.trim_start_matches('='))
}
