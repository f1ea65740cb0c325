//! redb, with its default options: durable, a cache of 1 GiB.

use std::path::Path;

use anyhow::Result;
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::engines::{Depth, Order, Store, pinned_version};
use crate::workload::{Digest, Key, value};

pub const FILE: &str = "data.redb";
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

pub fn description() -> String {
    format!("redb {}, default options", pinned_version("redb"))
}

pub struct Redb {
    db: Database,
}

impl Redb {
    pub fn open(file: &Path) -> Result<Redb> {
        Ok(Redb { db: Database::create(file)? })
    }
}

impl Store for Redb {
    fn load(&self, keys: &[Key], _order: Order, version: u64) -> Result<()> {
        let transaction = self.db.begin_write()?;
        let mut entries = transaction.open_table(ENTRIES)?;
        for key in keys {
            entries.insert(&key[..], &value(key, version)[..])?;
        }
        drop(entries);
        transaction.commit()?;
        Ok(())
    }

    fn put_each(&self, keys: &[Key], version: u64) -> Result<()> {
        for key in keys {
            let transaction = self.db.begin_write()?;
            transaction.open_table(ENTRIES)?.insert(&key[..], &value(key, version)[..])?;
            transaction.commit()?;
        }
        Ok(())
    }

    fn get_each(&self, keys: &[Key]) -> Result<Digest> {
        let entries = self.db.begin_read()?.open_table(ENTRIES)?;
        let mut digest = Digest::default();
        for key in keys {
            if let Some(value) = entries.get(&key[..])? {
                digest.add(value.value());
            }
        }
        Ok(digest)
    }

    fn begin_and_get_each(&self, keys: &[Key]) -> Result<Digest> {
        let mut digest = Digest::default();
        for key in keys {
            let transaction = self.db.begin_read()?;
            if let Some(value) = transaction.open_table(ENTRIES)?.get(&key[..])? {
                digest.add(value.value());
            }
        }
        Ok(digest)
    }

    fn read_again(&self, keys: &[Key], step: &mut dyn FnMut(Digest) -> Result<bool>) -> Result<()> {
        let entries = self.db.begin_read()?.open_table(ENTRIES)?;
        loop {
            let mut digest = Digest::default();
            for key in keys {
                if let Some(value) = entries.get(&key[..])? {
                    digest.add_whole(value.value());
                }
            }
            if !step(digest)? {
                return Ok(());
            }
        }
    }

    fn begin_and_end(&self, count: u64) -> Result<Digest> {
        for _ in 0..count {
            std::hint::black_box(&self.db.begin_read()?);
        }
        Ok(Digest { count, ..Digest::default() })
    }

    fn scan(&self, first: &Key, limit: u64, depth: Depth) -> Result<Digest> {
        let entries = self.db.begin_read()?.open_table(ENTRIES)?;
        let mut digest = Digest::default();
        for entry in entries.range(&first[..]..)?.take(limit as usize) {
            let (key, value) = entry?;
            depth.take(&mut digest, key.value(), value.value());
        }
        Ok(digest)
    }
}
