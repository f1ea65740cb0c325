//! Reading: random and in sequence, from a warm page cache and from a cold one.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use anyhow::Result;
use memmap2::Advice;
use rustix::fs::Advice as FileAdvice;

use crate::figures::{Arm, Runner, Taken, Unit};
use crate::ring::Ring;
use crate::system::{self, Meter, PAGE};
use crate::work::{digest, random_pages};

/// A file, and how much is read of it.
#[derive(Clone, Copy)]
pub struct Reads<'a> {
    pub file: &'a File,
    pub bytes: u64,
    pub lookups: usize,
    pub cold_lookups: usize,
    /// How much of the file is read in sequence from a cold cache.
    pub cold_bytes: u64,
}

const PIECE: usize = 64 << 10;
const DEPTH: usize = 32;

/// One way to read the pages that begin at these places.
type ReadPages<'a> = Box<dyn FnMut(&[u64]) -> Result<u64> + 'a>;

fn through_mapping<'a>(file: &'a File, advice: Option<Advice>) -> ReadPages<'a> {
    Box::new(move |offsets| {
        let mapping = system::map_advised(file, advice)?;
        Ok(sum_pages(&mapping, offsets))
    })
}

fn sum_pages(mapping: &[u8], offsets: &[u64]) -> u64 {
    offsets.iter().fold(0, |sum, &offset| sum.wrapping_add(digest(&mapping[offset as usize..][..PAGE])))
}

fn through_pread(file: &File) -> ReadPages<'_> {
    Box::new(move |offsets| {
        let (mut page, mut sum) = ([0; PAGE], 0u64);
        for &offset in offsets {
            file.read_exact_at(&mut page, offset)?;
            sum = sum.wrapping_add(digest(&page));
        }
        Ok(sum)
    })
}

fn through_buffered_read(file: &File) -> ReadPages<'_> {
    Box::new(move |offsets| {
        let (mut reader, mut page, mut sum) = (BufReader::new(file), [0; PAGE], 0u64);
        for &offset in offsets {
            reader.seek(SeekFrom::Start(offset))?;
            reader.read_exact(&mut page)?;
            sum = sum.wrapping_add(digest(&page));
        }
        Ok(sum)
    })
}

fn through_ring(file: &File, depth: usize) -> Result<ReadPages<'_>> {
    let mut ring = Ring::new(depth, PAGE)?;
    Ok(Box::new(move |offsets| {
        let mut sum = 0u64;
        ring.read(file, offsets, |page| sum = sum.wrapping_add(digest(page)))?;
        Ok(sum)
    }))
}

pub fn run(runner: &mut Runner, reads: Reads<'_>) -> Result<()> {
    system::bring_in(reads.file)?;
    random_warm(runner, reads)?;
    small_warm(runner, reads)?;
    random_cold(runner, reads)?;
    system::bring_in(reads.file)?;
    sequential_warm(runner, reads)?;
    sequential_cold(runner, reads)
}

/// The time of one of `count`, and the faults, which `names` says how to call.
fn taken(meter: Meter, count: usize, digest: u64) -> Result<Taken> {
    let taken = meter.stop(count)?;
    let result = Taken::of(digest).with("time", Unit::Nanoseconds, taken.nanoseconds);
    Ok(result.with("page faults", Unit::Count, taken.minor_faults + taken.major_faults))
}

fn random_warm(runner: &mut Runner, reads: Reads<'_>) -> Result<()> {
    let populated = system::map_populated(reads.file)?;
    let ways: Vec<(&str, ReadPages<'_>)> = vec![
        ("mapping, pages mapped before", Box::new(|offsets| Ok(sum_pages(&populated, offsets)))),
        ("mapping, new", through_mapping(reads.file, None)),
        ("`pread`", through_pread(reads.file)),
        ("seek and buffered `read`", through_buffered_read(reads.file)),
        ("io_uring, one at a time", through_ring(reads.file, 1)?),
        ("io_uring, 32 at a time", through_ring(reads.file, DEPTH)?),
    ];
    let arms = ways.into_iter().map(|(name, mut read)| {
        Arm::new(name, move |round| {
            let offsets = random_pages(reads.bytes, reads.lookups, round as u64);
            let meter = Meter::start()?;
            let digest = read(&offsets)?;
            taken(meter, offsets.len(), digest)
        })
    });
    let title = "Reading 4 KiB at random places, every byte, page cache warm: for each read";
    runner.section("random-warm", title, arms.collect())
}

