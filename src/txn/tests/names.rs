//! The two files, and their folder, are removed, renamed, replaced and put back at every call of an opening, a commit
//! and a sync. Whatever happens: what was acknowledged to the party whose file has the name stays; a durable commit
//! to a file that had lost its name before the last check of it is not acknowledged; and nothing panics.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::fixture::{Engine, Entries, new_image, options, put_all};
use crate::error::{Error, Result};
use crate::sys::calls::set_before_call;
use crate::sys::{FileIdentity, status_at};
use crate::txn::commit::Durability;
use crate::txn::database::DbHandle;
use crate::txn::file_locks::Wait;
use crate::txn::read::SnapshotReader;
use crate::txn::write::Transaction;

/// What is done to the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    RemoveData,
    RemoveLock,
    RemoveBoth,
    RemoveFolder,
    MoveDataAway,
    MoveFolderAway,
    MoveBothAwayAndBack,
    ReplaceData,
    RestoreData,
    ReplaceLock,
    RestoreLock,
    RestoreBoth,
}

const CHANGES: [Change; 12] = [
    Change::RemoveData,
    Change::RemoveLock,
    Change::RemoveBoth,
    Change::RemoveFolder,
    Change::MoveDataAway,
    Change::MoveFolderAway,
    Change::MoveBothAwayAndBack,
    Change::ReplaceData,
    Change::RestoreData,
    Change::ReplaceLock,
    Change::RestoreLock,
    Change::RestoreBoth,
];

/// A database with a backup of it and another one beside it.
#[derive(Clone)]
struct Place {
    folder: PathBuf,
    path: PathBuf,
    lock: PathBuf,
}

impl Place {
    fn make(outer: &Path) -> Place {
        let folder = outer.join("folder");
        fs::create_dir(&folder).unwrap();
        let (path, lock) = (folder.join("a.mapleaf"), folder.join("a.mapleaf-lock"));
        let place = Place { folder, path, lock };
        let engine = Engine::share(&place.path).unwrap();
        engine.commit(&entry("backup"), Durability::Durable).unwrap();
        for path in [&place.path, &place.lock] {
            fs::copy(path, outer.join("backup").with_extension(path.extension().unwrap())).unwrap();
        }
        drop(engine);
        fs::write(outer.join("other"), new_image()).unwrap();
        place
    }

    fn outer(&self) -> &Path {
        self.folder.parent().unwrap()
    }

    /// Errors are ignored: they are for files that an earlier step of the operation has not created yet.
    fn apply(&self, change: Change) {
        let outer = self.outer();
        let (away, lock_away) = (outer.join("away"), outer.join("lock-away"));
        let restore = |extension, to: &Path| {
            let backup = outer.join("backup").with_extension(extension);
            let _ =
                fs::copy(backup, outer.join("restored")).and_then(|_| fs::rename(outer.join("restored"), to));
        };
        match change {
            Change::RemoveData => _ = fs::remove_file(&self.path),
            Change::RemoveLock => _ = fs::remove_file(&self.lock),
            Change::RemoveBoth => _ = (fs::remove_file(&self.path), fs::remove_file(&self.lock)),
            Change::RemoveFolder => _ = fs::remove_dir_all(&self.folder),
            Change::MoveDataAway => _ = fs::rename(&self.path, away),
            Change::MoveFolderAway => _ = fs::rename(&self.folder, away),
            Change::MoveBothAwayAndBack => {
                for (path, away) in [(&self.path, &away), (&self.lock, &lock_away)] {
                    let _ = fs::rename(path, away).and_then(|()| fs::rename(away, path));
                }
            }
            Change::ReplaceData => _ = fs::rename(outer.join("other"), &self.path),
            Change::RestoreData => restore("mapleaf", &self.path),
            Change::ReplaceLock => {
                _ = fs::write(&lock_away, "").and_then(|()| fs::rename(lock_away, &self.lock))
            }
            Change::RestoreLock => restore("mapleaf-lock", &self.lock),
            Change::RestoreBoth => {
                restore("mapleaf", &self.path);
                restore("mapleaf-lock", &self.lock);
            }
        }
    }

    fn names(&self) -> [Option<FileIdentity>; 2] {
        [&self.path, &self.lock].map(|path| status_at(path).ok().map(|found| found.identity))
    }

