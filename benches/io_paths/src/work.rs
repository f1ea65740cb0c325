//! The work that all arms do: files, places in them, and the digest that proves that they were read.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::system::PAGE;

/// The digest of a block, to which each of its words contributes.
pub fn digest(block: &[u8]) -> u64 {
    block.as_chunks::<8>().0.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

/// A file of so many bytes, each page other than the others.
pub fn make_file(folder: &Path, name: &str, bytes: u64) -> Result<PathBuf> {
    let path = folder.join(name);
    let mut file = File::create_new(&path)?;
    let mut random = fastrand::Rng::with_seed(bytes);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        random.fill(&mut piece);
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(path)
}

/// Where pages begin, in random order; the same for the same seed. A page may come more than once.
pub fn random_pages(file_bytes: u64, count: usize, seed: u64) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.u64(..file_bytes / PAGE as u64) * PAGE as u64).collect()
}

/// Pages that differ, spread over the whole file, in rising order.
pub fn spread_pages(file_bytes: u64, count: usize, seed: u64) -> Vec<u64> {
    let pages = file_bytes / PAGE as u64;
    let part = pages / count as u64;
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count as u64).map(|index| (index * part + random.u64(..part)) * PAGE as u64).collect()
}
