//! What is known of a database's past: which commits there were, what each had left, and which were acknowledged.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;

use super::disk::{Disk, Event};
use super::failure::{Problem, ProblemKind};
use super::session::{Session, open};
use super::workload::{History, StepOutcome, Workload};
use crate::base::TransactionId;
use crate::error::Result;
use crate::format::catalog::TableEntry;
use crate::format::meta::{META_PAGES, Meta};
use crate::tree::RangeCursor;
use crate::txn::read::SnapshotReader;

/// What a snapshot contains, in one number: names and types of its tables, and all their entries.
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

/// What is found with all that was stored, and what that contains.
fn look<S: Workload>(workload: &S, disk: &Disk) -> Result<(TransactionId, u64), Problem> {
    Problem::or_panic(|| {
        let unreadable =
            |error| Problem::new(ProblemKind::Unclean, format_args!("reading all that was stored: {error}"));
        let db = open(workload, disk, None).db?;
        let reader = SnapshotReader::begin(&db.handle).map_err(unreadable)?;
        Ok((reader.snapshot.id, fingerprint(&reader).map_err(unreadable)?))
    })
}

/// The past of a database, up to the end of one life.
pub(super) struct FullHistory<'a, Step> {
    /// Steps of earlier lives, as the crash at their end has left them.
    past: Vec<StepOutcome<'a, Step>>,
    /// Steps of this life: what they are, and for those that had begun, newest at their end and whether they ended
    /// without an error.
    pub(super) steps: &'a [Step],
    ends: Vec<(TransactionId, bool)>,
    /// The commits that can be found after a crash, those that had a record of their own: what each had left.
    left: BTreeMap<TransactionId, u64>,
    /// What was durable when this life began.
    acknowledged: TransactionId,
    /// The ids of this life's transactions begin behind this one.
    before_first: TransactionId,
}

/// What may be found after a crash at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) acknowledged: TransactionId,
    /// Steps of this life that had begun, and those that had ended.
    begun: usize,
    ended: usize,
    /// The one commit that must be found, if that is known.
    pub(super) exactly: Option<TransactionId>,
}

impl<'a, Step> FullHistory<'a, Step> {
    /// The tale of a life that began on `start`; `earlier` is what came before it, cut short as `expected` says, and
    /// `found` what was recovered then.
    pub(super) fn of<S: Workload<Step = Step>>(
        workload: &S,
        start: &Disk,
        session: &Session,
        steps: &'a [Step],
        earlier: Option<(&FullHistory<'a, Step>, Expected)>,
    ) -> Result<FullHistory<'a, Step>, Problem> {
        let (base, left) = look(workload, start)?;
        let mut full_history = FullHistory {
            past: Vec::new(),
            steps,
            ends: session.ends.clone(),
            left: BTreeMap::new(),
            acknowledged: base,
            before_first: session.before_first.unwrap_or(base),
        };
        if let Some((earlier, expected)) = earlier {
            full_history.past = earlier.history(expected, base).outcomes;
            // The ids of what is lost are given out again.
            full_history.left = earlier.left.range(..=base).map(|(&id, &left)| (id, left)).collect();
        }
        full_history.left.insert(base, left);
        full_history.find_commits(workload, start, session)?;
        Ok(full_history)
    }

    /// Looks at the database whenever a record is stored: what is in the cache then is what it speaks of.
    fn find_commits<S: Workload>(
        &mut self,
        workload: &S,
        start: &Disk,
        session: &Session,
    ) -> Result<(), Problem> {
        let mut disk = start.clone();
        for event in &session.events {
            disk.apply(event);
            let Event::Store { offset, bytes } = event else { continue };
            let Ok(record) = Meta::decode(bytes, 0) else { continue };
            let is_record = *offset < u64::from(META_PAGES) * record.page_size as u64;
            if is_record && !self.left.contains_key(&record.id) {
                let (found, left) = look(workload, &disk)?;
                if found == record.id {
                    self.left.insert(found, left);
                }
            }
        }
        Ok(())
    }

    /// What is to be expected before anything has happened.
    pub(super) fn beginning(&self) -> Expected {
        Expected { acknowledged: self.acknowledged, begun: 0, ended: 0, exactly: None }
    }

    /// What the commit of that id had left.
    pub(super) fn left_by(&self, id: TransactionId) -> Option<u64> {
        self.left.get(&id).copied()
    }

    /// What was still to come, or had begun and not ended, at a moment: at most `most` steps.
    pub(super) fn steps_from(&self, expected: Expected, most: usize) -> &'a [Step] {
        let rest = &self.steps[expected.ended.min(self.steps.len())..];
        &rest[..most.min(rest.len())]
    }

    /// The story of a crash at the moment of `expected`, after which `found` was recovered.
    pub(super) fn history(&self, expected: Expected, found: TransactionId) -> History<'a, Step> {
        let mut outcomes = self.past.clone();
        let mut before = self.before_first;
        for (number, (step, &(end, went_well))) in
            self.steps.iter().zip(&self.ends).take(expected.begun).enumerate()
        {
            let count = |through: TransactionId| through.0.clamp(before.0, end.0.max(before.0)) - before.0;
            outcomes.push(StepOutcome {
                step,
                commits: count(end),
                kept: count(found),
                acknowledged: count(expected.acknowledged),
                ended: went_well && number < expected.ended,
            });
            before = before.max(end);
        }
        History { outcomes }
    }
}

impl Expected {
    /// With the one commit that must be found, if none is named yet.
    pub(super) fn or_exactly(self, exactly: Option<TransactionId>) -> Expected {
        Expected { exactly: self.exactly.or(exactly), ..self }
    }

    /// When this one is known to be durable, too.
    pub(super) fn with_durable(self, id: TransactionId) -> Expected {
        Expected { acknowledged: self.acknowledged.max(id), ..self }
    }

    /// What is to be expected after one event more.
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
