//! Visiting crash states: where power may fail, which states to look at, and what must be true of each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::disk::{Disk, Event};
use super::explore::describe;
use super::failure::{Problem, ProblemKind};
use super::replay::{Choice, Segment, random_at};
use super::report::Counters;
use super::run::{Life, live, open};
use super::scenario::Scenario;
use super::tale::{Expected, Tale, fingerprint};
use crate::base::TransactionId;
use crate::db::Db;
use crate::error::Result;
use crate::format::record::{RECORD_PAGES, Record};
use crate::txn::read::SnapshotReader;

/// One in so many recovered states crashes in recovery, unless all do.
const RECOVERY_CRASHES: usize = 4;
/// One in so many lives on, for so many states.
const SECOND_LIVES: usize = 48;
const SECOND_LIFE_STATES: u64 = 24;
/// One in so many has a bit flipped, if that is asked for.
const FLIPPED_BITS: usize = 8;
/// States at one moment of a recovery, if every recovery is cut short; of the recovery from that, one sample.
const RECOVERY_STATES: u64 = 4;
/// A second life goes on for so many steps.
const SECOND_LIFE_STEPS: usize = 4;

/// What to look at besides the crash states of a life.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) recovery_depth: usize,
    pub(super) every_recovery: bool,
    pub(super) second_lives: bool,
    pub(super) flipped_bits: bool,
}

/// A problem, and where it was.
pub(super) struct Found {
    pub(super) problem: Problem,
    pub(super) path: Vec<Segment>,
    pub(super) circumstances: Vec<String>,
}

impl From<Problem> for Found {
    fn from(problem: Problem) -> Found {
        Found { problem, path: Vec::new(), circumstances: Vec::new() }
    }
}

pub(super) struct Tour<'a, S> {
    pub(super) scenario: &'a S,
    pub(super) seed: u64,
    pub(super) plan: &'a Plan,
    pub(super) counters: &'a Counters,
    /// The one way to go, if a state is visited again.
    pub(super) guide: Option<&'a [Segment]>,
}

