//! What a state must not be, and its normal form: what nothing can refer to any more is forgotten, so that equal
//! situations are equal states.

use crate::disk::Content;
use crate::disk::{ContentId, KeyPosition, TORN, USED_AGAIN};
use crate::model::{Model, forget_unpublished};
use crate::options::LeftOut;
use crate::state::{
    Checkpointer, Description, Failure, LENGTH, Phase, RINGS, Reader, SLOTS, State, Syncer, Writer,
};

impl Model {
    pub(crate) fn normalize(&mut self, state: &mut State) {
        if state.phase == Phase::Open {
            self.forget_old_snapshots(state);
            forget_descriptions(state);
        }
        self.forget_old_records(state);
        self.forget_unreferenced(state);
    }

    fn forget_old_snapshots(&mut self, state: &mut State) {
        let words = state.words;
        let oldest = [state.acknowledged, words.durable, words.visible, words.newest, words.checkpointed];
        let mut oldest = oldest.into_iter().min().expect("there are words");
        let named = state.named();
        if named != 0 {
            oldest = oldest.min(named.trailing_zeros() as u8);
        }
        state.snapshots.retain(|id| self.snapshots.get(id).id >= oldest);
        forget_unpublished(state, words.durable);
        let has_checkpoints = self.options.bounds.has_checkpoints;
        let is_past = |id| id <= words.checkpointed || !has_checkpoints && id <= words.durable;
        if let Failure::StepOutcome { inherited } = state.failure
            && is_past(inherited)
        {
            state.failure = Failure::None;
        }
    }

    /// No record below the log start of every meta can be accepted again, unless a rule is left out.
    fn forget_old_records(&mut self, state: &mut State) {
        use LeftOut::{CheckpointBeforeAppending, Jump, SequenceNumber};
        let rules = [SequenceNumber, Jump, CheckpointBeforeAppending];
        if rules.into_iter().any(|rule| !self.keeps(rule)) {
            return;
        }
        let mut least = u8::MAX;
        for slot in [SLOTS, SLOTS + 1] {
            let place = self.place(state, slot);
            let metas = place.on_disk().chain([place.cache]).filter_map(|content| self.disk.meta(content));
            least = metas.map(|meta| meta.log_start).fold(least, u8::min);
        }
        for at in RINGS..LENGTH {
            let place = self.place(state, at);
            if place.on_disk().chain([place.cache]).any(|content| self.has_old_record(content, least)) {
                let renamed = self.without_old_records(place.clone(), least);
                state.places[at] = self.disk.place_id(renamed);
            }
        }
    }

    fn has_old_record(&self, content: ContentId, least: u8) -> bool {
        match self.disk.content(content) {
            Content::Record(record) => record.sequence_number < least,
            Content::Pair(sectors) => sectors.iter().any(|&sector| self.has_old_record(sector, least)),
            _ => false,
        }
    }

    fn without_old_records(&mut self, place: KeyPosition, least: u8) -> KeyPosition {
        let contents: Vec<ContentId> = place.on_disk().chain([place.cache]).collect();
        let renamed: Vec<(ContentId, ContentId)> =
            contents.into_iter().map(|content| (content, self.without_old_record(content, least))).collect();
        place
            .renamed(|content| renamed.iter().find(|(old, _)| *old == content).map_or(content, |pair| pair.1))
    }

    fn without_old_record(&mut self, content: ContentId, least: u8) -> ContentId {
        match *self.disk.content(content) {
            Content::Record(record) if record.sequence_number < least => TORN,
            Content::Pair([first, second]) => {
                let first = self.without_old_record(first, least);
                let second = self.without_old_record(second, least);
                self.disk.pair([first, second])
            }
            _ => content,
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn violation(&self, state: &State) -> Option<String> {
        if state.phase != Phase::Open {
            return None;
        }
        if let Reader::Reading(id) = state.reader
            && !self.is_intact(state, &self.snapshot(state, id))
        {
            return Some(format!("snapshot {id} was overwritten under its reader"));
        }
        let words = state.words;
        for (name, id) in [("visible", words.visible), ("newest", words.newest)] {
            if !self.is_intact(state, &self.snapshot(state, id)) {
                return Some(format!("the {name} snapshot {id} was overwritten"));
            }
        }
        let other_area = 1 - self.newest(state).ring.area;
        let is_overwritten = |at: usize| self.cache(state, at) != USED_AGAIN;
        if state.is_other_area_used && self.area_pages(other_area).any(is_overwritten) {
            return Some("an old ring's page, in use again, was overwritten by the log".into());
        }
        let is_at_rest = state.writer == Writer::Idle
            && state.syncer == Syncer::Idle
            && state.checkpointer == Checkpointer::Idle
            && state.kills == 0;
        if is_at_rest && words.visible < words.newest && !self.is_durable_commit_above(state, words.durable) {
            return Some(format!("visible {} stays below newest {}", words.visible, words.newest));
        }
        None
    }
}

/// A description matters while its handle is at work.
fn forget_descriptions(state: &mut State) {
    if state.syncer == Syncer::Idle {
        state.log_description = Description::Sound;
    }
    if state.checkpointer == Checkpointer::Idle {
        state.checkpoint_description = Description::Sound;
    }
}
