//! A state in words, for traces.

use std::fmt::Write;

use crate::disk::{Content, ContentId, Kind, TORN};
use crate::model::Model;
use crate::state::{LENGTH, Phase, RINGS, SECOND_RING, SLOTS, State};

impl Model {
    pub(crate) fn show(&self, state: &State) -> String {
        let mut text = String::new();
        for at in 0..state.places.len() {
            let place = self.place(state, at);
            if place.is_settled() && place.cache <= TORN {
                continue;
            }
            let (kind, first) = match at {
                _ if at < SLOTS => ("page", 0),
                _ if at < RINGS => ("slot", SLOTS),
                _ if at < SECOND_RING => ("first area", RINGS),
                _ if at < LENGTH => ("second area", SECOND_RING),
                _ => ("length", LENGTH),
            };
            let _ = write!(text, "{kind} {}: {}", at - first, self.name(place.cache));
            if !place.is_settled() {
                let on_disk: Vec<String> = place.on_disk().map(|content| self.name(content)).collect();
                let _ = write!(text, " (disk: {})", on_disk.join(" or "));
            }
            text.push_str(", ");
        }
        let _ = write!(text, "acknowledged {}", state.acknowledged);
        if state.phase == Phase::Open {
            let _ = write!(text, ", {:?}, {:?}", state.words, state.failure);
        }
        text
    }

    fn name(&self, content: ContentId) -> String {
        match self.disk.content(content) {
            Content::Zeros => "zeros".into(),
            Content::Torn => "torn".into(),
            Content::UsedAgain => "used again".into(),
            Content::Long => "long".into(),
            Content::Leaf { birth, value } => format!("leaf {birth}.{}", value % 4),
            Content::Root { birth, value, leaf } => format!("root {birth}.{} to {leaf}", value % 4),
            Content::Meta(meta) => {
                format!("meta {} with log from {} in area {}", meta.id, meta.log_start, meta.ring.area)
            }
            Content::Record(record) => {
                let kind = if record.kind == Kind::Changes { "" } else { " without changes" };
                format!("record {}.{} at {}{kind}", record.id, record.root_value % 4, record.sequence_number)
            }
            Content::Pair([first, second]) => format!("[{}; {}]", self.name(*first), self.name(*second)),
        }
    }
}
