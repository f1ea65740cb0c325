//! Looking at a crash state: the database is opened, and compared with what is known of its past.

use std::fmt::Display;

use super::disk::{Disk, Event};
use super::failure::{Problem, ProblemKind};
use super::history::{Expected, FullHistory, fingerprint};
use super::replay::FaultyCall;
use super::session::{Opened, open, shared};
use super::storage::{Fault, Log};
use super::workload::Workload;
use crate::base::TransactionId;
use crate::db::Db;
use crate::format::meta::{META_PAGES, Meta};
use crate::txn::read::SnapshotReader;

/// What a crash state must be, by the workload that led to it.
pub(super) struct StateChecker<'a, S> {
    pub(super) workload: &'a S,
}

impl<S: Workload> StateChecker<'_, S> {
    /// Opens the database and compares it with what is known. Answers what was found, and recovery's calls.
    pub(super) fn check(
        &self,
        disk: &Disk,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
    ) -> Result<(TransactionId, Recovery), Problem> {
        Problem::or_panic(|| {
            let Opened { db, log } = open(self.workload, disk, None);
            let db = db?;
            let recovery = Recovery::of(&mut log.lock());
            ids_are_new(&db, disk, &recovery.events)?;
            let found = self.compare(&db, full_history, expected)?;
            Ok((found, recovery))
        })
    }

    fn compare(
        &self,
        db: &Db,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
    ) -> Result<TransactionId, Problem> {
        let unreadable = |error| Problem::new(ProblemKind::Unclean, format_args!("reading: {error}"));
        let reader = SnapshotReader::begin(&db.handle).map_err(unreadable)?;
        let found = reader.snapshot.id;
        if found < expected.acknowledged {
            let text = format!(
                "transaction {} was acknowledged as durable, found is {found}",
                expected.acknowledged
            );
            return Err(Problem::new(ProblemKind::Lost, text));
        }
        if let Some(exactly) = expected.exactly.filter(|&exactly| exactly != found) {
            let text = format!("{exactly} was found before recovery was cut short, {found} now");
            return Err(Problem::new(ProblemKind::RecoveryWavers, text));
        }
        let Some(left) = full_history.left_by(found) else {
            let text = format!("transaction {found} is found, which had no record");
            return Err(Problem::new(ProblemKind::NotACommit, text));
        };
        let report = db.check().map_err(unreadable)?;
        if !report.is_clean() {
            return Err(Problem::new(ProblemKind::Unclean, report));
        }
        if fingerprint(&reader).map_err(unreadable)? != left {
            let text = format!("transaction {found} is found, but not what it had left");
            return Err(Problem::new(ProblemKind::Differs, text));
        }
        drop(reader);
        let checked = self.workload.check(db, &full_history.history(expected, found));
        checked.map_err(|text| Problem::new(ProblemKind::Invariant, text))?;
        Ok(found)
    }

    /// With a flipped bit anything may be refused; but what is answered is what some commit had left, and what cannot
    /// be read is found by `check`.
    pub(super) fn check_flipped(
        &self,
        disk: &Disk,
        full_history: &FullHistory<'_, S::Step>,
    ) -> Result<(), Problem> {
        Problem::or_panic(|| {
            let db = match open(self.workload, disk, None).db {
                Err(problem) if problem.kind == ProblemKind::CannotOpen => return Ok(()),
                db => db?,
            };
            let is_clean = db.check().is_ok_and(|report| report.is_clean());
            let read = SnapshotReader::begin(&db.handle)
                .and_then(|reader| Ok((reader.snapshot.id, fingerprint(&reader)?)));
            let found = shared(&db).newest_id();
            let wrong = |kind, text: &dyn Display| {
                Err(Problem::new(kind, format_args!("with a flipped bit: {text}")))
            };
            match (read, full_history.left_by(found)) {
                (_, None) => wrong(ProblemKind::NotACommit, &format_args!("transaction {found}")),
                (Ok((_, fingerprint)), Some(left)) if fingerprint != left => {
                    wrong(ProblemKind::Differs, &format_args!("transaction {found} is not what it was"))
                }
                (Err(error), _) if is_clean => {
                    wrong(ProblemKind::Unclean, &format_args!("check finds nothing, but reading: {error}"))
                }
                _ => Ok(()),
            }
        })
    }
}

/// What recovery has done.
pub(super) struct Recovery {
    pub(super) events: Vec<Event>,
    reads: usize,
}

impl Recovery {
    fn of(log: &mut Log) -> Recovery {
        Recovery { events: std::mem::take(&mut log.events), reads: log.reads }
    }

    /// Every call that can fail, in every way. (A bit that is flipped when it is read is as one that is flipped on the
    /// disk; and recovery makes no file longer or shorter.)
    pub(super) fn calls(&self) -> Vec<FaultyCall> {
        let count = |is_it: fn(&Event) -> bool| self.events.iter().filter(|event| is_it(event)).count();
        let stores = count(|event| matches!(event, Event::Store { .. }));
        let barriers = count(|event| matches!(event, Event::BarrierBegins { .. }));
        let kinds = [
            (Fault::Read, self.reads),
            (Fault::Store, stores),
            (Fault::StoreNoSpace, stores),
            (Fault::Barrier, barriers),
        ];
        kinds.into_iter().flat_map(|(fault, count)| (0..count).map(move |call| (fault, call))).collect()
    }
}

/// R9: new transactions get ids above every id that a record had which recovery found, or has left on the disk.
fn ids_are_new(db: &Db, disk: &Disk, recovery: &[Event]) -> Result<(), Problem> {
    let next = shared(db).next_id();
    let newest_in = |image: &[u8]| {
        let slots = image.chunks(db.page_size()).take(META_PAGES as usize);
        slots.filter_map(|slot| Meta::decode(slot, 0).ok()).map(|record| record.id).max()
    };
    let mut newest = newest_in(disk.cache());
    if disk.is_in_doubt() {
        let mut disk = disk.clone();
        recovery.iter().for_each(|event| disk.apply(event));
        newest = newest.max(newest_in(disk.durable()));
    }
    match newest {
        Some(seen) if next <= seen => {
            let text = format!("the next transaction is to be {next}, and there is a record of {seen}");
            Err(Problem::new(ProblemKind::IdGivenTwice, text))
        }
        _ => Ok(()),
    }
}
