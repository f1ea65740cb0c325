//! What a commit costs the disk: pages of a tree that copies on write, at their places, against the same commit at the
//! end of a redo log. The stores alone, without an engine: what a commit costs at least, and what a log inside of the
//! file could save, at most.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;
use rustix::fs::FallocateFlags;

use crate::figures::{Arm, Runner, Taken, Unit};
use crate::system::{Meter, PAGE};
use crate::work::make_file;

const BYTES: u64 = 192 << 20;
/// The file's parts, in pages: leaves, what is above them, the log. The first two pages are for records.
const LEAVES: u64 = 30_000;
const ABOVE: u64 = 9_000;
const LOG: u64 = 9_000;
const BARRIERS: usize = 100;
/// Pages of a large value, and bytes by which the file grows for such ones.
const VALUE: u64 = 138;
const GROWTH: u64 = 4 << 20;

/// What is stored before a barrier.
#[derive(Clone, Copy)]
enum Commit {
    /// So many commits of one put: a leaf and the three pages above it each, and one record.
    Pages(usize),
    /// The same, but the pages above one leaf lie right behind those above the one before.
    PagesInARow(usize),
    /// A commit of so many pages, at so many places that ascend, and one record.
    Scattered { pages: usize, places: usize },
    /// A commit of one large value: in room that is there, or behind all others in a file that grows for it.
    Value { is_new: bool },
    /// So many pages of a log, in a row.
    Log(u64),
}

const COMMITS: [(&str, Commit); 9] = [
    ("a commit of one put: 5 pages at 3 places", Commit::Pages(1)),
    ("the same in a log: 1 page", Commit::Log(1)),
    ("4 commits that share a barrier: 17 pages at 9 places", Commit::Pages(4)),
    ("the same, what is above the leaves in a row: 17 pages at 6 places", Commit::PagesInARow(4)),
    ("8 commits that share a barrier: 33 pages at 17 places", Commit::Pages(8)),
    (
        "a batch of 1000 entries in a large table: 1372 pages at 550 places",
        Commit::Scattered { pages: 1372, places: 550 },
    ),
    ("a value of 550 KiB in old room, and the pages above it", Commit::Value { is_new: false }),
    ("the same in a file that grows", Commit::Value { is_new: true }),
    ("a batch of 1000 entries in a log: 44 pages in a row", Commit::Log(44)),
];

pub fn run(runner: &mut Runner, folder: &Path) -> Result<()> {
    let path = make_file(folder, "log", BYTES)?;
    let file = OpenOptions::new().write(true).open(&path)?;
    let page = [7; PAGE];
    let above = [8; 3 * PAGE];
    let value = vec![9; VALUE as usize * PAGE];
    let arms = COMMITS.map(|(name, commit)| {
        let (file, value, mut random, mut end) = (&file, &value, fastrand::Rng::with_seed(1), 0);
        // Where the next new value goes, and where the file ends, in bytes.
        let (mut next, mut length) = (BYTES, BYTES);
        Arm::new(name, move |_| {
            let store = |number: u64, bytes: &[u8]| file.write_all_at(bytes, number * PAGE as u64);
            let meter = Meter::start()?;
            for _ in 0..BARRIERS {
                match commit {
                    Commit::Pages(commits) => {
                        for _ in 0..commits {
                            store(2 + random.u64(..LEAVES), &page)?;
                            store(2 + LEAVES + random.u64(..ABOVE), &above)?;
                        }
                        store(random.u64(..2), &page)?;
                    }
                    Commit::PagesInARow(commits) => {
                        let first = 2 + LEAVES + random.u64(..ABOVE - 3 * commits as u64);
                        for commit in 0..commits as u64 {
                            store(2 + random.u64(..LEAVES), &page)?;
                            store(first + 3 * commit, &above)?;
                        }
                        store(random.u64(..2), &page)?;
                    }
                    Commit::Scattered { pages, places } => {
                        let mut firsts: Vec<u64> =
                            (0..places).map(|_| 2 + random.u64(..LEAVES - 3)).collect();
                        firsts.sort_unstable();
                        for (place, first) in firsts.into_iter().enumerate() {
                            let count = pages * (place + 1) / places - pages * place / places;
                            store(first, &above[..count * PAGE])?;
                        }
                        store(random.u64(..2), &page)?;
                    }
                    Commit::Value { is_new } => {
                        if is_new {
                            if next + value.len() as u64 > length {
                                rustix::fs::fallocate(file, FallocateFlags::empty(), length, GROWTH)?;
                                length += GROWTH;
                            }
                            file.write_all_at(value, next)?;
                            next += value.len() as u64;
                        } else {
                            store(2 + random.u64(..LEAVES - VALUE), value)?;
                        }
                        store(2 + random.u64(..LEAVES), &page)?;
                        store(2 + LEAVES + random.u64(..ABOVE), &above)?;
                        store(random.u64(..2), &page)?;
                    }
                    Commit::Log(pages) => {
                        for _ in 0..pages {
                            store(2 + LEAVES + ABOVE + 2 + end % LOG, &page)?;
                            end += 1;
                        }
                    }
                }
                file.sync_data()?;
            }
            let taken = meter.stop(BARRIERS)?;
            Ok(Taken::default().with("time", Unit::Nanoseconds, taken.nanoseconds))
        })
    });
    runner.section("log", "Commits as pages and as a log: for each barrier", arms.into())?;
    drop(file);
    Ok(std::fs::remove_file(path)?)
}
