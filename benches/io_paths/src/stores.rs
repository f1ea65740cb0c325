//! Writing pages that are there: through a writable mapping, and with system calls; with the file in small folios in
//! the page cache and in large ones.

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use memmap2::{MmapOptions, MmapRaw};
use rustix::io::pwritev;

use crate::figures::{Arm, Runner, Taken, Unit};
use crate::system::{self, Meter, PAGE};
use crate::work::{make_file, spread_pages};

const BYTES: u64 = 64 << 20;

/// In what pieces the page cache has the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folios {
    Small,
    Large,
}

impl Folios {
    fn name(self) -> &'static str {
        match self {
            Folios::Small => "small folios",
            Folios::Large => "large folios",
        }
    }

    fn bring_in(self, file: &File) -> Result<()> {
        match self {
            Folios::Small => system::bring_in_pages(file),
            Folios::Large => system::bring_in(file),
        }
    }
}

/// Which pages are written.
#[derive(Clone, Copy)]
struct Pattern {
    name: &'static str,
    title: &'static str,
    count: usize,
    is_one_run: bool,
}

const PATTERNS: [Pattern; 3] = [
    Pattern { name: "8", title: "8 scattered pages", count: 8, is_one_run: false },
    Pattern { name: "1000", title: "1000 scattered pages", count: 1000, is_one_run: false },
    Pattern { name: "run", title: "1000 pages in one run", count: 1000, is_one_run: true },
];

impl Pattern {
    fn pages(self, round: usize) -> Vec<u64> {
        if self.is_one_run {
            let first = (round as u64 * 1013 % (BYTES / PAGE as u64 - self.count as u64)) * PAGE as u64;
            return (0..self.count as u64).map(|index| first + index * PAGE as u64).collect();
        }
        spread_pages(BYTES, self.count, round as u64)
    }
}

#[derive(Clone, Copy)]
enum Way {
    Mapping,
    Single,
    SingleAndMsync,
    Runs,
}

impl Way {
    const ALL: [Way; 4] = [Way::Mapping, Way::Single, Way::SingleAndMsync, Way::Runs];

    fn name(self) -> &'static str {
        match self {
            Way::Mapping => "stores through a mapping, `msync`",
            Way::Single => "`pwrite` of each page, `fdatasync`",
            Way::SingleAndMsync => "`pwrite` of each page, `msync`",
            Way::Runs => "`pwritev` of whole runs, `fdatasync`",
        }
    }
}

pub fn run(runner: &mut Runner, folder: &Path) -> Result<()> {
    let path = make_file(folder, "stores", BYTES)?;
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    for folios in [Folios::Small, Folios::Large] {
        folios.bring_in(&file)?;
        if let Some(share) = system::share_in_large_folios(&file) {
            let share = share * 100.0;
            runner.facts.push(format!(
                "For *{}*, {share:.0} % of the file's pages were in large ones.",
                folios.name()
            ));
        }
    }
    for pattern in PATTERNS {
        for folios in [Folios::Small, Folios::Large] {
            let file = &file;
            let ways = Way::ALL.into_iter().filter(|way| pattern.is_one_run || !matches!(way, Way::Runs));
            let arms =
                ways.map(|way| Arm::new(way.name(), move |round| once(file, pattern, folios, way, round)));
            let name =
                format!("stores-{}-{}", pattern.name, folios.name().split(' ').next().unwrap_or_default());
            let title = format!("Writing {}, {}: for each page", pattern.title, folios.name());
            runner.section(&name, &title, arms.collect())?;
        }
    }
    drop(file);
    Ok(std::fs::remove_file(path)?)
}

/// Stores the pages and makes them durable.
fn once(file: &File, pattern: Pattern, folios: Folios, way: Way, round: usize) -> Result<Taken> {
    folios.bring_in(file)?;
    let pages = pattern.pages(round);
    let page = [round as u8 ^ 0x5A; PAGE];
    // Of a mapping of its own, as a program has it: nothing is mapped in the page table when it begins.
    let mapping: MmapRaw = MmapOptions::new().map_raw(file)?;
    let on_device = system::device_bytes_written(file)?;
    let meter = Meter::start()?;
    let start = Instant::now();
    match way {
        Way::Mapping => pages.iter().for_each(|&offset| system::store(&mapping, offset as usize, &page)),
        Way::Single | Way::SingleAndMsync => {
            pages.iter().try_for_each(|&offset| file.write_all_at(&page, offset))?;
        }
        Way::Runs => write_run(file, pages[0], pages.len(), &page)?,
    }
    let storing = start.elapsed().as_nanos() as f64 / pages.len() as f64;
    match way {
        Way::Mapping | Way::SingleAndMsync => mapping.flush()?,
        Way::Single | Way::Runs => file.sync_data()?,
    }
    let taken = meter.stop(pages.len())?;
    let on_device = (system::device_bytes_written(file)? - on_device) as f64 / pages.len() as f64;
    let result = Taken::default().with("time", Unit::Nanoseconds, taken.nanoseconds);
    let result = result.with("of it storing", Unit::Nanoseconds, storing);
    let result = result.with("made dirty", Unit::Bytes, taken.dirtied);
    Ok(result.with("written to the device", Unit::Bytes, on_device))
}

/// Writes the same page so many times, one after the other, in as few calls as the system allows.
fn write_run(file: &File, mut offset: u64, count: usize, page: &[u8; PAGE]) -> Result<()> {
    const AT_ONCE: usize = 1024;
    let slices = vec![IoSlice::new(page); count];
    for slices in slices.chunks(AT_ONCE) {
        let written = pwritev(file, slices, offset)?;
        ensure!(written == slices.len() * PAGE, "only {written} bytes were written");
        offset += written as u64;
    }
    Ok(())
}
