//! `torture kill`: starts `run`, reads its acknowledgements through a pipe, kills it with SIGKILL at a random moment,
//! and verifies that every acknowledged commit is there, again and again.
//!
//! What was written to a pipe is read even if the writer is dead: an acknowledgement that was printed counts. Half of
//! the rounds are followed by the next `run` instead of a verification, so that this one recovers, and is killed while
//! it does.

use std::io::BufReader;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::ProgressBar;

use super::content::Random;
use super::log::{self, Acknowledged};
use super::verify::{self, conclude};
use super::writing::{Writing, argument_name, parse_seconds, seed_by_chance};

#[derive(Args)]
pub(crate) struct KillArguments {
    #[command(flatten)]
    writing: Writing,

    /// How often to kill; Ctrl-C ends it earlier
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    rounds: u64,

    /// Processes that write at one time, each with its workers; all of them are killed
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    processes: u64,

    /// Seconds that a process lives, at most
    #[arg(long, value_name = "NUMBER", default_value = "0.5", value_parser = parse_seconds)]
    longest_life: Duration,
}

/// What has been done.
#[derive(Default)]
struct Totals {
    rounds: u64,
    killed: u64,
    verified: u64,
    acknowledged: Acknowledged,
}

impl Totals {
    fn describe(&self) -> String {
        let commits: u64 = self.acknowledged.values().sum();
        let Totals { rounds, killed, verified, .. } = self;
        format!(
            "{rounds} rounds, {killed} processes killed, {commits} commits acknowledged, verified {verified} times"
        )
    }
}

pub(crate) fn run(arguments: &KillArguments, own_arguments: &[&str]) -> Result<ExitCode> {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;

    let mut random = Random::new(&[seed_by_chance()]);
    let mut totals = Totals::default();
    let progress = ProgressBar::new(arguments.rounds).with_style(
        indicatif::ProgressStyle::with_template("{bar:30} {msg}").context("the form of the progress bar")?,
    );
    let mut found = Ok("nothing was tried".to_owned());
    while totals.rounds < arguments.rounds && !is_interrupted.load(Ordering::Relaxed) {
        round(arguments, own_arguments, &mut random, &mut totals, &is_interrupted)?;
        let is_last = totals.rounds == arguments.rounds || is_interrupted.load(Ordering::Relaxed);
        if is_last || random.one_in(2) {
            totals.verified += 1;
            found = verify::verify(&arguments.writing.database, &totals.acknowledged)?;
            if found.is_err() {
                break;
            }
        }
        progress.set_position(totals.rounds);
        progress.set_message(totals.describe());
    }
    progress.finish_and_clear();
    println!("{}", totals.describe());
    Ok(conclude(&found))
}

/// Starts all processes, and kills them.
fn round(
    arguments: &KillArguments,
    own_arguments: &[&str],
    random: &mut Random,
    totals: &mut Totals,
    is_interrupted: &AtomicBool,
) -> Result<()> {
    let mut running = (0..arguments.processes)
        .map(|number| Running::start(arguments, own_arguments, number))
        .collect::<Result<Vec<_>>>()?;
    // Now and then so early that they have hardly opened the database.
    let longest = arguments.longest_life / if random.one_in(4) { 16 } else { 1 };
    let end = Instant::now() + Duration::from_micros(random.below(longest.as_micros() as u64));
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
        && !is_interrupted.load(Ordering::Relaxed)
    {
        thread::sleep(left.min(Duration::from_millis(50)));
    }
    // In half of the rounds the processes that are left go on for a moment without the killed ones.
    let pause = Duration::from_micros(if random.one_in(2) { random.below(5000) } else { 0 });
    while !running.is_empty() {
        let process = running.swap_remove(random.below(running.len() as u64) as usize);
        for (worker, number) in process.kill()? {
            log::raise(&mut totals.acknowledged, worker, number);
        }
        totals.killed += 1;
        thread::sleep(pause);
    }
    totals.rounds += 1;
    Ok(())
}

/// A `run`, which is killed when this is dropped.
struct Running {
    child: Child,
    /// The child ends when this is closed, because this process is gone then.
    _input: Option<ChildStdin>,
    acknowledged: Option<JoinHandle<Result<Acknowledged>>>,
}

impl Running {
    fn start(arguments: &KillArguments, own_arguments: &[&str], number: u64) -> Result<Running> {
        let writing = &arguments.writing;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(own_arguments).args(["run", "--until-input-ends", "--database"]).arg(&writing.database);
        command.args(["--workers", &writing.workers.to_string()]);
        command.args(["--first-worker", &(number * writing.workers).to_string()]);
        command.args(["--durability", &argument_name(&writing.durability)]);
        command.args(["--write-mode", &argument_name(&writing.write_mode)]);
        let numbers = [
            ("--seed", writing.seed),
            ("--page-size", writing.page_size.map(|bytes| bytes as u64)),
            ("--value-size", writing.value_size),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                command.args([name, &number.to_string()]);
            }
        }
        #[cfg(unix)]
        {
            // Ctrl-C is for this process, which ends the others.
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("the child's output")?;
        let acknowledged = thread::spawn(move || {
            let mut acknowledged = Acknowledged::new();
            log::read(BufReader::new(output), |worker, number| {
                log::raise(&mut acknowledged, worker, number)
            })?;
            Ok(acknowledged)
        });
        Ok(Running { _input: child.stdin.take(), child, acknowledged: Some(acknowledged) })
    }

    /// Kills it; returns what it had acknowledged. If it had ended by itself, that is an error, which it has printed.
    fn kill(mut self) -> Result<Acknowledged> {
        if let Some(status) = self.child.try_wait()? {
            bail!("a worker ended by itself, with {status}");
        }
        self.child.kill()?;
        self.child.wait()?;
        let reader = self.acknowledged.take().context("killed before")?;
        reader.join().unwrap_or_else(|_| bail!("the reader of a child's output panicked"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be dead already, which is all that is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
