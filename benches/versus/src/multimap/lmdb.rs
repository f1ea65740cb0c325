//! LMDB's tables with duplicates, through its own functions: heed has none that asks for a pair or counts values.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::path::Path;
use std::ptr::null_mut;

use anyhow::{Result, ensure};
use lmdb_master_sys as ffi;

use super::Pair;
use super::stores::{Store, sorted};

const MAP_SIZE: usize = 16 << 30;

pub struct Lmdb {
    env: *mut ffi::MDB_env,
    dbi: ffi::MDB_dbi,
    is_fixed: bool,
}

fn check(code: i32) -> Result<()> {
    ensure!(code == 0, "LMDB returned {code}");
    Ok(())
}

/// Bytes that LMDB reads.
fn val(bytes: &[u8]) -> ffi::MDB_val {
    ffi::MDB_val { mv_size: bytes.len(), mv_data: bytes.as_ptr().cast_mut().cast() }
}

/// The number whose eight bytes LMDB has given.
///
/// # Safety
///
/// `data` points to eight bytes of the map, and the transaction goes on.
unsafe fn number(data: *const u8) -> u64 {
    // SAFETY: by this function's own condition.
    u64::from_be_bytes(unsafe { data.cast::<[u8; 8]>().read_unaligned() })
}

impl Lmdb {
    pub fn open(folder: &Path, is_fixed: bool) -> Result<Lmdb> {
        let path = CString::new(folder.to_str().unwrap_or_default())?;
        let (mut env, mut dbi) = (null_mut(), 0);
        // SAFETY: the folder belongs to this run alone, all pointers are to live variables, and the environment is used
        // by one thread.
        unsafe {
            check(ffi::mdb_env_create(&mut env))?;
            check(ffi::mdb_env_set_mapsize(env, MAP_SIZE))?;
            check(ffi::mdb_env_set_maxdbs(env, 1))?;
            check(ffi::mdb_env_open(env, path.as_ptr(), ffi::MDB_NOSYNC, 0o600))?;
            let transaction = begin(env, 0)?;
            let flags = ffi::MDB_CREATE | ffi::MDB_DUPSORT | if is_fixed { ffi::MDB_DUPFIXED } else { 0 };
            check(ffi::mdb_dbi_open(transaction, c"pairs".as_ptr(), flags, &mut dbi))?;
            check(ffi::mdb_txn_commit(transaction))?;
        }
        Ok(Lmdb { env, dbi, is_fixed })
    }

    fn put(&self, pairs: &[Pair], flags: u32) -> Result<()> {
        // SAFETY: LMDB copies what it is given; the transaction is this function's own.
        unsafe {
            let (transaction, cursor) = self.begin_with_cursor(0)?;
            for (key, value) in pairs {
                let (key, value) = (key.to_be_bytes(), value.to_be_bytes());
                check(ffi::mdb_cursor_put(cursor, &mut val(&key), &mut val(&value), flags))?;
            }
            ffi::mdb_cursor_close(cursor);
            check(ffi::mdb_txn_commit(transaction))
        }
    }

    /// # Safety
    ///
    /// The caller closes the cursor before it ends the transaction.
    unsafe fn begin_with_cursor(&self, flags: u32) -> Result<(*mut ffi::MDB_txn, *mut ffi::MDB_cursor)> {
        let mut cursor = null_mut();
        // SAFETY: the environment is open until this is dropped.
        let transaction = unsafe { begin(self.env, flags)? };
        // SAFETY: the transaction has just begun.
        check(unsafe { ffi::mdb_cursor_open(transaction, self.dbi, &mut cursor) })?;
        Ok((transaction, cursor))
    }

    /// Has each item looked up by `work` with one cursor, and adds up what it returns.
    fn read<T: Copy>(
        &self,
        items: &[T],
        mut work: impl FnMut(*mut ffi::MDB_cursor, T) -> Result<u64>,
    ) -> Result<u64> {
        let mut sum = 0u64;
        // SAFETY: the cursor is closed before the transaction ends.
        unsafe {
            let (transaction, cursor) = self.begin_with_cursor(ffi::MDB_RDONLY)?;
            for item in items {
                sum = sum.wrapping_add(work(cursor, *item)?);
            }
            ffi::mdb_cursor_close(cursor);
            ffi::mdb_txn_abort(transaction);
        }
        Ok(sum)
    }
}

