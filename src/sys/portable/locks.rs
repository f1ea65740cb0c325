//! The locks of a handle on a file, on nothing but `flock`.
//!
//! `flock` locks whole files. So each range that is locked has a file of its own, without contents, in a folder beside
//! the database, `NAME-locks`. The file's name has the inode number of the file that is locked, and the range.
//!
//! Invariants:
//! - A range is locked exactly as long as its file is, by a description of its own that no forked child keeps
//!   ([`LockDescription`]). So the kernel frees it when the process dies (I7).
//! - A lock counts only if its file has its name after it has been locked. Only a process that has the file locked
//!   exclusively removes the name. So of two processes that lock a range, one of them exclusively, one finds the file
//!   of the other.
//! - Of two different ranges that overlap, each is first locked and then compared with all others. So at least one of
//!   two processes finds the other, and gives way. Ranges below [`LASTING_BELOW`] are locked again and again: their
//!   files keep their names until no handle is open.
//! - To test a range its file is locked for a moment. So an attempt that does not wait may find a lock that is none.
//!   Each caller tries again, or does something else that is right.
//! - The folder has the names of the files in it by the path of the database. A file may have several paths, and a
//!   path may lose its file. So the handle also locks the file itself, shared ([`Locks::occupy`]). A handle without
//!   another beside it has had that lock exclusively, and made it a shared one, which every system does in one step. So
//!   of two handles that come to the same file by different paths, one finds the other.
//!
//! A reader that may not create files in the folder occupies the file and nothing else. Then no handle that may write
//! can be opened until the reader has gone ([`Locks::occupy_instead`]).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use crate::sys::flock::{self, LockKind};
use crate::sys::fork::LockDescription;
use crate::sys::path::with_suffix;
use crate::sys::rights::{Rights, may_write};
use crate::sys::system::platform::{random_bytes, status_at, status_of};
use parking_lot::Mutex;

/// Stands for the whole file.
const WHOLE: Range<u64> = (1 << 39) + 6..(1 << 39) + 7;
const LASTING_BELOW: u64 = 1 << 40;
/// The mode of the files in the folder, whose own mode says which users get to them. To lock a file it need not be
/// writable.
const FILE_MODE: u32 = 0o444;
/// How often a file is opened that another user may be about to give its mode.
const OPEN_TRIES: u32 = 100;

/// Locks on an open file. They are free when this is dropped; in a forked child each function returns an error.
#[derive(Debug)]
pub(crate) struct Locks {
    description: LockDescription,
    data_path: PathBuf,
    folder: PathBuf,
    inode: u64,
    /// The ranges that this handle has locked, by start and end.
    held: Mutex<BTreeMap<(u64, u64), Held>>,
    occupies: AtomicBool,
}

#[derive(Debug)]
struct Held {
    kind: LockKind,
    path: PathBuf,
    /// Its lock is free when this is dropped.
    _lock: LockDescription,
}

impl Held {
    /// Frees the lock.
    fn release(self, range: (u64, u64)) {
        if self.kind == LockKind::Exclusive && range.0 >= LASTING_BELOW {
            let _ = fs::remove_file(&self.path); // what stays is removed by a test that finds it free
        }
    }
}

impl Locks {
    /// What it means if a handle is seen on the data file and none on the lock file.
    pub(crate) const OCCUPIED: &str = "the handles that have the database open use another, or a process reads it that \
                                       may not write beside it, and holds off those that may";

    /// `open` opens the file, which belongs to the database at `data_path`, and keeps no other descriptor of that
    /// description.
    pub(crate) fn new(data_path: &Path, open: impl FnOnce() -> io::Result<File>) -> io::Result<Locks> {
        let description = LockDescription::new(open)?;
        let inode = description.file()?.metadata()?.ino();
        let folder = with_suffix(data_path, "-locks");
        if let Ok(found) = folder.symlink_metadata() {
            let refuse = |problem: &dyn Display| {
                let problem = format!("mapleaf's locks are in {}: {problem}", folder.display());
                Err(io::Error::other(problem))
            };
            if !found.is_dir() {
                return refuse(&"it is not a folder");
            }
            if let Err(problem) = Rights::of(description.file()?)?.check_owner(found.uid()) {
                return refuse(&problem);
            }
        }
        Ok(Locks {
            description,
            data_path: data_path.to_owned(),
            folder,
            inode,
            held: Mutex::default(),
            occupies: AtomicBool::new(false),
        })
    }

    /// The open file, to be examined. Returns an error in a forked child.
    pub(crate) fn file(&self) -> io::Result<&File> {
        self.description.file()
    }

    /// Locks `range`. Returns `false` if another handle's lock excludes that.
    pub(crate) fn try_lock(&self, kind: LockKind, range: Range<u64>) -> io::Result<bool> {
        self.take(kind, &range, false)
    }

