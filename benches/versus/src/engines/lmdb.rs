//! LMDB through heed, with LMDB's default flags: durable, no `WRITEMAP`, pages read ahead.
//!
//! Its unnamed database is used, which saves it a page and a search that mapleaf's named table costs.
#![allow(unsafe_code)]

use std::ops::Bound;
use std::path::Path;

use anyhow::{Context, Result};
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, PutFlags};

use crate::engines::{Depth, Order, Store, pinned_version};
use crate::workload::{Digest, Key, value};

pub const FILE: &str = "data.mdb";
/// Room enough, and no more than valgrind allows.
const MAP_SIZE: usize = 16 << 30;

pub fn description() -> String {
    let lmdb = heed::lmdb_version();
    let heed = pinned_version("heed");
    format!("LMDB {}.{}.{} (heed {heed}), default flags", lmdb.major, lmdb.minor, lmdb.patch)
}

pub struct Lmdb {
    env: Env,
}

type Entries<'env> = Database<'env, Bytes, Bytes>;

impl Lmdb {
    pub fn open(folder: &Path) -> Result<Lmdb> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_SIZE);
        // SAFETY: the folder belongs to this run alone; nobody else changes the file while it is mapped.
        let env = unsafe { options.open(folder)? };
        Ok(Lmdb { env })
    }

    fn entries(&self) -> Result<Entries<'_>> {
        let transaction = self.env.read_txn()?;
        let entries = self.env.open_databases_and_commit(transaction, |opener, transaction| {
            opener.open_database::<Bytes, Bytes>(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
        })?;
        entries.unwrap_commit().context("the unnamed database is always there")
    }
}

impl Store for Lmdb {
    fn load(&self, keys: &[Key], order: Order, version: u64) -> Result<()> {
        let entries = self.entries()?;
        let flags = match order {
            Order::Random => PutFlags::empty(),
            Order::Sorted => PutFlags::APPEND,
        };
        let mut transaction = self.env.write_txn()?;
        for key in keys {
            entries.put_with_flags(&mut transaction, flags, &key[..], &value(key, version)[..])?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn put_each(&self, keys: &[Key], version: u64) -> Result<()> {
        let entries = self.entries()?;
        for key in keys {
            let mut transaction = self.env.write_txn()?;
            entries.put(&mut transaction, &key[..], &value(key, version)[..])?;
            transaction.commit()?;
        }
        Ok(())
    }

    fn get_each(&self, keys: &[Key]) -> Result<Digest> {
        let entries = self.entries()?;
        let transaction = self.env.read_txn()?;
        let mut digest = Digest::default();
        for key in keys {
            if let Some(value) = entries.get(&transaction, &key[..])? {
                digest.add(value);
            }
        }
        Ok(digest)
    }

    fn begin_and_get_each(&self, keys: &[Key]) -> Result<Digest> {
        let entries = self.entries()?;
        let mut digest = Digest::default();
        for key in keys {
            let transaction = self.env.read_txn()?;
            if let Some(value) = entries.get(&transaction, &key[..])? {
                digest.add(value);
            }
        }
        Ok(digest)
    }

    fn read_again(&self, keys: &[Key], step: &mut dyn FnMut(Digest) -> Result<bool>) -> Result<()> {
        let entries = self.entries()?;
        let transaction = self.env.read_txn()?;
        loop {
            let mut digest = Digest::default();
            for key in keys {
                if let Some(value) = entries.get(&transaction, &key[..])? {
                    digest.add_whole(value);
                }
            }
            if !step(digest)? {
                return Ok(());
            }
        }
    }

    fn begin_and_end(&self, count: u64) -> Result<Digest> {
        for _ in 0..count {
            std::hint::black_box(&self.env.read_txn()?);
        }
        Ok(Digest { count, ..Digest::default() })
    }

    fn scan(&self, first: &Key, limit: u64, depth: Depth) -> Result<Digest> {
        let entries = self.entries()?;
        let transaction = self.env.read_txn()?;
        let mut digest = Digest::default();
        let range = (Bound::Included(&first[..]), Bound::Unbounded);
        for entry in entries.range(&transaction, &range)?.take(limit as usize) {
            let (key, value) = entry?;
            depth.take(&mut digest, key, value);
        }
        Ok(digest)
    }
}
