//! The floor of a commit of one put: the system calls that it cannot do without, and nothing else. What an engine
//! adds is its own work.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};
use memmap2::MmapOptions;
use rustix::fs::{AtFlags, CWD, FlockOperation, StatxFlags, flock, statx};

use crate::figures::{Arm, Runner, Taken, Unit};
use crate::system::{Meter, PAGE};

const BYTES: u64 = 192 << 20;
const PIECE: u64 = 128 << 10;
/// Leaves lie behind the pages for records, anywhere; behind them what is above a leaf, for one commit after the other.
const LEAVES: u64 = 30_000;
const ABOVE: u64 = 3_000;

/// What a commit does besides storing a leaf, and in one piece the three pages above it.
#[derive(Clone, Copy)]
struct Commit {
    /// Locks the file before and unlocks it after, and asks whether its name still leads to it, with this mask.
    turn: Option<StatxFlags>,
    /// Stores a record, and has a barrier.
    is_durable: bool,
    count: usize,
}

pub fn run(runner: &mut Runner, folder: &Path) -> Result<()> {
    let path = folder.join("commit");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    // In pieces as mapleaf stores: larger ones make larger folios, and each later store walks the blocks of its folio.
    for piece in 0..BYTES / PIECE {
        file.write_all_at(&[5; PIECE as usize], piece * PIECE)?;
    }
    file.sync_all()?;
    let mapping = MmapOptions::new().map_raw_read_only(&file)?;
    let length = StatxFlags::INO | StatxFlags::SIZE;
    let commits = [
        ("4 pages stored at 2 places", Commit { turn: None, is_durable: false, count: 5000 }),
        (
            "and a turn: lock, look at the name, unlock",
            Commit { turn: Some(length), is_durable: false, count: 5000 },
        ),
        ("and a record and its barrier", Commit { turn: Some(length), is_durable: true, count: 200 }),
        (
            "the same, asking for the file's times too",
            Commit { turn: Some(StatxFlags::BASIC_STATS), is_durable: true, count: 200 },
        ),
    ];
    let (page, above) = ([7; PAGE], [8; 3 * PAGE]);
    let arms = commits.map(|(name, commit)| {
        let (file, path, mapping) = (&file, &path, &mapping);
        let mut random = fastrand::Rng::with_seed(1);
        Arm::new(name, move |_| {
            let store = |number: u64, bytes: &[u8]| file.write_all_at(bytes, number * PAGE as u64);
            let meter = Meter::start()?;
            for turn in 0..commit.count as u64 {
                if let Some(mask) = commit.turn {
                    flock(file, FlockOperation::NonBlockingLockExclusive)?;
                    ensure!(
                        statx(CWD, path, AtFlags::empty(), mask)?.stx_size == BYTES,
                        "somebody has cut it"
                    );
                }
                store(2 + random.u64(..LEAVES), &page)?;
                store(2 + LEAVES + 3 * (turn % ABOVE), &above)?;
                if commit.turn.is_some() {
                    flock(file, FlockOperation::Unlock)?;
                }
                if commit.is_durable {
                    store(turn % 2, &page[..PAGE / 2])?;
                    mapping.flush_range(0, BYTES as usize)?;
                }
            }
            let taken = meter.stop(commit.count)?;
            file.sync_data()?;
            Ok(Taken::default().with("time", Unit::Nanoseconds, taken.nanoseconds))
        })
    });
    runner.section("commit", "The floor of a commit of one put: for each commit", arms.into())?;
    drop((mapping, file));
    Ok(std::fs::remove_file(path)?)
}
