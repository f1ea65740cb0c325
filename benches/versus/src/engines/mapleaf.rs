//! mapleaf, with its default options.

use std::path::Path;

use anyhow::Result;
use mapleaf::{Db, Durability, Table, TableMut, TableRef};

use super::peer::{Peer, Reader, Writer};
use super::{Counts, Opening, Order, number};
use crate::workload::{Keys, Room, Values};

pub const FILE: &str = "data.mapleaf";
const ENTRIES: Table<[u8], [u8]> = Table::new("entries");
const NUMBERS: Table<u64, u64> = Table::new("numbers");

pub fn description() -> String {
    const MANIFEST: &str = include_str!("../../../../Cargo.toml");
    let version = MANIFEST.lines().find(|line| line.starts_with("version = "));
    let version = version.and_then(|line| line.split('"').nth(1)).unwrap_or("?");
    format!(
        "mapleaf {version}: default options (durable, checksums compared at first touch, `get_many` where the row says \
         so); loads and batches with `bulk_load`; numbers as `Table<u64, u64>`; lazy commits with `Durability::Lazy`"
    )
}

pub struct Mapleaf {
    db: Db,
    durability: Durability,
    has_numbers: bool,
}

impl Mapleaf {
    pub fn open(file: &Path, opening: Opening) -> Result<Mapleaf> {
        let durability = if opening.is_lazy { Durability::Lazy } else { Durability::Durable };
        Ok(Mapleaf { db: Db::open(file)?, durability, has_numbers: opening.has_numbers })
    }
}

pub enum Reading<'a> {
    Entries(TableRef<'a, [u8], [u8]>),
    Numbers(TableRef<'a, u64, u64>),
}

pub enum Writing<'a> {
    Entries(TableMut<'a, [u8], [u8]>),
    Numbers(TableMut<'a, u64, u64>),
}

impl Peer for Mapleaf {
    type Reader<'a> = Reading<'a>;
    type Writer<'a> = Writing<'a>;

    fn read<T>(&self, work: impl FnOnce(&Reading<'_>) -> Result<T>) -> Result<T> {
        let transaction = self.db.read()?;
        let reading = if self.has_numbers {
            Reading::Numbers(transaction.table(&NUMBERS)?)
        } else {
            Reading::Entries(transaction.table(&ENTRIES)?)
        };
        work(&reading)
    }

    fn write(&self, _: Order, work: impl FnOnce(&mut Writing<'_>) -> Result<()>) -> Result<()> {
        let transaction = self.db.write()?;
        let mut writing = if self.has_numbers {
            Writing::Numbers(transaction.table(&NUMBERS)?)
        } else {
            Writing::Entries(transaction.table(&ENTRIES)?)
        };
        work(&mut writing)?;
        drop(writing);
        transaction.commit_with(self.durability)?;
        Ok(())
    }

    fn load(&self, keys: Keys<'_>, values: Values, order: Order) -> Result<()> {
        let mut room: Room = [0; _];
        self.write(order, |writing| {
            match writing {
                Writing::Entries(table) => table.bulk_load(|load| {
                    keys.iter().try_for_each(|key| load.insert(key, values.of(key, &mut room)))
                })?,
                Writing::Numbers(table) => table.bulk_load(|load| {
                    keys.iter().try_for_each(|key| {
                        let value = values.of(key, &mut room).try_into()?;
                        Ok::<(), anyhow::Error>(load.insert(number(key), u64::from_le_bytes(value))?)
                    })
                })?,
            };
            Ok(())
        })
    }

    fn begin_and_end(&self) -> Result<()> {
        std::hint::black_box(&self.db.read()?);
        Ok(())
    }

    fn counts(&self) -> Result<Counts> {
        let stats = self.db.stats()?;
        Ok(Counts { barriers: Some(stats.syncs), retired_pages: Some(u64::from(stats.retired_pages)) })
    }
}

impl Reader for Reading<'_> {
    fn get(&self, key: &[u8], mut see: impl FnMut(&[u8])) -> Result<()> {
        match self {
            Reading::Entries(table) => table.get(key)?.into_iter().for_each(see),
            Reading::Numbers(table) => {
                if let Some(value) = table.get(number(key))? {
                    see(&value.to_le_bytes());
                }
            }
        }
        Ok(())
    }

    fn get_group(&self, keys: Keys<'_>, mut see: impl FnMut(&[u8])) -> Result<()> {
        match self {
            Reading::Entries(table) => table.get_many(keys.iter())?.into_iter().flatten().for_each(see),
            Reading::Numbers(table) => {
                let values = table.get_many(keys.iter().map(number))?;
                values.into_iter().flatten().for_each(|value| see(&value.to_le_bytes()));
            }
        }
        Ok(())
    }

    fn walk(&self, first: &[u8], limit: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        match self {
            Reading::Entries(table) => {
                for entry in table.range(first..).take(limit) {
                    let (key, value) = entry?;
                    see(&key, value);
                }
            }
            Reading::Numbers(table) => {
                for entry in table.range(number(first)..).take(limit) {
                    let (key, value) = entry?;
                    see(&key.to_be_bytes(), &value.to_le_bytes());
                }
            }
        }
        Ok(())
    }

    fn walk_prefix(&self, prefix: &[u8], _: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let Reading::Entries(table) = self else { anyhow::bail!("numbers have no prefixes") };
        for entry in table.prefix(prefix) {
            let (key, value) = entry?;
            see(&key, value);
        }
        Ok(())
    }

    fn walk_back(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        match self {
            Reading::Entries(table) => {
                for entry in table.iter().rev() {
                    let (key, value) = entry?;
                    see(&key, value);
                }
            }
            Reading::Numbers(table) => {
                for entry in table.iter().rev() {
                    let (key, value) = entry?;
                    see(&key.to_be_bytes(), &value.to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

impl Writer for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Writing::Entries(table) => table.insert(key, value)?,
            Writing::Numbers(table) => table.insert(number(key), u64::from_le_bytes(value.try_into()?))?,
        };
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        Ok(match self {
            Writing::Entries(table) => table.remove(key)?,
            Writing::Numbers(table) => table.remove(number(key))?,
        })
    }
}
