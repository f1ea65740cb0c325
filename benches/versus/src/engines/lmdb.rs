//! LMDB through heed: with its default flags, or with `MDB_WRITEMAP`.
//!
//! Its unnamed database is used, which saves it a page and a search that mapleaf's named table costs. Numbers are keys
//! of `MDB_INTEGERKEY`, in the machine's own order of bytes.
#![allow(unsafe_code)]

use std::mem::transmute;
use std::ops::Bound;
use std::path::Path;

use anyhow::Result;
use heed::types::Bytes;
use heed::{
    CommitOrAbort, Comparator, Database, DefaultComparator, Env, EnvFlags, EnvOpenOptions, IntegerComparator,
    PutFlags, RoTxn, RwTxn, WithTls,
};

use super::peer::{Peer, Reader, Writer};
use super::{Opening, Order, number, pinned_version};

pub const FILE: &str = "data.mdb";
/// Room enough, and no more than valgrind allows.
const MAP_SIZE: usize = 16 << 30;

pub fn description(has_writable_map: bool) -> String {
    let lmdb = heed::lmdb_version();
    let heed = pinned_version("heed");
    let flags = if has_writable_map {
        "`MDB_WRITEMAP`; lazy commits with `MDB_NOSYNC`"
    } else {
        "default flags, `MDB_APPEND` for sorted loads, `MDB_NORDAHEAD` where memory is short; numbers with \
         `MDB_INTEGERKEY`; lazy commits with `MDB_NOSYNC`"
    };
    format!("LMDB {}.{}.{} (heed {heed}): {flags}", lmdb.major, lmdb.minor, lmdb.patch)
}

pub struct Lmdb {
    entries: Entries,
    env: Env,
}

type Plain<'env> = Database<'env, Bytes, Bytes>;
type Numbers<'env> = Database<'env, Bytes, Bytes, IntegerComparator>;

/// One of the two, as the keys are.
#[derive(Clone, Copy)]
enum Entries {
    Bytes(Plain<'static>),
    Numbers(Numbers<'static>),
}

impl Lmdb {
    pub fn open(folder: &Path, opening: Opening, has_writable_map: bool) -> Result<Lmdb> {
        let mut flags = EnvFlags::empty();
        flags.set(EnvFlags::WRITE_MAP, has_writable_map);
        flags.set(EnvFlags::NO_SYNC, opening.is_lazy);
        flags.set(EnvFlags::NO_READ_AHEAD, opening.memory.is_some());
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_SIZE);
        // SAFETY: the folder belongs to this run alone; nobody else changes the file while it is mapped. The flags give
        // up durability or reading ahead, never locking.
        let env = unsafe { options.flags(flags).open(folder)? };
        let entries = if opening.has_numbers {
            let numbers = database::<IntegerComparator>(&env)?;
            // SAFETY: a database is a number that means something to its environment. Only its lifetime is changed
            // here, and both are kept in one structure, so that it is not used after the environment.
            Entries::Numbers(unsafe { transmute::<Numbers<'_>, Numbers<'static>>(numbers) })
        } else {
            let bytes = database::<DefaultComparator>(&env)?;
            // SAFETY: as above.
            Entries::Bytes(unsafe { transmute::<Plain<'_>, Plain<'static>>(bytes) })
        };
        Ok(Lmdb { entries, env })
    }
}

/// The unnamed database.
fn database<C: Comparator + 'static>(env: &Env) -> Result<Database<'_, Bytes, Bytes, C>> {
    let opened = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
        let options = opener.database_options().types::<Bytes, Bytes>().key_comparator::<C>();
        anyhow::Ok(CommitOrAbort::<_, ()>::Commit(options.create(transaction)?))
    })?;
    Ok(opened.unwrap_commit())
}

pub struct Reading<'a> {
    entries: Entries,
    transaction: RoTxn<'a, WithTls>,
}

pub struct Writing<'a> {
    entries: Entries,
    flags: PutFlags,
    transaction: RwTxn<'a>,
}

impl Peer for Lmdb {
    type Reader<'a> = Reading<'a>;
    type Writer<'a> = Writing<'a>;

    fn read<T>(&self, work: impl FnOnce(&Reading<'_>) -> Result<T>) -> Result<T> {
        work(&Reading { entries: self.entries, transaction: self.env.read_txn()? })
    }

    fn write(&self, order: Order, work: impl FnOnce(&mut Writing<'_>) -> Result<()>) -> Result<()> {
        let flags = match order {
            Order::Random => PutFlags::empty(),
            Order::Sorted => PutFlags::APPEND,
        };
        let mut writing = Writing { entries: self.entries, flags, transaction: self.env.write_txn()? };
        work(&mut writing)?;
        writing.transaction.commit()?;
        Ok(())
    }

    fn begin_and_end(&self) -> Result<()> {
        std::hint::black_box(&self.env.read_txn()?);
        Ok(())
    }
}

impl Reader for Reading<'_> {
    fn get(&self, key: &[u8], see: impl FnMut(&[u8])) -> Result<()> {
        let value = match self.entries {
            Entries::Bytes(entries) => entries.get(&self.transaction, key)?,
            Entries::Numbers(entries) => entries.get(&self.transaction, &number(key).to_ne_bytes())?,
        };
        value.into_iter().for_each(see);
        Ok(())
    }

    fn walk(&self, first: &[u8], limit: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        match self.entries {
            Entries::Bytes(entries) if !first.is_empty() => {
                let range = (Bound::Included(first), Bound::Unbounded);
                for entry in entries.range(&self.transaction, &range)?.take(limit) {
                    let (key, value) = entry?;
                    see(key, value);
                }
            }
            Entries::Bytes(entries) => {
                for entry in entries.iter(&self.transaction)?.take(limit) {
                    let (key, value) = entry?;
                    see(key, value);
                }
            }
            Entries::Numbers(entries) => {
                anyhow::ensure!(first.is_empty(), "numbers are scanned from the first");
                for entry in entries.iter(&self.transaction)?.take(limit) {
                    let (key, value) = entry?;
                    see(&u64::from_ne_bytes(key.try_into()?).to_be_bytes(), value);
                }
            }
        }
        Ok(())
    }

    fn walk_prefix(&self, prefix: &[u8], _: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let Entries::Bytes(entries) = self.entries else { anyhow::bail!("numbers have no prefixes") };
        for entry in entries.prefix_iter(&self.transaction, prefix)? {
            let (key, value) = entry?;
            see(key, value);
        }
        Ok(())
    }

    fn walk_back(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        match self.entries {
            Entries::Bytes(entries) => {
                for entry in entries.rev_iter(&self.transaction)? {
                    let (key, value) = entry?;
                    see(key, value);
                }
            }
            Entries::Numbers(entries) => {
                for entry in entries.rev_iter(&self.transaction)? {
                    let (key, value) = entry?;
                    see(&u64::from_ne_bytes(key.try_into()?).to_be_bytes(), value);
                }
            }
        }
        Ok(())
    }
}

impl Writer for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let transaction = &mut self.transaction;
        match self.entries {
            Entries::Bytes(entries) => entries.put_with_flags(transaction, self.flags, key, value)?,
            Entries::Numbers(entries) => {
                entries.put_with_flags(transaction, self.flags, &number(key).to_ne_bytes(), value)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        Ok(match self.entries {
            Entries::Bytes(entries) => entries.delete(&mut self.transaction, key)?,
            Entries::Numbers(entries) => entries.delete(&mut self.transaction, &number(key).to_ne_bytes())?,
        })
    }
}
