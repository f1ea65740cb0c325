//! What is known of a database's past: which commits there were, what each left, and which were acknowledged.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;

use super::disk::{Disk, Event};
use super::failure::{Problem, ProblemKind};
use super::recovery::Recovery;
use super::session::{Opened, Session, StepEnd, open};
use super::workload::{History, StepOutcome, Workload};
use crate::base::TransactionId;
use crate::error::Result;
use crate::format::catalog::TableEntry;
use crate::format::meta::{META_PAGES, Meta};
use crate::tree::RangeCursor;
use crate::txn::read::SnapshotReader;

/// Returns a hash of what a snapshot contains: names and types of its tables, and all their entries.
pub(super) fn fingerprint(reader: &SnapshotReader) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut tables = RangeCursor::new(&reader.snapshot.catalog, Bound::Unbounded, Bound::Unbounded);
    while let Some((name, entry)) = tables.next(reader)? {
        let entry = TableEntry::decode(entry)?;
        (&name[..], &entry.key_type, &entry.value_type, entry.root.entries).hash(&mut hasher);
        let mut entries = RangeCursor::new(&entry.root, Bound::Unbounded, Bound::Unbounded);
        while let Some((key, value)) = entries.next(reader)? {
            (&key[..], value).hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

/// Returns the transaction that is found if everything stored is there, and the fingerprint of its snapshot.
fn look<S: Workload>(workload: &S, disk: &Disk) -> Result<(TransactionId, u64), Problem> {
    Problem::or_panic(|| {
        let unreadable =
            |error| Problem::new(ProblemKind::Unclean, format_args!("reading all that was stored: {error}"));
        let Opened { db, log } = open(workload, disk, None);
        let db = db?;
        let found = Recovery::of(&db, &mut log.lock()).found;
        let reader = SnapshotReader::begin(&db.handle).map_err(unreadable)?;
        Ok((found, fingerprint(&reader).map_err(unreadable)?))
    })
}

/// The past of a database, up to the end of one session.
pub(super) struct FullHistory<'a, Step> {
    /// Steps of earlier sessions, each with its number in the script, as the crashes between have left them.
    past: Vec<(usize, StepOutcome<'a, Step>)>,
    /// Steps of this session.
    pub(super) steps: &'a [Step],
    /// The number in the script of the first of them.
    first_step: usize,
    /// How each step that had begun ended.
    ends: Vec<StepEnd>,
    /// The fingerprint of each transaction that can be found after a crash.
    left: BTreeMap<TransactionId, u64>,
    /// The id before that of this session's first transaction: that of newest when this session began, which was
    /// durable. It is recovery's, if there was something to replay.
    before_first: TransactionId,
}

/// What may be found after a crash at one point.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Expected {
    pub(super) acknowledged: TransactionId,
    /// How many steps of this session had begun, and how many had ended.
    begun: usize,
    ended: usize,
    /// The only commit that may be found, if that is known.
    pub(super) exactly: Option<TransactionId>,
    /// The newest transaction that is to be found because no power is lost; 0 if any is.
    pub(super) published: TransactionId,
    /// The first and the last of the transactions that recoveries have made of one commit, and that commit.
    replayed: Option<(TransactionId, TransactionId, TransactionId)>,
}

impl<'a, Step> FullHistory<'a, Step> {
    /// Returns the history up to the end of a session that began on `start`. `earlier` is the history before it, and
    /// the point of the crash that ended that.
    pub(super) fn of<S: Workload<Step = Step>>(
        workload: &S,
        start: &Disk,
        session: &Session,
        steps: &'a [Step],
        earlier: Option<(&FullHistory<'a, Step>, Expected)>,
    ) -> Result<FullHistory<'a, Step>, Problem> {
        let (found, left) = look(workload, start)?;
        let base = earlier.map_or(found, |(_, expected)| expected.commit_of(found));
        let mut full_history = FullHistory {
            past: Vec::new(),
            steps,
            first_step: 0,
            ends: session.ends.clone(),
            left: BTreeMap::new(),
            before_first: session.before_first.unwrap_or(base),
        };
        if let Some((earlier, expected)) = earlier {
            full_history.past = earlier.numbered_outcomes(expected, base);
            full_history.first_step = earlier.first_step + expected.ended.min(earlier.steps.len());
            // The ids of lost commits are given out again.
            full_history.left = earlier.left.range(..=base).map(|(&id, &left)| (id, left)).collect();
        }
        full_history.left.insert(base, left);
        full_history.left.insert(full_history.before_first, left);
        full_history.find_commits(workload, start, session)?;
        Ok(full_history)
    }

    /// Opens the database after each store of a meta page, or to the ring of the redo log: the cache then contains what
    /// the meta page refers to, and the log.
    fn find_commits<S: Workload>(
        &mut self,
        workload: &S,
        start: &Disk,
        session: &Session,
    ) -> Result<(), Problem> {
        let mut disk = start.clone();
        let mut ring = 0..0;
        for event in &session.events {
            disk.apply(event);
            let Event::Store { offset, bytes } = event else { continue };
            match Meta::decode(bytes, 0) {
                Ok(meta) if *offset < u64::from(META_PAGES) * meta.page_size as u64 => {
                    ring = meta.redo.ring.map_or(0..0, |ring| {
                        let start = ring.first.offset(meta.page_size);
                        start..start + ring.length_bytes(meta.page_size)
                    });
                }
                _ if ring.contains(offset) => {}
                _ => continue,
            }
            let (found, left) = look(workload, &disk)?;
            self.left.entry(found).or_insert(left);
        }
        Ok(())
    }

    /// Returns what is expected before the first event.
    pub(super) fn beginning(&self) -> Expected {
        Expected {
            acknowledged: self.before_first,
            begun: 0,
            ended: 0,
            exactly: None,
            published: TransactionId(0),
            replayed: None,
        }
    }

    /// Returns the newest transaction that the steps which had ended have left in the file: what is found at least, if
    /// no power is lost.
    pub(super) fn in_file(&self, expected: Expected) -> TransactionId {
        let last = self.ends.iter().take(expected.ended).next_back();
        last.map_or(self.before_first, |end| end.in_file)
    }

    /// Returns the fingerprint of what the commit with this id left.
    pub(super) fn left_by(&self, id: TransactionId) -> Option<u64> {
        self.left.get(&id).copied()
    }

    /// Returns the steps that had not ended at a point, at most `most` of them.
    pub(super) fn steps_from(&self, expected: Expected, most: usize) -> &'a [Step] {
        let rest = &self.steps[expected.ended.min(self.steps.len())..];
        &rest[..most.min(rest.len())]
    }

    /// Returns the history of a crash at the point of `expected`, after which `found` was recovered.
    pub(super) fn history(&self, expected: Expected, found: TransactionId) -> History<'a, Step> {
        let outcomes = self.numbered_outcomes(expected, found);
        History { outcomes: outcomes.into_iter().map(|(_, outcome)| outcome).collect() }
    }

    /// Returns one line for each step that had begun: which of its commits are in the recovered transaction `found`.
    pub(super) fn commits(&self, expected: Expected, found: TransactionId) -> Vec<String> {
        let outcomes = self.numbered_outcomes(expected, found);
        outcomes.iter().map(|(number, outcome)| format!("step {number}: {}", commits_of(outcome))).collect()
    }

    /// Returns each step that had begun, with its number in the script.
    fn numbered_outcomes(
        &self,
        expected: Expected,
        found: TransactionId,
    ) -> Vec<(usize, StepOutcome<'a, Step>)> {
        let mut outcomes = self.past.clone();
        let mut before = self.before_first;
        for (number, (step, &StepEnd { newest: end, went_well, .. })) in
            self.steps.iter().zip(&self.ends).take(expected.begun).enumerate()
        {
            let count = |through: TransactionId| through.0.clamp(before.0, end.0.max(before.0)) - before.0;
            let outcome = StepOutcome {
                step,
                commits: count(end),
                kept: count(found),
                acknowledged: count(expected.acknowledged),
                ended: went_well && number < expected.ended,
            };
            outcomes.push((self.first_step + number, outcome));
            before = before.max(end);
        }
        outcomes
    }
}

