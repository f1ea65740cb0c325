//! fjall, a log-structured store: the journal is made durable by each durable commit.

use std::path::Path;

use anyhow::{Result, bail};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use super::peer::{Peer, Reader, Writer};
use super::{Opening, Order, pinned_version};

pub fn description() -> String {
    format!(
        "fjall {}: a cache of 4 GiB, `PersistMode::SyncAll` after each durable commit; sorted loads through its \
         ingestion; a load is many inserts and one sync, not one transaction; large values in blob files; lazy commits \
         with `PersistMode::Buffer`; one process at a time",
        pinned_version("fjall")
    )
}

pub struct Fjall {
    db: Database,
    entries: Keyspace,
    persist: PersistMode,
}

impl Fjall {
    pub fn open(folder: &Path, opening: Opening) -> Result<Fjall> {
        let db = Database::builder(folder).cache_size(opening.cache_bytes() as u64).open()?;
        let entries = db.keyspace("entries", || {
            let separation = opening.has_large_values.then(Default::default);
            KeyspaceCreateOptions::default().expect_point_read_hits(true).with_kv_separation(separation)
        })?;
        let persist = if opening.is_lazy { PersistMode::Buffer } else { PersistMode::SyncAll };
        Ok(Fjall { db, entries, persist })
    }
}

pub struct Reading<'a> {
    snapshot: Snapshot,
    entries: &'a Keyspace,
}

type Write<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

pub enum Writing<'a> {
    Plain(&'a Keyspace),
    /// Into an ingestion, the type of which has no name.
    Sorted(&'a mut Write<'a>),
}

impl Peer for Fjall {
    type Reader<'a> = Reading<'a>;
    type Writer<'a> = Writing<'a>;

    fn read<T>(&self, work: impl FnOnce(&Reading<'_>) -> Result<T>) -> Result<T> {
        work(&Reading { snapshot: self.db.snapshot(), entries: &self.entries })
    }

    fn write(&self, order: Order, work: impl FnOnce(&mut Writing<'_>) -> Result<()>) -> Result<()> {
        match order {
            Order::Random => {
                work(&mut Writing::Plain(&self.entries))?;
                self.db.persist(self.persist)?;
            }
            Order::Sorted => {
                let mut ingestion = self.entries.start_ingestion()?;
                work(&mut Writing::Sorted(&mut |key, value| Ok(ingestion.write(key, value)?)))?;
                ingestion.finish()?;
            }
        }
        Ok(())
    }

    fn begin_and_end(&self) -> Result<()> {
        std::hint::black_box(&self.db.snapshot());
        Ok(())
    }
}

impl Reader for Reading<'_> {
    fn get(&self, key: &[u8], mut see: impl FnMut(&[u8])) -> Result<()> {
        self.snapshot.get(self.entries, key)?.iter().for_each(|value| see(value));
        Ok(())
    }

    fn walk(&self, first: &[u8], limit: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.snapshot.range(self.entries, first..).take(limit) {
            let (key, value) = entry.into_inner()?;
            see(&key, &value);
        }
        Ok(())
    }

    fn walk_back(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.snapshot.iter(self.entries).rev() {
            let (key, value) = entry.into_inner()?;
            see(&key, &value);
        }
        Ok(())
    }
}

impl Writer for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Writing::Plain(entries) => entries.insert(key, value)?,
            Writing::Sorted(write) => write(key, value)?,
        }
        Ok(())
    }

    /// A log-structured store need not know whether the key was there, so it is not asked.
    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        match self {
            Writing::Plain(entries) => entries.remove(key)?,
            Writing::Sorted(_) => bail!("an ingestion takes new entries only"),
        }
        Ok(true)
    }
}