/// What a lookup in an index does: some bytes here, some bytes there.
fn small_warm(runner: &mut Runner, reads: Reads<'_>) -> Result<()> {
    const LENGTH: usize = 64;
    let populated = system::map_populated(reads.file)?;
    let ways: Vec<(&str, ReadPages<'_>)> = vec![
        (
            "mapping, pages mapped before",
            Box::new(|offsets| {
                let pieces = offsets.iter().map(|&offset| digest(&populated[offset as usize..][..LENGTH]));
                Ok(pieces.fold(0, u64::wrapping_add))
            }),
        ),
        (
            "`pread`",
            Box::new(|offsets| {
                let (mut piece, mut sum) = ([0; LENGTH], 0u64);
                for &offset in offsets {
                    reads.file.read_exact_at(&mut piece, offset)?;
                    sum = sum.wrapping_add(digest(&piece));
                }
                Ok(sum)
            }),
        ),
    ];
    let arms = ways.into_iter().map(|(name, mut read)| {
        Arm::new(name, move |round| {
            let offsets = random_pages(reads.bytes, reads.lookups, round as u64);
            let meter = Meter::start()?;
            let digest = read(&offsets)?;
            taken(meter, offsets.len(), digest)
        })
    });
    runner.section(
        "small-warm",
        "Reading 64 bytes at random places, page cache warm: for each read",
        arms.collect(),
    )
}

fn random_cold(runner: &mut Runner, reads: Reads<'_>) -> Result<()> {
    let file = reads.file;
    let ways: Vec<(&str, FileAdvice, ReadPages<'_>)> = vec![
        ("mapping, no advice", FileAdvice::Normal, through_mapping(file, None)),
        ("mapping, `MADV_RANDOM`", FileAdvice::Normal, through_mapping(file, Some(Advice::Random))),
        ("`pread`, no advice", FileAdvice::Normal, through_pread(file)),
        ("`pread`, `FADV_RANDOM`", FileAdvice::Random, through_pread(file)),
        ("io_uring, 32 at a time, `FADV_RANDOM`", FileAdvice::Random, through_ring(file, DEPTH)?),
    ];
    let arms = ways.into_iter().map(|(name, advice, mut read)| {
        Arm::new(name, move |round| {
            system::evict(file)?;
            system::advise_file(file, advice)?;
            let offsets = random_pages(reads.bytes, reads.cold_lookups, 1000 + round as u64);
            let meter = Meter::start()?;
            let digest = read(&offsets)?;
            let taken = meter.stop(offsets.len())?;
            system::advise_file(file, FileAdvice::Normal)?;
            let result = Taken::of(digest).with("time", Unit::Nanoseconds, taken.nanoseconds);
            let result = result.with("faults that wait for the disk", Unit::Count, taken.major_faults);
            Ok(result.with("read from the device", Unit::Bytes, taken.read))
        })
    });
    runner.section(
        "random-cold",
        "Reading 4 KiB at random places, page cache cold: for each read",
        arms.collect(),
    )
}

/// One way to read the first bytes of the file, so many of them.
type ReadThrough<'a> = Box<dyn FnMut(u64) -> Result<u64> + 'a>;

fn through<'a>(
    file: &'a File,
    mut prepare: impl FnMut(&memmap2::Mmap) -> Result<()> + 'a,
) -> ReadThrough<'a> {
    Box::new(move |bytes| {
        let mapping = system::map(file)?;
        prepare(&mapping)?;
        Ok(digest(&mapping[..bytes as usize]))
    })
}

