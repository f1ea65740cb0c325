//! Visiting crash states: where power may fail, and which states to look at. What must be true of each is in
//! [`crate::sim::look`].

use super::disk::{Disk, Event};
use super::failure::{Problem, ProblemKind};
use super::history::{Expected, FullHistory};
use super::random::Random;
use super::replay::{Choice, Segment, random_at};
use super::report::Counters;
use super::session::{Opened, Session, live, open, shared};
use super::state_checker::{Recovery, StateChecker};
use super::workload::Workload;
use crate::base::TransactionId;

/// One in so many recovered states crashes in recovery, unless all do.
const RECOVERY_CRASHES: usize = 4;
/// In one in so many a call fails, unless that is tried in all.
const RECOVERY_FAULTS: usize = 12;
/// States at a moment at least, if it is visited: the oldest, the newest, one in between, and a kill.
const MIN_AT_A_POINT: u64 = 4;
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
    pub(super) recovery_faults: bool,
    pub(super) second_sessions: bool,
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

pub(super) struct Exploration<'a, S> {
    pub(super) workload: &'a S,
    pub(super) seed: u64,
    pub(super) plan: &'a Plan,
    pub(super) counters: &'a Counters,
    /// The one way to go, if a state is visited again.
    pub(super) guide: Option<&'a [Segment]>,
}

