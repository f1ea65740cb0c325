//! How to write: options that `run` and `kill` share.

use std::path::PathBuf;
use std::process;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};

use super::content::Random;

/// How to write; the same for `run` and `kill`.
#[derive(Args, Clone)]
pub(super) struct Writing {
    /// The database; it is created if it is not there
    #[arg(long, value_name = "FILE")]
    pub(super) database: PathBuf,

    /// Workers: threads, each with commits of its own, numbered from 1
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(super) workers: u64,

    /// What the content follows from; a new database gets one by chance
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,

    /// How to commit
    #[arg(long, value_enum, default_value_t = Durability::Durable)]
    pub(super) durability: Durability,

    /// How to store pages
    #[arg(long, value_enum, default_value_t = WriteMode::Syscall)]
    pub(super) write_mode: WriteMode,

    /// Bytes in a page of a new database
    #[arg(long, value_name = "BYTES")]
    pub(super) page_size: Option<usize>,

    /// Bytes in a value of a new database, at most; 6 in 100 are larger [default: 200]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    pub(super) value_size: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Durability {
    /// Each commit waits until it is durable
    Durable,
    /// No commit waits; every few commits a sync
    Lazy,
    /// Deferred commits, which are waited for later
    Deferred,
    /// Each of these, at random
    Mixed,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WriteMode {
    Syscall,
    Mapped,
}

/// The name of a value, as it is given as an argument.
pub(super) fn argument_name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

pub(crate) fn parse_seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse().map_err(|_| anyhow!("not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| anyhow!("not a number of seconds"))
}

/// Different in each process and at each moment.
pub(crate) fn seed_by_chance() -> u64 {
    let time = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Random::new(&[process::id().into(), time.as_nanos() as u64]).next()
}