    /// Locks `range`, once it is free.
    pub(crate) fn lock(&self, kind: LockKind, range: Range<u64>) -> io::Result<()> {
        self.take(kind, &range, true).map(drop)
    }

    fn take(&self, kind: LockKind, range: &Range<u64>, waits: bool) -> io::Result<bool> {
        self.file()?;
        check(range)?;
        if let Some(held) = self.held.lock().get(&(range.start, range.end)) {
            return match held.kind == kind {
                true => Ok(true),
                false => {
                    Err(io::Error::new(ErrorKind::Unsupported, "a lock cannot become one of another kind"))
                }
            };
        }
        let path = self.path_of(range);
        loop {
            let lock = self.open(&path)?;
            if waits {
                flock::lock(lock.file()?, kind)?;
            } else if !flock::try_lock(lock.file()?, kind)? {
                return Ok(false);
            }
            if !has_name(&lock, &path)? {
                continue;
            }
            let held = Held { kind, path: path.clone(), _lock: lock };
            let Some(other) = self.find_conflict(kind, range, true)? else {
                self.held.lock().insert((range.start, range.end), held);
                return Ok(true);
            };
            held.release((range.start, range.end));
            if !waits {
                return Ok(false);
            }
            if let Some(other) = open_existing(&other)? {
                flock::lock(other.file()?, kind)?;
            }
        }
    }

    /// Unlocks what is locked within `range`. Nothing is unlocked in part.
    pub(crate) fn unlock(&self, range: Range<u64>) -> io::Result<()> {
        self.file()?;
        let mut held = self.held.lock();
        let is_cut = |&&(start, end): &&(u64, u64)| {
            start < range.end && range.start < end && !(range.start <= start && end <= range.end)
        };
        if let Some(cut) = held.keys().find(is_cut) {
            let problem = format!("cannot unlock bytes {range:?} of {cut:?}, which were locked together");
            return Err(io::Error::new(ErrorKind::InvalidInput, problem));
        }
        let within: Vec<(u64, u64)> =
            held.keys().filter(|(start, end)| range.start <= *start && *end <= range.end).copied().collect();
        for range in within {
            if let Some(held) = held.remove(&range) {
                held.release(range);
            }
        }
        Ok(())
    }

    /// Whether a lock of `kind` could be taken. The locks of this handle do not count.
    pub(crate) fn is_free(&self, kind: LockKind, range: Range<u64>) -> io::Result<bool> {
        self.file()?;
        check(&range)?;
        Ok(self.find_conflict(kind, &range, false)?.is_none())
    }

    /// Locks the whole file exclusively, once it is free.
    pub(crate) fn lock_whole(&self) -> io::Result<()> {
        self.lock(LockKind::Exclusive, WHOLE)
    }

    /// Locks the whole file if that is possible at once. Returns `false` if not.
    pub(crate) fn try_lock_whole(&self, kind: LockKind) -> io::Result<bool> {
        self.try_lock(kind, WHOLE)
    }

    /// Frees the whole-file lock.
    pub(crate) fn unlock_whole(&self) -> io::Result<()> {
        self.unlock(WHOLE)
    }

    /// Shows handles that find this file by other names that it is in use.
    pub(crate) fn occupy(&self) -> io::Result<()> {
        flock::lock(self.file()?, LockKind::Shared)?;
        self.occupies.store(true, SeqCst);
        Ok(())
    }

    /// Does the same for a reader that has met `error` because it may not create a file in the folder. Any other
    /// error is returned.
    pub(crate) fn occupy_instead(&self, error: io::Error) -> io::Result<()> {
        match error.kind() {
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidFilename
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded => self.occupy(),
            _ => Err(error),
        }
    }

    /// Whether another handle occupies the file. If none does, and this one does, then this one has done so since
    /// before any other can have asked.
    pub(crate) fn is_occupied(&self) -> io::Result<bool> {
        let file = self.file()?;
        let is_alone = flock::try_lock(file, LockKind::Exclusive)?;
        match self.occupies.load(SeqCst) {
            // The attempt may have cost the lock.
            true => flock::lock(file, LockKind::Shared)?,
            false if is_alone => flock::unlock(file)?,
            false => {}
        }
        Ok(!is_alone)
    }

    /// Ends what [`Locks::occupy`] began.
    pub(crate) fn vacate(&self) -> io::Result<()> {
        self.occupies.store(false, SeqCst);
        flock::unlock(self.file()?)
    }

    fn is_held(&self, range: &Range<u64>) -> bool {
        self.held.lock().contains_key(&(range.start, range.end))
    }

    fn path_of(&self, range: &Range<u64>) -> PathBuf {
        self.folder.join(format!("{:x}-{:x}-{:x}", self.inode, range.start, range.end))
    }

    /// The ranges of this file that have files in the folder.
    fn ranges(&self) -> io::Result<Vec<Range<u64>>> {
        let names = names_in(&self.folder)?;
        let own = |(inode, range): (u64, Range<u64>)| (inode == self.inode).then_some(range);
        Ok(names.into_iter().filter_map(own).collect())
    }

