//! Visiting crash states: the points at which power may fail, and the states that are checked at each. What must be
//! true of a state is in [`crate::sim::state_checker`].

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::disk::{Disk, Event};
use super::failure::{Problem, ProblemKind};
use super::history::{Expected, FullHistory};
use super::random::Random;
use super::recovery::{Recovery, found_in};
use super::replay::{Choice, Segment, random_at};
use super::report::Counters;
use super::session::{Opened, Session, live, open};
use super::state_checker::StateChecker;
use super::workload::Workload;
use crate::base::TransactionId;

/// One in this many states crashes in recovery, unless all do.
const RECOVERY_CRASHES: usize = 4;
/// In one in this many recoveries a call fails, unless each call fails in each.
const RECOVERY_FAULTS: usize = 12;
/// At least this many states are visited at a point: the oldest, the newest, one in between, and a kill.
const MIN_AT_A_POINT: u64 = 4;
/// One in this many recovered databases goes on with the script.
const SECOND_LIVES: usize = 48;
/// This many crash states of a second session are visited.
const SECOND_LIFE_STATES: u64 = 24;
/// One in this many states has a bit flipped, if the explorer flips bits.
const FLIPPED_BITS: usize = 8;
/// One in this many states has lost blocks, if blocks are lost; at least one at each point with a store in doubt.
const LOST_BLOCKS: u64 = 8;
/// States that are visited at one point of a recovery, if every recovery crashes. In the recovery from that it is
/// one.
const RECOVERY_STATES: u64 = 4;
/// Crash points of a session that one thread visits, one after the other, and among which no state is visited twice.
/// So the same states are visited by any number of threads.
pub(super) const POINTS_TOGETHER: usize = 8;
/// A second session goes on for at most this many steps.
const SECOND_LIFE_STEPS: usize = 4;

/// What to visit besides the crash states of a session.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) recovery_depth: usize,
    pub(super) every_recovery: bool,
    pub(super) recovery_faults: bool,
    pub(super) second_sessions: bool,
    pub(super) flipped_bits: bool,
    pub(super) lost_blocks: bool,
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
    /// The only path to follow, if a state is visited again.
    pub(super) guide: Option<&'a [Segment]>,
    /// Hashes of what has been visited since the last point that is a multiple of [`POINTS_TOGETHER`].
    pub(super) visited: RefCell<HashSet<u64>>,
}

