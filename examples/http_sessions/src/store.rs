//! Sessions in a database: by id, by user, and by the time at which they end.
//!
//! Each change is one transaction over all three tables, so no reader ever sees one without the others. Functions
//! here may wait for the disk, and those that write for other writers: asynchronous code calls them through
//! `spawn_blocking`.

use std::ops::Bound;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use mapleaf::{Db, MessagePack, Table, TableMut, WriteTxn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A uuid as a key: its 16 bytes.
type Id = [u8; 16];

/// With the names of fields, so that a later version of the service can add some.
const SESSIONS: Table<Id, MessagePack<Session>> = Table::new("sessions");
/// The index by user: one user's sessions are neighbours, in the order of their ids.
const BY_USER: Table<(String, Id), ()> = Table::new("sessions by user");
/// The index by end, in seconds since 1970: what has expired is at the beginning.
const BY_END: Table<(u64, Id), ()> = Table::new("sessions by end");

/// Sessions that one transaction removes when they have expired, so that other writers wait for a short time only.
const EXPIRED_AT_A_TIME: usize = 1000;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Session {
    pub user: String,
    /// Seconds since 1970.
    pub ends: u64,
    pub data: serde_json::Value,
}

/// A session with its id, as clients see it.
#[derive(PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub id: Uuid,
    #[serde(flatten)]
    pub session: Session,
}

/// A part of a list.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    pub sessions: Vec<Entry>,
    /// What the next page comes after, if there is one.
    pub next: Option<Uuid>,
}

/// A clone is cheap, and has its own handle of the same opened database.
#[derive(Clone)]
pub struct Store {
    db: Db,
}

impl Store {
    pub fn open(path: &Path) -> Result<Store> {
        let db = Db::open(path)?;
        // Readers can rely on the tables from now on.
        db.update(|tx| Tables::of(tx).map(drop))?;
        Ok(Store { db })
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    pub fn create(&self, session: Session) -> Result<Entry> {
        let id = Uuid::new_v4();
        let tx = self.db.write()?;
        Tables::of(&tx)?.put(id.as_bytes(), &session)?;
        tx.commit()?;
        Ok(Entry { id, session })
    }

    /// Returns a session unless it has ended, whether or not it has been removed since.
    pub fn get(&self, id: Uuid, now: u64) -> Result<Option<Session>> {
        let session = self.db.view(|rx| rx.table(&SESSIONS)?.get(id.as_bytes()))?;
        Ok(session.filter(|session| session.ends > now))
    }

    /// Replaces the data and the end of a live session.
    pub fn replace(&self, id: Uuid, data: serde_json::Value, ends: u64, now: u64) -> Result<Option<Entry>> {
        let tx = self.db.write()?;
        let mut tables = Tables::of(&tx)?;
        let Some(old) = tables.take(id.as_bytes())?.filter(|session| session.ends > now) else {
            return Ok(None); // the transaction is dropped, and has not happened
        };
        let session = Session { user: old.user, ends, data };
        tables.put(id.as_bytes(), &session)?;
        drop(tables);
        tx.commit()?;
        Ok(Some(Entry { id, session }))
    }

    /// Removes a session. Returns whether there was one.
    pub fn remove(&self, id: Uuid) -> Result<bool> {
        let tx = self.db.write()?;
        let old = Tables::of(&tx)?.take(id.as_bytes())?;
        tx.commit()?;
        Ok(old.is_some())
    }

    /// Returns a user's live sessions, in the order of their ids: those after `after`, `limit` at most.
    pub fn of_user(&self, user: &str, after: Option<Uuid>, limit: usize, now: u64) -> Result<Page> {
        let rx = self.db.read()?;
        let (sessions, by_user) = (rx.table(&SESSIONS)?, rx.table(&BY_USER)?);
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded((user, after.into_bytes())));
        let mut page = Page { sessions: Vec::new(), next: None };
        for entry in by_user.prefix_range((user,), (start, Bound::Unbounded)) {
            let ((_, id), ()) = entry?;
            let Some(session) = sessions.get(id)?.filter(|session| session.ends > now) else { continue };
            if page.sessions.len() == limit {
                page.next = page.sessions.last().map(|last| last.id);
                break;
            }
            page.sessions.push(Entry { id: Uuid::from_bytes(id), session });
        }
        Ok(page)
    }

    /// Removes sessions that have ended. Returns whether there may be more of them.
    pub fn remove_expired(&self, now: u64) -> Result<bool> {
        let ended = self.db.view(|rx| {
            let by_end = rx.table(&BY_END)?;
            by_end.range(..(now + 1,)).take(EXPIRED_AT_A_TIME).collect::<Result<Vec<_>, _>>()
        })?;
        if ended.is_empty() {
            return Ok(false);
        }
        let tx = self.db.write()?;
        let mut tables = Tables::of(&tx)?;
        for ((end, id), ()) in &ended {
            // It may have been renewed, or removed, since it was read.
            if tables.by_end.contains_key((*end, *id))? {
                tables.take(id)?;
            }
        }
        drop(tables);
        // If power is lost the sessions are still there, and still ended.
        tx.commit_with(mapleaf::Durability::Lazy)?;
        Ok(ended.len() == EXPIRED_AT_A_TIME)
    }

    /// Copies the database to a new file in `folder`, which has no name when this returns.
    pub fn copy_in(&self, folder: &Path) -> Result<std::fs::File> {
        let folder = tempfile::tempdir_in(folder)?;
        let path = folder.path().join("copy");
        self.db.read()?.copy().to_path(&path)?;
        Ok(std::fs::File::open(&path)?)
    }
}

/// The three tables of a write transaction, which change together.
struct Tables<'tx> {
    sessions: TableMut<'tx, Id, MessagePack<Session>>,
    by_user: TableMut<'tx, (String, Id), ()>,
    by_end: TableMut<'tx, (u64, Id), ()>,
}

impl Tables<'_> {
    fn of(tx: &WriteTxn) -> mapleaf::Result<Tables<'_>> {
        let (sessions, by_user, by_end) = (tx.table(&SESSIONS)?, tx.table(&BY_USER)?, tx.table(&BY_END)?);
        Ok(Tables { sessions, by_user, by_end })
    }

    fn put(&mut self, id: &Id, session: &Session) -> mapleaf::Result<()> {
        self.sessions.insert(id, MessagePack(session))?;
        self.by_user.insert((&session.user, *id), ())?;
        self.by_end.insert((session.ends, *id), ())?;
        Ok(())
    }

    fn take(&mut self, id: &Id) -> mapleaf::Result<Option<Session>> {
        let Some(session) = self.sessions.take(id)? else { return Ok(None) };
        self.by_user.remove((&session.user, *id))?;
        self.by_end.remove((session.ends, *id))?;
        Ok(Some(session))
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
