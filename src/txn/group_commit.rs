//! Group commit among the threads of one handle: one of them syncs for all that wait.
//!
//! Invariants:
//! - At most one thread is the leader: it syncs. It ceases to be the leader however its work ends ([`Leader`]). If a
//!   follower was not served, the first such follower becomes the next leader and is woken first, since all others
//!   wait for its barrier.
//! - Each follower sleeps on a condition variable of its own. The thread that finishes a sync wakes only the
//!   followers that it served, and the next leader; the others would go back to sleep.
//! - This file decides when a thread checks whether its commit is durable, and when a sync begins. It does not decide
//!   whether the commit is durable: a thread that is woken checks that itself, and waits again if it is not.
//!
//! A sync serves all threads that arrived before it began, because each has published its commit before it arrives.
//!
//! **Commit delay.** If each sync began at once, two groups of threads would alternate: while one waits for its
//! barrier the other publishes, and has the next barrier while the first publishes again. Each barrier would then
//! serve half of the threads. A barrier that waits for all threads serves twice as many, but leaves the disk idle
//! while they publish. This pays if publishing is quick and barriers are slow. So the first thread that arrives
//! becomes the leader and waits for as many threads as were present when the last sync ended, if at their arrival
//! interval the others come within two thirds of the time that the sync took. (The last third is for the time by
//! which a barrier is longer if it serves more commits. A barrier that took longer than [`MAX_USUAL_SYNC`] counts as
//! that.) Two threads that do nothing but commit gather on any disk; eight gather where a barrier takes a
//! millisecond. A thread that commits alone never waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A barrier that took longer than this was held up: the commit delay does not grow with it.
const MAX_USUAL_SYNC: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct GroupCommit {
    state: Mutex<State>,
    /// Wakes the helper thread when there may be something to sync.
    work_available: Condvar,
}

#[derive(Default)]
struct State {
    leader: LeaderState,
    /// Threads that sleep, in the order of arrival.
    followers: VecDeque<Follower>,
    /// Threads that have arrived so far, and how many of them the syncs so far have served.
    arrived: u64,
    served: u64,
    last_sync: Option<LastSync>,
    /// The mean time between two arrivals since the last sync.
    arrival_interval: Duration,
    /// The helper thread is to end.
    is_closed: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum LeaderState {
    #[default]
    None,
    /// The thread with this number waits for others, or has been woken. A thread that finds all others present may
    /// become the leader before it.
    Designated(u64),
    Active,
}

/// A thread that sleeps.
struct Follower {
    number: u64,
    condition: Arc<Condvar>,
}

struct LastSync {
    ended: Instant,
    took: Duration,
    /// How many threads had arrived by then.
    arrived: u64,
    /// How many threads were present, those that the sync served included. That many may come again.
    expected: u64,
}

impl State {
    /// Returns the number of the thread that arrives.
    fn arrive(&mut self) -> u64 {
        self.arrived += 1;
        if let Some(last) = &self.last_sync {
            self.arrival_interval =
                last.ended.elapsed() / u32::try_from(self.arrived - last.arrived).unwrap_or(u32::MAX);
        }
        self.arrived
    }

    /// The time at which the sync must begin, if it pays to wait for others.
    fn commit_delay_until(&self) -> Option<Instant> {
        let last = self.last_sync.as_ref()?;
        if self.arrived - self.served >= last.expected {
            return None;
        }
        let expected = u32::try_from(last.expected).unwrap_or(u32::MAX);
        let until = last.ended + self.arrival_interval * expected * 3 / 2;
        let pays = self.arrival_interval * (expected - 1) <= last.took.min(MAX_USUAL_SYNC) * 2 / 3;
        (pays && Instant::now() < until).then_some(until)
    }
}

impl GroupCommit {
    /// Waits until `is_done`, which only a sync makes true, or until this thread is the leader.
    pub(super) fn wait(&self, is_done: impl Fn() -> bool, about_to_wait: impl Fn()) -> Option<Leader<'_>> {
        let mut state = self.state.lock();
        let number = state.arrive();
        let own = Arc::new(Condvar::new());
        loop {
            let is_own = state.leader == LeaderState::Designated(number);
            if !is_own && is_done() {
                return None;
            }
            let mut until = None;
            if state.leader != LeaderState::Active {
                until = state.commit_delay_until();
                if until.is_none() {
                    state.leader = LeaderState::Active;
                    return Some(Leader { group: self, serves: 0, begun: Instant::now() });
                }
            }
            if state.leader == LeaderState::None {
                state.leader = LeaderState::Designated(number);
            }
            about_to_wait();
            state.followers.push_back(Follower { number, condition: Arc::clone(&own) });
            match until.filter(|_| state.leader == LeaderState::Designated(number)) {
                Some(until) => drop(own.wait_until(&mut state, until)),
                None => own.wait(&mut state),
            }
            state.followers.retain(|follower| follower.number != number);
        }
    }