impl<S: Workload> Exploration<'_, S> {
    fn checker(&self) -> StateChecker<'_, S> {
        StateChecker { workload: self.workload }
    }

    /// Visits about `budget` crash states of a session, at the points for which `is_mine` is true. `path` has the
    /// crashes before the session.
    pub(super) fn session(
        &self,
        session: &Session,
        start: &Disk,
        full_history: &FullHistory<'_, S::Step>,
        budget: u64,
        path: &[Segment],
        is_mine: impl Fn(usize) -> bool,
    ) -> Result<(), Found> {
        // Crashes in the recovery before this session are visited by `crash_in_recovery`.
        let first = if path.is_empty() { 0 } else { session.opened_at };
        let guided = self.guided(path).map_err(Found::from)?;
        if guided.is_some_and(|next| next.point > session.events.len() || next.point < first) {
            let text = format!("there are only events {first} to {}", session.events.len());
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
            if path.is_empty() && point % POINTS_TOGETHER == 0 {
                self.visited.borrow_mut().clear();
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

    /// Returns the next crash of the path to follow, if there is one.
    fn guided(&self, path: &[Segment]) -> Result<Option<Segment>, Problem> {
        let Some(guide) = self.guide else { return Ok(None) };
        match guide.get(path.len()) {
            Some(&next) if !(path.is_empty() && next.in_recovery) => Ok(Some(next)),
            Some(_) => Err(Problem::new(ProblemKind::Usage, "a recovery comes before the first crash")),
            None => Ok(None),
        }
    }

    /// Returns the most states to visit at a point, and at one in how many points, so that about `budget` are visited
    /// in all. Points with few states leave their share to the others.
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
        if self.plan.lost_blocks && disk.has_stores_in_doubt() {
            choices.extend((0..states.min(most).div_ceil(LOST_BLOCKS)).map(Choice::LostBlocks));
        }
        choices.push(Choice::Killed);
        if disk.has_clean_doubts() {
            choices.push(Choice::Dropped(0));
        }
        choices
    }

    /// Crashes after the last of `events` that was applied to `disk`.
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

    /// Ends the process, and perhaps cuts power. The state that `disk` is left in is checked, and may crash again.
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
        if self.was_visited(&after, expected, path) {
            return Ok(());
        }
        Counters::add(&self.counters.distinct_states);
        if let Choice::Flipped(_) = path[path.len() - 1].choice {
            Counters::add(&self.counters.flipped_bits);
            return self.checker().check_flipped(&after, full_history, expected).map_err(found_here);
        }
        let published = match is_power_kept(path) {
            true => full_history.in_file(expected),
            false => TransactionId(0),
        };
        let (recovered, recovery) = self
            .checker()
            .check(&after, full_history, expected.with_published(published))
            .map_err(found_here)?;
        let expected_again =
            expected.or_exactly(self.settled(path, recovered)).after_recovery(&recovery, recovered);
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

    /// Whether the same image has been visited before with the same expectations, in a crash as deep as this one. If
    /// not, it counts as visited from now on. What recovery and the check do depends on nothing else.
    fn was_visited(&self, after: &Disk, expected: Expected, path: &[Segment]) -> bool {
        let is_flipped = matches!(path[path.len() - 1].choice, Choice::Flipped(_));
        if self.guide.is_some() || is_flipped || after.is_in_doubt() {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        let was_killed = path.iter().any(|segment| segment.choice.is_kill());
        (after.image_hash(), expected, depth_of(path), is_power_kept(path), was_killed).hash(&mut hasher);
        !self.visited.borrow_mut().insert(hasher.finish())
    }

    /// Returns the transaction that a recovery after this one must find again. After a kill there is none: what was
    /// recovered may be in the cache only.
    fn settled(&self, path: &[Segment], recovered: TransactionId) -> Option<TransactionId> {
        let was_killed = path.iter().any(|segment| segment.choice.is_kill());
        (!was_killed).then_some(recovered)
    }

    /// Returns the disk as the next process finds it after the crash.
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
                let text = format!("there is no state {number}: the disk has {} states", disk.state_count());
                return Err(Problem::new(ProblemKind::Usage, text));
            }
            Choice::LostBlocks(_) => {
                Counters::add(&self.counters.lost_blocks);
                disk.sample_with_lost_blocks(&mut random_at(self.seed, path, 0))
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
                // The end of recovery, when readers may begin, is chosen more often than any other point.
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
                None if self.plan.lost_blocks && disk.has_stores_in_doubt() && random.one_in(4) => {
                    vec![Choice::LostBlocks(0)]
                }
                None => vec![Choice::Sample(0)],
            };
            // What readers of an open database see is durable.
            let expected = if point == events.len() { expected.with_durable(recovered) } else { expected };
            for choice in choices {
                let segment = Segment { in_recovery: true, point, fault: None, choice };
                self.crash_behind(events, &disk, full_history, expected, path, segment)?;
            }
        }
        Ok(())
    }

    /// Recovers once more, with a call that fails. If opening then fails, the next process finds what it left. If it
    /// succeeds, what readers see is durable.
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
                let text =
                    format!("recovery has no call {call:?}, or its failure is not after event {point}");
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
            let expected = match db.and_then(|db| {
                Problem::or_panic(move || {
                    drop(db);
                    Ok(())
                })
            }) {
                Ok(()) => found_in(&events)
                    .map_or(expected, |found| expected.with_durable(expected.commit_of(found))),
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

    /// Goes on with the script on the recovered database, and crashes again.
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
        // A path that ends here may name a session that could not run to its end.
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

/// Whether the next event leaves the disk as it is, and more is known after it: that is then the better point.
fn is_same_as_next(session: &Session, point: usize) -> bool {
    matches!(session.events.get(point), Some(Event::Acknowledged(_) | Event::StepBegins | Event::StepEnds))
}

/// Returns how many crashes in recovery the path ends with, each in the recovery from the one before.
fn depth_of(path: &[Segment]) -> usize {
    path.iter().rev().take_while(|segment| segment.in_recovery).count()
}

/// Whether no power was lost since the last session began, and no page was dropped from the cache.
fn is_power_kept(path: &[Segment]) -> bool {
    let last_session = path.len() - 1 - depth_of(path);
    path[last_session..].iter().all(|segment| segment.choice == Choice::Killed)
}

fn flipped(path: &[Segment]) -> Vec<Segment> {
    let mut path = path.to_vec();
    if let Some(last) = path.last_mut() {
        last.choice = Choice::Flipped(match last.choice {
            Choice::State(number)
            | Choice::Sample(number)
            | Choice::Flipped(number)
            | Choice::LostBlocks(number) => number,
            Choice::Killed | Choice::Dropped(_) => 0,
        });
    }
    path
}

/// Says where a crash was, and shows the last events before it.
fn circumstances(events: &[Event], segment: Segment) -> Vec<String> {
    let point = segment.point;
    let place = if segment.in_recovery { "recovery" } else { "the log" };
    let how = match segment.choice {
        Choice::Killed => "the process is killed".into(),
        Choice::Dropped(_) => format!("the process is killed and clean pages are dropped ({segment})"),
        _ => format!("power fails ({segment})"),
    };
    let mut lines = vec![format!("{how} after event {point} of {} in {place}:", events.len())];
    if let Some((fault, call)) = segment.fault {
        lines.push(format!("  {fault:?}, call {call}, failed"));
    }
    let from = point.saturating_sub(6);
    for (number, event) in events.iter().enumerate().take(point).skip(from) {
        lines.push(format!("  {}: {}", number + 1, event));
    }
    lines
}
