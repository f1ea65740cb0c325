//! Recovery: `Slots::recover`.

use crate::disk::{Content, ContentId, TORN, ZEROS};
use crate::explore::{Model, Steps};
use crate::options::LeftOut;
use crate::state::{DATA_PAGES, Phase, State};

/// A record, as it was found in a slot.
struct Found {
    slot: u8,
    id: u8,
    root: u8,
    listed: Vec<(u8, ContentId)>,
}

impl Model {
    pub(crate) fn recovery_steps(&mut self, state: &State, steps: &mut Steps) {
        let mut next = state.clone();
        match state.phase {
            Phase::Open => {}
            Phase::Closed => self.choose(state, steps),
            Phase::Chosen { slot, must_erase, newest_seen } => {
                if self.options.keeps(LeftOut::StoredAgain) {
                    let place = DATA_PAGES + usize::from(slot);
                    let chosen = self.record(state, slot).expect("it has been chosen");
                    for (page, content) in chosen.listed {
                        next.places[usize::from(page)].store(content);
                    }
                    next.places[place].store(state.places[place].cache);
                }
                next.phase = Phase::StoredAgain { slot, must_erase, newest_seen };
                steps.add("recovery stores again what it has chosen, slot", slot, next);
            }
            Phase::StoredAgain { slot, must_erase, newest_seen } => {
                if must_erase && self.options.keeps(LeftOut::RejectedErased) {
                    next.places[DATA_PAGES + 1 - usize::from(slot)].store(ZEROS);
                }
                next.phase = Phase::Erased { slot, newest_seen };
                steps.add("recovery erases what it has rejected, if anything:", must_erase as u8, next);
            }
            Phase::Erased { slot, newest_seen } => {
                if self.options.keeps(LeftOut::RecoveryBarrier) {
                    for place in &mut next.places {
                        place.start_barrier();
                        place.finish_barrier();
                    }
                }
                let id = self.record(state, slot).expect("it has been chosen").id;
                let ids_rise = self.options.keeps(LeftOut::RejectedErased);
                open(&mut next, id, slot, if ids_rise { newest_seen } else { id });
                steps.add("recovery's barrier is done, the database is open at", id, next);
            }
        }
    }

    /// The newest meta whose listed pages verify. Its content must be true, which is checked here.
    fn choose(&mut self, state: &State, steps: &mut Steps) {
        let mut found: Vec<Found> = (0..2).filter_map(|slot| self.record(state, slot)).collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.id));
        let is_right = |&(page, content): &(u8, ContentId)| state.places[usize::from(page)].cache == content;
        let Some(index) = found.iter().position(|found| found.listed.iter().all(is_right)) else {
            return steps.fail("recovery", 0, "no record is valid".into());
        };
        let Found { slot, id, root, .. } = found[index];
        let step = "recovery chooses transaction";
        let Some(snapshot) = state.snapshot(id).filter(|snapshot| snapshot.root == root) else {
            return steps.fail(step, id, format!("{id} is not in the history"));
        };
        if !state.is_intact(id) {
            return steps.fail(step, id, format!("the recovered snapshot is torn: {snapshot:?}"));
        }
        if id < state.acknowledged {
            let problem = format!("I3: recovered {id}, but {} was acknowledged", state.acknowledged);
            return steps.fail(step, id, problem);
        }
        let other = state.places[DATA_PAGES + 1 - usize::from(slot)].cache;
        let is_no_record = other == TORN || other == ZEROS && self.options.keeps(LeftOut::ZerosErasedToo);
        let mut next = state.clone();
        next.phase = Phase::Chosen { slot, must_erase: index > 0 || is_no_record, newest_seen: found[0].id };
        steps.add(step, id, next);
    }

    fn record(&self, state: &State, slot: u8) -> Option<Found> {
        match self.contents.get(state.places[DATA_PAGES + usize::from(slot)].cache) {
            Content::Record { id, root, listed } => {
                Some(Found { slot, id: *id, root: *root, listed: listed.clone() })
            }
            _ => None,
        }
    }
}

fn open(state: &mut State, id: u8, slot: u8, newest_seen: u8) {
    state.snapshots.retain(|snapshot| snapshot.id == id);
    state.phase = Phase::Open;
    state.head = id;
    state.visible = id;
    state.durable = id;
    state.acknowledged = id;
    state.durable_slot = slot;
    state.next_id = newest_seen.max(id) + 1;
    state.epoch += 1;
}