impl<S: Workload> Exploration<'_, S> {
    fn checker(&self) -> StateChecker<'_, S> {
        StateChecker { workload: self.workload }
    }

    /// Visits crash states of a life, about `budget` of them, at the moments that are `mine`. `path` is how the
    /// life came about.
    pub(super) fn session(
        &self,
        session: &Session,
        start: &Disk,
        full_history: &FullHistory<'_, S::Step>,
        budget: u64,
        path: &[Segment],
        is_mine: impl Fn(usize) -> bool,
    ) -> Result<(), Found> {
        // A recovery that comes before this life has been cut short by itself.
        let first = if path.is_empty() { 0 } else { session.opened_at };
        let guided = self.guided(path).map_err(Found::from)?;
        if guided.is_some_and(|next| next.point > session.events.len() || next.point < first) {
            let text = format!("there are {} events from {first} on", session.events.len());
            return Err(Problem::new(ProblemKind::Usage, text).into());
        }
        let (most, one_in) = self.share_out(session, start, first, budget, path.is_empty() && is_mine(first));
        let is_chosen = |point| one_in == 1 || self.random_at_point(path, point).one_in(one_in);
        let (mut disk, mut expected) = (start.clone(), full_history.beginning());
        for point in 0..=session.events.len() {
            if let Some(event) = point.checked_sub(1).map(|last| &session.events[last]) {
                disk.apply(event);
                expected = expected.after(event);
            }
            let choices = match guided {
                Some(next) if next.point == point => vec![next.choice],
                None if point >= first
                    && is_mine(point)
                    && !is_same_as_next(session, point)
                    && is_chosen(point) =>
                {
                    self.choices(&disk, most, path.is_empty())
                }
                _ => continue,
            };
            for choice in choices {
                let segment = Segment { in_recovery: false, point, fault: None, choice };
                self.crash_behind(&session.events, &disk, full_history, expected, path, segment)?;
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

    /// How many states to visit at a moment, and at one in how many, so that about `budget` are visited in all: moments
    /// with few states leave theirs to the others.
    fn share_out(
        &self,
        session: &Session,
        start: &Disk,
        first: usize,
        budget: u64,
        counts: bool,
    ) -> (u64, usize) {
        let mut disk = start.clone();
        let mut states = Vec::new();
        for point in 0..=session.events.len() {
            if let Some(last) = point.checked_sub(1) {
                disk.apply(&session.events[last]);
            }
            if point >= first && !is_same_as_next(session, point) {
                states.push(disk.state_count());
            }
        }
        if counts {
            *self.counters.states_in_all.lock() += states.iter().map(|&count| count as f64).sum::<f64>();
        }
        let least = MIN_AT_A_POINT * states.len() as u64;
        if least > budget {
            return (1, least.div_ceil(budget.max(1)) as usize);
        }
        let visited = |most: u64| states.iter().map(|&count| count.min(most)).sum::<u64>();
        let (mut most, mut more) = (1, 2);
        while more <= budget && visited(more) <= budget && visited(more) > visited(most) {
            (most, more) = (more, more * 2);
        }
        (most, 1)
    }

    fn random_at_point(&self, path: &[Segment], point: usize) -> Random {
        let here = Segment { in_recovery: false, point, fault: None, choice: Choice::State(0) };
        random_at(self.seed, &[path, &[here]].concat(), 4)
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
        if disk.has_clean_doubts() {
            choices.push(Choice::Dropped(0));
        }
        choices
    }

    /// A crash behind the last of `events` that `disk` has seen.
    fn crash_behind(
        &self,
        events: &[Event],
        disk: &Disk,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
        path: &[Segment],
        segment: Segment,
    ) -> Result<(), Found> {
        let path = [path, &[segment]].concat();
        self.crash(disk, full_history, expected, &path).map_err(|mut found| {
            if found.circumstances.is_empty() {
                found.circumstances = circumstances(events, segment);
            }
            found
        })
    }

    /// The process is gone, and perhaps power; what `disk` is left in is opened, compared, and may crash again.
    fn crash(
        &self,
        disk: &Disk,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
        path: &[Segment],
    ) -> Result<(), Found> {
        let found_here = |problem| Found { problem, path: path.to_vec(), circumstances: Vec::new() };
        let after = self.after_crash(disk, path).map_err(found_here)?;
        self.counters.visited();
        if let Choice::Flipped(_) = path[path.len() - 1].choice {
            Counters::add(&self.counters.flipped_bits);
            return self.checker().check_flipped(&after, full_history).map_err(found_here);
        }
        let (recovered, recovery) =
            self.checker().check(&after, full_history, expected).map_err(found_here)?;
        let expected_again = expected.or_exactly(self.settled(path, recovered));
        self.crash_in_recovery(&after, &recovery.events, full_history, expected_again, recovered, path)?;
        self.fail_in_recovery(&after, &recovery, full_history, expected_again, path)?;
        self.live_on(&after, full_history, expected, path)?;
        if self.guide.is_none()
            && self.plan.flipped_bits
            && random_at(self.seed, path, 3).one_in(FLIPPED_BITS)
        {
            self.crash(disk, full_history, expected, &flipped(path))?;
        }
        Ok(())
    }

    /// What recovery has found is what it must find again, if what it found was on the disk, not in the cache only.
    fn settled(&self, path: &[Segment], recovered: TransactionId) -> Option<TransactionId> {
        let was_killed = path.iter().any(|segment| segment.choice.is_kill());
        (!was_killed).then_some(recovered)
    }

    /// What whoever comes after the crash finds.
    fn after_crash(&self, disk: &Disk, path: &[Segment]) -> Result<Disk, Problem> {
        let depth = depth_of(path);
        if let Some(counter) = depth.checked_sub(1).and_then(|depth| self.counters.recovery_states.get(depth))
        {
            Counters::add(counter);
        }
        let choice = path[path.len() - 1].choice;
        let image = match choice {
            Choice::Killed | Choice::Dropped(_) => {
                Counters::add(&self.counters.kills);
                if choice == Choice::Killed {
                    return Ok(disk.clone());
                }
                Counters::add(&self.counters.dropped);
                return Ok(disk.with_dropped_pages(&mut random_at(self.seed, path, 0)));
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

    fn crash_in_recovery(
        &self,
        start: &Disk,
        events: &[Event],
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
        recovered: TransactionId,
        path: &[Segment],
    ) -> Result<(), Found> {
        let guided = self.guided(path).map_err(Found::from)?;
        let guided = guided.filter(|next| next.in_recovery && next.fault.is_none());
        let depth = depth_of(path);
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
                let segment = Segment { in_recovery: true, point, fault: None, choice };
                self.crash_behind(events, &disk, full_history, expected, path, segment)?;
            }
        }
        Ok(())
    }

    /// Recovers once more, with a call that fails. Opening then fails, and whoever comes next finds what it has done;
    /// or it has not failed: then what it shows is durable.
    fn fail_in_recovery(
        &self,
        start: &Disk,
        recovery: &Recovery,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
        path: &[Segment],
    ) -> Result<(), Found> {
        let guided = self.guided(path).map_err(Found::from)?;
        let guided = guided.and_then(|next| Some((next, next.fault?)));
        let depth = depth_of(path);
        let mut random = random_at(self.seed, path, 5);
        let calls = match guided {
            Some((_, call)) => vec![call],
            None if self.guide.is_some() || !self.plan.recovery_faults => return Ok(()),
            None if depth >= self.plan.recovery_depth => return Ok(()),
            None if self.plan.every_recovery && depth == 0 => recovery.calls(),
            None if random.one_in(RECOVERY_FAULTS) => {
                let mut calls = recovery.calls();
                vec![calls.swap_remove(random.below(calls.len()))]
            }
            None => return Ok(()),
        };
        for call in calls {
            let Opened { db, log } = open(self.workload, start, Some(call));
            let events = std::mem::take(&mut log.lock().events);
            let point = events.len();
            if log.lock().faults_met == 0 || guided.is_some_and(|(next, _)| next.point != point) {
                let text = format!("there is no such call in recovery: {call:?}, or not {point} events");
                return Err(Problem::new(ProblemKind::Usage, text).into());
            }
            self.counters.met(call.0);
            let mut disk = start.clone();
            events.iter().for_each(|event| disk.apply(event));
            let choice = match (guided, random.below(4)) {
                (Some((next, _)), _) => next.choice,
                (None, 0) => Choice::Sample(0),
                (None, 1) if disk.has_clean_doubts() => Choice::Dropped(0),
                (None, _) => Choice::Killed,
            };
            let segment = Segment { in_recovery: true, point, fault: Some(call), choice };
            let found = db.and_then(|db| Problem::or_panic(move || Ok(shared(&db).newest_id())));
            let expected = match found {
                Ok(found) => expected.with_durable(found),
                Err(problem) if problem.kind != ProblemKind::CannotOpen => {
                    let path = [path, &[segment]].concat();
                    return Err(Found { problem, path, circumstances: Vec::new() });
                }
                Err(_) => expected,
            };
            self.crash_behind(&events, &disk, full_history, expected, path, segment)?;
        }
        Ok(())
    }

    /// What was recovered goes on with the script, and crashes again.
    fn live_on(
        &self,
        start: &Disk,
        full_history: &FullHistory<'_, S::Step>,
        expected: Expected,
        path: &[Segment],
    ) -> Result<(), Found> {
        let guided = self.guided(path).map_err(Found::from)?.filter(|next| !next.in_recovery);
        let sessions = path.iter().filter(|segment| !segment.in_recovery).count();
        let is_chosen = self.guide.is_none()
            && self.plan.second_sessions
            && sessions < 3
            && !full_history.steps_from(expected, 1).is_empty()
            && random_at(self.seed, path, 2).one_in(SECOND_LIVES);
        // A way that ends here may have ended in what comes next: a life that could not be lived.
        let is_end_of_way = self.guide.is_some_and(|guide| guide.len() == path.len());
        if guided.is_none() && !is_chosen && !is_end_of_way {
            return Ok(());
        }
        let steps = full_history.steps_from(expected, SECOND_LIFE_STEPS);
        let found_here = |problem| Found { problem, path: path.to_vec(), circumstances: Vec::new() };
        let session = live(self.workload, start, steps, None).map_err(found_here)?;
        Counters::add(&self.counters.second_sessions);
        let next = FullHistory::of(self.workload, start, &session, steps, Some((full_history, expected)))
            .map_err(found_here)?;
        if is_end_of_way {
            return Ok(());
        }
        self.session(&session, start, &next, SECOND_LIFE_STATES, path, |_| true)
    }
}

/// Whether the disk is the same behind the next event, when more is known: then that is the better moment.
fn is_same_as_next(session: &Session, point: usize) -> bool {
    matches!(session.events.get(point), Some(Event::Acknowledged(_) | Event::StepBegins | Event::StepEnds))
}

/// How many crashes in recovery, one in the recovery from the other, a way ends with.
fn depth_of(path: &[Segment]) -> usize {
    path.iter().rev().take_while(|segment| segment.in_recovery).count()
}

fn flipped(path: &[Segment]) -> Vec<Segment> {
    let mut path = path.to_vec();
    if let Some(last) = path.last_mut() {
        last.choice = Choice::Flipped(match last.choice {
            Choice::State(number) | Choice::Sample(number) | Choice::Flipped(number) => number,
            Choice::Killed | Choice::Dropped(_) => 0,
        });
    }
    path
}

/// Where a crash was, in words.
fn circumstances(events: &[Event], segment: Segment) -> Vec<String> {
    let point = segment.point;
    let place = if segment.in_recovery { "recovery" } else { "the log" };
    let how = match segment.choice {
        Choice::Killed => "the process is killed".into(),
        Choice::Dropped(_) => format!("the process is killed and clean pages are dropped ({segment})"),
        _ => format!("power fails ({segment})"),
    };
    let mut lines = vec![format!("{how} behind event {point} of {} in {place}:", events.len())];
    if let Some((fault, call)) = segment.fault {
        lines.push(format!("  {fault:?}, call {call}, failed"));
    }
    let from = point.saturating_sub(6);
    for (number, event) in events.iter().enumerate().take(point).skip(from) {
        lines.push(format!("  {}: {}", number + 1, event));
    }
    lines
}
