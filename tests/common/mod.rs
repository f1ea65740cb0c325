//! What several of the integration tests use.
#![allow(dead_code, reason = "each test binary uses some of this")]

#[cfg(target_os = "linux")]
pub(crate) mod block_log;
pub(crate) mod entries;
pub(crate) mod example;
pub(crate) mod format;
#[cfg(target_os = "linux")]
pub(crate) mod mounted;
#[cfg(target_os = "linux")]
pub(crate) mod process;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mapleaf::{Db, WriteMode};

pub(crate) const BOTH_MODES: [WriteMode; 2] = [WriteMode::Syscall, WriteMode::Mapped];

/// Every page is exactly one of reachable, retired and free, and all that is known of them is right.
#[track_caller]
pub(crate) fn assert_clean(db: &Db) {
    let report = db.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Whether the long form of the tests was asked for: `MAPLEAF_LONG=1 cargo test`.
pub(crate) fn is_long() -> bool {
    std::env::var_os("MAPLEAF_LONG").is_some()
}

/// The seeds to run: `MAPLEAF_SEED=N` replays one, otherwise `short` of them, or `long` with `MAPLEAF_LONG=1`.
pub(crate) fn seeds(short: u64, long: u64) -> Vec<u64> {
    match std::env::var("MAPLEAF_SEED") {
        Ok(seed) => vec![seed.parse().expect("MAPLEAF_SEED is a number")],
        Err(_) => (0..if is_long() { long } else { short }).collect(),
    }
}

/// If the thread panics while this lives, prints how to run the same thing again.
pub(crate) struct Replay {
    pub(crate) test: &'static str,
    pub(crate) seed: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to replay: MAPLEAF_SEED={} cargo test {}", self.seed, self.test);
        }
    }
}

/// Numbers that look random and depend on the seed only (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed ^ 0x6d61_706c_6561_6621)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// A folder that is gone with the test, and a file name in it.
pub(crate) fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.mapleaf");
    (folder, path)
}

/// This test binary, to be run again as another process: only the ignored test `test`, named by its module path and
/// name, which finds its task in the environment variable `MAPLEAF_CHILD`.
pub(crate) fn child(test: &str, task: impl AsRef<Path>) -> Command {
    let test = test.split_once("::").map_or(test, |(_crate, path)| path);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("MAPLEAF_CHILD", task.as_ref());
    command
}

/// The task of a child process; `None` if the test was not started by [`child`].
pub(crate) fn child_task() -> Option<PathBuf> {
    std::env::var_os("MAPLEAF_CHILD").map(PathBuf::from)
}

/// Runs a child to its end; it must end with success.
#[track_caller]
pub(crate) fn run_child(test: &str, task: impl AsRef<Path>) -> Output {
    let output = child(test, task).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "the child ended with {}\n{text}\n{errors}", output.status);
    print!("{text}");
    output
}
