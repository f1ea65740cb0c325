//! What is asked of the system: counters, the page cache, and what is in memory.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use memmap2::{Advice, Mmap, MmapOptions, MmapRaw};
use procfs::process::Process;
use rustix::fs::{Advice as FileAdvice, fadvise};

pub const PAGE: usize = 4096;

/// What this process has taken, from one moment to another.
#[derive(Clone, Copy, Default)]
pub struct Taken {
    pub nanoseconds: f64,
    /// Page faults that no disk was needed for, and those that waited for it.
    pub minor_faults: f64,
    pub major_faults: f64,
    /// Bytes that the device was read for, and that have been made dirty and so have to be written.
    pub read: f64,
    pub dirtied: f64,
}

pub struct Meter {
    process: Process,
    before: Taken,
    start: Instant,
}

impl Meter {
    pub fn start() -> Result<Meter> {
        let process = Process::myself()?;
        let before = counters(&process)?;
        Ok(Meter { process, before, start: Instant::now() })
    }

    /// Since the start, for each of `units`.
    pub fn stop(self, units: usize) -> Result<Taken> {
        let nanoseconds = self.start.elapsed().as_nanos() as f64;
        let (after, before, units) = (counters(&self.process)?, self.before, units as f64);
        Ok(Taken {
            nanoseconds: nanoseconds / units,
            minor_faults: (after.minor_faults - before.minor_faults) / units,
            major_faults: (after.major_faults - before.major_faults) / units,
            read: (after.read - before.read) / units,
            dirtied: (after.dirtied - before.dirtied) / units,
        })
    }
}

fn counters(process: &Process) -> Result<Taken> {
    let (faults, io) = (process.stat()?, process.io()?);
    Ok(Taken {
        nanoseconds: 0.0,
        minor_faults: faults.minflt as f64,
        major_faults: faults.majflt as f64,
        read: io.read_bytes as f64,
        dirtied: io.write_bytes as f64,
    })
}

/// Bytes that the device of `file` has been written, by anybody.
pub fn device_bytes_written(file: &File) -> Result<u64> {
    let device = rustix::fs::fstat(file)?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let counts = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"))?;
    let sectors: u64 =
        counts.split_whitespace().nth(6).context("the device does not say what it wrote")?.parse()?;
    Ok(sectors * 512)
}

pub fn evict(file: &File) -> Result<()> {
    file.sync_all()?;
    Ok(fadvise(file, 0, None, FileAdvice::DontNeed)?)
}

/// Reads the whole file into the page cache anew, in sequence, so that it lies there as after most programs: in large
/// pieces.
pub fn bring_in(file: &File) -> Result<()> {
    read_in(file, FileAdvice::Sequential, 4 << 20)
}

/// The same page by page, with nothing read ahead, so that each page lies there for itself.
pub fn bring_in_pages(file: &File) -> Result<()> {
    read_in(file, FileAdvice::Random, PAGE)
}

fn read_in(file: &File, advice: FileAdvice, length: usize) -> Result<()> {
    evict(file)?;
    advise_file(file, advice)?;
    let mut piece = vec![0; length];
    let mut offset = 0;
    loop {
        match file.read_at(&mut piece, offset)? {
            0 => return advise_file(file, FileAdvice::Normal),
            count => offset += count as u64,
        }
    }
}

pub fn advise_file(file: &File, advice: FileAdvice) -> Result<()> {
    Ok(fadvise(file.as_fd(), 0, None, advice)?)
}

/// A mapping for reading.
pub fn map(file: &File) -> Result<Mmap> {
    // SAFETY: the file was made by this program in a folder of its own, and nobody changes it while it is mapped.
    Ok(unsafe { Mmap::map(file)? })
}

/// The same, all pages mapped at once.
pub fn map_populated(file: &File) -> Result<Mmap> {
    // SAFETY: as in `map`.
    Ok(unsafe { MmapOptions::new().populate().map(file)? })
}

/// A mapping for reading, with advice.
pub fn map_advised(file: &File, advice: Option<Advice>) -> Result<Mmap> {
    let mapping = map(file)?;
    if let Some(advice) = advice {
        mapping.advise(advice)?;
    }
    Ok(mapping)
}

/// Stores `bytes` at `offset` through a writable mapping.
pub fn store(mapping: &MmapRaw, offset: usize, bytes: &[u8]) {
    assert!(offset + bytes.len() <= mapping.len());
    // SAFETY: the range is inside the mapping, which is writable; nobody else uses the file.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), mapping.as_mut_ptr().add(offset), bytes.len()) };
}

/// Bytes of the mapped file that are in the page cache.
pub fn cached_bytes(mapping: &Mmap) -> Result<u64> {
    let mut pages = vec![0u8; mapping.len().div_ceil(PAGE)];
    // SAFETY: the range is a mapping, and there is a byte in the vector for each of its pages.
    let result =
        unsafe { libc::mincore(mapping.as_ptr().cast_mut().cast(), mapping.len(), pages.as_mut_ptr()) };
    ensure!(result == 0, "mincore: {}", io::Error::last_os_error());
    Ok(pages.iter().filter(|&&page| page & 1 == 1).count() as u64 * PAGE as u64)
}

/// Bytes of the mapping that this process has page-table entries for.
pub fn mapped_bytes(mapping: &Mmap) -> Result<u64> {
    let address = mapping.as_ptr() as u64;
    let maps = Process::myself()?.smaps()?;
    let map = maps.iter().find(|map| (map.address.0..map.address.1).contains(&address));
    let resident = map.and_then(|map| map.extension.map.get("Rss").copied());
    resident.context("the mapping is not in smaps")
}

/// The share of the pages of `file` that the page cache has in large folios; `None` without the rights to know.
pub fn share_in_large_folios(file: &File) -> Option<f64> {
    const COMPOUND: u64 = 1 << 15 | 1 << 16;
    const PRESENT: u64 = 1 << 63;
    let mapping = map_populated(file).ok()?;
    let (first, count) = (mapping.as_ptr() as u64 / PAGE as u64, mapping.len() / PAGE);
    let frames = read_words(Path::new("/proc/self/pagemap"), first, count)?;
    let flags = File::open("/proc/kpageflags").ok()?;
    let mut large = 0;
    for frame in &frames {
        let number = frame & ((1 << 55) - 1);
        if frame & PRESENT == 0 || number == 0 {
            return None;
        }
        large += u64::from(word_at(&flags, number)? & COMPOUND != 0);
    }
    Some(large as f64 / count as f64)
}

fn read_words(file: &Path, first: u64, count: usize) -> Option<Vec<u64>> {
    let file = File::open(file).ok()?;
    (0..count as u64).map(|index| word_at(&file, first + index)).collect()
}

fn word_at(file: &File, index: u64) -> Option<u64> {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, index * 8).ok()?;
    Some(u64::from_ne_bytes(word))
}