    fn open(&self) -> Result<Party> {
        let handle = options(256 << 20).open(&self.path)?;
        Ok(Party { handle, acknowledged: Entries::new() })
    }
}

/// A handle, and what was acknowledged to it.
struct Party {
    handle: Arc<DbHandle>,
    acknowledged: Entries,
}

impl Party {
    fn publish(&self, key: &str, durability: Durability) -> Result<()> {
        let tx = Transaction::begin(&self.handle, Wait::Forever)?.expect("no deadline");
        put_all(&tx, &entry(key))?;
        tx.publish(durability).map(drop)
    }

    fn commit(&mut self, key: &str) -> Result<()> {
        let tx = Transaction::begin(&self.handle, Wait::Forever)?.expect("no deadline");
        put_all(&tx, &entry(key))?;
        tx.commit(Durability::Durable)?;
        self.acknowledged.extend(entry(key));
        Ok(())
    }

    fn entries(&self) -> Entries {
        let reader = SnapshotReader::begin(&self.handle).unwrap();
        super::fixture::entries_of(&reader).unwrap()
    }

    fn data(&self) -> FileIdentity {
        self.handle.core.pages.storage.identity()
    }
}

fn entry(key: &str) -> Entries {
    [(key.as_bytes().to_vec(), vec![7; 300])].into()
}

/// Does `work`, and `change` before its call number `at`. Returns how many calls there were.
fn changed_at<T>(place: &Place, change: Change, at: usize, work: impl FnOnce() -> T) -> (T, usize) {
    let calls = Rc::new(Cell::new(0));
    let (counted, in_place) = (Rc::clone(&calls), place.clone());
    set_before_call(Some(Box::new(move || {
        if counted.get() == at {
            in_place.apply(change);
        }
        counted.set(counted.get() + 1);
    })));
    let result = work();
    set_before_call(None);
    (result, calls.get())
}

fn assert_replaced_or_missing<T>(result: &Result<T>) {
    let is_expected = match result {
        Err(Error::Io { source, .. }) => source.kind() == std::io::ErrorKind::NotFound,
        // The portable form has its locks in a folder: if that is gone, a sync poisons the database.
        Err(Error::Poisoned) => cfg!(mapleaf_portable),
        Err(error) => matches!(error, Error::Replaced { .. }),
        Ok(_) => true,
    };
    assert!(is_expected, "{:?}", result.as_ref().err());
}

