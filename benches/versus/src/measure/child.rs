//! `versus run` in a process of its own: as it is, or under an instrument.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::engines::{Engine, Order};
use crate::measure::trace;
use crate::run::{BuildArguments, COUNTED, Taken};

pub struct Child {
    arguments: Vec<String>,
}

fn this_program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?)
}

/// Builds a database in a process of its own, so that nothing of it stays in this one.
pub fn build(arguments: &BuildArguments) -> Result<()> {
    let BuildArguments { engine, folder, entries, order } = arguments;
    eprintln!("building {} with {entries} entries, {order:?} order", engine.name());
    let order = match order {
        Order::Random => "random",
        Order::Sorted => "sorted",
    };
    let mut command = Command::new(this_program()?);
    command.args(["build", "--engine", engine.name(), "--order", order]);
    command.arg("--folder").arg(folder).arg("--entries").arg(entries.to_string());
    output(command).map(|_| ())
}

impl Child {
    pub fn new(work: &str, engine: Engine, database: &Path, entries: u64) -> Child {
        let child = Child { arguments: vec!["run".into(), work.into()] };
        let child = child.with("--engine", engine.name()).with("--entries", entries);
        child.with("--folder", database.display())
    }

    fn with(mut self, name: &str, value: impl ToString) -> Child {
        self.arguments.extend([name.to_owned(), value.to_string()]);
        self
    }

    pub fn count(self, count: usize) -> Child {
        self.with("--count", count)
    }

    pub fn seed(self, seed: u64) -> Child {
        self.with("--seed", seed)
    }

    /// In a memory cgroup with a limit of so many bytes.
    pub fn limited(self, cgroup: &Path, bytes: u64) -> Child {
        self.with("--cgroup", cgroup.display()).with("--memory", bytes)
    }

    pub fn warm(mut self) -> Child {
        self.arguments.push("--warm".to_owned());
        self
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(this_program()?);
        command.args(&self.arguments);
        Ok(command)
    }

    fn command_under(&self, instrument: &str, options: &[String]) -> Result<Command> {
        let mut command = Command::new(instrument);
        command.args(options).arg(this_program()?).args(&self.arguments);
        Ok(command)
    }

    pub fn run(&self) -> Result<Taken> {
        let (out, _) = output(self.command()?)?;
        serde_json::from_str(&out).with_context(|| format!("not what was expected: {out}"))
    }

    /// Starts it and kills it in the middle.
    pub fn kill_after(&self, time: Duration) -> Result<()> {
        let mut process = self.command()?.stdout(Stdio::null()).spawn()?;
        sleep(time);
        process.kill()?; // that is SIGKILL
        let status = process.wait()?;
        ensure!(status.code().is_none(), "it had ended before it was killed: {status}");
        Ok(())
    }

    /// The system calls of each marked piece of work.
    pub fn trace(&self, file: &Path) -> Result<Vec<trace::Unit>> {
        let options = ["-f", "-s", "64", "-o", &file.display().to_string()].map(str::to_owned);
        output(self.command_under("strace", &options)?)?;
        trace::read(&std::fs::read_to_string(file)?)
    }

    pub fn count_instructions(&self, file: &Path) -> Result<u64> {
        let options = [
            "--tool=callgrind".to_owned(),
            "--collect-atstart=no".to_owned(),
            format!("--toggle-collect={COUNTED}"),
            format!("--callgrind-out-file={}", file.display()),
        ];
        let (_, messages) = output(self.command_under("valgrind", &options)?)?;
        let collected = messages.lines().find_map(|line| line.split("Collected :").nth(1));
        let collected =
            collected.with_context(|| format!("callgrind did not say what it counted: {messages}"))?;
        Ok(collected.trim().parse()?)
    }
}

/// Runs a command to its good end; answers what it printed, and what it printed as messages.
fn output(mut command: Command) -> Result<(String, String)> {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().display().to_string();
    let output = command.output().with_context(|| format!("starting {name}"))?;
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{name} failed ({}): {messages}", output.status);
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), messages))
}
