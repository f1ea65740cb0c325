//! Checking a crash state: the database is opened, and compared with what is known of its past.

use std::fmt::Display;

use super::disk::Disk;
use super::failure::{Problem, ProblemKind};
use super::history::{Expected, FullHistory, fingerprint};
use super::recovery::Recovery;
use super::session::{Opened, open, shared};
use super::workload::Workload;
use crate::base::TransactionId;
use crate::db::Db;
use crate::error::Error;
use crate::format::meta::{META_PAGES, Meta};
use crate::txn::read::SnapshotReader;

/// Checks the crash states of a workload.
pub(super) struct StateChecker<'a, S> {
    pub(super) workload: &'a S,
}

impl<S: Workload> StateChecker<'_, S> {
    /// Opens the database and compares it with its history. Returns the commit that was recovered, and what recovery
    /// did.
    pub(super) fn check(
        &self,
        disk: &Disk,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
    ) -> Result<(TransactionId, Recovery), Problem> {
        Problem::or_panic(|| {
            let Opened { db, log } = open(self.workload, disk, None);
            let db = db?;
            let recovery = Recovery::of(&db, &mut log.lock());
            ids_are_new(&db, disk, &recovery)?;
            let found = expected.commit_of(recovery.found);
            self.compare(&db, found, full_history, expected)
                .map_err(|problem| problem.with_commits(full_history.commits(expected, found)))?;
            Ok((found, recovery))
        })
    }

    /// Runs the workload's own check on what the whole script has left, without a crash. A failure here says nothing
    /// of crashes: the steps are wrong, or the check is.
    pub(super) fn check_without_crash(
        &self,
        disk: &Disk,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
    ) -> Result<(), Problem> {
        Problem::or_panic(|| {
            let Opened { db, log } = open(self.workload, disk, None);
            let db = db?;
            let found = expected.commit_of(Recovery::of(&db, &mut log.lock()).found);
            let checked = self.workload.check(&db, &full_history.history(expected, found));
            checked.map_err(|text| {
                let text = format_args!("after all steps, and without any crash: {text}").to_string();
                let problem = Problem::new(ProblemKind::FailsWithoutCrash, text);
                problem.with_commits(full_history.commits(expected, found))
            })
        })
    }

    fn compare(
        &self,
        db: &Db,
        found: TransactionId,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
    ) -> Result<(), Problem> {
        if found < expected.acknowledged {
            let text = format!(
                "transaction {} was acknowledged as durable, but {found} is recovered",
                expected.acknowledged
            );
            return Err(Problem::new(ProblemKind::Lost, text));
        }
        if found < expected.published {
            let text = format!(
                "transaction {} was published, and no power is lost, but {found} is recovered",
                expected.published
            );
            return Err(Problem::new(ProblemKind::Lost, text));
        }
        if let Some(exactly) = expected.exactly.filter(|&exactly| exactly != found) {
            let text =
                format!("transaction {exactly} was recovered before the crash in recovery, {found} after it");
            return Err(Problem::new(ProblemKind::RecoveryWavers, text));
        }
        let Some(left) = full_history.left_by(found) else {
            let text = format!("transaction {found} is recovered, which was never committed");
            return Err(Problem::new(ProblemKind::NotACommit, text));
        };
        let report = db.check().map_err(unreadable)?;
        if !report.is_clean() {
            return Err(Problem::new(ProblemKind::Unclean, report));
        }
        let reader = SnapshotReader::begin(&db.handle).map_err(unreadable)?;
        if fingerprint(&reader).map_err(unreadable)? != left {
            let text = format!(
                "transaction {found} is recovered, but its contents are not those it was committed with"
            );
            return Err(Problem::new(ProblemKind::Differs, text));
        }
        drop(reader);
        let checked = self.workload.check(db, &full_history.history(expected, found));
        checked.map_err(|text| Problem::new(ProblemKind::Invariant, text))
    }

    /// Checks a state with a flipped bit. Opening and reading may fail; but what can be read must be what some commit
    /// left, and `check` must find what cannot be read.
    pub(super) fn check_flipped(
        &self,
        disk: &Disk,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
    ) -> Result<(), Problem> {
        Problem::or_panic(|| {
            let Opened { db, log } = open(self.workload, disk, None);
            let db = match db {
                Err(problem) if problem.kind == ProblemKind::CannotOpen => return Ok(()),
                db => db?,
            };
            let found = expected.commit_of(Recovery::of(&db, &mut log.lock()).found);
            let is_clean = db.check().is_ok_and(|report| report.is_clean());
            let read = SnapshotReader::begin(&db.handle).and_then(|reader| fingerprint(&reader));
            let wrong = |kind, text: &dyn Display| {
                Err(Problem::new(kind, format_args!("with a flipped bit: {text}")))
            };
            match (read, full_history.left_by(found)) {
                (_, None) => wrong(ProblemKind::NotACommit, &format_args!("transaction {found}")),
                (Ok(fingerprint), Some(left)) if fingerprint != left => wrong(
                    ProblemKind::Differs,
                    &format_args!("the contents of transaction {found} are not those it was committed with"),
                ),
                (Err(error), _) if is_clean => {
                    wrong(ProblemKind::Unclean, &format_args!("check finds nothing, but reading: {error}"))
                }
                _ => Ok(()),
            }
        })
    }
}

fn unreadable(error: Error) -> Problem {
    Problem::new(ProblemKind::Unclean, format_args!("cannot read the recovered database: {error}"))
}

/// L5: new transactions, recovery's own among them, get ids above the id of every meta page that recovery found, or
/// left on the disk, and above the ids of all records that it has replayed.
fn ids_are_new(db: &Db, disk: &Disk, recovery: &Recovery) -> Result<(), Problem> {
    let next = shared(db).next_id();
    let Recovery { found, newest: first, .. } = *recovery;
    if first < found || next <= first {
        let text = format!("after transaction {found}, recovery's gets id {first}, and the next one {next}");
        return Err(Problem::new(ProblemKind::IdGivenTwice, text));
    }
    let newest_in = |image: &[u8]| {
        let slots = image.chunks(db.page_size()).take(META_PAGES as usize);
        slots.filter_map(|slot| Meta::decode(slot, 0).ok()).map(|record| record.id).max()
    };
    let mut newest = newest_in(disk.cache());
    if disk.is_in_doubt() {
        let mut disk = disk.clone();
        recovery.events.iter().for_each(|event| disk.apply(event));
        newest = newest.max(newest_in(disk.durable()));
    }
    match newest {
        Some(seen) if next <= seen => {
            let text = format!("the next transaction gets id {next}, but there is a meta page of {seen}");
            Err(Problem::new(ProblemKind::IdGivenTwice, text))
        }
        _ => Ok(()),
    }
}
