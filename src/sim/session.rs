//! One life of a simulated database: from opening it to closing it, or to where it is cut short.

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

/// What happened in one life.
pub(super) struct Session {
    pub(super) events: Vec<Event>,
    /// Where opening had ended.
    pub(super) opened_at: usize,
    /// The id before that of the first transaction of this life; `None` if a fault kept it from opening.
    pub(super) before_first: Option<TransactionId>,
    /// For each step that had begun: newest when it ended, and whether it ended without an error.
    pub(super) ends: Vec<(TransactionId, bool)>,
    pub(super) faults_met: usize,
}

/// What opening came to, and what it had done by then.
pub(super) struct Opened {
    pub(super) db: Result<Db, Problem>,
    pub(super) log: Arc<Mutex<Log>>,
}

/// Opens what `disk` holds, as a process that starts now would. A fault may befall that, or what follows.
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

/// Lives on from `disk`, through `steps`, and closes. If a fault befalls opening, that is the end.
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

/// The steps of a life, and its end.
fn run<S: Workload>(
    workload: &S,
    context: Context,
    steps: &[S::Step],
    log: &Mutex<Log>,
    ends: &mut Vec<(TransactionId, bool)>,
) -> Result<(), Problem> {
    let fault = log.lock().fault.map(|(fault, _)| fault);
    let mut memory = S::Memory::default();
    for step in steps {
        let met_before = log.lock().faults_met > 0;
        log.lock().events.push(Event::StepBegins);
        let result = workload.run(&context, &mut memory, step);
        drop_barrier_work(log);
        log.lock().events.push(Event::StepEnds);
        ends.push((shared(&context.db).newest_id(), result.is_ok()));
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
    drop(context); // closing syncs what is pending: power may fail then, too
    Ok(())
}

/// Drops work for a barrier that did not come. It may own the database, and closing that needs the log.
fn drop_barrier_work(log: &Mutex<Log>) {
    let work = log.lock().meanwhile.take();
    drop(work);
}

/// Whether a later step may fail with `error` for a fault that befell an earlier one.
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

/// I3: what readers see is durable as far as it was to be.
fn visible_is_durable(db: &Db) -> Result<(), Problem> {
    let shared = shared(db);
    let (visible, durable, pending) = (shared.visible(), shared.durable(), shared.pending());
    if visible >= pending && durable < pending {
        let text = format!("transaction {visible} is visible and contains {pending}, durable is {durable}");
        return Err(Problem::new(ProblemKind::VisibleTooEarly, text));
    }
    Ok(())
}