/// Says which commits of a step are in the recovered database, and which are not.
fn commits_of<Step>(outcome: &StepOutcome<'_, Step>) -> String {
    let StepOutcome { commits, kept, acknowledged, .. } = *outcome;
    let range = |first: u64, last: u64, is_there: bool| {
        let verb = match (first == last, is_there) {
            (true, true) => "is there",
            (true, false) => "is not there",
            (false, true) => "are there",
            (false, false) => "are not there",
        };
        if first == last {
            format!("commit {first} {verb}")
        } else {
            format!("commits {first} to {last} {verb}")
        }
    };
    let mut text = match kept {
        _ if commits == 0 => return "no commits".into(),
        0 => range(1, commits, false),
        _ if kept == commits => range(1, commits, true),
        _ => format!("{}, {}", range(1, kept, true), range(kept + 1, commits, false)),
    };
    if acknowledged > kept {
        text += &format!("; {acknowledged} acknowledged as durable");
    }
    text
}

impl Expected {
    /// Sets the only commit that may be found, if none is set yet.
    pub(super) fn or_exactly(self, exactly: Option<TransactionId>) -> Expected {
        Expected { exactly: self.exactly.or(exactly), ..self }
    }

    /// Adds that this transaction is durable.
    pub(super) fn with_durable(self, id: TransactionId) -> Expected {
        Expected { acknowledged: self.acknowledged.max(id), ..self }
    }

    /// Adds what the last recovery has made of `commit`.
    pub(super) fn after_recovery(self, recovery: &Recovery, commit: TransactionId) -> Expected {
        let Recovery { newest, found, .. } = *recovery;
        let replayed = match self.replayed {
            Some((first, _, of)) if of == commit && newest > first => Some((first, newest, commit)),
            _ if newest != found => Some((newest, newest, commit)),
            before => before,
        };
        Expected { replayed, ..self }
    }

    /// Returns the commit whose state `found` is, which may be a transaction of recovery's.
    pub(super) fn commit_of(self, found: TransactionId) -> TransactionId {
        match self.replayed {
            Some((first, last, commit)) if first <= found && found <= last => commit,
            _ => found,
        }
    }

    /// Adds that nothing up to this transaction may be taken back, because no power is lost.
    pub(super) fn with_published(self, published: TransactionId) -> Expected {
        Expected { published, ..self }
    }

    /// Returns what is expected after one more event.
    pub(super) fn after(mut self, event: &Event) -> Expected {
        match event {
            Event::Acknowledged(id) => self.acknowledged = self.acknowledged.max(*id),
            Event::StepBegins => self.begun += 1,
            Event::StepEnds => self.ended += 1,
            _ => {}
        }
        self
    }
}
