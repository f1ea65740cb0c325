//! One session of a simulated database: from opening it to closing it, or to the call that fails.

use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, Event};
use super::failure::{Problem, ProblemKind};
use super::replay::FaultyCall;
use super::storage::{BarrierWork, Fault, Log, SimulatedStorage};
use super::workload::{Context, Workload};
use crate::base::TransactionId;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::shm::SharedMemory;

/// What happened in one session.
pub(super) struct Session {
    pub(super) events: Vec<Event>,
    /// How many events opening had.
    pub(super) opened_at: usize,
    /// The id before that of the session's first transaction; `None` if a fault made opening fail.
    pub(super) before_first: Option<TransactionId>,
    /// How each step that had begun ended.
    pub(super) ends: Vec<StepEnd>,
    pub(super) faults_met: usize,
}

/// Where the database stood when a step had ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepEnd {
    pub(super) newest: TransactionId,
    /// The newest transaction that the death of all processes does not take back, if no power is lost: newest, if it
    /// is in the log or checkpointed.
    pub(super) in_file: TransactionId,
    /// Whether the step ended without an error.
    pub(super) went_well: bool,
}

/// The result of opening, and the log of the calls that it made.
pub(super) struct Opened {
    pub(super) db: Result<Db, Problem>,
    pub(super) log: Arc<Mutex<Log>>,
}

/// Opens what `disk` holds, as a process that starts now would. A fault may hit that, or what follows.
pub(super) fn open<S: Workload>(workload: &S, disk: &Disk, fault: Option<FaultyCall>) -> Opened {
    let mut log = Arc::default();
    let db = Problem::or_panic(|| {
        let options = workload.options();
        let max_size = options.open_settings().settings.max_size;
        let storage = SimulatedStorage::new(disk.cache(), disk.write_mode(), max_size)
            .map_err(|error| Problem::new(ProblemKind::Usage, format_args!("no simulated file: {error}")))?;
        log = storage.log();
        log.lock().fault = fault;
        let db = options.open_simulated(Box::new(storage));
        db.map_err(|error| Problem::new(ProblemKind::CannotOpen, error))
    });
    Opened { db, log }
}

/// Opens the database on `disk`, does `steps`, and closes. If a fault makes opening fail, the session ends there.
pub(super) fn live<S: Workload>(
    workload: &S,
    disk: &Disk,
    steps: &[S::Step],
    fault: Option<FaultyCall>,
) -> Result<Session, Problem> {
    let Opened { db, log } = open(workload, disk, fault);
    let opened_at = log.lock().events.len();
    let mut session =
        Session { events: Vec::new(), opened_at, before_first: None, ends: Vec::new(), faults_met: 0 };
    match db {
        Ok(db) => {
            session.before_first = Some(TransactionId(shared(&db).next_id().0 - 1));
            let context = Context { db, barrier_work: BarrierWork::new(&log) };
            let went = Problem::or_panic(|| run(workload, context, steps, &log, &mut session.ends));
            let ended = Problem::or_panic(|| {
                drop_barrier_work(&log);
                Ok(())
            });
            went.and(ended)?;
        }
        Err(problem) if log.lock().faults_met == 0 || problem.kind != ProblemKind::CannotOpen => {
            return Err(problem);
        }
        Err(_) => {}
    }
    let mut log = log.lock();
    (session.events, session.faults_met) = (std::mem::take(&mut log.events), log.faults_met);
    Ok(session)
}

/// Does the steps of a session, and closes the database.
fn run<S: Workload>(
    workload: &S,
    context: Context,
    steps: &[S::Step],
    log: &Mutex<Log>,
    ends: &mut Vec<StepEnd>,
) -> Result<(), Problem> {
    let fault = log.lock().fault.map(|(fault, _)| fault);
    let mut memory = S::Memory::default();
    for step in steps {
        let met_before = log.lock().faults_met > 0;
        log.lock().events.push(Event::StepBegins);
        let result = workload.run(&context, &mut memory, step);
        drop_barrier_work(log);
        log.lock().events.push(Event::StepEnds);
        let in_file_before = ends.last().map(|end| end.in_file);
        ends.push(step_end(&context.db, in_file_before, result.is_ok())?);
        let is_hit = !met_before && log.lock().faults_met > 0;
        match result {
            Err(error) if !(is_hit || met_before && follows_from(fault, &error)) => {
                return Err(Problem::new(ProblemKind::StepFailed, format_args!("{step:?}: {error}")));
            }
            _ => {}
        }
        visible_is_durable(&context.db)?;
    }
    drop(memory);
    drop(context); // closing syncs what is pending, and power may fail then, too
    Ok(())
}

fn step_end(db: &Db, in_file_before: Option<TransactionId>, went_well: bool) -> Result<StepEnd, Problem> {
    let shared = shared(db);
    let newest = shared.newest_id();
    let log = shared.newest_log().map_err(|error| Problem::new(ProblemKind::StepFailed, error))?;
    let is_in_file = log.unlogged <= shared.checkpointed();
    let in_file = if is_in_file { newest } else { in_file_before.unwrap_or(shared.checkpointed()) };
    Ok(StepEnd { newest, in_file, went_well })
}

/// Drops work for a barrier that did not come. It may own the database, whose closing locks the log.
fn drop_barrier_work(log: &Mutex<Log>) {
    let work = log.lock().meanwhile.take();
    drop(work);
}

/// Whether a step may fail with `error` because a fault hit an earlier one.
fn follows_from(fault: Option<Fault>, error: &Error) -> bool {
    match error {
        Error::Poisoned => true,
        Error::Io { .. } => fault == Some(Fault::Grow), // the disk stays full
        _ => false,
    }
}

pub(super) fn shared(db: &Db) -> &SharedMemory {
    &db.handle.core.shared
}

/// I3: readers see a commit that waits for its barrier only after the barrier.
fn visible_is_durable(db: &Db) -> Result<(), Problem> {
    let shared = shared(db);
    let (visible, durable, pending) = (shared.visible(), shared.durable(), shared.pending());
    if visible >= pending && durable < pending {
        let text = format!(
            "transaction {visible} is visible and contains transaction {pending}, but only {durable} is durable"
        );
        return Err(Problem::new(ProblemKind::VisibleTooEarly, text));
    }
    Ok(())
}
