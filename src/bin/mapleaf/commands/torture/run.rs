//! `torture run`: workers that commit. A commit is durable before the line that acknowledges it: a line is
//! printed after `commit`, `sync` or `PendingCommit::wait` has returned.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use mapleaf::{Db, PendingCommit};

use super::content::{NUMBERS, Plan, Random};
use super::log;
use super::writing::{Durability, WriteMode, Writing, parse_seconds, seed_by_chance};

/// Pending commits that a worker has at most before it waits for the oldest.
const MAX_TICKETS: u64 = 24;

#[derive(Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    writing: Writing,

    /// End after this many seconds; without this or --commits it goes on until it is killed
    #[arg(long, value_name = "NUMBER", value_parser = parse_seconds)]
    seconds: Option<Duration>,

    /// End after this many commits of each worker
    #[arg(long, value_name = "NUMBER")]
    commits: Option<u64>,

    /// The number of the first worker: processes that share a database need different ones
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    first_worker: u64,

    /// End when standard input does: when the process that started this one is gone
    #[arg(long, hide = true)]
    until_input_ends: bool,
}

pub(crate) fn run(arguments: &RunArguments) -> Result<()> {
    if arguments.until_input_ends {
        thread::spawn(|| {
            // Read to the end or no further, it is over either way.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            process::exit(0)
        });
    }
    let writing = &arguments.writing;
    let db = open(writing)?;
    let plan = settle_plan(&db, writing)?;
    let deadline = arguments.seconds.map(|seconds| Instant::now() + seconds);
    let first = arguments.first_worker;
    thread::scope(|scope| {
        let workers: Vec<_> = (first..first + writing.workers)
            .map(|number| {
                let is_alone = writing.workers == 1 && first == 0;
                let worker =
                    Worker { db: &db, plan, number, is_alone, acknowledged: 0, tickets: VecDeque::new() };
                scope.spawn(move || worker.work(writing.durability, deadline, arguments.commits))
            })
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(Err(error)) if is_closed_pipe(&error) => Ok(()),
            Ok(done) => done,
            Err(_) => bail!("a worker panicked"),
        })
    })
}

/// The process that reads the output has ended: `| head` is not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn open(writing: &Writing) -> mapleaf::Result<Db> {
    let mut options = Db::options().write_mode(match writing.write_mode {
        WriteMode::Syscall => mapleaf::WriteMode::Syscall,
        WriteMode::Mapped => mapleaf::WriteMode::Mapped,
    });
    if let Some(bytes) = writing.page_size {
        options = options.page_size(bytes);
    }
    options.open(&writing.database)
}

fn settle_plan(db: &Db, writing: &Writing) -> Result<Plan> {
    let wanted = Plan {
        seed: writing.seed.unwrap_or_else(|| seed_by_chance() % 1_000_000),
        value_size: writing.value_size.unwrap_or(200),
    };
    let plan = wanted.settle(db)?;
    if writing.seed.is_some_and(|seed| seed != plan.seed) {
        bail!("{} was begun with seed {}", writing.database.display(), plan.seed);
    }
    if writing.value_size.is_some_and(|size| size != plan.value_size) {
        bail!("{} was begun with values of {} bytes", writing.database.display(), plan.value_size);
    }
    Ok(plan)
}

struct Worker<'db> {
    db: &'db Db,
    plan: Plan,
    number: u64,
    /// Its lines do not have the worker's number.
    is_alone: bool,
    acknowledged: u64,
    tickets: VecDeque<(u64, PendingCommit)>,
}

impl Worker<'_> {
    fn work(mut self, durability: Durability, deadline: Option<Instant>, commits: Option<u64>) -> Result<()> {
        let mut random = Random::new(&[seed_by_chance(), self.number]);
        let mut made = 0;
        let mut last = 0;
        while commits.is_none_or(|commits| made < commits)
            && deadline.is_none_or(|deadline| Instant::now() < deadline)
        {
            last = self.commit(durability, &mut random)?;
            made += 1;
        }
        self.wait_for_tickets(0)?;
        if last > self.acknowledged {
            self.db.sync()?;
            self.acknowledge(last)?;
        }
        Ok(())
    }

    /// Makes the next commit, and acknowledges what is durable with it; returns its number.
    fn commit(&mut self, durability: Durability, random: &mut Random) -> Result<u64> {
        let tx = self.db.write()?;
        let number = tx.table(&NUMBERS)?.get(self.number)?.unwrap_or(0) + 1;
        self.plan.apply(&tx, self.number, number)?;
        let kinds = [Durability::Durable, Durability::Lazy, Durability::Deferred];
        let kind = if durability == Durability::Mixed { kinds[random.below(3) as usize] } else { durability };
        match kind {
            Durability::Durable => {
                tx.commit()?;
                self.acknowledge(number)?;
            }
            Durability::Lazy => {
                tx.commit_with(mapleaf::Durability::Lazy)?;
                if random.one_in(8) {
                    self.db.sync()?;
                    self.acknowledge(number)?;
                }
            }
            Durability::Deferred | Durability::Mixed => {
                self.tickets.push_back((number, tx.commit_deferred()?));
                self.wait_for_tickets(random.below(MAX_TICKETS))?;
            }
        }
        Ok(number)
    }

    /// Acknowledges what is durable by now, and then waits until at most `most` pending commits are left.
    fn wait_for_tickets(&mut self, most: u64) -> Result<()> {
        while let Some((_, oldest)) = self.tickets.front()
            && (self.tickets.len() as u64 > most || oldest.is_durable())
        {
            if let Some((number, ticket)) = self.tickets.pop_front() {
                ticket.wait()?;
                self.acknowledge(number)?;
            }
        }
        Ok(())
    }

    /// Acknowledges `number`, unless a line for it, or for a later commit, was printed.
    fn acknowledge(&mut self, number: u64) -> Result<()> {
        if number > self.acknowledged {
            log::acknowledge((!self.is_alone).then_some(self.number), number)?;
            self.acknowledged = number;
        }
        Ok(())
    }
}
