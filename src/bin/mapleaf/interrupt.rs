//! Ctrl-C: the process ends at once, as if it were killed. That loses nothing that was committed, and an open
//! transaction never happened. What takes more than that is a file that is being made: it is whole, or there is none.
//!
//! The handler runs in a thread of its own, beside the command, which goes on until the process ends. So:
//! - A file is made in a folder of its own, beside the place where it will be. The handler removes the folder; after
//!   that the command can create nothing in it.
//! - The file gets its name while its maker holds `WORKSHOP`'s lock, which the handler takes and keeps. So a file that
//!   was said not to be there does not come into being afterwards.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fs2::FileExt;

use crate::failure::{Failure, INTERRUPTED, REFUSED, file_failure};

/// The folder in which a file is being made.
static WORKSHOP: Mutex<Option<PathBuf>> = Mutex::new(None);
/// What is true if the command is interrupted now.
static EFFECT: Mutex<String> = Mutex::new(String::new());
/// Whether the command looks at `IS_ASKED_TO_STOP`, and ends by itself.
static STOPS_BY_ITSELF: AtomicBool = AtomicBool::new(false);
static IS_ASKED_TO_STOP: AtomicBool = AtomicBool::new(false);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn end_on_interrupt() {
    let set = ctrlc::set_handler(|| {
        // Who presses it twice does not want to wait.
        if STOPS_BY_ITSELF.load(SeqCst) && !IS_ASKED_TO_STOP.swap(true, SeqCst) {
            return;
        }
        let workshop = locked(&WORKSHOP);
        if let Some(folder) = &*workshop {
            remove_folder(folder);
        }
        eprintln!("mapleaf: interrupted{}", locked(&EFFECT));
        std::process::exit(INTERRUPTED);
    });
    // Without a handler the system does the same, but for the folder.
    drop(set);
}

/// Says what an interruption means from now on, for instance ": nothing was changed".
pub(crate) fn on_interrupt(effect: impl Into<String>) {
    *locked(&EFFECT) = effect.into();
}

/// From now on the first interruption only says, by [`is_asked_to_stop`], that the command is to end.
pub(crate) fn stop_by_itself() {
    STOPS_BY_ITSELF.store(true, SeqCst);
}

pub(crate) fn is_asked_to_stop() -> bool {
    IS_ASKED_TO_STOP.load(SeqCst)
}

/// Removes a folder into which somebody may be putting files.
fn remove_folder(folder: &Path) {
    while let Err(error) = fs::remove_dir_all(folder) {
        // A file has come since the folder was listed, or one has gone. Anything else does not get better.
        if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound)
            || !folder.exists()
        {
            return;
        }
    }
}

/// A folder in which a file is made. It is removed when this is dropped, when the command is interrupted, or, after a
/// process that was killed, by the next that makes the same file.
pub(crate) struct Workshop {
    folder: PathBuf,
    _lock: File,
}

impl Workshop {
    /// Opens the folder `PATH-making`. One at a time can have it open.
    pub(crate) fn open(path: &Path) -> Result<Workshop, Failure> {
        let mut folder = path.as_os_str().to_owned();
        folder.push("-making");
        let folder = PathBuf::from(folder);
        let failure = |action| file_failure(action, folder.display());
        let mut workshop = locked(&WORKSHOP);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(failure("create"))?,
        }
        let lock = File::open(&folder).map_err(failure("open"))?;
        lock.try_lock_exclusive().map_err(|_| Failure {
            code: REFUSED,
            message: format!("{} is being made by another process", path.display()),
        })?;
        for entry in fs::read_dir(&folder).map_err(failure("list"))? {
            let left = entry.and_then(|entry| fs::remove_file(entry.path()));
            left.map_err(failure("empty"))?;
        }
        *workshop = Some(folder.clone());
        Ok(Workshop { folder, _lock: lock })
    }

    /// A place in the folder.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Gives the file at `made`, which is whole and durable, its name, unless there is such a file by now.
    pub(crate) fn deliver(self, made: &Path, path: &Path) -> Result<(), Failure> {
        let workshop = locked(&WORKSHOP);
        let moved = match fs::hard_link(made, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Not every file system has links.
            Err(_) if !path.exists() => fs::rename(made, path),
            other => other,
        };
        moved.and_then(|()| sync_folder_of(path)).map_err(file_failure("create", path.display()))?;
        on_interrupt(format!("; {} is complete", path.display()));
        drop(workshop);
        Ok(())
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let mut workshop = locked(&WORKSHOP);
        remove_folder(&self.folder);
        *workshop = None;
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a new file: `make` at the place that it is told, which then becomes `path`. A file that is there is never
/// replaced.
pub(crate) fn making<T, E: Into<Failure>>(
    path: &Path,
    make: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, Failure> {
    if path.symlink_metadata().is_ok() {
        let message = format!("{} is there already: nothing was done", path.display());
        return Err(Failure { code: REFUSED, message });
    }
    let workshop = Workshop::open(path)?;
    let place = workshop.place("new");
    let made = make(&place).map_err(Into::into)?;
    workshop.deliver(&place, path)?;
    Ok(made)
}
