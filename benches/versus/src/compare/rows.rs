//! The rows of the comparison, and the bar on each.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    Get,
    GetTwoThreads,
    GetTwoProcesses,
    GetMany,
    BeginAndEnd,
    Range,
    Scan,
    ScanBack,
    FirstScan,
    RandomLoad,
    RandomPuts,
    SortedLoad,
    Removals,
    SingleCommits,
    ThreadedCommits,
    Batches,
    LazyCommits,
    NumberGet,
    NumberLoad,
    NumberScan,
    PrefixGet,
    PrefixLoad,
    LargeWrite,
    LargeGet,
    LargeRead,
    LargeOverwrite,
    RandomSize,
    StructuredSize,
    ShortMemoryGet,
    ColdOpen,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    Nanoseconds,
    Bytes,
}

/// What mapleaf is to reach, compared with the best of its peers in the same run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bar {
    /// So many times as fast.
    Speed(f64),
    /// This share of the size.
    Share(f64),
    None,
}

impl Row {
    pub fn name(self) -> &'static str {
        match self {
            Row::Get => "random get, one thread",
            Row::GetTwoThreads => "random get, two threads",
            Row::GetTwoProcesses => "random get, two processes",
            Row::GetMany => "random get, 16 at a time",
            Row::BeginAndEnd => "begin and end a read transaction",
            Row::Range => "range of 10 from a random key",
            Row::Scan => "full scan, an entry",
            Row::ScanBack => "full scan backward, an entry",
            Row::FirstScan => "first full scan after opening, an entry",
            Row::RandomLoad => "load in random order, one transaction, an entry",
            Row::RandomPuts => "the same put by put, an entry",
            Row::SortedLoad => "sorted load, one transaction, an entry",
            Row::Removals => "remove half in random order, one transaction, an entry",
            Row::SingleCommits => "durable commit of one put, one thread",
            Row::ThreadedCommits => "durable commit of one put, 8 threads",
            Row::Batches => "durable batch of 1000 puts",
            Row::LazyCommits => "lazy commit of one put",
            Row::NumberGet => "numbers: random get",
            Row::NumberLoad => "numbers: load in random order, an entry",
            Row::NumberScan => "numbers: full scan, an entry",
            Row::PrefixGet => "long shared prefixes: random get",
            Row::PrefixLoad => "long shared prefixes: load in random order, an entry",
            Row::LargeWrite => "values of 100 KB to 1 MB: durable put, a value",
            Row::LargeGet => "values of 100 KB to 1 MB: get, a value",
            Row::LargeRead => "values of 100 KB to 1 MB: read every byte, a value",
            Row::LargeOverwrite => "values of 100 KB to 1 MB: durable overwrite, a value",
            Row::RandomSize => "size after the random load",
            Row::StructuredSize => "size with structured keys",
            Row::ShortMemoryGet => "data three times larger than memory: random get",
            Row::ColdOpen => "open and get one, cold page cache",
        }
    }

    pub fn bar(self) -> Bar {
        match self {
            Row::Get | Row::GetTwoThreads | Row::GetTwoProcesses => Bar::Speed(1.8),
            Row::GetMany => Bar::Speed(5.0),
            Row::BeginAndEnd => Bar::Speed(1.5),
            Row::Range => Bar::Speed(1.6),
            Row::Scan | Row::ScanBack => Bar::Speed(1.5),
            Row::FirstScan | Row::LargeGet | Row::RandomPuts => Bar::None,
            Row::RandomLoad | Row::Removals => Bar::Speed(1.8),
            Row::SortedLoad => Bar::Speed(1.5),
            Row::SingleCommits => Bar::Speed(1.6),
            Row::ThreadedCommits => Bar::Speed(8.0),
            Row::Batches => Bar::Speed(3.0),
            Row::LazyCommits => Bar::Speed(1.3),
            Row::NumberGet | Row::NumberLoad | Row::NumberScan => Bar::Speed(1.5),
            Row::PrefixGet | Row::PrefixLoad => Bar::Speed(1.5),
            Row::LargeWrite | Row::LargeRead | Row::LargeOverwrite => Bar::Speed(1.2),
            Row::RandomSize => Bar::Share(0.85),
            Row::StructuredSize => Bar::Share(0.6),
            Row::ShortMemoryGet => Bar::Speed(1.2),
            Row::ColdOpen => Bar::Speed(1.0),
        }
    }

    pub fn unit(self) -> Unit {
        match self {
            Row::RandomSize | Row::StructuredSize => Unit::Bytes,
            _ => Unit::Nanoseconds,
        }
    }
}