impl<S: Scenario> Tour<'_, S> {
    /// Visits crash states of a life, about `budget` of them, at the moments that are `mine`. `path` is how the
    /// life came about.
    pub(super) fn life(
        &self,
        life: &Life,
        start: &Disk,
        tale: &Tale<'_, S::Step>,
        budget: u64,
        path: &[Segment],
        is_mine: impl Fn(usize) -> bool,
    ) -> Result<(), Found> {
        // A recovery that comes before this life has been cut short by itself.
        let first = if path.is_empty() { 0 } else { life.opened_at };
        let guided = self.guided(path).map_err(Found::from)?;
        if guided.is_some_and(|next| next.point > life.events.len() || next.point < first) {
            let text = format!("there are {} events from {first} on", life.events.len());
            return Err(Problem::new(ProblemKind::Usage, text).into());
        }
        let most = self.most_at_a_point(life, start, first, budget, path.is_empty() && is_mine(first));
        let (mut disk, mut expected) = (start.clone(), tale.beginning());
        for point in 0..=life.events.len() {
            if let Some(event) = point.checked_sub(1).map(|last| &life.events[last]) {
                disk.apply(event);
                expected = expected.after(event);
            }
            let choices = match guided {
                Some(next) if next.point == point => vec![next.choice],
                None if point >= first && is_mine(point) && !is_same_as_next(life, point) => {
                    self.choices(&disk, most, path.is_empty())
                }
                _ => continue,
            };
            for choice in choices {
                let segment = Segment { in_recovery: false, point, choice };
                let path = [path, &[segment]].concat();
                self.crash(&disk, tale, expected, &path).map_err(|mut found| {
                    if found.circumstances.is_empty() {
                        found.circumstances = circumstances(&life.events, point, segment);
                    }
                    found
                })?;
            }
        }
        Ok(())
    }

    /// The next crash on the way that is given, if one is.
    fn guided(&self, path: &[Segment]) -> Result<Option<Segment>, Problem> {
        let Some(guide) = self.guide else { return Ok(None) };
        match guide.get(path.len()) {
            Some(&next) if !(path.is_empty() && next.in_recovery) => Ok(Some(next)),
            Some(_) => Err(Problem::new(ProblemKind::Usage, "a recovery comes before the first crash")),
            None => Ok(None),
        }
    }

    /// How many states to visit at each moment, so that about `budget` are visited in all: moments with few states
    /// leave theirs to the others.
    fn most_at_a_point(&self, life: &Life, start: &Disk, first: usize, budget: u64, counts: bool) -> u64 {
        let mut disk = start.clone();
        let mut states = Vec::new();
        for point in 0..=life.events.len() {
            if let Some(last) = point.checked_sub(1) {
                disk.apply(&life.events[last]);
            }
            if point >= first && !is_same_as_next(life, point) {
                states.push(disk.state_count());
            }
        }
        if counts {
            *self.counters.states_in_all.lock() += states.iter().map(|&count| count as f64).sum::<f64>();
        }
        let visited = |most: u64| states.iter().map(|&count| count.min(most)).sum::<u64>();
        let (mut most, mut more) = (1, 2);
        while more <= budget && visited(more) <= budget && visited(more) > visited(most) {
            (most, more) = (more, more * 2);
        }
        most
    }

    fn choices(&self, disk: &Disk, most: u64, is_first_life: bool) -> Vec<Choice> {
        let states = disk.state_count();
        if is_first_life {
            Counters::add(&self.counters.crash_points);
        }
        let mut choices: Vec<Choice> = match states <= most {
            true => (0..states).map(Choice::State).collect(),
            false => (0..most.saturating_sub(2).max(1)).map(Choice::Sample).collect(),
        };
        if states > most {
            choices.extend([Choice::State(0), Choice::State(states.saturating_sub(1))]);
        } else if is_first_life {
            Counters::add(&self.counters.exhausted_points);
        }
        choices.push(Choice::Killed);
        choices
    }

    /// The process is gone, and perhaps power; what `disk` is left in is opened, compared, and may crash again.
    fn crash(
        &self,
        disk: &Disk,
        tale: &Tale<'_, S::Step>,
        expected: Expected,
        path: &[Segment],
    ) -> Result<(), Found> {
        let found_here = |problem| Found { problem, path: path.to_vec(), circumstances: Vec::new() };
        let after = self.after_crash(disk, path).map_err(found_here)?;
        self.counters.visited();
        if let Choice::Flipped(_) = path[path.len() - 1].choice {
            Counters::add(&self.counters.flipped_bits);
            return self.look_at_flipped(&after, tale).map_err(found_here);
        }
        let (recovered, events) = self.look(&after, tale, expected).map_err(found_here)?;
        let expected_again = expected.or_exactly(self.settled(path, recovered));
        self.crash_in_recovery(&after, &events, tale, expected_again, recovered, path)?;
        self.live_on(&after, tale, expected, path)?;
        if self.guide.is_none()
            && self.plan.flipped_bits
            && random_at(self.seed, path, 3).one_in(FLIPPED_BITS)
        {
            self.crash(disk, tale, expected, &flipped(path))?;
        }
        Ok(())
    }

    /// What recovery has found is what it must find again, if what it found was on the disk, not in the cache only.
    fn settled(&self, path: &[Segment], recovered: TransactionId) -> Option<TransactionId> {
        let was_killed = path.iter().any(|segment| segment.choice == Choice::Killed);
        (!was_killed).then_some(recovered)
    }

    /// What whoever comes after the crash finds.
    fn after_crash(&self, disk: &Disk, path: &[Segment]) -> Result<Disk, Problem> {
        let depth = path.iter().rev().take_while(|segment| segment.in_recovery).count();
        if let Some(counter) = depth.checked_sub(1).and_then(|depth| self.counters.recovery_states.get(depth))
        {
            Counters::add(counter);
        }
        let choice = path[path.len() - 1].choice;
        let image = match choice {
            Choice::Killed => {
                Counters::add(&self.counters.kills);
                return Ok(disk.clone());
            }
            Choice::State(number) if number < disk.state_count() => disk.state(number),
            Choice::State(number) => {
                let text = format!("there is no state {number}: there are {}", disk.state_count());
                return Err(Problem::new(ProblemKind::Usage, text));
            }
            Choice::Sample(_) | Choice::Flipped(_) => {
                let mut random = random_at(self.seed, path, 0);
                let mut image = disk.sample(&mut random);
                if let Choice::Flipped(_) = choice
                    && !image.is_empty()
                {
                    let at = random.below(image.len());
                    image[at] ^= 1 << random.below(8);
                }
                image
            }
        };
        Ok(Disk::new(image, disk.write_mode()))
    }

    /// Opens the database and compares it with what is known. Answers what was found, and recovery's calls.
    fn look(
        &self,
        disk: &Disk,
        tale: &Tale<'_, S::Step>,
        expected: Expected,
    ) -> Result<(TransactionId, Vec<Event>), Problem> {
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let (db, log) = open(self.scenario, disk, None);
            let db = db.map_err(|error| Problem::new(ProblemKind::CannotOpen, error))?;
            let events = std::mem::take(&mut log.lock().events);
            ids_are_new(&db, disk)?;
            let found = self.compare(&db, tale, expected)?;
            Ok((found, events))
        }));
        looked.unwrap_or_else(|panic| Err(Problem::panic(&*panic)))
    }

    fn compare(
        &self,
        db: &Db,
        tale: &Tale<'_, S::Step>,
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
        let Some(left) = tale.left_by(found) else {
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
        let checked = self.scenario.check(db, &tale.story(expected, found));
        checked.map_err(|text| Problem::new(ProblemKind::Invariant, text))?;
        Ok(found)
    }

    /// With a flipped bit anything may be refused; but what is answered is what some commit had left.
    fn look_at_flipped(&self, disk: &Disk, tale: &Tale<'_, S::Step>) -> Result<(), Problem> {
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let Ok(db) = open(self.scenario, disk, None).0 else { return Ok(()) };
            let Ok(reader) = SnapshotReader::begin(&db.handle) else { return Ok(()) };
            let _ = db.check();
            let (found, text) = (reader.snapshot.id, "with a flipped bit");
            match (fingerprint(&reader), tale.left_by(found)) {
                (Ok(fingerprint), Some(left)) if fingerprint != left => Err(Problem::new(
                    ProblemKind::Differs,
                    format_args!("{text}: transaction {found} is not what it was"),
                )),
                (_, None) => {
                    Err(Problem::new(ProblemKind::NotACommit, format_args!("{text}: transaction {found}")))
                }
                _ => Ok(()),
            }
        }));
        looked.unwrap_or_else(|panic| Err(Problem::panic(&*panic)))
    }

    fn crash_in_recovery(
        &self,
        start: &Disk,
        events: &[Event],
        tale: &Tale<'_, S::Step>,
        expected: Expected,
        recovered: TransactionId,
        path: &[Segment],
    ) -> Result<(), Found> {
        let guided = self.guided(path).map_err(Found::from)?.filter(|next| next.in_recovery);
        let depth = path.iter().rev().take_while(|segment| segment.in_recovery).count();
        let mut random = random_at(self.seed, path, 1);
        let one_point = match (guided, self.plan.every_recovery) {
            (Some(next), _) if next.point > events.len() => {
                let text = format!("recovery has {} events", events.len());
                return Err(Problem::new(ProblemKind::Usage, text).into());
            }
            (Some(next), _) => Some(next.point),
            (None, _) if self.guide.is_some() || depth >= self.plan.recovery_depth => return Ok(()),
            (None, true) => None,
            (None, false) if random.one_in(RECOVERY_CRASHES) && !events.is_empty() => {
                // The end of recovery, when readers may begin, is worth more than any other moment.
                Some(1 + random.below(events.len() + 2).min(events.len() - 1))
            }
            (None, false) => return Ok(()),
        };
        let mut disk = start.clone();
        for point in 1..=events.len() {
            disk.apply(&events[point - 1]);
            if one_point.is_some_and(|one| one != point) {
                continue;
            }
            let choices = match guided {
                Some(next) => vec![next.choice],
                None if self.plan.every_recovery && depth == 0 => self.choices(&disk, RECOVERY_STATES, false),
                None if random.one_in(8) => vec![Choice::Killed],
                None => vec![Choice::Sample(0)],
            };
            // What an open database shows is durable.
            let expected = if point == events.len() { expected.with_durable(recovered) } else { expected };
            for choice in choices {
                let segment = Segment { in_recovery: true, point, choice };
                let path = [path, &[segment]].concat();
                self.crash(&disk, tale, expected, &path).map_err(|mut found| {
                    if found.circumstances.is_empty() {
                        found.circumstances = circumstances(events, point, segment);
                    }
                    found
                })?;
            }
        }
        Ok(())
    }

    /// What was recovered goes on with the script, and crashes again.
    fn live_on(
        &self,
        start: &Disk,
        tale: &Tale<'_, S::Step>,
        expected: Expected,
        path: &[Segment],
    ) -> Result<(), Found> {
        let guided = self.guided(path).map_err(Found::from)?.filter(|next| !next.in_recovery);
        let lives = path.iter().filter(|segment| !segment.in_recovery).count();
        let is_chosen = self.guide.is_none()
            && self.plan.second_lives
            && lives < 3
            && !tale.steps_from(expected, 1).is_empty()
            && random_at(self.seed, path, 2).one_in(SECOND_LIVES);
        // A way that ends here may have ended in what comes next: a life that could not be lived.
        let is_end_of_way = self.guide.is_some_and(|guide| guide.len() == path.len());
        if guided.is_none() && !is_chosen && !is_end_of_way {
            return Ok(());
        }
        let steps = tale.steps_from(expected, SECOND_LIFE_STEPS);
        let found_here = |problem| Found { problem, path: path.to_vec(), circumstances: Vec::new() };
        let life = live(self.scenario, start, steps, None).map_err(found_here)?;
        Counters::add(&self.counters.second_lives);
        let next =
            Tale::of(self.scenario, start, &life, steps, Some((tale, expected))).map_err(found_here)?;
        if is_end_of_way {
            return Ok(());
        }
        self.life(&life, start, &next, SECOND_LIFE_STATES, path, |_| true)
    }
}

