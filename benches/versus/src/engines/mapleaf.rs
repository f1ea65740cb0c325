//! mapleaf, with its default options.

use std::path::Path;

use anyhow::Result;
use mapleaf::{Db, Durability, Table};

use crate::engines::{Counts, Depth, Order, Store};
use crate::workload::{Digest, Key, value};

pub const FILE: &str = "data.mapleaf";
const ENTRIES: Table<[u8], [u8]> = Table::new("entries");
const GROUP: usize = 16;

pub fn description() -> String {
    const MANIFEST: &str = include_str!("../../../../Cargo.toml");
    let version = MANIFEST.lines().find(|line| line.starts_with("version = "));
    let version = version.and_then(|line| line.split('"').nth(1)).unwrap_or("?");
    format!("mapleaf {version}, default options (checksums compared at first touch)")
}

pub struct Mapleaf {
    db: Db,
}

impl Mapleaf {
    pub fn open(file: &Path) -> Result<Mapleaf> {
        Ok(Mapleaf { db: Db::open(file)? })
    }

    fn put_each_with(&self, keys: &[Key], version: u64, durability: Durability) -> Result<()> {
        for key in keys {
            let transaction = self.db.write()?;
            transaction.table(&ENTRIES)?.insert(&key[..], &value(key, version)[..])?;
            transaction.commit_with(durability)?;
        }
        Ok(())
    }
}

impl Store for Mapleaf {
    fn load(&self, keys: &[Key], _order: Order, version: u64) -> Result<()> {
        let transaction = self.db.write()?;
        let mut entries = transaction.table(&ENTRIES)?;
        for key in keys {
            entries.insert(&key[..], &value(key, version)[..])?;
        }
        drop(entries);
        transaction.commit()?;
        Ok(())
    }

    fn put_each(&self, keys: &[Key], version: u64) -> Result<()> {
        self.put_each_with(keys, version, Durability::Durable)
    }

    fn put_each_lazily(&self, keys: &[Key], version: u64) -> Result<bool> {
        self.put_each_with(keys, version, Durability::Lazy).map(|()| true)
    }

    fn get_each(&self, keys: &[Key]) -> Result<Digest> {
        let transaction = self.db.read()?;
        let entries = transaction.table(&ENTRIES)?;
        let mut digest = Digest::default();
        for key in keys {
            if let Some(value) = entries.get(&key[..])? {
                digest.add(value);
            }
        }
        Ok(digest)
    }

    fn get_in_groups(&self, keys: &[Key]) -> Result<Digest> {
        let transaction = self.db.read()?;
        let entries = transaction.table(&ENTRIES)?;
        let mut digest = Digest::default();
        for group in keys.chunks(GROUP) {
            for value in entries.get_many(group.iter().map(|key| &key[..]))?.into_iter().flatten() {
                digest.add(value);
            }
        }
        Ok(digest)
    }

    fn begin_and_get_each(&self, keys: &[Key]) -> Result<Digest> {
        let mut digest = Digest::default();
        for key in keys {
            let transaction = self.db.read()?;
            if let Some(value) = transaction.table(&ENTRIES)?.get(&key[..])? {
                digest.add(value);
            }
        }
        Ok(digest)
    }

    fn read_again(&self, keys: &[Key], step: &mut dyn FnMut(Digest) -> Result<bool>) -> Result<()> {
        let transaction = self.db.read()?;
        let entries = transaction.table(&ENTRIES)?;
        loop {
            let mut digest = Digest::default();
            for key in keys {
                if let Some(value) = entries.get(&key[..])? {
                    digest.add_whole(value);
                }
            }
            if !step(digest)? {
                return Ok(());
            }
        }
    }

    fn counts(&self) -> Result<Counts> {
        let stats = self.db.stats()?;
        Ok(Counts { barriers: Some(stats.barriers), retired_pages: Some(u64::from(stats.retired_pages)) })
    }

    fn begin_and_end(&self, count: u64) -> Result<Digest> {
        for _ in 0..count {
            std::hint::black_box(&self.db.read()?);
        }
        Ok(Digest { count, ..Digest::default() })
    }

    fn scan(&self, first: &Key, limit: u64, depth: Depth) -> Result<Digest> {
        let transaction = self.db.read()?;
        let entries = transaction.table(&ENTRIES)?;
        let mut digest = Digest::default();
        for entry in entries.range(&first[..]..)?.take(limit as usize) {
            let (key, value) = entry?;
            depth.take(&mut digest, &key, value);
        }
        Ok(digest)
    }
}
