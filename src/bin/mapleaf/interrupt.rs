//! Ctrl-C: the process ends at once, as if it were killed. That loses nothing that was committed, and an open
//! transaction never happened. Only a file that is being created needs more: its [staging](crate::staging) folder is
//! removed first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::outcome::INTERRUPTED;

/// The folder that an interruption removes. The handler takes this lock and keeps it until the process has ended.
static REMOVAL: Mutex<Option<PathBuf>> = Mutex::new(None);
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
        // The second Ctrl-C does not wait for the command to end by itself.
        if STOPS_BY_ITSELF.load(SeqCst) && !IS_ASKED_TO_STOP.swap(true, SeqCst) {
            return;
        }
        let removal = lock_removal();
        if let Some(folder) = &*removal {
            remove_folder(folder);
        }
        eprintln!("mapleaf: interrupted{}", locked(&EFFECT));
        std::process::exit(INTERRUPTED);
    });
    // Without a handler the system ends the process too, and only the folder stays.
    drop(set);
}

/// Sets what an interruption means from now on, for instance ": nothing was changed".
pub(crate) fn on_interrupt(effect: impl Into<String>) {
    *locked(&EFFECT) = effect.into();
}

/// From now on the first interruption only makes [`is_asked_to_stop`] true, and the command ends by itself.
pub(crate) fn stop_by_itself() {
    STOPS_BY_ITSELF.store(true, SeqCst);
}

pub(crate) fn is_asked_to_stop() -> bool {
    IS_ASKED_TO_STOP.load(SeqCst)
}

/// The folder that an interruption removes. No interruption ends the process while the guard lives.
pub(crate) fn lock_removal() -> MutexGuard<'static, Option<PathBuf>> {
    locked(&REMOVAL)
}

/// Removes a folder into which another thread may be putting files.
pub(crate) fn remove_folder(folder: &Path) {
    while let Err(error) = fs::remove_dir_all(folder) {
        // A file was created or removed after the folder was listed. Other errors do not go away.
        if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound)
            || !folder.exists()
        {
            return;
        }
    }
}
