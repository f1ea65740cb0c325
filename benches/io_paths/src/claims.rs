//! What is usually said of `mmap`, each with the figures that support or refute it.

use comfy_table::{Table, presets};

use crate::figures::{Measure, Report};

/// A claim, and two arms of a section that it says something about.
struct Claim {
    text: &'static str,
    section: &'static str,
    measure: &'static str,
    /// What the claim says is less, and what it says is more.
    less: &'static str,
    more: &'static str,
}

const CLAIMS: [Claim; 23] = [
    Claim {
        text: "It saves the system call: small reads are cheaper",
        section: "small-warm",
        measure: "time",
        less: "mapping, pages mapped before",
        more: "`pread`",
    },
    Claim {
        text: "It saves the copy: reading whole pages is cheaper",
        section: "random-warm",
        measure: "time",
        less: "mapping, pages mapped before",
        more: "`pread`",
    },
    Claim {
        text: "Page faults eat that up when the mapping is new",
        section: "random-warm",
        measure: "time",
        less: "`pread`",
        more: "mapping, new",
    },
    Claim {
        text: "io_uring closes the gap for cached data",
        section: "random-warm",
        measure: "time",
        less: "io_uring, 32 at a time",
        more: "mapping, pages mapped before",
    },
    Claim {
        text: "For one pass over cached data a `read` loop is faster than a new mapping",
        section: "sequential-warm",
        measure: "time",
        less: "`pread`, 64 KiB",
        more: "mapping, new",
    },
    Claim {
        text: "For one pass over a file on the disk too",
        section: "sequential-cold",
        measure: "time",
        less: "`pread`, 64 KiB",
        more: "mapping, no advice",
    },
    Claim {
        text: "A faulting thread has one read under way; io_uring has many",
        section: "random-cold",
        measure: "time",
        less: "io_uring, 32 at a time, `FADV_RANDOM`",
        more: "mapping, `MADV_RANDOM`",
    },
    Claim {
        text: "Without advice a fault reads far around itself, and cold random reads are slower than with `pread`",
        section: "random-cold",
        measure: "time",
        less: "`pread`, no advice",
        more: "mapping, no advice",
    },
    Claim {
        text: "With `MADV_RANDOM` a cold page costs less through a fault than with `pread`",
        section: "random-cold",
        measure: "time",
        less: "mapping, `MADV_RANDOM`",
        more: "`pread`, `FADV_RANDOM`",
    },
    Claim {
        text: "Lazy loading: what comes from the disk is what was touched, if asked for with `MADV_RANDOM`",
        section: "on-demand",
        measure: "in the page cache afterwards",
        less: "page cache cold, `MADV_RANDOM`",
        more: "page cache cold, no advice",
    },
    Claim {
        text: "Pre-population is cheaper than one fault after the other: small folios",
        section: "population-small",
        measure: "time",
        less: "`MADV_POPULATE_READ`",
        more: "nothing: each page is touched in turn",
    },
    Claim {
        text: "The same with large folios, many pages of which one fault maps",
        section: "population-large",
        measure: "time",
        less: "`MADV_POPULATE_READ`",
        more: "nothing: each page is touched in turn",
    },
    Claim {
        text: "Four processes share one copy of the file",
        section: "sharing",
        measure: "its share of all",
        less: "4 processes, mapped",
        more: "4 processes, read into memory",
    },
    Claim {
        text: "Small pages cost address translation",
        section: "address-cache",
        measure: "time",
        less: "memory of the process, huge pages",
        more: "memory of the process, pages of 4 KiB",
    },
    Claim {
        text: "So does a mapping of a file, which has no huge pages",
        section: "address-cache",
        measure: "time",
        less: "memory of the process, huge pages",
        more: "mapping of the file",
    },
    Claim {
        text: "`MADV_HUGEPAGE` makes lookups in a mapped file faster",
        section: "address-cache",
        measure: "time",
        less: "mapping of the file, `MADV_HUGEPAGE`",
        more: "mapping of the file",
    },
    Claim {
        text: "Eviction is worse for mappings: with too little memory `pread` is faster",
        section: "short-memory",
        measure: "time",
        less: "`pread`, `FADV_RANDOM`",
        more: "mapping, `MADV_RANDOM`",
    },
    Claim {
        text: "The same without advice",
        section: "short-memory",
        measure: "time",
        less: "`pread`, no advice",
        more: "mapping, no advice",
    },
    Claim {
        text: "Stores and `msync` are cheaper than `pwrite` and `fdatasync`: 1000 scattered pages, small folios",
        section: "stores-1000-small",
        measure: "time",
        less: "stores through a mapping, `msync`",
        more: "`pwrite` of each page, `fdatasync`",
    },
    Claim {
        text: "The same with large folios",
        section: "stores-1000-large",
        measure: "time",
        less: "stores through a mapping, `msync`",
        more: "`pwrite` of each page, `fdatasync`",
    },
    Claim {
        text: "With large folios a store through a mapping writes no more than `pwrite` does: 8 pages",
        section: "stores-8-large",
        measure: "written to the device",
        less: "stores through a mapping, `msync`",
        more: "`pwrite` of each page, `fdatasync`",
    },
    Claim {
        text: "`sendfile` into a socket is faster than `write` from a mapping",
        section: "copy-to-socket",
        measure: "time",
        less: "`sendfile`",
        more: "`write` from a mapping",
    },
    Claim {
        text: "`copy_file_range` is faster than a loop of `read` and `write`",
        section: "copy-to-file",
        measure: "time",
        less: "`copy_file_range`",
        more: "`read` and `write`, 64 KiB",
    },
];

/// A tenth more or less is no difference on a machine that does other things too.
const TELLING: f64 = 1.1;

impl Claim {
    /// Three quarters of the rounds have to say the same.
    fn verdict(&self, less: &Measure, more: &Measure) -> &'static str {
        let ratio = more.ratio_to(less);
        let (lower, upper) = more.quartiles_of_ratio_to(less);
        if ratio >= TELLING && lower > 1.0 {
            "supported"
        } else if ratio <= 1.0 / TELLING && upper < 1.0 {
            "refuted"
        } else {
            "no difference seen"
        }
    }
}

/// All claims about which there are figures.
pub fn table(report: &Report, markdown: bool) -> Table {
    let mut table = Table::new();
    table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
    table.set_header(["claim", "figures", "ratio", "verdict"]);
    for claim in &CLAIMS {
        let of = |arm| report.find(claim.section, arm, claim.measure);
        let (Some(less), Some(more)) = (of(claim.less), of(claim.more)) else { continue };
        let figures = format!("{}: {}; {}: {}", claim.less, less.shown(), claim.more, more.shown());
        let ratio = format!("{:.2}", more.ratio_to(less));
        table.add_row([claim.text, &figures, &ratio, claim.verdict(less, more)]);
    }
    table
}
