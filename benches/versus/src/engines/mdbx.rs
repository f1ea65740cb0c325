//! libmdbx through signet-libmdbx: durable, `MDBX_WRITEMAP` off, its own defaults for the rest.
//!
//! Its unnamed database is used, as with LMDB. Numbers are keys of `MDBX_INTEGERKEY`.

use std::borrow::Cow;
use std::path::Path;

use anyhow::Result;
use signet_libmdbx::sys::EnvironmentKind;
use signet_libmdbx::tx::aliases::{RoTxUnsync, RwTxUnsync};
use signet_libmdbx::{
    Database, DatabaseFlags, Environment, EnvironmentFlags, Geometry, Mode, SyncMode, WriteFlags,
};

use super::peer::{Peer, Reader, Writer};
use super::{Opening, Order, number, pinned_version};

pub const FILE: &str = "mdbx.dat";
const MAP_SIZE: usize = 16 << 30;

pub fn description() -> String {
    let version = pinned_version("signet-libmdbx");
    format!(
        "libmdbx 0.13.7 (signet-libmdbx {version}): durable, transactions of one thread, `MDBX_APPEND` for sorted \
         loads, `MDBX_NORDAHEAD` where memory is short; numbers with `MDBX_INTEGERKEY`; lazy \
         commits with `MDBX_SAFE_NOSYNC`"
    )
}

pub struct Mdbx {
    env: Environment,
    entries: Database,
    has_numbers: bool,
}

impl Mdbx {
    pub fn open(folder: &Path, opening: Opening) -> Result<Mdbx> {
        let sync_mode = if opening.is_lazy { SyncMode::SafeNoSync } else { SyncMode::Durable };
        let flags = EnvironmentFlags {
            mode: Mode::ReadWrite { sync_mode },
            no_rdahead: opening.memory.is_some(),
            ..EnvironmentFlags::default()
        };
        let mut builder = Environment::builder();
        builder.set_flags(flags).set_kind(EnvironmentKind::Default);
        builder.set_geometry(Geometry { size: Some(0..MAP_SIZE), ..Geometry::default() });
        let env = builder.open(folder)?;
        let kind = if opening.has_numbers { DatabaseFlags::INTEGER_KEY } else { DatabaseFlags::empty() };
        let transaction = env.begin_rw_unsync()?;
        let entries = transaction.create_db(None, kind)?;
        transaction.commit()?;
        Ok(Mdbx { env, entries, has_numbers: opening.has_numbers })
    }
}

pub struct Reading {
    transaction: RoTxUnsync,
    entries: Database,
    has_numbers: bool,
}

pub struct Writing {
    transaction: RwTxUnsync,
    entries: Database,
    has_numbers: bool,
    order: Order,
}

impl Peer for Mdbx {
    type Reader<'a> = Reading;
    type Writer<'a> = Writing;

    fn read<T>(&self, work: impl FnOnce(&Reading) -> Result<T>) -> Result<T> {
        let (entries, has_numbers) = (self.entries, self.has_numbers);
        work(&Reading { transaction: self.env.begin_ro_unsync()?, entries, has_numbers })
    }

    fn write(&self, order: Order, work: impl FnOnce(&mut Writing) -> Result<()>) -> Result<()> {
        let (entries, has_numbers) = (self.entries, self.has_numbers);
        let mut writing = Writing { transaction: self.env.begin_rw_unsync()?, entries, has_numbers, order };
        work(&mut writing)?;
        writing.transaction.commit()?;
        Ok(())
    }

    fn begin_and_end(&self) -> Result<()> {
        std::hint::black_box(&self.env.begin_ro_unsync()?);
        Ok(())
    }
}

type Entry<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The key as the list of keys has it.
fn show(has_numbers: bool, (key, value): Entry<'_>, see: &mut impl FnMut(&[u8], &[u8])) -> Result<()> {
    if has_numbers {
        see(&u64::from_ne_bytes(key.as_ref().try_into()?).to_be_bytes(), &value);
    } else {
        see(&key, &value);
    }
    Ok(())
}

impl Reader for Reading {
    fn get(&self, key: &[u8], mut see: impl FnMut(&[u8])) -> Result<()> {
        let dbi = self.entries.dbi();
        let value: Option<Cow<'_, [u8]>> = if self.has_numbers {
            self.transaction.get(dbi, &number(key).to_ne_bytes())?
        } else {
            self.transaction.get(dbi, key)?
        };
        value.iter().for_each(|value| see(value));
        Ok(())
    }

    fn walk(&self, first: &[u8], limit: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let mut cursor = self.transaction.cursor(self.entries)?;
        let mut entry: Option<Entry<'_>> =
            if first.is_empty() { cursor.first()? } else { cursor.set_range(first)? };
        for left in (0..limit).rev() {
            let Some(found) = entry else { break };
            show(self.has_numbers, found, &mut see)?;
            entry = if left == 0 { None } else { cursor.next()? };
        }
        Ok(())
    }

    fn walk_back(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let mut cursor = self.transaction.cursor(self.entries)?;
        let mut entry: Option<Entry<'_>> = cursor.last()?;
        while let Some(found) = entry {
            show(self.has_numbers, found, &mut see)?;
            entry = cursor.prev()?;
        }
        Ok(())
    }
}

impl Writer for Writing {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let flags = match self.order {
            Order::Random => WriteFlags::UPSERT,
            Order::Sorted => WriteFlags::APPEND,
        };
        if self.has_numbers {
            self.transaction.put(self.entries, number(key).to_ne_bytes(), value, flags)?;
        } else {
            self.transaction.put(self.entries, key, value, flags)?;
        }
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        Ok(if self.has_numbers {
            self.transaction.del(self.entries, number(key).to_ne_bytes(), None)?
        } else {
            self.transaction.del(self.entries, key, None)?
        })
    }
}
