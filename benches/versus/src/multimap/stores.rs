//! The engines' multimap tables behind one small trait.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use mapleaf::{Db, Durability, MultimapTable};
use redb::{Builder, Database, MultimapTableDefinition, ReadableDatabase};

use super::{Pair, lmdb};

/// Each method does a whole batch, each writing one in one transaction.
pub trait Store {
    /// Inserts each pair on its own.
    fn insert(&self, pairs: &[Pair]) -> Result<()>;
    /// Inserts all pairs in the way that the engine has for many at once.
    fn load(&self, pairs: &[Pair]) -> Result<()>;
    /// Removes pairs that are there.
    fn remove(&self, pairs: &[Pair]) -> Result<()>;
    /// How many of the pairs are there; `None` if the engine cannot ask for a pair.
    fn contains(&self, pairs: &[Pair]) -> Result<Option<u64>>;
    /// Reads all values of each key. Returns their number and their sum.
    fn walk(&self, keys: &[u64]) -> Result<(u64, u64)>;
    /// The sum of the numbers of values.
    fn count(&self, keys: &[u64]) -> Result<u64>;
    /// Bytes of pages that the table takes.
    fn bytes(&self) -> Result<u64>;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Contender {
    Mapleaf,
    LmdbSorted,
    LmdbFixed,
    Redb,
}

impl Contender {
    pub const ALL: [Contender; 4] =
        [Contender::Mapleaf, Contender::LmdbSorted, Contender::LmdbFixed, Contender::Redb];

    pub fn name(self) -> &'static str {
        match self {
            Contender::Mapleaf => "mapleaf",
            Contender::LmdbSorted => "LMDB DUPSORT",
            Contender::LmdbFixed => "LMDB DUPFIXED",
            Contender::Redb => "redb",
        }
    }

    pub fn open(self, folder: &Path) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(folder)?;
        Ok(match self {
            Contender::Mapleaf => Box::new(Mapleaf(Db::open(folder.join("data.mapleaf"))?)),
            Contender::LmdbSorted => Box::new(lmdb::Lmdb::open(folder, false)?),
            Contender::LmdbFixed => Box::new(lmdb::Lmdb::open(folder, true)?),
            Contender::Redb => Box::new(Redb::open(&folder.join("data.redb"))?),
        })
    }
}

pub fn sorted(pairs: &[Pair]) -> Vec<Pair> {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable();
    sorted
}

struct Mapleaf(Db);

const PAIRS: MultimapTable<u64, u64> = MultimapTable::new("pairs");

impl Mapleaf {
    fn write(
        &self,
        work: impl FnOnce(&mut mapleaf::MultimapMut<'_, u64, u64>) -> mapleaf::Result<()>,
    ) -> Result<()> {
        let tx = self.0.write()?;
        work(&mut tx.multimap(&PAIRS)?)?;
        tx.commit_with(Durability::Lazy)?;
        Ok(())
    }
}

impl Store for Mapleaf {
    fn insert(&self, pairs: &[Pair]) -> Result<()> {
        self.write(|table| pairs.iter().try_for_each(|(key, value)| table.insert(key, value).map(drop)))
    }

    fn load(&self, pairs: &[Pair]) -> Result<()> {
        self.write(|table| table.insert_many(pairs.iter().copied()).map(drop))
    }

    fn remove(&self, pairs: &[Pair]) -> Result<()> {
        self.write(|table| pairs.iter().try_for_each(|(key, value)| table.remove(key, value).map(drop)))
    }

    fn contains(&self, pairs: &[Pair]) -> Result<Option<u64>> {
        let rx = self.0.read()?;
        let table = rx.multimap(&PAIRS)?;
        let mut found = 0;
        for (key, value) in pairs {
            found += u64::from(table.contains(key, value)?);
        }
        Ok(Some(found))
    }

    fn walk(&self, keys: &[u64]) -> Result<(u64, u64)> {
        let rx = self.0.read()?;
        let table = rx.multimap(&PAIRS)?;
        let (mut count, mut sum) = (0, 0u64);
        for key in keys {
            for value in table.get(key) {
                (count, sum) = (count + 1, sum.wrapping_add(value?));
            }
        }
        Ok((count, sum))
    }

    fn count(&self, keys: &[u64]) -> Result<u64> {
        let rx = self.0.read()?;
        let table = rx.multimap(&PAIRS)?;
        Ok(keys.iter().map(|key| table.len_of(key)).sum::<mapleaf::Result<u64>>()?)
    }

    fn bytes(&self) -> Result<u64> {
        let rx = self.0.read()?;
        Ok(u64::from(mapleaf::admin::table_pages(&rx, PAIRS.name(), |_| {})?.total)
            * self.0.stats()?.page_size as u64)
    }
}

struct Redb {
    db: Database,
}

const REDB_PAIRS: MultimapTableDefinition<'_, u64, u64> = MultimapTableDefinition::new("pairs");

impl Redb {
    fn open(file: &Path) -> Result<Redb> {
        Ok(Redb { db: Builder::new().set_cache_size(4 << 30).create(file)? })
    }

    fn write(
        &self,
        work: impl FnOnce(&mut redb::MultimapTable<'_, u64, u64>) -> Result<(), redb::StorageError>,
    ) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(redb::Durability::None)?;
        work(&mut transaction.open_multimap_table(REDB_PAIRS)?)?;
        Ok(transaction.commit()?)
    }
}

impl Store for Redb {
    fn insert(&self, pairs: &[Pair]) -> Result<()> {
        self.write(|table| pairs.iter().try_for_each(|(key, value)| table.insert(key, value).map(drop)))
    }

    fn load(&self, pairs: &[Pair]) -> Result<()> {
        self.insert(&sorted(pairs))
    }

    fn remove(&self, pairs: &[Pair]) -> Result<()> {
        self.write(|table| pairs.iter().try_for_each(|(key, value)| table.remove(key, value).map(drop)))
    }

    fn contains(&self, _: &[Pair]) -> Result<Option<u64>> {
        Ok(None)
    }

    fn walk(&self, keys: &[u64]) -> Result<(u64, u64)> {
        let table = self.db.begin_read()?.open_multimap_table(REDB_PAIRS)?;
        let (mut count, mut sum) = (0, 0u64);
        for key in keys {
            for value in table.get(key)? {
                (count, sum) = (count + 1, sum.wrapping_add(value?.value()));
            }
        }
        Ok((count, sum))
    }

    fn count(&self, keys: &[u64]) -> Result<u64> {
        let table = self.db.begin_read()?.open_multimap_table(REDB_PAIRS)?;
        let mut sum = 0;
        for key in keys {
            sum += table.get(key)?.len();
        }
        Ok(sum)
    }

    fn bytes(&self) -> Result<u64> {
        use redb::ReadableTableMetadata;
        let stats = self.db.begin_read()?.open_multimap_table(REDB_PAIRS)?.stats()?;
        Ok(stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes())
    }
}