/// # Safety
///
/// `env` is open, and no other transaction of this thread is.
unsafe fn begin(env: *mut ffi::MDB_env, flags: u32) -> Result<*mut ffi::MDB_txn> {
    let mut transaction = null_mut();
    // SAFETY: by this function's own condition.
    check(unsafe { ffi::mdb_txn_begin(env, null_mut(), flags, &mut transaction) })?;
    Ok(transaction)
}

impl Drop for Lmdb {
    fn drop(&mut self) {
        // SAFETY: no transaction and no cursor is open.
        unsafe { ffi::mdb_env_close(self.env) };
    }
}

impl Store for Lmdb {
    fn insert(&self, pairs: &[Pair]) -> Result<()> {
        self.put(pairs, 0)
    }

    fn load(&self, pairs: &[Pair]) -> Result<()> {
        self.put(&sorted(pairs), ffi::MDB_APPENDDUP)
    }

    fn remove(&self, pairs: &[Pair]) -> Result<()> {
        // SAFETY: as in `put`.
        unsafe {
            let transaction = begin(self.env, 0)?;
            for (key, value) in pairs {
                let (key, value) = (key.to_be_bytes(), value.to_be_bytes());
                check(ffi::mdb_del(transaction, self.dbi, &mut val(&key), &mut val(&value)))?;
            }
            check(ffi::mdb_txn_commit(transaction))
        }
    }

    fn contains(&self, pairs: &[Pair]) -> Result<Option<u64>> {
        let found = self.read(pairs, |cursor, (key, value)| {
            let (key, value) = (key.to_be_bytes(), value.to_be_bytes());
            // SAFETY: the cursor is open.
            let code =
                unsafe { ffi::mdb_cursor_get(cursor, &mut val(&key), &mut val(&value), ffi::MDB_GET_BOTH) };
            Ok(u64::from(code == 0))
        });
        found.map(Some)
    }

    fn walk(&self, keys: &[u64]) -> Result<(u64, u64)> {
        let (first, next) = match self.is_fixed {
            true => (ffi::MDB_GET_MULTIPLE, ffi::MDB_NEXT_MULTIPLE),
            false => (ffi::MDB_GET_CURRENT, ffi::MDB_NEXT_DUP),
        };
        let mut count = 0;
        let sum = self.read(keys, |cursor, key| {
            let key = key.to_be_bytes();
            let (mut key, mut value, mut sum) = (val(&key), val(&[]), 0u64);
            // SAFETY: the cursor is open, and values are read before it moves on.
            unsafe {
                let mut code = ffi::mdb_cursor_get(cursor, &mut key, &mut value, ffi::MDB_SET_KEY);
                if code == 0 {
                    code = ffi::mdb_cursor_get(cursor, &mut key, &mut value, first);
                }
                while code == 0 {
                    for at in (0..value.mv_size).step_by(8) {
                        sum = sum.wrapping_add(number(value.mv_data.cast::<u8>().add(at)));
                    }
                    count += value.mv_size as u64 / 8;
                    code = ffi::mdb_cursor_get(cursor, &mut key, &mut value, next);
                }
            }
            Ok(sum)
        })?;
        Ok((count, sum))
    }

    fn count(&self, keys: &[u64]) -> Result<u64> {
        self.read(keys, |cursor, key| {
            let key = key.to_be_bytes();
            let (mut value, mut count) = (val(&[]), 0);
            // SAFETY: the cursor is open.
            unsafe {
                check(ffi::mdb_cursor_get(cursor, &mut val(&key), &mut value, ffi::MDB_SET))?;
                check(ffi::mdb_cursor_count(cursor, &mut count))?;
            }
            Ok(count as u64)
        })
    }

    fn bytes(&self) -> Result<u64> {
        // SAFETY: a structure of numbers, which LMDB fills in.
        unsafe {
            let transaction = begin(self.env, ffi::MDB_RDONLY)?;
            let mut stat: ffi::MDB_envinfo = std::mem::zeroed();
            check(ffi::mdb_env_info(self.env, &mut stat))?;
            ffi::mdb_txn_abort(transaction);
            Ok((stat.me_last_pgno as u64 + 1) * 4096)
        }
    }
}
