//! Settings that many processes share: every watching process sees a change at once.
//!
//! ```text
//! cargo run --release --example live_config -- set port 8080
//! cargo run --release --example live_config -- get
//! cargo run --release --example live_config -- watch      in as many terminals as you like; Ctrl-C ends it
//! cargo run --release --example live_config -- demo       starts some watchers itself, and changes a setting
//! ```
//!
//! What it shows of mapleaf: many processes that have one file open; `wait_for_commit`, which sleeps until any of
//! them commits; transaction ids as the order of changes, so that no watcher misses one; reading without the right to
//! write.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use mapleaf::{Db, Error, ReadTxn, Table, TransactionId};

/// From a setting's name to the transaction that changed it last, and its value; `None` if that removed it.
const SETTINGS: Table<str, (u64, Option<String>)> = Table::new("settings");

/// The same, in the order of the changes: transaction and name. Each setting is here once, with its last change. So
/// all changes after a transaction are in the range after its id.
const CHANGES: Table<(u64, String), ()> = Table::new("changes");

/// The setting that the demonstration changes.
const DEMO_SETTING: &str = "demo";

/// A watcher that has not printed a change after this time has missed it.
const DEMO_PATIENCE: Duration = Duration::from_secs(20);

/// Settings that many processes share, and watch.
#[derive(Parser)]
#[command(name = "live_config")]
struct Arguments {
    /// The file that holds the settings
    #[arg(long, global = true, value_name = "FILE", default_value = "config.mapleaf")]
    database: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set a setting
    Set { name: String, value: String },
    /// Remove a setting
    Unset { name: String },
    /// Print the value of a setting, or all settings
    Get { name: Option<String> },
    /// Print all settings, and then each change by any process, until Ctrl-C
    Watch {
        /// End when standard input ends: when the process that started this one is gone
        #[arg(long, hide = true)]
        until_input_ends: bool,
    },
    /// Start some watchers, change a setting, and check that each of them sees the changes
    Demo {
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        watchers: u32,
        #[arg(long, default_value_t = 5)]
        changes: u32,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("live_config: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether the reader of the output has closed it: `| head` is not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let database = &arguments.database;
    match &arguments.command {
        Command::Set { name, value } => change(&Db::open(database)?, name, Some(value))?,
        Command::Unset { name } => {
            let db = Db::open(database)?;
            if value_of(&db.read()?, name)?.is_none() {
                return Ok(not_set(name));
            }
            change(&db, name, None)?;
        }
        Command::Get { name: Some(name) } => match value_of(&open_to_read(database)?.read()?, name)? {
            Some(value) => writeln!(io::stdout(), "{value}")?,
            None => return Ok(not_set(name)),
        },
        Command::Get { name: None } => print_all(&open_to_read(database)?.read()?)?,
        Command::Watch { until_input_ends } => {
            if *until_input_ends {
                thread::spawn(|| {
                    // Read to the end or no further, it is over either way.
                    let _ = io::copy(&mut io::stdin(), &mut io::sink());
                    process::exit(0)
                });
            }
            watch(&open_to_read(database)?)?;
        }
        Command::Demo { watchers, changes } => demo(database, *watchers, *changes)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn not_set(name: &str) -> ExitCode {
    eprintln!("live_config: {name} is not set");
    ExitCode::FAILURE
}

// ---- changing ----

fn change(db: &Db, name: &str, value: Option<&str>) -> Result<()> {
    db.update(|tx| {
        let (mut settings, mut changes) = (tx.table(&SETTINGS)?, tx.table(&CHANGES)?);
        let last_change = settings.get(name)?.map(|(transaction, _)| transaction);
        if let Some(transaction) = last_change {
            changes.remove((transaction, name))?;
        }
        settings.insert(name, (tx.id().get(), value))?;
        changes.insert((tx.id().get(), name), ())?;
        Ok(())
    })?;
    Ok(())
}

// ---- reading ----

/// Opens the database read-only, which does not need the right to write it.
fn open_to_read(database: &Path) -> Result<Db> {
    match Db::options().read_only(true).open(database) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            bail!("there is no {}: set a setting first", database.display())
        }
        other => Ok(other?),
    }
}

fn value_of(rx: &ReadTxn, name: &str) -> Result<Option<String>> {
    let setting = rx.table_or_empty(&SETTINGS)?.get(name)?;
    Ok(setting.and_then(|(_, value)| value.map(str::to_owned)))
}

fn print_all(rx: &ReadTxn) -> Result<()> {
    let settings = rx.table_or_empty(&SETTINGS)?;
    let mut out = io::stdout().lock();
    for entry in settings.iter() {
        let (name, (_, value)) = entry?;
        if let Some(value) = value {
            writeln!(out, "{} = {value}", &*name)?;
        }
    }
    Ok(())
}

// ---- watching ----

fn watch(db: &Db) -> Result<()> {
    let rx = db.read()?;
    print_all(&rx)?;
    let mut known = rx.id();
    drop(rx); // held any longer, it would keep the pages of its snapshot
    loop {
        // Sleeps until there is a snapshot newer than `known`. A commit between the read and this call ends the wait
        // too.
        db.wait_for_commit(known, None)?;
        let rx = db.read()?;
        print_changes(&rx, known)?;
        known = rx.id();
    }
}

/// Prints what transactions after `known` have changed. There may be several of them.
fn print_changes(rx: &ReadTxn, known: TransactionId) -> Result<()> {
    let (settings, changes) = (rx.table_or_empty(&SETTINGS)?, rx.table_or_empty(&CHANGES)?);
    let mut out = io::stdout().lock();
    for entry in changes.range((known.get() + 1, "")..) {
        let ((_, name), ()) = entry?;
        match settings.get(name.as_str())? {
            Some((_, Some(value))) => writeln!(out, "{name} = {value}")?,
            _ => writeln!(out, "{name} is unset")?,
        }
    }
    Ok(())
}

// ---- the demonstration ----

fn demo(database: &Path, watchers: u32, changes: u32) -> Result<()> {
    let db = Db::open(database)?;
    let nobody_yet = format!("process {} is about to begin", process::id());
    change(&db, DEMO_SETTING, Some(&nobody_yet))?;

    // One channel collects what all watchers print.
    let (sender, lines) = mpsc::channel();
    let watchers: Vec<Watcher> = (0..watchers)
        .map(|number| Watcher::start(database, number, sender.clone()))
        .collect::<Result<_>>()?;
    drop(sender);
    wait_for_all(&watchers, &lines, &nobody_yet)?;
    let processes: Vec<String> = watchers.iter().map(|watcher| watcher.child.id().to_string()).collect();
    writeln!(io::stdout(), "watching: processes {}", processes.join(", "))?;

    for number in 1..=changes {
        let value = format!("change {number} of process {}", process::id());
        let started = Instant::now();
        change(&db, DEMO_SETTING, Some(&value))?;
        let durable = started.elapsed();
        wait_for_all(&watchers, &lines, &value)?;
        let seen = started.elapsed();
        writeln!(
            io::stdout(),
            "change {number}: durable after {durable:.1?}, all watchers printed it after {seen:.1?}"
        )?;
    }
    change(&db, DEMO_SETTING, None)?;
    for watcher in watchers {
        watcher.end()?;
    }
    writeln!(io::stdout(), "every watcher saw every change")?;
    Ok(())
}

/// Waits until each watcher has printed that the setting is `value`.
fn wait_for_all(watchers: &[Watcher], lines: &Receiver<(u32, String)>, value: &str) -> Result<()> {
    let expected = format!("{DEMO_SETTING} = {value}");
    let mut missing: BTreeSet<u32> = watchers.iter().map(|watcher| watcher.number).collect();
    let deadline = Instant::now() + DEMO_PATIENCE;
    while !missing.is_empty() {
        let patience = deadline.saturating_duration_since(Instant::now());
        // Other lines are of settings that other processes change.
        match lines.recv_timeout(patience) {
            Ok((number, line)) if line == expected => drop(missing.remove(&number)),
            Ok(_) => {}
            Err(_) => bail!("{} of {} watchers have not seen \"{expected}\"", missing.len(), watchers.len()),
        }
    }
    Ok(())
}

/// A watcher: this program, in a process of its own.
struct Watcher {
    number: u32,
    child: Child,
    /// The watcher ends when this is closed, also if this process is killed.
    input: ChildStdin,
}

impl Watcher {
    fn start(database: &Path, number: u32, lines: Sender<(u32, String)>) -> Result<Watcher> {
        let mut child = process::Command::new(std::env::current_exe().context("cannot find this program")?)
            .args(["watch", "--until-input-ends", "--database"])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a watcher")?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).expect("both are pipes");
        thread::spawn(move || {
            // Ends with the watcher's output, or with the demonstration.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if lines.send((number, line)).is_err() {
                    return;
                }
            }
        });
        Ok(Watcher { number, child, input })
    }

    fn end(mut self) -> Result<()> {
        drop(self.input);
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(anyhow!("watcher {} ended badly: {status}", self.number)) }
    }
}