fn pieces(file: &File) -> ReadThrough<'_> {
    Box::new(move |bytes| {
        let (mut piece, mut sum) = (vec![0; PIECE], 0u64);
        for offset in (0..bytes).step_by(PIECE) {
            file.read_exact_at(&mut piece, offset)?;
            sum = sum.wrapping_add(digest(&piece));
        }
        Ok(sum)
    })
}

fn buffered_pages(file: &File) -> ReadThrough<'_> {
    Box::new(move |bytes| {
        let (mut reader, mut page, mut sum) = (BufReader::new(file), [0; PAGE], 0u64);
        reader.seek(SeekFrom::Start(0))?;
        for _ in 0..bytes / PAGE as u64 {
            reader.read_exact(&mut page)?;
            sum = sum.wrapping_add(digest(&page));
        }
        Ok(sum)
    })
}

fn ring_pieces(file: &File) -> Result<ReadThrough<'_>> {
    let mut ring = Ring::new(8, PIECE)?;
    Ok(Box::new(move |bytes| {
        let offsets: Vec<u64> = (0..bytes).step_by(PIECE).collect();
        let mut sum = 0u64;
        ring.read(file, &offsets, |piece| sum = sum.wrapping_add(digest(piece)))?;
        Ok(sum)
    }))
}

fn sequential_warm(runner: &mut Runner, reads: Reads<'_>) -> Result<()> {
    let file = reads.file;
    let populated = system::map_populated(file)?;
    let ways: Vec<(&str, ReadThrough<'_>)> = vec![
        ("mapping, pages mapped before", Box::new(|bytes| Ok(digest(&populated[..bytes as usize])))),
        ("mapping, new", through(file, |_| Ok(()))),
        ("mapping, new, `MADV_POPULATE_READ`", through(file, |map| Ok(map.advise(Advice::PopulateRead)?))),
        ("`pread`, 64 KiB", pieces(file)),
        ("buffered `read`, 8 KiB", buffered_pages(file)),
        ("io_uring, 8 times 64 KiB", ring_pieces(file)?),
    ];
    let arms = ways.into_iter().map(|(name, mut read)| {
        Arm::new(name, move |_| {
            let meter = Meter::start()?;
            let digest = read(reads.bytes)?;
            taken(meter, reads.bytes as usize / PAGE, digest)
        })
    });
    let title = "Reading the whole file, every byte, page cache warm: for each 4 KiB";
    runner.section("sequential-warm", title, arms.collect())
}

fn sequential_cold(runner: &mut Runner, reads: Reads<'_>) -> Result<()> {
    let file = reads.file;
    let advised = |advice| through(file, move |map| Ok(map.advise(advice)?));
    let part = reads.cold_bytes as usize;
    let ways: Vec<(&str, ReadThrough<'_>)> = vec![
        ("mapping, no advice", through(file, |_| Ok(()))),
        ("mapping, `MADV_SEQUENTIAL`", advised(Advice::Sequential)),
        ("mapping, `MADV_RANDOM`", advised(Advice::Random)),
        (
            "mapping, `MADV_POPULATE_READ`",
            through(file, move |map| Ok(map.advise_range(Advice::PopulateRead, 0, part)?)),
        ),
        ("`pread`, 64 KiB", pieces(file)),
        ("io_uring, 8 times 64 KiB", ring_pieces(file)?),
    ];
    let arms = ways.into_iter().map(|(name, mut read)| {
        Arm::new(name, move |_| {
            system::evict(file)?;
            let meter = Meter::start()?;
            let digest = read(reads.cold_bytes)?;
            let taken = meter.stop(part / PAGE)?;
            let result = Taken::of(digest).with("time", Unit::Nanoseconds, taken.nanoseconds);
            let result = result.with("faults that wait for the disk", Unit::Count, taken.major_faults);
            Ok(result.with("read from the device", Unit::Bytes, taken.read))
        })
    });
    runner.section("sequential-cold", "Reading in sequence, page cache cold: for each 4 KiB", arms.collect())
}