    /// The file of a range that overlaps with `range`, is locked by another handle, and excludes a lock of `kind`.
    /// `is_taken`: this handle has just locked the range itself.
    fn find_conflict(
        &self,
        kind: LockKind,
        range: &Range<u64>,
        is_taken: bool,
    ) -> io::Result<Option<PathBuf>> {
        for found in self.ranges()? {
            let is_own = self.is_held(&found) || is_taken && found == *range;
            if is_own || found.end <= range.start || range.end <= found.start {
                continue;
            }
            let path = self.path_of(&found);
            if !is_file_free(&path, kind, found.start >= LASTING_BELOW)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Opens the file of a range, which is made if it is not there.
    fn open(&self, path: &Path) -> io::Result<LockDescription> {
        let mut tries = 0;
        loop {
            match open_existing(path) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::PermissionDenied && tries < OPEN_TRIES => {
                    // Its creator is about to give it its mode.
                    tries += 1;
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    continue;
                }
                Err(error) => return Err(error),
            }
            match LockDescription::new(|| create(path)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::NotFound => self.create_folder()?,
                other => return other,
            }
        }
    }

    /// Creates the folder, with the rights of the file that is locked. As with the lock file, only a process does so
    /// that may write the database, or whose user owns it.
    fn create_folder(&self) -> io::Result<()> {
        let rights = Rights::of(self.file()?)?;
        if !rights.is_own() && !may_write(&self.data_path) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let random = u64::from_le_bytes(random_bytes()?);
        let staged = with_suffix(&self.folder, &format!("-new-{random:016x}"));
        fs::DirBuilder::new().mode(0o700).create(&staged)?;
        let named =
            rights.give_to_folder(&File::open(&staged)?).and_then(|()| fs::rename(&staged, &self.folder));
        if let Err(error) = named {
            let _ = fs::remove_dir(&staged);
            // Another process may have made it meanwhile, and begun to use it.
            return if self.folder.is_dir() { Ok(()) } else { Err(error) };
        }
        Ok(())
    }

    /// Removes the folder if no handle uses it.
    fn clean_up(&self) -> io::Result<()> {
        // Those come first that others may have now: then the rest is left alone.
        let mut found = names_in(&self.folder)?;
        found.sort_by_key(|(_, range)| range.start < LASTING_BELOW);
        for (inode, range) in found {
            if inode == self.inode {
                if !is_file_free(&self.path_of(&range), LockKind::Exclusive, true)? {
                    return Ok(());
                }
            } else if range.start >= LASTING_BELOW {
                return Ok(());
            }
        }
        fs::remove_dir(&self.folder)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        if self.description.is_inherited() {
            return; // the names are its parent's
        }
        for (range, held) in std::mem::take(self.held.get_mut()) {
            held.release(range);
        }
        // What is left does no harm.
        let _ = self.clean_up();
    }
}

/// The names in the folder that are of locks: inode numbers and ranges. None if there is no folder.
fn names_in(folder: &Path) -> io::Result<Vec<(u64, Range<u64>)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().to_str().and_then(parse));
    }
    Ok(names)
}

fn parse(name: &str) -> Option<(u64, Range<u64>)> {
    let mut numbers = name.split('-').map(|number| u64::from_str_radix(number, 16));
    match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(inode)), Some(Ok(start)), Some(Ok(end)), None) => Some((inode, start..end)),
        _ => None,
    }
}

/// Whether a lock of `kind` could be taken on a file that may be there. If it was taken exclusively to find that out
/// and `removes`, the file's name is removed.
fn is_file_free(path: &Path, kind: LockKind, removes: bool) -> io::Result<bool> {
    let Some(lock) = open_existing(path)? else { return Ok(true) };
    if !flock::try_lock(lock.file()?, kind)? {
        return Ok(!has_name(&lock, path)?);
    }
    if removes && kind == LockKind::Exclusive && has_name(&lock, path)? {
        let _ = fs::remove_file(path);
    }
    Ok(true)
}

fn open_existing(path: &Path) -> io::Result<Option<LockDescription>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let open = || OpenOptions::new().read(true).custom_flags(flags).open(path);
    match LockDescription::new(open) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)?;
    if file.metadata()?.mode() & FILE_MODE != FILE_MODE {
        file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?; // the umask has taken bits
    }
    Ok(file)
}

/// Whether `path` is still the name of a file that has been opened by it.
fn has_name(lock: &LockDescription, path: &Path) -> io::Result<bool> {
    match status_at(path) {
        Ok(found) => Ok(found.identity == status_of(lock.file()?)?.identity),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn check(range: &Range<u64>) -> io::Result<()> {
    match range.start < range.end && range.end <= i64::MAX as u64 {
        true => Ok(()),
        false => Err(io::Error::new(ErrorKind::InvalidInput, format!("cannot lock bytes {range:?}"))),
    }
}
