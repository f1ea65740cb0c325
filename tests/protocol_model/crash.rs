//! What may go wrong with the disk: loss of power, and writes that fail.

use crate::disk::{ContentId, KeyPosition, TORN, ZEROS};
use crate::explore::Steps;
use crate::model::Model;
use crate::state::{DATA_PAGES, Description, Failure, LENGTH, PLACES, Phase, RINGS, SLOTS, State};

impl Model {
    pub(crate) fn crash_steps(&mut self, state: &State, steps: &mut Steps) {
        let bounds = self.options.bounds;
        if state.power_losses < bounds.power_losses {
            self.power_loss(state, steps);
        }
        if state.failed_writes < bounds.failed_writes && state.phase != Phase::Closed {
            self.failed_write(state, steps);
        }
        if state.kills < bounds.kills {
            match state.phase {
                Phase::Closed => {}
                Phase::Open => self.deaths(state, steps),
                _ => {
                    let mut next = *state;
                    next.kills += 1;
                    self.abandon_barriers(&mut next);
                    next.checkpoint_description = Description::Sound;
                    next.phase = Phase::Closed;
                    steps.add(next, || "KILLED IN RECOVERY".into());
                }
            }
        }
        if state.phase == Phase::Open {
            self.copy_lock_file(state, steps);
        }
    }

    /// Every page has something that the disk may have held, independently of all others. Slots, log and length first:
    /// then only those pages count to which they refer.
    fn power_loss(&mut self, state: &State, steps: &mut Steps) {
        let mut closed = *state;
        self.close(&mut closed);
        closed.power_losses += 1;
        closed.kept = 0;
        closed.failure = Failure::None;
        closed.is_other_area_used = false;
        closed.lock_file_copy = 0;
        let later: Vec<usize> = (SLOTS..PLACES).collect();
        let tree_pages: Vec<usize> = (0..DATA_PAGES).collect();
        for mut lost in self.every_outcome(closed, &later, Disaster::PowerLoss) {
            if self.cache(&lost, LENGTH) == ZEROS {
                let zeros = self.disk.place_id(KeyPosition::durable(ZEROS));
                self.area_pages(1).for_each(|at| lost.places[at] = zeros);
            }
            self.forget_unreferenced(&mut lost);
            for next in self.every_outcome(lost, &tree_pages, Disaster::PowerLoss) {
                steps.add(next, || "LOSS OF POWER".into());
            }
        }
    }

    /// The kernel could not write some pages, and takes them for clean. It tells each open file description, once.
    fn failed_write(&mut self, state: &State, steps: &mut Steps) {
        let mut failed = *state;
        failed.failed_writes += 1;
        failed.failure = Failure::Untold;
        failed.log_description = Description::WillBeTold;
        failed.checkpoint_description = Description::WillBeTold;
        let all: Vec<usize> = (0..LENGTH).collect();
        for next in self.every_outcome(failed, &all, Disaster::FailedWrite) {
            let is_lost = |at: usize| self.place(&next, at).is_lost() && !self.place(state, at).is_lost();
            if (0..LENGTH).any(is_lost) {
                steps.add(next, || "A WRITE FAILS".into());
            }
        }
    }

    /// All combinations of what may become of each of these pages.
    fn every_outcome(&mut self, state: State, at: &[usize], disaster: Disaster) -> Vec<State> {
        let mut states = vec![state];
        for &at in at {
            let tearing = self.tearing(at);
            let outcomes = match disaster {
                Disaster::PowerLoss => self.disk.after_power_loss(state.places[at], tearing),
                Disaster::FailedWrite => self.disk.after_failed_write(state.places[at], tearing),
            };
            let of_state = |state: State| {
                let outcomes = outcomes.clone();
                outcomes.into_iter().map(move |outcome| {
                    let mut next = state;
                    next.places[at] = outcome;
                    next
                })
            };
            states = states.into_iter().flat_map(of_state).collect();
        }
        states
    }

    // ---- equal situations, equal states ----

    /// Replaces contents of tree pages that neither a snapshot nor a record may refer to any more.
    pub(crate) fn forget_unreferenced(&mut self, state: &mut State) {
        let referenced = self.references(state);
        for page in 0..DATA_PAGES {
            let is_referenced = |content| referenced.contains(&(page as u8, content));
            let place = self.place(state, page);
            let is_dead = |content: ContentId| content > 1 && !is_referenced(content) || content == 0;
            if is_dead(place.cache) || place.on_disk().any(is_dead) {
                let renamed = place.renamed(|content| if is_referenced(content) { content } else { TORN });
                state.places[page] = self.disk.place_id(renamed);
            }
        }
    }

    fn references(&self, state: &State) -> Vec<(u8, ContentId)> {
        let mut referenced = Vec::with_capacity(24);
        let unfinished = match state.phase {
            Phase::Replayed { snapshot, .. } | Phase::MetaStored { snapshot, .. } => Some(snapshot),
            _ => state.unfinished(),
        };
        if state.phase == Phase::Open {
            self.all_snapshots(state).for_each(|snapshot| referenced.extend(snapshot.pages()));
        }
        if let Some(snapshot) = unfinished {
            referenced.extend(self.get(snapshot).pages());
        }
        if state.lock_file_copy != 0 {
            let (_, snapshots) = self.lock_files.get(state.lock_file_copy);
            snapshots.as_slice().iter().for_each(|&id| referenced.extend(self.get(id).pages()));
        }
        for at in SLOTS..RINGS {
            let place = self.place(state, at);
            let metas = place.on_disk().chain([place.cache]).filter_map(|content| self.disk.meta(content));
            for meta in metas {
                referenced.extend([(meta.root, meta.root_content), (meta.leaf, meta.leaf_content)]);
            }
        }
        referenced
    }
}

#[derive(Clone, Copy)]
enum Disaster {
    PowerLoss,
    FailedWrite,
}
