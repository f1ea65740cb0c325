//! RocksDB, a log-structured store: each commit is a batch, the log of which is synced.

use std::path::Path;

use anyhow::{Result, bail};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, IngestExternalFileOptions, Options, ReadOptions,
    Snapshot, SnapshotWithThreadMode, SstFileWriter, WriteBatch, WriteOptions,
};

use super::peer::{Peer, Reader, Writer};
use super::{Opening, Order, pinned_version};
use crate::workload::Keys;

pub fn description() -> String {
    format!(
        "RocksDB (rocksdb {}): a block cache of 4 GiB, bloom filters of 10 bits, LZ4, two threads in the background, \
         `sync` in each durable commit; a load is one batch, a sorted one a file that is ingested; large values in blob \
         files; lazy commits without `sync`; `multi_get` where the row says so; one process at a time",
        pinned_version("rocksdb")
    )
}

/// What an ingestion moves into the database.
const SORTED_FILE: &str = "sorted.sst";

pub struct RocksDb {
    db: DB,
    options: Options,
    writes: WriteOptions,
}

impl RocksDb {
    pub fn open(folder: &Path, opening: Opening) -> Result<RocksDb> {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(opening.cache_bytes())?);
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.increase_parallelism(2);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_block_based_table_factory(&blocks);
        options.set_enable_blob_files(opening.has_large_values);
        let db = DB::open(&options, folder)?;
        let mut writes = WriteOptions::default();
        writes.set_sync(!opening.is_lazy);
        Ok(RocksDb { db, options, writes })
    }
}

pub struct Reading<'a> {
    db: &'a DB,
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

pub enum Writing<'a> {
    Batch(WriteBatch),
    /// A file that becomes part of the database, without going through its log.
    Sorted(SstFileWriter<'a>),
}

impl Reading<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        options
    }
}

impl Peer for RocksDb {
    type Reader<'a> = Reading<'a>;
    type Writer<'a> = Writing<'a>;

    fn read<T>(&self, work: impl FnOnce(&Reading<'_>) -> Result<T>) -> Result<T> {
        work(&Reading { db: &self.db, snapshot: self.db.snapshot() })
    }

    fn write(&self, order: Order, work: impl FnOnce(&mut Writing<'_>) -> Result<()>) -> Result<()> {
        let file = self.db.path().join(SORTED_FILE);
        let mut writing = match order {
            Order::Random => Writing::Batch(WriteBatch::default()),
            Order::Sorted => {
                let writer = SstFileWriter::create(&self.options);
                writer.open(&file)?;
                Writing::Sorted(writer)
            }
        };
        work(&mut writing)?;
        match writing {
            Writing::Batch(batch) => self.db.write_opt(batch, &self.writes)?,
            Writing::Sorted(mut writer) => {
                writer.finish()?;
                let mut ingestion = IngestExternalFileOptions::default();
                ingestion.set_move_files(true);
                self.db.ingest_external_file_opts(&ingestion, vec![file])?;
            }
        }
        Ok(())
    }

    fn begin_and_end(&self) -> Result<()> {
        std::hint::black_box::<&Snapshot<'_>>(&self.db.snapshot());
        Ok(())
    }
}

impl Reader for Reading<'_> {
    fn get(&self, key: &[u8], mut see: impl FnMut(&[u8])) -> Result<()> {
        self.snapshot.get_pinned(key)?.iter().for_each(|value| see(value));
        Ok(())
    }

    fn get_group(&self, keys: Keys<'_>, mut see: impl FnMut(&[u8])) -> Result<()> {
        for value in self.db.multi_get_opt(keys.iter(), &self.options()) {
            value?.iter().for_each(|value| see(value));
        }
        Ok(())
    }

    fn walk(&self, first: &[u8], limit: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let mut entries = self.snapshot.raw_iterator();
        entries.seek(first);
        for _ in 0..limit {
            let Some((key, value)) = entries.item() else { break };
            see(key, value);
            entries.next();
        }
        Ok(entries.status()?)
    }

    fn walk_back(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let mut entries = self.snapshot.raw_iterator();
        entries.seek_to_last();
        while let Some((key, value)) = entries.item() {
            see(key, value);
            entries.prev();
        }
        Ok(entries.status()?)
    }
}

impl Writer for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Writing::Batch(batch) => batch.put(key, value),
            Writing::Sorted(file) => file.put(key, value)?,
        }
        Ok(())
    }

    /// A log-structured store need not know whether the key was there, so it is not asked.
    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        match self {
            Writing::Batch(batch) => batch.delete(key),
            Writing::Sorted(_) => bail!("an ingestion takes new entries only"),
        }
        Ok(true)
    }
}