/// What was acknowledged to each party holds for as long as its file has the name.
fn assert_nothing_is_lost(place: &Place, mut parties: Vec<Party>) {
    // A newcomer, while all are open; and each of them once more.
    let newcomer = place.open();
    assert_replaced_or_missing(&newcomer);
    parties.extend(newcomer);
    for round in 0..2 {
        for (number, party) in parties.iter_mut().enumerate() {
            let names = place.names();
            let result = party.commit(&format!("party {number}, round {round}"));
            assert_replaced_or_missing(&result);
            assert!(result.is_err() || names[0] == Some(party.data()), "acknowledged without a name");
        }
    }
    let owned = |parties: &[Party]| {
        let data = place.names()[0];
        let owners = parties.iter().filter(|party| Some(party.data()) == data);
        owners.flat_map(|party| party.acknowledged.clone()).collect::<Entries>()
    };
    let expected = owned(&parties);
    drop(parties);
    let _ = fs::create_dir(&place.folder);
    let last = place.open().unwrap();
    let found = last.entries();
    assert!(
        expected.iter().all(|(key, value)| found.get(key) == Some(value)),
        "an acknowledged commit is lost"
    );
    let report = crate::check::check(&last.handle.core, &mut |_, _| {}).unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Has the calls of some work seen.
type Watched<'a> = &'a dyn Fn(&mut dyn FnMut());
/// Works at a place, with handles that it leaves. It says by `Ok` that what it did is durable.
type Operation = fn(&Place, &mut Vec<Party>, Watched<'_>) -> Result<()>;

/// Runs `operation` once for each of its calls and each change.
fn at_every_call(operation: Operation) {
    std::thread::scope(|scope| {
        for changes in CHANGES.chunks(3) {
            scope.spawn(move || changes.iter().for_each(|&change| at_every_call_do(change, operation)));
        }
    });
}

fn at_every_call_do(change: Change, operation: Operation) {
    for at in 0.. {
        let outer = tempfile::tempdir().unwrap();
        let place = Place::make(outer.path());
        let mut parties = Vec::new();
        let calls = Cell::new(0);
        let watched = |work: &mut dyn FnMut()| calls.set(changed_at(&place, change, at, work).1);
        let result = operation(&place, &mut parties, &watched);
        assert_replaced_or_missing(&result);
        let is_past_the_end = calls.get() <= at;
        if let Some(party) = parties.last() {
            // The last two calls check the two names.
            let is_seen = [at + 2 <= calls.get(), at < calls.get()];
            let own = [party.data(), status_of_lock(party)];
            for ((name, own), is_seen) in place.names().into_iter().zip(own).zip(is_seen) {
                assert!(
                    !is_seen || name == Some(own) || result.is_err(),
                    "{change:?} before call {at} of {}: acknowledged",
                    calls.get()
                );
            }
        }
        assert_nothing_is_lost(&place, parties);
        if is_past_the_end {
            assert!(at > 3, "it makes more calls than that");
            return;
        }
    }
}

fn status_of_lock(party: &Party) -> FileIdentity {
    let locks = party.handle.core.locks.as_ref().unwrap();
    crate::sys::status_of(locks.lock_file().file().unwrap()).unwrap().identity
}

/// As [`Place::open`], with a storage whose calls are reported.
fn open_engine(place: &Place) -> Party {
    let engine = Engine::share(&place.path).unwrap();
    Party { handle: Arc::clone(&engine.handle), acknowledged: Entries::new() }
}

#[test]
fn files_change_at_every_call_of_a_commit() {
    at_every_call(|place, parties, watched| {
        parties.push(open_engine(place));
        let party = &mut parties[0];
        party.commit("before").unwrap();
        let mut result = Ok(());
        watched(&mut || result = party.commit("under way"));
        result
    });
}

#[test]
fn files_change_at_every_call_of_a_sync() {
    at_every_call(|place, parties, watched| {
        parties.push(open_engine(place));
        let party = &mut parties[0];
        party.commit("before").unwrap();
        party.publish("lazy", Durability::Lazy).unwrap();
        let mut result = Ok(());
        watched(&mut || result = party.handle.core.sync_everything());
        if result.is_ok() {
            party.acknowledged.extend(entry("lazy"));
        }
        result
    });
}

/// Opens the database and commits; the calls of both are seen.
fn open_and_commit(place: &Place, parties: &mut Vec<Party>, watched: Watched<'_>) -> Result<()> {
    let mut result = Ok(());
    watched(&mut || match place.open() {
        Ok(mut party) => {
            result = party.commit("first");
            parties.push(party);
        }
        Err(error) => result = Err(error),
    });
    result
}

/// Commits of the first handle. An opening acknowledges no commit: the one that follows does.
#[test]
fn files_change_at_every_call_of_an_opening() {
    at_every_call(open_and_commit);
}

/// Openings by a process that creates the file, or finds that another has.
#[test]
fn files_change_at_every_call_of_a_creation() {
    at_every_call(|place, parties, watched| {
        fs::remove_file(&place.path).unwrap();
        fs::remove_file(&place.lock).unwrap();
        open_and_commit(place, parties, watched)
    });
}

/// Openings by a process that comes while another is writing.
#[test]
fn files_change_at_every_call_of_an_opening_beside_another() {
    at_every_call(|place, parties, watched| {
        let mut first = place.open().unwrap();
        first.commit("before").unwrap();
        parties.push(first);
        open_and_commit(place, parties, watched)
    });
}

/// On some file systems the inode number of a file is another one each time that it is asked for.
#[test]
fn opening_ends_if_its_files_are_replaced_each_time() {
    let outer = tempfile::tempdir().unwrap();
    let place = Place::make(outer.path());
    let in_place = place.clone();
    set_before_call(Some(Box::new(move || in_place.apply(Change::ReplaceLock))));
    let result = place.open();
    set_before_call(None);
    assert!(matches!(result, Err(Error::Replaced { .. })));
    place.open().unwrap();
}