/// Whether the disk is the same behind the next event, when more is known: then that is the better moment.
fn is_same_as_next(life: &Life, point: usize) -> bool {
    matches!(life.events.get(point), Some(Event::Acknowledged(_) | Event::StepBegins | Event::StepEnds))
}

/// R9: new transactions get ids above every id that a record on the disk has.
fn ids_are_new(db: &Db, disk: &Disk) -> Result<(), Problem> {
    let next = db.handle.core.shared.next_id();
    let slots = disk.cache().chunks(db.page_size()).take(RECORD_PAGES as usize);
    match slots.filter_map(|slot| Record::decode(slot, 0).ok()).map(|record| record.id).max() {
        Some(seen) if next <= seen => {
            let text = format!("the next transaction is to be {next}, and there was a record of {seen}");
            Err(Problem::new(ProblemKind::IdGivenTwice, text))
        }
        _ => Ok(()),
    }
}

fn flipped(path: &[Segment]) -> Vec<Segment> {
    let mut path = path.to_vec();
    if let Some(last) = path.last_mut() {
        last.choice = Choice::Flipped(match last.choice {
            Choice::State(number) | Choice::Sample(number) | Choice::Flipped(number) => number,
            Choice::Killed => 0,
        });
    }
    path
}

/// Where a crash was, in words.
fn circumstances(events: &[Event], point: usize, segment: Segment) -> Vec<String> {
    let place = if segment.in_recovery { "recovery" } else { "the log" };
    let how = match segment.choice {
        Choice::Killed => "the process is killed".into(),
        _ => format!("power fails ({segment})"),
    };
    let mut lines = vec![format!("{how} behind event {point} of {} in {place}:", events.len())];
    let from = point.saturating_sub(6);
    for (number, event) in events.iter().enumerate().take(point).skip(from) {
        lines.push(format!("  {}: {}", number + 1, describe(event)));
    }
    lines
}
