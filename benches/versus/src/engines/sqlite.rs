//! SQLite through rusqlite: write-ahead log, `synchronous=FULL`, prepared statements, a mapping for reads.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use rusqlite::{CachedStatement, Connection, ToSql};

use super::peer::{Peer, Reader, Writer};
use super::{Opening, Order, number, pinned_version};

pub const FILE: &str = "data.sqlite";
const MAP_SIZE: i64 = 16 << 30;

pub fn description() -> String {
    format!(
        "SQLite {} (rusqlite {}): write-ahead log, `synchronous=FULL`, prepared statements, `WITHOUT ROWID`, a cache \
         of 4 GiB and the file mapped (not where memory is short); numbers as `INTEGER PRIMARY KEY`; lazy commits with \
         `synchronous=NORMAL`",
        rusqlite::version(),
        pinned_version("rusqlite")
    )
}

pub struct Sqlite {
    file: PathBuf,
    opening: Opening,
    /// Those that no thread is using.
    connections: Mutex<Vec<Connection>>,
}

const GET: &str = "SELECT value FROM entries WHERE key = ?1";
const PUT: &str = "INSERT OR REPLACE INTO entries VALUES (?1, ?2)";
const REMOVE: &str = "DELETE FROM entries WHERE key = ?1";
const WALK: &str = "SELECT key, value FROM entries WHERE key >= ?1 ORDER BY key LIMIT ?2";
const WALK_BACK: &str = "SELECT key, value FROM entries ORDER BY key DESC";

impl Sqlite {
    pub fn open(file: &Path, opening: Opening) -> Result<Sqlite> {
        let sqlite = Sqlite { file: file.to_owned(), opening, connections: Mutex::new(Vec::new()) };
        let connection = sqlite.connect()?;
        connection.execute_batch(if opening.has_numbers {
            "CREATE TABLE IF NOT EXISTS entries (key INTEGER PRIMARY KEY, value INTEGER NOT NULL)"
        } else {
            "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
        })?;
        sqlite.give_back(connection);
        Ok(sqlite)
    }

    fn connect(&self) -> Result<Connection> {
        let connection = Connection::open(&self.file)?;
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(
            None,
            "synchronous",
            if self.opening.is_lazy { "NORMAL" } else { "FULL" },
        )?;
        connection.pragma_update(None, "cache_size", -((self.opening.cache_bytes() >> 10) as i64))?;
        // The system reads far ahead in a mapping, which is the wrong thing where memory is short.
        let mapped = if self.opening.memory.is_some() { 0 } else { MAP_SIZE };
        connection.pragma_update(None, "mmap_size", mapped)?;
        Ok(connection)
    }

    fn take(&self) -> Result<Connection> {
        let free = self.connections.lock().expect("no thread panicked").pop();
        free.map_or_else(|| self.connect(), Ok)
    }

    fn give_back(&self, connection: Connection) {
        self.connections.lock().expect("no thread panicked").push(connection);
    }
}

pub struct Reading<'a> {
    connection: &'a Connection,
    get: RefCell<CachedStatement<'a>>,
    has_numbers: bool,
}

pub struct Writing<'a> {
    put: CachedStatement<'a>,
    remove: CachedStatement<'a>,
    has_numbers: bool,
}

impl Peer for Sqlite {
    type Reader<'a> = Reading<'a>;
    type Writer<'a> = Writing<'a>;

    fn read<T>(&self, work: impl FnOnce(&Reading<'_>) -> Result<T>) -> Result<T> {
        let connection = self.take()?;
        connection.prepare_cached("BEGIN")?.execute([])?;
        let get = RefCell::new(connection.prepare_cached(GET)?);
        let reading = Reading { connection: &connection, get, has_numbers: self.opening.has_numbers };
        let result = work(&reading)?;
        drop(reading);
        connection.prepare_cached("COMMIT")?.execute([])?;
        self.give_back(connection);
        Ok(result)
    }

    fn write(&self, _: Order, work: impl FnOnce(&mut Writing<'_>) -> Result<()>) -> Result<()> {
        let connection = self.take()?;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let (put, remove) = (connection.prepare_cached(PUT)?, connection.prepare_cached(REMOVE)?);
        let mut writing = Writing { put, remove, has_numbers: self.opening.has_numbers };
        work(&mut writing)?;
        drop(writing);
        connection.prepare_cached("COMMIT")?.execute([])?;
        self.give_back(connection);
        Ok(())
    }

    /// `BEGIN` alone takes no snapshot: the first statement that reads does.
    fn begin_and_end(&self) -> Result<()> {
        self.read(|reading| {
            let mut statement = reading.connection.prepare_cached("SELECT 1 FROM entries LIMIT 1")?;
            statement.query([])?.next()?;
            Ok(())
        })
    }
}

/// The value in the first column from `column` on, as bytes.
fn bytes<T>(
    row: &rusqlite::Row<'_>,
    column: usize,
    has_numbers: bool,
    see: impl FnOnce(&[u8]) -> T,
) -> Result<T> {
    let value = row.get_ref(column)?;
    Ok(if has_numbers { see(&value.as_i64()?.to_le_bytes()) } else { see(value.as_blob()?) })
}

fn show(row: &rusqlite::Row<'_>, has_numbers: bool, see: &mut impl FnMut(&[u8], &[u8])) -> Result<()> {
    if has_numbers {
        let key = row.get_ref(0)?.as_i64()?.to_be_bytes();
        return bytes(row, 1, true, |value| see(&key, value));
    }
    let key = row.get_ref(0)?.as_blob()?;
    bytes(row, 1, false, |value| see(key, value))
}

impl Reader for Reading<'_> {
    fn get(&self, key: &[u8], mut see: impl FnMut(&[u8])) -> Result<()> {
        let mut get = self.get.borrow_mut();
        let number = number(key) as i64;
        let key: &dyn ToSql = if self.has_numbers { &number } else { &key };
        if let Some(row) = get.query([key])?.next()? {
            bytes(row, 0, self.has_numbers, &mut see)?;
        }
        Ok(())
    }

    fn walk(&self, first: &[u8], limit: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let mut walk = self.connection.prepare_cached(WALK)?;
        let (number, limit) = (number(first) as i64, i64::try_from(limit).unwrap_or(-1));
        let first: &dyn ToSql = if self.has_numbers { &number } else { &first };
        let mut rows = walk.query([first, &limit])?;
        while let Some(row) = rows.next()? {
            show(row, self.has_numbers, &mut see)?;
        }
        Ok(())
    }

    fn walk_back(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let mut walk = self.connection.prepare_cached(WALK_BACK)?;
        let mut rows = walk.query([])?;
        while let Some(row) = rows.next()? {
            show(row, self.has_numbers, &mut see)?;
        }
        Ok(())
    }
}

impl Writer for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.has_numbers {
            let value = u64::from_le_bytes(value.try_into()?) as i64;
            self.put.execute((number(key) as i64, value))?;
        } else {
            self.put.execute((key, value))?;
        }
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        let removed = if self.has_numbers {
            self.remove.execute([number(key) as i64])?
        } else {
            self.remove.execute([key])?
        };
        Ok(removed == 1)
    }
}
