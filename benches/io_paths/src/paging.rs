//! Demand paging, pre-population, and the processor's address cache.

use std::fs::File;

use anyhow::Result;
use memmap2::{Advice, Mmap, MmapMut};

use crate::figures::{Arm, Runner, Taken, Unit};
use crate::system::{self, Meter, PAGE};
use crate::work::spread_pages;

pub fn run(runner: &mut Runner, file: &File, bytes: u64) -> Result<()> {
    on_demand(runner, file, bytes)?;
    system::bring_in_pages(file)?;
    population(runner, file, bytes, "small")?;
    system::bring_in(file)?;
    population(runner, file, bytes, "large")?;
    address_cache(runner, file, bytes)
}

/// A byte of each of these pages.
fn touch(mapping: &[u8], pages: &[u64]) -> u64 {
    pages.iter().fold(0, |sum, &offset| sum.wrapping_add(u64::from(mapping[offset as usize])))
}

/// How much comes into memory when one page in a hundred is touched.
fn on_demand(runner: &mut Runner, file: &File, bytes: u64) -> Result<()> {
    let advices = [
        ("no advice", None),
        ("`MADV_RANDOM`", Some(Advice::Random)),
        ("`MADV_SEQUENTIAL`", Some(Advice::Sequential)),
    ];
    let mut arms: Vec<Arm<'_>> = Vec::new();
    for is_warm in [false, true] {
        for (name, advice) in advices {
            let cache = if is_warm { "warm" } else { "cold" };
            arms.push(Arm::new(format!("page cache {cache}, {name}"), move |round| {
                if is_warm {
                    system::bring_in(file)?;
                } else {
                    system::evict(file)?;
                }
                let pages = spread_pages(bytes, bytes as usize / PAGE / 100, round as u64);
                let mapping = system::map_advised(file, advice)?;
                let sum = touch(&mapping, &pages);
                let result = Taken::of(sum).with("touched", Unit::Bytes, (pages.len() * PAGE) as f64);
                let result =
                    result.with("mapped afterwards", Unit::Bytes, system::mapped_bytes(&mapping)? as f64);
                Ok(result.with(
                    "in the page cache afterwards",
                    Unit::Bytes,
                    system::cached_bytes(&mapping)? as f64,
                ))
            }));
        }
    }
    runner.section("on-demand", "What is in memory after one page in a hundred has been touched", arms)
}

/// What it costs to have all pages of a cached file mapped. `folios` says how it is cached.
fn population(runner: &mut Runner, file: &File, bytes: u64, folios: &str) -> Result<()> {
    let every: Vec<u64> = (0..bytes).step_by(PAGE).collect();
    let every = &every;
    let advised = |advice: Option<Advice>| {
        move || -> Result<Mmap> {
            let mapping = system::map_advised(file, advice)?;
            Ok(mapping)
        }
    };
    type Map<'a> = Box<dyn Fn() -> Result<Mmap> + 'a>;
    let ways: Vec<(&str, Map<'_>)> = vec![
        ("nothing: each page is touched in turn", Box::new(advised(None))),
        ("`MADV_RANDOM`", Box::new(advised(Some(Advice::Random)))),
        ("`MADV_HUGEPAGE`", Box::new(advised(Some(Advice::HugePage)))),
        ("`MADV_POPULATE_READ`", Box::new(advised(Some(Advice::PopulateRead)))),
        ("`MAP_POPULATE`", Box::new(|| system::map_populated(file))),
    ];
    let arms = ways.into_iter().map(|(name, map)| {
        Arm::new(name, move |_| {
            let meter = Meter::start()?;
            let mapping = map()?;
            let sum = touch(&mapping, every);
            let taken = meter.stop(every.len())?;
            let meter = Meter::start()?;
            drop(mapping);
            let unmapping = meter.stop(every.len())?.nanoseconds;
            let result = Taken::of(sum).with("time", Unit::Nanoseconds, taken.nanoseconds);
            let result = result.with("page faults", Unit::Count, taken.minor_faults + taken.major_faults);
            Ok(result.with("unmapping", Unit::Nanoseconds, unmapping))
        })
    });
    let title = format!(
        "Mapping a file that is cached in {folios} folios, and touching every page once: for each page"
    );
    runner.section(&format!("population-{folios}"), &title, arms.collect())
}

/// Dependent reads of 8 bytes all over the same data, in a mapping of the file and in memory of the process.
fn address_cache(runner: &mut Runner, file: &File, bytes: u64) -> Result<()> {
    const ACCESSES: usize = 1_000_000;
    let mapping = system::map_populated(file)?;
    let huge_mapping = system::map_advised(file, Some(Advice::HugePage))?;
    touch(&huge_mapping, &(0..bytes).step_by(PAGE).collect::<Vec<u64>>());
    let copy = |advice| -> Result<MmapMut> {
        let mut memory = MmapMut::map_anon(bytes as usize)?;
        memory.advise(advice)?;
        memory.copy_from_slice(&mapping);
        Ok(memory)
    };
    let (small, huge) = (copy(Advice::NoHugePage)?, copy(Advice::HugePage)?);
    let ways: [(&str, &[u8]); 4] = [
        ("mapping of the file", &mapping),
        ("mapping of the file, `MADV_HUGEPAGE`", &huge_mapping),
        ("memory of the process, pages of 4 KiB", &small),
        ("memory of the process, huge pages", &huge),
    ];
    let arms = ways.into_iter().map(|(name, data)| {
        Arm::new(name, move |round| {
            let meter = Meter::start()?;
            let mut position = round as u64;
            for _ in 0..ACCESSES {
                // The next place depends on what is read here, so that reads cannot overlap.
                let offset = ((position.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16) % bytes) & !7;
                let word =
                    data[offset as usize..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
                position = position.wrapping_add(word | 1);
            }
            let taken = meter.stop(ACCESSES)?;
            Ok(Taken::of(position).with("time", Unit::Nanoseconds, taken.nanoseconds))
        })
    });
    let title = "Reading 8 bytes at a random place that depends on the last, all pages mapped: for each read";
    runner.section("address-cache", title, arms.collect())
}
