//! One life of a simulated database: from opening it to closing it, or to where it is cut short.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::disk::{Disk, Event};
use super::failure::{Problem, ProblemKind};
use super::scenario::{Scenario, Stage};
use super::storage::{Fault, Log, SimulatedStorage};
use crate::base::TransactionId;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::share::Shared;

/// Puts work aside for the next barrier of a storage.
#[derive(Debug, Clone)]
pub(super) struct Meanwhile {
    log: Weak<Mutex<Log>>,
}

impl Meanwhile {
    pub(super) fn set(&self, work: Box<dyn FnOnce() + Send>) {
        if let Some(log) = self.log.upgrade() {
            log.lock().meanwhile = Some(work);
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

/// What happened in one life.
pub(super) struct Life {
    pub(super) events: Vec<Event>,
    /// Where opening had ended.
    pub(super) opened_at: usize,
    /// What opening found, and the id before that of the first transaction of this life.
    pub(super) base: TransactionId,
    pub(super) before_first: TransactionId,
    /// For each step that had begun: the head when it ended, and whether it ended without an error.
    pub(super) ends: Vec<(TransactionId, bool)>,
    pub(super) faults_met: usize,
}

/// Opens what `disk` holds, as a process that starts now would.
pub(super) fn open<S: Scenario>(
    scenario: &S,
    disk: &Disk,
    fault: Option<(Fault, usize)>,
) -> (Result<Db>, Arc<Mutex<Log>>) {
    let options = scenario.options();
    let storage =
        SimulatedStorage::new(disk.cache(), disk.write_mode(), options.open_settings().settings.max_size);
    let storage = match storage {
        Ok(storage) => storage,
        Err(source) => {
            let error = Error::Io { action: "make a simulated file for", path: "(simulated)".into(), source };
            return (Err(error), Arc::default());
        }
    };
    let log = storage.log();
    log.lock().fault = fault;
    (options.open_simulated(Box::new(storage)), log)
}

/// Lives on from `disk`, through `steps`, and closes.
pub(super) fn live<S: Scenario>(
    scenario: &S,
    disk: &Disk,
    steps: &[S::Step],
    fault: Option<(Fault, usize)>,
) -> Result<Life, Problem> {
    let (db, log) = open(scenario, disk, None);
    let db = db.map_err(|error| Problem::new(ProblemKind::CannotOpen, error))?;
    let (base, before_first) = (shared(&db).head_id(), TransactionId(shared(&db).next_id().0 - 1));
    log.lock().fault = fault;
    let opened_at = log.lock().events.len();
    let stage = Stage { db, hold_meanwhile: Meanwhile { log: Arc::downgrade(&log) } };
    let mut ends = Vec::new();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut memory = S::Memory::default();
        for step in steps {
            log.lock().events.push(Event::StepBegins);
            let result = scenario.run(&stage, &mut memory, step);
            log.lock().meanwhile = None;
            log.lock().events.push(Event::StepEnds);
            ends.push((shared(&stage.db).head_id(), result.is_ok()));
            if log.lock().faults_met == 0 {
                result.map_err(|error| {
                    Problem::new(ProblemKind::StepFailed, format_args!("{step:?}: {error}"))
                })?;
                visible_is_durable(&stage.db)?;
            }
        }
        log.lock().meanwhile = None;
        drop(memory);
        drop(stage); // closing syncs what is pending: power may fail then, too
        Ok(())
    }));
    log.lock().meanwhile = None;
    match ran {
        Ok(result) => result?,
        Err(panic) => return Err(Problem::panic(&*panic)),
    }
    let mut log = log.lock();
    let events = std::mem::take(&mut log.events);
    Ok(Life { events, opened_at, base, before_first, ends, faults_met: log.faults_met })
}

fn shared(db: &Db) -> &Shared {
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
