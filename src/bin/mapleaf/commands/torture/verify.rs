//! `torture verify`: opens the database, which recovers it, checks every page, and compares every entry with what
//! must be there after the last commit of each worker that is found.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use mapleaf::{Db, Error, ReadTxn};

use super::content::{ENTRIES, NUMBERS, Plan, Refilled, SETTINGS, refilled_table};
use super::log::{self, Acknowledged};

#[derive(Args)]
pub(crate) struct VerifyArguments {
    /// The database
    #[arg(long, value_name = "FILE")]
    database: PathBuf,

    /// The last commit that was acknowledged; once for each worker if there are several
    #[arg(long, value_name = "[WORKER=]NUMBER", value_parser = parse_acknowledged)]
    acknowledged: Vec<(u64, u64)>,

    /// A file with what `run` printed, for instance the output of a serial console; other lines in it are passed over
    #[arg(long, value_name = "FILE", required_unless_present = "acknowledged")]
    log: Option<PathBuf>,
}

fn parse_acknowledged(text: &str) -> Result<(u64, u64)> {
    let (worker, number) = text.split_once('=').unwrap_or(("0", text));
    let parse = |text: &str| text.trim().parse().map_err(|_| anyhow!("expected 812, or 0=812 for worker 0"));
    Ok((parse(worker)?, parse(number)?))
}

pub(crate) fn run(arguments: &VerifyArguments) -> Result<ExitCode> {
    let mut acknowledged = Acknowledged::new();
    if let Some(path) = &arguments.log {
        let cannot = || format!("cannot read {}", path.display());
        let file = BufReader::new(File::open(path).with_context(cannot)?);
        log::read(file, |worker, number| log::raise(&mut acknowledged, worker, number))
            .with_context(cannot)?;
    }
    for &(worker, number) in &arguments.acknowledged {
        log::raise(&mut acknowledged, worker, number);
    }
    Ok(conclude(&verify(&arguments.database, &acknowledged)?))
}

/// Prints what was found, and returns the exit code for it.
pub(super) fn conclude(found: &Result<String, Wrong>) -> ExitCode {
    match found {
        Ok(good) => {
            println!("{good}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("torture: {wrong}");
            ExitCode::FAILURE
        }
    }
}

/// What must not be, in a sentence.
#[derive(Debug)]
pub(crate) struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! wrong {
    ($($text:tt)*) => {
        return Ok(Err(Wrong(format!($($text)*))))
    };
}

/// What is there, in a sentence, or what is wrong with it. The outer error: neither could be found out.
pub(crate) fn verify(path: &Path, acknowledged: &Acknowledged) -> Result<Result<String, Wrong>> {
    match check(path, acknowledged) {
        // What lies in the file is wrong.
        Err(
            error @ (Error::Corrupt(_)
            | Error::NotADatabase { .. }
            | Error::MetaPagesLost { .. }
            | Error::Truncated { .. }),
        ) => Ok(Err(Wrong(format!("WRONG: {error}")))),
        other => Ok(other?),
    }
}

fn check(path: &Path, acknowledged: &Acknowledged) -> mapleaf::Result<Result<String, Wrong>> {
    let db = match Db::options().create(false).open(path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            if acknowledged.values().any(|&number| number > 0) {
                wrong!("LOST: there is no {}, acknowledged {}", path.display(), list(acknowledged));
            }
            return Ok(Ok("there is no database, and nothing was acknowledged".to_owned()));
        }
        other => other?,
    };
    let report = db.check()?;
    if !report.is_clean() {
        wrong!("WRONG: {report}");
    }
    let rx = db.read()?;
    let found = numbers(&rx)?;
    for (worker, &number) in acknowledged {
        if found.get(worker).copied().unwrap_or(0) < number {
            wrong!("LOST: found {}, acknowledged {}", list(&found), list(acknowledged));
        }
    }
    if found.is_empty() {
        // At most the plan, whose commit is before all others.
        if let Some(table) = rx.tables()?.into_iter().find(|table| table.name != SETTINGS.name()) {
            wrong!("WRONG: no commit has a number, and there is a table {}", table.name);
        }
    } else {
        let Some(plan) = Plan::of(&db)? else { wrong!("WRONG: the seed is missing") };
        if let Err(wrong) = compare(&rx, plan, &found)? {
            return Ok(Err(wrong));
        }
    }
    Ok(Ok(format!("found {}, acknowledged {}: all there", list(&found), list(acknowledged))))
}

/// `812`, if there is worker 0 only; `0=812 1=790`.
fn list(numbers: &Acknowledged) -> String {
    let mut each = numbers.iter();
    match (each.next(), each.next()) {
        (None, _) => "nothing".to_owned(),
        (Some((0, number)), None) => number.to_string(),
        _ => {
            numbers.iter().map(|(worker, number)| format!("{worker}={number}")).collect::<Vec<_>>().join(" ")
        }
    }
}

/// The last commit of each worker that is there.
fn numbers(rx: &ReadTxn) -> mapleaf::Result<Acknowledged> {
    match rx.table(&NUMBERS) {
        Err(Error::TableNotFound { .. }) => Ok(Acknowledged::new()),
        other => other?.iter().collect(),
    }
}

/// Compares all that is there with what must be.
fn compare(rx: &ReadTxn, plan: Plan, found: &Acknowledged) -> mapleaf::Result<Result<(), Wrong>> {
    let mut tables = vec![ENTRIES.name().to_owned(), NUMBERS.name().to_owned(), SETTINGS.name().to_owned()];
    let mut entries = rx.table(&ENTRIES)?.iter();
    for (&worker, &number) in found {
        let content = plan.content(worker, number);
        for (&slot, &written) in &content.entries {
            let expected = plan.value(worker, slot, written);
            match entries.next().transpose()? {
                Some((key, value)) if key == (worker, slot) && value == expected => {}
                other => wrong!(
                    "WRONG: worker {worker} at {number}: expected entry {slot}, {} bytes of commit {}; found {}",
                    expected.len(),
                    written.number,
                    describe(other),
                ),
            }
        }
        let (by, count) = content.refilled;
        if count == 0 {
            continue;
        }
        let name = refilled_table(worker);
        tables.push(name.clone());
        let refilled = match rx.table(&Refilled::new(&name)) {
            Err(Error::TableNotFound { name }) => {
                wrong!("WRONG: worker {worker} at {number}: no table {name}")
            }
            other => other?,
        };
        let mut place = 0;
        for entry in refilled.iter() {
            let (key, value) = entry?;
            if (key, value) != (place, &plan.refilled_value(worker, by, place)[..]) {
                wrong!(
                    "WRONG: worker {worker} at {number}: entry {place} that commit {by} made: found {key}"
                );
            }
            place += 1;
        }
        if place != count {
            wrong!("WRONG: worker {worker} at {number}: {place} entries of {count} that commit {by} made");
        }
    }
    if let Some(more) = entries.next().transpose()? {
        wrong!("WRONG: after all entries: found {}", describe(Some(more)));
    }
    tables.sort();
    let tables_found: Vec<String> = rx.tables()?.into_iter().map(|table| table.name).collect();
    if tables_found != tables {
        wrong!("WRONG: tables {tables_found:?} instead of {tables:?}");
    }
    Ok(Ok(()))
}

fn describe(entry: Option<((u64, u64), &[u8])>) -> String {
    match entry {
        None => "no more entries".to_owned(),
        Some(((worker, slot), value)) => format!("entry {slot} of worker {worker}, {} bytes", value.len()),
    }
}
