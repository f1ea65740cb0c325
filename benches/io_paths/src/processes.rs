//! What takes processes of their own: shared memory, short memory, and a file that is cut while it is mapped.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use memmap2::Advice;
use procfs::process::Process;
use serde::{Deserialize, Serialize};

use crate::figures::{Arm, Runner, Taken, Unit};
use crate::memory::Limit;
use crate::system::{self, Meter, PAGE};
use crate::work::{digest, make_file, random_pages};

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(value_enum)]
    what: What,
    file: PathBuf,
    /// Works in this memory cgroup.
    #[arg(long)]
    cgroup: Option<PathBuf>,
    #[arg(long, default_value_t = 0)]
    lookups: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// What another process does.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Maps the file, looks at all of it, and waits.
    Map,
    /// Reads the file into its own memory, and waits.
    Read,
    /// Random lookups through a mapping.
    MapLookups,
    /// The same with `MADV_RANDOM`.
    MapRandomLookups,
    /// Random lookups with `pread`.
    ReadLookups,
    /// The same with `FADV_RANDOM`.
    ReadRandomLookups,
    /// Maps the file, has it cut, and reads through the mapping.
    MapCut,
}

impl What {
    fn name(self) -> String {
        self.to_possible_value().expect("no variant is hidden").get_name().to_owned()
    }
}

/// Memory as the system counts it, and lookups.
#[derive(Serialize, Deserialize, Default)]
struct Answer {
    private: u64,
    shared: u64,
    /// Its share of what it shares, and all of what it does not.
    proportional: u64,
    nanoseconds: f64,
    major_faults: f64,
    read: f64,
    digest: u64,
}

/// The other process.
pub fn be(arguments: &Arguments) -> Result<()> {
    if let Some(cgroup) = &arguments.cgroup {
        Limit::join(cgroup)?;
    }
    let file = File::open(&arguments.file)?;
    match arguments.what {
        What::Map => {
            let mapping = system::map(&file)?;
            black_box(digest(&mapping));
            wait()
        }
        What::Read => {
            let mut memory = vec![0; file.metadata()?.len() as usize];
            file.read_exact_at(&mut memory, 0)?;
            black_box(digest(&memory));
            wait()?;
            drop(memory);
            Ok(())
        }
        What::MapCut => {
            let mapping = system::map(&file)?;
            black_box(digest(&mapping));
            File::options().write(true).open(&arguments.file)?.set_len(0)?;
            println!("{}", digest(&mapping));
            Ok(())
        }
        _ => lookups(arguments, &file),
    }
}

