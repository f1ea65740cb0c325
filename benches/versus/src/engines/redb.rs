//! redb, with a cache that holds the whole database.

use std::path::Path;

use anyhow::Result;
use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition,
};

use super::peer::{Peer, Reader, Writer};
use super::{Opening, Order, number, pinned_version};

pub const FILE: &str = "data.redb";
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
const NUMBERS: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");

pub fn description() -> String {
    format!(
        "redb {}: a cache of 4 GiB, which holds all; numbers as `u64`; lazy commits with `Durability::None`; one \
         process at a time",
        pinned_version("redb")
    )
}

pub struct Redb {
    db: Database,
    durability: Durability,
    has_numbers: bool,
}

impl Redb {
    pub fn open(file: &Path, opening: Opening) -> Result<Redb> {
        let db = Builder::new().set_cache_size(opening.cache_bytes()).create(file)?;
        let durability = if opening.is_lazy { Durability::None } else { Durability::Immediate };
        Ok(Redb { db, durability, has_numbers: opening.has_numbers })
    }
}

pub enum Reading {
    Entries(ReadOnlyTable<&'static [u8], &'static [u8]>),
    Numbers(ReadOnlyTable<u64, u64>),
}

pub enum Writing<'a> {
    Entries(Table<'a, &'static [u8], &'static [u8]>),
    Numbers(Table<'a, u64, u64>),
}

impl Peer for Redb {
    type Reader<'a> = Reading;
    type Writer<'a> = Writing<'a>;

    fn read<T>(&self, work: impl FnOnce(&Reading) -> Result<T>) -> Result<T> {
        let transaction = self.db.begin_read()?;
        let reading = if self.has_numbers {
            Reading::Numbers(transaction.open_table(NUMBERS)?)
        } else {
            Reading::Entries(transaction.open_table(ENTRIES)?)
        };
        work(&reading)
    }

    fn write(&self, _: Order, work: impl FnOnce(&mut Writing<'_>) -> Result<()>) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(self.durability)?;
        let mut writing = if self.has_numbers {
            Writing::Numbers(transaction.open_table(NUMBERS)?)
        } else {
            Writing::Entries(transaction.open_table(ENTRIES)?)
        };
        work(&mut writing)?;
        drop(writing);
        transaction.commit()?;
        Ok(())
    }

    fn begin_and_end(&self) -> Result<()> {
        std::hint::black_box(&self.db.begin_read()?);
        Ok(())
    }
}

impl Reader for Reading {
    fn get(&self, key: &[u8], mut see: impl FnMut(&[u8])) -> Result<()> {
        match self {
            Reading::Entries(table) => table.get(key)?.iter().for_each(|value| see(value.value())),
            Reading::Numbers(table) => {
                table.get(number(key))?.iter().for_each(|value| see(&value.value().to_le_bytes()));
            }
        }
        Ok(())
    }

    fn walk(&self, first: &[u8], limit: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        match self {
            Reading::Entries(table) => {
                for entry in table.range(first..)?.take(limit) {
                    let (key, value) = entry?;
                    see(key.value(), value.value());
                }
            }
            Reading::Numbers(table) => {
                for entry in table.range(number(first)..)?.take(limit) {
                    let (key, value) = entry?;
                    see(&key.value().to_be_bytes(), &value.value().to_le_bytes());
                }
            }
        }
        Ok(())
    }

    fn walk_back(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        match self {
            Reading::Entries(table) => {
                for entry in table.iter()?.rev() {
                    let (key, value) = entry?;
                    see(key.value(), value.value());
                }
            }
            Reading::Numbers(table) => {
                for entry in table.iter()?.rev() {
                    let (key, value) = entry?;
                    see(&key.value().to_be_bytes(), &value.value().to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

impl Writer for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Writing::Entries(table) => drop(table.insert(key, value)?),
            Writing::Numbers(table) => {
                drop(table.insert(number(key), u64::from_le_bytes(value.try_into()?))?)
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        Ok(match self {
            Writing::Entries(table) => table.remove(key)?.is_some(),
            Writing::Numbers(table) => table.remove(number(key))?.is_some(),
        })
    }
}
