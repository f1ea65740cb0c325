//! Ctrl-C: the process ends at once, as if it were killed. That loses nothing that was committed, and an open
//! transaction never happened. What has been begun under another name is removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::failure::INTERRUPTED;

/// Files that are being made.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// What is true if the command is interrupted now.
static EFFECT: Mutex<&str> = Mutex::new("");

pub(crate) fn end_on_interrupt() {
    let set = ctrlc::set_handler(|| {
        let files = UNFINISHED.lock().map(|mut files| std::mem::take(&mut *files)).unwrap_or_default();
        for path in files {
            let _ = fs::remove_file(path);
        }
        let effect = EFFECT.lock().map_or("", |effect| *effect);
        eprintln!("mapleaf: interrupted{effect}");
        std::process::exit(INTERRUPTED);
    });
    // Without a handler the system does the same, but for the files.
    drop(set);
}

/// Says what an interruption means from now on, for instance ": nothing was changed".
pub(crate) fn on_interrupt(effect: &'static str) {
    if let Ok(mut place) = EFFECT.lock() {
        *place = effect;
    }
}

/// Runs `make`, which makes a file at `path` under the name with one of the `suffixes`.
pub(crate) fn making<T>(path: &Path, suffixes: &[&str], make: impl FnOnce() -> T) -> T {
    let names = suffixes.iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    });
    // What is there already is not this command's: it will be told so.
    let names: Vec<PathBuf> = names.filter(|name| !name.exists()).collect();
    if let Ok(mut files) = UNFINISHED.lock() {
        files.extend(names);
    }
    let made = make();
    if let Ok(mut files) = UNFINISHED.lock() {
        files.clear();
    }
    made
}