/// Tells that all is in memory, and its own memory when it is asked for it.
fn wait() -> Result<()> {
    println!();
    for line in std::io::stdin().lock().lines() {
        line?;
        let memory = Process::myself()?.smaps_rollup()?;
        let map = &memory
            .memory_map_rollup
            .0
            .first()
            .context("the system says nothing of its memory")?
            .extension
            .map;
        let sum = |names: [&str; 2]| names.iter().filter_map(|&name| map.get(name)).sum();
        let answer = Answer {
            private: sum(["Private_Clean", "Private_Dirty"]),
            shared: sum(["Shared_Clean", "Shared_Dirty"]),
            proportional: sum(["Pss", ""]),
            ..Answer::default()
        };
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

/// Lookups, after as many others that leave in memory what they leave.
fn lookups(arguments: &Arguments, file: &File) -> Result<()> {
    let bytes = file.metadata()?.len();
    let count = arguments.lookups;
    let offsets = random_pages(bytes, 2 * count, arguments.seed);
    let advice = (arguments.what == What::MapRandomLookups).then_some(Advice::Random);
    if arguments.what == What::ReadRandomLookups {
        system::advise_file(file, rustix::fs::Advice::Random)?;
    }
    let mapping = system::map_advised(file, advice)?;
    let mut page = [0; PAGE];
    let mut look = |offset: u64| -> Result<u64> {
        if matches!(arguments.what, What::MapLookups | What::MapRandomLookups) {
            return Ok(digest(&mapping[offset as usize..][..PAGE]));
        }
        file.read_exact_at(&mut page, offset)?;
        Ok(digest(&page))
    };
    for &offset in &offsets[count..] {
        look(offset)?;
    }
    let meter = Meter::start()?;
    let mut sum = 0u64;
    for &offset in &offsets[..count] {
        sum = sum.wrapping_add(look(offset)?);
    }
    let taken = meter.stop(count)?;
    let answer = Answer {
        nanoseconds: taken.nanoseconds,
        major_faults: taken.major_faults,
        read: taken.read,
        digest: sum,
        ..Answer::default()
    };
    println!("{}", serde_json::to_string(&answer)?);
    Ok(())
}

fn command(what: What, file: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["process", &what.name()]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command)
}

pub fn run(runner: &mut Runner, folder: &Path, path: &Path, lookups: usize) -> Result<()> {
    sharing(runner, path)?;
    short_memory(runner, path, lookups)?;
    cut(runner, folder)
}

fn sharing(runner: &mut Runner, path: &Path) -> Result<()> {
    let mut arms = Vec::new();
    for count in [1, 2, 4] {
        for (what, name) in [(What::Map, "mapped"), (What::Read, "read into memory")] {
            let plural = if count == 1 { "process" } else { "processes" };
            arms.push(Arm::new(format!("{count} {plural}, {name}"), move |_| together(what, path, count)));
        }
    }
    runner.section(
        "sharing",
        "Memory of processes that look at the whole file at once: for each process",
        arms,
    )
}

/// So many processes at once: each tells what memory it has when all are there.
fn together(what: What, path: &Path, count: usize) -> Result<Taken> {
    let mut all: Vec<(Child, BufReader<_>)> = Vec::new();
    for _ in 0..count {
        let mut child = command(what, path)?.spawn()?;
        let answers = BufReader::new(child.stdout.take().context("it has no output")?);
        all.push((child, answers));
    }
    let mut line = String::new();
    for (_, answers) in &mut all {
        ensure!(answers.read_line(&mut line)? > 0, "the process has ended early");
    }
    let mut sum = Answer::default();
    for (child, answers) in &mut all {
        writeln!(child.stdin.as_mut().context("it has no input")?)?;
        line.clear();
        answers.read_line(&mut line)?;
        let answer: Answer = serde_json::from_str(&line)?;
        sum.private += answer.private;
        sum.shared += answer.shared;
        sum.proportional += answer.proportional;
    }
    for (mut child, _) in all {
        drop(child.stdin.take());
        ensure!(child.wait()?.success(), "the process failed");
    }
    let each = |bytes: u64| bytes as f64 / count as f64;
    let result = Taken::default().with("private", Unit::Bytes, each(sum.private));
    let result = result.with("shared", Unit::Bytes, each(sum.shared));
    Ok(result.with("its share of all", Unit::Bytes, each(sum.proportional)))
}

/// Lookups all over a file three times as large as the memory for it.
fn short_memory(runner: &mut Runner, path: &Path, lookups: usize) -> Result<()> {
    let bytes = std::fs::metadata(path)?.len() / 3;
    if let Err(error) = Limit::new(bytes) {
        runner.facts.push(format!("Short memory was not measured: {error:#}."));
        return Ok(());
    }
    let ways = [
        (What::MapLookups, "mapping, no advice"),
        (What::MapRandomLookups, "mapping, `MADV_RANDOM`"),
        (What::ReadLookups, "`pread`, no advice"),
        (What::ReadRandomLookups, "`pread`, `FADV_RANDOM`"),
    ];
    let arms = ways.into_iter().map(|(what, name)| {
        Arm::new(name, move |round| {
            system::evict(&File::open(path)?)?;
            let limit = Limit::new(bytes)?;
            let mut command = command(what, path)?;
            command.args(["--lookups", &lookups.to_string(), "--seed", &round.to_string()]);
            let output = command.arg("--cgroup").arg(limit.folder()).stderr(Stdio::piped()).output()?;
            let messages = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "the process failed: {} {messages}", output.status);
            let answer: Answer = serde_json::from_slice(&output.stdout)?;
            let result = Taken::of(answer.digest).with("time", Unit::Nanoseconds, answer.nanoseconds);
            let result = result.with("faults that wait for the disk", Unit::Count, answer.major_faults);
            Ok(result.with("read from the device", Unit::Bytes, answer.read))
        })
    });
    let title =
        "Reading 4 KiB at random places of a file three times as large as the memory for it: for each read";
    runner.section("short-memory", title, arms.collect())
}

/// What becomes of a process whose file is cut, and what `pread` says.
fn cut(runner: &mut Runner, folder: &Path) -> Result<()> {
    let path = make_file(folder, "cut", 1 << 20)?;
    let status = command(What::MapCut, &path)?.stdin(Stdio::null()).output()?.status;
    let end = match status.signal() {
        Some(signal) if signal == libc::SIGBUS => "killed by SIGBUS".to_owned(),
        Some(signal) => format!("killed by signal {signal}"),
        None => format!("not killed: {status}"),
    };
    let read = File::open(&path)?.read_at(&mut [0; PAGE], 0)?;
    runner.facts.push(format!(
        "A process that reads through a mapping of a file which has been cut: {end}. `pread` of the same: {read} \
         bytes, and no error."
    ));
    Ok(std::fs::remove_file(path)?)
}