    /// Waits, in the helper thread, until `has_work` and there is no leader. Returns `false` if the thread is to end.
    pub(super) fn wait_for_work(&self, has_work: impl Fn() -> bool) -> bool {
        let mut state = self.state.lock();
        while !has_work() || state.leader != LeaderState::None {
            if state.is_closed {
                return false;
            }
            self.work_available.wait(&mut state);
        }
        true
    }

    /// Wakes the helper thread.
    pub(super) fn announce_work(&self) {
        drop(self.state.lock()); // a thread that was checking `has_work` waits by now
        self.work_available.notify_all();
    }

    /// How many threads sleep here, the helper thread not counted.
    #[cfg(test)]
    fn sleepers(&self) -> usize {
        self.state.lock().followers.len()
    }

    /// Ends the helper thread, once what is pending is synced.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.work_available.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }
}

/// The right, and the duty, to sync.
pub(super) struct Leader<'a> {
    group: &'a GroupCommit,
    /// How many of the threads that have arrived had published their commits when the sync began.
    serves: u64,
    begun: Instant,
}

impl Leader<'_> {
    /// Marks the beginning of the sync: it serves all threads that are present.
    pub(super) fn begin(&mut self) {
        self.serves = self.group.state.lock().arrived;
        self.begun = Instant::now();
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut state = self.group.state.lock();
        state.last_sync = Some(LastSync {
            ended: Instant::now(),
            took: self.begun.elapsed(),
            arrived: state.arrived,
            expected: state.arrived - state.served,
        });
        state.served = state.served.max(self.serves);
        let through = state.served;
        let (served, followers): (VecDeque<Follower>, _) =
            state.followers.drain(..).partition(|follower| follower.number <= through);
        state.followers = followers;
        let next = state.followers.front().map(|next| (next.number, Arc::clone(&next.condition)));
        state.leader =
            next.as_ref().map_or(LeaderState::None, |&(number, _)| LeaderState::Designated(number));
        drop(state);
        if let Some((_, condition)) = next {
            condition.notify_one();
        }
        for follower in served {
            follower.condition.notify_one();
        }
        self.group.work_available.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::SeqCst;
    use std::sync::mpsc::channel;

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    /// The state after a sync of `took` that has just ended with `expected` threads present, which came at
    /// `arrival_interval`.
    fn state(expected: u64, took: Duration, arrival_interval: Duration) -> State {
        let last_sync = Some(LastSync { ended: Instant::now(), took, arrived: 100, expected });
        State { arrived: 100, served: 100, last_sync, arrival_interval, ..State::default() }
    }

    #[test]
    fn a_sync_waits_for_those_who_come_soon_enough() {
        let slow = MAX_USUAL_SYNC;
        let mut state = state(8, slow, slow / 11);
        let last = state.last_sync.as_mut().unwrap();
        last.ended += Duration::from_secs(1000); // the clock must not run out here
        let ended = last.ended;
        let until = state.commit_delay_until().expect("7 / 11 is less than two thirds");
        assert!(until > ended + slow * 8 / 11 && until < ended + slow * 2);
        state.arrival_interval = slow / 10;
        assert_eq!(state.commit_delay_until(), None, "7 / 10 is more");
        state.arrival_interval = slow / 11;
        state.arrived += 7;
        assert!(state.commit_delay_until().is_some(), "one is missing");
        state.arrived += 1;
        assert_eq!(state.commit_delay_until(), None, "all are here");
    }

    #[test]
    fn a_barrier_that_was_held_up_makes_nobody_wait_as_long() {
        let hiccup = MAX_USUAL_SYNC * 50;
        let mut state = state(2, hiccup, MAX_USUAL_SYNC);
        assert_eq!(state.commit_delay_until(), None, "the other takes as long as a long barrier");
        state.arrival_interval = MAX_USUAL_SYNC / 2;
        let ended = state.last_sync.as_ref().unwrap().ended;
        assert!(state.commit_delay_until().is_none_or(|until| until < ended + MAX_USUAL_SYNC * 2));
    }

    #[test]
    fn a_sync_does_not_wait_for_those_who_do_not_come() {
        assert_eq!(State::default().commit_delay_until(), None, "no other thread is expected");
        let mut late = state(2, SHORT, SHORT / 100);
        late.arrived += 1;
        std::thread::sleep(SHORT);
        assert_eq!(late.commit_delay_until(), None);
    }

    #[test]
    fn the_pace_is_that_of_those_who_come() {
        let mut state = state(3, SHORT, Duration::ZERO);
        std::thread::sleep(SHORT * 4);
        assert_eq!([state.arrive(), state.arrive()], [101, 102]);
        assert!(
            state.arrival_interval >= SHORT * 2
                && state.arrival_interval < state.last_sync.unwrap().ended.elapsed()
        );
    }

    /// Five threads wait until `durable` is their number. Each reports how its wait ended, and how often it checked.
    #[test]
    fn who_ends_a_sync_wakes_those_whom_it_served_and_one_that_syncs_next() {
        let (group, durable) = (GroupCommit::default(), AtomicU64::new(0));
        let mut first = group.wait(|| false, || ()).expect("no other thread is here");
        let (told, tells) = channel();
        std::thread::scope(|scope| {
            let come = |wanted: u64| {
                let (group, durable, told, here) = (&group, &durable, told.clone(), group.sleepers() + 1);
                scope.spawn(move || {
                    let woken = AtomicU64::new(0);
                    let is_done = || woken.fetch_add(1, SeqCst) > 0 && durable.load(SeqCst) >= wanted;
                    if let Some(mut leader) = group.wait(is_done, || ()) {
                        leader.begin();
                        durable.store(2, SeqCst);
                        told.send((wanted, true, woken.load(SeqCst))).unwrap();
                        return;
                    }
                    told.send((wanted, false, woken.load(SeqCst))).unwrap();
                });
                while group.sleepers() < here {
                    std::thread::yield_now();
                }
            };
            come(1);
            come(1);
            first.begin();
            come(2);
            come(2);
            come(2);
            durable.store(1, SeqCst);
            drop(first);
            let mut all: Vec<(u64, bool, u64)> = tells.iter().take(5).collect();
            all.sort_unstable();
            // The next leader does not check first. Each follower has checked twice: on arrival and when it was
            // woken.
            assert_eq!(all[..4], [(1, false, 2), (1, false, 2), (2, false, 2), (2, false, 2)]);
            assert_eq!((all[4].0, all[4].1), (2, true));
        });
        assert!(group.state.lock().leader == LeaderState::None);
    }

    #[test]
    fn a_post_is_not_lost_with_a_panic() {
        let group = GroupCommit::default();
        let leader = group.wait(|| false, || ()).expect("no other thread is here");
        std::thread::scope(|scope| {
            let next = scope.spawn(|| group.wait(|| false, || ()).map(drop).is_some());
            while group.sleepers() == 0 {
                std::thread::yield_now();
            }
            let syncs = scope.spawn(move || {
                let _post = leader;
                std::panic::resume_unwind(Box::new("in a sync"));
            });
            assert!(syncs.join().is_err() && next.join().unwrap());
        });
    }
}
